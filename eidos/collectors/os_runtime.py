"""Container runtimes, their settings and CDI specifications.

Knows where each program has its settings, which of them matter, and the form of a CDI specification; must not know which runtime a cluster
wants. One subtype, ``runtime``. Settings are those on the lists below, and nothing else of a file: logins of registries are never read.
Sources: containerd's docs/cri/config.md and docs/man/containerd-config.toml.5.md, crio.conf(5), dockerd's daemon.json,
NVIDIA/nvidia-container-toolkit (config.toml), the CDI specification (cncf-tags/container-device-interface, SPEC.md).

>>> facts = {"devices": [{"name": "0"}, {"name": "GPU-0b1c"}, {"name": "all"}], "kind": "nvidia.com/gpu"}
>>> cdi_devices(facts)
['0', 'all']
"""

from __future__ import annotations

from eidos.collectors._settings import drop_ins, files_below, merge_trees, put_setting, put_settings, put_version, read_tree
from eidos.collectors._sysfs import Facts
from eidos.errors import EidosError
from eidos.model.measurement import ABSENT, UNREADABLE
from eidos.nvidia.driver_files import library_version
from eidos.redact.harmless_names import is_not_random
from eidos.redact.secrets_in_text import redact_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from eidos.collectors import Sources
    from eidos.collectors._settings import Tree
    from eidos.model.measurement import Part

#: containerd's file: by its own packages, K3s, RKE2, MicroK8s, Bottlerocket, k0s, Talos.
CONTAINERD_FILES = (
    "/etc/containerd/config.toml",
    "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
    "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
    "/var/snap/microk8s/current/args/containerd.toml",
    "/etc/containerd/config-cri.toml",
    "/etc/k0s/containerd.toml",
    "/etc/cri/containerd.toml",
)

#: Names of containerd's CRI plugin: in files of version 2, and what became two plugins in version 3.
_CRI_PLUGINS = ("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images", "cri")

