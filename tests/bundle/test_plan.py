"""The plan of a bundle: what it has is what the bundle has, and what is known of charts is what they have."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from eidos.bundle.bundle_options import BundleOptions, parse_assignment
from eidos.bundle.installation_facts import (
    CHARTS,
    INSTALLATIONS,
    chart_contents,
    load_chart_contents,
    load_installations,
    read_charts_file,
    read_installations,
)
from eidos.cli.plan_table import plan_markdown, plan_table
from eidos.errors import InvalidData
from eidos.files import resources
from eidos.formats import from_text
from eidos.model.bundle_plan import BundlePlan
from eidos.model.recipe import Recipe
from eidos.recipe.charts import load_charts
from eidos.templates.text_template import escape_markdown
from eidos.workflow import make_recipe, plan_bundle
from tests import chart_data
from tests.support.bundle_files import RECIPES, ROOT, build, each_recipe, load_yaml, recipe, shipped_charts
from tests.support.program import eidos
from tests.workflow.test_document_schemas import faults

#: Charts of shipped components that were not at hand when the data was written; a plan says that their rights are not known.
UNKNOWN = {
    *("nsight-operator", "skyhook-operator", "nfs-provisioner", "dynamo-crds", "kgateway-crds", "kgateway"),
    *("agentgateway", "agentgateway-crds", "dynamo-platform", "grove", "nvsentinel"),
}


def plan(*sets: str, query: dict[str, str] | None = None, **options: Any) -> BundlePlan:
    made = make_recipe(query or {"gpu": "h100", "service": "eks", "os": "ubuntu", "osv": "24.04", "intent": "training"})
    return plan_bundle(made, BundleOptions(assignments=tuple(map(parse_assignment, sets)), **options), chart_data=shipped_charts())


@each_recipe
def test_a_plan_is_what_its_bundle_has(path: Path) -> None:
    made = Recipe.from_tree(recipe(path), path.name)
    bundle, shown = build(made), plan_bundle(made, chart_data=shipped_charts())
    tree = shown.to_tree()
    assert faults("plan", tree) == []
    assert (tree["bundle"]["files"], tree["bundle"]["bytes"]) == (len(bundle.files), bundle.bytes)
    order = next(line for line in bundle.files["install.sh"].decode().splitlines() if line.startswith("order()"))
    assert [each["id"] for each in tree["components"]] == order.partition("%s\\n' ")[2].rpartition(";")[0].replace("'", "").split()
    listed = json.loads(bundle.files["images.json"])
    for each in tree["components"]:
        own = [entry for entry in listed["images"] if entry["component"] == each["id"]]
        assert each["images"] == [entry["image"] for entry in own if "optional" not in entry]
        assert each.get("optional-images", []) == [entry["image"] for entry in own if "optional" in entry]
        assert each.get("images-not-known", []) == [entry["reason"] for entry in listed["unknown"] if entry["component"] == each["id"]]
        files = [content for name, content in bundle.files.items() if name.startswith(f"{each['id']}/")]
        assert (each["files"], each["bytes"]) == (len(files), sum(map(len, files)))
    node = [name for name in bundle.files if name.startswith("node/") and name != "node/README.md"]
    assert tree.get("node", {"files": []})["files"] == node
    text, document = plan_table(shown, 100, colour=False), plan_markdown(shown)
    flat = "".join(text.split())
    for each in shown.components:
        for word in (each.id, each.version, *each.images, *each.unknown):
            assert "".join(word.split()) in flat, word
            assert escape_markdown(word) in document
    assert max(map(len, text.splitlines())) <= 100 or "/" in max(text.splitlines(), key=len)


def test_every_pinned_version_has_its_contents() -> None:
    charts, _ = load_charts(None)
    versions = {(chart.id, chart.version) for chart in charts.values() if chart.chart}
    versions |= {
        (entry["id"], str(entry["version"])) for path in RECIPES for entry in recipe(path).get("components", ()) if entry.get("chart")
    }
    known = load_chart_contents()
    assert {id for id, version in versions if chart_contents(known, id, version) is None} <= UNKNOWN
    assert set(load_installations()) <= set(charts)


def test_rights_name_rules_with_wildcards() -> None:
    shown = {each.id: each for each in plan().components}
    prometheus = shown["kube-prometheus-stack"].rights
    assert prometheus is not None and {
        "role": "kube-prometheus-stack-operator",
        "apiGroups": ["apps"],
        "resources": ["statefulsets"],
        "verbs": ["*"],
    } in (prometheus.wildcards)
    assert "kube-prometheus-stack-operator: * on statefulsets of apps" in plan_table(plan(), 200, colour=False)
    for each in shown.values():
        for rule in each.rights.wildcards if each.rights else ():
            assert "*" in str(rule)


def test_rights_of_another_version_are_not_claimed() -> None:
    made = make_recipe({"gpu": "h100"}).to_tree()
    entry = next(each for each in made["components"] if each["id"] == "cert-manager")
    entry["version"] = "v1.21.7"
    shown = plan_bundle(Recipe.from_tree(made, "recipe.yaml"), BundleOptions(components=("cert-manager",)))
    assert [each.rights for each in shown.components] == [None]
    assert shown.to_tree()["components"][0]["rights"] == "not known"
    assert "ClusterRoles not known" in plan_table(shown, 0, colour=False) and "Not known: cert-manager." in plan_markdown(shown)
    assert any("v1.21.7" in sentence for sentence in shown.components[0].unknown)


def test_rights_of_manifests_count() -> None:
    tree = "kind: ClusterRole\nmetadata: {name: a}\nrules:\n- {apiGroups: ['*'], resources: [pods], verbs: [get]}\n- {verbs: [get]}\n"
    folder_plan = plan(components=("local-path-provisioner",), query={"gpu": "h100", "service": "self-managed"})
    assert [each.rights.cluster_roles for each in folder_plan.components if each.rights] == [1]
    from eidos.bundle.plan_builder import _with_wildcards

    role: Any = from_text(tree, "role")
    assert list(_with_wildcards(role)) == [{"role": "a", "apiGroups": ["*"], "resources": ["pods"], "verbs": ["get"]}]


def test_rights_of_fetched_manifests_are_not_known() -> None:
    shown = plan(components=("gateway-api",))
    assert [each.rights for each in shown.components] == [None]


@pytest.mark.parametrize(
    ("sets", "needs"),
    [
        ((), ["reboot", "drain", "drain", "drain", "restart"]),
        (("gpu-operator:toolkit.enabled=false",), ["reboot", "drain", "drain", "drain"]),
        (("gpu-operator:driver.enabled=false",), ["reboot", "drain", "drain", "restart"]),
        (("node-tuning:enabled=false",), ["drain", "restart"]),
    ],
)
def test_what_interrupts_follows_values_and_files(sets: tuple[str, ...], needs: list[str]) -> None:
    shown = plan(*sets)
    assert [item.needs for _, item in shown.interruptions()] == needs
    text = " ".join(plan_table(shown, 120, colour=False).split())
    assert all(" ".join(item.what.split()) in text for _, item in shown.interruptions())


def test_what_interrupts_follows_manifests() -> None:
    shown = plan(query={"gpu": "h100", "service": "aks", "os": "ubuntu", "osv": "22.04", "intent": "training"})
    assert [item.needs for owner, item in shown.interruptions() if owner == "network-operator"] == ["drain"]
    assert "DOCA" in plan_markdown(shown)


def test_a_component_that_fails_is_in_the_plan(tmp_path: Path) -> None:
    (tmp_path / "cert-manager").mkdir()
    (tmp_path / "cert-manager" / "bundle.yaml").write_text(
        'version: "1.0.0"\nrecipe: recipe.dgxc.io/v1\nextends: every\nfiles: [{template: values.yaml}]\n'
    )
    (tmp_path / "cert-manager" / "values.yaml").write_text('a: "@{nosuch.name}"\n')
    shown = plan(templates=str(tmp_path))
    failed = next(each for each in shown.components if each.id == "cert-manager")
    assert failed.error and failed.files == 0 and "failed: " in plan_table(shown, 0, colour=False)
    assert faults("plan", shown.to_tree()) == []


@pytest.mark.parametrize(
    ("read", "tree", "path"),
    [
        (read_installations, {"installations": {"a": {"imagse": []}}}, "installations.a"),
        (read_installations, {"installations": {"a": {"interrupts": [{"needs": "sleep", "what": "x"}]}}}, "interrupts[0].needs"),
        (read_installations, {"installations": {"a": {"interrupts": [{"needs": "drain"}]}}}, "interrupts[0].what"),
        (read_installations, {"installations": {"a": {"shared": "yes"}}}, "shared"),
        (lambda tree: chart_contents(read_charts_file(tree), "a", "1"), {"charts": {"a": {"1": {"cluster-roles": "x"}}}}, "cluster-roles"),
    ],
)
def test_a_malformed_fact_is_named(read: Any, tree: Any, path: str) -> None:
    with pytest.raises(InvalidData) as caught:
        read(tree)
    assert path in caught.value.message


def test_facts_have_a_source() -> None:
    tree: Any = resources.load_recipe_file(INSTALLATIONS)
    assert all(set(source) == {"document", "version", "date"} for source in tree["sources"])
    assert load_yaml((ROOT / "recipes" / CHARTS).read_text())["charts"]


@pytest.mark.slow
def test_contents_are_those_of_the_charts(tools: dict[str, str]) -> None:
    """Charts below ``EIDOS_TEST_CHARTS``, unpacked as <component>/<version>/Chart.yaml."""
    folder = os.environ.get("EIDOS_TEST_CHARTS")
    if not folder:
        pytest.skip("EIDOS_TEST_CHARTS names no folder of charts")
    for about in sorted(Path(folder).glob("*/*/Chart.yaml")):
        chart = about.parent
        contents = chart_data.contents_of(tools["helm"], chart, chart.parent.name)
        known = chart_contents(load_chart_contents(), chart.parent.name, chart.name)
        assert known is not None, chart
        facts = {"cluster-roles": known.cluster_roles, "crds-folder": known.definitions, "wildcards": list(known.wildcards)}
        assert facts == contents, chart


def test_the_command_writes_the_plan_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps(make_recipe({"gpu": "h100", "service": "eks"}).to_tree()))
    done = eidos("bundle", "plan", "-f", "recipe.json", "-b", "cert-manager", "-t", "json", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert [each["id"] for each in json.loads(done.out)["components"]] == ["cert-manager"]
    assert os.listdir(tmp_path) == ["recipe.json"]
    done = eidos("bundle", "plan", "-f", "recipe.json", "-b", "cert-manager", "-o", "plan.md", "-t", "markdown", cwd=tmp_path)
    assert (done.status, done.out, done.err) == (0, "", "") and (tmp_path / "plan.md").read_text().startswith("# Plan of a bundle\n")
    assert sorted(os.listdir(tmp_path)) == ["plan.md", "recipe.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("plan",), "eidos bundle needs a recipe"),
        (("plan", "-f", "r.json", "--archive", "a.tgz"), "eidos bundle plan does not take --archive"),
        (("-f", "r.json", "-t", "markdown"), "--format markdown is for 'eidos bundle plan'"),
        (("plan", "-f", "r.json", "--existing", "s.yaml", "--live"), "--existing and --live cannot be used together"),
        (("plan", "-f", "r.json", "--existing", "nosuch.yaml"), "nosuch.yaml"),
        (("plan", "-f", "r.json", "-o", "nosuch/plan.md"), "nosuch"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "r.json").write_text(json.dumps(make_recipe({"gpu": "h100"}).to_tree()))
    done = eidos("bundle", *arguments, cwd=tmp_path)
    assert done.status in (1, 2) and message in done.err and done.out == ""
    assert os.listdir(tmp_path) == ["r.json"]
