r"""The syntax of placeholders, on top of ``string.Template``.

Knows where a placeholder begins and ends, and the Markdown around it; must not know what is written between its braces. The delimiter is
one that shells, Markdown and YAML leave alone. This module is imported only for a text that nobody has split before: ``string`` imports
``re``, which takes longer than filling in a whole bundle, so the archive carries its templates already split.

>>> split_text('name=@{name} "$@" @@{x}')
['name=', ['name', 1, ''], ' "$@" @{x}']
>>> split_text("`@{a | 1}` @{b")
['`', ['a | 1', 1, 'code'], '` ', [None, 1, ''], 'b']
"""

from __future__ import annotations

import re
from string import Template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, ClassVar


class PlaceholderTemplate(Template):
    """``string.Template`` that recognises the braced form alone: ``@{…}`` on one line, and ``@@{`` for a literal ``@{``."""

    delimiter = "@"
    flags = re.ASCII
    # The four groups that string.Template requires; an @ before anything but a brace is itself.
    pattern: ClassVar[Any] = r"@(?:(?P<escaped>@(?=\{))|(?P<named>(?!))|\{(?P<braced>[^{}\n]*)\}|(?P<invalid>\{))"


def split_text(text: str) -> list[Any]:
    """Literal text, and for each placeholder a list: what is between its braces (None when they do not close), its line, its context.

    The context is what Markdown makes of it: "fence" inside a fenced block, "code" inside a code span, else "". Lists and strings alone,
    so that JSON can carry them.
    """
    parts: list[Any] = []
    literal = ""
    end = 0
    location = _Location(text)
    for match in PlaceholderTemplate.pattern.finditer(text):
        literal += text[end : match.start()]
        end = match.end()
        if match["escaped"] is not None:
            literal += "@"
            continue
        if literal:
            parts.append(literal)
        literal = ""
        location.advance(match.start())
        parts.append([match["braced"], location.line, location.context()])
    literal += text[end:]
    return [*parts, literal] if literal else parts


def placeholder_offsets(text: str) -> Iterator[int]:
    """Where each placeholder of a text begins."""
    return (match.start() for match in PlaceholderTemplate.pattern.finditer(text) if match["escaped"] is None)


class _Location:
    """A position that moves forward through a text, with its line and the Markdown around it."""

    def __init__(self, text: str) -> None:
        self.line = 1
        self._text = text
        self._line_start = self._position = 0
        self._fences = self._ticks = 0

    def advance(self, position: int) -> None:
        """Move to ``position``, which is not before the present one."""
        line_end = self._text.find("\n", self._position, position)
        while line_end >= 0:
            self._fences += self._text[self._line_start : line_end].lstrip().startswith("```")
            self.line += 1
            self._line_start = self._position = line_end + 1
            self._ticks = 0
            line_end = self._text.find("\n", self._position, position)
        self._ticks += self._text.count("`", self._position, position)
        self._position = position

    def context(self) -> str:
        """Return "fence" below an odd number of fences, "code" behind an odd number of back-ticks in the line, else ""."""
        return "fence" if self._fences % 2 else "code" if self._ticks % 2 else ""
