"""What a bundle is asked for besides its recipe.

Knows how selectors, tolerations and assignments are written; must not know flags, recipes or charts.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.record import Record
from eidos.suggest import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

_ALNUM = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


class Assignment(Record):
    """``component:path=value``, the value as it was written."""

    component: str
    path: str
    value: str

    def __str__(self) -> str:
        return f"{self.component}:{self.path}={self.value}"


class Options(Record):
    """``namespaces`` and ``values`` are by component, "" being all; ``registry`` is a mirror; tolerations are those of a Pod's spec."""

    sets: tuple[Assignment, ...] = ()
    values: tuple[tuple[str, Any, str], ...] = ()
    namespaces: dict[str, str] = {}
    registry: str = ""
    accelerated_node_selector: dict[str, str] = {}
    accelerated_tolerations: tuple[dict[str, str], ...] = ()
    system_node_selector: dict[str, str] = {}
    system_tolerations: tuple[dict[str, str], ...] = ()


def assignment(text: str) -> Assignment:
    """What ``component:path=value`` says; InvalidInput when it says nothing.

    >>> assignment("gpu-operator:driver.version=580.1=x")
    Assignment(component='gpu-operator', path='driver.version', value='580.1=x')
    """
    left, equals, value = text.partition("=")
    component, colon, path = left.partition(":")
    if not equals or not colon or not component.strip() or not path.strip():
        raise InvalidInput(f"{text!r} sets nothing", "write component:path.to.key=value, as in gpu-operator:mig.strategy=mixed")
    return Assignment(component.strip(), path.strip(), value)


def selector(texts: Iterable[str]) -> dict[str, str]:
    """Labels that a node must have, from ``key=value`` each; InvalidInput for what no label can be.

    >>> selector(["nodeGroup=gpu"])
    {'nodeGroup': 'gpu'}
    """
    labels: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f"{text!r} selects no node", "write label=value")
        if labels.setdefault(_label(key, text), _value(value, text)) != value:
            raise InvalidInput(f"{text!r}: {key!r} is {labels[key]!r} already, and a label has one value", "leave one of the two out")
    return labels


def toleration(text: str) -> dict[str, str]:
    """What tolerates a taint, from ``key=value:effect``, ``key:effect``, ``key=value``, ``key``, or ``*`` for every taint.

    >>> toleration("nvidia.com/gpu=present:NoSchedule")
    {'key': 'nvidia.com/gpu', 'operator': 'Equal', 'value': 'present', 'effect': 'NoSchedule'}
    >>> toleration("dedicated"), toleration("*")
    ({'key': 'dedicated', 'operator': 'Exists'}, {'operator': 'Exists'})
    """
    if text == "*":
        return {"operator": "Exists"}
    taint, colon, effect = text.partition(":")
    key, equals, value = taint.partition("=")
    if colon and effect not in EFFECTS:
        raise InvalidInput(f"{text!r}: {effect!r} is none of {', '.join(EFFECTS)}", did_you_mean(effect, EFFECTS))
    tree = {"key": _label(key, text), "operator": "Equal" if equals else "Exists"}
    if equals:
        tree["value"] = _value(value, text)
    return {**tree, "effect": effect} if colon else tree


def namespace(text: str) -> str:
    """A namespace; InvalidInput for what Kubernetes does not take (RFC 1123, a label).

    >>> namespace("gpu-operator")
    'gpu-operator'
    """
    allowed = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
    if not 0 < len(text) <= 63 or not set(text) <= allowed or "-" in (text[0], text[-1]):
        raise InvalidInput(f"{text!r} is no namespace", "it has small letters, digits and dashes, at most 63, and no dash at its ends")
    return text


def _label(key: str, text: str) -> str:
    # Kubernetes, "Labels and Selectors": [prefix/]name, the prefix a DNS subdomain.
    prefix, slash, name = key.rpartition("/")
    if not _word(name, 63) or (slash and not (len(prefix) <= 253 and all(_word(part, 63) for part in prefix.split(".")))):
        raise InvalidInput(f"{text!r}: {key!r} is no label", "as in nvidia.com/gpu.present")
    return key


def _value(value: str, text: str) -> str:
    if value and not _word(value, 63):
        raise InvalidInput(f"{text!r}: {value!r} is no value of a label", "it has letters, digits, and - _ . inside, at most 63")
    return value


def _word(text: str, most: int) -> bool:
    return 0 < len(text) <= most and {text[0], text[-1]} <= _ALNUM and set(text) <= _ALNUM | set("-_.")
