"""URLs of http and https: parsed, and as messages show them.

Knows the parts of a URL and which of them may be secret; must not know connections.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.measurement import WITHHELD
from eidos.model.record import Record

#: Characters of a URL, and redirects in a row that are followed.
URL_LIMIT, REDIRECT_LIMIT = 8192, 5


class Url(Record):
    """A parsed absolute URL: ``scheme`` is http or https, ``host`` has no brackets, ``target`` is path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> str:
        """Scheme, host and port; the port is left out when it is the default one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default = {"http": 80, "https": 443}[self.scheme] == self.port
        return f"{self.scheme}://{host}" + ("" if is_default else f":{self.port}")


def parse_url(text: str) -> Url:
    """Parse an http or https URL; InvalidInput for any other, and for one that holds a password.

    >>> parse_url("https://example.com/v1?x=1").origin, parse_url("http://[2001:db8::1]:8080").target
    ('https://example.com', '/')
    """
    from urllib.parse import urlsplit

    hint = "write it like https://eidos.example.com"
    if len(text) > URL_LIMIT or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidInput(f"invalid URL {quote_url(text[:100])}", hint)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as fault:
        raise InvalidInput(f"invalid URL {quote_url(text)}: {fault}", hint) from fault
    if "@" in parts.netloc:
        raise InvalidInput("a URL with a username or password is not accepted, because others can see it", hint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(f"{quote_url(text)} is not an http or https URL", hint)
    if port == 0:
        raise InvalidInput(f"{quote_url(text)}: invalid port 0", hint)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Url(parts.scheme, parts.hostname, port or {"http": 80, "https": 443}[parts.scheme], target)


def quote_url(text: str) -> str:
    """A URL in quotes, for a message, without its userinfo and what its query says.

    >>> quote_url("https://bob:pw@example.com/x?token=1"), quote_url("example.com?token=1")
    ("'https://<withheld>@example.com/x?<withheld>'", "'example.com?<withheld>'")
    >>> quote_url("Winter2hunter/x")
    "'<withheld>'"
    """
    from eidos.redact.harmless_forms import is_speaking
    from eidos.redact.urls_in_text import redact_urls

    shown = redact_urls(text if "://" in text else f"://{text}")[0].removeprefix("" if "://" in text else "://")
    return repr(shown if all(map(is_speaking, shown.replace("@", "/").replace("?", "/").split("/"))) else WITHHELD)
