r"""Decides which values are shown: those of names on a list, and those whose form is harmless.

Knows how a list of harmless names is written, and what a list, a credential word and a form decide together; must not know which names
are on a list: ``templates/harmless/`` has one for each kind of source, with the documents that they come from.

The first rule that matches decides:

1. A name with a credential word that is not exactly on the list: withheld, whatever the value.
2. A harmless form (:mod:`eidos.redact.harmless_forms`): shown.
3. A name on the list: shown, except for what is a secret by itself (userinfo and query of a URL, an inner name with a credential word, a
   token); anything random is withheld too, unless the list says that the name holds identifiers and it has the form of one (a UUID,
   a digest, the id of a cloud). A name with a credential word is on a list only for the sake of its forms (a path, a switch, a number).
4. A URL: shown without its userinfo and query, where the rest is a harmless form.
5. Assignments inside a value (``a=b,c=d``) are judged one by one; anything else is withheld.

>>> names = NameList("# of an example\nconsole NCCL_* pad_token\n[identifiers]\nroot\n[names]\nuser")
>>> for name, value in (
...     ("console", "ttyS0,115200n8"),
...     ("NCCL_API_KEY", "1"),
...     ("pad_token", "[PAD]"),
...     ("root", "UUID=0f"),
...     ("x", "hunter2"),
... ):
...     print(name, *show_value(name, value, names))
console ttyS0,115200n8 0
NCCL_API_KEY <withheld> 1
pad_token [PAD] 0
root UUID=0f 0
x <withheld> 1
"""

from __future__ import annotations

from eidos.model.measurement import WITHHELD
from eidos.redact.harmless_forms import is_harmless
from eidos.redact.random_words import has_random_part, is_identifier, is_wordy
from eidos.redact.secret_names import has_credential_word
from eidos.redact.secrets_in_text import redact_text
from eidos.redact.urls_in_text import redact_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: Sections of a list: any value, values with identifiers in them (digests, UUIDs), names of objects and users. The first is the default.
#: Also: mappings whose keys are the user's (labels), and words that may stand alone on a command line (programs, their verbs).
ANY, IDENTIFIERS, NAMES, MAPS, COMMAND_WORDS = "any", "identifiers", "names", "maps", "words"

#: Assignments inside each other, as in ``--env=NAME=a=b``; what is nested more deeply is withheld.
_ASSIGNMENT_DEPTH = 8


#: Characters of the longest name; patterns are not looked for in longer ones.
_MAXIMUM_NAME = 128


class NameList:
    """A list of harmless names: words separated by blanks, ``*`` at the end or the beginning for any; comments and ``[sections]``.

    Leading dashes of an option do not count, and ``-`` and ``_`` are the same, as for the kernel.
    """

    def __init__(self, text: str = "", revealed: Iterable[str] = ()) -> None:
        """``revealed`` are names whose values are shown whatever they are, because the user asked for them."""
        self._requested = {_normalized(name): name for name in revealed}
        self.revealed: dict[str, None] = {}
        self._exact: dict[str, str] = {}
        self._prefixes: dict[str, str] = {}
        self._suffixes: dict[str, str] = {}
        self.words: set[str] = set()
        section = ANY
        names: list[str] = []
        for line in text.splitlines():
            line = line.partition("# ")[0]
            if section != COMMAND_WORDS and not ("[" in line or "*" in line or " -" in f" {line}"):  # only names: nearly every line
                names.append(line)
                continue
            for word in line.split():
                if word[:1] == "[" and word[1:-1].isalpha():
                    self._add_names(names, section)
                    section = word.strip("[]")
                elif section == COMMAND_WORDS:
                    self.words.add(word)
                else:
                    self._add(_normalized(word), section)
        self._add_names(names, section)

    def _add_names(self, lines: list[str], section: str) -> None:
        """Add names that are no patterns, all of a section at once, and forget the lines."""
        self._exact.update(dict.fromkeys(" ".join(lines).replace("-", "_").split(), section))
        lines.clear()

    def _add(self, name: str, section: str) -> None:
        if name.endswith("*"):
            self._prefixes[name[:-1]] = section
        elif name.startswith("*"):
            self._suffixes[name[1:]] = section
        else:
            self._exact[name] = section

    def is_revealed(self, name: str) -> bool:
        """Whether the user asked for the value of ``name``; those that were are in ``revealed``."""
        requested = self._requested.get(_normalized(name)) if self._requested else None
        if requested is None:
            return False
        self.revealed[requested] = None
        return True

    def is_exact(self, name: str) -> bool:
        """Whether ``name`` itself is on the list, and not only a pattern that matches it."""
        return _normalized(name) in self._exact

    def section(self, name: str) -> str | None:
        """The section that ``name`` is in, None when it is in none; one with a credential word has to be there exactly."""
        name = _normalized(name)
        section = self._exact.get(name)
        if section is not None or len(name) > _MAXIMUM_NAME or has_credential_word(name):
            return section
        for at in range(len(name), 0, -1):
            section = self._prefixes.get(name[:at])
            if section is not None:
                return section
        return next((section for suffix, section in self._suffixes.items() if name.endswith(suffix)), None)


def _normalized(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


def show_value(name: str, value: str, names: NameList, depth: int = _ASSIGNMENT_DEPTH) -> tuple[str, int]:
    """``value`` of ``name`` as it may be shown, and the number of parts that are withheld."""
    if not value or value == WITHHELD or names.is_revealed(name):
        return value, 0
    section = names.section(name)
    is_credential = has_credential_word(name)
    if is_credential and section is None:
        return WITHHELD, 1
    if is_harmless(value):
        return value, 0
    if section == NAMES and ":" not in value and not value.startswith("-") and all(map(is_wordy, value.replace(",", "/").split("/"))):
        return value, 0
    if section is not None and section != NAMES and not is_credential:
        allow = is_identifier if section == IDENTIFIERS else is_not_random if names.is_exact(name) else _is_made_of_words
        return redact_text(value, allow)
    shown, count = redact_url(value)
    if shown != WITHHELD:
        return shown, count
    if depth and "=" in value and not is_credential:
        return _show_assignments(value, names, depth - 1)
    return (value, 0) if is_withheld(value) else (WITHHELD, 1)


def is_withheld(value: str) -> bool:
    """Whether a value is what a script or a list leaves of one: the mark, and marks of punctuation."""
    return WITHHELD in value and not any(c.isalnum() for c in value.replace(WITHHELD, ""))


def _show_assignments(value: str, names: NameList, depth: int) -> tuple[str, int]:
    shown, total = [], 0
    for item in value.split(","):
        name, _, inner = item.partition("=")
        if name and inner.strip("=") and is_wordy(name):  # "eA==" is base64, and no assignment
            clean, count = show_value(name, inner, names, depth)
            shown.append(f"{name}={clean}")
        else:
            clean, count = (item, 0) if is_harmless(item) else (WITHHELD, 1)
            shown.append(clean)
        total += count
    return ",".join(shown), total


def _is_made_of_words(word: str) -> bool:
    """Whether a word may be shown where only the beginning of the name is on the list."""
    for c in "/=^$+[]<>!*%\\":
        word = word.replace(c, ".")
    return is_wordy(word)


def is_not_random(word: str) -> bool:
    """Whether a word may be shown where the name is harmless but no identifiers are expected."""
    return not has_random_part(word)
