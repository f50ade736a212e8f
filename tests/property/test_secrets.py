"""Laws of redaction: a secret never comes through, twice is once, and what is no secret stays as it is."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from eidos.collectors import _kernel_command_line, harmless_names
from eidos.collectors.k8s_policy import flatten_spec
from eidos.model.measurement import WITHHELD
from eidos.redact.command_lines import redact_command_line, redact_script, redact_tree, show_argument
from eidos.redact.harmless_forms import is_harmless
from eidos.redact.harmless_names import show_value
from eidos.redact.secret_names import has_credential_word
from eidos.redact.secrets_in_text import redact_text
from eidos.redact.unit_properties import redact_unit_property
from eidos.redact.urls_in_text import redact_url

UNIT = harmless_names("variables", "options")
BOOT = harmless_names("boot-parameters")
POLICY = harmless_names("policy-fields", "variables", "options")

anything = st.text(max_size=60) | st.text(alphabet="tokenpw=:/@-\"' ,;&?#<>{}[]$()\\", max_size=40)
#: A word of high entropy: of letters and digits, of hexadecimal digits, of base64.
secrets = (
    st.from_regex(r"[A-Za-z0-9]{16,28}", fullmatch=True).map(lambda text: "Zq7k" + text)
    | st.from_regex(r"[0-9a-f]{20,40}", fullmatch=True).map(lambda text: "3f" + text)
    | st.from_regex(r"[A-Za-z0-9+/]{16,28}==", fullmatch=True).map(lambda text: "x9K" + text)
)
unlisted = st.from_regex(r"zz[a-z]{3,8}(_[a-z]{3,8})?", fullmatch=True)
credentials = st.sampled_from(["token", "DB_PASSWORD", "apiKey", "client-secret", "x.credential", "registry_auth", "bmcpass", "pin"])
plain_names = st.sampled_from(["v", "port", "node-ip", "NAME", "hugepages", "tls-private-key-file", "authorization-mode", "max-pods"])
plain_values = st.sampled_from(
    ["", "1", "0.5", "2Gi", "30s", "/etc/kubernetes/pki/ca.crt", "true", "10.0.0.1", "info", "v1.2.3", "Webhook"]
)


@given(unlisted | credentials, secrets)
def test_no_secret_comes_through(name: str, secret: str) -> None:
    line = f'quiet {name}={secret} a.{name}="x {secret}" cc: {{{name}: {secret}}} end_cc ro -- {secret} {name}={secret}'
    ways: list[Any] = [
        redact_command_line(["x", f"{name}={secret}", f"--{name}", secret, secret, f"--{name}={secret}", f"-x{secret}"], UNIT)[0],
        redact_command_line(["sh", "-c", f"A=1 {name}={secret} run {secret} && run --{name} '{secret} {secret}' | x"], UNIT)[0],
        redact_command_line(["curl", "-su", f"bob:{secret}", "-H", f"Authorization: Bearer {secret}", "Bearer", secret], UNIT)[0],
        redact_command_line(["x", f"https://user:{secret}@example.com/?a=b", f"https://{secret}@example.com/x"], UNIT)[0],
        redact_command_line(["x", f"https://example.com/?a=b&{name}={secret}", f"/srv/{secret}/x", f'{{"{name}": "{secret}"}}'], UNIT)[0],
        show_value("rootflags", f"a=b,{name}={secret},c", BOOT)[0] if has_credential_word(name) else "",
        [show_value(each, f"https://u:{secret}@example.com/?k={secret}", BOOT)[0] for each in ("inst.ks", "root", name)],
        _kernel_command_line.command_line_readings(*_kernel_command_line.cut_cloud_config(line), BOOT),
        redact_unit_property("Environment", [f"{name}={secret}", f"{name}=a={secret}", f"X=--{name} {secret}"], UNIT),
        redact_unit_property("ExecStart", [("/bin/x", ["/bin/x", f"--{name}", secret], False, 1)], UNIT),
        redact_unit_property("StatusText", f"{name}: {secret}", UNIT),
        flatten_spec({"driver": {name: secret, "args": [f"--{name}", secret], "env": [{"name": name, "value": secret}], "b": [secret]}}),
        redact_text(f'{{"a": 1, "{name}": "{secret}"}} {name}: {secret} and {secret} at https://u:{secret}@example.com/?{secret}.'),
        redact_url(f"https://user:{secret}@example.com/?{secret}"),
    ]
    for way in ways:
        assert secret not in str(way), way
        assert secret not in json.dumps(way, default=str), way
        assert not way or WITHHELD in str(way)


@given(st.lists(st.tuples(plain_names, plain_values), max_size=6))
def test_what_is_no_secret_stays(pairs: list[tuple[str, str]]) -> None:
    words = ["program", *(f"--{name}={value}" for name, value in pairs)]
    assert redact_command_line(words, UNIT) == (words, 0)
    assert redact_unit_property("Environment", [f"{name}={value}" for name, value in pairs], UNIT)[1] == []


@given(anything)
def test_any_text_twice_is_once(text: str) -> None:
    once, count = redact_text(text)
    assert redact_text(once) == (once, 0)
    assert (count == 0) == (once == text)


@given(st.lists(anything, max_size=6))
def test_any_words_twice_is_once(words: list[str]) -> None:
    once, count = redact_command_line(words, UNIT)
    assert len(once) == len(words)
    assert redact_command_line(once, UNIT) == (once, 0)
    assert (count == 0) == (once == words)


@given(anything)
def test_any_script_twice_is_once(text: str) -> None:
    once, count = redact_script(text, UNIT)
    assert redact_script(once, UNIT) == (once, 0)
    assert (count == 0) == (once == text)


@example("", "-\\\\: ")
@given(anything, anything)
def test_any_value(name: str, value: str) -> None:
    for names in (UNIT, BOOT, POLICY):
        shown, count = show_value(name, value, names)
        assert (count > 0) == (shown != value)
        assert show_value(name, shown, names) == (shown, 0)
        if has_credential_word(name) and names.section(name) is None:
            assert shown == (WITHHELD if value else "")
        assert show_argument(name, show_argument(name, value, names)[0], names)[1] == 0


@given(
    st.recursive(
        anything | st.integers() | st.booleans() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(anything, inner), max_leaves=8
    )
)
def test_any_tree(tree: Any) -> None:
    clean, count = redact_tree(tree, POLICY)
    assert (count == 0) == (clean == tree)
    assert type(clean) is type(tree) or clean == WITHHELD


@given(anything)
def test_a_harmless_form_has_no_userinfo_and_no_query(text: str) -> None:
    if is_harmless(text) and text != WITHHELD:
        assert "?" not in text
        assert not text.startswith("//") or "@" not in text
