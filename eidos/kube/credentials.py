"""Who asks, as a request shows it: a header, a certificate.

Knows tokens, token files, passwords, certificates and plugins, how long each holds and what to do when it is refused; must not know
requests. What is secret is held in memory; a key touches no disk, even where OpenSSL wants a path to it.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock

from eidos.errors import InvalidData, Timeout, Unavailable
from eidos.kube.cluster_config import read_file
from eidos.log import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from ssl import SSLContext

    from eidos.kube.cluster_config import User
    from eidos.kube.exec_plugin import Credential

#: Seconds that a plugin may take when nobody gives a deadline.
PATIENCE = 60.0

#: Seconds before a credential expires at which it is no longer used.
MARGIN = 10.0


class Credentials:
    """What a user has to show to a cluster; several threads may ask."""

    def __init__(self, user: User, environ: Mapping[str, str], *, deadline: float | None = None) -> None:
        """``environ`` is what a plugin gets; ``deadline``, on ``time.monotonic``, is when it is killed (None: :data:`PATIENCE` later)."""
        self.user = user
        self.deadline = deadline
        self._environ = dict(environ)
        self._lock = allocate_lock()
        self._given: Credential | None = None
        self._shown: str | None = None
        self._token = user.token

    def authorization(self) -> str | None:
        """The value of the header ``Authorization``; None for a user who has none. A token file is read each time.

        Raises Unavailable or InvalidData for a file, and what :func:`eidos.kube.exec_plugin.run` raises.
        """
        user = self.user
        if user.token_file:
            self._token = self._read_token() or self._token
        if self._token:
            shown = f"Bearer {self._token}"
        elif user.username or user.password:
            import base64

            shown = "Basic " + base64.b64encode(f"{user.username}:{user.password}".encode()).decode()
        elif user.plugin is not None:
            given = self._ask()
            shown = f"Bearer {given.token}" if given.token else ""
        else:
            shown = ""
        if not shown.isascii() or not shown.isprintable():
            raise InvalidData(f"{user.source}: its token holds what no header can", "is it in one line, without quotes?")
        self._shown = shown or None
        return self._shown

    def certificate(self) -> tuple[bytes, bytes] | None:
        """Certificate and key in PEM, or None; files are read each time. Raises as :meth:`authorization` does."""
        user = self.user
        if user.certificate or user.certificate_file:
            from eidos.kube.kubeconfig import pem_file

            certificate = user.certificate or pem_file(user.certificate_file, f"{user.source}: client-certificate {user.certificate_file}")
            return certificate, user.key or pem_file(user.key_file, f"{user.source}: client-key {user.key_file}")
        if user.plugin is not None:
            given = self._ask()
            if given.certificate and given.key:
                return given.certificate, given.key
        return None

    def present(self, context: SSLContext) -> bool:
        """Give the certificate, if there is one, to ``context``; raises InvalidData when it and its key are no pair."""
        pair = self.certificate()
        if pair is not None:
            _load(context, pair[0] + b"\n" + pair[1], self.user.source)
        return pair is not None

    def refuse(self, shown: str | None = None) -> bool:
        """The server answered 401: drop what a plugin gave, and say whether there is something else to show now.

        ``shown`` is the header that was refused; without it, it is the last one that was given. A plugin is asked again for each
        401, as kubectl does, so whoever is refused tries once more and no oftener.
        """
        shown = shown or self._shown
        if self.user.plugin is not None:
            with self._lock:
                if self._given is not None and (not self._given.token or shown == f"Bearer {self._given.token}"):
                    self._given = None
            return True
        return bool(self.user.token_file) and self.authorization() != shown

    def _read_token(self) -> str:
        """The token in its file; "" when it cannot be read and an earlier one can be shown instead."""
        path = self.user.token_file
        what = f"{self.user.source}: its token file {path}"
        try:
            data = read_file(path, what)
            token = (data or b"").strip().decode()
            if not token:
                raise Unavailable(f"{what} {'is empty' if data is not None else 'does not exist'}", "see who writes it")
            return token
        except UnicodeDecodeError as fault:
            raise InvalidData(f"{what} holds no text") from fault
        except Unavailable:
            if not self._token:
                raise
            return ""

    def _ask(self) -> Credential:
        """What the plugin gave, or gives now."""
        from eidos.kube import exec_plugin

        plugin, deadline = self.user.plugin, self.deadline or time.monotonic() + PATIENCE
        assert plugin is not None
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise Timeout(f"{self.user.source}: the plugin {printable(plugin.command)} did not end in time")
        try:
            given = self._given
            if given is None or (given.expires is not None and given.expires - MARGIN < time.time()):
                given = self._given = exec_plugin.run(plugin, self._environ, self.user.source, deadline)
            return given
        finally:
            self._lock.release()


def _load(context: SSLContext, pem: bytes, source: str) -> None:
    import ssl

    def refuse() -> str:
        raise InvalidData(f"{source}: its client-key is encrypted", "take the passphrase off: openssl pkey -in KEY -out OTHER")

    memory, folder = -1, ""
    try:
        path = ""
        if hasattr(os, "memfd_create"):
            memory = os.memfd_create("key", os.MFD_CLOEXEC)
            path = f"/proc/self/fd/{memory}"
            os.write(memory, pem)
        if not os.path.exists(path):  # no such memory, or no /proc
            import tempfile

            folder = tempfile.mkdtemp(prefix="eidos-")
            path = os.path.join(folder, "key")
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.write(pem)
        context.load_cert_chain(path, password=refuse)
    except ssl.SSLError as fault:
        raise InvalidData(f"{source}: its client-certificate and client-key are no pair: {fault.reason or fault}") from fault
    except OSError as fault:
        raise Unavailable(f"{source}: its key cannot be held in memory: {(fault.strerror or str(fault)).lower()}") from fault
    finally:
        if memory >= 0:
            os.close(memory)
        if folder:
            import shutil

            shutil.rmtree(folder, ignore_errors=True)
