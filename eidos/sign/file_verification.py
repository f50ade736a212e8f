"""One file and what came with it: its line in a list of checksums, and its detached signature.

Knows the lines of ``sha256sum`` (GNU coreutils, also with ``--tag``) and the names of signatures beside a file; must not know what the file
is, nor how a signature is verified.
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


def read_limited(path: str, limit: int) -> bytes:
    """The content of a file. Raises NotFound, Unavailable, or InvalidData when it is larger than ``limit`` bytes."""
    data = read_named_file(path, limit)
    if len(data) > limit:
        raise InvalidData(f"{path} is larger than {limit >> 20} MiB", "check the path")
    return data


def parse_checksum_list(data: bytes, name: str) -> list[tuple[str, str]]:
    r"""Path and digest of each line. Raises InvalidData, with the line, for anything that ``sha256sum`` does not write.

    >>> parse_checksum_list(b"0" * 64 + b" *eidos.pyz\n# of a release\n", "SHA256SUMS")[0][0]
    'eidos.pyz'
    """
    entries = []
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip() or line.startswith("#"):
            continue
        is_escaped, text = line.startswith("\\"), line.removeprefix("\\")
        if text.startswith("SHA256 (") and ") = " in text:
            path, _, digest = text[8:].rpartition(") = ")
        else:
            digest, mark, path = text[:64], text[64:66], text[66:]
            digest = digest if mark in ("  ", " *") else ""
        digest = digest.lower()
        if len(digest) != 64 or not set(digest) <= _HEX or not path:
            raise InvalidData(f"{name}, line {number}: expected a SHA-256, two spaces and a path", "pass a file that sha256sum wrote")
        entries.append((_unescape(path) if is_escaped else path, digest))
    return entries


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
