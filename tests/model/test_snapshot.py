"""The snapshot as a document: order, names, and what other programs' documents give."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from eidos.errors import InvalidData
from eidos.formats import from_text, to_json, to_yaml
from eidos.model.measurement import Measurement, Outcome, Subtype
from eidos.model.number_format import format_scalar
from eidos.model.snapshot import Snapshot, natural_key
from tests.support.growth import Shape, excessive_growth

H100 = Path(__file__).parent.parent.parent / "../shared/fixtures/snapshots/h100-eks.yaml"

SNAPSHOT = Snapshot(
    timestamp="2026-11-23T06:00:00Z",
    version="1.2.3",
    node="gpu-07",
    measurements=(
        Measurement("GPU", (Subtype("smi", {"gpu-count": 11}), Subtype("gpu-10", {"uuid": "b"}), Subtype("gpu-2", {"uuid": "a"}))),
        Measurement("OS", (Subtype("sysctl", {"/proc/sys/vm/swappiness": "60", "/proc/sys/abi/x": "1"}, {"b": "Second.", "a": "First."}),)),
        Measurement("K8s", ()),
    ),
    collectors=(
        Outcome(
            "os.sysctl", "partial", 3.1, unreadable={"/proc/sys/b": "permission denied", "/proc/sys/a": "input/output error"}, withheld=2
        ),
        Outcome("gpu", "ok", 12.5, absent={"gpu-2/mig": "not supported"}),
        Outcome("k8s.node", "skipped", 0.1, "no cluster", "name one with --kubeconfig"),
        Outcome("k8s.server", "partial", 0.1, "no answer", stale=7200),
    ),
)

DOCUMENT = """\
    kind: Snapshot
    apiVersion: snapshot.dgxc.io/v1
    metadata:
      snapshot-timestamp: "2026-11-23T06:00:00Z"
      snapshot-version: "1.2.3"
      source-node: gpu-07
    measurements:
      - type: K8s
        subtypes: []
      - type: OS
        subtypes:
          - subtype: sysctl
            data:
              /proc/sys/abi/x: "1"
              /proc/sys/vm/swappiness: "60"
            context:
              a: "First."
              b: "Second."
      - type: GPU
        subtypes:
          - subtype: gpu-2
            data:
              uuid: a
          - subtype: gpu-10
            data:
              uuid: b
          - subtype: smi
            data:
              gpu-count: 11
    collectors:
      - name: os.sysctl
        outcome: partial
        milliseconds: 3.1
        unreadable:
          /proc/sys/a: "input/output error"
          /proc/sys/b: "permission denied"
        withheld: 2
      - name: gpu
        outcome: ok
        milliseconds: 12.5
        absent:
          gpu-2/mig: "not supported"
      - name: k8s.node
        outcome: skipped
        milliseconds: 0.1
        reason: "no cluster"
        hint: "name one with --kubeconfig"
      - name: k8s.server
        outcome: partial
        milliseconds: 0.1
        reason: "no answer"
        stale: 7200
    """


def test_the_document() -> None:
    text = to_yaml(SNAPSHOT.to_tree()).replace("a: First.", 'a: "First."').replace("b: Second.", 'b: "Second."')
    assert text == dedent(DOCUMENT)


def test_the_order_of_measurements_changes_nothing() -> None:
    shuffled = Snapshot(
        SNAPSHOT.timestamp,
        SNAPSHOT.version,
        SNAPSHOT.node,
        tuple(
            Measurement(m.type, tuple(Subtype(s.name, dict(reversed(list(s.data.items()))), s.context) for s in reversed(m.subtypes)))
            for m in reversed(SNAPSHOT.measurements)
        ),
        SNAPSHOT.collectors,
    )
    assert to_yaml(shuffled.to_tree()) == to_yaml(SNAPSHOT.to_tree())


@pytest.mark.parametrize("write", [to_yaml, to_json])
def test_there_and_back(write: Any) -> None:
    again = Snapshot.from_tree(from_text(write(SNAPSHOT.to_tree()), "x"), "x")
    assert again.to_tree() == SNAPSHOT.to_tree()
    assert again.collectors == SNAPSHOT.collectors
    assert Snapshot.from_tree(again.to_tree(), "x") == again


@pytest.mark.shared
def test_the_go_programs_snapshot_loses_nothing() -> None:
    if not H100.is_file():
        pytest.skip(f"no {H100.name} beside the repository")
    theirs = from_text(H100.read_bytes(), H100.name)
    snapshot = Snapshot.from_tree(theirs, H100.name)
    assert (snapshot.node, snapshot.version, snapshot.timestamp) == ("ip-10-0-158-18.ec2.internal", "0.7.10", "2025-12-27T13:10:47Z")
    assert snapshot.collectors == ()
    ours = snapshot.to_tree()
    assert [m["type"] for m in ours["measurements"]] == ["K8s", "SystemD", "OS", "GPU"]
    assert readings(ours) == readings(theirs)
    assert Snapshot.from_tree(from_text(to_yaml(ours), "x"), "x").to_tree() == ours
    assert len(readings(ours)) > 1800


def readings(tree: Any) -> dict[tuple[str, str, str], object]:
    return {
        (measurement["type"], subtype["subtype"], key): value
        for measurement in tree["measurements"]
        for subtype in measurement["subtypes"]
        for key, value in subtype["data"].items()
    }


@pytest.mark.parametrize(
    ("text", "measurements"),
    [
        ("measurements:", ()),
        ("measurements: []", ()),
        ("measurements:\n- type: gpu", (Measurement("GPU", ()),)),
        ("measurements:\n- {type: SYSTEMD, subtypes: }", (Measurement("SystemD", ()),)),
        ("measurements:\n- type: k8S\n  subtypes:\n  - subtype: server", (Measurement("K8s", (Subtype("server", {}),)),)),
        ("measurements:\n- {type: os, subtypes: [{subtype: grub, data: , context: }]}", (Measurement("OS", (Subtype("grub", {}),)),)),
        ("measurements: []\nmetadata:\nextra: {a: 1}\ncollectors:", ()),
        # Subtypes of one name are one subtype.
        (
            """measurements:
