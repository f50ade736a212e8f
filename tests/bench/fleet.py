"""How ``eidos fleet`` merges many nodes: wall time, and peak memory, as their number grows.

Knows how nodes answer that are no nodes: a shell script in place of ssh gives the snapshot of a real GPU node (75 kB), a little different
each time, and saved snapshots are links to a few files; must not know how they are compared. What is promised is a peak under 150 MiB for
1,000 nodes that are read, and that 10,000 saved snapshots take ten times the time of 1,000 and hardly more memory.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from eidos.build import zipapp_builder
from tests.bench.measure import peak

#: Bytes of a node's snapshot, as JSON, and MiB that the promise allows.
SIZE, PROMISE = 75_000, 150

COUNTS = (125, 250, 500, 1000)

#: Numbers of saved snapshots that are compared.
SAVED_COUNTS = (100, 1_000, 10_000)

#: Every how many-th node has another driver, or one GPU less.
ODD = 97

#: Reads the mark out of what it is sent, and answers.
REACH = """#!/bin/sh
mark=$(sed -n "1{s/.*'\\(--eidos-[0-9a-f]*\\)'.*/\\1/p;q}")
printf '\\n%s begin\\n' "$mark"
sed "s/@NODE@/$1/g" "$0.$(($(echo "$1" | sed 's/^n0*//') % %d ? 0 : 1))"
printf '\\n%s end 0\\n' "$mark"
"""


def document(driver: str) -> str:
    """A snapshot of about SIZE bytes, with @NODE@ for the node's name."""
    data: dict[str, Any] = {f"/proc/sys/net/ipv4/parameter_{number:04}": str(number * 37) for number in range(1200)}
    gpus = [{"subtype": f"gpu-{n}", "data": {"model": "NVIDIA H100 80GB HBM3", "uuid": f"GPU-@NODE@-{n}"}} for n in range(8)]
    tree = {
        "kind": "Snapshot",
        "apiVersion": "snapshot.dgxc.io/v1",
        "metadata": {"snapshot-timestamp": "2026-11-23T06:00:00Z", "snapshot-version": "1", "source-node": "@NODE@"},
        "measurements": [
            {"type": "OS", "subtypes": [{"subtype": "sysctl", "data": {**data, "/proc/sys/kernel/hostname": "@NODE@"}}]},
            {"type": "GPU", "subtypes": [{"subtype": "smi", "data": {"driver": driver, "gpu-count": 8}}, *gpus]},
        ],
        "collectors": [{"name": name, "outcome": "ok", "milliseconds": 1.0} for name in ("os.sysctl", "gpu")],
    }
    return json.dumps(tree, indent=2)


def prepare(folder: Path) -> Path:
    """The program that stands for ssh."""
    reach = folder / "reach"
    reach.write_text(REACH.replace("%d", str(ODD)))
    reach.chmod(0o755)
    for number, driver in enumerate(("580.82.07", "570.86.15")):
        Path(f"{reach}.{number}").write_text(document(driver))
    return reach


def command(pyz: Path, reach: Path, count: int, out: Path) -> list[str]:
    """Ask ``count`` nodes."""
    fleet = ["fleet", "--hosts", f"n[0001-{count:04}]", "--via", f"{reach} {{host}}", "-o", str(out), "--timeout", "5m"]
    return [sys.executable, "-I", "-S", str(pyz), *fleet]


def report(pyz: Path | None, _runs: int) -> None:
    """Print seconds and MiB for each count."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if pyz is None:
            pyz = folder / "eidos.pyz"
            zipapp_builder.main(["-o", str(pyz)])
        reach = prepare(folder)
        print(f"\nfleet: nodes of {len(document('580.82.07')) / 1000:.0f} kB each; promised: {PROMISE} MiB for 1,000")
        for count in COUNTS:
            out = folder / "out"
            began = time.perf_counter()
            kibibytes = peak(command(pyz, reach, count, out))
            seconds = time.perf_counter() - began
            print(f"  {count:5} nodes  {seconds:6.2f} s  {seconds / count * 1000:5.1f} ms a node  {kibibytes / 1024:6.1f} MiB")
            shutil.rmtree(out)
        report_saved(pyz, folder)


def save(folder: Path, count: int) -> None:
    """``count`` snapshots in ``folder``: links to a usual and an odd one, for of the disk nothing is to be measured."""
    folder.mkdir()
    for number, driver in enumerate(("580.82.07", "570.86.15")):
        (folder.parent / f"saved-{number}.json").write_text(document(driver).replace("@NODE@", ""))
    for number in range(1, count + 1):
        os.link(folder.parent / f"saved-{int(number % ODD == 0)}.json", folder / f"n{number:05}.json")


def report_saved(pyz: Path, folder: Path) -> None:
    """Print seconds and MiB for each number of saved snapshots, and what each more costs."""
    print(f"fleet --from: snapshots of {len(document('')) / 1000:.0f} kB each")
    before: tuple[int, float, int] | None = None
    for count in SAVED_COUNTS:
        saved = folder / "saved"
        save(saved, count)
        began = time.perf_counter()
        kibibytes = peak([sys.executable, "-I", "-S", str(pyz), "fleet", "--from", str(saved)])
        seconds = time.perf_counter() - began
        more = ""
        if before:
            added = count - before[0]
            more = f"  each more {(seconds - before[1]) / added * 1000:5.1f} ms, {(kibibytes - before[2]) / added:5.1f} KiB"
        print(f"  {count:6,} nodes  {seconds:7.2f} s  {kibibytes / 1024:6.1f} MiB{more}")
        before = count, seconds, kibibytes
        shutil.rmtree(saved)
