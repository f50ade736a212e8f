"""``eidos snapshot``: what this node is.

Knows the flags of the verb, which collectors they select, and the exit status for the outcomes; must not know how anything is
collected or how a document is laid out.
"""

from __future__ import annotations

import os
import time

from eidos import collectors, log
from eidos.cli import document_locations
from eidos.cli.anonymous import ANONYMOUS, make_pseudonyms
from eidos.cli.cluster_options import CLUSTER, OR_IN_CLUSTER
from eidos.cli.exit_status import INCOMPLETE
from eidos.cli.host_snapshot import ROOT, SMI, UNITS, read_host
from eidos.cli.options import FORMAT, HELP, LOGGING, OUTPUT, PLUGIN, Option, Verb, parse_timeout
from eidos.cli.path_access import access_path
from eidos.cli.run_telemetry import METRICS_FILE, run_with_telemetry
from eidos.collectors import apply_only_and_skip, collector_choices, select_collectors
from eidos.errors import EidosError, InvalidInput
from eidos.formats import serialize
from eidos.model.measurement import FAILED, OK, PARTIAL, SKIPPED
from eidos.model.record import replace
from eidos.model.snapshot import digest_line
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eidos.cli.options import Values
    from eidos.cli.run_telemetry import RunTelemetry
    from eidos.model.snapshot import Snapshot

#: Bytes of the key of ``--digest-withheld``, at least and at most.
KEY_MINIMUM_BYTES, KEY_LIMIT_BYTES = 16, 4096

#: Seconds to wait for it.
KEY_TIMEOUT_S = 5.0

#: Seconds that writing the document may take when the collectors have used up the time: to a file, and to a cluster or an object store.
FILE_TIMEOUT_S, REMOTE_TIMEOUT_S = 0.5, 5.0


DESCRIPTION = (
    (
        "Record what this node is: kernel parameters, modules and release, systemd units, GPUs, and the Kubernetes cluster "
        "it belongs to. Nothing on the node is changed."
    ),
    "Every source has a deadline. Values that cannot be read are listed as unreadable, with the reason.",
)

NOTES = (
    (
        "The cluster is that of kubectl, or of the pod that runs eidos. The node name is NODE_NAME, KUBERNETES_NODE_NAME or "
        "HOSTNAME. The last data of a cluster is cached in ~/.cache/eidos (or $XDG_CACHE_HOME/eidos) for --allow-stale."
    ),
    (
        "Each flag can also be set by a variable (EIDOS_LOG_LEVEL for --log-level) or in ~/.config/eidos/config.yaml, at its top or in "
        "the section 'snapshot'. A flag wins over a variable, a variable over the file."
    ),
    (
        "Exit status: 0 written; 1 failed, or no collector succeeded; 2 wrong usage; 3 written, but --require is not met; 124 timed "
        "out before anything was written."
    ),
)


def _collector_option(name: str, help_text: str) -> Option:
    return Option(name, help_text, "NAMES", choices=collector_choices, multiple=True)


VERB = Verb(
    "snapshot",
    DESCRIPTION,
    (
        PLUGIN,
        replace(OUTPUT, help="write to FILE with mode 0600, - for standard output" + OR_IN_CLUSTER),
        replace(FORMAT, help="set the output format (default json for FILE.json, else yaml)"),
        _collector_option("only", "collect only these collectors or groups of collectors"),
        _collector_option("skip", "do not collect these"),
        _collector_option("require", "exit 3 when one of these is not ok; the snapshot is still written"),
        UNITS,
        ROOT,
        SMI,
        Option("cluster-only", "collect only the cluster, not this host"),
        *CLUSTER,
        Option(
            "allow-stale",
            "use cached cluster data up to this age when the cluster does not respond",
            "AGE",
            convert=parse_timeout,
        ),
        Option(
            "timeout", "give up on collectors after this time; late ones are reported as failed", "DURATION", None, "10s", parse_timeout
        ),
        Option("volatile", "include values that change on their own: temperatures, counters"),
        Option(
            "reveal",
            "show the values of these names, although they may be secrets",
            "NAMES",
            multiple=True,
            flag_only=True,
        ),
        Option("digest-withheld", "read a key from standard input, print digests of withheld values after the snapshot", flag_only=True),
        Option("list-withheld", "print the names of withheld values instead of the snapshot", flag_only=True),
        *ANONYMOUS,
        Option("remember", "keep it for 'eidos diff --last' (ten per node)"),
        Option("fail-fast", "stop at the first failure; write nothing"),
        Option("all", "show every reading with --format table, not one screen", flag_only=True),
        Option("list", "list the collectors; collect nothing", flag_only=True),
        METRICS_FILE,
        *LOGGING,
        HELP,
    ),
    examples=(
        ("eidos snapshot", "this node, as YAML"),
        ("eidos snapshot -t table --skip k8s", "as a table, without Kubernetes"),
        ("eidos snapshot -o node.yaml --require gpu,systemd", "write a file, fail without GPUs or systemd"),
        ("eidos snapshot --only os.sysctl,os.kmod -t json | jq .", "two collectors, piped to jq"),
        ("eidos snapshot --units containerd,kubelet,my-agent", "read these systemd units"),
        ("eidos snapshot --root /host", "from a container with the host's files at /host"),
        ("eidos snapshot --cluster-only --kube-context prod", "only the cluster, from any machine"),
        ("eidos snapshot --list-withheld", "names of the values that may be secrets"),
        ("eidos snapshot --anonymous -o node.yaml", "without names, addresses and serial numbers"),
    ),
    notes=NOTES,
)


