"""How help pages are divided: the group of each flag, and the pages of subcommands.

Knows flags and subcommands by name; must not know what a flag does: that is in the option itself. Only help reads this.
"""

from __future__ import annotations

from eidos.model.record import Record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Option, Verb

INPUT, SELECTION, NODES, CLUSTER = "Input", "Selection", "Nodes", "Cluster"
JOB, RIGHTS, SERVER, LIMITS, REGISTRY = "Job", "Rights", "Server", "Limits", "Registry"
WATCH, MONITORING, SIGNATURES = "Watch", "Monitoring", "Signatures"
OUTPUT, LOGGING, HELP, OTHER = "Output", "Logging", "Help", "Other flags"

#: Group → its flags, in the order of a page.
GROUPS = {
    INPUT: (
        "file recipe data plugin profile waivers today templates charts images base-tag server fallback root smi ignore max-age timeout "
        "last include from against"
    ),
    SELECTION: (
        "os osv kernel service k8s gpu intent platform machine with quick only skip require units volatile cluster-only bundlers set "
        "values namespace registry "
        "accelerated-node-selector accelerated-toleration system-node-selector system-toleration "
        "allowed-gpus allowed-services allowed-intents allowed-os"
    ),
    NODES: "hosts max-hosts via python parallel kubernetes selector keep clean start-timeout per nodes groups node-selector",
    CLUSTER: "kubeconfig kube-context kube-namespace allow-stale create-namespace",
    JOB: "delivery program image memory kubernetes-version toleration schedule",
    WATCH: "watch interval count listen on-change on-change-timeout mark-node",
    MONITORING: "monitoring monitoring-label",
    RIGHTS: "host-network host-ipc host-pid host-files unconfined privileged without explain-privileges",
    SERVER: ("host port workers drain-delay trust-proxy user-header otlp tls-issuer mesh ingress ingress-class no-apparmor"),
    SIGNATURES: "sums key signature passphrase-file allowed-signers identity policy",
    LIMITS: "rate burst client-rate client-burst max-connections max-body request-timeout",
    REGISTRY: "mount-from plain-http ca-file client-cert client-key",
    OUTPUT: (
        "output layout tag format archive "
        "push dry-run force matrix changes-since context explain check strict exit-code fail-on allow-unknown "
        "fail-fast serial node-agent "
        "all list remember write-waivers script reveal list-withheld digest-withheld anonymous anonymous-key metrics-file sbom"
    ),
    LOGGING: "log-level debug quiet log-format",
    HELP: "help",
}

#: Verb → group → its flags that are elsewhere for other verbs.
GROUPS_OF_VERBS = {
    "bundle": {CLUSTER: "timeout deployer repo path revision existing live"},
    "evidence": {SIGNATURES: "with"},
    "fleet": {NODES: "timeout", CLUSTER: "namespace", JOB: "gpu"},
    "image": {INPUT: "program"},
    "pull": {INPUT: "layout"},
    "manifest": {CLUSTER: "timeout namespace", JOB: "gpu"},
    "self-verify": {SIGNATURES: "timeout"},
    "sign": {SIGNATURES: "with timeout"},
    "verify": {SIGNATURES: "timeout"},
    "watch": {SELECTION: "without"},
}


def option_groups(verb: Verb) -> dict[str, list[Option]]:
    """Group → the options of ``verb`` in it, in the order of a page; those without a group come before logging."""
    by_name = {name: group for group, names in GROUPS.items() for name in names.split()}
    for group, names in GROUPS_OF_VERBS.get(verb.name.partition(" ")[0], {}).items():
        by_name.update(dict.fromkeys(names.split(), group))
    groups: dict[str, list[Option]] = {}
    for group in (*list(GROUPS)[:-2], OTHER, LOGGING, HELP):
        options = [option for option in verb.options if by_name.get(option.name, OTHER) == group]
        if options:
            groups[group] = options
    return groups


class SubcommandPage(Record):
    """The help of a subcommand: what it does, the flags that it takes beside logging, and examples."""

    description: str
    flags: str
    examples: tuple[tuple[str, str], ...]
    note: str


_CLUSTER_FLAGS = "kubeconfig kube-context kube-namespace"
_MANIFEST_FLAGS = "output format namespace create-namespace delivery program image memory kubernetes-version"
_LINT_STATUS = "Exit status: 0 no error; 2 wrong usage, or unreadable input; 4 an error was found."

SUBCOMMANDS = {
    "recipe": {
        "list": SubcommandPage(
            "List what the recipe data covers: the words of a query, and each layer with its key.",
            f"data output format timeout {_CLUSTER_FLAGS}",
            (("eidos recipe list", "as a table"), ("eidos recipe list -t json", "for programs, with sources")),
            "Exit status: 0 written; 1 cannot write; 2 wrong usage, or invalid recipe data.",
        ),
        "lint": SubcommandPage(
            "Check recipe data, the built-in data or your own, and report every problem.",
            "data today output format",
            (("eidos recipe lint", "the built-in data"), ("eidos recipe lint --data my-recipes", "your own, over the built-in data")),
            _LINT_STATUS,
        ),
    },
    "bundle": {
        "lint": SubcommandPage(
            "Check bundle templates, the built-in ones or your own, and report every problem.",
            "templates data format",
            (("eidos bundle lint", "the built-in templates"), ("eidos bundle lint --templates my-templates", "your own")),
            _LINT_STATUS,
        )
    },
    "manifest": {
        "agent": SubcommandPage(
            "Print manifests of Jobs that read nodes; each writes its snapshot into a ConfigMap or a Secret. With --watch, those of a "
            "DaemonSet that judges each node again and again. Nothing is applied.",
            f"{_MANIFEST_FLAGS} monitoring monitoring-label watch interval mark-node per nodes groups node-selector toleration schedule "
            "gpu host-network host-ipc host-pid host-files unconfined privileged without explain-privileges timeout "
            f"{_CLUSTER_FLAGS}",
            (
                ("eidos manifest agent --create-namespace | kubectl apply --server-side -f -", "read one node, now"),
                ("eidos manifest agent --per node --node-selector nvidia.com/gpu.present=true", "a Job for each GPU node"),
                ("eidos manifest agent --watch --monitoring", "watch every node, with alerts and a dashboard"),
                ("eidos manifest agent --explain-privileges", "the purpose of each right"),
            ),
            "Exit status: 0 printed; 1 cannot reach the cluster, or cannot write; 2 wrong usage.",
        ),
        "server": SubcommandPage(
            "Print manifests of the API, a Deployment of 'eidos serve' and its Service. Nothing is applied.",
            f"{_MANIFEST_FLAGS} monitoring monitoring-label otlp tls-issuer mesh ingress ingress-class no-apparmor kube-namespace",
            (("eidos manifest server --monitoring --ingress eidos.example.com", "with alerts, reachable from outside"),),
            "Exit status: 0 printed; 1 cannot write; 2 wrong usage.",
        ),
    },
}


def subcommand_page(verb: Verb, words: list[str]) -> Verb:
    """The verb as the first of ``words`` narrows it, for its help page; ``verb`` itself when that is not a subcommand."""
    page = SUBCOMMANDS.get(verb.name, {}).get(words[0] if words else "")
    if page is None:
        return verb
    names = {*page.flags.split(), *GROUPS[LOGGING].split(), *GROUPS[HELP].split()}
    return replace(
        verb,
        name=f"{verb.name} {words[0]}",
        description=(page.description,),
        options=tuple(option for option in verb.options if option.name in names),
        operands=verb.operands[1:],
        examples=page.examples,
        notes=(page.note,),
    )
