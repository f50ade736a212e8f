r"""Reads TOML, the language of containerd's, CRI-O's and NVIDIA's container configuration.

Knows TOML 1.0 (https://toml.io/en/v1.0.0), except that dates and times stay text; must not know what any key means. Python has a reader
from 3.11 on only; this one gives the same on all, and imports nothing.

>>> parse_toml('version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nenable_cdi = true\n')
{'version': 2, 'plugins': {'io.containerd.grpc.v1.cri': {'enable_cdi': True}}}
>>> parse_toml("[[a]]\nb = [1, 'x',]\n[[a]]\nc.d = { e = 1.5 }\n")
{'a': [{'b': [1, 'x']}, {'c': {'d': {'e': 1.5}}}]}
>>> parse_toml("a = 1\na = 2\n")
Traceback (most recent call last):
eidos.errors.InvalidData: line 2: a is defined twice
"""

from __future__ import annotations

from eidos.errors import InvalidData

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Table = dict[str, Any]

#: Tables and arrays inside each other.
DEPTH_LIMIT = 64

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}
_VALUE_END = frozenset(" \t\r\n,]}#=")


def parse_toml(text: str) -> Table:
    """The document as dictionaries, lists and scalars. Raises InvalidData with the line."""
    reader = _Reader(text.replace("\r\n", "\n"))
    reader.read_document()
    return reader.root


