"""All nodes of the cluster: how many there are, and which have which labels and taints.

Knows labels and taints of node objects and how many names a reading may have; must not know what a label means.

A reading for each value of each label, and for each taint, lists the nodes that have it, or, where those are fewer, the nodes that do
not: of sixty-four nodes it names the one that differs.

>>> topology = Topology()
>>> for name, driver in (("gpu-01", "580.82.07"), ("gpu-02", "580.82.07"), ("gpu-03", "570.86.15")):
...     topology.add({"metadata": {"name": name, "labels": {"driver": driver, "os": "linux"}}})
>>> topology.readings()
{'nodes': 3, 'label.driver=580.82.07': '2: all but gpu-03', 'label.driver=570.86.15': '1: gpu-03', 'label.os=linux': '3: all'}

The size is bounded (:data:`SIZE_LIMIT`): in a large cluster a reading names fewer nodes and counts the others, and a label with a value for
every node only counts its values.
"""

from __future__ import annotations

from eidos.collectors._cluster_source import collect_from_cluster, for_each_object
from eidos.model.measurement import SECRET, WITHHELD, Gap, Subtype
from eidos.model.snapshot import natural_key
from eidos.model.volatile import VOLATILE_LABELS
from eidos.redact.random_words import is_identifier
from eidos.redact.secret_names import has_credential_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from eidos.collectors import Sources
    from eidos.kube.api_client import KubeClient
    from eidos.model.measurement import Part, Readings

#: Characters of all readings together: a quarter of what a ConfigMap holds.
SIZE_LIMIT = 256 << 10

#: Values per label and names per reading: the first pair whose readings fit into the limit is used.
BOUNDS = ((32, 32), (32, 8), (16, 2), (8, 0), (0, 0))

#: Digits at the end of a word of a name, as in rack12, and characters of a suffix that makes a name unique, as in pool-x7k2p.
_NAME_DIGITS, _SUFFIX_LENGTH = 3, 5


class Topology:
    """The nodes that were added."""

    def __init__(self) -> None:
        #: Labels whose name is that of a credential, or of which the value looks like one.
        self.withheld: set[str] = set()
        self._names: list[str] = []
        self._labels: dict[str, dict[str, list[int]]] = {}
        self._taints: dict[str, dict[str, list[int]]] = {}

    def add(self, node: dict[str, Any]) -> None:
        """Add the labels and taints of a node, as the API returns it."""
        number = len(self._names)
        self._names.append(node["metadata"]["name"])
        for label, value in (node["metadata"].get("labels") or {}).items():
            # Only labels without a domain are the user's own (Kubernetes, "Labels and Selectors"); clouds have ids of many forms.
            if value and (has_credential_word(label) or not ("/" in label or is_identifier(value) or _is_name(value))):
                self.withheld.add(label)
                value = WITHHELD
            if label not in VOLATILE_LABELS:
                self._labels.setdefault(label, {}).setdefault(value, []).append(number)
        for taint in (node.get("spec") or {}).get("taints") or ():
            value = f"={taint['value']}" if taint.get("value") else ""
            self._taints.setdefault(taint["key"], {}).setdefault(f"{value}:{taint['effect']}", []).append(number)

    def readings(self, limit: int = SIZE_LIMIT) -> Readings:
        """The number of nodes, and a reading for each value of a label and each taint; at most ``limit`` characters, if possible."""
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
                    data.update((f"{kind}.{key}{equals}{value}", self._node_list(nodes, names)) for value, nodes in having.items())
                else:
                    count = len({node for nodes in having.values() for node in nodes})
                    data[f"{kind}.{key}"] = (
                        f"{len(having)} {'value' if len(having) == 1 else 'values'} on {count} {'node' if count == 1 else 'nodes'}"
                    )
        return data

    def _node_list(self, nodes: Sequence[int], limit: int) -> str:
        """How many nodes, and at most ``limit`` of their names."""
        total = len(self._names)
        if len(nodes) == total:
            return f"{total}: all"
        matching = set(nodes)
        inverse = total - len(nodes) < len(nodes)
        listed = [self._names[n] for n in range(total) if (n in matching) != inverse]
        shown = sorted(listed, key=natural_key)[:limit]
        more = [f"{len(listed) - len(shown)} more" if shown else f"{len(listed)}"] if len(listed) > len(shown) else []
        if not shown and not inverse:
            return str(len(nodes))
        return f"{len(nodes)}: {'all but ' if inverse else ''}{', '.join(shown + more)}"


def _is_name(value: str) -> bool:
    """Whether a label's value is a name in parts, of which one at most is random and short.

    >>> [_is_name(value) for value in ("row3-rack7-u12", "pool-x7k2p", "pool-x7k2p-q9z4t", "Zq7k-D02m-Wx91-LpTe")]
    [True, True, False, False]
    """
    suffixes = []
    for part in value.split("-"):
        word = part.rstrip("0123456789")
        is_word = not word or (word.isalpha() and word.islower() and is_identifier(word))
        if not is_word or len(part) - len(word) > _NAME_DIGITS:
            suffixes.append(part)
    return len(suffixes) <= 1 and all(len(suffix) <= _SUFFIX_LENGTH for suffix in suffixes)


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``topology``."""
    return collect_from_cluster(sources, "k8s.topology", _read)


def _read(client: KubeClient) -> Iterator[Part]:
    topology = Topology()
    for_each_object(client, "/api/v1/nodes", topology.add)
    yield Subtype("topology", topology.readings())
    for label in sorted(topology.withheld):
        yield Gap(SECRET, f"label.{label}", "a credential by its name, or a random word")
