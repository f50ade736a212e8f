"""Recipes from a server: ``GET`` or ``POST /v1/recipe`` of another ``eidos serve``.

Knows the interface of the server and what each of its answers means for whoever asked; must not know flags. A server that is in trouble is
asked again after a while, more slowly when it says that there are too many of us, and after five failures in a row not at all for a time
(see ``eidos.http_wire.retry``). Every request is pure, so asking again does no harm.

What is remembered of a server, its failures and the pace that it asked for, lives as long as one :class:`Remote`: nothing of it is
written down. ``eidos recipe --server`` asks for one recipe with four attempts at most, so it ends before its circuit could open, and it is
whoever asks for several with one :class:`Remote` that the circuit holds back.
"""

from __future__ import annotations

import os
import random
import time

from eidos import __version__, log
from eidos.errors import InvalidData, InvalidInput, NotFound, RateLimited, Timeout, Unavailable
from eidos.http_wire import client
from eidos.http_wire.retry import Circuit, Failed, Pace, call, retry_after

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

#: Bytes of an answer that are read; a recipe has a few dozen thousand.
LIMIT = 8 << 20

#: What the server may say of a failure, in characters.
WORDS = 500

#: Failures of a server: whoever has --fallback goes on without it. Not among them is what the server says that the caller did wrong.
TROUBLE = (Unavailable, Timeout, RateLimited)


class Remote:
    """A server that is asked for recipes; ``clock``, ``sleep`` and ``chance`` are those of ``http_wire.retry``, ``wall`` is since 1970."""

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
        wall: Callable[[], float] = time.time,
    ) -> None:
        at = client.parse_url(url)
        if "?" in at.target or "#" in url:
            raise InvalidInput(f"{url!r}: the address of a server has no query", f"write it like {at.origin}")
        self.origin = at.origin
        self._url = at.origin + at.target.rstrip("/") + "/v1/recipe"
        self._clock, self._sleep, self._chance, self._wall = clock, sleep, chance, wall
        self._circuit = Circuit(at.origin, clock)
        self._pace = Pace(clock)

    def recipe(
        self,
        said: Mapping[str, str],
        *,
        snapshot: bytes | None = None,
        context: bool = False,
        deadline: float,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The recipe's tree, for a query or for a ``snapshot`` (then ``said`` may hold an intent and nothing else).

        ``deadline`` is on the clock. Raises one of :data:`TROUBLE` when the server does not answer with a recipe, and InvalidInput or
        NotFound for what it says that the caller did wrong.
        """
        from urllib.parse import urlencode

        asked = {**said, **({"context": "true"} if context else {})}
        url = self._url + (f"?{urlencode(asked)}" if asked else "")
        sent = {"Accept": "application/json", "User-Agent": f"eidos/{__version__}", "X-Request-Id": _uuid(), **(headers or {})}
        if snapshot is not None:
            sent["Content-Type"] = "application/json" if snapshot.lstrip()[:1] == b"{" else "application/yaml"
        log.debug(f"asking {self.origin}", request_id=sent["X-Request-Id"])
        return call(
            lambda: self._attempt(url, sent, snapshot, deadline),
            clock=self._clock,
            sleep=self._sleep,
            random=self._chance,
            deadline=deadline,
            circuit=self._circuit,
            pace=self._pace,
            say=log.warn,
        )

    def _attempt(self, url: str, headers: Mapping[str, str], body: bytes | None, deadline: float) -> dict[str, Any]:
        # The sockets have a clock of their own.
        until = time.monotonic() + (deadline - self._clock())
        try:
            answer = client.request("GET" if body is None else "POST", url, deadline=until, headers=headers, body=body, limit=LIMIT)
        except client.Unanswered as fault:
            raise Failed(fault, again=fault.passing) from fault
        except Timeout as fault:
            raise Failed(fault) from fault
        if answer.status == 200:
            return self._read(answer)
        raise self._refused(answer)

    def _read(self, answer: client.Answer) -> dict[str, Any]:
        """The tree of a recipe; what is none is no answer."""
        from eidos import formats
        from eidos.model.recipe import Recipe

        hint = "is this the address of an eidos server?"
        try:
            tree = formats.from_text(answer.body, self.origin)
            Recipe.from_tree(tree, self.origin)
        except InvalidData as fault:
            raise Failed(client.Unanswered(f"what it answers is no recipe: {fault.message}", hint, passing=False), again=False) from fault
        assert isinstance(tree, dict)
        return tree

    def _refused(self, answer: client.Answer) -> Exception:
        """What to raise for an answer that is no recipe."""
        status, (said, hint) = answer.status, _words(answer.body)
        message = f"{self.origin} answers {status}" + (f": {said}" if said else "")
        after = retry_after(answer.headers.get("retry-after"), self._wall())
        if status == 429:
            asks = f" It asks to wait {after:g} s." if after is not None else ""
            return Failed(RateLimited(message, f"there are too many requests.{asks}"), after, limited=True)
        if status >= 500 or status == 408:  # 408: the request did not come whole in time, which is nobody's mistake
            return Failed(Unavailable(message, hint or "see whether the service is well"), after, again=status in (408, 500, 502, 503, 504))
        if status < 300:
            return Failed(
                client.Unanswered(f"{message}, which is no recipe", "is this the address of an eidos server?", passing=False), again=False
            )
        if status in (404, 405):
            return NotFound(message, "is this the address of an eidos server?")
        if status in (401, 403, 407):
            return Unavailable(message, "something before the server wants to know who asks, and eidos does not tell")
        if 300 <= status < 400:
            to = log.printable(answer.headers.get("location", ""))[:WORDS]
            return Unavailable(f"{message}, a redirect" + (f" to {to}" if to else ""), "give that address with --server")
        return InvalidInput(message, hint)


def _words(body: bytes) -> tuple[str, str | None]:
    """What a failure's envelope says, and its hint; nothing of a body that is none."""
    import json

    try:
        tree = json.loads(body)
        message = tree.get("message") or tree.get("detail") or ""
        hint = (tree.get("details") or {}).get("hint")
    except (ValueError, AttributeError, RecursionError):
        return "", None
    return str(message)[:WORDS], str(hint)[:WORDS] if hint else None


def _uuid() -> str:
    """A random UUID (RFC 9562, section 5.4); the module for it costs more than it does."""
    octets = bytearray(os.urandom(16))
    octets[6], octets[8] = octets[6] & 0x0F | 0x40, octets[8] & 0x3F | 0x80
    digits = octets.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
