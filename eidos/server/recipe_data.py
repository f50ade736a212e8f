"""The recipe data of the server, read once before it forks: layers, catalog, charts, and the allow-lists over them.

Knows where the data comes from and which words are allowed; must not know HTTP. Nothing here changes afterwards, and what is handed out
is a copy: no request can change what another one gets.
"""

from __future__ import annotations

import os

from eidos.errors import InvalidInput
from eidos.model.query import Query, words_of
from eidos.model.recipe import copy_tree
from eidos.model.record import Record, replace
from eidos.recipe.lazy_parts import Overlays, loaded
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from eidos.model.chart import Chart
    from eidos.model.plugin import Plugin
    from eidos.recipe.data_stack import DataPart
    from eidos.recipe.layer import Layer
    from eidos.recipe.store import Store
    from eidos.server.server_settings import Settings


class RecipeData(Record):
    """``allowed`` gives by field the only names that are answered for; a field that is not in it has no limits.

    ``chart_values`` gives what is known of a chart's values, by ``component/version``. ``paths`` of the host are not shown to clients.
    ``plugins`` have templates of bundles.
    """

    store: Store
    charts: Mapping[str, Chart]
    chart_values: Callable[[str], object]
    allowed: Mapping[str, tuple[str, ...]] = {}
    paths: tuple[str, ...] = ()
    plugins: tuple[Plugin, ...] = ()

    def allowed_names(self, field: str) -> tuple[str, ...]:
        """The names of a field that a request may hold, without aliases; none when the catalog has no list of them."""
        known = self.store.catalog.names(field)
        return tuple(name for name in known if name in self.allowed[field]) if field in self.allowed else known

    def words(self, field: str) -> list[str]:
        """The names of a field that a request may hold, each with its aliases."""
        allowed = self.allowed_names(field)
        return [word for entry in self.store.catalog.entries[field] if entry.name in allowed for word in (entry.name, *entry.aliases)]

    def disallowed_field(self, query: Query) -> str | None:
        """The field whose value is off the allow-list, if there is one."""
        values = query.fields()
        return next((field for field, names in self.allowed.items() if field in values and values[field] not in names), None)

    def layer_names(self) -> tuple[str, ...]:
        """The names of all layers, as recipes list them, for metrics."""
        return tuple(f"{part.name}: {part.key}" for part in (loaded(self.store.base), *self.store.overlays.heads))

    def _allows_machine(self, name: str) -> bool:
        """Whether what a machine implies is allowed."""
        return self.disallowed_field(Query(**self.store.catalog.with_implied({"machine": name}))) is None

    def coverage(self) -> dict[str, Any]:
        """What ``eidos recipe list`` shows, as far as it is allowed."""
        from eidos.recipe.coverage import advice_matrix, covered

        tree = covered(self.store)
        for field, names in self.allowed.items():
            if field in tree["catalog"]:
                tree["catalog"][field] = [entry for entry in tree["catalog"][field] if entry["name"] in names]
        tree["layers"] = [
            layer
            for layer in tree["layers"]
            if all(field not in layer["key"] or set(words_of(layer["key"][field])) & set(names) for field, names in self.allowed.items())
        ]
        if "machine" in tree["catalog"]:
            tree["catalog"]["machine"] = [entry for entry in tree["catalog"]["machine"] if self._allows_machine(entry["name"])]
        matrix = advice_matrix(self.store)
        tree["matrix"] = [cell for cell in matrix if all(cell[field] in names for field, names in self.allowed.items() if field in cell)]
        cited = {source for layer in tree["layers"] for source in layer["sources"]}
        tree["urls"] = {citation: url for citation, url in tree["urls"].items() if citation in cited}
        return tree


