"""Redacts the properties of systemd units.

Knows which properties of ``org.freedesktop.systemd1(5)`` can hold a secret, and where in their value; must not know D-Bus's wire format,
nor how a property becomes a reading, nor which variables and options are harmless: a list says so.

* ``Environment`` and other lists of assignments: the value of each that is neither on the list nor of a harmless form.
* ``ExecStart`` and its kin: arguments, read as a command line.
* ``SetCredential``, ``SetCredentialEncrypted`` and ``StandardInputData``: always, whatever they look like; they exist to pass a
  program what must not be on its command line. ``LoadCredential`` and the like hold paths, and stay.
* Another property whose name has a credential word, and one of another type than systemd's: always. Numbers and switches, of which
  systemd itself has some with such names (``PassCredentials``), stay.
* What a person or a program wrote in words (``Description``, ``StatusText``), the options of a mount, and any other text: free text.
"""

from __future__ import annotations

from eidos.model.measurement import WITHHELD
from eidos.redact.command_lines import redact_command_line, show_argument
from eidos.redact.harmless_names import is_not_random
from eidos.redact.random_words import is_wordy, word_set
from eidos.redact.secret_names import has_credential_word
from eidos.redact.secrets_in_text import redact_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from eidos.redact.harmless_names import NameList

    Redacted = tuple[Any, list[str]]  # the value, and a label for each secret in it

#: Prefix of every property with command lines: ExecStart, ExecStartEx, ExecReload, …
COMMAND_PREFIX = "Exec"

#: What systemd made from names, numbers and digests of its own, which are no secret: units, paths, states, identifiers, addresses.
IDENTIFIER_PROPERTIES = word_set(
    "InvocationID ControlGroup Id Names Following RootHash RootHashSignature DropInPaths FragmentPath SourcePath Documentation"
    " TriggeredBy Triggers BindPaths BindReadOnlyPaths RequiresMountsFor MountImages ExtensionImages DynamicUser"
)

#: Properties that only look as if they held a credential: they hold paths, names and digests.
_NO_CREDENTIALS = ("PassEnvironment", "RootHashSignature", "LoadCredential", "ImportCredential")

# Most texts are the same in every unit ("inactive", "auto"), and scanning one is slow.
_cache: dict[str, tuple[str, int]] = {}
_CACHE_LIMIT = 4096


def redact_unit_property(name: str, value: Any, names: NameList) -> Redacted:
    """``value`` of the property ``name``, redacted, and for each secret the property and the secret's name in it.

    >>> from eidos.redact.harmless_names import NameList
    >>> redact_unit_property("Environment", ["LEVEL=debug", "API_TOKEN=s3cret"], NameList())
    (['LEVEL=debug', 'API_TOKEN=<withheld>'], ['Environment API_TOKEN'])
    >>> redact_unit_property("ExecStart", [("/bin/app", ["/bin/app", "--password", "hunter2"], False)], NameList())
    ([('/bin/app', ['/bin/app', '--password', '<withheld>'], False)], ['ExecStart --password'])
    """
    if not value or isinstance(value, int) or names.is_revealed(name):
        return value, []
    redactor = _REDACTORS.get(name)
    if redactor is None:
        redactor = _redact_commands if name.startswith(COMMAND_PREFIX) else _redact_texts
        if name in IDENTIFIER_PROPERTIES:
            redactor = _redact_identifiers
        elif has_credential_word(name) and not name.startswith(_NO_CREDENTIALS):
            redactor = _redact_all
    try:
        clean, labels = redactor(value, names)
    except (TypeError, ValueError, AttributeError):  # not of the type that systemd documents, so it may hold a secret anywhere
        clean, labels = WITHHELD, [""]
    return clean, [f"{name} {label}".rstrip() for label in labels] if labels else labels


