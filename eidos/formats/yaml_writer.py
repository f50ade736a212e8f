r"""A small, fast emitter of YAML that two worlds read alike.

Knows how PyYAML (YAML 1.1) and Go's yaml.v3 (1.1 and 1.2 mixed) read scalars; must not know what a document means. The layout
is that of yaml.v3 with an indent of two. A string is written plain only if no reader can take it for anything else: letters,
digits, ``_ . / -``, beginning with a letter, ``_`` or ``/``, and none of the words for booleans, nulls and numbers. Every other
string stands in double quotes, on one line. What differs between readers even there is escaped: control characters, line and
paragraph separators, byte order marks, non-characters; marks that turn the direction of text are escaped too, so that nothing
read from a host can repaint a terminal. A lone surrogate has no form that both readers take: it becomes the six visible
characters ``\udc80``, as bytes that are not UTF-8 become ``\x80`` when a host is read.

Floats always carry a point (``1.0e+16``; PyYAML takes ``1e+16`` for a string); ``.inf``, ``-.inf``, ``.nan``. Integers beyond
64 bits are written in full: Go reads them as floats. A number that was read as ``24.10`` is written as ``24.10``.

>>> print(emit_yaml({"release": "24.04", "on": "off", "modules": [{"nvidia": True, "sizes": []}]}), end="")
release: "24.04"
"on": "off"
modules:
  - nvidia: true
    sizes: []
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eidos.formats import Tree

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FIRST = frozenset(_LETTERS + "_/")
_PLAIN = _LETTERS + "_/0123456789.-"

#: Words that some reader takes for something other than a string, in lower case; more than PyYAML and Go know.
_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "y", "n", "null", "inf", "infinity", "nan"))

#: Keys whose text is longer than this are written with ``? ``: a reader looks for the colon in 1,024 characters only.
_KEY_LIMIT = 1000

_ESCAPES = {
    **{code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA1), 0xAD)},
    **{code: f"\\u{code:04x}" for code in (0x61C, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070))},
    **{code: f"\\u{code:04x}" for code in (0xFEFF, 0xFFFE, 0xFFFF)},
    **{ord(char): "\\" + name for char, name in zip('"\\\t\n\r', '"\\tnr')},
}


def emit_yaml(tree: Tree) -> str:
    """``tree`` as one YAML document. Raises TypeError for objects that YAML cannot represent."""
    out: list[str] = []
    _Emitter(out).node(tree, "", "", "")
    return "".join(out)


class _Emitter:
    """One document in progress: its lines so far, and strings by their quoted form."""

    def __init__(self, out: list[str]) -> None:
        self.out = out
        self.quoted_strings: dict[object, str] = {}

    def node(self, value: object, lead: str, pad: str, gap: str) -> None:
        """Write any value: ``lead`` is what its first line begins with, ``pad`` what the others do, ``gap`` goes before a scalar."""
        if isinstance(value, dict) and value:
            self.mapping(value, lead, pad)
        elif isinstance(value, (list, tuple)) and value:
            self.sequence(value, lead, pad)
        else:
            self.out.append(f"{lead}{gap}{self.scalar(value)}\n")

    def mapping(self, tree: Mapping[object, object], lead: str, pad: str) -> None:
        """Write a mapping that is not empty."""
        write, cached = self.out.append, self.quoted_strings.get
        for key, value in tree.items():
            kind = type(value)
            shown = cached(key) or self.quoted(key)
            if len(shown) > _KEY_LIMIT:
                self.long_key(shown, value, lead, pad)
            # The four kinds that make up a document come first, and without a call.
            elif kind is str:
                write(f"{lead}{shown}: {cached(value) or self.quoted(value)}\n")
            elif kind is int:
                write(f"{lead}{shown}: {value}\n")
            elif kind is bool:
                write(f"{lead}{shown}: {'true' if value else 'false'}\n")
            elif isinstance(value, dict) and value:
                write(f"{lead}{shown}:\n")
                self.mapping(value, pad + "  ", pad + "  ")
            elif isinstance(value, (list, tuple)) and value:
                write(f"{lead}{shown}:\n")
                self.sequence(value, pad + "  ", pad + "  ")
            else:
                write(f"{lead}{shown}: {self.scalar(value)}\n")
            lead = pad

    def long_key(self, shown: str, value: object, lead: str, pad: str) -> None:
        self.out.append(f"{lead}? {shown}\n")
        self.node(value, pad + ": ", pad + "  ", "")

    def sequence(self, items: Iterable[object], lead: str, pad: str) -> None:
        """Write a sequence that is not empty."""
        for item in items:
            self.node(item, lead + "- ", pad + "  ", "")
            lead = pad

    def quoted(self, text: object) -> str:
        """A string as a scalar, remembered: most keys come again, and many values do."""
        if not isinstance(text, str):
            raise TypeError(f"a document's keys are strings, not {type(text).__name__}: {text!r}")
        # As quote_string does, without a call for the half that is plain.
        is_plain = not text.strip(_PLAIN) and text and text[0] in _FIRST and text.lower() not in _WORDS
        shown = self.quoted_strings[text] = text if is_plain else quote_string(text)
        return shown

    def scalar(self, value: object) -> str:
        """Any scalar, or an empty collection, in the form that follows its key."""
        if isinstance(value, str):
            return quote_string(value)
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int):
            return int.__repr__(value)
        if isinstance(value, float):
            return _float(value)
        if isinstance(value, dict):
            return "{}"
        if isinstance(value, (list, tuple)):
            return "[]"
        raise TypeError(f"a document cannot hold a {type(value).__name__}: {value!r}")


def quote_string(text: str) -> str:
    r"""A string as a YAML scalar.

    >>> print(quote_string("containerd.service"), quote_string("on"), quote_string("a\tb"), quote_string("\udc80"))
    containerd.service "on" "a\tb" "\\udc80"
    """
    # strip() looks at every character in C and stops at the first that is not allowed; nothing is left of a plain string.
    if not text.strip(_PLAIN) and text and text[0] in _FIRST and text.lower() not in _WORDS:
        return text
    if text.isascii():
        if text.isprintable():
            if '"' in text or "\\" in text:
                text = text.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{text}"'
    else:
        text = _without_surrogates(text)
    return '"' + text.translate(_ESCAPES) + '"'


def _without_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace").decode()
    return text


def _float(value: float) -> str:
    text = getattr(value, "text", "")
    integer, point, rest = text.partition(".")
    # ``isascii``: other scripts have digits too.
    if point and text.isascii() and integer.isdigit() and rest.isdigit():
        return str(text)
    shown = float.__repr__(value)
    if shown[-1] in "fn":
        return {"inf": ".inf", "-inf": "-.inf"}.get(shown, ".nan")
    if "." not in shown:
        shown = shown.replace("e", ".0e")
    return shown
