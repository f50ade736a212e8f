"""``eidos snapshot``: what this node is.

Knows the flags of the verb, which collectors they choose, and the exit status for what became of those; must not know how
anything is collected or how a document is laid out.
"""

from __future__ import annotations

import os
import time

from eidos import collectors, log
from eidos.cli import document_locations, telemetry_choice
from eidos.cli.cluster_options import CLUSTER, OR_KEPT
from eidos.cli.options import FORMAT, HELP, LOGGING, OUTPUT, Option, Verb, duration, path
from eidos.errors import EidosError, InvalidInput, NotFound, Timeout, Unavailable
from eidos.model.measurement import FAILED, OK, PARTIAL, SKIPPED
from eidos.model.record import replace
from eidos.model.systemd_unit import unit_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eidos.cli.options import Values
    from eidos.cli.telemetry_choice import Watch
    from eidos.model.snapshot import Snapshot

#: The document was written, and a required collector is not ok.
INCOMPLETE = 3

#: Seconds that writing a file may take when the collectors have used up the time.
PATIENCE = 0.5

#: The same for a cluster.
CLUSTER_PATIENCE = 5.0


def names_and_groups() -> dict[str, str]:
    """What ``--only``, ``--skip`` and ``--require`` take: each collector, and each type that several collectors share."""
    known = collectors.names()
    found: dict[str, str] = {}
    for name in known:
        group = name.partition(".")[0]
        if group not in known:
            found.setdefault(group, f"every {group}.* collector")
        found[name] = "one collector"
    return found


def chosen(words: Sequence[str], among: Sequence[str]) -> list[str]:
    """Those ``among`` that one of ``words`` names, by name or by group, in the order of ``among``.

    >>> chosen(["os", "gpu"], ["gpu", "os.grub", "os.kmod", "systemd"])
    ['gpu', 'os.grub', 'os.kmod']
    """
    return [name for name in among if any(name == word or name.startswith(f"{word}.") for word in words)]


ABOUT = (
    (
        "Read this node and write down what it is: kernel parameters, modules and release, systemd units, GPUs, and the Kubernetes cluster "
        "that it belongs to. Nothing is changed."
    ),
    "Every source has a deadline. What cannot be read is in the document as unread, with the reason, and costs nothing else.",
)

NOTES = (
    (
        "The cluster is the one that kubectl would ask, or a pod's own. This node is the one that NODE_NAME, KUBERNETES_NODE_NAME or "
        "HOSTNAME names. What a cluster said last is kept in ~/.cache/eidos (in $XDG_CACHE_HOME, if that is set), for --allow-stale."
    ),
    (
        "Each flag can also be a variable (--log-level is EIDOS_LOG_LEVEL) or a key in ~/.config/eidos/config.yaml, at its top or in "
        "a section 'snapshot'. A flag wins over a variable, a variable over the file."
    ),
    (
        "Exit status: 0 written; 1 failed, or no collector succeeded; 2 wrong usage; 3 written, but --require is not met; 124 the "
        "deadline passed before anything could be written."
    ),
)


def _names(name: str, help_text: str) -> Option:
    return Option(name, help_text, "NAMES", choices=names_and_groups, many=True)


VERB = Verb(
    "snapshot",
    ABOUT,
    (
        replace(OUTPUT, help="write to this file, whole or not at all, readable by you alone; - is standard output" + OR_KEPT),
        replace(FORMAT, help="how to write it; without this flag json into a FILE.json, else yaml"),
        _names("only", "collect these alone: collectors or groups of them, by comma"),
        _names("skip", "leave these out"),
        _names("require", "exit 3 when one of these is not ok; the document is written all the same"),
        Option("units", "read these systemd units instead of the usual ones", "UNITS", convert=unit_name, many=True),
        Option("root", "read the host whose files are mounted here", "FOLDER", None, "/", path, completes="folder"),
        Option("cluster-only", "read what is the same for all nodes of a cluster, and nothing of this host; the node if NODE_NAME says it"),
        *CLUSTER,
        Option(
            "allow-stale",
            "when the cluster does not answer, write what it said before, if that is no older; it is marked",
            "AGE",
            convert=duration,
        ),
        Option("timeout", "for everything together; what is late is left out, and said to be", "DURATION", None, "10s", duration),
        Option("volatile", "also what changes on its own: temperatures, counters, memory in use"),
        Option("fail-fast", "stop at the first failure, write nothing, exit 1"),
        Option("list", "print the collectors, and collect nothing", anywhere=False),
        telemetry_choice.METRICS_FILE,
        *LOGGING,
        HELP,
    ),
    examples=(
        ("eidos snapshot", "this node, as YAML"),
        ("eidos snapshot -t table --skip k8s", "for people, without Kubernetes"),
        ("eidos snapshot -o node.yaml --require gpu,systemd", "into a file, for a pipeline that needs GPUs and systemd"),
        ("eidos snapshot --only os.sysctl,os.kmod -t json | jq .", "two collectors, into another program"),
        ("eidos snapshot --units containerd,kubelet,my-agent", "other units than the usual ones"),
        ("eidos snapshot --root /host", "from a container that has the host's files at /host"),
        ("eidos snapshot --cluster-only --kube-context prod", "a cluster, from anywhere"),
    ),
    notes=NOTES,
)


