r"""Regular expressions that are matched in time proportional to text times pattern, whatever both are.

Knows the syntax and how it is matched; must not know what is searched. The syntax is the common part of POSIX and Perl: characters,
``.``, ``[a-z]`` and ``[^a-z]``, the classes ``\d \w \s``, ``^`` and ``$``, groups, ``|``, ``*``, ``+`` and ``?``. There is no counting,
no look-around and no reference to a group. All states are followed at once (Thompson 1968), so nothing is tried twice and there is no
backtracking; ``re`` would take 10 ms to import besides.

>>> parse_pattern("^5[78]0[.]").occurs_in("580.82.07"), parse_pattern("(a+)+$").occurs_in("a" * 1000 + "b")
(True, False)
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.wording import shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    #: What one step of a match takes: a function of a character, or the name of an assertion.
    Step = tuple[str, Callable[[str], bool] | None, int, int]

#: Characters of a pattern, and of the text that is searched: readings are shorter.
LIMIT, TEXT_LIMIT = 500, 64 << 10

#: Levels of groups.
_DEPTH = 20

CHARACTER, SPLIT, START, END, DONE = "character", "split", "start", "end", "done"

_CLASSES: dict[str, Callable[[str], bool]] = {
    "d": lambda char: "0" <= char <= "9",
    "w": lambda char: char == "_" or (char.isascii() and char.isalnum()),
    "s": lambda char: char in " \t\n\r\f\v",
}


class InvalidPattern(InvalidInput):
    """Not a pattern; ``position`` is the index of what is wrong, ``why`` says what."""

    def __init__(self, text: str, position: int, why: str) -> None:
        shown = shorten(text, 100)
        super().__init__(
            f"invalid pattern {shown!r}: {why}", "use characters, . [a-z] ^ $ ( ) | * + ? and \\d \\w \\s", (shown, min(position, 99))
        )
        self.position = position
        self.why = why


class Pattern:
    """A pattern that was parsed; ``text`` as written."""

    __slots__ = ("_steps", "text")

    def __init__(self, text: str, steps: list[Step]) -> None:
        self.text = text
        self._steps = steps

    def occurs_in(self, text: str) -> bool:
        """Whether it matches anywhere in ``text``, of which the first :data:`TEXT_LIMIT` characters are searched."""
        text = text[:TEXT_LIMIT]
        steps = self._steps
        states: set[int] = set()
        for index in range(len(text) + 1):
            states = self._reachable([*states, 0], index == 0, index == len(text))
            if any(steps[state][0] == DONE for state in states):
                return True
            if index < len(text):
                char = text[index]
                states = {steps[state][2] for state in states if (accepts := steps[state][1]) and accepts(char)}
        return False

    def _reachable(self, states: Iterable[int], is_start: bool, is_end: bool) -> set[int]:
        """All states that can be reached without another character."""
        pending = list(states)
        reached: set[int] = set()
        while pending:
            state = pending.pop()
            if state in reached:
                continue
            reached.add(state)
            kind, _, following, other = self._steps[state]
            if kind == SPLIT:
                pending += (following, other)
            elif (kind == START and is_start) or (kind == END and is_end):
                pending.append(following)
        return reached


_CACHE: dict[str, Pattern] = {}
_CACHE_LIMIT = 256


def parse_pattern(text: str) -> Pattern:
    """The pattern in ``text``; InvalidPattern with the position of what is wrong when there is none."""
    cached = _CACHE.get(text)
    if cached is None:
        if len(text) > LIMIT:
            raise InvalidPattern(text, LIMIT, f"longer than {LIMIT} characters")
        cached = Pattern(text, _Compiler(text).compile())
        if len(_CACHE) >= _CACHE_LIMIT:
            _CACHE.clear()
        _CACHE[text] = cached
    return cached


class _Compiler:
    """Reads a pattern once, from left to right, and writes its steps; a step points at those behind it by number."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.steps: list[Step] = []

    def compile(self) -> list[Step]:
        self.alternatives(_DEPTH)
        if self.position < len(self.text):
            raise InvalidPattern(self.text, self.position, "this parenthesis was not opened")
        self.steps.append((DONE, None, 0, 0))
        return self.steps

    def alternatives(self, depth: int) -> None:
        """Steps of ``a|b``: a split in front of each but the last, and a jump over the rest behind it."""
        start, jumps = len(self.steps), []
        self.sequence(depth)
        while self.position < len(self.text) and self.text[self.position] == "|":
            self.position += 1
            self.insert_split(start)
            jumps.append(len(self.steps))
            self.steps.append((SPLIT, None, 0, 0))
            kind, accepts, following, _ = self.steps[start]
            self.steps[start] = (kind, accepts, following, len(self.steps))
            start = len(self.steps)
            self.sequence(depth)
        for jump in jumps:
            self.steps[jump] = (SPLIT, None, len(self.steps), len(self.steps))

    def insert_split(self, start: int) -> None:
        """A split in front of the steps from ``start`` on, whose numbers grow by one."""
        moved = [
            (kind, accepts, following + (following >= start), other + (other >= start))
            for kind, accepts, following, other in self.steps[start:]
        ]
        self.steps[start:] = [(SPLIT, None, start + 1, 0), *moved]

    def sequence(self, depth: int) -> None:
        while self.position < len(self.text) and self.text[self.position] not in "|)":
            start = len(self.steps)
            self.item(depth)
            while self.position < len(self.text) and self.text[self.position] in "*+?":
                self.repeat(start, self.text[self.position])
                self.position += 1

    def repeat(self, start: int, sign: str) -> None:
        if sign == "+":
            end = len(self.steps)
            self.steps.append((SPLIT, None, start, end + 1))
            return
        self.insert_split(start)
        if sign == "*":
            self.steps.append((SPLIT, None, start, start))
        self.steps[start] = (SPLIT, None, start + 1, len(self.steps))

    def item(self, depth: int) -> None:
        char, start = self.text[self.position], self.position
        self.position += 1
        if char == "(":
            if not depth:
                raise InvalidPattern(self.text, start, f"more than {_DEPTH} levels of groups")
            if self.text.startswith("?", self.position):
                raise InvalidPattern(self.text, self.position, "extensions of groups are not supported")
            self.alternatives(depth - 1)
            if not self.text.startswith(")", self.position):
                raise InvalidPattern(self.text, start, "this parenthesis is not closed")
            self.position += 1
        elif char in "*+?":
            raise InvalidPattern(self.text, start, f"{char!r} has nothing to repeat")
        elif char == "{":
            raise InvalidPattern(self.text, start, "counting is not supported; write [{] for the character")
        elif char in "^$":
            self.add(START if char == "^" else END, None)
        elif char == ".":
            self.add(CHARACTER, lambda _: True)
        elif char == "[":
            self.add(CHARACTER, self.set(start))
        elif char == "\\":
            self.add(CHARACTER, self.escape())
        else:
            self.add(CHARACTER, lambda other: other == char)

    def add(self, kind: str, accepts: Callable[[str], bool] | None) -> None:
        self.steps.append((kind, accepts, len(self.steps) + 1, 0))

    def escape(self) -> Callable[[str], bool]:
        if self.position == len(self.text):
            raise InvalidPattern(self.text, self.position - 1, "nothing after the backslash")
        char = self.text[self.position]
        self.position += 1
        if char in _CLASSES:
            return _CLASSES[char]
        if char.lower() in _CLASSES:
            negated = _CLASSES[char.lower()]
            return lambda other: not negated(other)
        if char.isalnum():
            raise InvalidPattern(self.text, self.position - 1, f"unknown escape \\{char}")
        return lambda other: other == char

    def set(self, start: int) -> Callable[[str], bool]:
        """The characters of ``[…]``; the first may be a bracket, and a ``-`` at either end is itself."""
        is_negative = self.text.startswith("^", self.position)
        self.position += is_negative
        first = self.position
        parts: list[Callable[[str], bool]] = []
        while self.position < len(self.text) and (self.text[self.position] != "]" or self.position == first):
            char = self.text[self.position]
            self.position += 1
            if char == "\\":
                parts.append(self.escape())
            elif self.text[self.position : self.position + 1] == "-" and self.text[self.position + 1 : self.position + 2] not in ("", "]"):
                last = self.text[self.position + 1]
                if last < char or last == "\\":
                    raise InvalidPattern(self.text, self.position - 1, f"invalid range {char}-{last}")
                self.position += 2
                parts.append(_between(char, last))
            else:
                parts.append(_between(char, char))
        if self.position == len(self.text):
            raise InvalidPattern(self.text, start, "this bracket is not closed")
        self.position += 1
        return lambda other: any(part(other) for part in parts) != is_negative


def _between(first: str, last: str) -> Callable[[str], bool]:
    return lambda char: first <= char <= last
