"""``/v1/recipe``: the recipe for a query, or for a node that a snapshot describes.

Knows what a request must hold and which bytes answer it, those that ``eidos recipe`` writes; must not know how layers match or merge.
"""

from __future__ import annotations

import time

from eidos import formats, log
from eidos.errors import InvalidData
from eidos.http_wire.messages import HttpError
from eidos.model.query import PURPOSE
from eidos.model.record import replace
from eidos.model.tree_reader import read_mapping
from eidos.server.handlers import HandlerResult
from eidos.server.parameters import check_allowed, parse_query, parse_switch
from eidos.server.representation import make_representation
from eidos.server.request_document import BODY, parse_document, parse_query_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import Any

    from eidos.model.query import Query
    from eidos.model.recipe import Recipe
    from eidos.model.snapshot import Snapshot
    from eidos.server.handlers import HandlerCall
    from eidos.server.representation import Representation

#: Parameters that choose what is written of a recipe; the others are the query.
_SWITCHES = ("context", "explain")


def get_recipe(call: HandlerCall) -> HandlerResult:
    """The recipe for the parameters."""
    services = call.services
    context, explain = (parse_switch(call.parameters, name) for name in _SWITCHES)
    query = query_parameters(call)
    key: Hashable = (*query.fields().items(), context, explain, call.media_type)
    cached = services.cache.get(key)
    if cached is not None:
        services.metrics.cache_hits.increment()
        return HandlerResult(cached, key)
    services.metrics.cache_misses.increment()
    return HandlerResult(represent_tree(call, build_recipe(call, query, explain).to_tree(context=context), public=True), key)


def post_recipe(call: HandlerCall) -> HandlerResult:
    """The recipe for the body: a query document, or a snapshot with ``?intent=`` and ``?platform=``."""
    services = call.services
    context, explain = (parse_switch(call.parameters, name) for name in _SWITCHES)
    parameters = query_parameters(call)
    tree = read_mapping(parse_document(call.context, services.max_body), f"{BODY} is neither a query nor a snapshot")
    call.context.deadline.check()
    if "measurements" not in tree and "kind" not in tree:
        query = parse_query_document(tree, services.recipe_data)
        recipe = build_recipe(call, _with_purpose(query, parameters), explain)
    else:
        from eidos.model.snapshot import Snapshot

        snapshot = Snapshot.from_tree(tree, BODY)
        # A snapshot does not show what its node is for; what was added to it counts.
        query = parse_query_document({field: tree.get(field) for field in PURPOSE}, services.recipe_data)
        recipe = build_recipe(call, _with_purpose(query, parameters), explain, snapshot)
        check_allowed(recipe.request, {}, services.recipe_data)
    return HandlerResult(represent_tree(call, recipe.to_tree(context=context), public=False))


def query_parameters(call: HandlerCall) -> Query:
    """The query in the parameters."""
    values = {name: value for name, value in call.parameters.values.items() if name not in _SWITCHES}
    return parse_query(values, call.parameters.names, call.services.recipe_data)


def _with_purpose(query: Query, parameters: Query) -> Query:
    """The query of a body and the fields in which parameters may complete it. Raises HttpError where they differ."""
    ours, theirs = query.fields(), parameters.fields()
    for field, value in theirs.items():
        if ours.get(field, value) != value:
            details = {"parameter": field, "value": value, "body": ours[field]}
            raise HttpError(400, f"{field}: the parameter is {value!r}, but the body has {ours[field]!r}", "set it once", details=details)
    return replace(query, **theirs)


def build_recipe(call: HandlerCall, query: Query, explain: bool, snapshot: Snapshot | None = None) -> Recipe:
    """The recipe for a query, or for the node of a snapshot; what it took is counted."""
    from eidos.workflow import make_recipe

    started = time.perf_counter()
    try:
        with call.context.span.start_child("build"):
            recipe = make_recipe(query, snapshot=snapshot, store=call.services.recipe_data.store, explain=explain)
    except InvalidData as fault:  # what the client sent was validated before; this is the recipe data
        log.error(f"{query}: {fault.message}", hint=fault.hint)
        raise HttpError(500, "the recipe data contradicts itself for this query") from fault
    call.services.metrics.recipe.record_recipe(recipe, time.perf_counter() - started)
    call.context.deadline.check()
    return recipe


def represent_tree(call: HandlerCall, tree: dict[str, Any], public: bool = False) -> Representation:
    """A document in the media type of the response."""
    with call.context.span.start_child("serialise"):
        text = formats.to_yaml(tree) if "yaml" in call.media_type else formats.to_json(tree)
        return make_representation(call.media_type, text.encode(), public=public)
