"""``python3 -m tests.bench [snapshot] [recipe] [bundle] [--pyz FILE] [--runs N]``: figures, as ratios in one run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.bench import bundle, recipe, snapshot

VERBS = {"snapshot": snapshot.report, "recipe": recipe.report, "bundle": bundle.report}


def main() -> int:
    """Measure what was asked for, and print it."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.bench", description=__doc__)
    parser.add_argument("verbs", nargs="*", choices=[*VERBS, []], help="what to measure (default: everything)")
    parser.add_argument("--pyz", type=Path, help="a built file (default: build one)")
    parser.add_argument("--runs", type=int, default=41, help="runs of each command (default: 41)")
    options = parser.parse_args()
    for verb in options.verbs or VERBS:
        VERBS[verb](options.pyz, options.runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
