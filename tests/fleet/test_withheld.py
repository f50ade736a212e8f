"""Withheld values are compared by digests under a key of the run; where there are none they are reported as not compared."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import pytest

from eidos import formats, reading_selection
from eidos.collectors import Sources
from eidos.errors import InvalidData
from eidos.files.host import Host
from eidos.fleet.bootstrap import build_program
from eidos.fleet.comparison import FleetComparison
from eidos.fleet.results import parse_snapshot
from eidos.fleet.summary import FleetSummary
from eidos.model.measurement import OK, WITHHELD, Measurement, Outcome, Subtype
from eidos.model.snapshot import Snapshot, digest_line
from tests.support.program import PROGRAM, eidos

PATH = "OS.grub.my.pw"
SECRET, OTHER = "Zq7kD02mWx91LpTe", "Zq7kD02mWx91LpTf"


def node(name: str, digest: str = "") -> Snapshot:
    digests = {"grub/my.pw": digest} if digest else {}
    outcome = Outcome("os.grub", OK, 1.0, withheld=1, digests=digests)
    return Snapshot("2026-11-23T06:00:00Z", "1", name, (Measurement("OS", (Subtype("grub", {"my.pw": WITHHELD}),)),), (outcome,))


def compare(*nodes: Snapshot) -> FleetSummary:
    comparison = FleetComparison(reading_selection.shipped_selection().select_readings)
    for each in nodes:
        comparison.add(each.node, each)
    return FleetSummary(tuple(comparison.classes()), {}, tuple(comparison.not_compared))


def test_other_digests_are_a_difference_and_are_not_shown() -> None:
    summary = compare(node("a", "aa11"), node("b", "aa11"), node("c", "bb22"))
    assert [one.kind for one in summary.classes] == ["equal", "odd"]
    (difference,) = summary.classes[1].differences
    assert (difference.path, difference.value, difference.expected) == (PATH, f"{WITHHELD} (another value)", WITHHELD)
    text = str(summary.to_tree()) + summary.sentence([])
    assert "aa11" not in text
    assert "bb22" not in text
    assert "not-compared" not in summary.to_tree()


def test_equal_digests_are_equal() -> None:
    assert [one.kind for one in compare(node("a", "aa11"), node("b", "aa11")).classes] == ["equal"]


def test_without_digests_nothing_is_compared_and_the_summary_says_so() -> None:
    summary = compare(node("a"), node("b"))
    assert [one.kind for one in summary.classes] == ["equal"]
    assert summary.to_tree()["not-compared"] == [PATH]
    assert summary.sentence([]).endswith("1 withheld value not compared")


def test_digests_follow_the_document_and_are_no_part_of_it() -> None:
    shot = node("a", "aa11")
    assert "aa11" not in formats.serialize(shot.to_tree(), "json") + formats.to_yaml(shot.to_tree())
    body = (formats.serialize(shot.to_tree(), "json") + digest_line(shot)).encode()
    assert parse_snapshot(body).collectors[0].digests == {"grub/my.pw": "aa11"}
    assert parse_snapshot(formats.serialize(shot.to_tree(), "json").encode()).collectors[0].digests == {}
    with pytest.raises(InvalidData):
        parse_snapshot(b"no document\n" + digest_line(shot).encode())


def test_the_key_comes_on_standard_input() -> None:
    result = eidos("snapshot", "--only", "os.release", "--digest-withheld")
    assert result.status == 2
    assert "needs a key of 16 bytes" in result.err


@pytest.mark.parametrize("piece", [32, 5])
def test_a_key_may_come_in_pieces(piece: int) -> None:
    with subprocess.Popen(
        [*PROGRAM, "snapshot", "--only", "os.release", "--digest-withheld", "-t", "json"], stdin=PIPE, stdout=PIPE, stderr=PIPE
    ) as process:
        assert process.stdin is not None
        for at in range(0, 32, piece):
            process.stdin.write(b"k" * len(range(at, min(at + piece, 32))))
            process.stdin.flush()
            time.sleep(0.05)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.splitlines()[-1].startswith(b"eidos-digests ")


def test_standard_input_that_never_ends_holds_nothing_up() -> None:
    with subprocess.Popen(
        [*PROGRAM, "snapshot", "--only", "os.release", "--digest-withheld"], stdin=PIPE, stdout=PIPE, stderr=PIPE
    ) as process:
        assert process.wait(timeout=60) == 2
        assert process.stderr is not None
        assert b"needs a key of 16 bytes" in process.stderr.read()


def test_the_name_of_a_node_is_marked_in_what_is_digested() -> None:
    """Values that differ only in their node's name are equal; a name that is a part of one value makes no other value of it."""
    own = os.uname().nodename
    sources = Sources(Host("/"), digest_key=b"k" * 32)

    def digest(value: str) -> str:
        (gap,) = sources.digests("grub", {"x": value}, {"x": WITHHELD})
        return gap.why

    assert digest(f"a{own}b") == digest(f"a{own.partition('.')[0]}b")
    assert digest(f"a{own}b") != digest("ab")


def test_over_a_command_withheld_values_are_compared_and_written_nowhere(pyz: Path, tmp_path: Path) -> None:
    for name, secret in (("n1", SECRET), ("n2", SECRET), ("n3", OTHER)):
        (tmp_path / name / "proc").mkdir(parents=True)
        (tmp_path / name / "proc/cmdline").write_text(f"quiet my.pw={secret}\n")
    via = tmp_path / "via"
    via.write_text(f'#!/bin/sh\nexport EIDOS_ROOT="{tmp_path}/$1"; shift; exec "$@"\n')
    via.chmod(0o755)
    program = [sys.executable, "-I", "-S", str(pyz), "fleet"]
    arguments = [
        "--hosts",
        "n1,n2,n3",
        "--via",
        f"{via} {{host}}",
        "--python",
        sys.executable,
        "--only",
        "os.grub",
        "-o",
        str(tmp_path / "out"),
    ]
    result = eidos(*arguments, "--exit-code", program=program, cwd=tmp_path)
    assert result.status == 4, result.err
    summary = formats.from_text((tmp_path / "out/summary.yaml").read_bytes(), "summary")
    assert [(one["kind"], one["nodes"]) for one in summary["classes"]] == [("equal", ["n1", "n2"]), ("odd", ["n3"])]
    assert summary["classes"][1]["differences"] == [{"path": PATH, "value": f"{WITHHELD} (another value)", "expected": WITHHELD}]
    written = "".join(path.read_text() for path in (tmp_path / "out").iterdir()) + result.out + result.err
    assert SECRET not in written
    assert OTHER not in written
    assert "eidos-digests" not in written
    again = eidos(*arguments[:-1], str(tmp_path / "again"), program=program, cwd=tmp_path)
    assert again.status == 0, again.err


def test_each_run_has_its_own_key(pyz: Path) -> None:
    first, second = (build_program(str(pyz), ["snapshot"], "--m", key=key).text for key in (b"k" * 32, b"l" * 32))
    assert first != second
    assert b"k" * 32 in first
