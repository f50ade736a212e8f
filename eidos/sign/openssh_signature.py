"""Signatures by OpenSSH keys: ``ssh-keygen -Y``.

Knows ssh-keygen(1), "-Y sign", "-Y verify" and "-Y find-principals", and the format of a signature (PROTOCOL.sshsig of OpenSSH) as far as
it names the key; must not know what is signed. The namespace is ``eidos``: a signature for another purpose, such as a commit, is none.
"""

from __future__ import annotations

import binascii

from eidos.errors import IntegrityError, InvalidInput, Unavailable
from eidos.log import printable
from eidos.sign.key_strength import weakness_of_ssh_key
from eidos.sign.signing_tools import failure_reason, private_folder, run_signer, run_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.process.run import ProgramResult

NAMESPACE = "eidos"

_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"


#: What ssh-keygen prints of an entry of the allowed signers (valid-before, valid-after) → what that means.
_OUT_OF_DATE = {b"key has expired": "has expired", b"key is not yet valid": "is not valid yet"}


def sign_with_ssh(key_path: str, data: bytes, deadline: float) -> tuple[bytes, str]:
    """The signature of ``data``, and the SHA-256 of the public key in hexadecimal; ``key_path`` may be a public key that ssh-agent has.

    Raises Unavailable when the key cannot be used, InvalidInput when it is too weak.
    """
    signature = run_signer(("ssh-keygen", "-Y", "sign", "-n", NAMESPACE, "-f", key_path), deadline, data)
    try:
        key = public_key(signature)
    except ValueError as fault:
        raise Unavailable("ssh-keygen printed no signature", "check that it is OpenSSH 8.1 or newer") from fault
    if weakness := weakness_of_ssh_key(key):
        raise InvalidInput(f"--key: {key_path}: {weakness}", "make one with 'ssh-keygen -t ed25519'")
    return signature, key_digest(key)


def public_key(signature: bytes) -> bytes:
    """The public key in a signature, in the wire format. Raises ValueError when there is none."""
    body = signature.partition(_BEGIN)[2].partition(_END)[0]
    try:
        blob = binascii.a2b_base64(b"".join(body.split()))
    except binascii.Error as fault:
        raise ValueError("not base64") from fault
    if blob[:10] != b"SSHSIG\0\0\0\1" or len(blob) < 14:
        raise ValueError("not a signature of OpenSSH")
    length = int.from_bytes(blob[10:14], "big")
    if not 0 < length <= len(blob) - 14:
        raise ValueError("the signature is cut off")
    return blob[14 : 14 + length]


def key_digest(blob: bytes) -> str:
    """The SHA-256 of a public key in the wire format, in hexadecimal."""
    import hashlib

    return hashlib.sha256(blob).hexdigest()


def fingerprint(digest: str) -> str:
    """A digest as ``ssh-keygen -l`` shows it.

    >>> fingerprint("00" * 32)
    'SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
    """
    return "SHA256:" + binascii.b2a_base64(bytes.fromhex(digest), newline=False).decode().rstrip("=")


def public_key_digest(line: bytes) -> str:
    """The digest of a public key in its file. Raises ValueError for another format."""
    words = line.split()
    if len(words) < 2:
        raise ValueError("not a public key")
    return key_digest(binascii.a2b_base64(words[1]))


def verify_with_key(key_line: bytes, data: bytes, signature: bytes, deadline: float) -> None:
    """Raise IntegrityError unless the key of this public key file signed ``data``."""
    words = key_line.split()
    signers = NAMESPACE.encode() + b" " + words[0] + b" " + words[1] + b"\n"
    verify_with_signers(signers, NAMESPACE, data, signature, deadline)


def verify_with_signers(signers: bytes, identity: str, data: bytes, signature: bytes, deadline: float) -> None:
    """Raise IntegrityError unless a key of ``identity`` in the allowed signers (ssh-keygen(1)) that is not weak signed ``data``."""
    if weakness := weakness_of_ssh_key(public_key(signature)):
        raise IntegrityError(weakness)
    with private_folder({"signers": signers, "signature": signature}) as folder:
        command = ("ssh-keygen", "-Y", "verify", "-n", NAMESPACE, "-I", identity, "-f", f"{folder}/signers", "-s", f"{folder}/signature")
        result = run_tool(command, deadline, data)
    _require_user(result)
    if result.status and b"namespace does not match" in result.errors:
        raise IntegrityError(f"it is not for the namespace {NAMESPACE!r}: sign with 'ssh-keygen -Y sign -n {NAMESPACE}'")
    if result.status and b"not permitted for use in signature namespace" in result.errors:
        raise IntegrityError(f"the allowed signers do not permit the key in the namespace {NAMESPACE!r}")
    if result.status:
        raise IntegrityError(f"ssh-keygen: {failure_reason(result).replace(f'{folder}/', '')}")


def _require_user(result: ProgramResult) -> None:
    """Raise Unavailable where ssh-keygen did not look at the signature, because its user has no entry in /etc/passwd."""
    if result.status and b"No user exists for uid" in result.errors:
        raise Unavailable(f"ssh-keygen does not run: {failure_reason(result)}", "run as a user of /etc/passwd, or use a key of openssl")


def find_identities(signers: bytes, signature: bytes, deadline: float) -> tuple[tuple[str, ...], str]:
    """The principals of the allowed signers for the key of a signature; when there are none, the reason an entry does not count, or "".

    Patterns of whom an entry does not mean are left out.
    """
    with private_folder({"signers": signers, "signature": signature}) as folder:
        command = ("ssh-keygen", "-Y", "find-principals", "-f", f"{folder}/signers", "-s", f"{folder}/signature")
        result = run_tool(command, deadline)
    _require_user(result)
    if result.status:
        malformed = [line.partition(b"/signers:")[2] for line in result.errors.split(b"\n") if b"/signers:" in line]
        reason = next((f"entry {reason}" for text, reason in _OUT_OF_DATE.items() if text in result.errors), "")
        return (), reason or (f"line {printable(malformed[0].decode('utf-8', 'replace').strip())}" if malformed else "")
    lines = dict.fromkeys(line.strip() for line in result.output.decode("utf-8", "replace").split("\n"))
    return tuple(line for line in lines if line and not line.startswith("!")), ""
