"""What a recipe expects of a node: a finding for each of its constraints and recommended readings.

Knows that a constraint is a limit (an error where it does not hold) and a reading a recommendation (a warning where it differs), and that
both of one path are one finding; must not know any path, nor how values compare: ``value_comparison`` does.
"""

from __future__ import annotations

from eidos.check.evaluation import not_applicable, shown_readings, unknown
from eidos.check.value_comparison import ABSENT, FAILS, IGNORE, PRESENT
from eidos.model.condition_nodes import ALL, Comparison, Judgement, Quantified, Unread
from eidos.model.expression import Expression
from eidos.model.finding import ERROR, FAIL, PASS, Finding, FindingSource
from eidos.model.number_format import format_scalar
from eidos.model.quantity import with_unit_of
from eidos.model.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from eidos.check.node_readings import NodeReadings
    from eidos.check.value_comparison import Comparisons
    from eidos.model.constraint import Constraint
    from eidos.model.finding import Remedy
    from eidos.model.recipe import Recipe

#: Beginning of a path → the domain of its finding.
_DOMAINS = (
    ("OS.sysctl.", "kernel"),
    ("OS.grub.", "boot"),
    ("OS.kmod.", "modules"),
    ("OS.release.", "system"),
    ("OS.", "system"),
    ("SystemD.", "services"),
    ("GPU.", "gpu"),
    ("K8s.", "kubernetes"),
)

#: The domains of findings of a recipe.
RECIPE_DOMAINS = tuple(dict.fromkeys(domain for _, domain in _DOMAINS))

#: Beginning of a path → how its thing is called.
_NAMES = (
    ("OS.sysctl./proc/sys/kernel/osrelease", "kernel version"),
    ("OS.release.VERSION_ID", "system version"),
    ("K8s.server.version", "Kubernetes version"),
    ("GPU.smi.driver", "driver version"),
    ("GPU.smi.cuda-version", "CUDA version of the driver"),
    ("OS.sysctl./proc/sys/", "sysctl "),
    ("OS.grub.", "boot parameter "),
    ("OS.kmod.", "kernel module "),
    ("K8s.image.", "image "),
    ("SystemD.", "unit setting "),
    ("GPU.smi.gpu.", "GPU "),
)


def recipe_findings(
    recipe: Recipe, node: NodeReadings, comparisons: Comparisons, before_finding: Callable[[], object] = lambda: None
) -> Iterator[Finding]:
    """A finding for each path that the recipe limits or recommends, by path; ``before_finding`` is called before each."""
    limits = _limits(recipe.constraints)
    values = {path: format_scalar(value) for path, value in recipe.readings().items()}
    why = {f"{m.type}.{s.name}.{key}": text for m in recipe.measurements for s in m.subtypes for key, text in s.context.items()}
    for path in sorted({*limits, *values}):
        before_finding()
        finding = _judge_path(path, limits.get(path), values.get(path), recipe, node, comparisons)
        if finding:
            yield finding if finding.reason or finding.status != PASS else replace(finding, reason=why.get(path, ""))


def _limits(constraints: Iterable[Constraint]) -> dict[str, Constraint]:
    """The constraints by path; of several for one path, which no recipe of ours has, all must hold."""
    limits: dict[str, Constraint] = {}
    for constraint in constraints:
        other = limits.get(constraint.name)
        if other and constraint.value != other.value:
            terms = dict.fromkeys((*other.value.terms, *constraint.value.terms))
            constraint = replace(constraint, value=Expression(tuple(terms)), why=other.why or constraint.why)
        limits[constraint.name] = constraint
    return limits


