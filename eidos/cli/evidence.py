"""``eidos evidence``: what nodes were and what was wrong with them, in one archive for an auditor.

Knows the flags of the verb, where snapshots come from (this host, a document, or a folder that ``eidos fleet`` wrote), what becomes a
document, and the exit status; must not know how a node is judged, how a page is made, nor how a program signs. A report is judged as of the
time of its snapshot, so the same documents give the same archive.
"""

from __future__ import annotations

import os
import time

from eidos import collectors, log
from eidos.cli import document_locations
from eidos.cli.anonymous import ANONYMOUS, make_pseudonyms
from eidos.cli.cluster_options import CLUSTER, OR_IN_CLUSTER
from eidos.cli.exit_status import FINDINGS, INCOMPLETE
from eidos.cli.host_snapshot import ROOT, SMI, UNITS, read_host, refuse_host_flags
from eidos.cli.judge_options import (
    ALLOW_UNKNOWN,
    DATA,
    FAIL_ON,
    NEVER,
    RECIPE_OPTIONS,
    SELECTION_OPTIONS,
    exit_status,
    read_judge_inputs,
)
from eidos.cli.options import HELP, LOGGING, OUTPUT, PLUGIN, Operand, Option, Verb, parse_path, parse_timeout
from eidos.cli.recipe_query import query_words
from eidos.cli.sign import SIGNING, make_signature, read_signing_key
from eidos.errors import InvalidInput
from eidos.formats import serialize
from eidos.model.bundle import STATEMENT
from eidos.model.record import Record, replace
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.bundle.evidence_archive import NodeDocuments
    from eidos.cli.judge_options import JudgeInputs
    from eidos.cli.options import Values
    from eidos.fleet.pseudonyms import Pseudonyms
    from eidos.model.check_report import CheckReport
    from eidos.model.snapshot import Snapshot

#: Nodes that are listed to people.
SHOWN_NODES = 10

#: What names the host that this runs on.
THIS_HOST = "localhost"

VERB = Verb(
    "evidence",
    (
        (
            "Pack evidence of what a node is into one archive: its snapshot, the report of 'eidos check', the recipe it was judged by, "
            "a page to read, and the checksums of all. With --key, sign it as 'eidos sign' does."
        ),
        (
            "The report is judged as of the time of the snapshot, so the same snapshot gives the same archive. "
            "'eidos verify FILE --key KEY' checks that nothing was changed, and who signed it."
        ),
    ),
    (
        PLUGIN,
        *RECIPE_OPTIONS,
        ROOT,
        SMI,
        UNITS,
        *SELECTION_OPTIONS,
        DATA,
        Option("timeout", "give up reading this node, or signing, after this time", "DURATION", None, "60s", parse_timeout),
        *CLUSTER,
        *SIGNING,
        replace(OUTPUT, help="write to FILE (FILE.zip: zip), - for standard output", default=None, flag_only=True),
        replace(FAIL_ON, default=NEVER, flag_only=True),
        replace(ALLOW_UNKNOWN, help="with --fail-on, exit 0 although something could not be judged"),
        *ANONYMOUS,
        *LOGGING,
        HELP,
    ),
    (
        Operand(
            "node",
            f"a snapshot{OR_IN_CLUSTER}, oci://..., a folder of snapshots, or {THIS_HOST} [{THIS_HOST}]",
            required=False,
            convert=parse_path,
            completion="file",
        ),
    ),
    examples=(
        ("eidos evidence -o evidence.tar.gz", "this node"),
        ("eidos evidence node.yaml -o evidence.tar.gz --key ~/.ssh/id_ed25519", "a saved snapshot, signed"),
        ("eidos evidence snapshots -o evidence.tar.gz --anonymous", "a folder of 'eidos fleet', without names"),
        ("eidos verify evidence.tar.gz --key auditor.pub", "check it"),
    ),
    notes=(
        "Findings do not make it fail, unless --fail-on names a severity. The archive is written in any case.",
        (
            "Exit status: 0 written; 1 the key could not be used, or the output not be written; 2 wrong usage, no such snapshot or key; 3 "
            "something could not be judged, with --fail-on, or a node of the fleet has no snapshot; 4 a finding at or above --fail-on; 124 "
            "timed out."
        ),
    ),
)


