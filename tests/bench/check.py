"""What a check costs: of the reference snapshot, beside a recipe for it, and of this host, beside a snapshot.

Knows the budgets of the design; prints figures beside them and asserts nothing.
"""

from __future__ import annotations

from pathlib import Path

from tests.bench.measure import alternate, empty_zipapp, interpreters, scratch
from tests.bench.snapshot import build
from tests.conftest import ROOT

#: Times an empty zipapp, and MiB.
BUDGET = (3.5, 24)

#: Times an empty zipapp that a check of this host may cost beside its snapshot.
BESIDE_SNAPSHOT = 1.5

#: 76 kB of YAML, beside the repository.
REFERENCE = ROOT.parent / "shared" / "fixtures" / "snapshots" / "h100-eks.yaml"


def report(pyz: Path | None, runs: int) -> None:
    """Print the ratio per interpreter."""
    with scratch() as name:
        folder = Path(name)
        built = pyz or build(folder)
        for version, python in sorted(interpreters().items(), key=lambda item: tuple(map(int, item[0].split(".")))):
            start = [python, "-I", "-S"]
            eidos = [*start, str(built)]
            commands = {"empty": [*start, str(empty_zipapp(python, folder))], "snapshot": [*eidos, "snapshot"]}
            commands["check"] = [*eidos, "check", "--fail-on", "never"]
            if REFERENCE.is_file():
                commands["recipe -f"] = [*eidos, "recipe", "-f", str(REFERENCE)]
                commands["check -f"] = [*eidos, "check", "-f", str(REFERENCE), "--fail-on", "never"]
            figures = alternate(commands, runs)
            floor = figures.pop("empty").median
            limits = {"check -f": BUDGET[0], "check": figures["snapshot"].median / floor + BESIDE_SNAPSHOT}
            for command, run in figures.items():
                budget = f" (budget {limits[command]:.2f}x, {BUDGET[1]} MiB)" if command in limits else ""
                print(f"CPython {version}: {command} {run.median / floor:.2f}x, {run.kibibytes / 1024:.1f} MiB{budget}")
