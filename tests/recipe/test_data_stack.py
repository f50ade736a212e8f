"""A user's own knowledge: several places of data, laid over the shipped data and each other in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import eidos
from eidos.errors import InvalidInput
from eidos.model.query import Query
from eidos.recipe import lint as lint_package
from eidos.recipe.data_stack import DataPart, canonical_paths, lay_over, part_of_keys
from eidos.recipe.lint import changes_shipped_recipes, lint_stack
from eidos.recipe.resolver import resolve
from eidos.recipe.store import open_store, shipped_store, stack_store
from tests.fakes.apiserver import ApiServer
from tests.support.program import eidos as run
from tests.support.shipped import shipped_trees

SWAP = "/proc/sys/vm/swappiness"


def site(value: str, name: str = "overlays/mine.yaml", **key: str) -> DataPart:
    layer = {
        "key": key or {"gpu": "h100"},
        "source": [{"id": "site", "document": "Change board", "version": "1", "date": "2026-11-01"}],
        "measurements": [{"type": "OS", "subtypes": [{"subtype": "sysctl", "data": {SWAP: value}, "context": {SWAP: "Ours."}}]}],
    }
    return DataPart(f"/srv/{value}", {name: json.dumps(layer).encode()})


def swap(*parts: DataPart) -> Any:
    recipe = resolve(Query(gpu="h100"), stack_store(parts), explain=True)
    return [(step.layer, step.value) for step in recipe.history[f"OS.sysctl.{SWAP}"]]


def test_parts_stack_in_order_and_the_history_names_them() -> None:
    assert swap(site("5"), site("6")) == [("overlays/5/mine.yaml", "5"), ("overlays/6/mine.yaml", "6")]
    assert swap(site("6"), site("5")) == [("overlays/6/mine.yaml", "6"), ("overlays/5/mine.yaml", "5")]
    # Whatever the files are called.
    assert swap(site("5", "overlays/z.yaml"), site("6", "overlays/a.yaml"))[-1] == ("overlays/6/a.yaml", "6")


def test_a_data_folder_wins_over_shipped_layers_that_are_as_specific() -> None:
    name = "K8s.image.gpu-operator"
    shipped = eidos.make_recipe({"service": "eks"}, explain=True).history[name][-1]
    pin = {"type": "K8s", "subtypes": [{"subtype": "image", "data": {"gpu-operator": "v1.2.3"}}]}
    layer = {"key": {"service": "eks"}, "measurements": [pin], "components": {"gpu-operator": {"version": "v1.2.3"}}}
    part = DataPart("aaa", {"overlays/a.yaml": json.dumps(layer).encode()})
    history = resolve(Query(service="eks"), stack_store([part]), explain=True, check=False).history[name]
    assert (history[-1].layer, history[-1].value) == ("overlays/a.yaml", "v1.2.3")
    assert shipped.value != "v1.2.3"


def test_a_file_replaces_the_shipped_one_of_its_name() -> None:
    name = next(head.name for head in shipped_store().overlays.heads if "[" not in head.name)
    replaced = stack_store([DataPart("a", {name: b"key: {gpu: h100}\n"}), site("5")])
    assert [head.name for head in replaced.overlays.heads].count(name) == 1
    assert next(head.key for head in replaced.overlays.heads if head.name == name).fields() == {"gpu": "h100"}


def test_entries_are_joined_and_one_of_the_same_name_is_replaced() -> None:
    chart = {"id": "mine", "title": "Mine", "namespace": "mine"}
    part = DataPart("a", {"components.yaml": json.dumps({"components": [chart, {**chart, "id": "kueue"}]}).encode()})
    charts = stack_store([part]).charts
    assert {*charts} == {*shipped_store().charts, "mine"}
    assert charts["kueue"].title == "Mine"
    machine = {"name": "rack-7", "gpu": "h100", "gpu-count": 4, "source": "rack"}
    machines = {"sources": [{"id": "rack", "document": "Rack plan", "date": "2026"}], "machines": [machine]}
    catalog = stack_store([DataPart("a", {"machines.yaml": json.dumps(machines).encode()})]).catalog
    assert catalog.parse_query({"machine": "Rack-7"}).gpu == "h100"
    assert catalog.parse_query({"machine": "p5.48xlarge"}).gpu == "h100"
    word = {"gpu": [{"name": "x1", "detect": ["X1"]}]}
    names = stack_store([DataPart("a", {"catalog.yaml": json.dumps(word).encode()})]).catalog.names("gpu")
    assert names == (*shipped_store().catalog.names("gpu"), "x1")


@pytest.mark.parametrize("above", [[], "text", {"components": 3}, {"components": [3]}, None])
def test_what_is_no_list_of_entries_is_left_for_its_reader_to_report(above: object) -> None:
    trees: dict[str, object] = {"components.yaml": {"components": [{"id": "a"}]}}
    lay_over(trees, "components.yaml", above)
    if above == {"components": [3]}:
        assert trees["components.yaml"] == {"components": [{"id": "a"}, 3]}
    else:
        assert trees["components.yaml"] == above


def test_parts_of_one_name_are_distinguished() -> None:
    files = {"overlays/x.yaml": b"", "base.yaml": b""}
    parts = [DataPart("/a/site", files), DataPart("/b/site", files), DataPart("cm://ns/site", files)]
    assert [part["overlays/x.yaml"] for part in canonical_paths(parts, ["base.yaml"])] == [
        "overlays/site/x.yaml",
        "overlays/site~2/x.yaml",
        "overlays/cm://ns/site/x.yaml",
    ]


def test_the_digest_depends_on_content_and_order() -> None:
    one, other = site("5"), site("6")
    digests = [stack_store(parts).digest for parts in ([one], [other], [one, other], [other, one])]
    assert len(set(digests)) == 4
    assert stack_store([one, other]).digest == digests[2]


def test_one_file_replaces_the_data_and_stands_alone(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text("base: [{type: OS, subtypes: [{subtype: grub, data: {a: 1}}]}]\n")
    (tmp_path / "site" / "overlays").mkdir(parents=True)
    (tmp_path / "site" / "overlays" / "x.yaml").write_text("key: {gpu: h100}\n")
    assert open_store([str(tmp_path / "all.yaml")]).base.values
    with pytest.raises(InvalidInput, match="one file replaces the built-in data"):
        open_store([str(tmp_path / "all.yaml"), str(tmp_path / "site")])


def test_keys_of_an_object_are_files() -> None:
    keys = ("mine.yaml", "overlays.b.yaml", "checks.c.yaml", "components.yaml", "base.yml", "readme.txt")
    part = part_of_keys("cm://ns/site", dict.fromkeys(keys, b""))
    assert list(part.files) == [
        "overlays/mine.yaml",
        "overlays/b.yaml",
        "checks/c.yaml",
        "components.yaml",
        "base.yml",
        "overlays/readme.txt",
    ]


@pytest.mark.slow
def test_a_site_lays_folders_and_a_config_map_over_the_data(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    for part in (site("5"),):
        for name, content in part.files.items():
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_bytes(content)
    with ApiServer() as server:
        data = {"mine.yaml": site("6").files["overlays/mine.yaml"].decode()}
        server.put("/api/v1/namespaces/site/configmaps/knowledge", {"kind": "ConfigMap", "metadata": {"name": "knowledge"}, "data": data})
        words = ("--data", str(folder), "--data", "cm://site/knowledge", "--kubeconfig", str(server.kubeconfig(tmp_path)))
        done = run("recipe", "explain", "swappiness", "--gpu", "h100", *words, "-t", "json")
        missing = run("recipe", "--data", "cm://site/nothing", "--kubeconfig", str(server.kubeconfig(tmp_path)))
    assert (done.status, done.err) == (0, "")
    (story,) = json.loads(done.out)["history"]
    assert [layer["layer"] for layer in story["layers"]] == ["overlays/site/mine.yaml", "overlays/cm://site/knowledge/mine.yaml"]
    assert story["value"] == "6"
    assert missing.status != 0
    assert "cm://site/nothing: no such object" in missing.err


def pin(service: str, **components: str) -> bytes:
    layer = {
        "key": {"service": service},
        "source": [{"id": "x", "document": "Change board", "version": "1", "date": "2026-11-01"}],
        "components": {id.replace("_", "-"): {"version": version, "why": "Held.", "source": "x"} for id, version in components.items()},
    }
    return json.dumps(layer).encode()


def test_a_sites_pins_are_tested_by_lint() -> None:
    files = {
        "overlays/old.yaml": pin("eks", gpu_operator="v25.3.3"),
        "overlays/form.yaml": pin("oke", network_operator="99.x"),
        "overlays/name.yaml": pin("gke", gpu_operatr="v26.7.0"),
        "overlays/word.yaml": site("not a number", service="eks").files["overlays/mine.yaml"],
        "overlays/fine.yaml": pin("eks", kueue=shipped_store().charts["kueue"].version),
    }
    issues = lint_stack([DataPart("site", files)])
    messages = {name: [f"{issue.location} {issue.message}" for issue in issues if name in issue.location] for name in files}
    for name, words in (("old", "gpu-operator"), ("form", "'99.x'"), ("name", "unknown component 'gpu-operatr'"), ("word", SWAP)):
        assert [text for text in messages[f"overlays/{name}.yaml"] if words in text], (name, issues)
    assert messages["overlays/fine.yaml"] == []


def test_lint_of_overlays_tries_what_they_take_part_in_and_no_more() -> None:
    from eidos.recipe.lint.combinations import MergedRecipe, combinations
    from eidos.recipe.lint.rule_tables import shipped_rules

    store = stack_store([site("5", gpu="gb200", service="eks"), site("6", platform="kueue")])
    rules = shipped_rules()
    merged = [each for each in combinations(store, rules, own=True) if isinstance(each, MergedRecipe)]
    own = {"overlays/5/mine.yaml", "overlays/6/mine.yaml"}
    assert merged
    assert all(own & {layer.name for layer in each.layers} for each in merged)


OWN_COMPONENT = b"components: [{id: mine, title: Mine, chart: x, repository: 'https://x.example.com', version: 1.0.0, namespace: x}]"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("checks/mine.yaml", b"checks: []", False),
        ("overlays/mine.json", b"{}", False),
        ("components.yml", OWN_COMPONENT, False),
        ("components.yaml", OWN_COMPONENT.replace(b"mine", b"gpu-operator"), True),
        ("components.yaml", OWN_COMPONENT + b"\nothers: []", True),
        ("components.yaml", b"components: [", True),
        ("sources.yaml", b"sources: [{id: mine}]", False),
        ("sources.yaml", b"sources: 1", False),
        ("values/mine/1.0.0.yaml", b"{}", False),
        ("values/gpu-operator/v1.yaml", b"{}", True),
        ("images/mine.yaml", b"{}", False),
        ("images/gpu-operator.yaml", b"{}", True),
        ("base.yaml", b"{}", True),
        ("rules.yaml", b"{}", True),
        ("machines.yaml", b"{}", True),
        ("catalog.yaml", b"{}", True),
    ],
)
def test_which_files_may_change_the_shipped_recipes(name: str, content: bytes, expected: bool) -> None:
    assert changes_shipped_recipes([DataPart("mine", {name: content})], shipped_trees()) is expected


@pytest.mark.slow
def test_lint_of_what_is_new_finds_what_lint_of_all_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors in each kind of file that changes no shipped recipe, those between layers among them."""
    files = {
        "components.yaml": OWN_COMPONENT.replace(b"namespace: x", b"namespace: x, depends: [none]"),
        "sources.yaml": b"sources: [{id: mine, document: Mine, version: '1', date: '2999-01-01', url: 'https://example.com'}]",
        "values/mine/1.0.0.yaml": b"a: {b: 1}",
        "checks/mine.yaml": b"checks: [{id: x}]",
        "overlays/one.yaml": b"key: {gpu: h100}\ncomponents: [{id: mine, values: {c: 1}}, {id: gpu-operator, version: v25.10.1}]",
        "overlays/two.yaml": b"key: {service: eks}\nmeasurements: [{type: GPU, subtypes: [{subtype: smi, data: {driver: 470.1}}]}]",
    }
    issues = lint_stack([DataPart("mine", files)])
    monkeypatch.setattr(lint_package, "changes_shipped_recipes", lambda parts, below: True)
    assert issues == lint_stack([DataPart("mine", files)])
    assert len({issue.rule for issue in issues}) > 4, issues
