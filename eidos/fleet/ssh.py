"""Snapshots of hosts that are reached with ssh, or with the command of ``--via``.

Knows ssh's options, and what comes back; must not know what is done with a snapshot. ssh is the system's and
reads the user's own configuration; the options that are added keep it from asking questions (BatchMode), from waiting for a connection for
ever (ConnectTimeout), and from using a terminal (-T): ssh(1), ssh_config(5). It exits with the status of the command there, or with 255.
"""

from __future__ import annotations

from contextlib import closing

from eidos.errors import EidosError, InvalidInput
from eidos.fleet import bootstrap
from eidos.fleet.hostlist import split_port
from eidos.fleet.results import parse_snapshot
from eidos.fleet.ssh_errors import explain_failure
from eidos.fleet.summary import NoAnswer
from eidos.process.run import NOT_STARTED, OUTPUT_LIMIT_BYTES, TIMED_OUT, TOO_MUCH_OUTPUT, Command, run_programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from eidos.fleet.bootstrap import RemoteProgram
    from eidos.fleet.results import NodeAnswer
    from eidos.process.run import ProgramResult

#: Stands for the name of the host in ``--via``.
HOST = "{host}"

#: Stands for the option with the port, in the command of ours alone.
_PORT_OPTION = "{port-option}"

#: Seconds that connecting may take.
CONNECT_TIMEOUT_S = 15

#: Seconds that a program gets to end the work on the other machine (srun does) before it is killed.
GRACE_S = 0.5


def leading_command(via: str | None, timeout: float) -> list[str]:
    """Return the command that reaches ``{host}``; InvalidInput for one that does not contain it, or cannot be split into words."""
    if via is None:
        connect_timeout_s = max(1, min(CONNECT_TIMEOUT_S, int(timeout)))
        return ["ssh", "-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={connect_timeout_s}", _PORT_OPTION, "--", HOST]
    import shlex

    hint = f"write it like 'srun -w {HOST}'"
    try:
        parts = shlex.split(via)
    except ValueError as fault:
        raise InvalidInput(f"--via: {via!r}: {str(fault).lower()}", hint) from fault
    if not any(HOST in part for part in parts[1:]):
        raise InvalidInput(f"--via: {via!r} has no {HOST}", hint)
    return parts


def collect_over_ssh(
    hosts: Sequence[str], program: RemoteProgram, *, leading: Sequence[str], python: str = bootstrap.PYTHON, parallel: int, timeout: float
) -> Generator[tuple[str, NodeAnswer], None, None]:
    """Run ``program`` on each host and yield each answer as it arrives; ``leading`` is a :func:`leading_command`."""
    tail = bootstrap.python_command(python)
    commands = (Command((*_command_words(leading, host), *tail), stdin=program.text, label=host) for host in hosts)
    with closing(run_programs(commands, timeout_s=timeout, parallel=parallel, grace_s=GRACE_S)) as results:
        for result in results:
            yield result.command.label, _answer(result, program, python, timeout)


def _command_words(leading: Sequence[str], host: str) -> list[str]:
    """The words that reach ``host``; a port behind its name is ssh's option -p, and another command gets the name as it is."""
    if _PORT_OPTION not in leading:
        return [word.replace(HOST, host) for word in leading]
    address, port = split_port(host)
    at = leading.index(_PORT_OPTION)
    words = [*leading[:at], *(("-p", str(port)) if port is not None else ()), *leading[at + 1 :]]
    return [word.replace(HOST, address) for word in words]


def _answer(result: ProgramResult, program: RemoteProgram, python: str, timeout: float) -> NodeAnswer:
    tool, status = result.command.arguments[0], result.shell_status
    if result.outcome == NOT_STARTED:
        return NoAnswer(f"{tool}: {result.start_failure.lower()}", "install it, or use another command with --via")
    errors = result.errors.decode("utf-8", "replace")
    reason = bootstrap.error_line(errors)
    has_started = bootstrap.has_started(result.output, program.mark)
    if not has_started and bootstrap.is_echo(result.output):
        return NoAnswer("its input was echoed back", "remove options that allocate a terminal, such as -t, from --via")
    if result.outcome == TIMED_OUT:
        why = f"no result within {timeout:g} s" + (f": {reason}" if reason else "")
        return NoAnswer(why, "raise --timeout", "Timeout")
    if result.outcome == TOO_MUCH_OUTPUT:
        return NoAnswer(f"more output than {OUTPUT_LIMIT_BYTES >> 20} MiB")
    if not has_started and status != 0:
        return explain_failure(result.command.label, tool, status, result.output, errors, python)
    try:
        body = bootstrap.extract_output(result.output, program.mark)
        if not body.strip():
            status = bootstrap.exit_status(result.output, program.mark)
            return NoAnswer(reason or "no snapshot in its output" + (f" (exit status {status})" if status else ""))
        return parse_snapshot(body)
    except EidosError as fault:
        return NoAnswer(fault.message + (f" ({reason})" if reason and not has_started else ""), fault.hint)
