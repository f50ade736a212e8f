"""A cluster that is a folder: ``kubectl`` and ``helm`` to put before all others on PATH, which record what they were asked.

Each call is a line of ``calls`` (JSON: the words of the command). ``state.json`` is what the cluster holds, and how it misbehaves:

    releases   "namespace/name" -> status, as helm has them
    made       "namespace/name" -> chart and values of those that were installed here
    foreign    list of "namespace/name": releases without the mark of eidos
    objects    "list/resource" -> what a list of it prints; "file/path" -> who manages what was applied from a file
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
        self.change(releases={}, made={}, foreign=[], objects={}, down=False, fail=[], unknown=[])
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
            for tool in ("sh", "env", "dirname", "cat", "mktemp", "rm"):
                (lacking / tool).symlink_to(f"/usr/bin/{tool}" if os.path.exists(f"/usr/bin/{tool}") else f"/bin/{tool}")
            for tool in ("kubectl", "helm"):
                if tool != without:
                    (lacking / tool).symlink_to(self.bin / tool)
        return {"PATH": str(lacking), "HOME": str(self.folder)}


#: What operators have created, on one node each: kind, name, Pods, generations, manager, release.
WORKLOADS = "D\tDaemonSet\tnvidia-operator-validator\t1\t1\t1\t\t\n"

#: Commands that change a cluster.
CHANGING = {"helm": {"upgrade", "uninstall", "rollback"}, "kubectl": {"apply", "delete", "create", "annotate"}}


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
    releases, made = state["releases"], state["made"]
    if command == "list":
        name = option(call, "--filter").strip("^$")
        kinds = {"--deployed": "deployed", "--failed": "failed", "--pending": "pending-install", "--uninstalling": "uninstalling"}
        shown = {status for flag, status in kinds.items() if flag in call} | ({"pending-upgrade"} if "--pending" in call else set())
        for key, status in releases.items():
            home, _, release = key.partition("/")
            if (
                status in shown
                and (not name or (home, release) == (namespace, name))
                and not ("--selector" in call and key in state["foreign"])
            ):
                chart = made.get(key, {}).get("chart", f"{release}-v0.0.1")
                print(release if "--short" in call else f"- chart: {chart}\n  name: {release}\n  namespace: {home}\n  status: {status}")
        return 0
    if command == "version":
        print("v4.1.4")
        return 0
    if command == "template":
        text = Path(option(call, "--set-file").partition("=")[2]).read_text()
        print(f"# value all\t{json.dumps(text)}")
        return 0
    after = call[call.index(command) + (2 if command == "get" else 1) :]
    name = next(word for word in after if not word.startswith("-"))
    key = f"{namespace}/{name}"
    if command == "upgrade":
        if "--install" not in call or releases.get(key, "").startswith("pending"):
            print("Error: another operation (install/upgrade/rollback) is in progress", file=sys.stderr)
            return 1
        releases[key] = "deployed"
        chart = call[call.index(name) + 1].rpartition("/")[2]
        made[key] = {"chart": f"{chart}-{option(call, '--version')}", "values": Path(option(call, "--values")).read_text()}
    elif key not in releases:
        print(f"Error: release: not found: {key}", file=sys.stderr)
        return 1
    elif command == "get":
        print(made.get(key, {}).get("values", "") if "values" in call else "", end="")
    elif command == "uninstall":
        del releases[key]
        made.pop(key, None)
    elif command == "rollback":
        releases[key] = "deployed"
    elif command == "history":
        if releases[key] == "pending-upgrade":
            print("- revision: 1\n  status: deployed\n- revision: 2\n  status: failed")
        print(f"- revision: 3\n  status: {releases[key]}")
    return 0


def _kubectl(call: list[str], state: dict[str, Any]) -> int:
    command, objects = verb(call), state["objects"]
    file = option(call, "--filename")
    if file and command in ("get", "diff", "apply", "delete") and any(text in file for text in state["unknown"]):
        print('error: resource mapping not found for name: "x": no matches for kind "X" in version "example.com/v1"', file=sys.stderr)
        return 2
    if command == "get" and file:
        if f"file/{file}" in objects:
            print(f"Any/{os.path.basename(file)}\t{objects[f'file/{file}']}")
    elif command == "get" and "--raw" not in call:
        resource = call[call.index("get") + 1]
        if resource == "customresourcedefinitions":
            for name in call[call.index("get") + 2 : call.index("--ignore-not-found")]:
                print(f"{name}\t")
        elif resource == "namespace":
            print(objects.get(f"namespace/{call[call.index('get') + 2]}", ""), end="")
        elif resource == "pods" and "status.phase=Pending" in call:
            print(objects.get("list/pending", ""), end="")
        else:
            print(objects.get(f"list/{resource}", WORKLOADS if resource == "daemonsets,deployments" else ""), end="")
    elif command == "diff":
        if objects.get(f"file/{file}") != "eidos":
            print("--- /tmp/LIVE-1/v1.Any..x\n+++ /tmp/MERGED-1/v1.Any..x\n+spec: 1")
            return 1
    elif command == "label" and "--local" in call:
        sys.stdout.write(Path(file).read_text())
    elif command == "create":
        objects[f"namespace/{call[call.index('create') + 2]}"] = "namespace"
    elif command == "apply":
        if not os.path.isfile(file):
            print(f"error: the path {file} does not exist", file=sys.stderr)
            return 1
        objects[f"file/{file}"] = "eidos"
    elif command == "delete" and file:
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
