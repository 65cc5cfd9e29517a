"""How a script becomes a command."""

from __future__ import annotations

import pytest

from pycloud.keeper.system.exec_command import StartError, command_for, user_ids_of

SCRIPT = "/w/pycloud.init"


@pytest.mark.parametrize(
    ("script", "command"),
    [
        ("echo hello\n", ["/bin/sh"]),
        ("", ["/bin/sh"]),
        ("#!\necho\n", ["/bin/sh"]),
        ("#!  \t\necho\n", ["/bin/sh"]),
        ("#!/bin/sh", ["/bin/sh"]),
        ("#!/bin/sh\necho\r\n", ["/bin/sh"]),
        ("#! \t /bin/bash -e  \necho", ["/bin/bash", "-e"]),
        ("#!/usr/bin/env\tpython3\n", ["/usr/bin/env", "python3"]),
        ("#!/usr/bin/env -S python3 \t -u\n", ["/usr/bin/env", "-S python3 \t -u"]),
        (" #!/bin/bash\n", ["/bin/sh"]),
    ],
)
def test_the_first_line_is_read_as_linux_does(script: str, command: list[str]) -> None:
    assert command_for(script, SCRIPT) == [*command, SCRIPT]


def test_crlf_is_named() -> None:
    with pytest.raises(StartError, match="CRLF"):
        command_for("#!/bin/sh\r\necho\r\n", SCRIPT)


def test_an_interpreter_needs_a_full_path() -> None:
    with pytest.raises(StartError, match="#!/usr/bin/env python3"):
        command_for("#!python3 -u\n", SCRIPT)


def test_an_unknown_user_is_named() -> None:
    with pytest.raises(StartError, match="no-such-user"):
        user_ids_of("no-such-user")


def test_nobody_in_particular_is_nobody_else() -> None:
    assert user_ids_of(None) is None