def run(values: Values) -> int:
    """Read, judge, pack, sign and write; the exit status."""
    output = values["output"]
    if output is None:
        raise InvalidInput("eidos evidence needs a file to write", "use --output evidence.tar.gz")
    if document_locations.is_in_cluster(output):
        raise InvalidInput(f"--output: {output!r} takes a document, and this is an archive", "write it to a file")
    document_locations.check_archive(output, "--output")
    document_locations.check_writable(output)
    if not values["key"] and (values["with"] or values["passphrase-file"]):
        raise InvalidInput("--with and --passphrase-file need --key", "add --key FILE")
    key = read_signing_key(values) if values["key"] else None
    pseudonyms = make_pseudonyms(values)
    sources = read_sources(values, pseudonyms)
    inputs = read_judge_inputs(values)
    reports, documents = _judge(sources, inputs, values)
    files = _pack(sources, reports, documents, inputs, values)
    signer = ""
    if key is not None:
        name, signature, signer = make_signature(key, files[STATEMENT], values)
        files[name] = signature
    from eidos.bundle.zip_archive import archive_pieces

    data = b"".join(archive_pieces(files, {}, document_locations.location_extension(output)))
    document_locations.write_bytes(output, data, mode=0o600)
    if log.shows("warn"):
        lines = [f"{name or 'unnamed'}: {report.verdict()}" for name, report in zip(sources.names(), reports[:SHOWN_NODES])]
        if len(reports) > SHOWN_NODES:
            lines.append(f"and {count_of(len(reports) - SHOWN_NODES, 'more node')}; the page has all")
        shown = "standard output" if output == document_locations.STDOUT else document_locations.display_location(output)
        signed = f"signed by {signer}" if signer else "not signed"
        log.print_summary([*lines, f"{count_of(len(files), 'file')}, {len(data):,} bytes, {signed}: {shown}"])
    status = exit_status(values, reports)
    if sources.unanswered:
        log.error(f"no snapshot of {count_of(len(sources.unanswered), 'node')}; the page names them")
    return status if status == FINDINGS or not sources.unanswered else INCOMPLETE


def _judge(sources: EvidenceSources, inputs: JudgeInputs, values: Values) -> tuple[tuple[CheckReport, ...], tuple[NodeDocuments, ...]]:
    """The report of each node, and its documents."""
    from eidos.bundle.evidence_archive import NodeDocuments
    from eidos.timestamp import parse_timestamp
    from eidos.workflow import check_node, make_recipe

    names = sources.names()
    folders = _folders(names) if sources.is_folder else dict.fromkeys(names, "")
    reports, documents = [], []
    for name, source in zip(names, sources.nodes):
        snapshot = sources.complete(source.snapshot)
        now = parse_timestamp(snapshot.timestamp)
        if now is None:
            log.warn(f"{name or 'the snapshot'} has no valid timestamp; judged as of now")
        recipe, document = inputs.recipe, inputs.recipe_document
        if recipe is None:
            recipe = make_recipe(inputs.query, snapshot=snapshot, store=inputs.store, explain=True)
            document = serialize(recipe.to_tree(), "yaml").encode()
        report = check_node(snapshot, recipe, store=inputs.store, options=replace(inputs.options, now=now), data=inputs.data)
        reports.append(report)
        documents.append(NodeDocuments(folders[name], source.document, serialize(report.to_tree(), "yaml").encode(), document))
    return tuple(reports), tuple(documents)


def _folders(names: list[str]) -> dict[str, str]:
    from eidos.fleet.hostlist import assign_file_names

    return {name: f"nodes/{file}/" for name, file in assign_file_names(names, ()).items()}


def _pack(
    sources: EvidenceSources, reports: tuple[CheckReport, ...], documents: tuple[NodeDocuments, ...], inputs: JudgeInputs, values: Values
) -> dict[str, bytes]:
    """The files of the archive, without a signature."""
    from eidos.bundle.checksums import sha256
    from eidos.bundle.evidence_archive import document_files, evidence_files
    from eidos.check.html_report import LinkedDocuments, render_evidence

    files, paths = document_files(documents, sources.cluster_document)
    links = (tuple((path.rpartition("/")[2], path, sha256(files[path])) for path in of_node.values()) for of_node in paths)
    linked = [LinkedDocuments(name, documents) for name, documents in zip(sources.names(), links)]
    page = render_evidence(reports, linked, sources.unanswered)
    options: dict[str, Any] = {name: list(values[name]) for name in ("only", "skip") if values[name]}
    if values["anonymous"]:
        options["anonymous"] = True
    digests = {"recipe-data": reports[0].recipe_digest}
    if reports[0].plugins:
        options["plugin"] = list(dict.fromkeys(plugin for report in reports for plugin in report.plugins))
        names = (reference.partition("@sha256:") for reference in options["plugin"])
        digests.update({f"plugin/{name}": digest for name, _, digest in names})
    for name in ("profile", "waivers"):
        if values[name] is not None and values[name] != document_locations.STDOUT:
            digests[name] = sha256(document_locations.read_document(values[name], values=values))
    return evidence_files(files, page, {"query": query_words(values), "options": options}, digests)


