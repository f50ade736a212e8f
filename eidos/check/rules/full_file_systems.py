"""Whether a file system that programs write to is full: its blocks, or its inodes.

Knows which paths are written to on a node and when df(1) shows 100 %; must not know what fills them. What is full by its making (images of
read-only systems, the boot partition) is not judged.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult, read_instances, unknown_because
from eidos.model.condition_nodes import Judgement
from eidos.wording import count_of

_MOUNT = "OS.storage.volatile.mount."

#: Paths that are read-only or full on systems that are right.
_NOT_JUDGED = ("/boot", "/boot/efi", "/usr")

#: Systems whose root is an image.
_IMAGES = ("bottlerocket", "cos", "talos")

#: df(1) rounds up: from here on it shows 100 %.
_FULL_PERCENT = 99.0


def judge(context: RuleContext) -> RuleResult:
    """Fails with each file system of which more than 99 % of the space that users have, or of the inodes, is used."""
    node = context.node
    is_image = node.derived.get("query.os") in _IMAGES
    evidence: dict[str, str] = {}
    unread: dict[str, str] = {}
    full: dict[str, str] = {}
    for suffix, what in ((".used-percent", ""), (".inodes-used-percent", " of the inodes")):
        values, gaps = read_instances(node, _MOUNT, suffix)
        unread.update(gaps)
        for mount, text in values.items():
            if mount in _NOT_JUDGED or (mount == "/" and is_image):
                continue
            path, percent = f"{_MOUNT}{mount}{suffix}", _percent(text)
            if percent is None:
                unread[path] = f"{text!r} is not a percentage"
                continue
            evidence[path] = text
            if percent > _FULL_PERCENT:
                full[path] = f"{mount} {text} %{what}"
    if full:
        return RuleResult(Judgement(False, {path: evidence[path] for path in full}), actual=", ".join(full.values()))
    if unread:
        return unknown_because(unread, evidence)
    if not evidence:
        return RuleResult(not_applicable=node.absence(f"{_MOUNT}*.used-percent") or "no file system whose use is known")
    return RuleResult(Judgement(True, evidence), actual=f"{count_of(len(evidence), 'value')} below 100 %")


def _percent(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
