"""Tells words and names from random strings.

Knows which pairs of letters words have, and how letters and digits alternate in keys and tokens; must not know the forms of values.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable


def word_set(words: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(words.split())


#: A number has at most this many digits.
MAXIMUM_DIGITS = 12

#: The pairs of letters that make 95 % of the words of the manual pages of Debian 12, by their first letter.
_COMMON_PAIRS = {
    "a": "bcdfgiklmnpqrstuvy",
    "b": "aeilorsuy",
    "c": "acehikloprstuy",
    "d": "adeilorsu",
    "e": "abcdefgilmnopqrstuvwxy",
    "f": "aefilorstu",
    "g": "aeghilnorsu",
    "h": "aeiortu",
    "i": "abcdefglmnoprstvxz",
    "j": "e",
    "k": "aeis",
    "l": "adeilostuy",
    "m": "abeimopsuy",
    "n": "acdefgiklnopstuv",
    "o": "abcdfgiklmnoprstuvw",
    "p": "acehiloprstu",
    "q": "u",
    "r": "acdefgiklmnoprstuvy",
    "s": "acehiklmopstuwy",
    "t": "acdefhilmoprstuy",
    "u": "abcdegilmnprst",
    "v": "aeio",
    "w": "aeino",
    "x": "eipt",
    "y": "imnpst",
    "z": "ae",
}
_PAIRS = frozenset(first + second for first, seconds in _COMMON_PAIRS.items() for second in seconds)

#: Names of things that are pairs of no language.
_KNOWN_WORDS = word_set("vmlinuz vmlinux bzimage postgresql pkgconfig objcopy amazonlinux proxyconnect mlxconfig")

#: Letters from which on the pairs of a word tell; rare pairs that are too many; and, of letters, one in so many.
_TELLING_LETTERS, _RARE_PAIRS, _RARE_SHARE = 9, 3, 5


# Values and words are short and come again.
_wordy: dict[str, bool] = {}
_CACHE_LIMIT, _CACHED_LENGTH = 4096, 64


def cached(cache: dict[str, bool], decide: Callable[[str], bool], text: str) -> bool:
    """``decide(text)``, from ``cache`` where the text was decided before."""
    if len(text) > _CACHED_LENGTH:
        return decide(text)
    answer = cache.get(text)
    if answer is None:
        if len(cache) >= _CACHE_LIMIT:
            cache.clear()
        answer = cache[text] = decide(text)
    return answer


def is_wordy(text: str) -> bool:
    """Whether ``text`` looks like words with a few digits, as names do, and not like a random string.

    >>> [is_wordy(text) for text in ("kubelet.conf", "libnvidia-ml.so.570.133.20", "x86_64-linux-gnu", "aB3x9Zq0LmN7", "mfrggzdfmztwq2lk")]
    [True, True, True, False, False]
    """
    return cached(_wordy, _is_wordy, text)


def _is_wordy(text: str) -> bool:
    if not text.isascii() or len(text) > 128:
        return False
    digits = 0
    chunks = split_at(text, "._-+@~:")
    if len(chunks) > 2 and _changes("".join(chunks)) > max(6, len(text) // 4):
        return False
    for chunk in chunks:
        if chunk.startswith("nvme") and not chunk[4:].strip("0123456789np"):
            continue
        letters = chunk.lstrip("0123456789")
        first = len(chunk) - len(letters)
        rest = letters.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
        word, tail = letters[: len(letters) - len(rest)], rest.lstrip("0123456789")
        digits += len(chunk) - len(word) - len(tail)
        if len(tail) > 3 or not (tail.isalpha() or not tail) or len(rest) - len(tail) > 6 or (first and rest and len(chunk) > 8):
            return False
        if len(word) > 64 or is_random_word(word):
            return False
    return digits <= MAXIMUM_DIGITS


def is_random_word(word: str) -> bool:
    """Whether letters are no word of any language, by the pairs of letters in it and its capitals.

    >>> [is_random_word(word) for word in ("AssumeRole", "PreserveVideoMemoryAllocations", "qxzvkwpjtr", "aXbQzKdRw", "nvswitch")]
    [False, False, True, True, False]
    """
    if len(word) < _TELLING_LETTERS:
        return False
    if word.lower() in _KNOWN_WORDS:
        return False
    humps, rare = 1, 0
    for first, second in zip(word, word[1:]):
        if first.islower() and second.isupper():
            humps += 1
        elif (first + second).lower() not in _PAIRS:
            rare += 1
    if humps == 1:
        return rare >= _RARE_PAIRS and rare * _RARE_SHARE >= len(word)
    return (rare >= _RARE_PAIRS and rare * (_RARE_SHARE - 1) > len(word)) or (humps > 2 and rare > 1 and len(word) < 4 * humps)


def has_random_part(text: str) -> bool:
    """Whether a part of ``text`` looks like a key in hexadecimal, base64 or the like: long, with letters and digits mixed.

    >>> [has_random_part(text) for text in ("ttyS0,115200n8", "1G-4G:192M,4G-64G:256M", "x=Zq7kD02mWx91LpTe", "deadbeefcafe0123")]
    [False, False, True, True]
    """
    if text.isalpha() and text.islower():
        return is_random_word(text)
    return any(_is_random(part) for part in split_at(text, "/,;:=@ \t\n.()[]{}|&<>\"'$"))


def _is_random(part: str) -> bool:
    kind, dash, digits = part.partition("-")
    if dash and len(digits) in _AWS_DIGITS and len(kind) < 9 and kind.isalpha() and kind.islower() and _is_hex(digits):
        return False
    joined = part.replace("-", "").replace("_", "").replace("+", "").replace("~", "").replace("%", "")
    if len(joined) < 8:
        return False
    if joined.isdigit():
        return len(joined) > MAXIMUM_DIGITS
    if not any(c.isdigit() for c in joined):
        return is_random_word(joined) if joined == part else any(is_random_word(word) for word in split_at(part, "-_+~%"))
    if len(joined) >= MAXIMUM_DIGITS and joined.isalnum() and all(c in "0123456789abcdefABCDEF" for c in joined):
        return True
    changes = _changes(joined)
    if changes * 5 < len(joined):
        return False
    return changes >= 5 or (changes >= 3 and not is_wordy(part))


#: Lengths of identifiers in hexadecimal: short ids of images, ids of processors, MD5, machine-id, SHA-1, SHA-256, SHA-512.
_HEX_LENGTHS = (12, 16, 32, 40, 64, 128)

#: Groups of hexadecimal digits of a UUID (RFC 9562, section 4).
_UUID = (8, 4, 4, 4, 12)

#: The same of a partition on a disk with an MBR (PARTUUID), and of a network adapter that booted (BOOTIF of PXELINUX).
_DISK_PARTITION, _HARDWARE_ADDRESS = (8, 2), (2,) * 7

#: Digits of the identifiers of AWS ("Resource IDs"), of Oracle ("Oracle Cloud IDs") and of the Nix store ("store path").
_AWS_DIGITS, _OCID_DIGITS, _NIX_DIGITS = (8, 17), 60, 32


def is_identifier(word: str) -> bool:
    """Whether a word has no random part but such as identify a thing: a UUID, a digest, the id of a cloud or of the Nix store.

    >>> gpu, instance = "GPU-ab6ab95d-1a2b-3c4d-5e6f-0123456789ab", "aws:///us-west-2a/i-0123456789abcdef0"
    >>> [
    ...     is_identifier(word)
    ...     for word in (gpu, instance, "PARTUUID=2f6e8a73-02", "01-0c-42-a1-d0-0e-01", "a=Zq7kD02mWx91LpTe", "2f6e8a73-021")
    ... ]
    [True, True, True, True, False, False]
    """
    return not has_random_part(word) or all(not has_random_part(part) or _has_form_of_id(part) for part in split_at(word, "/,;:=@. "))


def _has_form_of_id(part: str) -> bool:
    if _is_hex(part):
        return len(part) in _HEX_LENGTHS
    groups = part.split("-")
    if _is_hex("".join(groups)) and tuple(map(len, groups)) in (_DISK_PARTITION, _HARDWARE_ADDRESS):
        return True
    if len(groups) > 4 and tuple(map(len, groups[-5:])) == _UUID and all(map(_is_hex, groups[-5:])):
        return all(group.isupper() for group in groups[:-5])  # GPU-, MIG-
    letters = "".join(c for c in part if not c.isdigit())
    if len(part) - len(letters) <= 1 and letters.isalpha() and not is_random_word(letters):  # RMForceP2PType
        return True
    digest, dash, rest = part.partition("-")
    is_base32 = digest.isascii() and digest.isalnum() and digest == digest.lower()
    return is_base32 and (len(digest) == _NIX_DIGITS and not has_random_part(rest) if dash else len(digest) == _OCID_DIGITS)


def _is_hex(text: str) -> bool:
    return bool(text) and all(c in "0123456789abcdefABCDEF" for c in text)


def _changes(text: str) -> int:
    """How often digits, capitals and small letters alternate; a capital before a small letter begins a word, and does not count."""
    pairs = zip(text, text[1:])
    return sum(1 for before, after in pairs if _kind(before) != _kind(after) and not (before.isupper() and after.islower()))


def _kind(c: str) -> int:
    return 0 if c.isdigit() else 1 if c.isupper() else 2


def split_at(text: str, separators: str) -> list[str]:
    """The parts of ``text`` between any of the characters ``separators``."""
    for c in separators[1:]:
        text = text.replace(c, separators[0])
    return text.split(separators[0])
