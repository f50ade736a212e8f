"""The grid by which the recipe data's coverage is measured: GPUs, services, systems and intents that go together.

Knows which combinations count as possible and when one is generic; must not know what a layer recommends. ``python -m
tests.support.recipe_grid`` prints how many are not, by service and GPU.
"""

from __future__ import annotations

from collections.abc import Iterator

from eidos.model.query import Query
from eidos.model.record import replace
from eidos.recipe.lazy_parts import loaded
from eidos.recipe.resolver import resolve
from eidos.recipe.store import Store, in_order, shipped_store

GPUS = ("a100", "h100", "h200", "gh200", "b200", "b300", "gb200", "gb300", "l40", "l40s", "rtx-pro-6000")
SERVICES = ("eks", "gke", "aks", "oke", "self-managed")
INTENTS = ("training", "inference")
SYSTEMS = (
    ("ubuntu", "22.04"),
    ("ubuntu", "24.04"),
    ("ubuntu", "26.04"),
    ("rhel", "9.6"),
    ("rhel", "10.0"),
    ("rocky", "9.7"),
    ("amazonlinux", "2023"),
    ("cos", ""),
    ("debian", "12"),
)

#: The systems of a service that has no others; and the services of a system that no other has.
_SYSTEMS = {"gke": ("cos", "ubuntu"), "aks": ("ubuntu",)}
_SERVICES = {"amazonlinux": ("eks",), "cos": ("gke",)}


def grid() -> Iterator[Query]:
    """The 638 queries."""
    for service in SERVICES:
        for os, osv in SYSTEMS:
            if os in _SYSTEMS.get(service, (os,)) and service in _SERVICES.get(os, (service,)):
                for gpu in GPUS:
                    for intent in INTENTS:
                        yield Query(os=os, osv=osv, service=service, gpu=gpu, intent=intent)


def is_generic(query: Query, store: Store) -> bool:
    """Whether no layer for this GPU on this service, with a source, changes a reading, a constraint or a component of the recipe."""
    own = [layer for layer in store.matching(query) if {"gpu", "service"} <= layer.key.fields().keys() and layer.sources]
    rest = replace(store, overlays=in_order(loaded(layer) for layer in store.matching(query) if layer not in own))
    return not own or _content(query, store) == _content(query, rest)


def _content(query: Query, store: Store) -> tuple[object, ...]:
    recipe = resolve(query, store, check=False)
    limits = [(constraint.name, str(constraint.value)) for constraint in recipe.constraints]
    readings = [(kind.type, part.name, part.data) for kind in recipe.measurements for part in kind.subtypes]
    components = [(component.id, component.version, component.values) for component in recipe.components]
    return readings, limits, components


def main() -> None:
    """Print the table."""
    store = shipped_store()
    generic = {query: is_generic(query, store) for query in grid()}
    print(f"{'':14}" + "".join(f"{service:>14}" for service in SERVICES))
    for gpu in GPUS:
        counts = [[not is_so for query, is_so in generic.items() if (query.gpu, query.service) == (gpu, service)] for service in SERVICES]
        print(f"{gpu:14}" + "".join(f"{f'{sum(own)} of {len(own)}':>14}" for own in counts))
    print(f"{sum(generic.values())} of {len(generic)} combinations are generic ({sum(generic.values()) / len(generic):.1%})")


if __name__ == "__main__":
    main()
