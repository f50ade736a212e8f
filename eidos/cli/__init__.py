"""The command line as a process: from arguments and environment to a verb, and from a failure or a signal to an exit status.

Knows the order in which a command line is read, and how the process ends; must not know any verb: ``commands`` lists them. Every
start of the program imports this file, so it imports almost nothing: ``--version`` and ``--help`` are answered before a flag is parsed.
"""

from __future__ import annotations

import os
import sys

from eidos import log
from eidos.cli.commands import BUILT_FOR, COMMANDS, LEFT_OUT, VERB_FLAGS, load_verb_module, load_verbs
from eidos.cli.exit_status import INVALID, status_of_error
from eidos.errors import EidosError, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import NoReturn

    from eidos.cli.options import Values, Verb


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: ``sys.argv[1:]``) and return the exit status; failures are logged to standard error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    first = arguments[0] if arguments else "help"
    try:
        if len(arguments) <= 1 and VERB_FLAGS.get(first, first) in ("help", "version"):
            return _print(load_verb_module(VERB_FLAGS.get(first, first)).text())
        return _run(arguments)
    except EidosError as fault:
        if _find_interrupt(fault):
            raise
        if log.shows("debug") and not isinstance(fault, InvalidInput):
            _log_traceback(fault)
        if _is_closed_pipe(fault):
            return CLOSED_PIPE
        log.error(fault.message, hint=fault.hint, excerpt=fault.excerpt)
        return status_of_error(fault)
    except ModuleNotFoundError as fault:
        if not BUILT_FOR or not (fault.name or "").startswith("eidos."):
            raise
        log.error(f"{fault.name} is missing: this file was built for {BUILT_FOR}", hint=FULL_FILE)
        return INVALID


def _is_closed_pipe(fault: EidosError) -> bool:
    """Whether the reader of our output has closed its pipe, as ``head`` does: other tools end silently, on SIGPIPE."""
    if not isinstance(fault.__cause__, BrokenPipeError):
        return False
    from eidos.files.atomic_write import Unwritable

    return isinstance(fault, Unwritable)


def _run(arguments: list[str]) -> int:
    from eidos.cli import user_config
    from eidos.cli.arguments import check_arguments, parse_arguments, split_verb
    from eidos.cli.options import GLOBAL_OPTIONS, LOGGING

    # Logging comes first, so that a mistake anywhere else is logged at the requested level and in the requested format.
    logging_flags = parse_arguments(arguments, LOGGING).flags
    _configure_logging(user_config.resolve_options(LOGGING, logging_flags, os.environ))
    name, rest = split_verb(arguments, GLOBAL_OPTIONS, VERB_FLAGS)
    if name is None:
        raise InvalidInput("no command given", "run 'eidos --help' for a list of commands")
    name = VERB_FLAGS.get(name, name)
    if BUILT_FOR:
        _refuse_left_out(name, rest)
    if name not in COMMANDS:
        from eidos.cli.help import TOPICS
        from eidos.wording import did_you_mean

        is_topic = name in TOPICS
        hint = f"run 'eidos help {name}'" if is_topic else did_you_mean(name, COMMANDS, "run 'eidos --help' for a list of commands")
        raise InvalidInput(f"unknown command {name!r}", hint)
    module = load_verb_module(name)
    verb: Verb = module.VERB
    parsed = parse_arguments(rest, verb.options)
    if parsed.wants_help:
        from eidos.cli.help import explain_verb
        from eidos.cli.help_pages import subcommand_page

        return _print(explain_verb(subcommand_page(verb, parsed.operands)))
    config = user_config.read_user_config(user_config.config_path(os.environ))
    _configure_logging(user_config.resolve_options(LOGGING, logging_flags, os.environ, config, name))
    if not BUILT_FOR:  # settings of the verbs that were left out are valid, too
        config.check(load_verbs)
        user_config.check_environment(os.environ, load_verbs)
    check_arguments(parsed, verb)
    values = user_config.resolve_options(verb.options, parsed.flags, os.environ, config, name)
    values.update(zip((operand.name for operand in verb.operands), parsed.operands))
    user_config.check_file_systems(verb, values)
    status: int = module.run(values)
    return status


def _refuse_left_out(name: str, rest: Sequence[str]) -> None:
    """Raise InvalidInput for a command, or a page of the manual, that a file for one purpose was built without."""
    from eidos.cli.help import MANUAL

    if name in LEFT_OUT:
        raise InvalidInput(f"no command {name!r}: this file was built for {BUILT_FOR}", FULL_FILE)
    if name == "help" and rest and (rest[0] in LEFT_OUT or (rest[0] in MANUAL and rest[0] not in COMMANDS)):
        raise InvalidInput(f"no page {rest[0]!r}: this file was built for {BUILT_FOR}", FULL_FILE)


