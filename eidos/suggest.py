"""What somebody probably meant who wrote something that does not exist.

Knows likeness of words; must not know what they name. ``difflib`` is imported only once something is wrong already.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, valid: Iterable[str]) -> str | None:
    """The one of ``valid`` that is most like ``word``, or None when none is like it; case does not count.

    >>> nearest("snapsot", ["completion", "snapshot"]), nearest("JSON", ["yaml", "json"]), nearest("qqq", ["yaml", "json"])
    ('snapshot', 'json', None)
    """
    import difflib

    # A word of a thousand letters is nobody's typing mistake, and comparing it takes long.
    folded = {choice.lower(): choice for choice in valid}
    found = difflib.get_close_matches(word[:100].lower(), folded, n=1, cutoff=0.6)
    if found:
        return folded[found[0]]
    begun = [choice for choice in folded if len(word) > 1 and choice.startswith(word.lower())]
    return folded[begun[0]] if len(begun) == 1 else None


def did_you_mean(word: str, valid: Iterable[str], otherwise: str | None = None) -> str | None:
    """A hint that names the nearest valid word, or ``otherwise``.

    >>> did_you_mean("yml", ["yaml", "json"])
    "did you mean 'yaml'?"
    """
    found = nearest(word, valid)
    return f"did you mean {found!r}?" if found else otherwise
