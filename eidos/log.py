"""Lines on stderr for whoever is watching: text for people, one JSON object a line for programs.

Knows levels and formats; must not know what is being logged. Not ``logging``: its import alone is a tenth of a start.
Control characters never reach the stream, so nothing that a host says can forge a line or paint a terminal.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    Sink = Callable[[str, str, dict[str, object]], None]

LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40}


#: What a pipe takes whole or not at all (pipe(7), PIPE_BUF), in bytes.
WHOLE = 4096


class _State:
    threshold = LEVELS["warn"]
    json = False
    waits = True
    sink: Sink | None = None


#: Messages that are shown once, and were.
_said: dict[str, object] = {}


def configure(level: str = "warn", fmt: str = "text") -> None:
    """Set the lowest level that is shown (a key of :data:`LEVELS`) and the format, ``text`` or ``json``."""
    _State.threshold = LEVELS[level]
    _State.json = fmt == "json"


def never_wait() -> None:
    """From now on lose a line rather than wait until somebody reads what was said before: for a process that others wait for."""
    _State.waits = False


def shows(level: str) -> bool:
    """Whether lines of ``level`` are shown: for whoever would go to some length to make one."""
    return LEVELS[level] >= _State.threshold


def divert(sink: Sink | None) -> None:
    """Hand every line to ``sink(level, message, fields)`` instead of stderr: a child process gives them to its parent."""
    _State.sink = sink


def debug(message: str, **fields: object) -> None:
    """Log a detail for whoever looks for a fault."""
    emit("debug", message, fields)


def info(message: str, **fields: object) -> None:
    """Log a step that was taken."""
    emit("info", message, fields)


def warn(message: str, **fields: object) -> None:
    """Log something that the user should know; ``hint=`` says what to do about it, ``once=True`` shows it no second time."""
    emit("warn", message, fields)


def error(message: str, **fields: object) -> None:
    """Log a failure; ``hint=`` says what to do about it, ``excerpt=(text, index)`` shows its place in a text."""
    emit("error", message, fields)


def emit(level: str, message: str, fields: dict[str, object]) -> None:
    """Write one line of ``level``, unless it is below the threshold; a stream that is gone is no reason to fail."""
    if LEVELS[level] < _State.threshold:
        return
    if _State.sink is not None:
        _State.sink(level, message, fields)
        return
    if fields.pop("once", None) and _said.setdefault(message, fields) is not fields:
        return
    lines = _json_line(level, message, fields) if _State.json else _text_lines(level, message, fields)
    try:
        if not _State.waits and not _taken_at_once(len(lines.encode("utf-8", "replace"))):
            return
        sys.stderr.write(lines)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # closed, full, or never opened: nowhere left to say it
        pass


def _taken_at_once(size: int) -> bool:
    """Whether standard error takes so many bytes without delay: a pipe that is ready takes :data:`WHOLE`."""
    import select

    poll = select.poll()
    poll.register(sys.stderr.fileno(), select.POLLOUT)
    return size <= WHOLE and [event for _, event in poll.poll(0)] == [select.POLLOUT]


def printable(text: str) -> str:
    r"""``text`` with every character that is not printable written as an escape.

    >>> printable("a\nerror: b\x1b[31m")
    'a\\nerror: b\\x1b[31m'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _text_lines(level: str, message: str, fields: dict[str, object]) -> str:
    # People read the message, which says what matters; the fields are for programs, and for whoever looks for a fault.
    shows = level == "debug"
    details = " ".join(
        f"{name}={value}" for name, value in fields.items() if shows and name not in ("hint", "excerpt") and value is not None
    )
    shown = {"warn": "warning", "error": "error"}.get(level, level)
    line = f"{shown}: {printable(message)}" + (f" ({printable(details)})" if details else "") + "\n"
    excerpt = fields.get("excerpt")
    if isinstance(excerpt, tuple) and printable(excerpt[0]) == excerpt[0]:
        line += f"  {excerpt[0]}\n  {' ' * excerpt[1]}^\n"
    hint = fields.get("hint")
    return line + (f"hint: {printable(str(hint))}\n" if hint else "")


def _json_line(level: str, message: str, fields: dict[str, object]) -> str:
    import json
    import time

    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
    line = {"time": stamp, "level": level, "msg": message, **{k: v for k, v in fields.items() if v is not None}}
    return json.dumps(line, default=str) + "\n"
