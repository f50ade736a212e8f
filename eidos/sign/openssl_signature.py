"""Signatures by keys in PEM, with ``openssl``, and by keys of ``cosign``; both in the format that ``cosign verify-blob --bundle`` takes.

Knows both programs' arguments, which algorithms there are (ECDSA and RSA (PKCS #1) with SHA-2, and Ed25519), and the Sigstore bundle
format, version 0.3 (sigstore/protobuf-specs, ``sigstore_bundle.proto``, in its JSON mapping): a message signature with the digest of the
message, whose algorithm is that of the signature, and a hint for the public key, which is the SHA-256 of its SubjectPublicKeyInfo in
base64, as cosign writes it. Must not know what is signed. There is no entry of a transparency log in what we write, and none is verified.

With a key of P-384 or P-521, cosign signs the SHA-384 or SHA-512 since its version 3; with one of Ed25519 it writes no digest.
"""

from __future__ import annotations

import binascii
import hashlib
import os

from eidos.errors import IntegrityError, InvalidData, InvalidInput, Unavailable
from eidos.model.record import Record
from eidos.sign.key_strength import curve_bits, weakness_of_pem_key
from eidos.sign.signing_tools import failure_reason, private_folder, run_signer, run_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Object identifiers at the beginning of a SubjectPublicKeyInfo, in DER: RFC 8410, section 3; RFC 5480, section 2.1.1; RFC 8017, A.1.
ALGORITHMS = {
    "Ed25519": bytes.fromhex("06032b6570"),
    "ECDSA": bytes.fromhex("06072a8648ce3d0201"),
    "RSA": bytes.fromhex("06092a864886f70d010101"),
}

#: Digests of messages, as Sigstore and as hashlib and openssl name them, and those that cosign takes for larger curves, by their size.
HASHES = {"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}
CURVE_HASHES = {528: "SHA2_512", 384: "SHA2_384"}

MEDIA_TYPE, MEDIA_TYPE_PREFIX = "application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.sigstore.bundle"


_NEW_KEY = "make one with 'openssl genpkey -algorithm ed25519'"


def sign_with_openssl(key_path: str, data: bytes, deadline: float, passphrase_file: str | None = None) -> tuple[bytes, str]:
    """A Sigstore bundle with the signature of ``data``, and the SHA-256 of the public key in hexadecimal.

    Raises Unavailable when the key cannot be used, InvalidInput for a key of another algorithm, or one that is too weak.
    """
    passphrase = ("-passin", f"file:{passphrase_file}" if passphrase_file else "pass:")
    spki = run_signer(("openssl", "pkey", "-in", key_path, *passphrase, "-pubout", "-outform", "DER"), deadline)
    algorithm = _algorithm(spki, f"--key: {key_path}: ")
    if weakness := weakness_of_pem_key(spki, algorithm):
        raise InvalidInput(f"--key: {key_path}: {weakness}", _NEW_KEY)
    with private_folder({"data": data}) as folder:
        command: tuple[str, ...]
        if algorithm == "Ed25519":  # which signs in one go, and reads a file for it
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
    public = run_signer(("cosign", "public-key", "--key", key_path), deadline, environ=environ)
    with private_folder({"data": data}) as folder:
        command = ("cosign", "sign-blob", "--yes", "--key", key_path, "--tlog-upload=false")
        result = run_tool((*command, f"{folder}/data"), deadline, environ=environ)
        if result.status and any(flag in result.errors for flag in (b"signing-config", b"new-bundle-format")):  # version 3.0, and 3.1
            more = ("--use-signing-config=false", "--new-bundle-format=false")
            result = run_tool((*command, *more, f"{folder}/data"), deadline, environ=environ)
    if result.status:
        raise Unavailable(f"cosign cannot sign: {failure_reason(result)}", "pass the passphrase with --passphrase-file or COSIGN_PASSWORD")
    signature, spki = binascii.a2b_base64(result.output), pem_content(public)
    algorithm = CURVE_HASHES.get(curve_bits(spki) if _algorithm(spki) == "ECDSA" else 0, "SHA2_256")
    if algorithm != "SHA2_256":
        try:
            verify_with_openssl(public, data, _message(signature, data, spki, algorithm), deadline)
        except IntegrityError:
            algorithm = "SHA2_256"  # version 2 signs it with every key
    return _bundle(signature, data, spki, algorithm)


def _message(signature: bytes, data: bytes, spki: bytes, algorithm: str = "SHA2_256") -> MessageSignature:
    return MessageSignature(signature, hashlib.new(HASHES[algorithm], data).digest(), hashlib.sha256(spki).digest(), algorithm)


def _bundle(signature: bytes, data: bytes, spki: bytes, algorithm: str = "SHA2_256") -> tuple[bytes, str]:
    return format_sigstore_bundle(_message(signature, data, spki, algorithm)), hashlib.sha256(spki).hexdigest()


def pem_content(data: bytes) -> bytes:
    """The SubjectPublicKeyInfo in a PEM file. Raises InvalidInput when there is none."""
    body = data.partition(b"-----BEGIN PUBLIC KEY-----")[2].partition(b"-----END PUBLIC KEY-----")[0]
    try:
        content = binascii.a2b_base64(b"".join(body.split()))
    except binascii.Error:
        content = b""
    if not content:
        raise InvalidInput("not a public key in PEM", "print it with 'openssl pkey -in KEY -pubout', or 'cosign public-key --key KEY'")
    return content


def pem_key_digest(data: bytes) -> str:
    """The SHA-256 of the SubjectPublicKeyInfo in a PEM file, in hexadecimal. Raises InvalidInput for a key that signs nothing here."""
    spki = pem_content(data)
    _algorithm(spki)
    return hashlib.sha256(spki).hexdigest()


def verify_with_openssl(key: bytes, data: bytes, signature: MessageSignature, deadline: float) -> None:
    """Raise IntegrityError unless the key of this PEM file signed ``data``."""
    name = HASHES[signature.digest_algorithm]
    if signature.message_digest not in (b"", hashlib.new(name, data).digest()):
        raise IntegrityError("it is about other content")
    spki = pem_content(key)
    algorithm = _algorithm(spki)
    if weakness := weakness_of_pem_key(spki, algorithm):
        raise IntegrityError(weakness)
    with private_folder({"data": data, "signature": signature.signature, "key": key}) as folder:
        file, mark, public = f"{folder}/data", f"{folder}/signature", f"{folder}/key"
        command: tuple[str, ...]
        if algorithm == "Ed25519":
            command = ("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", file, "-sigfile", mark)
        else:
            command = ("openssl", "dgst", f"-{name}", "-verify", public, "-signature", mark, file)
        result = run_tool(command, deadline)
    if result.status:
        raise IntegrityError(f"openssl: {failure_reason(result) if result.errors else 'the signature does not match'}")


def _algorithm(spki: bytes, prefix: str = "") -> str:
    for name, identifier in ALGORITHMS.items():
        if identifier in spki[:24]:
            return name
    raise InvalidInput(f"{prefix}the key is neither EC, RSA nor Ed25519", _NEW_KEY)


class MessageSignature(Record):
    """A signature, the digest of the message, b"" where there is none, and the SHA-256 of the public key (SubjectPublicKeyInfo)."""

    signature: bytes
    message_digest: bytes
    key_digest: bytes
    digest_algorithm: str = "SHA2_256"


def format_sigstore_bundle(signature: MessageSignature) -> bytes:
    """The bundle as JSON."""
    import json

    tree = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": _base64(signature.key_digest)}},
        "messageSignature": {
            "messageDigest": {"algorithm": signature.digest_algorithm, "digest": _base64(signature.message_digest)},
            "signature": _base64(signature.signature),
        },
    }
    return f"{json.dumps(tree, indent=2)}\n".encode()


