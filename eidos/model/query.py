"""What a recipe is for, and what a layer of one is for: the same nine fields.

Knows the fields and when a key matches; must not know which values exist (the catalog does) nor any layer.

The two sides differ. A field that the *key* leaves open matches everything; a field that the *query* leaves open matches only keys that
leave it open too: a query without a GPU gets nothing that holds for one GPU only.

>>> Query(gpu="h100", k8s="1.33.5").matches(Query(k8s="1.33"))
True
>>> Query(k8s="1.33").matches(Query(gpu="h100"))
False

A version of a key may be an expression; that of a query is one version.

>>> Query(k8s="1.37").matches(Query(k8s=">= 1.36")), Query(osv="10.1").matches(Query(osv="in (8.10, 10.0)"))
(True, False)
"""

from __future__ import annotations

from eidos.model.constraint import Expression, Term, parse_expression
from eidos.model.record import Record
from eidos.semver import parse_version

#: Fields that name an entry of the catalog, and fields that are versions.
NAMES = ("os", "service", "gpu", "intent", "platform", "machine")
VERSIONS = ("osv", "kernel", "k8s")

#: All fields, in the order in which they are shown.
FIELDS = ("os", "osv", "kernel", "service", "k8s", "gpu", "intent", "platform", "machine")

#: Fields that no reading shows: what the nodes are for.
PURPOSE = ("intent", "platform")

#: The reading of a snapshot that determines each other field but the machine, which several readings show.
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
    """Nine fields, "" where one is open. ``machine`` is the type of the node, ``platform`` what runs the workloads."""

    os: str = ""
    osv: str = ""
    kernel: str = ""
    service: str = ""
    k8s: str = ""
    gpu: str = ""
    intent: str = ""
    platform: str = ""
    machine: str = ""

    def fields(self) -> dict[str, str]:
        """The fields that are not open, in order."""
        values = self.__dict__
        return {field: values[field] for field in FIELDS if values[field] and values[field] != ANY}

    def matches(self, key: Query) -> bool:
        """Whether a layer with this ``key`` applies; versions of both sides parse. An expression matches one that contains it."""
        values = self.fields()
        for field, required in key.fields().items():
            value = values.get(field)
            if value is None:
                return False
            if field in VERSIONS:
                if is_expression(required) or is_expression(value):
                    if not _contains(required, value):
                        return False
                elif not parse_version(value).matches(parse_version(required)):
                    return False
            elif value != required:
                return False
        return True

    def to_tree(self) -> dict[str, str]:
        """The fields that are not open, under their names in documents, which are those of the Go program."""
        return self.fields()

    def __str__(self) -> str:
        return (
            ", ".join(f"{field} {value}" if is_expression(value) else f"{field}={value}" for field, value in self.fields().items()) or ANY
        )


def is_expression(text: str) -> bool:
    """Whether the version of a key is an expression and not a version.

    >>> is_expression(">= 1.36"), is_expression("in (22.04, 24.04)"), is_expression("1.36")
    (True, True, False)
    """
    return text[:1] in ("<", ">", "=", "!") or text.startswith(("in ", "in("))


def version_expression(text: str) -> Expression:
    """The versions that one version of a key stands for; InvalidInput when it is neither a version nor an expression of them."""
    if is_expression(text):
        return parse_expression(text)
    version = parse_version(text)
    return Expression((Term("==", (".".join(map(str, version.numbers)) if version.extra else text,)),))


def _contains(required: str, value: str) -> bool:
    if not is_expression(value):
        return parse_expression(required).holds(value) is True
    inner = parse_expression(value)
    both = inner.intersect(version_expression(required))
    return both is not None and both.is_equivalent(inner)
