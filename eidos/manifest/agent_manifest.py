"""The agent's manifests: one account with few rights, and a Job for each node, for each group of nodes, or for one, or a DaemonSet.

Knows which parts of ``templates/kubernetes/agent.yaml`` an option needs, and the values of its placeholders; must not know clusters:
the caller names the nodes.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.kube.labels import check_dns_label, check_dns_subdomain
from eidos.manifest import kubernetes_fields
from eidos.manifest.manifest_template import ManifestTemplate, read_template
from eidos.templates.tree_template import fill_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from eidos.manifest import AgentOptions, Program, ServerOptions
    from eidos.manifest.manifest_template import Tree

#: The longest name of a Job, which becomes a label of its Pods, and of a CronJob, to which a time is added (Kubernetes documentation,
#: "Jobs", "CronJob").
MAX_JOB_NAME, MAX_CRON_JOB_NAME = 63, 52

#: What the kubelet replaces with the node's name, without a shell (Kubernetes documentation, "Define Dependent Environment Variables").
NODE_VARIABLE = "$(NODE_NAME)"

#: Rights that share a namespace of the node with the agent.
NAMESPACE_RIGHTS = ("host-network", "host-ipc", "host-pid")

#: The right that mounts folders with keys and volumes in them.
HOST_FILES = "host-files"

#: What collectors of plug-ins get to see of the host: what those of eidos do, without services and modules.
PLUGIN_MOUNTS = {"mounts": ("proc", "sys", "os-release"), HOST_FILES: ("etc", "usr", "boot", "var-lib")}

#: Scheme of an output → the resource that stores it.
RESOURCES = {"cm": "configmaps", "secret": "secrets"}


def agent_manifests(options: AgentOptions) -> list[Tree]:
    """The manifests, in the order to apply them; Jobs come last, in the order of ``nodes`` or of the group's values.

    Raises InvalidInput for options that exclude one another.
    """
    _check(options)
    template = agent_template(options)
    trees: list[Tree] = []
    for piece in template.order:
        if piece == "job" and not options.watch:
            trees += [template.render(piece, values) for values in _job_values(options)]
        elif piece in template and (template.values["rules"] or not piece.startswith("cluster-")):
            trees.append(template.render(piece))
    return trees


def agent_template(options: AgentOptions) -> ManifestTemplate:
    """The agent's template with the parts and values that the options need."""
    facts = selected_facts(options)
    template = ManifestTemplate("agent", required_parts(options, facts), _values(options, facts))
    if options.watch and options.monitoring:
        template.add_monitoring(f"{template.values['name']}.{options.namespace}.json", options.monitoring_labels)
    return template


def fact_choices() -> dict[str, str]:
    """The valid values of ``without``, each with its help: every fact, and every group of several."""
    choices: dict[str, str] = {}
    for name in read_template("agent")["facts"]:
        if "." in name:
            group = name.partition(".")[0]
            choices.setdefault(group, f"every {group}.* fact")
        choices[name] = "one fact"
    return choices


def selected_facts(options: AgentOptions) -> dict[str, Any]:
    """The facts that are read, with what each needs. Raises InvalidInput for an unknown name in ``without``."""
    choices = {**fact_choices(), **dict.fromkeys(options.plugin_collectors, "of a plug-in")}
    for name in options.without:
        if name not in choices:
            from eidos.wording import did_you_mean

            raise InvalidInput(f"invalid value {name!r}; expected one of {', '.join(choices)}", did_you_mean(name, choices))
    everything: dict[str, Any] = {
        name: needs for name, needs in read_template("agent")["facts"].items() if needs.get("watch", True) or not options.watch
    }
    everything.update(dict.fromkeys(options.plugin_collectors, PLUGIN_MOUNTS))
    selected = {name: needs for name, needs in everything.items() if not _matches(name, options.without)}
    if not selected:
        raise InvalidInput("--without excludes every collector", f"keep at least one of {', '.join(everything)}")
    return selected


