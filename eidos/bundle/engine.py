"""One bundle under way.

Knows what comes before, during and after the components, and what becomes of one that fails; must not know threads: the caller makes
components in any order, or at the same time, and nothing that they share changes meanwhile.
"""

from __future__ import annotations

import time

from eidos import log
from eidos.bundle import bundle_options as forms
from eidos.bundle import component_files as components
from eidos.bundle import registry_mirror as registries
from eidos.bundle import template_sets
from eidos.bundle import variables as tables
from eidos.bundle.assembly import whole
from eidos.bundle.bundle_options import Options
from eidos.bundle.image_list import NONE
from eidos.bundle.install_plan import plan
from eidos.errors import EidosError, InvalidInput
from eidos.model.bundle import Bundle, ComponentResult
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from eidos.bundle.component_files import Context, Result
    from eidos.model.chart import Chart
    from eidos.model.recipe import Component, Recipe

    Part = tuple[Component, ComponentResult, "Result | None"]


def options(
    *,
    sets: Sequence[str] = (),
    values: Mapping[str, Any] | Sequence[tuple[str, Any, str]] = (),
    namespace: str | Mapping[str, str] | None = None,
    registry: str | None = None,
    accelerated_node_selector: Mapping[str, str] | None = None,
    accelerated_tolerations: Sequence[str] = (),
    system_node_selector: Mapping[str, str] | None = None,
    system_tolerations: Sequence[str] = (),
) -> Options:
    """What a caller asks for, in its checked form; InvalidInput for what cannot be."""
    triples = tuple((id, tree, f"values of {id}") for id, tree in values.items()) if hasattr(values, "items") else tuple(values)
    for _, tree, where in triples:
        if not isinstance(tree, dict):
            raise InvalidInput(f"{where}: values are a mapping")
    spaces = {"": namespace} if isinstance(namespace, str) else dict(namespace or {})
    return Options(
        sets=tuple(map(forms.assignment, sets)),
        values=triples,
        namespaces={id: forms.namespace(space) for id, space in spaces.items()},
        registry=registries.check(registry) if registry else "",
        accelerated_node_selector=forms.selector(f"{k}={v}" for k, v in (accelerated_node_selector or {}).items()),
        accelerated_tolerations=tuple(map(forms.toleration, accelerated_tolerations)),
        system_node_selector=forms.selector(f"{k}={v}" for k, v in (system_node_selector or {}).items()),
        system_tolerations=tuple(map(forms.toleration, system_tolerations)),
    )


def prepare(
    recipe: Recipe,
    charts: dict[str, Chart],
    knowledge: Callable[[str], object],
    bundlers: Sequence[str] | None,
    options: Options,
    templates: str | None = None,
    proceed: Callable[[], object] | None = None,
) -> Job:
    """Decide what is made; refuses here what can be refused before anything is. ``proceed`` is called before each component."""
    chosen = plan(recipe, charts, bundlers, options)
    found = template_sets.shipped()
    if templates is not None:
        found = template_sets.over(found, templates)
    names = tables.of_recipe(recipe, chosen.options)
    context = components.Context(recipe, chosen.options, found, names, charts, knowledge)
    for component in chosen.components:
        _refuse(component, context)
    return Job(chosen.components, context, chosen.warnings, proceed)


def _refuse(component: Component, context: Context) -> None:
    """Raise InvalidInput for a value of the caller's that the chart does not have, before any component is made."""
    if not any(said.component == component.id for said in context.options.sets) and not any(
        id == component.id for id, _, _ in context.options.values
    ):
        return
    try:
        components.make(component, context)
    except InvalidInput:
        raise
    except EidosError:
        pass  # not what the caller said: the component's own failure, which costs no more than this component


class Job(Record):
    """The components to make, in the order in which they are installed, and what they share."""

    components: tuple[Component, ...]
    context: Context
    warnings: tuple[str, ...] = ()
    proceed: Callable[[], object] | None = None

    def make(self, component: Component, fail_fast: bool = False) -> Part:
        """One component, or why it failed; with ``fail_fast`` that is raised."""
        if self.proceed is not None:
            self.proceed()
        began = time.perf_counter()
        try:
            result = components.make(component, self.context)
        except EidosError as fault:
            if fail_fast:
                raise type(fault)(
                    f"{component.id}: {fault.message}", fault.hint or "without --fail-fast the others are still made"
                ) from fault
            milliseconds = round((time.perf_counter() - began) * 1000, 1)
            log.error(f"{component.id}: {fault.message}", component=component.id, hint=fault.hint)
            return component, ComponentResult(component.id, milliseconds=milliseconds, error=fault.message, hint=fault.hint or ""), None
        milliseconds = round((time.perf_counter() - began) * 1000, 1)
        size = sum(map(len, result.files.values()))
        log.info(f"{component.id}: made", component=component.id, files=len(result.files), duration_ms=milliseconds)
        if log.shows("debug"):
            for path, content in result.files.items():
                log.debug(f"{component.id}/{path}", component=component.id, path=path, bytes=len(content))
        return component, ComponentResult(component.id, tuple(result.files), size, milliseconds), result

    def whole(self, parts: Sequence[Part], began: float) -> Bundle:
        """The bundle of what was made; ``began`` is when, by ``time.perf_counter``. Nothing is in it when every component failed."""
        made = [(component, result) for component, _, result in parts if result is not None]
        failed = {component.id: outcome.error for component, outcome, _ in parts if outcome.error}
        files = whole(made, failed, self.context) if made else {}
        said = [*self.warnings, *(warning for _, result in made for warning in result.warnings)]
        listed = files.get("images.txt", b"").decode().splitlines()
        said += [f"images.txt: {line[2:]}" for line in listed if line.startswith(NONE)]
        milliseconds = round((time.perf_counter() - began) * 1000, 1)
        return Bundle(files, tuple(outcome for _, outcome, _ in parts), milliseconds, tuple(dict.fromkeys(said)))
