"""Syntax highlighting for a script while it is typed; its first line determines the language."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer, PygmentsLexer
from pygments.lexers import get_lexer_by_name
from pygments.lexers.data import JsonLexer
from pygments.lexers.shell import BashLexer
from pygments.util import ClassNotFound

from pycloud.protocol.container_spec import possible_runtimes

LineStyler = Callable[[int], StyleAndTextTuples]


class ScriptLexer(Lexer):
    """Highlights a shell script, a script of another interpreter, or an image name followed by a JSON object."""

    def lex_document(self, document: Document) -> LineStyler:
        """A function that returns the styled text of a line, by its index."""
        if possible_runtimes(document.text) == ("docker",):
            return _lex_image_script(document)
        return _lexer(interpreter(document.lines[0])).lex_document(document)


def interpreter(first_line: str) -> str:
    """The interpreter in a first line ``#!...``, without path and version; ``sh`` for any other first line."""
    words = [word for word in first_line.removeprefix("#!").split() if not word.startswith("-")]
    programs = [word.rpartition("/")[2].rstrip("0123456789.") for word in words]
    if not first_line.startswith("#!") or not programs:
        return "sh"
    return programs[1] if programs[0] == "env" and len(programs) > 1 else programs[0]


@lru_cache
def _lexer(name: str) -> PygmentsLexer:
    try:
        return PygmentsLexer(type(get_lexer_by_name(name)))
    except ClassNotFound:
        return PygmentsLexer(BashLexer)


def _lex_image_script(document: Document) -> LineStyler:
    """The first line that is not empty is the image name; the rest is JSON."""
    image_line = next((place for place, line in enumerate(document.lines) if line.strip()), 0)
    json_lines = PygmentsLexer(JsonLexer).lex_document(Document("\n".join(document.lines[image_line + 1 :])))

    def line(number: int) -> StyleAndTextTuples:
        if number > image_line:
            return json_lines(number - image_line - 1)
        return [("class:pygments.keyword", document.lines[number])] if number < len(document.lines) else []

    return line
