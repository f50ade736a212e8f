"""``eidos completion``: the script with which a shell completes eidos.

Knows the verb; must not know how a shell completes: ``completion_scripts`` does.
"""

from __future__ import annotations

from eidos.cli import completion_scripts, document_locations
from eidos.cli.options import FLAG_OUTPUT, HELP, LOGGING, Operand, Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values

SCRIPTS = {"bash": completion_scripts.bash, "zsh": completion_scripts.zsh, "fish": completion_scripts.fish}

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
    document_locations.write_document(values["output"], SCRIPTS[values["shell"]](load_verbs()))
    return 0
