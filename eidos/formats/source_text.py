"""The text of a document: decoded, bounded, and positions in it as line and column.

Knows bytes, encodings and lines; must not know formats, nor the document's name: :func:`eidos.formats.from_text` adds it and raises
InvalidData.
"""

from __future__ import annotations

#: For what cannot be text at all.
BINARY_HINT = "check that it is a text file and not compressed"


class DocumentSyntaxError(Exception):
    """``reason`` and ``hint`` for people; ``line`` and ``column`` count from one, or are None where they are unknown."""

    def __init__(self, reason: str, hint: str | None = None, line: int | None = None, column: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.line = line
        self.column = column

    @classmethod
    def at(cls, text: str, position: int, reason: str, hint: str | None = None) -> DocumentSyntaxError:
        """An error at ``position`` of ``text``, which counts characters from zero."""
        position = min(max(position, 0), len(text))
        return cls(reason, hint, text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position))

    def location(self) -> str:
        """Line and column as far as they are known, to follow the document's name."""
        return ", ".join(f"{name} {number}" for name, number in (("line", self.line), ("column", self.column)) if number is not None)


class RepeatedKey(DocumentSyntaxError):
    """A mapping has a key twice."""


def decode(data: bytes | str, limit: int) -> str:
    """The text of a document of at most ``limit`` bytes, or characters: UTF-8, or UTF-16 with a byte order mark."""
    if len(data) > limit and isinstance(data, str):
        raise DocumentSyntaxError(f"too large: {len(data):,} characters, the limit is {limit:,}")
    if len(data) > limit:
        reason = f"too large: {len(data) / 1048576:.1f} MiB, the limit is {limit / 1048576:g} MiB"
        raise DocumentSyntaxError(reason, "check that this is the right file")
    text = data if isinstance(data, str) else _decode_bytes(data)
    text = text.removeprefix("\ufeff")
    nul = text.find("\0")
    if nul >= 0:
        raise DocumentSyntaxError.at(text, nul, "a NUL character, which is not allowed in a document", BINARY_HINT)
    return text


def _decode_bytes(data: bytes) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as cause:
        before = data[: cause.start].decode(encoding, "replace")
        reason = f"byte 0x{data[cause.start]:02x} is not {encoding.upper()}"
        raise DocumentSyntaxError.at(before, len(before), reason, BINARY_HINT) from cause
