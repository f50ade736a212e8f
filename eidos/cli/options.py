"""The options and operands of a verb, as data: one row an option.

Knows flags, converters and the options that every verb has; must not know the verbs, nor where a value comes from. The parser
(``arguments``), the environment and the configuration file (``user_config``), ``--help`` and the completion scripts all read
these rows, so an option is described once.

Not ``argparse``: its import and use cost 23 ms of CPython 3.12 before the first collector could begin, half of what a complete
snapshot may take, and its messages name neither the valid values nor the nearest.
"""

from __future__ import annotations

from eidos.duration import parse_duration
from eidos.errors import InvalidInput
from eidos.model.record import Record, replace
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Union

    from eidos.model.plugin import Plugin

    ValuesByName = dict[str, Any]
    #: Valid values and what each means, or a function that gives them.
    Choices = Union[dict[str, str], Callable[[], dict[str, str]]]
else:
    ValuesByName = dict


#: What separates the values of an option that takes several.
COMMA = ","


class Values(ValuesByName):
    """The value of each option and operand of a verb, by name.

    ``origins`` names, for each option that is set, the flag, the variable or the key of the configuration file that sets it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.origins: dict[str, str] = {}


def parse_text(value: str) -> str:
    """Text that is not empty; InvalidInput for bytes that are not UTF-8, which Python hands over as lone surrogates (PEP 383)."""
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise InvalidInput(f"{value!r} is not UTF-8")
    return _not_empty(value)


def _not_empty(value: str) -> str:
    if not value:
        raise InvalidInput("the value is empty")
    return value


def parse_path(value: str) -> str:
    """A path; InvalidInput for what no file system can hold."""
    if "\0" in value:
        raise InvalidInput(f"invalid path {value!r}: contains a NUL character")
    return _not_empty(value)


def parse_timeout(value: str) -> float:
    """A duration in seconds; InvalidInput unless it is positive."""
    seconds = parse_duration(value)
    if seconds <= 0:
        raise InvalidInput(f"invalid duration {value!r}: must be positive", "write a duration like 10s or 1m30s")
    return seconds


def parse_integer(value: str, quantity: str, minimum: int, maximum: int) -> int:
    """A whole number between two bounds, both included; ``quantity`` names it in messages."""
    if not (value.isascii() and value.isdigit()) or len(value) > 12 or not minimum <= int(value) <= maximum:
        raise InvalidInput(f"invalid {quantity} {value!r}: expected a whole number from {minimum} to {maximum}")
    return int(value)


def parse_port(value: str) -> int:
    """A TCP port; 0 is any that is free."""
    return parse_integer(value, "port", 0, 65535)


def parse_address(value: str) -> str:
    """A host name or an IP address, also in the brackets of a URL, without a port.

    >>> parse_address("[::1]"), parse_address("localhost")
    ('::1', 'localhost')
    """
    address = parse_text(value)
    if address[0] == "[" and address[-1] == "]":
        address = address[1:-1]
    if "/" in address or "[" in address or address.count(":") == 1:
        raise InvalidInput(f"invalid address {value!r}: expected a host name or an IP address", "use --port for the port")
    return address


def parse_switch(value: str) -> bool:
    """On or off, for an option that needs no value: ``--debug=false``, ``EIDOS_VOLATILE=1``."""
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if value.lower() not in words:
        raise InvalidInput(f"invalid value {value!r}; expected true or false")
    return words[value.lower()]


class Option(Record):
    """One option: ``--name`` as a flag, ``EIDOS_NAME`` in the environment, ``name`` in the configuration file.

    ``metavar`` is None for a switch; ``default`` is written as a user would write it. ``choices`` take the place of ``convert``.
    ``multiple`` takes several values, by comma or by repetition (with ``split_commas`` off by repetition alone, because a comma
    may be part of a value); of any other option the last value counts. ``shorthand_for`` makes a switch another way to write
    ``--NAME VALUE``. ``flag_only`` options are neither in the environment nor in the file. ``completion`` is ``file`` or
    ``folder``. ``fallback_variable`` is one that platforms set; it counts when ours is not set. ``implied`` is the value of the flag
    without one.
    """

    name: str
    help: str
    metavar: str | None = None
    short: str | None = None
    default: str | None = None
    convert: Callable[[str], Any] = parse_text
    choices: Choices | None = None
    multiple: bool = False
    split_commas: bool = True
    shorthand_for: tuple[str, str] | None = None
    flag_only: bool = False
    completion: str | None = None
    fallback_variable: str | None = None
    implied: str | None = None

    @property
    def flag(self) -> str:
        """The option as a flag."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable of the option."""
        return "EIDOS_" + self.name.upper().replace("-", "_")

    def valid_values(self) -> dict[str, str]:
        """Valid values and what each means; empty when any value is valid that converts."""
        return (self.choices() if callable(self.choices) else self.choices) or {}

    def parse_value(self, text: str) -> Any:
        """The value that ``text`` stands for; InvalidInput names it, and what is valid."""
        if self.metavar is None:
            return parse_switch(text)
        if self.choices is None:
            return self.convert(text)
        return parse_choice(text, self.valid_values())


