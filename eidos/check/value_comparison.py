r"""How a reading compares with the recommended one: which values are as good, as data.

Knows the ways to compare and how ``recipes/comparisons.yaml`` chooses one by path; must not know any path. The ways are

=============  =====================================================================================================
``equal``      the same; numbers as numbers, ``4096 87380`` as a list of them
``at-least``   the recommended number, quantity, version or list of numbers, or more
``at-most``    … or less
``one-of``     one of the words, which commas separate
``present``    set to anything
``absent``     not set
``contains``   every item of the recommended list, which commas separate, is in the actual one
``range``      between the two recommended numbers
``ignore``     not judged: it is not a reading of a node
=============  =====================================================================================================

>>> rule = ComparisonRule("OS.sysctl./proc/sys/net/ipv4/tcp_rmem", "at-least")
>>> rule.is_satisfied("4096\t87380\t268435456", "4096 131072 536870912"), rule.is_satisfied("8192 87380 1", "4096 87380 1")
(True, False)
"""

from __future__ import annotations

from eidos.model.measurement import path_matches
from eidos.model.quantity import parse_quantity
from eidos.model.record import Record
from eidos.model.tree_reader import TreeReader
from eidos.semver import try_parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Union

    from eidos.model.condition_nodes import Condition

    Comparable = Union[list[float], tuple[float, ...]]

NAME = "comparisons.yaml"

EQUAL, MINIMUM, MAXIMUM, ONE_OF = "equal", "at-least", "at-most", "one-of"
PRESENT, ABSENT, CONTAINS, RANGE, IGNORE = "present", "absent", "contains", "range", "ignore"
WAYS = (EQUAL, MINIMUM, MAXIMUM, ONE_OF, PRESENT, ABSENT, CONTAINS, RANGE, IGNORE)

#: What a value is: ``number`` also has the suffixes of the kernel (memparse: K, M, G), ``switch`` its words for on and off.
AUTOMATIC, NUMBER, VERSION, SWITCH, TEXT = "", "number", "version", "switch", "text"
KINDS = (NUMBER, VERSION, SWITCH, TEXT)

_ON = frozenset(("1", "y", "yes", "on", "true", "enable", "enabled"))
_OFF = frozenset(("0", "n", "no", "off", "false", "disable", "disabled"))
_SUFFIXES = {"K": 10, "M": 20, "G": 30, "T": 40}
_DIGITS = 24

#: What the absence of a recommended reading means: it differs, or this host does not have such a thing.
FAILS, NOT_APPLICABLE = "fail", "not-applicable"


class ComparisonRule(Record):
    """How readings whose path is ``path`` (a ``*`` stands for anything) compare; ``why`` is the reason, ``source`` the id of its source.

    ``kind`` is one of :data:`KINDS` or "", ``absent`` the meaning of a missing reading. Where ``applies`` does not hold, the
    recommendation is not for this host; ``applies_to`` says so in words.
    """

    path: str
    way: str = EQUAL
    kind: str = AUTOMATIC
    absent: str = FAILS
    severity: str = "warning"
    why: str = ""
    source: str = ""
    applies: Condition | None = None
    applies_to: str = ""

    def is_satisfied(self, expected: str, actual: str | None) -> bool:
        """Whether an actual value is as good as the recommended one; None is absent."""
        way = self.way
        if way in (PRESENT, ABSENT) or actual is None:
            return (actual is None) == (way == ABSENT)
        if way == ONE_OF:
            return any(self._is_equal(word.strip(), actual) for word in expected.split(","))
        if way == CONTAINS:
            return set(expected.split(",")) <= set(actual.split(","))
        if way == EQUAL or expected == actual:
            return self._is_equal(expected, actual)
        left, right = self._comparable(expected), self._comparable(actual)
        if left is None or right is None:
            return False
        if way == RANGE:
            return len(left) == 2 and len(right) == 1 and left[0] <= right[0] <= left[1]
        if isinstance(left, tuple) and isinstance(right, tuple):  # versions
            return right[: len(left)] >= left if way == MINIMUM else right[: len(left)] <= left
        return len(left) == len(right) and all(b >= a if way == MINIMUM else b <= a for a, b in zip(left, right))

    def describe(self, expected: str) -> str:
        """What is expected, as an expression."""
        shown = expected.replace("\t", " ")
        signs = {MINIMUM: ">= {}", MAXIMUM: "<= {}", ONE_OF: "one of {}", PRESENT: "present", ABSENT: "absent", CONTAINS: "a list with {}"}
        return signs.get(self.way, "{}").format(shown)

    def _is_equal(self, expected: str, actual: str) -> bool:
        if expected == actual or " ".join(expected.split()) == " ".join(actual.split()):
            return True
        if self.kind == TEXT:
            return False
        folded = expected.lower(), actual.lower()
        if folded[0] == folded[1]:
            return True
        if self.kind == SWITCH:
            return any(set(folded) <= words for words in (_ON, _OFF))
        left, right = self._comparable(expected), self._comparable(actual)
        return left is not None and left == right

    def _comparable(self, text: str) -> Comparable | None:
        """A list of numbers, or a tuple of those of a version; None for a word."""
        if self.kind != VERSION:
            numbers = [_number(word, self.kind == NUMBER) for word in text.split()]
            known = [number for number in numbers if number is not None]
            if known and len(known) == len(numbers):
                return known
            quantity = parse_quantity(text)
            if quantity is not None:
                return [quantity]
        version = try_parse_version(text) if self.kind in (AUTOMATIC, VERSION) else None
        return version.numbers if version else None


