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
    >>> nearest("B100", ["h100", "b200", "a100"])
    'b200'
    >>> nearest("--set", ["--quiet"]), nearest("--sett", ["--set"])  # dashes are no similarity
    (None, '--set')
    """
    try:
        import difflib
    except ModuleNotFoundError:  # python3-minimal: the message it would follow matters more than this
        return None
    # A word of a thousand letters is no typing mistake, and comparing it takes long.
    folded = {choice.lower().lstrip("-"): choice for choice in valid}
    typed = word[:100].lower().lstrip("-")
    matches = difflib.get_close_matches(typed, folded, n=8, cutoff=0.6)
    # Of those that are equally similar the one that begins alike: "b100" is nearer to b200 than to h100.
    matches.sort(key=lambda match: (-difflib.SequenceMatcher(None, match, typed).ratio(), match[:1] != typed[:1]))
    if not matches:
        completions = [choice for choice in folded if len(typed) > 1 and choice.startswith(typed)]
        matches = completions if len(completions) == 1 else []
    return folded[matches[0]] if matches else None


def did_you_mean(word: str, valid: Iterable[str], otherwise: str | None = None) -> str | None:
    """A hint that names the nearest valid word, or ``otherwise``.

    >>> did_you_mean("yml", ["yaml", "json"])
    "did you mean 'yaml'?"
    """
    match = nearest(word, valid)
    return f"did you mean {match!r}?" if match else otherwise
