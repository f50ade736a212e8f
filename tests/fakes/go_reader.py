"""Go's own readers of YAML and JSON as a process to ask.

Knows how yaml_v3.go is built and spoken to; must not know what is asked. It needs a Go compiler and the source of
gopkg.in/yaml.v3 where Debian's golang-gopkg-yaml.v3-dev puts it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("yaml_v3.go")
GOPATH = Path("/usr/share/gocode")


def why_missing() -> str | None:
    """What is not installed here, or None."""
    if shutil.which("go") is None:
        return "no Go compiler (package golang-go)"
    if not (GOPATH / "src/gopkg.in/yaml.v3").is_dir():
        return "no source of yaml.v3 (package golang-gopkg-yaml.v3-dev)"
    return None


class GoReader:
    """A running reader; ``close`` ends it."""

    def __init__(self, folder: Path) -> None:
        program = folder / "yaml_v3"
        settings = {"GO111MODULE": "off", "GOPATH": str(GOPATH), "GOCACHE": str(folder / "cache"), "GOFLAGS": ""}
        subprocess.run(["go", "build", "-o", str(program), str(SOURCE)], check=True, env={**os.environ, **settings})
        self._process = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read(self, kind: str, text: str) -> Any:
        """The tree that Go reads in ``text`` (``kind`` is yaml or json); ValueError when it refuses."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([kind, text]).encode() + b"\n")
        self._process.stdin.flush()
        return _untyped(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)


class Time(str):
    """What Go took for a date."""

    __slots__ = ()


def _untyped(answer: list[Any]) -> Any:
    kind, *rest = answer
    if kind == "map":
        return {_untyped(key): _untyped(value) for key, value in rest}
    if kind == "seq":
        return [_untyped(item) for item in rest]
    if kind == "error":
        raise ValueError(rest[0])
    if kind == "null":
        return None
    if kind == "bool":
        return rest[0] == "true"
    readers: dict[str, Any] = {"str": str, "int": int, "float": float, "time": Time}
    return readers[kind](rest[0])
