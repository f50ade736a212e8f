"""``eidos recipe``: what a node should be.

Knows the flags of the verb, which of them go with ``--server``, and its exit status; must not know how layers match or merge, nor how a
server is requested.
"""

from __future__ import annotations

import time

from eidos import log
from eidos.cli import document_locations
from eidos.cli.cluster_options import CLUSTER, OR_IN_CLUSTER
from eidos.cli.commands import FINDINGS
from eidos.cli.options import FORMAT, HELP, LOGGING, OUTPUT, Operand, Option, Verb, parse_path, parse_timeout
from eidos.cli.run_telemetry import METRICS_FILE, run_with_telemetry
from eidos.errors import EidosError, InvalidInput
from eidos.formats import serialize
from eidos.model.query import FIELDS, PURPOSE
from eidos.model.record import replace

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

LIST, LINT = "list", "lint"

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


#: The fields of a query.
QUERY_OPTIONS = (
    Option("os", "operating system: ubuntu, rhel, cos and others", "NAME"),
    Option("osv", "operating system version: 24.04", "VERSION"),
    Option("kernel", "kernel version: 6.8, 6.8.0-1028-aws", "VERSION"),
    Option("service", "where the cluster runs: eks, gke, aks, oke, self-managed", "NAME"),
    Option("k8s", "Kubernetes version: 1.33, v1.33.5-eks-3025e55", "VERSION"),
    Option("gpu", "GPU: h100, gb200, l40s and others", "NAME"),
    Option("intent", "intent: training, inference", "NAME"),
    Option("platform", "what runs the workloads: kubeflow, slurm, dynamo, nim, kueue, run-ai, none", "NAME"),
    Option("machine", "type of the node, which implies its GPU and service: p5.48xlarge", "NAME"),
)

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
        Option("strict", "exit 4 if the recipe is generic or a constraint does not hold"),
        Option(
            "data",
            "add recipes from a folder, or use one file instead of the built-in data",
            "PATH",
            convert=parse_path,
            completion="file",
        ),
        Option("today", "date for support that ends within 90 days [today; lint: of the data]", "DATE", convert=parse_date),
        Option("server", "query this server instead: https://eidos.example.com", "URL"),
        Option("fallback", "use the built-in data when the server does not respond"),
        Option("timeout", "time limit for the server or the cluster, including retries", "DURATION", None, "30s", parse_timeout),
        *CLUSTER,
        METRICS_FILE,
        replace(OUTPUT, help=OUTPUT.help + OR_IN_CLUSTER),
        FORMAT,
        *LOGGING,
        HELP,
    ),
    (Operand("action", "run another action", {LIST: "show what is covered", LINT: "check the data"}, required=False),),
    examples=(
        ("eidos recipe --gpu h100 --service eks --intent training", "for a query"),
        ("eidos recipe -f node.yaml --intent inference", "for the node of a snapshot"),
        ("eidos recipe --gpu gb200 --explain -t table", "show which layer set each value"),
        ("eidos recipe --gpu h100 --server https://eidos.example.com", "from a server"),
        ("eidos recipe list", "show what is covered"),
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
    """Write the recipe, the list of what is covered, or what lint found."""
    document_locations.check_writable(values["output"], values)
    action = values.get("action")
    if action:
        # Only flags count: a query in the environment or the configuration file is meant for recipes.
        flags = [flag for name in (*FIELDS, "file", "server", "fallback") if (flag := values.origins.get(name, "")).startswith("--")]
        if flags:
            raise InvalidInput(f"eidos recipe {action} does not take {', '.join(flags)}")
    if action == LINT:
        from eidos.cli.lint_report import lint_recipe_data

        return lint_recipe_data(values)
    return _list(values) if action == LIST else run_with_telemetry("recipe", values, _write_recipe)


def _list(values: Values) -> int:
    from eidos.recipe.coverage import covered

    tree = covered(open_store(values["data"]))
    fmt = document_locations.choose_format(values["format"], values["output"], "table")
    if fmt == "table":
        from eidos.cli.recipe_table import list_table

        text = document_locations.fit_table(values["output"], lambda width, colour: list_table(tree, width, colour))
    else:
        text = serialize(tree, fmt)
    document_locations.write_document(values["output"], text, values, "recipe")
    return 0


def _write_recipe(values: Values, telemetry: RunTelemetry) -> int:
    words = query_words(values)
    store = None
    if values["server"] is not None:
        client = _connect_server(values, words)
        snapshot, data = document_locations.read_snapshot(values["file"], values) if values["file"] is not None else (None, None)

        def build() -> Recipe:
            return _build(values, telemetry, open_store(values["data"]), snapshot)

        recipe, tree, source = _request_recipe(client, values, words, data, telemetry, build)
    else:
        store = open_store(values["data"])
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
    return _report_problems(recipe, words, snapshot, store or open_store(values["data"])) if values["strict"] else 0


def _report_constraints(recipe: Recipe, snapshot: Snapshot, location: str) -> None:
    """Log how many constraints hold for the node, and where to see which."""
    from eidos.recipe.detection import readings_by_path
    from eidos.recipe.recipe_warnings import constraint_tally
    from eidos.wording import count_of

    holding, broken, unknown = constraint_tally(recipe, readings_by_path(snapshot))
    total = count_of(len(recipe.constraints), "constraint")
    parts = [f"{holding} hold" + ("s" if holding == 1 else "")]
    parts += [f"{broken} {'does' if broken == 1 else 'do'} not hold"] if broken else []
    parts += [f"{unknown} could not be judged"] if unknown else []
    emit = log.warn if broken or unknown else log.info
    emit(f"{total} for this node: {', '.join(parts)}", hint=f"run 'eidos check -f {location}' to see which" if broken or unknown else None)


def _report_problems(recipe: Recipe, flags: dict[str, str], snapshot: Snapshot | None, store: Store) -> int:
    """Log what ``--strict`` objects to; the exit status."""
    from eidos.recipe.detection import readings_by_path
    from eidos.recipe.recipe_warnings import strict_problems

    facts = None if snapshot is None else readings_by_path(snapshot)
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
    if values["explain"]:
        raise InvalidInput(f"{origins['explain']} cannot be used with {origins['server']}", f"remove {origins['server']}")
    if values["data"] is not None and not values["fallback"]:
        raise InvalidInput(
            f"{origins['data']} cannot be used with {origins['server']}, which has its own data",
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


def open_store(data: str | None) -> Store:
    """The shipped recipe data, or that of ``--data``, whose lint issues are a warning."""
    from eidos.recipe import store

    if data is None:
        return store.shipped_store()
    opened = store.open_store(data)
    from eidos.recipe.lint import ERROR, lint_path

    faults = lint_path(data)
    if faults:
        from eidos.wording import count_of

        worst = next((fault for fault in faults if fault.severity == ERROR), faults[0])
        log.warn(
            f"--data {data}: lint found {count_of(len(faults), 'issue')}, the worst: {worst}",
            hint=f"run 'eidos recipe lint --data {data}' to see all",
        )
    return opened


def _build(values: Values, telemetry: RunTelemetry, store: Store, snapshot: Snapshot | None) -> Recipe:
    from eidos.workflow import make_recipe

    began = time.perf_counter()
    with telemetry.step("build"):
        query = store.catalog.parse_query(query_words(values), values.origins)
        recipe = make_recipe(
            query, snapshot=snapshot, store=store, explain=values["explain"], today=values["today"] or time.strftime("%Y-%m-%d")
        )
    telemetry.record_recipe(recipe, time.perf_counter() - began)
    return recipe


def query_words(values: Values) -> dict[str, str]:
    """The words of the query, by field."""
    return {field: values[field] for field in FIELDS if values[field] is not None}
