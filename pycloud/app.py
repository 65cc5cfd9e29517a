"""The daemon's command line: ``pycloud``, ``bin/pycloud`` and ``python3 -m pycloud.app``.

Reads the settings, detaches if requested, takes the locks, patches for gevent, and only then loads the daemon's
modules. So nothing here may import gevent, redis or anything that opens sockets at the top of the file: a module that
was loaded before patching keeps the blocking functions.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import sys
from collections.abc import Callable, Sequence

import pycloud
from pycloud.cli import control, directories, new_id
from pycloud.cli.daemonize import ReadinessPipe, StartResult, complete_stdio, daemonize
from pycloud.cli.pidfile import PidFile, holder
from pycloud.config import Config, detection
from pycloud.config.loader import Host, add_flags, load, suggestion
from pycloud.errors import ConfigError, PyCloudError
from pycloud.transport.url import hide_password

#: Thresholds of the garbage collector (``gc.set_threshold``). A daemon's objects are long-lived, and few of them are
#: cyclic garbage, so collections are rare and mostly of the youngest generation. With Python's default thresholds the
#: collector takes a sixth of the CPU time of a node under load.
GC_THRESHOLDS = (20_000, 20, 50)

NO_REDIS = "no Redis is set: start this container with -e PYCLOUD_REDIS_URL=redis://HOST:6379/0"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    0: done, 1: failed, 2: wrong usage or settings, 130: interrupted; with --status also 3: not running, 4: unknown.
    """
    complete_stdio()
    return _exit_code(lambda: _run(_arguments(argv)))


def _exit_code(run: Callable[[], int]) -> int:
    """The exit code of ``run``, which reports its errors by raising them."""
    try:
        return run()
    except ConfigError as error:
        code, message = 2, error.message
    except PyCloudError as error:
        code, message = 1, error.message
    except KeyboardInterrupt:
        code, message = 130, "interrupted"
    print(f"pycloud: {message}", file=sys.stderr)
    return code


def raise_descriptor_limit() -> int:
    """Raise this process' soft limit on open files to the hard limit. Returns the former soft limit, for sessions."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft


def tune_gc() -> None:
    """Exclude all objects loaded so far from garbage collection, and collect the rest at GC_THRESHOLDS."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(*GC_THRESHOLDS)


def serve(config: Config, ready: Callable[[], None], *, foreground: bool) -> int:
    """Run the daemon in this process. Returns its exit code; raises PyCloudError."""
    with (
        PidFile(config.lock_file, f"uses the data directory {config.data_dir} already"),
        PidFile(config.pid_file, f"holds the pid file {config.pid_file} already"),
    ):
        return _serve_patched(config, ready, foreground)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="pycloud",
        description="Run a node: start sessions on request over Redis. Without --daemon, run in the foreground.",
        epilog="A flag overrides the environment variable of its setting, which overrides the file, which overrides "
        "the default. The file is TOML; its keys are the names of the flags with _ for -, those of containers in a "
        "table [docker].",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pycloud {pycloud.__version__}")
    actions = parser.add_mutually_exclusive_group()
    for name, text in (
        ("daemon", "run in the background; returns when the node is ready"),
        ("stop", "stop the daemon and wait until it has ended (with --on-stop remove: and its sessions too)"),
        ("restart", "stop the daemon if it runs, then start it in the background"),
        ("status", "print whether the daemon runs (exit code 0: yes, 3: no, 4: permission denied)"),
        ("check-config", "check the settings and exit"),
        ("new-id", "give a copied data directory a node id of its own"),
    ):
        actions.add_argument(f"--{name}", dest="action", action="store_const", const=name, help=text)
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="settings file (default: /etc/pycloud/pycloud.toml, then ~/.config/pycloud/pycloud.toml; "
        "variable PYCLOUD_CONFIG)",
    )
    add_flags(parser.add_argument_group("settings"))
    found, unknown = parser.parse_known_args(argv)
    if unknown:
        flags = [flag for action in parser._actions for flag in action.option_strings]
        raise ConfigError(f"unknown argument {unknown[0]}{suggestion(unknown[0], flags)}")
    return found


