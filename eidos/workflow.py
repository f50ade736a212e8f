"""What the program does, one function a verb: the command line and the server both call these.

Knows the order of steps and what becomes of a failure; must not know flags, exit statuses, HTTP, or any particular source.
"""

from __future__ import annotations

import os
import time

from eidos import __version__, collectors, log
from eidos.collectors import ANY_CLUSTER, UNITS, ClusterChoice, Sources, is_cluster_wide, turn
from eidos.errors import EidosError, InvalidInput, NotApplicable, Outdated, Timeout, Unavailable
from eidos.host import Host
from eidos.host.name import node_name, said_name
from eidos.isolation import Child
from eidos.model.measurement import (
    ABSENT,
    FAILED,
    OK,
    PARTIAL,
    SECRET,
    SKIPPED,
    TYPES,
    UNREADABLE,
    VOLATILE,
    Gap,
    Measurement,
    Outcome,
    Subtype,
)
from eidos.model.snapshot import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any, Callable

    from eidos.collectors import Collect
    from eidos.isolation import Frame
    from eidos.model.bundle import Bundle
    from eidos.model.chart import Chart
    from eidos.model.recipe import Recipe
    from eidos.pool import Future
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

    >>> def nothing(sources):
    ...     yield Subtype("kmod", {"nvidia": True})
    >>> shot = take_snapshot(select=["os.kmod"], collector=lambda name: nothing)
    >>> [(m.type, [s.name for s in m.subtypes]) for m in shot.measurements], shot.collectors[0].outcome
    ([('OS', ['kmod'])], 'ok')
    """
    if not timeout > 0:
        raise InvalidInput(f"a timeout of {timeout:g} s leaves no time for anything")
    began = time.time()
    deadline = time.monotonic() + timeout
    host = host or Host()
    chosen = tuple(collectors.names() if select is None else select)
    sources = Sources(host, tuple(units), volatile, deadline, environ, cluster)
    nobody = bool(chosen) and all(map(is_cluster_wide, chosen))
    # Another root may be on a file server that is gone, so a child looks there; forked before any thread, like the collectors.
    namer = None if nobody or host.root == "/" else Child(lambda: [node_name(host, environ)])
    if namer:
        namer.start()
    try:
        results: dict[str, Result] = {name: (Outcome(name, SKIPPED, 0.0, why), ()) for name, why in (needless or {}).items()}
        left = tuple(name for name in chosen if name not in results)
        results.update(_collect(left, sources, collector, fail_fast, workers, [namer] if namer else []))
        node = said_name(environ) if nobody else _name(namer, deadline) if namer else node_name(host, environ)
    finally:
        if namer:
            namer.close()
    _log_missing(results[name][0] for name in chosen)
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
    said: Mapping[str, str] | None = None,
    *,
    snapshot: Snapshot | None = None,
    store: Store | None = None,
    called: Mapping[str, str] | None = None,
    explain: bool = False,
) -> Recipe:
    """Say what a node should be, for a query, a snapshot, or both.

    ``said`` maps fields of the query (os, osv, kernel, service, k8s, gpu, intent) to words or versions and wins over what is
    detected in ``snapshot``; ``store`` defaults to the shipped knowledge (``recipe.store.open_store`` reads others); ``called``
    gives the name of a field in messages; ``explain`` adds which layer said what. Raises InvalidInput for a word that the catalog
    does not know or a version that does not parse, and InvalidData when the knowledge contradicts itself.

    >>> make_recipe({"gpu": "H100", "intent": "training"}).request.to_tree()
    {'gpu': 'h100', 'intent': 'training'}
    """
    from eidos.model.record import replace
    from eidos.recipe.detect import detect
    from eidos.recipe.resolve import resolve
    from eidos.recipe.store import shipped

    store = store or shipped()
    asked = store.catalog.query(said or {}, called)
    if snapshot is None:
        return resolve(asked, store, explain=explain)
    found = detect(snapshot, store.catalog, asked)
    recipe = resolve(replace(found.query, **asked.said()), store, unknown=found.unknown, explain=explain)
    return replace(recipe, warnings=(*found.warnings, *recipe.warnings))


def make_bundle(
    recipe: Recipe,
    *,
    bundlers: Sequence[str] | None = None,
    parallel: bool = True,
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
    both before. ``proceed`` is called before each component, and may raise. The same arguments give the same bytes, in parallel or not.

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
    if parallel and len(job.components) > 1:
        from eidos.pool import ThreadPoolExecutor

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


Result = tuple[Outcome, tuple[Subtype, ...]]


def _collect(
    chosen: tuple[str, ...],
    sources: Sources,
    collector: Callable[[str], Collect],
    fail_fast: bool,
    workers: int,
    others: Sequence[Child],
) -> dict[str, Result]:
    """Run the collectors, at most ``workers`` at a time, until all are done or the deadline has passed."""
    children: dict[str, Child] = {}
    results: dict[str, Result] = {}

    def keep(result: Result) -> None:
        outcome = result[0]
        results[outcome.name] = result
        if outcome.outcome in (OK, PARTIAL):
            _log(outcome)
        if fail_fast and outcome.outcome == FAILED:
            raise EidosError(f"{outcome.name}: {outcome.reason}", outcome.hint or "without --fail-fast the rest is still written")

    done: dict[str, Result] = {}

    def supervise(name: str) -> Result:
        result = done[name] = _supervise(name, children[name], sources)
        return result

    try:
        for name in sorted(chosen, key=turn):
            try:
                children[name] = Child(_producer(name, sources, collector), [*others, *children.values()])
            except Unavailable as fault:
                keep((Outcome(name, FAILED, 0.0, fault.message, fault.hint), ()))
            else:
                if len(children) <= workers:
                    children[name].start()
        # Only now: it takes longer to import than most collectors take to finish.
        from eidos.pool import ThreadPoolExecutor, as_completed

        with ThreadPoolExecutor(max_workers=workers) as pool:
            try:
                waiting: list[Future[Result]] = []
                try:
                    waiting.extend(pool.submit(supervise, name) for name in children)
                except RuntimeError as fault:  # the system has no thread left
                    log.debug(f"collectors are waited for one after the other: {fault}")
                    for child in children.values():  # none waits for the slowest of those before it
                        child.start()
                for future in as_completed(waiting):
                    keep(future.result())
            except BaseException:
                for child in children.values():
                    child.kill()
                raise
        # The pool may have done one whose submission failed.
        for name in children:
            if name not in results:
                keep(done.get(name) or supervise(name))
    finally:
        for child in children.values():
            child.close()
    return results


def _producer(name: str, sources: Sources, collector: Callable[[str], Collect]) -> Callable[[], Iterator[Frame]]:
    """The child's side of one collector: every part, and how it ended, as frames of plain values."""

    def produce() -> Iterator[Frame]:
        lines: list[Frame] = []
        log.divert(lambda level, message, fields: lines.append(("log", level, message, _texts(fields))))
        began = time.monotonic()
        end: Frame = ("end", OK, None, None, None)
        try:
            for part in collector(name)(sources):
                yield from lines
                lines.clear()
                if isinstance(part, Gap):
                    yield ("gap", part.kind, part.what, part.why)
                else:
                    yield ("subtype", part.name, part.data, part.context)
        except NotApplicable as why:
            end = ("end", SKIPPED, why.reason, why.hint, None)
        except EidosError as fault:
            end = ("end", FAILED, fault.message, fault.hint, fault.age if isinstance(fault, Outdated) else None)
        except Exception as fault:  # a collector's own mistake costs its outcome, not the document
            import traceback

            from eidos.model.secrets import withhold_text

            place = traceback.extract_tb(fault.__traceback__)[-1]
            where = f"{os.path.basename(place.filename)}:{place.lineno}"
            end = (
                "end",
                FAILED,
                f"internal error at {where}: {type(fault).__name__}: {withhold_text(str(fault))[0]}",
                "please report this as a fault of eidos",
                None,
            )
            for line in traceback.format_exc().splitlines():
                log.debug(line)
        yield from lines
        yield ("time", (time.monotonic() - began) * 1000)
        yield end

    return produce


