"""Redacts command lines, scripts and trees of fields.

Knows how options, values and assignments stand in a list of arguments, in a shell's script and in JSON; must not know which names are
harmless: the :class:`~eidos.redact.harmless_names.NameList` of the caller says so.

An option and its value belong together, also as separate words. A word that no name goes before is shown when its form is harmless or the
list has it as a word of command lines (a program, a verb). What follows ``Bearer`` or ``Authorization:`` is withheld.

>>> names = NameList("log-level node-ip [words] kubelet")
>>> redact_command_line(
...     ["/usr/bin/kubelet", "--token", "s3cret", "--node-ip=10.0.0.1", "-su", "bob:pw", "https://bob:pw@example.com"], names
... )
(['/usr/bin/kubelet', '--token', '<withheld>', '--node-ip=10.0.0.1', '-su', '<withheld>', 'https://<withheld>@example.com'], 3)
"""

from __future__ import annotations

from eidos.model.measurement import WITHHELD
from eidos.redact.harmless_forms import is_harmless, is_number, is_path
from eidos.redact.harmless_names import MAPS, NameList, is_withheld, show_value
from eidos.redact.random_words import MAXIMUM_DIGITS, is_wordy
from eidos.redact.secret_names import has_credential_word
from eidos.redact.secrets_in_text import AUTH_SCHEMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

#: Options that take a secret of any form, number or word, by program; with a star the value is attached to the option.
_SECRET_OPTIONS = {
    "sshpass": ("-p", "-p*"),
    "curl": ("-u", "-u*", "--user", "-U", "--proxy-user"),
    "openssl": ("-k", "-K", "-passin", "-passout"),
    "ipmitool": ("-P", "-P*"),
    "ldapsearch": ("-w", "-w*"),
    "smbclient": ("-U", "-U*"),
    "etcdctl": ("--user",),
    "login": ("-p", "-p*"),  # docker login, helm registry login
    "zip": ("-P",),
    "7z": ("-p*",),
    "crictl": ("--auth", "--creds"),
    "consul": ("-encrypt",),
    **dict.fromkeys(("useradd", "usermod", "mongosh", "mongodump", "mongorestore"), ("-p",)),
    **dict.fromkeys(("snmpget", "snmpwalk", "snmpset", "snmpbulkwalk", "snmptrap"), ("-c", "-A", "-X", "-Z")),
    **dict.fromkeys(("redis-cli", "redis-server"), ("-a",)),
    **dict.fromkeys(("mysql", "mysqladmin", "mysqldump", "mariadb"), ("-p*",)),
}

#: Letters behind one dash that are options, not an option and its value: ``-it``, ``-su``.
_SHORT_LETTERS = 3

#: What ends a word of a script, and the quotes that keep it together.
_BLANKS, _OPERATORS, _QUOTES = " \t\n\r", ";|&()<>{}", "\"'"

#: Scripts inside scripts, and fields inside fields.
_DEPTH = 16


def redact_command_line(words: Sequence[str], names: NameList, *, has_program: bool = True, depth: int = _DEPTH) -> tuple[list[str], int]:
    """``words`` as they may be shown, and the number of parts that are withheld; the first is the program if ``has_program``."""
    reader = _ArgumentReader(names, depth)
    for at, word in enumerate(words):
        if at == 0 and has_program:
            reader.add_program(word)
        else:
            reader.add(word)
    return reader.shown, reader.count