def explain_privileges(options: AgentOptions) -> list[Tree]:
    """For each fact what it needs, whether these manifests grant it, which flag would ("" for an excluded fact), and what is lost."""
    facts = selected_facts(options)
    parts = set(required_parts(options, facts))
    mounts = set(_mounts(facts, options))
    output = dict(zip(("output.resource", "output.namespace"), _output(options)))
    choices = fact_choices()
    rows = []
    for row in read_template("agent")["privileges"]:
        part, fact = row.get("part", ""), row["fact"]
        if "of" in row and row["of"] not in parts:
            continue
        granted = (fact in facts or fact not in choices) and part in {"", *parts} and mounts.issuperset(row.get("mounts", ()))
        needs = fill_tree(row["needs"], output)
        flag = part.replace("gpu-", "gpu ", 1) if fact in facts else part.replace("mark-", "mark-node ", 1) if "mark-" in part else ""
        rows.append({"fact": fact, "needs": needs, "given": granted, "flag": f"--{flag}" if flag else "", "without": row["without"]})
    return rows


def read_share(options: AgentOptions) -> Tree | None:
    """The share of a node's readings that the agent reads, in percent, and what would read more; None when its namespaces hide none.

    Keys are those of the template's placeholders: ``share``, ``share.read`` of ``share.total``, ``share.flags``, ``share.more``,
    ``share.measured-on``.
    """
    facts = selected_facts(options)
    rows = [row for row in read_template("agent")["readings"] if row["fact"] in facts]
    missing = [right for right in NAMESPACE_RIGHTS if right not in options.rights and any(row.get("rights") == [right] for row in rows)]
    if not missing:
        return None
    now, more = ({*options.rights, *rights} for rights in ((), missing))
    total, read, readable = (
        sum(row["count"] for row in rows if rights is None or rights.issuperset(row.get("rights", ()))) for rights in (None, now, more)
    )
    flags = " ".join(f"--{right}" for right in missing)
    return {
        "share": _percent(read, total),
        "share.read": read,
        "share.total": total,
        "share.flags": flags,
        "share.measured-on": read_template("agent")["measured-on"],
        "share.more": _percent(readable, total),
    }


def _percent(part: int, total: int) -> str:
    """A share in percent, never 100 unless it is all.

    >>> _percent(237, 812), _percent(809, 812), _percent(812, 812)
    ('29', '99.6', '100')
    """
    percent = 100 * part / total
    return str(round(percent)) if percent < 99 else f"{int(10 * percent) / 10:g}"


def _check(options: AgentOptions) -> None:
    if options.run:
        check_dns_label(options.run, "run")
    if options.gpu[0] == "driver-root" and "privileged" not in options.rights:
        hint = "add --privileged, or use --gpu runtime-class or --gpu cdi, which work without it"
        raise InvalidInput("--gpu driver-root: only a privileged container may open the driver's device nodes", hint)
    mounted = {read_template("agent")["mounts"][mount]["path"] for mount in _mounts(selected_facts(options), options)}
    if options.gpu[0] == "driver-root" and options.gpu[1] in mounted:
        raise InvalidInput(
            f"--gpu driver-root: {options.gpu[1]} is a host path that the agent mounts already",
            "set the driver's root, usually /run/nvidia/driver",
        )
    _check_watch(options)
    jobs = max(len(options.nodes), len(options.group[1]))
    if jobs > 1 and options.output and "{node}" not in options.output:
        raise InvalidInput(
            f"--output: {options.output!r}: {jobs} Jobs would overwrite the same document",
            "add {node} to the name",
        )


def _check_watch(options: AgentOptions) -> None:
    jobs = {"--per": options.nodes or options.group[1], "--schedule": options.schedule, "--output": options.output}
    watch = {"--mark-node": options.marks, "--monitoring": options.monitoring, "--monitoring-label": options.monitoring_labels}
    for flag, value in (jobs if options.watch else watch).items():
        if value and options.watch:
            hint = "remove it; --node-selector chooses nodes" if flag == "--per" else "remove it"
            raise InvalidInput(f"{flag} is for Jobs, and --watch prints a DaemonSet", hint)
        if value:
            raise InvalidInput(f"{flag} needs --watch", "add --watch")
    if options.monitoring_labels and not options.monitoring:
        raise InvalidInput("--monitoring-label needs --monitoring", "add --monitoring")


