"""``--plugin``: whose folders are trusted, what a plug-in adds, and that it can neither leak a secret nor break a document."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos import collectors, formats
from eidos.cli import main
from eidos.cli.plugins import open_plugin
from eidos.errors import IntegrityError, InvalidInput
from eidos.manifest import AgentOptions, agent_manifests
from eidos.manifest.agent_manifest import fact_choices
from eidos.model.check_report import CheckReport
from eidos.model.plugin import CARRIED_LIMIT, Plugin, carried_entries, digest_of, format_sums, read_carried, split_reference
from eidos.model.recipe import Recipe
from eidos.model.record import replace
from eidos.model.snapshot import Snapshot
from eidos.recipe.store import shipped_store
from eidos.server.app import PATHS, App
from eidos.server.rate_limiter import RateLimiter
from eidos.server.recipe_data import load_recipe_data
from eidos.server.request_metrics import ServerMetrics
from eidos.server.static_content import static_representations
from eidos.sign.signature_policy import _Provenance, parse_policy
from tests.support.in_process_server import FREE, Client
from tests.support.program import environment

PAGE = Path(__file__).parents[2] / "templates" / "help" / "plugins.md"

SUBTYPE = "from eidos.model.measurement import Gap, Subtype\n"

#: It looks for its module.
DATACLASS = "from dataclasses import dataclass\n@dataclass\nclass A:\n    b: 'int'\n"

Run = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs a command line in an empty folder; exit status, standard output and error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)

    def command(*words: str) -> tuple[int, str, str]:
        collectors._added.clear()  # each is a start of the program
        capfd.readouterr()
        status = main(list(words))
        return (status, *capfd.readouterr())

    yield command
    collectors._added.clear()


def write(path: str, text: str | bytes) -> None:
    file = Path(path)
    old = os.umask(0o022)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    finally:
        os.umask(old)


def example() -> None:
    """Write the plug-in of the manual, and a host that it reads."""
    block = PAGE.read_text().partition("```text\n")[2].partition("```")[0]
    for name, text in re.findall(r"^(acme/\S+):\n\n(.*?)(?=^acme/|\Z)", block, re.MULTILINE | re.DOTALL):
        write(name, re.sub(r"^    ", "", text, flags=re.MULTILINE))
    write("host/etc/acme/asset", "0 Zq7kD02mWx91LpTe\n")


def snapshot(run: Run, *words: str) -> dict[str, Any]:
    status, out, err = run("snapshot", "--root", "host", "-t", "json", *words)
    assert status in (0, 1, 3), err
    tree: dict[str, Any] = json.loads(out)
    return tree


def test_the_example_of_the_manual(run: Run) -> None:
    example()
    tree = snapshot(run, "--plugin", "acme", "--only", "os.asset")
    assert tree["measurements"] == [{"type": "OS", "subtypes": [{"subtype": "asset", "data": {"password": "<withheld>", "rack": 0}}]}]
    assert tree["collectors"][0]["withheld"] == 1
    files = sorted(Path("acme").rglob("*.*"), key=str)
    lines = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to('acme')}\n" for file in files if file.is_file())
    assert tree["metadata"]["plugins"] == f"acme@sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
    assert Snapshot.from_tree(tree, "x").to_tree()["metadata"] == tree["metadata"]
    write("node.json", json.dumps(tree))
    report = json.loads(run("check", "-f", "node.json", "--only", "nouveau-loaded", "-t", "json")[1])
    assert report["metadata"]["plugins"] == tree["metadata"]["plugins"]
    assert CheckReport.from_tree(report, "x").to_tree()["metadata"] == report["metadata"]
    revealed = snapshot(run, "--plugin", "acme", "--only", "os.asset", "--reveal", "password")
    assert revealed["measurements"][0]["subtypes"][0]["data"]["password"] == "Zq7kD02mWx91LpTe"
    assert revealed["collectors"][0]["revealed"] == ["password"]
    assert "os.asset" in run("snapshot", "--list", "--plugin", "acme")[1]


def test_without_the_flag_nothing_is_added(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    example()
    monkeypatch.setenv("EIDOS_PLUGIN", "acme")
    assert run("snapshot", "--only", "os.asset")[0] == 2
    assert "plugins" not in snapshot(run, "--only", "os.release")["metadata"]


def test_what_others_can_write_is_refused(run: Run) -> None:
    example()
    for path in ("acme", "acme/collectors", "acme/collectors/os_asset.py", "acme/checks/acme.yaml", "."):
        mode = os.stat(path).st_mode & 0o7777
        for bits in (0o020, 0o002):
            os.chmod(path, mode | bits)
            status, out, err = run("snapshot", "--plugin", "acme", "--only", "os.asset")
            assert (status, out) == (2, "") and "others can write to it" in err and "hint: run 'chmod go-w " in err, path
        os.chmod(path, mode)
    if os.geteuid() == 0:
        for path in ("acme", "acme/collectors/os_asset.py", "."):
            os.chown(path, 12345, 0)
            status, _, err = run("snapshot", "--plugin", "acme", "--only", "os.asset")
            assert status == 2 and "belongs to user 12345" in err
            os.chown(path, 0, 0)
    assert run("snapshot", "--plugin", "acme", "--root", "host", "--only", "os.asset")[0] == 0


def test_others_cannot_change_the_path_to_a_folder(run: Run, tmp_path: Path) -> None:
    example()
    words = ("--root", "host", "--only", "os.asset", "--plugin")
    Path("open").mkdir()
    Path("own").mkdir()
    for link, target in (("link", "acme"), ("own/link", f"{tmp_path}/link"), ("open/link", "../acme")):
        Path(link).symlink_to(target)
    for path in ("link", "own/link", "./own/../link/", "/".join([".", *["acme/.."] * 400, "acme"])):
        assert run("snapshot", *words, path)[0] == 0, path[:20]
    os.chmod("open", 0o777)
    status, _, err = run("snapshot", *words, "open/link")
    assert status == 2 and f"{tmp_path}/open: others can write to it" in err
    os.chmod("open", 0o1777)
    assert run("snapshot", *words, "open/link")[0] == (0 if os.geteuid() == 0 else 2)
    Path("gone").mkdir()
    os.chdir("gone")
    os.rmdir(tmp_path / "gone")
    assert run("snapshot", "--root", str(tmp_path / "host"), *words[2:], str(tmp_path / "acme"))[0] == 0, "from a folder that is gone"
    assert "no such folder" in run("snapshot", *words, "acme")[2]
    os.chdir(tmp_path)
    Path("circle").symlink_to("circle")
    assert "too many levels of symbolic links" in run("snapshot", *words, "circle")[2]
    if os.geteuid() == 0:
        os.chown("link", 12345, 0, follow_symlinks=False)
        for path in ("link", "own/link"):
            status, _, err = run("snapshot", *words, path)
            assert status == 2 and f"{tmp_path}/link belongs to user 12345" in err, path


def test_links_are_refused(run: Run) -> None:
    example()
    write("elsewhere.py", "")
    os.symlink("../../elsewhere.py", "acme/collectors/os_other.py")
    status, _, err = run("snapshot", "--plugin", "acme")
    assert status == 2 and "neither a file nor a folder" in err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("collectors/os_release.py", "there are readings of 'os.release' already"),
        ("collectors/gpu_smi.py", "there are readings of 'gpu.smi' already"),
        ("collectors/gpu_gpu.py", "there are readings of 'gpu.gpu' already"),
        ("collectors", "collectors is not a folder"),
        ("checks", "checks is not a folder"),
        ("checks/x.md", "unexpected file"),
        ("recipes/overlays/x.txt", "unexpected file"),
        ("collectors/gpu.py", "not the name of a collector"),
        ("collectors/tpu_x.py", "not the name of a collector"),
        ("collectors/os_x.txt", "not the name of a collector"),
        ("collectors/deep/os_x.py", "not the name of a collector"),
        ("collector/os_x.py", "unexpected file"),
        ("README", "no files in"),
    ],
)
def test_names_that_a_plugin_cannot_have(run: Run, name: str, words: str) -> None:
    write(f"acme/{name}", "")
    status, _, err = run("snapshot", "--plugin", "acme")
    assert status == 2 and words in err


def test_files_of_documentation_may_lie_in_each_folder(run: Run) -> None:
    example()
    for name in ("collectors/README", "checks/README.md", "recipes/LICENSE", "recipes/overlays/README.md"):
        write(f"acme/{name}", "text: [\n")
    status, _, err = run("recipe", "list", "--plugin", "acme")
    assert (status, err) == (0, "")
    write("recipe.yaml", run("recipe", "--plugin", "acme")[1])
    assert "README" not in run("snapshot", "--plugin", "acme", "--only", "os.release")[2]


def test_two_plugins_with_one_collector_and_missing_folders(run: Run) -> None:
    for name in ("one", "two"):
        write(f"{name}/collectors/os_x.py", "")
    assert "already" in run("snapshot", "--plugin", "one", "--plugin", "two")[2]
    assert run("snapshot", "--plugin", "missing")[0] == 2
    write("file", "")
    assert "not a folder" in run("snapshot", "--plugin", "file")[2]


@pytest.mark.parametrize(
    ("source", "outcome", "words"),
    [
        ("def collect(sources):\n    raise ValueError('password=Zq7kD02mWx91LpTe')", "failed", "internal error at os_bad.py:"),
        *(
            (
                f"from eidos.errors import {name} as E\ndef collect(_):\n    raise E('x pw=Zq7kD02mWx91LpTe', 'a --pw Zq7kD02mWx91LpTe')",
                outcome,
                "x",
            )
            for name, outcome in (("NotApplicable", "skipped"), ("Unavailable", "failed"))
        ),
        ("def collect(sources", "failed", "SyntaxError"),
        ("raise SystemExit(0)", "failed", "the collector ended its process"),
        ("import os\nos._exit(0)", "failed", "exited with status 0"),
        ("def collect(sources):\n    import time\n    time.sleep(60)\n    yield", "failed", "no answer before the deadline"),
        ("x = 1", "failed", "no function collect"),
        ("def collect(sources):\n    yield Subtype('sysctl', {'a': 1})", "failed", "expected 'bad'"),
        ("def collect(sources):\n    yield Subtype('bad', {'a': []})", "failed", "expected a scalar"),
        ("def collect(sources):\n    yield 'text'", "failed", "expected a Subtype or a Gap"),
        *(
            (
                f"def collect(sources):\n    yield Subtype({name!r}, {{'a': 1}})",
                "failed",
                f"yielded the subtype {name!r}; expected 'bad', or",
            )
            for name in ("badx", "bad.service", "bad-2.x")
        ),
        ("def collect(sources):\n    yield Subtype('bad-2', {'a': 1})", "ok", None),
        (f"{DATACLASS}def collect(sources):\n    yield Subtype('bad', {{'a': A(1).b}})", "ok", None),
        *(
            (f"def collect(sources):\n    yield Gap({kind!r}, 'x', 'y')", "failed", f"yielded a Gap of the kind {kind!r}; expected ")
            for kind in ("missing", "revealed")
        ),
        ("def collect(sources):\n    yield Subtype('bad', {'a': 'Zq7kD02mWx91LpTe'}, {'a': 'token=Zq7kD02mWx91LpTe'})", "ok", None),
        (
            "def collect(sources):\n    yield Subtype('bad', {'a': 1})\n    yield Gap('unreadable', '/x', 'pw=Zq7kD02mWx91LpTe')",
            "partial",
            None,
        ),
    ],
)
def test_a_bad_collector_is_an_outcome(run: Run, source: str, outcome: str, words: str | None) -> None:
    write("host/etc/os-release", "ID=debian\n")
    write("acme/collectors/os_bad.py", f"{SUBTYPE}{source}\n")
    sleeps = "sleep" in source
    tree = snapshot(run, "--plugin", "acme", "--only", "os.bad,os.release", "--timeout", "500ms" if sleeps else "60s")
    outcomes = {row["name"]: row for row in tree["collectors"]}
    assert outcomes["os.release"]["outcome"] == "ok" or sleeps
    assert outcomes["os.bad"]["outcome"] == outcome
    assert words is None or words in outcomes["os.bad"]["reason"]
    assert "Zq7k" not in json.dumps(tree)


@pytest.mark.slow
def test_the_checks_and_the_data_of_plugins(pyz: Path, tmp_path: Path, run: Run) -> None:
    example()
    sources = 'sources:\n  - {id: acme, document: "Racks", version: "7", date: "2026-01-01", url: "https://example.com"}\n'
    write("other/recipes/sources.yaml", sources)

    def program(*words: str) -> tuple[int, Any]:
        done = subprocess.run([sys.executable, str(pyz), *words, "-t", "json"], capture_output=True, cwd=tmp_path, check=False, timeout=120)
        return done.returncode, json.loads(done.stdout)

    _, report = program("check", "--plugin", "acme", "--root", "host", "--only", "acme-no-rack")
    assert [(finding["id"], finding["status"]) for finding in report["findings"]] == [("acme-no-rack", "fail")]
    assert report["metadata"]["plugins"].startswith("acme@sha256:")
    status, recipe = program("recipe", "--plugin", "other")
    assert status == 0 and recipe["metadata"]["recipe-data"] != program("recipe")[1]["metadata"].get("recipe-data")


def test_a_traceback_of_a_collector_shows_no_secret(run: Run) -> None:
    write("host/etc/os-release", "ID=debian\n")
    source = "def collect(sources):\n    word = 'Zq7k' + 'D02mWx91LpTe'\n    raise ValueError(f'password={word}')\n"
    write("acme/collectors/os_bad.py", f"{SUBTYPE}{source}")
    _, _, err = run("snapshot", "--root", "host", "--plugin", "acme", "--only", "os.bad", "--debug")
    assert "debug: ValueError: password=<withheld>" in err and "debug:   File " in err and "Zq7kD02mWx91LpTe" not in err, err


def test_checks_of_plugins_replace_none(run: Run) -> None:
    for name in ("acme", "other"):
        write(f"{name}/checks/racks.yaml", "checks: []\n")
    assert run("recipe", "--plugin", "acme")[0] == 0
    status, _, err = run("recipe", "--plugin", "acme", "--plugin", "other")
    assert status == 2 and "other/checks/racks.yaml: there is a file checks/racks.yaml already, whose checks would be lost" in err
    write("third/checks/driver.yml", "checks: []\n")
    status, _, err = run("recipe", "--plugin", "third")
    assert status == 2 and "third/checks/driver.yml: there is a file checks/driver.yaml already" in err


def test_lint_of_a_plugin_shows_what_a_recipe_warns_of(run: Run) -> None:
    example()
    write("acme/recipes/overlay/x.yaml", "x: 1\n")
    status, _, err = run("recipe", "--plugin", "acme")
    command = re.search(r"hint: run 'eidos (recipe lint --plugin \S+)' to see all", err)
    assert status == 0 and command, err
    assert "overlay/x.yaml:1: warning: unknown file [unknown-file]" in run(*command[1].split())[1]
    write("acme/checks/acme.yaml", "checks: [{id: acme-no-rack}]\n")
    status, out, _ = run("recipe", "lint", "--plugin", "acme")
    assert status == 4 and "checks/acme.yaml: checks[0]" in out


def test_what_data_of_plugins_cannot_be_combined_with(run: Run) -> None:
    write("acme/checks/x.yaml", "checks: []\n")
    write("file.yaml", "x: 1")
    status, _, err = run("recipe", "--gpu", "h100", "--plugin", "acme", "--data", "file.yaml")
    assert status == 2 and "cannot be combined with plug-ins" in err
    assert "--plugin cannot be used with --server" in run("recipe", "--plugin", "acme", "--server", "http://127.0.0.1:1")[2]


def test_a_watch_runs_the_collectors_of_plugins(tmp_path: Path) -> None:
    write(f"{tmp_path}/acme/collectors/os_bad.py", "raise ValueError\n")
    words = [sys.executable, "-m", "eidos", "watch", "--count", "1", "--plugin", str(tmp_path / "acme"), "--root", str(tmp_path)]
    for more, is_run in (((), True), (("--without", "os.bad"), False)):
        done = subprocess.run([*words, *more], capture_output=True, cwd=Path(__file__).parents[2], check=False, timeout=120)
        assert (b"os.bad: failed: internal error at os_bad.py:1" in done.stderr) == is_run, done.stderr
        assert done.returncode in (0, 3, 4)


def test_what_a_collector_prints_is_lost(run: Run, tmp_path: Path) -> None:
    write(
        "acme/collectors/os_bad.py", f"{SUBTYPE}def collect(sources):\n    print('x', flush=True)\n    yield Subtype('bad', {{'a': 1}})\n"
    )
    words = [sys.executable, "-m", "eidos", "snapshot", "--plugin", str(tmp_path / "acme"), "--only", "os.bad", "-t", "json"]
    done = subprocess.run(words, capture_output=True, cwd=Path(__file__).parents[2], check=True, timeout=120)
    assert json.loads(done.stdout)["collectors"][0]["outcome"] == "ok" and done.stderr == b""


def test_a_bundle_takes_data_and_templates_of_several_plugins(run: Run) -> None:
    """The last one wins, a flag wins over all, and recipe and statement name them."""
    write("acme/templates/gpu-operator/README.md", "# Ours\n")
    write("acme/recipes/components.yaml", COMPONENT.replace("VERSION", "v1.0.0"))
    write("other/templates/gpu-operator/README.md", "# Theirs\n")
    write("other/recipes/components.yaml", COMPONENT.replace("VERSION", "v2.0.0"))
    write("mine/gpu-operator/README.md", "# Mine\n")
    query = ("recipe", "--gpu", "h100", "--service", "eks", "--with", "acme-agent", "-o", "recipe.json")
    both = ("--plugin", "acme", "--plugin", "other")
    assert run(*query, *both)[0] == 0
    recipe = json.loads(Path("recipe.json").read_text())
    names = recipe["metadata"]["plugins"].split()
    assert [name.partition("@sha256:")[0] for name in names] == ["acme", "other"]
    assert Recipe.from_tree(recipe, "x").to_tree()["metadata"] == recipe["metadata"]
    assert [row["version"] for row in recipe["components"] if row["id"] == "acme-agent"] == ["v2.0.0"]
    words = ("bundle", "-f", "recipe.json", "-b", "gpu-operator", "-b", "acme-agent", "--force")
    for flags, readme in ((both, "# Theirs\n"), ((*both[2:], *both[:2]), "# Ours\n"), ((*both, "--templates", "mine"), "# Mine\n")):
        assert run(*words, *flags)[0] == 0
        assert Path("bundle/gpu-operator/README.md").read_text() == readme
    build = json.loads(Path("bundle/attestations/statement.json").read_text())["predicate"]["buildDefinition"]
    assert build["externalParameters"]["options"]["plugin"] == names
    digests = {entry["name"]: entry["digest"]["sha256"] for entry in build["resolvedDependencies"]}
    assert [digests[f"plugin/{name}"] for name in ("acme", "other")] == [name.rpartition(":")[2] for name in names]
    assert run("verify", "bundle")[0] == 0
    write("acme/templates/gpu-operator/README.md", "# Newer than the recipe\n")
    assert run(*words, "--plugin", "acme")[0] == 0
    statement = json.loads(Path("bundle/attestations/statement.json").read_text())
    (newer,) = statement["predicate"]["buildDefinition"]["externalParameters"]["options"]["plugin"]
    policy = parse_policy({"signatures": [{"keys": [40 * "A"]}], "provenance": {"plugins": [newer]}}, "policy.yaml")
    refused = _Provenance(statement).refused(policy)
    assert newer not in names and refused == [f"provenance.plugins: the statement has {name!r}" for name in names]


COMPONENT = """\
components:
  - {id: acme-agent, title: Agent, chart: agent, repository: "https://charts.example.com", version: VERSION, namespace: acme}
