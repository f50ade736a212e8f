"""Whether a release still gets fixes, by the life cycles in ``rules.yaml``.

Knows that table's columns (product, version, service, end, extended) and which product a path is about; must not know any date. A release
that the table does not have is unknown: that it is not listed does not make it supported.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_each, unknown_because
from eidos.errors import InvalidInput
from eidos.model.condition_nodes import Judgement
from eidos.model.constraint import parse_expression

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

#: Path of the entry → product in the table.
PRODUCTS = {
    "GPU.smi.driver": "driver",
    "OS.runtime.containerd.version": "containerd",
    "K8s.server.version": "kubernetes",
    "K8s.image.gpu-operator": "gpu-operator",
}

#: The product that managed services release on dates of their own.
_BY_SERVICE = "kubernetes"
_SERVICES = ("eks", "gke", "aks", "oke", "cks", "openshift")


def judge(context: RuleContext) -> RuleResult:
    """Fails after the last day, or the last month, of the release; says when it ends otherwise."""
    path, product = context.path, PRODUCTS[context.path]
    service = context.node.derived.get("query.service", "") if product == _BY_SERVICE else ""
    service = service if service in _SERVICES else ""
    values, unread = read_each(context.node, [path])
    if unread:
        return unknown_because(unread)
    if path not in values:
        return RuleResult(not_applicable=f"{path}: {context.node.absence(path) or 'not set'}")
    version = values[path]
    rows = [row for row in context.facts.get("ends") or () if row.get("product") == product and row.get("service", "") == service]
    for row in rows:
        if _is_about(row, version):
            end = str(row.get("extended") or row.get("end") or "")
            is_supported = context.today[: len(end)] <= end
            state = "supported until" if is_supported else "without fixes since"
            return RuleResult(Judgement(is_supported, values), actual=f"{version}, {state} {end}")
    if all(_is_about({"version": f"> {_number(row)}"}, version) for row in rows):
        return RuleResult(not_applicable=f"no end is known yet of {product} {version}{service and f' on {service}'}")
    return unknown_because({f"the life cycle of {product} {version}": "the recipe data has no such branch"}, values)


def _number(row: Mapping[str, Any]) -> str:
    return str(row.get("version", "")).lstrip("<>= ")


def _is_about(row: Mapping[str, Any], version: str) -> bool:
    """Whether a row's version (``1.33``, ``< 26.3``) stands for a version."""
    text = str(row.get("version", ""))
    try:
        return parse_expression(text if text[:1] in "<>=" else f"== {text}").holds(version) is True
    except InvalidInput:
        return False
