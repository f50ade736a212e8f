"""Whether anybody watches a run: a file of metrics is asked for, or a place for traces.

Knows how that is asked for; must not know what is told: ``cli.observed`` does, and is imported only when somebody listens.
"""

from __future__ import annotations

import os

from eidos.cli.options import Option, path
from eidos.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Union

    from typing_extensions import Self

    from eidos.cli.options import Values
    from eidos.cli.run_telemetry import Observed
    from eidos.collectors import Collect
    from eidos.model.bundle import Bundle
    from eidos.model.measurement import Outcome
    from eidos.model.recipe import Recipe
    from eidos.telemetry.spans import Span

    Watch = Union["Unwatched", Observed]
    Work = Callable[[Values, Watch], int]

#: What node_exporter reads in a folder (its documentation, "Textfile Collector").
ENDING = ".prom"


def prom(value: str) -> str:
    """A path that node_exporter reads; InvalidInput for another."""
    if not path(value).endswith(ENDING):
        raise InvalidInput(f"{value!r} does not end in {ENDING}, and node_exporter reads no other file")
    return value


METRICS_FILE = Option(
    "metrics-file",
    f"write metrics of this run into this file, one for each verb, for node_exporter: FILE{ENDING}",
    "FILE",
    convert=prom,
    completes="file",
)


class Unwatched:
    """Does nothing with what it is told, and costs nothing."""

    def step(self, name: str) -> Unwatched | Span:
        """A part of the run, from now until the end of the block."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        pass

    def collector(self, names: Sequence[str]) -> Callable[[str], Collect]:
        """What gives the function of each collector."""
        from eidos import collectors

        return collectors.load

    def outcomes(self, found: Iterable[Outcome]) -> None:
        """What became of the collectors."""

    def recipe(self, made: Recipe, seconds: float) -> None:
        """A recipe was built."""

    def bundle(self, made: Bundle) -> None:
        """A bundle was made."""

    def carried(self) -> dict[str, str]:
        """What a request to another service carries: the trace that this program was started in."""
        if "TRACEPARENT" not in os.environ:
            return {}
        from eidos.telemetry.trace_context import from_environment

        found = from_environment(os.environ)
        return found.headers() if found else {}


def run(verb: str, values: Values, work: Work) -> int:
    """Do the work of a verb; the exit status. Whoever watches is told of it."""
    named = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if values["metrics-file"] is None and not named:
        return work(values, Unwatched())
    from eidos.cli.run_telemetry import Observed

    return Observed(verb, values["metrics-file"]).run(values, work)