class _ArgumentReader:
    """Reads arguments in order and remembers what the next one may be."""

    def __init__(self, names: NameList, depth: int) -> None:
        self.shown: list[str] = []
        self.count = 0
        self._names = names
        self._depth = depth
        self._option = ""  # the one whose value may follow
        self._is_secret_next = False
        self._is_after_name = False  # a word that names a secret: set private-key 4711
        self._secret_options: tuple[str, ...] = ()

    def add_program(self, word: str) -> None:
        self._secret_options = _SECRET_OPTIONS.get(word.rpartition("/")[2], ())
        if "=" in word and is_wordy(word.partition("=")[0]):
            self.add(word)
        else:
            self._put(*((word, 0) if word in self._names.words or is_path(word) or is_wordy(word) else _withhold(word)))

    def add(self, word: str) -> None:
        option, self._option = self._option, ""
        is_after_name, self._is_after_name = self._is_after_name, False
        if self._is_secret_next:
            self._is_secret_next = word.lower() in AUTH_SCHEMES
            self._put(*((word, 0) if self._is_secret_next or not word or word == WITHHELD else (WITHHELD, 1)))
        elif option and self._is_value(option, word):
            if option in self._secret_options and word != WITHHELD:
                self._put(WITHHELD, 1)
            elif word.endswith(":") and is_wordy(word):
                self._put(word)  # the name of a header, in words of its own
            else:
                self._put(*show_argument(option, word, self._names, self._depth))
            self._expect_secret(word)
        elif _has_secret_behind_colon(word):
            name, _, value = word.partition(":")
            self._put(f"{name}:{WITHHELD}", int(value != WITHHELD))
        elif word.startswith("-"):
            self._add_option(word)
        elif is_after_name and is_number(word):
            self._put(WITHHELD, 1)
        else:
            self._add_positional(word)

    def _is_value(self, option: str, word: str) -> bool:
        if not word.startswith("-") or word[1:2].isdigit():
            return True
        return not word.startswith("--") and option.startswith("--") and has_credential_word(option) and self._names.section(option) is None

    def _add_option(self, word: str) -> None:
        name, equals, value = word.partition("=")
        attached = next((option[:-1] for option in self._secret_options if option.endswith("*") and word.startswith(option[:-1])), "")
        if attached and len(word) > len(attached):
            self._put(*((word, 0) if word[len(attached) :] == WITHHELD else (attached + WITHHELD, 1)))
        elif equals:
            if not self._is_name(name):
                self._put(*_withhold(word))
            elif name in self._secret_options and value:
                self._put(f"{name}={WITHHELD}", int(value != WITHHELD))
            else:
                shown, count = show_argument(name, value, self._names, self._depth)
                self._put(f"{name}={shown}", count)
        elif word.startswith("--") or len(word) < 2 or word in self._secret_options or self._names.section(word) is not None:
            self._put(*((word, 0) if self._is_name(word) else _withhold(word)))
            self._option = word.strip("-") and word
        elif len(word) <= 1 + _SHORT_LETTERS and word[1:].isalpha():
            self._put(word)
            self._option = word
        else:
            self._put(*((word, 0) if is_harmless(word[2:]) else (word[:2] + WITHHELD, 1)))
            self._option = word if has_credential_word(word) else ""  # of Go: -token x

    def _add_positional(self, word: str) -> None:
        self._secret_options = _SECRET_OPTIONS.get(word.rpartition("/")[2], self._secret_options)
        name, equals, value = word.partition("=")
        if equals and self._is_name(name) and name:
            self._secret_options = _SECRET_OPTIONS.get(value, self._secret_options)  # ssh -o 'ProxyCommand=sshpass -p x ssh'
            shown, count = show_argument(name, value, self._names, self._depth)
            self._put(f"{name}={shown}", count)
        elif any(c in _BLANKS for c in word) or word[:1] in ("{", "[") or "://" in word:
            self._put(*show_argument("", word, self._names, self._depth))
        else:
            is_label = word.endswith(":") and is_wordy(word)
            is_shown = word in self._names.words or word.lower() in AUTH_SCHEMES or is_label or is_harmless(word)
            self._put(*((word, 0) if is_shown else _withhold(word)))
            self._expect_secret(word)
            self._is_after_name = not is_shown and has_credential_word(word)

    def _expect_secret(self, word: str) -> None:
        self._is_secret_next = word.lower() in AUTH_SCHEMES[:2] or (word.endswith(":") and has_credential_word(word))

    def _is_name(self, name: str) -> bool:
        return is_wordy(name.strip("-")) or self._names.section(name) is not None

    def _put(self, text: str, count: int = 0) -> None:
        self.shown.append(text)
        self.count += count


def _has_secret_behind_colon(word: str) -> bool:
    """Whether a word is an option with a colon, as programs that came from Windows have them: ``/password:x``, ``--pfx-password:x``."""
    name, _, value = word.partition(":")
    return bool(value) and word[0] in "-/" and is_wordy(name.lstrip("-/")) and has_credential_word(name)


