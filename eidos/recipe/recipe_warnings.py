"""Warnings of a recipe: the sentences that keep it from looking more specific than it is.

Knows which parts of a query no layer is for, which versions and readings a constraint rules out, and which components stay although a layer
takes them out; must not know how layers are merged, nor where the sentences are shown.
"""

from __future__ import annotations

from eidos.model.constraint import parse_expression
from eidos.model.measurement import WITHHELD
from eidos.model.query import FIELD_OF_READING, NAMES, VERSIONS, Query, words_of
from eidos.model.recipe import PAIR
from eidos.recipe.catalog import MACHINES, Machine, built_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from eidos.model.constraint import Constraint
    from eidos.model.recipe import Component, Recipe
    from eidos.recipe.catalog import Catalog
    from eidos.recipe.layer import Layer
    from eidos.recipe.store import Store

#: Fields of a query for which a specific layer is expected.
SPECIFIC = ("gpu", "service")

#: The version of the driver that a node reports, and a recipe recommends.
DRIVER = "GPU.smi.driver"

#: How many branches of the driver a message names.
_BRANCHES_SHOWN = 6

#: The component that installs the driver unless its values say otherwise (chart gpu-operator, driver.enabled), the reading of the driver's
#: module, and the readings that show such a component at work: its image, its policy.
DRIVER_INSTALLER, DRIVER_MODULE, INSTALLER_READINGS = "gpu-operator", "OS.kmod.nvidia", ("K8s.image.gpu-operator", "K8s.policy.")


def find_warnings(
    requested: dict[str, str],
    store: Store,
    layers: tuple[Layer, ...],
    constraints: tuple[Constraint, ...],
    components: tuple[Component, ...],
) -> Iterator[str]:
    """A sentence for each limit of a recipe, whose query has the fields and words of ``requested``."""
    named = {field for layer in layers for field in layer.key.fields()}
    for field in dict.fromkeys((*SPECIFIC, *NAMES)):
        if field in requested and field not in named and (field, requested[field]) != ("platform", "none"):
            yield _generic(requested, field, store)
    if PAIR in find_generic(requested, layers, store.catalog) and named.issuperset(SPECIFIC):
        pair = " and ".join(f"{field} {requested[field]!r}" for field in SPECIFIC)
        near = nearest(requested, SPECIFIC, store)
        yield f"no layer covers {pair} together: the recipe combines what is known of each" + _without_machine(requested, store) + near
    for sentence in find_impossible(requested, store):
        yield f"no such node is possible: {sentence}"
    for field in VERSIONS:
        for constraint in constraints:
            if field in requested and FIELD_OF_READING.get(constraint.name) == field and not constraint.value.allows(requested[field]):
                limit = f"{constraint.name} {constraint.value}"
                why = f" ({constraint.why.rstrip('.')})" if constraint.why else ""
                yield f"the recipe does not cover {field} {requested[field]!r}: it requires {limit}{why}"
    if "k8s" in requested:
        for component in components:
            supported = store.charts[component.id].kubernetes
            if supported and not parse_expression(supported).allows(requested["k8s"]):
                yield f"the recipe does not cover k8s {requested['k8s']!r}: {component.id} supports {supported}"
    present = {component.id for component in components}
    last = {choice.id: choice for layer in layers for choice in layer.choices}
    yield from (
        f"{id} is left out: {choice.why.rstrip('.')}"
        for id, choice in sorted(last.items())
        if not choice.enabled and choice.why and id not in present
    )
    for component in components:
        choices = [(layer.name, choice) for layer in layers for choice in layer.choices if choice.id == component.id]
        if choices and not choices[-1][1].enabled:
            yield f"{choices[-1][0]} disables {component.id}, but {needed_by(component.id, components)} needs it: it stays enabled"


def second_driver(facts: dict[str, str], components: tuple[Component, ...]) -> Iterator[str]:
    """A sentence when the host of ``facts`` (path → reading) has a driver that the components do not seem to have installed, and would."""
    values = next((component.values for component in components if component.id == DRIVER_INSTALLER), None)
    if values is None or values.get("driver", {}).get("enabled") is False:
        return
    if facts.get(DRIVER_MODULE) == "true" and not any(path.startswith(INSTALLER_READINGS) for path in facts):
        version = facts.get(DRIVER, "")
        yield (
            f"the host has loaded an NVIDIA driver{version and f' ({version})'} that no {DRIVER_INSTALLER} in the snapshot installed, but "
            f"that of the recipe installs one; to keep the host's, make the bundle with --set {DRIVER_INSTALLER}:driver.enabled=false"
        )


