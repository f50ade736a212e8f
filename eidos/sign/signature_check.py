"""Which signatures of a statement are valid, and by which trusted key.

Knows which kind of signature a key makes and what is compared before a program is run; must not know bundles, nor what is required: a
policy does, or the caller. A signature by a key that is not trusted is reported, not verified.
"""

from __future__ import annotations

import hashlib

from eidos.errors import EidosError, IntegrityError, InvalidData, InvalidInput
from eidos.files import read_named_file
from eidos.model.bundle import STATEMENT, parse_signature_path
from eidos.model.record import Record
from eidos.sign.key_forms import GPG, MAX_KEY_BYTES, OPENSSL, SSH, Key, is_ssh_public

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: What became of a signature: it holds, it does not, its key is not trusted, or it could not be verified.
VALID, INVALID, UNTRUSTED, UNVERIFIED = "valid", "invalid", "untrusted", "unverified"

#: How the names of the signatures of a kind of key begin.
_NAMES = {SSH: "ssh", GPG: "gpg", OPENSSL: "key"}


class SignatureResult(Record):
    """What became of one signature: ``key`` is a fingerprint, ``trusted`` how the user calls the key, ``identity`` whose it is."""

    path: str
    outcome: str
    key: str = ""
    trusted: str = ""
    identity: str = ""
    why: str = ""

    def to_tree(self) -> dict[str, str]:
        """Its fields, without the empty ones."""
        return {name: text for name, text in self.__dict__.items() if text}


class AllowedSigners(Record):
    """An allowed signers file of OpenSSH (ssh-keygen(1)); ``identities`` are those that count, all when there are none."""

    name: str
    data: bytes
    identities: tuple[str, ...] = ()


def read_allowed_signers(path: str, identities: tuple[str, ...] = ()) -> AllowedSigners:
    """The file at ``path``. Raises NotFound, Unavailable, or InvalidInput for one that names nobody, or is a public key itself."""
    data = read_named_file(path, MAX_KEY_BYTES, f"--allowed-signers: {path}").removeprefix(b"\xef\xbb\xbf")
    if len(data) > MAX_KEY_BYTES:
        raise InvalidInput(f"--allowed-signers: {path} is larger than {MAX_KEY_BYTES >> 10} KiB")
    lines = [line for line in data.splitlines() if line.strip() and not line.startswith(b"#")]
    if not lines or is_ssh_public(lines[0]):
        fault = "is a public key" if lines else "has no entries"
        raise InvalidInput(f"--allowed-signers: {path} {fault}", "write lines such as 'alice@example.com ssh-ed25519 AAAA...'")
    return AllowedSigners(path, data, identities)


def check_signatures(
    attestations: Mapping[str, bytes], keys: tuple[Key, ...], signers: AllowedSigners | None, deadline: float
) -> tuple[SignatureResult, ...]:
    """A result for each signature; ``deadline`` is of ``time.monotonic``.

    A program that is missing makes a signature UNVERIFIED. Raises InvalidInput for a trusted key that is none.
    """
    trusted = [(key, trusted_digest(key)) for key in keys]
    statement = attestations.get(STATEMENT, b"")
    return tuple(
        _check_signature(path, attestations[path], statement, trusted, signers, deadline)
        for path in sorted(attestations)
        if path != STATEMENT
    )


def check_detached(path: str, signature: bytes, data: bytes, key: Key, deadline: float) -> SignatureResult:
    """What became of the signature of ``data`` at ``path``, which ``key`` must have made; one of openssl may be in no format at all.

    Raises InvalidInput for a key that cannot be read.
    """
    identifier = trusted_digest(key)
    try:
        if key.kind == OPENSSL and not signature.lstrip().startswith(b"{"):
            from eidos.sign.openssl_signature import MessageSignature, format_sigstore_bundle

            message = MessageSignature(signature, hashlib.sha256(data).digest(), bytes.fromhex(identifier))
            signature = format_sigstore_bundle(message)
        shown, digest = _claimed_key(_NAMES[key.kind], signature, path)
        if digest and identifier and digest != identifier:
            return SignatureResult(path, UNTRUSTED, shown)
        return _verify(path, key, shown, signature, data, deadline)
    except (ValueError, InvalidData) as fault:
        return SignatureResult(path, INVALID, why=str(fault))
    except InvalidInput:
        raise
    except EidosError as fault:
        return SignatureResult(path, UNVERIFIED, why=_reason(fault))


