"""A comparison as a table, for people.

Knows columns and headings; must not know how documents are compared. The comparison in one sentence comes first.
"""

from __future__ import annotations

from eidos.diff.markdown import show_value
from eidos.diff.sentence import uniform_groups
from eidos.formats.table import INDENT, heading, join_blocks, key_value_rows, line_width, wrap
from eidos.log import printable
from eidos.model.diff import ADDED, REMOVED
from eidos.terminal import BOLD, GREEN, RED, YELLOW, paint
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eidos.model.diff import Change, Diff

#: Characters of a value, and rows of a list, unless everything is shown.
MAX_VALUE_CHARACTERS, MAX_ROWS = 200, 40


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
