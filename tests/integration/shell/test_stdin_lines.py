"""pycloudctl without a command where standard input is no terminal: commands line by line."""

from __future__ import annotations

from tests.support.pycloudctl import Shell


def test_all_lines_are_run_and_the_first_failure_counts(shell: Shell) -> None:
    session = shell.obedient.add()
    lines = f"""
        # what has become of it?
        status {session} -o ids   # a comment
        craete x
        status 0123456789cccccccccc -o ids
        remove '{session[:8]}'
    """
    result = shell.run(stdin=lines.encode())

    assert result.code == 2
    assert "did you mean create?" in result.err
    assert result.lines == [session, f"{session} removed"]


def test_all_well(shell: Shell) -> None:
    session = shell.obedient.add()
    result = shell.run("-o", "ids", stdin=f"list\nstatus {session}\nhelp status\nexit\nlist\n".encode())

    assert (result.code, result.err) == (0, "")
    assert result.lines[:2] == [session, session]
    assert result.lines[-1] != session


def test_no_line_at_all_is_a_usage_problem(shell: Shell) -> None:
    result = shell.run(stdin=b"\n# nothing\n")

    assert result.code == 2
    assert "no command" in result.err


def test_the_script_cannot_come_from_there_too(shell: Shell) -> None:
    result = shell.run(stdin=b"create -\nlist\n")

    assert result.code == 2
    assert "name a file" in result.err
    assert not shell.node.heard


def test_a_quotation_that_does_not_end(shell: Shell) -> None:
    result = shell.run(stdin=b"status 'abc\nlist\n")

    assert result.code == 2
    assert "quotation" in result.err
