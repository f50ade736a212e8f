"""Laws of documents that are kept in a cluster: what is written is read back, whole or not at all, whoever dies on the way."""

from __future__ import annotations

import base64
import copy
import json
import random
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.errors import EidosError, IntegrityError, InvalidData, InvalidInput, KubeError, NotFound
from eidos.kube import document_store
from eidos.kube.document_store import OBJECT_LIMIT
from eidos.kube.responses import ObjectNotFound
from eidos.kube.stored_object import DOCUMENT_LIMIT, DocumentIndex, ObjectReference, StoredObject, parse_reference
from tests.support.effort import examples

if TYPE_CHECKING:
    from eidos.kube.api_client import KubeClient


class Died(Exception):
    """A writer was killed."""


class Memory:
    """The part of a client that documents need, over a dict; after ``lives`` changes its user dies."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, Any]] = {}
        self.lives = 10**9
        self.changes = 0

    def _change(self) -> None:
        if not self.lives:
            raise Died
        self.lives -= 1
        self.changes += 1

    def get(self, path: str) -> dict[str, Any]:
        if path not in self.held:
            missing = ObjectNotFound(f"{path}: not found")
            missing.name = path.rpartition("/")[2]
            raise missing
        return copy.deepcopy(self.held[path])

    def apply(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        self._change()
        values = [len(text.encode()) for text in (document.get("data") or {}).values()] if document["kind"] == "ConfigMap" else []
        field = "binaryData" if document["kind"] == "ConfigMap" else "data"
        values += [len(base64.b64decode(text)) for text in (document.get(field) or {}).values()]
        assert sum(values) <= 1 << 20, "kube-apiserver: may not be more than 1048576 bytes"
        self.held[path] = copy.deepcopy(document)
        return document

    def delete(self, path: str) -> bool:
        self._change()
        return self.held.pop(path, None) is not None


def new() -> tuple[Memory, KubeClient]:
    memory = Memory()
    return memory, cast("KubeClient", memory)


def text(size: int, seed: int, plain: bool) -> bytes:
    """Of that size: random letters, which pack to three quarters, or a line again and again."""
    if plain:
        return (b"kernel.threads-max: %d\n" % seed * (size // 20 + 1))[:size]
    return base64.b64encode(random.Random(seed).randbytes(size))[:size]


REFERENCES = [parse_reference("cm://eidos/node"), parse_reference("secret://eidos/node")]
SIZES = st.sampled_from(
    [
        0,
        1,
        1000,
        OBJECT_LIMIT - 1,
        OBJECT_LIMIT,
        OBJECT_LIMIT + 1,
        int(OBJECT_LIMIT * 1.33),
        int(OBJECT_LIMIT * 1.4),
        int(OBJECT_LIMIT * 2.8),
        int(OBJECT_LIMIT * 4.5),
    ]
)
TEXTS = st.builds(text, SIZES, st.integers(0, 9), st.booleans())


def write(client: KubeClient, reference: ObjectReference, data: bytes) -> None:
    document_store.write_document(client, reference, data, form="yaml", component="snapshot")


@settings(max_examples=examples(25))
@given(st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from(REFERENCES))
def test_the_last_document_is_read_and_nothing_else_is_left(written: list[bytes], reference: ObjectReference) -> None:
    memory, client = new()
    for data in written:
        write(client, reference, data)
        assert document_store.read_document(client, reference) == data
    stored = StoredObject.get(client, reference)
    index = stored.index() if stored else None
    assert set(memory.held) == {reference.path, *(reference.part(number).path for number in (index.parts if index else ()))}
    before = copy.deepcopy(memory.held)
    write(client, reference, written[-1])
    if not (index and index.parts):
        assert memory.held == before, "the same document is the same object"
    assert document_store.remove_document(client, reference)
    assert not memory.held
    assert not document_store.remove_document(client, reference)


@settings(max_examples=examples(25))
@given(st.none() | TEXTS, TEXTS, TEXTS, st.integers(0, 8), st.sampled_from(REFERENCES))
def test_a_writer_that_dies_leaves_the_document_before_or_its_own(
    before: bytes | None, after: bytes, later: bytes, lives: int, reference: ObjectReference
) -> None:
    memory, client = new()
    if before is not None:
        write(client, reference, before)
    memory.lives = lives
    try:
        write(client, reference, after)
    except Died:
        pass
    memory.lives = 10**9
    if before is None and reference.path not in memory.held:
        with pytest.raises(NotFound):
            document_store.read_document(client, reference)
    else:
        assert document_store.read_document(client, reference) in (before, after)
    write(client, reference, later)
    assert document_store.read_document(client, reference) == later, "what was left stands in nobody's way"


@settings(max_examples=examples(25))
@given(st.data(), st.sampled_from(REFERENCES))
def test_what_is_lost_or_changed_is_detected(data: st.DataObject, reference: ObjectReference) -> None:
    memory, client = new()
    document = text(int(OBJECT_LIMIT * data.draw(st.sampled_from([1.2, 2.0, 3.5]))), 1, plain=False)
    write(client, reference, document)
    other_memory, other = new()
    write(other, reference, text(len(document), 2, plain=False))
    victim = data.draw(st.sampled_from(sorted(path for path in memory.held if path != reference.path) or [reference.path]))
    deed = data.draw(st.sampled_from(["remove", "spoil"] if victim == reference.path else ["remove", "replace", "spoil"]))
    if deed == "remove":
        del memory.held[victim]
    elif deed == "replace":
        memory.held[victim] = other_memory.held[victim]
    else:
        field = memory.held[victim]["binaryData" if reference.scheme == "cm" else "data"]
        key = next(key for key in field if key.endswith(".gz"))
        raw = bytearray(base64.b64decode(field[key]))
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        field[key] = base64.b64encode(raw).decode()
    try:
        # A bit of the head of a gzip file may be one that nobody reads.
        assert document_store.read_document(client, reference) == document
        assert deed == "spoil"
    except (IntegrityError, NotFound):
        pass


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=10), lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=2)
)
KEYS = st.sampled_from(["index.json", "part.json", "document.yaml", "document.yaml.gz", "document.json", "a.yaml", "x"])
CONTENTS = (
    st.text(max_size=20)
    | st.builds(
        lambda **tree: json.dumps(tree),
        key=st.just("document.yaml"),
        size=st.integers(-1, 50),
        sha256=st.just("0" * 64),
        first=st.integers(-1, 3),
        count=st.integers(-1, 70),
    )
    | VALUES
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "metadata": VALUES | st.just({"labels": {"app.kubernetes.io/managed-by": "eidos"}}),
            "data": st.dictionaries(KEYS, CONTENTS, max_size=3) | VALUES,
            "binaryData": st.dictionaries(KEYS, CONTENTS, max_size=3) | VALUES,
        },
    ),
    st.sampled_from(REFERENCES),
)
def test_any_object(tree: dict[str, Any], reference: ObjectReference) -> None:
    """Whatever is there: a document, or the documented failure; and never written over when it is not ours."""
    memory, client = new()
    memory.held[reference.path] = tree
    try:
        assert isinstance(document_store.read_document(client, reference), bytes)
    except (InvalidData, IntegrityError):
        pass
    try:
        write(client, reference, b"a: 1\n")
        labels = tree["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "eidos"
    except KubeError:
        assert memory.held[reference.path] == tree


@given(st.text(max_size=30) | st.from_regex(r"[a-z0-9./-]{1,30}", fullmatch=True), st.sampled_from(["cm", "secret"]))
def test_any_reference(words: str, scheme: str) -> None:
    try:
        reference = parse_reference(f"{scheme}://{words}")
    except InvalidInput:
        return
    assert str(reference) == f"{scheme}://{words}"
    assert reference.path.count("/") == 6 and reference.path.isascii() and "//" not in reference.path and ".." not in reference.path


@pytest.mark.slow
def test_what_is_too_large() -> None:
    memory, client = new()
    with pytest.raises(InvalidInput, match=r"32\.0 MiB, at most 32 MiB"):
        write(client, REFERENCES[0], b"x" * (DOCUMENT_LIMIT + 1))
    assert not memory.held
    write(client, REFERENCES[0], random.Random(1).randbytes(DOCUMENT_LIMIT))
    assert document_store.read_document(client, REFERENCES[0], 10) == random.Random(1).randbytes(DOCUMENT_LIMIT)[:11]


def test_an_index_of_a_bomb() -> None:
    """What is unpacked stays within what an index may say."""
    import zlib

    memory, client = new()
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(bytes(DOCUMENT_LIMIT + (1 << 20))) + packer.flush()
    index = DocumentIndex("document.yaml", DOCUMENT_LIMIT, "0" * 64).to_json().decode()
    memory.held[REFERENCES[0].path] = {"data": {"index.json": index}, "binaryData": {"document.yaml.gz": base64.b64encode(bomb).decode()}}
    with pytest.raises(EidosError, match="SHA-256"):
        document_store.read_document(client, REFERENCES[0])
