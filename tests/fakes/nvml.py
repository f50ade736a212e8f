"""Builds the fake NVML library, and runs the GPU collector against it in a process of its own.

A process loads one such library for good, so every run is a new one: ``python -m tests.fakes.nvml`` prints what was collected
as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.waiting import AMPLE_S

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).with_name("nvml.c")

#: Of the driver that the library belongs to.
VERSION = "570.86.15"


def build(folder: Path, version: str = VERSION, old: bool = False) -> Path:
    """Compile the library into ``folder`` the way a driver installs it: a versioned file, and a link by the SONAME."""
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"libnvidia-ml.so.{version}"
    flags = ["-DOLD"] if old else []
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-Wl,-soname,libnvidia-ml.so.1", *flags]
    subprocess.run([*command, "-o", str(library), str(SOURCE)], check=True)
    (folder / "libnvidia-ml.so.1").symlink_to(library.name)
    return library


def run(
    *words: str,
    library: Path | None = None,
    root: Path | None = None,
    volatile: bool = False,
    seconds: float = AMPLE_S,
    live: bool = True,
    path: str = "/nonexistent",
    how: str = "collect",
) -> dict[str, Any]:
    """Collect in a new process; ``words`` tell the fake what to do, ``library`` goes into LD_LIBRARY_PATH."""
    environ = {"PATH": path, "FAKE_NVML": " ".join(words)}
    if library is not None:
        environ["LD_LIBRARY_PATH"] = str(library.parent)
    arguments = [how, str(root or "/"), str(volatile), str(seconds), str(live)]
    command = [sys.executable, "-B", "-m", "tests.fakes.nvml", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, env=environ, stdout=subprocess.PIPE, timeout=seconds + AMPLE_S, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _main(how: str, root: str, volatile: str, seconds: str, live: str) -> None:
    import time

    from eidos.collectors import Sources, gpu
    from eidos.errors import EidosError, NotApplicable
    from eidos.files.host import Host
    from eidos.model.measurement import Gap, Subtype

    class Tree(Host):
        """A tree made by hand that passes for the running system, or not."""

        @property
        def is_running_system(self) -> bool:
            return live == "True"

    answer: dict[str, Any] = {"subtypes": {}, "absent": {}, "unreadable": {}, "order": []}
    host = Tree(root)
    if how == "snapshot":
        from eidos.model.record import replace
        from eidos.workflow import SnapshotOptions, take_snapshot

        options = SnapshotOptions(root=root, collectors=("gpu",), volatile=volatile == "True", timeout_s=float(seconds))
        shot = take_snapshot(options, load_collector=lambda _: lambda sources: gpu.collect(replace(sources, host=host)))
        outcome = shot.collectors[0]
        answer["subtypes"] = {subtype.name: subtype.data for subtype in shot.measurements[0].subtypes}
        answer.update(outcome=outcome.outcome, reason=outcome.reason, unreadable=outcome.unreadable, milliseconds=outcome.milliseconds)
    else:
        sources = Sources(host=host, volatile=volatile == "True", deadline=time.monotonic() + float(seconds))
        try:
            for part in gpu.collect(sources):
                if isinstance(part, Subtype):
                    data = answer["subtypes"].setdefault(part.name, {})
                    assert not data.keys() & part.data.keys(), part
                    data.update(part.data)
                    answer["order"] += [part.name] if part.name not in answer["order"] else []
                else:
                    assert isinstance(part, Gap)
                    assert part.what not in answer[part.kind], part
                    answer[part.kind][part.what] = part.why
        except NotApplicable as why:
            answer.update(skipped=why.reason, hint=why.hint)
        except EidosError as fault:
            answer.update(failed=fault.message, hint=fault.hint, code=fault.code)
    answer["modules"] = [name for name in ("ctypes", "ctypes.util", "pynvml", "eidos.nvidia.nvidia_smi") if name in sys.modules]
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    assert os.getcwd() == str(REPOSITORY)
    _main(*sys.argv[1:])
