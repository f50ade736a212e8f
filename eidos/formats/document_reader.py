"""Bytes to a tree: the one door through which a document comes in.

Knows encodings, sizes and which format a document is in; must not know what it means. Whatever the bytes are, the answer is a
tree or InvalidData that names document, line, column and reason. Nothing in a document can make its reader build objects, run
out of memory or recurse without end: size, depth and number of values are bounded, aliases count with all that they stand for.
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.formats.syntax_error import Fault

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

_BINARY = "is it compressed, or not a text file at all?"


def read(data: bytes | str, where: str, limit: int, proceed: Callable[[], object] | None = None) -> Any:
    """The tree in ``data``; see :func:`eidos.formats.from_text`."""
    try:
        return _read(_decode(data, limit) if isinstance(data, bytes) else _bounded(data, limit), proceed)
    except Fault as fault:
        place = "" if fault.line is None else f", line {fault.line}" + ("" if fault.column is None else f", column {fault.column}")
        raise InvalidData(f"{where}{place}: {fault.reason}", fault.hint) from fault.__cause__
    except (RecursionError, MemoryError) as cause:
        raise InvalidData(f"{where}: too deep or too large to be read", "is this the document you meant?") from cause


def _read(text: str, proceed: Callable[[], object] | None) -> Any:
    text = text.removeprefix("\ufeff")
    nul = text.find("\0")
    if nul >= 0:
        raise Fault.at(text, nul, "a NUL character, which no document may hold", _BINARY)
    if text.lstrip(" \t\r\n")[:1] not in ("{", "["):
        return _read_yaml(text, proceed)
    from eidos.formats import json_reader

    try:
        return json_reader.read(text, DEPTH, VALUES)
    except json_reader.NotJson as first:
        if len(text) > _FLOW_LIMIT:
            raise
        try:
            return _read_yaml(text, proceed)
        except Fault as second:
            # Whichever reader came further knows better what the author meant.
            raise max(first, second, key=lambda fault: (fault.line or 0, fault.column or 0)) from None


def _read_yaml(text: str, proceed: Callable[[], object] | None) -> Any:
    from eidos.formats import block_yaml

    tree = block_yaml.parse_block_yaml(text, DEPTH, VALUES, proceed)
    if tree is not block_yaml.UNKNOWN:
        return tree
    from eidos.formats import yaml_reader  # PyYAML costs more than all the rest of a start

    return yaml_reader.read(text, DEPTH, SLOW_VALUES, proceed)


def _bounded(text: str, limit: int) -> str:
    if len(text) > limit:
        raise Fault(f"too large: {len(text):,} characters, at most {limit:,} are read")
    return text


def _decode(data: bytes, limit: int) -> str:
    if len(data) > limit:
        size, most = len(data) / 1048576, limit / 1048576
        raise Fault(f"too large: {size:.1f} MiB, at most {most:g} MiB are read", "is this the document you meant?")
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as cause:
        before = data[: cause.start].decode(encoding, "replace")
        raise Fault.at(before, len(before), f"byte 0x{data[cause.start]:02x} is not {encoding.upper()}", _BINARY) from cause
