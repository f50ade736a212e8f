"""``eidos mirror``: what a bundle needs in a closed network, as lists and scripts, its images to a registry, and what a registry lacks.

Knows the flags of the verb, how lists are shown and the exit status; must not know the formats of other tools, nor HTTP.
"""

from __future__ import annotations

import time

from eidos import log
from eidos.cli import document_locations, registry_locations
from eidos.cli.exit_status import FINDINGS
from eidos.cli.options import FORMAT, HELP, LOGGING, Operand, Option, Verb, parse_path, parse_timeout
from eidos.cli.push import require_unchanged
from eidos.cli.registry_locations import REGISTRY
from eidos.formats import serialize
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from eidos.bundle.mirror_lists import MirrorList
    from eidos.cli.options import Values
    from eidos.model.bundle import StoredFile

VERB = Verb(
    "mirror",
    (
        (
            "List every image, chart and manifest that a bundle needs, to bring them into a closed network. With --output, write lists, "
            "scripts for skopeo, oras and helm, and packages of hauler and Zarf. The bundle is verified first."
        ),
        (
            "With --push, copy the images that the bundle carries to a registry: every architecture, with the same digests, as "
            "images/copy.sh does with skopeo. With --check, ask a registry for each image and chart. Both use the names that "
            "'eidos bundle --registry' gives them."
        ),
    ),
    (
        Option("output", "write lists and scripts to this new folder", "DIR", "o", None, parse_path, flag_only=True, completion="folder"),
        Option("check", "report what this registry lacks, such as mirror.example.com/x", "REGISTRY", flag_only=True),
        Option("push", "copy the images of the bundle to this registry", "REGISTRY", flag_only=True),
        Option("timeout", "give up after this time; for --push, on each image", "DURATION", None, "10m", parse_timeout),
        *REGISTRY,
        FORMAT,
        *LOGGING,
        HELP,
    ),
    (Operand("bundle", "the folder, tar.gz or zip archive, or oci://HOST/REPOSITORY:TAG", convert=parse_path, completion="file"),),
    examples=(
        ("eidos mirror bundle", "list images and charts"),
        ("eidos mirror bundle -o mirror", "write scripts and packages"),
        ("eidos mirror bundle --push mirror.example.com/x", "copy the images that it carries"),
        ("eidos mirror bundle --check mirror.example.com/x", "report what is missing there"),
    ),
    notes=(
        "An image is checked by its digest, or by its tag if it has no digest. Images that only other settings pull are not checked.",
        "Exit status: 0 done; 1 the registry failed; 2 wrong usage; 4 --push, --check: something is missing; 5 modified, or not a bundle.",
    ),
)


def run(values: Values) -> int:
    """List, write, push or check; the exit status."""
    from contextlib import ExitStack

    from eidos.bundle import mirror_lists
    from eidos.bundle.bundle_reader import open_files, read_files
    from eidos.bundle.registry_mirror import parse_registry
    from eidos.errors import InvalidInput

    if values["push"] and values["check"] and parse_registry(values["push"]) != parse_registry(values["check"]):
        raise InvalidInput("--push and --check name different registries", "run the command once for each")
    report: dict[str, Any] = {}
    status = 0
    try:
        with ExitStack() as stack:
            folder = document_locations.local_folder(values["bundle"], values, stack)
            require_unchanged(folder, values["bundle"])
            files, blobs = (read_files(folder), {}) if values["push"] is None else open_files(folder, stack)
            needed = mirror_lists.read_mirror_list(files, values["bundle"])
            for sentence in needed.unknown:
                log.warn(f"not known: {sentence}")
            if values["push"] is not None:
                status = _push(needed, files, blobs, values, report)
        if values["output"] is not None:
            from eidos.bundle.folder_writer import write_folder

            made = mirror_lists.mirror_files(needed, files)
            write_folder(values["output"], made)
            log.print_summary([f"{count_of(len(made), 'file')}: {values['output']}"])
        if values["check"] is not None:
            status = _check(needed, values, report) or status
    finally:
        if report:  # what was pushed is written when the check fails, too
            _write_report(report, values)
    if not report and (values["output"] is None or values["format"] in ("json", "yaml")):
        _list(needed, values)
    return status


