r"""Colour and characters that a terminal can show.

Knows the environment variables that decide about colour (no-color.org, FORCE_COLOR, TERM) and about characters (locale(7));
must not know what is printed. Imports nothing but os: messages go through here, too.

>>> paint("failed", RED, True), paint("failed", RED, False), to_ascii("OS · release ── a…é"), to_ascii("a…", "...")
('\x1b[31mfailed\x1b[0m', 'failed', 'OS - release -- a~\\xe9', 'a...')
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: Select Graphic Rendition (ECMA-48, 8.3.117): what failed, what needs attention, what is well, what to do, and headings.
RED, YELLOW, GREEN, CYAN, BOLD = "31", "33", "32", "36", "1"

#: Characters of tables → the ASCII character that stands for each, of the same width.
_ASCII = {ord("─"): "-", ord("·"): "-", ord("→"): "->"}

#: Values of LC_CTYPE that Python sets for itself in the C locale (PEP 538), whatever the terminal shows.
_COERCED = ("C.UTF-8", "C.utf8", "UTF-8")


def shows_colour(descriptor: int, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether text on this file descriptor is coloured: on a terminal, unless NO_COLOR or TERM=dumb; elsewhere with FORCE_COLOR.

    NO_COLOR wins over FORCE_COLOR, and an empty variable counts as unset.
    """
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return environ["FORCE_COLOR"] not in ("0", "false")
    try:
        return environ.get("TERM", "dumb") != "dumb" and os.isatty(descriptor)
    except OSError:
        return False


def paint(text: str, colour: str, is_shown: bool) -> str:
    """``text`` in a colour, if colour is shown."""
    return f"\x1b[{colour}m{text}\x1b[0m" if is_shown and text else text


def is_ascii_only(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the locale of an environment has no characters but ASCII: the first of LC_ALL, LC_CTYPE and LANG that is set decides.

    Without ``environ`` it is the environment with which the program was started.
    """
    if environ is None:
        environ = os.environ
        if environ.get("LC_CTYPE") in _COERCED and not environ.get("LC_ALL") and not _started_with_ctype():
            environ = {"LANG": environ.get("LANG", "")}
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or "C"
    return "utf" not in locale.lower()


def _started_with_ctype() -> bool:
    """Whether LC_CTYPE was set when the program was started; true where the system does not tell (proc_pid_environ(5))."""
    try:
        with open("/proc/self/environ", "rb") as file:
            return any(entry.startswith(b"LC_CTYPE=") for entry in file.read().split(b"\0"))
    except OSError:
        return True


def fit_locale(text: str, ellipsis: str = "...") -> str:
    """``text`` with the characters that the locale of this program has."""
    return to_ascii(text, ellipsis) if not text.isascii() and is_ascii_only() else text


def to_ascii(text: str, ellipsis: str = "~") -> str:
    """``text`` with ASCII characters alone: lines and dots become similar ones, all else an escape; in columns ``…`` is one character."""
    return text if text.isascii() else text.replace("…", ellipsis).translate(_ASCII).encode("ascii", "backslashreplace").decode()
