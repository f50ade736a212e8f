"""Scalars of YAML on one line, and comments.

Knows how text is quoted, escaped and commented (YAML 1.2.2, chapters 5 to 7); must not know what takes several lines (``yaml_lines``), nor
mappings and sequences in blocks, which are those of ``block_yaml``. What is outside of the subset raises Unsupported.
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


class Unsupported(Exception):
    """The text leaves the subset."""


def is_printable(text: str) -> bool:
    """Whether YAML allows every character, and none is one of the rare line breaks."""
    if text.isascii():
        return text.replace("\n", "").replace("\t", "").replace("\r", "").isprintable()
    import re

    return not re.search("[^\t\n\r -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]", text)


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


def is_path(text: str) -> bool:
    """Whether a text is a path or a dotted name, which can be nothing but a key or a plain scalar, too."""
    return text[:1] not in "-.~" and text.replace("/", "").replace("_", "").replace("-", "").replace(".", "").isalnum()


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
    return unescaped(inner) if "\\" in inner else inner


def unescaped(text: str) -> str:
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
