r"""Colour and characters that a terminal can show.

Knows the environment variables that decide about colour (no-color.org, FORCE_COLOR, TERM) and about characters (locale(7));
must not know what is printed. Imports nothing but os: messages go through here, too.

>>> paint("failed", RED, True), paint("failed", RED, False), to_ascii("OS · release ── a…é")
('\x1b[31mfailed\x1b[0m', 'failed', 'OS - release -- a~\\xe9')
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: Select Graphic Rendition (ECMA-48, 8.3.117): what failed, what needs attention, what is well, and headings.
RED, YELLOW, GREEN, BOLD = "31", "33", "32", "1"

#: Characters of tables and messages → the ASCII character that stands for each, of the same width.
_ASCII = {ord("─"): "-", ord("·"): "-", ord("…"): "~"}


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


def is_ascii_only(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the locale of this environment has no characters but ASCII: the first of LC_ALL, LC_CTYPE and LANG that is set decides."""
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or "C"
    return "utf" not in locale.lower()


def to_ascii(text: str) -> str:
    """``text`` with ASCII characters alone: lines and dots become similar ones, all else an escape."""
    return text if text.isascii() else text.translate(_ASCII).encode("ascii", "backslashreplace").decode()
