"""Parsed conditions as plain trees of lists and texts: stored in the archive, so that no start parses them.

Knows the form of each kind of node; must not know how conditions are written, nor where the trees are stored. The forms are

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

from eidos.model.condition_nodes import ALL, ANY, Comparison, Condition, Group, Negation, Quantified, Uniform
from eidos.model.expression import Alternatives, Expression, Term

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Union

    from eidos.model.condition_nodes import Judgement, Lookup, Node

    Tree = Sequence[Union[str, "Tree"]]

_IS, _NOT, _EACH, _SAME, _OR = "is", "not", "each", "same", "or"


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
