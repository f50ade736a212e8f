"""Container images: every image that a pod of the cluster names, with its registry, tag and digest.

Knows how images are named and which fields of a pod name them; must not know how pods are listed.

Two kinds of keys, which never meet, because only those of the second have a slash. The name alone (the last part of the path) → tag, as
the Go program wrote it; where one name has several tags, from one registry or from several, it is the lowest of them and the context names
the others. And the whole reference → digest as the container runtime resolved it, several of them where a tag was moved between two pulls:

>>> images = Images()
>>> status = {"name": "a", "imageID": "nvcr.io/nvidia/driver@sha256:39ba28c2"}
>>> spec = {"containers": [{"name": "a", "image": "nvcr.io/nvidia/driver:580.82.07"}]}
>>> images.add({"spec": spec, "status": {"containerStatuses": [status]}})
>>> images.readings()
({'driver': '580.82.07', 'nvcr.io/nvidia/driver:580.82.07': 'sha256:39ba28c2'}, {})
"""

from __future__ import annotations

from eidos.collectors._cluster_source import facts, listed
from eidos.model.measurement import Subtype
from eidos.model.snapshot import natural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from eidos.collectors import Sources
    from eidos.kube.api_client import Client
    from eidos.model.measurement import Part, Readings

#: Lists of containers in a pod's spec, and where its status has what became of them (Kubernetes API, PodSpec and PodStatus).
KINDS = {
    "containers": "containerStatuses",
    "initContainers": "initContainerStatuses",
    "ephemeralContainers": "ephemeralContainerStatuses",
}

#: What stands in place of a digest that nobody knows yet.
NOT_PULLED = "not pulled"

#: The registry of a name without one, and the folder of its own images (distribution/reference, "normalized names").
_REGISTRY, _LIBRARY = "docker.io", "library/"


def parse(image: str) -> tuple[str, str, str]:
    """Repository with its registry (as far as it is said), tag and digest of an image as a pod names it; what is not said is "".

    >>> parse("registry.example.com:5000/research/trainer:2025.09"), parse("cilium:v1.17.7@sha256:8873")
    (('registry.example.com:5000/research/trainer', '2025.09', ''), ('cilium', 'v1.17.7', 'sha256:8873'))
    """
    name, _, digest = image.partition("@")
    folder, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return folder + slash + last, tag, digest


def full(repository: str, resolved: str = "") -> str:
    """``repository`` with a registry: its own, else that of ``resolved`` (what the runtime found), else the default one.

    >>> full("busybox"), full("nvidia/cuda"), full("localhost/py"), full("busybox", "quay.example.com/mirror/busybox")
    ('docker.io/library/busybox', 'docker.io/nvidia/cuda', 'localhost/py', 'quay.example.com/mirror/busybox')
    """
    first, slash, _ = repository.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return repository
    if resolved.endswith(f"/{repository}"):
        return resolved
    return f"{_REGISTRY}/{repository if slash else _LIBRARY + repository}"


class Images:
    """The images of the pods that were added; what is kept grows with the images, not with the pods."""

    def __init__(self) -> None:
        self._tags: dict[str, set[str]] = {}
        self._digests: dict[str, set[str]] = {}

    def add(self, pod: dict[str, Any]) -> None:
        """Take the images of all kinds of containers of a pod, as the API gives it."""
        spec, status = pod.get("spec") or {}, pod.get("status") or {}
        for kind, statuses in KINDS.items():
            containers = spec.get(kind)
            if not containers:
                continue
            found = {each.get("name"): each.get("imageID") or "" for each in status.get(statuses) or ()}
            for container in containers:
                image = container.get("image")
                if image:
                    self._add(image, found.get(container.get("name"), ""))

    def _add(self, image: str, image_id: str) -> None:
        repository, tag, digest = parse(image)
        # Docker says docker-pullable://name@digest; a digest without a name is that of the image's configuration, no registry knows it.
        resolved, at, found = image_id.rpartition("://")[2].rpartition("@")
        if not at and found:
            found = f"id {found}"
        if not tag and not digest:
            tag = "latest"
        name = repository.rpartition("/")[2]
        self._tags.setdefault(name, set()).add(tag or digest)
        key = full(repository, resolved) + (f":{tag}" if tag else "")
        known = self._digests.setdefault(key, set())
        if digest or found:
            known.add(digest or found)

    def readings(self) -> tuple[Readings, dict[str, str]]:
        """Tag by name and digest by reference; and which other tags a name has."""
        data: Readings = {}
        context: dict[str, str] = {}
        for name, tags in self._tags.items():
            # A digest says nothing to whoever compares versions.
            first, *others = sorted(tags, key=lambda tag: (":" in tag, natural(tag)))
            data[name] = first
            if others:
                context[name] = f"Other containers run {', '.join(others)}."
        data.update((key, ", ".join(sorted(digests)) or NOT_PULLED) for key, digests in self._digests.items())
        return data, context


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``image``."""
    return facts(sources, "k8s.image", _read)


def _read(client: Client) -> Iterator[Part]:
    images = Images()
    listed(client, "/api/v1/pods", images.add)
    yield Subtype("image", *images.readings())
