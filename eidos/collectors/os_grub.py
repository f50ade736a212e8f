r"""Parameters that the kernel was started with, from /proc/cmdline.

Knows the kernel's rules for its command line; must not know what any parameter means, but for one pair. A line::

    BOOT_IMAGE=/vmlinuz root=LABEL=x ro console=tty0 console=ttyS0,115200n8 dyndbg="file a.c +p" -- single

becomes one key for each parameter, with the value "" where there is none. The rules (the kernel's lib/cmdline.c, next_arg, and
admin-guide/kernel-parameters): blanks part parameters; double quotes, and only these, hold blanks together, around a value or
around the whole; the first "=" ends the name; a bare ``--`` ends the kernel's part, and the key ``--`` holds what init gets.

Nothing gets lost:

* A parameter that is given more than once has its last value under its name, which is what most of the kernel heeds and what
  the Go program kept, and besides one key ``name#n`` for each time, where n counts such parameters over the whole line. So
  ``hugepagesz=2M hugepages=8 hugepagesz=1G hugepages=2`` has hugepagesz#1, hugepages#2, hugepagesz#3, hugepages#4.
* These two are numbered together, and also when the number comes before the size: it means another size then.
* A name with "#" in it, and ``--`` with a value, has its numbered key only.
* ``name=`` is not ``name``: its context says so.

>>> readings(*parse("ro quiet=1 console=tty0 console=ttyS0"))[0]
{'ro': '', 'quiet': '1', 'console#1': 'tty0', 'console': 'ttyS0', 'console#2': 'ttyS0'}
"""

from __future__ import annotations

from eidos.errors import NotApplicable
from eidos.files.host import NOT_TEXT, FileMissing, FileUnreadable, decode_text
from eidos.model.measurement import SECRET, UNREADABLE, WITHHELD, Gap, Subtype
from eidos.redact.secrets_in_text import withhold_text, withhold_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Optional

    from eidos.collectors import Sources
    from eidos.model.measurement import Part, Readings

    Parameter = tuple[str, Optional[str]]

PATH = "/proc/cmdline"

#: What isspace() of the kernel's C holds in ASCII.
BLANKS = " \t\n\v\f\r"

#: Ends the kernel's parameters.
END = "--"

#: Parameters where the order of their names matters, in the order in which one of each needs no numbers (hugetlbpage.rst).
PAIR = ["hugepagesz", "hugepages"]

EMPTY = "given with an equals sign and nothing after it"


def parse(line: str) -> tuple[list[Parameter], str | None]:
    r"""The parameters in their order, as name and value, None where there is no "="; and what follows ``--``, None without it.

    >>> parse('a="b c" "d=e f" g= h -- i j')
    ([('a', 'b c'), ('d', 'e f'), ('g', ''), ('h', None)], 'i j')
    """
    parameters: list[Parameter] = []
    rest = line.strip(BLANKS)
    while rest:
        parameter, rest = _next(rest)
        if parameter == (END, None):
            return parameters, rest
        parameters.append(parameter)
    return parameters, None


def _next(text: str) -> tuple[Parameter, str]:
    """The first parameter of ``text`` and what is left; a transcription of next_arg, its corner cases included."""
    whole = text.startswith('"')
    text = text[whole:]
    inside, equals, end = whole, 0, len(text)
    for i, c in enumerate(text):
        if c in BLANKS and not inside:
            end = i
            break
        if c == "=" and not equals:
            equals = i
        if c == '"':
            inside = not inside
    word, rest = text[:end], text[end:].lstrip(BLANKS)
    if equals:
        name, value = word[:equals], word[equals + 1 :]
        if value.startswith('"'):
            return (name, value[1:].removesuffix('"')), rest
        return (name, value.removesuffix('"') if whole else value), rest
    return (word.removesuffix('"') if whole else word, None), rest


def readings(parameters: list[Parameter], rest: str | None = None) -> tuple[Readings, dict[str, str]]:
    """What the document says of a command line: key → value, and key → context; the rules stand above."""
    data: Readings = {}
    context: dict[str, str] = {}
    numbered = _numbered([name for name, value in parameters])
    count = 0
    for name, value in parameters:
        keys = [name]
        if name in numbered:
            count += 1
            keys = [f"{name}#{count}"] + [name] * (not _awkward(name))
        for key in keys:
            data[key] = value or ""
            context.pop(key, None)
            if value == "":
                context[key] = EMPTY
    if rest is not None:
        data[END] = rest
    return data, context


def _awkward(name: str) -> bool:
    """Whether a key for the bare name could be taken for something else."""
    return "#" in name or name == END


def _numbered(names: list[str]) -> set[str]:
    once: set[str] = set()
    numbered: set[str] = set()
    for name in names:
        (numbered if name in once or _awkward(name) else once).add(name)
    pair = [name for name in names if name in PAIR]
    if pair not in (PAIR, PAIR[:1], PAIR[1:]):
        numbered.update(pair)
    return numbered


def _holds_a_secret(name: str, value: str) -> bool:
    """Whether a parameter is one whose value has a secret in it though neither its name nor its shape says so.

    A device-mapper table with a crypt target has its key in it (Documentation/admin-guide/device-mapper/dm-crypt.rst); Talos takes
    its whole machine configuration, compressed.
    """
    return (name == "dm-mod.create" and " crypt " in value) or name == "talos.config.inline"


def collect(sources: Sources) -> Iterator[Part]:
    """Yield a gap for each secret among the parameters, then the parameters."""
    try:
        line, whole = decode_text(sources.host.read_bytes(PATH))
    except FileMissing as fault:
        raise NotApplicable(f"there is no {PATH}") from fault
    except FileUnreadable as fault:
        yield Gap(UNREADABLE, PATH, fault.reason)
        return
    if not whole:
        yield Gap(UNREADABLE, PATH, NOT_TEXT)
    parameters, rest = parse(line)
    shown: list[Parameter] = []
    for name, value in parameters:
        if value is None:
            name, hidden = withhold_text(name)
        else:
            clean, found = (WITHHELD, True) if _holds_a_secret(name, value) else withhold_value(name, value)
            value, hidden = str(clean), int(found)
        shown.append((name, value))
        if hidden:
            yield Gap(SECRET, name, "on the kernel's command line")
    if rest is not None:
        rest, hidden = withhold_text(rest)
        for _ in range(hidden):
            yield Gap(SECRET, END, "on the kernel's command line")
    yield Subtype("grub", *readings(shown, rest))
