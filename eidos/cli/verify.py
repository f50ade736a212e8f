"""``eidos verify``: whether a bundle is unchanged.

Knows how problems are shown and the exit status; must not know how a bundle is read.
"""

from __future__ import annotations

from eidos import log
from eidos.cli import document_locations
from eidos.cli.commands import INTEGRITY
from eidos.cli.document_locations import STDOUT, write_document
from eidos.cli.options import FORMAT, HELP, LOGGING, Operand, Option, Verb, parse_path
from eidos.formats import serialize
from eidos.log import printable
from eidos.terminal import fit_locale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values

#: What checksums cannot tell.
LIMITS = "(checksums show that nothing changed, not who made the bundle: check a signature for that)"

#: Problems that are shown to people; programs get all.
SHOWN_PROBLEMS = 100

VERB = Verb(
    "verify",
    (
        (
            "Check that a bundle, a folder or an archive, is unchanged: every file matches its checksum, and none was added, removed, "
            "renamed, replaced by a link or given dangerous permissions. Of a mode only the execute bit counts, as in git."
        ),
        "Nothing is unpacked or written. The folder of one component can be verified, too.",
    ),
    (
        Option("ignore", "ignore these entries at the top of the bundle (.git, .gitattributes)", "NAME[,NAME]", multiple=True),
        FORMAT,
        *LOGGING,
        HELP,
    ),
    (Operand("place", "the folder, tar.gz or zip archive", convert=parse_path, completion="file"),),
    examples=(
        ("eidos verify bundle", "a folder"),
        ("eidos verify bundle.tar.gz", "an archive"),
        ("eidos verify bundle --ignore .git", "a bundle in a git checkout"),
        ("eidos verify bundle -t json", "for programs"),
    ),
    notes=(
        (
            "Checksums show that nothing changed since they were made, not who made them. For that, check a signature of checksums.txt, or "
            "compare its SHA-256 with the one that the author published."
        ),
        "Exit status: 0 unchanged; 2 no such file or folder; 5 modified or not a bundle, with a list of problems.",
    ),
)


def run(values: Values) -> int:
    """List every problem of the bundle; the exit status."""
    from contextlib import ExitStack

    from eidos.bundle.verification import inspect_bundle

    path = values["place"]
    with ExitStack() as stack:
        inspection = inspect_bundle(document_locations.local_folder(path, values, stack), values["ignore"])
    problems = inspection.problems
    if values["format"] in ("json", "yaml"):
        trees = [{name: text for name, text in problem.__dict__.items() if text} for problem in problems]
        tree = {
            "place": path,
            "ok": not problems,
            "faults": trees,
            "ignored": list(inspection.ignored),
            "made-by-eidos": inspection.is_ours,
        }
        text = serialize(tree, values["format"])
    else:
        text = "".join(f"{printable(str(problem))}\n" for problem in problems[:SHOWN_PROBLEMS]) or f"{printable(path)}: OK\n{LIMITS}\n"
        hidden = len(problems) - SHOWN_PROBLEMS
        text += f"and {hidden:,} more; run with --format json for all\n" if hidden > 0 else ""
        text = fit_locale(text)
    write_document(STDOUT, text)
    if inspection.ignored:
        log.warn(f"{path}: ignored: {', '.join(map(printable, inspection.ignored))}")
    if not inspection.is_ours:
        log.warn(f"{path} was not made by eidos: only its checksums were verified")
    if problems:
        from eidos.wording import count_of

        count = count_of(len(problems), "problem")
        log.error(f"{path} was modified: {count}", hint="rebuild it or download it again")
        return INTEGRITY
    return 0
