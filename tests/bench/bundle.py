"""What a bundle costs: the whole command, for a recipe with five components.

Knows the budget of the design; prints figures beside it and asserts nothing.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.bench.measure import alternate, empty_zipapp, interpreters, scratch
from tests.bench.snapshot import build

#: Times an empty zipapp, and MiB.
BUDGET = (4.0, 24)

QUERY = ("--os=ubuntu", "--osv=24.04", "--service=eks", "--k8s=1.33.5", "--gpu=h100", "--intent=training")

COMPONENTS = ("cert-manager", "kube-prometheus-stack", "gpu-operator", "kai-scheduler", "aws-ebs-csi-driver")


def report(pyz: Path | None, runs: int) -> None:
    """Print the ratio per interpreter; each run replaces the bundle of the one before."""
    with scratch() as name:
        folder = Path(name)
        built = pyz or build(folder)
        for version, python in sorted(interpreters().items(), key=lambda item: tuple(map(int, item[0].split(".")))):
            start = [python, "-I", "-S"]
            recipe = folder / "recipe.yaml"
            subprocess.run([*start, str(built), "recipe", *QUERY, "-o", str(recipe)], check=True)
            verb = [str(built), "bundle", "-q", "-f", str(recipe), "-b", ",".join(COMPONENTS)]
            commands = {
                "empty": [*start, str(empty_zipapp(python, folder))],
                "bundle": [*start, *verb, "-o", str(folder / "bundle")],
                "archive": [*start, *verb, "--archive", str(folder / "bundle.tar.gz")],
            }
            figures = alternate(commands, runs)
            floor = figures["empty"].median
            shown = [
                f"{what} {figure.median / floor:.2f}x, {figure.kibibytes / 1024:.1f} MiB, {figure.median * 1000:.1f} ms"
                for what, figure in figures.items()
                if what != "empty"
            ]
            print(f"CPython {version}: {'; '.join(shown)} (budget {BUDGET[0]}x, {BUDGET[1]} MiB)")
