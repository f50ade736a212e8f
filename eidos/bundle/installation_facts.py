"""What is known of installing a component besides its values: how it shows in a cluster, what it interrupts, its rights and definitions.

Knows the forms of ``recipes/installations.yaml`` and ``recipes/charts.yaml``; must not know any component. Only a plan, and a bundle for a
cluster that runs something already, read them.
"""

from __future__ import annotations

from eidos.files import resources
from eidos.model.record import Record
from eidos.model.tree_reader import QUOTED, TreeReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The files of the recipes.
INSTALLATIONS, CHARTS = "installations.yaml", "charts.yaml"


class Interrupt(Record):
    """What ``needs`` a reboot, a drain or a restart, as a clause.

    With a ``value`` only where that is on, by ``default`` as in the chart; with a ``text`` only where a file of the component has it; with
    ``at_upgrade`` not when the component is installed for the first time.
    """

    needs: str
    what: str
    value: str = ""
    default: bool = False
    text: str = ""
    at_upgrade: bool = False


class Installation(Record):
    """How a component shows: names of ``images``, and whether others use it too.

    ``crd_hook`` is the value that lets a hook of the chart upgrade its definitions; ``driver`` names the values that install the driver of
    a host (``value``, ``version``) and its ``image``.
    """

    images: tuple[str, ...] = ()
    shared: bool = False
    crd_hook: str = ""
    driver: dict[str, str] = {}
    interrupts: tuple[Interrupt, ...] = ()


class ChartContents(Record):
    """What a version of a chart brings.

    The number of its ClusterRoles, their rules with a wildcard, and the number of its files of definitions that helm never upgrades.
    """

    cluster_roles: int
    wildcards: tuple[dict[str, Any], ...]
    definitions: int


def load_installations() -> dict[str, Installation]:
    """The entries by component."""
    return read_installations(resources.load_recipe_file(INSTALLATIONS))


def read_installations(tree: object) -> dict[str, Installation]:
    """The entries of a document by component. Raises InvalidData with the place of a fault."""
    entries = TreeReader(tree, f"recipes/{INSTALLATIONS}", text_types=QUOTED).mapping("installations")
    installations = {}
    for id in entries.tree:
        entry = entries.mapping(id)
        entry.expect_only(("images", "shared", "crd-hook", "driver", "interrupts"))
        driver = entry.text_map("driver") if "driver" in entry else {}
        interrupts = tuple(map(_read_interrupt, entry.mappings("interrupts")))
        installations[id] = Installation(entry.names("images"), entry.flag("shared", False), entry.text("crd-hook"), driver, interrupts)
    return installations


def _read_interrupt(entry: TreeReader) -> Interrupt:
    entry.expect_only(("needs", "what", "value", "default", "text", "at"))
    needs = entry.choice("needs", ("reboot", "drain", "restart"))
    at_upgrade = "at" in entry and bool(entry.choice("at", ("upgrade",)))
    return Interrupt(needs, entry.name("what"), entry.text("value"), entry.flag("default", False), entry.text("text"), at_upgrade)


def load_chart_contents() -> TreeReader:
    """What is known of every chart, for :func:`chart_contents`."""
    return read_charts_file(resources.load_recipe_file(CHARTS))


def read_charts_file(tree: object) -> TreeReader:
    """The same from a document. Raises InvalidData with the place of a fault."""
    return TreeReader(tree, f"recipes/{CHARTS}", text_types=QUOTED).mapping("charts")


def chart_contents(charts: TreeReader, id: str, version: str) -> ChartContents | None:
    """What a version of the chart of component ``id`` brings; None where that is not known.

    Raises InvalidData with the place of a fault.
    """
    versions = charts.mapping(id) if id in charts else None
    if versions is None or version not in versions:
        return None
    entry = versions.mapping(version)
    wildcards = tuple(dict(rule.tree) for rule in entry.mappings("wildcards"))
    return ChartContents(int(entry.number("cluster-roles")), wildcards, int(entry.number("crds-folder")))
