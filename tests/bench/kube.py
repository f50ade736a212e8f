"""What a large cluster costs: memory and time of its images being read, as ratios; and the table of faults.

Knows what the design promises; asserts nothing but that all was read: it prints figure beside promise.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.measure import peak, scratch
from tests.bench.snapshot import build
from tests.fakes.apiserver import ApiServer
from tests.fakes.pods import IMAGES, pod
from tests.support.program import environment

#: Pods in one cluster after the other, and one page of them.
SIZES, PAGE = (1_000, 2_500, 5_000, 10_000), 250

#: MiB: the most that ten thousand pods may take over one page of them, and altogether.
OVER, LIMIT = 8, 42

#: MiB that no process takes less than once it has spoken TLS.
LEAST = 18


def command(pyz: Path, folder: Path) -> list[str]:
    """The run that is measured: all images of a cluster."""
    arguments = ["snapshot", "--only", "k8s.image", "--quiet", "--timeout", "120s", "--format", "json", "-o", "-"]
    return [sys.executable, "-I", "-S", str(pyz), *arguments, "--kubeconfig", str(folder / "kubeconfig")]


def measured(pyz: Path, folder: Path, sizes: tuple[int, ...], runs: int) -> dict[int, tuple[float, int]]:
    """Number of pods → median seconds and peak KiB, in turns. Raises AssertionError when images are missing."""
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    memory: dict[int, int] = {}
    with ApiServer() as server:
        server.kubeconfig(folder)
        run = command(pyz, folder)
        for turn in range(runs):
            for size in sizes:
                server.make("/api/v1/pods", size, pod)
                server.requests.clear()
                if turn == 0:
                    memory[size] = peak(run, environment())
                    continue
                began = time.perf_counter()
                done = subprocess.run(run, stdout=subprocess.PIPE, env=environment(), check=True)
                seconds[size].append(time.perf_counter() - began)
                assert len(server.requests) == -(-size // PAGE), "pages are missing"
                kinds = {each["subtype"]: each["data"] for each in json.loads(done.stdout)["measurements"][0]["subtypes"]}
                assert len(kinds["image"]) >= 3, f"of {IMAGES} images there are {kinds.keys()}"
    return {size: (statistics.median(seconds[size]) if seconds[size] else 0.0, memory[size]) for size in sizes}


def report(pyz: Path | None, runs: int) -> None:
    """Print memory and time, then the faults."""
    with scratch() as name:
        folder = Path(name)
        series = measured(pyz or build(folder), folder, (PAGE, *SIZES), min(5, max(2, runs // 8)) + 1)
    least, total = series[PAGE][1] / 1024, series[SIZES[-1]][1] / 1024
    print(f"kube: the images of pods of {len(pod(0)):,} bytes, pages of {PAGE}, CPython {sys.version.split()[0]}")
    first = series[SIZES[0]][0] - series[PAGE][0]
    for size, (seconds, kibibytes) in series.items():
        grows = (
            f"   {(seconds - series[PAGE][0]) / first:5.2f}x the time of {SIZES[0]:,} (linear: {(size - PAGE) / (SIZES[0] - PAGE):5.2f}x)"
        )
        print(f"  {size:>6,} pods {kibibytes / 1024:6.1f} MiB {seconds * 1000:8.0f} ms{grows if size > PAGE else ''}")
    print(f"  {SIZES[-1]:,} take {total - least:+.1f} MiB (at most {OVER}) over {PAGE}, {total:.1f} MiB in all (at most {LIMIT})")
    from tests.kube import test_faults

    print("\n" + test_faults.table())
