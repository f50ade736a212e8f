"""The value of each option of a verb: from its flag, else the environment, else the configuration file, else its default.

Knows that order, and that a message names where a wrong value comes from; must not know any particular option.

The file is ``$XDG_CONFIG_HOME/eidos/config.yaml`` (XDG Base Directory Specification: ``~/.config`` when the variable is unset or
not absolute). Its keys are the names of options; a section with the name of a verb applies to that verb, before the rest::

    log-format: json
    snapshot:
      timeout: 30s
      units: [containerd, kubelet]

A variable that is empty counts as unset.
"""

from __future__ import annotations

import os
import stat

from eidos import log
from eidos.cli.options import COMMA, Values
from eidos.cli.path_access import PATH_TIMEOUT_S, check_file_system
from eidos.errors import EidosError, InvalidData, InvalidInput, Timeout, os_error_reason
from eidos.model.number_format import format_scalar
from eidos.model.record import Record
from eidos.wording import did_you_mean, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from eidos.cli.options import Option, Verb

    Flags = Mapping[str, list[str]]

#: Seconds that the file system of the configuration file has to answer.
FILESYSTEM_TIMEOUT_S = 2.0

#: Options whose paths the verbs access with a deadline of their own: a timeout there is not always an error.
WITH_DEADLINES = ("kubeconfig", "metrics-file", "root", "smi")

#: The largest configuration file that is read.
MAX_BYTES = 1 << 20

#: Characters of a value that a message must not repeat; fewer may be a word of its own.
TELLING_LENGTH = 8

#: How the variables of options begin.
PREFIX = "EIDOS_"

#: What Kubernetes sets in every container beside a Service called ``eidos`` or ``eidos-api-server`` ("Discovering services" in
#: its documentation).
SERVICE_LINKS = ("EIDOS_SERVICE_", "EIDOS_PORT", "EIDOS_API_SERVER_SERVICE_", "EIDOS_API_SERVER_PORT")

#: How the value of ``EIDOS_PORT`` begins there; any other value is a port that the user set.
SERVICE_LINK_SCHEMES = ("tcp://", "udp://", "sctp://")


def config_path(environ: Mapping[str, str]) -> str | None:
    """Where the configuration file would be, or None when there is no home folder to look in."""
    folder = environ.get("XDG_CONFIG_HOME", "")
    if not folder.startswith("/"):
        home = environ.get("HOME", "")
        if not home.startswith("/"):
            return None
        folder = home.rstrip("/") + "/.config"
    return f"{folder}/eidos/config.yaml"


class UserConfig(Record):
    """The configuration file at ``path``; ``tree`` is empty when there is none."""

    path: str = ""
    tree: dict[str, Any] = {}

    def lookup(self, option: Option, verb: str) -> tuple[object, str] | None:
        """The value of an option, in the verb's section or else at the top, and the key at which it stands."""
        section = self.tree.get(verb)
        for mapping, key in ((section, f"{verb}.{option.name}"), (self.tree, option.name)):
            if isinstance(mapping, dict) and option.name in mapping:
                return mapping[option.name], f"{self.path}: {key}"
        return None

    def check(self, verbs: Callable[[], Sequence[Verb]]) -> None:
        """Raise InvalidInput for a key that no verb has; ``verbs`` is called only when there is a key at all."""
        if not self.tree:
            return
        valid = {verb.name: [option.name for option in verb.options if not option.flag_only] for verb in verbs()}
        of_any_verb = sorted({name for names in valid.values() for name in names})
        for key, value in self.tree.items():
            if key in valid and isinstance(value, dict):
                for inner in value:
                    if inner not in valid[key]:
                        raise self._unknown(f"{key}.{inner}", [f"{key}.{name}" for name in valid[key]])
            elif key in valid:
                raise InvalidInput(f"{self.path}: {key} must be a mapping of options of 'eidos {key}'")
            elif key not in of_any_verb:
                raise self._unknown(key, [*of_any_verb, *valid])

    def _unknown(self, key: str, valid: list[str]) -> InvalidInput:
        verb, dot, _ = key.rpartition(".")
        listed = f"run 'eidos {verb} --help' for its options" if dot else "remove it; options are named after flags"
        from eidos.redact.harmless_forms import quote_value

        return InvalidInput(f"{self.path}: unknown option {quote_value(key)}", did_you_mean(key, valid, listed))


def read_user_config(path: str | None) -> UserConfig:
    """The configuration file at ``path``; empty when there is none. Raises InvalidData when it is not a mapping or cannot be read.

    A folder on the way that may not be entered (``sudo -u nobody`` keeps root's HOME) costs a warning only.
    """
    if path is None:
        return UserConfig()
    try:
        check_file_system("", path, FILESYSTEM_TIMEOUT_S)
    except Timeout:
        log.warn(f"{path}: timed out reading the file system; continuing without a configuration file", hint="set XDG_CONFIG_HOME")
        return UserConfig()
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return UserConfig()
    except OSError as fault:
        log.warn(f"{path}: cannot access this configuration file: {os_error_reason(fault)}", hint="set XDG_CONFIG_HOME")
        return UserConfig()
    if not stat.S_ISREG(status.st_mode):
        raise InvalidData(f"{path}: the configuration file is not a regular file")
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as fault:
        hint = "make it readable, or set XDG_CONFIG_HOME to another folder"
        raise InvalidData(f"{path}: cannot read this configuration file: {os_error_reason(fault)}", hint) from fault
    from eidos.formats import from_text
    from eidos.model.tree_reader import TreeReader

    return UserConfig(path, TreeReader(from_text(content, path, MAX_BYTES), path).tree)


