"""Which components a bundle has, and in which order they are installed.

Knows recipes, entries of components and their dependencies; must not know templates or files. Every component of a plan can be made; what
cannot is refused here, before anything is written.
"""

from __future__ import annotations

from eidos.bundle.image_list import image_names
from eidos.bundle.template_sets import RESERVED
from eidos.errors import EidosError, InvalidData, InvalidInput
from eidos.kube.labels import check_dns_label
from eidos.model.chart import in_dependency_order
from eidos.model.measurement import TYPES
from eidos.model.recipe import Component
from eidos.model.recipe_consistency import disagreements, version_from_readings
from eidos.model.record import Record, replace
from eidos.wording import did_you_mean, list_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from eidos.bundle.bundle_options import Assignment, BundleOptions
    from eidos.model.chart import Chart
    from eidos.model.recipe import Recipe

#: The components of a recipe that names none.
DEFAULT_COMPONENTS = ("gpu-operator",)

#: The settings of the host, which are no chart, and the component that brings them by a DaemonSet.
NODE_TUNING, NODE_AGENT = "node-tuning", "node-agent"

_SCHEMES = ("https://", "http://", "oci://")


class InstallPlan(Record):
    """The components in the order of their installation; ``options`` are those that apply to them.

    With ``has_node`` the bundle has the settings of the host too.
    """

    components: tuple[Component, ...]
    options: BundleOptions
    warnings: tuple[str, ...] = ()
    has_node: bool = False


def plan_installation(
    recipe: Recipe,
    charts: Mapping[str, Chart],
    options: BundleOptions,
    load_chart_data: Callable[[str], object],
    running: Collection[str] = (),
) -> InstallPlan:
    """The components to make of ``recipe``: those that the options name and what they depend on, or all, but those that are ``running``.

    Raises InvalidInput for an unknown name or when no component is left, InvalidData for a recipe whose components contradict ``charts`` or
    its readings, or lack what they require.
    """
    specified = {component.id: component for component in recipe.components}
    for id in specified:
        if id not in charts:
            raise InvalidData(f"the recipe's component {id!r} is not in components.yaml", did_you_mean(id, charts))
    is_node_named = options.components is not None and NODE_TUNING in options.components
    options, has_node = _select_node(options, charts)
    names = options.components
    if names is None and not specified and recipe.digest:
        raise InvalidInput("the recipe has no components", "read the recipe's warnings, or name components with --bundlers")
    if names is None:
        names = tuple(specified) or tuple(id for id in DEFAULT_COMPONENTS if id in charts)
        if options.node_agent:
            names = tuple(dict.fromkeys((NODE_AGENT, *names)))
    for id in names:
        if id not in charts:
            valid = list_words(sorted(charts), "'eidos recipe list'")
            raise InvalidInput(f"unknown component {id!r}; expected one of {valid}", did_you_mean(id, charts))
    service = recipe.request.fields().get("service", "")
    choices = {id for id in (*options.changed_components(), *options.namespaces) if id in charts and charts[id].service}
    aliases = {id: _resolve_choice(charts, id, service) for id in {*names, *specified, *choices}}
    for old, new in aliases.items():
        if old != new and old in specified:
            # What the recipe says of the choice applies to the component that was chosen.
            choice, chart = specified.pop(old), charts[new]
            chosen = Component(new, chart.chart, chart.repository, chart.version, chart.namespace, chart.depends, choice.values, choice.why)
            specified.setdefault(new, chosen)
    options, excluded = _split_excluded(options, charts, aliases)
    depends = {
        id: tuple(dict.fromkeys(_resolve_choice(charts, name, service) for name in _depends(specified.get(id), charts[id])))
        for id in charts
    }
    required = list(dict.fromkeys(aliases[id] for id in names))
    redundant = [id for id in excluded if id not in in_dependency_order(required, depends)]
    disabled, excluded = excluded, (*excluded, *running)
    required = [id for id in required if id not in excluded]
    present = in_dependency_order(required, depends, excluded)
    order = in_dependency_order(
        required, {id: (*depends[id], *(other for other in charts[id].after if other in present)) for id in charts}, excluded
    )
    if not order and not is_node_named and not (running and has_node):
        raise InvalidInput("no component selected", "omit --set COMPONENT:enabled=false, or name components with --bundlers")
    components = tuple(_component(id, specified.get(id), charts[id], recipe, options, depends[id]) for id in order)
    for item in disagreements(replace(recipe, components=components), charts):
        message = f"the recipe contradicts itself: {item.left} is {item.left_text}, but {item.right} is {item.right_text}"
        raise InvalidData(message, "make the recipe again with 'eidos recipe', or change one of the two")
    for component in components:
        _check_requirements(recipe, charts[component.id])
    mentions = [(assignment.component, "--set") for assignment in options.assignments]
    mentions += [(overlay.component, "--values") for overlay in options.values]
    mentions += [(id, "--namespace") for id in options.namespaces if id]
    for id, flag in mentions:
        if id not in order and id not in excluded:
            raise _not_in_bundle(id, flag, order, charts)
    missing = [f"{id} needs {name}, which is disabled" for id in order for name in depends[id] if name in disabled]
    needless = [f"{id} is disabled, but was not part of this bundle" for id in redundant]
    unbuilt = _unbuilt_images(recipe, (*order, *excluded), charts, load_chart_data) if options.components is None else []
    return InstallPlan(components, options, (*missing, *needless, *unbuilt), has_node)


