r"""Disks and file systems: model, firmware, type, options, size.

Knows the files of /sys/block (the kernel's Documentation/ABI/stable/sysfs-block), the form of /proc/self/mountinfo (proc(5)) and which
paths matter; must not know how full is too full. One subtype, ``storage``: ``disk.NAME.…``, ``mount.PATH.…`` for the file system that
holds each path, and ``network.PATH.…`` for mounted network file systems, which are listed by type and never touched. Real input::

    36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue

>>> parse_mountinfo("36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n")
([Mount(path='/mnt 2', kind='ext3', source='/dev/root', options='rw,noatime,errors=continue')], [])

How full a file system is changes on its own; its size does not, except for ZFS and Btrfs, whose files and snapshots share one pool.
"""

from __future__ import annotations

from eidos.collectors._sysfs import Facts, has_folder, mount_table
from eidos.files.host import FileMissing, FileUnreadable, Host
from eidos.model.measurement import ABSENT, UNREADABLE
from eidos.model.record import Record
from eidos.redact.random_words import word_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eidos.collectors import Sources
    from eidos.model.measurement import Part

BLOCK = "/sys/block"
MOUNTINFO, INIT_MOUNTINFO, _MOUNTINFO_LIMIT = "/proc/self/mountinfo", "/proc/1/mountinfo", 8 << 20

#: Paths whose file system is a fact of the node: of the system, of kubelet and runtimes, of shared memory, of scratch disks (DGX: /raid).
PATHS = word_set(
    "/ /boot /boot/efi /dev/shm /home /opt /raid /run /tmp /usr /var /var/lib/containerd /var/lib/containers /var/lib/docker"
    " /var/lib/kubelet /var/lib/rancher /var/log /var/tmp /mnt /mnt/k8s-disks /mnt/stateful_partition /opt/dlami/nvme /scratch"
)

#: Virtual disks, which are no hardware.
_VIRTUAL_DISKS = ("loop", "ram", "zram", "fd", "sr", "nbd", "rbd", "dm-", "zd")

#: File systems on a server or in another process: reading or even looking at one may block for ever.
NETWORK_TYPES = word_set(
    "9p afs beegfs beegfs_nodev ceph cifs coda davfs gfs2 gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs panfs pvfs2 smb3 smbfs virtiofs"
    " vastnfs wekafs"
)

#: Local file systems whose fill is asked for; of any other type only the type is written.
LOCAL_TYPES = word_set("bcachefs btrfs erofs ext2 ext3 ext4 f2fs jfs overlay reiserfs squashfs tmpfs vfat xfs zfs")

#: File systems whose size follows from what others in the same pool use.
_POOLED_TYPES = ("btrfs", "zfs", "bcachefs")

#: Options that are shown: words, and names whose value is a size, a mode or a word. Others may have a password, a user or an address.
OPTIONS = word_set(
    "ro rw noatime relatime strictatime nodiratime lazytime nosuid nodev noexec sync async dirsync acl noacl user_xattr discard"
    " nodiscard barrier nobarrier data errors commit stripe journal_checksum journal_async_commit delalloc nodelalloc usrquota"
    " grpquota prjquota noquota attr2 inode32 inode64 logbufs logbsize sunit swidth largeio nolargeio allocsize swalloc nouuid dax"
    " compress compress-force space_cache ssd nossd autodefrag size nr_inodes nr_blocks mode huge mpol index metacopy redirect_dir"
    " volatile vers nfsvers proto hard soft nconnect rsize wsize timeo retrans acregmin acregmax acdirmin acdirmax noresvport resvport"
    " nolock lock local_lock sec fsc nofsc max_connect trunkdiscovery flock localflock noflock lruresize checksum nochecksum cache"
    " trans msize"
)

#: Mounts of these folders come and go with Pods and containers.
_PER_POD = ("/var/lib/kubelet/pods/", "/var/lib/kubelet/plugins/", "/run/containerd/", "/run/netns/", "/var/lib/docker/", "/run/docker/")

#: Network mounts that are listed.
_NETWORK_LIMIT = 64


class Mount(Record):
    """A mounted file system: where, its type, what was mounted, and its options, those of the mount before those of the file system."""

    path: str
    kind: str
    source: str
    options: str

    @property
    def is_remote(self) -> bool:
        """Whether it is on a server, or answered by another process."""
        return self.kind in NETWORK_TYPES or self.kind.startswith("fuse")


