"""Values of a chart that follow from others, of the same chart or of another one in the bundle.

Knows how an implication of components.yaml is decided and applied; must not know any value. What the caller set is never changed: where it
contradicts what follows, there is a warning.
"""

from __future__ import annotations

from eidos.bundle.chart_values import get_value, set_value
from eidos.errors import InvalidInput
from eidos.model import values_schema
from eidos.model.number_format import format_scalar
from eidos.model.recipe import copy_tree, overlay_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from eidos.bundle.bundle_options import BundleOptions
    from eidos.model.chart import Implication
    from eidos.model.recipe import Component

#: The text of a value that is not there.
UNSET = "unset"


def requested_values(component: Component, options: BundleOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the recipe and the caller set of a component, and what the caller alone does; the text of ``--set`` as it is."""
    caller: dict[str, Any] = {}
    for overlay in options.values:
        if overlay.component == component.id:
            overlay_tree(caller, copy_tree(overlay.tree))
    for assignment in options.assignments:
        if assignment.component == component.id:
            try:  # without contextlib.suppress: importing it takes longer than making a component
                set_value(caller, values_schema.parse_path(assignment.path), assignment.value)
            except InvalidInput:  # refused with the component's own values
                pass
    both: dict[str, Any] = copy_tree(component.values)
    overlay_tree(both, copy_tree(caller))
    return both, caller


def apply_implications(
    implications: tuple[Implication, ...],
    id: str,
    values: dict[str, Any],
    caller: Mapping[str, Any],
    others: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    """Set in ``values``, those of component ``id``, what follows; a sentence for each value that was set, or contradicts.

    ``others`` are the requested values of all components of the bundle, and under ``query`` the fields of the recipe's query.
    """
    trees: dict[str, Mapping[str, Any]] = {**others, id: values}
    for implication in implications:
        if not all(_holds(trees, where, texts) for where, texts in implication.when.items()):
            continue
        path = values_schema.parse_path(implication.path)
        current = _text(get_value(values, path))
        if current not in implication.was:
            continue
        reason = " and ".join(f"{where} is {_value_at(trees, where)}" for where in implication.when)
        if implication.to is None:
            yield f"{id}: {implication.path}={current} has no effect: {reason}, and {implication.why}"
        elif get_value(caller, path) is not None:
            yield f"{id}: {implication.path} is {current}, but {reason}: {implication.why}"
        else:
            set_value(values, path, implication.to)
            yield f"{id}: {implication.path} is set to {_text(implication.to)}, because {reason}: {implication.why}"


def _holds(trees: Mapping[str, Mapping[str, Any]], where: str, texts: tuple[str, ...]) -> bool:
    return where.partition(".")[0] in trees and _value_at(trees, where) in texts


def _value_at(trees: Mapping[str, Mapping[str, Any]], where: str) -> str:
    id, _, path = where.partition(".")
    return _text(get_value(trees[id], values_schema.parse_path(path)))


def _text(value: object) -> str:
    return UNSET if value is None else format_scalar(value) if isinstance(value, (str, int, float)) else "a list or mapping"
