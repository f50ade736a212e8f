"""Hostlists: parsed, folded into ranges, and turned into file names.

Knows hostlist notation, as in Slurm, pdsh and ClusterShell, and how an address and a port are written (RFC 3986, 3.2.2); must not know
what a node is. ``gpu-[01-03,7]`` stands for gpu-01, gpu-02, gpu-03 and gpu-7; a name may have one pair of brackets. What is in brackets
with a colon is an address of IPv6: ``[2001:db8::1]``, ``root@[2001:db8::1]:2222``. A port may follow a name, too.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.snapshot import natural_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

#: Names that one list may have, and digits of a number in a name that can be part of a range.
NAME_LIMIT, NUMBER_DIGITS = 100_000, 9

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")

#: What a name may have besides letters and digits: a user before it, the parts of a domain or an address, a zone after it.
_MARKS = frozenset("@._:%-")

#: Characters of an invalid name that a message shows.
SHOWN_CHARACTERS = 60

#: Digits of a port that are read: one more than a port can have.
_PORT_DIGITS = 6

_ADDRESS = "write an IPv6 address as [2001:db8::1], or with a user and a port as root@[2001:db8::1]:22"
_WRITE = "separate names with commas or line breaks, as in gpu-01,gpu-02 or gpu-[01-64]"


def parse_hostlist(text: str, where: str) -> list[str]:
    r"""Return the names in a text, each once: separated by commas, blanks or line ends; what follows a # is a comment.

    Raises InvalidInput, naming ``where``, for an invalid name, and for a text without any.

    >>> parse_hostlist("gpu-[08-10]  # the old ones\nroot@a.example.com,gpu-09", "hosts.txt")
    ['gpu-08', 'gpu-09', 'gpu-10', 'root@a.example.com']
    >>> parse_hostlist("-oProxyCommand=x", "--hosts")
    Traceback (most recent call last):
    eidos.errors.InvalidInput: --hosts: invalid host name '-oProxyCommand=x': begins with '-'
    """
    _reject_inventory(text, where)
    names: dict[str, None] = {}
    count = 0
    for number, line in enumerate(text.splitlines() or [""], 1):
        location = where if "\n" not in text else f"{where}, line {number}"
        for word in _words(line.partition("#")[0], location):
            for name in _expand(word, location):
                names[_check_name(name, location)] = None
                count += 1
                if count > NAME_LIMIT:  # those that are there already count: each takes its time
                    raise InvalidInput(f"{where}: more than {NAME_LIMIT:,} names", "check that this is a list of hosts")
    if not names:
        raise InvalidInput(f"{where}: no host names", _WRITE)
    return list(names)


def _words(line: str, where: str) -> Iterator[str]:
    """Yield the words of a line; a comma inside brackets does not end one."""
    word, depth = "", 0
    for char in line + ",":
        depth += (char == "[") - (char == "]")
        if depth == 0 and (char == "," or char.isspace()):
            if word:
                yield word
            word = ""
        else:
            word += char
    if word:
        raise InvalidInput(f"{where}: {_short(line.strip())}: unclosed bracket", _WRITE)


def _expand(word: str, where: str) -> Iterator[str]:
    before, bracket, rest = word.partition("[")
    inside, _, after = rest.partition("]")
    if not bracket:
        yield word
        return
    if ":" in inside:
        yield _address(word, before, inside, after, where)
        return
    if "[" in after:
        raise InvalidInput(f"{where}: {_short(word)}: a name can have only one pair of brackets", _WRITE)
    for part in inside.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit() and max(len(first), len(last)) <= NUMBER_DIGITS):
            raise InvalidInput(f"{where}: {_short(word)}: invalid range {_short(part)}", _WRITE)
        if int(last) < int(first) or int(last) - int(first) >= NAME_LIMIT:
            raise InvalidInput(f"{where}: {_short(word)}: invalid range {part!r}: from {first} to {last}", _WRITE)
        yield from (f"{before}{number:0{len(first)}}{after}" for number in range(int(first), int(last) + 1))


def _short(text: str) -> str:
    return repr(text) if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]!r}…"


def _address(word: str, before: str, inside: str, after: str, where: str) -> str:
    """The name of a node by its address of IPv6; the brackets stay only where a port follows, which they set apart."""
    import socket

    address, percent, zone = inside.partition("%")
    try:
        socket.inet_pton(socket.AF_INET6, address)
    except OSError:
        raise InvalidInput(f"{where}: {_short(word)}: {_short(inside)} is not an IPv6 address", _ADDRESS) from None
    if (before and not before.endswith("@")) or (percent and not zone) or not set(zone) <= _LETTERS | _MARKS:
        raise InvalidInput(f"{where}: invalid host name {_short(word)}", _ADDRESS)
    if not after:
        return before + inside
    if not after.startswith(":"):
        raise InvalidInput(f"{where}: invalid host name {_short(word)}: only a port can follow an address", _ADDRESS)
    return word


def split_port(name: str) -> tuple[str, int | None]:
    """Return a name without its port, and the port; an address with more colons than one has none unless it is in brackets.

    >>> split_port("root@[2001:db8::1]:2222"), split_port("gpu-01:22"), split_port("2001:db8::1")
    (('root@2001:db8::1', 2222), ('gpu-01', 22), ('2001:db8::1', None))
    """
    before, colon, port = name.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or (":" in before and not before.endswith("]")):
        return name, None
    return before.replace("[", "").removesuffix("]"), int(port[:_PORT_DIGITS])


def _reject_inventory(text: str, where: str) -> None:
    """Raise InvalidInput for an inventory of Ansible, in YAML or INI: its groups and variables are not names of hosts."""
    if "\n" not in text:
        return
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        group, colon, kind = line[1:-1].partition(":")
        is_header = line.startswith("[") and line.endswith("]") and not group[:1].isdigit() and (not colon or kind in ("children", "vars"))
        is_yaml = line.endswith(":") or line.startswith("ansible_")
        if not (is_yaml or is_header or " ansible_" in line):
            continue
        hint = f"make a list: ansible all -i {'FILE' if ' ' in where else where} --list-hosts | tail -n +2 > hosts.txt"
        raise InvalidInput(f"{where}: an Ansible inventory ({'YAML' if is_yaml else 'INI'}) is not a list of hosts", hint)


def _check_name(name: str, where: str) -> str:
    why = None
    host, port = split_port(name)
    if name.startswith("-") or "@-" in name:
        why = "begins with '-'"
    elif name.endswith(":"):
        why = "ends with ':'"
    elif port is not None and not 0 < port < 65536:
        why = "invalid port; expected 1 to 65535"
    elif not set(host) <= _LETTERS | _MARKS:
        why = f"contains {next(char for char in name if char not in _LETTERS | _MARKS)!r}"
    elif not set(name) & _LETTERS or len(name) > 255:
        why = "longer than 255 characters" if len(name) > 255 else "no letter or digit"
    if why:
        raise InvalidInput(f"{where}: invalid host name {_short(name)}: {why}", _WRITE)
    return name


def fold_hostlist(names: Iterable[str]) -> str:
    """Return names in short, separated by commas: those that differ only in a number of as many digits become a range.

    >>> fold_hostlist(["gpu-01", "gpu-02", "gpu-03", "gpu-07", "login", "gpu-10.example.com", "gpu-11.example.com"])
    'gpu-[01-03,07],gpu-[10-11].example.com,login'
    >>> fold_hostlist(["a10", "a9", "a11"])
    'a9,a[10-11]'
    """
    groups: dict[tuple[str, str, int], list[int]] = {}
    for name in sorted(names, key=natural_key):
        first, dot, rest = name.partition(".")
        before = first.rstrip("0123456789")
        digits = first[len(before) :]
        if len(digits) > NUMBER_DIGITS or "[" in name:
            before, digits = first, ""
        groups.setdefault((before, dot + rest, len(digits)), []).append(int(digits or 0))
    return ",".join(f"{before}{_ranges(numbers, width)}{after}" for (before, after, width), numbers in groups.items())


def _ranges(numbers: list[int], width: int) -> str:
    if not width:
        return ""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    shown = ",".join(f"{first:0{width}}" + (f"-{last:0{width}}" if last > first else "") for first, last in runs)
    return f"[{shown}]" if len(numbers) > 1 else shown


def assign_file_names(nodes: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """Return a file name without extension for each node: safe on every file system, none twice, none of ``taken``.

    >>> assign_file_names(["gpu-01", "root@gpu-01", "GPU-01", "summary", "fe80::1%eth0"], ["summary"])
    {'gpu-01': 'gpu-01', 'root@gpu-01': 'root_gpu-01', 'GPU-01': 'GPU-01-2', 'summary': 'summary-2', 'fe80::1%eth0': 'fe80__1_eth0'}
    """
    used = {name.lower() for name in taken}
    numbers: dict[str, int] = {}
    names: dict[str, str] = {}
    for node in nodes:
        safe = "".join(char if char in _LETTERS or char in "._-" else "_" for char in node).lstrip(".")[:200] or "node"
        file, number = safe, numbers.get(safe.lower(), 1)
        while file.lower() in used:
            number += 1
            file = f"{safe}-{number}"
        numbers[safe.lower()] = number
        used.add(file.lower())
        names[node] = file
    return names
