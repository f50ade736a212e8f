"""An artifact store in a registry: blobs, manifests, tags and referrers of one repository.

Knows the paths of the OCI distribution specification 1.1, the referrers API and the tag schema that takes its place where a registry lacks
it; must not know what artifacts hold.
"""

from __future__ import annotations

from eidos.errors import IntegrityError
from eidos.http_wire.url import parse_url
from eidos.log import printable
from eidos.oci import blob_transfer
from eidos.oci.blob import verified
from eidos.oci.image_manifest import (
    DOCKER_INDEX_TYPE,
    DOCKER_MANIFEST_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    index_to_bytes,
    parse_index,
    sha256_digest,
)
from eidos.oci.reference import is_digest
from eidos.oci.registry_client import UNSUPPORTED_METHOD_STATUSES, RegistryError, RegistryNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from eidos.oci.blob import Blob
    from eidos.oci.registry_client import RegistryClient

#: Pages of referrers that are read, and times that a fall-back index is written again because another push changed it meanwhile.
PAGES_LIMIT, REWRITES_LIMIT = 100, 5

#: What registries without referrers answer besides 404. A 303 leads to a page, as at GitHub; Harbor before 2.8 has 401 without a challenge,
#: and who is not allowed to read is refused the tag as well.
_NO_REFERRERS_STATUSES = UNSUPPORTED_METHOD_STATUSES | {303, 400, 401, 406}

#: Characters of a header Link that are read.
LINK_LIMIT = 8192

_ACCEPT = {"Accept": f"{MANIFEST_TYPE}, {INDEX_TYPE}"}

#: Docker's own kinds of manifests, which a registry denies to who does not accept them.
_IMAGE_TYPES = (MANIFEST_TYPE, INDEX_TYPE, DOCKER_MANIFEST_TYPE, DOCKER_INDEX_TYPE)
_ACCEPT_IMAGES = {"Accept": ", ".join(_IMAGE_TYPES)}

#: What to do about a manifest in the registry that has another digest.
_DIGEST_HINT = "pull by another tag or digest, or push it again"


