"""Charts that a bundle carries: the right ones, the same bytes, nothing of them unpacked, and no chart repository is needed any more."""

from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
import tracemalloc
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.bundle.chart_archives import MAX_CHART_BYTES, read_charts
from eidos.bundle.tar_archive import pack_tar_gz
from eidos.bundle.verification import verify_bundle
from eidos.cli import main
from eidos.errors import EidosError, InvalidInput, NotFound
from eidos.model.bundle import Bundle
from eidos.model.recipe import Component, Recipe
from eidos.workflow import make_recipe, pack_bundle, write_bundle
from tests.bundle.test_deployers import objects, problems
from tests.support.bundle_files import build, load_documents, load_yaml

NGINX = Component("web", "nginx", "https://charts.example.com", "v1.2.0", "web")

REPOSITORY: dict[str, Any] = {"repo": "https://git.example.com/team/clusters.git", "path": "gpu/eks", "revision": "main"}


def chart(name: str, version: str, **files: bytes) -> bytes:
    """A packed chart."""
    about = f"apiVersion: v2\nname: {name}\nversion: {version}\n".encode()
    return pack_tar_gz({"Chart.yaml": about, "templates/a.yaml": b"kind: ConfigMap\n", **files}, f"{name}/")


@cache
def recipe() -> Recipe:
    return make_recipe({"os": "ubuntu", "service": "eks", "gpu": "h100", "intent": "training"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Charts of every component, one of them unpacked, some without the v of their version, and one that no component needs."""
    folder = tmp_path / "pulled"
    folder.mkdir()
    (folder / "other-1.0.0.tgz").write_bytes(b"not read")
    for number, component in enumerate(component for component in recipe().components if component.chart):
        version = component.version.lstrip("v") if number % 2 else component.version
        packed = chart(component.chart, version)
        if number:
            (folder / f"{component.chart}-{version}.tgz").write_bytes(packed)
        else:
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                archive.extractall(folder)
    return folder


#: Files that say what the bundle carries.
CHANGING = ("README.md", "attestations/statement.json", "checksums.txt", "images.json")


def names(bundle: Bundle) -> set[str]:
    return {path for path in bundle.files if path.startswith("charts/")}


def test_a_bundle_carries_the_charts_that_it_needs(folder: Path, tmp_path: Path) -> None:
    bundle = build(recipe(), charts=str(folder))
    charts = [component for component in recipe().components if component.chart]
    assert names(bundle) == {f"charts/{component.chart}-{component.version}.tgz" for component in charts}
    assert not bundle.missing_charts and not bundle.errors
    page = bundle.files["README.md"].decode()
    assert all(f"- `{component.chart}-{component.version}.tgz`\n" in page for component in charts) and "are missing" not in page
    assert build(recipe(), charts=str(folder)).files == bundle.files, "the same charts give the same bytes"
    rest = {path: content for path, content in bundle.files.items() if path not in names(bundle) and path not in CHANGING}
    assert rest.items() <= build(recipe()).files.items(), "nothing else changes"
    statement = bundle.files["attestations/statement.json"].decode()
    assert all(f'"name": "{path}"' in statement for path in names(bundle)) and str(folder) not in statement
    assert build(recipe(), charts=f"{folder}/.").files == bundle.files, "wherever they are"
    write_bundle(bundle, str(tmp_path / "bundle"))
    assert verify_bundle(str(tmp_path / "bundle")) == ()
    first = min(names(bundle))
    (tmp_path / "bundle" / first).write_bytes(b"another chart")
    assert [str(problem) for problem in verify_bundle(str(tmp_path / "bundle"))] == [f"changed: {first}"]


def test_unpacked_charts_are_packed_the_same_in_any_order_and_at_any_time(folder: Path) -> None:
    first = next(component for component in recipe().components if component.chart)
    before = build(recipe(), charts=str(folder)).files[f"charts/{first.chart}-{first.version}.tgz"]
    for path in sorted((folder / first.chart).rglob("*"), reverse=True):
        os.utime(path, (1, 1))
        path.chmod(0o777)
    assert build(recipe(), charts=str(folder)).files[f"charts/{first.chart}-{first.version}.tgz"] == before
    with tarfile.open(fileobj=io.BytesIO(before)) as archive:
        assert {f"{first.chart}/Chart.yaml", f"{first.chart}/templates/a.yaml"} <= set(archive.getnames())


def test_what_is_missing_is_named_with_the_command_that_fetches_it(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for path in folder.glob("cert-manager-*.tgz"):
        path.unlink()
    bundle = build(recipe(), charts=str(folder))
    (sentence,) = bundle.missing_charts
    version = next(component.version for component in recipe().components if component.id == "cert-manager")
    command = f"helm pull cert-manager --repo https://charts.jetstack.io --version {version} --destination"
    assert sentence == f"cert-manager: no chart cert-manager-{version}.tgz in {folder}: run '{command} {folder}'"
    assert f"$ {command} charts\n" in bundle.files["README.md"].decode()
    (tmp_path / "recipe.yaml").write_bytes(build(recipe()).files["recipe.yaml"])
    line = ["bundle", "-f", str(tmp_path / "recipe.yaml"), "--charts", str(folder), "-o", str(tmp_path / "bundle")]
    assert main(line) == 0 and f"warning: {sentence}" in capfd.readouterr().err
    assert main([*line, "--strict"]) == 4 and "--strict: charts are missing: 1 warning above" in capfd.readouterr().err
    assert (tmp_path / "bundle" / "charts").is_dir()


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such folder"):
        build(recipe(), charts=str(tmp_path / "none"))


def _links(folder: Path) -> None:
    (folder / "nginx").mkdir()
    (folder / "nginx" / "Chart.yaml").write_text("name: nginx\nversion: v1.2.0\n")
    (folder / "nginx" / "values.yaml").symlink_to("/etc/passwd")


def _older(folder: Path) -> None:
    (folder / "nginx-1.2.0").mkdir()
    (folder / "nginx-1.2.0" / "Chart.yaml").write_text("name: nginx\nversion: 1.1.0\n")


def _packed(content: bytes) -> Any:
    return lambda folder: (folder / "nginx-1.2.0.tgz").write_bytes(content)


def _of(*entries: tuple[str, bytes], level: int = 9) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=level) as archive:
        for path, content in entries:
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _large() -> bytes:
    """An archive that announces a file of 33 MiB."""
    entry = tarfile.TarInfo("nginx/values.yaml")
    entry.size = 33 << 20
    return gzip.compress(entry.tobuf())


ABOUT = b"name: nginx\nversion: 1.2.0\n"

#: What lies in the folder → what is said of it.
HOSTILE: dict[str, tuple[Any, str]] = {
    "another chart": (_packed(chart("apache", "1.2.0")), "no file nginx/Chart.yaml"),
    "another name": (
        _packed(_of(("nginx/Chart.yaml", b"name: apache\nversion: 1.2.0\n"))),
        "is chart 'apache' '1.2.0', expected nginx v1.2.0",
    ),
    "another version": (_packed(chart("nginx", "1.2.1")), "is chart 'nginx' '1.2.1', expected nginx v1.2.0"),
    "no name": (_packed(_of(("nginx/Chart.yaml", b"- 1\n"))), "is chart 'None' 'None'"),
    "two": (_packed(_of(("nginx/Chart.yaml", ABOUT), ("nginx/Chart.yaml", b"name: nginx\nversion: 6.6.6\n"))), "two files"),
    "not packed": (_packed(b"apiVersion: v2"), "damaged|truncated|not a"),
    "cut": (_packed(chart("nginx", "1.2.0")[:-9]), "truncated|damaged"),
    "too large": (_packed(b"\0" * (MAX_CHART_BYTES + 1)), "larger than 4 MiB"),
    "large inside": (_packed(_large()), "entry 1 is larger than 32 MiB"),
    "large description": (_packed(_of(("nginx/Chart.yaml", ABOUT + b"# " + b"x" * (1 << 20)))), "Chart.yaml is larger than 1 MiB"),
    "a pipe": (lambda folder: os.mkfifo(folder / "nginx-1.2.0.tgz"), "not a regular file"),
    "a link inside": (_links, "a link, which a chart cannot have"),
    "unpacked, another version": (_older, "is chart 'nginx' '1.1.0', expected nginx v1.2.0"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_the_chart_is_refused(name: str, tmp_path: Path) -> None:
    prepare, reason = HOSTILE[name]
    prepare(tmp_path)
    with pytest.raises(InvalidInput, match=reason):
        read_charts(str(tmp_path), [NGINX])


def test_charts_of_more_than_the_limit_are_refused(tmp_path: Path) -> None:
    noise = ("noise", bytes(3 << 20))
    about = b"name: %s\nversion: 1.0.0\n"
    components = [Component(f"web{number}", f"web{number}", "https://charts.example.com", "1.0.0", "web") for number in range(11)]
    for component in components:
        (tmp_path / f"{component.chart}-1.0.0.tgz").write_bytes(
            _of((f"{component.chart}/Chart.yaml", about % component.chart.encode()), noise, level=0)
        )
    assert len(read_charts(str(tmp_path), components[:10])[0]) == 10
    with pytest.raises(InvalidInput, match="the charts are larger than 32 MiB"):
        read_charts(str(tmp_path), components)


@given(content=st.binary(max_size=400), cut=st.integers(0, 400), flip=st.integers(0, 255))
@pytest.mark.parametrize("how", ["bytes", "packed", "cut", "flipped"])
def test_any_file_is_a_chart_or_refused(how: str, content: bytes, cut: int, flip: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    good = bytearray(chart("nginx", "1.2.0"))
    if how == "flipped":
        good[cut % len(good)] ^= flip
    texts = {"bytes": content, "packed": gzip.compress(content), "cut": bytes(good[:cut]), "flipped": bytes(good)}
    folder = tmp_path_factory.getbasetemp()
    (folder / "nginx-1.2.0.tgz").write_bytes(texts[how])
    try:
        archives, _ = read_charts(str(folder), [NGINX])
        assert archives["web"].content == texts[how]
    except EidosError:
        pass


def test_packing_holds_no_second_copy_of_all_charts() -> None:
    files = {f"charts/{number}.tgz": random.Random(number).randbytes(2 << 20) for number in range(4)}
    bundle = Bundle(files, ())
    tracemalloc.start()
    try:
        packed = pack_bundle(bundle)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.3 * len(packed), "the parts of the archive, and these joined"


# ---- deployers ----


@pytest.fixture
def small(tmp_path: Path) -> Recipe:
    """A recipe of two components, one of them from a registry."""
    tree = recipe().to_tree()
    tree["components"] = [entry for entry in tree["components"] if entry["id"] in ("cert-manager", "kai-scheduler", "gpu-operator")]
    for entry in tree["components"]:
        entry.pop("depends", None)
        (tmp_path / f"{entry['chart']}-{entry['version']}.tgz").write_bytes(chart(entry["chart"], entry["version"]))
    return Recipe.from_tree(tree, "recipe")


def deployed(small: Recipe, folder: Path, deployer: str) -> Bundle:
    sets = ["kube-prometheus-stack:enabled=false"]
    return build(small, charts=str(folder), deployer=deployer, sets=sets, **(REPOSITORY if deployer in ("argocd", "flux") else {}))


def test_a_helmfile_takes_charts_from_the_bundle(small: Recipe, tmp_path: Path) -> None:
    bundle = deployed(small, tmp_path, "helmfile")
    tree = load_yaml(bundle.files["helmfile.yaml"])
    assert "repositories" not in tree
    for release in tree["releases"]:
        if not release["name"].endswith("-manifests"):
            assert "version" not in release and release["chart"].removeprefix("./") in bundle.files
    assert any(release.get("needs") for release in tree["releases"]) and "- `cert-manager-" in bundle.files["README.md"].decode()


def test_releases_of_flux_take_charts_from_the_repository(small: Recipe, tmp_path: Path) -> None:
    bundle = deployed(small, tmp_path, "flux")
    assert not [path for path in bundle.files if path.endswith("-source.yaml") and path != "flux/bundle-source.yaml"]
    assert "flux/bundle-source.yaml" in bundle.files
    for component in small.components:
        (release,) = load_documents(bundle.files[f"flux/{component.id}.yaml"])
        spec = release["spec"]["chart"]["spec"]
        assert spec["sourceRef"] == {"kind": "GitRepository", "name": "eidos-bundle"} and spec["reconcileStrategy"] == "Revision"
        assert spec["chart"].startswith("./gpu/eks/charts/") and spec["chart"].removeprefix("./gpu/eks/") in bundle.files
        assert "chartRef" not in release["spec"]


@pytest.mark.parametrize("deployer", ["argocd", "flux"])
def test_every_object_is_what_its_definition_accepts(deployer: str, small: Recipe, tmp_path: Path) -> None:
    made = objects(deployed(small, tmp_path, deployer))
    assert len(made) > len(small.components) and not [problem for tree in made.values() for problem in problems(tree)]


def test_applications_take_a_chart_around_the_packed_one(small: Recipe, tmp_path: Path) -> None:
    bundle = deployed(small, tmp_path, "argocd")
    for component in small.components:
        (application,) = load_documents(bundle.files[f"argocd/{component.id}.yaml"])
        source = application["spec"]["source"]
        assert "sources" not in application["spec"] and source["path"] == f"gpu/eks/charts/{component.id}"
        assert source["helm"] == {"releaseName": component.id}
        own = load_yaml(bundle.files[f"{component.id}/values.yaml"]) or {}
        assert load_yaml(bundle.files[f"charts/{component.id}/values.yaml"]) == {component.chart: own}
        assert f"charts/{component.id}/charts/{component.chart}-{component.version}.tgz" in bundle.files
    assert not [path for path in bundle.files if path.startswith("charts/") and path.count("/") == 1]


@pytest.mark.slow
def test_helm_renders_the_chart_around_it_alike(small: Recipe, tmp_path: Path, tools: dict[str, str]) -> None:
    import subprocess

    template = b"kind: ConfigMap\napiVersion: v1\nmetadata: {name: {{ .Release.Name }}}\ndata: {values: {{ toJson .Values | quote }}}\n"
    for component in small.components:
        about = f"apiVersion: v2\nname: {component.chart}\nversion: {component.version}\ndependencies:\n"
        about += "".join(f"  - {{name: {name}, version: 1.0.0, condition: {name}.enabled}}\n" for name in ("used", "unused"))
        content = {"Chart.yaml": about.encode(), "values.yaml": b"own: 1\nused: {enabled: true}\nunused: {enabled: false}\n"}
        for name in ("used", "unused"):
            content[f"charts/{name}/Chart.yaml"] = f"apiVersion: v2\nname: {name}\nversion: 1.0.0\n".encode()
            content[f"charts/{name}/templates/a.yaml"] = template
        packed = pack_tar_gz({**content, "templates/a.yaml": template}, f"{component.chart}/")
        (tmp_path / f"{component.chart}-{component.version}.tgz").write_bytes(packed)
    bundle = deployed(small, tmp_path, "argocd")
    write_bundle(bundle, str(tmp_path / "bundle"))
    for component in small.components:
        folder = tmp_path / "bundle" / "charts" / component.id
        (archive,) = (folder / "charts").iterdir()
        values = str(tmp_path / "bundle" / component.id / "values.yaml")
        lines = [["template", component.id, str(folder)], ["template", component.id, str(archive), "--values", values]]
        wrapped, plain = (
            load_documents(subprocess.run([tools["helm"], *line], capture_output=True, text=True, check=True, timeout=60).stdout)
            for line in lines
        )
        assert len(plain) == 2, "the chart and its dependency that is on"
        for each in (wrapped, plain):
            for tree in each:
                values_of = load_yaml(tree["data"]["values"])
                values_of.pop("global", None)  # helm gives it to every dependency
                values_of.pop("used", None)
                tree["data"] = values_of
        assert wrapped == plain


@pytest.mark.slow
def test_manifests_are_rendered_from_the_charts(
    small: Recipe, tmp_path: Path, tools: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(tools['helm']).parent}:{os.environ['PATH']}")
    bundle = deployed(small, tmp_path, "manifests")
    rendered = [path for path in bundle.files if path.startswith("rendered/")]
    assert len(rendered) == len(small.components) and not names(bundle)
    assert all(b"kind: ConfigMap" in bundle.files[path] for path in rendered)
    assert "charts/" not in bundle.files["README.md"].decode()
