"""``eidos version``: which build this is, on which Python, with which recipes.

Knows the four lines; must not know where commit, digest and the bill of materials come from.
"""

from __future__ import annotations

import sys

from eidos import __version__
from eidos.files import resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values, Verb


def build_info() -> dict[str, str]:
    """Version, commit, Python and recipe data of this build; ``recipes`` is the SHA-256 of the data."""
    return {
        "version": __version__,
        "commit": resources.build_commit(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "recipes": f"sha256:{resources.data_digest()}",
    }


def text() -> str:
    """The build for people."""
    info = build_info()
    return f"eidos {info.pop('version')}\n" + "".join(f"{name:<9}{value}\n" for name, value in info.items())


def read_sbom(fmt: str) -> str:
    """The software bill of materials that was built into the file. Raises NotFound where there is none."""
    from eidos.cli import FULL_FILE
    from eidos.cli.commands import BUILT_FOR
    from eidos.errors import NotFound

    try:
        return resources.read_text(resources.SBOM_FILES[fmt])
    except NotFound as fault:
        if BUILT_FOR:
            raise NotFound(f"no SBOM: this file was built for {BUILT_FOR}", FULL_FILE) from fault
        raise NotFound("no SBOM: eidos runs from a folder, not from one file", "build it with 'python3 build_zipapp.py'") from fault


def run(values: Values) -> int:
    """Print the build in the requested format."""
    from eidos.cli import document_locations
    from eidos.formats import serialize

    document_locations.check_writable(values["output"])
    fmt = values["format"]
    if values["sbom"]:
        document_locations.write_document(values["output"], read_sbom(values["sbom"]))
        return 0
    document_locations.write_document(values["output"], text() if fmt == "text" else serialize(build_info(), fmt))
    return 0


def __getattr__(name: str) -> Verb:
    # --version must not pay for the table of options.
    if name != "VERB":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from eidos.cli.options import FLAG_OUTPUT, HELP, LOGGING, Option, Verb

    about = ("Print the version of eidos, the commit it was built from, the Python that runs it, and the digest of its recipe data.",)
    formats = {"text": "for people", "yaml": "for programs", "json": "for programs"}
    fmt = Option("format", "set the output format", "FORMAT", "t", "text", choices=formats, flag_only=True)
    sboms = {"cyclonedx": "CycloneDX 1.6", "spdx": "SPDX 2.3"}
    help_text = "print the software bill of materials, in JSON (default cyclonedx)"
    sbom = Option("sbom", help_text, "[FORMAT]", choices=sboms, flag_only=True, implied="cyclonedx")
    examples = (
        ("eidos version", "the same as 'eidos --version'"),
        ("eidos version -t json", "for programs"),
        ("eidos version --sbom spdx", "what the file is made of"),
    )
    return Verb("version", about, (FLAG_OUTPUT, fmt, sbom, *LOGGING, HELP), examples=examples)