def _write_report(report: Mapping[str, Any], values: Values) -> None:
    if values["format"] in ("json", "yaml"):
        text = serialize(report, values["format"])
    else:
        lines = [f"{each['image']} {each['digest']}" for each in report.get("pushed", ())]
        text = "".join(f"{line}\n" for line in [*lines, *report.get("missing", ())])
    document_locations.write_document(document_locations.STDOUT, text)


def _list(needed: MirrorList, values: Values) -> None:
    if values["format"] in ("json", "yaml"):
        text = serialize(needed.to_tree(), values["format"])
    else:
        lines = [image.source for image in needed.images if not image.optional]
        lines += [f"{chart.source.rstrip('/')}/{chart.name} {chart.version}" for chart in needed.charts]
        lines += [manifest.url for manifest in needed.manifests]
        text = "".join(f"{line}\n" for line in lines)
    document_locations.write_document(document_locations.STDOUT, text)


def _push(needed: MirrorList, files: Mapping[str, bytes], blobs: Mapping[str, StoredFile], values: Values, report: dict[str, Any]) -> int:
    """Copy the images that the bundle carries to a registry, and add them to the report; the exit status."""
    from eidos.bundle.registry_mirror import parse_registry
    from eidos.errors import InvalidInput
    from eidos.model.bundle import IMAGES
    from eidos.oci.image_layout import INDEX_FILE
    from eidos.oci.image_manifest import REF_NAME, parse_index
    from eidos.oci.image_push import push_image
    from eidos.oci.reference import parse_reference

    registry, name = parse_registry(values["push"]), values["bundle"]
    index = files.get(f"{IMAGES}{INDEX_FILE}")
    if index is None:
        hint = f"build it with 'eidos bundle --images PATH', or run skopeo.sh of 'eidos mirror {name} -o DIR'"
        raise InvalidInput(f"{name} carries no images", hint)
    entries = {entry.annotations.get(REF_NAME, ""): entry for entry in parse_index(index, f"{name}: {IMAGES}{INDEX_FILE}")}
    stored = {f"sha256:{blob.sha256}": blob for blob in blobs.values()}
    images = [image for image in needed.images if image.pulled in entries]
    pushed: list[dict[str, Any]] = []
    total = 0
    for image in images:
        entry, target = entries[image.pulled], image.at(registry)
        reference = parse_reference(f"oci://{target}")
        with registry_locations.open_store(reference, values, time.monotonic() + values["timeout"]) as store:
            sent = push_image(store, entry, stored, reference.target)
        total += sent
        log.info(f"{target}: {sent:,} bytes", image=target, bytes=sent)
        pushed.append({"image": target, "digest": entry.digest, "uploaded-bytes": sent})
    lacking = sum(not image.optional and image.pulled not in entries for image in needed.images)
    if lacking:
        log.error(
            f"{name} lacks {count_of(lacking, 'image')} that it needs", hint=f"run 'eidos mirror {name} --check {registry}' to list them"
        )
    log.print_summary([f"pushed {count_of(len(pushed), 'image')} to {registry}: {total:,} bytes"])
    report.update(registry=registry, pushed=pushed)
    return FINDINGS if lacking else 0


def _check(needed: MirrorList, values: Values, report: dict[str, Any]) -> int:
    """Add what a registry lacks to the report; the exit status."""
    from eidos.bundle.registry_mirror import mirror_image, parse_registry
    from eidos.oci.reference import parse_reference

    registry = parse_registry(values["check"])
    # As a node pulls it: a tag with another digest does not help.
    references = [f"oci://{mirror_image(image.source, registry)}" for image in needed.images if not image.optional]
    references += [chart.at(registry) for chart in needed.charts]
    deadline = time.monotonic() + values["timeout"]
    missing = []
    for text in references:
        reference = parse_reference(text)
        with registry_locations.open_store(reference, values, deadline) as store:
            if not store.has_manifest(reference.target):
                missing.append(text[len("oci://") :])
    report.update(registry=registry, checked=len(references), missing=missing)
    others = f", and {count_of(len(needed.manifests), 'manifest')} to save by hand" if needed.manifests else ""
    log.print_summary([f"{registry}: {len(missing)} of {count_of(len(references), 'reference')} missing{others}"])
    return FINDINGS if missing else 0
