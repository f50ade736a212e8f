"""Loads, initialises and calls NVML, NVIDIA's management library.

Knows the library's file and its return codes; must not know which readings come from which call (``nvml_readings`` does), nor keep time:
a call can hang in the kernel for ever, so all of this belongs in a child process.

The bindings are NVIDIA's own (nvidia-ml-py, module ``pynvml``). They load ``libnvidia-ml.so.1`` by that name. To make them use a library
at another path, it is loaded first: the dynamic linker answers a later request for a SONAME with the loaded object of that SONAME. A
process uses one library, the first that was loaded.

NVML API reference: https://docs.nvidia.com/deploy/nvml-api/ (nvmlReturn_t, nvmlInitWithFlags, Device Queries).
"""

from __future__ import annotations

import sys

from eidos.errors import NvmlError
from eidos.nvidia.driver_files import SONAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INVALID_ARGUMENT, NOT_SUPPORTED, NOT_FOUND, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND = 2, 3, 6, 9, 12, 13
VERSION_MISMATCH, ARGUMENT_VERSION_MISMATCH = 18, 25

#: nvmlReturn_t → one phrase; nvmlErrorString would be one more call into the library.
PHRASES = {
    1: "NVML is not initialised",
    2: "invalid argument",
    3: "not supported",
    4: "no permission",
    5: "already initialised",
    6: "not found",
    7: "insufficient size",
    8: "external power is not connected",
    9: "the driver is not loaded",
    10: "timeout in the driver",
    11: "interrupts are not delivered",
    12: "libnvidia-ml.so.1 not found",
    13: "not in this driver's library",
    14: "the InfoROM is corrupted",
    15: "the GPU is lost",
    16: "the GPU needs a reset",
    17: "blocked by the operating system",
    18: "kernel module and library have different versions",
    19: "in use",
    20: "insufficient memory",
    21: "no data",
    22: "not supported while ECC is on for vGPU",
    23: "insufficient resources",
    24: "frequency not supported",
    25: "argument version not supported by this driver",
    26: "deprecated in this driver",
    27: "not ready",
    28: "GPU not found",
    29: "invalid state",
    30: "reset type not supported",
    999: "unknown error in the driver",
}

#: By these statuses the driver reports that it has no such value; with every other the value may exist and could not be read.
ABSENT_STATUSES = frozenset({NOT_SUPPORTED, FUNCTION_NOT_FOUND, 22, 24, ARGUMENT_VERSION_MISMATCH, 26})

#: NVML_INIT_FLAG_NO_GPUS: initialising a driver without GPUs succeeds; a GPU is attached when its handle is requested.
_NO_GPUS = 1

_LINKS = 36  # NVML_NVLINK_MAX_LINKS
_LINK_COUNT = 91  # NVML_FI_DEV_NVLINK_LINK_COUNT
_MIG_DEVICES = 64  # far beyond what a GPU can be divided into


