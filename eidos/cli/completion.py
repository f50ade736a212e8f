"""``eidos completion``: the script with which bash, zsh or fish completes eidos, written from the tables of verbs and options.

Knows the completion language of each shell, and which values the built-in data has; must not know any particular verb. The scripts hold
all that they complete, so a shell never starts eidos to complete it.
"""

from __future__ import annotations

from eidos import __version__
from eidos.cli import document_locations
from eidos.cli.commands import COMMANDS, VERB_FLAGS
from eidos.cli.options import FLAG_OUTPUT, GLOBAL_OPTIONS, HELP, LOGGING, Operand, Verb
from eidos.model.query import NAMES, VERSIONS
from eidos.model.record import replace
from eidos.templates.text_template import fill_text, parse_template, shell_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eidos.cli.options import Option, Values

#: Verb → option → the field of the catalog that has its values.
CATALOG_FIELDS = {
    "recipe": {field: field for field in NAMES},
    "serve": {"allowed-gpus": "gpu", "allowed-services": "service", "allowed-intents": "intent", "allowed-os": "os"},
}

VERB = Verb(
    "completion",
    ("Print a script that completes commands, flags and values of eidos and eidos.pyz in a shell.",),
    (FLAG_OUTPUT, *LOGGING, HELP),
    (Operand("shell", "the shell", {"bash": "GNU bash, 4 or newer", "zsh": "Z shell, 5.1 or newer", "fish": "fish, 3 or newer"}),),
    (
        ("source <(eidos completion bash)", "bash; add the line to ~/.bashrc to keep it"),
        ("source <(eidos completion zsh)", "zsh, after compinit; add the line to ~/.zshrc to keep it"),
        ("eidos completion fish | source", "fish, this session"),
        ("eidos completion fish -o ~/.config/fish/completions/eidos.fish", "fish, permanently"),
    ),
)

#: What the program may be called; shells look at the last part of a path.
PROGRAMS = "eidos eidos.pyz"


def run(values: Values) -> int:
    """Write the script for one shell."""
    from eidos.cli.commands import load_verbs

    document_locations.check_writable(values["output"])
    verbs = [replace(verb, options=tuple(_with_values(verb.name, option) for option in verb.options)) for verb in load_verbs()]
    document_locations.write_document(values["output"], {"bash": bash, "zsh": zsh, "fish": fish}[values["shell"]](verbs))
    return 0


def _with_values(verb: str, option: Option) -> Option:
    """``option`` with the values that the built-in data has for it, for completion only: with data of one's own there are others."""
    from eidos.cli.manifest_flags import DELIVERIES, GPU

    if option.metavar is None or option.valid_values():
        return option
    if verb in CATALOG_FIELDS and option.name in CATALOG_FIELDS[verb]:
        from eidos.recipe.store import shipped_store

        entries = shipped_store().catalog.entries[CATALOG_FIELDS[verb][option.name]]
        return replace(option, choices={entry.name: entry.title for entry in entries if not entry.excluded})
    if verb == "recipe" and option.name in VERSIONS:
        from eidos.recipe.coverage import known_versions
        from eidos.recipe.store import shipped_store

        return replace(option, choices=dict.fromkeys(known_versions(shipped_store(), option.name), ""))
    if (verb, option.name) == ("bundle", "bundlers"):
        from eidos.recipe.charts import component_ids

        return replace(option, choices=dict.fromkeys(component_ids(), ""))
    if (verb, option.name) == ("bundle", "deployer"):
        from eidos.bundle.deployers import list_deployers

        return replace(option, choices=list_deployers())
    if verb in ("manifest", "fleet") and option.name in ("gpu", "delivery"):
        return replace(option, choices=dict.fromkeys(GPU if option.name == "gpu" else DELIVERIES, ""))
    return option


def _spellings(options: Iterable[Option]) -> list[str]:
    return [spelling for o in options for spelling in ([f"-{o.short}"] if o.short else []) + [o.flag]]


def _operands(verb: Verb) -> dict[str, str]:
    return {value: meaning for operand in verb.operands for value, meaning in operand.valid_values().items()}


# -- bash: one function that looks at the words so far (bash manual, "Programmable Completion") --

