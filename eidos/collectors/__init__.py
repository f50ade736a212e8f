"""The collectors: one module each, discovered by file name.

Knows how collectors are named, discovered and ordered, and what they get; must not know any particular collector, nor how it is run.

To add one, write ``eidos/collectors/<type>_<name>.py`` and cases in ``tests/cases/<type>.<name>/``; nothing else is edited. The module
is the collector ``<type>.<name>`` (``gpu.py`` and ``systemd.py`` have a type alone); ``<type>``, a key of
:data:`eidos.model.measurement.TYPES`, is the measurement that its subtypes go into. Names that begin with ``_`` are no collectors.
A complete one, below a docstring whose first line is what ``eidos snapshot --list`` shows::

    PATH = "/proc/uptime"


    def parse_uptime(text: str) -> float:
        return float(text.split()[0])


    def collect(sources: Sources) -> Iterator[Part]:
        try:
            text = sources.host.read_text(PATH)
        except FileMissing as fault:
            raise NotApplicable(f"there is no {PATH}") from fault  # outcome: skipped
        except FileUnreadable as fault:
            yield Gap(UNREADABLE, PATH, fault.reason)  # outcome: partial
            return
        yield Subtype("uptime", {"seconds": parse_uptime(text)})  # outcome: ok

The contract of ``collect``:

* It yields each :class:`~eidos.model.measurement.Part` as soon as it has it: a ``Subtype`` of readings, or a ``Gap`` for what it looked
  for and has no reading of. What was yielded before a deadline or a crash is in the document; subtypes of one name are merged.
* It raises :class:`~eidos.errors.NotApplicable` when the host has no such source (outcome ``skipped``), and any other
  :class:`~eidos.errors.EidosError` when it failed (outcome ``failed``). Any other exception is a bug, reported as ``failed``.
* It reads files through ``sources.host`` alone, and changes nothing on the host.
* A value that somebody could have put a secret into is shown as :mod:`eidos.redact` says, by a list of names (:func:`harmless_names`); what
  is withheld is counted with a ``Gap`` of kind ``SECRET``.
* Readings that change on their own go into a subtype ``<name>.volatile``, and are yielded only if ``sources.volatile`` says so.
* It runs in a forked child that is abandoned at ``sources.deadline``, so a call that never returns costs nothing but its readings.
  Collectors of ``os`` share two children, one after the other: they only read files, and leave the process as it was. So do collectors
  of a service that this machine does not run (:func:`absent_services`).
"""

from __future__ import annotations

import os

from eidos.errors import NotFound
from eidos.model.measurement import DIGEST, TYPES, Gap
from eidos.model.record import Record
from eidos.wording import list_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from typing import Any, Callable

    from eidos.files.host import Host
    from eidos.model.measurement import Part
    from eidos.redact.harmless_names import NameList

    CollectFunction = Callable[["Sources"], Iterator[Part]]

#: The systemd units that a GPU node depends on; ``--units`` replaces them.
DEFAULT_UNITS = (
    "containerd.service",
    "docker.service",
    "kubelet.service",
    "crio.service",
    "nvidia-persistenced.service",
    "nvidia-fabricmanager.service",
    "nvidia-imex.service",
    "nvidia-dcgm.service",
    "dcgm.service",
    "nvidia-cdi-refresh.service",
    "openibd.service",
    "chrony.service",
    "chronyd.service",
    "systemd-timesyncd.service",
    "ntpd.service",
    "tuned.service",
    "irqbalance.service",
    "unattended-upgrades.service",
)

#: The slowest collectors, which start first, so that the others run beside them.
SLOWEST = ("os.sysctl", "gpu", "systemd")

#: Collectors that read nothing but /proc and /sys, which hardly ever block; a disk or a file server may. ``os.grub`` is not among them
#: because it shares its list of harmless names with ``os.boot``.
KERNEL_FILES = frozenset(("os.cpu", "os.kmod", "os.memory", "os.net", "os.pci", "os.sysctl"))

#: Collector of a service → files of which one exists wherever the service runs: NVIDIA's driver (WSL 2 has the last), systemd.
SERVICE_FILES = {
    "gpu": ("/sys/module/nvidia", "/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg"),
    "systemd": ("/run/systemd/private", "/run/dbus/system_bus_socket"),
}


def is_cluster_wide(name: str) -> bool:
    """Whether a collector's readings are the same on every node of a cluster."""
    return name.startswith("k8s.") and name != "k8s.node"


def shares_child(name: str) -> bool:
    """Whether a collector only reads files, so that it runs in a process with others: all of ``os`` do."""
    return name.startswith("os.") and name not in _added


