"""Conditions over the readings of a node as data, how they are evaluated, and how they are stored.

Knows the kinds of nodes that a condition consists of, and the form of each as a plain tree; must not know how one is written
(:mod:`eidos.model.condition` reads it) nor where readings come from: a caller gives a lookup.

A condition is true, false, or unknown because something could not be read (Kleene's strong logic: ``false and unknown`` is false). A
reading that is known to be absent is equal to nothing: ``==``, ``in``, ``matches`` and the orders are false, ``!=`` is true.

The archive has conditions as trees of lists and texts, so that no start parses them:

==============================================  ====================================================================
``["is", path, expression]``                    a comparison; with another path behind it, of two readings
``["not", tree]``                               a negation
``["all", tree, …]``, ``["any", tree, …]``      a group
``["each", "all" / "any" / "none", tree]``      one for each instance
``["same", path]``                              readings that must be alike
==============================================  ====================================================================

An expression is a list of terms: ``[operator, operand, …]``, or ``["or", expression, …]`` for alternatives.

>>> from eidos.model.condition import parse_condition
>>> tree = condition_tree(parse_condition("OS.kmod.nvidia present and not GPU.smi.driver in (580, 570)").root)
>>> tree
['all', ['is', 'OS.kmod.nvidia', [['present']]], ['not', ['is', 'GPU.smi.driver', [['in', '580', '570']]]]]
>>> str(next(stored_condition("as written", tree).root.paths()))
'OS.kmod.nvidia'
"""

from __future__ import annotations

from eidos.model.expression import Alternatives, Expression, Term
from eidos.model.quantity import with_unit_of
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any, Protocol, Union

    class Node(Protocol):
        """One of the kinds below."""

        def paths(self) -> Iterator[str]:
            """All paths in it."""

        def evaluate(self, lookup: Lookup, instance: str) -> Judgement:
            """Whether it holds for an instance, which takes the place of ``*``; "" where there is none."""

    class Lookup(Protocol):
        """Where a condition reads from."""

        def read(self, path: str) -> str | None:
            """The text of a reading; None when it is known to be absent. Raises :class:`Unread` when it is not known."""

        def instances(self, prefix: str, suffix: str) -> Iterable[str]:
            """The texts for which ``prefix + text + suffix`` is a reading, or should be one and could not be read."""

        def unread_instances(self, pattern: str) -> str:
            """Why there may be more of what ``*`` stands for in a path than those; "" when there is not."""

    Tree = Sequence[Union[str, "Tree"]]

ALL, ANY, NONE, SAME = "all", "any", "none", "same"

_IS, _NOT, _EACH, _SAME, _OR = "is", "not", "each", "same", "or"


