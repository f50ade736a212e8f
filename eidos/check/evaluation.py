"""Judges one expert check on one node.

Knows the order in which a check is judged: whether it applies, what it needs, what must hold; must not know any check. A check is never
passed by what could not be read, nor by the lack of what it is about.
"""

from __future__ import annotations

from eidos.check.node_readings import GPUS
from eidos.model.condition_nodes import Judgement, Unread
from eidos.model.finding import DO, FAIL, NOT_APPLICABLE, PASS, SETTING, UNKNOWN, Finding, Remedy, RemedyStep
from eidos.model.measurement import VOLATILE
from eidos.model.record import Record, replace
from eidos.wording import list_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Callable

    from eidos.check.definitions import CheckDefinition
    from eidos.check.node_readings import NodeReadings

    Rule = Callable[["RuleContext"], "RuleResult"]

_APPLIES = Judgement(True)

#: How many readings ``actual`` shows.
SHOWN_READINGS = 4


class RuleContext(Record):
    """What a rule may read: the node, the tree of ``rules.yaml``, the day (``2026-11-29``) on which it is judged, and its entry.

    Several entries may name one rule; the path of the entry says what is judged.
    """

    node: NodeReadings
    facts: Mapping[str, Any]
    today: str
    path: str = ""
    needs: tuple[str, ...] = ()


class RuleResult(Record):
    """What a rule found: a judgement, and the texts that an expression would give.

    ``not_applicable`` is the reason why it does not apply; ``reason``, ``title``, ``expected`` and ``remedy`` replace those of its entry
    when they are not empty.
    """

    judgement: Judgement = Judgement(None)
    not_applicable: str = ""
    expected: str = ""
    actual: str = ""
    reason: str = ""
    title: str = ""
    remedy: Remedy | None = None


def load_rule(name: str) -> Rule:
    """The function of ``eidos/check/rules/<name>.py``."""
    rule: Rule = __import__(f"eidos.check.rules.{name.replace('-', '_')}", fromlist=["judge"]).judge
    return rule


def evaluate(check: CheckDefinition, context: RuleContext) -> Finding:
    """The finding of one check; pure."""
    node = context.node
    blank = Finding(check.id, check.title, PASS, check.severity, check.domain, check.path, _expected(check), "", check.reason, check.source)
    applies = check.applies.evaluate(node) if check.applies else _APPLIES
    if applies.value is False:
        return not_applicable(blank, f"only for {check.applies_to}" if check.applies_to else f"only where {check.applies}")
    unread: dict[str, str] = {}
    for path in check.needs:
        try:
            if not _exists(node, path):
                return not_applicable(blank, f"{path}: {node.absence(path) or 'not set'}")
        except Unread as fault:
            unread[path] = fault.why
    if unread:
        return unknown(blank, unread, node)
    if applies.value is None:
        return unknown(blank, applies.unread, node)
    if check.expect:
        finding = judged(blank, check, RuleResult(check.expect.evaluate(node)), node)
    else:
        finding = judged(blank, check, load_rule(check.rule)(replace(context, path=check.path, needs=check.needs)), node)
    if finding.status not in (PASS, FAIL):
        return finding
    # What made it apply was looked at, too.
    needed = {path: node.readings[path] for path in check.needs if path in node.readings}
    return replace(finding, evidence={**applies.evidence, **needed, **finding.evidence})


