"""An issue of data that people write, as a linter reports it.

Knows what an issue consists of and how it reads in one line; must not know any rule.

>>> print(LintIssue(ERROR, "date", "base.yaml: source[0]", "'soon' is not a date"))
base.yaml: source[0]: error: 'soon' is not a date [date]
"""

from __future__ import annotations

from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

ERROR, WARNING = "error", "warning"

#: Kinds of references: a path, a word that a path is compared with, and ``component:path=value``.
READING, WORD, SET = "reading", "word", "set"


class LintIssue(Record):
    """``rule`` is a short, stable name; ``location`` a file and the path in it; ``source`` the document that says otherwise.

    ``line`` is that of the file, 0 where it is not known.
    """

    severity: str
    rule: str
    location: str
    message: str
    hint: str = ""
    source: str = ""
    line: int = 0

    def __str__(self) -> str:
        file, colon, path = self.location.partition(": ")
        location = f"{file}:{self.line}{colon}{path}" if self.line else self.location
        return f"{location}: {self.severity}: {self.message} [{self.rule}]"

    def to_tree(self) -> dict[str, Any]:
        """Its fields, without the empty ones."""
        tree: dict[str, Any] = {"severity": self.severity, "rule": self.rule, "place": self.location, "message": self.message}
        if self.line:
            tree["line"] = self.line
        return {**tree, **{name: text for name, text in (("hint", self.hint), ("source", self.source)) if text}}


class DataReference(Record):
    """What data names, and where: ``kind`` is one of READING, WORD (``text`` is the path that is compared with ``word``) and SET."""

    location: str
    kind: str
    text: str
    word: str = ""


def deduplicated(issues: Iterable[LintIssue]) -> list[LintIssue]:
    """Each issue once, by location: of several that one rule has for one location the worst one, of equals the first."""
    worst: dict[tuple[str, str], LintIssue] = {}
    for issue in issues:
        other = worst.get((issue.location, issue.rule))
        if other is None or (other.severity, issue.severity) == (WARNING, ERROR):
            worst[(issue.location, issue.rule)] = issue
    return [worst[key] for key in sorted(worst)]
