"""``/v1/recipe``: the recipe for a query, or for a node that a snapshot describes.

Knows what a request must say and which bytes answer it, those that ``eidos recipe`` writes; must not know how layers match or merge.
"""

from __future__ import annotations

import time

from eidos import log
from eidos.errors import InvalidData
from eidos.server import representation
from eidos.server.call import Made
from eidos.server.error_responses import Refused
from eidos.server.parameters import BODY, document, query, query_document, refuse, switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

    from eidos.model.query import Query
    from eidos.model.recipe import Recipe
    from eidos.model.snapshot import Snapshot
    from eidos.server.call import Call
    from eidos.server.representation import Answer


def get(call: Call) -> Made:
    """The recipe for the parameters."""
    said = {name: value for name, value in call.asked.said.items() if name != "context"}
    context = switch(call.asked, "context")
    found = query(said, call.asked.called, call.knowledge)
    key = _key(found, context, call.kind)
    known = call.known(key)
    if known is not None:
        call.watch.cache_hits.add()
        return Made(known, key)
    call.watch.cache_misses.add()
    return Made(_written(call, _make(call, found), context, public=True), key)


def post(call: Call) -> Made:
    """The recipe for the body: a query document, or a snapshot with ``?intent=``."""
    context = switch(call.asked, "context")
    intent = query({name: value for name, value in call.asked.said.items() if name == "intent"}, call.asked.called, call.knowledge)
    tree = document(call.request, call.limit)
    call.request.deadline.check()
    if not isinstance(tree, dict):
        raise Refused(400, f"{BODY} is neither a query nor a snapshot: expected a mapping")
    if "measurements" not in tree and "kind" not in tree:
        asked = query_document(tree, call.knowledge)
        recipe = _make(call, _with_intent(asked, intent))
    else:
        from eidos.model.snapshot import Snapshot

        snapshot = Snapshot.from_tree(tree, BODY)
        # No snapshot has an intent; one that was added is meant.
        asked = query_document({"intent": tree.get("intent")}, call.knowledge)
        recipe = _make(call, _with_intent(asked, intent), snapshot)
        refuse(recipe.request, {}, call.knowledge)
    return Made(_written(call, recipe, context, public=False))


def _with_intent(asked: Query, intent: Query) -> Query:
    from eidos.model.record import replace

    if intent.intent and asked.intent and intent.intent != asked.intent:
        details = {"parameter": "intent", "value": intent.intent, "body": asked.intent}
        raise Refused(400, f"intent: the request says {intent.intent!r}, and its body {asked.intent!r}", "say it once", details=details)
    return replace(asked, intent=asked.intent or intent.intent)


def _key(query: Query, context: bool, kind: str) -> Hashable:
    return (*query.fields().items(), context, kind)


def _make(call: Call, asked: Query, snapshot: Snapshot | None = None) -> Recipe:
    from eidos.workflow import make_recipe

    began = time.perf_counter()
    try:
        with call.span.child("build"):
            recipe = make_recipe(asked, snapshot=snapshot, store=call.knowledge.store)
    except InvalidData as fault:  # what the client said was read before; this is the knowledge
        log.error(f"{asked}: {fault.message}", hint=fault.hint)
        raise Refused(500, "the recipe data contradicts itself for this query") from fault
    call.watch.recipe.built(recipe, time.perf_counter() - began)
    call.request.deadline.check()
    return recipe


def _written(call: Call, recipe: Recipe, context: bool, public: bool) -> Answer:
    """The document, as ``eidos recipe`` writes it."""
    from eidos import formats

    with call.span.child("serialise"):
        tree = recipe.to_tree(context=context)
        text = formats.to_yaml(tree) if "yaml" in call.kind else formats.to_json(tree)
        return representation.make(call.kind, text.encode(), public=public)
