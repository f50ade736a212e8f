"""Documents in and out: plain trees to YAML and JSON, and back.

Knows which reader and writer there is, and how large a document may be; must not know what a document means. A *tree* consists of dict with
string keys, list, str, int, float, bool and None; tuples may be written and are read as lists. Both formats hold the same tree: what
readers of YAML or JSON would not read back (lone surrogates) is written the same way in both.

Whatever bytes are read, the result is a tree or InvalidData that names document, line, column and reason. Nothing in a document can make
its reader construct objects, run out of memory or recurse without end: size, depth and number of values are bounded, and aliases count
with all that they stand for.

Each function imports what it needs: a program that only writes YAML pays for nothing else.
"""

from __future__ import annotations

from eidos.errors import InvalidData

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Callable, Union

    #: What can be written.
    Tree = Union[Mapping[str, Any], Sequence[Any], str, int, float, bool, None]

#: The largest document that is read, in bytes.
LIMIT = 32 << 20

#: Documents of ours have eight levels; Helm values have twenty.
DEPTH = 100

#: Keys and values. A snapshot of a large node has 10,000; 32 MiB of YAML hold a million.
VALUES = 2_000_000

#: The same for YAML with anchors, tags and the like: each alias counts with all that it stands for, and PyYAML takes its time.
SLOW_VALUES = 250_000

#: A document in braces that is no JSON may be YAML, which takes a hundred times as long to find out.
_FLOW_LIMIT = 1 << 20


def to_yaml(tree: Tree) -> str:
    """``tree`` as one YAML document in block style. Raises TypeError for objects that YAML cannot represent."""
    from eidos.formats.yaml_writer import emit_yaml

    return emit_yaml(tree)


def to_json(tree: Tree) -> str:
    """``tree`` as JSON, indented by two. Raises TypeError for objects that JSON cannot represent."""
    from eidos.formats.json_writer import emit_json

    return emit_json(tree)


def serialize(tree: Tree, fmt: str) -> str:
    """``tree`` in the format that is named ``yaml`` or ``json``."""
    return {"yaml": to_yaml, "json": to_json}[fmt](tree)


def from_text(data: bytes | str, name: str, limit: int = LIMIT, proceed: Callable[[], object] | None = None) -> Any:
    r"""The tree in a YAML or JSON document.

    ``name`` is the document's in messages (a path, ``standard input``); ``limit`` is the largest size in bytes (of a str: in characters);
    ``proceed`` is called every now and then while reading takes long, and may raise. An empty document is None. Numbers that ``str``
    would write otherwise are those of :mod:`eidos.model.number_format`. Raises InvalidData with line, column and reason for everything
    that is no such document, or that is built to exhaust its reader.

    >>> from_text(b"kind: Snapshot", "snapshot.yaml")
    {'kind': 'Snapshot'}
    >>> from_text("a: 1\na: 2", "twice.yaml")
    Traceback (most recent call last):
    eidos.errors.InvalidData: twice.yaml, line 2, column 1: the key "a" is repeated; first used on line 1
    """
    from eidos.formats.source_text import DocumentSyntaxError, decode

    try:
        return _read(decode(data, limit), proceed)
    except DocumentSyntaxError as error:
        location = error.location()
        raise InvalidData(f"{name}, {location}: {error.reason}" if location else f"{name}: {error.reason}", error.hint) from error
    except (RecursionError, MemoryError) as cause:
        raise InvalidData(f"{name}: nested too deeply or too large", "check that this is the right file") from cause


def _read(text: str, proceed: Callable[[], object] | None) -> Any:
    if text.lstrip(" \t\r\n")[:1] not in ("{", "["):
        return _read_yaml(text, proceed)
    from eidos.formats.json_reader import NotJson, parse_json
    from eidos.formats.source_text import DocumentSyntaxError

    try:
        return parse_json(text, DEPTH, VALUES)
    except NotJson as first:
        if len(text) > _FLOW_LIMIT:
            raise
        try:
            return _read_yaml(text, proceed)
        except DocumentSyntaxError as second:
            # The reader that got further is the one for the format that was meant.
            raise max(first, second, key=lambda error: (error.line or 0, error.column or 0)) from None


def _read_yaml(text: str, proceed: Callable[[], object] | None) -> Any:
    from eidos.formats.block_yaml import UNKNOWN, parse_block_yaml

    tree = parse_block_yaml(text, DEPTH, VALUES, proceed)
    if tree is not UNKNOWN:
        return tree
    from eidos.formats.yaml_reader import parse_yaml  # PyYAML costs more than all the rest of a start

    return parse_yaml(text, DEPTH, SLOW_VALUES, proceed)
