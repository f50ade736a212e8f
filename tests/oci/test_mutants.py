"""Mutants of a bundle that was pushed: each is refused, or is the very bundle; none becomes another one.

A mutant is a change of a layout that stands for any store: of stored bytes, as a disk or a network changes them, and of layers with all
digests made right again, as an attacker does who may push.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from eidos.cli.push import read_artifact, require_unchanged
from eidos.cli.registry_locations import unpack_artifact
from eidos.errors import EidosError
from eidos.model.bundle import is_attestation
from eidos.oci.artifact import open_artifact, push_artifact
from eidos.oci.image_manifest import sha256_digest
from eidos.oci.layout_archive import create_layout, open_layout
from eidos.workflow import make_recipe, write_bundle
from tests.support.bundle_files import build

RECIPE = make_recipe({"gpu": "h100", "service": "eks"})

#: Two bundles of which every layer differs.
OLD, NEW = (build(RECIPE, components=("cert-manager",), namespaces={"": namespace}).files for namespace in ("old", "new"))

#: Parts of the whole grid; a run takes some of them.
PARTS = 200

Files = dict[str, bytes]


@cache
def layout_of(tmp: Path, name: str) -> Files:
    """The files of the layout of a bundle."""
    from eidos.model.bundle import Bundle

    write_bundle(Bundle(OLD if name == "old" else NEW, ()), str(tmp / name))
    with create_layout(str(tmp / f"{name}.oci")) as layout:
        push_artifact(layout, read_artifact(str(tmp / name), ExitStack()), "v1")
    folder = tmp / f"{name}.oci"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def blob(digest: str) -> str:
    return f"blobs/sha256/{digest.partition(':')[2]}"


def tagged(index: dict[str, Any]) -> dict[str, Any]:
    """The entry of the bundle; the other is that of its statement."""
    (entry,) = (entry for entry in index["manifests"] if entry.get("annotations"))
    return entry  # type: ignore[no-any-return] # of JSON


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ (1 << position % 8)]) + data[position + 1 :]


def with_layers(files: Files, layers: list[bytes]) -> Files:
    """The layout with other layers, and all digests right."""
    index = json.loads(files["index.json"])
    manifest = json.loads(files[blob(tagged(index)["digest"])])
    titles = [layer["annotations"] for layer in manifest["layers"]]
    manifest["layers"] = [
        {"mediaType": "a/b", "digest": sha256_digest(data), "size": len(data), "annotations": titles[number % len(titles)]}
        for number, data in enumerate(layers)
    ]
    made = {blob(sha256_digest(data)): data for data in layers}
    data = json.dumps(manifest).encode()
    tagged(index).update(digest=sha256_digest(data), size=len(data))
    return {**made, blob(sha256_digest(data)): data, "index.json": json.dumps(index).encode()}


def layers_of(files: Files) -> list[bytes]:
    manifest = json.loads(files[blob(tagged(json.loads(files["index.json"]))["digest"])])
    return [files[blob(layer["digest"])] for layer in manifest["layers"]]


def with_byte(files: Files, path: str, position: int) -> Files:
    return {path: flipped(files[path], position)}


def with_size(files: Files, path: str, size: int) -> Files:
    return {path: (files[path] + b"x")[:size]}


def with_layer(files: Files, number: int, *replacements: bytes) -> Files:
    """One layer replaced by others, or by none."""
    layers = layers_of(files)
    return with_layers(files, [*layers[:number], *replacements, *layers[number + 1 :]])


def with_right_byte(files: Files, number: int, position: int) -> Files:
    return with_layer(files, number, flipped(layers_of(files)[number], position))


def mutants(tmp: Path) -> Iterator[tuple[str, Callable[[], Files]]]:
    """Each kind of change, and what makes the files that it changes, in an order that never changes."""
    files, other = layout_of(tmp, "old"), layout_of(tmp, "new")
    layers, newer = layers_of(files), layers_of(other)
    for path, data in sorted(files.items()):
        if len(data) < 4000:
            yield from (("byte of a small file", partial(with_byte, files, path, position)) for position in range(len(data)))
        sizes = (0, len(data) - 1, len(data) + 1)
        yield from (("a file truncated or extended", partial(with_size, files, path, size)) for size in sizes)
    for number, data in enumerate(layers):
        for position in range(0, len(data), 29):
            yield "byte of a layer", partial(with_byte, files, blob(sha256_digest(data)), position)
            yield "byte of a layer, digests right", partial(with_right_byte, files, number, position)
        yield "a layer left out", partial(with_layer, files, number)
        yield "a layer twice", partial(with_layer, files, number, data, data)
        yield "a layer of another bundle", partial(with_layer, files, number, newer[number])
    yield "layers in another order", partial(with_layers, files, layers[::-1])
    yield "no layers", partial(with_layers, files, [])


def outcome(tmp: Path, changed: Files) -> str:
    """``refused``, ``the same bundle``, or another bundle."""
    folder, target = tmp / "mutant.oci", tmp / "unpacked"
    files = {**layout_of(tmp, "old"), **changed}
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    target.mkdir()
    try:
        with open_layout(str(folder)) as store:
            unpack_artifact(store, open_artifact(store, "v1"), str(target))
        require_unchanged(str(target))
        files = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
        # With another manifest, the statement about the first one is not there.
        files = {**{path: content for path, content in OLD.items() if is_attestation(path)}, **files}
        return "the same bundle" if files == OLD else "another bundle"
    except EidosError:
        return "refused"
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(target)


@pytest.fixture(scope="module")
def tmp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutants")


@pytest.mark.exhaustive(sample=2, group="mutants of a pushed bundle")
@pytest.mark.parametrize("part", range(PARTS))
def test_no_mutant_is_another_bundle(tmp: Path, part: int) -> None:
    table: Counter[tuple[str, str]] = Counter()
    for kind, make in list(mutants(tmp))[part::PARTS]:
        table[kind, outcome(tmp, make())] += 1
    for (kind, result), count in sorted(table.items()):
        print(f"{count:5} {result:16} {kind}")
    assert {result for _, result in table} <= {"refused", "the same bundle"}


def test_there_are_many_mutants(tmp: Path) -> None:
    assert len(list(mutants(tmp))) >= 5000
    assert outcome(tmp, {}) == "the same bundle"
