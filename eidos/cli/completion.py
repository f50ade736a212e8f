"""``eidos completion``: the script with which a shell completes eidos.

Knows the verb; must not know how a shell completes: ``completion_scripts`` does.
"""

from __future__ import annotations

from eidos.cli import completion_scripts, document_locations
from eidos.cli.options import FLAG_OUTPUT, HELP, LOGGING, Operand, Verb
from eidos.model.query import NAMES, VERSIONS
from eidos.model.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Option, Values

SCRIPTS = {"bash": completion_scripts.bash, "zsh": completion_scripts.zsh, "fish": completion_scripts.fish}

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


def run(values: Values) -> int:
    """Write the script for one shell."""
    from eidos.cli.commands import load_verbs

    document_locations.check_writable(values["output"])
    verbs = [replace(verb, options=tuple(_with_values(verb.name, option) for option in verb.options)) for verb in load_verbs()]
    document_locations.write_document(values["output"], SCRIPTS[values["shell"]](verbs))
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
