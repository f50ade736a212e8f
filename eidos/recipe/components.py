"""What can be deployed: charts, where they come from, and what they need.

Knows ``components.yaml``; must not know which recipe wants a component, nor how one is rendered.
"""

from __future__ import annotations

from eidos.model.chart import Chart
from eidos.model.dependency_order import ordered
from eidos.model.tree_reader import QUOTED, TreeReader


def read_components(tree: object, name: str) -> dict[str, Chart]:
    """Entries by id, in the order of the file; InvalidData with the path of what is wrong in it."""
    charts: dict[str, Chart] = {}
    for entry in TreeReader(tree, name, text_types=QUOTED).mappings("components"):
        chart = _read_chart(entry)
        if chart.id in charts:
            raise entry.error(f"{chart.id!r} is there twice")
        charts[chart.id] = chart
    return charts


def _read_chart(tree: TreeReader) -> Chart:
    images, services = tree.mapping("images"), tree.mapping("service")
    texts = {field: tree.text(field) for field in ("title", "chart", "repository", "version", "namespace")}
    return Chart(
        id=tree.name("id"),
        depends=tree.names("depends"),
        after=tree.names("after"),
        requires=tree.names("requires"),
        images={version: images.names(version) for version in images.tree},
        images_unknown=tree.text("images-unknown"),
        service={service: services.name(service) for service in services.tree},
        **texts,
    )


def with_dependencies(wanted: list[str], charts: dict[str, Chart]) -> tuple[str, ...]:
    """The wanted ids and all that they depend on, in the order in which they are installed."""
    present = ordered(wanted, {id: chart.depends for id, chart in charts.items()})
    return ordered(present, {id: (*chart.depends, *(other for other in chart.after if other in present)) for id, chart in charts.items()})
