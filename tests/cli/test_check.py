"""``eidos check`` and ``eidos explain`` as a user runs them: forms, exit statuses, and what is refused."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eidos.cli import check as check_verb
from tests.support.program import CHECKOUT, ROOT, eidos
from tests.support.support_archives import bug_report, sos_report

HOSTS = Path(__file__).parent.parent / "hosts"

GPU: dict[str, Any] = {"model": "NVIDIA H100 80GB HBM3", "ecc.current": "Enabled", "ecc.pending": "Enabled"}


def write_snapshot(path: Path, node: str = "gpu-07", **more: dict[str, Any]) -> Path:
    """A snapshot of a host on which the second GPU is as in ``more``."""
    gpus = [{"subtype": "smi", "data": {"driver": "580.95.05", "gpu-count": 2}}]
    gpus += [{"subtype": "gpu-0", "data": GPU}, {"subtype": "gpu-1", "data": {**GPU, **more.get("gpu", {})}}]
    release = {"subtype": "release", "data": {"ID": "ubuntu", "VERSION_ID": "24.04"}}
    kmod = {"subtype": "kmod", "data": {"nvidia": True, **more.get("kmod", {})}}
    names = ("os.release", "os.kmod", "os.grub", "os.sysctl", "gpu")
    tree = {
        "kind": "Snapshot",
        "apiVersion": "snapshot.dgxc.io/v1",
        "metadata": {"snapshot-timestamp": "2026-11-29T06:00:00Z", "source-node": node},
        "measurements": [{"type": "OS", "subtypes": [release, kmod]}, {"type": "GPU", "subtypes": gpus}],
        "collectors": [{"name": name, "outcome": more.get("outcomes", {}).get(name, "ok"), "milliseconds": 1} for name in names],
    }
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


def check(*arguments: str | Path) -> tuple[int, str, str]:
    result = eidos("check", "--max-age", "100000h", *map(str, arguments))
    return result.status, result.out, result.err


def test_a_finding_has_three_lines_and_the_verdict_one(tmp_path: Path) -> None:
    status, out, err = check("-f", write_snapshot(tmp_path / "node.json", kmod={"nouveau": True}), "--only", "driver", "--allow-unknown")
    assert (status, err) == (4, "")
    lines = out.splitlines()
    assert lines[0].startswith("gpu-07: 1 error, ")
    assert lines[0].endswith("; training and inference settings were not judged (choose with --intent)")
    assert lines[2].startswith("driver ─")
    assert lines[2].endswith(" 1 error, 1 warning")  # the driver of the snapshot is an older release
    assert lines[3] == "error     the nouveau driver is loaded [nouveau-loaded]"
    assert lines[4].startswith("          expected not loaded, found true. nouveau and NVIDIA's driver claim the same GPUs")
    assert lines[5].startswith("          do: write /etc/modprobe.d/")
    assert lines[5].endswith(": blacklist nouveau")
    assert lines[8] == "              drain the node and reboot it (reboots the node)"


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        ((), 4),
        (("--fail-on", "critical", "--allow-unknown"), 0),
        (("--fail-on", "never"), 0),
        (
            ("--skip", "driver,gpu,fabric,pcie,network,memory,storage,log,runtime,kubernetes,kernel,boot,system,modules,services,snapshot"),
            0,
        ),
        (("--only", "nouveau-loaded", "--fail-on", "warning"), 4),
        (("--only", "critical", "--allow-unknown"), 0),
        (("--skip", "nouveau-loaded", "--allow-unknown", "--require", "os.kmod"), 0),
        (("--skip", "nouveau-loaded", "--allow-unknown", "--require", "systemd"), 3),
    ],
)
def test_the_exit_status_follows_the_findings(tmp_path: Path, flags: tuple[str, ...], status: int) -> None:
    assert check("-f", write_snapshot(tmp_path / "node.json", kmod={"nouveau": True}), *flags)[0] == status


def test_what_could_not_be_judged_is_not_passed(tmp_path: Path) -> None:
    node = write_snapshot(tmp_path / "node.json", outcomes={"gpu": "failed"})
    status, out, _ = check("-f", node, "--only", "gpu")
    assert status == 3
    assert "\nunknown   gpu failed\n" in out
    assert check("-f", node, "--only", "gpu", "--allow-unknown")[0] == 0


def test_documents_are_reports(tmp_path: Path) -> None:
    node = write_snapshot(tmp_path / "node.json", gpu={"ecc.pending": "Disabled"})
    status, out, _ = check("-f", node, "-t", "json", "--only", "gpu-ecc-pending", "--intent", "training")
    report = json.loads(out)
    assert status == 0
    assert (report["kind"], report["apiVersion"], report["metadata"]["source-node"]) == ("CheckReport", "check.dgxc.io/v1", "gpu-07")
    assert report["summary"]["warning"] == 1
    (finding,) = report["findings"]
    assert finding["evidence"] == {"GPU.gpu-1.ecc.current": "Enabled", "GPU.gpu-1.ecc.pending": "Disabled"}
    assert finding["remedy"]["cost"] == "drain"
    assert "notes" not in report
    assert check("-f", node, "-o", tmp_path / "report.yaml", "--allow-unknown")[1] == ""
    assert (tmp_path / "report.yaml").read_text(encoding="utf-8").startswith("kind: CheckReport\n")


def test_a_folder_is_judged_by_node(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "b.json", "gpu-02", kmod={"nouveau": True})
    write_snapshot(tmp_path / "a.json", "gpu-01")
    status, out, _ = check("-f", tmp_path, "-t", "json", "--only", "nouveau-loaded")
    assert status == 4
    assert [(item["metadata"]["source-node"], item["summary"]["error"]) for item in json.loads(out)["items"]] == [
        ("gpu-01", 0),
        ("gpu-02", 1),
    ]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert check("-f", empty)[0] == 2


@pytest.mark.parametrize(("kmod", "status"), [({}, 3), ({"nouveau": True}, 4)])
def test_a_broken_file_of_a_folder_costs_no_other_its_judgement(tmp_path: Path, kmod: dict[str, Any], status: int) -> None:
    """Whatever is wrong with it; what is written of a fleet besides its nodes is no node, and the cluster belongs to each."""
    folder = tmp_path / "nodes"
    folder.mkdir()
    for number in (1, 10, 2):
        write_snapshot(folder / f"gpu-{number}.json", f"gpu-{number}", kmod=kmod if number == 10 else {})
    (folder / "summary.yaml").write_text("kind: FleetSummary\n")
    (folder / "cluster.yaml").write_text("measurements: [{type: K8s, subtypes: [{subtype: server, data: {version: v1.33.1}}]}]\n")
    arguments = ("-f", folder, "-t", "json", "--only", "nouveau-loaded")
    assert check(*arguments)[0] == (4 if kmod else 0)
    broken = {"empty.json": b"", "half.json": b'{"kind": "Snap', "list.yaml": b"- 1\n", "recipe.yaml": b"kind: Recipe\n"}
    for name, content in broken.items():
        (folder / name).write_bytes(content)
    (folder / "gone.json").symlink_to("nowhere")
    (folder / "folder.yaml").mkdir()
    os.mkfifo(folder / "pipe.json")
    result, out, err = check(*arguments, "--allow-unknown")
    assert result == status, err
    assert [item["metadata"]["source-node"] for item in json.loads(out)["items"]] == ["gpu-1", "gpu-2", "gpu-10"]
    for name in (*broken, "gone.json", "folder.yaml", "pipe.json"):
        assert f"error: {folder / name}" in err, (name, err)
    assert err.endswith("error: 7 of 10 snapshots could not be judged\n")
    for name in broken:
        (folder / name).unlink()
    (folder / "cluster.yaml").write_bytes(b'{"kind": "Snap')
    result, out, err = check(*arguments, "--allow-unknown")
    assert (result, len(json.loads(out)["items"])) == (status, 3)
    assert f"error: nodes are judged without the cluster: {folder / 'cluster.yaml'}" in err
    assert err.endswith("error: 3 of 6 snapshots could not be judged\n")
    for path in folder.glob("gpu-*"):
        path.unlink()
    result, out, err = check(*arguments)
    assert (result, out) == (2, ""), err


def test_a_recipe_is_what_a_node_is_judged_by(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "measurements: [{type: GPU, subtypes: [{subtype: smi, data: {driver: 595.91.07}}]}]\n"
        'constraints: [{name: GPU.smi.driver, value: ">= 590 or == 535"}]\n',
        encoding="utf-8",
    )
    node = write_snapshot(tmp_path / "node.json")
    status, out, _ = check("-f", node, "-r", recipe, "--only", "GPU.smi.driver")
    assert status == 4
    assert "error     driver version [GPU.smi.driver]\n          expected >= 590 or == 535, found 580.95.05." in out
    status, _, err = check("-f", node, "-r", recipe, "--gpu", "h100")
    assert status == 2
    assert err == "error: --recipe cannot be used with --gpu\nhint: remove one of the two\n"


def test_a_constraint_that_is_wrong_is_shown_with_a_caret(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "measurements: [{type: GPU, subtypes: [{subtype: smi, data: {driver: 595.91.07}}]}]\n"
        'constraints: [{name: GPU.smi.driver, value: ">= 590 or matches /(/"}]\n',
        encoding="utf-8",
    )
    status, _, err = check("-f", write_snapshot(tmp_path / "node.json"), "-r", recipe)
    assert status == 2
    assert "recipe.yaml: constraints[0].value: invalid expression" in err
    line, caret = next((a, b) for a, b in zip(err.splitlines(), err.splitlines()[1:]) if b.strip() == "^")
    assert line[caret.index("^")] == "("


def test_a_site_has_its_profile_and_its_waivers(tmp_path: Path) -> None:
    node = write_snapshot(tmp_path / "node.json", kmod={"nouveau": True})
    waivers = tmp_path / "waivers.yaml"
    status, _, err = check("-f", node, "--write-waivers", waivers, "--allow-unknown")
    assert status == 4
    assert "waivers.yaml: " in err
    assert "id: nouveau-loaded" in waivers.read_text(encoding="utf-8")
    status, out, _ = check("-f", node, "--waivers", waivers, "--allow-unknown", "--fail-on", "info")
    assert status == 0
    assert "waived    the nouveau driver is loaded [nouveau-loaded]: accepted on " in out
    profile = tmp_path / "profile.yaml"
    profile.write_text("severity: {nouveau-loaded: info}\nonly: [nouveau-loaded]\n", encoding="utf-8")
    status, out, _ = check("-f", node, "--profile", profile)
    assert status == 0
    assert out.startswith("gpu-07: 1 info, 0 passed")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--only", "nouveau-loadet"),
            "error: --only: unknown check, domain or severity 'nouveau-loadet'\nhint: did you mean 'nouveau-loaded'?\n",
        ),
        (("--fail-on", "fatal"), "invalid value 'fatal'"),
        (("-f", "nothing.yaml"), "nothing.yaml: no such file"),
        (("-f", "nothing.yaml", "--root", "/host"), "--root cannot be used with --file"),
        (("--smi", "nothing.xml"), "nothing.xml: no such file"),
    ],
)
def test_mistakes_are_refused(tmp_path: Path, flags: tuple[str, ...], message: str) -> None:
    result = eidos("check", *flags, cwd=tmp_path)
    assert result.status == 2
    assert message in result.err


def test_remedies_become_a_script_of_one_node(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "a.yaml")
    done = check("-f", tmp_path / "a.yaml", "--gpu", "h100", "--script", tmp_path / "fix.sh", "--fail-on", "never", "--max-age", "90000h")
    assert done[0] == 0, done[2]
    assert (tmp_path / "fix.sh").read_text(encoding="utf-8").startswith("#!/bin/sh\n# Remedies for gpu-07. ")
    assert "to carry out" in done[2]
    write_snapshot(tmp_path / "b.yaml", "gpu-08")
    done = check("-f", tmp_path, "--script", "-", "--fail-on", "never")
    assert (done[0], "--script is for one node" in done[2]) == (2, True)


SMI = """\
<nvidia_smi_log><driver_version>580.95.05</driver_version><cuda_version>13.0</cuda_version><attached_gpus>1</attached_gpus>
<gpu id="00000000:1B:00.0"><product_name>NVIDIA H100 80GB HBM3</product_name>
<ecc_mode><current_ecc>Enabled</current_ecc><pending_ecc>Disabled</pending_ecc></ecc_mode></gpu></nvidia_smi_log>
"""


@pytest.mark.parametrize(
    ("printed", "status", "gpu"),
    [
        (SMI, 4, "fail"),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", 3, "unknown"),
        ("No devices were found\n", 0, "not-applicable"),
    ],
)
def test_a_tree_is_judged_with_what_nvidia_smi_printed(tmp_path: Path, printed: str, status: int, gpu: str) -> None:
    smi = tmp_path / "smi.xml"
    smi.write_text(printed, encoding="utf-8")
    done = check("--root", HOSTS / "ubuntu-22.04", "--smi", smi, "--only", "gpu-ecc-pending", "--fail-on", "warning", "-t", "json")
    assert done[0] == status, done[2]
    assert [finding["status"] for finding in json.loads(done[1])["findings"]] == [gpu]


def test_checks_are_listed_and_explained() -> None:
    listed = eidos("check", "--list")
    assert listed.status == 0
    assert "driver ─" in listed.out
    assert "  nouveau-loaded" in listed.out
    rows = json.loads(eidos("check", "--list", "-t", "json").out)
    assert {"id": "nouveau-loaded", "severity": "error", "domain": "driver", "title": "the nouveau driver is loaded"} in rows
    explained = eidos("explain", "nouveau-loaded")
    assert explained.status == 0
    for part in (
        "OS.kmod.nouveau absent",
        "claim the same GPUs",
        "Driver Installation Guide",
        "OS.boot-modprobe.blacklist.nouveau to true",
    ):
        assert part in explained.out
    assert json.loads(eidos("explain", "driver-end-of-life", "-t", "json").out)["rule"] == "end-of-life"
    assert "may have changed since" in eidos("explain", "snapshot-age").out
    unknown = eidos("explain", "nouveau")
    assert (unknown.status, unknown.err) == (2, "error: no check 'nouveau'\nhint: did you mean 'nouveau-loaded'?\n")


@pytest.mark.parametrize("make", [sos_report, bug_report], ids=["sosreport", "nvidia-bug-report"])
def test_an_archive_of_a_support_tool_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[..., bytes]) -> None:
    """By what it holds; what it does not hold is unknown, and nothing of it is left behind."""
    (tmp_path / "archive").write_bytes(make(HOSTS / "ubuntu-22.04", pending="Yes"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    status, out, err = check("--root", tmp_path / "archive", "-t", "json", "--timeout", "120s")
    assert status == (4 if make is sos_report else 3), err
    findings = {finding["id"]: finding for finding in json.loads(out)["findings"]}
    remap = findings["gpu-row-remap-pending"]
    assert (remap["status"], remap["actual"]) == ("fail", "true (gpu-6)")
    assert findings["nouveau-loaded"]["status"] == "pass"
    assert findings["pcie-width"]["status"] == "pass"
    assert findings["xid-application"]["status"] in ("pass", "fail")
    if make is sos_report:
        assert findings["cdi-of-other-driver"]["status"] == "fail"
        assert findings["OS.sysctl./proc/sys/vm/swappiness"]["status"] == "fail"
    for id in ("rdma-port-down", "pcie-width-bus", "unit-failed", "file-system-full", "node-not-ready"):
        assert findings[id]["status"] == "unknown", findings[id]
    assert "not in the archive" in findings["rdma-port-down"]["reason"]
    assert list((tmp_path / "tmp").iterdir()) == []
    fewer = eidos("snapshot", "--root", str(tmp_path / "archive"), "--only", "os.kernel,gpu", "--timeout", "120s")
    assert fewer.status == 0
    assert 'model: "NVIDIA A100-SXM4-80GB"' in fewer.out
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "flags", "words"),
    [
        (b"hello" * 300, (), "not a tar archive"),
        (b"", (), "neither a report of sos"),
        (None, (), "no such folder or archive"),
        (b"hello" * 300, ("--require", "k8s.node"), "an archive of a host has no cluster"),
    ],
)
def test_what_is_no_archive_of_a_host_is_refused(tmp_path: Path, content: bytes | None, flags: tuple[str, ...], words: str) -> None:
    if content is not None:
        (tmp_path / "archive").write_bytes(content)
    status, out, err = check("--root", tmp_path / "archive", *flags)
    assert (status, out) == (2, "")
    assert words in err.splitlines()[0]


#: Prints what is opened, or contacted, by what a check does while collectors run.
LOOKAHEAD = """
import sys
from eidos.cli import check, program
is_ahead, read_host = False, check.read_host
def watch(event, arguments):
    if is_ahead and event in ("open", "os.listdir", "os.scandir", "socket.connect", "subprocess.Popen", "os.fork"):
        print("opened:", arguments[0] if arguments else event)
