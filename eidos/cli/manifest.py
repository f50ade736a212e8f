"""``eidos manifest``: what runs eidos in a cluster, for kubectl.

Knows the flags of the verb, what they mean together, and how manifests are printed; must not know what a manifest holds.
"""

from __future__ import annotations

import time

from eidos import log
from eidos.cli import cluster_options, document_locations
from eidos.cli.manifest_flags import OF_AGENT, OF_BOTH, OF_SERVER, RIGHTS, option, place
from eidos.cli.options import FORMAT, HELP, LOGGING, Operand, Verb
from eidos.errors import InvalidInput, NotFound
from eidos.kube import labels
from eidos.manifest import kubernetes_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Callable

    from eidos.cli.options import Values
    from eidos.manifest import AgentOptions, ServerOptions

AGENT, SERVER = "agent", "server"

#: Columns of a comment.
COLUMNS = 118

VERB = Verb(
    "manifest",
    (
        (
            "Print manifests for kubectl: of the agent, a Job that reads a node and writes its snapshot into a ConfigMap, or of the "
            "server, a Deployment of 'eidos serve'. No image has to be built: the program travels in a ConfigMap. Nothing is applied."
        ),
        (
            "The agent drops every capability and shares no namespace with its host unless you ask for it; --explain-privileges says what "
            "each mount and right is for. The server keeps to the restricted pod security standard."
        ),
    ),
    (
        option(
            "output",
            "write the manifests to this file; - is standard output. For the agent also, or alone, cm://NAMESPACE/NAME or "
            "secret://NAMESPACE/NAME: where it writes, {node} in it being the node (default: cm://NAMESPACE/eidos-{node})",
            "FILE",
            short="o",
            convert=place,
            many=True,
            commas=False,
            completes="file",
        ),
        FORMAT,
        *OF_BOTH,
        *OF_AGENT,
        *OF_SERVER,
        *cluster_options.CLUSTER,
        *LOGGING,
        HELP,
    ),
    (
        Operand("kind", "whose manifests", {AGENT: "a Job that reads nodes", SERVER: "'eidos serve'"}),
        Operand("what", "the path or the image of --delivery", required=False),
    ),
    examples=(
        ("eidos manifest agent --create-namespace | kubectl apply --server-side -f -", "read one node, now"),
        ("eidos manifest agent --per node --node-selector nvidia.com/gpu.present=true", "a Job for each GPU node"),
        ("eidos manifest agent --schedule '0 3 * * *' --nodes gpu-01,gpu-02 --per node", "every night, two nodes"),
        ("eidos manifest agent --delivery hostpath /opt/eidos/eidos.pyz --host-pid", "with the file that lies on the nodes"),
        ("eidos manifest agent --output 'secret://eidos/eidos-{node}'", "into Secrets"),
        ("eidos manifest agent --explain-privileges", "what each right is for"),
        ("eidos manifest server --monitoring --ingress eidos.example.com", "the API, watched, and reached from outside"),
    ),
    notes=("Exit status: 0 printed, 1 the cluster or the place could not be reached, 2 wrong usage.",),
)


def run(values: Values) -> int:
    """Print the manifests."""
    kind = values["kind"]
    _belongs(kind, values)
    places = [place for place in values["output"] if "://" not in place]
    targets = [place for place in values["output"] if "://" in place]
    for several in (places, targets):
        if len(several) > 1:
            raise InvalidInput(f"--output: {several[0]!r} and {several[1]!r}: one is enough")
    where = places[0] if places else document_locations.STDOUT
    document_locations.check(where)
    explains = kind == AGENT and values["explain-privileges"]
    fmt = document_locations.format_for(values["format"], where, "table" if explains else "yaml")
    if fmt == "table" and not explains:
        raise InvalidInput("--format: manifests are yaml or json", "with --explain-privileges there is a table")
    if targets and kind == SERVER:
        raise InvalidInput(f"--output: {targets[0]!r} is no file; the server writes no document")
    from eidos import manifest

    options = _agent_options(values, targets, explains) if kind == AGENT else _server_options(values)
    if explains and not isinstance(options, manifest.ServerOptions):
        document_locations.write(where, _rows(manifest.explain_privileges(options), fmt, document_locations.width(where)))
        return 0
    trees = manifest.server_manifests(options) if isinstance(options, manifest.ServerOptions) else manifest.agent_manifests(options)
    document_locations.write(where, _printed(trees, manifest.manifest_notes(options), fmt))
    return 0


