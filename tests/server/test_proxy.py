"""nginx, configured as the manual shows it, before two instances of the built program: TLS, the clients' addresses, rolling restarts."""

from __future__ import annotations

import http.client
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

import pytest

from tests.support.certificates import make_certificate
from tests.support.program import ROOT
from tests.support.server_process import Built, exchange, free_port
from tests.support.waiting import AMPLE_S, ClientThreads, until

pytestmark = pytest.mark.slow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

#: What an ordinary run does of the fifty restarts that ``python3 -m tests.bench serve --full`` does.
RESTARTS = 6

HEADING = "### Behind a proxy with TLS"

#: What the manual shows below that heading.
CONFIG = """\
upstream eidos {
    server 127.0.0.1:8081 max_fails=0;  # who refuses while it restarts is asked again with the next request
    server 127.0.0.1:8082 max_fails=0;
    keepalive 16;
}

server {
    listen 443 ssl;
    server_name recipes.example.com;
    ssl_certificate /etc/ssl/certs/recipes.example.com.pem;
    ssl_certificate_key /etc/ssl/private/recipes.example.com.key;
    client_max_body_size 4m;  # as --max-body

    location / {
        proxy_pass http://eidos;
        proxy_http_version 1.1;
        proxy_set_header Connection "";  # connections to the instances are kept
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;  # what --trust-proxy 1 reads
        proxy_connect_timeout 2s;
        proxy_next_upstream error timeout http_503 non_idempotent;  # asking twice does no harm, not even a POST
        proxy_next_upstream_timeout 10s;
    }

    location = /metrics { return 404; }  # for the monitoring inside, not for the world
}
"""

#: The flags that go with it.
FLAGS = ("--trust-proxy=1", "--drain-delay=200ms")

#: Where tests run, the rest of a configuration.
AROUND = """\
daemon off;
worker_processes 1;
user root;
pid {folder}/pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u;
    scgi_temp_path {folder}/s;
    include {folder}/eidos.conf;
}}
"""

#: A query, a body, an archive: the requests of a client's round.
ROUND: tuple[tuple[str, str, bytes], ...] = (
    ("GET", "/v1/recipe?os=ubuntu&service=eks&gpu=h100", b""),
    ("POST", "/v1/recipe", b'{"service": "gke", "intent": "training"}'),
    ("GET", "/v1/recipe?service=aks&context=true", b""),
    ("POST", "/v1/bundle?archive=zip&bundlers=cert-manager", b""),  # of the recipe that the one before it gives
    ("GET", "/v1/catalog", b""),
)


