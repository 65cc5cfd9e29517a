"""The newest output of a container, from the engine's logs, of which little more is read than has to be."""

from __future__ import annotations

import docker

#: Bytes that a line is taken to have, for a first guess, and how much more is asked for where that was too little.
BYTES_PER_LINE, GROWTH_FACTOR = 64, 8


def tail(client: docker.APIClient, container: str, count: int) -> tuple[int, bytes]:
    """The newest ``count`` bytes at most, and the offset of the first of them in what the engine has kept.

    The offset is exact as long as all that was kept had to be read; otherwise it is the least that it can be: engines
    count lines, not bytes (and take no line for longer than 16 KiB). Raises what docker-py raises.
    """
    lines, before = count // BYTES_PER_LINE + 1, -1
    while True:
        newest: bytes = client.logs(container, tail=lines)
        # Where more lines hold no more bytes, these are all.
        if len(newest) >= count or len(newest) == before:
            start = max(0, len(newest) - count)
            return start, newest[start:]
        lines, before = lines * GROWTH_FACTOR, len(newest)
