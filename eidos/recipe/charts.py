"""The charts of components, and what is known of their values: the shipped ones, and those of a folder laid over them.

Knows where both stand; must not know what a recipe asks of them, nor how a bundle is made. The catalog and the overlays are not
read: a bundle does not need them.
"""

from __future__ import annotations

import os

from eidos.errors import NotFound
from eidos.files import resources
from eidos.recipe.components import read_components

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from eidos.model.chart import Chart


def charts_and_knowledge(data: str | None) -> tuple[dict[str, Chart], Callable[[str], object]]:
    """The entries of components by id, and what gives the tree of a chart's values by its path below ``values/`` (None: not known).

    ``data`` is a folder whose ``components.yaml`` adds entries and whose ``values/`` adds what is known of charts. Raises NotFound
    when there is no such folder, and InvalidData for what in it is not well-formed.
    """
    # The catalog and the overlays are not needed.
    charts = read_components(resources.load_recipes().get("components.yaml"), "components.yaml")
    if data is None:
        return charts, resources.load_chart_values
    if not os.path.isdir(data):
        raise NotFound(f"{data}: there is no such folder", "it holds a components.yaml")

    def read(path: str) -> object:
        from eidos import formats
        from eidos.recipe.data_folder import read_file

        return formats.from_text(read_file(path), path)

    def knowledge(name: str) -> object:
        path = os.path.join(data, "values", *f"{name}.yaml".split("/"))
        return read(path) if os.path.isfile(path) else resources.load_chart_values(name)

    path = os.path.join(data, "components.yaml")
    own = read_components(read(path), path) if os.path.isfile(path) else {}
    return {**charts, **own}, knowledge


def component_ids(data: str | None = None) -> tuple[str, ...]:
    """The ids of all components that there are; ``data`` and failures as in :func:`charts_and_knowledge`."""
    return tuple(charts_and_knowledge(data)[0])
