"""What the program does, one function a verb: the command line and the server both call these.

Knows the order of steps and what becomes of a failure; must not know flags, exit statuses, HTTP, or any particular source.
"""

from __future__ import annotations

import os
import sys
import time

from eidos import __version__, collectors, log
from eidos.collectors import ANY_CLUSTER, UNITS, ClusterChoice, Sources, is_cluster_wide
from eidos.errors import EidosError, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Callable

    from eidos.collector_runner import Result
    from eidos.collectors import Collect
    from eidos.files.host import Host
    from eidos.model.bundle import Bundle
    from eidos.model.chart import Chart
    from eidos.model.measurement import Measurement
    from eidos.model.query import Query
    from eidos.model.recipe import Recipe
    from eidos.model.snapshot import Snapshot
    from eidos.process.child import Child
    from eidos.recipe.store import Store

#: Collectors that run at the same time.
WORKERS = 5


def take_snapshot(
    host: Host | None = None,
    *,
    select: Sequence[str] | None = None,
    units: Sequence[str] = UNITS,
    volatile: bool = False,
    timeout: float = 10.0,
    fail_fast: bool = False,
    collector: Callable[[str], Collect] = collectors.load,
    workers: int = WORKERS,
    environ: Mapping[str, str] = os.environ,
    cluster: ClusterChoice = ANY_CLUSTER,
    needless: Mapping[str, str] | None = None,
) -> Snapshot:
    """Read a host and say what it is; best effort, each collector's outcome included.

    ``host`` defaults to the running system; ``select`` names the collectors (default: all); ``timeout`` is in seconds, for all
    of them together; ``collector`` gives the function for a name, so a caller can put its own in place of any; ``cluster`` says
    which cluster is meant; ``needless`` are collectors of which it is known that they are skipped, and why. With ``fail_fast``
    the first failure is raised as an EidosError and the rest is stopped. When only what is the whole cluster's is read, the
    document is no node's unless the environment names one. Raises InvalidInput for a timeout that is not positive. Call it from
    a program without other threads: each collector is a forked child (see ``isolation``).

    >>> from eidos.model.measurement import Subtype
    >>> def nothing(sources):
    ...     yield Subtype("kmod", {"nvidia": True})
    >>> shot = take_snapshot(select=["os.kmod"], collector=lambda name: nothing)
    >>> [(m.type, [s.name for s in m.subtypes]) for m in shot.measurements], shot.collectors[0].outcome
    ([('OS', ['kmod'])], 'ok')
    """
    from eidos import collector_runner
    from eidos.files.host import Host
    from eidos.files.node_name import find_node_name, node_name_from_environment
    from eidos.model.measurement import SKIPPED, Outcome
    from eidos.model.snapshot import Snapshot
    from eidos.process.child import Child

    if not timeout > 0:
        raise InvalidInput(f"a timeout of {timeout:g} s leaves no time for anything")
    began = time.time()
    deadline = time.monotonic() + timeout
    host = host or Host()
    chosen = tuple(collectors.names() if select is None else select)
    sources = Sources(host, tuple(units), volatile, deadline, environ, cluster)
    nobody = bool(chosen) and all(map(is_cluster_wide, chosen))
    # Another root may be on a file server that is gone, so a child looks there; forked before any thread, like the collectors.
    namer = None if nobody or host.root == "/" else Child(lambda: [find_node_name(host, environ)])
    if namer:
        namer.start()
    try:
        results: dict[str, Result] = {name: (Outcome(name, SKIPPED, 0.0, why), ()) for name, why in (needless or {}).items()}
        collector_runner.log_together(outcome for outcome, _ in results.values())
        left = tuple(name for name in chosen if name not in results)
        results.update(collector_runner.collect(left, sources, collector, fail_fast, workers, [namer] if namer else []))
        node = node_name_from_environment(environ) if nobody else _name(namer, deadline) if namer else find_node_name(host, environ)
    finally:
        if namer:
            namer.close()
    return Snapshot(
        timestamp=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        version=__version__,
        node=node,
        measurements=_measurements(chosen, results),
        collectors=tuple(results[name][0] for name in chosen),
    )


def _name(child: Child, deadline: float) -> str:
    try:
        return "".join(str(name) for name in child.frames(deadline))
    except EidosError as fault:
        log.warn(f"the node's name is not known: {fault.message}")
        return ""


