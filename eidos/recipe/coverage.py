"""What the recipe data covers, for people and for programs; and the matrix of advice for each GPU on each service, for each intent.

Knows the keys of layers, the entries of the catalog, the versions that constraints name, and how layers make the advice of a combination:
of its own, by GPU, by service, or generic; must not know what a layer recommends, nor how it is shown.

A combination has advice of its own when a layer for the GPU and the service together, with a source, changes the recipe for the nodes of
one system at least.
"""

from __future__ import annotations

import itertools

from eidos.model.query import READING_PATHS, Query, version_expression, words_of
from eidos.model.record import replace
from eidos.recipe.catalog import IMPLIED, Machine
from eidos.recipe.charts import with_dependencies
from eidos.recipe.layer import newest_date
from eidos.recipe.recipe_warnings import SPECIFIC, implied_fields, may_have_gpu
from eidos.recipe.resolver import merged_content
from eidos.semver import parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from eidos.recipe.layer import Layer
    from eidos.recipe.store import Store

    _Alternatives = list[dict[str, tuple[str, ...]]]

#: What a cell of the matrix is for.
_FIELDS = ("gpu", "service", "intent")

#: Kinds of advice, best first, and what stands for a GPU that no known machine of the service has.
OWN, BY_GPU, BY_SERVICE, GENERIC, NONE = "own", "gpu", "service", "generic", "no-machine"

KINDS = {
    OWN: "advice of its own",
    BY_GPU: "by GPU",
    BY_SERVICE: "by service",
    GENERIC: "generic",
    NONE: "no such machine known",
}


def covered(store: Store) -> dict[str, Any]:
    """The catalog's words by field, each with the number of layers made for it, every layer with its key and sources, and their URLs.

    A word without a layer of its own (``layers: 0``) is valid, and gets what holds for every node.
    """
    fields: dict[str, list[dict[str, Any]]] = {}
    keys = store.overlays.keys
    for field, entries in store.catalog.entries.items():
        fields[field] = [
            {
                "name": entry.name,
                "title": entry.title,
                "aliases": list(entry.aliases),
                **({"versions": list(entry.versions)} if entry.versions else {}),
                "layers": sum(entry.name in words_of(getattr(key, field)) for key in keys) + isinstance(entry, Machine),
                **({"hardware": entry.facts()} if isinstance(entry, Machine) else {}),
            }
            for entry in entries
            if not entry.excluded
        ]
    layers = [
        {
            "name": layer.name,
            "key": {**layer.key.fields(), **dict(layer.key.releases)},
            "readings": len(layer.values),
            "constraints": len(layer.constraints),
            **({"removed": [removal.path for removal in layer.removals]} if layer.removals else {}),
            "components": [choice.id for choice in layer.choices],
            "sources": [source.citation() for source in layer.sources],
        }
        for layer in (store.base, *store.overlays)
    ]
    urls = {source.citation(): source.url for layer in (store.base, *store.overlays) for source in layer.sources if source.url}
    tree = {"digest": store.digest, "catalog": fields, "layers": layers, "available": available_components(store)}
    return {**tree, "urls": dict(sorted(urls.items())), **({"plugins": list(store.plugins)} if store.plugins else {})}


def available_components(store: Store) -> list[dict[str, str]]:
    """The components that no recipe has unless they are requested: no layer chooses them, and none that a layer chooses needs them."""
    chosen = [choice.id for layer in (store.base, *store.overlays) for choice in layer.choices if choice.id in store.charts]
    present = {*with_dependencies(dict.fromkeys(chosen), store.charts)}
    for chart in store.charts.values():  # one that stands for others, by service, and those
        if chart.service:
            present |= {chart.id, *chart.service.values()}
    return [{"id": id, "title": chart.title or id, "version": chart.version} for id, chart in store.charts.items() if id not in present]


def known_versions(store: Store, field: str) -> list[str]:
    """The versions of a query's field that the data names, oldest first; of ``k8s`` every minor release between those, too.

    >>> from eidos.recipe.store import shipped_store
    >>> known_versions(shipped_store(), "osv")[-4:], {"1.33", "1.34"} <= set(known_versions(shipped_store(), "k8s"))
    (['22.04', '24.04', '26.04', '2023'], True)
    """
    layers = (store.base, *store.overlays)
    keys = [key[field] for layer in layers if field in (key := layer.key.fields())]
    texts = {operand for key in keys for term in version_expression(key).terms for operand in term.operands}
    if field == "osv":
        texts |= {version for entry in store.catalog.entries.get("os", ()) for version in entry.versions}
    if field == "k8s":
        constraints = [constraint for layer in layers for constraint in layer.constraints if constraint.name == READING_PATHS[field]]
        texts |= {operand for constraint in constraints for term in constraint.value.terms for operand in term.operands}
        minors = [parse_version(text).key[:2] for text in texts]
        texts = {f"{major}.{minor}" for major, _ in minors for minor in range(min(minors)[1], max(minors)[1] + 1)}
    return sorted(texts, key=lambda text: parse_version(text).key)


