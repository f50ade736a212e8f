r"""Kernel parameters that can be read while the system runs, from /proc/sys.

Knows which files of /proc/sys are settings of the host; must not know what any value means. The key is the full path, the value
the file's content without its last newline; tabs stay. A file of several "key value" lines gets a key ``path/key`` for each, as the Go
program wrote it::

    /proc/sys/vm/swappiness              60                   /proc/sys/vm/swappiness: "60"
    /proc/sys/sunrpc/transports          tcp 1048576          /proc/sys/sunrpc/transports/tcp: "1048576"
                                         udp 32768            /proc/sys/sunrpc/transports/udp: "32768"

The kernel's Documentation/admin-guide/sysctl/ has the meaning of each file, and whether it changes on its own. Files without read
permission are commands, not settings, and no gaps; so are files whose reading has an effect.

>>> parse_sysctl("/proc/sys/sunrpc/transports", "tcp 1048576\nudp 32768\n")
{'/proc/sys/sunrpc/transports/tcp': '1048576', '/proc/sys/sunrpc/transports/udp': '32768'}
"""

from __future__ import annotations

import errno
import time

from eidos.collectors._settings import COMMAND_FILES, redact_kernel_command
from eidos.collectors._sysfs import Facts
from eidos.files.host import NOT_TEXT, FileMissing, FileUnreadable, decode_text
from eidos.model.measurement import ABSENT, REVEALED, SECRET, UNREADABLE, VOLATILE, WITHHELD, Gap, Subtype
from eidos.model.volatile import is_volatile_sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors import Sources
    from eidos.files.host import Directory
    from eidos.model.measurement import Part, Readings

ROOT = "/proc/sys"

#: Size limit of a file in bytes: the largest known, a list of reserved ports, has some 40,000.
SYSCTL_LIMIT = 1 << 16

#: The folders of net whose files are read; the others exist per interface, per peer or otherwise without bound.
NET_FOLDERS = frozenset(
    (
        "net",
        "net/bridge",
        "net/core",
        "net/ipv4",
        "net/ipv4/conf/all",
        "net/ipv4/conf/default",
        "net/ipv4/neigh/default",
        "net/ipv4/route",
        "net/ipv4/vs",
        "net/ipv6",
        "net/ipv6/conf/all",
        "net/ipv6/conf/default",
        "net/ipv6/icmp",
        "net/ipv6/neigh/default",
        "net/ipv6/route",
        "net/iw_cm",
        "net/mpls",
        "net/mptcp",
        "net/netfilter",
        "net/netfilter/nf_log",
        "net/rdma_ucm",
        "net/rds",
        "net/sctp",
        "net/smc",
        "net/unix",
        "net/vrf",
    )
)

#: Reading these has an effect: starts compaction, drops caches, flushes routes, makes every processor report.
TRIGGERS = frozenset(("vm/compact_memory", "vm/drop_caches", "vm/stat_refresh", "net/ipv4/route/flush", "net/ipv6/route/flush"))

#: Folders that are not entered: opening this one mounts a file system (systemd's automount).
SKIPPED_FOLDERS = frozenset(("fs/binfmt_misc",))

#: Files whose value is a secret: keys of hash functions, seeds of addresses. All zeros mean that it is not set.
SECRET_FILES = frozenset(("stable_secret", "tcp_fastopen_key", "netdev_rss_key"))


#: Names of files whose value is not shown as it is.
_JUDGED = SECRET_FILES | {path.rpartition("/")[2] for path in COMMAND_FILES}

#: Namespace → its name in the document, and the files that show the reader's own namespace, not the host's (namespaces(7)).
NAMESPACED = {
    "net": ("network", ("net/*",)),
    "ipc": ("IPC", ("kernel/shm*", "kernel/msg*", "kernel/sem*", "kernel/auto_msgmni", "fs/mqueue/*")),
    "uts": ("UTS", ("kernel/hostname", "kernel/domainname")),
    "pid": ("PID", ("kernel/ns_last_pid", "kernel/pid_max", "kernel/cad_pid", "vm/memfd_noexec")),
    "user": ("user", ("user/*",)),
}

