"""nvidia-smi's document: what is read out of it, what is refused, and how the program is run."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.errors import EidosError, InvalidData, NotFound, Timeout, Unavailable
from eidos.nvidia import nvidia_smi, nvidia_smi_readings, nvml_readings
from eidos.nvidia.gpu_values import NoReading
from tests.support.waiting import AMPLE_S

OWN = Path(__file__).parent.parent / "cases/gpu/query.xml"
REAL = Path(__file__).parents[3] / "shared/fixtures/nvidia-smi/query.xml"


def program(folder: Path, body: str) -> str:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_a_small_document() -> None:
    document = nvidia_smi.parse_log(OWN.read_bytes())
    assert nvidia_smi_readings.driver_version(document) == "580.95.05"
    assert nvidia_smi_readings.cuda_version(document) == "13.0"
    assert nvidia_smi_readings.gpu_count(document) == 2
    first, second = (nvidia_smi_readings.configuration(gpu) for gpu in document.gpus)
    assert first["model"] == "NVIDIA Example 80GB"
    assert first["mig.devices"] == 2
    assert first["mig.pending"] == "Disabled"
    assert first["pcie.width-current"] == 8
    assert first["memory.total-mib"] == 81920
    assert first["pci.device-id"] == "0x290110DE"
    assert first["power.enforced-limit-watts"] == 650.0
    assert first["retired-pages.pending"] is False
    assert first["fabric.health.route-unhealthy"] is False
    assert second["model"] == "NVIDIA Old & Small"
    assert second["pci.bus-id"] == "00000000:02:00.0"
    assert second["power.requested-limit-watts"] == 72.0
    assert second["power.enforced-limit-watts"] == 70.0
    assert nvidia_smi_readings.volatile(document.gpus[0])["clocks.event-reasons"] == "gpu-idle"
    assert nvidia_smi_readings.volatile(document.gpus[1])["clocks.event-reasons"] == "none"
    assert "secret" not in repr(document)


def test_absent_unreadable_and_missing_differ() -> None:
    gpu = nvidia_smi_readings.configuration(nvidia_smi.parse_log(OWN.read_bytes()).gpus[0])
    assert gpu["serial"] == NoReading("N/A")
    assert gpu["display-mode"] == NoReading("Requested functionality has been deprecated")
    assert gpu["vbios-version"] == NoReading("[Unknown Error]", is_unreadable=True)
    assert gpu["power.requested-limit-watts"] == NoReading("unexpected value: 'lots'", is_unreadable=True)
    assert gpu["inforom.oem"] == nvidia_smi_readings.MISSING


def test_both_sources_name_a_reading_alike() -> None:
    """Each key that nvidia-smi's document has is one of NVML's, so the same host gives the same keys."""
    elements = nvidia_smi.parse_log(OWN.read_bytes()).gpus[0]
    for of_smi, of_nvml in (
        (nvidia_smi_readings.configuration(elements), nvml_readings.CONFIGURATION),
        (nvidia_smi_readings.volatile(elements), nvml_readings.VOLATILE),
    ):
        keys = [key for fact in of_nvml for key in fact.keys]
        assert len(keys) == len(set(keys))
        assert set(of_smi) <= set(keys)


@pytest.mark.shared
def test_a_real_document_of_eight_gpus() -> None:
    if not REAL.exists():
        pytest.skip(f"{REAL} is not here")
    document = nvidia_smi.parse_log(REAL.read_bytes())
    assert nvidia_smi_readings.driver_version(document) == "570.86.15"
    assert nvidia_smi_readings.cuda_version(document) == "12.8"
    assert nvidia_smi_readings.gpu_count(document) == 8 == len(document.gpus)
    gpus = [nvidia_smi_readings.configuration(gpu) for gpu in document.gpus]
    assert len({str(gpu["uuid"]) for gpu in gpus}) == 8
    for gpu in gpus:
        unreadable = {key: answer.reason for key, answer in gpu.items() if isinstance(answer, NoReading) and answer.is_unreadable}
        assert unreadable == {
            "fabric.health.summary": "not in the output of nvidia-smi -q -x",  # the driver is older than these two
            "fabric.health.incorrect-configuration": "not in the output of nvidia-smi -q -x",
        }
    first = {key: answer for key, answer in gpus[0].items() if not isinstance(answer, NoReading)}
    assert first == {
        "model": "NVIDIA H100 80GB HBM3",
        "architecture": "Hopper",
        "uuid": "GPU-ab6ab95d-8259-5551-5962-e4a7a710fbae",
        "serial": "1652923034028",
        "board.part-number": "692-2G520-0200-000",
        "minor-number": 0,
        "pci.bus-id": "00000000:04:00.0",
        "pci.device-id": "0x233010DE",
        "pci.subsystem-id": "0x16C110DE",
        "pcie.generation-maximum": 4,
        "pcie.generation-device-maximum": 5,
        "pcie.width-maximum": 16,
        "pcie.width-current": 16,
        "memory.total-mib": 81559,
        "bar1.total-mib": 131072,
        "ecc.current": "Enabled",
        "ecc.pending": "Enabled",
        "mig.current": "Disabled",
        "mig.pending": "Disabled",
        "mig.devices": 0,
        "persistence-mode": "Disabled",
        "display-mode": "Enabled",
        "display-active": "Disabled",
        "compute-mode": "Default",
        "virtualization-mode": "Pass-Through",
        "addressing-mode": "None",
        "c2c.mode": "Disabled",
        "power.requested-limit-watts": 700.0,
        "power.enforced-limit-watts": 700.0,
        "power.default-limit-watts": 700.0,
        "power.minimum-limit-watts": 200.0,
        "power.maximum-limit-watts": 700.0,
        "clocks.maximum-graphics-mhz": 1980,
        "clocks.maximum-sm-mhz": 1980,
        "clocks.maximum-memory-mhz": 2619,
        "clocks.maximum-video-mhz": 1545,
        "clocks.application-graphics-mhz": 1980,
        "clocks.application-memory-mhz": 2619,
        "fabric.state": "Completed",
        "fabric.status": "Success",
        "fabric.clique-id": 0,
        "fabric.cluster-uuid": "00000000-0000-0000-0000-000000000000",
        "gsp.firmware-version": "570.86.15",
        "vbios-version": "96.00.A5.00.01",
        "inforom.image": "G520.0200.00.05",
        "inforom.oem": "2.1",
        "inforom.ecc": "7.16",
        "remapped-rows.correctable": 0,
        "remapped-rows.uncorrectable": 0,
        "remapped-rows.pending": False,
        "remapped-rows.failure": False,
        "recovery-action": "None",
        "platform.module-id": 4,
    }
    volatile = nvidia_smi_readings.volatile(document.gpus[0])
    assert volatile["temperature.gpu-celsius"] == 33
    assert volatile["power.draw-watts"] == 70.93
    assert not any(isinstance(answer, NoReading) for answer in volatile.values())


def test_a_real_h200_says_the_same_through_nvml_and_nvidia_smi() -> None:
    """Both were captured on one machine at one time; serial number and UUID are made up."""
    document = nvidia_smi.parse_log(OWN.with_name("h200-580.159.xml").read_bytes())
    nvml = json.loads(OWN.with_name("h200-580.159.json").read_text())
    top = (
        nvidia_smi_readings.driver_version(document),
        nvidia_smi_readings.cuda_version(document),
        nvidia_smi_readings.gpu_count(document),
    )
    assert top == tuple(nvml["smi"][key] for key in ("driver", "cuda-version", "gpu-count"))
    readings = {
        key: answer for key, answer in nvidia_smi_readings.configuration(document.gpus[0]).items() if not isinstance(answer, NoReading)
    }
    assert readings == {key: nvml["gpu-0"][key] for key in readings}
    # The document calls the display mode deprecated and does not hold the others.
    assert set(nvml["gpu-0"]) - set(readings) == {"compute-capability", "display-mode", "gsp.default-mode", "gsp.mode"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
        b"<nvidia_smi_log>",
        b"<other></other>",
        b"<nvidia_smi_log>&undeclared;</nvidia_smi_log>",
        b'<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd"><nvidia_smi_log>&undeclared;</nvidia_smi_log>',
        b'<!DOCTYPE a [<!ENTITY b "c">]><nvidia_smi_log/>',
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><nvidia_smi_log>&b;</nvidia_smi_log>',
        b'<!DOCTYPE a [<!ENTITY % b SYSTEM "http://192.0.2.1/"> %b;]><nvidia_smi_log/>',
        b"<nvidia_smi_log>" + b"<a>" * 100000 + b"</a>" * 100000 + b"</nvidia_smi_log>",
        b"<nvidia_smi_log><a>" + b"x" * (1 << 20) + b"</a></nvidia_smi_log>",
        b"<nvidia_smi_logger></nvidia_smi_logger>",
        b"<nvidia_smi_log><gpu><uuid></gpu></nvidia_smi_log>",
    ],
)
def test_any_other_document_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidData):
        nvidia_smi.parse_log(data)


def test_entities_do_not_grow() -> None:
    entities = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 30))
    began = time.monotonic()
    with pytest.raises(InvalidData, match="declares an entity"):
        nvidia_smi.parse_log(b'<!DOCTYPE a [<!ENTITY a0 "ha">' + entities + b"]><nvidia_smi_log>&a29;</nvidia_smi_log>")
    assert time.monotonic() - began < AMPLE_S


def test_bytes_that_are_no_utf8_become_escapes() -> None:
    document = nvidia_smi.parse_log(b"<nvidia_smi_log><gpu id='a'><product_name>H100 \xa9</product_name></gpu></nvidia_smi_log>")
    assert nvidia_smi_readings.configuration(document.gpus[0])["model"] == "H100 \\xa9"


def refused_or_read(data: bytes) -> None:
    try:
        document = nvidia_smi.parse_log(data)
    except InvalidData:
        return
    nvidia_smi_readings.driver_version(document)
    nvidia_smi_readings.gpu_count(document)
    for gpu in document.gpus:
        nvidia_smi_readings.configuration(gpu)
        nvidia_smi_readings.volatile(gpu)


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    refused_or_read(data)
    refused_or_read(b"<nvidia_smi_log><gpu>" + data + b"</gpu></nvidia_smi_log>")


@given(st.data())
def test_any_damage_to_a_document(data: st.DataObject) -> None:
    document = bytearray(OWN.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(document)))
        document[start : start + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=20))
    refused_or_read(bytes(document))


@given(st.text(max_size=30))
def test_any_text_of_an_element(value: str) -> None:
    elements = {path: value for _, _, paths in (*nvidia_smi_readings.CONFIGURATION, *nvidia_smi_readings.VOLATILE) for path in paths}
    for answers in (nvidia_smi_readings.configuration(elements), nvidia_smi_readings.volatile(elements)):
        assert all(isinstance(answer, (str, int, float, bool, NoReading)) for answer in answers.values())


def test_the_program_is_looked_for_in_absolute_folders_of_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(tmp_path, "exit 0")
    assert nvidia_smi.find_nvidia_smi({"PATH": f"/nonexistent:{tmp_path}"}) == path
    monkeypatch.chdir(tmp_path)
    try:
        assert nvidia_smi.find_nvidia_smi({"PATH": "::."}) != path
    except NotFound:
        pass


def test_what_the_program_prints_is_read(tmp_path: Path) -> None:
    path = program(tmp_path, f'test "$*" = "-q -x" && cat {OWN}; exit 14')
    assert len(nvidia_smi.parse_log(nvidia_smi.run_nvidia_smi(path, time.monotonic() + AMPLE_S)).gpus) == 2


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ("exec sleep 60", Timeout, "timed out"),
        ("exec 1>&-; exec sleep 60", Timeout, "timed out"),
        ("exec yes", Unavailable, "more than 16 MiB"),
        ("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18", Unavailable, "status 18: Failed to initialize NVML"),
        ("exit 3", Unavailable, "status 3: no output"),
        ("kill -9 $$", Unavailable, "status -9"),
    ],
)
def test_a_program_that_misbehaves(tmp_path: Path, body: str, error: type[EidosError], words: str) -> None:
    seconds = 1.0 if error is Timeout else AMPLE_S
    began = time.monotonic()
    with pytest.raises(error, match=words):
        nvidia_smi.run_nvidia_smi(program(tmp_path, body), began + seconds)
    assert time.monotonic() - began < AMPLE_S


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    path = tmp_path / "nvidia-smi"
    path.write_bytes(b"\x7fELF")
    path.chmod(0o755)
    with pytest.raises(Unavailable, match="cannot be started"):
        nvidia_smi.run_nvidia_smi(str(path), time.monotonic() + AMPLE_S)
