"""``eidos push`` and ``eidos pull``, and ``oci://`` in other verbs: what goes where, exit statuses, and what a hostile artifact gets."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from eidos.bundle.checksums import sha256
from eidos.bundle.tar_archive import pack_tar_gz
from eidos.bundle.verification import verify_bundle
from eidos.cli import main, serve
from eidos.cli.commands import load_verbs
from eidos.cli.options import Values
from eidos.cli.push import read_artifact
from eidos.cli.registry_locations import push_fleet
from eidos.errors import InvalidInput, Unavailable
from eidos.formats import to_yaml
from eidos.model.bundle import signature_path
from eidos.model.record import replace
from eidos.oci.artifact import Artifact, ArtifactLayer, push_artifact, read_attestations
from eidos.oci.blob import Blob, blob_of_bytes
from eidos.oci.image_manifest import ImageManifest, sha256_digest
from eidos.oci.layout_archive import create_layout, open_layout
from eidos.oci.reference import parse_reference
from eidos.workflow import check_node, make_recipe, parse_snapshot, write_bundle
from tests.fakes.oci_registry import OciRegistry
from tests.support.bundle_files import build

RECIPE = make_recipe({"gpu": "h100", "service": "eks", "intent": "training"})
BUNDLE = build(RECIPE, components=("gpu-operator", "cert-manager"))
SNAPSHOT = (
    "kind: Snapshot\napiVersion: snapshot.dgxc.io/v1\nmeasurements: [{type: GPU, subtypes: [{subtype: smi, data: {driver: 580.82.07}}]}]\n"
)

Run = Callable[..., "tuple[int, str, str]"]


@pytest.fixture(scope="module")
def registry() -> Iterator[OciRegistry]:
    with OciRegistry() as fake:
        yield fake


@pytest.fixture
def run(registry: OciRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in this process and in an empty folder; exit status, standard output and error. ``@`` is the registry."""
    registry.requests.clear()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("EIDOS_PLAIN_HTTP", "1")
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "DOCKER_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)

    def command(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        status = main([word.replace("@@", f"oci://{registry.host}") for word in words])
        output = capfd.readouterr()
        return status, output.out, output.err

    return command


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(BUNDLE, str(tmp_path / "made"))
    return tmp_path / "made"


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def leftovers(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".") and "eidos" in name]


# ---- bundles ----


@pytest.mark.parametrize("form", ["folder", "tar.gz"])
def test_a_bundle_has_one_digest_whatever_its_form(run: Run, bundle: Path, tmp_path: Path, form: str) -> None:
    digest = run("push", "made", "@@/b/one:v1")[1]
    (tmp_path / "packed.tar.gz").write_bytes(pack_tar_gz(BUNDLE.files))
    status, out, err = run("push", "made" if form == "folder" else "packed.tar.gz", "@@/b/two:v1")
    assert (status, out) == (0, digest), err
    assert digest.startswith("sha256:")


def test_a_layer_for_each_component_and_one_for_the_rest(run: Run, bundle: Path) -> None:
    status, out, err = run("push", "made", "@@/b/layers:v1", "-t", "json")
    assert status == 0, err
    tree = json.loads(out)
    tops = {path.partition("/")[0] for path in BUNDLE.files if "/" in path} - {"attestations"}
    assert [layer["title"] for layer in tree["layers"]] == [*(f"{top}.tar" for top in sorted(tops)), "files.tar"]
    assert tree["artifact-type"] == "application/vnd.eidos.bundle.v1+tar"


def test_layers_have_no_time_and_no_owner(run: Run, bundle: Path, registry: OciRegistry) -> None:
    for path in bundle.rglob("*"):
        os.utime(path, (1, 1))
    digest = run("push", "made", "@@/b/times:v1")[1].strip()
    data, _ = registry.manifests["b/times", digest]
    assert "annotations" not in json.loads(data)
    for layer in json.loads(data)["layers"]:
        with tarfile.open(fileobj=io.BytesIO(registry.blobs["b/times", layer["digest"]])) as archive:
            members = archive.getmembers()
            assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}
            assert [member.name for member in members] == sorted(member.name for member in members)


