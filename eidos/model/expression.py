"""Expressions over one value as data: terms, alternatives, and what satisfies them.

Knows how terms are evaluated, negated and intersected; must not know how they are written: :mod:`eidos.model.constraint` reads them, and
says what they mean.
"""

from __future__ import annotations

from eidos.model.number_format import format_scalar
from eidos.model.pattern import parse_pattern
from eidos.model.quantity import parse_quantity
from eidos.model.record import Record
from eidos.semver import parse_version, try_parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Union

    from eidos.model.measurement import Reading

    Key = tuple[float, ...]
    Intervals = tuple[tuple[Key, Key], ...]
    Words = tuple[bool, Union[frozenset[str], None], frozenset[str]]

#: Operators of one operand.
OPERATORS = (">=", "<=", "==", "!=", ">", "<")
_LOWEST: tuple[float, ...] = (0, 0, 0)
_HIGHEST: tuple[float, ...] = (float("inf"),)

MATCHES, PRESENT, ABSENT = "matches", "present", "absent"

#: Operator → the one that holds where it does not.
_OPPOSITE = {
    ">=": "<",
    "<": ">=",
    ">": "<=",
    "<=": ">",
    "==": "!=",
    "!=": "==",
    "in": "not in",
    MATCHES: f"not {MATCHES}",
    PRESENT: ABSENT,
    "not in": "in",
    f"not {MATCHES}": MATCHES,
    ABSENT: PRESENT,
}


class Term(Record):
    """One comparison: ``operator`` (``in`` for a list), ``operands`` as written."""

    operator: str
    operands: tuple[str, ...] = ()

    def holds(self, text: str | None) -> bool | None:
        """Whether a reading's text satisfies it; None when that is undecidable. Without a text the reading is absent."""
        operator = self.operator
        if operator in (PRESENT, ABSENT):
            return (text is None) == (operator == ABSENT)
        is_negative = operator in ("!=", "not in", f"not {MATCHES}")
        if text is None:
            return is_negative
        if operator.endswith(MATCHES):
            return parse_pattern(self.operands[0]).occurs_in(text) != is_negative
        key = _key(text)
        if operator[0] in "<>" and (key is None or _key(self.operands[0]) is None):
            return None  # a word has no place among numbers
        if key is not None:
            return any(low <= key < high for low, high in _term_intervals(self))
        words = [operand for operand in self.operands if _key(operand) is None]
        return (text in words) != is_negative if words else None

    def negated(self) -> Term:
        """The term that holds where this one does not."""
        return Term(_OPPOSITE[self.operator], self.operands)

    def __str__(self) -> str:
        if self.operator.endswith(MATCHES):
            return f"{self.operator} /{self.operands[0]}/"
        operands = tuple(map(_quote, self.operands))
        return f"{self.operator} ({', '.join(operands)})" if self.operator.endswith("in") else " ".join((self.operator, *operands))


class Alternatives(Record):
    """Expressions of which one must hold."""

    expressions: tuple[Expression, ...]

    @property
    def operator(self) -> str:
        """The word between them."""
        return "or"

    @property
    def operands(self) -> tuple[str, ...]:
        """All operands of all of them."""
        return tuple(operand for expression in self.expressions for term in expression.terms for operand in term.operands)

    def holds(self, text: str | None) -> bool | None:
        """Whether a reading's text satisfies one of them."""
        answers = [expression.holds(text) for expression in self.expressions]
        return True if True in answers else None if None in answers else False

    def negated(self) -> Expression:
        """The expression that holds where none of them does."""
        return Expression(tuple(term for expression in self.expressions for term in expression.negated().terms))

    def __str__(self) -> str:
        return " or ".join(map(str, self.expressions))


