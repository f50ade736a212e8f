"""One bundle, from its recipe to its files.

Knows the order of steps, the files at the top of a bundle, and what happens when a component fails; must not know what is special to a
component. Components are made in any order, or at the same time: nothing that they share changes meanwhile.
"""

from __future__ import annotations

import sys
import time

from eidos import formats, log
from eidos.bundle import component_files, template_sets, template_variables
from eidos.bundle.bundle_options import check_options
from eidos.bundle.chart_values import requested_values
from eidos.bundle.checksums import format_checksums
from eidos.bundle.image_list import chart_documents, format_image_list, image_documents, is_reference, not_a_reference
from eidos.bundle.install_plan import NODE_TUNING, plan_installation
from eidos.bundle.statement import format_statement
from eidos.errors import EidosError, InvalidData, InvalidInput
from eidos.model.bundle import CHECKSUMS, STATEMENT, Bundle, ComponentResult
from eidos.model.record import Record, replace
from eidos.templates.text_template import Markdown, escape_markdown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from eidos.bundle.bundle_options import BundleOptions
    from eidos.bundle.chart_archives import ChartArchive
    from eidos.bundle.component_files import BundleContext, ComponentFiles
    from eidos.bundle.existing_cluster import ClusterComparison
    from eidos.bundle.image_archives import CarriedImages
    from eidos.bundle.node_tuning import NodePart
    from eidos.model.chart import Chart
    from eidos.model.recipe import Component, Recipe

    Step = tuple[Component, ComponentResult, "ComponentFiles | None"]


#: Components that are made at the same time, at most.
MAX_THREADS = 5


def prepare_bundle(
    recipe: Recipe,
    options: BundleOptions,
    charts: dict[str, Chart],
    load_chart_data: Callable[[str], object],
    before_component: Callable[[], object] | None = None,
    *,
    allow_refused: bool = False,
) -> BundleBuild:
    """Decide which components to make. Whatever can be refused is refused here, before any is made.

    Raises InvalidInput for options that cannot be, and unless ``allow_refused`` for a component that cannot be installed over what runs;
    InvalidData for a recipe that lacks what its components need.
    """
    options = check_options(options)
    plan = plan_installation(recipe, charts, options, load_chart_data)
    comparison = None
    if options.existing is not None:
        from eidos.bundle.existing_cluster import compare_cluster

        plan, comparison = compare_cluster(plan, recipe, options, charts, load_chart_data)
        if comparison.refused and not allow_refused:
            first = comparison.refused[0]
            raise InvalidInput("; ".join(f"{each.id}: {each.reason}" for each in comparison.refused), first.hint)
    templates = template_sets.shipped_templates()
    for plugin in options.plugins:
        templates = template_sets.overlay_plugin(templates, plugin)
    if options.templates is not None:
        templates = template_sets.overlay_folder(templates, options.templates)
    variables = template_variables.recipe_variables(recipe, plan.options)
    node = None
    if plan.has_node:
        from eidos.bundle.node_tuning import make_node_part

        began = time.perf_counter()
        part = make_node_part(recipe, plan.components, variables)
        variables.update(part.variables)
        node = NodeResult(part.files, ComponentResult(NODE_TUNING, milliseconds=_since(began)), part) if part.variables else None
    requested = {component.id: requested_values(component, plan.options) for component in plan.components}
    archives: dict[str, ChartArchive] = {}
    missing: list[str] = []
    if plan.options.charts is not None:
        from eidos.bundle.chart_archives import read_charts

        archives, missing = read_charts(plan.options.charts, plan.components)
    context = component_files.BundleContext(recipe, plan.options, templates, variables, charts, load_chart_data, requested, archives)
    changed = plan.options.changed_components()
    for component in plan.components:
        if component.id in changed:
            _refuse(component, context)
    components, warnings = plan.components, plan.warnings
    if comparison is not None:
        from eidos.bundle.existing_cluster import without_unbound

        components, comparison = without_unbound(components, comparison, context)
        variables["existing.summary"] = Markdown(f"\n\n{comparison.summary()}")
        warnings = (*warnings, *comparison.warnings())
    return BundleBuild(components, context, warnings, before_component, node, tuple(missing), comparison)


