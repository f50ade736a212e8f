"""Files that deploy a recipe, and what became of each component.

Knows paths, contents, modes and durations; must not know how a file is made, nor where it is written.
"""

from __future__ import annotations

from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Digests of every file of a folder but this one, in the form of ``sha256sum -c``.
CHECKSUMS = "checksums.txt"

#: Limits of a path in a bundle: characters, and folders that it goes through. Ours have some 60 and 4.
MAX_PATH_LENGTH, MAX_PATH_DEPTH = 1024, 32

#: The folder of what vouches for a bundle, and in it the statement that is signed. They are about the checksums, so those leave them out.
ATTESTATIONS = "attestations/"
STATEMENT = f"{ATTESTATIONS}statement.json"

#: What the names of signatures end with, by how they begin; between the two are 16 hexadecimal digits of the key's fingerprint, and 16 of
#: the signature's own SHA-256, so that damage is found without the key.
SIGNATURE_ENDINGS = {"ssh": ".sig", "gpg": ".asc", "key": ".sigstore.json"}

#: The folder of a bundle that is an OCI image layout, and in it the blobs of images. A blob may be larger than any other file: up to what
#: the header of an archive's entry can say. All of them together have at most this many bytes.
IMAGES, IMAGE_BLOBS = "images/", "images/blobs/sha256/"
MAX_BLOB_BYTES, MAX_BLOBS_BYTES = (8 << 30) - 1, 1 << 40

SCRIPT, PLAIN = 0o755, 0o644


def file_mode(path: str) -> int:
    """The mode of a bundle's file: readable by all, and executable when it is a script."""
    return SCRIPT if path.endswith(".sh") else PLAIN


def is_inside(path: str) -> bool:
    r"""Whether a relative path stays below its folder, on any system, and is neither too long nor too deep.

    >>> [is_inside(path) for path in ("a/b", "/a", "a/../b", "a//b", "", "a\\b")]
    [True, False, False, False, False, False]
    """
    if len(path) > MAX_PATH_LENGTH or path.count("/") > MAX_PATH_DEPTH:
        return False
    return path.isprintable() and "\\" not in path and not set(path.split("/")) & {"", ".", ".."}


def signature_path(kind: str, fingerprint: str, digest: str) -> str:
    """Where the signature of a key is: ``kind`` is one of SIGNATURE_ENDINGS, ``digest`` is the SHA-256 of the signature in hexadecimal.

    >>> signature_path("ssh", "0123456789abcdef0123", "f" * 64)
    'attestations/ssh-0123456789abcdef-ffffffffffffffff.sig'
    """
    return f"{ATTESTATIONS}{kind}-{fingerprint[:16].lower()}-{digest[:16]}{SIGNATURE_ENDINGS[kind]}"


class SignatureName(Record):
    """What the name of a signature says: its kind, and the first 16 digits of the key's fingerprint and of its own SHA-256."""

    kind: str
    key: str
    digest: str


def parse_signature_path(path: str) -> SignatureName | None:
    """What the path of a signature says; None for any other path."""
    if not path.startswith(ATTESTATIONS):
        return None
    kind, _, rest = path[len(ATTESTATIONS) :].partition("-")
    key, dash, digest, ending = rest[:16], rest[16:17], rest[17:33], rest[33:]
    is_hex = len(key) == len(digest) == 16 and set(key + digest) <= _HEX
    return SignatureName(kind, key, digest) if is_hex and dash == "-" and ending == SIGNATURE_ENDINGS.get(kind) else None


def is_attestation(path: str) -> bool:
    """Whether a file of a bundle is its statement or a signature of that, by its name.

    >>> [is_attestation(path) for path in (STATEMENT, signature_path("gpg", "0" * 40, "f" * 64), "attestations/evil.sh", "statement.json")]
    [True, True, False, False]
    """
    return path == STATEMENT or parse_signature_path(path) is not None


def is_image_blob(path: str) -> bool:
    """Whether a file of a bundle is a blob of an image, by its name, which is its SHA-256.

    >>> is_image_blob("images/blobs/sha256/" + "0" * 64), is_image_blob("images/index.json")
    (True, False)
    """
    return path.startswith(IMAGE_BLOBS) and len(path) == len(IMAGE_BLOBS) + 64 and set(path[len(IMAGE_BLOBS) :]) <= _HEX


_HEX = frozenset("0123456789abcdef")


class StoredFile(Record):
    """A file of a bundle that stays where it is on disk until it is copied: its path there, its size, and the SHA-256 that it must have."""

    path: str
    size: int
    sha256: str


class ComponentResult(Record):
    """One component: its id, the paths of its files, their size, how long it took, and why it failed, if it did."""

    id: str
    files: tuple[str, ...] = ()
    bytes: int = 0
    milliseconds: float = 0.0
    error: str = ""
    hint: str = ""

    def to_tree(self) -> dict[str, Any]:
        """Its fields, without the empty ones."""
        tree: dict[str, Any] = {"id": self.id, "files": list(self.files), "bytes": self.bytes, "milliseconds": self.milliseconds}
        return {**tree, **{name: text for name, text in (("error", self.error), ("hint", self.hint)) if text}}


class Bundle(Record):
    """``files`` maps each path to its content, in the order of paths; its mode is :func:`file_mode`'s. ``blobs`` are files on disk.

    ``unmirrored`` is what comes from elsewhere although there is a mirror, ``missing_charts`` and ``missing_images`` are those that a
    folder of charts or images lacks.
    """

    files: dict[str, bytes]
    components: tuple[ComponentResult, ...]
    milliseconds: float = 0.0
    warnings: tuple[str, ...] = ()
    unmirrored: tuple[str, ...] = ()
    missing_charts: tuple[str, ...] = ()
    missing_images: tuple[str, ...] = ()
    blobs: dict[str, StoredFile] = {}

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(map(len, self.files.values())) + sum(blob.size for blob in self.blobs.values())

    @property
    def errors(self) -> dict[str, str]:
        """Why each component failed that did, by id."""
        return {result.id: result.error for result in self.components if result.error}

    def to_tree(self) -> dict[str, Any]:
        """The report, as a plain tree."""
        tree: dict[str, Any] = {"files": len(self.files) + len(self.blobs), "bytes": self.bytes, "milliseconds": self.milliseconds}
        tree["components"] = [result.to_tree() for result in self.components]
        for name in ("warnings", "unmirrored", "missing_charts", "missing_images"):
            if getattr(self, name):
                tree[name.replace("_", "-")] = list(getattr(self, name))
        return tree