#: Bounds for a tree that is not a kernel's: nesting of folders, and number of readings (a kernel with 192 processors has some 8,000).
DEPTH_LIMIT = 16
READING_LIMIT = 50_000

#: Seconds before the deadline at which the walk stops, to leave time to yield what it has read.
MARGIN_S = 0.3


def parse_sysctl(path: str, text: str) -> dict[str, str]:
    r"""The readings of one file: one, or ``path/key`` for each line when there are several and all are "key value".

    >>> parse_sysctl("/proc/sys/kernel/printk", "4\t4\t1\t7\n")
    {'/proc/sys/kernel/printk': '4\t4\t1\t7'}
    """
    text = text.removesuffix("\n")
    if "\n" in text:
        pairs = [line.split(None, 1) for line in text.split("\n")]
        if all(len(pair) == 2 for pair in pairs) and len({pair[0] for pair in pairs}) == len(pairs):
            return {f"{path}/{key}": value.rstrip() for key, value in pairs}
    return {path: text}


def collect(sources: Sources) -> Iterator[Part]:
    """Yield a gap for each file that could not be read, the configuration, and, if requested, the volatile readings."""
    walk = _Walk(sources)
    try:
        with sources.host.open_directory(ROOT) as folder:
            walk.enter(folder, "", DEPTH_LIMIT)
    except FileMissing:
        facts = Facts(sources, "sysctl")
        facts.require_folders(f"{ROOT} does not exist", "/proc")
        yield from facts.gaps
        return
    except FileUnreadable as fault:
        yield Gap(UNREADABLE, ROOT, fault.reason)
        return
    yield from walk.gaps
    yield Subtype("sysctl", walk.data)
    if sources.volatile:
        yield Subtype("sysctl" + VOLATILE, walk.volatile)


