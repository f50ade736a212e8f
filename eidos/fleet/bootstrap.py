"""Runs eidos on another machine from memory: how it gets there, how it starts, and how its output is separated from everything else.

Knows what Python reads from standard input, and the archive's entries; must not know how the other machine is reached. The command there
is ``python3 -I -S -``: no word of it means anything to a shell, so it makes no difference whether there is one (ssh, pdsh) or not (srun,
docker exec). On standard input comes a script that Python 3.6 can parse, with the archive in it. Nothing is written to a disk there, and
neither /proc nor a file in memory is needed: modules and data are read from the script.

The output is between two marks, lines with a random number. A banner before, what a login shell prints after, and a label before every line
(srun -l, pdsh) are ignored. Without the second mark the output was cut off. The other machine's settings for eidos (EIDOS_SKIP, a
configuration file) do not apply, so that all nodes are read alike; only EIDOS_ROOT does, the root of the node's files. Nothing is cached
there.
"""

from __future__ import annotations

from eidos.errors import InvalidData, Unavailable
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The path of the archive in tracebacks from there.
ARCHIVE = "/eidos.pyz/"

#: The interpreter there, unless another is named, and the oldest that eidos runs on.
PYTHON, MINIMUM_PYTHON = "python3", (3, 9)

#: How the script begins.
_SCRIPT_START = b"MARK, MINIMUM_PYTHON, ARCHIVE, ARGUMENTS, KEY"

#: What follows the first mark.
_FIRST_WORDS = ("begin", "python")

_SCRIPT = """\
import sys
def mark(text):
    sys.stdout.write("\\n" + MARK + " " + text + "\\n")
    sys.stdout.flush()
def main():
    if sys.version_info < MINIMUM_PYTHON:
        mark("python %d.%d.%d" % sys.version_info[:3])
        return
    import binascii, marshal, os, zlib
    files = marshal.loads(zlib.decompress(binascii.a2b_base64(DATA)))
    class Loader:
        def get_data(self, path):
            if path[:len(ARCHIVE)] == ARCHIVE and path[len(ARCHIVE):] in files:
                return files[path[len(ARCHIVE):]]
            raise FileNotFoundError(2, "no such file in the archive", path)
    mark("begin")
    child = os.fork()
    if not child:
        try:
            sys.argv[:] = ARGUMENTS
            if KEY:
                reading, writing = os.pipe()
                os.write(writing, KEY)
                os.close(writing)
                os.dup2(reading, 0)
            for name in list(os.environ):
                if name[:6] == "EIDOS_" and name != "EIDOS_ROOT":
                    del os.environ[name]
            os.environ["XDG_CONFIG_HOME"] = os.environ["XDG_CACHE_HOME"] = "/dev/null"
            path = ARCHIVE + "__main__.py"
            exec(compile(files["__main__.py"], path, "exec"), {"__name__": "__main__", "__file__": path, "__loader__": Loader()})
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    mark("end %d" % (status >> 8 or status and 128 + (status & 127)))
main()
"""


class RemoteProgram(Record):
    """``text`` is sent to the interpreter's standard input; ``mark`` is before and after its output."""

    text: bytes
    mark: str


def build_program(
    path: str, arguments: Sequence[str], mark: str | None = None, key: bytes = b"", more: Mapping[str, bytes] = {}
) -> RemoteProgram:
    """Return the archive at ``path`` as a program that runs with ``arguments``, and ``key`` on its standard input.

    ``more`` are entries that are sent with those of the archive, such as plug-ins.

    Raises Unavailable when there is no archive: a checkout cannot be sent.
    """
    import base64
    import marshal
    import os
    import zipfile
    import zlib
    from io import BytesIO

    from eidos.archive.purposes import AGENT, LEFT_OUT, MARKER
    from eidos.files import read_named_file

    excluded = LEFT_OUT[AGENT]  # bytecode among them, which saves less time than sending it takes
    hint = "run eidos.pyz, or pass it with --program; 'python3 build_zipapp.py' builds one"
    try:
        with zipfile.ZipFile(BytesIO(read_named_file(path, 64 << 20, hint=hint))) as archive:
            files = {name: archive.read(name) for name in archive.namelist() if not name.startswith(excluded)}
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as fault:  # a damaged archive raises any of them
        raise Unavailable(f"cannot send the program: {path} is not an eidos archive", hint) from fault
    if MARKER not in files or "__main__.py" not in files:
        raise Unavailable(f"cannot send the program: {path} is not an eidos archive", hint)
    files.update(more)
    mark = mark or f"--eidos-{os.urandom(12).hex()}"
    data = base64.encodebytes(zlib.compress(marshal.dumps(files, 2), 9)).decode()
    head = f"{_SCRIPT_START.decode()} = {mark!a}, {MINIMUM_PYTHON!r}, {ARCHIVE!a}, {['eidos', *arguments]!a}, {key!a}\n"
    return RemoteProgram(f'{head}DATA = """\n{data}"""\n{_SCRIPT}'.encode("ascii"), mark)