def required_parts(options: AgentOptions, facts: Mapping[str, Any]) -> Iterator[str]:
    """The parts of the template that the options need."""
    if options.create_namespace:
        yield "create-namespace"
    yield f"delivery-{options.delivery}"
    yield "watch" if options.watch else "job"
    if options.monitoring:
        yield "monitoring"
    yield from (f"mark-{mark}" for mark in options.marks)
    if options.nodes:
        yield "node"
    elif options.group[1]:
        yield "group"
    if options.schedule:
        yield "schedule"
    if "gpu" in facts:
        yield f"gpu-{options.gpu[0]}"
    if "dbus" in _mounts(facts, options):
        yield "bus"
    if read_share(options):
        yield "own-namespaces"
    for right in options.rights:
        yield f"{right}-before-1.30" if right == "unconfined" and options.kubernetes_minor < 30 else right


def _values(options: AgentOptions, facts: Mapping[str, Any]) -> Tree:
    """Values of the placeholders that every manifest shares."""
    template = read_template("agent")
    mounts = {mount: template["mounts"][mount] for mount in _mounts(facts, options)}
    skipped = [fact for fact in (*template["facts"], *options.plugin_collectors) if fact not in facts]
    resource, namespace, output = _output(options)
    values: Tree = {
        **program_values("agent", options),
        "name": _name(options),
        "namespace": options.namespace,
        "output": output,
        "output.shown": output.replace(NODE_VARIABLE, "<node>"),
        "output.namespace": namespace,
        "output.resource": resource,
        "rules": list(_rules((*facts.values(), *(template["marks"][mark] for mark in options.marks)))),
        "root": ["--root=/host"] if mounts else [],
        "skip": [
            *(f"--plugin={reference}" for reference in options.plugins),
            *([f"--{'without' if options.watch else 'skip'}={','.join(skipped)}"] if skipped else []),
            *(["--volatile"] if options.volatile else []),
        ],
        "interval": f"{options.interval_s:g}s",
        "marks": [f"--mark-node={','.join(options.marks)}"] if options.marks else [],
        "dashboard.uid": kubernetes_fields.fit_name(f"{_name(options)}-{options.namespace}", kubernetes_fields.MAX_DASHBOARD_UID),
        "timeout": options.timeout_s,
        "deadline": options.deadline_s,
        "schedule": options.schedule,
        "gpu": options.gpu[1],
        "host-volumes": [
            {"name": mount, "hostPath": {field: source[field] for field in ("path", "type")}} for mount, source in mounts.items()
        ],
        "host-mounts": [_volume_mount(mount, source, options) for mount, source in mounts.items()],
    }
    optional = {"run": options.run, "node-selector": options.node_selector, "tolerations": list(options.tolerations or ())}
    return {**values, **(read_share(options) or {}), **{key: value for key, value in optional.items() if value}}


def program_values(template_name: str, options: AgentOptions | ServerOptions) -> Tree:
    """Values of the placeholders for the program, its image and its memory."""
    from eidos import __version__

    values: Tree = {"version": __version__.replace("+", "_"), "memory": options.memory or "256Mi"}
    minimum = read_template(template_name)["pieces"]["container"]["resources"]["requests"]["memory"]
    if kubernetes_fields.parse_memory(values["memory"]) < kubernetes_fields.parse_memory(minimum):
        raise InvalidInput(f"--memory: {options.memory} is less than the container's request", f"set --memory to {minimum} or more")
    values["image"] = options.image or read_template("agent")["image"]
    if isinstance(options.program, bytes):
        import binascii

        values["program.data"] = binascii.b2a_base64(options.program, newline=False).decode()
    elif options.delivery == "image":
        values["image"] = options.program
    else:
        values["program.path"] = options.program
    values["program.digest"] = _program_digest(options.program)
    run = getattr(options, "run", "")
    kind = "watch" if getattr(options, "watch", False) else "agent"
    values["program.name"] = f"eidos-{kind}-{run or values['program.digest']}"
    return values


