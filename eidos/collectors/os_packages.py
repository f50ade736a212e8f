r"""Packages of driver, kernel, runtime and network, and holds.

Knows where the databases are, the form of dpkg's, and which packages matter; must not know which version is right, nor rpm's formats
(:mod:`eidos.collectors._rpm_database`). One subtype, ``packages``: name → version, several versions of one name with blanks between them,
and ``hold.NAME`` for a package that is held. No program is run. A paragraph of /var/lib/dpkg/status::

    Package: nvidia-driver-570-server
    Status: hold ok installed
    Architecture: amd64
    Version: 570.86.15-0ubuntu1

>>> parse_dpkg_status(b"Package: containerd\nStatus: hold ok installed\nVersion: 1.7.24-0ubuntu1\n\nPackage: vim\n")
({'containerd': ['1.7.24-0ubuntu1']}, ['containerd'])
"""

from __future__ import annotations

import os

from eidos.collectors._sysfs import Facts
from eidos.errors import EidosError
from eidos.files.host import FileMissing, FileUnreadable, translate_os_error
from eidos.model.measurement import UNREADABLE
from eidos.redact.random_words import word_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eidos.collectors import Sources
    from eidos.collectors._rpm_database import RpmPackage
    from eidos.files.host import Host
    from eidos.model.measurement import Part

#: dpkg's database, size limits in bytes of it and of a paragraph, and how much of it is read at a time.
DPKG_STATUS, _DPKG_LIMIT, _PARAGRAPH_LIMIT, _BLOCK = "/var/lib/dpkg/status", 64 << 20, 1 << 20, 1 << 15

#: The folders that rpm has used (/usr/lib/sysimage/rpm: Fedora, SUSE, Azure Linux), and its database in each: SQLite, ndb, Berkeley DB.
RPM_FOLDERS = ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
RPM_FILES = ("rpmdb.sqlite", "Packages.db", "Packages")

#: Databases of other managers, whose packages are not read.
OTHER_DATABASES = {
    "/lib/apk/db/installed": "apk",
    "/usr/lib/apk/db/installed": "apk",
    "/var/lib/pacman/local": "pacman",
    "/nix/var/nix/db": "Nix",
}

#: Lists of packages that dnf, yum and zypper do not change (dnf-versionlock(8), zypper-addlock(8)).
RPM_HOLDS = ("/etc/dnf/plugins/versionlock.list", "/etc/yum/pluginconf.d/versionlock.list", "/etc/zypp/locks")

#: Beginnings of names that matter, and names that matter as they are.
PREFIXES = (
    "aws-ofi-nccl",
    "amazon-efa",
    "cuda-compat",
    "cuda-drivers",
    "cri-o",
    "containerd",
    "datacenter-gpu-manager",
    "dgx-",
    "dkms",
    "doca-",
    "docker-ce",
    "docker.io",
    "efa",
    "ena-driver",
    "gdrcopy",
    "gdrdrv",
    "kernel-64k",
    "kernel-core",
    "kernel-default",
    "kernel-modules-nvidia",
    "kernel-uek",
    "kernel6",
    "kmod-gdrdrv",
    "kmod-nvidia",
    "kmod-mlnx",
    "kube",
    "libnccl",
    "libnvidia-cfg",
    "libnvidia-compute",
    "libnvidia-container",
    "libnvidia-ml",
    "libnvidia-nscq",
    "libnvsdm",
    "linux-image-",
    "linux-modules-nvidia",
    "linux-nvidia",
    "mlnx-",
    "mft",
    "nvidia-",
    "nvlsm",
    "ofed-",
    "podman",
    "xserver-xorg-video-nvidia",
)
NAMES = word_set(
    "docker kernel kernel-core kernel-uek rdma-core runc crun cri-tools ibacm infiniband-diags libfabric opensm perftest kata- containers"
)

#: How dpkg begins a paragraph, and the blank and first letters that follow for a package that may matter: a quick look at all others.
_FIRST_FIELD = b"Package:"
_FIRST_LETTERS = frozenset(f" {word[:4]}".encode() for word in (*PREFIXES, *NAMES))

#: States of dpkg in which a package's files are there (dpkg(1)).
_INSTALLED = (b"installed", b"triggers-awaited", b"triggers-pending", b"unpacked", b"half-configured")


def is_relevant(name: str) -> bool:
    """Whether a package matters, by its name.

    >>> [is_relevant(name) for name in ("nvidia-driver-570", "kernel", "kernel-headers", "kubelet", "bash")]
    [True, True, False, True, False]
    """
    return name.startswith(PREFIXES) or name in NAMES


def parse_dpkg_status(data: bytes) -> tuple[dict[str, list[str]], list[str]]:
    """Relevant installed packages with their versions, and those on hold. Packages of several architectures have one entry."""
    packages: dict[str, list[str]] = {}
    held: list[str] = []
    first, *others = data.split(b"\n" + _FIRST_FIELD)
    for text in [first.removeprefix(_FIRST_FIELD), *others] if first.startswith(_FIRST_FIELD) else others:
        if text[:5] not in _FIRST_LETTERS and text[:4] not in _FIRST_LETTERS and text[:1] == b" " and not text[1:2].isspace():
            continue
        lines = text.partition(b"\n\n")[0].split(b"\n")
        name = lines[0].strip().decode("utf-8", "backslashreplace")
        if not is_relevant(name):
            continue
        fields = dict(line.split(b":", 1) for line in lines[1:] if b":" in line and line[:1] not in (b" ", b"\t"))
        words = fields.get(b"Status", b"").split()
        if len(words) == 3 and words[2] in _INSTALLED:
            version = fields.get(b"Version", b"").strip().decode("utf-8", "backslashreplace")
            packages.setdefault(name, []).append(version)
            if words[0] == b"hold":
                held.append(name)
    return packages, held


