"""The exit statuses: which failure, and which answer of a verb, ends the program with which number.

Knows the code of every error (:mod:`eidos.errors`) and the status that stands for it; must not know when an error is raised, nor which
findings count. A verb that wrote its answer returns one of :data:`INCOMPLETE`, :data:`FINDINGS` and :data:`INTEGRITY`, or 0;
:func:`eidos.cli.judge_options.exit_status` chooses for the verbs that judge. An error that ends a verb gets its status from
:func:`status_of_error`. A signal ends the program with 128 and its number, in :mod:`eidos.cli`.

>>> from eidos.errors import IntegrityError, Unavailable
>>> status_of_error(IntegrityError("checksums differ")), status_of_error(Unavailable("the disk is full"))
(5, 1)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.errors import EidosError

#: Something failed, the command line or its input is invalid, something required is missing, was found, or is not authentic.
FAILED, INVALID, INCOMPLETE, FINDINGS, INTEGRITY = 1, 2, 3, 4, 5

#: Code of an error → exit status; that of any other is :data:`FAILED`.
EXIT_STATUS = {"invalid-input": INVALID, "invalid-data": INVALID, "not-found": INVALID, "integrity": INTEGRITY, "timeout": 124}

#: What each exit status means, for ``--help``.
EXIT_STATUS_HELP = {
    0: "done",
    1: "failed",
    2: "wrong usage or invalid input",
    3: "incomplete: written, but something required is missing",
    4: "findings: a check failed, or two documents differ",
    5: "integrity: a checksum or a signature does not match",
    124: "timed out before anything was written",
    130: "interrupted (143: terminated)",
}


def status_of_error(fault: EidosError) -> int:
    """The exit status of a verb that an error ended."""
    return EXIT_STATUS.get(fault.code, FAILED)
