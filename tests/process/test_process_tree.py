"""Descendants are found by either of the two ways in which Linux shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from eidos.process.process_tree import descendants

#: Process -> its parent and the thread that started it.
PROCESSES = {1: (0, 0), 10: (1, 1), 11: (10, 10), 12: (10, 13), 13: (11, 11), 20: (1, 1), 21: (20, 20)}


@pytest.fixture(params=["listed", "by parent"])
def proc(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A /proc, of a kernel that lists the children of each thread or of one that does not."""
    is_listed = request.param == "listed"
    (tmp_path / "thread-self").mkdir()
    (tmp_path / "version").touch()
    if is_listed:
        (tmp_path / "thread-self" / "children").touch()
    for pid, (parent, _) in PROCESSES.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a b) 1 (c)) S {parent} 1 1 0 -1\n")
        for thread in {pid, *(thread for parent, thread in PROCESSES.values() if parent == pid)} if is_listed else ():
            (tmp_path / str(pid) / "task" / str(thread)).mkdir(parents=True)
            children = [str(child) for child, started_by in PROCESSES.items() if started_by == (pid, thread)]
            (tmp_path / str(pid) / "task" / str(thread) / "children").write_text("".join(f"{child} " for child in children))
    return str(tmp_path)


@pytest.mark.parametrize(
    ("roots", "expected"), [([10], {11, 12, 13}), ([11, 20], {13, 21}), ([10, 11], {12, 13}), ([13], set()), ([99], set()), ([], set())]
)
def test_descendants(proc: str, roots: list[int], expected: set[int]) -> None:
    assert descendants(roots, proc) == expected


def test_without_proc_there_are_none(tmp_path: Path) -> None:
    assert descendants([1], str(tmp_path / "proc")) == set()
