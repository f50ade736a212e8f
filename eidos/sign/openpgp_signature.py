"""Signatures by OpenPGP keys: ``gpg``, detached and armored.

Knows gpg(1) and the lines of its ``--status-fd`` (doc/DETAILS of GnuPG); must not know what is signed. The user's keyring is used where a
fingerprint names the key, and a keyring of nothing else where a file holds it. How much gpg trusts a key makes no difference: the user
names the key.
"""

from __future__ import annotations

from eidos.errors import IntegrityError, InvalidInput, Unavailable
from eidos.sign.key_strength import OPENPGP_ALGORITHMS, weakness_of_openpgp_key
from eidos.sign.signing_tools import failure_reason, private_folder, run_signer, run_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.process.run import ProgramResult

_GPG = ("gpg", "--batch", "--no-tty")

#: Status lines by which a signature, or its key, is not to be relied on.
_REFUSALS = {
    "BADSIG": "the signature does not match",
    "ERRSIG": "the signature cannot be verified with this key",
    "EXPSIG": "the signature has expired",
    "EXPKEYSIG": "the key has expired",
    "REVKEYSIG": "the key was revoked",
}


#: Of a keyring of our own: no agent, which would be left behind; GnuPG 2.0 knows no such option.
_CONFIGURATION = b"ignore-invalid-option no-autostart\nno-autostart\n"

#: Digests for which other content can be made (RFC 9580, section 9.5: MD5, SHA-1, RIPEMD-160); gpg itself refuses MD5 alone.
_BROKEN_DIGESTS = {"1": "MD5", "2": "SHA-1", "3": "RIPEMD-160"}


class UnknownSigner(IntegrityError):
    """A key signed that is not among those which count: ``key`` is its fingerprint, as far as it is known."""

    def __init__(self, key: str) -> None:
        super().__init__(f"signed by another key, {key}")
        self.key = key


def sign_with_gpg(name: str, data: bytes, deadline: float, passphrase_file: str | None = None) -> tuple[bytes, str]:
    """The signature of ``data`` by a key of the user's keyring, and the key's fingerprint. Raises Unavailable when it cannot be used.

    Raises InvalidInput when it is too weak.
    """
    passphrase = ("--pinentry-mode", "loopback", "--passphrase-file", passphrase_file) if passphrase_file else ()
    command = (*_GPG, *passphrase, "--armor", "--local-user", name, "--detach-sign", "--output", "-", "-")
    signature = run_signer(command, deadline, data)
    with private_folder({"signature": signature}) as folder:
        result = run_tool((*_GPG, "--status-fd", "1", "--verify", f"{folder}/signature", "-"), deadline, data)
    for line in _status_lines(result.output):
        if fingerprints := _fingerprints(line):
            if weakness := _find_weakness(result.output, fingerprints[-1], (), deadline):
                raise InvalidInput(f"--key: {name}: {weakness}", "make one with 'gpg --quick-gen-key NAME ed25519 sign'")
            return signature, fingerprints[-1]
    raise Unavailable(f"gpg does not verify what it signed: {failure_reason(result)}")


def verify_with_gpg(data: bytes, signature: bytes, deadline: float, *, key: bytes = b"", fingerprint: str = "") -> str:
    """The fingerprint of the primary key that signed ``data``: the exported ``key``, or the one with ``fingerprint`` of the user's keyring.

    Raises UnknownSigner when another key did, IntegrityError when the signature does not match, has expired or was made by a weak,
    expired or revoked key; InvalidInput when ``key`` is not one public key.
    """
    with private_folder({"signature": signature, "key": key, "gpg.conf": _CONFIGURATION}) as folder:
        home = ("--homedir", folder) if key else ()
        if key:
            result = _run_gpg((*home, "--quiet", "--status-fd", "1", "--import", f"{folder}/key"), deadline)
            count = len({line[-1] for line in _status_lines(result.output) if line[1] == "IMPORT_OK"})
            if count > 1:
                raise InvalidInput(f"{count} keys in one file; expected one", "export each with 'gpg --armor --export FINGERPRINT'")
            if result.status or not count:
                raise InvalidInput("gpg cannot read this public key", "export it with 'gpg --armor --export FINGERPRINT'")
        result = _run_gpg((*home, "--status-fd", "1", "--verify", f"{folder}/signature", "-"), deadline, data)
        signer = read_signer(result.output, fingerprint, failure_reason(result) if result.status else "")
        if weakness := _find_weakness(result.output, signer, home, deadline):
            raise IntegrityError(f"gpg: {weakness}")
    return signer


