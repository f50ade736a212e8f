"""One component: from its templates, the recipe and the flags to its files.

Knows the order of steps; must not know any component: what is special to one stands in its templates. Values are what the template says,
then the recipe's, then those of ``--values``, then ``--set``; then the mirror, if there is one, and then they are held against the chart.
"""

from __future__ import annotations

from eidos import formats
from eidos.bundle import chart_values as layers
from eidos.bundle import checksums, registry_mirror, template_sets, values_schema
from eidos.bundle import variables as tables
from eidos.bundle.image_list import of_manifests
from eidos.errors import EidosError, InvalidData, InvalidInput
from eidos.model.bundle import CHECKSUMS
from eidos.model.record import Record
from eidos.templates import text_template, tree_template
from eidos.templates.placeholder import ABSENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from eidos.bundle.bundle_options import Options
    from eidos.bundle.template_sets import File, Templates
    from eidos.bundle.values_schema import Schema
    from eidos.bundle.variables import Names
    from eidos.model.chart import Chart
    from eidos.model.recipe import Component, Recipe


class Context(Record):
    """What all components of one bundle share.

    ``knowledge`` gives what is known of a chart's values, for ``<component>/<chart version>.keys`` or ``….registries``, or None.
    """

    recipe: Recipe
    options: Options
    templates: Templates
    names: Names
    charts: dict[str, Chart]
    knowledge: Callable[[str], object]


class Result(Record):
    """``files`` by path below the component's folder; ``names`` as they were before a mirror took the place of hosts, for images."""

    files: dict[str, bytes]
    names: Names
    warnings: tuple[str, ...] = ()


def make(component: Component, context: Context) -> Result:
    """The files of one component. Raises InvalidInput for what flags say, InvalidData for what templates or the recipe say."""
    chart = context.charts[component.id]
    service = context.names.get("query.service", "")
    template_set = template_sets.read(context.templates, component.id, component.version, service)
    names = tables.of_component(context.names, component, chart.title or component.id, template_set.settings, context.options)
    warnings: list[str] = []
    files: dict[str, bytes] = {}
    found = {file.target: file for file in template_set.files}
    own_hosts: dict[str, Any] = {}
    values: dict[str, Any] = {}
    own = found.pop(template_sets.VALUES, None)
    if own is not None and wanted(own, names):
        own_hosts = final_values(component, own, names, context, warnings)
        values = mirrored(own_hosts, component, context)
        files[template_sets.VALUES] = formats.to_yaml(values).encode()
    else:
        _refuse_values(component, context.options)
    images = tables.with_values(names, own_hosts)
    names = tables.with_values(names, values)
    used: list[str] = []
    for file in found.values():
        if file.kind == template_sets.DATA and wanted(file, names):
            documents = [document for document in fill(file, names, context.templates) if document is not ABSENT]
            if documents:
                used += of_manifests(documents)
                mirror = context.options.registry
                shown = [registry_mirror.rewrite(document, mirror) for document in documents] if mirror else documents
                files[file.target] = "---\n".join(map(formats.to_yaml, shown)).encode()
    images["images"] = used
    names["manifests"] = [file.target for file in found.values() if file.applied and file.target in files]
    for file in found.values():
        if file.kind == template_sets.TEXT and wanted(file, names):
            files[file.target] = fill_text(file, names, context.templates).encode()
    warnings += _unused(component.id, [file for file in template_set.files if file.target in files], context)
    files = dict(sorted(files.items()))
    files[CHECKSUMS] = checksums.emit(files)
    return Result(files, images, tuple(warnings))


def wanted(file: File, names: Names) -> bool:
    """Whether a file is made: what it asks for is there, and neither false nor empty."""
    return not file.when or bool(names.get(file.when, False))


