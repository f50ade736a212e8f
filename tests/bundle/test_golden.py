"""Whole bundles of some recipes, file by file, as people review them."""

from __future__ import annotations

from pathlib import Path

import pytest

from eidos import __version__
from tests.conftest import ROOT
from tests.support.bundle_files import RECIPES, made

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "bundles"

#: One of each kind: a cloud whose nodes bring no driver, one whose nodes do, machines of one's own with RDMA, and models to serve.
SHOWN = ("aks-h100-training", "eks-gb200-training", "gke-l40s-inference", "self-managed-gh200-training")


@pytest.mark.parametrize("name", SHOWN)
def test_bundle_is_as_reviewed(name: str, update_golden: bool) -> None:
    files = made(next(path for path in RECIPES if path.stem == name))
    # Scripts are the same but for the order of components, and the digests follow from the rest; one of each is enough. The node's script
    # is a template as it stands, and its functions are those of remedies.
    assert files["node/apply.sh"][0] == (ROOT / "templates" / "node" / "apply.sh").read_bytes()
    shown = {
        path: content.decode().replace(f"eidos {__version__} ", "eidos (some version) ")
        for path, (content, _) in files.items()
        if not path.endswith(("checksums.txt", "recipe.yaml", "node/functions.sh", "node/apply.sh", "statement.json"))
        and ("/scripts/" not in path or path.startswith("gpu-operator/"))
    }
    if name != SHOWN[0]:
        same = ("functions.sh", "uninstall.sh")
        shown = {path: text for path, text in shown.items() if path not in same and "/scripts/" not in path and "/ansible/" not in path}
        shown["install.sh"] = "".join(line for line in shown["install.sh"].splitlines(True) if line.startswith("order()"))
        assert shown["install.sh"].count("\n") == 1
    folder = GOLDEN / name
    if update_golden:
        for old in sorted(folder.rglob("*"), reverse=True):
            old.unlink() if old.is_file() else old.rmdir()
        for path, text in shown.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    stored = {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*")) if path.is_file()}
    assert shown == stored


@pytest.mark.parametrize("path", [path for path in RECIPES if path.stem not in SHOWN], ids=lambda path: path.stem)
def test_values_and_manifests_are_as_reviewed(path: Path, update_golden: bool) -> None:
    """Of the other recipes, what Helm and the cluster are given, in one text: the order of folders is that of names."""
    files = made(path)
    data = sorted(name for name in files if name.endswith(".yaml") and name != "recipe.yaml" and not name.startswith("node/"))
    text = "".join(f"#### {name}\n{files[name][0].decode()}" for name in data).replace(f"eidos {__version__} ", "eidos (some version) ")
    golden = GOLDEN / f"{path.stem}.txt"
    if update_golden:
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
