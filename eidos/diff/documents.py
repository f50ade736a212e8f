"""Compares two documents of one kind: snapshots, recipes, bundles or check reports.

Knows which parts of each kind count and how they are grouped, and which files of a bundle are data and which are text; must not know when
two values are the same, nor how a difference is shown. Reasons, evidence, explanations and durations say how a value came about, and do not
count.
"""

from __future__ import annotations

from eidos import __version__
from eidos.diff.judgement import PlainJudgement, ReadingJudgement, plain_text
from eidos.diff.sentence import describe_changes
from eidos.diff.tree_comparison import ANYTHING, MISSING, NOT_COMPARED, Part, TreeComparison
from eidos.errors import InvalidData, InvalidInput
from eidos.model.bundle import CHECKSUMS, Bundle, is_attestation
from eidos.model.check_report import CheckReport
from eidos.model.diff import UNREAD, Change, ComparedDocument, Diff
from eidos.model.finding import FAIL, NOT_APPLICABLE, PASS
from eidos.model.measurement import TYPES, WITHHELD
from eidos.model.recipe import Recipe
from eidos.model.snapshot import Snapshot, natural_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Union

    from eidos.diff.tree_comparison import Address
    from eidos.reading_selection import ReadingSelection
    from eidos.redact.harmless_names import NameList

    Comparable = Union[Snapshot, Recipe, CheckReport, Bundle]

SNAPSHOT, RECIPE, REPORT, BUNDLE = "Snapshot", "Recipe", "CheckReport", "Bundle"

_harmless_fields: list[NameList] = []

#: Groups of the findings of two reports.
NEW, RESOLVED, OTHER = "New", "Resolved", "Changed"

#: The group of files of two bundles that are compared as a whole.
FILES = "Files"

#: Extensions of files that are compared as trees.
_DATA = (".yaml", ".yml", ".json")


def _finding_essence(finding: Any) -> Any:
    """What counts of a finding; None of one that says that all is well, or that it does not apply."""
    if finding.get("status") in (PASS, NOT_APPLICABLE):
        return None
    return tuple(finding.get(name) for name in ("status", "severity", "expected", "actual"))


#: A list whose order says nothing.
_SET = Part(is_set=True)
_MEASUREMENTS = Part(
    keys=("type",),
    is_named=False,
    item=Part({"subtypes": Part(keys=("subtype",), is_named=False, item=Part({"data": Part(is_named=False)}))}),
)
_METADATA = {"metadata": ANYTHING}
_COMPONENT = Part({**dict.fromkeys(("chart", "repository", "version", "namespace", "values"), ANYTHING), "depends": _SET})

_PARTS = {
    SNAPSHOT: Part({**_METADATA, "measurements": _MEASUREMENTS}),
    RECIPE: Part(
        {
            **_METADATA,
            "request": ANYTHING,
            "matchedRules": _SET,
            "measurements": _MEASUREMENTS,
            "constraints": Part(keys=("name",), item=Part({"value": Part(is_named=False)})),
            "components": Part(keys=("id",), item=_COMPONENT),
            "generic": _SET,
            "impossible": _SET,
        }
    ),
    REPORT: Part(
        {
            **_METADATA,
            "notes": _SET,
            "findings": Part(keys=("id",), item=Part(is_leaf=True, essence=_finding_essence)),
        }
    ),
}


def parse_document(tree: Any, name: str) -> Snapshot | Recipe | CheckReport:
    """The document in a tree, by its kind, or by its form where it names none; InvalidData for anything but a document of eidos."""
    fields = tree if isinstance(tree, dict) else {}
    kind = fields.get("kind", RECIPE if "request" in fields else SNAPSHOT if "measurements" in fields else "")
    if kind == REPORT:
        return CheckReport.from_tree(tree, name)
    if kind == RECIPE:
        return Recipe.from_tree(tree, name)
    if kind == SNAPSHOT and "measurements" in fields:
        return Snapshot.from_tree(tree, name)
    from eidos.redact.harmless_forms import is_speaking

    described = f"a {kind}" if kind and isinstance(kind, str) and is_speaking(kind) else "not a document of eidos"
    raise InvalidData(
        f"{name}: {described}; expected a snapshot, a recipe, a bundle or a check report", "check that this is the right file"
    )


