"""For schemathesis: leaves out requests that are wrong in a way that no schema can say."""

from __future__ import annotations

import json
from typing import Any

import schemathesis

from eidos.model.query import PURPOSE


@schemathesis.hook
def filter_case(_: object, case: Any) -> bool:
    """Whether a request may be sent."""
    return not (contradicts_itself(case.query, case.body) or has_exponent(case.body))


def contradicts_itself(query: Any, body: Any) -> bool:
    """A parameter is not what the body has, or a machine stands beside a GPU or a service, which may be those of another one.

    Or there are parameters for a recipe that the body has.
    """
    if query and isinstance(body, dict) and "recipe" in body:
        return True
    parts = [part for part in (query, body) if isinstance(part, dict)]
    differs = len(parts) == 2 and any(field in query and query[field] != body.get(field, query[field]) for field in PURPOSE)
    return differs or any(part.get("machine") and (part.keys() & {"gpu", "service", "env"}) for part in parts)


def has_exponent(body: Any) -> bool:
    """A version is a number that nobody writes as one."""
    return isinstance(body, dict) and any(isinstance(value, float) and "e" in json.dumps(value) for value in body.values())
