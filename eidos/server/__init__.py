"""``eidos serve``: the verbs over HTTP, under the service name ``eidos-api-server``.

Knows how requests become calls of ``workflow`` and results become responses; must not know what a recipe or a bundle is made of.

The way of a request: ``transport/connection`` parses it with ``http_wire`` and makes its ``request_context`` with its ``deadline``; ``app``
asks the ``rate_limiter`` (429), finds its row in ``routes``, negotiates the media type, parses the ``parameters`` and calls a function of
``handlers``; ``middleware`` wraps the ``representation`` that it returns, ``error_responses`` whatever it raises; the connection writes
the response and reports it to ``instrumentation``.
"""

from __future__ import annotations
