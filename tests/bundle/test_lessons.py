"""What users of the tools that came before met in their bundles, each as a test.

The tools: the Go program of our name ("Go"), and NVIDIA/aicr v0.11.1 ("aicr"; numbers with # are its threads). That a second
installation of what somebody else installed is left alone (aicr #262), that a dry run prints what can be pasted (#1362), and that a run
cut short is named (#165), stand in ``test_bundle_scripts``; that keys of values are the chart's (Go) in ``test_bundle_charts``.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from eidos import formats
from eidos.bundle import verification
from eidos.bundle.tar_archive import pack_tar_gz
from eidos.errors import EidosError, InvalidData, InvalidInput
from eidos.model.bundle import Bundle
from eidos.model.recipe import Recipe
from eidos.workflow import make_recipe
from tests.support.bundle_files import build, each_recipe, files_of_tree, load_yaml, made, written
from tests.support.bundle_files import recipe as document
from tests.support.program import eidos

TRAINING = {"os": "ubuntu", "osv": "24.04", "service": "eks", "gpu": "h100", "intent": "training"}
HARD = ("1.30", "off", "0123", "1e3", "y", "~", "null", "0x1F", "12:30:45", "@x", "a: b", "# x", "{{ .Values.x }}", "${HOME}")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return build(make_recipe(TRAINING))


@pytest.fixture
def folder(bundle: Bundle, tmp_path: Path) -> Path:
    return written({path: (content, 0o755 if path.endswith(".sh") else 0o644) for path, content in bundle.files.items()}, tmp_path / "b")


# ---- Go ----


def test_a_recipe_that_the_program_wrote_is_one_that_it_reads(tmp_path: Path) -> None:
    """Go's bundle ended in a stack trace on the versions that its own recipe had written."""
    for form in ("yaml", "json"):
        flags = [word for name, value in TRAINING.items() for word in (f"--{name}", value)]
        assert eidos("recipe", *flags, "--k8s", "1.33.5", "-t", form, "-o", "recipe", cwd=tmp_path).status == 0
        assert eidos("bundle", "-f", "recipe", "-o", form, cwd=tmp_path).status == 0
    assert (tmp_path / "yaml" / "checksums.txt").read_bytes() == (tmp_path / "json" / "checksums.txt").read_bytes()


@pytest.mark.parametrize("text", HARD)
def test_labels_and_versions_stay_text(text: str) -> None:
    """Go put them into YAML without quotes, so 1.30 came out as 1.3 and off as false."""
    recipe = make_recipe(TRAINING)
    made = build(recipe, values={"gpu-operator": {"driver": {"version": text}, "daemonsets": {"labels": {"x": text}}}})
    values = load_yaml(made.files["gpu-operator/values.yaml"])
    assert (values["driver"]["version"], values["daemonsets"]["labels"]) == (text, {"x": text})


