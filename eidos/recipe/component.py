"""What can be deployed: charts, where they come from, and what they need.

Knows ``components.yaml``; must not know which recipe wants a component, nor how one is rendered.
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.model.record import Record
from eidos.nearest import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LISTS = ("depends", "requires")
_TEXTS = ("id", "title", "chart", "repository", "version", "namespace")


class Chart(Record):
    """One entry: ``id`` is our name for it, ``chart`` the chart's; ``requires`` are paths of readings that a recipe must have."""

    id: str
    title: str
    chart: str
    repository: str
    version: str
    namespace: str
    depends: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


def read(tree: object, name: str) -> dict[str, Chart]:
    """Entries by id, in the order of the file; InvalidData naming the place of a fault."""
    if not isinstance(tree, dict) or not isinstance(tree.get("components", []), list):
        raise InvalidData(f"{name}: expected a mapping with a list of components")
    charts: dict[str, Chart] = {}
    for i, item in enumerate(tree.get("components", [])):
        where = f"{name}: components[{i}]"
        if not isinstance(item, dict) or not isinstance(item.get("id"), str):
            raise InvalidData(f"{where}: expected a mapping with an id")
        if item["id"] in charts:
            raise InvalidData(f"{where}: {item['id']!r} is there twice")
        texts = {}
        for field in _TEXTS:
            value = item.get(field) or ""
            if not isinstance(value, str):
                raise InvalidData(f"{where}.{field}: expected text, found {value!r}", hint="put versions in quotes")
            texts[field] = value
        lists = {}
        for field in _LISTS:
            value = item.get(field) or []
            if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
                raise InvalidData(f"{where}.{field}: expected a list of text")
            lists[field] = tuple(value)
        named: dict[str, Any] = {**texts, **lists}
        charts[item["id"]] = Chart(**named)
    return charts


def with_dependencies(wanted: list[str], charts: dict[str, Chart]) -> tuple[str, ...]:
    """The wanted ids and all that they depend on, each after its dependencies; InvalidData for an unknown name or a cycle.

    Among those that could come next, the one that was wanted first does, so the order is the same on every run.
    """
    done: dict[str, None] = {}
    path: dict[str, None] = {}
    # Depth first with a stack of its own, so that no chain is too long for Python's; False: to be entered, True: to be left.
    waiting = [(id, False) for id in reversed(wanted)]
    while waiting:
        id, leave = waiting.pop()
        if leave:
            del path[id]
            done[id] = None
        elif id in path:
            circle = list(path)[list(path).index(id) :]
            raise InvalidData(f"components depend on one another in a circle: {' -> '.join([*circle, id])}")
        elif id not in charts:
            needed = f", which {list(path)[-1]} depends on," if path else ""
            raise InvalidData(f"there is no component {id!r}{needed} in components.yaml", did_you_mean(id, charts))
        elif id not in done:
            path[id] = None
            waiting.append((id, True))
            waiting += [(dependency, False) for dependency in reversed(charts[id].depends)]
    return tuple(done)
