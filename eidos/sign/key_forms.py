"""Which kind of key a file holds, or a word names.

Knows the first lines of key files and the form of OpenPGP fingerprints; must not know how a key is used.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.files import read_named_file
from eidos.model.record import Record

SSH, GPG, OPENSSL, COSIGN = "ssh", "gpg", "openssl", "cosign"

#: Kind → what it is, for ``--with``.
KINDS = {
    SSH: "an OpenSSH key, also one in ssh-agent",
    GPG: "an OpenPGP key of the keyring",
    OPENSSL: "a key in PEM: EC, RSA or Ed25519",
    COSIGN: "an encrypted key of cosign",
}

#: Bytes of the largest key file.
MAX_KEY_BYTES = 256 << 10

#: How lines of OpenSSH public keys begin: sshd(8), "AUTHORIZED_KEYS FILE FORMAT".
_SSH_PUBLIC = ("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-")

#: Labels of PEM (RFC 7468; OpenSSL's own forms; PROTOCOL.key of OpenSSH; cosign's KEY files), of private keys and of public ones.
_PRIVATE_LABELS = {
    "OPENSSH PRIVATE KEY": SSH,
    "PRIVATE KEY": OPENSSL,
    "ENCRYPTED PRIVATE KEY": OPENSSL,
    "EC PRIVATE KEY": OPENSSL,
    "EC PARAMETERS": OPENSSL,
    "RSA PRIVATE KEY": OPENSSL,
    "ENCRYPTED SIGSTORE PRIVATE KEY": COSIGN,
    "ENCRYPTED COSIGN PRIVATE KEY": COSIGN,
}
_PUBLIC_LABELS = {"PUBLIC KEY": OPENSSL, "PGP PUBLIC KEY BLOCK": GPG}


class Key(Record):
    """A key: its ``kind``, and the ``name`` under which the user knows it, a path or a fingerprint; ``data`` is the file's content."""

    kind: str
    name: str
    data: bytes = b""


def read_private_key(name: str, kind: str = "") -> Key:
    """The key to sign with: a file, or for ``gpg`` what names a key of its keyring; ``kind`` is what the user says that it is.

    Raises InvalidInput for a file that is no such key, NotFound or Unavailable when it cannot be read.
    """
    if kind == GPG or (not kind and is_fingerprint(name)):
        if not name or name.startswith("-"):
            raise InvalidInput(f"--key: invalid key {name!r}", "name a key of the keyring by its fingerprint")
        return Key(GPG, name)
    data = _read_file(name)
    label = _pem_label(data)
    if label in _PUBLIC_LABELS:
        raise InvalidInput(f"--key: {name} is a public key; signing needs the private key")
    if label == "PGP PRIVATE KEY BLOCK":
        raise InvalidInput(f"--key: {name} is an exported OpenPGP key", "import it with gpg, then pass its fingerprint with --key")
    detected = SSH if is_ssh_public(data) else _PRIVATE_LABELS.get(label, "")
    # OpenSSH reads keys in PEM, too.
    if not detected or (kind and kind != detected and not (kind == SSH and detected == OPENSSL)):
        raise InvalidInput(
            f"--key: {name} is not {KINDS[kind] if kind else 'a private key'}",
            "pass an OpenSSH key, a key in PEM, a key of cosign, or the fingerprint of an OpenPGP key",
        )
    return Key(kind or detected, name, data)


def read_public_key(name: str) -> Key:
    """The key that must have signed: a file, or the fingerprint of a key in the user's keyring. Raises as :func:`read_private_key`."""
    if is_fingerprint(name):
        return Key(GPG, name.removeprefix("0x").upper())
    data = _read_file(name)
    label = _pem_label(data)
    if label in _PRIVATE_LABELS:
        raise InvalidInput(f"--key: {name} is a private key; verification needs the public key")
    if not label and data[:1] < b"\x80":
        data = b"\n".join(line for line in data.splitlines() if line.strip() and not line.startswith(b"#"))
    count = len(data.splitlines()) if is_ssh_public(data) else data.count(b"-----BEGIN PUBLIC KEY-----")
    if count > 1:
        raise InvalidInput(f"--key: {name} has {count} keys; expected one", "name each with --key, or several in --allowed-signers")
    kind = SSH if is_ssh_public(data) else _PUBLIC_LABELS.get(label, "")
    if kind == SSH and b"-cert-" in data.split()[0]:  # whose validity only an entry of its authority has verified
        raise InvalidInput(f"--key: {name} is a certificate", "list its authority in a file of --allowed-signers, as cert-authority")
    if not kind and data[:1] in (b"\x98", b"\x99", b"\xc6"):  # RFC 9580, section 4.2: the packet of a public key
        kind = GPG
    if not kind:
        raise InvalidInput(
            f"--key: {name} is not a public key", "pass an OpenSSH public key, one in PEM, an exported OpenPGP key, or a fingerprint"
        )
    return Key(kind, name, data)


def is_fingerprint(text: str) -> bool:
    """Whether a word is the fingerprint of an OpenPGP key (RFC 9580, section 5.5.4): 40 or 64 hexadecimal digits.

    >>> is_fingerprint("0x" + "A1" * 20), is_fingerprint("A1B2C3D4")
    (True, False)
    """
    digits = text.removeprefix("0x").lower()
    return len(digits) in (40, 64) and set(digits) <= set("0123456789abcdef")


def is_ssh_public(data: bytes) -> bool:
    """Whether a file or a line begins as a public key of OpenSSH does."""
    return data.startswith(tuple(prefix.encode() for prefix in _SSH_PUBLIC)) and len(data.split()) > 1


def _pem_label(data: bytes) -> str:
    """The label of the first PEM block: ``PUBLIC KEY``; empty when there is none."""
    _, begin, rest = data.partition(b"-----BEGIN ")
    label = rest.partition(b"-----")[0]
    return label.decode("ascii", "replace") if begin and len(label) < 64 else ""


def _read_file(path: str) -> bytes:
    hint = "pass the path of a key, or the 40 digits of an OpenPGP fingerprint"
    data = read_named_file(path, MAX_KEY_BYTES, f"--key: {path}", hint).removeprefix(b"\xef\xbb\xbf")
    if len(data) > MAX_KEY_BYTES:
        raise InvalidInput(f"--key: {path} is larger than {MAX_KEY_BYTES >> 10} KiB: not a key")
    return data