def _belongs(kind: str, values: Values) -> None:
    """Refuse a flag of the other one."""
    others, other = (OF_SERVER, SERVER) if kind == AGENT else (OF_AGENT, AGENT)
    for row in others:
        if values.where.get(row.name) == row.flag:
            raise InvalidInput(f"{row.flag} is for 'eidos manifest {other}'", f"'eidos manifest --help' says what there is for {kind}")


def _common(values: Values, needs_program: bool) -> dict[str, Any]:
    """What both are asked: the options, and the program as it is delivered."""
    how, argument = values["delivery"]
    said = values.get("what")
    if said and argument:
        raise InvalidInput(f"--delivery: {argument!r} and {said!r}: one is enough")
    argument = argument or said or ""
    common: dict[str, Any] = {
        "create_namespace": values["create-namespace"],
        "delivery": how,
        "image": values["image"] or "",
        "memory": values["memory"] or "",
        "kubernetes_minor": values["kubernetes-version"],
    }
    named = values["namespace"] or values["kube-namespace"]
    if named:
        common["namespace"] = labels.check_dns_label(named, "namespace")
    if how != "configmap" and values["program"]:
        raise InvalidInput(f"--program: with --delivery {how} no file is carried", "leave one of the two out")
    if how == "image" and values["image"]:
        raise InvalidInput("--image is where Python comes from, and --delivery image brings its own", "leave --image out")
    if how == "hostpath":
        common["program"] = _of("--delivery", kubernetes_fields.check_host_path, argument or "/opt/eidos/eidos.pyz")
    elif how == "image":
        if not argument:
            raise InvalidInput("--delivery image needs the image", "write it like --delivery image=registry.example.com/eidos:1.2.3")
        common["program"] = _of("--delivery", kubernetes_fields.check_image, argument)
    elif argument and values["program"]:
        raise InvalidInput(f"--program: {values['program']!r} and {argument!r}: one is enough")
    elif needs_program:
        from eidos.manifest import payload

        common["program"] = payload.read_slim_program(values["program"] or argument or payload.running_program())
    return common


def _of(flag: str, read: Callable[[Any], Any], said: Any) -> Any:
    """What ``read`` makes of what a flag says; InvalidInput names the flag."""
    try:
        return read(said)
    except InvalidInput as fault:
        raise InvalidInput(f"{flag}: {fault.message}", fault.hint) from fault


def _agent_options(values: Values, targets: Sequence[str], explains: bool) -> AgentOptions:
    from eidos.manifest import AgentOptions

    common = _common(values, not explains)
    selector = _of("--node-selector", labels.parse_selector, values["node-selector"])
    what, label = values["per"] or ("", "")
    for name, wanted in (("nodes", "node"), ("groups", "group")):
        if values[name] and what != wanted:
            raise InvalidInput(f"--{name} goes with --per {wanted}{'=LABEL' if wanted == 'group' else ''}")
    found: tuple[str, ...] = tuple(dict.fromkeys(values["nodes"] if what == "node" else values["groups"]))
    also = [f"{label}={selector[label]}"] if label in selector else []
    for value in found if label else ():
        _of("--groups", labels.parse_selector, [f"{label}={value}", *also])
    if what and not found and not explains:
        found = _ask(values, selector, label)
    return AgentOptions(
        **common,
        nodes=found if what == "node" else (),
        group=(label, found) if what == "group" else ("", ()),
        node_selector=selector,
        tolerations=tuple(_of("--toleration", labels.parse_toleration, taint) for taint in values["toleration"]) or None,
        schedule=values["schedule"] or "",
        output=targets[0] if targets else "",
        gpu=values["gpu"],
        rights=tuple(name for name in RIGHTS if values[name]),
        without=tuple(values["without"]),
    )


