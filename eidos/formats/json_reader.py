"""JSON to a tree.

Knows JSON (RFC 8259) and how Python reads it; must not know files or encodings. What the standard reader lets pass and others
do not is refused: a key that stands twice, ``NaN`` and ``Infinity``, numbers beyond the range of a float, lone surrogates.
"""

from __future__ import annotations

import json
import json.scanner
import re

from eidos.formats.syntax_error import Fault
from eidos.model.number_format import FloatLiteral

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[][{}]|-?(?:Infinity|NaN|[0-9][-+0-9.eE]*)')
_DIGITS = 300


class NotJson(Fault):
    """The text does not follow JSON's grammar; it may still be YAML."""


class _Twice(Exception):
    """An object has ``key`` twice."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key
        self.position: int | None = None


class _Refused(Exception):
    """A ``token`` that Python's reader would take, and we do not."""

    def __init__(self, token: str, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.token = token
        self.reason = reason
        self.hint = hint


def read(text: str, depth: int, values: int) -> Any:
    """The tree in ``text``, with at most ``values`` values, ``depth`` levels deep; raises Fault (NotJson for its grammar)."""
    if text.count(",") > values and _separators(text) > values:
        raise Fault(f"more than {values:,} values")
    try:
        tree = _decoder().decode(text)
    except json.JSONDecodeError as cause:
        fault = Fault.at(text, cause.pos, f"not JSON: {cause.msg[:1].lower()}{cause.msg[1:]}")
        raise NotJson(fault.reason, _ending(text, cause.pos), fault.line, fault.column) from cause
    except _Twice as cause:
        raise _twice(text, cause) from None
    except _Refused as cause:
        raise _place(text, cause.token.__eq__, cause.reason, cause.hint) from None
    except RecursionError:
        raise _too_deep(text, depth) from None
    if _is_deeper(tree, depth):
        raise _too_deep(text, depth)
    if "\\u" in text and not _is_whole(json.dumps(tree, ensure_ascii=False)):
        raise _place(text, lambda token: token[0] == '"' and not _is_whole(json.loads(token)), "an escape for half a character")
    return tree


def _decoder() -> Any:
    return json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)


def _ending(text: str, position: int) -> str | None:
    return "the document ends too early: was it cut off?" if position >= len(text.rstrip()) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        observed: set[str] = set()
        raise _Twice(next(key for key, _ in pairs if key in observed or observed.add(key)))  # type: ignore[func-returns-value]
    return found


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise _Refused(text, f"a number of {len(text):,} digits")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise _Refused(text, f"the number {text[:40]} is beyond the range of numbers")
    return value if repr(value) == text else FloatLiteral(value, text)


def _constant(text: str) -> float:
    raise _Refused(text, f"{text} is no JSON", "write it as a string, or as null")


def _twice(text: str, twice: _Twice) -> Fault:
    """Where the object stands that has a key twice: the quick reader cannot say, the slow one can."""
    decoder = _decoder()
    inner = decoder.parse_object

    def parse(start: tuple[str, int], *rest: Any) -> Any:
        try:
            return inner(start, *rest)
        except _Twice as found:
            if found.position is None:
                found.position = start[1] - 1
            raise

    decoder.parse_object = parse
    decoder.scan_once = vars(json.scanner)["py_make_scanner"](decoder)
    reason = f"this object has the key {json.dumps(twice.key[:80])} twice"
    try:
        decoder.decode(text)
    except _Twice as found:
        return Fault.at(text, found.position or 0, reason, "remove one of them")
    except RecursionError:
        pass
    return Fault(reason, "remove one of them")


def _separators(text: str) -> int:
    """How many commas stand outside strings."""
    bare = text.replace("\\\\", "").replace('\\"', "").split('"')[::2]
    return sum(part.count(",") for part in bare)


def _place(text: str, wanted: Callable[[str], bool], reason: str, hint: str | None = None) -> Fault:
    """A fault at the first token that is ``wanted``."""
    for match in _TOKEN.finditer(text):
        if wanted(match[0]):
            return Fault.at(text, match.start(), reason, hint)
    return Fault(reason, hint)


def _too_deep(text: str, depth: int) -> Fault:
    level = 0

    def wanted(token: str) -> bool:
        nonlocal level
        level += (token in "[{") - (token in "]}")
        return level > depth

    return _place(text, wanted, f"nested more than {depth} levels deep")


def _is_deeper(tree: Any, depth: int) -> bool:
    level = [tree]
    for _ in range(depth):
        level = [node for node in level if isinstance(node, (dict, list))]
        level = [child for node in level for child in (node.values() if isinstance(node, dict) else node)]
        if not level:
            return False
    return any(isinstance(node, (dict, list)) for node in level)


def _is_whole(text: str) -> bool:
    """Whether no character is half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
