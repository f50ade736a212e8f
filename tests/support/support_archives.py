"""Archives as support tools make them, of a captured tree: a report of sos(1), and the log of nvidia-bug-report.sh.

Knows both layouts (sosreport/sos, sos/report/plugins; nvidia-bug-report.sh of NVIDIA's driver 580); must not know what is read of them.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

from tests.support.smi_output import gpu_addresses

#: What sos copies of a host: here a part of it, so that something is missing.
_COPIED = (
    *("etc", "usr/lib/os-release", "proc/cmdline", "proc/modules", "proc/driver", "proc/cpuinfo", "proc/meminfo", "lib/modules"),
    "sys/module",
)

#: What nvidia-bug-report.sh appends, whether it is there or not.
_APPENDED = (
    *("etc/issue", "etc/os-release", "proc/cmdline", "proc/cpuinfo", "proc/meminfo", "proc/modules", "proc/version", "proc/pci"),
    *("proc/driver/nvidia/version", "proc/driver/nvidia/params"),
)

_RULE = "_" * 44

#: Form → mode of tarfile.
_MODES: dict[str, Any] = {"": "w", "gz": "w:gz", "xz": "w:xz"}


def smi_text(tree: Path, model: str = "NVIDIA A100-SXM4-80GB", driver: str = "535.54.03", pending: str = "No") -> str:
    """What ``nvidia-smi -q`` prints for the GPUs of a tree."""
    addresses = gpu_addresses(tree)
    lines = ["", "==============NVSMI LOG==============", "", "Timestamp                                 : Thu Nov 26 01:00:00 2026"]
    lines += [f"{'Driver Version':<42}: {driver}", f"{'CUDA Version':<42}: 12.2", "", f"{'Attached GPUs':<42}: {len(addresses)}"]
    for number, address in enumerate(addresses):
        lines += [f"GPU 0000{address.upper()}"]
        for indent, name, value in (
            (1, "Product Name", model),
            (1, "Product Architecture", "Ampere"),
            (1, "Persistence Mode", "Enabled"),
            (1, "MIG Mode", None),
            (2, "Current", "Disabled"),
            (2, "Pending", "Disabled"),
            (1, "VBIOS Version", "92.00.45.00.03"),
            (1, "PCI", None),
            (2, "Device Id", "0x20B210DE"),
            (2, "Bus Id", f"0000{address.upper()}"),
            (2, "GPU Link Info", None),
            (3, "Link Width", None),
            (4, "Max", "16x"),
            (4, "Current", "16x"),
            (1, "Compute Mode", "Default"),
            (1, "ECC Mode", None),
            (2, "Current", "Enabled"),
            (2, "Pending", "Enabled"),
            (1, "ECC Errors", None),
            (2, "Volatile", None),
            (3, "SRAM Correctable", "0"),
            (3, "SRAM Uncorrectable", "0"),
            (3, "DRAM Correctable", "177"),
            (3, "DRAM Uncorrectable", "0"),
            (1, "Remapped Rows", None),
            (2, "Correctable Error", "1"),
            (2, "Uncorrectable Error", "0"),
            (2, "Pending", pending if number == 6 else "No"),
            (2, "Remapping Failure Occurred", "No"),
            (1, "Processes", "None"),
        ):
            text = "    " * indent + name
            lines.append(text if value is None else f"{text:<42}: {value}")
    return "\n".join(lines) + "\n"


def _dmesg(tree: Path) -> str:
    """The records of a tree's log as dmesg(1) prints them."""
    path = tree / "dev/kmsg"
    if not path.exists():
        return ""
    records = [line.partition(";") for line in path.read_text().splitlines() if not line.startswith(" ")]
    return "".join(f"[{int(head.split(',')[2]) / 1e6:>12.6f}] {message}\n" for head, _, message in records)


def _kernel(tree: Path) -> str:
    return (tree / "proc/sys/kernel/osrelease").read_text().strip()


def sos_report(tree: Path, form: str = "xz", pending: str = "No") -> bytes:
    """A report in its folder, with logs that are not read."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode=_MODES[form]) as tar:
        top = "sosreport-gpu-01-2026-11-26-abcdefg"

        def add(path: str, text: str) -> None:
            info = tarfile.TarInfo(f"{top}/{path}")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))

        for name in _COPIED:
            if (tree / name).exists():
                tar.add(tree / name, f"{top}/{name}")
        settings = [path for path in sorted((tree / "proc/sys").rglob("*")) if path.is_file()]
        sysctl = [
            f"{'.'.join(path.relative_to(tree / 'proc/sys').parts)} = {line}" for path in settings for line in path.read_text().splitlines()
        ]
        add("sos_commands/kernel/sysctl_-a", "\n".join(sysctl) + "\n")
        add("sos_commands/kernel/uname_-a", f"Linux gpu-01 {_kernel(tree)} #1 SMP x86_64 GNU/Linux\n")
        add("sos_commands/kernel/dmesg", _dmesg(tree))
        add("sos_commands/nvidia/nvidia-smi_-q", smi_text(tree, pending=pending))
        add("var/log/messages", "a log\n" * 100)
        add("version.txt", "sos report version: 4.8.2\n")
    return output.getvalue()


def bug_report(tree: Path, form: str = "gz", pending: str = "No") -> bytes:
    """The log, as several gzip members one after the other, which the script writes."""
    prologue = "Start of NVIDIA bug report log file.  Please include this file, along\nwith a detailed description\n\n"
    uname = f"Linux gpu-01 {_kernel(tree)} #1 SMP x86_64"
    sections = [f"{_RULE}\n\n{prologue}nvidia-bug-report.sh Version: 37062940\n\nDate: Thu Nov 26\nuname: {uname}\n\n"]
    for name in _APPENDED:
        path = tree / name
        text = (
            f"*** /{name}\n*** ls: -r--r--r-- 1 root root 0 2026-11-26 /{name}\n{path.read_text()}"
            if path.exists()
            else f"*** /{name} does not exist\n"
        )
        sections.append(f"{_RULE}\n\n{text}\n")
    sections.append(f"{_RULE}\n\ndmesg:\n\n{_dmesg(tree)}")
    sections.append(
        f"{_RULE}\n\n/usr/bin/nvidia-smi --query\n\n{smi_text(tree, pending=pending)}\n/usr/bin/nvidia-smi --query --unit\n\n\n"
    )
    sections.append(f"{_RULE}\n\nEnd of NVIDIA bug report log file.\n")
    return b"".join(gzip.compress(section.encode()) if form else section.encode() for section in sections)
