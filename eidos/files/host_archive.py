"""A host out of an archive that a support tool made: a report of sos(1), or the log of nvidia-bug-report.sh.

Knows both layouts (sosreport/sos, sos/report/plugins/{kernel,nvidia}.py; nvidia-bug-report.sh of NVIDIA's driver 580) and writes the files
into a private folder, which the caller removes; must not know what is read of them. An archive is not trusted: its size, its entries and
their depth are bounded, no path leaves the folder or goes through a link, nothing but files, folders and links is made.
"""

from __future__ import annotations

import errno
import os

from eidos.errors import InvalidData, Unavailable, os_error_reason
from eidos.files.tar_reader import FILE, FOLDER, HARD_LINK, LINK, DecompressedStream, read_entries
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eidos.files.tar_reader import ContentReader

#: Limits: bytes of one file (a larger one is left out), of all that are written, of a log; folders above a file; files.
FILE_LIMIT_BYTES, WRITTEN_LIMIT_BYTES, LOG_LIMIT_BYTES, DEPTH_LIMIT, FILES_LIMIT = 16 << 20, 512 << 20, 256 << 20, 40, 100_000

#: What is written of a report; the rest, logs above all, is nothing that is read.
_INCLUDED = (
    *("boot/", "dev/", "etc/", "home/kubernetes/", "lib/", "opt/", "proc/", "run/", "sys/", "usr/bin/", "usr/lib/", "usr/local/lib/"),
    *("var/lib/", "sos_commands/kernel/", "sos_commands/nvidia/"),
)

#: First folders of a host, by which an archive without a folder around it is known.
_HOST_FOLDERS = frozenset({"boot", "dev", "etc", "lib", "opt", "proc", "run", "sos_commands", "sys", "usr", "var"})

#: Outputs of commands in a report.
_SYSCTL, _DMESG, _UNAME, _SMI = (
    *("sos_commands/kernel/sysctl_-a", "sos_commands/kernel/dmesg", "sos_commands/kernel/uname_-a", "sos_commands/nvidia/nvidia-smi_-q"),
)

_RULE = b"_" * 44
_BUG_REPORT = b"Start of NVIDIA bug report log file."
_KMSG, _OSRELEASE = "dev/kmsg", "proc/sys/kernel/osrelease"


class HostArchive(Record):
    """What was unpacked: the folder of the host's files, paths that the tool found missing, and what nvidia-smi printed."""

    root: str
    absent: tuple[str, ...] = ()
    smi: bytes = b""


def unpack(path: str, folder: str) -> HostArchive:
    """Write the files of the archive at ``path`` into the empty ``folder``.

    Raises InvalidData for what is neither of the two, is damaged, hostile or too large, and Unavailable when a file cannot be read or
    written.
    """
    try:
        with open(path, "rb") as file:
            stream = DecompressedStream(file, path)
            tree = _PrivateTree(folder, path)
            try:
                head = stream.read(512)
                if _BUG_REPORT[:8] in head or head.lstrip().startswith(_RULE):
                    return _unpack_bug_report(head, stream, tree)
                if len(head) < 512:
                    raise InvalidData(f"{path}: neither a report of sos nor the log of nvidia-bug-report.sh")
                return _unpack_sos_report(_Replayed(head, stream), tree)
            finally:
                tree.close()
    except OSError as fault:
        raise Unavailable(f"{path}: {os_error_reason(fault)}", "check the file, and the space in TMPDIR") from fault


class _Replayed(DecompressedStream):
    """A stream of which the beginning was looked at."""

    def __init__(self, head: bytes, stream: DecompressedStream) -> None:
        self._head, self._stream, self.name = head, stream, stream.name

    def read(self, size: int) -> bytes:
        if self._head:
            piece, self._head = self._head[:size], self._head[size:]
            return piece
        return self._stream.read(size)