def trusted_digest(key: Key) -> str:
    """What identifies a public key in its signatures: a SHA-256 or a fingerprint in hexadecimal; empty for an OpenPGP key in a file."""
    if key.kind == GPG:
        return "" if key.data else key.name
    try:
        if key.kind == SSH:
            from eidos.sign.openssh_signature import public_key_digest

            return public_key_digest(key.data)
        from eidos.sign.openssl_signature import pem_key_digest

        return pem_key_digest(key.data)
    except ValueError as fault:
        raise InvalidInput(f"--key: {key.name}: {fault}") from fault
    except InvalidInput as fault:
        raise InvalidInput(f"--key: {key.name}: {fault.message}", fault.hint) from fault


def _check_signature(
    path: str, signature: bytes, statement: bytes, trusted: list[tuple[Key, str]], signers: AllowedSigners | None, deadline: float
) -> SignatureResult:
    name = parse_signature_path(path)
    if name is None:
        return SignatureResult(path, INVALID, why="not the name of a signature")
    try:
        shown, digest = _claimed_key(name.kind, signature, path)
        candidates = [key for key, identifier in trusted if _NAMES[key.kind] == name.kind and identifier in ("", digest)]
        if name.kind == _NAMES[GPG]:  # whose it is, gpg says
            candidates = [key for key, _ in trusted if key.kind == GPG]
        result = SignatureResult(path, UNTRUSTED, shown)
        for key in candidates:
            result = _verify(path, key, shown, signature, statement, deadline)
            if result.outcome != UNTRUSTED:
                return result
        if name.kind == _NAMES[SSH] and signers is not None:
            return _verify_signers(path, signers, shown, signature, statement, deadline)
    except (ValueError, InvalidData) as fault:
        return SignatureResult(path, INVALID, why=str(fault))
    except InvalidInput:
        raise
    except EidosError as fault:
        return SignatureResult(path, UNVERIFIED, why=_reason(fault))
    return result


def _reason(fault: EidosError) -> str:
    return f"{fault.message}; {fault.hint}" if fault.hint else fault.message


def _claimed_key(kind: str, signature: bytes, path: str) -> tuple[str, str]:
    """The key that a signature names: as people know it, and its digest. Raises ValueError or InvalidData for what is no signature."""
    if kind == _NAMES[SSH]:
        from eidos.sign import openssh_signature

        digest = openssh_signature.key_digest(openssh_signature.public_key(signature))
        return openssh_signature.fingerprint(digest), digest
    if kind == _NAMES[OPENSSL]:
        from eidos.sign.openssl_signature import parse_sigstore_bundle

        digest = parse_sigstore_bundle(signature, "its content").key_digest.hex()
        return f"sha256:{digest}", digest
    return "", ""


def _verify(path: str, key: Key, shown: str, signature: bytes, statement: bytes, deadline: float) -> SignatureResult:
    try:
        if key.kind == SSH:
            from eidos.sign.openssh_signature import verify_with_key

            verify_with_key(key.data, statement, signature, deadline)
        elif key.kind == GPG:
            from eidos.sign.openpgp_signature import UnknownSigner, verify_with_gpg

            try:
                shown = verify_with_gpg(statement, signature, deadline, key=key.data, fingerprint="" if key.data else key.name)
            except UnknownSigner as fault:
                return SignatureResult(path, UNTRUSTED, fault.key)
            except InvalidInput as fault:
                raise InvalidInput(f"--key: {key.name}: {fault.message}", fault.hint) from fault
        else:
            from eidos.sign.openssl_signature import parse_sigstore_bundle, verify_with_openssl

            verify_with_openssl(key.data, statement, parse_sigstore_bundle(signature, "its content"), deadline)
    except IntegrityError as fault:
        return SignatureResult(path, INVALID, shown, key.name, why=fault.message)
    return SignatureResult(path, VALID, shown, key.name)


def _verify_signers(path: str, signers: AllowedSigners, shown: str, signature: bytes, statement: bytes, deadline: float) -> SignatureResult:
    from eidos.sign.openssh_signature import find_identities, verify_with_signers

    identities, not_counted = find_identities(signers.data, signature, deadline)
    counted = [identity for identity in identities if not signers.identities or identity in signers.identities]
    # The names in the file may be patterns: whether they mean an identity that counts, ssh-keygen says.
    others = [identity for identity in signers.identities if identities and identity not in identities]
    reason = ""
    for identity in (*counted, *others):
        try:
            verify_with_signers(signers.data, identity, statement, signature, deadline)
        except IntegrityError as fault:
            reason = fault.message
        else:
            return SignatureResult(path, VALID, shown, signers.name, identity)
    if not counted:
        why = f"the key of {', '.join(identities)}" if identities else ""
        return SignatureResult(path, UNTRUSTED, shown, why=f"{shown} ({signers.name}: {not_counted})" if not_counted else why)
    return SignatureResult(path, INVALID, shown, signers.name, counted[0], reason)