def _number(word: str, with_suffix: bool) -> float | None:
    """A whole number, as the kernel reads it: decimal, ``0x`` and, with a suffix, in units of 1024."""
    text, shift = word, 0
    if with_suffix and text[-1:].upper() in _SUFFIXES:
        text, shift = text[:-1], _SUFFIXES[text[-1].upper()]
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    if len(digits) > _DIGITS or not digits.isascii():
        return None
    if digits[:2].lower() == "0x" and digits[2:] and all(char in "0123456789abcdefABCDEF" for char in digits[2:]):
        return sign * (int(digits, base=0) << shift)
    return sign * (int(digits) << shift) if digits.isdigit() else None


class Comparisons(Record):
    """All rules, in order; the last that fits a path counts."""

    rules: tuple[ComparisonRule, ...] = ()

    def rule(self, path: str) -> ComparisonRule:
        """The rule for a path; ``equal`` where none fits."""
        return next((rule for rule in reversed(self.rules) if path_matches(rule.path, path)), ComparisonRule(path))


def read_comparisons(tree: object, conditions: Mapping[str, Any] | None = None) -> Comparisons:
    """The rules in a tree of :data:`NAME`; InvalidData with the path of what is wrong in it.

    ``conditions`` are the trees of all conditions in it, by text, of data that was read without a fault before: it is not checked again.
    """
    if conditions is not None and isinstance(tree, dict):
        return Comparisons(tuple([_stored_rule(entry, conditions) for entry in tree["comparisons"]]))
    root = TreeReader(tree, NAME)
    root.expect_only(("sources", "comparisons"))
    return Comparisons(tuple(map(_read_rule, root.mappings("comparisons"))))


def _stored_rule(entry: Mapping[str, str], conditions: Mapping[str, Any]) -> ComparisonRule:
    from eidos.model.condition_nodes import stored_condition

    field, text = entry.get, entry.get("applies")
    return ComparisonRule(
        *(entry["path"], entry["how"], field("as", AUTOMATIC), field("absent", FAILS), field("severity", "warning")),
        *(field("why", ""), field("source", ""), stored_condition(text, conditions[text]) if text else None, field("applies-to", "")),
    )


def _read_rule(tree: TreeReader) -> ComparisonRule:
    from eidos.model.condition import parse_condition

    tree.expect_only(("path", "how", "as", "absent", "severity", "why", "source", "applies", "applies-to"))
    path = tree.name("path")
    if path.count("*") > 1:
        raise tree.error("a path can have one *", name="path")
    return ComparisonRule(
        path,
        tree.choice("how", WAYS),
        tree.choice("as", KINDS) if "as" in tree else AUTOMATIC,
        tree.choice("absent", (FAILS, NOT_APPLICABLE)) if "absent" in tree else FAILS,
        tree.choice("severity", ("error", "warning", "info")) if "severity" in tree else "warning",
        tree.text("why"),
        tree.text("source"),
        tree.parsed("applies", parse_condition) if "applies" in tree else None,
        tree.text("applies-to"),
    )
