"""Representations that never change while the server runs: the catalog, the OpenAPI document, the list of routes, the page.

Knows how each is made, once, before the workers are forked; must not know requests. The page is one file with its style and its script
inside, both named in its policy by their digests (CSP Level 3, section 8.4): nothing else runs, whatever a recipe holds, and nothing is
fetched from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib

from eidos import __version__, formats
from eidos.files import resources
from eidos.server import openapi
from eidos.server.representation import make_representation
from eidos.server.routes import DOCUMENT, HTML, JSON, OPERATIONS, YAML
from eidos.server.server_settings import SERVICE_NAME
from eidos.templates.text_template import Html, fill_text, parse_template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.server.recipe_data import RecipeData
    from eidos.server.representation import Representation

_FOLDER = "templates/server/"

#: The parts of the page's script, in the order in which they need one another.
_SCRIPTS = ("page_address", "page_elements", "page_components", "page_tables", "page_comparison", "page", "page_check")


def static_representations(recipe_data: RecipeData, max_body: int) -> dict[tuple[str, str], Representation]:
    """All of them, by name and media type; ``max_body`` is in bytes."""
    representations: dict[tuple[str, str], Representation] = {("root", HTML): _page()}
    routes = [f"{operation.method} {operation.path}" for operation in OPERATIONS]
    service = {"service": SERVICE_NAME, "version": __version__, "routes": routes}
    trees: tuple[tuple[str, dict[str, Any], tuple[str, ...]], ...] = (
        ("catalog", recipe_data.coverage(), DOCUMENT),
        ("openapi", openapi.document(recipe_data, max_body), (JSON, YAML)),
        ("root", service, (JSON,)),
    )
    for name, tree, media_types in trees:
        for media_type in media_types:
            text = formats.to_yaml(tree) if "yaml" in media_type else formats.to_json(tree)
            representations[name, media_type] = make_representation(media_type, text.encode(), public=True)
    return representations


def _page() -> Representation:
    page, style = (resources.read_text(f"{_FOLDER}page.{extension}") for extension in ("html", "css"))
    script = '"use strict";\n{\n' + "".join(resources.read_text(f"{_FOLDER}{name}.js") for name in _SCRIPTS) + "}\n"
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    page = fill_text("page.html", parse_template(page), {"style": Html(style), "script": Html(script), "version": __version__})
    headers = [("Content-Security-Policy", policy), ("Referrer-Policy", "no-referrer"), ("Cross-Origin-Opener-Policy", "same-origin")]
    return make_representation("text/html; charset=utf-8", page.encode(), public=True, headers=headers)


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