class RegistryStore:
    """The artifacts of one repository; ``mount_from`` is another one of the registry that may have the blobs already."""

    def __init__(self, client: RegistryClient, mount_from: str = "") -> None:
        self._client = client
        self._mount_from = mount_from

    @property
    def name(self) -> str:
        """What messages call it."""
        return self._client.reference.name

    def has_blob(self, digest: str) -> bool:
        """Whether a blob is there."""
        return blob_transfer.has_blob(self._client, digest)

    def write_blob(self, blob: Blob) -> int:
        """Store a blob; how many bytes were sent."""
        return blob_transfer.upload_blob(self._client, blob, self._mount_from)

    def read_blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        """A blob, verified as it comes: IntegrityError when it is not what its digest says."""
        name = f"{self.name}: blob {descriptor.digest}"
        return verified(blob_transfer.download_blob(self._client, descriptor), descriptor, name)

    def find_digest(self, target: str) -> str | None:
        """The digest of the manifest with a tag or a digest; None when there is none."""
        try:
            headers = self._client.probe(self._client.url(f"manifests/{target}"), f"looking for {target}", _ACCEPT)
        except RegistryNotFound:
            return None
        digest = headers.get("docker-content-digest", "")
        if not is_digest(digest):
            return self.read_manifest(target)[1]
        if is_digest(target):
            self._require_digest(target, digest, target)
        return digest

    def has_manifest(self, target: str) -> bool:
        """Whether there is a manifest with a tag or a digest, of an artifact or of an image of any kind.

        Raises RegistryError for a response that is not one, such as a login page.
        """
        try:
            headers = self._client.probe(self._client.url(f"manifests/{target}"), f"looking for {target}", _ACCEPT_IMAGES)
        except RegistryNotFound:
            return False
        media_type = _media_type(headers)
        if media_type not in _IMAGE_TYPES and not is_digest(headers.get("docker-content-digest", "")):
            raise self._not_a_manifest(f"looking for {target}", media_type)
        return True

    def read_manifest(self, target: str) -> tuple[bytes, str]:
        """The manifest with a tag or a digest, and its digest. Raises RegistryNotFound; IntegrityError when it has another digest."""
        response = self._client.send("GET", self._client.url(f"manifests/{target}"), (200,), headers=_ACCEPT, what=f"manifest {target}")
        if response.body.lstrip()[:1] == b"<":  # a login page
            raise self._not_a_manifest(f"manifest {target}", _media_type(response.headers))
        digest = sha256_digest(response.body)
        expected = target if is_digest(target) else response.headers.get("docker-content-digest", digest)
        if is_digest(expected):
            self._require_digest(target, digest, expected)
        return response.body, digest

    def write_manifest(self, data: bytes, target: str, media_type: str = MANIFEST_TYPE) -> dict[str, str]:
        """Store a manifest under a tag or its digest, when its blobs are there; the headers of the response. Raises IntegrityError."""
        url, headers = self._client.url(f"manifests/{target}"), {"Content-Type": media_type, "Content-Length": str(len(data))}
        what = f"upload of manifest {target}"
        stored = self._client.send("PUT", url, (201,), headers=headers, open_body=lambda: data, what=what).headers
        digest = stored.get("docker-content-digest", "")
        if is_digest(digest):
            self._require_digest(target, digest, sha256_digest(data), "push it again")
        return stored

    def _not_a_manifest(self, what: str, media_type: str) -> RegistryError:
        shown = printable(media_type[:60]) or "none"
        return RegistryError(f"{self.name}: {what}: unexpected content type: {shown}", "check the address of the registry")

    def _require_digest(self, target: str, digest: str, expected: str, hint: str = _DIGEST_HINT) -> None:
        """Raise IntegrityError unless the manifest of a target has the digest that it must have."""
        if digest != expected:
            raise IntegrityError(f"{self.name}: manifest {target} does not match the digest {expected}; it has {digest}", hint)

    def list_referrers(self, digest: str, artifact_type: str) -> tuple[Descriptor, ...]:
        """The manifests of one artifact type whose subject is a manifest. Raises RegistryError for an incomplete list."""
        from urllib.parse import quote

        url = self._client.url(f"referrers/{digest}?artifactType={quote(artifact_type, safe='')}")
        referrers: list[Descriptor] = []
        what = f"referrers of {digest}"
        for _ in range(PAGES_LIMIT):
            try:
                response = self._client.send("GET", url, (200,), headers={"Accept": INDEX_TYPE}, follows_303=False, what=what)
                media_type = response.headers.get("content-type", "")
                has_referrers = "json" in media_type or (not media_type and response.body[:1] == b"{")  # a login page is not a list
            except (RegistryNotFound, RegistryError) as fault:
                if isinstance(fault, RegistryError) and fault.status not in _NO_REFERRERS_STATUSES:
                    raise
                has_referrers = False
            if not has_referrers:
                referrers += self._read_fallback(digest)  # the registry has no referrers API, which answers 200 where there are none
                break
            referrers += parse_index(response.body, f"{self.name}: {what}")
            following = _next_link(response.headers.get("link", ""))
            if following is None:
                break
            next_url = self._client.resolve_location(parse_url(url), following)
            if next_url.origin != self._client.origin:  # which would not be authenticated
                hint = "configure the registry's external address"
                raise RegistryError(f"{self.name}: {what}: the list continues at {next_url.origin}, which is not followed", hint)
            url = next_url.origin + next_url.target
        else:
            raise RegistryError(f"{self.name}: {what}: more than {PAGES_LIMIT} pages")
        return tuple(descriptor for descriptor in referrers if descriptor.artifact_type == artifact_type)

    def write_referrer(self, data: bytes, descriptor: Descriptor, subject: str) -> None:
        """Store a manifest with a subject, and list it among the subject's referrers where the registry does not do so itself."""
        headers = self.write_manifest(data, descriptor.digest)
        if "oci-subject" in headers:
            return
        tag = subject.replace(":", "-")
        for _ in range(REWRITES_LIMIT):
            listed = self._read_fallback(subject)
            if any(other.digest == descriptor.digest for other in listed):
                return
            self.write_manifest(index_to_bytes((*listed, descriptor)), tag, INDEX_TYPE)
            # Another push may have written it between; what it added or removed is seen in the next round.

    def _read_fallback(self, digest: str) -> tuple[Descriptor, ...]:
        tag = digest.replace(":", "-")
        try:
            data, actual = self.read_manifest(tag)
        except RegistryNotFound:
            return ()
        if actual == digest:  # GitLab takes such a tag for the digest
            return ()
        return parse_index(data, f"{self.name}: {tag}")


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip()


def _next_link(header: str) -> str | None:
    """The reference to the next page (RFC 8288), relative or absolute.

    >>> _next_link('</v2/a>; rel="prev", <?n=1&last=x>; rel="next"'), _next_link("<https://192.0.2.1/x>; title=next")
    ('?n=1&last=x', None)
    """
    for link in header[:LINK_LIMIT].split("<")[1:]:
        target, _, parameters = link.partition(">")
        for parameter in parameters.split(";"):
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "rel" and "next" in value.strip(' ",').lower().split():
                return target
    return None
