"""The forms in which reports are written, by name.

Knows which module writes each form; must not know what is in one. One report is one document, several are a list of them.

>>> from eidos.model.check_report import CheckReport
>>> render((CheckReport("", "", "gpu-07"),), "yaml").splitlines()[0]
'kind: CheckReport'
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.formats import serialize
from eidos.model.check_report import reports_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.model.check_report import CheckReport

#: Form → its module, which has ``render(reports) -> str``, and what it is for; yaml and json are written here.
FORMATS: dict[str, tuple[str, str]] = {
    "yaml": ("", "for programs and people"),
    "json": ("", "for programs"),
    "junit": ("eidos.check.junit_report", "for continuous integration"),
    "sarif": ("eidos.check.sarif_report", "for code scanning"),
    "markdown": ("eidos.check.markdown_report", "for a pull request or a chat"),
    "html": ("eidos.check.html_report", "one page, without network"),
    "prometheus": ("eidos.check.prometheus_report", "for the textfile collector of node_exporter"),
}


def render(reports: tuple[CheckReport, ...], form: str) -> str:
    """The reports in a form of :data:`FORMATS`; InvalidInput for another."""
    if form not in FORMATS:
        raise InvalidInput(f"invalid format {form!r}; expected one of {', '.join(FORMATS)}")
    module = FORMATS[form][0]
    if not module:
        return serialize(reports_tree(reports), form)
    text: str = __import__(module, fromlist=["render"]).render(reports)
    return text
