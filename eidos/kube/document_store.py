"""Stores documents in ConfigMaps and Secrets: ``cm://namespace/name``, ``secret://namespace/name``.

Knows how a document is laid out in objects, and in which order they are written; must not know what it means. One object holds 1 MiB
(Kubernetes documentation, "ConfigMaps"; ``MaxSecretSize``), so there are three layouts:

* under ``data``, as ``document.yaml`` (or ``.json``, ``.txt``), readable with ``kubectl get -o yaml``;
* above :data:`OBJECT_LIMIT` bytes, under ``binaryData`` as ``document.yaml.gz``, with an ``index.json`` with its size and SHA-256;
* above :data:`OBJECT_LIMIT` compressed bytes, in objects ``name-1`` and so on, each with a ``part.json`` that names its document; the
  object ``name`` has the index, with the numbers of the parts.

Parts are written before the index that lists them, with numbers that the previous document does not use; the parts of that are removed
last. So a reader gets the previous document or the new one, and a writer that dies leaves the previous one. Content that does not match
its index is rejected.

An object that eidos did not create is never changed, and a field that somebody else has changed is not overwritten (server-side apply).
"""

from __future__ import annotations

from eidos import __version__, log
from eidos.errors import EidosError, IntegrityError, InvalidData, InvalidInput, KubeError, NotFound
from eidos.kube.responses import ObjectNotFound
from eidos.kube.stored_object import (
    DOCUMENT_LIMIT,
    INDEX_KEY,
    PART_KEY,
    PART_LIMIT,
    DocumentIndex,
    ObjectReference,
    PartHeader,
    StoredObject,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.kube.api_client import KubeClient

#: Bytes of content in one object; labels and name need some of the 1 MiB of a request, too.
OBJECT_LIMIT = 900 << 10

_REWRITE_HINT = "write the document again"


def write_document(client: KubeClient, reference: ObjectReference, data: bytes, *, form: str, component: str) -> None:
    """Write a document; ``form`` is yaml, json or txt, ``component`` the label that tells what it is.

    Raises InvalidInput for one that is too large, KubeError when somebody else owns the object or a field of it, and what the client
    raises. Until the last request a reader gets the previous document.
    """
    if len(data) > DOCUMENT_LIMIT:
        size = f"{len(data) / 1048576:.1f} MiB"
        message = f"{reference}: document too large: {size}, at most {DOCUMENT_LIMIT >> 20} MiB can be stored in a cluster"
        raise InvalidInput(message, "write it to a file")
    labels = _labels(component)
    before = StoredObject.get(client, reference)
    if before is not None:
        before.check_owner()
    old = _previous_index(before)
    key = f"document.{form}"
    if len(data) <= OBJECT_LIMIT:
        _apply(client, reference, labels, {key: data}, {})
        new = range(0)
    else:
        new = _write_large(client, reference, labels, key, data, old)
        if new:
            _verify_written(client, reference)
    _remove_parts(client, reference, old, new)


def _verify_written(client: KubeClient, reference: ObjectReference) -> None:
    """Read the parts back: a concurrent writer would have used the same numbers."""
    try:
        _read(client, reference, DOCUMENT_LIMIT)
    except (IntegrityError, NotFound) as fault:
        raise KubeError(f"{reference}: changed by another writer at the same time: {fault.message}", _REWRITE_HINT) from fault


def _previous_index(before: StoredObject | None) -> DocumentIndex | None:
    try:
        return None if before is None else before.index()
    except InvalidData:  # somebody has changed it, so its parts are not ours to remove
        return None


def _write_large(
    client: KubeClient, reference: ObjectReference, labels: dict[str, str], key: str, data: bytes, old: DocumentIndex | None
) -> range:
    """Write a document compressed, in one object or in parts; the numbers of the parts."""
    import hashlib
    import zlib

    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)  # gzip without name and time: the same bytes for the same document
    packed = compressor.compress(data) + compressor.flush()
    index = DocumentIndex(key, len(data), hashlib.sha256(data).hexdigest())
    if len(packed) <= OBJECT_LIMIT:
        _apply(client, reference, labels, {INDEX_KEY: index.to_json()}, {f"{key}.gz": packed})
        return range(0)
    pieces = [packed[at : at + OBJECT_LIMIT] for at in range(0, len(packed), OBJECT_LIMIT)]
    if len(pieces) > PART_LIMIT:
        raise InvalidInput(f"{reference}: document too large: {len(pieces)} parts, at most {PART_LIMIT} are allowed", "write it to a file")
    taken = range(0) if old is None else old.parts
    first = 1 if not taken or taken[0] > len(pieces) else taken[-1] + 1
    numbers = range(first, first + len(pieces))
    existing = [StoredObject.get(client, reference.part(number)) for number in numbers]
    for part in existing:
        if part is not None:
            part.check_is_part_of(reference)
    try:
        for number, piece in zip(numbers, pieces):
            header = PartHeader(reference.name, number, index.sha256)
            _apply(client, reference.part(number), labels, {PART_KEY: header.to_json()}, {f"{key}.gz": piece})
    except BaseException:  # an interrupt, too: no index lists them yet
        _remove_written(client, reference, numbers, index.sha256)
        raise
    try:
        _apply(client, reference, labels, {INDEX_KEY: DocumentIndex(key, index.size, index.sha256, first, len(pieces)).to_json()}, {})
    except KubeError as fault:
        if not fault.may_pass:  # it was rejected, so no index lists them
            _remove_written(client, reference, numbers, index.sha256)
        raise
    return numbers


