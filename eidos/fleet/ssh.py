"""Snapshots of hosts that a program on this machine leads to: ssh, or what ``--via`` names.

Knows ssh's options and exit statuses, and what goes wrong on the way; must not know what is done with a snapshot. ssh is the system's
and reads the user's own configuration; all it is told besides is not to ask anybody (BatchMode), not to wait for ever for a connection
(ConnectTimeout), and that there is no terminal (-T): ssh(1), ssh_config(5). It ends with the status of the command there, or with 255.
"""

from __future__ import annotations

from contextlib import closing

from eidos.errors import EidosError, InvalidInput
from eidos.fleet import bootstrap
from eidos.fleet.summary import Silence
from eidos.process.run import NOT_STARTED, OUTPUT_LIMIT_BYTES, TIMED_OUT, TOO_MUCH_OUTPUT, Command, run_programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Union

    from eidos.fleet.bootstrap import Program
    from eidos.model.snapshot import Snapshot
    from eidos.process.run import ProgramResult

    Answer = Union[Snapshot, Silence]

#: What stands for a host's name.
HOST = "{host}"

#: Seconds that a connection may take to come about.
CONNECT = 15

#: Seconds that a program gets to end the work on the other machine (srun does) before it is killed.
GRACE_S = 0.5

#: What ssh says, and what may be done about it.
_HINTS = {
    "Permission denied": "ssh may ask nobody here: load a key into ssh-agent, or name one in ~/.ssh/config",
    "Host key verification failed": "connect once with ssh by hand and look at its key, or remove the old one with ssh-keygen -R",
    "Could not resolve hostname": "is the name right? ssh reads a port in ~/.ssh/config, not behind a name",
    "Connection refused": "is sshd running there, and on that port?",
    "timed out": "is the host up, and does a firewall let you through?",
    "No route to host": "is the host up, and does a firewall let you through?",
}


def words(via: str | None, timeout: float) -> list[str]:
    """The words of the command that leads to ``{host}``; InvalidInput for one that does not name it, or cannot be parted into words."""
    if via is None:
        return ["ssh", "-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={max(1, min(CONNECT, int(timeout)))}", "--", HOST]
    import shlex

    hint = f"write it like 'srun -w {HOST}'"
    try:
        parts = shlex.split(via)
    except ValueError as fault:
        raise InvalidInput(f"--via: {via!r}: {str(fault).lower()}", hint) from fault
    if not any(HOST in part for part in parts[1:]):
        raise InvalidInput(f"--via: {via!r} does not say where {HOST} belongs", hint)
    return parts


def ask(
    hosts: Sequence[str], program: Program, *, leading: Sequence[str], python: str = bootstrap.PYTHON, parallel: int, timeout: float
) -> Generator[tuple[str, Answer], None, None]:
    """Run ``program`` on each host and give what came of it, as it comes; ``leading`` are the :func:`words` before the command there."""
    tail = bootstrap.command(python)
    commands = (Command((*(word.replace(HOST, host) for word in leading), *tail), stdin=program.text, label=host) for host in hosts)
    with closing(run_programs(commands, timeout_s=timeout, parallel=parallel, grace_s=GRACE_S)) as results:
        for result in results:
            yield result.command.label, _answer(result, program, python, timeout)


def _answer(result: ProgramResult, program: Program, python: str, timeout: float) -> Answer:
    tool, status = result.command.arguments[0], result.shell_status
    if result.outcome == NOT_STARTED:
        return Silence(f"{tool}: {result.start_failure.lower()}", "install it, or name another way with --via")
    errors = result.errors.decode("utf-8", "replace")
    said = bootstrap.reason(errors)
    begun = bootstrap.has_begun(result.output, program.mark)
    if not begun and bootstrap.is_echo(result.output):
        return Silence("what it was sent came back", "a terminal in between does that: leave -t and the like out of --via")
    if result.outcome == TIMED_OUT:
        why = f"no answer within {timeout:g} s" + (f": {said}" if said else "")
        return Silence(why, "give it more time with --timeout", "Timeout")
    if result.outcome == TOO_MUCH_OUTPUT:
        return Silence(f"it printed more than {OUTPUT_LIMIT_BYTES >> 20} MiB")
    if not begun and status == 127:
        return Silence(f"there is no {python} there" + (f": {said}" if said else ""), "install it, or name it with --python")
    if not begun and status != 0:
        hint = next((hint for words, hint in _HINTS.items() if words in errors), None)
        return Silence(said or bootstrap.sample(result.output) or f"{tool} ended with status {status}", hint)
    try:
        body = bootstrap.answer(result.output, program.mark)
        if not body.strip():
            status = bootstrap.status(result.output, program.mark)
            return Silence(said or "it printed no snapshot" + (f" and ended with status {status}" if status else ""))
        return snapshot(body)
    except EidosError as fault:
        return Silence(fault.message + (f" ({said})" if said and not begun else ""), fault.hint)


def snapshot(body: bytes) -> Snapshot:
    """The snapshot in a JSON document; InvalidData when it is none."""
    from eidos import formats
    from eidos.model.snapshot import Snapshot

    return Snapshot.from_tree(formats.from_text(body, "its answer"), "its answer")
