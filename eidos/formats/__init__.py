"""Documents in and out: plain trees to YAML and JSON, and back.

Knows which reader and writer there is; must not know what a document means. A *tree* consists of dict with string keys, list, str, int,
float, bool and None; tuples may be written and are read as lists. Both formats hold the same tree: what readers of YAML or JSON would
not read back (lone surrogates) is written the same way in both.

Each function imports what it needs: a program that only writes YAML pays for nothing else.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Callable, Union

    #: What can be written.
    Tree = Union[Mapping[str, Any], Sequence[Any], str, int, float, bool, None]

#: The largest document that is read, in bytes.
LIMIT = 32 << 20


def to_yaml(tree: Tree) -> str:
    """``tree`` as one YAML document in block style; TypeError for what is no plain tree."""
    from eidos.formats.yaml_writer import emit_yaml

    return emit_yaml(tree)


def to_json(tree: Tree) -> str:
    """``tree`` as JSON, indented by two; TypeError for what is no plain tree."""
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
    from eidos.formats.document_reader import read_document

    return read_document(data, name, limit, proceed)
