"""What one layer says, looked at by itself: readings, reasons and sources.

Knows the rules that hold whatever else applies; must not know how layers combine.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.lint import ERROR, WARNING, Fault
from eidos.model.number_format import format_scalar
from eidos.recipe.lint_rules import matches
from eidos.semver import parse_version
from eidos.suggest import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.recipe.layer import Layer, Value
    from eidos.recipe.lint_rules import Rules
    from eidos.recipe.store import Store

_NETWORK = "/proc/sys/net/"


def content_faults(store: Store, rules: Rules) -> Iterator[Fault]:
    """What is wrong in each layer alone, and with all of them together."""
    for layer in (store.base, *store.overlays):
        yield from _reasons(layer)
        yield from _sources(layer)
        for value in layer.values:
            yield from _value(layer, value, rules)
        if layer is not store.base and not (layer.values or layer.constraints or layer.choices):
            yield Fault(WARNING, "empty-layer", layer.name, "it says nothing")
    if not any(value.key.startswith(_NETWORK) for layer in (store.base, *store.overlays) for value in layer.values):
        message = "no layer sets anything below /proc/sys/net, and a cluster's nodes talk to one another all the time"
        yield Fault(WARNING, "no-network", store.base.name, message)


def _value(layer: Layer, value: Value, rules: Rules) -> Iterator[Fault]:
    path = f"{value.type}.{value.subtype}.{value.key}"
    place, text = f"{layer.name}: {path}", format_scalar(value.reading)
    for remark in rules.versioned:
        if matches(remark.path, path):
            try:
                parse_version(text)
            except InvalidInput as fault:
                yield Fault(ERROR, "version", place, fault.message, fault.hint or "")
    for remark in rules.observed:
        if matches(remark.path, path):
            yield Fault(ERROR, "observed", place, f"{_short(text)} is no recommendation: {remark.why}", source=rules.cite(remark.source))
    for remark in rules.readonly:
        if matches(remark.path, path):
            yield Fault(ERROR, "read-only", place, f"nobody can set it: {remark.why}", source=rules.cite(remark.source))
    for remark in rules.unwanted:
        if matches(remark.path, path) and text in remark.values:
            yield Fault(ERROR, "unwanted", place, f"{text} is the wrong way round: {remark.why}", source=rules.cite(remark.source))
    for called in rules.called:
        if called.key == value.key and value.why and called.name.lower() not in value.why.lower():
            message = f"the sentence says {_short(value.why)!r}, and {value.key} belongs to {called.name}"
            yield Fault(ERROR, "misnamed", place, message, source=rules.cite(called.source))
    if value.type == "OS" and value.subtype == "sysctl" and not value.key.startswith("/proc/sys/"):
        hint = f"write /proc/sys/{value.key.replace('.', '/')}"
        yield Fault(ERROR, "sysctl-path", place, "a sysctl is named by its file, below /proc/sys/", hint)
    elif value.type == "OS" and value.subtype == "sysctl":
        yield from _known(value.key, place, rules)


def _known(path: str, place: str, rules: Rules) -> Iterator[Fault]:
    """A doubt about a sysctl that the kernel whose folders are known does not have; what was removed is told elsewhere."""
    folder, _, name = path.removeprefix("/proc/sys/").rpartition("/")
    # What holds for all interfaces holds for those that come later, and for each of them.
    folder = "/".join("all" if part == "default" and "conf" in folder else part for part in folder.split("/"))
    rows = [row for row in rules.known if row.folder == folder]
    if not rows or any(name in row.names for row in rows) or any(matches(removed.path, f"OS.sysctl.{path}") for removed in rules.removed):
        return
    names = [known for row in rows for known in row.names]
    message = f"{rules.cite(rows[0].source) or 'the kernel that is known here'} has no {name!r} there"
    yield Fault(WARNING, "unknown-sysctl", place, message, did_you_mean(name, names) or "", rules.cite(rows[0].source))


def _reasons(layer: Layer) -> Iterator[Fault]:
    for value in layer.values:
        if not value.why.strip():
            place = f"{layer.name}: {value.type}.{value.subtype}.{value.key}"
            message = f"nothing says why it is {_short(format_scalar(value.reading))}"
            yield Fault(WARNING, "no-reason", place, message, "add a sentence to its context")
    for constraint in layer.constraints:
        if not constraint.why.strip():
            place, message = f"{layer.name}: constraints.{constraint.name}", f"nothing says why it is {constraint.value}"
            yield Fault(WARNING, "no-reason", place, message, "add a why")
    for choice in layer.choices:
        if not choice.why.strip():
            place = f"{layer.name}: components.{choice.id}"
            yield Fault(WARNING, "no-reason", place, "nothing says why it is chosen so", "add a why")


def _sources(layer: Layer) -> Iterator[Fault]:
    says = layer.values or layer.constraints or layer.choices
    if says and not layer.sources:
        yield Fault(WARNING, "no-source", layer.name, "no public source stands behind it", "add a source: document, version, date")
    for i, source in enumerate(layer.sources):
        place = f"{layer.name}: source[{i}]"
        missing = [field for field in ("document", "version", "date") if not getattr(source, field).strip()]
        if missing:
            yield Fault(WARNING, "no-source", place, f"the source has no {' and no '.join(missing)}")
        if source.date and not _is_date(source.date):
            yield Fault(ERROR, "date", place, f"{source.date!r} is no date", "write it as 2026-07-01, or less of it: 2026-07, 2026")
        if any(source.id == other.id for other in layer.sources[:i]):
            yield Fault(ERROR, "source-twice", place, f"there are two sources {source.id!r}")
    ids = [source.id for source in layer.sources]
    named = [(f"constraints.{constraint.name}", constraint.source) for constraint in layer.constraints]
    named += [(f"components.{choice.id}", choice.source) for choice in layer.choices]
    for place, id in named:
        if id and id not in ids:
            hint = f"it has {', '.join(ids)}" if ids else ""
            yield Fault(ERROR, "unknown-source", f"{layer.name}: {place}", f"the layer has no source {id!r}", hint)


def _is_date(text: str) -> bool:
    parts = text.split("-")
    if not all(part.isascii() and part.isdigit() for part in parts) or [len(part) for part in parts] != [4, 2, 2][: len(parts)]:
        return False
    year, month, day = (*map(int, parts), 1, 1)[:3]
    return year > 0 and 1 <= month <= 12 and 1 <= day <= 31


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
