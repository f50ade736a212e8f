"""Warnings of a recipe: the sentences that keep it from looking more specific than it is.

Knows which parts of a query no layer is for, which versions a constraint rules out, and which components stay although a layer takes
them out; must not know how layers are merged, nor where the sentences are shown.
"""

from __future__ import annotations

from eidos.model.query import NAMES, READING_PATHS, VERSIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.model.constraint import Constraint
    from eidos.model.query import Query
    from eidos.model.recipe import Component
    from eidos.recipe.layer import Layer
    from eidos.recipe.store import Store

#: Fields of a query for which a specific layer is expected.
SPECIFIC = ("gpu", "service")


def find_warnings(
    requested: dict[str, str],
    store: Store,
    layers: tuple[Layer, ...],
    constraints: tuple[Constraint, ...],
    components: tuple[Component, ...],
) -> Iterator[str]:
    """A sentence for each limit of a recipe, whose query has the fields and words of ``requested``."""
    keys = [layer.key.fields() for layer in layers]
    generic = [field for field in (*SPECIFIC, *NAMES) if field in requested and not any(field in key for key in keys)]
    for field in dict.fromkeys(generic):
        yield _generic(requested, field, store)
    if all(field in requested and field not in generic for field in SPECIFIC) and not any(all(f in key for f in SPECIFIC) for key in keys):
        pair = " and ".join(f"{field} {requested[field]!r}" for field in SPECIFIC)
        near = nearest(requested, SPECIFIC, store)
        yield f"no layer covers {pair} together: the recipe combines what is known of each" + near
    for field in VERSIONS:
        for constraint in constraints:
            if field in requested and constraint.name == READING_PATHS[field] and not constraint.value.allows(requested[field]):
                yield f"the recipe does not cover {field} {requested[field]!r}: it requires {constraint.name} {constraint.value}"
    for component in components:
        choices = [(layer.name, choice) for layer in layers for choice in layer.choices if choice.id == component.id]
        if choices and not choices[-1][1].enabled:
            yield f"{choices[-1][0]} disables {component.id}, but {needed_by(component.id, components)} needs it: it stays enabled"


def needed_by(id: str, components: tuple[Component, ...]) -> str:
    """The components that depend on ``id``, as part of a sentence.

    >>> from eidos.model.recipe import Component
    >>> needed_by("a", tuple(Component(id, "", "", "", "", ("a",)) for id in "bc"))
    'b, c'
    """
    return ", ".join(component.id for component in components if id in component.depends)


def nearest(requested: dict[str, str], fields: tuple[str, ...], store: Store) -> str:
    """The end of a sentence: the key with all ``fields`` that has most in common with what is requested, if there is one."""
    keys = [layer.key for layer in store.overlays if all(field in layer.key.fields() for field in fields)]
    # There may be a key with this very word, but together with fields that the query leaves open, or has otherwise.
    keys = [key for key in keys if key.fields()[fields[0]] == requested[fields[0]]] or keys
    best = max(keys, key=lambda key: (_shared(key, requested), -len(key.fields())), default=None)
    return f"; the nearest covered query is {best}" if best else ""


def _generic(requested: dict[str, str], field: str, store: Store) -> str:
    same = any(layer.key.fields().get(field) == requested[field] for layer in store.overlays)
    state = "applies to this query" if same else "is known"
    return f"nothing specific to {field} {requested[field]!r} {state}{nearest(requested, (field,), store)}"


def _shared(key: Query, requested: dict[str, str]) -> int:
    return sum(requested.get(field) == value for field, value in key.fields().items())
