"""Pushes and pulls against a registry on loopback: what is sent, what is skipped, and what a cut, a kill or a hostile registry leaves."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eidos.errors import EidosError, IntegrityError, Timeout
from eidos.oci.artifact import ATTESTATION, Artifact, ArtifactLayer, open_artifact, push_artifact, read_attestations, read_layer
from eidos.oci.blob import blob_of_bytes
from eidos.oci.image_manifest import INDEX_TYPE, MANIFEST_TYPE, TITLE, Descriptor, ImageManifest, manifest_descriptor
from eidos.oci.reference import Reference
from eidos.oci.registry_client import RegistryClient, RegistryError, RegistrySettings
from eidos.oci.registry_store import RegistryStore
from tests.fakes.oci_registry import CuttingProxy, OciRegistry, ReceivedRequest, Reply
from tests.oci.conftest import CLIENTS
from tests.support.program import PROGRAM, ROOT, environment
from tests.support.waiting import AMPLE_S

REPOSITORY, KIND = "team/thing", "application/vnd.example.v1"

#: Sizes around that of a chunk in these tests.
CHUNK = 1 << 12

LAYERS = tuple(
    ArtifactLayer(blob_of_bytes(hashlib.shake_256(bytes([number])).digest(size)), KIND, f"{number}.bin")
    for number, size in enumerate((0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 17))
)
ARTIFACT = Artifact(KIND, LAYERS)


@pytest.fixture
def registry() -> Iterator[OciRegistry]:
    with OciRegistry() as fake:
        yield fake


def store(host: str, *, repository: str = REPOSITORY, seconds: float = AMPLE_S, mount_from: str = "", **more: str) -> RegistryStore:
    settings = RegistrySettings(plain_http=True, chunk_bytes=CHUNK, environ=more)
    client = RegistryClient(Reference(host, repository, "v1"), settings, time.monotonic() + seconds, lambda message: None)
    CLIENTS.append(client)
    return RegistryStore(client, mount_from)


def contents(at: RegistryStore, target: str = "v1") -> list[bytes]:
    return [read_layer(at, layer, 1 << 20) for layer in open_artifact(at, target).manifest.layers]


EXPECTED = [b"".join(layer.blob.pieces()) for layer in LAYERS]


def test_what_is_pushed_is_pulled(registry: OciRegistry) -> None:
    at = store(registry.host)
    result = push_artifact(at, ARTIFACT, "v1")
    assert result.digest == ARTIFACT.digest == at.find_digest("v1")
    assert (result.uploaded_bytes, result.is_new) == (sum(map(len, EXPECTED)), True)
    assert contents(at) == contents(at, result.digest) == EXPECTED


def test_an_unchanged_artifact_is_not_sent_again(registry: OciRegistry) -> None:
    first = push_artifact(store(registry.host), ARTIFACT, "v1")
    registry.requests.clear()
    second = push_artifact(store(registry.host), ARTIFACT, "v1")
    assert (second.digest, second.uploaded_bytes, second.is_new) == (first.digest, 0, False)
    assert registry.writes() == []


def test_only_what_is_missing_is_sent(registry: OciRegistry) -> None:
    push_artifact(store(registry.host), ARTIFACT, "v1")
    more = Artifact(KIND, (*LAYERS, ArtifactLayer(blob_of_bytes(b"new"), KIND, "new")))
    result = push_artifact(store(registry.host), more, "v2")
    assert (result.uploaded_bytes, [layer.title for layer in result.layers if layer.is_new]) == (3, ["new"])


def test_a_dry_run_writes_nothing(registry: OciRegistry) -> None:
    result = push_artifact(store(registry.host), ARTIFACT, "v1", is_dry_run=True)
    assert (result.digest, result.uploaded_bytes, registry.writes()) == (ARTIFACT.digest, sum(map(len, EXPECTED)), [])


def test_a_blob_takes_one_request(registry: OciRegistry) -> None:
    push_artifact(store(registry.host), ARTIFACT, "")
    assert set(registry.writes()) == {"POST", "PUT"}
    assert not [received for received in registry.requests if received.path.endswith("/v1")]  # no tag was asked for


def _limit_requests(received: ReceivedRequest) -> int | None:
    """A proxy before the registry accepts no more than a chunk."""
    return 413 if int(received.headers.get("content-length", "0")) > CHUNK else None


def test_a_blob_is_sent_in_chunks_where_a_request_may_not_be_as_large(registry: OciRegistry) -> None:
    registry.before = _limit_requests
    at = store(registry.host)
    push_artifact(at, ARTIFACT, "v1")
    ranges = [received.headers["content-range"] for received in registry.requests if received.method == "PATCH"]
    assert ranges[:2] == ["0-4095", "4096-4096"]
    assert ranges[-1] == f"{5 * CHUNK}-{5 * CHUNK + 16}"
    assert contents(at) == EXPECTED


def test_a_chunk_that_is_too_large_ends_the_push(registry: OciRegistry) -> None:
    registry.before = lambda received: 413 if int(received.headers.get("content-length", "0")) >= CHUNK else None
    with pytest.raises(RegistryError, match="status 413") as fault:
        push_artifact(store(registry.host), Artifact(KIND, LAYERS[-1:]), "v1")
    assert "raise the limit" in (fault.value.hint or "")
    assert registry.writes() == ["POST", "PUT", "POST", "PATCH"]


@pytest.mark.parametrize("status", [400, 404, 405, 416, 501])
def test_a_registry_may_refuse_chunks_after_a_cut(registry: OciRegistry, status: int) -> None:
    """Some serve uploads in one request only, or want smaller chunks, and do not say how small."""
    faults = [503]

    def refuse(received: ReceivedRequest) -> int | None:
        if received.method == "PUT" and "digest=" in received.path and faults:
            return faults.pop()
        return status if received.method == "PATCH" else None

    registry.before = refuse
    at = store(registry.host)
    push_artifact(at, Artifact(KIND, LAYERS[-1:]), "v1")
    assert contents(at) == EXPECTED[-1:]


def test_a_proxy_that_cuts_what_is_too_large_gets_chunks(registry: OciRegistry) -> None:
    """Its response is lost, because it closes the connection while the request is sent."""
    with CuttingProxy(registry.port, 14_000) as proxy:
        push_artifact(store(proxy.host), Artifact(KIND, LAYERS[-1:]), "v1")
    sizes = [int(received.headers["content-length"]) for received in registry.requests if received.method in ("PATCH", "PUT")]
    assert sizes[0] > CHUNK
    assert max(sizes[1:]) == CHUNK


@pytest.mark.parametrize("status", [201, 204])
def test_a_registry_may_answer_otherwise_to_a_chunk(registry: OciRegistry, status: int) -> None:
    registry.before, registry.chunk_status = _limit_requests, status
    at = store(registry.host)
    push_artifact(at, ARTIFACT, "v1")
    assert contents(at) == EXPECTED


def test_a_registry_says_how_large_chunks_are(registry: OciRegistry) -> None:
    registry.minimum_chunk = 3 * CHUNK
    registry.before = lambda received: 413 if int(received.headers.get("content-length", "0")) > 3 * CHUNK else None
    push_artifact(store(registry.host), ARTIFACT, "v1")
    assert next(received.headers["content-range"] for received in registry.requests if received.method == "PATCH") == f"0-{3 * CHUNK - 1}"


def test_blobs_of_another_repository_are_mounted(registry: OciRegistry) -> None:
    push_artifact(store(registry.host), ARTIFACT, "v1")
    registry.requests.clear()
    at = store(registry.host, repository="other", mount_from=REPOSITORY)
    assert push_artifact(at, ARTIFACT, "v1").uploaded_bytes == 0
    assert "PATCH" not in registry.writes()
    assert contents(at) == EXPECTED


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
@pytest.mark.parametrize("status", [429, 503])
def test_what_may_pass_is_tried_again(registry: OciRegistry, method: str, status: int) -> None:
    faults = [status]
    registry.before = lambda received: faults.pop() if faults and received.method == method else None
    at = store(registry.host)
    push_artifact(at, Artifact(KIND, LAYERS[:3]), "v1")
    assert contents(at) == EXPECTED[:3]
    assert not faults


def test_what_does_not_pass_says_why(registry: OciRegistry) -> None:
    registry.before = lambda received: 403 if received.writes else None
    with pytest.raises(RegistryError, match=r"team/thing: upload of blob sha256:\w+: login required: status 403") as fault:
        push_artifact(store(registry.host), ARTIFACT, "v1")
    assert "docker login" in (fault.value.hint or "")
    assert registry.manifests == {}


@pytest.mark.parametrize(
    ("reply", "hint"),
    [
        (Reply(429, headers={"Retry-After": "3600"}), "in 3,600 s, as the server asks"),
        (Reply(413), "raise the limit of the registry"),
        (Reply(400, b"Client sent an HTTP request to an HTTPS server.\n"), "omit --plain-http, or unset EIDOS_PLAIN_HTTP"),
        (Reply(308), None),
    ],
)
def test_what_to_do_about_a_status_is_in_the_hint(registry: OciRegistry, reply: Reply, hint: str | None) -> None:
    registry.before = lambda received: reply
    with pytest.raises(RegistryError, match=f"the registry failed: status {reply.status}") as fault:
        open_artifact(store(registry.host), "v1")
    assert (hint in (fault.value.hint or "")) if hint else fault.value.hint is None
    assert len(registry.requests) == 1


@pytest.mark.parametrize(
    ("location", "hint"),
    [
        ("https://registry.example.com/v2/", "omit --plain-http"),
        ("http://registry.example.com:5000/v2/", "use the address http://registry.example.com:5000, to which it redirects"),
    ],
)
def test_a_redirect_of_an_upload_that_is_not_followed_is_named(registry: OciRegistry, location: str, hint: str) -> None:
    """Only 307 and 308 keep the method."""
    registry.before = lambda received: Reply(301, headers={"Location": location}) if received.method == "POST" else None
    with pytest.raises(RegistryError, match="the registry failed: status 301") as fault:
        push_artifact(store(registry.host), ARTIFACT, "v1")
    assert hint in (fault.value.hint or "")


@pytest.mark.parametrize(
    ("body", "hint"),
    [(b"The plain HTTP request was sent to HTTPS port", "omit --plain-http"), (b"No required SSL certificate was sent", "--client-cert")],
)
def test_the_reason_of_a_bad_request_is_read_where_the_first_request_has_no_body(registry: OciRegistry, body: bytes, hint: str) -> None:
    registry.before = lambda received: Reply(400, body)
    with pytest.raises(RegistryError, match=r"looking for blob .*: the registry failed: status 400") as fault:
        push_artifact(store(registry.host), ARTIFACT, "v1")
    assert hint in (fault.value.hint or "")


def test_a_login_page_is_no_registry(registry: OciRegistry) -> None:
    registry.before = lambda received: Reply(200, b"<!doctype html>", {"Content-Type": "text/html; charset=utf-8"})
    for is_dry_run in (True, False):
        with pytest.raises(RegistryError, match="unexpected content type: text/html"):
            push_artifact(store(registry.host), ARTIFACT, "v1", is_dry_run=is_dry_run)
    with pytest.raises(RegistryError, match="manifest v1: unexpected content type: text/html"):
        open_artifact(store(registry.host), "v1")
    assert registry.writes() == []


@pytest.mark.parametrize("location", ["u0?state=1", "../uploads/u0?state=1", "/v2/team/thing/blobs/uploads/u0"])
def test_a_location_is_relative_to_its_request(registry: OciRegistry, location: str) -> None:
    at = store(registry.host)

    def start(received: ReceivedRequest) -> Reply | None:
        if received.method != "POST":
            return None
        registry.uploads["u0"] = bytearray()
        return Reply(202, headers={"Location": location})

    registry.before = start
    push_artifact(at, ARTIFACT, "v1")
    assert contents(at) == EXPECTED


def _refuse_head(received: ReceivedRequest) -> int | None:
    return 405 if received.method == "HEAD" else None


def _redirect_to_an_address_for_get(received: ReceivedRequest) -> int | None:
    return 403 if received.method == "HEAD" and "/blobs/" in received.path else None


def _no_referrers(received: ReceivedRequest) -> int | None:
    return 501 if "/referrers/" in received.path else None


def _redirect_writes(received: ReceivedRequest) -> Reply | None:
    if received.method in ("GET", "HEAD") or "moved" in received.path:
        return None
    return Reply(307, headers={"Location": f"{received.path}{'&' if '?' in received.path else '?'}moved=1"})


@pytest.mark.parametrize("before", [_refuse_head, _redirect_to_an_address_for_get, _no_referrers, _redirect_writes])
def test_a_registry_or_a_proxy_before_it_may_serve_less(
    registry: OciRegistry, before: Callable[[ReceivedRequest], Reply | int | None]
) -> None:
    registry.before = before
    registry.has_referrers = before is not _no_referrers
    at, artifact = store(registry.host), Artifact(KIND, LAYERS[1:], {"statement.json": b"{}"})
    digest = push_artifact(at, artifact, "v1").digest
    assert contents(at) == EXPECTED[1:]
    assert read_attestations(at, digest) == artifact.attestations
    registry.requests.clear()
    assert not push_artifact(at, artifact, "v1").is_new
    assert registry.writes() == []


def test_what_a_registry_stores_of_a_chunk_may_be_less_than_was_sent(registry: OciRegistry) -> None:
    registry.stored_chunk, registry.before = CHUNK - 7, _limit_requests
    at = store(registry.host)
    push_artifact(at, ARTIFACT, "v1")
    assert contents(at) == EXPECTED


@pytest.mark.parametrize("ranges", ["", "0-{last}", "1-{last}"])
def test_a_download_is_resumed_where_ranges_are_refused_or_are_others(registry: OciRegistry, ranges: str) -> None:
    push_artifact(store(registry.host), ARTIFACT, "v1")
    registry.ranges = ranges
    with CuttingProxy(registry.port, 24_000) as proxy:
        assert contents(store(proxy.host)) == EXPECTED
        assert proxy.cuts == 1


def test_a_registry_that_does_not_answer_ends_at_the_deadline(registry: OciRegistry) -> None:
    registry.before = lambda received: time.sleep(3)
    with pytest.raises(Timeout):
        push_artifact(store(registry.host, seconds=0.3), ARTIFACT, "v1")


def test_a_blob_that_is_not_what_its_digest_says_is_refused(registry: OciRegistry) -> None:
    at = store(registry.host)
    push_artifact(at, ARTIFACT, "v1")
    for spoil in (lambda data: data[:-1] + b"x", lambda data: data + b"x", lambda data: data[:-1], lambda data: b""):
        registry.spoil = spoil
        with pytest.raises(IntegrityError):
            read_layer(at, ARTIFACT.manifest.layers[-1], 1 << 20)


def test_a_manifest_that_is_not_what_its_digest_says_is_refused(registry: OciRegistry) -> None:
    at = store(registry.host)
    digest = push_artifact(at, ARTIFACT, "v1").digest
    registry.manifests[REPOSITORY, digest] = (ARTIFACT.manifest.to_bytes().replace(b"0.bin", b"1.bin"), MANIFEST_TYPE)
    with pytest.raises(IntegrityError, match="does not match the digest"):
        open_artifact(at, digest)


def _transferred() -> int:
    with OciRegistry() as fake, CuttingProxy(fake.port) as proxy:
        push_artifact(store(proxy.host), ARTIFACT, "v1")
        return proxy.total


@pytest.mark.exhaustive(sample=10, group="cuts of a push")
@pytest.mark.parametrize("part", range(50))
def test_a_push_that_is_cut_is_resumed(registry: OciRegistry, part: int) -> None:
    total = 36_000  # about what a push takes; test_cuts_are_spread_over_a_push compares
    with CuttingProxy(registry.port, 1 + total * part // 50) as proxy:
        result = push_artifact(store(proxy.host), ARTIFACT, "v1")
        assert proxy.cuts == 1
        assert proxy.total < 2 * total + 20_000
    at = store(registry.host)
    assert at.find_digest("v1") == result.digest
    assert contents(at) == EXPECTED


def test_cuts_are_spread_over_a_push() -> None:
    assert 36_000 < _transferred() < 60_000


@pytest.mark.exhaustive(sample=10, group="cuts of a pull")
@pytest.mark.parametrize("part", range(50))
def test_a_pull_that_is_cut_is_resumed(registry: OciRegistry, part: int) -> None:
    push_artifact(store(registry.host), ARTIFACT, "v1")
    with CuttingProxy(registry.port, 1 + 30_000 * part // 50) as proxy:
        assert contents(store(proxy.host)) == EXPECTED
        assert proxy.cuts == 1
        assert proxy.total < 60_000


def test_an_upload_goes_on_where_it_stopped(registry: OciRegistry) -> None:
    """Only the rest is sent: the registry says how much it has."""
    big = Artifact(KIND, LAYERS[-1:])
    with CuttingProxy(registry.port, 14_000) as proxy:
        push_artifact(store(proxy.host), big, "v1")
    starts = [int(received.headers["content-range"].partition("-")[0]) for received in registry.requests if received.method == "PATCH"]
    assert starts == [starts[0] + CHUNK * number for number in range(len(starts))]
    assert 8_000 < starts[0] < 14_000


def test_an_upload_that_the_registry_has_lost_starts_again(registry: OciRegistry) -> None:
    lost = [True]

    def forget(received: ReceivedRequest) -> None:
        if received.method == "PUT" and "digest=" in received.path and lost:
            lost.clear()
            registry.uploads.clear()

    registry.before = forget
    at = store(registry.host)
    push_artifact(at, ARTIFACT, "v1")
    assert contents(at) == EXPECTED


def test_an_upload_that_is_refused_at_its_own_offset_starts_again_a_few_times(registry: OciRegistry) -> None:
    """The registry says 0-0 for ever, and wants something else."""
    registry.before = lambda received: {"PATCH": 416, "PUT": 404}.get(received.method)
    with pytest.raises(RegistryError, match=r"lost the upload of sha256:[0-9a-f]+ 8 times"):
        push_artifact(store(registry.host), Artifact(KIND, LAYERS[-1:]), "v1")
    assert len([received for received in registry.requests if received.method == "POST"]) == 8


def test_what_a_registry_has_of_an_upload_may_be_wrong(registry: OciRegistry) -> None:
    """After a cut, its bytes are not those that it counts: the digest does not hold, and the upload starts again."""
    faults = [503]

    def spoil(received: ReceivedRequest) -> int | None:
        if int(received.headers.get("content-length", "0")) > CHUNK and not any(registry.uploads.values()):
            return 413
        if received.method == "PATCH" and faults and any(registry.uploads.values()):
            for content in filter(None, registry.uploads.values()):
                content[:1] = bytes([content[0] ^ 1])
            return faults.pop()
        return None

    registry.before = spoil
    at = store(registry.host)
    push_artifact(at, Artifact(KIND, LAYERS[-1:]), "v1")
    assert contents(at) == EXPECTED[-1:]
    assert not faults


def test_a_registry_that_always_cuts_ends_the_push() -> None:
    class Broken(CuttingProxy):
        """It cuts each connection."""

        def _pump(self, source: socket.socket, sink: socket.socket) -> None:
            source.close()
            sink.close()

    with OciRegistry() as fake, Broken(fake.port) as proxy, pytest.raises(EidosError):
        push_artifact(store(proxy.host), ARTIFACT, "v1")


@pytest.mark.parametrize("has_referrers", [True, False])
def test_attestations_are_referrers(has_referrers: bool) -> None:
    files = {"checksums.txt.sig": b"one", "statement.json": b"{}"}
    with OciRegistry(has_referrers=has_referrers) as fake:
        at = store(fake.host)
        result = push_artifact(at, Artifact(KIND, LAYERS[:2], files), "v1")
        assert result.attestations == tuple(files)
        assert read_attestations(at, result.digest) == files
        assert [layer.title for layer in open_artifact(at, "v1").manifest.layers] == ["0.bin", "1.bin"]
        assert ((REPOSITORY, result.digest.replace(":", "-")) in fake.manifests) is not has_referrers
        fake.requests.clear()
        assert push_artifact(at, Artifact(KIND, LAYERS[:2], files), "v1").attestations == ()
        assert fake.writes() == []
        more = push_artifact(at, Artifact(KIND, LAYERS[:2], {"statement.json": b"{1}"}), "v1")
        assert (more.attestations, more.digest) == (("statement.json",), result.digest)
        attestations = read_attestations(at, result.digest)
        assert sorted(attestations.values()) == [b"one", b"{1}", b"{}"]


def test_signatures_go_with_the_statement_that_they_sign(registry: OciRegistry) -> None:
    """The same content may be built twice, by two versions, each with its own statement."""
    at = store(registry.host)
    for number, signatures in enumerate(("a", "bc", "")):
        files = {"statement.json": b"%d" % number, **{f"{name}.sig": name.encode() for name in signatures}}
        digest = push_artifact(at, Artifact(KIND, LAYERS[:1], files, "statement.json"), "v1").digest
    attestations = read_attestations(at, digest)
    named = {name: content for name, content in attestations.items() if "-" not in name}
    assert named == {"statement.json": b"1", "b.sig": b"b", "c.sig": b"c"}
    assert sorted(content for name, content in attestations.items() if "-" in name) == [b"0", b"2", b"a"]


@pytest.mark.parametrize("headers", [{"Content-Type": "text/html"}, {}])
def test_a_page_to_log_in_is_no_referrers_api(headers: dict[str, str]) -> None:
    """Answered with 200 to what a registry does not have: the tag schema counts."""
    page = Reply(200, b"<!doctype html>", headers)
    with OciRegistry(has_referrers=False) as fake:
        fake.before = lambda received: page if "/referrers/" in received.path else None
        at = store(fake.host)
        digest = push_artifact(at, Artifact(KIND, LAYERS[:1], {"a.sig": b"a"}), "v1").digest
        assert read_attestations(at, digest) == {"a.sig": b"a"}


@pytest.mark.parametrize("reply", [Reply(400), Reply(401), Reply(406), Reply(303, headers={"Location": "http://192.0.2.1/page"})])
def test_what_registries_without_referrers_answer(reply: Reply) -> None:
    """Quay, Harbor and Artifactory have statuses of their own, and GitHub leads to a page that limits how often it is read."""
    with OciRegistry(has_referrers=False) as fake:
        fake.before = lambda received: reply if "/referrers/" in received.path else None
        at = store(fake.host)
        digest = push_artifact(at, Artifact(KIND, LAYERS[:1], {"a.sig": b"a"}), "v1").digest
        assert read_attestations(at, digest) == {"a.sig": b"a"}


def test_a_registry_may_take_the_tag_of_referrers_for_the_digest() -> None:
    with OciRegistry(has_referrers=False) as fake:
        at = store(fake.host)
        digest = push_artifact(at, Artifact(KIND, LAYERS[:1]), "v1").digest
        fake.manifests[REPOSITORY, digest.replace(":", "-")] = fake.manifests[REPOSITORY, digest]
        assert read_attestations(at, digest) == {}


def test_the_detail_of_a_refusal_is_shown(registry: OciRegistry) -> None:
    """It names the media type that GitLab does not know."""
    error = {"code": "MANIFEST_INVALID", "message": "manifest invalid", "detail": "unknown media type: application/x"}
    body = json.dumps({"errors": [error, {"code": "OTHER", "detail": {"a": 1}}]}).encode()
    registry.before = lambda received: Reply(400, body) if received.method == "PUT" and "/manifests/" in received.path else None
    message = r"400 \(MANIFEST_INVALID: manifest invalid: unknown media type: application/x; OTHER\)$"
    with pytest.raises(RegistryError, match=message):
        push_artifact(store(registry.host), ARTIFACT, "v1")


@pytest.mark.parametrize("page", ["?page={page}", "{path}?page={page}", "http://{host}{path}?page={page}"])
def test_referrers_come_in_pages(registry: OciRegistry, page: str) -> None:
    at, files = store(registry.host), {f"{number}.sig": b"%d" % number for number in range(3)}
    digest = push_artifact(at, Artifact(KIND, LAYERS[:1], files), "v1").digest
    registry.next_page = page
    assert read_attestations(at, digest) == files


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("http://192.0.2.1{path}", "the list continues at http://192.0.2.1, which is not followed"),
        ("{path}", "more than 100 pages"),
        ("ftp://{host}/", "redirect to an invalid URL"),
    ],
)
def test_an_incomplete_list_of_referrers_is_an_error(registry: OciRegistry, page: str, message: str) -> None:
    at = store(registry.host)
    digest = push_artifact(at, Artifact(KIND, LAYERS[:1], {"a.sig": b"a", "b.sig": b"b"}), "v1").digest
    registry.next_page = page
    with pytest.raises(RegistryError, match=message):
        read_attestations(at, digest)


def test_attestations_are_bounded_all_together(registry: OciRegistry) -> None:
    at = store(registry.host)
    digest = push_artifact(at, Artifact(KIND, LAYERS[:1]), "v1").digest
    subject = manifest_descriptor(at.read_manifest("v1")[0], ARTIFACT.manifest)
    layer = blob_of_bytes(b"x")
    for size, count in ((17 << 20, 4), (1, 257)):
        layers = tuple(Descriptor(KIND, layer.digest, size, {TITLE: "a.sig"}) for _ in range(count))
        registry.put_manifest(REPOSITORY, "many", ImageManifest(ATTESTATION, layers, subject=subject).to_bytes(), MANIFEST_TYPE)
        registry.requests.clear()
        with pytest.raises(IntegrityError, match="more than 256 files or 64 MiB"):
            read_attestations(at, digest)
        assert not any("/blobs/" in received.path for received in registry.requests)
        del registry.manifests[REPOSITORY, "many"]


def test_referrers_of_other_types_are_not_attestations(registry: OciRegistry) -> None:
    at = store(registry.host)
    result = push_artifact(at, Artifact(KIND, LAYERS[:1]), "v1")
    data, _ = at.read_manifest("v1")
    subject = {"mediaType": MANIFEST_TYPE, "digest": result.digest, "size": len(data)}
    other = {"schemaVersion": 2, "artifactType": "application/spdx+json", "layers": [], "config": {}, "subject": subject}
    registry.put_manifest(REPOSITORY, "other", json.dumps(other).encode(), MANIFEST_TYPE)
    assert read_attestations(at, result.digest) == {}


@pytest.mark.parametrize("title", ["../x", "a/b", "", ".hidden", "a\\b", "x" * 300])
def test_an_attestation_is_one_file_of_its_folder(registry: OciRegistry, title: str) -> None:
    at = store(registry.host)
    digest = push_artifact(at, Artifact(KIND, LAYERS[:1]), "v1").digest
    subject = at.find_digest("v1")
    registry.put_blob(REPOSITORY, b"x")
    layer = {"mediaType": KIND, "digest": blob_of_bytes(b"x").digest, "size": 1, "annotations": {"org.opencontainers.image.title": title}}
    config = ImageManifest(KIND, ()).config.to_tree()
    tree = {"schemaVersion": 2, "artifactType": ATTESTATION, "config": config, "layers": [layer]}
    tree["subject"] = {"mediaType": MANIFEST_TYPE, "digest": subject, "size": 1}
    registry.put_manifest(REPOSITORY, "evil", json.dumps(tree).encode(), MANIFEST_TYPE)
    with pytest.raises(IntegrityError, match="invalid file name"):
        read_attestations(at, digest)


@pytest.mark.parametrize("method", ["HEAD", "PUT"])
def test_a_registry_that_names_another_digest_is_refused(registry: OciRegistry, method: str) -> None:
    """Of what it stored, or of what it has: an answer of 200 alone would pass for a push."""
    other = {"Docker-Content-Digest": f"sha256:{'0' * 64}"}
    reply = Reply(200 if method == "HEAD" else 201, b"", other)
    registry.before = lambda received: reply if received.method == method and "/manifests/" in received.path else None
    with pytest.raises(IntegrityError, match=f"does not match the digest sha256:[0-9a-f]+; it has sha256:{'0' * 64}") as fault:
        push_artifact(store(registry.host), ARTIFACT, "v1")
    assert ("pull by another tag" in (fault.value.hint or ""), "push it again" in (fault.value.hint or "")) == (method == "HEAD", True)


def test_an_index_is_not_an_artifact(registry: OciRegistry) -> None:
    registry.put_manifest(REPOSITORY, "v1", b'{"schemaVersion": 2, "manifests": []}', INDEX_TYPE)
    with pytest.raises(EidosError, match="an index of several images"):
        open_artifact(store(registry.host), "v1")


@pytest.mark.slow
@pytest.mark.exhaustive(sample=6, group="kills of a push")
@pytest.mark.parametrize("number", range(24))
def test_a_kill_leaves_the_old_or_the_new_bundle(registry: OciRegistry, tmp_path: Path, number: int) -> None:
    """The pusher is killed at each of its requests; the tag names a complete artifact, and the next push goes through."""
    old = push_artifact(store(registry.host, repository="kill"), Artifact(KIND, LAYERS[:2]), "v1").digest
    file = tmp_path / "new.bin"
    file.write_bytes(EXPECTED[-1] * 3)
    command = [*PROGRAM, "push", str(file), f"oci://{registry.host}/kill:v1", "--plain-http", "--quiet"]
    pusher: list[int] = []
    count = [number]

    def kill(received: ReceivedRequest) -> None:
        if pusher:
            count[0] -= 1
            if count[0] < 0:
                os.kill(pusher.pop(), signal.SIGKILL)

    registry.before = kill
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=ROOT)
    pusher.append(process.pid)
    new = process.communicate(timeout=AMPLE_S)[0].decode().strip()
    registry.before = lambda received: None
    at = store(registry.host, repository="kill")
    digest = at.find_digest("v1")
    assert digest == new if new else digest is not None
    assert contents(at) == (EXPECTED[:2] if digest == old else [EXPECTED[-1] * 3])
    again = subprocess.run(command, env=environment(), capture_output=True, cwd=ROOT, timeout=AMPLE_S, check=True)
    assert contents(at) == [EXPECTED[-1] * 3], again.stderr
