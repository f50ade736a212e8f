"""Every recipe of the grid before the real charts: ``python -m tests.chart_grid CHARTS`` prints a table.

CHARTS is a folder of unpacked charts with their dependencies, as ``<component>/<version>/Chart.yaml``. The grid is each system and release,
service, GPU and intent of the catalog, each platform, and each component that no recipe has, with and without a mirror. Distinct values of
a component are rendered once. Of each: the chart has every value, helm renders it, the images are those that the bundle lists, no more and
no fewer, and with a mirror all come from it. It needs helm, and takes some minutes.
"""

from __future__ import annotations

import functools
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from eidos.bundle.bundle_options import BundleOptions
from eidos.bundle.engine import BundleBuild, prepare_bundle
from eidos.bundle.image_list import image_documents, images_of_manifests
from eidos.errors import EidosError, InvalidData
from eidos.model.query import Query
from eidos.model.recipe import Recipe
from eidos.model.record import Record
from eidos.model.values_schema import ValuesSchema
from eidos.recipe.charts import load_charts
from eidos.recipe.resolver import resolve
from eidos.recipe.store import Store, shipped_store
from tests import chart_data
from tests.support.bundle_files import load_documents, load_yaml

MIRROR = "mirror.example.com/x"

#: Images of charts that no value names.
FIXED = ("kubeflow/trainer/dataset-initializer", "kubeflow/trainer/model-initializer")

#: Of images that no resource of a chart names, for its operator makes their references: component → the beginning of their names.
MADE_BY_OPERATORS = {"kai-scheduler": "kai-scheduler/", "network-operator": "mellanox/doca-driver", "gpu-operator": "vgpu-manager"}


class Case(Record):
    """One component with one set of values: its images, those of its manifests, and a query that gives it."""

    id: str
    version: str
    values: bytes
    pulled: frozenset[str]
    optional: frozenset[str]
    own: frozenset[str]
    is_mirrored: bool
    example: str


def queries(store: Store) -> Iterator[Query]:
    """Each system and release, service, GPU and intent of the catalog, and each platform on each service."""
    words = {field: [entry for entry in entries if not entry.excluded] for field, entries in store.catalog.entries.items()}
    for service in words["service"]:
        for platform in words["platform"]:
            yield Query(os="ubuntu", osv="24.04", service=service.name, gpu="h100", intent="training", platform=platform.name)
        for system in words["os"]:
            for release in system.versions or ("",):
                for gpu in words["gpu"]:
                    for intent in words["intent"]:
                        yield Query(os=system.name, osv=release, service=service.name, gpu=gpu.name, intent=intent.name)


def bundles(recipes: Iterable[Recipe], counted: Counter[str]) -> Iterator[tuple[Recipe, BundleBuild]]:
    """The bundle of each recipe, and for each service one with each component that recipes do not have, with and without a mirror."""
    entries, load = load_charts(None)
    of_service: dict[str, Recipe] = {}
    present: set[str] = set()
    for recipe in recipes:
        counted["recipes"] += 1
        of_service.setdefault(recipe.request.service, recipe)
        for registry in ("", MIRROR):
            build = prepare_bundle(recipe, BundleOptions(registry=registry), entries, load)
            present.update(component.id for component in build.components)
            yield recipe, build
    for id in entries:
        for recipe in of_service.values() if id not in present and entries[id].chart else ():
            for registry in ("", MIRROR):
                try:
                    yield recipe, prepare_bundle(recipe, BundleOptions(components=(id,), registry=registry), entries, load)
                except EidosError:  # not on this service
                    counted["refused"] += 1


def collect(recipes: Iterable[Recipe], counted: Counter[str]) -> list[Case]:
    """The distinct cases of bundles of these recipes; ``counted`` gets the number of recipes and of components."""
    cases: dict[tuple[Any, ...], Case] = {}
    done: set[str] = set()
    for recipe, build in bundles(recipes, counted):
        request, registry = recipe.request, build.context.options.registry
        shared = shared_readings(recipe)
        for component in build.components:
            key = repr((component, shared, request.service, request.os, request.osv, registry))
            if key in done:
                continue
            done.add(key)
            counted["components"] += 1
            _, report, made = build.make_component(component)
            if made is None:
                raise InvalidData(f"{request}: {component.id}: {report.error}")
            if not component.chart:
                continue
            images = image_documents([made.images], registry)["images"]
            manifests = [tree for path, text in made.files.items() if "manifests/" in path for tree in load_documents(text)]
            case = Case(
                component.id,
                component.version,
                made.files["values.yaml"],
                frozenset(entry["image"] for entry in images if "optional" not in entry),
                frozenset(entry["image"] for entry in images if "optional" in entry),
                frozenset(images_of_manifests(manifests)),
                bool(registry),
                ", ".join(f"{field} {word}" for field, word in request.fields().items()),
            )
            cases.setdefault((case.id, case.version, case.values, case.pulled, case.is_mirrored), case)
    return list(cases.values())


