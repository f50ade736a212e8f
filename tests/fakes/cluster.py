"""A cluster that is a folder: ``kubectl`` and ``helm`` to put before all others on PATH, which record what they were asked.

Each call is a line of ``calls`` (JSON: the words of the command). ``state.json`` is what the cluster holds, and how it misbehaves:

    releases   "namespace/name" -> status, as helm has them
    objects    "kind/name" -> what ``--output jsonpath=…`` prints of it; those that are applied are added by file
    down       true: nothing answers
    fail       list of texts: a call whose words, joined, contain one of them fails and says so; nothing has happened then
    unknown    list of texts: deleting a file whose path contains one of them meets a kind that the cluster does not know
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Cluster:
    """The folder, seen by a test."""

    def __init__(self, folder: Path, **state: Any) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        for tool in ("kubectl", "helm"):
            path = self.bin / tool
            path.write_text(f"#!/bin/sh\nexec '{sys.executable}' -I -S '{Path(__file__).resolve()}' {tool} '{folder}' \"$@\"\n")
            path.chmod(0o755)
        self.change(releases={}, objects={}, down=False, fail=[], unknown=[])
        self.change(**state)

    @property
    def state(self) -> dict[str, Any]:
        """What it holds."""
        path = self.folder / "state.json"
        tree: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return tree

    def change(self, **state: Any) -> None:
        """Set some of what it holds."""
        (self.folder / "state.json").write_text(json.dumps({**self.state, **state}))

    def calls(self) -> list[list[str]]:
        """What was asked since the last time this was."""
        path = self.folder / "calls"
        if not path.exists():
            return []
        lines = path.read_text().splitlines()
        path.unlink()
        return [json.loads(line) for line in lines]

    def environment(self, *, without: str = "") -> dict[str, str]:
        """For running scripts: these tools before all others, or all but one of them and none of the machine's own."""
        if not without:
            return {"PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": str(self.folder)}
        lacking = self.folder / f"without-{without}"
        if not lacking.exists():
            lacking.mkdir()
            for tool in ("bash", "sh", "env", "dirname", "cat"):
                (lacking / tool).symlink_to(f"/usr/bin/{tool}" if os.path.exists(f"/usr/bin/{tool}") else f"/bin/{tool}")
            for tool in ("kubectl", "helm"):
                if tool != without:
                    (lacking / tool).symlink_to(self.bin / tool)
        return {"PATH": str(lacking), "HOME": str(self.folder)}


#: Commands that change a cluster.
CHANGING = {"helm": {"upgrade", "uninstall", "rollback"}, "kubectl": {"apply", "delete", "create"}}


def verb(call: list[str]) -> str:
    """The command of a call, without the options before it."""
    rest = call[1:]
    while rest and rest[0].startswith("-"):
        rest = rest[2:]
    return rest[0] if rest else ""


def changes(calls: list[list[str]]) -> list[list[str]]:
    """Those calls that change something."""
    return [call for call in calls if verb(call) in CHANGING[call[0]]]


def option(call: list[str], name: str, default: str = "") -> str:
    """The word after an option."""
    return call[call.index(name) + 1] if name in call[:-1] else default


def _helm(call: list[str], state: dict[str, Any]) -> int:
    command, namespace = verb(call), option(call, "--namespace", "default")
    releases = state["releases"]
    if command == "list":
        name = option(call, "--filter").strip("^$")
        kinds = {"--deployed": "deployed", "--failed": "failed", "--pending": "pending-install", "--uninstalling": "uninstalling"}
        shown = {status for flag, status in kinds.items() if flag in call} | ({"pending-upgrade"} if "--pending" in call else set())
        if releases.get(f"{namespace}/{name}") in shown:
            print(name)
        return 0
    name = call[call.index(command) + 1]
    if name.startswith("-"):
        name = next(word for word in call[call.index(command) + 1 :] if not word.startswith("-"))
    key = f"{namespace}/{name}"
    if command == "upgrade":
        if "--install" not in call or releases.get(key, "").startswith("pending"):
            print("Error: another operation (install/upgrade/rollback) is in progress", file=sys.stderr)
            return 1
        releases[key] = "deployed"
    elif key not in releases:
        print(f"Error: release: not found: {key}", file=sys.stderr)
        return 1
    elif command == "uninstall":
        del releases[key]
    elif command == "rollback":
        releases[key] = "deployed"
    elif command == "history":
        if releases[key] == "pending-upgrade":
            print("- revision: 1\n  status: deployed")
        print(f"- revision: 2\n  status: {releases[key]}")
    return 0


def _kubectl(call: list[str], state: dict[str, Any]) -> int:
    command, objects = verb(call), state["objects"]
    file = option(call, "--filename")
    if command == "get" and "--raw" not in call:
        name = call[call.index("get") + 1]
        name = f"{name}/{call[call.index('get') + 2]}" if "/" not in name else name
        print(objects.get(name, ""), end="")
    elif command == "create":
        objects[f"namespace/{call[call.index('create') + 2]}"] = "namespace"
    elif command == "apply":
        if not os.path.isfile(file):
            print(f"error: the path {file} does not exist", file=sys.stderr)
            return 1
        objects[f"file/{file}"] = "applied"
    elif command == "delete" and file:
        if any(text in file for text in state["unknown"]):
            print('error: resource mapping not found for name: "x": no matches for kind "X" in version "example.com/v1"', file=sys.stderr)
            return 1
        objects.pop(f"file/{file}", None)
    return 0


def main(tool: str, folder: str, arguments: list[str]) -> int:
    """One call of a tool."""
    call = [tool, *arguments]
    with open(os.path.join(folder, "calls"), "a") as calls:
        calls.write(json.dumps(call) + "\n")
    path = Path(folder) / "state.json"
    state = json.loads(path.read_text())
    if state["down"]:
        print("The connection to the server 192.0.2.1:6443 was refused", file=sys.stderr)
        return 1
    if any(text in " ".join(call) for text in state["fail"]):
        print("Error: told to fail", file=sys.stderr)
        return 1
    status = (_helm if tool == "helm" else _kubectl)(call, state)
    path.write_text(json.dumps(state))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