def _texts(fields: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in fields.items() if value is not None}


def _supervise(name: str, child: Child, sources: Sources) -> Result:
    """The parent's side of one collector: what it yielded, and what became of it."""
    found: dict[str, Subtype] = {}
    gaps: list[Gap] = []
    began = time.monotonic()
    late = began >= sources.deadline and not child.is_started
    outcome, reason, hint = FAILED, "no answer", None
    milliseconds = stale = None
    try:
        for frame in child.frames(sources.deadline):
            assert isinstance(frame, tuple)
            kind, *rest = frame
            if kind == "subtype":
                part = Subtype(*rest)
                before = found.get(part.name)
                found[part.name] = (
                    part if before is None else Subtype(part.name, {**before.data, **part.data}, {**before.context, **part.context})
                )
            elif kind == "gap":
                gaps.append(Gap(*rest))
            elif kind == "log":
                log.emit(rest[0], rest[1], {"collector": name, **rest[2]})
            elif kind == "time":
                milliseconds = rest[0]
            else:
                outcome, reason, hint, stale = rest
    except Timeout:
        reason = "the deadline passed before its turn came" if late else "no answer before the deadline"
        hint = "give it more time with --timeout, or leave it out with --skip"
    except EidosError as fault:
        reason, hint = fault.message, fault.hint
    finally:
        child.close()
    if milliseconds is None:
        milliseconds = (time.monotonic() - began) * 1000
    subtypes = tuple(subtype for subtype in found.values() if sources.volatile or not subtype.name.endswith(VOLATILE))
    unreadable, absent = ({gap.what: gap.why for gap in gaps if gap.kind == kind} for kind in (UNREADABLE, ABSENT))
    if (outcome == OK and unreadable) or (outcome == FAILED and (subtypes or stale is not None)):
        outcome = PARTIAL
    withheld = sum(gap.kind == SECRET for gap in gaps)
    return Outcome(name, outcome, round(milliseconds, 1), reason, hint, unreadable, absent, withheld, stale), subtypes


