"""Commands in a network namespace with loopback alone: a site with its registry and cluster, or public registries on loopback.

Run as a program inside ``unshare --net --mount``, by :func:`run_sealed`. Knows how names lead to loopback there, docker-registry, and how
to notice a look-up or a packet for anywhere else; must not know which commands are run.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import http.client
import json
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import trustme
import yaml

from tests.support.helm_cluster import HelmCluster, packed_chart
from tests.support.program import ROOT
from tests.support.waiting import AMPLE_S, until

#: The registry of the site, and where public registries and chart repositories are.
SITE, REGISTRY_ADDRESS, IMAGES_ADDRESS, CHARTS_ADDRESS = "registry.example.com", "127.0.0.1", "127.0.0.2", "127.0.0.3"

#: Files of /etc by which names are resolved, and what they hold here: names of loopback first, then a server that knows none.
RESOLVER_FILES = {
    "hosts": "127.0.0.1 localhost\n",
    "resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}

#: From ``linux/sockios.h`` and ``linux/if.h``.
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


class SealedRun(NamedTuple):
    """What became of the commands: for each, status, output and errors; names that were looked up; packets for which there was no route."""

    results: list[dict[str, Any]]
    lookups: list[str]
    without_route: int


def unshare_command() -> list[str] | None:
    """How a program is started in namespaces of its own; None where that is not allowed."""
    program = shutil.which("unshare")
    mounts = " && ".join(f"mount --bind /dev/null /etc/{name}" for name in RESOLVER_FILES)
    for flags in ([], ["--map-root-user"]):
        line = [str(program), *flags, "--net", "--mount"]
        if program and subprocess.run([*line, "sh", "-c", mounts], capture_output=True, check=False).returncode == 0:
            return line
    return None


def run_sealed(prefix: list[str], folder: Path, cwd: Path, commands: list[str], environ: dict[str, str], *, outside: bool) -> SealedRun:
    """Run commands with bash in ``cwd``, until one fails. ``folder`` gets what the namespace needs; it keeps the authority of all of them.

    ``outside``, public registries and chart repositories have what the scripts of ``eidos mirror`` fetch. In the site there are a registry
    and a cluster, if something is installed; its releases are then listed as the last command.
    """
    if not folder.exists():
        folder.mkdir()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        authority.private_key_pem.write_to_path(str(folder / "ca.key"))
    settings = {"folder": str(folder), "cwd": str(cwd), "commands": commands, "environ": environ, "outside": outside}
    done = subprocess.run(
        [*prefix, sys.executable, "-m", __name__, json.dumps(settings)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return SealedRun(**json.loads(done.stdout))


def tagged_digests(folder: Path, address: str) -> dict[str, str]:
    """Digest of each tag of the registry that was at this address, as docker-registry stores them."""
    stored = folder / f"registry {address}" / "data" / "docker" / "registry" / "v2" / "repositories"
    return {str(path.relative_to(stored).parent.parent): path.read_text() for path in stored.glob("**/_manifests/tags/*/current/link")}


class _Namespace:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lookups: list[str] = []
        self.authority = trustme.CA.from_pem((folder / "ca.pem").read_bytes(), (folder / "ca.key").read_bytes())
        self._running: list[subprocess.Popen[bytes]] = []

    def enter(self) -> None:
        """Bring loopback up, and take over the files by which names are resolved."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            request = struct.pack("16sh14x", b"lo", 0)
            flags = struct.unpack("16sh14x", fcntl.ioctl(sock, _SIOCGIFFLAGS, request))[1]
            fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
        for name, text in RESOLVER_FILES.items():
            (self.folder / name).write_text(text)
            subprocess.run(["mount", "--bind", str(self.folder / name), f"/etc/{name}"], check=True)
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 53))
        threading.Thread(target=self._refuse_names, args=(server,), daemon=True).start()

    def _refuse_names(self, server: socket.socket) -> None:
        """Answer that no name exists (RFC 1035, NXDOMAIN), and record it."""
        while True:
            query, client = server.recvfrom(4096)
            labels, rest = [], query[12:]
            while rest and rest[0]:
                labels.append(rest[1 : 1 + rest[0]].decode("ascii", "replace"))
                rest = rest[1 + rest[0] :]
            self.lookups.append(".".join(labels))
            server.sendto(query[:2] + b"\x81\x83" + query[4:6] + bytes(6) + query[12:], client)

    def name(self, address: str, names: Iterable[str]) -> None:
        """Let names lead to an address of loopback."""
        with (self.folder / "hosts").open("a") as hosts:
            hosts.writelines(f"{address} {name}\n" for name in names)

    def registry(self, address: str, names: list[str]) -> None:
        """Start docker-registry there, over TLS, under these names."""
        self.name(address, names)
        folder = self.folder / f"registry {address}"
        folder.mkdir()
        certificate = self.authority.issue_cert(*names)
        certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
        (folder / "certificate.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        settings = {
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "http": {"addr": f"{address}:443", "tls": {"certificate": f"{folder}/certificate.pem", "key": f"{folder}/key.pem"}},
        }
        (folder / "config.yml").write_text(json.dumps(settings))
        with (folder / "log").open("wb") as log:
            self._running.append(subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log))
        process = self._running[-1]
        until(lambda: process.poll() is not None or _is_listening(address))
        assert process.poll() is None, (folder / "log").read_text()

    def publish_images(self, references: list[str]) -> None:
        """Start public registries that have these images: every other one for two architectures."""
        hosts = sorted({reference.partition("/")[0] for reference in references})
        self.registry(IMAGES_ADDRESS, hosts)
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        connections = {host: http.client.HTTPSConnection(host, context=context) for host in hosts}

        def send(host: str, method: str, path: str, body: bytes = b"", kind: str = "application/octet-stream") -> http.client.HTTPResponse:
            connections[host].request(method, path, body, {"Content-Type": kind})
            response = connections[host].getresponse()
            response.read()
            assert response.status < 300, (method, path, response.status)
            return response

        def put_blob(host: str, name: str, blob: bytes) -> dict[str, Any]:
            digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
            location = send(host, "POST", f"/v2/{name}/blobs/uploads/").headers["Location"].partition(host)[2]
            send(host, "PUT", f"{location}&digest={digest}", blob)
            return {"size": len(blob), "digest": digest}

        for number, reference in enumerate(references):
            host, _, rest = reference.partition("/")
            name, _, tag = rest.rpartition(":")
            layer = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", **put_blob(host, name, rest.encode())}
            manifests = []
            for architecture in ("amd64", "arm64")[: 1 + number % 2]:
                platform = {"architecture": architecture, "os": "linux"}
                config = json.dumps({**platform, "rootfs": {"type": "layers", "diff_ids": []}}).encode()
                entry = {"mediaType": "application/vnd.docker.container.image.v1+json", **put_blob(host, name, config)}
                body = json.dumps({"schemaVersion": 2, "mediaType": _MANIFEST, "config": entry, "layers": [layer]}).encode()
                digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
                send(host, "PUT", f"/v2/{name}/manifests/{tag if number % 2 == 0 else digest}", body, _MANIFEST)
                manifests.append({"mediaType": _MANIFEST, "size": len(body), "digest": digest, "platform": platform})
            if number % 2:
                body = json.dumps({"schemaVersion": 2, "mediaType": _LIST, "manifests": manifests}).encode()
                send(host, "PUT", f"/v2/{name}/manifests/{tag}", body, _LIST)

    def publish_charts(self, charts: list[list[str]]) -> None:
        """Start chart repositories that have these: name, version and URL of each."""
        folder = self.folder / "charts"
        folder.mkdir()
        for name, version, url in charts:
            host, _, path = url.partition("://")[2].partition("/")
            target = folder / host / path
            target.mkdir(parents=True, exist_ok=True)
            (target / f"{name}-{version}.tgz").write_bytes(packed_chart(name, version))
            entry = {"apiVersion": "v2", "name": name, "version": version, "urls": [f"{name}-{version}.tgz"]}
            (target / "index.yaml").write_text(yaml.safe_dump({"apiVersion": "v1", "entries": {name: [entry]}}))
        hosts = sorted(path.name for path in folder.iterdir())
        self.name(CHARTS_ADDRESS, hosts)
        server = ThreadingHTTPServer((CHARTS_ADDRESS, 443), functools.partial(_ChartHandler, directory=str(folder)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*hosts).configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        for process in self._running:
            process.terminate()
            process.wait(AMPLE_S)


class _ChartHandler(SimpleHTTPRequestHandler):
    """Has a folder for each host."""

    def translate_path(self, path: str) -> str:
        return super().translate_path(f"/{self.headers['Host']}{path}")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def _is_listening(address: str) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((address, 443)) == 0


def _without_route() -> int:
    """How often the kernel had no route for a packet of this namespace, IPv4 and IPv6."""
    names, values = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Ip: "))
    count = int(values[names.index("OutNoRoutes")])
    with contextlib.suppress(FileNotFoundError):
        lines = dict(line.split() for line in Path("/proc/net/snmp6").read_text().splitlines())
        count += int(lines["Ip6OutNoRoutes"])
    return count


def _run(settings: dict[str, Any]) -> dict[str, Any]:
    folder, cwd = Path(settings["folder"]), Path(settings["cwd"])
    namespace = _Namespace(folder)
    namespace.enter()
    results = []
    with contextlib.ExitStack() as stack:
        stack.callback(namespace.stop)
        environ = {**settings["environ"], "SSL_CERT_FILE": str(folder / "ca.pem")}
        cluster = None
        if not settings["outside"] and any("install.sh" in command for command in settings["commands"]):
            namespace.registry(REGISTRY_ADDRESS, [SITE])
            programs = Path(environ["PATH"].partition(":")[0])
            cluster = stack.enter_context(HelmCluster(folder / "cluster", str(programs / "helm"), str(programs / "kubectl")))
            environ["KUBECONFIG"] = cluster.environment()["KUBECONFIG"]
        for command in settings["commands"]:
            if settings["outside"] and "/skopeo.sh " in command:
                namespace.publish_images((cwd / "carry" / "mirror" / "images.txt").read_text().split())
            if settings["outside"] and "/helm.sh" in command:
                lines = (cwd / "carry" / "mirror" / "charts.txt").read_text().splitlines()
                namespace.publish_charts([line.split() for line in lines])
            null = subprocess.DEVNULL
            done = subprocess.run(["bash", "-c", command], cwd=cwd, env=environ, stdin=null, capture_output=True, text=True, check=False)
            results.append({"command": command, "status": done.returncode, "out": done.stdout, "err": done.stderr})
            if done.returncode not in (0, 4):  # findings are no failure
                break
        if cluster is not None:
            results.append({"command": "releases", "status": 0, "out": cluster.helm("list", "--all-namespaces", "--short"), "err": ""})
    return {"results": results, "lookups": namespace.lookups, "without_route": _without_route()}


if __name__ == "__main__":
    print(json.dumps(_run(json.loads(sys.argv[1]))))
