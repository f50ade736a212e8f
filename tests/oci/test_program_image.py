"""``eidos image``: what is in the image, that it is the same each time, and which bases are refused."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.cli import main
from eidos.errors import EidosError
from eidos.oci.blob import Blob, blob_of_bytes
from eidos.oci.image_layout import ImageLayout
from eidos.oci.image_manifest import INDEX_TYPE, Descriptor, ImageManifest, parse_manifest, sha256_digest
from eidos.oci.layout_archive import create_layout, open_layout
from eidos.oci.program_image import BASE_DIGEST, CONFIG_TYPE, ImageProgram, add_program
from tests.archive.test_purposes import make_archive

PYZ = make_archive("eidos/archive/packs.py", "__main__.py")
PROGRAM = ImageProgram("eidos.pyz", PYZ, ("python3", "/eidos.pyz"), {"org.opencontainers.image.title": "eidos"})
GZIP_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def base_tar(**files: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


UNPACKED = base_tar(python3=b"a Python")
LAYER = gzip.compress(UNPACKED, mtime=0)
CONFIG: dict[str, Any] = {
    "created": "2026-01-01T00:00:00Z",
    "architecture": "arm64",
    "os": "linux",
    "config": {"Env": ["PATH=/usr/bin"], "Cmd": ["python3"], "Entrypoint": ["sh"], "Labels": {"a": "b"}, "User": "65534"},
    "rootfs": {"type": "layers", "diff_ids": [sha256_digest(UNPACKED)]},
    "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "make"}],
}


def write_base(layout: ImageLayout, config: Any = CONFIG, tag: str = "3.12", config_type: str = CONFIG_TYPE) -> str:
    """Put an image into a layout; the digest."""
    blobs = blob_of_bytes(LAYER), blob_of_bytes(json.dumps(config).encode())
    for blob in blobs:
        layout.write_blob(blob)
    layer, configuration = (Descriptor(kind, blob.digest, blob.size) for kind, blob in zip((GZIP_LAYER, config_type), blobs))
    data = ImageManifest("", (layer,), configuration).to_bytes()
    layout.write_manifest(data, tag)
    return sha256_digest(data)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a base image and a program."""
    monkeypatch.chdir(tmp_path)
    with create_layout("base") as layout:
        write_base(layout)
    (tmp_path / "eidos.pyz").write_bytes(PYZ)
    return tmp_path


def image_of(layout: str, tag: str = "latest") -> tuple[ImageManifest, dict[str, Any], list[bytes]]:
    """Manifest, configuration and layers of an image, every digest verified."""
    with open_layout(layout) as store:
        manifest = parse_manifest(store.read_manifest(tag)[0], layout)
        blobs = [b"".join(store.read_blob(each)) for each in (manifest.config, *manifest.layers)]
    return manifest, json.loads(blobs[0]), blobs[1:]


@pytest.mark.parametrize("output", ["image", "image.tar"])
def test_the_program_is_one_layer_on_top_of_the_base(folder: Path, output: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "base", "--layout", output, "--program", "eidos.pyz"]) == 0
    out, err = capfd.readouterr()
    manifest, config, layers = image_of(output)
    with open_layout(output) as store:
        assert out == f"{store.find_digest('latest')}\n"
    assert err.startswith(f"wrote {output}:latest: eidos ")
    assert (len(layers), layers[0]) == (2, LAYER)
    with tarfile.open(fileobj=io.BytesIO(layers[1])) as archive:
        (member,) = archive.getmembers()
        assert (member.name, member.mode, member.uid, member.gid, member.mtime) == ("eidos.pyz", 0o755, 0, 0, 0)
        content = archive.extractfile(member)
        assert content is not None and content.read() == PYZ
    assert config["rootfs"]["diff_ids"] == [sha256_digest(UNPACKED), sha256_digest(layers[1])]
    assert len(config["history"]) == 2
    labels = {"a": "b", "org.opencontainers.image.title": "eidos"}
    assert config["config"] == {"Env": ["PATH=/usr/bin"], "User": "65534", "Entrypoint": ["python3", "/eidos.pyz"], "Labels": labels}
    assert (config["architecture"], config["created"]) == ("arm64", CONFIG["created"])
    with open_layout("base") as store:
        assert manifest.annotations == {BASE_DIGEST: store.find_digest("3.12")}
    assert b"artifactType" not in manifest.to_bytes(), "it is an image, not an artifact"


