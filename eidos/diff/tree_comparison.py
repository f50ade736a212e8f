"""Walks two trees side by side: the leaves that differ, and the operations that make one mean what the other means (RFC 6902).

Knows mappings, lists whose items have a key, and JSON pointers (RFC 6901); must not know any document: a :class:`Part` says which fields
count and a function judges each leaf.

>>> judge = lambda part, address, old, new: (
...     EQUAL if old == new else REMOVED if new is MISSING else ADDED if old is MISSING else CHANGED,
...     "",
... )
>>> comparison = TreeComparison(judge)
>>> comparison.compare(Part(keys=("id",)), [{"id": "a", "v": 1}, {"id": "b"}], [{"id": "a", "v": 2}])
>>> [(".".join(address), kind) for _, address, kind, *_ in comparison.leaves], comparison.patch()
([('a.v', 'changed'), ('b.id', 'removed')], [{'op': 'replace', 'path': '/0/v', 'value': 2}, {'op': 'remove', 'path': '/1'}])
"""

from __future__ import annotations

from eidos.model.diff import ADDED, CHANGED, REMOVED, UNREAD
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, Union

    Address = tuple[str, ...]
    Pointer = tuple[Union[str, int], ...]
    #: Part, address, old and new value → kind and why.
    Judge = Callable[["Part", Address, Any, Any], tuple[str, str]]

#: Nothing is there: None is a value.
MISSING: Any = type("Missing", (), {"__repr__": lambda _: "MISSING"})()

#: Judgements besides those of :mod:`eidos.model.diff`: the leaves mean the same, do not count, or are withheld.
EQUAL, IGNORED, NOT_COMPARED = "equal", "ignored", "not-compared"


class Part(Record):
    """How a part of a document is compared.

    ``fields`` are those of a mapping that count (None: all, to any depth). ``keys`` are the fields that identify the items of a list, each
    of which is an ``item``; the items of a set are their own keys. ``is_named`` is off where the name of the part says nothing to people
    and is left out of addresses. What ``is_leaf`` is compared as one value, by what ``essence`` makes of it.
    """

    fields: Mapping[str, Part] | None = None
    keys: tuple[str, ...] = ()
    item: Part | None = None
    is_set: bool = False
    is_named: bool = True
    is_leaf: bool = False
    essence: Callable[[Any], Any] | None = None


ANYTHING = Part()


