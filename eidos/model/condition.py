"""What must be so on a node, in one expression over several readings.

Knows how conditions are written; must not know which readings exist, nor how a condition is evaluated (``condition_nodes`` does).

Grammar, on top of the terms of :mod:`eidos.model.constraint`::

    condition  = both *( "or" both )
    both       = unary *( "and" unary )
    unary      = "not" unary / ( "any" / "all" / "none" ) "(" condition ")" / "same" "(" path ")" / "(" condition ")" / comparison
    comparison = path term / path ( "==" / "!=" / ">=" / "<=" / ">" / "<" ) path

A path is ``Type.subtype.key``, ``query.gpu`` or another name that the lookup has; one with blanks or signs stands in double quotes.
Inside ``any(…)``, ``all(…)`` and ``none(…)`` a ``*`` in paths stands for the same text in all of them, and the condition is evaluated for
each text for which one of the paths exists: ``all(GPU.gpu-*.ecc.current == GPU.gpu-*.ecc.pending)``. ``same(GPU.gpu-*.vbios-version)``
holds where all those readings are alike.

>>> readings = {"OS.kmod.nvidia": "true", "GPU.gpu-0.ecc.current": "Enabled", "GPU.gpu-1.ecc.current": "Disabled"}
>>> lookup = DictLookup(readings)
>>> parse_condition("OS.kmod.nvidia present and all(GPU.gpu-*.ecc.current == Enabled)").evaluate(lookup)
Judgement(value=False, evidence={'GPU.gpu-1.ecc.current': 'Disabled'}, unread={})
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.condition_nodes import (
    ALL,
    ANY,
    NONE,
    SAME,
    Comparison,
    Condition,
    DictLookup,
    Group,
    Judgement,
    Negation,
    Quantified,
    Uniform,
    Unread,
    matching_instances,
)
from eidos.model.constraint import InvalidExpression, parse_expression
from eidos.model.expression import PRESENT, Expression, Term
from eidos.wording import shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from eidos.model.condition_nodes import Node

    _Reader = Callable[[], Node]

__all__ = [
    "Condition",
    "DictLookup",
    "InvalidCondition",
    "Judgement",
    "Unread",
    "matching_instances",
    "parse_condition",
]

#: Levels of parentheses and of ``not``.
_DEPTH = 20


class InvalidCondition(InvalidInput):
    """Not a condition; the excerpt points at what is wrong."""

    def __init__(self, text: str, position: int, why: str) -> None:
        # Conditions can be long: what is shown is the part around the mistake.
        begin = max(0, position - 60)
        shown = shorten(text[begin:], 100)
        hint = "examples: GPU.smi.driver >= 580   OS.kmod.nouveau absent   all(GPU.gpu-*.mig.current == GPU.gpu-*.mig.pending)"
        super().__init__(f"invalid condition {shown!r}: {why}", hint, (shown, min(position - begin, 99)))


def parse_condition(text: str) -> Condition:
    """The condition in ``text``; InvalidCondition that points at what is wrong when there is none."""
    parser = _Parser(text)
    root = parser.either(_DEPTH, False)
    if parser.position < len(text):
        raise parser.error("expected 'and', 'or' or the end")
    return Condition(text, root)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.peeked = -1, ""
        self.skip()

    def error(self, why: str, position: int | None = None) -> InvalidCondition:
        return InvalidCondition(self.text, self.position if position is None else position, why)

    def skip(self) -> None:
        while self.position < len(self.text) and self.text[self.position] in " \t\n":
            self.position += 1

    def peek(self) -> str:
        """The word that begins here: up to a blank, a parenthesis, a comma or an operator."""
        position, word = self.peeked
        if position != self.position:
            position = end = self.position
            while end < len(self.text) and self.text[end] not in " \t\n()<>=!,":
                end += 1
            word = self.text[position:end]
            self.peeked = position, word
        return word

    def take(self, mark: str) -> bool:
        if (self.peek() == mark) if mark.isalpha() else self.text.startswith(mark, self.position):
            self.position += len(mark)
            self.skip()
            return True
        return False

    def either(self, depth: int, is_inside: bool) -> Node:
        return self.group("or", ANY, lambda: self.group("and", ALL, lambda: self.unary(depth, is_inside)))

    def group(self, word: str, quantifier: str, read: _Reader) -> Node:
        nodes = [read()]
        while self.take(word):
            nodes.append(read())
        return nodes[0] if len(nodes) == 1 else Group(quantifier, tuple(nodes))

    def unary(self, depth: int, is_inside: bool) -> Node:
        start = self.position
        if not depth:
            raise self.error(f"more than {_DEPTH} levels")
        word = self.peek()
        if word and word not in _KEYWORDS:
            return self.comparison(is_inside)
        if self.take("not"):
            return Negation(self.unary(depth - 1, is_inside))
        for quantifier in (ANY, ALL, NONE):
            if self.take(quantifier):
                if is_inside:
                    raise self.error(f"{quantifier}(…) cannot be inside another", start)
                if not self.text.startswith("(", self.position):
                    raise self.error(f"expected a parenthesis after {quantifier!r}")
                inner = self.parenthesis(depth - 1, True)
                if not any("*" in path for path in inner.paths()):
                    raise self.error(f"{quantifier}(…) needs a path with a *, such as GPU.gpu-*.model", start)
                return Quantified(quantifier, inner)
        if self.take(SAME):
            if is_inside:
                raise self.error("same(…) cannot be inside another", start)
            if not self.take("("):
                raise self.error("expected a parenthesis after 'same'")
            begin = self.position
            path = self.path(True)
            if "*" not in path:
                raise self.error("same(…) needs a path with a *, such as GPU.gpu-*.vbios-version", begin)
            if not self.take(")"):
                raise self.error("this parenthesis is not closed", start)
            return Uniform(path)
        if self.text.startswith("(", self.position):
            return self.parenthesis(depth - 1, is_inside)
        return self.comparison(is_inside)

    def parenthesis(self, depth: int, is_inside: bool) -> Node:
        start = self.position
        self.take("(")
        node = self.either(depth, is_inside)
        if not self.take(")"):
            raise self.error("this parenthesis is not closed", start)
        return node

    def comparison(self, is_inside: bool) -> Comparison:
        path = self.path(is_inside)
        begin = self.position
        operator = next((mark for mark in (">=", "<=", "==", "!=", ">", "<") if self.text.startswith(mark, begin)), "")
        if operator:
            self.take(operator)
            if self.is_path():
                return Comparison(path, Expression((Term(operator, ("0",)),)), self.path(is_inside))
        if self.position == len(self.text) or self.peek() in ("and", "or") or self.text.startswith(")", self.position):
            if operator:
                raise self.error("missing value")
            return Comparison(path, Expression((Term(PRESENT),)))
        end = self.term_end(begin)
        try:
            term = parse_expression(self.text[begin:end])
        except InvalidExpression as fault:
            _, _, why = fault.message.partition("': ")
            raise self.error(why or fault.message, begin + (fault.excerpt[1] if fault.excerpt else 0)) from fault
        if not operator and term.terms[0].operator == "==":
            raise self.error("expected an operator: == != >= <= > < in matches present absent", begin)
        self.position = end
        self.skip()
        return Comparison(path, term)

    def term_end(self, begin: int) -> int:
        """Where the term ends that begins there: before a word between conditions, a parenthesis that closes another, or the end."""
        position, depth, text = begin, 0, self.text
        while position < len(text):
            char = text[position]
            if char in '"/' and (
                char == '"'
                or text[max(begin, position - 20) : position].rstrip().endswith(" matches")
                or text[begin:position].strip() == "matches"
            ):
                closing = position + 1
                while closing < len(text) and text[closing] != char:
                    closing += 2 if text[closing] == "\\" else 1
                position = closing
            elif char in "([":
                depth += 1
            elif char in ")]":
                if not depth:
                    return position
                depth -= 1
            elif char in " \t\n" and not depth:
                word = text[position:].split(None, 1)[0].partition("(")[0] if text[position:].strip() else ""
                if word in ("and", "or"):
                    return position
            position += 1
        return len(text)

    def is_path(self) -> bool:
        word = self.peek().strip('"')
        return self.text.startswith('"', self.position) is False and word.partition(".")[0] in _ROOTS and "." in word

    def path(self, is_inside: bool) -> str:
        start = self.position
        if self.text.startswith('"', start):
            end = self.text.find('"', start + 1)
            if end < 0:
                raise self.error("this quote is not closed")
            path, self.position = self.text[start + 1 : end], end + 1
        else:
            path = self.peek()
            self.position += len(path)
        self.skip()
        if path.partition(".")[0] not in _ROOTS or "." not in path:
            shown = f", not {shorten(path, 40)!r}" if path else ""
            raise self.error(f"expected a path such as GPU.smi.driver{shown}", start)
        if path.count("*") > is_inside:
            why = "a path can have one *" if is_inside else "a path with a * belongs into any(…), all(…) or none(…)"
            raise self.error(why, start + path.index("*"))
        return path


#: What may stand before a condition or its parenthesis.
_KEYWORDS = frozenset(("not", ANY, ALL, NONE, SAME))

#: First words of paths: the types of measurements, and what is derived from them.
_ROOTS = ("K8s", "SystemD", "OS", "GPU", "query", "node", "recipe", "snapshot")
