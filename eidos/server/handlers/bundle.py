"""``/v1/bundle``: what deploys a recipe, as one archive.

Knows what a request must hold and which bytes answer it, those that ``eidos bundle --archive`` writes; must not know how a file of a bundle
is made. A bundle that lacks a component is no answer: what is wrong with the recipe is.
"""

from __future__ import annotations

from eidos.errors import InvalidData, InvalidInput
from eidos.http_wire.messages import HttpError
from eidos.server.error_responses import hide_paths
from eidos.server.handlers import HandlerResult
from eidos.server.parameters import CHOICE, Parameter, check_allowed, parse_choice, parse_list
from eidos.server.representation import make_representation
from eidos.server.request_document import BODY, parse_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.server.handlers import HandlerCall

TAR, ZIP = "tar.gz", "zip"

#: Archive formats, the default first, and their media types (RFC 6713 for gzip).
MEDIA_TYPES = {TAR: "application/gzip", ZIP: "application/zip"}

ARCHIVE = Parameter("archive", "archive format", kind=CHOICE, choices=tuple(MEDIA_TYPES), example="zip")


def post_bundle(call: HandlerCall) -> HandlerResult:
    """The archive for the recipe in the body."""
    context, services, data = call.context, call.services, call.services.recipe_data
    form = _archive_format(call)
    components = parse_list(call.parameters, "bundlers", tuple(data.charts))
    from eidos.bundle.bundle_options import BundleOptions
    from eidos.model.recipe import Recipe
    from eidos.workflow import make_bundle

    recipe = Recipe.from_tree(parse_document(context, services.max_body), BODY)
    check_allowed(recipe.request, {}, data)
    deadline = context.deadline
    deadline.check()
    options = BundleOptions(components=None if components is None else tuple(components), plugins=data.plugins, parallel=False)
    chart_data = (dict(data.charts), data.chart_values)
    try:
        with context.span.start_child("build"):
            bundle = make_bundle(recipe, options, chart_data=chart_data, before_component=deadline.check)
    except (InvalidData, InvalidInput) as fault:
        services.metrics.bundle.record_refusal()
        raise HttpError(400, f"{BODY}: {hide_paths(fault.message, data.paths)}", fault.hint) from fault
    services.metrics.bundle.record_bundle(bundle)
    if bundle.errors:
        details = {"components": {id: hide_paths(message, data.paths) for id, message in bundle.errors.items()}}
        raise HttpError(
            400,
            f"{BODY}: the recipe lacks values that {', '.join(bundle.errors)} {'needs' if len(bundle.errors) == 1 else 'need'}",
            details=details,
        )
    deadline.check()
    with context.span.start_child("serialise"):
        if form == ZIP:
            from eidos.bundle.zip_archive import pack_zip

            body = pack_zip(bundle.files)
        else:
            from eidos.bundle.tar_archive import pack_tar_gz

            body = pack_tar_gz(bundle.files)
    deadline.check()
    name = ("Content-Disposition", f'attachment; filename="bundle.{form}"')
    return HandlerResult(make_representation(MEDIA_TYPES[form], body, gzip=False, vary="Accept", headers=[name]))


def _archive_format(call: HandlerCall) -> str:
    """The format that the parameter names, else that of the media type which the client accepts."""
    if ARCHIVE.name in call.parameters.values:
        return parse_choice(call.parameters, ARCHIVE)
    return next(form for form, media_type in MEDIA_TYPES.items() if media_type == call.media_type)
