"""The README and the pages of the manual: their console blocks, and the words that a person reads.

Knows Markdown's fences and tables; must not know what any command does.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.project.source_tree import ROOT

#: The README first: its commands write the files that the pages read.
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "templates" / "help").glob("*.md"))]

#: A line in place of output that is left out.
ELLIPSIS = "…"


class ShownCommand(NamedTuple):
    """A command of a document, its output as shown there, and whether its block asks a server."""

    document: str
    command: str
    output: str
    asks_server: bool


def shown_commands(document: str, text: str) -> list[ShownCommand]:
    r"""Each command of the console blocks: lines that begin with "$ ", and the lines below.

    >>> [(shown.command, shown.output) for shown in shown_commands("x.md", "```console\n$ a\n1\n2\n$ b\n```\n")]
    [('a', '1\n2\n'), ('b', '')]
    """
    commands = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            commands.append(ShownCommand(document, command, output, "\n$ curl -s " in block))
    return commands


def differing_output(shown: str, real: str) -> str:
    r"""The first run of shown lines that is not in the real output; empty when all are.

    >>> differing_output("a\n…\nc\n", "a\nb\nc\n"), differing_output("a\nc\n", "a\nb\nc\n")
    ('', 'a\nc')
    """
    lines = "\n" + "\n".join(line.rstrip() for line in real.splitlines()) + "\n"
    for part in re.split(rf"^{ELLIPSIS}$", shown, flags=re.MULTILINE):
        if part.strip("\n") and f"\n{part.strip(chr(10))}\n" not in lines:
            return part.strip("\n")
    return ""


def prose_words(text: str) -> int:
    r"""The number of words, without code blocks and tables.

    >>> prose_words("# Two words\n```console\n$ a b\n```\n| a | b |\nand `three` more\n")
    5
    """
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^\|.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return sum(bool(re.search(r"\w", word)) for word in text.split())


def all_commands() -> list[ShownCommand]:
    """The commands of every document, in the order in which they are run."""
    return [shown for path in DOCUMENTS for shown in shown_commands(path.name, path.read_text(encoding="utf-8"))]