def parse_sigstore_bundle(data: bytes, name: str) -> MessageSignature:
    """The signature in a bundle. Raises InvalidData for another format, or one with a certificate in place of a key."""
    from eidos.formats import from_text
    from eidos.model.tree_reader import QUOTED, TreeReader

    tree = TreeReader(from_text(data, name), name, text_types=QUOTED)
    if not tree.text("mediaType").startswith(MEDIA_TYPE_PREFIX):
        raise tree.error("not a Sigstore bundle", name="mediaType")
    material, content = tree.mapping("verificationMaterial"), tree.mapping("messageSignature")
    if "publicKey" not in material:
        raise material.error("no public key: keyless signatures are not supported", "sign with a key")
    key_digest = _decoded(material.mapping("publicKey"), "hint", allow_other=True)
    if not content.tree.get("messageDigest"):
        return MessageSignature(_decoded(content, "signature"), b"", key_digest)
    digest = content.mapping("messageDigest")
    algorithm = digest.text("algorithm")
    if algorithm not in HASHES:
        raise digest.error(f"expected one of {', '.join(HASHES)}", name="algorithm")
    return MessageSignature(_decoded(content, "signature"), _decoded(digest, "digest"), key_digest, algorithm)


def _decoded(tree: Any, field: str, allow_other: bool = False) -> bytes:
    text: str = tree.name(field)
    try:
        data = binascii.a2b_base64(text.encode("ascii"))
    except (UnicodeEncodeError, binascii.Error) as fault:
        if allow_other:
            return b""
        raise InvalidData(f"{tree.document}: {tree.location(field)}: not base64") from fault
    if _base64(data) != text and not allow_other:  # one signature has one text
        raise InvalidData(f"{tree.document}: {tree.location(field)}: not base64")
    return data


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()
