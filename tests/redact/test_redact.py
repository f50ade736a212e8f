"""What is taken for a secret, and what is not: both lists are the specification."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eidos.model.measurement import WITHHELD
from eidos.redact.secret_names import is_secret_name, looks_like_token
from eidos.redact.secrets_in_text import redact_command_line, redact_text, redact_value

if TYPE_CHECKING:
    from eidos.model.measurement import Reading

CASES = Path(__file__).parent / "names"

#: A secret by any name.
SECRET = "hunter2hunter2"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJub2RlIn0.c2lnbmF0dXJl"

NAMES = (CASES / "names-of-secrets.txt").read_text(encoding="utf-8").split()
NO_NAMES = (CASES / "names-of-none.txt").read_text(encoding="utf-8").split()


@pytest.mark.parametrize("name", NAMES)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_of_no_secrets(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "value",
    [
        *("", "true", "False", "no", "off", "none", "null", "enabled", "0", "1", WITHHELD),
        *(
            "/etc/kubernetes/pki/token",
            "/run/secrets/db",
            "/var/lib/x",
            "./token",
            "../x/y",
            "~/.token",
            "%d/token",
            "%t/x",
            "file:///etc/x",
            "@/etc/x",
        ),
        *("$TOKEN", "${TOKEN}", "$(cat /run/token)", "${CREDENTIALS_DIRECTORY}/token", "%i", "'/etc/token'", '"true"'),
    ],
)
def test_what_gives_nothing_away_stays(value: str) -> None:
    assert redact_value("token", value) == (value, False)
    assert redact_command_line(["x", f"--token={value}"]) == (["x", f"--token={value}"], 0)


@pytest.mark.parametrize(
    "value", ["a", "12345", SECRET, "/kZ8+base64/begins=with/a/slash", "/", "true1", "a b", "$TOKEN:x", "${A}${B", "a=b", "x,y;z"]
)
def test_what_gives_something_away_goes(value: str) -> None:
    assert redact_value("token", value) == (WITHHELD, True)
    assert redact_command_line(["x", f"--token={value}"]) == (["x", f"--token={WITHHELD}"], 1)
    assert redact_command_line(["x", "--token", value, "y"]) == (["x", "--token", WITHHELD, "y"], 1)


@pytest.mark.parametrize("value", [True, False, 1, 2.5])
def test_values_that_are_no_text(value: Reading) -> None:
    assert redact_value("name", value) == (value, False)


def test_a_number_under_a_secrets_name_is_a_secret_and_a_switch_is_none() -> None:
    assert redact_value("pin-password", 1234) == (WITHHELD, True)
    assert redact_value("PasswordAuthentication.token", False) == (False, False)


@pytest.mark.parametrize(
    "value",
    [
        *(
            JWT,
            "ghp_0123456789abcdefghijABCDEFGHIJ012345",
            "github_pat_11ABCDEFG0123456789_abc",
            "glpat-0123456789abcdefghij",
            "hvs.CAESIJ0123456789abcdef",
        ),
        *(
            "nvapi-0123456789abcdefghijklmnop",
            "AKIA0123456789ABCDEF",
            "ASIA0123456789ABCDEF",
            "xoxb-0123456789-abcdef",
            "hf_0123456789abcdefghijAB",
        ),
        *(
            "abcdef.0123456789abcdef",
            "dckr_pat_0123456789abcdef",
            "npm_0123456789abcdefghij",
            "AIza0123456789abcdefghijklmnopqrstuvw",
            "sk-0123456789abcdefghijkl",
        ),
    ],
)
def test_tokens_are_known_by_their_form_under_any_name(value: str) -> None:
    assert looks_like_token(value)
    for words in (["x", value], ["x", f"--whatever={value}"], ["x", f"--header=X: {value}"], [f"a:{value}"], [f"sh -c 'run {value} now'"]):
        clean, count = redact_command_line(words)
        assert count == 1, words
        assert value not in " ".join(clean)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "5.15.0-1024-aws",
            "6.8.0-1013-nvidia-64k",
            "x86_64",
            "containerd://1.7.23",
            "eyJ",
            "eyJust-a-word",
            "sk-",
            "sk-learn",
            "hf_hub",
            "AKIA",
            "npm_config_cache",
        ),
        *(
            "GPU-ab6ab95d-1a2b-3c4d-5e6f-0123456789ab",
            "00000000-0000-4000-8000-000000000003",
            "sha256:0123456789abcdef0123456789abcdef",
            "v1.2.3",
            "a.b",
        ),
        *(
            "nvcr.io/nvidia/cuda:12.4.1-base-ubuntu22.04",
            "registry.k8s.io/pause@sha256:7031c1b283388d2c2e09b57badb803c05ebed362dc88d84b480cc47f72a21097",
        ),
        *(
            "/usr/bin/containerd",
            "--node-labels=a=b,c=d",
            "--v=2",
            "10.0.0.1:8080",
            "fe80::1",
            "unix:///run/containerd/containerd.sock",
            "user@host.service",
        ),
        *(
            "getty@tty1.service",
            "a:b@c.service",
            "mailto:me@example.com",
            "root=UUID=0123-4567",
            "console=ttyS0,115200n8",
            "isolcpus=managed_irq,domain,2-95",
        ),
        *(
            "git@github.com:org/repo.git",
            "https://example.com/a@b",
            "https://example.com:8443/x?id=1#y",
            "https://bob@example.com/",
            "tcp://127.0.0.1:5000",
        ),
        *(
            "cuda:12.0@sha256:0123456789abcdef",
            "crashkernel=1G-4G:192M,4G-64G:256M",
            "rd.luks.uuid=0123",
            "rd.luks.key=/etc/key:UUID=12",
            "--authorization-mode=Webhook",
        ),
    ],
)
def test_what_only_looks_a_little_like_one_stays(value: str) -> None:
    assert redact_command_line(["x", value]) == (["x", value], 0)
    assert redact_text(f"see {value} there") == (f"see {value} there", 0)


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://bob:pw@example.com/x", f"https://bob:{WITHHELD}@example.com/x"),
        ("http://bob:pw@192.0.2.1:3128", f"http://bob:{WITHHELD}@192.0.2.1:3128"),
        ("https://:pw@example.com", f"https://:{WITHHELD}@example.com"),
        ("https://bob:p@w@example.com/", f"https://bob:{WITHHELD}@example.com/"),
        ("https://bob:p:w@[2001:db8::1]:8443/", f"https://bob:{WITHHELD}@[2001:db8::1]:8443/"),
        ("https://bob:p/w@example.com/", f"https://bob:{WITHHELD}@example.com/"),
        ("https://bob:p?w#x@example.com/", f"https://bob:{WITHHELD}@example.com/"),
        ("https://bob:p,w;x&y@example.com/", f"https://bob:{WITHHELD}@example.com/"),
        ("https://ghp_0123456789abcdefghijABCDEFGHIJ012345@github.com/x", f"https://{WITHHELD}@github.com/x"),
        ("https://0123456789abcdef0123456789abcdef@sentry.example.com/1", f"https://{WITHHELD}@sentry.example.com/1"),
        ("https://example.com/?a=1&token=x&b=2", f"https://example.com/?a=1&token={WITHHELD}&b=2"),
        ("https://example.com/?access_token=x#y", f"https://example.com/?access_token={WITHHELD}#y"),
        ("cifs://bob:pw@192.0.2.1/share", f"cifs://bob:{WITHHELD}@192.0.2.1/share"),
        ("a://b:c@d,e://f:g@h", f"a://b:{WITHHELD}@d,e://f:{WITHHELD}@h"),
        ("postgres://bob:${PW}@db/x", "postgres://bob:${PW}@db/x"),
        ("//bob:pw@192.0.2.1/share", f"//bob:{WITHHELD}@192.0.2.1/share"),
        ("https://hooks.slack.com/services/T000/B000/abc", f"https://hooks.slack.com/{WITHHELD}"),
        (
            "https://example.com/i?sv=2022-11-02&sig=aB3%2Fx9Zq0123456789abcdefghij%3D",
            f"https://example.com/i?sv=2022-11-02&sig={WITHHELD}",
        ),
        (
            "https://example.com/i?X-Amz-Date=20260101T000000Z&X-Amz-Signature=0123456789abcdef0123456789abcdef",
            f"https://example.com/i?X-Amz-Date=20260101T000000Z&X-Amz-Signature={WITHHELD}",
        ),
        ("admin:pw@tcp(db:3306)/x", f"admin:{WITHHELD}@tcp(db:3306)/x"),
    ],
)
def test_passwords_in_urls(url: str, clean: str) -> None:
    assert redact_text(url)[0] == clean
    assert redact_command_line(["x", url])[0] == ["x", clean]
    assert redact_value("HTTP_PROXY", url)[0] == clean


@pytest.mark.parametrize(
    ("words", "clean"),
    [
        (["kubelet", "--token", "x", "--v=2"], ["kubelet", "--token", WITHHELD, "--v=2"]),
        (["kubelet", "--bootstrap-token=x"], ["kubelet", f"--bootstrap-token={WITHHELD}"]),
        (["x", "--token", "--verbose"], ["x", "--token", "--verbose"]),
        (["x", "--token", "-dash"], ["x", "--token", WITHHELD]),
        (["x", "--token", "--token", "y"], ["x", "--token", "--token", WITHHELD]),
        (["x", "--token"], ["x", "--token"]),
        (
            ["docker", "run", "-e", "TOKEN=x", "--env=PASSWORD=y", "-e", "A=b"],
            ["docker", "run", "-e", f"TOKEN={WITHHELD}", f"--env=PASSWORD={WITHHELD}", "-e", "A=b"],
        ),
        (["curl", "-H", "Authorization: Bearer x"], ["curl", "-H", f"Authorization: Bearer {WITHHELD}"]),
        (["curl", "--header=Authorization: Basic x"], ["curl", f"--header=Authorization: Basic {WITHHELD}"]),
        (["curl", "-H", "X-Api-Key:x"], ["curl", "-H", f"X-Api-Key:{WITHHELD}"]),
        (["/usr/bin/curl", "-u", "bob:x", "https://example.com"], ["/usr/bin/curl", "-u", WITHHELD, "https://example.com"]),
        (["curl", "-ubob:x"], ["curl", f"-u{WITHHELD}"]),
        (["sshpass", "-p", "x", "ssh", "a@b"], ["sshpass", "-p", WITHHELD, "ssh", "a@b"]),
        (["sudo", "sshpass", "-px", "ssh"], ["sudo", "sshpass", f"-p{WITHHELD}", "ssh"]),
        (["mysql", "-psecret"], ["mysql", f"-p{WITHHELD}"]),
        (["sh", "-c", "mysql -pmytoken db"], ["sh", "-c", f"mysql -p{WITHHELD} db"]),
        (["etcdctl", "--user", "root:x"], ["etcdctl", "--user", WITHHELD]),
        (["etcdctl", "--user=root:x"], ["etcdctl", f"--user={WITHHELD}"]),
        (["sh", "-c", "etcdctl --user=root:x get a"], ["sh", "-c", f"etcdctl --user={WITHHELD} get a"]),
        (["smbclient", "-U", "bob%x"], ["smbclient", "-U", WITHHELD]),
        (["docker", "login", "-u", "bob", "-p", "x"], ["docker", "login", "-u", "bob", "-p", WITHHELD]),
        (["mysqldump", "-ubob", "-px", "-p"], ["mysqldump", "-ubob", f"-p{WITHHELD}", "-p"]),
        (["openssl", "enc", "-k", "x"], ["openssl", "enc", "-k", WITHHELD]),
        (["redis-server", "--requirepass", "x"], ["redis-server", "--requirepass", WITHHELD]),
        (["docker", "run", "-p", "8080:80"], ["docker", "run", "-p", "8080:80"]),
        (["sh", "-c", "run --token x --v 2"], ["sh", "-c", f"run --token {WITHHELD} --v 2"]),
        (["sh", "-c", 'A=1 TOKEN=x PW="a b" run'], ["sh", "-c", f'A=1 TOKEN={WITHHELD} PW="{WITHHELD}" run']),
        (["x", "--password=a b --c"], ["x", f"--password={WITHHELD}"]),
        (["curl", "-H", "X-Api-Key:abc="], ["curl", "-H", f"X-Api-Key:{WITHHELD}"]),
        (["curl", "-H", "X-Api-Key: abc="], ["curl", "-H", f"X-Api-Key: {WITHHELD}"]),
        (["sh", "-c", "curl -u bob:x https://a:b@c"], ["sh", "-c", f"curl -u {WITHHELD} https://a:{WITHHELD}@c"]),
        (["sh", "-c", "echo x | docker login --password-stdin"], ["sh", "-c", "echo x | docker login --password-stdin"]),
        (["--password-stdin", "--x"], ["--password-stdin", "--x"]),
        (["x", '{"token": "y", "a": "b"}'], ["x", f'{{"token": "{WITHHELD}", "a": "b"}}']),
        (["x", '{"auths":{"nvcr.io":{"auth":"y"}}}'], ["x", f'{{"auths":{{"nvcr.io":{{"auth":"{WITHHELD}"}}}}}}']),
        (["x", '["run", "--token", "a b", "--v"]'], ["x", f'["run", "--token", "{WITHHELD}", "--v"]']),
        (["x", '["--token","--v","x"]'], ["x", '["--token","--v","x"]']),
        (["x", '"{\\"token\\": \\"a b\\", \\"c\\": 1}"'], ["x", f'"{{\\"token\\": \\"{WITHHELD}\\", \\"c\\": 1}}"']),
        (["x", '{"token": "a\\"b c", "d": 1}'], ["x", f'{{"token": "{WITHHELD}", "d": 1}}']),
        (["x", "don't use password='a b' here"], ["x", f"don't use password='{WITHHELD}' here"]),
        (["x", "Server=db;Password=y;Timeout=3"], ["x", f"Server=db;Password={WITHHELD};Timeout=3"]),
        (["x", "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----"], ["x", WITHHELD]),
        (["x", "-----BEGIN CERTIFICATE-----"], ["x", "-----BEGIN CERTIFICATE-----"]),
        (["x", "DATADOG_KEY=0123456789abcdef0123456789abcdef", "sort-key=name"], ["x", f"DATADOG_KEY={WITHHELD}", "sort-key=name"]),
        ([], []),
        ([""], [""]),
    ],
)
def test_command_lines(words: list[str], clean: list[str]) -> None:
    assert redact_command_line(words)[0] == clean
    assert redact_command_line(words)[1] == sum(word.count(WITHHELD) for word in clean)


@pytest.mark.parametrize(
    ("name", "value", "clean"),
    [
        ("ignition.config.url", "https://bob:x@example.com/i", f"https://bob:{WITHHELD}@example.com/i"),
        ("systemd.set_credential", "passwd.hashed-password.root:x", WITHHELD),
        ("rootflags", "vers=3.0,username=bob,password=x,ro", f"vers=3.0,username=bob,password={WITHHELD},ro"),
        ("cifsroot", "//192.0.2.1/share,user=bob,pass=x", f"//192.0.2.1/share,user=bob,pass={WITHHELD}"),
        (
            "netroot",
            "iscsi:bob:x@192.0.2.1::3260::iqn.2020-01.com.example:t",
            f"iscsi:bob:{WITHHELD}@192.0.2.1::3260::iqn.2020-01.com.example:t",
        ),
        ("netroot", "iscsi:bob:x:rev:y@192.0.2.1::::iqn", f"iscsi:bob:{WITHHELD}@192.0.2.1::::iqn"),
        ("netroot", "iscsi:192.0.2.1::::iqn.2009-06.dracut:target0", "iscsi:192.0.2.1::::iqn.2009-06.dracut:target0"),
        ("root", "nfs:192.0.2.1:/export,vers=4", "nfs:192.0.2.1:/export,vers=4"),
        ("inst.ks", "https://example.com/ks?key=1&token=x", f"https://example.com/ks?key=1&token={WITHHELD}"),
        ("ip", "192.0.2.2::192.0.2.1:255.255.255.0:host:eth0:none", "192.0.2.2::192.0.2.1:255.255.255.0:host:eth0:none"),
        ("ds", "nocloud;s=https://a:b@example.com/", f"nocloud;s=https://a:{WITHHELD}@example.com/"),
        ("rd.luks.key", "/etc/key:UUID=0123", "/etc/key:UUID=0123"),
        ("dyndbg", "file a.c +p; file b.c +p", "file a.c +p; file b.c +p"),
        ("keyboard", "x", "x"),
    ],
)
def test_kernel_parameters(name: str, value: str, clean: str) -> None:
    assert redact_value(name, value) == (clean, clean != value)


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("level=info msg=started token=x port=80", f"level=info msg=started token={WITHHELD} port=80"),
        ('level=info token="x y" port=80', f'level=info token="{WITHHELD}" port=80'),
        ("password = x", f"password = {WITHHELD}"),
        ("Password: x", f"Password: {WITHHELD}"),
        ("the password was rejected", "the password was rejected"),
        ("Bearer 0123456789abcdef0", f"Bearer {WITHHELD}"),
        ("a bearer of news", "a bearer of news"),
        ("pulled image by token", "pulled image by token"),
        ("token=$TOKEN next", "token=$TOKEN next"),
        ("token= next=1", "token= next=1"),
    ],
)
def test_lines_of_text(line: str, clean: str) -> None:
    assert redact_text(line)[0] == clean


@pytest.mark.parametrize("piece", ["x", "b=", "--a=--b=", "a:b@c ", "http://a:b@c "])
def test_a_long_text_is_read_once_and_without_recursion(piece: str) -> None:
    """A parameter of a megabyte took a quarter of a minute, a thousand assignments in one word were too deep."""
    text = piece * (200_000 // len(piece)) + " token=x"
    began = time.process_time()
    assert redact_text(text)[0].endswith(f" token={WITHHELD}")
    assert time.process_time() - began < 10  # it takes half a second; squared, it took minutes for the first
