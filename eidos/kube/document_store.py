"""Documents that are kept in ConfigMaps and Secrets: ``cm://namespace/name``, ``secret://namespace/name``.

Knows how a document lies in them, whole or in parts, and whose they are; must not know what it means. One object holds 1 MiB (Kubernetes
documentation, "ConfigMaps"; ``MaxSecretSize``), so a document lies in one of three ways:

* under ``data``, as ``document.yaml`` (or ``.json``, ``.txt``), for whoever looks with ``kubectl get -o yaml``;
* above :data:`ROOM` bytes under ``binaryData``, as ``document.yaml.gz``, beside an ``index.json`` with its size and SHA-256;
* above :data:`ROOM` compressed bytes in parts of their own, ``name-1`` and so on, each with a ``part.json`` that says of what; the object
  that has the name holds the index, which says which parts there are.

Parts are written before the index that names them, and beside those of the document before, whose numbers they do not use; those are
removed after. So whoever reads finds the document before or the document after, and a writer that dies in between leaves the one before.
What does not agree with its index is no document.

An object that eidos did not make is never written to, and the last one who changed a field keeps it (server-side apply).
"""

from __future__ import annotations

from eidos import __version__, log
from eidos.errors import EidosError, IntegrityError, InvalidData, InvalidInput, KubeError, NotFound
from eidos.kube.responses import Missing
from eidos.kube.stored_object import INDEX, LIMIT, PART, PARTS, Index, Kept, Part, Place, parse

