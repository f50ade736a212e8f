"""Tar archives, the same bytes every time, as a stream.

Knows the format (POSIX.1-1988 ustar); must not know what is packed. An entry does not record when, by whom or where it was made. The size
of an archive is known before a byte of it is read, and no more than a piece of a file is in memory.
"""

from __future__ import annotations

from eidos.errors import InvalidData, Unavailable
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

BLOCK, REGULAR, FOLDER = 512, b"0", b"5"

_PIECE = 1 << 16


class TarSource(Record):
    """A file to pack: its path in the archive, its mode and size, and what opens its content."""

    path: str
    mode: int
    size: int
    open: Callable[[], BinaryIO]


def tar_header(path: str, mode: int, size: int, kind: bytes) -> bytes:
    """The header of an entry. Raises InvalidData for a path that is too long for the format."""
    name = path.encode()
    prefix = b""
    if len(name) > 100:
        cut = name.find(b"/", max(len(name) - 101, 0))
        prefix, name = name[: max(cut, 0)], name[cut + 1 :]
        if cut < 0 or not 0 < len(name) <= 100 or len(prefix) > 155:
            raise InvalidData(f"{path!r}: the path is too long for an archive")
    fields = [name.ljust(100, b"\0"), b"%07o\0" % mode, b"%07o\0" % 0, b"%07o\0" % 0, b"%011o\0" % size, b"%011o\0" % 0, b" " * 8, kind]
    fields += [b"\0" * 100, b"ustar\0", b"00", b"\0" * 64, b"%07o\0" % 0, b"%07o\0" % 0, prefix.ljust(155, b"\0"), b"\0" * 12]
    header = b"".join(fields)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def tar_pieces(sources: Sequence[TarSource]) -> Iterator[bytes]:
    """The archive of these files, in their order, a piece at a time.

    Raises Unavailable when a file has another size than it had, OSError when it cannot be read.
    """
    for source in sources:
        yield tar_header(source.path, source.mode, source.size, REGULAR)
        left = source.size
        with source.open() as file:
            while left:
                piece = file.read(min(left, _PIECE))
                if not piece:
                    break
                left -= len(piece)
                yield piece
            if left or file.read(1):
                raise Unavailable(f"{source.path} changed while it was read", "run the command again")
        yield b"\0" * (-source.size % BLOCK)
    yield b"\0" * 2 * BLOCK
