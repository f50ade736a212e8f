"""``eidos version``: which build this is, on which Python, with which recipes.

Knows the four lines; must not know where the facts come from.
"""

from __future__ import annotations

import sys

from eidos import __version__
from eidos.files import resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values, Verb


def facts() -> dict[str, str]:
    """What this build is; ``recipes`` is the SHA-256 of the recipe data."""
    return {
        "version": __version__,
        "commit": resources.build_commit(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "recipes": f"sha256:{resources.data_digest()}",
    }


def text() -> str:
    """The facts for people."""
    known = facts()
    return f"eidos {known.pop('version')}\n" + "".join(f"{name:<9}{value}\n" for name, value in known.items())


def run(values: Values) -> int:
    """Print the facts in the format that was asked for."""
    from eidos import formats
    from eidos.cli import document_locations

    document_locations.check(values["output"])
    emit = {"text": lambda _: text(), "yaml": formats.to_yaml, "json": formats.to_json}[values["format"]]
    document_locations.write(values["output"], emit(facts()))
    return 0


def __getattr__(name: str) -> Verb:
    # --version must not pay for the table of options.
    if name != "VERB":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from eidos.cli.options import FLAG_OUTPUT, HELP, LOGGING, Option, Verb

    about = ("Print the version of eidos, the commit it was built from, the Python that runs it, and the digest of its recipe data.",)
    formats = {"text": "for people", "yaml": "for programs", "json": "for programs"}
    fmt = Option("format", "how to write it", "FORMAT", "t", "text", choices=formats, anywhere=False)
    examples = (("eidos version", "for people; 'eidos --version' says the same"), ("eidos version -t json", "for programs"))
    return Verb("version", about, (FLAG_OUTPUT, fmt, *LOGGING, HELP), examples=examples)
