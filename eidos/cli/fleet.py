"""``eidos fleet``: which of many nodes is different.

Knows the flags of the verb, where the answers go and the exit status; must not know how a node is reached or nodes are compared.
"""

from __future__ import annotations

import os
import sys
import time

from eidos import collectors, log
from eidos.cli import cluster_options, document_locations
from eidos.cli.anonymous import ANONYMOUS, anonymize_answers, make_pseudonyms
from eidos.cli.exit_status import FINDINGS, INCOMPLETE
from eidos.cli.fleet_check import CHECK_OPTIONS, FleetMeasure, is_failed, is_unknown, saved_cluster, saved_snapshots
from eidos.cli.fleet_jobs import ALL, JOB_OPTIONS
from eidos.cli.fleet_progress import Progress
from eidos.cli.options import FORMAT, HELP, LOGGING, PLUGIN, Option, Verb, parse_path, parse_timeout
from eidos.collectors import apply_only_and_skip, collector_choices
from eidos.errors import EidosError, InvalidInput
from eidos.formats import serialize
from eidos.model.plugin import carried_entries
from eidos.model.record import replace
from eidos.model.systemd_unit import unit_name
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from eidos.cli.options import Values
    from eidos.fleet.results import NodeAnswer, ResultsFolder
    from eidos.fleet.summary import FleetSummary
    from eidos.reading_selection import ReadingSelection

    Answers = Generator[tuple[str, NodeAnswer], None, None]

#: The largest value of --parallel.
MAX_PARALLEL = 512

#: The largest number of hosts without --max-hosts, and the largest value of that flag.
MAX_HOSTS, HOSTS_LIMIT = 5000, 100_000

#: Seconds that a node has by default: where it only has to run a program, and where it may have to pull an image first.
SSH_TIMEOUT_S, JOB_TIMEOUT_S = 60.0, 300.0

#: The largest list of hosts in bytes, and the extensions of such files, which no host name has.
MAX_LIST_BYTES, LIST_EXTENSIONS = 16 << 20, (".txt", ".list", ".lst", ".csv", ".hosts", ".yaml", ".yml", ".ini")

#: Bytes of the key under which nodes digest withheld values, drawn for each run.
KEY_BYTES = 32

#: Flags that say how nodes are read or where their snapshots go.
_NOT_WITH_FROM = (
    *("via", "python", "program", "selector", "keep", "parallel", "timeout", "start-timeout", "output", "push"),
    *("anonymous", "anonymous-key", "only", "skip", "units", *(option.name for option in JOB_OPTIONS)),
)

#: Seconds that the collectors on a node have, unless that is more than half of the node's time.
COLLECTORS_TIMEOUT_S = 10.0


def parse_parallel(value: str) -> int:
    """A number of nodes; InvalidInput for 0, and for more than :data:`MAX_PARALLEL`."""
    if not (value.isascii() and value.isdigit() and len(value) < 6 and 0 < int(value) <= MAX_PARALLEL):
        raise InvalidInput(f"invalid number {value!r}: expected 1 to {MAX_PARALLEL}")
    return int(value)


def parse_max_hosts(value: str) -> int:
    """A number of hosts; InvalidInput for 0, and for more than :data:`HOSTS_LIMIT`."""
    if not (value.isascii() and value.isdigit() and len(value) < 8 and 0 < int(value) <= HOSTS_LIMIT):
        raise InvalidInput(f"invalid number {value!r}: expected 1 to {HOSTS_LIMIT:,}")
    return int(value)


def parse_interpreter(value: str) -> str:
    """The name or the path of a Python; InvalidInput for what a shell on the way might read otherwise."""
    if value.startswith("-") or not value or not all(char.isascii() and (char.isalnum() or char in "./_+-") for char in value):
        raise InvalidInput(f"invalid interpreter {value!r}: expected a name or a path")
    return value


