"""Converts the text of an element of ``nvidia-smi -q -x`` into a reading, if it has the form that the reading has.

Knows forms, units, words and the texts that stand in place of a value; must not know which element means which reading.

The program prints NVML's error text where a call failed, as if it were the value, and no list of those texts is complete: a text is a
reading only when it has the form of one. Every converter returns the reading, or None for a text of another form; :func:`to_reading`
turns that into a reason.

Sources: nvml.h (nvmlReturn_t, buffer sizes) and nvmlErrorString as nvidia-ml-py lists it; nvidia-smi(1) for ``N/A`` and for states.
"""

from __future__ import annotations

import re

from eidos.nvidia.gpu_values import NoReading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Callable, Optional

    from eidos.model.measurement import Reading
    from eidos.nvidia.gpu_values import GpuValue

    Convert = Callable[[str], Optional[Reading]]

#: Texts of NVML's return codes, in lower case and without a full stop.
ERROR_TEXTS = {
    "uninitialized": 1,
    "invalid argument": 2,
    "not supported": 3,
    "insufficient permissions": 4,
    "already initialized": 5,
    "not found": 6,
    "insufficient size": 7,
    "insufficient external power": 8,
    "driver not loaded": 9,
    "timeout": 10,
    "interrupt request issue": 11,
    "nvml shared library not found": 12,
    "function not found": 13,
    "corrupted inforom": 14,
    "gpu is lost": 15,
    "gpu requires restart": 16,
    "gpu requires reset": 16,
    "the operating system has blocked the request": 17,
    "driver/library version mismatch": 18,
    "in use by another client": 19,
    "insufficient memory": 20,
    "no data": 21,
    "insufficient resources": 23,
    "argument version mismatch": 25,
    "requested functionality has been deprecated": 26,
    "the requested functionality has been deprecated": 26,
    "the requested functionality is not ready": 27,
    "unknown error": 999,
}

#: Texts by which the GPU or this driver has no such value; with any other the value may exist and could not be read.
_ABSENT_STATUSES = frozenset({3, 13, 25, 26})
_ABSENT_TEXTS = frozenset({"n/a", *(text for text, status in ERROR_TEXTS.items() if status in _ABSENT_STATUSES)})

#: Characters that no value comes near; of a longer text only the beginning is reported.
_VALUE_LIMIT = 120

#: Words of an error text with a number or a brand in it, none of which is in the name of a GPU.
_ERROR_WORDS = frozenset(("err!", "error", "failed", "fault", "has", "invalid", "is", "lost", "mismatch", "no", "not")) | frozenset(
    ("requires", "reset", "timeout", "unable", "unavailable", "unknown")
)

#: First words of names without a number: "NVIDIA TITAN V", "Graphics Device", "Orin (nvgpu)".
BRANDS = frozenset(("NVIDIA", "Tesla", "GeForce", "Quadro", "GRID", "TITAN", "RTX", "NVS", "Graphics", "Orin", "Xavier", "Thor"))

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ()\[\]+./&_\\-]{0,95}")  # NVML_DEVICE_NAME_V2_BUFFER_SIZE is 96


def model(value: str) -> Reading | None:
    """Return the name of a GPU: it has a number or begins with a brand, and holds no word of an error text.

    >>> model("NVIDIA H100 80GB HBM3"), model("Tesla V100-SXM2-16GB"), model("GPU is lost"), model("Unknown Error 43")
    ('NVIDIA H100 80GB HBM3', 'Tesla V100-SXM2-16GB', None, None)
    """
    words = value.split()
    if not _MODEL.fullmatch(value) or not _ERROR_WORDS.isdisjoint(word.strip("[].()").lower() for word in words):
        return None
    return value if words[0] in BRANDS or any(character.isdigit() for character in value) else None


def number(unit: str = "") -> Convert:
    """Return a converter for an integer, with its unit or without one; a number of another unit is none.

    >>> number("MiB")("81559 MiB"), number("x")("16x"), number()("7"), number("MiB")("79 GiB"), number()("1_0")
    (81559, 16, 7, None, None)
    """
    pattern = re.compile(rf"(-?[0-9]{{1,18}})(?: ?{re.escape(unit)})?")

    def convert(value: str) -> Reading | None:
        match = pattern.fullmatch(value)
        return int(match[1]) if match else None

    return convert


def decimal(unit: str) -> Convert:
    """Return a converter for a number with decimals, with its unit or without one.

    >>> decimal("W")("700.00 W"), decimal("W")("nan"), decimal("W")("1e9 W")
    (700.0, None, None)
    """
    pattern = re.compile(rf"([0-9]{{1,12}}(?:\.[0-9]{{1,6}})?)(?: ?{re.escape(unit)})?")

    def convert(value: str) -> Reading | None:
        match = pattern.fullmatch(value)
        return float(match[1]) if match else None

    return convert


