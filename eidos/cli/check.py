"""``eidos check``: what is wrong with this node, and what to do about it.

Knows the flags of the verb, where snapshots come from, and what is written; must not know any check, nor how one is judged.
"""

from __future__ import annotations

import os
import time

from eidos import collectors, log
from eidos.check.report_formats import FORMATS
from eidos.cli import document_locations
from eidos.cli.cluster_options import CLUSTER, OR_IN_CLUSTER
from eidos.cli.exit_status import INCOMPLETE
from eidos.cli.host_snapshot import ROOT, SMI, UNITS, read_host, refuse_host_flags
from eidos.cli.judge_options import ALLOW_UNKNOWN, DATA, FAIL_ON, QUICK, RECIPE_OPTIONS, SELECTION_OPTIONS, exit_status, prepare_judge
from eidos.cli.options import FORMAT, HELP, LOGGING, OUTPUT, PLUGIN, Option, Verb, parse_path, parse_timeout
from eidos.cli.recipe_query import open_store
from eidos.collectors import collector_choices
from eidos.errors import EidosError, InvalidData, InvalidInput
from eidos.model.record import replace
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eidos.cli.options import Values
    from eidos.model.check_report import CheckReport
    from eidos.model.snapshot import Snapshot

    Judge = Callable[[Snapshot], CheckReport]

TABLE = "table"

#: Flags for documents whose reading may block or needs a thread: they are read before collectors start. Without them only files of the
#: program are read, while collectors run.
_DOCUMENTS = ("server", "recipe", "data", "plugin", "profile", "waivers")

#: Format by the extension of --output, besides those of every document.
_BY_EXTENSION = {".html": "html", ".md": "markdown", ".prom": "prometheus", ".sarif": "sarif", ".xml": "junit"}

_FORMATS = {TABLE: "for people", **{name: purpose for name, (_, purpose) in FORMATS.items()}}


VERB = Verb(
    "check",
    (
        (
            "Judge this node, or a saved snapshot, by a recipe and by expert checks: report what is wrong, worst first, why it matters, "
            "and what to do about it. Nothing on the node is changed."
        ),
        "The recipe is that of the detected hardware, system and service, unless --recipe or query flags name another.",
    ),
    (
        PLUGIN,
        Option(
            "file",
            "judge a saved snapshot, - for standard input, or all in a folder" + OR_IN_CLUSTER,
            "FILE",
            "f",
            convert=parse_path,
            completion="file",
        ),
        *RECIPE_OPTIONS,
        ROOT,
        SMI,
        UNITS,
        QUICK,
        *SELECTION_OPTIONS,
        Option(
            "write-waivers", "write a file that accepts the present findings", "FILE", convert=parse_path, completion="file", flag_only=True
        ),
        Option("script", "write a script with the remedies, - for stdout", "FILE", convert=parse_path, completion="file", flag_only=True),
        FAIL_ON,
        ALLOW_UNKNOWN,
        Option("require", "exit 3 when one of these collectors is not ok", "NAMES", choices=collector_choices, multiple=True),
        Option("max-age", "report a snapshot that is older", "DURATION", None, "24h", parse_timeout),
        DATA,
        Option("server", "let this server judge instead: https://eidos.example.com", "URL"),
        Option("timeout", "give up on reading this node, or on the server, after this time", "DURATION", None, "10s", parse_timeout),
        *CLUSTER,
        Option("all", "show what passed and what does not apply, too", flag_only=True),
        Option("list", "list the checks; judge nothing", flag_only=True),
        replace(OUTPUT, help=OUTPUT.help + OR_IN_CLUSTER),
        Option("format", "set the output format (default table)", "FORMAT", FORMAT.short, None, choices=_FORMATS),
        *LOGGING,
        HELP,
    ),
    examples=(
        ("eidos check", "this node"),
        ("eidos check --intent training", "with the settings for training"),
        ("eidos check -f node.yaml", "a saved snapshot"),
        ("eidos check -f node.yaml -r recipe.yaml -t json", "by a recipe, for programs"),
        ("eidos check --only gpu,driver --fail-on warning", "some domains, strictly"),
        ("eidos check -f snapshots/ -o report.html", "many nodes on one page"),
        ("eidos check --write-waivers waivers.yaml", "accept what is so today"),
        ("eidos check --script fix.sh", "the remedies of this host as a script"),
        ("eidos check --server https://eidos.example.com", "judged by a server"),
        ("eidos check --quick", "health check of a scheduler: one line, exit status"),
        ("eidos explain nouveau-loaded", "what a check looks for, and why"),
    ),
    notes=(
        (
            "A limit of the recipe that does not hold is an error, a recommended value that differs a warning. What could not be read is "
            "unknown, never passed. Without --intent or --recipe, settings for training and inference are not judged."
        ),
        (
            "With --server, the snapshot and the recipe or the query are sent; profile, waivers and selection are applied here, and "
            "scripts written here. A request is retried up to three times, after the delay the server asks for (Retry-After)."
        ),
        (
            "Exit status: 0 nothing found; 1 the server did not return a report; 2 wrong usage or invalid input; 3 something could not be "
            "judged, such as a file of a folder, or --require is not met; 4 a finding at or above --fail-on; 124 the server took longer "
            "than --timeout."
        ),
    ),
)


