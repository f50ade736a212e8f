"""Laws of withholding: a secret never comes through, twice is once, and what is no secret stays as it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eidos.model.measurement import WITHHELD
from eidos.redact.secret_names import is_harmless_value, is_secret_name
from eidos.redact.secrets_in_text import redact_command_line, redact_text, redact_value

anything = st.text(max_size=60) | st.text(alphabet="tokenpw=:/@-\"' ,;&?", max_size=40)
secrets = st.from_regex(r"[A-Za-z0-9]{12,24}", fullmatch=True).map(lambda text: "Zq" + text)
secret_names = st.sampled_from(["token", "--token", "DB_PASSWORD", "apiKey", "client-secret", "x.credential", "registry_auth"])
plain_names = st.sampled_from(["--v", "port", "root", "NAME", "hugepages", "--tls-private-key-file", "--authorization-mode", "x.y"])
plain_values = st.from_regex(r"[a-z0-9./-]{0,12}", fullmatch=True)


@given(secret_names, secrets)
def test_no_secret_comes_through(name: str, secret: str) -> None:
    flag = f"--{name.lstrip('-')}"
    ways = [
        redact_command_line(["x", f"{name}={secret}"])[0],
        redact_command_line(["x", flag, secret])[0],
        redact_command_line(["sh", "-c", f"A=1 {name}={secret} run"])[0],
        redact_command_line(["sh", "-c", f"run {flag} '{secret} {secret}' && x"])[0],
        redact_command_line(["x", f"https://user:{secret}@example.com/?a=b"])[0],
        redact_command_line(["x", f"https://example.com/?a=b&{name}={secret}"])[0],
        [str(redact_value(name, secret)[0])],
        [str(redact_value("rootflags", f"a=b,{name}={secret},c")[0])],
        [redact_text(f'{{"a": 1, "{name}": "{secret}"}}')[0]],
        [redact_text(f"{name}: {secret}")[0]],
        [redact_text(f"Authorization: Bearer {secret}")[0]],
    ]
    for way in ways:
        assert secret not in " ".join(way), way
        assert WITHHELD in " ".join(way)


@given(st.lists(st.tuples(plain_names, plain_values), max_size=6))
def test_what_is_no_secret_stays(pairs: list[tuple[str, str]]) -> None:
    words = ["program", *(f"{name}={value}" for name, value in pairs)]
    assert redact_command_line(words) == (words, 0)
    text = " ".join(words)
    assert redact_text(text) == (text, 0)


@given(anything)
def test_any_text_twice_is_once(text: str) -> None:
    once, count = redact_text(text)
    assert redact_text(once) == (once, 0)
    assert (count == 0) == (once == text)


@given(st.lists(anything, max_size=6))
def test_any_words_twice_is_once(words: list[str]) -> None:
    once, count = redact_command_line(words)
    assert len(once) == len(words)
    assert redact_command_line(once) == (once, 0)
    assert (count == 0) == (once == words)


@given(anything, anything)
def test_any_value(name: str, value: str) -> None:
    shown, hidden = redact_value(name, value)
    assert hidden == (shown != value)
    assert redact_value(name, shown) == (shown, False)
    if is_secret_name(name):
        assert shown == (value if is_harmless_value(value) else WITHHELD)
