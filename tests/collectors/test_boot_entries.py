"""Which entry of systemd-boot is the next one, and what is not read: the trees are in ``tests/cases/os.boot``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from eidos.collectors import Sources, _systemd_boot, os_boot
from eidos.collectors._boot_loader_specification import BootEntry
from eidos.collectors._systemd_boot import in_boot_order, version_key
from eidos.errors import InvalidData
from eidos.files.host import Host
from eidos.files.unified_kernel import read_unified_kernel
from eidos.model.measurement import UNREADABLE, Gap, Subtype

CASES = Path(__file__).parent.parent / "cases/os.boot"


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("123", "123a"),
        ("123", "123.a"),
        ("123.a", "123.b"),
        ("123.a", "123a"),
        ("A", "a"),
        ("", "0"),
        ("~", ""),
        ("1_", "1.2"),
        ("1.3.3", "1_2_3"),
        ("123~rc1-1", "123-1"),
        ("123-3-1", "123.1-1"),
        ("123-2", "123^1"),
        ("6.8.0-9-generic", "6.8.0-60-generic"),
        ("6.9", "6.010"),
    ],
)
def test_versions_have_the_order_of_the_specification(older: str, newer: str) -> None:
    assert version_key(older) < version_key(newer)


def test_versions_that_differ_in_other_characters_are_equal() -> None:
    assert version_key("11é") == version_key("11ü+") == version_key("_0011")


def test_entries_have_the_order_of_the_specification() -> None:
    expected = [
        BootEntry("z.conf", "", "debian", "", "1"),
        BootEntry("a.conf", "", "fedora", "1", "10"),
        BootEntry("b.conf", "", "fedora", "1", "9"),
        BootEntry("c.conf", "", "fedora", "2", "11"),
        BootEntry("d-10.conf", "", "", "", "1"),
        BootEntry("d-9.conf", "", "", "", "2"),
        BootEntry("bad.conf", "", "debian", "", "20", is_bad=True),
    ]
    assert in_boot_order(reversed(expected)) == in_boot_order(expected) == expected


def test_an_image_cut_off_or_changed_anywhere_is_read_or_refused(tmp_path: Path) -> None:
    image = next((CASES / "unified-kernel.in").rglob("*6.9.efi")).read_bytes()
    file = tmp_path / "image"
    refused = 0
    for at in range(len(image)):
        for content in (image[:at], image[:at] + b"\xff" + image[at + 1 :]):
            file.write_bytes(content)
            fd = os.open(file, os.O_RDONLY)
            try:
                line, _ = read_unified_kernel(fd)
                assert len(line) < 200
            except InvalidData:
                refused += 1
            finally:
                os.close(fd)
    assert refused > len(image) // 2


def test_a_partition_that_reading_would_mount_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = CASES / "systemd-boot.in"
    (tmp_path / "mountinfo").write_text(f"36 35 0:1 / {root}/efi rw - autofs systemd-1 rw\n")
    monkeypatch.setattr(_systemd_boot, "mount_table", lambda root: (str(tmp_path / "mountinfo"), root))
    monkeypatch.setattr(Host, "is_running_system", True)
    gaps = {part.what: part.why for part in os_boot.collect(Sources(Host(str(root)))) if isinstance(part, Gap) and part.kind == UNREADABLE}
    assert gaps["/efi/loader/entries"] == "not mounted now; run 'ls /efi' to have it mounted"


def _read(root: Path) -> tuple[dict[str, Subtype], dict[str, str]]:
    """Subtypes by name, and what could not be read."""
    parts = list(os_boot.collect(Sources(Host(str(root)))))
    gaps = {part.what: part.why for part in parts if isinstance(part, Gap) and part.kind == UNREADABLE}
    return {part.name: part for part in parts if isinstance(part, Subtype)}, gaps


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A host of which three files set something, each in two of its kind."""
    files = {
        "etc/sysctl.d/10-a.conf": "vm.swappiness = 10\n",
        "etc/sysctl.d/20-b.conf": "vm.dirty_ratio = 5\n",
        "etc/modprobe.d/a.conf": "options nvidia NVreg_A=1\nblacklist nouveau\n",
        "etc/modprobe.d/b.conf": "options nvidia NVreg_B=1\n",
        "etc/default/grub": 'GRUB_CMDLINE_LINUX="iommu=pt"\nGRUB_TIMEOUT=5\n',
        "boot/grub/grub.cfg": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_file_that_cannot_be_read_may_set_anew_what_files_before_it_set(settings: Path) -> None:
    for name in ("etc/sysctl.d/20-b.conf", "etc/modprobe.d/b.conf"):
        (settings / name).unlink()
        (settings / name).symlink_to(Path(name).name)
    subtypes, gaps = _read(settings)
    assert "boot-sysctl" not in subtypes
    assert (subtypes["boot-modprobe"].data, list(subtypes["boot-modprobe"].context)) == ({"blacklist.nouveau": True}, ["blacklist.nouveau"])
    assert set(gaps) == {"/etc/sysctl.d/20-b.conf", "/etc/modprobe.d/b.conf"}


def test_a_comment_that_is_not_utf_8_hides_nothing(settings: Path) -> None:
    expected = {name: part.data for name, part in _read(settings)[0].items()}
    assert expected["boot-sysctl"] == {"/proc/sys/vm/swappiness": "10", "/proc/sys/vm/dirty_ratio": "5"}
    for name in ("etc/sysctl.d/20-b.conf", "etc/modprobe.d/b.conf", "etc/default/grub"):
        (settings / name).write_bytes(b"# f\xfcr uns\n" + (settings / name).read_bytes())
    subtypes, gaps = _read(settings)
    assert {name: part.data for name, part in subtypes.items()} == expected
    assert len(gaps) == 3


def test_settings_of_grub_are_no_next_boot_while_its_configuration_cannot_be_read(settings: Path) -> None:
    (settings / "boot/grub/grub.cfg").unlink()
    (settings / "boot/grub/grub.cfg").symlink_to("grub.cfg")
    subtypes, gaps = _read(settings)
    assert "boot-cmdline" not in subtypes and subtypes["boot"].data["boot-loader"] == "grub"
    assert list(gaps) == ["/boot/grub/grub.cfg"]
