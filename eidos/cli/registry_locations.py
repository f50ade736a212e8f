"""Locations in a registry, ``oci://…``: the options that say how it is reached, and what is read from it.

Knows flags, limits and temporary folders; must not know HTTP, nor what a document says. A verb without these options takes them from the
environment and the configuration file.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager

from eidos import log
from eidos.cli.options import Option, parse_path
from eidos.errors import IntegrityError, InvalidData, InvalidInput
from eidos.files import read_named_file
from eidos.model.bundle import ATTESTATIONS, CHECKSUMS, is_attestation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eidos.cli.options import Values
    from eidos.model.bundle import Bundle
    from eidos.oci.artifact import ArtifactStore, PulledArtifact, PushResult
    from eidos.oci.reference import Reference
    from eidos.oci.registry_client import RegistrySettings
    from eidos.oci.registry_store import RegistryStore

#: Types of artifacts. A document's is that of its kind; ``FILE`` is any other file, ``FLEET`` the snapshots of many nodes.
BUNDLE, DATA = "application/vnd.eidos.bundle.v1+tar", "application/vnd.eidos.data.v1+tar"
#: The type of a layer of a bundle that is one blob of an image.
BLOB = "application/vnd.eidos.blob.v1"
SNAPSHOT, RECIPE, REPORT = (f"application/vnd.eidos.{kind}.v1+yaml" for kind in ("snapshot", "recipe", "report"))
FLEET, FILE = "application/vnd.eidos.fleet.v1", "application/vnd.eidos.file.v1"

#: What each type is, for messages.
NAMES = {
    BUNDLE: "a bundle",
    DATA: "recipe data",
    SNAPSHOT: "a snapshot",
    RECIPE: "a recipe",
    REPORT: "a check report",
    FLEET: "snapshots of a fleet",
    FILE: "a file",
}

#: Bytes of a certificate file.
CA_LIMIT = 4 << 20

#: Seconds that reading from a registry, and pushing to it, may take where no --timeout is about it.
READ_TIMEOUT_S, PUSH_TIMEOUT_S = 60.0, 600.0

#: Every verb that is about a registry has these.
REGISTRY = (
    Option("plain-http", "use HTTP instead of HTTPS to reach the registry"),
    Option("ca-file", "trust the certificates in this PEM file", "FILE", convert=parse_path, completion="file"),
    Option("client-cert", "identify with this certificate", "FILE", convert=parse_path, completion="file"),
    Option("client-key", "use the private key of that certificate", "FILE", convert=parse_path, completion="file"),
)


def connection_options(values: Values | None) -> Values:
    """The values of :data:`REGISTRY`: of the flags of a verb that has them, or else of the environment and the configuration file."""
    if values is not None and "plain-http" in values:
        return values
    from eidos.cli import user_config

    return user_config.resolve_options(REGISTRY, {}, os.environ, user_config.read_user_config(user_config.config_path(os.environ)), "")


def registry_settings(values: Values | None) -> RegistrySettings:
    """How registries are reached, by :func:`connection_options`."""
    from eidos.oci.registry_client import RegistrySettings

    values = connection_options(values)
    certificate, key = values["client-cert"], values["client-key"]
    if bool(certificate) != bool(key):
        present, missing = ("--client-cert", "--client-key") if certificate else ("--client-key", "--client-cert")
        raise InvalidInput(f"{present} needs {missing}", f"add {missing} FILE")
    ca = None if values["ca-file"] is None else read_ca_file(values["ca-file"])
    return RegistrySettings(values["plain-http"], ca, (certificate, key) if certificate else None, os.environ)


def read_ca_file(path: str) -> bytes:
    """The certificates in a file of --ca-file. Raises NotFound, Unavailable, and InvalidData for a file that is not PEM."""
    ca = read_named_file(path, CA_LIMIT, f"--ca-file: {path}")
    if b"-----BEGIN CERTIFICATE-----" not in ca or len(ca) > CA_LIMIT:
        raise InvalidData(f"--ca-file: {path} is not a PEM file of certificates", "name the certificate of the server's authority")
    return ca


@contextmanager
def open_store(reference: Reference, values: Values | None, deadline: float, mount_from: str = "") -> Iterator[RegistryStore]:
    """The repository of a reference, until ``deadline`` (on ``time.monotonic``)."""
    from eidos.oci.registry_client import RegistryClient
    from eidos.oci.registry_store import RegistryStore

    settings = registry_settings(values)
    if settings.plain_http:
        log.info(f"{reference.host}: plain HTTP: neither logins nor content are encrypted")
    client = RegistryClient(reference, settings, deadline, log.warn)
    try:
        yield RegistryStore(client, mount_from)
    finally:
        client.close()


@contextmanager
def open_reference(location: str, values: Values | None) -> Iterator[tuple[ArtifactStore, PulledArtifact]]:
    """The artifact at a location in a registry, and the store that has it."""
    from eidos.oci.artifact import open_artifact
    from eidos.oci.reference import parse_reference

    reference = parse_reference(location)
    with open_store(reference, values, time.monotonic() + READ_TIMEOUT_S) as store:
        yield store, open_artifact(store, reference.target)


def is_fleet(location: str, values: Values | None) -> bool:
    """Whether the artifact at a location is the snapshots of a fleet."""
    with open_reference(location, values) as (_, artifact):
        return artifact.manifest.artifact_type == FLEET


def read_registry_document(location: str, values: Values | None, limit: int, expected: str) -> bytes:
    """The document that an artifact is; InvalidInput says what it is instead of what was ``expected``."""
    from eidos.oci.artifact import read_layer

    with open_reference(location, values) as (store, artifact):
        kind, layers = artifact.manifest.artifact_type, artifact.manifest.layers
        if kind in (BUNDLE, DATA, FLEET) or len(layers) != 1:
            hint = f"run 'eidos pull {location}' to get it"
            raise InvalidInput(f"{location}: {describe(kind)}, not {expected}", hint if kind in NAMES else "check the reference")
        return read_layer(store, layers[0], limit)


def read_registry_bundle(location: str, values: Values | None) -> Bundle | None:
    """The bundle at a location, to compare it; None when there is a document."""
    from eidos.files.atomic_write import TemporaryFolder
    from eidos.workflow import read_bundle

    with open_reference(location, values) as (store, artifact):
        if artifact.manifest.artifact_type != BUNDLE:
            return None
        with TemporaryFolder() as folder:
            unpack_artifact(store, artifact, folder)
            return read_bundle(folder)


def push_fleet(folder: str, names: Sequence[str], reference: Reference, values: Values | None) -> PushResult:
    """Push the snapshots of a fleet, files of a folder, as one artifact."""
    from eidos.oci.artifact import Artifact, ArtifactLayer, push_artifact
    from eidos.oci.blob import blob_of_pieces, file_pieces

    def layer(name: str) -> ArtifactLayer:
        path = os.path.join(folder, name)
        return ArtifactLayer(blob_of_pieces(lambda: file_pieces(path)), SNAPSHOT, name)

    with open_store(reference, values, time.monotonic() + PUSH_TIMEOUT_S) as store:
        return push_artifact(store, Artifact(FLEET, tuple(map(layer, names))), reference.tag)


def describe(artifact_type: str) -> str:
    """What an artifact is, for a message."""
    return NAMES.get(artifact_type) or f"an artifact of type {artifact_type[:100]!r}"


@contextmanager
def temporary_folder_of(location: str, values: Values | None, expected: str) -> Iterator[tuple[str, str]]:
    """The files of an artifact, in a temporary folder, and its digest; InvalidInput when it is not of the ``expected`` type.

    Nothing but digests of layers is verified.
    """
    from eidos.files.atomic_write import TemporaryFolder

    with TemporaryFolder() as folder, open_reference(location, values) as (store, artifact):
        if artifact.manifest.artifact_type != expected:
            is_what = describe(artifact.manifest.artifact_type)
            raise InvalidInput(f"{location}: {is_what}, not {NAMES[expected]}", "check the reference")
        unpack_artifact(store, artifact, folder)
        yield folder, artifact.digest


def unpack_artifact(store: ArtifactStore, artifact: PulledArtifact, folder: str) -> set[str]:
    """Unpack an artifact that is a folder into a new, private one; the paths of its files. Attestations of a bundle are among them.

    Raises IntegrityError for everything that no bundle has, and what the store raises.
    """
    from eidos.bundle import tar_archive, verification
    from eidos.files.atomic_write import write_pieces
    from eidos.oci.artifact import is_file_name, read_attestations
    from eidos.oci.tar_layers import Unpacker, UnpackLimits

    manifest = artifact.manifest
    limits = UnpackLimits(verification.MAX_FILES, verification.MAX_FILE_BYTES, tar_archive.MAX_ARCHIVE_BYTES)
    unpacker = Unpacker(folder, limits)
    if manifest.artifact_type == FLEET:
        for layer in manifest.layers:
            if not is_file_name(layer.title) or layer.title in unpacker.paths:
                raise InvalidData(f"{store.name}: invalid or repeated file name {layer.title[:80]!r}", "check the reference")
            write_pieces(os.path.join(folder, layer.title), store.read_blob(layer))
            unpacker.paths.add(layer.title)
        return unpacker.paths
    for layer in manifest.layers:
        if layer.media_type == BLOB and manifest.artifact_type == BUNDLE:
            unpacker.unpack_blob(store, layer)
        else:
            unpacker.unpack(store, layer)
    if manifest.artifact_type == BUNDLE:
        if CHECKSUMS not in unpacker.paths:
            raise IntegrityError(f"{store.name}: not a bundle, or incomplete: no {CHECKSUMS}", "push it again")
        attestations = read_attestations(store, artifact.digest)
        if attestations:
            os.makedirs(os.path.join(folder, ATTESTATIONS), 0o755, exist_ok=True)
        for name, content in attestations.items():
            path = f"{ATTESTATIONS}{name}"
            if is_attestation(path):
                write_pieces(os.path.join(folder, path), (content,), 0o644)
                unpacker.paths.add(path)
            else:
                log.warn(f"{store.name}: ignored an attestation that is not of eidos, or of another statement: {name}")
    return unpacker.paths