def advice_matrix(store: Store) -> list[dict[str, str]]:
    """For each GPU, service and intent of the catalog: the kind of advice, and the date of the newest source behind it."""
    names = {field: store.catalog.names(field) for field in _FIELDS}
    keys = [(layer, _alternatives(layer, store)) for layer in store.overlays]
    own = _own_advice(store)
    cells = []
    for gpu in names["gpu"]:
        for service in names["service"]:
            for intent in names["intent"]:
                query = {"gpu": gpu, "service": service, "intent": intent}
                kind, layers = _advice(query, store, keys, own)
                newest = newest_date(source.date for layer in layers for source in layer.sources)
                cells.append({**query, "advice": kind, "newest": newest})
    return cells


def summary(cells: Iterable[dict[str, str]]) -> dict[str, int]:
    """How many combinations have each kind of advice."""
    counts = dict.fromkeys(KINDS, 0)
    for cell in cells:
        counts[cell["advice"]] += 1
    return counts


def _own_advice(store: Store) -> dict[tuple[str, ...], list[Layer]]:
    """By GPU, service and intent, the layers for the GPU and the service together that change a recipe for nodes of one system at least."""
    from eidos.recipe.lint.combinations import samples

    own: dict[tuple[str, ...], list[Layer]] = {}
    for_pairs = {layer.name for layer in store.overlays if layer.sources and _is_for_pair(layer, store)}
    for layer in store.overlays:
        fields = layer.key.fields()
        words = {field: words_of(fields.pop(field, "")) for field in _FIELDS}
        for sample in samples(Query(**fields)) if layer.name in for_pairs else ():
            implied = store.catalog.with_implied(sample.fields())
            choices = [
                words[field] if words[field] != ("",) else (implied[field],) if field in implied else store.catalog.names(field)
                for field in _FIELDS
            ]
            for cell in itertools.product(*choices):
                if layer not in own.get(cell, ()):
                    layers = (store.base, *store.matching(replace(sample, **dict(zip(_FIELDS, cell)))))
                    others = [each for each in layers if each.name not in for_pairs]
                    with_it = [each for each in layers if each == layer or each.name not in for_pairs]
                    if merged_content(others, store) != merged_content(with_it, store):
                        own.setdefault(cell, []).append(layer)
    return own


def _is_for_pair(layer: Layer, store: Store) -> bool:
    """Whether a layer's key has a GPU and a service, or machines that imply both."""
    return {*SPECIFIC} <= implied_fields(layer.key, store.catalog).keys()


def _advice(
    query: dict[str, str], store: Store, keys: Sequence[tuple[Layer, _Alternatives]], own: Mapping[tuple[str, ...], list[Layer]]
) -> tuple[str, list[Layer]]:
    """The kind of advice for a query, and the layers that it comes from."""
    if not may_have_gpu(query["service"], query["gpu"], store.catalog):
        return NONE, []
    cell = tuple(query.values())
    if cell in own:
        return OWN, own[cell]
    named: dict[str, list[Layer]] = {BY_GPU: [], BY_SERVICE: []}
    for layer, alternatives in keys:
        # What other fields a key names (the system, versions) is open here: there are nodes for which it holds.
        if any(all(query[field] in words for field, words in fields.items()) for fields in alternatives):
            fields = alternatives[0]
            if not (layer.sources and "gpu" in fields and "service" in fields):
                for field, layers in named.items():
                    if field in fields:
                        layers.append(layer)
    return next(((kind, layers) for kind, layers in named.items() if layers), (GENERIC, [store.base]))


def _alternatives(layer: Layer, store: Store) -> _Alternatives:
    """What the key of a layer says of GPU, service and intent: the words of each; one alternative for each of its machines."""
    key = layer.key
    if key.machine:
        implied = [store.catalog.with_implied({"machine": name}) for name in words_of(key.machine)]
        return [{field: (fields.get(field, ""),) for field in IMPLIED} for fields in implied]
    return [{field: words_of(text) for field in _FIELDS if (text := getattr(key, field))}]


def table_rows(cells: list[dict[str, str]]) -> Iterator[tuple[str, ...]]:
    """A row for each GPU: its name, for each service a letter for each intent, and the date of the newest source; first the heads."""
    services = list(dict.fromkeys(cell["service"] for cell in cells))
    yield ("GPU", *services, "newest source")
    for gpu in dict.fromkeys(cell["gpu"] for cell in cells):
        row = [cell for cell in cells if cell["gpu"] == gpu]
        letters = ["".join(LETTERS[cell["advice"]] for cell in row if cell["service"] == service) for service in services]
        yield (gpu, *letters, max(cell["newest"] for cell in row))


#: The letter of a kind in a table.
LETTERS = {OWN: "O", BY_GPU: "G", BY_SERVICE: "S", GENERIC: ".", NONE: "-"}


def legend(cells: list[dict[str, str]]) -> str:
    """What the letters of a table mean, and in which order the intents are."""
    meanings = ", ".join(f"{LETTERS[kind]} {meaning}" for kind, meaning in KINDS.items())
    intents = ", ".join(dict.fromkeys(cell["intent"] for cell in cells))
    return f"{meanings}; one letter for each intent: {intents}"
