"""How much work the tests do: how many examples a law is tried with, and which cases of a whole grid are run.

Knows the marks ``slow`` and ``exhaustive`` and hypothesis's profiles; must not know any test.

======  =========================  ===========================  ==================
effort  slow tests                 cases marked ``exhaustive``  examples of a law
======  =========================  ===========================  ==================
fast    left out                   one, drawn by the seed       a tenth
normal  run                        a sample, drawn by the seed  as written
all     run                        run                          ten times as many
======  =========================  ===========================  ==================

Slow is what is marked so, and what runs the built file: its build alone takes longer than most tests.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

#: Fixtures that build the file, or run it under each interpreter.
BUILT = {"pyz", "slim", "python"}

EFFORTS = {"fast": 0.1, "normal": 1.0, "all": 10.0}

_factor = 1.0


def set_effort(effort: str) -> None:
    """Decide for this process; modules of tests are imported afterwards."""
    global _factor  # noqa: PLW0603 - decorators of tests ask while their modules are imported
    _factor = EFFORTS[effort]
    # No law is about time. The profile that hypothesis would take in CI draws the same examples in every run.
    slow_machine = [HealthCheck.too_slow]
    settings.register_profile("eidos", deadline=None, suppress_health_check=slow_machine, max_examples=examples(100), print_blob=True)
    settings.load_profile("eidos")


def examples(count: int) -> int:
    """How many examples a law is tried with that wants ``count`` of them at normal effort."""
    return max(5, round(count * _factor))


def default_seed(root: Path) -> int:
    """A number that changes with the commit and with nothing else; 0 outside a repository."""
    command = ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", "HEAD"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env={"PATH": os.environ["PATH"]}, check=False)
    except OSError:
        return 0
    return int(done.stdout[:8] or b"0", 16)


def left_out(items: list[pytest.Item], effort: str, seed: int) -> set[pytest.Item]:
    """Those that are not run at this effort."""
    out: set[pytest.Item] = set()
    grids: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if effort == "fast" and (item.get_closest_marker("slow") or BUILT & set(getattr(item, "fixturenames", ()))):
            out.add(item)
        mark = item.get_closest_marker("exhaustive")
        if mark:
            grids[mark.kwargs.get("group") or item.nodeid.partition("[")[0]].append(item)
    if effort != "all":
        for name, grid in grids.items():
            mark = grid[0].get_closest_marker("exhaustive")
            size = int(mark.kwargs["sample"]) if mark and effort == "normal" else 1
            out.update(set(grid) - set(random.Random(f"{seed} {name}").sample(grid, min(size, len(grid)))))
    return out