class _Walk:
    """One walk over the tree, and its results; paths are relative to :data:`ROOT`."""

    def __init__(self, sources: Sources) -> None:
        self.data: Readings = {}
        self.volatile: Readings = {}
        self.gaps: list[Gap] = []
        self._host = sources.host
        self._with_volatile = sources.volatile
        self._revealed = sources.reveal
        self._stop_at = sources.deadline - MARGIN_S
        self._foreign: tuple[str, ...] = ()
        for kind, right in sources.host.foreign_namespaces().items():
            title, patterns = NAMESPACED[kind]
            for pattern in patterns:
                if self._with_volatile or not is_volatile_sysctl(pattern):
                    self._gap(UNREADABLE, pattern, f"shows this container's {title} namespace instead of the host's; needs {right}")
            self._foreign += tuple(pattern.rstrip("*") for pattern in patterns)

    def enter(self, folder: Directory, inside: str, depth: int) -> None:
        """Read the files of ``folder``, whose path is ``inside`` (empty or ending in a slash), then its folders."""
        if time.monotonic() > self._stop_at or len(self.data) > READING_LIMIT or depth == 0:
            why = (
                "nested too deeply"
                if depth == 0
                else f"more than {READING_LIMIT} files"
                if len(self.data) > READING_LIMIT
                else "stopped shortly before the deadline"
            )
            return self._gap(UNREADABLE, inside + "*", why)
        try:
            files, folders, others = folder.scan()
        except FileUnreadable as fault:
            return self._gap(UNREADABLE, inside + "*", fault.reason)
        if not inside.startswith("net/") or inside[:-1] in NET_FOLDERS:
            read = [name for name in sorted(files) if self._is_read(inside + name)]
            prefix, data = _full_path(inside), self.data
            judged = _JUDGED.union(name for name in read if is_volatile_sysctl(inside + name)) if self._with_volatile else _JUDGED
            for name, content in folder.read_regular_files(read, SYSCTL_LIMIT):
                # What _file would do with nearly all of a thousand files, without a call: a line of ASCII.
                if (
                    isinstance(content, bytes)
                    and content.isascii()
                    and content.find(b"\n") == len(content) - 1
                    and name.isascii()
                    and name not in judged
                ):
                    data[prefix + name] = content[:-1].decode()
                else:
                    self._file(folder, name, inside + name, content)
            for name in sorted(others):
                if self._is_read(inside + name):
                    self._file(folder, name, inside + name, self._follow(folder, name), is_link=True)
        for name in sorted(folders):
            path = inside + name
            if path in SKIPPED_FOLDERS or (path + "/").startswith(self._foreign or "/") or not _is_entered(path):
                continue
            try:
                with folder.open_directory(name) as below:
                    self.enter(below, path + "/", depth - 1)
            except FileMissing:
                self._gap(UNREADABLE, path + "/*", "disappeared while reading")
            except FileUnreadable as fault:
                self._gap(UNREADABLE, path + "/*", fault.reason)
        return None

    def _is_read(self, path: str) -> bool:
        if path in TRIGGERS or (self._foreign and path.startswith(self._foreign)):
            return False
        return self._with_volatile or not is_volatile_sysctl(path)

    def _follow(self, folder: Directory, name: str) -> bytes | FileMissing | FileUnreadable:
        try:
            return self._host.read_bytes(f"{folder.path}/{name}", SYSCTL_LIMIT)
        except (FileMissing, FileUnreadable) as fault:
            return fault

    def _file(self, folder: Directory, name: str, path: str, content: bytes | FileMissing | FileUnreadable, is_link: bool = False) -> None:
        if isinstance(content, FileMissing):
            return self._gap(UNREADABLE, path, "dangling symbolic link" if is_link else "disappeared while reading")
        if isinstance(content, FileUnreadable):
            return self._unread(folder, name, path, content)
        into = self.volatile if self._with_volatile and is_volatile_sysctl(path) else self.data
        text, is_utf8 = decode_text(content)
        if not is_utf8:
            self._gap(UNREADABLE, path, NOT_TEXT)
        shown, secrets = text, 0
        if name in SECRET_FILES and text.strip("0:-, \t\n"):
            shown, secrets = WITHHELD, 1
        elif path in COMMAND_FILES:
            shown, secrets = redact_kernel_command(text)
        if secrets and _full_path(path) in self._revealed:
            self._gap(REVEALED, path, "requested")
        elif secrets:
            self._gap(SECRET, path, "a secret of the kernel, or in a command line")
            text = shown
        if text.find("\n") == len(text) - 1 and path.isascii():
            into[f"/proc/sys/{path}"] = text[:-1]  # as parse_sysctl would, for all but a few
        else:
            into.update(parse_sysctl(_full_path(path), text))
        return None

    def _unread(self, folder: Directory, name: str, path: str, fault: FileUnreadable) -> None:
        if fault.errno == errno.EOPNOTSUPP:
            self._gap(ABSENT, path, "not supported by this kernel or processor")
        elif fault.errno == errno.EIO and name == "stable_secret":  # net/ipv6/addrconf.c
            self._gap(ABSENT, path, "not set")
        elif fault.errno not in (errno.EACCES, errno.EPERM) or folder.is_readable(name):
            self._gap(UNREADABLE, path, fault.reason)

    def _gap(self, kind: str, path: str, why: str) -> None:
        self.gaps.append(Gap(kind, _full_path(path), why))


def _is_entered(path: str) -> bool:
    """Whether a folder is outside of net, one of NET_FOLDERS, or a parent of one."""
    return not path.startswith("net/") or path in NET_FOLDERS or any(folder.startswith(path + "/") for folder in NET_FOLDERS)


def _full_path(relative: str) -> str:
    path = f"{ROOT}/{relative}"
    return path if path.isascii() else path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
