"""``eidos recipe``: what a node should be.

Knows the flags of the verb and the exit status for what it found; must not know how layers match or merge.
"""

from __future__ import annotations

import time

from eidos import log
from eidos.cli import document_locations, telemetry_choice
from eidos.cli.cluster_options import CLUSTER, OR_KEPT
from eidos.cli.options import FORMAT, HELP, LOGGING, OUTPUT, Operand, Option, Verb, duration, path
from eidos.errors import InvalidData, InvalidInput
from eidos.model.query import FIELDS
from eidos.model.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.cli.options import Values
    from eidos.cli.telemetry_choice import Watch
    from eidos.model.recipe import Recipe
    from eidos.model.snapshot import Snapshot
    from eidos.recipe.store import Store

#: Nothing specific matched, and that was asked for; or lint found an error.
FINDINGS = 4

LIST, LINT = "list", "lint"

VERB = Verb(
    "recipe",
    (
        "Say what a node should be: readings, constraints and components, from layers of public knowledge that match a query.",
        (
            "The query is said with flags, or read from a snapshot with --file; a flag wins over what the snapshot says. Without either "
            "it is the base: what holds for every GPU node."
        ),
    ),
    (
        Option(
            "file",
            "a snapshot to take the query from; - is standard input" + OR_KEPT,
            "FILE",
            "f",
            convert=path,
            completes="file",
        ),
        Option("os", "operating system: ubuntu, rhel, cos and others", "NAME"),
        Option("osv", "its version: 24.04", "VERSION"),
        Option("kernel", "kernel version: 6.8, 6.8.0-1028-aws", "VERSION"),
        Option("service", "where the cluster runs: eks, gke, aks, oke, self-managed", "NAME"),
        Option("k8s", "Kubernetes version: 1.33, v1.33.5-eks-3025e55", "VERSION"),
        Option("gpu", "GPU: h100, gb200, l40s and others", "NAME"),
        Option("intent", "what for: training, inference", "NAME"),
        Option("context", "with each value the sentence that says why"),
        Option("explain", "with each value the layer that set it, and what it replaced"),
        Option("strict", "exit 4 when nothing specific to the asked GPU or service matched"),
        Option(
            "data",
            "a folder of recipes to lay over the shipped ones, or one file to take in place of them",
            "PATH",
            convert=path,
            completes="file",
        ),
        Option("server", "ask this server instead of the built-in data: https://eidos.example.com", "URL"),
        Option("fallback", "when the server does not answer, take the built-in data; the recipe says so"),
        Option("timeout", "how long the server, or the cluster, may take, with all attempts", "DURATION", None, "30s", duration),
        *CLUSTER,
        telemetry_choice.METRICS_FILE,
        replace(OUTPUT, help=OUTPUT.help + OR_KEPT),
        FORMAT,
        *LOGGING,
        HELP,
    ),
    (Operand("action", "what else to do", {LIST: "show what is covered", LINT: "check the data"}, required=False),),
    examples=(
        ("eidos recipe --gpu h100 --service eks --intent training", "for a query"),
        ("eidos recipe -f node.yaml --intent inference", "for the node that a snapshot describes"),
        ("eidos recipe --gpu gb200 --explain -t table", "which layer set what, for people"),
        ("eidos recipe --gpu h100 --server https://eidos.example.com", "as a server knows it"),
        ("eidos recipe list", "what is covered"),
        ("eidos recipe lint --data my-recipes", "check recipes of your own"),
    ),
    notes=(
        (
            "A server that is in trouble is asked again, at most three times and as late as it asks for. With --fallback "
            "the metadata of a recipe that is none of the server's hold recipe-source: built-in."
        ),
        (
            "Exit status: 0 written, 1 the server did not answer with a recipe, 2 wrong usage or input that is no snapshot or no recipe "
            "data, 4 nothing specific matched (--strict) or lint found an error, 124 the server took longer than --timeout."
        ),
    ),
)


