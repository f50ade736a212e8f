"""``eidos self-verify``: whether the file of the program is the one that was released, and who signed it.

Knows the flags of the verb, how the result is shown, and the exit status; must not know lists of checksums or signatures.
"""

from __future__ import annotations

import os

from eidos import log
from eidos.cli.document_locations import STDOUT, write_document
from eidos.cli.exit_status import FAILED, INTEGRITY
from eidos.cli.options import FORMAT, HELP, LOGGING, Operand, Option, Verb, parse_path, parse_timeout
from eidos.errors import IntegrityError, InvalidInput
from eidos.files import resources
from eidos.formats import serialize
from eidos.log import printable
from eidos.model.record import Record
from eidos.sign.signature_check import INVALID, UNTRUSTED, VALID, SignatureResult
from eidos.terminal import fit_locale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.cli.options import Values

#: What a program cannot show of itself.
BEYOND = (
    "the program that prints this: one that was modified can print anything, so verify it with a copy that you trust, or with sha256sum"
)

VERB = Verb(
    "self-verify",
    (
        "Print the SHA-256 of the file of eidos, and check it: with --sums against the list of a release, with --key by its signature.",
        (
            "A program that was modified can print anything: verify a new file with a copy that you trust, or with sha256sum, ssh-keygen, "
            "gpg or cosign, which read the same lists and signatures."
        ),
    ),
    (
        Option(
            "sums", "compare with this list of sha256sum or openssl dgst", "FILE", convert=parse_path, flag_only=True, completion="file"
        ),
        Option(
            "key",
            "require a signature of this key: an OpenSSH public key, one in PEM, an OpenPGP key or fingerprint",
            "KEY",
            flag_only=True,
            completion="file",
        ),
        Option(
            "signature",
            "read the signature from this file (default the file with .sig, .asc or .sigstore.json)",
            "FILE",
            convert=parse_path,
            flag_only=True,
            completion="file",
        ),
        Option("timeout", "give up verifying the signature after this time", "DURATION", None, "60s", parse_timeout),
        FORMAT,
        *LOGGING,
        HELP,
    ),
    (Operand("program", "the file to verify (default the one that runs)", required=False, convert=parse_path, completion="file"),),
    examples=(
        ("eidos self-verify --sums SHA256SUMS", "against the list of a release"),
        ("eidos self-verify --key release.pub", "by the signature beside it"),
        ("eidos self-verify new.pyz --sums SHA256SUMS --key release.pub", "another file, before it is used"),
    ),
    notes=(
        (
            "Signatures are those of 'ssh-keygen -Y sign -n eidos -f KEY FILE', 'gpg --armor --detach-sign FILE' and "
            "'cosign sign-blob --key KEY --bundle FILE.sigstore.json FILE'; of 'openssl dgst -sha256 -sign', too."
        ),
        (
            "Exit status: 0 verified; 1 nothing was verified, or a program such as ssh-keygen is missing; 2 wrong usage, no such file or "
            "key; 5 modified, not in the list, or the signature is missing, wrong or of another key."
        ),
    ),
)


class FileReport(Record):
    """What was found out of a file: ``checked`` and ``failures`` are sentences, ``unverified`` is why a signature could not be verified."""

    path: str
    sha256: str
    checked: tuple[str, ...]
    failures: tuple[str, ...]
    signature: SignatureResult | None = None
    unverified: str = ""

    @property
    def is_verified(self) -> bool:
        """Whether something was checked, and all of it holds."""
        return bool(self.checked) and not self.failures and not self.unverified

    def to_tree(self) -> dict[str, Any]:
        """The report for programs."""
        tree: dict[str, Any] = {"file": self.path, "sha256": self.sha256, "ok": self.is_verified}
        tree.update({"checked": list(self.checked), "failures": list(self.failures), "not-checked": BEYOND})
        return {**tree, "signature": self.signature.to_tree()} if self.signature is not None else tree


def run(values: Values) -> int:
    """Print what was checked; the exit status."""
    if values["signature"] and not values["key"]:
        raise InvalidInput("--signature needs --key", "pass --key KEY")
    path = values.get("program") or resources.program_file()
    if not path:
        raise InvalidInput("no file to verify: eidos runs from a folder, not from one file", "name one: eidos self-verify dist/eidos.pyz")
    report = verify_program(path, values)
    if values["format"] in ("json", "yaml"):
        text = serialize(report.to_tree(), values["format"])
    else:
        text = fit_locale("".join(f"{printable(line)}\n" for line in _lines(report)))
    write_document(STDOUT, text)
    for failure in report.failures:
        log.error(failure)
    if report.unverified:
        log.error(f"{path}: not verified: {report.unverified}")
    elif not report.checked and not report.failures:
        log.error(f"{path}: nothing was verified", hint="pass --sums SHA256SUMS, --key KEY or both")
    if report.failures:
        return INTEGRITY
    return 0 if report.is_verified else FAILED


def verify_program(path: str, values: Values) -> FileReport:
    """Everything that the flags ask for, of the file at ``path``. Raises what reading the files raises."""
    import hashlib

    from eidos.sign import file_verification as files

    content = files.read_limited(path, files.FILE_LIMIT)
    digest = hashlib.sha256(content).hexdigest()
    checked, failures = [], []
    sums = values["sums"]
    if sums:
        entries = files.parse_checksum_list(files.read_limited(sums, files.LIST_LIMIT), sums)
        try:
            listed = files.find_listed(entries, os.path.basename(path), digest, sums)
            checked.append(f"the SHA-256, by {sums}, which lists it as {listed}")
        except IntegrityError as fault:
            failures.append(fault.message)
    if not values["key"]:
        return FileReport(path, digest, tuple(checked), tuple(failures))
    from eidos.sign.key_forms import read_public_key
    from eidos.sign.signature_check import check_detached
    from eidos.sign.signing_tools import deadline_after

    key = read_public_key(values["key"])
    try:
        if values["signature"]:
            signature_path, signature = values["signature"], files.read_limited(values["signature"], files.LIST_LIMIT)
        else:
            signature_path, signature = files.find_signature(path, key.kind)
    except IntegrityError as fault:
        return FileReport(path, digest, tuple(checked), (*failures, fault.message))
    result = check_detached(signature_path, signature, content, key, deadline_after(values["timeout"]))
    if result.outcome == VALID:
        checked.append(f"the signature {signature_path}, by {result.key}, trusted by {result.trusted}")
    elif result.outcome in (INVALID, UNTRUSTED):
        reason = result.why if result.outcome == INVALID else f"signed by another key{f', {result.key}' if result.key else ''}"
        failures.append(f"{signature_path}: {reason}")
    else:
        return FileReport(path, digest, tuple(checked), tuple(failures), result, result.why)
    return FileReport(path, digest, tuple(checked), tuple(failures), result)


def _lines(report: FileReport) -> list[str]:
    lines = [f"{report.path}: OK"] if report.is_verified else []
    lines += [f"sha256: {report.sha256}", *(f"checked: {text}" for text in report.checked)]
    return [*lines, f"not checked: {BEYOND}"] if report.is_verified else lines
