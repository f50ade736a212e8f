"""Redacts the properties of systemd units.

Knows which properties of ``org.freedesktop.systemd1(5)`` can hold a secret, and where in their value; must not know D-Bus's wire format,
nor how a property becomes a reading. :mod:`eidos.redact.secrets_in_text` decides by name and form what a secret is.

* ``Environment`` and other lists of assignments: the value of each whose name or form is a secret's. The others stay, because hosts
  are compared by them: proxies, log levels, visible devices.
* ``ExecStart`` and its kin: arguments, as in any command line.
* ``SetCredential``, ``SetCredentialEncrypted`` and ``StandardInputData``: always, whatever they look like; they exist to pass a
  program what must not be on its command line. ``LoadCredential`` and the like hold paths, and stay.
* The options of a mount (``password=`` of cifs), and the form of a secret (a URL with a password, a token) in any other text.
"""

from __future__ import annotations

from eidos.model.measurement import WITHHELD
from eidos.redact.secrets_in_text import redact_command_line, redact_text, redact_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    Redacted = tuple[Any, list[str]]  # the value, and a label for each secret in it

#: Prefix of every property with command lines: ExecStart, ExecStartEx, ExecReload, …
COMMAND_PREFIX = "Exec"

# Most texts are the same in every unit ("inactive", "auto"), and scanning one is slow.
_cache: dict[str, tuple[str, int]] = {}
_CACHE_LIMIT = 4096


def redact_unit_property(name: str, value: Any) -> Redacted:
    """``value`` of the property ``name``, redacted, and for each secret the property and the secret's name in it.

    >>> redact_unit_property("Environment", ["LEVEL=debug", "API_TOKEN=s3cret"])
    (['LEVEL=debug', 'API_TOKEN=<withheld>'], ['Environment API_TOKEN'])
    >>> redact_unit_property("ExecStart", [("/bin/app", ["/bin/app", "--password", "hunter2"], False)])
    ([('/bin/app', ['/bin/app', '--password', '<withheld>'], False)], ['ExecStart /bin/app'])
    """
    if not value:
        return value, []
    redactor = _REDACTORS.get(name)
    if redactor is None:
        redactor = _redact_commands if name.startswith(COMMAND_PREFIX) and isinstance(value, list) else _redact_texts
    try:
        clean, labels = redactor(value)
    except (TypeError, ValueError, AttributeError):  # not of the type that systemd documents, so it may hold a secret anywhere
        clean, labels = WITHHELD, [""]
    return clean, [f"{name} {label}".rstrip() for label in labels] if labels else labels


def _redact_assignments(value: Any) -> Redacted:
    """``NAME=value`` each, as text or as bytes (LogExtraFields)."""
    clean, labels = [], []
    for entry in value:
        text = entry.decode("utf-8", "backslashreplace") if isinstance(entry, bytes) else entry
        key, equals, content = text.partition("=")
        shown, is_redacted = redact_value(key, content)
        if is_redacted:
            labels.append(key)
            entry = f"{key}{equals}{shown}"
        clean.append(entry)
    return clean, labels


def _redact_pairs(value: Any) -> Redacted:
    """``(name, value)`` each."""
    clean, labels = [], []
    for key, content in value:
        shown, is_redacted = redact_value(key, content)
        clean.append((key, shown))
        if is_redacted:
            labels.append(key)
    return clean, labels


def _redact_credentials(value: Any) -> Redacted:
    """``(id, bytes)`` each."""
    return [(key, WITHHELD if content else content) for key, content in value], [key for key, content in value if content]


def _redact_commands(value: Any) -> Redacted:
    """``(path, arguments, …)`` each; ExecPaths and ExecSearchPath, which only share the prefix, are lists of texts."""
    clean: list[Any] = []
    labels: list[str] = []
    for entry in value:
        if not isinstance(entry, tuple):
            return _redact_texts(value)
        path, arguments, *rest = entry
        shown, count = redact_command_line(arguments)
        clean.append((path, shown, *rest))
        labels += [path] * count
    return clean, labels


def _redact_options(value: Any) -> Redacted:
    """``name=value,name,…`` in one text."""
    shown, is_redacted = redact_value("", value)
    return shown, [""] if is_redacted else []


def _redact_all(_: Any) -> Redacted:
    return WITHHELD, [""]


def _redact_texts(value: Any) -> Redacted:
    """Any other type: every text in it is scanned for the form of a secret."""
    if isinstance(value, str):
        cached = _cache.get(value)
        if cached is None:
            if len(_cache) >= _CACHE_LIMIT:
                _cache.clear()
            cached = _cache[value] = redact_text(value)
        return cached[0], [""] * cached[1]
    if isinstance(value, (list, tuple)):
        parts = [_redact_texts(part) for part in value]
        labels = [label for _, inner in parts for label in inner]
        return (type(value)(part for part, _ in parts), labels) if labels else (value, [])
    return value, []


_REDACTORS: dict[str, Callable[[Any], Redacted]] = {
    "Environment": _redact_assignments,
    "UnsetEnvironment": _redact_assignments,
    "LogExtraFields": _redact_assignments,
    "ActivationDetails": _redact_pairs,
    "SetCredential": _redact_credentials,
    "SetCredentialEncrypted": _redact_credentials,
    "StandardInputData": _redact_all,
    "Options": _redact_options,
}