def _withhold(word: str) -> tuple[str, int]:
    return (word, 0) if not word or is_withheld(word) else (WITHHELD, 1)


def show_argument(name: str, value: str, names: NameList, depth: int = _DEPTH) -> tuple[str, int]:
    """``value`` of an option or a variable: as :func:`show_value`, and what it holds besides: JSON, a header, a script, options."""
    if not value or value == WITHHELD or names.is_revealed(name):
        return value, 0
    if has_credential_word(name) or is_harmless(value):
        return show_value(name, value, names)
    if value[0] in "{[" and depth:
        tree = _parse_json(value)
        if tree is not None:
            return _show_json(name, value, tree, names, depth - 1)
    if value.startswith("$(") and value.find(")") == len(value) - 1 and depth:
        words = value[2:-1].split()
        hidden = redact_command_line(words, names, depth=depth - 1)[1] or not words or words[0] in ("echo", "printf")
        return (WITHHELD, 1) if hidden else (value, 0)
    if any(c in _BLANKS for c in value) and (names.section(name) is None or " -" in f" {value}"):
        if not depth:
            return WITHHELD, 1
        label, colon, rest = value.partition(": ")
        if colon and is_wordy(label) and label:
            shown, count = show_value(label, rest, names)
            return f"{label}: {shown}", count
        return redact_script(value, names, depth - 1)
    return show_value(name, value, names)


def redact_script(text: str, names: NameList, depth: int = _DEPTH) -> tuple[str, int]:
    """``text`` of a shell, or options in one text; withheld when its quotes do not match.

    >>> redact_script("A=1 TOKEN=x run --v 2 && echo 'a b' | login -p x > /dev/null", NameList("v [words] run echo a b login"))
    ("A=1 TOKEN=<withheld> run --v 2 && echo 'a b' | login -p <withheld> > /dev/null", 2)
    """
    out: list[str] = []
    total = 0
    pieces: list[tuple[int, str, str]] = []  # where in ``out`` a word stands, the word, and as it is written

    def flush() -> None:
        nonlocal total
        words = [word for _, word, _ in pieces]
        # Not has_program: whether the first word is a program or the first of a passphrase, only a list can say.
        clean, count = redact_command_line(words, names, has_program=False, depth=depth)
        for shown, (at, word, raw) in zip(clean, pieces):
            out[at] = raw if shown == word else _quote(shown, raw)
        total += count
        pieces.clear()

    try:
        for kind, raw in _split_script(text):
            if kind == "word":
                pieces.append((len(out), unquote_script_word(raw), raw))
                out.append(raw)
            else:
                if kind == "operator" or "\n" in raw:
                    flush()
                out.append(raw)
        flush()
    except ValueError:
        return WITHHELD, 1
    shown = "".join(out)
    if total and f"\\{WITHHELD}" in shown:  # a backslash before the mark quotes its first character: a second reading would differ
        return WITHHELD, 1
    return shown, total


def _quote(shown: str, raw: str) -> str:
    """A word that is withheld in part, quoted as ``raw`` was, or withheld in whole where quotes would not do."""
    if not any(c in _BLANKS or c in _OPERATORS for c in shown.replace(WITHHELD, "")):
        return shown
    return f'"{shown}"' if raw[:1] in _QUOTES and not any(c in '"\\$' for c in shown) else WITHHELD


def _split_script(text: str) -> Iterator[tuple[str, str]]:
    """Blanks, operators and words as they are written; ValueError when a quote is not closed."""
    at = 0
    while at < len(text):
        c = text[at]
        end = at
        if (c in _BLANKS or c in _OPERATORS) and not text.startswith(WITHHELD, at):
            kind = "blank" if c in _BLANKS else "operator"
            chars = _BLANKS if c in _BLANKS else _OPERATORS
            while end < len(text) and text[end] in chars and not text.startswith(WITHHELD, end):
                end += 1
        else:
            kind = "word"
            while end < len(text) and ((text[end] not in _BLANKS and text[end] not in _OPERATORS) or text.startswith(WITHHELD, end)):
                if text.startswith(WITHHELD, end):
                    end += len(WITHHELD) - 1
                elif text[end] in _QUOTES:
                    end = _closing_quote(text, end)
                elif text[end] == "\\":
                    end += 1
                elif text[end : end + 2] in ("${", "$("):
                    end = text.index("}" if text[end + 1] == "{" else ")", end)
                end += 1
        yield kind, text[at : min(end, len(text))]
        at = end