__all__ = ["Place", "parse", "read", "remove", "write"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.kube.api_client import Client

#: Bytes that are put into one object; its labels and its name need some of the 1 MiB of a request, too.
ROOM = 900 << 10


def write(client: Client, place: Place, data: bytes, *, form: str, component: str) -> None:
    """Keep a document; ``form`` is yaml, json or txt, ``component`` the label that says what it is.

    Raises InvalidInput for one that is too large, KubeError when somebody else owns the object or a field of it, and what the client
    raises. Until the last request the document before is whole.
    """
    if len(data) > LIMIT:
        size = f"{len(data) / 1048576:.1f} MiB"
        raise InvalidInput(
            f"{place}: a document of {size} is more than the {LIMIT >> 20} MiB that are kept in a cluster", "write it to a file"
        )
    labels = _labels(component)
    before = Kept.get(client, place)
    if before is not None:
        before.check_owner()
    old = _index_before(before)
    key = f"document.{form}"
    if len(data) <= ROOM:
        _apply(client, place, labels, {key: data}, {})
        new = range(0)
    else:
        new = _write_large(client, place, labels, key, data, old)
        if new:
            _check(client, place)
    _remove_parts(client, place, old, new)


def _check(client: Client, place: Place) -> None:
    """Read what was written in parts: whoever wrote at the same time used the same numbers, and then it is no document."""
    try:
        _read(client, place, LIMIT)
    except (IntegrityError, NotFound) as fault:
        raise KubeError(f"{place}: somebody else wrote it at the same time: {fault.message}", _AGAIN) from fault


def _index_before(before: Kept | None) -> Index | None:
    try:
        return None if before is None else before.index()
    except InvalidData:  # whoever changed it keeps what it names
        return None


def _write_large(client: Client, place: Place, labels: dict[str, str], key: str, data: bytes, old: Index | None) -> range:
    """Write what is compressed, in one object or in parts; the numbers of the parts."""
    import hashlib
    import zlib

    compress = zlib.compressobj(6, zlib.DEFLATED, 31)  # a gzip file without name and time: the same bytes for the same document
    packed = compress.compress(data) + compress.flush()
    index = Index(key, len(data), hashlib.sha256(data).hexdigest())
    if len(packed) <= ROOM:
        _apply(client, place, labels, {INDEX: index.to_json()}, {f"{key}.gz": packed})
        return range(0)
    pieces = [packed[at : at + ROOM] for at in range(0, len(packed), ROOM)]
    if len(pieces) > PARTS:
        raise InvalidInput(f"{place}: the document needs {len(pieces)} parts, and {PARTS} are the most", "write it to a file")
    taken = range(0) if old is None else old.parts
    first = 1 if not taken or taken[0] > len(pieces) else taken[-1] + 1
    numbers = range(first, first + len(pieces))
    found = [Kept.get(client, place.part(number)) for number in numbers]
    for part in found:
        if part is not None:
            part.check_is_part_of(place)
    try:
        for number, piece in zip(numbers, pieces):
            told = Part(place.name, number, index.sha256)
            _apply(client, place.part(number), labels, {PART: told.to_json()}, {f"{key}.gz": piece})
    except BaseException:  # an interrupt, too: no index names them yet
        _take_back(client, place, numbers, index.sha256)
        raise
    try:
        _apply(client, place, labels, {INDEX: Index(key, index.size, index.sha256, first, len(pieces)).to_json()}, {})
    except KubeError as fault:
        if not fault.may_pass:  # it was refused, so no index names them
            _take_back(client, place, numbers, index.sha256)
        raise
    return numbers


def _take_back(client: Client, place: Place, numbers: range, sha256: str) -> None:
    """Remove the parts of a document that could not be written whole, as far as that can be done."""
    try:
        for number in numbers:
            part = Kept.get(client, place.part(number))
            if part is None or part.told() != Part(place.name, number, sha256):
                return
            client.delete(part.place.path)
    except EidosError as fault:
        log.warn(f"{place}: parts of a document that was not written are left: {fault.message}", hint=fault.hint)


def _remove_parts(client: Client, place: Place, old: Index | None, new: range) -> None:
    """Remove the parts of the document before; when that fails, what was written is whole all the same.

    What a writer that died left lies behind them.
    """
    if old is None or not old.parts:
        return
    number = old.first
    while number < old.first + 2 * PARTS:
        part = place.part(number)
        try:
            found = None if number in new else Kept.get(client, part)
            if found is not None and found.is_part_of(place):
                client.delete(part.path)
            elif number not in old.parts and number not in new:
                return
        except KubeError as fault:
            log.warn(f"{part}, a part of the document before, is left: {fault.message}", hint=fault.hint)
            return
        number += 1


def remove(client: Client, place: Place) -> bool:
    """Remove a document with all its parts; False when there is none. Raises KubeError for one that is not of eidos, or may not go."""
    found = Kept.get(client, place)
    if found is None:
        return False
    found.check_owner()
    gone = client.delete(place.path)
    _remove_parts(client, place, _index_before(found), range(0))
    return gone


def read(client: Client, place: Place, limit: int = LIMIT) -> bytes:
    """The document, whole; at most one byte more than ``limit`` of it, so that a reader sees that it is too large.

    Raises NotFound when there is none, InvalidData when what is there is no document, IntegrityError when a part is missing, belongs to
    another document or does not have the bytes that it was written with, and what the client raises.
    """
    try:
        return _read(client, place, limit)
    except IntegrityError:
        # Somebody may have been writing: what the index said a moment ago was true then.
        return _read(client, place, limit)


def _read(client: Client, place: Place, limit: int) -> bytes:
    found = Kept.get(client, place)
    if found is None:
        raise NotFound(f"{place}: there is no such {place.kind}", f"'eidos snapshot -o {place}' writes one")
    index = found.index()
    if index is None:
        return found.plain()[: limit + 1]
    if not index.parts:
        packed = found.value(f"{index.key}.gz")
        if packed is None:
            raise IntegrityError(f"{place}: its index names {index.key}.gz, which is not there", _AGAIN)
        return _unpacked(place, packed, index, limit)
    pieces = []
    for number in index.parts:
        part = Kept.get(client, place.part(number))
        if part is None:
            raise IntegrityError(f"{place.part(number)}, part {number} of {place}, is missing", _AGAIN)
        piece = part.value(f"{index.key}.gz")
        if piece is None or part.told() != Part(place.name, number, index.sha256):
            raise IntegrityError(f"{place.part(number)} is no part of the document that {place} is now", _AGAIN)
        pieces.append(piece)
    return _unpacked(place, b"".join(pieces), index, limit)


_AGAIN = "write the document again"


def _unpacked(place: Place, packed: bytes, index: Index, limit: int) -> bytes:
    import hashlib
    import zlib

    reader = zlib.decompressobj(31)
    try:
        data = reader.decompress(packed, max(limit, LIMIT) + 1)
    except zlib.error as fault:
        raise IntegrityError(f"{place}: what it holds is not what was written: {fault}", _AGAIN) from fault
    if len(data) != index.size or not reader.eof or reader.unused_data or hashlib.sha256(data).hexdigest() != index.sha256:
        raise IntegrityError(f"{place}: the SHA-256 of what it holds is not the one in its index", _AGAIN)
    return data[: limit + 1]


def _labels(component: str) -> dict[str, str]:
    import re

    version = re.sub(r"[^A-Za-z0-9._-]", "_", __version__)[:63].strip("._-")
    labels = {"name": "eidos", "managed-by": "eidos", "component": component, "version": version}
    return {f"app.kubernetes.io/{key}": value for key, value in labels.items() if value}


def _apply(client: Client, place: Place, labels: dict[str, str], texts: dict[str, bytes], binaries: dict[str, bytes]) -> None:
    import base64

    def encoded(values: dict[str, bytes]) -> dict[str, str]:
        return {key: base64.b64encode(value).decode() for key, value in values.items()}

    tree: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": place.kind,
        "metadata": {"name": place.name, "namespace": place.namespace, "labels": labels},
    }
    if place.scheme == "secret":
        tree.update(type="Opaque", data=encoded({**texts, **binaries}))
    else:
        tree.update(data={key: value.decode() for key, value in texts.items()}, binaryData=encoded(binaries))
    try:
        client.apply(place.path, {key: value for key, value in tree.items() if value})
    except Missing as missing:
        if (missing.kind, missing.name) != ("namespaces", place.namespace):
            raise
        raise NotFound(f"{place}: there is no namespace {place.namespace!r}", f"kubectl create namespace {place.namespace}") from missing
    except KubeError as fault:
        if fault.status == 409:
            raise KubeError(f"{place}: somebody else changed it: {fault.message}", "choose another name, or delete it") from fault
        raise
