"""Counts and lists of words, as messages show them.

Knows English plurals and how long a list may be before it is cut; must not know what is counted or listed.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: A longer list is cut.
MAXIMUM_WORDS = 12

#: How many words of a longer list are shown.
SHOWN_WORDS = 10


def count_of(number: int, noun: str) -> str:
    """A number with its noun, in the singular or the plural.

    >>> count_of(1, "file"), count_of(0, "file"), count_of(1200, "file"), count_of(2, "query"), count_of(2, "key")
    ('1 file', '0 files', '1,200 files', '2 queries', '2 keys')
    """
    if number == 1:
        return f"1 {noun}"
    is_irregular = noun.endswith("y") and noun[-2:-1] not in "aeiou"
    return f"{number:,} {noun[:-1]}ies" if is_irregular else f"{number:,} {noun}s"


def list_words(words: Iterable[str], see: str = "") -> str:
    """The words with commas; of a long list the first ones, how many more there are, and where (``see``) they are listed.

    >>> list_words(["yaml", "json"])
    'yaml, json'
    >>> list_words("abcdefghijklmnop", "'eidos help x'")
    "a, b, c, d, e, f, g, h, i, j and 6 more; see 'eidos help x'"
    """
    words = list(words)
    if len(words) <= MAXIMUM_WORDS:
        return ", ".join(words)
    return f"{', '.join(words[:SHOWN_WORDS])} and {len(words) - SHOWN_WORDS} more" + (f"; see {see}" if see else "")
