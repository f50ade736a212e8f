r"""The line of a file in which an issue is: the entry that its location names.

Knows how locations divide into a file and a path, and how paths lie in each file of the data; must not know any rule. Only files with
issues are parsed for it, and a path that is not in its file gives the line of what is nearest above it.

>>> text = "key: {gpu: h100}\nconstraints:\n  - {name: GPU.smi.driver, value: '>= 1'}\ncomponents:\n  a:\n    version: '1'\n"
>>> [line_of(text, "overlays/x.yaml", path) for path in ("constraints.GPU.smi.driver", "components.a.version", "key.gpu", "components.b")]
[3, 6, 1, 4]
"""

from __future__ import annotations

from eidos.model.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from eidos.model.lint_issue import LintIssue

#: The fields by which items of lists are named in paths.
_NAMES = ("id", "name", "type", "subtype", "path")

#: Fields that hold what paths name, and are not part of them.
_UNNAMED = ("measurements", "types", "subtypes", "data", "components")

#: No file of recipes has more levels.
_MAXIMUM_DEPTH = 100


def with_lines(issues: Iterable[LintIssue], load_text: Callable[[str], str | None]) -> list[LintIssue]:
    """The issues with the lines that could be found; ``load_text`` returns the text of a file by its name, None when there is none."""
    trees: dict[str, _Node | None] = {}
    numbered = []
    for issue in issues:
        file, _, path = issue.location.partition(": ")
        name = file.partition("[")[0]
        if name not in trees:
            text = load_text(name)
            trees[name] = None if text is None else _compose(text)
        root = trees[name]
        line = 0 if root is None else _line(root, file, path)
        numbered.append(replace(issue, line=line) if line else issue)
    return numbered


def line_of(text: str, file: str, path: str) -> int:
    """The line of a path in the text of a file; 0 for a text that is no YAML. ``file`` may end in the position of a layer."""
    root = _compose(text)
    return 0 if root is None else _line(root, file, path)


class _Node:
    """A value of a YAML text: ``value`` is a text, the items of a list, or pairs of nodes; ``line`` that on which it begins."""

    def __init__(self, kind: str, line: int, value: Any) -> None:
        self.kind = kind
        self.line = line
        self.value = value


def _compose(text: str) -> _Node | None:
    """The first document of a text; None when it is no YAML. An alias is an empty text."""
    from yaml import events
    from yaml.error import YAMLError
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class Events(Reader, Scanner, Parser):
        def __init__(self) -> None:
            Reader.__init__(self, text)
            Scanner.__init__(self)
            Parser.__init__(self)

    roots: list[_Node] = []
    stack: list[list[_Node]] = [roots]
    open_nodes: list[_Node] = []
    try:
        parser: Any = Events()
        while parser.check_event():
            event: Any = parser.get_event()
            line: int = event.start_mark.line + 1
            if isinstance(event, (events.SequenceStartEvent, events.MappingStartEvent)):
                kind = "mapping" if isinstance(event, events.MappingStartEvent) else "sequence"
                node = _Node(kind, line, [])
                stack[-1].append(node)
                open_nodes.append(node)
                stack.append([])
            elif isinstance(event, (events.SequenceEndEvent, events.MappingEndEvent)):
                items, node = stack.pop(), open_nodes.pop()
                node.value = list(zip(items[::2], items[1::2])) if node.kind == "mapping" else items
            elif isinstance(event, (events.ScalarEvent, events.AliasEvent)):
                stack[-1].append(_Node("scalar", line, getattr(event, "value", "")))
    except (YAMLError, ValueError):
        return None
    return roots[0] if roots else None


def _line(root: _Node, file: str, path: str) -> int:
    node = root
    position = file.partition("[")[2].rstrip("]")
    if position.isdigit():
        node = _item(node, int(position)) or node
    return _deepest(node, path)[1] or node.line


def _deepest(node: _Node, path: str, depth: int = 0) -> tuple[int, int]:
    """How much of a path lies below a node, and the line of the last key of it; of several ways the longest.

    Readings lie in lists that paths do not name.
    """
    if depth > _MAXIMUM_DEPTH:
        return 0, 0
    if node.kind == "sequence" and path.startswith("["):
        index, _, rest = path[1:].partition("]")
        item = _item(node, int(index)) if index.isdigit() else None
        if item is None:
            return 0, 0
        length, line = _deepest(item, rest.lstrip("."), depth + 1)
        return len(index) + 2 + length, line or item.line
    if node.kind == "sequence":
        children = [(name, item, item.line) for item in node.value if (name := _name(item))]
    else:
        pairs = node.value if node.kind == "mapping" else ()
        children = [(str(key.value), value, key.line) for key, value in pairs if key.kind == "scalar"]
    best = (0, 0)
    for key, value, line in children:
        written = _written(path, key)
        if _begins(path, written):
            length, inner = _deepest(value, path[len(written) :].lstrip("."), depth + 1)
            best = max(best, (len(written) + length, inner or line), key=lambda item: item[0])
        elif node.kind == "mapping" and key in _UNNAMED:
            best = max(best, _deepest(value, path, depth + 1), key=lambda item: item[0])
    return best


def _begins(path: str, key: str) -> bool:
    return bool(key) and path.startswith(key) and path[len(key) : len(key) + 1] in ("", ".", "[")


def _written(path: str, key: str) -> str:
    """A key as the path writes it: dots in keys of charts are escaped, those of readings are not."""
    escaped = key.replace(".", "\\.")
    return escaped if path.startswith(escaped) else key


def _name(item: _Node) -> str:
    for field in _NAMES:
        entry = _value(item, field)
        if entry is not None and entry[0].kind == "scalar":
            return str(entry[0].value)
    return ""


def _value(node: _Node, key: str) -> tuple[_Node, int] | None:
    """The value of a key of a mapping, and its line."""
    pairs = node.value if node.kind == "mapping" else ()
    return next(((value, name.line) for name, value in pairs if name.value == key), None)


def _item(node: _Node, index: int) -> _Node | None:
    return node.value[index] if node.kind == "sequence" and index < len(node.value) else None
