"""``eidos fleet --check``, ``--from`` and ``--against``: nodes are judged, saved snapshots compared, a golden node is the measure.

Knows the flags, and where recipes and snapshots come from; must not know any check, nor how nodes are reached or compared.
"""

from __future__ import annotations

import os

from eidos.cli import document_locations
from eidos.cli.cluster_options import OR_IN_CLUSTER
from eidos.cli.options import Option, parse_path
from eidos.cli.recipe_query import QUERY_OPTIONS, open_store
from eidos.errors import EidosError, InvalidInput, NotFound, Unavailable, os_error_reason
from eidos.model.finding import FAIL, SEVERITIES, UNKNOWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from eidos.cli.options import Values
    from eidos.fleet.findings import FleetFindings
    from eidos.fleet.results import JudgeNode, NodeAnswer
    from eidos.model.recipe import Recipe
    from eidos.model.snapshot import Snapshot

NEVER = "never"

_FAIL_ON = {**{severity: f"a finding that is {severity} or worse" for severity in SEVERITIES}, NEVER: "no finding"}
_EXTENSIONS = (".yaml", ".yml", ".json")

#: The query; --gpu says how the Jobs reach the GPUs, and that of a node is detected.
_QUERY = tuple(option for option in QUERY_OPTIONS if option.name != "gpu")

CHECK_OPTIONS: tuple[Option, ...] = (
    Option("from", "compare the snapshots in this folder; no node is read", "DIR", None, None, parse_path, completion="folder"),
    Option(
        "against",
        "compare with this snapshot of a golden node, or judge by this recipe" + OR_IN_CLUSTER,
        "FILE",
        convert=parse_path,
        completion="file",
    ),
    Option("check", "judge each node, too: what is wrong, and on which nodes"),
    Option("recipe", "judge by this recipe instead of the detected one", "FILE", "r", None, parse_path, completion="file"),
    *_QUERY,
    Option(
        *("data", "add recipes and checks from a folder or cm://NAMESPACE/NAME; repeat it to stack several", "PATH"),
        convert=parse_path,
        multiple=True,
        split_commas=False,
        completion="file",
    ),
    Option("waivers", "read accepted findings from a file", "FILE", convert=parse_path, completion="file"),
    Option("fail-on", "with --check: exit 4 from this severity on", "SEVERITY", None, "error", choices=_FAIL_ON),
    Option("allow-unknown", "with --check: exit 0 although something could not be judged"),
)


class FleetMeasure:
    """What the nodes of a run are held against: ``judge`` is None without --check, ``golden`` without a golden node."""

    def __init__(self, values: Values) -> None:
        """Read the recipe or the golden snapshot. Raises InvalidInput for flags that exclude each other, and what reading raises."""
        self.golden: Snapshot | None = None
        self.golden_name = values["against"] or ""
        recipe: Recipe | None = None
        if values["recipe"] is not None:
            recipe = document_locations.read_recipe(values["recipe"], values)
        if values["against"] is not None:
            document = _read_measure(values["against"], values)
            if hasattr(document, "request"):
                if recipe is not None:
                    raise InvalidInput("--against and --recipe both name a recipe", "remove one of the two")
                recipe = document
            else:
                self.golden = document
        self._check_flags(values, recipe)
        self.judge: JudgeNode | None = _make_judge(values, recipe) if values["check"] or recipe is not None else None
        if self.judge is not None:
            values["check"] = True

    @staticmethod
    def _check_flags(values: Values, recipe: Recipe | None) -> None:
        query = [flag for option in _QUERY if (flag := values.origins.get(option.name, "")).startswith("--")]
        if recipe is not None and query:
            raise InvalidInput(f"a recipe cannot be used with {', '.join(query)}", "remove one of the two")
        if recipe is None and not values["check"]:
            others = [
                flag for name in ("data", "waivers", "fail-on", "allow-unknown") if (flag := values.origins.get(name, "")).startswith("--")
            ]
            if query or others:
                raise InvalidInput(f"{', '.join([*query, *others])} needs --check", "add --check")


def _read_measure(location: str, values: Values) -> Any:
    """The snapshot or the recipe at a location."""
    from eidos.formats import from_text
    from eidos.model.recipe import KIND, Recipe
    from eidos.model.snapshot import Snapshot

    expected = "a snapshot or a recipe"
    data = document_locations.read_document(location, missing_hint=f"name {expected}", values=values, expected=expected)
    tree = from_text(data, location)
    if isinstance(tree, dict) and tree.get("kind") == KIND:
        return Recipe.from_tree(tree, location)
    return Snapshot.from_tree(tree, location)