CONTAINERD_SETTINGS = (
    (("version",), "containerd.config-version"),
    (("root",), "containerd.root"),
    (("state",), "containerd.state"),
    (("imports",), "containerd.imports"),
    (("disabled_plugins",), "containerd.disabled-plugins"),
)
CRI_SETTINGS = (
    (("containerd", "default_runtime_name"), "containerd.default-runtime"),
    (("containerd", "snapshotter"), "containerd.snapshotter"),
    (("snapshotter",), "containerd.snapshotter"),
    (("enable_cdi",), "containerd.cdi-enabled"),
    (("cdi_spec_dirs",), "containerd.cdi-folders"),
    (("sandbox_image",), "containerd.sandbox-image"),
    (("pinned_images", "sandbox"), "containerd.sandbox-image"),
    (("registry", "config_path"), "containerd.registry-folder"),
    (("max_container_log_line_size",), "containerd.log-line-limit"),
    (("enable_selinux",), "containerd.selinux-enabled"),
    (("device_ownership_from_security_context",), "containerd.device-ownership-from-security-context"),
    (("containerd", "runtimes", "*", "runtime_type"), "containerd.runtime.{}.type"),
    (("containerd", "runtimes", "*", "privileged_without_host_devices"), "containerd.runtime.{}.privileged-without-host-devices"),
    (("containerd", "runtimes", "*", "options", "BinaryName"), "containerd.runtime.{}.binary"),
    (("containerd", "runtimes", "*", "options", "SystemdCgroup"), "containerd.runtime.{}.systemd-cgroup"),
)
CRIO_SETTINGS = (
    (("crio", "root"), "crio.root"),
    (("crio", "storage_driver"), "crio.storage-driver"),
    (("crio", "runtime", "default_runtime"), "crio.default-runtime"),
    (("crio", "runtime", "cgroup_manager"), "crio.cgroup-manager"),
    (("crio", "runtime", "conmon_cgroup"), "crio.conmon-cgroup"),
    (("crio", "runtime", "pids_limit"), "crio.pids-limit"),
    (("crio", "runtime", "default_ulimits"), "crio.default-ulimits"),
    (("crio", "runtime", "selinux"), "crio.selinux-enabled"),
    (("crio", "runtime", "cdi_spec_dirs"), "crio.cdi-folders"),
    (("crio", "runtime", "hooks_dir"), "crio.hook-folders"),
    (("crio", "image", "pause_image"), "crio.sandbox-image"),
    (("crio", "runtime", "runtimes", "*", "runtime_path"), "crio.runtime.{}.binary"),
    (("crio", "runtime", "runtimes", "*", "runtime_type"), "crio.runtime.{}.type"),
)
DOCKER_SETTINGS = (
    (("default-runtime",), "docker.default-runtime"),
    (("runtimes", "*", "path"), "docker.runtime.{}.binary"),
    (("features", "cdi"), "docker.cdi-enabled"),
    (("cdi-spec-dirs",), "docker.cdi-folders"),
    (("exec-opts",), "docker.exec-options"),
    (("storage-driver",), "docker.storage-driver"),
    (("data-root",), "docker.root"),
    (("log-driver",), "docker.log-driver"),
    (("live-restore",), "docker.live-restore"),
    (("default-shm-size",), "docker.default-shm-size"),
    (("default-ulimits", "*", "Hard"), "docker.default-ulimit.{}.hard"),
    (("default-ulimits", "*", "Soft"), "docker.default-ulimit.{}.soft"),
)
NVIDIA_SETTINGS = (
    (("disable-require",), "nvidia.disable-require"),
    (("accept-nvidia-visible-devices-as-volume-mounts",), "nvidia.accept-devices-as-volume-mounts"),
    (("accept-nvidia-visible-devices-envvar-when-unprivileged",), "nvidia.accept-devices-when-unprivileged"),
    (("supported-driver-capabilities",), "nvidia.driver-capabilities"),
    (("nvidia-container-cli", "root"), "nvidia.cli.root"),
    (("nvidia-container-cli", "path"), "nvidia.cli.path"),
    (("nvidia-container-cli", "ldconfig"), "nvidia.cli.ldconfig"),
    (("nvidia-container-cli", "load-kmods"), "nvidia.cli.load-modules"),
    (("nvidia-container-cli", "no-cgroups"), "nvidia.cli.no-cgroups"),
    (("nvidia-container-cli", "no-pivot"), "nvidia.cli.no-pivot"),
    (("nvidia-container-cli", "user"), "nvidia.cli.user"),
    (("nvidia-container-runtime", "mode"), "nvidia.mode"),
    (("nvidia-container-runtime", "log-level"), "nvidia.log-level"),
    (("nvidia-container-runtime", "debug"), "nvidia.debug-log"),
    (("nvidia-container-runtime", "runtimes"), "nvidia.low-level-runtimes"),
    (("nvidia-container-runtime", "modes", "cdi", "default-kind"), "nvidia.cdi.default-kind"),
    (("nvidia-container-runtime", "modes", "cdi", "spec-dirs"), "nvidia.cdi.folders"),
    (("nvidia-container-runtime", "modes", "cdi", "annotation-prefixes"), "nvidia.cdi.annotation-prefixes"),
    (("nvidia-container-runtime", "modes", "csv", "mount-spec-path"), "nvidia.csv.folder"),
    (("nvidia-container-runtime-hook", "path"), "nvidia.hook"),
    (("nvidia-container-runtime-hook", "skip-mode-detection"), "nvidia.hook.skip-mode-detection"),
    (("features", "**"), "nvidia.feature."),
)

#: NVIDIA's file: by its packages, and by the GPU Operator's toolkit.
NVIDIA_FILES = (
    "/etc/nvidia-container-runtime/config.toml",
    "/usr/local/nvidia/toolkit/.config/nvidia-container-runtime/config.toml",
)

PROGRAMS = {
    "containerd": (
        "/usr/bin/containerd",
        "/usr/local/bin/containerd",
        "/bin/containerd",
        "/opt/bin/containerd",
        "/opt/containerd/bin/containerd",
        "/var/lib/rancher/rke2/bin/containerd",
        "/var/lib/k0s/bin/containerd",
    ),
    "crio": ("/usr/bin/crio", "/usr/local/bin/crio"),
    "docker": ("/usr/bin/dockerd", "/usr/local/bin/dockerd"),
    "runc": ("/usr/bin/runc", "/usr/sbin/runc", "/usr/local/sbin/runc", "/usr/local/bin/runc"),
    "nvidia": (
        "/usr/bin/nvidia-container-runtime",
        "/usr/local/nvidia/toolkit/nvidia-container-runtime.real",
        "/usr/local/nvidia/toolkit/nvidia-container-runtime",
    ),
}

CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")

#: Files of containerd: its own and the imported ones.
_IMPORTED = 64

#: Specifications of one folder, and host paths of one specification; a missing one is named up to the second number.
_CDI_FILES, _CDI_PATHS, _CDI_MISSING = 32, 4096, 8

