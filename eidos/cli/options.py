"""What can be said to a verb, as data: one row an option.

Knows flags, converters and the options that every verb has; must not know the verbs, nor where a value was written. The
parser (``arguments``), the environment and the configuration file (``settings``), ``--help`` and the completion scripts all
read these rows, so an option is described once.

Not ``argparse``: its import and use cost 23 ms of CPython 3.12 before the first collector could begin, half of what a whole
snapshot may take, and its messages name neither the valid values nor the nearest.
"""

from __future__ import annotations

from eidos.duration import parse_duration
from eidos.errors import InvalidInput
from eidos.model.record import Record, replace
from eidos.suggest import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Union

    Named = dict[str, Any]
    #: Valid values and what each means, or a function that knows them.
    Choices = Union[dict[str, str], Callable[[], dict[str, str]]]
else:
    Named = dict

#: What stands between the values of an option that takes several.
COMMA = ","


class Values(Named):
    """What ``arguments`` and ``settings`` hand to a verb: the value of each of its options and operands, by name.

    ``where`` tells of each option that was said what said it: the flag, the variable, or the key of the configuration file.
    """

    def __init__(self) -> None:
        super().__init__()
        self.where: dict[str, str] = {}


def text(value: str) -> str:
    """Any text but none; InvalidInput for bytes that are no UTF-8, which Python hands over as lone surrogates (PEP 383)."""
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise InvalidInput(f"{value!r} is not UTF-8")
    return _some(value)


def _some(value: str) -> str:
    if not value:
        raise InvalidInput("the value is empty")
    return value


def path(value: str) -> str:
    """A path; InvalidInput for what no file system can hold."""
    if "\0" in value:
        raise InvalidInput(f"{value!r} is no path: it holds a NUL")
    return _some(value)


def duration(value: str) -> float:
    """A time to wait, in seconds; InvalidInput when it is not more than nothing."""
    seconds = parse_duration(value)
    if seconds <= 0:
        raise InvalidInput(f"{value!r} leaves no time for anything", "write a duration like 10s or 1m30s")
    return seconds


def switch(value: str) -> bool:
    """On or off, for an option that needs no value: ``--debug=false``, ``EIDOS_VOLATILE=1``."""
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if value.lower() not in words:
        raise InvalidInput(f"{value!r} is neither true nor false")
    return words[value.lower()]


class Option(Record):
    """One option: ``--name`` as a flag, ``EIDOS_NAME`` in the environment, ``name`` in the configuration file.

    ``metavar`` is None for a switch. ``choices`` are valid values and what each means (or a function that gives them) and make
    ``convert`` needless. ``many`` takes several values, by comma or by repetition (without ``commas`` by repetition alone, because a
    comma may be part of a value); any other option takes the last it is given.
    ``sets`` makes a flag another way to write ``--<sets[0]> <sets[1]>``. ``anywhere`` is False for what is a flag only.
    ``default`` is written as a user would write it. ``completes`` is ``file`` or ``folder``. ``fallback`` is a variable that platforms set,
    which counts when ours is not set.
    """

    name: str
    help: str
    metavar: str | None = None
    short: str | None = None
    default: str | None = None
    convert: Callable[[str], Any] = text
    choices: Choices | None = None
    many: bool = False
    commas: bool = True
    sets: tuple[str, str] | None = None
    anywhere: bool = True
    completes: str | None = None
    fallback: str | None = None

    @property
    def flag(self) -> str:
        """How the option is written as a flag."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """How the option is called in the environment."""
        return "EIDOS_" + self.name.upper().replace("-", "_")

    def valid(self) -> dict[str, str]:
        """Valid values and what each means; none when any is valid that can be converted."""
        return (self.choices() if callable(self.choices) else self.choices) or {}

    def value(self, raw: str) -> Any:
        """``raw`` converted; InvalidInput names it, and what is valid."""
        if self.metavar is None:
            return switch(raw)
        if self.choices is None:
            return self.convert(raw)
        return one_of(raw, self.valid())


def one_of(value: str, valid: Iterable[str]) -> str:
    """``value`` if it is one of ``valid``; else InvalidInput lists them and suggests the nearest.

    >>> one_of("xml", ["yaml", "json"])
    Traceback (most recent call last):
    eidos.errors.InvalidInput: 'xml' is none of yaml, json
    """
    valid = list(valid)
    if value not in valid:
        raise InvalidInput(f"{value!r} is none of {', '.join(valid)}", did_you_mean(value, valid))
    return value


class Operand(Record):
    """An argument without a dash: its ``name``, what it means, its valid values; all that there are stand in ``choices``.

    Without ``choices`` anything is valid that ``convert`` takes; ``completes`` is ``file`` or ``folder`` then.
    """

    name: str
    help: str
    choices: Choices | None = None
    required: bool = True
    convert: Callable[[str], Any] = text
    completes: str | None = None

    def valid(self) -> dict[str, str]:
        """Valid values and what each means."""
        return (self.choices() if callable(self.choices) else self.choices) or {}


class Verb(Record):
    """What a verb takes and how it explains itself.

    ``about`` are paragraphs; ``examples`` pairs of a command line and what it does; ``notes`` more paragraphs, after the flags.
    """

    name: str
    about: tuple[str, ...]
    options: tuple[Option, ...] = ()
    operands: tuple[Operand, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


FORMATS = {"yaml": "for programs and people", "json": "for programs", "table": "for people"}

OUTPUT = Option("output", "write to this file, whole or not at all; - is standard output", "FILE", "o", "-", path, completes="file")
#: For a verb whose answer must not land where the environment says that snapshots go.
FLAG_OUTPUT = replace(OUTPUT, anywhere=False)
FORMAT = Option("format", "how to write it", "FORMAT", "t", None, choices=FORMATS)

LEVELS = {"debug": "everything", "info": "each step", "warn": "what needs attention", "error": "failures only"}

#: How a verb talks on standard error; every verb has these.
LOGGING = (
    Option("log-level", "the least important line to show on standard error", "LEVEL", None, "warn", choices=LEVELS),
    Option("debug", "the same as --log-level debug; failures come with a traceback", sets=("log-level", "debug"), anywhere=False),
    Option("quiet", "the same as --log-level error", short="q", sets=("log-level", "error"), anywhere=False),
    Option(
        "log-format",
        "how those lines are written: for people, or one JSON object each",
        "FORMAT",
        None,
        "text",
        choices={"text": "for people", "json": "one object a line"},
    ),
)

#: Flags that may stand before the verb, too.
BEFORE_THE_VERB = (OUTPUT, FORMAT, *LOGGING)

HELP = Option("help", "show this text", short="h", anywhere=False)
