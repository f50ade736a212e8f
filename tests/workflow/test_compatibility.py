"""The promise of templates/help/compatibility.md: what a release has, every later one of its major version has, too.

``tests/golden/compatibility/*.txt`` is the inventory, one name a line, and may only grow. The folders beside it, one for each released
version, hold documents that it wrote.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import eidos
from eidos import errors
from eidos.cli.commands import VERB_FLAGS, load_verbs
from eidos.cli.exit_status import EXIT_STATUS, EXIT_STATUS_HELP
from eidos.cli.options import Operand, Option
from eidos.collectors import list_collectors
from eidos.fleet.comparison import ODD, Difference, NodeClass
from eidos.fleet.summary import FleetSummary, NoAnswer
from eidos.model.bundle_plan import ClusterRights, ComponentDecision, Interruption, PlannedComponent, PlannedNode, PlannedSetting
from eidos.model.diff import ComparedDocument
from eidos.model.finding import STEP_KINDS, WRITE, FindingSource
from eidos.model.node_change import FindingChange, NodeChange, ReadingCount
from eidos.model.record import Record
from eidos.recipe.store import shipped_store
from eidos.server.error_responses import STATUSES
from tests.conftest import ROOT
from tests.support.program import eidos as run

GOLDEN = ROOT / "tests" / "golden" / "compatibility"

#: Fields whose content is data of a host, a chart or a layer, in any form.
OPEN_FIELDS = {"urls", "data", "context", "unreadable", "absent", "values", "value", "unread", "key", "evidence", "from", "to"}


def list_flags() -> Iterator[str]:
    """Each verb, its flags with their short forms, variables and values, and its operands."""
    yield from (f"{flag} {verb}" for flag, verb in VERB_FLAGS.items())
    for verb in load_verbs():
        yield verb.name
        for option in verb.options:
            yield f"{verb.name} {option.flag}" + (f" {option.metavar}" if option.metavar else "")
            if option.short:
                yield f"{verb.name} -{option.short}"
            if not option.flag_only:
                yield f"{verb.name} {option.variable}"
            yield from (f"{verb.name} {option.flag} {value}" for value in list_choices(option))
        for operand in verb.operands:
            yield f"{verb.name} <{operand.name}>"
            yield from (f"{verb.name} <{operand.name}> {value}" for value in list_choices(operand))


def list_choices(argument: Option | Operand) -> Iterable[str]:
    """Values that are the program's own; those that a function gives are ids."""
    return argument.choices if isinstance(argument.choices, dict) else ()


def list_exit_statuses() -> Iterator[str]:
    """Each exit status, and the codes of errors that lead to one other than 1."""
    yield from map(str, EXIT_STATUS_HELP)
    yield from (f"{code} {status}" for code, status in EXIT_STATUS.items())


def list_error_codes() -> Iterator[str]:
    """Codes of the Python API, and of the server with their HTTP status."""
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, errors.EidosError):
            yield value.code
    yield from (f"HTTP {status} {code}" for status, (_, code) in STATUSES.items())


def list_ids() -> Iterator[str]:
    """Names of collectors and components, and the words of a query."""
    yield from (f"collector {name}" for name in list_collectors())
    store = shipped_store()
    yield from (f"component {name}" for name in store.charts)
    for field, entries in store.catalog.entries.items():
        yield from (f"query {field}={word}" for entry in entries if not entry.excluded for word in (entry.name, *entry.aliases))


def list_api() -> Iterator[str]:
    """Public names, the arguments of functions, and the fields and public attributes of classes."""
    for name in eidos.__all__:
        value = getattr(eidos, name)
        yield name
        if inspect.isfunction(value):
            yield from (f"{name}({argument})" for argument in inspect.signature(value).parameters)
        elif issubclass(value, Record):
            yield from (f"{name}.{field}" for field in value._fields)
        yield from (f"{name}.{attribute}" for attribute in vars(value) if inspect.isclass(value) and not attribute.startswith("_"))


def list_fields() -> Iterator[str]:
    """Fields of every document, with their types: ``Snapshot: metadata.source-node string``."""
    for name, tree in documents():
        yield from (f"{name}: {path}" for path in walk_fields(tree, ""))


