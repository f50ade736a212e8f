"""Runs ``nvidia-smi -q -x`` and parses the XML that it prints; also what it prints without ``-x``, as support tools keep it.

Knows the program and the shape of both documents; must not know which element means which reading (``nvidia_smi_readings`` does).

The document names a DTD, which is not fetched. A document that declares or uses entities of its own is refused, so it cannot grow.

The program prints warnings around the document, and some releases print elements that are no XML: clocks that are closed before they are
opened, names of processes with a bare ``&``. What is not read is cut out before it is parsed, and each GPU is parsed by itself, so one that
is malformed or cut off does not cost the others.

Without ``-x`` there are indented names, a colon and a value. A name that is not in the table of elements is left out: its reading is then
missing, not absent.

nvidia-smi(1): -q query, -x XML; exit status 14 says that an InfoROM is corrupted, the document is complete.
"""

from __future__ import annotations

import os
import re

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

#: The tag of a GPU; those of its elements (``<gpu_uuid>``) begin alike.
_GPU = re.compile("<gpu[ >]")
_END, _END_OF_GPU = "</nvidia_smi_log>", "</gpu>"

#: How many lines around the document are reported.
_REMARKS = 5

#: Control characters other than tab, line feed and carriage return.
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r")

#: Elements that repeat by the thousand and hold no reading.
_SKIPPED = frozenset({"supported_clocks", "processes", "accounted_processes"})

#: Where to look when no folder of PATH has it.
_FOLDERS = ("/usr/bin", "/usr/local/bin", "/usr/lib/wsl/lib", "/opt/bin", "/home/kubernetes/bin/nvidia/bin", "/usr/local/nvidia/bin")

#: What the output begins with.
HEAD = b"NVSMI LOG"

#: Lines that are read, at most; GPUs, at most.
_LINES_LIMIT, _GPUS_LIMIT = 200_000, 256

#: The number of a GPU's MIG devices, and the entries of a GPU in the text in which they are.
MIG_DEVICES, _MIG_DEVICE, _MIG_ENTRIES = "@mig-devices", "MIG Device", ("MIG Mode", "MIG Device")

_TOP = {"Driver Version": "driver_version", "CUDA Version": "cuda_version", "Attached GPUs": "attached_gpus"}

