"""``eidos diff``: what differs between two documents, or what changed on a node.

Knows the flags of the verb, where its documents come from, the columns of its table, and the exit status; must not know how documents are
compared.
"""

from __future__ import annotations

import os
import time

from eidos import collectors
from eidos.cli import document_locations
from eidos.cli.cluster_options import CLUSTER, OR_IN_CLUSTER
from eidos.cli.exit_status import FINDINGS
from eidos.cli.host_snapshot import ROOT, SMI, UNITS, read_host, refuse_host_flags
from eidos.cli.options import FORMAT, HELP, LOGGING, OUTPUT, Operand, Option, Verb, parse_path, parse_timeout
from eidos.diff.markdown import show_value
from eidos.diff.sentence import uniform_groups
from eidos.errors import InvalidInput
from eidos.formats.table import INDENT, heading, join_blocks, key_value_rows, line_width, wrap
from eidos.log import printable
from eidos.model.diff import ADDED, REMOVED
from eidos.model.record import replace
from eidos.terminal import BOLD, GREEN, RED, YELLOW, paint
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Union

    from eidos.cli.options import Values
    from eidos.model.bundle import Bundle
    from eidos.model.check_report import CheckReport
    from eidos.model.diff import Change, Diff
    from eidos.model.recipe import Recipe
    from eidos.model.snapshot import Snapshot

    Document = Union[Snapshot, Recipe, CheckReport, Bundle]

TABLE, PATCH, MARKDOWN, VOLATILE = "table", "patch", "markdown", "volatile"

_FORMATS = {
    TABLE: "for people",
    "yaml": "for programs and people",
    "json": "for programs",
    MARKDOWN: "for a pull request or a chat",
    PATCH: "a JSON Patch (RFC 6902) that makes A mean what B means",
}

#: What does not count unless it is named.
_INCLUDE = {
    "identity": "names, addresses, serial numbers, versions of eidos",
    "location": "where a node is in its cluster and a device in its node",
    VOLATILE: "what changes on its own: times, counters, processes",
}

VERB = Verb(
    "diff",
    (
        (
            "Compare two snapshots, recipes, bundles or check reports by meaning. Order, times and durations make no difference; what "
            "identifies a node or changes on its own only does when --include names it."
        ),
        (
            "With --last, compare the snapshot that 'eidos snapshot --remember' kept last with this node as it is now, or with A. A value "
            "that one side could not read, or that is withheld, is neither equal nor different."
        ),
    ),
    (
        Option("last", "compare with the last remembered snapshot of the node", flag_only=True),
        Option("include", "compare this, too", "NAMES", choices=_INCLUDE, multiple=True),
        ROOT,
        SMI,
        UNITS,
        Option("timeout", "give up reading this node after this time", "DURATION", None, "10s", parse_timeout),
        *CLUSTER,
        Option("exit-code", "exit 4 when the documents differ"),
        Option("all", "show every value, also of what is new or gone as a whole", flag_only=True),
        replace(OUTPUT, help=OUTPUT.help + OR_IN_CLUSTER),
        Option("format", "set the output format (default table)", "FORMAT", FORMAT.short, None, choices=_FORMATS),
        *LOGGING,
        HELP,
    ),
    (
        Operand("a", "the older document: a file, a bundle, - or cm://NAMESPACE/NAME", None, False, parse_path, "file"),
        Operand("b", "the newer document", None, False, parse_path, "file"),
    ),
    examples=(
        ("eidos diff yesterday.yaml today.yaml", "two snapshots"),
        ("eidos diff gpu-01.yaml gpu-02.yaml --exit-code", "two nodes, exit 4 when they differ"),
        ("eidos snapshot --remember -o node.yaml", "keep a snapshot; later:"),
        ("eidos diff --last", "what changed on this node since then"),
        ("eidos diff bundle-1.tar.gz bundle-2 -t markdown", "two bundles, for a pull request"),
        ("eidos diff report-1.yaml report-2.yaml", "which findings are new, which are resolved"),
        ("eidos diff a.yaml b.yaml -t patch", "as a JSON Patch"),
    ),
    notes=("Exit status: 0 compared; 2 wrong usage, invalid input, or nothing remembered; 4 the documents differ (--exit-code).",),
)

#: Characters of a value, and rows of a list, unless everything is shown.
MAX_VALUE_CHARACTERS, MAX_ROWS = 200, 40


