"""Flags, environment, configuration file and defaults: how each is written, and which one wins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.cli.arguments import PIPELINES, check_arguments, parse_arguments, split_verb
from eidos.cli.commands import load_verbs
from eidos.cli.options import GLOBAL_OPTIONS, HELP, LOGGING, OUTPUT, Operand, Option, Verb, parse_timeout
from eidos.cli.user_config import UserConfig, config_path, resolve_options
from eidos.errors import EidosError, InvalidInput
from tests.support.program import eidos

VERB = Verb(
    "try",
    ("",),
    (
        OUTPUT,
        Option("many", "", "NAMES", multiple=True, choices={"a": "", "b": "", "c": ""}),
        Option("timeout", "", "DURATION", None, "10s", parse_timeout),
        Option("volatile", ""),
        Option("only-a-flag", "", flag_only=True),
        *LOGGING,
        HELP,
    ),
    (Operand("shell", "", {"bash": "", "zsh": ""}, required=False),),
)


def values(*arguments: str, env: dict[str, str] | None = None, config: dict[str, object] | None = None) -> dict[str, Any]:
    parsed = parse_arguments(arguments, VERB.options)
    check_arguments(parsed, VERB)
    return resolve_options(VERB.options, parsed.flags, env or {}, UserConfig("config.yaml", config or {}), "try")


def fault(*arguments: str, env: dict[str, str] | None = None, config: dict[str, object] | None = None) -> str:
    with pytest.raises(InvalidInput) as caught:
        values(*arguments, env=env, config=config)
    return f"{caught.value.message} / {caught.value.hint}"


# -- how a flag is written --


@pytest.mark.parametrize("words", [["-o", "x"], ["-ox"], ["-o=x"], ["--output", "x"], ["--output=x"], ["--output=y", "-o", "x"]])
def test_the_ways_to_give_a_value(words: list[str]) -> None:
    assert values(*words)["output"] == "x"


def test_a_dash_is_a_value_and_an_equals_sign_inside_one_stays() -> None:
    assert values("-o", "-")["output"] == "-"
    assert values("--output=a=b")["output"] == "a=b"
    assert values("-oa=b")["output"] == "a=b"


def test_a_switch_can_be_switched_off_again() -> None:
    assert values()["volatile"] is False
    assert values("--volatile")["volatile"] is True
    assert values("--volatile", "--volatile=false")["volatile"] is False
    assert values("--volatile=no", env={"EIDOS_VOLATILE": "1"})["volatile"] is False
    assert fault("--volatile=perhaps") == "--volatile: invalid value 'perhaps'; expected true or false / None"


def test_several_values_by_comma_and_by_repetition() -> None:
    assert values("--many", "b,a", "--many=c")["many"] == ("b", "a", "c")
    assert values("--many=a,b,", "--many", " a")["many"] == ("a", "b")
    assert values()["many"] == ()


@pytest.mark.parametrize(
    ("words", "level"),
    [
        ([], "warn"),
        (["--debug"], "debug"),
        (["-q"], "error"),
        (["--quiet", "--debug"], "debug"),
        (["--debug", "--log-level", "info"], "info"),
        (["--log-level", "info", "--debug"], "debug"),
        (["--debug=false"], "warn"),
    ],
)
def test_of_all_that_set_the_level_the_last_wins(words: list[str], level: str) -> None:
    assert values(*words)["log-level"] == level


def test_two_dashes_end_the_flags() -> None:
    parsed = parse_arguments(["--volatile", "--", "bash"], VERB.options)
    assert (parsed.flags, parsed.operands, parsed.unknown) == ({"volatile": ["true"]}, ["bash"], [])
    assert "unexpected argument '--debug'" in fault("bash", "--", "--debug")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--outputt=x"], "eidos try: unknown flag '--outputt'"),
        (["--outputt=x"], "did you mean '--output'?"),
        (["--out", "x"], "did you mean '--output'?"),
        (["-x"], "eidos try: unknown flag '-x'"),
        (["-Z", "x"], "run 'eidos try --help' for its flags"),
        (["--=x"], "eidos try: unknown flag '--'"),
        (["-o"], "-o needs a value"),
        (["--many"], "--many needs one of a, b, c"),
        (["-o", "--volatile"], "-o needs a value / write -o=--volatile if --volatile is the value"),
        (["-o", "--", "x"], "-o needs a value"),
        (["-o", "--many"], "-o needs a value / write -o=--many"),
        (["--many", "-o"], "--many needs one of a, b, c / write --many=-o"),
        (["--output="], "--output: the value is empty"),
        (["-o", "a\0b"], "contains a NUL"),
        (["--many=d"], "--many: invalid value 'd'; expected one of a, b, c"),
        (["--many="], "--many: invalid value ''; expected one of a, b, c"),
        (["--timeout", "0s"], "--timeout: invalid duration '0s': must be positive"),
        (["--timeout", "-1s"], "--timeout: invalid duration '-1s'"),
        (["fish"], "eidos try: invalid shell 'fish'; expected one of bash, zsh"),
        (["bash", "zsh"], "eidos try: unexpected argument 'zsh'"),
    ],
)
def test_a_mistake_in_a_command_line_is_named(words: list[str], message: str) -> None:
    assert message in fault(*words)


def test_a_flag_of_another_command_is_named_with_it() -> None:
    """Every flag that a command lacks and another has, but for slips; a pipeline where one command reads what the other writes."""
    verbs = {verb.name: verb for verb in load_verbs()}
    owners: dict[str, list[str]] = {}
    for verb in verbs.values():
        for option in verb.options:
            owners.setdefault(option.flag, []).append(verb.name)
    for verb in (verbs[name] for name in dict.fromkeys([*(second for _, second in PIPELINES), "serve"])):
        own = {option.flag for option in verb.options}
        for flag, names in owners.items():
            if flag in own or any(flag.startswith(other) or other.startswith(flag) for other in own):
                continue
            with pytest.raises(InvalidInput, match="unknown flag") as caught:
                check_arguments(parse_arguments([flag], verb.options), verb)
            hint = caught.value.hint or ""
            assert hint.startswith(("it is a flag of 'eidos ", "use it with 'eidos ")) and any(
                f"'eidos {name}'" in hint for name in names
            ), (verb.name, flag, hint)
            writers = [first for first, second in PIPELINES if second == verb.name and first in names]
            assert not writers or (f"run 'eidos {writers[0]} {flag}" in hint and f"| eidos {verb.name} " in hint), (verb.name, flag, hint)
    for (first, second), text in PIPELINES.items():
        for words in (part.split() for part in text.split(" | ")):
            assert words[0] == "eidos" and words[1] in verbs
            assert {word for word in words if word.startswith("-") and word != "-"} <= {f"-{o.short}" for o in verbs[words[1]].options}
        assert text.split()[1] == first and f"eidos {second} " in text
    with pytest.raises(InvalidInput) as caught:
        check_arguments(parse_arguments(["--host", "x"], verbs["fleet"].options), verbs["fleet"])
    assert caught.value.hint == "did you mean '--hosts'?"


def test_flags_before_the_verb() -> None:
    assert split_verb(["--debug", "-o", "x", "try", "-q"], GLOBAL_OPTIONS, ["--help"]) == ("try", ["--debug", "-o", "x", "-q"])
    assert split_verb(["-ox", "--help", "try"], GLOBAL_OPTIONS, ["--help"]) == ("--help", ["-ox", "try"])
    assert split_verb(["--debug"], GLOBAL_OPTIONS, ["--help"]) == (None, ["--debug"])
    with pytest.raises(InvalidInput, match="unknown global flag '--timeout'"):
        split_verb(["--timeout", "5s", "try"], GLOBAL_OPTIONS, ["--help"])


words = st.lists(st.sampled_from([f"-{o.short}" for o in VERB.options if o.short] + [o.flag for o in VERB.options]) | st.text(), max_size=6)


@given(words, st.dictionaries(st.sampled_from([o.variable for o in VERB.options]), st.text()))
def test_any_command_line_gives_values_or_the_documented_error(arguments: list[str], env: dict[str, str]) -> None:
    try:
        parsed = values(*arguments, env=env)
    except InvalidInput:
        return
    assert parsed.keys() == {option.name for option in VERB.options}


# -- which one wins --


def test_flag_then_environment_then_section_then_file_then_default() -> None:
    config: dict[str, object] = {"timeout": "4s", "try": {"timeout": "3s"}}
    env = {"EIDOS_TIMEOUT": "2s"}
    assert values("--timeout", "1s", env=env, config=config)["timeout"] == 1
    assert values(env=env, config=config)["timeout"] == 2
    assert values(config=config)["timeout"] == 3
    assert values(config={"timeout": "4s", "try": {}})["timeout"] == 4
    assert values(config={"other": {"timeout": "3s"}})["timeout"] == 10
    assert values()["timeout"] == 10


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert values(env={"EIDOS_TIMEOUT": "", "EIDOS_MANY": ""})["timeout"] == 10


def test_what_is_a_flag_only_is_read_nowhere_else() -> None:
    assert values(env={"EIDOS_ONLY_A_FLAG": "1"}, config={"only-a-flag": True})["only-a-flag"] is False


def test_values_of_the_file_are_what_a_user_would_have_written() -> None:
    assert values(config={"timeout": 3})["timeout"] == 3
    assert values(config={"timeout": 1.5})["timeout"] == 1.5
    assert values(config={"volatile": True})["volatile"] is True
    assert values(config={"many": ["a", "b"]})["many"] == ("a", "b")
    assert values(config={"many": "a,b"})["many"] == ("a", "b")


def test_a_wrong_value_is_named_with_where_it_stands() -> None:
    assert fault("--timeout", "soon").startswith("--timeout: invalid duration 'soon'")
    assert fault(env={"EIDOS_TIMEOUT": "soon"}).startswith("EIDOS_TIMEOUT: invalid duration 'soon'")
    assert fault(config={"timeout": "soon"}).startswith("config.yaml: timeout: invalid duration 'soon'")
    assert fault(config={"try": {"timeout": "soon"}}).startswith("config.yaml: try.timeout: invalid duration 'soon'")
    for wrong in (None, {}, [], ["1s", "2s"], {"a": 1}):
        assert fault(config={"timeout": wrong}).startswith("config.yaml: timeout: expected a value /")
    assert fault(config={"many": [["a"]]}).startswith("config.yaml: many: expected a value, or a list of values /")


def test_an_unknown_key_is_named_with_the_nearest() -> None:
    def message(tree: dict[str, object]) -> str:
        with pytest.raises(InvalidInput) as caught:
            UserConfig("config.yaml", tree).check(lambda: [VERB])
        return f"{caught.value.message} / {caught.value.hint}"

    assert message({"timout": 1}).startswith("config.yaml: unknown option 'timout'")
    assert message({"timout": 1}).endswith("did you mean 'timeout'?")
    assert message({"try": {"timout": 1}}).endswith("did you mean 'try.timeout'?")
    assert message({"try": 5}).startswith("config.yaml: try must be a mapping")
    assert message({"only-a-flag": True}).startswith("config.yaml: unknown option 'only-a-flag'")
    assert message({"try": {"Zq7kD02mWx91LpTe": 1}}).startswith("config.yaml: unknown option '<withheld>'")
    UserConfig("config.yaml", {"timeout": 1, "try": {"many": "a"}}).check(lambda: [VERB])


@pytest.mark.parametrize(
    ("env", "path"),
    [
        ({"HOME": "/home/u"}, "/home/u/.config/eidos/config.yaml"),
        ({"HOME": "/"}, "/.config/eidos/config.yaml"),
        ({"HOME": "/home/u", "XDG_CONFIG_HOME": "/etc/xdg"}, "/etc/xdg/eidos/config.yaml"),
        ({"HOME": "/home/u", "XDG_CONFIG_HOME": "relative"}, "/home/u/.config/eidos/config.yaml"),
        ({"HOME": "/home/u", "XDG_CONFIG_HOME": ""}, "/home/u/.config/eidos/config.yaml"),
        ({}, None),
        ({"HOME": "here"}, None),
    ],
)
def test_where_the_file_lies(env: dict[str, str], path: str | None) -> None:
    assert config_path(env) == path


# -- the file, through the whole program --


def write_config(folder: Path, content: bytes) -> dict[str, str]:
    (folder / "eidos").mkdir()
    (folder / "eidos" / "config.yaml").write_bytes(content)
    return {"XDG_CONFIG_HOME": str(folder)}


def test_the_file_is_read(tmp_path: Path) -> None:
    env = write_config(tmp_path, b"snapshot:\n  only: [k8s]\n  format: json\n")
    result = eidos("snapshot", env=env)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith('{\n  "kind": "Snapshot"')
    assert eidos("snapshot", "-t", "yaml", env=env).out.startswith("kind: Snapshot\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"timout: 3s\n", "config.yaml: unknown option 'timout'"),
        (b"- a\n", "config.yaml: expected a mapping, found a list"),
        (b"1: 5\n", "config.yaml: unknown option '1'"),
        (b"a: [\n", "config.yaml, line "),
        (b"format: yaml\nformat: json\n", "config.yaml, line 2"),
        (b"\xff\xfe\x00", "config.yaml"),
        (b"#" * ((1 << 20) + 1), "config.yaml"),
        (b"format: !!python/object/apply:os.system [true]\n", "config.yaml"),
    ],
)
def test_a_mistake_in_the_configuration_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    result = eidos("snapshot", "--only", "k8s", env=write_config(tmp_path, content))
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert message in result.err
    assert "Traceback" not in result.err


def test_version_and_help_work_whatever_the_file_says(tmp_path: Path) -> None:
    env = write_config(tmp_path, b"[")
    assert [eidos(*words, env=env).status for words in (["--version"], ["version"], ["--help"], ["snapshot", "--help"])] == [0, 0, 0, 0]


def test_a_file_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "eidos" / "config.yaml").mkdir(parents=True)
    result = eidos("snapshot", env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert (result.status, result.err) == (2, f"error: {tmp_path}/eidos/config.yaml: the configuration file is not a regular file\n")


def test_an_empty_file_and_a_folder_that_is_a_file(tmp_path: Path) -> None:
    assert eidos("snapshot", "--only", "k8s", env=write_config(tmp_path, b"# nothing\n")).status == 0
    assert eidos("snapshot", "--only", "k8s", env={"XDG_CONFIG_HOME": "/dev/null"}).status == 0


# -- variables, through the whole program --


def test_a_misspelt_variable_is_named() -> None:
    result = eidos("snapshot", "--list", env={"EIDOS_TIMEOT": "3s"})
    assert result.status == 0
    assert result.err == "warning: unknown variable EIDOS_TIMEOT\nhint: did you mean EIDOS_TIMEOUT?\n"


def test_a_variable_that_is_a_shorthand_flag_is_named() -> None:
    assert "hint: did you mean EIDOS_LOG_LEVEL=debug?" in eidos("snapshot", "--list", env={"EIDOS_DEBUG": "1"}).err


@pytest.mark.parametrize("name", ["EIDOS_XYZZY", "EIDOS_", "EIDOS_HOME", "EIDOS_1"])
def test_a_variable_that_no_option_has_is_named_although_nothing_is_near(name: str) -> None:
    result = eidos("recipe", "--gpu", "h100", env={name: "1"})
    assert result.status == 0
    hint = "unset it; variables are named after flags: EIDOS_TIMEOUT is --timeout"
    assert result.err == f"warning: unknown variable {name}\nhint: {hint}\n"


def test_a_variable_of_an_option_that_is_only_a_flag_names_the_flag() -> None:
    result = eidos("snapshot", "--list", env={"EIDOS_NO_APPARMOR": "1"})
    assert result.err == "warning: unknown variable EIDOS_NO_APPARMOR\nhint: use the flag --no-apparmor\n"


def test_variables_of_a_kubernetes_service_named_eidos_are_ignored() -> None:
    links = {"EIDOS_PORT": "tcp://192.0.2.1:80", "EIDOS_SERVICE_HOST": "192.0.2.1", "EIDOS_PORT_80_TCP": "tcp://192.0.2.1:80"}
    links |= {name.replace("EIDOS_", "EIDOS_API_SERVER_"): value for name, value in links.items()}
    links |= {name.replace("EIDOS_", "EIDOS_OTHER_NAME_"): value for name, value in links.items()}
    links |= {"EIDOS_WEB_SERVICE_PORT_HTTP": "80", "EIDOS_WEB_PORT_80_TCP_ADDR": "192.0.2.1"}
    assert eidos("snapshot", "--list", env=links).err == ""


# -- the tables themselves --


def test_rows_are_sound() -> None:
    for verb in load_verbs():
        names = [option.name for option in verb.options]
        shorts = [option.short for option in verb.options if option.short]
        assert len(set(names)) == len(names), verb.name
        assert len(set(shorts)) == len(shorts), verb.name
        assert {option.name for option in LOGGING} | {"help"} <= set(names), f"{verb.name} lacks what every verb has"
        for option in verb.options:
            assert re.fullmatch("[a-z][a-z0-9-]*", option.name)
            assert option.help.isprintable()
            if option.default is not None:
                option.parse_value(option.default)
            # Shells read these values out of the completion scripts.
            assert all(re.fullmatch(r"[A-Za-z0-9._-]+", value) for value in option.valid_values()), option.name
        for operand in verb.operands:
            assert all(re.fullmatch(r"[A-Za-z0-9._-]+", value) for value in operand.valid_values()), operand.name


def test_a_value_is_converted_or_refused() -> None:
    for verb in load_verbs():
        for option in verb.options:
            for raw in ("", "\0", "x" * 5000, "\udcff", "\x1b[31m", "-", ",", "ü"):
                try:
                    option.parse_value(raw)
                except EidosError:
                    continue
