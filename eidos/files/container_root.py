"""The root of a container or a chroot, which is not that of the machine: of its files only those of the kernel are the host's.

Knows how such a root is told from the machine's, and which of its folders are the kernel's; must not know what any file means, nor which
readings of the kernel a namespace changes (:mod:`eidos.files.namespaces`).
"""

from __future__ import annotations

import os

from eidos.files.host import FileUnreadable, Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.files.path_walk import PathWalk

#: Where the kernel shows what is the host's, whatever the root is.
_KERNEL_FOLDERS = ("proc", "sys")

#: Why any other file is unreadable.
WHY = "of this container or chroot, not of the host; mount the host's / read-only and name it with --root"

#: Names of the first process of a machine, also of one in a container: systemd's, and those of other inits.
_INITS = ("systemd", "init", "openrc-init")

#: What engines put into the root of a container: Docker, Podman, Kubernetes, Apptainer.
_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv", "/run/secrets/kubernetes.io", "/var/run/secrets/kubernetes.io", "/.singularity.d")

#: What the line of a container's root in mountinfo has: a file system of layers, or a folder of an engine.
_IMAGE_WORDS = (" - overlay ", " - aufs ", " - fuse.fuse-overlayfs ", "/docker/", "/containerd/", "/containers/")

#: Characters of a file of procfs that are read.
_READ_LIMIT = 8 << 20

#: The initial PID namespace's inode number (linux/proc_ns.h).
INITIAL_PID_NAMESPACE = 0xEFFFFFFC


def is_container_root() -> bool:
    """Whether the root of this process is that of a container, or of a chroot, and not that of its machine.

    In the initial PID namespace the root of process 1 is the machine's, which needs CAP_SYS_PTRACE to look at. Else what is mounted there
    says it: nothing in a chroot, an image in a container. A container whose process 1 is an init (LXC, systemd-nspawn, a node of kind) is a
    machine; and in the initial PID namespace an engine has left its mark as well, because a machine may start from layers, too.
    """
    is_initial = False
    try:
        is_initial = os.readlink("/proc/self/ns/pid") == f"pid:[{INITIAL_PID_NAMESPACE}]"
        if is_initial:
            return not os.path.samestat(os.stat("/proc/1/root"), os.stat("/"))
    except PermissionError:
        pass
    except OSError:  # no /proc here, or a kernel without PID namespaces
        return False
    if not is_initial and _read("/proc/1/comm").strip() in _INITS:
        return False
    mounts = [line for line in _read("/proc/self/mountinfo").splitlines() if " - " in line]
    here = [line for line in mounts if line.split(" ", 5)[4] == "/"]
    if not here:
        return bool(mounts)
    is_image = any(word in here[-1] for word in _IMAGE_WORDS)
    return is_image and (not is_initial or any(map(os.path.lexists, _CONTAINER_MARKS)))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_READ_LIMIT)
    except OSError:
        return ""


class ContainerRoot(Host):
    """The files of the running system for a process whose root is a container's: outside /proc and /sys all are FileUnreadable.

    The error names the folder in the root, so that many of them make one gap.
    """

    def __init__(self) -> None:
        super().__init__()
        self._opened_root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)  # every path is walked

    def _walk(self, path: str, follow: bool = True) -> PathWalk:
        top = path.lstrip("/").partition("/")[0]
        if top not in _KERNEL_FOLDERS:
            raise FileUnreadable(f"/{top}", WHY)
        return super()._walk(path, follow)
