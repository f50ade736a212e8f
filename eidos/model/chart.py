"""What can be deployed, and the order in which it is installed.

Knows the fields of an entry and what depends on what; must not know the file that it comes from, nor how it is rendered.
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.model.record import Record
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any


class Probe(Record):
    """Resources that show who does some work in a cluster: those with these labels or this name, or that use a CSI driver or a port.

    ``part`` is the value of the chart that switches on what does this work, "" for the whole chart.

    >>> Probe("deployments", {"app": "gpu-operator"}).words
    'deployments --selector=app=gpu-operator'
    >>> Probe("csinodes", driver="ebs.csi.aws.com").words
    'csinodes driver=ebs.csi.aws.com'
    """

    resource: str
    labels: dict[str, str] = {}
    name: str = ""
    driver: str = ""
    port: int = 0
    part: str = ""

    @property
    def words(self) -> str:
        """The resource, and an option of kubectl or what else selects it, as the scripts of bundles take it."""
        if self.labels:
            return f"{self.resource} --selector={','.join(f'{key}={value}' for key, value in self.labels.items())}"
        if self.name:
            return f"{self.resource} --field-selector=metadata.name={self.name}"
        if self.driver:
            return f"{self.resource} driver={self.driver}"
        return f"{self.resource} port={self.port}" if self.port else self.resource


class RemoteManifest(Record):
    """A file of Kubernetes objects that a project publishes: its ``url`` names one revision, and its content has this SHA-256.

    >>> RemoteManifest("https://example.com/v1/crds.yaml", "ab12").words
    'https://example.com/v1/crds.yaml#sha256=ab12'
    """

    url: str
    sha256: str

    @property
    def words(self) -> str:
        """As the scripts of bundles take it."""
        return f"{self.url}#sha256={self.sha256}"


class Implication(Record):
    """A value of a chart that follows from others: where ``when`` holds and the value at ``path`` is one of ``was``, it becomes ``to``.

    ``when`` maps values, as ``component.path`` or ``query.field``, to texts, one of which each must be; "unset" is one. Without ``to``
    (None) there is nothing to set, and only a warning. ``why`` is the reason, a clause.
    """

    path: str
    was: tuple[str, ...]
    to: Any
    when: dict[str, tuple[str, ...]]
    why: str


class Chart(Record):
    """One entry: ``id`` is our name for it, ``chart`` the chart's, "" where there are manifests alone.

    ``after`` are ids that come before this one where both are installed, and that are not required. ``requires`` are paths of readings
    that a recipe must have; ``readings`` maps the chart's ``version`` or one of its ``values.PATH`` to the readings that state the same;
    ``images`` maps a version of the chart to references, which may hold placeholders of templates;
    ``images_unknown`` is a sentence on what is unknown of them. ``served_by`` and ``parts`` find others that do the work of the component,
    or of a part of its chart. ``service`` makes an entry a choice: service → the id of the entry that
    it stands for there. ``kubernetes`` is an expression of the releases of Kubernetes that it supports, "" where none is stated.
    ``manifests`` are applied in their order, after the chart if there is one. ``sets`` are values of the charts of other components that
    are installed together with it: id → values. ``upgrades`` maps releases to those that can be upgraded to them. ``implies`` are values
    that follow from others.
    """

    id: str
    title: str
    chart: str
    repository: str
    version: str
    namespace: str
    depends: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    images: dict[str, tuple[str, ...]] = {}
    images_unknown: str = ""
    served_by: tuple[Probe, ...] = ()
    parts: tuple[Probe, ...] = ()
    service: dict[str, str] = {}
    readings: dict[str, tuple[str, ...]] = {}
    kubernetes: str = ""
    manifests: tuple[RemoteManifest, ...] = ()
    sets: dict[str, dict[str, Any]] = {}
    upgrades: dict[str, tuple[str, ...]] = {}
    implies: tuple[Implication, ...] = ()


def in_dependency_order(ids: Iterable[str], depends: Mapping[str, Sequence[str]], skip: Iterable[str] = ()) -> tuple[str, ...]:
    """These ids and all that they depend on but ``skip``, each after its dependencies.

    Among those that could come next, the one that is first in ``ids`` does, so the order is the same on every run. Raises InvalidData
    for an id that ``depends`` does not have, or for a circle, which it shows.

    >>> in_dependency_order(["app", "db"], {"app": ["db", "web"], "db": [], "web": ["db"]})
    ('db', 'web', 'app')
    """
    done: dict[str, None] = dict.fromkeys(skip)
    skipped = frozenset(done)
    path: dict[str, None] = {}
    # Depth first with a stack of its own, so that no chain is too long for Python's; False: to be entered, True: to be left.
    waiting = [(id, False) for id in reversed(list(ids))]
    while waiting:
        id, leave = waiting.pop()
        if leave:
            del path[id]
            done[id] = None
        elif id in path:
            circle = list(path)[list(path).index(id) :]
            raise InvalidData(f"components depend on each other in a cycle: {' -> '.join([*circle, id])}")
        elif id not in depends:
            needed = f", which {list(path)[-1]} depends on," if path else ""
            raise InvalidData(f"component {id!r}{needed} is not in components.yaml", did_you_mean(id, depends))
        elif id not in done:
            path[id] = None
            waiting.append((id, True))
            waiting += [(dependency, False) for dependency in reversed(depends[id])]
    return tuple(id for id in done if id not in skipped)
