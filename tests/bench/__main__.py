"""``python3 -m tests.bench [VERB …] [--pyz FILE] [--runs N] [--full]``: figures, as ratios in one run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.bench import bundle, check, diff, documents, fleet, kube, recipe, serve, snapshot

VERBS = {
    "snapshot": snapshot.report,
    "recipe": recipe.report,
    "check": check.report,
    "diff": diff.report,
    "bundle": bundle.report,
    "documents": documents.report,
    "serve": serve.report,
    "fleet": fleet.report,
    "kube": kube.report,
}

#: What takes minutes.
SLOW = ("serve", "fleet", "kube")


def main() -> int:
    """Measure what was asked for, and print it."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.bench", description=__doc__)
    parser.add_argument(
        "verbs", nargs="*", choices=[*VERBS, []], help="what to measure (default: all but serve, fleet and kube, which take minutes)"
    )
    parser.add_argument("--pyz", type=Path, help="a built file (default: build one)")
    parser.add_argument("--runs", type=int, default=41, help="runs of each command (default: 41)")
    parser.add_argument("--full", action="store_true", help="serve: run as long as what is promised says")
    options = parser.parse_args()
    for verb in options.verbs or [verb for verb in VERBS if verb not in SLOW]:
        VERBS[verb](options.pyz, options.runs, **({"full": options.full} if verb == "serve" else {}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
