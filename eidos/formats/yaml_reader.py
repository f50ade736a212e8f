"""YAML to a tree, safely.

Knows PyYAML's events and YAML's traps; must not know files or encodings. The tree is built straight from events, with a stack of
its own: no node graph, no constructors, no recursion, so a document controls neither what is constructed nor how deep. Keys are always
strings, spelled as in the document (``8: x`` and ``yes: y`` have the keys ``8`` and ``yes``). Refused are repeated keys,
keys that are no scalars, tags other than those of plain values, a second document, an alias that refers to itself.
``<<`` merges, as PyYAML and yaml.v3 have it.
"""

from __future__ import annotations

from yaml.error import MarkedYAMLError
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingStartEvent,
    ScalarEvent,
)
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.scanner import Scanner
from yaml.tokens import ScalarToken

from eidos.formats.plain_scalars import resolve_scalar
from eidos.formats.source_text import DocumentSyntaxError, RepeatedKey
from eidos.wording import shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_TAG = "tag:yaml.org,2002:"
_COLLECTION_TAGS = {True: (None, "!", _TAG + "map"), False: (None, "!", _TAG + "seq")}
_SCALAR_TYPES: dict[str, tuple[type, ...]] = {
    _TAG + "int": (int,),
    _TAG + "float": (float, int),
    _TAG + "bool": (bool,),
    _TAG + "null": (type(None),),
}


#: What ends a line, or the text.
_BREAKS = "\0\r\n\x85\u2028\u2029"


class _Events(Reader, Scanner, Parser):
    """PyYAML's own reader, up to its events.

    It forbids tabs between tokens and ``?`` inside flow collections, which YAML 1.2.2 allows (6.2, 7.3.3) and Go's yaml.v3 reads; so
    blanks and plain scalars are scanned here.
    """

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)

    def scan_to_next_token(self) -> None:
        """Skip blanks, line breaks and comments; a tab may separate tokens of a line, but not indent one."""
        super().scan_to_next_token()
        while self.peek() == "\t":
            blanks = self._blanks()
            is_indent = not self.buffer[self.pointer - self.column : self.pointer].strip(" ")
            if is_indent and not self.flow_level and self.peek(blanks) not in "#" + _BREAKS:
                return
            if not is_indent and not self.flow_level:
                self.allow_simple_key = False  # nothing that begins behind a tab may have a key or a dash of its own
            self.forward(blanks)
            super().scan_to_next_token()

    def _blanks(self) -> int:
        """How many blanks come next."""
        length = 0
        while self.peek(length) in (" ", "\t"):
            length += 1
        return length

    def check_key(self) -> bool:
        """Whether the question mark that comes next announces a key, rather than being the first character of a word."""
        return self.peek(1) in " \t" + _BREAKS + (",[]{}" if self.flow_level else "")

    def check_plain(self) -> bool:
        """Whether a plain scalar begins here."""
        return super().check_plain() or (self.peek() == "?" and not self.check_key())

    def scan_plain(self) -> ScalarToken:
        """A plain scalar, over as many lines as it takes."""
        start = end = self.get_mark()
        pieces: list[str] = []
        blanks: list[str] = []
        stops = " \t" + _BREAKS + (",[]{}" if self.flow_level else "")
        while self.peek() != "#":
            length = 0
            while self.peek(length) not in stops and not (self.peek(length) == ":" and self.peek(length + 1) in stops):
                length += 1
            if not length:
                break
            self.allow_simple_key = False
            pieces += [*blanks, self.prefix(length)]
            self.forward(length)
            end = self.get_mark()
            blanks = self.scan_plain_spaces(self.indent + 1, start) or []
            if not blanks or (not self.flow_level and self.column <= self.indent):
                break
        return ScalarToken("".join(pieces), True, start, end)

    def scan_plain_spaces(self, indent: int, start_mark: object) -> list[str] | None:
        """The blanks and line breaks inside a plain scalar."""
        blanks = self._blanks()
        if self.peek(blanks) not in _BREAKS:
            text = self.prefix(blanks)
            self.forward(blanks)
            return [text] if text else []
        self.forward(blanks)
        breaks: list[str] = []
        while self.peek() != "\0":
            if self.peek() == " " or (self.peek() == "\t" and (self.column >= indent or self.flow_level)):
                self.forward()
            elif self.peek() in _BREAKS:
                breaks.append(self.scan_line_break())  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it out
                self.allow_simple_key = True
                if self.prefix(3) in ("---", "...") and self.peek(3) in " \t" + _BREAKS:
                    return None
            else:
                break
        if breaks and breaks[0] != "\n":  # a separator of lines or paragraphs
            return breaks
        return breaks[1:] or [" "] * len(breaks)


