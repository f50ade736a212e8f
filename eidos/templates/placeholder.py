r"""Placeholders of templates: ``@{name}``, ``@{name?}``, ``@{name | default}``.

Knows how one is written and what it asks of a table of names; must not know what the names mean, nor what the text around it is.
``@@{`` is a literal ``@{``, and an ``@`` anywhere else is itself, so that scripts keep their ``"$@"``.

>>> [part if isinstance(part, str) else (part.name, part.optional) for part in parts("to @{where} by @{who?} @@{x}")]
['to ', ('where', False), ' by ', ('who', True), ' @{x}']
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.formats.block_yaml import scalar
from eidos.model.record import Record
from eidos.suggest import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Union

    Part = Union[str, "Expression"]

#: What stands for a name that is not there and may be missing.
ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "ABSENT", "__bool__": lambda self: False})()

#: No default is given.
DEFAULT: Any = object()


class Malformed(InvalidData):
    """A placeholder that is none."""


class Missing(InvalidData):
    """A name that is not there and has to be."""

    name = ""


class Expression(Record):
    """One placeholder: its name, whether that may be missing, and what stands in for it then."""

    name: str
    optional: bool = False
    default: Any = DEFAULT

    def value(self, names: Mapping[str, Any]) -> Any:
        """What it stands for; ABSENT when it may be missing and is. Raises Missing with the nearest name."""
        value = names.get(self.name, ABSENT)
        if value is ABSENT or (value in ("", None) and self.default is not DEFAULT):
            if self.default is not DEFAULT:
                return self.default
            if not self.optional:
                missing = Missing(f"nothing is known by the name {self.name!r}", did_you_mean(self.name, names))
                missing.name = self.name
                raise missing
        return value


def read(inner: str) -> Expression:
    """The expression between the braces; Malformed when there is none."""
    name, bar, default = inner.partition("|")
    name = name.strip()
    optional = name.endswith("?")
    name = name[:-1] if optional else name
    if not name or not name.isascii() or any(char.isspace() or char in "{}?@\"'" for char in name) or (bar and optional):
        raise Malformed(f"'@{{{inner}}}' is no placeholder", "write @{name}, @{name?} or @{name | default}")
    if not bar:
        return Expression(name, optional)
    default = default.strip()
    quoted = len(default) > 1 and default[0] == default[-1] and default[0] in "\"'"
    return Expression(name, False, default[1:-1] if quoted else scalar(default))


def parts(text: str) -> list[Part]:
    """``text`` in pieces: what stands as it is, and expressions; Malformed for a placeholder that does not end or is none."""
    found: list[Part] = []
    at = text.find("@{")
    start = 0
    literal = ""
    while at >= 0:
        literal += text[start:at]
        if literal.endswith("@"):
            literal = literal[:-1] + "@{"
            start = at + 2
        else:
            end = text.find("}", at)
            if end < 0 or "\n" in text[at:end]:
                raise Malformed(f"'{text[at : at + 20]}' begins a placeholder that does not end", "write @@{ for the characters @{")
            if literal:
                found.append(literal)
            literal = ""
            found.append(read(text[at + 2 : end]))
            start = end + 1
        at = text.find("@{", start)
    literal += text[start:]
    if literal:
        found.append(literal)
    return found


def line_of(text: str, name: str) -> int:
    """The line of the first placeholder for ``name``; 0 when there is none."""
    at = text.find("@{")
    while at >= 0:
        if text[at + 2 :].lstrip().startswith(name):
            return text.count("\n", 0, at) + 1
        at = text.find("@{", at + 2)
    return 0
