"""What the program does, one function a verb: called by the command line, by the server, and as the public API of :mod:`eidos`.

Knows the order of steps and what a failure costs; must not know flags, exit statuses, HTTP, or any particular source.
"""

from __future__ import annotations

import os
import sys
import time

from eidos import __version__, collectors, log
from eidos.collectors import DEFAULT_CLUSTER, DEFAULT_UNITS, ClusterSelection, Sources, is_cluster_wide
from eidos.errors import EidosError, InvalidInput, NotFound
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from eidos.bundle.bundle_options import BundleOptions
    from eidos.bundle.engine import BundleBuild
    from eidos.bundle.verification import BundleProblem
    from eidos.check.judge import CheckData, CheckOptions
    from eidos.collector_runner import Result
    from eidos.collectors import CollectFunction
    from eidos.model.bundle import Bundle
    from eidos.model.bundle_plan import BundlePlan
    from eidos.model.chart import Chart
    from eidos.model.check_report import CheckReport
    from eidos.model.diff import Diff
    from eidos.model.measurement import Measurement, Subtype
    from eidos.model.query import Query
    from eidos.model.recipe import Recipe
    from eidos.model.snapshot import Snapshot
    from eidos.process.child import Child
    from eidos.recipe.store import Store

    ChartData = tuple[dict[str, Chart], Callable[[str], object]]


class SnapshotOptions(Record):
    """What :func:`take_snapshot` reads, and how long that may take.

    ``root`` is the folder at which the host's files are mounted (default: the running system); ``collectors`` are names (default: all);
    ``units`` are full names of systemd units; ``volatile`` adds readings that change on their own; ``timeout_s`` is in seconds, for all
    collectors together; ``fail_fast`` raises the first failure and stops the rest; ``cluster`` selects a Kubernetes cluster (default: the
    one that kubectl would use, or a pod's own); ``inapplicable`` are collectors that are known to find nothing, each with the reason;
    ``reveal`` are names of values to show although they may be secrets; with ``digest_key``, outcomes have digests of withheld values;
    ``smi`` is what ``nvidia-smi -q -x`` (or ``-q``) printed on the host, or the line it printed instead: the GPUs are read from that.
    With ``known_absent`` the root has a part of a host's files: but for these paths, what is missing there is not known.
    """

    root: str = "/"
    collectors: tuple[str, ...] | None = None
    units: tuple[str, ...] = DEFAULT_UNITS
    volatile: bool = False
    timeout_s: float = 10.0
    fail_fast: bool = False
    cluster: ClusterSelection = DEFAULT_CLUSTER
    inapplicable: Mapping[str, str] = {}
    reveal: tuple[str, ...] = ()
    digest_key: bytes = b""
    smi: bytes = b""
    known_absent: frozenset[str] | None = None


def take_snapshot(
    options: SnapshotOptions | None = None,
    *,
    load_collector: Callable[[str], CollectFunction] | None = None,
    environ: Mapping[str, str] | None = None,
    known: Mapping[str, Result] = {},
    meanwhile: Callable[[], object] = lambda: None,
) -> Snapshot:
    """Read a host: a snapshot with the readings of each collector, and its outcome.

    A collector that fails or exceeds the deadline costs its own readings only, and the outcome says why. ``load_collector`` gives the
    function of a collector by name; ``environ`` are the variables that name the node and the cluster (default: those of this process). If
    only cluster-wide collectors are selected, the snapshot has no node unless the environment names one. ``known`` are results, by name,
    of collectors that need not run again. ``meanwhile`` is called once while collectors run; it must not start a thread.

    Collectors run in forked children, so call this while no other thread runs (see :mod:`eidos.process.child`). Raises InvalidInput for
    a timeout that is not positive, NotFound for a ``root`` that does not exist, and with ``fail_fast`` an EidosError for the first failure.

    >>> snapshot = take_snapshot(SnapshotOptions(collectors=("os.kmod",), timeout_s=30.0))
    >>> [measurement.type for measurement in snapshot.measurements], [outcome.name for outcome in snapshot.collectors]
    (['OS'], ['os.kmod'])
    """
    from eidos import collector_runner
    from eidos.files.host import Host
    from eidos.files.node_name import find_node_name, node_name_from_environment, node_names
    from eidos.model.measurement import SKIPPED, Outcome
    from eidos.model.snapshot import Snapshot
    from eidos.process.child import Child

    options = options or SnapshotOptions()
    environ, load_collector = os.environ if environ is None else environ, load_collector or collectors.load_collector
    if not options.timeout_s > 0:
        raise InvalidInput(f"invalid timeout {options.timeout_s:g} s: must be positive")
    began, deadline = time.time(), time.monotonic() + options.timeout_s
    host = Host(options.root, options.known_absent)
    if options.root and not options.root.strip("/") and sys.platform == "linux":
        here = Host("/.")  # whose root it is is asked of any name but /, when it is opened, which may block
        host = here if here.is_container_root else host
    names = tuple(collectors.list_collectors() if options.collectors is None else options.collectors)
    sources = Sources(
        host, tuple(options.units), options.volatile, deadline, environ, options.cluster, options.reveal, options.digest_key, options.smi
    )
    is_any_node = bool(names) and all(map(is_cluster_wide, names))
    # Another root may be on a file server that is gone, so a child looks there.
    namers = [] if is_any_node or host.root == "/" else [Child(lambda: node_names(host, environ))]
    try:
        results: dict[str, Result] = {name: (Outcome(name, SKIPPED, 0.0, why), ()) for name, why in options.inapplicable.items()}
        results.update((name, result) for name, result in known.items() if name in names)
        collector_runner.log_outcomes(outcome for outcome, _ in results.values())
        to_run = tuple(name for name in names if name not in results)
        results.update(collector_runner.run_collectors(to_run, sources, load_collector, options.fail_fast, namers, meanwhile=meanwhile))
        if is_any_node:
            node = node_name_from_environment(environ)
        else:
            node = _receive_name(namers[0], host.root, deadline) if namers else find_node_name(host, environ)
    finally:
        for namer in namers:
            namer.close()
    timestamp, outcomes = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)), tuple(results[name][0] for name in names)
    return Snapshot(timestamp, __version__, node, _measurements(names, results), outcomes)