class Expression(Record):
    """Terms that must all hold.

    A reading that is a version is compared with the operands that are versions, any other one with the operands that are words.
    """

    terms: tuple[Term | Alternatives, ...]

    def holds(self, reading: Reading | None) -> bool | None:
        """Whether ``reading`` satisfies every term; None when it fails none and one is undecidable (a word against a version).

        A reading of None is known to be absent.
        """
        text = None if reading is None else format_scalar(reading)
        result: bool | None = True
        for term in self.terms:
            answer = term.holds(text)
            if answer is False:
                return False
            result = result and answer
        return result

    def allows(self, version: str) -> bool:
        """Whether any version that ``version`` stands for satisfies it; InvalidVersion when it is none.

        >>> from eidos.model.constraint import parse_expression
        >>> parse_expression(">= 1.33.4").allows("1.33"), parse_expression(">= 1.33.4").allows("1.32")
        (True, False)
        """
        return bool(_intersect(self._intervals(), (_version_span(version),)))

    def plain_terms(self) -> Iterator[Term]:
        """All comparisons in it, those of alternatives as well."""
        for term in self.terms:
            if isinstance(term, Alternatives):
                for expression in term.expressions:
                    yield from expression.plain_terms()
            else:
                yield term

    def has_patterns(self) -> bool:
        """Whether a pattern is in it: what that takes depends on the length of the reading, too."""
        return any(term.operator.endswith(MATCHES) for term in self.plain_terms())

    def negated(self) -> Expression:
        """The expression that holds where this one does not."""
        opposites = [term.negated() for term in self.terms]
        each = tuple(one if isinstance(one, Expression) else Expression((one,)) for one in opposites)
        return each[0] if len(each) == 1 else Expression((Alternatives(each),))

    def intersect(self, other: Expression) -> Expression | None:
        """What satisfies both, without redundant terms; None when nothing does."""
        terms = [*self.terms]
        terms += [term for term in other.terms if term not in terms]
        both = Expression(tuple(terms))
        if both.is_empty():
            return None
        for term in terms[:]:
            rest = Expression(tuple(t for t in terms if t is not term))
            if rest.terms and rest.is_equivalent(both):
                terms.remove(term)
        # Lower limits are read first.
        return Expression(tuple(sorted(terms, key=lambda term: term.operator not in (">=", ">"))))

    def excludes(self, other: Expression) -> bool:
        """Whether nothing satisfies both."""
        return Expression((*self.terms, *other.terms)).is_empty()

    def is_empty(self) -> bool:
        """Whether nothing at all can satisfy it; alternatives and patterns are taken for something that can be."""
        plain = Expression(tuple(term for term in self.terms if term.operator in _PLAIN))
        undecided, allowed, _ = plain._words()
        return not plain._intervals() and (undecided or allowed == frozenset()) and plain.holds(None) is not True

    def is_equivalent(self, other: Expression) -> bool:
        """Whether both give the same answer for every reading; with alternatives or patterns, whether they are written alike."""
        if any(term.operator not in _PLAIN for term in (*self.terms, *other.terms)):
            return set(self.terms) == set(other.terms)
        is_same_without = self.holds(None) == other.holds(None) or not any(
            term.operator in (PRESENT, ABSENT) for term in (*self.terms, *other.terms)
        )
        return self._intervals() == other._intervals() and self._words() == other._words() and is_same_without

    def _words(self) -> Words:
        """Whether some term has no words to compare with, which words are allowed (None: all others) and which denied."""
        undecided = False
        allowed: frozenset[str] | None = None
        denied: frozenset[str] = frozenset()
        for term in self.terms:
            words = frozenset(operand for operand in term.operands if _key(operand) is None)
            if term.operator == PRESENT:
                continue
            if term.operator == ABSENT:
                allowed = frozenset()
            elif not words:
                undecided = True
            elif term.operator in ("!=", "not in"):
                denied |= words
            else:
                allowed = words if allowed is None else allowed & words
        return (undecided, None, denied) if allowed is None else (undecided, allowed - denied, frozenset())

    def _intervals(self) -> Intervals:
        """The versions that are allowed: half-open intervals, in order, none touching another."""
        result: Intervals = _EVERYTHING
        for term in self.terms:
            result = _intersect(result, _term_intervals(term))
        return result

    def __str__(self) -> str:
        return ", ".join(f"({term})" if isinstance(term, Alternatives) and len(self.terms) > 1 else str(term) for term in self.terms)


#: Operators of terms that intersect exactly.
_PLAIN = (*OPERATORS, "in", "not in", PRESENT, ABSENT)

_EVERYTHING = ((_LOWEST, _HIGHEST),)


