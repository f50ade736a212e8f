"""Logins of docker and podman: which credential belongs to a repository.

Knows ``auth.json`` (containers-auth.json(5)), ``config.json`` of docker, and credential helpers (``docker-credential-NAME get``, protocol
of docker-credential-helpers); must not know how a registry is logged in to. What a file or a helper says is secret: no message shows it.
"""

from __future__ import annotations

import os

from eidos.errors import EidosError, InvalidData, Timeout, Unavailable, os_error_reason
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

#: Bytes of a file of logins and of a helper's output that are read, and seconds that a helper may take.
FILE_LIMIT, OUTPUT_LIMIT, HELPER_TIMEOUT_S = 4 << 20, 64 << 10, 30.0

#: The username with which a helper says that its secret is an identity token.
TOKEN_USER = "<token>"

#: What a helper prints when it has no credential (docker-credential-helpers, ``credentials.errCredentialsNotFound``).
_NOT_FOUND = b"credentials not found"

#: Other names of Docker Hub in files of logins.
_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")

#: What helpers answered, and until when it counts (on ``time.monotonic``), by program and host: one may take a second, and a mirror has a
#: hundred repositories; the token that one prints may be valid for an hour.
_helper_answers: dict[tuple[str, str], tuple[float, Credential | None]] = {}

ANSWER_LIFETIME_S = 300.0

_HINT = "log in again with 'docker login' or 'podman login'"


class Credential(Record):
    """A login: ``username`` and ``password``, or an ``identity_token``; ``source`` is the file that has it."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    source: str = ""

    def __repr__(self) -> str:
        return f"Credential({self.source!r})"  # the rest is secret


def find_credential(host: str, repository: str, environ: Mapping[str, str], deadline: float) -> Credential | None:
    """The login for a repository, of the first file that has one; ``deadline`` is a time of ``time.monotonic``.

    Raises InvalidData for a file that is not one of logins, Unavailable for one that cannot be read and for a helper that fails, Timeout.
    """
    for path in auth_files(environ):
        tree = _read_auth_file(path, is_required=path == environ.get("REGISTRY_AUTH_FILE"))
        credential = tree and _credential_of_tree(tree, path, host, repository, environ, deadline)
        if credential:
            return credential
    return None


def auth_files(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Where logins may be, in order: ``REGISTRY_AUTH_FILE`` alone when it is set, else podman's two files and docker's.

    >>> auth_files({"XDG_RUNTIME_DIR": "/run/user/7", "HOME": "/home/a"})
    ('/run/user/7/containers/auth.json', '/home/a/.config/containers/auth.json', '/home/a/.docker/config.json')
    """
    if environ.get("REGISTRY_AUTH_FILE"):
        return (environ["REGISTRY_AUTH_FILE"],)
    home = environ.get("HOME")
    # Without a session, as with sudo, the tools of podman write the second one.
    runtime = f"{environ['XDG_RUNTIME_DIR']}/containers" if environ.get("XDG_RUNTIME_DIR") else f"/run/containers/{os.getuid()}"
    config = environ.get("XDG_CONFIG_HOME") or (home and f"{home}/.config")
    docker = environ.get("DOCKER_CONFIG") or (home and f"{home}/.docker")
    others = (config and f"{config}/containers/auth.json", docker and f"{docker}/config.json")
    return (f"{runtime}/auth.json", *filter(None, others))


def _read_auth_file(path: str, *, is_required: bool) -> dict[str, Any]:
    from eidos.formats import from_text

    try:
        # A pipe would block; a link is followed, because a mounted Secret has them.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
            data = file.read(FILE_LIMIT + 1) or b""
    except (OSError, ValueError) as fault:
        if is_required and isinstance(fault, FileNotFoundError):
            raise Unavailable(f"REGISTRY_AUTH_FILE: {path}: no such file", _HINT) from fault
        # Podman's folders may belong to root. Docker's file is read last, so its error explains a missing login.
        is_closed = isinstance(fault, PermissionError) and not path.endswith("/config.json") and not os.path.lexists(path)
        if not is_required and (is_closed or isinstance(fault, (FileNotFoundError, NotADirectoryError))):
            return {}
        raise Unavailable(f"{path}: {os_error_reason(fault)}", "make it readable, or set REGISTRY_AUTH_FILE") from fault
    try:
        tree = from_text(data, path, FILE_LIMIT)
    except InvalidData:
        tree = path  # not a mapping; a traceback would show what is in it
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InvalidData(f"{path}: not a JSON file of registry logins", _HINT)
    return tree