class _Open:
    """A mapping or sequence under way."""

    def __init__(self, value: dict[str, Any] | list[Any], anchor: str | None, before: int) -> None:
        self.value = value
        self.anchor = anchor
        #: Values in the document before this one.
        self.before = before
        #: Levels below this one, so far.
        self.height = 1
        self.key: str | None = None
        #: Line of each key, and whether the key under way is ``<<``.
        self.lines: dict[str, int] = {}
        self.merging = False
        self.merged: list[dict[str, Any]] = []


class _Anchored:
    """What an alias stands for: a finished value, how many values it holds, how deep it is, a scalar's text. Unfinished: count 0."""

    def __init__(self, value: Any = None, count: int = 0, height: int = 0, text: str | None = None) -> None:
        self.value = value
        self.count = count
        self.height = height
        self.text = text


def parse_yaml(text: str, depth: int, values: int, proceed: Callable[[], object] | None = None) -> Any:
    """The tree in ``text``, with at most ``values`` values, ``depth`` levels deep; None when it is empty. Raises DocumentSyntaxError.

    ``proceed`` is called once for every few hundred of them, and may raise.
    """
    events = None
    try:
        events = _Events(text)
        return _Builder(depth, values).build(events, proceed)
    except ReaderError as cause:
        code = ord(text[cause.position])
        hint = "write it as an escape sequence in double quotes"
        raise DocumentSyntaxError.at(text, cause.position, f"the character U+{code:04X}, which YAML does not allow", hint) from cause
    except MarkedYAMLError as cause:
        mark = cause.problem_mark or cause.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        problem = (cause.problem or "").partition("tag handle ")  # behind it the tag is shown, which may be a password
        reason = ", ".join(part for part in (cause.context, "".join(problem[:2]).strip()) if part)
        raise DocumentSyntaxError(f"not YAML: {reason}", _hint(cause.problem or ""), line, column) from None  # it shows the line
    # PyYAML trusts the numbers in escapes ("\UFFFFFFFF") and directives.
    except (ValueError, OverflowError) as cause:
        mark = events.get_mark() if events is not None else None
        location = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise DocumentSyntaxError("not YAML: a number out of range in an escape sequence or a directive", None, *location) from cause


#: A part of what PyYAML says → what to do about it; the first that is contained counts.
_HINTS = {
    "'\\t'": "indent with spaces, not tabs",
    "end of stream": "the document ends too early: it is truncated, or a quote is not closed",
    "<stream end>": "the document ends too early; it may be truncated",
    "mapping values are not allowed": "put a value that contains ': ' in quotes; check the indentation, and the blank after each colon",
    "could not find expected ':'": "write 'key: value', with a blank after the colon",
    "<block end>": "begin all keys of a mapping, and all items of a list, in the same column",
    "cannot start any token": "put a value that begins with this character in quotes",
    "expected ',' or": "separate items with commas, and close the bracket",
}


def _hint(problem: str) -> str | None:
    return next((hint for part, hint in _HINTS.items() if part in problem), None)


