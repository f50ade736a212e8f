"""A user's credentials, as an Authorization header or a client certificate.

Knows tokens, token files, passwords, certificates and plugins, when each expires, and how a rejected one is renewed; must not know
requests. Secrets are held in memory; a key is not written to disk, even though OpenSSL takes it by path.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock

from eidos.errors import InvalidData, Timeout, Unavailable, os_error_reason
from eidos.kube.config_files import read_config_file, read_pem_file
from eidos.log import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from ssl import SSLContext

    from eidos.kube.cluster import User
    from eidos.kube.exec_plugin import ExecCredential

#: Seconds that a plugin may take when there is no deadline.
PLUGIN_TIMEOUT_S = 60.0

#: Seconds before a credential expires at which it is no longer used.
EXPIRY_MARGIN_S = 10.0


class Credentials:
    """The credentials of a user; threads may share it."""

    def __init__(self, user: User, environ: Mapping[str, str], *, deadline: float | None = None) -> None:
        """``environ`` is a plugin's environment; at ``deadline`` (of ``time.monotonic``; None: after PLUGIN_TIMEOUT_S) it is killed."""
        self.user = user
        self.deadline = deadline
        self._environ = dict(environ)
        self._lock = allocate_lock()
        self._plugin_credential: ExecCredential | None = None
        self._last_header: str | None = None
        self._token = user.token

    def authorization(self) -> str | None:
        """The ``Authorization`` header; None for a user without one. A token file is read each time.

        Raises Unavailable or InvalidData for a file, and what :func:`eidos.kube.exec_plugin.run_exec_plugin` raises.
        """
        user = self.user
        if user.token_file:
            self._token = self._read_token() or self._token
        if self._token:
            header = f"Bearer {self._token}"
        elif user.username or user.password:
            import base64

            header = "Basic " + base64.b64encode(f"{user.username}:{user.password}".encode()).decode()
        elif user.plugin is not None:
            credential = self._ask_plugin()
            header = f"Bearer {credential.token}" if credential.token else ""
        else:
            header = ""
        if not header.isascii() or not header.isprintable():
            raise InvalidData(
                f"{user.source}: its token contains characters that a header cannot hold", "write it on one line, without quotes"
            )
        self._last_header = header or None
        return self._last_header

    def certificate(self) -> tuple[bytes, bytes] | None:
        """Client certificate and key in PEM, or None; files are read each time. Raises as :meth:`authorization` does."""
        user = self.user
        path = user.certificate_file
        if user.certificate or path:
            certificate = user.certificate or read_pem_file(path, f"{user.source}: client-certificate {path}")
            return certificate, user.key or read_pem_file(user.key_file, f"{user.source}: client-key {user.key_file}")
        if user.plugin is not None:
            credential = self._ask_plugin()
            if credential.certificate and credential.key:
                return credential.certificate, credential.key
        return None

    def load_certificate(self, context: SSLContext) -> bool:
        """Load the client certificate into ``context``, if there is one; raises InvalidData when its key does not match."""
        pair = self.certificate()
        if pair is not None:
            _load_cert_chain(context, pair[0] + b"\n" + pair[1], self.user.source)
        return pair is not None

    def invalidate(self, rejected: str | None = None) -> bool:
        """Drop a credential that the server rejected with 401; whether there may be a new one now.

        ``rejected`` is the Authorization header, by default the last one. A plugin runs again after each 401, as with kubectl, so a
        request must be retried once at most.
        """
        rejected = rejected or self._last_header
        if self.user.plugin is not None:
            with self._lock:
                credential = self._plugin_credential
                if credential is not None and (not credential.token or rejected == f"Bearer {credential.token}"):
                    self._plugin_credential = None
            return True
        return bool(self.user.token_file) and self.authorization() != rejected

    def _read_token(self) -> str:
        """The token in the file; "" when it cannot be read but was read before."""
        path = self.user.token_file
        subject = f"{self.user.source}: its token file {path}"
        try:
            data = read_config_file(path, subject)
            token = (data or b"").strip().decode()
            if not token:
                raise Unavailable(f"{subject} {'is empty' if data is not None else 'does not exist'}", "check the program that writes it")
            return token
        except UnicodeDecodeError as fault:
            raise InvalidData(f"{subject} is not text") from fault
        except (Unavailable, Timeout):
            if not self._token:
                raise
            return ""

    def _ask_plugin(self) -> ExecCredential:
        """The plugin's credential; it runs unless an earlier one is still valid."""
        from eidos.kube import exec_plugin

        plugin, deadline = self.user.plugin, self.deadline or time.monotonic() + PLUGIN_TIMEOUT_S
        assert plugin is not None
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise Timeout(f"{self.user.source}: the plugin {printable(plugin.command)} timed out")
        try:
            credential = self._plugin_credential
            if credential is None or (credential.expires is not None and credential.expires - EXPIRY_MARGIN_S < time.time()):
                credential = self._plugin_credential = exec_plugin.run_exec_plugin(plugin, self._environ, self.user.source, deadline)
            return credential
        finally:
            self._lock.release()


def _load_cert_chain(context: SSLContext, pem: bytes, source: str) -> None:
    import ssl

    def reject_passphrase() -> str:
        raise InvalidData(f"{source}: its client-key is encrypted", "remove its passphrase: openssl pkey -in KEY -out NEW_KEY")

    memory, folder = -1, ""
    try:
        path = ""
        if hasattr(os, "memfd_create"):
            memory = os.memfd_create("key", os.MFD_CLOEXEC)
            path = f"/proc/self/fd/{memory}"
            os.write(memory, pem)
        if not os.path.exists(path):  # no memfd_create, or no /proc
            import tempfile

            folder = tempfile.mkdtemp(prefix="eidos-")
            path = os.path.join(folder, "key")
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.write(pem)
        context.load_cert_chain(path, password=reject_passphrase)
    except ssl.SSLError as fault:
        raise InvalidData(f"{source}: its client-certificate and client-key do not match: {fault.reason or fault}") from fault
    except OSError as fault:
        raise Unavailable(f"{source}: cannot keep its key in memory: {os_error_reason(fault)}") from fault
    finally:
        if memory >= 0:
            os.close(memory)
        if folder:
            import shutil

            shutil.rmtree(folder, ignore_errors=True)