def shared_readings(recipe: Recipe) -> str:
    """Readings of which the values of charts are made."""
    return repr([(m.type, s.name, s.data) for m in recipe.measurements for s in m.subtypes if m.type in ("K8s", "GPU")])


def render(values: bytes, id: str, chart: Path, helm: str) -> tuple[dict[str, str], list[str]]:
    """The images of a chart with these values, and what is wrong with them."""
    tree = load_yaml(values) or {}
    problems = []
    try:
        ValuesSchema(_keys(chart)).check(tree, id)
    except EidosError as fault:
        problems.append(f"unknown key: {fault.message}")
    documents = chart_data.render(helm, chart, chart_data.merged(chart_data.REQUIRED.get(id, {}), tree))
    return chart_data.images_in(documents or []), problems if documents is not None else [*problems, "helm does not render it"]


_keys = functools.cache(chart_data.keys_of)


def problems_of(case: Case, images: dict[str, str]) -> list[str]:
    """How the images of one case differ from those that helm renders."""
    problems = []
    for where, image in images.items():
        field = where.partition(".spec.")[2]
        if field in chart_data.OF_SYSTEM:
            continue  # the operator ends its tag with the system, and has no container for some
        if image in case.pulled or (where.startswith("ClusterPolicy ") and image in case.optional):
            pass
        elif not where.startswith("ClusterPolicy ") or image.partition(":")[2] not in ("None", ""):
            problems.append(f"not listed: {image} of {where}")
        if case.is_mirrored and not image.startswith(f"{MIRROR}/") and not any(name in image for name in FIXED):
            problems.append(f"not from the mirror: {image} of {where}")
    rendered = set(images.values())
    others = [image for image in case.pulled - rendered - case.own if MADE_BY_OPERATORS.get(case.id, "?") not in image]
    unused = [image for image in others if not any(image.startswith(f"{known}-") for known in rendered)]
    return [*problems, *(f"listed, not rendered: {image}" for image in unused)]


def check_grid(recipes: Iterable[Recipe], folder: Path, helm: str) -> tuple[str, list[str]]:
    """The table, and the problems with an example of each."""
    counted: Counter[str] = Counter()
    cases = collect(recipes, counted)
    distinct = dict.fromkeys((case.values, case.id, folder / case.id / case.version) for case in cases)
    there = [key for key in distinct if (key[2] / "Chart.yaml").exists()]
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        rendered = dict(zip(there, pool.map(lambda key: render(key[0], key[1], key[2], helm), there)))
    rows: dict[tuple[str, str], Counter[str]] = {}
    texts: dict[str, str] = {}
    for key in distinct:
        row = rows.setdefault((key[1], key[2].name), Counter())
        row.update(values=1, rendered=key in rendered)
    for case in cases:
        key = (case.values, case.id, folder / case.id / case.version)
        row = rows[case.id, case.version]
        row["lists"] += 1
        if key in rendered:
            images, problems = rendered[key]
            problems = problems + problems_of(case, images)
            row["wrong"] += bool(problems)
            for problem in problems:
                texts.setdefault(f"{case.id} {case.version}: {problem}", case.example + (", mirror" if case.is_mirrored else ""))
    lines = [f"{'component':28}{'version':16}{'values':>8}{'rendered':>10}{'image lists':>13}{'wrong':>7}"]
    for (id, version), row in sorted(rows.items()):
        shown = row["rendered"] or "no chart"
        lines.append(f"{id:28}{version:16}{row['values']:8}{shown:>10}{row['lists']:13}{row['wrong'] if row['rendered'] else '-':>7}")
    lines.append(
        f"{counted['recipes']} distinct recipes, {counted['components']} components made, {len(distinct)} distinct values, "
        f"{len(there)} rendered, {len(cases)} lists of images"
    )
    return "\n".join(lines), [f"{problem} ({example})" for problem, example in sorted(texts.items())]


def recipes_of_grid(counted: Counter[str]) -> Iterator[Recipe]:
    """The distinct recipes of the grid, and for each service one with each component that no recipe has."""
    store = shipped_store()
    yielded: set[str] = set()
    for query in queries(store):
        counted["queries"] += 1
        recipe = resolve(query, store, check=False)
        request = recipe.request
        key = repr((request.service, request.os, request.osv, recipe.components, shared_readings(recipe)))
        if recipe.components and key not in yielded:
            yielded.add(key)
            yield recipe


def main(arguments: list[str]) -> None:
    if not arguments:
        raise SystemExit(__doc__)
    counted: Counter[str] = Counter()
    table, problems = check_grid(recipes_of_grid(counted), Path(arguments[0]), chart_data.find_helm())
    print(f"{counted['queries']} queries\n{table}")
    for problem in problems:
        print(problem)
    raise SystemExit(bool(problems))


if __name__ == "__main__":
    main(sys.argv[1:])
