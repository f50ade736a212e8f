"""``eidos recipe`` from its built file: queries, snapshots, other data, and everything that is no snapshot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from eidos.cli import recipe_query

ROOT = Path(__file__).resolve().parent.parent.parent
SHARED = ROOT.parent / "shared" / "fixtures"

SNAPSHOT = """
kind: Snapshot
apiVersion: snapshot.dgxc.io/v1
metadata: {source-node: gpu-07}
measurements:
  - type: OS
    subtypes:
      - subtype: release
        data: {ID: ubuntu, VERSION_ID: "24.04"}
      - subtype: sysctl
        data: {/proc/sys/kernel/osrelease: 6.8.0-1024-aws}
  - type: K8s
    subtypes:
      - subtype: server
        data: {version: v1.33.5-eks-3025e55}
      - subtype: node
        data: {provider: eks}
  - type: GPU
    subtypes:
      - subtype: smi
        data: {gpu.model: NVIDIA H100 80GB HBM3}
"""


def recipe(pyz: Path, *words: str, stdin: bytes | None = None, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    # A day on which nothing of the snapshots has ended.
    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "EIDOS_TODAY": "2025-12-01", **(env or {})}
    done = subprocess.run(
        [sys.executable, "-I", str(pyz), "recipe", *words],
        input=stdin or b"",
        env=environ,
        cwd="/",
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert b"Traceback" not in done.stderr
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def document(pyz: Path, *words: str, stdin: bytes | None = None) -> dict[str, Any]:
    status, out, errors = recipe(pyz, *words, stdin=stdin)
    assert status == 0, errors
    tree: dict[str, Any] = yaml.safe_load(out)
    return tree


def test_no_flag_gives_the_base_with_all_its_heads(pyz: Path) -> None:
    tree = document(pyz)
    assert (tree["kind"], tree["apiVersion"]) == ("Recipe", "recipe.dgxc.io/v1")
    assert set(tree["metadata"]) == {"recipe-timestamp", "recipe-version", "recipe-data"}
    assert tree["request"] == {}
    assert tree["matchedRules"] == ["base.yaml: any"]
    assert [m["type"] for m in tree["measurements"]] == [
        t for t in ("K8s", "SystemD", "OS", "GPU") if t in {m["type"] for m in tree["measurements"]}
    ]
    assert all(set(c) == {"name", "value"} for c in tree["constraints"])


def test_a_query_with_aliases_and_versions_as_they_are_written(pyz: Path) -> None:
    tree = document(
        pyz,
        "--os=Ubuntu",
        "--osv=24.04",
        "--kernel=6.8.0-1028-aws",
        "--service",
        "eks",
        "--k8s=v1.33.5-eks-3025e55",
        "--gpu=H100",
        "--intent",
        "training",
    )
    assert tree["request"] == {
        "os": "ubuntu",
        "osv": "24.04",
        "kernel": "6.8.0-1028-aws",
        "service": "eks",
        "k8s": "v1.33.5-eks-3025e55",
        "gpu": "h100",
        "intent": "training",
    }
    assert any("gpu=h100" in rule for rule in tree["matchedRules"])
    assert "recipe-uncovered" not in tree["metadata"]


@pytest.mark.parametrize("how", ["file", "stdin", "json"])
def test_a_snapshot_gives_the_query_and_a_flag_wins_over_it(pyz: Path, tmp_path: Path, how: str) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(json.dumps(yaml.safe_load(SNAPSHOT)) if how == "json" else SNAPSHOT)
    words = ["-f", "-"] if how == "stdin" else ["-f", str(file)]
    stdin = SNAPSHOT.encode() if how == "stdin" else None
    request = document(pyz, *words, "--intent", "training", stdin=stdin)["request"]
    assert request == {
        "os": "ubuntu",
        "osv": "24.04",
        "kernel": "6.8.0-1024-aws",
        "service": "eks",
        "k8s": "v1.33.5-eks-3025e55",
        "gpu": "h100",
        "intent": "training",
    }
    assert document(pyz, *words, "--gpu", "b200", "--osv", "22.04", stdin=stdin)["request"] == {
        **{k: v for k, v in request.items() if k != "intent"},
        "gpu": "b200",
        "osv": "22.04",
    }


@pytest.mark.shared
def test_the_snapshot_that_the_go_program_wrote(pyz: Path) -> None:
    file = SHARED / "snapshots" / "h100-eks.yaml"
    if not file.exists():
        pytest.skip(f"{file} is not here")
    status, out, errors = recipe(pyz, "-f", str(file), "--intent", "training")
    assert status == 0
    assert yaml.safe_load(out)["request"] == {
        "os": "ubuntu",
        "osv": "24.04",
        "kernel": "6.8.0-1024-aws",
        "service": "eks",
        "k8s": "v1.30.14-eks-3025e55",
        "gpu": "h100",
        "intent": "training",
    }
    assert "Ubuntu 24.04.3 LTS" in errors and "Ubuntu 22.04.5 LTS" in errors


def test_a_snapshot_of_this_machine_is_one(pyz: Path, tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    subprocess.run([sys.executable, "-I", str(pyz), "snapshot", "--quiet", "--only", "os", "-o", str(file)], check=True)
    status, out, errors = recipe(pyz, "-f", str(file))
    assert status == 0
    assert "K8s" in errors and "GPU" in errors  # what is missing is named
    assert yaml.safe_load(out)["request"].get("os")


def test_context_and_explanation(pyz: Path) -> None:
    plain = document(pyz, "--gpu", "h100", "--service", "eks")
    assert not any("context" in s for m in plain["measurements"] for s in m["subtypes"])
    tree = document(pyz, "--gpu", "h100", "--service", "eks", "--context", "--explain")
    for measurement in tree["measurements"]:
        for subtype in measurement["subtypes"]:
            assert set(subtype["context"]) == set(subtype["data"])
    assert all(constraint["why"] for constraint in tree["constraints"])
    paths = {entry["path"] for entry in tree["explanation"]}
    assert paths >= {f"{m['type']}.{s['subtype']}.{key}" for m in plain["measurements"] for s in m["subtypes"] for key in s["data"]}
    assert all(entry.get("sources") or all(step["sources"] for step in entry["layers"]) for entry in tree["explanation"])


ONE_FILE = """
base:
  - type: os
    subtypes: [{subtype: grub, data: {iommu: "on", quiet: ""}}]
