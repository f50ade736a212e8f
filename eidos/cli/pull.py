"""``eidos pull``: a bundle, a document or a file from a registry, or from an image layout.

Knows the flags of the verb, where each kind of artifact goes and how the result is shown; must not know how a registry is spoken to.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager

from eidos.cli import document_locations, registry_locations
from eidos.cli.options import FORMAT, HELP, LOGGING, Operand, Option, Verb, parse_path, parse_timeout
from eidos.cli.push import DOCUMENT_LIMIT, print_artifact, require_unchanged
from eidos.cli.registry_locations import BLOB, BUNDLE, DATA, FILE, FLEET, NAMES, REGISTRY, describe
from eidos.errors import IntegrityError, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.cli.options import Values
    from eidos.oci.artifact import ArtifactStore, PulledArtifact
    from eidos.oci.image_manifest import Descriptor

#: Where an artifact of several files goes by default.
_FOLDERS = {BUNDLE: "./bundle", DATA: "./data", FLEET: "./fleet"}

#: Extensions of an output that make a bundle an archive.
_ARCHIVES = (".tar.gz", ".tgz", ".zip")

VERB = Verb(
    "pull",
    (
        (
            "Pull what 'eidos push' has pushed: every byte is verified against its digest as it arrives, a bundle against its checksums "
            "besides, and nothing is written unless all of it is right. Attestations of a bundle come with it."
        ),
        "A bundle becomes a folder, or an archive if the output ends with .tar.gz or .zip; a document or a file becomes a file.",
    ),
    (
        Option(
            "output",
            "write to this folder or file (default ./bundle, or the name of the file)",
            "PATH",
            "o",
            None,
            parse_path,
            flag_only=True,
            completion="file",
        ),
        Option(
            "layout",
            "read from an OCI image layout, a folder or an archive, with no network",
            "PATH",
            convert=parse_path,
            flag_only=True,
            completion="file",
        ),
        Option("force", "write to a folder that is not empty; replace only files of a bundle", flag_only=True),
        Option("timeout", "give up after this time", "DURATION", None, "10m", parse_timeout),
        *REGISTRY,
        FORMAT,
        *LOGGING,
        HELP,
    ),
    (Operand("reference", "what to pull: oci://HOST/REPOSITORY[:TAG][@DIGEST]", required=False),),
    examples=(
        ("eidos pull oci://registry.example.com/gpu/bundle:v1 -o bundle", "a bundle, into a folder"),
        ("eidos pull oci://registry.example.com/gpu/nodes:gpu-07 -o -", "a snapshot, to standard output"),
        ("eidos pull --layout bundle-oci.tar -o bundle", "with no network"),
    ),
    notes=(
        "Digests show that nothing changed since it was pushed, not who pushed it. Name the digest in the reference to get exactly that.",
        "Exit status: 0 pulled; 1 failed; 2 wrong usage or not found; 5 a digest or a checksum does not match; 124 timed out.",
    ),
)


def run(values: Values) -> int:
    """Pull, and print the digest unless the document itself goes to standard output."""
    from eidos.oci.reference import parse_reference

    text, layout = values.get("reference"), values["layout"]
    if text is None and layout is None:
        raise InvalidInput("eidos pull needs a reference", "add oci://HOST/REPOSITORY:TAG, or --layout PATH")
    reference = parse_reference(text) if text is not None else None
    output = values["output"] or ""
    if document_locations.is_remote(output) or document_locations.is_in_object_store(output):
        shown = document_locations.display_location(output)
        raise InvalidInput(f"--output: {shown}: pull writes files and folders", "pull into a file, and pass that to the next command")
    with _open_artifact(reference.target if reference else "", layout, text, values) as (store, artifact):
        output = _write(store, artifact, values)
    if output != document_locations.STDOUT:
        _report(artifact, output, layout or str(reference), values)
    return 0


@contextmanager
def _open_artifact(target: str, layout: str | None, text: str | None, values: Values) -> Iterator[tuple[ArtifactStore, PulledArtifact]]:
    from eidos.oci import artifact, layout_archive
    from eidos.oci.reference import parse_reference

    if layout is not None:
        with layout_archive.open_layout(layout) as store:
            yield store, artifact.open_artifact(store, target)
        return
    assert text is not None
    with registry_locations.open_store(parse_reference(text), values, time.monotonic() + values["timeout"]) as store:
        yield store, artifact.open_artifact(store, target)


def _write(store: ArtifactStore, artifact: PulledArtifact, values: Values) -> str:
    """Write what the artifact holds; where it went."""
    kind, layers = artifact.manifest.artifact_type, artifact.manifest.layers
    output: str | None = values["output"]
    if kind not in NAMES:
        raise InvalidInput(f"{store.name}: {describe(kind)}, which eidos cannot read", "check the reference")
    if kind in _FOLDERS:
        output = output or _FOLDERS[kind]
        is_archive = output.lower().endswith(_ARCHIVES)
        if output == document_locations.STDOUT or (is_archive and kind != BUNDLE):
            raise InvalidInput(f"--output: {NAMES[kind]} is a folder", "name a folder, or for a bundle an archive like bundle.tar.gz")
        document_locations.check_archive(output, "--output")
        if is_archive:
            _write_archive(store, artifact, output)
        else:
            _write_folder(store, artifact, output, values["force"])
        return output
    if len(layers) != 1:
        raise IntegrityError(f"{store.name}: {NAMES[kind]} has one layer, and this has {len(layers)}", "check the reference")
    return _write_file(store, layers[0], output, 0o666 if kind == FILE else 0o600)


def _write_folder(store: ArtifactStore, artifact: PulledArtifact, folder: str, force: bool) -> None:
    from eidos.bundle import folder_writer

    def fill(temporary: str) -> set[str]:
        paths = registry_locations.unpack_artifact(store, artifact, temporary)
        if artifact.manifest.artifact_type == BUNDLE:
            require_unchanged(temporary, f"{store.name}: the bundle")
        return paths

    folder_writer.fill_folder(folder, fill, force=force)


def _write_archive(store: ArtifactStore, artifact: PulledArtifact, path: str) -> None:
    from eidos.bundle import bundle_reader, zip_archive
    from eidos.files.atomic_write import TemporaryFolder, write_pieces

    document_locations.check_writable(path)
    extension = document_locations.location_extension(path)
    if extension == ".zip" and any(layer.media_type == BLOB for layer in artifact.manifest.layers):
        raise InvalidInput(f"--output: {path}: a zip file cannot hold the images of this bundle", "use --output bundle.tar.gz")
    with TemporaryFolder() as folder:
        registry_locations.unpack_artifact(store, artifact, folder)
        require_unchanged(folder, f"{store.name}: the bundle")
        pieces = zip_archive.archive_pieces(bundle_reader.read_files(folder), bundle_reader.open_blobs(folder), extension)
        write_pieces(path, pieces, 0o666)


def _write_file(store: ArtifactStore, layer: Descriptor, output: str | None, mode: int) -> str:
    from eidos.files.atomic_write import write_pieces, write_stdout
    from eidos.oci.artifact import is_file_name, read_layer

    if output == document_locations.STDOUT:
        if layer.size > DOCUMENT_LIMIT:  # it is verified before its first byte is written
            raise InvalidInput(f"--output -: {store.name} is larger than {DOCUMENT_LIMIT >> 20} MiB", "use --output FILE")
        write_stdout(read_layer(store, layer, DOCUMENT_LIMIT))
        return output
    if output is None or output.endswith("/") or os.path.isdir(output):
        if not is_file_name(layer.title):
            raise InvalidInput(f"{store.name}: the artifact has no valid file name", "name one with --output FILE")
        output = os.path.join(output or "", layer.title)
    document_locations.check_writable(output)
    write_pieces(output, store.read_blob(layer), mode)
    return output


def _report(artifact: PulledArtifact, output: str, where: str, values: Values) -> None:
    size, kind = artifact.manifest.size, artifact.manifest.artifact_type
    tree = {"reference": where, "digest": artifact.digest, "artifact-type": kind, "bytes": size, "output": output}
    print_artifact(tree, f"pulled {describe(kind)} to {output}: {size:,} bytes", values["format"])