_BASH = r"""# bash completion for eidos @{version}. Load it with: source <(eidos completion bash)
# shellcheck shell=bash

_eidos() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local verb='' flags='' words='' files='' values='' many='' prefix='' word i
    COMPREPLY=()
    # "--flag=value" is three words where "=" breaks words, as it does by default, and one where it does not.
    if [[ $cur == '=' ]]; then
        cur=''
    elif [[ $prev == '=' ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    elif [[ $cur == --*=* ]]; then
        prev=${cur%%=*} prefix=${cur%%=*}= cur=${cur#*=}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            @{before})
                if [[ ${COMP_WORDS[i + 1]} == '=' ]]; then ((i++)); fi
                ((i++))
                ;;
            -*) ;;
            *)
                verb=${COMP_WORDS[i]}
                break
                ;;
        esac
    done
    case $verb in
@{verbs}
        *) return ;;
    esac
    case "$verb $prev" in
@{values}
    esac
    if [[ -z $values ]]; then
        if [[ -n $files && $cur != -* ]]; then
            compopt -o default 2>/dev/null
            return
        fi
        if [[ $cur == -* || -z $words ]]; then values=$flags; else values=$words; fi
    elif [[ -n $many ]]; then
        if [[ $cur == *,* ]]; then
            prefix+=${cur%,*}, cur=${cur##*,}
        fi
        compopt -o nospace 2>/dev/null
    fi
    while IFS= read -r word; do
        COMPREPLY+=("$prefix$word")
    done < <(compgen -W "$values" -- "$cur")
}

complete -F _eidos @{programs}
"""


def bash(verbs: Sequence[Verb]) -> str:
    """The script for bash; the newer of its ways to complete files, ``compopt``, needs bash 4."""
    top = " ".join([*_spellings(GLOBAL_OPTIONS), *VERB_FLAGS])
    tables = [f"        '') flags='{top}' words='{' '.join(COMMANDS)}' ;;"]
    values: list[str] = _bash_values("", GLOBAL_OPTIONS)
    for verb in verbs:
        flags, words = " ".join(_spellings(verb.options)), " ".join(_operands(verb))
        files = " files=1" if any(operand.completion for operand in verb.operands) else ""
        tables.append(f"        {verb.name}) flags='{flags}' words='{words}'{files} ;;")
        values += _bash_values(verb.name, verb.options)
        for operand in verb.operands:
            after = {before: " ".join(words) for before, words in operand.choices_after.items()}
            values += [
                f"        '{verb.name} {before}') if [[ $cur != -* ]]; then values='{words}'; fi ;;" for before, words in after.items()
            ]
            if after:  # nothing follows another operand
                values += [
                    f"        '{verb.name} {verb.name}') ;;",
                    f"        '{verb.name} '[!-]*) if [[ $cur != -* ]]; then return; fi ;;",
                ]
    return _fill(
        _BASH,
        before=" | ".join(_spellings(o for o in GLOBAL_OPTIONS if o.metavar)),
        verbs="\n".join(tables),
        values="\n".join(values),
    )


def _bash_values(verb: str, options: Iterable[Option]) -> list[str]:
    lines = []
    for option in options:
        if option.metavar is None:
            continue
        if option.completion:
            does = f"compopt -o {'dirnames' if option.completion == 'folder' else 'default'} 2>/dev/null; return"
        elif option.valid_values():
            does = f"values='{' '.join(option.valid_values())}'" + (" many=1" if option.multiple else "")
        else:
            does = "return"
        lines.append(f"        {' | '.join(shell_word(f'{verb} {spelling}') for spelling in _spellings([option]))}) {does} ;;")
    return lines


# -- zsh: specifications for _arguments (zshcompsys(1)) --

_ZSH = r"""#compdef @{programs}
# zsh completion for eidos @{version}. Load it after compinit with: source <(eidos completion zsh)

_eidos() {
  local curcontext="$curcontext" state
  local -a line commands
  local -A opt_args
  commands=(
@{commands}
  )
  _arguments -C -A '-*' \
@{before}
    '1:command:->command' \
    '*::argument:->argument'
  case $state in
    command) _describe -t commands command commands ;;
    argument)
      case $line[1] in
@{verbs}
      esac
      ;;
  esac
}

if [[ $funcstack[1] == _eidos ]]; then
  _eidos "$@"
else
  compdef _eidos @{programs}
fi
"""


def zsh(verbs: Sequence[Verb]) -> str:
    """The script for zsh, to be sourced or to lie as ``_eidos`` in a folder of ``fpath``."""
    commands = "\n".join(f"    {shell_word(name + ':' + summary.replace(':', chr(92) + ':'))}" for name, (_, summary) in COMMANDS.items())
    before = [_zsh_option(option) for option in GLOBAL_OPTIONS]
    for name in dict.fromkeys(VERB_FLAGS.values()):
        flags = ",".join(flag for flag, does in VERB_FLAGS.items() if does == name)
        before.append(f"'(- *)'{{{flags}}}{shell_word(f'[{COMMANDS[name][1]}]')}")
    cases = []
    for verb in verbs:
        specs = [_zsh_option(option) for option in verb.options]
        specs += [shell_word(f"{at}:{operand.name}:{_zsh_operand(operand)}") for at, operand in enumerate(verb.operands, 1)]
        listed = " \\\n".join(f"            {spec}" for spec in specs)
        cases.append(f"        {verb.name})\n          _arguments \\\n{listed}\n          ;;")
    return _fill(_ZSH, commands=commands, before="\n".join(f"    {spec} \\" for spec in before), verbs="\n".join(cases))


