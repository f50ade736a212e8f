"""Paths that a flag, an operand or a variable names on a file system that never answers: each is an error, within its deadline.

The file system is FUSE without a program behind it, in a mount namespace of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.program import PROGRAM, eidos, environment

#: Mounts the file system at argv[1] and runs the command lines of argv[2] (JSON: words and variables) at once; prints how each ended.
SCRIPT = """
import ctypes, json, os, subprocess, sys
folder, lines, program = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
fd = os.open("/dev/fuse", os.O_RDWR)
data = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
if ctypes.CDLL(None).mount(b"none", folder.encode(), b"fuse.none", 0, data):
    sys.exit("mount")
pipe = subprocess.PIPE
runs = [
    subprocess.Popen([*program, *words], env={**os.environ, **more}, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)
    for words, more in lines
]
results = []
try:
    for run in runs:
        out, err = run.communicate(timeout=90)
        results.append((run.returncode, out, err))
except subprocess.TimeoutExpired:
    results.append((None, "", "it hangs"))
finally:
    os.close(fd)  # ends whatever waits
print(json.dumps(results))
"""

QUERY = ("--gpu", "h100", "--intent", "training")


def cases(dead: str, link: str) -> list[tuple[list[str], dict[str, str], str]]:
    """Words and variables of command lines, and what the message begins with."""
    return [
        (["recipe", "-f", dead], {}, "--file"),
        (["recipe", "-f", link], {}, "--file"),
        (["recipe", *QUERY, "--data", dead], {}, "--data"),
        (["recipe", *QUERY, "-o", dead], {}, "--output"),
        (["bundle", "-f", "recipe.yaml", "--values", f"gpu-operator={dead}"], {}, "--values"),
        (["recipe", *QUERY, "--plugin", dead], {}, "--plugin"),
        (["check", "-f", "node.yaml"], {"EIDOS_RECIPE": dead}, "EIDOS_RECIPE"),
        (["check", "-f", "cm://gpu/node", "--timeout", "1s"], {"KUBECONFIG": dead}, "kubeconfig"),
        (["diff", "a.yaml", dead], {}, "b"),
        (["verify", dead], {}, "bundle"),
        (["verify", "bundle", "--key", link], {}, "--key"),
        (["sign", "bundle", "--key", dead], {}, "--key"),
        (["fleet", "--hosts", dead], {}, "--hosts"),
        (["push", "bundle", "oci://192.0.2.1/a:b", "--ca-file", dead], {}, "--ca-file"),
    ]


@pytest.mark.root
@pytest.mark.slow
def test_a_path_that_never_answers_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dead").mkdir()
    (tmp_path / "link").symlink_to("way")
    (tmp_path / "way").symlink_to(tmp_path / "dead")
    assert eidos("recipe", *QUERY, "-o", "recipe.yaml", cwd=tmp_path).status == 0
    expected = cases(str(tmp_path / "dead" / "file"), str(tmp_path / "link" / ".." / "link" / "file"))
    script = [sys.executable, "-c", SCRIPT, str(tmp_path / "dead"), json.dumps([case[:2] for case in expected]), json.dumps(PROGRAM)]
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and unshare")
    done = subprocess.run(
        ["unshare", "--mount", *script], env=environment(), cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode and any(word in done.stderr for word in ("mount", "/dev/fuse", "not permitted")):
        pytest.skip(f"no FUSE here: {done.stderr.splitlines()[-1]}")
    results = json.loads(done.stdout)
    for (words, _, origin), (status, out, err) in zip(expected, results):
        assert (status, out) == (124, ""), (words, err)
        assert err.startswith(f"error: {origin}: timed out reading the file system at "), words
        assert err.endswith("hint: check that its file server is up\n"), words
    assert len(results) == len(expected)
