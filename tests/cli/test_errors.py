"""What the command line says to wrong input: the value, where it stands, what is valid, what is nearest. Exit status 2."""

from __future__ import annotations

import json
import sys

import pytest

from eidos import collectors
from eidos.cli.options import COLLECTOR_LIST
from eidos.collectors import collector_choices
from eidos.wording import list_words
from tests.support.program import command_line, eidos

NAMES = list_words(collector_choices(), COLLECTOR_LIST)


def error_of(*words: str | bytes, env: dict[str, str] | None = None) -> str:
    result = eidos(*words, env=env)
    assert (result.status, result.out) == (2, ""), result.err
    return result.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["snapsot"], "error: unknown command 'snapsot'\nhint: did you mean 'snapshot'?\n"),
        (["sna"], "error: unknown command 'sna'\nhint: did you mean 'snapshot'?\n"),
        (["Snapshot"], "error: unknown command 'Snapshot'\nhint: did you mean 'snapshot'?\n"),
        (["air-gap"], "error: unknown command 'air-gap'\nhint: run 'eidos help air-gap'\n"),
        (["recipe", "-f", "."], "error: .: a folder, where a snapshot is expected\nhint: name a file\n"),
        ([""], "error: unknown command ''\nhint: run 'eidos --help' for a list of commands\n"),
        (["--quiet"], "error: no command given\nhint: run 'eidos --help' for a list of commands\n"),
        (["--timeout", "5s", "snapshot"], "error: unknown global flag '--timeout'\n"),
        (["--versoin"], "error: unknown global flag '--versoin'\n"),
        (["--versoin"], "\nhint: did you mean '--version'?\n"),
        (["help", "snapshto"], "error: unknown topic 'snapshto'\nhint: did you mean 'snapshot'?\n"),
        (["help", "qqq"], "error: unknown topic 'qqq'\nhint: run 'eidos --help' for commands and topics\n"),
        (["completion"], "error: eidos completion needs a shell: bash, zsh, fish\n"),
        (
            ["completion", "fsh"],
            "error: eidos completion: invalid shell 'fsh'; expected one of bash, zsh, fish\nhint: did you mean 'fish'?\n",
        ),
        (
            ["snapshot", "--formt", "json"],
            "error: eidos snapshot: unknown flag '--formt'\nhint: did you mean '--format'?\n",
        ),
        (["snapshot", "--form", "json"], "hint: did you mean '--format'?\n"),
        (
            ["snapshot", "-t", "yml"],
            "error: --format: invalid value 'yml'; expected one of yaml, json, table\nhint: did you mean 'yaml'?\n",
        ),
        (
            ["snapshot", "--format=JSON"],
            "error: --format: invalid value 'JSON'; expected one of yaml, json, table\nhint: did you mean 'json'?\n",
        ),
        (["snapshot", "--only", "gup"], f"error: --only: invalid value 'gup'; expected one of {NAMES}\nhint: did you mean 'gpu'?\n"),
        (
            ["snapshot", "--skip", "k8s,SystemD"],
            f"error: --skip: invalid value 'SystemD'; expected one of {NAMES}\nhint: did you mean 'systemd'?\n",
        ),
        (["snapshot", "--require", "nothing-like-it"], f"error: --require: invalid value 'nothing-like-it'; expected one of {NAMES}\n"),
        (["snapshot", "--units", "a b"], "error: --units: invalid unit name 'a b': ' ' is not allowed\nhint: use a name like "),
        (["snapshot", "--units", "kubelet,x.servce"], "error: --units: invalid unit name 'x.servce': unknown unit type 'servce'\n"),
        (["snapshot", "--units", "kubelet,x.servce"], "\nhint: did you mean 'x.service'? "),
        (["snapshot", "--timeout", "10x"], "error: --timeout: invalid duration '10x': unknown unit 'x'\nhint: write a duration like 30s, "),
        (["snapshot", "--timeout", "0"], "error: --timeout: invalid duration '0': must be positive\n"),
        (["snapshot", "--timeout"], "error: --timeout needs a value\n"),
        (["snapshot", "--log-level", "trace"], "error: --log-level: invalid value 'trace'; expected one of debug, info, warn, error\n"),
        (["snapshot", "extra"], "error: eidos snapshot: unexpected argument 'extra'\n"),
        (["snapshot", "--only", "gpu", "--skip", "gpu"], "error: --only and --skip leave no collector\nhint: collectors are "),
        (["snapshot", "--skip", "gpu", "--require", "gpu"], "error: --require: 'gpu' is excluded by --only or --skip\n"),
        (["snapshot", "--root", "/no/such"], "error: --root: no such folder or archive: '/no/such'\nhint: "),
        (["snapshot", "--root", "/dev/null"], "error: --root: no such folder or archive: '/dev/null'\nhint: "),
        (["snapshot", "--root", ""], "error: --root: the value is empty\n"),
    ],
)
def test_wrong_usage(words: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    result = command_line(capfd)(*words)
    assert (result.status, result.out) == (2, "") and message in result.err


def test_groups_are_valid_collectors() -> None:
    assert set(collector_choices()) == {*collectors.list_collectors(), *(name.partition(".")[0] for name in collectors.list_collectors())}


@pytest.mark.parametrize(
    ("variable", "value"), [("EIDOS_FORMAT", "yml"), ("EIDOS_TIMEOUT", "1y"), ("EIDOS_ONLY", "gup"), ("EIDOS_DEBUG", "")]
)
def test_a_wrong_variable_is_named(variable: str, value: str) -> None:
    result = eidos("snapshot", "--list", env={variable: value})
    assert result.err.startswith(f"error: {variable}: invalid ") and repr(value) in result.err if value else not result.err


def test_arguments_that_are_no_text_are_shown_and_harmless() -> None:
    assert "unknown command 'snap\\udcffshot'" in error_of(b"snap\xffshot")
    assert "'--f\\udcffoo'" in error_of("snapshot", b"--f\xffoo")
    assert "invalid value '\\x1b[31m\\nerror: b'; expected one of" in error_of("snapshot", "-t", "\x1b[31m\nerror: b")
    assert eidos("snapshot", "-o", b"/no/such/\xff").status == 1


def test_every_kind_of_message_can_be_json() -> None:
    for words in (["snapsot"], ["snapshot", "--formt"], ["snapshot", "--only", "gup"], ["--timeout", "1s", "snapshot"], ["completion"]):
        for placed in (["--log-format", "json", *words], [*words, "--log-format=json"]):
            line = json.loads(error_of(*placed))
            assert line["level"] == "error"
    assert json.loads(error_of("snapsot", env={"EIDOS_LOG_FORMAT": "json"}))["hint"] == "did you mean 'snapshot'?"


def test_no_wrong_usage_shows_a_traceback() -> None:
    assert "Traceback" not in error_of("snapshot", "--only", "gup", "--debug")
    assert eidos("snapsot", "--quiet").err.startswith("error: ")


def test_a_long_value_is_no_reason_to_wait() -> None:
    assert len(error_of("x" * 100_000)) < 1000
    assert eidos("snapshot", "--only", ",".join(["gup"] * 10_000)).status == 2


FAILING = """
import sys, types
from eidos import cli, errors
from eidos.cli.options import HELP, LOGGING, Verb

verb = sys.modules["failing"] = types.ModuleType("failing")
verb.VERB = Verb("fail", ("",), (*LOGGING, HELP))
def run(values):
    raise getattr(errors, sys.argv[2])("what failed", "what to do")
verb.run = run
cli.commands.COMMANDS["fail"] = ("failing", "")
sys.exit(cli.main(["fail"]))
"""


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("EidosError", 1),
        ("InvalidInput", 2),
        ("InvalidData", 2),
        ("NotFound", 2),
        ("Unavailable", 1),
        ("DBusError", 1),
        ("Timeout", 124),
        ("IntegrityError", 5),
    ],
)
def test_each_kind_of_failure_has_its_exit_status(kind: str, status: int) -> None:
    result = eidos("fail", kind, program=[sys.executable, "-c", FAILING])
    assert result == (status, "", "error: what failed\nhint: what to do\n")
