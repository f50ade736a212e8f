"""Content negotiation: media types and codings with their weights.

Knows how Accept and Accept-Encoding are parsed (RFC 9110, sections 12.4 and 12.5); must not know what is offered. Any header is
accepted: a part that does not follow the grammar is ignored.

>>> choose("text/html;q=0.5, application/*", ("application/json", "text/html"))
'application/json'
>>> choose("image/png", ("application/json",)) is None, accepts_gzip("br, gzip;q=0.5"), accepts_gzip("gzip;q=0, *")
(True, True, False)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: Parts of one header that are parsed.
_MAX_PARTS = 50


def choose(accept: str, offers: Sequence[str]) -> str | None:
    """The one of ``offers`` (``type/subtype`` in lower case, best first) that the client likes most; None when it takes none of them.

    An empty header takes everything. Of the ranges that fit an offer the most specific one decides. Parameters other than the
    weight are ignored: there is one representation of each type.
    """
    ranges = _weighted(accept)
    if not ranges:
        return offers[0]
    best, best_weight = None, 0.0
    for offer in offers:
        type_ = offer.partition("/")[0]
        weight = ranges.get(offer)
        if weight is None:
            weight = ranges.get(f"{type_}/*", ranges.get("*/*", 0.0))
        if weight > best_weight:
            best, best_weight = offer, weight
    return best


def accepts_gzip(header: str) -> bool:
    """Whether gzip is at least as welcome as the bytes as they are (RFC 9110, section 12.5.3)."""
    if not header:
        return False
    codings = _weighted(header)
    gzip = codings.get("gzip", codings.get("x-gzip", codings.get("*", 0.0)))
    # Plain bytes that are not named are acceptable, and preferred to nothing that is named.
    return gzip > 0 and gzip >= codings.get("identity", 0.0)


def media_ranges(accept: str) -> tuple[str, ...]:
    """The media ranges of a header, in its order."""
    return tuple(_weighted(accept))


def _weighted(header: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in header.lower().split(",", _MAX_PARTS)[:_MAX_PARTS]:
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
        weights[name] = max(weight, weights.get(name, 0.0)) if weight else weights.get(name, 0.0)
    return weights


def _weight(text: str) -> float:
    """A qvalue: 0 to 1 with at most three decimals; an invalid one is ignored."""
    integer, _, decimals = text.partition(".")
    if integer not in ("0", "1") or len(decimals) > 3 or (decimals and not (decimals.isascii() and decimals.isdigit())):
        return 1.0
    return min(float(f"{integer}.{decimals or 0}"), 1.0)
