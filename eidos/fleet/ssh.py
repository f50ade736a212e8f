"""Snapshots of hosts that are reached with ssh, or with the command of ``--via``, and why a host has none.

Knows ssh's options, and what ssh, its jump hosts, login shells and old interpreters print; must not know what is done with a snapshot. ssh
is the system's and reads the user's own configuration; the options that are added keep it from asking questions (BatchMode), from waiting
for a connection for ever (ConnectTimeout), and from using a terminal (-T): ssh(1), ssh_config(5).

It exits with the status of the command there, or with 255 for a failure of its own (ssh(1)). A jump host or ProxyCommand that fails leaves
ssh without a peer: it prints ``UNKNOWN port 65535``, after what the jump host's own ssh has printed. Shells exit with 127 for a command
that is not found and 126 for one that cannot be executed (POSIX.1-2017, Shell Command Language 2.8.2); tcsh exits with 1. Python before 3.4
does not have the option -I.
"""

from __future__ import annotations

from contextlib import closing

from eidos.errors import EidosError, InvalidInput
from eidos.fleet import bootstrap
from eidos.fleet.hostlist import split_port
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

#: Stands for the option with the port, in the command of ours alone.
_PORT_OPTION = "{port-option}"

#: Seconds that connecting may take.
CONNECT_TIMEOUT_S = 15

#: Seconds that a program gets to end the work on the other machine (srun does) before it is killed.
GRACE_S = 0.5

#: What ssh prints → hint.
_HINTS = {
    "Permission denied": "load a key into ssh-agent or set IdentityFile in ~/.ssh/config; ssh cannot prompt here",
    "Host key verification failed": "connect once with ssh to verify its key, or remove an old key with ssh-keygen -R HOST",
    "Could not resolve hostname": "check the name, or set HostName in ~/.ssh/config",
    "Connection refused": "check that sshd runs on that host and port",
    "timed out": "check that the host is up and no firewall blocks ssh",
    "No route to host": "check that the host is up and no firewall blocks ssh",
}

#: What ssh prints of a connection that a jump host or ProxyCommand was to make, and the lines that say only that it failed.
_NO_PEER = "UNKNOWN port 65535"
_CONSEQUENCES = (_NO_PEER, "kex_exchange_identification:", "ssh_exchange_identification:", "stdio forwarding failed", "banner exchange:")

#: What shells print of a program that they did not find, in lower case.
_NOT_FOUND = ("not found", "unknown command", "no such file or directory")
_NOT_EXECUTABLE = ("permission denied", "cannot execute", "exec format error", "required file not found")

_INSTALL_HINT = "install it, or set its path with --python"
_PYTHON_HINT = "choose another with --python, such as --python python3.11"


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
        return NoAnswer(f"{tool}: {result.start_failure}", "install it, or use another command with --via")
    errors = result.error_text(result.command.label, tool, python)
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


def explain_failure(host: str, command: str, status: int, output: bytes, errors: str, python: str) -> NoAnswer:
    """Return why ``command``, which ended with ``status``, did not start ``python`` on ``host``."""
    lines = [line.strip() for line in errors.replace("\r", "\n").splitlines() if line.strip()]
    if status == 255 and any(_NO_PEER in line for line in lines):
        return _explain_jump(host, lines)
    name = python.rpartition("/")[2]
    of_python = [line for line in lines if name in line]
    if any(line.startswith("Unknown option: -I") for line in lines):
        needed = ".".join(map(str, bootstrap.MINIMUM_PYTHON))
        return NoAnswer(f"{python} on the node is older than 3.4; {needed} or newer is required", _PYTHON_HINT)
    if status != 255:
        broken = _matching(of_python, _NOT_EXECUTABLE)
        if broken or status == 126:
            return NoAnswer(f"{python} cannot be executed" + (f": {broken or lines[0]}" if lines else ""), _PYTHON_HINT)
        missing = _matching(of_python, _NOT_FOUND)
        if missing or status == 127:
            return NoAnswer(f"{python} not found" + (f": {missing or lines[0]}" if lines else ""), _INSTALL_HINT)
    hint = next((hint for text, hint in _HINTS.items() if text in errors), None)
    reason = bootstrap.error_line(errors) or bootstrap.first_line(output, host, python)
    return NoAnswer(reason or f"{command} exited with status {status}", hint)


def _explain_jump(host: str, lines: list[str]) -> NoAnswer:
    causes = [line for line in lines if not any(text in line for text in _CONSEQUENCES)]
    hint = f"run 'ssh -v {host}' to see which connection fails"
    if not causes:
        return NoAnswer("the jump host (ProxyJump or ProxyCommand) closed the connection", hint)
    cause = causes[-1]
    if cause.startswith("channel "):  # channel 0: open failed: connect failed: Connection refused
        return NoAnswer(f"the jump host cannot reach the node: {cause.partition('open failed: ')[2] or cause}", hint)
    return NoAnswer(f"the jump host (ProxyJump or ProxyCommand) failed: {cause}", hint)


def _matching(lines: list[str], texts: tuple[str, ...]) -> str:
    return next((line for line in lines if any(text in line.lower() for text in texts)), "")