#: First folder of a path → a file that is there on every host: without it that folder is not mounted here, and nothing in it is missing.
_MARKS = {
    "usr": "/usr/bin/env",
    "lib": "/usr/bin/env",
    "lib64": "/usr/bin/env",
    "bin": "/usr/bin/env",
    "sbin": "/usr/bin/env",
    "dev": "/dev/null",
}


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``runtime``. Raises NotApplicable on a host with no trace of any of them."""
    facts = Facts(sources, "runtime")
    facts.note_unmounted("/etc", "/usr/bin")
    for name, paths in PROGRAMS.items():
        put_version(facts, f"{name}.", paths)
    _read_containerd(facts)
    # CRI-O reads every file, whatever its ending (cri-o, pkg/config/config.go, UpdateFromPath).
    _read_merged(facts, "crio", ["/etc/crio/crio.conf", *files_below(facts, "/etc/crio/crio.conf.d")], CRIO_SETTINGS)
    _read_merged(facts, "docker", ["/etc/docker/daemon.json"], DOCKER_SETTINGS)
    unread = facts.unread_count
    for path in NVIDIA_FILES:
        if _read_merged(facts, "nvidia", [path], NVIDIA_SETTINGS) or facts.unread_count > unread:
            break
    yield from facts.parts()
    is_empty = not facts.data and not facts.gaps
    specifications = Facts(sources, "runtime")
    for folder in CDI_FOLDERS:
        for path in drop_ins(specifications, folder, ".yaml", ".json")[:_CDI_FILES]:
            _read_specification(specifications, path)
    if is_empty and not specifications.data and not specifications.gaps:
        specifications.require_folders("no container runtime, no settings of one, no CDI specification", "/etc", "/usr/bin", "/run")
    yield from specifications.parts()


def _read_merged(facts: Facts, name: str, paths: list[str], rows: tuple[tuple[tuple[str, ...], str], ...]) -> bool:
    tree: Tree | None = None
    files = []
    unread = facts.unread_count
    for path in paths:
        before = facts.unread_count
        above = read_tree(facts, path, is_toml=not path.endswith(".json"))
        if facts.unread_count > before:
            tree = {}  # it may set any of them anew
        if above is not None:
            files.append(path)
            tree = merge_trees(tree or {}, above)
    if tree is None:
        return False
    is_complete = facts.unread_count == unread
    facts.put(f"{name}.config", " ".join(files) if is_complete else None)
    put_settings(facts, tree, rows)
    if is_complete:
        _put_runtimes(facts, name)
    return True


def _read_containerd(facts: Facts) -> None:
    """What containerd's file and its imports say; each is merged over those before, whatever its version (server/config, LoadConfig)."""
    unread = facts.unread_count
    for path in CONTAINERD_FILES:
        root = read_tree(facts, path, is_toml=True)
        if facts.unread_count > unread:
            return
        if root is not None:
            break
    else:
        return
    trees, pending = {path: root}, _imports(facts, path, root)
    uncertain = len(trees) if facts.unread_count > unread else 0  # a file that could not be read may set anew what those before it set
    while pending and len(trees) < _IMPORTED:
        by, file = pending.pop(0)
        before = facts.unread_count
        tree = None if file in trees else read_tree(facts, file, is_toml=True)
        if tree is not None:
            trees[file] = tree
            pending += _imports(facts, file, tree)
        elif file not in trees and not facts.exists(file):
            facts.gap(ABSENT, redact_text(file, is_not_random)[0], f"imported by {by}: no such file")
        if facts.unread_count > before:
            uncertain = len(trees)
    is_complete = facts.unread_count == unread
    facts.put("containerd.config", " ".join(trees) if is_complete else None)
    top: Tree = {}
    certain = list(trees.values())[uncertain:]
    for tree in certain:
        top = merge_trees(top, {name: value for name, value in tree.items() if name != "plugins"})
    put_settings(facts, {**top, **{name: root.get(name) for name in ("version", "imports")}}, CONTAINERD_SETTINGS)
    for tree in certain:
        plugins = tree.get("plugins")
        for plugin in _CRI_PLUGINS:
            settings = plugins.get(plugin) if isinstance(plugins, dict) else None
            if isinstance(settings, dict):
                put_settings(facts, settings, CRI_SETTINGS)
    if is_complete:
        _put_runtimes(facts, "containerd")


