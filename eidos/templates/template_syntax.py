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
    for match in PlaceholderTemplate.pattern.finditer(text):
        literal += text[end : match.start()]
        end = match.end()
        if match["escaped"] is not None:
            literal += "@"
            continue
        if literal:
            parts.append(literal)
        literal = ""
        parts.append([match["braced"], text.count("\n", 0, match.start()) + 1, _context(text, match.start())])
    literal += text[end:]
    return [*parts, literal] if literal else parts


def placeholder_offsets(text: str) -> Iterator[int]:
    """Where each placeholder of a text begins."""
    return (match.start() for match in PlaceholderTemplate.pattern.finditer(text) if match["escaped"] is None)


def _context(text: str, start: int) -> str:
    line_start = text.rfind("\n", 0, start) + 1
    if sum(line.lstrip().startswith("```") for line in text[:line_start].split("\n")) % 2:
        return "fence"
    return "code" if text.count("`", line_start, start) % 2 else ""
