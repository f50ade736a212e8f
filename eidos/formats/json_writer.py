r"""JSON that every parser accepts, and that holds the same tree as our YAML.

Knows what JSON cannot represent; must not know what a document means. Infinities and not-a-number become the strings
``Infinity``, ``-Infinity`` and ``NaN`` (as in the JSON mapping of protocol buffers), a lone surrogate becomes the six characters
``\udc80``, which is what the YAML emitter writes too. Characters outside ASCII stand as they are, but DEL, C1 controls and the
marks that turn the direction of text are escaped, because they steer terminals, and so is what YAML does not allow, because
readers of YAML are often given JSON. The package ``json`` imports ``re``, which takes longer than writing most documents.

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

try:
    from _json import encode_basestring
except ImportError:  # an interpreter without that extension
    from json.encoder import encode_basestring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from eidos.formats import Tree

_ESCAPED = (*range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF, 0xFFFE, 0xFFFF)
_ESCAPES = {code: f"\\u{code:04x}" for code in _ESCAPED}


def emit_json(tree: Tree, indent: int | None = 2) -> str:
    """``tree`` as JSON, indented by two, with a line break at the end. Raises TypeError for objects that JSON cannot represent.

    With ``indent`` None it is one line, as JSON Lines has it (https://jsonlines.org).
    """
    try:
        pieces: list[str] = []
        _write(tree, pieces.append, None if indent is None else "\n", " " * (indent or 0))
        text = "".join(pieces)
        if not text.isascii():
            text.encode()
    except ValueError:  # UnicodeEncodeError is one
        pieces = []
        _write(_representable(tree), pieces.append, None if indent is None else "\n", " " * (indent or 0))
        text = "".join(pieces)
    if not text.isascii() or "\x7f" in text:
        text = text.translate(_ESCAPES)
    return text + "\n"


def _write(tree: Tree, put: Callable[[str], None], line: str | None, indent: str) -> None:
    """Append the pieces of ``tree``; ``line`` begins a line at its level, None writes one line. Raises ValueError for NaN and infinity."""
    if isinstance(tree, str):
        put(encode_basestring(tree))
    elif tree is None or isinstance(tree, bool):
        put("null" if tree is None else "true" if tree else "false")
    elif isinstance(tree, int):
        put(int.__repr__(tree))
    elif isinstance(tree, float):
        if tree - tree != 0:
            raise ValueError(tree)
        put(float.__repr__(tree))
    elif isinstance(tree, dict):
        inner = None if line is None else line + indent
        separator = "{" if inner is None else f"{{{inner}"
        for key, value in tree.items():
            put(f"{separator}{encode_basestring(_key(key))}: ")
            _write(value, put, inner, indent)
            separator = ", " if inner is None else f",{inner}"
        put(f"{line or ''}}}" if tree else "{}")
    elif isinstance(tree, (list, tuple)):
        inner = None if line is None else line + indent
        separator = "[" if inner is None else f"[{inner}"
        for value in tree:
            put(separator)
            _write(value, put, inner, indent)
            separator = ", " if inner is None else f",{inner}"
        put(f"{line or ''}]" if tree else "[]")
    else:
        raise TypeError(f"Object of type {type(tree).__name__} is not JSON serializable")


def _key(key: object) -> str:
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, (bool, int, float)):
        pieces: list[str] = []
        _write(key, pieces.append, None, "")
        return pieces[0]
    raise TypeError(f"keys must be str, int, float, bool or None, not {type(key).__name__}")


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