def run(values: Values) -> int:
    """Compare, and write the differences."""
    from eidos.workflow import compare

    output = values["output"]
    document_locations.check_writable(output, values)
    locations = [location for name in ("a", "b") if (location := values.get(name)) is not None]
    if locations == [document_locations.STDOUT] * 2:
        raise InvalidInput("standard input cannot be both documents", "name a file for one of them")
    names, documents, trees = _read_documents(values, locations)
    diff = compare(documents[0], documents[1], include=values["include"], names=names)
    fmt = document_locations.choose_format(values["format"], output, TABLE)
    if fmt == PATCH:
        _require_patchable(names[0], documents[0], trees[0])
    document_locations.write_document(output, _render(values, diff, fmt), values, "diff")
    return FINDINGS if values["exit-code"] and not diff.is_empty else 0


def _read_documents(values: Values, locations: list[str]) -> tuple[tuple[str, str], list[Document], list[Any]]:
    """What messages call both documents, the documents, and the trees in their files."""
    if not values["last"]:
        refuse_host_flags(values, "needs --last", "add --last, or remove it")
        if len(locations) != 2:
            raise InvalidInput("eidos diff needs two documents", "name two files, or use --last to compare with this node")
        read = [_read_document(location, values) for location in locations]
        return (_name(locations[0]), _name(locations[1])), [document for document, _ in read], [tree for _, tree in read]
    from eidos.cli import snapshot_history
    from eidos.model.snapshot import Snapshot

    if len(locations) > 1:
        raise InvalidInput("--last takes at most one document", "remove one of the two")
    snapshot_history.require_any(os.environ)
    current: Document
    if locations:
        current, _ = _read_document(locations[0], values)
        if not isinstance(current, Snapshot):
            raise InvalidInput(f"{locations[0]}: not a snapshot; --last compares snapshots", "name a snapshot, or nothing for this node")
    else:
        names = collectors.list_collectors()
        is_volatile = VOLATILE in values["include"]
        current = read_host("diff", values, names, time.monotonic() + values["timeout"], volatile=is_volatile)
    last, path = snapshot_history.load_last(current.node, os.environ)
    return (path, _name(locations[0]) if locations else "now"), [last, current], [last.to_tree(), None]


def _name(location: str) -> str:
    return "standard input" if location == document_locations.STDOUT else location


def _read_document(location: str, values: Values) -> tuple[Document, Any]:
    """The document at a location, and the tree in its file (None for a bundle); InvalidData for anything but a document of eidos."""
    from eidos.diff.documents import parse_document
    from eidos.formats import from_text

    if document_locations.is_in_registry(location):
        from eidos.cli.registry_locations import read_registry_bundle

        bundle = read_registry_bundle(location, values)
        if bundle is not None:
            return bundle, None
    is_file = not document_locations.is_remote(location) and location != document_locations.STDOUT
    if is_file and os.path.isdir(location):
        return _read_bundle(location), None
    name = _name(location)
    expected = "a snapshot, a recipe, a bundle or a check report"
    data = document_locations.read_document(location, missing_hint=f"name {expected}", values=values, expected=expected)
    if is_file and data[:2] in (b"\x1f\x8b", b"PK"):
        return _read_bundle(location), None
    tree = from_text(data, name)
    return parse_document(tree, name), tree


def _read_bundle(location: str) -> Bundle:
    from eidos.workflow import read_bundle

    return read_bundle(location)


def _require_patchable(name: str, document: Document, tree: Any) -> None:
    """Raise InvalidInput when the operations of a patch would miss their places in the file."""
    from eidos.diff.documents import document_tree
    from eidos.model.bundle import Bundle

    if isinstance(document, Bundle):
        raise InvalidInput("a bundle is many files, and a JSON Patch is for one document", "use --format yaml, or git diff --no-index")
    written = document_tree(document)
    if any(tree.get(field) != content for field, content in written.items()):
        hint = "use --format yaml, or write the document again with this version of eidos"
        raise InvalidInput(f"{name}: not as this version of eidos writes it; a patch would miss its places", hint)


def _render(values: Values, diff: Diff, fmt: str) -> str:
    from eidos.formats import serialize, to_json

    if fmt == TABLE:
        return document_locations.fit_table(values["output"], lambda width, colour: diff_table(diff, width, colour, values["all"]))
    if fmt == PATCH:
        return to_json(list(diff.patch))
    if fmt == MARKDOWN:
        from eidos.diff.markdown import render_markdown

        return render_markdown(diff)
    return serialize(diff.to_tree(), fmt)


