"""``eidos sign``: a signature for a bundle.

Knows the flags of the verb and what is checked before a bundle is signed; must not know how a program signs, nor how a bundle is written.
"""

from __future__ import annotations

from eidos.cli.document_locations import STDOUT, is_in_registry, write_document
from eidos.cli.options import FORMAT, HELP, LOGGING, Operand, Option, Verb, parse_path, parse_timeout
from eidos.errors import IntegrityError, InvalidData, InvalidInput
from eidos.formats import serialize
from eidos.log import printable
from eidos.model.bundle import STATEMENT, signature_path
from eidos.sign.key_forms import COSIGN, GPG, KINDS, SSH, read_private_key
from eidos.terminal import fit_locale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values
    from eidos.sign.key_forms import Key

#: Kind of key → how the names of its signatures begin.
_NAMES = {SSH: "ssh", GPG: "gpg"}

#: The key of every verb that signs.
SIGNING = (
    Option("key", "sign with this key: a file, or the fingerprint of an OpenPGP key", "KEY", flag_only=True, completion="file"),
    Option("with", "use this kind of key (default by the form of --key)", "KIND", choices=KINDS, flag_only=True),
    Option("passphrase-file", "read the passphrase of the key from this file", "FILE", convert=parse_path, completion="file"),
)

VERB = Verb(
    "sign",
    (
        (
            "Sign a bundle, a folder or an archive, with a key of OpenSSH, OpenPGP, openssl or cosign. What is signed is the statement in "
            "attestations/: it says which recipe, data and program the bundle was made of, and names the digest of checksums.txt, "
            "which lists every other file."
        ),
        (
            "The signature is put into attestations/; an archive is written again with it. The key stays where it is: ssh-keygen, gpg, "
            "openssl or cosign uses it. A bundle that was modified is not signed."
        ),
    ),
    (
        *SIGNING,
        Option("timeout", "give up after this time", "DURATION", None, "60s", parse_timeout),
        FORMAT,
        *LOGGING,
        HELP,
    ),
    (Operand("bundle", "the folder, tar.gz or zip archive", convert=parse_path, completion="file"),),
    examples=(
        ("eidos sign bundle.tar.gz --key ~/.ssh/id_ed25519", "with an OpenSSH key"),
        ("eidos sign bundle.tar.gz --key ~/.ssh/id_ed25519.pub", "with the same key in ssh-agent"),
        ("eidos sign bundle --key release.pem --passphrase-file pass.txt", "with a key in PEM"),
        ("eidos sign bundle --key release@example.com --with gpg", "with a key of gpg"),
    ),
    notes=(
        "A passphrase is never a flag: use ssh-agent, gpg-agent, --passphrase-file, or COSIGN_PASSWORD.",
        (
            "Exit status: 0 signed; 1 the key could not be used, or the bundle not be written; 2 wrong usage, no such file or no such "
            "key; 5 modified, or not a bundle; 124 timed out."
        ),
    ),
)


def run(values: Values) -> int:
    """Sign the bundle, and say where the signature is."""
    from eidos.bundle.attestation_writer import add_signature
    from eidos.bundle.verification import inspect_bundle

    path = values["bundle"]
    if is_in_registry(path):
        raise InvalidInput(
            f"{path}: only a folder or an archive can be signed", f"run 'eidos pull {path} -o bundle', sign that, and push it"
        )
    if not values["key"]:
        raise InvalidInput("eidos sign needs a key", "use --key ~/.ssh/id_ed25519")
    key = read_signing_key(values)
    inspection = inspect_bundle(path)
    if inspection.problems:
        raise IntegrityError(
            f"{path} was modified: {inspection.problems[0]}", f"run 'eidos verify {path}'; a modified bundle is not signed"
        )
    if STATEMENT not in inspection.attestations:
        raise InvalidData(f"{path} has no {STATEMENT}: an earlier version of eidos made it", "build the bundle again")
    name, signature, shown = make_signature(key, inspection.attestations[STATEMENT], values)
    add_signature(path, name, signature)
    if values["format"] in ("json", "yaml"):
        text = serialize({"place": path, "signature": name, "key": shown, "kind": key.kind}, values["format"])
    else:
        text = fit_locale(f"{printable(path)}: signed by {shown}: {name}\n")
    write_document(STDOUT, text)
    return 0


def read_signing_key(values: Values) -> Key:
    """The key that the flags name. Raises InvalidInput, NotFound or Unavailable when it is none to sign with."""
    key = read_private_key(values["key"], values["with"] or "")
    if key.kind == SSH and values["passphrase-file"]:
        raise InvalidInput("--passphrase-file cannot be used with an OpenSSH key", "run 'ssh-add KEY', then sign with --key KEY.pub")
    return key


def make_signature(key: Key, statement: bytes, values: Values) -> tuple[str, bytes, str]:
    """Where the signature of a statement belongs, its bytes, and the key as people know it. Raises Unavailable or Timeout."""
    from eidos.bundle.checksums import sha256

    signature, fingerprint = _sign(key, statement, values)
    name = signature_path(_NAMES.get(key.kind, "key"), fingerprint, sha256(signature))
    return name, signature, _show(key, fingerprint)


def _sign(key: Key, statement: bytes, values: Values) -> tuple[bytes, str]:
    """The signature and the fingerprint of the key."""
    from eidos.sign.signing_tools import deadline_after

    deadline, passphrase_file = deadline_after(values["timeout"]), values["passphrase-file"]
    if key.kind == SSH:
        from eidos.sign.openssh_signature import sign_with_ssh

        return sign_with_ssh(key.name, statement, deadline)
    if key.kind == GPG:
        from eidos.sign.openpgp_signature import sign_with_gpg

        return sign_with_gpg(key.name, statement, deadline, passphrase_file)
    from eidos.sign.openssl_signature import sign_with_cosign, sign_with_openssl

    sign = sign_with_cosign if key.kind == COSIGN else sign_with_openssl
    return sign(key.name, statement, deadline, passphrase_file)


def _show(key: Key, fingerprint: str) -> str:
    if key.kind == SSH:
        from eidos.sign import openssh_signature

        return openssh_signature.fingerprint(fingerprint)
    return fingerprint if key.kind == GPG else f"sha256:{fingerprint}"