VERB = Verb(
    "fleet",
    (
        (
            "Take snapshots of many nodes at once and report which nodes differ, and in what. Nodes with equal settings form a class; "
            "all others are compared with the largest class. Identifiers of a node and values that change on their own are ignored."
        ),
        (
            "Over ssh, nothing is installed or written on the node: the program is sent over standard input and runs from memory. The "
            "node needs Python 3.9 or newer. The ssh of this system is used with your configuration; it must not ask for a password."
        ),
    ),
    (
        replace(PLUGIN, help="send this folder of collectors to the nodes, too, and judge by its checks; repeatable"),
        Option(
            "hosts",
            "read hosts from a file, or list them: gpu-01,gpu-02 or gpu-[01-64]",
            "HOST",
            split_commas=False,
            multiple=True,
            completion="file",
        ),
        Option("max-hosts", "refuse a list of more hosts", "NUMBER", None, str(MAX_HOSTS), parse_max_hosts),
        Option("via", "reach nodes with this command instead of ssh: 'srun -w {host}'", "COMMAND"),
        Option("python", "run this Python on the nodes", "PYTHON", None, "python3", parse_interpreter),
        Option("program", "send this eidos.pyz (default this file)", "FILE", convert=parse_path, completion="file"),
        Option("kubernetes", "run a Job on each node of a cluster", flag_only=True),
        Option("selector", f"select cluster nodes by label, {ALL} for all", "LABELS", None, "nvidia.com/gpu.present=true"),
        Option("keep", "keep the Jobs and their ConfigMaps in the cluster", flag_only=True),
        Option("clean", "remove what killed runs left in the cluster, and exit", flag_only=True),
        Option("parallel", "query this many nodes at a time", "NUMBER", None, "32", parse_parallel),
        Option("timeout", "give up on a node after this time (default 60s; 5m in a cluster)", "DURATION", convert=parse_timeout),
        Option("start-timeout", "give up on a Pod that cannot start after this time", "DURATION", None, "20s", parse_timeout),
        Option(
            "output",
            "write to this new folder (default ./fleet-<time>)",
            "DIR",
            "o",
            None,
            parse_path,
            flag_only=True,
            completion="folder",
        ),
        Option("push", "push the snapshots to a registry as well: oci://HOST/REPOSITORY:TAG", "REFERENCE", flag_only=True),
        replace(FORMAT, help="print the summary in this format (default table)"),
        Option("exit-code", "exit 4 when a node differs"),
        *CHECK_OPTIONS,
        *ANONYMOUS,
        Option("only", "collect only these collectors or groups of collectors", "NAMES", choices=collector_choices, multiple=True),
        Option("skip", "do not collect these", "NAMES", choices=collector_choices, multiple=True),
        Option("units", "read these systemd units instead of the default ones", "UNITS", convert=unit_name, multiple=True),
        *JOB_OPTIONS,
        *cluster_options.CLUSTER,
        *LOGGING,
        HELP,
    ),
    examples=(
        ("eidos fleet --hosts 'gpu-[01-64]'", "compare 64 hosts over ssh"),
        ("eidos fleet --hosts hosts.txt -o today --exit-code", "read hosts from a file, fail on a difference"),
        ("eidos fleet --hosts 'gpu-[01-64]' --via 'srun -w {host}'", "through Slurm"),
        ("eidos fleet --hosts web-1,web-2 --via 'docker exec -i {host}'", "in containers"),
        ("eidos fleet --kubernetes --create-namespace", "the GPU nodes of a cluster"),
        ("eidos fleet --kubernetes --selector '*' --gpu none", "all nodes of a cluster"),
        ("eidos fleet --clean", "remove what killed runs left"),
        ("eidos fleet --hosts 'gpu-[01-64]' --check --intent training", "what is wrong, and on which nodes"),
        ("eidos fleet --from today --check -t json", "the same of saved snapshots, for programs"),
        ("eidos fleet --from today --against golden.yaml", "compare with one node"),
    ),
    notes=(
        (
            "In a cluster each node gets a Job that writes to a ConfigMap; all of these are removed at the end, also after an interrupt. "
            "What a killed run left is removed by the next one when it is over for certain, or by --clean. "
            "Run 'eidos manifest agent --explain-privileges' to see what each privilege of the Jobs is for."
        ),
        "--via is split into words like in a shell, but not run by one; the command that starts Python is appended.",
        (
            "Exit status: 0 a snapshot of every node; 1 failed; 2 wrong usage; 3 no snapshot of a node, or something could not be judged "
            "(--check); 4 a node differs (--exit-code), or a finding at or above --fail-on (--check). "
            "Values that a node could not read are reported as unknown, neither equal nor different."
        ),
    ),
)


