"""``eidos manifest``: what runs eidos in a cluster, for kubectl.

Knows the flags of the verb, how they combine, and how manifests are printed; must not know what a manifest holds.
"""

from __future__ import annotations

import time

from eidos import collectors, log
from eidos.cli import cluster_options, document_locations
from eidos.cli.manifest_flags import (
    AGENT_OPTIONS,
    COMMON_OPTIONS,
    RIGHTS,
    SERVER_OPTIONS,
    flag_option,
    parse_output,
    require_configmap,
    warn_of_share,
)
from eidos.cli.options import FORMAT, HELP, LOGGING, PLUGIN, Operand, Verb
from eidos.errors import InvalidInput, NotFound
from eidos.formats import serialize, to_yaml
from eidos.formats.table import pad, wrap
from eidos.kube import labels
from eidos.manifest import kubernetes_fields
from eidos.model.plugin import carried_entries
from eidos.model.record import replace
from eidos.terminal import BOLD, paint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Callable

    from eidos.cli.options import Values
    from eidos.manifest import AgentOptions, ServerOptions

AGENT, SERVER = "agent", "server"

#: Columns of a comment.
COMMENT_WIDTH = 118

VERB = Verb(
    "manifest",
    (
        (
            "Print manifests for kubectl. agent: a Job that reads a node and writes its snapshot to a ConfigMap, or a DaemonSet that "
            "watches each node. server: a Deployment of 'eidos serve'. No image has to be built: a ConfigMap carries the program. "
            "Nothing is applied."
        ),
        (
            "By default the agent drops every capability and shares no namespace with the host; use --explain-privileges to see what each "
            "mount and privilege is for. The server meets the restricted pod security standard."
        ),
    ),
    (
        replace(PLUGIN, help="add collectors, checks and data of this folder to the agent, which you trust; repeatable"),
        flag_option(
            "output",
            "write manifests to this file, - for standard output. For the agent also or only cm://NAMESPACE/NAME or "
            "secret://NAMESPACE/NAME: where the agent writes, with {node} for the node name (default cm://NAMESPACE/eidos-{node})",
            "FILE",
            short="o",
            convert=parse_output,
            multiple=True,
            split_commas=False,
            completion="file",
        ),
        FORMAT,
        *COMMON_OPTIONS,
        *AGENT_OPTIONS,
        *SERVER_OPTIONS,
        *cluster_options.CLUSTER,
        *LOGGING,
        HELP,
    ),
    (
        Operand("kind", "what to deploy", {AGENT: "a Job that reads nodes", SERVER: "'eidos serve'"}),
        Operand("what", "the path or image of --delivery", required=False),
    ),
    examples=(
        ("eidos manifest agent --create-namespace | kubectl apply --server-side -f -", "read one node, now"),
        ("eidos manifest agent --per node --node-selector nvidia.com/gpu.present=true", "a Job for each GPU node"),
        ("eidos manifest agent --schedule '0 3 * * *' --nodes gpu-01,gpu-02 --per node", "every night, two nodes"),
        ("eidos manifest agent --delivery hostpath /opt/eidos/eidos.pyz --host-pid", "run a file that is on the nodes"),
        ("eidos manifest agent --watch --monitoring", "watch every node, with alerts and a dashboard"),
        ("eidos manifest agent --output 'secret://eidos/eidos-{node}'", "write to Secrets"),
        ("eidos manifest agent --explain-privileges", "list privileges and what they are for"),
        ("eidos manifest server --monitoring --ingress eidos.example.com", "deploy the API with monitoring and an Ingress"),
    ),
    notes=("Exit status: 0 printed; 1 the cluster could not be reached or the output could not be written; 2 wrong usage.",),
)


