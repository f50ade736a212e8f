"""Laws of the OS collectors: any text gives a value, nothing gets lost, and what is withheld stays withheld."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Optional

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eidos.collectors import Sources, _kernel_command_line, load_collector, os_kmod, os_release, os_sysctl
from eidos.errors import InvalidData
from eidos.files.host import Host
from eidos.model.measurement import Gap, Subtype

Parameter = tuple[str, Optional[str]]

texts = st.text(max_size=200)
#: Texts of few characters meet the corners of a grammar far more often.
grub_texts = st.text(alphabet='ab#=-" \t"', max_size=40)
release_texts = st.text(alphabet="AB=\"'\\$# \n`", max_size=60)

names = st.sampled_from(["a", "b", "hugepages", "hugepagesz", "console", "a#1", "#", "--", "", "x.y", "=z"])
values = st.none() | st.sampled_from(["", "1", "2M", "a b", "a=b", '"'])
lists = st.lists(st.tuples(names, values), max_size=10).map(lambda pairs: [pair for pair in pairs if pair != ("--", None)])


def unparse(data: dict[str, str], context: dict[str, str]) -> tuple[list[Parameter], list[Parameter], str | None]:
    """The inverse of ``os_grub.readings``, by the rules of its docstring: once-given parameters, numbered ones in order, the rest.

    A bare parameter and one with an empty value differ in their context.
    """
    data = dict(data)
    rest = data.pop("--", None)

    def value(key: str) -> str | None:
        return data[key] or ("" if key in context else None)

    numbered = {key: key.rpartition("#") for key in data if "#" in key}
    order = sorted(numbered, key=lambda key: int(numbered[key][2]))
    repeated = [(numbered[key][0], value(key)) for key in order]
    plain = {name for name, _ in repeated}
    once = [(key, value(key)) for key in data if "#" not in key and key not in plain]
    return once, repeated, rest


def words(line: str) -> list[Parameter]:
    return _kernel_command_line.parse_command_line(line)[0]


@given(lists, st.none() | st.sampled_from(["", "single", "-- x"]))
@example([("hugepages", "4"), ("hugepagesz", "1G"), ("hugepages", "2")], None)
@example([("--", ""), ("--", "x")], "y")
@example([("a#1", None), ("a", "1"), ("a", "")], None)
def test_a_command_line_loses_nothing(parameters: list[Parameter], rest: str | None) -> None:
    data, context = _kernel_command_line.parameter_readings(parameters, rest)
    once, repeated, after = unparse({key: str(value) for key, value in data.items()}, context)
    assert after == rest
    unrepeated = [pair for pair in parameters if pair not in once]
    assert repeated == unrepeated, "in the order of the line"
    assert sorted(once + repeated, key=repr) == sorted(parameters, key=repr)
    for name in {name for name, _ in repeated if "#" not in name and name != "--"}:
        assert data[name] == ([value for other, value in parameters if other == name][-1] or "")


@given(texts | grub_texts)
def test_any_command_line_is_read(line: str) -> None:
    parameters, rest = _kernel_command_line.parse_command_line(line)
    data, _ = _kernel_command_line.parameter_readings(parameters, rest)
    assert all(isinstance(value, str) for value in data.values())
    letters = [c for c in line if c not in _kernel_command_line.BLANKS + '"=-']
    text = "".join(name + (value or "") for name, value in parameters) + (rest or "")
    assert [c for c in text if c not in _kernel_command_line.BLANKS + '"=-'] == letters, (
        "only blanks, quotes and signs of equality part things"
    )


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z_.]{1,8}", fullmatch=True), st.none() | st.from_regex(r"[a-z0-9,:/]{1,8}", fullmatch=True)),
        max_size=8,
    )
)
def test_plain_parameters_come_back_as_written(parameters: list[Parameter]) -> None:
    line = " ".join(name if value is None else f"{name}={value}" for name, value in parameters)
    assert words(line) == parameters
    quoted = " ".join(name if value is None else f'{name}="{value} x"' for name, value in parameters)
    assert words(quoted) == [(name, value if value is None else f"{value} x") for name, value in parameters]


@given(texts | release_texts)
def test_any_os_release_is_read(text: str) -> None:
    values, malformed = os_release.parse_os_release(text)
    assert all(name.isidentifier() for name in values)
    lines = text.split("\n")
    assert all(1 <= number <= len(lines) for number in malformed)


@given(texts | release_texts)
def test_any_value_is_read_or_refused(text: str) -> None:
    try:
        value = os_release.unquote(text)
    except InvalidData:
        return
    assert len(value) <= len(text)


@given(st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), max_size=40))
def test_a_quoted_value_comes_back(value: str) -> None:
    escaped = "".join(f"\\{c}" if c in '"\\$`' else c for c in value)
    assert os_release.parse_os_release(f'A="{escaped}"\n') == ({"A": value}, {})
    if "'" not in value:
        assert os_release.parse_os_release(f"A='{value}'\n") == ({"A": value}, {})


@given(texts)
def test_any_table_of_modules_is_read(text: str) -> None:
    modules, malformed = os_kmod.parse_modules(text)
    assert len(modules) + len(malformed) == sum(1 for line in text.split("\n") if line.split())


@given(texts | st.text(alphabet="ab 1\t\n", max_size=30))
def test_any_sysctl_is_read(text: str) -> None:
    data = os_sysctl.parse_sysctl("/p", text)
    if list(data) != ["/p"]:
        assert all(key.startswith("/p/") for key in data)
        assert len(data) == text.removesuffix("\n").count("\n") + 1
    else:
        assert data["/p"] == text.removesuffix("\n")


@pytest.mark.exhaustive(sample=6, group="any bytes of a collector")
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("os.grub", "proc/cmdline"),
        ("os.kmod", "proc/modules"),
        ("os.release", "etc/os-release"),
        ("os.sysctl", "proc/sys/vm/x"),
        ("os.net", "sys/class/net/bond0/bonding/mode"),
        ("os.rdma", "sys/class/infiniband/mlx5_0/ports/1/rate"),
        ("os.storage", "proc/self/mountinfo"),
        ("os.modules", "lib/modules/6.1/modules.dep"),
        ("os.modules", "sys/module/nvidia/parameters/x"),
        ("os.packages", "var/lib/dpkg/status"),
        ("os.packages", "var/lib/rpm/Packages"),
        ("os.packages", "usr/lib/sysimage/rpm/Packages.db"),
        ("os.packages", "var/lib/rpm/rpmdb.sqlite"),
        ("os.runtime", "etc/containerd/config.toml"),
        ("os.runtime", "etc/docker/daemon.json"),
        ("os.runtime", "etc/cdi/a.yaml"),
        ("os.runtime", "usr/bin/containerd"),
        ("os.kubelet", "var/lib/kubelet/config.yaml"),
    ],
)
@given(content=st.binary(max_size=300))
def test_any_bytes_become_a_document(name: str, path: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as root:
        file = Path(root, path)
        os.makedirs(file.parent)
        file.write_bytes(content)
        for part in load_collector(name)(Sources(host=Host(root))):
            assert isinstance(part, (Subtype, Gap))
            if isinstance(part, Subtype):
                for key, value in part.data.items():
                    f"{key}{value}".encode()  # no lone surrogates
