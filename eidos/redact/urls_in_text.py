"""Redacts URLs in a text: their userinfo, what their query and fragment say, and the paths of webhooks.

Knows the parts of a URL (RFC 3986, 3) and how a sentence goes on after one; must not know where the text comes from, nor what else in
it may be a secret.
"""

from __future__ import annotations

from eidos.model.measurement import WITHHELD
from eidos.redact.harmless_forms import WEBHOOK_PREFIXES, is_harmless
from eidos.redact.random_words import is_wordy

#: What ends a URL, and what may follow it in a sentence.
_ENDS, _CLOSING = " \t\r\n\"'`", ".,:;)}]"


def redact_url(text: str) -> tuple[str, int]:
    """A URL without its userinfo and query, where the rest is a harmless address; else withheld.

    >>> redact_url("https://bob:pw@example.com/x?a=1"), redact_url("https://bob:pw@example.com/x7kQ2mZ9wL4cR1")
    (('https://<withheld>@example.com/x?<withheld>', 2), ('<withheld>', 1))
    """
    clean, count = redact_urls(text)
    bare = clean.replace(f"{WITHHELD}@", "").replace(f"?{WITHHELD}", "")
    return (clean, count) if "://" in bare and is_harmless(bare) else (WITHHELD, 1)


def redact_urls(text: str) -> tuple[str, int]:
    """Redact userinfo and query of ``scheme://userinfo@host/path?query#fragment`` (RFC 3986, 3), and paths of webhooks."""
    begin, *rest = text.split("://")
    out, count = [begin], 0
    for part in rest:
        end = next((i for i, c in enumerate(part) if c in _ENDS), len(part))
        stop = next((i for i, c in enumerate(part[:end]) if c in "/?#"), end)
        port = part[:stop].rpartition(":")[2] if ":" in part[:stop] else "0"
        # A port has no letters: what looks like one is a password with an unescaped slash or the like.
        at = part.rfind("@", 0, stop if port.isdigit() or "@" in part[:stop] or port.endswith("]") else end)
        if at > 0 and part[:at] != WITHHELD:
            part, end, count = f"{WITHHELD}{part[at:]}", end - at + len(WITHHELD), count + 1
        hook = next((start for start in WEBHOOK_PREFIXES if part.startswith(start)), "")
        if hook and part[len(hook) : end] != WITHHELD:
            part, end, count = f"{hook}{WITHHELD}{part[end:]}", len(hook) + len(WITHHELD), count + 1
        query = next((i + 1 for i, c in enumerate(part[:end]) if c in "?#"), end)
        is_anchor = part[query - 1 : query] == "#" and "=" not in part[query:end] and is_wordy(part[query:end])
        secret = part[query:end].rstrip(_CLOSING)  # a sentence goes on: "https://example.com/?id=1: connection refused"
        if secret.lstrip(_CLOSING) not in ("", WITHHELD) and not is_anchor:
            part, count = f"{part[:query]}{WITHHELD}{part[query + len(secret) :]}", count + 1
        out.append(part)
    return "://".join(out), count
