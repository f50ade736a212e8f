"""Keys that no query matches, or more queries than their author meant; and the query that matches two keys.

Knows the catalog's words and the rules about systems; must not know what a layer recommends.
"""

from __future__ import annotations

from eidos.model.constraint import Expression, Term
from eidos.model.lint_issue import ERROR, WARNING, LintIssue
from eidos.model.number_format import format_scalar
from eidos.model.query import (
    FIELDS,
    NAMES,
    READING_PATHS,
    VERSIONS,
    Query,
    is_expression,
    list_text,
    version_expression,
    words_of,
)
from eidos.recipe.provenance import lines
from eidos.semver import parse_version, try_parse_version
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.recipe.layer import Layer
    from eidos.recipe.lint.rule_tables import LintRules
    from eidos.recipe.store import Store


def key_issues(store: Store, rules: LintRules) -> Iterator[LintIssue]:
    """Issues of the keys of the overlays, each by itself and against those that are applied after it."""
    for i, layer in enumerate(store.overlays):
        fields = layer.key.fields()
        if not fields:
            hint = f"add at least one of {', '.join(FIELDS)}; what holds for every node belongs in the base"
            yield LintIssue(ERROR, "empty-key", f"{layer.name}: key", "the key is empty, so the layer applies to every query", hint)
        yield from _words(layer, store)
        for path, text in _releases(layer):
            yield from _version_form(text, fields.get("os", ""), f"{layer.name}: {path}", store)
        yield from _versions(layer, store, rules)
        yield from _releases_of_components(layer, store)
        for systems in rules.systems:
            if fields.get("service") == systems.service and not set(words_of(fields.get("os", systems.os[0]))) & set(systems.os):
                message = f"nodes of {systems.service} run {' or '.join(systems.os)}, never {fields['os']}: no query matches this key"
                yield LintIssue(
                    ERROR, "never-matches", f"{layer.name}: key.os", message, "change os or service", rules.cite(systems.source)
                )
        rank = store.overlays.heads[i].rank
        for later, head in zip(store.overlays[i + 1 :], store.overlays.heads[i + 1 :]):
            if head.rank == rank:  # what another place lays over it is meant to
                yield from _shadowed(layer, later)


def _words(layer: Layer, store: Store) -> Iterator[LintIssue]:
    words = [(field, word) for field, text in layer.key.fields().items() if field in NAMES for word in words_of(text)]
    for field, word in words:
        entries = store.catalog.entries.get(field)
        if not entries:
            continue
        name = store.catalog.find(field, word)
        location = f"{layer.name}: key.{field}"
        if name is None:
            hint = did_you_mean(word, [valid for entry in entries for valid in (entry.name, *entry.aliases)]) or ""
            message = f"unknown {field} {word!r}: no query matches this key; expected one of {', '.join(store.catalog.names(field))}"
            yield LintIssue(ERROR, "never-matches", location, message, hint)
        elif name != word:
            message = f"{word!r} is an alias of {name!r}: no query matches this key"
            yield LintIssue(ERROR, "never-matches", location, message, f"write {name}")


def _versions(layer: Layer, store: Store, rules: LintRules) -> Iterator[LintIssue]:
    fields = layer.key.fields()
    if "osv" not in fields:
        return
    location = f"{layer.name}: key.osv"
    if "os" not in fields:
        message = f"osv {fields['osv']} without os matches every operating system"
        yield LintIssue(WARNING, "version-alone", location, message, "add os to the key")
        return
    for text in dict.fromkeys(operand for term in version_expression(fields["osv"]).terms for operand in term.operands):
        yield from _one_version(layer, text, location, store, rules)


