"""Locations in an object store: a presigned URL, or ``@FILE``, a file that holds one.

Knows which files may hold a secret, and the settings for servers; must not know HTTP, nor what is stored. A presigned URL lets everybody
who sees it write that object: it is not shown, and its file must be one that others cannot read.
"""

from __future__ import annotations

import os
import stat
import time

from eidos import log
from eidos.errors import EidosError, InvalidInput, NotFound, Unavailable, os_error_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values
    from eidos.http_wire.presigned_upload import PresignedUrl

#: Seconds that an upload may take where no --timeout is about it, and that reading the file of its URL may take.
UPLOAD_TIMEOUT_S, ADDRESS_TIMEOUT_S = 600.0, 5.0

#: Bytes of the file of a URL.
ADDRESS_LIMIT = 1 << 16

#: What pipes held, which can be read only once; a file is read again, for its URL may be renewed before a document is complete.
_addresses_of_pipes: dict[str, str] = {}

#: What is stored, by the extension of the object; for stores whose URL signs the type.
_TYPES = {
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".html": "text/html",
    ".md": "text/markdown",
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
    ".zip": "application/zip",
}


def parse_location(location: str, values: Values | None) -> PresignedUrl:
    """The URL that a location is or that its file holds; InvalidInput for any other, and for a file that others can read or write."""
    from eidos.http_wire.presigned_upload import parse_presigned_url

    source, text = "--output", location
    if location.startswith("@"):
        from eidos.cli.path_access import access_path

        source = location[1:]
        if not source:
            raise InvalidInput(
                "--output: '@' without a file", "write @FILE for a file that holds a presigned URL, or ./@ for a file named so"
            )
        text = _addresses_of_pipes.get(source, "")
        if not text:
            text, is_pipe = access_path("--output", source, lambda: _read_address(source), time.monotonic() + ADDRESS_TIMEOUT_S)
            if is_pipe:
                _addresses_of_pipes[source] = text
    return parse_presigned_url(text, source, allows_http=_settings(values)["plain-http"])


def object_path(location: str) -> str:
    """The path of the object, without its signature: its extension says what the format is."""
    return parse_location(location, None).url.target.partition("?")[0]


def display_location(location: str) -> str:
    """A location for messages: the file of a URL, or the origin of one."""
    if location.startswith("@"):
        return location
    from eidos.http_wire.url import parse_url

    try:
        return parse_url(location).origin
    except InvalidInput:
        return "the object store"


def store_object(location: str, data: bytes, values: Values | None, deadline: float | None) -> None:
    """Upload ``data``, and report what the store confirmed; raises what :func:`eidos.http_wire.presigned_upload.upload` raises."""
    from eidos.cli.registry_locations import read_ca_file
    from eidos.http_wire.presigned_upload import upload

    target = parse_location(location, values)
    path = _settings(values)["ca-file"]
    content_type = _TYPES.get(os.path.splitext(target.url.target.partition("?")[0])[1].lower(), "application/octet-stream")
    receipt = upload(
        target,
        data,
        content_type,
        deadline=deadline or time.monotonic() + UPLOAD_TIMEOUT_S,
        ca=None if path is None else read_ca_file(path),
        environ=os.environ,
        report=log.warn,
    )
    if log.shows("warn"):
        confirmed = f"the {receipt.confirmed}" if receipt.confirmed else "no checksum"
        line = f"{receipt.origin}: stored {receipt.size:,} bytes, SHA-256 {receipt.sha256}; the store confirmed {confirmed}"
        log.print_summary([line])


def store_folder(location: str, folder: str, values: Values) -> None:
    """Upload the files of a folder as a tar.gz archive, below ``fleet/``, and remove it; what cannot be uploaded stays."""
    from shutil import rmtree

    from eidos.bundle.tar_archive import pack_tar_gz

    class Files(dict[str, bytes]):  # each is read when it is packed
        def __getitem__(self, name: str) -> bytes:
            with open(os.path.join(folder, name), "rb") as file:
                return file.read()

    try:
        store_object(location, pack_tar_gz(Files.fromkeys(os.listdir(folder), b""), "fleet/"), values, None)
    except EidosError:
        log.warn(f"nothing was stored; the results are in {folder}", hint=f"copy them: cp -r {folder} .")
        raise
    rmtree(folder, ignore_errors=True)


def temporary_name(name: str) -> str:
    """A path for a folder that is uploaded and removed."""
    from tempfile import gettempdir

    return os.path.join(gettempdir(), name)


def _settings(values: Values | None) -> Values:
    from eidos.cli.registry_locations import connection_options

    return connection_options(values)


def _read_address(path: str) -> tuple[str, bool]:
    """The line of a file that nobody else can read or write, or of a pipe, and whether it is a pipe."""
    hint = "run 'eidos help object-stores' for the form of this file"
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode):
                if status.st_uid not in (0, os.geteuid()):
                    raise InvalidInput(f"{path}: this file holds a secret and belongs to another user", "use a file of your own")
                if status.st_mode & 0o027:
                    raise InvalidInput(f"{path}: this file holds a secret and others can access it", f"run 'chmod 600 {path}'")
            elif not stat.S_ISFIFO(status.st_mode):
                raise InvalidInput(f"{path}: not a file", hint)
            content = file.read(ADDRESS_LIMIT + 1)
    except FileNotFoundError as fault:
        raise NotFound(f"{path}: no such file", "write the presigned URL into it, with mode 0600") from fault
    except OSError as fault:
        raise Unavailable(f"{path}: {os_error_reason(fault)}") from fault
    lines = content.decode("ascii", "replace").split()
    if len(lines) != 1 or len(content) > ADDRESS_LIMIT:
        raise InvalidInput(f"{path}: expected one line, a presigned URL", hint)
    return lines[0], stat.S_ISFIFO(status.st_mode)
