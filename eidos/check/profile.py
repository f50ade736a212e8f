"""What a site changes about checks: severities, and which are judged.

Knows the form of a profile and how words select findings; must not know any check. A word is the id of a check, its path, its domain, or
a severity; in a profile it may have a ``*`` in it::

    severity:
      swap-with-kubelet: info
      OS.sysctl.*: warning
    only: [gpu, kernel]
    skip: [persistence-mode]

>>> profile = read_profile({"severity": {"OS.sysctl.*": "info"}, "skip": ["gpu"]}, "profile.yaml")
>>> profile.severities, profile.skip
((('OS.sysctl.*', 'info'),), ('gpu',))
"""

from __future__ import annotations

from eidos.model.finding import SEVERITIES
from eidos.model.measurement import path_matches
from eidos.model.record import Record, replace
from eidos.model.tree_reader import TreeReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eidos.model.finding import Finding


class Profile(Record):
    """``severities`` are pairs of a word and the severity of what it selects, the last of which counts."""

    severities: tuple[tuple[str, str], ...] = ()
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()

    def apply(self, findings: Iterable[Finding]) -> list[Finding]:
        """The findings that are selected, with the site's severities."""
        result = []
        for finding in findings:
            for word, severity in self.severities:
                if word in (finding.id, finding.path, finding.domain) or path_matches(word, finding.path or finding.id):
                    finding = replace(finding, severity=severity)
            if (not self.only or is_selected(finding, self.only)) and not is_selected(finding, self.skip):
                result.append(finding)
        return result


def is_selected(finding: Finding, words: Sequence[str]) -> bool:
    """Whether one of the words selects a finding."""
    return any(
        word in (finding.id, finding.path, finding.domain, finding.severity) or path_matches(word, finding.path or finding.id)
        for word in words
    )


def read_profile(tree: object, name: str) -> Profile:
    """The profile in a tree; InvalidData with the path of what is wrong in it."""
    root = TreeReader(tree, name)
    root.expect_only(("severity", "only", "skip"))
    severities = root.mapping("severity")
    pairs = tuple((word, severities.choice(word, SEVERITIES)) for word in severities.tree)
    return Profile(pairs, root.names("only"), root.names("skip"))
