"""Every call of NVML fails in turn with every error, and each time every key is read or accounted for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eidos.model.measurement import ABSENT, UNREADABLE
from eidos.nvidia import nvml, nvml_readings
from tests.fakes import nvml as fake

KEYS = [key for fact in nvml_readings.CONFIGURATION for key in fact.keys] + ["pci.numa-node"]
VOLATILE_KEYS = [key for fact in nvml_readings.VOLATILE for key in fact.keys]

_SWEEP = """
import ctypes, json, sys
from eidos.collectors import Sources, gpu
from eidos.errors import EidosError, NotApplicable
from eidos.files.host import Host
from eidos.model.measurement import Gap, Subtype

told = ctypes.CDLL("libnvidia-ml.so.1").fake_nvml
calls, statuses = json.loads(sys.argv[1]), json.loads(sys.argv[2])

def run(words):
    told(words.encode())
    subtypes, gaps = {}, {}
    try:
        for part in gpu.collect(Sources(host=Host("/"), volatile=True)):
            if isinstance(part, Gap):
                gaps[part.what] = part.kind
            else:
                subtypes[part.name] = list(part.data)
    except NotApplicable:
        return {"failed": "NotApplicable", "status": 9}
    except EidosError as fault:
        return {"failed": type(fault).__name__, "status": fault.status}
    return {"subtypes": subtypes, "gaps": gaps}

json.dump({f"{call}:{status}": run(f"gpus=1 fail={call}:{status}") for call in calls for status in statuses}, sys.stdout)
"""


@pytest.mark.slow
def test_every_call_fails_in_turn_with_every_error(tmp_path: Path) -> None:
    library = fake.build(tmp_path)
    source = fake.SOURCE.read_text()
    calls = sorted({name for name in _functions(source) if name not in ("nvmlShutdown", "nvmlErrorString")})
    assert len(calls) > 50
    statuses = [*range(31), 77, 999]
    command = [sys.executable, "-B", "-c", _SWEEP, json.dumps(calls), json.dumps(statuses)]
    environ = {"LD_LIBRARY_PATH": str(library.parent), "PATH": "/nonexistent"}
    done = subprocess.run(command, cwd=fake.REPOSITORY, env=environ, stdout=subprocess.PIPE, check=True, timeout=100)
    runs: dict[str, dict[str, Any]] = json.loads(done.stdout)
    usual = runs[f"{calls[0]}:0"]
    touched = set()
    for case, run in runs.items():
        call, _, text = case.partition(":")
        status = int(text)
        if call == "nvmlInitWithFlags" and status:
            if "failed" not in run:
                continue  # this machine has an nvidia-smi that answered instead
            assert run["status"] == status, case
            assert run["failed"] == "NvmlError" or status == 9, case
            continue
        if call == "nvmlDeviceGetHandleByIndex_v2" and status:
            assert run["gaps"]["gpu-0"] == UNREADABLE
            continue
        if call == "nvmlDeviceGetCount_v2" and status:
            assert run["gaps"]["smi/gpu-count"] in (ABSENT, UNREADABLE)
            continue
        if status == 0:
            assert run == usual, case
            continue
        for name, keys in (("gpu-0", KEYS), ("gpu-0.volatile", VOLATILE_KEYS)):
            spoken = {*run["subtypes"][name], *(gap.partition("/")[2] for gap in run["gaps"] if gap.startswith(name + "/"))}
            assert spoken == set(keys), case
        new = {gap: kind for gap, kind in run["gaps"].items() if gap not in usual["gaps"]}
        touched |= {call} if new else set()
        # A driver that does not know a field answers that the argument is invalid.
        is_absent = status in nvml.ABSENT_STATUSES or (call == "nvmlDeviceGetFieldValues" and status == nvml.INVALID_ARGUMENT)
        expected = ABSENT if is_absent else UNREADABLE
        assert {kind for gap, kind in new.items() if gap != "0000:10:00.0"} <= {expected}, (case, new)
    silent = set(calls) - touched - {"nvmlInitWithFlags", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2"}
    # These fail into a second way to the same reading, or are absent on this GPU anyway, or are asked while MIG is on or of
    # a second GPU only.
    assert silent == {
        "nvmlDeviceGetMaxMigDeviceCount",
        "nvmlDeviceGetMigDeviceHandleByIndex",
        "nvmlDeviceGetNumaNodeId",
        "nvmlDeviceGetP2PStatus",
        "nvmlDeviceGetTopologyCommonAncestor",
        "nvmlDeviceGetRetiredPages",
        "nvmlDeviceGetRetiredPagesPendingStatus",
    }


def _functions(source: str) -> list[str]:
    """The functions that the library of a current driver has."""
    current = source.partition("#ifdef OLD\nGPU")[0] + source.partition("#else\nGPU")[2]
    words = current.replace("(", " ( ").replace(",", " ( ").split()
    return [
        word for word, after in zip(words, words[1:]) if after == "(" and word[:5] in ("nvmlI", "nvmlS", "nvmlD") and word.isidentifier()
    ]
