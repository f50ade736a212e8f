r"""Templates that are text: scripts for bash and pages of Markdown.

Knows how a value is quoted where it will be read; must not know what the values are. In a script every placeholder becomes one word,
whatever its value holds, and a list one word for each item: write ``version=@{component.version}``, without quotes around it. In Markdown
it becomes text in which nothing is markup; in code it stays code, on one line. In a page of HTML it becomes text, in an element and in a
quoted attribute. Anywhere else values stand as they are.

>>> fill_text("a.sh", parse_template("name=@{name}; set -- @{words}"), {"name": "it's $HOME", "words": ["a b", "c"]})
'name=\'it\'"\'"\'s $HOME\'; set -- \'a b\' \'c\''
>>> fill_text("a.md", parse_template("is **@{name}**, `@{name}`"), {"name": "a*b|c"})
'is **a\\*b\\|c**, `a*b|c`'
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.model.number_format import format_scalar
from eidos.templates.placeholder import ABSENT, MalformedPlaceholder, parse_text
from eidos.wording import quote_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from eidos.templates.placeholder import Part

_MARKUP = {ord(char): "\\" + char for char in "\\`*_[]<>|&~#!$"}
_LINE_BREAKS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029), " ")
_HTML = {
    **dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(0x7F, 0xA0)), "\ufffd"),
    **{ord(char): f"&#{ord(char)};" for char in "&<>\"'"},
}


class Markdown(str):
    """Text that is Markdown already, and is not escaped again."""

    __slots__ = ()


class Html(str):
    """Text that is HTML already, and is not escaped again."""

    __slots__ = ()


def parse_template(text: str) -> list[Part]:
    """The parts of a text. Raises InvalidData with the line of a malformed placeholder."""
    try:
        return parse_text(text)
    except MalformedPlaceholder as fault:
        raise InvalidData(f"line {fault.line}: {fault.message}", fault.hint) from fault


def fill_text(path: str, parts: Sequence[Part], values: Mapping[str, Any]) -> str:
    """The text with values in place of its placeholders; the ending of ``path`` decides how they are quoted.

    Values are inserted as they are, and never searched for placeholders. Raises InvalidData with the line of a required name without one.
    """
    quote = _QUOTES.get(path[path.rfind(".") :], _plain)
    filled: list[str] = []
    for part in parts:
        if isinstance(part, str):
            # A paragraph of a page that came to nothing takes the empty line after it along.
            is_hollow = quote is _markdown and part.startswith("\n\n") and filled[-1:] == [""] and "".join(filled[-2:]).endswith("\n\n")
            filled.append(part[2:] if is_hollow else part)
            continue
        try:
            filled.append(quote(part.resolve(values), part.context))
        except InvalidData as fault:
            raise type(fault)(f"line {part.line}: {fault.message}", fault.hint) from fault
    return "".join(filled)


def _plain(value: Any, _: str) -> str:
    return "" if value is ABSENT else ", ".join(map(format_scalar, value)) if isinstance(value, (list, tuple)) else format_scalar(value)


def _shell_words(value: Any, _: str) -> str:
    items = value if isinstance(value, (list, tuple)) else ["" if value is ABSENT else value]
    words = [format_scalar(item) for item in items]
    if any("\0" in word for word in words):
        raise InvalidData("the value contains a NUL character, which a shell cannot take")
    return " ".join(map(shell_word, words))


def _markdown(value: Any, context: str) -> str:
    if isinstance(value, Markdown):
        return str(value)
    text = _plain(value, "")
    if not context:
        return escape_markdown(text)
    text = text.translate(_LINE_BREAKS)
    if context == "fence":
        return quote_word(text)
    return text.replace("`", "'")


def _html(value: Any, _: str) -> str:
    return str(value) if isinstance(value, Html) else _encodable(_plain(value, "")).translate(_HTML)


_QUOTES = {".sh": _shell_words, ".md": _markdown, ".html": _html}


def _encodable(text: str) -> str:
    """The text with a question mark for each lone surrogate."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def escape_markdown(text: str) -> str:
    r"""A text on one line of Markdown, or in a cell of a table, in which nothing is markup.

    >>> escape_markdown("a|b\nc")
    'a\\|b c'
    """
    return _encodable(text).translate(_LINE_BREAKS).translate(_MARKUP)


def markdown_code(text: str) -> str:
    """A code span of Markdown on one line."""
    flat = " ".join(_encodable(text).translate(_LINE_BREAKS).replace("`", "'").split())
    return f"`{flat or ' '}`"


def shell_word(text: str) -> str:
    """One word for a shell, always in single quotes, in which no character is special (POSIX.1-2017, Shell Command Language 2.2.2)."""
    return "'" + text.replace("'", "'\"'\"'") + "'"
