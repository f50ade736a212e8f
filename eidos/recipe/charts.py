"""The charts of ``components.yaml``, and what is known of their values: the shipped ones, and those of a folder laid over them.

Knows the form of that file and where both are found; must not know which recipe has a component, nor how a bundle is made. The catalog
and the overlays are not read: a bundle does not need them.
"""

from __future__ import annotations

import os

from eidos.errors import NotFound
from eidos.files import resources
from eidos.model.chart import Chart, Implication, Probe, RemoteManifest, in_dependency_order
from eidos.model.constraint import parse_expression
from eidos.model.recipe import copy_tree, overlay_tree
from eidos.model.record import replace
from eidos.model.tree_reader import QUOTED, TreeReader
from eidos.recipe.lazy_parts import LazyMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from eidos.model.plugin import Plugin
    from eidos.recipe.data_stack import DataPart

NAME, RULES = "components.yaml", "rules.yaml"


def read_charts(tree: object, name: str) -> dict[str, Chart]:
    """Entries by id, in the order of the file; InvalidData with the path of what is wrong in it."""
    charts: dict[str, Chart] = {}
    for entry in TreeReader(tree, name, text_types=QUOTED).mappings("components"):
        chart = read_chart(entry)
        if chart.id in charts:
            raise entry.error(f"duplicate component {chart.id!r}")
        charts[chart.id] = chart
    return charts


def read_chart(tree: TreeReader) -> Chart:
    """One entry; InvalidData with the path of what is wrong in it."""
    images, services, readings, sets = (tree.mapping(field) for field in ("images", "service", "readings", "sets"))
    texts = {field: tree.text(field) for field in ("title", "chart", "repository", "version", "namespace")}
    if tree.text("kubernetes"):
        tree.parsed("kubernetes", parse_expression)
    return Chart(
        id=tree.name("id"),
        depends=tree.names("depends"),
        after=tree.names("after"),
        requires=tree.names("requires"),
        images={version: images.names(version) for version in images.tree},
        images_unknown=tree.text("images-unknown"),
        served_by=tuple(map(_read_probe, tree.mappings("served-by"))),
        parts=tuple(map(_read_probe, tree.mappings("parts"))),
        service={service: services.name(service) for service in services.tree},
        readings={field: readings.names(field) for field in readings.tree},
        kubernetes=tree.text("kubernetes"),
        manifests=tuple(map(_read_manifest, tree.mappings("manifests"))),
        sets={id: copy_tree(sets.mapping(id).tree) for id in sets.tree},
        upgrades={},
        implies=tuple(map(_read_implication, tree.mappings("implies"))),
        **texts,
    )


def _read_probe(tree: TreeReader) -> Probe:
    tree.expect_only(("resource", "labels", "name", "driver", "port", "part"))
    texts = {field: tree.text(field) for field in ("name", "driver", "part")}
    return Probe(tree.name("resource"), tree.text_map("labels"), port=int(tree.number("port")), **texts)


def _read_implication(tree: TreeReader) -> Implication:
    tree.expect_only(("value", "was", "to", "when", "why"))
    when = tree.mapping("when")
    conditions = {path: when.names(path) for path in when.tree}
    return Implication(tree.name("value"), tree.names("was"), tree.tree.get("to"), conditions, tree.name("why"))


def _read_manifest(tree: TreeReader) -> RemoteManifest:
    """A manifest whose content cannot change unnoticed. Raises InvalidData for another URL than https, or a digest that is none."""
    tree.expect_only(RemoteManifest._fields)
    url, sha256 = tree.name("url"), tree.name("sha256")
    if not url.startswith("https://") or "#" in url or not url.isprintable() or " " in url:
        raise tree.error(f"invalid URL {url[:80]!r}", "write one that begins with https:// and names one revision", "url")
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise tree.error(f"invalid SHA-256 {sha256[:80]!r}", "write the 64 hexadecimal digits that sha256sum prints", "sha256")
    return RemoteManifest(url, sha256)


