"""Laws of comparing two documents."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.model.bundle import Bundle
from eidos.model.check_report import CheckReport
from eidos.model.diff import ADDED, CHANGED, REMOVED
from eidos.model.finding import SEVERITIES, STATUSES, Finding
from eidos.model.measurement import FAILED, OK, WITHHELD, Measurement, Outcome, Subtype
from eidos.model.query import Query
from eidos.model.recipe import Component, Recipe
from eidos.model.snapshot import Snapshot
from eidos.workflow import compare
from tests.support.effort import examples
from tests.support.json_patch import apply_patch

PATHS = (
    ("GPU", "smi", "driver"),
    ("GPU", "smi", "gpu-count"),
    ("GPU", "gpu-0", "uuid"),
    ("GPU", "gpu-1", "pci.link.width"),
    ("OS", "sysctl", "/proc/sys/vm/swappiness"),
    ("OS", "sysctl", "/proc/sys/kernel/random/boot_id"),
    ("OS", "sysctl.volatile", "/proc/sys/fs/file-nr"),
    ("OS", "grub", "a~b/c"),
    ("OS", "kmod", "nvidia"),
    ("SystemD", "kubelet.service", "After"),
    ("SystemD", "kubelet.service", "ExecStart"),
    ("K8s", "node", "provider-id"),
    ("K8s", "image", "nginx"),
)
scalars = st.one_of(
    st.sampled_from(["", "60", "x y", "y x", WITHHELD, f"--a={WITHHELD}", "gpu-07"]), st.integers(), st.booleans(), st.text(max_size=4)
)


@st.composite
def snapshots(draw: Any) -> Snapshot:
    readings = draw(st.dictionaries(st.sampled_from(PATHS), scalars))
    tree: dict[str, dict[str, dict[str, Any]]] = {}
    for (kind, subtype, key), value in readings.items():
        tree.setdefault(kind, {}).setdefault(subtype, {})[key] = value
    names = draw(st.lists(st.sampled_from(["gpu", "os.sysctl", "os.grub", "systemd"]), unique=True))
    outcomes = tuple(Outcome(name, draw(st.sampled_from([OK, FAILED])), 1.0, draw(st.sampled_from([None, "timed out"]))) for name in names)
    measurements = tuple(Measurement(k, tuple(Subtype(n, d) for n, d in s.items())) for k, s in tree.items())
    return Snapshot(
        draw(st.sampled_from(["", "2026-11-29T06:00:00Z"])), "1", draw(st.sampled_from(["", "gpu-07", "gpu-08"])), measurements, outcomes
    )


trees = st.recursive(
    scalars | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc~/"), inner, max_size=3),
    max_leaves=8,
)
values = st.dictionaries(st.sampled_from("abc~/"), trees, max_size=3)


@st.composite
def recipes(draw: Any) -> Recipe:
    measurements = (Measurement("OS", (Subtype("sysctl", draw(st.dictionaries(st.sampled_from(["/proc/a", "/proc/b"]), scalars))),)),)
    ids = draw(st.lists(st.sampled_from(["gpu-operator", "cert-manager", "nfd"]), unique=True))
    components = tuple(
        Component(i, i, "https://charts.example.com", draw(st.sampled_from(["1", "2"])), i, tuple(draw(st.permutations(ids))), draw(values))
        for i in ids
    )
    return Recipe(
        "",
        "1",
        draw(st.sampled_from(["a", "b"])),
        Query(gpu="h100"),
        tuple(draw(st.lists(st.sampled_from("xyz"), unique=True))),
        measurements,
        (),
        components,
    )


@st.composite
def reports(draw: Any) -> CheckReport:
    ids = draw(st.lists(st.sampled_from("abcd"), unique=True))
    findings = tuple(
        Finding(i, i, draw(st.sampled_from(STATUSES)), draw(st.sampled_from(SEVERITIES)), "d", evidence={"x": draw(st.sampled_from("12"))})
        for i in ids
    )
    return CheckReport("t", "1", "gpu-07", findings=findings)


@st.composite
def bundles(draw: Any) -> Bundle:
    from eidos.formats import to_json

    files = draw(
        st.dictionaries(st.sampled_from(["a/values.yaml", "run.sh", "b.json", "checksums.txt"]), values.map(to_json) | st.text(max_size=5))
    )
    return Bundle({path: text.encode("utf-8", "surrogatepass") for path, text in files.items()}, ())


documents = st.sampled_from([snapshots(), recipes(), reports(), bundles()])
pairs = documents.flatmap(lambda kind: st.tuples(kind, kind))
includes = st.lists(st.sampled_from(["identity", "location", "volatile"]), unique=True)


@given(documents.flatmap(lambda kind: kind), includes)
def test_a_document_does_not_differ_from_itself(document: Any, include: list[str]) -> None:
    diff = compare(document, document, include=include)
    assert (diff.changes, diff.unread, diff.patch) == ((), (), ())


@given(pairs, includes)
def test_both_directions_find_the_same(pair: Any, include: list[str]) -> None:
    there, back = compare(*pair, include=include), compare(*reversed(pair), include=include)
    opposite = {ADDED: REMOVED, REMOVED: ADDED}
    assert {(c.path, opposite.get(c.kind, c.kind), repr(c.new), repr(c.old)) for c in there.changes} == {
        (c.path, c.kind, repr(c.old), repr(c.new)) for c in back.changes
    }
    assert {c.path for c in there.unread} == {c.path for c in back.unread}
    assert there.not_compared == back.not_compared


@settings(max_examples=examples(200))
@given(
    st.sampled_from([(snapshots(), Snapshot), (recipes(), Recipe), (reports(), CheckReport)]).flatmap(
        lambda row: st.tuples(row[0], row[0], st.just(row[1]))
    ),
    includes,
)
def test_the_patch_makes_the_one_mean_what_the_other_means(row: Any, include: list[str]) -> None:
    old, new, kind = row
    tree = old.to_tree(context=True) if kind is Recipe else old.to_tree()
    diff = compare(old, new, include=include)
    patched = apply_patch(tree, diff.patch)
    if kind is Recipe and not any(subtype["data"] for measurement in patched["measurements"] for subtype in measurement["subtypes"]):
        return  # no recipe any more, and so was the other
    again = compare(kind.from_tree(patched, "patched"), new, include=include)
    assert again.changes == ()
    assert {change.path for change in again.unread} <= {change.path for change in diff.unread}


@given(pairs)
def test_equal_means_no_operation_and_the_other_way_round(pair: Any) -> None:
    diff = compare(*pair)
    assert diff.is_empty == (not diff.patch)
    assert diff.is_empty == diff.sentence.startswith("no differences")
    assert all(change.old is None for change in diff.changes if change.kind == ADDED)
    assert all(change.new is None for change in diff.changes if change.kind == REMOVED)
    assert all(None not in (change.old, change.new) for change in diff.changes if change.kind == CHANGED)
