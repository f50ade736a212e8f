"""References to images and charts, moved to a mirror.

Knows the form of references (host, path, tag) and the keys that hold them; must not know any chart. A mirror preserves the path and
replaces the host: ``nvcr.io/nvidia/driver:1`` is ``mirror.example.com/x/nvidia/driver:1`` on ``mirror.example.com/x``. Charts are pulled
from it as OCI artifacts, the one form in which a registry of images stores charts, below ``charts``: a chart and an image may have one
name and version, as nvidia/gpu-operator has.
"""

from __future__ import annotations

from eidos.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Keys of charts and manifests that hold a reference or a part of one.
KEYS = frozenset(("image", "repository", "registry"))

_HOST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]")


def parse_registry(mirror: str) -> str:
    """A mirror, without a slash at its end. Raises InvalidInput.

    >>> parse_registry("mirror.example.com/x/")
    'mirror.example.com/x'
    """
    from eidos.oci.reference import is_registry_host, is_repository

    text = mirror.rstrip("/")
    host, _, path = text.partition("/")
    if "@" in text:
        raise InvalidInput("a registry with a username or password is not accepted, because others can see it", "run 'docker login'")
    if is_registry_host(host) and not is_host(host):
        message = f"invalid registry {mirror!r}: container runtimes look for {host}/... on docker.io"
        raise InvalidInput(message, f"write its domain or its port, such as {host}:443")
    if not is_registry_host(host) or (path and not is_repository(path)):
        raise InvalidInput(f"invalid registry {mirror!r}", "write a host and a path without a scheme, such as mirror.example.com/x")
    return text


def is_host(word: str) -> bool:
    """Whether the first part of a reference is a host, by the rule of container runtimes: it has a dot or a colon, or is localhost.

    >>> is_host("nvcr.io"), is_host("localhost"), is_host("library")
    (True, True, False)
    """
    return word == "localhost" or (("." in word or ":" in word) and set(word) <= _HOST)


def with_host(reference: str) -> str:
    """A reference with a host, which those to Docker Hub may lack; its official images have no path either.

    >>> [with_host(reference) for reference in ("busybox:1", "a/b:1", "quay.io/a:1")]
    ['docker.io/library/busybox:1', 'docker.io/a/b:1', 'quay.io/a:1']
    """
    host, slash, _ = reference.partition("/")
    if slash and is_host(host):
        return reference
    return f"docker.io/{reference}" if slash else f"docker.io/library/{reference}"


def mirror_image(reference: str, mirror: str) -> str:
    """An image, or a part of one that begins with the host, on the mirror; unchanged without a mirror.

    >>> [mirror_image(reference, "m.example.com/x") for reference in ("nvcr.io/nvidia/driver:1", "quay.io", "busybox")]
    ['m.example.com/x/nvidia/driver:1', 'm.example.com/x', 'm.example.com/x/library/busybox']
    """
    if not mirror or reference == mirror or reference.startswith(f"{mirror}/"):
        return reference
    host, slash, path = reference.partition("/")
    if slash and is_host(host):
        return f"{mirror}/{path}"
    if not slash and "." in host and ":" not in host:
        return mirror
    # Images of Docker Hub have no host, and its official images no path either.
    return f"{mirror}/{reference}" if slash else f"{mirror}/library/{reference}"


def mirror_repository(url: str, mirror: str) -> str:
    """The repository of a chart, on the mirror, where no image has its name; unchanged without a mirror.

    >>> mirror_repository("https://helm.ngc.nvidia.com/nvidia", "mirror.example.com/x"), mirror_repository("oci://ghcr.io/a/b", "")
    ('oci://mirror.example.com/x/charts/nvidia', 'oci://ghcr.io/a/b')
    """
    if not mirror:
        return url
    path = url.partition("://")[2].partition("/")[2].strip("/")
    return f"oci://{mirror}/charts/{path}" if path else f"oci://{mirror}/charts"


def mirror_tree(tree: Any, mirror: str, key: str = "") -> Any:
    """A tree in which every text under one of :data:`KEYS` that begins with a host is on the mirror."""
    if isinstance(tree, dict):
        mirrored = {name: mirror_tree(value, mirror, name) for name, value in tree.items()}
        if isinstance(tree.get("image"), str) and "name" in tree and "repository" not in tree:  # a container: Docker Hub needs no host
            mirrored["image"] = mirror_image(tree["image"], mirror)
        return mirrored
    if isinstance(tree, list):
        return [mirror_tree(item, mirror, key) for item in tree]
    if (
        isinstance(tree, str)
        and key in KEYS
        and "://" not in tree
        and is_host(tree.partition("/")[0])
        and "/" in tree + ("/" if key == "registry" else "")
    ):
        return mirror_image(tree, mirror)
    return tree
