"""Which keys are too weak to sign with: those whose signatures somebody else may be able to make.

Knows the sizes below which NIST allows no new signatures (SP 800-131A Rev. 2, section 3: 2048 bits of RSA and DSA, 224 of a curve), and
where a public key of OpenSSH (RFC 4253, section 6.6; PROTOCOL.certkeys), of PEM (SubjectPublicKeyInfo: RFC 5280, RFC 8017, RFC 5480) and a
list of ``gpg --with-colons`` (doc/DETAILS) have them; must not know signatures. ssh-keygen, gpg and openssl take such keys without a word,
ssh-keygen even DSA of 1024 bits with SHA-1, which OpenSSH 10 no longer has at all.
"""

from __future__ import annotations

MINIMUM_BITS, MINIMUM_CURVE_BITS = 2048, 224

#: Numbers in OpenPGP of the algorithms whose keys may be too small (RFC 9580, section 9.1).
OPENPGP_ALGORITHMS = {"1": "RSA", "2": "RSA", "3": "RSA", "17": "DSA"}

_UNREADABLE = "the size of the key is not readable"

#: How the name of a certificate's type begins → fields of its key, after the nonce (PROTOCOL.certkeys, PROTOCOL.u2f).
_KEY_FIELDS = {b"ssh-rsa": 2, b"ssh-dss": 4, b"ssh-ed25519": 1, b"ecdsa-": 2, b"sk-ssh-ed25519": 2, b"sk-ecdsa-": 3}


def weakness_of_ssh_key(blob: bytes) -> str:
    """Why a public key in the wire format of SSH is too weak, or of a certificate one of its two; empty when none is."""
    weakness, authority = _weakness_of_ssh_key(blob), _find_authority(blob)
    if weakness or authority is None:
        return weakness
    weakness = _weakness_of_ssh_key(authority) if authority else _UNREADABLE
    return weakness and f"of the certificate's authority: {weakness}"


def _find_authority(blob: bytes) -> bytes | None:
    """The key that signed a certificate; empty when it is not readable, and None for another kind of key."""
    algorithm = blob[4 : 4 + int.from_bytes(blob[:4], "big")]
    if b"-cert-" not in algorithm:
        return None
    key_fields = next((number for start, number in _KEY_FIELDS.items() if algorithm.startswith(start)), 0)
    # Strings, and numbers after them: serial and type, the time of validity.
    for strings, number_bytes in ((2 + key_fields, 12), (2, 16), (3, 0)):
        for _ in range(strings):
            blob = blob[4 + int.from_bytes(blob[:4], "big") :]
        blob = blob[number_bytes:]
    return blob[4 : 4 + int.from_bytes(blob[:4], "big")] if key_fields else b""


def _weakness_of_ssh_key(blob: bytes) -> str:
    fields: list[bytes] = []
    while len(blob) >= 4 and len(fields) < 4:
        end = 4 + int.from_bytes(blob[:4], "big")
        if end > len(blob):
            break
        fields.append(blob[4:end])
        blob = blob[end:]
    algorithm = fields[0] if fields else b""
    if algorithm.startswith(b"ssh-dss"):
        return "DSA key is too weak: it signs with SHA-1"
    if not algorithm.startswith(b"ssh-rsa"):
        return ""
    index = 3 if b"-cert-" in algorithm else 2  # a certificate has a nonce first
    return _weakness("RSA", int.from_bytes(b"".join(fields[index : index + 1]), "big").bit_length(), MINIMUM_BITS)


def weakness_of_pem_key(spki: bytes, algorithm: str) -> str:
    """Why a public key, a SubjectPublicKeyInfo in DER, of an ``algorithm`` is too weak; empty when it is not."""
    try:
        if algorithm == "RSA":
            (_, key), *_ = _der_elements(_key_bits(spki)[1:])
            (_, modulus), *_ = _der_elements(key)
            return _weakness(algorithm, int.from_bytes(modulus, "big").bit_length(), MINIMUM_BITS)
        if algorithm == "ECDSA":
            return _weakness(algorithm, curve_bits(spki), MINIMUM_CURVE_BITS)
    except (ValueError, IndexError):
        return _UNREADABLE
    return ""


def curve_bits(spki: bytes) -> int:
    """The size of the curve of a public key of ECDSA, to the next multiple of eight. Raises ValueError or IndexError for no such key."""
    bits = _key_bits(spki)
    is_compressed = bits[1] in (2, 3)  # SEC 1, section 2.3.3: a byte, then one coordinate, or both
    return (len(bits) - 2) * 8 // (1 if is_compressed else 2)


def _key_bits(spki: bytes) -> bytes:
    (_, info), *_ = _der_elements(spki)
    _, (_, bits) = _der_elements(info)
    return bits


def weakness_of_openpgp_key(listing: str, fingerprint: str) -> str:
    """Why a key or a subkey in a list of ``gpg --with-colons`` is too weak; empty when it is not."""
    bits = algorithm = ""
    for line in listing.split("\n"):
        fields = line.split(":")
        if fields[0] in ("pub", "sub") and len(fields) > 3:
            bits, algorithm = fields[2:4]
        if fields[0] == "fpr" and fields[9:10] == [fingerprint] and algorithm in OPENPGP_ALGORITHMS:
            return _weakness(OPENPGP_ALGORITHMS[algorithm], int(bits) if bits.isdecimal() else 0, MINIMUM_BITS)
    return ""


def _weakness(algorithm: str, bits: int, minimum: int) -> str:
    if not bits:
        return _UNREADABLE
    return f"{algorithm} key of {bits} bits is too weak; expected at least {minimum}" if bits < minimum else ""


def _der_elements(data: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each element (X.690, definite lengths). Raises ValueError or IndexError for anything else."""
    elements = []
    while data:
        tag, size, start = data[0], data[1], 2
        if size >= 0x80:
            start += size & 0x7F
            size = int.from_bytes(data[2:start], "big")
        if size > len(data) - start:
            raise ValueError("cut off")
        elements.append((tag, data[start : start + size]))
        data = data[start + size :]
    return elements
