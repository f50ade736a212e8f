"""Snapshots inside containers, chroots and a host of which a part is mounted: nothing of theirs is reported as the host's.

They are made with unshare, chroot and overlays, so they need root; what cannot be made here is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eidos.collectors import Sources
from eidos.collectors._fabric_files import fabric_parts
from eidos.collectors._sysfs import Facts, mount_table
from eidos.collectors.os_modules import collect as collect_modules
from eidos.files import container_root
from eidos.files.container_root import is_container_root
from eidos.files.host import Host
from eidos.model.measurement import UNREADABLE, Gap
from eidos.nvidia import driver_files
from tests.collectors.test_os import ROOT

pytestmark = pytest.mark.root

#: A container over this machine's own files: "$1" a folder to work in, with the files that its image adds in "$1/image".
CONTAINER = """
mount -t tmpfs tmpfs "$1/memory" && mkdir "$1/memory/work" && cp -r "$1/image" "$1/memory/upper"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/memory/upper,workdir=$1/memory/work" "$1/root"
mount -t proc proc "$1/root/proc" && mount --rbind /sys "$1/root/sys" && root=$1/root && shift
exec chroot "$root" "$@"
"""

#: What only the image has.
FILES = {
    "etc/os-release": 'ID=alpine\nVERSION_ID="3.22"\n',
    "etc/hostname": "c0ffee\n",
    "etc/sysctl.d/10-image.conf": "vm.swappiness = 7\n",
    "etc/security/limits.d/10-image.conf": "* hard memlock 7\n",
    "etc/containerd/config.toml": 'version = 2\nroot = "/image"\n',
    "var/lib/kubelet/config.yaml": "kind: KubeletConfiguration\nmaxPods: 7\n",
    "run/reboot-required": "",
}


def snapshot(script: str, *words: str, namespaces: str = "-m", root: str = "/", path: str = "") -> dict[str, Any]:
    """A snapshot's document, taken where a script of the shell that ends in ``exec … "$@"`` starts the program."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare")
    program = [sys.executable, "-m", "eidos", "snapshot", "-t", "json", "--skip", "k8s", "--root", root]
    command = ["unshare", *namespaces.split(), "sh", "-c", f"set -e\ncd {path or ROOT}\n{script}", "sh", *words]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    environ = {name: value for name, value in environ.items() if name not in ("NODE_NAME", "KUBERNETES_NODE_NAME")}
    done = subprocess.run([*command, *program], env=environ, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode and not done.stdout and "Traceback" not in done.stderr and "error:" not in done.stderr:
        pytest.skip(f"not possible here: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def container_host() -> Host:
    """The host in a container, wherever the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(container_root, "is_container_root", lambda: True)
        host = Host("/.")
        assert host.is_container_root
    return host


def in_container(
    folder: Path, files: dict[str, str], namespaces: str = "-m", first: str = "", root: str = "/", inside: str = "/"
) -> dict[str, Any]:
    for name in ("memory", "root", "image"):
        (folder / name).mkdir()
    (folder / "image" / "link").symlink_to("/")
    for name, text in {**FILES, **files}.items():
        path = folder / "image" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    enter = f"""chroot "$root" sh -c 'cd {inside} && exec "$@"' sh "$@"\n"""
    return snapshot(first + CONTAINER.replace('chroot "$root" "$@"\n', enter), str(folder), namespaces=namespaces, root=root)


def unread(document: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {each["name"]: each.get("unreadable", {}) for each in document["collectors"]}


def readings(document: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{subtype['subtype']}.{key}": value
        for measurement in document["measurements"]
        for subtype in measurement["subtypes"]
        for key, value in subtype["data"].items()
    }


@pytest.mark.parametrize(
    ("namespaces", "files"),
    [("-m -p -f -u", {}), ("-m", {".dockerenv": ""}), ("-m -p -f -n -i -u", {"run/secrets/kubernetes.io/namespace": ""})],
    ids=["pid", "host-pid", "pod"],
)
def test_files_of_a_container_are_never_the_hosts(tmp_path: Path, namespaces: str, files: dict[str, str]) -> None:
    first = "hostname c0ffee\n" if "-u" in namespaces else ""
    document = in_container(tmp_path, files, namespaces, first)
    gaps, shown = unread(document), readings(document)
    for name in ("os.boot", "os.kernel", "os.kubelet", "os.limits", "os.packages", "os.release", "os.runtime", "os.storage", "systemd"):
        assert any("of this container or chroot" in why and "--root" in why for why in gaps[name].values()), (name, gaps[name])
    assert not [key for key in shown if key.startswith(("release.", "boot", "limits.session.", "runtime.", "kubelet.", "storage.mount."))]
    assert "kernel.reboot-required" not in shown
    assert "memory.total-kib" in shown and "sysctl./proc/sys/vm/swappiness" in shown
    assert document["metadata"]["source-node"] != "c0ffee"


def test_a_container_with_an_init_of_its_own_is_a_machine(tmp_path: Path) -> None:
    shell = os.path.realpath("/bin/sh")
    script = f'cp {shell} "$1/init"\nif [ "$0" = sh ]; then exec "$1/init" -c "$SCRIPT" again "$@"; fi\n'
    first = f"SCRIPT='{CONTAINER.replace('exec chroot', 'chroot')}'\n{script}"
    document = in_container(tmp_path, {}, "-m -p -f", first)
    assert readings(document)["release.ID"] == "alpine"


@pytest.mark.parametrize("root", ["/.", "/link", "/proc/self/root", "/proc/1/root"])
def test_the_root_of_a_container_by_another_name(tmp_path: Path, root: str) -> None:
    if root == "/proc/1/root":
        # Process 1 of the namespace is the program itself, in the root of the container.
        document = in_container(tmp_path, {}, "-m -p -f", root=root)
    else:
        document = in_container(tmp_path, {}, "-m -p -f -u", "hostname c0ffee\n", root=root)
    assert any("of this container or chroot" in why for why in unread(document)["os.release"].values())
    assert "release.ID" not in readings(document)
    assert document["metadata"]["source-node"] != "c0ffee"


@pytest.mark.parametrize("root", [".", "./", ".."])
def test_a_root_relative_to_the_working_directory(tmp_path: Path, root: str) -> None:
    files = {"host/etc/os-release": "ID=rhel\n", "host/below/file": ""}
    document = in_container(tmp_path, files, "-m -p -f", root=root, inside="/host/below" if root == ".." else "/host")
    assert readings(document)["release.ID"] == "rhel"


#: Prints whether the root is a container's for who may not look at process 1, as if the files of argv[1:] were the marks of engines.
QUESTION = """
import os, sys
from eidos.files import container_root
container_root._CONTAINER_MARKS = tuple(sys.argv[1:])
if "/unprivileged" in sys.argv:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
print(container_root.is_container_root())
"""


def ask_whose_root(script: str, *words: str, namespaces: str, marks: tuple[str, ...] = ()) -> str:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare")
    command = ["unshare", *namespaces.split(), "sh", "-c", f"set -e\n{script}", "sh", *words]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    question = [sys.executable, "-c", QUESTION, *marks]
    done = subprocess.run([*command, *question], env=environ, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode and "Traceback" not in done.stderr:
        pytest.skip(f"not possible here: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_mark_of_an_engine_tells_a_container_whatever_its_root_is_on(tmp_path: Path) -> None:
    if is_container_root():
        pytest.skip("these tests run in a container")
    (tmp_path / "mark").touch()
    namespaces = "-m -p -f --mount-proc"
    assert ask_whose_root('exec "$@"', namespaces=namespaces, marks=(str(tmp_path / "mark"),)) == "True"
    assert ask_whose_root('exec "$@"', namespaces=namespaces, marks=(str(tmp_path / "none"),)) == "False"


@pytest.mark.parametrize(("namespaces", "answer"), [("-m", "False"), ("-m -u", "True"), ("-m -i", "True")])
def test_a_namespace_of_its_own_marks_layers_as_a_container(tmp_path: Path, namespaces: str, answer: str) -> None:
    """In the host's PID namespace, for who may not look at the root of process 1; a machine may start from layers as well."""
    for name in ("memory", "root", "image"):
        (tmp_path / name).mkdir()
    if "False" in answer and Sources(container_host()).host.foreign_namespaces():
        pytest.skip("these tests run in a container")
    assert ask_whose_root(CONTAINER, str(tmp_path), namespaces=namespaces, marks=("/unprivileged",)) == answer


def test_whose_root_it_is_is_unknown_without_proc() -> None:
    assert ask_whose_root('mount -t tmpfs none /proc\nexec "$@"', namespaces="-m") == "True"


@pytest.mark.skipif(is_container_root(), reason="these tests run in a container")
def test_another_mount_namespace_alone_is_no_container() -> None:
    assert unread(snapshot('exec "$@"', namespaces="-m -n"))["os.release"] == {}


def test_what_the_kernel_shows_is_unreadable_where_it_is_not_mounted() -> None:
    document = snapshot('mount -t tmpfs none /sys\nmount -t tmpfs none /proc\nexec "$@"')
    gaps = unread(document)
    for name in ("os.cpu", "os.kernel", "os.memory", "os.modules", "os.storage"):
        assert {gaps[name].get("/proc"), gaps[name].get("/sys")} == {"not mounted here"}, name
    for name in ("os.grub", "os.kmod", "os.sysctl"):
        assert gaps[name] == {"/proc": "not mounted here"}
    assert "of this container or chroot" in gaps["os.release"]["/etc/os-release"], "without /proc nothing tells whose it is"
    for name in ("os.limits", "os.pci"):
        assert gaps[name]["/sys"] == "not mounted here"
    assert "not mounted here" in gaps["os.net"]["/sys/class"] + gaps["os.rdma"]["/sys/class"]
    assert gaps["gpu"] == {"/sys/module/nvidia": "neither /sys nor /proc is mounted here"}


def test_firmware_that_an_engine_hides_is_unreadable() -> None:
    document = snapshot('mount -t tmpfs none /sys/firmware\nexec "$@"')
    assert unread(document)["os.kernel"]["/sys/firmware"] == "hidden from this container; mount the host's /sys"
    assert "kernel.boot-mode" not in readings(document)


@pytest.mark.parametrize("folders", ["proc", "proc sys", "proc sys etc", "proc sys usr"])
def test_a_folder_that_is_not_mounted_below_the_root_is_named(tmp_path: Path, folders: str) -> None:
    script = f'for name in {folders}; do mkdir {tmp_path}/$name; mount --rbind /$name {tmp_path}/$name; done\nexec "$@"'
    document = snapshot(script, root=str(tmp_path))
    gaps, mounted = unread(document), folders.split()
    expected = {"os.runtime": {"etc": "/etc", "usr": "/usr/bin"}, "os.kubelet": {"etc": "/etc", "usr": "/usr/bin", "var": "/var/lib"}}
    expected.update({name: {"sys": "/sys"} for name in ("os.cpu", "os.memory", "os.storage", "os.modules")})
    expected["os.release"] = {} if "usr" in mounted else {"etc": "/etc", "usr": "/usr/lib"}
    for name, paths in expected.items():
        for folder, path in paths.items():
            assert (path in gaps[name]) == (folder not in mounted), (name, gaps[name])
    [systemd] = [each for each in document["collectors"] if each["name"] == "systemd"]
    assert systemd["outcome"] == "failed" and "mounted here" in systemd["reason"] and "/run/systemd" in systemd["hint"]


def test_an_empty_firmware_folder_of_a_captured_tree_is_no_container(tmp_path: Path) -> None:
    (tmp_path / "sys" / "firmware").mkdir(parents=True)
    facts = Facts(Sources(Host(str(tmp_path))), "kernel")
    assert not facts.has_firmware() and not facts.gaps


@pytest.mark.parametrize("is_link", [False, True])
def test_the_mounts_of_a_process_are_those_below_its_root(tmp_path: Path, is_link: bool) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare")
    script = "mount -t tmpfs -o size=64k,mode=700 none /opt && echo && exec cat"
    with subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        if not process.stdout.readline():
            pytest.skip("no tmpfs can be mounted here")
        root = f"/proc/{process.pid}/root"
        (tmp_path / "link").symlink_to("way")
        (tmp_path / "way").symlink_to(root)
        document = snapshot('exec "$@"', root=str(tmp_path / "link") if is_link else root)
        process.stdin.close()
    shown = readings(document)
    assert (shown["storage.mount./opt.type"], shown["storage.mount./opt.size-bytes"]) == ("tmpfs", 65536)
    assert "storage.mount./.type" in shown


def test_a_table_of_mounts_is_named_without_the_right_to_follow_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> str:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os.path, "realpath", refuse)
    assert mount_table("/proc/1/cwd/etc/") == ("/proc/self/mountinfo", "/proc/1/cwd/etc")


def test_settings_of_the_fabric_in_a_container_are_unreadable() -> None:
    parts = list(fabric_parts(Sources(container_host())))
    assert {part.what for part in parts if isinstance(part, Gap)} >= {"/usr", "/etc"}
    assert all(isinstance(part, Gap) and part.kind == UNREADABLE and "of this container" in part.why for part in parts)


def test_a_library_that_only_the_linker_finds_is_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = driver_files.InstalledDriver(is_loaded=True, version="570.86.15", libraries=(driver_files.SONAME,))
    monkeypatch.setattr(driver_files, "find_driver", lambda host, environ: installed)
    gaps = [part for part in collect_modules(Sources(container_host())) if isinstance(part, Gap)]
    assert not [gap for gap in gaps if driver_files.SONAME in gap.what + gap.why]
