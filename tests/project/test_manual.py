"""The tables of the manual are those of the program and of its data."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from eidos.cli.commands import COMMANDS
from eidos.cli.exit_status import EXIT_STATUS_HELP
from eidos.cli.recipe_table import matrix_markdown
from eidos.files.resources import read_text
from eidos.recipe.coverage import advice_matrix
from eidos.recipe.store import shipped_store
from eidos.watch.watch_metrics import WatchMetrics
from tests.project.source_tree import ROOT


def coverage_table() -> str:
    """A row for each field of a query, with the words of the catalog."""
    catalog = shipped_store().catalog
    titles = {"gpu": "GPUs", "service": "services", "os": "operating systems"}
    rows = [f"| {title} | {', '.join(catalog.names(field))} |\n" for field, title in titles.items()]
    return f"| recipes for | |\n|---|---|\n{''.join(rows)}"


def advice_table() -> str:
    return matrix_markdown(advice_matrix(shipped_store())).partition("\n\n")[0] + "\n"


@pytest.mark.parametrize(("file", "make_table"), [("README.md", coverage_table), ("templates/help/recipes.md", advice_table)])
def test_the_table_of_coverage_is_printed_from_the_data(file: str, make_table: Callable[[], str], update_golden: bool) -> None:
    table, path = make_table(), ROOT / file
    if update_golden:
        first = re.escape(table[: table.index("|", 2) + 1])
        path.write_text(re.sub(rf"{first}.*\n(\|.*\n)+", table, path.read_text(encoding="utf-8"), count=1), encoding="utf-8")
    assert table in path.read_text(encoding="utf-8")


def test_the_table_of_exit_codes_is_that_of_the_program() -> None:
    rows = "".join(f"| {status} | {meaning} |\n" for status, meaning in EXIT_STATUS_HELP.items())
    page = read_text("templates/help/exit-codes.md")
    assert f"|---|---|\n{rows}\n" in page
    assert all(f"`{name}" in page for name in COMMANDS if name not in ("help", "version", "completion"))


def test_the_table_of_metrics_of_a_watch_has_each_of_them() -> None:
    registered = re.findall(r"^# TYPE eidos_watch(\S+)", WatchMetrics((), 60.0, 60.0).metrics.render_text(), re.MULTILINE)
    table = "".join(re.findall(r"^\|.*\n", read_text("templates/help/watch.md"), re.MULTILINE))
    assert [name for name in registered if not re.search(rf"`(eidos_watch)?{name}`", table)] == []
