"""``eidos verify``: whether a bundle is still what it was made as.

Knows how faults are shown and the exit status; must not know how a bundle is read.
"""

from __future__ import annotations

from eidos import log
from eidos.cli import document_locations
from eidos.cli.options import FORMAT, HELP, LOGGING, Operand, Verb, path
from eidos.log import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values

#: A file is not as it was.
INTEGRITY = 5

VERB = Verb(
    "verify",
    (
        (
            "Say whether a bundle, a folder or an archive, is what it was made as: every file listed in its checksums and equal, none "
            "added, taken away, renamed, linked or with another mode."
        ),
        "Nothing is unpacked or written. One component's folder can be verified alone.",
    ),
    (FORMAT, *LOGGING, HELP),
    (Operand("place", "the folder or the tar.gz archive", convert=path, completes="file"),),
    examples=(
        ("eidos verify bundle", "a folder"),
        ("eidos verify bundle.tar.gz", "an archive"),
        ("eidos verify bundle -t json", "for programs"),
    ),
    notes=("Exit status: 0 nothing is wrong, 2 there is no such place, 5 something is wrong or it is no bundle; what is wrong is listed.",),
)


def run(values: Values) -> int:
    """Print what is wrong, and say how it stands."""
    from eidos.bundle.verification import verify

    place = values["place"]
    wrong = verify(place)
    if values["format"] in ("json", "yaml"):
        from eidos import formats

        tree = {
            "place": place,
            "ok": not wrong,
            "faults": [{name: text for name, text in fault.__dict__.items() if text} for fault in wrong],
        }
        document_locations.write(document_locations.STDOUT, formats.to_json(tree) if values["format"] == "json" else formats.to_yaml(tree))
    else:
        text = "".join(f"{printable(str(fault))}\n" for fault in wrong) or f"{printable(place)}: nothing is wrong\n"
        document_locations.write(document_locations.STDOUT, text)
    if wrong:
        log.error(
            f"{place} is not what it was made as: {len(wrong)} fault{'' if len(wrong) == 1 else 's'}", hint="make it again, or get it again"
        )
        return INTEGRITY
    return 0