def run(values: Values) -> int:
    """Take the snapshot and write it; the exit status says whether something that was required is missing."""
    return telemetry_choice.run("snapshot", values, _run)


def _run(values: Values, watching: Watch) -> int:
    deadline = time.monotonic() + values["timeout"]
    _in_time(values["output"], lambda: document_locations.check(values["output"], values), deadline)
    selected, required = _selected(values)
    emit = _emitter(values)
    if values["list"]:
        return _list(values, selected)

    from eidos.files.host import Host
    from eidos.workflow import take_snapshot

    if values["root"] != "/":
        _check_root(values["root"], deadline)
    left = deadline - time.monotonic()
    if left <= 0:
        raise Timeout("the deadline passed before anything was read", "give it more time with --timeout")
    snapshot = take_snapshot(
        Host(values["root"]),
        select=selected,
        units=values["units"] or collectors.UNITS,
        volatile=values["volatile"],
        timeout=left,
        fail_fast=values["fail-fast"],
        collector=watching.collector(selected),
        cluster=collectors.ClusterChoice(values["kubeconfig"], values["kube-context"], values["kube-namespace"], values["allow-stale"]),
        needless=_needless(values, selected),
    )
    watching.outcomes(snapshot.collectors)
    began = time.perf_counter()
    with watching.step("serialise"):
        text = emit(snapshot)
    log.debug("serialise", duration_ms=round((time.perf_counter() - began) * 1000, 1))
    until = max(deadline, time.monotonic() + (CLUSTER_PATIENCE if document_locations.in_cluster(values["output"]) else PATIENCE))
    _in_time(values["output"], lambda: document_locations.write(values["output"], text, values, "snapshot", until), until)
    if _is_bare(snapshot):
        log.warn(f"nothing of an operating system is below {values['root']!r}", hint="is the host's file system mounted there?")
    if values["cluster-only"] and all(outcome.outcome == SKIPPED for outcome in snapshot.collectors):
        hint = "say which cluster with --kubeconfig, KUBECONFIG or --kube-context"
        log.warn(f"nothing was read: {snapshot.collectors[0].reason}", hint=hint)
    return _status(snapshot, required)


def _selected(values: Values) -> tuple[list[str], list[str]]:
    """The collectors that run, and those of them that must be ok."""
    everything = collectors.names()
    possible = list(everything)
    if values["cluster-only"]:
        if values["root"] != "/":
            raise InvalidInput("--cluster-only reads no host, and --root names one", "leave one of them out")
        from eidos.files.node_name import node_name_from_environment

        possible = [
            name
            for name in everything
            if collectors.is_cluster_wide(name) or (name == "k8s.node" and node_name_from_environment(os.environ))
        ]
    selected = chosen(values["only"], possible) if values["only"] else possible
    skipped = chosen(values["skip"], everything)
    selected = [name for name in selected if name not in skipped]
    flags = "--cluster-only, --only {} --skip" if values["cluster-only"] else "--only {} --skip"
    if not selected:
        raise InvalidInput(f"{flags.format('and')} leave no collector", f"there are {', '.join(possible)}")
    required = []
    for word in values["require"]:
        # Of a group what --cluster-only leaves of it.
        for name in chosen([word], possible) or chosen([word], everything):
            if name not in selected:
                raise InvalidInput(f"--require: {name!r} is not collected: {flags.format('or')} leaves it out")
            required.append(name)
    return selected, [name for name in selected if name in required]


