"""Reports as one page of HTML that needs no network: summary, classes of equal nodes and their matrix, filters, findings, evidence.

Knows which parts of the page show what (``templates/report/``); must not know any check. Everything is in the page without its script,
which only filters. The engine of templates escapes every value; the page's policy allows its own style and script, and nothing else.
"""

from __future__ import annotations

from eidos import __version__
from eidos.check.report_groups import cost_text, group_findings, node_classes, node_name, remedy_steps, source_text
from eidos.files import resources
from eidos.model.finding import CRITICAL, ERROR, FAIL, INFO, NOT_APPLICABLE, PASS, SEVERITIES, STATUSES, UNKNOWN, WAIVED, WARNING
from eidos.model.record import Record
from eidos.templates.text_template import Html, fill_text, parse_template
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from eidos.check.report_groups import EqualNodes, FindingGroup
    from eidos.model.check_report import CheckReport
    from eidos.model.finding import Finding

_FOLDER = "templates/report/"

#: Columns of a matrix; more nodes are shown by class only.
COLUMN_LIMIT = 128

_TITLES = {FAIL: "Wrong", UNKNOWN: "Could not be judged", WAIVED: "Waived", PASS: "Passed", NOT_APPLICABLE: "Not applicable"}
_LETTERS = {CRITICAL: "C", ERROR: "E", WARNING: "W", INFO: "i", UNKNOWN: "?", WAIVED: "~", PASS: "·", NOT_APPLICABLE: ""}


class LinkedDocuments(Record):
    """The documents of a node: its name, and of each document its name, the path that the page links to, and its SHA-256."""

    node: str
    documents: tuple[tuple[str, str, str], ...]


def render(reports: tuple[CheckReport, ...]) -> str:
    """The page of the reports."""
    return _Page(reports).render()


def render_evidence(reports: tuple[CheckReport, ...], linked: Sequence[LinkedDocuments], notes: Sequence[str] = ()) -> str:
    """The page of the reports that lies beside the documents of their nodes, in the same order, and links to them."""
    return _Page(reports, linked, notes).render()


def _mark(finding: Finding) -> str:
    return finding.severity if finding.status == FAIL else finding.status


