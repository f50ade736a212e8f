"""``eidos recipe``: what a node should be.

Knows the flags of the verb, which of them go with ``--server``, and its exit status; must not know how layers match or merge, nor how a
server is requested.
"""

from __future__ import annotations

import time

from eidos import log
from eidos.cli import document_locations
from eidos.cli.cluster_options import CLUSTER, OR_IN_CLUSTER
from eidos.cli.exit_status import FINDINGS
from eidos.cli.options import FORMAT, FORMATS, HELP, LOGGING, OUTPUT, PLUGIN, Operand, Option, Verb, parse_path, parse_timeout
from eidos.cli.recipe_query import QUERY_OPTIONS, open_store, query_words
from eidos.cli.run_telemetry import METRICS_FILE, run_with_telemetry
from eidos.errors import EidosError, InvalidInput
from eidos.formats import serialize
from eidos.model.query import FIELDS, PURPOSE
from eidos.model.record import replace
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from eidos.cli.options import Values
    from eidos.cli.run_telemetry import RunTelemetry
    from eidos.model.recipe import Recipe
    from eidos.model.snapshot import Snapshot
    from eidos.recipe.store import Store
    from eidos.server_client import ServerClient

LIST, LINT, EXPLAIN, NEW = "list", "lint", "explain", "new"

#: The format that only the matrix has.
MARKDOWN = "markdown"

#: Flag → the actions that take it (None: writing a recipe); what is not here goes with all of them.
FLAGS_OF_ACTIONS: dict[str, tuple[str | None, ...]] = {
    **dict.fromkeys(FIELDS, (None, EXPLAIN, NEW)),
    **dict.fromkeys(("file", "with"), (None, EXPLAIN)),
    **dict.fromkeys(("context", "explain", "strict", "server", "fallback"), (None,)),
    **dict.fromkeys(("matrix", "changes-since"), (LIST,)),
    "today": (None, LINT),
}

#: The field of the metadata that names a recipe's source when that is not the server, and its value then.
SOURCE, BUILT_IN = "recipe-source", "built-in"


def parse_date(value: str) -> str:
    """A day in the form of the data, in which days can be compared; InvalidInput for one that does not exist.

    >>> parse_date("2026-1-5")
    '2026-01-05'
    """
    import time

    try:
        return time.strftime("%Y-%m-%d", time.strptime(value, "%Y-%m-%d"))
    except ValueError:
        raise InvalidInput(f"invalid date {value!r}", "write a date like 2026-11-29") from None


VERB = Verb(
    "recipe",
    (
        "Recommend settings, limits and components for a node, merged from layers of public knowledge that match a query.",
        (
            "The query comes from flags, or from a snapshot with --file; a flag wins over the snapshot. Without either, the recipe is "
            "the base, which holds for every GPU node."
        ),
    ),
    (
        replace(PLUGIN, help="add recipe data of this folder, which you trust; repeatable"),
        Option(
            "file",
            "read the query from a snapshot, - for standard input" + OR_IN_CLUSTER,
            "FILE",
            "f",
            convert=parse_path,
            completion="file",
        ),
        *QUERY_OPTIONS,
        Option("context", "add the reason for each value"),
        Option("explain", "show which layer set each value, and what it replaced"),
        Option(
            "with", "add these components and what they need; 'eidos recipe list' names those that no recipe has", "NAMES", multiple=True
        ),
        Option("matrix", "with list: show for which GPU on which service there is advice of its own"),
        Option("changes-since", "with list: show which recipes have changed since this version of eidos, and what in them", "VERSION"),
        Option("strict", "exit 4 if the recipe is generic or a constraint does not hold"),
        Option(
            "data",
            "add recipes from a folder or cm://NAMESPACE/NAME; repeat it to stack several; one file replaces the built-in data",
            "PATH",
            convert=parse_path,
            multiple=True,
            split_commas=False,
            completion="file",
        ),
        Option(
            "today",
            "report support that ends within 90 days of this date (default today; with lint, the date of the data)",
            "DATE",
            convert=parse_date,
        ),
        Option("server", "query this server instead: https://eidos.example.com", "URL"),
        Option("fallback", "use the built-in data when the server does not respond"),
        Option(
            "timeout", "give up on the server or the cluster after this time, including retries", "DURATION", None, "30s", parse_timeout
        ),
        *CLUSTER,
        METRICS_FILE,
        replace(OUTPUT, help=OUTPUT.help + OR_IN_CLUSTER),
        replace(FORMAT, choices={**FORMATS, MARKDOWN: "for documents, with list --matrix"}),
        *LOGGING,
        HELP,
    ),
    (
        Operand(
            "action",
            "run another action",
            {
                LIST: "show what is covered",
                LINT: "check the data",
                EXPLAIN: "show the history of one value",
                NEW: "write a layer to fill in",
            },
            required=False,
        ),
        Operand("path", "with explain, the path of a value: GPU.smi.driver, components.gpu-operator", required=False),
    ),
    examples=(
        ("eidos recipe --gpu h100 --service eks --intent training", "for a query"),
        ("eidos recipe -f node.yaml --intent inference", "for the node of a snapshot"),
        ("eidos recipe --gpu gb200 --explain -t table", "show which layer set each value"),
        ("eidos recipe --gpu h100 --server https://eidos.example.com", "from a server"),
        ("eidos recipe explain GPU.smi.driver --gpu h100", "show which layers set one value, and why"),
        ("eidos recipe list", "show what is covered"),
        ("eidos recipe list --matrix", "show where there is advice of its own"),
        ("eidos recipe new --gpu h100 --service eks -o mine.yaml", "write a layer to fill in"),
        ("eidos recipe lint --data my-recipes", "check your own recipes"),
    ),
    notes=(
        (
            "A request to a server is retried up to three times, after the delay it asks for (Retry-After). With --fallback, a recipe "
            "from the built-in data has recipe-source: built-in in its metadata."
        ),
        (
            "Exit status: 0 written; 1 the server did not return a recipe; 2 wrong usage or an invalid snapshot or recipe data; "
            "4 with --strict, the recipe is generic (its list 'generic' is not empty), the service has no nodes with that system, or a "
            "constraint does not hold for the snapshot or cannot be judged; lint found an error; 124 the server took longer than --timeout."
        ),
    ),
)