def _select_node(options: BundleOptions, charts: Mapping[str, Chart]) -> tuple[BundleOptions, bool]:
    """The options without the node part, and whether the bundle has one. It has no chart, and is a component only with its agent."""
    names = options.components
    has_node = names is None or NODE_TUNING in names or options.node_agent or NODE_AGENT in names
    assignments = []
    for assignment in options.assignments:
        if assignment.component != NODE_TUNING:
            assignments.append(assignment)
        elif assignment.path != "enabled" or assignment.value not in ("true", "false"):
            raise InvalidInput(f"--set {assignment}: {NODE_TUNING} has no values", f"omit it with --set {NODE_TUNING}:enabled=false")
        else:
            has_node = assignment.value == "true"
    if not has_node and options.node_agent:
        raise InvalidInput(f"--node-agent needs {NODE_TUNING}, which is disabled", f"omit --set {NODE_TUNING}:enabled=false")
    if names is not None:
        names = tuple(name for name in names if name != NODE_TUNING)
        if options.node_agent and NODE_AGENT in charts:
            names = tuple(dict.fromkeys((NODE_AGENT, *names)))
    return replace(options, components=names, assignments=tuple(assignments)), has_node


def _unbuilt_images(
    recipe: Recipe, ids: tuple[str, ...], charts: Mapping[str, Chart], load_chart_data: Callable[[str], object]
) -> list[str]:
    """A warning for images that the recipe has and no component deploys, with the components that would."""
    names: dict[str, set[str]] = {}

    def deploys(id: str, image: str) -> bool:
        chart = charts[id]
        if id not in names:
            names[id] = image_names(id, chart.images, load_chart_data)
        return image in names[id] or image == chart.chart or any(f"K8s.image.{image}" in paths for paths in chart.readings.values())

    images = dict(item for m in recipe.measurements for s in m.subtypes if (m.type, s.name) == ("K8s", "image") for item in s.data.items())
    unbuilt = [image for image in images if not any(deploys(id, image) for id in ids)]
    if not unbuilt:
        return []
    others = [id for id in charts if any(deploys(id, image) for image in unbuilt)]
    more = f"; add --bundlers {','.join([*ids, *others])} for {' and '.join(others)}" if others else ""
    return [f"no component of this bundle deploys {', '.join(f'{image} {images[image]}' for image in unbuilt)}{more}"]


def _depends(component: Component | None, chart: Chart) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*chart.depends, *(component.depends if component else ()))))


def _resolve_choice(charts: Mapping[str, Chart], id: str, service: str) -> str:
    """The component that ``id`` means on a service."""
    chart = charts.get(id)
    if chart is None or not chart.service:
        return id
    component = chart.service.get(service)
    if component is None:
        services = ", ".join(chart.service)
        problem = f"not on {service!r}" if service else "the recipe has no service"
        raise InvalidData(f"{id} is available on {services}, but {problem}", "make the recipe with --service")
    if component not in charts:
        raise InvalidData(f"{id} is {component!r} on {service}, which is not in components.yaml", did_you_mean(component, charts))
    return component