def documents() -> Iterator[tuple[str, Any]]:
    """Documents in which every field is present."""
    outcome = eidos.Outcome("os.kmod", "partial", 1.5, "why", "hint", {"a": "why"}, {"b": "why"}, 1, 60)
    subtype = eidos.Subtype("kmod", {"a": "x", "b": 1, "c": 1.5, "d": True}, {"a": "why"})
    yield (
        "Snapshot",
        eidos.Snapshot("2026-11-23T06:00:00Z", "1.2.3", "gpu-07", (eidos.Measurement("OS", (subtype,)),), (outcome,)).to_tree(),
    )
    query = {"os": "ubuntu", "osv": "24.04", "kernel": "6.8", "service": "eks", "k8s": "1.33", "gpu": "gb200"}
    query |= {"intent": "training", "platform": "kubeflow", "machine": "p6e-gb200.36xlarge"}
    yield "Recipe", eidos.make_recipe(query, explain=True).to_tree(context=True)
    unknown = eidos.parse_snapshot("{measurements: [{type: GPU, subtypes: [{subtype: smi, data: {gpu.model: X9}}]}]}")
    yield "Recipe", eidos.make_recipe(snapshot=unknown).to_tree()
    steps = tuple(eidos.RemedyStep(kind, "why", "/etc/a" if kind == WRITE else "") for kind in STEP_KINDS)
    remedy = eidos.Remedy(steps, "reboot", "host", is_reversible=False)
    source = FindingSource("gpu-h100.yaml", "a-check", "a document", "1.0", "2026-11-29", "https://example.com")
    texts = ("a-check", "a title", "fail", "error", "gpu", "OS.kmod.a", "x", "y", "why")
    finding = eidos.Finding(*texts, source, remedy, {"OS.kmod.a": "y"}, "why", is_new=True)
    time = "2026-11-29T06:00:00Z"
    yield "CheckReport", eidos.CheckReport(time, "1.2.3", "gpu-07", time, "0f", ("why",), (finding,)).to_tree()
    change = eidos.Change("OS.kmod.a", "changed", "OS.kmod", "x", "y", "why")
    side = ComparedDocument("a.yaml", "gpu-07", time)
    yield "Diff", eidos.Diff("Snapshot", "1.2.3", side, side, (change,), (change,), ("OS.grub.a",), "a sentence").to_tree()
    appeared = FindingChange("a-check", "appeared", "a title", "error", "fail", "pass", "OS.kmod.a", "x", "y", "why")
    count = (ReadingCount("OS.kmod", 1, "why"),)
    yield "NodeChange", NodeChange(time, "gpu-07", "a sentence", {"error": 1}, time, (appeared,), (change,), count, count).to_tree()
    yield "BundlePlan", every_field_of_a_plan().to_tree()
    different = NodeClass(ODD, ("b",), (Difference("OS.kmod.a", "x", "y", "why"),), 1, {"OS.kmod": "why"})
    yield "FleetSummary", FleetSummary((different,), {"c": NoAnswer("why", "hint", "reason")}).to_tree()


def every_field_of_a_plan() -> eidos.BundlePlan:
    drain = (Interruption("drain", "why"),)
    decision = ComponentDecision("a", "upgrade", "1.0", "why", ("a step",), "hint", {"a.b": False})
    rule = {"role": "a", "apiGroups": ["*"], "nonResourceURLs": ["*"], "resources": ["*"], "verbs": ["*"]}
    texts = ("a", "a", "1.1", "https://charts.example.com", "a", "why")
    rights = ClusterRights(1, (rule,))
    component = PlannedComponent(*texts, 1, 2, ("a:1",), ("b:1",), ("why",), rights, drain, decision, "an error", 1)
    node = PlannedNode(("node/a",), 1, (PlannedSetting("sysctl a", "1", "node/a", "why"),), drain)
    request = {"gpu": "h100"}
    return eidos.BundlePlan("1.2.3", "0f", request, (component,), (decision,), node, 1, 2, "of a", ("why",), ("why",), ("why",), ("why",))


def printed_documents(folder: Path) -> Iterator[tuple[str, Any]]:
    """What ``--format json`` prints besides."""
    recipe, bundle, data = folder / "recipe.json", folder / "bundle", folder / "data"
    recipe.write_text(eidos.to_json(eidos.make_recipe({"gpu": "h100", "service": "eks"}).to_tree()))
    (data / "overlays").mkdir(parents=True)
    (data / "overlays" / "mine.yaml").write_text("key: {gpu: h1000}\n")
    commands = {
        "version": ["version"],
        "snapshot --list": ["snapshot", "--list"],
        "recipe list": ["recipe", "list"],
        "recipe lint": ["recipe", "lint", "--data", str(data)],
        "bundle": ["bundle", "-f", str(recipe), "-o", str(bundle), "--archive", str(folder / "b.tgz"), "-b", "cert-manager"],
        "verify": ["verify", str(bundle)],
        "manifest agent --explain-privileges": ["manifest", "agent", "--explain-privileges"],
    }
    for name, arguments in commands.items():
        if name == "verify":
            (bundle / "more.txt").touch()
        yield name, json.loads(run(*arguments, "-t", "json").out)


