"""What is secret among the properties of a unit.

Knows which properties of ``org.freedesktop.systemd1(5)`` can carry a secret and where in them it stands; what is one, by its
name or its shape, :mod:`eidos.redact.secrets_in_text` knows. Must not know D-Bus's wire, nor how a property is written down.

* ``Environment`` and everything else that is made of assignments: the value of each whose name or shape is a secret's. Not
  every value: which proxy, which log level, which visible devices a unit was given is what one compares hosts by.
* ``ExecStart`` and its kin: arguments, as in any command line.
* ``SetCredential``, ``SetCredentialEncrypted`` and ``StandardInputData``: always, whatever they look like; they are there to hand a
  program what must not stand in its command line. ``LoadCredential`` and the like hold paths, which are none.
* the options of a mount (``password=`` of cifs), and a secret's shape (a URL with a password, a token) in any other text.
"""

from __future__ import annotations

from eidos.model.measurement import WITHHELD
from eidos.redact.secrets_in_text import withhold_text, withhold_value, withhold_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    Clean = tuple[Any, list[str]]  # the value, and what was taken out of it

#: What every property is called that has command lines: ExecStart, ExecStartEx, ExecReload, …
COMMANDS = "Exec"

# Most texts are the same in every unit ("inactive", "auto"), and looking through one takes a while.
_seen: dict[str, tuple[str, int]] = {}
_MOST_SEEN = 4096


def withhold(name: str, value: Any) -> Clean:
    """``value`` of the property ``name`` without its secrets, and for each of them the property and what it is called there.

    >>> withhold("Environment", ["LEVEL=debug", "API_TOKEN=s3cret"])
    (['LEVEL=debug', 'API_TOKEN=<withheld>'], ['Environment API_TOKEN'])
    >>> withhold("ExecStart", [("/bin/app", ["/bin/app", "--password", "hunter2"], False)])
    ([('/bin/app', ['/bin/app', '--password', '<withheld>'], False)], ['ExecStart /bin/app'])
    """
    if not value:
        return value, []
    handler = _HANDLERS.get(name)
    if handler is None:
        handler = _commands if name.startswith(COMMANDS) and isinstance(value, list) else _texts
    try:
        clean, labels = handler(value)
    except (TypeError, ValueError, AttributeError):  # not of the type that systemd gives it: whether a secret is in it cannot be told
        clean, labels = WITHHELD, [""]
    return clean, [f"{name} {label}".rstrip() for label in labels] if labels else labels


def _assignments(value: Any) -> Clean:
    """``NAME=value`` each, as text or as bytes (LogExtraFields)."""
    clean, labels = [], []
    for entry in value:
        text = entry.decode("utf-8", "backslashreplace") if isinstance(entry, bytes) else entry
        key, equals, content = text.partition("=")
        shown, hidden = withhold_value(key, content)
        if hidden:
            labels.append(key)
            entry = f"{key}{equals}{shown}"
        clean.append(entry)
    return clean, labels


def _pairs(value: Any) -> Clean:
    """``(name, value)`` each."""
    clean, labels = [], []
    for key, content in value:
        shown, hidden = withhold_value(key, content)
        clean.append((key, shown))
        if hidden:
            labels.append(key)
    return clean, labels


def _credentials(value: Any) -> Clean:
    """``(id, bytes)`` each."""
    return [(key, WITHHELD if content else content) for key, content in value], [key for key, content in value if content]


def _commands(value: Any) -> Clean:
    """``(path, arguments, …)`` each; what only has such a name (ExecPaths, ExecSearchPath) is a list of texts."""
    clean: list[Any] = []
    labels: list[str] = []
    for entry in value:
        if not isinstance(entry, tuple):
            return _texts(value)
        path, arguments, *rest = entry
        shown, count = withhold_words(arguments)
        clean.append((path, shown, *rest))
        labels += [path] * count
    return clean, labels


def _options(value: Any) -> Clean:
    """``name=value,name,…`` in one text."""
    shown, hidden = withhold_value("", value)
    return shown, [""] if hidden else []


def _whole(_: Any) -> Clean:
    return WITHHELD, [""]


def _texts(value: Any) -> Clean:
    """Anything: the texts in it are looked through for what has a secret's shape."""
    if isinstance(value, str):
        seen = _seen.get(value)
        if seen is None:
            if len(_seen) >= _MOST_SEEN:
                _seen.clear()
            seen = _seen[value] = withhold_text(value)
        return seen[0], [""] * seen[1]
    if isinstance(value, (list, tuple)):
        parts = [_texts(part) for part in value]
        labels = [label for _, found in parts for label in found]
        return (type(value)(part for part, _ in parts), labels) if labels else (value, [])
    return value, []


_HANDLERS: dict[str, Callable[[Any], Clean]] = {
    "Environment": _assignments,
    "UnsetEnvironment": _assignments,
    "LogExtraFields": _assignments,
    "ActivationDetails": _pairs,
    "SetCredential": _credentials,
    "SetCredentialEncrypted": _credentials,
    "StandardInputData": _whole,
    "Options": _options,
}