class NodeSource(Record):
    """A node: its name, its snapshot, and the snapshot's document."""

    node: str
    snapshot: Snapshot
    document: bytes


class EvidenceSources(Record):
    """All nodes; the readings of their cluster if they share some; sentences about nodes without a snapshot."""

    nodes: tuple[NodeSource, ...]
    is_folder: bool = False
    cluster: Snapshot | None = None
    cluster_document: bytes = b""
    unanswered: tuple[str, ...] = ()

    def complete(self, snapshot: Snapshot) -> Snapshot:
        """A node's snapshot with the readings of the cluster."""
        if self.cluster is None:
            return snapshot
        from eidos.fleet.results import with_cluster

        return with_cluster(snapshot, self.cluster)

    def names(self) -> list[str]:
        """The names of the nodes, none twice."""
        names: dict[str, None] = {}
        for source in self.nodes:
            name, number = source.node, 1
            while name in names:
                number += 1
                name = f"{source.node}-{number}"
            names[name] = None
        return list(names)


def read_sources(values: Values, pseudonyms: Pseudonyms | None) -> EvidenceSources:
    """The snapshots that the operand names, without identities if that is what the flags say."""
    location = values.get("node")
    if location is not None and location != THIS_HOST:
        refuse_host_flags(values, f"cannot be used with {location}", "remove one of the two")
        from contextlib import ExitStack

        with ExitStack() as stack:
            folder = document_locations.snapshot_folder(location, values, stack)
            if folder is not None:
                sources = _read_folder(folder, pseudonyms)
            else:
                snapshot, document = document_locations.read_snapshot(location, values)
                sources = EvidenceSources((NodeSource(snapshot.node, snapshot, document),))
    else:
        snapshot = read_host("evidence", values, collectors.list_collectors(), time.monotonic() + values["timeout"], volatile=True)
        snapshot = replace(snapshot, plugins=tuple(plugin.reference() for plugin in values["plugin"]))
        sources = EvidenceSources((_written(snapshot.node, snapshot),))
    return sources if pseudonyms is None else _anonymize(sources, pseudonyms)


def _anonymize(sources: EvidenceSources, pseudonyms: Pseudonyms) -> EvidenceSources:
    nodes = []
    for source in sources.nodes:
        snapshot = pseudonyms.anonymize(source.snapshot, source.node)
        nodes.append(_written(pseudonyms.node_name(source.node), snapshot))
    if sources.cluster is None:
        return replace(sources, nodes=tuple(nodes))
    cluster = _written("", pseudonyms.anonymize(sources.cluster))
    return replace(sources, nodes=tuple(nodes), cluster=cluster.snapshot, cluster_document=cluster.document)


def _written(node: str, snapshot: Snapshot) -> NodeSource:
    """A snapshot as it is read from its own document: what is judged is what an auditor has, in the order of that."""
    from eidos.workflow import parse_snapshot

    document = serialize(snapshot.to_tree(), "yaml").encode()
    return NodeSource(node, parse_snapshot(document), document)


def _read_folder(folder: str, pseudonyms: Pseudonyms | None) -> EvidenceSources:
    """The snapshots of a folder, as 'eidos fleet' writes it. Raises NotFound without any, and for a file what reading it raises."""
    from eidos.cli.fleet_check import read_saved_cluster, snapshot_files
    from eidos.fleet import results

    nodes: list[NodeSource] = []
    for name in snapshot_files(folder, folder):
        snapshot, document = document_locations.read_listed_snapshot(folder, name)
        nodes.append(NodeSource(snapshot.node or os.path.splitext(name)[0], snapshot, document))
    summary = os.path.join(folder, f"{results.SUMMARY}.yaml")
    unanswered = _unanswered(summary, pseudonyms) if os.path.lexists(summary) else ()
    cluster = read_saved_cluster(folder)
    if cluster is None:
        return EvidenceSources(tuple(nodes), True, unanswered=unanswered)
    return EvidenceSources(tuple(nodes), True, *cluster, unanswered)


def _unanswered(path: str, pseudonyms: Pseudonyms | None) -> tuple[str, ...]:
    """A sentence for each node that the summary of a fleet has no snapshot of."""
    from eidos.formats import from_text
    from eidos.model.tree_reader import ANY_SCALAR, TreeReader

    document_locations.require_file(path)
    sentences = []
    summary = TreeReader(from_text(document_locations.read_document(path), path), path, text_types=ANY_SCALAR)
    for entry in summary.mappings("unanswered"):
        node, why = entry.text("node"), entry.text("why")
        if pseudonyms is not None:
            pseudonyms.add_nodes((node,))
            node, why = pseudonyms.node_name(node), pseudonyms.clean(why)
        sentences.append(f"no snapshot of {node}: {why or 'unknown reason'}")
    return tuple(sentences)