def _refuse(component: Component, context: BundleContext) -> None:
    """Raise InvalidInput for a value of the caller's that the chart does not have."""
    try:
        component_files.make_component(component, context)
    except InvalidInput:
        raise
    except EidosError:
        pass  # a failure of the component, not of the options: it costs no more than this component


class NodeResult(Record):
    """The files of the node's part by their path in the bundle, their report, and what is known of the settings."""

    files: dict[str, bytes]
    report: ComponentResult
    part: NodePart


class BundleBuild(Record):
    """The components to make, in the order of their installation, and what they share."""

    components: tuple[Component, ...]
    context: BundleContext
    warnings: tuple[str, ...] = ()
    before_component: Callable[[], object] | None = None
    node: NodeResult | None = None
    missing_charts: tuple[str, ...] = ()
    comparison: ClusterComparison | None = None

    def make_components(self) -> list[Step]:
        """The files of each component, several at the same time where that is faster."""
        parallel = self.context.options.parallel
        if parallel is None:
            parallel = not getattr(sys, "_is_gil_enabled", lambda: True)()  # from Python 3.13 on
        if not parallel or len(self.components) < 2:
            return [self.make_component(component) for component in self.components]
        from eidos.process.thread_pool import map_in_threads

        return map_in_threads(self.make_component, self.components, MAX_THREADS)

    def make_component(self, component: Component) -> Step:
        """The files of one component, or why it failed; with ``fail_fast`` that is raised."""
        if self.before_component is not None:
            self.before_component()
        began = time.perf_counter()
        try:
            result = component_files.make_component(component, self.context)
        except EidosError as fault:
            if self.context.options.fail_fast:
                hint = fault.hint or "omit --fail-fast to build the other components"
                raise type(fault)(f"{component.id}: {fault.message}", hint) from fault
            log.error(f"{component.id}: {fault.message}", component=component.id, hint=fault.hint)
            report = ComponentResult(component.id, milliseconds=_since(began), error=fault.message, hint=fault.hint or "")
            return component, report, None
        report = ComponentResult(component.id, tuple(result.files), sum(map(len, result.files.values())), _since(began))
        log.info(f"{component.id}: built", component=component.id, files=len(result.files), duration_ms=report.milliseconds)
        if log.shows("debug"):
            for path, content in result.files.items():
                log.debug(f"{component.id}/{path}", component=component.id, path=path, bytes=len(content))
        return component, report, result

    def assemble(self, steps: Sequence[Step], began: float) -> Bundle:
        """The bundle of all components, begun at ``time.perf_counter()``; it has no files when every component failed."""
        made = [(component, result) for component, _, result in steps if result is not None]
        failed = {component.id: report.error for component, report, _ in steps if report.error}
        node_files = self.node.files if self.node else {}
        warnings = [*self.warnings, *(warning for _, result in made for warning in result.warnings)]
        carried: list[CarriedImages] = []
        files = _assemble_files(made, failed, self.context, node_files, warnings, carried) if made or self.node else {}
        unmirrored = [sentence for _, result in made for sentence in result.unmirrored]
        for _, result in made:
            texts = [image.reference for image in result.images.images if not image.optional and not is_reference(image.reference)]
            warnings += [f"images.txt: {not_a_reference(text)}" for text in texts]
            if not self.context.options.registry:  # else it is said of the mirror
                warnings += _unknown_images(result)
        reports = [report for _, report, _ in steps]
        if self.context.options.deployer != "helm":
            reports = [_present(report, files, f"{report.id}/") for report in reports]
        if self.node:
            reports.insert(0, _present(self.node.report, files, "node/"))
        both = tuple(dict.fromkeys(warnings)), tuple(dict.fromkeys(unmirrored))
        images, blobs = (carried[0].missing, carried[0].blobs) if carried else ((), {})
        return Bundle(files, tuple(reports), _since(began), *both, self.missing_charts, images, blobs)


