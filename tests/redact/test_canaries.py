"""Eight hundred secrets of two hundred styles, through the code that collectors call: none is in what they yield."""

from __future__ import annotations

import json
from itertools import count as numbers
from pathlib import Path
from typing import Any

import pytest

from eidos.collectors import Sources, _kernel_command_line, harmless_names, load_collector
from eidos.collectors.k8s_image import Images
from eidos.collectors.k8s_policy import flatten_spec
from eidos.collectors.k8s_topology import Topology
from eidos.collectors.systemd import parse_unit_properties
from eidos.dbus.signature import Variant
from eidos.files.host import Host
from eidos.redact.harmless_names import is_not_random
from eidos.redact.secrets_in_text import redact_text
from tests.redact.canaries import SECRETS, STYLES

CANARIES = [(kind, style, secret) for kind, styles in STYLES.items() for style in styles for secret in SECRETS]
UNIT_NAMES = harmless_names("variables", "options")
BOOT_NAMES = harmless_names("boot-parameters")


def boot_line(text: str) -> tuple[Any, int]:
    line, configs = _kernel_command_line.cut_cloud_config(text)
    readings, withheld = _kernel_command_line.command_line_readings(line, configs, BOOT_NAMES)
    return readings, len(withheld)


def unit(name: str, signature: str, value: Any) -> tuple[Any, int]:
    readings, _, secrets = parse_unit_properties({name: Variant((signature, value))}, UNIT_NAMES)
    return (readings, secrets), len(secrets)


def through(kind: str, text: str) -> tuple[Any, int]:
    """What the collector of ``kind`` yields for ``text``, and how many parts of it are withheld."""
    if kind == "boot":
        return boot_line(text)
    if kind == "variable":
        return unit("Environment", "as", [text])
    if kind == "argument":
        words = text.split(" | ") if "-c | " not in text else [*text.split(" | ", 2)[:2], text.split(" | ", 2)[2]]
        return unit("ExecStart", "a(sasbttttuii)", [(words[0], words, False, 1, 2, 3, 4, 5, 6, 7)])
    if kind == "policy":
        data, redacted = flatten_spec(json.loads(text))
        return data, len(redacted)
    if kind == "image":
        images = Images()
        images.add({"spec": {"containers": [{"name": "a", "image": text}]}})
        return images.readings(), len(images.with_login)
    if kind == "label":
        topology = Topology()
        topology.add({"metadata": {"name": "gpu-1", "labels": dict([text.split("=", 1)])}})
        return topology.readings(), len(topology.withheld)
    return redact_text(text, is_not_random) if kind == "setting" else redact_text(text)


def test_there_are_eight_hundred_of_two_hundred_styles() -> None:
    assert sum(map(len, STYLES.values())) >= 180
    assert len(CANARIES) >= 720
    assert len(set(CANARIES)) == len(CANARIES)


@pytest.mark.parametrize("kind", STYLES)
def test_no_canary_is_visible(kind: str) -> None:
    leaks = []
    for _, style, secret in (canary for canary in CANARIES if canary[0] == kind):
        shown, count = through(kind, style.replace("§", secret))
        if secret in json.dumps(shown) or count == 0:
            leaks.append(f"{style} with {secret}: {shown}, {count} withheld")
    assert not leaks, "\n".join(leaks)


#: Files of a host with settings that are shown, and secrets where people and a mistake in the syntax put them.
MOUNTS = """22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 0:50 / /mnt rw - cifs //bob:§@server/share rw,username=bob,password=§,domain=§
25 22 0:52 / /data/ceph rw - ceph 192.0.2.1:/ rw,name=admin,secret=§
"""
CRI = 'plugins."io.containerd.grpc.v1.cri"'
FILES = {
    "etc/containerd/config.toml": f"""
imports = ["/etc/containerd/conf.d/*.toml", "/none/§.toml", "/none/[§]*.toml"]
[{CRI}]
sandbox_image = "bob:§@registry.example.com/pause:3.9"
[{CRI}.registry.configs."registry.example.com".auth]
password = "§"
[{CRI}.containerd]
default_runtime_name = "nvidia token=§"
[{CRI}.containerd.runtimes."§"]
runtime_type = "§"
""",
    **{
        f"etc/containerd/conf.d/{n}.toml": text
        for n, text in enumerate(("token = §", "[§", "§ = 1\n§ = 2", '"\\q§" = 1', 'a = "§', "a = [1 §]"))
    },
    "etc/crio/crio.conf": '[crio.image]\npause_image = "u:§@r.example.com/p:1"\n[crio.runtime]\ndefault_env = ["TOKEN=§"]\n',
    "etc/docker/daemon.json": '{"exec-opts": ["token=§"], "proxies": {"http-proxy": "http://b:§@p"}, "runtimes": {"§": {"path": "/§"}}}',
    "var/lib/kubelet/config.yaml": """
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://bob:§@/run/x
staticPodURLHeader: {Authorization: [§]}
featureGates: {§: true}
systemReserved: {cpu: token=§}
reservedMemory: [{numaNode: §, limits: {memory: §}}, {numaNode: 0, limits: {§: 1Gi}}]
""",
    **{
        f"etc/kubernetes/kubelet.conf.d/{n}.conf": f"password: {text}"
        for n, text in enumerate(("*§", "!§ x", "!§!x y", "@§", "[§", '"\\z§"', "a: §", "!!int §", "{a: §, b"))
    },
    "etc/cdi/a.yaml": "kind: token=§\ndevices: [{name: token=§}]\ncontainerEdits: {env: [TOKEN=§]}\n",
    "etc/default/grub": 'GRUB_CMDLINE_LINUX="quiet password=§"\nGRUB_PASSWORD=§\nGRUB_DISTRIBUTOR="$(curl -u bob:§ https://example.com)"\n',
    "boot/grub/grub.cfg": "password root §\nmenuentry Linux {\n linux /vmlinuz root=/dev/sda password=§\n}\n",
    "boot/loader/entries/a.conf": "title Linux\nlinux /vmlinuz\noptions root=/dev/sda token=§\n",
    "etc/sysctl.conf": "kernel.core_pattern = |/bin/x --token §\nkernel.domainname = token=§\n",
    "etc/modprobe.d/a.conf": 'options cfg80211 key=§\ninstall x /bin/sh -c "curl -u bob:§ https://example.com?t=§"\n',
    "proc/self/mountinfo": MOUNTS,
    "proc/1/mountinfo": MOUNTS,
    "sys/class/dmi/id/chassis_asset_tag": "bob:§@192.0.2.7",
    "sys/class/dmi/id/board_asset_tag": "https://example.com/?k=§",
    "usr/bin/env": "",
}


def test_no_secret_in_a_file_of_a_host_is_visible(tmp_path: Path) -> None:
    number, lines = numbers(), {}
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        for line in text.split("§")[:-1]:
            secret = f"Zq{next(number):03}kD02mWx91LpTe"
            lines[secret] = f"{name}: {line[-60:]}"
            text = text.replace("§", secret, 1)
        (tmp_path / name).write_text(text)
    names = ("os.boot", "os.kubelet", "os.machine", "os.runtime", "os.storage")
    shown = {name: repr(list(load_collector(name)(Sources(Host(str(tmp_path)))))) for name in names}
    assert all("mnt" in shown["os.storage"] and "conf.d/0" in shown[name] for name in ("os.kubelet", "os.runtime")), shown
    assert len(lines) > 40
    assert not [(name, line) for secret, line in lines.items() for name in names if secret in shown[name]]
