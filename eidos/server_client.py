"""A client of ``eidos serve``: recipes by ``GET`` or ``POST /v1/recipe``, reports by ``POST /v1/check``.

Knows the API of the server and what each status means for the caller; must not know flags. A request that fails on the server's side
is retried with back-off, paced after a 429, and not sent at all for a while after five failures in a row (see
``eidos.http_wire.retry``). Every request is pure, so a retry does no harm.

Failures and pace are remembered as long as one :class:`ServerClient` lives; nothing of it is written to disk. ``eidos recipe --server``
makes one request of at most four attempts, so it ends before its circuit could open; what makes several with one client, as
``eidos check --server`` does for a folder of snapshots, is held back by it.
"""

from __future__ import annotations

import os
import random
import time

from eidos import __version__, log
from eidos.errors import InvalidData, InvalidInput, NotFound, RateLimited, Timeout, Unavailable
from eidos.http_wire import dialer
from eidos.http_wire.fetch import ClientResponse, send_request
from eidos.http_wire.retry import AttemptFailed, CircuitBreaker, Pacer, call_with_retry, parse_retry_after
from eidos.http_wire.url import parse_url, quote_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    from eidos.model.check_report import CheckReport

    T = TypeVar("T")

#: Bytes of a response that are read; a recipe has a few dozen thousand, a report three times as many.
MAX_BODY_BYTES = 8 << 20

#: Characters of a server's message that are shown.
MAX_MESSAGE = 500

#: Failures on the server's side: ``--fallback`` goes on without it. What the caller did wrong is not among them.
SERVER_FAILURES = (Unavailable, Timeout, RateLimited)

#: What an endpoint returns, in messages.
_DOCUMENTS = {"recipe": "recipe", "check": "report"}

_ADDRESS_HINT = "check that this is the address of an eidos server"


