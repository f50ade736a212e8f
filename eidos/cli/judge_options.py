"""By what a node is judged: the flags of every verb that judges one, and the exit status of what was found.

Knows the flags for recipe, query, selection, profile, waivers and data, and what they become; must not know where a snapshot comes from,
nor how a report is shown.
"""

from __future__ import annotations

from eidos import log
from eidos.cli import document_locations
from eidos.cli.exit_status import FINDINGS, INCOMPLETE
from eidos.cli.options import Option, parse_path, parse_timeout
from eidos.cli.recipe_query import QUERY_OPTIONS, open_store, query_words
from eidos.collectors import select_collectors
from eidos.errors import InvalidInput
from eidos.model.finding import FAIL, SEVERITIES, UNKNOWN
from eidos.model.measurement import OK
from eidos.model.query import FIELDS
from eidos.model.record import Record, replace
from eidos.wording import list_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eidos.check.judge import CheckData, CheckOptions
    from eidos.check.profile import Profile
    from eidos.check.waivers import Waiver
    from eidos.cli.options import Values
    from eidos.model.check_report import CheckReport
    from eidos.model.query import Query
    from eidos.model.recipe import Recipe
    from eidos.model.snapshot import Snapshot
    from eidos.recipe.store import Store

NEVER = "never"

_FAIL_ON = {**{severity: f"a finding that is {severity} or worse" for severity in SEVERITIES}, NEVER: "no finding"}

#: Seconds between two cycles of a watch, at least.
MINIMUM_INTERVAL_S = 0.01

#: What a node can be marked with.
MARKS = {"condition": "the condition EidosFindings", "label": "the label eidos.dgxc.io/findings"}


def parse_interval(value: str) -> float:
    """The time between two cycles, in seconds."""
    seconds = parse_timeout(value)
    if seconds < MINIMUM_INTERVAL_S:
        raise InvalidInput(f"invalid interval {value!r}: shorter than {MINIMUM_INTERVAL_S:g} s", "write an interval like 60s")
    return seconds


#: The recipe by which a node is judged.
RECIPE_OPTIONS = (
    Option("recipe", "judge by this recipe instead of the detected one", "FILE", "r", convert=parse_path, completion="file"),
    *QUERY_OPTIONS,
)

#: Which checks are judged, and what is accepted.
SELECTION_OPTIONS = (
    Option("only", "judge only these checks, domains or severities", "NAMES", multiple=True),
    Option("skip", "do not judge these", "NAMES", multiple=True),
    Option("profile", "read severities and selection from a file", "FILE", convert=parse_path, completion="file"),
    Option("waivers", "read accepted findings from a file", "FILE", convert=parse_path, completion="file"),
)

QUICK = Option("quick", "run only fast checks, without a recipe; print one line", flag_only=True)

FAIL_ON = Option("fail-on", "exit 4 from this severity on", "SEVERITY", None, "error", choices=_FAIL_ON)
ALLOW_UNKNOWN = Option("allow-unknown", "exit 0 although something could not be judged")

DATA = Option(
    *("data", "add recipes and checks from a folder or cm://NAMESPACE/NAME; repeat it to stack several", "PATH"),
    convert=parse_path,
    multiple=True,
    split_commas=False,
    completion="file",
)


class JudgeInputs(Record):
    """What the flags name to judge by; ``recipe_document`` are the bytes of --recipe, without which ``recipe`` is None."""

    store: Store
    recipe: Recipe | None
    recipe_document: bytes
    query: Query | None
    data: CheckData
    options: CheckOptions


def read_judge_inputs(values: Values) -> JudgeInputs:
    """What the flags name to judge by. Raises as :func:`prepare_judge`."""
    require_recipe_or_query(values)
    store = open_store(values["data"], values)
    recipe, document = document_locations.read_recipe_document(values["recipe"], values) if values["recipe"] is not None else (None, b"")
    query = None if recipe else store.catalog.parse_query(query_words(values), values.origins)
    from eidos.check.judge import read_check_data

    data = read_check_data(store.check_data)
    words = (*values["only"], *values["skip"])
    if words:
        from eidos.check.judge import known_words

        check_words(words, known_words(data), values)
    return JudgeInputs(store, recipe, document, query, data, read_options(values))