def _run(arguments: argparse.Namespace) -> int:
    action = arguments.action
    config = load(vars(arguments), Host.current(), config_file=arguments.config, daemon=action in ("daemon", "restart"))
    if action == "status":
        return control.status(config)
    if action == "stop":
        return control.stop(config)
    if action == "new-id":
        return new_id.new_id(config)
    config = detection.resolve_auto(config)
    if missing := detection.socket_permission_error(config):
        raise ConfigError(missing)
    _require_redis(config)
    if action == "check-config":
        from pycloud.runtimes import factory  # loads modules that a daemon must not load before patching

        factory.check(config)
        read = ", ".join(map(str, config.files)) or "no file"
        print(f"configuration is ok (read: {read})")
        return 0
    directories.prepare(config)
    if action == "restart" and holder(config.pid_file) and (failed := _stop_in_child(config)):
        return failed
    if action is None:
        return serve(config, _on_ready_noop, foreground=True)
    return _start_daemon(config)


def _stop_in_child(config: Config) -> int:
    """Stop the daemon; returns 0, or the exit code of a failure.

    In a process of its own: it may load modules that a daemon must not load before patching (``Runtime.end_all``).
    """
    sys.stdout.flush()
    child = os.fork()
    if not child:
        code = _exit_code(lambda: 0 * control.stop(config))
        sys.stdout.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _require_redis(config: Config) -> None:
    """Raise ConfigError in a container without a configured Redis: a private one on its loopback is unreachable."""
    if detection.drives_engine(config) and not config.was_set("redis") and not config.embedded_redis:
        raise ConfigError(NO_REDIS)


def _on_ready_noop() -> None:
    """Does nothing: in the foreground the log reports that the node is ready."""


def _start_daemon(config: Config) -> int:
    assert config.log_file is not None  # load() sets it for every daemon
    result = daemonize(lambda readiness: _serve_detached(config, readiness), config.log_file, config.start_timeout)
    if not result.ready:
        raise PyCloudError(_startup_failure_reason(result, config))
    print(f"pycloud is running: pid {result.pid}, log {config.log_file}")
    return 0


def _startup_failure_reason(result: StartResult, config: Config) -> str:
    if result.reason is not None:
        return result.reason
    if not result.timed_out:
        return f"the daemon ended before it was ready; see its log: {config.log_file}"
    from pycloud.transport.probe import (
        unreachable_reason,  # loads redis: the daemon has its own process, this one is about to end
    )

    probe_error = unreachable_reason(config.redis)
    redis_status = (
        f"Redis at {hide_password(config.redis)} does not answer: {probe_error}" if probe_error else "Redis does answer"
    )
    return f"not ready within {config.start_timeout:g} s, so it was stopped; {redis_status}; log: {config.log_file}"


def _serve_detached(config: Config, readiness: ReadinessPipe) -> int:
    try:
        return serve(config, readiness, foreground=False)
    except PyCloudError as error:
        print(f"pycloud: {error.message}", file=sys.stderr, flush=True)  # standard error is the log file now
        readiness.failed(error.message)
        return 2 if isinstance(error, ConfigError) else 1


def _serve_patched(config: Config, ready: Callable[[], None], foreground: bool) -> int:
    gc.disable()  # objects created while loading are long-lived
    import gevent
    from gevent import monkey

    # The real subprocess, os and signal: gevent's Popen is five times slower, and with only some of the three patched
    # the real one hangs.
    monkey.patch_all(subprocess=False, os=False, signal=False)
    gevent.config.track_greenlet_tree = False  # the place of each spawn is never read, and costs time and memory

    import logging

    from pycloud.cli import logging_setup
    from pycloud.cli.embedded_redis import private_redis
    from pycloud.daemon.daemon import run

    logging_setup.set_up(config.log_level, config.log_file)
    if os.geteuid() == 0 and config.run_as is None and "script" in config.runtime:
        logging.getLogger(__name__).warning(
            "running as root, so scripts run as root too; --run-as USER sets another user"
        )
    for warning in detection.startup_warnings(config):
        logging.getLogger(__name__).warning(warning)
    nofile = raise_descriptor_limit()
    tune_gc()
    with private_redis(config, foreground=foreground, in_container=detection.drives_engine(config)):
        return run(config, nofile=nofile, ready=ready)


if __name__ == "__main__":
    sys.exit(main())