class _Page:
    def __init__(self, reports: Sequence[CheckReport], linked: Sequence[LinkedDocuments] = (), notes: Sequence[str] = ()) -> None:
        self._linked, self._notes = linked, notes
        parts = resources.read_text(f"{_FOLDER}fragments.html").split("<!-- ")[1:]
        self._fragments = {name: parse_template(text.strip("\n")) for name, _, text in (part.partition(" -->\n") for part in parts)}
        self._reports = reports
        self._groups = group_findings(reports)
        self._numbers = {node_name(report): number for number, report in enumerate(reports)}
        self._is_fleet = len(reports) > 1
        #: Id of a finding → the anchor of the worst group of it.
        self._anchors: dict[str, str] = {}
        for number, group in enumerate(self._groups):
            self._anchors.setdefault(group.finding.id, f"f{number}")

    def _fill(self, fragment: str, **values: Any) -> Html:
        return Html(fill_text("fragments.html", self._fragments[fragment], values))

    def _each(self, fragment: str, rows: Iterable[dict[str, Any]], end: str = "\n") -> Html:
        return Html("".join(f"{self._fill(fragment, **row)}{end}" for row in rows))

    def render(self) -> str:
        reports, first = self._reports, self._reports[0]
        style, script = (resources.read_text(f"{_FOLDER}page.{extension}") for extension in ("css", "js"))
        marks = dict.fromkeys(_mark(group.finding) for group in self._groups)
        domains = sorted({group.finding.domain for group in self._groups if group.finding.domain})
        options = self._each("option", ({"text": name} for name in self._numbers), "")
        heading = count_of(len(reports), "node") if self._is_fleet else f"{node_name(first)}: {first.verdict()}"
        values = {
            "policy": f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; base-uri 'none'; form-action 'none'",
            "title": f"eidos {'evidence' if self._linked else 'check'}: {node_name(first) if not self._is_fleet else heading}",
            "style": Html(style),
            "script": Html(script),
            "heading": heading,
            "tiles": self._each("tile", self._tiles()),
            "notes": self._each(
                "note", ({"text": note} for note in dict.fromkeys((*self._notes, *(note for r in reports for note in r.notes))))
            ),
            "judged": self._judged(),
            "documents": self._documents() if self._linked else "",
            "fleet": self._fleet() if self._is_fleet else "",
            "marks": self._each("mark", ({"mark": mark} for mark in marks)),
            "domains": self._each("option", ({"text": name} for name in domains), ""),
            "nodes": self._fill("nodes", options=options) if self._is_fleet else "",
            "sections": Html("".join(self._sections())),
            "version": __version__,
        }
        return fill_text("page.html", parse_template(resources.read_text(f"{_FOLDER}page.html")), values)

    def _tiles(self) -> Iterator[dict[str, Any]]:
        """Numbers of the summary; of a fleet, of nodes by the worst that they have, and of all findings."""
        if self._is_fleet:
            worst = [next((s for s, number in r.summary().items() if s in SEVERITIES and number), "") for r in self._reports]
            for severity in SEVERITIES:
                if number := worst.count(severity):
                    yield {"mark": severity, "number": number, "name": f"at worst {severity}"}
            yield {"mark": PASS, "number": worst.count(""), "name": "with nothing wrong found"}
            unknown = sum(bool(report.summary()["unknown"]) for report in self._reports)
            yield {"mark": UNKNOWN, "number": unknown, "name": "not completely judged"}
            return
        for name, number in self._reports[0].summary().items():
            yield {"mark": {"passed": PASS}.get(name, name), "number": number, "name": name.replace("-", " ")}

    def _judged(self) -> str:
        times = sorted(filter(None, (report.timestamp for report in self._reports)))
        taken = sorted(filter(None, (report.snapshot_timestamp for report in self._reports)))
        spans = [f"{name} {' to '.join(dict.fromkeys((all[0], all[-1])))}" for name, all in (("judged", times), ("read", taken)) if all]
        digests = ", ".join(sorted({report.recipe_digest[:12] for report in self._reports if report.recipe_digest}))
        return "; ".join([*spans, *([f"recipe data {digests}"] if digests else [])])

    def _documents(self) -> Html:
        rows = (
            {
                "name": node.node or "unnamed",
                "verdict": report.verdict(),
                "read": report.snapshot_timestamp or "unknown",
                "documents": self._each(
                    "document", ({"name": n, "path": path, "digest": digest} for n, path, digest in node.documents), ""
                ),
            }
            for node, report in zip(self._linked, self._reports)
        )
        return Html(f"{self._fill('documents', rows=self._each('linked', rows))}\n")

    def _sections(self) -> Iterator[str]:
        for status in STATUSES:
            groups = [(number, group) for number, group in enumerate(self._groups) if group.finding.status == status]
            if groups:
                is_open = Html(" open") if status in (FAIL, UNKNOWN, WAIVED) else ""
                findings = Html("".join(f"{self._finding(number, group)}\n" for number, group in groups))
                yield self._fill("section", open=is_open, title=_TITLES[status], count=count_of(len(groups), "finding"), findings=findings)

    def _finding(self, number: int, group: FindingGroup) -> Html:
        finding = group.finding
        numbers = " ".join(str(self._numbers[name]) for name in group.nodes)
        return self._fill(
            "finding",
            anchor=f"f{number}",
            mark=_mark(finding),
            domain=finding.domain,
            on=self._fill("on", numbers=numbers) if self._is_fleet else "",
            title=finding.title,
            id=finding.id,
            new=" (new)" if finding.is_new else "",
            body=Html("".join(f"{part}\n" for part in self._body(group))),
        )

    def _body(self, group: FindingGroup) -> Iterator[Html]:
        finding = group.finding
        if self._is_fleet:
            yield self._fill("affected", count=f"{count_of(len(group.nodes), 'node')}:", names=self._names(group.nodes))
        if finding.status not in (UNKNOWN, NOT_APPLICABLE):
            yield self._fill("values", expected=finding.expected or "otherwise", actual=finding.actual or "not set")
        if finding.reason:
            yield self._fill("text", text=finding.reason)
        if finding.waiver:
            yield self._fill("text", text=f"Waiver: {finding.waiver}")
        if finding.status != PASS and (steps := remedy_steps(finding.remedy)):
            yield self._fill("remedy", cost=cost_text(finding.remedy), steps=self._each("step", ({"text": step} for step in steps), ""))
        source = source_text(finding)
        url = finding.source.url
        if url.startswith("https://"):
            yield self._fill("link", url=url, text=source or url)
        elif source:
            yield self._fill("source", text=source)
        if finding.evidence:
            rows = self._each("reading", ({"path": path, "value": value} for path, value in finding.evidence.items()), "")
            title = f"Evidence from {group.nodes[0]}" if self._is_fleet else "Evidence"
            yield self._fill("evidence", title=title, rows=rows)

    def _fleet(self) -> Html:
        classes = node_classes(self._reports)
        rows = (
            {"name": item.name, "count": f"{len(item.nodes):,}", "verdict": item.report.verdict(), "names": self._names(item.nodes)}
            for item in classes
        )
        matrix = self._matrix(classes, False)
        if len(classes) < len(self._reports) <= COLUMN_LIMIT:
            matrix = Html(f"{matrix}\n{self._matrix(classes, True)}")
        return Html(f"{self._fill('fleet', classes=self._each('class', rows), matrix=matrix)}\n")

    def _names(self, nodes: Sequence[str]) -> Html:
        """The first names, none of which is broken in two, and how many more there are."""
        first = Html(", ".join(self._fill("name", text=name) for name in nodes[:24]))
        return Html(f"{first} and {len(nodes) - 24:,} more") if len(nodes) > 24 else first

    def _matrix(self, classes: Sequence[EqualNodes], is_by_node: bool) -> Html:
        """Findings by class, or by node, the nodes of one class side by side."""
        shown = classes[:COLUMN_LIMIT]
        columns = [(item, name) for item in shown for name in (item.nodes if is_by_node else (count_of(len(item.nodes), "node"),))]
        starts = [not number or columns[number - 1][0] is not item for number, (item, _) in enumerate(columns)]
        first = [Html(' class="first"') if start else "" for start in starts]
        by_class = {item.name: {f.id: _mark(f) for f in reversed(item.report.findings)} for item in shown}
        wrong = dict.fromkeys(g.finding.id for g in self._groups if g.finding.status in (FAIL, UNKNOWN, WAIVED))
        titles = {group.finding.id: group.finding.title for group in reversed(self._groups)}
        cells = {
            (mark, start): self._fill("cell", mark=f"{mark} first" if start else mark, letter=letter)
            for mark, letter in _LETTERS.items()
            for start in (True, False)
        }
        rows = []
        for id in wrong:
            marks = [by_class[item.name].get(id, NOT_APPLICABLE) for item, _ in columns]
            line = Html("".join(cells[mark, start] for mark, start in zip(marks, starts)))
            rows.append({"anchor": self._anchors[id], "title": titles[id], "id": id, "cells": line})
        title = "Nodes and findings" if is_by_node else "Classes and findings"
        if len(shown) < len(classes):
            title += f" (the {len(shown)} largest of {len(classes):,} classes)"
        groups = self._each("group", ({"name": i.name, "count": len(i.nodes) if is_by_node else 1} for i in shown), "")
        heads = self._each("column", ({"name": name, "first": start} for (_, name), start in zip(columns, first)), "")
        legend = self._each("key", ({"mark": mark, "letter": letter} for mark, letter in _LETTERS.items() if letter), "")
        return self._fill("matrix", title=title, legend=legend, groups=groups, columns=heads, rows=self._each("row", rows))


def _digest(text: str) -> str:
    import base64
    import hashlib

    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
