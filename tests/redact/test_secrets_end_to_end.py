"""A secret in any place that holds one comes out of no verb: no document, log, trace, metric, cache file, bundle or answer has it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eidos.collectors.systemd import SYSTEM_BUS, unit_object_path
from eidos.dbus.signature import Variant
from tests.fakes.apiserver import ApiServer
from tests.fakes.bus import fake_bus
from tests.redact.canaries import SECRETS, STYLES
from tests.support.program import PROGRAM, Result, eidos
from tests.support.server_process import Built
from tests.telemetry.test_spans import Collector

#: A word of high entropy: of letters and digits, of hexadecimal digits.
words = st.from_regex(r"Zq7k[A-Za-z0-9]{16,28}", fullmatch=True) | st.from_regex(r"3f[0-9a-f]{20,40}", fullmatch=True)

#: The value of a listed name: a word with a number may be one, a high-entropy word may not.
VARIANT = 'VARIANT="§"\n'
UNIT = "containerd.service"
OS_RELEASE = 'ID=ubuntu\nVERSION_ID="24.04"\nZZ_VALUE=§\nHOME_URL="https://§@example.com/"\nBUG_REPORT_URL="https://example.com/?q=§"\n'
#: What a request to the server may have in its head, beside what it asks for.
HEADERS = {
    "Authorization": "Bearer §",
    "Cookie": "session=§",
    "Referer": "https://example.com/?q=§",
    "X-Forwarded-For": "§",
    "X-Request-Id": "§",
}
TARGETS = (
    *(
        "/v1/recipe?gpu=§",
        "/v1/recipe?os=§&gpu=h100",
        "/v1/recipe?§=1",
        "/v1/recipe?k8s=§",
        "/v1/recipe?gpu=h100&gpu=§",
        "/v1/recipe?osv=§",
    ),
    *("/v1/recipe?gpu=h100&token=§", "/v1/bundle?gpu=§", "/v1/bundle?gpu=h100&bundlers=§", "/v1/recipe?gpu=%ff§", "/nowhere?q=§"),
    *("/health?q=§", "/metrics?q=§", "/v1/query?gpu=h100&selector=§", "/v1/recipe?intent=h100§", "/v1/catalog?q=§", "/?q=§"),
)
BODIES = (
    '{"gpu": "§"}',
    '{"spec": {"criteria": {"gpu": "§"}}}',
    '{"§": 1}',
    "gpu: [§",
    "§",
    '{"kind": "Snapshot", "measurements": "§"}',
    '{"kind": "§"}',
)
#: Variables of the program's own whose values it cannot use, and URLs in which a secret stands.
BAD_URL = "http://bob:§@127.0.0.1:9/?sig=§"
VARIABLES: tuple[dict[str, str], ...] = (
    {"OTEL_EXPORTER_OTLP_ENDPOINT": BAD_URL, "OTEL_TRACES_SAMPLER": "always_on", "OTEL_EXPORTER_OTLP_HEADERS": "§"},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": "§", "OTEL_TRACES_SAMPLER": "§", "TRACEPARENT": "§", "TRACESTATE": "§"},
    {"HTTPS_PROXY": "http://bob:§@127.0.0.1:9", "HTTP_PROXY": "bob:§@127.0.0.1:9"},
    *({name: "§"} for name in ("EIDOS_LOG_LEVEL", "EIDOS_TIMEOUT", "EIDOS_UNITS", "EIDOS_FORMAT", "EIDOS_REQUIRE", "HTTPS_PROXY")),
)
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("recipe", "--server", BAD_URL),
    ("recipe", "--server", "ftp://bob:§@example.com/?k=§"),
    ("recipe", "--gpu", "h100", "--server", "http://127.0.0.1:9/?token=§"),
    ("snapshot", "--only", "k8s.server", "--kubeconfig", "BAD"),
    ("recipe", "-f", "BAD"),
    ("bundle", "-f", "BAD"),
    ("bundle", "-f", "SNAPSHOT"),
    ("bundle", "-f", "RECIPE", "--bundlers", "cert-manager", "--values", "cert-manager=VALUES"),
    ("bundle", "-f", "RECIPE", "--bundlers", "gpu-operator", "--set", "gpu-operator:driver.kernelModuleType=§"),
    ("bundle", "--gpu", "h100", "--registry", "https://bob:§@registry.example.com/?x=§"),
)


def is_random(word: str) -> bool:
    """Whether a listed name may not show it either; what looks like a word with a number it may."""
    return word in SECRETS[1:3]


def put(tree: Any, word: str) -> Any:
    """``tree`` with the word in place of each §."""
    return json.loads(json.dumps(tree).replace("§", json.dumps(word)[1:-1]))


def boot_line(word: str) -> str:
    """All styles of a boot line in one."""
    plain = [line for line in STYLES["boot"] if "cc:" not in line and "--" not in line]
    cloud = [line for line in STYLES["boot"] if "cc:" in line]
    rest = [line.partition("-- ")[2] for line in STYLES["boot"] if "-- " in line]
    return " ".join([*plain, "zzunlisted=§ zz.param=a,b=§", *cloud, "end_cc --", *rest]).replace("§", word) + "\n"


def lay_out_host(root: Path, word: str) -> dict[str, dict[str, Variant]]:
    """Write the files of a host below ``root``; the objects of its bus."""
    for name, text in (("proc/cmdline", boot_line(word)), ("etc/os-release", (OS_RELEASE + VARIANT * is_random(word)).replace("§", word))):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    environment = [each.replace("§", word) for each in (*STYLES["variable"], "ZZ=§", *["NO_PROXY=§"] * is_random(word))]
    commands = [[part.strip().replace("§", word) for part in each.split(" | ")] for each in STYLES["argument"]]
    execs = [(words[0], words, False, 0, 0, 0, 0, 0, 0, 0) for words in commands]
    unit = {
        "Id": Variant(("s", UNIT)),
        "LoadState": Variant(("s", "loaded")),
        "Environment": Variant(("as", environment)),
        "ExecStart": Variant(("a(sasbttttuii)", execs)),
        "StatusText": Variant(("s", f"token {word}")),
        "Description": Variant(("s", f"runs with {word}")),
        "SetCredential": Variant(("a(say)", [("x", word.encode())])),
    }
    return {unit_object_path(UNIT): unit}


@contextmanager
def cluster(folder: Path, word: str) -> Iterator[ApiServer]:
    """A cluster whose policies hold the word, and whose API server shows it in errors; and a plugin that prints it."""
    with ApiServer() as server:
        for number, text in enumerate(STYLES["policy"]):
            group = "mellanox.com/v1alpha1/nicclusterpolicies" if "ibKubernetes" in text else "nvidia.com/v1/clusterpolicies"
            spec = {**put(json.loads(text), word), "zzunlisted": {"zz": word, "list": [word]}}
            server.put(f"/apis/{group}/policy-{number}", {"spec": spec, "status": {"state": "ready"}})
        node = {"metadata": {"annotations": {"zz/a": word}}, "spec": {"providerID": "aws:///us-west-2a/i-0a"}, "status": {}}
        server.put("/api/v1/nodes/gpu-07", node)
        credential = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": {"token": server.token}}
        plugin = folder / "plugin"
        plugin.write_text(
            f"#!/bin/sh\ncat >&2 <<'END'\n{word}\nusing key {word}, password is {word}\nEND\necho '{json.dumps(credential)}'\n"
        )
        plugin.chmod(0o755)
        user = {
            "exec": {
                "apiVersion": credential["apiVersion"],
                "command": str(plugin),
                "args": ["--token", word],
                "env": [],
                "interactiveMode": "Never",
            }
        }
        server.kubeconfig(folder, user=user)
        yield server


class Run:
    """Runs verbs in a folder of its own and looks for the word in what they leave; ``leaks`` has the places."""

    def __init__(self, folder: Path, word: str, program: Sequence[str], otlp: Collector) -> None:
        self.folder, self.word, self.program, self.otlp = folder, word, program, otlp
        self.leaks: list[str] = []
        self.inputs = {"plugin", "kubeconfig", "cmdline", "os-release", "BAD", "VALUES"}
        self.env = {
            "KUBECONFIG": str(folder / "kubeconfig"),
            "NODE_NAME": "gpu-07",
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url,
            "OTEL_TRACES_SAMPLER": "always_on",
            **{name: str(folder / "home") for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")},
        }

    def __call__(self, *arguments: str, **more: str) -> Result:
        paths = {"BAD": self.folder / "BAD", "RECIPE": self.folder / "recipe.yaml", "SNAPSHOT": self.folder / "node.yaml"}
        command = [str(paths.get(each, each)).replace("=VALUES", f"={self.folder}/VALUES") for each in arguments]
        command = [each.replace("§", self.word) for each in command]
        result = eidos(
            *command,
            program=self.program,
            cwd=self.folder,
            env={**self.env, **{name: text.replace("§", self.word) for name, text in more.items()}},
        )
        self.look(f"{arguments} {more}", result.out + result.err)
        assert "Traceback" not in result.err or "internal error" not in result.err, result.err
        return result

    def look(self, where: str, text: str) -> None:
        """Note each place in ``text`` where the word stands, as it is or as it stands in a URL."""
        for word in {self.word, quote(self.word, safe=""), json.dumps(self.word)[1:-1]}:
            at = text.find(word)
            if at >= 0:
                self.leaks.append(f"{where}: …{text[max(0, at - 80) : at + len(word) + 20]!r}")

    def look_at_files(self) -> None:
        """Look at everything that was written, and at what the trace receiver has."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path.name not in self.inputs:
                self.look(str(path.relative_to(self.folder)), path.read_bytes().decode("utf-8", "replace"))
        self.look("traces", json.dumps([tree for _, _, tree in self.otlp.requests]))


