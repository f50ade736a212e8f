"""``eidos help``: the overview, the help page of each verb, and the manual.

Knows how help is laid out, in 80 columns of ASCII, and where the manual is; must not know any particular verb. The overview costs no
import: it is read first, on a machine that may be slow.
"""

from __future__ import annotations

from eidos import __version__
from eidos.cli.commands import BUILT_FOR, COMMANDS
from eidos.cli.exit_status import EXIT_STATUS_HELP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from eidos.cli.options import Option, Values, Verb

WIDTH = 79

EXAMPLES = (
    ("eidos snapshot", "this node, as YAML"),
    ("eidos snapshot -t table", "this node, as a table"),
    ("eidos snapshot -o node.yaml", "into a file"),
    ("eidos help snapshot", "every flag of a command"),
    ("eidos help cluster", "a page of the manual"),
)

#: Pages of the manual, ``templates/help/<topic>.md``, and their subjects. A topic that is also a verb follows the help of the verb.
MANUAL = {
    "fleet": "find the node that differs",
    "cluster": "read a cluster, run Jobs on its nodes, store documents in it",
    "serve": "run the HTTP API: routes, limits, proxy, Kubernetes",
    "recipes": "what is covered, and your own recipe data",
    "checks": "judge a node: profiles, waivers, your own checks",
    "plugins": "your own collectors, checks, recipe data and templates",
    "slurm": "drain nodes that have findings: health check, prolog",
    "watch": "judge a node again and again: lines, metrics, marks, a DaemonSet",
    "bundles": "deploy a recipe, change values, verify",
    "air-gap": "use and build without a network",
    "sealed-sites": "carry a bundle, its charts and images to a site without a network",
    "registries": "push and pull bundles and documents",
    "evidence": "pack what a node is and what was wrong with it for an auditor",
    "object-stores": "write documents and archives to presigned URLs",
    "secrets": "what is withheld from documents",
    "performance": "measured figures, and what the file holds",
    "exit-codes": "the meaning of each exit status",
    "compatibility": "what stays stable between versions",
}

#: The pages that this file has: one for a single purpose has none.
TOPICS = {} if BUILT_FOR else MANUAL


def text() -> str:
    """The overview."""
    return "\n".join(
        [
            f"eidos {__version__} - describe, compare and configure GPU nodes",
            "",
            "Usage: eidos COMMAND [FLAGS]",
            *_section("Commands", ((name, summary) for name, (_, summary) in COMMANDS.items())),
            *_section("Manual (eidos help TOPIC)", TOPICS.items()),
            *_section("Examples", EXAMPLES if TOPICS else EXAMPLES[:-1]),
            *_section("Exit status", ((str(status), meaning) for status, meaning in EXIT_STATUS_HELP.items())),
            "",
            "Run 'eidos COMMAND --help' for the flags of a command.",
            "",
        ]
    )


def explain_verb(verb: Verb) -> str:
    """The help of a verb: its flags, their defaults, and examples."""
    operands = "".join(f" {o.name.upper()}" if o.required else f" [{o.name.upper()}]" for o in verb.operands)
    lines = [f"Usage: eidos {verb.name}{operands} [FLAGS]"]
    for paragraph in verb.description:
        lines += ["", *wrap_words(paragraph, WIDTH)]
    for operand in verb.operands:
        lines += _section(operand.name.capitalize(), operand.valid_values().items() or [(operand.name.upper(), operand.help)])
    from eidos.cli.help_pages import SUBCOMMANDS, option_groups

    column = max(len(_flags(option)) for option in verb.options)
    for group, options in option_groups(verb).items():
        lines += _section(group, ((_flags(option), _help(option)) for option in options), width=column)
    lines += _section("Examples", verb.examples, below=True)
    for paragraph in verb.notes:
        lines += ["", *wrap_words(paragraph, WIDTH)]
    for word in SUBCOMMANDS.get(verb.name, ()):
        lines += ["", f"Run 'eidos {verb.name} {word} --help' for the flags of this subcommand."]
    if verb.name in TOPICS:
        lines += ["", f"Run 'eidos help {verb.name}' for the manual as well."]
    return "\n".join([*lines, ""])


