"""Scalars of YAML in every style, comments, and flow collections on one line.

Knows how text is quoted, escaped, folded, commented and bracketed (YAML 1.2.2, chapters 5 to 8); must not know mappings and sequences in
blocks, which are those of ``block_yaml``. What is outside of the subset raises Unsupported.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

#: First characters of a plain scalar that can be nothing else (YAML 1.2.2, 7.3.3: no indicator).
_STRING_FIRST = frozenset(_LETTERS + "_/")
_PLAIN_FIRST = frozenset(_LETTERS + "0123456789_/.+~$^()\\;<=")
WORDS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~")),
}

#: YAML 1.2.2, 5.7: the character after a backslash and what the two stand for.
_ESCAPES = {
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "t": "\t",
    "\t": "\t",
    "n": "\n",
    "v": "\v",
    "f": "\f",
    "r": "\r",
    "e": "\x1b",
    " ": " ",
    '"': '"',
    "/": "/",
    "\\": "\\",
    "N": "\x85",
    "_": "\xa0",
    "L": "\u2028",
    "P": "\u2029",
}
_HEX = {"x": 2, "u": 4, "U": 8}

#: Lines over which a flow collection is read here.
_FLOW_LINES = 64


class Unsupported(Exception):
    """The text leaves the subset."""


def is_printable(text: str) -> bool:
    """Whether YAML allows every character, and none is one of the rare line breaks."""
    if text.isascii():
        return text.replace("\n", "").replace("\t", "").replace("\r", "").isprintable()
    import re

    return not re.search("[^\t\n\r -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]", text)


def read_flow(lines: list[str], at: int, rest: str, depth: int) -> tuple[Any, int]:
    """The flow collection that begins with ``rest``, the end of line ``at``, and the number of the line after it; a few lines at most."""
    if rest in ("{}", "[]"):
        return ({} if rest == "{}" else []), at + 1
    text = rest
    for number in range(at + 1, at + _FLOW_LINES):
        scanner = _FlowScanner(text, depth)
        try:
            value = scanner.node(1)
        except IndexError:
            line = lines[number].strip(" \t") if number < len(lines) else ""
            if not line or "#" in line or "#" in text or (text[-1] not in ",[{" and line[0] not in "]}"):
                raise Unsupported from None
            text += " " + line
            continue
        if not is_line_end(text, scanner.at):
            raise Unsupported
        return value, number
    raise Unsupported


class _FlowScanner:
    """A flow collection on one line (YAML 1.2.2, 7.4); IndexError where it ends too early."""

    def __init__(self, text: str, depth: int) -> None:
        self.text = text
        self.at = 0
        self.depth = depth

    def skip(self) -> str:
        """The next character that is no blank."""
        while self.text[self.at] in " \t":
            self.at += 1
        return self.text[self.at]

    def node(self, depth: int) -> Any:
        """The value that begins here."""
        if depth > self.depth:
            raise Unsupported
        first = self.skip()
        if first == "[":
            return self.sequence(depth)
        if first == "{":
            return self.mapping(depth)
        return self.scalar(is_key=False)

    def sequence(self, depth: int) -> list[Any]:
        """The items up to the closing bracket."""
        self.at += 1
        items: list[Any] = []
        while self.skip() != "]":
            items.append(self.node(depth + 1))
            if self.skip() == ",":
                self.at += 1
            elif self.text[self.at] != "]":
                raise Unsupported
        self.at += 1
        return items

    def mapping(self, depth: int) -> dict[str, Any]:
        """The pairs up to the closing brace."""
        self.at += 1
        tree: dict[str, Any] = {}
        while self.skip() != "}":
            key = self.scalar(is_key=True)
            if self.skip() != ":" or self.text[self.at + 1] not in " \t" or key in tree or key == "<<":
                raise Unsupported
            self.at += 1
            if self.skip() in ",}":
                tree[key] = None
            else:
                tree[key] = self.node(depth + 1)
            if self.skip() == ",":
                self.at += 1
            elif self.text[self.at] != "}":
                raise Unsupported
        self.at += 1
        return tree

    def scalar(self, is_key: bool) -> Any:
        """A scalar; as a key its text."""
        text, start = self.text, self.at
        if text[start] in "\"'":
            end = closing_quote(text, start)
            if end < 0:
                raise IndexError
            self.at = end + 1
            return unquoted(text[start : self.at])
        while text[self.at] not in ",[]{}" and not (text[self.at] == ":" and text[self.at + 1] in " \t,[]{}"):
            self.at += 1
        if text[self.at] in "[{" or (text[self.at] == ":" and not is_key):
            raise Unsupported
        word = text[start : self.at].rstrip(" \t")
        if not word or (word[0] in "-?:" and not word[1:2].isdigit()) or not begins_plain(word) or "\t" in word or " #" in word:
            raise Unsupported
        return word if is_key else resolve_plain(word)


def resolve_plain(text: str) -> Any:
    """The scalar that ``text`` is in YAML without quotes."""
    first = text[:1]
    if first in _STRING_FIRST:
        return WORDS.get(text, text)
    digits = text[1:] if first == "-" else text
    if len(text) < 19 and text.isascii():
        if digits.isdecimal() and (digits[0] != "0" or text == "0"):
            return int(text)
        integer, point, fraction = digits.partition(".")
        if point and integer.isdecimal() and fraction.isdecimal() and repr(float(text)) == text:
            return float(text)
    if text.count(".") > 1:  # a version
        return text
    from eidos.formats.plain_scalars import resolve_scalar  # it imports re

    return resolve_scalar(text)


def begins_plain(text: str) -> bool:
    """Whether a plain scalar may begin like this."""
    first = text[0]
    return first in _PLAIN_FIRST or first > "\x7f" or (first in "-?:" and text[1:2] not in ("", " ", "\t", ",", "[", "]", "{", "}"))


def find_colon(text: str) -> int:
    """The index of the colon that makes what is before it a key, or -1."""
    at = text.find(":")
    while at >= 0 and text[at + 1 : at + 2] not in ("", " ", "\t"):
        at = text.find(":", at + 1)
    return at


def has_key(content: str) -> bool:
    """Whether a line begins with a key, rather than being a scalar."""
    if content[0] in "\"'":
        end = closing_quote(content)
        after = content[end + 1 :].lstrip(" ")
        return end >= 0 and after[:1] == ":" and after[1:2] in ("", " ", "\t")
    return content[0] not in "[{|>" and find_colon(strip_comment(content)) >= 0


def strip_comment(text: str) -> str:
    """A line without the comment that ends it, and without blanks at its end."""
    at = text.find("#")
    while at >= 0:
        if at == 0 or text[at - 1] in " \t":
            return text[:at].rstrip(" \t")
        at = text.find("#", at + 1)
    return text.rstrip(" \t")


def is_line_end(text: str, at: int) -> bool:
    """Whether nothing but a comment follows in a line."""
    rest = text[at:]
    return not rest or (rest[0] in " \t" and rest.strip(" \t")[:1] in ("", "#"))


def closing_quote(text: str, start: int = 0) -> int:
    """Where the string ends whose quote is at ``start``; -1 when it goes on."""
    quote = text[start]
    at = text.find(quote, start + 1)
    if quote == "'":
        while at >= 0 and text[at + 1 : at + 2] == "'":
            at = text.find("'", at + 2)
        return at
    while at >= 0:
        before = at
        while text[before - 1] == "\\":
            before -= 1
        if (at - before) % 2 == 0:
            return at
        at = text.find('"', at + 1)
    return at


def unquoted(text: str) -> str:
    """What a string in quotes on one line stands for."""
    inner = text[1:-1]
    if text[0] == "'":
        return inner.replace("''", "'")
    return _unescaped(inner) if "\\" in inner else inner


def _unescaped(text: str) -> str:
    """Text between double quotes with its escapes resolved."""
    # Between two escaped backslashes every backslash begins an escape; most are of line breaks, and replaced at once.
    return "\\".join([_unescaped_part(part) if "\\" in part else part for part in text.split("\\\\")])


def _unescaped_part(text: str) -> str:
    text = text.replace("\\n", "\n").replace('\\"', '"').replace("\\t", "\t")
    pieces = []
    at, backslash = 0, text.find("\\")
    while backslash >= 0:
        pieces.append(text[at:backslash])
        letter = text[backslash + 1 : backslash + 2]
        at = backslash + 2
        if letter in _HEX:
            digits = text[at : at + _HEX[letter]]
            if len(digits) != _HEX[letter] or digits.strip("0123456789abcdefABCDEF"):
                raise Unsupported
            code = int(digits, 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise Unsupported
            pieces.append(chr(code))
            at += _HEX[letter]
        elif letter and letter in _ESCAPES:
            pieces.append(_ESCAPES[letter])
        else:
            raise Unsupported
        backslash = text.find("\\", at)
    pieces.append(text[at:])
    return "".join(pieces)


def fold_quoted(quote: str, lines: list[str]) -> str:
    """What the lines between two quotes stand for (YAML 1.2.2, 6.5 and 7.3)."""
    pieces: list[str] = []
    breaks, escaped, last = 0, True, len(lines) - 1
    for number, line in enumerate(lines):
        if number < last:
            line = line.rstrip(" \t")
            if not line and number:
                breaks += 1
                continue
        if number:
            pieces.append("\n" * breaks if breaks or escaped else " ")
        breaks, escaped = 0, False
        if quote == "'":
            pieces.append(line.replace("''", "'") if "'" in line else line)
        elif "\\" not in line:
            pieces.append(line)
        else:
            if number < last and (len(line) - len(line.rstrip("\\"))) % 2:
                if len(line) < len(lines[number]):
                    raise Unsupported  # an escaped blank before the line break
                line, escaped = line[:-1], True
            pieces.append(_unescaped(line))
    return "".join(pieces)


def fold_plain(lines: list[str], at: int, begin: str, indent: int) -> tuple[str, int]:
    """The plain scalar that begins as ``begin`` above line ``at``, deeper than column ``indent``, and the number of the line after it."""
    text, before = begin.rstrip(" \t"), at - 1
    if not begin or not begins_plain(begin) or find_colon(begin) >= 0 or strip_comment(begin) != text:
        raise Unsupported
    while not lines[before].strip(" "):
        before -= 1
    if not lines[before].rstrip(" \t").endswith(text) or lines[before].lstrip(" \t")[:1] == "#":
        raise Unsupported  # a comment or a tab stands between
    pieces, breaks = [text], at - 1 - before
    while at < len(lines):
        line = lines[at]
        content = line.strip(" \t")
        if not content:
            if line.strip(" "):
                raise Unsupported  # a tab alone: readers differ
            breaks += 1
            at += 1
            continue
        if len(line) - len(line.lstrip(" ")) <= indent:
            break
        piece = strip_comment(content)
        if content[0] == "#" or line.lstrip(" ")[0] == "\t" or find_colon(piece) >= 0:
            raise Unsupported
        pieces += ["\n" * breaks or " ", piece]
        breaks = 0
        at += 1
        if piece != content:
            break
    return "".join(pieces), at


def read_block_scalar(lines: list[str], at: int, header: str, parent: int) -> tuple[str, int]:
    """The literal or folded text below line ``at``, which ends in ``header``, and the number of the line after it (YAML 1.2.2, 8.1).

    It is part of a collection at column ``parent``.
    """
    marks = strip_comment(header)
    chomp = "".join(mark for mark in marks[1:] if mark in "+-")
    digit = "".join(mark for mark in marks[1:] if mark in "123456789")
    if len(chomp) > 1 or len(digit) > 1 or len(marks) != 1 + len(chomp) + len(digit):
        raise Unsupported
    at, parent = at + 1, max(parent, 0)
    indent = parent + int(digit) if digit else 0
    body: list[str] = []
    while not indent and at < len(lines):
        line = lines[at]
        bare = line.lstrip(" ")
        if bare:
            indent = len(line) - len(bare)
            if indent > parent and max(map(len, lines[at - len(body) : at]), default=0) > indent:
                raise Unsupported
            break
        body.append("")
        at += 1
    if indent > parent:
        prefix, end = " " * indent, len(lines)
        while at < end:
            line = lines[at]
            if line.startswith(prefix):
                body.append(line[indent:])
            elif line.strip(" "):
                break
            else:
                body.append("")
            at += 1
    if at == len(lines) and (not body or body.pop()):  # split() gives one line more than there are line breaks
        raise Unsupported
    breaks = 0
    while body and not body[-1]:
        body.pop()
        breaks += 1
    if not body:
        return ("\n" * breaks if chomp == "+" else ""), at
    text = "\n".join(body) if marks[0] == "|" else _fold_block(body)
    return (text if chomp == "-" else text + "\n" + ("\n" * breaks if chomp == "+" else "")), at


def _fold_block(lines: list[str]) -> str:
    """The lines of a folded block scalar as one text (YAML 1.2.2, 8.1.3)."""
    pieces: list[str] = []
    breaks = 0
    was_text = False
    for number, line in enumerate(lines):
        if not line:
            breaks += 1
            continue
        is_text = line[0] not in " \t"
        if number == breaks:  # nothing but empty lines before
            pieces.append("\n" * breaks)
        elif was_text and is_text:
            pieces.append("\n" * breaks or " ")
        else:
            pieces.append("\n" * (breaks + 1))
        pieces.append(line)
        breaks, was_text = 0, is_text
    return "".join(pieces)
