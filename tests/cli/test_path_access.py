"""Which paths a child process looks at, and how often the table of mounts is read."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest

from eidos.cli import path_access, recipe, user_config
from eidos.cli.path_access import check_file_system, is_on_network_filesystem, mount_types
from eidos.cli.user_config import resolve_options
from eidos.errors import Timeout

MOUNTS = b"""\
31 1 8:1 / / rw - ext4 /dev/sda1 rw
40 31 0:35 / /sys/fs/fuse/connections rw - fusectl none rw
41 31 0:36 / /net\\040a rw - nfs4 192.0.2.1:/a rw
42 41 0:37 / /net\\040a/local rw - tmpfs none rw
43 31 0:38 / /home/a\rb\x0cc rw - fuse.sshfs a: rw
"""


@pytest.fixture
def accessed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Paths that a child process was to look at, each with what names it; all lie on a network file system."""
    accessed: list[tuple[str, str]] = []
    monkeypatch.setattr(path_access, "is_on_network_filesystem", lambda path: True)
    monkeypatch.setattr(path_access, "access_path", lambda origin, path, *_: accessed.append((origin, path)))
    return accessed


def test_only_paths_are_looked_at(accessed: list[tuple[str, str]]) -> None:
    for path in ("-", "cm://gpu/node", "https://example.com/a", "a", "./-", "/a://b", "./a://b"):
        check_file_system("--file", path, 60)
    assert accessed == [("--file", path) for path in ("a", "./-", "/a://b", "./a://b")]


def test_a_default_is_named_by_its_flag(accessed: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    values = resolve_options(recipe.VERB.options, {}, {})
    values.update(dict.fromkeys((operand.name for operand in recipe.VERB.operands), None))
    user_config.check_file_systems(recipe.VERB, values)
    assert accessed == []
    values["output"] = "out.yaml"
    user_config.check_file_systems(recipe.VERB, values)
    assert accessed == [("--output", "out.yaml")]


def test_network_file_systems_are_those_behind_a_server_or_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_access, "_mounts", [mount_types(MOUNTS)])
    paths = {
        "/net a": True,
        "/net a/b/c": True,
        "/net a/local/b": True,
        "/local": False,
        "/net ab": False,
        "/sys/fs/fuse/connections/1": False,
        "/": False,
    }
    assert {path: is_on_network_filesystem(path) for path in paths} == paths
    assert not any(mount_types(b"40 31 0:35 / /sys/fs/fuse/connections rw - fusectl none rw").values())


def test_the_table_of_mounts_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_access, "_mounts", [])
    opened: list[Any] = []

    def counted(path: Any, *words: Any, **more: Any) -> Any:
        opened.append(path)
        return builtins.open(path, *words, **more)

    monkeypatch.setattr(path_access, "open", counted, raising=False)
    for path in (sys.executable, "/", "a"):
        is_on_network_filesystem(path)
    assert opened == ["/proc/self/mountinfo"]


def test_a_file_of_values_that_never_answers_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from eidos.cli import bundle
    from eidos.cli.bundle_arguments import read_bundle_options

    def access(origin: str, path: str, *_: Any) -> None:
        raise Timeout(f"{origin}: timed out reading the file system at {path!r}")

    monkeypatch.setattr(path_access, "is_on_network_filesystem", lambda path: True)
    monkeypatch.setattr(path_access, "access_path", access)
    values = resolve_options(bundle.VERB.options, {"values": ["gpu-operator=/dead/v"]}, {})
    with pytest.raises(Timeout, match=r"^--values: timed out reading the file system at '/dead/v'$"):
        read_bundle_options(values)
