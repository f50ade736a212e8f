"""What ``nvidia-smi -q -x`` would print on a captured tree: a real output, with the GPUs of the tree's PCI bus in the place of its own.

Knows the form of that output, and which devices of sysfs are GPUs; must not know what is read of either.
"""

from __future__ import annotations

import re
from pathlib import Path

_CASES = Path(__file__).parent.parent / "cases" / "gpu"

#: NVIDIA's vendor, and the classes of display controllers (the PCI ID Repository).
_VENDOR, _CLASSES = "0x10de", ("0x0300", "0x0302")


def gpu_addresses(tree: Path) -> list[str]:
    """Addresses of the NVIDIA GPUs on the bus of a tree."""
    devices = sorted((tree / "sys/bus/pci/devices").iterdir())
    return [
        device.name
        for device in devices
        if (device / "vendor").read_text().strip() == _VENDOR and (device / "class").read_text().startswith(_CLASSES)
    ]


def smi_output(tree: Path, model: str, architecture: str, driver: str, cuda: str, faults: dict[int, dict[str, str]] | None = None) -> str:
    """The output for the GPUs of a tree; ``faults`` maps the number of a GPU to elements and their text."""
    text = (_CASES / "h200-580.159.xml").read_text(encoding="utf-8").replace("580.159.04", driver)
    head, gpu, tail = re.split(r"(?<=\n)(\t<gpu .*?</gpu>\n)", text, maxsplit=1, flags=re.DOTALL)
    gpu = gpu.replace("NVIDIA H200", model).replace("Hopper", architecture).replace("Pass-Through", "None")
    addresses = gpu_addresses(tree)
    blocks = []
    for number, address in enumerate(addresses):
        block = gpu.replace("00000000:00:06.0", f"0000{address}".upper()).replace("00000001<", f"{number + 1:08}<")
        for element, value in (faults or {}).get(number, {}).items():
            block = re.sub(rf"(<{element}>)[^<]*", rf"\g<1>{value}", block)
        blocks.append(block)
    head = re.sub(r"(<attached_gpus>)\d+", rf"\g<1>{len(addresses)}", head)
    return re.sub(r"(<cuda_version>)[^<]+", rf"\g<1>{cuda}", head) + "".join(blocks) + tail
