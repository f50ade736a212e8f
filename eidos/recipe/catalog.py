"""The words that queries may use, and how a host is recognised as one of them.

Knows entries, aliases and detection patterns as data; must not know any particular GPU, system or cloud.
"""

from __future__ import annotations

from eidos.errors import InvalidData, InvalidInput
from eidos.model.query import ANY, FIELDS, NAMES, VERSIONS, Query
from eidos.model.record import Record
from eidos.semver import parse as parse_version
from eidos.suggest import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Entry(Record):
    """One word: ``name``, other words for it, and the patterns (most telling first) by which a host shows it."""

    name: str
    title: str = ""
    aliases: tuple[str, ...] = ()
    detect: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


class Catalog(Record):
    """Entries by field of the query; a field without entries takes any word."""

    entries: dict[str, tuple[Entry, ...]]

    def names(self, field: str) -> tuple[str, ...]:
        """The words of one field, in the order of the data."""
        return tuple(entry.name for entry in self.entries.get(field, ()))

    def find(self, field: str, word: str) -> str | None:
        """The name that ``word`` is, or is an alias of; None when it is neither. Case does not count."""
        folded = word.strip().lower()
        for entry in self.entries.get(field, ()):
            if folded == entry.name or folded in entry.aliases:
                return entry.name
        return None

    def query(self, said: Mapping[str, str], where: Mapping[str, str] | None = None) -> Query:
        """The query that these words make; ``where`` gives for a field what to call it in messages (``--gpu``).

        Raises InvalidInput, which names the field or the word, the valid ones and the nearest, or shows where a version breaks.
        """
        fields: dict[str, str] = {}
        for field, value in said.items():
            name = (where or {}).get(field, field)
            if field not in FIELDS:
                raise InvalidInput(f"{name!r} is no field of a query; there are {', '.join(FIELDS)}", did_you_mean(field, FIELDS))
            if not isinstance(value, str):  # a program may hand over what it read from YAML
                raise InvalidInput(f"{name}: expected text, found {value!r}", "put versions in quotes")
            text = value.strip()
            if not text or text.lower() == ANY:
                continue
            if field in VERSIONS:
                try:
                    parse_version(text)
                except InvalidInput as fault:
                    raise InvalidInput(f"{name}: {fault.message}", fault.hint, fault.excerpt) from fault
                fields[field] = text
            elif field in NAMES and self.entries.get(field):
                found = self.find(field, text)
                if found is None:
                    valid = ", ".join(self.names(field))
                    hint = did_you_mean(text, [word for entry in self.entries[field] for word in (entry.name, *entry.aliases)])
                    raise InvalidInput(f"{name}: {text!r} is none of {valid}", hint)
                fields[field] = found
            else:
                fields[field] = text.lower()
        return Query(**fields)


def read(tree: object, name: str) -> Catalog:
    """The catalog that ``tree`` describes; InvalidData naming the place when it describes none."""
    if not isinstance(tree, dict):
        raise InvalidData(f"{name}: expected a mapping of os, service, gpu and intent")
    entries: dict[str, tuple[Entry, ...]] = {}
    for field, items in tree.items():
        if field not in NAMES or not isinstance(items, list):
            raise InvalidData(f"{name}: {field!r} is not one of {', '.join(NAMES)}, or holds no list", did_you_mean(str(field), NAMES))
        entries[field] = tuple(_entry(item, f"{name}: {field}[{i}]") for i, item in enumerate(items))
        words = [word for entry in entries[field] for word in (entry.name, *entry.aliases)]
        twice = next((word for word in words if words.count(word) > 1), None)
        if twice:
            raise InvalidData(f"{name}: {field}: two entries claim the word {twice!r}")
    return Catalog(entries)


def _entry(tree: object, where: str) -> Entry:
    if not isinstance(tree, dict) or not isinstance(tree.get("name"), str):
        raise InvalidData(f"{where}: expected a mapping with a name")
    detect = tree.get("detect") or []
    suffixes: Any = []
    if isinstance(detect, dict):
        suffixes = detect.get("suffix") or []
        detect = detect.get("provider") or []
    lists: dict[str, Any] = {
        "aliases": tree.get("aliases") or [],
        "detect": detect,
        "suffix": suffixes,
        "versions": tree.get("versions") or [],
    }
    for key, value in lists.items():
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InvalidData(f"{where}.{key}: expected a list of words", hint="put versions in quotes")
    return Entry(
        tree["name"].lower(),
        str(tree.get("title") or tree["name"]),
        tuple(alias.lower() for alias in lists["aliases"]),
        tuple(lists["detect"]),
        tuple(lists["suffix"]),
        tuple(lists["versions"]),
    )