class TreeComparison:
    """The leaves that differ, and the operations of a patch, in the order of the trees."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        #: Part, address, kind, why, old value, new value.
        self.leaves: list[tuple[Part, Address, str, str, Any, Any]] = []
        self._updated: list[dict[str, Any]] = []
        self._appended: list[dict[str, Any]] = []
        self._removed: list[Pointer] = []

    def compare(self, part: Part, old: Any, new: Any, address: Address = (), pointer: Pointer = ()) -> None:
        """Compare what stands at ``address``; MISSING for a side that has nothing there."""
        if old is MISSING or new is MISSING:
            self._compare_one_side(part, old, new, address, pointer)
        elif (part.keys or part.is_set) and isinstance(old, list) and isinstance(new, list):
            before, after = _items_by_key(part, old), _items_by_key(part, new)
            item = part.item or ANYTHING
            for key in {**before, **after}:
                index, one = before.get(key, (-1, MISSING))
                other = after.get(key, (0, MISSING))[1]
                self.compare(item, one, other, (*address, key), (*pointer, "-" if index < 0 else index))
        elif not part.is_leaf and isinstance(old, dict) and isinstance(new, dict):
            for name, child in _fields(part, old, new):
                inner = (*address, name) if child.is_named else address
                one, other = old.get(name, MISSING), new.get(name, MISSING)
                if one is not MISSING or other is not MISSING:
                    self.compare(child, one, other, inner, (*pointer, name))
        else:
            kind, why = self._judge(part, address, old, new)
            self._note(part, address, kind, why, old, new)
            if kind == CHANGED:
                self._updated.append({"op": "replace", "path": json_pointer(pointer), "value": new})

    def patch(self) -> list[dict[str, Any]]:
        """The operations: nothing that moves an item of a list comes before what names one by its number."""
        # From the end of each list to its begin, inner lists first: the numbers of those that follow stay valid.
        removed = sorted(self._removed, key=_removal_order, reverse=True)
        return [*self._updated, *self._appended, *({"op": "remove", "path": json_pointer(pointer)} for pointer in removed)]

    def _note(self, part: Part, address: Address, kind: str, why: str, old: Any, new: Any) -> None:
        if kind not in (EQUAL, IGNORED):
            self.leaves.append((part, address, kind, why, old, new))

    def _compare_one_side(self, part: Part, old: Any, new: Any, address: Address, pointer: Pointer) -> None:
        """Compare what only one side has: one operation, unless some of it is there and could not be read."""
        present = old if new is MISSING else new
        differing: list[Pointer] = []
        is_partly_unread = False
        for leaf_part, leaf_address, leaf_pointer, value in _leaves(part, present, address, pointer):
            sides = (value, MISSING) if new is MISSING else (MISSING, value)
            kind, why = self._judge(leaf_part, leaf_address, *sides)
            self._note(leaf_part, leaf_address, kind, why, *sides)
            if kind in (ADDED, REMOVED):
                differing.append(leaf_pointer)
            is_partly_unread |= kind == UNREAD
        if differing and old is MISSING:
            operation = {"op": "add", "path": json_pointer(pointer), "value": new}
            (self._appended if pointer and pointer[-1] == "-" else self._updated).append(operation)
        elif differing:
            self._removed += differing if is_partly_unread else [pointer]


def json_pointer(pointer: Pointer) -> str:
    """A JSON pointer.

    >>> json_pointer(("data", "/proc/sys/vm/swappiness", 0))
    '/data/~1proc~1sys~1vm~1swappiness/0'
    """
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in pointer)


def _removal_order(pointer: Pointer) -> tuple[tuple[int, int, str], ...]:
    return tuple((0, token, "") if isinstance(token, int) else (1, 0, token) for token in pointer)


def _items_by_key(part: Part, items: list[Any]) -> dict[str, tuple[int, Any]]:
    """The items of a list by key, with their places; a key that is there again has a number."""
    result: dict[str, tuple[int, Any]] = {}
    numbers: dict[str, int] = {}  # a list of thousands may have one key only
    for index, item in enumerate(items):
        words = [str(item[name]) for name in part.keys if isinstance(item, dict) and name in item]
        name = key = str(item) if part.is_set else " ".join(dict.fromkeys(words)) or str(index)
        while key in result:
            numbers[name] = numbers.get(name, 1) + 1
            key = f"{name}#{numbers[name]}"
        result[key] = (index, item)
    return result


def _fields(part: Part, *trees: dict[str, Any]) -> Iterator[tuple[str, Part]]:
    """The fields of mappings that count, each once."""
    if part.fields is not None:
        yield from part.fields.items()
        return
    names: dict[str, None] = {}
    for tree in trees:
        names.update(dict.fromkeys(tree))
    yield from ((name, ANYTHING) for name in names)


def _leaves(part: Part, value: Any, address: Address, pointer: Pointer) -> Iterator[tuple[Part, Address, Pointer, Any]]:
    if (part.keys or part.is_set) and isinstance(value, list):
        item = part.item or ANYTHING
        for key, (index, entry) in _items_by_key(part, value).items():
            yield from _leaves(item, entry, (*address, key), (*pointer, index))
    elif not part.is_leaf and isinstance(value, dict) and (value or part.fields is not None):
        for name, child in _fields(part, value):
            if name in value:
                yield from _leaves(child, value[name], (*address, name) if child.is_named else address, (*pointer, name))
    else:
        yield part, address, pointer, value