def run(values: Values) -> int:
    """Take snapshots of all nodes, write them into a folder, and print how they compare."""
    from contextlib import closing

    from eidos import reading_selection
    from eidos.fleet.results import CLUSTER, ResultsFolder, require_empty

    sources = [f"--{name}" for name in ("hosts", "kubernetes", "from") if values[name]]
    if len(sources) > 1:
        raise InvalidInput(f"{' and '.join(sources)} cannot be used together", "use one of them")
    if values["clean"]:
        from eidos.cli.fleet_jobs import clean_cluster

        if values["hosts"] or values["from"]:
            raise InvalidInput(
                f"{sources[0]} and --clean cannot be used together", f"remove {sources[0]}; over ssh nothing is left on hosts"
            )
        return clean_cluster(values)
    if values["push"]:
        from eidos.oci.reference import parse_reference

        parse_reference(values["push"])  # a mistake in it is found before the work, not after
    measure = FleetMeasure(values)
    if values["from"]:
        return _compare_saved(values, measure)
    rules = reading_selection.shipped_selection()
    pseudonyms = make_pseudonyms(values)
    location, new = _output_folder(values["output"])
    values["timeout"] = values["timeout"] or (JOB_TIMEOUT_S if values["kubernetes"] else SSH_TIMEOUT_S)
    cluster_jobs: ClusterJobs | None = None
    if values["kubernetes"]:
        from eidos.cli.fleet_jobs import ClusterJobs

        for name in ("via", "python"):
            if values.origins.get(name) == f"--{name}":
                raise InvalidInput(f"--{name} needs --hosts")
        if not new:
            require_empty(location)
        cluster_jobs = ClusterJobs(values, _selected(values))
        nodes, answers = cluster_jobs.nodes, cluster_jobs.run()
    else:
        nodes, answers = _collect_over_ssh(values)
    shown: Callable[[str], str] = str
    if pseudonyms is not None:
        pseudonyms.add_nodes(nodes)
        shown, answers = pseudonyms.node_name, anonymize_answers(pseudonyms, answers)
    folder = ResultsFolder(location, [shown(node) for node in nodes], rules, new, measure.judge)
    # Closing the answers ends what still runs, whatever happens in between.
    try:
        cluster = cluster_jobs.take_cluster_snapshot() if cluster_jobs else None
        if cluster is not None:
            folder.cluster = pseudonyms.anonymize(cluster) if pseudonyms else cluster
            folder.write(CLUSTER, folder.cluster.to_tree())
        with closing(answers), Progress(len(nodes), values["parallel"], values["timeout"]) as progress:
            for node, answer in answers:
                folder.add(node, answer)
                no_answer = folder.unanswered.get(node)
                if no_answer:
                    progress.show(folder, f"{node}: no snapshot: {no_answer.why}", no_answer.hint)
                else:
                    progress.show(folder)
    except BaseException:
        remains = folder.abandon(len(nodes))
        if remains:
            log.warn(remains, hint="remove it; the run was interrupted")
        raise
    summary = folder.write_summary(measure.golden, measure.golden_name)
    is_stored = values["output"] is not None and document_locations.is_in_object_store(values["output"])
    status = _report(summary, rules, values, "" if is_stored else folder.path)
    if values["push"]:
        _push_snapshots(folder, values)
    if is_stored:
        from eidos.cli.object_store_locations import store_folder

        store_folder(values["output"], folder.path, values)
    return status


