"""What a difference costs: the whole command, for the reference snapshot and one that has another driver and another kernel parameter.

Knows the budget of the design; prints figures beside it and asserts nothing.
"""

from __future__ import annotations

from pathlib import Path

from tests.bench.check import REFERENCE
from tests.bench.measure import alternate, empty_zipapp, interpreters, scratch
from tests.bench.snapshot import build

#: Times an empty zipapp, and MiB.
BUDGET = (4.0, 24)

#: What the other snapshot has in place of what the first has.
CHANGES = (("driver: 570.133.20", "driver: 570.148.08"), ('swappiness: "60"', 'swappiness: "10"'))


def report(pyz: Path | None, runs: int) -> None:
    """Print the ratio per interpreter, if the reference snapshot is there."""
    if not REFERENCE.is_file():
        print(f"diff: no {REFERENCE} here")
        return
    with scratch() as name:
        folder = Path(name)
        built = pyz or build(folder)
        text, other = REFERENCE.read_text(), folder / "other.yaml"
        for old, new in CHANGES:
            text = text.replace(old, new)
        other.write_text(text)
        for version, python in sorted(interpreters().items(), key=lambda item: tuple(map(int, item[0].split(".")))):
            start = [python, "-I", "-S"]
            commands = {"empty": [*start, str(empty_zipapp(python, folder))]}
            commands["diff"] = [*start, str(built), "diff", str(REFERENCE), str(other)]
            figures = alternate(commands, runs)
            run, floor = figures["diff"], figures["empty"].median
            print(
                f"CPython {version}: diff of {len(text) / 1000:.0f} kB of YAML {run.median / floor:.2f}x (budget {BUDGET[0]}x), "
                f"{run.kibibytes / 1024:.1f} MiB (budget {BUDGET[1]} MiB), {run.median * 1000:.1f} ms"
            )