def read_each(node: NodeReadings, paths: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The readings that are there, by path, and why others are not known."""
    values: dict[str, str] = {}
    unread: dict[str, str] = {}
    for path in paths:
        try:
            value = node.read(path)
        except Unread as fault:
            unread[path] = fault.why
        else:
            values.update({} if value is None else {path: value})
    return values, unread


def read_instances(
    node: NodeReadings, prefix: str, suffix: str = "", sources: tuple[str, ...] = ()
) -> tuple[dict[str, str], dict[str, str]]:
    """The readings that begin and end so, by what is between, and why there may be others.

    ``sources`` are parts of names of files or folders: one of those that could not be read may have had such a reading.
    """
    texts = list(node.instances(prefix, suffix))
    values, unread = read_each(node, [f"{prefix}{text}{suffix}" for text in texts] or [f"{prefix}*{suffix}"])
    for what, why in node.unread_sources(prefix).items():
        if (what.startswith(prefix) and what.endswith(suffix)) or (what[:1] == "/" and any(part in what for part in sources)):
            unread[what] = why
    end = -len(suffix) or None
    return {path[len(prefix) : end]: value for path, value in values.items()}, unread


def unknown_because(unread: Mapping[str, str], evidence: Mapping[str, str] | None = None) -> RuleResult:
    """What a rule returns that could not read what decides."""
    return RuleResult(Judgement(None, dict(evidence or {}), dict(unread)))


def unknown_versions(values: Mapping[str, str]) -> RuleResult:
    """What a rule returns that compares versions, for the readings among ``values`` that have no version of the form it needs."""
    from eidos.semver import try_parse_version

    def is_version(text: str) -> bool:
        version = try_parse_version(text)
        return version is not None and len(version.numbers) > 1

    return unknown_because({path: f"{text!r} is not a version" for path, text in values.items() if not is_version(text)})


def judged(blank: Finding, check: CheckDefinition, result: RuleResult, node: NodeReadings) -> Finding:
    """The finding of what a condition or a rule says."""
    judgement = result.judgement
    if result.not_applicable:
        return not_applicable(blank, result.not_applicable)
    finding = replace(
        blank,
        expected=result.expected or blank.expected,
        actual=result.actual or shown_readings(judgement.evidence) or ("none" if judgement.value is False else ""),
        reason=result.reason or blank.reason,
        evidence=judgement.evidence,
    )
    if judgement.value is None:
        return unknown(finding, judgement.unread, node)
    if judgement.value:
        if not judgement.evidence and not result.actual:
            return not_applicable(blank, "nothing of that kind on this host")
        return finding
    return replace(finding, status=FAIL, title=result.title or blank.title, remedy=result.remedy or choose_remedy(check, node))


def choose_remedy(check: CheckDefinition, node: NodeReadings) -> Remedy | None:
    """The first remedy whose condition holds on this node, and whose settings have a form on it."""
    for each in check.remedies:
        if each.when is None or each.when.evaluate(node).value:
            remedy: Remedy | None = each.remedy
            if any(step.kind == SETTING for step in each.remedy.steps):
                # Most nodes of a fleet need none.
                from eidos.check.setting_remedies import with_forms

                remedy = with_forms(each.remedy, node)
            if remedy is not None:
                return remedy
    return None


def not_applicable(finding: Finding, reason: str) -> Finding:
    """The finding of a host to which a check does not apply."""
    return replace(finding, status=NOT_APPLICABLE, reason=reason, actual="", evidence={})


def unknown(finding: Finding, unread: Mapping[str, str], node: NodeReadings) -> Finding:
    """The finding of what could not be read: what, why, and which right or flag would show it."""
    paths: dict[str, list[str]] = {}
    for path, why in unread.items():
        paths.setdefault(why, []).append(path)
    reason = "; ".join(f"could not read {list_first(each, SHOWN_READINGS)}: {why}" for why, each in paths.items()) or "could not be judged"
    hints = tuple(dict.fromkeys(hint for path, why in unread.items() if (hint := reading_hint(path, why, node))))
    if hints not in node.hint_remedies:
        node.hint_remedies[hints] = Remedy(tuple([RemedyStep(DO, hint) for hint in hints])) if hints else None
    remedy = node.hint_remedies[hints]
    return replace(finding, status=UNKNOWN, reason=reason, remedy=remedy, actual="", evidence=dict(finding.evidence))


#: Part of why something could not be read → what would show it.
_HINTS = (
    ("--volatile", "take the snapshot with --volatile, or run 'eidos check' on the node"),
    ("--reveal", ""),
    ("captured tree", "add --smi FILE with what 'nvidia-smi -q -x' printed on that machine"),
    ("permission denied", "run as root"),
    ("hostNetwork", "run in the host's network namespace (--host-network)"),
    ("hostIPC", "run in the host's IPC namespace (--host-ipc)"),
    ("hostPID", "run in the host's PID namespace (--host-pid)"),
    ("does not say what was looked at", "take the snapshot with this version of eidos"),
)


def reading_hint(path: str, why: str, node: NodeReadings) -> str:
    """What to do to read a path, as an imperative sentence; "" when nothing is known."""
    for part, hint in _HINTS:
        if part in why:
            return hint
    return node.hint(path) or ("take the snapshot without --only and --skip, with this version of eidos" if why == "not collected" else "")


def shown_readings(evidence: Mapping[str, str]) -> str:
    """The readings that decided, as one text: the value where there is one (and of which GPU), else ``path value`` of the first ones."""
    if len(evidence) == 1:
        (path, text) = next(iter(evidence.items()))
        return f"{_shown(text)} ({path.split('.')[1]})" if path.startswith(GPUS) else _shown(text)
    if len(set(evidence.values())) == 1 and len({path.partition(".")[2].partition(".")[2] for path in evidence}) == 1:
        instances = [path.split(".")[1] for path in evidence]
        return f"{_shown(next(iter(evidence.values())))} ({list_first(instances, SHOWN_READINGS)})"
    return list_first((f"{path} {_shown(text)}" for path, text in evidence.items()), SHOWN_READINGS)


def _shown(text: str) -> str:
    return text.replace("\t", " ") or "not set"


def _expected(check: CheckDefinition) -> str:
    return check.expected or (check.expect.text if check.expect else "")


def _exists(node: NodeReadings, path: str) -> bool:
    if "*" not in path:
        return node.read(path) is not None
    prefix, _, suffix = path.partition("*")
    if any(True for _ in node.instances(prefix, suffix)):
        return True
    if why := node.unread_instances(path):
        raise Unread(why)
    # Of GPUs each gap names its GPU; of anything else a source that could not be read may have had one.
    return (prefix != GPUS or VOLATILE in suffix) and node.read(path) is not None