def boolean(value: str) -> Reading | None:
    """Return the truth value of Yes, No, True or False."""
    return {"yes": True, "no": False, "true": True, "false": False}.get(value.lower())


def one_of(words: Iterable[str]) -> Convert:
    """Return a converter that accepts these words alone."""
    allowed = frozenset(words)
    return lambda value: value if value in allowed else None


def form(pattern: str) -> Convert:
    """Return a converter that accepts texts of this form alone.

    >>> VERSION("570.86.15"), VERSION("Timeout"), UUID("GPU-ab6ab95d-8259-5551-5962-e4a7a710fbae"), UUID("GPU-1")
    ('570.86.15', None, 'GPU-ab6ab95d-8259-5551-5962-e4a7a710fbae', None)
    """
    compiled = re.compile(pattern)
    return lambda value: value if compiled.fullmatch(value) else None


_HEX_GROUPS = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"

VERSION = form(r"[0-9]{1,6}(?:\.[0-9]{1,6}){1,5}")
UUID = form(f"GPU-{_HEX_GROUPS}")
CLUSTER_UUID = form(_HEX_GROUPS)
BUS_ID = form("[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}[.][0-7]")
VBIOS = form(r"[0-9A-Fa-f]{2}(?:\.[0-9A-Fa-f]{2}){4}")
INFOROM_IMAGE = form(r"(?=.{0,60}[0-9])[0-9A-Z]{1,9}(?:\.[0-9A-Z]{1,8}){1,6}")
PART_NUMBER = form(r"(?=.{0,80}[0-9])[0-9A-Z]{2,20}(?:-[0-9A-Z]{1,20}){1,6}")
SERIAL = form(r"(?=.{0,30}[0-9])[0-9A-Za-z-]{1,30}")  # NVML_DEVICE_SERIAL_BUFFER_SIZE is 30
PERFORMANCE_STATE = form("P(?:[0-9]|1[0-5])")


def hexadecimal(value: str) -> Reading | None:
    """Return eight hexadecimal digits with their prefix; the program prints some without: ``233010DE``.

    >>> hexadecimal("233010de"), hexadecimal("0x16C110DE"), hexadecimal("DEAD")
    ('0x233010DE', '0x16C110DE', None)
    """
    match = re.fullmatch("(?:0[xX])?([0-9A-Fa-f]{8})", value)
    return "0x" + match[1].upper() if match else None


def fabric_status(value: str) -> Reading | None:
    """Return the status of the fabric as NVML's source writes it: this one text is NVML's error text as a value.

    >>> fabric_status("Success"), fabric_status("Insufficient Resources"), fabric_status("Lost in space")
    ('Success', 'NVML status 23', None)
    """
    if value == "Success":
        return value
    status = ERROR_TEXTS.get(normalize(value))
    return None if status is None else f"NVML status {status}"


def normalize(value: str) -> str:
    """Return a text without brackets, full stop and capitals, as :data:`ERROR_TEXTS` has it."""
    return " ".join(value.strip("[] .").lower().split())


def to_reading(value: str, convert: Convert) -> GpuValue:
    """Return the reading in ``value``, or NoReading with the program's own words as the reason.

    >>> to_reading("16x", number("x")), to_reading("N/A", number("x"))
    (16, NoReading(reason='N/A', is_unreadable=False))
    """
    if len(value) > _VALUE_LIMIT:
        return to_no_reading(value)
    reading = convert(value)
    return to_no_reading(value) if reading is None or normalize(value) in _ABSENT_TEXTS else reading


def to_no_reading(value: str) -> NoReading:
    """Return the absence of a reading that ``value`` stands for.

    >>> to_no_reading("[N/A]").is_unreadable, to_no_reading("Function Not Found").is_unreadable, to_no_reading("").reason
    (False, False, 'empty')
    >>> to_no_reading("GPU is lost.  Reboot it").reason, to_no_reading("lots").reason
    ('GPU is lost.  Reboot it', "unexpected value: 'lots'")
    """
    value = value[:_VALUE_LIMIT]
    if normalize(value) in _ABSENT_TEXTS:
        return NoReading(value)
    if not value:
        return NoReading("empty", is_unreadable=True)
    return NoReading(value if _is_error_text(value) else f"unexpected value: {value[:60]!r}", is_unreadable=True)


def _is_error_text(value: str) -> bool:
    words = normalize(value)
    is_phrase = " " in words and not any(map(str.isdigit, words))
    return words in ERROR_TEXTS or words in ("err!", "unknown") or is_phrase or words.count(" ") > 1