def _one_version(layer: Layer, text: str, location: str, store: Store, rules: LintRules) -> Iterator[LintIssue]:
    """Issues of a version of the key's system, and of the kernel that the key names with it."""
    fields, key = layer.key.fields(), parse_version(text)
    systems = words_of(fields["os"])
    entries = [entry for entry in store.catalog.entries.get("os", ()) if entry.name in systems]
    listed = [text for entry in entries for text in entry.versions if try_parse_version(text) is not None]
    if listed and not any(parse_version(text).matches(key) or key.matches(parse_version(text)) for text in listed):
        yield LintIssue(WARNING, "unknown-version", location, f"unknown version {fields['os']} {text}; the catalog has {', '.join(listed)}")
    for kernel in rules.kernels:
        if "kernel" not in fields or kernel.os not in systems or not key.matches(parse_version(kernel.osv)):
            continue
        lowest = Expression((Term("<", (kernel.lowest,)),))
        named = version_expression(fields["kernel"])
        # 6 stands for all of 6.x: a kernel that is older has an older release among those that it stands for, and none that is not.
        if (both := named.intersect(lowest)) is not None and both.is_equivalent(named):
            message = f"{kernel.os} {kernel.osv} was released with kernel {kernel.lowest}, so no node of it runs {fields['kernel']}"
            yield LintIssue(
                ERROR, "never-matches", f"{layer.name}: key.kernel", message, f"write {kernel.lowest} or newer", rules.cite(kernel.source)
            )


def _releases_of_components(layer: Layer, store: Store) -> Iterator[LintIssue]:
    """Components of the key that are unknown, whose release the layer changes itself, or that no recipe has in such a release."""
    for id, text in layer.key.releases:
        location = f"{layer.name}: key.{id}"
        if id not in store.charts:
            hint = did_you_mean(id, [*store.charts, *FIELDS]) or ""
            yield LintIssue(ERROR, "unknown-component", location, f"unknown component {id!r}: no recipe matches this key", hint)
        elif any(choice.id == id and choice.version for choice in layer.choices):
            message = f"the layer applies to some releases of {id} and chooses another one"
            yield LintIssue(ERROR, "own-release", location, message, f"remove {id} from the key, or its version from the components")
        else:
            choices = (choice for other in (store.base, *store.overlays) for choice in other.choices if choice.id == id and choice.version)
            versions = list(dict.fromkeys((store.charts[id].version, *(choice.version for choice in choices))))
            if not any(version_expression(text).holds(version) for version in versions if version):
                message = f"no recipe has {id} {text}: it is {' or '.join(versions)}, so no recipe matches this key"
                yield LintIssue(ERROR, "never-matches", location, message, f"change the range, or choose such a release of {id} in a layer")


def _releases(layer: Layer) -> Iterator[tuple[str, str]]:
    """The versions of a system in key, readings and constraints of a layer, each with its path."""
    path = READING_PATHS["osv"]
    if "osv" in layer.key.fields():
        for term in version_expression(layer.key.fields()["osv"]).terms:
            yield from (("key.osv", operand) for operand in term.operands)
    for value in layer.values:
        if f"{value.type}.{value.subtype}.{value.key}" == path:
            yield path, format_scalar(value.reading)
    for constraint in layer.constraints:
        if constraint.name == path:
            for term in constraint.value.terms:
                yield from ((f"constraints.{path}", operand) for operand in term.operands)


def _version_form(text: str, os: str, location: str, store: Store) -> Iterator[LintIssue]:
    """An error for the version of a system in another form than its own: 24.4 for 24.04, 9.06 for 9.6."""
    for entry in store.catalog.entries.get("os", ()):
        if os and entry.name not in words_of(os):
            continue
        for listed in entry.versions:
            if not os and listed.partition(".")[0] != text.partition(".")[0]:
                continue  # without a system in the key, only those that have this version count
            right = other_form(text, listed)
            if right:
                hint = f'write "{right}", in quotes'
                yield LintIssue(ERROR, "version-form", location, f"{entry.title} writes {right}, not {text}", hint)
                return


def other_form(text: str, listed: str) -> str | None:
    """``text`` in the form of a ``listed`` version, when it has another one: its second number has fewer or more digits.

    >>> other_form("24.4", "24.04"), other_form("25.4.1", "24.04"), other_form("24.10", "24.04"), other_form("9.06", "9.6")
    ('24.04', '25.04.1', None, '9.6')
    """
    parts, form = text.split("."), listed.split(".")
    if len(parts) < 2 or len(form) < 2 or not all(part.isascii() and part.isdigit() for part in (*parts[:2], form[1])):
        return None
    # A leading zero shows that numbers have as many digits as this one.
    second = f"{int(parts[1]):0{len(form[1])}}" if form[1].startswith("0") else str(int(parts[1]))
    return None if second == parts[1] else ".".join([parts[0], second, *parts[2:]])


