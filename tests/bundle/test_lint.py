"""What lint finds in templates."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from eidos.bundle import template_sets
from eidos.bundle.template_lint import lint_templates
from eidos.bundle.template_sets import Templates
from eidos.cli import main
from eidos.recipe.charts import component_ids

INDEX: dict[str, Any] = {"version": "1.0.0", "recipe": "recipe.dgxc.io/v1"}


def faults(contents: dict[str, Any], files: list[dict[str, Any]], *, shell: bool = False, **index: Any) -> list[str]:
    reports = lint_templates(Templates({"x/bundle.yaml": [{**INDEX, "files": files, **index}], **contents}), ["x"], shell=shell)
    return [str(fault).removeprefix("templates/bundles/x/") for fault in reports]


@pytest.mark.slow
def test_the_shipped_templates_are_clean() -> None:
    reports = [fault for fault in lint_templates(template_sets.shipped_templates(), component_ids()) if not fault.rule.startswith("no-")]
    assert reports == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("values.yaml", "a: 1\nb: '@{compnent.id}'\n", "values.yaml:2: error: undefined variable 'compnent.id' [unknown-name]"),
        ("values.yaml", "a: 1\na: 2\n", "values.yaml: error: "),
        ("values.yaml", "a: [\n", "values.yaml: error: "),
        ("values.yaml", "a: '@{x'\n", "unclosed placeholder"),
        ("values.yaml", "a: '@{}'\n", "invalid placeholder"),
        ("values.yaml", "a: '@{a b}'\n", "invalid placeholder"),
        ("values.yaml", "'@{component.id}': 1\n", "a placeholder in a key"),
        ("README.md", "one\n@{setting.none}\n", "README.md:2: error: undefined variable 'setting.none'"),
        ("README.md", "@{order}\n", "undefined variable 'order'"),
        ("a.sh", 'x="@{component.id}"\n', "a.sh:1: error: a placeholder inside quotes"),
        ("a.sh", "# for @{component.id}\n", "a placeholder in a comment"),
        ("a.sh", "x=a@{component.id}\n", "in the middle of a word"),
    ],
)
def test_what_is_wrong_is_reported(name: str, text: str, says: str) -> None:
    reports = faults({f"x/{name}": text}, [{"template": name}])
    assert any(says in fault for fault in reports), reports


def test_the_index_is_checked() -> None:
    assert "bundle.yaml: fils: error: unknown key [unknown-key]" in faults({}, [], fils=[])
    assert any("files[0].targt" in fault for fault in faults({"x/a.md": ""}, [{"template": "a.md", "targt": "b"}]))
    assert any("no such template" in fault for fault in faults({}, [{"template": "a.md"}]))
    assert any("not a path below" in fault for fault in faults({"x/a.md": ""}, [{"template": "a.md", "target": "../a"}]))
    assert any("reserved: eidos writes it" in fault for fault in faults({"x/a.md": ""}, [{"template": "a.md", "target": "checksums.txt"}]))
    assert any("these templates need" in fault for fault in faults({}, [], recipe="recipe.dgxc.io/v9"))
    assert any("version" in fault for fault in faults({}, [], version=1))
    assert any("unknown template set 'evry'" in fault for fault in faults({}, [], extends="evry"))
    assert any("when" in fault for fault in faults({"x/a.md": ""}, [{"template": "a.md", "when": "nosuch"}]))
    assert any("unknown file" in fault for fault in faults({"x/b.md": ""}, []))
    assert any("unknown component 'x'" in str(fault) for fault in lint_templates(Templates({"x/bundle.yaml": [INDEX]}), ["y"]))


def test_settings_are_names() -> None:
    assert (
        faults(
            {"x/a.md": "@{setting.a} @{setting.b} @{setting.c}"},
            [{"template": "a.md"}],
            settings={"a": 1},
            versions={"1": {"b": 2}},
            services={"eks": {"c": 3}},
        )
        == []
    )


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck here")
def test_shellcheck_is_run() -> None:
    reports = faults({"x/a.sh": "#!/usr/bin/env bash\nx=@{component.id}\necho $1\n"}, [{"template": "a.sh"}], shell=True)
    assert any("a.sh:3: error" in fault and "SC2086" in fault for fault in reports), reports


def test_bash_is_run() -> None:
    reports = faults({"x/a.sh": "#!/usr/bin/env bash\nif true; then\n"}, [{"template": "a.sh"}], shell=True)
    assert any("a.sh" in fault and "[bash]" in fault for fault in reports), reports


@pytest.mark.slow
def test_a_file_of_values_that_no_bundle_reads_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "values" / "gpu-operator"
    folder.mkdir(parents=True)
    (folder / "v26.7.0.key.yaml").write_text("{}\n")
    assert main(["bundle", "lint", "--data", str(tmp_path)]) == 4
    assert "values/gpu-operator/v26.7.0.key.yaml: error: unknown file [unknown-file]" in capfd.readouterr().out