def run(values: Values) -> int:
    """Write the recipe, the list of what is covered, or what lint found."""
    document_locations.check(values["output"], values)
    action = values.get("action")
    if action:
        # What the environment or the configuration file says is meant for recipes, and stands in nobody's way here.
        said = [flag for name in (*FIELDS, "file", "server", "fallback") if (flag := values.where.get(name, "")).startswith("--")]
        if said:
            raise InvalidInput(f"eidos recipe {action} takes no query, and {', '.join(said)} {'are' if len(said) > 1 else 'is'} given")
    if action == LINT:
        from eidos.cli.recipe_lint import run_lint

        return run_lint(values)
    return _list(values) if action == LIST else telemetry_choice.run("recipe", values, _run)


def _list(values: Values) -> int:
    from eidos.recipe.coverage import covered

    tree = covered(open_store(values["data"]))
    fmt = document_locations.format_for(values["format"], values["output"], "table")
    if fmt == "table":
        from eidos.cli.recipe_table import list_table

        text = list_table(tree, document_locations.width(values["output"]))
    else:
        text = emit(fmt, tree)
    document_locations.write(values["output"], text, values, "recipe")
    return 0


def _run(values: Values, watching: Watch) -> int:
    if values["server"] is not None:
        from eidos.cli.recipe_server import ask

        recipe, tree, source = ask(values, watching, lambda: _make(values, watching))
    else:
        recipe, tree, source = _make(values, watching), None, ""
    for sentence in recipe.warnings:
        log.warn(sentence)
    fmt = document_locations.format_for(values["format"], values["output"])
    with watching.step("serialise"):
        if fmt == "table":
            from eidos.cli.recipe_table import recipe_table

            width = document_locations.width(values["output"])
            text = recipe_table(recipe, width, explain=values["explain"], context=values["context"], source=source)
        else:
            text = emit(fmt, recipe.to_tree(context=values["context"]) if tree is None else tree)
    document_locations.write(values["output"], text, values, "recipe")
    if recipe.uncovered and values["strict"]:
        log.error(f"--strict: nothing specific to the asked {' and '.join(recipe.uncovered)} matched")
        return FINDINGS
    return 0


def open_store(data: str | None) -> Store:
    """The shipped knowledge, or that of ``--data``, whose faults of judgement are warnings."""
    from eidos.recipe import store

    if data is None:
        return store.shipped_store()
    opened = store.open_store(data)
    from eidos.recipe.lint import ERROR, lint_path

    faults = lint_path(data)
    if faults:
        worst = next((fault for fault in faults if fault.severity == ERROR), faults[0])
        log.warn(
            f"--data {data}: lint finds {len(faults)} fault{'s' if len(faults) > 1 else ''} in it, among them: {worst}",
            hint=f"'eidos recipe lint --data {data}' shows them",
        )
    return opened


def emit(fmt: str, tree: Any) -> str:
    """``tree`` as ``yaml`` or ``json``."""
    from eidos import formats

    return formats.to_json(tree) if fmt == "json" else formats.to_yaml(tree)


def _make(values: Values, watching: Watch) -> Recipe:
    from eidos.workflow import make_recipe

    store = open_store(values["data"])
    snapshot = read_snapshot(values["file"], values)[0] if values["file"] is not None else None
    began = time.perf_counter()
    with watching.step("build"):
        query = store.catalog.parse_query(query_words(values), values.where)
        recipe = make_recipe(query, snapshot=snapshot, store=store, explain=values["explain"])
    watching.recipe(recipe, time.perf_counter() - began)
    return recipe


def query_words(values: Values) -> dict[str, str]:
    """The words of the query by field, as they were given."""
    return {field: values[field] for field in FIELDS if values[field] is not None}


def read_snapshot(place: str, values: Values | None = None) -> tuple[Snapshot, bytes]:
    """The snapshot in a file, on standard input or in a cluster, and its bytes; raises an EidosError that says what is there instead."""
    from eidos import formats
    from eidos.cli.document_locations import read
    from eidos.model.snapshot import Snapshot

    name = "standard input" if place == "-" else place
    data = read(place, values=values)
    tree = formats.from_text(data, name)
    if tree is None:
        raise InvalidData(f"{name} is empty", hint="'eidos snapshot -o node.yaml' writes a snapshot")
    return Snapshot.from_tree(tree, name), data
