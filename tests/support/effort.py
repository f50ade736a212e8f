"""How much work the tests do: how many examples a law is tried with, and which cases of a whole grid are run.

Knows the marks ``slow`` and ``exhaustive`` and hypothesis's profiles; must not know any test.

========  ============================  ===========================  ====================  ==================
effort    slow tests                    cases marked ``exhaustive``  cases of other tests  examples of a law
========  ============================  ===========================  ====================  ==================
smoke     as fast, of every fifth test
fast      none, nor the built file's    one                          one                   a tenth
normal    none                          a sample                     all                   a quarter
thorough  all                           a sample                     all                   as written
all       all                           all                          all                   ten times as many
========  ============================  ===========================  ====================  ==================

The seed draws the sample and the cases. Examples are the same in each run up to normal effort, and others each time above. The
build of the file alone takes longer than most tests. What runs under each interpreter runs under the oldest and the running one at
normal effort.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

#: Fixtures that build the file, or run it under each interpreter.
BUILT = {"pyz", "agent_pyz", "server_pyz", "python"}

#: The oldest interpreter and the running one.
USUAL_INTERPRETERS = {"3.9", f"{sys.version_info.major}.{sys.version_info.minor}"}

#: Efforts at which one case of a test is enough; the first is that of ``python3 -m tests --fast``.
QUICK = ("smoke", "fast")

EFFORTS = {"smoke": 0.1, "fast": 0.1, "normal": 0.25, "thorough": 1.0, "all": 10.0}

_factor = 1.0


def set_effort(effort: str) -> None:
    """Decide for this process; modules of tests are imported afterwards."""
    global _factor  # noqa: PLW0603 - decorators of tests ask while their modules are imported
    _factor = EFFORTS[effort]
    settings.register_profile(
        "eidos",
        deadline=None,  # no law is about time
        suppress_health_check=[HealthCheck.too_slow],
        max_examples=examples(100),
        print_blob=True,
        derandomize=effort in (*QUICK, "normal"),
    )
    settings.load_profile("eidos")


def examples(count: int) -> int:
    """How many examples a law is tried with that wants ``count`` of them at thorough effort."""
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
    is_quick = effort in QUICK
    grids: dict[tuple[str, int], list[pytest.Item]] = defaultdict(list)
    for item in items:
        slow = item.get_closest_marker("slow") is not None
        if (slow and (is_quick or effort == "normal")) or (is_quick and BUILT & set(getattr(item, "fixturenames", ()))):
            out.add(item)
            continue
        if effort == "normal" and params(item).get("python", "3.9") not in USUAL_INTERPRETERS:
            out.add(item)
            continue
        mark = item.get_closest_marker("exhaustive")
        test = item.nodeid.partition("[")[0]
        if mark and effort != "all":
            size = 1 if is_quick else int(mark.kwargs["sample"])
            grids[mark.kwargs.get("group") or test, size].append(item)
        elif is_quick:
            grids[test, 1].append(item)
    for (name, size), grid in grids.items():
        draw = random.Random(f"{seed} {name}")
        if effort == "smoke" and draw.random() < 0.8:
            size = 0
        out.update(set(grid) - set(draw.sample(grid, min(size, len(grid)))))
    return out


def params(item: pytest.Item) -> dict[str, object]:
    """Argument or fixture → value of a case."""
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec else {}
