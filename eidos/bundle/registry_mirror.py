"""Where images and charts come from, and how to take them from a mirror.

Knows the form of references (host, path, tag) and the keys that hold them; must not know any chart. A mirror keeps the path and replaces
the host: ``nvcr.io/nvidia/driver:1`` is ``mirror.example.com/x/nvidia/driver:1`` on ``mirror.example.com/x``. Charts are taken from it as
OCI artifacts, which is the one form in which a registry of images holds charts.
"""

from __future__ import annotations

from eidos.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Keys of charts and manifests that hold a reference or a part of one.
KEYS = frozenset(("image", "repository", "registry"))

_HOST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]")


def check(mirror: str) -> str:
    """A mirror as it was given, without a slash at its end; InvalidInput when it is none.

    >>> check("mirror.example.com/x/")
    'mirror.example.com/x'
    """
    text = mirror.rstrip("/")
    host, _, path = text.partition("/")
    if (
        "://" in text
        or not host
        or not set(host) <= _HOST
        or any(not part or not part.isascii() or not set(part) <= _PART for part in path.split("/") if path)
    ):
        raise InvalidInput(f"{mirror!r} is no registry", "write a host and a path, without a scheme: mirror.example.com/x")
    return text


_PART = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")


def is_host(word: str) -> bool:
    """Whether the first part of a reference names a host, as container runtimes tell: it has a dot or a colon, or is localhost.

    >>> is_host("nvcr.io"), is_host("localhost"), is_host("library")
    (True, True, False)
    """
    return word == "localhost" or (("." in word or ":" in word) and set(word) <= _HOST)


def image(reference: str, mirror: str) -> str:
    """An image, or a part of one that begins with the host, on the mirror; as it is without a mirror.

    >>> image("nvcr.io/nvidia/driver:1", "mirror.example.com/x"), image("quay.io", "mirror.example.com"), image("busybox", "m.example.com")
    ('mirror.example.com/x/nvidia/driver:1', 'mirror.example.com', 'm.example.com/library/busybox')
    """
    if not mirror or reference == mirror or reference.startswith(f"{mirror}/"):
        return reference
    host, slash, path = reference.partition("/")
    if slash and is_host(host):
        return f"{mirror}/{path}"
    if not slash and "." in host and ":" not in host:
        return mirror
    # Docker Hub's own images have no host, and those of nobody in particular no path either.
    return f"{mirror}/{reference}" if slash else f"{mirror}/library/{reference}"


def repository(url: str, mirror: str) -> str:
    """The repository of a chart, on the mirror; as it is without a mirror.

    >>> repository("https://helm.ngc.nvidia.com/nvidia", "mirror.example.com/x"), repository("oci://ghcr.io/a/b", "")
    ('oci://mirror.example.com/x/nvidia', 'oci://ghcr.io/a/b')
    """
    if not mirror:
        return url
    path = url.partition("://")[2].partition("/")[2].strip("/")
    return f"oci://{mirror}/{path}" if path else f"oci://{mirror}"


def rewrite(tree: Any, mirror: str, key: str = "") -> Any:
    """A tree in which every text under one of :data:`KEYS` that begins with a host is on the mirror."""
    if isinstance(tree, dict):
        rewritten = {name: rewrite(value, mirror, name) for name, value in tree.items()}
        if isinstance(tree.get("image"), str) and "name" in tree and "repository" not in tree:  # a container: Docker Hub needs no host
            rewritten["image"] = image(tree["image"], mirror)
        return rewritten
    if isinstance(tree, list):
        return [rewrite(item, mirror, key) for item in tree]
    if (
        isinstance(tree, str)
        and key in KEYS
        and "://" not in tree
        and is_host(tree.partition("/")[0])
        and "/" in tree + ("/" if key == "registry" else "")
    ):
        return image(tree, mirror)
    return tree
