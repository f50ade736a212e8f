"""One component: from its templates, the recipe and the options to its files.

Knows the order of steps; must not know any component: what is special to one is in its templates. Values are those of the template, then
the recipe's, then those of ``--values``, then ``--set``; then images move to the mirror, if there is one. They are checked against the
chart's values on the way.
"""

from __future__ import annotations

from eidos import formats
from eidos.bundle import chart_values, registry_mirror, template_sets, template_variables
from eidos.bundle.chart_values import apply_implications
from eidos.bundle.checksums import format_checksums
from eidos.bundle.image_list import ChartImages, ComponentImages, images_of_manifests, list_images, read_chart_images
from eidos.errors import EidosError, InvalidData, InvalidInput
from eidos.model import values_schema
from eidos.model.bundle import CHECKSUMS
from eidos.model.recipe import overlay_tree
from eidos.model.record import Record
from eidos.model.tree_reader import TreeReader, read_mapping
from eidos.templates.placeholder import ABSENT
from eidos.templates.text_template import Markdown, fill_text
from eidos.templates.tree_template import fill_documents, placeholders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from eidos.bundle.bundle_options import BundleOptions
    from eidos.bundle.chart_archives import ChartArchive
    from eidos.bundle.template_sets import TemplateFile, Templates, TemplateSet
    from eidos.bundle.template_variables import Variables
    from eidos.model.chart import Chart
    from eidos.model.recipe import Component, Recipe


#: What is known of a component that pulls nothing.
_NO_IMAGES = ChartImages(())


class BundleContext(Record):
    """What all components of one bundle share.

    ``load_chart_data`` returns a tree below ``recipes/values/``, by ``<component>/<chart version>.keys``, ``….registries`` or
    ``….crds``, or below ``recipes/images/`` by ``images/<component>``, or None. ``requested`` is what the recipe and the caller set of each
    component, and what the caller alone does. ``archives`` are the charts that the bundle carries, by component.
    """

    recipe: Recipe
    options: BundleOptions
    templates: Templates
    variables: Variables
    charts: dict[str, Chart]
    load_chart_data: Callable[[str], object]
    requested: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    archives: dict[str, ChartArchive] = {}


class ComponentFiles(Record):
    """``files`` by path below the component's folder, its images, and what of it comes from elsewhere in spite of a mirror.

    With ``is_fetched`` it has manifests that are fetched when it is installed. ``unchecked`` are sentences on what nothing is known of.
    """

    files: dict[str, bytes]
    images: ComponentImages
    warnings: tuple[str, ...] = ()
    unmirrored: tuple[str, ...] = ()
    is_fetched: bool = False
    unchecked: tuple[str, ...] = ()


def make_component(component: Component, context: BundleContext) -> ComponentFiles:
    """The files of one component. Raises InvalidInput for a fault of the options, InvalidData for one of templates or recipe."""
    chart = context.charts[component.id]
    template_set = _template_set(component, context)
    title = chart.title or component.id
    variables = template_variables.component_variables(context.variables, component, title, template_set.settings, context.options)
    warnings: list[str] = []
    unchecked: list[str] = []
    own: dict[str, str] = {}
    files: dict[str, bytes] = {}
    templates = {file.target: file for file in template_set.files}
    values: dict[str, Any] = {}
    mirrored: dict[str, Any] = {}
    known = read_chart_images(component.id, component.version if component.chart else "", chart.images, context.load_chart_data)
    values_file = templates.pop(template_sets.VALUES, None)
    if values_file is not None and is_required(values_file, variables):
        values = _final_values(component, values_file, variables, context, known, warnings, unchecked, own)
        mirrored = _mirror_values(values, known.registries if known else {}, component, context)
        files[template_sets.VALUES] = formats.to_yaml(mirrored).encode()
    else:
        _refuse_values(component, context.options)
    listed_variables = template_variables.add_values(variables, values)
    # A null is for helm alone, which then leaves out the chart's own value: other files have no such field.
    variables = chart_values.without_nulls({**own, **template_variables.add_values(variables, mirrored)})
    images: list[str] = []
    for file in templates.values():
        if file.kind == template_sets.DATA and is_required(file, variables):
            documents = [document for document in _fill_data_file(file, variables, context.templates) if document is not ABSENT]
            if documents:
                images += images_of_manifests(documents)
                mirror = context.options.registry
                final = [registry_mirror.mirror_tree(document, mirror) for document in documents] if mirror else documents
                files[file.target] = "---\n".join(map(formats.to_yaml, final)).encode()
    listed = list_images(component, chart, known, listed_variables, values, images)
    crds_name = f"{component.id}/{component.version}.crds"
    crds = context.load_chart_data(crds_name)
    variables.update(template_variables.cluster_variables(chart, crds, f"recipes/values/{crds_name}.yaml", values, component.version))
    variables["manifests"] = [manifest.words for manifest in chart.manifests]
    variables["component.fetched"] = Markdown("".join(f"- `{manifest.url}`\n" for manifest in chart.manifests))
    variables["manifests"] += [file.target for file in templates.values() if file.is_applied and file.target in files]
    for file in templates.values():
        if file.kind == template_sets.TEXT and is_required(file, variables):
            files[file.target] = fill_text_file(file, variables, context.templates)
    unmirrored = [*listed.unmirrored()] if context.options.registry else []
    if chart.manifests and context.options.registry and known != _NO_IMAGES:
        unmirrored.append(f"{component.id}: its manifests are fetched when it is installed, and name their own registries, not the mirror")
    warnings += _unused_placements(component.id, [file for file in template_set.files if file.target in files], context)
    files = dict(sorted(files.items()))
    files[CHECKSUMS] = format_checksums(files)
    return ComponentFiles(files, listed, tuple(warnings), tuple(unmirrored), bool(chart.manifests), tuple(unchecked))


