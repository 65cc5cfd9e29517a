"""The messages of a stream that ``logs`` prints for programs."""

from __future__ import annotations

from pycloud.client.logs import Ended, Output, Skipped
from pycloud.protocol.messages import encode
from pycloud.shell.session_commands.logs import to_stream_message


def test_what_is_printed_for_programs() -> None:
    assert (
        encode(to_stream_message(Output(3, b"\xff")))
        == b'{"kind":"output","offset":3,"data":"/w==","encoding":"base64"}'
    )
    assert encode(to_stream_message(Skipped(3, None))) == b'{"kind":"skipped","offset":3,"bytes":null}'
    gone = to_stream_message(Ended(3, "unknown", reason="r"))
    assert encode(gone) == b'{"kind":"end","offset":3,"state":"unknown","reason":"r"}'
    assert (
        encode(to_stream_message(Ended(3, "exited"))) == b'{"kind":"end","offset":3,"state":"exited","exit_code":null}'
    )