def _receive_name(child: Child, root: str, deadline: float) -> str:
    try:
        names = list(child.frames(deadline))
    except EidosError as fault:
        log.warn(f"unknown node name: {fault.message}")
        return ""
    if not names:
        raise NotFound(f"{root}: no such folder", "name the folder where the host's file system is mounted")
    return str(names[0])


def _measurements(names: tuple[str, ...], results: dict[str, Result]) -> tuple[Measurement, ...]:
    """One measurement for each type that a collector looked at, in the order of TYPES, empty ones included, as a document has them."""
    from eidos.model.measurement import TYPES, Measurement
    from eidos.model.snapshot import natural_key

    by_key: dict[str, list[Subtype]] = {name.partition(".")[0]: [] for name in names}
    for name in names:
        by_key[name.partition(".")[0]] += results[name][1]
    return tuple(
        Measurement(wire, tuple(sorted(by_key[key], key=lambda subtype: natural_key(subtype.name))))
        for key, wire in TYPES.items()
        if key in by_key
    )


def parse_snapshot(document: bytes | str, name: str = "snapshot") -> Snapshot:
    """The snapshot in a YAML or JSON document, ours or the Go program's; ``name`` stands for the document in messages.

    Raises InvalidData with the place, what is expected there and what is there instead.

    >>> parse_snapshot("{measurements: [{type: GPU, subtypes: [{subtype: smi, data: {gpu-count: 8}}]}]}").measurements[0].type
    'GPU'
    """
    from eidos.formats import from_text
    from eidos.model.snapshot import Snapshot

    return Snapshot.from_tree(from_text(document, name), name)


def make_recipe(
    query: Query | Mapping[str, str] | None = None,
    *,
    snapshot: Snapshot | None = None,
    store: Store | None = None,
    explain: bool = False,
    today: str = "",
    components: Iterable[str] = (),
) -> Recipe:
    """Build the recipe for a query, for the node that a snapshot describes, or for both.

    ``query`` maps fields (os, osv, kernel, service, k8s, gpu, intent, platform, machine) to words of the catalog or to versions, or is a
    :class:`Query` that the catalog parsed; a field of it wins over what ``snapshot`` shows. ``store`` holds the recipe data (default: the
    built-in data; :func:`open_store` reads others); ``explain`` fills the history, which layer set what; ``components`` are ids of
    components to have besides. With ``today``, such as 2026-11-29, there are warnings of what gets no fixes 90 days later, and of upgrades
    that need steps between. Raises InvalidInput for a word that the catalog does not have, a version that does not parse or a field that
    contradicts the machine, and InvalidData when the data contradicts itself.

    >>> recipe = make_recipe({"gpu": "H100", "intent": "training"})
    >>> recipe.request.to_tree(), [component.id for component in recipe.components][:2]
    ({'gpu': 'h100', 'intent': 'training'}, ['cert-manager', 'kube-prometheus-stack'])
    """
    from eidos.model.query import Query
    from eidos.model.record import replace
    from eidos.recipe.resolver import resolve
    from eidos.recipe.store import shipped_store

    store = store or shipped_store()
    if not isinstance(query, Query):
        query = store.catalog.parse_query(query or {})
    facts: dict[str, str] = {}
    if snapshot is None:
        recipe = resolve(query, store, explain=explain, extra=components)
    else:
        recipe, facts = _recipe_of_node(query, snapshot, store, explain, components)
    if today:
        from eidos.recipe.life_cycles import life_cycle_warnings

        recipe = replace(recipe, warnings=(*recipe.warnings, *life_cycle_warnings(recipe, facts, store, today)))
    return recipe


