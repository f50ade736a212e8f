"""nvidia-smi where things go wrong: error texts in place of values, malformed elements, warnings around the document."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from eidos.errors import InvalidData
from eidos.nvidia import gpu_values, nvidia_smi, nvidia_smi_readings
from eidos.nvidia.gpu_values import NoReading
from eidos.nvidia.nvidia_smi_values import BRANDS, ERROR_TEXTS, boolean, normalize, to_reading

CASES = Path(__file__).parent.parent / "cases/gpu"
ROWS = (*nvidia_smi_readings.CONFIGURATION, *nvidia_smi_readings.VOLATILE)
PATHS = sorted({path for _, _, paths in ROWS for path in paths})
ECC_KEYS = ("ecc.corrected-since-load", "ecc.uncorrected-since-load", "ecc.corrected-lifetime", "ecc.uncorrected-lifetime")
ECC_PATHS = [
    f"ecc_errors/{scope}/{counter}"
    for scope in ("volatile", "aggregate")
    for counter in ("sram_correctable", "sram_uncorrectable_parity", "sram_uncorrectable_secded", "dram_correctable", "dram_uncorrectable")
]
EVENTS = ["clocks_event_reasons/clocks_event_reason_gpu_idle", "clocks_event_reasons/clocks_event_reason_hw_slowdown"]

#: Texts without digits that are readings, in lower case.
WORDS = {word.lower() for table in vars(gpu_values).values() if isinstance(table, dict) for word in table.values() if isinstance(word, str)}
WORDS |= {"yes", "no", "true", "false", "success", "full", "degraded", "active"}

#: What nvidia-smi printed where a call failed, in its own words and in those of NVML; the last ones are in no list.
TEXTS = [
    *(text[:1].upper() + text[1:] for text in ERROR_TEXTS),
    *(f"[{text}]" for text in ("Unknown Error", "GPU is lost", "Not Supported")),
    "ERR!",
    "Unknown",
    "GPU is lost.  Reboot the system to recover this GPU",
    "Unable to determine the device handle for GPU0000:65:00.0: Unknown Error",
    "Unknown Error 43",
    "NVIDIA driver is not loaded",
    "Error 999",
    "Persistence daemon unavailable",
    "In full chip reset",
    "<unset>",
    "-",
]


def log(name: str) -> nvidia_smi.NvidiaSmiLog:
    return nvidia_smi.parse_log((CASES / name).read_bytes())


def every_reading(elements: dict[str, str]) -> dict[str, object]:
    return {**nvidia_smi_readings.configuration(elements), **nvidia_smi_readings.volatile(elements)}


@pytest.mark.parametrize("value", TEXTS)
def test_an_error_text_is_no_reading_of_anything(value: str) -> None:
    readings = every_reading(dict.fromkeys((*PATHS, *ECC_PATHS, *EVENTS), value))
    assert len(readings) > 80
    assert {key: reading for key, reading in readings.items() if not isinstance(reading, NoReading)} == {}
    assert {reading.reason for reading in readings.values() if isinstance(reading, NoReading)} <= {
        value[:120],
        f"unexpected value: {value!r}",
    }


@given(st.text(st.characters(codec="ascii", categories=("L", "P", "Zs")), max_size=60))
def test_a_text_without_digits_is_a_reading_only_if_it_is_one_of_the_words(value: str) -> None:
    assume(value.partition(" ")[0] not in BRANDS)
    readings = every_reading(dict.fromkeys((*PATHS, *ECC_PATHS, *EVENTS), value))
    assert all(isinstance(reading, NoReading) for reading in readings.values()) or value.lower() in WORDS


@pytest.mark.parametrize(
    ("key", "value", "reading"),
    [
        ("model", "NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"),
        ("model", "Tesla V100-SXM2-16GB", "Tesla V100-SXM2-16GB"),
        ("model", "NVIDIA TITAN V", "NVIDIA TITAN V"),
        ("model", "GeForce GTX 1080", "GeForce GTX 1080"),
        ("model", "GRID A100D-1-10C MIG 1g.10gb", "GRID A100D-1-10C MIG 1g.10gb"),
        ("model", "Orin (nvgpu)", "Orin (nvgpu)"),
        ("model", "Graphics Device", "Graphics Device"),
        ("architecture", "Ada Lovelace", "Ada Lovelace"),
        ("architecture", "Feynman", None),
        ("uuid", "GPU-da613ba8-27bb-76b9-2c57-d36a5905478a", "GPU-da613ba8-27bb-76b9-2c57-d36a5905478a"),
        ("uuid", "GPU-1", None),
        ("serial", "1652923034028", "1652923034028"),
        ("board.part-number", "692-2G520-0200-000", "692-2G520-0200-000"),
        ("board.part-number", "N-A", None),
        ("pci.bus-id", "00000000:C1:00.0", "00000000:C1:00.0"),
        ("pci.bus-id", "0000:01:00.0", "0000:01:00.0"),
        ("pci.bus-id", "0000:01:00", None),
        ("pci.device-id", "20B010DE", "0x20B010DE"),
        ("pci.device-id", "0x20b010de", "0x20B010DE"),
        ("pci.device-id", "0x20B0", None),
        ("memory.total-mib", "81559 MiB", 81559),
        ("memory.total-mib", "79 GiB", None),
        ("memory.total-mib", "1_000 MiB", None),
        ("memory.total-mib", "\u0661 MiB", None),
        ("pcie.width-current", "16x", 16),
        ("power.enforced-limit-watts", "700.00 W", 700.0),
        ("power.enforced-limit-watts", "inf W", None),
        ("power.enforced-limit-watts", "0.7 kW", None),
        ("ecc.current", "Enabled", "Enabled"),
        ("ecc.current", "enabled", None),
        ("compute-mode", "Exclusive_Process", "Exclusive_Process"),
        ("virtualization-mode", "Pass-Through", "Pass-Through"),
        ("fabric.cluster-uuid", "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"),
        ("gsp.firmware-version", "570.86.15", "570.86.15"),
        ("vbios-version", "96.00.A5.00.01", "96.00.A5.00.01"),
        ("vbios-version", "Timeout", None),
        ("inforom.image", "G520.0200.00.05", "G520.0200.00.05"),
        ("inforom.image", "ERR.NO", None),
        ("inforom.ecc", "7.16", "7.16"),
        ("recovery-action", "Drain and Reset", "Drain and Reset"),
        ("recovery-action", "Pray", None),
        ("performance-state", "P0", "P0"),
        ("performance-state", "P16", None),
        ("temperature.gpu-celsius", "33 C", 33),
        ("temperature.gpu-celsius", "91 F", None),
    ],
)
def test_forms(key: str, value: str, reading: object) -> None:
    convert = next(convert for name, convert, _ in ROWS if name == key)
    answer = to_reading(value, convert)
    if reading is None:
        assert answer in (NoReading(f"unexpected value: {value!r}", is_unreadable=True), NoReading(value, is_unreadable=True))
    else:
        assert answer == reading
        assert type(answer) is type(reading)


def test_error_texts_have_the_status_that_the_bindings_give_them() -> None:
    pynvml = pytest.importorskip("pynvml")
    texts = {normalize(text): status for status, text in pynvml.NVMLError._errcode_to_string.items()}
    shared = texts.keys() & ERROR_TEXTS.keys()
    assert len(shared) > 15
    assert {text: ERROR_TEXTS[text] for text in shared} == {text: texts[text] for text in shared}
    names = {
        "driver/library version mismatch": "LIB_RM_VERSION_MISMATCH",
        "gpu requires reset": "RESET_REQUIRED",
        "in use by another client": "IN_USE",
        "no data": "NO_DATA",
        "insufficient resources": "INSUFFICIENT_RESOURCES",
        "argument version mismatch": "ARGUMENT_VERSION_MISMATCH",
        "requested functionality has been deprecated": "DEPRECATED",
        "the requested functionality has been deprecated": "DEPRECATED",
        "the requested functionality is not ready": "NOT_READY",
    }
    assert {text: ERROR_TEXTS[text] for text in names} == {text: getattr(pynvml, f"NVML_ERROR_{name}") for text, name in names.items()}
    assert ERROR_TEXTS.keys() - shared - names.keys() == {"the operating system has blocked the request"} - texts.keys()


@pytest.mark.parametrize(
    ("value", "is_absent"),
    [
        ("N/A", True),
        ("[N/A]", True),
        ("Not Supported", True),
        ("Function Not Found", True),
        ("Argument version mismatch", True),
        ("Requested functionality has been deprecated", True),
        ("The requested functionality has been deprecated.", True),
        ("Not Found", False),
        ("Timeout", False),
        ("Insufficient Permissions", False),
        ("The requested functionality is not ready", False),
        ("", False),
    ],
)
def test_absent_and_unreadable(value: str, is_absent: bool) -> None:
    assert to_reading(value, boolean) == NoReading(value or "empty", is_unreadable=not is_absent)


@pytest.mark.parametrize(("value", "reading"), [("Yes", True), ("No", False), ("True", True), ("False", False), ("yes", True)])
def test_switches(value: str, reading: bool) -> None:
    assert to_reading(value, boolean) is reading


def test_a_long_text_is_no_reading_and_is_shown_in_part() -> None:
    longest = "1" * 120
    assert to_reading(longest, str) == longest
    answer = to_reading(longest + "1", str)
    assert answer == NoReading(f"unexpected value: {'1' * 60!r}", is_unreadable=True)
    answer = to_reading("word " * 1000, str)
    assert answer == NoReading(("word " * 24)[:120], is_unreadable=True)


def test_the_address_comes_from_the_attribute_when_the_element_holds_an_error() -> None:
    first, second = log("groups-of-one-word.xml").gpus
    assert nvidia_smi_readings.configuration(first)["pci.bus-id"] == "00000000:18:00.0"
    assert nvidia_smi_readings.configuration(second)["pci.bus-id"] == "00000000:3B:00.0"


def test_a_group_of_one_word_is_that_word_for_each_of_its_readings() -> None:
    first, second = (every_reading(gpu) for gpu in log("groups-of-one-word.xml").gpus)
    not_available, lost = NoReading("N/A"), NoReading("GPU is lost", is_unreadable=True)
    assert first["mig.current"] == first["mig.devices"] == first["clocks.event-reasons"] == not_available
    assert first["fabric.state"] == first["fabric.health.summary"] == NoReading("[N/A]")
    assert first["remapped-rows.pending"] == first["remapped-rows.correctable"] == lost
    assert first["retired-pages.single-bit"] == not_available
    assert first["retired-pages.double-bit"] == 3
    assert first["pcie.width-current"] == NoReading("Insufficient Permissions", is_unreadable=True)
    assert {first[key] for key in ECC_KEYS} == {NoReading("Unknown Error", is_unreadable=True)}
    assert first["vbios-version"] == nvidia_smi_readings.MISSING
    lost = NoReading("GPU is lost.  Reboot the system to recover this GPU", is_unreadable=True)
    assert {key for key, reading in second.items() if reading != lost} == {"pci.bus-id"}


def test_versions_by_the_names_of_the_thirteenth_dtd() -> None:
    document = log("groups-of-one-word.xml")
    assert nvidia_smi_readings.driver_version(document) == "610.57.04"
    assert nvidia_smi_readings.cuda_version(document) == "13.3"


def test_ecc_counters_in_every_layout() -> None:
    ampere, turing, pascal, none, half = (
        [nvidia_smi_readings.volatile(gpu)[key] for key in ECC_KEYS] for gpu in log("ecc-errors.xml").gpus
    )
    assert ampere == [9, 22, 100, NoReading("Unknown Error", is_unreadable=True)]
    assert turing == [5, 10, 0, 0]
    assert pascal == [5, NoReading("N/A"), 6, 7]
    assert none == [NoReading("N/A")] * 4
    assert half == [nvidia_smi_readings.MISSING] * 4, "a total without one of its counters would be too low"


def test_a_clock_event_that_could_not_be_read_is_not_inactive() -> None:
    def events(**states: str) -> object:
        return nvidia_smi_readings.volatile({f"clocks_event_reasons/clocks_event_reason_{k}": v for k, v in states.items()})[
            "clocks.event-reasons"
        ]

    assert events(gpu_idle="Active", hw_slowdown="Not Active") == "gpu-idle"
    assert events(gpu_idle="Active", hw_slowdown="N/A") == "gpu-idle"
    assert events(gpu_idle="N/A", hw_slowdown="N/A") == NoReading("N/A")
    assert events(gpu_idle="Active", hw_slowdown="GPU is lost") == NoReading("GPU is lost", is_unreadable=True)


def test_the_status_of_the_fabric_is_an_nvml_text_that_is_a_reading() -> None:
    def status(state: str, text: str) -> object:
        return nvidia_smi_readings.configuration({"fabric/state": state, "fabric/status": text})["fabric.status"]

    assert status("Completed", "Success") == "Success"
    assert status("Completed", "Insufficient Resources") == "NVML status 23"
    assert status("Timeout", "Timeout") == NoReading("Timeout", is_unreadable=True)
    assert status("N/A", "N/A") == NoReading("N/A")


def test_elements_that_are_skipped_may_be_malformed_and_a_malformed_gpu_costs_itself_alone() -> None:
    document = log("malformed-skipped.xml")
    first, second, third = document.gpus
    assert nvidia_smi_readings.configuration(first)["model"] == "NVIDIA A40"
    assert nvidia_smi_readings.configuration(first)["serial"] == "1320521000001", "what comes after the skipped elements"
    assert second == {}
    assert document.malformed == {1: "nvidia-smi -q -x: mismatched tag in line 31"}
    assert nvidia_smi_readings.configuration(third)["minor-number"] == 2
    assert "train" not in repr(document)
    assert document.remarks == ()


@pytest.mark.parametrize("cut", range(400, 1500, 50))
def test_a_document_that_breaks_off(cut: int) -> None:
    data = (CASES / "malformed-skipped.xml").read_bytes()[:cut]
    if b"</gpu>" not in data:
        with pytest.raises(InvalidData, match="in line"):
            nvidia_smi.parse_log(data)
        return
    document = nvidia_smi.parse_log(data)
    assert nvidia_smi_readings.configuration(document.gpus[0])["serial"] == "1320521000001", "the GPU before the break is complete"
    assert len(document.malformed) <= 2


@pytest.mark.parametrize(
    ("body", "malformed", "serials"),
    [
        # What is skipped ends at the last of its end tags before the next GPU.
        ("<gpu ><processes>a</processes>b&<processes></processes><serial>1</serial></gpu>", [], ["1"]),
        ("<gpu ><processes></processes><serial>1</serial></gpu>", [], ["1"]),
        ("<gpu ><processes>&</processes><supported_clocks>&</supported_clocks><serial>1</serial></gpu>", [], ["1"]),
        # One that is not closed costs its own GPU, before and after another.
        ("<gpu ><processes>&</gpu><gpu ><processes>&</processes><serial>2</serial></gpu>", [0], [None, "2"]),
        ("<gpu ><processes>&</processes><serial>1</serial></gpu><gpu ><processes>&</gpu>", [1], ["1", None]),
        ("<gpu ><serial>1</serial></gpu></processes>&<processes><gpu><serial>2</serial></gpu>", [], ["1", "2"]),
        # A GPU that is not closed, and what stands between two.
        ("<gpu><serial>1</serial><gpu><serial>2</serial></gpu>", [0], [None, "2"]),
        ("<gpu><serial>1</serial></gpu>&<gpu><serial>2</serial></gpu>", [], ["1", "2"]),
        ("<gpu><serial>1</serial></gpu><gpu><serial>2</serial>", [1], ["1", None]),
    ],
)
def test_what_is_malformed_costs_no_more_than_itself(body: str, malformed: list[int], serials: list[str | None]) -> None:
    document = nvidia_smi.parse_log(f"<nvidia_smi_log>\n{body}\n</nvidia_smi_log>".encode())
    assert [gpu.get("serial") for gpu in document.gpus] == serials
    assert list(document.malformed) == malformed


def test_lines_are_counted_in_the_output_as_it_is() -> None:
    gpus = "".join(f"<gpu>\n<processes>\n\n</processes>\n{text}\n</gpu>\n" for text in ("<a>1</a>", "<a>2", "<a>3</a>", "<a>4"))
    document = nvidia_smi.parse_log(
        f"a warning\n\n<nvidia_smi_log>\n<driver_version>1.2\n</driver_version>\n{gpus}</nvidia_smi_log>".encode()
    )
    assert document.malformed == {
        1: "nvidia-smi -q -x: mismatched tag in line 17",
        3: "nvidia-smi -q -x: mismatched tag in line 29",
    }


def test_only_a_few_short_lines_around_the_document_are_reported() -> None:
    lines = "".join(f"{number} {'x' * 300}\n" for number in range(9))
    document = nvidia_smi.parse_log(f"{lines}<nvidia_smi_log><a>1</a></nvidia_smi_log>\nlast\n".encode())
    assert len(document.remarks) == 5
    assert {len(line) for line in document.remarks} == {200}


def test_the_number_of_gpus_is_bounded() -> None:
    document = nvidia_smi.parse_log(b"<nvidia_smi_log>" + b"<gpu><serial>1</serial></gpu>" * 5000 + b"</nvidia_smi_log>")
    assert len(document.gpus) == 257
    assert document.malformed == {256: "nvidia-smi -q -x: more than 256 GPUs"}


@pytest.mark.parametrize("depth", [17, 18])
def test_the_depth_of_a_document_is_bounded(depth: int) -> None:
    data = f"<nvidia_smi_log>{'<a>' * depth}{'</a>' * depth}</nvidia_smi_log>".encode()
    if depth == 17:
        nvidia_smi.parse_log(data)
    else:
        with pytest.raises(InvalidData, match="nested too deeply"):
            nvidia_smi.parse_log(data)


@pytest.mark.parametrize("code", [*range(32), 127])
def test_control_characters_become_escapes(code: int) -> None:
    document = nvidia_smi.parse_log(f"<nvidia_smi_log><a>x{chr(code)}y</a></nvidia_smi_log>".encode())
    expected = f"x{chr(code)}y" if chr(code) in "\t\n\x7f" else "x\ny" if code == 13 else f"x\\x{code:02x}y"
    assert document.top["a"] == expected


def test_lines_around_the_document_cost_nothing_and_are_reported() -> None:
    document = log("warnings-around.xml")
    assert nvidia_smi_readings.configuration(document.gpus[0])["model"] == "Tesla T4"
    assert document.remarks == ("WARNING: infoROM is corrupted at gpu 0000:3B:00.0", "WARNING: persistenced is not running")
    assert document.malformed == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\n\n" + data + b"\n \n",
        lambda data: data.replace(b'<?xml version="1.0" ?>\n', b""),
        lambda data: data.replace(b'<?xml version="1.0" ?>', b'<?xml version="1.0" encoding="ISO-8859-1" ?>'),
        lambda data: data.replace(b"</gpu>", b"<serial_note>\xa9 \xff</serial_note></gpu>"),
        lambda data: data.replace(b"</gpu>", b"<note>a\x01b\x1b[0m\x00</note></gpu>"),
        lambda data: data.replace(b"</gpu>", b"<processes>\x02&&<</processes></gpu>"),
        lambda data: b"Failed to open a file\n" * 1000 + data,
        lambda data: data + data,
    ],
)
def test_encodings_line_ends_and_noise_change_no_reading(change: object) -> None:
    data = (CASES / "h200-580.159.xml").read_bytes()
    (plain,), (changed,) = (nvidia_smi.parse_log(text).gpus[:1] for text in (data, change(data)))  # type: ignore[operator]  # a table of functions of one kind
    assert every_reading(changed) == every_reading(plain)


@pytest.mark.shared
def test_every_case_that_failed_once_is_read(shared: Path) -> None:
    folder = shared.parent / "cases/smi"
    for path in sorted(folder.glob("err-*.xml")):
        (gpu,) = nvidia_smi.parse_log(path.read_bytes()).gpus
        readings = {key for key, reading in every_reading(gpu).items() if not isinstance(reading, NoReading)}
        assert readings == {"pci.bus-id"}, path
    names = "blank-before bom crlf latin supported-clock-broken unable-then-xml ampersand-process ctrl-process wrongid group-na mig-nested"
    for name in names.split():
        (gpu,) = nvidia_smi.parse_log((folder / f"{name}.xml").read_bytes()).gpus
        assert nvidia_smi_readings.configuration(gpu)["vbios-version"] == "96.00.74.00.01", name
        assert nvidia_smi_readings.configuration(gpu)["pci.device-id"] == "0x233010DE", name
    (gpu,) = nvidia_smi.parse_log((folder / "group-na.xml").read_bytes()).gpus
    assert nvidia_smi_readings.configuration(gpu)["remapped-rows.pending"] == NoReading("N/A")
    with pytest.raises(InvalidData, match="no element found in line"):
        nvidia_smi.parse_log((folder / "truncated.xml").read_bytes())
