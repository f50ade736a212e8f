"""Expert checks as data: what each needs, when it applies, what must hold, why, and what to do about it.

Knows the form of ``recipes/checks/<domain>.yaml``; must not know any check, nor how one is evaluated. A file is one domain::

    source:
      - {id: blog, document: …, version: …, date: …, url: …}
    checks:
      - id: nouveau-loaded                        # lower case, digits and dashes; stable
        title: the nouveau driver is loaded       # what is wrong when it fails
        severity: error                           # critical, error, warning or info
        path: OS.kmod.nouveau                     # optional: the reading that it is about [the first of expect]
        needs: [OS.kmod.nvidia]                   # optional: absent → not applicable, unread → unknown
        applies: node.gpus > 0                    # optional: a condition; false → not applicable
        applies-to: hosts with NVIDIA GPUs        # the same in words
        expect: OS.kmod.nouveau absent            # a condition; or rule: <module in eidos/check/rules>
        expected: not loaded                      # optional: expect in words
        reason: Both drivers claim the GPUs.      # why it matters, one sentence
        source: blog
        remedy:                                   # the first whose condition `when` holds, and whose settings the host can have
          - when: node.driver-owner == host
            steps: [{setting: OS.boot-modprobe.blacklist.nouveau, value: "true"}]   # in the form of the host, with cost and owner
          - {steps: [{do: unload nouveau}], cost: reboot, owner: host}

>>> checks = read_checks({"checks/modules.yaml": {"checks": [{"id": "a", "title": "b", "severity": "info", "expect": "OS.kmod.x absent"}]}})
>>> checks[0].domain, checks[0].path, str(checks[0].expect)
('modules', 'OS.kmod.x', 'OS.kmod.x absent')
"""

from __future__ import annotations

from eidos.model.condition import parse_condition, postponed_condition
from eidos.model.finding import SETTING, SEVERITIES, STEP_KINDS, FindingSource, read_remedy
from eidos.model.record import Record
from eidos.model.tree_reader import TreeReader
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from eidos.model.condition import Condition
    from eidos.model.finding import Remedy
else:
    from _collections_abc import Sequence  # without the package collections

FOLDER = "checks/"

_FIELDS = ("id", "title", "severity", "path", "needs", "applies", "applies-to", "expect", "rule", "expected", "reason", "source", "remedy")
_SOURCE = ("id", "document", "version", "date", "url")
_ID = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


#: A remedy of a check names settings: what they take depends on the host.
_STEP_KINDS = (*STEP_KINDS, SETTING)


class ConditionalRemedy(Record):
    """A remedy and the condition under which it is the one for a host; None: always."""

    when: Condition | None
    remedy: Remedy


class CheckDefinition(Record):
    """One check; either ``expect`` is a condition or ``rule`` names the module that judges."""

    id: str
    title: str
    severity: str
    domain: str
    path: str
    needs: tuple[str, ...]
    applies: Condition | None
    applies_to: str
    expect: Condition | None
    rule: str
    expected: str
    reason: str
    source: FindingSource
    remedies: Sequence[ConditionalRemedy]

    def paths(self) -> tuple[str, ...]:
        """All paths that it reads, of the remedies' conditions too."""
        conditions = [self.applies, self.expect, *(each.when for each in self.remedies)]
        named = [path for condition in conditions if condition for path in condition.paths()]
        return tuple(dict.fromkeys([*self.needs, *named]))


def check_files(trees: Mapping[str, object]) -> list[str]:
    """The paths of files of checks, in order."""
    return sorted(path for path in trees if path.startswith(FOLDER))


class _Remedies(Sequence["ConditionalRemedy"]):
    """Remedies that are read when they are first looked at: only a check that fails needs them."""

    def __init__(self, read: Callable[[], tuple[ConditionalRemedy, ...]]) -> None:
        self._read = read
        self._items: tuple[ConditionalRemedy, ...] | None = None

    def _all(self) -> tuple[ConditionalRemedy, ...]:
        if self._items is None:
            self._items = self._read()
        return self._items

    def __getitem__(self, i: Any) -> Any:
        return self._all()[i]

    def __len__(self) -> int:
        return len(self._all())


