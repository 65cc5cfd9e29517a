"""``drain`` and ``undrain``: clouds are told, and with ``--wait`` they are watched until nothing lives there."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

import msgspec

from pycloud.client.clouds import KnownCloud
from pycloud.client.errors import NoAnswer, NoCloud, NotEnded, RequestRefused, UnusableAnswer
from pycloud.errors import PyCloudError, RedisUnavailable
from pycloud.protocol.messages import DrainResponse
from pycloud.shell.base.cloud_lookup import find_clouds
from pycloud.shell.base.context import Context
from pycloud.shell.terminal.exit_codes import Exit, Interrupted, code_of


def drain(context: Context, args: Namespace) -> int:
    """Tell clouds to take nothing new."""
    clouds = find_clouds(context.client, args.clouds)
    code, done = _tell(context, clouds, draining=True)
    if args.wait and done:
        return max(code, _wait(context, done))
    if code == Exit.DONE:
        context.printer.hint(f"Next: {context.prefix}drain {' '.join(clouds)} --wait")
    return code


def undrain(context: Context, args: Namespace) -> int:
    """Tell clouds to take sessions again."""
    return _tell(context, find_clouds(context.client, args.clouds), draining=False)[0]


def _tell(context: Context, clouds: Sequence[str], *, draining: bool) -> tuple[Exit, list[str]]:
    """Tell each, whatever becomes of the others: the worst code, and those that have done it."""
    codes, done = [Exit.DONE], []
    for cloud in clouds:
        try:
            _tell_one(context, cloud, draining)
            done.append(cloud)
        except RedisUnavailable:
            raise
        except (NoCloud, NoAnswer, RequestRefused, UnusableAnswer) as error:
            context.printer.complain(f"{cloud}: {error.message}")
            codes.append(code_of(error))
        except KeyboardInterrupt:
            raise Interrupted(f"Stopped waiting for {cloud}; it may still do it.") from None
    return max(codes), done


def _tell_one(context: Context, cloud: str, draining: bool) -> None:
    printer, client = context.printer, context.client
    if context.conversation is not None:
        context.conversation.touched.add(cloud)
    answer = client.request("drain", {"cloud": cloud, "draining": draining}, timeout=context.timeout)
    response = msgspec.convert(answer.accepted().response, DrainResponse)
    if printer.mode == "json":
        printer.line(answer.raw)
    elif printer.mode == "ids":
        printer.line(cloud)
    else:
        count = response.sessions or 0
        state = "takes nothing new" if draining else "takes sessions again"
        printer.line(f"{cloud} {state}; {count or 'no'} session{'s' if count != 1 else ''} there")
    if response.kept is False:
        printer.complain(f"{cloud}: it could not write that down (see its log), and forgets it when it is restarted")


def _wait(context: Context, clouds: Sequence[str]) -> Exit:
    """Until no session lives on any of them. Raises NotEnded when the time is up."""
    printer, told = context.printer, set[str]()

    def lost(error: RedisUnavailable | None) -> None:
        printer.say("Redis is back." if error is None else f"{error.message}; going on as soon as it is back.")

    left: dict[str, int] = {}
    try:
        for known in context.client.watch(
            context.client.known_clouds, every=1.0, timeout=context.timeout, on_loss=lost
        ):
            found = [cloud for cloud in known if cloud.id in clouds]
            left = {cloud.id: cloud.sessions if cloud.rank is None else cloud.rank.sessions for cloud in found}
            if problem := _undone(found):
                raise problem
            for cloud in found:
                if cloud.rank is None and cloud.id not in told:
                    told.add(cloud.id)
                    printer.say(f"Cloud {cloud.id} is away; its sessions may go on there.")
            if not any(left.values()):
                printer.hint("No session lives there any more.")
                return Exit.DONE
    except KeyboardInterrupt:
        raise Interrupted("Stopped waiting; nothing new is taken there all the same.") from None
    count = sum(left.values())
    raise NotEnded(f"{count} session{'s' if count != 1 else ''} still live{'' if count != 1 else 's'} there")


def _undone(clouds: Sequence[KnownCloud]) -> PyCloudError | None:
    """Somebody has told one of them otherwise: there may be no end to it."""
    for cloud in clouds:
        if cloud.rank is not None and not cloud.rank.draining:
            return PyCloudError(f"cloud {cloud.id} takes sessions again: somebody has told it to")
    return None
