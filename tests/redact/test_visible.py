"""What people need stays visible: at least 95 % of boot parameters, variables, arguments and fields of policies of captured hosts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from eidos.collectors import _kernel_command_line, harmless_names, os_release
from eidos.model.measurement import WITHHELD
from eidos.redact.command_lines import redact_command_line, redact_tree, show_argument
from eidos.redact.harmless_names import show_value

HOSTS = Path(__file__).parents[1] / "hosts"

BOOT = harmless_names("boot-parameters")
UNIT = harmless_names("variables", "options")
POLICY = harmless_names("policy-fields", "variables", "options")
RELEASE = harmless_names("os-release")

#: The command lines of an EC2 instance of EKS, of RHEL CoreOS and of a bare-metal host, as their documentation shows them.
BOOT_LINES = (
    (
        "BOOT_IMAGE=/boot/vmlinuz-6.8.0-1024-aws root=PARTUUID=6a1b2c3d-0123-4567-89ab-cdef01234567 ro console=tty1 console=ttyS0"
        " nvme_core.io_timeout=4294967295 panic=-1 systemd.unified_cgroup_hierarchy=1 hugepagesz=2M hugepages=5128"
    ),
    (
        "BOOT_IMAGE=(hd0,gpt3)/ostree/rhcos-0123456789abcdef/vmlinuz-5.14.0-427.40.1.el9_4.x86_64"
        " ostree=/ostree/boot.0/rhcos/0123456789abcdef0123456789abcdef/0 ignition.platform.id=metal"
        " root=UUID=0c1f7e6a-9d61-4e92-a1b8-bb5eb4a5e0a1 rw rootflags=prjquota boot=UUID=a74b1e8c-7dd5-4b15-85ec-a9d1a3b7e0a4"
        ' cgroup_no_v1="all" psi=0 ip=dhcp,dhcp6 rd.neednet=1 rd.luks.options=discard'
    ),
    (
        "intel_iommu=on iommu=pt pci=realloc=off default_hugepagesz=1G hugepagesz=1G hugepages=64 isolcpus=managed_irq,domain,2-95"
        " nohz_full=2-95 rcu_nocbs=2-95 processor.max_cstate=1 intel_idle.max_cstate=0 mitigations=off transparent_hugepage=madvise"
        ' nvidia.NVreg_RegistryDwords="PeerMappingOverride=1;" nvidia-drm.modeset=1 modprobe.blacklist=nouveau,snd_hda_intel'
        " crashkernel=1G-4G:192M,4G-64G:256M net.ifnames=0 numa_balancing=disable tsc=reliable earlycon=pl011,mmio32,0x12600000"
        " memmap=64M!4G vfio-pci.ids=10de:2330,10de:22a3 mlx5_core.prof_sel=2 ds=nocloud;s=/run/seed/ token_bucket=100 auth=pam"
        " tcp_fastopen_key=00000000-00000000-00000000-00000000"
    ),
)

#: Command lines of units: kubeadm, EKS, GKE, AKS, k3s, Docker, CRI-O, and those of NVIDIA's packages.
COMMANDS = (
    (
        "/usr/bin/kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
        " --config=/var/lib/kubelet/config.yaml --container-runtime-endpoint=unix:///var/run/containerd/containerd.sock"
        " --pod-infra-container-image=registry.k8s.io/pause:3.9 --node-ip=10.0.1.7"
        " --node-labels=node.kubernetes.io/instance-type=p5.48xlarge,nvidia.com/gpu.present=true"
        " --register-with-taints=nvidia.com/gpu=present:NoSchedule --v=2"
    ),
    (
        "/usr/bin/kubelet --config-dir=/etc/kubernetes/kubelet/config.json.d --kubeconfig /var/lib/kubelet/kubeconfig"
        " --image-credential-provider-bin-dir=/etc/eks/image-credential-provider"
        " --image-credential-provider-config=/etc/eks/image-credential-provider/config.json --cloud-provider=external"
        " --hostname-override=ip-192-168-34-12.us-west-2.compute.internal --max-pods=234"
        " --provider-id=aws:///us-west-2a/i-0123456789abcdef0 '--eviction-hard=memory.available<100Mi,nodefs.available<10%'"
    ),
    (
        "/home/kubernetes/bin/kubelet --v=2 --cloud-provider=external --cert-dir=/var/lib/kubelet/pki/"
        " --experimental-mounter-path=/home/kubernetes/containerized_mounter/mounter --node-status-max-images=25"
        " --pod-sysctls=net.core.somaxconn=1024,net.ipv4.conf.all.accept_redirects=0 --runtime-cgroups=/system.slice/containerd.service"
    ),
    (
        "/usr/local/bin/kubelet --enable-server --anonymous-auth=false --authentication-token-webhook=true --authorization-mode=Webhook"
        " --client-ca-file=/etc/kubernetes/certs/ca.crt --cluster-dns=10.0.0.10 --cluster-domain=cluster.local"
        " --feature-gates=RotateKubeletServerCertificate=true --kube-reserved=cpu=180m,memory=3645Mi,pid=1000"
        " --tls-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
        " --tls-private-key-file=/etc/kubernetes/certs/kubeletserver.key"
    ),
    "/usr/local/bin/k3s agent --node-name gpu-07 --kubelet-arg=max-pods=200 --server https://10.0.0.1:6443 --token-file /etc/k3s/token",
    "/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock --add-runtime nvidia=/usr/bin/nvidia-container-runtime",
    "/usr/bin/crio $CRIO_CONFIG_OPTIONS $CRIO_RUNTIME_OPTIONS",
    "/sbin/modprobe overlay",
    "/bin/ln -sf /run/containerd/containerd.sock /run/dockershim.sock",
    "/usr/bin/nvidia-persistenced --user nvidia-persistenced --no-persistence-mode --verbose",
    "/usr/bin/nvidia-fabricmanager-start.sh --mode start --fm-config-file /usr/share/nvidia/nvswitch/fabricmanager.cfg",
    "/usr/bin/nvidia-imex -c /etc/nvidia-imex/config.cfg",
    "/usr/bin/nv-hostengine -n --service-account nvidia-dcgm",
    "/bin/sh -c 'while :; do nvidia-smi -pm 1 && nvidia-smi -ac 2619,1980; sleep 60; done'",
    (
        "/usr/bin/docker run --rm --name dcgm-exporter --gpus all --net host -e DCGM_EXPORTER_LISTEN=:9400 -v /run/nvidia:/run/nvidia:ro"
        " nvcr.io/nvidia/k8s/dcgm-exporter:4.4.1-4.6.0-ubuntu22.04 -f /etc/dcgm-exporter/default-counters.csv"
    ),
)

VARIABLES = (
    *(
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
        "LANG=en_US.UTF-8",
        "HOME=/root",
        "GOMAXPROCS=8",
        "SYSTEMD_LOG_LEVEL=debug",
    ),
    *("HTTPS_PROXY=http://proxy.example.com:3128", "NO_PROXY=localhost,127.0.0.1,10.0.0.0/8,.svc,.cluster.local", "FI_PROVIDER=efa"),
    "KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf",
    *(
        "NVIDIA_VISIBLE_DEVICES=GPU-ab6ab95d-1a2b-3c4d-5e6f-0123456789ab",
        "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
        "KV_CACHE_TOKENS=4096",
    ),
    *("NCCL_IB_HCA=mlx5_0:1,mlx5_1:1", "NCCL_SOCKET_IFNAME=^lo,docker0", "NCCL_TOPO_FILE=/etc/nccl/topo.xml", "UCX_TLS=rc,cuda_copy,sm"),
    *("DCGM_EXPORTER_LISTEN=:9400", "LD_LIBRARY_PATH=/usr/local/cuda/lib64:/opt/amazon/efa/lib", "ENABLE_CRI_SANDBOXES=sandboxed"),
    *(
        "NVIDIA_REQUIRE_CUDA=cuda>=12.4 brand=tesla,driver>=470",
        "CUDA_DEVICE_ORDER=PCI_BUS_ID",
        "TOKENIZERS_PARALLELISM=false",
        "X_TTL=30s",
    ),
)


def boot_values(line: str) -> Iterator[tuple[str, int]]:
    parameters, _ = _kernel_command_line.parse_command_line(line)
    for parameter in parameters:
        _, withheld = _kernel_command_line.redact_parameters([parameter], BOOT)
        yield f"{parameter[0]}={parameter[1]}", len(withheld)


def argument_values(line: str) -> Iterator[tuple[str, int]]:
    words = shlex.split(line)
    clean, _ = redact_command_line(words, UNIT)
    yield from ((word, int(word != shown)) for word, shown in zip(words, clean))


def policy_values(spec: dict[str, Any], name: str = "") -> Iterator[tuple[str, int]]:
    for key, value in spec.items():
        if isinstance(value, dict):
            yield from policy_values(value, "labels" if key == "labels" else "")
        else:
            yield f"{key}={value}", redact_tree(value, POLICY, name or key)[1]


def shown_share(values: list[tuple[str, int]]) -> tuple[float, list[str]]:
    """The share of values that stay visible, and those that do not."""
    hidden = [value for value, count in values if count]
    return 1 - len(hidden) / len(values), hidden


def captured_lines() -> list[str]:
    return [path.read_text(encoding="utf-8").strip() for path in sorted(HOSTS.glob("*/proc/cmdline"))]


def test_values_of_captured_hosts_stay_visible() -> None:
    values = [value for line in captured_lines() for value in boot_values(line)]
    for path in sorted(HOSTS.glob("*/etc/os-release")) + sorted(HOSTS.glob("*/usr/lib/os-release")):
        if path.is_file():
            release = os_release.parse_os_release(path.read_text(encoding="utf-8"))[0]
            values += [(f"{name}={value}", show_value(name, value, RELEASE)[1]) for name, value in release.items()]
    share, hidden = shown_share(values)
    print(f"{share:.1%} of {len(values)} values are visible, without {hidden}")
    assert share >= 0.95, hidden


@pytest.mark.parametrize("line", BOOT_LINES)
def test_values_of_real_boot_lines_stay_visible(line: str) -> None:
    share, hidden = shown_share(list(boot_values(line)))
    assert share >= 0.95, hidden


def test_variables_and_arguments_of_units_stay_visible() -> None:
    values = [value for line in COMMANDS for value in argument_values(line)]
    for each in VARIABLES:
        name, _, value = each.partition("=")
        values.append((each, show_argument(name, value, UNIT)[1]))
    share, hidden = shown_share(values)
    print(f"{share:.1%} of {len(values)} values are visible, without {hidden}")
    assert share >= 0.95, hidden


def test_fields_of_policies_stay_visible(shared: Path) -> None:
    values: list[tuple[str, int]] = []
    for name in ("26-clusterpolicies", "28-nicclusterpolicies"):
        for item in json.loads((shared / "kube" / f"{name}.json").read_text(encoding="utf-8"))["items"]:
            values += policy_values(item["spec"])
    for measurement in yaml.safe_load((shared / "snapshots/h100-eks.yaml").read_text(encoding="utf-8"))["measurements"]:
        for subtype in measurement["subtypes"]:
            for key, text in subtype["data"].items() if subtype["subtype"] == "policy" else ():
                value = json.loads(text) if text[:1] in ("[", "{") else text
                values.append((f"{key}={text}", redact_tree(value, POLICY, "labels" if ".labels." in key else key.rpartition(".")[2])[1]))
    share, hidden = shown_share(values)
    print(f"{share:.1%} of {len(values)} values are visible, without {hidden}")
    assert share >= 0.95, hidden


def test_no_path_that_a_recipe_names_is_withheld() -> None:
    """What a constraint or a reading is compared with stays: the boot parameter is listed, and its value in the recipe is shown."""
    from eidos.files.resources import load_recipes

    paths = dict(_readings(load_recipes()))
    assert paths
    for name, values in paths.items():
        assert BOOT.section(name) is not None, name
        for value in values:
            assert show_value(name, value, BOOT) == (value, 0)
    for line in captured_lines():
        shown, withheld = _kernel_command_line.redact_parameters(_kernel_command_line.parse_command_line(line)[0], BOOT)
        assert not set(withheld) & set(paths)
        assert all(value != WITHHELD for name, value in shown if name in paths)


def _readings(documents: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Boot parameter → the values that recipes give it."""
    values: dict[str, list[str]] = {}

    def walk(tree: Any) -> None:
        if isinstance(tree, dict):
            if tree.get("subtype") == "grub":
                for name, value in tree.get("data", {}).items():
                    values.setdefault(name, []).append("" if value is None else str(value))
            for key, inner in tree.items():
                if str(key).startswith("OS.grub."):
                    values.setdefault(str(key)[len("OS.grub.") :], [])
                walk(inner)
        elif isinstance(tree, list):
            for inner in tree:
                walk(inner)

    walk(documents)
    yield from values.items()