def prepare_judge(values: Values, *, now: float | None = None, maximum_age_s: float | None = None) -> Callable[[Snapshot], CheckReport]:
    """The function that judges a snapshot by what the flags name; what they name is read once.

    ``now`` is in seconds since the epoch (None: the clock, each time). Raises InvalidInput for flags that exclude one another, and what
    reading recipe, data, profile and waivers raises.
    """
    is_quick = values.get("quick", False)
    if is_quick:
        require_quick(values)
    inputs = read_judge_inputs(values)
    from eidos.check.evaluation import load_rule
    from eidos.recipe import detection, resolver  # noqa: F401 - for the import alone, while collectors run
    from eidos.workflow import check_node

    store, recipe, query, data = inputs.store, inputs.recipe, inputs.query, inputs.data
    options = replace(inputs.options, now=now)
    if is_quick:
        data = replace(data, checks=tuple(check for check in data.checks if check.id in options.profile.only))
    for check in data.checks:
        if check.rule:
            load_rule(check.rule)
    if maximum_age_s is not None:
        options = replace(options, maximum_age_s=maximum_age_s)
    return lambda snapshot: check_node(snapshot, recipe, query=query, store=store, options=options, data=data, without_recipe=is_quick)


def require_recipe_or_query(values: Values) -> None:
    """Raise InvalidInput for a recipe and flags of a query together."""
    if values["recipe"] is not None:
        others = [values.origins[field] for field in FIELDS if values.origins.get(field, "").startswith("--")]
        if others:
            raise InvalidInput(f"--recipe cannot be used with {', '.join(others)}", "remove one of the two")


def require_quick(values: Values) -> None:
    """Raise InvalidInput for what a quick check has no use of: it needs no recipe and selects its checks itself."""
    others = [flag for name in ("recipe", "only", *FIELDS) if (flag := values.origins.get(name, "")).startswith("--")]
    if others:
        raise InvalidInput(f"--quick cannot be used with {', '.join(others)}", "remove one of the two")


def read_options(values: Values) -> CheckOptions:
    """Profile and waivers that the flags name, with what they select."""
    from eidos.check.judge import CheckOptions
    from eidos.check.profile import Profile, read_profile

    profile: Profile = Profile() if values["profile"] is None else read_profile(*_read_tree(values["profile"], values))
    only, skip = tuple(values["only"]), tuple(values["skip"])
    if values.get("quick", False):
        from eidos.check.quick_check import CHECKS

        only = tuple(CHECKS)
    waivers: tuple[Waiver, ...] = ()
    if values["waivers"] is not None:
        from eidos.check.waivers import read_waivers

        waivers = read_waivers(*_read_tree(values["waivers"], values))
    profile = replace(profile, only=only or profile.only, skip=(*profile.skip, *skip))
    return CheckOptions(profile, waivers)


def check_words(words: Sequence[str], known: Sequence[str], values: Values) -> None:
    """Refuse a word that selects nothing that there can be; a path may be one of a recipe."""
    from eidos.wording import did_you_mean

    for word in words:
        if word not in known and "." not in word and "*" not in word:
            flag = "only" if word in values["only"] else "skip"
            hint = did_you_mean(word, known, "run 'eidos check --list' for all checks")
            raise InvalidInput(f"--{flag}: unknown check, domain or severity {word!r}", hint)


def _read_tree(location: str, values: Values) -> tuple[object, str]:
    from eidos.formats import from_text

    return from_text(document_locations.read_document(location, values=values), location), location


def exit_status(values: Values, reports: Sequence[CheckReport], snapshots: Sequence[Snapshot] = ()) -> int:
    """The exit status of findings; ``snapshots`` are what --require is about, for a verb that has it."""
    from eidos.check.judge import findings_at_or_above

    findings = [finding for report in reports for finding in report.findings]
    if values["fail-on"] != NEVER and findings_at_or_above(findings, FAIL, values["fail-on"]):
        return FINDINGS
    missing: list[str] = []
    for snapshot in snapshots:
        outcomes = {outcome.name: outcome.outcome for outcome in snapshot.collectors}
        for word in values["require"]:
            names = select_collectors([word], list(outcomes)) or [word]
            missing += [f"{name} is {outcomes.get(name, 'not collected')}" for name in names if outcomes.get(name) != OK]
    if missing:
        log.error(f"--require is not met: {list_words(missing)}")
        return INCOMPLETE
    if values["fail-on"] == NEVER or values["allow-unknown"]:
        return 0
    return INCOMPLETE if findings_at_or_above(findings, UNKNOWN, values["fail-on"]) else 0
