"""A comparison in one sentence: "driver 580.82.07 → 580.126.20, 1 GPU fewer".

Knows how many changes a sentence may name, and how those of each kind of document are counted; must not know the words for a reading:
phrases are data. What is whole (a GPU that is gone, a component that is new) is named once.
"""

from __future__ import annotations

from eidos.model.diff import ADDED, CHANGED, REMOVED
from eidos.model.number_format import format_scalar
from eidos.wording import count_of, shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from eidos.model.diff import Change
    from eidos.reading_selection import Phrase

#: Parts of the sentence, and characters of a value in it.
MAX_PARTS, MAX_VALUE_CHARACTERS = 4, 40


def describe_changes(kind: str, changes: Sequence[Change], unread: int, not_compared: int, phrases: Sequence[Phrase]) -> str:
    """The changes in one sentence, and how much could not be compared."""
    if kind == "CheckReport":
        parts = list(_count_findings(changes))
    elif kind == "Bundle":
        parts = list(_count_files(changes))
    else:
        parts = _name_changes(changes, phrases)
    text = ", ".join(parts) or "no differences"
    notes = [f"{count_of(unread, 'reading')} of one side only: the other could not read it"] if unread else []
    notes += [f"{count_of(not_compared, 'withheld value')} not compared"] if not_compared else []
    return "; ".join((text, *notes))


def uniform_groups(changes: Iterable[Change]) -> dict[str, tuple[str, int]]:
    """Groups of several changes that all are additions, or all removals: group → kind and number."""
    kinds: dict[str, list[str]] = {}
    for change in changes:
        kinds.setdefault(change.group, []).append(change.kind)
    return {group: (of[0], len(of)) for group, of in kinds.items() if len(of) > 1 and len(set(of)) == 1 and of[0] != CHANGED}


def _name_changes(changes: Sequence[Change], phrases: Sequence[Phrase]) -> list[str]:
    uniform = uniform_groups(changes)
    by_path = {change.path: change for change in changes}
    parts: list[str] = []
    implied: set[str] = set()
    for phrase in sorted(phrases, key=lambda phrase: bool(phrase.unit)):  # "driver 1 → 2, 1 GPU fewer": what is counted comes last
        change = by_path.get(phrase.path)
        if change is not None and change.kind == CHANGED and change.path not in implied:
            parts.append(_phrase(phrase, change))
            implied |= {change.path, *filter(phrase.implies, (*by_path, *uniform))}
    rest: dict[str, int] = {}
    for change in changes:
        if change.path in implied or (change.group in uniform and change.group in implied):
            continue
        if change.group in uniform:
            kind, number = uniform[change.group]
            rest[f"{change.group} {kind}"] = number
        else:
            rest[_describe(change)] = 1
    names = list(rest)
    space = MAX_PARTS - len(parts)
    more = sum(rest[name] for name in names[max(space, 0) :]) if len(names) > space else 0
    return [*parts, *names[: max(space, 0)], *([count_of(more, "more difference")] if more else [])]


def _phrase(phrase: Phrase, change: Change) -> str:
    old, new = _short(change.old), _short(change.new)
    if phrase.unit and old.isdecimal() and new.isdecimal() and max(len(old), len(new)) < 10:
        number = int(new) - int(old)
        return f"{count_of(abs(number), phrase.unit)} {'fewer' if number < 0 else 'more'}"
    return (phrase.change or "{expected} → {}").replace("{expected}", old).replace("{}", new)


def _describe(change: Change) -> str:
    if change.kind == CHANGED:
        name = change.path
        if name.startswith("components.") and name.endswith(".version") and name.count(".") == 2:
            name = name.split(".")[1]
        return f"{name} {_short(change.old)} → {_short(change.new)}"
    return f"{change.path} {change.kind}"


def _count_findings(changes: Sequence[Change]) -> Iterator[str]:
    for group, words in (("New", "new finding"), ("Resolved", "resolved finding"), ("Changed", "changed finding")):
        number = sum(change.group == group for change in changes)
        if number:
            yield count_of(number, words)
    others = sum(change.group not in ("New", "Resolved", "Changed") for change in changes)
    if others:
        yield count_of(others, "other difference")


def _count_files(changes: Sequence[Change]) -> Iterator[str]:
    """How many files are different, new and gone; a group is a file, but for the files that are compared as a whole."""
    kinds = {change.path.partition(": ")[0]: change.kind if ": " not in change.path else CHANGED for change in changes}
    for kind in (CHANGED, ADDED, REMOVED):
        number = sum(each_kind == kind for each_kind in kinds.values())
        if number:
            yield f"{count_of(number, 'file')} {kind}"


def _short(value: Any) -> str:
    text = format_scalar(value) if isinstance(value, (str, int, float, bool)) else "a list" if isinstance(value, list) else "a mapping"
    text = " ".join(text.split())
    return shorten(text, MAX_VALUE_CHARACTERS) or '""'