def test_checksums_hold_from_their_own_folder(folder: Path) -> None:
    """Go's paths were relative to another folder."""
    listed = sorted(folder.rglob("checksums.txt"))
    assert len(listed) > 3
    for path in listed:
        done = subprocess.run(["sha256sum", "--strict", "-c", path.name], cwd=path.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@each_recipe
def test_nothing_tells_when_it_was_made(path: Path) -> None:
    """Go's checksums had a time in them, so two bundles of one recipe differed."""
    files = made(path)
    clock = re.compile(rb"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
    for name, (content, _) in files.items():
        # The recipe has the date of its data.
        lines = [line for line in content.splitlines() if b"recipe-timestamp: " not in line]
        assert not any(map(clock.search, lines)), name
    assert {name: content for name, (content, _) in files_of_tree(document(path)).items()} == {n: c for n, (c, _) in files.items()}


# ---- aicr: correctness ----


@each_recipe
def test_no_placeholder_is_left(path: Path) -> None:
    """Thirteen applications of aicr carried '{{ .RepoURL }}' to the letter (#410)."""
    for name, (content, _) in made(path).items():
        assert b"@{" not in content.replace(b"[@]}", b""), name
        is_theirs = name in ("install.sh", "functions.sh") or name.startswith("node/ansible/")
        assert b"{{" not in content or is_theirs, f"{name}: only what kubectl, helm and Ansible fill in is written so"


@each_recipe
def test_every_chart_has_its_source_and_its_version_as_the_recipe_has_them(path: Path) -> None:
    """aicr left both empty for one chart, and took the v off a version that is a tag in a registry (#748: charts without one)."""
    files = made(path)
    for component in document(path)["components"]:
        script = files[f"{component['id']}/component.sh"][0].decode()
        if not component.get("chart"):
            continue
        assert f"version='{component['version']}'" in script
        remote = component["repository"].startswith("oci://")
        where = f"chart='{component['repository']}/{component['chart']}'" if remote else f"repository='{component['repository']}'"
        assert where in script
    assert b'--version "$version"' in files["install.sh"][0]


@each_recipe
def test_every_manifest_of_a_component_comes_along(path: Path) -> None:
    """aicr's ArgoCD bundle dropped the manifests that its components name."""
    files = made(path)
    for name in files:
        id, _, rest = name.partition("/")
        if rest.startswith("manifests/") and not rest.startswith("manifests/examples/") and rest != "manifests/clusterpolicy.yaml":
            assert f"'{rest}'".encode() in files[f"{id}/component.sh"][0], name


@pytest.mark.parametrize(
    ("assignment", "why"),
    [
        ("nosuch:foo=bar", "unknown component 'nosuch'"),
        ("gpu-operator:driver.enabled=999", "boolean"),
        ("gpu-operator:drivr.version=1", "the chart has no value drivr"),
    ],
)
def test_what_cannot_be_set_is_an_error(assignment: str, why: str) -> None:
    """aicr ignored it, and ended with 0."""
    with pytest.raises(InvalidInput, match=re.escape(why)):
        build(make_recipe(TRAINING), sets=[assignment])


def test_an_index_reaches_the_item_of_a_list() -> None:
    """aicr wrote a key of the name 'tolerations[0]'."""
    bundle = build(make_recipe(TRAINING), sets=["gpu-operator:daemonsets.tolerations[0].key=example.com/gpu"])
    values = load_yaml(bundle.files["gpu-operator/values.yaml"])
    assert values["daemonsets"]["tolerations"][0]["key"] == "example.com/gpu"
    assert not any("[" in key for key in values)


def _edit(folder: Path) -> None:
    (folder / "recipe.yaml").write_bytes((folder / "recipe.yaml").read_bytes() + b"# x\n")


def _add(folder: Path) -> None:
    (folder / "gpu-operator" / "scripts" / "evil.sh").write_text("true\n")


def _link(folder: Path) -> None:
    (folder / "extra").symlink_to("/etc/hostname")


def _remove(folder: Path) -> None:
    (folder / "images.txt").unlink()


@pytest.mark.parametrize(("change", "kind"), [(_edit, "changed"), (_add, "added"), (_link, "linked"), (_remove, "missing")])
def test_what_is_changed_or_added_is_reported(folder: Path, change: Any, kind: str) -> None:
    """aicr hashed only what it had listed, and not the recipe (#1549, #1758)."""
    assert verification.verify_bundle(str(folder)) == ()
    change(folder)
    assert [wrong.kind for wrong in verification.verify_bundle(str(folder))] == [kind]


def test_the_list_of_all_is_written_last(bundle: Bundle) -> None:
    """aicr wrote files after the checksums (#1549)."""
    listed = {line.split(b"  ", 1)[1].decode() for line in bundle.files["checksums.txt"].splitlines()}
    assert listed == set(bundle.files) - {"checksums.txt", "attestations/statement.json"}


@pytest.mark.parametrize("id", ["../evil", "/etc", "a/b", "..", "A", "a" * 300])
def test_a_component_cannot_lead_out_of_the_bundle(id: str) -> None:
    """aicr's server called it an internal error, and said to try again."""
    tree = copy.deepcopy(make_recipe(TRAINING).to_tree())
    tree["components"][0]["id"] = id
    with pytest.raises(InvalidData):
        build(Recipe.from_tree(tree, "recipe.yaml"))


def test_archives_are_the_same_twice(bundle: Bundle) -> None:
    """aicr's were not."""
    assert pack_tar_gz(bundle.files) == pack_tar_gz(build(make_recipe(TRAINING), parallel=True).files)


# ---- aicr: what its users ask for ----


@each_recipe
def test_images_to_mirror_are_listed_or_marked_as_unknown(path: Path) -> None:
    """Networks without a way out (#743, #949)."""
    text = made(path)["images.txt"][0].decode()
    for component in document(path)["components"]:
        start = text.index(f"# {component['id']}")
        section = text[start:].split("\n\n")[0].splitlines()[1:]
        assert section or not component.get("chart"), component["id"]


def test_what_is_wrong_has_one_exit_status_and_says_what_is_valid(tmp_path: Path) -> None:
    """aicr had 8 for a wrong word, 2 for one file that is missing and 8 for another."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(formats.to_yaml(make_recipe(TRAINING).to_tree()))
    for arguments in (
        ["bundle", "-f", "nosuch.yaml"],
        ["bundle", "-f", "recipe.yaml", "--data", "nosuch"],
        ["bundle", "-f", "recipe.yaml", "--templates", "nosuch"],
        ["bundle", "-f", "recipe.yaml", "-b", "gpuoperator"],
        ["bundle", "-f", "recipe.yaml", "-t", "xml"],
        ["bundle", "-f", "recipe.yaml", "--nosuch"],
        ["verify", "nosuch"],
    ):
        done = eidos(*arguments, cwd=tmp_path)
        assert done.status == 2, (arguments, done.err)
        assert done.err.startswith("error: ") and "\x1b" not in done.err
    assert os.listdir(tmp_path) == ["recipe.yaml"]


def test_an_error_is_the_documented_one() -> None:
    """What a recipe says of its components cannot end in anything but a bundle or an EidosError."""
    components: list[Any] = [{}, {"id": 1}, {"id": "gpu-operator", "values": []}, {"id": "gpu-operator", "depends": "x"}, [], None, "x"]
    for component in components:
        tree = {**make_recipe(TRAINING).to_tree(), "components": [component]}
        with contextlib.suppress(EidosError):
            assert build(Recipe.from_tree(tree, "recipe.yaml")).files