def _credential_of_tree(
    tree: dict[str, Any], path: str, host: str, repository: str, environ: Mapping[str, str], deadline: float
) -> Credential | None:
    helpers = tree.get("credHelpers") or {}
    auths = tree.get("auths") or {}
    store = tree.get("credsStore") or ""
    if not isinstance(helpers, dict) or not isinstance(auths, dict) or not isinstance(store, str):
        raise InvalidData(f"{path}: auths, credHelpers or credsStore has another form than docker and podman write", _HINT)
    hosts = _DOCKER_HUB if host in _DOCKER_HUB else (host,)
    helper = next((helpers[name] for name in hosts if name in helpers), None)
    if helper is not None:
        return _ask_helper(helper, host, path, environ, deadline)
    for key in _keys(hosts, repository):
        entry = auths.get(key)
        if isinstance(entry, dict):
            credential = _credential_of_entry(entry, path, key)
            if credential:
                return credential
    return _ask_helper(store, host, path, environ, deadline) if store else None


def _keys(hosts: tuple[str, ...], repository: str) -> Iterator[str]:
    """The keys of ``auths`` that are meant, the longest prefix of the repository first, then those of docker, which are URLs.

    >>> list(_keys(("example.com",), "a/b"))[:3]
    ['example.com/a/b', 'example.com/a', 'example.com']
    """
    for host in hosts:
        name = f"{host}/{repository}"
        while name:
            yield name
            name = name.rpartition("/")[0]
    for host in hosts:
        yield from (f"{scheme}://{host}{path}" for scheme in ("https", "http") for path in ("", "/", "/v1/", "/v2/", "/v1", "/v2"))


def _credential_of_entry(entry: dict[str, Any], path: str, key: str) -> Credential | None:
    from base64 import b64decode

    encoded, token = entry.get("auth") or "", entry.get("identitytoken") or ""
    username, password = entry.get("username") or "", entry.get("password") or ""
    if not all(isinstance(value, str) for value in (encoded, token, username, password)):
        raise InvalidData(f"{path}: the login of {key} is not text", _HINT)
    if encoded:
        try:
            username, colon, password = b64decode(encoded, validate=True).decode().rstrip("\0").partition(":")
        except ValueError:
            colon = ""
        if not colon:
            raise InvalidData(f"{path}: the login of {key} is not valid", _HINT) from None
    credential = Credential(username, password, token, path)
    return credential if token or username else None


def _ask_helper(helper: object, host: str, path: str, environ: Mapping[str, str], deadline: float) -> Credential | None:
    """The credential that a helper has for a host."""
    import time

    from eidos.formats import from_text
    from eidos.process.run import NOT_STARTED, TIMED_OUT, TOO_MUCH_OUTPUT, Command, find_program, run_program

    if not isinstance(helper, str) or not helper or not all(char.isascii() and (char.isalnum() or char in "._-") for char in helper):
        raise InvalidData(f"{path}: the name of a credential helper is not valid", "it may have letters, digits, '.', '_' and '-'")
    name = f"docker-credential-{helper}"
    program = find_program(name, environ)
    if program is None:
        raise Unavailable(f"{path}: {name} is not in PATH", f"install it, or {_HINT}")
    deadline = min(deadline, time.monotonic() + HELPER_TIMEOUT_S)
    server = "https://index.docker.io/v1/" if host in _DOCKER_HUB else host
    answered = _helper_answers.get((program, server))
    if answered and time.monotonic() < answered[0]:
        return answered[1]
    result = run_program(Command((name, "get"), server.encode(), program, environ), deadline, OUTPUT_LIMIT)
    if result.outcome == TIMED_OUT:
        raise Timeout(f"{path}: {name} timed out", "run it by hand to see what it waits for, or raise --timeout")
    if result.outcome == NOT_STARTED:
        raise Unavailable(f"{path}: {name} cannot be run: {result.start_failure}", "run it by hand to see why")
    if result.status and _NOT_FOUND in result.output.lower() + result.errors.lower():
        _helper_answers[program, server] = (time.monotonic() + ANSWER_LIFETIME_S, None)
        return None
    if result.outcome == TOO_MUCH_OUTPUT or result.status:
        reason = "printed too much" if result.outcome == TOO_MUCH_OUTPUT else f"failed with status {result.shell_status}"
        raise Unavailable(f"{path}: {name} {reason}", f"run 'echo {host} | {name} get' by hand to see why")
    try:
        tree = from_text(result.output, name, OUTPUT_LIMIT)
        username, secret = tree["Username"], tree["Secret"]
    except (EidosError, KeyError, TypeError):
        username = secret = None  # a traceback would show the output
    if not isinstance(username, str) or not isinstance(secret, str):
        raise InvalidData(f"{path}: {name} printed no credential", f"run 'echo {host} | {name} get' by hand to see why")
    credential = Credential("", "", secret, path) if username == TOKEN_USER else Credential(username, secret, "", path)
    _helper_answers[program, server] = (time.monotonic() + ANSWER_LIFETIME_S, credential)
    return credential
