"""``eidos watch``: read and judge this node again and again, and tell what changes.

Knows the flags of the verb, and in which order the parts of a cycle come; must not know what a change is, any check, or HTTP.
"""

from __future__ import annotations

import gc
import os
import sys
import time

from eidos import collectors, log
from eidos.cli.cluster_options import CLUSTER, connect
from eidos.cli.host_snapshot import ROOT, UNITS, is_archive, read_host
from eidos.cli.judge_options import (
    ALLOW_UNKNOWN,
    DATA,
    FAIL_ON,
    MARKS,
    NEVER,
    RECIPE_OPTIONS,
    SELECTION_OPTIONS,
    exit_status,
    parse_interval,
    prepare_judge,
)
from eidos.cli.options import HELP, LOGGING, PLUGIN, Option, Verb, parse_address, parse_port, parse_text, parse_timeout
from eidos.collectors import collector_choices, select_collectors
from eidos.errors import EidosError, InvalidInput, Unavailable
from eidos.model.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from eidos.cli.options import Values
    from eidos.model.check_report import CheckReport
    from eidos.server.metrics_listener import MetricsListener
    from eidos.watch.change_program import ChangeProgram
    from eidos.watch.node_marks import NodeMarks
    from eidos.watch.node_watch import Cycle, NodeWatch
    from eidos.watch.watch_metrics import WatchMetrics

#: Seconds between two looks at what else runs while nothing is due.
SLICE_S = 5.0

#: Seconds that the API server has to answer when the node is marked.
MARK_TIMEOUT_S = 10.0

#: Seconds by which a cycle may be late before it counts as stuck.
PATIENCE_S = 60.0


def parse_count(value: str) -> int:
    """A number of cycles."""
    if not (value.isascii() and value.isdigit()) or len(value) > 9 or int(value) < 1:
        raise InvalidInput(f"invalid number of cycles {value!r}: expected a whole number from 1")
    return int(value)


def parse_listen_address(value: str) -> tuple[str, int]:
    """Host and port to listen on; without a host, every address.

    >>> parse_listen_address(":9479"), parse_listen_address("[::1]:0"), parse_listen_address("127.0.0.1:9479")
    (('::', 9479), ('::1', 0), ('127.0.0.1', 9479))
    """
    host, colon, port = parse_text(value).rpartition(":")
    if not colon or (":" in host and host[:1] != "["):
        raise InvalidInput(f"invalid address {value!r}: expected ADDRESS:PORT", "write it like 127.0.0.1:9479 or :9479")
    return parse_address(host) if host else "::", parse_port(port)


VERB = Verb(
    "watch",
    (
        (
            "Read and judge this node again and again, as 'eidos check' does, and print each change as one line of JSON: findings that "
            "appeared, are gone or changed, and readings that differ. The first line has every finding that fails or is unknown."
        ),
        (
            "Cycles do not overlap: one that takes longer than the interval costs those that would have begun meanwhile. What cannot be "
            "read makes findings unknown, which is a change. Answers of GPUs are used again for five seconds."
        ),
    ),
    (
        PLUGIN,
        Option("interval", "start a cycle at this interval", "DURATION", None, "60s", parse_interval),
        Option("count", "end after this many cycles, with the exit status of 'eidos check'", "N", convert=parse_count),
        Option("listen", "serve Prometheus metrics at ADDRESS:PORT, or :PORT for all addresses", "ADDRESS", convert=parse_listen_address),
        Option("on-change", "run this program for each change, with the line on its standard input", "PROGRAM", completion="file"),
        Option("on-change-timeout", "stop the program after this time", "DURATION", None, "30s", parse_timeout),
        Option("mark-node", "mark the node in Kubernetes while findings at or above --fail-on fail", "MARKS", choices=MARKS, multiple=True),
        Option("without", "do not collect these; what needs them is unknown", "NAMES", choices=collector_choices, multiple=True),
        *RECIPE_OPTIONS,
        replace(ROOT, help="read the host whose file system is mounted at this folder", completion="folder"),
        UNITS,
        *SELECTION_OPTIONS,
        FAIL_ON,
        ALLOW_UNKNOWN,
        DATA,
        Option("timeout", "give up reading this node in a cycle after this time", "DURATION", None, "10s", parse_timeout),
        *CLUSTER,
        *LOGGING,
        HELP,
    ),
    examples=(
        ("eidos watch", "every minute"),
        ("eidos watch --interval 5m --listen 127.0.0.1:9479", "with metrics for Prometheus"),
        ("eidos watch --on-change /etc/eidos/on-change", "run a program for each change"),
        ("eidos watch | jq -r .sentence", "changes in words"),
        ("eidos watch --count 1 --fail-on warning", "once"),
        ("eidos manifest agent --watch", "on each node of a cluster"),
    ),
    notes=(
        "A line is as 'eidos schema change' describes it. What --on-change prints is not shown; its failure is logged.",
        (
            "Exit status: with --count that of 'eidos check'; 1 cannot bind the address or write the output; 2 wrong usage; 129, 130 or "
            "143 ended by SIGHUP, SIGINT or SIGTERM."
        ),
    ),
)


