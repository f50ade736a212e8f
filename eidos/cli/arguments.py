"""Command lines, parsed by the conventions of POSIX and GNU.

Knows how flags are written (POSIX.1-2017 Base Definitions 12.2, and GNU's long options); must not know any particular flag.

``--flag value``, ``--flag=value``, ``-o value``, ``-ovalue`` and ``-o=value`` are the same; ``--`` ends the flags; ``-`` is a value.
A flag whose value may be left out takes the next word only where that is one of its valid values.
Long flags are not abbreviated: a prefix that is unique today may be ambiguous tomorrow. Global flags may also precede the verb.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.record import Record
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eidos.cli.options import Operand, Option, Verb


#: A verb whose output another one reads, both as (first, second): how to write that. ``{}`` is the flag of the first.
PIPELINES = {
    ("recipe", "bundle"): "eidos recipe {} | eidos bundle -f -",
    ("recipe", "check"): "eidos recipe {} | eidos check -r -",
    ("recipe", "evidence"): "eidos recipe {} | eidos evidence -r - -o FILE",
    ("snapshot", "recipe"): "eidos snapshot {} | eidos recipe -f -",
    ("snapshot", "check"): "eidos snapshot {} | eidos check -f -",
    ("snapshot", "bundle"): "eidos snapshot {} | eidos recipe -f - | eidos bundle -f -",
}


class ParsedArguments(Record):
    """A command line, sorted: the text of each option's values in order, and the operands.

    Mistakes are recorded, and raised by :func:`check_arguments`: the flags beside them still say how a message is to be logged.
    ``unknown`` are flags that the verb does not have; ``incomplete`` is a flag without its value, its option and what follows it.
    """

    flags: dict[str, list[str]]
    operands: list[str]
    unknown: list[str]
    incomplete: tuple[str, Option, list[str]] | None = None

    @property
    def wants_help(self) -> bool:
        """Whether ``--help`` is among the flags; it wins over every mistake."""
        return "help" in self.flags


def parse_arguments(arguments: Sequence[str], options: Sequence[Option]) -> ParsedArguments:
    """Sort ``arguments``, without the verb itself, into flags and operands."""
    flags: dict[str, list[str]] = {}
    operands: list[str] = []
    unknown: list[str] = []
    incomplete = None
    rest = list(reversed(arguments))
    while rest:
        argument = rest.pop()
        if argument == "--":
            operands += reversed(rest)
            break
        if argument == "-" or not argument.startswith("-"):
            operands.append(argument)
            continue
        option, name, value = _match(argument, options)
        if option is None:
            unknown.append(name)
            continue
        if value is None and option.metavar is None:
            value = "true"
        elif value is None and option.implied is not None:
            value = rest.pop() if rest and rest[-1] in option.valid_values() else option.implied
        elif value is None:
            if not rest or _is_flag(rest[-1], options):
                incomplete = incomplete or (name, option, rest[-1:])
                continue
            value = rest.pop()
        flags.setdefault(option.name, []).append(value)
        if option.shorthand_for and value == "true":
            flags.setdefault(option.shorthand_for[0], []).append(option.shorthand_for[1])
    return ParsedArguments(flags, operands, unknown, incomplete)


def check_arguments(arguments: ParsedArguments, verb: Verb) -> None:
    """Raise InvalidInput for the first mistake in a command line of ``verb``, the values of its flags aside."""
    if arguments.unknown:
        name, valid = arguments.unknown[0], [option.flag for option in verb.options]
        hint = _flag_of_other_verb(name, verb) or did_you_mean(name, valid, f"run 'eidos {verb.name} --help' for its flags")
        raise InvalidInput(f"eidos {verb.name}: unknown flag {name!r}", hint)
    if arguments.incomplete:
        from eidos.cli.options import COLLECTOR_LIST
        from eidos.wording import list_words

        name, option, following = arguments.incomplete
        choices = option.valid_values()
        expected = f"one of {list_words(choices, COLLECTOR_LIST)}" if choices else "a value"
        if not following:
            raise InvalidInput(f"{name} needs {expected}")
        hint = f"write {name}={following[0]} if {following[0]} is the value"
        raise InvalidInput(f"{name} needs {expected}", hint)
    for operand, value in zip(verb.operands, arguments.operands):
        _check_operand(operand, value, verb)
    for extra in arguments.operands[len(verb.operands) :]:
        raise InvalidInput(f"eidos {verb.name}: unexpected argument {extra!r}", f"run 'eidos {verb.name} --help' for its arguments")
    for operand in verb.operands[len(arguments.operands) :]:
        if operand.required:
            from eidos.wording import list_words

            raise InvalidInput(f"eidos {verb.name} needs a {operand.name}: {list_words(operand.valid_values()) or operand.help}")


def _flag_of_other_verb(name: str, verb: Verb) -> str | None:
    """Where a flag belongs that this verb does not have, and how to use it there; None for a flag that no verb has, or a slip.

    The verb that writes what this one reads comes first. It imports all verbs, which only a mistake costs.
    """
    if any(option.flag.startswith(name) or name.startswith(option.flag) for option in verb.options):
        return None  # --host for --hosts
    from eidos.cli.commands import load_verbs
    from eidos.cli.registry_locations import REGISTRY
    from eidos.wording import list_words

    owners = {other.name: option for other in load_verbs() for option in other.options if option.flag == name}
    if not owners or verb.name in owners:
        return None
    first = next((first for first, second in PIPELINES if second == verb.name and first in owners), "")
    names = [f"'eidos {owner}'" for owner in owners if owner != first]
    if not first:
        # Whatever reads a file reads from a registry as well, without flags of its own.
        variable = next((f"; elsewhere set {option.variable}={option.metavar or 'true'}" for option in REGISTRY if option.flag == name), "")
        return f"use it with {list_words(names)}{variable}"
    flag = f"{name} {owners[first].metavar}" if owners[first].metavar else name
    return f"it is a flag of 'eidos {first}': run '{PIPELINES[first, verb.name].replace('{}', flag)}'"


def _check_operand(operand: Operand, value: str, verb: Verb) -> None:
    valid = operand.valid_values()
    if operand.choices is None:
        try:
            operand.convert(value)
        except InvalidInput as fault:
            raise InvalidInput(f"eidos {verb.name}: {operand.name}: {fault.message}", fault.hint) from fault
    elif value not in valid and verb.name == "help":
        raise InvalidInput(f"unknown topic {value!r}", did_you_mean(value, valid, "run 'eidos --help' for commands and topics"))
    elif value not in valid:
        from eidos.wording import list_words

        hint = did_you_mean(value, valid) or f"run 'eidos {verb.name} --help' for its arguments"
        expected = list_words(valid, "'eidos --help'")
        raise InvalidInput(f"eidos {verb.name}: invalid {operand.name} {value!r}; expected one of {expected}", hint)


def split_verb(arguments: Sequence[str], options: Sequence[Option], verb_flags: Iterable[str]) -> tuple[str | None, list[str]]:
    """The verb, or None when there is none, and the arguments around it; a flag in ``verb_flags`` counts as a verb.

    Raises InvalidInput for a flag before the verb that is not one of ``options``: nothing tells whether the next word is its
    value or the verb.
    """
    leading = 0
    while leading < len(arguments) and arguments[leading].startswith("-") and arguments[leading] not in verb_flags:
        option, name, value = _match(arguments[leading], options)
        if option is None:
            hint = did_you_mean(name, [*verb_flags, *(option.flag for option in options)], "put flags after the command")
            raise InvalidInput(f"unknown global flag {name!r}", hint)
        leading += 2 if value is None and option.metavar is not None else 1
    verb = arguments[leading] if leading < len(arguments) else None
    return verb, [*arguments[:leading], *arguments[leading + 1 :]]


def _match(argument: str, options: Sequence[Option]) -> tuple[Option | None, str, str | None]:
    """The option that ``argument`` writes, the flag without its value, and the value when it is attached."""
    name, equals, value = argument.partition("=")
    for option in options:
        if name == option.flag or (option.short and name == f"-{option.short}"):
            return option, name, value if equals else None
        if option.short and option.metavar and argument.startswith(f"-{option.short}"):
            return option, argument[:2], argument[2:]
    return None, name, None


def _is_flag(argument: str, options: Sequence[Option]) -> bool:
    return argument == "--" or (len(argument) > 1 and argument.startswith("-") and _match(argument, options)[0] is not None)
