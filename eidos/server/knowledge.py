"""What the server knows, read once before it forks: recipes, charts, and which words it answers for.

Knows where data comes from, and the allow-lists; must not know HTTP. Nothing here changes afterwards, and nothing that is given out is
shared with what is kept: two requests cannot meet in it.
"""

from __future__ import annotations

import os

from eidos.errors import InvalidInput
from eidos.model.recipe import copied
from eidos.model.record import Record, replace
from eidos.suggest import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from eidos.model.chart import Chart
    from eidos.model.query import Query
    from eidos.recipe.layer import Layer
    from eidos.recipe.store import Store
    from eidos.server.server_settings import Settings


class Knowledge(Record):
    """``allowed`` gives by field the only names that are answered for; a field that is not in it has no limits.

    ``values`` gives what is known of a chart's values. ``places`` are paths of the host that no client is told.
    """

    store: Store
    charts: Mapping[str, Chart]
    values: Callable[[str], object]
    allowed: Mapping[str, tuple[str, ...]] = {}
    places: tuple[str, ...] = ()

    def names(self, field: str) -> tuple[str, ...]:
        """The words of a field that a request may say, without aliases; none when the catalog has no list of them."""
        known = self.store.catalog.names(field)
        return tuple(name for name in known if name in self.allowed[field]) if field in self.allowed else known

    def refused(self, query: Query) -> str | None:
        """The field whose value is off the allow-list, if there is one."""
        said = query.fields()
        return next((field for field, names in self.allowed.items() if field in said and said[field] not in names), None)

    def rules(self) -> tuple[str, ...]:
        """What recipes call the layers that they are made of: all there are, for metrics."""
        return tuple(f"{layer.name}: {layer.key}" for layer in (self.store.base, *self.store.overlays))

    def covered(self) -> dict[str, Any]:
        """What ``eidos recipe list`` shows, as far as it is answered for."""
        from eidos.recipe.coverage import covered

        tree = covered(self.store)
        for field, names in self.allowed.items():
            if field in tree["catalog"]:
                tree["catalog"][field] = [entry for entry in tree["catalog"][field] if entry["name"] in names]
        limits = self.allowed.items()
        tree["layers"] = [
            layer for layer in tree["layers"] if all(field not in layer["key"] or layer["key"][field] in names for field, names in limits)
        ]
        return tree


def load(settings: Settings, where: Mapping[str, str] = {}) -> Knowledge:
    """Read everything; ``data`` of the settings is a folder of recipes laid over the shipped ones, or one file in their place.

    Raises InvalidInput for a word of an allow-list that the catalog does not have, and what :func:`eidos.recipe.store.open_store` raises;
    ``where`` tells of an allow-list, by the name of its flag, what said it.
    """
    data = settings.data
    allowed = {
        "os": settings.allowed_os,
        "service": settings.allowed_services,
        "gpu": settings.allowed_gpus,
        "intent": settings.allowed_intents,
    }
    from eidos.files import resources
    from eidos.recipe import store as stores
    from eidos.recipe.charts import load_charts

    store = stores.shipped_store(lazy=False) if data is None else _nameless(stores.open_store(data), data)
    charts, values = load_charts(None)
    own: dict[str, object] = {}
    if data is not None and os.path.isdir(data):
        charts, get = load_charts(data)
        paths = (path[: -len(".yaml")] for path, _ in resources.walk_files(os.path.join(data, "values")) if path.endswith(".yaml"))
        own = {path: get(path) for path in paths}
    resources.preload()
    places = () if data is None else tuple(dict.fromkeys((os.path.realpath(data), os.path.abspath(data), data)))
    names = {
        field: tuple(_name(store, field, word, where.get(flag, flag)) for word in words)
        for (field, words), flag in zip(allowed.items(), ("allowed-os", "allowed-services", "allowed-gpus", "allowed-intents"))
        if words
    }
    return Knowledge(store, charts, _careful(values, own), names, places)


def _nameless(store: Store, data: str) -> Store:
    """The store of one file, whose layers are named after it, without the folder that it lies in: recipes tell the names of layers."""

    def short(layer: Layer) -> Layer:
        return replace(layer, name=os.path.basename(data) + layer.name[len(data) :]) if layer.name.startswith(data) else layer

    return replace(store, base=short(store.base), overlays=tuple(map(short, store.overlays)))


def _name(store: Store, field: str, word: str, where: str) -> str:
    found = store.catalog.find(field, word)
    if found is None:
        valid = store.catalog.names(field)
        raise InvalidInput(f"{where}: {word!r} is none of {', '.join(valid)}", did_you_mean(word, valid))
    return found


def _careful(values: Callable[[str], object], known: dict[str, object]) -> Callable[[str], object]:
    """``known``, then ``values``, each read once, for names that cannot lead anywhere: a part of them comes from what a client sends."""

    def get(name: str) -> object:
        parts = name.split("/")
        if len(parts) != 2 or not all(parts) or any(part.startswith(".") or "\\" in part or not part.isprintable() for part in parts):
            return None
        if name not in known:
            tree = values(name)
            if tree is None:  # clients can think up any number of these
                return None
            known[name] = tree
        return copied(known[name])

    return get
