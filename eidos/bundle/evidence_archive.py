"""Evidence about nodes for an auditor: snapshots, reports and recipes, a page and a README, their checksums and a statement.

Knows the names of the files and the limits of an archive that can be verified; must not know how a node is judged, nor how the page is
made. The same documents give the same files: no time is in them but those that the documents have.
"""

from __future__ import annotations

from eidos import __version__
from eidos.bundle import tar_archive
from eidos.bundle.checksums import MAX_FILES, format_checksums, sha256
from eidos.bundle.statement import format_evidence_statement
from eidos.errors import InvalidInput
from eidos.files import resources
from eidos.model.bundle import CHECKSUMS, STATEMENT
from eidos.model.record import Record
from eidos.templates.text_template import fill_text, parse_template
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

#: The readings of the cluster that the nodes of a folder share.
CLUSTER = "cluster.yaml"

_PAGE, _README, _RECIPE = "index.html", "README.md", "recipe.yaml"
_TEMPLATE = "templates/report/evidence.md"


class NodeDocuments(Record):
    """What there is of one node, in bytes; ``folder`` is where in the archive it is, such as ``nodes/gpu-01/``, empty for a single node."""

    folder: str
    snapshot: bytes
    report: bytes
    recipe: bytes


def document_files(nodes: Sequence[NodeDocuments], cluster: bytes = b"") -> tuple[dict[str, bytes], list[dict[str, str]]]:
    """The documents by path, and for each node the path of each document by its name. A recipe that all nodes share is there once.

    >>> files, paths = document_files([NodeDocuments("nodes/a/", b"1", b"2", b"3"), NodeDocuments("nodes/b/", b"4", b"5", b"3")])
    >>> sorted(files), paths[1]["recipe"]
    (['nodes/a/report.yaml', 'nodes/a/snapshot.yaml', 'nodes/b/report.yaml', 'nodes/b/snapshot.yaml', 'recipe.yaml'], 'recipe.yaml')
    """
    is_shared = len({node.recipe for node in nodes}) == 1
    files = {CLUSTER: cluster} if cluster else {}
    paths = []
    for node in nodes:
        of_node = {name: f"{node.folder}{name}.yaml" for name in ("snapshot", "report")}
        of_node["recipe"] = _RECIPE if is_shared else f"{node.folder}{_RECIPE}"
        files.update({path: getattr(node, name) for name, path in of_node.items()})
        paths.append(of_node)
    return files, paths


def evidence_files(
    documents: Mapping[str, bytes], page: str, parameters: Mapping[str, Any], digests: Mapping[str, str]
) -> dict[str, bytes]:
    """All files of the archive: the documents with their page, README, checksums and statement.

    ``parameters`` is what the user chose, ``digests`` are SHA-256 by name of what the reports follow from and the archive does not hold.
    Raises InvalidInput for more than ``eidos verify`` reads.
    """
    readme = fill_text(_README, parse_template(resources.read_text(_TEMPLATE)), {"version": __version__})
    files = {**documents, _PAGE: page.encode(), _README: readme.encode()}
    snapshots = {path: content for path, content in documents.items() if path.endswith("snapshot.yaml") or path == CLUSTER}
    # A digest for each of a thousand nodes would be a statement that is too large; checksums.txt has them all.
    inputs = {"snapshots": sha256(format_checksums(snapshots))} if len(snapshots) > 1 else {p: sha256(c) for p, c in snapshots.items()}
    if _RECIPE in documents:
        inputs[_RECIPE] = sha256(documents[_RECIPE])
    files[CHECKSUMS] = format_checksums(files)
    files[STATEMENT] = format_evidence_statement(files, parameters, {**inputs, **digests})
    _check_limits(files)
    return dict(sorted(files.items()))


def _check_limits(files: Mapping[str, bytes]) -> None:
    hint = "pack fewer nodes into one archive"
    if len(files) > MAX_FILES:
        raise InvalidInput(f"{count_of(len(files), 'file')}, and an archive holds at most {MAX_FILES:,}", hint)
    for path, content in files.items():
        if len(content) > tar_archive.MAX_FILE_BYTES:
            raise InvalidInput(f"{path} would be larger than {tar_archive.MAX_FILE_BYTES >> 20} MiB", hint)
    if sum(map(len, files.values())) + 2048 * len(files) > tar_archive.MAX_ARCHIVE_BYTES:
        raise InvalidInput(f"the evidence is larger than {tar_archive.MAX_ARCHIVE_BYTES >> 20} MiB", hint)