def _program_digest(program: Program) -> str:
    """Eight hexadecimal digits that tell one program from another in a name."""
    import hashlib

    return hashlib.sha256(program if isinstance(program, bytes) else program.encode()).hexdigest()[:8]


def _volume_mount(name: str, source: Tree, options: AgentOptions) -> Tree:
    """A mount of the container; what is mounted below it is read-only, too, where the API can say so (1.30)."""
    tree = {"name": name, "mountPath": f"/host{source['path']}", "readOnly": True}
    if options.kubernetes_minor >= 30 and source["type"] == "Directory":
        tree["recursiveReadOnly"] = "IfPossible"
    return tree


def _name(options: AgentOptions) -> str:
    name = "eidos-watch" if options.watch else "eidos-agent"
    return f"{name}-{options.run}" if options.run else name


def _job_values(options: AgentOptions) -> Iterator[Tree]:
    """For each Job, the values of its own placeholders."""
    name = _name(options)
    limit = MAX_CRON_JOB_NAME if options.schedule else MAX_JOB_NAME
    if not options.nodes and not options.group[1]:
        yield {"job": kubernetes_fields.fit_name(name, limit)}
    for node in options.nodes:
        yield {
            "job": kubernetes_fields.fit_name(f"{name}-{node}", limit),
            "node": node,
            "node.label": node if len(node) < 64 else kubernetes_fields.fit_name(node, 63),
        }
    label, values = options.group
    for value in () if options.nodes else values:
        yield {"job": kubernetes_fields.fit_name(f"{name}-{value}", limit), "group.label": label, "group.value": value}


def _output(options: AgentOptions) -> tuple[str, str, str]:
    """The resource and the namespace of the snapshot, and the value of ``eidos snapshot --output``."""
    output = options.output or f"cm://{options.namespace}/eidos-{options.run + '-' if options.run else ''}{{node}}"
    scheme, _, rest = output.partition("://")
    namespace, _, name = rest.partition("/")
    if scheme not in RESOURCES or not name:
        raise InvalidInput(f"--output: invalid location {output!r}", "write it like secret://eidos/eidos-{node} or cm://eidos/eidos-{node}")
    longest = max(options.nodes, key=len, default="node")
    try:
        check_dns_label(namespace, "namespace")
        check_dns_subdomain(name.replace("{node}", longest), f"{'ConfigMap' if scheme == 'cm' else 'Secret'} name")
    except InvalidInput as fault:
        raise InvalidInput(f"--output: {output!r}: {fault.message}", fault.hint) from fault
    return RESOURCES[scheme], namespace, output.replace("{node}", NODE_VARIABLE)


def _mounts(facts: Mapping[str, Any], options: AgentOptions) -> list[str]:
    """The mounts that these facts need; none is below another."""
    kinds = ("mounts", HOST_FILES) if HOST_FILES in options.rights else ("mounts",)
    names = dict.fromkeys(mount for kind in kinds for needs in facts.values() for mount in needs.get(kind, ()))
    held = {below for name in names for below in read_template("agent")["mounts"][name].get("holds", ())}
    return [name for name in names if name not in held]


def _rules(needs: Iterable[Mapping[str, Any]]) -> Iterator[Tree]:
    """The RBAC rules of these facts: one for each resource, with all its verbs."""
    verbs: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for rule in (rule for need in needs for rule in need.get("rules", ())):
        for group in rule["apiGroups"]:
            verbs.setdefault((group, tuple(rule["resources"])), []).extend(rule["verbs"])
    for (group, resources), words in verbs.items():
        yield {"apiGroups": [group], "resources": list(resources), "verbs": sorted(set(words))}


def _matches(name: str, words: Iterable[str]) -> bool:
    return any(name == word or name.startswith(f"{word}.") for word in words)
