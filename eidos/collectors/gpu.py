"""NVIDIA GPUs: the driver, and every GPU with its identity, modes, limits, links and health.

Knows in which order the sources are tried and what to report when they disagree; must not know NVML or the XML of nvidia-smi, which
:mod:`eidos.nvidia` reads.

NVML comes first. When it cannot be used, ``nvidia-smi -q -x`` is parsed instead and the reason is reported; what only NVML has is then
unreadable. A machine without any trace of a driver costs a few dozen stat(2) calls and a look at the PCI bus: no library is loaded. Both
sources describe the running kernel, so a captured tree has neither.

Subtypes: ``smi`` (the driver, and the identity of the first GPU), then ``gpu-0``, ``gpu-1`` … in NVML's order, and ``gpu-0.volatile`` …
with readings that change on their own. Values become parts like this:

>>> values = {"uuid": "GPU-ab6ab95d", "ecc.current": "Enabled", "retired-pages.pending": NoReading("not supported")}
>>> list(subtype_parts("gpu-0", values))
[Gap(kind='absent', what='gpu-0/retired-pages.pending', why='not supported'), \
Subtype(name='gpu-0', data={'uuid': 'GPU-ab6ab95d', 'ecc.current': 'Enabled'}, context={})]

NVML is not shut down: the process exits after this, and that call can hang like any other.
"""

from __future__ import annotations

from eidos.errors import EidosError, NotApplicable, NotFound, NvmlError
from eidos.model.measurement import ABSENT, UNREADABLE, VOLATILE, Gap, Subtype
from eidos.nvidia import driver_files, pci_bus
from eidos.nvidia.gpu_values import FIRST_GPU_KEYS, NoReading, normalize_bus_id
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from eidos.collectors import Sources
    from eidos.model.measurement import Part
    from eidos.nvidia.gpu_values import GpuValue
    from eidos.nvidia.nvidia_smi import NvidiaSmiLog
    from eidos.nvidia.nvml import Nvml
    from eidos.nvidia.nvml_readings import ReadingSource

#: GPUs up to which each pair is asked for.
_MATRIX_LIMIT = 16

#: Seconds before the deadline at which nvidia-smi is given up, to leave time to report it.
_MARGIN_S = 0.3

_SMI_HINT = "add --smi FILE with the output of 'nvidia-smi -q -x' on that machine"

