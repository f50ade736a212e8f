"""A comparison as Markdown, for a pull request or a chat.

Knows tables of GitHub Flavored Markdown and what must be escaped in them; must not know how documents are compared.
"""

from __future__ import annotations

from eidos.diff.sentence import uniform_groups
from eidos.log import printable
from eidos.model.number_format import format_scalar
from eidos.wording import count_of, shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.model.diff import Diff

#: Characters of a value, and rows of a group.
MAX_VALUE_CHARACTERS, MAX_ROWS = 120, 100


def render_markdown(diff: Diff) -> str:
    """The sentence, then a table for each group of changes."""
    lines = [f"**{_escape(diff.sentence)}**"]
    uniform = uniform_groups(diff.changes)
    for group in dict.fromkeys(change.group for change in diff.changes):
        lines += ["", f"### {_escape(group)}", ""]
        if group in uniform:
            kind, number = uniform[group]
            lines.append(f"{kind}: {count_of(number, 'value')}")
            continue
        changes = [change for change in diff.changes if change.group == group]
        lines += ["| | from | to |", "|---|---|---|"]
        lines += [f"| {_escape(change.path)} | {_cell(change.old)} | {_cell(change.new)} |" for change in changes[:MAX_ROWS]]
        if len(changes) > MAX_ROWS:
            lines += ["", f"and {count_of(len(changes) - MAX_ROWS, 'more difference')}"]
    for title, paths in (("Read on one side only", [change.path for change in diff.unread]), ("Not compared", list(diff.not_compared))):
        if paths:
            lines += ["", f"### {title}", "", *(f"- {_escape(path)}" for path in paths[:MAX_ROWS])]
            if len(paths) > MAX_ROWS:
                lines.append(f"- and {len(paths) - MAX_ROWS:,} more")
    return "\n".join(lines) + "\n"


def show_value(value: Any, limit: int) -> str:
    r"""A value in one line of at most ``limit`` characters; what has lines of its own is counted.

    >>> show_value("a\tb", 10), show_value("one\ntwo\n", 40), show_value({"a": 1}, 40), show_value(True, 40)
    ('a b', 'text of 2 lines', '{a: 1}', 'true')
    """
    if isinstance(value, str) and "\n" in value.strip():
        return f"text of {count_of(len(value.splitlines()), 'line')}"
    if isinstance(value, dict):
        text = "{" + ", ".join(f"{name}: {show_value(inner, limit)}" for name, inner in value.items()) + "}"
    elif isinstance(value, (list, tuple)):
        text = "[" + ", ".join(show_value(inner, limit) for inner in value) + "]"
    else:
        text = "null" if value is None else format_scalar(value)
    return shorten(" ".join(text.split()) or '""', limit)


def _cell(value: Any) -> str:
    return "" if value is None else _escape(show_value(value, MAX_VALUE_CHARACTERS))


def _escape(text: str) -> str:
    r"""Text that no Markdown reader takes for more.

    >>> print(_escape("a|b <c>"))
    a\|b \<c\>
    """
    from eidos.templates.text_template import escape_markdown

    return escape_markdown(printable(" ".join(text.split())))
