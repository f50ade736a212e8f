"""Mutants of a signed, archived bundle: what an attacker, a bad disk or a mistake makes of it.

Knows the tar format as far as it is changed here; must not know how a bundle is verified. Each kind yields a name and the bytes of an
archive, all different from the original in what they hold.
"""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from eidos.bundle.checksums import format_checksums, sha256
from eidos.bundle.tar_archive import MAX_ARCHIVE_BYTES, ROOT
from eidos.bundle.zip_archive import pack_zip
from eidos.model.bundle import CHECKSUMS, STATEMENT, file_mode, is_attestation, parse_signature_path, signature_path

Files = Mapping[str, bytes]

#: Every byte is changed of a file up to this size, and this many of a larger one.
SMALL_BYTES, SAMPLED_BYTES = 700, 40

#: Paths that lead out of the folder into which an archive is unpacked, or look as if they did not.
ESCAPES = (
    "../evil.sh",
    "../../etc/cron.d/evil",
    "/etc/passwd",
    "bundle/../../evil.sh",
    "bundle/a/../../../evil",
    "bundle//evil.sh",
    "bundle/./evil.sh",
    "bundle\\..\\evil.sh",
    "bundle/..\\..\\evil.sh",
    "C:\\evil.sh",
    "evil.sh",
    "Bundle/evil.sh",
    "bundle/attestations/../evil.sh",
    "bundle/evil\n.sh",
    "bundle/\u202eevil.sh",
)

#: Names that are nobody's: scripts, hidden files, and what looks like a file of a bundle or an attestation.
ADDED = (
    *("evil.sh", ".hidden", "checksums.txt.orig", "values.yaml~", "attestations", "statement.json"),
    *("ssh-0123456789abcdef.sig", "README.md "),
)


class Mutant(NamedTuple):
    """The kind, what was done, and what makes the archive: most of them are in no sample."""

    kind: str
    name: str
    make: Callable[[], bytes]


