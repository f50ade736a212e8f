"""What is so or not so on a node, why that matters, and what mends it.

Knows the fields of a finding, its statuses and severities; must not know any check, nor how findings are shown. Fields that are empty are
left out of documents.

>>> remedy = Remedy((RemedyStep(RUN, "reboot"),), "reboot")
>>> Finding("nouveau-loaded", "nouveau is loaded", FAIL, ERROR, "driver", remedy=remedy).to_tree()["remedy"]
{'steps': [{'run': 'reboot'}], 'cost': 'reboot'}
"""

from __future__ import annotations

from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.model.tree_reader import TreeReader

PASS, FAIL, UNKNOWN, WAIVED, NOT_APPLICABLE = "pass", "fail", "unknown", "waived", "not-applicable"
STATUSES = (FAIL, UNKNOWN, WAIVED, PASS, NOT_APPLICABLE)

CRITICAL, ERROR, WARNING, INFO = "critical", "error", "warning", "info"
#: Worst first.
SEVERITIES = (CRITICAL, ERROR, WARNING, INFO)

#: What a step does: run a command, write a file (``text`` is its content), set a value of a component (``component:path=value``), or
#: what a person does, in one imperative sentence.
RUN, WRITE, SET, DO = "run", "write", "set", "do"
STEP_KINDS = (RUN, WRITE, SET, DO)

#: In checks only: a setting of the host (``file`` is the path of its reading, ``text`` its value). On a node it becomes the steps of the
#: form in which the setting reaches that host.
SETTING = "setting"

#: The field that a step of a kind has besides.
_SECOND_FIELDS = {WRITE: "content", SETTING: "value"}

#: What a remedy costs, cheapest first: "" is nothing at all.
COSTS = ("", "reload", "restart", "drain", "reboot")

#: Whose the thing is: the host's, a driver container's (the GPU Operator's), a managed service's.
OWNERS = ("", "host", "driver-container", "managed-service")


class RemedyStep(Record):
    """One step of a remedy: ``kind`` is one of :data:`STEP_KINDS`, ``text`` what to run, to write, to set or to do.

    ``file`` is the path of a step that writes. In a check ``kind`` may be :data:`SETTING`, too.
    """

    kind: str
    text: str
    file: str = ""

    def to_tree(self) -> dict[str, str]:
        """``{run: command}``, ``{write: path, content: text}``, ``{set: value}`` or ``{do: sentence}``."""
        second = _SECOND_FIELDS.get(self.kind)
        return {self.kind: self.file, second: self.text} if second else {self.kind: self.text}


class Remedy(Record):
    """Steps in order, what they cost (:data:`COSTS`), who owns what they change (:data:`OWNERS`), whether they can be taken back.

    ``revert`` are the steps that take them back, in order, where they are known.
    """

    steps: tuple[RemedyStep, ...]
    cost: str = ""
    owner: str = ""
    is_reversible: bool = True
    revert: tuple[RemedyStep, ...] = ()

    def to_tree(self) -> dict[str, Any]:
        """Its fields, without the empty ones; ``reversible`` only when it is false."""
        tree: dict[str, Any] = {"steps": [step.to_tree() for step in self.steps]}
        tree.update({name: text for name, text in (("cost", self.cost), ("owner", self.owner)) if text})
        if self.revert:
            tree["revert"] = [step.to_tree() for step in self.revert]
        return tree if self.is_reversible else {**tree, "reversible": False}


class FindingSource(Record):
    """What says so: a ``layer`` of the recipe or a ``check``, and the public document behind it."""

    layer: str = ""
    check: str = ""
    document: str = ""
    version: str = ""
    date: str = ""
    url: str = ""

    def to_tree(self) -> dict[str, str]:
        """Its fields, without the empty ones."""
        return {name: text for name, text in self.__dict__.items() if text}


class Finding(Record):
    """One finding.

    ``id`` is that of the check, or the path of the reading where the recipe is what says so; ``domain`` the group in which it is shown;
    ``path`` the reading that it is about; ``expected`` and ``actual`` are texts; ``reason`` is one sentence: why it matters, of an
    unknown one what could not be read and why, of one that is not applicable why not; ``evidence`` are readings by path. ``waiver`` is
    why it is accepted, and until when. ``is_new`` says that an earlier report did not have it.
    """

    id: str
    title: str
    status: str
    severity: str
    domain: str
    path: str = ""
    expected: str = ""
    actual: str = ""
    reason: str = ""
    source: FindingSource = FindingSource()
    remedy: Remedy | None = None
    evidence: dict[str, str] = {}
    waiver: str = ""
    is_new: bool = False

    def to_tree(self) -> dict[str, Any]:
        """The finding in a document."""
        tree: dict[str, Any] = {name: getattr(self, name) for name in _TEXTS if getattr(self, name)}
        if source := self.source.to_tree():
            tree["source"] = source
        if self.remedy:
            tree["remedy"] = self.remedy.to_tree()
        if self.evidence:
            tree["evidence"] = dict(self.evidence)
        return {**tree, "new": True} if self.is_new else tree

    def sort_key(self) -> tuple[int, int, str, str]:
        """Worst first: by status, severity, domain, id."""
        return STATUSES.index(self.status), SEVERITIES.index(self.severity), self.domain, self.id


_TEXTS = ("id", "title", "status", "severity", "domain", "path", "expected", "actual", "reason", "waiver")


def read_finding(tree: TreeReader) -> Finding:
    """The finding in a mapping of a document; InvalidData with its path when there is none."""
    texts = {name: tree.text(name) for name in ("path", "expected", "actual", "reason", "waiver")}
    source = tree.mapping("source")
    return Finding(
        id=tree.name("id"),
        title=tree.text("title"),
        status=tree.choice("status", STATUSES),
        severity=tree.choice("severity", SEVERITIES),
        domain=tree.text("domain"),
        source=FindingSource(**{name: source.text(name) for name in FindingSource._fields}),
        remedy=read_remedy(tree.mapping("remedy")) if "remedy" in tree else None,
        evidence=tree.text_map("evidence"),
        is_new=tree.flag("new", False),
        **texts,
    )


def read_remedy(tree: TreeReader, step_kinds: tuple[str, ...] = STEP_KINDS) -> Remedy:
    """The remedy in a mapping of a document."""
    cost, owner = (tree.choice(name, names) if name in tree else "" for name, names in (("cost", COSTS[1:]), ("owner", OWNERS[1:])))
    steps, revert = (tuple(_read_step(step, step_kinds) for step in tree.mappings(name)) for name in ("steps", "revert"))
    return Remedy(steps, cost, owner, tree.flag("reversible", True), revert)


def _read_step(tree: TreeReader, step_kinds: tuple[str, ...]) -> RemedyStep:
    kinds = [kind for kind in step_kinds if kind in tree]
    if len(kinds) != 1:
        raise tree.error(f"expected one of {', '.join(step_kinds)}")
    second = _SECOND_FIELDS.get(kinds[0])
    tree.expect_only((*kinds, second) if second else kinds)
    text = tree.name(kinds[0])
    return RemedyStep(kinds[0], tree.text(second), text) if second else RemedyStep(kinds[0], text)