def _template_set(component: Component, context: BundleContext) -> TemplateSet:
    otherwise = template_sets.FETCHED if context.charts[component.id].manifests and not component.chart else template_sets.EVERY
    service = context.variables.get("query.service", "")
    return template_sets.read_template_set(context.templates, component.id, component.version, service, otherwise)


def bound_names(component: Component, context: BundleContext) -> list[tuple[str, str]]:
    """Other components that the values of this one may name, each with the name of its service."""
    bound = _template_set(component, context).settings.get("bound-to") or ()
    return [(id, name) for id, _, name in (str(text).partition(" ") for text in bound)]


def is_required(file: TemplateFile, variables: Variables) -> bool:
    """Whether a file is made: the variable in its ``when`` is there, and neither false nor empty."""
    return not file.when or bool(variables.get(file.when, False))


def _final_values(
    component: Component,
    file: TemplateFile,
    variables: Variables,
    context: BundleContext,
    known: ChartImages | None,
    warnings: list[str],
    unchecked: list[str],
    own: dict[str, str],
) -> dict[str, Any]:
    """The values of a component's chart, with their own registries.

    What is not checked goes into ``unchecked`` and ``warnings``, and what the recipe and the chart have alike into ``own``.
    """
    documents = _fill_data_file(file, variables, context.templates)
    name = context.templates.name(file.template)
    tree = documents if len(documents) > 1 else documents[0] if documents and documents[0] is not ABSENT else {}
    values = read_mapping(tree, name, "a mapping of values")
    schema = values_schema.load_schema(f"{component.id}/{component.version}", context.load_chart_data)
    overlays = [overlay for overlay in context.options.values if overlay.component == component.id]
    assignments = [assignment for assignment in context.options.assignments if assignment.component == component.id]
    is_unusual = component.version != context.charts[component.id].version
    if schema is None and (overlays or assignments or is_unusual):
        what = "what is set" if overlays or assignments else "what the recipe says"
        unchecked.append(f"{component.id}: no list of values for chart {component.chart} {component.version}: {what} is not checked")
    if schema:
        schema.check(values, name)
        schema.check(component.values, "the recipe's values")
    unchecked += _drop_operands(values, component, known, context, own)
    warnings += unchecked
    overlay_tree(values, component.values)
    for overlay in overlays:
        if schema:
            try:
                schema.check(overlay.tree, f"{component.id}: {overlay.source}")
            except InvalidData as fault:
                raise InvalidInput(fault.message, fault.hint) from fault
        overlay_tree(values, overlay.tree)
    for assignment in assignments:
        chart_values.assign_value(values, assignment, schema)
    implications = context.charts[component.id].implies
    if implications:
        others = {"query": context.recipe.request.fields(), **{id: both for id, (both, _) in context.requested.items()}}
        caller = context.requested.get(component.id, ({}, {}))[1]
        warnings += apply_implications(implications, component.id, values, caller, others)
    return values