def _needless(values: Values, selected: Sequence[str]) -> dict[str, str]:
    """The collectors that would ask a cluster, each with the reason why there is none; empty when there may be one.

    Most hosts have none, and a process for each of these collectors, only to say so, would cost a quarter of the whole run.
    """
    names = [name for name in selected if name.startswith("k8s.")]
    if not names:
        return {}
    from eidos.cli.user_config import may_never_answer
    from eidos.kube.cluster_config import hold, nothing

    hold(os.environ, values["kubeconfig"])
    if values["kubeconfig"] or values["kube-context"]:
        return {}

    reason = nothing(os.environ, lambda path: may_never_answer(path) or os.path.lexists(path))
    return dict.fromkeys(names, reason) if reason else {}


def _emitter(values: Values) -> Callable[[Snapshot], str]:
    """What turns a snapshot into text in the format that was asked for, or that the name of the file asks for."""
    fmt = document_locations.format_for(values["format"], values["output"])
    if fmt == "table":
        from eidos.cli.snapshot_table import snapshot_table

        return lambda snapshot: snapshot_table(snapshot, document_locations.width(values["output"]))
    from eidos import formats

    emit = {"yaml": formats.to_yaml, "json": formats.to_json}[fmt]
    return lambda snapshot: emit(snapshot.to_tree())


def _list(values: Values, selected: Sequence[str]) -> int:
    """Print the collectors and what each reads: as a tree when a format is asked for, else in two columns."""
    rows = {name: collectors.summary(name) for name in selected}
    if values["format"] in ("yaml", "json"):
        from eidos import formats

        emit = {"yaml": formats.to_yaml, "json": formats.to_json}[values["format"]]
        text = emit([{"name": name, "summary": summary} for name, summary in rows.items()])
    else:
        column = max(len(name) for name in rows) + 2
        text = "".join(f"{name:<{column}}{summary}\n" for name, summary in rows.items())
    document_locations.write(values["output"], text, values, "collectors")
    return 0


def _in_time(place: str, work: Callable[[], None], deadline: float) -> None:
    """Do what touches the output: for a file in a child, because it may be on a file server that is gone.

    Whoever reads standard output may take the time that it takes; a cluster is asked with a deadline of its own.
    """
    if place == document_locations.STDOUT or document_locations.in_cluster(place) or place.startswith(("/dev/", "/proc/")):
        work()
        return
    from eidos.process.child import run_in_child

    try:
        run_in_child(work, deadline)
    except Timeout as late:
        raise Timeout(f"--output: no answer from the file system at {place!r}", "is it on a file server that is gone?") from late


def _check_root(root: str, deadline: float) -> None:
    """Raise NotFound or Unavailable when nobody can look below ``root``, rather than report a host without anything.

    A child looks: the folder may be on a file server that is gone, and then whoever looks waits for ever.
    """
    from eidos.process.child import run_in_child

    try:
        reason = run_in_child(lambda: _why_not(root), deadline)
    except Timeout as late:
        raise Timeout(f"--root: no answer from the file system at {root!r}", "is it on a file server that is gone?") from late
    if reason:
        raise Unavailable(f"--root: cannot look into {root!r}: {reason}", "run as a user who may")
    if reason is None:
        raise NotFound(f"--root: there is no folder {root!r}", "name the folder at which the host's file system is mounted")


def _why_not(root: str) -> str | None:
    """Why nobody can look below ``root``: "" when somebody can, None when it is no folder."""
    import os

    try:
        os.stat(os.path.join(root, "."))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as fault:
        return (fault.strerror or str(fault)).lower()
    return ""


def _is_bare(snapshot: Snapshot) -> bool:
    """Whether what every host has was looked for, and none of it is there."""
    system = [outcome.outcome for outcome in snapshot.collectors if outcome.name.startswith("os.")]
    return len(system) > 1 and set(system) == {SKIPPED}


def _status(snapshot: Snapshot, required: Sequence[str]) -> int:
    """Say what is missing from a document that is written; the exit status that goes with it."""
    outcomes = {outcome.name: outcome for outcome in snapshot.collectors}
    kinds = {outcome.outcome for outcome in outcomes.values()}
    if FAILED in kinds and not kinds & {OK, PARTIAL}:
        raise EidosError("no collector succeeded; the document that was written says why", "--debug shows more")
    missing = [f"{name} is {outcomes[name].outcome}" for name in required if outcomes[name].outcome != OK]
    if missing:
        log.error(f"--require is not met: {', '.join(missing)}", hint="the document is written, and its list of collectors says why")
        return INCOMPLETE
    return 0
