"""The text of ``nvidia-smi -q``: the readings of the XML document, as far as the text has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from eidos.errors import InvalidData
from eidos.nvidia import nvidia_smi, nvidia_smi_readings
from eidos.nvidia.gpu_values import NoReading
from eidos.nvidia.nvidia_smi import _ELEMENTS, parse_text
from tests.support.support_archives import smi_text

HOSTS = Path(__file__).parent.parent / "hosts"
XML = Path(__file__).parent.parent / "cases" / "gpu" / "h200-580.159.xml"


def test_every_gpu_has_its_readings() -> None:
    log = parse_text(smi_text(HOSTS / "ubuntu-22.04", pending="Yes").encode())
    assert (log.top["driver_version"], log.top["attached_gpus"], len(log.gpus)) == ("535.54.03", "8", 8)
    readings = [nvidia_smi_readings.configuration(gpu) for gpu in log.gpus]
    assert [each["remapped-rows.pending"] for each in readings] == [False] * 6 + [True, False]
    assert readings[0]["pci.bus-id"] == "00000000:07:00.0"
    assert readings[0]["pcie.width-maximum"] == 16
    assert readings[0]["mig.current"] == "Disabled"
    assert nvidia_smi_readings.volatile(log.gpus[0])["ecc.corrected-since-load"] == 177


def test_what_the_text_does_not_have_is_missing_and_not_absent() -> None:
    log = parse_text(b"NVSMI LOG\nAttached GPUs : 1\nGPU 00000000:07:00.0\n    Product Name : NVIDIA A100-SXM4-80GB\n")
    value = nvidia_smi_readings.configuration(log.gpus[0])["ecc.current"]
    assert isinstance(value, NoReading)
    assert value.is_unreadable


def test_every_element_of_the_table_is_one_that_a_reading_comes_from() -> None:
    known = {
        path for source in (nvidia_smi_readings.CONFIGURATION, nvidia_smi_readings.VOLATILE) for _, _, paths in source for path in paths
    }
    known |= {element for element in _ELEMENTS.values() if element.startswith("ecc_errors/")}
    assert set(_ELEMENTS.values()) <= known
    document = nvidia_smi.parse_log(XML.read_bytes()).gpus[0]
    assert len(set(_ELEMENTS.values()) & set(document)) > 40, "elements of a real document"


def test_groups_are_by_indent_and_the_output_of_another_command_is_not_read() -> None:
    text = b"""=====NVSMI LOG=====

Driver Version : 570.86.15
Attached GPUs : 2
GPU 00000000:07:00.0
    ECC Mode
        Current : Enabled
    Remapped Rows
        Pending : Yes
GPU 00000000:08:00.0
    ECC Mode
        Pending : Disabled
Next Command : 1
    ECC Mode
        Current : Enabled
"""
    first, second = parse_text(text).gpus
    assert (first["ecc_mode/current_ecc"], first["remapped_rows/remapped_row_pending"]) == ("Enabled", "Yes")
    assert "ecc_mode/pending_ecc" not in first
    assert second == {"@id": "00000000:08:00.0", "ecc_mode/pending_ecc": "Disabled"}


MIG_DEVICE = """    MIG Device
        Index : 0
        GPU Instance ID : 3
        Device Attributes
            Shared
                Multiprocessor count : 70
        FB Memory Usage
            Total : 23680 MiB
"""
MIG = f"""=====NVSMI LOG=====
Attached GPUs : 1
GPU 00000001:04:00.0
    MIG Mode
        Current : Enabled
        Pending : Enabled
{MIG_DEVICE * 2}    FB Memory Usage
        Total : 97887 MiB
    Processes : None
"""


def test_mig_devices_are_counted_and_their_memory_is_not_the_gpus() -> None:
    readings = nvidia_smi_readings.configuration(parse_text(MIG.encode()).gpus[0])
    assert (readings["mig.devices"], readings["memory.total-mib"]) == (2, 97887)


@pytest.mark.parametrize("text", [MIG, smi_text(HOSTS / "ubuntu-22.04")])
def test_a_text_that_breaks_off_has_no_other_values(text: str) -> None:
    def readings(data: str) -> dict[tuple[int, str], object]:
        gpus = [nvidia_smi_readings.configuration(gpu) for gpu in parse_text(data.encode()).gpus]
        return {(number, key): value for number, gpu in enumerate(gpus) for key, value in gpu.items() if not isinstance(value, NoReading)}

    complete = readings(text)
    for end in range(text.index("GPU 0000"), len(text), max(1, len(text) // 150)):
        assert readings(text[:end]).items() <= complete.items(), end


@pytest.mark.parametrize("data", [b"", b"hello", b"NVSMI LOG", b"NVSMI LOG\n\n\n"])
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidData):
        parse_text(data)
