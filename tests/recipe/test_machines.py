"""A machine implies what it has, contradicts what it has not, and is detected on a node."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eidos
from eidos.errors import InvalidData, InvalidInput
from eidos.model.query import Query
from eidos.recipe.catalog import Machine
from eidos.recipe.detection import detect
from eidos.recipe.lint import lint_trees
from eidos.recipe.machines import match_machine, read_machines
from eidos.recipe.store import shipped_store
from tests.support.shipped import shipped_trees

STORE = shipped_store()
CATALOG = STORE.catalog
MACHINES = [entry for entry in CATALOG.entries["machine"] if isinstance(entry, Machine)]
LABEL = "node.kubernetes.io/instance-type"


def snapshot(labels: dict[str, str] | None = None, model: str = "", **node: str) -> Any:
    data = {f"label.{name}": value for name, value in (labels or {}).items()}
    parts: list[dict[str, Any]] = [{"type": "K8s", "subtypes": [{"subtype": "node", "data": {"source-node": "a", **node, **data}}]}]
    if model:
        parts.append({"type": "GPU", "subtypes": [{"subtype": "smi", "data": {"gpu.model": model}}]})
    return eidos.parse_snapshot(eidos.to_json({"measurements": parts}))


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_machine_implies_its_gpu_and_service_and_says_where_that_stands(machine: Machine) -> None:
    query = CATALOG.parse_query({"machine": machine.title})
    assert (query.gpu, query.service) == (machine.gpu, machine.service)
    assert CATALOG.entry("gpu", machine.gpu)
    assert machine.source.document and machine.source.date and machine.source.url.startswith("https://")
    assert match_machine(machine.title, CATALOG) == machine
    recipe = eidos.make_recipe(query)
    limits = {constraint.name: str(constraint.value) for constraint in recipe.constraints}
    assert limits.get("GPU.smi.gpu-count") == (f"== {machine.gpu_count}" if machine.gpu_count else None)
    assert not [warning for warning in recipe.warnings if "machine" in warning and " is left out: " not in warning]


def test_the_machines_that_people_ask_for_are_there() -> None:
    for name in ("p5.48xlarge", "a3-megagpu-8g", "Standard_ND96isr_H100_v5", "BM.GPU.H100.8", "dgx-h100"):
        machine = CATALOG.machine(CATALOG.find("machine", name) or "")
        assert machine is not None
        assert (machine.gpu, machine.gpu_count) == ("h100", 8)
        assert machine.fabric


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"machine": "p5.48xlarge", "gpu": "a100"}, "machine p5.48xlarge has gpu h100, not a100"),
        ({"machine": "p5.48xlarge", "service": "gke"}, "machine p5.48xlarge has service eks, not gke"),
        ({"machine": "p5.49xlarge"}, "machine: invalid value 'p5.49xlarge'"),
    ],
)
def test_what_a_machine_has_not_is_an_error(words: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput) as fault:
        CATALOG.parse_query(words)
    assert fault.value.message.startswith(message)
    assert fault.value.hint


@pytest.mark.parametrize("service", ["self-managed", "openshift", ""])
def test_self_managed_clusters_run_on_the_machines_of_every_cloud(service: str) -> None:
    assert CATALOG.parse_query({"machine": "p5.48xlarge", "service": service}).service == (service or "eks")


@pytest.mark.parametrize("label", [LABEL, "beta.kubernetes.io/instance-type", "nvidia.com/gpu.machine"])
@pytest.mark.parametrize(
    ("name", "machine"),
    [
        ("p5.48xlarge", "p5.48xlarge"),
        ("Standard_ND96isr_H100_v5", "standard_nd96isr_h100_v5"),
        ("DGXH100", "dgx-h100"),
        ("BM.GPU.H100.8",) * 2,
    ],
)
def test_a_node_names_its_machine_in_its_labels(label: str, name: str, machine: str) -> None:
    detected = detect(snapshot({label: name}, "NVIDIA H100 80GB HBM3"), CATALOG)
    assert (detected.query.machine, detected.query.gpu, detected.query.service) == (machine.lower(), "h100", "")
    assert not [warning for warning in detected.warnings if "machine" in warning]


def test_a_node_without_gpu_readings_has_the_gpu_of_its_machine_and_a_warning() -> None:
    detected = detect(snapshot({LABEL: "a3-megagpu-8g", "cloud.google.com/gke-nodepool": "a"}), CATALOG)
    assert (detected.query.gpu, detected.query.service) == ("h100", "gke")
    assert "the snapshot has no GPU model: gpu is h100, that of the machine a3-megagpu-8g" in detected.warnings
    assert not [warning for warning in detected.warnings if "gpu stays unset" in warning]


@pytest.mark.parametrize(
    ("labels", "model", "words"),
    [
        ({LABEL: "p5.48xlarge"}, "NVIDIA A100-SXM4-80GB", "which has gpu h100, but gpu is a100: machine stays unset"),
        ({LABEL: "p5.48xlarge"}, "NVIDIA X9", "which has gpu h100, but gpu is NVIDIA X9: machine stays unset"),
        ({LABEL: "p5.48xlarge", "cloud.google.com/gke-nodepool": "a"}, "NVIDIA H100", "has service eks, but service is gke: machine"),
        ({LABEL: "p9.large"}, "NVIDIA H100", f"K8s.node.label.{LABEL} is 'p9.large', which is not in the catalog: machine stays unset"),
    ],
)
def test_readings_win_over_the_name_of_the_machine(labels: dict[str, str], model: str, words: str) -> None:
    detected = detect(snapshot(labels, model), CATALOG)
    assert detected.query.machine == ""
    assert [warning for warning in detected.warnings if words in warning], detected.warnings


@pytest.mark.parametrize(
    ("labels", "model"),
    [
        ({LABEL: "k3s"}, "NVIDIA H100"),
        ({LABEL: "rke2"}, "NVIDIA H100"),
        ({"nvidia.com/gpu.machine": "ProLiant-DL360"}, "NVIDIA H100"),
        ({LABEL: "m5.large"}, ""),
    ],
)
def test_names_that_say_nothing_of_a_gpu_machine_are_no_warning(labels: dict[str, str], model: str) -> None:
    detected = detect(snapshot(labels, model), CATALOG)
    assert detected.query.machine == ""
    assert not [warning for warning in detected.warnings if "machine" in warning]


def test_a_flag_wins_over_the_machine_of_the_node() -> None:
    shot = snapshot({LABEL: "p5.48xlarge"}, "NVIDIA H100 80GB HBM3")
    assert eidos.make_recipe({"gpu": "a100"}, snapshot=shot).request == Query(gpu="a100")
    recipe = eidos.make_recipe({"machine": "dgx-h100"}, snapshot=shot)
    assert recipe.request == Query(gpu="h100", machine="dgx-h100")


@given(st.sampled_from(MACHINES), st.sampled_from(["", *CATALOG.names("gpu")]), st.sampled_from(["", *CATALOG.names("service")]))
def test_a_query_with_a_machine_agrees_with_it_or_is_an_error(machine: Machine, gpu: str, service: str) -> None:
    words = {"machine": machine.name, "gpu": gpu, "service": service}
    try:
        query = CATALOG.parse_query(words)
    except InvalidInput:
        assert gpu not in ("", machine.gpu) or service not in ("", machine.service)
    else:
        assert query.gpu == machine.gpu
        assert query.service == (service or machine.service)
        assert CATALOG.parse_query(query.fields()) == query


@given(st.text(max_size=30))
def test_any_name_of_a_type_is_a_machine_or_none(name: str) -> None:
    machine = match_machine(name, CATALOG)
    assert machine is None or machine in MACHINES


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"gpu": "h100", "source": "a"}, "machines[0].name: expected a name"),
        ({"name": "x", "source": "a"}, "machines[0].gpu: expected a name"),
        ({"name": "x", "gpu": "h100", "source": "b"}, "machines[0].source: unknown source 'b'"),
        ({"name": "x", "gpu": "h100", "source": "a", "fabric": "token-ring"}, "machines[0].fabric: unknown fabric"),
        ({"name": "x", "gpu": "h100", "source": "a", "nics": "many"}, "machines[0].nics: expected a number"),
        ({"name": "x", "gpu": "h100", "source": "a", "cores": 5}, "machines[0]: unknown field 'cores'"),
    ],
)
def test_a_row_that_is_no_machine_is_named(row: dict[str, Any], message: str) -> None:
    tree = {"sources": [{"id": "a", "document": "d"}], "machines": [row]}
    with pytest.raises(InvalidData, match=r"machines\.yaml: ") as fault:
        read_machines(tree)
    assert message in fault.value.message


def test_lint_finds_a_machine_with_an_unknown_gpu_and_two_that_look_alike() -> None:
    row = {"gpu": "h1000", "gpu-count": 8, "source": "a"}
    machines = {"sources": [{"id": "a", "document": "d"}], "machines": [{"name": "x.1", **row}, {"name": "X-1", **row}]}
    trees = shipped_trees()
    others = {name: trees[name] for name in ("base.yaml", "catalog.yaml", "components.yaml", "rules.yaml")}
    issues = [issue for issue in lint_trees({**others, "machines.yaml": machines}) if issue.location.startswith("machines.yaml")]
    assert {(issue.rule, issue.location) for issue in issues} == {
        ("unknown-word", "machines.yaml: x.1.gpu"),
        ("unknown-word", "machines.yaml: x-1.gpu"),
        ("wrong-pattern", "machines.yaml: x-1"),
    }


def test_a_platform_without_a_layer_is_a_warning_and_none_is_not() -> None:
    names = [name for name in CATALOG.names("platform") if not any(layer.key.platform == name for layer in STORE.overlays)]
    for name in names:
        warned = [warning for warning in eidos.make_recipe({"platform": name}).warnings if "platform" in warning]
        assert bool(warned) == (name != "none"), name
