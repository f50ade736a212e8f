"""Blobs to and from a registry, resumed after a cut.

Knows uploads, monolithic and in chunks, their status, and ranges of a download (OCI distribution specification 1.1, "Pushing blobs",
"Pulling blobs"; RFC 9110, section 14); must not know what a blob holds.
"""

from __future__ import annotations

import time

from eidos.http_wire import retry
from eidos.http_wire.connection_pool import ConnectionBroken, truncated_response
from eidos.http_wire.url import parse_url
from eidos.oci.blob import BlobReader
from eidos.oci.reference import is_repository
from eidos.oci.registry_client import RegistryError, RegistryNotFound, RegistryResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.errors import EidosError
    from eidos.http_wire.connection_pool import StreamedResponse
    from eidos.http_wire.url import Url
    from eidos.oci.blob import Blob
    from eidos.oci.image_manifest import Descriptor
    from eidos.oci.registry_client import RegistryClient

#: Failures in a row without a byte more stored, and uploads begun anew, after which a transfer is given up.
FAILURES_LIMIT, RESTARTS_LIMIT = 4, 8

#: The largest part of a blob that a registry may demand in one request.
CHUNK_LIMIT = 1 << 30

_CONTENT = "application/octet-stream"


class _UploadLost(Exception):
    """The registry no longer has the upload, or refuses to go on with it: ``fault`` is what it answered."""

    def __init__(self, fault: EidosError | None = None) -> None:
        super().__init__()
        self.fault = fault


def has_blob(client: RegistryClient, digest: str) -> bool:
    """Whether the repository has a blob."""
    try:
        client.probe(client.url(f"blobs/{digest}"), f"looking for blob {digest}")
    except RegistryNotFound:
        return False
    return True


def upload_blob(client: RegistryClient, blob: Blob, mount_from: str = "") -> int:
    """Store a blob that the repository lacks; how many bytes were sent: 0 when the registry took it from repository ``mount_from``.

    It is sent in one request, as the specification requires registries to accept it; a proxy before the registry may refuse that. After a
    broken connection, the upload continues in chunks at the offset that the registry reports. When the registry has lost the upload, it is
    restarted, by turns in chunks, which some registries refuse or limit to another size, and in one request.

    Raises what :meth:`RegistryClient.send` raises.
    """
    message = f"{client.reference.name}: the registry lost the upload of {blob.digest}"
    for number in range(RESTARTS_LIMIT):
        upload = _Upload(client, blob, mount_from, number)
        if upload.location is None:
            return 0
        try:
            upload.finish()
        except _UploadLost as lost:
            client.report(f"{lost.fault.message if lost.fault else message}; starting again")
            continue
        return blob.size
    raise RegistryError(f"{message} {RESTARTS_LIMIT} times")


