"""Policies of NVIDIA's operators: their specs and their status.

Knows which kinds exist and how a spec and a status become readings; must not know what the fields mean.

A spec is flattened as the Go program did: a key for each leaf, components joined by dots, scalars as text, lists as JSON; empty values are
left out. The keys of the ClusterPolicy that the operator follows have no prefix; those of every other object are prefixed by its kind
and name, so that none overwrites another. (Of several ClusterPolicies the operator follows one and sets the others' state to ``ignored``.)

>>> flatten_spec({"driver": {"version": "580.82.07", "enabled": True, "env": []}, "daemonsets": {"tolerations": [{"operator": "Exists"}]}})
({'driver.version': '580.82.07', 'driver.enabled': 'true', 'daemonsets.tolerations': '[{"operator":"Exists"}]'}, ())
>>> flatten_spec({"driver": {"env": [{"name": "NGC_API_KEY", "value": "nvapi-1"}]}})
({'driver.env': '[{"name":"NGC_API_KEY","value":"<withheld>"}]'}, ('driver.env',))

What an operator reports of its work is under ``status.``: its state, its conditions, and the states of the parts of a NicClusterPolicy.

>>> status = {"state": "notReady", "conditions": [{"type": "Ready", "status": "False", "reason": "OperandNotReady"}]}
>>> status_readings(status)
{'status.state': 'notReady', 'status.condition.Ready': 'False', 'status.condition.Ready.reason': 'OperandNotReady'}

Values are shown by the lists of fields, variables and options in ``templates/harmless/``. A field named after a secret holds the name of a
Secret in these kinds, and is on the list of fields.
"""

from __future__ import annotations

from eidos.collectors import harmless_names
from eidos.collectors._cluster_source import collect_from_cluster, condition_readings, is_unreachable
from eidos.errors import EidosError, KubeError, NotFound, Timeout
from eidos.model.measurement import ABSENT, REVEALED, SECRET, UNREADABLE, WITHHELD, Gap, Subtype
from eidos.model.record import Record
from eidos.redact.command_lines import redact_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from eidos.collectors import Sources
    from eidos.kube.api_client import KubeClient
    from eidos.model.measurement import Part, Readings
    from eidos.redact.harmless_names import NameList


class PolicyKind(Record):
    """A custom resource: kind, API group and version, and plural. All are cluster-scoped."""

    name: str
    group: str
    version: str
    plural: str

    @property
    def resource(self) -> str:
        """The resource as RBAC and kubectl write it."""
        return f"{self.plural}.{self.group}"


#: NVIDIA/gpu-operator, api/nvidia/v1 and v1alpha1; Mellanox/network-operator, api/v1alpha1.
KINDS = (
    PolicyKind("ClusterPolicy", "nvidia.com", "v1", "clusterpolicies"),
    PolicyKind("GPUCluster", "nvidia.com", "v1alpha1", "gpuclusters"),
    PolicyKind("NVIDIADriver", "nvidia.com", "v1alpha1", "nvidiadrivers"),
    PolicyKind("NicClusterPolicy", "mellanox.com", "v1alpha1", "nicclusterpolicies"),
)

#: The lists of harmless names that apply to a spec.
LISTS = ("policy-fields", "variables", "options")

#: The kind whose keys have no prefix, as the Go program wrote them, and the state of an object that the operator does not follow.
_UNPREFIXED, _IGNORED = "ClusterPolicy", "ignored"


def flatten_spec(spec: dict[str, Any], prefix: str = "", names: NameList | None = None) -> tuple[Readings, tuple[str, ...]]:
    """The readings of a spec, and the keys of those that are redacted."""
    data: Readings = {}
    names = names or harmless_names(*LISTS)
    clean, count = redact_tree(spec, names)
    originals = dict(_leaves(spec, prefix)) if count else {}
    for key, value in _leaves(clean, prefix):
        value = originals[key] if key in originals and names.is_revealed(key) else value
        if isinstance(value, list):
            import json

            data[key] = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        else:
            data[key] = _text(value)
    return data, tuple(key for key, value in data.items() if WITHHELD in str(value) or WITHHELD in key) if count else ()