#: Name (below its groups) → element, after outputs of releases 450 to 580 in public threads.
_ELEMENTS = {
    "Product Name": "product_name",
    "Product Architecture": "product_architecture",
    "Display Mode": "display_mode",
    "Display Active": "display_active",
    "Persistence Mode": "persistence_mode",
    "Addressing Mode": "addressing_mode",
    "MIG Mode/Current": "mig_mode/current_mig",
    "MIG Mode/Pending": "mig_mode/pending_mig",
    "Serial Number": "serial",
    "GPU UUID": "uuid",
    "Minor Number": "minor_number",
    "VBIOS Version": "vbios_version",
    "Board Part Number": "board_part_number",
    "GPU C2C Mode": "c2c_mode",
    "GPU Recovery Action": "gpu_recovery_action",
    "Inforom Version/Image Version": "inforom_version/img_version",
    "Inforom Version/OEM Object": "inforom_version/oem_object",
    "Inforom Version/ECC Object": "inforom_version/ecc_object",
    "Inforom Version/Power Management Object": "inforom_version/pwr_object",
    "GPU Virtualization Mode/Virtualization Mode": "gpu_virtualization_mode/virtualization_mode",
    "GSP Firmware Version": "gsp_firmware_version",
    "PCI/Device Id": "pci/pci_device_id",
    "PCI/Bus Id": "pci/pci_bus_id",
    "PCI/Sub System Id": "pci/pci_sub_system_id",
    "PCI/GPU Link Info/PCIe Generation/Max": "pci/pci_gpu_link_info/pcie_gen/max_link_gen",
    "PCI/GPU Link Info/PCIe Generation/Current": "pci/pci_gpu_link_info/pcie_gen/current_link_gen",
    "PCI/GPU Link Info/PCIe Generation/Device Max": "pci/pci_gpu_link_info/pcie_gen/max_device_link_gen",
    "PCI/GPU Link Info/Link Width/Max": "pci/pci_gpu_link_info/link_widths/max_link_width",
    "PCI/GPU Link Info/Link Width/Current": "pci/pci_gpu_link_info/link_widths/current_link_width",
    "PCI/Replays Since Reset": "pci/replay_counter",
    "Performance State": "performance_state",
    **{f"FB Memory Usage/{name}": f"fb_memory_usage/{name.lower()}" for name in ("Total", "Reserved", "Used")},
    "BAR1 Memory Usage/Total": "bar1_memory_usage/total",
    "Compute Mode": "compute_mode",
    "ECC Mode/Current": "ecc_mode/current_ecc",
    "ECC Mode/Pending": "ecc_mode/pending_ecc",
    **{
        f"ECC Errors/{group}/{name}": f"ecc_errors/{group.lower()}/{element}"
        for group in ("Volatile", "Aggregate")
        for name, element in {
            "SRAM Correctable": "sram_correctable",
            "SRAM Uncorrectable": "sram_uncorrectable",
            "SRAM Uncorrectable Parity": "sram_uncorrectable_parity",
            "SRAM Uncorrectable SEC-DED": "sram_uncorrectable_secded",
            "DRAM Correctable": "dram_correctable",
            "DRAM Uncorrectable": "dram_uncorrectable",
        }.items()
    },
    "Retired Pages/Single Bit ECC": "retired_pages/multiple_single_bit_retirement/retired_count",
    "Retired Pages/Double Bit ECC": "retired_pages/double_bit_retirement/retired_count",
    "Retired Pages/Pending Page Blacklist": "retired_pages/pending_retirement",
    "Remapped Rows/Correctable Error": "remapped_rows/remapped_row_corr",
    "Remapped Rows/Uncorrectable Error": "remapped_rows/remapped_row_unc",
    "Remapped Rows/Pending": "remapped_rows/remapped_row_pending",
    "Remapped Rows/Remapping Failure Occurred": "remapped_rows/remapped_row_failure",
    **{
        f"GPU Power Readings/{name} Power Limit": f"gpu_power_readings/{name.lower()}_power_limit"
        for name in ("Current", "Requested", "Default", "Min", "Max")
    },
    "Power Readings/Power Limit": "power_readings/power_limit",
    **{
        f"Power Readings/{name} Power Limit": f"power_readings/{name.lower()}_power_limit" for name in ("Enforced", "Default", "Min", "Max")
    },
    "Fabric/State": "fabric/state",
    "Fabric/Status": "fabric/status",
    "Fabric/CliqueId": "fabric/cliqueId",
    "Fabric/ClusterUUID": "fabric/clusterUuid",
    "Fabric/Health/Summary": "fabric/health/summary",
    "Fabric/Health/Bandwidth": "fabric/health/bandwidth",
    **{
        f"Max Clocks/{name}": f"max_clocks/{element}_clock"
        for name, element in {"Graphics": "graphics", "SM": "sm", "Memory": "mem"}.items()
    },
}


class NvidiaSmiLog(Record):
    """The document: ``top`` holds the elements outside the GPUs, ``gpus`` those of each GPU, as path joined with slashes → text.

    Of repeated elements the first counts. ``@id`` is the attribute of a GPU, ``@mig-devices`` the number of its MIG devices, the empty path
    a text in place of its elements. ``malformed`` has the reason for each GPU that could not be parsed, by its index; it has no elements
    then. ``remarks`` are lines that the program printed around the document.
    """

    top: dict[str, str]
    gpus: tuple[dict[str, str], ...]
    malformed: dict[int, str] = {}
    remarks: tuple[str, ...] = ()


def find_nvidia_smi(environ: Mapping[str, str] = os.environ) -> str:
    """Return the absolute path of nvidia-smi. Raises NotFound."""
    for folder in (*environ.get("PATH", "").split(":"), *_FOLDERS):
        path = f"{folder}/nvidia-smi"
        if folder.startswith("/") and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise NotFound("nvidia-smi not found")


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
        raise Timeout(f"{program} timed out")
    if result.outcome == TOO_MUCH_OUTPUT:
        raise Unavailable(f"{program} printed more than {OUTPUT_LIMIT_BYTES >> 20} MiB")
    if b"<nvidia_smi_log" not in result.output:
        from eidos.redact.secrets_in_text import redact_output

        first_line = redact_output(result.output[:4096]).strip().partition("\n")[0][:200]
        raise Unavailable(f"{program} exited with status {result.status}: {first_line or 'no output'}")
    return result.output


