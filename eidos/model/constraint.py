"""What a reading must be: a path and an expression.

Knows how expressions are written, evaluated and combined; must not know which readings exist.

Grammar: terms separated by commas, all of which must hold::

    expression = all *( "or" all )
    all        = factor *( ( "," / "and" ) factor )
    factor     = [ "not" ] ( "(" expression ")" / term )
    term       = ( ">=" / ">" / "<=" / "<" ) quantity / [ "==" / "!=" ] operand / "in" list / "matches" "/" pattern "/"
               / "present" / "absent"
    list       = "(" operand *( "," operand ) ")" / "[" operand *( "," operand ) "]"

An operand that is a version is compared as one, and only in the numbers that it has: ``<= 1.33`` holds for 1.33.5, ``> 1.33`` does
not. One with a unit (``80 GiB``, ``700W``, ``50us``) is that number of bytes, watts or seconds. Every term of them is then a union of
half-open intervals over three numbers, so the intersection of two expressions is exact, and it is known when it is empty. Any other
operand is a word, compared letter by letter, with ``==``, ``!=`` and ``in`` only; one with blanks or signs stands in double quotes. A
pattern (:mod:`eidos.model.pattern`) may match anywhere in the text. ``not`` is carried to the terms when an expression is read.

>>> expression = parse_expression(">= 1.30, < 1.36, != 1.33.2")
>>> [expression.holds(reading) for reading in ("v1.33.5-eks-3025e55", "1.36", "1.33.2", "unknown")]
[True, False, False, None]
>>> str(parse_expression(">= 1.32.4").intersect(parse_expression(">= 1.25")))
'>= 1.32.4'
>>> parse_expression("< 1.30").intersect(parse_expression(">= 1.32.4")) is None
True
>>> str(parse_expression("not (>= 1.30 and < 1.36) or matches /-gke/"))
'< 1.30 or >= 1.36 or matches /-gke/'
>>> parse_expression("absent").holds(None), parse_expression(">= 64GiB").holds("128 GiB")
(True, True)
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.expression import ABSENT, MATCHES, OPERATORS, PRESENT, Alternatives, Expression, Term, is_number, plain_range
from eidos.model.pattern import InvalidPattern, parse_pattern
from eidos.model.quantity import parse_quantity
from eidos.model.record import Record
from eidos.semver import try_parse_version
from eidos.wording import shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.model.tree_reader import TreeReader

__all__ = ["Constraint", "Expression", "InvalidExpression", "Term", "parse_expression", "read_constraint"]

#: Levels of parentheses.
_DEPTH = 20


class InvalidExpression(InvalidInput):
    """Not an expression; the excerpt points at what is wrong."""

    def __init__(self, text: str, position: int, why: str) -> None:
        shown = shorten(text, 100)
        super().__init__(
            f"invalid expression {shown!r}: {why}",
            "examples: >= 1.32.4   >= 1.30, < 1.36   in (2M, 512M)   != 570.148.08",
            (shown, min(position, 99)),
        )


class Constraint(Record):
    """A reading's path (``K8s.server.version``), what it must be, why, and the id of its source, which a merged one does not have."""

    name: str
    value: Expression
    why: str = ""
    source: str = ""


def parse_expression(text: str) -> Expression:
    """The expression in ``text``; InvalidExpression that points at what is wrong when there is none."""
    parser = _Parser(text)
    expression = parser.alternatives(_DEPTH)
    if parser.position < len(text):
        mark = text[parser.position]
        raise parser.error(f"{mark!r} is not allowed here" if mark in ")]" else "expected a comma or the end")
    return expression


def read_constraint(tree: TreeReader) -> Constraint:
    """The constraint in a mapping of a document; InvalidData with its path when there is none."""
    return Constraint(tree.name("name"), tree.parsed("value", parse_expression), tree.text("why"), tree.text("source"))


