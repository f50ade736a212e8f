"""Values that a user asks for, and names of those that are withheld."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from eidos.collectors import harmless_names
from eidos.collectors.k8s_policy import flatten_spec
from eidos.collectors.systemd import parse_unit_properties
from eidos.dbus.signature import Variant
from tests.support.program import eidos

SECRET = "Zq7kD02mWx91LpTe"
LINE = f"quiet inst.ks=https://a:{SECRET}@example.com/ks my.pw={SECRET} other={SECRET} cc: {{x: {SECRET}}} end_cc ro -- {SECRET}\n"


@pytest.fixture
def host(tmp_path: Path) -> str:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cmdline").write_text(LINE)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(f"ID=ubuntu\nUNHEARD_OF={SECRET}\n")
    return str(tmp_path)


def snapshot(host: str, *arguments: str) -> str:
    result = eidos("snapshot", "--root", host, "--only", "os.grub,os.release", *arguments)
    assert result.status == 0, result.err
    assert SECRET not in result.err
    return result.out


def test_names_are_listed_without_values(host: str) -> None:
    text = snapshot(host, "--list-withheld")
    assert text.splitlines() == [
        *("os.grub     --", "os.grub     cc:", "os.grub     inst.ks", "os.grub     my.pw", "os.grub     other"),
        "os.release  UNHEARD_OF",
    ]
    rows = json.loads(snapshot(host, "--list-withheld", "-t", "json"))
    assert {"collector": "os.grub", "name": "my.pw"} in rows
    assert SECRET not in text


def test_each_name_that_is_listed_can_be_revealed_and_no_other_value_is(host: str) -> None:
    names = [line.split()[-1] for line in snapshot(host, "--list-withheld").splitlines()]
    hidden = snapshot(host, "-t", "json")
    assert SECRET not in hidden
    for name in names:
        document = json.loads(snapshot(host, "-t", "json", f"--reveal={name}"))
        data = {key: value for part in document["measurements"] for sub in part["subtypes"] for key, value in sub["data"].items()}
        assert {key for key, value in data.items() if SECRET in value} == {name}
        assert [outcome.get("revealed") for outcome in document["collectors"] if "revealed" in outcome] == [[name]]
    document = json.loads(snapshot(host, "-t", "json", f"--reveal={','.join(names)}"))
    assert not any(outcome.get("withheld") for outcome in document["collectors"])


def test_a_name_that_nothing_has_is_counted_and_not_repeated(host: str) -> None:
    result = eidos("snapshot", "--root", host, "--only", "os.grub", "--reveal", "my.pw,n0thing")
    assert "--reveal: 1 of 2 names match no withheld value" in result.err
    assert "n0thing" not in result.err
    result = eidos("snapshot", "--root", host, "--only", "os.grub", "--reveal", "n0thing")
    assert "--reveal: 1 of 1 name matches no withheld value" in result.err


def test_a_list_of_names_has_the_exit_status_of_its_snapshot(host: str) -> None:
    result = eidos("snapshot", "--root", host, "--only", "os.grub,os.sysctl", "--require", "os.sysctl", "--list-withheld")
    assert (result.status, "--require is not met: os.sysctl is " in result.err) == (3, True), result.err
    assert "my.pw" in result.out


def test_the_built_file_finds_its_lists_by_a_relative_path(pyz: Path, host: str, tmp_path: Path) -> None:
    (tmp_path / "eidos.pyz").write_bytes(pyz.read_bytes())
    for path, folder in (("eidos.pyz", tmp_path), ("../eidos.pyz", tmp_path / "etc")):
        program = [sys.executable, path]
        result = eidos("snapshot", "--root", host, "--only", "os.grub,os.release", "--list-withheld", program=program, cwd=folder)
        assert result.status == 0, result.err
        assert "os.grub     my.pw" in result.out
        assert eidos("help", "secrets", program=program, cwd=folder).status == 0


def test_nothing_is_revealed_by_a_variable(host: str) -> None:
    result = eidos("snapshot", "--root", host, "--only", "os.grub", "--quiet", env={"EIDOS_REVEAL": "my.pw"})
    assert SECRET not in result.out


def test_variables_options_properties_and_fields() -> None:
    unit = {
        "Environment": Variant(("as", [f"A={SECRET}", f"API_TOKEN={SECRET}"])),
        "ExecStart": Variant(("a(sasb)", [("/bin/x", ["/bin/x", "--token", SECRET, f"--pass={SECRET}", SECRET], False)])),
    }
    _, _, labels = parse_unit_properties(unit, harmless_names("variables"))
    assert labels == ["Environment A", "Environment API_TOKEN", "ExecStart --token", "ExecStart --pass", "ExecStart"]
    for label in labels:
        name = label.split()[-1]
        names = harmless_names("variables", revealed=(name,))
        shown, _, others = parse_unit_properties(unit, names)
        assert str(shown).count(SECRET) == (3 if name == "ExecStart" else 1)
        assert label not in others
        assert list(names.revealed) == [name]
    spec = {"driver": {"env": [{"name": "A", "value": SECRET}], "proxy": SECRET}}
    for name, count in (("driver.env", 1), ("A", 1), ("proxy", 1), ("driver.proxy", 1), ("other", 0)):
        data, _ = flatten_spec(spec, names=harmless_names("policy-fields", revealed=(name,)))
        assert str(data).count(SECRET) == count, name
