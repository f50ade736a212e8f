"""Counts, lists, long texts and words of commands as messages show them, and the valid word that an invalid one was probably meant to be.

Knows English plurals, how long a list may be before it is cut, quotes of a shell, and similarity of words (``difflib`` is imported only
once something is wrong already); must not know what is counted, listed or named.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: A longer list is cut.
MAXIMUM_WORDS = 12

#: Characters to which no shell gives a meaning.
SHELL_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,:=/@+%-"

#: How many words of a longer list are shown.
SHOWN_WORDS = 10


def count_of(number: int, noun: str) -> str:
    """A number with its noun, in the singular or the plural.

    >>> count_of(1, "file"), count_of(0, "file"), count_of(1200, "file"), count_of(2, "query"), count_of(2, "class")
    ('1 file', '0 files', '1,200 files', '2 queries', '2 classes')
    """
    if number == 1:
        return f"1 {noun}"
    is_irregular = noun.endswith("y") and noun[-2:-1] not in "aeiou"
    return f"{number:,} {noun[:-1]}ies" if is_irregular else f"{number:,} {noun}{'es' if noun.endswith('ss') else 's'}"


def list_words(words: Iterable[str], see: str = "") -> str:
    """The words with commas; of a long list the first ones, how many more there are, and where (``see``) they are listed.

    >>> list_words(["yaml", "json"])
    'yaml, json'
    >>> list_words("abcdefghijklmnop", "'eidos help x'")
    "a, b, c, d, e, f, g, h, i, j and 6 more; see 'eidos help x'"
    """
    words = list(words)
    is_long = len(words) > MAXIMUM_WORDS
    return list_first(words, SHOWN_WORDS if is_long else MAXIMUM_WORDS) + (f"; see {see}" if see and is_long else "")


def list_first(words: Iterable[str], limit: int) -> str:
    """The first ``limit`` words with commas, and how many more there are.

    >>> list_first("abc", 2), list_first("ab", 2)
    ('a, b and 1 more', 'a, b')
    """
    words = list(words)
    return ", ".join(words[:limit]) + (f" and {len(words) - limit:,} more" if len(words) > limit else "")


def shorten(text: str, limit: int) -> str:
    """``text`` in at most ``limit`` characters, the last of which is an ellipsis when something is missing.

    >>> shorten("gpu-operator", 12), shorten("gpu-operator", 4)
    ('gpu-operator', 'gpu…')
    """
    return text if len(text) <= limit else text[: limit - 1] + "…"


def quote_word(text: str) -> str:
    """A text as one word of a shell, as ``shlex.quote`` writes it, whose import costs a third of an empty start.

    >>> quote_word("iommu=pt"), quote_word("a b")
    ('iommu=pt', "'a b'")
    """
    if text and not text.strip(SHELL_PLAIN):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"


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
