"""The collectors: one file each, found by looking.

Knows how a collector is named and found and what it is given; must not know any particular collector, nor how it is run.

A module ``<type>_<rest>.py`` (or ``<type>.py``) is the collector ``<type>.<rest>`` (or ``<type>``), and ``<type>`` (a key of
:data:`eidos.model.measurement.TYPES`) says into which measurement its subtypes go. It has one function::

    def collect(sources: Sources) -> Iterator[Part]

which yields each part as soon as it has it: what was yielded before a deadline or a crash is kept, and subtypes of one name are
laid together. It raises
:class:`~eidos.errors.NotApplicable` when the host has no such thing, any other :class:`~eidos.errors.EidosError` when it
failed. Its docstring's first line is what ``eidos snapshot --list`` shows. Nothing else needs to be edited.
"""

from __future__ import annotations

from eidos.errors import NotFound
from eidos.model.measurement import TYPES
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Callable

    from eidos.files.host import Host
    from eidos.model.measurement import Part

    Collect = Callable[["Sources"], Iterator[Part]]

#: The units that a GPU node stands on, in the order of DESIGN; ``--units`` replaces them.
UNITS = (
    "containerd.service",
    "docker.service",
    "kubelet.service",
    "crio.service",
    "nvidia-persistenced.service",
    "nvidia-fabricmanager.service",
    "nvidia-imex.service",
    "nvidia-dcgm.service",
    "dcgm.service",
)

#: Those that take longest begin first, so that the others fit beside them.
EARLY = ("os.sysctl", "gpu", "systemd")


def is_cluster_wide(name: str) -> bool:
    """Whether a collector reads what is the same for every node of a cluster."""
    return name.startswith("k8s.") and name != "k8s.node"


def turn(name: str) -> int:
    """When a collector's turn comes: those that wait for a cluster come last, so that no host goes unread because one is silent."""
    return 2 if name.startswith("k8s") else name not in EARLY


class ClusterChoice(Record):
    """Which cluster is meant, where that is not left to the environment.

    ``kubeconfig``, ``context`` and ``namespace`` are as kubectl takes them. ``stale`` is how many seconds old what a cluster said may be,
    when it does not answer; None: there is no use for that.
    """

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    stale: float | None = None


#: What the environment leads to.
ANY_CLUSTER = ClusterChoice()


class Sources(Record):
    """What a collector may draw on.

    ``host`` is the only way to files; ``units`` are full names of systemd units; ``volatile`` says whether readings that
    change on their own are wanted; ``deadline`` is in seconds of ``time.monotonic()``; ``environ`` are the environment's variables.
    """

    host: Host
    units: tuple[str, ...] = UNITS
    volatile: bool = False
    deadline: float = float("inf")
    environ: Mapping[str, str] = {}
    cluster: ClusterChoice = ANY_CLUSTER


def names() -> tuple[str, ...]:
    """Names of all collectors, in the order of :data:`TYPES`, then by name."""
    order = list(TYPES)
    found = (module.replace("_", ".", 1) for module in _modules())
    return tuple(sorted(found, key=lambda name: (order.index(name.partition(".")[0]), name)))


def load(name: str) -> Collect:
    """The ``collect`` function of the collector ``name``; NotFound when there is none."""
    if name not in names():
        raise NotFound(f"there is no collector {name!r}", hint=f"collectors are {', '.join(names())}")
    collect: Collect = _import(name).collect
    return collect


def summary(name: str) -> str:
    """The first line of the collector's docstring."""
    return (_import(name).__doc__ or "").strip().partition("\n")[0]


def _import(name: str) -> Any:
    return __import__(f"{__name__}.{name.replace('.', '_', 1)}", fromlist=["collect"])


def _modules() -> tuple[str, ...]:
    try:
        from eidos._build import COLLECTORS  # written into the archive: listing a zip costs an import of ``inspect``
    except ImportError:
        import os

        files = os.listdir(os.path.dirname(__file__))
        return tuple(sorted(f[:-3] for f in files if f.endswith(".py") and not f.startswith("_")))
    return tuple(COLLECTORS)
