"""Recipe data: its form, the order of layers, folders laid over the shipped one, and the one-file form of the Go program."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.errors import InvalidData, NotFound, Unavailable
from eidos.model.query import Query
from eidos.model.recipe import Recipe
from eidos.recipe.catalog import read_catalog
from eidos.recipe.charts import read_charts, with_dependencies
from eidos.recipe.data_folder import LIMIT
from eidos.recipe.layer import read_layer
from eidos.recipe.lint import lint_path
from eidos.recipe.recipe_warnings import find_generic, nearest, strict_problems
from eidos.recipe.resolver import Contradiction, resolve
from eidos.recipe.store import from_document, from_folder, open_store, shipped_store
from tests.support.effort import examples

SHARED = Path(__file__).resolve().parent.parent.parent.parent / "shared" / "fixtures"
GO_DATA = SHARED / "recipes" / "data-v1.yaml"

CHART = {"id": "one", "chart": "one", "repository": "https://charts.example.com", "version": "1.0", "namespace": "one"}


def readings(query: Query, store: Any) -> dict[str, object]:
    recipe = resolve(query, store)
    return {f"{m.type}.{s.name}.{key}": value for m in recipe.measurements for s in m.subtypes for key, value in s.data.items()}


def measurements(**data: object) -> list[dict[str, object]]:
    """Measurements with one subtype, ``OS.grub``."""
    return [{"type": "OS", "subtypes": [{"subtype": "grub", "data": data}]}]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([], "x.yaml: expected a mapping, found a list"),
        ({"keys": {}}, "x.yaml: unknown field 'keys'"),
        ({"key": {"gpus": "h100"}}, "x.yaml: key: unknown field 'gpus'"),
        ({"key": {"gpu": {"a": 1}}}, "x.yaml: key.gpu: expected text, found a mapping"),
        ({"key": {"gpu": [["h100"]]}}, "x.yaml: key.gpu[0]: expected text, found a list"),
        ({"key": {"gpu": ["h100", ""]}}, "x.yaml: key.gpu: a name of the list is empty or 'any'"),
        ({"key": {"gpu": ["h100", "any"]}}, "x.yaml: key.gpu: a name of the list is empty or 'any'"),
        ({"key": {"osv": ["24.04", ">= 22"]}}, "x.yaml: key.osv[1]: invalid version '>= 22'"),
        ({"key": {"gpu-operator": "v26.7.0"}}, "x.yaml: key: unknown field 'gpu-operator'"),
        ({"key": {"gpu-operator": ">= x"}}, "x.yaml: key.gpu-operator: invalid expression '>= x'"),
        ({"source": "operator"}, "x.yaml: source[0]: unknown source 'operator'"),
        ({"source": [{"document": "d"}, "operator"]}, "x.yaml: source[1]: unknown source 'operator'"),
        ({"key": {"k8s": "1.x"}}, "x.yaml: key.k8s: invalid version '1.x': 'x' is not a number"),
        ({"source": [{"doc": "a"}]}, "x.yaml: source[0]: unknown field 'doc'"),
        ({"measurements": {}}, "x.yaml: measurements: expected a list, found a mapping"),
        ({"measurements": [{"type": "Net"}]}, 'x.yaml: measurements[0].type: unknown type "Net"'),
        ({"measurements": [{"type": "OS", "subtype": []}]}, "x.yaml: measurements[0]: unknown field 'subtype'"),
        (
            {"measurements": [{"type": "OS", "subtypes": [{"data": {}}]}]},
            "x.yaml: measurements[0].subtypes[0].subtype: expected a name, found nothing",
        ),
        ({"measurements": measurements(a=[1])}, "x.yaml: measurements[0].subtypes[0].data.a: expected a scalar, found a list"),
        ({"constraints": [{"name": "K8s.server.version"}]}, "x.yaml: constraints[0].value: invalid expression ''"),
        (
            {"measurements": [{"type": "OS", "subtypes": [{"subtype": "grub", "data": {"a": 1}, "context": {"b": "why"}}]}]},
            "x.yaml: measurements[0].subtypes[0].context.b: context for a key that is not in data",
        ),
        ({"constraints": [{"name": "version", "value": "1"}]}, "x.yaml: constraints[0].name: invalid path 'version'"),
        ({"constraints": [{"name": "K8s.server.version", "value": ">= x"}]}, "x.yaml: constraints[0].value: invalid expression '>= x'"),
        ({"components": {"one": {"verison": "1"}}}, "x.yaml: components.one: unknown field 'verison'"),
        ({"components": {"one": {"enabled": "no"}}}, 'x.yaml: components.one.enabled: expected true or false, found "no"'),
        ({"components": {"one": {"values": []}}}, "x.yaml: components.one.values: expected a mapping, found a list"),
    ],
)
def test_malformed_layers_are_refused_with_the_path(tree: object, message: str) -> None:
    with pytest.raises(InvalidData) as caught:
        read_layer(tree, "x.yaml")
    assert caught.value.message.startswith(message)


def test_a_mistyped_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidData) as caught:
        read_layer({"constraint": []}, "x.yaml")
    assert caught.value.hint == "did you mean 'constraints'?"


def test_null_removes_what_layers_below_set_and_a_later_layer_may_set_it_again() -> None:
    def limit(value: str | None) -> list[dict[str, object]]:
        return [{"name": "K8s.server.version", "value": value}]

    layers = [
        {"key": {"gpu": "h100"}, "measurements": measurements(a="1", b="1"), "constraints": limit(">= 1.34")},
        {"key": {"gpu": "h100", "service": "aks"}, "measurements": measurements(a=None), "constraints": [*limit(None), *limit(">= 1.30")]},
        {"key": {"gpu": "h100", "service": "aks", "os": "ubuntu"}, "measurements": measurements(a="3", b=None)},
    ]
    store = from_folder({"base.yaml": {"constraints": limit("< 1.37")}, "overlays/x.yaml": layers, "components.yaml": {}})
    queries = [Query(gpu="h100"), Query(gpu="h100", service="aks"), Query(gpu="h100", service="aks", os="ubuntu")]
    assert [readings(query, store) for query in queries] == [{"OS.grub.a": "1", "OS.grub.b": "1"}, {"OS.grub.b": "1"}, {"OS.grub.a": "3"}]
    assert [str(limit.value) for limit in resolve(queries[0], store).constraints] == [">= 1.34, < 1.37"]
    assert [str(limit.value) for limit in resolve(queries[1], store).constraints] == [">= 1.30"]


def test_a_base_has_nothing_below_it_to_remove() -> None:
    with pytest.raises(InvalidData, match="the base has nothing below it to remove") as caught:
        read_layer({"measurements": measurements(a=None)}, "base.yaml", base=True)
    assert caught.value.hint == "remove OS.grub.a from the base"


def test_the_base_has_no_key() -> None:
    with pytest.raises(InvalidData, match="base applies to every query"):
        read_layer({"key": {"gpu": "h100"}}, "base.yaml", base=True)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([], "expected a mapping, found a list"),
        ({"gpus": []}, "unknown field 'gpus'"),
        ({"gpu": [{"title": "x"}]}, r"gpu\[0\].name: expected a name, found nothing"),
        ({"gpu": [{"name": "h100"}, {"name": "h200", "aliases": ["H100"]}]}, "gpu: 'h100' is used by two entries"),
        ({"os": [{"name": "ubuntu", "versions": [24.04]}]}, r"os\[0\].versions\[0\]: expected text, found a number"),
    ],
)
def test_malformed_catalogs_are_refused_with_the_path(tree: object, message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        read_catalog(tree, "catalog.yaml")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([], "expected a mapping, found a list"),
        ({"components": [{}]}, r"components\[0\].id: expected a name, found nothing"),
        ({"components": [CHART, CHART]}, r"components\[1\]: duplicate component 'one'"),
        ({"components": [{**CHART, "version": True}]}, r"components\[0\].version: expected text, found true or false"),
        ({"components": [{**CHART, "depends": "two"}]}, r"components\[0\].depends: expected a list, found text"),
    ],
)
def test_malformed_components_are_refused_with_the_path(tree: object, message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        read_charts(tree, "components.yaml")


def test_components_come_after_what_they_depend_on_however_long_the_chain() -> None:
    chain = [{**CHART, "id": f"c{i}", "depends": [f"c{i + 1}"] if i < 4999 else []} for i in range(5000)]
    charts = read_charts({"components": chain}, "components.yaml")
    assert with_dependencies(["c0"], charts) == tuple(f"c{i}" for i in reversed(range(5000)))


@pytest.mark.parametrize(
    ("depends", "message"),
    [
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, "in a cycle: b -> c -> b"),
        ({"a": ["a"]}, "in a cycle: a -> a"),
        ({"a": ["d"]}, "component 'd', which a depends on, is not in components.yaml"),
    ],
)
def test_circles_and_unknown_dependencies_are_refused(depends: dict[str, list[str]], message: str) -> None:
    charts = read_charts({"components": [{**CHART, "id": id, "depends": names} for id, names in depends.items()]}, "components.yaml")
    with pytest.raises(InvalidData) as caught:
        with_dependencies(["a"], charts)
    assert message in caught.value.message


def test_fewer_fields_come_first_then_the_file_name_then_the_position() -> None:
    store = from_folder(
        {
            "overlays/b.yaml": [{"key": {"gpu": "h100", "os": "any"}}, {"key": {"gpu": "h100", "intent": "training"}}],
            "overlays/a.yaml": [{"key": {"os": "ubuntu", "gpu": "h100"}}, {"key": {"intent": "training"}}, {"key": {"os": "rhel"}}],
        }
    )
    names = [overlay.name.removeprefix("overlays/") for overlay in store.overlays]
    assert names == ["a.yaml[1]", "a.yaml[2]", "b.yaml[0]", "a.yaml[0]", "b.yaml[1]"]


def test_ten_or_more_layers_of_one_file_are_in_the_order_of_the_file() -> None:
    store = from_folder({"overlays/a.yaml": [{"key": {"gpu": "h100"}, "measurements": measurements(a=number)} for number in range(12)]})
    assert [overlay.name for overlay in store.overlays] == [f"overlays/a.yaml[{number}]" for number in range(12)]
    assert readings(Query(gpu="h100"), store) == {"OS.grub.a": 11}


def test_a_contradiction_names_both_layers() -> None:
    newer = {"key": {"gpu": "h100"}, "constraints": [{"name": "K8s.server.version", "value": ">= 1.32"}]}
    older = {"key": {"os": "ubuntu", "gpu": "h100"}, "constraints": [{"name": "K8s.server.version", "value": "< 1.30"}]}
    store = from_folder({"overlays/a.yaml": older, "overlays/b.yaml": newer})
    with pytest.raises(
        Contradiction, match=r"K8s.server.version: >= 1.32 \(overlays/b.yaml\) and < 1.30 \(overlays/a.yaml\) contradict each other"
    ):
        resolve(Query(os="ubuntu", gpu="h100"), store)
    assert resolve(Query(gpu="h100"), store).constraints


def test_the_timestamp_is_the_newest_date_also_when_a_source_has_a_month_or_a_year_only() -> None:
    def store(*dates: str) -> Any:
        return from_folder({"base.yaml": {"source": [{"document": "d", "date": date} for date in dates]}})

    assert store("2026-08", "2026-07-30", "2025").timestamp() == "2026-08-01T00:00:00Z"
    assert store("2026", "soon").timestamp() == "2026-01-01T00:00:00Z"
    assert store().timestamp() == ""


def test_a_folder_is_laid_over_the_shipped_one_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "mine.yml").write_text(
        'key: {gpu: h100}\nmeasurements: [{type: OS, subtypes: [{subtype: grub, data: {mine: "24.10"}}]}]\n'
    )
    (tmp_path / "README.md").write_text("no recipe")
    opened, carried = open_store(str(tmp_path)), shipped_store()
    assert readings(Query(gpu="h100"), opened) == {**readings(Query(gpu="h100"), carried), "OS.grub.mine": "24.10"}
    assert readings(Query(gpu="l40s"), opened) == readings(Query(gpu="l40s"), carried)
    assert opened.digest != carried.digest
    names = {overlay.name for overlay in opened.overlays} - {overlay.name for overlay in carried.overlays}
    assert names == {"overlays/mine.yaml"}
    # The same name stands in place of the shipped file.
    (tmp_path / "base.json").write_text(json.dumps({"measurements": measurements(only=1)}))
    assert readings(Query(), open_store(str(tmp_path))) == {"OS.grub.only": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected a mapping with base and overlays"),
        ("overlays: []", "expected a mapping with base and overlays"),
        ("base: []\nbasis: []", "unknown field 'basis'"),
        ("base: []\noverlays: {}", "overlays: expected a list"),
        ("base: []\noverlays: [{types: 3}]", r"overlays\[0\]: measurements: expected a list, found a number"),
        ("base: [\n", "line 2"),
        ("base: []\nbase: []", "line 2, column 1: the key"),
        ("base: !!python/object/apply:os.system [true]", "line 1"),
        ("base: &a [*a]", "line 1"),
    ],
)
def test_one_file_of_another_form_is_refused_with_file_and_path(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(content)
    with pytest.raises(InvalidData, match=message) as caught:
        open_store(str(path))
    assert caught.value.message.startswith(str(path))


def test_what_is_missing_or_unreadable_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"nowhere: no such file"):
        open_store(str(tmp_path / "nowhere"))
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "x.yaml").symlink_to(tmp_path / "gone.yaml")
    with pytest.raises(NotFound, match=r"overlays/x.yaml: broken symbolic link"):
        open_store(str(tmp_path))
    (tmp_path / "overlays" / "x.yaml").unlink()
    (tmp_path / "overlays" / "x.yaml").symlink_to("x.yaml")
    with pytest.raises(Unavailable, match=r"overlays/x.yaml: too many levels"):
        open_store(str(tmp_path))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("read", [open_store, lint_path])
def test_what_is_no_file_does_not_block_a_reader(tmp_path: Path, read: Callable[[str], object]) -> None:
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "a.yaml").write_text("key: {gpu: h100}")
    os.mkfifo(tmp_path / "README")
    os.mkfifo(tmp_path / ".hidden.yaml")
    read(str(tmp_path))
    os.mkfifo(tmp_path / "overlays" / "b.yaml")
    with pytest.raises(InvalidData, match=r"overlays/b.yaml: expected a file: the name is that of a recipe file"):
        read(str(tmp_path))


def test_a_folder_without_recipes_is_no_folder_of_recipes(tmp_path: Path) -> None:
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay" / "a.yaml").write_text("key: {gpu: h100}")
    for read in (open_store, lint_path):
        with pytest.raises(NotFound, match=r"no recipe files in this folder"):
            read(str(tmp_path))


def test_two_names_of_one_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "overlays").mkdir()
    for ending in ("yaml", "yml"):
        (tmp_path / "overlays" / f"a.{ending}").write_text("key: {gpu: h100}")
    with pytest.raises(InvalidData, match=r"overlays/a.yml: overlays/a.yaml has the same name with another suffix"):
        open_store(str(tmp_path))


def test_a_mounted_config_map_is_read_through_its_links_and_a_circle_of_them_is_not(tmp_path: Path) -> None:
    data = tmp_path / "..2026_11_23" / "overlays"
    data.mkdir(parents=True)
    (data / "mine.yaml").write_text(f"key: {{gpu: h100}}\nmeasurements: {json.dumps(measurements(mine=1))}")
    (tmp_path / "..data").symlink_to(data.parent.name)
    (tmp_path / "overlays").symlink_to("..data/overlays")
    assert readings(Query(gpu="h100"), open_store(str(tmp_path)))["OS.grub.mine"] == 1
    (data / "again").symlink_to("..")
    with pytest.raises(InvalidData, match=r"nested too deeply"):
        open_store(str(tmp_path))


def test_a_file_of_recipes_that_is_too_large_is_not_read_in_part(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(b"base: []\n" + b"# padding\n" * (LIMIT // 10) + b"oops\n")
    with pytest.raises(InvalidData, match=r"large.yaml: too large"):
        open_store(str(path))
    assert [fault.rule for fault in lint_path(str(path))] == ["syntax"]
    (tmp_path / "base.yaml").write_bytes(path.read_bytes())
    path.unlink()
    with pytest.raises(InvalidData, match=r"base.yaml: too large"):
        open_store(str(tmp_path))


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "fine.yaml").write_text("key: {gpu: h100}")
    (tmp_path / os.fsdecode(b"README-\xff")).touch()
    open_store(str(tmp_path))
    (tmp_path / "overlays" / os.fsdecode(b"\xff.yaml")).touch()
    with pytest.raises(InvalidData, match=r"udcff.yaml': file name is not UTF-8"):
        open_store(str(tmp_path))


def test_a_component_that_is_not_there_is_named_with_its_layer() -> None:
    store = from_folder({"components.yaml": {"components": [CHART]}, "overlays/a.yaml": {"key": {"gpu": "h100"}, "components": {"on": {}}}})
    with pytest.raises(InvalidData, match=r"overlays/a.yaml: components.on: unknown component"):
        resolve(Query(gpu="h100"), store)


def test_limits_of_a_recipe_are_warned_of() -> None:
    def warnings(**words: str) -> str:
        return "\n".join(resolve(Query(**words), shipped_store()).warnings)

    assert warnings(gpu="h100", service="eks", intent="training", os="ubuntu", osv="24.04", k8s="1.34", kernel="6.8") == ""
    assert "the recipe does not cover k8s '1.20': it requires K8s.server.version >= 1.33" in warnings(k8s="1.20")
    assert "osv '12.04'" in warnings(os="ubuntu", osv="12.04") and "kernel '5.4" in warnings(os="ubuntu", osv="24.04", kernel="5.4.0-1-aws")
    assert "nothing specific to os 'fedora' is known" in warnings(os="fedora")
    pair = "no layer covers gpu 'a100' and service 'aks' together: the recipe combines what is known of each; the nearest covered query is"
    assert warnings(gpu="a100", service="aks").startswith(pair) and "together" not in warnings(gpu="gb200", service="oke")
    assert warnings(gpu="a100") == warnings(service="oke") == ""
    assert "of each; no machine of gke with l40 is known" in warnings(gpu="l40", service="gke")


@pytest.mark.exhaustive(sample=1)
@pytest.mark.parametrize("gpu", ["", *shipped_store().catalog.names("gpu")])
def test_what_is_generic_and_what_is_near_for_every_query_of_the_catalog(gpu: str) -> None:
    store = shipped_store()
    names = {field: ("", *store.catalog.names(field)) for field in ("service", "intent")}
    names["os"] = ("", "ubuntu", "rhel", "cos")
    hosts = {entry.name: (entry.architecture, entry.cpu) for entry in store.catalog.entries["gpu"]}
    for service, intent, os_name in itertools.product(*names.values()):
        query = Query(gpu=gpu, service=service, intent=intent, os=os_name)
        fields, layers = query.fields(), (store.base, *store.matching(query))
        keys = [set(layer.key.fields()) for layer in layers]
        parts = {"gpu": {"gpu"}, "service": {"service"}, "gpu+service": {"gpu", "service"}}
        generic = [name for name, part in parts.items() if part <= set(fields) and not any(part <= key for key in keys)]
        assert list(find_generic(fields, layers, store.catalog)) == generic
        for part in (("gpu",), ("service",), ("gpu", "service"), ("os",)):
            near = dict(re.findall(r"(\w+)=([^,]+)", nearest(fields, part, store)))
            assert not near or set(part) <= set(near)
            assert not near or "gpu" not in near or not gpu or hosts[near["gpu"]] == hosts[gpu]
            assert not near or near.items() & fields.items() or hosts[near["gpu"]] == hosts.get(gpu)


@pytest.fixture(scope="module")
def h100_on_eks() -> Recipe:
    return resolve(Query(gpu="h100", service="eks"), shipped_store())


_READINGS = st.sampled_from(
    ["570.86.15", "450.80.02", "12.8", "11.0", "v1.33.5", "1.20", "ubuntu", "24.04", "6.8.0-1024-aws", "<withheld>", ""]
)


@settings(max_examples=examples(20))
@given(st.dictionaries(st.sampled_from(["GPU.smi.driver", "GPU.smi.cuda-version", "K8s.server.version", "OS.release.ID"]), _READINGS))
def test_strict_finds_each_constraint_that_does_not_hold_or_cannot_be_judged(h100_on_eks: Recipe, facts: dict[str, str]) -> None:
    recipe = h100_on_eks
    problems = list(strict_problems(recipe, (), facts, shipped_store()))
    unmet = [
        each for each in recipe.constraints if facts.get(each.name, "<withheld>") == "<withheld>" or not each.value.holds(facts[each.name])
    ]
    assert [problem.split()[3] for problem in problems] == [each.name for each in unmet]
    assert list(strict_problems(recipe, (), None, shipped_store())) == []


def test_a_store_made_of_trees_does_not_change_with_them() -> None:
    values = {"driver": {"env": [{"name": "A"}]}}
    trees = {"components.yaml": {"components": [CHART]}, "base.yaml": {"components": {"one": {"values": values}}}}
    store = from_folder(trees)
    before = resolve(Query(), store)
    values["driver"]["env"][0]["name"] = "B"
    assert resolve(Query(), store) == before


def _go_readings(tree: dict[str, Any], query: dict[str, str]) -> dict[str, object]:
    """The Go program's rule, written down once more: an overlay applies when each field of its key is empty, ``any`` or the query's."""
    wire = {"os": "OS", "systemd": "SystemD", "k8s": "K8s", "gpu": "GPU"}
    applied = [tree["base"]]
    applied += [
        overlay["types"]
        for overlay in tree["overlays"]
        if all(value in ("", "any") or value == query.get(field, "") for field, value in overlay["key"].items())
    ]
    return {
        f"{wire[measurement['type'].lower()]}.{subtype['subtype']}.{key}": value
        for measurements in applied
        for measurement in measurements
        for subtype in measurement["subtypes"]
        for key, value in subtype["data"].items()
    }


@pytest.mark.shared
@pytest.mark.skipif(not GO_DATA.exists(), reason=f"{GO_DATA} is not here")
def test_readings_from_the_go_programs_data_are_the_go_programs() -> None:
    tree = yaml.safe_load(GO_DATA.read_text())
    carried = shipped_store()
    store = open_store(str(GO_DATA))
    words = [("", *carried.catalog.names(field)) for field in ("os", "service", "gpu", "intent")]
    kinds = set()
    queries = list(itertools.product(*words))
    drawn = random.Random(len(queries)).sample(queries, min(len(queries), examples(1500)))
    for os_name, service, gpu, intent in [*drawn, *(query for query in queries if query[1:3] == ("eks", "gb200"))]:
        query = {"os": os_name, "service": service, "gpu": gpu, "intent": intent}
        expected = _go_readings(tree, query)
        assert readings(Query(**query), store) == expected
        kinds.add(tuple(sorted(expected)))
    # Both overlays of the file, alone, together and not at all.
    assert len(kinds) == 2
    assert len({json.dumps(_go_readings(tree, {"service": "eks", "os": o, "gpu": g})) for o in ("", "ubuntu") for g in ("", "gb200")}) == 4


@pytest.mark.shared
@pytest.mark.skipif(not GO_DATA.exists(), reason=f"{GO_DATA} is not here")
def test_the_types_of_the_go_programs_readings_stay() -> None:
    tree = yaml.safe_load(GO_DATA.read_text())
    store = from_document(tree, "data-v1.yaml", shipped_store())
    mine = readings(Query(), store)
    assert {path: type(value) for path, value in mine.items()} == {path: type(v) for path, v in _go_readings(tree, {}).items()}
    assert mine["SystemD.containerd.service.LimitNOFILE"] == 18446744073709551615
