"""The command table.

Knows each verb by name; must not know what a verb does. Every start of the program imports this file, so it imports nothing.

To add a verb, write ``eidos/cli/<verb>.py`` with ``VERB`` (an :class:`~eidos.cli.options.Verb`) and ``run(values) -> int``, and add
its row to :data:`COMMANDS`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.archive.packs import SourceImporter
    from eidos.cli.options import Verb

    __loader__: SourceImporter

#: Verb → its module, and what it does in one line.
COMMANDS = {
    "snapshot": ("eidos.cli.snapshot", "record what this node is: OS, systemd, GPU, Kubernetes"),
    "recipe": ("eidos.cli.recipe", "recommend what a node should be: settings, limits, components"),
    "check": ("eidos.cli.check", "report what is wrong with a node, and what to do about it"),
    "watch": ("eidos.cli.watch", "judge this node again and again, and tell what changes"),
    "diff": ("eidos.cli.diff", "show what differs between two documents, or changed on a node"),
    "explain": ("eidos.cli.explain", "explain a check: what it looks for, why, and what to do"),
    "bundle": ("eidos.cli.bundle", "build deployment files from a recipe: values, manifests, scripts"),
    "fleet": ("eidos.cli.fleet", "find the nodes that differ from the others"),
    "verify": ("eidos.cli.verify", "check that a bundle is unchanged, and who signed it"),
    "sign": ("eidos.cli.sign", "sign a bundle with a key of OpenSSH, OpenPGP, openssl or cosign"),
    "evidence": ("eidos.cli.evidence", "pack snapshot, report and recipe of nodes for an auditor, signed"),
    "push": ("eidos.cli.push", "push a bundle or a document to an OCI registry"),
    "pull": ("eidos.cli.pull", "pull a bundle or a document from an OCI registry"),
    "mirror": ("eidos.cli.mirror", "list what a bundle needs in a closed network, and what a mirror lacks"),
    "image": ("eidos.cli.image", "build a container image of eidos, without a daemon"),
    "manifest": ("eidos.cli.manifest", "print Kubernetes manifests that run eidos in a cluster"),
    "serve": ("eidos.cli.serve", "serve recipes and bundles over HTTP"),
    "schema": ("eidos.cli.schema", "print the JSON Schema of a document"),
    "completion": ("eidos.cli.completion", "print a shell completion script"),
    "self-verify": ("eidos.cli.self_verify", "check that the file of eidos is the released one, and who signed it"),
    "licenses": ("eidos.cli.licenses", "print the licenses of eidos and of the packages in its file"),
    "version": ("eidos.cli.version", "print version, commit, Python and recipe data"),
    "help": ("eidos.cli.help", "explain eidos, a command, or a topic of the manual"),
}

#: Verbs that this file of the program was built without, and whom it was built for: "agents", "servers" or "" (everything is here).
LEFT_OUT: frozenset[str] = frozenset()
BUILT_FOR = ""
if hasattr(__loader__, "lacks"):  # an archive that runs from its source
    LEFT_OUT = frozenset(verb for verb, (module, _) in COMMANDS.items() if __loader__.lacks(module.replace(".", "/")))
    COMMANDS = {verb: row for verb, row in COMMANDS.items() if verb not in LEFT_OUT}
    BUILT_FOR = "agents" if "serve" in LEFT_OUT else "servers" if LEFT_OUT else ""

#: Flags that stand for a verb.
VERB_FLAGS = {"--version": "version", "-V": "version", "--help": "help", "-h": "help"}


def load_verb_module(verb: str) -> Any:
    """The module of a verb."""
    return __import__(COMMANDS[verb][0], fromlist=["VERB"])


def load_verbs() -> list[Verb]:
    """All verbs; this imports all their modules."""
    return [load_verb_module(name).VERB for name in COMMANDS]
