r"""Reports as metrics, for the textfile collector of node_exporter.

Knows the text format (https://prometheus.io/docs/instrumenting/exposition_formats/); must not know any check. The metrics of several nodes
have a label for the node; those of one have none, since node_exporter runs on it. Labels that appear twice are counted.

>>> from eidos.model.check_report import CheckReport
>>> render((CheckReport("2026-11-29T06:00:00Z", "1.2.3", "gpu-07"),)).splitlines()[-1]
'eidos_check_info{version="1.2.3"} 1'
"""

from __future__ import annotations

from eidos.check.report_groups import node_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.model.check_report import CheckReport

_ESCAPES = {ord("\\"): "\\\\", ord('"'): '\\"', ord("\n"): "\\n", **dict.fromkeys(range(55296, 57344), "�")}


def render(reports: tuple[CheckReport, ...]) -> str:
    """The reports as metrics; samples of a name are together and sorted by their labels."""
    findings: dict[str, float] = {}
    judged: dict[str, float] = {}
    builds: dict[str, float] = {}
    for report in reports:
        node = {"node": node_name(report)} if len(reports) > 1 else {}
        for finding in report.findings:
            labels = _labels({"check": finding.id, "severity": finding.severity, "status": finding.status, **node})
            findings[labels] = findings.get(labels, 0) + 1
        judged[_labels(node)] = max(judged.get(_labels(node), 0), _seconds(report.timestamp))
        builds[_labels({"version": report.version, **node})] = 1
    return "".join(
        (
            _family("eidos_finding", "Findings of eidos check, by check, severity and status.", findings),
            _family("eidos_check_timestamp_seconds", "When the node was judged, in seconds since 1970.", judged),
            _family("eidos_check_info", "Version of eidos that judged the node.", builds),
        )
    )


def _family(name: str, help: str, samples: dict[str, float]) -> str:
    lines = [f"{name}{labels} {value:.0f}\n" for labels, value in sorted(samples.items())]
    return f"# HELP {name} {help}\n# TYPE {name} gauge\n{''.join(lines)}" if lines else ""


def _labels(labels: dict[str, str]) -> str:
    texts = ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in labels.items())
    return f"{{{texts}}}" if texts else ""


def _seconds(timestamp: str) -> float:
    from eidos.timestamp import parse_timestamp

    return parse_timestamp(timestamp) or 0.0
