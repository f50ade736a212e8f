"""One file and what came with it: its line in a list of checksums, and its detached signature.

Knows the lines that ``sha256sum`` (GNU coreutils, also with ``--tag``, as BSD's ``sha256``) and ``openssl dgst -sha256`` (1.1 and 3, also
with ``-r``) print, and the names of signatures beside a file; must not know what the file is, nor how a signature is verified.
"""

from __future__ import annotations

from eidos.errors import IntegrityError, InvalidData, NotFound
from eidos.files import read_named_file
from eidos.model.bundle import SIGNATURE_ENDINGS
from eidos.sign.key_forms import GPG, OPENSSL, SSH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: Bytes of the largest file that is verified, and of a list of checksums or a signature.
FILE_LIMIT, LIST_LIMIT = 64 << 20, 1 << 20

#: Kind of key → what the name of a signature by it ends with, beside the file: as ssh-keygen, gpg and cosign write it.
ENDINGS = {SSH: SIGNATURE_ENDINGS["ssh"], GPG: SIGNATURE_ENDINGS["gpg"], OPENSSL: SIGNATURE_ENDINGS["key"]}

_HEX = frozenset("0123456789abcdef")

#: What comes before the path, and between it and the digest, where the digest is last.
_TAGGED = (("SHA256 (", ") = "), ("SHA256(", ")= "), ("SHA2-256(", ")= "))


def read_limited(path: str, limit: int) -> bytes:
    """The content of a file. Raises NotFound, Unavailable, or InvalidData when it is larger than ``limit`` bytes."""
    data = read_named_file(path, limit)
    if len(data) > limit:
        raise InvalidData(f"{path} is larger than {limit >> 20} MiB", "check the path")
    return data


def parse_checksum_list(data: bytes, name: str) -> list[tuple[str, str]]:
    r"""Path and digest of each line. Raises InvalidData, with the line, for anything that none of the programs prints.

    The encoding is UTF-8, or UTF-16 as Windows writes what a program prints. A path that has two digests is ambiguous, and refused.

    >>> parse_checksum_list(b"0" * 64 + b" *eidos.pyz\n# of a release\n", "SHA256SUMS")[0][0]
    'eidos.pyz'
    """
    digests: dict[str, str] = {}
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = data.decode(encoding, "surrogateescape" if encoding == "utf-8" else "replace").removeprefix("\ufeff")
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip() or line.startswith("#"):
            continue
        is_escaped, line = line.startswith("\\"), line.removeprefix("\\")
        tag, end = next(((tag, end) for tag, end in _TAGGED if line.startswith(tag) and end in line), ("", ""))
        if tag:
            path, _, digest = line[len(tag) :].rpartition(end)
        else:
            digest, mark, path = line[:64], line[64:66], line[66:]
            digest = digest if mark in ("  ", " *") else ""
        digest = digest.lower()
        if len(digest) != 64 or not set(digest) <= _HEX or not path:
            hint = "pass a list that sha256sum or 'openssl dgst -sha256' printed"
            raise InvalidData(f"{name}, line {number}: expected a SHA-256, two spaces and a path", hint)
        path = _unescape(path) if is_escaped else path
        if digests.setdefault(path, digest) != digest:
            raise InvalidData(f"{name}, line {number}: {path} has another digest in an earlier line", "pass the list of one release")
    return list(digests.items())


def _unescape(path: str) -> str:
    return "\\".join(part.replace("\\n", "\n").replace("\\r", "\r") for part in path.split("\\\\"))


def find_listed(entries: Sequence[tuple[str, str]], file_name: str, digest: str, name: str) -> str:
    """The path under which a list has the file. Raises IntegrityError when it has another digest for it, or does not list it at all.

    A file that was renamed is found by its digest, unless the list has its name.
    """
    own = [(path, listed) for path, listed in entries if path.replace("\\", "/").rpartition("/")[2] == file_name]
    listed_path = next((path for path, listed in own or entries if listed == digest), None)
    if listed_path is not None and all(listed == digest for _, listed in own):
        return listed_path
    hint = "download it again"
    if listed_path is not None:
        names = " and ".join(path for path, _ in own)
        raise IntegrityError(
            f"{file_name} is ambiguous in {name}: {names} have different digests, one of them {digest}", "pass the list of one release"
        )
    if own:
        other = next(listed for _, listed in own if listed != digest)
        raise IntegrityError(f"{file_name} was modified: its SHA-256 is {digest}, and {name} says {other}", hint)
    raise IntegrityError(f"{file_name} is not in {name}: no line has its name or its SHA-256, {digest}", hint)


def find_signature(path: str, kind: str) -> tuple[str, bytes]:
    """The signature beside a file by a kind of key, and its path. Raises IntegrityError when there is none."""
    signature_path = path + ENDINGS[kind]
    try:
        return signature_path, read_limited(signature_path, LIST_LIMIT)
    except NotFound as fault:
        raise IntegrityError(f"{path} has no signature: {signature_path} does not exist", "name it with --signature FILE") from fault
