"""Parts that documents of every kind are made of, read from plain trees.

Knows measurements and scalars as they stand on the wire, and how a fault in them is said; must not know any particular document.
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.model.measurement import TYPES, Measurement, Subtype
from eidos.model.number_format import written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.model.measurement import Readings


class Reader:
    """Reads parts of one document; ``where`` names it, ``at`` is always the place of the part."""

    def __init__(self, where: str) -> None:
        self.where = where

    def fault(self, at: str, reason: str, hint: str | None = None) -> InvalidData:
        """What to raise for a part that cannot be read."""
        return InvalidData(f"{self.where}: {at}: {reason}" if at else f"{self.where}: {reason}", hint)

    def wrong(self, at: str, expected: str, found: object) -> InvalidData:
        """What to raise where something else stands than what is expected."""
        return self.fault(at, f"expected {expected}, found {noun(found)}")

    def mapping(self, value: Any, at: str) -> dict[str, Any]:
        """A mapping; nothing is an empty one."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong(at, "a mapping", value)
        return value

    def items(self, value: Any, at: str) -> list[tuple[Any, str]]:
        """The items of a list, each with its place; nothing is an empty one."""
        if value is None:
            return []
        if not isinstance(value, (list, tuple)):
            raise self.wrong(at, "a list", value)
        return [(item, f"{at}[{number}]") for number, item in enumerate(value)]

    def text(self, value: Any, at: str) -> str:
        """Text; a number stands for what was written: versions are easily left without quotes."""
        if isinstance(value, (dict, list, tuple)):
            raise self.wrong(at, "text", value)
        return written(value)

    def name(self, value: Any, at: str) -> str:
        """Text that is not empty."""
        text = self.text(value, at)
        if not text:
            raise self.fault(at, "expected a name, found nothing")
        return text

    def texts(self, value: Any, at: str) -> dict[str, str]:
        """A mapping of texts."""
        return {key: self.text(item, f"{at}.{key}") for key, item in self.mapping(value, at).items()}

    def number(self, value: Any, at: str) -> float:
        """A number that is not negative."""
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value - value != 0 or value < 0:
            raise self.fault(at, f"expected a number, found {short(value)}")
        return value

    def measurement(self, value: Any, at: str) -> Measurement:
        """One measurement; its type is read without regard to case."""
        tree = self.mapping(value, at)
        name = self.name(tree.get("type"), f"{at}.type")
        if name.lower() not in TYPES:
            raise self.fault(f"{at}.type", f"unknown type {short(name)}", f"types are {', '.join(TYPES.values())}")
        subtypes = self.items(tree.get("subtypes"), f"{at}.subtypes")
        return Measurement(TYPES[name.lower()], tuple(self.subtype(item, place) for item, place in subtypes))

    def subtype(self, value: Any, at: str) -> Subtype:
        """One subtype, with its readings and their context."""
        tree = self.mapping(value, at)
        name = self.name(tree.get("subtype"), f"{at}.subtype")
        return Subtype(name, self.readings(tree.get("data"), f"{at}.data"), self.texts(tree.get("context"), f"{at}.context"))

    def readings(self, value: Any, at: str) -> Readings:
        """Scalars by key."""
        data = self.mapping(value, at)
        for key, item in data.items():
            if not isinstance(item, (str, int, float)):
                hint = 'write "" for a value that is empty' if item is None else None
                raise self.fault(f"{at}.{key}", f"expected a scalar, found {noun(item)}", hint)
        return data


def noun(value: object) -> str:
    """What kind of thing a value is, for people."""
    if value is None:
        return "nothing"
    for kind, word in ((dict, "a mapping"), ((list, tuple), "a list"), (str, "text"), (bool, "true or false"), ((int, float), "a number")):
        if isinstance(value, kind):
            return word
    return f"a {type(value).__name__}"


def short(value: object) -> str:
    """A value in quotes, at most 40 characters of it; of what is no scalar the kind."""
    if isinstance(value, (dict, list, tuple)) or value is None:
        return noun(value)
    text = written(value)
    return f'"{text if len(text) <= 40 else text[:39] + "…"}"'
