"""The tables of the manual are those of the program and of its data."""

from __future__ import annotations

from eidos.cli.commands import COMMANDS, EXIT_STATUS_HELP
from eidos.files.resources import read_text
from tests.project.coverage_table import coverage_table


def test_the_table_of_coverage_is_printed_from_the_data() -> None:
    assert coverage_table(intents=True) in read_text("templates/help/recipes.md")


def test_the_table_of_exit_codes_is_that_of_the_program() -> None:
    rows = "".join(f"| {status} | {meaning} |\n" for status, meaning in EXIT_STATUS_HELP.items())
    page = read_text("templates/help/exit-codes.md")
    assert f"|---|---|\n{rows}\n" in page
    assert all(f"`{name}" in page for name in COMMANDS if name not in ("help", "version", "completion"))
