"""JSON to a tree.

Knows JSON (RFC 8259) and how Python reads it; must not know files or encodings. What the standard reader accepts and others do not is
refused: a repeated key, ``NaN`` and ``Infinity``, numbers beyond the range of a float, lone surrogates.

The package ``json`` imports ``re``, which takes longer than reading most documents: valid JSON is read by its C scanner alone.
"""

from __future__ import annotations

from eidos.formats.source_text import DocumentSyntaxError, RepeatedKey
from eidos.model.number_format import FloatLiteral

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_TOKEN = r'"[^"\\]*(?:\\.[^"\\]*)*"|[][{}]|-?(?:Infinity|NaN|[0-9][-+0-9.eE]*)'
_BLANKS = " \t\n\r"
_DIGITS = 300


class NotJson(DocumentSyntaxError):
    """The text does not follow JSON's grammar; it may still be YAML."""


class _Repeated(Exception):
    """An object has ``key`` twice."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key
        self.position: int | None = None


class _Refused(Exception):
    """A ``token`` that Python's reader accepts, and this one does not."""

    def __init__(self, token: str, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.token = token
        self.reason = reason
        self.hint = hint


def parse_json(text: str, depth: int, values: int) -> Any:
    """The tree in ``text``, with at most ``values`` values, ``depth`` levels deep; raises DocumentSyntaxError (NotJson for its grammar)."""
    if text.count(",") > values and _separators(text) > values:
        raise DocumentSyntaxError(f"more than {values:,} values")
    try:
        tree = _scan(text)
    except _Repeated as cause:
        raise _repeated_key(text, cause) from None
    except _Refused as cause:
        raise _first_token(text, cause.token.__eq__, cause.reason, cause.hint) from None
    except RecursionError:
        raise _too_deep(text, depth) from None
    if _is_deeper(tree, depth):
        raise _too_deep(text, depth)
    if "\\u" in text:
        import json

        if not _is_encodable(json.dumps(tree, ensure_ascii=False)):
            raise _first_token(
                text, lambda token: token[0] == '"' and not _is_encodable(json.loads(token)), "an escape for an unpaired surrogate"
            )
    return tree


def _scan(text: str) -> Any:
    try:
        scan_once = __import__("_json").make_scanner(_Scanner)
        tree, end = scan_once(text, len(text) - len(text.lstrip(_BLANKS)))
    except (ImportError, AttributeError, StopIteration, ValueError, SystemError):  # an interpreter without that extension, or a mistake
        # SystemError: up to CPython 3.12 the scanner finds no exception to raise before json.decoder is imported.
        return _decode(text)
    return _decode(text) if text[end:].strip(_BLANKS) else tree


def _decode(text: str) -> Any:
    """The tree by the standard reader, which says where a mistake is."""
    import json

    try:
        return _decoder().decode(text)
    except json.JSONDecodeError as cause:
        error = DocumentSyntaxError.at(text, cause.pos, f"not JSON: {cause.msg[:1].lower()}{cause.msg[1:]}")
        raise NotJson(error.reason, _ending(text, cause.pos), error.line, error.column) from cause


def _decoder() -> Any:
    import json

    return json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)


def _ending(text: str, position: int) -> str | None:
    return "the document ends too early; it may be truncated" if position >= len(text.rstrip()) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        observed: set[str] = set()
        for key, _ in pairs:
            if key in observed:
                raise _Repeated(key)
            observed.add(key)
    return tree


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise _Refused(text, f"a number of {len(text):,} digits")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise _Refused(text, f"the number {text[:40]} is out of range")
    return value if repr(value) == text else FloatLiteral(value, text)


def _constant(text: str) -> float:
    raise _Refused(text, f"{text} is not valid JSON", "write it as a string or as null")


class _Scanner:
    """What the scanner of the package ``json`` makes objects, numbers and constants with."""

    strict = True
    object_hook = None
    object_pairs_hook = staticmethod(_object)
    parse_int = staticmethod(_integer)
    parse_float = staticmethod(_float)
    parse_constant = staticmethod(_constant)


def _repeated_key(text: str, repeated: _Repeated) -> DocumentSyntaxError:
    """The error at the object with a repeated key: only the slow scanner of the standard library has its position."""
    from json import scanner

    decoder = _decoder()
    inner = decoder.parse_object

    def parse(start: tuple[str, int], *rest: Any) -> Any:
        try:
            return inner(start, *rest)
        except _Repeated as error:
            if error.position is None:
                error.position = start[1] - 1
            raise

    decoder.parse_object = parse
    decoder.scan_once = vars(scanner)["py_make_scanner"](decoder)
    from eidos.model.tree_reader import quoted

    reason = f"the key {quoted(repeated.key)} is repeated in this object"
    try:
        decoder.decode(text)
    except _Repeated as error:
        return RepeatedKey.at(text, error.position or 0, reason, "remove one of the two")
    except RecursionError:
        pass
    return RepeatedKey(reason, "remove one of the two")


def _separators(text: str) -> int:
    """How many commas there are outside strings."""
    bare = text.replace("\\\\", "").replace('\\"', "").split('"')[::2]
    return sum(part.count(",") for part in bare)


def _first_token(text: str, is_match: Callable[[str], bool], reason: str, hint: str | None = None) -> DocumentSyntaxError:
    """The error at the first token that matches."""
    import re

    for match in re.finditer(_TOKEN, text):
        if is_match(match[0]):
            return DocumentSyntaxError.at(text, match.start(), reason, hint)
    return DocumentSyntaxError(reason, hint)


def _too_deep(text: str, depth: int) -> DocumentSyntaxError:
    level = 0

    def is_match(token: str) -> bool:
        nonlocal level
        level += (token in "[{") - (token in "]}")
        return level > depth

    return _first_token(text, is_match, f"nested deeper than {depth} levels")


def _is_deeper(tree: Any, depth: int) -> bool:
    level = [tree]
    for _ in range(depth):
        level = [node for node in level if isinstance(node, (dict, list))]
        level = [child for node in level for child in (node.values() if isinstance(node, dict) else node)]
        if not level:
            return False
    return any(isinstance(node, (dict, list)) for node in level)


def _is_encodable(text: str) -> bool:
    """Whether no character is half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