def run(values: Values) -> int:
    """Judge, and write the reports."""
    for location in (values["output"], values["script"]):
        if location is not None:
            document_locations.check_writable(location, values)
    if values["list"]:
        if values.origins.get("server", "").startswith("--"):
            raise InvalidInput("--list cannot be used with --server", "remove one of the two")
        return _list(values)
    prepared: list[Judge] = []

    def prepare() -> None:
        if not prepared:
            prepared.append(_prepare(values))

    if values["file"] is not None or any(map(values.get, _DOCUMENTS)):
        prepare()
    reports: list[CheckReport] = []
    snapshots: list[Snapshot] = []
    unjudged: list[tuple[str, EidosError]] = []  # of which node, where the error does not name a file
    faults: list[tuple[str, EidosError]] = []
    for answer in _snapshots(values, prepare, faults):
        prepare()
        if isinstance(answer, EidosError):
            unjudged.append(("", answer))
            continue
        try:
            reports.append(prepared[0](answer))
        except (InvalidInput, InvalidData) as fault:  # no recipe for this node
            unjudged.append((f"{answer.node}: ", fault))
        if values["require"]:  # thousands may be in a folder
            snapshots.append(answer)
    if unjudged and not reports:
        raise unjudged[0][1]
    _write(values, tuple(reports))
    if values["write-waivers"] is not None:
        _write_waivers(values, reports)
    if values["script"] is not None:
        _write_script(values, reports)
    status = exit_status(values, reports, snapshots)
    for node, error in (*faults, *unjudged):
        log.error(node + error.message, hint=error.hint, excerpt=error.excerpt)
    if unjudged:
        log.error(f"{len(unjudged)} of {count_of(len(reports) + len(unjudged), 'snapshot')} could not be judged")
    return status or (INCOMPLETE if faults or unjudged else 0)


def _prepare(values: Values) -> Judge:
    if values["server"] is not None:
        from eidos.cli.server_judge import prepare_server_judge

        return prepare_server_judge(values)
    return prepare_judge(values, now=time.time(), maximum_age_s=values["max-age"])


def _snapshots(values: Values, prepare: Callable[[], object], faults: list[tuple[str, EidosError]]) -> Iterator[Snapshot | EidosError]:
    """The snapshot of this host, of a file, or all of a folder, by name; ``prepare`` is called while collectors run.

    In a folder, a file that cannot be read as a snapshot yields the error of reading it, and the others follow; the error of reading
    the cluster's file is added to ``faults``.
    """
    location = values["file"]
    if location is None:
        selected: Sequence[str] = collectors.list_collectors()
        if values["quick"]:
            from eidos.check.quick_check import COLLECTORS

            selected = COLLECTORS
        yield read_host("check", values, selected, time.monotonic() + values["timeout"], volatile=True, meanwhile=prepare)
        return
    refuse_host_flags(values, "cannot be used with --file", "remove one of the two")
    if not document_locations.is_in_registry(location) and (document_locations.is_remote(location) or not os.path.isdir(location)):
        yield document_locations.read_snapshot(location, values)[0]
        return
    from contextlib import ExitStack

    with ExitStack() as stack:
        folder = document_locations.snapshot_folder(location, values, stack)
        if folder is None:
            yield document_locations.read_snapshot(location, values)[0]
            return
        yield from _folder_snapshots(folder, location, faults)