def _configure_logging(values: Values) -> None:
    log.configure(values["log-level"], values["log-format"])


def _print(text: str) -> int:
    from eidos.files.atomic_write import write_stdout

    write_stdout(text.encode())
    return 0


def _log_traceback(fault: BaseException) -> None:
    """Log where ``fault`` and its causes were raised; what a library says of a value may hold a secret, and is redacted."""
    import traceback

    from eidos.redact.secrets_in_text import redact_text

    cause: BaseException | None = fault
    while cause is not None:
        message = str(cause) if cause is fault and isinstance(fault, EidosError) else redact_text(str(cause))[0]
        for line in "".join([*traceback.format_tb(cause.__traceback__), f"{type(cause).__name__}: {message}"]).splitlines():
            log.debug(line)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
        if cause is not None:
            log.debug("caused by:")


#: Signals that end the program: SIGHUP, SIGINT, SIGTERM (signal(7)), and the message for each.
ENDING_SIGNALS = {1: "hung up", 2: "interrupted", 15: "terminated"}


#: Exit status when the reader of the output is gone: that of a process that SIGPIPE (13) ended, in a shell.
CLOSED_PIPE = 128 + 13

#: Containers that are allocated before the cycle collector looks at the youngest: most commands end before there is any garbage for it.
GC_ALLOCATIONS = 100_000

#: What to do about a command that a file for one purpose was built without.
FULL_FILE = "use the full eidos.pyz"

#: What to do about a Python without parts of its standard library, such as Debian's python3-minimal.
COMPLETE_PYTHON = "install the whole of Python 3, on Debian and Ubuntu with 'apt-get install python3'"


class Interrupted(KeyboardInterrupt):
    """Signal ``number`` is ending the program."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def program() -> NoReturn:
    """Run the command line as the process: signals, unforeseen failures, and a prompt exit.

    It leaves with ``os._exit``, so nothing that was abandoned (a thread in a system call) can delay the exit. A signal travels
    as an exception to here, so the ``finally`` around a file that is half written removes it.
    """
    sys.excepthook = _exit_on_exception
    sys.unraisablehook = _exit_on_lost_interrupt
    __import__("gc").set_threshold(GC_ALLOCATIONS)
    signal = __import__("_signal")  # ``signal`` itself would import ``enum``
    for number in ENDING_SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):  # nohup ignores SIGHUP on our behalf
            signal.signal(number, _raise_interrupted)
    _exit(main())


def _raise_interrupted(number: int, _frame: object) -> NoReturn:
    signal = __import__("_signal")
    for other in ENDING_SIGNALS:  # a second one would cut the clean-up short; of SIG_IGN Python complains when one is pending
        signal.signal(other, _ignore_signal)
    raise Interrupted(number)


def _ignore_signal(_number: int, _frame: object) -> None:
    pass


def _exit_on_lost_interrupt(lost: sys.UnraisableHookArgs) -> None:
    """Exit on an interrupt in a callback of Python (the importer's, a destructor's), which drops exceptions."""
    if isinstance(lost.exc_value, KeyboardInterrupt):
        _exit_on_exception(lost.exc_type, lost.exc_value, None)
    sys.__unraisablehook__(lost)


def _find_interrupt(fault: BaseException | None) -> KeyboardInterrupt | None:
    """The interrupt behind a failure, if there is one: an error in the clean-up after a signal is not the cause of the end."""
    while fault is not None and not isinstance(fault, KeyboardInterrupt):
        fault = fault.__context__
    return fault


def _exit_on_exception(kind: type[BaseException], fault: BaseException | None, _: TracebackType | None) -> None:
    """Log in one line what ended the program, and exit."""
    interrupt = _find_interrupt(fault)
    if interrupt:
        number = interrupt.number if isinstance(interrupt, Interrupted) else 2
        log.error(ENDING_SIGNALS[number])
        _exit(128 + number)
    if fault is not None and log.shows("debug"):
        _log_traceback(fault)
    if isinstance(fault, ModuleNotFoundError) and _is_standard_library(fault.name or ""):
        log.error(
            f"{sys.executable} has no module {fault.name!r}: a part of Python's standard library is not installed", hint=COMPLETE_PYTHON
        )
        _exit(1)
    hint = "this is a bug in eidos; run it again with --debug and report the output"
    log.error(f"internal error: {kind.__name__}: {fault}", hint=None if log.shows("debug") else hint)
    _exit(1)


def _is_standard_library(module: str) -> bool:
    """Whether a missing module is Python's own: eidos carries every other one that it imports."""
    return module.partition(".")[0] not in ("", "eidos", "yaml", "pynvml")


def _exit(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed or never opened; documents are flushed when they are written
            pass
    os._exit(status)
