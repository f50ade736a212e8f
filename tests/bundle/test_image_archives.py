"""Images that a bundle carries: those that it needs, with their digests, a piece at a time, and a registry that has them afterwards."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import tracemalloc
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from eidos.bundle import tar_archive
from eidos.bundle.bundle_options import BundleOptions
from eidos.bundle.bundle_reader import read_files
from eidos.bundle.checksums import parse_checksums
from eidos.bundle.image_archives import collect_images
from eidos.bundle.mirror_lists import NeededImage
from eidos.bundle.verification import inspect_archive, verify_bundle
from eidos.cli import main
from eidos.cli.registry_locations import BLOB, BUNDLE, open_store, unpack_artifact
from eidos.errors import IntegrityError, InvalidInput, NotFound
from eidos.files.tar_writer import tar_header
from eidos.model.bundle import IMAGE_BLOBS, Bundle, StoredFile
from eidos.model.recipe import Recipe
from eidos.model.record import replace
from eidos.oci.artifact import open_artifact
from eidos.oci.blob import blob_of_bytes
from eidos.oci.image_manifest import INDEX_TYPE, TITLE, Descriptor, ImageManifest, sha256_digest
from eidos.oci.image_push import push_image
from eidos.oci.layout_archive import create_layout
from eidos.oci.reference import parse_reference
from eidos.oci.registry_client import RegistryError
from eidos.workflow import make_recipe, pack_bundle, plan_bundle, write_bundle
from tests.fakes.cluster import Cluster, changes
from tests.fakes.oci_registry import OciRegistry
from tests.oci.test_real_registry import Registry, plain, start  # noqa: F401 - fixtures
from tests.support.bundle_files import build
from tests.support.image_folders import DOCKER, OCI, Image, hex_digest, make_image, save_dir, save_layout
from tests.support.program import ROOT
from tests.support.waiting import AMPLE_S, until

MIRROR = "mirror.example.com/x"

HTTP: Any = {"plain-http": True, "ca-file": None, "client-cert": None, "client-key": None}

#: The last one is in no folder.
NAMES = tuple(f"jetstack/cert-manager-{name}" for name in ("cainjector", "controller", "acmesolver", "webhook", "startupapicheck"))
TAG = "v1.21.1"


@cache
def recipe() -> Recipe:
    return make_recipe({"os": "ubuntu", "service": "eks", "gpu": "h100", "intent": "training"})


@cache
def images() -> dict[str, Image]:
    """Every other one is Docker's; all share a layer."""
    return {name: make_image((DOCKER, OCI)[number % 2], name.encode(), b"shared" * 1000) for number, name in enumerate(NAMES)}