"""


def plugin_of(files: dict[str, bytes], name: str = "acme") -> Plugin:
    return Plugin(name, f"/{name}", digest_of(format_sums(files)), files)


@given(
    st.dictionaries(st.sampled_from(["collectors/os_a.py", "checks/a.yaml", "recipes/base.yaml", "templates/a/b"]), st.binary(max_size=2))
)
@settings(max_examples=25)
def test_a_plugin_that_was_carried_is_what_was_sent_or_refused(files: dict[str, bytes]) -> None:
    """Each entry removed, each with another byte, and another digest."""
    plugin = plugin_of(files)
    entries = carried_entries([plugin])
    carried = read_carried("acme", plugin.digest, entries.__getitem__)
    assert carried.reference() == plugin.reference()
    assert carried.files == {name: content for name, content in files.items() if not name.startswith("templates/")}
    for name, content in entries.items():
        with pytest.raises(KeyError):
            read_carried("acme", plugin.digest, {key: value for key, value in entries.items() if key != name}.__getitem__)
        with pytest.raises(IntegrityError):
            read_carried("acme", plugin.digest, {**entries, name: content + b"x"}.__getitem__)
    with pytest.raises(IntegrityError):
        read_carried("acme", "sha256:" + 64 * "0", entries.__getitem__)


def test_what_cannot_be_carried() -> None:
    with pytest.raises(InvalidInput, match="there is a plug-in 'acme' already"):
        carried_entries([plugin_of({}), plugin_of({})])
    with pytest.raises(InvalidInput, match="too many to send"):
        carried_entries([plugin_of({"recipes/values/a/b.yaml": bytes(CARRIED_LIMIT)})])
    assert carried_entries([plugin_of({"templates/a/b": bytes(CARRIED_LIMIT)})])
    assert split_reference("acme@" + plugin_of({}).digest) == ("acme", plugin_of({}).digest)


def test_names_of_folders_that_documents_cannot_have(run: Run) -> None:
    for name in ("my plug-in", "acme@1", ".acme", "acm\u00e9"):
        write(f"{name}/collectors/os_x.py", "")
        status, _, err = run("snapshot", "--plugin", name)
        assert status == 2 and "is not a name of a plug-in" in err and "hint: rename the folder" in err


def test_what_a_part_of_a_host_lacks_is_not_known_to_be_missing(run: Run) -> None:
    example()
    os.unlink("host/etc/acme/asset")
    for folder, outcome, reason in (("host", "failed", "not mounted here"), ("host/tmp", "skipped", "/etc/acme/asset does not exist")):
        Path(folder).mkdir(exist_ok=True)
        [row] = snapshot(run, "--plugin", "acme", "--only", "os.asset")["collectors"]
        assert row["outcome"] == outcome and reason in row["reason"]


def test_plugins_reach_the_nodes_of_a_fleet(pyz: Path, tmp_path: Path, run: Run) -> None:
    """Over ssh and in a ConfigMap, from the program's memory; templates stay behind."""
    example()
    write("acme/templates/gpu-operator/README.md", "# Ours\n")
    words = ["fleet", "--plugin", "acme", "--hosts", "n1", "--via", "env X={host}", "--only", "os.asset", "-t", "json", "-o", "out"]
    variables = environment(EIDOS_ROOT=str(tmp_path / "host"), PATH=os.environ["PATH"])
    done = subprocess.run([sys.executable, pyz, *words], capture_output=True, cwd=tmp_path, env=variables, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    tree = formats.from_text(Path("out/n1.yaml").read_text(), "n1")
    assert tree["metadata"]["plugins"].startswith("acme@sha256:") and json.loads(done.stdout)["plugins"] == [tree["metadata"]["plugins"]]
    assert tree["measurements"][0]["subtypes"][0]["data"] == {"password": "<withheld>", "rack": 0}
    status, out, err = run("manifest", "agent", "--program", str(pyz), "--plugin", "acme", "--without", "os.sysctl", "-t", "json")
    assert status == 0, err
    items = {item["kind"]: item for item in json.loads(out)["items"]}
    pod = items["Job"]["spec"]["template"]["spec"]
    assert f"--plugin={tree['metadata']['plugins']}" in pod["containers"][0]["args"]
    Path("agent.pyz").write_bytes(base64.b64decode(next(iter(items["ConfigMap"]["binaryData"].values()))))
    with zipfile.ZipFile("agent.pyz") as archive:
        names = [name.rpartition("plugins/acme/")[2] for name in archive.namelist() if name.startswith("plugins/")]
    assert names == ["SHA256SUMS", "checks/acme.yaml", "collectors/os_asset.py"]
    node = ["snapshot", "--plugin", tree["metadata"]["plugins"], "--only", "os.asset", "--root", "host", "-t", "json"]
    done = subprocess.run([sys.executable, "agent.pyz", *node], capture_output=True, cwd=tmp_path, check=False, timeout=120)
    assert json.loads(done.stdout)["measurements"] == tree["measurements"], done.stderr
    status, _, err = run("snapshot", "--plugin", tree["metadata"]["plugins"], "--only", "os.asset")
    assert status == 2 and "is not in this file of eidos" in err


def test_evidence_names_plugins_in_its_statement(run: Run) -> None:
    example()
    write("node.yaml", json.dumps(snapshot(run, "--plugin", "acme", "--only", "os.asset")))
    status, _, err = run("evidence", "node.yaml", "--plugin", "acme", "--only", "acme-no-rack", "-o", "evidence.zip")
    assert status == 0, err
    with zipfile.ZipFile("evidence.zip") as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/statement.json")]
        build = json.loads(archive.read(name))["predicate"]["buildDefinition"]
    [reference] = build["externalParameters"]["options"]["plugin"]
    digests = {entry["name"]: entry["digest"]["sha256"] for entry in build["resolvedDependencies"]}
    assert reference == f"acme@sha256:{digests['plugin/acme']}"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("manifest", "agent", "--delivery", "hostpath"), "--plugin cannot be used with --delivery hostpath"),
        (("manifest", "agent", "--delivery", "image=registry.example.com/x:1"), "--plugin cannot be used with --delivery image"),
        (("manifest", "server"), "--plugin is a flag of 'eidos manifest agent'"),
    ],
)
def test_where_plugins_cannot_go(run: Run, words: tuple[str, ...], reason: str) -> None:
    example()
    status, _, err = run(*words, "--plugin", "acme")
    assert status == 2 and reason in err


