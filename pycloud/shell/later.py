"""Commands whose code is loaded only when they are typed, so that the others start no later for them."""

from __future__ import annotations

from argparse import Namespace

from pycloud.shell.context import Context


def list_sessions(context: Context, args: Namespace) -> int:
    """List sessions."""
    from pycloud.shell.listing import list_sessions

    return list_sessions(context, args)


def remove(context: Context, args: Namespace) -> int:
    """End sessions and delete what is left of them."""
    from pycloud.shell.removing import remove

    return remove(context, args)


def events(context: Context, args: Namespace) -> int:
    """Print what happened."""
    from pycloud.shell.happenings import events

    return events(context, args)


def wait(context: Context, args: Namespace) -> int:
    """Wait for the end of a session."""
    from pycloud.shell.outcome import wait

    return wait(context, args)


def inspect(context: Context, args: Namespace) -> int:
    """Tell all that is known of a session."""
    from pycloud.shell.inspecting import inspect

    return inspect(context, args)


def clouds(context: Context, args: Namespace) -> int:
    """List the clouds."""
    from pycloud.shell.clouds import clouds

    return clouds(context, args)


def drain(context: Context, args: Namespace) -> int:
    """Let clouds take nothing new."""
    from pycloud.shell.draining import drain

    return drain(context, args)


def undrain(context: Context, args: Namespace) -> int:
    """Let clouds take sessions again."""
    from pycloud.shell.draining import undrain

    return undrain(context, args)


def top(context: Context, args: Namespace) -> int:
    """Show clouds and sessions on the whole screen."""
    from pycloud.shell.top import top

    return top(context, args)


def watch(context: Context, args: Namespace) -> int:
    """Tell what happens above the prompt, or do not."""
    from pycloud.shell.watching import watch

    return watch(context, args)


def config(context: Context, args: Namespace) -> int:
    """Show the settings of pycloudctl."""
    from pycloud.shell.configuration import config

    return config(context, args)


def doctor(context: Context, args: Namespace) -> int:
    """Find out what is wrong."""
    from pycloud.shell.doctor import doctor

    return doctor(context, args)
