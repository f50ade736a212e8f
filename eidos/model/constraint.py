"""What a reading must be: a path and an expression.

Knows how expressions are written, met and combined; must not know which readings exist.

Grammar: terms with commas between them, all of which must hold::

    expression = term *( "," term )
    term       = ( ">=" / ">" / "<=" / "<" / "==" / "!=" ) operand / "in" "(" operand *( "," operand ) ")" / operand

An operand that is a version is compared as one, and only in the numbers that it has: ``<= 1.33`` holds for 1.33.5, ``> 1.33`` does
not. Every version term is then a union of half-open intervals over three numbers, so that two expressions can be intersected
exactly, and an empty intersection is seen. An operand that is no version is a word, compared letter by letter, with ``==``,
``!=`` and ``in`` only.

>>> expression = parse(">= 1.30, < 1.36, != 1.33.2")
>>> [expression.holds(reading) for reading in ("v1.33.5-eks-3025e55", "1.36", "1.33.2", "unknown")]
[True, False, False, None]
>>> str(parse(">= 1.32.4").intersect(parse(">= 1.25")))
'>= 1.32.4'
>>> parse("< 1.30").intersect(parse(">= 1.32.4")) is None
True
"""

from __future__ import annotations

from eidos import semver
from eidos.errors import InvalidInput
from eidos.model.number_format import written
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Union

    from eidos.model.measurement import Reading
    from eidos.model.tree_reader import TreeReader

    Key = tuple[float, ...]
    Intervals = tuple[tuple[Key, Key], ...]
    Words = tuple[bool, Union[frozenset[str], None], frozenset[str]]

_OPERATORS = (">=", "<=", "==", "!=", ">", "<")
_LOWEST: tuple[float, ...] = (0, 0, 0)
_HIGHEST: tuple[float, ...] = (float("inf"),)


class InvalidExpression(InvalidInput):
    """Not an expression; the excerpt shows the place of the fault."""

    def __init__(self, text: str, place: int, why: str) -> None:
        shown = text if len(text) <= 100 else text[:100] + "…"
        super().__init__(
            f"{shown!r} is no expression: {why}",
            "examples: >= 1.32.4   >= 1.30, < 1.36   in (2M, 512M)   != 570.148.08",
            (shown, min(place, 100)),
        )


class Term(Record):
    """One comparison: ``operator`` (``in`` for a list), ``operands`` as written."""

    operator: str
    operands: tuple[str, ...]

    def __str__(self) -> str:
        return f"in ({', '.join(self.operands)})" if self.operator == "in" else f"{self.operator} {self.operands[0]}"


class Expression(Record):
    """Terms that must all hold.

    A reading that is a version is compared with the operands that are versions, any other one with the operands that are words.
    """

    terms: tuple[Term, ...]

    def holds(self, reading: Reading) -> bool | None:
        """Whether ``reading`` satisfies every term; None when it fails none and one cannot be told (a word against a version)."""
        text = written(reading)
        version = _version(text)
        if version is not None:
            return any(low <= version.key < high for low, high in self._intervals())
        untold, allowed, denied = self._words()
        if text in denied or (allowed is not None and text not in allowed):
            return False
        return None if untold else True

    def allows(self, version: str) -> bool:
        """Whether any version that ``version`` speaks of satisfies it; InvalidVersion when it is none.

        >>> parse(">= 1.33.4").allows("1.33"), parse(">= 1.33.4").allows("1.32")
        (True, False)
        """
        return bool(_meet(self._intervals(), (_span(version),)))

    def intersect(self, other: Expression) -> Expression | None:
        """What satisfies both, without the terms that say nothing more; None when nothing does."""
        terms = [*self.terms]
        terms += [term for term in other.terms if term not in terms]
        both = Expression(tuple(terms))
        if both.empty():
            return None
        for term in terms[:]:
            rest = Expression(tuple(t for t in terms if t is not term))
            if rest.terms and rest.same(both):
                terms.remove(term)
        return Expression(tuple(terms))

    def empty(self) -> bool:
        """Whether nothing at all can satisfy it."""
        untold, allowed, _ = self._words()
        return not self._intervals() and (untold or allowed == frozenset())

    def same(self, other: Expression) -> bool:
        """Whether both say the same of every reading."""
        return self._intervals() == other._intervals() and self._words() == other._words()

    def _words(self) -> Words:
        """Whether words are compared with nothing by some term, which of them are allowed (None: all others) and which denied."""
        untold = False
        allowed: frozenset[str] | None = None
        denied: frozenset[str] = frozenset()
        for term in self.terms:
            words = frozenset(operand for operand in term.operands if _version(operand) is None)
            if not words:
                untold = True
            elif term.operator == "!=":
                denied |= words
            else:
                allowed = words if allowed is None else allowed & words
        return (untold, None, denied) if allowed is None else (untold, allowed - denied, frozenset())

    def _intervals(self) -> Intervals:
        """The versions that are allowed: half-open intervals, in order, none touching another."""
        result: Intervals = ((_LOWEST, _HIGHEST),)
        for term in self.terms:
            result = _meet(result, _term_intervals(term))
        return result

    def __str__(self) -> str:
        return ", ".join(map(str, self.terms))