class _Reader:
    """One pass over a document; ``_at`` is the index of the next character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.root: Table = {}
        self._closed: set[int] = set()  # tables that have a header or stand inline, and arrays of values: nobody may add to them
        self._dotted: set[int] = set()  # tables that dotted keys made: no header may name them

    def read_document(self) -> None:
        """Read all lines into ``root``."""
        table = self.root
        while True:
            self._skip(" \t\n")
            character = self._peek()
            if not character:
                return
            if character == "[":
                table = self._read_header()
            else:
                self._read_pair(table, 0)
            self._end_line()

    def _read_header(self) -> Table:
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        path = self._read_key()
        self._expect("]]" if is_array else "]")
        table = self._descend(self.root, path[:-1])
        name = path[-1]
        if is_array:
            tables = table.setdefault(name, [])
            if not isinstance(tables, list) or id(tables) in self._closed:
                raise self._error(f"{name} is defined twice")
            tables.append({})
            added: Table = tables[-1]
            return added
        value = table.setdefault(name, {})
        if not isinstance(value, dict) or id(value) in self._closed or id(value) in self._dotted:
            raise self._error(f"{name} is defined twice")
        self._closed.add(id(value))
        return value

    def _descend(self, table: Table, path: list[str]) -> Table:
        """The table that a header's path leads to; the last table of an array stands for it."""
        if len(path) > DEPTH_LIMIT:
            raise self._error("nested too deeply")
        for name in path:
            value = table.setdefault(name, {})
            if isinstance(value, list) and value and id(value) not in self._closed:
                value = value[-1]
            if not isinstance(value, dict) or (id(value) in self._closed and id(value) in self._dotted):
                raise self._error(f"invalid table {name}: it has another value")
            table = value
        return table

    def _read_pair(self, table: Table, depth: int) -> None:
        path = self._read_key()
        if len(path) > DEPTH_LIMIT:
            raise self._error("nested too deeply")
        self._expect("=")
        for name in path[:-1]:
            value = table.get(name)
            if value is None:
                value = table[name] = {}
                self._dotted.add(id(value))
            if not isinstance(value, dict) or id(value) not in self._dotted or id(value) in self._closed:
                raise self._error(f"{name} is defined twice")
            table = value
        if path[-1] in table:
            raise self._error(f"{path[-1]} is defined twice")
        self._skip(" \t")
        table[path[-1]] = self._read_value(depth)

    def _read_key(self) -> list[str]:
        path: list[str] = []
        while True:
            self._skip(" \t")
            character = self._peek()
            if character in ('"', "'") and character:
                if self._text.startswith(character * 3, self._at):
                    raise self._error("a key of several lines")
                path.append(self._read_text())
            else:
                start = self._at
                while self._peek() in _BARE:
                    self._at += 1
                if start == self._at:
                    raise self._error("expected a key")
                path.append(self._text[start : self._at])
            self._skip(" \t")
            if self._peek() != ".":
                return path
            self._at += 1

    def _read_value(self, depth: int) -> Any:
        if depth > DEPTH_LIMIT:
            raise self._error("nested too deeply")
        character = self._peek()
        if character in ('"', "'") and character:
            return self._read_text()
        if character == "[":
            return self._read_array(depth)
        if character == "{":
            return self._read_inline_table(depth)
        start = self._at
        while self._peek() and self._peek() not in _VALUE_END:
            self._at += 1
        word = self._text[start : self._at]
        if self._peek() == " " and len(word) == 10 and word[4] == "-" and self._text[self._at + 1 : self._at + 3].isdigit():
            self._at += 1  # a date and a time with a blank between them
            while self._peek() and self._peek() not in _VALUE_END:
                self._at += 1
            word = self._text[start : self._at]
        return self._scalar(word)

    def _scalar(self, word: str) -> Any:
        if word in ("true", "false"):
            return word == "true"
        bare = word.lstrip("+-")
        if len(word) - len(bare) <= 1 and bare in ("inf", "nan"):
            return float(word)
        if word.isascii() and bare[:1].isdigit():
            if _is_time(word):
                return word
            number = _number(word, bare)
            if number is not None:
                return number
        raise self._error("expected a value; put text in quotes" if word else "expected a value")

    def _read_array(self, depth: int) -> list[Any]:
        self._at += 1
        values: list[Any] = []
        self._closed.add(id(values))
        while True:
            self._skip_lines()
            if self._peek() == "]":
                break
            values.append(self._read_value(depth + 1))
            self._skip_lines()
            if self._peek() != ",":
                break
            self._at += 1
        self._expect("]")
        return values

    def _read_inline_table(self, depth: int) -> Table:
        self._at += 1
        table: Table = {}
        self._skip(" \t")
        while self._peek() != "}":
            self._read_pair(table, depth + 1)
            self._skip(" \t")
            if self._peek() != ",":
                break
            self._at += 1
            self._skip(" \t")
            if self._peek() == "}":
                raise self._error("expected a key")
        self._expect("}")
        self._close(table)
        return table

    def _close(self, table: Table) -> None:
        """Close an inline table and those that its dotted keys made."""
        self._closed.add(id(table))
        self._dotted.add(id(table))
        for value in table.values():
            if isinstance(value, dict) and id(value) not in self._closed:
                self._close(value)

    def _read_text(self) -> str:
        quote = self._peek()
        is_long = self._text.startswith(quote * 3, self._at)
        self._at += 3 if is_long else 1
        if is_long and self._peek() == "\n":
            self._at += 1
        parts: list[str] = []
        while True:
            start = self._at
            while self._peek() not in (quote, "\\", "\n", "") and (self._peek() >= " " or self._peek() == "\t") and self._peek() != "\x7f":
                self._at += 1
            parts.append(self._text[start : self._at])
            character = self._peek()
            if character == quote:
                if not is_long:
                    self._at += 1
                    return "".join(parts)
                run = 1
                while run < 5 and self._text[self._at + run : self._at + run + 1] == quote:
                    run += 1
                self._at += run
                if run >= 3:
                    return "".join(parts) + quote * (run - 3)
                parts.append(quote * run)
            elif character == "\\" and quote == '"':
                parts.append(self._read_escape(is_long))
            elif character == "\\" or (character == "\n" and is_long):
                parts.append(character)
                self._at += 1
            else:
                raise self._error("a text without its closing quote" if character in ("\n", "") else "a control character in a text")

    def _read_escape(self, is_long: bool) -> str:
        character = self._text[self._at + 1 : self._at + 2]
        self._at += 2
        if character in _ESCAPES and character:
            return _ESCAPES[character]
        length = {"u": 4, "U": 8}.get(character, 0)
        if length:
            digits = self._text[self._at : self._at + length]
            if len(digits) == length and all(c in "0123456789abcdefABCDEF" for c in digits):
                code = int(digits, 16)
                if code < 0xD800 or 0xE000 <= code <= 0x10FFFF:
                    self._at += length
                    return chr(code)
        elif is_long and character in (" ", "\t", "\n") and character:
            self._at -= 1
            end = self._at
            while self._text[end : end + 1] in (" ", "\t") and self._text[end : end + 1]:
                end += 1
            if self._text[end : end + 1] == "\n":
                self._at = end
                self._skip(" \t\n")
                return ""
        raise self._error("an unknown escape in a text")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, characters: str) -> None:
        """Skip these, and a comment where the ends of lines are skipped, too."""
        while True:
            while self._peek() in characters and self._peek():
                self._at += 1
            if "\n" not in characters or self._peek() != "#":
                return
            self._skip_comment()

    def _skip_lines(self) -> None:
        self._skip(" \t\n")

    def _skip_comment(self) -> None:
        end = self._text.find("\n", self._at)
        comment = self._text[self._at : end if end >= 0 else len(self._text)]
        if any((c < " " and c != "\t") or c == "\x7f" for c in comment):
            raise self._error("a control character in a comment")
        self._at += len(comment)

    def _expect(self, text: str) -> None:
        self._skip(" \t")
        if not self._text.startswith(text, self._at):
            raise self._error(f"expected {text!r}")
        self._at += len(text)

    def _end_line(self) -> None:
        self._skip(" \t")
        if self._peek() == "#":
            self._skip_comment()
        if self._peek() not in ("\n", ""):
            raise self._error("expected the end of the line")

    def _error(self, message: str) -> InvalidData:
        return InvalidData(f"line {self._text.count(chr(10), 0, self._at) + 1}: {message}")


