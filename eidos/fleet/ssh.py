"""Snapshots of hosts that are reached with ssh, or with the command of ``--via``.

Knows ssh's options and exit statuses, and what goes wrong on the way; must not know what is done with a snapshot. ssh is the system's and
reads the user's own configuration; the options that are added keep it from asking questions (BatchMode), from waiting for a connection for
ever (ConnectTimeout), and from using a terminal (-T): ssh(1), ssh_config(5). It exits with the status of the command there, or with 255.
"""

from __future__ import annotations

from contextlib import closing

from eidos.errors import EidosError, InvalidInput
from eidos.fleet import bootstrap
from eidos.fleet.results import parse_snapshot
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

#: Seconds that connecting may take.
CONNECT_TIMEOUT_S = 15

#: Seconds that a program gets to end the work on the other machine (srun does) before it is killed.
GRACE_S = 0.5

#: What ssh prints → hint.
_HINTS = {
    "Permission denied": "load a key into ssh-agent or set IdentityFile in ~/.ssh/config; ssh cannot prompt here",
    "Host key verification failed": "connect once with ssh to verify its key, or remove an old key with ssh-keygen -R HOST",
    "Could not resolve hostname": "check the name; a port belongs in ~/.ssh/config",
    "Connection refused": "check that sshd runs on that host and port",
    "timed out": "check that the host is up and no firewall blocks ssh",
    "No route to host": "check that the host is up and no firewall blocks ssh",
}


def leading_command(via: str | None, timeout: float) -> list[str]:
    """Return the command that reaches ``{host}``; InvalidInput for one that does not contain it, or cannot be split into words."""
    if via is None:
        return ["ssh", "-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={max(1, min(CONNECT_TIMEOUT_S, int(timeout)))}", "--", HOST]
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
    commands = (Command((*(word.replace(HOST, host) for word in leading), *tail), stdin=program.text, label=host) for host in hosts)
    with closing(run_programs(commands, timeout_s=timeout, parallel=parallel, grace_s=GRACE_S)) as results:
        for result in results:
            yield result.command.label, _answer(result, program, python, timeout)


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
    if not has_started and status == 127:
        return NoAnswer(f"{python} not found" + (f": {reason}" if reason else ""), "install it, or set its path with --python")
    if not has_started and status != 0:
        hint = next((hint for text, hint in _HINTS.items() if text in errors), None)
        return NoAnswer(reason or bootstrap.first_line(result.output) or f"{tool} exited with status {status}", hint)
    try:
        body = bootstrap.extract_output(result.output, program.mark)
        if not body.strip():
            status = bootstrap.exit_status(result.output, program.mark)
            return NoAnswer(reason or "no snapshot in its output" + (f" (exit status {status})" if status else ""))
        return parse_snapshot(body)
    except EidosError as fault:
        return NoAnswer(fault.message + (f" ({reason})" if reason and not has_started else ""), fault.hint)
