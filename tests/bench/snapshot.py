"""What a start and a snapshot cost.

Knows the budgets of the design; must not fail because a machine is slow: it prints figure beside budget.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench.measure import alternate, empty_zipapp, interpreters, peak, percentile, scratch
from tests.support.node_tree import MACHINES, write_node_tree

ROOT = Path(__file__).resolve().parents[2]

#: verb → (times an empty zipapp, MiB)
BUDGETS = {"--version": (1.35, 14), "snapshot": (4.2, 24), "snapshot of the first collectors": (3.0, 22), "snapshot of a DGX": (8.0, 24)}

#: collector → milliseconds of the first design
FIRST_DESIGN = {"systemd": "5-20", "gpu": "10-30", "os.grub": "1-5", "os.sysctl": "1-5", "serialise": "1-10", "all": "p99 < 100"}

#: The collectors of the first design.
FIRST_COLLECTORS = "os.grub,os.kmod,os.release,os.sysctl,systemd,gpu"

#: What a host without a GPU and without a cluster does.
PLAIN = ("snapshot", "-o", "-", "--quiet", "--skip", "k8s")


def report(pyz: Path | None, runs: int) -> None:
    """Print ratios per interpreter, percentiles of 100 snapshots, and the comparison with nvidia-smi where there is one."""
    with scratch() as name:
        folder = Path(name)
        built = pyz or build(folder)
        for version, python in sorted(interpreters().items(), key=lambda item: tuple(map(int, item[0].split(".")))):
            ratios(version, python, built, folder, runs)
        percentiles(built, min(100, 5 * runs))
        against_nvidia_smi(built, runs)


def build(folder: Path) -> Path:
    """A full build in ``folder``."""
    target = folder / "eidos.pyz"
    subprocess.run([sys.executable, str(ROOT / "build_zipapp.py"), "-o", str(target)], check=True, stdout=subprocess.DEVNULL)
    return target


def ratios(version: str, python: str, pyz: Path, folder: Path, runs: int) -> None:
    """Times an empty zipapp, and memory, of each verb on one interpreter."""
    start = [python, "-I", "-S"]
    commands = {"empty": [*start, str(empty_zipapp(python, folder))]}
    commands["--version"] = [*start, str(pyz), "--version"]
    commands["snapshot"] = [*start, str(pyz), *PLAIN]
    commands["snapshot of the first collectors"] = [*start, str(pyz), "snapshot", "-o", "-", "--quiet", "--only", FIRST_COLLECTORS]
    tree = folder / "dgx"
    if not tree.exists():
        write_node_tree(tree, MACHINES["NVIDIA DGX H100"], with_each_cpu=True)
    commands["snapshot of a DGX"] = [*start, str(pyz), *PLAIN, "--root", str(tree)]
    figures = alternate(commands, runs)
    floor = figures["empty"].median
    print(f"\nCPython {version}: an empty zipapp takes {floor * 1000:.1f} ms and {figures['empty'].kibibytes / 1024:.1f} MiB")
    for verb, (times, mebibytes) in BUDGETS.items():
        figure = figures[verb]
        print(
            f"  {verb:<32} {figure.median / floor:5.2f}x (budget {times:.2f}x)   "
            f"{figure.kibibytes / 1024:5.1f} MiB (budget {mebibytes} MiB)   {figure.median * 1000:6.1f} ms"
        )


def percentiles(pyz: Path, count: int) -> None:
    """p50 and p99 of ``count`` snapshots: whole, per collector, and serialisation, as the program itself logs them."""
    import time

    samples: dict[str, list[float]] = {"all": []}
    command = [sys.executable, "-I", "-S", str(pyz), "snapshot", "-o", "-", "--log-format", "json", "--log-level", "debug"]
    for _ in range(count):
        began = time.perf_counter()
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
        samples["all"].append((time.perf_counter() - began) * 1000)
        for line in done.stderr.splitlines():
            entry = json.loads(line)
            if "duration_ms" in entry:
                samples.setdefault(entry.get("collector", entry["msg"]), []).append(entry["duration_ms"])
    print(f"\n{count} snapshots, CPython {sys.version.split()[0]}, milliseconds:")
    print(f"  {'what':<14}{'p50':>8}{'p99':>8}   first design")
    for what, values in samples.items():
        print(f"  {what:<14}{percentile(values, 0.5):>8.1f}{percentile(values, 0.99):>8.1f}   {FIRST_DESIGN.get(what, '')}")


def against_nvidia_smi(pyz: Path, runs: int) -> None:
    """How often a snapshot of all GPUs fits into one ``nvidia-smi -q -x``."""
    program = shutil.which("nvidia-smi")
    if not program:
        print("\nno nvidia-smi here: the comparison with it did not run")
        return
    commands = {"smi": [program, "-q", "-x"], "eidos": [sys.executable, "-I", "-S", str(pyz), "snapshot", "--quiet", "-o", "-"]}
    figures = alternate(commands, max(5, runs // 4))
    smi, ours = figures["smi"].median, figures["eidos"].median
    memory = peak(commands["eidos"]) / 1024
    print(f"\nnvidia-smi -q -x {smi * 1000:.0f} ms, a complete snapshot {ours * 1000:.0f} ms, {memory:.1f} MiB")
    print(f"  {smi / ours:.1f}x as fast (wanted: 5x with eight GPUs)")