def carried(folder: Path, **options: Any) -> Bundle:
    return build(recipe(), components=("cert-manager",), images=str(folder), **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four of the five images, as skopeo saves them and in a layout for a repository, and one that no component has."""
    folder = tmp_path / "saved images"
    for name in NAMES[:3]:
        save_dir(images()[name], folder / f"{name}={TAG}")
    save_layout(folder / NAMES[3], {TAG: images()[NAMES[3]]})
    save_dir(make_image(OCI, b"other"), folder / "other" / "thing=1")
    return folder


def test_a_bundle_carries_the_images_that_it_needs(folder: Path, tmp_path: Path) -> None:
    bundle = carried(folder, registry=MIRROR)
    index = json.loads(bundle.files["images/index.json"])
    digests = {
        entry["annotations"]["org.opencontainers.image.ref.name"]: (entry["digest"], entry["mediaType"]) for entry in index["manifests"]
    }
    assert digests == {f"{MIRROR}/{name}:{TAG}": (images()[name].digest, images()[name].media_type) for name in NAMES[:4]}
    contents = {hex: data for name in NAMES[:4] for data in _contents(images()[name]) for hex in [hex_digest(data)]}
    assert {path[len(IMAGE_BLOBS) :] for path in bundle.blobs} == set(contents)
    assert any("left out 1 image that images.txt does not list: other/thing=1" in sentence for sentence in bundle.warnings)
    (missing,) = bundle.missing_images
    source = f"quay.io/{NAMES[4]}:{TAG}"
    saved = f"'{folder}/{NAMES[4]}={TAG}'"
    command = f"mkdir -p {saved} && skopeo copy --all --preserve-digests docker://{source} dir:{saved}"
    assert missing == f"cert-manager: no image {source} in {folder}: run '{command}'"
    page = bundle.files["README.md"].decode()
    assert "`images/` is an OCI image layout with 4 images" in page and f"docker://{source}" in page
    assert '"name": "images/index.json"' in bundle.files["attestations/statement.json"].decode()
    assert str(folder) not in "".join(content.decode() for content in bundle.files.values()), "no path of the machine"

    write_bundle(bundle, str(tmp_path / "bundle"))
    assert verify_bundle(str(tmp_path / "bundle")) == ()
    listed = parse_checksums(bundle.files["checksums.txt"], "x")
    for hex, data in contents.items():
        assert (tmp_path / "bundle" / IMAGE_BLOBS / hex).read_bytes() == data and listed[f"{IMAGE_BLOBS}{hex}"] == hex
    assert read_files(str(tmp_path / "bundle")) == bundle.files
    first = tmp_path / "bundle" / min(bundle.blobs)
    first.write_bytes(first.read_bytes()[:-1] + b"?")
    assert [str(problem) for problem in verify_bundle(str(tmp_path / "bundle"))] == [f"changed: {min(bundle.blobs)}"]


def _contents(image: Image) -> list[bytes]:
    return [image.root, *image.manifests.values(), *image.blobs.values()]


@pytest.mark.parametrize("names", ["source", "pulled", "path", "other source"])
def test_the_same_images_give_the_same_bundle_in_whatever_form_they_are(names: str, folder: Path, tmp_path: Path) -> None:
    prefix = {"source": "quay.io/", "pulled": f"{MIRROR}/", "path": "", "other source": "ghcr.io/"}[names]
    save_layout(tmp_path / "layout", {f"{prefix}{name}:{TAG}": images()[name] for name in NAMES[:4]})
    bundle = carried(tmp_path / "layout", registry=MIRROR)
    if names == "other source":
        assert len(bundle.missing_images) == 5 and not bundle.blobs and "images/index.json" not in bundle.files
        return
    assert bundle.files == carried(folder, registry=MIRROR).files
    assert pack_bundle(bundle) == pack_bundle(carried(folder, registry=MIRROR))


def test_bundles_that_need_no_images_are_as_they_were(folder: Path) -> None:
    without = build(recipe(), components=("cert-manager",))
    bundle = carried(folder)
    changed = {"README.md", "checksums.txt", "attestations/statement.json"}
    added = {"images/index.json", "images/oci-layout", "images/copy.sh", "images/load.sh"}
    assert set(bundle.files) - set(without.files) == added
    assert {path for path in without.files if bundle.files[path] != without.files[path]} == changed
    for deployer in ("argocd", "flux", "helmfile"):
        other = carried(
            folder, deployer=deployer, **({} if deployer == "helmfile" else {"repo": "https://git.example.com/a.git", "revision": "main"})
        )
        assert added <= set(other.files) and "4 images" in other.files["README.md"].decode()


def test_archives_and_registries_have_what_the_folder_has(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_bytes(build(recipe()).files["recipe.yaml"])
    line = ["bundle", "-f", "recipe.yaml", "-b", "cert-manager", "--images", str(folder), "--quiet"]
    assert main([*line, "-o", "made", "--archive", "made.tar.gz"]) == 0
    with tarfile.open("made.tar.gz") as archive:
        archive.extractall("unpacked")
    assert _tree(tmp_path / "unpacked" / "bundle") == _tree(tmp_path / "made")
    assert main(["verify", "made.tar.gz", "--quiet"]) == 0
    for source, layout in (("made", "a.tar"), ("made.tar.gz", "b")):
        assert main(["push", source, "--layout", layout, "--quiet"]) == 0
    assert main(["pull", "--layout", "a.tar", "-o", "back", "--quiet"]) == 0
    assert main(["pull", "--layout", "b", "-o", "back.tar.gz", "--quiet"]) == 0
    assert _tree(tmp_path / "back") == _tree(tmp_path / "made")
    assert Path("back.tar.gz").read_bytes() == Path("made.tar.gz").read_bytes()
    assert main(["diff", "made", "back.tar.gz", "--exit-code", "--quiet"]) == 0
    assert main(["mirror", "made.tar.gz", "--quiet"]) == 0
    assert main(["pull", "--layout", "b", "-o", "back.zip"]) == 2 and not Path("back.zip").exists()
    assert main([*line, "--archive", "x.zip"]) == 2 and main([*line, "--archive", "https://s3.example.com/x"]) == 2


def _tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}


def test_a_layout_is_read_from_an_archive(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_layout(tmp_path / "layout", {f"quay.io/{name}:{TAG}": images()[name] for name in NAMES[1:]})
    with tarfile.open(tmp_path / "images.tgz", "w:gz") as archive:
        archive.add(tmp_path / "layout", ".")
    (tmp_path / "recipe.yaml").write_bytes(build(recipe()).files["recipe.yaml"])
    line = ["bundle", "-f", str(tmp_path / "recipe.yaml"), "-b", "cert-manager", "--images", str(tmp_path / "images.tgz")]
    assert main([*line, "-o", str(tmp_path / "made"), "--strict"]) == 4
    err = capfd.readouterr().err
    assert "--strict: images are missing: 1 warning above" in err
    assert (
        f"no image quay.io/{NAMES[0]}:{TAG} in {tmp_path}/images.tgz: unpack it to DIR, and run 'mkdir -p DIR/{NAMES[0]}={TAG} && " in err
    )
    plan = plan_bundle(recipe(), BundleOptions(components=("cert-manager",), images=str(tmp_path / "layout"))).to_tree()
    assert len(plan["missing-images"]) == 1 and plan["bundle"]["bytes"] > 20_000
    assert {path.name for path in (tmp_path / "made" / IMAGE_BLOBS).iterdir()} == {
        path[len(IMAGE_BLOBS) :] for path in carried(tmp_path / "layout").blobs
    }
    save_dir(images()[NAMES[0]], tmp_path / "layout" / f"{NAMES[0]}={TAG}")
    assert not carried(tmp_path / "layout").missing_images, "a layout may have more beside it"
    with tarfile.open(tmp_path / "images.tgz", "w:gz") as archive:  # what 'docker save' wrote
        archive.add(tmp_path / "recipe.yaml", "manifest.json")
    assert main([*line, "-o", str(tmp_path / "other")]) == 2
    assert f"error: {tmp_path}/images.tgz: no index.json\nhint: name an archive of an OCI image layout" in capfd.readouterr().err


# ---- what is refused ----

IMAGE = make_image(DOCKER, b"layer")
NEEDED = NeededImage(f"quay.io/{NAMES[0]}:{TAG}", f"quay.io/{NAMES[0]}:{TAG}", ("web",))


def _change(path: str, content: bytes) -> Callable[[Path], object]:
    """Replaces a file of the layout."""
    return lambda folder: (folder / path).write_bytes(content)


def _remove(hex: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "blobs" / "sha256" / hex).unlink()


def _link(hex: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        path = folder / "blobs" / "sha256" / hex
        shutil.move(path, folder.parent / "elsewhere")
        path.symlink_to(folder.parent / "elsewhere")

    return prepare


def _link_folder(folder: Path) -> None:
    shutil.move(folder / "blobs", folder.parent / "elsewhere")
    (folder / "blobs").symlink_to(folder.parent / "elsewhere")


def _list(*roots: bytes, **fields: Any) -> Callable[[Path], None]:
    """Lists these manifests, which it also writes, under the name of the image."""

    def prepare(folder: Path) -> None:
        entries = []
        for root in roots:
            (folder / "blobs" / "sha256" / hex_digest(root)).write_bytes(root)
            annotations = {"org.opencontainers.image.ref.name": NEEDED.source}
            entry = {
                "mediaType": DOCKER[0],
                "digest": f"sha256:{hex_digest(root)}",
                "size": len(root),
                "annotations": annotations,
                **fields,
            }
            entries.append(entry)
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))

    return prepare


def _nested(depth: int) -> Callable[[Path], None]:
    """An index in an index in an index …"""

    def prepare(folder: Path) -> None:
        root = IMAGE.root
        for _ in range(depth):
            (folder / "blobs" / "sha256" / hex_digest(root)).write_bytes(root)
            entry = {"mediaType": OCI[0], "digest": f"sha256:{hex_digest(root)}", "size": len(root)}
            root = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
        _list(root)(folder)

    return prepare


def _loop(folder: Path) -> None:
    """An index that lists itself, which no digest allows."""
    entry = {"mediaType": OCI[0], "digest": IMAGE.digest, "size": 1}
    _change(f"blobs/sha256/{hex_digest(IMAGE.root)}", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())(folder)


LAYER, CONFIG = hex_digest(b"layer"), next(iter(IMAGE.blobs))
MANIFEST, INDEX = next(iter(IMAGE.manifests)), hex_digest(IMAGE.root)

HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a manifest with another digest": (_change(f"blobs/sha256/{MANIFEST}", b"{}"), f"manifest sha256:{MANIFEST} does not match its digest"),
    "an index with another digest": (
        _change(f"blobs/sha256/{INDEX}", IMAGE.root + b" "),
        f"manifest sha256:{INDEX} does not match its digest",
    ),
    "a blob of another size": (_change(f"blobs/sha256/{LAYER}", b"larger"), f"blob sha256:{LAYER} is not a file of 5 bytes"),
    "no blob": (_remove(LAYER), f"blob sha256:{LAYER} is missing"),
    "no configuration": (_remove(CONFIG), f"blob sha256:{CONFIG} is missing"),
    "no architecture": (_remove(MANIFEST), f"manifest sha256:{MANIFEST} is missing"),
    "a link": (_link(LAYER), "is a link, or behind one"),
    "a link to a manifest": (_link(INDEX), "is a link, or behind one"),
    "a linked folder": (_link_folder, "is a link, or behind one"),
    "no JSON": (_change("index.json", b"not JSON"), "not an OCI manifest"),
    "an index of something else": (_change("index.json", b'{"schemaVersion": 2, "manifests": 1}'), "expected a list of at most"),
    "a large index": (_change("index.json", b" " * ((4 << 20) + 1)), "larger than 4 MiB"),
    "many images": (_change("index.json", b'{"schemaVersion": 2, "manifests": [' + b"{}," * 10_001 + b"{}]}"), "a list of at most 10,000"),
    "a path for a digest": (_list(b"{}", digest="sha256:../../../etc/passwd"), "invalid digest"),
    "nested too deep": (_nested(6), "indexes in more than 4 indexes"),
    "a loop": (_loop, "does not match its digest"),
    "another kind": (_list(b'{"schemaVersion": 1, "fsLayers": []}'), "not an OCI manifest"),
    "a chart": (_list(b'{"schemaVersion": 2, "mediaType": "application/x"}'), "a manifest of type 'application/x', not a container image"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_complete_image_is_refused(name: str, tmp_path: Path) -> None:
    prepare, reason = HOSTILE[name]
    save_layout(tmp_path / "layout", {NEEDED.source: IMAGE})
    assert len(collect_images(str(tmp_path / "layout"), [NEEDED], "").blobs) == 6
    prepare(tmp_path / "layout")
    with pytest.raises(IntegrityError, match=reason) as caught:
        collect_images(str(tmp_path / "layout"), [NEEDED], "")
    assert "--images: " in caught.value.message


def test_a_few_indexes_in_an_index_are_read(tmp_path: Path) -> None:
    save_layout(tmp_path / "layout", {NEEDED.source: IMAGE})
    _nested(2)(tmp_path / "layout")
    assert len(collect_images(str(tmp_path / "layout"), [NEEDED], "").blobs) == 8


def test_two_images_with_one_name_are_refused(tmp_path: Path) -> None:
    save_layout(tmp_path / "layout", {NEEDED.source: IMAGE})
    _list(IMAGE.root, make_image(OCI, b"b").root)(tmp_path / "layout")
    with pytest.raises(InvalidInput, match="two images"):
        collect_images(str(tmp_path / "layout"), [NEEDED], "")
    with pytest.raises(NotFound, match="no such folder"):
        collect_images(str(tmp_path / "none"), [NEEDED], "")


def test_an_image_by_digest_has_that_digest(tmp_path: Path) -> None:
    other = make_image(OCI, b"b")
    save_layout(tmp_path / "layout", {"quay.io/a:1": IMAGE, "quay.io/b:1": other})
    by_digest = NeededImage(f"quay.io/c:1@{IMAGE.digest}", f"quay.io/c:1@{IMAGE.digest}", ("web",))
    (entry,) = json.loads(collect_images(str(tmp_path / "layout"), [by_digest], "").files["images/index.json"])["manifests"]
    assert entry["digest"] == IMAGE.digest and entry["annotations"]["io.containerd.image.name"] == f"quay.io/c@{IMAGE.digest}"
    with pytest.raises(InvalidInput, match=f"another digest there, {other.digest}"):
        collect_images(str(tmp_path / "layout"), [NeededImage(f"quay.io/b:1@{IMAGE.digest[:-1]}0", "quay.io/b:1", ("web",))], "")


def test_content_is_verified_when_it_is_copied(folder: Path, tmp_path: Path) -> None:
    bundle = carried(folder)
    for path in folder.rglob(hex_digest(b"shared" * 1000)):
        path.write_bytes(b"Shared" * 1000)
    with pytest.raises(IntegrityError, match=f"does not match the digest sha256:{path.name}"):
        pack_bundle(bundle)
    with pytest.raises(IntegrityError, match="does not match the digest"):
        write_bundle(bundle, str(tmp_path / "bundle"))
    assert not (tmp_path / "bundle").exists() and not list(tmp_path.glob(".*")), "nothing is left"


# ---- large ones ----


def _entry(path: str, size: int, content: bytes) -> bytes:
    return tar_header(path, 0o644, size, b"0") + content + bytes(-len(content) % 512)


def test_an_archive_may_be_large_only_with_images(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("MAX_ARCHIVE_BYTES", "MAX_COMPRESSED_BYTES", "MAX_FILE_BYTES"):
        monkeypatch.setattr(tar_archive, limit, 64 << 10)
    noise = os.urandom(300 << 10)
    blob, other = f"bundle/{IMAGE_BLOBS}{hex_digest(noise)}", "bundle/images/other"
    (member,) = tar_archive.read_members(io.BytesIO(gzip.compress(_entry(blob, len(noise), noise) + bytes(1024))), "x")
    assert (member.digest, member.size, member.content) == (hex_digest(noise), len(noise), b"")
    with pytest.raises(IntegrityError, match="larger than"):
        list(tar_archive.read_members(io.BytesIO(gzip.compress(_entry(other, len(noise), noise))), "x"))
    zeros = bytes(2 << 20)
    with pytest.raises(IntegrityError, match="more than 16 times its size when unpacked"):
        list(tar_archive.read_members(io.BytesIO(gzip.compress(_entry(blob, len(zeros), zeros))), "x"))
    with pytest.raises(IntegrityError, match="truncated"):
        list(tar_archive.read_members(io.BytesIO(gzip.compress(_entry(blob, 8 << 29, noise))), "x"))
    with pytest.raises(IntegrityError, match="when unpacked"):
        inspect_archive(io.BytesIO(gzip.compress(_entry("bundle/a", 1, b"a") + bytes(200 << 10))), "x")


def test_memory_is_that_of_a_few_pieces(tmp_path: Path) -> None:
    layer = bytes(12 << 20)
    save_layout(tmp_path / "layout", {f"quay.io/{NAMES[0]}:{TAG}": make_image(OCI, layer)})
    del layer
    bundle = carried(tmp_path / "layout")
    tracemalloc.start()
    try:
        write_bundle(bundle, str(tmp_path / "bundle"))
        with (tmp_path / "bundle.tar.gz").open("wb") as file:
            file.writelines(tar_archive.tar_gz_pieces(bundle.files, bundle.blobs))
        assert verify_bundle(str(tmp_path / "bundle")) == verify_bundle(str(tmp_path / "bundle.tar.gz")) == ()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 << 20


#: Runs a verb, and prints its highest memory in KiB.
PEAK = (
    "import sys\nfrom eidos.cli import main\nstatus = main(sys.argv[1:])\n"
    "print(status, next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1], file=sys.stderr)"
)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_verb_needs_little_memory_for_large_images(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_bytes(build(recipe()).files["recipe.yaml"])
    peaks: dict[int, list[int]] = {}
    for size in (1 << 10, 96 << 20):
        folder = tmp_path / str(size)
        _save_sparse_image(folder / "images", size)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
        for line in (
            "bundle -f ../recipe.yaml -b cert-manager --images images -o bundle --archive bundle.tar.gz",
            "verify bundle",
            "sign bundle.tar.gz --key key",
            "verify bundle.tar.gz --key key.pub",
            "push bundle.tar.gz --layout layout.tar",
            "pull --layout layout.tar -o pulled.tar.gz",
            "mirror bundle.tar.gz",
            "diff bundle pulled.tar.gz",
        ):
            command = [sys.executable, "-c", PEAK, *line.split()]
            environ = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=200, check=False)
            status, peak = done.stderr.split()[-2:]
            assert status == "0", done.stderr
            peaks.setdefault(size, []).append(int(peak))
        shutil.rmtree(folder)
    small, large = peaks.values()
    assert all(many - few < 40 << 10 for few, many in zip(small, large)), peaks


def _save_sparse_image(folder: Path, size: int) -> None:
    """A layout with an image whose layer has this many zeros."""
    digest, piece = sha256(), bytes(1 << 10)
    for _ in range(size >> 10):
        digest.update(piece)
    config = {"mediaType": OCI[2], "digest": f"sha256:{hex_digest(b'small')}", "size": 5}
    layer = {"mediaType": OCI[3], "digest": f"sha256:{digest.hexdigest()}", "size": size}
    root = json.dumps({"schemaVersion": 2, "mediaType": OCI[1], "config": config, "layers": [layer]}).encode()
    save_layout(folder, {f"quay.io/{NAMES[0]}:{TAG}": Image(OCI[1], root, {}, {hex_digest(b"small"): b"small"})})
    with (folder / "blobs" / "sha256" / digest.hexdigest()).open("wb") as file:
        file.truncate(size)


HEX = hex_digest(b"blob")
PATH = f"{IMAGE_BLOBS}{HEX}"

#: Layers of a bundle in a registry: what is said of each, and what is refused.
LAYERS: dict[str, tuple[list[Descriptor], str]] = {
    "another name": ([Descriptor(BLOB, f"sha256:{HEX}", 4, {TITLE: IMAGE_BLOBS + "0" * 64})], "not the name of a blob"),
    "a path that leads out": ([Descriptor(BLOB, f"sha256:{HEX}", 4, {TITLE: f"../{PATH}"})], "not the name of a blob"),
    "no name": ([Descriptor(BLOB, f"sha256:{HEX}", 4)], "not the name of a blob"),
    "twice": ([Descriptor(BLOB, f"sha256:{HEX}", 4, {TITLE: PATH})] * 2, "it is there twice"),
    "larger than it says": ([Descriptor(BLOB, f"sha256:{HEX}", 3, {TITLE: PATH})], "larger than the 3 bytes"),
    "too large": ([Descriptor(BLOB, f"sha256:{HEX}", 1 << 33, {TITLE: PATH})], "more images than a bundle can have"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_blobs_from_a_registry_are_what_they_say(name: str, tmp_path: Path) -> None:
    layers, reason = LAYERS[name]
    with create_layout(str(tmp_path / "layout")) as store:
        store.write_blob(blob_of_bytes(b"blob"))
        store.write_manifest(ImageManifest(BUNDLE, tuple(layers)).to_bytes(), "v1")
        (tmp_path / "unpacked").mkdir()
        with pytest.raises(IntegrityError, match=reason):
            unpack_artifact(store, open_artifact(store, "v1"), str(tmp_path / "unpacked"))
    assert not list(tmp_path.glob("images"))


# ---- where they are used ----


@pytest.mark.parametrize("is_archive", [False, True], ids=["folder", "archive"])
def test_images_are_pushed_without_another_program(
    folder: Path, tmp_path: Path, is_archive: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ("bundle.tar.gz" if is_archive else "bundle")
    with OciRegistry() as registry:
        mirror = f"{registry.host}/x"
        bundle = carried(folder, registry=mirror)
        if is_archive:
            path.write_bytes(pack_bundle(bundle))
        else:
            write_bundle(bundle, str(path))
        line = ["mirror", str(path), "--push", mirror, "--plain-http"]
        assert main(line) == 4
        done = capfd.readouterr()
        assert set(done.out.splitlines()) == {f"{mirror}/{name}:{TAG} {images()[name].digest}" for name in NAMES[:4]}
        assert f"pushed 4 images to {mirror}: " in done.err and "lacks 1 image that it needs" in done.err
        for name in NAMES[:4]:
            assert registry.manifests[f"x/{name}", TAG] == (images()[name].root, images()[name].media_type)
            assert {f"sha256:{hex}" for hex in images()[name].manifests} <= {key for at, key in registry.manifests if at == f"x/{name}"}
            targets = [each.path.rpartition("/")[2] for each in registry.requests if each.writes and f"x/{name}/manifests/" in each.path]
            assert targets.index(TAG) == len(targets) - 1, "the tag is last"
        sent = len(registry.writes())
        assert main([*line, "-t", "json"]) == 4
        tree = json.loads(capfd.readouterr().out)
        assert [each["uploaded-bytes"] for each in tree["pushed"]] == [0] * 4
        assert set(registry.writes()[sent:]) == {"PUT"}, "manifests only"
        assert main([*line, "--check", mirror]) == 4
        both = capfd.readouterr().out.splitlines()
        assert set(done.out.splitlines()) < set(both) and both[-1] not in done.out and any(NAMES[4] in line for line in both)
        assert main([*line, "--check", mirror, "-t", "json"]) == 4
        tree = json.loads(capfd.readouterr().out)
        assert (len(tree["pushed"]), tree["missing"]) == (4, both[4:])
        assert main([*line, "--check", f"{mirror}/y"]) == 2
        assert "error: --push and --check name different registries\n" in capfd.readouterr().err
        registry.before = lambda received: 500 if received.method in ("GET", "HEAD") and f"/{NAMES[4]}/" in received.path else None
        assert main([*line, "--check", mirror]) == 1 and capfd.readouterr().out == done.out, "what was pushed is written"


def test_what_cannot_be_pushed_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_bundle(build(recipe(), components=("cert-manager",)), str(tmp_path / "bundle"))
    assert main(["mirror", str(tmp_path / "bundle"), "--push", MIRROR]) == 2
    assert "carries no images\nhint: build it with 'eidos bundle --images PATH'" in capfd.readouterr().err
    image = make_image(OCI, b"x")
    stored = tmp_path / "blob"
    stored.write_bytes(image.root)
    root = Descriptor("", image.digest, len(image.root))
    manifest = StoredFile(str(stored), len(image.root), image.digest.partition(":")[2])
    with OciRegistry() as registry, open_store(parse_reference(f"oci://{registry.host}/x:v1"), HTTP, time.monotonic() + AMPLE_S) as store:
        for files, reason in (
            ({}, "lacks sha256:"),
            ({image.digest: manifest}, "lacks sha256:"),
            ({image.digest: replace(manifest, size=5 << 20)}, "larger than 4 MiB"),
        ):
            with pytest.raises(IntegrityError, match=reason):
                push_image(store, root, files, "v1")
        assert registry.manifests == {}
        content = ImageManifest("", ()).to_bytes()
        stored.write_bytes(content)
        digest = sha256_digest(content)
        files = {digest: StoredFile(str(stored), len(content), digest.partition(":")[2])}
        registry.before = lambda received: 200  # as a page to log in, or a load balancer
        with pytest.raises(RegistryError, match="upload of manifest v1: the registry failed: status 200"):
            push_image(store, Descriptor("", digest, len(content)), files, "v1")


def test_a_manifest_that_indexes_name_again_and_again_is_pushed_once(tmp_path: Path) -> None:
    files: dict[str, StoredFile] = {}
    content = b'{"schemaVersion": 2, "manifests": []}'
    for depth in range(4):
        path, digest = tmp_path / str(depth), sha256_digest(content)
        path.write_bytes(content)
        files[digest] = StoredFile(str(path), len(content), digest.partition(":")[2])
        root, entry = Descriptor("", digest, len(content)), {"mediaType": INDEX_TYPE, "digest": digest, "size": len(content)}
        content = json.dumps({"schemaVersion": 2, "manifests": [entry] * 100}).encode()
    with OciRegistry() as registry, open_store(parse_reference(f"oci://{registry.host}/x:v1"), HTTP, time.monotonic() + AMPLE_S) as store:
        push_image(store, root, files, "v1")
        assert len(registry.writes()) == len(files)


@pytest.mark.slow
def test_the_installation_fills_a_registry(folder: Path, tmp_path: Path, plain: Registry) -> None:  # noqa: F811 - a fixture
    if shutil.which("skopeo") is None:
        pytest.skip("needs skopeo (on Debian: apt-get install skopeo)")
    cluster = Cluster(tmp_path / "cluster")
    mirror = f"{plain.host}/{tmp_path.name.replace('_', '-').lower()}"
    path = tmp_path / "a bundle; $(x) 'of' it"
    write_bundle(carried(folder, registry=mirror), str(path))

    def run(script: str, *words: str) -> subprocess.CompletedProcess[str]:
        line = [str(path / script), *words]
        environ = cluster.environment()
        return subprocess.run(
            line, cwd="/", env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
        )

    dry = run("install.sh", "--registry", mirror, "--plain-http", "--dry-run")
    assert dry.returncode == 0 and f"images/copy.sh' {mirror} --dest-tls-verify=false\n" in dry.stdout, dry
    failed = run("install.sh", "--registry", "127.0.0.1:1/x")
    assert failed.returncode == 1 and changes(cluster.calls()) == [] and "error: the images were not copied" in failed.stderr
    assert "images: the bundle carries them; --registry NAME" in run("install.sh", "--dry-run").stdout
    done = run("install.sh", "--registry", mirror, "--plain-http")
    assert (done.returncode, changes(cluster.calls()) != []) == (0, True), done.stderr
    assert "warning: the values" not in done.stderr
    for name in NAMES[:4]:
        inspected = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{mirror}/{name}:{TAG}"]
        assert subprocess.run(inspected, capture_output=True, check=True).stdout == images()[name].root
        for hex, manifest in images()[name].manifests.items():
            inspected[-1] = f"docker://{mirror}/{name}@sha256:{hex}"
            assert subprocess.run(inspected, capture_output=True, check=True).stdout == manifest
    again = plain.eidos("mirror", str(path), "--check", mirror)
    assert (again.status, again.out.count(NAMES[4]), again.out.count("cert-manager-webhook")) == (4, 1, 0)
    other = run("images/copy.sh", f"{plain.host}/other", "--dest-tls-verify=false")
    assert other.returncode == 0 and f"pull images from {mirror}, and not from {plain.host}/other" in other.stderr
    pushed = plain.eidos("mirror", str(path), "--push", f"{plain.host}/{tmp_path.name.lower()}/pushed")
    assert pushed.status == 4 and "lacks 1 image" in pushed.err, pushed.err
    for line in pushed.out.splitlines():
        target, digest = line.split()
        inspected = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{target}"]
        assert f"sha256:{hex_digest(subprocess.run(inspected, capture_output=True, check=True).stdout)}" == digest
    assert run("images/copy.sh").returncode == 2 and run("images/load.sh", "--help").stdout.startswith("usage: ")
    shutil.rmtree(path / "images")
    assert "this bundle carries no images for --registry" in run("install.sh", "--registry", mirror).stderr


@pytest.mark.slow
def test_a_node_loads_them_into_containerd(folder: Path, tmp_path: Path) -> None:
    if shutil.which("containerd") is None or shutil.which("ctr") is None or os.geteuid():
        pytest.skip("needs containerd, and root to run it (on Debian: apt-get install containerd)")
    write_bundle(carried(folder), str(tmp_path / "bundle"))
    with TemporaryDirectory(prefix="eidos-") as short:  # the path of a socket has at most 107 characters
        loaded = _load_into_containerd(tmp_path / "bundle", short, tmp_path / "log")
    assert loaded == {f"quay.io/{name}:{TAG}": images()[name].digest for name in NAMES[:4]}


def _load_into_containerd(bundle: Path, folder: str, log: Path) -> dict[str, str]:
    """Load the images of a bundle into a containerd of its own; digests by name."""
    address = f"{folder}/socket"
    settings = [f'root = "{folder}/root"', f'state = "{folder}/state"', 'disabled_plugins = ["io.containerd.grpc.v1.cri"]']
    settings += ["[grpc]", f'address = "{address}"', "[ttrpc]", f'address = "{folder}/ttrpc"']
    (Path(folder) / "config.toml").write_text("\n".join(["version = 2", *settings, ""]))
    with log.open("wb") as output:
        process = subprocess.Popen(["containerd", "--config", f"{folder}/config.toml"], stdout=output, stderr=output)
    try:
        until(lambda: process.poll() is not None or os.path.exists(address))
        if process.poll() is not None:
            pytest.skip("needs containerd to run here")
        load = [str(bundle / "images" / "load.sh"), "--no-unpack"]
        environ = {**os.environ, "CTR": f"ctr --address {address}"}
        done = subprocess.run(load, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        line = ["ctr", "--address", address, "--namespace", "k8s.io", "images", "list"]
        rows = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()[1:]
    finally:
        process.terminate()
        process.wait(30)
    return {row.split()[0]: row.split()[2] for row in rows}
