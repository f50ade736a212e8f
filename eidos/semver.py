"""Versions as vendors write them: one to three numbers, and whatever follows them.

Knows how versions are written, ordered and matched; must not know which version is good. It reads Semantic Versioning 2.0.0 and
the versions around it that are not quite that: ``v1.30.14-eks-3025e55``, ``6.8.0-1024-aws``, ``1.33.5+k3s1``, ``24.04``,
``580.82.07``. Two laws of our own:

* what follows the numbers (the *extra*) never decides an order: each vendor counts in it in its own way;
* a shorter version stands for all longer ones: as a key, ``1.33`` matches 1.33.5, and ``1.33.5`` does not match 1.33.

Kernels have two forms of their own: ``6.6.72+``, built from a tree that no release tags (the kernel's scripts/setlocalversion; all of
Container-Optimized OS), and ``6.6.96.2-2.azl3``, whose fourth number a vendor counts in (Azure Linux): it belongs to the extra.

>>> parse_version("v1.30.14-eks-3025e55")
Version('v1.30.14-eks-3025e55')
>>> parse_version("1.33.5").matches(parse_version("1.33")), parse_version("1.33").matches(parse_version("1.33.5"))
(True, False)
>>> parse_version("24.04") < parse_version("24.10"), str(parse_version("24.04"))
(True, '24.04')
>>> parse_version("1.x.4")
Traceback (most recent call last):
eidos.semver.NotNumeric: invalid version '1.x.4': 'x' is not a number
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.wording import shorten

#: What may separate the numbers from the extra. SemVer §9 (``-``) and §10 (``+``); ``~`` and ``_`` are Debian's and RPM's.
_EXTRA = "-+~_"

#: Digits of one number: more would be a date, a hash or an attack, and int() takes quadratic time.
_DIGITS = 18


class InvalidVersion(InvalidInput):
    """Not a version; ``position`` is the index in ``text`` of what is wrong."""

    def __init__(self, text: str, position: int, why: str) -> None:
        shown = shorten(text, 60)
        super().__init__(
            f"invalid version {shown!r}: {why}",
            "write one to three numbers with dots, such as 1.33, 24.04, 580.82.07 or v1.30.14-eks-3025e55",
            (shown, min(position, 59)),
        )
        self.text = text
        self.position = position


class NegativeNumber(InvalidVersion):
    """A number is below zero."""


class NotNumeric(InvalidVersion):
    """A part between dots is no number."""


class Version:
    """One version: ``text`` as written, ``numbers`` its one to three numbers, ``extra`` what a vendor appended.

    Ordered and equal by the numbers alone, missing ones counting as 0, so ``1.33 == 1.33.0 == 1.33-gke.5``; printed as written.
    """

    __slots__ = ("extra", "key", "numbers", "text")

    def __init__(self, text: str, numbers: tuple[int, ...], extra: str) -> None:
        self.text = text
        self.numbers = numbers
        self.extra = extra
        self.key = numbers + (0,) * (3 - len(numbers))

    def matches(self, key: Version) -> bool:
        """Whether ``key`` stands for this version: they are equal in every number that the key has, and in its extra if it has one."""
        return self.numbers[: len(key.numbers)] == key.numbers and (not key.extra or key.extra == self.extra)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.key == other.key

    def __lt__(self, other: Version) -> bool:
        return self.key < other.key

    def __le__(self, other: Version) -> bool:
        return self.key <= other.key

    def __gt__(self, other: Version) -> bool:
        return self.key > other.key

    def __ge__(self, other: Version) -> bool:
        return self.key >= other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Version({self.text!r})"


#: Versions by text: one recipe parses the same few a hundred times. They never change, so they can be shared.
_CACHE: dict[str, Version] = {}
_CACHE_LIMIT = 1024


def parse_version(text: str) -> Version:
    """The version in ``text``; NegativeNumber, NotNumeric or InvalidVersion with the position of what is wrong when there is none."""
    cached = _CACHE.get(text)
    if cached is None:
        cached = _parse_uncached(text)
        if len(_CACHE) >= _CACHE_LIMIT:
            _CACHE.clear()
        _CACHE[text] = cached
    return cached


def try_parse_version(text: str) -> Version | None:
    """The version in ``text``; None when there is none."""
    try:
        return parse_version(text)
    except InvalidVersion:
        return None


def _parse_uncached(text: str) -> Version:
    position = 1 if text[:1] in ("v", "V") else 0
    end = len(text)
    for index in range(position, len(text)):
        # A minus right behind a dot or at the start is a sign, not the beginning of an extra.
        if text[index] in _EXTRA and not (text[index] == "-" and (index == position or text[index - 1] == ".")):
            end = index
            break
    extra = text[end + 1 :]
    if end < len(text) and not extra and (text[end] != "+" or text.count(".", position, end) != 2):
        raise InvalidVersion(text, end, f"nothing after {text[end]!r}")
    if not extra.isprintable() or " " in extra:
        raise InvalidVersion(text, end + 1, "spaces or control characters after the numbers")
    if position == end:
        raise InvalidVersion(text, position, "no number")
    numbers: list[int] = []
    for part in text[position:end].split("."):
        if len(numbers) == 3 and position + len(part) == end and text[end : end + 1] == "-" and part.isascii() and part.isdigit():
            extra = text[position:]
            break
        if len(numbers) == 3:
            raise InvalidVersion(text, position, "more than three numbers")
        numbers.append(_number(text, part, position))
        position += len(part) + 1
    return Version(text, tuple(numbers), extra)


def _number(text: str, part: str, position: int) -> int:
    if part.isascii() and part.isdigit():
        if len(part) > _DIGITS:
            raise InvalidVersion(text, position, f"a number has more than {_DIGITS} digits")
        return int(part)
    shown = shorten(part, 30)
    if not part:
        raise NotNumeric(text, position, "missing number")
    if part[0] == "-" and part[1:].isascii() and part[1:].isdigit():
        raise NegativeNumber(text, position, f"{shown} is negative")
    raise NotNumeric(text, position, f"{shown!r} is not a number")
