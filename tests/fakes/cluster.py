"""Stand-ins for kubectl and helm: programs that write down how they were called, and remember what is installed.

What is known of the cluster is a folder: ``releases/<namespace>/<release>`` holds ``deployed`` or ``pending``, ``owners/<resource>`` what
kubectl answers about a resource. A file ``fail`` names the beginning of a call that is to fail, ``down`` takes the whole cluster away.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

_PROGRAM = r"""#!{python} -IS
import json, os, pathlib, sys

state = pathlib.Path({state!r})
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]


def flag(flag, default=""):
    return words[words.index(flag) + 1] if flag in words else default


with open(state / "calls", "a") as calls:
    calls.write(json.dumps([name, *words]) + "\n")
failing = (state / "fail").read_text() if (state / "fail").exists() else None
if failing and " ".join([name, *words]).startswith(failing):
    sys.exit(name + ": this was to fail")
if (state / "down").exists():
    sys.exit("connection refused")
releases = state / "releases" / flag("--namespace", "default")
if name == "helm" and words[0] == "list":
    kinds = [word[2:] for word in words if word in ("--deployed", "--pending", "--failed", "--uninstalling")]
    wanted = flag("--filter").strip("^$")
    for path in sorted(releases.glob("*")):
        if path.read_text() in kinds and path.name == wanted:
            print(path.name)
elif name == "helm" and words[0] == "upgrade":
    release = words[2]
    assert words[1] == "--install" and os.path.isfile(flag("--values")), words
    releases.mkdir(parents=True, exist_ok=True)
    (releases / release).write_text("deployed")
elif name == "helm" and words[0] == "uninstall":
    (releases / words[1]).unlink()
elif name == "helm" and words[0] == "history":
    print("- status: pending-install")
elif name == "kubectl" and words[0] == "get" and words[1] != "--raw":
    owner = state / "owners" / words[1].replace("/", "_")
    if owner.exists():
        print(owner.read_text())
elif name == "kubectl" and words[0] in ("apply", "delete") and "--filename" in words:
    assert os.path.isfile(flag("--filename")), words
"""


class Ran(NamedTuple):
    """How a script ended."""

    status: int
    out: str
    err: str


class Cluster:
    """A cluster in a folder, and the programs that speak to it in ``bin``."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.bin = folder / "bin"
        self.state.mkdir(parents=True)
        self.bin.mkdir()
        for name in ("kubectl", "helm"):
            (self.bin / name).write_text(_PROGRAM.replace("{python}", sys.executable).replace("{state!r}", repr(str(self.state))))
            (self.bin / name).chmod(0o755)

    def run(self, script: Path, *arguments: str, cwd: Path | None = None, tools: bool = True) -> Ran:
        """Run a script of a bundle, without a terminal; without ``tools`` neither kubectl nor helm is to be found."""
        path = f"{self.bin}:{os.environ['PATH']}" if tools else self._plain()
        done = subprocess.run(
            [str(script), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={"PATH": path, "HOME": "/nonexistent"},
            cwd=cwd,
            timeout=60,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def _plain(self) -> str:
        """A folder with bash and what scripts need of a system, and nothing else."""
        folder = self.state.parent / "plain"
        if not folder.exists():
            folder.mkdir()
            for name in ("bash", "env", "dirname", "cat"):
                found = next(Path(place, name) for place in os.environ["PATH"].split(":") if Path(place, name).exists())
                (folder / name).symlink_to(found)
        return str(folder)

    def fail(self, call: str | None) -> None:
        """From now on calls that begin with this fail; None: none does."""
        if call is None:
            (self.state / "fail").unlink(missing_ok=True)
        else:
            (self.state / "fail").write_text(call)

    def down(self) -> None:
        """Nothing answers any more."""
        (self.state / "down").touch()

    def own(self, resource: str, owner: str) -> None:
        """Say whose a resource is, as kubectl does."""
        (self.state / "owners").mkdir(exist_ok=True)
        (self.state / "owners" / resource.replace("/", "_")).write_text(owner)

    def calls(self) -> list[list[str]]:
        """Every call so far."""
        path = self.state / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def changes(self) -> list[str]:
        """The calls so far that change something, in short: program, verb and what it is about."""
        found = []
        for name, *words in self.calls():
            if name == "helm" and words[0] in ("upgrade", "uninstall", "rollback"):
                found.append(f"helm {words[0]} {words[2] if words[0] == 'upgrade' else words[1]}")
            elif name == "kubectl" and words[0] in ("apply", "delete", "create"):
                what = Path(words[words.index("--filename") + 1]).name if "--filename" in words else words[2]
                found.append(f"kubectl {words[0]} {what}")
        return found

    def forget(self) -> None:
        """Forget the calls, keep the cluster."""
        (self.state / "calls").unlink(missing_ok=True)

    def releases(self) -> list[str]:
        """What is installed: namespace/release."""
        return sorted(str(path.relative_to(self.state / "releases")) for path in (self.state / "releases").glob("*/*"))
