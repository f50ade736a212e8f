"""Keys that no query meets, or that say less than their author meant; and what two keys ask for together.

Knows the catalog's words and the rules about systems; must not know what a layer recommends.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.lint import ERROR, WARNING, Fault
from eidos.model.query import FIELDS, NAMES, VERSIONS, Query
from eidos.semver import Version, parse_version
from eidos.suggest import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.recipe.layer import Layer
    from eidos.recipe.lint_rules import Rules
    from eidos.recipe.store import Store


def key_faults(store: Store, rules: Rules) -> Iterator[Fault]:
    """What is wrong with the keys of the overlays, each by itself and against the ones that are applied after it."""
    for i, layer in enumerate(store.overlays):
        said = layer.key.fields()
        if not said:
            hint = f"a key names at least one of {', '.join(FIELDS)}; what holds for every node belongs into the base"
            yield Fault(ERROR, "empty-key", f"{layer.name}: key", "the key asks for nothing, so the layer applies to every query", hint)
        yield from _words(layer, store)
        yield from _versions(layer, store, rules)
        for only in rules.only:
            if said.get("service") == only.service and said.get("os", only.os[0]) not in only.os:
                message = f"nodes of {only.service} run {' or '.join(only.os)}, never {said['os']}: no query meets this key"
                yield Fault(ERROR, "never-matches", f"{layer.name}: key.os", message, source=rules.cite(only.source))
        for later in store.overlays[i + 1 :]:
            yield from _shadowed(layer, later)


def _words(layer: Layer, store: Store) -> Iterator[Fault]:
    for field, word in layer.key.fields().items():
        entries = store.catalog.entries.get(field)
        if field not in NAMES or not entries:
            continue
        name = store.catalog.find(field, word)
        place = f"{layer.name}: key.{field}"
        if name is None:
            hint = did_you_mean(word, [known for entry in entries for known in (entry.name, *entry.aliases)]) or ""
            message = f"the catalog has no {field} {word!r}: no query meets this key (it has {', '.join(store.catalog.names(field))})"
            yield Fault(ERROR, "never-matches", place, message, hint)
        elif name != word:
            message = f"{word!r} is another word for {name!r}, and queries hold the latter: none meets this key"
            yield Fault(ERROR, "never-matches", place, message, f"write {name}")


def _versions(layer: Layer, store: Store, rules: Rules) -> Iterator[Fault]:
    said = layer.key.fields()
    if "osv" not in said:
        return
    place, wanted = f"{layer.name}: key.osv", parse_version(said["osv"])
    if "os" not in said:
        message = f"{said['osv']} is a version of any system, for the key names none"
        yield Fault(WARNING, "version-alone", place, message, "add os to the key")
        return
    entry = next((entry for entry in store.catalog.entries.get("os", ()) if entry.name == said["os"]), None)
    known = [text for text in (entry.versions if entry else ()) if _parsed(text) is not None]
    if known and not any(parse_version(text).matches(wanted) or wanted.matches(parse_version(text)) for text in known):
        yield Fault(WARNING, "unknown-version", place, f"the catalog names no {said['os']} {said['osv']}, only {', '.join(known)}")
    for kernel in rules.kernels:
        if "kernel" not in said or kernel.os != said["os"] or not wanted.matches(parse_version(kernel.osv)):
            continue
        # 6 stands for all of 6.x, so it is compared in the numbers that it has.
        numbers = parse_version(said["kernel"]).numbers
        if numbers < parse_version(kernel.lowest).numbers[: len(numbers)]:
            message = f"{kernel.os} {kernel.osv} began with kernel {kernel.lowest}, so no node of it runs {said['kernel']}"
            yield Fault(ERROR, "never-matches", f"{layer.name}: key.kernel", message, source=rules.cite(kernel.source))


def _shadowed(layer: Layer, later: Layer) -> Iterator[Fault]:
    """Readings of ``layer`` that never stand, because ``later`` applies whenever it does, and is applied after it."""
    if not layer.key.fields() or not layer.key.matches(later.key):
        return
    after = {(value.type, value.subtype, value.key): value.reading for value in later.values}
    for value in layer.values:
        path = (value.type, value.subtype, value.key)
        if path in after and after[path] != value.reading:
            message = f"{value.reading!r} never stands: {later.name} applies whenever this does, comes after it and says {after[path]!r}"
            hint = "merge the two, or give this key a field more"
            yield Fault(ERROR, "shadowed", f"{layer.name}: {'.'.join(path)}", message, hint)


def _parsed(text: str) -> Version | None:
    try:
        return parse_version(text)
    except InvalidInput:
        return None


def join(left: Query, right: Query) -> Query | None:
    """The least query that meets both keys; None when none does.

    >>> join(Query(gpu="h100", k8s="1.33"), Query(k8s="1.33.5", os="ubuntu"))
    Query(os='ubuntu', osv='', kernel='', service='', k8s='1.33.5', gpu='h100', intent='')
    >>> join(Query(gpu="h100"), Query(gpu="h200")) is None
    True
    """
    fields = left.fields()
    for field, wanted in right.fields().items():
        mine = fields.get(field, wanted)
        both = _both(mine, wanted) if field in VERSIONS else mine if mine == wanted else None
        if both is None:
            return None
        fields[field] = both
    return Query(**fields)


def _both(left: str, right: str) -> str | None:
    one, other = parse_version(left), parse_version(right)
    if one.matches(other):
        return left
    if other.matches(one):
        return right
    # Neither holds the other: one may be longer and the other have the extra.
    longer, extra = (one, other) if len(one.numbers) > len(other.numbers) else (other, one)
    both = f"{'.'.join(map(str, longer.numbers))}-{extra.extra}"
    return both if extra.extra and all(parse_version(both).matches(key) for key in (one, other)) else None