def _recipe_of_node(
    query: Query, snapshot: Snapshot, store: Store, explain: bool, components: Iterable[str]
) -> tuple[Recipe, dict[str, str]]:
    """The recipe for the node of a snapshot, and its readings by path."""
    from eidos.model.record import replace
    from eidos.recipe.detection import detect
    from eidos.recipe.recipe_warnings import driver_warnings, second_driver
    from eidos.recipe.resolver import resolve

    detected = detect(snapshot, store.catalog, query)
    recipe = resolve(replace(detected.query, **query.fields()), store, unknown=detected.unknown, explain=explain, extra=components)
    facts = snapshot.readings()
    drivers = (*driver_warnings(facts, store), *second_driver(facts, recipe.components))
    return replace(recipe, warnings=(*detected.warnings, *recipe.warnings, *drivers)), facts


def parse_recipe(document: bytes | str, name: str = "recipe") -> Recipe:
    """The recipe in a YAML or JSON document; ``name`` stands for the document in messages.

    Raises InvalidData with the place, what is expected there and what is there instead.

    >>> parse_recipe("{measurements: [{type: K8s, subtypes: [{subtype: image, data: {gpu-operator: v25.10.1}}]}]}").measurements[0].type
    'K8s'
    """
    from eidos.formats import from_text
    from eidos.model.recipe import Recipe

    return Recipe.from_tree(from_text(document, name), name)


def check_node(
    snapshot: Snapshot,
    recipe: Recipe | None = None,
    *,
    query: Query | Mapping[str, str] | None = None,
    store: Store | None = None,
    options: CheckOptions | None = None,
    data: CheckData | None = None,
    without_recipe: bool = False,
    before_finding: Callable[[], object] = lambda: None,
) -> CheckReport:
    """Judge a node by a recipe and by expert checks: what is wrong with it, why that matters, and what mends it.

    Without ``recipe`` it is the one for what the snapshot shows and ``query`` says (see :func:`make_recipe`), or with ``without_recipe``
    there is none, and checks alone judge; ``store`` holds the data of recipes and checks (default: the built-in data), ``data`` its checks
    if they were read already; ``before_finding`` is called before each path of the recipe and each check, and may raise. The
    report is ordered, worst first. Raises InvalidInput when both ``recipe`` and ``query`` are there, and what :func:`make_recipe` raises.

    >>> snapshot = parse_snapshot("{measurements: [{type: OS, subtypes: [{subtype: kmod, data: {nouveau: true, nvidia: true}}]}]}")
    >>> [finding.id for finding in check_node(snapshot).findings if finding.status == "fail" and finding.severity == "error"]
    ['nouveau-loaded']
    """
    from eidos.check.judge import CheckOptions, judge, read_check_data
    from eidos.model.query import Query
    from eidos.recipe.detection import detect
    from eidos.recipe.store import shipped_store

    store, options = store or shipped_store(), options or CheckOptions()
    if recipe is None and without_recipe:
        known = detect(snapshot, store.catalog, store.catalog.parse_query({})).query
    elif recipe is None:
        recipe = make_recipe(query, snapshot=snapshot, store=store, explain=True)
        known = recipe.request
    elif query:
        raise InvalidInput("a recipe and a query cannot be used together", "leave out one of the two")
    else:
        detected = detect(snapshot, store.catalog, recipe.request).query
        known = Query(**{**detected.fields(), **recipe.request.fields()})
    return judge(snapshot, recipe, known, data or read_check_data(store.check_data), options, before_finding, store.plugins)


def compare(
    old: Snapshot | Recipe | CheckReport | Bundle,
    new: Snapshot | Recipe | CheckReport | Bundle,
    *,
    include: Iterable[str] = (),
    names: tuple[str, str] = ("", ""),
) -> Diff:
    """What differs between two documents of one kind, by meaning, and the patch that makes the one mean what the other means.

    Order, timestamps and durations make no difference. What identifies a node (``identity``), where a node or a device is (``location``)
    and what changes on its own (``volatile``) counts when ``include`` names it. A reading that one side could not read, and a value that
    is withheld, is neither equal nor different. ``names`` are what messages call the two. Raises InvalidInput for two kinds of documents.

    >>> old, new = (
    ...     parse_snapshot(f"{{measurements: [{{type: GPU, subtypes: [{{subtype: smi, data: {{driver: {driver}}}}}]}}]}}")
    ...     for driver in ("580.82.07", "580.126.20")
    ... )
    >>> compare(old, new).sentence
    'driver 580.82.07 → 580.126.20'
    """
    from eidos.diff.documents import compare_documents
    from eidos.reading_selection import shipped_selection

    return compare_documents(old, new, shipped_selection(tuple(include)), names)


