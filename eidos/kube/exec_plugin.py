"""Credential plugins: a program that prints a token or a certificate.

Knows ``client.authentication.k8s.io`` v1 and v1beta1 (Kubernetes documentation, "client-go credential plugins"); must not know what the
credentials are used for.

A plugin gets no terminal and an empty standard input. What it prints is read up to a bound and never shown, because it is secret; the end
of its standard error is shown when it fails.
"""

from __future__ import annotations

import os

from eidos.errors import InvalidData, Timeout, Unavailable
from eidos.log import printable
from eidos.model.record import Record
from eidos.process.run import NOT_STARTED, TIMED_OUT, TOO_MUCH_OUTPUT, Command, run_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from eidos.kube.cluster_config import Exec

#: Bytes of standard output that are read, and characters of standard error that are shown.
LIMIT, SHOWN = 1 << 20, 300


class Credential(Record):
    """What a plugin gave: a ``token`` or a ``certificate`` with its ``key`` (PEM), and when it expires, in seconds since 1970."""

    token: str = ""
    certificate: bytes | None = None
    key: bytes | None = None
    expires: float | None = None

    def __repr__(self) -> str:
        return f"Credential(expires={self.expires})"  # the rest is secret


def run(plugin: Exec, environ: Mapping[str, str], source: str, deadline: float) -> Credential:
    """Run a plugin and give what it answers; ``source`` is the entry of the kubeconfig, for messages, ``deadline`` on ``time.monotonic``.

    Raises Timeout when it takes too long, Unavailable when it is missing or fails, InvalidData for what it prints.
    """
    program = _find(plugin, environ, source)
    what = f"{source}: the plugin {plugin.command}"
    environ = {**environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": _info(plugin)}
    result = run_program(Command((plugin.command, *plugin.args), executable=program, environ=environ), deadline, LIMIT)
    if result.outcome == NOT_STARTED:
        raise Unavailable(f"{what} cannot be run: {result.start_failure.lower()}", "run it by hand to see") from result.start_error
    if result.outcome == TIMED_OUT:
        hint = "it may want you to log in first: run it by hand; or give it more time with --timeout"
        raise Timeout(f"{what} did not end in time, and was stopped", hint)
    if result.outcome == TOO_MUCH_OUTPUT:
        raise InvalidData(f"{what} printed more than {LIMIT >> 20} MiB", "is it a credential plugin?")
    if result.status:
        how = f"was ended by signal {-result.status}" if result.status < 0 else f"failed with status {result.status}"
        said = printable(" ".join(result.errors.decode(errors="replace").split()))[-SHOWN:]
        raise Unavailable(f"{what} {how}{f': {said}' if said else ''}", "it may want you to log in first: run it by hand, or kubectl")
    try:
        return _read(result.output, plugin.version)
    except _Garbage as fault:
        raise InvalidData(f"{what} printed no credential: {fault}", f"it must print an ExecCredential of {plugin.version}") from fault


class _Garbage(Exception):
    """What a plugin printed is no credential; the text says why, and holds nothing of it."""


def _find(plugin: Exec, environ: Mapping[str, str], source: str) -> str:
    import shutil

    program = shutil.which(plugin.command, path=os.pathsep.join(_folders(environ)))
    if program:
        return program
    where = "it is no program" if os.sep in plugin.command else "no folder of PATH has it"
    said = printable(" ".join(plugin.hint.split()))[:SHOWN]
    # Not NotFound: whoever asks for an object would take it for the server's word that there is none.
    raise Unavailable(f"{source}: the plugin {plugin.command} cannot be run: {where}", said or "install it, or name another user")


def _folders(environ: Mapping[str, str]) -> list[str]:
    """PATH without what depends on the current folder."""
    return [folder for folder in environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(folder)]


def _info(plugin: Exec) -> str:
    import json

    spec: dict[str, Any] = {"interactive": False}
    if plugin.cluster is not None:
        spec["cluster"] = plugin.cluster
    return json.dumps({"kind": "ExecCredential", "apiVersion": plugin.version, "spec": spec})


def _read(out: bytes, version: str) -> Credential:
    from eidos import formats

    try:
        tree = formats.from_text(out, "what it prints", LIMIT)
    except InvalidData:
        raise _Garbage("it is no document") from None  # a traceback would show what it printed
    if not isinstance(tree, dict):
        raise _Garbage("it is no document")
    if tree.get("kind") != "ExecCredential":
        raise _Garbage("it is no ExecCredential")
    if tree.get("apiVersion") != version:
        raise _Garbage(f"the kubeconfig asks for {version}, and it is of another version")
    status = tree.get("status")
    if not isinstance(status, dict):
        raise _Garbage("it has no status")
    token, certificate, key, expires = (
        status.get(name) or "" for name in ("token", "clientCertificateData", "clientKeyData", "expirationTimestamp")
    )
    if not all(isinstance(value, str) for value in (token, certificate, key, expires)):
        raise _Garbage("a field of its status is no text")
    if bool(certificate) != bool(key):
        raise _Garbage("a certificate and its key go together, and one of them is missing")
    if not token and not certificate:
        raise _Garbage("it has neither a token nor a certificate")
    if not token.isascii() or not token.isprintable():
        raise _Garbage("its token is no text that a header can hold")
    return Credential(token, certificate.encode() or None, key.encode() or None, _seconds(expires) if expires else None)


def _seconds(text: str) -> float:
    """A time of RFC 3339 in seconds since 1970.

    >>> _seconds("1970-01-02T00:00:00Z"), _seconds("1970-01-01T02:00:00.5+01:00")
    (86400.0, 3600.0)
    """
    import re
    from datetime import datetime

    parts = re.fullmatch(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.\d+)?(?:[Zz]|([+-]\d\d:\d\d))", text, re.ASCII)
    try:
        if parts is None:
            raise ValueError(text)
        return datetime.fromisoformat(f"{parts[1]}T{parts[2]}{parts[3] or '+00:00'}").timestamp()
    except (ValueError, OverflowError) as fault:
        raise _Garbage("its expirationTimestamp is no time of RFC 3339") from fault
