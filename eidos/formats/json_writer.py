r"""JSON that every parser accepts, and that holds the same tree as our YAML.

Knows what JSON cannot represent; must not know what a document means. Infinities and not-a-number become the strings
``Infinity``, ``-Infinity`` and ``NaN`` (as in the JSON mapping of protocol buffers), a lone surrogate becomes the six characters
``\udc80``, which is what the YAML emitter writes too. Characters outside ASCII stand as they are, but DEL, C1 controls and the
marks that turn the direction of text are escaped, because they steer terminals, and so is what YAML does not allow, because
readers of YAML are often given JSON.

>>> print(emit_json({"a": [1, 2.5], "b": float("inf")}), end="")
{
  "a": [
    1,
    2.5
  ],
  "b": "Infinity"
}
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.formats import Tree

_ESCAPED = (*range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF, 0xFFFE, 0xFFFF)
_ESCAPES = {code: f"\\u{code:04x}" for code in _ESCAPED}


def emit_json(tree: Tree, indent: int | None = 2) -> str:
    """``tree`` as JSON, indented by two, with a line break at the end. Raises TypeError for objects that JSON cannot represent.

    With ``indent`` None it is one line, as JSON Lines has it (https://jsonlines.org).
    """
    try:
        text = json.dumps(tree, ensure_ascii=False, indent=indent, allow_nan=False)
        if not text.isascii():
            text.encode()
    except ValueError:  # UnicodeEncodeError is one
        text = json.dumps(_representable(tree), ensure_ascii=False, indent=indent)
    if not text.isascii() or "\x7f" in text:
        text = text.translate(_ESCAPES)
    return text + "\n"


def _representable(tree: Tree) -> Tree:
    """``tree`` with a string in place of whatever JSON cannot represent."""
    if isinstance(tree, str):
        return tree.encode(errors="backslashreplace").decode()
    if isinstance(tree, float):
        return tree if tree - tree == 0 else {"inf": "Infinity", "-inf": "-Infinity"}.get(float.__repr__(tree), "NaN")
    if isinstance(tree, dict):
        return {str(_representable(key)): _representable(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_representable(item) for item in tree]
    return tree
