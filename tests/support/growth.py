"""Measures how the work of a parser grows with its input.

Knows texts made of a repeated part, and a clock (process time, where a test has none of its own); must not know any parser.

A text is a beginning, a part that is repeated until the text has the size, and an end. The times of one parser on the texts of 4 kB and of
64 kB are compared in one process: linear work takes 16 times as long, work that grows with the square 256 times. The limit is 64 times, so
caches, allocations and the garbage collector have room. 16 kB come first: work that grows with the square would take minutes at 64 kB.

Other processes only ever add to a time, and do so for a while: what is compared is the least of several runs, of the small text before
anything is compared with it, or a parser that is too slow would seem to grow with its text.
"""

from __future__ import annotations

import time
from random import Random
from typing import Callable, NamedTuple

#: Characters and words that mean something to at least one parser.
ATOMS = (
    *"abz019 \t\n\r\"'`\\/=:,;.-_+*?!@#$%^&|~<>()[]{}",
    *("\r\n", "://", "//", "--", "==", "- ", ": ", "a: ", "a=", "a=b ", "{}", "[]", "''", '""', "&a ", "*a ", "!!", "<a>", "</a>", "<gpu>"),
    *(
        "a,",
        "a.",
        "@{",
        "@{a}",
        "```",
        "[1-2]",
        "cc:",
        " -- ",
        "e9",
        "0x",
        "u:p@",
        "Bearer ",
        "token=",
        "-p",
        "\\n",
        "#c\n",
        "|\n",
        "\x00",
        "é",
    ),
)

SMALL, MIDDLE, LARGE, HUGE = 4 << 10, 16 << 10, 64 << 10, 1 << 20

#: Two sizes, and how many times as long the larger may take: the ratio of the sizes, to the power of 1.5.
_STEPS = ((SMALL, MIDDLE, 8.0), (SMALL, LARGE, 64.0), (LARGE, HUGE, 64.0))

#: Seconds below which a time means nothing.
_FLOOR_S = 0.0005

#: Seconds of the middle size beyond which the large one is left to a thorough run, and of the large one up to which the huge one is run:
#: what copies its input again and again does so too fast to be noticed in less.
_SLOW_S, _FAST_S = 0.03, 0.002

#: Runs of the small text before the first comparison, and comparisons before there is too much growth.
_RUNS, _ATTEMPTS = 3, 5


class Shape(NamedTuple):
    """A text of any size: ``beginning``, then ``part`` as often as it takes, then ``end``."""

    beginning: str
    part: str
    end: str

    def text(self, size: int) -> str:
        """The text of about ``size`` characters."""
        return self.beginning + self.part * max(1, (size - len(self.beginning) - len(self.end)) // len(self.part)) + self.end


def draw_shapes(seed: str, count: int, own_atoms: tuple[str, ...] = ()) -> list[Shape]:
    """``count`` shapes, the same for the same seed; half of them of the parser's own atoms, where it has some."""
    random = Random(seed)
    shapes = []
    for number in range(count):
        atoms = own_atoms if own_atoms and number % 2 else ATOMS
        lengths = (random.choice((0, 0, 1, 2)), random.choice((1, 1, 2, 3)), random.choice((0, 0, 1)))
        shapes.append(Shape(*("".join(random.choices(atoms, k=length)) for length in lengths)))
    return shapes


def excessive_growth(
    parse: Callable[[str], object], shape: Shape, thorough: bool = False, clock: Callable[[], float] = time.process_time
) -> str | None:
    """What is wrong with how the work of ``parse`` grows on ``shape``; None when it grows with the size.

    ``parse`` raises whatever it does not document; that is passed on. Unless ``thorough``, slow parsers are not measured at 64 kB.
    ``clock`` returns seconds.
    """

    def fastest(text: str, runs: int) -> float:
        least = float("inf")
        for _ in range(runs):
            begin = clock()
            parse(text)
            least = min(least, clock() - begin)
            if least <= _FLOOR_S:
                break
        return least

    for small, large, limit in _STEPS:
        small_text, large_text = shape.text(small), shape.text(large)
        smallest, largest = fastest(small_text, _RUNS), fastest(large_text, 1)
        for _ in range(_ATTEMPTS - 1):
            if largest <= limit * max(smallest, _FLOOR_S):
                break
            smallest, largest = min(smallest, fastest(small_text, 1)), min(largest, fastest(large_text, 1))
        ratio = largest / max(smallest, _FLOOR_S)
        if ratio > limit:
            return f"{large >> 10} kB take {ratio:.0f} times as long as {small >> 10} kB ({largest:.4f} s)"
        if (large == MIDDLE and largest > _SLOW_S and not thorough) or (large == LARGE and largest > _FAST_S):
            break
    return None
