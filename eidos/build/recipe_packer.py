"""The recipes as the archive has them: the JSON of each part, compressed with its neighbours, and an index that says where each is.

Knows which parts of a file a start may need by themselves; must not know what they mean. ``eidos.files.resources`` reads them back, and
``eidos.recipe.packed_store`` makes a store of them.
"""

from __future__ import annotations

import json
import zlib

from eidos.check.definitions import FOLDER as CHECKS
from eidos.check.definitions import read_checks
from eidos.check.value_comparison import NAME as COMPARISONS
from eidos.check.value_comparison import read_comparisons
from eidos.errors import InvalidData
from eidos.files.resources import CHUNK_BYTES
from eidos.model.condition_nodes import Condition, condition_tree
from eidos.recipe.store import CONDITIONS, OVERLAYS, SOURCES, from_folder, layer_trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from eidos.check.definitions import CheckDefinition
    from eidos.check.value_comparison import ComparisonRule

#: Files of which each entry of a list is a part, and those of which each field is one.
_ENTRIES = ("components.yaml", SOURCES)
_FIELDS = ("catalog.yaml", "rules.yaml")


def pack_recipes(files: Mapping[str, object]) -> bytes:
    """The bytes of the recipes whose trees these are, by path; their form is checked here. Raises InvalidData."""
    body = bytearray()

    def add(tree: object) -> list[int]:
        text, start = _dump(tree), len(body)
        body.extend(text + b"\n")
        return [start, start + len(text)]

    def entries(rows: object) -> Any:
        return {"list": [add(row) for row in rows]} if isinstance(rows, list) else add(rows)

    spans: dict[str, Any] = {}
    layers: dict[str, Any] = {}
    conditions: dict[str, Any] = {}
    for path, tree in files.items():
        if path.startswith(OVERLAYS):
            named = [(name, add(item)) for item, name in layer_trees(tree, path)]
            layers.update(named)
            spans[path] = {"list": [span for _, span in named]} if isinstance(tree, list) else named[0][1]
        elif path in (*_ENTRIES, *_FIELDS) and isinstance(tree, dict):
            spans[path] = {"map": {key: entries(value) if path in _ENTRIES else add(value) for key, value in tree.items()}}
        else:
            spans[path] = add(tree)
        if path == COMPARISONS or path.startswith(CHECKS):
            conditions[path] = add(_conditions(path, tree))
    store = from_folder(files)
    read_checks(files)
    heads = [[head.name, head.fields, head.releases, layers[head.name]] for head in store.overlays.heads]
    index = {
        "layers": heads,
        "charts": dict(zip(store.charts, spans["components.yaml"]["map"]["components"]["list"])),
        "sources": _sources(files.get(SOURCES), spans.get(SOURCES)),
        "cuda": store.cuda,
        "newest": store.newest,
        CONDITIONS: {"map": conditions},
    }
    return _compress({"files": spans, "store": index}, bytes(body))


def pack_trees(files: Mapping[str, object]) -> bytes:
    """The bytes of trees by path, each a part by itself."""
    spans, body = {}, bytearray()
    for path, tree in files.items():
        text = _dump(tree)
        spans[path] = [len(body), len(body) + len(text)]
        body += text + b"\n"
    return _compress({"files": spans}, bytes(body))


def _compress(index: object, body: bytes) -> bytes:
    """What :class:`eidos.files.resources.RecipeParts` reads."""
    chunks = [body[start : start + CHUNK_BYTES] for start in range(0, len(body), CHUNK_BYTES)]
    streams = [zlib.compress(text, 9) for text in (_dump(index), *chunks)]
    return f"{len(body)} {' '.join(map(str, map(len, streams)))}\n".encode() + b"".join(streams)


def _read_check_file(path: str, tree: object, conditions: Mapping[str, Any] | None = None) -> Sequence[CheckDefinition | ComparisonRule]:
    stored = None if conditions is None else {path: conditions}
    return read_comparisons(tree, conditions=conditions).rules if path == COMPARISONS else read_checks({path: tree}, stored)


def _conditions(path: str, tree: object) -> dict[str, Any]:
    """The trees of all conditions in a file of checks, by text, beside which they are compressed to little.

    Raises InvalidData, also for text that is a number: what is stored is not converted.
    """
    entries = _read_check_file(path, tree)
    each = [value for entry in entries for value in entry.__dict__.values() if isinstance(value, Condition)]
    each += [remedy.when for entry in entries for remedy in entry.__dict__.get("remedies", ()) if remedy.when]
    conditions = {condition.text: condition_tree(condition.root) for condition in each}
    for entry, stored in zip(entries, _read_check_file(path, tree, conditions)):
        for name, value in entry.__dict__.items():
            if not isinstance(value, Condition) and name != "remedies" and getattr(stored, name) != value:
                raise InvalidData(f"{path}: {name} of {entry.path}: expected text, found a number", "put it in quotes")
    return conditions


def _sources(tree: object, span: Any) -> dict[str, Any]:
    rows = tree.get("sources") if isinstance(tree, dict) else None
    return {row["id"]: at for row, at in zip(rows, span["map"]["sources"]["list"])} if rows else {}


def _dump(tree: object) -> bytes:
    return json.dumps(tree, separators=(",", ":"), allow_nan=False).encode()
