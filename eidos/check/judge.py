"""Judges a node: a snapshot, a recipe or none, and checks become a report.

Knows which findings there are and how those of one path become one; must not know any check, where documents come from, nor how a report is
shown. Pure: the same arguments give the same report.
"""

from __future__ import annotations

import time

from eidos import __version__
from eidos.check.definitions import read_checks
from eidos.check.derived_readings import derive
from eidos.check.evaluation import RuleContext, evaluate
from eidos.check.node_readings import NodeReadings
from eidos.check.profile import Profile
from eidos.check.recipe_findings import RECIPE_DOMAINS, recipe_findings
from eidos.check.snapshot_checks import DEFINITIONS, snapshot_findings
from eidos.check.value_comparison import NAME as COMPARISONS
from eidos.check.value_comparison import read_comparisons
from eidos.model.check_report import CheckReport
from eidos.model.finding import FAIL, INFO, SEVERITIES, WARNING
from eidos.model.record import Record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from eidos.check.definitions import CheckDefinition
    from eidos.check.value_comparison import Comparisons
    from eidos.check.waivers import Waiver
    from eidos.model.finding import Finding
    from eidos.model.query import Query
    from eidos.model.recipe import Recipe
    from eidos.model.snapshot import Snapshot
else:
    from _collections_abc import Mapping  # without the package collections

#: Where the data of the archive has the trees of its conditions.
CONDITIONS = "conditions"

#: Seconds after which a saved snapshot is old.
MAXIMUM_AGE_S = 86400.0

NO_INTENT = "training and inference settings were not judged (choose with --intent)"


class CheckData(Record):
    """What is judged by, as data: expert checks, how readings compare, and the facts of ``rules.yaml`` (life cycles)."""

    checks: tuple[CheckDefinition, ...] = ()
    comparisons: Comparisons | None = None
    facts: Mapping[str, Any] = {}


class CheckOptions(Record):
    """How a node is judged.

    ``profile`` and ``waivers`` are the site's; ``now`` is in seconds since the epoch (None: the clock); ``maximum_age_s`` is how old a
    snapshot may be.
    """

    profile: Profile = Profile()
    waivers: tuple[Waiver, ...] = ()
    now: float | None = None
    maximum_age_s: float = MAXIMUM_AGE_S


def read_check_data(trees: Mapping[str, Any]) -> CheckData:
    """The data among the trees of recipes (path below the folder → tree); InvalidData with file and path for what is malformed.

    With :data:`CONDITIONS`, the trees of all conditions in each of them by text, it was read without a fault before.
    """
    facts, conditions = trees.get("rules.yaml"), trees.get(CONDITIONS)
    comparisons = read_comparisons(trees.get(COMPARISONS), conditions=conditions and conditions[COMPARISONS])
    return CheckData(read_checks(trees, conditions), comparisons, facts if isinstance(facts, Mapping) else {})


def judge(
    snapshot: Snapshot,
    recipe: Recipe | None,
    query: Query,
    data: CheckData,
    options: CheckOptions,
    before_finding: Callable[[], object] = lambda: None,
    plugins: Iterable[str] = (),
) -> CheckReport:
    """The report of one node; ``query`` is what was detected and requested, ``recipe`` None judges by checks alone.

    ``before_finding`` is called before each path of the recipe and each check; what it raises ends the work. ``plugins`` are names of those
    with checks; the report has them, and those behind the snapshot and the recipe.
    """
    now = time.time() if options.now is None else options.now
    clock = time.gmtime(now)
    today = time.strftime("%Y-%m-%d", clock)
    node = NodeReadings(snapshot)
    derive(node, query, recipe)
    context = RuleContext(node, data.facts, today)
    findings = [*snapshot_findings(node, query.gpu, now, options.maximum_age_s)]
    if recipe is not None and data.comparisons is not None:
        findings += recipe_findings(recipe, node, data.comparisons, before_finding)
    for check in data.checks:
        before_finding()
        findings.append(evaluate(check, context))
    findings = options.profile.apply(merge_paths(findings))
    if options.waivers:
        from eidos.check.waivers import apply_waivers

        findings = apply_waivers(findings, options.waivers, snapshot.node, today)
    return CheckReport(
        timestamp=time.strftime("%Y-%m-%dT%H:%M:%SZ", clock),
        version=__version__,
        node=snapshot.node,
        snapshot_timestamp=snapshot.timestamp,
        recipe_digest=recipe.digest if recipe else "",
        notes=(NO_INTENT,) if recipe is None or not recipe.request.intent else (),
        findings=tuple(sorted(findings, key=lambda finding: finding.sort_key())),
        plugins=tuple(dict.fromkeys((*snapshot.plugins, *(recipe.plugins if recipe else ()), *plugins))),
    )


def known_words(data: CheckData) -> list[str]:
    """What can select checks: ids, domains and severities."""
    checks = all_checks(data)
    return list(dict.fromkeys([*(check.id for check in checks), *RECIPE_DOMAINS, *(check.domain for check in checks), *SEVERITIES]))


def all_checks(data: CheckData) -> tuple[CheckDefinition, ...]:
    """Every check that there is: those of the data, and those of the snapshot itself."""
    return (*data.checks, *DEFINITIONS)


def merge_paths(findings: Iterable[Finding]) -> list[Finding]:
    """The findings without recommendations of the recipe (whose id is their path) about which a check says the same and more.

    A check and a recommendation of one path that both fail are one finding: the check's, with the worse severity. A limit stays beside
    a check: a driver can be both too old and at the end of its life.
    """
    findings = list(findings)
    recommended = {f.id: f for f in findings if f.id == f.path and f.status == FAIL and f.severity in (WARNING, INFO)}
    result = []
    repeated = set()
    for finding in findings:
        other = recommended.get(finding.path)
        if other is not None and other is not finding and finding.status == FAIL:
            repeated.add(other.id)
            worst = min(finding.severity, other.severity, key=SEVERITIES.index)
            finding = replace(finding, severity=worst, remedy=finding.remedy or other.remedy)
        result.append(finding)
    return [finding for finding in result if finding.id not in repeated]


def findings_at_or_above(findings: Iterable[Finding], status: str, severity: str) -> list[Finding]:
    """Those with a status, of a severity or a worse one."""
    limit = SEVERITIES.index(severity)
    return [finding for finding in findings if finding.status == status and SEVERITIES.index(finding.severity) <= limit]
