"""The programs that sign and verify: ssh-keygen, gpg, openssl, cosign.

Knows how they are found and run, where their files are meanwhile, and which package has them; must not know their arguments.
"""

from __future__ import annotations

import contextlib
import os
import time

from eidos.errors import Timeout, Unavailable
from eidos.log import printable
from eidos.process.run import NOT_STARTED, TIMED_OUT, TOO_MUCH_OUTPUT, Command, run_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from eidos.process.run import ProgramResult

#: Program → what to install for it.
PACKAGES = {"ssh-keygen": "openssh-client", "gpg": "gnupg", "openssl": "openssl", "cosign": "cosign"}

#: Program → what it prints where it is too old for its arguments, and which version is needed. Ed25519 needs ``openssl pkeyutl -rawin``.
_TOO_OLD = {
    "ssh-keygen": ((b"option -- Y", b"option -- 'Y'", b"Unsupported operation for -Y"), "OpenSSH 8.2"),
    "openssl": ((b" -rawin", b"flag rawin"), "OpenSSL 3.0"),
}

#: Program → what to do about a key that has a passphrase.
UNLOCK_HINTS = {
    "ssh-keygen": "run 'ssh-add KEY', then sign with --key KEY.pub",
    "gpg": "unlock the key in its agent, or pass its passphrase with --passphrase-file",
    "openssl": "pass the passphrase of the key with --passphrase-file",
    "cosign": "pass the passphrase of the key with --passphrase-file or COSIGN_PASSWORD",
}

#: Bytes that such a program prints, at most; its output is a signature or a few lines.
OUTPUT_LIMIT_BYTES = 1 << 20

#: Characters of an error message of a program that are shown.
SHOWN_LIMIT = 300


def run_tool(arguments: tuple[str, ...], deadline: float, stdin: bytes = b"", environ: Mapping[str, str] | None = None) -> ProgramResult:
    """Run a program, the name first, until ``deadline`` of ``time.monotonic``.

    Raises Unavailable when it is not installed, is too old or crashes, Timeout at the deadline. It has no terminal: what would
    ask for a passphrase fails instead.
    """
    program = arguments[0]
    variables = {**os.environ, "LC_ALL": "C", "SSH_ASKPASS_REQUIRE": "never", **(environ or {})}
    result = run_program(Command(arguments, stdin=stdin, environ=variables), deadline, OUTPUT_LIMIT_BYTES)
    if result.outcome == NOT_STARTED:
        hint = f"install the package {PACKAGES[program]}" if isinstance(result.start_error, FileNotFoundError) else None
        raise Unavailable(f"cannot run {program}: {result.start_failure}", hint) from result.start_error
    if result.outcome == TIMED_OUT:
        raise Timeout(f"{program} timed out", "raise --timeout, or unlock the key first")
    if result.outcome == TOO_MUCH_OUTPUT:
        raise Unavailable(f"{program} printed more than {OUTPUT_LIMIT_BYTES >> 20} MiB")
    if result.status < 0 or result.status in (126, 127):  # a crash, a library that is missing
        raise Unavailable(f"cannot run {program}: {failure_reason(result)}")
    texts, version = _TOO_OLD.get(program, ((), ""))
    if result.status and any(text in result.errors for text in texts):
        raise Unavailable(f"this {program} is too old", f"install {version} or newer")
    return result


def run_signer(arguments: tuple[str, ...], deadline: float, stdin: bytes = b"", environ: Mapping[str, str] | None = None) -> bytes:
    """What a program prints that signs. Raises Unavailable when it fails, and as :func:`run_tool`."""
    result = run_tool(arguments, deadline, stdin, environ)
    if result.status:
        reason = failure_reason(result)
        hint = UNLOCK_HINTS.get(arguments[0]) if _asks_for_passphrase(result.errors) else None
        hint = "run 'chmod 600 KEY'" if b"are too open" in result.errors else hint
        raise Unavailable(f"{arguments[0]} cannot sign: {reason}", hint)
    return result.output


def _asks_for_passphrase(errors: bytes) -> bool:
    return any(word in errors.lower() for word in (b"passphrase", b"pinentry", b"password", b"incorrect", b"decrypt"))


def failure_reason(result: ProgramResult) -> str:
    """What a program printed on standard error, in one line, without secrets; its exit status when that is nothing."""
    lines = [line.strip("@ \t") for line in result.error_text(*PACKAGES).splitlines() if line.strip("@ \t")]  # ssh-keygen frames with @
    if result.command.arguments[0] == "openssl":  # what follows is where in its source it failed
        lines = lines[:1]
    return printable(" ".join(lines))[:SHOWN_LIMIT] or f"exit status {result.status}"


def deadline_after(timeout_s: float) -> float:
    """The time of ``time.monotonic`` at which everything must be done."""
    return time.monotonic() + timeout_s


@contextlib.contextmanager
def private_folder(files: Mapping[str, bytes]) -> Iterator[str]:
    """A folder of our own with these files, for programs that read no other; it is removed at the end."""
    from eidos.files.atomic_write import TemporaryFolder, unwritable

    with TemporaryFolder() as folder:
        try:
            for name, content in files.items():
                with open(os.path.join(folder, name), "wb") as file:
                    file.write(content)
        except OSError as fault:
            raise unwritable(folder, fault) from fault
        yield folder