def wrap_words(paragraph: str, width: int) -> list[str]:
    """Break a paragraph into lines of at most ``width`` characters, at spaces.

    >>> wrap_words("one two three", 8)
    ['one two', 'three']
    """
    lines = [""]
    for word in paragraph.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def _section(title: str, rows: Iterable[tuple[str, str]], below: bool = False, width: int = 0) -> list[str]:
    """A heading and its rows: two columns, the first at least ``width`` wide, or each explanation above its example."""
    rows = list(rows)
    if not rows:
        return []
    lines = ["", f"{title}:"]
    if below:
        for left, right in rows:
            lines += [f"  # {right}", f"  {left}"]
        return lines
    column = min(max(width, *(len(left) for left, _ in rows)), 28) + 4
    for left, right in rows:
        wrapped = wrap_words(right, WIDTH - column)
        if len(left) + 4 > column:
            lines.append(f"  {left}")
            left = ""
        lines.append(f"  {left}".ljust(column) + wrapped[0])
        lines += [" " * column + line for line in wrapped[1:]]
    return lines


def _flags(option: Option) -> str:
    short = f"-{option.short}, " if option.short else "    "
    return f"{short}{option.flag}" + (f" {option.metavar}" if option.metavar else "")


def _help(option: Option) -> str:
    text, _, default = option.help.partition(" (default ")
    if default.endswith(")"):  # where it is not a value, the text ends with it
        default = default[:-1]
    else:
        text, default = option.help, ""
    default = option.default or default
    details = [", ".join(option.choices)] if isinstance(option.choices, dict) and option.choices else []
    details += [f"default {default}"] if default else []
    return text + (f" ({'; '.join(details)})" if details else "")


def manual_page(topic: str) -> str:
    """A page of the manual, as Markdown."""
    from eidos.files.resources import read_text

    return read_text(f"templates/help/{topic}.md")


def run(values: Values) -> int:
    """Print the overview, the help of one verb, or a page of the manual."""
    from eidos.cli.commands import load_verb_module
    from eidos.files.atomic_write import write_stdout

    topic = values.get("command")
    word = values.get("subcommand")
    if word is not None:
        pages = [_explain_subcommand(str(topic), word)]
    else:
        pages = [explain_verb(load_verb_module(topic).VERB)] if topic in COMMANDS else []
        pages += [manual_page(topic)] if topic in TOPICS else []
    write_stdout(("\n".join(pages) or text()).encode())
    return 0


def _explain_subcommand(topic: str, word: str) -> str:
    from eidos.cli.commands import load_verb_module
    from eidos.cli.help_pages import SUBCOMMANDS, subcommand_page
    from eidos.errors import InvalidInput
    from eidos.wording import did_you_mean

    valid = SUBCOMMANDS.get(topic, {})
    if word not in valid:
        expected = f"; expected {' or '.join(valid)}" if valid else f": {topic} has no subcommands"
        hint = did_you_mean(word, valid, f"run 'eidos help {topic}'")
        raise InvalidInput(f"eidos help {topic}: invalid subcommand {word!r}{expected}", hint)
    return explain_verb(subcommand_page(load_verb_module(topic).VERB, [word]))


def __getattr__(name: str) -> Verb:
    # The overview must not pay for the table of options.
    if name != "VERB":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from eidos.cli.help_pages import SUBCOMMANDS
    from eidos.cli.options import HELP, LOGGING, Operand, Verb

    topics = {**TOPICS, **{command: summary for command, (_, summary) in COMMANDS.items()}}
    operand = Operand("command", "a command, or a page of the manual", topics, required=False)
    available = {name: pages for name, pages in SUBCOMMANDS.items() if name in COMMANDS}
    pages = {name: {word: page.description for word, page in pages.items()} for name, pages in available.items()}
    subcommand = Operand("subcommand", "a subcommand of it: list, lint, agent or server", required=False, choices_after=pages)
    description = ("Explain eidos, one of its commands, or a topic: the manual is part of the program.",)
    return Verb("help", description, (*LOGGING, HELP), (operand, subcommand), EXAMPLES[-2:])
