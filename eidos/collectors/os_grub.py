r"""Parameters that the kernel was started with, from /proc/cmdline.

Knows the kernel's rules for its command line; must not know what any parameter means, except for one pair. A line::

    BOOT_IMAGE=/vmlinuz root=LABEL=x ro console=tty0 console=ttyS0,115200n8 dyndbg="file a.c +p" -- single

becomes one key for each parameter, with the value "" where it has none. The rules (the kernel's lib/cmdline.c, next_arg, and
admin-guide/kernel-parameters): blanks separate parameters; double quotes, and only these, protect blanks, around a value or around all
of a parameter; the first "=" ends the name; a bare ``--`` ends the kernel's parameters, and the key ``--`` has the arguments of init.

No parameter is lost:

* A repeated parameter has its last value under its name, which is what most of the kernel uses and the Go program wrote, and a key
  ``name#n`` for each occurrence, where n counts repeated parameters over all of the line. So
  ``hugepagesz=2M hugepages=8 hugepagesz=1G hugepages=2`` has hugepagesz#1, hugepages#2, hugepagesz#3, hugepages#4.
* These two are numbered together, also when the number comes before the size: it applies to another size then.
* A name with "#" in it, and ``--`` with a value, has its numbered key only.
* ``name=`` is not ``name``: its context tells them apart.

>>> parameter_readings(*parse_command_line("ro quiet=1 console=tty0 console=ttyS0"))[0]
{'ro': '', 'quiet': '1', 'console#1': 'tty0', 'console': 'ttyS0', 'console#2': 'ttyS0'}
"""

from __future__ import annotations

from eidos.errors import NotApplicable
from eidos.files.host import NOT_TEXT, FileMissing, FileUnreadable, decode_text
from eidos.model.measurement import SECRET, UNREADABLE, WITHHELD, Gap, Subtype
from eidos.redact.secrets_in_text import redact_text, redact_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Optional

    from eidos.collectors import Sources
    from eidos.model.measurement import Part, Readings

    Parameter = tuple[str, Optional[str]]

PATH = "/proc/cmdline"

#: The ASCII characters of the kernel's isspace().
BLANKS = " \t\n\v\f\r"

#: Ends the kernel's parameters.
END = "--"

#: Parameters where the order of their names matters, in the order in which one of each needs no numbers (hugetlbpage.rst).
PAIR = ["hugepagesz", "hugepages"]

EMPTY_VALUE = "set to an empty value"


def parse_command_line(line: str) -> tuple[list[Parameter], str | None]:
    r"""The parameters in order, as name and value (None without "="), and the text after ``--`` (None without it).

    >>> parse_command_line('a="b c" "d=e f" g= h -- i j')
    ([('a', 'b c'), ('d', 'e f'), ('g', ''), ('h', None)], 'i j')
    """
    parameters: list[Parameter] = []
    text = line.strip(BLANKS)
    start = 0
    while start < len(text):
        parameter, start = _next_parameter(text, start)
        if parameter == (END, None):
            return parameters, text[start:]
        parameters.append(parameter)
    return parameters, None


def _next_parameter(text: str, start: int) -> tuple[Parameter, int]:
    """The parameter that begins at ``start``, and where the next one begins; a transcription of next_arg, its corner cases included."""
    is_quoted = text.startswith('"', start)
    start += is_quoted
    inside, equals, end = is_quoted, start, start
    while end < len(text):
        c = text[end]
        if c in BLANKS and not inside:
            break
        if c == "=" and equals == start:
            equals = end
        if c == '"':
            inside = not inside
        end += 1
    word = text[start:end]
    while end < len(text) and text[end] in BLANKS:
        end += 1
    if equals > start:
        name, value = word[: equals - start], word[equals - start + 1 :]
        if value.startswith('"'):
            return (name, value[1:].removesuffix('"')), end
        return (name, value.removesuffix('"') if is_quoted else value), end
    return (word.removesuffix('"') if is_quoted else word, None), end


def parameter_readings(parameters: list[Parameter], rest: str | None = None) -> tuple[Readings, dict[str, str]]:
    """The readings of a command line: key → value, and key → context, by the rules above."""
    data: Readings = {}
    context: dict[str, str] = {}
    numbered = _numbered_names([name for name, value in parameters])
    count = 0
    for name, value in parameters:
        keys = [name]
        if name in numbered:
            count += 1
            keys = [f"{name}#{count}"] + [name] * (not _is_ambiguous(name))
        for key in keys:
            data[key] = value or ""
            context.pop(key, None)
            if value == "":
                context[key] = EMPTY_VALUE
    if rest is not None:
        data[END] = rest
    return data, context


def _is_ambiguous(name: str) -> bool:
    """Whether a key of the bare name could be mistaken for another one."""
    return "#" in name or name == END


def _numbered_names(names: list[str]) -> set[str]:
    once: set[str] = set()
    numbered: set[str] = set()
    for name in names:
        (numbered if name in once or _is_ambiguous(name) else once).add(name)
    pair = [name for name in names if name in PAIR]
    if pair not in (PAIR, PAIR[:1], PAIR[1:]):
        numbered.update(pair)
    return numbered


def _holds_a_secret(name: str, value: str) -> bool:
    """Whether the value of a parameter holds a secret that neither its name nor its form tells.

    A device-mapper table with a crypt target has its key in it (Documentation/admin-guide/device-mapper/dm-crypt.rst); Talos gets its
    complete machine configuration, compressed.
    """
    return (name == "dm-mod.create" and " crypt " in value) or name == "talos.config.inline"


def collect(sources: Sources) -> Iterator[Part]:
    """Yield a gap for each secret among the parameters, then the parameters."""
    try:
        line, is_utf8 = decode_text(sources.host.read_bytes(PATH))
    except FileMissing as fault:
        raise NotApplicable(f"{PATH} does not exist") from fault
    except FileUnreadable as fault:
        yield Gap(UNREADABLE, PATH, fault.reason)
        return
    if not is_utf8:
        yield Gap(UNREADABLE, PATH, NOT_TEXT)
    parameters, rest = parse_command_line(line)
    shown: list[Parameter] = []
    for name, value in parameters:
        if value is None:
            name, hidden = redact_text(name)
        else:
            clean, is_secret = (WITHHELD, True) if _holds_a_secret(name, value) else redact_value(name, value)
            value, hidden = str(clean), int(is_secret)
        shown.append((name, value))
        if hidden:
            yield Gap(SECRET, name, "on the kernel command line")
    if rest is not None:
        rest, hidden = redact_text(rest)
        for _ in range(hidden):
            yield Gap(SECRET, END, "on the kernel command line")
    yield Subtype("grub", *parameter_readings(shown, rest))