def diff_table(diff: Diff, width: int, colour: bool, show_all: bool = False) -> str:
    """``diff`` as lines of at most ``width`` columns; ``show_all`` shows each value of a group that is new or gone, and every row."""
    width = line_width(width)
    shade = GREEN if diff.is_empty else YELLOW
    blocks = [[paint(line, shade, colour) for line in wrap(printable(_first_line(diff)), width, 9)]]
    uniform = {} if show_all else uniform_groups(diff.changes)
    limit = len(diff.changes) + len(diff.unread) + len(diff.not_compared) if show_all else MAX_ROWS
    for group in dict.fromkeys(change.group for change in diff.changes):
        changes = [change for change in diff.changes if change.group == group]
        if group in uniform:
            kind, number = uniform[group]
            blocks.append([heading(group, f"{count_of(number, 'value')} {kind}", width, BOLD if colour else "")])
            continue
        title = heading(group, count_of(len(changes), "difference"), width, BOLD if colour else "")
        blocks.append([title, *_rows(diff, changes, width, limit, colour)])
    if diff.unread:
        rows = _cut([change.path for change in diff.unread], limit)
        reasons = dict.fromkeys(change.why for change in diff.unread if change.why)
        blocks.append([heading("Read on one side only", count_of(len(diff.unread), "reading"), width, BOLD if colour else "")])
        blocks[-1] += (INDENT + line for row in (*_cut(list(reasons), limit), *(rows if show_all else ())) for line in wrap(row, width - 2))
    if diff.not_compared:
        title = heading("Not compared", count_of(len(diff.not_compared), "withheld value"), width, BOLD if colour else "")
        blocks.append([title, *(INDENT + line for row in _cut(list(diff.not_compared), limit) for line in wrap(printable(row), width - 2))])
    return join_blocks(blocks)


def _first_line(diff: Diff) -> str:
    nodes = dict.fromkeys(side.node for side in (diff.old, diff.new) if side.node)
    names = [side.timestamp or side.name for side in (diff.old, diff.new)]
    span = f"{names[0]} → {names[1]}" if all(names) and names[0] != names[1] else ""
    lead = ", ".join(filter(None, (" → ".join(nodes), span)))
    return f"{lead}: {diff.sentence}" if lead else diff.sentence


def _rows(diff: Diff, changes: list[Change], width: int, limit: int, colour: bool) -> Iterator[str]:
    is_report = diff.kind == "CheckReport"
    pairs = [(_label(change), f"{change.why}: {_sides(change)}" if is_report and change.why else _sides(change)) for change in changes]
    rows = iter(key_value_rows(pairs[:limit], width))
    shades = {"+": GREEN, "-": RED, "~": YELLOW}
    for line in rows:
        mark = line.strip()[:1] if line.startswith(INDENT) and line[2:3] in shades and line[3:4] == " " else ""
        yield line.replace(mark, paint(mark, shades[mark], colour), 1) if mark and colour else line
    if len(pairs) > limit:
        yield f"{INDENT}and {count_of(len(pairs) - limit, 'more difference')}; use --all"


def _label(change: Change) -> str:
    mark = {ADDED: "+", REMOVED: "-"}.get(change.kind, "~")
    name = change.path
    for separator in (".", ": "):
        if name.startswith(change.group + separator):
            name = name[len(change.group) + len(separator) :]
    return f"{mark} {name}"


def _sides(change: Change) -> str:
    old, new = (None if side is None else show_value(side, MAX_VALUE_CHARACTERS) for side in (change.old, change.new))
    if old is None or new is None:
        text = (new if old is None else old) or ""
        return "" if change.path.endswith(f".{text}") else text  # an item of a set
    if isinstance(change.old, str) and isinstance(change.new, str) and "\n" in change.old.strip() + change.new.strip():
        return _count_lines(change.old.splitlines(), change.new.splitlines())
    return f"{old} → {new}"


def _count_lines(old: list[str], new: list[str]) -> str:
    """How many lines two texts do not share, as git counts them.

    >>> _count_lines(["a", "b"], ["a", "c", "d"])
    '2 lines added, 1 line removed'
    """
    numbers: dict[str, int] = {}
    for lines, step in ((new, 1), (old, -1)):
        for line in lines:
            numbers[line] = numbers.get(line, 0) + step
    added, removed = (sum(max(sign * number, 0) for number in numbers.values()) for sign in (1, -1))
    parts = [f"{count_of(number, 'line')} {word}" for number, word in ((added, "added"), (removed, "removed")) if number]
    return ", ".join(parts) or "lines in another order"


def _cut(rows: list[str], limit: int) -> Iterable[str]:
    return rows if len(rows) <= limit else [*rows[:limit], f"and {len(rows) - limit:,} more; use --all"]