class ServerClient:
    """A server at ``url``; ``clock``, ``sleep`` and ``chance`` are those of ``http_wire.retry``, ``wall`` is since 1970."""

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
        wall: Callable[[], float] = time.time,
    ) -> None:
        parsed = parse_url(url)
        if "?" in parsed.target or "#" in url:
            raise InvalidInput(f"{quote_url(url)}: the address of a server cannot have a query", f"write it like {parsed.origin}")
        self.origin = parsed.origin
        self._url = parsed.origin + parsed.target.rstrip("/")
        self._clock, self._sleep, self._chance, self._wall = clock, sleep, chance, wall
        self._circuit = CircuitBreaker(parsed.origin, clock)
        self._pace = Pacer(clock)

    def recipe(
        self,
        query: Mapping[str, str],
        *,
        snapshot: bytes | None = None,
        context: bool = False,
        deadline: float,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The recipe's tree for the fields of a ``query``, or for a ``snapshot`` (then ``query`` may hold the intent only).

        ``deadline`` is on the clock. Raises one of :data:`SERVER_FAILURES` when the server does not respond with a recipe, and
        InvalidInput or NotFound for what it reports as the caller's mistake.
        """
        parameters = {**query, **({"context": "true"} if context else {})}
        return self._request("recipe", parameters, snapshot, self._parse_recipe, deadline, headers)

    def check(self, query: Mapping[str, str], body: bytes, *, deadline: float) -> CheckReport:
        """The report of the snapshot in ``body``, by the recipe for its node and the fields of a ``query``.

        ``body`` may hold a recipe, too (:mod:`eidos.server.handlers.check`), and then there is no query. ``deadline`` and what is raised
        are those of :meth:`recipe`.
        """
        return self._request("check", query, body, self._parse_report, deadline)

    def _request(
        self,
        path: str,
        parameters: Mapping[str, str],
        body: bytes | None,
        parse: Callable[[bytes], T],
        deadline: float,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """What ``parse`` makes of the response to a request, which is sent again while that can help."""
        from urllib.parse import urlencode

        url = f"{self._url}/v1/{path}" + (f"?{urlencode(parameters)}" if parameters else "")
        request_id = _uuid4()
        sent = {"Accept": "application/json", "User-Agent": f"eidos/{__version__}", "X-Request-Id": request_id, **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/json" if body.lstrip()[:1] == b"{" else "application/yaml"
        log.debug(f"asking {self.origin}", request_id=request_id)
        return call_with_retry(
            lambda: parse(self._attempt(url, sent, body, deadline, _DOCUMENTS[path])),
            clock=self._clock,
            sleep=self._sleep,
            random=self._chance,
            deadline=deadline,
            circuit=self._circuit,
            pacer=self._pace,
            report=log.warn,
        )

    def _attempt(self, url: str, headers: Mapping[str, str], body: bytes | None, deadline: float, document: str) -> bytes:
        """The body of a response with status 200; ``document`` is what messages call it."""
        # Sockets run on time.monotonic, whatever our clock is.
        until = time.monotonic() + (deadline - self._clock())
        method = "GET" if body is None else "POST"
        response = send_request(method, url, deadline=until, headers=headers, body=body, limit=MAX_BODY_BYTES)
        if response.status == 200:
            return response.body
        raise self._error_for(response, document)

    def _parse_recipe(self, body: bytes) -> dict[str, Any]:
        """The tree of a recipe; AttemptFailed for a body that is not one."""
        from eidos import formats
        from eidos.model.recipe import Recipe

        try:
            tree = formats.from_text(body, self.origin)
            Recipe.from_tree(tree, self.origin)
        except InvalidData as fault:
            raise self._unusable("recipe", fault) from fault
        assert isinstance(tree, dict)
        return tree

    def _parse_report(self, body: bytes) -> CheckReport:
        """The report in a body; AttemptFailed for a body that is not one."""
        from eidos import formats
        from eidos.model.check_report import CheckReport

        try:
            return CheckReport.from_tree(formats.from_text(body, self.origin), self.origin)
        except InvalidData as fault:
            raise self._unusable("check", fault) from fault

    @staticmethod
    def _unusable(path: str, fault: InvalidData) -> AttemptFailed:
        message = f"the response is not a {_DOCUMENTS[path]}: {fault.message}"
        return AttemptFailed(dialer.RequestError(message, _ADDRESS_HINT, is_transient=False), is_retryable=False)

    def _error_for(self, response: ClientResponse, document: str) -> Exception:
        """The exception for a response whose status is not 200."""
        status, (text, hint) = response.status, _parse_error(response.body)
        message = f"{self.origin} returned {status}" + (f": {text}" if text else "")
        after_s = parse_retry_after(response.headers.get("retry-after"), self._wall())
        if status == 429:
            delay = f" (retry after {after_s:g} s)" if after_s is not None else ""
            return AttemptFailed(RateLimited(message, f"wait before you send more requests{delay}"), after_s, is_rate_limited=True)
        if status >= 500 or status == 408:  # 408: the request did not arrive in time, which is no mistake of the caller
            retryable = status in (408, 500, 502, 503, 504)
            return AttemptFailed(Unavailable(message, hint or "check the health of the server"), after_s, is_retryable=retryable)
        if status < 300:
            return AttemptFailed(
                dialer.RequestError(f"{message}, which is not a {document}", _ADDRESS_HINT, is_transient=False), is_retryable=False
            )
        if status in (404, 405):
            return NotFound(message, _ADDRESS_HINT)
        if status in (401, 403, 407):
            return Unavailable(message, "a proxy in front of the server requires authentication, which eidos does not support")
        if 300 <= status < 400:
            target = log.printable(response.headers.get("location", ""))[:MAX_MESSAGE]
            return Unavailable(f"{message}, a redirect" + (f" to {target}" if target else ""), "use that address with --server")
        return InvalidInput(message, hint)


def _parse_error(body: bytes) -> tuple[str, str | None]:
    """Message and hint of an error response; empty for a body in another form."""
    import json

    try:
        tree = json.loads(body)
        message = tree.get("message") or tree.get("detail") or ""
        hint = (tree.get("details") or {}).get("hint")
    except (ValueError, AttributeError, RecursionError):
        return "", None
    return str(message)[:MAX_MESSAGE], str(hint)[:MAX_MESSAGE] if hint else None


def _uuid4() -> str:
    """A random UUID (RFC 9562, section 5.4); importing :mod:`uuid` costs more than writing one."""
    octets = bytearray(os.urandom(16))
    octets[6], octets[8] = octets[6] & 0x0F | 0x40, octets[8] & 0x3F | 0x80
    digits = octets.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
