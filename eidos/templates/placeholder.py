r"""Placeholders: how one is parsed, and what it resolves to.

Knows the form of a placeholder and how it looks up its name in a table of values; must not know what the names mean, nor what kind of text
is around it.

====================  =================================================================================
``@{name}``           the value of that name; MissingValue without one
``@{name?}``          the value, or ABSENT
``@{name | word}``    the value, or the default, a scalar of YAML, where it is absent, null or empty text
``@@{``               a literal ``@{``; an ``@`` anywhere else is itself, so scripts keep their ``"$@"``
====================  =================================================================================

>>> [part if isinstance(part, str) else (part.name, part.kind) for part in parse_text("to @{node} by @{user?} @@{x}")]
['to ', ('node', 'required'), ' by ', ('user', 'optional'), ' @{x}']
>>> [part.resolve({"a": ""}) for part in parse_text("@{a | 1}@{b?}") if isinstance(part, Placeholder)]
[1, ABSENT]
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.formats.yaml_scalars import resolve_plain
from eidos.model.record import Record
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Union

    Part = Union[str, "Placeholder"]

REQUIRED, OPTIONAL, DEFAULT = "required", "optional", "default"

#: What an optional placeholder without a value resolves to. It is false.
ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "ABSENT", "__bool__": lambda self: False})()

#: Text → its parts, for every text that was parsed.
_parsed: dict[str, list[Part]] = {}

#: Text → what ``split_text`` returns for it, for every text that the archive brings already split.
_splits: dict[str, Sequence[Any]] = {}


class MalformedPlaceholder(InvalidData):
    """A placeholder whose syntax is wrong; ``line`` is its line in the text that was parsed."""

    line = 0


class MissingValue(InvalidData):
    """A required placeholder, of that ``name``, has no value."""

    name = ""


class Placeholder(Record):
    """One placeholder; ``line`` is where it stands in its text, ``context`` the Markdown around it: "fence", "code" or ""."""

    name: str
    kind: str = REQUIRED
    default: Any = None
    line: int = 1
    context: str = ""

    def resolve(self, values: Mapping[str, Any]) -> Any:
        """The value; ABSENT for an optional one that has none. Raises MissingValue, with the nearest name as its hint."""
        value = values.get(self.name, ABSENT)
        if self.kind == DEFAULT:
            return self.default if value is ABSENT or value in ("", None) else value
        if value is ABSENT and self.kind == REQUIRED:
            fault = MissingValue(f"undefined variable {self.name!r}", did_you_mean(self.name, values))
            fault.name = self.name
            raise fault
        return value


def parse_text(text: str) -> list[Part]:
    """Literal text and placeholders, in order. Raises MalformedPlaceholder.

    Each text is parsed once in a process: templates are few, and filled in again and again.
    """
    if "@{" not in text:
        return [text] if text else []
    parts = _parsed.get(text)
    if parts is None:
        split = _splits.get(text) or split_line(text)
        if split is None:
            from eidos.templates.template_syntax import split_text

            split = split_text(text)
        parts = _parsed[text] = [part if isinstance(part, str) else _parse_placeholder(*part) for part in split]
    return parts


def split_line(text: str) -> list[Any] | None:
    """What ``split_text`` returns for a line without escapes and Markdown, at a fraction of its cost; None for any other text.

    >>> split_line("@{a | 1}:@{b}"), split_line("`@{a}`"), split_line("@{a")
    ([['a | 1', 1, ''], ':', ['b', 1, '']], None, None)
    """
    if "\n" in text or "`" in text or "~" in text or "@@" in text or "\r" in text:
        return None
    first, *rest = text.split("@{")
    parts: list[Any] = [first] if first else []
    for each in rest:
        inner, brace, after = each.partition("}")
        if not brace or "{" in inner:
            return None
        parts.append([inner, 1, ""])
        if after:
            parts.append(after)
    return parts


def preload(splits: Mapping[str, Sequence[Any]]) -> None:
    """Remember texts that were split when the archive was built."""
    _splits.update(splits)


#: Blanks of ASCII, and marks of the syntax.
_NOT_IN_NAMES = frozenset(" \t\n\v\f\r\x1c\x1d\x1e\x1f{}?@\"'")


def _parse_placeholder(inner: str | None, line: int, context: str) -> Placeholder:
    name, bar, word = (inner or "").partition("|")
    name = name.strip()
    is_optional = name.endswith("?")
    name = name[:-1] if is_optional else name
    if not name or not name.isascii() or not _NOT_IN_NAMES.isdisjoint(name) or (bar and is_optional):
        fault = MalformedPlaceholder(f"invalid placeholder '@{{{inner}}}'", "write @{name}, @{name?} or @{name | default}")
        if inner is None:
            fault = MalformedPlaceholder("unclosed placeholder '@{'", "write @@{ for the characters @{")
        fault.line = line
        raise fault
    if not bar:
        return Placeholder(name, OPTIONAL if is_optional else REQUIRED, None, line, context)
    word = word.strip()
    is_quoted = len(word) > 1 and word[0] == word[-1] and word[0] in "\"'"
    return Placeholder(name, DEFAULT, word[1:-1] if is_quoted else resolve_plain(word), line, context)
