"""``doctor``: examines Redis, the nodes and its own settings, and prints its findings."""

from __future__ import annotations

import stat
from argparse import Namespace
from collections.abc import Sequence

import msgspec

from pycloud.config import FROM_DEFAULT
from pycloud.config.loader import Host
from pycloud.errors import RedisUnavailable
from pycloud.shell.base.context import Context
from pycloud.shell.node_commands.config import SettingValue, setting_values
from pycloud.shell.node_commands.findings import Finding, findings
from pycloud.shell.terminal.exit_codes import ExitCode
from pycloud.shell.terminal.output import printable

#: What people read for the value of ``about`` for all nodes, which programs read as ``clouds``.
ABOUT_NODES = {"clouds": "nodes"}
COLOURS = {"ok": "32", "note": "33", "problem": "31"}
UNREACHABLE_ADVICE = "check that it runs and that the URL is correct; `config show` prints the source of the URL"


def doctor(context: Context, args: Namespace) -> int:
    """Print the findings. Returns exit code 1 where one is a problem."""
    context.printer.hint("Listening for heartbeats for a few seconds ...")
    found = check_settings(setting_values(context.flags, Host.current()))
    try:
        found += findings(context.client.diagnose())
    except RedisUnavailable as error:
        found.append(Finding("problem", "redis", error.message, UNREACHABLE_ADVICE))
    for finding in found:
        _print(context, finding)
    problems = sum(finding.level == "problem" for finding in found)
    context.printer.hint(f"{problems or 'No'} problem{'s' if problems != 1 else ''}.")
    return ExitCode.FAILED if problems else ExitCode.DONE


def check_settings(settings: Sequence[SettingValue]) -> list[Finding]:
    """The findings on pycloudctl's own settings, which must contain ``redis``."""
    (redis,) = (value for value in settings if value.name == "redis")
    found = [Finding("ok", "settings", f"redis is {redis.redacted} ({redis.source})")]
    secret = redis.redacted != redis.value
    if redis.source == FROM_DEFAULT:
        advice = "give the Redis that the nodes use (--redis, PYCLOUD_REDIS_URL), unless it runs on this host"
        found.append(Finding("note", "settings", "no Redis is configured, so the default is used", advice))
    if secret and redis.source.startswith("flag "):
        advice = "put the URL into PYCLOUD_REDIS_URL, or into a file that only you can read"
        found.append(Finding("note", "settings", "other users can see the password on the command line", advice))
    if secret and redis.file is not None and redis.file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        advice = f"chmod 600 {redis.file}, unless its group must read it"
        found.append(Finding("note", "settings", f"other users can read the password in {redis.file}", advice))
    return found


def _print(context: Context, finding: Finding) -> None:
    printer = context.printer
    if printer.mode == "json":
        printer.line(msgspec.json.encode(finding))
    elif printer.mode == "ids":
        printer.line(finding.about)
    else:
        level = f"{finding.level:<7}"
        shown = f"\x1b[{COLOURS[finding.level]}m{level}\x1b[0m" if printer.colour else level
        about = printable(ABOUT_NODES.get(finding.about, finding.about))
        printer.line(f"{shown}  {about:<10}  {printable(finding.text)}")
        if finding.advice:
            printer.line(f"{'':<21}to do: {printable(finding.advice)}")