def test_the_manual_shows_this_configuration() -> None:
    section = (ROOT / "templates" / "help" / "serve.md").read_text().partition(HEADING + "\n")[2]
    shown = re.search(r"^```nginx\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert shown
    assert shown[1] == CONFIG


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if NGINX is None:
        pytest.skip("needs nginx (package of that name)")
    return make_certificate(tmp_path_factory.mktemp("tls"))


class Proxy:
    """nginx on a free port of 127.0.0.1, before these ports."""

    def __init__(self, folder: Path, certificate: Path, first: int, second: int) -> None:
        assert NGINX is not None
        self.port = free_port()
        self.log = folder / "log"
        self.trusted = ssl.create_default_context(cafile=str(certificate / "ca.pem"))
        config = CONFIG
        for shown, meant in (
            ("127.0.0.1:8081", f"127.0.0.1:{first}"),
            ("127.0.0.1:8082", f"127.0.0.1:{second}"),
            ("listen 443 ", f"listen 127.0.0.1:{self.port} "),
            ("/etc/ssl/certs/recipes.example.com.pem", str(certificate / "cert.pem")),
            ("/etc/ssl/private/recipes.example.com.key", str(certificate / "key.pem")),
        ):
            assert config.count(shown) == 1
            config = config.replace(shown, meant)
        (folder / "eidos.conf").write_text(config)
        (folder / "nginx.conf").write_text(AROUND.format(folder=folder))
        self.process = subprocess.Popen(
            [NGINX, "-p", str(folder), "-e", str(self.log), "-c", str(folder / "nginx.conf")], stdin=subprocess.DEVNULL
        )
        try:
            until(lambda: self._listens() or self.process.poll() is not None)
            assert self.process.poll() is None, self.log.read_text()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End it and its worker."""
        self.process.terminate()
        self.process.wait(AMPLE_S)

    def _listens(self) -> bool:
        connection = self.connection()
        try:
            return exchange(connection, "GET", "/health")[0] == 200
        except OSError:
            return False
        finally:
            connection.close()

    def connection(self, source: str = "127.0.0.1") -> http.client.HTTPSConnection:
        """A connection of a client with this address."""
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=AMPLE_S, source_address=(source, 0), context=self.trusted)


class Clients(ClientThreads):
    """Ask through the proxy, a few hundred times a second: on connections that they keep, and every other round on a new one."""

    def __init__(self, proxy: Proxy, right: list[tuple[str, str, bytes, bytes]], count: int = 4) -> None:
        self.proxy, self.right = proxy, right
        self.answered = 0
        self.lost: list[str] = []
        super().__init__(count)

    def ask(self, number: int) -> None:
        connection = self.proxy.connection()
        rounds = number
        while not self.is_over():
            for method, target, body, answer in self.right:
                try:
                    status, _, came = exchange(connection, method, target, body)
                    if (status, came) != (200, answer):
                        self.lost.append(f"{method} {target}: {status}, {came[:100]!r}")
                except (OSError, http.client.HTTPException) as fault:
                    self.lost.append(f"{method} {target}: {fault!r}")
                    connection.close()
                self.answered += 1
                time.sleep(0.004)
            rounds += 1
            if rounds % 2:
                connection.close()  # the next request opens another
        connection.close()


def rolling(pyz: Path, folder: Path, certificate: Path, restarts: int) -> tuple[int, list[str]]:
    """Restart two instances in turns, each when the other one is ready, while clients ask: requests answered, and those that were not."""
    with ExitStack() as stack:
        flags = (*FLAGS, "--workers=2", "--rate=0", "--client-rate=0")
        instances = [Built(pyz, *flags) for _ in range(2)]
        for instance in instances:
            stack.callback(lambda at: instances[at].__exit__(None, None, None), instances.index(instance))
        right = []
        recipe = b""
        for method, target, body in ROUND:
            status, _, answer = instances[0].ask(method, target, body or recipe)
            assert status == 200
            right.append((method, target, (body or recipe) if method == "POST" else b"", answer))
            recipe = answer if target == "/v1/recipe" else recipe
        proxy = stack.enter_context(Proxy(folder, certificate, *(instance.port for instance in instances)))
        with Clients(proxy, right) as clients:
            for turn in range(restarts):
                until(lambda before: clients.answered > before + 40, clients.answered)
                old = instances[turn % 2]
                assert old.stop() == 0
                instances[turn % 2] = Built(pyz, *flags, port=old.port)
                old.__exit__(None, None, None)
            before = clients.answered
            until(lambda: clients.answered > before + 40)
    return clients.answered, clients.lost


def test_instances_restarted_in_turns_lose_no_request(pyz: Path, tmp_path: Path, certificate: Path) -> None:
    answered, lost = rolling(pyz, tmp_path, certificate, RESTARTS)
    assert lost == [], (tmp_path / "log").read_text()[-4000:]
    assert answered > 40 * RESTARTS


@contextmanager
def limited(pyz: Path, folder: Path, certificate: Path) -> Iterator[Callable[..., int]]:
    """Asks through the proxy one instance that lets each client ask three times; gives the status."""
    with (
        Built(pyz, *FLAGS, "--workers=2", "--client-rate=0.001", "--client-burst=3") as one,
        Proxy(folder, certificate, one.port, one.port) as proxy,
    ):

        def ask(source: str, **headers: str) -> int:
            connection = proxy.connection(source)
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            try:
                return exchange(connection, "GET", "/v1/recipe?service=eks", headers=named)[0]
            finally:
                connection.close()

        yield ask


def test_each_client_behind_the_proxy_has_its_own_limit(pyz: Path, tmp_path: Path, certificate: Path) -> None:
    with limited(pyz, tmp_path, certificate) as ask:
        assert [ask("127.0.0.2") for _ in range(4)] == [200, 200, 200, 429]
        assert [ask("127.0.0.3") for _ in range(4)] == [200, 200, 200, 429]


def test_a_forged_address_gains_nothing(pyz: Path, tmp_path: Path, certificate: Path) -> None:
    with limited(pyz, tmp_path, certificate) as ask:
        assert [ask("127.0.0.2", X_Forwarded_For=f"203.0.113.{at}") for at in range(4)] == [200, 200, 200, 429]
        assert ask("127.0.0.2", X_Forwarded_For="203.0.113.9, 127.0.0.3") == 429
        assert [ask("127.0.0.3", X_Forwarded_For="127.0.0.2") for _ in range(3)] == [200, 200, 200], "nor takes it from another"