def run(values: Values) -> int:
    """Watch until --count cycles are over or a signal ends the program."""
    from eidos.watch.change_program import ChangeProgram, require_program
    from eidos.watch.watch_metrics import WatchMetrics

    if sys.platform != "linux":
        raise Unavailable(f"eidos watch needs Linux, and this is {sys.platform}", "run it on the node")
    root = values["root"]
    if root != "/" and is_archive(root, time.monotonic() + values["timeout"]):
        raise InvalidInput(f"--root: {root} is an archive, which does not change", f"run 'eidos check --root {root}'")
    if sys.stdout is None:
        from eidos.files.atomic_write import Unwritable

        raise Unwritable("standard output", "it is closed")
    program = None if values["on-change"] is None else ChangeProgram(require_program(values["on-change"]), values["on-change-timeout"])
    names = collectors.list_collectors()
    left_out = select_collectors(values["without"], names)
    selected = [name for name in names if name not in left_out]
    if not selected:
        raise InvalidInput("--without leaves no collector", "remove some of its values")
    marks = _node_marks(values)
    watch = _node_watch(values, selected)
    patience_s = values["timeout"] + PATIENCE_S + (values["on-change-timeout"] if program else 0.0)
    metrics = WatchMetrics(selected, values["interval"], patience_s)
    listener: MetricsListener | None = None
    if values["listen"] is not None:
        from eidos.server.metrics_listener import MetricsListener

        host, port = values["listen"]
        listener = MetricsListener(host, port, metrics)
        log.info(f"listening on {listener.url}")
    try:
        report = _Loop(values, watch, metrics, listener, program, marks).run()
    finally:
        if listener is not None:
            listener.close()
    if report is None:
        return 1  # no cycle could read the node; each said why
    return exit_status(values, [report])


def _node_watch(values: Values, selected: list[str]) -> NodeWatch:
    from eidos.watch.node_watch import NodeWatch

    judge = prepare_judge(values)
    values = _with_smi(values)
    return NodeWatch(
        lambda known: read_host("watch", values, selected, time.monotonic() + values["timeout"], volatile=True, known=known), judge
    )


def _with_smi(values: Values) -> Values:
    """The values with those of flags that other verbs have and this one has not."""
    from eidos.cli.options import Values

    result = Values()
    result.update(values, smi=None)
    result.origins = values.origins
    return result


def _node_marks(values: Values) -> NodeMarks | None:
    if not values["mark-node"]:
        return None
    from eidos.cli.cluster_options import load_cluster
    from eidos.files.node_name import node_name_from_environment
    from eidos.watch.node_marks import NodeMarks, apply_in_child

    if values["fail-on"] == NEVER:
        raise InvalidInput("--mark-node cannot be used with --fail-on never", "choose the severity from which on the node is marked")
    node = node_name_from_environment(os.environ)
    if not node:
        raise InvalidInput("--mark-node: the name of the node in Kubernetes is unknown", "set NODE_NAME")
    load_cluster(values)  # or the first mark would fail
    apply = apply_in_child(lambda deadline: connect(values, deadline), MARK_TIMEOUT_S)
    return NodeMarks(node, values["mark-node"], values["fail-on"], apply)


class _Loop:
    """The cycles of one run."""

    def __init__(
        self,
        values: Values,
        watch: NodeWatch,
        metrics: WatchMetrics,
        listener: MetricsListener | None,
        program: ChangeProgram | None,
        marks: NodeMarks | None,
    ) -> None:
        self._values, self._watch, self._metrics = values, watch, metrics
        self._listener, self._program, self._marks = listener, program, marks
        self._lines: set[tuple[str, str]] = set()

    def run(self) -> CheckReport | None:
        """Run the cycles; the last report, None when the node could not be read in any."""
        from eidos.watch.node_watch import Schedule, wait_until

        began = time.monotonic()
        schedule = Schedule(self._values["interval"], began)
        left = self._values["count"] or -1
        while True:
            cycle = self._run_cycle(began)
            left -= 1
            if not left:
                return cycle.report
            gc.collect()  # between two cycles, and not within one
            due, skipped = schedule.next_start(time.monotonic())
            if skipped:
                self._metrics.record_skipped(skipped)
                log.info(f"the cycle took longer than the interval; {skipped} skipped")
            self._metrics.expect_cycle(due - time.monotonic())
            wait_until(due, time.monotonic, time.sleep, self._check_others, SLICE_S)
            began = time.monotonic()
            self._check_others()

    def _run_cycle(self, began: float) -> Cycle:
        cycle = self._with_fewer_lines(self._watch.run_cycle)
        if cycle.failure:
            log.error(f"cannot judge this node: {cycle.failure}", hint=cycle.hint)
        self._metrics.record_cycle(cycle, time.monotonic() - began)
        if cycle.change is not None:
            self._tell(cycle.change.to_tree())
        if self._marks is not None and cycle.report is not None:
            try:
                self._marks.update(cycle.report)
            except EidosError as fault:
                self._metrics.record_mark_failure()
                log.warn(f"cannot mark the node: {fault.message}", hint=fault.hint)
        return cycle

    def _tell(self, tree: dict[str, object]) -> None:
        from eidos.files.atomic_write import write_stdout
        from eidos.formats.json_writer import emit_json

        line = emit_json(tree, indent=None)
        write_stdout(line.encode())
        if self._program is not None and not self._program.run(line):
            self._metrics.record_program_failure()

    def _with_fewer_lines(self, work: Callable[[], Cycle]) -> Cycle:
        """Do the work of a cycle; what it logs is shown unless the cycle before logged the same."""
        lines: list[tuple[str, str, dict[str, object]]] = []
        log.divert(lambda level, message, fields: lines.append((level, message, fields)))
        try:
            cycle = work()
        finally:
            log.divert(None)
            for level, message, fields in lines:
                if level == "debug" or (level, message) not in self._lines:
                    log.emit(level, message, fields)
        self._lines = {(level, message) for level, message, _ in lines}
        return cycle

    def _check_others(self) -> None:
        """Whether somebody still reads the lines, and the metrics can be read."""
        from eidos.files.atomic_write import check_stdout

        check_stdout()
        if self._listener is None:
            return
        try:
            if self._listener.restart_if_ended():
                log.error("the process that serves metrics ended; it was started again")
        except EidosError as fault:
            log.error(fault.message, hint=fault.hint)