def parse_log(data: bytes) -> NvidiaSmiLog:
    r"""Parse the document; bytes that are not UTF-8 become escapes. Raises InvalidData.

    >>> log = parse_log(b'''<nvidia_smi_log><driver_version>570.86.15</driver_version>
    ... <gpu id="00000000:04:00.0"><ecc_mode><current_ecc>Enabled</current_ecc></ecc_mode></gpu></nvidia_smi_log>''')
    >>> log.top, log.gpus[0]["ecc_mode/current_ecc"], log.gpus[0]["@id"]
    ({'driver_version': '570.86.15'}, 'Enabled', '00000000:04:00.0')
    >>> parse_log(b'<!DOCTYPE a [<!ENTITY b "c">]><nvidia_smi_log>&b;</nvidia_smi_log>')
    Traceback (most recent call last):
    eidos.errors.InvalidData: nvidia-smi -q -x: the document declares an entity
    """
    text = _decode(data)
    root = text.find("<nvidia_smi_log")
    if root < 0:
        raise InvalidData("nvidia-smi -q -x: no <nvidia_smi_log> in the output")
    prolog, body = text[:root], _without_skipped_elements(text[root:])
    if "<!ENTITY" in prolog:
        raise InvalidData("nvidia-smi -q -x: the document declares an entity")
    end = body.find(_END)
    end = len(body) if end < 0 else end + len(_END)
    starts = [match.start() for match in _GPU.finditer(body, 0, end)]
    line = prolog.count("\n")
    top = _parse(body[: starts[0] if starts else end], line, is_complete=not starts)
    if top.root != "nvidia_smi_log":
        raise InvalidData(f"nvidia-smi -q -x: the document is a <{top.root}>, not a <nvidia_smi_log>")
    line += body.count("\n", 0, starts[0] if starts else end)
    gpus: list[dict[str, str]] = []
    malformed: dict[int, str] = {}
    for index, (start, stop) in enumerate(zip(starts, (*starts[1:], end))):
        if index == _GPUS_LIMIT:
            malformed[index] = f"nvidia-smi -q -x: more than {_GPUS_LIMIT} GPUs"
            gpus.append({})
            break
        closed = body.find(_END_OF_GPU, start, stop)
        try:
            gpus.append(_parse(body[start : stop if closed < 0 else closed + len(_END_OF_GPU)], line).elements)
        except InvalidData as fault:
            malformed[index] = fault.message
            gpus.append({})
        line += body.count("\n", start, stop)
    if malformed and len(malformed) == len(gpus):
        raise InvalidData(malformed[0])
    return NvidiaSmiLog(top.elements, tuple(gpus), malformed, _remarks(prolog, body[end:]))


def _parse(text: str, line: int, is_complete: bool = True) -> _Handler:
    """Parse one element that begins after ``line`` lines; with ``is_complete`` false, only its beginning. Raises InvalidData."""
    from xml.parsers import expat

    handler = _Handler()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = handler.start
    parser.EndElementHandler = handler.end
    parser.CharacterDataHandler = handler.characters
    try:
        parser.Parse(text, is_complete)
    except expat.ExpatError as fault:
        raise InvalidData(f"nvidia-smi -q -x: {expat.ErrorString(fault.code)} in line {line + fault.lineno}") from fault
    return handler


def _decode(data: bytes) -> str:
    """Return the text; bytes that are not UTF-8, and control characters, which XML does not allow, become escapes."""
    text = data.decode("utf-8-sig", "backslashreplace")
    if len(data.translate(None, _CONTROLS)) != len(data):
        text = text.translate({code: f"\\x{code:02x}" for code in _CONTROLS})
    return text


def _without_skipped_elements(text: str) -> str:
    """Return ``text`` with the skipped elements empty, whatever is in them; line numbers stay.

    An element ends at the last of its end tags before the next GPU, because the name of a process may hold one. Each part of the text is
    searched twice at most.
    """
    for name in sorted(_SKIPPED):
        opening, closing = f"<{name}>", f"</{name}>"
        pieces, copied, start = [], 0, text.find(opening)
        while start >= 0:
            following = _GPU.search(text, start)
            limit = following.start() if following else len(text)
            stop = text.rfind(closing, start, limit)
            if stop >= 0:
                start += len(opening)
                pieces += [text[copied:start], "\n" * text.count("\n", start, stop)]
                copied = stop
            start = text.find(opening, limit if stop < 0 else stop)
        text = "".join((*pieces, text[copied:]))
    return text