class _Builder:
    """One document under way."""

    def __init__(self, depth: int, values: int) -> None:
        self.depth = depth
        self.values = values
        self.count = 0
        self.stack: list[_Open] = []
        self.anchors: dict[str, _Anchored] = {}
        self.root: Any = None

    def build(self, events: Any, proceed: Callable[[], object] | None = None) -> Any:
        """The tree; raises DocumentSyntaxError, or what PyYAML raises, or ``proceed``."""
        documents = number = 0
        while True:
            number += 1
            if proceed is not None and number % 256 == 0:
                proceed()
            event = events.get_event()
            if event is None:
                return self.root
            kind = type(event)
            if kind is ScalarEvent:
                self.scalar(event)
            elif isinstance(event, CollectionStartEvent):
                self.open(event, kind is MappingStartEvent)
            elif isinstance(event, CollectionEndEvent):
                self.close(event)
            elif kind is AliasEvent:
                self.alias(event)
            elif kind is DocumentStartEvent:
                documents += not _skip_empty_document(events)
                if documents > 1:
                    raise _error(event, "a second document begins here; expected one", "split the file at the --- line")
            elif kind is DocumentEndEvent:
                self.anchors.clear()

    def scalar(self, event: Any) -> None:
        text: str = event.value
        if not text.isascii():
            _check_characters(event, text)
        self.grow(event, 1)
        top = self.stack[-1] if self.stack else None
        keyed = top is not None and top.key is None and isinstance(top.value, dict)
        value = text if keyed and event.tag is None and event.anchor is None else self.resolve(event, text)
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchored(value, 1, 0, text)
        if top is not None and keyed:
            top.merging = text == "<<" and event.implicit[0]
            self.begin_key(top, event, text)
        else:
            self.add(event, value)

    def begin_key(self, top: _Open, event: Any, text: str) -> None:
        if not top.merging:
            if text in top.lines:
                from eidos.model.tree_reader import quoted

                reason = f"the key {quoted(text)} is repeated; first used on line {top.lines[text]}"
                mark = event.start_mark
                raise RepeatedKey(reason, "remove one of the two", mark.line + 1, mark.column + 1)
            top.lines[text] = event.start_mark.line + 1
        top.key = text

    def resolve(self, event: Any, text: str) -> Any:
        tag = event.tag
        if tag is None or tag == "!":
            return resolve_scalar(text) if event.implicit[0] and tag is None else text
        if tag in (_TAG + "str", _TAG + "timestamp"):
            return text
        if tag not in _SCALAR_TYPES:
            raise _foreign(event, tag)
        value = resolve_scalar(text)
        if not isinstance(value, _SCALAR_TYPES[tag]) or (isinstance(value, bool) and tag != _TAG + "bool"):
            raise _error(event, f"not a valid {tag[len(_TAG) :]}")
        return float(value) if tag == _TAG + "float" and isinstance(value, int) else value

    def open(self, event: Any, mapping: bool) -> None:
        if event.tag not in _COLLECTION_TAGS[mapping]:
            raise _foreign(event, event.tag)
        if self.stack:
            self.expect_value(event)
        self.check_depth(event, len(self.stack) + 1)
        self.grow(event, 1)
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchored()
        self.stack.append(_Open({} if mapping else [], event.anchor, self.count - 1))

    def close(self, event: Any) -> None:
        done = self.stack.pop()
        if isinstance(done.value, dict):
            for source in done.merged:
                for key, value in source.items():
                    done.value.setdefault(key, value)
        if done.anchor is not None:
            self.anchors[done.anchor] = _Anchored(done.value, self.count - done.before, done.height)
        if self.stack:
            self.stack[-1].height = max(self.stack[-1].height, done.height + 1)
        self.add(event, done.value)

    def alias(self, event: Any) -> None:
        name: str = event.anchor
        target = self.anchors.get(name)
        if target is None:
            # Its name may be the rest of a password.
            raise _error(event, "an alias to an undefined anchor", "put a value that begins with '*' in quotes")
        if not target.count:
            raise _error(event, "an alias refers to itself")
        top = self.stack[-1]
        self.check_depth(event, len(self.stack) + target.height)
        self.grow(event, target.count)
        if isinstance(top.value, dict) and top.key is None:
            if target.text is None:
                raise _error(event, "a key must be a scalar")
            self.begin_key(top, event, target.text)
            return
        top.height = max(top.height, target.height + 1)
        self.add(event, _copy(target.value))

    def add(self, event: Any, value: Any) -> None:
        """Put a finished value where it belongs."""
        if not self.stack:
            self.root = value
            return
        top = self.stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
            return
        assert top.key is not None
        if top.merging:
            self.merge(top, event, value)
        else:
            top.value[top.key] = value
        top.key, top.merging = None, False

    def merge(self, top: _Open, event: Any, value: Any) -> None:
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            raise _error(event, "<< needs a mapping or a list of mappings")
        top.merged.extend(sources)

    def expect_value(self, event: Any) -> None:
        top = self.stack[-1]
        if isinstance(top.value, dict) and top.key is None:
            raise _error(event, "a key must be a scalar", "put the key in quotes if it is text")

    def grow(self, event: Any, count: int) -> None:
        self.count += count
        if self.count > self.values:
            hint = "replace the aliases with their values" if count > 1 else None
            raise _error(event, f"more than {self.values:,} values", hint)

    def check_depth(self, event: Any, depth: int) -> None:
        if depth > self.depth:
            raise _error(event, f"nested deeper than {self.depth} levels")


def _skip_empty_document(events: Any) -> bool:
    """Whether the document that began holds nothing at all, as before a first ``---`` or after the last; its one event is taken."""
    event = events.peek_event()
    is_empty = type(event) is ScalarEvent and not event.value and event.style is None and event.anchor is None and event.tag is None
    if is_empty:
        events.get_event()
    return is_empty


def _copy(value: Any) -> Any:
    """A copy that shares nothing that can change; its depth has been checked."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _check_characters(event: Any, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as cause:
        raise _error(event, f"an escape for an unpaired surrogate, \\u{ord(text[cause.start]):04x}") from cause


def _short(text: str) -> str:
    return shorten(text, 80)


def _foreign(event: Any, tag: str) -> DocumentSyntaxError:
    if tag.startswith(_TAG):
        return _error(
            event, f"the tag {_short(tag.replace(_TAG, '!!'))} is not allowed", "remove the tag; documents hold plain values only"
        )
    return _error(event, "a local tag is not allowed", "remove the tag, or put a value that begins with '!' in quotes")


def _error(event: Any, reason: str, hint: str | None = None) -> DocumentSyntaxError:
    return DocumentSyntaxError(reason, hint, event.start_mark.line + 1, event.start_mark.column + 1)