@pytest.mark.parametrize(("output", "is_archive"), [("back", False), ("back.tar.gz", True), ("back.ZIP", True), ("made", False)])
def test_a_bundle_is_pulled_into_a_folder_or_an_archive(run: Run, bundle: Path, tmp_path: Path, output: str, is_archive: bool) -> None:
    run("push", "made", "@@/b/forms:v1")
    status, out, err = run("pull", "@@/b/forms:v1", "-o", output)
    assert status == 0, err
    assert out.startswith("sha256:")
    assert verify_bundle(output) == ()
    assert is_archive or files_of(tmp_path / output) == BUNDLE.files
    assert not leftovers(tmp_path)


def test_attestations_of_a_bundle_come_with_it(run: Run, bundle: Path, registry: OciRegistry, tmp_path: Path) -> None:
    """They are no part of the bundle: its digest is the same with and without a signature."""
    plain = run("push", "made", "@@/b/attested:v1")[1]
    (bundle / signature_path("ssh", "0" * 40, sha256(b"signature"))).write_bytes(b"signature")
    assert verify_bundle("made") == ()
    status, out, err = run("push", "made", "@@/b/attested:v1", "-t", "json")
    assert status == 0, err
    assert json.loads(out)["digest"] + "\n" == plain
    assert [name[:4] for name in json.loads(out)["attestations"]] == ["ssh-"]
    for output in ("back", "back.tar.gz", "made"):
        assert run("pull", "@@/b/attested:v1", "-o", output)[:2] == (0, plain)
        assert verify_bundle(output) == ()
    assert files_of(tmp_path / "back") == files_of(bundle)
    assert json.loads(run("push", "back.tar.gz", "@@/b/attested:v1", "-t", "json")[1])["changed"] is False
    assert run("push", "back", "--layout", "lay.tar")[1] == plain
    assert run("pull", "--layout", "lay.tar", "-o", "carried")[0] == 0
    assert files_of(tmp_path / "carried") == files_of(bundle)
    # A pull of the bundle without the signature takes it away.
    registry.manifests = {key: value for key, value in registry.manifests.items() if b'"ssh-' not in value[0]}
    for force in ((), ("--force",)):
        assert run("pull", "@@/b/attested:v1", "-o", "carried", *force)[0] == 0
        assert files_of(tmp_path / "carried") == BUNDLE.files


def test_an_attestation_of_another_program_is_ignored(run: Run, bundle: Path, registry: OciRegistry, tmp_path: Path) -> None:
    with create_layout("lay") as layout:
        artifact = read_artifact("made", ExitStack())
        push_artifact(layout, replace(artifact, attestations={**artifact.attestations, "other.json": b"{}"}), "v1")
    status, _, err = run("pull", "--layout", "lay", "-o", "back")
    assert (status, "ignored an attestation" in err) == (0, True), err
    assert files_of(tmp_path / "back") == BUNDLE.files


def test_a_modified_bundle_is_not_pushed(run: Run, bundle: Path, registry: OciRegistry) -> None:
    (bundle / "README.md").write_text("x")
    status, out, err = run("push", "made", "@@/b/modified:v1")
    assert (status, out) == (5, "")
    assert "error: made was modified: changed: README.md" in err
    assert not registry.requests


def test_a_folder_with_other_files_is_left_alone(run: Run, bundle: Path, tmp_path: Path) -> None:
    run("push", "made", "@@/b/occupied:v1")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    status, _, err = run("pull", "@@/b/occupied:v1", "-o", "mine")
    assert (status, "notes.txt" in err) == (2, True)
    assert os.listdir(tmp_path / "mine") == ["notes.txt"]
    assert run("pull", "@@/b/occupied:v1", "-o", "mine", "--force")[0] == 0
    assert (tmp_path / "mine" / "notes.txt").read_text() == "x"