def absent_services(root: str = "/") -> frozenset[str]:
    """The collectors of services that the running system does not have: they find that out by looking at files, too.

    Only file systems of the kernel are looked at, and /run, which is in memory, because nothing may block here: of a host that is
    mounted elsewhere it is known which drivers its kernel has, and not whether systemd runs.
    """
    names = SERVICE_FILES if root == "/" else ("gpu",)
    return frozenset(name for name in names if not any(map(os.path.lexists, SERVICE_FILES[name])))


def batches(names: Iterable[str], absent: frozenset[str] = frozenset()) -> list[list[str]]:
    """The collectors that run in one process each, in the order in which they start and, inside a batch, in which they run.

    Those that only read the kernel's files share one, and those that read files of a disk another, which takes as long: a process for
    each would take twice the time. When one collector is stuck, the rest of its batch goes on in another. Those that wait for a cluster
    are last, so that a silent cluster leaves no reading of the host undone. ``absent`` are collectors that need no process of their own
    (:func:`absent_services`).
    """
    ordered = sorted(names, key=start_order)
    of_kernel = [name for name in ordered if name in KERNEL_FILES]
    of_disks = [name for name in ordered if shares_child(name) and name not in KERNEL_FILES]
    of_disks += [name for name in ordered if name in absent]
    return [*filter(None, [of_kernel, of_disks]), *([name] for name in ordered if name not in of_kernel and name not in of_disks)]


def start_order(name: str) -> int:
    """Sort key of a collector: the slowest start first, those that wait for a cluster last."""
    return 2 if name.startswith("k8s") else name not in SLOWEST


class ClusterSelection(Record):
    """Which cluster to read: ``kubeconfig``, ``context`` and ``namespace`` override the environment, as flags of kubectl do.

    ``stale_limit_s`` is the age up to which cached facts stand in for a cluster that does not answer; None: they do not.
    """

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    stale_limit_s: float | None = None


#: The cluster that the environment selects.
DEFAULT_CLUSTER = ClusterSelection()


class Sources(Record):
    """What a collector may read from, and until when.

    ``host`` is the only way to files; ``units`` are full names of systemd units; ``volatile`` says whether to yield readings that change
    on their own; ``deadline`` is a time of ``time.monotonic()``; ``environ`` are the environment variables; ``reveal`` are names whose
    values are shown although they would be withheld; with ``digest_key``, digests of withheld values are yielded as well; ``smi`` is what
    nvidia-smi printed on the host, in place of the driver.
    """

    host: Host
    units: tuple[str, ...] = DEFAULT_UNITS
    volatile: bool = False
    deadline: float = float("inf")
    environ: Mapping[str, str] = {}
    cluster: ClusterSelection = DEFAULT_CLUSTER
    reveal: tuple[str, ...] = ()
    digest_key: bytes = b""
    smi: bytes = b""

    def digests(self, subtype: str, values: Mapping[str, object], shown: Mapping[str, object]) -> Iterator[Gap]:
        """A gap with the digest of each of ``values`` that is not as it is ``shown``; none without a key.

        The digest is HMAC-SHA-256 of the text, in which a mark stands for the node's own name: nodes may differ in that.
        """
        if not self.digest_key:
            return
        import hmac

        own = os.uname().nodename
        for key in shown:
            if key in values and values[key] != shown[key]:
                text = str(values[key])
                for name in (own, own.partition(".")[0]):
                    text = text.replace(name, "\0") if name else text  # a mark, or "a1" of node a would equal "1" of node b
                content = text.encode("utf-8", "surrogatepass")
                yield Gap(DIGEST, f"{subtype}/{key}", hmac.new(self.digest_key, content, "sha256").hexdigest())


def list_collectors() -> tuple[str, ...]:
    """Names of all collectors, in the order of :data:`TYPES`, then by name."""
    order = list(TYPES)
    return tuple(sorted(_names(), key=lambda name: (order.index(name.partition(".")[0]), name)))


def collector_choices() -> dict[str, str]:
    """What ``--only``, ``--skip`` and ``--require`` take: each collector, and each type that several collectors share."""
    names = list_collectors()
    choices: dict[str, str] = {}
    for name in names:
        group = name.partition(".")[0]
        if group not in names:
            choices.setdefault(group, f"every {group}.* collector")
        choices[name] = "one collector"
    return choices