def python_command(python: str = PYTHON) -> list[str]:
    """Return the command that runs the script there."""
    return [python, "-I", "-S", "-"]


def extract_output(out: bytes, mark: str) -> bytes:
    """Return what the program printed, out of everything that was received.

    Raises Unavailable when it never started or the interpreter is too old, InvalidData when its output was cut off.
    """
    begin, label = max(_find_mark(out, f"{mark} {word}".encode()) for word in _FIRST_WORDS)
    if begin < 0:
        printed = first_line(out)
        if not printed:
            raise Unavailable("no output", "pass standard input through; docker exec and kubectl exec need -i")
        raise Unavailable(f"unexpected output: {printed!r}")
    rest = out[begin:]
    head, _, body = rest.partition(b"\n")
    words = head[len(mark) :].decode("ascii", "replace").strip()
    if words.startswith("python "):
        version = words.split()[1]
        needed = ".".join(map(str, MINIMUM_PYTHON))
        raise Unavailable(
            f"python3 on the node is {version}; {needed} or newer is required", "choose another with --python, such as --python python3.11"
        )
    end, _ = _find_mark(body, f"{mark} end".encode())
    if end < 0:
        raise InvalidData(
            f"output ended after {len(body):,} bytes", "check whether the connection was lost or the program was killed on the node"
        )
    body = body[: body.rfind(b"\n", 0, end) + 1]
    return b"".join(line.removeprefix(label) for line in body.splitlines(keepends=True)) if label else body


def _find_mark(out: bytes, mark: bytes) -> tuple[int, bytes]:
    """Return the index of the first mark, and what is before it on its line; -1 when there is none."""
    at = out.find(mark)
    return at, out[out.rfind(b"\n", 0, at) + 1 : at] if at >= 0 else b""


def exit_status(out: bytes, mark: str) -> int:
    """Return the exit status of the program there, from the last mark; 0 without one.

    >>> exit_status(b"--m begin 1 --m end 137 ", "--m"), exit_status(b"12 --m begin 1", "--m")
    (137, 0)
    """
    _, end, rest = out.rpartition(f"{mark} end ".encode())
    digits = rest[:3].split(maxsplit=1)[:1]
    return int(digits[0]) if end and digits and digits[0].isdigit() else 0


def has_started(out: bytes, mark: str) -> bool:
    """Return whether the script started there."""
    return any(f"{mark} {word}".encode() in out for word in _FIRST_WORDS)


def is_echo(out: bytes) -> bool:
    """Return whether the script itself came back."""
    return _SCRIPT_START in out


def first_line(out: bytes, *known: str) -> str:
    """Return the first line that is not blank, without what may be a secret; empty when there is none."""
    from eidos.redact.secrets_in_text import redact_output

    return next((line.strip()[:200] for line in redact_output(out[:2000], *known).splitlines() if line.strip()), "")


def error_line(errors: str) -> str:
    """Return the line of a program's standard error that says why it failed: eidos's own ``error:``, else the last."""
    lines = [line.strip() for line in errors.replace("\r", "\n").splitlines() if line.strip() and not line.startswith("hint: ")]
    own = [line for line in lines if line.startswith("error: ")]
    return (own or lines or [""])[-1].removeprefix("error: ")[:300]
