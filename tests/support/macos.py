"""Runs a command line in a fresh process that has what macOS has: what is missing there fails at its first use.

Knows which names of the standard library CPython lacks on macOS (its documentation, "Availability"), and hides /proc and /sys; must not
know eidos. The kernel stays Linux, so what the same call does otherwise on macOS is not seen.
"""

from __future__ import annotations

import sys

SCRIPT = """
import errno, fcntl, os, resource, select, signal, socket, sys, time
sys.platform = "darwin"
MISSING = {
    os: "O_PATH O_TMPFILE O_DIRECT O_NOATIME O_RSYNC O_LARGEFILE MFD_CLOEXEC memfd_create sched_getaffinity sched_setaffinity pipe2 "
    "getresuid getresgid setresuid setresgid posix_fadvise posix_fallocate pidfd_open eventfd eventfd_read eventfd_write getxattr "
    "listxattr setxattr removexattr fdatasync getrandom copy_file_range splice unshare setns waitid P_PID P_PGID P_ALL P_PIDFD WEXITED "
    "WNOWAIT WSTOPPED waitid_result timerfd_create",
    select: "epoll EPOLLIN EPOLLOUT EPOLLERR EPOLLHUP EPOLLRDHUP EPOLLEXCLUSIVE EPOLLONESHOT EPOLLET POLLRDHUP",
    signal: "sigtimedwait sigwaitinfo SIGRTMIN SIGRTMAX SIGPWR SIGPOLL SIGSTKFLT pidfd_send_signal",
    socket: "SOCK_CLOEXEC SOCK_NONBLOCK SO_PEERCRED SO_DOMAIN SO_PROTOCOL SO_BINDTODEVICE SO_MARK SO_INCOMING_CPU AF_NETLINK AF_PACKET "
    "AF_VSOCK AF_ALG TCP_USER_TIMEOUT TCP_DEFER_ACCEPT TCP_QUICKACK TCP_CORK MSG_NOSIGNAL MSG_MORE MSG_CMSG_CLOEXEC",
    time: "CLOCK_BOOTTIME CLOCK_TAI pthread_getcpuclockid",
    resource: "prlimit RUSAGE_THREAD RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_SIGPENDING RLIMIT_MSGQUEUE",
    fcntl: "F_ADD_SEALS F_GET_SEALS F_SETPIPE_SZ F_GETPIPE_SZ F_OFD_SETLK F_SETLEASE F_NOTIFY",
    errno: "EREMOTEIO ENONET EUCLEAN ENOKEY EKEYEXPIRED ENOTUNIQ ECOMM",
}
for module, names in MISSING.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)

def refuse(path):
    if isinstance(path, (str, bytes)) and os.fsencode(path).startswith((b"/proc", b"/sys")):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)

def without_proc(function):
    def call(path, *rest, **more):
        refuse(path)
        return function(path, *rest, **more)
    return call

for name in ("stat", "lstat", "readlink", "access", "statvfs", "chmod", "rename", "link"):
    setattr(os, name, without_proc(getattr(os, name)))
sys.addaudithook(lambda event, values: refuse(values[0]) if event in ("open", "os.listdir", "os.scandir") else None)
from eidos.cli import program
program()
"""

#: The command that runs eidos so, from the checkout.
PROGRAM = (sys.executable, "-B", "-c", SCRIPT)