def parse_mountinfo(text: str) -> tuple[list[Mount], list[int]]:
    """The mounts in order, the last of which hides others at the same path, and the numbers of malformed lines."""
    mounts: list[Mount] = []
    malformed: list[int] = []
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.split(" ")
        try:
            separator = fields.index("-", 6)
            kind, source, of_system = fields[separator + 1 : separator + 4]
        except ValueError:
            malformed += [number] if line else []
            continue
        options = dict.fromkeys(fields[5].split(","))
        options.update(dict.fromkeys(option for option in of_system.split(",") if option not in ("rw", "ro")))
        mounts.append(Mount(_unescape(fields[4]), kind, _unescape(source), ",".join(options)))
    return mounts, malformed


def _unescape(text: str) -> str:
    """Without the octal escapes of blanks and backslashes, the only ones that the kernel writes there."""
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\043", "#"), ("\\134", "\\")):
        text = text.replace(escape, character)
    return text


def shown_options(options: str) -> tuple[str, int]:
    """The options on the list, and how many are left out.

    >>> shown_options("rw,vers=4.2,addr=192.0.2.1,password=x")
    ('rw,vers=4.2', 2)
    """
    words = [word for word in options.split(",") if word]
    shown = [word for word in words if word.partition("=")[0] in OPTIONS and len(word) <= 40]
    return ",".join(shown), len(words) - len(shown)


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``storage``: disks first, so that a file system that blocks does not cost them."""
    facts = Facts(sources, "storage")
    facts.note_unmounted("/proc", "/sys")
    has_disks = has_folder(facts, BLOCK)
    for disk in facts.names(BLOCK) if has_disks else ():
        unread = facts.unread_count
        if not disk.startswith(_VIRTUAL_DISKS) and facts.line(f"{BLOCK}/{disk}/hidden") != "1" and facts.unread_count == unread:
            _read_disk(facts, disk)
    facts.put("gds-version", facts.line("/sys/module/nvidia_fs/version"))
    yield from facts.parts()
    systems = Facts(sources, "storage")
    mounts = _read_mounts(systems)
    if mounts is None and not has_disks and not facts.gaps and not systems.gaps:
        systems.require_folders(f"no disks and no mounts (neither {BLOCK} nor {MOUNTINFO} exists)", "/sys/class", "/proc")
    _read_file_systems(systems, mounts or [])
    yield from systems.parts()


def _read_disk(facts: Facts, disk: str) -> None:
    folder, prefix = f"{BLOCK}/{disk}", f"disk.{disk}."
    sectors = facts.number(f"{folder}/size")
    if sectors == 0:  # a drive without a medium, an array that is not assembled
        return
    facts.put(f"{prefix}size-bytes", sectors * 512 if sectors is not None else None)
    facts.put_lines(prefix, f"{folder}/device", {"model": "model", "firmware": "firmware_rev", "revision": "rev", "serial": "serial"})
    facts.put(f"{prefix}transport", facts.line(f"{folder}/device/transport"))
    facts.put_numa_node(f"{prefix}numa-node", f"{folder}/device/numa_node")
    facts.put(f"{prefix}logical-block-bytes", facts.number(f"{folder}/queue/logical_block_size"))
    rotational = facts.number(f"{folder}/queue/rotational")
    facts.put(f"{prefix}rotational", bool(rotational) if rotational is not None else None)
    scheduler = facts.line(f"{folder}/queue/scheduler") or ""
    facts.put(f"{prefix}scheduler", scheduler.partition("[")[2].partition("]")[0] or scheduler)
    for key, name in (("raid.level", "level"), ("raid.disks", "raid_disks"), ("raid.state", "array_state"), ("raid.degraded", "degraded")):
        facts.put(f"{prefix}{key}", facts.line(f"{folder}/md/{name}"))


def _read_mounts(facts: Facts) -> list[Mount] | None:
    """The mounts below the host's root, as it names them; None when a captured tree has none."""
    running = facts.host.is_running_system
    host = Host() if running else facts.host  # what matters is what this process can reach
    own, root = mount_table(facts.host.root) if running else ("", "/")
    text = None
    for path in (own,) if running else (MOUNTINFO, INIT_MOUNTINFO):
        try:
            text = host.read_text(path, _MOUNTINFO_LIMIT)
            break
        except FileMissing:
            continue
        except FileUnreadable as fault:
            facts.unreadable(fault)
            return None
    if text is None:
        return None
    mounts, malformed = parse_mountinfo(text)
    if malformed:
        facts.gap(UNREADABLE, MOUNTINFO, f"line {malformed[0]}: not a mount")
    if facts.host.is_container_root:  # and so are its mounts
        facts.exists("/")
        return []
    if not running or facts.host.root == "/":
        return mounts
    below = [mount for mount in mounts if mount.path == root or mount.path.startswith(root.rstrip("/") + "/")]
    if not any(mount.path == root for mount in below):
        return _mounts_of_init(facts)
    return [Mount(mount.path[len(root.rstrip("/")) :] or "/", mount.kind, mount.source, mount.options) for mount in below]