def _is_time(word: str) -> bool:
    """Whether a word is a date, a time, or both (RFC 3339)."""
    if _is_pattern(word[:10], "0000-00-00"):
        if len(word) == 10:
            return True
        if word[10] not in "Tt ":
            return False
        word = word[11:]
        offset = next((at for at, c in enumerate(word) if c in "Zz+-"), len(word))
        if word[offset:] not in ("", "Z", "z") and not _is_pattern(word[offset + 1 :], "00:00"):
            return False
        word = word[:offset]
    return _is_pattern(word[:8], "00:00:00") and (len(word) == 8 or (word[8] == "." and word[9:].isdecimal()))


def _is_pattern(word: str, pattern: str) -> bool:
    return len(word) == len(pattern) and all(c.isdecimal() if p == "0" else c == p for c, p in zip(word, pattern))


def _number(word: str, bare: str) -> int | float | None:
    """The number that a word is, or None. Underscores stand between digits only, and no decimal number begins with a zero."""
    prefix = {"0x": 16, "0o": 8, "0b": 2}.get(bare[:2])
    digits = bare[2:] if prefix else bare
    if not digits.replace("_", "0").replace(".", "").replace("e", "").replace("E", "").replace("+", "").replace("-", "").isalnum():
        return None
    if any(not (digits[at - 1 : at].isalnum() and digits[at + 1 : at + 2].isalnum()) for at, c in enumerate(digits) if c == "_"):
        return None
    plain = digits.replace("_", "")
    if prefix:
        try:
            return int(plain, prefix) if bare == word and len(plain) <= 64 and plain[:1] not in "+-" else None
        except ValueError:
            return None
    integer = plain.replace("E", "e").partition("e")[0].partition(".")[0]
    if len(word) - len(bare) > 1 or not integer.isdigit() or (len(integer) > 1 and integer[0] == "0") or len(plain) > 400:
        return None
    if plain.isdigit():
        return int(word.replace("_", ""))
    mantissa, has_exponent, exponent = plain.replace("E", "e").partition("e")
    _, dot, fraction = mantissa.partition(".")
    if (dot and not fraction.isdigit()) or (has_exponent and not (exponent[1:] if exponent[:1] in ("+", "-") else exponent).isdigit()):
        return None
    return float(word.replace("_", ""))
