"""The recipes in which faults can show: for every key, and for every two keys that one query can meet.

Knows which queries to try and what a recipe says of versions; must not know how layers are merged, nor what cannot stand together:
that is ``together``. Two keys suffice: a third layer that applies with both of them is part of the recipe for the two.
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.model.constraint import Expression, Term
from eidos.model.lint import ERROR, Fault
from eidos.model.number_format import format_scalar
from eidos.model.query import READING_PATHS, VERSIONS, Query
from eidos.model.record import Record
from eidos.recipe.lint.layer_keys import join
from eidos.recipe.resolver import Contradiction, resolve
from eidos.semver import parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.model.recipe import Recipe, Step
    from eidos.recipe.layer import Layer
    from eidos.recipe.lint_rules import Rules
    from eidos.recipe.store import Store


class Merged(Record):
    """A recipe, and what its query and constraints say together of a version: None when they leave none, nothing when they say nothing."""

    recipe: Recipe
    layers: tuple[Layer, ...]
    known: dict[str, Expression | None]

    def step(self, path: str) -> Step | None:
        """Who set the reading at ``path``, and to what; None when nobody did."""
        return self.recipe.history.get(path, (None,))[-1]

    def text(self, path: str) -> str | None:
        """The reading at ``path`` as it is written; None when there is none."""
        step = self.step(path)
        return None if step is None else format_scalar(step.value)

    def place(self, path: str) -> str:
        """The layer that set the reading at ``path``, or chose the version of ``components.<id>``, and the path."""
        step = self.step(path)
        if step is not None:
            return f"{step.layer}: {path}"
        chose = (
            layer.name
            for layer in reversed(self.layers)
            for choice in layer.choices
            if f"components.{choice.id}" == path and choice.version
        )
        return f"{next(chose, 'components.yaml')}: {path}"

    def to(self) -> str:
        """Whom the recipe is for, as the end of a sentence."""
        said = self.recipe.request.fields()
        return f" (for {self.recipe.request})" if said else ""


def merged(store: Store, rules: Rules) -> Iterator[Merged | Fault]:
    """The recipes to look at, by growing number of fields, and a fault for each that cannot be made."""
    keys = [layer.key for layer in store.overlays]
    asked = [Query(gpu=host.gpu) for host in rules.hosts] + [Query(os=kernel.os, osv=kernel.osv) for kernel in rules.kernels]
    queries = {Query(): None, **dict.fromkeys(keys), **dict.fromkeys(asked)}
    for i, key in enumerate(keys):
        for other in (*keys[i + 1 :], *asked):
            both = join(key, other)
            if both is not None:
                queries[both] = None
    seen = set()
    for query in sorted(queries, key=lambda query: (len(query.fields()), str(query))):
        layers = (store.base, *store.matching(query))
        names = tuple(layer.name for layer in layers)
        told = (names, query.gpu, query.os, query.osv, query.kernel, query.k8s)
        if told in seen:
            continue
        seen.add(told)
        try:
            recipe = resolve(query, store, explain=True)
        except Contradiction as fault:
            yield Fault(ERROR, "contradiction", _contradicting(fault, names), f"{fault.message} (for {query})", fault.hint or "")
        except InvalidData:
            continue  # components that are unknown or go round: that is said of the components
        else:
            yield Merged(recipe, layers, _known(recipe, rules))
            for layer in store.overlays:
                if layer.key == query:
                    yield from _unsatisfied(layer, recipe)


def _contradicting(fault: Contradiction, layers: tuple[str, ...]) -> str:
    """The later one of the two layers, which is the one that the message names last."""
    name = fault.message.partition(": ")[0]
    return f"{max(layers, key=lambda layer: fault.message.rfind(f'({layer})'))}: constraints.{name}"


def _known(recipe: Recipe, rules: Rules) -> dict[str, Expression | None]:
    """What is certain of a version by its path: the query's word, the constraint, the oldest kernel of the system."""
    known: dict[str, Expression | None] = {constraint.name: constraint.value for constraint in recipe.constraints}

    def add(path: str, expression: Expression) -> None:
        old = known.get(path)
        # Who asks for a version that a constraint rules out is told so by the constraint: the recipe says nothing of that node.
        known[path] = old.intersect(expression) if old is not None else None if path in known else expression

    said = recipe.request.fields()
    for field in VERSIONS:
        if field in said:
            numbers = ".".join(map(str, parse_version(said[field]).numbers))
            add(READING_PATHS[field], Expression((Term("==", (numbers,)),)))
    for kernel in rules.kernels:
        if said.get("os") == kernel.os and "osv" in said and parse_version(said["osv"]).matches(parse_version(kernel.osv)):
            add(READING_PATHS["kernel"], Expression((Term(">=", (kernel.lowest,)),)))
    return known


def _unsatisfied(layer: Layer, recipe: Recipe) -> Iterator[Fault]:
    """Versions in a layer's own key that a constraint of the very recipe for it rules out."""
    for field in VERSIONS:
        path, version = READING_PATHS[field], layer.key.fields().get(field)
        constraint = next((constraint for constraint in recipe.constraints if constraint.name == path), None)
        if version and constraint and not constraint.value.allows(version):
            message = f"the layer is for {version}, and in its recipe {path} must be {constraint.value}: no node satisfies both"
            yield Fault(ERROR, "never-satisfied", f"{layer.name}: key.{field}", message)
