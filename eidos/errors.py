"""Every way in which eidos fails, as one tree.

Knows the kinds of failure; must not know how they are shown: the CLI owns code → exit status, the server code → HTTP status::

    EidosError                 code
    ├── InvalidInput           invalid-input     what the caller asked for cannot be: a flag, a value, a name
    ├── InvalidData            invalid-data      a document or a file does not have the form it must have
    ├── NotFound               not-found         what was named does not exist
    ├── Unavailable            unavailable       a source did not answer, or refused
    │   ├── Outdated           unavailable       … and what it said before was given in its place
    │   ├── DBusError          dbus
    │   ├── NvmlError          nvml              carries NVML's own return code
    │   └── KubeError          kube              carries the API's own status and reason
    ├── Timeout                timeout           a deadline was reached
    ├── RateLimited            rate-limited
    └── IntegrityError         integrity         a checksum or a signature does not hold

    NotApplicable              no error: this host has no such thing, the outcome is ``skipped``

Adapters translate foreign exceptions once, with ``raise … from``. A message says what failed, on which path or address,
and why; a hint says what to do.
"""

from __future__ import annotations


class EidosError(Exception):
    """Something that eidos set out to do and could not: ``message`` for people, ``hint`` what to do, ``code`` for programs.

    ``excerpt`` is, where the fault has a place in a text, that text and the index of the place.
    """

    code = "failed"

    def __init__(self, message: str, hint: str | None = None, excerpt: tuple[str, int] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.excerpt = excerpt


class InvalidInput(EidosError):
    """The caller asked for something that cannot be."""

    code = "invalid-input"


class InvalidData(EidosError):
    """A document or a file does not have the form it must have."""

    code = "invalid-data"


class NotFound(EidosError):
    """What was named does not exist."""

    code = "not-found"


class Unavailable(EidosError):
    """A source did not answer, or refused to."""

    code = "unavailable"


class Outdated(Unavailable):
    """A source did not answer, and what it said ``age`` seconds ago was given in its place."""

    def __init__(self, message: str, hint: str | None, age: int) -> None:
        super().__init__(message, hint)
        self.age = age


class DBusError(Unavailable):
    """A message bus, or a peer on it, did not keep to the protocol or answered with an error."""

    code = "dbus"


class NvmlError(Unavailable):
    """NVML answered with an error; ``status`` is its nvmlReturn_t (NVML API reference, nvmlReturn_t)."""

    code = "nvml"

    def __init__(self, message: str, hint: str | None = None, status: int | None = None) -> None:
        super().__init__(message, hint)
        self.status = status


class KubeError(Unavailable):
    """The Kubernetes API did not answer (``status`` is None), or refused to.

    ``status`` is HTTP's, ``reason`` the word of the Status object that came with it, such as ``Forbidden`` (Kubernetes API conventions,
    Response Status Kind); "" when none did.
    """

    code = "kube"

    def __init__(self, message: str, hint: str | None = None, status: int | None = None, reason: str = "") -> None:
        super().__init__(message, hint)
        self.status = status
        self.reason = reason

    @property
    def may_pass(self) -> bool:
        """Whether nobody answered for the cluster, or only to say that it cannot answer now."""
        return self.status is None or self.status == 429 or self.status >= 500


class Timeout(EidosError):
    """A deadline was reached first."""

    code = "timeout"


class RateLimited(EidosError):
    """Too many requests; try again later."""

    code = "rate-limited"


class IntegrityError(EidosError):
    """A checksum or a signature does not hold."""

    code = "integrity"


class NotApplicable(Exception):
    """This host has no such thing, and that is fine: the outcome is ``skipped``, with ``reason``."""

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
