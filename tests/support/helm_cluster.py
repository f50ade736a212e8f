"""Bundles before a real helm and a real kubectl, with a fake API server that keeps what they apply and small charts from loopback.

Knows how to make charts, serve them and run scripts; must not know what scripts should do.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Mapping
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests.fakes.apiserver import ApiServer
from tests.fakes.workload_controllers import WorkloadControllers
from tests.support.bundle_files import RECIPES, files_of_tree, recipe, written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

Tree = dict[str, Any]

GOLDEN = {path.stem: path for path in RECIPES}


def definition(name: str, kind: str, version: str = "v1", namespaced: bool = False, **metadata: Any) -> Tree:
    """A custom resource definition without a schema to speak of."""
    plural, _, group = name.partition(".")
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name, **metadata},
        "spec": {
            "group": group,
            "scope": "Namespaced" if namespaced else "Cluster",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


def deployment(name: str, labels: Mapping[str, str], image: str = "registry.example.com/a:1", **metadata: Any) -> Tree:
    """A Deployment of one container."""
    pod = {"metadata": {"labels": dict(labels)}, "spec": {"containers": [{"name": "main", "image": image}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": dict(labels)}, "template": pod}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": dict(labels), **metadata}, "spec": spec}


def keep() -> Tree:
    """Annotations of what a chart leaves behind."""
    return {"annotations": {"helm.sh/resource-policy": "keep"}}


CERT_MANAGER = {"app.kubernetes.io/name": "cert-manager", "app.kubernetes.io/component": "controller"}
POLICY: Tree = {"apiVersion": "nvidia.com/v1", "kind": "ClusterPolicy", "metadata": {"name": "cluster-policy"}, "spec": {}}
QUEUE: Tree = {"apiVersion": "scheduling.run.ai/v2", "kind": "Queue", "metadata": {"name": "default-queue", **keep()}, "spec": {}}

#: Chart → definitions of its folder crds/, and its templates. A ConfigMap in each shows the values.
CHARTS: dict[str, tuple[list[Tree], list[Tree]]] = {
    "cert-manager": (
        [],
        [
            definition("certificates.cert-manager.io", "Certificate", namespaced=True, **keep()),
            deployment("cert-manager", CERT_MANAGER),
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "leader", "namespace": "kube-system"}, "data": {"a": "b"}},
        ],
    ),
    "kube-prometheus-stack": (
        [definition("servicemonitors.monitoring.coreos.com", "ServiceMonitor", namespaced=True)],
        [deployment("prometheus-operator", {"app.kubernetes.io/component": "prometheus-operator"})],
    ),
    "gpu-operator": (
        [
            definition("clusterpolicies.nvidia.com", "ClusterPolicy"),
            definition("nodefeatures.nfd.k8s-sigs.io", "NodeFeature", namespaced=True),
        ],
        [
            deployment("gpu-operator", {"app.kubernetes.io/component": "gpu-operator"}),
            {**POLICY, "spec": {"mig": {"strategy": "single"}}},
        ],
    ),
    "kai-scheduler": (
        [definition("queues.scheduling.run.ai", "Queue", "v2"), definition("configs.kai.scheduler", "Config")],
        [deployment("kai-operator", {"app": "kai-operator"}), QUEUE],
    ),
    "prometheus-adapter": ([], [deployment("prometheus-adapter", {"app.kubernetes.io/name": "prometheus-adapter"})]),
    "aws-ebs-csi-driver": ([], [deployment("ebs-csi-controller", {"app.kubernetes.io/name": "aws-ebs-csi-driver"})]),
}

_VALUES = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Chart.Name }}-values}\ndata: {values: {{ toJson .Values | quote }}}\n"


def packed_chart(name: str, version: str, source: Path | None = None) -> bytes:
    """A chart as ``helm package`` makes it; ``source`` is the folder of a real one."""
    if source is not None:
        return _packed(name, _real_files(source, version))
    crds, templates = CHARTS[name]
    files = {
        "Chart.yaml": yaml.safe_dump({"apiVersion": "v2", "name": name, "version": version}),
        "values.yaml": "{}\n",
        "templates/values.yaml": _VALUES,
        **{f"crds/{number}.yaml": yaml.safe_dump(tree) for number, tree in enumerate(crds)},
        **{f"templates/{number}.yaml": yaml.safe_dump(tree) for number, tree in enumerate(templates)},
    }
    return _packed(name, {path: text.encode() for path, text in files.items()})


def _real_files(source: Path, version: str) -> dict[str, bytes]:
    files = {str(path.relative_to(source)): path.read_bytes() for path in source.rglob("*") if path.is_file()}
    about = {**yaml.safe_load(files["Chart.yaml"]), "version": version}
    return {**files, "Chart.yaml": yaml.safe_dump(about).encode()}


def _packed(name: str, files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class HelmCluster:
    """The cluster, the charts and the tools; ``helm`` and ``kubectl`` are paths of programs.

    ``real_charts`` maps names of charts to folders, whose charts are served instead of small ones.
    """

    def __init__(self, folder: Path, helm: str, kubectl: str) -> None:
        self.folder = folder
        self.real_charts: dict[str, Path] = {}
        self.server = ApiServer()
        self.controllers = WorkloadControllers(self.server)
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "helm").symlink_to(helm)
        (folder / "bin" / "kubectl").symlink_to(kubectl)
        (folder / "charts").mkdir()

    def __enter__(self) -> Self:
        self.server.__enter__()
        self.server.kubeconfig(self.folder)
        handler = functools.partial(_Quiet, directory=str(self.folder / "charts"))
        self._charts = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._charts.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self._charts.shutdown()
        self._charts.server_close()
        self.server.__exit__(kind, fault, trace)

    @property
    def charts_url(self) -> str:
        """Where the charts are."""
        return f"http://127.0.0.1:{self._charts.server_address[1]}"

    def publish(self, *versions: tuple[str, str]) -> None:
        """Serve these versions of charts, (name, version) each."""
        entries: dict[str, list[Tree]] = {}
        for name, version in versions:
            packed = packed_chart(name, version, self.real_charts.get(name))
            file = f"{name}-{version}.tgz"
            (self.folder / "charts" / file).write_bytes(packed)
            digest = hashlib.sha256(packed).hexdigest()
            entries.setdefault(name, []).append({"apiVersion": "v2", "name": name, "version": version, "urls": [file], "digest": digest})
        index = {"apiVersion": "v1", "entries": entries}
        (self.folder / "charts" / "index.yaml").write_text(yaml.safe_dump(index))

    def bundle(self, golden: str, *components: str, **options: Any) -> Path:
        """The bundle of a golden recipe with these components, whose charts come from here; the folder's name needs quotes in a shell."""
        tree = copy.deepcopy(recipe(GOLDEN[golden]))
        tree["components"] = [entry for entry in tree["components"] if entry["id"] in components]
        for entry in tree["components"]:
            entry.pop("depends", None)
            if entry.get("chart"):
                entry["repository"] = self.charts_url
        others = ("cert-manager", "kube-prometheus-stack", "gpu-operator")
        sets = [f"{id}:enabled=false" for id in others if id not in components] + list(options.pop("sets", ()))
        self.publish(*((entry["chart"], str(entry["version"])) for entry in tree["components"] if entry.get("chart")))
        files = files_of_tree(tree, components=components, sets=sets, **options)
        return written(files, self.folder / f"a 'bundle' of $x {len(list(self.folder.iterdir()))}")

    def environment(self) -> dict[str, str]:
        """For the tools and the scripts."""
        return {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "TMPDIR": str(self.folder),
        }

    def run(self, *command: str | Path, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """A script or a tool, which ends with this status (None: any)."""
        line = [str(word) for word in command]
        null = subprocess.DEVNULL
        done = subprocess.run(line, env=self.environment(), cwd="/", stdin=null, capture_output=True, text=True, timeout=300, check=False)
        assert status is None or done.returncode == status, f"{line}\n{done.stdout}\n{done.stderr}"
        return done

    def helm(self, *arguments: str) -> str:
        """What helm prints."""
        return self.run(self.folder / "bin" / "helm", *arguments).stdout

    def revisions(self, release: str, namespace: str) -> list[tuple[int, str]]:
        """Number and status of each revision of a release."""
        history = yaml.safe_load(self.helm("history", release, "--namespace", namespace, "--output", "yaml"))
        return [(entry["revision"], entry["status"]) for entry in history]

    def snapshot(self) -> dict[str, str]:
        """Path → version of every object: two that are equal say that nothing was changed between them."""
        store = self.server.store
        return {
            f"{version}/{resource}/{namespace}/{name}": tree["metadata"]["resourceVersion"]
            for (version, resource), objects in store._objects.items()
            for (namespace, name), tree in objects.items()
        }
