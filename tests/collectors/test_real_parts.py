"""Collectors of network, storage and software on real parts: network namespaces, a loop device, databases of packages, programs of Go."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eidos.collectors import Sources, load_collector, os_packages
from eidos.errors import InvalidData
from eidos.files.go_binary import program_version, read_build_information
from eidos.files.host import Host
from eidos.model.measurement import UNREADABLE, Gap, Subtype
from tests.conftest import ROOT

#: Runs a collector in a process of its own, and prints what it yields; with "host", as if its namespaces were the host's.
COLLECT = """
import json, sys
from eidos.collectors import Sources, load_collector
from eidos.files.host import Host
from eidos.model.measurement import Subtype

class OnHost(Host):
    def foreign_namespaces(self):
        return {}

host = (OnHost if sys.argv[2] == "host" else Host)(sys.argv[3])
data, gaps = {}, {}
for part in load_collector(sys.argv[1])(Sources(host, volatile=True)):
    if isinstance(part, Subtype):
        data.setdefault(part.name, {}).update(part.data)
    else:
        gaps[part.what] = [part.kind, part.why]
print(json.dumps([data, gaps]))
"""


def collect_in_namespace(
    collector: str, flags: str, script: str, how: str = "host", root: str = "/"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a collector yields in new namespaces (``flags`` of unshare) after a script of the shell has run there."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("needs root, unshare and ip")
    program = f'set -e\n{script}\nexec "$0" "$@"'
    command = ["unshare", *flags.split(), "sh", "-c", program, sys.executable, "-c", COLLECT, collector, how, root]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode and "Traceback" not in done.stderr:
        pytest.skip(f"not possible here: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    data, gaps = json.loads(done.stdout)
    return data, gaps


NETWORK = """
mount -t sysfs sysfs /sys
ip link add v0 type veth peer name v1
ip link add bond0 type bond mode 802.3ad xmit_hash_policy layer3+4 lacp_rate fast
ip link set v0 master bond0
ip link add link bond0 name bond0.100 type vlan id 100
ip link set bond0.100 mtu 1400
ip link set bond0 up && ip link set v0 up && ip link set v1 up && ip link set bond0.100 up
ip address add 192.0.2.1/24 dev bond0.100
ip address add 192.0.2.2/24 dev bond0.100
"""


def missing_link_types(*types: str) -> list[str]:
    """Those of ``types`` that this kernel has not, neither built in nor as a module that it loads by itself."""
    script = "for type; do ip link add x0 type $type 2>&1 | grep -q 'Unknown device type' && echo $type; done; true"
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("needs root, unshare and ip")
    return subprocess.run(["unshare", "-n", "sh", "-c", script, "sh", *types], capture_output=True, text=True, check=False).stdout.split()


def test_a_bond_and_a_vlan_in_a_network_namespace() -> None:
    missing = missing_link_types("bond", "vlan")
    if missing:
        options = {"bond": "CONFIG_BONDING", "vlan": "CONFIG_VLAN_8021Q"}
        pytest.skip(f"this kernel has no links of type {' and '.join(missing)} ({', '.join(options[each] for each in missing)})")
    data, gaps = collect_in_namespace("os.net", "-n -m", NETWORK)
    net = data["net"]
    assert net["interfaces"] == "bond0 bond0.100", "a veth is no hardware"
    assert net["bond0.kind"] == "bond" and net["bond0.enabled"] is True
    assert (net["bond0.bond.mode"], net["bond0.bond.transmit-hash"], net["bond0.bond.lacp-rate"]) == ("802.3ad", "layer3+4", "fast")
    assert net["bond0.bond.interfaces"] == "v0"
    assert (net["bond0.100.kind"], net["bond0.100.vlan.parent"], net["bond0.100.vlan.id"]) == ("vlan", "bond0", 100)
    assert (net["bond0.100.mtu"], net["bond0.100.ipv4-addresses"], net["bond0.ipv4-addresses"]) == (1400, 2, 0)
    assert isinstance(net["bond0.offload.gro"], bool) and isinstance(net["bond0.offload.tso"], bool)
    assert data["net.volatile"]["bond0.rx-errors"] == 0
    assert not [gap for gap in gaps.values() if gap[0] == UNREADABLE]


ASK_DRIVER = """
import json
from eidos.files.ethtool import InterfaceSocket
with InterfaceSocket() as socket:
    counts = socket.count_ipv4_addresses()
    facts = {name: socket.driver_facts(name) for name in ("v0", "lo", "gone", "a-name-that-is-longer-than-any")}
    print(json.dumps([counts, facts, socket.failed]))
