"""All nodes of the cluster: how many there are, and which have which labels and taints.

Knows labels and taints of node objects and how many names a reading may have; must not know what a label means.

A reading for each value of each label, and for each taint, names the nodes that have it, or else, where those are fewer, the nodes that do
not: of sixty-four nodes the one that differs is what is looked for.

>>> topology = Topology()
>>> for name, driver in (("gpu-01", "580.82.07"), ("gpu-02", "580.82.07"), ("gpu-03", "570.86.15")):
...     topology.add({"metadata": {"name": name, "labels": {"driver": driver, "os": "linux"}}})
>>> topology.readings()
{'nodes': 3, 'label.driver=580.82.07': '2: all but gpu-03', 'label.driver=570.86.15': '1: gpu-03', 'label.os=linux': '3: all'}

The whole is bounded (:data:`LIMIT`): in a large cluster a reading names fewer nodes and says how many more there are, a label with a value
for every node says how many values it has.
"""

from __future__ import annotations

from eidos.collectors._cluster_source import facts, listed
from eidos.model.measurement import Subtype
from eidos.model.snapshot import natural
from eidos.model.volatile import VOLATILE_LABELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from eidos.collectors import Sources
    from eidos.kube.api_client import Client
    from eidos.model.measurement import Part, Readings

#: Characters that all readings together may have: a quarter of what a ConfigMap holds.
LIMIT = 256 << 10

#: Values a label, and names a reading, may have: the first pair that stays below the limit.
BOUNDS = ((32, 32), (32, 8), (16, 2), (8, 0), (0, 0))


class Topology:
    """The nodes that were added."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._labels: dict[str, dict[str, list[int]]] = {}
        self._taints: dict[str, dict[str, list[int]]] = {}

    def add(self, node: dict[str, Any]) -> None:
        """Take the labels and taints of a node, as the API gives it."""
        number = len(self._names)
        self._names.append(node["metadata"]["name"])
        for label, value in (node["metadata"].get("labels") or {}).items():
            if label not in VOLATILE_LABELS:
                self._labels.setdefault(label, {}).setdefault(value, []).append(number)
        for taint in (node.get("spec") or {}).get("taints") or ():
            value = f"={taint['value']}" if taint.get("value") else ""
            self._taints.setdefault(taint["key"], {}).setdefault(f"{value}:{taint['effect']}", []).append(number)

    def readings(self, limit: int = LIMIT) -> Readings:
        """The count, and a reading for each value of a label and for each taint, of at most ``limit`` characters where that can be."""
        data: Readings = {}
        for values, names in BOUNDS:
            data = self._bounded(values, names)
            if sum(len(key) + len(str(value)) for key, value in data.items()) <= limit:
                break
        return data

    def _bounded(self, values: int, names: int) -> Readings:
        data: Readings = {"nodes": len(self._names)}
        for kind, equals, table in (("label", "=", self._labels), ("taint", "", self._taints)):
            for key, having in table.items():
                if len(having) <= values:
                    data.update((f"{kind}.{key}{equals}{value}", self._which(nodes, names)) for value, nodes in having.items())
                else:
                    count = len({node for nodes in having.values() for node in nodes})
                    data[f"{kind}.{key}"] = f"{len(having)} values on {count} nodes"
        return data

    def _which(self, nodes: Sequence[int], most: int) -> str:
        """How many nodes, and as many of their names as may be."""
        total = len(self._names)
        if len(nodes) == total:
            return f"{total}: all"
        have = set(nodes)
        inverse = total - len(nodes) < len(nodes)
        meant = [self._names[n] for n in range(total) if (n in have) != inverse]
        shown = sorted(meant, key=natural)[:most]
        more = [f"{len(meant) - len(shown)} more" if shown else f"{len(meant)}"] if len(meant) > len(shown) else []
        if not shown and not inverse:
            return str(len(nodes))
        return f"{len(nodes)}: {'all but ' if inverse else ''}{', '.join(shown + more)}"


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``topology``."""
    return facts(sources, "k8s.topology", _read)


def _read(client: Client) -> Iterator[Part]:
    topology = Topology()
    listed(client, "/api/v1/nodes", topology.add)
    yield Subtype("topology", topology.readings())
