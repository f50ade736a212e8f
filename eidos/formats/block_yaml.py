r"""The YAML that we write ourselves, read fast.

Knows the layout of ``yaml_out`` and nothing more of YAML; must not know what a document means. PyYAML takes 25 ms to import and a
millisecond for every twenty lines; most documents that eidos reads were written by eidos. What is not exactly of that layout (a
comment, a rare escape, a float, another indent, a key twice) is left to ``yaml_in``, which gives the same tree for everything that is
read here.

>>> read('kind: Recipe\nlist:\n  - name: "24.04"\n    on: true\n  - 5\n')
{'kind': 'Recipe', 'list': [{'name': '24.04', 'on': True}, 5]}
>>> read("kind: Recipe # a comment\n") is UNKNOWN
True
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What is given for a text of another layout.
UNKNOWN: Any = object()

_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FIRST = frozenset(_LETTERS + "_/")
_PLAIN = _LETTERS + _DIGITS + "_/.-"
_WORDS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL")),
}

_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", '"': '"'}

#: What is larger or deeper is checked against the limits of a document, which is the other reader's business.
_LIMIT, _DEPTH = 1 << 20, 40


class _Other(Exception):
    """The text is of another layout."""


def read(text: str) -> Any:
    """The tree in ``text``, or UNKNOWN."""
    if len(text) > _LIMIT or not text.isascii() or not text.endswith("\n") or not text.replace("\n", "").isprintable():
        return UNKNOWN
    lines = []
    for line in text.split("\n")[:-1]:
        content = line.lstrip(" ")
        lines.append([len(line) - len(content), content])
    try:
        reader = _Block(lines)
        tree = reader.block(0, 0)
    except _Other:
        return UNKNOWN
    return tree if reader.at == len(lines) else UNKNOWN


class _Block:
    """One document under way: its lines as indent and content, and the line that comes next."""

    def __init__(self, lines: list[Any]) -> None:
        self.lines = lines
        self.at = 0

    def block(self, indent: int, depth: int) -> Any:
        """The mapping or the sequence whose lines begin at ``indent``."""
        if depth > _DEPTH or self.at == len(self.lines) or self.lines[self.at][0] != indent:
            raise _Other
        return self.sequence(indent, depth) if self.lines[self.at][1].startswith("- ") else self.mapping(indent, depth)

    def mapping(self, indent: int, depth: int) -> dict[str, Any]:
        lines, tree = self.lines, {}
        while self.at < len(lines) and lines[self.at][0] == indent:
            content = lines[self.at][1]
            if content[:1] == '"':
                end = content.find('"', 1)
                key, rest = content[1:end], content[end + 1 :]
                if end < 0 or rest[:1] != ":" or "\\" in key:
                    raise _Other
                rest = rest[1:]
            else:
                key, colon, rest = content.partition(":")
                if not colon or not key or key[0] not in _FIRST or key.strip(_PLAIN):
                    raise _Other
            if key in tree:
                raise _Other
            self.at += 1
            if rest:
                if rest[0] != " ":
                    raise _Other
                tree[key] = _scalar(rest[1:])
            else:
                tree[key] = self.block(indent + 2, depth + 1)
        if self.at < len(lines) and lines[self.at][0] > indent:
            raise _Other
        return tree

    def sequence(self, indent: int, depth: int) -> list[Any]:
        lines, items = self.lines, []
        while self.at < len(lines) and lines[self.at][0] == indent and lines[self.at][1].startswith("- "):
            content = lines[self.at][1][2:]
            if _is_key(content) or content.startswith("- "):
                lines[self.at] = [indent + 2, content]
                items.append(self.block(indent + 2, depth + 1))
            else:
                self.at += 1
                items.append(_scalar(content))
        if self.at < len(lines) and lines[self.at][0] >= indent:
            raise _Other
        return items


def _is_key(content: str) -> bool:
    """Whether a line begins with a key, rather than being a scalar."""
    if content[:1] == '"':
        return content[content.find('"', 1) + 1 :].startswith(":")
    return ":" in content


def scalar(text: str) -> Any:
    """The scalar that ``text`` is in YAML where it stands without quotes."""
    if text[:1] in _FIRST:
        return _WORDS.get(text, text)
    if text.count(".") > 1:  # a version
        return text
    try:
        return _scalar(text)
    except _Other:
        from eidos.formats.plain_scalars import plain  # it imports re

        return plain(text)


def _unescaped(text: str) -> str:
    """A string in double quotes with the commonest escapes in it."""
    first, *rest = text[1:-1].split("\\")
    found = first
    if text[-1] != '"' or len(text) < 2 or '"' in first:
        raise _Other
    pairs = iter(rest)
    for piece in pairs:
        if not piece:  # an escaped backslash: what follows it is text
            following = next(pairs, None)
            if following is None:
                raise _Other
            found += "\\"
            piece = " " + following
        elif piece[0] in _ESCAPES:
            found += _ESCAPES[piece[0]]
        else:
            raise _Other
        if '"' in piece[1:]:
            raise _Other
        found += piece[1:]
    return found


def _scalar(text: str) -> Any:
    first = text[:1]
    if first == '"':
        if "\\" in text:
            return _unescaped(text)
        if len(text) < 2 or text.find('"', 1) != len(text) - 1:
            raise _Other
        return text[1:-1]
    if first in _FIRST and not text.strip(_PLAIN):
        return _WORDS.get(text, text)
    digits = text[1:] if first == "-" else text
    if digits and len(digits) < 19 and not digits.strip(_DIGITS) and str(int(text)) == text:
        return int(text)
    if text in ("{}", "[]"):
        return {} if text == "{}" else []
    raise _Other
