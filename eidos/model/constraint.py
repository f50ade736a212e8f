"""What a reading must be: a path and an expression.

Knows how expressions are written, met and combined; must not know which readings exist.

Grammar: terms with commas between them, all of which must hold::

    expression = term *( "," term )
    term       = ( ">=" / ">" / "<=" / "<" / "==" / "!=" ) operand / "in" "(" operand *( "," operand ) ")" / operand

An operand that is a version is compared as one, and only in the numbers that it has: ``<= 1.33`` holds for 1.33.5, ``> 1.33`` does
not. Every version term is then a union of half-open intervals over three numbers, so that two expressions can be intersected
exactly, and an empty intersection is seen. An operand that is no version is text, compared letter by letter, with ``==``,
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
from eidos.model.record import Record
from eidos.model.written import written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eidos.model.measurement import Reading

    Key = tuple[float, ...]
    Intervals = tuple[tuple[Key, Key], ...]

_OPERATORS = (">=", "<=", "==", "!=", ">", "<")
_LOWEST: tuple[float, ...] = (0, 0, 0)
_HIGHEST: tuple[float, ...] = (float("inf"),)


class InvalidExpression(InvalidInput):
    """Not an expression; the message shows the place of the fault with a caret."""

    def __init__(self, text: str, place: int, why: str) -> None:
        super().__init__(f"{text!r} is no expression: {why}\n  {text}\n  {' ' * place}^", hint="examples: >= 1.32.4   >= 1.30, < 1.36   in (2M, 512M)   != 570.148.08")


class Term(Record):
    """One comparison: ``operator`` (``in`` for a list), ``operands`` as written."""

    operator: str
    operands: tuple[str, ...]

    def __str__(self) -> str:
        return f"in ({', '.join(self.operands)})" if self.operator == "in" else f"{self.operator} {self.operands[0]}"


class Expression(Record):
    """Terms that must all hold."""

    terms: tuple[Term, ...]

    def holds(self, reading: Reading) -> bool | None:
        """Whether ``reading`` satisfies every term; None when it cannot be compared (a word against a version)."""
        text = written(reading)
        if self._textual():
            allowed, denied = self._words()
            return text not in denied and (allowed is None or text in allowed)
        try:
            key = semver.parse(text).key
        except InvalidInput:
            return None
        return any(low <= key < high for low, high in self._intervals())

    def intersect(self, other: Expression) -> Expression | None:
        """What satisfies both, without the terms that say nothing more; None when nothing does."""
        if self._textual() != other._textual():
            return self._among_words(other) if self._textual() else other._among_words(self)
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

    def _among_words(self, versions: Expression) -> Expression | None:
        """Which of these words are versions that ``versions`` allows."""
        allowed, denied = self._words()
        if allowed is None:
            rest = Expression(tuple(Term("!=", (word,)) for word in sorted(denied) if _version(word)))
            return versions.intersect(rest) if rest.terms else versions
        left = tuple(sorted(word for word in allowed - denied if versions.holds(word)))
        return Expression((Term("in", left),)) if left else None

    def empty(self) -> bool:
        """Whether nothing at all can satisfy it."""
        if self._textual():
            allowed, denied = self._words()
            return allowed is not None and not allowed - denied
        return not self._intervals()

    def same(self, other: Expression) -> bool:
        """Whether both are satisfied by exactly the same readings."""
        if self._textual() or other._textual():
            return self._textual() == other._textual() and self._normal_words() == other._normal_words()
        return self._intervals() == other._intervals()

    def _textual(self) -> bool:
        return any(_version(operand) is None for term in self.terms for operand in term.operands)

    def _words(self) -> tuple[frozenset[str] | None, frozenset[str]]:
        allowed: frozenset[str] | None = None
        denied: frozenset[str] = frozenset()
        for term in self.terms:
            if term.operator == "!=":
                denied |= set(term.operands)
            else:
                allowed = frozenset(term.operands) if allowed is None else allowed & set(term.operands)
        return allowed, denied

    def _normal_words(self) -> tuple[frozenset[str] | None, frozenset[str]]:
        allowed, denied = self._words()
        return (None, denied) if allowed is None else (allowed - denied, frozenset())

    def _intervals(self) -> Intervals:
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
    expression = Expression(tuple(terms))
    if expression._textual():
        for term in terms:
            if term.operator in (">=", ">", "<=", "<"):
                raise InvalidExpression(text, max(0, text.find(term.operator)), f"{term.operator} needs versions or numbers on both sides, and something here is none")
    return expression


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
    spans = sorted(_span(operand) for operand in term.operands)
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