def _mounts_of_init(facts: Facts) -> list[Mount]:
    """The host's mounts as its first process has them, where the host's root is not mounted here; the kernel may refuse that."""
    why = "the host's root is not mounted here; mount / read-only at the root"
    try:
        mounts, _ = parse_mountinfo(facts.host.read_text(INIT_MOUNTINFO, _MOUNTINFO_LIMIT))
    except FileMissing:
        mounts = []
    except FileUnreadable as fault:
        facts.gap(UNREADABLE, INIT_MOUNTINFO, f"{fault.reason}; needs CAP_SYS_PTRACE in the host's PID namespace")
        mounts = []
    facts.gap(UNREADABLE, "mount", why)
    return mounts


def _read_file_systems(facts: Facts, mounts: Sequence[Mount]) -> None:
    at = {mount.path: mount for mount in mounts}  # the last one hides the others
    for path in sorted(PATHS):
        mount = at.get(path)
        if mount is not None and mount.kind != "autofs":
            _read_mount(facts, f"mount.{path}.", mount)
    if mounts and not facts.host.is_running_system:
        for key in ("size-bytes", "used-percent", "inodes-used-percent"):
            facts.gap(ABSENT, f"mount.*.{key}", "captured tree")
    remote = sorted(path for path, mount in at.items() if mount.is_remote and path not in PATHS and not path.startswith(_PER_POD))
    for path in remote[:_NETWORK_LIMIT]:
        _put_type(facts, f"network.{path}.", at[path])
    if len(remote) > _NETWORK_LIMIT:
        facts.gap(UNREADABLE, "network", f"more than {_NETWORK_LIMIT} network file systems")


def _put_type(facts: Facts, prefix: str, mount: Mount) -> None:
    facts.put(f"{prefix}type", mount.kind)
    shown, hidden = shown_options(mount.options)
    facts.put(f"{prefix}options", shown)
    facts.put(f"{prefix}options-not-shown", hidden or None)


def _read_mount(facts: Facts, prefix: str, mount: Mount) -> None:
    _put_type(facts, prefix, mount)
    if mount.source.startswith("/dev/"):
        facts.put(f"{prefix}source", mount.source)
    if not facts.host.is_running_system:
        return
    if mount.kind not in LOCAL_TYPES:
        facts.gap(ABSENT, f"{prefix}size-bytes", f"not asked of a file system of type {mount.kind}, which may not answer")
        return
    try:
        status = facts.host.file_system_status(mount.path)
    except (FileMissing, FileUnreadable) as fault:
        facts.gap(UNREADABLE, f"{prefix}size-bytes", fault.reason)
        return
    size = status.f_blocks * status.f_frsize
    (facts.put_volatile if mount.kind in _POOLED_TYPES else facts.put)(f"{prefix}size-bytes", size)
    facts.put_volatile(f"{prefix}available-bytes", status.f_bavail * status.f_frsize)
    used = status.f_blocks - status.f_bfree
    if used + status.f_bavail:  # as df(1) counts
        facts.put_volatile(f"{prefix}used-percent", round(100 * used / (used + status.f_bavail), 1))
    if status.f_files:
        facts.put_volatile(f"{prefix}inodes-used-percent", round(100 * (1 - status.f_ffree / status.f_files), 1))
