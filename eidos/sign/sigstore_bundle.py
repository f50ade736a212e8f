"""A signature with the key's digest, in the format that ``cosign verify-blob --bundle`` takes.

Knows the Sigstore bundle format, version 0.3 (sigstore/protobuf-specs, ``sigstore_bundle.proto``, in its JSON mapping): a message signature
with the digest of the message, and a hint for the public key, which is the SHA-256 of its SubjectPublicKeyInfo in base64, as cosign writes
it. Must not know how a signature is made. There is no entry of a transparency log in what we write, and none is verified.
"""

from __future__ import annotations

import binascii

from eidos.errors import InvalidData
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MEDIA_TYPE, MEDIA_TYPE_PREFIX = "application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.sigstore.bundle"


class MessageSignature(Record):
    """A signature, the SHA-256 of the message and that of the public key (SubjectPublicKeyInfo), both as bytes."""

    signature: bytes
    message_digest: bytes
    key_digest: bytes


def format_sigstore_bundle(signature: MessageSignature) -> bytes:
    """The bundle as JSON."""
    import json

    tree = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": _base64(signature.key_digest)}},
        "messageSignature": {
            "messageDigest": {"algorithm": "SHA2_256", "digest": _base64(signature.message_digest)},
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
    digest = content.mapping("messageDigest")
    if digest.text("algorithm") != "SHA2_256":
        raise digest.error("expected SHA2_256", name="algorithm")
    return MessageSignature(
        _decoded(content, "signature"), _decoded(digest, "digest"), _decoded(material.mapping("publicKey"), "hint", allow_other=True)
    )


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