def _judge_path(
    path: str, limit: Constraint | None, value: str | None, recipe: Recipe, node: NodeReadings, comparisons: Comparisons
) -> Finding | None:
    rule = comparisons.rule(path)
    if rule.way == IGNORE:
        return None
    severity = ERROR if limit else rule.severity
    described = {"value": None if value is None else rule.describe(value), "limit": str(limit.value) if limit else None}
    expected = described["limit"] or described["value"] or ""
    reason = _sentence(limit.why if limit else "") or _context(recipe, path)
    blank = Finding(path, describe_path(path), PASS, severity, domain_of(path), path, expected, reason=reason, source=_source(recipe, path))
    if "*" in path:
        return _judge_instances(blank, limit, node) if limit else None
    try:
        actual = node.read(path)
    except Unread as fault:
        return unknown(blank, {path: fault.why}, node)
    others = _repeated(node, path) if actual is None else []
    if actual is None and not others:
        absence = node.absence(path)
        if limit and {PRESENT, ABSENT} & {each.operator for each in limit.value.plain_terms()}:
            status = PASS if limit.value.holds(None) else FAIL
            return replace(blank, status=status, actual=absence or "not set", evidence={path: ""})
        if limit or rule.absent != FAILS or absence != "not set":
            return not_applicable(blank, f"{describe_path(path)}: {absence or 'not set'}")
    texts = [actual] if actual is not None else others or [None]
    blank = replace(blank, actual=", ".join((text or "not set").replace("\t", " ") for text in texts), evidence={path: actual or ""})
    if limit and actual is not None:
        holds = limit.value.holds(with_unit_of(path, actual))
        if holds is None:
            return unknown(blank, {path: f"{actual!r} cannot be compared with {limit.value}"}, node)
        if not holds:
            return replace(blank, status=FAIL, remedy=_remedy(path, value, node))
    if value is not None and not any(rule.is_satisfied(value, text) for text in texts):
        if rule.way == PRESENT and value == "false":
            return not_applicable(blank, f"{describe_path(path)}: not for this kind of node")
        applies = rule.applies.evaluate(node) if rule.applies else Judgement(True)
        if applies.value is False:
            return not_applicable(blank, f"only for {rule.applies_to}")
        if applies.value is None:
            return unknown(blank, applies.unread, node)
        finding = replace(blank, status=FAIL, severity=rule.severity, expected=rule.describe(value))
        return replace(finding, reason=_context(recipe, path) or reason, remedy=_remedy(path, value, node))
    return replace(blank, expected=expected)


def _remedy(path: str, value: str | None, node: NodeReadings) -> Remedy | None:
    # Most nodes of a fleet need none.
    from eidos.check.setting_remedies import setting_remedy

    return setting_remedy(path, value, node)


def _judge_instances(blank: Finding, limit: Constraint, node: NodeReadings) -> Finding:
    """A limit on a path with a ``*``: on each GPU."""
    judgement = Quantified(ALL, Comparison(blank.path, limit.value)).evaluate(node, "")
    if judgement.value is None:
        return unknown(blank, judgement.unread, node)
    if not judgement.evidence:
        return not_applicable(blank, "nothing of that kind on this host")
    status = PASS if judgement.value else FAIL
    return replace(blank, status=status, actual=shown_readings(judgement.evidence), evidence=judgement.evidence)


def _repeated(node: NodeReadings, path: str) -> list[str | None]:
    """The values of a boot parameter that is given several times: ``hugepages#2``."""
    return [node.readings[other] for other in node.paths(f"{path}#")]


def _context(recipe: Recipe, path: str) -> str:
    for measurement in recipe.measurements:
        for subtype in measurement.subtypes:
            prefix = f"{measurement.type}.{subtype.name}."
            if path.startswith(prefix) and path[len(prefix) :] in subtype.context:
                return _sentence(subtype.context[path[len(prefix) :]])
    return ""


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _source(recipe: Recipe, path: str) -> FindingSource:
    """The layer that set the limit or the value last, and its documents; without a history the recipe alone."""
    steps = recipe.history.get(f"constraints.{path}") or recipe.history.get(path) or ()
    if not steps:
        return FindingSource(layer="the recipe")
    return FindingSource(layer=steps[-1].layer, document="; ".join(steps[-1].sources))


def domain_of(path: str) -> str:
    """The domain of a path's finding.

    >>> domain_of("OS.sysctl./proc/sys/vm/swappiness"), domain_of("GPU.smi.driver")
    ('kernel', 'gpu')
    """
    return next((domain for prefix, domain in _DOMAINS if path.startswith(prefix)), "system")


def describe_path(path: str) -> str:
    """A path as people call the thing.

    >>> describe_path("OS.sysctl./proc/sys/vm/swappiness"), describe_path("OS.grub.iommu"), describe_path("GPU.smi.driver")
    ('sysctl vm.swappiness', 'boot parameter iommu', 'driver version')
    """
    for prefix, name in _NAMES:
        if path == prefix or (name.endswith(" ") and path.startswith(prefix)) or (prefix.endswith(".") and path.startswith(prefix)):
            rest = path[len(prefix) :]
            return f"{name}{rest.replace('/', '.') if prefix.startswith('OS.sysctl') else rest}"
    return path
