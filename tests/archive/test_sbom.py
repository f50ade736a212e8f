"""What the file is made of: its bill of materials by the schemas of both formats, and the licences of everything inside."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
import pytest
import referencing

import eidos
from eidos.build import source_commit, zipapp_builder
from eidos.build.sbom import Program, ShippedPackage, sbom_documents
from eidos.cli import main
from eidos.files.resources import SBOM_FILES
from tests.archive.test_zipapp import archive_files
from tests.conftest import ROOT

SCHEMAS = ROOT / "tests" / "schemas"

PROGRAM = Program("1.2.3", "Apache-2.0", "0" * 40, "1" * 64, "2" * 64, "2026-01-01T00:00:00Z")
PACKAGE = ShippedPackage("a_Package", "4.5", "MIT", "MIT License\n\nCopyright (c) Å\n", "a_package-4.5.whl", "3" * 64, {"a/x.py": "4" * 64})


def faults(fmt: str, tree: Any) -> list[str]:
    """What the schema of the format does not allow."""
    validator: Any
    if fmt == "spdx":
        validator = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "spdx-2.3.json").read_text()))
    else:
        schemas = json.loads((SCHEMAS / "cyclonedx-1.6.json").read_text())
        registry: Any = referencing.Registry()
        for schema in schemas.values():
            registry = referencing.Resource.from_contents(schema) @ registry
        validator = jsonschema.Draft7Validator(schemas["bom-1.6.schema.json"], registry=registry)
    return [error.message for error in validator.iter_errors(tree)]


def run(file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-I", "-S", str(file), *words], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("fmt", SBOM_FILES)
def test_documents_follow_the_schema_of_their_format(fmt: str) -> None:
    tree = json.loads(sbom_documents(PROGRAM, [PACKAGE])[SBOM_FILES[fmt]])
    assert faults(fmt, tree) == []
    broken = json.loads(json.dumps(tree).replace('"MIT"', '"MIT License"').replace('"SPDX-2.3"', "2.3"))
    assert faults(fmt, broken)


@pytest.mark.parametrize("fmt", SBOM_FILES)
def test_a_document_depends_on_its_content_alone(fmt: str) -> None:
    one, again, other = (
        sbom_documents(program, [PACKAGE])[SBOM_FILES[fmt]] for program in (PROGRAM, PROGRAM, PROGRAM._replace(content="5" * 64))
    )
    assert one == again
    ids = [re.findall(rb"urn:uuid:[0-9a-f-]{36}", text) for text in (one, other)]
    assert [len(each) for each in ids] == [1, 1] and ids[0] != ids[1]


def test_names_of_packages_are_normalized_in_their_urls() -> None:
    assert PACKAGE.purl == "pkg:pypi/a-package@4.5"


@pytest.mark.parametrize("fmt", SBOM_FILES)
def test_the_document_lies_in_the_file_and_beside_it_and_is_printed(pyz: Path, fmt: str) -> None:
    name = SBOM_FILES[fmt]
    with zipfile.ZipFile(pyz) as archive:
        content = archive.read(name)
    assert (pyz.parent / os.path.basename(name)).read_bytes() == content
    done = run(pyz, "version", f"--sbom={fmt}")
    assert (done.returncode, done.stdout.encode(), done.stderr) == (0, content, "")
    tree = json.loads(content)
    assert faults(fmt, tree) == []
    assert eidos.__version__ in content.decode()
    # What identifies it can be computed again from the other entries.
    with zipfile.ZipFile(pyz) as archive:
        entries = {each: archive.read(each) for each in archive.namelist() if not each.startswith("sbom/")}
    lines = [f"{hashlib.sha256(data).hexdigest()}  {each}\n" for each, data in sorted(entries.items())]
    assert hashlib.sha256("".join(lines).encode()).hexdigest() in content.decode()


def test_every_module_of_others_is_in_it_and_is_what_the_wheel_has(pyz: Path) -> None:
    files = archive_files(pyz)
    tree = json.loads(files["sbom/eidos.cdx.json"])
    listed = {each["name"]: each["hashes"][0]["content"] for package in tree["components"] for each in package["components"]}
    foreign = {name: data for name, data in files.items() if name.endswith(".py") and not re.match(r"eidos[./]|__main__", name)}
    ours = {f"{wheel.package}/__init__.py" for wheel in zipapp_builder.WHEELS if wheel.package}
    assert listed == {name: hashlib.sha256(data).hexdigest() for name, data in foreign.items() if name not in ours}
    for wheel, package in zip(zipapp_builder.WHEELS, tree["components"]):
        assert (package["name"], package["version"]) == (wheel.name, wheel.version)
        assert package["externalReferences"][0]["hashes"] == [{"alg": "SHA-256", "content": wheel.sha256}]
        with zipfile.ZipFile(zipapp_builder.WHEEL_CACHE / wheel.file) as archive:
            metadata = archive.read(next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))).decode()
        assert re.findall(r"^(?:Name|Version): (.+)$", metadata, re.MULTILINE) == [wheel.name, wheel.version]
        assert wheel.license.startswith(re.findall(r"^License: (.+)$", metadata, re.MULTILINE)[0])


def test_without_git_the_environment_sets_the_time_of_the_build() -> None:
    def time_of(**variables: str) -> int:
        with mock.patch.object(source_commit, "_git", side_effect=FileNotFoundError), mock.patch.dict(os.environ, variables):
            return source_commit.commit_time()

    assert time_of(SOURCE_DATE_EPOCH="1767225600") == 1767225600
    for invalid in ("", "x", "-1", "1e9", "9" * 30):
        assert time_of(SOURCE_DATE_EPOCH=invalid) == source_commit.NO_TIME


def test_a_checkout_has_no_bill_of_materials(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--sbom"]) == 2
    out, err = capfd.readouterr()
    assert (out, err.splitlines()[0]) == ("", "error: no SBOM: eidos runs from a folder, not from one file")


def test_a_format_that_there_is_not_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["--sbom=spdy"], ["--sbom", "spdy"]):
        assert main(["version", *words]) == 2
        assert "spdy" in capfd.readouterr().err


# ---- licences ----


def test_every_file_carries_and_shows_the_licenses_of_what_is_inside(pyz: Path, agent_pyz: Path, server_pyz: Path) -> None:
    packages = {wheel.name: wheel for wheel in zipapp_builder.WHEELS}
    for file in (pyz, agent_pyz, server_pyz):
        done = run(file, "licenses", "-t", "json")
        assert (done.returncode, done.stderr) == (0, "")
        listed = {each["name"]: each for each in json.loads(done.stdout)["packages"]}
        assert list(listed) == ["eidos", *packages]
        assert listed["eidos"]["text"] == (ROOT / "LICENSE").read_text()
        for name, wheel in packages.items():
            assert (listed[name]["version"], listed[name]["license"]) == (wheel.version, wheel.license)
            terms = zipapp_builder.wheel_files(wheel, zipapp_builder.WHEEL_CACHE / wheel.file)[f"licenses/{name}.txt"]
            assert listed[name]["text"] == terms.decode()


@pytest.mark.parametrize("which", ["agent_pyz", "server_pyz"])
def test_a_file_for_one_purpose_says_where_the_bill_of_materials_is(which: str, request: pytest.FixtureRequest) -> None:
    done = run(request.getfixturevalue(which), "version", "--sbom")
    expected = f"error: no SBOM: this file was built for {which[:-4]}s\nhint: use the full eidos.pyz\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


def test_licenses_are_shown_as_a_table_and_as_texts(capfd: pytest.CaptureFixture[str]) -> None:
    packages = mock.patch("eidos.files.resources.carried_packages", return_value=[("PyYAML", "6.0.3", "MIT")])
    shown = {}
    with packages, mock.patch("eidos.files.resources.license_text", side_effect=lambda name: f"of {name}\n"):
        for words in ([], ["pyyaml"], ["-t", "text"], ["PyYAML", "-t", "table"]):
            assert main(["licenses", *words]) == 0
            shown[" ".join(words)] = capfd.readouterr().out
        assert main(["licenses", "PyYML"]) == 2
    assert shown[""].splitlines() == [
        "NAME     VERSION   LICENSE",
        f"eidos    {eidos.__version__}     Apache-2.0",
        "PyYAML   6.0.3     MIT",
    ]
    assert shown["pyyaml"] == "of PyYAML\n"
    assert shown["-t text"].split("-" * 79)[1] == "\nPyYAML 6.0.3 (MIT)\n\nof PyYAML\n"
    assert len(shown["PyYAML -t table"].splitlines()) == 2
    assert capfd.readouterr().err == "error: no package 'PyYML' in this file\nhint: did you mean 'PyYAML'?\n"


def test_a_checkout_has_its_own_license(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["licenses", "eidos"]) == 0
    assert capfd.readouterr().out == (ROOT / "LICENSE").read_text()
