"""``eidos diff``: what differs between two documents, or what changed on a node.

Knows the flags of the verb, where its documents come from, and the exit status; must not know how documents are compared.
"""

from __future__ import annotations

import os
import time

from eidos import collectors
from eidos.cli import document_locations
from eidos.cli.cluster_options import CLUSTER, OR_IN_CLUSTER
from eidos.cli.commands import FINDINGS
from eidos.cli.host_snapshot import ROOT, SMI, UNITS, read_host
from eidos.cli.options import FORMAT, HELP, LOGGING, OUTPUT, Operand, Option, Verb, parse_path, parse_timeout
from eidos.errors import InvalidInput
from eidos.model.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Union

    from eidos.cli.options import Values
    from eidos.model.bundle import Bundle
    from eidos.model.check_report import CheckReport
    from eidos.model.diff import Diff
    from eidos.model.recipe import Recipe
    from eidos.model.snapshot import Snapshot

    Document = Union[Snapshot, Recipe, CheckReport, Bundle]

TABLE, PATCH, MARKDOWN, VOLATILE = "table", "patch", "markdown", "volatile"

_FORMATS = {
    TABLE: "for people",
    "yaml": "for programs and people",
    "json": "for programs",
    MARKDOWN: "for a pull request or a chat",
    PATCH: "a JSON Patch (RFC 6902) that makes A mean what B means",
}

#: What does not count unless it is named.
_INCLUDE = {
    "identity": "names, addresses, serial numbers, versions of eidos",
    "location": "where a node is in its cluster and a device in its node",
    VOLATILE: "what changes on its own: times, counters, processes",
}

VERB = Verb(
    "diff",
    (
        (
            "Compare two snapshots, recipes, bundles or check reports by meaning. Order, times and durations make no difference; what "
            "identifies a node or changes on its own only does when --include names it."
        ),
        (
            "With --last, compare the snapshot that 'eidos snapshot --remember' kept last with this node as it is now, or with A. A value "
            "that one side could not read, or that is withheld, is neither equal nor different."
        ),
    ),
    (
        Option("last", "compare with the last remembered snapshot of the node", flag_only=True),
        Option("include", "compare this, too", "NAMES", choices=_INCLUDE, multiple=True),
        ROOT,
        SMI,
        UNITS,
        Option("timeout", "time limit for reading this node", "DURATION", None, "10s", parse_timeout),
        *CLUSTER,
        Option("exit-code", "exit 4 when the documents differ"),
        Option("all", "show every value, also of what is new or gone as a whole", flag_only=True),
        replace(OUTPUT, help=OUTPUT.help + OR_IN_CLUSTER),
        Option("format", "set the output format (default: table)", "FORMAT", FORMAT.short, None, choices=_FORMATS),
        *LOGGING,
        HELP,
    ),
    (
        Operand("a", "the older document: a file, a bundle, - or cm://NAMESPACE/NAME", None, False, parse_path, "file"),
        Operand("b", "the newer document", None, False, parse_path, "file"),
    ),
    examples=(
        ("eidos diff yesterday.yaml today.yaml", "two snapshots"),
        ("eidos diff gpu-01.yaml gpu-02.yaml --exit-code", "two nodes, exit 4 when they differ"),
        ("eidos snapshot --remember -o node.yaml", "keep a snapshot; later:"),
        ("eidos diff --last", "what changed on this node since then"),
        ("eidos diff bundle-1.tar.gz bundle-2 -t markdown", "two bundles, for a pull request"),
        ("eidos diff report-1.yaml report-2.yaml", "which findings are new, which are resolved"),
        ("eidos diff a.yaml b.yaml -t patch", "as a JSON Patch"),
    ),
    notes=("Exit status: 0 compared; 2 wrong usage, invalid input, or nothing remembered; 4 the documents differ (--exit-code).",),
)


def run(values: Values) -> int:
    """Compare, and write the differences."""
    from eidos.workflow import compare

    output = values["output"]
    document_locations.check_writable(output, values)
    locations = [location for name in ("a", "b") if (location := values.get(name)) is not None]
    if locations == [document_locations.STDOUT] * 2:
        raise InvalidInput("standard input cannot be both documents", "name a file for one of them")
    names, documents, trees = _read_documents(values, locations)
    diff = compare(documents[0], documents[1], include=values["include"], names=names)
    fmt = document_locations.choose_format(values["format"], output, TABLE)
    if fmt == PATCH:
        _require_patchable(names[0], documents[0], trees[0])
    document_locations.write_document(output, _render(values, diff, fmt), values, "diff")
    return FINDINGS if values["exit-code"] and not diff.is_empty else 0