class _PrivateTree:
    """Files that are made below a folder, without following a link; each path once."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder, self._name = folder, name
        self._root_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._parent: tuple[tuple[str, ...], int] = ((), self._root_fd)
        self._written = self._files = 0

    def close(self) -> None:
        """Close the descriptors."""
        for fd in {self._parent[1], self._root_fd}:
            os.close(fd)

    def _open_parent(self, parts: tuple[str, ...]) -> int:
        """The descriptor of a folder, which is made if it is not there."""
        if self._parent[0] == parts:
            return self._parent[1]
        fd = os.dup(self._root_fd)
        for part in parts:
            try:
                os.mkdir(part, 0o700, dir_fd=fd)
            except FileExistsError:
                pass
            try:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            except OSError as fault:
                if fault.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise InvalidData(f"{self._name}: {'/'.join(parts)} goes through a link or a file") from fault
                raise
            finally:
                os.close(fd)
            fd = below
        if self._parent[1] != self._root_fd:
            os.close(self._parent[1])
        self._parent = (parts, fd)
        return fd

    def _count(self, path: str) -> None:
        self._files += 1
        if self._files > FILES_LIMIT:
            raise InvalidData(f"{self._name}: more than {FILES_LIMIT:,} files of a host")

    def add_folder(self, path: str) -> None:
        """Make a folder, and those above it."""
        self._count(path)
        self._open_parent(split_path(path, self._name))

    def add_file(self, path: str, pieces: Iterable[bytes]) -> bool:
        """Write a file, readable by this user alone; False when something is there."""
        *above, last = split_path(path, self._name)
        self._count(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(last, flags, 0o600, dir_fd=self._open_parent(tuple(above)))
        except FileExistsError:
            return False
        with open(fd, "wb") as file:
            for piece in pieces:
                self._written += len(piece)
                if self._written > WRITTEN_LIMIT_BYTES:
                    raise InvalidData(f"{self._name}: more than {WRITTEN_LIMIT_BYTES >> 20} MiB of files of a host")
                file.write(piece)
        return True

    def add_link(self, path: str, target: str) -> bool:
        """Make a link; it is followed by nothing here, and inside the host's root by what reads it. False when something is there."""
        *above, last = split_path(path, self._name)
        self._count(path)
        try:
            os.symlink(target[:4095] or ".", last, dir_fd=self._open_parent(tuple(above)))
        except FileExistsError:
            return False
        return True

    def read_file(self, path: str) -> bytes:
        """The content of a file that was written; empty when there is none."""
        *above, last = split_path(path, self._name)
        if not os.path.isdir(os.path.join(self.folder, *above)):
            return b""
        try:
            fd = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._open_parent(tuple(above)))
        except OSError:
            return b""
        with open(fd, "rb") as file:
            return file.read(FILE_LIMIT_BYTES)


def split_path(path: str, name: str) -> tuple[str, ...]:
    """The parts of a path in an archive. Raises InvalidData for one that leads out, is too deep, or can be no path.

    >>> split_path("./etc//hostname", "a.tar")
    ('etc', 'hostname')
    """
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if path.startswith("/") or ".." in parts or "\0" in path:
        raise InvalidData(f"{name}: {path[:200]!r} leads out of the archive")
    if not parts or len(parts) > DEPTH_LIMIT or any(len(part.encode("utf-8", "surrogateescape")) > 255 for part in parts):
        raise InvalidData(f"{name}: {path[:200]!r} is too deep or too long")
    return parts


# ---- sos(1) ----


def _unpack_sos_report(stream: DecompressedStream, tree: _PrivateTree) -> HostArchive:
    top: str | None = None
    for entry, content in read_entries(stream):
        if entry.path.strip("./") == "":
            continue
        parts = split_path(entry.path, stream.name)
        if top is None:
            top = "" if parts[0] in _HOST_FOLDERS else parts[0]
        if top and parts[0] != top:
            raise InvalidData(f"{stream.name}: not a report of sos: files beside the folder {top!r}")
        path = "/".join(parts[1:] if top else parts)
        if not f"{path}/".startswith(_INCLUDED) or not path:
            continue
        is_new = True
        if entry.kind == FOLDER:
            tree.add_folder(path)
        elif entry.kind == LINK:
            is_new = tree.add_link(path, entry.target)
        elif entry.kind == FILE and entry.size <= FILE_LIMIT_BYTES:
            is_new = tree.add_file(path, _pieces(content))
        elif entry.kind == HARD_LINK:
            source = "/".join(split_path(entry.target, stream.name)[1 if top else 0 :])
            copy = tree.read_file(source) if source else b""
            is_new = not copy or tree.add_file(path, [copy])
        if not is_new:
            raise InvalidData(f"{stream.name}: {path[:200]!r} is in the archive twice")
    if not any(os.path.isdir(os.path.join(tree.folder, name)) for name in ("etc", "proc", "sos_commands")):
        raise InvalidData(f"{stream.name}: not a report of sos: no folder etc, proc or sos_commands")
    for name, text in _sysctl_files(tree.read_file(_SYSCTL)):
        tree.add_file(name, [text])
    if kernel := tree.read_file(_UNAME).split()[2:3]:
        tree.add_file(_OSRELEASE, [kernel[0] + b"\n"])
    _add_kernel_log(tree, tree.read_file(_DMESG))
    return HostArchive(tree.folder, (), tree.read_file(_SMI))


