"""``create`` alone at the prompt: several lines, typed or written in one's own editor."""

from __future__ import annotations

import stat

import pytest

from pycloud.shell.prompt.editor import KEY_HELP
from tests.support.pycloudctl import Shell
from tests.support.terminal import CTRL_C, CTRL_D, ENTER, UP, Screen
from tests.support.waiting import wait_until

ESC_ENTER, CTRL_X_CTRL_E = "\x1b\r", "\x18\x05"


@pytest.fixture
def editor(screen: Screen) -> Screen:
    """In the editor, on its first line."""
    screen.type(f"create -e MAP=castle{ENTER}")
    screen.shows(KEY_HELP.strip())
    return screen


@pytest.mark.parametrize("end", [ESC_ENTER, ENTER + CTRL_D])
def test_ux_02_a_script_of_several_lines(shell: Shell, editor: Screen, end: str) -> None:
    editor.type(f"#!/bin/sh{ENTER}echo hello{ENTER}\tsleep 60{end}")
    editor.shows("  1 #!/bin/sh", "  2 echo hello", "  3     sleep 60", "Next: status ")
    editor.asks()
    assert shell.node.heard[0].fields["script"] == "#!/bin/sh\necho hello\n    sleep 60\n"
    assert shell.node.heard[0].fields["env"] == {"MAP": "castle"}
    history = shell.home / ".local/state/pycloud/pycloudctl_history"
    assert "hello" not in history.read_text(), "scripts are no lines of the prompt"


def test_ctrl_c_starts_nothing_and_loses_nothing(shell: Shell, editor: Screen) -> None:
    editor.type(f"sleep 1{ENTER}sleep 2")
    editor.shows("  2 sleep 2")
    editor.type(CTRL_C)
    editor.shows("Nothing was started; ↑ restores the typed script.")
    editor.asks()
    editor.type(f"create{ENTER}")
    editor.shows(KEY_HELP.strip())
    editor.type(UP)
    wait_until(lambda: editor.text.count("  2 sleep 2") == 2, 20, lambda: editor.text)
    editor.type(ESC_ENTER)
    editor.shows("Next: status ")
    assert [heard.fields["script"] for heard in shell.node.heard] == ["sleep 1\nsleep 2\n"]


@pytest.mark.parametrize(
    ("key", "said"), [(CTRL_C, "Nothing was started"), (CTRL_D, "The script is empty, so nothing was started")]
)
def test_leaving_at_once(shell: Shell, editor: Screen, key: str, said: str) -> None:
    editor.type(key)
    editor.shows(said)
    editor.asks()
    assert shell.node.heard == []


def test_ones_own_editor(shell: Shell) -> None:
    own = shell.home / "my-editor"
    own.write_text('#!/bin/sh\ncat "$1" > "$HOME/seen"\nprintf "sleep 61\\nsleep 62\\n" > "$1"\n')
    own.chmod(own.stat().st_mode | stat.S_IXUSR)
    shell.env["VISUAL"] = str(own)
    screen = Screen(shell)
    screen.asks()
    screen.type(f"create{ENTER}")
    screen.shows(KEY_HELP.strip())
    screen.type("sleep 60" + CTRL_X_CTRL_E)
    screen.shows("  1 sleep 61", "  2 sleep 62")
    assert (shell.home / "seen").read_text() == "sleep 60"
    assert shell.node.heard == [], "one looks at it before it is started"
    screen.type(ESC_ENTER)
    screen.shows("Next: status ")
    assert shell.node.heard[0].fields["script"] == "sleep 61\nsleep 62\n"
    screen.close()
