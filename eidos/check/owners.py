"""What conditions of checks can name besides readings: the query, and what kind of node it is.

Knows the names below ``query.`` and ``node.`` and what they are derived from; must not know any check. The names are

=======================  ============================================================================================
``query.<field>``        os, osv, kernel, service, k8s, gpu, intent: as detected or requested; absent when unset
``node.gpus``            how many GPUs the driver has; absent when that is not known
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
    from eidos.check.node_readings import NodeReadings
    from eidos.model.query import Query
    from eidos.model.recipe import Recipe

#: All names below ``node.``.
NAMES = ("node.gpus", "node.has-gpu", "node.is-guest", "node.driver-owner")

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
    if count not in ("", "0") or "OS.kmod.nvidia" in readings or readings.get("OS.pci.nvidia-gpus", "0") not in ("", "0"):
        names["node.has-gpu"] = "true"
    names["node.driver-owner"] = driver_owner(node, query)
    if recipe is not None:
        names.update({f"recipe.components.{component.id}": component.version for component in recipe.components})
    return names


def driver_owner(node: NodeReadings, query: Query) -> str:
    """Whose the driver is: a driver container's, the managed service's, or the host's."""
    readings = node.readings
    policy = next((readings[path] for path in _POLICY_DRIVER if path in readings), "")
    if policy == "true" or (not policy and any(path in readings for path in ("K8s.image.driver", "K8s.image.gpu-driver"))):
        return "driver-container"
    return "managed-service" if (query.service, query.os) in _SERVICE_DRIVERS else "host"