def _pieces(content: ContentReader) -> Iterator[bytes]:
    while piece := content.read(1 << 16):
        yield piece


def _sysctl_files(text: bytes) -> Iterator[tuple[str, bytes]]:
    r"""Files below /proc/sys for the lines of ``sysctl -a``; a key of several lines has one file.

    >>> list(_sysctl_files(b"kernel.numa_balancing = 0\nnet.ipv4.conf.eth0/1.rp_filter = 2\nnot a setting\n"))
    [('proc/sys/kernel/numa_balancing', b'0\n'), ('proc/sys/net/ipv4/conf/eth0.1/rp_filter', b'2\n')]
    """
    values: dict[bytes, list[bytes]] = {}
    for line in text.split(b"\n"):
        key, separator, value = line.partition(b" = ")
        if separator and key and all(part not in (b"", b"..") for part in key.split(b".")) and not set(key) & set(b" \0\t"):
            values.setdefault(key, []).append(value)
    for key, lines in values.items():
        # sysctl(8) writes a dot of an interface's name as a slash.
        path = key.replace(b"/", b"\0").replace(b".", b"/").replace(b"\0", b".").decode("utf-8", "surrogateescape")
        if "/../" not in f"/{path}/" and path.count("/") < DEPTH_LIMIT - 3:
            yield f"proc/sys/{path}", b"".join(line + b"\n" for line in lines)


def _add_kernel_log(tree: _PrivateTree, text: bytes) -> None:
    """The lines of dmesg(1) as records of the kernel, unless the log is there."""
    records = []
    for number, line in enumerate(text.split(b"\n")):
        seconds, bracket, message = line.strip().partition(b"] ")
        before, dot, after = seconds.lstrip(b"[").strip().partition(b".")
        if bracket and dot and before.isdigit() and after.isdigit() and len(before) < 12:
            records.append(b"6,%d,%d,-;%b\n" % (number, int(before) * 1_000_000 + int((after + b"000000")[:6]), message))
    if records:
        tree.add_file(_KMSG, records)


# ---- nvidia-bug-report.sh ----


def _unpack_bug_report(head: bytes, stream: DecompressedStream, tree: _PrivateTree) -> HostArchive:
    text, size = [head], len(head)
    while piece := stream.read(1 << 16):
        text.append(piece)
        size += len(piece)
        if size > LOG_LIMIT_BYTES:
            raise InvalidData(f"{stream.name}: a log of more than {LOG_LIMIT_BYTES >> 20} MiB")
    data = b"".join(text)
    if _BUG_REPORT not in data[:8192]:
        raise InvalidData(f"{stream.name}: neither a report of sos nor the log of nvidia-bug-report.sh")
    absent: list[str] = []
    smi = b""
    for section in data.split(b"\n" + _RULE + b"\n"):
        section = section.lstrip(b"\n")
        first, _, rest = section.partition(b"\n")
        if first.startswith(b"*** /"):
            path = first[5:].decode("utf-8", "surrogateescape")
            if path.endswith(" does not exist"):
                absent.append("/" + path[: -len(" does not exist")])
            elif not path.endswith(" is not readable") and rest.startswith(b"*** ls: ") and f"{path}/".startswith(_INCLUDED):
                tree.add_file(path, [rest.partition(b"\n")[2][:FILE_LIMIT_BYTES]])
        elif first.startswith(b"dmesg:"):
            _add_kernel_log(tree, rest)
        elif b"nvidia-smi --query\n" in first + b"\n":
            smi = rest[:FILE_LIMIT_BYTES]
        elif first.startswith(b"/sys/module/") and b":" in first:
            for line in section.split(b"\n"):
                name, colon, value = line.partition(b":")
                if colon and name.startswith(b"/sys/module/"):
                    tree.add_file(name[1:].decode("utf-8", "surrogateescape"), [value + b"\n"])
        elif _BUG_REPORT in section and (kernel := section.partition(b"\nuname: ")[2].split()[2:3]):
            tree.add_file(_OSRELEASE, [kernel[0] + b"\n"])
            tree.add_file("etc/hostname", [section.partition(b"\nuname: ")[2].split()[1] + b"\n"])
    return HostArchive(tree.folder, tuple(absent), smi)
