"""Which components a bundle has, and in which order.

Knows recipes, entries of components and what one needs of another; must not know templates or files. What it gives can be made; what cannot
is refused here, before anything is written.
"""

from __future__ import annotations

from eidos.bundle import bundle_options as forms
from eidos.bundle.template_sets import RESERVED
from eidos.errors import EidosError, InvalidData, InvalidInput
from eidos.model.chart import in_dependency_order
from eidos.model.measurement import TYPES
from eidos.model.recipe import Component
from eidos.model.record import Record, replace
from eidos.suggest import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eidos.bundle.bundle_options import Assignment, Options
    from eidos.model.chart import Chart
    from eidos.model.recipe import Recipe

#: What a recipe without components is about.
DEFAULT = ("gpu-operator",)

_SCHEMES = ("https://", "http://", "oci://")


class Plan(Record):
    """The components in the order in which they are installed; ``options`` are those that concern them; ``notes`` what was decided."""

    components: tuple[Component, ...]
    options: Options
    warnings: tuple[str, ...] = ()


def plan(recipe: Recipe, charts: Mapping[str, Chart], bundlers: Iterable[str] | None, options: Options) -> Plan:
    """What is to be made of ``recipe``: the ``bundlers`` and what they depend on, or all of its components.

    Raises InvalidInput for a name that nobody knows or when nothing is left, InvalidData for a recipe whose components contradict
    ``charts`` or lack what they require.
    """
    said = {component.id: component for component in recipe.components}
    for id in said:
        if id not in charts:
            raise InvalidData(f"the recipe's component {id!r} is not in components.yaml", did_you_mean(id, charts))
    names = list(bundlers) if bundlers is not None else list(said) or [id for id in DEFAULT if id in charts]
    for id in names:
        if id not in charts:
            raise InvalidInput(f"{id!r} is none of {', '.join(sorted(charts))}", did_you_mean(id, charts))
    service = recipe.request.fields().get("service", "")
    mentioned = (*(one.component for one in options.sets), *(id for id, _, _ in options.values), *options.namespaces)
    choices = {id for id in mentioned if id in charts and charts[id].service}
    aliases = {id: _stands_for(charts, id, service) for id in {*names, *said, *choices}}
    for old, new in aliases.items():
        if old != new and old in said:
            # What the recipe says of the choice, it says of what was chosen.
            before = said.pop(old)
            chart = charts[new]
            mine = said.get(new)
            chosen = Component(new, chart.chart, chart.repository, chart.version, chart.namespace, chart.depends, before.values, before.why)
            said[new] = mine or chosen
    wanted = list(dict.fromkeys(aliases[id] for id in names))
    options, dropped = _without_dropped(options, charts, aliases)
    depends = {id: tuple(dict.fromkeys(_stands_for(charts, name, service) for name in _depends(said.get(id), charts[id]))) for id in charts}
    idle = [id for id in dropped if id not in in_dependency_order(wanted, depends)]
    wanted = [id for id in wanted if id not in dropped]
    present = in_dependency_order(wanted, depends, dropped)
    order = in_dependency_order(
        wanted, {id: (*depends[id], *(other for other in charts[id].after if other in present)) for id in charts}, dropped
    )
    if not order:
        raise InvalidInput("no component is left to make", "leave out --set COMPONENT:enabled=false, or name components with --bundlers")
    components = tuple(_component(id, said.get(id), charts[id], options, depends[id]) for id in order)
    for component in components:
        _check_required(recipe, charts[component.id])
    for id, what in (*((said.component, "--set") for said in options.sets), *((id, "--values") for id, _, _ in options.values)):
        _check_made(id, what, order, dropped, charts)
    for id in options.namespaces:
        if id:
            _check_made(id, "--namespace", order, dropped, charts)
    needed = [f"{id} needs {name}, which is left out" for id in order for name in depends[id] if name in dropped]
    needless = [f"{id} is to be left out, and was not in this bundle anyway" for id in idle]
    return Plan(components, options, (*needed, *needless))


def _depends(component: Component | None, chart: Chart) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*chart.depends, *(component.depends if component else ()))))