def document_kind(document: Comparable) -> str:
    """The kind of a document, in a word."""
    return type(document).__name__


def document_tree(document: Snapshot | Recipe | CheckReport) -> dict[str, Any]:
    """The tree that is compared, and to which a patch applies."""
    return document.to_tree(context=True) if isinstance(document, Recipe) else document.to_tree()


def compare_documents(old: Comparable, new: Comparable, rules: ReadingSelection, names: tuple[str, str] = ("", "")) -> Diff:
    """What differs between two documents of one kind; ``names`` are what the user calls them. Raises InvalidInput for two kinds."""
    kind = document_kind(old)
    _require_one_kind(kind, document_kind(new), names)
    comparison = TreeComparison(PlainJudgement(rules, 1 if kind == BUNDLE else 0))
    if isinstance(old, Bundle) and isinstance(new, Bundle):
        trees = bundle_trees(old.files, new.files)
        comparison.compare(Part({path: _file_part(path, *trees) for path in sorted({**trees[0], **trees[1]})}), *trees)
    elif isinstance(old, Snapshot) and isinstance(new, Snapshot):
        comparison = TreeComparison(ReadingJudgement(rules, old, new))
        comparison.compare(_PARTS[kind], old.to_tree(), new.to_tree())
    elif not isinstance(old, Bundle) and not isinstance(new, Bundle):
        comparison.compare(_PARTS[kind], document_tree(old), document_tree(new))
    changes: list[tuple[Any, Change]] = []
    unread: list[tuple[Any, Change]] = []
    not_compared: list[str] = []
    for _, address, difference, why, before, after in comparison.leaves:
        if difference == NOT_COMPARED:
            not_compared.append(_path(kind, address))
            continue
        change = _change(kind, address, difference, why, before, after)
        (unread if difference == UNREAD else changes).append((_order(kind, change, address), change))
    listed, unlisted = ([change for _, change in sorted(rows, key=lambda row: row[0])] for rows in (changes, unread))
    return Diff(
        kind=kind,
        version=__version__,
        old=_describe(old, names[0]),
        new=_describe(new, names[1]),
        changes=tuple(listed),
        unread=tuple(unlisted),
        not_compared=tuple(sorted(not_compared, key=natural_key)),
        sentence=describe_changes(kind, listed, len(unlisted), len(not_compared), rules.phrases),
        patch=tuple(comparison.patch()),
    )


def _file_part(path: str, old: dict[str, Any], new: dict[str, Any]) -> Part:
    """How a file of a bundle is compared: as a whole when one side does not have it."""
    if path not in old or path not in new:
        return Part(is_leaf=True)
    is_recipe = all(isinstance(side[path], dict) and side[path].get("kind") == RECIPE for side in (old, new))
    return _PARTS[RECIPE] if is_recipe else ANYTHING


def _require_one_kind(old: str, new: str, names: tuple[str, str]) -> None:
    if old == new:
        return
    hint = "run 'eidos check -f SNAPSHOT -r RECIPE' to judge a node by a recipe" if {old, new} == {SNAPSHOT, RECIPE} else None
    first, second = (f"{name} is a {kind}" if name else f"a {kind}" for name, kind in zip(names, (old, new)))
    raise InvalidInput(f"cannot compare documents of two kinds: {first}, {second}", hint)


def _describe(document: Comparable, name: str) -> ComparedDocument:
    node = "" if not isinstance(document, (Snapshot, CheckReport)) else document.node
    time = document.timestamp if isinstance(document, (Snapshot, Recipe, CheckReport)) else ""
    return ComparedDocument(name, node, time)


def _path(kind: str, address: Address) -> str:
    if kind == BUNDLE:
        return ": ".join(filter(None, (address[0], ".".join(address[1:]))))
    return ".".join(address[1:] if address[0] == "findings" else address)


def _change(kind: str, address: Address, difference: str, why: str, old: Any, new: Any) -> Change:
    if kind == REPORT and address[0] == "findings":
        return _finding_change(address, difference, old, new)
    before, after = (None if value is MISSING else "null" if value is None else value for value in (old, new))
    if kind == BUNDLE or address[0] == "components":
        before, after = (_without_secrets(value, address[-1] if len(address) > 1 else "") for value in (before, after))
    return Change(_path(kind, address), difference, _group(kind, address), before, after, why)


