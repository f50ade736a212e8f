"""What a bundle would install, in which order, with which rights, and what that interrupts: the document of ``eidos bundle plan``.

Knows the document's names and its order; must not know how a plan is made, nor how it is shown.
"""

from __future__ import annotations

from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

KIND, API_VERSION = "BundlePlan", "plan.dgxc.io/v1"

#: What becomes of a component, by what runs already: a cluster that could not be read leaves it open.
INSTALL, UPGRADE, KEEP, LEAVE_OUT, REFUSE, UNKNOWN = "install", "upgrade", "keep", "leave-out", "refuse", "unknown"

#: What a person has to plan for, the worst first.
REBOOT, DRAIN, RESTART = "reboot", "drain", "restart"


class ComponentDecision(Record):
    """What becomes of component ``id``, whose version ``running`` runs ("": none, or not known), and why.

    ``steps`` are what has to be done before, in order; ``hint`` is what to do where it is refused. ``values`` are values of its chart that
    follow, by path.
    """

    id: str
    action: str
    running: str = ""
    reason: str = ""
    steps: tuple[str, ...] = ()
    hint: str = ""
    values: dict[str, Any] = {}

    def to_tree(self) -> dict[str, Any]:
        """Its fields but the id, without the empty ones."""
        tree: dict[str, Any] = {"action": self.action}
        tree.update({name: text for name, text in (("running", self.running), ("reason", self.reason), ("hint", self.hint)) if text})
        tree.update({name: each for name, each in (("steps", list(self.steps)), ("values", self.values)) if each})
        return tree


class Interruption(Record):
    """What ``needs`` a reboot, a drain or a restart; ``what`` is a clause."""

    needs: str
    what: str


class ClusterRights(Record):
    """How many ClusterRoles a component brings, and their rules that have a wildcard, each with the name of its ``role``."""

    cluster_roles: int
    wildcards: tuple[dict[str, Any], ...] = ()

    def to_tree(self) -> dict[str, Any]:
        """Its fields."""
        return {"cluster-roles": self.cluster_roles, "wildcards": [dict(rule) for rule in self.wildcards]}


class PlannedComponent(Record):
    """One component as it would be installed; ``bytes`` is the size of its files in the bundle.

    ``chart_bytes`` is that of its packed chart, 0 where the bundle does not carry it.
    ``rights`` are None where they are not known. ``decision`` is there if the plan compares with a cluster, ``error`` if the component
    cannot be made.
    """

    id: str
    chart: str
    version: str
    repository: str
    namespace: str
    why: str
    files: int
    bytes: int
    images: tuple[str, ...] = ()
    optional_images: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    rights: ClusterRights | None = None
    interruptions: tuple[Interruption, ...] = ()
    decision: ComponentDecision | None = None
    error: str = ""
    chart_bytes: int = 0

    def to_tree(self) -> dict[str, Any]:
        """Its fields, without those that do not apply."""
        tree: dict[str, Any] = {"id": self.id}
        texts = ("chart", "version", "repository", "namespace", "why", "error")
        tree.update({name: getattr(self, name) for name in texts if getattr(self, name)})
        tree.update(self.decision.to_tree() if self.decision else {})
        tree.update(files=self.files, bytes=self.bytes)
        tree.update({"chart-bytes": self.chart_bytes} if self.chart_bytes else {})
        tree["images"] = list(self.images)
        tree.update({"optional-images": list(self.optional_images)} if self.optional_images else {})
        tree.update({"images-not-known": list(self.unknown)} if self.unknown else {})
        tree["rights"] = self.rights.to_tree() if self.rights else "not known"
        tree["interrupts"] = [_interruption_tree(each) for each in self.interruptions]
        return tree


class PlannedSetting(Record):
    """A setting of the host: what it is, its value, and the file or document that brings it; "" where nothing does, for the ``reason``."""

    name: str
    value: str
    by: str
    reason: str = ""

    def to_tree(self) -> dict[str, Any]:
        """Its fields, without the empty ones."""
        return {name: text for name, text in zip(self._fields, (self.name, self.value, self.by, self.reason)) if text}


class PlannedNode(Record):
    """The part of the bundle that is for nodes: its files with their size, the settings, and what applying them interrupts."""

    files: tuple[str, ...]
    bytes: int
    settings: tuple[PlannedSetting, ...] = ()
    interruptions: tuple[Interruption, ...] = ()

    def to_tree(self) -> dict[str, Any]:
        """Its fields."""
        return {
            "files": list(self.files),
            "bytes": self.bytes,
            "settings": [setting.to_tree() for setting in self.settings],
            "interrupts": [_interruption_tree(each) for each in self.interruptions],
        }


class BundlePlan(Record):
    """The plan of a bundle: components in the order of their installation, and those that are left out because they run already.

    ``request`` is the query of the recipe; ``existing`` says which snapshot was compared, "" for none, and ``unknown`` what that does not
    show. ``files`` and ``bytes`` are those of the whole bundle, ``unmirrored`` is what comes from elsewhere although there is a mirror, and
    ``missing_charts`` and ``missing_images`` are those that a folder of charts or images lacks.
    """

    version: str
    recipe_data: str
    request: dict[str, str]
    components: tuple[PlannedComponent, ...]
    left_out: tuple[ComponentDecision, ...] = ()
    node: PlannedNode | None = None
    files: int = 0
    bytes: int = 0
    existing: str = ""
    unknown: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unmirrored: tuple[str, ...] = ()
    missing_charts: tuple[str, ...] = ()
    missing_images: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[PlannedComponent, ...]:
        """The components that cannot be installed over what runs."""
        return tuple(each for each in self.components if each.decision is not None and each.decision.action == REFUSE)

    def interruptions(self) -> Iterator[tuple[str, Interruption]]:
        """What interrupts, with the component or ``node`` that does, the worst first."""
        every = [(each.id, item) for each in self.components for item in each.interruptions]
        every += [("node", item) for item in (self.node.interruptions if self.node else ())]
        order = (REBOOT, DRAIN, RESTART)
        yield from sorted(every, key=lambda pair: order.index(pair[1].needs))

    def to_tree(self) -> dict[str, Any]:
        """The document as a plain tree."""
        tree: dict[str, Any] = {
            "kind": KIND,
            "apiVersion": API_VERSION,
            "metadata": {"plan-version": self.version, "recipe-data": self.recipe_data},
            "request": dict(self.request),
            "bundle": {"files": self.files, "bytes": self.bytes},
        }
        if self.existing:
            tree["existing"] = {"snapshot": self.existing, "not-known": list(self.unknown)}
        tree["components"] = [component.to_tree() for component in self.components]
        tree.update({"left-out": [{"id": each.id, **each.to_tree()} for each in self.left_out]} if self.left_out else {})
        tree.update({"node": self.node.to_tree()} if self.node else {})
        for name in ("warnings", "unmirrored", "missing_charts", "missing_images"):
            if getattr(self, name):
                tree[name.replace("_", "-")] = list(getattr(self, name))
        return tree


def _interruption_tree(each: Interruption) -> dict[str, Any]:
    return {"needs": each.needs, "what": each.what}