def run(values: Values) -> int:
    """Write the recipe, or what another action asks for."""
    document_locations.check_writable(values["output"], values)
    action = values.get("action")
    _check_flags(values, action)
    if action == LINT:
        from eidos.cli.lint_report import lint_recipe_data

        return lint_recipe_data(values)
    if action is None:
        return run_with_telemetry("recipe", values, _write_recipe)
    from eidos.cli import recipe_actions

    store = open_store(values["data"], values)
    if action == LIST:
        return recipe_actions.write_list(values, store)
    if action == NEW:
        return recipe_actions.write_layer(values, store, query_words(values))
    snapshot = document_locations.read_snapshot(values["file"], values)[0] if values["file"] is not None else None
    return recipe_actions.write_history(values, _make(values, store, snapshot, explain=True))


def _check_flags(values: Values, action: str | None) -> None:
    """Raise InvalidInput for flags, and for an operand, that the action does not take.

    Only flags count: a query in the environment or the configuration file is meant for recipes.
    """
    refused = [name for name, actions in FLAGS_OF_ACTIONS.items() if action not in actions]
    flags = [flag for name in refused if (flag := values.origins.get(name, "")).startswith("--")]
    if flags:
        verb = f"eidos recipe {action}" if action else "eidos recipe without an action"
        hint = next((f"use it with 'eidos recipe {first}'" for name in refused for first in FLAGS_OF_ACTIONS[name] if first), None)
        raise InvalidInput(f"{verb} does not take {', '.join(flags)}", None if action else hint)
    if action == EXPLAIN and values.get("path") is None:
        raise InvalidInput(
            "eidos recipe explain needs a path", "name a value of the recipe, such as GPU.smi.driver or components.gpu-operator"
        )
    if action != EXPLAIN and values.get("path") is not None:
        raise InvalidInput(f"eidos recipe {action}: unexpected argument {values['path']!r}", "run 'eidos recipe --help' for its arguments")


def _write_recipe(values: Values, telemetry: RunTelemetry) -> int:
    words = query_words(values)
    store = None
    if values["server"] is not None:
        client = _connect_server(values, words)
        snapshot, data = document_locations.read_snapshot(values["file"], values) if values["file"] is not None else (None, None)

        def build() -> Recipe:
            return _build(values, telemetry, open_store(values["data"], values), snapshot)

        recipe, tree, source = _request_recipe(client, values, words, data, telemetry, build)
    else:
        store = open_store(values["data"], values)
        snapshot = document_locations.read_snapshot(values["file"], values)[0] if values["file"] is not None else None
        recipe, tree, source = _build(values, telemetry, store, snapshot), None, ""
    for sentence in recipe.warnings:
        log.warn(sentence)
    if tree is not None and not source and recipe.generic:
        log.warn(f"the server's recipe is generic: no layer is made for the requested {' and '.join(recipe.generic)}")
    if tree is not None and not source:
        for sentence in recipe.impossible:
            log.warn(f"no such node is possible: {sentence}")
    fmt = document_locations.choose_format(values["format"], values["output"])
    if fmt == MARKDOWN:
        from eidos.cli.recipe_actions import check_format

        check_format(fmt)
    with telemetry.step("serialise"):
        if fmt == "table":
            from eidos.cli.recipe_table import recipe_table

            shown = {"explain": values["explain"], "context": values["context"], "source": source}
            text = document_locations.fit_table(values["output"], lambda width, colour: recipe_table(recipe, width, colour=colour, **shown))
        else:
            text = serialize(recipe.to_tree(context=values["context"]) if tree is None else tree, fmt)
    document_locations.write_document(values["output"], text, values, "recipe")
    if snapshot is not None:
        _report_constraints(recipe, snapshot, values["file"])
    # A server does not send its catalog: the one here has the systems of services, too.
    return _report_problems(recipe, words, snapshot, store or open_store(values["data"], values)) if values["strict"] else 0


