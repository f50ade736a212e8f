"""Four hundred secrets of a hundred styles, through the code that collectors call: none is in what they yield."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eidos.collectors import _kernel_command_line, harmless_names
from eidos.collectors.k8s_policy import flatten_spec
from eidos.collectors.systemd import parse_unit_properties
from eidos.dbus.signature import Variant
from eidos.redact.secrets_in_text import redact_text
from tests.redact.canaries import SECRETS, STYLES

CANARIES = [(kind, style, secret) for kind, styles in STYLES.items() for style in styles for secret in SECRETS]
UNIT_NAMES = harmless_names("variables", "options")
BOOT_NAMES = harmless_names("boot-parameters")


def boot_line(text: str) -> tuple[Any, int]:
    line, configs = _kernel_command_line.cut_cloud_config(text)
    readings, withheld = _kernel_command_line.command_line_readings(line, configs, BOOT_NAMES)
    return readings, len(withheld)


def unit(name: str, signature: str, value: Any) -> tuple[Any, int]:
    readings, _, secrets = parse_unit_properties({name: Variant((signature, value))}, UNIT_NAMES)
    return (readings, secrets), len(secrets)


def through(kind: str, text: str) -> tuple[Any, int]:
    """What the collector of ``kind`` yields for ``text``, and how many parts of it are withheld."""
    if kind == "boot":
        return boot_line(text)
    if kind == "variable":
        return unit("Environment", "as", [text])
    if kind == "argument":
        words = text.split(" | ") if "-c | " not in text else [*text.split(" | ", 2)[:2], text.split(" | ", 2)[2]]
        return unit("ExecStart", "a(sasbttttuii)", [(words[0], words, False, 1, 2, 3, 4, 5, 6, 7)])
    if kind == "policy":
        data, redacted = flatten_spec(json.loads(text))
        return data, len(redacted)
    return redact_text(text)


def test_there_are_four_hundred_of_a_hundred_styles() -> None:
    assert sum(map(len, STYLES.values())) >= 100
    assert len(CANARIES) >= 400
    assert len(set(CANARIES)) == len(CANARIES)


@pytest.mark.parametrize("kind", STYLES)
def test_no_canary_is_visible(kind: str) -> None:
    leaks = []
    for _, style, secret in (canary for canary in CANARIES if canary[0] == kind):
        shown, count = through(kind, style.replace("§", secret))
        if secret in json.dumps(shown) or count == 0:
            leaks.append(f"{style} with {secret}: {shown}, {count} withheld")
    assert not leaks, "\n".join(leaks)