def walk_fields(tree: Any, path: str) -> Iterator[str]:
    """Each field below ``path`` and its type; an element of a list is ``[]``."""
    if path.rpartition(".")[2] in OPEN_FIELDS:
        yield f"{path} any"
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from walk_fields(value, f"{path}.{key}".lstrip("."))
    elif isinstance(tree, list):
        for item in tree:
            yield from walk_fields(item, f"{path}[]")
    else:
        name = {str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
        yield f"{path} {next(text for kind, text in name.items() if isinstance(tree, kind))}"


INVENTORY: dict[str, Callable[[], Iterator[str]]] = {
    "flags": list_flags,
    "exit-statuses": list_exit_statuses,
    "error-codes": list_error_codes,
    "ids": list_ids,
    "api": list_api,
    "fields": list_fields,
}


def compare_with_inventory(name: str, present: set[str], update: bool) -> None:
    path = GOLDEN / f"{name}.txt"
    promised = set(path.read_text().splitlines()) if path.exists() else set()
    if update:
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in sorted(promised | present)))
        promised |= present
    # A line that no release has had may be removed from the file by hand.
    assert not promised - present, "released and gone: only a new major version may drop these (templates/help/compatibility.md)"
    assert not present - promised, f"new: a run with --update-golden adds these to {path.relative_to(ROOT)}, and they stay there"


@pytest.mark.parametrize("name", INVENTORY)
def test_nothing_that_is_promised_disappears(name: str, update_golden: bool) -> None:
    compare_with_inventory(name, set(INVENTORY[name]()), update_golden)


def test_no_field_of_what_is_printed_disappears(tmp_path: Path, update_golden: bool) -> None:
    fields = {f"{name}: {path}" for name, tree in printed_documents(tmp_path) for path in walk_fields(tree, "")}
    compare_with_inventory("printed-fields", fields, update_golden)


# ---- documents of released versions ----


RELEASES = sorted(path for path in GOLDEN.iterdir() if path.is_dir())


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_released_snapshot_is_readable(release: Path, form: str) -> None:
    file = release / f"snapshot.{form}"
    snapshot = eidos.parse_snapshot(file.read_bytes(), file.name)
    assert (snapshot.version, snapshot.node) == (release.name, "gpu-07")
    values = {f"{m.type}.{s.name}.{key}": value for m in snapshot.measurements for s in m.subtypes for key, value in s.data.items()}
    assert values["OS.release.ID"] == "ubuntu"
    assert values["GPU.smi.gpu-count"] == 8
    outcomes = {outcome.name: outcome for outcome in snapshot.collectors}
    assert outcomes["os.sysctl"].unreadable == {"/proc/sys/kernel/sem": "permission denied"}
    recipe = eidos.make_recipe({"intent": "training"}, snapshot=snapshot)
    assert (recipe.request.os, recipe.request.gpu, recipe.request.intent) == ("ubuntu", "h100", "training")


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_released_recipe_makes_a_bundle(release: Path, form: str) -> None:
    file = release / f"recipe.{form}"
    recipe = eidos.parse_recipe(file.read_bytes(), file.name)
    assert recipe.version == release.name
    assert recipe.request == eidos.Query(service="eks", gpu="h100", intent="training")
    bundle = eidos.make_bundle(recipe)
    assert not bundle.errors
    assert {"gpu-operator/values.yaml", "install.sh"} <= bundle.files.keys()


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_a_released_bundle_verifies(release: Path) -> None:
    assert eidos.verify_bundle(str(release / "bundle.tar.gz")) == ()


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_a_released_configuration_applies(release: Path, tmp_path: Path) -> None:
    (tmp_path / "eidos").mkdir()
    (tmp_path / "eidos" / "config.yaml").write_bytes((release / "config.yaml").read_bytes())
    done = run("snapshot", "--list", env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert (done.status, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()] == ["os.grub", "os.release"]