def _closing_quote(text: str, begin: int) -> int:
    quote, end = text[begin], begin + 1
    while end < len(text) and text[end] != quote:
        end += 2 if quote == '"' and text[end] == "\\" else 1
    if end >= len(text):
        raise ValueError(begin)
    return end


def unquote_script_word(raw: str) -> str:
    """A word of a script without its quotes and backslashes."""
    out: list[str] = []
    at = 0
    while at < len(raw):
        if raw[at] in _QUOTES:
            end = _closing_quote(raw, at)
            inside = raw[at + 1 : end]
            out.append(inside.replace('\\"', '"').replace("\\\\", "\\") if raw[at] == '"' else inside)
            at = end + 1
        else:
            at += raw[at] == "\\" and at + 1 < len(raw)
            out.append(raw[at])
            at += 1
    return "".join(out)


def _parse_json(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _show_json(name: str, value: str, tree: Any, names: NameList, depth: int) -> tuple[str, int]:
    import json

    clean, count = redact_tree(tree, names, name, depth)
    return (json.dumps(clean, ensure_ascii=False, separators=(",", ":")), count) if count else (value, 0)


def redact_tree(value: Any, names: NameList, name: str = "", depth: int = _DEPTH) -> tuple[Any, int]:
    """A tree of fields as it may be shown, and the number of parts that are withheld; ``name`` is that of the field it stands in.

    A list of texts is read as a command line, a mapping with ``name`` and ``value`` as a variable. Switches always stay.

    >>> redact_tree({"env": [{"name": "UFM_PASSWORD", "value": "x"}], "args": ["--token", "x"], "port": 80}, NameList("name"))
    ({'env': [{'name': 'UFM_PASSWORD', 'value': '<withheld>'}], 'args': ['--token', '<withheld>'], 'port': 80}, 2)
    """
    if names.is_revealed(name):
        return value, 0
    if isinstance(value, (dict, list)) and not depth:
        return WITHHELD, 1
    if isinstance(value, str):
        return show_argument(name, value, names, depth)
    if isinstance(value, list):
        if all(isinstance(each, str) for each in value) and any(each.startswith("-") or " " in each for each in value):
            return redact_command_line(value, names, has_program=not str(value[0]).startswith("-"), depth=depth)
        cleaned = [redact_tree(each, names, name, depth - 1) for each in value]
        return [each for each, _ in cleaned], sum(count for _, count in cleaned)
    if isinstance(value, dict):
        return _redact_mapping(value, names, name, depth)
    if has_credential_word(name) and names.section(name) is None and value is not None and not isinstance(value, bool):
        return WITHHELD, 1
    too_long = isinstance(value, (int, float)) and not isinstance(value, bool) and sum(c.isdigit() for c in str(value)) > MAXIMUM_DIGITS + 5
    return (WITHHELD, 1) if too_long else (value, 0)


def _redact_mapping(value: dict[Any, Any], names: NameList, name: str, depth: int) -> tuple[dict[Any, Any], int]:
    clean: dict[Any, Any] = {}
    total = 0
    is_credential = has_credential_word(name) and names.section(name) is None
    variable = next((each for each in (value.get("name"), value.get("key")) if isinstance(each, str)), None) if "value" in value else None
    for key, each in value.items():
        text = str(key)
        # A toleration has a key and a value, too.
        inner = variable if variable and text == "value" and ("name" in value or has_credential_word(variable)) else text
        if (names.section(name) == MAPS or is_credential) and not has_credential_word(inner):
            inner = name
        shown, count = redact_tree(each, names, inner, depth - 1)
        if not all(is_wordy(part) for part in text.split("/")) and names.section(text) is None:
            key = WITHHELD
            count += 1
        clean[key] = shown
        total += count
    return clean, total