def read(*words, meanwhile, **more):
    def watched():
        global is_ahead
        is_ahead = True
        meanwhile()
        is_ahead = False
    return read_host(*words, meanwhile=watched, **more)
sys.addaudithook(watch)
check.read_host = read
program()
"""


def test_a_check_reads_nothing_but_its_own_files_while_collectors_run(tmp_path: Path) -> None:
    """So what it does meanwhile needs no deadline."""
    words = ("check", "--root", str(tmp_path), "--only", "nouveau-loaded", "--fail-on", "never", "-t", "json")
    done = eidos(*words, program=[CHECKOUT[0], "-c", LOOKAHEAD], env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert done.status == 0, done.err
    opened = [line.partition("opened: ")[2] for line in done.out.splitlines() if line.startswith("opened: ")]
    own = tuple(str(path) for path in (ROOT / "eidos", ROOT / "recipes", sys.prefix, sys.base_prefix))
    assert opened and not [path for path in opened if not path.startswith(own)]


def test_what_flags_name_is_read_before_collectors_run() -> None:
    of_host = {"file", "root", "smi", "kubeconfig", "output", "script", "write-waivers"}
    files = {option.name for option in check_verb.VERB.options if option.completion}
    assert files - of_host == set(check_verb._DOCUMENTS) - {"server"}
