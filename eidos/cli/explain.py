"""``eidos explain``: what a check looks for, why, after which source, and what mends it.

Knows how a check is shown; must not know any check.
"""

from __future__ import annotations

from eidos.cli import document_locations
from eidos.cli.options import FORMAT, HELP, LOGGING, OUTPUT, Operand, Option, Verb, parse_path
from eidos.cli.recipe_query import open_store
from eidos.errors import NotFound
from eidos.formats import serialize
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from eidos.check.definitions import CheckDefinition
    from eidos.cli.options import Values

VERB = Verb(
    "explain",
    ("Explain a check: what it looks for, when it applies, why it matters, its source, and what to do when it fails.",),
    (
        Option(
            *("data", "add recipes and checks from a folder; repeat it to stack several", "PATH"),
            convert=parse_path,
            multiple=True,
            split_commas=False,
            completion="file",
        ),
        OUTPUT,
        FORMAT,
        *LOGGING,
        HELP,
    ),
    (Operand("check", "the id of a check, as in the report"),),
    examples=(("eidos explain nouveau-loaded", "one check"), ("eidos check --list", "all checks")),
    notes=("Exit status: 0 done; 2 unknown check.",),
)


def run(values: Values) -> int:
    """Write the explanation."""
    from eidos.check.judge import all_checks, read_check_data

    document_locations.check_writable(values["output"])
    checks = {check.id: check for check in all_checks(read_check_data(open_store(values["data"], values).check_data))}
    id = values["check"]
    if id not in checks:
        is_path = "." in id
        hint = "a finding with the path of a reading is the recipe's: run 'eidos recipe --explain -t table'" if is_path else None
        raise NotFound(f"no check {id!r}", hint or did_you_mean(id, checks, "run 'eidos check --list' for all checks"))
    fmt = document_locations.choose_format(values["format"], values["output"], "table")
    if fmt == "table":
        text = document_locations.fit_table(values["output"], lambda width, _: _text(checks[id], width))
    else:
        text = serialize(_tree(checks[id]), fmt)
    document_locations.write_document(values["output"], text)
    return 0


def _rows(check: CheckDefinition) -> Iterator[tuple[str, str]]:
    yield "Check", check.id
    yield "Finding", f"{check.title} ({check.severity}, {check.domain})"
    code = f" (code: eidos/check/rules/{check.rule.replace('-', '_')}.py)" if check.rule else ""
    yield "Expects", str(check.expect) if check.expect else f"{check.expected}{code}"
    if check.applies:
        yield "Applies to", check.applies_to or str(check.applies)
    if check.needs:
        yield "Needs", ", ".join(check.needs)
    yield "Why", check.reason
    source = check.source
    yield "Source", " ".join(filter(None, (source.document, source.version, source.date, source.url)))


def _text(check: CheckDefinition, width: int) -> str:
    from eidos.check.report_groups import remedy_lines
    from eidos.formats.table import key_value_rows, line_width

    width = line_width(width)
    rows = [(name, text) for name, text in _rows(check) if text]
    for each in check.remedies:
        name = f"Remedy{f' where {each.when}' if each.when else ''}"
        rows += [(name if not number else "", line) for number, line in enumerate(remedy_lines(each.remedy))]
    return "".join(f"{line.rstrip()}\n" for line in key_value_rows(rows, width, ""))


def _tree(check: CheckDefinition) -> dict[str, Any]:
    tree: dict[str, Any] = {name: getattr(check, name) for name in ("id", "title", "severity", "domain", "path", "reason")}
    tree["needs"] = list(check.needs)
    tree["applies"] = str(check.applies or "")
    tree["expect"] = str(check.expect or "")
    tree["rule"] = check.rule
    tree["source"] = check.source.to_tree()
    tree["remedies"] = [{**({"when": str(each.when)} if each.when else {}), **each.remedy.to_tree()} for each in check.remedies]
    return {name: value for name, value in tree.items() if value}
