"""No identity of a node is in an anonymous snapshot, and one identity has one pseudonym within a fleet."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from eidos.errors import InvalidData
from eidos.fleet.pseudonyms import Pseudonyms, shipped_pseudonyms
from eidos.model.measurement import OK, WITHHELD, Measurement, Outcome, Subtype
from eidos.model.snapshot import Snapshot
from eidos.reading_selection import shipped_selection
from tests.conftest import ROOT
from tests.support.program import eidos

KEY = b"0123456789abcdef"
HOSTS = sorted(path.name for path in (ROOT / "tests" / "hosts").iterdir() if path.is_dir())

#: Kind of identity → texts of that kind, of which none may be left anywhere.
IDENTITIES = {
    "node": ["gpu-07.dc1.example.com", "gpu-07", "GPU-07"],
    "mac": [
        "94:6d:ae:00:00:01",
        "94-6D-AE-00-00-01",
        "01-94-6d-ae-00-00-01",
        "00:00:10:49:fe:80:00:00:00:00:00:00:94:6d:ae:03:00:12:34:56",
    ],
    "uuid": [
        "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9fa",
        r"0b1c2d3e\x2d4f50\x2d6172\x2d8394\x2da5b6c7d8e9fa",
        "GPU-0b1c2d3e-4f50-6172-8394-a5b6c7d8e9fa",
    ],
    "guid": ["a088:c203:0001:0002", "0xa088c20300010002"],
    "address": ["192.0.2.7", "10.1.2.3/24", "[2001:db8::7]:6443", "fe80::966d:aeff:fe00:1", "https://192.0.2.7:6443/x"],
    "cloud": ["i-0a1b2c3d4e5f67890", "ocid1.instance.oc1.iad.anuwcljt", "/subscriptions/0b1c-x/resourceGroups/rg-7/x"],
    "host": ["ip-10-0-1-3", "ip-10-0-1-3.us-west-2.compute.internal"],
    "disk": ["/dev/disk/by-id/nvme-SAMSUNG_S7BUNE0W000001", "nqn.2014-08.org.nvmexpress:uuid:x7"],
    "id": ["3f2a9c0d1e4b5a69788796a5b4c3d2e1"],
}

#: What remains of an identity when only a part of it was replaced.
PARTS = re.compile(
    r"(?i)gpu-07|94.6d.ae|0b1c2d3e|a088|c203|192\.0\.2\.7|10\.1\.2\.3|2001:db8|966d|0a1b2c|anuwcljt|0b1c-x|rg-7|ip-10-0|S7BUNE|x7|3f2a9c0d"
)

#: Texts that identify nobody, and stay as they are.
HARMLESS = (
    "570.86.15",
    "5.14.0-427.13.1.el9_4.x86_64",
    "0000:0f:00.0",
    "00000000:0F:00.0",
    "127.0.0.1:10248",
    "0.0.0.0",
    "::1",
    "12:30:45",
    "std::string",
    "96.00.A5.00.01",
    "0-3,8-11",
    "cpu-17",
    "sha256:aa",
    "00000000-00000000-00000000-00000000",
    "0000:0000:0000:0000",
    "ffff::x",
    "4 4 1 7",
    "/dev/sda1",
    "NVIDIA H100 80GB HBM3",
)


def shot(data: dict[str, Any], node: str = "gpu-07.dc1.example.com", kind: str = "OS", subtype: str = "grub") -> Snapshot:
    return Snapshot("2026-11-23T06:00:00Z", "1", node, (Measurement(kind, (Subtype(subtype, data),)),))


def anonymous(snapshot: Snapshot, key: bytes = KEY, *names: str) -> Snapshot:
    return shipped_pseudonyms(key).anonymize(snapshot, *names)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in IDENTITIES.items() for text in texts])
def test_an_identity_is_nowhere(kind: str, text: str) -> None:
    data: dict[str, Any] = {"x": text, "y": f"before {text}, after", f"z {text}": f"a={text} b={text}"}
    outcome = Outcome("os.grub", OK, 1.0, f"of {text}", f"ask {text}", {text: text}, {f"/x/{text}": f"is {text}"}, revealed=(text,))
    snapshot = Snapshot("", "", "gpu-07.dc1.example.com", (Measurement("OS", (Subtype("grub", data, {"x": text}),)),), (outcome,))
    document = json.dumps(anonymous(snapshot).to_tree())
    assert not PARTS.search(document), document
    assert f"{kind}-" in document or kind in ("host", "node"), document


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_texts_stay(text: str) -> None:
    data = {"x": text, "y": f"({text})"}
    assert anonymous(shot(data)).measurements[0].subtypes[0].data == data


def test_versions_of_four_numbers_stay_where_versions_are() -> None:
    for kind, subtype, key in (("OS", "packages", "containerd.io"), ("OS", "net", "eth0.firmware"), ("GPU", "gpu-0", "vbios-version")):
        data = {key: "1.2.3.4"}
        assert anonymous(shot(data, kind=kind, subtype=subtype)).measurements[0].subtypes[0].data == data


def test_an_identifying_reading_is_replaced_whatever_it_is_and_wherever_it_occurs() -> None:
    measurements = (
        Measurement("GPU", (Subtype("gpu-0", {"serial": "1650924000001", "model": "H100"}),)),
        Measurement("K8s", (Subtype("node", {"provider-id": "gce://project/zone/vm-x", "provider": "gke"}),)),
        Measurement(
            "OS", (Subtype("storage", {"disk.nvme0n1.serial": "S7BUNE0W000001", "note": "S7BUNE0W000001, 1650924000001 of vm-x"}),)
        ),
    )
    tree = json.dumps(anonymous(Snapshot("", "", "n1", measurements)).to_tree())
    assert not [text for text in ("1650924000001", "S7BUNE0W000001", "vm-x", "project") if text in tree]
    assert '"gce://cloud-' in tree and '"gke"' in tree and '"H100"' in tree


def test_a_name_and_its_fully_qualified_form_are_one_node_in_all_snapshots() -> None:
    pseudonyms = shipped_pseudonyms(KEY)
    one = pseudonyms.anonymize(shot({"x": "gpu-07", "y": "GPU-07.dc1.example.com"}), "eve@gpu-07")
    other = pseudonyms.anonymize(shot({"x": "peer gpu-07"}, node="gpu-08"))
    name = one.node
    assert one.measurements[0].subtypes[0].data == {"x": name, "y": name}
    assert other.measurements[0].subtypes[0].data == {"x": f"peer {name}"}
    assert name != other.node


def test_the_names_of_a_large_fleet_are_replaced_in_every_text() -> None:
    pseudonyms = shipped_pseudonyms(KEY)
    pseudonyms.add_nodes([f"gpu-{number:04}.example.com" for number in range(5000)])
    node = pseudonyms.node_name("gpu-0042")
    assert (
        pseudonyms.clean("of gpu-0042, GPU-0042.example.com:10250 and kubelet-gpu-0042-x.")
        == f"of {node}, {node}:10250 and kubelet-{node}-x."
    )
    assert pseudonyms.clean("gpu-00421 xgpu-0042 gpu_0042 gpu-0042_x") == f"gpu-00421 xgpu-0042 gpu_0042 {node}_x"
    assert not re.search(r"gpu-\d", pseudonyms.clean(" ".join(f"gpu-{number:04}" for number in range(5000))))


def test_spellings_of_one_address_have_one_pseudonym_and_keys_make_others() -> None:
    data = anonymous(shot({"x": "94:6d:ae:00:00:01", "y": "94-6D-AE-00-00-01", "z": "94:6d:ae:00:00:02"})).measurements[0].subtypes[0].data
    assert data["x"] == data["y"] != data["z"]
    assert anonymous(shot({"x": "192.0.2.7"}), b"f" * 16) != anonymous(shot({"x": "192.0.2.7"}))


def test_a_name_that_is_an_ordinary_word_does_not_eat_the_document() -> None:
    data = {"x": "the host is on", "ID": "debian"}
    assert anonymous(shot(data, node="host")).measurements[0].subtypes[0].data == data
    assert anonymous(shot(data, node="host")).node.startswith("node-")


def test_no_value_is_no_identity() -> None:
    data = {"hostname": "(none)", "ip": "", "BOOTIF": WITHHELD}
    assert anonymous(shot(data)).measurements[0].subtypes[0].data == data


def test_anonymous_nodes_compare_as_they_did() -> None:
    """Nodes that differ only in identities are equal before and after, and a difference stays one."""
    rules, pseudonyms = shipped_selection(), shipped_pseudonyms(KEY)
    nodes = [shot({"root": f"UUID=0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f{i}", "x": f"gpu-0{i}", "y": "1"}, node=f"gpu-0{i}") for i in range(2)]
    assert rules.select_readings(nodes[0]) == rules.select_readings(nodes[1])
    one, other = (rules.select_readings(pseudonyms.anonymize(node)) for node in nodes)
    assert {path for path in one if one[path] != other[path]} <= {("OS", "grub", "root")}
    assert one["OS", "grub", "y"] == "1"


def test_pseudonyms_are_the_identity_in_the_comparison_of_roots() -> None:
    rules, pseudonyms = shipped_selection(), shipped_pseudonyms(KEY)
    nodes = [shot({"root": f"UUID=0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f{i}"}, node=f"gpu-0{i}") for i in range(2)]
    one, other = (rules.select_readings(pseudonyms.anonymize(node)) for node in nodes)
    assert one == other


@given(st.text(max_size=60), st.sampled_from([text for texts in IDENTITIES.values() for text in texts]))
def test_any_text_around_an_identity(text: str, identity: str) -> None:
    cleaned = str(anonymous(shot({"x": f"{text} {identity} {text}"})).measurements[0].subtypes[0].data["x"])
    assert identity not in cleaned or identity in f"{text}{text}"


@given(st.text(max_size=40))
def test_a_pseudonym_has_one_form(text: str) -> None:
    assert re.fullmatch(r"mac-[0-9a-f]{16}", shipped_pseudonyms(KEY).pseudonym("mac", text))


@pytest.mark.parametrize("tree", [[], {"identity": 1}, {"identifiers": [{"kind": "a", "pattern": "("}]}, {"identifiers": [{"kind": "a"}]}])
def test_rules_that_are_none(tree: object) -> None:
    with pytest.raises(InvalidData):
        Pseudonyms(KEY, tree)


def identifying_texts(name: str) -> set[str]:
    """What identifies a captured host, by looking at its files in another way than the program does."""
    texts = set()
    for path in sorted((ROOT / "tests" / "hosts" / name).rglob("*")):
        if not path.is_file() or path.name == "README.md" or path.stat().st_size > 1 << 20:
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        if path.name in ("hostname", "serial", "product_serial", "product_uuid", "address", "node_guid", "sys_image_guid", "wwid"):
            texts.add(text.strip())
        for pattern in (r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", r"(?:[0-9a-f]{2}:){5,19}[0-9a-f]{2}", r"(?<=ip=)[0-9.]+"):
            texts |= set(re.findall(pattern, text))
    return {text for text in texts if len(text) > 3 and text not in ("(none)", "localhost") and text.strip("0:-f")}


@pytest.mark.parametrize("name", HOSTS)
def test_no_identity_of_a_captured_host_is_in_the_output(name: str) -> None:
    root = ROOT / "tests" / "hosts" / name
    result = eidos("snapshot", "--root", str(root), "--only", "os", "--anonymous", "--volatile", "--quiet")
    assert result.status == 0, result.err
    leaked = [text for text in identifying_texts(name) if text.lower() in result.out.lower().replace(str(root).lower(), "")]
    assert not leaked


def test_a_key_file_makes_runs_agree(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    words = ("snapshot", "--root", str(ROOT / "tests/hosts/rhel-9"), "--only", "os.grub,os.sysctl", "--quiet", "--anonymous")
    runs = [yaml.safe_load(eidos(*words, *more).out) for more in ((), (), ("--anonymous-key", str(key)), ("--anonymous-key", str(key)))]
    nodes = [run["metadata"]["source-node"] for run in runs]
    assert nodes[2] == nodes[3] and len(set(nodes)) == 3
    assert runs[2]["measurements"] == runs[3]["measurements"] != runs[0]["measurements"]


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (b"short", ("--anonymous",), "has 5 bytes; expected 16 or more"),
        (None, ("--anonymous",), "no such file"),
        (b"x" * 5000, ("--anonymous",), "larger than 4 KiB"),
        (b"x" * 32, (), "--anonymous-key needs --anonymous"),
    ],
)
def test_a_key_file_that_is_none(tmp_path: Path, content: bytes | None, words: tuple[str, ...], message: str) -> None:
    key = tmp_path / "key"
    if content is not None:
        key.write_bytes(content)
    result = eidos("snapshot", "--only", "os.kmod", *words, "--anonymous-key", str(key))
    assert result.status in (1, 2) and message in result.err and not result.out


@pytest.mark.slow
def test_all_files_of_a_fleet_are_anonymous(pyz: Path, tmp_path: Path) -> None:
    """Files, summary and reasons have pseudonyms, and equal nodes are equal."""
    for node in ("gpu-01", "gpu-02", "gpu-03"):
        folder = tmp_path / node / "proc"
        folder.mkdir(parents=True)
        (folder / "cmdline").write_text(f"quiet ip=192.0.2.{node[-1]} root=UUID=0b1c2d3e-0000-0000-0000-00000000000{node[-1]}\n")
        (tmp_path / node / "etc").mkdir()
        (tmp_path / node / "etc" / "hostname").write_text(f"{node}\n")
    via = tmp_path / "via"
    via.write_text(f'#!/bin/sh\ntest "$1" != gpu-04 || exit 7\nexport EIDOS_ROOT="{tmp_path}/$1"; shift; exec "$@"\n')
    via.chmod(0o755)
    program = [sys.executable, "-I", "-S", str(pyz), "fleet"]
    words = (
        "--hosts",
        "gpu-[01-04]",
        "--via",
        f"{via} {{host}}",
        "--python",
        sys.executable,
        "--only",
        "os.grub",
        "-o",
        str(tmp_path / "out"),
    )
    result = eidos(*words, "--anonymous", "--quiet", "-t", "yaml", program=program, cwd=tmp_path)
    assert result.status == 3, result.err
    written = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert len(written) == 4
    for text in (*written, *written.values(), result.out.replace(str(tmp_path), "")):
        assert not re.search(r"gpu-0\d|192\.0\.2\.|0b1c2d3e", text), text
    summary = yaml.safe_load(result.out)
    assert [one["kind"] for one in summary["classes"]] == ["equal"]
    assert len(summary["unanswered"]) == 1 and summary["unanswered"][0]["node"].startswith("node-")
