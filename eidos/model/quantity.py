"""Quantities with a unit, as people and kernels write them: ``80 GiB``, ``700W``, ``50us``, ``1.5 GHz``.

Knows the units and how many of its base unit each is (bytes, seconds, hertz, watts, bits a second: IEC 80000-13 and the SI Brochure);
must not know which reading has which unit. A number without a unit is none, and neither is ``2M``: that is a word of a kernel.

>>> parse_quantity("2 MiB"), parse_quantity("700W"), parse_quantity("2M"), parse_quantity("2")
(2097152, 700, None, None)
"""

from __future__ import annotations

#: Unit → how many of its base unit.
UNITS: dict[str, float] = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1,
    "min": 60,
    "h": 3600,
    "Hz": 1,
    "kHz": 1000,
    "MHz": 10**6,
    "GHz": 10**9,
    "W": 1,
    "kW": 1000,
    "Mb/s": 10**6,
    "Gb/s": 10**9,
    "GT/s": 10**9,
}

#: Digits of a number: more would take int() long.
_DIGITS = 18

#: Endings of keys of readings → the unit of their numbers.
KEY_UNITS = {"-mib": "MiB", "-kib": "KiB", "-gib": "GiB", "-bytes": "B", "-mhz": "MHz", "-watts": "W", "-seconds": "s", "-gbps": "Gb/s"}


def parse_quantity(text: str) -> float | None:
    """The quantity in ``text``, in its base unit; None when it is none."""
    end = 0
    while end < len(text) and text[end] in "0123456789.":
        end += 1
    number, unit = text[:end], text[end:].lstrip(" ")
    if unit not in UNITS or not number or number.count(".") > 1 or len(number) > _DIGITS or not (number[0] + number[-1]).isdigit():
        return None
    value = (float(number) if "." in number else int(number)) * UNITS[unit]
    return int(value) if value == int(value) else value


def parse_count(text: str) -> int | None:
    """How many of something there are, from a text of ASCII digits; None for any other, and for more digits than anything is counted in.

    >>> parse_count("8"), parse_count("\u00b2"), parse_count("8.0"), parse_count("N/A"), parse_count("9" * 5000)
    (8, None, None, None, None)
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def with_unit_of(path: str, text: str) -> str:
    """The text of a reading with the unit that its path names, if it is a number.

    >>> with_unit_of("GPU.gpu-0.memory.total-mib", "81559"), with_unit_of("GPU.smi.driver", "580.82.07")
    ('81559MiB', '580.82.07')
    """
    unit = next((unit for ending, unit in KEY_UNITS.items() if path.endswith(ending)), "")
    return text + unit if unit and text.replace(".", "", 1).isdigit() else text
