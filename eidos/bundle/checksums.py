"""SHA-256 digests of files, in the format of ``sha256sum``.

Knows lines of digest and path; must not know where files are.
"""

from __future__ import annotations

from eidos.errors import IntegrityError
from eidos.model.bundle import is_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from eidos.model.bundle import StoredFile

#: Files that a bundle may have.
MAX_FILES = 20_000

#: From here on OpenSSL is faster, loading it included.
_OPENSSL_BYTES = 4 << 20

_HEX = frozenset("0123456789abcdef")


def sha256(data: bytes) -> str:
    """The SHA-256 of ``data`` in hexadecimal.

    ``hashlib`` loads OpenSSL, which takes longer than the digests of a whole bundle; every CPython has an implementation of its own.
    """
    return str(_new_sha256(data).hexdigest())


def _new_sha256(data: bytes = b"") -> Any:
    for name in ("_sha2", "_sha256"):  # CPython 3.12 and later, and before
        try:
            return __import__(name).sha256(data)
        except ImportError:
            continue
    import hashlib

    return hashlib.sha256(data)


class Sha256:
    """A SHA-256 under way, of ``size`` bytes: unless that is much, without OpenSSL where the interpreter has its own implementation."""

    def __init__(self, size: int = 0) -> None:
        if size <= _OPENSSL_BYTES:
            self._hash = _new_sha256()
        else:
            import hashlib

            self._hash = hashlib.sha256()
        self.update = self._hash.update

    def hexdigest(self) -> str:
        """The digest in hexadecimal."""
        return str(self._hash.hexdigest())


def format_checksums(files: Mapping[str, bytes], blobs: Mapping[str, StoredFile] | None = None) -> bytes:
    r"""A line for each file, in memory or on disk, sorted by path.

    >>> format_checksums({"a/b": b""})
    b'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a/b\n'
    """
    digests = {path: blob.sha256 for path, blob in (blobs or {}).items()}
    digests.update((path, sha256(content)) for path, content in files.items())
    return "".join(f"{digests[path]}  {path}\n" for path in sorted(digests)).encode()


def parse_checksums(data: bytes, name: str) -> dict[str, str]:
    """Path → digest. Raises IntegrityError, with the line, for another format, or a path that cannot be in a bundle."""
    digests: dict[str, str] = {}
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError as fault:
        raise IntegrityError(f"{name}: not UTF-8") from fault
    if lines.pop() != "":
        raise IntegrityError(f"{name}: the last line is truncated")
    if len(lines) > MAX_FILES:
        raise IntegrityError(f"{name}: more than {MAX_FILES:,} files")
    for number, line in enumerate(lines, 1):
        digest, path = line[:64], line[66:]
        if len(digest) != 64 or not set(digest) <= _HEX or line[64:66] not in ("  ", " *"):
            raise IntegrityError(f"{name}, line {number}: expected a digest, two spaces and a path")
        if not is_inside(path):
            raise IntegrityError(f"{name}, line {number}: {path[:80]!r} is not a path inside the bundle")
        if path in digests:
            raise IntegrityError(f"{name}, line {number}: {path!r} is repeated")
        digests[path] = digest
    return digests
