"""Applies a JSON Patch (RFC 6902): what ``eidos diff -t patch`` writes, as any other program would."""

from __future__ import annotations

import copy
from typing import Any


def apply_patch(document: Any, operations: Any) -> Any:
    """A copy of the document with the operations ``add``, ``remove`` and ``replace`` applied; KeyError or IndexError without the place."""
    result = copy.deepcopy(document)
    for operation in operations:
        *parents, last = [token.replace("~1", "/").replace("~0", "~") for token in operation["path"].split("/")[1:]]
        target = result
        for token in parents:
            target = target[int(token)] if isinstance(target, list) else target[token]
        kind = operation["op"]
        if isinstance(target, list):
            if kind == "add":
                target.insert(len(target) if last == "-" else int(last), copy.deepcopy(operation["value"]))
            elif kind == "remove":
                del target[int(last)]
            else:
                target[int(last)] = copy.deepcopy(operation["value"])
        elif kind == "remove":
            del target[last]
        else:
            if kind == "replace":
                target[last]  # has to exist
            target[last] = copy.deepcopy(operation["value"])
    return result
