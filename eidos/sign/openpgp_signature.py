"""Signatures by OpenPGP keys: ``gpg``, detached and armored.

Knows gpg(1) and the lines of its ``--status-fd`` (doc/DETAILS of GnuPG); must not know what is signed. The user's keyring is used where a
fingerprint names the key, and a keyring of nothing else where a file holds it. How much gpg trusts a key makes no difference: the user
names the key.
"""

from __future__ import annotations

from eidos.errors import IntegrityError, Unavailable
from eidos.sign.signing_tools import failure_reason, private_folder, run_signer, run_tool

_GPG = ("gpg", "--batch", "--no-tty")

#: Status lines by which a signature, or its key, is not to be relied on.
_REFUSALS = {
    "BADSIG": "the signature does not match",
    "ERRSIG": "the signature cannot be verified with this key",
    "EXPSIG": "the signature has expired",
    "EXPKEYSIG": "the key has expired",
    "REVKEYSIG": "the key was revoked",
}


class UnknownSigner(IntegrityError):
    """A key signed that is not among those which count: ``key`` is its fingerprint, as far as it is known."""

    def __init__(self, key: str) -> None:
        super().__init__(f"signed by another key, {key}")
        self.key = key


def sign_with_gpg(name: str, data: bytes, deadline: float, passphrase_file: str | None = None) -> tuple[bytes, str]:
    """The signature of ``data`` by a key of the user's keyring, and the key's fingerprint. Raises Unavailable when it cannot be used."""
    passphrase = ("--pinentry-mode", "loopback", "--passphrase-file", passphrase_file) if passphrase_file else ()
    command = (*_GPG, *passphrase, "--armor", "--local-user", name, "--detach-sign", "--output", "-", "-")
    signature = run_signer(command, deadline, data)
    with private_folder({"signature": signature}) as folder:
        result = run_tool((*_GPG, "--status-fd", "1", "--verify", f"{folder}/signature", "-"), deadline, data)
    fingerprints = _fingerprints(result.output)
    if not fingerprints:
        raise Unavailable(f"gpg does not verify what it signed: {failure_reason(result)}")
    return signature, fingerprints[-1]


def verify_with_gpg(data: bytes, signature: bytes, deadline: float, *, key: bytes = b"", fingerprint: str = "") -> str:
    """The fingerprint of the primary key that signed ``data``: a key in ``key``, or the one with ``fingerprint`` of the user's keyring.

    Raises UnknownSigner when another key did, IntegrityError when the signature does not match, or it or the key is no longer valid.
    """
    with private_folder({"signature": signature, "key": key}) as folder:
        home = ("--homedir", folder) if key else ()
        if key:
            result = run_tool((*_GPG, *home, "--import", f"{folder}/key"), deadline)
            if result.status:
                raise IntegrityError(f"gpg cannot read the public key: {failure_reason(result)}")
        result = run_tool((*_GPG, *home, "--status-fd", "1", "--verify", f"{folder}/signature", "-"), deadline, data)
    words = [line.split() for line in result.output.decode("utf-8", "replace").splitlines() if line.startswith("[GNUPG:] ")]
    reason = next((text for keyword, text in _REFUSALS.items() if any(keyword in line[1:2] for line in words)), "")
    fingerprints = _fingerprints(result.output)
    unknown = next((line[2] for line in words if line[1:2] == ["NO_PUBKEY"] and len(line) > 2), "")
    if unknown or (fingerprint and fingerprints and fingerprint not in fingerprints):
        raise UnknownSigner(unknown or fingerprints[-1])
    if reason or result.status or not fingerprints or not any("GOODSIG" in line[1:2] for line in words):
        raise IntegrityError(f"gpg: {reason or failure_reason(result)}")
    return fingerprints[-1]


def _fingerprints(status: bytes) -> list[str]:
    """The fingerprints of the key that made a valid signature, its primary key's last."""
    for line in status.decode("utf-8", "replace").splitlines():
        words = line.split()
        if words[:2] == ["[GNUPG:]", "VALIDSIG"] and len(words) > 2:
            return [words[2], words[11] if len(words) > 11 else words[2]]
    return []