def _make_judge(values: Values, recipe: Recipe | None) -> JudgeNode:
    """What judges a node; recipes, checks and waivers are read once."""
    from eidos.check.judge import CheckOptions, read_check_data
    from eidos.check.waivers import read_waivers
    from eidos.formats import from_text
    from eidos.workflow import check_node

    store = open_store(values["data"], values)
    words = {option.name: values[option.name] for option in _QUERY if values[option.name] is not None}
    query = None if recipe else store.catalog.parse_query(words, values.origins)
    waivers: Any = ()
    if values["waivers"] is not None:
        location = values["waivers"]
        waivers = read_waivers(from_text(document_locations.read_document(location, values=values), location), location)
    data, options = read_check_data(store.check_data), CheckOptions(waivers=waivers)
    return lambda snapshot: check_node(snapshot, recipe, query=query, store=store, options=options, data=data)


def saved_snapshots(folder: str) -> tuple[list[str], Generator[tuple[str, NodeAnswer], None, None]]:
    """The files of snapshots in a folder, and what they hold, one at a time. Raises NotFound when there is none."""
    files = snapshot_files(folder, f"--from: {folder}")
    return files, _read_saved(folder, files)


def snapshot_files(folder: str, shown: str) -> list[str]:
    """The names of the files of nodes in a folder, in natural order; ``shown`` begins each message.

    Raises NotFound when there is no such folder or no such file in it, Unavailable when it cannot be listed.
    """
    from eidos.fleet.results import CLUSTER, SUMMARY
    from eidos.model.snapshot import natural_key

    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError) as fault:
        raise NotFound(f"{shown}: no such folder", "name a folder of snapshots, such as one that 'eidos fleet' wrote") from fault
    except OSError as fault:
        raise Unavailable(f"{shown}: {os_error_reason(fault)}") from fault
    own = {f"{name}{extension}" for name in (SUMMARY, CLUSTER) for extension in _EXTENSIONS}
    files = sorted((name for name in names if name.endswith(_EXTENSIONS) and name[:1] != "." and name not in own), key=natural_key)
    if not files:
        raise NotFound(f"{shown}: no snapshots in this folder", "name a folder of files that end in .yaml or .json")
    return files


def saved_cluster(folder: str, faults: list[tuple[str, EidosError]]) -> Snapshot | None:
    """The readings of the cluster that 'eidos fleet --kubernetes' wrote into a folder, if it did.

    Why they cannot be read is added to ``faults``: the nodes are judged all the same.
    """
    try:
        cluster = read_saved_cluster(folder)
        return cluster and cluster[0]
    except EidosError as fault:
        faults.append(("nodes are judged without the cluster: ", fault))
        return None


def read_saved_cluster(folder: str) -> tuple[Snapshot, bytes] | None:
    """The same and its bytes. Raises what reading them raises."""
    from eidos.fleet.results import CLUSTER

    name = f"{CLUSTER}.yaml"
    if not os.path.lexists(os.path.join(folder, name)):
        return None
    return document_locations.read_listed_snapshot(folder, name, "run 'eidos fleet --kubernetes' again")


def _read_saved(folder: str, files: list[str]) -> Generator[tuple[str, NodeAnswer], None, None]:
    """Node and snapshot of each file; a node of which there are several is called by its file."""
    from eidos.fleet.summary import NoAnswer

    known: set[str] = set()
    for name in files:
        stem = os.path.splitext(name)[0]
        answer: NodeAnswer
        try:
            answer = document_locations.read_listed_snapshot(folder, name)[0]
            node = answer.node or stem
        except EidosError as fault:
            answer, node = NoAnswer(fault.message, fault.hint), stem
        if node in known:
            node = stem if stem not in known else name
        known.add(node)
        yield node, answer


def is_failed(findings: FleetFindings, values: Values) -> bool:
    """Whether something fails at or above --fail-on."""
    return values["fail-on"] != NEVER and _has(findings, FAIL, values["fail-on"])


def is_unknown(findings: FleetFindings, values: Values) -> bool:
    """Whether something at or above --fail-on could not be judged."""
    if values["fail-on"] == NEVER or values["allow-unknown"]:
        return False
    return bool(findings.not_judged) or _has(findings, UNKNOWN, values["fail-on"])


def _has(findings: FleetFindings, status: str, severity: str) -> bool:
    limit = SEVERITIES.index(severity)
    return any(f.example.status == status and SEVERITIES.index(f.example.severity) <= limit for f in findings.findings)