def _remarks(before: str, after: str) -> tuple[str, ...]:
    """Return the first few lines around the document that are no markup."""
    lines = [line.strip() for line in f"{before}\n{after}".splitlines()]
    return tuple(line[:200] for line in lines if line and not line.startswith("<"))[:_REMARKS]


class _Handler:
    """Collects leaves: the text of elements, by their path below the first."""

    def __init__(self) -> None:
        self.root: str | None = None
        self.elements: dict[str, str] = {}
        self._path: list[str] = []
        self._text = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._text = ""
        if self.root is None:
            self.root = name
            if name == "gpu":
                self.elements["@id"] = attributes.get("id", "")
        elif len(self._path) > 16:
            raise InvalidData("nvidia-smi -q -x: nested too deeply")
        else:
            self._path.append(name)
            if name == "mig_device":
                self.elements[MIG_DEVICES] = str(int(self.elements.get(MIG_DEVICES, "0")) + 1)

    def end(self, name: str) -> None:
        self.elements.setdefault("/".join(self._path), self._text.strip())
        if self._path:
            self._path.pop()
        self._text = ""

    def characters(self, data: str) -> None:
        self._text += data
        if len(self._text) > _TEXT:
            raise InvalidData(f"nvidia-smi -q -x: an element has more than {_TEXT >> 10} KiB of text")


def parse_text(data: bytes) -> NvidiaSmiLog:
    r"""Parse the output. Raises InvalidData for what is none.

    >>> log = parse_text(
    ...     b"=====NVSMI LOG=====\nDriver Version : 570.86.15\nGPU 00000000:04:00.0\n    ECC Mode\n        Current : Enabled\n"
    ... )
    >>> log.top, log.gpus
    ({'driver_version': '570.86.15'}, ({'@id': '00000000:04:00.0', 'ecc_mode/current_ecc': 'Enabled'},))
    """
    _, head, rest = data.partition(HEAD)
    if not head:
        raise InvalidData("nvidia-smi -q: no NVSMI LOG in the output")
    top: dict[str, str] = {}
    gpus: list[dict[str, str]] = []
    groups: list[tuple[int, str]] = []
    last_entry = ""
    # A last line without an end may be cut off inside its value.
    lines = rest.decode("utf-8", "backslashreplace").split("\n")[1:-1]
    for line in lines[:_LINES_LIMIT]:
        content = line.strip()
        if not content:
            continue
        indent = len(line) - len(line.lstrip())
        if indent == 0 and content.startswith("GPU ") and ":" in content and " : " not in content:
            if len(gpus) == _GPUS_LIMIT:
                break
            gpus.append({"@id": content[4:].strip()[:64]})
            groups = []
            continue
        name, separator, value = content.partition(" : ")
        name = name.rstrip(" :")
        groups = [group for group in groups if group[0] < indent]
        if gpus and indent and not groups:
            last_entry = name
            if name == _MIG_DEVICE:
                gpus[-1][MIG_DEVICES] = str(int(gpus[-1].get(MIG_DEVICES, "0")) + 1)
        if not separator and not content.endswith(":"):
            groups.append((indent, name))
            continue
        if indent == 0:
            if name in _TOP:
                top.setdefault(_TOP[name], value.strip()[:200])
            elif gpus:  # the output has ended
                break
            continue
        element = _ELEMENTS.get("/".join((*(group for _, group in groups), name)))
        if gpus and element:
            text = value.strip()[:200]
            gpus[-1].setdefault(element, text[2:] if element.startswith("pci/") and text.startswith("0x") else text)
    if gpus and last_entry in _MIG_ENTRIES:  # the text breaks off where the rest of the MIG devices would be
        gpus[-1].pop(_ELEMENTS["MIG Mode/Current"], None)
    if not top and not gpus:
        raise InvalidData("nvidia-smi -q: no version and no GPU in the output")
    return NvidiaSmiLog(top, tuple(gpus))