- {type: os, subtypes: [{subtype: a, data: {x: 1}, context: {x: why}}, {subtype: b}]}
- {type: gpu}
- {type: OS, subtypes: [{subtype: a, data: {x: '1', y: 2}, context: {x: also}}]}""",
            (
                Measurement("OS", (Subtype("a", {"x": 1, "y": 2}, {"x": "why; also"}), Subtype("b", {}))),
                Measurement("GPU", ()),
            ),
        ),
    ],
)
def test_what_may_be_missing(text: str, measurements: tuple[Measurement, ...]) -> None:
    assert Snapshot.from_tree(from_text(text, "x"), "x") == Snapshot("", "", "", measurements)


def test_versions_without_quotes_keep_their_text() -> None:
    snapshot = Snapshot.from_tree(
        from_text(
            "metadata: {snapshot-version: 1.10}\nmeasurements: [{type: OS, subtypes: [{subtype: release, data: {VERSION_ID: 24.10}}]}]", "x"
        ),
        "x",
    )
    assert snapshot.version == "1.10"
    assert format_scalar(snapshot.measurements[0].subtypes[0].data["VERSION_ID"]) == "24.10"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x: the document is empty"),
        ("just text", "x: expected a mapping, found text"),
        ("- a", "x: expected a mapping, found a list"),
        ("a: 1", "x: not a snapshot: it has no measurements"),
        ("kind: Recipe\nmeasurements: []", 'x: kind: expected Snapshot, found "Recipe"'),
        ("kind: [a]\nmeasurements: []", "x: kind: expected Snapshot, found a list"),
        ("apiVersion: snapshot.dgxc.io/v2\nmeasurements: []", 'x: apiVersion: expected snapshot.dgxc.io/v1, found "snapshot.dgxc.io/v2"'),
        ("metadata: [1]\nmeasurements: []", "x: metadata: expected a mapping, found a list"),
        ("metadata: {source-node: {}}\nmeasurements: []", "x: metadata.source-node: expected text, found a mapping"),
        ("measurements: {}", "x: measurements: expected a list, found a mapping"),
        ("measurements: [a]", "x: measurements[0]: expected a mapping, found text"),
        ("measurements: [{}]", "x: measurements[0].type: expected a name, found nothing"),
        ("measurements: [{type: GPX}]", 'x: measurements[0].type: unknown type "GPX"'),
        ("measurements: [{type: OS}, {type: GPU, subtypes: 5}]", "x: measurements[1].subtypes: expected a list, found a number"),
        ("measurements: [{type: OS, subtypes: [{}]}]", "x: measurements[0].subtypes[0].subtype: expected a name, found nothing"),
        (
            "measurements: [{type: OS, subtypes: [{subtype: a, data: []}]}]",
            "x: measurements[0].subtypes[0].data: expected a mapping, found a list",
        ),
        (
            "measurements: [{type: OS, subtypes: [{subtype: a, data: {x: [1]}}]}]",
            "x: measurements[0].subtypes[0].data.x: expected a scalar, found a list",
        ),
        (
            "measurements: [{type: OS, subtypes: [{subtype: a, data: {x: }}]}]",
            "x: measurements[0].subtypes[0].data.x: expected a scalar, found nothing",
        ),
        (
            "measurements: [{type: OS, subtypes: [{subtype: a, context: {x: {}}}]}]",
            "x: measurements[0].subtypes[0].context.x: expected text, found a mapping",
        ),
        (
            "measurements: [{type: OS, subtypes: [{subtype: a, data: {x: 1, y: 2}}, {subtype: a, data: {y: 3}}]}]",
            "x: measurements[0].subtypes[1]: subtype a occurs twice, and y is '2' in the first and '3' here",
        ),
        (
            "measurements: [{type: os, subtypes: [{subtype: a, data: {x: 1}}]}, {type: OS, subtypes: [{subtype: a, data: {x: true}}]}]",
            "x: measurements[1].subtypes[0]: subtype a occurs twice, and x is '1' in the first and 'true' here",
        ),
        ("measurements: []\ncollectors: [{name: a}]", "x: collectors[0].outcome: expected a name, found nothing"),
        ("measurements: []\ncollectors: [{name: a, outcome: fine}]", 'x: collectors[0].outcome: unknown outcome "fine"'),
        ("measurements: []\ncollectors: [{outcome: ok}]", "x: collectors[0].name: expected a name, found nothing"),
        (
            "measurements: []\ncollectors: [{name: a, outcome: ok, milliseconds: fast}]",
            'x: collectors[0].milliseconds: expected a number, found "fast"',
        ),
        (
            "measurements: []\ncollectors: [{name: a, outcome: ok, withheld: .inf}]",
            'x: collectors[0].withheld: expected a number, found "inf"',
        ),
        (
            "measurements: []\ncollectors: [{name: a, outcome: ok, unreadable: [b]}]",
            "x: collectors[0].unreadable: expected a mapping, found a list",
        ),
    ],
)
def test_what_is_no_snapshot_says_where(text: str, message: str) -> None:
    with pytest.raises(InvalidData) as caught:
        Snapshot.from_tree(from_text(text, "x"), "x")
    assert caught.value.message == message


def test_natural_order() -> None:
    names = ["smi", "gpu-10", "gpu-2.volatile", "gpu-2", "gpu-02", "10", "9", "", "gpu", "gpu-10a", "gpu-²", "gpu-" + "9" * 30]
    expected = ["", "9", "10", "gpu", "gpu-02", "gpu-2", "gpu-2.volatile", "gpu-10", "gpu-10a", "gpu-" + "9" * 30, "gpu-²", "smi"]
    assert sorted(names, key=natural_key) == sorted(expected, key=natural_key) == expected


@pytest.mark.parametrize("is_one", [False, True], ids=["subtypes of one type", "one subtype"])
def test_work_grows_with_the_measurements(is_one: bool) -> None:
    """However often a type, or a subtype, occurs in the document."""

    def read(text: str) -> None:
        items = [
            {"type": "OS", "subtypes": [{"subtype": f"s{at * (not is_one)}", "data": {f"k{at}": at}, "context": {"k0": f"{at}"}}]}
            for at in range(len(text) // 8)
        ]
        (measurement,) = Snapshot.from_tree({"measurements": items}, "x").measurements
        assert sum(len(subtype.data) for subtype in measurement.subtypes) == len(items)

    assert excessive_growth(read, Shape("", "a", ""), thorough=True) is None
