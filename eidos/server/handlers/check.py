"""``/v1/check``: what is wrong with the node that a snapshot describes.

Knows what a request must hold and which document answers it, that of ``eidos check``; must not know any check. Nothing of a request is
stored.
"""

from __future__ import annotations

from eidos.http_wire.messages import HttpError
from eidos.model.tree_reader import read_mapping
from eidos.server.handlers import HandlerResult
from eidos.server.handlers.recipe import build_recipe, query_parameters, represent_tree
from eidos.server.parameters import check_allowed
from eidos.server.request_document import BODY, parse_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.check.judge import CheckData
    from eidos.recipe.store import Store
    from eidos.server.handlers import HandlerCall

#: Fields of a body that names the recipe, too.
SNAPSHOT, RECIPE = "snapshot", "recipe"

#: The checks of the store that the server has, once they were read.
_check_data: list[tuple[Store, CheckData]] = []


def post_check(call: HandlerCall) -> HandlerResult:
    """The report of the snapshot in the body, judged by the recipe beside it, or by that for its node and the parameters."""
    from eidos.model.recipe import Recipe
    from eidos.model.snapshot import Snapshot
    from eidos.workflow import check_node

    query = query_parameters(call)
    tree = read_mapping(parse_document(call.context, call.services.max_body), f"{BODY} is not a snapshot")
    call.context.deadline.check()
    if SNAPSHOT in tree or RECIPE in tree:
        if tree.keys() != {SNAPSHOT, RECIPE}:
            raise HttpError(400, f"{BODY}: expected the documents {SNAPSHOT} and {RECIPE}", details={"valid": [SNAPSHOT, RECIPE]})
        if call.parameters.values:
            names = ", ".join(call.parameters.names.values())
            raise HttpError(400, f"{BODY} has a recipe, which cannot be used with {names}", "leave out one of the two")
        snapshot = Snapshot.from_tree(tree[SNAPSHOT], f"{BODY}: {SNAPSHOT}")
        recipe = Recipe.from_tree(tree[RECIPE], f"{BODY}: {RECIPE}")
        for constraint in recipe.constraints:
            # A pattern of 500 characters takes half a minute on a text of 64 KiB, and a client could send many of both.
            if constraint.value.has_patterns():
                message = f"{BODY}: {RECIPE}: constraints[{constraint.name}]: a server judges no patterns of a client"
                raise HttpError(400, message, "judge this recipe with 'eidos check -r', without a server")
    else:
        snapshot = Snapshot.from_tree(tree, BODY)
        recipe = build_recipe(call, query, True, snapshot)
    check_allowed(recipe.request, {}, call.services.recipe_data)
    store = call.services.recipe_data.store
    with call.context.span.start_child("check"):
        report = check_node(snapshot, recipe, store=store, data=_read_checks(store), before_finding=call.context.deadline.check)
    call.context.deadline.check()
    return HandlerResult(represent_tree(call, report.to_tree()))


def _read_checks(store: Store) -> CheckData:
    from eidos.check.judge import read_check_data

    if not _check_data or _check_data[0][0] is not store:
        _check_data[:] = [(store, read_check_data(store.check_data))]
    return _check_data[0][1]
