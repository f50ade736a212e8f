r"""Kernel parameters that can be read while the system runs, from /proc/sys.

Knows which files of /proc/sys are settings of the host; must not know what any value means. The key is the full path, the value
the file's content without its last newline; tabs stay. A file of several "key value" lines becomes ``path/key``, as the Go
program wrote it::

    /proc/sys/vm/swappiness              60                   /proc/sys/vm/swappiness: "60"
    /proc/sys/sunrpc/transports          tcp 1048576          /proc/sys/sunrpc/transports/tcp: "1048576"
                                         udp 32768            /proc/sys/sunrpc/transports/udp: "32768"

What is a file's meaning, and whether it changes on its own, is said in the kernel's Documentation/admin-guide/sysctl/. Files that
nobody may read are commands, not settings, and no gap; so are those where reading itself does something.

>>> parse("/proc/sys/sunrpc/transports", "tcp 1048576\nudp 32768\n")
{'/proc/sys/sunrpc/transports/tcp': '1048576', '/proc/sys/sunrpc/transports/udp': '32768'}
"""

from __future__ import annotations

import errno
import time

from eidos.errors import NotApplicable
from eidos.files.host import NOT_TEXT, FileMissing, FileUnreadable, decode_text
from eidos.model.measurement import ABSENT, SECRET, UNREADABLE, VOLATILE, WITHHELD, Gap, Subtype
from eidos.model.volatile import is_volatile_sysctl
from eidos.redact.secrets_in_text import withhold_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Callable

    from eidos.collectors import Sources
    from eidos.files.host import Directory
    from eidos.model.measurement import Part, Readings

ROOT = "/proc/sys"

#: Bytes that a file may have: the longest known, a list of reserved ports, has some 40,000.
LIMIT = 1 << 16

