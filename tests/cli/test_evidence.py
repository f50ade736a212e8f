"""``eidos evidence`` as a user runs it: what is in the archive, who can verify it, what it withholds, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from html import unescape
from pathlib import Path

import pytest

from eidos.bundle import evidence_archive, tar_archive
from eidos.bundle.bundle_reader import read_files
from eidos.bundle.checksums import sha256
from eidos.bundle.evidence_archive import NodeDocuments, document_files, evidence_files
from eidos.bundle.verification import inspect_bundle
from eidos.errors import InvalidInput
from eidos.formats import from_text, serialize
from eidos.model.bundle import CHECKSUMS, STATEMENT
from eidos.model.check_report import CheckReport
from eidos.model.recipe import Recipe
from eidos.workflow import parse_snapshot
from tests.cli.test_check import HOSTS, write_snapshot
from tests.fakes.oci_registry import OciRegistry
from tests.support.program import CHECKOUT, Run, command_line, eidos

TAKEN = "2026-11-29T06:00:00Z"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    return command_line(capfd)


@pytest.fixture
def evidence(run: Run) -> Run:
    return partial(run, "evidence")


def page_rows(page: str) -> list[tuple[str, str]]:
    """Path and digest of each document that a page links to."""
    return re.findall(r'<a href="([^"#]+)">[^<]+</a> <code>([0-9a-f]{64})</code>', page)


@pytest.fixture
def node(tmp_path: Path) -> Path:
    return write_snapshot(tmp_path / "node.json", kmod={"nouveau": True})


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A folder as 'eidos fleet' writes it: two nodes, their cluster, a summary that names a third node."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    for name, modules in (("gpu-01", {}), ("gpu-02", {"nouveau": True})):
        tree = json.loads(write_snapshot(tmp_path / "x.json", name, kmod=modules).read_text())
        (folder / f"{name}.yaml").write_text(serialize(tree, "yaml"))
    server = {"subtype": "server", "data": {"version": "v1.20.3"}}
    cluster = {"kind": "Snapshot", "metadata": {"snapshot-timestamp": TAKEN}, "measurements": [{"type": "K8s", "subtypes": [server]}]}
    cluster["collectors"] = [{"name": "k8s.server", "outcome": "ok", "milliseconds": 1}]
    (folder / "cluster.yaml").write_text(serialize(cluster, "yaml"))
    (folder / "summary.yaml").write_text(
        serialize({"kind": "FleetSummary", "unanswered": [{"node": "gpu-03", "why": "gpu-03 refused <b>"}]}, "yaml")
    )
    return folder


def test_an_archive_has_the_documents_of_a_node_and_a_page_that_links_to_them(evidence: Run, node: Path, tmp_path: Path) -> None:
    output = tmp_path / "evidence.tar.gz"
    done = evidence(node, "-o", output)
    assert (done.status, done.out) == (0, "")
    assert done.err.startswith("gpu-07: 1 error, ") and done.err.endswith(f" bytes, not signed: {output}\n")
    assert output.stat().st_mode & 0o777 == 0o600
    files = read_files(str(output))
    assert set(files) == {"README.md", "index.html", "snapshot.yaml", "report.yaml", "recipe.yaml", CHECKSUMS, STATEMENT}
    assert files["snapshot.yaml"] == node.read_bytes(), "an auditor compares digests"
    report = CheckReport.from_tree(from_text(files["report.yaml"], "report"), "report")
    assert (report.node, report.timestamp, report.snapshot_timestamp) == ("gpu-07", TAKEN, TAKEN)
    assert any(finding.id == "nouveau-loaded" and finding.status == "fail" for finding in report.findings)
    recipe = Recipe.from_tree(from_text(files["recipe.yaml"], "recipe"), "recipe")
    assert recipe.request.to_tree()["gpu"] == "h100"
    page = files["index.html"].decode()
    assert dict(page_rows(page)) == {name: sha256(files[name]) for name in ("snapshot.yaml", "report.yaml", "recipe.yaml")}
    assert "<title>eidos evidence: gpu-07</title>" in page and "nouveau" in page
    assert "//" not in re.sub(r'<a href="https://[^"]*"|/\*.*?\*/|https?://[^<" ]*', "", page.partition("<script>")[0]), "it loads nothing"
    inspection = inspect_bundle(str(output))
    assert (inspection.problems, inspection.is_ours) == ((), True)


def test_the_report_is_that_of_check_for_the_same_snapshot_and_recipe(evidence: Run, run: Run, node: Path, tmp_path: Path) -> None:
    """Whoever doubts the report judges again by what is in the archive."""
    assert evidence(node, "-o", tmp_path / "a.tar.gz", "--intent", "training").status == 0
    files = read_files(str(tmp_path / "a.tar.gz"))
    for name in ("snapshot.yaml", "recipe.yaml"):
        (tmp_path / name).write_bytes(files[name])
    words = ("-f", str(tmp_path / "snapshot.yaml"), "--max-age", "100000h", "-t", "json")
    for more in (("--intent", "training"), ("-r", str(tmp_path / "recipe.yaml"))):
        again = json.loads(run("check", *words, *more).out)
        report = from_text(files["report.yaml"], "report")
        verdicts = [[(each["id"], each["status"], each["severity"]) for each in tree["findings"]] for tree in (again, report)]
        assert sorted(verdicts[0]) == sorted(verdicts[1]), more
    statement = json.loads(files[STATEMENT])["predicate"]["buildDefinition"]
    assert statement["externalParameters"]["query"] == {"intent": "training"}
    digests = {entry["name"]: entry["digest"]["sha256"] for entry in statement["resolvedDependencies"]}
    assert digests["snapshot.yaml"] == sha256(node.read_bytes()) and digests["recipe.yaml"] == sha256(files["recipe.yaml"])


def test_the_same_documents_give_the_same_archive_and_others_another(evidence: Run, node: Path, fleet: Path, tmp_path: Path) -> None:
    for source in (node, fleet):
        packed = []
        for name in ("a.tar.gz", "b.tar.gz"):
            evidence(source, "-o", tmp_path / name)
            packed.append((tmp_path / name).read_bytes())
        assert sha256(packed[0]) == sha256(packed[1])
        assert evidence(source, "-o", tmp_path / "c.tar.gz", "--skip", "nouveau-loaded").status in (0, 3)
        assert (tmp_path / "c.tar.gz").read_bytes() != packed[0]


def test_the_recipe_and_waivers_passed_are_those_of_the_statement(evidence: Run, run: Run, node: Path, tmp_path: Path) -> None:
    recipe, waivers = tmp_path / "r.yaml", tmp_path / "w.yaml"
    assert run("recipe", "--gpu", "h100", "-o", str(recipe)).status == 0
    recipe.write_bytes(recipe.read_bytes() + b"# ours\n")
    assert run("check", "-f", str(node), "--write-waivers", str(waivers), "--max-age", "100000h").status == 4
    assert (
        evidence(node, "-o", tmp_path / "a.tar.gz", "-r", recipe, "--waivers", waivers, "--fail-on", "error", "--allow-unknown").status == 0
    )
    files = read_files(str(tmp_path / "a.tar.gz"))
    assert files["recipe.yaml"] == recipe.read_bytes()
    dependencies = json.loads(files[STATEMENT])["predicate"]["buildDefinition"]["resolvedDependencies"]
    digests = {entry["name"]: entry["digest"]["sha256"] for entry in dependencies}
    assert digests["waivers"] == sha256(waivers.read_bytes()) and digests["recipe.yaml"] == sha256(recipe.read_bytes())


def test_a_folder_of_a_fleet_is_one_page_with_a_row_for_each_node(evidence: Run, run: Run, fleet: Path, tmp_path: Path) -> None:
    output = tmp_path / "evidence.zip"
    done = evidence(fleet, "-o", output)
    assert done.status == 3, "a node did not answer"
    assert "no snapshot of 1 node" in done.err and output.read_bytes()[:2] == b"PK"
    assert run("verify", str(output)).status == 0
    files = read_files(str(output))
    of_nodes = {f"nodes/{name}/{document}.yaml" for name in ("gpu-01", "gpu-02") for document in ("snapshot", "report")}
    assert of_nodes | {"recipe.yaml", "cluster.yaml"} <= set(files) and "summary.yaml" not in files
    page = files["index.html"].decode()
    assert {path for path, _ in page_rows(page)} == of_nodes | {"recipe.yaml"}
    assert all(sha256(files[path]) == digest for path, digest in page_rows(page))
    assert "no snapshot of gpu-03: gpu-03 refused <b>" in unescape(page) and "refused <b>" not in page
    report = from_text(files["nodes/gpu-01/report.yaml"], "report")
    assert any("v1.20.3" in str(finding) for finding in report["findings"]), "the cluster counts for each node"
    (fleet / "summary.yaml").unlink()
    assert evidence(fleet, "-o", output).status == 0
    assert evidence(fleet, "-o", output, "--fail-on", "error").status == 4


def test_nodes_of_one_name_and_names_that_are_no_paths_have_folders_of_their_own(evidence: Run, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for number, name in enumerate(("gpu-01", "gpu-01", "../../etc", "", "summary")):
        write_snapshot(folder / f"n{number}.json", name)
    assert evidence(folder, "-o", tmp_path / "a.tar.gz").status == 0
    assert inspect_bundle(str(tmp_path / "a.tar.gz")).problems == ()
    folders = {path.split("/")[1] for path in read_files(str(tmp_path / "a.tar.gz")) if path.startswith("nodes/")}
    assert len(folders) == 5 and {"gpu-01", "gpu-01-2", "n3", "summary"} < folders


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_signed_evidence_is_verified_with_the_key_and_with_no_other(evidence: Run, run: Run, node: Path, tmp_path: Path) -> None:
    for name in ("auditor", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    output = tmp_path / "evidence.tar.gz"
    done = evidence(node, "-o", output, "--key", tmp_path / "auditor")
    assert done.status == 0 and "signed by SHA256:" in done.err and "not signed" not in done.err
    assert run("verify", str(output), "--key", str(tmp_path / "auditor.pub")).status == 0
    assert run("verify", str(output), "--key", str(tmp_path / "other.pub")).status == 5
    files = read_files(str(output))
    output.write_bytes(tar_archive.pack_tar_gz({**files, "report.yaml": files["report.yaml"].replace(b"fail", b"pass", 1)}))
    assert run("verify", str(output), "--key", str(tmp_path / "auditor.pub")).status == 5
    assert evidence(node, "-o", output).status == 0
    assert run("sign", str(output), "--key", str(tmp_path / "other")).status == 0, "evidence can be signed later, too"
    assert run("verify", str(output), "--key", str(tmp_path / "other.pub")).status == 0


def test_without_names_no_file_has_one(evidence: Run, fleet: Path, tmp_path: Path) -> None:
    key, output = tmp_path / "key", tmp_path / "a.tar.gz"
    key.write_bytes(bytes(range(32)))
    assert evidence(fleet, "-o", output, "--anonymous", "--anonymous-key", key).status == 3
    files = read_files(str(output))
    assert [path for path, content in files.items() if re.search(rb"gpu-0[123]", path.encode() + content)] == []
    names = {path.split("/")[1] for path in files if path.startswith("nodes/")}
    assert names == {parse_snapshot(files[f"nodes/{name}/snapshot.yaml"]).node for name in names} and len(names) == 2
    first = sha256(output.read_bytes())
    evidence(fleet, "-o", output, "--anonymous", "--anonymous-key", key)
    assert sha256(output.read_bytes()) == first


def test_the_report_about_a_host_follows_from_the_snapshot_beside_it(evidence: Run, tmp_path: Path) -> None:
    done = eidos("evidence", "--root", str(HOSTS / "ubuntu-22.04"), "-o", str(tmp_path / "a.tar.gz"), program=CHECKOUT)
    assert done.status == 0
    files = read_files(str(tmp_path / "a.tar.gz"))
    report = CheckReport.from_tree(from_text(files["report.yaml"], "report"), "report")
    snapshot = parse_snapshot(files["snapshot.yaml"])
    assert report.timestamp == snapshot.timestamp and snapshot.collectors
    (tmp_path / "snapshot.yaml").write_bytes(files["snapshot.yaml"])
    assert evidence(tmp_path / "snapshot.yaml", "-o", tmp_path / "b.tar.gz").status == 0
    assert read_files(str(tmp_path / "b.tar.gz")) == files


@pytest.mark.parametrize("timestamp", [None, "yesterday"])
def test_a_snapshot_without_a_time_is_judged_as_of_now_with_a_warning(
    evidence: Run, node: Path, tmp_path: Path, timestamp: str | None
) -> None:
    tree = json.loads(node.read_text())
    del tree["metadata"]["snapshot-timestamp"]
    if timestamp:
        tree["metadata"]["snapshot-timestamp"] = timestamp
    node.write_text(json.dumps(tree))
    done = evidence(node, "-o", tmp_path / "a.tar.gz")
    assert done.status == 0 and "gpu-07 has no valid timestamp; judged as of now" in done.err


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        ((), 0),
        (("--fail-on", "error"), 4),
        (("--fail-on", "critical"), 3),
        (("--fail-on", "critical", "--allow-unknown"), 0),
        (("--fail-on", "never"), 0),
    ],
)
def test_findings_fail_it_only_with_fail_on(evidence: Run, node: Path, tmp_path: Path, flags: tuple[str, ...], status: int) -> None:
    output = tmp_path / "a.tar.gz"
    assert evidence(node, "-o", output, "--intent", "training", *flags).status == status
    assert inspect_bundle(str(output)).problems == (), "it is written in any case"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("NODE",), 2, "eidos evidence needs a file to write"),
        (("NODE", "-o", "cm://ns/name"), 2, "this is an archive"),
        (("NODE", "-o", "oci://registry.example.com/x:1"), 2, "run 'eidos push FILE"),
        (("NODE", "-o", "missing/a.tar.gz"), 1, "the folder does not exist"),
        (("NODE", "-o", "a.tar.gz", "--root", "/"), 2, "--root cannot be used with"),
        (("NODE", "-o", "a.tar.gz", "--with", "ssh"), 2, "--with and --passphrase-file need --key"),
        (("NODE", "-o", "a.tar.gz", "--key", "missing"), 2, "--key: missing: no such file"),
        (("NODE", "-o", "a.tar.gz", "--anonymous-key", "x"), 2, "--anonymous-key needs --anonymous"),
        (("NODE", "-o", "a.tar.gz", "--only", "nouveau-load"), 2, "unknown check"),
        (("NODE", "-o", "a.tar.gz", "--recipe", "r.yaml", "--gpu", "h100"), 2, "--recipe cannot be used with --gpu"),
        (("gpu-99", "-o", "a.tar.gz"), 2, "gpu-99: no such file"),
        (("EMPTY", "-o", "a.tar.gz"), 2, "no snapshots in this folder"),
        (("BROKEN", "-o", "a.tar.gz"), 2, "broken.yaml"),
        (("SUMMARY", "-o", "a.tar.gz"), 2, "summary.yaml: unanswered"),
        (("PIPE", "-o", "a.tar.gz"), 2, "pipe.yaml: not a file"),
        (("CLUSTER", "-o", "a.tar.gz"), 2, "run 'eidos fleet --kubernetes' again"),
        (("LINK", "-o", "a.tar.gz"), 2, "link/summary.yaml: no such file"),
    ],
)
def test_what_is_refused_is_named_and_nothing_is_written(
    evidence: Run, node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], status: int, message: str
) -> None:
    for name in ("empty", "broken", "here", "summary", "pipe", "cluster", "link"):
        (tmp_path / name).mkdir()
    for name in ("broken", "summary", "cluster", "link"):
        shutil.copy(node, tmp_path / name / "good.yaml")
    (tmp_path / "summary" / "summary.yaml").write_text("unanswered: 3")
    (tmp_path / "broken" / "broken.yaml").write_text("kind: [")
    os.mkfifo(tmp_path / "pipe" / "pipe.yaml")
    for folder, name in (("cluster", "cluster.yaml"), ("link", "summary.yaml")):
        (tmp_path / folder / name).symlink_to("removed.yaml")
    paths = {
        "NODE": str(node),
        **{name.upper(): str(tmp_path / name) for name in ("empty", "broken", "summary", "pipe", "cluster", "link")},
    }
    monkeypatch.chdir(tmp_path / "here")
    done = evidence(*(paths.get(word, word) for word in words))
    assert (done.status, done.out) == (status, "") and message in done.err
    assert "Traceback" not in done.err and os.listdir(".") == []


def test_a_snapshot_in_a_registry_is_evidence_byte_for_byte(run: Run, node: Path, tmp_path: Path) -> None:
    with OciRegistry() as registry:
        reference = f"oci://{registry.host}/nodes:gpu-07"
        assert run("push", node, reference, "--plain-http").status == 0
        assert run("evidence", reference, "-o", tmp_path / "a.tar.gz", EIDOS_PLAIN_HTTP="1").status == 0
    assert read_files(str(tmp_path / "a.tar.gz"))["snapshot.yaml"] == node.read_bytes()


def test_it_goes_to_standard_output_and_a_full_disk_leaves_nothing(evidence: Run, node: Path, tmp_path: Path) -> None:
    with open(tmp_path / "a.tar.gz", "wb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "eidos", "evidence", str(node), "-o", "-", "-q"],
            stdout=file,
            cwd=HOSTS.parent.parent,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0 and inspect_bundle(str(tmp_path / "a.tar.gz")).problems == ()
    assert evidence(node, "-o", "/dev/full").status == 1


def test_more_than_can_be_verified_is_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    node = NodeDocuments("", b"s" * 100, b"r", b"c")
    files, _ = document_files([node])
    assert evidence_files(files, "", {}, {})
    monkeypatch.setattr(tar_archive, "MAX_FILE_BYTES", 50)
    with pytest.raises(InvalidInput, match=r"snapshot\.yaml would be larger"):
        evidence_files(files, "", {}, {})
    monkeypatch.undo()
    monkeypatch.setattr(tar_archive, "MAX_ARCHIVE_BYTES", 2048)
    with pytest.raises(InvalidInput, match="the evidence is larger"):
        evidence_files(files, "", {}, {})
    monkeypatch.undo()
    monkeypatch.setattr(evidence_archive, "MAX_FILES", 3)
    with pytest.raises(InvalidInput, match="holds at most 3"):
        evidence_files(files, "", {}, {})


def test_a_thousand_nodes_have_a_statement_that_can_be_verified() -> None:
    nodes = [NodeDocuments(f"nodes/gpu-{number}/", b"%d" % number, b"r", b"c%d" % number) for number in range(1000)]
    files = evidence_files(document_files(nodes)[0], "", {}, {})
    assert len(files) == 3004 and len(files[STATEMENT]) < 4096