def _leaves(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        elif value != []:
            yield prefix + key, value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def policy_parts(objects: Iterable[dict[str, Any]], kind: PolicyKind, names: NameList | None = None) -> Iterator[Part]:
    """The readings of the objects of one kind."""
    ordered = sorted(objects, key=lambda each: (_state(each) == _IGNORED, each["metadata"].get("creationTimestamp") or "", _name(each)))
    if not ordered:
        yield Gap(ABSENT, kind.resource, "no objects")
    for number, each in enumerate(ordered):
        prefix = "" if kind.name == _UNPREFIXED and number == 0 else f"{kind.name.lower()}/{_name(each)}/"
        data, redacted = flatten_spec(each.get("spec") or {}, prefix, names)
        data.update(status_readings(each.get("status") or {}, prefix))
        for key in redacted:
            yield Gap(SECRET, key, "a secret")
        yield Subtype("policy", data)


def status_readings(status: dict[str, Any], prefix: str = "") -> Readings:
    """The state, the conditions and the states of parts that an operator reports; messages are left out."""
    data: Readings = {f"{prefix}status.state": str(status["state"])} if status.get("state") else {}
    data.update(condition_readings(status.get("conditions") or (), f"{prefix}status.condition."))
    for part in status.get("appliedStates") or ():
        data[f"{prefix}status.applied-state.{part.get('name')}"] = str(part.get("state"))
    return data


def _name(each: dict[str, Any]) -> str:
    return str(each["metadata"]["name"])


def _state(each: dict[str, Any]) -> str:
    return str((each.get("status") or {}).get("state") or "")


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``policy``; a kind that is not installed is absent, one that may not be listed unreadable.

    Raises KubeError when none of the installed kinds can be read, NotFound when the server is no API server.
    """
    names = harmless_names(*LISTS, revealed=sources.reveal)
    yield from collect_from_cluster(sources, "k8s.policy", lambda client: _read(client, names))
    for name in names.revealed:
        yield Gap(REVEALED, name, "requested")


def _read(client: KubeClient, names: NameList) -> Iterator[Part]:
    faults: list[EidosError] = []
    absent = 0
    for kind in KINDS:
        try:
            objects = [_strip_object(each) for each in client.list_objects(f"/apis/{kind.group}/{kind.version}/{kind.plural}")]
        except (NotFound, KubeError, Timeout) as fault:
            if isinstance(fault, NotFound) or not _is_served(client, kind, fault):
                absent += 1
                yield Gap(ABSENT, kind.resource, "not installed")
                continue
            if is_unreachable(fault):
                raise
            faults.append(fault)
            yield Gap(UNREADABLE, kind.resource, fault.message)
        else:
            yield from policy_parts(objects, kind, names)
    if faults and len(faults) + absent == len(KINDS):
        raise faults[0]
    if absent == len(KINDS):  # which is also how a server that is no API server answers
        _check_api(client)


def _check_api(client: KubeClient) -> None:
    """Raise NotFound unless the server has ``/version``, as every API server does, if only to forbid it."""
    try:
        client.get("/version")
    except KubeError as fault:
        if fault.status != 403:
            raise


def _strip_object(each: dict[str, Any]) -> dict[str, Any]:
    """The needed fields of an object: its managedFields are often larger than the rest."""
    return {
        "metadata": {name: each["metadata"].get(name) for name in ("name", "creationTimestamp")},
        "spec": each.get("spec"),
        "status": {name: (each.get("status") or {}).get(name) for name in ("state", "conditions", "appliedStates")},
    }


def _is_served(client: KubeClient, kind: PolicyKind, fault: EidosError) -> bool:
    """Whether a kind that could not be listed is installed; True when that cannot be determined.

    Authorization comes before the lookup of the kind, so a user without the right gets 403 for one that is not installed, too. Discovery,
    which every user may read, tells.
    """
    if not isinstance(fault, KubeError) or fault.status != 403:
        return True
    try:
        answer = client.get(f"/apis/{kind.group}/{kind.version}")
    except NotFound:
        return False
    except (KubeError, Timeout):
        return True
    return any(each.get("name") == kind.plural for each in answer.get("resources") or ())
