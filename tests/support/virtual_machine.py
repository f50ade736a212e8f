"""A virtual machine with a kernel of its own: Debian on a disk of its own, in QEMU, without KVM.

Knows mmdebstrap, mke2fs and QEMU; must not know what a test wants to see. QEMU takes the place of the boot loader: a boot has the kernel's
parameters that the caller names. It needs root, the network of Debian's packages, and the programs below (packages qemu-system-x86,
mmdebstrap, e2fsprogs). It emulates, for KVM inside a virtual machine may be there and not work. The packages take a minute of
processor time, and a boot half of one.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

PROGRAMS = ("qemu-system-x86_64", "mmdebstrap", "mke2fs")

PACKAGES = ("python3", "kmod", "procps", "initramfs-tools", "linux-image-cloud-amd64", "grub2-common")

#: Seconds for the packages, and for a boot.
INSTALL_S, BOOT_S = 900, 900

#: The first process: what ``/root/step`` prints is between two lines of its own.
INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -o remount,rw /
mount -t tmpfs tmpfs /run
echo '=== begin'
sh /root/step "$(sed -e 's/.*step=//' -e 's/ .*//' /proc/cmdline)" 2>&1
echo '=== end'
sync
mount -o remount,ro /
echo b >/proc/sysrq-trigger
sleep 60
"""


class VirtualMachine:
    """A disk, and the kernel on it."""

    def __init__(self, disk: Path, kernel: Path, initrd: Path) -> None:
        self._disk, self._kernel, self._initrd = disk, kernel, initrd

    def boot(self, step: str, parameters: str = "") -> str:
        """What ``/root/step`` prints when it is run with this argument, by a kernel with these parameters besides its own."""
        line = f"root=/dev/vda ro console=ttyS0 panic=-1 loglevel=3 init=/root/init step={step} {parameters}"
        command = ["qemu-system-x86_64", "-machine", "accel=tcg", "-m", "1G", "-nodefaults", "-display", "none"]
        command += ["-no-reboot", "-serial", "stdio", "-drive", f"file={self._disk},format=raw,if=virtio"]
        command += ["-kernel", str(self._kernel), "-initrd", str(self._initrd), "-append", line]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=BOOT_S, check=False
        )
        text = done.stdout.replace("\r\n", "\n")
        assert "=== begin\n" in text and "=== end\n" in text, (done.stderr[-500:], text[-2000:])
        return text.split("=== begin\n")[1].split("=== end\n")[0]


def make_machine(folder: Path, files: Mapping[str, str | bytes], step: str) -> VirtualMachine:
    """A machine with ``files`` (path without its leading slash -> content); ``step`` is what each boot runs, with a word as ``$1``.

    Skips where the programs or the packages cannot be had.
    """
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing or os.geteuid() or platform.machine() != "x86_64":
        pytest.skip(f"a virtual machine needs root on x86_64 and {', '.join(missing) or 'QEMU'} (qemu-system-x86, mmdebstrap, e2fsprogs)")
    root, disk = folder / "root", folder / "disk"
    unneeded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "locale", "man")]
    command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", *unneeded, "bookworm", str(root)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    if done.returncode:
        pytest.skip(f"Debian's packages cannot be had: {done.stderr.strip()[-300:]}")
    for name, content in {"root/init": INIT, "root/step": step, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    (root / "root/init").chmod(0o755)
    (root / "boot/grub").mkdir(exist_ok=True)
    kernel, initrd = (shutil.copy(next(root.glob(f"boot/{name}-*")), folder / name) for name in ("vmlinuz", "initrd.img"))
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(root), str(disk), "2G"], check=True, capture_output=True)
    shutil.rmtree(root)
    return VirtualMachine(disk, Path(kernel), Path(initrd))