def test_an_agent_skips_collectors_of_plugins_and_mounts_what_they_see() -> None:
    options = AgentOptions(plugins=("acme@x",), plugin_collectors=("os.asset", "os.b"), program=b"x", without=("gpu", "os.b"))
    job = agent_manifests(options)[-1]["spec"]["template"]["spec"]
    [skip] = [word for word in job["containers"][0]["args"] if word.startswith("--skip=")]
    assert "os.b" in skip.split(",") and "os.asset" not in skip
    everything = tuple(name for name in fact_choices() if "." in name or name in ("gpu", "systemd"))
    alone = agent_manifests(replace(options, without=everything, rights=("host-files",)))[-1]["spec"]["template"]["spec"]
    assert {volume["name"] for volume in alone["volumes"]} >= {"proc", "sys", "etc", "usr", "boot", "var-lib"}


def test_a_server_has_the_data_the_checks_and_the_templates_of_plugins(run: Run) -> None:
    example()
    write("other/templates/gpu-operator/README.md", "# Ours\n")
    plugins = (open_plugin("acme"), open_plugin("other"))
    settings = replace(FREE, workers=1)
    data = load_recipe_data(settings, plugins=plugins)
    for plugin in plugins:  # it was read once
        Path(plugin.path).rename(f"{plugin.path}-gone")
    static = static_representations(data, settings.max_body)
    metrics = ServerMetrics(PATHS, rules=data.layer_names(), bundlers=tuple(data.charts))
    ask = Client(App(settings, metrics, RateLimiter(settings, 1), data, static))
    names = [plugin.reference() for plugin in plugins]
    catalog = json.loads(ask.get("/v1/catalog").body)
    recipe = json.loads(ask.get("/v1/recipe?gpu=h100&service=eks").body)
    assert catalog["plugins"] == names and recipe["metadata"]["plugins"].split() == names
    assert catalog["digest"] == recipe["metadata"]["recipe-data"] != shipped_store().digest
    body = json.dumps({"measurements": [{"type": "OS", "subtypes": [{"subtype": "asset", "data": {"rack": 0}}]}]}).encode()
    report = json.loads(ask.post("/v1/check", body).body)
    assert report["metadata"]["plugins"].split() == names
    assert [finding["status"] for finding in report["findings"] if finding["id"] == "acme-no-rack"] == ["fail"]
    archive = ask.post("/v1/bundle?bundlers=gpu-operator&archive=zip", json.dumps(recipe).encode()).body
    with zipfile.ZipFile(io.BytesIO(archive)) as bundle:
        assert bundle.read("bundle/gpu-operator/README.md") == b"# Ours\n"
