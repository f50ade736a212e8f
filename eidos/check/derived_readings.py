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
>>> node = NodeReadings(Snapshot("", "", ""))
>>> derive(node, Query(gpu="h100"), None)
>>> node.derived, node.underived["node.driver-owner"]
({'query.gpu': 'h100'}, 'the snapshot does not say what was looked at')
"""

from __future__ import annotations

from eidos.model.condition_nodes import Unread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from eidos.check.node_readings import NodeReadings
    from eidos.model.query import Query
    from eidos.model.recipe import Recipe

#: All names below ``node.``.
NAMES = ("node.gpus", "node.pci-gpus", "node.has-gpu", "node.is-guest", "node.driver-owner")

#: What the firmware of a virtual machine says it is (systemd-detect-virt(1), src/basic/virt.c, has the same words).
_VIRTUAL = {
    *("QEMU", "KVM", "VMware, Inc.", "VMW", "innotek GmbH", "Xen", "Bochs", "Parallels", "BHYVE", "Google", "OpenStack Foundation"),
    *("Virtual Machine", "Google Compute Engine", "OpenStack Compute", "VirtualBox", "Compute Instance"),
}

#: Services whose nodes are virtual machines, and GPUs that one of them has in metal, too (g4dn.metal, a4x-maxgpu-4g-metal).
_GUEST_SERVICES, _METAL_GPUS = ("eks", "gke", "aks"), ("t4", "gb300")

#: Field of the policy that says whether the operator installs the driver (ClusterPolicy spec.driver.enabled).
_POLICY_DRIVER = "K8s.policy.driver.enabled"

#: Images that only a driver container brings.
_DRIVER_IMAGES = ("K8s.image.driver", "K8s.image.gpu-driver")

#: Services whose images bring the driver, by system: there the driver is the service's.
_SERVICE_DRIVERS = {("gke", "cos"), ("gke", "ubuntu"), ("eks", "amazonlinux"), ("eks", "bottlerocket"), ("oke", "oraclelinux")}


def derive(node: NodeReadings, query: Query, recipe: Recipe | None) -> None:
    """Add the names to a node, and why those are not known that depend on what could not be read."""
    names = {f"query.{field}": text for field, text in query.fields().items()}
    if recipe is not None:
        names.update({f"recipe.components.{component.id}": component.version for component in recipe.components})
    derivations: dict[str, Callable[[], str | None]] = {
        "node.gpus": lambda: node.read("GPU.smi.gpu-count"),
        "node.pci-gpus": lambda: _pci_gpus(node),
        "node.has-gpu": lambda: _has_gpu(node),
        "node.is-guest": lambda: _is_guest(node, query),
        "node.driver-owner": lambda: driver_owner(node, query),
    }
    for name, find in derivations.items():
        try:
            text = find()
        except Unread as fault:
            node.underived[name] = fault.why
        else:
            names.update({} if text is None else {name: text})
    node.derived.update(names)


def _pci_gpus(node: NodeReadings) -> str | None:
    kinds = [node.read(f"OS.pci.{address}.kind") for address in node.instances("OS.pci.", ".kind")]
    if not kinds:
        node.read("OS.pci.devices")  # raises when the bus was not read
        return None if node.absence("OS.pci.devices") != "not set" else "0"
    return str(kinds.count("gpu"))


def _has_gpu(node: NodeReadings) -> str:
    """True by any trace of one; false where the bus has none."""
    if node.readings.get("GPU.smi.gpu-count", "0") != "0" or "OS.kmod.nvidia" in node.readings:
        return "true"
    return "true" if _pci_gpus(node) not in (None, "0") else "false"


def _is_guest(node: NodeReadings, query: Query) -> str | None:
    """Whether firmware names a virtual machine; None when it names nothing. Of EC2 the instance type decides: metal is not one.

    Where firmware was not read, the type of a managed service's machine decides, or that the service has no metal with this GPU.
    """
    try:
        vendor, product = node.read("OS.machine.sys-vendor"), node.read("OS.machine.product-name")
    except Unread:
        machine = query.machine or node.readings.get("K8s.node.label.node.kubernetes.io/instance-type", "")
        if query.service not in _GUEST_SERVICES or not (machine or query.gpu) or (not machine and query.gpu in _METAL_GPUS):
            raise
        return "false" if "metal" in machine else "true"
    if vendor is None and product is None:
        return None
    is_metal = ".metal" in (product or "") if vendor == "Amazon EC2" else not {vendor, product} & _VIRTUAL
    return "false" if is_metal else "true"


def driver_owner(node: NodeReadings, query: Query) -> str:
    """Whose the driver is: a driver container's, the managed service's, or the host's."""
    policy = node.read(_POLICY_DRIVER)
    if policy == "true" or (policy is None and any(node.read(path) is not None for path in _DRIVER_IMAGES)):
        return "driver-container"
    return "managed-service" if (query.service, query.os) in _SERVICE_DRIVERS else "host"
