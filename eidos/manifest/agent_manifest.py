"""The agent's manifests: one account with few rights, and a Job for each node, for each group of nodes, or for one.

Knows which parts of ``templates/kubernetes/agent.yaml`` go with what is asked, and what stands for its placeholders; must not know
clusters: which nodes there are, the caller says.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.manifest import kubernetes_fields
from eidos.manifest.manifest_options import shown
from eidos.manifest.pieces import Pieces, template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from eidos.manifest.manifest_options import Agent, Server

    Tree = dict[str, Any]

#: How many characters the name of a Job may have, which becomes a label of its Pods, and that of a CronJob, to which a time is added
#: (Kubernetes documentation, "Jobs", "CronJob").
JOB, CRON_JOB = 63, 52

#: What the kubelet puts in the place of the node's name, without a shell (Kubernetes documentation, "Define Dependent
#: Environment Variables").
NODE = "$(NODE_NAME)"

#: The resource in which a kind of place keeps documents.
RESOURCES = {"cm": "configmaps", "secret": "secrets"}


def agent(asked: Agent) -> list[Tree]:
    """The manifests, in the order to apply them; Jobs come last, in the order of ``nodes`` or of the group's values.

    Raises InvalidInput for what does not go together.
    """
    _check(asked)
    pieces = prepared(asked)
    trees: list[Tree] = []
    for piece in pieces.order:
        if piece == "job":
            trees += [pieces.filled(piece, target) for target in _targets(asked)]
        elif piece in pieces and (pieces.values["rules"] or not piece.startswith("cluster-")):
            trees.append(pieces.filled(piece))
    return trees


def prepared(asked: Agent) -> Pieces:
    """The pieces that go with what is asked."""
    left = chosen(asked)
    return Pieces("agent", _parts(asked, left), _values(asked, left))


def facts() -> dict[str, str]:
    """What ``without`` takes: each fact, and each group of several."""
    known: dict[str, str] = {}
    for name in template("agent")["facts"]:
        if "." in name:
            group = name.partition(".")[0]
            known.setdefault(group, f"every {group}.* fact")
        known[name] = "one fact"
    return known


def chosen(asked: Agent) -> dict[str, Any]:
    """The facts that are read, with what each needs; InvalidInput for a name that is none."""
    known = facts()
    for name in asked.without:
        if name not in known:
            from eidos.suggest import did_you_mean

            raise InvalidInput(f"{name!r} is none of {', '.join(known)}", did_you_mean(name, known))
    everything: dict[str, Any] = template("agent")["facts"]
    left = {name: needs for name, needs in everything.items() if not _named(name, asked.without)}
    if not left:
        raise InvalidInput("--without leaves nothing to read", f"there are {', '.join(everything)}")
    return left


def privileges(asked: Agent) -> list[Tree]:
    """For each fact what it needs, whether these manifests give it, which flag would ("" for a fact that is left out), and what is lost."""
    left = chosen(asked)
    parts = set(_parts(asked, left))
    mounts = set(_mounts(left))
    place = dict(zip(("output.resource", "output.namespace"), _place(asked)[:2]))
    rows = []
    for row in template("agent")["privileges"]:
        part, fact = row.get("part", ""), row["fact"]
        given = (fact in left or fact not in facts()) and part in {"", *parts} and mounts.issuperset(row.get("mounts", ()))
        needs = row["needs"]
        for name, value in place.items():
            needs = needs.replace(f"@{{{name}}}", value)
        flag = part.replace("gpu-", "gpu ", 1) if fact in left else ""
        rows.append({"fact": fact, "needs": needs, "given": given, "flag": f"--{flag}" if flag else "", "without": row["without"]})
    return rows


def _check(asked: Agent) -> None:
    if asked.run:
        kubernetes_fields.label(asked.run, "run")
    if asked.gpu[0] == "driver-root" and "privileged" not in asked.rights:
        hint = "add --privileged, or take --gpu runtime-class or --gpu cdi, which need no such right"
        raise InvalidInput("--gpu driver-root: only a privileged container may open the driver's device nodes", hint)
    taken = {template("agent")["mounts"][mount]["path"] for mount in _mounts(chosen(asked))}
    if asked.gpu[0] == "driver-root" and asked.gpu[1] in taken:
        raise InvalidInput(f"--gpu driver-root: {asked.gpu[1]} is mounted already, and no driver's", "it is usually /run/nvidia/driver")
    several = len(asked.nodes) > 1 or len(asked.group[1]) > 1
    if several and asked.output and "{node}" not in asked.output:
        raise InvalidInput(
            f"--output: {asked.output!r}: {max(len(asked.nodes), len(asked.group[1]))} Jobs would write one document over the other",
            "put {node} into the name",
        )


def _parts(asked: Agent, left: Mapping[str, Any]) -> Iterator[str]:
    if asked.create_namespace:
        yield "create-namespace"
    yield f"delivery-{asked.delivery}"
    if asked.nodes:
        yield "node"
    elif asked.group[1]:
        yield "group"
    if asked.schedule:
        yield "schedule"
    if "gpu" in left:
        yield f"gpu-{asked.gpu[0]}"
    if "dbus" in _mounts(left):
        yield "bus"
    for right in asked.rights:
        yield f"{right}-before-1.30" if right == "unconfined" and asked.kubernetes < 30 else right


def _values(asked: Agent, left: Mapping[str, Any]) -> Tree:
    """What stands for the placeholders that every manifest shares."""
    mounts = {mount: template("agent")["mounts"][mount] for mount in _mounts(left)}
    skipped = [fact for fact in template("agent")["facts"] if fact not in left]
    resource, namespace, output = _place(asked)
    values: Tree = {
        **program("agent", asked),
        "name": _name(asked),
        "namespace": asked.namespace,
        "output": output,
        "output.shown": output.replace(NODE, "<node>"),
        "output.namespace": namespace,
        "output.resource": resource,
        "rules": list(_rules(left.values())),
        "root": ["--root=/host"] if mounts else [],
        "skip": [f"--skip={','.join(skipped)}"] if skipped else [],
        "timeout": asked.timeout,
        "deadline": asked.deadline,
        "schedule": asked.schedule,
        "gpu": asked.gpu[1],
        "host-volumes": [{"name": mount, "hostPath": dict(there)} for mount, there in mounts.items()],
        "host-mounts": [_mounted(mount, there, asked) for mount, there in mounts.items()],
    }
    said = {"run": asked.run, "node-selector": asked.node_selector, "tolerations": list(asked.tolerations or ())}
    return {**values, **{key: value for key, value in said.items() if value}}


def program(kind: str, asked: Agent | Server) -> Tree:
    """What stands for the placeholders of the program, its image and its memory; ``kind`` is the template's name."""
    from eidos import __version__

    values: Tree = {"version": __version__.replace("+", "_"), "memory": asked.memory or "256Mi"}
    wanted = template(kind)["pieces"]["container"]["resources"]["requests"]["memory"]
    if kubernetes_fields.size(values["memory"]) < kubernetes_fields.size(wanted):
        raise InvalidInput(f"--memory: {asked.memory} is less than the container asks for", f"it must be {wanted} or more")
    values["image"] = asked.image or template("agent")["image"]
    if isinstance(asked.program, bytes):
        import binascii

        values["program.data"] = binascii.b2a_base64(asked.program, newline=False).decode()
    elif asked.delivery == "image":
        values["image"] = asked.program
    else:
        values["program.path"] = asked.program
    values["program.digest"] = shown(asked.program)
    run = getattr(asked, "run", "")
    values["program.name"] = f"eidos-agent-{run or values['program.digest']}"
    return values


