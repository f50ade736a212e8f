"""A bug report as a file: ``cases/<collector>/<case>.in`` is what a source said, ``.out`` what eidos makes of it.

``pytest --update-golden`` writes what it makes of it now; read the difference before it is kept.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eidos.collectors import os_grub, os_kmod, os_release, os_sysctl
from eidos.errors import EidosError

CASES = Path(__file__).parent.parent / "cases"


def grub(text: str) -> object:
    data, context = os_grub.readings(*os_grub.parse(text))
    return {"data": data, "context": context}


def kmod(text: str) -> object:
    names, malformed = os_kmod.parse(text)
    return {"data": dict.fromkeys(names, True), "malformed": malformed}


def release(text: str) -> object:
    data, malformed = os_release.parse(text)
    return {"data": data, "malformed": {str(number): why for number, why in malformed.items()}}


def sysctl(text: str) -> object:
    return os_sysctl.parse("/proc/sys/a/b", text)


PARSERS = {"os.grub": grub, "os.kmod": kmod, "os.release": release, "os.sysctl": sysctl}
FILES = sorted(str(path.relative_to(CASES)) for name in PARSERS for path in (CASES / name).glob("*.in"))


@pytest.mark.parametrize("file", FILES)
def test_case(file: str, update_golden: bool) -> None:
    source = CASES / file
    golden = source.with_suffix(".out")
    text = source.read_bytes().decode("utf-8", "backslashreplace")
    try:
        result = json.dumps(PARSERS[source.parent.name](text), indent=2, ensure_ascii=False)
    except EidosError as fault:
        result = f"error: {fault.message}"
    if update_golden:
        golden.write_text(result + "\n", encoding="utf-8")
    expected = golden.read_text(encoding="utf-8")
    if expected.startswith("error:") or result.startswith("error:"):
        assert result + "\n" == expected
    else:
        assert json.loads(result) == json.loads(expected)


@pytest.mark.parametrize("collector", PARSERS)
def test_every_out_has_its_in(collector: str) -> None:
    outs = {path.stem for path in (CASES / collector).glob("*.out")}
    assert outs == {path.stem for path in (CASES / collector).glob("*.in")}
    assert len(outs) >= 10