def driver_warnings(facts: dict[str, str], store: Store) -> Iterator[str]:
    """A sentence when what a node reports as its driver cannot be one, or is of a branch that the rules do not name.

    Windows has branches of its own numbers, which WSL reports: nothing is known of those, either.
    """
    text = facts.get(DRIVER, "")
    if text not in ("", WITHHELD) and driver_problem(text, [branch for branch, _ in store.cuda]):  # the other tables need to be read
        problem = driver_problem(text, driver_branches(store.cuda, store.rules))
        if problem:
            yield f"{DRIVER} is {text!r}: {problem}"


def driver_problem(version: str, branches: Sequence[str]) -> str:
    """Why a text is not a version of NVIDIA's driver whose branch is one of ``branches``; "" when it is one.

    >>> driver_problem("999.1.1", ["580", "595"]), driver_problem("^580", ["580"]), driver_problem("580.95.05", ["580"])
    ('unknown branch 999; the newest known are 580 and 595', 'not a version of the driver, such as 580.178.04', '')
    """
    branch, *rest = version.split(".")
    if len(branch) != len("580") or len(rest) > 2 or not all(part.isascii() and part.isdigit() for part in (branch, *rest)):
        return "not a version of the driver, such as 580.178.04"
    if branch in branches:
        return ""
    *others, last = branches[-_BRANCHES_SHOWN:] or ("none",)
    return f"unknown branch {branch}; the newest known are {', '.join(others)}{' and ' if others else ''}{last}"


def driver_branches(cuda: Iterable[tuple[str, str]], rules: Mapping[str, object]) -> list[str]:
    """The branches of the driver that the tables ``cuda``, ``ends`` and ``releases`` name, in order."""
    branches = {branch for branch, _ in cuda}
    for table, field in (("ends", "version"), ("releases", "versions")):
        rows = rules.get(table)
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and row.get("product") == "driver":
                versions = row.get(field)
                branches |= {str(version).partition(".")[0] for version in (versions if isinstance(versions, list) else [versions])}
    return sorted(branch for branch in branches if branch.isdigit())


def find_generic(requested: dict[str, str], layers: Iterable[Layer], catalog: Catalog) -> tuple[str, ...]:
    """Those of gpu, service and both together that are requested and that the key of no layer names, itself or by its machines.

    Layers for the service alone say nothing of a GPU on it, and neither does the number of GPUs that a machine has.
    """
    keys = [implied_fields(layer.key, catalog) for layer in layers if layer.name != MACHINES]
    parts = {**{field: (field,) for field in SPECIFIC}, PAIR: SPECIFIC}
    return tuple(
        name
        for name, fields in parts.items()
        if all(field in requested for field in fields) and not any(all(field in key for field in fields) for key in keys)
    )


def implied_fields(key: Query, catalog: Catalog) -> dict[str, str]:
    """The fields of a key, and those that the first of its machines implies."""
    fields = key.fields()
    return catalog.with_implied({**fields, "machine": words_of(key.machine)[0]}) if key.machine else fields


def strict_problems(recipe: Recipe, flags: Collection[str], facts: dict[str, str] | None, store: Store) -> Iterator[str]:
    """A sentence for each reason not to rely on a recipe: it is generic, no such node is possible, a constraint does not hold.

    Of the fields in ``flags`` the user's versions are judged; all else by ``facts`` (path → reading), which are None without a snapshot: a
    constraint that they cannot decide is a reason, too. ``store`` has the catalog with the systems of services.
    """
    if recipe.generic is None:
        yield "the recipe does not say whether it is generic"
    elif recipe.generic:
        yield f"the recipe is generic: no layer is made for the requested {' and '.join(recipe.generic)}"
    for sentence in recipe.impossible or find_impossible(recipe.request.fields(), store):  # a server may be older
        yield f"no such node is possible: {sentence}"
    versions = {field: text for field, text in recipe.request.fields().items() if field in VERSIONS and field in flags}
    for constraint in recipe.constraints:
        limit, version = f"{constraint.name} {constraint.value}", versions.get(FIELD_OF_READING.get(constraint.name, ""))
        if version is not None:
            if not constraint.value.allows(version):
                yield f"the recipe requires {limit}, not {version}"
        elif facts is not None:
            reading = facts.get(constraint.name, WITHHELD)
            holds = constraint.value.holds(reading) if reading != WITHHELD else None
            if holds is None:
                value = f"it is {reading!r}" if reading != WITHHELD else "withheld" if constraint.name in facts else "no such reading"
                yield f"the recipe requires {limit}, which cannot be judged for this snapshot: {value}"
            elif not holds:
                yield f"the recipe requires {limit}, not {reading}"