def select_collectors(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """Those of ``names`` that ``words`` select, by name or by group, in the order of ``names``.

    >>> select_collectors(["os", "gpu"], ["gpu", "os.grub", "os.kmod", "systemd"])
    ['gpu', 'os.grub', 'os.kmod']
    """
    return [name for name in names if any(name == word or name.startswith(f"{word}.") for word in words)]


def apply_only_and_skip(names: Sequence[str], only: Sequence[str] | None, skip: Sequence[str]) -> list[str]:
    """Those of ``names`` that ``--only`` and ``--skip`` leave."""
    skipped = select_collectors(skip, names)
    return [name for name in (select_collectors(only, names) if only else names) if name not in skipped]


def load_collector(name: str) -> CollectFunction:
    """The ``collect`` function of the collector ``name``; NotFound when there is none."""
    if name not in _names():
        raise NotFound(f"unknown collector {name!r}", hint=f"use one of {list_words(list_collectors())}")
    if name in _added:
        from eidos.collectors._plugin_collector import load_plugin_collector

        return lambda sources: load_plugin_collector(name, *_added[name], harmless_names(revealed=sources.reveal))(sources)
    collect: CollectFunction = _import(name).collect
    return collect


#: Collector of a plug-in → its file, and what was read from it.
_added: dict[str, tuple[str, bytes]] = {}

#: List of harmless names → the collectors that need it; and the texts of lists once they were read.
HARMLESS_LISTS = {
    "boot-parameters": ("os.grub", "os.boot"),
    "os-release": ("os.release",),
    "variables": ("systemd", "k8s.policy"),
    "options": ("systemd", "k8s.policy"),
    "policy-fields": ("k8s.policy",),
}
_harmless_texts: dict[str, str] = {}


def prepare_children(names: Collection[str]) -> None:
    """Read and import now, once, what the children of these collectors need.

    The lists of harmless names, because a child may not find the archive that it was started from, by a relative path for instance; and
    modules that several children import.
    """
    for each, readers in HARMLESS_LISTS.items():
        if not set(readers).isdisjoint(names):
            _harmless_text(each)
            _harmless_text("common")
    if any(map(shares_child, names)) and len(batches(names)) > 1:
        for module in _SHARED_MODULES:
            __import__(module)


def _harmless_text(name: str) -> str:
    if name not in _harmless_texts:
        from eidos.files.resources import read_text

        _harmless_texts[name] = read_text(f"templates/harmless/{name}.txt")
    return _harmless_texts[name]


#: Names of lists → the list, of which nothing is revealed.
_name_lists: dict[tuple[str, ...], NameList] = {}

#: Modules that the collector of systemd and those that read files import, of the kernel and of a disk.
_SHARED_MODULES = ("eidos.redact.harmless_names", "eidos.redact.secrets_in_text")


def harmless_names(*lists: str, revealed: tuple[str, ...] = ()) -> NameList:
    """The names in the files ``templates/harmless/<list>.txt``, and those that are harmless in every list.

    ``revealed`` are names whose values are shown all the same.
    """
    from eidos.redact.harmless_names import NameList

    names = None if revealed else _name_lists.get(lists)
    if names is None:
        names = NameList("\n[any]\n".join(map(_harmless_text, ("common", *lists))), revealed)
        if not revealed:
            _name_lists[lists] = names
    return names


def add_collector(name: str, path: str, source: bytes) -> None:
    """Add a collector of a plug-in, the module ``source`` of the file at ``path``: it is listed and loaded as those of eidos are.

    It runs in a process of its own, which may not find what was not read before.
    """
    _harmless_text("common")
    _added[name] = path, source


def is_added(name: str) -> bool:
    """Whether a collector is of a plug-in."""
    return name in _added


def collector_summary(name: str) -> str:
    """The first line of the collector's docstring."""
    if name in _added:
        import ast

        path, source = _added[name]
        try:
            return (ast.get_docstring(ast.parse(source, path)) or "").strip().partition("\n")[0] or "of a plug-in"
        except (SyntaxError, ValueError):
            return "of a plug-in, with a syntax error"
    try:
        from eidos._build import COLLECTORS  # bytecode has no docstrings
    except ImportError:
        return (_import(name).__doc__ or "").strip().partition("\n")[0]
    return COLLECTORS[name]


def _import(name: str) -> Any:
    return __import__(f"{__name__}.{name.replace('.', '_', 1)}", fromlist=["collect"])


def _names() -> list[str]:
    try:
        from eidos._build import COLLECTORS  # written by the build: listing a zip would import ``inspect``
    except ImportError:
        files = os.listdir(os.path.dirname(__file__))
        return [file[:-3].replace("_", ".", 1) for file in files if file.endswith(".py") and not file.startswith("_")] + list(_added)
    return [*COLLECTORS, *_added]
