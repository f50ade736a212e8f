"""``eidos verify``: whether a bundle is still what it was made as.

Knows how problems are shown and the exit status; must not know how a bundle is read.
"""

from __future__ import annotations

from eidos import log
from eidos.cli.commands import INTEGRITY
from eidos.cli.document_locations import STDOUT, write_document
from eidos.cli.options import FORMAT, HELP, LOGGING, Operand, Verb, parse_path
from eidos.formats import serialize
from eidos.log import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values

VERB = Verb(
    "verify",
    (
        (
            "Check that a bundle, a folder or an archive, is unchanged: every file matches its checksum, and none was added, removed, "
            "renamed, replaced by a link or given another mode."
        ),
        "Nothing is unpacked or written. The folder of one component can be verified, too.",
    ),
    (FORMAT, *LOGGING, HELP),
    (Operand("place", "the folder or the tar.gz archive", convert=parse_path, completion="file"),),
    examples=(
        ("eidos verify bundle", "a folder"),
        ("eidos verify bundle.tar.gz", "an archive"),
        ("eidos verify bundle -t json", "for programs"),
    ),
    notes=("Exit status: 0 unchanged; 2 no such file or folder; 5 modified or not a bundle, with a list of problems.",),
)


def run(values: Values) -> int:
    """List every problem of the bundle; the exit status."""
    from eidos.bundle.verification import verify_bundle

    path = values["place"]
    problems = verify_bundle(path)
    if values["format"] in ("json", "yaml"):
        trees = [{name: text for name, text in problem.__dict__.items() if text} for problem in problems]
        text = serialize({"place": path, "ok": not problems, "faults": trees}, values["format"])
    else:
        text = "".join(f"{printable(str(problem))}\n" for problem in problems) or f"{printable(path)}: OK\n"
    write_document(STDOUT, text)
    if problems:
        from eidos.wording import count_of

        count = count_of(len(problems), "problem")
        log.error(f"{path} was modified: {count}", hint="rebuild it or download it again")
        return INTEGRITY
    return 0