def _split_excluded(
    options: BundleOptions, charts: Mapping[str, Chart], aliases: Mapping[str, str]
) -> tuple[BundleOptions, tuple[str, ...]]:
    """The options with every choice resolved and without ``enabled=…``, and the components that are excluded."""
    assignments: list[Assignment] = []
    excluded: dict[str, None] = {}
    for assignment in options.assignments:
        id = aliases.get(assignment.component, assignment.component)
        if id not in charts:
            raise InvalidInput(f"--set {assignment}: unknown component {id!r}", did_you_mean(id, charts))
        if assignment.path != "enabled":
            assignments.append(replace(assignment, component=id))
        elif assignment.value not in ("true", "false"):
            raise InvalidInput(f"--set {assignment}: expected true or false")
        elif assignment.value == "false":
            excluded[id] = None
        else:
            excluded.pop(id, None)
    values = tuple(replace(overlay, component=aliases.get(overlay.component, overlay.component)) for overlay in options.values)
    namespaces = {aliases.get(id, id): namespace for id, namespace in options.namespaces.items()}
    return replace(options, assignments=tuple(assignments), values=values, namespaces=namespaces), tuple(excluded)


def _not_in_bundle(id: str, flag: str, order: tuple[str, ...], charts: Mapping[str, Chart]) -> InvalidInput:
    if id in charts:
        return InvalidInput(f"{flag} {id}: {id} is not in this bundle, which has {', '.join(order)}", f"add --bundlers {id}")
    return InvalidInput(f"{flag} {id}: unknown component {id!r}", did_you_mean(id, order))


def _component(
    id: str, specified: Component | None, chart: Chart, recipe: Recipe, options: BundleOptions, depends: tuple[str, ...]
) -> Component:
    """The recipe's component, with a version from its readings and the entry's fields where it has none.

    What could trick a shell or Helm is refused.
    """
    specified = specified or Component(id, "", "", "", "")
    if not specified.version:
        specified = replace(specified, version=version_from_readings(recipe, chart))
    fields = {field: getattr(specified, field) or getattr(chart, field) for field in ("chart", "repository", "version")}
    namespace = options.namespaces.get(id) or options.namespaces.get("") or specified.namespace or chart.namespace
    try:
        check_dns_label(id, "namespace")
        check_dns_label(namespace, "namespace")
    except EidosError as fault:
        raise InvalidData(f"component {id!r}: {fault.message}", fault.hint) from fault
    if id in RESERVED:
        raise InvalidData(f"invalid component id {id!r}: reserved for shared templates")
    for field, text in fields.items():
        if text.startswith("-") or not text.isprintable() or " " in text:
            raise InvalidData(f"component {id}: invalid {field} {text[:80]!r}")
    if fields["chart"] and not fields["repository"].startswith(_SCHEMES):
        raise InvalidData(
            f"component {id}: repository: invalid URL {fields['repository'][:80]!r}", f"start it with one of {', '.join(_SCHEMES)}"
        )
    if fields["chart"] and not fields["version"]:
        raise InvalidData(f"component {id}: neither the recipe nor components.yaml has a version of the chart {fields['chart']}")
    return replace(specified, id=id, namespace=namespace, depends=depends, **fields)


def _check_requirements(recipe: Recipe, chart: Chart) -> None:
    paths = {
        f"{measurement.type}.{subtype.name}.{key}"
        for measurement in recipe.measurements
        for subtype in measurement.subtypes
        for key, value in subtype.data.items()
        if value != ""
    }
    missing = [path for path in chart.requires if path not in paths]
    if missing:
        types = ", ".join(dict.fromkeys(TYPES.values()))
        hint = did_you_mean(missing[0], paths, f"run 'eidos recipe' to make a recipe with the readings of {types}")
        raise InvalidData(f"{chart.id} needs {' and '.join(missing)}, which the recipe does not have", hint)
