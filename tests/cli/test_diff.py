"""``eidos diff`` and ``eidos snapshot --remember`` as a user runs them."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from eidos.cli import main
from eidos.cli.snapshot_history import MAXIMUM_SNAPSHOTS, load_last, remember
from eidos.errors import NotFound, Unavailable
from eidos.formats import from_text, to_yaml
from eidos.model.measurement import Measurement, Subtype
from eidos.model.record import replace
from eidos.model.snapshot import Snapshot
from tests.support.json_patch import apply_patch

OLD = Snapshot("2026-11-28T06:00:00Z", "1", "gpu-07", (Measurement("GPU", (Subtype("smi", {"driver": "580.82.07", "gpu-count": 8}),)),))
NEW = replace(
    OLD, timestamp="2026-11-29T06:00:00Z", measurements=(Measurement("GPU", (Subtype("smi", {"driver": "580.126.20", "gpu-count": 7}),)),)
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "old.yaml").write_text(to_yaml(OLD.to_tree()))
    (tmp_path / "new.yaml").write_text(to_yaml(NEW.to_tree()))
    return tmp_path / "state"


def run(*words: str) -> int:
    return main(["diff", *words])


def test_the_table_says_it_in_words_first(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("old.yaml", "new.yaml") == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "gpu-07, 2026-11-28T06:00:00Z → 2026-11-29T06:00:00Z: driver 580.82.07 → 580.126.20, 1 GPU fewer"
    assert "  ~ driver     580.82.07 → 580.126.20" in lines


@pytest.mark.parametrize(("words", "status"), [(("old.yaml", "new.yaml"), 4), (("old.yaml", "old.yaml"), 0)])
def test_exit_code(words: tuple[str, ...], status: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(*words, "--exit-code") == status
    assert capfd.readouterr().out


def test_a_patch_applies_to_the_first_file(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("old.yaml", "new.yaml", "-t", "patch") == 0
    patched = apply_patch(from_text((tmp_path / "old.yaml").read_bytes(), "old"), json.loads(capfd.readouterr().out))
    assert patched["measurements"] == NEW.to_tree()["measurements"]


def test_a_patch_is_refused_for_a_file_in_which_its_paths_are_others(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "hand.yaml").write_text("measurements: [{type: gpu, subtypes: [{subtype: smi, data: {driver: 1}}]}]")
    assert run("hand.yaml", "new.yaml", "-t", "patch") == 2
    assert "would miss its places" in capfd.readouterr().err
    assert run("hand.yaml", "new.yaml") == 0


def test_markdown_escapes_what_markdown_would_read(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    odd = replace(OLD, measurements=(Measurement("OS", (Subtype("release", {"NAME": "<b>|*x*` $y$"}),)),))
    (tmp_path / "odd.yaml").write_text(to_yaml(odd.to_tree()))
    assert run("odd.yaml", "new.yaml", "-t", "markdown", "--all") == 0
    out = capfd.readouterr().out
    assert "\\<b\\>\\|\\*x\\*\\` \\$y\\$" in out
    assert "### GPU.smi" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "needs two documents"),
        (("old.yaml",), "needs two documents"),
        (("old.yaml", "missing.yaml"), "missing.yaml: no such file"),
        (("-", "-"), "standard input cannot be both"),
        (("old.yaml", "new.yaml", "--last"), "at most one document"),
        (("old.yaml", "new.yaml", "--root", "/x"), "--root needs --last"),
        (("--last",), "no remembered snapshots"),
        (("old.yaml", "pod.yaml"), "pod.yaml: a Pod; expected a snapshot"),
        (("old.yaml", "list.yaml"), "list.yaml: not a document of eidos"),
        (("old.yaml", "new.yaml", "--include", "all"), "invalid value 'all'"),
    ],
)
def test_wrong_usage_is_exit_2_with_what_is_wrong(
    words: tuple[str, ...], message: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "pod.yaml").write_text("kind: Pod\n")
    (tmp_path / "list.yaml").write_text("- 1\n")
    assert run(*words) == 2
    assert message in capfd.readouterr().err


def test_an_empty_folder_is_no_bundle(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("empty", "empty") == 5
    assert "not a bundle" in capfd.readouterr().err


def test_last_compares_with_what_was_remembered(state: Path, capfd: pytest.CaptureFixture[str]) -> None:
    remember(OLD, {"XDG_STATE_HOME": str(state)})
    assert run("--last", "new.yaml", "--exit-code") == 4
    assert "driver 580.82.07 → 580.126.20" in capfd.readouterr().out


def test_last_without_one_of_this_node_is_exit_2(state: Path, capfd: pytest.CaptureFixture[str]) -> None:
    remember(replace(OLD, node="gpu-08"), {"XDG_STATE_HOME": str(state)})
    assert run("--last", "new.yaml") == 2
    error = capfd.readouterr().err
    assert "no remembered snapshot of gpu-07" in error
    assert "--remember" in error


def test_snapshot_remember_keeps_what_it_writes_for_its_owner_alone(state: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["snapshot", "--only", "os.kmod", "--remember", "-o", "node.yaml"]) == 0
    [file] = state.rglob("*.yaml")
    assert file.read_bytes() == (tmp_path / "node.yaml").read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {stat.S_IMODE(path.stat().st_mode) for path in state.rglob("*") if path.is_dir()} == {0o700}
    assert run("--last", "node.yaml", "--exit-code") == 0


def test_the_last_ten_of_each_node_remain(state: Path) -> None:
    environ = {"XDG_STATE_HOME": str(state)}
    for number in range(MAXIMUM_SNAPSHOTS + 3):
        remember(replace(OLD, timestamp=f"2026-11-{number + 1:02}T06:00:00Z"), environ)
    remember(replace(OLD, node="gpu-08"), environ)
    assert load_last("gpu-07", environ)[0].timestamp == f"2026-11-{MAXIMUM_SNAPSHOTS + 3:02}T06:00:00Z"
    assert len(list(state.rglob("*.yaml"))) == MAXIMUM_SNAPSHOTS + 1


def test_nodes_whose_names_share_a_folder_and_damaged_files_are_passed_over(state: Path) -> None:
    environ = {"XDG_STATE_HOME": str(state)}
    remember(replace(OLD, node="root@gpu"), environ)
    remember(replace(OLD, node="root_gpu", timestamp="2026-11-29T06:00:00Z"), environ)
    [folder] = (state / "eidos/snapshots").iterdir()
    (folder / "20270101.yaml").write_text("{")
    assert load_last("root@gpu", environ)[0].node == "root@gpu"
    with pytest.raises(NotFound):
        load_last("root:gpu", environ)


def test_without_a_home_there_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="neither XDG_STATE_HOME nor HOME"):
        remember(OLD, {})
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot write"):
        remember(OLD, {"HOME": str(tmp_path / "file")})
