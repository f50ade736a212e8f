"""What a reading must be: a path and an expression.

Knows how expressions are written, evaluated and combined; must not know which readings exist.

Grammar: terms separated by commas, all of which must hold::

    expression = term *( "," term )
    term       = ( ">=" / ">" / "<=" / "<" / "==" / "!=" ) operand / "in" "(" operand *( "," operand ) ")" / operand

An operand that is a version is compared as one, and only in the numbers that it has: ``<= 1.33`` holds for 1.33.5, ``> 1.33`` does
not. Every version term is then a union of half-open intervals over three numbers, so the intersection of two expressions is exact,
and it is known when it is empty. An operand that is no version is a word, compared letter by letter, with ``==``, ``!=`` and ``in``
only.

>>> expression = parse_expression(">= 1.30, < 1.36, != 1.33.2")
>>> [expression.holds(reading) for reading in ("v1.33.5-eks-3025e55", "1.36", "1.33.2", "unknown")]
[True, False, False, None]
>>> str(parse_expression(">= 1.32.4").intersect(parse_expression(">= 1.25")))
'>= 1.32.4'
>>> parse_expression("< 1.30").intersect(parse_expression(">= 1.32.4")) is None
True
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.number_format import format_scalar
from eidos.model.record import Record
from eidos.semver import parse_version, try_parse_version
from eidos.wording import shorten

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
    """Not an expression; the excerpt points at what is wrong."""

    def __init__(self, text: str, position: int, why: str) -> None:
        shown = shorten(text, 100)
        super().__init__(
            f"invalid expression {shown!r}: {why}",
            "examples: >= 1.32.4   >= 1.30, < 1.36   in (2M, 512M)   != 570.148.08",
            (shown, min(position, 99)),
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
        """Whether ``reading`` satisfies every term; None when it fails none and one is undecidable (a word against a version)."""
        text = format_scalar(reading)
        version = try_parse_version(text)
        if version is not None:
            return any(low <= version.key < high for low, high in self._intervals())
        undecided, allowed, denied = self._words()
        if text in denied or (allowed is not None and text not in allowed):
            return False
        return None if undecided else True

    def allows(self, version: str) -> bool:
        """Whether any version that ``version`` stands for satisfies it; InvalidVersion when it is none.

        >>> parse_expression(">= 1.33.4").allows("1.33"), parse_expression(">= 1.33.4").allows("1.32")
        (True, False)
        """
        return bool(_intersect(self._intervals(), (_span(version),)))

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

    def is_empty(self) -> bool:
        """Whether nothing at all can satisfy it."""
        undecided, allowed, _ = self._words()
        return not self._intervals() and (undecided or allowed == frozenset())

    def is_equivalent(self, other: Expression) -> bool:
        """Whether both give the same answer for every reading."""
        return self._intervals() == other._intervals() and self._words() == other._words()

    def _words(self) -> Words:
        """Whether some term has no words to compare with, which words are allowed (None: all others) and which denied."""
        undecided = False
        allowed: frozenset[str] | None = None
        denied: frozenset[str] = frozenset()
        for term in self.terms:
            words = frozenset(operand for operand in term.operands if try_parse_version(operand) is None)
            if not words:
                undecided = True
            elif term.operator == "!=":
                denied |= words
            else:
                allowed = words if allowed is None else allowed & words
        return (undecided, None, denied) if allowed is None else (undecided, allowed - denied, frozenset())

    def _intervals(self) -> Intervals:
        """The versions that are allowed: half-open intervals, in order, none touching another."""
        result: Intervals = ((_LOWEST, _HIGHEST),)
        for term in self.terms:
            result = _intersect(result, _term_intervals(term))
        return result

    def __str__(self) -> str:
        return ", ".join(map(str, self.terms))


class Constraint(Record):
    """A reading's path (``K8s.server.version``), what it must be, why, and the id of its source, which a merged one does not have."""

    name: str
    value: Expression
    why: str = ""
    source: str = ""


def parse_expression(text: str) -> Expression:
    """The expression in ``text``; InvalidExpression that points at what is wrong when there is none."""
    terms: list[Term] = []
    position = 0
    while True:
        term, position = _term(text, position)
        terms.append(term)
        if position >= len(text):
            break
        position += 1
    return Expression(tuple(terms))


def read_constraint(tree: TreeReader) -> Constraint:
    """The constraint in a mapping of a document; InvalidData with its path when there is none."""
    return Constraint(tree.name("name"), tree.parsed("value", parse_expression), tree.text("why"), tree.text("source"))


def _term(text: str, position: int) -> tuple[Term, int]:
    """The term that begins at ``position``, and the position of the comma behind it (or the end)."""
    position = _skip(text, position)
    operator = next((o for o in _OPERATORS if text.startswith(o, position)), "")
    start = _skip(text, position + len(operator))
    if not operator and text[start : start + 2] == "in" and text[_skip(text, start + 2) : _skip(text, start + 2) + 1] == "(":
        opening = _skip(text, start + 2)
        closing = text.find(")", opening)
        if closing < 0:
            raise InvalidExpression(text, opening, "this parenthesis is not closed")
        operands = tuple(part.strip() for part in text[opening + 1 : closing].split(","))
        if not all(operands):
            raise InvalidExpression(text, opening, "an item of the list is empty")
        end = _skip(text, closing + 1)
        if end < len(text) and text[end] != ",":
            raise InvalidExpression(text, end, "expected a comma or the end")
        return Term("in", operands), end
    end = text.find(",", start)
    end = len(text) if end < 0 else end
    operand = text[start:end].strip()
    if not operand:
        raise InvalidExpression(text, start, "missing value")
    for index, character in enumerate(operand):
        if character in "<>=!()" or character.isspace():
            raise InvalidExpression(text, start + index, f"{character!r} is not allowed in a value")
    if operator in (">=", ">", "<=", "<") and try_parse_version(operand) is None:
        raise InvalidExpression(text, start, f"{operator} needs a version or a number, not {operand[:30]!r}")
    return Term(operator or "==", (operand,)), end


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t":
        position += 1
    return position


def _term_intervals(term: Term) -> Intervals:
    spans = sorted(_span(operand) for operand in term.operands if try_parse_version(operand))
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
    return _merged_spans(spans)


def _span(operand: str) -> tuple[Key, Key]:
    """The first version that ``operand`` stands for, and the first beyond them all."""
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
    pairs = ((max(a, c), min(b, d)) for a, b in left for c, d in right)
    return tuple(sorted(span for span in pairs if span[0] < span[1]))
