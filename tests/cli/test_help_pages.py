"""Help pages: flags in groups, and pages of subcommands with their own flags."""

from __future__ import annotations

import re

import pytest

from eidos.cli.commands import load_verb_module, load_verbs
from eidos.cli.help import _help
from eidos.cli.help_pages import GROUPS, GROUPS_OF_VERBS, HELP, LOGGING, OTHER, SUBCOMMANDS, option_groups, subcommand_page
from eidos.cli.manifest_flags import AGENT_OPTIONS, SERVER_OPTIONS
from eidos.cli.options import Option
from eidos.model.query import FIELDS
from tests.support.program import eidos

#: Lines of a terminal, as it has been since the VT100.
SCREEN = 24

WORDS = [(verb, word) for verb, words in SUBCOMMANDS.items() for word in words]


def flags(page: str) -> set[str]:
    """The flags that a help page lists.

    >>> sorted(flags("Output:\\n  -o, --output FILE  write\\n      --all          like --most\\n"))
    ['all', 'output']
    """
    return set(re.findall(r"^  (?:-\w, |    )--([\w-]+)", page, re.MULTILINE))


def test_every_flag_has_a_group_and_every_row_a_flag() -> None:
    verbs = load_verbs()
    for verb in verbs:
        groups = option_groups(verb)
        assert OTHER not in groups, verb.name
        assert list(groups)[-2:] == [LOGGING, HELP]
        assert sorted(o.name for options in groups.values() for o in options) == sorted(o.name for o in verb.options)
    names = [name for row in GROUPS.values() for name in row.split()]
    assert len(names) == len(set(names))
    known = {option.name for verb in verbs for option in verb.options}
    by_verb = {name for rows in GROUPS_OF_VERBS.values() for row in rows.values() for name in row.split()}
    assert {*names, *by_verb} == known


@pytest.mark.parametrize("verb", [verb.name for verb in load_verbs()])
def test_each_group_fits_on_a_screen(verb: str) -> None:
    page = eidos(verb, "--help").out
    groups = option_groups(load_verb_module(verb).VERB)
    blocks = {block.partition(":\n")[0]: block for block in page.split("\n\n")}
    for group, options in groups.items():
        assert flags(blocks[group]) == {option.name for option in options}
        assert len(blocks[group].splitlines()) < SCREEN, f"{verb}: {group}"


def test_a_default_ends_the_text_of_its_flag() -> None:
    """A page moves it behind the choices, from the end."""
    texts = [option.help for verb in load_verbs() for option in verb.options if " (default " in option.help]
    assert texts and [text for text in texts if not re.fullmatch(r"[^()]+ \(default [^()]+\)", text)] == []
    assert _help(Option("x", "write (default here) or there", choices={"a": "", "b": ""})) == "write (default here) or there (a, b)"


@pytest.mark.parametrize(("verb", "word"), WORDS)
def test_a_subcommand_has_a_page_of_its_own(verb: str, word: str) -> None:
    result = eidos(verb, word, "-h")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"Usage: eidos {verb} {word}")
    assert result == eidos("help", verb, word) == eidos(verb, "--help", word)
    assert {*GROUPS[LOGGING].split(), "help"} < flags(result.out)
    assert max(map(len, result.out.splitlines())) < 80
    assert f"'eidos {verb} {word} --help'" in eidos(verb, "-h").out
    known = {option.name for option in load_verb_module(verb).VERB.options}
    assert set(SUBCOMMANDS[verb][word].flags.split()) < known


def test_a_page_has_only_flags_that_the_subcommand_takes() -> None:
    listed = {word: {option.name for option in subcommand_page(load_verb_module(word[0]).VERB, [word[1]]).options} for word in WORDS}
    for word in ("list", "lint"):
        assert not listed["recipe", word] & {*FIELDS, "file", "server", "fallback", "context", "explain", "strict"}
    assert not listed["bundle", "lint"] & {"file", "output", "archive", "bundlers", "set", "values"}
    agent, server = ({option.name for option in options} for options in (AGENT_OPTIONS, SERVER_OPTIONS))
    assert agent <= listed["manifest", "agent"]
    assert server <= listed["manifest", "server"]
    assert not agent & listed["manifest", "server"]
    assert not server & listed["manifest", "agent"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["recipe", "lst"], "invalid subcommand 'lst'; expected list or lint\nhint: did you mean 'list'?\n"),
        (["snapshot", "x"], "invalid subcommand 'x': snapshot has no subcommands\nhint: run 'eidos help snapshot'\n"),
        (["cluster", "x"], "invalid subcommand 'x': cluster has no subcommands\n"),
    ],
)
def test_help_of_what_is_not_a_subcommand(words: list[str], message: str) -> None:
    result = eidos("help", *words)
    assert (result.status, result.out) == (2, "")
    assert message in result.err
