"""``eidos bundle`` and ``eidos verify`` as their users run them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from eidos.cli import main
from eidos.cli.verify import LIMITS
from tests.support.program import PROGRAM, Result, eidos, environment


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    assert eidos("recipe", "--gpu", "h100", "--service", "eks", "--os", "ubuntu", "-o", str(path)).status == 0
    return path


def bundle(recipe: Path, *arguments: str, cwd: Path | None = None) -> Result:
    return eidos("bundle", "-f", str(recipe), "-b", "cert-manager", *arguments, cwd=cwd)


def test_a_folder_an_archive_or_both(recipe: Path, tmp_path: Path) -> None:
    done = bundle(recipe, cwd=tmp_path)
    assert done.status == 0
    assert done.out == "", "the report is for people"
    assert "cert-manager" in done.err and "./bundle" in done.err
    assert os.listdir(tmp_path) == ["bundle"]
    assert bundle(recipe, "--archive", "out.tar.gz", cwd=tmp_path).status == 0
    assert sorted(os.listdir(tmp_path)) == ["bundle", "out.tar.gz"]
    assert bundle(recipe, "-o", "other", "--archive", "other.tar.gz", cwd=tmp_path).status == 0
    assert (tmp_path / "other.tar.gz").read_bytes() == (tmp_path / "out.tar.gz").read_bytes()
    for location in ("bundle", "other", "out.tar.gz"):
        verified = eidos("verify", location, cwd=tmp_path)
        assert (verified.status, verified.out) == (0, f"{location}: OK\n{LIMITS}\n")


def test_the_repository_of_the_environment_or_of_the_settings_is_for_bundles_that_read_it(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "eidos").mkdir()
    url = "https://git.example.com/team/clusters.git"
    (tmp_path / "eidos" / "config.yaml").write_text(f"bundle: {{repo: {url}}}\n")
    for variables in ({"EIDOS_REPO": url}, {"XDG_CONFIG_HOME": str(tmp_path)}):
        for deployer in ("helm", "helmfile", "argocd"):
            folder = tmp_path / f"{deployer}-{'-'.join(variables)}"
            words = ("bundle", "-f", str(recipe), "-b", "cert-manager", "--deployer", deployer)
            done = eidos(*words, "-o", str(folder), env=variables)
            assert done.status == 0, done.err
            assert (url in (folder / "README.md").read_text()) == (deployer == "argocd")
    done = bundle(recipe, "--deployer", "helmfile", "--repo", url, cwd=tmp_path)
    assert done.status == 2 and "--repo is for deployers that read a git repository" in done.err


def test_standard_input_and_output(recipe: Path, tmp_path: Path) -> None:
    command = [*PROGRAM, "bundle", "-f", "-", "-b", "cert-manager", "--archive", "-"]
    done = subprocess.run(command, input=recipe.read_bytes(), capture_output=True, env=environment(), cwd=tmp_path, check=True)
    assert done.stdout[:2] == b"\x1f\x8b"
    assert os.listdir(tmp_path) == []
    again = subprocess.run(
        command, input=json.dumps(yaml.safe_load(recipe.read_bytes())).encode(), capture_output=True, env=environment(), check=True
    )
    assert again.stdout == done.stdout, "the recipe as JSON is the same recipe"


def test_the_report_for_programs(recipe: Path, tmp_path: Path) -> None:
    done = bundle(recipe, "-o", str(tmp_path / "b"), "-t", "json")
    report = json.loads(done.out)
    assert done.err == ""
    assert report["folder"] == str(tmp_path / "b")
    assert report["files"] == sum(len(files) for _, _, files in os.walk(tmp_path / "b"))
    assert report["bytes"] == sum(path.stat().st_size for path in (tmp_path / "b").rglob("*") if path.is_file())
    (component,) = report["components"]
    assert component["id"] == "cert-manager"
    assert component["milliseconds"] >= 0
    assert "scripts/install.sh" in component["files"]


def test_logs(recipe: Path, tmp_path: Path) -> None:
    done = bundle(recipe, "-o", str(tmp_path / "b"), "--log-level", "debug", "--log-format", "json")
    lines = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    infos = [line for line in lines if line["level"] == "info"]
    assert infos[0]["msg"] == "building a bundle"
    assert infos[-1]["msg"] == "built a bundle"
    assert [line["duration_ms"] >= 0 for line in infos if line.get("component") == "cert-manager"] == [True]
    assert {line["path"] for line in lines if line["level"] == "debug" and "path" in line} >= {"values.yaml", "scripts/install.sh"}


def test_bytes_that_are_no_text_are_refused(recipe: Path, tmp_path: Path) -> None:
    command = [*map(os.fsencode, PROGRAM), b"bundle", b"-f", os.fsencode(recipe), b"--set", b"gpu-operator:mig.strategy=\xff\xfe"]
    done = subprocess.run(command, capture_output=True, env=environment(), cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert b"--set: " in done.stderr and b"is not UTF-8" in done.stderr
    assert os.listdir(tmp_path) == []


def test_a_device_is_no_bundle() -> None:
    done = eidos("verify", "/dev/null")
    assert done.status == 2
    assert "not a folder or a file" in done.err


def test_what_is_refused_before_anything_is_written(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    (tmp_path / "values.yaml").write_text("nosuch: 1\n")
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "yes.yaml").write_text("driver: {enabled: yes}\n")
    for arguments, status, says in (
        (["bundle"], 2, "needs a recipe"),
        (["bundle", "-f", "nosuch.yaml"], 2, "no such file"),
        (["bundle", "-f", "list.yaml"], 2, "expected a mapping"),
        (["bundle", "-f", str(recipe), "-b", "cert-manger"], 2, "did you mean 'cert-manager'?"),
        (["bundle", "-f", str(recipe), "--set", "nosuch:foo=bar"], 2, "'nosuch'"),
        (["bundle", "-f", str(recipe), "--set", "gpu-operator:driver.enbled=true"], 2, "driver.enabled"),
        (["bundle", "-f", str(recipe), "--values", "gpu-operator=values.yaml"], 2, "values.yaml: the chart has no value nosuch"),
        (["bundle", "-f", str(recipe), "--values", "gpu-operator=list.yaml"], 2, "expected a mapping"),
        (["bundle", "-f", str(recipe), "--values", "gpu-operator=yes.yaml"], 2, "hint: write true or false, without quotes"),
        (["bundle", "-f", str(recipe), "--values", "gpu-operator=no.yaml"], 2, "no such file"),
        (["bundle", "-f", str(recipe), "--values", "x"], 2, "COMPONENT=FILE"),
        (["bundle", "-f", str(recipe), "--namespace", "A"], 2, "invalid namespace"),
        (["bundle", "-f", str(recipe), "--registry", "https://x"], 2, "invalid registry"),
        (["bundle", "-f", str(recipe), "--archive", "x.tar.zst"], 2, "hint: use --archive NAME.tar.gz"),
        (["bundle", "-f", str(recipe), "--archive", "x.tar.Z"], 2, "hint: use --archive NAME.tar.gz"),
        (["bundle", "-f", str(recipe), "--archive", "x.tbz"], 2, "hint: use --archive NAME.tar.gz"),
        (
            ["bundle", "-f", str(recipe), "-o", "x.zip"],
            2,
            "error: --output: 'x.zip' is an archive; expected a folder\nhint: use --archive x.zip",
        ),
        (["bundle", "-f", str(recipe), "--images", ".", "-o", "https://s3.example.com/x?s=y"], 2, "run 'eidos push bundle.tar.gz oci://"),
        (["bundle", "-f", str(recipe), "-o", "full"], 2, "has files that do not belong to a bundle"),
        (["bundle", "-f", str(recipe), "-o", "-"], 2, "--archive -"),
        (["bundle", "-f", str(recipe), "-o", "no/such"], 1, "does not exist"),
        (["bundle", "-f", str(recipe), "--archive", "no/such.tar.gz"], 1, "does not exist"),
        (["bundle", "-f", str(recipe), "-o", "b", "--archive", "b/x.tar.gz"], 2, "is inside the folder"),
        (["bundle", "-f", str(recipe), "--archive", "-", "-t", "json"], 2, "standard output"),
        (["bundle", "-f", str(recipe), "--templates", "nosuch"], 2, "no such folder"),
        (["bundle", "-f", str(recipe), "--data", "nosuch"], 2, "nosuch"),
        (["bundle", "-f", str(recipe), "-t", "xml"], 2, "'xml'"),
        (["bundle", "lint", "-f", str(recipe)], 2, "does not take"),
        (["verify"], 2, "needs a bundle"),
        (["verify", "nosuch"], 2, "no such"),
    ):
        done = eidos(*arguments, cwd=tmp_path)
        assert done.status == status, (arguments, done.err)
        assert says in done.err, (arguments, done.err)
        assert "Traceback" not in done.err
    assert sorted(os.listdir(tmp_path)) == ["full", "list.yaml", "values.yaml", "yes.yaml"]


def test_a_component_that_fails_costs_itself(recipe: Path, tmp_path: Path) -> None:
    mine = tmp_path / "templates" / "cert-manager"
    mine.mkdir(parents=True)
    (mine / "values.yaml").write_text("a: '@{nosuch}'\n")
    arguments = ["bundle", "-f", str(recipe), "--templates", "templates", "-o", "out"]
    done = eidos(*arguments, cwd=tmp_path)
    assert done.status == 1
    assert "error: cert-manager: templates/cert-manager/values.yaml, line 1: undefined variable 'nosuch'" in done.err
    assert "error: 1 of " in done.err
    assert not (tmp_path / "out" / "cert-manager").exists()
    assert (tmp_path / "out" / "gpu-operator" / "values.yaml").exists()
    assert "cert-manager" in (tmp_path / "out" / "incomplete.txt").read_text()
    assert eidos("verify", "out", cwd=tmp_path).status == 0
    done = eidos(*arguments[:-1], "strict", "--fail-fast", cwd=tmp_path)
    assert done.status in (1, 2)
    assert not (tmp_path / "strict").exists()
    done = eidos(*arguments[:-1], "none", "-b", "cert-manager", cwd=tmp_path)
    assert done.status == 1
    assert not (tmp_path / "none").exists(), "nothing could be made, so nothing is there"


def test_serial_is_the_same(recipe: Path, tmp_path: Path) -> None:
    for name, more in (("a", []), ("b", ["--serial"])):
        assert eidos("bundle", "-f", str(recipe), "--archive", f"{name}.tar.gz", *more, cwd=tmp_path).status == 0
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_values_may_hold_commas_and_repeat(recipe: Path, tmp_path: Path) -> None:
    done = eidos(
        *("bundle", "-f", str(recipe), "-b", "gpu-operator", "-o", "out", "--namespace", "gpu-operator=gpus"),
        *("--set", "gpu-operator:toolkit.env=[{name: A, value: 'b,c'}]", "--set", "gpu-operator:mig.strategy=single"),
        *("--set", "gpu-operator:mig.strategy=mixed", "--set", "gpu-operator:mig.strategy=single"),
        cwd=tmp_path,
    )
    assert done.status == 0, done.err
    values = yaml.safe_load((tmp_path / "out" / "gpu-operator" / "values.yaml").read_text())
    assert values["toolkit"]["env"] == [{"name": "A", "value": "b,c"}]
    assert values["mig"]["strategy"] == "single"
    assert "namespace='gpus'" in (tmp_path / "out" / "gpu-operator" / "component.sh").read_text()


def test_verify_lists_what_is_wrong(recipe: Path, tmp_path: Path) -> None:
    assert bundle(recipe, "-o", "out", cwd=tmp_path).status == 0
    (tmp_path / "out" / "recipe.yaml").write_text("kind: Recipe\n")
    (tmp_path / "out" / "evil\x1b[31m.sh").write_text("x")
    done = eidos("verify", "out", cwd=tmp_path)
    assert done.status == 5
    assert done.out.splitlines() == ["added: evil\\x1b[31m.sh", "changed: recipe.yaml"]
    tree = json.loads(eidos("verify", "out", "-t", "json", cwd=tmp_path).out)
    assert tree["ok"] is False
    assert [fault["kind"] for fault in tree["faults"]] == ["added", "changed"]
    (tmp_path / "file.tar.gz").write_bytes(b"\x1f\x8bnonsense")
    assert eidos("verify", "file.tar.gz", cwd=tmp_path).status == 5


@pytest.mark.slow
def test_templates_are_checked(tmp_path: Path) -> None:
    done = eidos("bundle", "lint")
    assert done.status == 0, done.out
    assert done.out.splitlines()[-1].startswith("0 errors")
    mine = tmp_path / "templates" / "cert-manager"
    mine.mkdir(parents=True)
    (mine / "values.yaml").write_text("a: '@{compnent.id}'\nb: [\n")
    done = eidos("bundle", "lint", "--templates", "templates", "-t", "json", cwd=tmp_path)
    assert done.status == 4
    assert json.loads(done.out)["faults"][0]["place"].startswith("templates/cert-manager/values.yaml")


def test_help_names_every_flag() -> None:
    done = eidos("bundle", "--help")
    for flag in ("--bundlers", "--set", "--values", "--registry", "--archive", "--force", "--fail-fast", "--accelerated-toleration"):
        assert flag in done.out
    assert "BUNDLE" in eidos("verify", "--help").out


def test_it_imports_no_reader_of_yaml_for_a_recipe_of_its_own(recipe: Path, tmp_path: Path, pyz: Path) -> None:
    """A bundle of an own recipe is made without PyYAML, OpenSSL, tarfile and the like: they cost more than all the rest."""
    command = [sys.executable, "-I", "-S", "-X", "importtime", str(pyz), "bundle", "-q", "-f", str(recipe), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert not imported & {"yaml", "_hashlib", "tarfile", "difflib", "logging", "typing", "dataclasses", "inspect", "shlex", "gzip"}


@pytest.mark.parametrize("flags", [("--values", "gpu-operator=-"), ("--existing", "-")])
def test_standard_input_is_one_document(
    recipe: Path, flags: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(recipe.read_bytes())))
    assert main(["bundle", "-f", "-", *flags]) == 2
    assert capsys.readouterr().err.endswith("standard input cannot be two documents\nhint: name a file for one of them\n")
    assert not (tmp_path / "bundle").exists()
