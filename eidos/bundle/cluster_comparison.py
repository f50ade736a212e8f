"""A bundle for a cluster that runs something already: which components are left out, which values follow, and what a README says of it.

Knows how decisions change a plan; must not know how they are made: :mod:`eidos.bundle.existing_cluster` does.
"""

from __future__ import annotations

from eidos.bundle.chart_values import set_value
from eidos.bundle.component_files import bound_names, make_component
from eidos.bundle.existing_cluster import decide, joined, read_existing, unknown_facts
from eidos.bundle.implied_values import requested_values
from eidos.bundle.install_plan import plan_installation
from eidos.bundle.installation_facts import load_installations
from eidos.bundle.template_sets import VALUES
from eidos.errors import InvalidInput
from eidos.model import values_schema
from eidos.model.bundle_plan import LEAVE_OUT, REFUSE, UNKNOWN, UPGRADE, ComponentDecision
from eidos.model.recipe import copy_tree
from eidos.model.record import Record, replace
from eidos.templates.text_template import markdown_cell
from eidos.wording import list_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from eidos.bundle.bundle_options import BundleOptions
    from eidos.bundle.component_files import BundleContext
    from eidos.bundle.install_plan import InstallPlan
    from eidos.model.chart import Chart
    from eidos.model.recipe import Component, Recipe


class ClusterComparison(Record):
    """What became of each component: ``decisions`` by id, those ``left_out`` among them, and a sentence for what the snapshot lacks."""

    label: str
    decisions: dict[str, ComponentDecision]
    left_out: tuple[ComponentDecision, ...]
    unknown: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[ComponentDecision, ...]:
        """Those that cannot be installed over what runs."""
        return tuple(each for each in self.decisions.values() if each.action == REFUSE)

    def leave_out(self, id: str, reason: str) -> ClusterComparison:
        """The same with one more component left out."""
        decision = replace(self.decisions[id], action=LEAVE_OUT, reason=reason, steps=())
        return replace(self, decisions={**self.decisions, id: decision}, left_out=(*self.left_out, decision))

    def warnings(self) -> Iterator[str]:
        """What a person has to know of it."""
        yield from self.unknown
        for each in self.decisions.values():
            if each.action == LEAVE_OUT:
                yield f"{each.id} is left out: {each.reason}"
            elif each.action == UPGRADE and each.steps:
                yield f"{each.id} is an upgrade from {each.running}: {'; '.join(each.steps)}"
            if each.values or (each.action == UNKNOWN and each.reason.count("; ")):
                yield f"{each.id}: {each.reason}"

    def summary(self) -> str:
        """The section of a README, in Markdown."""
        rows = [
            f"| {each.id} | {each.running or '-'} | {each.action} | {markdown_cell(_full_reason(each))} |"
            for each in self.decisions.values()
        ]
        table = "\n".join(["| component | runs | decision | why |", "|---|---|---|---|", *rows])
        unknown = "".join(f"\n\n{sentence[0].upper()}{sentence[1:]}." for sentence in self.unknown)
        return f"## What runs in the cluster already\n\nCompared with the snapshot {markdown_cell(self.label)}.\n\n{table}{unknown}"


def _full_reason(decision: ComponentDecision) -> str:
    return joined(decision.reason, *decision.steps)


def compare_cluster(
    plan: InstallPlan, recipe: Recipe, options: BundleOptions, charts: Mapping[str, Chart], load_chart_data: Callable[[str], object]
) -> tuple[InstallPlan, ClusterComparison]:
    """The plan without what runs already and is used, with the values that follow, and what became of each component.

    ``options`` are those of the caller, with a snapshot. Raises InvalidInput where nothing is left to build.
    """
    assert options.existing is not None
    existing = read_existing(options.existing)
    requested = {component.id: requested_values(component, plan.options) for component in plan.components}
    decisions = decide(plan.components, recipe, options, charts, requested, load_chart_data, existing, load_installations())
    left_out = tuple(each for each in decisions.values() if each.action == LEAVE_OUT)
    if left_out:
        ids = [each.id for each in left_out]
        if len(ids) == len(plan.components) and not plan.has_node:
            raise InvalidInput(
                f"nothing to build: {list_words(ids)} runs already", f"add --set {ids[0]}:enabled=true to build it all the same"
            )
        plan = plan_installation(recipe, charts, options, load_chart_data, ids)
    components = tuple(_with_values(component, decisions[component.id].values) for component in plan.components)
    comparison = ClusterComparison(existing.label, decisions, left_out, tuple(unknown_facts(existing)))
    return replace(plan, components=components), comparison


def without_unbound(
    components: tuple[Component, ...], comparison: ClusterComparison, context: BundleContext
) -> tuple[tuple[Component, ...], ClusterComparison]:
    """The components without those whose values name one that is left out: they would look for what is not there."""
    left_out = {each.id for each in comparison.left_out}
    for component in components:
        for id, name in bound_names(component, context):
            if id in left_out and name in make_component(component, context).files.get(VALUES, b"").decode():
                reason = (
                    f"its values name {name} of {id}, which is left out: set them to what runs (--values {component.id}=FILE) to build it"
                )
                comparison = comparison.leave_out(component.id, reason)
                components = tuple(each for each in components if each.id != component.id)
                break
    return components, comparison


def _with_values(component: Component, values: Mapping[str, Any]) -> Component:
    tree = copy_tree(component.values)
    for path, value in values.items():
        set_value(tree, values_schema.parse_path(path), value)
    return replace(component, values=tree) if values else component
