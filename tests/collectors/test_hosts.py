"""Captured hosts: what the OS collectors and the whole program make of trees of files, whatever machine the tests run on.

``pytest --update-golden`` writes ``golden/hosts/``; read the difference before it is kept.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from eidos.collectors import Sources, list_collectors, load_collector
from eidos.errors import NotApplicable
from eidos.files.host import Host
from eidos.formats import to_yaml
from eidos.model.measurement import VOLATILE, WITHHELD, Gap
from eidos.model.volatile import is_volatile_sysctl
from tests.support.program import eidos

HERE = Path(__file__).parent.parent
HOSTS = sorted(path.name for path in (HERE / "hosts").iterdir() if path.is_dir())
COLLECTORS = tuple(name for name in list_collectors() if name.startswith("os."))


def collect_all(name: str, volatile: bool = False) -> dict[str, Any]:
    """Collector → what it yielded, as a tree; gaps only where there are some."""
    sources = Sources(host=Host(str(HERE / "hosts" / name)), volatile=volatile)
    tree: dict[str, Any] = {}
    for collector in COLLECTORS:
        parts: dict[str, Any] = {}
        tree[collector] = parts
        try:
            for part in load_collector(collector)(sources):
                if isinstance(part, Gap):
                    parts.setdefault("gaps", []).append(f"{part.kind}: {part.what}: {part.why}")
                else:
                    parts[part.name] = dict(sorted({**parts.get(part.name, {}), **part.data}.items()))
                    parts.update({f"context of {part.name}": part.context} if part.context else {})
        except NotApplicable as why:
            parts["skipped"] = why.reason
    return tree


def test_all_that_were_promised_are_there() -> None:
    assert {"ubuntu-22.04", "ubuntu-24.04-arm64-64k", "rhel-9", "amazon-linux-2023", "cos", "debian-12"} <= set(HOSTS)


@pytest.mark.parametrize("name", HOSTS)
def test_golden(name: str, update_golden: bool) -> None:
    golden = HERE / "golden" / "hosts" / f"{name}.yaml"
    tree = collect_all(name)
    if update_golden:
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(to_yaml(tree), encoding="utf-8")
    assert tree == yaml.safe_load(golden.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", HOSTS)
def test_says_where_it_is_from(name: str) -> None:
    text = (HERE / "hosts" / name / "README.md").read_text(encoding="utf-8")
    assert "Captured on a real machine: " in text
    if "captured on a real machine: nothing." in text.lower():
        assert "Built after public documents:" in text


@pytest.mark.parametrize("name", HOSTS)
def test_what_changes_on_its_own_is_apart(name: str) -> None:
    parts = collect_all(name, volatile=True)["os.sysctl"]
    assert parts["sysctl"]
    assert not any(is_volatile_sysctl(path) for path in parts["sysctl"])
    assert all(is_volatile_sysctl(path) for path in parts["sysctl" + VOLATILE])
    if name != "debian-12":
        assert "/proc/sys/kernel/random/uuid" in parts["sysctl" + VOLATILE]


@pytest.mark.parametrize("name", HOSTS)
def test_interfaces_are_left_out(name: str) -> None:
    parts = collect_all(name)["os.sysctl"]["sysctl"]
    assert any("/net/ipv4/conf/all/" in path for path in parts)
    assert not any("/eth0/" in path or "/lo/" in path for path in parts)


def test_a_tree_is_not_the_running_system() -> None:
    for name in HOSTS:
        host = Host(str(HERE / "hosts" / name))
        assert not host.is_running_system
        assert host.foreign_namespaces() == {}


def test_an_absolute_link_stays_in_the_tree() -> None:
    tree = HERE / "hosts" / "amazon-linux-2023"
    assert (tree / "etc/os-release").readlink() == Path("/usr/lib/os-release")
    assert collect_all("amazon-linux-2023")["os.release"]["release"]["ID"] == "amzn"


def test_pages_of_two_sizes_stay_paired() -> None:
    grub = collect_all("ubuntu-24.04-arm64-64k")["os.grub"]["grub"]
    assert {key: value for key, value in grub.items() if "#" in key} == {
        "hugepagesz#1": "2M",
        "hugepages#2": "5128",
        "hugepagesz#3": "512M",
        "hugepages#4": "4",
    }


def test_secrets_of_an_installer_do_not_leave_the_host() -> None:
    parts = collect_all("rhel-9")["os.grub"]
    assert parts["grub"]["inst.ks"] == f"https://{WITHHELD}@images.example.com/ks.cfg?{WITHHELD}"
    assert "not-a-real" not in json.dumps(collect_all("rhel-9")).lower()


@pytest.mark.parametrize("name", HOSTS)
def test_the_program(name: str) -> None:
    """The document's OS measurement is what the collectors say, and a second document is the same but for time and duration."""
    documents = []
    for _ in range(2):
        result = eidos("snapshot", "--root", str(HERE / "hosts" / name), "--only", "os,gpu", "-t", "json", "--quiet")
        assert result.status == 0, result.err
        documents.append(json.loads(result.out))
    first, second = documents
    assert first["measurements"] == second["measurements"]
    os_part = next(part for part in first["measurements"] if part["type"] == "OS")
    expected = {subtype: data for parts in collect_all(name).values() for subtype, data in parts.items()}
    for subtype in os_part["subtypes"]:
        assert subtype["data"] == expected[subtype["subtype"]]
    outcomes = {outcome["name"]: outcome for outcome in first["collectors"]}
    assert outcomes["gpu"]["outcome"] == "skipped"
    if name == "rhel-9":
        assert "8" in outcomes["gpu"]["reason"] + outcomes["gpu"].get("hint", "")
