r"""Which values a chart has, of which types, and which words some of them can be.

Knows key paths as Helm writes them and the flat files that list a chart's; must not know any chart. A path is ``a.b[0].c``; a dot
inside a key is ``\.``. What is listed as ``any``, or as a ``mapping`` without anything below it, is open: the user may set anything there.

>>> chart = ValuesSchema({"driver.enabled": "boolean", "env": "list", "nodeSelector": "mapping"})
>>> chart.type_of(parse_path("driver.enabled")), chart.type_of(parse_path("env[0].name")), chart.type_of(parse_path(r"nodeSelector.a\.b"))
('boolean', 'any', 'any')
>>> chart.type_of(parse_path("driver.enbled"))
Traceback (most recent call last):
eidos.errors.InvalidInput: the chart has no value driver.enbled
"""

from __future__ import annotations

from eidos.errors import InvalidData, InvalidInput
from eidos.model.tree_reader import TreeReader, kind_of
from eidos.wording import did_you_mean, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Callable, Union

    Path = tuple[Union[str, int], ...]

ANY, MAPPING, LIST, STRING, BOOLEAN, INTEGER, NUMBER = "any", "mapping", "list", "string", "boolean", "integer", "number"
TYPES = (ANY, MAPPING, LIST, STRING, BOOLEAN, INTEGER, NUMBER)

_PYTHON: dict[str, tuple[type, ...]] = {
    MAPPING: (dict,),
    LIST: (list, tuple),
    STRING: (str,),
    BOOLEAN: (bool,),
    INTEGER: (int,),
    NUMBER: (int, float),
}

#: What makes a path more than keys with dots between them: an escaped character, an index.
_MARKS = frozenset("\\[]\"'")

#: The largest index of a list, so that a typing error makes no list of a million items.
MAX_INDEX = 10_000


#: How a scalar of another type is written as one that the chart takes.
_HINTS = {BOOLEAN: "write true or false, without quotes", STRING: "put it in quotes"}


class ValuesSchema:
    """``types`` maps each key path of a chart to its type, ``words`` those of a closed list to its words."""

    def __init__(self, types: dict[str, str], words: dict[str, tuple[str, ...]] | None = None) -> None:
        self.types = types
        self.words = words or {}
        self._parents: set[str] = set()
        self._hints: dict[str, str | None] = {}
        for text in types:
            path = parse_path(text)
            if _MARKS.isdisjoint(text):
                for _ in path[1:]:
                    text = text.rpartition(".")[0]
                    if text in self._parents:
                        break
                    self._parents.add(text)
            else:
                parts = [escape_key(str(part)) for part in path]
                self._parents.update(".".join(parts[:end]) for end in range(1, len(parts)))

    def type_of(self, path: Path) -> str:
        """The type of the value at a path. Raises InvalidInput with the nearest path when the chart has none there."""
        key = ""
        for number, part in enumerate(path):
            if isinstance(part, int):
                raise InvalidInput(f"{format_path(path[:number])} is not a list in this chart", self._hint(key))
            key = f"{key}.{escape_key(part)}" if key else escape_key(part)
            kind = self.types.get(key)
            is_parent = key in self._parents
            if kind is None and not is_parent:
                raise InvalidInput(f"the chart has no value {format_path(path)}", self._hint(format_path(path)))
            if number == len(path) - 1:
                return MAPPING if is_parent else kind or ANY
            if not is_parent and kind in (ANY, MAPPING):
                return ANY
            if not is_parent and kind == LIST:
                if not isinstance(path[number + 1], int):
                    raise InvalidInput(f"{key} is a list; {path[number + 1]!r} is not an index", f"write {key}[0]")
                return ANY
            if not is_parent:
                raise InvalidInput(f"the chart has no value {format_path(path)}: {key} is a {kind}", self._hint(key))
        return ANY

    def check(self, tree: Any, source: str) -> None:
        """Raise InvalidData for the first value that the chart does not have, or that has another type; ``source`` says whose they are."""
        for path, value in iterate_leaves(tree):
            try:
                kind = self.type_of(path)
            except InvalidInput as fault:
                raise InvalidData(f"{source}: {fault.message}", fault.hint) from fault
            try:
                self.check_word(path, value)
            except InvalidInput as fault:
                raise InvalidData(f"{source}: {format_path(path)}: {fault.message}", fault.hint) from fault
            if not has_type(value, kind):
                message = f"{source}: {format_path(path)}: the chart expects a {kind}, not {describe_value(value)}"
                raise InvalidData(message, _HINTS.get(kind) if isinstance(value, (str, int, float)) else None)

    def check_word(self, path: Path, value: Any) -> None:
        """Raise InvalidInput for a text that the chart does not accept at ``path``; an empty one leaves the choice to the chart."""
        words = self.words.get(format_path(path))
        if words and isinstance(value, str) and value and value not in words:
            valid = ", ".join(filter(None, words))
            raise InvalidInput(f"invalid value {describe_value(value)}; expected one of {valid}", did_you_mean(value, words))

    def _hint(self, path: str) -> str | None:
        if path not in self._hints:  # lint comes by the same mistake in many recipes
            match = nearest(path, [*self.types, *self._parents])
            self._hints[path] = f"did you mean {match}?" if match else None
        return self._hints[path]