def make_recipe(
    query: Query | Mapping[str, str] | None = None,
    *,
    snapshot: Snapshot | None = None,
    store: Store | None = None,
    explain: bool = False,
) -> Recipe:
    """Say what a node should be, for a query, a snapshot, or both.

    ``query`` is what the store's catalog parsed, or maps fields (os, osv, kernel, service, k8s, gpu, intent) to words or versions; it
    wins over what is detected in ``snapshot``. ``store`` defaults to the shipped knowledge (``recipe.store.open_store`` reads others);
    ``explain`` adds which layer set what. Raises InvalidInput for a word that the catalog does not have or a version that does not
    parse, and InvalidData when the knowledge contradicts itself.

    >>> make_recipe({"gpu": "H100", "intent": "training"}).request.to_tree()
    {'gpu': 'h100', 'intent': 'training'}
    """
    from eidos.model.query import Query
    from eidos.model.record import replace
    from eidos.recipe.detection import detect
    from eidos.recipe.resolver import resolve
    from eidos.recipe.store import shipped_store

    store = store or shipped_store()
    if not isinstance(query, Query):
        query = store.catalog.parse_query(query or {})
    if snapshot is None:
        return resolve(query, store, explain=explain)
    detected = detect(snapshot, store.catalog, query)
    recipe = resolve(replace(detected.query, **query.fields()), store, unknown=detected.unknown, explain=explain)
    return replace(recipe, warnings=(*detected.warnings, *recipe.warnings))


def make_bundle(
    recipe: Recipe,
    *,
    bundlers: Sequence[str] | None = None,
    parallel: bool | None = None,
    fail_fast: bool = False,
    namespace: str | Mapping[str, str] | None = None,
    sets: Sequence[str] = (),
    values: Mapping[str, Mapping[str, Any]] | Sequence[tuple[str, Any, str]] = (),
    registry: str | None = None,
    accelerated_node_selector: Mapping[str, str] | None = None,
    accelerated_tolerations: Sequence[str] = (),
    system_node_selector: Mapping[str, str] | None = None,
    system_tolerations: Sequence[str] = (),
    templates: str | None = None,
    data: str | None = None,
    known: tuple[dict[str, Chart], Callable[[str], object]] | None = None,
    proceed: Callable[[], object] | None = None,
) -> Bundle:
    """Make the files that deploy what a recipe says, in memory; ``bundle.writer`` and ``bundle.archive`` write them.

    ``bundlers`` are the components to make, with what they depend on (default: all of the recipe). What goes wrong with one component
    is in the result, and the others are made; with ``fail_fast`` it is raised. ``namespace`` is one for all, or by component; ``sets``
    are ``component:path=value``, ``values`` trees by component (or triples of component, tree and what to call it); ``registry`` is a
    mirror; tolerations are written ``key=value:effect``. ``templates`` is a folder laid over the shipped templates, ``data`` one of
    recipes, whose ``components.yaml`` adds entries and whose ``values/`` adds what is known of charts; ``known`` is what was read of
    both before. ``proceed`` is called before each component, and may raise. With ``parallel`` components are made at the same time, by
    default where the interpreter has threads that do run so: where they take turns (the GIL), they and the import of a pool make a
    bundle of five components a fifth slower. The same arguments give the same bytes either way.

    Raises InvalidInput for what cannot be asked, and InvalidData for a recipe that lacks what its components need.

    >>> bundle = make_bundle(make_recipe({"gpu": "h100"}), bundlers=["cert-manager"])
    >>> [made.id for made in bundle.components], "cert-manager/values.yaml" in bundle.files
    (['cert-manager'], True)
    """
    from eidos.bundle import engine
    from eidos.recipe.charts import charts_and_knowledge

    began = time.perf_counter()
    options = engine.options(
        sets=sets,
        values=values,
        namespace=namespace,
        registry=registry,
        accelerated_node_selector=accelerated_node_selector,
        accelerated_tolerations=accelerated_tolerations,
        system_node_selector=system_node_selector,
        system_tolerations=system_tolerations,
    )
    charts, knowledge = known or charts_and_knowledge(data)
    job = engine.prepare(recipe, charts, knowledge, bundlers, options, templates, proceed)
    log.info("making a bundle", components=len(job.components))
    if parallel is None:
        parallel = not getattr(sys, "_is_gil_enabled", lambda: True)()  # from Python 3.13 on
    if parallel and len(job.components) > 1:
        from eidos.process.thread_pool import ThreadPoolExecutor

        with ThreadPoolExecutor(max_workers=WORKERS) as pool:
            tasks = [pool.submit(job.make, component, fail_fast) for component in job.components]
            try:
                parts = [task.result() for task in tasks]
            except BaseException:
                for task in tasks:
                    task.cancel()
                raise
    else:
        parts = [job.make(component, fail_fast) for component in job.components]
    bundle = job.whole(parts, began)
    log.info("made a bundle", files=len(bundle.files), bytes=bundle.bytes, duration_ms=bundle.milliseconds)
    return bundle


def _measurements(chosen: tuple[str, ...], results: dict[str, Result]) -> tuple[Measurement, ...]:
    """One measurement for each type that was looked at, in the order of TYPES, whether or not something was found."""
    from eidos.model.measurement import TYPES, Measurement

    return tuple(
        Measurement(wire, tuple(subtype for name in chosen if name.partition(".")[0] == key for subtype in results[name][1]))
        for key, wire in TYPES.items()
        if any(name.partition(".")[0] == key for name in chosen)
    )