def _redact_assignments(value: Any, names: NameList) -> Redacted:
    """``NAME=value`` each, as text or as bytes (LogExtraFields)."""
    clean, labels = [], []
    for entry in value:
        text = entry.decode("utf-8", "backslashreplace") if isinstance(entry, bytes) else entry
        key, equals, content = text.partition("=")
        shown, count = show_argument(key, content, names)
        if key != WITHHELD and not is_wordy(key) and names.section(key) is None:
            key, equals, shown, count = WITHHELD, "", "", 1
        if count:
            labels.append(key)
            entry = f"{key}{equals}{shown}"
        clean.append(entry)
    return clean, labels


def _redact_pairs(value: Any, names: NameList) -> Redacted:
    """``(name, value)`` each."""
    clean, labels = [], []
    for key, content in value:
        shown, count = show_argument(key, content, names)
        clean.append((key, shown))
        if count:
            labels.append(key)
    return clean, labels


def _redact_credentials(value: Any, _: NameList) -> Redacted:
    """``(id, bytes)`` each."""
    return [(key, WITHHELD if content else content) for key, content in value], [key for key, content in value if content]


def _redact_commands(value: Any, names: NameList) -> Redacted:
    """``(path, arguments, …)`` each; ExecPaths and ExecSearchPath, which only share the prefix, are lists of texts."""
    clean: list[Any] = []
    labels: list[str] = []
    for entry in value:
        if not isinstance(entry, tuple):
            return _redact_texts(value, names) if all(path.lstrip("+-").startswith("/") for path in value) else _redact_all(value, names)
        path, arguments, *rest = entry
        (path,), hidden = redact_command_line([path], names)
        shown, count = redact_command_line(arguments, names)
        clean.append((path, shown, *rest))
        labels += [path] * hidden + (_option_labels(arguments, shown) if count else [])
    return clean, labels


def _option_labels(arguments: list[str], shown: list[str]) -> list[str]:
    """For each part that is withheld the option that it belongs to, empty where it belongs to none."""
    labels: list[str] = []
    before = ""
    for word, clean in zip(arguments, shown):
        name, equals, _ = word.partition("=")
        own = name if equals and clean.startswith(f"{name}=") else before if before.startswith("-") and "=" not in before else ""
        labels += [own] * (clean.count(WITHHELD) - word.count(WITHHELD))
        before = word if word == clean else ""
    return labels


def _redact_all(_: Any, __: NameList) -> Redacted:
    return WITHHELD, [""]


def _redact_identifiers(value: Any, names: NameList) -> Redacted:
    """Names and paths of systemd's own: only what is a secret by itself."""
    return _redact_each(value, lambda text: redact_text(text, lambda _: True), names)


def _redact_texts(value: Any, names: NameList) -> Redacted:
    """Any other type: every text in it is scanned for what is a secret by itself, and for random words."""
    return _redact_each(value, _cached_text, names)


def _cached_text(text: str) -> tuple[str, int]:
    cached = _cache.get(text)
    if cached is None:
        if len(_cache) >= _CACHE_LIMIT:
            _cache.clear()
        cached = _cache[text] = redact_text(text, is_not_random)
    return cached


def _redact_each(value: Any, redact: Callable[[str], tuple[str, int]], names: NameList) -> Redacted:
    if isinstance(value, str):
        shown, count = redact(value)
        return shown, [""] * count
    if isinstance(value, (list, tuple)):
        parts = [_redact_each(part, redact, names) for part in value]
        labels = [label for _, inner in parts for label in inner]
        return (type(value)(part for part, _ in parts), labels) if labels else (value, [])
    if isinstance(value, dict):
        raise TypeError(value)
    return value, []


def _redact_words(value: Any, names: NameList) -> Redacted:
    """What a person or a program wrote."""
    return _redact_each(value, redact_text, names)


_REDACTORS: dict[str, Callable[[Any, NameList], Redacted]] = {
    "Environment": _redact_assignments,
    "UnsetEnvironment": _redact_assignments,
    "LogExtraFields": _redact_assignments,
    "ActivationDetails": _redact_pairs,
    "SetCredential": _redact_credentials,
    "SetCredentialEncrypted": _redact_credentials,
    "StandardInputData": _redact_all,
    "StatusText": _redact_words,
    "Description": _redact_words,
}
