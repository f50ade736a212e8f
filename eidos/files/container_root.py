"""The root of a container or a chroot: only the kernel's files in it are the host's.

Knows how such a root is told from the machine's, and which of its folders are the kernel's; must not know what any file means, nor which
readings of the kernel a namespace changes (:mod:`eidos.files.namespaces`).
"""

from __future__ import annotations

import os

from eidos.files.namespaces import foreign_namespaces

#: Where the kernel shows what is the host's, whatever the root is.
_KERNEL_FOLDERS = ("proc", "sys")

#: Why any other file is unreadable.
WHY = "of this container or chroot, not of the host; mount the host's / read-only and name it with --root"

#: Names of the first process of a machine, also of one in a container: systemd's, and those of other inits.
_INITS = ("systemd", "init", "openrc-init")

#: What engines put into the root of a container: Docker, Podman, Kubernetes, Apptainer, systemd-nspawn.
_CONTAINER_MARKS = (
    "/.dockerenv",
    "/run/.containerenv",
    "/run/secrets/kubernetes.io",
    "/var/run/secrets/kubernetes.io",
    "/dev/termination-log",
    "/.singularity.d",
    "/run/host/container-manager",
)

#: What the line of a container's root in mountinfo has: a file system of layers, or a folder of an engine.
_IMAGE_WORDS = (
    " - overlay ",
    " - aufs ",
    " - fuse.fuse-overlayfs ",
    " - fuse.squashfuse",
    "/docker/",
    "/containerd/",
    "/containers/",
    "/enroot",
)

#: Namespaces that a container in the initial PID namespace may have of its own.
_CONTAINER_NAMESPACES = ("ipc", "user", "uts")

#: Characters of a file of procfs that are read.
_READ_LIMIT = 8 << 20


def is_container_root() -> bool:
    """Whether the root of this process is that of a container, or of a chroot, and not that of its machine.

    In the initial PID namespace the root of process 1 is the machine's, which needs CAP_SYS_PTRACE to look at. Without that right, and in
    other PID namespaces, the mounts tell: a chroot has none at its root, a container has an image there. A container whose process 1 is an
    init (LXC, systemd-nspawn, a node of kind) is a machine. A machine may have layers at its root, too: in the initial PID namespace there
    must be the mark of an engine or a namespace of the container's own as well. Without /proc nothing tells whose root it is, so it counts
    as a container's.
    """
    if not os.path.lexists("/proc/self"):
        return True
    foreign = foreign_namespaces(lambda path: True)
    if "pid" not in foreign:
        try:
            return not os.path.samestat(os.stat("/proc/1/root"), os.stat("/"))
        except OSError:  # not permitted, or hidden by an option of the mount
            pass
    elif _read("/proc/1/comm").strip() in _INITS:
        return False
    mounts = [line for line in _read("/proc/self/mountinfo").split("\n") if " - " in line]
    here = [line for line in mounts if line.split(" ", 5)[4] == "/"]
    if not here:
        return bool(mounts)
    is_image = any(word in here[-1] for word in _IMAGE_WORDS)
    is_marked = any(map(os.path.lexists, _CONTAINER_MARKS))
    if "pid" in foreign:
        return is_image or is_marked
    return is_image and (is_marked or any(kind in foreign for kind in _CONTAINER_NAMESPACES))


def open_root(path: str) -> tuple[int, str]:
    """A folder opened as a root, and its path; -1 and ``/`` where it is the machine's root by another name. OSError when it cannot be."""
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if not os.path.samestat(os.fstat(fd), os.stat("/")) or not _has_own_mounts(fd):
        return fd, path
    if is_container_root():
        return fd, "/"
    os.close(fd)
    return -1, "/"


def _has_own_mounts(fd: int) -> bool:
    """Whether an open folder that is / lies in a mount of this process: /proc/1/root may be the same folder with other mounts below it."""
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        mount, of_root = _mount_id(fd), _mount_id(root)
    finally:
        os.close(root)
    return mount == of_root or any(line.split(" ", 1)[0] == mount for line in _read("/proc/self/mountinfo").split("\n"))


def _mount_id(fd: int) -> str:
    """The number of a descriptor's mount (proc_pid_fdinfo(5)); empty without /proc."""
    return _read(f"/proc/self/fdinfo/{fd}").partition("mnt_id:")[2].partition("\n")[0].strip()


def container_folder(path: str) -> str:
    """The folder in a container's root that a path is in, so that many make one gap; empty for what is the kernel's."""
    top = path.lstrip("/").partition("/")[0]
    return "" if top in _KERNEL_FOLDERS else f"/{top}"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_READ_LIMIT)
    except OSError:
        return ""
