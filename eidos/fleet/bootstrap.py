"""The program on another machine, from memory: how it gets there, how it starts, and how its answer is told from everything else.

Knows what Python reads from standard input, and the archive's entries; must not know how the other machine is reached. The command there
is ``python3 -I -S -``: no word of it means anything to a shell, so it makes no difference whether one is between (ssh, pdsh) or not (srun,
docker exec). On standard input comes a text in words that Python 3.6 can parse, the archive within, and the end. Nothing is
written to a disk there, and neither /proc nor a file in memory is needed: modules and data are read from the text that was sent.

The answer stands between two lines that nobody can say by accident: they hold a number drawn for this run. A greeting before, what a
login shell says after, and a label before every line (srun -l, pdsh) are passed over. Without the second line the answer was cut off.
What the other machine's user has set for eidos (EIDOS_SKIP, a configuration file) does not count: every node is asked the same. EIDOS_ROOT
alone does, which says where the node's files are. What a cluster says there is not kept for another day, because that is kept on a disk.
"""

from __future__ import annotations

from eidos.errors import InvalidData, Unavailable
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: What of the archive does not travel: bytecode for one interpreter or another is most of it, and saves less than it costs to send.
HOME = ("bytecode/", "licenses/", "__main__.pyc")

#: Where the modules seem to lie there, in tracebacks.
PLACE = "/eidos.pyz/"

#: The interpreter there, unless another is named, and the oldest that will do.
PYTHON, OLDEST = "python3", (3, 9)

#: How the text begins that is sent.
_BEGINNING = b"MARK, OLDEST, PLACE, ARGUMENTS"

#: What stands behind the mark on the first line.
_FIRST = ("begin", "python")

_START = """\
import sys
def say(text):
    sys.stdout.write("\\n" + MARK + " " + text + "\\n")
    sys.stdout.flush()
def main():
    if sys.version_info < OLDEST:
        say("python %d.%d.%d" % sys.version_info[:3])
        return
    import binascii, marshal, os, zlib
    files = marshal.loads(zlib.decompress(binascii.a2b_base64(DATA)))
    class Loader:
        def get_data(self, path):
            if path[:len(PLACE)] == PLACE and path[len(PLACE):] in files:
                return files[path[len(PLACE):]]
            raise FileNotFoundError(2, "no such file in the archive", path)
    say("begin")
    child = os.fork()
    if not child:
        try:
            sys.argv[:] = ARGUMENTS
            for name in list(os.environ):
                if name[:6] == "EIDOS_" and name != "EIDOS_ROOT":
                    del os.environ[name]
            os.environ["XDG_CONFIG_HOME"] = os.environ["XDG_CACHE_HOME"] = "/dev/null"
            path = PLACE + "__main__.py"
            exec(compile(files["__main__.py"], path, "exec"), {"__name__": "__main__", "__file__": path, "__loader__": Loader()})
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    say("end %d" % (status >> 8 or status and 128 + (status & 127)))
main()
"""


class Program(Record):
    """What is sent: ``text`` for the interpreter's standard input, ``mark`` what its answer stands between."""

    text: bytes
    mark: str


def program(path: str, arguments: Sequence[str], mark: str | None = None) -> Program:
    """The archive at ``path``, to be run with ``arguments``.

    Raises Unavailable when there is no archive: of a checkout nothing can be sent.
    """
    import base64
    import marshal
    import os
    import zipfile
    import zlib

    hint = "run eidos.pyz, or name it with --program; python3 build_zipapp.py makes one"
    try:
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist() if not name.startswith(HOME)}
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as fault:  # a damaged one raises any of them
        raise Unavailable(f"there is no program to send: {path} is no archive of eidos", hint) from fault
    if "eidos/archive/packs.py" not in files or "__main__.py" not in files:
        raise Unavailable(f"there is no program to send: {path} is no archive of eidos", hint)
    mark = mark or f"--eidos-{os.urandom(12).hex()}"
    data = base64.encodebytes(zlib.compress(marshal.dumps(files, 2), 9)).decode()
    head = f"{_BEGINNING.decode()} = {mark!a}, {OLDEST!r}, {PLACE!a}, {['eidos', *arguments]!a}\n"
    return Program(f'{head}DATA = """\n{data}"""\n{_START}'.encode("ascii"), mark)


def command(python: str = PYTHON) -> list[str]:
    """The words that start it there."""
    return [python, "-I", "-S", "-"]


def answer(out: bytes, mark: str) -> bytes:
    """What the program printed, out of all that came.

    Raises Unavailable when it never began or the interpreter is too old, InvalidData when its answer was cut off.
    """
    begin, label = max(_line(out, f"{mark} {word}".encode(), 0) for word in _FIRST)
    if begin < 0:
        said = sample(out)
        if not said:
            raise Unavailable("it printed nothing", "does standard input reach it? docker exec and kubectl exec need -i")
        raise Unavailable(f"it printed nothing that eidos would, but {said!r}")
    rest = out[begin:]
    head, _, body = rest.partition(b"\n")
    said = head[len(mark) :].decode("ascii", "replace").strip()
    if said.startswith("python "):
        version = said.split()[1]
        needed = ".".join(map(str, OLDEST))
        raise Unavailable(f"python3 there is {version}; {needed} or newer is needed", "name another with --python: python3.11, or a path")
    end, _ = _line(body, f"{mark} end".encode(), 0)
    if end < 0:
        raise InvalidData(f"its answer was cut off after {len(body):,} bytes", "did the connection end, or was the program killed there?")
    body = body[: body.rindex(b"\n", 0, end) + 1]
    return b"".join(line.removeprefix(label) for line in body.splitlines(keepends=True)) if label else body


def _line(out: bytes, mark: bytes, start: int) -> tuple[int, bytes]:
    """Where the next mark stands, and what stands before it on its line; -1 when there is none."""
    at = out.find(mark, start)
    return at, out[out.rfind(b"\n", 0, at) + 1 : at] if at >= 0 else b""


def status(out: bytes, mark: str) -> int:
    """The exit status of the program there, as its last line says; 0 when nothing says it.

    >>> status(b"--m begin 1 --m end 137 ", "--m"), status(b"12 --m begin 1", "--m")
    (137, 0)
    """
    _, ended, said = out.rpartition(f"{mark} end ".encode())
    digits = said[:3].split(maxsplit=1)[:1]
    return int(digits[0]) if ended and digits and digits[0].isdigit() else 0


def has_begun(out: bytes, mark: str) -> bool:
    """Whether the program began there."""
    return any(f"{mark} {word}".encode() in out for word in _FIRST)


def is_echo(out: bytes) -> bool:
    """Whether what was sent came back."""
    return _BEGINNING in out


def sample(out: bytes) -> str:
    """The first line of what came, or of what a shell said before it ended."""
    return next((line.strip()[:200] for line in out[:2000].decode("utf-8", "replace").splitlines() if line.strip()), "")


def reason(said: str) -> str:
    """The line of what a program said on standard error that says why: eidos's own ``error:``, else the last."""
    lines = [line.strip() for line in said.replace("\r", "\n").splitlines() if line.strip() and not line.startswith("hint: ")]
    own = [line for line in lines if line.startswith("error: ")]
    return (own or lines or [""])[-1].removeprefix("error: ")[:300]