def run(values: Values) -> int:
    """Take the snapshot and write it; the exit status says whether a required collector is not ok."""
    return run_with_telemetry("snapshot", values, _write_snapshot)


def _write_snapshot(values: Values, telemetry: RunTelemetry) -> int:
    deadline = time.monotonic() + values["timeout"]
    output = values["output"]
    _with_deadline(output, lambda: document_locations.check_writable(output, values), deadline)
    selected, required = _select(values)
    emit = _emitter(values)
    pseudonyms = make_pseudonyms(values)
    if values["list"]:
        return _list(values, selected)

    snapshot = read_host(
        "snapshot",
        values,
        selected,
        deadline,
        volatile=values["volatile"],
        load_collector=telemetry.collector_loader(selected),
        digest_key=_read_key() if values["digest-withheld"] else b"",
    )
    snapshot = replace(snapshot, plugins=tuple(plugin.reference() for plugin in values["plugin"]))
    telemetry.record_outcomes(snapshot.collectors)
    if values["list-withheld"]:
        _list_withheld(values, snapshot)
        return _exit_status(snapshot, required)
    _warn_of_unrevealed(snapshot, values["reveal"])
    if pseudonyms is not None:
        with telemetry.step("anonymise"):
            snapshot = pseudonyms.anonymize(snapshot)
    began = time.perf_counter()
    with telemetry.step("serialise"):
        text = emit(snapshot)
        if values["digest-withheld"]:
            text += digest_line(snapshot)
    log.debug("serialise", duration_ms=round((time.perf_counter() - began) * 1000, 1))
    is_sent = document_locations.is_in_cluster(output) or document_locations.is_in_object_store(output)
    write_timeout_s = REMOTE_TIMEOUT_S if is_sent else FILE_TIMEOUT_S
    write_by = max(deadline, time.monotonic() + write_timeout_s)
    _with_deadline(output, lambda: document_locations.write_document(output, text, values, "snapshot", write_by), write_by)
    if values["remember"]:
        from eidos.cli.snapshot_history import remember

        remember(snapshot, os.environ)
    if _has_no_system(snapshot):
        log.warn(f"no operating system found below {values['root']!r}", hint="check that the host's file system is mounted there")
    if values["cluster-only"] and all(outcome.outcome == SKIPPED for outcome in snapshot.collectors):
        hint = "name a cluster with --kubeconfig, KUBECONFIG or --kube-context"
        log.warn(f"no data: {snapshot.collectors[0].reason}", hint=hint)
    return _exit_status(snapshot, required)


def _select(values: Values) -> tuple[list[str], list[str]]:
    """The collectors that run, and those of them that must be ok."""
    names = collectors.list_collectors()
    possible = list(names)
    if values["cluster-only"]:
        if values["root"] != "/":
            raise InvalidInput("--cluster-only cannot be used with --root", "remove one of the two")
        from eidos.files.node_name import node_name_from_environment

        possible = [
            name for name in names if collectors.is_cluster_wide(name) or (name == "k8s.node" and node_name_from_environment(os.environ))
        ]
    selected = apply_only_and_skip(possible, values["only"], values["skip"])
    flags = "--cluster-only, --only {} --skip" if values["cluster-only"] else "--only {} --skip"
    if not selected:
        from eidos.wording import list_words

        raise InvalidInput(f"{flags.format('and')} leave no collector", f"collectors are {list_words(possible)}")
    required = []
    for word in values["require"]:
        # With --cluster-only, a group stands for those of its collectors that are possible.
        for name in select_collectors([word], possible) or select_collectors([word], names):
            if name not in selected:
                raise InvalidInput(f"--require: {name!r} is excluded by {flags.format('or')}")
            required.append(name)
    return selected, [name for name in selected if name in required]


