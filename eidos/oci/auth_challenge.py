"""What a registry asks for when it answers 401: the challenges of ``WWW-Authenticate``.

Knows the grammar of RFC 9110, section 11.6.1; must not know credentials. Registries write one or several challenges, in one header or in
several that were joined by commas.
"""

from __future__ import annotations

import re

from eidos.model.record import Record

#: Characters of a header that are read, and challenges in it.
HEADER_LIMIT, CHALLENGES_LIMIT = 8192, 16

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")
_PARAMETER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*(?:\"((?:[^\"\\]|\\.)*)\"|([!#$%&'*+.^_`|~0-9A-Za-z:/-]+))")
_SEPARATORS = re.compile(r"[ \t,]*")


class Challenge(Record):
    """A ``scheme`` in lower case and its ``parameters``, whose names are in lower case."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of a header; what follows the first error of syntax is left out.

    >>> parse_challenges('Bearer realm="https://auth.example.com/token",service="reg",scope="repository:a/b:pull,push", Basic realm="x"')[1]
    Challenge(scheme='basic', parameters={'realm': 'x'})
    >>> parse_challenges("Negotiate YWJj"), parse_challenges("=")
    ((Challenge(scheme='negotiate', parameters={}),), ())
    """
    header = header[:HEADER_LIMIT]
    challenges: list[Challenge] = []
    at = _skip(header, 0)
    while at < len(header) and len(challenges) < CHALLENGES_LIMIT:
        parameter = _PARAMETER.match(header, at)
        if parameter and challenges:
            name, quoted, plain = parameter[1].lower(), parameter[2], parameter[3]
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            challenges[-1].parameters.setdefault(name, value)
            at = parameter.end()
        else:
            scheme = _TOKEN.match(header, at)
            # A scheme ends the header, or is followed by a space and its parameters, or by the next challenge.
            if not scheme or header[scheme.end() : scheme.end() + 1] not in ("", " ", "\t", ","):
                break
            challenges.append(Challenge(scheme[0].lower(), {}))
            at = scheme.end()
            token = _TOKEN68.match(header, _skip_spaces(header, at)) if header[at : at + 1] in (" ", "\t") else None
            at = token.end() if token else at
        if header[at : at + 1] not in ("", " ", "\t", ","):
            break
        at = _skip(header, at)
    return tuple(challenges)


def _skip(header: str, at: int) -> int:
    found = _SEPARATORS.match(header, at)
    return found.end() if found else at


def _skip_spaces(header: str, at: int) -> int:
    while header[at : at + 1] in (" ", "\t") and at < len(header):
        at += 1
    return at