def _folder_snapshots(folder: str, location: str, faults: list[tuple[str, EidosError]]) -> Iterator[Snapshot | EidosError]:
    """The snapshots of a folder, such as one that 'eidos fleet' wrote: each node with what is stored of its cluster."""
    from eidos.cli.fleet_check import saved_cluster, snapshot_files
    from eidos.fleet.results import with_cluster

    names = snapshot_files(folder, location)
    cluster = saved_cluster(folder, faults)
    for name in names:
        try:
            snapshot = document_locations.read_listed_snapshot(folder, name)[0]
        except EidosError as fault:
            yield fault
        else:
            yield with_cluster(snapshot, cluster) if cluster else snapshot


def _write(values: Values, reports: tuple[CheckReport, ...]) -> None:
    by_extension = _BY_EXTENSION.get(document_locations.location_extension(values["output"]), TABLE)
    fmt = document_locations.choose_format(values["format"], values["output"], by_extension)
    if fmt == TABLE and values["quick"]:
        from eidos.check.quick_check import quick_line

        text = quick_line(reports, values["fail-on"])
    elif fmt == TABLE:
        from eidos.cli.check_table import check_table

        text = document_locations.fit_table(values["output"], lambda width, colour: check_table(reports, width, colour, values["all"]))
    else:
        from eidos.check.report_formats import render

        text = render(reports, fmt)
    # node_exporter runs as a user of its own, and metrics have no readings.
    mode = 0o644 if fmt == "prometheus" else 0o600
    document_locations.write_document(values["output"], text, values, "report", mode=mode)


def _write_waivers(values: Values, reports: Sequence[CheckReport]) -> None:
    from eidos.check.waivers import DAYS, waivers_of
    from eidos.formats import to_yaml

    tree = waivers_of(reports, reports[0].timestamp[:10])
    document_locations.write_document(values["write-waivers"], to_yaml(tree), values, "waivers")
    log.warn(
        f"{document_locations.display_location(values['write-waivers'])}: {count_of(len(tree['waivers']), 'waiver')} for {DAYS} days",
        hint="write the reason of each into the file",
    )


def _write_script(values: Values, reports: Sequence[CheckReport]) -> None:
    from eidos.check.fix_script import FUNCTIONS, fix_script, plan_remedies
    from eidos.files.resources import read_text

    if len(reports) != 1:
        raise InvalidInput(f"--script is for one node, and there are {len(reports)} snapshots", "name one snapshot with --file")
    planned, others = plan_remedies(reports[0].findings)
    document_locations.write_document(values["script"], fix_script(reports[0], read_text(FUNCTIONS)), values, "script")
    if values["script"] != document_locations.STDOUT and not document_locations.is_in_object_store(values["script"]):
        log.warn(
            f"{values['script']}: {count_of(len(planned), 'remedy')} to carry out, {len(others)} by hand",
            hint=f"run 'sh {values['script']}' to see what it would change",
        )


def _list(values: Values) -> int:
    """Print the checks: as a tree when a format is requested, else by domain."""
    from eidos.check.judge import all_checks, read_check_data
    from eidos.formats import serialize

    checks = all_checks(read_check_data(open_store(values["data"], values).check_data))
    fmt = document_locations.choose_format(values["format"], values["output"], TABLE)
    if fmt in ("yaml", "json"):
        text = serialize([{"id": c.id, "severity": c.severity, "domain": c.domain, "title": c.title} for c in checks], fmt)
    else:
        from eidos.cli.check_table import list_table

        text = document_locations.fit_table(values["output"], lambda width, colour: list_table(checks, width, colour))
    document_locations.write_document(values["output"], text, values, "checks")
    return 0