def _assemble_files(
    made: list[tuple[Component, ComponentFiles]],
    failed: Mapping[str, str],
    context: BundleContext,
    node_files: Mapping[str, bytes],
    warnings: list[str],
    carried: list[CarriedImages],
) -> dict[str, bytes]:
    """Every file by path, in the order of paths; what the bundle has of images is appended to ``carried``.

    ``incomplete.txt`` names the components that failed, so that the others do not pass for the whole bundle.
    """
    files = {f"{component.id}/{path}": content for component, result in made for path, content in result.files.items()}
    files.update(node_files)
    titles = [(component, context.charts[component.id].title or component.id) for component, _ in made]
    variables = template_variables.bundle_variables(context.variables, titles, context.recipe)
    if context.archives:
        from eidos.bundle import chart_archives

        variables["charts.note"] = chart_archives.describe([component for component, _ in made], context.archives)
        archives = [context.archives[component.id] for component, _ in made if component.id in context.archives]
        files.update({f"{chart_archives.FOLDER}/{archive.name}": archive.content for archive in archives})
    files.update(_image_lists(made, context))
    if context.options.images is not None:
        from eidos.bundle.image_archives import collect_images
        from eidos.bundle.mirror_lists import read_mirror_list

        needed = [image for image in read_mirror_list(files, "bundle").images if not image.optional]
        options = context.options
        carried.append(collect_images(str(options.images), needed, options.registry, options.images_archive))
        files.update(carried[0].files)
        variables.update(carried[0].variables)
        warnings += carried[0].warnings
    unchecked = [sentence for _, result in made for sentence in (*result.unchecked, *_unknown_images(result))]
    if unchecked:
        items = "".join(f"\n- {escape_markdown(sentence)}" for sentence in unchecked)
        variables["unchecked"] = Markdown(f"\n\n## Not checked\n{items}")
    for file in template_sets.read_template_set(context.templates, template_sets.ALL).files:
        if file.kind != template_sets.TEXT:
            raise InvalidData(f"{context.templates.name(file.template)}: files at the top of a bundle must be text")
        if component_files.is_required(file, variables):
            files[file.target] = component_files.fill_text_file(file, variables, context.templates)
    files["recipe.yaml"] = formats.to_yaml(context.recipe.to_tree(context=True)).encode()
    if failed:
        lines = [f"{id}: {' '.join(reason.split())}\n" for id, reason in failed.items()]
        files["incomplete.txt"] = "".join(["These components failed and are missing from this bundle:\n", *lines]).encode()
    if context.options.deployer != "helm" and made:
        from eidos.bundle.deployers import arrange_files

        files, more = arrange_files(files, made, context, variables)
        warnings += more
    files = dict(sorted(files.items()))
    files[CHECKSUMS] = format_checksums(files, carried[0].blobs if carried else {})
    files[STATEMENT] = format_statement(files, context.recipe, context.options)
    return dict(sorted(files.items()))


def _image_lists(made: list[tuple[Component, ComponentFiles]], context: BundleContext) -> dict[str, bytes]:
    """The lists of images, for people and for programs."""
    listed, registry = [result.images for _, result in made], context.options.registry
    charts = chart_documents(listed, context.charts, registry, {id: f"charts/{each.name}" for id, each in context.archives.items()})
    images = formats.to_json({**image_documents(listed, registry), **charts})
    return {"images.txt": format_image_list(listed, registry).encode(), "images.json": images.encode()}


def _unknown_images(result: ComponentFiles) -> list[str]:
    return [f"{result.images.component.id}: not known: {sentence}" for sentence in result.images.unknown]


def _present(report: ComponentResult, files: Mapping[str, bytes], folder: str) -> ComponentResult:
    """The report of a component with the files that the bundle has of it."""
    names = tuple(path[len(folder) :] for path in files if path.startswith(folder))
    return replace(report, files=names, bytes=sum(len(files[folder + name]) for name in names))


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)
