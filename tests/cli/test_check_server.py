"""``eidos check --server``: the report of a real server, what is applied to it here, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.check.judge import CheckOptions
from eidos.check.profile import Profile
from eidos.check.report_formats import FORMATS
from eidos.check.waivers import Waiver
from eidos.cli import main
from eidos.cli.options import Values
from eidos.cli.server_judge import apply_options
from eidos.model.finding import SEVERITIES
from eidos.model.record import replace
from eidos.model.snapshot import Snapshot
from eidos.workflow import check_node, make_recipe, parse_snapshot
from tests.cli.test_check import HOSTS, write_snapshot
from tests.support.effort import examples
from tests.support.in_process_server import application, listening
from tests.support.scripted_server import Reply, ScriptedServer, never_responds, responds

Run = Callable[..., tuple[int, str, str]]

#: When a report was made, or a snapshot: as a date, or in seconds since 1970.
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ?|(?<=[}s] )1\d{9}\b")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with listening(application()) as address:
        yield address


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs ``eidos check`` in a folder that has a snapshot, a recipe, a profile and waivers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    write_snapshot(tmp_path / "node.json", kmod={"nouveau": True}, gpu={"ecc.pending": "Disabled"})
    recipe = make_recipe({"gpu": "h100", "service": "eks", "intent": "training"}, explain=True).to_tree()
    files = {
        "recipe.yaml": recipe,
        "profile.yaml": {"severity": {"nouveau-loaded": "info", "OS.sysctl.*": "error"}, "skip": ["gpu-ecc-pending"]},
        "waivers.yaml": {"waivers": [{"id": "nouveau-loaded", "reason": "until it is reinstalled", "expires": "2999-12-31"}]},
        "expired.yaml": {"waivers": [{"id": "nouveau-loaded", "reason": "it was new", "expires": "2026-01-01"}]},
    }
    for name, tree in files.items():
        (tmp_path / name).write_text(yaml.safe_dump(tree), encoding="utf-8")

    checks = tmp_path / "plugin" / "checks"
    checks.mkdir(parents=True)
    (checks / "acme.yaml").write_text("checks: []\n", encoding="utf-8")
    for path in (checks.parent, checks, checks / "acme.yaml"):
        path.chmod(0o700)  # nobody else may write into a plug-in, whatever the umask

    def check(*words: str) -> tuple[int, str, str]:
        status = main(["check", *words])
        captured = capfd.readouterr()
        return status, MOMENT.sub("NOW", captured.out), captured.err

    return check


@pytest.mark.parametrize(
    "words",
    [
        *(("-t", form) for form in ("table", *FORMATS)),
        ("--all", "--intent", "training"),
        ("--gpu", "h200", "--service", "eks", "--osv", "22.04", "-t", "json"),
        ("-r", "recipe.yaml", "-t", "json"),
        ("--quick",),
        ("--quick", "--fail-on", "warning"),
        ("--only", "gpu,error", "--skip", "gpu-ecc-pending", "--allow-unknown"),
        ("--profile", "profile.yaml", "--fail-on", "error", "--allow-unknown"),
        ("--waivers", "waivers.yaml", "--allow-unknown"),
        ("--waivers", "expired.yaml"),
        ("--fail-on", "critical"),
        ("--fail-on", "never", "--require", "systemd"),
        ("--only", "nouveau-loaded", "--write-waivers", "written.yaml"),
        ("--script", "-", "-o", "/dev/null"),
    ],
)
def test_a_server_gives_what_is_judged_here(run: Run, url: str, words: tuple[str, ...]) -> None:
    words = ("-f", "node.json", *words, *(() if "--only" in words or "--quick" in words else ("--skip", "snapshot-age")))
    here = run(*words)
    there = run(*words, "--server", f"{url}/")
    assert there == here
    assert here[0] in (0, 3, 4)
    assert here[1] or "/dev/null" in words


def test_a_folder_is_judged_snapshot_by_snapshot(run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fleet").mkdir()
    for number in range(3):
        write_snapshot(tmp_path / "fleet" / f"{number}.json", f"gpu-{number:02}", kmod={"nouveau": number == 1})
    words = ("-f", "fleet", "-t", "json", "--skip", "snapshot-age")
    here = run(*words)
    monkeypatch.setenv("EIDOS_SERVER", url)
    assert run(*words) == here
    assert [item["metadata"]["source-node"] for item in json.loads(here[1])["items"]] == ["gpu-00", "gpu-01", "gpu-02"]


def test_this_host_is_read_and_sent(run: Run, url: str) -> None:
    root = str(next(path for path in sorted(HOSTS.iterdir()) if (path / "etc").is_dir()))
    words = ("--root", root, "--timeout", "60s", "-t", "json", "--skip", "snapshot")
    here, there = (run(*words, *more) for more in ((), ("--server", url)))
    assert there == here
    assert len(json.loads(here[1])["findings"]) > 50


def test_only_what_the_server_judges_can_be_selected(run: Run, url: str) -> None:
    status, out, err = run("-f", "node.json", "--server", url, "--only", "nouveau-loade")
    assert (status, out) == (2, "")
    assert "--only: unknown check, domain or severity 'nouveau-loade'\nhint: did you mean 'nouveau-loaded'?" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--server", "eidos.example.com"), "--server: 'eidos.example.com' is not an http or https URL"),
        (("--server", "http://u:hunter2@192.0.2.1"), "a URL with a username or password is not accepted"),
        (("--server", "http://192.0.2.1/?x=1"), "cannot have a query"),
        (("--server", "http://192.0.2.1", "--data", "."), "--data cannot be used with --server, which has its own data"),
        (("--server", "http://192.0.2.1", "--plugin", "plugin"), "--plugin cannot be used with --server, which has its own data"),
        (("--server", "http://192.0.2.1", "--max-age", "1h"), "--max-age cannot be used with --server, which judges the age"),
        (("--server", "http://192.0.2.1", "--list"), "--list cannot be used with --server"),
        (("--server", "http://192.0.2.1", "-r", "recipe.yaml", "--gpu", "h100"), "--recipe cannot be used with --gpu"),
        (("--server", "http://192.0.2.1", "--quick", "-r", "recipe.yaml"), "--quick cannot be used with --recipe"),
        (("--server", "http://192.0.2.1", "--profile", "missing.yaml"), "missing.yaml: no such file"),
        (("--server", "http://192.0.2.1", "-f", "recipe.yaml"), "expected Snapshot"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_sent(run: Run, words: tuple[str, ...], message: str) -> None:
    status, out, err = run("-f", "node.json", *words)
    assert (status, out) == (2, "")
    assert message in err
    assert "hunter2" not in err


@pytest.mark.parametrize(
    ("reply", "status", "words"),
    [
        (responds(501), 1, "returned 501"),
        (responds(204), 1, "which is not a report"),
        (responds(200, b"<html>not us</html>"), 1, "the response is not a report"),
        (responds(200, b'{"kind": "CheckReport", "findings": [{"id": "a", "status": "good"}]}'), 1, "the response is not a report"),
        (responds(404), 2, "check that this is the address of an eidos server"),
        (responds(400, b'{"message": "gpu: invalid value", "details": {"hint": "use h100"}}'), 2, "gpu: invalid value\nhint: use h100"),
        (responds(413, b'{"message": "the body is too large"}'), 2, "returned 413: the body is too large"),
        (never_responds, 124, "timed out"),
    ],
)
def test_without_a_report_there_is_no_verdict(run: Run, reply: Reply, status: int, words: str) -> None:
    with ScriptedServer([reply]) as server:
        result = run("-f", "node.json", "--server", server.url, "--timeout", "500ms" if status == 124 else "30s")
    assert result[:2] == (status, "")
    assert words in result[2]
    assert len(server.requests) == 1 or status == 124, "a deadline may pass before anything is sent"
    for request in server.requests:
        assert request.line == "POST /v1/check HTTP/1.1"
        assert Snapshot.from_tree(json.loads(request.body), "sent").node == "gpu-07"


def test_a_recipe_with_patterns_is_refused(run: Run, url: str, tmp_path: Path) -> None:
    recipe = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    recipe["constraints"].append({"name": "OS.release.ID", "value": "ubuntu or matches /^(rhel|sles)$/"})
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert run("-f", "node.json", "-r", "recipe.yaml")[0] == 4
    status, out, err = run("-f", "node.json", "-r", "recipe.yaml", "--server", url)
    assert (status, out) == (2, "")
    assert "constraints[OS.release.ID]: a server judges no patterns" in err
    assert "hint: judge this recipe with 'eidos check -r', without a server" in err


# ---- what is applied to a report is what judging with it gives ----

NODE = parse_snapshot(
    "{metadata: {source-node: gpu-07}, measurements: [{type: OS, subtypes: [{subtype: kmod, data: {nouveau: true, nvidia: true}}]},"
    "{type: GPU, subtypes: [{subtype: smi, data: {driver: 470.82.01, gpu.model: NVIDIA H100 80GB HBM3}}]}]}"
)
REPORT = replace(check_node(NODE), timestamp="")
WORDS = st.sampled_from(
    sorted({name for f in REPORT.findings for name in (f.id, f.domain, f.path) if name} | {*SEVERITIES, "OS.sysctl.*", "GPU.*"})
)
LISTS = st.lists(WORDS, max_size=3).map(tuple)
WAIVERS = st.builds(
    lambda id, nodes, expires: Waiver(id, "", nodes, "for now", expires),
    st.sampled_from(sorted(f.id for f in REPORT.findings)),
    st.sampled_from([(), ("gpu-*",), ("other",)]),
    st.sampled_from(["", "2000-01-01", "2999-12-31"]),
)


@settings(max_examples=examples(20), deadline=None)
@given(LISTS, LISTS, st.lists(st.tuples(WORDS, st.sampled_from(SEVERITIES)), max_size=3), st.lists(WAIVERS, max_size=3))
def test_selection_severities_and_waivers_are_those_of_a_judge(
    only: tuple[str, ...], skip: tuple[str, ...], severities: list[tuple[str, str]], waivers: list[Waiver]
) -> None:
    options = CheckOptions(Profile(tuple(severities), only, skip), tuple(waivers))
    values = Values()
    values.update(only=[], skip=[])
    assert apply_options(REPORT, options, values) == replace(check_node(NODE, options=options), timestamp="")
