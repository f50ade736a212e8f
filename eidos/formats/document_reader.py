"""Bytes to a tree: the one door through which a document comes in.

Knows which format a document is in and how large it may be; must not know what it means. Whatever the bytes are, the result is a tree
or InvalidData that names document, line, column and reason. Nothing in a document can make its reader construct objects, run out of
memory or recurse without end: size, depth and number of values are bounded, and aliases count with all that they stand for.
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.formats.source_text import DocumentSyntaxError, decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

#: Documents of ours have eight levels; Helm values have twenty.
DEPTH = 100

#: Keys and values. A snapshot of a large node has 10,000; 32 MiB of YAML hold a million.
VALUES = 2_000_000

#: The same for YAML with anchors, tags and the like: each alias counts with all that it stands for, and PyYAML takes its time.
SLOW_VALUES = 250_000

#: A document in braces that is no JSON may be YAML, which takes a hundred times as long to find out.
_FLOW_LIMIT = 1 << 20


def read_document(data: bytes | str, name: str, limit: int, proceed: Callable[[], object] | None = None) -> Any:
    """The tree in ``data``; see :func:`eidos.formats.from_text`."""
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