#: The folders of net whose files are read; what is not here is one per interface, per peer or otherwise without bound.
NET = frozenset(
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

#: Reading these does something: starts compaction, empties caches and routes, makes every processor report.
TRIGGERS = frozenset(("vm/compact_memory", "vm/drop_caches", "vm/stat_refresh", "net/ipv4/route/flush", "net/ipv6/route/flush"))

#: Folders that are not entered: a look into this one mounts a file system (systemd's automount).
CLOSED = frozenset(("fs/binfmt_misc",))

#: Values that are secrets: keys of hash functions, seeds of addresses. All zero, they are not set.
SECRETS = frozenset(("stable_secret", "tcp_fastopen_key", "netdev_rss_key"))

#: The few files that hold a command line, in which anything may stand.
COMMANDS = frozenset(("kernel/core_pattern", "kernel/modprobe", "kernel/poweroff_cmd", "kernel/hotplug"))

#: What belongs to a namespace of whoever reads it (namespaces(7) and its sections): how the document calls it, and which files.
NAMESPACED = {
    "net": ("network", ("net/*",)),
    "ipc": ("IPC", ("kernel/shm*", "kernel/msg*", "kernel/sem*", "kernel/auto_msgmni", "fs/mqueue/*")),
    "uts": ("UTS", ("kernel/hostname", "kernel/domainname")),
    "pid": ("PID", ("kernel/ns_last_pid", "kernel/pid_max", "kernel/cad_pid", "vm/memfd_noexec")),
    "user": ("user", ("user/*",)),
}

#: Bounds on a tree that is no kernel's: folders in folders, and readings in all (a kernel of 192 processors has some 8,000).
DEPTH = 16
MOST = 50_000

#: Seconds before the deadline at which what has been read is handed over.
MARGIN = 0.3


def parse(path: str, text: str) -> dict[str, str]:
    r"""The readings of one file: itself, or ``path/key`` for each line when there are several and all are "key value".

    >>> parse("/proc/sys/kernel/printk", "4\t4\t1\t7\n")
    {'/proc/sys/kernel/printk': '4\t4\t1\t7'}
    """
    text = text.removesuffix("\n")
    if "\n" in text:
        pairs = [line.split(None, 1) for line in text.split("\n")]
        if all(len(pair) == 2 for pair in pairs) and len({pair[0] for pair in pairs}) == len(pairs):
            return {f"{path}/{key}": value.rstrip() for key, value in pairs}
    return {path: text}


def collect(sources: Sources) -> Iterator[Part]:
    """Yield a gap for each file that could not be read, the configuration, and, when wanted, what changes on its own."""
    walk = _Walk(sources)
    try:
        with sources.host.open_directory(ROOT) as folder:
            walk.enter(folder, "", DEPTH)
    except FileMissing as fault:
        raise NotApplicable(f"there is no {ROOT}") from fault
    except FileUnreadable as fault:
        yield Gap(UNREADABLE, ROOT, fault.reason)
        return
    yield from walk.gaps
    yield Subtype("sysctl", walk.data)
    if sources.volatile:
        yield Subtype("sysctl" + VOLATILE, walk.volatile)


class _Walk:
    """One pass over the tree, and what it found; names are relative to :data:`ROOT`."""

    def __init__(self, sources: Sources) -> None:
        self.data: Readings = {}
        self.volatile: Readings = {}
        self.gaps: list[Gap] = []
        self._host = sources.host
        self._wanted = sources.volatile
        self._until = sources.deadline - MARGIN
        self._foreign: tuple[str, ...] = ()
        for kind, right in sources.host.foreign_namespaces().items():
            called, patterns = NAMESPACED[kind]
            for pattern in patterns:
                if self._wanted or not is_volatile_sysctl(pattern):
                    self._gap(UNREADABLE, pattern, f"shows this container's {called} namespace, not the host's; needs {right}")
            self._foreign += tuple(pattern.rstrip("*") for pattern in patterns)

    def enter(self, folder: Directory, inside: str, depth: int) -> None:
        """Read the files of ``folder``, whose name is ``inside`` (empty or ending in a slash), then its folders."""
        if time.monotonic() > self._until or len(self.data) > MOST or depth == 0:
            why = "nested too deeply" if depth == 0 else f"more than {MOST} files" if len(self.data) > MOST else "the deadline was near"
            return self._gap(UNREADABLE, inside + "*", why)
        try:
            files, folders, others = folder.scan()
        except FileUnreadable as fault:
            return self._gap(UNREADABLE, inside + "*", fault.reason)
        if not inside.startswith("net/") or inside[:-1] in NET:
            for name in sorted(files):
                self._file(folder, name, inside + name, folder.read_regular_file)
            for name in sorted(others):
                self._file(folder, name, inside + name, folder.read_following_links)
        for name in sorted(folders):
            short = inside + name
            if short in CLOSED or (short + "/").startswith(self._foreign or "/") or not _leads_on(short):
                continue
            try:
                with folder.open_directory(name) as below:
                    self.enter(below, short + "/", depth - 1)
            except FileMissing:
                self._gap(UNREADABLE, short + "/*", "vanished while the tree was read")
            except FileUnreadable as fault:
                self._gap(UNREADABLE, short + "/*", fault.reason)
        return None

    def _file(self, folder: Directory, name: str, short: str, read: Callable[[str, int], bytes]) -> None:
        changes = is_volatile_sysctl(short)
        if (changes and not self._wanted) or short in TRIGGERS or (self._foreign and short.startswith(self._foreign)):
            return
        try:
            text, whole = decode_text(read(name, LIMIT))
        except FileMissing:
            self._gap(
                UNREADABLE,
                short,
                "a link that leads nowhere" if read == folder.read_following_links else "vanished while the tree was read",
            )
            return
        except FileUnreadable as fault:
            self._unread(folder, name, short, fault)
            return
        if not whole:
            self._gap(UNREADABLE, short, NOT_TEXT)
        if name in SECRETS and text.strip("0:-,\n"):
            self._gap(SECRET, short, "a secret of the kernel's")
            text = WITHHELD
        elif short in COMMANDS:
            text, found = withhold_text(text)
            for _ in range(found):
                self._gap(SECRET, short, "in a command line")
        into = self.volatile if changes else self.data
        if text.find("\n") == len(text) - 1 and short.isascii():
            into[f"/proc/sys/{short}"] = text[:-1]  # what parse() would say, for all but a few
        else:
            into.update(parse(_path(short), text))

    def _unread(self, folder: Directory, name: str, short: str, fault: FileUnreadable) -> None:
        if fault.errno == errno.EOPNOTSUPP:
            self._gap(ABSENT, short, "not supported by this kernel or processor")
        elif fault.errno == errno.EIO and name == "stable_secret":  # net/ipv6/addrconf.c answers so
            self._gap(ABSENT, short, "not set")
        elif fault.errno not in (errno.EACCES, errno.EPERM) or folder.is_readable(name):
            self._gap(UNREADABLE, short, fault.reason)

    def _gap(self, kind: str, short: str, why: str) -> None:
        self.gaps.append(Gap(kind, _path(short), why))


def _leads_on(short: str) -> bool:
    """Whether a folder is outside of net, kept, or on the way to one that is kept."""
    return not short.startswith("net/") or short in NET or any(kept.startswith(short + "/") for kept in NET)


def _path(short: str) -> str:
    path = f"{ROOT}/{short}"
    return path if path.isascii() else path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
