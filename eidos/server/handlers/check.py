"""``/v1/check``: what is wrong with the node that a snapshot describes.

Knows what a request must hold and which document answers it, that of ``eidos check``; must not know any check. Nothing of a request is
stored.
"""

from __future__ import annotations

from eidos.http_wire.messages import HttpError
from eidos.server.handler_call import HandlerResult
from eidos.server.handlers.recipe import build_recipe, query_parameters, represent_tree
from eidos.server.parameters import check_allowed
from eidos.server.request_document import BODY, parse_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.check.judge import CheckData
    from eidos.recipe.store import Store
    from eidos.server.handler_call import HandlerCall

#: The checks of the store that the server has, once they were read.
_check_data: list[tuple[Store, CheckData]] = []


def post_check(call: HandlerCall) -> HandlerResult:
    """The report of the snapshot in the body, judged by the recipe for its node and the parameters."""
    from eidos.model.snapshot import Snapshot
    from eidos.workflow import check_node

    query = query_parameters(call)
    tree = parse_document(call.context, call.services.max_body)
    call.context.deadline.check()
    if not isinstance(tree, dict):
        raise HttpError(400, f"{BODY} is not a snapshot: expected a mapping")
    snapshot = Snapshot.from_tree(tree, BODY)
    recipe = build_recipe(call, query, True, snapshot)
    check_allowed(recipe.request, {}, call.services.recipe_data)
    store = call.services.recipe_data.store
    with call.context.span.start_child("check"):
        report = check_node(snapshot, recipe, store=store, data=_read_checks(store))
    call.context.deadline.check()
    return HandlerResult(represent_tree(call, report.to_tree()))


def _read_checks(store: Store) -> CheckData:
    from eidos.check.judge import read_check_data

    if not _check_data or _check_data[0][0] is not store:
        _check_data[:] = [(store, read_check_data(store.check_data))]
    return _check_data[0][1]
