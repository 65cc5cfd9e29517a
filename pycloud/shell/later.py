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


def config(context: Context, args: Namespace) -> int:
    """Show the settings of pycloudctl."""
    from pycloud.shell.configuration import config

    return config(context, args)


def doctor(context: Context, args: Namespace) -> int:
    """Find out what is wrong."""
    from pycloud.shell.doctor import doctor

    return doctor(context, args)