def test_the_same_input_gives_the_same_bytes(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("one.tar", "two.tar"):
        assert main(["image", "base", "--layout", name, "--program", "eidos.pyz"]) == 0
    assert (folder / "one.tar").read_bytes() == (folder / "two.tar").read_bytes()
    # Into the layout of the base, twice: its own image stays, and there is one new one.
    digests = set()
    for _ in range(2):
        capfd.readouterr()
        assert main(["image", "base", "--layout", "base", "--base-tag", "3.12", "--program", "eidos.pyz", "--tag", "x"]) == 0
        digests.add(capfd.readouterr().out)
    with open_layout("base") as store:
        assert digests == {f"{store.find_digest('x')}\n"}
        assert store.find_digest("3.12") is not None
    assert len(json.loads((folder / "base" / "index.json").read_text())["manifests"]) == 2


def test_what_is_no_base_or_no_program_is_refused(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with create_layout("two") as layout:
        write_base(layout)
        write_base(layout, {**CONFIG, "architecture": "amd64"}, "other")
    with create_layout("artifact") as layout:
        write_base(layout, {}, config_type="application/vnd.oci.empty.v1+json")
    (folder / "not.pyz").write_bytes(b"#!/bin/sh\n")
    (folder / "damaged.pyz").write_bytes(PYZ[:-200] + b"x" * 60 + PYZ[-140:])
    cases = (
        (["base"], "no file for the image: eidos runs from a folder, not from one file"),
        (["base", "--program", "not.pyz"], "not.pyz is not eidos, or it is damaged"),
        (["base", "--program", "damaged.pyz"], "damaged.pyz is not eidos, or it is damaged"),
        (["base", "--program", "absent"], "absent: no such file"),
        (["absent", "--program", "eidos.pyz"], "absent: no such file or folder"),
        (["two", "--program", "eidos.pyz"], "two: 2 manifests"),
        (["two", "--program", "eidos.pyz", "--base-tag", "no"], "two: no manifest no"),
        (["artifact", "--program", "eidos.pyz"], "artifact: not a container image, but application/vnd.oci.empty.v1+json"),
        (["base", "--program", "eidos.pyz", "--tag", "-x"], "--tag: invalid tag '-x'"),
    )
    for words, message in cases:
        assert main(["image", *words[:1], "--layout", "new", *words[1:]]) == 2, words
        out, err = capfd.readouterr()
        assert (out, err.splitlines()[0]) == ("", f"error: {message}")
        assert not (folder / "new").exists()
    assert main(["image", "base", "--program", "eidos.pyz"]) == 2


def test_a_base_that_was_changed_is_refused_and_leaves_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    blob = folder / "base" / "blobs" / "sha256" / sha256_digest(LAYER)[7:]
    blob.write_bytes(LAYER[:-1] + b"x")
    assert main(["image", "base", "--layout", "new", "--program", "eidos.pyz"]) == 5
    assert "does not match the digest" in capfd.readouterr().err
    assert not (folder / "new").exists()


class ImageInMemory(ImageLayout):
    """An image with a configuration; ``written`` are the manifests that were stored after it."""

    def __init__(self, config: Any) -> None:
        super().__init__("/nonexistent", "base")
        self.blobs = {sha256_digest(data): data for data in (LAYER, json.dumps(config).encode())}
        layer, configuration = (
            Descriptor(kind, digest, len(data)) for kind, (digest, data) in zip((GZIP_LAYER, CONFIG_TYPE), self.blobs.items())
        )
        self.manifest = ImageManifest("", (layer,), configuration).to_bytes()
        self.written: dict[str, bytes] = {}

    def has_blob(self, digest: str) -> bool:
        return digest in self.blobs

    def write_blob(self, blob: Blob) -> int:
        self.blobs[blob.digest] = b"".join(blob.pieces())
        return blob.size

    def read_blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        yield self.blobs[descriptor.digest]

    def read_manifest(self, target: str) -> tuple[bytes, str]:
        return self.manifest, sha256_digest(self.manifest)

    def write_manifest(self, data: bytes, target: str) -> None:
        self.written[target] = data


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda each: st.lists(each, max_size=3), max_leaves=4)


@given(
    st.fixed_dictionaries({}, optional={name: JSON | st.just(CONFIG[name]) for name in CONFIG}),
    st.sampled_from([*CONFIG, "none"]),
    JSON | st.just({"Labels": 1}) | st.just({"type": "layers", "diff_ids": ["sha256:x"]}),
)
def test_any_configuration_gives_an_image_or_an_error(config: dict[str, Any], name: str, value: Any) -> None:
    for tree in (config, {**CONFIG, name: value}):
        base, target = ImageInMemory(tree), ImageInMemory(CONFIG)
        try:
            result = add_program(base, "", target, "latest", PROGRAM)
        except EidosError:
            assert target.written == {}
        else:
            assert sha256_digest(target.written["latest"]) == result.digest


def test_an_index_of_several_platforms_is_named(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with open_layout("base") as store:
        digest = store.find_digest("3.12") or ""
    inner = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1}
    data = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [inner]}).encode()
    (folder / "base" / "blobs" / "sha256" / sha256_digest(data)[7:]).write_bytes(data)
    entry = {"mediaType": INDEX_TYPE, "digest": sha256_digest(data), "size": len(data)}
    (folder / "base" / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    assert main(["image", "base", "--layout", "new", "--program", "eidos.pyz"]) == 2
    assert "an index of several images" in capfd.readouterr().err


@pytest.mark.slow
def test_skopeo_reads_the_image_and_the_program_in_it_runs(folder: Path, pyz: Path) -> None:
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("needs skopeo (on Debian: apt-get install skopeo)")

    def run(*words: str) -> str:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(skopeo, "copy", "oci:base:3.12", "oci-archive:theirs.tar:3.12")
    assert main(["image", "theirs.tar", "--layout", "image", "--program", str(pyz), "--tag", "1.2.3"]) == 0
    inspected = json.loads(run(skopeo, "inspect", "oci:image:1.2.3"))
    assert (inspected["Architecture"], inspected["Os"], len(inspected["Layers"])) == ("arm64", "linux", 2)
    config = json.loads(run(skopeo, "inspect", "--config", "oci:image:1.2.3"))
    assert config["config"]["Entrypoint"] == ["python3", "/eidos.pyz"]
    run(skopeo, "copy", "oci:image:1.2.3", "dir:copied")
    assert {path.name for path in (folder / "copied").iterdir()} >= {digest[7:] for digest in inspected["Layers"]}
    with tarfile.open(folder / "copied" / inspected["Layers"][1][7:]) as archive:
        archive.extract("eidos.pyz", folder / "root")
    assert run("python3", "-I", "-S", str(folder / "root" / "eidos.pyz"), "--version").startswith("eidos ")
