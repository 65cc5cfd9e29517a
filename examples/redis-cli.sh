#!/bin/sh
# PyCloud without any client of ours: subscribe, publish, read the answer, with redis-cli and a shell.
#
#   examples/redis-cli.sh [SCRIPT]          starts a session, asks for its status, removes it
#
# REDIS_URL and NAMESPACE say where the clouds are. Each request goes to the channel NAMESPACE.OP; the one cloud that
# answers publishes to NAMESPACE.OP.ID, and so that has to be subscribed first.
set -eu

REDIS_URL=${REDIS_URL:-redis://localhost:6379/0}
NAMESPACE=${NAMESPACE:-year4000.pycloud}
SCRIPT=${1:-sleep 60}
TIMEOUT=${TIMEOUT:-10}

if ! command -v redis-cli >/dev/null; then
    echo "this example needs redis-cli (on Debian: apt install redis-tools)" >&2
    exit 1
fi

work=$(mktemp -d)
listener=
trap 'if [ -n "$listener" ]; then kill "$listener" 2>/dev/null || :; fi; rm -rf "$work"' EXIT

# A string as JSON, quotes included.
quoted() {
    printf '"%s"' "$(printf '%s' "$1" | sed 's/\\/\\\\/g; s/"/\\"/g; s/\t/\\t/g' | awk 'NR > 1 {printf "\\n"} {printf "%s", $0}')"
}

# Wait until the file $1 has at least $2 lines.
lines_in() {
    left=$((TIMEOUT * 20))
    while [ "$(wc -l <"$1")" -lt "$2" ]; do
        left=$((left - 1))
        if [ "$left" -le 0 ]; then
            echo "no response within $TIMEOUT s: start a node with pycloud, or check the URL of Redis" >&2
            exit 1
        fi
        sleep 0.05
    done
}

# request OP ID JSON: prints the answer.
request() {
    heard="$work/$2"
    : >"$heard"
    redis-cli -u "$REDIS_URL" subscribe "$NAMESPACE.$1.$2" >"$heard" &
    listener=$!
    lines_in "$heard" 3 # subscribe, the channel, 1: the server has confirmed it
    redis-cli -u "$REDIS_URL" publish "$NAMESPACE.$1" "$3" >/dev/null
    lines_in "$heard" 6 # message, the channel, the payload
    kill "$listener"
    wait "$listener" 2>/dev/null || :
    listener=
    sed -n 6p "$heard"
}

id="example-$$-$(date +%s)"

answer=$(request create "$id-1" "{\"id\": \"$id-1\", \"script\": $(quoted "$SCRIPT")}")
echo "create: $answer"
session=$(printf '%s' "$answer" | sed -n 's/.*"id": *"\([0-9a-f]*\)".*/\1/p')
if [ -z "$session" ]; then
    exit 1
fi

echo "status: $(request status "$id-2" "{\"id\": \"$id-2\", \"session\": \"$session\"}")"
echo "remove: $(request remove "$id-3" "{\"id\": \"$id-3\", \"session\": \"$session\"}")"
