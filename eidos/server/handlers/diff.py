"""``/v1/diff``: what differs between two documents.

Knows what a request must hold and which document answers it, that of ``eidos diff``; must not know how documents are compared. Nothing of
a request is stored.
"""

from __future__ import annotations

from eidos.http_wire.messages import HttpError
from eidos.model.tree_reader import read_mapping
from eidos.server.handlers import HandlerResult
from eidos.server.handlers.recipe import represent_tree
from eidos.server.parameters import LIST, Parameter, parse_list
from eidos.server.request_document import BODY, parse_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.server.handlers import HandlerCall

#: Fields of the body: the older document, and the newer.
OLD, NEW = "from", "to"

INCLUDE = Parameter(
    *("include", "compare this, too: names and serial numbers, places, what changes on its own"),
    kind=LIST,
    choices=("identity", "location", "volatile"),
    example="identity",
)


def post_diff(call: HandlerCall) -> HandlerResult:
    """The differences of the two documents in the body: snapshots, recipes or reports."""
    from eidos.diff import documents
    from eidos.workflow import compare

    include = parse_list(call.parameters, INCLUDE.name, INCLUDE.choices) or ()
    tree = read_mapping(parse_document(call.context, call.services.max_body), f"{BODY} is not a comparison")
    call.context.deadline.check()
    if tree.keys() != {OLD, NEW}:
        missing = [field for field in (OLD, NEW) if field not in tree]
        problem = f"{' and '.join(missing)} missing" if missing else "a field besides"
        raise HttpError(400, f"{BODY}: {problem}", f"send a mapping with the documents {OLD} and {NEW}", details={"valid": [OLD, NEW]})
    old, new = (documents.parse_document(tree[field], f"{BODY}: {field}") for field in (OLD, NEW))
    call.context.deadline.check()
    with call.context.span.start_child("diff"):
        diff = compare(old, new, include=include, names=(OLD, NEW))
    call.context.deadline.check()
    return HandlerResult(represent_tree(call, diff.to_tree()))