class Unread(Exception):
    """A reading that may be there and was not read; ``why`` is a phrase."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Judgement(Record):
    """``value`` is None when it is unknown; ``evidence`` are the readings that decide it ("" where one is absent), by path.

    ``unread`` are the paths that would decide it, and why they could not be read.
    """

    value: bool | None
    evidence: dict[str, str] = {}
    unread: dict[str, str] = {}


class DictLookup:
    """A lookup of a plain mapping, in which what is missing is absent."""

    def __init__(self, readings: Mapping[str, str]) -> None:
        self.readings = readings

    def read(self, path: str) -> str | None:
        """The reading, or None."""
        return self.readings.get(path)

    def instances(self, prefix: str, suffix: str) -> Iterable[str]:
        """In the order of the mapping."""
        return matching_instances(self.readings, prefix, suffix)

    def unread_instances(self, _pattern: str) -> str:
        """None: what is missing is absent."""
        return ""


def matching_instances(paths: Iterable[str], prefix: str, suffix: str) -> Iterator[str]:
    """The text in the middle of each path that begins and ends so.

    >>> list(matching_instances(["GPU.gpu-0.model", "GPU.gpu-1.model", "GPU.smi.driver"], "GPU.gpu-", ".model"))
    ['0', '1']
    """
    before, behind = len(prefix), len(suffix)
    for path in paths:
        if path.endswith(suffix) and path.startswith(prefix) and len(path) > before + behind:
            yield path[before : len(path) - behind]


class Condition(Record):
    """A condition that was parsed; ``text`` as written."""

    text: str
    root: Node

    def evaluate(self, lookup: Lookup) -> Judgement:
        """Whether it holds, and what decides that."""
        return self.root.evaluate(lookup, "")

    def paths(self) -> tuple[str, ...]:
        """All paths in it, in order; with a ``*`` where they have one."""
        return tuple(dict.fromkeys(self.root.paths()))

    def __str__(self) -> str:
        return self.text


class Comparison(Record):
    """A reading and a term, or another reading (``other``) in place of the term's operand."""

    path: str
    term: Expression
    other: str = ""

    def paths(self) -> Iterator[str]:
        """Its paths."""
        yield self.path
        if self.other:
            yield self.other

    def evaluate(self, lookup: Lookup, instance: str) -> Judgement:
        """Whether it holds for an instance, which takes the place of ``*``."""
        evidence: dict[str, str] = {}
        unread: dict[str, str] = {}
        values: list[str | None] = []
        for path in self.paths():
            full = path.replace("*", instance) if instance else path
            try:
                value = lookup.read(full)
            except Unread as fault:
                unread[full] = fault.why
            else:
                values.append(value)
                evidence[full] = value or ""
        if unread:
            return Judgement(None, evidence, unread)
        text = values[0]
        if not self.other:
            holds = self.term.holds(None if text is None else with_unit_of(self.path, text))
            return Judgement(holds, evidence) if holds is not None else _incomparable(evidence, str(self.term))
        other = values[1]
        operator = self.term.terms[0].operator
        if other is None or text is None:
            return Judgement((text == other) == (operator == "==") if operator in ("==", "!=") else False, evidence)
        holds = Term(operator, (other,)).holds(text)
        return Judgement(holds, evidence) if holds is not None else _incomparable(evidence, other)


def _incomparable(evidence: dict[str, str], expected: str) -> Judgement:
    """What a word against a number gives: unknown, because nothing says what the word means."""
    path, text = next(iter(evidence.items()))
    return Judgement(None, evidence, {path: f"{text!r} cannot be compared with {expected}"})


class Negation(Record):
    """What holds where another does not."""

    inner: Node

    def paths(self) -> Iterator[str]:
        """Those of the other."""
        return self.inner.paths()

    def evaluate(self, lookup: Lookup, instance: str) -> Judgement:
        """The opposite, for the same reasons."""
        result = self.inner.evaluate(lookup, instance)
        return result if result.value is None else Judgement(not result.value, result.evidence)


class Group(Record):
    """Several, of which all must hold or any."""

    quantifier: str
    inner: tuple[Node, ...]

    def paths(self) -> Iterator[str]:
        """Those of each."""
        return (path for node in self.inner for path in node.paths())

    def evaluate(self, lookup: Lookup, instance: str) -> Judgement:
        """From left to right, up to the first that decides."""
        return combine(self.quantifier, (node.evaluate(lookup, instance) for node in self.inner), is_short=True)


class Quantified(Record):
    """One for each instance, of which all must hold, any or none."""

    quantifier: str
    inner: Node

    def paths(self) -> Iterator[str]:
        """Those of the inner one."""
        return self.inner.paths()

    def evaluate(self, lookup: Lookup, instance: str) -> Judgement:
        """All instances are evaluated: the evidence names each that decides. Those that could not be read leave it unknown."""
        texts, unread = _instances(self.inner.paths(), lookup)
        results = [self.inner.evaluate(lookup, text) for text in texts]
        decisive = self.quantifier != ALL
        result = combine(ANY if decisive else ALL, results)
        if unread and result.value is not decisive:
            return Judgement(None, result.evidence, {**result.unread, **unread})
        if self.quantifier == NONE and result.value is not None:
            return Judgement(not result.value, result.evidence)
        return result


