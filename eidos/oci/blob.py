"""Blobs: content that is read a piece at a time, and is what its digest says.

Knows digests and sizes; must not know where a blob is stored.
"""

from __future__ import annotations

from eidos.errors import IntegrityError, Unavailable, os_error_reason
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from eidos.oci.image_manifest import Descriptor

#: Bytes that are read at once.
PIECE_BYTES = 1 << 16


class Blob(Record):
    """Content to store: its digest and size, and what reads it from the start, as often as needed."""

    digest: str
    size: int
    pieces: Callable[[], Iterator[bytes]]


def blob_of_bytes(data: bytes) -> Blob:
    """A blob in memory."""
    from eidos.oci.image_manifest import sha256_digest

    return Blob(sha256_digest(data), len(data), lambda: iter((data,)))


def blob_of_pieces(pieces: Callable[[], Iterator[bytes]]) -> Blob:
    """A blob of which no more than a piece is in memory: it is read once for its digest, and again for each transfer.

    Raises Unavailable when it cannot be read.
    """
    from hashlib import sha256

    digest, size = sha256(), 0
    try:
        for piece in pieces():
            digest.update(piece)
            size += len(piece)
    except OSError as fault:
        raise Unavailable(f"{fault.filename or 'input'}: {os_error_reason(fault)}") from fault
    return Blob(f"sha256:{digest.hexdigest()}", size, pieces)


def file_pieces(path: str) -> Iterator[bytes]:
    """The content of a file."""
    with open(path, "rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


class BlobReader:
    """A part of a blob as a body of HTTP: at most ``size`` bytes from ``offset`` on."""

    def __init__(self, blob: Blob, offset: int, size: int) -> None:
        self._pieces, self._skip, self._left, self._piece = blob.pieces(), offset, size, b""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most ``size`` of them; b"" at the end."""
        while self._left and not self._piece:
            try:
                piece = next(self._pieces, None)
            except OSError as fault:  # not one of the connection
                raise Unavailable(f"{fault.filename or 'input'}: {os_error_reason(fault)}") from fault
            if piece is None:
                raise Unavailable("the input became shorter while it was read", "run the command again")
            skipped = min(self._skip, len(piece))
            self._skip -= skipped
            self._piece = piece[skipped:]
        size = self._left if size < 0 else min(size, self._left)
        part, self._piece = self._piece[:size], self._piece[size:]
        self._left -= len(part)
        return part


class PieceReader:
    """Pieces as a file: ``read`` returns what is available, at most ``size`` bytes; b"" at the end."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self._piece = iter(pieces), b""

    def read(self, size: int) -> bytes:
        """Some bytes."""
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._piece = piece
        part, self._piece = self._piece[:size], self._piece[size:]
        return part


def verified(pieces: Iterable[bytes], descriptor: Descriptor, name: str) -> Iterator[bytes]:
    """``pieces`` as they come; IntegrityError at the first byte too many, and at the end for another size or another digest."""
    from hashlib import sha256

    digest, size = sha256(), 0
    for piece in pieces:
        size += len(piece)
        if size > descriptor.size:
            raise IntegrityError(f"{name}: larger than the {descriptor.size:,} bytes that its manifest says")
        digest.update(piece)
        yield piece
    if size != descriptor.size:
        raise IntegrityError(f"{name}: {size:,} bytes, not the {descriptor.size:,} that its manifest says")
    if f"sha256:{digest.hexdigest()}" != descriptor.digest:
        raise IntegrityError(f"{name}: its content does not match the digest {descriptor.digest}", "download it again, or push it again")
