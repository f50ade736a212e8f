"""Modules whose bytecode is stored together: each exists, and is in one group."""

from __future__ import annotations

from eidos.build.module_groups import COMPRESSED_GROUPS, PACKAGES, UNCOMPRESSED_GROUPS, all_groups, module_groups
from tests.conftest import ROOT


def test_every_module_of_a_group_exists_and_is_in_one_group() -> None:
    groups = module_groups(UNCOMPRESSED_GROUPS) + module_groups(COMPRESSED_GROUPS)
    names = [name for group in groups for name in group if name != "eidos._build"]  # which the build writes
    paths = {name: ROOT / name.replace(".", "/") for name in names}
    assert [name for name, path in paths.items() if not path.with_suffix(".py").is_file() and not (path / "__init__.py").is_file()] == []
    assert len(set(names)) == len(names) > 100
    assert all(len(group) > 1 for group in groups)
    assert len(groups) == (UNCOMPRESSED_GROUPS + COMPRESSED_GROUPS).count(":\n")


def test_what_is_left_of_a_package_is_a_group() -> None:
    names = ["eidos.nvidia", "eidos.nvidia.nvml", "eidos.nvidia.pci_bus", "eidos.nvidia.nvml_readings", "eidos.dbus.bus", "yaml.tokens"]
    assert all_groups(names) == [["eidos.nvidia", "eidos.nvidia.pci_bus"], ["eidos.nvidia.nvml", "eidos.nvidia.nvml_readings"]]
    assert all((ROOT / package.replace(".", "/")).is_dir() for package in PACKAGES if package != "yaml")