def _drop_operands(
    values: dict[str, Any], component: Component, known: ChartImages | None, context: BundleContext, own: dict[str, str]
) -> Iterator[str]:
    """Take out versions of images that the chart has anyway, into ``own``, and those of another version of the chart; a sentence for these.

    Data of a recipe state the images that belong to one version of a chart. Where the recipe chooses another version, that has its own. A
    version that a reading of the host states, as that of the driver, is what the recipe asks for.
    """
    chart = context.charts[component.id]
    paths = [field[len("values.") :] for field in chart.readings if field.startswith("values.") and field.endswith(".version")]
    other = None
    if paths and component.version != chart.version:
        other = read_chart_images(component.id, chart.version, chart.images, context.load_chart_data)
    left_out = []
    for path in paths:
        parts = values_schema.parse_path(path)
        value = chart_values.get_value(values, parts)
        if value is None:
            continue
        is_own = known is not None and value == known.own_text(path)
        is_of_host = any(
            f"{reading[4:]}" in context.variables for reading in chart.readings[f"values.{path}"] if reading.startswith("GPU.")
        )
        if not is_own and (other is None or is_of_host or value != other.own_text(path)):
            continue
        _remove_value(values, parts)
        if is_own:
            own[f"values.{path}"] = value
        else:
            left_out.append(f"{path}={value}")
    if left_out:
        yield (
            f"{component.id}: the images that belong to chart {chart.version} are not set for {component.version}, which has its own: "
            f"{', '.join(left_out)}"
        )


def _remove_value(tree: dict[str, Any], path: values_schema.Path) -> None:
    """Remove a value, and the mappings that are empty then."""
    parents: list[Any] = [tree]
    for part in path[:-1]:
        parents.append(parents[-1][part])
    for parent, part in zip(reversed(parents), reversed(path)):
        del parent[part]
        if parent:
            return


def _mirror_values(values: dict[str, Any], registries: Mapping[str, str], component: Component, context: BundleContext) -> dict[str, Any]:
    """Values whose images come from the mirror, if there is one: those that are set, and the chart's own defaults."""
    mirror = context.options.registry
    if not mirror:
        return values
    name = f"{component.id}/{component.version}.registries"
    defaults = {**TreeReader(context.load_chart_data(name), f"recipes/values/{name}.yaml").tree, **registries}
    mirrored: dict[str, Any] = registry_mirror.mirror_tree(values, mirror)
    for text, default in defaults.items():
        path = values_schema.parse_path(text)
        current = chart_values.get_value(values, path)
        reference = str(default if current in (None, "") else current)
        if reference:
            chart_values.set_value(mirrored, path, registry_mirror.mirror_image(reference, mirror))
    return mirrored


def _fill_data_file(file: TemplateFile, variables: Variables, templates: Templates) -> list[Any]:
    """The documents of a template that is data, filled in; a failure names the template and the line."""
    documents = templates.documents(file.template)
    return fill_documents(documents, variables, templates.name(file.template), lambda: templates.source(file.template))


def fill_text_file(file: TemplateFile, variables: Variables, templates: Templates) -> bytes:
    """A template that is text, filled in; a failure names the template and the line."""
    try:
        return fill_text(file.target, templates.parts(file.template), variables).encode()
    except InvalidData as fault:
        raise InvalidData(f"{templates.name(file.template)}, {fault.message}", fault.hint) from fault


def _refuse_values(component: Component, options: BundleOptions) -> None:
    for assignment in options.assignments:
        if assignment.component == component.id:
            raise InvalidInput(f"--set {assignment}: {component.id} has no chart, so it has no values")
    for overlay in options.values:
        if overlay.component == component.id:
            raise InvalidInput(f"{overlay.source}: {component.id} has no chart, so it has no values")


def _unused_placements(id: str, made: list[TemplateFile], context: BundleContext) -> list[str]:
    """A warning for each selector or toleration that was set and that no template of this component uses."""
    placements = [name for name in context.variables if name.startswith(("node-selector.", "toleration."))]
    if not placements:
        return []
    used: set[str] = set()
    for file in made:
        # Examples are not applied.
        if not file.target.startswith(template_sets.EXAMPLES):
            try:
                used.update(_used_names(file, context.templates))
            except EidosError:  # it failed already, where it was filled in
                continue
    flags = {
        name: f"--{name.partition('.')[2]}-{'node-selector' if name.startswith('node-selector.') else 'toleration'}" for name in placements
    }
    return [f"{id}: {flags[name]} has no effect: its templates do not use it" for name in placements if name not in used]


def _used_names(file: TemplateFile, templates: Templates) -> Iterable[str]:
    if file.kind == template_sets.DATA:
        return (placeholder.name for placeholder in placeholders(templates.documents(file.template)))
    return (part.name for part in templates.parts(file.template) if not isinstance(part, str))