def check_file_systems(verb: Verb, values: Values) -> None:
    """Raise Timeout when a path that an option or an operand names lies on a file system that does not answer."""
    timeout_s = min(values.get("timeout") or PATH_TIMEOUT_S, PATH_TIMEOUT_S)
    for name, completion, origin in [(option.name, option.completion, option.flag) for option in verb.options] + [
        (operand.name, operand.completion, operand.name) for operand in verb.operands
    ]:
        value = values.get(name) if completion and name not in WITH_DEADLINES else None
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, str):
                check_file_system(values.origins.get(name, origin), path, timeout_s)


def resolve_options(
    options: Sequence[Option], flags: Flags, environ: Mapping[str, str], config: UserConfig | None = None, verb: str = ""
) -> Values:
    """The value of each option, and its origin. Raises InvalidInput that names the flag, the variable or the key that is wrong."""
    values = Values()
    origins = values.origins
    for option in options:
        name = option.name
        configured = config.lookup(option, verb) if config and not option.flag_only else None
        variable = _variable(option, environ)
        if name in flags:
            origins[name] = option.flag
            values[name] = _parse(option, flags[name], origins[name])
        elif variable is not None:
            origins[name] = variable
            values[name] = _parse(option, [environ[variable]], origins[name])
        elif configured:
            origins[name] = configured[1]
            values[name] = _parse(option, _as_texts(*configured, option.multiple), origins[name])
        elif option.default is not None:
            values[name] = _parse(option, [option.default], option.flag)
        else:
            values[name] = False if option.metavar is None else () if option.multiple else None
    return values


def _variable(option: Option, environ: Mapping[str, str]) -> str | None:
    """The environment variable that sets an option, or None."""
    if option.flag_only:
        return None
    value = environ.get(option.variable)
    if value and not (option.variable.startswith(SERVICE_LINKS) and value.startswith(SERVICE_LINK_SCHEMES)):
        return option.variable
    return option.fallback_variable if option.fallback_variable and environ.get(option.fallback_variable) else None


def check_environment(environ: Mapping[str, str], verbs: Callable[[], Sequence[Verb]]) -> None:
    """Warn of a variable that no option has; ``verbs`` is called only when a variable of ours is set."""
    ours = [name for name, value in environ.items() if value and name.startswith(PREFIX) and not _is_service_link(name, value)]
    if not ours:
        return
    options = [option for verb in verbs() for option in verb.options]
    valid = {option.variable for option in options if not option.flag_only}
    only_flags = {option.variable: option.flag for option in options if option.flag_only}
    variables = {option.name: option.variable for option in options}
    shorthands = {option.variable: option.shorthand_for for option in options if option.shorthand_for}
    for name in ours:
        if name in valid:
            continue
        if name in shorthands:
            target, value = shorthands[name]
            hint = f"did you mean {variables[target]}={value}?"
        elif name in only_flags:
            hint = f"use the flag {only_flags[name]}"
        else:
            suggestion = nearest(name[len(PREFIX) :], [variable[len(PREFIX) :] for variable in valid])
            hint = (
                f"did you mean {PREFIX}{suggestion}?"
                if suggestion
                else "unset it; variables are named after flags: EIDOS_TIMEOUT is --timeout"
            )
        log.warn(f"unknown variable {name}", hint=hint)


def _is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes sets a variable, for a Service whose name begins with ``eidos``."""
    port = name.partition("_PORT_")[2]
    return (
        name.startswith(SERVICE_LINKS)
        or name.endswith("_SERVICE_HOST")
        or "_SERVICE_PORT" in name
        or (name.endswith("_PORT") and value.startswith(SERVICE_LINK_SCHEMES))
        or port[:1].isdigit()
    )


def _parse(option: Option, texts: list[str], origin: str) -> object:
    try:
        if not option.multiple:
            return option.parse_value(texts[-1])
        if not option.split_commas:
            return tuple(option.parse_value(text) for text in texts)
        words = [word.strip() for text in texts for word in text.split(COMMA)]
        # A shell may leave a comma behind when it completes a list.
        return tuple(dict.fromkeys(option.parse_value(word) for word in words if word or not any(words)))
    except Timeout:
        raise
    except EidosError as fault:
        raise invalid_value(fault, origin, texts) from None


def invalid_value(fault: EidosError, origin: str, texts: Sequence[str]) -> InvalidInput:
    """``fault`` about one of ``texts``, with its origin; a variable's text is withheld, unless it looks like a word: it may be a secret."""
    message, hint, excerpt = fault.message, fault.hint, fault.excerpt
    if origin.startswith(PREFIX):
        from eidos.redact.harmless_forms import quote_value

        for value in sorted({part.strip() for text in texts for part in (text, *text.split(COMMA))}, key=len, reverse=True):
            shown = quote_value(value)
            message = message.replace(repr(value), shown)
            if shown != repr(value):
                message = f"invalid value {shown}" if _repeats(message, value) else message
                hint = None if hint and _repeats(hint, value) else hint
                excerpt = None
    return InvalidInput(f"{origin}: {message}", hint, excerpt)


def _repeats(message: str, value: str) -> bool:
    """Whether a message has a part of ``value``: it may be shortened, or cut into words."""
    length = min(len(value), TELLING_LENGTH)
    return any(value[at : at + length] in message for at in range(len(value) - length + 1))


def _as_texts(value: object, key: str, multiple: bool) -> list[str]:
    """A value of the configuration file as it would be written on the command line."""
    if isinstance(value, (str, int, float)):
        return [format_scalar(value)]
    if multiple and isinstance(value, list) and value and all(isinstance(item, (str, int, float)) for item in value):
        return [format_scalar(item) for item in value]
    raise InvalidInput(f"{key}: expected a value{', or a list of values' if multiple else ''}", "remove the key to use the default")