def _remove_written(client: KubeClient, reference: ObjectReference, numbers: range, sha256: str) -> None:
    """Remove the parts of a document that could not be completed; a failure is logged."""
    try:
        for number in numbers:
            part = StoredObject.get(client, reference.part(number))
            if part is None or part.part_header() != PartHeader(reference.name, number, sha256):
                return
            client.delete(part.reference.path)
    except EidosError as fault:
        log.warn(f"{reference}: cannot remove parts of an incomplete document: {fault.message}", hint=fault.hint)


def _remove_parts(client: KubeClient, reference: ObjectReference, old: DocumentIndex | None, new: range) -> None:
    """Remove the parts of the previous document, and those that a dead writer left after them; a failure is logged."""
    if old is None or not old.parts:
        return
    number = old.first
    while number < old.first + 2 * PART_LIMIT:
        part = reference.part(number)
        try:
            stored = None if number in new else StoredObject.get(client, part)
            if stored is not None and stored.is_part_of(reference):
                client.delete(part.path)
            elif number not in old.parts and number not in new:
                return
        except KubeError as fault:
            log.warn(f"cannot remove {part}, a part of the previous document: {fault.message}", hint=fault.hint)
            return
        number += 1


def remove_document(client: KubeClient, reference: ObjectReference) -> bool:
    """Remove a document with its parts; False when it does not exist. Raises KubeError when eidos did not write it, or for a failure."""
    stored = StoredObject.get(client, reference)
    if stored is None:
        return False
    stored.check_owner()
    is_deleted = client.delete(reference.path)
    _remove_parts(client, reference, _previous_index(stored), range(0))
    return is_deleted


def read_document(client: KubeClient, reference: ObjectReference, limit: int = DOCUMENT_LIMIT) -> bytes:
    """The document; of a longer one ``limit`` + 1 bytes, so that the caller sees that it is too large.

    Raises NotFound when it does not exist, InvalidData when the object has no document, IntegrityError when a part is missing, belongs to
    another document or was modified, and what the client raises.
    """
    try:
        return _read(client, reference, limit)
    except IntegrityError:
        # A concurrent writer may have replaced the parts since the index was read.
        return _read(client, reference, limit)


def _read(client: KubeClient, reference: ObjectReference, limit: int) -> bytes:
    stored = StoredObject.get(client, reference)
    if stored is None:
        raise NotFound(f"{reference}: no such {reference.kind}", f"create it with 'eidos snapshot -o {reference}'")
    index = stored.index()
    if index is None:
        return stored.plain_document()[: limit + 1]
    if not index.parts:
        packed = stored.value(f"{index.key}.gz")
        if packed is None:
            raise IntegrityError(f"{reference}: {index.key}.gz, which its index lists, is missing", _REWRITE_HINT)
        return _decompress(reference, packed, index, limit)
    pieces = []
    for number in index.parts:
        part = StoredObject.get(client, reference.part(number))
        if part is None:
            raise IntegrityError(f"{reference.part(number)}, part {number} of {reference}, is missing", _REWRITE_HINT)
        piece = part.value(f"{index.key}.gz")
        if piece is None or part.part_header() != PartHeader(reference.name, number, index.sha256):
            raise IntegrityError(f"{reference.part(number)} belongs to another version of {reference}", _REWRITE_HINT)
        pieces.append(piece)
    return _decompress(reference, b"".join(pieces), index, limit)


def _decompress(reference: ObjectReference, packed: bytes, index: DocumentIndex, limit: int) -> bytes:
    import hashlib
    import zlib

    reader = zlib.decompressobj(31)
    try:
        data = reader.decompress(packed, max(limit, DOCUMENT_LIMIT) + 1)
    except zlib.error as fault:
        raise IntegrityError(f"{reference}: its content is damaged: {fault}", _REWRITE_HINT) from fault
    if len(data) != index.size or not reader.eof or reader.unused_data or hashlib.sha256(data).hexdigest() != index.sha256:
        raise IntegrityError(f"{reference}: the SHA-256 of its content does not match its index", _REWRITE_HINT)
    return data[: limit + 1]


def _labels(component: str) -> dict[str, str]:
    import re

    version = re.sub(r"[^A-Za-z0-9._-]", "_", __version__)[:63].strip("._-")
    labels = {"name": "eidos", "managed-by": "eidos", "component": component, "version": version}
    return {f"app.kubernetes.io/{key}": value for key, value in labels.items() if value}


def _apply(
    client: KubeClient, reference: ObjectReference, labels: dict[str, str], texts: dict[str, bytes], binaries: dict[str, bytes]
) -> None:
    import base64

    def encoded(values: dict[str, bytes]) -> dict[str, str]:
        return {key: base64.b64encode(value).decode() for key, value in values.items()}

    tree: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": reference.kind,
        "metadata": {"name": reference.name, "namespace": reference.namespace, "labels": labels},
    }
    if reference.scheme == "secret":
        tree.update(type="Opaque", data=encoded({**texts, **binaries}))
    else:
        tree.update(data={key: value.decode() for key, value in texts.items()}, binaryData=encoded(binaries))
    try:
        client.apply(reference.path, {key: value for key, value in tree.items() if value})
    except ObjectNotFound as missing:
        namespace = reference.namespace
        if (missing.kind, missing.name) != ("namespaces", namespace):
            raise
        raise NotFound(f"{reference}: no such namespace {namespace!r}", f"kubectl create namespace {namespace}") from missing
    except KubeError as fault:
        if fault.status == 409:
            raise KubeError(
                f"{reference}: changed by another writer: {fault.message}", "choose another name, or delete it first"
            ) from fault
        raise