def _read_documents(values: Values, locations: list[str]) -> tuple[tuple[str, str], list[Document], list[Any]]:
    """What messages call both documents, the documents, and the trees in their files."""
    if not values["last"]:
        flags = [flag for name in ("root", "smi", "units") if (flag := values.origins.get(name, "")).startswith("--")]
        if flags:
            raise InvalidInput(f"{', '.join(flags)} needs --last", "add --last, or remove it")
        if len(locations) != 2:
            raise InvalidInput("eidos diff needs two documents", "name two files, or use --last to compare with this node")
        read = [_read_document(location, values) for location in locations]
        return (_name(locations[0]), _name(locations[1])), [document for document, _ in read], [tree for _, tree in read]
    from eidos.cli import snapshot_history
    from eidos.model.snapshot import Snapshot

    if len(locations) > 1:
        raise InvalidInput("--last takes at most one document", "remove one of the two")
    snapshot_history.require_any(os.environ)
    current: Document
    if locations:
        current, _ = _read_document(locations[0], values)
        if not isinstance(current, Snapshot):
            raise InvalidInput(f"{locations[0]}: not a snapshot; --last compares snapshots", "name a snapshot, or nothing for this node")
    else:
        names = collectors.list_collectors()
        is_volatile = VOLATILE in values["include"]
        current = read_host("diff", values, names, time.monotonic() + values["timeout"], volatile=is_volatile)
    last, path = snapshot_history.load_last(current.node, os.environ)
    return (path, _name(locations[0]) if locations else "now"), [last, current], [last.to_tree(), None]


def _name(location: str) -> str:
    return "standard input" if location == document_locations.STDOUT else location


def _read_document(location: str, values: Values) -> tuple[Document, Any]:
    """The document at a location, and the tree in its file (None for a bundle); InvalidData for anything but a document of eidos."""
    from eidos.diff.documents import parse_document
    from eidos.formats import from_text

    if document_locations.is_in_registry(location):
        from eidos.cli.registry_locations import read_registry_bundle

        bundle = read_registry_bundle(location, values)
        if bundle is not None:
            return bundle, None
    is_file = not document_locations.is_remote(location) and location != document_locations.STDOUT
    if is_file and os.path.isdir(location):
        return _read_bundle(location), None
    name = _name(location)
    data = document_locations.read_document(location, missing_hint="name a snapshot, a recipe, a bundle or a check report", values=values)
    if is_file and data[:2] in (b"\x1f\x8b", b"PK"):
        return _read_bundle(location), None
    tree = from_text(data, name)
    return parse_document(tree, name), tree


def _read_bundle(location: str) -> Bundle:
    from eidos.workflow import read_bundle

    return read_bundle(location)


def _require_patchable(name: str, document: Document, tree: Any) -> None:
    """Raise InvalidInput when the operations of a patch would miss their places in the file."""
    from eidos.diff.documents import document_tree
    from eidos.model.bundle import Bundle

    if isinstance(document, Bundle):
        raise InvalidInput("a bundle is many files, and a JSON Patch is for one document", "use --format yaml, or git diff --no-index")
    written = document_tree(document)
    if any(tree.get(field) != content for field, content in written.items()):
        hint = "use --format yaml, or write the document again with this version of eidos"
        raise InvalidInput(f"{name}: not as this version of eidos writes it; a patch would miss its places", hint)


def _render(values: Values, diff: Diff, fmt: str) -> str:
    from eidos.formats import serialize, to_json

    if fmt == TABLE:
        from eidos.cli.diff_table import diff_table

        return document_locations.fit_table(values["output"], lambda width, colour: diff_table(diff, width, colour, values["all"]))
    if fmt == PATCH:
        return to_json(list(diff.patch))
    if fmt == MARKDOWN:
        from eidos.diff.markdown import render_markdown

        return render_markdown(diff)
    return serialize(diff.to_tree(), fmt)
