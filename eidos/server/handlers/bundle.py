"""``/v1/bundle``: what deploys a recipe, as one file.

Knows what a request must say and which bytes answer it, those that ``eidos bundle --archive`` writes; must not know how a file of a bundle
is made. A bundle that lacks a component is no answer: what is wrong with the recipe is.
"""

from __future__ import annotations

from eidos.errors import InvalidData, InvalidInput
from eidos.server import representation
from eidos.server.call import Made
from eidos.server.error_responses import Refused
from eidos.server.parameters import BODY, CHOICE, Parameter, choice, document, refuse, told, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.server.call import Call

TAR, ZIP = "tar.gz", "zip"

#: Forms of the archive, the usual one first, and their media types (RFC 6713 for gzip).
FORMS = {TAR: "application/gzip", ZIP: "application/zip"}

ARCHIVE = Parameter("archive", "the form of the archive", kind=CHOICE, choices=tuple(FORMS), example="zip")


def post(call: Call) -> Made:
    """The archive for the recipe in the body."""
    form = choice(call.asked, ARCHIVE) if "archive" in call.asked.said else next(form for form, kind in FORMS.items() if kind == call.kind)
    chosen = words(call.asked, "bundlers", tuple(call.knowledge.charts))
    from eidos.model.recipe import Recipe
    from eidos.workflow import make_bundle

    recipe = Recipe.from_tree(document(call.request, call.limit), BODY)
    refuse(recipe.request, {}, call.knowledge)
    deadline = call.request.deadline
    deadline.check()
    known = (dict(call.knowledge.charts), call.knowledge.values)
    try:
        with call.span.child("build"):
            bundle = make_bundle(recipe, bundlers=chosen, parallel=False, known=known, proceed=deadline.check)
    except (InvalidData, InvalidInput) as fault:
        call.watch.bundle.refused()
        raise Refused(400, f"{BODY}: {told(fault, call.knowledge.places)}", fault.hint) from fault
    call.watch.bundle.made(bundle)
    if bundle.errors:
        details = {"components": {id: told(InvalidData(error), call.knowledge.places) for id, error in bundle.errors.items()}}
        raise Refused(400, f"{BODY}: the recipe lacks what {', '.join(bundle.errors)} need", details=details)
    deadline.check()
    if form == ZIP:
        from eidos.bundle.zip_archive import pack
    else:
        from eidos.bundle.tar_archive import pack
    with call.span.child("serialise"):
        body = pack(bundle.files)
    deadline.check()
    name = ("Content-Disposition", f'attachment; filename="bundle.{form}"')
    return Made(representation.make(FORMS[form], body, gzip=False, vary="Accept", headers=[name]))
