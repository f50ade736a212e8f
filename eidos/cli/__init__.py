"""The command line: which verbs there are, and what becomes of a failure.

Knows the verbs by name and the exit status of each kind of failure; must not know what a verb does. Every start of the program
imports this file, so it imports almost nothing: ``--version`` and ``--help`` are answered from here before a flag is read.

To add a verb, write ``eidos/cli/<verb>.py`` with ``VERB`` (an :class:`~eidos.cli.options.Verb`) and ``run(values) -> int``, and add
its row to :data:`COMMANDS`.
"""

from __future__ import annotations

import os
import sys

from eidos import log
from eidos.errors import EidosError, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any, NoReturn

    from eidos.cli.options import Values, Verb

#: Verb → its module, and what it does in one line.
COMMANDS = {
    "snapshot": ("eidos.cli.snapshot", "say what this node is: OS, systemd, GPU, Kubernetes"),
    "recipe": ("eidos.cli.recipe", "say what a node should be: readings, constraints, components"),
    "bundle": ("eidos.cli.bundle", "say how to get there: values, manifests, scripts from a recipe"),
    "fleet": ("eidos.cli.fleet", "say which of many nodes is different"),
    "verify": ("eidos.cli.verify", "say whether a bundle is still what it was made as"),
    "manifest": ("eidos.cli.manifest", "print what runs eidos in a cluster: the agent, or the server"),
    "serve": ("eidos.cli.serve", "answer the same questions over HTTP"),
    "completion": ("eidos.cli.completion", "print the script that completes eidos in a shell"),
    "version": ("eidos.cli.version", "print version, commit, Python and recipe data"),
    "help": ("eidos.cli.help", "explain eidos, or one of its commands"),
}

#: Flags that do what a verb does.
AS_FLAGS = {"--version": "version", "-V": "version", "--help": "help", "-h": "help"}

#: Code of a failure → exit status; any other is 1.
EXIT_STATUS = {"invalid-input": 2, "invalid-data": 2, "not-found": 2, "integrity": 5, "timeout": 124}