def _without_secrets(value: Any, name: str) -> Any:
    """A value of a chart as a comparison shows it: its reader may not have the bundle. ``name`` is its own, or of a variable."""
    if isinstance(value, dict):
        variable = str(value.get("name", "value"))
        return {key: _without_secrets(each, variable if key == "value" else str(key)) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_secrets(each, name) for each in value]
    if value == "" or value is None or isinstance(value, bool):
        return value
    from eidos.redact.secret_names import has_credential_word  # few comparisons are of values
    from eidos.redact.secrets_in_text import redact_text

    if has_credential_word(name) and harmless_fields().section(name) is None:
        return WITHHELD
    return redact_text(value, lambda _: True, is_prose=True)[0] if isinstance(value, str) else value


def harmless_fields() -> NameList:
    """Fields of charts that only look as if they held a credential."""
    if not _harmless_fields:
        from eidos.files.resources import read_text
        from eidos.redact.harmless_names import NameList

        _harmless_fields.append(NameList(read_text("templates/harmless/policy-fields.txt")))
    return _harmless_fields[0]


def _group(kind: str, address: Address) -> str:
    if kind == BUNDLE:
        return address[0] if len(address) > 1 else FILES
    return ".".join(address[:2]) if address[0] in (*TYPES.values(), "components") else address[0]


def _finding_change(address: Address, difference: str, old: Any, new: Any) -> Change:
    """What became of a finding: it is new when it fails now and did not before."""
    before, after = (finding.get("status") if isinstance(finding, dict) else None for finding in (old, new))
    # What is unknown or was not judged is not known to be mended.
    group = NEW if after == FAIL != before else RESOLVED if before == FAIL and after in (PASS, NOT_APPLICABLE) else OTHER
    texts = [None if finding is MISSING else _finding_text(finding) for finding in (old, new)]
    return Change(_path(REPORT, address), difference, group, texts[0], texts[1], str((old if new is MISSING else new).get("title", "")))


def _finding_text(finding: Any) -> str:
    """A finding in a few words: status, severity and what is there instead of what is expected."""
    status, severity, expected, actual = (plain_text(finding.get(name, "")) for name in ("status", "severity", "expected", "actual"))
    if status != FAIL:
        return str(status)
    comparison = f"expected {expected}, found {actual or 'not set'}" if expected else str(actual)
    return f"{severity}: {comparison}" if comparison else str(severity)


def _order(kind: str, change: Change, address: Address) -> tuple[Any, ...]:
    heads = {REPORT: (NEW, RESOLVED, OTHER)}.get(kind, ("metadata", "request", *TYPES.values()))
    head = change.group if kind == REPORT else address[0]
    return heads.index(head) if head in heads else len(heads), natural_key(change.group), natural_key(change.path), change.kind


def bundle_trees(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> tuple[dict[str, object], dict[str, object]]:
    """The files of both bundles that are not the same byte for byte, without checksums and attestations, which follow from them.

    >>> bundle_trees({"a.yaml": b"x: 1", "b.txt": b"same"}, {"a.yaml": b"x: 2", "b.txt": b"same"})
    ({'a.yaml': {'x': 1}}, {'a.yaml': {'x': 2}})
    """
    first, second = (
        {
            path: file_tree(path, content)
            for path, content in sorted(side.items())
            if path.rpartition("/")[2] != CHECKSUMS and not is_attestation(path) and other.get(path) != content
        }
        for side, other in ((old, new), (new, old))
    )
    return first, second


def file_tree(path: str, content: bytes) -> object:
    """A mapping where a file is one document of YAML or JSON, else its text, or the digest of a binary file."""
    from eidos.formats import from_text

    try:
        text = content.decode()
    except UnicodeDecodeError:
        import hashlib

        return f"sha256:{hashlib.sha256(content).hexdigest()}"
    if path.endswith(_DATA):
        try:
            tree = from_text(content, path)
        except InvalidData:  # several documents, or a template
            return text
        if isinstance(tree, dict):
            return tree
    return text
