"""Settings of a program in its configuration files: those on a list, by their path, and nothing else of the file.

Knows how files are read and merged, which values may be shown, and where the version of a program stands; must not know any program. A file
of settings may hold the password of a registry: only paths that a collector lists are read, and of their values what is random or a
secret is withheld.
"""

from __future__ import annotations

import os

from eidos.errors import EidosError, InvalidData
from eidos.files.host import FileMissing, FileUnreadable
from eidos.model.measurement import ABSENT, SECRET, UNREADABLE
from eidos.redact.harmless_names import is_not_random
from eidos.redact.secrets_in_text import redact_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from eidos.collectors._sysfs import Facts

    Tree = dict[str, Any]

#: The few sysctls that hold a command line, which may have a secret anywhere.
COMMAND_FILES = frozenset(("kernel/core_pattern", "kernel/modprobe", "kernel/poweroff_cmd", "kernel/hotplug"))

#: Size limit of a file in bytes, and drop-ins of one folder that are read.
FILE_LIMIT, _DROP_IN_LIMIT = 4 << 20, 128


def redact_kernel_command(text: str) -> tuple[str, int]:
    """A command line that the kernel runs, a value of one of COMMAND_FILES, as it may be shown, and how many parts of it are withheld.

    >>> redact_kernel_command("|/usr/bin/collect -t hunter %p")
    ('|/usr/bin/collect -t <withheld> %p', 1)
    """
    if not text.startswith("|") and " " not in text:
        return redact_text(text, is_not_random)
    from eidos.redact.command_lines import redact_command_line  # most hosts have no such file with arguments
    from eidos.redact.harmless_names import NameList

    pipe = text[: text.startswith("|")]
    # systemd 240 to 251 has no limit of a core file in its pattern, but this number.
    words, count = redact_command_line(text[len(pipe) :].split(), NameList(f"[words] {1 << 63}"))
    return (pipe + " ".join(words), count) if count else (text, 0)


def read_tree(facts: Facts, path: str, is_toml: bool = False) -> Tree | None:
    """The mapping in a YAML, JSON or TOML file; None when there is none, and a gap when it cannot be read."""
    try:
        data = facts.host.read_bytes(path, FILE_LIMIT)
        if is_toml:
            from eidos.formats.toml_reader import parse_toml

            return parse_toml(data.decode())
        from eidos import formats

        tree = formats.from_text(data, path) if data.strip() else {}
        if not isinstance(tree, dict):
            raise InvalidData("not a mapping")
        return tree
    except FileMissing:
        return None
    except FileUnreadable as fault:
        facts.unreadable(fault)
    except UnicodeDecodeError:
        facts.gap(UNREADABLE, path, "not UTF-8")
    except EidosError as fault:
        facts.gap(UNREADABLE, path, fault.message.removeprefix(path).lstrip(":, "))
    return None


def drop_ins(facts: Facts, folder: str, *endings: str) -> list[str]:
    """The files of a folder with one of the endings, in the order in which they apply."""
    return [f"{folder}/{name}" for name in facts.names(folder) if name.endswith(endings) and not name.startswith(".")][:_DROP_IN_LIMIT]


def files_below(facts: Facts, folder: str, ending: str = "") -> list[str]:
    """The files of a folder, and of those in it, with an ending, in the order in which Go's filepath.Walk has them."""
    try:
        with facts.host.open_directory(folder) as directory:
            files, folders, others = directory.scan()
    except FileMissing:
        return []
    except FileUnreadable as fault:
        facts.unreadable(fault)
        return []
    paths: list[str] = []
    for name in sorted((*files, *folders, *others))[:_DROP_IN_LIMIT]:
        path = f"{folder}/{name}"
        paths += files_below(facts, path, ending) if name in folders else [path] if name.endswith(ending) else []
    return paths[:_DROP_IN_LIMIT]


def merge_trees(below: Tree, above: Mapping[str, Any]) -> Tree:
    """Both trees, in which ``above`` wins; lists replace lists.

    >>> merge_trees({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    merged = dict(below)
    for key, value in above.items():
        before = merged.get(key)
        merged[key] = merge_trees(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def find_settings(tree: Any, path: tuple[str, ...], matched: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What stands at ``path``, with the names that its ``*`` stand for, and for a path that ends in ``**`` all leaves below.

    >>> list(find_settings({"runtimes": {"nvidia": {"path": "/x"}}}, ("runtimes", "*", "path")))
    [(('nvidia',), '/x')]
    """
    if not path:
        yield matched, tree
    elif path[0] == "**":
        if isinstance(tree, dict):
            for key in sorted(map(str, tree)):
                yield from find_settings(tree.get(key), path, (*matched, key))
        elif matched:
            yield matched, tree
    elif isinstance(tree, dict):
        for key in sorted(map(str, tree)) if path[0] == "*" else [path[0]] if path[0] in tree else []:
            yield from find_settings(tree.get(key), path[1:], (*matched, key) if path[0] == "*" else matched)


def put_settings(facts: Facts, tree: Tree, rows: Iterable[tuple[tuple[str, ...], str]]) -> None:
    """Add each setting that ``rows`` (path → key, with ``{}`` for what a star stands for) list and the tree has."""
    for path, key in rows:
        for names, value in find_settings(tree, path):
            clean = [name if is_not_random(name) and len(name) <= 128 else "<withheld>" for name in names]
            put_setting(facts, key.format(*clean) if path[-1:] != ("**",) else f"{key}{'.'.join(clean)}", value)


def put_setting(facts: Facts, key: str, value: Any) -> None:
    """Add a setting as it may be shown: a list as its items with commas; anything else that is no scalar is left out."""
    if isinstance(value, list):
        if not value or not all(isinstance(item, (str, int, float, bool)) for item in value):
            return
        value = ", ".join(str(item).lower() if isinstance(item, bool) else str(item) for item in value)
    if isinstance(value, str):
        shown, count = redact_text(value, is_not_random)
        facts.put(key, shown)
        if count:
            facts.gap(SECRET, key, "a secret, or a random word")
    elif isinstance(value, (bool, int, float)):
        facts.put(key, value)


def put_version(facts: Facts, prefix: str, paths: Iterable[str]) -> None:
    """Add ``program`` and ``version`` of a program written in Go, by the first of its files that is there."""
    for path in paths:
        try:
            fd = facts.host.open_file(path)
        except FileMissing:
            continue
        except FileUnreadable as fault:
            facts.unreadable(fault)
            return
        facts.put(f"{prefix}program", path)
        from eidos.files.go_binary import program_version, read_build_information  # most hosts have no such program

        try:
            version = program_version(read_build_information(fd))
            why = "no version in its build information"
        except InvalidData as fault:
            version, why = None, fault.message
        except OSError as fault:
            facts.gap(UNREADABLE, path, (fault.strerror or str(fault)).lower())
            return
        finally:
            os.close(fd)
        facts.put(f"{prefix}version", version)
        if version is None:
            facts.gap(ABSENT, f"{prefix}version", why)
        return