#: Exit statuses and what they mean, for ``--help``.
MEANINGS = {
    0: "done",
    1: "failed",
    2: "wrong usage or invalid input",
    3: "incomplete: written, but something required is missing",
    4: "findings: a check failed, or two documents differ",
    5: "integrity: a checksum or a signature does not hold",
    124: "deadline reached before anything could be written",
    130: "interrupted (143: terminated)",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Do what ``argv`` (default: ``sys.argv[1:]``) says and return the exit status; failures are said on standard error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    first = arguments[0] if arguments else "help"
    try:
        if len(arguments) <= 1 and AS_FLAGS.get(first, first) in ("help", "version"):
            return _print(module(AS_FLAGS.get(first, first)).text())
        return _run(arguments)
    except EidosError as fault:
        if _interruption(fault):
            raise
        if log.shows("debug") and not isinstance(fault, InvalidInput):
            _trace(fault)
        log.error(fault.message, hint=fault.hint, excerpt=fault.excerpt)
        return EXIT_STATUS.get(fault.code, 1)


def module(verb: str) -> Any:
    """The module of a verb."""
    return __import__(COMMANDS[verb][0], fromlist=["VERB"])


def verbs() -> list[Verb]:
    """All verbs; this imports all their modules."""
    return [module(name).VERB for name in COMMANDS]


def _run(arguments: list[str]) -> int:
    from eidos.cli import user_config
    from eidos.cli.arguments import check, read, split
    from eidos.cli.options import BEFORE_THE_VERB, LOGGING

    # How to talk comes first, so that whatever is wrong with the rest is said in the way that was asked for.
    talking = read(arguments, LOGGING).flags
    _talk(user_config.resolve(LOGGING, talking, os.environ))
    name, rest = split(arguments, BEFORE_THE_VERB, AS_FLAGS)
    if name is None:
        raise InvalidInput(f"no command is given; there are {', '.join(COMMANDS)}", "'eidos --help' explains them")
    name = AS_FLAGS.get(name, name)
    if name not in COMMANDS:
        from eidos.suggest import did_you_mean

        hint = did_you_mean(name, COMMANDS, "'eidos --help' explains them")
        raise InvalidInput(f"{name!r} is no command of eidos; there are {', '.join(COMMANDS)}", hint)
    chosen = module(name)
    verb: Verb = chosen.VERB
    given = read(rest, verb.options)
    if given.wants_help:
        from eidos.cli.help import explain

        return _print(explain(verb))
    config = user_config.read_config(user_config.config_path(os.environ))
    _talk(user_config.resolve(LOGGING, talking, os.environ, config, name))
    config.check(verbs)
    user_config.check_environment(os.environ, verbs)
    check(given, verb)
    values = user_config.resolve(verb.options, given.flags, os.environ, config, name)
    values.update(zip((operand.name for operand in verb.operands), given.operands))
    status: int = chosen.run(values)
    return status


def _talk(values: Values) -> None:
    log.configure(values["log-level"], values["log-format"])


def _print(text: str) -> int:
    from eidos.files.atomic_write import write_stdout

    write_stdout(text.encode())
    return 0


def _trace(fault: BaseException) -> None:
    import traceback

    for line in "".join(traceback.format_exception(type(fault), fault, fault.__traceback__)).splitlines():
        log.debug(line)


#: Signals that ask the program to end: SIGHUP, SIGINT, SIGTERM (signal(7)), and what is said of each.
ENDING = {1: "hung up", 2: "interrupted", 15: "terminated"}


class Interrupted(KeyboardInterrupt):
    """A signal asked the program to end; ``number`` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def program() -> NoReturn:
    """Run the command line as the whole process: signals, failures that nobody foresaw, and a prompt exit.

    It leaves with ``os._exit``, so nothing that was abandoned (a thread in a system call) can hold the exit up. What ends the
    program early is an exception on the way there: files half written are removed by the ``finally`` of whoever writes them.
    """
    sys.excepthook = _last_words
    sys.unraisablehook = _unraisable
    signal = __import__("_signal")  # ``signal`` itself would import ``enum``
    for number in ENDING:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):  # not one that was ignored for us, by nohup
            signal.signal(number, _interrupt)
    _leave(main())


def _interrupt(number: int, _frame: object) -> NoReturn:
    signal = __import__("_signal")
    for other in ENDING:  # a second one would end the clean-up half-way; SIG_IGN makes Python complain of one that is there already
        signal.signal(other, _once_is_enough)
    raise Interrupted(number)


def _once_is_enough(_number: int, _frame: object) -> None:
    pass


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """A signal that arrives while Python runs a callback of its own (the importer's, a destructor's) is not lost."""
    if isinstance(lost.exc_value, KeyboardInterrupt):
        _last_words(lost.exc_type, lost.exc_value, None)
    sys.__unraisablehook__(lost)


def _interruption(fault: BaseException | None) -> KeyboardInterrupt | None:
    """The signal behind a failure, if there is one: what a clean-up ran into after a signal is not what happened."""
    while fault is not None and not isinstance(fault, KeyboardInterrupt):
        fault = fault.__context__
    return fault


def _last_words(kind: type[BaseException], fault: BaseException | None, _: TracebackType | None) -> None:
    """Say in a line what ended the program, and end it."""
    signal = _interruption(fault)
    if signal:
        number = signal.number if isinstance(signal, Interrupted) else 2
        log.error(f"{ENDING[number]} by signal {number}")
        _leave(128 + number)
    if fault is not None and log.shows("debug"):
        _trace(fault)
    hint = "this is a fault of eidos; run it again with --debug to see where, and please report it"
    log.error(f"internal error: {kind.__name__}: {fault}", hint=None if log.shows("debug") else hint)
    _leave(1)


def _leave(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed or never opened; what mattered was flushed when it was written
            pass
    os._exit(status)
