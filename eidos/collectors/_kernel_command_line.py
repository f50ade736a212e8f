r"""The kernel's command line as parameters, and as readings that may be shown.

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

Values are shown by the list ``templates/harmless/boot-parameters.txt``. Free text is never a key: what stands between ``cc:`` and
``end_cc`` (cloud-init, "kernel command line") is the value of ``cc:``; what cannot be a name is withheld, and so are the words behind a
value that is.

>>> parameter_readings(*parse_command_line("ro quiet=1 console=tty0 console=ttyS0"))[0]
{'ro': '', 'quiet': '1', 'console#1': 'tty0', 'console': 'ttyS0', 'console#2': 'ttyS0'}
"""

from __future__ import annotations

from eidos.model.measurement import WITHHELD
from eidos.redact.command_lines import redact_script
from eidos.redact.harmless_forms import is_path
from eidos.redact.harmless_names import NameList, show_value
from eidos.redact.random_words import is_wordy
from eidos.redact.secret_names import has_credential_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from eidos.model.measurement import Readings

    Parameter = tuple[str, Optional[str]]

#: The ASCII characters of the kernel's isspace().
BLANKS = " \t\n\v\f\r"

#: Ends the kernel's parameters.
END = "--"

#: Parameters where the order of their names matters, in the order in which one of each needs no numbers (hugetlbpage.rst).
PAIR = ["hugepagesz", "hugepages"]

EMPTY_VALUE = "set to an empty value"

#: The table of device-mapper devices, now and on ChromiumOS, and the targets with a key in their arguments, and those without
#: (Documentation/admin-guide/device-mapper/).
MAPPER_TABLE, OLD_MAPPER_TABLE = "dm-mod.create", "dm"
KEYED_TARGETS = ("crypt", "integrity")
KEYLESS_TARGETS = ("linear", "striped", "zero", "error", "verity", "snapshot", "mirror", "raid", "thin", "thin-pool", "cache")

#: Between these cloud-init looks for its configuration (cloudinit/util.py, read_cc_from_cmdline).
CLOUD_CONFIG, END_OF_CLOUD_CONFIG = "cc:", "end_cc"


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


def cut_cloud_config(line: str) -> tuple[str, list[str]]:
    """The line without cloud-init's configuration, and each text of it.

    >>> cut_cloud_config("ro cc: {password: x} end_cc quiet cc:{a: b}")
    ('ro  quiet ', [' {password: x} ', '{a: b}'])
    """
    remaining: list[str] = []
    texts: list[str] = []
    at = 0
    while True:
        begin = line.find(CLOUD_CONFIG, at)
        while begin > 0 and line[begin - 1] not in BLANKS + '"':
            begin = line.find(CLOUD_CONFIG, begin + 1)
        if begin < 0:
            return "".join((*remaining, line[at:])), texts
        end = line.find(END_OF_CLOUD_CONFIG, begin)
        remaining.append(line[at:begin])
        texts.append(line[begin + len(CLOUD_CONFIG) : end if end >= 0 else len(line)])
        at = end + len(END_OF_CLOUD_CONFIG) if end >= 0 else len(line)


def redact_parameters(parameters: list[Parameter], names: NameList) -> tuple[list[Parameter], list[str]]:
    """The parameters as they may be shown, and the name of each that is withheld, in whole or in part, once for each part.

    >>> redact_parameters([("quiet", None), ("bmcpass", "correct"), ("horse", None), ("ro", None)], NameList("ro quiet"))
    ([('quiet', None), ('bmcpass', '<withheld>'), ('ro', None)], ['bmcpass', 'bmcpass'])
    >>> redact_parameters([("password:", None), ("correct", None), ("ro", None)], NameList("ro quiet"))
    ([('<withheld>', None), ('ro', None)], ['<withheld>', '<withheld>'])
    """
    shown: list[Parameter] = []
    withheld: list[str] = []
    is_continued = False
    for name, value in parameters:
        is_listed = names.section(name) is not None
        if value is None and is_continued and not is_listed:
            withheld.append(shown[-1][0])  # a part of a value without quotes that has blanks in it
            continue
        is_text = not is_listed and not _is_name(name, has_value=value is not None)
        if is_text:
            name, value = WITHHELD, value and WITHHELD
            count = 1
        elif name == OLD_MAPPER_TABLE and value and any(word in value for word in KEYED_TARGETS):
            value, count = WITHHELD, 1
        else:
            is_shown = value is None or (name == MAPPER_TABLE and has_keyless_targets(value))
            value, count = (value, 0) if value is None or is_shown else show_value(name, value, names)
        is_credential = has_credential_word(name) and (bool(count) or not value)  # without a value the secret is the next word
        is_continued = not is_listed and (is_text or is_credential or (bool(count) and value == WITHHELD))
        shown.append((name, value))
        if count:
            withheld.append(name)
    return shown, withheld


def has_keyless_targets(table: str) -> bool:
    """Whether each line of a device-mapper table has a target without a key (dm-init.rst).

    >>> [has_keyless_targets(f"a,,,rw,0 8 {target}") for target in ("linear /dev/sda1 0", "crypt aes-xts-plain64 0f 0 /dev/sda 0")]
    [True, False]
    """
    lines = [line.split() for device in table.split(";") for line in device.split(",")[4:]]
    return bool(lines) and all(len(words) > 2 and words[2] in KEYLESS_TARGETS for words in lines)


def _is_name(name: str, has_value: bool) -> bool:
    """Whether a word is the name of a parameter, and no free text."""
    if len(name) > 128:
        return False
    if not has_value and (is_path(name) or name in ("", END)):
        return True
    for c in "/[]#()!,":
        name = name.replace(c, ".")
    return is_wordy(name) and not any(c in name for c in "@:~")


def command_line_readings(line: str, cloud_configs: list[str], names: NameList) -> tuple[tuple[Readings, dict[str, str]], list[str]]:
    """The readings of a command line and their context, as they may be shown, and the name of each that is withheld."""
    parameters, rest = parse_command_line(line)
    shown, withheld = redact_parameters(parameters, names)
    for text in filter(str.strip, cloud_configs):
        is_revealed = names.is_revealed(CLOUD_CONFIG)
        shown.append((CLOUD_CONFIG, text if is_revealed else WITHHELD))
        withheld += [] if is_revealed else [CLOUD_CONFIG]
    if rest is not None and not names.is_revealed(END):
        rest, count = redact_script(rest, names)
        withheld += [END] * count
    return parameter_readings(shown, rest), withheld