class Constraint(Record):
    """A reading's path (``K8s.server.version``), what it must be, why, and after which source."""

    name: str
    value: Expression
    why: str = ""
    source: str = ""


def parse(text: str) -> Expression:
    """The expression that ``text`` writes; InvalidExpression with a caret under the fault when it writes none."""
    terms: list[Term] = []
    place = 0
    while True:
        term, place = _term(text, place)
        terms.append(term)
        if place >= len(text):
            break
        place += 1
    return Expression(tuple(terms))


def read_constraint(tree: TreeReader) -> Constraint:
    """The constraint in a mapping of a document; InvalidData with its path when there is none."""
    return Constraint(tree.name("name"), tree.parsed("value", parse), tree.text("why"), tree.text("source"))


def _term(text: str, place: int) -> tuple[Term, int]:
    """The term that begins at ``place``, and the place of the comma behind it (or the end)."""
    place = _skip(text, place)
    operator = next((o for o in _OPERATORS if text.startswith(o, place)), "")
    start = _skip(text, place + len(operator))
    if not operator and text[start : start + 2] == "in" and text[_skip(text, start + 2) : _skip(text, start + 2) + 1] == "(":
        opening = _skip(text, start + 2)
        closing = text.find(")", opening)
        if closing < 0:
            raise InvalidExpression(text, opening, "this parenthesis is not closed")
        operands = tuple(part.strip() for part in text[opening + 1 : closing].split(","))
        if not all(operands):
            raise InvalidExpression(text, opening, "the list has an empty place")
        end = _skip(text, closing + 1)
        if end < len(text) and text[end] != ",":
            raise InvalidExpression(text, end, "a comma or the end was expected here")
        return Term("in", operands), end
    end = text.find(",", start)
    end = len(text) if end < 0 else end
    operand = text[start:end].strip()
    if not operand:
        raise InvalidExpression(text, start, "a value is missing here")
    for index, character in enumerate(operand):
        if character in "<>=!()" or character.isspace():
            raise InvalidExpression(text, start + index, f"{character!r} cannot stand in a value")
    if operator in (">=", ">", "<=", "<") and _version(operand) is None:
        raise InvalidExpression(text, start, f"{operator} needs a version or a number, and {operand[:30]!r} is none")
    return Term(operator or "==", (operand,)), end


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t":
        place += 1
    return place


def _version(operand: str) -> semver.Version | None:
    try:
        return semver.parse(operand)
    except InvalidInput:
        return None


def _term_intervals(term: Term) -> Intervals:
    spans = sorted(_span(operand) for operand in term.operands if _version(operand))
    if not spans:  # words alone: no version is among them
        return ((_LOWEST, _HIGHEST),) if term.operator == "!=" else ()
    low, high = spans[0]
    if term.operator == ">=":
        return ((low, _HIGHEST),)
    if term.operator == ">":
        return ((high, _HIGHEST),)
    if term.operator == "<":
        return ((_LOWEST, low),) if low > _LOWEST else ()
    if term.operator == "<=":
        return ((_LOWEST, high),)
    if term.operator == "!=":
        return tuple(span for span in ((_LOWEST, low), (high, _HIGHEST)) if span[0] < span[1])
    return _joined(spans)


def _span(operand: str) -> tuple[Key, Key]:
    """First version that ``operand`` speaks of, and the first behind them all."""
    version = semver.parse(operand)
    end = (*version.numbers[:-1], version.numbers[-1] + 1)
    return version.key, end + (0,) * (3 - len(end))


def _joined(spans: Iterable[tuple[Key, Key]]) -> Intervals:
    result: list[tuple[Key, Key]] = []
    for low, high in spans:
        if result and low <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], high))
        else:
            result.append((low, high))
    return tuple(result)


def _meet(left: Sequence[tuple[Key, Key]], right: Sequence[tuple[Key, Key]]) -> Intervals:
    pairs = ((max(a, c), min(b, d)) for a, b in left for c, d in right)
    return tuple(sorted(span for span in pairs if span[0] < span[1]))
