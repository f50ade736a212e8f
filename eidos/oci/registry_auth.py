"""Authentication at a registry: its challenges, and the ``Authorization`` header that answers one.

Knows ``WWW-Authenticate`` (RFC 9110, section 11.6.1; registries write one or several challenges, in one header or in several that were
joined by commas), basic authentication and the token protocol of registries (distribution: "Token Authentication Specification", and its
OAuth2 form for identity tokens); must not know requests. Tokens are held in memory, and nothing secret is logged. Credentials are sent
unencrypted only where the user has asked for plain HTTP.
"""

from __future__ import annotations

import re
from base64 import b64encode

from eidos.errors import EidosError, Unavailable
from eidos.http_wire.url import parse_url
from eidos.model.measurement import WITHHELD
from eidos.model.record import Record
from eidos.oci.auth_file import Credential, find_credential

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eidos.oci.reference import Reference

    #: Sends method, URL, headers and body to a token server; status and body of its response.
    SendPlain = Callable[[str, str, dict[str, str], bytes | None], tuple[int, bytes]]

#: Characters of a token, at most: it is a header of each request.
TOKEN_LIMIT = 16 << 10

CLIENT_ID = "eidos"

LOGIN_HINT = "log in with 'docker login' or 'podman login', or set REGISTRY_AUTH_FILE to a file with the login"

#: What a registry needs that takes its own address for one of http.
EXTERNAL_ADDRESS_HINT = "configure the registry's external address, or X-Forwarded-Proto of the proxy before it"

#: Characters of a header that are read, and challenges in it.
HEADER_LIMIT, CHALLENGES_LIMIT = 8192, 16

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")
_PARAMETER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*(?:\"((?:[^\"\\]|\\.)*)\"|([!#$%&'*+.^_`|~0-9A-Za-z:/-]+))")
_SEPARATORS = re.compile(r"[ \t,]*")


class AuthError(Unavailable):
    """The registry or its token server rejects us."""


class RegistryAuth:
    """Authenticates requests for one repository. ``header`` is what they send now, or None."""

    def __init__(self, reference: Reference, environ: Mapping[str, str], deadline: float, send: SendPlain, *, allows_http: bool) -> None:
        self.header: str | None = None
        self._reference = reference
        self._environ = environ
        self._deadline = deadline
        self._send = send
        self._allows_http = allows_http
        self._credential: Credential | None = None
        self._is_searched = False

    def renew(self, challenge_header: str, rejected: str | None) -> bool:
        """Get the header that a 401 asks for; whether there is another than the ``rejected`` one.

        Raises AuthError when the token server rejects us, and what :func:`~eidos.oci.auth_file.find_credential` raises.
        """
        self._is_searched = self._is_searched and rejected is None  # the login may have expired, too
        challenges = {challenge.scheme: challenge for challenge in reversed(parse_challenges(challenge_header))}
        if "bearer" in challenges:
            self.header = f"Bearer {self._fetch_token(challenges['bearer'])}"
        elif "basic" in challenges and self.credential is not None and self.credential.username:
            self.header = basic_header(self.credential)
        else:
            return False
        return self.header != rejected

    @property
    def credential(self) -> Credential | None:
        """The login for the repository, looked up once, and again when it was rejected."""
        if not self._is_searched:
            self._credential = find_credential(self._reference.host, self._reference.repository, self._environ, self._deadline)
            self._is_searched = True
        return self._credential

    def withhold(self, text: str) -> str:
        """``text`` without what authenticates us, which a registry may repeat in what it says."""
        login = self._credential
        words = [self.header or "", *([login.password, login.identity_token, basic_header(login)] if login else [])]
        for word in sorted({part for header in words for part in (header, header.partition(" ")[2])}, key=len, reverse=True):
            text = text.replace(word, WITHHELD) if len(word) > 3 else text
        return text

    def _fetch_token(self, challenge: Challenge) -> str:
        from urllib.parse import urlencode

        realm, host = challenge.parameters.get("realm", ""), self._reference.host
        try:
            url = parse_url(realm)
        except EidosError as fault:
            raise AuthError(f"{host}: its challenge names no valid token server", "check the address of the registry") from fault
        if url.scheme == "http" and not self._allows_http:
            raise AuthError(f"{host}: its token server {url.origin} is not encrypted", EXTERNAL_ADDRESS_HINT)
        fields = [(name, challenge.parameters[name]) for name in ("service",) if name in challenge.parameters]
        # Docker's client always asks for what it needs, so that some registries do not name it.
        scopes = challenge.parameters.get("scope", "").split() or [f"repository:{self._reference.repository}:pull,push"]
        credential, headers, body, method, target = self.credential, {"Accept": "application/json"}, None, "GET", url.origin + url.target
        if credential is not None and credential.identity_token:
            joined = [("grant_type", "refresh_token"), ("refresh_token", credential.identity_token), ("client_id", CLIENT_ID)]
            # This form has one scope, which is a list; that of GET has one for each, as docker sends them.
            body = urlencode([*joined, *fields, ("scope", " ".join(scopes))]).encode()
            headers["Content-Type"], method = "application/x-www-form-urlencoded", "POST"
        else:
            if credential is not None and credential.username:
                headers["Authorization"] = basic_header(credential)
            fields += [("scope", scope) for scope in scopes]
            target += ("&" if "?" in target else "?") + urlencode(fields)
        status, data = self._send(method, target, headers, body)
        if status in (400, 401, 403):
            who = f"the login in {credential.source}" if credential else "access without a login"
            raise AuthError(f"{host}: the token server {url.origin} rejects {who}: status {status}", LOGIN_HINT)
        if status != 200:
            raise AuthError(f"{host}: the token server {url.origin} failed: status {status}", "check the address of the registry")
        return _parse_token(data, f"{host}: the token server {url.origin}")


def basic_header(credential: Credential) -> str:
    """The header of basic authentication (RFC 7617)."""
    return "Basic " + b64encode(f"{credential.username}:{credential.password}".encode()).decode()


def _parse_token(data: bytes, subject: str) -> str:
    from eidos.formats import from_text

    try:
        tree = from_text(data, subject)
        token = tree.get("token") or tree.get("access_token")
    except (EidosError, AttributeError):
        token = None  # a traceback would show the token
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token or len(token) > TOKEN_LIMIT:
        raise AuthError(f"{subject} sent no valid token", "check the address of the registry")
    return token


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
    separators = _SEPARATORS.match(header, at)
    return separators.end() if separators else at


def _skip_spaces(header: str, at: int) -> int:
    while header[at : at + 1] in (" ", "\t") and at < len(header):
        at += 1
    return at
