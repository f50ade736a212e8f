"""What a recipe is for, and what a layer of one is for: the same seven fields.

Knows the fields and when a key matches; must not know which values exist (the catalog does) nor any layer.

The two sides differ. A field that the *key* leaves open matches everything; a field that the *query* leaves open matches only keys that
leave it open too: a query without a GPU gets nothing that holds for one GPU only.

>>> Query(gpu="h100", k8s="1.33.5").matches(Query(k8s="1.33"))
True
>>> Query(k8s="1.33").matches(Query(gpu="h100"))
False
"""

from __future__ import annotations

from eidos.model.record import Record
from eidos.semver import parse_version

#: Fields that name an entry of the catalog, and fields that are versions.
NAMES = ("os", "service", "gpu", "intent")
VERSIONS = ("osv", "kernel", "k8s")

#: All fields, in the order in which they are shown.
FIELDS = ("os", "osv", "kernel", "service", "k8s", "gpu", "intent")

#: The reading of a snapshot that determines each field but the intent, which only the user can name.
READING_PATHS = {
    "os": "OS.release.ID",
    "osv": "OS.release.VERSION_ID",
    "kernel": "OS.sysctl./proc/sys/kernel/osrelease",
    "k8s": "K8s.server.version",
    "service": "K8s.node.provider",
    "gpu": "GPU.smi.gpu.model",
}

#: Other names of fields that documents have, and the field of each: recipes of 0.1.0 and layers.
FIELD_ALIASES = {"osVersion": "osv"}

#: A value that leaves its field open, like an empty one.
ANY = "any"


class Query(Record):
    """Seven fields, "" where one is open."""

    os: str = ""
    osv: str = ""
    kernel: str = ""
    service: str = ""
    k8s: str = ""
    gpu: str = ""
    intent: str = ""

    def fields(self) -> dict[str, str]:
        """The fields that are not open, in order."""
        values = self.__dict__
        return {field: values[field] for field in FIELDS if values[field] and values[field] != ANY}

    def matches(self, key: Query) -> bool:
        """Whether a layer with this ``key`` applies; both sides hold versions that parse."""
        values = self.fields()
        for field, required in key.fields().items():
            value = values.get(field)
            if value is None:
                return False
            if field in VERSIONS:
                if not parse_version(value).matches(parse_version(required)):
                    return False
            elif value != required:
                return False
        return True

    def to_tree(self) -> dict[str, str]:
        """The fields that are not open, under their names in documents, which are those of the Go program."""
        return self.fields()

    def __str__(self) -> str:
        return ", ".join(f"{field}={value}" for field, value in self.fields().items()) or ANY