def _find_weakness(status: bytes, signer: str, home: tuple[str, ...], deadline: float) -> str:
    """Why a key of the primary key ``signer`` that made a valid signature is too weak; empty when none is."""
    lines = [line for line in _status_lines(status) if _fingerprints(line)[-1:] == [signer] and line[8:9] and line[8] in OPENPGP_ALGORITHMS]
    listing = _run_gpg((*home, "--with-colons", "--list-keys", signer), deadline).output.decode("utf-8", "replace") if lines else ""
    return next(filter(None, (weakness_of_openpgp_key(listing, line[2]) for line in lines)), "")


def _run_gpg(arguments: tuple[str, ...], deadline: float, stdin: bytes = b"") -> ProgramResult:
    """Run gpg; Unavailable when it ends before it looks at anything."""
    result = run_tool((*_GPG, *arguments), deadline, stdin)
    if result.status and b"gpg: Fatal: " in result.errors:
        raise Unavailable(f"gpg does not run: {failure_reason(result)}", "set GNUPGHOME to a folder that you can write to")
    return result


def read_signer(status: bytes, fingerprint: str, failure: str) -> str:
    """The primary key's fingerprint of the signer that counts, by the status of gpg; any signer counts without a ``fingerprint``.

    Raises as :func:`verify_with_gpg`; ``failure`` is why gpg itself failed, which it does for a key that it does not have, too.
    """
    words = _status_lines(status)
    keywords = {line[1] for line in words if len(line) > 1}
    # A file may have signatures of several keys; one by a key that we do not have says nothing, and leaves its own kind of error.
    missing = [line[2] for line in words if line[1:2] == ["NO_PUBKEY"] and len(line) > 2]
    keywords -= {"ERRSIG"} if sum(line[1:2] == ["ERRSIG"] for line in words) == len(missing) else set()
    reason = next((text for keyword, text in _REFUSALS.items() if keyword in keywords), "") or _weakness(words)
    signers = [fingerprints for line in words if (fingerprints := _fingerprints(line))]
    trusted = [fingerprints for fingerprints in signers if not fingerprint or fingerprint in fingerprints]
    # What is wrong with the key of somebody else is no matter.
    if not trusted and (signers or (missing and not reason)):
        raise UnknownSigner(signers[-1][-1] if signers else missing[0])
    if reason or not trusted or "GOODSIG" not in keywords or (failure and not missing):
        raise IntegrityError(f"gpg: {reason or failure.removeprefix('gpg: ') or 'no valid signature'}")
    return trusted[0][-1]


def _status_lines(output: bytes) -> list[list[str]]:
    """The words of each status line. gpg escapes no other end of line than a newline, and names of users may have U+2028 or U+0085."""
    return [line.split(" ") for line in output.decode("utf-8", "replace").split("\n") if line.startswith("[GNUPG:] ")]


def _fingerprints(line: list[str]) -> list[str]:
    """The fingerprints of the key that made a valid signature, its primary key's last."""
    return [line[2], line[11] if len(line) > 11 else line[2]] if line[1:2] == ["VALIDSIG"] and len(line) > 2 else []


def _weakness(words: list[list[str]]) -> str:
    """Why a signature that gpg accepts does not hold every byte of the content, if that is so."""
    for line in words:
        if line[1:2] == ["VALIDSIG"] and len(line) > 10:
            if line[9] in _BROKEN_DIGESTS:
                return f"the signature uses {_BROKEN_DIGESTS[line[9]]}, which is broken"
            if line[10] != "00":
                return "the signature is one of text, which does not cover the ends of lines; sign without --textmode"
    return ""