#: What nvidia-smi prints in place of its document when the driver has no GPU.
_NO_DEVICES = b"No devices were found"


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``smi``, then each GPU as soon as it is complete.

    Raises NotApplicable where no driver runs, NvmlError where one does and neither NVML nor nvidia-smi answers.
    """
    host = sources.host
    installed = driver_files.find_driver(host)
    if sources.smi:
        yield from _from_document(sources, installed, _parse_printed(sources.smi))
        return
    if not installed.is_loaded and not installed.libraries:
        if host.root == "/" and not host.exists("/proc/version") and not host.exists("/sys/class"):
            yield Gap(UNREADABLE, "/sys/module/nvidia", "neither /sys nor /proc is mounted here")
            return
        raise _no_driver(sources, "no NVIDIA driver")
    if not host.is_running_system:
        version = installed.version or "version unknown"
        raise NotApplicable(f"captured tree with driver {version}; NVML reads only the running kernel's driver", _SMI_HINT)
    from eidos.collectors._fabric_files import fabric_parts  # most hosts have no driver

    yield from fabric_parts(sources)
    try:
        nvml = _open_nvml(sources, installed)
    except NvmlError as fault:
        yield from _from_smi(sources, installed, fault)
        return
    yield from _from_nvml(sources, installed, nvml)


def subtype_parts(name: str, answers: Mapping[str, GpuValue]) -> Iterator[Part]:
    """The gaps among ``answers``, then the subtype with the rest."""
    data = {}
    for key, answer in answers.items():
        if isinstance(answer, NoReading):
            yield Gap(UNREADABLE if answer.is_unreadable else ABSENT, f"{name}/{key}", answer.reason)
        else:
            data[key] = answer
    yield Subtype(name, data)


def _no_driver(sources: Sources, reason: str) -> NotApplicable:
    hint = "install or load the NVIDIA driver; on a host without GPUs, exclude them with --skip gpu"
    try:
        devices = pci_bus.pci_devices(sources.host)
    except NotFound:
        devices = ()
    except EidosError as fault:
        return NotApplicable(f"{reason}; cannot detect NVIDIA devices: {fault.message}", hint)
    if devices:
        explanation, remedy = pci_bus.explain_without_driver(devices)
        return NotApplicable(f"{reason}; {explanation}", remedy)
    if driver_files.is_jetson(sources.host):
        return NotApplicable(f"{reason}; the GPU is that of a Jetson (nvgpu), which NVML does not read")
    return NotApplicable(reason, hint)


def _open_nvml(sources: Sources, installed: driver_files.InstalledDriver) -> Nvml:
    """NVML from the first library that can be loaded; NvmlError says why each of them failed."""
    from eidos.nvidia.nvml import LIBRARY_NOT_FOUND, VERSION_MISMATCH, Nvml

    tried = []
    for path in installed.libraries:
        try:
            return Nvml(path if "/" not in path or sources.host.root == "/" else sources.host.real_path(path))
        except NvmlError as fault:
            if fault.status == LIBRARY_NOT_FOUND:
                tried.append(fault.message)
                continue
            library = driver_files.library_in_use()
            message = f"NVML: {fault.message}"
            hint = fault.hint
            if fault.status == VERSION_MISMATCH:
                version = driver_files.library_version(library or "") or "unknown"
                message += f": kernel module {installed.version or 'unknown'}, library {version} ({library or path})"
                hint = "reboot or reload the kernel module; the driver was updated while it was loaded"
            raise NvmlError(message, hint, fault.status) from fault
        except EidosError as fault:
            tried.append(fault.message)
    raise NvmlError(
        "; ".join(tried) or "NVML: libnvidia-ml.so.1 not found",
        "mount the driver's libraries (NVIDIA's container runtime does), or set --root to the host's file system",
        LIBRARY_NOT_FOUND,
    )


def _from_nvml(sources: Sources, installed: driver_files.InstalledDriver, nvml: Nvml) -> Iterator[Part]:
    from eidos.nvidia import nvlink_readings, nvml_readings

    top: dict[str, GpuValue] = {}
    for key, ask in (
        ("driver", nvml_readings.driver_version),
        ("cuda-version", nvml_readings.cuda_version),
        ("driver-branch", nvlink_readings.driver_branch),
    ):
        try:
            top[key] = ask(nvml)
        except NvmlError as fault:
            top[key] = _no_reading(fault)
    try:
        top.update(nvlink_readings.confidential_compute(nvml))
    except NvmlError as fault:
        top["confidential-compute.state"] = _no_reading(fault)
    try:
        count = int(nvml.call("nvmlDeviceGetCount"))
        top["gpu-count"] = count
    except NvmlError as fault:
        count = 0
        top["gpu-count"] = _no_reading(fault)
    yield from _check_versions(installed, top["driver"])
    # The driver's readings are yielded before any GPU is queried: a GPU that hangs does not cost them.
    yield from subtype_parts("smi", top)
    bus_ids: list[str | None] = []
    gpus: dict[int, Any] = {}
    for index in range(count):
        name = f"gpu-{index}"
        try:
            gpu = nvml.call("nvmlDeviceGetHandleByIndex", index)
        except NvmlError as fault:
            if index == 0:
                yield from subtype_parts("smi", dict.fromkeys(FIRST_GPU_KEYS.values(), _no_reading(fault)))
            yield Gap(UNREADABLE, name, fault.message)
            bus_ids.append(None)
            continue
        gpus[index] = gpu
        answers = _read_answers(nvml, gpu, nvml_readings.CONFIGURATION)
        if index == 0:
            yield from subtype_parts("smi", {key: answers[own] for own, key in FIRST_GPU_KEYS.items()})
        bus_ids.append(_bus_id(answers))
        _add_numa_node(sources, answers)
        yield from subtype_parts(name, answers)
        if sources.volatile:
            yield from subtype_parts(name + VOLATILE, _read_answers(nvml, gpu, nvml_readings.VOLATILE))
    for index in gpus if 1 < len(gpus) <= _MATRIX_LIMIT else ():
        yield from subtype_parts(f"gpu-{index}", nvlink_readings.reach(nvml, gpus, index))
    if not isinstance(top["gpu-count"], NoReading):
        yield from _check_against_bus(sources, bus_ids, "NVML")


def _read_answers(nvml: Nvml, gpu: Any, reading_sources: Sequence[ReadingSource]) -> dict[str, GpuValue]:
    answers: dict[str, GpuValue] = {}
    for source in reading_sources:
        try:
            answers.update(zip(source.keys, source.read(nvml, gpu)))
        except NvmlError as fault:
            answers.update(dict.fromkeys(source.keys, _no_reading(fault)))
    return answers


def _no_reading(fault: NvmlError) -> NoReading:
    from eidos.nvidia.nvml import ABSENT_STATUSES

    return NoReading(fault.message, is_unreadable=fault.status not in ABSENT_STATUSES)


def _from_smi(sources: Sources, installed: driver_files.InstalledDriver, fault: NvmlError) -> Iterator[Part]:
    """The same from nvidia-smi; ``fault`` says why NVML could not be used."""
    from eidos.nvidia import nvidia_smi
    from eidos.nvidia.nvml import DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND

    try:
        if sources.host.root != "/":
            raise NotFound("nvidia-smi is not run with --root")
        document = nvidia_smi.parse_log(nvidia_smi.run_nvidia_smi(nvidia_smi.find_nvidia_smi(), sources.deadline - _MARGIN_S))
    except EidosError as other:
        # The display of a Jetson has a module named nvidia, too, and no library.
        is_jetson = fault.status == LIBRARY_NOT_FOUND and not installed.libraries and driver_files.is_jetson(sources.host)
        if is_jetson or (not installed.is_loaded and fault.status == DRIVER_NOT_LOADED):
            raise _no_driver(sources, "no NVIDIA driver loaded") from other
        raise NvmlError(f"{fault.message}; {other.message}", fault.hint, fault.status) from other
    yield Gap(UNREADABLE, "NVML", fault.message)
    yield from _from_document(sources, installed, document)


def _parse_printed(printed: bytes) -> NvidiaSmiLog:
    """What nvidia-smi printed on another machine; NvmlError with the line that it printed instead of its document."""
    from eidos.nvidia import nvidia_smi
    from eidos.redact.secrets_in_text import redact_output

    if b"<nvidia_smi_log" in printed:
        return nvidia_smi.parse_log(printed)
    if b"NVSMI LOG" in printed[:4096]:
        from eidos.nvidia.nvidia_smi import parse_text

        return parse_text(printed)
    if _NO_DEVICES in printed:
        return nvidia_smi.NvidiaSmiLog({"attached_gpus": "0"}, ())
    line = " ".join(redact_output(printed[:4096]).split())[:200]
    raise NvmlError(f"nvidia-smi printed: {line}")


def _from_document(sources: Sources, installed: driver_files.InstalledDriver, document: NvidiaSmiLog) -> Iterator[Part]:
    from eidos.nvidia import nvidia_smi_readings, nvml_readings

    top = {
        "driver": nvidia_smi_readings.driver_version(document),
        "cuda-version": nvidia_smi_readings.cuda_version(document),
        "gpu-count": nvidia_smi_readings.gpu_count(document),
    }
    yield from _check_versions(installed, top["driver"])
    remarks = [*document.remarks, *_count_remarks(top["gpu-count"], len(document.gpus))]
    if remarks:
        yield Gap(UNREADABLE, "nvidia-smi", "; ".join(remarks))
    if not document.gpus:
        yield from subtype_parts("smi", top)
    bus_ids: list[str | None] = []
    for index, elements in enumerate(document.gpus):
        name = f"gpu-{index}"
        if index in document.malformed:
            reason = NoReading(document.malformed[index], is_unreadable=True)
            if index == 0:
                yield from subtype_parts("smi", {**top, **dict.fromkeys(FIRST_GPU_KEYS.values(), reason)})
            yield Gap(UNREADABLE, name, reason.reason)
            bus_ids.append(None)
            continue
        values = nvidia_smi_readings.configuration(elements)
        answers = {key: values.get(key, nvidia_smi_readings.MISSING) for source in nvml_readings.CONFIGURATION for key in source.keys}
        if index == 0:
            yield from subtype_parts("smi", {**top, **{key: answers[own] for own, key in FIRST_GPU_KEYS.items()}})
        bus_ids.append(_bus_id(answers))
        _add_numa_node(sources, answers)
        yield from subtype_parts(name, answers)
        if sources.volatile:
            values = nvidia_smi_readings.volatile(elements)
            yield from subtype_parts(
                name + VOLATILE,
                {key: values.get(key, nvidia_smi_readings.MISSING) for source in nvml_readings.VOLATILE for key in source.keys},
            )
    yield from _check_against_bus(sources, bus_ids, "nvidia-smi")


def _count_remarks(attached: GpuValue, described: int) -> Iterator[str]:
    if isinstance(attached, int) and attached != described:
        yield f"{count_of(attached, 'GPU')} attached, {described} in the output"


def _check_versions(installed: driver_files.InstalledDriver, answered: GpuValue) -> Iterator[Part]:
    if installed.version is not None and not isinstance(answered, NoReading) and answered != installed.version:
        yield Gap(UNREADABLE, "/sys/module/nvidia/version", f"kernel module {installed.version}, driver {answered}")


def _bus_id(answers: Mapping[str, GpuValue]) -> str | None:
    bus_id = answers["pci.bus-id"]
    return normalize_bus_id(bus_id) if isinstance(bus_id, str) else None


def _add_numa_node(sources: Sources, answers: dict[str, GpuValue]) -> None:
    """Add ``pci.numa-node``: the NUMA node that the GPU is attached to, which sysfs has and NVML has not."""
    bus_id = _bus_id(answers)
    answer: GpuValue
    try:
        node = pci_bus.numa_node(sources.host, bus_id) if bus_id else None
        answer = (
            NoReading("not reported by the platform" if bus_id else "the PCI address is unknown", is_unreadable=not bus_id)
            if node is None
            else node
        )
    except NotFound:
        answer = NoReading("no such device in sysfs")
    except EidosError as fault:
        answer = NoReading(fault.message, is_unreadable=True)
    answers["pci.numa-node"] = answer


def _check_against_bus(sources: Sources, bus_ids: Sequence[str | None], source: str) -> Iterator[Part]:
    """Yield a gap for each NVIDIA device on the PCI bus that the driver does not show: seven of eight."""
    try:
        devices = pci_bus.pci_devices(sources.host)
    except NotFound:
        yield Gap(ABSENT, pci_bus.PCI, "no PCI bus on this host")
        return
    except EidosError as fault:
        yield Gap(UNREADABLE, pci_bus.PCI, fault.message)
        return
    if None in bus_ids:
        if len(devices) > len(bus_ids):
            yield Gap(UNREADABLE, pci_bus.PCI, f"{count_of(len(devices), 'NVIDIA device')} on the PCI bus, {len(bus_ids)} in {source}")
        return
    for device in devices:
        if device.bus_id in bus_ids:
            continue
        if device.is_passed_through:
            yield Gap(ABSENT, device.bus_id, f"passed through to a virtual machine ({device.driver})")
        else:
            yield Gap(UNREADABLE, device.bus_id, pci_bus.explain_missing_device(device, source))