def _server_options(values: Values) -> ServerOptions:
    from eidos.manifest import ServerOptions

    return ServerOptions(
        **_common(values, True),
        monitoring=values["monitoring"],
        monitoring_labels=_of("--monitoring-label", labels.parse_selector, values["monitoring-label"]),
        otlp=values["otlp"] or "",
        issuer=values["tls-issuer"] or ("", ""),
        mesh=values["mesh"] or "",
        ingress=values["ingress"] or "",
        ingress_class=values["ingress-class"] or "",
        apparmor=not values["no-apparmor"],
    )


def _ask(values: Values, selector: dict[str, str], label: str) -> tuple[str, ...]:
    """The cluster's nodes that ``selector`` matches, or the values that ``label`` has on them, sorted."""
    hint = f"name them with --{'groups' if label else 'nodes'}, or the cluster with --kubeconfig"
    wanted = ",".join([*(f"{key}={value}" for key, value in selector.items()), *([label] if label else [])])
    try:
        client = cluster_options.connect(values, time.monotonic() + values["timeout"])
    except NotFound as absent:
        raise InvalidInput(f"--per: the cluster says which nodes there are, and {absent.message}", hint) from absent
    try:
        metadata = [node["metadata"] for node in client.items("/api/v1/nodes", labels=wanted or None)]
    finally:
        client.close()
    found = {
        str(node["labels"][label]) if label else str(node["name"]) for node in metadata if not label or node.get("labels", {}).get(label)
    }
    if not found:
        raise InvalidInput(
            f"--per: no node of the cluster matches {wanted or 'anything'}", "'kubectl get nodes --show-labels' says what there is"
        )
    log.info(f"{len(found)} {'groups' if label else 'nodes'}: {', '.join(sorted(found))}")
    from eidos.model.snapshot import natural

    return tuple(sorted(found, key=natural))


def _printed(trees: Sequence[dict[str, Any]], notes: Sequence[str], fmt: str) -> str:
    """The manifests as a stream of YAML documents under what is to be said of them, or as one List."""
    from eidos import formats

    if fmt == "json":
        for note in notes:
            log.info(note)
        return formats.to_json({"apiVersion": "v1", "kind": "List", "items": trees})
    from eidos.formats.table import wrap

    lines = [line for note in notes for line in (*wrap(note, COLUMNS, 99), "")]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines[:-1]) + "".join(f"---\n{formats.to_yaml(tree)}" for tree in trees)


def _rows(rows: Sequence[dict[str, Any]], fmt: str, width: int) -> str:
    """What each fact needs: for people a table, else a tree."""
    from eidos import formats

    if fmt != "table":
        return {"yaml": formats.to_yaml, "json": formats.to_json}[fmt](list(rows))
    from eidos.formats.table import pad, wrap

    heads = ("FACT", "NEEDS", "GIVEN", "LOST WITHOUT")
    cells: list[tuple[str, ...]] = [heads]
    for row in rows:
        flag = row["flag"] or "--without"
        cells.append((row["fact"], row["needs"], "yes" if row["given"] else f"no: {flag}", row["without"]))
    fact, given = (max(len(row[column]) for row in cells) + 2 for column in (0, 2))
    room = max(60, (width or COLUMNS) - fact - given)
    widths = (fact, room * 2 // 5, given, room - room * 2 // 5)
    lines = []
    for cell_row in cells:
        wrapped = [wrap(cell, room - 2, 99) for cell, room in zip(cell_row, widths)]
        for at in range(max(map(len, wrapped))):
            line = "".join(pad(cell[at] if at < len(cell) else "", room) for cell, room in zip(wrapped, widths))
            lines.append(line.rstrip(" "))
    return "\n".join(lines) + "\n"