def load_recipe_data(
    settings: Settings, origins: Mapping[str, str] = {}, parts: Sequence[DataPart] | None = None, plugins: tuple[Plugin, ...] = ()
) -> RecipeData:
    """Read everything; ``data`` of the settings is a folder of recipes laid over the shipped ones, or one file in their place.

    ``parts`` is that folder where it was read already, such as from a registry; the data of ``plugins`` lies below it. Raises InvalidInput
    for a word of an allow-list that the catalog does not have, and what :func:`eidos.recipe.store.open_store` raises; ``origins`` names in
    messages where an allow-list comes from, by its flag.
    """
    data = settings.data
    allowed = {
        "os": settings.allowed_os,
        "service": settings.allowed_services,
        "gpu": settings.allowed_gpus,
        "intent": settings.allowed_intents,
    }
    from eidos.bundle.node_tuning import SOURCES
    from eidos.files import resources
    from eidos.recipe.charts import load_charts
    from eidos.recipe.data_stack import parts_of_plugins, read_parts
    from eidos.recipe.store import open_store, shipped_store, stack_store

    if parts is None:
        parts = read_parts([data]) if data is not None and os.path.isdir(data) else ()
    of_plugins = parts_of_plugins(plugins)
    if data is not None and not parts:
        if of_plugins:
            message = f"{data}: one file replaces the built-in data and cannot be combined with plug-ins"
            raise InvalidInput(message, "name a folder")
        store = open_store(data)
    else:
        store = stack_store((*of_plugins, *parts)) if of_plugins or parts else shipped_store()
    paths = [path for folder in (*(plugin.path for plugin in plugins), *([data] if data is not None else [])) for path in _names_of(folder)]
    store = replace(store, plugins=tuple(plugin.reference() for plugin in plugins))
    if data is not None:
        store = _without_folder(store, data)
    charts, values = load_charts(None, plugins, parts)
    own = {
        name: values(name)
        for part in (*of_plugins, *parts)
        for name in (path[len(resources.VALUES_FOLDER) : -len(".yaml")] for path in part.files if path.endswith(".yaml"))
        if f"{resources.VALUES_FOLDER}{name}.yaml" in part.files
    }
    store.preload()
    resources.preload(SOURCES)
    names = {
        field: tuple(_canonical_name(store, field, word, origins.get(flag, flag)) for word in words)
        for (field, words), flag in zip(allowed.items(), ("allowed-os", "allowed-services", "allowed-gpus", "allowed-intents"))
        if words
    }
    return RecipeData(store, charts, _safe_lookup(values, own), names, tuple(dict.fromkeys(paths)), plugins)


def _names_of(folder: str) -> tuple[str, ...]:
    """The paths under which a folder may be named in a message."""
    return (folder,) if "://" in folder else (os.path.realpath(folder), os.path.abspath(folder), folder)


def _without_folder(store: Store, data: str) -> Store:
    """The store of one file, with layers named after the file without its folder: recipes show the names of layers."""

    def short(layer: Layer) -> Layer:
        return replace(layer, name=os.path.basename(data) + layer.name[len(data) :]) if layer.name.startswith(data) else layer

    return replace(store, base=short(store.base), overlays=Overlays(loaded(short(layer)) for layer in store.overlays))


def _canonical_name(store: Store, field: str, word: str, origin: str) -> str:
    name = store.catalog.find(field, word)
    if name is None:
        from eidos.redact.harmless_forms import quote_value

        valid = store.catalog.names(field)
        raise InvalidInput(f"{origin}: invalid value {quote_value(word)}; expected one of {', '.join(valid)}", did_you_mean(word, valid))
    return name


def _safe_lookup(values: Callable[[str], object], loaded: dict[str, object]) -> Callable[[str], object]:
    """``loaded``, then ``values``, each read once, for names that cannot leave the folder: a part of them comes from clients."""

    def get(name: str) -> object:
        parts = name.split("/")
        if len(parts) != 2 or not all(parts) or any(part.startswith(".") or "\\" in part or not part.isprintable() for part in parts):
            return None
        if name not in loaded:
            tree = values(name)
            if tree is None:  # clients can invent any number of these
                return None
            loaded[name] = tree
        return copy_tree(loaded[name])

    return get
