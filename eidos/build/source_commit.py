"""The commit that a build is of, and its time.

Knows git and SOURCE_DATE_EPOCH (reproducible-builds.org/specs/source-date-epoch); must not know what is built. A repository around this
folder is another project's.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

#: What of the project is shipped; the commit counts as dirty when these differ from it.
SHIPPED = ("eidos", "recipes", "templates", "build_zipapp.py", "LICENSE")

#: Where no time is known: 1980-01-01, which the entries of the archive have, in seconds since the epoch.
NO_TIME = 315_532_800


def commit() -> str:
    """HEAD of this folder's own repository, with ``-dirty`` when what is shipped differs from it; ``unknown`` without git."""
    try:
        return _git("rev-parse", "HEAD") + ("-dirty" if _git("status", "--porcelain", "--", *SHIPPED) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def commit_time() -> int:
    """When HEAD was committed, in seconds since the epoch; without git SOURCE_DATE_EPOCH, or else NO_TIME."""
    try:
        return int(_git("log", "-1", "--format=%ct"))
    except (OSError, subprocess.CalledProcessError):
        epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
        return int(epoch) if epoch.isascii() and epoch.isdigit() and len(epoch) < 12 else NO_TIME


def _git(*arguments: str) -> str:
    """What git prints of this folder's own repository. Raises OSError or CalledProcessError where there is none."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def run(*words: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(ROOT), *words]
        return subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()

    if not os.path.samefile(run("rev-parse", "--show-toplevel"), ROOT):
        raise FileNotFoundError(f"{ROOT} is in another project's repository")
    return run(*arguments)
