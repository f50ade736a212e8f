"""What applies to a verb: its flags, then the environment, then the configuration file, then the defaults.

Knows that order, and that a message says which of them a wrong value came from; must not know any particular option.

The file is ``$XDG_CONFIG_HOME/eidos/config.yaml`` (XDG Base Directory Specification: ``~/.config`` when the variable is unset or
not absolute). Its keys are the names of options; a section called like a verb holds for this verb, and before the rest::

    log-format: json
    snapshot:
      timeout: 30s
      units: [containerd, kubelet]

A variable that is set and empty is as good as unset.
"""

from __future__ import annotations

import os
import stat
import time

from eidos import log
from eidos.cli.options import COMMA, Values
from eidos.errors import EidosError, InvalidData, InvalidInput, Timeout
from eidos.model.number_format import format_scalar
from eidos.model.record import Record
from eidos.suggest import did_you_mean, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from eidos.cli.options import Option, Verb

    Flags = Mapping[str, list[str]]

#: File systems that may never answer begin so.
REMOTE = ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "lustre", "afs", "autofs", "gpfs", "beegfs", "virtiofs", "glusterfs")

#: Seconds after which such a file system is given up.
PATIENCE = 2.0

#: The largest configuration file that is read, in bytes.
LIMIT = 1 << 20

#: What Kubernetes sets in every container beside a Service called ``eidos`` or ``eidos-api-server`` ("Discovering services" in
#: its documentation).
SERVICE_LINKS = ("EIDOS_SERVICE_", "EIDOS_PORT", "EIDOS_API_SERVER_SERVICE_", "EIDOS_API_SERVER_PORT")

#: How the value of ``EIDOS_PORT`` begins there; what does not is a port that somebody means.
LINKED = ("tcp://", "udp://", "sctp://")


def config_path(environ: Mapping[str, str]) -> str | None:
    """Where the configuration file would be, or None when there is no home to look in."""
    folder = environ.get("XDG_CONFIG_HOME", "")
    if not folder.startswith("/"):
        home = environ.get("HOME", "")
        if not home.startswith("/"):
            return None
        folder = home.rstrip("/") + "/.config"
    return f"{folder}/eidos/config.yaml"


class Config(Record):
    """What the configuration file at ``path`` says; ``tree`` is empty when there is none."""

    path: str = ""
    tree: dict[Any, object] = {}

    def find(self, option: Option, verb: str) -> tuple[object, str] | None:
        """What the file says of an option, first in the verb's section, and the place where it says so."""
        section = self.tree.get(verb)
        for found, key in ((section, f"{verb}.{option.name}"), (self.tree, option.name)):
            if isinstance(found, dict) and option.name in found:
                return found[option.name], f"{self.path}: {key}"
        return None

    def check(self, verbs: Callable[[], Sequence[Verb]]) -> None:
        """Raise InvalidInput for a key that no verb has; ``verbs`` are asked for only when there is a key at all."""
        if not self.tree:
            return
        known = {verb.name: [option.name for option in verb.options if option.anywhere] for verb in verbs()}
        everywhere = sorted({name for names in known.values() for name in names})
        for key, value in self.tree.items():
            if key in known and isinstance(value, dict):
                for inner in value:
                    if inner not in known[key]:
                        raise self._unknown(f"{key}.{inner}", [f"{key}.{name}" for name in known[key]])
            elif key in known:
                raise InvalidInput(f"{self.path}: {key} must be a mapping: it holds the options of 'eidos {key}'")
            elif key not in everywhere:
                raise self._unknown(str(key), [*everywhere, *known])

    def _unknown(self, key: str, valid: list[str]) -> InvalidInput:
        return InvalidInput(f"{self.path}: there is no option {key!r}; there are {', '.join(valid)}", did_you_mean(key, valid))


