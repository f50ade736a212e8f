"""What a bundle needs in a closed network: complete lists, scripts that run, packages that tools accept, and what a registry lacks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from eidos.bundle.mirror_lists import MirrorList, NeededImage, mirror_files, read_mirror_list
from eidos.cli import main
from eidos.errors import InvalidData
from eidos.model.bundle import Bundle
from eidos.model.recipe import Recipe
from eidos.workflow import make_recipe, pack_bundle, write_bundle
from tests.bundle.test_chart_archives import chart
from tests.fakes.oci_registry import OciRegistry, Reply
from tests.support.bundle_files import build, each_recipe, load_documents, load_yaml, made

ZARF = json.loads((Path(__file__).parent.parent / "schemas" / "zarf.json").read_text())

MIRROR = "mirror.example.com/x"


@cache
def recipe() -> Recipe:
    return make_recipe({"os": "cos", "service": "gke", "gpu": "h100", "intent": "training", "machine": "a3-megagpu-8g"})


@cache
def bundle(registry: str = "") -> Bundle:
    return build(recipe(), registry=registry)


@cache
def needed(registry: str = "") -> MirrorList:
    return read_mirror_list(bundle(registry).files, "bundle")


def pulled_images(bundle: Bundle) -> set[str]:
    return {line for line in bundle.files["images.txt"].decode().splitlines() if line and not line.startswith("#")}


def test_the_lists_are_complete() -> None:
    images = {image.source for image in needed().images if not image.optional}
    assert images == pulled_images(bundle()) and any(image.digest for image in needed().images)
    components = [component for component in recipe().components if component.chart]
    assert [(each.component, each.name, each.version, each.source) for each in needed().charts] == [
        (component.id, component.chart, component.version, component.repository) for component in components
    ]
    assert {each.url.partition("://")[0] for each in needed().manifests} == {"https"} and all(
        len(each.sha256) == 64 for each in needed().manifests
    )
    assert {image.pulled for image in needed(MIRROR).images if not image.optional} == pulled_images(bundle(MIRROR))
    assert {image.source for image in needed(MIRROR).images} == {image.source for image in needed().images}, "a mirror changes no source"
    assert [each.source for each in needed(MIRROR).charts] == [each.source for each in needed().charts]


def test_images_are_where_a_bundle_with_that_mirror_looks_for_them() -> None:
    for image in needed(MIRROR).images:
        expected = image.pulled.partition("@")[0] if "@" in image.pulled and ":" in image.pulled.partition("@")[0] else image.pulled
        assert image.at(MIRROR) == expected
    for each in needed(MIRROR).charts:
        assert each.at(MIRROR) == f"{each.pulled}/{each.name}:{each.version}"


@each_recipe
def test_no_chart_takes_the_name_of_an_image(path: Path) -> None:
    listed = read_mirror_list({name: content for name, (content, _) in made(path).items()}, path.stem)
    images = {_name(image.at(MIRROR)) for image in listed.images}
    charts = {_name(each.at(MIRROR)[len("oci://") :]) for each in listed.charts}
    assert images and not charts & images


def _name(reference: str) -> str:
    return reference.partition("@")[0].rpartition(":")[0] or reference


@pytest.mark.parametrize(
    ("source", "copied", "at"),
    [
        ("nvcr.io/nvidia/driver:1", "nvcr.io/nvidia/driver:1", f"{MIRROR}/nvidia/driver:1"),
        ("r.io:5000/a:1@sha256:00", "r.io:5000/a@sha256:00", f"{MIRROR}/a:1"),
        ("r.io/a@sha256:00", "r.io/a@sha256:00", f"{MIRROR}/a@sha256:00"),
        ("busybox:1.37", "docker.io/library/busybox:1.37", f"{MIRROR}/library/busybox:1.37"),
        ("a/b", "docker.io/a/b", f"{MIRROR}/a/b"),
    ],
)
def test_tools_copy_by_digest_where_there_is_one(source: str, copied: str, at: str) -> None:
    image = NeededImage(source, source, ("a",))
    assert (image.copied, image.at(MIRROR)) == (copied, at)


def test_a_bundle_of_an_older_program_is_refused() -> None:
    files = {"images.json": b'{"images": [], "unknown": []}'}
    with pytest.raises(InvalidData, match="an older eidos built it"):
        read_mirror_list(files, "old")
    with pytest.raises(InvalidData, match=r"no images\.json"):
        read_mirror_list({}, "old")


# ---- files ----


@cache
def files() -> dict[str, str]:
    return {path: content.decode() for path, content in mirror_files(needed(), bundle().files).items()}


def test_the_package_of_zarf_is_what_its_schema_accepts() -> None:
    tree = load_yaml(files()["zarf.yaml"])
    assert [error.message for error in jsonschema.Draft202012Validator(ZARF).iter_errors(tree)] == []
    assert [error.message for error in jsonschema.Draft202012Validator(ZARF).iter_errors({**tree, "metadata": {"name": "A"}})]
    assert {image for each in tree["components"] for image in each.get("images", ())} == pulled_images(bundle())
    charts = {each["name"]: each for component in tree["components"] for each in component.get("charts", ())}
    for component in recipe().components:
        if component.chart:
            entry = charts[component.id]
            assert (entry["version"], entry["namespace"]) == (component.version, component.namespace)
            assert entry["valuesFiles"] == [f"{component.id}/values.yaml"] and files()[f"{component.id}/values.yaml"]
    named = [path for component in tree["components"] for each in component.get("manifests", ()) for path in each["files"]]
    fetched = [path for path in named if path not in files()]
    assert fetched == [f"{each.url}@{each.sha256}" for each in needed().manifests] and fetched


def test_the_readme_names_the_files_that_are_there() -> None:
    without = MirrorList(needed().images, needed().charts, (), ())
    for tree in (files(), {path: content.decode() for path, content in mirror_files(without, bundle().files).items()}):
        named = set(re.findall(r"`([a-z]+\.(?:txt|sh|yaml))`", tree["README.md"].partition("A bundle that")[0]))
        assert named - {"install.sh"} == {path for path in tree if "/" not in path} - {"README.md"}


def test_the_manifest_of_hauler_has_all() -> None:
    trees = {tree["kind"]: tree for tree in load_documents(files()["hauler.yaml"])}
    assert {tree["apiVersion"] for tree in trees.values()} == {"content.hauler.cattle.io/v1"}
    assert len(trees["Images"]["spec"]["images"]) == len(pulled_images(bundle()))
    charts = [(each["name"], each["repoURL"], each["version"]) for each in trees["Charts"]["spec"]["charts"]]
    assert charts == [(each.name, each.source, each.version) for each in needed().charts]
    assert [each["path"] for each in trees["Files"]["spec"]["files"]] == [each.url for each in needed().manifests]


def test_charts_that_the_bundle_carries_are_in_the_folder(tmp_path: Path) -> None:
    for each in needed().charts:
        (tmp_path / f"{each.name}-{each.version}.tgz").write_bytes(chart(each.name, each.version))
    for deployer, repo in (("helm", ""), ("argocd", "https://git.example.com/a.git")):
        carried = build(recipe(), charts=str(tmp_path), deployer=deployer, repo=repo)
        made = mirror_files(read_mirror_list(carried.files, "bundle"), carried.files)
        tree = load_yaml(made["zarf.yaml"])
        paths = [each["localPath"] for component in tree["components"] for each in component.get("charts", ())]
        assert len(paths) == len(needed().charts) and all(path in made for path in paths)


@pytest.fixture
def tool_calls(tmp_path: Path) -> Path:
    """Programs that write down how they are called; helm pull and skopeo write the files that they would."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("skopeo", "oras", "helm"):
        (folder / tool).write_text(
            '#!/bin/sh\nif [ "$4" = --digestfile ]; then file=$5; last=$1\n'
            'shift 5; set -- "$last" --all --preserve-digests "$@"; case "$*" in *unusable*) ;; *) echo sha256:00 >"$file" ;; esac; fi\n'
            f'echo "{tool} $*" >>{tmp_path}/calls\ncase "$*" in *broken*) exit 1 ;; esac\n'
            'if [ "$1" = pull ]; then shift; for word in "$@"; do last=$word; done\n'
            'name=${1##*/}; while [ "$1" != --version ]; do shift; done; : >"$last/$name-${2#v}.tgz"; fi\n'
        )
        (folder / tool).chmod(0o755)
    return tmp_path / "calls"


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": f"{folder.parent / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(words, env=environ, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)


def written(folder: Path, tree: dict[str, bytes]) -> Path:
    for path, content in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        (folder / path).chmod(0o755)
    return folder


def test_scripts_copy_every_image_and_chart(tmp_path: Path, tool_calls: Path) -> None:
    folder = written(tmp_path / "a mirror", mirror_files(needed(), bundle().files))
    for tool, words in (
        ("skopeo", ["skopeo copy --all --preserve-digests --dest-tls-verify=false"]),
        ("oras", ["oras cp --dest-tls-verify=false"]),
    ):
        done = run(folder, str(folder / f"{tool}.sh"), "localhost:5000/x", "--dest-tls-verify=false")
        assert done.returncode == 0, done.stderr
        calls = tool_calls.read_text().splitlines()
        tool_calls.unlink()
        images = [image for image in needed().images if not image.optional]
        prefix = "docker://" if tool == "skopeo" else ""
        assert calls == [f"{words[0]} {prefix}{image.copied} {prefix}{image.at('localhost:5000/x')}" for image in images]
        assert run(folder, str(folder / f"{tool}.sh")).returncode == 2
    for _ in range(2):  # what is there is not pulled again
        done = run(folder, str(folder / "helm.sh"), "localhost:5000/x", "--plain-http")
        assert done.returncode == 0, done.stderr
    calls = tool_calls.read_text().splitlines()
    assert len([call for call in calls if call.startswith("helm pull ")]) == len(needed().charts)
    pushed = [call.split()[-2:] for call in calls if call.startswith("helm push ")]
    expected = [[each.at("localhost:5000/x").rpartition("/")[0], "--plain-http"] for each in needed().charts]
    assert pushed == expected * 2


def test_images_go_by_way_of_a_folder(tmp_path: Path, tool_calls: Path) -> None:
    skopeo = tmp_path / "bin" / "skopeo"
    skopeo.write_text(
        skopeo.read_text() + 'for to in "$@"; do from=$last last=$to; done\n'
        'case "$to" in dir:*) : >"${to#dir:}/version"; echo "$from" >"${to#dir:}/manifest.json" ;; esac\n'
    )
    folder, saved = written(tmp_path / "a mirror", mirror_files(needed(), bundle().files)), tmp_path / "saved images"
    script, images = str(folder / "skopeo.sh"), [image for image in needed().images if not image.optional]
    targets = [image.at(MIRROR)[len(MIRROR) + 1 :] for image in images]
    folders = [f"{saved}/{target.replace(':', '=').replace('@', '=')}" for target in targets]
    assert len(set(folders)) == len(images)
    assert run(folder, script, "--save", str(saved), "--src-tls-verify=false").returncode == 0
    copy = "skopeo copy --all --preserve-digests"
    expected = [f"{copy} --src-tls-verify=false docker://{image.copied} dir:{path}" for image, path in zip(images, folders)]
    assert tool_calls.read_text().splitlines() == expected
    (Path(folders[0]) / "manifest.json").unlink()  # as a run leaves it that was interrupted
    tool_calls.unlink()
    done = run(folder, script, "--save", str(saved), "--src-tls-verify=false")
    assert (done.returncode, tool_calls.read_text().splitlines()) == (0, expected[:1])
    assert done.stdout.count(": saved already\n") == len(images) - 1
    tool_calls.unlink()
    (Path(folders[1]) / "manifest.json").unlink()
    done = run(folder, script, "--load", str(saved), MIRROR, "--dest-tls-verify=false")
    assert (done.returncode, done.stderr) == (1, f"error: {folders[1]}: no image\nerror: images not copied: 1\n")
    expected = [f"{copy} --dest-tls-verify=false dir:{path} docker://{MIRROR}/{target}" for target, path in zip(targets, folders)]
    assert tool_calls.read_text().splitlines() == [expected[0], *expected[2:]]
    for words in ((), ("--save",), ("--load", str(saved)), ("--help",), ("--other", "x")):
        done = run(folder, script, *words)
        assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("usage: skopeo.sh REGISTRY "), words


def test_scripts_go_on_after_a_failure_and_report_it(tmp_path: Path, tool_calls: Path) -> None:
    folder = written(tmp_path / "mirror", mirror_files(needed(), bundle().files))
    for tool, what in (("skopeo", "images"), ("helm", "charts")):
        done = run(folder, str(folder / f"{tool}.sh"), "broken.example.com")
        count = len([image for image in needed().images if not image.optional]) if tool == "skopeo" else len(needed().charts)
        assert done.returncode == 1 and done.stderr == f"error: {what} not copied: {count}\n"
        if tool == "skopeo":
            done = run(folder, str(folder / "skopeo.sh"), MIRROR, "unusable")
            assert done.returncode == 1 and done.stderr == f"error: images not copied: {count}\n", "skopeo 1.9 exits 0 after wrong usage"


@pytest.mark.slow
def test_shellcheck_is_content(tmp_path: Path) -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("no shellcheck here")
    folder = written(tmp_path, mirror_files(needed(), bundle().files))
    done = subprocess.run([shellcheck, "--severity=style", *folder.glob("*.sh")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


# ---- the command ----


@pytest.fixture
def registry() -> Iterator[OciRegistry]:
    with OciRegistry() as fake:
        yield fake


def fill(registry: OciRegistry, host: str, but: str = "") -> None:
    for text in [image.at(host) for image in needed().images if not image.optional] + [each.at(host)[6:] for each in needed().charts]:
        name, _, target = text.partition("/")[2].rpartition("@" if "@" in text else ":")
        if not but or but not in text:
            registry.put_manifest(name, target, b"{}", "application/vnd.docker.distribution.manifest.list.v2+json")
            digests = {image.digest for image in needed().images if image.at(host) == text and image.digest}
            registry.manifests.update({(name, digest): registry.manifests[name, target] for digest in digests})


def test_a_check_reports_what_a_registry_lacks(registry: OciRegistry, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bundle.tar.gz").write_bytes(pack_bundle(bundle()))
    mirror = f"{registry.host}/x"
    line = ["mirror", str(tmp_path / "bundle.tar.gz"), "--check", mirror, "--plain-http"]
    fill(registry, mirror, "cert-manager")
    assert main(line) == 4
    done = capfd.readouterr()
    lacking = [text for text in done.out.splitlines() if "cert-manager" in text]
    assert lacking == done.out.splitlines() and f"{mirror}/charts/cert-manager:" in lacking[-1] and len(lacking) > 3
    assert f"{mirror}: {len(lacking)} of " in done.err
    fill(registry, mirror)
    assert main([*line, "-t", "json"]) == 0
    tree: dict[str, Any] = json.loads(capfd.readouterr().out)
    assert tree["missing"] == [] and tree["checked"] == len(pulled_images(bundle())) + len(needed().charts)


def test_a_tag_with_another_digest_is_no_image(registry: OciRegistry, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kind, digest = "application/vnd.oci.image.index.v1+json", f"sha256:{sha256(b'{}').hexdigest()}"
    entries = [{"image": f"r.example.com/a:1@{digest}", "component": "a"}, {"image": "r.example.com/b:1", "component": "a"}]
    document = json.dumps({"images": entries, "charts": [], "manifests": [], "unknown": []}).encode()
    sums = f"{sha256(document).hexdigest()}  images.json\n".encode()
    write_bundle(Bundle({"images.json": document, "checksums.txt": sums}, ()), str(tmp_path / "made"))
    line = ["mirror", str(tmp_path / "made"), "--check", registry.host, "--plain-http"]
    registry.put_manifest("a", "1", b"{ }", kind)
    registry.put_manifest("b", "1", b"{ }", kind)
    assert main(line) == 4
    assert capfd.readouterr().out == f"{registry.host}/a:1@{digest}\n"
    registry.put_manifest("a", "2", b"{}", kind)
    assert main(line) == 0


def test_a_registry_that_does_not_respond_is_no_registry_without_images(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_bundle(bundle(), str(tmp_path / "bundle"))
    assert main(["mirror", str(tmp_path / "bundle"), "--check", "127.0.0.1:1/x", "--plain-http", "--timeout", "1s"]) in (1, 124)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("media_type", ["text/html", ""])
def test_a_page_to_log_in_is_no_registry_with_all_images(
    registry: OciRegistry, tmp_path: Path, capfd: pytest.CaptureFixture[str], media_type: str
) -> None:
    registry.before = lambda received: Reply(200, b"<html>", {"Content-Type": media_type} if media_type else {})
    write_bundle(bundle(), str(tmp_path / "bundle"))
    assert main(["mirror", str(tmp_path / "bundle"), "--check", f"{registry.host}/x", "--plain-http"]) == 1
    done = capfd.readouterr()
    assert done.out == "" and f": unexpected content type: {media_type or 'none'}\n" in done.err


def test_the_command_lists_and_writes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_bundle(bundle(), str(tmp_path / "bundle"))
    assert main(["mirror", str(tmp_path / "bundle")]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert set(lines) >= pulled_images(bundle()) and all(any(each.name in line for line in lines) for each in needed().charts)
    assert main(["mirror", str(tmp_path / "bundle"), "-o", str(tmp_path / "mirror")]) == 0
    assert capfd.readouterr().out == ""
    assert {str(path.relative_to(tmp_path / "mirror")) for path in (tmp_path / "mirror").rglob("*") if path.is_file()} == set(files())
    assert os.access(tmp_path / "mirror" / "skopeo.sh", os.X_OK)
    assert main(["mirror", str(tmp_path / "bundle"), "-o", str(tmp_path / "mirror")]) == 2, "files of others are not overwritten"
    capfd.readouterr()
    assert main(["mirror", str(tmp_path / "bundle"), "-t", "json"]) == 0
    tree = json.loads(capfd.readouterr().out)
    assert {image["source"] for image in tree["images"] if "optional" not in image} == pulled_images(bundle())
    assert main(["mirror", str(tmp_path / "none")]) == 2
    (tmp_path / "bundle" / "images.json").write_text("{}")
    assert main(["mirror", str(tmp_path / "bundle")]) == 5