def parse_rpm_holds(text: str) -> list[str]:
    r"""Names in a list of dnf's or zypper's locks that matter.

    >>> parse_rpm_holds(
    ...     "# Added lock on ...\nkernel-core-0:5.14.0-427.el9.*\n!kubelet-0:1.30.*\ncontainerd.io\nsolvable_name: nvidia-driver-G06\n"
    ... )
    ['kernel-core', 'containerd.io', 'nvidia-driver-G06']
    """
    names = []
    for line in text.splitlines():
        word = line.partition("#")[0].strip().removeprefix("solvable_name:").strip()
        if not word or word.startswith("!") or " " in word or ":" in word.partition("-")[0]:
            continue
        epoch = word.find(":")
        name = word[:epoch].rpartition("-")[0] if epoch > 0 else word
        if is_relevant(name):
            names.append(name)
    return names


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``packages``. Raises NotApplicable on a host without dpkg and rpm (Talos, Bottlerocket, Container-Optimized OS)."""
    facts = Facts(sources, "packages")
    versions_by_name: dict[str, list[str]] = {}
    held: list[str] = []
    managers = []
    try:
        for paragraphs in _read_paragraphs(facts.host):
            packages, on_hold = parse_dpkg_status(paragraphs)
            held += on_hold
            for name, versions in packages.items():
                versions_by_name.setdefault(name, []).extend(versions)
        managers.append("dpkg")
    except FileMissing:
        pass
    except FileUnreadable as fault:
        facts.unreadable(fault)
    if _read_rpm(facts, versions_by_name):
        managers.append("rpm")
        for path in RPM_HOLDS:
            held += parse_rpm_holds(facts.line(path, 1 << 20) or "")
    for path, name in () if managers or facts.gaps else OTHER_DATABASES.items():
        if facts.exists(path, is_in_archives=False):
            facts.gap(UNREADABLE, path, f"a database of {name}, which is not read")
    if not managers and not facts.gaps:
        facts.require_folders(f"no packages (neither {DPKG_STATUS} nor rpm's database exists)", "/var/lib", "/usr/lib")
    facts.put("manager", " ".join(managers))
    for name, versions in versions_by_name.items():
        facts.put(name, " ".join(sorted(set(versions))))
    for name in held:
        facts.put(f"hold.{name}", True)
    yield from facts.parts()


def _read_paragraphs(host: Host) -> Iterator[bytes]:
    """The text of dpkg's database, some complete paragraphs at a time: a megabyte of new memory takes longer than to look at it."""
    fd, rest = host.open_file(DPKG_STATUS), b""
    try:
        for _ in range(_DPKG_LIMIT // _BLOCK):
            block = os.read(fd, _BLOCK)
            complete, _, rest = (rest + block).rpartition(b"\n\n")
            yield complete if block else rest
            if not block:
                return
            if len(rest) > _PARAGRAPH_LIMIT:
                raise FileUnreadable(DPKG_STATUS, "not a database of dpkg: a paragraph is larger than 1 MiB")
        raise FileUnreadable(DPKG_STATUS, f"larger than {_DPKG_LIMIT >> 20} MiB")
    except OSError as fault:
        raise translate_os_error(fault, DPKG_STATUS, host) from fault
    finally:
        os.close(fd)


def _read_rpm(facts: Facts, versions_by_name: dict[str, list[str]]) -> bool:
    """Add the relevant packages of the first database that is there; whether there is one."""
    for path in (f"{folder}/{name}" for folder in RPM_FOLDERS for name in RPM_FILES):
        try:
            fd = facts.host.open_file(path)
        except FileMissing:
            continue
        except FileUnreadable as fault:
            facts.unreadable(fault)
            return False
        try:
            return _add_packages(facts, path, fd, versions_by_name)
        finally:
            os.close(fd)
    return False


def _read_database(path: str, fd: int) -> Iterable[RpmPackage]:
    from eidos.collectors._rpm_database import read_berkeley_db, read_ndb, read_sqlite  # most hosts have dpkg, or neither

    if path.endswith(".sqlite"):
        return read_sqlite(fd, is_relevant)
    return read_ndb(fd) if path.endswith(".db") else read_berkeley_db(fd)


def _add_packages(facts: Facts, path: str, fd: int, versions_by_name: dict[str, list[str]]) -> bool:
    if path.endswith(".sqlite"):
        _check_log(facts, path + "-wal")
    try:
        for package in _read_database(path, fd):
            if is_relevant(package.name):
                versions_by_name.setdefault(package.name, []).append(package.version)
    except OSError as fault:
        facts.gap(UNREADABLE, path, (fault.strerror or str(fault)).lower())
        return bool(versions_by_name)
    except EidosError as fault:
        facts.gap(UNREADABLE, path, fault.message)
        return bool(versions_by_name)
    return True


def _check_log(facts: Facts, path: str) -> None:
    """A write-ahead log with content has changes that the database has not: a transaction runs, or was interrupted."""
    try:
        fd = facts.host.open_file(path)
    except FileMissing:
        return
    except FileUnreadable as fault:
        facts.unreadable(fault)
        return
    try:
        if os.fstat(fd).st_size:
            facts.gap(UNREADABLE, path, "changes that are not in the database yet are not read; repeat after the transaction of rpm")
    finally:
        os.close(fd)
