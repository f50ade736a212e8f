"""SHA-256 digests of files, in the format of ``sha256sum``.

Knows lines of digest and path; must not know where files are.
"""

from __future__ import annotations

from eidos.errors import IntegrityError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_HEX = frozenset("0123456789abcdef")


def sha256(data: bytes) -> str:
    """The SHA-256 of ``data`` in hexadecimal.

    ``hashlib`` loads OpenSSL, which takes longer than the digests of a whole bundle; every CPython has an implementation of its own.
    """
    for name in ("_sha2", "_sha256"):  # CPython 3.12 and later, and before
        try:
            return str(__import__(name).sha256(data).hexdigest())
        except ImportError:
            continue
    import hashlib

    return hashlib.sha256(data).hexdigest()


def format_checksums(files: Mapping[str, bytes]) -> bytes:
    r"""A line for each file, sorted by path.

    >>> format_checksums({"a/b": b""})
    b'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a/b\n'
    """
    return "".join(f"{sha256(files[path])}  {path}\n" for path in sorted(files)).encode()


def parse_checksums(data: bytes, name: str) -> dict[str, str]:
    """Path → digest. Raises IntegrityError, with the line, for another format, or a path that cannot be in a bundle."""
    digests: dict[str, str] = {}
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError as fault:
        raise IntegrityError(f"{name}: not UTF-8") from fault
    if lines.pop() != "":
        raise IntegrityError(f"{name}: the last line is truncated")
    for number, line in enumerate(lines, 1):
        digest, path = line[:64], line[66:]
        if len(digest) != 64 or not set(digest) <= _HEX or line[64:66] not in ("  ", " *"):
            raise IntegrityError(f"{name}, line {number}: expected a digest, two spaces and a path")
        if not is_inside(path):
            raise IntegrityError(f"{name}, line {number}: {path!r} is not a path inside the bundle")
        if path in digests:
            raise IntegrityError(f"{name}, line {number}: {path!r} is repeated")
        digests[path] = digest
    return digests


def is_inside(path: str) -> bool:
    r"""Whether a relative path stays below its folder, on any system.

    >>> [is_inside(path) for path in ("a/b", "/a", "a/../b", "a//b", "", "a\\b")]
    [True, False, False, False, False, False]
    """
    return path.isprintable() and "\\" not in path and not set(path.split("/")) & {"", ".", ".."}
