"""Whether ports of RDMA adapters of one board are alike: up, of one speed, with one firmware.

Knows that adapters of one board serve one purpose, so that one which differs is at fault; must not know which speed is right. A board of
which no port is up is not in use, and none of its ports is reported. The path of the entry says what is compared.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_each, read_instances, unknown_because
from eidos.model.condition_nodes import Judgement

_PREFIX = "OS.rdma."
_ACTIVE, _DOWN = "ACTIVE", "DOWN"


def judge(context: RuleContext) -> RuleResult:
    """Fails with the ports, or the adapters, that differ from most of their board."""
    node = context.node
    key = context.path.rpartition(".")[2]
    # Each port has a link layer, and each adapter a driver: one of which the key was not read is not left out.
    anchor = "driver" if key == "firmware" else "link-layer"
    known, unread = read_instances(node, _PREFIX, f".{anchor}", ("infiniband",))
    readings, gaps = read_each(node, [f"{_PREFIX}{where}.{key}" for where in known])
    boards, more = read_each(node, [f"{_PREFIX}{where.partition('.')[0]}.board-id" for where in known])
    states, missing_states = read_each(node, [f"{_PREFIX}{where}.state" for where in known]) if key == "width-and-speed" else ({}, {})
    unread = {**unread, **gaps, **more, **missing_states}
    groups: dict[str, dict[str, str]] = {}
    for where in known:
        path = f"{_PREFIX}{where}.{key}"
        if path in readings and (key != "width-and-speed" or states.get(f"{_PREFIX}{where}.state") == _ACTIVE):
            groups.setdefault(boards.get(f"{_PREFIX}{where.partition('.')[0]}.board-id", ""), {})[path] = readings[path]
    different = {path: value for group in groups.values() for path, value in _odd(group, key).items()}
    alike = {path: value for group in groups.values() if len(group) > 1 for path, value in group.items()}
    actual = ", ".join(f"{path[len(_PREFIX) : -len(key) - 1]} {value}" for path, value in sorted((different or alike).items()))
    if not alike:
        return unknown_because(unread) if unread else RuleResult(not_applicable="no board with several ports in use")
    evidence = {**{f"{_PREFIX}{where}.{anchor}": text for where, text in known.items()}, **boards, **states, **readings}
    if different:
        return RuleResult(Judgement(False, evidence), actual=actual)
    return unknown_because(unread, evidence) if unread else RuleResult(Judgement(True, evidence), actual=actual)


def _odd(group: dict[str, str], key: str) -> dict[str, str]:
    """The readings of one board that differ from the most frequent one; of states those that are down beside one that is up.

    >>> _odd({"a": "4X NDR", "b": "4X NDR", "c": "2X NDR"}, "width-and-speed")
    {'c': '2X NDR'}
    >>> _odd({"a": "DOWN", "b": "DOWN"}, "state"), _odd({"a": "ACTIVE", "b": "DOWN"}, "state")
    ({}, {'b': 'DOWN'})
    """
    texts = list(group.values())
    if key == "state":
        return {path: text for path, text in group.items() if text == _DOWN} if _ACTIVE in texts else {}
    usual = max(texts, key=lambda text: (texts.count(text), text), default="")
    return {path: text for path, text in group.items() if text != usual}