def _report_constraints(recipe: Recipe, snapshot: Snapshot, location: str) -> None:
    """Log how many constraints hold for the node, and where to see which."""
    from eidos.recipe.recipe_warnings import constraint_tally
    from eidos.wording import count_of

    holding, broken, unknown = constraint_tally(recipe, snapshot.readings())
    total = count_of(len(recipe.constraints), "constraint")
    parts = [f"{holding} hold" + ("s" if holding == 1 else "")]
    parts += [f"{broken} {'does' if broken == 1 else 'do'} not hold"] if broken else []
    parts += [f"{unknown} could not be judged"] if unknown else []
    emit = log.warn if broken or unknown else log.info
    emit(f"{total} for this node: {', '.join(parts)}", hint=f"run 'eidos check -f {location}' to see which" if broken or unknown else None)


def _report_problems(recipe: Recipe, flags: dict[str, str], snapshot: Snapshot | None, store: Store) -> int:
    """Log what ``--strict`` objects to; the exit status."""
    from eidos.recipe.recipe_warnings import strict_problems

    facts = None if snapshot is None else snapshot.readings()
    problems = list(strict_problems(recipe, flags, facts, store))
    for problem in problems:
        log.error(f"--strict: {problem}")
    return FINDINGS if problems else 0


def _request_recipe(
    client: ServerClient,
    values: Values,
    query: dict[str, str],
    snapshot: bytes | None,
    telemetry: RunTelemetry,
    build: Callable[[], Recipe],
) -> tuple[Recipe, dict[str, Any], str]:
    """The server's recipe and its document as received; with ``--fallback`` that of ``build`` when the server fails.

    ``snapshot`` are the bytes of the one to send. The third value is the source in the document: empty when it is the server. Raises what
    :meth:`eidos.server_client.ServerClient.recipe` raises.
    """
    from eidos.model.recipe import Recipe
    from eidos.server_client import SERVER_FAILURES

    try:
        with telemetry.step("request") as step:
            tree = client.recipe(
                query,
                snapshot=snapshot,
                context=values["context"],
                deadline=time.monotonic() + values["timeout"],
                headers=telemetry.trace_headers(step),
            )
    except EidosError as fault:
        if not values["fallback"] or not isinstance(fault, SERVER_FAILURES):
            raise
        log.warn(f"{fault.message}; using the built-in data", hint=fault.hint)
        recipe = build()
        tree = recipe.to_tree(context=values["context"])
        tree["metadata"][SOURCE] = BUILT_IN
        return recipe, tree, BUILT_IN
    return Recipe.from_tree(tree, client.origin), tree, ""


def _connect_server(values: Values, query: dict[str, str]) -> ServerClient:
    """The client of the server; raises InvalidInput for options that do not go with ``--server``."""
    from eidos.server_client import ServerClient

    origins = values.origins
    if values["with"]:
        raise InvalidInput(f"{origins['with']} cannot be used with {origins['server']}", f"remove {origins['server']}")
    if values["explain"]:
        raise InvalidInput(f"{origins['explain']} cannot be used with {origins['server']}", f"remove {origins['server']}")
    if (values["data"] or values["plugin"]) and not values["fallback"]:
        raise InvalidInput(
            f"{origins['data' if values['data'] else 'plugin']} cannot be used with {origins['server']}, which has its own data",
            f"remove {origins['server']}, or add --fallback",
        )
    if values["file"] is not None:
        others = [origins[field] for field in query if field not in PURPOSE]
        if others:
            allowed = " and ".join(f"--{field}" for field in PURPOSE)
            message = f"{', '.join(others)} cannot be combined with a snapshot on a server; only {allowed} can"
            raise InvalidInput(message, f"remove that, or {origins['file']}, or {origins['server']}")
    try:
        return ServerClient(values["server"])
    except InvalidInput as fault:
        from eidos.cli.user_config import invalid_value

        raise invalid_value(fault, origins["server"], (values["server"],)) from None


def _build(values: Values, telemetry: RunTelemetry, store: Store, snapshot: Snapshot | None) -> Recipe:
    began = time.perf_counter()
    with telemetry.step("build"):
        recipe = _make(values, store, snapshot, explain=values["explain"], today=values["today"] or time.strftime("%Y-%m-%d"))
    telemetry.record_recipe(recipe, time.perf_counter() - began)
    return recipe


def _make(values: Values, store: Store, snapshot: Snapshot | None, *, explain: bool, today: str = "") -> Recipe:
    """The recipe for the query of the flags, or of the snapshot, and the components of ``--with``."""
    from eidos.workflow import make_recipe

    query = store.catalog.parse_query(query_words(values), values.origins)
    for id in values["with"] or ():
        if id not in store.charts:
            raise InvalidInput(
                f"{values.origins['with']}: unknown component {id!r}", did_you_mean(id, store.charts, "run 'eidos recipe list'")
            )
    components = values["with"] or ()
    return make_recipe(query, snapshot=snapshot, store=store, explain=explain, today=today, components=components)
