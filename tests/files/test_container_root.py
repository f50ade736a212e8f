"""Whose root it is, from what the kernel shows to who may not look at process 1; with real namespaces in ``tests/collectors``."""

from __future__ import annotations

import os

import pytest

from eidos.files import container_root

HERE = "27 1 254:0 {} / rw,relatime - {}\n"
ELSEWHERE = "28 27 0:21 / /proc rw - proc proc rw\n"
DISK, LAYERS = HERE.format("/", "ext4 /dev/vda rw"), HERE.format("/", "overlay overlay rw,lowerdir=/a")
ENROOT = HERE.format("/home/bob/.local/share/enroot/cuda", "ext4 /dev/vda rw")
#: A folder that anybody may mount on; the kernel escapes no other end of a line than that of Unix.
FORGED = "50 27 0:50 / /home/bob/a\x0c1 1 0:1 / / rw - overlay overlay rw rw - fuse.x x rw\n"
SQUASHED = HERE.format("/", "fuse.squashfuse_ll squashfuse_ll ro")


@pytest.mark.parametrize(
    ("foreign", "first", "mounts", "is_marked", "answer"),
    [
        ("", "systemd", DISK, False, False),
        ("", "systemd", DISK, True, False),
        ("", "systemd", LAYERS, False, False),
        ("", "systemd", LAYERS, True, True),
        ("uts", "systemd", LAYERS, False, True),
        ("ipc", "systemd", LAYERS, False, True),
        ("user", "systemd", DISK, False, False),
        ("user", "systemd", ENROOT, False, True),
        ("user", "systemd", SQUASHED, False, True),
        ("pid", "systemd", LAYERS, True, False),
        ("pid", "bash", DISK, False, False),
        ("pid", "bash", DISK + FORGED, False, False),
        ("pid", "bash", DISK, True, True),
        ("pid", "bash", LAYERS, False, True),
        ("pid", "bash", "", False, True),
        ("", "systemd", "", False, True),
    ],
)
def test_whose_root_it_is(monkeypatch: pytest.MonkeyPatch, foreign: str, first: str, mounts: str, is_marked: bool, answer: bool) -> None:
    files = {"/proc/1/comm": f"{first}\n", "/proc/self/mountinfo": mounts + ELSEWHERE}

    def refuse(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(container_root, "foreign_namespaces", lambda exists: dict.fromkeys(foreign.split(), ""))
    monkeypatch.setattr(container_root, "_read", files.__getitem__)
    monkeypatch.setattr(container_root, "_CONTAINER_MARKS", ("/",) if is_marked else ())
    monkeypatch.setattr(os, "stat", refuse)
    assert container_root.is_container_root() is answer
