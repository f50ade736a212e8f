"""Reads plain trees of mappings, lists and scalars, and reports where one departs from the form that it must have.

Knows what a mapping, a list, text, a number and a flag are, and how a message names the document and the path in it; must not know
any particular document. Nothing (``null``, or no such field) is an empty mapping, an empty list and empty text.

>>> entry = TreeReader({"name": "h100", "aliases": ["H100"], "titel": "GPU"}, "catalog.yaml", "gpu[0]")
>>> entry.name("name"), entry.texts("aliases"), entry.text("title")
('h100', ('H100',), '')
>>> entry.expect_only(("name", "aliases", "title"))
Traceback (most recent call last):
eidos.errors.InvalidData: catalog.yaml: gpu[0]: unknown field 'titel'
"""

from __future__ import annotations

from eidos.errors import InvalidData, InvalidInput
from eidos.model.number_format import format_scalar
from eidos.wording import did_you_mean, shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any, Callable, TypeVar

    from typing_extensions import Self

    T = TypeVar("T")

#: The scalars that a document may have where text is expected: any; all but true and false, because versions are easily left without
#: quotes; or strings alone.
ANY_SCALAR, TEXT_OR_NUMBER, QUOTED = (str, int, float, bool), (str, int, float), (str,)


class TreeReader:
    """One mapping of a document, read field by field.

    ``document`` names the document and ``path`` the mapping in it ("" at the top); ``text_types`` is ANY_SCALAR, TEXT_OR_NUMBER or
    QUOTED. Everything that reads raises InvalidData with document, path, what was expected and what is there.
    """

    __slots__ = ("document", "path", "text_types", "tree")

    def __init__(self, tree: object, document: str, path: str = "", text_types: tuple[type, ...] = TEXT_OR_NUMBER) -> None:
        self.document = document
        self.path = path
        self.text_types = text_types
        if not isinstance(tree, dict) and tree is not None:
            raise self.mismatch("a mapping", tree)
        self.tree: dict[str, Any] = tree or {}
        for key in self.tree:
            if type(key) is not str and not isinstance(key, str):
                raise self.error(f"the key {key!r} is {kind_of(key)}; keys must be text", "put it in quotes")

    def __contains__(self, name: str) -> bool:
        return name in self.tree

    def error(self, reason: str, hint: str | None = None, name: str = "") -> InvalidData:
        """What to raise for a fault of the mapping, or of its field ``name``."""
        location = _shown_path(self.location(name) if name else self.path)
        return InvalidData(f"{self.document}: {location}: {reason}" if location else f"{self.document}: {reason}", hint)

    def mismatch(self, expected: str, value: object, name: str = "", hint: str | None = None) -> InvalidData:
        """What to raise for a value that is not what is expected."""
        return self.error(f"expected {expected}, found {kind_of(value)}", hint, name)

    def location(self, name: str) -> str:
        """The path of a field in the document."""
        return f"{self.path}.{name}" if self.path else name

    def unknown(self, names: Sequence[str]) -> Iterator[tuple[str, InvalidData]]:
        """Each field that is not among ``names``, and what to raise for it, with the nearest of them or all as a hint."""
        for name in self.tree:
            if name not in names:
                hint = did_you_mean(name, names, f"valid fields: {', '.join(names)}")
                yield name, self.error(f"unknown field {_shown_name(name)!r}", hint)

    def expect_only(self, names: Sequence[str]) -> None:
        """Refuse fields that are not among ``names``."""
        for _, error in self.unknown(names):
            raise error

    def renamed(self, names: Mapping[str, str]) -> TreeReader:
        """The same mapping with other names for fields, old → new; what has the new name already wins."""
        if not any(old in self.tree for old in names):
            return self
        tree = dict(self.tree)
        for old, new in names.items():
            value = tree.pop(old, None)
            if tree.get(new) is None and old in self.tree:
                tree[new] = value
        return TreeReader(tree, self.document, self.path, self.text_types)

    def mapping(self, name: str) -> Self:
        """A field that is a mapping."""
        return self._reader(self.tree.get(name), name)

    def fields(self) -> Iterator[tuple[str, Self]]:
        """Every field, each of which is a mapping."""
        return ((name, self._reader(value, name)) for name, value in self.tree.items())

    def _reader(self, tree: object, name: str) -> Self:
        return type(self)(tree, self.document, self.location(name), self.text_types)

    def items(self, name: str) -> Sequence[Any]:
        """A field that is a list, of anything."""
        value = self.tree.get(name)
        if value is None:
            return ()
        if not isinstance(value, (list, tuple)):
            raise self.mismatch("a list", value, name)
        return value

    def mappings(self, name: str, *, or_one: bool = False) -> Iterator[Self]:
        """A field that is a list of mappings, or with ``or_one`` a single mapping in place of the list."""
        items = [self.tree[name]] if or_one and isinstance(self.tree.get(name), dict) else self.items(name)
        return (self._reader(item, f"{name}[{number}]") for number, item in enumerate(items))

    def text(self, name: str) -> str:
        """A field that is text; a number, where one is accepted, gives the text that was written."""
        return self._text(self.tree.get(name), name)

    def name(self, name: str) -> str:
        """A field that is text and not empty."""
        return self._name(self.tree.get(name), name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A field that is a list of texts."""
        return tuple(self._text(item, name, number) for number, item in enumerate(self.items(name)))

    def names(self, name: str) -> tuple[str, ...]:
        """A field that is a list of texts, none of them empty."""
        return tuple(self._name(item, name, number) for number, item in enumerate(self.items(name)))

    def text_map(self, name: str) -> dict[str, str]:
        """A field that is a mapping of texts."""
        mapping = self.mapping(name)
        return {key: mapping.text(key) for key in mapping.tree}

    def _text(self, value: Any, name: str, number: int | None = None) -> str:
        if type(value) is str:
            return value
        if value is None:
            return ""
        if (isinstance(value, bool) and bool not in self.text_types) or not isinstance(value, self.text_types):
            name = name if number is None else f"{name}[{number}]"
            raise self.mismatch("text", value, name, None if isinstance(value, (dict, list, tuple)) else "put it in quotes")
        return format_scalar(value)

    def _name(self, value: Any, name: str, number: int | None = None) -> str:
        text = self._text(value, name, number)
        if not text:
            raise self.error("expected a name, found nothing", name=name if number is None else f"{name}[{number}]")
        return text

    def parsed(self, name: str, parse: Callable[[str], T]) -> T:
        """What ``parse`` returns for a text; its InvalidInput becomes InvalidData with the path of the text."""
        text = self.text(name)
        try:
            return parse(text)
        except InvalidInput as cause:
            error = self.error(cause.message, cause.hint, name)
            error.excerpt = cause.excerpt
            raise error from cause

    def number(self, name: str, default: float = 0) -> float:
        """A field that is a number and not negative."""
        value = self.tree.get(name, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value - value != 0 or value < 0:
            raise self.error(f"expected a number, found {quoted(value)}", name=name)
        return value

    def choice(self, name: str, options: Sequence[str], *, ignore_case: bool = False) -> str:
        """A field that is one of ``options``."""
        text = self.text(name)
        for option in options:
            if text == option or (ignore_case and text.lower() == option.lower()):
                return option
        reason = f"unknown {name} {quoted(text)}" if text else "expected a name, found nothing"
        raise self.error(reason, f"valid values: {', '.join(options)}", name)

    def flag(self, name: str, default: bool) -> bool:
        """A field that is true or false."""
        value = self.tree.get(name, default)
        if not isinstance(value, bool):
            raise self.error(f"expected true or false, found {quoted(value)}", name=name)
        return value

    def scalars(self, name: str, *, or_null: bool = False) -> dict[str, Any]:
        """A field that is a mapping of scalars: strings, integers, floats and booleans, and with ``or_null`` also ``null``."""
        mapping = self.mapping(name)
        for key, value in mapping.tree.items():
            if not isinstance(value, ANY_SCALAR) and not (or_null and value is None):
                raise mapping.mismatch("a scalar", value, key, 'write "" for a value that is empty' if value is None else None)
        return mapping.tree

    def expect_kind(self, kind: str, api_version: str, hint: str) -> None:
        """Refuse a document of another kind or version; one that names neither is taken for it."""
        for name, expected in (("kind", kind), ("apiVersion", api_version)):
            value = self.tree.get(name, expected)
            if value != expected:
                raise self.error(f"expected {expected}, found {quoted(value)}", hint, name)


def read_mapping(tree: object, document: str, expected: str = "a mapping") -> dict[str, Any]:
    """The mapping at the top of a document; InvalidData for anything else, nothing at all included.

    ``document`` is what the message begins with, ``expected`` what it asks for.

    >>> read_mapping([], "values.yaml")
    Traceback (most recent call last):
    eidos.errors.InvalidData: values.yaml: expected a mapping
    """
    if not isinstance(tree, dict):
        raise TreeReader(None, document).error(f"expected {expected}")
    return tree


def kind_of(value: object) -> str:
    """What kind of value it is, for people."""
    if value is None:
        return "nothing"
    for kind, word in ((dict, "a mapping"), ((list, tuple), "a list"), (str, "text"), (bool, "true or false"), ((int, float), "a number")):
        if isinstance(value, kind):
            return word
    return f"a {type(value).__name__}"


def _shown_name(name: str) -> str:
    """The name of a field without what does not look like words: there may be a secret where a key belongs."""
    from eidos.redact.random_words import is_wordy

    return _show_parts(name, is_wordy)


def _shown_path(path: str) -> str:
    """The path of a field without random characters, but with identifiers and names of network interfaces."""
    from eidos.redact.random_words import is_identifier

    return _show_parts(path, lambda word: is_identifier(word) or _is_interface(word))


def _show_parts(name: str, is_shown: Callable[[str], bool]) -> str:
    marks = {ord(c): " " for c in "/[]<>{}$"}
    return ".".join(part if all(map(is_shown, part.translate(marks).split())) else "<withheld>" for part in name.split("."))


def _is_interface(name: str) -> bool:
    """Whether ``name`` is of the scheme of systemd.net-naming-scheme(7): ``enp1s0f0np0``, ``ibp65s0``, ``enx001122334455``."""
    return name[:2] in ("en", "ib") and len(name) < 16 and not name.strip("0123456789abcdefinopsuvx")


def quoted(value: object) -> str:
    """A scalar in quotes, at most 40 characters of it, withheld when it is a text of random characters; of anything else its kind."""
    if isinstance(value, (dict, list, tuple)) or value is None:
        return kind_of(value)
    from eidos.redact.random_words import is_wordy

    text = format_scalar(value)
    return f'"{shorten(text, 40)}"' if all(map(is_wordy, text.replace("/", " ").split())) or not isinstance(value, str) else '"<withheld>"'
