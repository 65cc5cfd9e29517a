"""Commands whose code is loaded only when they are typed, so that the others start no later for them."""

from __future__ import annotations

from argparse import Namespace

from pycloud.shell.base.context import Context


def list_sessions(context: Context, args: Namespace) -> int:
    """List sessions."""
    from pycloud.shell.session_commands.list import list_sessions

    return list_sessions(context, args)


def remove(context: Context, args: Namespace) -> int:
    """End sessions and delete what is left of them."""
    from pycloud.shell.session_commands.remove import remove

    return remove(context, args)


def events(context: Context, args: Namespace) -> int:
    """Print what happened."""
    from pycloud.shell.node_commands.events import events

    return events(context, args)


def wait(context: Context, args: Namespace) -> int:
    """Wait for the end of a session."""
    from pycloud.shell.session_commands.wait import wait

    return wait(context, args)


def inspect(context: Context, args: Namespace) -> int:
    """Tell all that is known of a session."""
    from pycloud.shell.session_commands.inspect import inspect

    return inspect(context, args)


def clouds(context: Context, args: Namespace) -> int:
    """List the clouds."""
    from pycloud.shell.node_commands.nodes import clouds

    return clouds(context, args)


def drain(context: Context, args: Namespace) -> int:
    """Let clouds take nothing new."""
    from pycloud.shell.node_commands.drain import drain

    return drain(context, args)


def undrain(context: Context, args: Namespace) -> int:
    """Let clouds take sessions again."""
    from pycloud.shell.node_commands.drain import undrain

    return undrain(context, args)


def top(context: Context, args: Namespace) -> int:
    """Show clouds and sessions on the whole screen."""
    from pycloud.shell.top.command import top

    return top(context, args)


def watch(context: Context, args: Namespace) -> int:
    """Tell what happens above the prompt, or do not."""
    from pycloud.shell.node_commands.watch import watch

    return watch(context, args)


def config(context: Context, args: Namespace) -> int:
    """Show the settings of pycloudctl."""
    from pycloud.shell.node_commands.config import config

    return config(context, args)


def doctor(context: Context, args: Namespace) -> int:
    """Find out what is wrong."""
    from pycloud.shell.node_commands.doctor import doctor

    return doctor(context, args)