def _push_snapshots(folder: ResultsFolder, values: Values) -> None:
    """Push what the nodes answered, as one artifact."""
    from eidos.cli import registry_locations
    from eidos.oci.reference import parse_reference

    names = folder.snapshot_files()
    if not names:
        log.warn(f"--push: no snapshot of any node: nothing is pushed to {values['push']}")
        return
    result = registry_locations.push_fleet(folder.path, names, parse_reference(values["push"]), values)
    log.print_summary([f"pushed {count_of(len(names), 'snapshot')} to {values['push']}: {result.digest}"])


def _compare_saved(values: Values, measure: FleetMeasure) -> int:
    """Compare and judge the snapshots in a folder; print the summary."""
    from contextlib import ExitStack, closing

    from eidos import reading_selection
    from eidos.fleet.results import FleetResults

    used = [flag for name in _NOT_WITH_FROM if (flag := values.origins.get(name, "")).startswith("--")]
    if used:
        raise InvalidInput(f"{', '.join(used)} cannot be used with --from", "remove it; no node is read, and nothing is written")
    rules = reading_selection.shipped_selection()
    results = FleetResults(rules, measure.judge)
    faults: list[tuple[str, EidosError]] = []
    with ExitStack() as stack:
        folder = document_locations.local_folder(values["from"], values, stack, "FLEET")
        files, answers = saved_snapshots(folder)
        if measure.judge:
            results.cluster = saved_cluster(folder, faults)
        with closing(answers), Progress(len(files), 1, 1.0) as progress:
            for node, answer in answers:
                results.add(node, answer)
                progress.show(results)
    status = _report(results.summarize(measure.golden, measure.golden_name), rules, values)
    for lost, fault in faults:
        log.error(lost + fault.message, hint=fault.hint, excerpt=fault.excerpt)
    return status or (INCOMPLETE if faults else 0)


def _output_folder(path: str | None) -> tuple[str, bool]:
    """The folder, and whether it must be a new one, with a number if need be; InvalidInput for what is not a folder."""
    new_name = time.strftime("fleet-%Y%m%dT%H%M%SZ", time.gmtime())
    if path is None:
        return new_name, True
    if path == document_locations.STDOUT or document_locations.is_remote(path):
        raise InvalidInput(f"--output: {path!r} is not a folder", "use --format json to print the summary")
    if document_locations.is_in_object_store(path):
        from eidos.cli.object_store_locations import temporary_name

        document_locations.check_writable(path)
        return temporary_name(new_name), True
    return path, False


def _report(summary: FleetSummary, rules: ReadingSelection, values: Values, folder: str = "") -> int:
    """Print the summary; the exit status."""
    fmt = values["format"] or "table"
    if fmt == "table":
        from eidos.cli.fleet_table import fleet_table

        text = document_locations.fit_table(
            document_locations.STDOUT, lambda width, colour: fleet_table(summary, rules.phrases, width, folder, colour)
        )
    else:
        text = serialize({**summary.to_tree(), **({"folder": folder} if folder else {})}, fmt)
    document_locations.write_document(document_locations.STDOUT, text)
    findings = summary.findings
    if summary.unanswered:
        total = len(summary.unanswered) + summary.answered
        hint = f"see {folder}/summary.yaml for the reasons" if folder else None
        log.error(f"no snapshot of {len(summary.unanswered)} of {total} nodes", hint=hint)
    if findings is not None and is_failed(findings, values):
        return FINDINGS
    if summary.unanswered:
        return INCOMPLETE
    if summary.odd and values["exit-code"]:
        return FINDINGS
    return INCOMPLETE if findings is not None and is_unknown(findings, values) else 0