class _Parser:
    """A text, and how far it was read; blanks in front of the position are skipped."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.skip()

    def error(self, why: str, position: int | None = None) -> InvalidExpression:
        return InvalidExpression(self.text, self.position if position is None else position, why)

    def skip(self) -> None:
        while self.position < len(self.text) and self.text[self.position] in " \t\n":
            self.position += 1

    def take(self, mark: str) -> bool:
        """Whether ``mark`` comes next, which is then read; a word must end there."""
        end = self.position + len(mark)
        if not self.text.startswith(mark, self.position) or (
            mark.isalpha() and self.text[end : end + 1] not in ("", " ", "\t", "\n", *"()[,/")
        ):
            return False
        self.position = end
        self.skip()
        return True

    def alternatives(self, depth: int) -> Expression:
        each = [self.conjunction(depth)]
        while self.take("or"):
            each.append(self.conjunction(depth))
        if len(each) == 1:
            return each[0]
        flat: list[Expression] = []
        for one in each:
            only = one.terms[0]
            flat += only.expressions if len(one.terms) == 1 and isinstance(only, Alternatives) else [one]
        return Expression((Alternatives(tuple(flat)),))

    def conjunction(self, depth: int) -> Expression:
        terms = [*self.factor(depth).terms]
        while self.take(",") or self.take("and"):
            terms += self.factor(depth).terms
        return Expression(tuple(terms))

    def factor(self, depth: int) -> Expression:
        is_negative = False
        while self.take("not"):
            is_negative = not is_negative
        start = self.position
        if self.take("("):
            if not depth:
                raise self.error(f"more than {_DEPTH} levels of parentheses", start)
            result = self.alternatives(depth - 1)
            if not self.take(")"):
                raise self.error("this parenthesis is not closed", start)
        else:
            result = Expression((self.term(),))
        return result.negated() if is_negative else result

    def term(self) -> Term:
        start = self.position
        for word in (PRESENT, ABSENT):
            if self.take(word):
                return Term(word)
        if self.text.startswith(f"{MATCHES} ", start) or self.text.startswith(f"{MATCHES}/", start):
            self.take(MATCHES)
            return Term(MATCHES, (self.pattern(),))
        if self.take("in"):
            if self.text[self.position : self.position + 1] in ("(", "["):
                return Term("in", self.items())
            self.position = start
        operator = next((mark for mark in OPERATORS if self.take(mark)), "")
        begin = self.position
        operand = self.operand(",()[]")
        if operator in (">=", ">", "<=", "<") and not is_number(operand):
            raise self.error(f"{operator} needs a version or a number, not {operand[:30]!r}", begin)
        return Term(operator or "==", (operand,))

    def items(self) -> tuple[str, ...]:
        start = self.position
        closing = ")" if self.text[start] == "(" else "]"
        self.take(self.text[start])
        operands: list[str] = []
        while True:
            if self.text[self.position : self.position + 1] in (",", closing):
                raise self.error("an item of the list is empty", start)
            if self.position == len(self.text):
                raise self.error("this parenthesis is not closed", start)
            operands.append(self.operand(f",{closing}"))
            if self.take(closing):
                return tuple(operands)
            if not self.take(","):
                raise self.error("this parenthesis is not closed" if self.position == len(self.text) else "expected a comma", start)

    def operand(self, ends: str) -> str:
        text, start = self.text, self.position
        if text.startswith('"', start):
            end = text.find('"', start + 1)
            if end < 0:
                raise self.error("this quote is not closed")
            if end == start + 1:
                raise self.error("missing value")
            self.position = end + 1
            self.skip()
            return text[start + 1 : end]
        end = start
        while end < len(text) and text[end] not in " \t\n" and text[end] not in ends:
            if text[end] in '<>=!()[]"':
                raise self.error(f"{text[end]!r} is not allowed in a value", end)
            end += 1
        if end == start:
            if start < len(text) and text[start] != ",":
                raise self.error(f"{text[start]!r} is not allowed in a value")
            raise self.error("missing value")
        self.position = end
        self.skip()
        operand = text[start:end]
        unit = self.position
        while unit < len(text) and text[unit] not in " \t\n" and text[unit] not in ends:
            unit += 1
        word = text[self.position : unit]
        if word and parse_quantity(operand + word) is not None and try_parse_version(operand) is not None:
            self.position = unit
            self.skip()
            return operand + word
        if word and end < self.position and word not in ("and", "or"):
            raise self.error("' ' is not allowed in a value", end)
        plain = plain_range(operand)
        if plain:
            raise self.error(f"{operand[:30]!r} is a range of npm and Cargo; write {plain}", start)
        return operand

    def pattern(self) -> str:
        """The pattern between two slashes; a backslash in front of one takes its meaning away."""
        start = self.position
        if not self.text.startswith("/", start):
            raise self.error("expected a pattern, as in matches /^5[78]0[.]/")
        end = start + 1
        while end < len(self.text) and self.text[end] != "/":
            end += 2 if self.text[end] == "\\" else 1
        if end >= len(self.text):
            raise self.error("this pattern is not closed")
        pattern = self.text[start + 1 : end]
        try:
            parse_pattern(pattern)
        except InvalidPattern as fault:
            raise self.error(fault.why, start + 1 + fault.position) from fault
        self.position = end + 1
        self.skip()
        return pattern
