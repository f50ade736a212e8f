"""What the recipe data covers, for people and for programs; and the matrix of advice for each GPU on each service, for each intent.

Knows the keys of layers, the entries of the catalog, the versions that constraints name, and how layers make the advice of a combination:
of its own, by GPU, by service, or generic; must not know what a layer recommends, nor how it is shown.

A combination has advice of its own when a layer for the GPU and the service together, with a source, adds or changes a line of the recipe,
for the nodes of one system at least.
"""

from __future__ import annotations

from eidos.model.query import READING_PATHS, version_expression, words_of
from eidos.recipe.catalog import IMPLIED, Machine
from eidos.recipe.charts import with_dependencies
from eidos.recipe.layer import newest_date
from eidos.recipe.provenance import is_removal, lines
from eidos.recipe.recipe_warnings import may_have_gpu
from eidos.semver import parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
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
    content = {layer.name: {path: value for path, value, *_ in lines(layer)} for layer in (store.base, *store.overlays)}
    cells = []
    for gpu in names["gpu"]:
        for service in names["service"]:
            for intent in names["intent"]:
                kind, layers = _advice({"gpu": gpu, "service": service, "intent": intent}, store, keys, content)
                newest = newest_date(source.date for layer in layers for source in layer.sources)
                cells.append({"gpu": gpu, "service": service, "intent": intent, "advice": kind, "newest": newest})
    return cells


def summary(cells: Iterable[dict[str, str]]) -> dict[str, int]:
    """How many combinations have each kind of advice."""
    counts = dict.fromkeys(KINDS, 0)
    for cell in cells:
        counts[cell["advice"]] += 1
    return counts


def _advice(
    query: dict[str, str], store: Store, keys: Sequence[tuple[Layer, _Alternatives]], content: dict[str, dict[str, Any]]
) -> tuple[str, list[Layer]]:
    """The kind of advice for a query, and the layers that it comes from."""
    if not may_have_gpu(query["service"], query["gpu"], store.catalog):
        return NONE, []
    own: list[Layer] = []
    named: dict[str, list[Layer]] = {BY_GPU: [], BY_SERVICE: []}
    others: dict[str, Any] = dict(content[store.base.name])
    for layer, alternatives in keys:
        # What other fields a key names (the system, versions) is open here: there are nodes for which it holds.
        if not any(all(query[field] in words for field, words in fields.items()) for fields in alternatives):
            continue
        fields = alternatives[0]
        if layer.sources and "gpu" in fields and "service" in fields:
            own.append(layer)
            continue
        others.update(content[layer.name])
        for field in (BY_GPU, BY_SERVICE):
            if field in fields:
                named[field].append(layer)
    changing = [layer for layer in own if any(_changes(others, path, value) for path, value in content[layer.name].items())]
    if changing:
        return OWN, changing
    return next(((kind, layers) for kind, layers in named.items() if layers), (GENERIC, [store.base]))


def _changes(others: dict[str, Any], path: str, value: Any) -> bool:
    """Whether a layer's line differs from that of the others, or removes theirs."""
    return others.get(path) is not None if is_removal(path, value) else others.get(path, ...) != value


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
