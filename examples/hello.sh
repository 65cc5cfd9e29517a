#!/bin/sh
# The smallest session: says where it runs, lives for a minute, ends well.
#
#   pycloudctl create examples/hello.sh
#   pycloudctl logs SESSION
echo "Hello from session $PYCLOUD_SESSION on $PYCLOUD_HOSTNAME, port $PYCLOUD_PORT."
echo "GREETING is ${GREETING:-not set; try: pycloudctl create examples/hello.sh -e GREETING=hi}"
exec sleep 60
