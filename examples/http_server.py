#!/usr/bin/env python3
"""A session that serves something: a web page on the port that PyCloud chose for it.

    pycloudctl create examples/http_server.py     (the answer says host and port)
    curl http://HOST:PORT/
    pycloudctl remove SESSION

The port was free on that host for TCP and UDP when it was chosen, and no other session has it; still, the system does
not reserve it, so a server should say so when it cannot have it, and end: the session's state then tells.
"""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOSTNAME = os.environ["PYCLOUD_HOSTNAME"]
PORT = int(os.environ["PYCLOUD_PORT"])
PAGE = f"Hello from session {os.environ['PYCLOUD_SESSION']} on {HOSTNAME}:{PORT}\n".encode()


class Handler(BaseHTTPRequestHandler):
    """Answers every GET with the same page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)


def end(number: int, frame: object) -> None:
    """A remove begins with SIGTERM, and leaves time to end in order."""
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
# PYCLOUD_HOSTNAME is the name by which requesters reach this host. It need not be an address of one of its own network
# interfaces (think of NAT), so a server listens on all of them.
with ThreadingHTTPServer(("", PORT), Handler) as server:
    print(f"serving http://{HOSTNAME}:{PORT}/", flush=True)
    server.serve_forever()