def _stands_for(charts: Mapping[str, Chart], id: str, service: str) -> str:
    """The entry that is meant by ``id`` on a service."""
    chart = charts.get(id)
    if chart is None or not chart.service:
        return id
    found = chart.service.get(service)
    if found is None:
        known = ", ".join(chart.service)
        what = f"{service!r} is none of them" if service else "the recipe was not asked for a service"
        raise InvalidData(f"{id} depends on the service ({known}), and {what}", "make the recipe with --service")
    if found not in charts:
        raise InvalidData(f"{id} is {found!r} on {service}, and components.yaml has no such entry", did_you_mean(found, charts))
    return found


def _without_dropped(options: Options, charts: Mapping[str, Chart], aliases: Mapping[str, str]) -> tuple[Options, tuple[str, ...]]:
    """The options without ``enabled=…``, with what a name stands for in its place, and the components that are dropped."""
    kept: list[Assignment] = []
    dropped: dict[str, None] = {}
    for said in options.sets:
        id = aliases.get(said.component, said.component)
        if id not in charts:
            raise InvalidInput(f"--set {said}: there is no component {id!r}", did_you_mean(id, charts))
        if said.path != "enabled":
            kept.append(replace(said, component=id))
        elif said.value not in ("true", "false"):
            raise InvalidInput(f"--set {said}: {said.value!r} is neither true nor false")
        elif said.value == "false":
            dropped[id] = None
        else:
            dropped.pop(id, None)
    values = tuple((aliases.get(id, id), tree, where) for id, tree, where in options.values)
    spaces = {aliases.get(id, id): space for id, space in options.namespaces.items()}
    return replace(options, sets=tuple(kept), values=values, namespaces=spaces), tuple(dropped)


def _check_made(id: str, what: str, order: tuple[str, ...], dropped: tuple[str, ...], charts: Mapping[str, Chart]) -> None:
    if id in order or id in dropped:
        return
    if id in charts:
        raise InvalidInput(f"{what} {id}: {id} is not in this bundle, which has {', '.join(order)}", f"add it with --bundlers {id}")
    raise InvalidInput(f"{what} {id}: there is no component {id!r}", did_you_mean(id, order))


def _component(id: str, said: Component | None, chart: Chart, options: Options, depends: tuple[str, ...]) -> Component:
    """The recipe's component where it says something, the entry's fields where it does not; what could trick a shell or Helm is refused."""
    said = said or Component(id, "", "", "", "")
    found = {field: getattr(said, field) or getattr(chart, field) for field in ("chart", "repository", "version")}
    namespace = options.namespaces.get(id) or options.namespaces.get("") or said.namespace or chart.namespace
    try:
        forms.namespace(id)
        forms.namespace(namespace)
    except EidosError as fault:
        raise InvalidData(f"component {id!r}: {fault.message}", fault.hint) from fault
    if id in RESERVED:
        raise InvalidData(f"no component can have the id {id!r}: templates for all of them lie there")
    for field, text in found.items():
        if text.startswith("-") or not text.isprintable() or " " in text:
            raise InvalidData(f"component {id}: {field}: {text[:80]!r} cannot be one")
    if found["chart"] and not found["repository"].startswith(_SCHEMES):
        raise InvalidData(f"component {id}: repository: {found['repository'][:80]!r} is no URL", f"it begins with {', '.join(_SCHEMES)}")
    if found["chart"] and not found["version"]:
        raise InvalidData(f"component {id}: the recipe names no version of the chart {found['chart']}, and neither does components.yaml")
    return replace(said, id=id, namespace=namespace, depends=depends, **found)


def _check_required(recipe: Recipe, chart: Chart) -> None:
    have = {
        f"{measurement.type}.{subtype.name}.{key}"
        for measurement in recipe.measurements
        for subtype in measurement.subtypes
        for key, value in subtype.data.items()
        if value != ""
    }
    missing = [path for path in chart.requires if path not in have]
    if missing:
        types = ", ".join(dict.fromkeys(TYPES.values()))
        hint = did_you_mean(missing[0], have, f"a recipe has readings of {types}; 'eidos recipe' writes one that has these")
        raise InvalidData(f"{chart.id} needs {' and '.join(missing)}, which the recipe does not have", hint)