class Uniform(Record):
    """Readings of all instances, which must be alike; those that are absent do not count."""

    path: str

    def paths(self) -> Iterator[str]:
        """Its path."""
        yield self.path

    def evaluate(self, lookup: Lookup, instance: str) -> Judgement:
        """Two that differ decide it, whatever could not be read."""
        texts, unread = _instances((self.path,), lookup)
        evidence: dict[str, str] = {}
        for text in texts:
            path = self.path.replace("*", text)
            try:
                value = lookup.read(path)
            except Unread as fault:
                unread[path] = fault.why
            else:
                evidence.update({} if value is None else {path: value})
        if len(set(evidence.values())) > 1:
            return Judgement(False, evidence)
        return Judgement(None, evidence, unread) if unread else Judgement(True, evidence)


def _instances(paths: Iterable[str], lookup: Lookup) -> tuple[list[str], dict[str, str]]:
    """What ``*`` stands for, in order, and the paths of which there may be more, each with the reason."""
    texts: dict[str, None] = {}
    unread: dict[str, str] = {}
    for path in paths:
        if "*" in path:
            prefix, _, suffix = path.partition("*")
            texts.update(dict.fromkeys(lookup.instances(prefix, suffix)))
            why = lookup.unread_instances(path)
            unread.update({path: why} if why else {})
    return sorted(texts, key=lambda text: (len(text), text)), unread


def combine(quantifier: str, results: Iterable[Judgement], is_short: bool = False) -> Judgement:
    """Whether all or any hold; the evidence is that of those which decide, ``is_short`` stops at the first of them."""
    decisive = quantifier == ANY
    each = []
    for result in results:
        each.append(result)
        if is_short and result.value is decisive:
            return result
    value = decisive if any(result.value is decisive for result in each) else None if any(r.value is None for r in each) else not decisive
    chosen = [result for result in each if result.value is value] if value is not None else [r for r in each if r.value is None]
    evidence = {path: text for result in chosen for path, text in result.evidence.items()}
    return Judgement(value, evidence, {path: why for result in chosen for path, why in result.unread.items()} if value is None else {})


def condition_tree(node: Node) -> list[Any]:
    """The tree of a node. Raises TypeError for a kind that has none."""
    if isinstance(node, Comparison):
        return [_IS, node.path, _expression_tree(node.term), *filter(None, (node.other,))]
    if isinstance(node, Negation):
        return [_NOT, condition_tree(node.inner)]
    if isinstance(node, Group):
        return [node.quantifier, *map(condition_tree, node.inner)]
    if isinstance(node, Quantified):
        return [_EACH, node.quantifier, condition_tree(node.inner)]
    if isinstance(node, Uniform):
        return [_SAME, node.path]
    raise TypeError(f"{type(node).__name__} has no form as a tree")


def _expression_tree(expression: Expression) -> list[Any]:
    return [
        [_OR, *map(_expression_tree, term.expressions)] if isinstance(term, Alternatives) else [term.operator, *term.operands]
        for term in expression.terms
    ]


def stored_condition(text: str, tree: Tree) -> Condition:
    """The condition in a tree, whose nodes are made when it is first evaluated; ``text`` as written."""
    return Condition(text, _Stored(tree))


class _Stored:
    """A node that is still a tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._root: Node | None = None

    def _node(self) -> Node:
        if self._root is None:
            self._root = node_of(self._tree)
        return self._root

    def paths(self) -> Iterator[str]:
        """Those of the condition."""
        return self._node().paths()

    def evaluate(self, lookup: Lookup, instance: str) -> Judgement:
        """Whether it holds."""
        return self._node().evaluate(lookup, instance)


def node_of(tree: Any) -> Node:
    """The node that a tree stands for, which :func:`condition_tree` made."""
    kind = tree[0]
    if kind == _IS:
        return Comparison(tree[1], _expression_of(tree[2]), *tree[3:])
    if kind == _NOT:
        return Negation(node_of(tree[1]))
    if kind in (ALL, ANY):
        return Group(kind, tuple(map(node_of, tree[1:])))
    return Quantified(tree[1], node_of(tree[2])) if kind == _EACH else Uniform(tree[1])


def _expression_of(terms: Any) -> Expression:
    return Expression(tuple([_term_of(term) for term in terms]))


def _term_of(term: Any) -> Term | Alternatives:
    if term[0] == _OR:
        return Alternatives(tuple(map(_expression_of, term[1:])))
    return Term(term[0], tuple(term[1:]))
