"""An application without a network: requests in, answers out."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from eidos.http_wire.messages import Request, Response
from eidos.model.record import replace
from eidos.server.app import PATHS, App
from eidos.server.deadline import Deadline
from eidos.server.rate_limiter import RateLimiter
from eidos.server.recipe_data import RecipeData, load_recipe_data
from eidos.server.representation import Representation
from eidos.server.request_context import RequestContext
from eidos.server.request_metrics import ServerMetrics
from eidos.server.server_settings import Settings
from eidos.server.static_content import static_representations

#: Without limits, for tests that are about something else.
FREE = Settings(rate=0.0, client_rate=0.0)

#: A representation by name and media type.
Static = dict[tuple[str, str], Representation]

_DATA: dict[Settings, tuple[RecipeData, Static]] = {}


def application(settings: Settings = FREE, **more: Any) -> App:
    """A new application; what it has read and what never changes was made once for all that answer for the same."""
    allowed = {field: getattr(settings, field) for field in settings._fields if field.startswith("allowed_")}
    deciding = replace(FREE, data=settings.data, max_body=settings.max_body, **allowed)
    if deciding not in _DATA:
        _DATA[deciding] = read_data(deciding)
    recipe_data, static = _DATA[deciding]
    metrics = ServerMetrics(PATHS, rules=recipe_data.layer_names(), bundlers=tuple(recipe_data.charts))
    return App(settings, metrics, RateLimiter(settings, 1), recipe_data, static, **more)


def read_data(settings: Settings) -> tuple[RecipeData, Static]:
    """What an application reads when the server starts."""
    recipe_data = load_recipe_data(settings)
    return recipe_data, static_representations(recipe_data, settings.max_body)


def request(
    method: str,
    target: str,
    body: bytes = b"",
    named: Mapping[str, str] = {},
    *,
    client: str = "192.0.2.1",
    seconds: float = 60.0,
    **more: str,
) -> RequestContext:
    """A request as the transport hands it to the application, with headers by name; or by keyword, where ``_`` stands for ``-``."""
    from urllib.parse import unquote

    path, _, query = target.partition("?")
    headers = {"host": "example.com", **named, **{name.replace("_", "-"): value for name, value in more.items()}}
    deadline = Deadline(time.monotonic() + seconds)
    return RequestContext(Request(method, target, unquote(path), query, headers, body, client, client, str(uuid.uuid4())), deadline)


class Client:
    """Asks an application; every answer is made twice, the quick way and the other, where both can be."""

    def __init__(self, app: App) -> None:
        self.app = app

    def __call__(self, method: str, target: str, body: bytes = b"", **headers: Any) -> Response:
        context = request(method, target, body, **headers)
        return self.app.answer_at_once(context) or self.app.answer(context)

    def get(self, target: str, **headers: Any) -> Response:
        return self("GET", target, **headers)

    def post(self, target: str, body: bytes, **headers: Any) -> Response:
        return self("POST", target, body, **headers)


def header(response: Response, name: str) -> str | None:
    """The value of a header that occurs at most once."""
    values = [value for field, value in response.headers if field.lower() == name.lower()]
    assert len(values) < 2, f"{name} occurs twice"
    return values[0] if values else None


def parse_error(response: Response) -> dict[str, Any]:
    """The envelope of an error, which has exactly these parts."""
    tree: dict[str, Any] = json.loads(response.body)
    assert set(tree) == {"code", "message", "details", "requestId", "timestamp", "retryable"}
    assert tree["requestId"] == header(response, "X-Request-Id")
    return tree


@contextmanager
def listening(app: App) -> Iterator[str]:
    """The application behind a socket of this machine, for a browser."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            context = request(self.command, self.path, body, {name.lower(): value for name, value in self.headers.items()})
            response = app.answer_at_once(context) or app.answer(context)
            self.send_response(response.status)
            for name, value in response.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(response.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(response.body)

        do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_TRACE = do_QUERY = _any  # noqa: N815 - http.server's names

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
