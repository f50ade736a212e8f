"""Explains why a program did not start on a node that is reached with ssh or another command.

Knows what ssh, its jump hosts, login shells and old interpreters print; must not know how the program is sent, nor what it prints.

Sources: ssh(1) (exit status 255 is ssh's own; any other is that of the command there). A jump host or ProxyCommand that fails leaves ssh
without a peer: it prints ``UNKNOWN port 65535``, after what the jump host's own ssh has printed. Shells exit with 127 for a command that
is not found and 126 for one that cannot be executed (POSIX.1-2017, Shell Command Language 2.8.2); tcsh exits with 1. Python before 3.4
does not have the option -I.
"""

from __future__ import annotations

from eidos.fleet.bootstrap import MINIMUM_PYTHON, error_line, first_line
from eidos.fleet.summary import NoAnswer

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


def explain_failure(host: str, command: str, status: int, output: bytes, errors: str, python: str) -> NoAnswer:
    """Return why ``command``, which ended with ``status``, did not start ``python`` on ``host``."""
    lines = [line.strip() for line in errors.replace("\r", "\n").splitlines() if line.strip()]
    if status == 255 and any(_NO_PEER in line for line in lines):
        return _explain_jump(host, lines)
    name = python.rpartition("/")[2]
    of_python = [line for line in lines if name in line]
    if any(line.startswith("Unknown option: -I") for line in lines):
        needed = ".".join(map(str, MINIMUM_PYTHON))
        return NoAnswer(f"{python} on the node is older than 3.4; {needed} or newer is required", _PYTHON_HINT)
    if status != 255:
        broken = _matching(of_python, _NOT_EXECUTABLE)
        if broken or status == 126:
            return NoAnswer(f"{python} cannot be executed" + (f": {broken or lines[0]}" if lines else ""), _PYTHON_HINT)
        missing = _matching(of_python, _NOT_FOUND)
        if missing or status == 127:
            return NoAnswer(f"{python} not found" + (f": {missing or lines[0]}" if lines else ""), _INSTALL_HINT)
    hint = next((hint for text, hint in _HINTS.items() if text in errors), None)
    return NoAnswer(error_line(errors) or first_line(output) or f"{command} exited with status {status}", hint)


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
