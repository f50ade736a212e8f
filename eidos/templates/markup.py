r"""Scripts for bash and pages of Markdown, filled in.

Knows how a value is quoted where it will be read; must not know what the values are, nor how a template is taken apart. In a script every
placeholder becomes one word, whatever is in it, and a list one word for each item: write ``version=@{component.version}``, without quotes
around it. In Markdown it becomes text in which nothing is markup; in code it stays code, on one line.

>>> fill("a.sh", parse("a.sh", "name=@{name}; set -- @{words}"), {"name": "it's $HOME", "words": ["a b", "c"]})
'name=\'it\'"\'"\'s $HOME\'; set -- \'a b\' \'c\''
>>> fill("a.md", parse("a.md", "is **@{name}**, `@{name}`"), {"name": "a*b|c"})
'is **a\\*b\\|c**, `a*b|c`'
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.model.number_format import format_scalar
from eidos.templates.placeholder import ABSENT, DEFAULT, Expression

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Union

    #: Text as it stands, or a placeholder: name, kind (0 required, 1 may be missing, 2 has a default), default, line, surroundings.
    Piece = Union[str, list[Any]]

_MARKUP = {ord(char): "\\" + char for char in "\\`*_[]<>|&~#!$"}
_BREAKS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029), " ")
_CODE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=+@,%")


class Markup(str):
    """Text that is Markdown already."""

    __slots__ = ()


def parse(path: str, text: str) -> list[Piece]:
    """A template taken apart; ``path`` says what it will be. Raises InvalidData with the line of a placeholder that is none."""
    from eidos.templates.text_template import Text

    return Text(text).pieces(path)


def fill(path: str, pieces: Sequence[Piece], names: Mapping[str, Any]) -> str:
    """The text with values in place of its placeholders; InvalidData with the line of a name that is missing."""
    say = _word if path.endswith(".sh") else _prose if path.endswith(".md") else _plain
    filled: list[str] = []
    for piece in pieces:
        if isinstance(piece, str):
            # A paragraph of a page that came to nothing takes the empty line after it along.
            hollow = say is _prose and piece.startswith("\n\n") and filled[-1:] == [""] and "".join(filled[-2:]).endswith("\n\n")
            filled.append(piece[2:] if hollow else piece)
            continue
        name, kind, default, line, surroundings = piece
        try:
            filled.append(say(Expression(name, kind == 1, default if kind == 2 else DEFAULT).value(names), surroundings))
        except InvalidData as fault:
            raise type(fault)(f"line {line}: {fault.message}", fault.hint) from fault
    return "".join(filled)


def _plain(value: Any, _: str) -> str:
    return "" if value is ABSENT else ", ".join(map(format_scalar, value)) if isinstance(value, (list, tuple)) else format_scalar(value)


def _word(value: Any, _: str) -> str:
    words = (
        [format_scalar(item) for item in value] if isinstance(value, (list, tuple)) else ["" if value is ABSENT else format_scalar(value)]
    )
    if any("\0" in word for word in words):
        raise InvalidData("the value holds a NUL, which no shell can take")
    return " ".join(map(quoted, words))


def _prose(value: Any, surroundings: str) -> str:
    if isinstance(value, Markup):
        return str(value)
    text = _plain(value, "").translate(_BREAKS)
    if surroundings == "fence":
        return text if text and set(text) <= _CODE else quoted(text)
    return text.replace("`", "'") if surroundings else text.translate(_MARKUP)


def quoted(word: str) -> str:
    """A word for a shell, always in single quotes, in which nothing means anything (POSIX.1-2017, Shell Command Language 2.2.2)."""
    return "'" + word.replace("'", "'\"'\"'") + "'"


def cell(text: str) -> str:
    r"""Text as it stands in a cell of a table.

    >>> cell("a|b\nc")
    'a\\|b c'
    """
    return text.translate(_BREAKS).translate(_MARKUP)
