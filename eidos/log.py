"""The log on standard error: text for people, or one JSON object a line for programs.

Knows levels, formats and their colours; must not know what is logged. Not ``logging``: its import alone is a tenth of a start. Control
characters are escaped, so nothing read from a host can forge a line or steer a terminal.
"""

from __future__ import annotations

import sys
from _thread import _local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Callable

    Sink = Callable[[str, str, dict[str, object]], None]

LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40}

#: Bytes that a pipe takes all at once or not at all (pipe(7), PIPE_BUF).
PIPE_BUF = 4096

#: Longest word of a message for people, in characters; longer ones are cut.
WORD_LIMIT = 500

#: ``fields`` of all lines of a thread.
_thread = _local()


class _State:
    threshold = LEVELS["warn"]
    json = False
    may_block = True
    sink: Sink | None = None


#: Messages that are shown once, and have been.
_shown_once: dict[str, object] = {}


def configure(level: str = "warn", fmt: str = "text") -> None:
    """Set the minimum level (a key of :data:`LEVELS`) and the format, ``text`` or ``json``."""
    _State.threshold = LEVELS[level]
    _State.json = fmt == "json"


def never_block() -> None:
    """From now on drop a line rather than block while the pipe is full: for a server, whose clients would wait."""
    _State.may_block = False


def shows(level: str) -> bool:
    """Whether lines of ``level`` are shown: for a caller to whom making one is expensive."""
    return LEVELS[level] >= _State.threshold


def is_json() -> bool:
    """Whether lines are JSON objects: for a caller that writes lines itself."""
    return _State.json


class Context:
    """Adds ``fields`` to all lines of this thread inside a ``with``, to those of another one around it, too."""

    def __init__(self, **fields: object) -> None:
        self._fields = fields
        self._outer: dict[str, object] = {}

    def __enter__(self) -> None:
        self._outer = getattr(_thread, "fields", {})
        _thread.fields = {**self._outer, **self._fields}

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        _thread.fields = self._outer


def divert(sink: Sink | None) -> None:
    """Pass every line to ``sink(level, message, fields)`` instead of stderr: a child process sends them to its parent."""
    _State.sink = sink


def debug(message: str, **fields: object) -> None:
    """Log a detail for debugging."""
    emit("debug", message, fields)


def info(message: str, **fields: object) -> None:
    """Log a step."""
    emit("info", message, fields)


def warn(message: str, **fields: object) -> None:
    """Log what needs attention; ``hint=`` says what to do about it, ``once=True`` shows the message no second time."""
    emit("warn", message, fields)


def error(message: str, **fields: object) -> None:
    """Log a failure; ``hint=`` says what to do about it, ``excerpt=(text, index)`` shows its place in a text."""
    emit("error", message, fields)


def emit(level: str, message: str, fields: dict[str, object]) -> None:
    """Write one line of ``level``, unless it is below the threshold; a closed or full stream is no error."""
    if LEVELS[level] < _State.threshold:
        return
    fields = {**getattr(_thread, "fields", {}), **fields}
    if _State.sink is not None:
        _State.sink(level, message, fields)
        return
    if fields.pop("once", None) and _shown_once.setdefault(message, fields) is not fields:
        return
    message = _without_queries(message)  # what a user passed as a path may be a URL that is a secret
    if fields.get("hint"):
        fields["hint"] = _without_queries(str(fields["hint"]))
    lines = _json_line(level, message, fields) if _State.json else _text_lines(level, message, fields)
    try:
        if not _State.may_block and not _fits_now(len(lines.encode("utf-8", "replace"))):
            return
        sys.stderr.write(lines)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # closed, full, or never opened: nowhere left to log to
        pass


def _without_queries(text: str) -> str:
    """``text`` without the userinfo and the queries of its URLs."""
    if "://" not in text:
        return text
    from eidos.redact.urls_in_text import redact_urls

    return redact_urls(text)[0]


def _fits_now(size: int) -> bool:
    """Whether standard error takes ``size`` bytes without blocking: a pipe that is ready takes :data:`PIPE_BUF`."""
    import select

    poll = select.poll()
    poll.register(sys.stderr.fileno(), select.POLLOUT)
    return size <= PIPE_BUF and [event for _, event in poll.poll(0)] == [select.POLLOUT]


def printable(text: str) -> str:
    r"""``text`` with every character that is not printable written as an escape.

    >>> printable("a\nerror: b\x1b[31m")
    'a\\nerror: b\\x1b[31m'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def print_summary(lines: Iterable[str]) -> None:
    """Write lines to people on standard error; where it is closed or full, only the summary is lost."""
    from eidos.terminal import fit_locale

    try:
        sys.stderr.write(fit_locale("".join(f"{printable(_without_queries(line))}\n" for line in lines)))
    except (OSError, ValueError, AttributeError):
        pass


def utc_timestamp() -> str:
    """The time now, as RFC 3339 writes it, in milliseconds: ``2026-11-29T06:00:00.123Z``."""
    import time

    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"


def _text_lines(level: str, message: str, fields: dict[str, object]) -> str:
    # The message says what matters to people; the fields are for programs, and for debugging. A request has no other name than its id.
    names = [name for name in fields if name not in ("hint", "excerpt") and (level == "debug" or name == "request_id")]
    details = " ".join(f"{name}={fields[name]}" for name in names if fields[name] is not None)
    from eidos import terminal

    colour = terminal.shows_colour(_descriptor())
    label, shade = {"warn": ("warning:", terminal.YELLOW), "error": ("error:", terminal.RED)}.get(level, (f"{level}:", terminal.BOLD))
    line = (
        f"{terminal.paint(label, shade, colour)} {printable(_cut_words(message))}" + (f" ({printable(details)})" if details else "") + "\n"
    )
    excerpt = fields.get("excerpt")
    if isinstance(excerpt, tuple) and printable(excerpt[0]) == excerpt[0]:
        text, index = excerpt
        line += f"  {text}\n  {' ' * len(terminal.fit_locale(text[:index]))}^\n"
    if fields.get("hint"):
        line += f"{terminal.paint('hint:', terminal.CYAN, colour)} {printable(str(fields['hint']))}\n"
    return terminal.fit_locale(line)


def _cut_words(text: str) -> str:
    """``text`` without the ends of words that are too long to be read."""
    if len(text) <= WORD_LIMIT:
        return text
    from eidos.wording import shorten

    return " ".join(shorten(word, WORD_LIMIT) for word in text.split(" "))


def _descriptor() -> int:
    """The descriptor of standard error; -1 when it is closed, or no file."""
    try:
        return sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):
        return -1


def _json_line(level: str, message: str, fields: dict[str, object]) -> str:
    import json

    line = {"time": utc_timestamp(), "level": level, "msg": message, **{k: v for k, v in fields.items() if v is not None}}
    return json.dumps(line, default=str) + "\n"