class _Upload:
    """One upload: where it is, and how many bytes the registry has."""

    def __init__(self, client: RegistryClient, blob: Blob, mount_from: str, number: int) -> None:
        from urllib.parse import quote

        self._client, self._blob, self._offset = client, blob, 0
        self._is_first, self._is_chunked = not number, bool(number % 2)
        self._what = f"upload of blob {blob.digest}"
        mount = f"?mount={quote(blob.digest)}&from={quote(mount_from, safe='')}" if is_repository(mount_from) else ""
        url = client.url(f"blobs/uploads/{mount}")
        response = client.send("POST", url, (201, 202), headers={"Content-Length": "0"}, what=self._what)
        self.location: Url | None = None
        if response.status == 202:
            self._move(response, parse_url(url))
        minimum = response.headers.get("oci-chunk-min-length", "")
        self._chunk = max(client.settings.chunk_bytes, min(int(minimum), CHUNK_LIMIT) if minimum.isdecimal() and len(minimum) < 12 else 0)

    def finish(self) -> None:
        """Send what the registry lacks. Raises _UploadLost."""
        failures, best = 0, 0
        while True:
            try:
                self._send_rest()
                return
            except retry.AttemptFailed as failure:
                failures = 1 if self._offset > best else failures + 1
                best = max(best, self._offset)
                delay = max(0.1 * 2 ** (failures - 1), failure.retry_after_s or 0.0)
                is_late = delay > retry.MAX_DELAY_S or time.monotonic() + delay >= self._client.deadline
                if failures > FAILURES_LIMIT or not failure.is_retryable or is_late:
                    raise failure.fault from failure
                self._client.report(f"{failure.fault.message}; resuming in {delay:g} s")
                time.sleep(delay)
            # The registry may have all of it, and only its response was lost.
            if has_blob(self._client, self._blob.digest):
                return
            self._find_offset()

    def _send_rest(self) -> None:
        size = self._blob.size
        if self._offset or (self._is_chunked and size > self._chunk):
            while self._offset < size:
                end = min(size, self._offset + self._chunk)
                # The specification has 202; ECR was seen to answer 201, and the first versions of the protocol had 204.
                response = self._request("PATCH", self._url(), (201, 202, 204, 416), self._offset, end)
                if response.status == 416:
                    self._find_offset(self._offset)
                    continue
                self._move(response)
                stored = _stored_bytes(response)
                self._offset = stored if self._offset < stored < end else end  # less than was sent
        self._request("PUT", self._url(self._blob.digest), (201, 204), self._offset, size)

    def _request(self, method: str, url: str, expected: tuple[int, ...], start: int, end: int) -> RegistryResponse:
        headers = {"Content-Type": _CONTENT, "Content-Length": str(end - start)}
        if method == "PATCH":
            headers["Content-Range"] = f"{start}-{end - 1}"
        try:
            return self._client.send(
                method,
                url,
                expected,
                headers=headers,
                open_body=lambda: BlobReader(self._blob, start, end - start),
                is_retried=False,
                what=self._what,
            )
        except RegistryNotFound as fault:
            raise _UploadLost from fault
        except RegistryError as fault:
            is_too_large = fault.status == 413
            # Of chunks, one is refused, or what was stored before a cut is not what the registry counted.
            if is_too_large and self._is_first and not self._is_chunked and self._blob.size > self._chunk:
                raise _UploadLost(fault) from fault
            if self._is_chunked and not is_too_large and fault.status not in (0, 401, 403):
                raise _UploadLost(fault) from fault
            raise

    def _find_offset(self, rejected: int = -1) -> None:
        """Ask the registry how much it has. Raises _UploadLost when it does not say, or says what it ``rejected``."""
        self._is_chunked = True
        try:
            response = self._client.send("GET", self._url(), (204,), what=self._what)
        except (RegistryNotFound, RegistryError) as fault:
            if isinstance(fault, RegistryError) and fault.status in (0, 401, 403):
                raise
            raise _UploadLost from fault
        self._move(response)
        offset = _stored_bytes(response)
        if offset > self._blob.size or offset == rejected:
            raise _UploadLost
        self._offset = offset

    def _move(self, response: RegistryResponse, start: Url | None = None) -> None:
        location, base = response.headers.get("location"), self.location or start
        if location is not None and base is not None:
            self.location = self._client.resolve_location(base, location)
        elif self.location is None:
            raise RegistryError(f"{self._client.reference.name}: the registry began an upload without a location", "check its address")

    def _url(self, digest: str = "") -> str:
        assert self.location is not None
        url = self.location.origin + self.location.target
        return f"{url}{'&' if '?' in url else '?'}digest={digest}" if digest else url


def _stored_bytes(response: RegistryResponse) -> int:
    """How much of an upload the registry has, by the header Range.

    Some registries say 0-0 of an upload without a byte; of one with a single byte they get that byte again, and refuse it (416).
    """
    last = response.headers.get("range", "").rpartition("=")[2].partition("-")[2]
    return int(last) + 1 if last.isascii() and last.isdigit() and len(last) < 15 and last != "0" else 0


def download_blob(client: RegistryClient, descriptor: Descriptor) -> Iterator[bytes]:
    """The bytes of a blob as they come, not verified; after a cut only what is missing is requested, where the registry serves ranges.

    Raises RegistryNotFound, RegistryError, Timeout, and Unavailable for a connection that fails again and again.
    """
    received, failures, has_ranges = 0, 0, True
    while received < descriptor.size:
        before = received
        start = received if has_ranges else 0
        response = client.retried(lambda: _open_download(client, descriptor, start))  # noqa: B023  # it is called at once
        position = _first_byte(response, start)
        if position is None or position > received:
            response.abort()
            has_ranges = False
            continue
        try:
            while chunk := response.read_chunk():
                # A registry without ranges sends all of it again.
                fresh = chunk[max(0, received - position) :]
                position += len(chunk)
                if fresh:
                    received += len(fresh)
                    yield fresh
            if received >= descriptor.size or response.length is not None or "transfer-encoding" in response.headers:
                return
            raise truncated_response(client.origin)  # a connection that is closed ends the body, and a cut looks the same
        except ConnectionBroken as broken:
            failures = 1 if received > before else failures + 1
            if failures > FAILURES_LIMIT or not broken.is_retryable:
                raise broken.fault from broken
            client.report(f"{broken.fault.message}; resuming at {received:,} bytes")
        finally:
            response.abort()


def _first_byte(response: StreamedResponse, start: int) -> int | None:
    """Where in a blob a response begins; None when the range from ``start`` on was refused."""
    if response.status == 416:
        return None
    if response.status == 200 or not start:
        return 0
    first = response.headers.get("content-range", "").partition("-")[0].rpartition(" ")[2]
    return int(first) if first.isascii() and first.isdigit() and len(first) < 15 else start


def _open_download(client: RegistryClient, descriptor: Descriptor, start: int) -> StreamedResponse:
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
    response = client.exchange("GET", client.url(f"blobs/{descriptor.digest}"), headers, None, client.deadline)
    if response.status in (200, 206) or (start and response.status == 416):
        return response
    response.abort()
    raise client.error(RegistryResponse(response.status, response.headers, b""), f"download of blob {descriptor.digest}")
