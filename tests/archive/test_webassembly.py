"""The built file under CPython 3.14 as WebAssembly: the documents are those of the Python that runs the tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tools import find_pyodide

pytestmark = pytest.mark.slow

QUERY = ("--os=ubuntu", "--osv=24.04", "--service=gke", "--k8s=1.34", "--gpu=h100", "--intent=inference")

#: Runs the file whose path is first among the arguments; it ends as a program does, by an exception or by ``os._exit``.
NODE = """
import { loadPyodide } from "PACKAGE/pyodide.mjs";
const python = await loadPyodide({ indexURL: "PACKAGE/" });
python.FS.mkdirTree("/host");
python.FS.mount(python.FS.filesystems.NODEFS, { root: "/" }, "/host");
python.globals.set("words", python.toPy(process.argv.slice(2)));
try {
  process.exitCode = python.runPython(`
import os, runpy, sys
os.chdir("/host" + words[0])
sys.argv = ["/host" + words[1], *words[2:]]
sys.path.insert(0, sys.argv[0])
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
    status = 0
except SystemExit as end:
    status = end.code or 0
sys.stdout.flush()
status`);
} catch (end) {
  if (end.name !== "Exit") throw end;
  process.exitCode = end.status;
}
"""


@pytest.fixture(scope="module")
def webassembly(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node (on Debian: apt-get install nodejs)")
    script = tmp_path_factory.mktemp("node") / "run.mjs"
    script.write_text(NODE.replace("PACKAGE", str(find_pyodide(pytestconfig))))
    return [node, str(script)]


def test_cpython_3_14_makes_the_same_documents(webassembly: list[str], pyz: Path, tmp_path: Path) -> None:
    def run(command: list[str], *arguments: str) -> bytes:
        done = subprocess.run([*command, str(pyz), *arguments], cwd=tmp_path, capture_output=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        return done.stdout

    native, webassembly = [sys.executable, "-I", "-S"], [*webassembly, str(tmp_path)]
    assert b"python   3.14." in run(webassembly, "--version")
    recipe = run(native, "recipe", *QUERY)
    assert run(webassembly, "recipe", *QUERY) == recipe
    (tmp_path / "recipe.yaml").write_bytes(recipe)
    for name, command in (("native", native), ("webassembly", webassembly)):
        run(command, "bundle", "-q", "-f", "recipe.yaml", "-o", name)
    run(native, "diff", "native", "webassembly", "--exit-code")
    assert run(webassembly, "verify", "native") == run(native, "verify", "native")
