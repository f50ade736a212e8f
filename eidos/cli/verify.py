"""``eidos verify``: whether a bundle is unchanged, and who signed it.

Knows how problems and signatures are shown, which flags make which policy, and the exit status; must not know how a bundle is read, nor how
a signature is verified.
"""

from __future__ import annotations

from eidos import log
from eidos.cli import document_locations
from eidos.cli.document_locations import STDOUT, write_document
from eidos.cli.exit_status import FAILED, INTEGRITY
from eidos.cli.options import FORMAT, HELP, LOGGING, Operand, Option, Verb, parse_path, parse_timeout
from eidos.errors import InvalidInput
from eidos.formats import serialize
from eidos.log import printable
from eidos.model.bundle import CHECKSUMS, STATEMENT
from eidos.model.record import replace
from eidos.sign.signature_check import INVALID, UNTRUSTED, UNVERIFIED, VALID, SignatureResult
from eidos.terminal import fit_locale
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.bundle.verification import Inspection
    from eidos.cli.options import Values
    from eidos.sign.signature_policy import PolicyResult, SignaturePolicy

#: What checksums cannot tell.
LIMITS = "(checksums show that nothing changed, not who made the bundle: check a signature for that)"

#: What no signature tells.
BEYOND_SIGNATURES = "whether the statement is true, for which whoever has the key vouches; whether a key was revoked, unless gpg knows it"

#: Outcomes of signatures, in the order in which people see them.
_OUTCOMES = (INVALID, VALID, UNVERIFIED, UNTRUSTED)

#: Problems that are shown to people; programs get all.
SHOWN_PROBLEMS = 100

VERB = Verb(
    "verify",
    (
        (
            "Check that a bundle, a folder or an archive, is unchanged: every file matches its checksum, and none was added, removed, "
            "renamed, replaced by a link or given dangerous permissions. Of a mode only the execute bit counts, as in git."
        ),
        (
            "With --key, --allowed-signers or --policy, check also who signed it: a signature is of the statement, the statement names the "
            "digest of checksums.txt, and that lists every other file."
        ),
        "Nothing is unpacked or written. The folder of one component can be verified, too.",
    ),
    (
        Option(
            "key",
            "require a signature of this key (of each, if repeated): an OpenSSH public key, one in PEM, an OpenPGP key or fingerprint",
            "KEY",
            multiple=True,
            split_commas=False,
            completion="file",
        ),
        Option(
            "allowed-signers", "require a signature of an identity in this file (ssh-keygen)", "FILE", convert=parse_path, completion="file"
        ),
        Option("identity", "with --allowed-signers, accept only these", "NAME[,NAME]", multiple=True),
        Option("policy", "require what this document says (eidos help bundles)", "FILE", convert=parse_path, completion="file"),
        Option("timeout", "give up verifying signatures after this time", "DURATION", None, "60s", parse_timeout),
        Option("ignore", "ignore these entries at the top of the bundle (.git, .gitattributes)", "NAME[,NAME]", multiple=True),
        FORMAT,
        *LOGGING,
        HELP,
    ),
    (Operand("bundle", "the folder, tar.gz or zip archive", convert=parse_path, completion="file"),),
    examples=(
        ("eidos verify bundle", "a folder"),
        ("eidos verify bundle.tar.gz", "an archive"),
        ("eidos verify bundle --ignore .git", "a bundle in a git checkout"),
        ("eidos verify bundle.tar.gz --key release.pub", "signed with this key"),
        ("eidos verify bundle --allowed-signers signers --identity alice@example.com", "signed by Alice"),
        ("eidos verify bundle.tar.gz --policy policy.yaml", "for a pipeline"),
        ("eidos verify bundle -t json", "for programs"),
    ),
    notes=(
        (
            "Checksums show that nothing changed since they were made, not who made them: a signature does. Keyless "
            "signatures, with a certificate in place of a key, are not supported."
        ),
        (
            "Exit status: 0 unchanged, and signed as required; 1 not verified: a program such as ssh-keygen is missing; 2 wrong usage, no "
            "such file or key; 5 modified or not a bundle, or a signature is missing, wrong or of another key."
        ),
    ),
)


def run(values: Values) -> int:
    """List every problem of the bundle and every signature; the exit status."""
    from contextlib import ExitStack

    from eidos.bundle.verification import inspect_bundle

    path, digest = values["bundle"], ""
    policy = _policy(values)
    with ExitStack() as stack:
        folder = path
        if document_locations.is_in_registry(path):
            from eidos.cli import registry_locations

            folder, digest = stack.enter_context(registry_locations.temporary_folder_of(path, values, registry_locations.BUNDLE))
        inspection = inspect_bundle(folder, values["ignore"])
    result_of_policy = None
    if policy is not None and not inspection.problems:
        from eidos.sign.signature_policy import apply_policy
        from eidos.sign.signing_tools import deadline_after

        result_of_policy = apply_policy(policy, inspection.attestations, deadline_after(values["timeout"]))
    if values["format"] in ("json", "yaml"):
        tree = _tree(path, inspection, result_of_policy)
        text = serialize({**tree, "digest": digest} if digest else tree, values["format"])
    else:
        lines = _lines(path, inspection, result_of_policy)
        if digest and not inspection.problems:  # a tag may be of another bundle by now
            lines.insert(1, f"digest: {digest}")
        text = fit_locale("".join(f"{printable(line)}\n" for line in lines))
    write_document(STDOUT, text)
    if inspection.ignored:
        log.warn(f"{path}: ignored: {', '.join(map(printable, inspection.ignored))}")
    if not inspection.is_ours:
        log.warn(f"{path} was not made by eidos: only its checksums were verified")
    if inspection.problems:
        count = count_of(len(inspection.problems), "problem")
        log.error(f"{path} was modified: {count}", hint="rebuild it or download it again")
        return INTEGRITY
    return _signature_status(path, result_of_policy) if result_of_policy is not None else 0