def _imports(facts: Facts, path: str, tree: Tree) -> list[tuple[str, str]]:
    """The file and each file that it imports."""
    imports = tree.get("imports")
    patterns = imports if isinstance(imports, list) else []
    return [(path, file) for pattern in patterns for file in _imported_files(facts, path, str(pattern))]


def _imported_files(facts: Facts, path: str, pattern: str) -> list[str]:
    """The files that an import names: a path, relative to the file that imports it, or a pattern with one star in its last part."""
    if not pattern.startswith("/"):
        pattern = f"{path.rpartition('/')[0]}/{pattern}"
    folder, _, name = pattern.rpartition("/")
    begin, star, end = name.partition("*")
    if not star:
        return [pattern]
    if "*" in folder or "*" in end or "?" in pattern or "[" in pattern:
        facts.gap(UNREADABLE, path, f"imports by a pattern that is not followed: {redact_text(pattern[:80], is_not_random)[0]}")
        return []
    return [file for file in drop_ins(facts, folder, end) if file.rpartition("/")[2].startswith(begin)]


def _put_runtimes(facts: Facts, name: str) -> None:
    """Add the names of the runtimes, so that one that is missing shows."""
    prefix = f"{name}.runtime."
    runtimes = {key[len(prefix) :].rpartition(".")[0] for key in facts.data if key.startswith(prefix)}
    facts.put(f"{name}.runtimes", " ".join(sorted(runtimes)))


def cdi_devices(specification: Tree) -> list[str]:
    """Names of the devices, without those that are UUIDs."""
    devices = specification.get("devices")
    names = [str(each.get("name", "")) for each in devices if isinstance(each, dict)] if isinstance(devices, list) else []
    return sorted({name for name in names if name and not name.startswith(("GPU-", "MIG-"))}, key=lambda name: (len(name), name))


def cdi_host_paths(specification: Tree) -> set[str]:
    """Paths of the host that the edits of a specification and of its devices need: device nodes, mounts, hooks."""
    devices = specification.get("devices")
    paths: set[str] = set()
    for each in [specification, *(devices if isinstance(devices, list) else ())]:
        edits = each.get("containerEdits") if isinstance(each, dict) else None
        for kind, names in (("deviceNodes", ("hostPath", "path")), ("mounts", ("hostPath",)), ("hooks", ("path",))):
            entries: Any = edits.get(kind) if isinstance(edits, dict) else None
            for entry in entries if isinstance(entries, list) else ():
                values = [entry.get(name) for name in names] if isinstance(entry, dict) else []
                path = next((value for value in values if isinstance(value, str) and value.startswith("/")), None)
                if path and len(paths) < _CDI_PATHS:
                    paths.add(path)
    return paths


def _read_specification(facts: Facts, path: str) -> None:
    tree = read_tree(facts, path)
    if tree is None:
        return
    prefix = f"cdi.{path.rpartition('/')[2]}."
    facts.put(f"{prefix}folder", path.rpartition("/")[0])
    for key, name in (("kind", "kind"), ("version", "cdiVersion")):
        put_setting(facts, f"{prefix}{key}", tree.get(name))
    names = cdi_devices(tree)
    facts.put(f"{prefix}devices", len(names))
    put_setting(facts, f"{prefix}device-names", names[:64])
    paths = cdi_host_paths(tree)
    libraries = {library_version(each) for each in paths if each.rpartition("/")[2].startswith(("libcuda.so.", "libnvidia-ml.so."))}
    facts.put(f"{prefix}library-version", " ".join(sorted(version for version in libraries if version and version != "1")))
    facts.put(f"{prefix}host-paths", len(paths))
    if not facts.host.is_running_system:
        facts.gap(ABSENT, f"{prefix}host-paths-missing", "captured tree")
        return
    missing, unknown = [], 0
    for each in sorted(paths):
        try:
            if facts.host.exists(each):
                continue
            mark = _MARKS.get(each.split("/", 2)[1], each.rpartition("/")[0] or "/")
            is_mounted = facts.host.root == "/" or facts.host.exists(mark)
        except EidosError:
            is_mounted = False
        if is_mounted:
            missing.append(each)
        else:
            unknown += 1
    facts.put(f"{prefix}host-paths-missing", len(missing))
    for each in missing[:_CDI_MISSING]:
        facts.put(f"{prefix}missing.{each}", True)
    if unknown:
        facts.gap(UNREADABLE, f"{prefix}host-paths", f"{unknown} of {len(paths)} cannot be checked: their folders are not mounted here")
