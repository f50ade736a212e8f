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
from eidos.process.run import NOT_STARTED, TIMED_OUT, TOO_MUCH_OUTPUT, Command, find_program, run_program
from eidos.timestamp import parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from eidos.kube.cluster import ExecPlugin

#: Bytes of standard output that are read, and characters of standard error that are shown.
OUTPUT_LIMIT, SHOWN_LIMIT = 1 << 20, 300


class ExecCredential(Record):
    """The output of a plugin: a ``token`` or a ``certificate`` with its ``key`` (PEM), and when it expires, in seconds since 1970."""

    token: str = ""
    certificate: bytes | None = None
    key: bytes | None = None
    expires: float | None = None

    def __repr__(self) -> str:
        return f"ExecCredential(expires={self.expires})"  # the rest is secret


def run_exec_plugin(plugin: ExecPlugin, environ: Mapping[str, str], source: str, deadline: float) -> ExecCredential:
    """Run a plugin; its credential. ``source`` tells, for messages, where it is configured; ``deadline`` is of ``time.monotonic``.

    Raises Timeout when it takes too long, Unavailable when it is missing or fails, InvalidData for invalid output.
    """
    program = _find(plugin, environ, source)
    subject = f"{source}: the plugin {plugin.command}"
    environ = {**environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": _info(plugin)}
    result = run_program(Command((plugin.command, *plugin.args), executable=program, environ=environ), deadline, OUTPUT_LIMIT)
    if result.outcome == NOT_STARTED:
        raise Unavailable(f"{subject} cannot be run: {result.start_failure}", "run it by hand to see why") from result.start_error
    if result.outcome == TIMED_OUT:
        hint = "log in first by running it by hand, or raise --timeout"
        raise Timeout(f"{subject} timed out", hint)
    if result.outcome == TOO_MUCH_OUTPUT:
        raise InvalidData(f"{subject} printed more than {OUTPUT_LIMIT >> 20} MiB", "check that it is a credential plugin")
    if result.status:
        how = f"was killed by signal {-result.status}" if result.status < 0 else f"exited with status {result.status}"
        stderr = printable(" ".join(result.error_text(os.path.basename(plugin.command)).split()))
        if len(stderr) > SHOWN_LIMIT:  # the end has the reason
            stderr = "…" + stderr[-SHOWN_LIMIT:].partition(" ")[2]
        raise Unavailable(f"{subject} {how}{f': {stderr}' if stderr else ''}", "log in first by running it, or kubectl, by hand")
    try:
        return _read(result.output, plugin.api_version)
    except _InvalidOutput as fault:
        raise InvalidData(
            f"{subject} printed no credential: {fault}", f"it must print an ExecCredential of {plugin.api_version}"
        ) from fault


class _InvalidOutput(Exception):
    """The output of a plugin is no credential; the message has the reason, and nothing of the output."""


def _find(plugin: ExecPlugin, environ: Mapping[str, str], source: str) -> str:
    program = find_program(plugin.command, environ)
    if program:
        return program
    where = "not an executable file" if os.sep in plugin.command else "not found in PATH"
    hint = printable(" ".join(plugin.install_hint.split()))[:SHOWN_LIMIT]
    # Not NotFound, which the caller would take for a 404 of the server.
    raise Unavailable(f"{source}: the plugin {plugin.command} cannot be run: {where}", hint or "install it, or choose another user")


def _info(plugin: ExecPlugin) -> str:
    import json

    spec: dict[str, Any] = {"interactive": False}
    if plugin.cluster_info is not None:
        spec["cluster"] = plugin.cluster_info
    return json.dumps({"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": spec})


def _read(out: bytes, version: str) -> ExecCredential:
    from eidos import formats

    try:
        tree = formats.from_text(out, "its output", OUTPUT_LIMIT)
    except InvalidData:
        raise _InvalidOutput("it is not a document") from None  # a traceback would show the output
    if not isinstance(tree, dict):
        raise _InvalidOutput("it is not a document")
    if tree.get("kind") not in (None, "", "ExecCredential"):  # client-go takes a missing kind for the one that it expects
        raise _InvalidOutput("not an ExecCredential")
    if tree.get("apiVersion") != version:
        raise _InvalidOutput(f"its version is not {version}, which the kubeconfig requires")
    status = tree.get("status")
    if not isinstance(status, dict):
        raise _InvalidOutput("no status")
    token, certificate, key, expires = (
        status.get(name) or "" for name in ("token", "clientCertificateData", "clientKeyData", "expirationTimestamp")
    )
    if not all(isinstance(value, str) for value in (token, certificate, key, expires)):
        raise _InvalidOutput("a field of its status is not a string")
    if bool(certificate) != bool(key):
        raise _InvalidOutput("a certificate and its key are both required")
    if not token and not certificate:
        raise _InvalidOutput("neither a token nor a certificate")
    if not token.isascii() or not token.isprintable():
        raise _InvalidOutput("its token contains characters that a header cannot hold")
    # Small letters and a blank are the same to RFC 3339 (section 5.6).
    expires_s = parse_timestamp(expires.replace(" ", "T", 1).upper()) if expires else None
    if expires and expires_s is None:
        raise _InvalidOutput("invalid expirationTimestamp; expected an RFC 3339 time")
    return ExecCredential(token, certificate.encode() or None, key.encode() or None, expires_s)