def final_values(component: Component, file: File, names: Names, context: Context, warnings: list[str]) -> dict[str, Any]:
    """The values of a component's chart, with the hosts that they name."""
    documents = fill(file, names, context.templates)
    values = documents[0] if documents and documents[0] is not ABSENT else {}
    name = context.templates.name(file.template)
    if len(documents) > 1 or not isinstance(values, dict):
        raise InvalidData(f"{name}: values are one mapping")
    known = load_schema(component, context)
    said = [(tree, where) for id, tree, where in context.options.values if id == component.id]
    assigned = [said for said in context.options.sets if said.component == component.id]
    unusual = component.version != context.charts[component.id].version
    if known is None and (said or assigned or unusual):
        what = "what is set" if said or assigned else "what the recipe says"
        warnings.append(
            f"{component.id}: nothing is known of the values of {component.chart} {component.version}, so {what} is not checked"
        )
    if known:
        known.check(values, name)
        known.check(component.values, "the recipe's values")
    layers.overlay(values, component.values)
    for tree, where in said:
        if known:
            try:
                known.check(tree, f"{component.id}: {where}")
            except InvalidData as fault:
                raise InvalidInput(fault.message, fault.hint) from fault
        layers.overlay(values, tree)
    for assignment in assigned:
        layers.assign(values, assignment, known)
    return values


def load_schema(component: Component, context: Context) -> Schema | None:
    """What is known of the values of a component's chart in its version; None when nothing is."""
    name = f"{component.id}/{component.version}.keys"
    tree = context.knowledge(name)
    return None if tree is None else values_schema.read(tree, f"recipes/values/{name}.yaml")


def mirrored(values: dict[str, Any], component: Component, context: Context) -> dict[str, Any]:
    """Values whose images come from the mirror, if there is one: those that are said, and those that the chart would say itself."""
    mirror = context.options.registry
    if not mirror:
        return values
    name = f"{component.id}/{component.version}.registries"
    tree = context.knowledge(name) or {}
    if not isinstance(tree, dict):
        raise InvalidData(f"recipes/values/{name}.yaml: expected a mapping of key paths to references")
    rewritten: dict[str, Any] = registry_mirror.rewrite(values, mirror)
    for path, reference in tree.items():
        place = values_schema.parse_path(path)
        current = layers.lookup(values, place)
        layers.put(rewritten, place, registry_mirror.image(str(reference if current in (None, "") else current), mirror))
    return rewritten


def fill(file: File, names: Names, templates: Templates) -> list[Any]:
    """The documents of a template that is data, filled in; a failure names the template and the line."""
    documents = templates.documents(file.template)
    return tree_template.fill_documents(documents, names, templates.name(file.template), lambda: templates.source(file.template))


def fill_text(file: File, names: Names, templates: Templates) -> str:
    """A template that is text, filled in; a failure names the template and the line."""
    try:
        return text_template.fill_text(file.target, templates.parts(file.template), names)
    except InvalidData as fault:
        raise InvalidData(f"{templates.name(file.template)}, {fault.message}", fault.hint) from fault


def _refuse_values(component: Component, options: Options) -> None:
    for said in options.sets:
        if said.component == component.id:
            raise InvalidInput(f"--set {said}: {component.id} has no chart, so it has no values")
    for id, _, where in options.values:
        if id == component.id:
            raise InvalidInput(f"{where}: {component.id} has no chart, so it has no values")


def _unused(id: str, made: list[File], context: Context) -> list[str]:
    """A sentence for each selector or toleration that was asked for and that no template of this component has a place for."""
    asked = [name for name in context.names if name.startswith(("node-selector.", "toleration."))]
    if not asked:
        return []
    used: set[str] = set()
    for file in made:
        if file.target.startswith(template_sets.EXAMPLES):  # nobody applies it
            continue
        try:
            if file.kind == template_sets.DATA:
                for document in context.templates.documents(file.template):
                    used.update(placeholder.name for placeholder in tree_template.placeholders(document))
            else:
                used.update(part.name for part in context.templates.parts(file.template) if not isinstance(part, str))
        except EidosError:  # it failed already, where it was filled in
            continue
    missing = [
        f"--{kind}-{'node-selector' if what == 'node-selector' else 'toleration'}"
        for what, _, kind in (name.partition(".") for name in asked)
        if f"{what}.{kind}" not in used
    ]
    return [f"{id}: {flag} has no place in its templates" for flag in missing]
