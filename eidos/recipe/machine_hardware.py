"""Which machine a node is, by what its firmware and its PCI bus show.

Knows by which texts of firmware a cloud is told that does not name the type of a machine there, and how GPUs and network cards then tell
it; must not know any particular machine: ``machines.yaml`` has them, ``templates/pci-ids.txt`` the GPUs.
"""

from __future__ import annotations

from eidos.files.resources import read_text
from eidos.model.record import Record
from eidos.recipe.catalog import Machine
from eidos.recipe.machines import match_machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eidos.recipe.catalog import Catalog

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