#: Where the names of collectors are listed: no other choices of a flag are too many for a message.
COLLECTOR_LIST = "'eidos snapshot --list'"


def parse_choice(value: str, valid: Iterable[str]) -> str:
    """``value`` if it is one of ``valid``; else InvalidInput lists them and suggests the nearest.

    >>> parse_choice("xml", ["yaml", "json"])
    Traceback (most recent call last):
    eidos.errors.InvalidInput: invalid value 'xml'; expected one of yaml, json
    """
    valid = list(valid)
    if value not in valid:
        from eidos.wording import list_words

        raise InvalidInput(f"invalid value {value!r}; expected one of {list_words(valid, COLLECTOR_LIST)}", did_you_mean(value, valid))
    return value


class Operand(Record):
    """A positional argument: its ``name``, what it means, and its valid values.

    Without ``choices`` any value is valid that ``convert`` takes; ``completion`` is ``file`` or ``folder`` then. ``choices_after`` are its
    values by the operand before it, for completion.
    """

    name: str
    help: str
    choices: Choices | None = None
    required: bool = True
    convert: Callable[[str], Any] = parse_text
    completion: str | None = None
    choices_after: dict[str, dict[str, str]] = {}

    def valid_values(self) -> dict[str, str]:
        """Valid values and what each means."""
        return (self.choices() if callable(self.choices) else self.choices) or {}


class Verb(Record):
    """What a verb takes and how its help describes it.

    ``description`` are paragraphs; ``examples`` pairs of a command line and what it does; ``notes`` more paragraphs, after the flags.
    """

    name: str
    description: tuple[str, ...]
    options: tuple[Option, ...] = ()
    operands: tuple[Operand, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


FORMATS = {"yaml": "for programs and people", "json": "for programs", "table": "for people"}

OUTPUT = Option("output", "write to FILE, - for standard output", "FILE", "o", "-", parse_path, completion="file")
#: For a verb whose output must not go where the environment sends snapshots.
FLAG_OUTPUT = replace(OUTPUT, flag_only=True)
FORMAT = Option("format", "set the output format", "FORMAT", "t", None, choices=FORMATS)

LEVELS = {"debug": "everything", "info": "each step", "warn": "what needs attention", "error": "failures only"}

#: Logging to standard error; every verb has these.
LOGGING = (
    Option("log-level", "set the minimum log level", "LEVEL", None, "warn", choices=LEVELS),
    Option("debug", "the same as --log-level debug, with tracebacks", shorthand_for=("log-level", "debug"), flag_only=True),
    Option("quiet", "the same as --log-level error", short="q", shorthand_for=("log-level", "error"), flag_only=True),
    Option(
        "log-format",
        "set the log format",
        "FORMAT",
        None,
        "text",
        choices={"text": "for people", "json": "one JSON object per line"},
    ),
)

#: Flags that may also precede the verb.
GLOBAL_OPTIONS = (OUTPUT, FORMAT, *LOGGING)


def _open_plugin(path: str) -> Plugin:
    from eidos.cli.path_access import PATH_TIMEOUT_S, check_file_system
    from eidos.cli.plugins import open_plugin

    check_file_system("--plugin", path, PATH_TIMEOUT_S)
    return open_plugin(parse_path(path))


#: The first option of a verb that has it: others name its collectors. No variable sets it, because it is code that runs.
PLUGIN = Option(
    "plugin",
    "add collectors, checks and recipe data of this folder, which you trust; repeatable",
    "DIR",
    convert=_open_plugin,
    multiple=True,
    split_commas=False,
    flag_only=True,
    completion="folder",
)

HELP = Option("help", "show this help", short="h", flag_only=True)