def test_a_bundle_that_was_changed_in_the_registry_is_refused(run: Run, bundle: Path, registry: OciRegistry, tmp_path: Path) -> None:
    """Its digests are right, its checksums are not: somebody pushed it with another program."""
    digest = run("push", "made", "@@/b/changed:v1")[1].strip()
    tree = json.loads(registry.manifests["b/changed", digest][0])
    content = registry.blobs["b/changed", tree["layers"][-1]["digest"]].replace(b"Built by eidos", b"Built by nobod")
    tree["layers"][-1].update(digest=registry.put_blob("b/changed", content), size=len(content))
    registry.put_manifest("b/changed", "v1", json.dumps(tree).encode(), "application/vnd.oci.image.manifest.v1+json")
    status, out, err = run("pull", "@@/b/changed:v1", "-o", "back")
    assert (status, out) == (5, "")
    assert "was modified: changed: README.md" in err
    assert not (tmp_path / "back").exists()
    assert not leftovers(tmp_path)


def _hostile(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"x", target: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, target, len(content) if kind == tarfile.REGTYPE else 0
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


HOSTILE = {
    "up": _hostile("../evil"),
    "deep": _hostile("a/../../evil"),
    "absolute": _hostile("/nonexistent/evil"),
    "backslash": _hostile("..\\evil"),
    "link": _hostile("a", tarfile.SYMTYPE, target="/etc/passwd"),
    "hard link": _hostile("a", tarfile.LNKTYPE, target="README.md"),
    "device": _hostile("a", tarfile.CHRTYPE),
    "pipe": _hostile("a", tarfile.FIFOTYPE),
    "twice": _hostile("README.md"),
    "file as folder": _hostile("README.md/a"),
    "folder as file": _hostile("gpu-operator"),
    "not a tar": b"x" * 2000,
    "empty": b"",
    "truncated": _hostile("a", content=b"x" * 5000)[:2000],
    "trailing": _hostile("a") + b"y" * 512,
    "one too large": _hostile("a", content=b"\0" * ((32 << 20) + 1)),
    "checksums": _hostile("other/checksums.txt"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_layer_is_refused_and_leaves_nothing(run: Run, bundle: Path, registry: OciRegistry, tmp_path: Path, name: str) -> None:
    digest = run("push", "made", "@@/b/hostile:v1")[1].strip()
    tree = json.loads(registry.manifests["b/hostile", digest][0])
    layer = {
        "mediaType": tree["layers"][0]["mediaType"],
        "digest": registry.put_blob("b/hostile", HOSTILE[name]),
        "size": len(HOSTILE[name]),
    }
    tree["layers"].append(layer)
    registry.put_manifest("b/hostile", "v1", json.dumps(tree).encode(), "application/vnd.oci.image.manifest.v1+json")
    before = sorted(os.listdir(tmp_path.parent)), sorted(os.listdir(tmp_path))
    status, out, err = run("pull", "@@/b/hostile:v1", "-o", "back")
    assert (status, out) == (5, ""), err
    assert err.startswith("error: ")
    assert (sorted(os.listdir(tmp_path.parent)), sorted(os.listdir(tmp_path))) == before
    assert not Path("/nonexistent/evil").exists()


def test_a_bomb_is_refused_before_it_is_unpacked(run: Run, bundle: Path, registry: OciRegistry, tmp_path: Path) -> None:
    """A gzip layer of a few kilobytes that would be gigabytes; and a manifest that promises more than a bundle can have."""
    import gzip

    digest = run("push", "made", "@@/b/bomb:v1")[1].strip()
    original = json.loads(registry.manifests["b/bomb", digest][0])
    bomb = gzip.compress(_hostile("a", content=b"\0" * (33 << 20)))
    for content, size in ((bomb, len(bomb)), (b"x", 1 << 39)):
        tree = json.loads(json.dumps(original))
        tree["layers"].append({"mediaType": "a/b", "digest": registry.put_blob("b/bomb", content), "size": size})
        registry.put_manifest("b/bomb", "v1", json.dumps(tree).encode(), "application/vnd.oci.image.manifest.v1+json")
        assert run("pull", "@@/b/bomb:v1", "-o", "back")[0] == 5
        assert not (tmp_path / "back").exists()


# ---- documents and files ----


def test_documents_are_pushed_as_what_they_are(run: Run, tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_text(SNAPSHOT)
    (tmp_path / "recipe.yaml").write_text(to_yaml(RECIPE.to_tree()))
    assert run("check", "-f", "node.yaml", "-o", "report.json", "--fail-on", "never", "--allow-unknown")[0] == 0
    for name, kind in (("node.yaml", "snapshot"), ("recipe.yaml", "recipe"), ("report.json", "report")):
        tree = json.loads(run("push", name, f"@@/docs/{kind}:v1", "-t", "json")[1])
        assert tree["artifact-type"] == f"application/vnd.eidos.{kind}.v1+yaml"
        assert [layer["title"] for layer in tree["layers"]] == [name]
        assert run("pull", f"@@/docs/{kind}:v1", "-o", "-")[1] == (tmp_path / name).read_text()
        assert run("pull", f"@@/docs/{kind}:v1", "-o", f"back-{name}")[0] == 0
        assert (tmp_path / f"back-{name}").read_bytes() == (tmp_path / name).read_bytes()
        assert (tmp_path / f"back-{name}").stat().st_mode & 0o777 == 0o600
    (tmp_path / "other.yaml").write_text("a: b")
    assert run("push", "other.yaml", "@@/docs/other:v1")[0] == 2


def test_a_document_is_pushed_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(SNAPSHOT.encode())))
    status, out, err = run("push", "-", "@@/docs/stdin:v1", "-t", "json")
    assert status == 0, err
    assert [layer["title"] for layer in json.loads(out)["layers"]] == ["snapshot.yaml"]


def test_any_other_file_is_pushed_as_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "eidos.pyz").write_bytes(b"PK" + bytes(1000))
    assert run("push", "eidos.pyz", "@@/files/a:v1")[0] == 0
    (tmp_path / "eidos.pyz").unlink()
    assert run("pull", "@@/files/a:v1")[0] == 0
    assert (tmp_path / "eidos.pyz").read_bytes() == b"PK" + bytes(1000)


def test_a_large_file_does_not_go_to_standard_output(run: Run, tmp_path: Path) -> None:
    """All of it is verified first, and would be in memory."""
    (tmp_path / "large.bin").write_bytes(bytes((32 << 20) + 1))
    assert run("push", "large.bin", "@@/files/large:v1")[0] == 0
    status, out, err = run("pull", "@@/files/large:v1", "-o", "-")
    assert (status, out, "hint: use --output FILE" in err) == (2, "", True), err


def test_what_is_wrong_with_a_command_line(run: Run, bundle: Path, tmp_path: Path) -> None:
    for words, status, message in (
        (("push", "made"), 2, "eidos push needs a reference"),
        (("push", "absent", "@@/a:v1"), 2, "absent: no such file or folder"),
        (("push", "made", "docker://example.com/a"), 2, "is not a reference to a registry"),
        (("push", "made", "example.com/a?hunter22"), 2, "'example.com/a' is not a reference to a registry"),
        (("push", "made", "@@/a:v1?x=hunter22"), 2, ":v1': a reference has no query"),
        (("snapshot", "-o", "oci://bob:hunter22@example.com/a:v1", "--debug"), 2, "this command writes to files"),
        (("push", "made", "@@/a:v1", "--client-cert", "x"), 2, "--client-cert needs --client-key"),
        (("push", "made", "@@/a:v1", "--ca-file", "made/README.md"), 2, "is not a PEM file"),
        (("push", "made", f"@@/a@sha256:{'0' * 64}"), 2, "what is pushed has another digest"),
        (("push", "made", "@@/a:v1", "--mount-from", "A"), 2, "invalid repository 'A'"),
        (("pull",), 2, "eidos pull needs a reference"),
        (("pull", "@@/absent:v1"), 2, "manifest v1: not found"),
        (("pull", "--layout", "absent"), 2, "absent: no such file"),
        (("pull", "--layout", "made"), 2, "made: no index.json"),
        (("snapshot", "-o", "@@/a:v1"), 2, "this command writes to files"),
        (("push", "made", "--layout", "made/README.md/lay"), 1, "hint: use a path whose parents are all folders"),
        (("push", "made", "--layout", "lay.tar.gz"), 2, "'lay.tar.gz': an archive of an image layout is not compressed"),
        (("push", "made", "--layout", "https://example.com/x?a=b"), 2, "--layout: 'https://example.com/x?<withheld>': not a path"),
        (("pull", "@@/absent:v1", "-o", "https://example.com/x?a=b"), 2, "--output: https://example.com: pull writes files and folders"),
        (("pull", "@@/absent:v1", "-o", "@url"), 2, "--output: @url: pull writes files and folders"),
        (("pull", "@@/absent:v1", "-o", "cm://a/b"), 2, "--output: cm://a/b: pull writes files and folders"),
    ):
        result = run(*words)
        assert (result[0], message in result[2]) == (status, True), (words, result)
        assert "hint: " in result[2] or "absent" in message, words
        assert "hunter22" not in result[2], result[2]


def test_a_registry_that_is_not_there_is_exit_1(run: Run, bundle: Path) -> None:
    status, _, err = run("push", "made", "oci://127.0.0.1:1/a:v1")
    assert (status, "connection refused" in err) == (1, True), err


def test_a_dry_run_prints_the_digest_and_writes_nothing(run: Run, bundle: Path, registry: OciRegistry, tmp_path: Path) -> None:
    first = run("push", "made", "@@/b/dry:v1", "--dry-run")
    assert first[0] == 0
    assert not registry.writes()
    assert run("push", "made", "--layout", "lay", "--dry-run")[1] == first[1]
    assert not (tmp_path / "lay").exists()
    assert run("push", "made", "@@/b/dry:v1")[1] == first[1]


# ---- layouts ----


@pytest.mark.parametrize("layout", ["lay", "lay.tar"])
def test_a_layout_goes_there_and_back(run: Run, bundle: Path, tmp_path: Path, layout: str) -> None:
    first = run("push", "made", "--layout", layout)
    content = (tmp_path / layout).read_bytes() if layout.endswith(".tar") else files_of(tmp_path / layout)
    assert run("push", "made", "--layout", layout)[1] == first[1]
    assert content == ((tmp_path / layout).read_bytes() if layout.endswith(".tar") else files_of(tmp_path / layout))
    assert run("pull", "--layout", layout, "-o", "back")[:2] == (0, first[1])
    assert files_of(tmp_path / "back") == BUNDLE.files
    assert not leftovers(tmp_path)


def test_a_layout_that_cannot_be_completed_is_not_there(tmp_path: Path) -> None:
    def fail() -> Iterator[bytes]:
        yield b"1"
        raise OSError(28, "No space left on device")

    artifact = Artifact("a/b", (ArtifactLayer(Blob(sha256_digest(b"12"), 2, fail), "a/b", "a"),))
    for name in ("lay", "lay.tar"):
        with pytest.raises(Unavailable, match="no space left"), create_layout(str(tmp_path / name)) as layout:
            push_artifact(layout, artifact, "v1")
    with create_layout(str(tmp_path / "lay")) as layout:
        push_artifact(layout, Artifact("a/b", ()), "old")
    with pytest.raises(Unavailable), create_layout(str(tmp_path / "lay")) as layout:
        push_artifact(layout, artifact, "v1")
    assert os.listdir(tmp_path) == ["lay"]
    with open_layout(str(tmp_path / "lay")) as layout:
        assert layout.read_manifest("")[1] == layout.find_digest("old")


def test_a_layout_may_have_several_artifacts(run: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_text(SNAPSHOT)
    digest = run("push", "made", "oci://example.com/x:bundle", "--layout", "lay")[1].strip()
    assert run("push", "node.yaml", "oci://example.com/x:node", "--layout", "lay")[0] == 0
    status, _, err = run("pull", "--layout", "lay", "-o", "back")
    assert (status, "2 manifests" in err) == (2, True)
    assert run("pull", "oci://example.com/x:node", "--layout", "lay", "-o", "-")[1] == SNAPSHOT
    assert run("pull", f"oci://example.com/x@{digest}", "--layout", "lay", "-o", "back")[0] == 0
    assert "tags: bundle, node" in run("pull", "oci://example.com/x:absent", "--layout", "lay")[2]


def test_every_byte_of_a_layout_counts(run: Run, bundle: Path, tmp_path: Path) -> None:
    run("push", "made", "--layout", "lay")
    for path in sorted((tmp_path / "lay" / "blobs" / "sha256").iterdir()):
        original = path.read_bytes()
        if original == b"{}":  # nobody reads the configuration
            continue
        for position in {0, len(original) // 2, len(original) - 1}:
            path.write_bytes(original[:position] + bytes([original[position] ^ 1]) + original[position + 1 :])
            assert run("pull", "--layout", "lay", "-o", "back")[0] == 5, path
        path.write_bytes(original)
    link = tmp_path / "lay" / "index.json"
    link.rename(tmp_path / "index.json")
    link.symlink_to(tmp_path / "index.json")
    assert run("pull", "--layout", "lay", "-o", "back")[0] == 1
    assert not (tmp_path / "back").exists()


def test_attestations_are_carried_by_a_layout(tmp_path: Path) -> None:
    files = {"statement.json": b"{}", "a.sig": b"x"}
    path = str(tmp_path / "lay.tar")
    with create_layout(path) as target:
        result = push_artifact(target, Artifact("a/b", (ArtifactLayer(blob_of_bytes(b"1"), "a/b", "1"),), files), "v1")
    with open_layout(path) as source:
        assert source.read_manifest("")[1] == result.digest
        assert read_attestations(source, result.digest) == files


# ---- oci:// in other verbs ----


def test_documents_are_read_from_a_registry(run: Run, tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_text(SNAPSHOT)
    run("push", "node.yaml", "@@/read/node:v1")
    (tmp_path / "recipe.yaml").write_text(to_yaml(RECIPE.to_tree()))
    run("push", "recipe.yaml", "@@/read/recipe:v1")
    assert run("recipe", "-f", "@@/read/node:v1", "--gpu", "h100")[1] == run("recipe", "-f", "node.yaml", "--gpu", "h100")[1]
    assert run("bundle", "-f", "@@/read/recipe:v1", "-o", "one", "-q")[0] == 0
    assert run("bundle", "-f", "recipe.yaml", "-o", "two", "-q")[0] == 0
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    words = ("--fail-on", "never", "--allow-unknown", "-t", "json")
    reports = [json.loads(run("check", "-f", source, "-r", "@@/read/recipe:v1", *words)[1]) for source in ("@@/read/node:v1", "node.yaml")]
    assert reports[0]["findings"] == reports[1]["findings"]
    assert run("diff", "node.yaml", "@@/read/node:v1", "--exit-code")[0] == 0


def test_bundles_are_read_from_a_registry(run: Run, bundle: Path) -> None:
    digest = run("push", "made", "@@/read/bundle:v1")[1].strip()
    status, out, err = run("verify", "@@/read/bundle:v1")
    assert (status, out.splitlines()[0].endswith("/read/bundle:v1: OK")) == (0, True), err
    assert out.splitlines()[1] == f"digest: {digest}", "what was verified, wherever the tag leads later"
    assert json.loads(run("verify", "@@/read/bundle:v1", "-t", "json")[1])["digest"] == digest
    assert run("diff", "made", "@@/read/bundle:v1", "--exit-code")[0] == 0
    status, _, err = run("recipe", "-f", "@@/read/bundle:v1", "--gpu", "h100")
    assert (status, "a bundle, not a snapshot" in err, "eidos pull oci://" in err) == (2, True, True), err


def test_recipe_data_is_read_from_a_registry(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data" / "overlays").mkdir(parents=True)
    assert run("recipe", "new", "--gpu", "h100", "--service", "eks", "-o", "data/overlays/mine.yaml")[0] == 0
    assert run("push", "data", "@@/read/data:v1")[0] == 0
    status, out, err = run("recipe", "--gpu", "h100", "--service", "eks", "--explain", "--data", "@@/read/data:v1")
    assert (status, "overlays/mine" in out) == (0, True), err
    assert run("pull", "@@/read/data:v1", "-o", "back")[0] == 0
    assert files_of(tmp_path / "back") == files_of(tmp_path / "data")
    status, _, err = run("pull", "@@/read/data:v1", "-o", "back.tar.gz")
    assert (status, "recipe data is a folder" in err, (tmp_path / "back.tar.gz").exists()) == (2, True, False), err
    assert run("recipe", "--gpu", "h100", "--data", "@@/read/absent:v1")[0] == 2
    (tmp_path / "recipe.yaml").write_text(to_yaml(RECIPE.to_tree()))
    words = ("bundle", "-f", "recipe.yaml", "-b", "cert-manager", "-q")
    assert run(*words, "--data", "@@/read/data:v1", "-o", "one")[0] == run(*words, "--data", "data", "-o", "two")[0] == 0
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_a_fleet_is_pushed_and_compared_later(run: Run, tmp_path: Path) -> None:
    (tmp_path / "fleet").mkdir()
    for number in (1, 2, 3):
        (tmp_path / "fleet" / f"gpu-{number}.yaml").write_text(SNAPSHOT.replace("580.82.07", f"580.82.0{7 if number < 3 else 8}"))
    names = sorted(os.listdir(tmp_path / "fleet"))
    host = run("push", "fleet/gpu-1.yaml", "@@/fleet:one", "-t", "json")[1]
    reference = parse_reference(json.loads(host)["reference"].replace(":one", ":today"))
    assert push_fleet("fleet", names, reference, None).uploaded_bytes > 0
    local, remote = (run("fleet", "--from", source, "-t", "json", "--exit-code") for source in ("fleet", str(reference)))
    assert (local[0], local[1]) == (remote[0], remote[1])
    assert local[0] == 4
    assert run("pull", str(reference), "-o", "back")[0] == 0
    assert files_of(tmp_path / "back") == files_of(tmp_path / "fleet")


#: Where a bundle, a document, recipe data or a folder of snapshots is read: verb and flag or operand → what each takes, and a command line.
READERS: dict[tuple[str, str], tuple[tuple[str, ...], str]] = {
    ("recipe", "--file"): (("snapshot",), "recipe --gpu h100 -f {}"),
    ("recipe", "--data"): (("data",), "recipe list --data {}"),
    ("check", "--file"): (("snapshot", "fleet"), "check --only nouveau-loaded --fail-on never -f {}"),
    ("check", "--recipe"): (("recipe",), "check --only nouveau-loaded --fail-on never -f node.yaml -r {}"),
    ("check", "--data"): (("data",), "check --list --data {}"),
    ("watch", "--recipe"): (("recipe",), "watch --count 1 --fail-on never --root . -r {}"),
    ("watch", "--data"): (("data",), "watch --count 1 --fail-on never --root . --data {}"),
    ("diff", "<a>"): (("snapshot", "recipe", "report", "bundle"), "diff {} {}"),
    ("diff", "<b>"): (("snapshot",), "diff node.yaml {}"),
    ("explain", "--data"): (("data",), "explain nouveau-loaded --data {}"),
    ("bundle", "--file"): (("recipe",), "bundle plan -b cert-manager -f {}"),
    ("bundle", "--data"): (("data",), "bundle plan -b cert-manager -f recipe.yaml --data {}"),
    ("bundle", "--existing"): (("snapshot",), "bundle plan -b cert-manager -f recipe.yaml --existing {}"),
    ("fleet", "--from"): (("fleet",), "fleet --from {}"),
    ("fleet", "--against"): (("snapshot", "recipe"), "fleet --from fleet --fail-on never --check --against {}"),
    ("fleet", "--recipe"): (("recipe",), "fleet --from fleet --fail-on never --recipe {}"),
    ("fleet", "--data"): (("data",), "fleet --from fleet --fail-on never --check --data {}"),
    ("verify", "<bundle>"): (("bundle",), "verify {}"),
    ("mirror", "<bundle>"): (("bundle",), "mirror {}"),
    ("evidence", "<node>"): (("snapshot", "fleet"), "evidence {} -o evidence.zip"),
    ("evidence", "--recipe"): (("recipe",), "evidence node.yaml -o evidence.zip -r {}"),
    ("evidence", "--data"): (("data",), "evidence node.yaml -o evidence.zip --data {}"),
    ("sign", "<bundle>"): ((), "sign --key x {}"),
    ("push", "<bundle>"): ((), "push {} @@/x:v1"),
    ("serve", "--data"): (("data",), ""),
}

ARTIFACTS = {"snapshot": "a snapshot", "recipe": "a recipe", "report": "a check report", "bundle": "a bundle", "data": "recipe data"}
ARTIFACTS["fleet"] = "snapshots of a fleet"


def test_every_flag_that_reads_a_document_is_in_the_table() -> None:
    names = {"file", "recipe", "data", "from", "against", "existing"}
    flags = {(verb.name, option.flag) for verb in load_verbs() for option in verb.options if option.name in names}
    names = {"a", "b", "place", "bundle"}
    operands = {(verb.name, f"<{each.name}>") for verb in load_verbs() for each in verb.operands if each.name in names}
    assert flags | operands | {("evidence", "<node>")} == set(READERS)


@pytest.fixture(scope="module")
def artifacts(registry: OciRegistry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of each, which are in the registry, too."""
    folder = tmp_path_factory.mktemp("artifacts")
    write_bundle(BUNDLE, str(folder / "bundle"))
    report = check_node(parse_snapshot(SNAPSHOT), RECIPE).to_tree()
    for name, text in (("node", SNAPSHOT), ("recipe", to_yaml(RECIPE.to_tree())), ("report", to_yaml(report))):
        (folder / f"{name}.yaml").write_text(text)
    for path, content in (("data/checks/mine.yaml", "checks: []\n"), ("fleet/n1.yaml", SNAPSHOT), ("fleet/n2.yaml", SNAPSHOT)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return folder


@pytest.mark.exhaustive(sample=6, group="oci readers")
@pytest.mark.parametrize("reader", READERS, ids=" ".join)
def test_what_is_read_from_a_registry_and_what_another_type_is(
    run: Run, registry: OciRegistry, artifacts: Path, reader: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(artifacts)
    sources = {"snapshot": "node.yaml", "recipe": "recipe.yaml", "report": "report.yaml", "bundle": "bundle", "data": "data"}
    accepted, line = READERS[reader]
    for name, source in sources.items():
        if ("types/" + name, "v1") not in registry.manifests:
            assert run("push", source, f"@@/types/{name}:v1")[0] == 0
    push_fleet("fleet", ["n1.yaml", "n2.yaml"], parse_reference(f"oci://{registry.host}/types/fleet:v1"), None)

    def read(location: str) -> tuple[int, str]:
        if reader[0] != "serve":
            status, _, err = run(*line.format(location, location).split())
            return status, err
        values = Values()
        values["data"] = location.replace("@@", f"oci://{registry.host}")
        try:
            return 0 if serve._read_remote_data(values) else 1, ""
        except InvalidInput as fault:
            return 2, fault.message

    for name in accepted:
        status, err = read(f"@@/types/{name}:v1")
        assert status in (0, 3), (name, err)
    for name in sorted(ARTIFACTS.keys() - {*accepted}):
        status, err = read(f"@@/types/{name}:v1")
        assert status == 2, (name, err)
        if not accepted:
            assert "eidos pull" in err, err
        elif name in ("bundle", "data", "fleet") or accepted[0] in ("bundle", "data", "fleet"):
            assert ARTIFACTS[name] in err.lower() and ARTIFACTS[accepted[0]] in err.lower(), (name, err)
        else:  # two kinds of documents
            assert "expected" in err or "not " in err, (name, err)


def test_settings_of_the_registry_come_from_the_configuration_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "node.yaml").write_text(SNAPSHOT)
    monkeypatch.delenv("EIDOS_PLAIN_HTTP")
    assert run("push", "node.yaml", "@@/configured:v1")[0] == 1
    (tmp_path / ".config" / "eidos").mkdir(parents=True)
    (tmp_path / ".config" / "eidos" / "config.yaml").write_text("plain-http: true\n")
    assert run("push", "node.yaml", "@@/configured:v1")[0] == 0
    assert run("diff", "node.yaml", "@@/configured:v1", "--exit-code")[0] == 0


def test_no_artifact_of_another_program_is_unpacked(run: Run, registry: OciRegistry) -> None:
    manifest: Any = ImageManifest("application/vnd.example.v1", ())
    registry.put_manifest("foreign", "v1", manifest.to_bytes(), "application/vnd.oci.image.manifest.v1+json")
    status, _, err = run("pull", "@@/foreign:v1", "-o", "back")
    assert (status, "application/vnd.example.v1" in err) == (2, True), err
