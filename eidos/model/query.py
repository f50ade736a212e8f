"""What a recipe is asked for, and what a layer of one asks for: the same seven fields.

Knows the fields and how a key is met; must not know which values exist (the catalog does) nor any layer.

The two sides are not alike. A field that the *key* leaves open matches everything; a field that the *query* leaves open meets
only keys that leave it open too: who does not say which GPU gets nothing that holds for one GPU only.

>>> Query(gpu="h100", k8s="1.33.5").meets(Query(k8s="1.33"))
True
>>> Query(k8s="1.33").meets(Query(gpu="h100"))
False
"""

from __future__ import annotations

from eidos.model.record import Record
from eidos.semver import parse_version

#: Fields that name something of the catalog, and fields that are versions.
NAMES = ("os", "service", "gpu", "intent")
VERSIONS = ("osv", "kernel", "k8s")

#: All fields, in the order in which they are shown.
FIELDS = ("os", "osv", "kernel", "service", "k8s", "gpu", "intent")

#: The reading of a snapshot that shows each field but the intent, which is nobody's but the asker's.
PLACES = {
    "os": "OS.release.ID",
    "osv": "OS.release.VERSION_ID",
    "kernel": "OS.sysctl./proc/sys/kernel/osrelease",
    "k8s": "K8s.server.version",
    "service": "K8s.node.provider",
    "gpu": "GPU.smi.gpu.model",
}

#: What the Go program calls them on the wire.
WIRE = {"osv": "osVersion"}

#: A value that says nothing, like an empty one.
ANY = "any"


class Query(Record):
    """Seven fields; ``""`` stands for "not said"."""

    os: str = ""
    osv: str = ""
    kernel: str = ""
    service: str = ""
    k8s: str = ""
    gpu: str = ""
    intent: str = ""

    def said(self) -> dict[str, str]:
        """The fields that say something, in order."""
        values = self.__dict__
        return {field: values[field] for field in FIELDS if values[field] and values[field] != ANY}

    def meets(self, key: Query) -> bool:
        """Whether a layer with this ``key`` applies; both sides hold versions that parse."""
        mine = self.said()
        for field, wanted in key.said().items():
            value = mine.get(field)
            if value is None:
                return False
            if field in VERSIONS:
                if not parse_version(value).matches(parse_version(wanted)):
                    return False
            elif value != wanted:
                return False
        return True

    def to_tree(self) -> dict[str, str]:
        """The fields that say something, under their names on the wire."""
        return {WIRE.get(field, field): value for field, value in self.said().items()}

    def __str__(self) -> str:
        return ", ".join(f"{field}={value}" for field, value in self.said().items()) or ANY
