"""Linux namespaces in which this process is not the host's own, and files that show it less than the host has.

Knows the initial namespaces' inode numbers and the pod setting that joins each; must not know which readings a namespace affects.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

#: Inode numbers of the initial namespaces, and the pod setting that joins them, with eidos' own flag for it; a pod on the host's network
#: has its UTS namespace, too.
_INITIAL = {
    "net": (0xEFFFFFF9, "hostNetwork: true (--host-network)"),
    "ipc": (0xEFFFFFFF, "hostIPC: true (--host-ipc)"),
    "uts": (0xEFFFFFFE, "hostNetwork: true (--host-network)"),
    "pid": (0xEFFFFFFC, "hostPID: true (--host-pid)"),
    "user": (0xEFFFFFFD, "hostUsers: true"),
}


def foreign_namespaces(exists: Callable[[str], bool]) -> dict[str, str]:
    """Namespaces of this process that are not the initial ones: name as in /proc/self/ns → the pod setting that joins the host's.

    The kernel gives its initial namespaces fixed inode numbers (linux/nsfs.h, before that linux/proc_ns.h). The network's got one in
    6.18 only; on older kernels the test is that some of net.core exists in the initial one alone (net/core/sysctl_net_core.c registers
    ``net_core_table`` with ``init_net``), and /proc/sys/net is always the reader's own, whichever procfs it is read from.
    ``exists`` tells whether a path exists on the host. A namespace that this kernel does not have is not foreign.
    """
    foreign: dict[str, str] = {}
    for kind, (inode, setting) in _INITIAL.items():
        try:
            link = os.readlink(f"/proc/self/ns/{kind}")
        except OSError:  # the kernel was built without it, or this process has no /proc
            continue
        if link == f"{kind}:[{inode}]":
            continue
        if kind == "net" and exists("/proc/sys/net/core/dev_weight"):
            continue
        foreign[kind] = setting
    return foreign


def is_overlaid(path: str) -> bool:
    """Whether another file system lies over a file of the running system's /proc or /sys, as lxcfs does to show a container its share."""
    top = "/" + path.split("/", 2)[1]
    try:
        return os.stat(path).st_dev != os.stat(top).st_dev
    except OSError:
        return False
