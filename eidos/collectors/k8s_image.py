"""Container images: every image that a pod of the cluster names, with its registry, tag and digest.

Knows how images are named and which fields of a pod name them; must not know how pods are listed.

There are two kinds of keys, and only the second has a slash. The name alone (the last component of the path) → tag, as the Go program
wrote it; where one name has several tags, of one registry or of several, it is the lowest of them and the context lists the others. And
the complete reference → digest as the container runtime resolved it, several where a tag was moved between two pulls:

>>> images = Images()
>>> status = {"name": "a", "imageID": "nvcr.io/nvidia/driver@sha256:39ba28c2"}
>>> spec = {"containers": [{"name": "a", "image": "nvcr.io/nvidia/driver:580.82.07"}]}
>>> images.add({"spec": spec, "status": {"containerStatuses": [status]}})
>>> images.readings()
({'driver': '580.82.07', 'nvcr.io/nvidia/driver:580.82.07': 'sha256:39ba28c2'}, {})
"""

from __future__ import annotations

from eidos.collectors._cluster_source import collect_from_cluster, for_each_object
from eidos.model.measurement import SECRET, WITHHELD, Gap, Subtype
from eidos.model.snapshot import natural_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from eidos.collectors import Sources
    from eidos.kube.api_client import KubeClient
    from eidos.model.measurement import Part, Readings

#: List of containers in a pod's spec → the list of their statuses (Kubernetes API, PodSpec and PodStatus).
CONTAINER_FIELDS = {
    "containers": "containerStatuses",
    "initContainers": "initContainerStatuses",
    "ephemeralContainers": "ephemeralContainerStatuses",
}

#: The value in place of a digest that is not resolved yet.
NOT_PULLED = "not pulled"

#: Algorithms of digests that are registered (OCI image specification, "Digests"), and the digits of what they return.
_ALGORITHMS, _HEX = ("sha256", "sha384", "sha512", "blake3"), "0123456789abcdef"

#: What a reference has besides letters and digits (distribution/reference, "Grammar").
_REFERENCE_MARKS = "./:@_-+[]"

#: The registry of a name without one, and the namespace of its official images (distribution/reference, "normalized names").
_REGISTRY, _LIBRARY = "docker.io", "library/"


def parse_image_reference(image: str) -> tuple[str, str, str]:
    """Repository (with its registry, if it is named), tag and digest of an image reference; what is missing is "".

    >>> parse_image_reference("registry.example.com:5000/research/trainer:2025.09"), parse_image_reference("cilium:v1.17.7@sha256:8873")
    (('registry.example.com:5000/research/trainer', '2025.09', ''), ('cilium', 'v1.17.7', 'sha256:8873'))
    """
    name, _, digest = image.partition("@")
    folder, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return folder + slash + last, tag, digest


def drop_login(image: str) -> str:
    """``image`` without scheme, login and query, which no reference has; a pod can name what is none, and never starts.

    >>> [drop_login(name) for name in ("bob:x@sha256.example.com:5000/a:1", "https://example.com/a@sha256:8873f2?key=x", "a@sha256:8873f2")]
    ['sha256.example.com:5000/a:1', 'example.com/a@sha256:8873f2', 'a@sha256:8873f2']
    """
    scheme, separator, rest = image.partition("://")
    reference, _, query = (rest if separator else scheme).partition("?")
    name, at, last = reference.rpartition("@")
    image = name.rpartition("@")[2] + at + last if _is_digest(last) else last
    # A password has the "?", or the query an address: either side may be secret.
    return image if "@" not in query and image.isascii() and all(c.isalnum() or c in _REFERENCE_MARKS for c in image) else WITHHELD


def _is_digest(text: str) -> bool:
    """Whether ``text`` is a digest, and not a host with a port."""
    algorithm, _, digits = text.partition(":")
    return algorithm in _ALGORITHMS and bool(digits) and not digits.strip(_HEX) and not (digits.isdigit() and len(digits) <= len("65535"))


def qualify_repository(repository: str, resolved: str = "") -> str:
    """``repository`` with a registry: its own, else that of ``resolved`` (the runtime's name for it), else the default one.

    >>> [qualify_repository(name) for name in ("busybox", "nvidia/cuda", "localhost/py")]
    ['docker.io/library/busybox', 'docker.io/nvidia/cuda', 'localhost/py']
    >>> qualify_repository("busybox", "quay.example.com/mirror/busybox")
    'quay.example.com/mirror/busybox'
    """
    first, slash, _ = repository.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return repository
    if resolved.endswith(f"/{repository}"):
        return resolved
    return f"{_REGISTRY}/{repository if slash else _LIBRARY + repository}"


class Images:
    """The images of the pods that were added; its size grows with the images, not with the pods."""

    def __init__(self) -> None:
        #: Images whose names had a login in them.
        self.with_login: set[str] = set()
        self._tags: dict[str, set[str]] = {}
        self._digests: dict[str, set[str]] = {}

    def add(self, pod: dict[str, Any]) -> None:
        """Add the images of all containers of a pod, as the API returns it."""
        spec, status = pod.get("spec") or {}, pod.get("status") or {}
        for kind, statuses in CONTAINER_FIELDS.items():
            containers = spec.get(kind)
            if not containers:
                continue
            image_ids = {each.get("name"): each.get("imageID") or "" for each in status.get(statuses) or ()}
            for container in containers:
                image = container.get("image")
                if image:
                    self._add(image, image_ids.get(container.get("name"), ""))

    def _add(self, image: str, image_id: str) -> None:
        clean = drop_login(image)
        if clean != image:
            self.with_login.add(clean)
            image = clean
        repository, tag, digest = parse_image_reference(image)
        # Docker reports docker-pullable://name@digest; a digest without a name is the image configuration's, which no registry knows.
        resolved, at, image_digest = image_id.rpartition("://")[2].rpartition("@")
        if not at and image_digest:
            image_digest = f"id {image_digest}"
        if not tag and not digest:
            tag = "latest"
        name = repository.rpartition("/")[2]
        self._tags.setdefault(name, set()).add(tag or digest)
        key = qualify_repository(repository, resolved) + (f":{tag}" if tag else "")
        digests = self._digests.setdefault(key, set())
        if digest or image_digest:
            digests.add(digest or image_digest)

    def readings(self) -> tuple[Readings, dict[str, str]]:
        """Name → tag and reference → digests; and as context, name → its other tags."""
        data: Readings = {}
        context: dict[str, str] = {}
        for name, tags in self._tags.items():
            # Digests sort last: they do not tell a version.
            first, *others = sorted(tags, key=lambda tag: (":" in tag, natural_key(tag)))
            data[name] = first
            if others:
                context[name] = f"Other containers run {', '.join(others)}."
        data.update((key, ", ".join(sorted(digests)) or NOT_PULLED) for key, digests in self._digests.items())
        return data, context


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``image``."""
    return collect_from_cluster(sources, "k8s.image", _read)


def _read(client: KubeClient) -> Iterator[Part]:
    images = Images()
    for_each_object(client, "/api/v1/pods", images.add)
    yield Subtype("image", *images.readings())
    for image in sorted(images.with_login):
        yield Gap(SECRET, image, "not a reference: a URL, or a name with a login")
