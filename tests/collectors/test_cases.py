"""A bug report as a file: ``cases/<collector>/<case>.in`` is what a source contained, ``.out`` what eidos makes of it.

A collector that has no parser in PARSERS is run itself, on a host that holds nothing but the case: ``<case>.in`` is a folder like those in
``tests/hosts``, or the content of the one file that the collector names as its ``PATH``. ``pytest --update-golden`` writes what it makes of
it now; read the difference before you commit it.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from eidos.collectors import Sources, _kernel_command_line, list_collectors, load_collector, os_kmod, os_release, os_sysctl
from eidos.errors import EidosError
from eidos.files.host import Host
from eidos.model.measurement import Subtype
from tests.collectors.test_k8s import PARSERS as CLUSTER_PARSERS

CASES = Path(__file__).parent.parent / "cases"

#: Collectors whose cases have a form of their own, and the test that reads them.
OTHER_FORMS = {"gpu": "tests/nvidia/test_smi.py"}


def grub(text: str) -> object:
    data, context = _kernel_command_line.parameter_readings(*_kernel_command_line.parse_command_line(text))
    return {"data": data, "context": context}


def kmod(text: str) -> object:
    modules, malformed = os_kmod.parse_modules(text)
    return {"data": dict.fromkeys(modules, True), "malformed": malformed}


def release(text: str) -> object:
    data, malformed = os_release.parse_os_release(text)
    return {"data": data, "malformed": {str(number): why for number, why in malformed.items()}}


def sysctl(text: str) -> object:
    return os_sysctl.parse_sysctl("/proc/sys/a/b", text)


PARSERS: dict[str, Callable[[str], object]] = {"os.grub": grub, "os.kmod": kmod, "os.release": release, "os.sysctl": sysctl}

FOLDERS = sorted(path.name for path in CASES.iterdir())
FILES = sorted(str(path.relative_to(CASES)) for path in CASES.glob("*/*.in"))


def collect(collector: str, source: Path, folder: Path) -> object:
    """What the collector yields on a host that holds nothing but this case; ``folder`` is empty."""
    if source.is_file():
        file = folder / str(importlib.import_module(f"eidos.collectors.{collector.replace('.', '_', 1)}").PATH).lstrip("/")
        file.parent.mkdir(parents=True)
        file.write_bytes(source.read_bytes())
    parts = list(load_collector(collector)(Sources(Host(str(source if source.is_dir() else folder)))))
    subtypes: dict[str, dict[str, object]] = {}
    for part in parts:
        if isinstance(part, Subtype):
            subtypes.setdefault(part.name, {}).update(part.data)
    return {
        "subtypes": subtypes,
        "gaps": {part.what: part.why for part in parts if not isinstance(part, Subtype)},
    }


@pytest.mark.parametrize("file", FILES)
def test_case(file: str, update_golden: bool, tmp_path: Path) -> None:
    source = CASES / file
    golden, collector = source.with_suffix(".out"), source.parent.name
    try:
        if collector in CLUSTER_PARSERS:
            tree = CLUSTER_PARSERS[collector](yaml.safe_load(source.read_text()))
        elif collector in PARSERS:
            tree = PARSERS[collector](source.read_bytes().decode("utf-8", "backslashreplace"))
        else:
            tree = collect(collector, source, tmp_path)
        result = json.dumps(tree, indent=2, ensure_ascii=False)
    except EidosError as error:
        result = f"error: {error.message}"
    if update_golden:
        golden.write_text(result + "\n", encoding="utf-8")
    expected = golden.read_text(encoding="utf-8")
    if expected.startswith("error:") or result.startswith("error:"):
        assert result + "\n" == expected
    else:
        assert json.loads(result) == json.loads(expected)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_cases_is_named_after_a_collector_and_all_of_it_is_run(folder: str) -> None:
    assert folder in list_collectors(), f"no collector is named {folder!r}"
    if folder not in OTHER_FORMS:
        cases = {path.stem for path in (CASES / folder).glob("*.in")}
        assert {path.name for path in (CASES / folder).iterdir()} == {f"{case}{ending}" for case in cases for ending in (".in", ".out")}
        assert cases


def test_parsers_are_tested_with_many_cases() -> None:
    for collector in PARSERS:
        assert len(list((CASES / collector).glob("*.in"))) >= 10
