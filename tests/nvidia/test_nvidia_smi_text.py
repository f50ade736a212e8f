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


@pytest.mark.parametrize("data", [b"", b"hello", b"NVSMI LOG", b"NVSMI LOG\n\n\n"])
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidData):
        parse_text(data)
