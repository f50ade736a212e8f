"""What ``compare`` calls a difference, and how it says so: one promise a test."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eidos.errors import InvalidInput
from eidos.model.bundle import Bundle
from eidos.model.check_report import CheckReport
from eidos.model.diff import ADDED, CHANGED, REMOVED, Diff
from eidos.model.finding import ERROR, FAIL, NOT_APPLICABLE, PASS, UNKNOWN, WARNING, Finding
from eidos.model.measurement import FAILED, OK, WITHHELD, Measurement, Outcome, Subtype
from eidos.model.record import replace
from eidos.model.snapshot import Snapshot
from eidos.workflow import compare, make_bundle, make_recipe, parse_snapshot
from tests.support.node_snapshots import HOSTS, tree_snapshot


def shot(
    readings: dict[str, Any], node: str = "gpu-07", outcomes: tuple[Outcome, ...] = (), time: str = "2026-11-28T06:00:00Z"
) -> Snapshot:
    """A snapshot of ``Type subtype key`` → value."""
    tree: dict[str, dict[str, dict[str, Any]]] = {}
    for path, value in readings.items():
        kind, subtype, key = path.split(" ")
        tree.setdefault(kind, {}).setdefault(subtype, {})[key] = value
    return Snapshot(time, "1", node, tuple(Measurement(k, tuple(Subtype(n, d) for n, d in s.items())) for k, s in tree.items()), outcomes)


def paths(diff: Diff) -> list[tuple[str, str]]:
    return [(change.path, change.kind) for change in diff.changes]


def node(driver: str, gpus: int) -> Snapshot:
    readings: dict[str, Any] = {"GPU smi driver": driver, "GPU smi gpu-count": gpus, "GPU smi cuda-version": driver[:3]}
    return shot(
        {**readings, **{f"GPU gpu-{number} model": "H100" for number in range(gpus)}, **{f"GPU gpu-{n} ecc": "on" for n in range(gpus)}}
    )


def test_a_driver_and_a_gpu_are_named_in_words_and_what_follows_from_them_is_not() -> None:
    diff = compare(node("580.82.07", 8), node("590.126.20", 7))
    assert diff.sentence == "driver 580.82.07 → 590.126.20, 1 GPU fewer"
    assert ("GPU.gpu-7.model", REMOVED) in paths(diff)
    assert compare(node("1", 1), node("1", 3)).sentence == "2 GPUs more"


@pytest.mark.parametrize(
    ("name", "old", "value"), [("vm/swappiness", "60", 60), ("vm/swappiness", "60", "60"), ("net/a", "4096\t8", "4096 8")]
)
def test_a_number_and_its_text_are_the_same_and_so_are_blanks_between_numbers(name: str, old: str, value: Any) -> None:
    assert compare(shot({f"OS sysctl /proc/sys/{name}": old}), shot({f"OS sysctl /proc/sys/{name}": value})).is_empty


def test_order_and_times_make_no_difference() -> None:
    first = shot({"OS kmod a": True, "GPU smi driver": "1", "SystemD kubelet.service After": "[a b]"}, outcomes=(Outcome("gpu", OK, 1.0),))
    other = shot({"SystemD kubelet.service After": "[b a]", "GPU smi driver": "1", "OS kmod a": True}, outcomes=(Outcome("gpu", OK, 9.0),))
    assert compare(first, replace(other, timestamp="2026-11-29T06:00:00Z")).is_empty


@pytest.mark.parametrize(
    ("include", "path"),
    [
        ("identity", "GPU gpu-0 uuid"),
        ("location", "GPU gpu-0 pci.bus-id"),
        ("volatile", "SystemD kubelet.service MainPID"),
        ("volatile", "OS sysctl.volatile /proc/sys/fs/file-nr"),
        ("volatile", "OS sysctl /proc/sys/kernel/random/boot_id"),
        ("volatile", "SystemD kubelet.service MemoryCurrent"),
    ],
)
def test_identity_location_and_volatile_readings_count_only_when_named(include: str, path: str) -> None:
    old, new = shot({path: "1"}), shot({path: "2"})
    assert compare(old, new).is_empty
    assert paths(compare(old, new, include=[include])) == [(path.replace(" ", "."), CHANGED)]
    others = {"identity", "location", "volatile"} - {include}
    assert compare(old, new, include=others).is_empty


def test_a_node_is_compared_with_another_without_their_names_unless_included() -> None:
    old, new = (shot({"OS grub host": f"of {name}"}, name) for name in ("gpu-07", "gpu-08"))
    assert compare(old, new).is_empty
    assert paths(compare(old, new, include=["identity"])) == [("metadata.source-node", CHANGED), ("OS.grub.host", CHANGED)]


def test_what_is_withheld_is_not_compared_and_listed() -> None:
    path = "OS grub password"
    for old, new in ((WITHHELD, WITHHELD), (WITHHELD, "x"), ("x", WITHHELD), (f"a={WITHHELD}", f"a={WITHHELD}")):
        diff = compare(shot({path: old}), shot({path: new}))
        assert (diff.changes, diff.not_compared, diff.patch) == ((), ("OS.grub.password",), ())
        assert diff.sentence == "no differences; 1 withheld value not compared"
    assert paths(compare(shot({path: f"a={WITHHELD} b=1"}), shot({path: f"a={WITHHELD} b=2"}))) == [("OS.grub.password", CHANGED)]
    assert paths(compare(shot({path: WITHHELD}), shot({}))) == [("OS.grub.password", REMOVED)]


@pytest.mark.parametrize(
    ("outcomes", "why"),
    [
        ((Outcome("gpu", FAILED, 1.0, "timed out"),), "gpu: timed out"),
        ((Outcome("gpu", OK, 1.0, unreadable={"smi": "permission denied"}),), "gpu: smi: permission denied"),
        ((Outcome("os.kmod", OK, 1.0),), "gpu was not collected"),
    ],
)
def test_what_a_side_could_not_read_is_no_difference(outcomes: tuple[Outcome, ...], why: str) -> None:
    full = shot({"GPU smi driver": "1"}, outcomes=(Outcome("gpu", OK, 1.0),))
    for diff in (compare(full, shot({}, outcomes=outcomes)), compare(shot({}, outcomes=outcomes), full)):
        assert (diff.changes, diff.patch) == ((), ())
        assert [(change.path, change.why) for change in diff.unread] == [("GPU.smi.driver", why)]
        assert "1 reading of one side only" in diff.sentence


def test_what_was_read_and_is_gone_is_a_difference() -> None:
    outcomes = (Outcome("gpu", OK, 1.0),)
    assert paths(compare(shot({"GPU smi driver": "1"}, outcomes=outcomes), shot({}, outcomes=outcomes))) == [("GPU.smi.driver", REMOVED)]


def test_recipes_differ_by_component_constraint_request_and_reading() -> None:
    old, new = make_recipe({"gpu": "h100"}), make_recipe({"gpu": "gb200", "intent": "training"})
    diff = compare(old, new)
    kinds = dict(paths(diff))
    assert kinds["request.gpu"] == kinds["constraints.GPU.smi.driver"] == CHANGED
    assert kinds["components.nvidia-dra-driver-gpu.version"] == kinds["request.intent"] == ADDED
    gone = set(old.rules) - set(new.rules)
    assert {path for path, kind in kinds.items() if kind == REMOVED} >= {f"matchedRules.{rule}" for rule in gone}
    assert gone
    assert not [path for path in kinds if path.startswith(("metadata", "explanation"))]
    assert compare(old, replace(make_recipe({"gpu": "h100"}, explain=True), timestamp="2027", rules=tuple(reversed(old.rules)))).is_empty


def test_bundles_differ_by_value_where_a_file_is_data_and_by_line_where_it_is_text() -> None:
    old, new = (make_bundle(make_recipe({"gpu": gpu})) for gpu in ("h100", "b200"))
    assert compare(old, old).is_empty
    kinds = dict(paths(compare(old, new)))
    assert kinds["recipe.yaml: constraints.GPU.smi.driver"] == CHANGED
    assert not any("checksums.txt" in path or "timestamp" in path for path in kinds)
    plain = Bundle({"a.yaml": b"x: 1\ny: [1]\n", "run.sh": b"one\n", "gone.txt": b"x"}, ())
    other = Bundle({"a.yaml": b"y: [1]  # same\nx: 2\n", "run.sh": b"two\n", "icon.png": b"\xff\0"}, ())
    diff = compare(plain, other)
    assert paths(diff) == [("gone.txt", REMOVED), ("icon.png", ADDED), ("run.sh", CHANGED), ("a.yaml: x", CHANGED)]
    assert diff.sentence == "2 files changed, 1 file added, 1 file removed"


def test_a_comparison_of_bundles_shows_no_value_that_is_named_after_a_credential() -> None:
    old, new = (
        Bundle({"a.yaml": f"env: [{{name: API_KEY, value: {value}}}]\npassword: {value}\nkey: {value}\nx: {value}\n".encode()}, ())
        for value in ("one", "two")
    )
    changes = {change.path.partition(": ")[2]: (change.old, change.new) for change in compare(old, new).changes}
    hidden = [{"name": "API_KEY", "value": WITHHELD}]
    assert changes == {"env": (hidden, hidden), "password": (WITHHELD, WITHHELD), "key": ("one", "two"), "x": ("one", "two")}


def test_a_number_may_be_a_credential_and_a_switch_is_none() -> None:
    old, new = (Bundle({"a.yaml": f"password: {value}\ntoken: {switch}\n".encode()}, ()) for value, switch in ((0, "true"), (1, "false")))
    changes = {change.path.partition(": ")[2]: (change.old, change.new) for change in compare(old, new).changes}
    assert changes == {"password": (WITHHELD, WITHHELD), "token": (True, False)}


def test_a_comparison_of_bundles_shows_no_secret_in_a_value_of_any_name() -> None:
    values = {
        "proxy": "http://bob:hunter22@proxy.example.com",
        "note": "the password is hunter22",
        "pem": "-----BEGIN PRIVATE KEY-----\nhunter22\n-----END PRIVATE KEY-----",
        "vault": "hvs.hunter220123456789",
        "pin": 4711,
        "port": 4711,
    }
    changes = {
        change.path: change.new
        for change in compare(Bundle({"a.json": b"{}"}, ()), Bundle({"a.json": json.dumps(values).encode()}, ())).changes
    }
    assert changes == {
        "a.json: proxy": f"http://{WITHHELD}@proxy.example.com",
        "a.json: note": f"the password is {WITHHELD}",
        **dict.fromkeys(("a.json: pem", "a.json: vault", "a.json: pin"), WITHHELD),
        "a.json: port": 4711,
    }


def test_a_report_says_which_findings_are_new_and_resolved_and_unknown_is_not_resolved() -> None:
    def report(**statuses: str) -> CheckReport:
        return CheckReport(
            "t", "1", "gpu-07", findings=tuple(Finding(i, f"title {i}", s, ERROR, "d", evidence={"t": s}) for i, s in statuses.items())
        )

    old = report(a=FAIL, b=PASS, c=FAIL, d=FAIL, e=PASS, f=PASS)
    new = report(a=PASS, b=FAIL, c=UNKNOWN, d=FAIL, e=NOT_APPLICABLE, g=FAIL, h=PASS)
    diff = compare(old, new)
    assert [(change.group, change.path) for change in diff.changes] == [("New", "b"), ("New", "g"), ("Resolved", "a"), ("Changed", "c")]
    assert diff.sentence == "2 new findings, 1 resolved finding, 1 changed finding"
    milder = CheckReport("t", "1", "gpu-07", findings=(Finding("a", "title", FAIL, WARNING, "d"),))
    assert [(change.group, change.old, change.new) for change in compare(report(a=FAIL), milder).changes] == [
        ("Changed", "error", "warning")
    ]


def test_documents_of_two_kinds_are_refused_with_what_to_do() -> None:
    snapshot, recipe = shot({"GPU smi driver": "1"}), make_recipe({"gpu": "h100"})
    with pytest.raises(InvalidInput, match=r"a.yaml is a Snapshot, b.yaml is a Recipe") as caught:
        compare(snapshot, recipe, names=("a.yaml", "b.yaml"))
    assert "eidos check" in (caught.value.hint or "")
    with pytest.raises(InvalidInput, match="a Recipe, a Snapshot"):
        compare(recipe, snapshot)


@pytest.mark.parametrize("host", ["ubuntu-22.04", "rhel-9"])
def test_a_captured_host_does_not_differ_from_itself_and_in_one_line_after_one_change(host: str) -> None:
    snapshot = tree_snapshot(HOSTS / host)
    tree = snapshot.to_tree()
    again = parse_snapshot(json.dumps(tree))
    assert compare(snapshot, again).is_empty
    sysctl = next(s for m in tree["measurements"] for s in m["subtypes"] if s["subtype"] == "sysctl")
    sysctl["data"]["/proc/sys/vm/swappiness"] = "13"
    assert paths(compare(snapshot, parse_snapshot(json.dumps(tree)))) == [("OS.sysctl./proc/sys/vm/swappiness", CHANGED)]


def test_the_document_has_a_kind_a_version_and_counts_and_is_the_same_each_time() -> None:
    old, new = node("1", 2), node("2", 1)
    tree = compare(old, new, names=("a.yaml", "b.yaml")).to_tree()
    assert (tree["kind"], tree["apiVersion"]) == ("Diff", "diff.dgxc.io/v1")
    assert {name: tree["metadata"][name] for name in ("from", "to", "from-node")} == {
        "from": "a.yaml",
        "to": "b.yaml",
        "from-node": "gpu-07",
    }
    assert {name: tree["summary"][name] for name in ("added", "removed", "changed")} == {"added": 0, "removed": 2, "changed": 3}
    assert tree == compare(old, new, names=("a.yaml", "b.yaml")).to_tree()
    assert json.loads(json.dumps(tree)) == tree
