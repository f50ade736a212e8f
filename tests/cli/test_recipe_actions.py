"""``eidos recipe list --matrix``, ``explain``, ``new`` and ``--with``, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import eidos
from eidos.cli.recipe_actions import layer_skeleton
from eidos.errors import InvalidInput, NotFound
from eidos.formats import from_text
from eidos.recipe.layer import read_layer
from eidos.recipe.provenance import find_lines, line_history
from eidos.recipe.store import shipped_store
from tests.support.program import eidos as run

QUERY = ("--gpu", "gb200", "--service", "eks", "--os", "ubuntu", "--osv", "24.04")
RECIPE = eidos.make_recipe({"gpu": "gb200", "service": "eks", "os": "ubuntu", "osv": "24.04"}, explain=True)


def test_explain_tells_the_story_of_one_value() -> None:
    done = run("recipe", "explain", "GPU.smi.driver", *QUERY, "-t", "json")
    assert done.status == 0
    tree = json.loads(done.out)
    assert tree["request"]["gpu"] == "gb200"
    story, limit = tree["history"]
    assert (story["path"], limit["path"]) == ("GPU.smi.driver", "constraints.GPU.smi.driver")
    *before, last = story["layers"]
    assert [layer["replaced"] for layer in story["layers"]] == [True] * len(before) + [False]
    assert last["value"] == story["value"] == next(s for m in RECIPE.measurements for s in m.subtypes if s.name == "smi").data["driver"]
    assert last["why"] and last["sources"] and "service=eks" in last["key"]
    assert not any(layer["replaced"] for layer in limit["layers"])
    assert limit["value"] == str(next(each.value for each in RECIPE.constraints if each.name == "GPU.smi.driver"))


def test_explain_prints_each_layer_with_reason_and_source() -> None:
    done = run("recipe", "explain", "components.gpu-operator.version", "--gpu", "h100", "-t", "table")
    assert done.status == 0
    assert "base.yaml (any)" in done.out
    assert "source: NVIDIA/gpu-operator" in done.out


def test_what_a_layer_removes_is_shown_with_layer_source_and_what_it_was(tmp_path: Path) -> None:
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "site.yaml").write_text(
        "key: {gpu: h100, service: self-managed, os: ubuntu}\n"
        "source: {id: doc, document: Our manual, version: '2', date: '2026-07-01'}\n"
        "measurements: [{type: OS, subtypes: [{subtype: grub, data: {init_on_alloc: null}, context: {init_on_alloc: It is our own.}}]}]\n"
        "constraints: [{name: OS.release.VERSION_ID, value: null, why: We build them., source: doc}]\n"
    )
    query = ("--data", str(tmp_path), "--gpu", "h100", "--service", "self-managed", "--os", "ubuntu")
    done = run("recipe", *query, "--explain", "-t", "table")
    assert "OS.grub.init_on_alloc" in done.out.partition("Removed")[2] and "removed by overlays/site.yaml, which" in done.out
    story = run("recipe", "explain", "init_on_alloc", *query, "-t", "table").out
    assert "none: removed" in story and "removed by overlays/site.yaml (os=ubuntu" in story and "Our manual 2 2026-07-01" in story
    tree = json.loads(run("recipe", *query, "--explain", "-t", "json").out)
    lines = {line["path"]: line for line in tree["explanation"]}
    for path in ("OS.grub.init_on_alloc", "constraints.OS.release.VERSION_ID"):
        assert (lines[path]["value"], lines[path]["layer"], lines[path]["sources"]) == (
            None,
            "overlays/site.yaml",
            ["Our manual 2 2026-07-01"],
        )
        assert lines[path]["replaced"]
    assert "init_on_alloc" not in str(tree["measurements"]) and "OS.release.VERSION_ID" not in str(tree["constraints"])


@pytest.mark.parametrize("path", sorted(RECIPE.history))
def test_every_line_of_a_recipe_has_a_history(path: str) -> None:
    lines = find_lines(RECIPE, path)
    assert path in lines
    history = line_history(RECIPE, path)
    assert history["layers"] and all(layer["layer"] for layer in history["layers"])
    if not path.startswith("constraints."):
        assert history["value"] == history["layers"][-1]["value"]


def test_a_path_may_be_the_beginning_or_the_end_of_others() -> None:
    assert set(find_lines(RECIPE, "K8s.image")) == {path for path in RECIPE.history if "K8s.image." in path}
    assert find_lines(RECIPE, "gpu-operator.version") == ("components.gpu-operator.version",)
    assert len(find_lines(RECIPE, "components.gpu-operator")) > 2
    for nothing in ("", " ", "GPU.smi.drivr", "."):
        with pytest.raises(NotFound) as fault:
            find_lines(RECIPE, nothing)
        assert fault.value.hint
    with pytest.raises(NotFound) as fault:
        find_lines(RECIPE, "GPU.smi.drivr")
    assert fault.value.hint == "did you mean 'GPU.smi.driver'?"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("explain",), "eidos recipe explain needs a path"),
        (("list", "x"), "eidos recipe list: unexpected argument 'x'"),
        (("--matrix",), "eidos recipe without an action does not take --matrix"),
        (("explain", "GPU.smi.driver", "--strict"), "eidos recipe explain does not take --strict"),
        (("new",), "eidos recipe new needs a query"),
        (("new", "--gpu", "h100", "-t", "json"), "cannot be used with 'eidos recipe new', which writes YAML"),
        (("list", "-t", "markdown"), "--format markdown is for 'eidos recipe list --matrix'"),
        (("--gpu", "h100", "-t", "markdown"), "--format markdown is for 'eidos recipe list --matrix'"),
        (("--with", "kueu"), "--with: unknown component 'kueu'"),
        (("--with", "kueue", "--server", "http://192.0.2.1"), "--with cannot be used with --server"),
    ],
)
def test_what_an_action_does_not_take_is_an_error_with_a_hint(arguments: tuple[str, ...], message: str) -> None:
    done = run("recipe", *arguments)
    assert done.status == 2
    assert message in done.err
    assert done.out == ""


def test_with_adds_components_and_what_they_need() -> None:
    store = shipped_store()
    plain = {component.id for component in eidos.make_recipe({"gpu": "h100"}).components}
    for id, chart in store.charts.items():
        if chart.service:
            continue
        ids = {component.id for component in eidos.make_recipe({"gpu": "h100"}, components=[id]).components}
        assert ids >= {*plain, id, *chart.depends}
    done = run("recipe", "--gpu", "h100", "--with", "kueue,lws", "-t", "json")
    tree = json.loads(done.out)
    assert tree["matchedRules"][-1] == "--with kueue,lws: any"
    assert {"kueue", "lws"} <= {component["id"] for component in tree["components"]}


def test_list_names_the_components_that_no_recipe_has() -> None:
    tree = json.loads(run("recipe", "list", "-t", "json").out)
    ids = {each["id"] for each in tree["available"]}
    assert "kueue" in ids or any("kueue" in layer["components"] for layer in tree["layers"])
    assert not ids & {id for layer in tree["layers"] for id in layer["components"]}
    assert "gpu-operator" not in ids


@pytest.mark.parametrize("form", ["table", "json", "markdown", "yaml"])
def test_the_matrix_is_written_in_each_form(form: str) -> None:
    done = run("recipe", "list", "--matrix", "-t", form)
    assert (done.status, done.err) == (0, "")
    assert all(name in done.out for name in ("gb200", "eks"))


def test_a_new_layer_is_read_and_has_the_key_of_the_query(tmp_path: Path) -> None:
    file = tmp_path / "data" / "overlays" / "mine.yaml"
    file.parent.mkdir(parents=True)
    query = ("--gpu", "h100", "--service", "eks", "--osv", "24.04", "--k8s", "1.34", "--platform", "kueue")
    assert run("recipe", "new", *query, "-o", str(file)).status == 0
    layer = read_layer(from_text(file.read_text(), "mine.yaml"), "mine.yaml")
    assert layer.key.fields() == {"gpu": "h100", "service": "eks", "osv": "24.04", "k8s": "1.34", "platform": "kueue"}
    report = json.loads(run("recipe", "lint", "--data", str(tmp_path / "data"), "-t", "json").out)
    assert report["errors"] == 0
    text = layer_skeleton(shipped_store().catalog.parse_query({"gpu": "h100"}))
    filled = "\n".join(line.replace("  # ", "  ", 1) if line.startswith("  # ") else line for line in text.splitlines())
    read = read_layer(from_text(filled, "x.yaml"), "x.yaml")
    assert read.values and read.constraints and read.choices


def test_components_are_the_callers_to_request() -> None:
    with pytest.raises(InvalidInput):
        eidos.make_recipe({"gpu": "h1"}, components=["kueue"])


@pytest.mark.parametrize(("version", "words"), [("v1.34.1", "1 holds"), ("v1.20.0", "1 does not hold")])
def test_a_recipe_for_a_snapshot_counts_the_constraints_that_hold(version: str, words: str, tmp_path: Path) -> None:
    node = {"measurements": [{"type": "K8s", "subtypes": [{"subtype": "server", "data": {"version": version}}]}]}
    (tmp_path / "node.yaml").write_text(eidos.to_yaml(node))
    done = run("recipe", "-f", str(tmp_path / "node.yaml"), "--log-level", "info", "-o", str(tmp_path / "recipe.yaml"))
    assert done.status == 0
    assert "for this node: " in done.err and words in done.err
    assert ("eidos check -f" in done.err) == ("not hold" in done.err or "could not" in done.err)