def run(values: Values) -> int:
    """Print the manifests."""
    kind = values["kind"]
    _refuse_flags_of_other_kind(kind, values)
    files = [location for location in values["output"] if "://" not in location]
    targets = [location for location in values["output"] if "://" in location]
    for locations in (files, targets):
        if len(locations) > 1:
            raise InvalidInput(f"--output: {locations[0]!r} and {locations[1]!r} are the same kind of output", "keep one of the two")
    output = files[0] if files else document_locations.STDOUT
    document_locations.check_writable(output)
    explains = kind == AGENT and values["explain-privileges"]
    fmt = document_locations.choose_format(values["format"], output, "table" if explains else "yaml")
    if fmt == "table" and not explains:
        raise InvalidInput("--format table needs --explain-privileges", "use --format yaml or json")
    if targets and kind == SERVER:
        raise InvalidInput(f"--output: {targets[0]!r} is not a file; the server writes no document")
    options = _agent_options(values, targets, explains) if kind == AGENT else _server_options(values)
    from eidos import manifest

    if explains and not isinstance(options, manifest.ServerOptions):
        privileges = manifest.explain_privileges(options)
        if fmt == "table":
            text = document_locations.fit_table(output, lambda width, colour: _privileges_table(privileges, width, colour))
        else:
            text = serialize(privileges, fmt)
    else:
        if isinstance(options, manifest.ServerOptions):
            trees = manifest.server_manifests(options)
        else:
            trees = manifest.agent_manifests(options)
            warn_of_share(options)
        text = _manifests_text(trees, manifest.manifest_notes(options), fmt)
    document_locations.write_document(output, text)
    return 0


def _refuse_flags_of_other_kind(kind: str, values: Values) -> None:
    options, other = (SERVER_OPTIONS, SERVER) if kind == AGENT else ((PLUGIN, *AGENT_OPTIONS), AGENT)
    for option in options:
        if values.origins.get(option.name) == option.flag:
            raise InvalidInput(
                f"{option.flag} is a flag of 'eidos manifest {other}'", f"run 'eidos manifest --help' for the flags of {kind}"
            )


def _common_fields(values: Values, needs_program: bool) -> dict[str, Any]:
    """The fields that agent and server share, with the program as it is delivered."""
    how, argument = values["delivery"]
    require_configmap(values["plugin"], how)
    operand = values.get("what")
    if operand and argument:
        raise InvalidInput(f"--delivery: both {argument!r} and {operand!r} are given", "keep one of the two")
    argument = argument or operand or ""
    fields: dict[str, Any] = {
        "create_namespace": values["create-namespace"],
        "delivery": how,
        "image": values["image"] or "",
        "memory": values["memory"] or "",
        "kubernetes_minor": values["kubernetes-version"],
        "monitoring": values["monitoring"],
        "monitoring_labels": _parse("--monitoring-label", labels.parse_selector, values["monitoring-label"]),
    }
    namespace = values["namespace"] or values["kube-namespace"]
    if namespace:
        fields["namespace"] = labels.check_dns_label(namespace, "namespace")
    if how != "configmap" and values["program"]:
        raise InvalidInput(f"--program cannot be used with --delivery {how}", "remove one of the two")
    if how == "image" and values["image"]:
        raise InvalidInput("--image cannot be used with --delivery image, which has its own Python", "remove --image")
    if how == "hostpath":
        fields["program"] = _parse("--delivery", kubernetes_fields.check_host_path, argument or "/opt/eidos/eidos.pyz")
    elif how == "image":
        if not argument:
            raise InvalidInput("--delivery image needs an image", "write --delivery image=registry.example.com/eidos:1.2.3")
        fields["program"] = _parse("--delivery", kubernetes_fields.check_image, argument)
    elif argument and values["program"]:
        raise InvalidInput(f"--program: both {values['program']!r} and {argument!r} are given", "keep one of the two")
    elif needs_program:
        from eidos.manifest import payload

        path = values["program"] or argument or payload.running_program()
        fields["program"] = payload.read_program(path, values["kind"], carried_entries(values["plugin"]))
    return fields


def _parse(flag: str, parse: Callable[[Any], Any], value: Any) -> Any:
    """``value`` parsed; InvalidInput names the flag."""
    try:
        return parse(value)
    except InvalidInput as fault:
        raise InvalidInput(f"{flag}: {fault.message}", fault.hint) from fault