def read_config(path: str | None) -> Config:
    """What the file says; nothing when there is none. Raises InvalidData when it is not a mapping or cannot be read.

    A folder on the way that may not be entered (``sudo -u nobody`` keeps root's HOME) is no reason to fail, but is said.
    """
    if path is None:
        return Config()
    if may_never_answer(path):
        from eidos.process.child import run_in_child

        try:
            run_in_child(lambda: os.access(path, os.R_OK), time.monotonic() + PATIENCE)
        except Timeout:
            log.warn(f"{path}: no answer from its file system: going on without a configuration file", hint="set XDG_CONFIG_HOME")
            return Config()
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return Config()
    except OSError as fault:
        log.warn(f"{path}: cannot tell whether this configuration file is there: {_why(fault)}", hint="set XDG_CONFIG_HOME")
        return Config()
    if not stat.S_ISREG(status.st_mode):
        raise InvalidData(f"{path}: the configuration is no regular file")
    try:
        with open(path, "rb") as file:
            content = file.read(LIMIT + 1)
    except OSError as fault:
        hint = "give yourself the right to read it, or set XDG_CONFIG_HOME to another folder"
        raise InvalidData(f"{path}: cannot read this configuration file: {_why(fault)}", hint) from fault
    from eidos.formats import from_text

    tree = from_text(content, path, LIMIT)
    if tree is not None and not isinstance(tree, dict):
        raise InvalidData(f"{path}: the configuration must be a mapping of options to values")
    return Config(path, tree or {})


def may_never_answer(path: str) -> bool:
    """Whether a path lies on a file system that a server, or a program, stands behind (proc_pid_mountinfo(5)).

    Only then is it worth a child to look; most homes are on a disk.
    """
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            lines = mounts.read().splitlines()
    except OSError:
        return False
    best = ("", "")
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split(" ")[4].replace("\\040", " ")
        if (path + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best[0]):
            best = (point, after.partition(" ")[0])
    return best[1].startswith(REMOTE)


def resolve(options: Sequence[Option], flags: Flags, environ: Mapping[str, str], config: Config | None = None, verb: str = "") -> Values:
    """The value of each option, and what said it. Raises InvalidInput, which names the flag, the variable or the key that is wrong."""
    values = Values()
    where = values.where
    for option in options:
        name = option.name
        found = config.find(option, verb) if config and option.anywhere else None
        variable = _variable(option, environ)
        if name in flags:
            where[name] = option.flag
            values[name] = _convert(option, flags[name], where[name])
        elif variable is not None:
            where[name] = variable
            values[name] = _convert(option, [environ[variable]], where[name])
        elif found:
            where[name] = found[1]
            values[name] = _convert(option, _written(*found, option.many), where[name])
        elif option.default is not None:
            values[name] = _convert(option, [option.default], option.flag)
        else:
            values[name] = False if option.metavar is None else () if option.many else None
    return values


def _variable(option: Option, environ: Mapping[str, str]) -> str | None:
    """The variable that says an option's value, or None."""
    if not option.anywhere:
        return None
    value = environ.get(option.variable)
    if value and not (option.variable.startswith(SERVICE_LINKS) and value.startswith(LINKED)):
        return option.variable
    return option.fallback if option.fallback and environ.get(option.fallback) else None


def check_environment(environ: Mapping[str, str], verbs: Callable[[], Sequence[Verb]]) -> None:
    """Warn of a variable that looks like one of ours with a typing mistake; ``verbs`` are asked for only then."""
    ours = [name for name, value in environ.items() if value and name.startswith("EIDOS_") and not name.startswith(SERVICE_LINKS)]
    if not ours:
        return
    options = [option for verb in verbs() for option in verb.options]
    known = {option.variable for option in options if option.anywhere}
    variables = {option.name: option.variable for option in options}
    instead = {option.variable: f"{variables[option.sets[0]]}={option.sets[1]}" for option in options if option.sets}
    for name in ours:
        meant = instead.get(name) or (nearest(name, known) if name not in known else None)
        if meant:
            log.warn(f"{name} is set, and eidos has no such variable", hint=f"did you mean {meant}?")


def _convert(option: Option, raw: list[str], where: str) -> object:
    try:
        if not option.many:
            return option.value(raw[-1])
        if not option.commas:
            return tuple(option.value(text) for text in raw)
        words = [word.strip() for text in raw for word in text.split(COMMA)]
        # A shell may leave a comma behind when it completes a list.
        return tuple(dict.fromkeys(option.value(word) for word in words if word or not any(words)))
    except EidosError as fault:
        raise InvalidInput(f"{where}: {fault.message}", fault.hint, fault.excerpt) from None


def _written(value: object, key: str, many: bool) -> list[str]:
    """A value of the file as it would stand on the command line."""
    if isinstance(value, (str, int, float)):
        return [format_scalar(value)]
    if many and isinstance(value, list) and value and all(isinstance(item, (str, int, float)) for item in value):
        return [format_scalar(item) for item in value]
    raise InvalidInput(f"{key}: expected a value{', or a list of values' if many else ''}", "leave the key out to keep the default")


def _why(fault: OSError) -> str:
    return (fault.strerror or str(fault)).lower()