def make_bundle(
    recipe: Recipe,
    options: BundleOptions | None = None,
    *,
    chart_data: ChartData | None = None,
    before_component: Callable[[], object] | None = None,
) -> Bundle:
    """The files that deploy a recipe, in memory; :func:`write_bundle` and :func:`pack_bundle` write them.

    A component that fails costs its own files only, and the bundle says why; with ``fail_fast`` its error is raised. ``chart_data`` are the
    charts and what is known of their values, if they are loaded already; ``before_component`` is called before each component, and may
    raise. The same arguments give the same bytes. Raises InvalidInput for options that cannot be, and InvalidData for a recipe that lacks
    what its components need.

    >>> from eidos.bundle.bundle_options import BundleOptions
    >>> bundle = make_bundle(make_recipe({"gpu": "h100"}), BundleOptions(components=("cert-manager",)))
    >>> [component.id for component in bundle.components], "cert-manager/values.yaml" in bundle.files
    (['cert-manager'], True)
    """
    began = time.perf_counter()
    build = _prepare_bundle(recipe, options, chart_data, before_component, False)
    log.info("building a bundle", components=len(build.components))
    bundle = build.assemble(build.make_components(), began)
    log.info("built a bundle", files=len(bundle.files), bytes=bundle.bytes, duration_ms=bundle.milliseconds)
    return bundle


def plan_bundle(recipe: Recipe, options: BundleOptions | None = None, *, chart_data: ChartData | None = None) -> BundlePlan:
    """What the bundle of a recipe would install, in which order, with which rights, and what that interrupts.

    Arguments are those of :func:`make_bundle`. Raises what that does, but not for what cannot be installed over what runs: it is refused.

    >>> [(component.id, component.rights.cluster_roles) for component in plan_bundle(make_recipe({"gpu": "h100"})).components][:1]
    [('cert-manager', 13)]
    """
    from eidos.bundle.plan_builder import build_plan

    steps = (build := _prepare_bundle(recipe, options, chart_data, None, True)).make_components()
    return build_plan(build, steps, build.assemble(steps, time.perf_counter()))


def _prepare_bundle(
    recipe: Recipe, options: BundleOptions | None, chart_data: ChartData | None, before: Callable[[], object] | None, allow_refused: bool
) -> BundleBuild:
    from eidos.bundle.bundle_options import BundleOptions
    from eidos.bundle.engine import prepare_bundle
    from eidos.recipe.charts import load_charts

    options = options or BundleOptions()
    return prepare_bundle(recipe, options, *(chart_data or load_charts(options.data, options.plugins)), before, allow_refused=allow_refused)


def verify_bundle(path: str) -> tuple[BundleProblem, ...]:
    """Check that the bundle at ``path``, a folder or an archive, is unchanged: a problem for each difference, none when it is.

    Every file must be listed in its checksums and match, and no file may be added, removed, renamed, linked or have another mode.
    Nothing is unpacked or written. Raises NotFound when there is nothing at ``path``.
    """
    from eidos.bundle import verification

    return verification.verify_bundle(path)


def read_bundle(path: str) -> Bundle:
    """The bundle in a folder, a tar.gz or a zip archive, to compare it, without the blobs of images, which have their digests for names.

    Nothing is unpacked or written, no link is followed, and sizes are bounded. Raises NotFound, InvalidInput or Unavailable for a path that
    cannot be read, IntegrityError for what is no bundle.
    """
    from eidos.bundle.bundle_reader import read_files
    from eidos.model.bundle import Bundle

    return Bundle(read_files(path), ())


def write_bundle(bundle: Bundle, folder: str, *, force: bool = False) -> None:
    """Write a bundle into ``folder``, completely or not at all.

    Raises InvalidInput when the folder holds other files, unless ``force`` is set; then only files of an earlier bundle are replaced.
    Raises Unavailable when the folder cannot be written.
    """
    from eidos.bundle import folder_writer

    folder_writer.write_folder(folder, bundle.files, bundle.blobs, force=force)


def pack_bundle(bundle: Bundle) -> bytes:
    """The bundle as a tar.gz archive, in memory; the same bundle gives the same bytes."""
    from eidos.bundle.tar_archive import tar_gz_pieces

    return b"".join(tar_gz_pieces(bundle.files, bundle.blobs))
