"""The exceptions of eidos, as one tree.

Knows the kinds of failure, and how those of the system are worded; must not know how they are shown: the CLI maps code → exit status, the
server code → HTTP status::

    EidosError                 code
    ├── InvalidInput           invalid-input     an argument is invalid: a flag, a value, a name
    ├── InvalidData            invalid-data      a document or a file is malformed
    ├── NotFound               not-found         a named file, object or name does not exist
    ├── Unavailable            unavailable       a source did not respond, or refused
    │   ├── Outdated           unavailable       … and its last response was used instead
    │   ├── DBusError          dbus
    │   ├── NvmlError          nvml              carries NVML's own return code
    │   └── KubeError          kube              carries the API's own status and reason
    ├── Timeout                timeout           a deadline was reached
    ├── RateLimited            rate-limited
    └── IntegrityError         integrity         a checksum or a signature does not hold

    NotApplicable              no error: the host has no such feature, the outcome is ``skipped``

Adapters translate foreign exceptions once, with ``raise … from``. A message says what failed, on which path or address,
and why; a hint says what to do.
"""

from __future__ import annotations


class EidosError(Exception):
    """A failure: ``message`` says what failed and why, ``hint`` what to do about it (or None), ``code`` names the kind, for programs.

    ``excerpt`` is a text and the index in it at which the mistake is, for a mistake in a text.

    >>> import eidos
    >>> try:
    ...     eidos.make_recipe({"gpu": "h1000"})
    ... except eidos.EidosError as fault:
    ...     fault.code, fault.hint
    ('invalid-input', "did you mean 'h100'?")
    """

    code = "failed"

    def __init__(self, message: str, hint: str | None = None, excerpt: tuple[str, int] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.excerpt = excerpt


class InvalidInput(EidosError):
    """An argument is invalid: a flag, a value, a name."""

    code = "invalid-input"


class InvalidData(EidosError):
    """A document or a file is malformed."""

    code = "invalid-data"


class NotFound(EidosError):
    """A named file, object or name does not exist."""

    code = "not-found"


class Unavailable(EidosError):
    """A source did not respond, or refused."""

    code = "unavailable"


class Outdated(Unavailable):
    """A source did not respond, and its response of ``age`` seconds ago was used instead."""

    def __init__(self, message: str, hint: str | None, age: int) -> None:
        super().__init__(message, hint)
        self.age = age


class DBusError(Unavailable):
    """A message bus, or a peer on it, violated the protocol or replied with an error."""

    code = "dbus"


class NvmlError(Unavailable):
    """NVML returned an error; ``status`` is its nvmlReturn_t (NVML API reference, nvmlReturn_t)."""

    code = "nvml"

    def __init__(self, message: str, hint: str | None = None, status: int | None = None) -> None:
        super().__init__(message, hint)
        self.status = status


class KubeError(Unavailable):
    """The Kubernetes API did not respond (``status`` is None), or refused.

    ``status`` is HTTP's, ``reason`` that of the Status object in the response, such as ``Forbidden`` (Kubernetes API conventions,
    Response Status Kind); "" when there is none.
    """

    code = "kube"

    def __init__(self, message: str, hint: str | None = None, status: int | None = None, reason: str = "") -> None:
        super().__init__(message, hint)
        self.status = status
        self.reason = reason

    @property
    def may_pass(self) -> bool:
        """Whether the failure may be temporary: no response, too many requests, or an error of the server."""
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
    """The host has no such feature, and that is fine: the outcome is ``skipped``, with ``reason``."""

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


def os_error_reason(fault: OSError | ValueError) -> str:
    """Why a call of the operating system failed, as messages show it; a ValueError is about an argument, such as a path with a NUL.

    >>> os_error_reason(PermissionError(13, "Permission denied"))
    'permission denied'
    """
    return (getattr(fault, "strerror", None) or str(fault)).lower()
