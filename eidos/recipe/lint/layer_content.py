"""Issues of one layer by itself: readings, reasons and sources.

Knows the rules that hold whatever other layer applies; must not know how layers combine.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.lint_issue import ERROR, WARNING, LintIssue
from eidos.model.measurement import path_matches
from eidos.model.number_format import format_scalar
from eidos.model.pattern import parse_pattern
from eidos.recipe.lint.rule_tables import shipped_rules
from eidos.recipe.lint.setting_values import range_issues
from eidos.recipe.provenance import lines
from eidos.semver import parse_version
from eidos.timestamp import is_calendar_day
from eidos.wording import shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.recipe.layer import Layer, Value
    from eidos.recipe.lint.rule_tables import LintRules
    from eidos.recipe.store import Store

_NETWORK, _BOOT = "/proc/sys/net/", "OS.grub."


def layer_issues(store: Store, rules: LintRules, today: str = "") -> Iterator[LintIssue]:
    """Issues of each layer alone, and of all of them together; ``today`` as in :func:`latest_date`."""
    latest = latest_date(today)
    for layer in (store.base, *store.overlays):
        yield from _reasons(layer)
        yield from _sources(layer, latest)
        for value in layer.values:
            yield from _value(layer, value, rules)
        yield from _texts(layer, rules)
        yield from range_issues(layer, rules)
        if layer is not store.base and layer.is_empty:
            yield LintIssue(WARNING, "empty-layer", layer.name, "the layer is empty")
    for id, source in rules.sources.items():
        if source.date:
            yield from date_issues(source.date, f"rules.yaml: sources.{id}", latest)
    if not any(value.key.startswith(_NETWORK) for layer in (store.base, *store.overlays) for value in layer.values):
        message = "no layer sets anything below /proc/sys/net, although nodes of a cluster depend on the network"
        yield LintIssue(WARNING, "no-network", store.base.name, message)


def _value(layer: Layer, value: Value, rules: LintRules) -> Iterator[LintIssue]:
    path = f"{value.type}.{value.subtype}.{value.key}"
    location, text = f"{layer.name}: {path}", format_scalar(value.reading)
    for remark in rules.versioned:
        if path_matches(remark.path, path) and not text.startswith(remark.values):
            try:
                parse_version(text)
            except InvalidInput as fault:
                yield LintIssue(ERROR, "version", location, fault.message, fault.hint or "")
    for remark in rules.observed:
        if path_matches(remark.path, path):
            message = f"{_short(text)} cannot be a recommendation: {remark.why}"
            yield LintIssue(ERROR, "observed", location, message, "remove it, or write a constraint", rules.cite(remark.source))
    for remark in rules.readonly:
        if path_matches(remark.path, path):
            yield LintIssue(ERROR, "read-only", location, f"read-only: {remark.why}", "remove it", rules.cite(remark.source))
    for remark in rules.unwanted:
        if path_matches(remark.path, path) and text in remark.values:
            yield LintIssue(
                ERROR, "unwanted", location, f"{text} is the wrong value: {remark.why}", "write another value", rules.cite(remark.source)
            )
    for subject in rules.subjects:
        if subject.key == value.key and value.why and subject.name.lower() not in value.why.lower():
            message = f"the reason {_short(value.why)!r} does not fit: {value.key} belongs to {subject.name}"
            yield LintIssue(ERROR, "misnamed", location, message, f"say what {subject.name} does", rules.cite(subject.source))


def _texts(layer: Layer, rules: LintRules) -> Iterator[LintIssue]:
    """Texts that are wrong wherever they are: among readings, and at any depth of the values of a chart."""
    for path, value, *_ in lines(layer):
        texts = list(_scalars(value))
        for row in rules.texts:
            pattern, unless = parse_pattern(row.pattern), parse_pattern(row.unless) if row.unless else None
            for text in texts if path_matches(row.path, path) else ():
                if pattern.occurs_in(text) and not (unless and unless.occurs_in(text)):
                    yield LintIssue(ERROR, "text", f"{layer.name}: {path}", f"{_short(text)}: {row.why}", row.hint, rules.cite(row.source))
        words = texts[0].replace(",", " ").split() if path.startswith(_BOOT) and texts else []
        for word in dict.fromkeys(word for word in words if words.count(word) > 1 and not path.startswith(f"{_BOOT}hugepages")):
            message = f"{_short(texts[0])} has {word!r} {words.count(word)} times"
            yield LintIssue(ERROR, "repeated", f"{layer.name}: {path}", message, f"write {word} once")


def _scalars(value: object) -> Iterator[str]:
    """The texts in a value of a chart, however deep; of a reading itself."""
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _scalars(item)
    elif value is not None:
        yield format_scalar(value)


def _reasons(layer: Layer) -> Iterator[LintIssue]:
    for value in layer.values:
        if not value.why.strip():
            location = f"{layer.name}: {value.type}.{value.subtype}.{value.key}"
            message = f"no reason given for {_short(format_scalar(value.reading))}"
            yield LintIssue(WARNING, "no-reason", location, message, "add a reason under 'context'")
    for removal in layer.removals:
        if not removal.why.strip():
            hint = "add 'why'" if removal.target[0] == "constraints" else "add a reason under 'context'"
            yield LintIssue(WARNING, "no-reason", f"{layer.name}: {removal.path}", "no reason given for what it removes", hint)
    for constraint in layer.constraints:
        if not constraint.why.strip():
            location, message = f"{layer.name}: constraints.{constraint.name}", f"no reason given for {constraint.value}"
            yield LintIssue(WARNING, "no-reason", location, message, "add 'why'")
    for choice in layer.choices:
        if not choice.why.strip():
            location = f"{layer.name}: components.{choice.id}"
            yield LintIssue(WARNING, "no-reason", location, "no reason given", "add 'why'")


def latest_date(today: str = "") -> str:
    """The last day that a source can be of: ``today``, or by the clock tomorrow, because days begin at different times.

    Neither is before the newest source of the shipped rules: a clock behind them is wrong.
    """
    if not today:
        import time

        today = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86400))
    return max([today, *(source.date for source in shipped_rules().sources.values())])


def date_issues(date: str, location: str, latest: str) -> Iterator[LintIssue]:
    """An issue for the date of a source that is none, or that is after ``latest``."""
    if not is_date(date):
        yield LintIssue(ERROR, "date", location, f"invalid date {date!r}", "write it like 2026-07-01, 2026-07 or 2026")
    elif date > latest[: len(date)]:
        message = f"the date {date} is in the future"
        yield LintIssue(ERROR, "date", location, message, "write the date of the version, or the day on which it was read")


def _sources(layer: Layer, latest: str) -> Iterator[LintIssue]:
    if not layer.is_empty and not layer.sources:
        yield LintIssue(WARNING, "no-source", layer.name, "the layer has no public source", "add a source with document, version and date")
    for i, source in enumerate(layer.sources):
        location = f"{layer.name}: source[{i}]"
        missing = [field for field in ("document", "version", "date") if not getattr(source, field).strip()]
        if missing:
            yield LintIssue(WARNING, "no-source", location, f"the source has no {' and no '.join(missing)}")
        if source.date:
            yield from date_issues(source.date, location, latest)
        if any(source.id == other.id for other in layer.sources[:i]):
            yield LintIssue(ERROR, "source-twice", location, f"duplicate source {source.id!r}")
    ids = [source.id for source in layer.sources]
    cited = [(f"constraints.{constraint.name}", constraint.source) for constraint in layer.constraints]
    cited += [(removal.path, removal.source) for removal in layer.removals]
    cited += [(f"components.{choice.id}", choice.source) for choice in layer.choices]
    for path, id in cited:
        if id and id not in ids:
            hint = f"its sources are {', '.join(ids)}" if ids else ""
            yield LintIssue(ERROR, "unknown-source", f"{layer.name}: {path}", f"the layer has no source {id!r}", hint)


def is_date(text: str) -> bool:
    """Whether a text is a day, a month or a year, written as 2026-07-01, 2026-07 or 2026."""
    return len(text) in (4, 7, 10) and is_calendar_day(f"{text}-01-01"[:10])


def _short(text: str) -> str:
    return shorten(text, 60)
