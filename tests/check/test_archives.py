"""Archives of support tools: what they lack turns findings to unknown, and never to passed, failed or not applicable."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.files.host_archive import HostArchive, unpack
from tests.check.planted import report_of
from tests.support.effort import examples
from tests.support.node_snapshots import HOSTS, tree_snapshot
from tests.support.support_archives import sos_report


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> HostArchive:
    """A report of sos(1), unpacked."""
    folder = tmp_path_factory.mktemp("sos")
    (folder / "archive").write_bytes(sos_report(HOSTS / "ubuntu-22.04", form="gz", pending="Yes"))
    (folder / "tree").mkdir()
    return unpack(str(folder / "archive"), str(folder / "tree"))


def statuses(archive: HostArchive) -> dict[str, str]:
    snapshot = tree_snapshot(Path(archive.root), archive.smi, known_absent=frozenset(archive.absent))
    return {finding.id: finding.status for finding in report_of(snapshot).findings if not finding.id.startswith("snapshot-")}


@settings(max_examples=examples(5))
@given(st.data())
def test_a_file_less_turns_its_findings_to_unknown(archive: HostArchive, draw: st.DataObject) -> None:
    before = statuses(archive)
    assert {"gpu-row-remap-pending", "cdi-of-other-driver"} <= {id for id, status in before.items() if status == "fail"}
    root = Path(archive.root)
    files = sorted(path for path in root.rglob("*") if path.is_file() or path.is_symlink())
    path: Path = draw.draw(st.sampled_from(files))
    away = root.parent / "away"
    path.rename(away)
    try:
        after = statuses(archive)
    finally:
        away.rename(path)
    assert after.keys() == before.keys()
    assert {id: status for id, status in after.items() if status not in (before[id], "unknown")} == {}, path
