"""Machines: the types of nodes that clouds and vendors sell, what each has, and which of them a node is.

Knows the form of ``machines.yaml``, the words by which a node names its type, and the limits that a machine sets; also by which texts of
firmware a cloud is recognized that does not name the type there, and how GPUs and network cards on the PCI bus then tell it. Must not know
any particular machine: ``machines.yaml`` has them, ``templates/pci-ids.txt`` the GPUs.
"""

from __future__ import annotations

from eidos.files.resources import read_text
from eidos.model.constraint import Constraint, parse_expression
from eidos.model.query import LayerKey
from eidos.model.record import Record
from eidos.model.tree_reader import QUOTED, TreeReader
from eidos.recipe.catalog import MACHINES, Machine
from eidos.recipe.layer import Layer, Source, read_shared_sources
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eidos.recipe.catalog import Catalog

#: Networks between the GPUs of several nodes that a machine can have.
FABRICS = ("efa", "tcpx", "tcpxo", "roce", "infiniband")

_FIELDS = ("name", "title", "aliases", "gpu", "gpu-count", "service", "fabric", "nics", "source")

#: Reading of the firmware, its text, and the service on whose machines it says that (Google: the DMI tables that Compute Engine
#: documents; Azure: the asset tag by which cloud-init and azure-metadata tell it; Oracle: the asset tag in its documents).
CLOUDS = (
    ("sys-vendor", "Google", "gke"),
    ("chassis-asset-tag", "7783-7084-3265-9085-8269-3286-77", "aks"),
    ("chassis-asset-tag", "OracleCloud.com", "oke"),
)

#: Network cards that a machine may have besides those that ``machines.yaml`` counts: for its host and its storage.
OTHER_NICS = 2

#: What a GPU sits on, in words.
BOARDS = {"hgx": "HGX", "tray": "NVL72 tray"}


def read_machines(tree: object) -> tuple[Machine, ...]:
    """The machines of a file, in its order; InvalidData with the path of what is wrong in it."""
    root = TreeReader(tree, MACHINES, text_types=QUOTED)
    root.expect_only(("sources", "machines"))
    sources = read_shared_sources({"sources": root.tree.get("sources")}, MACHINES)
    machines = tuple(_read_machine(row, sources) for row in root.mappings("machines"))
    words = [word for machine in machines for word in (machine.name, *machine.aliases)]
    twice = next((word for word in words if words.count(word) > 1), None)
    if twice:
        raise root.error(f"{twice!r} is used by two entries", name="machines")
    return machines


def _read_machine(tree: TreeReader, sources: dict[str, Source]) -> Machine:
    tree.expect_only(_FIELDS)
    id = tree.name("source")
    if id not in sources:
        raise tree.error(f"unknown source {id!r}", did_you_mean(id, sources), "source")
    written = tree.name("name")
    return Machine(
        written.lower(),
        tree.text("title") or written,
        tuple(alias.lower() for alias in tree.names("aliases")),
        gpu=tree.name("gpu").lower(),
        gpu_count=int(tree.number("gpu-count")),
        service=tree.text("service").lower(),
        fabric=tree.choice("fabric", FABRICS) if tree.text("fabric") else "",
        nics=int(tree.number("nics")),
        source=sources[id],
    )


def machine_layer(machine: Machine) -> Layer:
    """What a recipe for this machine has besides: all its GPUs must be there."""
    count = str(machine.gpu_count)
    why = f"{machine.title} has {count} GPU{'' if count == '1' else 's'}: one that is missing has failed, or is not passed through."
    limit = Constraint("GPU.smi.gpu-count", parse_expression(f"== {count}"), why, machine.source.id)
    return Layer(MACHINES, LayerKey(machine=machine.name), (machine.source,), (), (limit,) if machine.gpu_count else (), ())


def match_machine(text: str, catalog: Catalog) -> Machine | None:
    """The machine that a node's own name for its type stands for: ``p5.48xlarge``, ``DGXH100``, ``DGXH100 920-24387-2540-000``.

    Case and punctuation do not count, because firmware, labels and people write them differently.
    """
    words = {_folded(text), _folded(text.partition(" ")[0])} - {""}
    if not words:
        return None
    for entry in catalog.entries.get("machine", ()):
        if isinstance(entry, Machine) and not words.isdisjoint(map(_folded, (entry.name, *entry.aliases))):
            return entry
    return None


def _folded(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))


class GpuModel(Record):
    """A GPU as PCI shows it: the catalog's id, what it sits on, and its name."""

    gpu: str
    board: str
    name: str


def gpu_models() -> dict[str, GpuModel]:
    """Vendor and device id → model.

    >>> gpu_models()["10de:2330"]
    GpuModel(gpu='h100', board='hgx', name='H100 SXM5 80GB')
    """
    rows = (line.split(None, 3) for line in read_text("templates/pci-ids.txt").splitlines() if line and not line.startswith("#"))
    return {pci_id: GpuModel(gpu, board, name) for pci_id, gpu, board, name in rows}


def device_ids(pci: Mapping[str, str], kind: str) -> list[str]:
    """The ids of the devices of one kind, from the readings of ``OS.pci``."""
    addresses = (key.removesuffix(".kind") for key, value in pci.items() if key.endswith(".kind") and value == kind)
    return [pci.get(f"{address}.id", "") for address in sorted(addresses)]


def find_machines(firmware: Mapping[str, str], pci: Mapping[str, str], catalog: Catalog) -> list[Machine]:
    """The machines that a node may be, from the readings of ``OS.machine`` and ``OS.pci``; none, one, or several that look alike."""
    named = match_machine(firmware.get("product-name", ""), catalog)
    if named is not None:
        return [named]
    service = next((service for key, text, service in CLOUDS if firmware.get(key) == text), None)
    ids = device_ids(pci, "gpu")
    models = gpu_models()
    gpus = {models[each].gpu if each in models else "" for each in ids}
    if service is None or len(gpus) != 1:
        return []
    like = [machine for machine in _machines(catalog) if (machine.service, machine.gpu, machine.gpu_count) == (service, *gpus, len(ids))]
    nics = len(device_ids(pci, "nic"))
    fitting = [machine for machine in like if machine.nics and 0 <= nics - machine.nics <= OTHER_NICS]
    return fitting or [machine for machine in like if not machine.nics]


def _machines(catalog: Catalog) -> Iterable[Machine]:
    return (entry for entry in catalog.entries.get("machine", ()) if isinstance(entry, Machine))


def describe_gpus(pci: Mapping[str, str]) -> str:
    """The GPUs on the bus in a few words: ``8 x H100 SXM5 80GB (HGX)``; empty if there is none."""
    ids = device_ids(pci, "gpu")
    models = gpu_models()
    words = []
    for each in dict.fromkeys(ids):
        model = models.get(each, GpuModel("", "", f"NVIDIA {each}"))
        is_board = model.board == "tray" or ids.count(each) in (4, 8)
        board = f" ({BOARDS[model.board]})" if model.board in BOARDS and is_board else ""
        words.append(f"{ids.count(each)} x {model.name}{board}")
    return ", ".join(words)
