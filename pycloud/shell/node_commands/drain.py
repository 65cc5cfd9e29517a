"""``drain`` and ``undrain``: send the request to nodes; ``--wait`` waits until no live session remains on them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

import msgspec

from pycloud.client.errors import NoAnswer, NoCloud, NotEnded, RequestRefused, UnusableAnswer
from pycloud.client.records import KnownNode
from pycloud.errors import PyCloudError, RedisUnavailable
from pycloud.protocol.messages import DrainResponse
from pycloud.shell.base.context import Context
from pycloud.shell.base.lookup import find_nodes
from pycloud.shell.terminal.exit_codes import ExitCode, Interrupted, exit_code_for


def drain(context: Context, args: Namespace) -> int:
    """Drain nodes: they accept no new sessions."""
    nodes = find_nodes(context.client, args.nodes)
    code, drained = _send_to_all(context, nodes, draining=True)
    if args.wait and drained:
        return max(code, _wait_until_empty(context, drained))
    if code == ExitCode.DONE:
        context.printer.hint(f"Next: {context.prefix}drain {' '.join(nodes)} --wait")
    return code


def undrain(context: Context, args: Namespace) -> int:
    """End the draining of nodes: they accept sessions again."""
    return _send_to_all(context, find_nodes(context.client, args.nodes), draining=False)[0]


def _send_to_all(context: Context, nodes: Sequence[str], *, draining: bool) -> tuple[ExitCode, list[str]]:
    """Send the request to each node, also after failures. Returns the worst exit code and the nodes that succeeded."""
    codes, done = [ExitCode.DONE], []
    for node in nodes:
        try:
            _send_one(context, node, draining)
            done.append(node)
        except RedisUnavailable:
            raise
        except (NoCloud, NoAnswer, RequestRefused, UnusableAnswer) as error:
            context.printer.error(f"{node}: {error.message}")
            codes.append(exit_code_for(error))
        except KeyboardInterrupt:
            raise Interrupted(f"Stopped waiting for {node}; the request may still be carried out.") from None
    return max(codes), done


def _send_one(context: Context, node: str, draining: bool) -> None:
    printer, client = context.printer, context.client
    if context.prompt_state is not None:
        context.prompt_state.own_changes.add(node)
    reply = client.request("drain", {"cloud": node, "draining": draining}, timeout=context.timeout)
    response = msgspec.convert(reply.raise_for_error().response, DrainResponse)
    if printer.mode == "json":
        printer.line(reply.raw)
    elif printer.mode == "ids":
        printer.line(node)
    else:
        count = response.sessions or 0
        state = "is draining" if draining else "accepts sessions again"
        printer.line(f"{node} {state}; {count or 'no'} live session{'s' if count != 1 else ''}")
    if response.kept is False:
        printer.error(f"{node}: the node could not store this, so it ends at the next restart; see the log of the node")


def _wait_until_empty(context: Context, nodes: Sequence[str]) -> ExitCode:
    """Wait until no live session remains on ``nodes``. Raises NotEnded at the timeout, Interrupted on Ctrl-C, and
    PyCloudError where a node accepts sessions again.
    """
    printer, reported_away = context.printer, set[str]()
    remaining: dict[str, int] = {}
    try:
        for known in context.client.watch(
            context.client.known_nodes, every=1.0, timeout=context.timeout, on_loss=context.report_redis_loss
        ):
            found = [node for node in known if node.id in nodes]
            remaining = {
                node.id: node.sessions if node.heartbeat is None else node.heartbeat.sessions for node in found
            }
            if problem := _undrained_error(found):
                raise problem
            for node in found:
                if node.heartbeat is None and node.id not in reported_away:
                    reported_away.add(node.id)
                    printer.notice(f"Node {node.id} is offline; its sessions may still run.")
            if not any(remaining.values()):
                printer.hint("No live sessions remain.")
                return ExitCode.DONE
    except KeyboardInterrupt:
        raise Interrupted("Stopped waiting; the nodes are still draining.") from None
    count = sum(remaining.values())
    text = f"{count} live sessions remain" if count != 1 else "1 live session remains"
    raise NotEnded(f"{text}; wait again, or remove {'them' if count != 1 else 'it'}")


def _undrained_error(nodes: Sequence[KnownNode]) -> PyCloudError | None:
    """The error where an online node of ``nodes`` is not draining any more: the wait might never end."""
    for node in nodes:
        if node.heartbeat is not None and not node.heartbeat.draining:
            return PyCloudError(f"node {node.id} was undrained, and accepts sessions again; repeat the drain")
    return None
