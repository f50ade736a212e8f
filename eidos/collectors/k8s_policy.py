"""Policies of NVIDIA's operators: the specs of ClusterPolicy, GPUCluster, NVIDIADriver and NicClusterPolicy objects.

Knows which kinds there are and how a spec becomes readings; must not know what the fields mean.

A spec is flattened as the Go program did: a key for each leaf, dots between, texts as values, lists as JSON; what is empty leaves nothing.
The keys of the ClusterPolicy that the operator follows stand alone; those of every other object follow its kind and name, so that none
overwrites another. (Of several ClusterPolicies the operator follows one and gives the others the state ``ignored``.)

>>> flat({"driver": {"version": "580.82.07", "enabled": True, "env": []}, "daemonsets": {"tolerations": [{"operator": "Exists"}]}})
({'driver.version': '580.82.07', 'driver.enabled': 'true', 'daemonsets.tolerations': '[{"operator":"Exists"}]'}, ())
>>> flat({"driver": {"env": [{"name": "NGC_API_KEY", "value": "nvapi-1"}]}})
({'driver.env': '[{"name":"NGC_API_KEY","value":"<withheld>"}]'}, ('driver.env',))

A field named after a secret holds the name of a Secret in these kinds, and stays; the value of a variable so named is withheld.
"""

from __future__ import annotations

from eidos.collectors._cluster_source import facts, unreachable
from eidos.errors import EidosError, KubeError, NotFound, Timeout
from eidos.model.measurement import ABSENT, SECRET, UNREADABLE, Gap, Subtype
from eidos.model.record import Record
from eidos.redact.secrets_in_text import withhold_text, withhold_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from eidos.collectors import Sources
    from eidos.kube.api_client import Client
    from eidos.model.measurement import Part, Readings


class Kind(Record):
    """A kind of object: its name, the group and version that serve it, and its plural there. All are cluster-scoped."""

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
    Kind("ClusterPolicy", "nvidia.com", "v1", "clusterpolicies"),
    Kind("GPUCluster", "nvidia.com", "v1alpha1", "gpuclusters"),
    Kind("NVIDIADriver", "nvidia.com", "v1alpha1", "nvidiadrivers"),
    Kind("NicClusterPolicy", "mellanox.com", "v1alpha1", "nicclusterpolicies"),
)

#: The kind whose keys the Go program wrote, and the state of one that the operator does not follow.
_PLAIN, _IGNORED = "ClusterPolicy", "ignored"


def flat(spec: dict[str, Any], prefix: str = "") -> tuple[Readings, tuple[str, ...]]:
    """The readings of a spec, and the keys of those in which something is withheld."""
    data: Readings = {}
    hidden = []
    for key, value in _leaves(spec, prefix):
        if isinstance(value, list):
            import json

            clean, found = _clean(value)
            text = json.dumps(clean, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        else:
            text, count = withhold_text(_text(value))
            found = count > 0
        data[key] = text
        if found:
            hidden.append(key)
    return data, tuple(hidden)


def _leaves(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        elif value != []:
            yield prefix + key, value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _clean(value: Any) -> tuple[Any, bool]:
    """``value`` without secrets, and whether there was one; a name beside a value is what the value is called."""
    if isinstance(value, str):
        text, count = withhold_text(value)
        return text, count > 0
    if isinstance(value, list):
        cleaned = [_clean(each) for each in value]
        return [each for each, _ in cleaned], any(found for _, found in cleaned)
    if isinstance(value, dict):
        pairs = {key: _clean(each) for key, each in value.items()}
        if isinstance(value.get("name"), str) and isinstance(value.get("value"), str):
            pairs["value"] = withhold_value(value["name"], value["value"])
        return {key: each for key, (each, _) in pairs.items()}, any(found for _, found in pairs.values())
    return value, False


def parts(objects: Iterable[dict[str, Any]], kind: Kind) -> Iterator[Part]:
    """What the objects of one kind say."""
    found = sorted(objects, key=lambda each: (_state(each) == _IGNORED, each["metadata"].get("creationTimestamp") or "", _name(each)))
    if not found:
        yield Gap(ABSENT, kind.resource, "there is none")
    for number, each in enumerate(found):
        prefix = "" if kind.name == _PLAIN and number == 0 else f"{kind.name.lower()}/{_name(each)}/"
        data, hidden = flat(each.get("spec") or {}, prefix)
        for key in hidden:
            yield Gap(SECRET, key, "a secret")
        yield Subtype("policy", data)


def _name(each: dict[str, Any]) -> str:
    return str(each["metadata"]["name"])


def _state(each: dict[str, Any]) -> str:
    return str((each.get("status") or {}).get("state") or "")


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``policy``; a kind that is not installed is absent, one that may not be listed unreadable.

    Raises KubeError when none of those that are installed can be read, NotFound when whoever answers is no API server.
    """
    return facts(sources, "k8s.policy", _read)


def _read(client: Client) -> Iterator[Part]:
    faults: list[EidosError] = []
    absent = 0
    for kind in KINDS:
        try:
            found = [_short(each) for each in client.items(f"/apis/{kind.group}/{kind.version}/{kind.plural}")]
        except (NotFound, KubeError, Timeout) as fault:
            if isinstance(fault, NotFound) or not _is_served(client, kind, fault):
                absent += 1
                yield Gap(ABSENT, kind.resource, "not installed")
                continue
            if unreachable(fault):
                raise
            faults.append(fault)
            yield Gap(UNREADABLE, kind.resource, fault.message)
        else:
            yield from parts(found, kind)
    if faults and len(faults) + absent == len(KINDS):
        raise faults[0]
    if absent == len(KINDS):  # unless it knows nothing at all, which is how somebody else at this address answers
        _check_api(client)


def _check_api(client: Client) -> None:
    """Raise NotFound when what answers is no API server: one has a version, whether it may be seen or not."""
    try:
        client.get("/version")
    except KubeError as fault:
        if fault.status != 403:
            raise


def _short(each: dict[str, Any]) -> dict[str, Any]:
    """What of an object is needed: its history of writers is often larger than the rest."""
    return {
        "metadata": {name: each["metadata"].get(name) for name in ("name", "creationTimestamp")},
        "spec": each.get("spec"),
        "status": {"state": _state(each)},
    }


def _is_served(client: Client, kind: Kind, fault: EidosError) -> bool:
    """Whether there is such a kind, although it could not be listed; True when nobody says.

    The right is asked for before the kind is looked up: whoever may not list it gets 403 for one that is not installed. Discovery, which
    everybody may ask, knows.
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
