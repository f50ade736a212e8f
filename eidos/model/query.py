"""What a recipe is for, and what a layer of one is for: the same nine fields.

Knows the fields and when a key matches; must not know which values exist (the catalog does) nor any layer.

The two sides differ. A field that the *key* leaves open matches everything; a field that the *query* leaves open matches only keys that
leave it open too: a query without a GPU gets nothing that holds for one GPU only.

>>> Query(gpu="h100", k8s="1.33.5").matches(Query(k8s="1.33"))
True
>>> Query(k8s="1.33").matches(Query(gpu="h100"))
False

A field of a key may be a list, and a version an expression; those of a query are one word and one version.

>>> Query(k8s="1.37").matches(Query(k8s=">= 1.36")), Query(osv="10.1").matches(Query(osv="in (8.10, 10.0)"))
(True, False)
"""

from __future__ import annotations

from eidos.model.constraint import Expression, Term, parse_expression
from eidos.model.record import Record
from eidos.semver import parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

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

#: The reading in which OpenShift has its version; VERSION_ID is that of RHEL from 4.19 on (openshift/os, build-node-image.sh).
OPENSHIFT_VERSION = "OS.release.OPENSHIFT_VERSION"

#: The field that a reading determines.
FIELD_OF_READING = {**{path: field for field, path in READING_PATHS.items()}, OPENSHIFT_VERSION: "osv"}

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
        """Whether a layer with this ``key`` applies; versions of both sides parse. A list or an expression matches what it contains."""
        return is_met(key.fields(), self.fields())

    def to_tree(self) -> dict[str, str]:
        """The fields that are not open, under their names in documents, which are those of the Go program."""
        return self.fields()

    def __str__(self) -> str:
        return written_fields(self.fields()) or ANY


class LayerKey(Query):
    """When a layer applies: what a query must have, where a field may be a list, ``in (h100, h200)``, and a version an expression.

    ``releases`` are ids of components, each with an expression that its version must satisfy.
    """

    releases: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return written_fields({**self.fields(), **dict(self.releases)}) or ANY


def is_met(required: dict[str, str], values: dict[str, str]) -> bool:
    """Whether fields of a query have what a key requires.

    >>> is_met({"gpu": "in (h100, h200)", "k8s": ">= 1.33"}, {"gpu": "h200", "k8s": "1.34.1", "os": "ubuntu"})
    True
    """
    for field, text in required.items():
        value = values.get(field)
        if value is None:
            return False
        if field in VERSIONS:
            if is_expression(text) or is_expression(value):
                if not _contains(text, value):
                    return False
            elif not parse_version(value).matches(parse_version(text)):
                return False
        elif value != text and (text[:4] != "in (" or not _is_among(value, text)):
            return False
    return True


#: The words of each list that a key has; there are as many as layers have, each of which is asked for by every query.
_lists: dict[str, frozenset[str]] = {}


def _is_among(value: str, text: str) -> bool:
    """Whether the word or list ``value`` has no other words than the list ``text``."""
    words = _lists.get(text)
    if words is None:
        words = frozenset(words_of(text))
        if len(_lists) < 4096:
            _lists[text] = words
    return value in words or (value[:4] == "in (" and words.issuperset(words_of(value)))


def words_of(text: str) -> tuple[str, ...]:
    """The words that a field of a key allows: one, or those of a list.

    >>> words_of("h100"), words_of("in (h100, h200)")
    (('h100',), ('h100', 'h200'))
    """
    return tuple(word.strip() for word in text[4:-1].split(",")) if text.startswith("in (") and text.endswith(")") else (text,)


def list_text(words: Iterable[str]) -> str:
    """A field of a key that allows each of these words."""
    distinct = tuple(dict.fromkeys(words))
    return distinct[0] if len(distinct) == 1 else f"in ({', '.join(distinct)})"


def written_fields(fields: dict[str, str]) -> str:
    """Fields and values of a query or of a key, for people.

    >>> written_fields({"gpu": "h100", "k8s": ">= 1.33"})
    'gpu=h100, k8s >= 1.33'
    """
    return ", ".join(f"{field} {value}" if is_expression(value) else f"{field}={value}" for field, value in fields.items())


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
