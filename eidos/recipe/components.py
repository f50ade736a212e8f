"""What can be deployed: charts, where they come from, and what they need.

Knows ``components.yaml``; must not know which recipe wants a component, nor how one is rendered.
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.model.chart import Chart
from eidos.model.dependency_order import ordered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LISTS = ("depends", "after", "requires")
_TEXTS = ("id", "title", "chart", "repository", "version", "namespace")


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
        named: dict[str, Any] = {**texts, **lists, **_more(item, where)}
        charts[item["id"]] = Chart(**named)
    return charts


def _more(item: dict[str, Any], where: str) -> dict[str, Any]:
    """What only bundles look at: images by version of the chart, and what an entry stands for on each service."""
    images = item.get("images") or {}
    if not isinstance(images, dict) or not all(
        isinstance(refs, list) and all(isinstance(ref, str) and ref for ref in refs) for refs in images.values()
    ):
        raise InvalidData(f"{where}.images: expected a mapping of chart versions to lists of references")
    service = item.get("service") or {}
    if not isinstance(service, dict) or not all(isinstance(id, str) and id for id in service.values()):
        raise InvalidData(f"{where}.service: expected a mapping of services to ids")
    unknown = item.get("images-unknown") or ""
    if not isinstance(unknown, str):
        raise InvalidData(f"{where}.images-unknown: expected a sentence")
    return {"images": {version: tuple(refs) for version, refs in images.items()}, "images_unknown": unknown, "service": dict(service)}


def with_dependencies(wanted: list[str], charts: dict[str, Chart]) -> tuple[str, ...]:
    """The wanted ids and all that they depend on, in the order in which they are installed; see ``dependency_order.ordered``."""
    present = ordered(wanted, {id: chart.depends for id, chart in charts.items()})
    return ordered(present, {id: (*chart.depends, *(other for other in chart.after if other in present)) for id, chart in charts.items()})
