"""``eidos recipe --server``: what can be asked of a server, and what becomes of one that does not answer.

Knows which flags go with ``--server`` and how an answer is marked; must not know how a server is asked.
"""

from __future__ import annotations

import time

from eidos import log
from eidos.cli.recipe import query_words, read_snapshot
from eidos.errors import EidosError, InvalidInput
from eidos.model.recipe import Recipe
from eidos.server_client import TROUBLE, Remote
from eidos.telemetry.spans import CLIENT, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from eidos.cli.options import Values
    from eidos.cli.telemetry_choice import Watch

#: The field of the metadata that says where a recipe came from when it is not where it was asked for, and what it says then.
SOURCE, BUILT_IN = "recipe-source", "built-in"


def ask(values: Values, watching: Watch, otherwise: Callable[[], Recipe]) -> tuple[Recipe, dict[str, Any], str]:
    """The recipe of a server and its document, as it was answered; with ``--fallback`` that of ``otherwise`` when none was.

    Last comes what the document says of its source: nothing when it is the server's.

    Raises InvalidInput for what no server can be asked, and what :meth:`Remote.recipe` raises.
    """
    remote, said, snapshot = _checked(values)
    try:
        with watching.step("ask") as span:
            carried = watching.carried()
            if isinstance(span, Span) and span.recorded:
                span.kind, carried = CLIENT, span.context.headers()
            tree = remote.recipe(
                said,
                snapshot=snapshot,
                context=values["context"],
                deadline=time.monotonic() + values["timeout"],
                headers=carried,
            )
    except EidosError as fault:
        if not values["fallback"] or not isinstance(fault, TROUBLE):
            raise
        log.warn(f"{fault.message}; the recipe is made of the built-in data", hint=fault.hint)
        recipe = otherwise()
        tree = recipe.to_tree(context=values["context"])
        tree["metadata"][SOURCE] = BUILT_IN
        return recipe, tree, BUILT_IN
    return Recipe.from_tree(tree, remote.origin), tree, ""


def _checked(values: Values) -> tuple[Remote, dict[str, str], bytes | None]:
    """The server, the query, and the bytes of a snapshot."""
    where = values.where
    if values["explain"]:
        raise InvalidInput(f"{where['explain']}: a server does not tell which layer set what", f"leave out {where['server']}")
    if values["data"] is not None and not values["fallback"]:
        raise InvalidInput(f"{where['data']}: a server has data of its own", f"leave out {where['server']}, or add --fallback")
    said = query_words(values)
    snapshot = None
    if values["file"] is not None:
        other = [where[field] for field in said if field != "intent"]
        if other:
            message = f"{', '.join(other)}: a server reads from a snapshot all but the intent"
            raise InvalidInput(message, f"leave that out, or {where['file']}, or {where['server']}")
        snapshot = read_snapshot(values["file"], values)[1]
    try:
        return Remote(values["server"]), said, snapshot
    except InvalidInput as fault:
        raise InvalidInput(f"{where['server']}: {fault.message}", fault.hint) from fault