def constraint_tally(recipe: Recipe, facts: dict[str, str]) -> tuple[int, int, int]:
    """How many constraints hold for the readings of a node (path → text), do not hold, and cannot be judged."""
    answers = [
        None if facts.get(constraint.name, WITHHELD) == WITHHELD else constraint.value.holds(facts[constraint.name])
        for constraint in recipe.constraints
    ]
    return answers.count(True), answers.count(False), answers.count(None)


def needed_by(id: str, components: tuple[Component, ...]) -> str:
    """The components that depend on ``id``, as part of a sentence.

    >>> from eidos.model.recipe import Component
    >>> needed_by("a", tuple(Component(id, "", "", "", "", ("a",)) for id in "bc"))
    'b, c'
    """
    return ", ".join(component.id for component in components if id in component.depends)


def nearest(requested: dict[str, str], fields: tuple[str, ...], store: Store) -> str:
    """The end of a sentence: the key with all ``fields`` that has most in common with what is requested, if there is one.

    A key for a GPU of another architecture, or in another kind of host, is not near, and neither is one that has nothing in common.
    """
    keys = [_narrowed(key, requested, store.catalog) for key in store.overlays.keys if all(getattr(key, field) for field in fields)]
    scores = [(_shared(key, requested, store.catalog), -len(key.fields()), key) for key in keys]
    best = max((score for score in scores if score[0] > 0), key=lambda score: score[:2], default=None)
    return f"; the nearest covered query is {best[2]}" if best else ""


def _generic(requested: dict[str, str], field: str, store: Store) -> str:
    same = any(requested[field] in words_of(getattr(key, field)) for key in store.overlays.keys)
    state = "applies to this query" if same else "is known"
    return f"nothing specific to {field} {requested[field]!r} {state}{nearest(requested, (field,), store)}"


def find_impossible(requested: dict[str, str], store: Store) -> Iterator[str]:
    """A sentence when the service has no nodes with that system, and when another one builds that Kubernetes."""
    os_name, service = requested.get("os", ""), store.catalog.entry("service", requested.get("service", ""))
    if service and service.systems and os_name not in service.systems and store.catalog.entry("os", os_name):
        offered = " and ".join(filter(None, (", ".join(service.systems[:-1]), service.systems[-1])))
        once = service.withdrawn.get(os_name, "")
        yield f"{service.name} offers {offered}, not {os_name}{once and f' ({once})'}"
    builder = built_by(requested.get("k8s", ""), store.catalog.entries.get("service", ()))
    if service and service.is_managed and builder and builder.name != service.name:
        yield f"Kubernetes {requested['k8s']} is a build of {builder.name}, not of {service.name}"


def _without_machine(requested: dict[str, str], store: Store) -> str:
    """The end of a sentence when the catalog has machines of the service, and none of them has the GPU."""
    gpu, service = (requested[field] for field in SPECIFIC)
    return "" if may_have_gpu(service, gpu, store.catalog) else f"; no machine of {service} with {gpu} is known"


def may_have_gpu(service: str, gpu: str, catalog: Catalog) -> bool:
    """Whether a machine of the service has that GPU, as far as the catalog has machines of it."""
    gpus = {entry.gpu for entry in catalog.entries.get("machine", ()) if isinstance(entry, Machine) and entry.service == service}
    return not gpus or gpu in gpus


def _narrowed(key: Query, requested: dict[str, str], catalog: Catalog) -> Query:
    """The key with one word of each list: the requested one if it is there, or else a GPU like that one, or else the first."""
    fields = key.fields()
    for field in NAMES:
        words, requested_word = words_of(fields.get(field, "")), requested.get(field, "")
        alike = (word for word in words if field == "gpu" and _is_alike(requested_word, word, catalog))
        fields[field] = requested_word if requested_word in words else next(alike, words[0])
    return Query(**fields)


def _shared(key: Query, requested: dict[str, str], catalog: Catalog) -> int:
    """How much a key has in common with what is requested; 0 when it is for a GPU that is unlike the one requested."""
    fields = key.fields()
    score = 2 * sum(requested.get(field) == value for field, value in fields.items())
    if "gpu" in fields and "gpu" in requested and requested["gpu"] != fields["gpu"]:
        return score + 1 if _is_alike(requested["gpu"], fields["gpu"], catalog) else 0
    return score


def _is_alike(gpu: str, other: str, catalog: Catalog) -> bool:
    """Whether two GPUs are of one architecture, in hosts of one."""
    ours, theirs = catalog.entry("gpu", gpu), catalog.entry("gpu", other)
    if ours is None or theirs is None or not ours.architecture:
        return False
    return (ours.architecture, ours.cpu) == (theirs.architecture, theirs.cpu)
