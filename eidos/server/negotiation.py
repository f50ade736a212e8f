"""Which representation a client wants: media types and codings with their weights.

Knows how Accept and Accept-Encoding are read (RFC 9110, sections 12.4 and 12.5); must not know what is offered, nor who asks. Whatever the
header holds, there is an answer: a part that does not follow the grammar is passed over.

>>> choose("text/html;q=0.5, application/*", ("application/json", "text/html"))
'application/json'
>>> choose("image/png", ("application/json",)) is None, accepts_gzip("br, gzip;q=0.5"), accepts_gzip("gzip;q=0, *")
(True, True, False)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: Parts of one header that are read.
_MOST = 50


def choose(accept: str, offers: Sequence[str]) -> str | None:
    """The one of ``offers`` (``type/subtype`` in lower case, best first) that the client likes most; None when it takes none of them.

    An empty header takes everything. Of the ranges that fit an offer the most specific one says how much it is liked. Parameters other
    than the weight are not told apart: we have one representation of each type.
    """
    ranges = _weighted(accept)
    if not ranges:
        return offers[0]
    best, most = None, 0.0
    for offer in offers:
        kind = offer.partition("/")[0]
        weight = ranges.get(offer)
        if weight is None:
            weight = ranges.get(f"{kind}/*", ranges.get("*/*", 0.0))
        if weight > most:
            best, most = offer, weight
    return best


def accepts_gzip(header: str) -> bool:
    """Whether gzip is at least as welcome as the bytes as they are (RFC 9110, section 12.5.3)."""
    if not header:
        return False
    codings = _weighted(header)
    gzip = codings.get("gzip", codings.get("x-gzip", codings.get("*", 0.0)))
    # What is not named is taken as it is, unless that is refused; it is liked no more than what is named.
    return gzip > 0 and gzip >= codings.get("identity", 0.0)


def names(accept: str) -> tuple[str, ...]:
    """The media ranges of a header, in its order."""
    return tuple(_weighted(accept))


def _weighted(header: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in header.lower().split(",", _MOST)[:_MOST]:
        name, *parameters = part.split(";")
        name = name.strip()
        if not name:
            continue
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                weight = _weight(value.strip())
                break
        found[name] = max(weight, found.get(name, 0.0)) if weight else found.get(name, 0.0)
    return found


def _weight(text: str) -> float:
    """A qvalue: 0 to 1 with at most three decimals; what is none counts as if it were not there."""
    whole, _, decimals = text.partition(".")
    if whole not in ("0", "1") or len(decimals) > 3 or (decimals and not (decimals.isascii() and decimals.isdigit())):
        return 1.0
    return min(float(f"{whole}.{decimals or 0}"), 1.0)
