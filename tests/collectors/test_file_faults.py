"""What goes wrong with the files of a host, and what each collector of files makes of it.

Every file that a collector reads is missing, a FIFO, a folder, a link to itself, larger than any such file, or garbage. Whatever it is, the
collector yields readings and gaps or ends with one of its documented errors; and a file that is there and cannot be read is named.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eidos.collectors import KERNEL_FILES, Sources, list_collectors, load_collector, shares_child
from eidos.errors import EidosError, NotApplicable
from eidos.files.host import Host
from eidos.model.measurement import ABSENT, DIGEST, REVEALED, SECRET, UNREADABLE, VOLATILE, Gap, Subtype
from tests.support.node_tree import MACHINES, write_node_tree

TESTS = Path(__file__).parent.parent
COLLECTORS = [name for name in list_collectors() if shares_child(name)]


def garbage(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"\x00\xff\xfe\x1b[31m=:[\n9999999999999999999999999999\n\n,-,-1-\n" * 20)


def huge(path: Path) -> None:
    path.unlink()
    path.touch()
    os.truncate(path, 100 << 20)


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def empty(path: Path) -> None:
    path.unlink()
    path.touch()


#: Parts of the captured host that need not be tried.
NOT_READ = dict.fromkeys(("os.grub", "os.kmod", "os.release", "os.sysctl"), ("sys/devices", "sys/kernel/mm", "proc/sys/net"))

#: Files of which only a few bytes at fixed places are read, so that no size is too large; files of which only the names are read.
READ_IN_PART, NAMED = (
    re.compile(r"/config$|/bin/[^/]+$"),
    re.compile(r"\.so[.0-9]*$|^cgroup\.type$|^reboot-required$|^synchronized$|^(SecureBoot|StubInfo)-"),
)

#: Fault → whether the file cannot be read then, so that a gap has to name it.
FAULTS: dict[Callable[[Path], None], bool] = {
    Path.unlink: False,
    empty: False,
    garbage: False,
    huge: True,
    loop: True,
    folder: True,
    fifo: True,
}


def trees(collector: str) -> list[Path]:
    """The trees of the collector's cases, else a captured host, else a file of its cases."""
    folder = TESTS / "cases" / collector
    if collector == "os.kmsg":
        return [folder / "xids-of-two-gpus.in"]
    return sorted(path for path in folder.glob("*.in") if path.is_dir()) or [TESTS / "hosts/rhel-9"]


def copy_tree(collector: str, tree: Path, copy: Path) -> None:
    """Copy a tree, or put a file where the collector looks for it."""
    if tree.is_dir():
        shutil.copytree(tree, copy, symlinks=True)
    else:
        file = copy / importlib.import_module(f"eidos.collectors.{collector.replace('.', '_', 1)}").PATH.lstrip("/")
        file.parent.mkdir(parents=True)
        shutil.copy(tree, file)


def run(collector: str, root: Path) -> tuple[list[Subtype | Gap], EidosError | NotApplicable | None]:
    """What a collector yields, and how it ends; any other exception fails the test."""
    parts: list[Subtype | Gap] = []
    try:
        for part in load_collector(collector)(Sources(Host(str(root)), volatile=True)):
            parts.append(part)
            if isinstance(part, Gap):
                assert part.kind in (UNREADABLE, ABSENT, SECRET, REVEALED, DIGEST) and part.what and part.why
            else:
                assert part.name == collector.partition(".")[2] or part.name.startswith(collector.partition(".")[2])
                assert all(type(value) in (str, int, float, bool) for value in part.data.values())
    except (EidosError, NotApplicable) as end:
        return parts, end
    return parts, None


#: A folder among their files is one more folder.
FOLDERS_OF_FOLDERS = {"os.sysctl": "*", "os.kubelet": "*.d", "os.runtime": "*.d"}


def readings(parts: list[Subtype | Gap]) -> dict[tuple[str, str], object]:
    """Subtype and key → reading."""
    return {(part.name, key): value for part in parts if isinstance(part, Subtype) for key, value in part.data.items()}


def faulty_trees(collector: str, copy: Path) -> Iterator[tuple[Path, str, bool, dict[tuple[str, str], object]]]:
    """Each file that matters, with each fault in turn.

    Yields the file, the fault, whether a gap has to name the file, and what is read without the fault.
    """
    for tree in trees(collector):
        copy_tree(collector, tree, copy)
        good = run(collector, copy)
        tried: dict[str, int] = {}
        for path in sorted(path for path in copy.rglob("*") if path.is_file() and not path.is_symlink()):
            tried[path.name] = tried.get(path.name, 0) + 1
            if tried[path.name] > 2 or any(part in str(path) for part in NOT_READ.get(collector, ())):
                continue
            content = path.read_bytes()
            path.unlink()
            is_read = run(collector, copy)[0] != good[0]
            path.write_bytes(content)
            for fault, is_unreadable in (FAULTS if is_read else {}).items():
                if fault is folder and path.parent.match(FOLDERS_OF_FOLDERS.get(collector, "-")):
                    continue
                fault(path)
                yield (
                    path,
                    fault.__name__,
                    is_unreadable and not ((fault is huge and READ_IN_PART.search(str(path))) or NAMED.search(path.name)),
                    readings(good[0]),
                )
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
                path.write_bytes(content)
        shutil.rmtree(copy)


