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

from eidos.model.finding import SETTING, SEVERITIES, STEP_KINDS, FindingSource, read_remedy
from eidos.model.record import Record, replace
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


class _StoredRemedies(Sequence["ConditionalRemedy"]):
    """The remedies in an entry, which are read when they are first looked at: only a check that fails needs them."""

    def __init__(self, entry: object, parse: Callable[[str], Condition]) -> None:
        self._entry, self._parse = entry, parse
        self._items: tuple[ConditionalRemedy, ...] | None = None

    def _all(self) -> tuple[ConditionalRemedy, ...]:
        if self._items is None:
            self._items = _read_remedies(TreeReader(self._entry, FOLDER), self._parse)
        return self._items

    def __getitem__(self, i: Any) -> Any:
        return self._all()[i]

    def __len__(self) -> int:
        return len(self._all())


def read_checks(trees: Mapping[str, object], conditions: Mapping[str, Any] | None = None) -> tuple[CheckDefinition, ...]:
    """The checks in the files among ``trees`` (path below the recipes → tree), by file and position.

    ``conditions`` are the trees of all conditions in each file, by text, of data that was read without a fault before: it is not checked
    again, and conditions and remedies are made when they are first needed.

    Raises InvalidData with file and path for what is malformed, for a condition with a caret under its mistake, and for an id that two
    checks have.
    """
    if conditions is not None:
        return tuple(check for path in check_files(trees) for check in _stored_checks(trees[path], domain_of_file(path), conditions[path]))
    checks: dict[str, CheckDefinition] = {}
    for path in check_files(trees):
        root, sources = read_sources(trees[path], path)
        for tree in root.mappings("checks"):
            check = read_check(tree, domain_of_file(path), sources)
            if check.id in checks:
                raise tree.error(f"check {check.id!r} is in {FOLDER}{checks[check.id].domain}.yaml too", name="id")
            checks[check.id] = check
    return tuple(checks.values())


def domain_of_file(name: str) -> str:
    """The domain of the checks in a file."""
    return name.rpartition("/")[2].partition(".")[0]


def _stored_checks(tree: Any, domain: str, conditions: Mapping[str, Any]) -> Iterator[CheckDefinition]:
    """The checks of one file, which was read without a fault before."""
    from eidos.model.condition_nodes import stored_condition

    def parse(text: str) -> Condition:
        return stored_condition(text, conditions[text])

    named = tree["source"] if isinstance(tree["source"], list) else [tree["source"]]
    sources = {source["id"]: FindingSource("", "", *(source.get(field, "") for field in _SOURCE[1:])) for source in named}
    for entry in tree["checks"]:
        field, applies, expect = entry.get, entry.get("applies"), entry.get("expect")
        yield CheckDefinition(
            *(entry["id"], entry["title"], entry["severity"], domain, entry["path"], tuple(field("needs", ()))),
            *(applies and parse(applies), field("applies-to", ""), expect and parse(expect), field("rule", "")),
            *(field("expected", ""), field("reason", ""), replace(sources[entry["source"]], check=entry["id"])),
            _StoredRemedies(entry, parse),
        )


def read_sources(tree: object, name: str) -> tuple[TreeReader, dict[str, dict[str, str]]]:
    """One file, and its sources by id."""
    root = TreeReader(tree, name)
    root.expect_only(("source", "checks"))
    sources = {}
    for entry in root.mappings("source", or_one=True):
        entry.expect_only(_SOURCE)
        sources[entry.name("id")] = {field: entry.text(field) for field in _SOURCE[1:]}
    return root, sources


def read_check(tree: TreeReader, domain: str, sources: Mapping[str, Mapping[str, str]]) -> CheckDefinition:
    """The check in one entry of a file with these sources."""
    from eidos.model.condition import parse_condition

    tree.expect_only(_FIELDS)
    id = tree.name("id")
    if not set(id) <= _ID or id.strip("-") != id:
        raise tree.error(f"invalid id {id!r}", "use lower case letters, digits and dashes", "id")
    if ("expect" in tree) == ("rule" in tree):
        raise tree.error("expected either expect or rule")
    expect = tree.parsed("expect", parse_condition) if "expect" in tree else None
    source = tree.text("source")
    if source and source not in sources:
        raise tree.error(
            f"unknown source {source!r}", did_you_mean(source, sources, f"sources of the file: {', '.join(sources)}"), "source"
        )
    return CheckDefinition(
        id=id,
        title=tree.name("title"),
        severity=tree.choice("severity", SEVERITIES),
        domain=domain,
        path=tree.text("path") or (expect.paths()[0] if expect else ""),
        needs=tree.names("needs"),
        applies=tree.parsed("applies", parse_condition) if "applies" in tree else None,
        applies_to=tree.text("applies-to"),
        expect=expect,
        rule=tree.text("rule"),
        expected=tree.text("expected"),
        reason=tree.text("reason"),
        source=FindingSource(check=id, **sources.get(source, {})),
        remedies=_read_remedies(tree, parse_condition),
    )


def _read_remedies(tree: TreeReader, parse: Callable[[str], Condition]) -> tuple[ConditionalRemedy, ...]:
    remedies = []
    for entry in tree.mappings("remedy", or_one=True):
        entry.expect_only(("when", "steps", "cost", "owner", "reversible", "revert"))
        remedies.append(ConditionalRemedy(entry.parsed("when", parse) if "when" in entry else None, read_remedy(entry, _STEP_KINDS)))
    return tuple(remedies)
