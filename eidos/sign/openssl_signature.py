"""Signatures by keys in PEM, with ``openssl``, and by keys of ``cosign``.

Knows both programs' arguments, and which algorithms there are: ECDSA and RSA (PKCS #1) with SHA-256, and Ed25519; must not know what is
signed. ``cosign verify-blob`` takes what a P-256 key signs; its own keys are of that kind.
"""

from __future__ import annotations

import hashlib
import os

from eidos.errors import IntegrityError, InvalidInput, Unavailable
from eidos.sign.signing_tools import failure_reason, private_folder, run_signer, run_tool
from eidos.sign.sigstore_bundle import MessageSignature, format_sigstore_bundle

#: Object identifiers at the beginning of a SubjectPublicKeyInfo, in DER: RFC 8410, section 3; RFC 5480, section 2.1.1; RFC 8017, A.1.
ALGORITHMS = {
    "Ed25519": bytes.fromhex("06032b6570"),
    "ECDSA": bytes.fromhex("06072a8648ce3d0201"),
    "RSA": bytes.fromhex("06092a864886f70d010101"),
}


def sign_with_openssl(key_path: str, data: bytes, deadline: float, passphrase_file: str | None = None) -> tuple[bytes, str]:
    """A Sigstore bundle with the signature of ``data``, and the SHA-256 of the public key in hexadecimal.

    Raises Unavailable when the key cannot be used, InvalidInput for a key of another algorithm.
    """
    passphrase = ("-passin", f"file:{passphrase_file}" if passphrase_file else "pass:")
    spki = run_signer(("openssl", "pkey", "-in", key_path, *passphrase, "-pubout", "-outform", "DER"), deadline)
    with private_folder({"data": data}) as folder:
        command: tuple[str, ...]
        if _algorithm(spki) == "Ed25519":  # which signs in one go, and reads a file for it
            command = ("openssl", "pkeyutl", "-sign", "-inkey", key_path, *passphrase, "-rawin", "-in", f"{folder}/data")
        else:
            command = ("openssl", "dgst", "-sha256", "-sign", key_path, *passphrase, f"{folder}/data")
        signature = run_signer(command, deadline)
    return _bundle(signature, data, spki)


def sign_with_cosign(key_path: str, data: bytes, deadline: float, passphrase_file: str | None = None) -> tuple[bytes, str]:
    """The same with an encrypted key of cosign. Without ``passphrase_file`` its passphrase is in COSIGN_PASSWORD, or empty."""
    environ = {"COSIGN_PASSWORD": os.environ.get("COSIGN_PASSWORD", "")}
    if passphrase_file:
        try:
            with open(passphrase_file, encoding="utf-8", errors="surrogateescape") as file:
                environ["COSIGN_PASSWORD"] = file.readline().rstrip("\r\n")
        except OSError as fault:
            raise Unavailable(f"--passphrase-file: {passphrase_file}: {fault.strerror}") from fault
    spki = pem_content(run_signer(("cosign", "public-key", "--key", key_path), deadline, environ=environ))
    with private_folder({"data": data}) as folder:
        command = ("cosign", "sign-blob", "--yes", "--key", key_path, "--tlog-upload=false")
        result = run_tool((*command, f"{folder}/data"), deadline, environ=environ)
        if result.status and b"signing-config" in result.errors:  # from version 3 on
            more = ("--use-signing-config=false", "--new-bundle-format=false")
            result = run_tool((*command, *more, f"{folder}/data"), deadline, environ=environ)
    if result.status:
        raise Unavailable(f"cosign cannot sign: {failure_reason(result)}", "pass the passphrase with --passphrase-file or COSIGN_PASSWORD")
    import binascii

    return _bundle(binascii.a2b_base64(result.output), data, spki)


def _bundle(signature: bytes, data: bytes, spki: bytes) -> tuple[bytes, str]:
    key_digest = hashlib.sha256(spki)
    return format_sigstore_bundle(MessageSignature(signature, hashlib.sha256(data).digest(), key_digest.digest())), key_digest.hexdigest()


def pem_content(data: bytes) -> bytes:
    """The SubjectPublicKeyInfo in a PEM file. Raises InvalidInput when there is none."""
    import binascii

    body = data.partition(b"-----BEGIN PUBLIC KEY-----")[2].partition(b"-----END PUBLIC KEY-----")[0]
    try:
        content = binascii.a2b_base64(b"".join(body.split()))
    except binascii.Error:
        content = b""
    if not content:
        raise InvalidInput("not a public key in PEM", "print it with 'openssl pkey -in KEY -pubout', or 'cosign public-key --key KEY'")
    return content


def verify_with_openssl(key: bytes, data: bytes, signature: MessageSignature, deadline: float) -> None:
    """Raise IntegrityError unless the key of this PEM file signed ``data``."""
    if signature.message_digest != hashlib.sha256(data).digest():
        raise IntegrityError("it is about other content")
    with private_folder({"data": data, "signature": signature.signature, "key": key}) as folder:
        file, mark, public = f"{folder}/data", f"{folder}/signature", f"{folder}/key"
        command: tuple[str, ...]
        if _algorithm(pem_content(key)) == "Ed25519":
            command = ("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", file, "-sigfile", mark)
        else:
            command = ("openssl", "dgst", "-sha256", "-verify", public, "-signature", mark, file)
        result = run_tool(command, deadline)
    if result.status:
        raise IntegrityError(f"openssl: {failure_reason(result) if result.errors else 'the signature does not match'}")


def _algorithm(spki: bytes) -> str:
    for name, identifier in ALGORITHMS.items():
        if identifier in spki[:24]:
            return name
    raise InvalidInput("the key is neither EC, RSA nor Ed25519", "make one with 'openssl genpkey -algorithm ed25519'")