class Nvml:
    """NVML, initialised.

    ``library`` is a path, or its name to let the dynamic linker search (LD_LIBRARY_PATH, its cache, its own folders).
    Raises NvmlError, with NVML's ``status`` where NVML gave one.
    """

    def __init__(self, library: str = SONAME) -> None:
        self._pynvml = _import_pynvml()
        try:
            self._pynvml.CDLL(library)
        except OSError as fault:
            raise NvmlError(f"cannot load {library}: {fault}", status=LIBRARY_NOT_FOUND) from fault
        try:
            self.call("nvmlInitWithFlags", _NO_GPUS)
        except NvmlError as fault:
            if fault.status != INVALID_ARGUMENT:
                raise
            self.call("nvmlInitWithFlags", 0)

    def shutdown(self) -> None:
        """Release the driver. A process that ends does so anyway, and this call can hang like any other."""
        self.call("nvmlShutdown")

    def call(self, name: str, *args: object) -> Any:
        """Call the bindings' function ``name``; text that is not UTF-8 is returned with escapes. Raises NvmlError."""
        function = getattr(self._pynvml, name, None)
        if function is None:
            raise NvmlError(f"the NVML bindings have no {name}", status=FUNCTION_NOT_FOUND)
        try:
            return function(*args)
        except self._pynvml.NVMLError as fault:
            raise nvml_error(fault.value) from fault
        except UnicodeDecodeError as fault:
            return fault.object.decode("utf-8", "backslashreplace")
        except (MemoryError, OverflowError, ValueError, self._pynvml.NVMLLibraryMismatchError) as fault:
            raise NvmlError(f"invalid response: {type(fault).__name__}: {fault}") from fault

    def bytes_of(self, structure: Any, field: str) -> bytes:
        """Return the bytes of one field of a structure; the bindings decode them, and fail on platforms that fill them with anything."""
        location = getattr(type(structure), field)
        return bytes(structure)[location.offset : location.offset + location.size]

    def field_value(self, gpu: Any, number: int | tuple[int, int]) -> int | float:
        """Return one value of nvmlDeviceGetFieldValues, by the number of its field (NVML_FI_*), or by that and a scope, such as a link."""
        value = self.call("nvmlDeviceGetFieldValues", gpu, [number])[0]
        if value.nvmlReturn:
            raise nvml_error(value.nvmlReturn)
        kinds = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")  # nvmlValueType_t
        if value.valueType >= len(kinds):
            raise NvmlError(f"unknown value type {value.valueType}")
        reading: int | float = getattr(value.value, kinds[value.valueType])
        return reading

    def fabric_info(self, gpu: Any) -> Any:
        """Return nvmlGpuFabricInfo_v3_t, or v2 from a driver that does not support v3 (then without ``healthSummary``)."""
        info = self._pynvml.c_nvmlGpuFabricInfo_v3_t()
        try:
            self.call("nvmlDeviceGetGpuFabricInfoV", gpu, self._pynvml.byref(info))
        except NvmlError as fault:
            if fault.status not in (INVALID_ARGUMENT, ARGUMENT_VERSION_MISMATCH):
                raise
            info = self._pynvml.c_nvmlGpuFabricInfo_v2_t()
            self.call("nvmlDeviceGetGpuFabricInfoV", gpu, self._pynvml.byref(info))
        return info

    def platform_info(self, gpu: Any) -> Any:
        """Return nvmlPlatformInfo_v2_t: where in its rack the GPU is."""
        info = self._pynvml.c_nvmlPlatformInfo_v2_t()
        self.call("nvmlDeviceGetPlatformInfo", gpu, self._pynvml.byref(info))
        return info

    def power_profiles(self, gpu: Any) -> Any:
        """Return nvmlWorkloadPowerProfileCurrentProfiles_v1_t."""
        profiles = self._pynvml.c_nvmlWorkloadPowerProfileCurrentProfiles_v1_t()
        self.call("nvmlDeviceWorkloadPowerProfileGetCurrentProfiles", gpu, self._pynvml.byref(profiles))
        return profiles

    def count_nvlinks(self, gpu: Any) -> tuple[int, int]:
        """Return how many NVLinks are up, and how many the GPU has."""
        count: int | None
        try:
            count = int(self.field_value(gpu, _LINK_COUNT))
        except NvmlError:  # drivers before the field existed: count those that answer
            count = None
        up = answered = 0
        first: NvmlError | None = None
        for link in range(_LINKS if count is None else max(0, min(count, _LINKS))):
            try:
                up += self.call("nvmlDeviceGetNvLinkState", gpu, link) == 1
                answered += 1
            except NvmlError as fault:
                first = first or fault
                if fault.status == INVALID_ARGUMENT and answered and count is None:
                    break  # beyond the last
                if fault.status != NOT_SUPPORTED:
                    raise
        if first is not None and not answered:
            raise first
        return up, answered if count is None else count

    def count_mig_devices(self, gpu: Any) -> int:
        """Return how many MIG devices the GPU is divided into; 0 while MIG is off."""
        if not self.call("nvmlDeviceGetMigMode", gpu)[0]:
            return 0
        count = 0
        for index in range(min(self.call("nvmlDeviceGetMaxMigDeviceCount", gpu), _MIG_DEVICES)):
            try:
                self.call("nvmlDeviceGetMigDeviceHandleByIndex", gpu, index)
                count += 1
            except NvmlError as fault:
                if fault.status != NOT_FOUND:
                    raise
        return count


def nvml_error(status: int) -> NvmlError:
    """Return the error for a return code.

    >>> nvml_error(15).message, nvml_error(777).message
    ('the GPU is lost (NVML status 15)', 'NVML status 777')
    """
    phrase = PHRASES.get(status)
    return NvmlError(f"{phrase} (NVML status {status})" if phrase else f"NVML status {status}", status=status)


def _import_pynvml() -> Any:
    """Import the module ``pynvml`` without two modules that it imports and hardly uses.

    It imports ``find_library`` and never calls it, and ``string`` to make class names; these two (with ``tempfile``, ``random``, ``re`` …)
    take 24 of 36 ms. While it is imported, stand-ins take their places, unless they are imported already.
    """
    stand_in_values: dict[str, dict[str, object]] = {"ctypes.util": {"find_library": None}, "string": {"capwords": _capwords}}
    stand_ins = [name for name in stand_in_values if name not in sys.modules]
    for name in stand_ins:
        stand_in = type(sys)(name)
        stand_in.__dict__.update(stand_in_values[name])
        sys.modules[name] = stand_in
    try:
        return __import__("pynvml")
    except ImportError as fault:
        raise NvmlError("Python module pynvml not found", hint="install nvidia-ml-py") from fault
    finally:
        for name in stand_ins:
            del sys.modules[name]


def _capwords(text: str, separator: str) -> str:
    """Return what ``string.capwords`` returns.

    >>> _capwords("GPU_IS_LOST", "_")
    'Gpu_Is_Lost'
    """
    return separator.join(word.capitalize() for word in text.split(separator))