def _signature_status(path: str, result_of_policy: PolicyResult) -> int:
    """Log what does not hold; the exit status."""
    for failure in result_of_policy.failures:
        log.error(f"{path}: {failure}")
    if result_of_policy.is_open:
        reasons = dict.fromkeys(result.why for result in result_of_policy.results if result.outcome == UNVERIFIED)
        log.error(f"{path}: not verified: {'; '.join(reasons)}")
        return FAILED
    return INTEGRITY if result_of_policy.failures else 0


def _policy(values: Values) -> SignaturePolicy | None:
    """What the flags require; None when that is nothing."""
    if values["identity"] and not values["allowed-signers"]:
        raise InvalidInput("--identity needs --allowed-signers", "pass --allowed-signers FILE")
    if not values["key"] and not values["allowed-signers"] and not values["policy"]:
        return None
    from eidos.sign.key_forms import read_public_key
    from eidos.sign.signature_check import read_allowed_signers, trusted_digest
    from eidos.sign.signature_policy import SignaturePolicy, SignatureRule, read_policy

    keys = [read_public_key(name) for name in values["key"]]
    for key in keys:
        trusted_digest(key)
    rules = [SignatureRule(1, (key,), source="--key") for key in keys]
    if values["allowed-signers"]:
        signers = read_allowed_signers(values["allowed-signers"], tuple(values["identity"]))
        rules.append(SignatureRule(1, signers=signers, source="--allowed-signers"))
    policy = read_policy(values["policy"]) if values["policy"] else SignaturePolicy(())
    return replace(policy, rules=(*policy.rules, *rules))


def _lines(path: str, inspection: Inspection, result_of_policy: PolicyResult | None) -> list[str]:
    """What was checked and what was not, for people."""
    problems = inspection.problems
    if problems:
        hidden = len(problems) - SHOWN_PROBLEMS
        return [*map(str, problems[:SHOWN_PROBLEMS]), *([f"and {hidden:,} more; run with --format json for all"] if hidden > 0 else [])]
    if result_of_policy is None:
        signatures = [name for name in inspection.attestations if name != STATEMENT]
        note = [f"(not checked: {count_of(len(signatures), 'signature')}; use --key, --allowed-signers or --policy)"] if signatures else []
        return [f"{path}: OK", *(note or [LIMITS])]
    about = "; the statement is about that" if STATEMENT in inspection.attestations else ""
    lines = [f"{path}: {'OK' if result_of_policy.holds else 'unchanged'}", f"checked: every file, by {CHECKSUMS}{about}"]
    for result in sorted(result_of_policy.results, key=lambda result: _OUTCOMES.index(result.outcome)):
        name = result.path.rpartition("/")[2]
        if result.outcome == VALID:
            whose = f" ({result.identity})" if result.identity else ""
            lines.append(f"checked: {name}: signed by {result.key}{whose}, trusted by {result.trusted}")
        else:
            lines.append(f"{'wrong' if result.outcome == INVALID else 'not checked'}: {name}: {_why(result)}")
    if result_of_policy.provenance:
        lines.append(f"checked: what the statement says: {', '.join(result_of_policy.provenance)}")
    if result_of_policy.unchecked:
        lines.append(f"not checked: what the statement says: {', '.join(result_of_policy.unchecked)}")
    return [*lines, f"not checked: {BEYOND_SIGNATURES}"]


def _why(result: SignatureResult) -> str:
    if result.outcome in (INVALID, UNVERIFIED):
        return result.why
    return f"of {result.why or result.key or 'another key'}, which is not required"


def _tree(path: str, inspection: Inspection, result_of_policy: PolicyResult | None) -> dict[str, Any]:
    problems = inspection.problems
    tree: dict[str, Any] = {
        "place": path,
        "ok": not problems and (result_of_policy is None or result_of_policy.holds),
        "faults": [{name: text for name, text in problem.__dict__.items() if text} for problem in problems],
        "ignored": list(inspection.ignored),
        "made-by-eidos": inspection.is_ours,
    }
    if result_of_policy is not None:
        tree["signatures"] = [result.to_tree() for result in result_of_policy.results]
        tree["failures"] = list(result_of_policy.failures)
        tree["provenance"] = {"checked": list(result_of_policy.provenance), "not-checked": list(result_of_policy.unchecked)}
        tree["not-checked"] = BEYOND_SIGNATURES
    return tree
