"""``eidos push``: a bundle, a document or a file to a registry, or into an image layout.

Knows the flags of the verb, what each kind of input becomes and how the result is shown; must not know how a registry is spoken to.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import contextmanager

from eidos.cli import document_locations, registry_locations
from eidos.cli.options import FORMAT, HELP, LOGGING, Operand, Option, Verb, parse_path, parse_timeout
from eidos.cli.registry_locations import BLOB, BUNDLE, DATA, FILE, RECIPE, REGISTRY, REPORT, SNAPSHOT
from eidos.errors import IntegrityError, InvalidInput, NotFound, Unavailable, os_error_reason
from eidos.formats import from_text, serialize
from eidos.model.bundle import ATTESTATIONS, CHECKSUMS, STATEMENT
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import ExitStack
    from typing import Any

    from eidos.cli.options import Values
    from eidos.oci.artifact import Artifact, ArtifactStore, PushResult
    from eidos.oci.reference import Reference

#: Bytes of a document that is pushed.
DOCUMENT_LIMIT = 32 << 20

#: The kind of a document → its type, and the name of a file of it.
_DOCUMENTS = {"Snapshot": (SNAPSHOT, "snapshot.yaml"), "Recipe": (RECIPE, "recipe.yaml"), "CheckReport": (REPORT, "report.yaml")}

#: The attestation that the others sign.
_STATEMENT = STATEMENT.rpartition("/")[2]

_EXTENSIONS = (".yaml", ".yml", ".json")

#: The layers of a bundle, of recipe data, and of any other file.
_BUNDLE_LAYER, _DATA_LAYER, _FILE_LAYER = BUNDLE, DATA, "application/octet-stream"

VERB = Verb(
    "push",
    (
        (
            "Push a bundle, a snapshot, a recipe, a check report, a folder of recipe data or any other file to an OCI registry, and print "
            "the digest. A bundle is verified first. What the registry has already is not sent again, and an upload that is cut off goes "
            "on where it stopped; the tag is moved last, so that it never names an incomplete bundle."
        ),
        (
            "The digest depends only on the content: it holds no time, and pushing the same bundle again gives the same digest. "
            "Attestations of a bundle are attached to it as referrers."
        ),
    ),
    (
        Option(
            "layout",
            "write an OCI image layout to this folder, or archive (.tar), with no network",
            "PATH",
            convert=parse_path,
            flag_only=True,
            completion="file",
        ),
        Option("dry-run", "print what would be pushed; write nothing", flag_only=True),
        Option("mount-from", "take blobs from this repository of the registry where it has them", "REPOSITORY", flag_only=True),
        Option("timeout", "give up after this time", "DURATION", None, "10m", parse_timeout),
        *REGISTRY,
        FORMAT,
        *LOGGING,
        HELP,
    ),
    (
        Operand("bundle", "the bundle, document or file, - for standard input", convert=parse_path, completion="file"),
        Operand("reference", "where to: oci://HOST/REPOSITORY:TAG", required=False),
    ),
    examples=(
        ("eidos push bundle oci://registry.example.com/gpu/bundle:v1", "a bundle"),
        ("eidos push node.yaml oci://registry.example.com/gpu/nodes:gpu-07", "a snapshot"),
        ("eidos push bundle oci://registry.example.com/gpu/bundle:v1 --dry-run", "what would be sent"),
        ("eidos push bundle --layout bundle-oci.tar", "for skopeo and oras"),
    ),
    notes=(
        (
            "Logins are those of podman and docker, with credential helpers, or of the file that REGISTRY_AUTH_FILE names ('eidos help "
            "registries'). HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured."
        ),
        "Exit status: 0 pushed; 1 failed; 2 wrong usage or not found; 5 the bundle was modified; 124 timed out.",
    ),
)


def run(values: Values) -> int:
    """Push, and print the digest."""
    from contextlib import ExitStack

    from eidos.oci.artifact import push_artifact
    from eidos.oci.reference import DEFAULT_TAG, is_repository, parse_reference

    text, layout, mount_from = values.get("reference"), values["layout"], values["mount-from"] or ""
    if text is None and layout is None:
        raise InvalidInput("eidos push needs a reference", "add oci://HOST/REPOSITORY:TAG, or --layout PATH")
    if mount_from and not is_repository(mount_from):
        raise InvalidInput(f"--mount-from: invalid repository {mount_from!r}", "write it without host and tag, like team/bundle")
    reference = parse_reference(text) if text is not None else None
    with ExitStack() as stack:
        artifact = read_artifact(values["bundle"], stack)
        if reference is not None and reference.digest and reference.digest != artifact.digest:
            raise InvalidInput(f"{reference}: what is pushed has another digest: {artifact.digest}", "push it to a tag")
        tag = DEFAULT_TAG if reference is None else reference.tag
        store = stack.enter_context(_open_target(reference, layout, values, mount_from))
        result = push_artifact(store, artifact, tag, is_dry_run=values["dry-run"])
    where = layout or (str(reference) if reference else "")
    _report(result, where, values)
    return 0


@contextmanager
def _open_target(reference: Reference | None, layout: str | None, values: Values, mount_from: str) -> Iterator[ArtifactStore]:
    if layout is None:
        assert reference is not None
        with registry_locations.open_store(reference, values, time.monotonic() + values["timeout"], mount_from) as store:
            yield store
        return
    from eidos.oci import layout_archive

    if not values["dry-run"]:
        with layout_archive.create_layout(layout) as target:
            yield target
        return
    if os.path.isdir(layout):
        with layout_archive.open_layout(layout) as target:
            yield target
        return
    from eidos.files.atomic_write import TemporaryFolder

    with TemporaryFolder() as folder, layout_archive.create_layout(folder) as target:
        yield target


def read_artifact(path: str, stack: ExitStack) -> Artifact:
    """The artifact made of a path, which can be pushed until ``stack`` is closed.

    Raises IntegrityError for a modified bundle, and another EidosError for a path that cannot be read.
    """
    if document_locations.is_in_registry(path):
        raise InvalidInput(f"{path} is in a registry already", f"run 'eidos pull {path} -o bundle', then push that")
    if path == document_locations.STDOUT:
        return _document(document_locations.read_document(path, DOCUMENT_LIMIT), "", "standard input")
    try:
        is_folder, mode = os.path.isdir(path), os.stat(path).st_mode
        if not is_folder and not stat.S_ISREG(mode):
            raise InvalidInput(f"{path}: not a folder or a file", "name a bundle, a document or a file")
        if is_folder:
            return _bundle_folder(path) if os.path.lexists(os.path.join(path, CHECKSUMS)) else _data_folder(path)
        with open(path, "rb") as file:
            head = file.read(4)
    except FileNotFoundError as fault:
        raise NotFound(f"{path}: no such file or folder", "run 'eidos bundle -f recipe.yaml' to build a bundle") from fault
    except OSError as fault:
        raise Unavailable(f"{path}: {os_error_reason(fault)}") from fault
    if path.endswith(_EXTENSIONS):
        return _document(document_locations.read_document(path, DOCUMENT_LIMIT), os.path.basename(path), path)
    if path.endswith((".tar.gz", ".tgz", ".zip")) and head[:2] in (b"\x1f\x8b", b"PK"):
        return _bundle_archive(path, stack)
    return _file(path)


def _bundle_folder(path: str) -> Artifact:
    from eidos.bundle import bundle_reader, checksums, verification
    from eidos.oci.artifact import Artifact
    from eidos.oci.tar_layers import blob_layers, sources_of_folder, tar_layers

    require_unchanged(path)
    blobs = bundle_reader.open_blobs(path)
    listed = checksums.parse_checksums(verification.read_regular_file(os.path.join(path, CHECKSUMS)), CHECKSUMS)
    folder = os.path.join(path, ATTESTATIONS)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    paths = {name: os.path.join(folder, name) for name in names if f"{ATTESTATIONS}{name}" not in listed}
    attestations = {name: verification.read_regular_file(full) for name, full in paths.items()}
    layers = tar_layers(sources_of_folder(path, {*listed, CHECKSUMS} - set(blobs)), _BUNDLE_LAYER)
    return Artifact(BUNDLE, (*layers, *blob_layers(blobs, BLOB)), attestations, _STATEMENT)


def _bundle_archive(path: str, stack: ExitStack) -> Artifact:
    from eidos.bundle import bundle_reader, checksums
    from eidos.oci.artifact import Artifact
    from eidos.oci.tar_layers import blob_layers, sources_of_contents, tar_layers

    require_unchanged(path)
    files, blobs = bundle_reader.open_files(path, stack)
    listed = {*checksums.parse_checksums(files[CHECKSUMS], CHECKSUMS), CHECKSUMS}
    attestations = {name.partition("/")[2]: content for name, content in files.items() if name not in listed}
    sources = sources_of_contents({name: content for name, content in files.items() if name in listed})
    layers = tar_layers(sources, _BUNDLE_LAYER)
    return Artifact(BUNDLE, (*layers, *blob_layers(blobs, BLOB)), attestations, _STATEMENT)


def require_unchanged(path: str, name: str = "") -> None:
    """Raise IntegrityError when the bundle at ``path`` was modified; ``name`` is what the message calls it."""
    from eidos.bundle.verification import inspect_bundle

    problems = inspect_bundle(path).problems
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        hint = "rebuild it or download it again" if name else f"run 'eidos verify {path}' to see all, and rebuild it"
        raise IntegrityError(f"{name or path} was modified: {problems[0]}{more}", hint)


def _data_folder(path: str) -> Artifact:
    from eidos.oci.artifact import Artifact
    from eidos.oci.tar_layers import sources_of_contents, tar_layers
    from eidos.recipe.data_folder import read_folder

    return Artifact(DATA, tar_layers(sources_of_contents(read_folder(path)), _DATA_LAYER))


def _document(data: bytes, title: str, name: str) -> Artifact:
    from eidos.diff.documents import parse_document
    from eidos.oci.artifact import Artifact, ArtifactLayer
    from eidos.oci.blob import blob_of_bytes

    tree = from_text(data, name, DOCUMENT_LIMIT)
    artifact_type, default = _DOCUMENTS[type(parse_document(tree, name)).__name__]
    return Artifact(artifact_type, (ArtifactLayer(blob_of_bytes(data), artifact_type, title or default),))


def _file(path: str) -> Artifact:
    from eidos.oci.artifact import Artifact, ArtifactLayer, is_file_name
    from eidos.oci.blob import blob_of_pieces, file_pieces

    title = os.path.basename(os.path.abspath(path))
    if not is_file_name(title):
        raise InvalidInput(f"{path}: {title!r} is not a file name that every system has", "rename it")
    return Artifact(FILE, (ArtifactLayer(blob_of_pieces(lambda: file_pieces(path)), _FILE_LAYER, title),))


def _report(result: PushResult, where: str, values: Values) -> None:
    tree = {
        "reference": where,
        "digest": result.digest,
        "artifact-type": result.artifact_type,
        "bytes": result.size,
        "uploaded-bytes": result.uploaded_bytes,
        "changed": result.is_new or bool(result.attestations),
        "layers": [{"title": each.title, "digest": each.digest, "bytes": each.size, "uploaded": each.is_new} for each in result.layers],
        "attestations": list(result.attestations),
    }
    new = sum(layer.is_new for layer in result.layers)
    sent = f"{new} of {count_of(len(result.layers), 'layer')}, {result.uploaded_bytes:,} bytes"
    verb = "would push" if values["dry-run"] else "pushed"
    print_artifact(tree, f"{verb} {where}: {sent}" if tree["changed"] else f"{where} is up to date: nothing to upload", values["format"])


def print_artifact(tree: Mapping[str, Any], summary: str, fmt: str) -> None:
    """Print the digest of an artifact, or for programs all of ``tree``; to people ``summary``, on standard error."""
    from eidos import log

    is_document = fmt in ("json", "yaml")
    document_locations.write_document(document_locations.STDOUT, serialize(tree, fmt) if is_document else f"{tree['digest']}\n")
    if not is_document and log.shows("warn"):
        log.print_summary([summary])