def _zsh_operand(operand: Operand) -> str:
    if operand.choices_after:
        after = " ".join(f"{before}) compadd - {' '.join(words)} ;;" for before, words in operand.choices_after.items())
        return f"{{case $words[CURRENT-1] in {after} esac}}"
    return "_files" if operand.completion else f"({' '.join(operand.valid_values())})"


def _zsh_option(option: Option) -> str:
    value = ""
    if option.metavar is not None:
        if option.completion:
            does = "_files -/" if option.completion == "folder" else "_files"
        elif option.valid_values():
            listed = " ".join(option.valid_values())
            does = f"_sequence compadd - {listed}" if option.multiple else f"({listed})"
        else:
            does = " "
        value = f":{option.metavar}:{does}"
    help_text = option.help.replace("[", "\\[").replace("]", "\\]")
    flag = option.flag + ("=" if option.metavar is not None else "")
    rest = f"[{help_text}]{value}"
    if option.short:
        short = f"-{option.short}" + ("+" if option.metavar is not None else "")
        return f"'(-{option.short} {option.flag})'{{{short},{flag}}}{shell_word(rest)}"
    return shell_word(("*" if option.multiple else "") + flag + rest)


# -- fish: one "complete" for each thing (fish's complete(1)) --

_FISH = r"""# fish completion for eidos @{version}. Load it with: eidos completion fish | source

function __eidos_verb -d 'Whether the verb on the command line is the one that is named, or none'
    set -l words (commandline -opc)
    while set -e words[1]; and set -q words[1]
        switch $words[1]
            case @{before}
                set -e words[1]
            case '-*'
            case '*'
                test "$words[1]" = "$argv[1]"
                return
        end
    end
    test -z "$argv[1]"
end

function __eidos_after -d 'Whether the last complete word is the one that is named'
    test (commandline -opc)[-1] = "$argv[1]"
end

for __eidos_program in @{programs}
@{completes}
end
set -e __eidos_program
"""


def fish(verbs: Sequence[Verb]) -> str:
    """The script for fish."""
    lines = ["-f", *("-n __eidos_verb " + _fish_option(option) for option in GLOBAL_OPTIONS)]
    for flag, name in VERB_FLAGS.items():
        written = f"{'-l' if flag.startswith('--') else '-s'} {flag.lstrip('-')}"
        lines.append(f"-n __eidos_verb {written} -d {_fish_quoted(COMMANDS[name][1])}")
    lines += [f"-n __eidos_verb -a {name} -d {_fish_quoted(summary)}" for name, (_, summary) in COMMANDS.items()]
    for verb in verbs:
        here = f"-n '__eidos_verb {verb.name}' "
        lines += [here + _fish_option(option) for option in verb.options]
        lines += [here + "-F" for operand in verb.operands if operand.completion]
        after = {before: words for operand in verb.operands for before, words in operand.choices_after.items()}
        first = f"-n '__eidos_verb {verb.name}; and __eidos_after {verb.name}' " if after else here
        lines += [first + f"-a {value} -d {_fish_quoted(meaning)}" for value, meaning in _operands(verb).items()]
        for before, words in after.items():
            following = f"-n '__eidos_verb {verb.name}; and __eidos_after {before}' "
            lines += [following + f"-a {value} -d {_fish_quoted(meaning)}" for value, meaning in words.items()]
    return _fill(
        _FISH,
        before=" ".join(_spellings(option for option in GLOBAL_OPTIONS if option.metavar)),
        completes="\n".join(f"    complete -c $__eidos_program {line}" for line in lines),
    )


def _fish_option(option: Option) -> str:
    parts = [f"-s {option.short}"] if option.short else []
    parts.append(f"-l {option.name}")
    if option.completion == "file":
        parts.append("-r -F")
    elif option.completion == "folder":
        parts.append("-x -a '(__fish_complete_directories)'")
    elif option.multiple and option.valid_values():
        listed = " ".join(option.valid_values())
        parts.append(f"-x -a '(__fish_complete_list , \"printf %s\\\\\\n {listed}\")'")
    elif option.valid_values():
        parts.append(f"-x -a '{' '.join(option.valid_values())}'")
    elif option.metavar is not None:
        parts.append("-x")
    return " ".join([*parts, f"-d {_fish_quoted(option.help)}"])


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _fill(template: str, **parts: str) -> str:
    """``template`` with the parts in place of its placeholders."""
    return fill_text("", parse_template(template), {"version": __version__, "programs": PROGRAMS, **parts})
