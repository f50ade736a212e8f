"""A folder of plug-ins as it was read: its name, its digest and its files.

Knows how documents name a plug-in, and how one travels in a file of eidos; must not know files on a disk, nor what a plug-in does. There it
is a few entries below ``plugins/NAME/``: SHA256SUMS, whose SHA-256 is the digest of the plug-in, and its files, but for templates, of which
no node has a use.
"""

from __future__ import annotations

from eidos.errors import IntegrityError, InvalidInput
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: What a plug-in consists of.
FOLDERS = ("collectors", "checks", "recipes", "templates")
_LEFT_OUT = "templates/"

#: Bytes of all files that travel, and characters of a name.
CARRIED_LIMIT, NAME_LIMIT = 8 << 20, 63

_ENTRIES, _SUMS = "plugins/", "SHA256SUMS"
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


class Plugin(Record):
    """A plug-in: its ``name``, the ``path`` of its folder, the ``digest`` of its files, and their bytes by path below it."""

    name: str
    path: str
    digest: str
    files: dict[str, bytes]

    def reference(self) -> str:
        """The name and the digest, as they are written into documents."""
        return f"{self.name}@{self.digest}"

    def folder(self, name: str) -> dict[str, bytes]:
        """The files of one of its folders, by path below that."""
        return {path[len(name) + 1 :]: content for path, content in self.files.items() if path.startswith(f"{name}/")}


def is_plugin_name(name: str) -> bool:
    """Whether a plug-in may be called so: documents separate names by blanks, and a file of eidos has them in names of entries.

    >>> is_plugin_name("acme-1.2"), is_plugin_name(".acme"), is_plugin_name("my plug-in")
    (True, False, False)
    """
    return 0 < len(name) <= NAME_LIMIT and name[0] not in "._-" and _NAME_CHARACTERS.issuperset(name)


def split_reference(text: str) -> tuple[str, str] | None:
    """The name and the digest that :meth:`Plugin.reference` wrote; None for another text.

    >>> split_reference("acme@sha256:" + 64 * "0")[0], split_reference("acme@sha256:0"), split_reference("./acme")
    ('acme', None, None)
    """
    name, at, digest = text.partition("@")
    hexadecimal = digest.removeprefix("sha256:")
    is_digest = digest != hexadecimal and len(hexadecimal) == 64 and set(hexadecimal) <= set("0123456789abcdef")
    return (name, digest) if at and is_digest and is_plugin_name(name) else None


def format_sums(files: dict[str, bytes]) -> bytes:
    """The lines that ``sha256sum`` prints for files, sorted by path."""
    from hashlib import sha256

    return "".join(f"{sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items())).encode("utf-8", "surrogateescape")


def digest_of(sums: bytes) -> str:
    """The digest of a plug-in with these sums."""
    from hashlib import sha256

    return f"sha256:{sha256(sums).hexdigest()}"


def carried_entries(plugins: Iterable[Plugin]) -> dict[str, bytes]:
    """The entries of a file of eidos that carry plug-ins. Raises InvalidInput for two of one name, and for too much."""
    entries: dict[str, bytes] = {}
    for plugin in plugins:
        start = f"{_ENTRIES}{plugin.name}/"
        if start + _SUMS in entries:
            raise InvalidInput(f"--plugin: {plugin.path}: there is a plug-in {plugin.name!r} already", "rename one of the folders")
        entries[start + _SUMS] = format_sums(plugin.files)
        entries.update({start + name: content for name, content in plugin.files.items() if not name.startswith(_LEFT_OUT)})
    size = sum(map(len, entries.values()))
    if size > CARRIED_LIMIT:
        raise InvalidInput(f"--plugin: {size:,} bytes are too many to send; at most {CARRIED_LIMIT:,}", "send fewer or smaller plug-ins")
    return entries


def read_carried(name: str, digest: str, read_entry: Callable[[str], bytes]) -> Plugin:
    """The plug-in that this file of eidos carries; ``read_entry`` reads one, or raises KeyError.

    Raises KeyError when it or a file of it is not there, IntegrityError when its sums are not those of ``digest``, or a file is not that
    of the sums.
    """
    from hashlib import sha256

    sums = read_entry(f"{_ENTRIES}{name}/{_SUMS}")
    if digest_of(sums) != digest:
        raise IntegrityError(f"plug-in {name}: the digest is {digest_of(sums)}, not {digest}", "send it again")
    files = {}
    for line in sums.decode("utf-8", "surrogateescape").splitlines():
        expected, _, path = line.partition("  ")
        if path.startswith(_LEFT_OUT):
            continue
        content = read_entry(f"{_ENTRIES}{name}/{path}")
        if sha256(content).hexdigest() != expected:
            raise IntegrityError(f"plug-in {name}: {path} was modified", "send it again")
        files[path] = content
    return Plugin(name, f"{_ENTRIES}{name}", digest, files)