def _emitter(values: Values) -> Callable[[Snapshot], str]:
    """What turns a snapshot into text in the requested format, or that of the file's extension."""
    fmt = document_locations.choose_format(values["format"], values["output"])
    if fmt == "table":
        from eidos.cli.snapshot_table import snapshot_summary, snapshot_table

        lay_out = snapshot_table if values["all"] else snapshot_summary
        return lambda snapshot: document_locations.fit_table(values["output"], lambda width, colour: lay_out(snapshot, width, colour))
    return lambda snapshot: serialize(snapshot.to_tree(), fmt)


def _list(values: Values, selected: Sequence[str]) -> int:
    """Print the collectors and what each reads: as a tree when a format is requested, else in two columns."""
    rows = {name: collectors.collector_summary(name) for name in selected}
    if values["format"] in ("yaml", "json"):
        text = serialize([{"name": name, "summary": summary} for name, summary in rows.items()], values["format"])
    else:
        column = max(len(name) for name in rows) + 2
        text = "".join(f"{name:<{column}}{summary}\n" for name, summary in rows.items())
    document_locations.write_document(values["output"], text, values, "collectors")
    return 0


def _read_key() -> bytes:
    """A key of one run, from standard input, which has to end within seconds; InvalidInput for a short key, and for a terminal."""
    import select

    key = b""
    deadline = time.monotonic() + KEY_TIMEOUT_S
    try:
        while len(key) < KEY_LIMIT_BYTES and not os.isatty(0) and select.select([0], [], [], max(0.0, deadline - time.monotonic()))[0]:
            data = os.read(0, KEY_LIMIT_BYTES - len(key))
            if not data:
                break
            key += data
    except (OSError, ValueError):  # closed
        pass
    key = key.strip()
    if len(key) < KEY_MINIMUM_BYTES:
        raise InvalidInput(f"--digest-withheld needs a key of {KEY_MINIMUM_BYTES} bytes or more on standard input", "use 'eidos fleet'")
    return key


def _list_withheld(values: Values, snapshot: Snapshot) -> None:
    """Print the name of each withheld value with its collector, and no value: as a tree when a format is requested, else in two columns."""
    rows = sorted({(outcome.name, name) for outcome in snapshot.collectors for name in outcome.withheld_names})
    if values["format"] in ("yaml", "json"):
        text = serialize([{"collector": collector, "name": name} for collector, name in rows], values["format"])
    else:
        column = max((len(collector) for collector, _ in rows), default=0) + 2
        text = "".join(f"{collector:<{column}}{name}\n" for collector, name in rows)
    document_locations.write_document(values["output"], text, values, "names")


def _warn_of_unrevealed(snapshot: Snapshot, names: Sequence[str]) -> None:
    """Log how many names of ``--reveal`` no value has; not which, because a name may be typed wrongly in any way."""
    missing = len(set(names) - {name for outcome in snapshot.collectors for name in outcome.revealed})
    if missing:
        counted = f"{missing} of {count_of(len(set(names)), 'name')} {'matches' if len(set(names)) == 1 else 'match'}"
        log.warn(f"--reveal: {counted} no withheld value", hint="run 'eidos snapshot --list-withheld'")


def _with_deadline(location: str, work: Callable[[], None], deadline: float) -> None:
    """Access the output; the reader of standard output may take its time, and requests to a server have a deadline of their own."""
    is_sent = document_locations.is_in_cluster(location) or document_locations.is_in_object_store(location)
    if is_sent or location == document_locations.STDOUT or location.startswith(("/dev/", "/proc/")):
        work()
    else:
        access_path("--output", location, work, deadline)


def _has_no_system(snapshot: Snapshot) -> bool:
    """Whether several collectors looked for an operating system, and each found none."""
    system = [outcome.outcome for outcome in snapshot.collectors if outcome.name.startswith("os.")]
    return len(system) > 1 and set(system) == {SKIPPED}


def _exit_status(snapshot: Snapshot, required: Sequence[str]) -> int:
    """Log what is missing from the written document; the exit status that goes with it."""
    outcomes = {outcome.name: outcome for outcome in snapshot.collectors}
    kinds = {outcome.outcome for outcome in outcomes.values()}
    if FAILED in kinds and not kinds & {OK, PARTIAL}:
        raise EidosError("no collector succeeded", "see 'collectors' in the written snapshot, or use --debug")
    missing = [f"{name} is {outcomes[name].outcome}" for name in required if outcomes[name].outcome != OK]
    if missing:
        log.error(f"--require is not met: {', '.join(missing)}", hint="see 'collectors' in the written snapshot")
        return INCOMPLETE
    return 0
