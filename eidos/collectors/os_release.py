r"""The distribution and its version, from os-release.

Knows the format of that file (os-release(5)); must not know any distribution. It is /etc/os-release, or /usr/lib/os-release where
that is missing::

    PRETTY_NAME = "Ubuntu 24.04.3 LTS"
    VERSION_ID = "24.04"
    ID = ubuntu

Assignments are read as a shell would: in double quotes a backslash escapes ``"``, ``\``, ``$`` and the back-tick, in single quotes it
escapes nothing, without quotes it escapes any character. The last assignment of a name wins. Lines that are neither an assignment nor a
comment, and values with unbalanced quotes, are reported and left out.

>>> parse_os_release('ID=ubuntu\n# a comment\nNAME="a \\"b\\""\nwhat?\n')
({'ID': 'ubuntu', 'NAME': 'a "b"'}, {4: 'not an assignment'})
"""

from __future__ import annotations

from eidos.collectors import harmless_names
from eidos.collectors._sysfs import Facts
from eidos.errors import InvalidData
from eidos.files.host import NOT_TEXT, FileMissing, FileUnreadable, decode_text
from eidos.model.measurement import REVEALED, SECRET, UNREADABLE, Gap, Subtype
from eidos.redact.harmless_names import show_value
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors import Sources
    from eidos.model.measurement import Part

PATHS = ("/etc/os-release", "/usr/lib/os-release")

#: Malformed lines that are reported one by one.
MALFORMED_LIMIT = 20

_BLANKS = " \t\r"


def parse_os_release(text: str) -> tuple[dict[str, str], dict[int, str]]:
    """Name → value, and line number → reason for each malformed line."""
    values: dict[str, str] = {}
    malformed: dict[int, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip(_BLANKS)
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.isidentifier() or not name.isascii():
            malformed[number] = "not an assignment"
            continue
        try:
            values[name] = unquote(value)
        except InvalidData as fault:
            malformed[number] = fault.message
    return values, malformed


def unquote(value: str) -> str:
    r"""The value of an assignment's right side, as a shell expands it; InvalidData when its quotes are unbalanced.

    >>> [unquote(value) for value in ("'a b'", '"a\\$b"', "a\\ b", "")]
    ['a b', 'a$b', 'a b', '']
    """
    value = value.strip(_BLANKS)
    quote = value[:1] if value[:1] in ('"', "'") else ""
    escapable = {'"': '"\\$`', "'": ""}.get(quote)
    out = ""
    at = len(quote)
    while at < len(value):
        c = value[at]
        if c == "\\" and (escapable is None or value[at + 1 : at + 2] in escapable) and escapable != "" and at + 1 < len(value):
            out += value[at + 1]
            at += 2
            continue
        if c == quote:
            rest = value[at + 1 :]
            if rest and not (rest[0] in _BLANKS and rest.strip(_BLANKS).startswith("#")):
                raise InvalidData("text after the closing quote")
            return out
        if not quote and c in "\"'`":
            raise InvalidData("quote inside an unquoted value")
        out += c
        at += 1
    if quote:
        raise InvalidData("no closing quote")
    return out


def collect(sources: Sources) -> Iterator[Part]:
    """Yield the assignments of the first of the two files that exists, and a gap for each malformed line."""
    for path in PATHS:
        try:
            text, is_utf8 = decode_text(sources.host.read_bytes(path))
        except FileMissing:
            continue
        except FileUnreadable as fault:
            # The other file is no substitute: this one has precedence, and may differ.
            yield Gap(UNREADABLE, path, fault.reason)
            return
        if not is_utf8:
            yield Gap(UNREADABLE, path, NOT_TEXT)
        values, malformed = parse_os_release(text)
        for number in sorted(malformed)[:MALFORMED_LIMIT]:
            yield Gap(UNREADABLE, f"{path}:{number}", malformed[number])
        if len(malformed) > MALFORMED_LIMIT:
            yield Gap(UNREADABLE, f"{path}:*", count_of(len(malformed) - MALFORMED_LIMIT, "more line"))
        names = harmless_names("os-release", revealed=sources.reveal)
        originals = dict(values)
        for name, value in originals.items():
            values[name], hidden = show_value(name, value, names)
            if hidden:
                yield Gap(SECRET, name, f"in {path}")
        yield from sources.digests("release", originals, values)
        for name in names.revealed:
            yield Gap(REVEALED, name, "requested")
        yield Subtype("release", dict(values))
        return
    facts = Facts(sources, "release")
    facts.require_folders(f"neither {PATHS[0]} nor {PATHS[1]} exists", "/etc", "/usr/lib")
    yield from facts.gaps
