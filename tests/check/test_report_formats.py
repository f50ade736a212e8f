"""The forms of reports: valid by the public schema of each, complete, and closed to whatever a node or a check may call itself."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from eidos.check.html_report import COLUMN_LIMIT
from eidos.check.markdown_report import LIMIT
from eidos.check.report_formats import FORMATS, render
from eidos.check.report_groups import group_findings, node_classes
from eidos.model.check_report import CheckReport
from eidos.model.finding import (
    COSTS,
    DO,
    ERROR,
    FAIL,
    NOT_APPLICABLE,
    PASS,
    RUN,
    SET,
    SEVERITIES,
    STATUSES,
    UNKNOWN,
    WAIVED,
    WARNING,
    WRITE,
    Finding,
    FindingSource,
    Remedy,
    RemedyStep,
)
from eidos.model.record import replace
from tests.support.promtool import check_metrics

SCHEMAS = Path(__file__).parent.parent / "schemas"

TIME = "2026-11-29T06:00:00Z"

REMEDY = Remedy(
    (RemedyStep(WRITE, "blacklist nouveau\noptions nouveau modeset=0\n", "/etc/modprobe.d/a.conf"), RemedyStep(RUN, "reboot")), "reboot"
)
NOUVEAU = Finding(
    *("nouveau-loaded", "the nouveau driver is loaded", FAIL, ERROR, "driver", "OS.kmod.nouveau", "not loaded", "true"),
    *(
        "Two drivers claim the same GPUs.",
        FindingSource(check="nouveau-loaded", document="Guide", url="https://docs.example.com/a?b=1&c=2"),
    ),
    *(REMEDY, {"OS.kmod.nouveau": "true"}),
)
UNKNOWN_ECC = Finding("gpu-ecc", "ECC is off", UNKNOWN, WARNING, "gpu", reason="could not read GPU: permission denied")
WAIVED_POWER = Finding("gpu-power", "the power limit is low", WAIVED, WARNING, "gpu", actual="300", waiver="10 kW racks; until 2027-03-31")
PASSED = Finding("swap-on", "swap is on", PASS, ERROR, "system", expected="off", actual="off", evidence={"OS.memory.swap": "0"})
NONE = Finding("efa", "EFA is missing", NOT_APPLICABLE, ERROR, "network", reason="this node has no EFA")

REPORT = CheckReport(
    TIME, "1.2.3", "gpu-07", TIME, "8d89e3", ("settings were not judged",), (NOUVEAU, UNKNOWN_ECC, WAIVED_POWER, PASSED, NONE)
)


def fleet(count: int) -> tuple[CheckReport, ...]:
    """Nodes of which every tenth has no fault."""
    right = replace(REPORT, findings=(replace(NOUVEAU, status=PASS), UNKNOWN_ECC, PASSED))
    return tuple(replace(right if number % 10 == 0 else REPORT, node=f"gpu-{number:02}") for number in range(count))


#: What could end an element, an attribute, a code span, a label, a line, or what a format has no characters for.
HOSTILE = "]]>--></script></style></pre>\"'`<img src=x onerror=alert(1)>&amp;\\|*_@{x}\n\r\t\0\x1b\ud800\ufffe{}%\u202e```~~~"

text = st.one_of(st.text(max_size=12), st.just(HOSTILE), st.sampled_from(["", " ", "a b"]))
steps = st.builds(RemedyStep, st.sampled_from([RUN, WRITE, SET, DO]), text, text)
remedies = st.builds(Remedy, st.lists(steps, max_size=3).map(tuple), st.sampled_from(COSTS))
findings = st.builds(
    Finding,
    *(text.map(lambda name: name or "a"), text, st.sampled_from(STATUSES), st.sampled_from(SEVERITIES), text, text, text, text, text),
    st.builds(FindingSource, document=text, url=st.sampled_from(["", "https://example.com/", "javascript:alert(1)"])),
    st.one_of(st.none(), remedies),
    st.dictionaries(text, text, max_size=2),
    text,
    st.booleans(),
)
reports = st.builds(
    CheckReport,
    *(st.sampled_from([TIME, "", "soon"]), text, text, text, text, st.lists(text, max_size=2).map(tuple)),
    st.lists(findings, max_size=4).map(tuple),
)


class Page(html.parser.HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def sarif_schema() -> Any:
    return vars(jsonschema)["Draft4Validator"](json.loads((SCHEMAS / "sarif-schema-2.1.0.json").read_text(encoding="utf-8")))


def junit_schema() -> Any:
    return pytest.importorskip("xmlschema").XMLSchema(SCHEMAS / "junit.xsd")


def test_junit_counts_what_failed_what_is_unknown_and_what_is_left_out() -> None:
    root = ET.fromstring(render((REPORT,), "junit"))
    (suite,) = root
    assert [suite.get(name) for name in ("name", "tests", "failures", "errors", "skipped")] == ["gpu-07", "5", "1", "1", "2"]
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    failure = cases["nouveau-loaded"].find("failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("error", "the nouveau driver is loaded")
    for words in (
        "expected not loaded, found true",
        "do: write /etc/modprobe.d/a.conf: blacklist nouveau; ",
        "evidence: OS.kmod.nouveau = true",
    ):
        assert words in str(failure.text)
    assert [[child.tag for child in cases[name]] for name in ("gpu-ecc", "gpu-power", "swap-on", "efa")] == [
        ["error"],
        ["skipped"],
        [],
        ["skipped"],
    ]


def test_sarif_keeps_the_kind_of_each_finding() -> None:
    (run,) = json.loads(render((REPORT,), "sarif"))["runs"]
    kinds = {result["ruleId"]: (result["kind"], result["level"]) for result in run["results"]}
    assert kinds == {
        "nouveau-loaded": ("fail", "error"),
        "gpu-ecc": ("open", "none"),
        "gpu-power": ("fail", "warning"),
        "swap-on": ("pass", "none"),
        "efa": ("notApplicable", "none"),
    }
    assert [result["ruleId"] for result in run["results"] if "suppressions" in result] == ["gpu-power"]
    rules = run["tool"]["driver"]["rules"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
    assert run["results"][0]["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "gpu-07/OS.kmod.nouveau"


@pytest.mark.parametrize("count", [1, 3])
def test_documents_are_valid_by_the_public_schemas(count: int) -> None:
    sarif_schema().validate(json.loads(render(fleet(count), "sarif")))
    junit_schema().validate(render(fleet(count), "junit"))


@settings(phases=[Phase.explicit, Phase.generate], max_examples=30)
@given(st.lists(reports, min_size=1, max_size=2).map(tuple))
def test_any_report_has_every_form(any_reports: tuple[CheckReport, ...]) -> None:
    for form in FORMATS:
        render(any_reports, form).encode()
    assert all(char.isprintable() or char in "\n\t" for char in render(any_reports, "markdown"))
    ET.fromstring(render(any_reports, "junit").encode())
    sarif = json.loads(render(any_reports, "sarif"))
    assert [len(run["results"]) for run in sarif["runs"]] == [len(report.findings) for report in any_reports]
    for line in render(any_reports, "prometheus").split("\n")[:-1]:
        assert re.fullmatch(r'# .*|\w+(\{(\w+="([^"\\\n]|\\["\\n])*",?)+\})? \d+', line)
    page = Page(render(any_reports, "html"))
    assert page.open == []
    assert sum(tag == "article" for tag, _ in page.tags) == len(group_findings(any_reports))
    assert sum(tag in ("script", "style", "img", "iframe", "link") for tag, _ in page.tags) == 2
    for _, attributes in page.tags:
        assert not any(name.startswith("on") and name != "on" for name in attributes)
        assert not str(attributes.get("href", "#")).startswith("javascript")


@pytest.mark.exhaustive(sample=2, group="report schemas")
@pytest.mark.parametrize("seed", range(20))
def test_hostile_reports_are_valid_by_the_public_schemas(seed: int) -> None:
    status, severity = STATUSES[seed % 5], SEVERITIES[seed % 4]
    finding = Finding(
        HOSTILE, HOSTILE, status, severity, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, waiver=HOSTILE, evidence={HOSTILE: HOSTILE}
    )
    hostile = CheckReport(TIME if seed % 2 else HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, (HOSTILE,), (finding,))
    sarif_schema().validate(json.loads(render((hostile,), "sarif")))
    junit_schema().validate(render((hostile,), "junit"))


def test_metrics_are_what_promtool_accepts() -> None:
    one, many = render((REPORT,), "prometheus"), render(fleet(3), "prometheus")
    assert 'eidos_finding{check="nouveau-loaded",severity="error",status="fail"} 1\n' in one
    assert "eidos_check_timestamp_seconds 1795932000\n" in one
    assert 'eidos_finding{check="nouveau-loaded",severity="error",status="fail",node="gpu-01"} 1\n' in many
    check_metrics(one)
    check_metrics(many)


def test_markdown_shows_what_to_do_and_counts_what_passed() -> None:
    page = render((REPORT,), "markdown")
    assert page.startswith("### `gpu-07`: 1 error, 1 passed, 1 unknown, 1 waived, 1 not applicable\n\nsettings were not judged\n")
    assert "- **error** the nouveau driver is loaded `nouveau-loaded`  \n  expected `not loaded`, found `true`. Two drivers" in page
    assert "  Do (reboots the node):\n\n  ```\n  write /etc/modprobe.d/a.conf:\n  blacklist nouveau\n" in page
    assert "- **waived** the power limit is low `gpu-power`" in page
    assert "- could not read GPU: permission denied: `gpu-ecc`" in page
    assert "swap" not in page


def test_markdown_of_many_nodes_has_each_finding_once_and_fits_a_comment() -> None:
    page = render(fleet(30), "markdown")
    assert page.startswith("### 30 nodes, 2 classes of equal nodes\n")
    assert page.count("nouveau-loaded") == 1
    assert "on 27 nodes: gpu-01, gpu-02, gpu-03, gpu-04, gpu-05, gpu-06, gpu-07, gpu-08 and 19 more" in page
    different = [replace(REPORT, node=f"n{number}", findings=(replace(NOUVEAU, actual=str(number) * 300),)) for number in range(300)]
    long = render(tuple(different), "markdown")
    assert len(long) <= LIMIT
    assert re.search(r"\n\d+ more findings: see the report in another format\.\n", long)


def test_a_page_says_everything_about_one_node() -> None:
    page = Page(render((REPORT,), "html"))
    words = " ".join(page.words)
    for phrase in (
        "gpu-07: 1 error",
        "not loaded",
        "Two drivers claim",
        "blacklist nouveau",
        "10 kW racks",
        "permission denied",
        "OS.memory.swap",
    ):
        assert phrase in words
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == ["https://docs.example.com/a?b=1&c=2"]
    sections = [attributes for tag, attributes in page.tags if tag == "details" and attributes.get("class") == "section"]
    assert ["open" in attributes for attributes in sections] == [True, True, True, False, False]
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert str(policy).startswith("default-src 'none'; style-src 'sha256-")


def test_a_page_of_many_nodes_begins_with_classes_of_equal_ones() -> None:
    nodes = fleet(30)
    assert [(item.name, len(item.nodes)) for item in node_classes(nodes)] == [("A", 27), ("B", 3)]
    page = Page(render(nodes, "html"))
    columns = [attributes for tag, attributes in page.tags if tag == "th" and attributes.get("scope") == "col"]
    assert len(columns) == 4 + 2 + 30
    cells = [str(attributes["class"]).split()[0] for tag, attributes in page.tags if tag == "td" and "class" in attributes]
    rows = [cells[index : index + 30] for index in range(len(cells) - 3 * 30, len(cells), 30)]
    assert rows == [["error"] * 27 + ["pass"] * 3, ["unknown"] * 30, ["waived"] * 27 + ["not-applicable"] * 3]
    assert " ".join(page.words).index("Classes of equal nodes") < " ".join(page.words).index("Nodes and findings")


def test_more_nodes_than_columns_are_shown_by_class() -> None:
    page = Page(render(fleet(COLUMN_LIMIT + 2), "html"))
    columns = [attributes for tag, attributes in page.tags if tag == "th" and attributes.get("scope") == "col"]
    assert len(columns) == 4 + 2