def archive_entries(entries: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """A tar.gz of any entries."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT, encoding="utf-8") as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(file.getvalue(), 0, mtime=0)


def entry(
    path: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, mode: int | None = None, target: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    """One entry, at a path that may lead anywhere."""
    info = tarfile.TarInfo(path)
    info.type, info.linkname = kind, target
    info.size = len(content) if kind == tarfile.REGTYPE else 0
    info.mode = file_mode(path) if mode is None else mode
    return info, content if kind == tarfile.REGTYPE else b""


def entries_of(files: Files) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """The entries of an archive of these files, by path."""
    return {path: entry(ROOT + path, content) for path, content in files.items()}


def pack(files: Files) -> bytes:
    """A tar.gz of these files."""
    return archive_entries(entries_of(files).values())


def changed_bytes(files: Files, generator: random.Random) -> Iterator[Mutant]:
    """One bit of each byte of small files, and of some bytes of large ones."""
    raw = gzip.decompress(pack(files))
    for path, content in files.items():
        begin = raw.index(content, raw.index((ROOT + path).encode() + b"\0")) if content else 0
        all_offsets = range(len(content))
        offsets = all_offsets if len(content) <= SMALL_BYTES else sorted(generator.sample(all_offsets, SAMPLED_BYTES))
        if is_attestation(path) or path == CHECKSUMS:
            offsets = all_offsets if len(content) <= 4 * SMALL_BYTES else sorted(generator.sample(all_offsets, 8 * SAMPLED_BYTES))
        for at in offsets:
            yield Mutant("changed byte", f"{path}: byte {at}", partial(flip, raw, begin + at, 1 << generator.randrange(8)))


def flip(raw: bytes, at: int, bit: int) -> bytes:
    """The archive of these blocks, one bit turned over."""
    return gzip.compress(raw[:at] + bytes([raw[at] ^ bit]) + raw[at + 1 :], 0, mtime=0)


def removed(files: Files) -> Iterator[Mutant]:
    """Each file left out, alone and with its line in the checksums."""
    for path in files:
        fewer = {name: content for name, content in files.items() if name != path}
        yield Mutant("removed", path, partial(pack, fewer))
        if path not in (CHECKSUMS, STATEMENT) and not is_attestation(path):
            yield Mutant("removed with its line", path, partial(pack, listed(fewer)))


def listed(files: Files) -> dict[str, bytes]:
    """The files with checksums that match them: what an attacker writes who knows no key."""
    own = {path: content for path, content in files.items() if path != CHECKSUMS and not is_attestation(path)}
    return {**files, CHECKSUMS: format_checksums(own)}


def restated(files: Files) -> dict[str, bytes]:
    """The same, and the statement about these checksums."""
    old, new = sha256(files[CHECKSUMS]), listed(files)
    return {**new, STATEMENT: files[STATEMENT].replace(old.encode(), sha256(new[CHECKSUMS]).encode())}


def added(files: Files) -> Iterator[Mutant]:
    """A file of another name in each folder, alone, with its line, and with a statement about that."""
    folders = sorted({path.rpartition("/")[0] for path in files})
    for folder in folders:
        for name in ADDED:
            path = f"{folder}/{name}".lstrip("/")
            if path in files or any(other.startswith(f"{path}/") for other in files):
                continue
            more = {**files, path: b"true\n"}
            yield Mutant("added", path, partial(pack, more))
            yield Mutant("added with its line", path, partial(pack, listed(more)))
    for path in [path for path in files if not is_attestation(path) and path != CHECKSUMS]:
        yield Mutant("changed with line and statement", path, partial(pack, restated({**files, path: files[path] + b"\n"})))


def renamed(files: Files) -> Iterator[Mutant]:
    """Each file under another name, in another folder, and in another case."""
    for path, content in files.items():
        rest = {name: data for name, data in files.items() if name != path}
        for new in (f"{path}x", f"moved/{path}", path.swapcase(), path.replace(".", "_", 1)):
            if new != path and new not in rest:
                yield Mutant("renamed", f"{path} -> {new}", partial(pack, {**rest, new: content}))


def swapped(files: Files) -> Iterator[Mutant]:
    """The contents of each file and the next few exchanged."""
    paths = sorted(files)
    for number, path in enumerate(paths):
        for other in paths[number + 1 : number + 6]:
            if files[path] != files[other]:
                yield Mutant("swapped", f"{path} <-> {other}", partial(pack, {**files, path: files[other], other: files[path]}))


def linked(files: Files) -> Iterator[Mutant]:
    """Each file replaced by a link, a device or a folder, and each one twice."""
    plain = entries_of(files)
    kinds = {"symbolic link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE}
    targets = {"symbolic link": "/etc/passwd", "hard link": f"{ROOT}README.md"}
    for path, content in files.items():
        for word, kind in kinds.items():
            yield Mutant(
                word, path, partial(archive_entries, {**plain, path: entry(ROOT + path, kind=kind, target=targets.get(word, ""))}.values())
            )
        folder = entry(ROOT + path, kind=tarfile.DIRTYPE)
        yield Mutant("a folder instead", path, partial(archive_entries, {**plain, path: folder}.values()))
        yield Mutant("twice", path, partial(archive_entries, [*plain.values(), entry(ROOT + path, b"evil\n")]))
        yield Mutant("twice, first", path, partial(archive_entries, [entry(ROOT + path, content + b"\n"), *plain.values()]))
        mode = file_mode(path)
        for word, bits in (("setuid", mode | 0o4000), ("world-writable", mode | 0o002), ("another execute bit", mode ^ 0o111)):
            yield Mutant(word, path, partial(archive_entries, {**plain, path: entry(ROOT + path, content, mode=bits)}.values()))


def escapes(files: Files) -> Iterator[Mutant]:
    """A path that leads elsewhere, as a file, as a link and as a folder, in a tar and in a zip."""
    plain = list(entries_of(files).values())
    for path in ESCAPES:
        for word, kind in (("file", tarfile.REGTYPE), ("link", tarfile.SYMTYPE)):
            more = entry(path, b"evil\n", kind, target="/etc")
            yield Mutant("path that escapes", f"{word} {path!r}", partial(archive_entries, [*plain, more]))
        if path.startswith(ROOT):
            yield Mutant("path that escapes, in a zip", repr(path), partial(pack_zip, {**files, path[len(ROOT) :]: b"evil\n"}))


def of_another(files: Files, other: Files) -> Iterator[Mutant]:
    """Parts of another bundle that was signed with the same key."""
    own, theirs = ({path for path in side if is_attestation(path) and path != STATEMENT} for side in (files, other))
    bare = {path: content for path, content in files.items() if path not in own}
    stolen = {path: other[path] for path in theirs}
    yield Mutant("signature of another bundle", "in place of its own", partial(pack, {**bare, **stolen}))
    yield Mutant("signature of another bundle", "with its statement", partial(pack, {**bare, **stolen, STATEMENT: other[STATEMENT]}))
    yield Mutant(
        "signature of another bundle",
        "with statement and checksums",
        partial(pack, {**bare, **stolen, STATEMENT: other[STATEMENT], CHECKSUMS: other[CHECKSUMS]}),
    )
    yield Mutant("statement of another bundle", "beside its own signature", partial(pack, {**files, STATEMENT: other[STATEMENT]}))
    for path in sorted(own):
        name = parse_signature_path(path)
        assert name is not None
        for theirs_path in sorted(theirs):
            content = other[theirs_path]
            taken = signature_path(name.kind, name.key, sha256(content))
            yield Mutant("signature of another bundle", f"{theirs_path} as {taken}", partial(pack, {**bare, taken: content}))
    for path in files:
        if path in other and other[path] != files[path] and not is_attestation(path):
            yield Mutant("file of another bundle", path, partial(pack, {**files, path: other[path]}))
            if path != CHECKSUMS:
                yield Mutant("file of another bundle, with its line", path, partial(pack, listed({**files, path: other[path]})))


def bombs(files: Files) -> Iterator[Mutant]:
    """Archives that are small and become large."""
    plain = list(entries_of(files).values())
    yield Mutant("bomb", "zeros", zeros)
    yield Mutant("bomb", "zeros after the archive", lambda: pack(files) + zeros())
    yield Mutant("bomb", "41,000 entries", lambda: archive_entries([*plain, *(entry(f"{ROOT}{number}") for number in range(41_000))]))
    yield Mutant("bomb", "a file of 40 MiB", lambda: archive_entries([*plain, entry(f"{ROOT}large", bytes(40 << 20))]))
    yield Mutant("bomb", "a statement of 1 MiB", partial(pack, {**files, STATEMENT: files[STATEMENT] + b" " * (1 << 20)}))
    signatures = {signature_path("ssh", f"{number:016x}", sha256(b"x")): b"x" for number in range(100)}
    yield Mutant("bomb", "100 signatures", partial(pack, {**files, **signatures}))


def zeros() -> bytes:
    """More than an archive may hold, in a few bytes."""
    return gzip.compress(bytes(MAX_ARCHIVE_BYTES + (1 << 20)), 1, mtime=0)


def truncated(files: Files, generator: random.Random) -> Iterator[Mutant]:
    """The archive cut off, and with something behind it."""
    data = pack(files)
    for at in sorted(generator.sample(range(len(data)), 60)):
        yield Mutant("cut off", f"after {at} bytes", partial(cut, data, at))
    yield Mutant("something behind it", "another archive", lambda: data + data)
    yield Mutant("something behind it", "a byte", lambda: data + b"x")


def cut(data: bytes, at: int) -> bytes:
    """The first bytes."""
    return data[:at]


def all_mutants(files: Files, other: Files, seed: int) -> Iterator[Mutant]:
    """Every mutant of a bundle, ``other`` being another that the same keys signed."""
    generator = random.Random(seed)
    yield from changed_bytes(files, generator)
    for kind in (removed, added, renamed, swapped, linked, escapes, bombs):
        yield from kind(files)
    yield from of_another(files, other)
    yield from truncated(files, generator)
