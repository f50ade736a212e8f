"""Scalars of YAML that take several lines, and flow collections.

Knows how lines are folded and what stands in brackets (YAML 1.2.2, chapters 6 to 8); must not know mappings and sequences in blocks, which
are those of ``block_yaml``. Most documents have none of it, and do not import this. What is outside of the subset raises Unsupported.
"""

from __future__ import annotations

from eidos.formats.yaml_scalars import (
    Unsupported,
    begins_plain,
    closing_quote,
    find_colon,
    is_line_end,
    resolve_plain,
    strip_comment,
    unescaped,
    unquoted,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Lines over which a flow collection is read here.
_FLOW_LINES = 64


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
        """The next character that is neither a space nor a tab."""
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
            pieces.append(unescaped(line))
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
