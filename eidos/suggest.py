"""The valid word that an invalid one was probably meant to be.

Knows similarity of words; must not know what they name. ``difflib`` is imported only once something is wrong already.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, valid: Iterable[str]) -> str | None:
    """The one of ``valid`` that is most similar to ``word``, or None when none is similar; case is ignored.

    >>> nearest("snapsot", ["completion", "snapshot"]), nearest("JSON", ["yaml", "json"]), nearest("qqq", ["yaml", "json"])
    ('snapshot', 'json', None)
    """
    try:
        import difflib
    except ModuleNotFoundError:  # python3-minimal: the message it would follow matters more than this
        return None
    # A word of a thousand letters is no typing mistake, and comparing it takes long.
    folded = {choice.lower(): choice for choice in valid}
    matches = difflib.get_close_matches(word[:100].lower(), folded, n=1, cutoff=0.6)
    if not matches:
        completions = [choice for choice in folded if len(word) > 1 and choice.startswith(word.lower())]
        matches = completions if len(completions) == 1 else []
    return folded[matches[0]] if matches else None


def did_you_mean(word: str, valid: Iterable[str], otherwise: str | None = None) -> str | None:
    """A hint that names the nearest valid word, or ``otherwise``.

    >>> did_you_mean("yml", ["yaml", "json"])
    "did you mean 'yaml'?"
    """
    match = nearest(word, valid)
    return f"did you mean {match!r}?" if match else otherwise