"""


def test_what_the_driver_of_a_veth_reports() -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("needs root, unshare and ip")
    script = (
        "ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up && ip link set lo up"
        " && ip address add 192.0.2.1/24 dev v0 && ip address add 192.0.2.2/24 dev v0 label v0:1"
    )
    command = ["unshare", "-n", "sh", "-c", f'{script} && exec "$0" "$@"', sys.executable, "-c", ASK_DRIVER]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode and "Traceback" not in done.stderr:
        pytest.skip(f"not possible here: {done.stderr.strip()[-200:]}")
    counts, facts, failed = json.loads(done.stdout)
    assert counts == {"lo": 1, "v0": 2}
    assert facts["v0"]["offload.tso"] is True and facts["v0"]["offload.lro"] is False
    assert isinstance(facts["v0"]["offload.gro"], bool) and "driver-version" in facts["v0"]
    assert facts["gone"] == facts["a-name-that-is-longer-than-any"] == {}
    assert failed == {}


def test_a_containers_own_interfaces_are_never_the_hosts() -> None:
    script = "mount -t sysfs sysfs /sys && ip link add v0 type veth peer name v1"
    data, gaps = collect_in_namespace("os.net", "-n -m", script, how="container")
    assert not data
    kind, why = gaps["/sys/class/net"]
    assert kind == UNREADABLE and "container's network namespace" in why and "hostNetwork: true" in why


def test_the_hosts_sysfs_is_read_from_another_network_namespace_without_its_drivers() -> None:
    data, gaps = collect_in_namespace("os.net", "-n", "true", how="container")
    assert set(data) <= {"net", "net.volatile"}
    assert not [key for key in data.get("net", {}) if key.endswith((".firmware", ".rx-ring", ".ipv4-addresses"))]
    assert gaps["driver"][0] == UNREADABLE and "hostNetwork: true" in gaps["driver"][1]


def test_a_file_system_on_a_loop_device(tmp_path: Path) -> None:
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("no mkfs.ext4")
    image = tmp_path / "image"
    image.touch()
    os.truncate(image, 16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True)
    script = f"mount -o loop,noatime {image} /mnt && head -c 8000000 /dev/zero > /mnt/half && sync /mnt/half"
    data, _ = collect_in_namespace("os.storage", "-m --propagation private", script)
    storage, volatile = data["storage"], data["storage.volatile"]
    assert storage["mount./mnt.type"] == "ext4" and "noatime" in storage["mount./mnt.options"].split(",")
    assert storage["mount./mnt.source"].startswith("/dev/loop")
    assert 8 << 20 < storage["mount./mnt.size-bytes"] <= 16 << 20
    assert 50 < volatile["mount./mnt.used-percent"] < 100
    assert volatile["mount./mnt.available-bytes"] < 8 << 20
    assert not any(key.startswith("disk.loop") for key in storage)


def test_a_dead_file_server_is_listed_by_type_and_not_touched(tmp_path: Path) -> None:
    """A root in which a dead FUSE server is mounted at /var: the collector ends, and the type is there."""
    from tests.fakes.stuck_mount import stuck_mount

    root = tmp_path / "host"
    for folder in ("var", "proc"):
        (root / folder).mkdir(parents=True)
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    if subprocess.run(["mount", "--bind", "/proc", str(root / "proc")], check=False).returncode:
        pytest.skip("cannot bind /proc here")
    try:
        subprocess.run(["mount", "--bind", str(root), str(root)], check=True)
        subprocess.run(["mount", "--bind", "/proc", str(root / "proc")], check=True)
        try:
            with stuck_mount(root / "var"):
                command = [sys.executable, "-c", COLLECT, "os.storage", "host", str(root)]
                done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        except OSError as fault:
            pytest.skip(f"cannot mount a file system here: {fault}")
        finally:
            subprocess.run(["umount", "-l", str(root / "proc")], check=False)
            subprocess.run(["umount", "-l", str(root)], check=False)
    finally:
        subprocess.run(["umount", "-l", str(root / "proc")], check=False)
    data, gaps = json.loads(done.stdout)
    assert data["storage"]["mount./var.type"].startswith("fuse")
    assert "mount./var.size-bytes" not in data["storage"]
    assert "may not answer" in gaps["mount./var.size-bytes"][1]


# --- packages ------------------------------------------------------------------------------------------------------------------


def packages(root: Path) -> tuple[dict[str, Any], dict[str, str]]:
    parts = list(load_collector("os.packages")(Sources(Host(str(root)))))
    data = {key: value for part in parts if isinstance(part, Subtype) for key, value in part.data.items()}
    return data, {part.what: part.why for part in parts if isinstance(part, Gap)}


def test_dpkg_agrees() -> None:
    if shutil.which("dpkg-query") is None or not Path(os_packages.DPKG_STATUS).exists():
        pytest.skip("no dpkg")
    form = "${Package}\t${db:Status-Want}\t${db:Status-Status}\t${Version}\n"
    shown = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in shown.splitlines()]
    expected = {name: version for name, _, state, version in rows if state == "installed" and os_packages.is_relevant(name)}
    data, _ = packages(Path("/"))
    assert {key: value for key, value in data.items() if key != "manager" and not key.startswith("hold.")} == expected
    everything, _ = os_packages.parse_dpkg_status(Path(os_packages.DPKG_STATUS).read_bytes())
    assert set(everything) == set(expected)


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_a_database_of_dpkg_is_the_same_in_blocks_of_any_size(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = "Package: {}\nStatus: {} ok installed\nDescription: x\n more\n .\nVersion: {}\n\n"
    rows = [
        ("vim", "install", "9"),
        ("kubelet", "hold", "1.34.1"),
        ("libnccl2", "install", "2.27"),
        ("efa", "install", "2"),
        ("kubelet", "install", "1"),
    ]
    path = tmp_path / "var/lib/dpkg/status"
    path.parent.mkdir(parents=True)
    path.write_text("".join(status.format(*row) for row in rows).rstrip("\n"))
    monkeypatch.setattr(os_packages, "_BLOCK", size)
    assert packages(tmp_path) == ({"manager": "dpkg", "kubelet": "1 1.34.1", "libnccl2": "2.27", "efa": "2", "hold.kubelet": True}, {})
    monkeypatch.setattr(os_packages, "_PARAGRAPH_LIMIT", 10)
    if size == 64:
        assert packages(tmp_path)[1] == {"/var/lib/dpkg/status": "not a database of dpkg: a paragraph is larger than 1 MiB"}


SPEC = """
Name: {name}
Epoch: {epoch}
Version: {version}
Release: 1.el9
Summary: x
License: x
BuildArch: noarch
%description
x
%files
"""


@pytest.mark.slow
def test_the_database_that_rpm_makes(tmp_path: Path) -> None:
    if shutil.which("rpmbuild") is None:
        pytest.skip("no rpmbuild")
    for name, epoch, version in (("nvidia-driver", 3, "570.86.15"), ("kubelet", 0, "1.34.1"), ("bash", 0, "5.2")):
        (tmp_path / f"{name}.spec").write_text(SPEC.format(name=name, epoch=epoch, version=version))
        build = ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {tmp_path}/build", f"{tmp_path}/{name}.spec"]
        subprocess.run(build, check=True, capture_output=True, timeout=60)
    rpm = ["rpm", "--root", str(tmp_path / "host"), "--dbpath", "/var/lib/rpm", "--define", "_db_backend sqlite"]
    subprocess.run([*rpm, "--initdb"], check=True, capture_output=True, timeout=60)
    files = sorted(map(str, (tmp_path / "build").rglob("*.rpm")))
    subprocess.run([*rpm, "-i", "--justdb", "--nodeps", "--ignoreos", "--ignorearch", *files], check=True, capture_output=True, timeout=60)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "host/var/lib/rpm").iterdir()}
    data, gaps = packages(tmp_path / "host")
    assert data == {"manager": "rpm", "nvidia-driver": "3:570.86.15-1.el9", "kubelet": "1.34.1-1.el9"}
    assert not gaps
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "host/var/lib/rpm").iterdir()}, "nothing is written"


def test_a_python_without_sqlite_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    data, gaps = packages(ROOT / "tests/cases/os.packages/rpm-sqlite.in")
    assert gaps["/var/lib/rpm/rpmdb.sqlite"] == "this Python has no sqlite3 module"
    assert "nvidia-driver" not in data


@pytest.mark.parametrize("case", ["rpm-sqlite", "rpm-ndb", "rpm-berkeley-db"])
def test_a_database_cut_off_anywhere_is_read_or_reported(case: str, tmp_path: Path) -> None:
    source = next(
        path for path in (ROOT / f"tests/cases/os.packages/{case}.in").rglob("*") if path.name.startswith(("Packages", "rpmdb.sqlite"))
    )
    content = source.read_bytes()
    target = tmp_path / source.relative_to(ROOT / f"tests/cases/os.packages/{case}.in")
    target.parent.mkdir(parents=True)
    for size in (0, 1, 31, 100, 512, 600, 1024, 4096, 4200, len(content) - 20):
        for damage in (content[:size], content[:size] + b"\xff" * (len(content) - size)):
            target.write_bytes(damage)
            data, gaps = packages(tmp_path)
            assert data or gaps, size  # a name that was overwritten is another name: these formats have no checksum of it


# --- programs ------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_program_that_go_built(tmp_path: Path) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("no go")
    (tmp_path / "main.go").write_text('package main\n\nvar gitVersion = "unset"\n\nfunc main() { println(gitVersion) }\n')
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GOCACHE": str(tmp_path / "cache"),
        "GOFLAGS": "-mod=mod",
        "CGO_ENABLED": "0",
    }
    flags = ["-ldflags", "-s -w -X main.gitVersion=v1.34.1", "-o", str(tmp_path / "kubelet")]
    subprocess.run([go, "build", *flags, "main.go"], cwd=tmp_path, env=environ, check=True, capture_output=True, timeout=120)
    shown = subprocess.run([go, "version", "-m", str(tmp_path / "kubelet")], env=environ, capture_output=True, text=True, check=True).stdout
    fd = os.open(tmp_path / "kubelet", os.O_RDONLY)
    try:
        information = read_build_information(fd)
    finally:
        os.close(fd)
    assert [line.strip() for line in shown.splitlines()[1:]] == information.splitlines()
    assert program_version(information) == "v1.34.1"


def test_programs_of_this_system_are_no_programs_of_go() -> None:
    fd = os.open(os.path.realpath(sys.executable), os.O_RDONLY)
    try:
        with pytest.raises(InvalidData):
            read_build_information(fd)
    finally:
        os.close(fd)


def test_the_settings_that_containerd_has_by_default(tmp_path: Path) -> None:
    containerd = shutil.which("containerd")
    if containerd is None:
        pytest.skip("no containerd")
    default = subprocess.run([containerd, "config", "default"], capture_output=True, check=True, timeout=60).stdout
    file = tmp_path / "etc/containerd/config.toml"
    file.parent.mkdir(parents=True)
    file.write_bytes(default)
    parts = list(load_collector("os.runtime")(Sources(Host(str(tmp_path)))))
    (data,) = (part.data for part in parts if isinstance(part, Subtype))
    assert data["containerd.default-runtime"] == "runc" and data["containerd.runtimes"] == "runc"
    assert data["containerd.runtime.runc.type"] == "io.containerd.runc.v2"
    assert data["containerd.config-version"] in (2, 3, 4)


def test_nothing_of_a_login_is_in_a_case() -> None:
    for collector in ("os.runtime", "os.kubelet", "os.storage", "os.modules"):
        for path in sorted((ROOT / "tests/cases" / collector).glob("*.out")):
            assert not [word for word in ("hunter2", "eve:", "registry.example.com") if word in path.read_text()], path
