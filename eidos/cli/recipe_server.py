"""``eidos recipe --server``: a recipe from a server, or the built-in one when the server fails.

Knows which flags go with ``--server`` and how a fallback is marked; must not know how a server is requested.
"""

from __future__ import annotations

import time

from eidos import log
from eidos.errors import EidosError, InvalidInput
from eidos.model.recipe import Recipe
from eidos.server_client import SERVER_FAILURES, ServerClient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from eidos.cli.options import Values
    from eidos.cli.run_telemetry import RunTelemetry

#: The field of the metadata that names a recipe's source when that is not the server, and its value then.
SOURCE, BUILT_IN = "recipe-source", "built-in"


def request_recipe(
    client: ServerClient,
    values: Values,
    query: dict[str, str],
    snapshot: bytes | None,
    telemetry: RunTelemetry,
    build: Callable[[], Recipe],
) -> tuple[Recipe, dict[str, Any], str]:
    """The server's recipe and its document as received; with ``--fallback`` those of ``build`` when the server fails.

    ``snapshot`` are the bytes of the one to send. The third value is the source in the document: empty when it is the server. Raises what
    :meth:`ServerClient.recipe` raises.
    """
    try:
        with telemetry.step("ask") as step:
            tree = client.recipe(
                query,
                snapshot=snapshot,
                context=values["context"],
                deadline=time.monotonic() + values["timeout"],
                headers=telemetry.trace_headers(step),
            )
    except EidosError as fault:
        if not values["fallback"] or not isinstance(fault, SERVER_FAILURES):
            raise
        log.warn(f"{fault.message}; using the built-in data", hint=fault.hint)
        recipe = build()
        tree = recipe.to_tree(context=values["context"])
        tree["metadata"][SOURCE] = BUILT_IN
        return recipe, tree, BUILT_IN
    return Recipe.from_tree(tree, client.origin), tree, ""


def connect_server(values: Values, query: dict[str, str]) -> ServerClient:
    """The client of the server; raises InvalidInput for options that do not go with ``--server``."""
    origins = values.origins
    if values["explain"]:
        raise InvalidInput(f"{origins['explain']} cannot be used with {origins['server']}", f"remove {origins['server']}")
    if values["data"] is not None and not values["fallback"]:
        raise InvalidInput(
            f"{origins['data']} cannot be used with {origins['server']}, which has its own data",
            f"remove {origins['server']}, or add --fallback",
        )
    if values["file"] is not None:
        others = [origins[field] for field in query if field != "intent"]
        if others:
            message = f"{', '.join(others)} cannot be combined with a snapshot on a server; only --intent can"
            raise InvalidInput(message, f"remove that, or {origins['file']}, or {origins['server']}")
    try:
        return ServerClient(values["server"])
    except InvalidInput as fault:
        raise InvalidInput(f"{origins['server']}: {fault.message}", fault.hint) from fault
