r"""Block YAML, read fast: the layout that eidos, Go's yaml.v3, kubectl and PyYAML write, and what people write by hand.

Knows the indented subset of YAML 1.1 and 1.2 (mappings, sequences, plain, quoted and block scalars, flow collections on a few lines,
comments); must not know what a document means. PyYAML takes 25 ms to import and a millisecond for every twenty lines; this reader takes
a thirtieth of that. It looks at the text a line at a time and never goes back. Anchors, aliases, tags, ``? `` keys, directives, several
documents and every error but a repeated key give UNKNOWN: ``yaml_reader`` reads those, and it gives the same tree for everything that is
read here.

>>> parse_block_yaml('kind: Recipe # a comment\nlist:\n- name: "24.04"\n  on: true\n- 5\n')
{'kind': 'Recipe', 'list': [{'name': '24.04', 'on': True}, 5]}
>>> parse_block_yaml("a: &anchor 1\n") is UNKNOWN
True
"""

from __future__ import annotations

from eidos.formats.source_text import DocumentSyntaxError, RepeatedKey
from eidos.formats.yaml_scalars import (
    WORDS,
    Unsupported,
    begins_plain,
    closing_quote,
    find_colon,
    has_key,
    is_line_end,
    is_path,
    is_printable,
    resolve_plain,
    strip_comment,
    unquoted,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Returned for a text that is not of this subset.
UNKNOWN: Any = object()

#: Whether a text can be nothing but a key or a plain scalar: letters, digits and, in an identifier, underscores.
is_identifier, is_alphanumeric = str.isidentifier, str.isalnum

#: PyYAML looks for the colon behind a key in 1,024 characters.
_KEY_LIMIT = 1000

#: Distinct scalars that are remembered; most values of a document come again.
_REMEMBERED = 4096


def parse_block_yaml(text: str, depth: int = 100, values: int = 2_000_000, proceed: Callable[[], object] | None = None) -> Any:
    """The tree in ``text``, or UNKNOWN; at most ``depth`` levels.

    ``proceed`` is called every few hundred lines and may raise. Raises DocumentSyntaxError for a repeated key and for too many ``values``.
    """
    lines = text.split("\n")
    if not all(map(str.isprintable, lines)):  # which is more than YAML asks for, and soon known
        text = text.replace("\r\n", "\n")
        if "\r" in text or not is_printable(text):
            return UNKNOWN
        lines = text.split("\n")
    start = _document_start(lines)
    if start is None:
        return UNKNOWN
    if ("\n---" in text or "\n..." in text or text[:3] in ("---", "...")) and any(line[:3] in ("---", "...") for line in lines[start:]):
        return UNKNOWN
    reader = _BlockReader(lines, depth, proceed)
    reader.at = start
    try:
        tree = reader.document()
    except Unsupported:
        return UNKNOWN
    if 3 * len(lines) + reader.flow_values > values and _count(tree) > values:
        raise DocumentSyntaxError(f"more than {values:,} values")
    return tree


def _document_start(lines: list[str]) -> int | None:
    """The first line of the one document; what ends it is cut off. None where there may be several, or directives."""
    start, end = 0, len(lines)
    while start < end and lines[start].strip(" \t")[:1] in ("", "#"):
        start += 1
    if start < end and lines[start][:3] == "---":
        if lines[start].rstrip(" \t") != "---":
            return None
        start += 1
    elif start < end and (lines[start][:1] == "%" or lines[start][:3] == "..."):
        return None
    last = end
    while last > start and not lines[last - 1].strip(" \t"):
        last -= 1
    if last > start and lines[last - 1].rstrip(" \t") in ("---", "..."):
        del lines[last - 1 :]
        lines.append("")
    return start


def _count(tree: Any) -> int:
    """Keys and values in ``tree``."""
    total, level = 0, [tree]
    while level:
        total += len(level) + sum(len(node) for node in level if isinstance(node, dict))
        level = [child for node in level if isinstance(node, (dict, list)) for child in (node.values() if isinstance(node, dict) else node)]
    return total


class _BlockReader:
    """One document: its lines, and the number of the line that comes next."""

    def __init__(self, lines: list[str], depth: int, proceed: Callable[[], object] | None) -> None:
        self.lines = lines
        self.at = 0
        self.depth = depth
        self.proceed = proceed
        self.flow_values = 0
        self._keys: dict[str, str] = {}
        self._scalars: dict[str, Any] = {}
        self._next_call = 256

    def document(self) -> Any:
        """The tree; None when there is nothing but comments."""
        content = self.next_content()
        if content is None:
            return None
        tree = self.block(content, -1, 1)
        if self.next_content() is not None:
            raise Unsupported
        return tree

    def next_content(self) -> str | None:
        """The next line that holds more than blanks and a comment, without its indent; None at the end."""
        lines = self.lines
        while self.at < len(lines):
            content = lines[self.at].lstrip(" ")
            if content and content[0] != "#":
                if content[0] != "\t":
                    return content
                if content.strip(" \t")[:1] not in ("", "#"):
                    raise Unsupported
            self.at += 1
        return None

    def indent(self, content: str) -> int:
        """The column at which ``content`` begins on the line that comes next."""
        return len(self.lines[self.at]) - len(content)

    def block(self, content: str, parent: int, depth: int) -> Any:
        """The node that begins with ``content`` on its own line, inside a collection at column ``parent``."""
        if depth > self.depth:
            raise Unsupported
        column = self.indent(content)
        if content[:2] == "- " or content == "-":
            return self.sequence(content, column, depth)
        if self.begins_mapping(content):
            return self.mapping(content, column, depth)
        value = self.scalar(content, parent)
        following = self.next_content()
        return self.continued(content, parent) if following is not None and self.indent(following) > parent else value

    def enter(self, depth: int) -> None:
        """Begin a collection."""
        if depth > self.depth:
            raise Unsupported
        if self.proceed is not None and self.at >= self._next_call:
            self._next_call = self.at + 256
            self.proceed()

    def begins_mapping(self, content: str) -> bool:
        """Whether a line begins with a key."""
        key, separator, _ = content.partition(": ")
        if separator:
            return key in self._keys or is_identifier(key) or has_key(content)
        return (content[-1] == ":" and (content[:-1] in self._keys or is_identifier(content[:-1]))) or has_key(content)

    def mapping(self, content: str, indent: int, depth: int) -> dict[str, Any]:
        """The mapping whose keys are at column ``indent``; ``content`` is its first line from the key on."""
        self.enter(depth)
        lines, keys, scalars = self.lines, self._keys, self._scalars
        tree: dict[str, Any] = {}
        first, end, at = self.at, len(lines), self.at
        while True:
            key, separator, rest = content.partition(": ")
            if not separator:
                key = content[:-1] if content[-1] == ":" else ""
            if key not in keys:
                if (is_identifier(key) or is_alphanumeric(key) or is_path(key)) and len(key) <= _KEY_LIMIT:
                    keys[key] = key
                else:
                    key, rest = self.key(content)
            if key in tree:
                raise self.repeated(key, first, at, indent)
            if rest in scalars:
                tree[key] = scalars[rest]
                at += 1
            elif is_identifier(rest):
                tree[key] = WORDS.get(rest, rest)
                at += 1
            elif is_alphanumeric(rest):
                tree[key] = resolve_plain(rest)
                at += 1
            elif not rest:
                self.at = at
                tree[key] = self.below(indent, depth, is_sequence=False)
                at = self.at
            else:
                self.at = at
                tree[key] = self.value(rest, indent, depth)
                at = self.at
            while at < end:
                line = lines[at]
                content = line.lstrip(" ")
                if content and content[0] not in "#\t":
                    break
                if content[:1] == "\t" and content.strip(" \t")[:1] not in ("", "#"):
                    raise Unsupported
                at += 1
            else:
                self.at = at
                return tree
            column = len(line) - len(content)
            if column > indent:
                self.at = at
                tree[key] = self.continued(rest, indent)
                at = self.at
                following = self.next_content()
                at = self.at
                if following is None:
                    return tree
                content, column = following, self.indent(following)
            if column < indent:
                self.at = at
                return tree
            if content[0] == "-" and content[1:2] in ("", " "):
                raise Unsupported

    def sequence(self, content: str, indent: int, depth: int) -> list[Any]:
        """The sequence whose dashes are at column ``indent``; ``content`` is its first line from the dash on."""
        self.enter(depth)
        items: list[Any] = []
        lines, scalars, end = self.lines, self._scalars, len(self.lines)
        while True:
            rest = content[1:].lstrip(" ")
            if rest in scalars:
                items.append(scalars[rest])
                self.at += 1
            elif is_alphanumeric(rest):
                items.append(resolve_plain(rest))
                self.at += 1
            elif rest[:1] in ("", "#"):
                items.append(self.below(indent, depth, is_sequence=True))
            elif rest[:2] == "- " or rest == "-":
                items.append(self.sequence(rest, indent + len(content) - len(rest), depth + 1))
            elif self.begins_mapping(rest):
                items.append(self.mapping(rest, indent + len(content) - len(rest), depth + 1))
            else:
                items.append(self.scalar(rest, indent))
            at = self.at
            while at < end:
                line = lines[at]
                content = line.lstrip(" ")
                if content and content[0] not in "#\t":
                    break
                if content[:1] == "\t" and content.strip(" \t")[:1] not in ("", "#"):
                    raise Unsupported
                at += 1
            self.at = at
            if at < end and len(line) - len(content) > indent:
                items[-1] = self.continued(rest, indent)
                content = self.next_content() or ""
            if self.at == end or len(lines[self.at]) - len(content) < indent or content[:2] not in ("- ", "-"):
                return items

    def key(self, content: str) -> tuple[str, str]:
        """The key with which a line begins, and what follows its colon."""
        if content[0] in "\"'":
            end = closing_quote(content)
            if end < 0:
                raise Unsupported
            after = content[end + 1 :].lstrip(" ")
            if end > _KEY_LIMIT or after[:1] != ":" or after[1:2] not in ("", " ", "\t"):
                raise Unsupported
            return unquoted(content[: end + 1]), after[1:].lstrip(" \t")
        end = find_colon(content)
        if end < 0:
            raise Unsupported
        key, rest = content[:end].rstrip(" "), content[end + 1 :].lstrip(" \t")
        if not key or len(key) > _KEY_LIMIT or not begins_plain(key) or " #" in key or "\t" in key or key == "<<":
            raise Unsupported
        if end == len(key):
            self._keys[key] = key
        return key, rest

    def value(self, rest: str, indent: int, depth: int) -> Any:
        """The value of a key at column ``indent``; ``rest`` follows its colon."""
        rest = rest.lstrip(" \t")
        if rest[:1] in ("", "#"):
            return self.below(indent, depth, is_sequence=False)
        return self.scalar(rest, indent)

    def below(self, indent: int, depth: int, is_sequence: bool) -> Any:
        """The node on the lines after a key or a dash at column ``indent``; None when there is none."""
        self.at += 1
        content = self.next_content()
        if content is None:
            return None
        column = self.indent(content)
        if column > indent:
            return self.block(content, indent, depth + 1)
        if column == indent and not is_sequence and content[0] == "-" and content[1:2] in ("", " "):
            return self.sequence(content, column, depth + 1)
        return None

    def scalar(self, rest: str, parent: int) -> Any:
        """The scalar or flow collection that begins with ``rest`` on the next line, inside a collection at column ``parent``."""
        first = rest[0]
        if first in "\"'":
            return self.quoted(rest)
        if first in "|>":
            from eidos.formats.yaml_lines import read_block_scalar

            text, self.at = read_block_scalar(self.lines, self.at, rest, parent)
            return text
        if first in "[{":
            return self.flow(rest)
        text = strip_comment(rest) if "#" in rest else rest.rstrip(" \t")
        if not text or not begins_plain(text) or (":" in text and find_colon(text) >= 0):
            raise Unsupported
        value = resolve_plain(text)
        self.remember(rest, value)
        self.at += 1
        return value

    def remember(self, rest: str, value: Any) -> None:
        """Keep the value of a scalar that ends on its line."""
        if len(rest) < 80:
            if len(self._scalars) >= _REMEMBERED:
                self._scalars.clear()
            self._scalars[rest] = value

    def quoted(self, rest: str) -> str:
        """The string in quotes that begins with ``rest``, over as many lines as it takes."""
        end = closing_quote(rest)
        if end >= 0:
            if not is_line_end(rest, end + 1):
                raise Unsupported
            value = unquoted(rest[: end + 1])
            self.remember(rest, value)
            self.at += 1
            return value
        from eidos.formats.yaml_lines import fold_quoted

        quote, pieces = rest[0], [rest[1:]]
        while self.at + 1 < len(self.lines):
            self.at += 1
            line = self.lines[self.at].lstrip(" \t")
            end = closing_quote(quote + line) if quote in line else -1
            if end >= 0:
                if not is_line_end(line, end):
                    raise Unsupported
                self.at += 1
                return fold_quoted(quote, [*pieces, line[: end - 1]])
            pieces.append(line)
        raise Unsupported

    def continued(self, rest: str, indent: int) -> str:
        """The plain scalar that began with ``rest`` and goes on at the next line, deeper than column ``indent``."""
        from eidos.formats.yaml_lines import fold_plain

        text, self.at = fold_plain(self.lines, self.at, rest, indent)
        following = self.next_content()
        if following is not None and self.indent(following) > indent:
            raise Unsupported  # a comment ended it
        return text

    def flow(self, rest: str) -> Any:
        """The flow collection that begins with ``rest``."""
        from eidos.formats.yaml_lines import read_flow

        value, at = read_flow(self.lines, self.at, rest, self.depth)
        self.flow_values += sum(map(len, self.lines[self.at : at]))
        self.at = at
        return value

    def repeated(self, key: str, first: int, again: int, indent: int) -> RepeatedKey:
        """What to raise for a key that occurs twice in a mapping whose first line has the number ``first``."""
        number = again
        for number in range(first, again):
            line = self.lines[number]
            if line[:indent].strip(" -") or not line[indent:] or line[indent] == " ":
                continue
            try:
                if self.key(line[indent:])[0] == key:
                    break
            except Unsupported:
                continue
        from eidos.model.tree_reader import quoted

        reason = f"the key {quoted(key)} is repeated; first used on line {number + 1}"
        return RepeatedKey(reason, "remove one of the two", again + 1, indent + 1)
