from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.errors import InvalidInput
from eidos.model.systemd_unit import MAXIMUM_LENGTH, TYPES, unit_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("containerd", "containerd.service"),
        ("containerd.service", "containerd.service"),
        ("docker.socket", "docker.socket"),
        ("getty@tty1", "getty@tty1.service"),
        ("user@1000.service", "user@1000.service"),
        ("dev-disk-by\\x2duuid.device", "dev-disk-by\\x2duuid.device"),
        ("org.freedesktop.thing", "org.freedesktop.thing.service"),
        ("target", "target.service"),
        ("-.mount", "-.mount"),
    ],
)
def test_full_names(text: str, name: str) -> None:
    assert unit_name(text) == name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no name before the type"),
        (".service", "no name before the type"),
        ("a b", "' ' is not allowed"),
        ("/dev/sda", "'/' is not allowed"),
        ("kubelet\n", "'\\n' is not allowed"),
        ("kübelet", "'ü' is not allowed"),
        ("a*.service", "'*' is not allowed"),
        ("@tty1", "no name before the @"),
        ("getty@", "is a template"),
        ("getty@.service", "is a template"),
        ("containerd.servce", "unknown unit type 'servce'"),
        ("x" * 300, "longer than 255 characters"),
    ],
)
def test_what_cannot_be_a_unit(text: str, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        unit_name(text)
    assert why in caught.value.message
    assert caught.value.hint


def test_the_nearest_type_is_suggested() -> None:
    with pytest.raises(InvalidInput) as caught:
        unit_name("containerd.servce")
    assert "did you mean 'containerd.service'?" in (caught.value.hint or "")


@given(st.text() | st.text("ab.@service:-_\\"))
def test_any_text_gives_a_full_name_or_the_documented_error(text: str) -> None:
    try:
        name = unit_name(text)
    except InvalidInput:
        return
    assert name.rpartition(".")[2] in TYPES
    assert len(name) <= MAXIMUM_LENGTH
    assert unit_name(name) == name