def load_schema(name: str, load: Callable[[str], object]) -> ValuesSchema | None:
    """The schema of a chart, ``<component>/<chart version>``; None when nothing is known of it. Raises InvalidData.

    ``load`` returns the tree of a file below ``recipes/values/``, or None: ``<name>.keys``, and ``<name>.words``, if the chart has words.
    """
    keys = load(f"{name}.keys")
    return None if keys is None else read_schema(keys, f"recipes/values/{name}.keys.yaml", load(f"{name}.words"))


def read_schema(tree: object, document: str, words: object = None) -> ValuesSchema:
    """The schema in a flat mapping of key paths to types, and in one of key paths to words. Raises InvalidData."""
    types = TreeReader(tree, document).tree
    for path, kind in types.items():
        if kind not in TYPES:
            raise InvalidData(f"{document}: {path}: invalid type {kind!r}; expected one of {', '.join(TYPES)}")
    lists = TreeReader(words, document.replace(".keys.", ".words."))
    try:
        return ValuesSchema(types, {path: lists.texts(path) for path in lists.tree})
    except InvalidInput as fault:
        raise InvalidData(f"{document}: {fault.message}", fault.hint) from fault


def has_type(value: Any, kind: str) -> bool:
    """Whether a value is of a type; null takes a chart's own value away, and fits everywhere."""
    if value is None or kind == ANY:
        return True
    if isinstance(value, bool):
        return kind == BOOLEAN
    return isinstance(value, _PYTHON[kind])


def describe_value(value: Any) -> str:
    """A value in a message: a text is withheld unless it looks like a word, because it may be a secret; of anything else its kind.

    >>> describe_value("yes"), describe_value("Winter2hunter"), describe_value(["a"]), describe_value(8080)
    ("'yes'", "'<withheld>'", 'a list', 'a number')
    """
    from eidos.redact.harmless_forms import quote_value

    return quote_value(value) if isinstance(value, str) else kind_of(value)


def iterate_leaves(tree: Any) -> Iterator[tuple[Path, Any]]:
    """Path and value of everything in a mapping that is no mapping with something in it, in order; lists count as values."""
    waiting: list[tuple[Path, Any]] = [((), tree)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict) and (value or not path):
            waiting += [((*path, key), item) for key, item in reversed(list(value.items()))]
        else:
            yield path, value


def parse_path(text: str) -> Path:
    r"""The keys and indexes of a path; InvalidInput when it is none.

    >>> parse_path(r"a.b\.c[0][1].d")
    ('a', 'b.c', 0, 1, 'd')
    """
    if _MARKS.isdisjoint(text):
        keys = text.split(".")
        if all(keys):
            return tuple(keys)
    path: list[str | int] = []
    key = ""
    at = 0
    fresh = True  # a key must come next
    while at < len(text):
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            key += text[at + 1]
            at += 2
            continue
        if char in "\"'":
            raise InvalidInput(f"invalid path {text!r}: a quote in a key", "write \\. for a dot in a key, without quotes")
        if char == ".":
            if fresh and not key:
                raise InvalidInput(f"invalid path {text!r}: empty key", "write path.to.key, and \\. for a dot in a key")
            if key:
                path.append(key)
            key, fresh = "", True
        elif char == "[":
            end = text.find("]", at)
            digits = text[at + 1 : end] if end > 0 else ""
            if (fresh and not key) or not (digits.isascii() and digits.isdigit()) or len(digits) > 6 or int(digits) > MAX_INDEX:
                raise InvalidInput(f"invalid path {text!r}: write an index like [0], after the key of a list, at most {MAX_INDEX}")
            if key:
                path.append(key)
            path.append(int(digits))
            key, fresh = "", False
            at = end
            if at + 1 < len(text) and text[at + 1] not in ".[":
                raise InvalidInput(f"invalid path {text!r}: a dot must follow the index")
        else:
            key += char
        at += 1
    if key:
        path.append(key)
    elif fresh:
        raise InvalidInput(f"invalid path {text!r}: empty key", "write path.to.key, and \\. for a dot in a key")
    return tuple(path)


def escape_key(key: str) -> str:
    """A key as it is written in a path."""
    for mark in "\\.[\"'":
        key = key.replace(mark, f"\\{mark}")
    return key


def format_path(path: Sequence[str | int]) -> str:
    r"""A path as it is written.

    >>> format_path(("a", 0, "b.c"))
    'a[0].b\\.c'
    """
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{escape_key(part)}" if text else escape_key(part)
    return text
