"""Bundles for a cluster that runs something already: what a snapshot shows decides, and what it does not show is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.bundle.bundle_options import BundleOptions, parse_assignment
from eidos.bundle.existing_cluster import read_existing
from eidos.errors import EidosError, InvalidInput
from eidos.model.bundle import Bundle
from eidos.model.bundle_plan import INSTALL, KEEP, LEAVE_OUT, REFUSE, UNKNOWN, UPGRADE, BundlePlan, ComponentDecision
from eidos.model.measurement import Outcome
from eidos.model.recipe import Recipe
from eidos.model.recipe_consistency import upgrade_steps
from eidos.model.record import replace
from eidos.model.snapshot import Snapshot
from eidos.semver import try_parse_version
from eidos.workflow import make_bundle, make_recipe, plan_bundle
from tests.fakes.apiserver import ApiServer
from tests.support.bundle_files import load_yaml, shipped_charts
from tests.support.effort import examples
from tests.support.program import eidos
from tests.workflow.test_document_schemas import faults

CHARTS = shipped_charts()
RECIPE = make_recipe({"gpu": "h100", "os": "ubuntu", "osv": "24.04", "intent": "training", "service": "self-managed"})
VERSION = next(component.version for component in RECIPE.components if component.id == "gpu-operator")
OPERATOR, DRIVER = f"nvcr.io/nvidia/gpu-operator:{VERSION}", "nvcr.io/nvidia/driver:580.82.07-ubuntu24.04"


def snapshot(images: Any = None, policy: Any = None, modules: Any = None, driver: str = "", outcome: str = "ok") -> Snapshot:
    """A snapshot with the readings that are given; an image without a tag has the tag of its key."""
    subtypes = [{"subtype": name, "data": data} for name, data in (("image", images), ("policy", policy)) if data is not None]
    measurements: list[Any] = [{"type": "K8s", "subtypes": subtypes}]
    measurements += [{"type": "OS", "subtypes": [{"subtype": "kmod", "data": modules}]}] if modules is not None else []
    measurements += [{"type": "GPU", "subtypes": [{"subtype": "smi", "data": {"driver": driver}}]}] if driver else []
    outcomes = [{"name": "k8s.image", "outcome": outcome, "milliseconds": 1}] if images is not None else []
    tree = {"metadata": {"source-node": "gpu-07"}, "measurements": measurements, "collectors": outcomes}
    return Snapshot.from_tree(tree, "node.yaml")


def plan(existing: Snapshot, *sets: str, recipe: Recipe = RECIPE, **options: Any) -> BundlePlan:
    assignments = tuple(map(parse_assignment, sets))
    return plan_bundle(recipe, BundleOptions(assignments=assignments, existing=existing, **options), chart_data=CHARTS)


def made(existing: Snapshot, *sets: str, **options: Any) -> Bundle:
    assignments = tuple(map(parse_assignment, sets))
    return make_bundle(RECIPE, BundleOptions(assignments=assignments, existing=existing, **options), chart_data=CHARTS)


def decisions(shown: BundlePlan) -> dict[str, ComponentDecision]:
    installed = {each.id: each.decision for each in shown.components if each.decision}
    return {**installed, **{each.id: each for each in shown.left_out}}


OTHER = {"coredns": "v1.12.0"}


@pytest.mark.parametrize(
    ("images", "action", "words"),
    [
        (OTHER, INSTALL, "no Pod runs gpu-operator"),
        ({"gpu-operator": VERSION, OPERATOR: "sha256:0a"}, KEEP, "runs already"),
        ({"gpu-operator": "v99.1.0"}, REFUSE, "the older"),
        ({"gpu-operator": "v26.3.1"}, UPGRADE, "v26.3.1 runs"),
        ({"gpu-operator": "v24.6.0"}, REFUSE, "cannot be upgraded"),
        ({"gpu-operator": "devel-ubi9"}, UNKNOWN, "cannot be compared"),
        ({"gpu-operator-validator": "v26.3.3"}, UPGRADE, "gpu-operator-validator v26.3.3 runs"),
        # Of two versions at once the older decides the way, and a newer one that this is none back.
        ({"gpu-operator": "v26.3.1", OPERATOR: "sha256:0a"}, UPGRADE, "v26.3.1, "),
        ({"gpu-operator": "v26.3.1", "mirror.example.com/x/gpu-operator:v99.1.0": "not pulled"}, REFUSE, "v99.1.0"),
    ],
)
def test_an_operator_that_runs(images: dict[str, str], action: str, words: str) -> None:
    decision = decisions(plan(snapshot(images)))["gpu-operator"]
    assert decision.action == action and words in decision.reason


def test_an_upgrade_has_the_steps_that_are_allowed_and_definitions_first() -> None:
    existing = snapshot({"gpu-operator": "v25.3.4"}, {"driver.enabled": "true"})
    decision = decisions(plan(existing))["gpu-operator"]
    assert decision.steps == (
        "upgrade gpu-operator to 25.10 first",
        "upgrade gpu-operator to 26.3 first",
        "its definitions of resources are upgraded first, by a hook of the chart (operator.upgradeCRD)",
    )
    bundle = made(existing)
    assert any("upgrade gpu-operator to 25.10 first" in sentence for sentence in bundle.warnings)
    assert "upgrade gpu-operator to 25.10 first; upgrade gpu-operator to 26.3 first" in bundle.files["README.md"].decode()
    without_hook = decisions(plan(existing, "gpu-operator:operator.upgradeCRD=false"))["gpu-operator"]
    assert f"helm show crds gpu-operator --repo https://helm.ngc.nvidia.com/nvidia --version {VERSION}" in without_hook.steps[-1]
    drains = [
        item
        for item in next(each for each in plan(existing).components if each.id == "gpu-operator").interruptions
        if item.needs == "drain"
    ]
    assert len(drains) == 1 and not drains[0].what.startswith("where")


def test_what_cannot_be_installed_is_refused_by_bundle_and_shown_by_plan() -> None:
    existing = snapshot({"gpu-operator": "v99.1.0"})
    with pytest.raises(InvalidInput) as caught:
        made(existing)
    assert "the older" in caught.value.message and "--set gpu-operator:enabled=false" in (caught.value.hint or "")
    shown = plan(existing)
    assert [each.id for each in shown.refused] == ["gpu-operator"] and faults("plan", shown.to_tree()) == []
    assert not any(path.startswith("gpu-operator/") for path in made(existing, "gpu-operator:enabled=false").files)


@pytest.mark.parametrize(("image", "id"), [("cert-manager-controller", "cert-manager"), ("prometheus", "kube-prometheus-stack")])
def test_what_others_use_too_is_used_and_not_replaced(image: str, id: str) -> None:
    existing = snapshot({image: "v1.17.2"})
    bundle, shown = made(existing), plan(existing)
    assert not any(path.startswith(f"{id}/") for path in bundle.files)
    assert decisions(shown)[id].action == LEAVE_OUT and f"{id} is left out: " in "\n".join(bundle.warnings)
    assert f"| {id} | v1.17.2 | leave-out |" in bundle.files["README.md"].decode()
    assert not any("which is disabled" in sentence for sentence in bundle.warnings)
    assert f"'{id}'" not in bundle.files["install.sh"].decode().partition("usage()")[0]
    for again in (plan(existing, f"{id}:enabled=true"), plan(existing, components=(id,))):
        assert decisions(again)[id].action in (UPGRADE, REFUSE, UNKNOWN)


def test_what_names_a_component_that_is_left_out_is_left_out_too() -> None:
    recipe = make_recipe({"gpu": "h100"}, components=("prometheus-adapter",))
    existing = snapshot({"prometheus-operator": "v0.80.0"})
    shown = plan(existing, recipe=recipe)
    assert decisions(shown)["prometheus-adapter"].action == LEAVE_OUT
    assert "kube-prometheus-stack-prometheus of kube-prometheus-stack" in decisions(shown)["prometheus-adapter"].reason
    elsewhere = plan(existing, "prometheus-adapter:prometheus.url=http://mine.example.com", recipe=recipe)
    assert decisions(elsewhere)["prometheus-adapter"].action == INSTALL


def test_when_everything_runs_there_is_nothing_to_build() -> None:
    tree = RECIPE.to_tree()
    tree["components"] = [each for each in tree["components"] if each["id"] == "cert-manager"]
    recipe = Recipe.from_tree(tree, "recipe.yaml")
    options = BundleOptions(
        assignments=(parse_assignment("node-tuning:enabled=false"),), existing=snapshot({"cert-manager-controller": "v1.17.2"})
    )
    with pytest.raises(InvalidInput, match="nothing to build: cert-manager runs already"):
        make_bundle(recipe, options, chart_data=CHARTS)
    with_node = make_bundle(recipe, BundleOptions(existing=options.existing), chart_data=CHARTS)
    assert [each.id for each in with_node.components] == ["node-tuning"]


HOST = {"nvidia": True, "xfs": True}


def test_a_driver_of_the_host_stays() -> None:
    existing = snapshot(OTHER, modules=HOST, driver="580.126.20")
    bundle, shown = made(existing), plan(existing)
    values = load_yaml(bundle.files["gpu-operator/values.yaml"])
    assert values["driver"]["enabled"] is False
    assert decisions(shown)["gpu-operator"].values == {"driver.enabled": False}
    assert "the host has an NVIDIA driver 580.126.20 that gpu-operator did not install" in bundle.files["README.md"].decode()
    assert any("driver.enabled=false" in sentence for sentence in bundle.warnings)
    listed = [entry["image"] for entry in json.loads(bundle.files["images.json"])["images"] if "optional" not in entry]
    assert not any("/nvidia/driver:" in image for image in listed)
    # What follows from it follows here, too.
    options = BundleOptions(components=("nvsentinel",), existing=existing)
    others = load_yaml(make_bundle(RECIPE, options, chart_data=CHARTS).files["nvsentinel/values.yaml"])
    assert others["labeler"]["assumeDriverInstalled"] is True


@pytest.mark.parametrize(
    ("sets", "driver", "words"),
    [
        (("gpu-operator:driver.enabled=true",), "580.126.20", "installs a second one"),
        (("gpu-operator:driver.version=590.1.2",), "580.126.20", "asks for another"),
        ((), "450.80.02", "the recipe requires GPU.smi.driver >= 525.85.12"),
    ],
)
def test_a_second_driver_is_refused(sets: tuple[str, ...], driver: str, words: str) -> None:
    existing = snapshot(OTHER, modules=HOST, driver=driver)
    with pytest.raises(InvalidInput, match=words):
        made(existing, *sets)
    assert decisions(plan(existing, *sets))["gpu-operator"].action == REFUSE


@pytest.mark.parametrize(
    ("existing", "is_off"),
    [
        (snapshot({"gpu-operator": VERSION, DRIVER: "sha256:0a"}, modules=HOST), False),
        (snapshot({"gpu-operator": VERSION, DRIVER: "sha256:0a"}, {"driver.enabled": "true"}, HOST), False),
        (snapshot({"gpu-operator": VERSION}, {"driver.enabled": "false"}, HOST, "580.126.20"), True),
        (snapshot({"gpu-operator": VERSION}, {"nvidiadriver/default/version": "580.1"}, HOST), False),
        (snapshot({"gpu-operator": VERSION}, modules=HOST), True),
        (snapshot(OTHER, modules={"xfs": True}), False),
        (snapshot(OTHER, driver="580.126.20"), True),
        (snapshot(modules=HOST), False),
    ],
)
def test_whose_the_driver_is(existing: Snapshot, is_off: bool) -> None:
    values = load_yaml(made(existing).files["gpu-operator/values.yaml"])
    assert (values.get("driver", {}).get("enabled") is False) == is_off


def test_a_driver_of_unknown_origin_is_a_warning() -> None:
    bundle = made(snapshot(modules=HOST, driver="580.126.20"))
    assert any("whether gpu-operator installed it is not known" in sentence for sentence in bundle.warnings)
    quiet = made(snapshot(modules=HOST, driver="580.126.20"), "gpu-operator:driver.enabled=false")
    assert not any("whether gpu-operator installed it" in sentence for sentence in quiet.warnings)


@pytest.mark.parametrize(
    ("existing", "words"),
    [
        (snapshot(modules=HOST), "existing releases are not known: the snapshot has no K8s.image"),
        (snapshot(OTHER), "whether hosts have a driver of their own is not known: the snapshot has neither OS.kmod nor GPU.smi"),
        (snapshot(OTHER, modules=HOST, outcome="partial"), "existing releases are not all known"),
    ],
)
def test_what_a_snapshot_does_not_show_is_not_taken_for_absent(existing: Snapshot, words: str) -> None:
    bundle, shown = made(existing), plan(existing)
    assert any(words in sentence for sentence in bundle.warnings) and any(words in sentence for sentence in shown.unknown)
    assert words[1:] in bundle.files["README.md"].decode()
    if "releases" in words:
        assert not any(each.action == INSTALL for each in decisions(shown).values())


def test_a_host_without_modules_has_no_driver() -> None:
    existing = snapshot(OTHER)
    known = replace(existing, collectors=(*existing.collectors, Outcome("os.kmod", "ok", 1.0)))
    assert plan(known).unknown == () and plan(existing).unknown
    failed = replace(existing, collectors=(*existing.collectors, Outcome("os.kmod", "failed", 1.0)))
    assert plan(failed).unknown


def test_without_a_snapshot_nothing_is_compared() -> None:
    shown = plan_bundle(RECIPE, BundleOptions(), chart_data=CHARTS)
    assert not decisions(shown) and "existing" not in shown.to_tree()
    assert "What runs in the cluster" not in make_bundle(RECIPE, chart_data=CHARTS).files["README.md"].decode()


@pytest.mark.parametrize("deployer", ["argocd", "flux", "helmfile"])
def test_every_deployer_says_what_was_decided(deployer: str) -> None:
    repo = {} if deployer == "helmfile" else {"repo": "https://git.example.com/a.git", "revision": "main"}
    bundle = made(snapshot({"cert-manager-controller": "v1.17.2"}), deployer=deployer, **repo)
    assert "| cert-manager | v1.17.2 | leave-out |" in bundle.files["README.md"].decode()
    others = {path: text for path, text in bundle.files.items() if path.endswith(".yaml") and path != "recipe.yaml"}
    assert not any(b"name: cert-manager\n" in text for text in others.values())


def test_when_a_snapshot_was_taken_changes_no_byte() -> None:
    first, other = snapshot(OTHER, modules=HOST), snapshot(OTHER, modules=HOST)
    later = replace(other, timestamp="2026-11-29T07:00:00Z", collectors=(replace(other.collectors[0], milliseconds=7.5),))
    assert made(first).files == made(later).files
    assert plan(later).existing == "of gpu-07 at 2026-11-29T07:00:00Z"
    assert made(snapshot({**OTHER, "x": "1"}, modules=HOST)).files != made(first).files


VERSIONS = st.builds("v{}.{}.{}".format, st.integers(24, 27), st.sampled_from([1, 3, 6, 7, 9, 10]), st.integers(0, 4))


@settings(max_examples=examples(15))
@given(VERSIONS)
def test_the_table_decides_of_a_version(running: str) -> None:
    decision = decisions(plan(snapshot({"gpu-operator": running}, modules={"xfs": True}), components=("gpu-operator",)))["gpu-operator"]
    before, after = try_parse_version(running), try_parse_version(VERSION)
    assert before is not None and after is not None
    steps = upgrade_steps(running, VERSION, CHARTS[0]["gpu-operator"].upgrades)
    if before == after:
        assert decision.action == KEEP
    elif before > after or steps is None:
        assert decision.action == REFUSE and decision.hint
    else:
        assert decision.action == UPGRADE
        assert [step.split()[3] for step in decision.steps if step.endswith(" first") and step.startswith("upgrade")] == steps


NAMES = st.sampled_from(
    ["gpu-operator", "cert-manager-controller", "driver", "nvcr.io/nvidia/driver:1", "a/b:c", "prometheus", "x:y/z", "/"]
)
TEXTS = st.one_of(st.text(max_size=12), VERSIONS, st.booleans(), st.integers(-9, 9))
PATHS = st.sampled_from(["driver.enabled", "nvidiadriver/x/driver.enabled", "status.state", ""])


@settings(max_examples=examples(12))
@given(st.dictionaries(NAMES, TEXTS, max_size=4), st.dictionaries(PATHS, TEXTS, max_size=2), st.booleans(), st.text(max_size=8))
def test_any_snapshot_gives_a_decision_for_each_component_or_an_error(images: Any, policy: Any, is_loaded: bool, driver: str) -> None:
    existing = snapshot(images, policy, {"nvidia": is_loaded}, driver)
    try:
        shown = plan(existing, components=("gpu-operator",))
    except EidosError:
        return
    decided = decisions(shown)
    assert set(decided) >= {each.id for each in shown.components} and faults("plan", shown.to_tree()) == []
    assert read_existing(existing).label == "of gpu-07"


def test_the_cluster_itself_is_read_live(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE.to_tree()))
    with ApiServer() as server:
        for name, image in (("a", "nvcr.io/nvidia/gpu-operator:v26.3.1"), ("b", "quay.io/jetstack/cert-manager-controller:v1.17.2")):
            spec = {"containers": [{"name": "c", "image": image}]}
            server.put(f"/api/v1/namespaces/x/pods/{name}", {"spec": spec, "status": {}})
        env = {"KUBECONFIG": str(server.kubeconfig(tmp_path))}
        done = eidos("bundle", "plan", "-f", "recipe.json", "--live", "-t", "json", cwd=tmp_path, env=env)
        assert done.status == 0, done.err
        tree = json.loads(done.out)
        actions = {each["id"]: each["action"] for each in (*tree["components"], *tree["left-out"])}
        assert (actions["gpu-operator"], actions["cert-manager"], actions["kube-prometheus-stack"]) == (UPGRADE, LEAVE_OUT, INSTALL)
        assert tree["existing"]["not-known"] == [
            "whether hosts have a driver of their own is not known: the snapshot has neither OS.kmod nor GPU.smi"
        ]
        assert {(verb, resource) for verb, _, resource, _ in server.used() if resource} <= {
            ("list", name) for name in ("pods", "clusterpolicies", "gpuclusters", "nvidiadrivers", "nicclusterpolicies")
        }
        server.put(
            "/api/v1/namespaces/x/pods/a",
            {"spec": {"containers": [{"name": "c", "image": "nvcr.io/nvidia/gpu-operator:v99.1.0"}]}, "status": {}},
        )
        refused = eidos("bundle", "plan", "-f", "recipe.json", "--live", cwd=tmp_path, env=env)
        assert refused.status == 4 and "error: gpu-operator: gpu-operator v99.1.0 runs" in refused.err and "refuse: " in refused.out
        written = eidos("bundle", "-f", "recipe.json", "--live", "-o", "b", cwd=tmp_path, env=env)
        assert written.status == 2 and not (tmp_path / "b").exists()


def test_a_cluster_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE.to_tree()))
    done = eidos("bundle", "-f", "recipe.json", "--live", "-o", "b", cwd=tmp_path)
    assert done.status == 1 and "--live: cannot read the images of the cluster: " in done.err and not (tmp_path / "b").exists()