def _quote(operand: str) -> str:
    is_plain = not any(char in ' \t\n<>=!()[],"' for char in operand) and operand not in (
        PRESENT,
        ABSENT,
        "and",
        "or",
        "not",
        "in",
        MATCHES,
    )
    return operand if is_plain and not plain_range(operand) else f'"{operand}"'


def plain_range(operand: str) -> str:
    """What a range of versions is here that other tools write with a mark or a wildcard; "" for any other operand.

    >>> [plain_range(text) for text in ("^1.33", "~1.33.5", "1.33.x", "1.*", "1.33")]
    ['>= 1.33, < 2', '>= 1.33.5, < 1.34', '1.33', '1', '']
    """
    stem = operand
    while stem.endswith((".x", ".X", ".*")):
        stem = stem[:-2]
    if stem != operand:
        return stem if try_parse_version(stem) is not None else ""
    version = try_parse_version(operand[1:]) if operand[:1] in ("^", "~") else None
    if version is None:
        return ""
    fixed = version.numbers[: 1 if operand[0] == "^" else 2]
    return f">= {operand[1:]}, < {'.'.join(map(str, (*fixed[:-1], fixed[-1] + 1)))}"


def is_number(text: str) -> bool:
    """Whether a text is a version or a quantity, which have an order, and no word."""
    return _key(text) is not None


def _key(text: str) -> Key | None:
    """Where a version or a quantity stands among all numbers; None for a word."""
    version = try_parse_version(text)
    if version is not None:
        return version.key
    quantity = parse_quantity(text)
    return None if quantity is None else (quantity, 0, 0)


#: The intervals of terms by what they are made of: lint asks for those of a few hundred a million times.
_intervals_of: dict[tuple[str, tuple[str, ...]], Intervals] = {}


def _term_intervals(term: Term | Alternatives) -> Intervals:
    if isinstance(term, Alternatives):
        return _merged_spans(sorted(span for expression in term.expressions for span in expression._intervals()))
    parts = term.operator, term.operands
    intervals = _intervals_of.get(parts)
    if intervals is None:
        intervals = _plain_intervals(term)
        if len(_intervals_of) < 4096:
            _intervals_of[parts] = intervals
    return intervals


def _plain_intervals(term: Term) -> Intervals:
    spans = sorted(_span(operand) for operand in term.operands if not term.operator.endswith(MATCHES) and _key(operand) is not None)
    if not spans:  # words alone: no version is among them
        return () if term.operator in ("==", "in", ABSENT) else _EVERYTHING
    low, high = spans[0]
    if term.operator == ">=":
        return ((low, _HIGHEST),)
    if term.operator == ">":
        return ((high, _HIGHEST),)
    if term.operator == "<":
        return ((_LOWEST, low),) if low > _LOWEST else ()
    if term.operator == "<=":
        return ((_LOWEST, high),)
    merged = _merged_spans(spans)
    if term.operator in ("!=", "not in"):
        ends = [_LOWEST, *(bound for span in merged for bound in span), _HIGHEST]
        return tuple(span for span in zip(ends[::2], ends[1::2]) if span[0] < span[1])
    return merged


def _span(operand: str) -> tuple[Key, Key]:
    """The first number that ``operand`` stands for, and the first beyond them all."""
    if try_parse_version(operand) is not None:
        return _version_span(operand)
    key = _key(operand) or _LOWEST
    return key, (*key, 0)


def _version_span(operand: str) -> tuple[Key, Key]:
    version = parse_version(operand)
    end = (*version.numbers[:-1], version.numbers[-1] + 1)
    return version.key, end + (0,) * (3 - len(end))


def _merged_spans(spans: Iterable[tuple[Key, Key]]) -> Intervals:
    result: list[tuple[Key, Key]] = []
    for low, high in spans:
        if result and low <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], high))
        else:
            result.append((low, high))
    return tuple(result)


def _intersect(left: Sequence[tuple[Key, Key]], right: Sequence[tuple[Key, Key]]) -> Intervals:
    if left == _EVERYTHING:
        return tuple(right)
    pairs = [(max(a, c), min(b, d)) for a, b in left for c, d in right]
    return tuple(sorted(span for span in pairs if span[0] < span[1]))
