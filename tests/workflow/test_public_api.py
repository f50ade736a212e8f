"""The public API: ``import eidos`` is enough for a program of somebody else, from a checkout and from the built file."""

from __future__ import annotations

import ast
import inspect
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import eidos
from tests.conftest import ROOT

#: Uses nothing of eidos but its public names; prints what it made.
PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
import eidos, eidos.log

lines = []
eidos.log.divert(lambda level, message, fields: lines.append(f"{level}: {message}"))
assert not eidos.take_snapshot(eidos.SnapshotOptions(root=sys.argv[2], collectors=("gpu",), timeout_s=60.0)).measurements[0].subtypes
assert lines and lines[0].startswith("warn: gpu: skipped: "), lines
try:
    eidos.take_snapshot(eidos.SnapshotOptions(root="/no/such/folder", timeout_s=60.0))
except eidos.NotFound as fault:
    assert fault.hint
eidos.log.divert(None)
eidos.log.configure("error")
complete = eidos.take_snapshot(eidos.SnapshotOptions(root=sys.argv[2], timeout_s=60.0))
assert eidos.parse_snapshot(eidos.to_yaml(complete.to_tree())) == complete

options = eidos.SnapshotOptions(root=sys.argv[2], collectors=("os.grub", "os.release"), timeout_s=60.0)
snapshot = eidos.take_snapshot(options)
assert {outcome.outcome for outcome in snapshot.collectors} == {"ok"}, snapshot.collectors
text = eidos.to_yaml(snapshot.to_tree())
assert eidos.parse_snapshot(text, "node.yaml") == eidos.parse_snapshot(eidos.to_json(snapshot.to_tree())) == snapshot

recipe = eidos.make_recipe({"gpu": "h100", "intent": "training"}, snapshot=snapshot)
assert isinstance(recipe.request, eidos.Query) and recipe.request.os == "debian"
again = eidos.parse_recipe(eidos.to_yaml(recipe.to_tree()), "recipe.yaml")
assert isinstance(again, eidos.Recipe) and again.to_tree() == recipe.to_tree()

bundle = eidos.make_bundle(again)
assert isinstance(bundle, eidos.Bundle) and not bundle.errors
options = eidos.BundleOptions(
    components=("gpu-operator",),
    assignments=(eidos.parse_assignment("gpu-operator:mig.strategy=mixed"), eidos.Assignment("cert-manager", "enabled", "false")),
    values=(eidos.ComponentValues("gpu-operator", {"driver": {"enabled": False}}),),
    namespaces={"": "gpu"},
    registry="mirror.example.com/x",
    accelerated_tolerations=(eidos.parse_toleration("nvidia.com/gpu=present:NoSchedule"),),
)
assert "cert-manager/values.yaml" not in eidos.make_bundle(again, options).files
try:
    eidos.make_bundle(again, eidos.BundleOptions(namespaces={"": "Not A Namespace"}))
except eidos.InvalidInput as fault:
    assert fault.hint
folder, archive = sys.argv[3] + "/bundle", sys.argv[3] + "/bundle.tar.gz"
eidos.write_bundle(bundle, folder)
with open(archive, "wb") as file:
    file.write(eidos.pack_bundle(bundle))
assert not eidos.verify_bundle(folder) and not eidos.verify_bundle(archive)
with open(folder + "/README.md", "a") as file:
    file.write("changed")
(problem,) = eidos.verify_bundle(folder)
assert isinstance(problem, eidos.BundleProblem) and problem.kind == "changed"

try:
    eidos.make_recipe({"gpu": "h1000"})
except eidos.EidosError as fault:
    assert isinstance(fault, eidos.InvalidInput)
    json.dump({"node": snapshot.node, "files": len(bundle.files), "problem": str(problem), "hint": fault.hint}, sys.stdout)
"""


@pytest.mark.slow
@pytest.mark.parametrize("source", ["checkout", "pyz", "server_pyz"])
def test_a_program_of_somebody_else(source: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    path = ROOT if source == "checkout" else request.getfixturevalue(source)
    host = ROOT / "tests" / "hosts" / "debian-12"
    packages = [] if source == "checkout" else ["-S"]  # the file needs no package beside it
    command = [sys.executable, "-I", *packages, "-W", "error", "-c", PROGRAM, str(path), str(host), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    output = ast.literal_eval(done.stdout)
    assert output["files"] > 20
    assert "README.md" in output["problem"]
    assert output["hint"] == "did you mean 'h100'?"


def test_importing_it_imports_nothing() -> None:
    script = "import sys; before = set(sys.modules); import eidos; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True)
    assert set(done.stdout.split()) <= {"__future__", "eidos"}


def test_every_public_name_is_imported_for_type_checkers() -> None:
    tree = ast.parse((ROOT / "eidos" / "__init__.py").read_text())
    imports = {alias.name: node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    del imports["annotations"]
    assert sorted(imports) == sorted(eidos.__all__) == sorted(set(eidos.__all__))
    for name, module in imports.items():
        assert getattr(eidos, name) is getattr(sys.modules[str(module)], name)
    assert set(dir(eidos)) >= {*eidos.__all__, "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'take_snapshots'"):
        eidos.take_snapshots  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("name", eidos.__all__)
def test_every_public_name_is_explained(name: str) -> None:
    value = getattr(eidos, name)
    text = inspect.getdoc(value) or ""
    assert text.partition("\n")[0].endswith((".", ":"))
    if inspect.isfunction(value):
        signature = inspect.signature(value)
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(parameter.annotation is not inspect.Parameter.empty for parameter in signature.parameters.values())
        assert "Raises" in text or name.startswith(("to_", "pack_"))


def test_pydoc_shows_all_of_it() -> None:
    text = pydoc.plain(pydoc.render_doc(eidos))
    for name in eidos.__all__:
        value = getattr(eidos, name)
        assert f"    {name}(" in text if inspect.isfunction(value) else f"class {name}(" in text
    assert "root: 'str' = '/'" in text


@pytest.mark.slow
def test_type_checkers_see_the_types(tmp_path: Path) -> None:
    assert (ROOT / "eidos" / "py.typed").exists()
    file = tmp_path / "program.py"
    file.write_text("import eidos\n\nreveal_type(eidos.take_snapshot().collectors[0].name)\neidos.make_recipe(gpu='h100')\n")
    command = [sys.executable, "-m", "mypy", "--no-incremental", "--cache-dir=/dev/null", "--follow-imports=silent", str(file)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, timeout=300, check=False)
    assert 'Revealed type is "builtins.str"' in done.stdout or 'Revealed type is "str"' in done.stdout
    assert 'Unexpected keyword argument "gpu"' in done.stdout