def _mounted(name: str, there: Tree, asked: Agent) -> Tree:
    """A mount of the container; what is mounted below it is read-only, too, where the API can say so (1.30)."""
    tree = {"name": name, "mountPath": f"/host{there['path']}", "readOnly": True}
    if asked.kubernetes >= 30 and there["type"] == "Directory":
        tree["recursiveReadOnly"] = "IfPossible"
    return tree


def _name(asked: Agent) -> str:
    return f"eidos-agent-{asked.run}" if asked.run else "eidos-agent"


def _targets(asked: Agent) -> Iterator[Tree]:
    """For each Job, what stands for its own placeholders."""
    name = _name(asked)
    most = CRON_JOB if asked.schedule else JOB
    if not asked.nodes and not asked.group[1]:
        yield {"job": kubernetes_fields.fitted(name, most)}
    for node in asked.nodes:
        yield {
            "job": kubernetes_fields.fitted(f"{name}-{node}", most),
            "node": node,
            "node.label": node if len(node) < 64 else kubernetes_fields.fitted(node, 63),
        }
    label, values = asked.group
    for value in () if asked.nodes else values:
        yield {"job": kubernetes_fields.fitted(f"{name}-{value}", most), "group.label": label, "group.value": value}


def _place(asked: Agent) -> tuple[str, str, str]:
    """The resource and the namespace of the document, and where it is written, as the command line says it."""
    output = asked.output or f"cm://{asked.namespace}/eidos-{asked.run + '-' if asked.run else ''}{{node}}"
    scheme, _, rest = output.partition("://")
    space, _, name = rest.partition("/")
    if scheme not in RESOURCES or not name:
        raise InvalidInput(
            f"--output: {output!r} is no place for a document", "write it like secret://eidos/eidos-{node}, or cm://eidos/eidos-{node}"
        )
    longest = max(asked.nodes, key=len, default="node")
    try:
        kubernetes_fields.label(space, "namespace")
        kubernetes_fields.subdomain(name.replace("{node}", longest), f"name of a {'ConfigMap' if scheme == 'cm' else 'Secret'}")
    except InvalidInput as fault:
        raise InvalidInput(f"--output: {output!r}: {fault.message}", fault.hint) from fault
    return RESOURCES[scheme], space, output.replace("{node}", NODE)


def _mounts(left: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(mount for needs in left.values() for mount in needs.get("mounts", ())))


def _rules(needs: Iterable[Mapping[str, Any]]) -> Iterator[Tree]:
    """The rules of these facts: one for each resource, with all its verbs."""
    verbs: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for rule in (rule for need in needs for rule in need.get("rules", ())):
        for group in rule["apiGroups"]:
            verbs.setdefault((group, tuple(rule["resources"])), []).extend(rule["verbs"])
    for (group, resources), words in verbs.items():
        yield {"apiGroups": [group], "resources": list(resources), "verbs": sorted(set(words))}


def _named(name: str, words: Iterable[str]) -> bool:
    return any(name == word or name.startswith(f"{word}.") for word in words)
