"""For schemathesis: leaves out requests that are wrong in a way that no schema can say."""

from __future__ import annotations

import json
from typing import Any

import schemathesis


@schemathesis.hook
def filter_case(_: object, case: Any) -> bool:
    """Whether a request may be sent."""
    return not (contradicts_itself(case.query, case.body) or has_exponent(case.body))


def contradicts_itself(query: Any, body: Any) -> bool:
    """The intent of the parameter is not that of the body."""
    return (
        isinstance(query, dict) and isinstance(body, dict) and "intent" in query and query["intent"] != body.get("intent", query["intent"])
    )


def has_exponent(body: Any) -> bool:
    """A version is a number that nobody writes as one."""
    return isinstance(body, dict) and any(isinstance(value, float) and "e" in json.dumps(value) for value in body.values())
