"""``eidos serve``: the verbs over HTTP, under the service name ``eidos-api-server``.

Knows how requests become calls of ``workflow`` and answers become bytes; must not know what a recipe or a bundle is made of.
"""

from __future__ import annotations