def read_checks(trees: Mapping[str, object], *, is_proven: bool = False) -> tuple[CheckDefinition, ...]:
    """The checks in the files among ``trees`` (path below the recipes → tree), by file and position.

    What is proven was read without a fault before, so its conditions and remedies are parsed when they are first needed.

    Raises InvalidData with file and path for what is malformed, for a condition with a caret under its mistake, and for an id that two
    checks have.
    """
    checks: dict[str, CheckDefinition] = {}
    for path in check_files(trees):
        for tree, check in read_file_of_checks(trees[path], path, is_proven):
            if check.id in checks:
                raise tree.error(f"check {check.id!r} is in {FOLDER}{checks[check.id].domain}.yaml too", name="id")
            checks[check.id] = check
    return tuple(checks.values())


def read_file_of_checks(tree: object, name: str, is_proven: bool = False) -> Iterator[tuple[TreeReader, CheckDefinition]]:
    """Each check of one file with the mapping that it was read from."""
    root, sources = read_sources(tree, name)
    domain = name.rpartition("/")[2].partition(".")[0]
    for entry in root.mappings("checks"):
        yield entry, read_check(entry, domain, sources, is_proven)


def read_sources(tree: object, name: str) -> tuple[TreeReader, dict[str, dict[str, str]]]:
    """One file, and its sources by id."""
    root = TreeReader(tree, name)
    root.expect_only(("source", "checks"))
    sources = {}
    for entry in root.mappings("source", or_one=True):
        entry.expect_only(_SOURCE)
        sources[entry.name("id")] = {field: entry.text(field) for field in _SOURCE[1:]}
    return root, sources


def read_check(tree: TreeReader, domain: str, sources: Mapping[str, Mapping[str, str]], is_proven: bool = False) -> CheckDefinition:
    """The check in one entry of a file with these sources."""
    parse = postponed_condition if is_proven else parse_condition
    if not is_proven:
        tree.expect_only(_FIELDS)
    id = tree.name("id")
    if not set(id) <= _ID or id.strip("-") != id:
        raise tree.error(f"invalid id {id!r}", "use lower case letters, digits and dashes", "id")
    if ("expect" in tree) == ("rule" in tree):
        raise tree.error("expected either expect or rule")
    expect = tree.parsed("expect", parse) if "expect" in tree else None
    source = tree.text("source")
    if source and source not in sources:
        raise tree.error(
            f"unknown source {source!r}", did_you_mean(source, sources, f"sources of the file: {', '.join(sources)}"), "source"
        )
    path = tree.text("path") or (expect.paths()[0] if expect else "")

    def remedies() -> tuple[ConditionalRemedy, ...]:
        return tuple(map(_read_remedy, tree.mappings("remedy", or_one=True)))

    return CheckDefinition(
        id=id,
        title=tree.name("title"),
        severity=tree.choice("severity", SEVERITIES),
        domain=domain,
        path=path,
        needs=tree.names("needs"),
        applies=tree.parsed("applies", parse) if "applies" in tree else None,
        applies_to=tree.text("applies-to"),
        expect=expect,
        rule=tree.text("rule"),
        expected=tree.text("expected"),
        reason=tree.text("reason"),
        source=FindingSource(check=id, **sources.get(source, {})),
        remedies=_Remedies(remedies) if is_proven else remedies(),
    )


def _read_remedy(tree: TreeReader) -> ConditionalRemedy:
    tree.expect_only(("when", "steps", "cost", "owner", "reversible", "revert"))
    return ConditionalRemedy(tree.parsed("when", parse_condition) if "when" in tree else None, read_remedy(tree, _STEP_KINDS))