overlays:
  - key: {service: eks, gpu: h100}
    types:
      - type: os
        subtypes: [{subtype: grub, data: {iommu: pt}}]
"""


def test_explain_shows_what_a_layer_replaced(pyz: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(ONE_FILE)
    tree = document(pyz, "--data", str(file), "--gpu", "h100", "--service", "eks", "--explain")
    entry = next(entry for entry in tree["explanation"] if entry["path"] == "OS.grub.iommu")
    assert (entry["value"], entry["replaced"]) == ("pt", [{"layer": f"{file}:base", "value": "on"}])
    assert "overlays[0]" in entry["layer"]


def test_a_generic_recipe_is_a_warning_and_with_strict_a_finding(pyz: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(ONE_FILE)
    for query, field, nearest in (
        (["--gpu", "h100"], "gpu", "service=eks, gpu=h100"),
        (["--service", "aks", "--gpu", "h100"], "gpu, service", "service=eks, gpu=h100"),
        (["--service", "eks", "--gpu", "h200"], "gpu, service", "service=eks, gpu=h100"),
    ):
        status, out, errors = recipe(pyz, "--data", str(file), *query)
        assert status == 0
        tree = yaml.safe_load(out)
        assert tree["metadata"]["recipe-uncovered"] == field
        assert tree["generic"] == [*field.split(", "), *(["gpu+service"] if "--service" in query else [])]
        assert "warning: nothing specific to " in errors and "the nearest covered query is" in errors and nearest in errors
        status, again, errors = recipe(pyz, "--data", str(file), *query, "--strict")
        assert (status, again) == (4, out)
        assert "--strict" in errors
    assert recipe(pyz, "--data", str(file), "--gpu", "h100", "--service", "eks", "--strict")[0] == 0


PLAIN_STRICT = ("--gpu", "h100", "--service", "eks", "--strict")


def node_file(tmp_path: Path, **changes: str) -> str:
    """A snapshot of an H100 node of EKS on which each constraint of its recipe holds, with some texts replaced."""
    text = SNAPSHOT.replace(
        "data: {gpu.model: NVIDIA H100 80GB HBM3}", 'data: {gpu.model: NVIDIA H100 80GB HBM3, driver: 580.126.20, cuda-version: "13.0"}'
    )
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "node.yaml"
    file.write_text(text)
    return str(file)


def test_strict_judges_each_constraint_by_the_snapshot(pyz: Path, tmp_path: Path) -> None:
    status, out, errors = recipe(pyz, "-f", node_file(tmp_path), "--strict")
    assert (status, errors) == (0, "")
    assert yaml.safe_load(out)["generic"] == []
    assert any(constraint["name"] == "GPU.smi.driver" for constraint in yaml.safe_load(out)["constraints"])
    for changes, expected in (
        ({"580.126.20": "450.80.02"}, "the recipe requires GPU.smi.driver >= 525.85.12, not 450.80.02"),
        ({'"13.0"': '"11.0"'}, "the recipe requires GPU.smi.cuda-version >= 11.8, not 11.0"),
        (
            {"v1.33.5-eks-3025e55": "v1.30.14-eks-3025e55"},
            "the recipe requires K8s.server.version >= 1.33, <= 1.36, not v1.30.14-eks-3025e55",
        ),
        (
            {", driver: 580.126.20": ""},
            "the recipe requires GPU.smi.driver >= 525.85.12, which cannot be judged for this snapshot: no such reading",
        ),
        ({"580.126.20": "<withheld>"}, "which cannot be judged for this snapshot: withheld"),
        ({"580.126.20": "unknown"}, "which cannot be judged for this snapshot: it is 'unknown'"),
    ):
        status, again, errors = recipe(pyz, "-f", node_file(tmp_path, **changes), "--strict")
        assert (status, again.startswith("kind: Recipe")) == (4, True)
        assert f"error: --strict: {expected}\n" in errors or expected in errors
        assert recipe(pyz, "-f", node_file(tmp_path, **changes))[0] == 0


def test_strict_judges_versions_of_flags_before_the_snapshot(pyz: Path, tmp_path: Path) -> None:
    file = node_file(tmp_path, **{"v1.33.5-eks-3025e55": "v1.30.14-eks-3025e55"})
    assert recipe(pyz, "-f", file, "--k8s", "1.34", "--strict")[0] == 0
    assert recipe(pyz, "-f", file, "--k8s", "any", "--strict")[0] == 4
    assert recipe(pyz, *PLAIN_STRICT)[0] == 0
    assert recipe(pyz, *PLAIN_STRICT, "--k8s", "1.33")[0] == 0
    status, _, errors = recipe(pyz, *PLAIN_STRICT, "--k8s", "1.20")
    assert status == 4 and "error: --strict: the recipe requires K8s.server.version >= 1.33, <= 1.36, not 1.20\n" in errors


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--gpu", "l40s", "--service", "oke"], "the recipe is generic: no layer is made for the requested gpu+service"),
        (["--gpu", "l40", "--service", "gke"], "the recipe is generic: no layer is made for the requested gpu+service"),
        (["--os", "rhel", "--service", "gke"], "no such node is possible: gke offers cos and ubuntu, not rhel"),
        (["--os", "cos", "--service", "eks"], "no such node is possible: eks offers amazonlinux, bottlerocket, rhel and ubuntu, not cos"),
        (["--os", "rhel", "--service", "oke"], "no such node is possible: oke offers oraclelinux and ubuntu, not rhel"),
        (["--k8s", "v1.35.5+k3s1", "--service", "aks"], "no such node is possible: Kubernetes v1.35.5+k3s1 is a build of k3s, not of aks"),
        (["--os", "amazonlinux", "--service", "aks"], "no such node is possible: aks offers ubuntu and azurelinux, not amazonlinux"),
        (
            ["--os", "flatcar", "--service", "aks"],
            (
                "no such node is possible: aks offers ubuntu and azurelinux, not flatcar "
                "(a preview, ended in June 2026, without GPU Operator)"
            ),
        ),
    ],
)
def test_strict_objects_to_what_is_generic_or_impossible(pyz: Path, words: list[str], expected: str) -> None:
    status, out, errors = recipe(pyz, *words, "--strict")
    assert status == 4 and out.startswith("kind: Recipe")
    assert f"error: --strict: {expected}\n" in errors
    assert (f"warning: {expected}\n" in errors) == ("possible" in expected)
    assert [f"no such node is possible: {each}" for each in yaml.safe_load(out).get("impossible", [])] == [expected] * (
        "possible" in expected
    )


def test_the_table_names_what_is_generic(pyz: Path) -> None:
    rows = recipe(pyz, "--gpu", "l40", "--service", "gke", "-t", "table")[1].splitlines()
    assert [row.split() for row in rows if row.startswith("Generic")] == [["Generic", "gpu+service"]]


def test_the_table_fits(pyz: Path) -> None:
    for columns in ("50", "100"):
        status, out, _ = recipe(
            pyz, "--gpu", "gb200", "--service", "eks", "--explain", "--context", "-t", "table", env={"COLUMNS": columns}
        )
        assert status == 0
        assert max(map(len, out.splitlines())) <= int(columns)
        assert "Constraints" in out and "Components" in out and "Sources" in out


def test_list_for_people_and_for_programs(pyz: Path) -> None:
    status, out, _ = recipe(pyz, "list")
    assert status == 0 and "h100" in out and "self-managed" in out
    tree = json.loads(recipe(pyz, "list", "-t", "json")[1])
    assert {entry["name"] for entry in tree["catalog"]["gpu"]} >= {"h100", "gb200", "l40s", "rtx-pro-6000"}
    assert tree["layers"][0]["name"] == "base.yaml"
    assert all(layer["sources"] for layer in tree["layers"])


@pytest.mark.slow
def test_lint_of_the_shipped_data_and_of_bad_data(pyz: Path, tmp_path: Path) -> None:
    assert recipe(pyz, "lint") == (0, "0 errors, 0 warnings\n", "")
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "mine.yaml").write_text("key: {}\nmeasurements: []\n")
    status, out, _ = recipe(pyz, "lint", "--data", str(tmp_path))
    assert status == 4 and "mine.yaml" in out and "error" in out
    tree = json.loads(recipe(pyz, "lint", "--data", str(tmp_path), "-t", "json")[1])
    assert tree["errors"] >= 1 and tree["faults"]


def test_data_of_ones_own_is_laid_over_the_shipped(pyz: Path, tmp_path: Path) -> None:
    (tmp_path / "overlays").mkdir()
    overlay = tmp_path / "overlays" / "zz-mine.yaml"
    overlay.write_text("key: {gpu: h100}\nmeasurements: [{type: OS, subtypes: [{subtype: grub, data: {mine: yes}}]}]\n")
    status, out, errors = recipe(pyz, "--data", str(tmp_path), "--gpu", "h100")
    assert status == 0
    data = {s["subtype"]: s["data"] for m in yaml.safe_load(out)["measurements"] for s in m["subtypes"]}
    assert data["grub"]["mine"] == "yes"
    assert "lint found" in errors  # no source, no reason: a fault of judgement warns
    overlay.write_text("key: {gpu: h100}\nmeasurments: []\n")
    status, out, errors = recipe(pyz, "--data", str(tmp_path), "--gpu", "h100")
    assert (status, out) == (2, "")  # a fault of form refuses
    assert "zz-mine.yaml" in errors and "measurments" in errors and "did you mean 'measurements'" in errors


@pytest.mark.parametrize(("purpose", "hint"), [("", "to see all\n"), ("servers", "to see all, with the full eidos.pyz\n")])
def test_the_hint_to_lint_names_a_file_that_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], purpose: str, hint: str
) -> None:
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "mine.yaml").write_text(
        "key: {gpu: h100}\nmeasurements: [{type: OS, subtypes: [{subtype: x, data: {y: z}}]}]\n"
    )
    monkeypatch.setattr(recipe_query, "BUILT_FOR", purpose)
    recipe_query.open_store([str(tmp_path)])
    assert capfd.readouterr().err.endswith(f"run 'eidos recipe lint --data {tmp_path}' {hint}")


def test_constraints_that_contradict_name_both_layers(pyz: Path, tmp_path: Path) -> None:
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "zz-old.yaml").write_text('key: {gpu: h100}\nconstraints: [{name: K8s.server.version, value: "< 1.2"}]\n')
    status, out, errors = recipe(pyz, "--data", str(tmp_path), "--gpu", "h100", "--service", "eks")
    assert (status, out) == (2, "")
    assert "zz-old.yaml" in errors and "K8s.server.version" in errors and errors.count(".yaml") >= 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--gpu", "h1000"], ["--gpu", "'h1000'", "gb200", "did you mean 'h100'?"]),
        (["--os", "ubunto"], ["--os", "did you mean 'ubuntu'?"]),
        (["--k8s", "1.x.4"], ["--k8s", "  1.x.4\n    ^\n"]),
        (["--osv", "-24"], ["--osv"]),
        (["--kernel", "6.8.0.1.2"], ["--kernel", "more than three"]),
        (["--intent", "trainin"], ["did you mean 'training'?"]),
        (["list", "--gpu", "h100"], ["list", "--gpu"]),
        (["lsit"], ["did you mean 'list'?"]),
        (["-f", "/nonexistent/node.yaml"], ["/nonexistent/node.yaml", "no such file"]),
        (["--data", "/nonexistent"], ["/nonexistent"]),
    ],
)
def test_wrong_words(pyz: Path, words: list[str], expected: list[str]) -> None:
    status, out, errors = recipe(pyz, *words)
    assert (status, out) == (2, "")
    assert errors.startswith("error: ")
    for word in expected:
        assert word in errors


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty", b""),
        ("a recipe", b"kind: Recipe\nmeasurements: []\n"),
        ("a million aliases", bomb().encode()),
        ("binary", bytes(range(256)) * 40),
    ],
)
def test_what_is_no_snapshot(pyz: Path, tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / "odd.yaml"
    file.write_bytes(content)
    status, out, errors = recipe(pyz, "-f", str(file))
    assert (status, out) == (2, ""), name
    assert "odd.yaml" in errors and errors.startswith("error: ")


def test_a_version_in_a_snapshot_that_does_not_parse_is_a_warning(pyz: Path, tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(SNAPSHOT.replace("v1.33.5-eks-3025e55", "latest"))
    status, out, errors = recipe(pyz, "-f", str(file))
    assert status == 0
    assert "k8s" not in yaml.safe_load(out)["request"]
    assert "warning: " in errors and "latest" in errors and "k8s stays unset" in errors


def test_a_node_with_an_unknown_gpu_is_not_covered(pyz: Path, tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(SNAPSHOT.replace("NVIDIA H100 80GB HBM3", "NVIDIA H25"))
    status, out, errors = recipe(pyz, "-f", str(file), "--strict")
    assert status == 4
    tree = yaml.safe_load(out)
    assert tree["metadata"]["recipe-uncovered"] == "gpu"
    assert tree["generic"] == ["gpu", "gpu+service"]
    # Of what architecture it is nobody knows, so nothing is near.
    assert "nothing specific to gpu 'NVIDIA H25' is known\n" in errors
    status, out, errors = recipe(pyz, "-f", str(file), "--gpu", "l40")
    assert status == 0 and "H25'" not in errors
    assert yaml.safe_load(out)["generic"] == ["gpu+service"]


def test_a_wrong_word_is_reported_with_its_origin(pyz: Path, tmp_path: Path) -> None:
    assert "error: EIDOS_GPU: invalid value 'h1000'; expected one of" in recipe(pyz, env={"EIDOS_GPU": "h1000"})[2]
    (tmp_path / "eidos").mkdir()
    (tmp_path / "eidos" / "config.yaml").write_text("recipe: {k8s: 1.x}\n")
    assert (
        f"error: {tmp_path}/eidos/config.yaml: recipe.k8s: invalid version '1.x'" in recipe(pyz, env={"XDG_CONFIG_HOME": str(tmp_path)})[2]
    )


def test_a_query_of_the_environment_does_not_stand_in_the_way_of_the_list(pyz: Path, tmp_path: Path) -> None:
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "none.yaml").write_text("[]\n")
    for words in (["list"], ["lint", "--data", str(tmp_path)]):  # lint of all takes its time
        assert recipe(pyz, *words, env={"EIDOS_GPU": "h100", "EIDOS_FILE": "/nonexistent"})[0] == 0
        assert recipe(pyz, *words, "--gpu", "h100")[0] == 2


def test_the_name_of_the_file_decides_the_format_of_each_action(pyz: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "overlays").mkdir(parents=True)
    (tmp_path / "data" / "overlays" / "none.yaml").write_text("[]\n")
    for words in ([], ["list"], ["lint", "--data", str(tmp_path / "data")]):  # lint of all takes its time
        assert recipe(pyz, *words, "-o", str(tmp_path / "out.json"))[0] == 0
        assert isinstance(json.loads((tmp_path / "out.json").read_text()), dict)
        assert recipe(pyz, *words, "-o", str(tmp_path / "out.yml"))[0] == 0
        assert isinstance(yaml.safe_load((tmp_path / "out.yml").read_text()), dict)


def test_a_fault_cannot_steer_a_terminal(pyz: Path, tmp_path: Path) -> None:
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "a\x1b[31m\nb.yaml").write_text("key: {gpu: h100}\n")
    for words in (["lint"], ["--gpu", "h100", "-t", "table", "--explain"]):
        _, out, errors = recipe(pyz, *words, "--data", str(tmp_path))
        assert "\x1b" not in out + errors and "a\\x1b[31m\\nb.yaml" in out


def test_a_disabled_component_that_another_needs_stays_with_the_reason(pyz: Path, tmp_path: Path) -> None:
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "mine.yaml").write_text("key: {gpu: h100}\ncomponents: {cert-manager: {enabled: false}}\n")
    status, out, errors = recipe(pyz, "--data", str(tmp_path), "--gpu", "h100", "--explain", "-t", "table")
    assert status == 0
    assert "warning: overlays/mine.yaml disables cert-manager, but gpu-operator needs it: it stays enabled" in errors
    assert "disabled by overlays/mine.yaml, but needed by gpu-operator" in out
    assert "needed by gpu-operator\n" in out  # kube-prometheus-stack, which no layer chose
