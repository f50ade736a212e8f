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


def with_lines(issues: Iterable[LintIssue], load_text: Callable[[str], str | None]) -> list[LintIssue]:
    """The issues with the lines that could be found; ``load_text`` returns the text of a file by its name, None when there is none."""
    trees: dict[str, Any] = {}
    numbered = []
    for issue in issues:
        file, _, path = issue.location.partition(": ")
        name = file.partition("[")[0]
        if name not in trees:
            text = load_text(name)
            trees[name] = None if text is None else _compose(text)
        line = _line(trees[name], file, path) if trees[name] is not None else 0
        numbered.append(replace(issue, line=line) if line else issue)
    return numbered


def line_of(text: str, file: str, path: str) -> int:
    """The line of a path in the text of a file; 0 for a text that is no YAML. ``file`` may end in the position of a layer."""
    root = _compose(text)
    return 0 if root is None else _line(root, file, path)


def _compose(text: str) -> Any:
    import yaml

    try:
        return yaml.compose(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError, ValueError):
        return None


def _line(root: Any, file: str, path: str) -> int:
    node = root
    position = file.partition("[")[2].rstrip("]")
    if position.isdigit():
        node = _item(node, int(position)) or node
    line: int = _deepest(node, path)[1] or node.start_mark.line + 1
    return line


def _deepest(node: Any, path: str) -> tuple[int, int]:
    """How much of a path lies below a node, and the line of the last key of it; of several ways the longest.

    Readings lie in lists that paths do not name.
    """
    if node.id == "sequence" and path.startswith("["):
        index, _, rest = path[1:].partition("]")
        item = _item(node, int(index)) if index.isdigit() else None
        if item is None:
            return 0, 0
        length, line = _deepest(item, rest.lstrip("."))
        return len(index) + 2 + length, line or item.start_mark.line + 1
    if node.id == "sequence":
        children = [(name, item, item.start_mark.line + 1) for item in node.value if (name := _name(item))]
    else:
        pairs = node.value if node.id == "mapping" else ()
        children = [(str(key.value), value, key.start_mark.line + 1) for key, value in pairs if key.id == "scalar"]
    best = (0, 0)
    for key, value, line in children:
        written = _written(path, key)
        if _begins(path, written):
            length, inner = _deepest(value, path[len(written) :].lstrip("."))
            best = max(best, (len(written) + length, inner or line), key=lambda item: item[0])
        elif node.id == "mapping" and key in _UNNAMED:
            best = max(best, _deepest(value, path), key=lambda item: item[0])
    return best


def _begins(path: str, key: str) -> bool:
    return bool(key) and path.startswith(key) and path[len(key) : len(key) + 1] in ("", ".", "[")


def _written(path: str, key: str) -> str:
    """A key as the path writes it: dots in keys of charts are escaped, those of readings are not."""
    escaped = key.replace(".", "\\.")
    return escaped if path.startswith(escaped) else key


def _name(item: Any) -> str:
    for field in _NAMES:
        found = _value(item, field)
        if found is not None and found[0].id == "scalar":
            return str(found[0].value)
    return ""


def _value(node: Any, key: str) -> tuple[Any, int] | None:
    """The value of a key of a mapping, and its line."""
    pairs = node.value if node.id == "mapping" else ()
    return next(((value, name.start_mark.line + 1) for name, value in pairs if name.value == key), None)


def _item(node: Any, index: int) -> Any:
    return node.value[index] if node.id == "sequence" and index < len(node.value) else None