@pytest.mark.exhaustive(sample=5)
@pytest.mark.parametrize("collector", COLLECTORS)
def test_no_fault_of_a_file_is_more_than_a_gap(collector: str, tmp_path: Path) -> None:
    count = 0
    for path, fault, is_unreadable, before in faulty_trees(collector, tmp_path / "tree"):
        parts, end = run(collector, tmp_path / "tree")
        count += 1
        if is_unreadable:
            strange = {key: value for key, value in readings(parts).items() if before.get(key) != value}
            assert strange == {}, (str(path)[-60:], fault)
        gaps = [gap for gap in parts if isinstance(gap, Gap) and gap.kind == UNREADABLE]
        named = [*(gap.what for gap in gaps), *(gap.why.partition(": ")[0] for gap in gaps)]
        names = {path.name, path.parent.name + "/*", *(f"{each.name}/*" for each in path.parents)}
        if is_unreadable and not isinstance(end, EidosError):
            assert any(what.endswith(tuple(names)) for what in named), (str(path)[-60:], fault, named, end)
    assert count > 0, "no file of its cases matters"


@pytest.mark.parametrize("collector", COLLECTORS)
def test_an_empty_host_has_none_of_the_sources(collector: str, tmp_path: Path) -> None:
    parts, end = run(collector, tmp_path)
    assert isinstance(end, NotApplicable) and not parts


@pytest.mark.parametrize("collector", sorted(KERNEL_FILES))
def test_collectors_of_the_kernels_files_read_no_others(collector: str, monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[str] = []
    for method in ("read_bytes", "open_directory", "exists", "read_link"):
        original = getattr(Host, method)

        def recorded(self: Host, path: str, *rest: int, original: Callable[..., object] = original) -> object:
            paths.append(path)
            return original(self, path, *rest)

        monkeypatch.setattr(Host, method, recorded)
    for root in (*trees(collector), TESTS / "hosts/ubuntu-22.04"):
        run(collector, root)
    assert paths and all(path.startswith(("/proc/", "/sys/")) for path in paths)


@pytest.mark.parametrize("collector", COLLECTORS)
def test_a_collector_leaves_no_descriptor_open(collector: str, tmp_path: Path) -> None:
    for number, tree in enumerate(trees(collector)):
        copy_tree(collector, tree, tmp_path / str(number))
    for tree in (*tmp_path.iterdir(), tmp_path):
        before = os.listdir("/proc/self/fd")
        run(collector, tree)
        assert set(os.listdir("/proc/self/fd")) <= set(before)


def test_a_machine_of_every_kind_is_read_completely(tmp_path: Path) -> None:
    for number, machine in enumerate(MACHINES.values()):
        write_node_tree(tmp_path / str(number), machine, with_each_cpu=number == 0)
        data = {}
        for collector in ("os.machine", "os.cpu", "os.memory", "os.pci"):
            parts, end = run(collector, tmp_path / str(number))
            assert end is None and not [part for part in parts if isinstance(part, Gap)]
            data.update({part.name: part.data for part in parts if isinstance(part, Subtype)})
        if number == 0:
            counts = {key: data["cpu"][key] for key in ("sockets", "cores", "threads", "governor")}
            assert counts == {"sockets": 2, "cores": 112, "threads": 224, "governor": "performance"}
        kinds = [value for key, value in data["pci"].items() if key.endswith(".kind")]
        assert kinds.count("gpu") == 8 == sum(key.endswith(".nics") for key in data["pci"])
        assert not any(key.endswith("speed") and "max" not in key for key in data["pci"])
        assert all(key.endswith(".speed") for key in data["pci" + VOLATILE])


def test_who_may_read_no_capability_of_a_bridge_sees_which_card_is_near(tmp_path: Path) -> None:
    """Of a configuration the kernel shows 64 bytes to who lacks CAP_SYS_ADMIN."""
    copy_tree("os.pci", TESTS / "cases/os.pci/switches.in", tmp_path / "tree")
    before = readings(run("os.pci", tmp_path / "tree")[0])
    for path in (tmp_path / "tree").rglob("config"):
        path.write_bytes(path.read_bytes()[:64])
    after = readings(run("os.pci", tmp_path / "tree")[0])
    near = {key: value for key, value in before.items() if key[1].endswith((".nics", ".nearest-nic"))}
    assert near and near.items() <= after.items()
