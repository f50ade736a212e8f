"""The snapshots that evidence is about: of this host, of a document, or of a folder that ``eidos fleet`` wrote.

Knows where snapshots come from, and what a folder holds besides them; must not know how a node is judged, nor what becomes of it.
"""

from __future__ import annotations

import os
import time

from eidos import collectors
from eidos.cli import document_locations
from eidos.cli.host_snapshot import read_host
from eidos.errors import InvalidInput, NotFound, Unavailable, os_error_reason
from eidos.formats import serialize
from eidos.model.record import Record, replace
from eidos.model.snapshot import Snapshot, natural_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values
    from eidos.fleet.pseudonyms import Pseudonyms

#: What names the host that this runs on.
THIS_HOST = "localhost"

#: Extensions of the snapshots in a folder.
_EXTENSIONS = (".yaml", ".yml", ".json")


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
        flags = [flag for name in ("root", "smi", "units") if (flag := values.origins.get(name, "")).startswith("--")]
        if flags:
            raise InvalidInput(f"{', '.join(flags)} cannot be used with {location}", "remove one of the two")
        if not document_locations.is_remote(location) and os.path.isdir(location):
            sources = _read_folder(location, pseudonyms)
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
    from eidos.fleet.results import CLUSTER as CLUSTER_NAME
    from eidos.fleet.results import SUMMARY

    try:
        names = sorted((name for name in os.listdir(folder) if name.endswith(_EXTENSIONS) and name[:1] != "."), key=natural_key)
    except OSError as fault:
        raise Unavailable(f"{folder}: {os_error_reason(fault)}") from fault
    own = {f"{name}.yaml" for name in (SUMMARY, CLUSTER_NAME)}
    nodes: list[NodeSource] = []
    for name in names:
        if name not in own:
            snapshot, document = document_locations.read_snapshot(os.path.join(folder, name))
            nodes.append(NodeSource(snapshot.node or os.path.splitext(name)[0], snapshot, document))
    if not nodes:
        raise NotFound(f"{folder}: no snapshots in this folder", "name a folder of snapshots, such as one that 'eidos fleet' wrote")
    unanswered = _unanswered(os.path.join(folder, f"{SUMMARY}.yaml"), pseudonyms) if f"{SUMMARY}.yaml" in names else ()
    if f"{CLUSTER_NAME}.yaml" not in names:
        return EvidenceSources(tuple(nodes), True, unanswered=unanswered)
    cluster, document = document_locations.read_snapshot(os.path.join(folder, f"{CLUSTER_NAME}.yaml"))
    return EvidenceSources(tuple(nodes), True, cluster, document, unanswered)


def _unanswered(path: str, pseudonyms: Pseudonyms | None) -> tuple[str, ...]:
    """A sentence for each node that the summary of a fleet has no snapshot of."""
    from eidos.formats import from_text
    from eidos.model.tree_reader import ANY_SCALAR, TreeReader

    sentences = []
    summary = TreeReader(from_text(document_locations.read_document(path), path), path, text_types=ANY_SCALAR)
    for entry in summary.mappings("unanswered"):
        node, why = entry.text("node"), entry.text("why")
        if pseudonyms is not None:
            pseudonyms.add_nodes((node,))
            node, why = pseudonyms.node_name(node), pseudonyms.clean(why)
        sentences.append(f"no snapshot of {node}: {why or 'unknown reason'}")
    return tuple(sentences)
