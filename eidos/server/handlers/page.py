"""The page for browsers: one file with its style and its script inside.

Knows how the parts become one document that no browser lets do more than it must; must not know what the page shows. Style and script stand
in the policy by their digests (CSP Level 3, section 8.4), so nothing else runs, whatever a recipe says; nothing is fetched but from here.
"""

from __future__ import annotations

import base64
import hashlib

from eidos import __version__
from eidos.files import resources
from eidos.server.representation import make
from eidos.templates.text_template import fill_text, parse_template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.server.representation import Answer

_PLACE = "templates/server/"


def answer() -> Answer:
    """The page."""
    page, style, script = (resources.read_text(f"{_PLACE}page.{ending}") for ending in ("html", "css", "js"))
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    page = fill_text("page.html", parse_template(page), {"style": style, "script": script, "version": __version__})
    headers = [("Content-Security-Policy", policy), ("Referrer-Policy", "no-referrer"), ("Cross-Origin-Opener-Policy", "same-origin")]
    return make("text/html; charset=utf-8", page.encode(), public=True, headers=headers)


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
