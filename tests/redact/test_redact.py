"""What is shown and what is withheld: forms, names, values, command lines, free text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eidos.collectors import harmless_names
from eidos.model.measurement import WITHHELD
from eidos.redact.command_lines import redact_command_line, redact_script, redact_tree, show_argument
from eidos.redact.harmless_forms import is_harmless, is_image, is_number, is_reference, is_version, quote_value
from eidos.redact.harmless_names import NameList, is_not_random, show_value
from eidos.redact.random_words import has_random_part, is_wordy
from eidos.redact.secret_names import has_credential_word, looks_like_token
from eidos.redact.secrets_in_text import redact_text
from tests.support.program import eidos

CASES = Path(__file__).parent / "names"
CREDENTIALS = (CASES / "names-of-secrets.txt").read_text(encoding="utf-8").split()
NO_CREDENTIALS = (CASES / "names-of-none.txt").read_text(encoding="utf-8").split()

#: A secret by any name.
SECRET = "hunter2hunter2"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJub2RlIn0.c2lnbmF0dXJl"

#: Secrets of plain words, which only what stands before them gives away.
PLAIN_SECRETS = ("swordfish", "hunter2", "correct", "horse", "rdfish", "AKIA", "Ym9i")

#: Texts with a secret that only a rule for words without random parts shows, and those in which only a reader of sentences expects one.
ONLY_BY_FORM = ("wrong: hunter22", "AKIAIOSFODNN7EXAMPLE:hunter22")
SENTENCES = (
    *("using key", "with secret", "login -u", "sshpass -p", "passphrase", "pass phrase", "password is:", "password -", "password of"),
    *("assword for", "api key", "token /", "password '", 'password \\"', 'password "', 'secret "'),
)

NONE = NameList()
UNIT = harmless_names("variables", "options")
POLICY = harmless_names("policy-fields", "variables", "options")
BOOT = harmless_names("boot-parameters")

FORMS = (
    *("", "true", "False", "no", "off", "none", "null", "enabled", "0", "1", WITHHELD, "info", "systemd", '"true"', "'/etc/x'"),
    *("5128", "-1", "0.92", "123456789012", "0x12600000", "0-3,8", "2-95", "512M", "2Gi", "1G", "25%", "30s", "1h30m", "2m0s", "100ms"),
    *(
        "v1.2.3",
        "535.183.01",
        "5.15.0-1024-aws",
        "1.30.2+rke2r1",
        "12.4.1-base-ubuntu22.04",
        "6.8.0-1013-nvidia-64k",
        "4.1.1-2-ubuntu22.04",
    ),
    *(
        "/",
        "/etc/kubernetes/pki/token",
        "/run/secrets/db",
        "/usr/lib/x86_64-linux-gnu",
        "./token",
        "../x/y",
        "~/.token",
        "%d/token",
        "%t/x",
    ),
    *("/sys/bus/pci/devices/0000:3b:00.0", "/nix/store/0c5c8vgkkhg5yg6hw1p9zi8m4yrd8x0w-containerd-2.1.4/bin/containerd", "file:///etc/x"),
    *("192.0.2.1", "192.0.2.0/24", "2001:db8::1", "[::1]:8080", ":9400", "localhost:8080", "registry.example.com", "10.0.0.1:6443"),
    *("https://example.com/a/b.cfg", "unix:///run/containerd/containerd.sock", "fd://", "tcp://127.0.0.1:5000", "http://maas:5248/x"),
    *("192.0.2.1,192.0.2.2,192.0.2.3", "2001:db8:0:0:0:0:0:1", "192.0.2.1:/export/home", "nas.example.com:/export"),
    *("registry.k8s.io/pause:3.9", "nvcr.io/nvidia/cuda:12.4.1-base-ubuntu22.04", "nvcr.io/nvidia/k8s/dcgm-exporter@sha256:" + "0f" * 32),
    *("$TOKEN", "${TOKEN}", "$(cat /run/token)", "%i", "compute,utility", "[PAD]", "<pad>", "00000000-00000000-00000000-00000000"),
)

NO_FORMS = (
    *(
        "a",
        SECRET,
        JWT,
        "1234567890123",
        "4929-1234-1234-1234",
        "4929,1234,1234,1234",
        "-:5",
        "0x123456789",
        "12x",
        "1.2.3-hunter2",
        "1.2.3-Zq7kD02m",
        "true1",
        "a b",
        "a=b",
        "bob:/swordfish",
        "192.0.2.1:/x7kQ2mZ9wL4c",
    ),
    *("/kZ8+base64/begins=with/a/slash", "/srv/x7kQ2mZ9wL4c", "/etc/9f86d081884c7d65", "/etc/a b", "//user:pw@host/share", "x,y;z"),
    *("https://bob:pw@example.com/", "https://example.com/?a=1", "https://example.com/#x", "https://example.com/x7kQ2mZ9wL4cR1"),
    *("https://hooks.slack.com/services/T000/B000/abc", "correct.horse", "bob:1234", "bob:hunter2", "abcdef.0123456789abcdef", "${A}${B"),
    *(
        "ab6ab95d-1a2b-3c4d-5e6f-0123456789ab",
        "nvcr.io/nvidia/cuda@sha256:0123",
        "$1$ab$cdef0123",
        "$ecret word",
        "hf_0123456789abcdefghijAB",
    ),
)


@pytest.mark.parametrize("value", FORMS)
def test_a_harmless_form_is_shown_under_any_name_without_a_credential_word(value: str) -> None:
    assert is_harmless(value)
    assert show_value("x.unheard-of", value, NONE) == (value, 0)
    assert redact_command_line(["x", f"--unheard-of={value}", "--other", value, value], NONE)[1] == 0


@pytest.mark.parametrize("value", NO_FORMS)
def test_anything_else_is_withheld(value: str) -> None:
    assert not is_harmless(value)
    assert value not in show_value("x.unheard-of", value, NONE)[0]
    assert WITHHELD in show_value("x.unheard-of", value, NONE)[0]


@pytest.mark.parametrize("value", ["true", "1234", "/etc/x", "info", "1.2.3", SECRET])
def test_no_form_rescues_a_name_with_a_credential_word(value: str) -> None:
    for name in CREDENTIALS:
        assert has_credential_word(name), name
        assert show_value(name, value, NONE) == (WITHHELD, 1), name
        assert show_value(name, value, NameList("*")) == (WITHHELD, 1), name
        assert show_value(name, "", NONE) == ("", 0), name


@pytest.mark.parametrize("name", NO_CREDENTIALS)
def test_names_without_a_credential_word(name: str) -> None:
    assert not has_credential_word(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KV_CACHE_TOKENS", "4096"),
        ("tokens_per_second", "120.5"),
        ("pad_token", "<pad>"),
        ("pad_token", "[PAD]"),
        ("eos_token_id", "128009"),
        ("token_bucket", "100"),
        ("auth", "pam"),
        ("registry-auth", "token"),
        ("--tls-private-key-file", "/etc/kubernetes/pki/kubelet.key"),
        ("--authentication-token-webhook", "true"),
        ("--client-cert-auth", "true"),
        ("TOKENIZERS_PARALLELISM", "false"),
    ],
)
def test_names_on_a_list_have_their_forms_shown_and_nothing_else(name: str, value: str) -> None:
    for names in (UNIT, BOOT, harmless_names("policy-fields", "variables", "options")):
        if names.section(name) is not None:
            assert show_value(name, value, names) == (value, 0)
            assert show_value(name, SECRET, names) == (WITHHELD, 1)
    assert UNIT.section(name) is not None


def test_a_key_of_the_kernel_that_is_not_set_is_none() -> None:
    assert show_value("tcp_fastopen_key", "00000000-00000000-00000000-00000000", BOOT)[1] == 0
    assert show_value("tcp_fastopen_key", "01234567-00000000-00000000-00000000", BOOT)[1] == 1


@pytest.mark.parametrize(
    ("names", "name", "value", "clean"),
    [
        (BOOT, "console", "ttyS0,115200n8", "ttyS0,115200n8"),
        (BOOT, "root", "PARTUUID=6a1b2c3d-0123-4567-89ab-cdef01234567", "PARTUUID=6a1b2c3d-0123-4567-89ab-cdef01234567"),
        (BOOT, "crashkernel", "1G-4G:192M,4G-64G:256M,64G-:512M", "1G-4G:192M,4G-64G:256M,64G-:512M"),
        (BOOT, "root", "PARTUUID=2f6e8a73-02", "PARTUUID=2f6e8a73-02"),
        (BOOT, "BOOTIF", "01-0c-42-a1-d0-0e-01", "01-0c-42-a1-d0-0e-01"),
        (BOOT, "console", "Zq7kD02mWx91LpTe", WITHHELD),
        (BOOT, "ignition.config.url", "https://bob:x@example.com/i", f"https://{WITHHELD}@example.com/i"),
        (BOOT, "inst.ks", "https://a:b@example.com/ks.cfg?token=x", f"https://{WITHHELD}@example.com/ks.cfg?{WITHHELD}"),
        (BOOT, "ds", "nocloud;s=http://10.0.0.1/seed/?k=1", f"nocloud;s=http://10.0.0.1/seed/?{WITHHELD}"),
        (BOOT, "rootflags", "vers=3.0,username=bob,password=x,ro", f"vers=3.0,username=bob,password={WITHHELD},ro"),
        (BOOT, "cifsroot", "//192.0.2.1/share,user=bob,pass=x", f"//192.0.2.1/share,user={WITHHELD},pass={WITHHELD}"),
        (BOOT, "netroot", "iscsi:192.0.2.1::::iqn.2009-06.dracut:target0", "iscsi:192.0.2.1::::iqn.2009-06.dracut:target0"),
        (
            BOOT,
            "netroot",
            "iscsi:bob:x@192.0.2.1::3260::iqn.2020-01.com.example:t",
            f"iscsi:{WITHHELD}@192.0.2.1::3260::iqn.2020-01.com.example:t",
        ),
        (BOOT, "rd.luks.key", "/etc/keys/root.key", "/etc/keys/root.key"),
        (BOOT, "rd.luks.key", SECRET, WITHHELD),
        (BOOT, "dyndbg", "file a.c +p; file b.c +p", "file a.c +p; file b.c +p"),
        (BOOT, "nvidia.NVreg_RegistryDwords", "PeerMappingOverride=1;RMForceP2PType=2", "PeerMappingOverride=1;RMForceP2PType=2"),
        (BOOT, "nvidia-drm.modeset", "1", "1"),
        (BOOT, "nvidia.token", "1", WITHHELD),
        (UNIT, "NCCL_IB_HCA", "mlx5_0:1,mlx5_1:1", "mlx5_0:1,mlx5_1:1"),
        (UNIT, "NCCL_IB_PKEY", "1", "1"),
        (UNIT, "NCCL_DEBUG", SECRET, WITHHELD),
        (UNIT, "CUDA_API_KEY", "1", WITHHELD),
        (UNIT, "HTTPS_PROXY", "http://bob:pw@proxy.example.com:3128", f"http://{WITHHELD}@proxy.example.com:3128"),
        (UNIT, "HTTPS_PROXY", "http://proxy.example.com:3128", "http://proxy.example.com:3128"),
        (UNIT, "NO_PROXY", "localhost,10.0.0.0/8,.svc,.cluster.local", "localhost,10.0.0.0/8,.svc,.cluster.local"),
        (UNIT, "KUBELET_EXTRA_ARGS", "--node-ip=10.0.0.1 --token=x --v=2", f"--node-ip=10.0.0.1 --token={WITHHELD} --v=2"),
        (UNIT, "NVIDIA_VISIBLE_DEVICES", "GPU-ab6ab95d-1a2b-3c4d-5e6f-0123456789ab", "GPU-ab6ab95d-1a2b-3c4d-5e6f-0123456789ab"),
        (UNIT, "NVIDIA_VISIBLE_DEVICES", "Zq7kD02mWx91LpTe", WITHHELD),
        (UNIT, "--image", "nvcr.io/x@sha256:" + "0f" * 32, "nvcr.io/x@sha256:" + "0f" * 32),
        (UNIT, "--provider-id", "aws:///us-west-2a/i-0123456789abcdef0", "aws:///us-west-2a/i-0123456789abcdef0"),
        (UNIT, "--provider-id", "ocid1.instance.oc1.phx." + "a2xz" * 15, "ocid1.instance.oc1.phx." + "a2xz" * 15),
        (UNIT, "--node-labels", "team=gpu,image=ami-0123456789abcdef0", "team=gpu,image=ami-0123456789abcdef0"),
        (UNIT, "--node-labels", "team=gpu,note=Zq7kD02mWx91LpTe", f"team=gpu,note={WITHHELD}"),
        (UNIT, "--label", "token=x", f"token={WITHHELD}"),
        (POLICY, "labels", "Zq7kD02mWx91LpTe", WITHHELD),
        (UNIT, "--user", "nvidia-persistenced", "nvidia-persistenced"),
        (UNIT, "--user", "root:x", WITHHELD),
        (UNIT, "SETTINGS", "A=1,B=x,C=/etc", f"A=1,B={WITHHELD},C=/etc"),
        (UNIT, "--tls-private-key-file", "https://bob:x@example.com/tls.key", f"https://{WITHHELD}@example.com/tls.key"),
        (UNIT, "SETTINGS", "a=" * 8 + "80", "a=" * 8 + "80"),
        (UNIT, "SETTINGS", "a=" * 9 + "80", "a=" * 8 + WITHHELD),
    ],
)
def test_values_of_names(names: NameList, name: str, value: str, clean: str) -> None:
    shown, count = show_argument(name, value, names)
    assert shown == clean
    assert count == clean.count(WITHHELD)
    assert show_argument(name, clean, names) == (clean, 0)


def test_a_list_of_names_has_sections_patterns_and_comments() -> None:
    names = NameList("# source: x\nmy-name a.*  # b\n*.dyndbg [identifiers] root [words] run [names]\nuser")
    assert [names.section(name) for name in ("--my_name", "a.b", "x.dyndbg", "root", "user", "run", "b", "source:")] == [
        *("any", "any", "any", "identifiers", "names"),
        *(None, None, None),
    ]
    assert names.words == {"run"}
    assert names.is_exact("my_name")
    assert not names.is_exact("a.b")


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "templates/harmless").glob("*.txt")), ids=lambda path: path.stem)
def test_every_name_on_a_list_has_a_source(path: Path) -> None:
    source = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            source = ""
        elif line.startswith("#"):
            source = source or line.partition("source: ")[2]
        elif line:
            assert source, line
            patterns = [name for name in line.split() if "*" in name]
            assert not any(has_credential_word(name) or len(name.strip("*_-.")) < 2 for name in patterns), line


@pytest.mark.parametrize(
    "value",
    [
        *(JWT, "ghp_0123456789abcdefghijABCDEFGHIJ012345", "github_pat_11ABCDEFG0123456789_abc", "glpat-0123456789abcdefghij"),
        *("hvs.CAESIJ0123456789abcdef", "nvapi-0123456789abcdefghijklmnop", "AKIA0123456789ABCDEF", "ASIA0123456789ABCDEF"),
        *("xoxb-0123456789-abcdef", "hf_0123456789abcdefghijAB", "abcdef.0123456789abcdef", "dckr_pat_0123456789abcdef"),
        *("npm_0123456789abcdefghij", "AIza0123456789abcdefghijklmnopqrstuvw", "sk-0123456789abcdefghijkl"),
    ],
)
def test_tokens_are_known_by_their_form_under_any_name(value: str) -> None:
    assert looks_like_token(value)
    for names in (NONE, NameList("whatever header [identifiers] root")):
        for words in (
            ["x", value],
            ["x", f"--whatever={value}"],
            ["x", f"--root={value}"],
            ["x", f"--header=X: {value}"],
            ["sh", "-c", f"run {value}"],
        ):
            assert value not in " ".join(redact_command_line(words, names)[0])


@pytest.mark.parametrize(
    ("words", "clean"),
    [
        (["kubelet", "--token", "x", "--v=2"], ["kubelet", "--token", WITHHELD, "--v=2"]),
        (["kubelet", "--bootstrap-token=x"], ["kubelet", f"--bootstrap-token={WITHHELD}"]),
        (["x", "--token", "--verbose"], ["x", "--token", "--verbose"]),
        (["x", "--token", "-dash"], ["x", "--token", WITHHELD]),
        (["x", "--token", "--token", "y"], ["x", "--token", "--token", WITHHELD]),
        (["x", "--token"], ["x", "--token"]),
        (["x", "--node-ip", "10.0.0.1", SECRET], ["x", "--node-ip", "10.0.0.1", WITHHELD]),
        (["x", "--unheard-of", SECRET, "--v", "2"], ["x", "--unheard-of", WITHHELD, "--v", "2"]),
        (
            ["docker", "run", "-e", "TOKEN=x", "--env=PASSWORD=y", "-e", "A=b"],
            ["docker", "run", "-e", f"TOKEN={WITHHELD}", f"--env=PASSWORD={WITHHELD}", "-e", f"A={WITHHELD}"],
        ),
        (["curl", "-H", "Authorization: Bearer x"], ["curl", "-H", f"Authorization: {WITHHELD}"]),
        (["curl", "-H", "Authorization:", "Bearer", "x"], ["curl", "-H", "Authorization:", "Bearer", WITHHELD]),
        (["curl", "-H", "Authorization:", "Basic", "1"], ["curl", "-H", "Authorization:", "Basic", WITHHELD]),
        (["curl", "Bearer", "info"], ["curl", "Bearer", WITHHELD]),
        (["curl", "-H", "X-Api-Key:x"], ["curl", "-H", WITHHELD]),
        (["/usr/bin/curl", "-u", "bob:x", "https://example.com"], ["/usr/bin/curl", "-u", WITHHELD, "https://example.com"]),
        (["curl", "-su", "bob:x"], ["curl", "-su", WITHHELD]),
        (["curl", "-ubob:x"], ["curl", f"-u{WITHHELD}"]),
        (["sshpass", "-p", "1234", "ssh", "a@b"], ["sshpass", "-p", WITHHELD, "ssh", WITHHELD]),
        (
            ["app", "/password:hunter", "--pfx-password:1234", "/token:a=b"],
            ["app", f"/password:{WITHHELD}", f"--pfx-password:{WITHHELD}", f"/token:{WITHHELD}"],
        ),
        (["sudo", "sshpass", "-p1", "ssh"], ["sudo", WITHHELD, f"-p{WITHHELD}", "ssh"]),
        (["mysql", "-psecret"], ["mysql", f"-p{WITHHELD}"]),
        (["sh", "-c", "mysql -pmytoken db"], ["sh", "-c", f"mysql -p{WITHHELD} {WITHHELD}"]),
        (["etcdctl", "--user", "root:x"], ["etcdctl", "--user", WITHHELD]),
        (["etcdctl", "--user=root"], ["etcdctl", f"--user={WITHHELD}"]),
        (["docker", "login", "-u", "root", "-p", "1"], ["docker", "login", "-u", WITHHELD, "-p", WITHHELD]),
        (["docker", "run", "-p", "8080:80"], ["docker", "run", "-p", "8080:80"]),
        (["sh", "-c", "run --token x --v 2"], ["sh", "-c", f"run --token {WITHHELD} --v 2"]),
        (["sh", "-c", 'A=1 TOKEN=x PW="a b" run'], ["sh", "-c", f"A=1 TOKEN={WITHHELD} PW={WITHHELD} run"]),
        (["sh", "-c", "unclosed 'quote"], ["sh", "-c", WITHHELD]),
        (["x", "--password=a b --c"], ["x", f"--password={WITHHELD}"]),
        (["x", '{"token": "y", "port": 80}'], ["x", f'{{"token":"{WITHHELD}","port":80}}']),
        (["x", '{"port": 80}'], ["x", '{"port": 80}']),
        (["x", '{"n": 12345678901234567}'], ["x", '{"n": 12345678901234567}']),
        (["x", '{"n": 123456789012345678}'], ["x", f'{{"n":"{WITHHELD}"}}']),
        (["x", '{"auths":{"nvcr.io":{"auth":"eA=="}}}'], ["x", f'{{"auths":{{"nvcr.io":{{"auth":"{WITHHELD}"}}}}}}']),
        (["x", '["run", "--token", "a b", "--v"]'], ["x", f'["run","--token","{WITHHELD}","--v"]']),
        (
            ["x", "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----"],
            ["x", f"{WITHHELD} {WITHHELD} {WITHHELD} {WITHHELD}\n"],
        ),
        (["/srv/x7kQ2mZ9wL4c/run"], [WITHHELD]),
        (["kubelet", "-x7kQ2mZ9wL4c"], ["kubelet", f"-x{WITHHELD}"]),
        (["kubelet", "--x7kQ2mZ9wL4cR=1"], ["kubelet", WITHHELD]),
        (["x", '"swordfish"'], ["x", WITHHELD]),
        (["consul", "agent", "-encrypt", "4711"], ["consul", "agent", "-encrypt", WITHHELD]),
        (["vault", "agent", "-token", "4711"], ["vault", "agent", f"-t{WITHHELD}", WITHHELD]),
        (["wg", "set", "wg0", "private-key", "4711", "51820"], ["wg", "set", WITHHELD, WITHHELD, WITHHELD, "51820"]),
        (["x", "private-key", "/etc/wg/wg0.key"], ["x", WITHHELD, "/etc/wg/wg0.key"]),
        (["snmpget", "-v3", "-A", "4711"], ["snmpget", "-v3", "-A", WITHHELD]),
        (["ssh", "-o", "ProxyCommand=sshpass -p 4711 ssh a"], ["ssh", "-o", f"ProxyCommand={WITHHELD} -p {WITHHELD} ssh {WITHHELD}"]),
        *(
            (line.split(), line.split())
            for line in (
                "/usr/sbin/ip link set dev ib0 mtu 4092",
                "/usr/bin/mlxconfig -d 0000:3b:00.0 q",
                "/bin/mount -t nfs4 192.0.2.1:/export /mnt",
                "/usr/bin/cpupower frequency-set -g performance",
            )
        ),
        ([], []),
        ([""], [""]),
    ],
)
def test_command_lines(words: list[str], clean: list[str]) -> None:
    shown, count = redact_command_line(words, UNIT)
    if "PRIVATE KEY" not in "".join(words):
        assert shown == clean
        assert count == sum(word.count(WITHHELD) for word in clean)
    assert "MII" not in "".join(shown)
    assert redact_command_line(shown, UNIT) == (shown, 0)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("while :; do nvidia-smi -pm 1 && sleep 60; done", "while :; do nvidia-smi -pm 1 && sleep 60; done"),
        ("curl -u bob:x https://a:b@example.com", f"curl -u {WITHHELD} https://{WITHHELD}@example.com"),
        ("echo x | docker login --password-stdin", f"echo {WITHHELD} | docker login --password-stdin"),
        ("run --token; sleep 60", "run --token; sleep 60"),
        ("TOKEN=x run > /dev/null 2>&1", f"TOKEN={WITHHELD} run > /dev/null 2>&1"),
        ("x='$(cat /run/token)'", "x='$(cat /run/token)'"),
        ("run ${TOKEN} --v 2", "run ${TOKEN} --v 2"),
        (rf"\\{WITHHELD} --token x", WITHHELD),
        ("run $(cat /run/token) --v 2", "run $(cat /run/token) --v 2"),
        ("x=$(uname -r) y=$(echo swordfish) z=$(echo -nswordfish)", f"x=$(uname -r) y={WITHHELD} z={WITHHELD}"),
        *[
            (line, line)
            for line in (
                *("kill $(pidof nvidia-persistenced)", "run $(nproc --all)", "n=$(nproc --ignore 2)", 'IP="$(ip route get 1)"'),
                *("run $(systemctl show kubelet)", "x=$(cat /run/a)"),
            )
        ],
        *[
            (f"run {line}", f"run {WITHHELD}")
            for line in (
                *("$(mysql --password start)", "$(echo start)", "$(printf start)", "$(cat swordfish)", "$(curl -u bob:start)"),
                *("$(sshpass -p start ssh)", "$(run 'correct horse')"),
            )
        ],
        ("TOKEN=$(nproc --all)", f"TOKEN={WITHHELD}"),
        ("authorization=Bearer swordfish", f"authorization={WITHHELD} {WITHHELD}"),
        ("correct horse", f"{WITHHELD} {WITHHELD}"),
    ],
)
def test_scripts(text: str, clean: str) -> None:
    assert redact_script(text, UNIT) == (clean, clean.count(WITHHELD))
    assert redact_script(clean, UNIT)[1] == 0


def test_what_is_nested_more_than_sixteen_deep_is_withheld() -> None:
    tree: object = 80
    for depth in range(1, 19):
        tree = {"spec": tree}
        assert redact_tree(tree, UNIT)[1] == (depth > 16)


def test_fields_lists_and_variables_of_a_tree() -> None:
    names = harmless_names("policy-fields", "variables", "options")
    tree = {
        "version": "580.82.07",
        "image": "driver",
        "imagePullSecrets": ["ngc-secret"],
        "args": ["-u", "bob:x", "--log-level=info"],
        "env": [{"name": "LEVEL", "value": "x"}, {"name": "GFD_SLEEP_INTERVAL", "value": "60s"}, {"name": "API_KEY", "value": "1"}],
        "headers": [{"key": "x-token", "value": "1"}, {"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}],
        "labels": {"app": "gpu-operator", "token": "x"},
        "annotations": {"note": "x"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "config": '{"resourceList": [{"resourceName": "hostdev", "password": "x"}]}',
        "pin": 1234,
        "timeout": 60,
    }
    clean, count = redact_tree(tree, names)
    assert clean == {
        **tree,
        "args": ["-u", WITHHELD, "--log-level=info"],
        "env": [{"name": "LEVEL", "value": WITHHELD}, tree["env"][1], {"name": "API_KEY", "value": WITHHELD}],  # type: ignore[index]  # the tree above
        "headers": [{"key": "x-token", "value": WITHHELD}, tree["headers"][1]],  # type: ignore[index]  # the tree above
        "labels": {"app": "gpu-operator", "token": WITHHELD},
        "annotations": {"note": WITHHELD},
        "config": json.dumps({"resourceList": [{"resourceName": "hostdev", "password": WITHHELD}]}, separators=(",", ":")),
        "pin": WITHHELD,
    }
    assert count == 8


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("level=info msg=started token=x port=80", f"level=info msg=started token={WITHHELD} port=80"),
        ("arg=env=TOKEN=x arg=Zq7kD02mWx91LpTe=b", f"arg=env=TOKEN={WITHHELD} arg={WITHHELD}"),
        ('level=info token="x y" port=80', f'level=info token="{WITHHELD}" port=80'),
        ("password = x", f"password = {WITHHELD}"),
        ("Password: x", f"Password: {WITHHELD}"),
        ("the password was rejected", "the password was rejected"),
        ("the password is x", f"the password is {WITHHELD}"),
        ("using key swordfish", f"using key {WITHHELD}"),
        ("Host key verification failed.", "Host key verification failed."),
        ("Token retrieval failed, API key lookup failed", "Token retrieval failed, API key lookup failed"),
        ("password is hunter", f"password is {WITHHELD}"),
        ("logged in with secret swordfish and token abc", f"logged in with secret {WITHHELD} and token {WITHHELD}"),
        ("the key pair was rejected, the token exchange failed", "the key pair was rejected, the token exchange failed"),
        ("token Xy9 is expired", f"token {WITHHELD} is expired"),
        ("The security token included in the request is expired", "The security token included in the request is expired"),
        ("token expired", "token expired"),
        ("Bearer 0123456789abcdef0", f"Bearer {WITHHELD}"),
        ("a bearer of news", "a bearer of news"),
        ("Bearer abc, Basic abc", f"Bearer {WITHHELD}, Basic {WITHHELD}"),
        ("bearer authentication failed, basic swordfish, basic 1234", f"bearer authentication failed, basic {WITHHELD}, basic 1234"),
        (
            "invalid bearer token, bearer token rejected, bearer token abc",
            f"invalid bearer token, bearer token rejected, bearer token {WITHHELD}",
        ),
        ("pulled image by token", "pulled image by token"),
        ("login -u bob -p swordfish", f"login -u {WITHHELD} -p {WITHHELD}"),
        ("dial tcp 10.0.0.1:443: i/o timeout", "dial tcp 10.0.0.1:443: i/o timeout"),
        ("x509: certificate has expired", "x509: certificate has expired"),
        (
            "Error: You must be logged in (Unauthorized), see 'aws sso login'",
            "Error: You must be logged in (Unauthorized), see 'aws sso login'",
        ),
        ('my passphrase "correct horse" is wrong', f'my passphrase "{WITHHELD}" is wrong'),
        ("msg=\"password 'correct horse' is wrong\"", f"msg=\"password '{WITHHELD}' is wrong\""),
        (r'{"msg": "password \"correct horse\" is wrong"}', rf'{{"msg": "password \"{WITHHELD}\" is wrong"}}'),
        ('args: ["--token", "swordfish", "--port", "80"]', f'args: ["--token", "{WITHHELD}", "--port", "80"]'),
        ('secret "correct horse', f'secret "{WITHHELD}'),
        ('secrets "regcred" not found', 'secrets "regcred" not found'),
        ("the handle for GPU0000:C1:00.0: Unknown Error", "the handle for GPU0000:C1:00.0: Unknown Error"),
        ("the handle for GPU 00000000:C1:00.0: GPU is lost", "the handle for GPU 00000000:C1:00.0: GPU is lost"),
        ("wrong: hunter22", f"wrong: {WITHHELD}"),
        ("wrong: Zq7kD02mWx91LpTe", f"wrong: {WITHHELD}"),
        ("wrong: qxzvkwpjtrm", f"wrong: {WITHHELD}"),
        ("at https://bob:pw@example.com/x?a=1.", f"at https://{WITHHELD}@example.com/x?{WITHHELD}."),
        ("Get https://example.com/x?a=1: EOF", f"Get https://example.com/x?{WITHHELD}: EOF"),
        ("(https://example.com/x?a=1), https://example.com/?:.", f"(https://example.com/x?{WITHHELD}), https://example.com/?:."),
        ("https://@example.com/x https://b@example.com/x", f"https://@example.com/x https://{WITHHELD}@example.com/x"),
        ("see https://example.com/guide#install", "see https://example.com/guide#install"),
        ("see https://example.com/guide#x7kQ2mZ9wL4cR1", f"see https://example.com/guide#{WITHHELD}"),
        ("login -p 8080", "login -p 8080"),
        ("/usr/bin/aws: No such file or directory", "/usr/bin/aws: No such file or directory"),
        ('{"access_token": "x", "expires_in": 3600}', f'{{"access_token": "{WITHHELD}", "expires_in": 3600}}'),
        ("token -> swordfish", f"token -> {WITHHELD}"),
        ("password is: swordfish, secret key is swordfish", f"password is: {WITHHELD}, secret key is {WITHHELD}"),
        ("sshpass -p swordfish ssh", f"sshpass -p {WITHHELD} ssh"),
        ("Authorization=Bearer swordfish", f"Authorization=Bearer {WITHHELD}"),
        ("Authorization Bearer swordfish", f"Authorization Bearer {WITHHELD}"),
        ("pass phrase: swordfish | password | swordfish |", f"pass phrase: {WITHHELD} | password | {WITHHELD} |"),
        ("verification code: swordfish, exit code 12", f"verification code: {WITHHELD}, exit code 12"),
        ("<password>sword fish</password> <port>80</port>", f"<password>{WITHHELD}</password> <port>80</port>"),
        ("<password><![CDATA[correct]]></password>", f"<password>{WITHHELD}</password>"),
        ("<password><![CDATA[a</password>correct]]></password> <port>80</port>", f"<password>{WITHHELD}</password> <port>80</port>"),
        ("<password><!-- </password> -->correct</password> <port>80</port>", f"<password>{WITHHELD}</password> <port>80</port>"),
        ("<password><password>a</password>correct</password> <port>80</port>", f"<password>{WITHHELD}</password> <port>80</port>"),
        ("<dbPwd a='1'><b/><passwords>a</passwords>correct</dbPwd >", f"<dbPwd a='1'>{WITHHELD}</dbPwd >"),
        ("<secrets><host>a</host>correct</secrets> <port>80</port>", f"<secrets>{WITHHELD}</secrets> <port>80</port>"),
        ("<a><password>correct</passw", f"<a><password>{WITHHELD}"),
        ("<password>correct", f"<password>{WITHHELD}"),
        ("error: <password><![CDATA[correct", f"error: <password>{WITHHELD}"),
        ("usage: login <user> <password> [flags]", "usage: login <user> <password> [flags]"),
        ("<password></password> < > <> <port>80</port>", "<password></password> < > <> <port>80</port>"),
        ("the password --port 80", "the password --port 80"),
        ("password ---swordfish", f"password {WITHHELD}"),
        (
            '{"passwords": ["swordfish", ["other"], "third"], "port": 80}',
            f'{{"passwords": ["{WITHHELD}", ["{WITHHELD}"], "{WITHHELD}"], "port": 80}}',
        ),
        ("passwords=[swordfish other] port=(http)", f"passwords=[{WITHHELD} {WITHHELD}] port=(http)"),
        ("password=(swordfish) failed", f"password=({WITHHELD}) failed"),
        ("jdbc:oracle:thin:bob/swordfish@db:1521/x", f"{WITHHELD}@db:1521/x"),
        *[
            (line, line)
            for line in (
                'Unable to locate credentials. You can configure credentials by running "aws configure".',
                "Error loading SSO Token: Token for my-sso does not exist",
                "failed to get token: expected an empty error but received: AzureCLICredential: context deadline exceeded",
                "error getting credentials - err: exec: executable file not found in $PATH",
                "open /home/bob/.kube/cache/oidc-login/token: permission denied",
                "no basic auth credentials",
                "gpg: Can't check signature: No public key",
                'admission webhook "policy.example.com" denied the request',
                "a terminal is required to read the password; use the -S option",
                "basic constraints are missing",
            )
        ],
        ('password=swordfish"correct horse" x', f'password={WITHHELD}"{WITHHELD}" x'),
        ("{'password': u'swordfish', 'port': u'80'}", f"{{'password': u'{WITHHELD}', 'port': u'80'}}"),
        ("password=b'swordfish'", f"password={WITHHELD}'{WITHHELD}'"),
        ('password := "swordfish"', f'password := "{WITHHELD}"'),
        ("password: |\n  swordfish", f"password: |\n  {WITHHELD}"),
        ("password: >-\n  swordfish", f"password: >-\n  {WITHHELD}"),
        ("password=${swordfish} x=$(cat /run/x)", f"password={WITHHELD} x=$(cat /run/x)"),
        ("password=$(echo swordfish) x", f"password={WITHHELD} x"),
        ("x=$(swordfish", "x=$(swordfish"),
        ('Authorization: Token token="swordfish", realm="x"', f'Authorization: Token token="{WITHHELD}", realm="x"'),
        (
            "EnvVar{Name:PASSWORD,Value:swordfish} EnvVar{Name:A,Value:b}",
            f"EnvVar{{Name:PASSWORD,Value:{WITHHELD}}} EnvVar{{Name:A,Value:b}}",
        ),
        ("- name: PASSWORD\n  value: swordfish\n- name: a\n  value: b", f"- name: PASSWORD\n  value: {WITHHELD}\n- name: a\n  value: b"),
        ('{"name": "PASSWORD", "value": "swordfish"}', f'{{"name": "PASSWORD", "value": "{WITHHELD}"}}'),
        ("name=PASSWORD value=swordfish", f"name=PASSWORD value={WITHHELD}"),
        ('<x name="password" value="swordfish"/>', f'<x name="password" value="{WITHHELD}"/>'),
        ("--password:swordfish /x", f"--password:{WITHHELD} /x"),
        ("password of bob is swordfish", f"password of bob is {WITHHELD}"),
        ("[sudo] password for bob: swordfish", f"[sudo] password for bob: {WITHHELD}"),
        ("Password for 'https://bob@example.com': swordfish", f"Password for 'https://{WITHHELD}@example.com': {WITHHELD}"),
        ("Enter passphrase for key '/root/.ssh/id_rsa': swordfish", f"Enter passphrase for key '/root/.ssh/id_rsa': {WITHHELD}"),
        ("wrong password for bob: permission denied", "wrong password for bob: permission denied"),
        ("no password for bob here", "no password for bob here"),
        ('Load key "/root/.ssh/id_rsa": invalid format', 'Load key "/root/.ssh/id_rsa": invalid format'),
        ("error: env:DB_PASSWORD=correct/horse@battery is wrong", f"error: env:DB_PASSWORD={WITHHELD} is wrong"),
        ("x:api_key=correct/horse@a file:12:password=correct/horse@x", f"x:api_key={WITHHELD} file:12:password={WITHHELD}"),
        ("app:PASSWORD=sw@rdfish x:env=PASSWORD=correct/horse@b", f"app:PASSWORD={WITHHELD} {WITHHELD}@b"),
        ("mailto:x=bob:swordfish@h :=bob:swordfish@h", f"mailto:x={WITHHELD}@h :={WITHHELD}@h"),
        ("x = $(echo AKIAIOSFODNN7EXAMPLE) $(curl --token swordfish)", f"x = $(echo {WITHHELD}) $(curl --token {WITHHELD})"),
        ("$(mysql --password hunter2) $(curl -u bob:hunter2 x)", f"$(mysql --password {WITHHELD}) $(curl -u {WITHHELD} x)"),
        ("--token -x$(mysql --password hunter2)", f"--token -x$(mysql --password {WITHHELD})"),
        ("--token $(cat /run/x) TOKEN:${swordfish}", f"--token {WITHHELD} TOKEN:{WITHHELD}"),
        ("Name:PASSWORD Value:$(echo swordfish)", f"Name:PASSWORD Value:{WITHHELD}"),
        ("token x=$(mysql --password hunter2)", f"token x=$(mysql --password {WITHHELD})"),
        *[(line, line) for line in ("echo $(date +%s)", 'exec: "$(which foo)"', "$((1 + 2))", "echo ${HOME}/x")],
        ('"Authorization: Bearer swordfish="', f'"Authorization: Bearer {WITHHELD}"'),
        ("-H 'Authorization: Negotiate swordfish='", f"-H 'Authorization: Negotiate {WITHHELD}'"),
        ('Authorization: Basic Ym9iOmE="', f'Authorization: Basic {WITHHELD}"'),
        *[(f'{line}realm="a"', f'{line}realm="a"') for line in ("WWW-Authenticate: Bearer ", 'Authorization: Digest username="bob", ')],
        ("api key /srv/swordfish/x, secret key /run/swordfish/x", f"api key {WITHHELD}, secret key {WITHHELD}"),
        ("token /srv/swordfish/x", f"token {WITHHELD}"),
        ("cannot load private key /etc/kubernetes/pki/ca.key", "cannot load private key /etc/kubernetes/pki/ca.key"),
        *[
            (line, line)
            for line in (
                "pod name: gpu-secret is not ready. value: 3 of 5",
                "pod name: gpu-secret …, value: 3 of 5",
                "Password for user root is about to expire",
                "passphrase for key '/root/.ssh/id': bad passphrase",
                "the password is too short, the token is still valid, the key is already set",
            )
        ],
        ("name: gpu-secret; value: swordfish", f"name: gpu-secret; value: {WITHHELD}"),
        (
            '{"name": "PASSWORD", "type": "string", "value": "swordfish"}',
            f'{{"name": "PASSWORD", "type": "string", "value": "{WITHHELD}"}}',
        ),
        ('password "/root/swordfish" fails', f'password "{WITHHELD}" fails'),
        ("proxyconnect tcp: at 2026-11-30T06:00:00.123Z", "proxyconnect tcp: at 2026-11-30T06:00:00.123Z"),
        ("AKIAIOSFODNN7EXAMPLE:hunter22", WITHHELD),
        ("iscsi:bob:sword=fi/sh@192.0.2.1::::iqn", f"iscsi:{WITHHELD}@192.0.2.1::::iqn"),
        ("bob:sword=fish@db", f"{WITHHELD}@db"),
        ("pull library/ubuntu:22.04@latest", "pull library/ubuntu:22.04@latest"),
        ("-----BEGIN RSA PRIVATE KEY----- MII", WITHHELD),
    ],
)
def test_what_programs_print(line: str, clean: str) -> None:
    shown, count = redact_text(line)
    assert shown == clean
    assert count == clean.count(WITHHELD)
    assert redact_text(shown) == (shown, 0)
    secrets = [word for word in PLAIN_SECRETS if word in line and word not in clean]
    for is_prose in (True, False):
        if not any(sentence in line for sentence in (*ONLY_BY_FORM, *(() if is_prose else SENTENCES))):
            shown, _ = redact_text(line, is_not_random, is_prose=is_prose)
            assert not [word for word in secrets if word in shown], (is_prose, shown)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("registry.example.com:5000/a/b:1.2", True),
        ("library/ubuntu:22.04", True),
        ("library/ubuntu", False),
        ("Library/ubuntu:22.04", False),
        ("registry.example.com/Ubuntu:22.04", False),
        ("x7kQ2mZ9wL4c/ubuntu:22.04", False),
        ("ubuntu:latest", True),
        ("ubuntu:swordfish", False),
        *[(text, False) for text in ("ubuntu", "ubuntu:", "a.example.com")],
        ("registry.example.com/x7kQ2mZ9wL4c:22.04", False),
        (f"a.example.com/b@sha256:{'0f' * 32}", True),
        (f"a.example.com/b@sha512:{'0f' * 32}", False),
        (f"a.example.com/b@sha256:{'0f' * 31}0", False),
        (f"a.example.com/b@sha256:g{'0' * 63}", False),
        (f"a.example.com/b@sha256:{'0' * 63}g", False),
    ],
)
def test_images(text: str, is_one: bool) -> None:
    assert is_image(text) == is_one


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        *[(text, True) for text in ("$A_B", "${A1}", "$(nproc)", "$(uname -r)", "$(cat /run/a /run/b)", "%i")],
        *[
            (text, False)
            for text in ("$1a", "${A-b}", "${A", "$(echo a)", "$(x7kQ2mZ9wL4c /run/a)", "$(cat /run/a) $(b)", "%ii", "%1", "i%")
        ],
        *[(text, False) for text in ("$é", "$x7kQ2mZ9wL4c", "$(cat -abc /run/a)x)", "$(cat -abcd)")],
    ],
)
def test_references(text: str, is_one: bool) -> None:
    assert is_reference(text) == is_one


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        *[(text, True) for text in ("2026-11-30T06:00:00Z", "1999-01-01T00:00:00.123456789+02:00", "0x1", "0x12345678")],
        *[(text, True) for text in ("1G-4G", "-5", "+5", "50%", "5ms", "0000", "123456789012")],
        *[
            (text, False)
            for text in ("1x-4", "1-", "1-x", ".5", "-:5", "1$", "1$2", "5 5", "%", "k", "--5", "1234567890123", "\u0665", "1\u0665")
        ],
        *[(text, False) for text in ("0x", "0x123456789", "0xg", "0x1g", "2026-11-30T06:00:00.1234567890+02:00x")],
        *[
            (text, False)
            for text in ("2126-11-30T06:00:00Z", "2026-11-30T06:00:00x", "2026-11-30x06:00:00Z", "2026-11-30T06:00:00.1234567890+02:00")
        ],
        *[
            (f"2026-{text}", is_time)
            for text, is_time in (
                *[(text, True) for text in ("11-30T06:00:00", "12-31T24:59:60+0100", "11-30T06:00:00.123456789-12:00")],
                *[("11-30T06:00:00.1234567890Z", False), ("11-30T06:00:00..::++--ZZ", False), ("11-30T06:00:0\u0662Z", False)],
                *[("13-30T06:00:00Z", False), ("12-34T06:78:90Z", False), ("11-30T25:00:00Z", False), ("11-30T06:00:61Z", False)],
            )
        ],
    ],
)
def test_numbers_and_times(text: str, is_one: bool) -> None:
    assert is_number(text) == is_one


@pytest.mark.parametrize(
    ("tree", "clean"),
    [
        ({"credentials": {"user": "swordfish", "id": "4711"}}, {"credentials": {"user": WITHHELD, "id": WITHHELD}}),
        ({"password": [{"a": 4711}, {"b": {"c": "4711"}}]}, {"password": [{"a": WITHHELD}, {"b": {"c": WITHHELD}}]}),
        ([{"name": "PASSWORD", "value": {"a": "4711"}}], [{"name": "PASSWORD", "value": {"a": WITHHELD}}]),
        ({"secretKeyRef": {"name": "nls", "key": "token"}}, {"secretKeyRef": {"name": "nls", "key": "token"}}),
        ({"webhook": {"enabled": True, "port": 9443}}, {"webhook": {"enabled": True, "port": WITHHELD}}),
        (
            {"tls": {"secret": {"create": False, "x": [None, True, "a"]}}},
            {"tls": {"secret": {"create": False, "x": [None, True, WITHHELD]}}},
        ),
    ],
)
def test_all_of_a_mapping_of_a_credential_is_withheld(tree: object, clean: object) -> None:
    shown, count = redact_tree(tree, POLICY)
    assert (shown, count) == (clean, str(clean).count(WITHHELD))


@pytest.mark.parametrize(("word", "is_shown"), [("internationalizationwork", True), ("internationalizationworks", False)])
def test_a_word_of_up_to_24_characters_is_shown_in_a_message(word: str, is_shown: bool) -> None:
    assert (word in quote_value(word)) == is_shown


def test_a_version_has_up_to_24_digits() -> None:
    assert is_version("1.2.3.20251130123456.12345.12")
    assert not is_version("1.2.3.20251130123456.12345.123")


@pytest.mark.parametrize(
    "word",
    [
        "Zq7kD02mWx91LpTe",
        "9f86d081884c7d65",
        "c29tZS1zZWNyZXQ5eA",
        "ab6ab95d-1a2b-3c4d-5e6f-0123456789ab",
        "1234567890123",
        "abc12def34gh",
        "abcdef12ghijk3",
    ],
)
def test_random_words_are_known(word: str) -> None:
    assert has_random_part(word)
    assert has_random_part(f"a=b,c={word}")
    assert not is_wordy(f"{word}x")


@pytest.mark.parametrize(
    "word",
    [
        "vmlinuz-5.14.0-427.13.1.el9_4.x86_64",
        "NVIDIA-H100-80GB-HBM3",
        "nvidia-h100-mig-1g.10gb",
        "p5.48xlarge",
        "PreserveVideoMemoryAllocations",
        "SmiGpuNic",
        "ami-0123456789abcdef0",
    ],
)
def test_names_of_devices_and_programs_are_not_random(word: str) -> None:
    assert not has_random_part(word)


def test_messages_do_not_repeat_values_of_settings_variables_and_queries() -> None:
    """What is wrong is named without the value, which may be a secret."""
    commands: list[tuple[list[str], dict[str, str]]] = [
        (["bundle", "--set", f"gpu-operator={SECRET}"], {}),
        (["bundle", "--set", f"nothing:a.b={SECRET}", "--gpu", "h100"], {}),
        (["bundle", "--set", f"gpu-operator:enabled={SECRET}", "--gpu", "h100"], {}),
        (["bundle", "--set", f"gpu-operator:driver.enabled={SECRET}", "--gpu", "h100", "--service", "eks"], {}),
        (["bundle", "--set", f"gpu-operator:{{={SECRET}", "--gpu", "h100", "--service", "eks"], {}),
        (["recipe", "--server", f"http://192.0.2.1/?token={SECRET}", "--gpu", "h100"], {}),
        (["recipe", "--server", f"ftp://bob:{SECRET}@192.0.2.1/?token={SECRET}", "--gpu", "h100"], {}),
        (["bundle", "--set", f"gpu-operator:driver.kernelModuleType={SECRET}", "--gpu", "h100", "--service", "eks"], {}),
        (["bundle", "--set", f"gpu-operator:driver.enabled:{SECRET}", "--gpu", "h100", "--service", "eks"], {}),
        (["recipe"], {"EIDOS_GPU": SECRET}),
        (["recipe"], {"EIDOS_OSV": SECRET}),
        (["recipe"], {"EIDOS_SERVER": SECRET}),
        (["recipe"], {"EIDOS_SERVER": f"https://{SECRET}.example.com/ x"}),
        (["snapshot"], {"EIDOS_UNITS": f"{SECRET}.servce"}),
        (["fleet"], {"EIDOS_HOSTS": f"{SECRET}[3"}),
        (["snapshot"], {"EIDOS_TIMEOUT": SECRET}),
        (["snapshot"], {"EIDOS_ONLY": f"os,{SECRET}"}),
        (["serve"], {"EIDOS_PORT": SECRET}),
    ]
    for arguments, environ in commands:
        result = eidos(*arguments, env=environ)
        assert result.status == 2, (arguments, result.err)
        assert SECRET not in result.err + result.out, arguments
        assert SECRET[:8] not in result.err, (arguments, environ)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("word." * 25 + "abc", True),  # 128 characters
        ("word." * 25 + "abcd", False),
        ("kubelet", True),
        ("kübelet", False),
        ("1abcdef2", True),  # digits on both sides of eight characters
        ("1abcdefg2", False),
    ],
)
def test_what_looks_like_words_is_short_and_has_few_digits(text: str, expected: bool) -> None:
    assert is_wordy(text) is expected


@pytest.mark.parametrize(("text", "expected"), [("ab12cdefg", False), ("ab12cdef3", True)])
def test_letters_and_digits_change_three_times_in_what_is_random(text: str, expected: bool) -> None:
    assert has_random_part(text) is expected
