"""``config show``: the settings of pycloudctl itself, and the source of each. Passwords are hidden."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pycloud.config import DEFAULT_REDIS, FROM_DEFAULT
from pycloud.config.loader import Host, iter_raw_settings, settings_files
from pycloud.protocol.keys import DEFAULT_NAMESPACE
from pycloud.shell.base.context import Context
from pycloud.shell.terminal.exit_codes import ExitCode
from pycloud.shell.terminal.output import printable
from pycloud.transport.url import hide_password

#: Settings of a client and their defaults, in the order shown.
DEFAULTS = {"redis": DEFAULT_REDIS, "namespace": DEFAULT_NAMESPACE}
FILE_PREFIX = "file "


@dataclass(frozen=True)
class SettingValue:
    """A setting. ``source``: a flag, a variable, a file, or the default. ``value`` may contain a password."""

    name: str
    value: str
    source: str

    @property
    def redacted(self) -> str:
        """The value with its password hidden."""
        return hide_password(self.value)

    @property
    def file(self) -> Path | None:
        """The settings file it came from; None for any other source."""
        return Path(self.source.removeprefix(FILE_PREFIX)) if self.source.startswith(FILE_PREFIX) else None


def setting_values(flags: Mapping[str, str], host: Host) -> list[SettingValue]:
    """The settings in effect, read from ``flags``, variables and files. Raises ConfigError where one is invalid."""
    found = {name: SettingValue(name, value, FROM_DEFAULT) for name, value in DEFAULTS.items()}
    files = settings_files(host, flags.get("config"), readable_only=True)
    for given in iter_raw_settings(files, host.environ, flags):  # the highest precedence comes last
        if given.setting.name in found:
            found[given.setting.name] = SettingValue(given.setting.name, str(given.read()), given.source)
    return list(found.values())


def config(context: Context, args: Namespace) -> int:
    """Print the settings and the source of each."""
    printer, found = context.printer, setting_values(context.flags, Host.current())
    if context.timeout is not None:
        found.append(SettingValue("timeout", f"{context.timeout:g}", "flag --timeout"))
    widest = max(len(value.redacted) for value in found)
    for value in found:
        if printer.mode == "json":
            row = {"name": value.name, "value": value.redacted, "source": value.source}
            printer.line(msgspec.json.encode(row))
        elif printer.mode == "ids":
            printer.line(value.name)
        else:
            printer.line(printable(f"{value.name:<9}  {value.redacted:<{widest}}  {value.source}"))
    return ExitCode.DONE
