"""Against other implementations: docker-registry, in clear and over TLS with a login, and skopeo and oras, which copy what we wrote."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from eidos.bundle.checksums import format_checksums, sha256
from eidos.bundle.tar_archive import pack_tar_gz
from eidos.bundle.verification import verify_bundle
from eidos.cli.push import read_artifact
from eidos.model.bundle import is_attestation
from eidos.model.record import replace
from eidos.oci.artifact import Artifact, ArtifactLayer, push_artifact, read_attestations
from eidos.oci.blob import blob_of_bytes
from eidos.oci.reference import Reference, parse_reference
from eidos.oci.registry_client import RegistryClient, RegistrySettings
from eidos.oci.registry_store import RegistryStore
from eidos.workflow import make_recipe, write_bundle
from tests.fakes.oci_registry import CuttingProxy
from tests.support.bundle_files import build
from tests.support.program import ROOT, Result, eidos
from tests.support.waiting import AMPLE_S, until

pytestmark = pytest.mark.slow

#: What htpasswd makes of the password "not-a-secret" (bcrypt, cost 4).
LOGIN, HTPASSWD = "tester:not-a-secret", "tester:$2b$04$txQibM3VClnU/oe1ByurYu9On2nUWn7ONEGZiFvxd5MyeAFvrgsTG\n"

BUNDLE = build(make_recipe({"gpu": "h100", "service": "eks"}), components=("gpu-operator", "cert-manager"))


class Registry(NamedTuple):
    """A running registry: its host, the flags that reach it, and those of skopeo."""

    host: str
    folder: Path
    flags: tuple[str, ...] = ("--plain-http",)
    environ: dict[str, str] = {}

    def eidos(self, *words: str, cwd: Path | None = None) -> Result:
        return eidos(*words, *self.flags, env=self.environ, cwd=cwd)

    def at(self, name: str) -> str:
        return f"oci://{self.host}/{name}"


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs {name} (on Debian: apt-get install {name})")
    return path


def _is_listening(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., tuple[str, Path]]]:
    """Starts a registry with these settings of HTTP and authentication; its host and its folder."""
    program, running, ports = _program("docker-registry"), [], []

    def run(http: dict[str, object], auth: dict[str, object] | None = None) -> tuple[str, Path]:
        folder = tmp_path_factory.mktemp("registry")
        # Bound but not listening it leaves the port to the registry, which sets SO_REUSEADDR too, and to no other program.
        ports.append(socket.socket())
        ports[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ports[-1].bind(("127.0.0.1", 0))
        port = ports[-1].getsockname()[1]
        storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
        settings = {"version": "0.1", "log": {"level": "error"}, "storage": storage, "http": {"addr": f"127.0.0.1:{port}", **http}}
        (folder / "config.yml").write_text(json.dumps({**settings, **({"auth": auth} if auth else {})}))
        output = (folder / "log").open("wb")
        with output:
            running.append(subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=output, stderr=output))
        until(lambda: _is_listening(port) or running[-1].poll() is not None)
        assert running[-1].poll() is None, (folder / "log").read_text()
        return f"127.0.0.1:{port}", folder

    yield run
    for process, sock in zip(running, ports):
        process.terminate()
        process.wait(AMPLE_S)
        sock.close()


@pytest.fixture(scope="module")
def plain(start: Callable[..., tuple[str, Path]]) -> Registry:
    return Registry(*start({}))


@pytest.fixture(scope="module")
def secure(start: Callable[..., tuple[str, Path]], tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Over TLS, with a login and a certificate of the client."""
    folder, ca = tmp_path_factory.mktemp("tls"), trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, certificate in (("server", ca.issue_cert("127.0.0.1")), ("client", ca.issue_cert("client.example.com"))):
        certificate.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        (folder / f"{name}.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    (folder / "htpasswd").write_text(HTPASSWD)
    tls = {"certificate": str(folder / "server.pem"), "key": str(folder / "server.key"), "clientcas": [str(folder / "ca.pem")]}
    host, data = start({"tls": tls}, {"htpasswd": {"realm": "here", "path": str(folder / "htpasswd")}})
    (folder / "auth.json").write_text(json.dumps({"auths": {host: {"auth": b64encode(LOGIN.encode()).decode()}}}))
    flags = ("--ca-file", f"{folder}/ca.pem", "--client-cert", f"{folder}/client.pem", "--client-key", f"{folder}/client.key")
    return Registry(host, data, flags, {"REGISTRY_AUTH_FILE": str(folder / "auth.json")})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    write_bundle(BUNDLE, str(folder))
    return folder


def _skopeo(*words: str) -> str:
    done = subprocess.run([_program("skopeo"), *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _files(folder: Path, *, attested: bool = True) -> dict[str, bytes]:
    """The files of a bundle; skopeo copies it without what is attached to it."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {path: content for path, content in files.items() if attested or not is_attestation(path)}


@pytest.mark.parametrize("kind", ["plain", "secure"])
def test_a_bundle_goes_there_and_back(request: pytest.FixtureRequest, kind: str, bundle: Path, tmp_path: Path) -> None:
    registry: Registry = request.getfixturevalue(kind)
    first = registry.eidos("push", str(bundle), registry.at("gpu/bundle:v1"))
    assert first.status == 0, first.err
    second = registry.eidos("push", str(bundle), registry.at("gpu/bundle:v1"), "-t", "json")
    result = json.loads(second.out)
    assert (result["digest"] + "\n", result["uploaded-bytes"], result["changed"]) == (first.out, 0, False)
    pulled = registry.eidos("pull", registry.at(f"gpu/bundle@{first.out.strip()}"), "-o", str(tmp_path / "back"))
    assert (pulled.status, pulled.out) == (0, first.out), pulled.err
    assert _files(tmp_path / "back") == _files(bundle)
    assert verify_bundle(str(tmp_path / "back")) == ()


def test_a_login_and_a_certificate_are_required(secure: Registry, bundle: Path, tmp_path: Path) -> None:
    target = secure.at("gpu/other:v1")
    anonymous = eidos("push", str(bundle), target, *secure.flags)
    assert anonymous.status == 1
    assert "login required: status 401" in anonymous.err
    assert "docker login" in anonymous.err
    wrong = tmp_path / "auth.json"
    wrong.write_text(json.dumps({"auths": {secure.host: {"auth": b64encode(b"tester:wrong-password").decode()}}}))
    denied = eidos("push", str(bundle), target, *secure.flags, env={"REGISTRY_AUTH_FILE": str(wrong)})
    assert denied.status == 1
    assert "access denied: status 401" in denied.err
    assert "wrong-password" not in denied.err
    without = eidos("push", str(bundle), target, *secure.flags[:2], env=secure.environ)
    assert without.status == 1
    untrusted = eidos("push", str(bundle), target, env=secure.environ)
    assert (untrusted.status, "--ca-file FILE, or set EIDOS_CA_FILE" in untrusted.err) == (1, True), untrusted.err


def test_a_registry_in_clear_is_named_as_one(plain: Registry, bundle: Path) -> None:
    done = eidos("push", str(bundle), plain.at("gpu/bundle:v1"))
    assert (done.status, "hint: use --plain-http or EIDOS_PLAIN_HTTP=true if this registry has no TLS" in done.err) == (1, True), done.err


def test_skopeo_copies_what_we_pushed(plain: Registry, bundle: Path, tmp_path: Path) -> None:
    digest = plain.eidos("push", str(bundle), plain.at("gpu/bundle:skopeo")).out.strip()
    raw = json.loads(_skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{plain.host}/gpu/bundle:skopeo"))
    assert raw["artifactType"] == "application/vnd.eidos.bundle.v1+tar"
    flags = ("--src-tls-verify=false", "--dest-tls-verify=false")
    _skopeo("copy", *flags, f"docker://{plain.host}/gpu/bundle:skopeo", f"docker://{plain.host}/copy/bundle:v2")
    assert plain.eidos("pull", plain.at("copy/bundle:v2"), "-o", str(tmp_path / "back")).out.strip() == digest
    assert _files(tmp_path / "back") == _files(bundle, attested=False)


def test_skopeo_and_we_read_one_another_s_layouts(plain: Registry, bundle: Path, tmp_path: Path) -> None:
    digest = plain.eidos("push", str(bundle), plain.at("gpu/bundle:layout")).out.strip()
    _skopeo("copy", "--src-tls-verify=false", f"docker://{plain.host}/gpu/bundle:layout", f"oci:{tmp_path / 'theirs'}:v3")
    _skopeo("copy", f"oci:{tmp_path / 'theirs'}:v3", f"oci-archive:{tmp_path / 'theirs.tar'}:v3")
    for number, layout in enumerate(("theirs", "theirs.tar")):
        pulled = eidos("pull", "--layout", str(tmp_path / layout), "-o", str(tmp_path / f"back-{number}"))
        assert (pulled.status, pulled.out.strip()) == (0, digest), pulled.err
        assert _files(tmp_path / f"back-{number}") == _files(bundle, attested=False)
    for name, transport in (("ours", "oci"), ("ours.tar", "oci-archive")):
        assert eidos("push", str(bundle), "--layout", str(tmp_path / name)).out.strip() == digest
        copy = f"docker://{plain.host}/copied/{transport}:v1"
        _skopeo("copy", "--dest-tls-verify=false", f"{transport}:{tmp_path / name}:latest", copy)
        assert plain.eidos("pull", plain.at(f"copied/{transport}:v1"), "-o", str(tmp_path / f"from-{transport}")).out.strip() == digest


def _oras(*words: str) -> str:
    program = shutil.which("oras")
    if program is None:
        pytest.skip("needs oras, which this release of the distribution does not have")
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_oras_copies_what_we_pushed_with_what_is_attached(plain: Registry, bundle: Path, tmp_path: Path) -> None:
    digest = plain.eidos("push", str(bundle), plain.at("oras/bundle:v1")).out.strip()
    listed = json.loads(_oras("discover", "--plain-http", "--format", "json", f"{plain.host}/oras/bundle:v1"))
    assert [each["artifactType"] for each in listed["referrers"]] == ["application/vnd.eidos.attestation.v1"]
    _oras("cp", "-r", "--from-plain-http", "--to-plain-http", f"{plain.host}/oras/bundle:v1", f"{plain.host}/oras/copy:v1")
    _oras("cp", "-r", "--from-plain-http", "--to-oci-layout", f"{plain.host}/oras/bundle:v1", f"{tmp_path / 'theirs'}:v1")
    assert eidos("push", str(bundle), "--layout", str(tmp_path / "ours")).out.strip() == digest
    _oras("cp", "-r", "--from-oci-layout", "--to-plain-http", f"{tmp_path / 'ours'}:latest", f"{plain.host}/oras/ours:v1")
    sources = ([plain.at("oras/copy:v1"), *plain.flags], [plain.at("oras/ours:v1"), *plain.flags], ["--layout", str(tmp_path / "theirs")])
    for number, source in enumerate(sources):
        pulled = eidos("pull", *source, "-o", str(tmp_path / f"back-{number}"))
        assert (pulled.status, pulled.out.strip()) == (0, digest), pulled.err
        assert _files(tmp_path / f"back-{number}") == _files(bundle)
    _oras("pull", "--plain-http", f"{plain.host}/oras/bundle:v1", "-o", str(tmp_path / "layers"))
    assert {path.name for path in (tmp_path / "layers").iterdir()} >= {"files.tar", "gpu-operator.tar", "cert-manager.tar"}


def test_a_document_that_oras_pushed_is_read(plain: Registry, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(eidos("recipe", "--gpu", "h100", "--service", "eks").out)
    target = f"{plain.host}/oras/recipe:v1"
    _oras("push", "--plain-http", "--disable-path-validation", target, f"{tmp_path / 'recipe.yaml'}:application/yaml")
    made = eidos("bundle", "-f", f"oci://{target}", "-o", str(tmp_path / "bundle"), env={"EIDOS_PLAIN_HTTP": "true"})
    assert made.status == 0, made.err
    assert (tmp_path / "bundle" / "gpu-operator" / "values.yaml").exists()


def test_attestations_stay_with_the_bundle(plain: Registry, bundle: Path, tmp_path: Path) -> None:
    """This registry has no referrers API: the tag of the digest lists them."""
    files = {"statement.json": b"{}", "checksums.txt.sig": b"signature"}
    reference = parse_reference(plain.at("gpu/signed:v1"))
    client = RegistryClient(reference, RegistrySettings(plain_http=True), time.monotonic() + AMPLE_S, print)
    try:
        store = RegistryStore(client)
        result = push_artifact(store, replace(read_artifact(str(bundle), ExitStack()), attestations=files), "v1")
        assert read_attestations(store, result.digest) == files
    finally:
        client.close()
    assert plain.eidos("push", str(bundle), plain.at("gpu/signed:v1")).out.strip() == result.digest


@pytest.mark.parametrize("part", range(8))
def test_an_upload_that_is_cut_goes_through(plain: Registry, part: int) -> None:
    """This registry forgets an upload that is cut in the middle of a request, and goes on with one that is cut between two."""
    blobs = [blob_of_bytes(os.urandom(20_000)), blob_of_bytes(b"small"), blob_of_bytes(os.urandom(3000))]
    artifact = Artifact("a/b", tuple(ArtifactLayer(blob, "a/b", f"{number}.bin") for number, blob in enumerate(blobs)))
    with CuttingProxy(int(plain.host.partition(":")[2]), 1 + 4000 * part) as proxy:
        settings = RegistrySettings(plain_http=True, chunk_bytes=4096)
        client = RegistryClient(Reference(proxy.host, f"cut/{part}", "v1"), settings, time.monotonic() + AMPLE_S, lambda message: None)
        try:
            result = push_artifact(RegistryStore(client), artifact, "v1")
        finally:
            client.close()
        assert proxy.cuts == 1
    pulled = plain.eidos("pull", plain.at(f"cut/{part}:v1"))
    assert "an artifact of type 'a/b'" in pulled.err
    assert result.digest == artifact.digest


def test_a_large_file_takes_little_memory(plain: Registry, tmp_path: Path) -> None:
    """200 MB, of which a process holds less than 40 MiB."""
    file = tmp_path / "large.bin"
    with file.open("wb") as output:
        for _ in range(200):
            output.write(os.urandom(1 << 10) * 1000)
    for words in (("push", str(file), plain.at("large:v1")), ("pull", plain.at("large:v1"), "-o", str(tmp_path / "back"))):
        done = eidos(*words, *plain.flags, program=[sys.executable, "-I", "-c", _MEASURED, str(ROOT)])
        assert done.status == 0, done.err
        assert int(done.err.split()[-2]) < 40 << 10, words[0]
    assert (tmp_path / "back").stat().st_size == file.stat().st_size
    shutil.rmtree(plain.folder / "data")


#: Runs a command line, and prints the most memory that it had.
_MEASURED = """
import sys
import time
sys.path.insert(0, sys.argv.pop(1))
from eidos.cli import main
status = main(sys.argv[1:])
sys.stderr.write(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(status)
"""


def image_layout(folder: Path) -> Path:
    """The smallest image, as a layout that skopeo reads."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = sha256(data)
        (blobs / digest).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    layer = gzip.compress(bytes(1024), mtime=0)
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(bytes(1024))}"]}}
    manifest = {
        "schemaVersion": 2,
        "config": blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [blob(layer, "application/vnd.oci.image.layer.v1.tar+gzip")],
    }
    entry = blob(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


@pytest.mark.parametrize("program", ["skopeo", "oras"])
def test_a_mirror_is_complete_when_its_scripts_have_run(plain: Registry, tmp_path: Path, tools: dict[str, str], program: str) -> None:
    source, mirror = f"{plain.host}/src/a:1", f"{plain.host}/{program}"
    copying = {"skopeo": ["--src-tls-verify=false", "--dest-tls-verify=false"], "oras": ["--from-plain-http", "--to-plain-http"]}
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")
    # Docker's kind of manifest, which a registry denies to who does not accept it.
    _skopeo("copy", "--format", "v2s2", "--dest-tls-verify=false", f"oci:{image_layout(tmp_path / 'image')}:1", f"docker://{source}")
    chart = next(each for each in json.loads(BUNDLE.files["images.json"])["charts"] if each["component"] == "cert-manager")
    needs = {"images": [{"image": source, "component": "cert-manager"}], "charts": [chart], "manifests": [], "unknown": []}
    files = {"images.json": json.dumps(needs).encode(), "README.md": b"Built by eidos"}
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name, content in {**files, "checksums.txt": format_checksums(files)}.items():
        (folder / name).write_bytes(content)
    line = ["mirror", str(folder), "-o", str(tmp_path / "mirror"), "--check", mirror]
    first = plain.eidos(*line)
    assert (first.status, first.out) == (4, f"{mirror}/src/a:1\n{mirror}/charts/cert-manager:{chart['version']}\n"), first.err
    about = f"apiVersion: v2\nname: cert-manager\nversion: {chart['version']}\n".encode()
    (tmp_path / "mirror" / "charts").mkdir()
    (tmp_path / "mirror" / "charts" / f"cert-manager-{chart['version']}.tgz").write_bytes(
        pack_tar_gz({"Chart.yaml": about}, "cert-manager/")
    )
    environ = {"PATH": f"{Path(tools['helm']).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    for script, flags in ((f"{program}.sh", copying[program]), ("helm.sh", ["--plain-http"])):
        command = [str(tmp_path / "mirror" / script), mirror, *flags]
        done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    second = plain.eidos("mirror", str(folder), "--check", mirror)
    assert (second.status, second.out) == (0, ""), second.err
