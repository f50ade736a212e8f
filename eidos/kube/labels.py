"""Names, labels, selectors and tolerations, as Kubernetes writes them.

Knows the forms, each with its source; must not know flags, nor what is selected. A ``check_`` function returns the text it was passed, or
raises InvalidInput with what is wrong and what is allowed.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LOWERCASE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
ALPHANUMERIC = LOWERCASE | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")

#: The condition and the label that ``eidos watch`` sets on a node while findings of it fail; the label's value is the worst severity.
FINDINGS_CONDITION, FINDINGS_LABEL = "EidosFindings", "eidos.dgxc.io/findings"

#: Effects of a taint (Kubernetes documentation, "Taints and Tolerations").
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def is_word(text: str, limit: int, ends: frozenset[str], inside: str) -> bool:
    """Whether ``text`` has 1 to ``limit`` characters of ``ends`` and ``inside``, and begins and ends with one of ``ends``."""
    return 0 < len(text) <= limit and {text[0], text[-1]} <= ends and set(text) <= ends | set(inside)


def is_dns_subdomain(text: str, limit: int = 253) -> bool:
    """Whether ``text`` is labels with dots between, of at most ``limit`` characters together."""
    return len(text) <= limit and all(is_word(part, limit, LOWERCASE, "-") for part in text.split("."))


def provider_of(provider_id: str) -> str:
    """The provider that the id of a node's machine names (Kubernetes API, NodeSpec, providerID), or "" when it has no scheme.

    >>> provider_of("aws:///us-west-2a/i-0a1b"), provider_of("ocid1.instance.oc1.iad.x"), provider_of("cn-hangzhou.i-bp1abc1")
    ('aws', 'oci', '')
    """
    if provider_id.startswith("ocid1."):  # oracle/oci-cloud-controller-manager writes the machine's OCID alone
        return "oci"
    scheme, separator, _ = provider_id.partition("://")
    return scheme.lower() if separator else ""


def check_dns_label(text: str, what: str) -> str:
    """A name that is one label (RFC 1123): small letters, digits, dashes.

    >>> check_dns_label("eidos", "namespace")
    'eidos'
    """
    if not is_word(text, 63, LOWERCASE, "-"):
        raise InvalidInput(
            f"invalid {what} {text!r}", "use lower-case letters, digits and '-', at most 63; begin and end with a letter or digit"
        )
    return text


def check_dns_subdomain(text: str, what: str = "node name") -> str:
    """A name of labels with dots between (Kubernetes documentation, "Object Names and IDs": DNS subdomain).

    >>> check_dns_subdomain("ip-10-0-42-17.us-west-2.compute.internal")
    'ip-10-0-42-17.us-west-2.compute.internal'
    """
    if not is_dns_subdomain(text):
        hint = "use lower-case letters, digits, '-' and '.', at most 253; begin and end each part with a letter or digit"
        raise InvalidInput(f"invalid {what} {text!r}", hint)
    return text


def parse_selector(texts: Iterable[str]) -> dict[str, str]:
    """Labels that a node must have, from ``key=value`` each. Raises InvalidInput for what no label can be.

    >>> parse_selector(["nodeGroup=gpu"])
    {'nodeGroup': 'gpu'}
    """
    labels: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f"invalid label selector {text!r}", "write label=value")
        if labels.setdefault(_check_key(key, text), _check_value(value, text)) != value:
            raise InvalidInput(f"{text!r}: {key!r} is already {labels[key]!r}; a label has one value", "remove one of them")
    return labels


def parse_toleration(text: str) -> dict[str, str]:
    """A toleration of a taint, from ``key=value:effect``, ``key:effect``, ``key=value``, ``key``, or ``*`` for every taint.

    Raises InvalidInput for what no taint can be.

    >>> parse_toleration("nvidia.com/gpu=present:NoSchedule")
    {'key': 'nvidia.com/gpu', 'operator': 'Equal', 'value': 'present', 'effect': 'NoSchedule'}
    >>> parse_toleration("dedicated"), parse_toleration("*")
    ({'key': 'dedicated', 'operator': 'Exists'}, {'operator': 'Exists'})
    """
    if text == "*":
        return {"operator": "Exists"}
    taint, colon, effect = text.partition(":")
    key, equals, value = taint.partition("=")
    if colon and effect not in EFFECTS:
        raise InvalidInput(
            f"{text!r}: invalid effect {effect!r}; expected {', '.join(EFFECTS[:-1])} or {EFFECTS[-1]}", did_you_mean(effect, EFFECTS)
        )
    tree = {"key": _check_key(key, text), "operator": "Equal" if equals else "Exists"}
    if equals:
        tree["value"] = _check_value(value, text)
    return {**tree, "effect": effect} if colon else tree


def _check_key(key: str, text: str) -> str:
    # Kubernetes documentation, "Labels and Selectors": [prefix/]name, the prefix a DNS subdomain.
    prefix, slash, name = key.rpartition("/")
    is_subdomain = len(prefix) <= 253 and all(_is_label_word(part) for part in prefix.split("."))
    if not _is_label_word(name) or (slash and not is_subdomain):
        raise InvalidInput(f"{text!r}: invalid label key {key!r}", "write it like nvidia.com/gpu.present")
    return key


def _check_value(value: str, text: str) -> str:
    if value and not _is_label_word(value):
        raise InvalidInput(
            f"{text!r}: invalid label value {value!r}",
            "use letters, digits, '-', '_' and '.', at most 63; begin and end with a letter or digit",
        )
    return value


def _is_label_word(text: str) -> bool:
    return is_word(text, 63, ALPHANUMERIC, "-_.")
