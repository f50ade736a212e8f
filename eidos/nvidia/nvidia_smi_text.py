"""Parses what ``nvidia-smi -q`` prints without ``-x``, as support tools keep it, into the elements of the XML document.

Knows the layout (indented names, a colon, a value) and which name is which element; must not know which element means which reading. A
name that is not in the table is left out: its reading is then missing, not absent.
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.nvidia.nvidia_smi import NvidiaSmiLog

#: What the output begins with.
HEAD = b"NVSMI LOG"

#: Lines that are read, at most; GPUs, at most.
_LINES_LIMIT, _GPUS_LIMIT = 200_000, 256

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


def parse_text(data: bytes) -> NvidiaSmiLog:
    r"""Parse the output. Raises InvalidData for what is none.

    >>> log = parse_text(
    ...     b"=====NVSMI LOG=====\nDriver Version : 570.86.15\nGPU 00000000:04:00.0\n    ECC Mode\n        Current : Enabled\n"
    ... )
    >>> log.top, log.gpus
    ({'driver_version': '570.86.15'}, ({'@id': '00000000:04:00.0', 'ecc_mode/current_ecc': 'Enabled'},))
    """
    _, found, rest = data.partition(HEAD)
    if not found:
        raise InvalidData("nvidia-smi -q: no NVSMI LOG in the output")
    top: dict[str, str] = {}
    gpus: list[dict[str, str]] = []
    groups: list[tuple[int, str]] = []
    for line in rest.decode("utf-8", "backslashreplace").split("\n")[1:_LINES_LIMIT]:
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
    if not top and not gpus:
        raise InvalidData("nvidia-smi -q: no version and no GPU in the output")
    return NvidiaSmiLog(top, tuple(gpus))
