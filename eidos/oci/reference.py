"""References to artifacts in a registry: ``oci://host[:port]/repository[:tag][@digest]``.

Knows the grammar of the OCI distribution specification 1.1 ("Pulling manifests": names and tags) and of the image specification
("Digests"), read strictly; must not know registries. There is no default registry, because a guess would send credentials to a host that
nobody named.
"""

from __future__ import annotations

import re

from eidos.errors import InvalidInput
from eidos.model.record import Record, replace

SCHEME = "oci://"

#: The tag of a reference that has neither a tag nor a digest, as with docker, skopeo and oras.
DEFAULT_TAG = "latest"

#: Characters of host and repository together, at most, as registries have it.
NAME_LIMIT = 255

_HINT = "write it like oci://registry.example.com/team/bundle:v1"

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]{{2,45}}\])(?::[0-9]{{1,5}})?", re.ASCII)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}", re.ASCII)


class Reference(Record):
    """An artifact: the registry's ``host``, with its port if it has one, the ``repository``, and a ``tag``, a ``digest`` or both."""

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{SCHEME}{self.name}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        """Host and repository."""
        return f"{self.host}/{self.repository}"

    @property
    def target(self) -> str:
        """What selects the manifest: the digest if there is one, or else the tag."""
        return self.digest or self.tag

    def at(self, digest: str) -> Reference:
        """The same artifact by its digest."""
        return replace(self, tag="", digest=digest)


def is_reference(text: str) -> bool:
    """Whether a location is in a registry."""
    return text.startswith(SCHEME)


def is_digest(text: str) -> bool:
    """Whether a text is a SHA-256 digest, as ``sha256:`` and 64 hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether a text can be a tag."""
    return _TAG.fullmatch(text) is not None


def is_registry_host(text: str) -> bool:
    """Whether a text can be the host of a registry, with a port or without.

    >>> [is_registry_host(text) for text in ("registry.example.com:5000", "[2001:db8::1]", "..", "-x", "a:99999", "")]
    [True, True, False, False, False, False]
    """
    return _HOST.fullmatch(text) is not None and _has_valid_port(text)


def is_repository(text: str) -> bool:
    """Whether a text can be the name of a repository."""
    return len(text) <= NAME_LIMIT and _REPOSITORY.fullmatch(text) is not None


def parse_reference(text: str) -> Reference:
    """The artifact that a reference names; InvalidInput says which part of it is invalid.

    >>> parse_reference("oci://localhost:5000/team/gpu:v1")
    Reference(host='localhost:5000', repository='team/gpu', tag='v1', digest='')
    >>> str(parse_reference("oci://registry.example.com/gpu"))
    'oci://registry.example.com/gpu:latest'
    """
    text, mark, _ = text.partition("?")
    if not is_reference(text):
        raise InvalidInput(f"{text[:100]!r} is not a reference to a registry", _HINT)
    if mark:
        raise InvalidInput(f"invalid reference {text[:100]!r}: a reference has no query", _HINT)
    host, slash, rest = text[len(SCHEME) :].partition("/")
    if "@" in host:
        raise InvalidInput("a reference with a username or password is not accepted, because others can see it", "run 'docker login'")
    if len(text) > 2 * NAME_LIMIT + 200:
        raise InvalidInput(f"invalid reference {text[:60]!r}…: too long", _HINT)
    name, at, digest = rest.partition("@")
    repository, colon, tag = name.partition(":")
    if not slash or not repository:
        raise InvalidInput(f"invalid reference {text!r}: no repository", _HINT)
    if not is_registry_host(host):
        raise InvalidInput(f"invalid reference {text!r}: invalid host {host!r}", _HINT)
    if not _REPOSITORY.fullmatch(repository):
        hint = f"use lower case: {repository.lower()}" if _REPOSITORY.fullmatch(repository.lower()) else _HINT
        raise InvalidInput(f"invalid reference {text!r}: invalid repository {repository!r}", hint)
    if len(host) + 1 + len(repository) > NAME_LIMIT:
        raise InvalidInput(f"invalid reference {text!r}: host and repository are longer than {NAME_LIMIT} characters", "shorten them")
    if colon and not is_tag(tag):
        raise InvalidInput(f"invalid reference {text!r}: invalid tag {tag!r}", "a tag has letters, digits, '_', '.' and '-', at most 128")
    if at and not is_digest(digest):
        raise InvalidInput(f"invalid reference {text!r}: invalid digest {digest!r}", "write sha256: and 64 hexadecimal digits")
    return Reference(host, repository, tag if colon or at else DEFAULT_TAG, digest)


def _has_valid_port(host: str) -> bool:
    port = host.rpartition(":")[2] if not host.endswith("]") and ":" in host else "1"
    return 0 < int(port) < 65536