def _agent_options(values: Values, targets: Sequence[str], explains: bool) -> AgentOptions:
    from eidos.manifest import AgentOptions

    fields = _common_fields(values, not explains)
    selector = _parse("--node-selector", labels.parse_selector, values["node-selector"])
    per, label = values["per"] or ("", "")
    for name, unit in (("nodes", "node"), ("groups", "group")):
        if values[name] and per != unit:
            raise InvalidInput(f"--{name} needs --per {unit}{'=LABEL' if unit == 'group' else ''}")
    names: tuple[str, ...] = tuple(dict.fromkeys(values["nodes"] if per == "node" else values["groups"]))
    also = [f"{label}={selector[label]}"] if label in selector else []
    for value in names if label else ():
        _parse("--groups", labels.parse_selector, [f"{label}={value}", *also])
    if per and not names and not explains:
        names = _list_in_cluster(values, selector, label)
    return AgentOptions(
        **fields,
        nodes=names if per == "node" else (),
        group=(label, names) if per == "group" else ("", ()),
        node_selector=selector,
        tolerations=tuple(_parse("--toleration", labels.parse_toleration, taint) for taint in values["toleration"]) or None,
        schedule=values["schedule"] or "",
        output=targets[0] if targets else "",
        gpu=values["gpu"],
        rights=tuple(name for name in RIGHTS if values[name]),
        without=tuple(values["without"]),
        watch=values["watch"],
        interval_s=values["interval"],
        marks=tuple(values["mark-node"]),
        plugins=tuple(plugin.reference() for plugin in values["plugin"]),
        plugin_collectors=tuple(filter(collectors.is_added, collectors.list_collectors())),
    )


def _server_options(values: Values) -> ServerOptions:
    from eidos.manifest import ServerOptions

    return ServerOptions(
        **_common_fields(values, True),
        otlp=values["otlp"] or "",
        issuer=values["tls-issuer"] or ("", ""),
        mesh=values["mesh"] or "",
        ingress=values["ingress"] or "",
        ingress_class=values["ingress-class"] or "",
        apparmor=not values["no-apparmor"],
    )


def _list_in_cluster(values: Values, selector: dict[str, str], label: str) -> tuple[str, ...]:
    """The cluster's nodes that ``selector`` matches, or the values that ``label`` has on them, sorted."""
    hint = f"list them with --{'groups' if label else 'nodes'}, or name the cluster with --kubeconfig"
    query = ",".join([*(f"{key}={value}" for key, value in selector.items()), *([label] if label else [])])
    try:
        client = cluster_options.connect(values, time.monotonic() + values["timeout"])
    except NotFound as absent:
        raise InvalidInput(f"--per: cannot list the nodes of the cluster: {absent.message}", hint) from absent
    try:
        metadata = [node["metadata"] for node in client.list_objects("/api/v1/nodes", label_selector=query or None)]
    finally:
        client.close()
    if label:
        names = {str(node["labels"][label]) for node in metadata if node.get("labels", {}).get(label)}
    else:
        names = {str(node["name"]) for node in metadata}
    if not names:
        raise InvalidInput(f"--per: no node matches {query or 'anything'}", "run 'kubectl get nodes --show-labels' to list nodes")
    log.info(f"{len(names)} {'groups' if label else 'nodes'}: {', '.join(sorted(names))}")
    from eidos.model.snapshot import natural_key

    return tuple(sorted(names, key=natural_key))


def _manifests_text(trees: Sequence[dict[str, Any]], notes: Sequence[str], fmt: str) -> str:
    """The manifests as a stream of YAML documents below the notes, or as one List in JSON."""
    if fmt == "json":
        for note in notes:
            log.info(note)
        return serialize({"apiVersion": "v1", "kind": "List", "items": trees}, fmt)
    lines = [line for note in notes for line in (*wrap(note, COMMENT_WIDTH, 99), "")]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines[:-1]) + "".join(f"---\n{to_yaml(tree)}" for tree in trees)


def _privileges_table(privileges: Sequence[dict[str, Any]], width: int, colour: bool = False) -> str:
    """What each fact needs, as a table."""
    rows: list[tuple[str, ...]] = [("FACT", "NEEDS", "GIVEN", "LOST WITHOUT")]
    for entry in privileges:
        flag = entry["flag"] or "--without"
        rows.append((entry["fact"], entry["needs"], "yes" if entry["given"] else f"no: {flag}", entry["without"]))
    fact, granted = (max(len(row[column]) for row in rows) + 2 for column in (0, 2))
    room = max(60, (width or COMMENT_WIDTH) - fact - granted)
    widths = (fact, room * 2 // 5, granted, room - room * 2 // 5)
    lines = []
    for row in rows:
        cells = [wrap(cell, cell_width - 2, 99) for cell, cell_width in zip(row, widths)]
        for number in range(max(map(len, cells))):
            parts = (cell[number] if number < len(cell) else "" for cell in cells)
            lines.append("".join(pad(part, cell_width) for part, cell_width in zip(parts, widths)).rstrip(" "))
    return "\n".join([paint(lines[0], BOLD, colour), *lines[1:]]) + "\n"