def values_for_others(ids: Iterable[str], charts: Mapping[str, Chart]) -> dict[str, dict[str, Any]]:
    """The values that components which are installed together set for each other's charts, by the id of the chart's component."""
    present = tuple(ids)
    values: dict[str, dict[str, Any]] = {}
    for id in present:
        for other, tree in charts[id].sets.items():
            if other in present:
                overlay_tree(values.setdefault(other, {}), tree)
    return values


def with_dependencies(ids: Iterable[str], charts: Mapping[str, Chart]) -> tuple[str, ...]:
    """These ids and all that they depend on, in the order in which they are installed."""
    present = in_dependency_order(ids, LazyMapping(charts, lambda id: charts[id].depends))
    after = {id: (*charts[id].depends, *(other for other in charts[id].after if other in present)) for id in present}
    return in_dependency_order(present, after)


def load_charts(
    data: str | None, plugins: Sequence[Plugin] = (), parts: Sequence[DataPart] = ()
) -> tuple[dict[str, Chart], Callable[[str], object]]:
    """The charts by id, and what gives the tree of a chart's values by its path below ``values/`` (None: unknown).

    ``data`` is a folder whose ``components.yaml`` adds entries and whose ``values/`` and ``images/`` add what is known of charts; ``parts``
    are places that were read already, in order, below it, and ``plugins`` may have some, below these. Raises NotFound if the folder does
    not exist, and InvalidData for a malformed file.
    """
    charts, rules = read_charts(resources.load_recipe_file(NAME), NAME), resources.load_recipe_file(RULES)
    if data is not None and not os.path.isdir(data):
        raise NotFound(f"{data}: no such folder", "name a folder that has a components.yaml")
    if plugins:
        from eidos.recipe.data_stack import parts_of_plugins

        parts = (*parts_of_plugins(plugins), *parts)
    if not parts and data is None:
        return _with_upgrades(charts, rules), resources.load_chart_values
    from functools import partial  # it takes longer than reading all charts

    readers = [*(partial(_read_from_part, part) for part in parts), *([partial(_read_from_folder, data)] if data is not None else [])]

    def knowledge(name: str) -> object:
        path = f"{'' if name.startswith(resources.IMAGES_FOLDER) else resources.VALUES_FOLDER}{name}.yaml"
        for read in reversed(readers):
            tree, _ = read(path)
            if tree is not None:
                return tree
        return resources.load_chart_values(name)

    for read in readers:
        tree, shown = read(NAME)
        if tree is not None:
            charts.update(read_charts(tree, shown))
        rules = read(RULES)[0] or rules
    return _with_upgrades(charts, rules), knowledge


def _read_from_part(part: DataPart, name: str) -> tuple[object, str]:
    """The tree of a file of a place, None without it, and how people find it."""
    from eidos import formats

    content = part.files.get(name)
    return None if content is None else formats.from_text(content, part.shown(name)), part.shown(name)


def _read_from_folder(folder: str, name: str) -> tuple[object, str]:
    """The tree of a file of a folder, None without it, and its path."""
    from eidos import formats
    from eidos.recipe.data_folder import read_file

    path = os.path.join(folder, *name.split("/"))
    return formats.from_text(read_file(path), path) if os.path.isfile(path) else None, path


def _with_upgrades(charts: dict[str, Chart], rules: object) -> dict[str, Chart]:
    """The charts with the upgrades of each that the table of the rules allows."""
    from eidos.recipe.life_cycles import read_upgrades

    for step in read_upgrades(rules):
        if step.product in charts:
            chart = charts[step.product]
            charts[step.product] = replace(chart, upgrades={**chart.upgrades, step.to: step.after})
    return charts


def component_ids(data: str | None = None, plugins: Sequence[Plugin] = ()) -> tuple[str, ...]:
    """The ids of all components that there are; arguments and failures as in :func:`load_charts`."""
    return tuple(load_charts(data, plugins)[0])