def _measurements(chosen: tuple[str, ...], results: dict[str, Result]) -> tuple[Measurement, ...]:
    """One measurement for each type that was looked at, in the order of TYPES, whether or not something was found."""
    return tuple(
        Measurement(wire, tuple(subtype for name in chosen if name.partition(".")[0] == key for subtype in results[name][1]))
        for key, wire in TYPES.items()
        if any(name.partition(".")[0] == key for name in chosen)
    )


def _log_missing(outcomes: Iterable[Outcome]) -> None:
    """Say once what is missing for one and the same reason: a cluster that is down costs all that would ask it."""
    same: dict[tuple[str, str | None, str | None], list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.outcome in (SKIPPED, FAILED):
            same.setdefault((outcome.outcome, outcome.reason, outcome.hint), []).append(outcome)
    for group in same.values():
        _log(*group)


def _log(*outcomes: Outcome) -> None:
    first, names = outcomes[0], ", ".join(outcome.name for outcome in outcomes)
    # A skip that somebody could do something about is worth a warning: a GPU host without its driver.
    say = {OK: log.debug, PARTIAL: log.info, SKIPPED: log.warn if first.hint else log.info, FAILED: log.warn}[first.outcome]
    say(
        f"{names}: {first.outcome}" + (f": {first.reason}" if first.reason else ""),
        collector=names,
        duration_ms=max(outcome.milliseconds for outcome in outcomes),
        unreadable=len(first.unreadable) or None,
        hint=first.hint,
    )
