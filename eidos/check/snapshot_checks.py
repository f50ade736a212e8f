"""Whether a snapshot is fit to be judged: its age, its node, the GPU that it is judged for, and what it lacks.

Knows what makes readings doubtful as such; must not know what they mean. A snapshot in the future is as doubtful as an old one.
"""

from __future__ import annotations

from eidos.check.definitions import CheckDefinition
from eidos.check.evaluation import not_applicable, read_each, unknown
from eidos.check.node_readings import GPU_COUNT, not_a_number
from eidos.model.finding import DO, ERROR, FAIL, INFO, PASS, UNKNOWN, WARNING, Finding, FindingSource, Remedy, RemedyStep
from eidos.model.measurement import FAILED, PARTIAL
from eidos.model.quantity import parse_count
from eidos.model.record import replace
from eidos.timestamp import parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.check.node_readings import NodeReadings

DOMAIN = "snapshot"

_REASONS = {
    "snapshot-age": ("the snapshot is old", WARNING, "What was read then may have changed since.", "at most --max-age old"),
    "snapshot-node": (
        *("the snapshot mixes two nodes", WARNING, "The readings of the cluster are those of another node than the host's."),
        "one name in the metadata and in K8s.node.source-node",
    ),
    "gpu-not-found": (
        *(
            "the GPU that the node is judged for is not there",
            ERROR,
            "What depends on a GPU does not apply without one, and is not judged.",
        ),
        "a GPU that the driver shows",
    ),
    "snapshot-complete": (
        *("the snapshot is incomplete", INFO, "What depends on the missing readings is unknown."),
        "every collector is ok or does not apply",
    ),
}

#: The same as checks, for those who list and explain them.
DEFINITIONS = tuple(
    CheckDefinition(id, title, severity, DOMAIN, "", (), None, "", None, "", expected, reason, FindingSource(check=id), ())
    for id, (title, severity, reason, expected) in _REASONS.items()
)

#: How far a clock may be ahead, in seconds.
AHEAD_S = 300


def snapshot_findings(node: NodeReadings, gpu: str, now: float, maximum_age_s: float) -> Iterator[Finding]:
    """The findings about the snapshot itself; ``gpu`` is the one it is judged for, ``now`` is in seconds since the epoch."""
    yield _age(node, now, maximum_age_s)
    yield _own_node(node)
    yield _gpu(node, gpu)
    yield _complete(node)


def _age(node: NodeReadings, now: float, maximum_age_s: float) -> Finding:
    text = node.snapshot.timestamp
    blank = replace(_blank("snapshot-age"), expected=f"at most {_duration(maximum_age_s)} old", evidence={"snapshot.timestamp": text})
    taken = parse_timestamp(text)
    if taken is None:
        return replace(blank, status=UNKNOWN, reason=f"the snapshot has no time that can be read: {text!r}", evidence={})
    age = now - taken
    if age < -AHEAD_S:
        return replace(
            blank, status=FAIL, title="the snapshot is from the future", actual=text, remedy=_do("check the clocks of both machines")
        )
    actual = f"{_duration(max(age, 0))} old"
    return replace(
        blank, status=PASS if age <= maximum_age_s else FAIL, actual=actual, remedy=_do("take a new one") if age > maximum_age_s else None
    )


def _own_node(node: NodeReadings) -> Finding:
    """The name in the metadata against that in the cluster's part."""
    blank = replace(_blank("snapshot-node"), expected=node.snapshot.node, path="K8s.node.source-node")
    other = node.readings.get("K8s.node.source-node", "")
    if not other or not node.snapshot.node:
        return not_applicable(blank, "the snapshot names its node once" if node.snapshot.node or other else "the snapshot names no node")
    evidence = {"K8s.node.source-node": other, "snapshot.node": node.snapshot.node}
    return replace(
        blank,
        status=PASS if other == node.snapshot.node else FAIL,
        actual=other,
        evidence=evidence,
        remedy=None if other == node.snapshot.node else _do("set NODE_NAME to the name of the node, and take a new one"),
    )


def _gpu(node: NodeReadings, gpu: str) -> Finding:
    """Whether a GPU is there at all; which one it is, other checks say."""
    blank = replace(_blank("gpu-not-found"), path=GPU_COUNT, expected=gpu or "a GPU")
    if not gpu:
        return not_applicable(blank, "no GPU was detected or requested")
    shown = [GPU_COUNT] if GPU_COUNT in node.readings else node.paths("GPU.")[:1]
    values, unread = read_each(node, shown or [GPU_COUNT])
    text = values.get(GPU_COUNT, "1")
    if parse_count(text) is None:
        return unknown(blank, {GPU_COUNT: not_a_number(text)}, node)
    if values and parse_count(text):
        return replace(blank, actual=next(iter(values.values())), evidence=values)
    if unread:
        return unknown(blank, unread, node)
    why = text if values else node.absence(GPU_COUNT) or "no GPU readings"
    return replace(
        blank,
        status=FAIL,
        actual=why,
        evidence=values,
        remedy=_do("check that the node has the GPU, and that its driver is loaded; else choose without --gpu"),
    )


def _complete(node: NodeReadings) -> Finding:
    blank = _blank("snapshot-complete")
    if not node.outcomes:
        return replace(
            blank, status=UNKNOWN, reason="the snapshot does not say what was looked at", remedy=_do("take one with this version of eidos")
        )
    lost = {name: outcome.reason or "" for name, outcome in node.outcomes.items() if outcome.outcome in (FAILED, PARTIAL)}
    if not lost:
        return replace(blank, actual="complete", evidence={f"snapshot.{name}": outcome.outcome for name, outcome in node.outcomes.items()})
    evidence = {f"snapshot.{name}": f"{node.outcomes[name].outcome}{why and f': {why}'}" for name, why in lost.items()}
    return replace(blank, status=FAIL, actual=", ".join(f"{name} is {node.outcomes[name].outcome}" for name in lost), evidence=evidence)


def _blank(id: str) -> Finding:
    title, severity, reason, expected = _REASONS[id]
    return Finding(id, title, PASS, severity, DOMAIN, expected=expected, reason=reason, source=FindingSource(check=id))


def _do(text: str) -> Remedy:
    return Remedy((RemedyStep(DO, text),))


def _duration(seconds: float) -> str:
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length or (seconds >= length and unit == "minute"):
            return f"{int(seconds // length)} {unit}s"
    return f"{int(seconds)} seconds"
