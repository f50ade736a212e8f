"""Runs ``nvidia-smi -q -x`` and parses the XML that it prints.

Knows the program and the shape of its document; must not know which element means which reading (``nvidia_smi_readings`` does).

The document names a DTD, which is not fetched. A document that declares or uses entities of its own is refused, so it cannot grow.

nvidia-smi(1): -q query, -x XML; exit status 14 says that an InfoROM is corrupted, the document is complete.
"""

from __future__ import annotations

import os

from eidos.errors import InvalidData, NotFound, Timeout, Unavailable
from eidos.model.record import Record
from eidos.process.run import NOT_STARTED, TIMED_OUT, TOO_MUCH_OUTPUT, Command, run_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: Bytes that the program may print.
OUTPUT_LIMIT_BYTES = 16 << 20

#: The longest text of one element, in characters.
_TEXT = 64 << 10

#: Elements that repeat by the thousand and hold no reading.
_SKIPPED = frozenset({"supported_clocks", "processes", "accounted_processes"})

#: Where to look when no folder of PATH has it.
_FOLDERS = ("/usr/bin", "/usr/local/bin", "/usr/lib/wsl/lib", "/opt/bin", "/home/kubernetes/bin/nvidia/bin", "/usr/local/nvidia/bin")


class NvidiaSmiLog(Record):
    """The document: ``top`` holds the elements outside the GPUs, ``gpus`` those of each GPU, as path joined with slashes → text.

    Of repeated elements the first counts. ``@id`` is the attribute of a GPU, ``@mig-devices`` the number of its MIG devices.
    """

    top: dict[str, str]
    gpus: tuple[dict[str, str], ...]


def find_nvidia_smi(environ: Mapping[str, str] = os.environ) -> str:
    """Return the absolute path of nvidia-smi. Raises NotFound."""
    for folder in (*environ.get("PATH", "").split(":"), *_FOLDERS):
        path = f"{folder}/nvidia-smi"
        if folder.startswith("/") and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise NotFound("nvidia-smi was not found")


def run_nvidia_smi(program: str, deadline: float) -> bytes:
    """Return what ``program -q -x`` prints.

    ``deadline`` is in seconds of ``time.monotonic()``. Raises Timeout, or Unavailable when the program cannot be started, prints more
    than :data:`OUTPUT_LIMIT_BYTES`, or prints no document; the message then has the first line of its output.
    """
    command = Command((program, "-q", "-x"), environ={**os.environ, "LC_ALL": "C"})
    result = run_program(command, deadline, OUTPUT_LIMIT_BYTES)
    if result.outcome == NOT_STARTED:
        raise Unavailable(f"{program} cannot be started: {result.start_failure}") from result.start_error
    if result.outcome == TIMED_OUT:
        raise Timeout(f"{program} did not finish in time")
    if result.outcome == TOO_MUCH_OUTPUT:
        raise Unavailable(f"{program} printed more than {OUTPUT_LIMIT_BYTES >> 20} MiB")
    if b"<nvidia_smi_log" not in result.output:
        first_line = result.output[:4096].decode("utf-8", "backslashreplace").strip().partition("\n")[0][:200]
        raise Unavailable(f"{program} ended with status {result.status}: {first_line or 'it said nothing'}")
    return result.output


def parse_log(data: bytes) -> NvidiaSmiLog:
    r"""Parse the document; bytes that are not UTF-8 become escapes. Raises InvalidData.

    >>> log = parse_log(b'''<nvidia_smi_log><driver_version>570.86.15</driver_version>
    ... <gpu id="00000000:04:00.0"><ecc_mode><current_ecc>Enabled</current_ecc></ecc_mode></gpu></nvidia_smi_log>''')
    >>> log.top, log.gpus[0]["ecc_mode/current_ecc"], log.gpus[0]["@id"]
    ({'driver_version': '570.86.15'}, 'Enabled', '00000000:04:00.0')
    >>> parse_log(b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')
    Traceback (most recent call last):
    eidos.errors.InvalidData: nvidia-smi -q -x: declares the entity 'b'
    """
    from xml.parsers import expat

    handler = _Handler()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = handler.start
    parser.EndElementHandler = handler.end
    parser.CharacterDataHandler = handler.characters
    parser.EntityDeclHandler = handler.entity
    parser.SkippedEntityHandler = handler.skipped_entity
    try:
        parser.Parse(data.decode("utf-8", "backslashreplace"), True)
    except expat.ExpatError as fault:
        raise InvalidData(f"nvidia-smi -q -x: {expat.ErrorString(fault.code)} in line {fault.lineno}") from fault
    if handler.root != "nvidia_smi_log":
        raise InvalidData(f"nvidia-smi -q -x: the document is a <{handler.root}>, not a <nvidia_smi_log>")
    return NvidiaSmiLog(handler.top, tuple(handler.gpus))


class _Handler:
    """Collects leaves: the text of elements, by their path below the root or below a GPU."""

    def __init__(self) -> None:
        self.root: str | None = None
        self.top: dict[str, str] = {}
        self.gpus: list[dict[str, str]] = []
        self._into = self.top
        self._path: list[str] = []
        self._skip = 0
        self._text = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._text = ""
        if self._skip or name in _SKIPPED:
            self._skip += 1
        elif self.root is None:
            self.root = name
        elif name == "gpu" and not self._path and self._into is self.top:
            self._into = {"@id": attributes.get("id", "")}
            self.gpus.append(self._into)
        elif len(self._path) > 16:
            raise InvalidData("nvidia-smi -q -x: nested too deeply")
        else:
            self._path.append(name)
            if name == "mig_device":
                self._into["@mig-devices"] = str(int(self._into.get("@mig-devices", "0")) + 1)

    def end(self, name: str) -> None:
        if self._skip:
            self._skip -= 1
        elif self._path:
            self._into.setdefault("/".join(self._path), self._text.strip())
            self._path.pop()
        else:
            self._into = self.top
        self._text = ""

    def characters(self, data: str) -> None:
        if not self._skip:
            self._text += data
            if len(self._text) > _TEXT:
                raise InvalidData(f"nvidia-smi -q -x: an element holds more than {_TEXT >> 10} KiB of text")

    def entity(self, name: str, *_: object) -> None:
        raise InvalidData(f"nvidia-smi -q -x: declares the entity {name!r}")

    def skipped_entity(self, name: str, _: bool) -> None:
        raise InvalidData(f"nvidia-smi -q -x: uses the entity {name!r}, which it does not declare")