def find_leaks(folder: Path, word: str, program: Sequence[str] = PROGRAM, *, thorough: bool = True) -> list[str]:
    """Run the verbs with the word in every place, and give the places where it came out."""
    objects = lay_out_host(folder / "host", word)
    (folder / "BAD").write_text(KUBECONFIG.replace("§", word))
    (folder / "VALUES").write_text(f"a: 'x {word}'\nnosuch:\n  key: {word}\n bad: [{word}\n")
    otlp = Collector()
    run = Run(folder, word, program, otlp)
    try:
        with fake_bus(folder / "host" / SYSTEM_BUS[1:], objects), cluster(folder, word):
            host = ("--root", str(folder / "host"), "--units", UNIT, "--skip", "gpu")
            snapshot = str(folder / "node.yaml")
            taken = run("snapshot", *host, "--debug", "-o", snapshot, "--metrics-file", str(folder / "eidos.prom"), "--volatile")
            outcomes = Path(snapshot).read_text()
            assert taken.status == 0, taken.err
            assert 'zzunlisted: "<withheld>"' in outcomes and UNIT in outcomes, outcomes
            of_cluster = run("snapshot", "--cluster-only", "--debug", "--metrics-file", str(folder / "cluster.prom"))
            assert 'zzunlisted.zz: "<withheld>"' in of_cluster.out and list(folder.glob("home/eidos/*")), of_cluster
            for arguments in (
                ("-t", "table", "--all"),
                ("--cluster-only", "-t", "json"),
                ("-t", "json", "--log-format", "json", "--debug"),
                ("--list-withheld",),
            ):
                if thorough:
                    run("snapshot", *(host if "--cluster-only" not in arguments else ()), *arguments)
        run("recipe", "-f", snapshot, "--debug", "--log-format", "json", "-o", str(folder / "recipe.yaml"), "--intent", "training")
        run("bundle", "-f", "RECIPE", "--debug", "--bundlers", "gpu-operator", "-o", str(folder / "bundle"))
        assert (folder / "bundle").is_dir() and otlp.spans()
        if thorough:
            for environ in VARIABLES:
                run("snapshot", "--only", "os.release", "--root", str(folder / "host"), "--debug", **environ)
            for command in COMMANDS:
                run(*command, "--debug")
    finally:
        otlp.close()
    run.look_at_files()
    return run.leaks


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: a
clusters: [{name: a, cluster: {server: "https://bob:§@127.0.0.1:9/?k=§", proxy-url: "http://bob:§@127.0.0.1:9"}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
users: [{name: a, user: {token: "§"}}]
"""


def look_at_server(server: Built, run: Run) -> None:
    """Ask a server in all ways, and look at its answers, its metrics and its log."""
    headers = {name: text.replace("§", run.word) for name, text in HEADERS.items()}
    for target in TARGETS:
        status, _, body = server.ask("GET", target.replace("§", quote(run.word)), headers=headers)
        run.look(f"GET {target} {status}", body.decode())
    for document in BODIES:
        for target in ("/v1/recipe", "/v1/bundle"):
            status, _, answer = server.ask("POST", target, document.replace("§", run.word).encode(), headers)
            run.look(f"POST {target} {document} {status}", answer.decode("utf-8", "replace"))
    snapshot = (run.folder / "node.yaml").read_bytes()
    status, _, answer = server.ask("POST", "/v1/recipe", snapshot)
    run.look(f"POST snapshot {status}", answer.decode())
    run.look("/metrics", server.ask("GET", "/metrics")[2].decode())
    server.stop()
    run.look("log of the server", server.stderr.decode())


@pytest.mark.exhaustive(sample=1, group="secrets of the program")
@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.slow
def test_a_secret_in_every_input_comes_out_of_no_verb(tmp_path: Path, secret: str) -> None:
    assert find_leaks(tmp_path, secret) == []


@given(words)
@settings(max_examples=2, suppress_health_check=list(HealthCheck))
def test_a_random_word_comes_out_of_no_verb(tmp_path_factory: pytest.TempPathFactory, word: str) -> None:
    assert find_leaks(tmp_path_factory.mktemp("program"), word, thorough=False) == []


#: What an admission webhook or a gateway may say.
STATUS_MESSAGE = 'cannot use key §, password is §; denied by https://bob:§@example.com/?sig=§; secret "§" is invalid: token=§'


def test_a_secret_in_an_error_of_the_api_server_comes_out_nowhere(tmp_path: Path) -> None:
    """It is in no document, log, error, cache or trace."""
    word, otlp = SECRETS[1], Collector()
    run = Run(tmp_path, word, PROGRAM, otlp)
    message = STATUS_MESSAGE.replace("§", word)
    arguments = ("snapshot", "--cluster-only", "--debug", "--timeout", "60s", "-o", str(tmp_path / "node.yaml"))
    try:
        with cluster(tmp_path, word) as server:
            for kind, more in (
                ("403", {"message": message}),
                ("404", {"message": message}),
                ("redirect", {"to": message.replace(" ", "")}),
            ):
                server.calm()
                server.fault("", kind, -1, **more)
                result = run(*arguments)
                assert f"{server.port}: " in result.err + (tmp_path / "node.yaml").read_text(), result
    finally:
        otlp.close()
    run.look_at_files()
    assert run.leaks == []


def test_the_built_file_and_its_server_give_no_secret_away(tmp_path: Path, pyz: Path) -> None:
    word = SECRETS[1]
    assert find_leaks(tmp_path, word, [sys.executable, str(pyz)], thorough=False) == []
    otlp = Collector()
    run = Run(tmp_path, word, PROGRAM, otlp)
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url, "OTEL_TRACES_SAMPLER": "always_on", "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={word}"}
    try:
        with Built(pyz, "--workers=1", "--rate=0", "--client-rate=0", "--debug", env=traced) as server:
            look_at_server(server, run)
    finally:
        otlp.close()
    run.look_at_files()
    assert otlp.spans() and run.leaks == []