def _shadowed(layer: Layer, later: Layer) -> Iterator[LintIssue]:
    """Readings of ``layer`` that never take effect, because ``later`` applies whenever it does, and is applied after it."""
    if not layer.key.fields() or not layer.key.matches(later.key):
        return
    after = {path: value for path, value, *_ in lines(later)}
    for path, value, *_ in lines(layer):
        is_limit = path.startswith("constraints.")
        if path.startswith("components.") or path not in after or after[path] == value or (is_limit and after[path] is not None):
            continue  # limits add up, and components are merged value by value
        here = "what it removes" if value is None else repr(value)
        verb = "removes it" if after[path] is None else f"sets {after[path]!r}"
        message = f"{here} is never used: {later.name} always applies after this layer and {verb}"
        hint = "merge the two layers, or add a field to this key"
        yield LintIssue(ERROR, "shadowed", f"{layer.name}: {path}", message, hint)


def removal_issues(store: Store) -> Iterator[LintIssue]:
    """Removals of what no layer below sets that one query can match with this one: a mistyped path, or an empty value."""
    layers = (store.base, *store.overlays)
    for i, layer in enumerate(layers):
        if not layer.removals:
            continue
        key = Query(**layer.key.fields())
        below = [other for other in layers[:i] if intersect_keys(key, Query(**other.key.fields())) is not None]
        paths = {path for other in below for path, value, *_ in lines(other) if value is not None}
        for removal in layer.removals:
            if removal.path not in paths:
                hint = did_you_mean(removal.path, paths) or "remove the line, or write a value"
                yield LintIssue(WARNING, "removes-nothing", f"{layer.name}: {removal.path}", "no layer below sets it", hint)


def intersect_keys(left: Query, right: Query) -> Query | None:
    """The least specific query that matches both keys; None when none does.

    >>> intersect_keys(Query(gpu="h100", k8s="1.33"), Query(k8s="1.33.5", os="ubuntu"))
    Query(os='ubuntu', osv='', kernel='', service='', k8s='1.33.5', gpu='h100', intent='', platform='', machine='')
    >>> intersect_keys(Query(gpu="h100"), Query(gpu="h200")) is None
    True
    >>> intersect_keys(Query(gpu="in (h100, h200, b200)"), Query(gpu="in (b200, h100)")).gpu
    'in (h100, b200)'
    >>> intersect_keys(Query(k8s=">= 1.33"), Query(k8s="< 1.36")).k8s, intersect_keys(Query(k8s="1.37"), Query(k8s="< 1.36")) is None
    ('>= 1.33, < 1.36', True)
    """
    fields = left.fields()
    for field, value in right.fields().items():
        other = fields.get(field, value)
        both = _intersect_versions(other, value) if field in VERSIONS else _intersect_words(other, value)
        if both is None:
            return None
        fields[field] = both
    return Query(**fields)


def _intersect_words(left: str, right: str) -> str | None:
    common = [word for word in words_of(left) if word in words_of(right)]
    return list_text(common) if common else None


def _intersect_versions(left: str, right: str) -> str | None:
    if is_expression(left) or is_expression(right):
        limits = version_expression(left).intersect(version_expression(right))
        # A version stands for itself, so that its suffix is not lost.
        plain = [text for text in (left, right) if not is_expression(text)]
        return None if limits is None else plain[0] if plain else str(limits)
    one, other = parse_version(left), parse_version(right)
    if one.matches(other):
        return left
    if other.matches(one):
        return right
    # Neither matches the other: one may be longer and the other have the extra.
    longer, extra = (one, other) if len(one.numbers) > len(other.numbers) else (other, one)
    both = f"{'.'.join(map(str, longer.numbers))}-{extra.extra}"
    return both if extra.extra and all(parse_version(both).matches(key) for key in (one, other)) else None