def _selected(values: Values) -> list[str]:
    names = collectors.list_collectors()
    selected = apply_only_and_skip(names, values["only"], values["skip"])
    if not selected:
        raise InvalidInput("--only and --skip leave no collector", f"collectors are {', '.join(names)}")
    return selected


def _collect_over_ssh(values: Values) -> tuple[list[str], Answers]:
    """The hosts, and their answers over ssh or another command."""
    from eidos.fleet import bootstrap, ssh

    for name in ("selector", "keep", "start-timeout", *(option.name for option in JOB_OPTIONS)):
        if values.origins.get(name) == f"--{name}":
            raise InvalidInput(f"--{name} needs --kubernetes")
    nodes = _hosts(values["hosts"], values.origins.get("hosts", "--hosts"))
    if len(nodes) > values["max-hosts"]:
        hint = f"check the list, or use --max-hosts {len(nodes)}"
        raise InvalidInput(f"{count_of(len(nodes), 'host')}; expected at most {values['max-hosts']:,}", hint)
    timeout = values["timeout"]
    command = ssh.leading_command(values["via"], timeout)
    key = os.urandom(KEY_BYTES).hex().encode()
    arguments = [*_remote_arguments(values), "--digest-withheld"]
    program = bootstrap.build_program(values["program"] or sys.argv[0], arguments, key=key, more=carried_entries(values["plugin"]))
    return nodes, ssh.collect_over_ssh(
        nodes, program, leading=command, python=values["python"], parallel=values["parallel"], timeout=timeout
    )


def _hosts(words: tuple[str, ...], origin: str) -> list[str]:
    """The hosts that these words are, or that are in the files that they name; ``origin`` is the flag or the variable."""
    from eidos.fleet.hostlist import parse_hostlist

    if not words:
        raise InvalidInput(
            "eidos fleet needs --hosts, --kubernetes or --from", "use --hosts gpu-01,gpu-02, or --hosts FILE with one host per line"
        )
    names: dict[str, None] = {}
    for word in words:
        if word == document_locations.STDOUT or "/" in word or word.endswith(LIST_EXTENSIONS) or os.path.isfile(word):
            location = "standard input" if word == document_locations.STDOUT else word
            content = document_locations.read_document(
                word, MAX_LIST_BYTES, "use --hosts gpu-01,gpu-02, or --hosts FILE with one host per line"
            )
            if len(content) > MAX_LIST_BYTES:
                raise InvalidInput(
                    f"{location}: the list of hosts is larger than {MAX_LIST_BYTES >> 20} MiB", "check that this is the right file"
                )
            names.update(dict.fromkeys(parse_hostlist(content.decode("utf-8-sig", "replace"), location)))
        else:
            try:
                names.update(dict.fromkeys(parse_hostlist(word, origin)))
            except InvalidInput as fault:
                if origin == "--hosts":
                    raise
                raise InvalidInput(f"{origin}: invalid list of hosts", fault.hint) from None
    return list(names)


def _remote_arguments(values: Values) -> list[str]:
    """The arguments of eidos on a node, without cluster-wide collectors: the cluster is no part of a node."""
    own = [name for name in _selected(values) if not collectors.is_cluster_wide(name)]
    if not own:
        raise InvalidInput("--only and --skip leave no collector that reads the node itself")
    words = ["snapshot", "--output=-", "--format=json", "--log-level=error", "--log-format=text", f"--only={','.join(own)}"]
    words += [f"--plugin={plugin.reference()}" for plugin in values["plugin"]]
    words += ["--volatile"] if values["check"] else []
    words += [f"--timeout={min(COLLECTORS_TIMEOUT_S, values['timeout'] / 2):g}s"]
    return [*words, f"--units={','.join(values['units'])}"] if values["units"] else words
