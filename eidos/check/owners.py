"""What conditions of checks can name besides readings: the query, and what kind of node it is.

Knows the names below ``query.`` and ``node.`` and what they are derived from; must not know any check. The names are

=======================  ============================================================================================
``query.<field>``        os, osv, kernel, service, k8s, gpu, intent: as detected or requested; absent when unset
``node.gpus``            how many GPUs the driver has; absent when that is not known
``node.pci-gpus``        how many NVIDIA GPUs are on the PCI bus; absent when the bus was not read
``node.has-gpu``         true when there is a trace of an NVIDIA GPU: the driver's readings, its module, a device
``node.is-guest``        true in a virtual machine, false on bare metal; absent when nothing says so
``node.driver-owner``    ``driver-container`` (GPU Operator), ``managed-service`` (the service's image) or ``host``
``recipe.components.*``  the version of a component of the recipe
=======================  ============================================================================================

>>> from eidos.model.query import Query
>>> from eidos.check.node_readings import NodeReadings
>>> from eidos.model.snapshot import Snapshot
>>> derive(NodeReadings(Snapshot("", "", "")), Query(service="gke", os="cos"), None)["node.driver-owner"]
'managed-service'
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from eidos.check.node_readings import NodeReadings
    from eidos.model.query import Query
    from eidos.model.recipe import Recipe

#: All names below ``node.``.
NAMES = ("node.gpus", "node.pci-gpus", "node.has-gpu", "node.is-guest", "node.driver-owner")

#: What the firmware of a virtual machine says it is (systemd-detect-virt(1), src/basic/virt.c, has the same words).
_VIRTUAL_VENDORS = (
    "QEMU",
    "KVM",
    "VMware, Inc.",
    "VMW",
    "innotek GmbH",
    "Xen",
    "Bochs",
    "Parallels",
    "BHYVE",
    "Google",
    "OpenStack Foundation",
)
_VIRTUAL_PRODUCTS = ("Virtual Machine", "KVM", "Google Compute Engine", "OpenStack Compute", "VirtualBox", "Compute Instance")

#: Field of the policy that says whether the operator installs the driver (ClusterPolicy spec.driver.enabled).
_POLICY_DRIVER = ("K8s.policy.driver.enabled",)

#: Services whose images bring the driver, by system: there the driver is the service's.
_SERVICE_DRIVERS = {("gke", "cos"), ("gke", "ubuntu"), ("eks", "amazonlinux"), ("eks", "bottlerocket"), ("oke", "oraclelinux")}


def derive(node: NodeReadings, query: Query, recipe: Recipe | None) -> dict[str, str]:
    """The names and their texts."""
    names = {f"query.{field}": text for field, text in query.fields().items()}
    readings = node.readings
    count = readings.get("GPU.smi.gpu-count", "")
    if count:
        names["node.gpus"] = count
    devices = sum(path.startswith("OS.pci.") and path.endswith(".kind") and text == "gpu" for path, text in readings.items())
    if any(path.startswith("OS.pci.") for path in readings):
        names["node.pci-gpus"] = str(devices)
    if devices or count not in ("", "0") or "OS.kmod.nvidia" in readings:
        names["node.has-gpu"] = "true"
    guest = _is_guest(readings)
    if guest is not None:
        names["node.is-guest"] = "true" if guest else "false"
    names["node.driver-owner"] = driver_owner(node, query)
    if recipe is not None:
        names.update({f"recipe.components.{component.id}": component.version for component in recipe.components})
    return names


def _is_guest(readings: Mapping[str, str]) -> bool | None:
    """Whether firmware names a virtual machine; None when it names nothing. Of EC2 the instance type decides: metal is not one."""
    vendor, product = readings.get("OS.machine.sys-vendor", ""), readings.get("OS.machine.product-name", "")
    if not vendor and not product:
        return None
    if vendor == "Amazon EC2":
        return ".metal" not in product
    return vendor in _VIRTUAL_VENDORS or product in _VIRTUAL_PRODUCTS


def driver_owner(node: NodeReadings, query: Query) -> str:
    """Whose the driver is: a driver container's, the managed service's, or the host's."""
    readings = node.readings
    policy = next((readings[path] for path in _POLICY_DRIVER if path in readings), "")
    if policy == "true" or (not policy and any(path in readings for path in ("K8s.image.driver", "K8s.image.gpu-driver"))):
        return "driver-container"
    return "managed-service" if (query.service, query.os) in _SERVICE_DRIVERS else "host"
