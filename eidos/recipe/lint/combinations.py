"""The recipes in which issues can appear: for every key, and for every two keys that one query can match.

Knows which queries to try, what limits a version in a recipe, and which paths each check of a recipe compares; must not know how layers are
merged, nor what cannot go together: ``cross_checks`` does. Two keys suffice: a third layer that applies with both of them is part of the
recipe for the two.

Of thousands of recipes only those are checked that have something new. A topic is a few paths of readings, constraints and components, and
fields of the query, that can be at fault together. Its part of a recipe is the layers that set one of these paths, and what the query has
in these fields: where a topic has the same part in two recipes, its checks find the same.
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.model.constraint import Expression, Term
from eidos.model.lint_issue import ERROR, LintIssue
from eidos.model.measurement import path_matches
from eidos.model.number_format import format_scalar
from eidos.model.query import (
    FIELD_OF_READING,
    FIELDS,
    NAMES,
    READING_PATHS,
    VERSIONS,
    Query,
    is_expression,
    is_met,
    version_expression,
    words_of,
)
from eidos.model.recipe_consistency import CUDA, DRIVERS
from eidos.model.record import Record, replace
from eidos.recipe.charts import with_dependencies
from eidos.recipe.lazy_parts import Overlays
from eidos.recipe.lint.layer_keys import intersect_keys
from eidos.recipe.machines import machine_layer
from eidos.recipe.provenance import is_removal, layer_steps, leaves, lines, merge_steps
from eidos.recipe.resolver import Contradiction, resolve
from eidos.semver import parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from eidos.model.chart import Chart
    from eidos.model.recipe import Recipe, Step
    from eidos.recipe.layer import Layer
    from eidos.recipe.lint.rule_tables import LintRules
    from eidos.recipe.store import Store

_QUERY, _LIMIT = "query.", "constraints."


class MergedRecipe(Record):
    """A recipe, its layers, and by path the versions that its query and constraints leave: None where they leave none."""

    recipe: Recipe
    layers: tuple[Layer, ...]
    versions: dict[str, Expression | None]

    def step(self, path: str) -> Step | None:
        """The layer that set the reading at ``path``, and its value; None when none did, or a later one removed it."""
        step = self.recipe.history.get(path, (None,))[-1]
        return None if step is None or is_removal(path, step.value) else step

    def text(self, path: str) -> str | None:
        """The reading at ``path`` as it is written; None when there is none."""
        step = self.step(path)
        return None if step is None else format_scalar(step.value)

    def owner(self, path: str) -> str:
        """The layer that set or removed ``path`` last, or chose the version of ``components.<id>``; the charts' file where none did."""
        steps = self.recipe.history.get(path) or self.recipe.history.get(f"{path}.version")
        return steps[-1].layer if steps else "components.yaml"

    def rank(self, path: str) -> int:
        """The position of that layer: those with higher ones are applied later."""
        return next((i for i, layer in enumerate(self.layers, 1) if layer.name == self.owner(path)), 0)

    def version_at(self, path: str, rank: int) -> str | None:
        """What ``path`` was after the layer at that position; None when no layer had set it yet."""
        ranks = {layer.name: i for i, layer in enumerate(self.layers, 1)}
        values = [step.value for step in self.recipe.history.get(path, ()) if ranks[step.layer] <= rank]
        return format_scalar(values[-1]) if values and not is_removal(path, values[-1]) else None

    def location(self, path: str) -> str:
        """The owner of ``path``, and the path."""
        return f"{self.owner(path)}: {path}"

    def suffix(self) -> str:
        """The query that the recipe is for, as the end of a sentence."""
        return f" (for {self.recipe.request})" if self.recipe.request.fields() else ""


class IndexedOverlays(Overlays):
    """Overlays for thousands of queries with few words: which ones the words of one field leave is decided once for each word."""

    def __init__(self, overlays: Overlays) -> None:
        super().__init__(overlays.heads)
        self._bits: dict[tuple[str, str | None], int] = {}

    def matching(self, query: Query) -> list[Layer]:
        """The overlays whose key matches, in order."""
        values, bits = query.fields(), (1 << len(self.heads)) - 1
        for field in FIELDS:
            bits &= self._leaves(field, values.get(field))
        return [self._at(i) for i in range(len(self.heads)) if bits >> i & 1]

    def _leaves(self, field: str, value: str | None) -> int:
        bits = self._bits.get((field, value))
        if bits is None:
            values = {} if value is None else {field: value}
            required = [{field: head.fields[field]} if field in head.fields else {} for head in self.heads]
            bits = self._bits[field, value] = sum(1 << i for i, fields in enumerate(required) if is_met(fields, values))
        return bits


def combinations(store: Store, rules: LintRules, own: bool = False, every: bool = False) -> Iterator[MergedRecipe | LintIssue]:
    """The recipes to check, by growing number of fields, and an issue for each that cannot be made.

    ``own`` leaves out those without a layer of a place that is laid over the shipped data, and only with ``every`` there are those too
    of which each part was in one before (see ``topics``).
    """
    store = replace(store, overlays=IndexedOverlays(store.overlays))
    keys = [Query(**key.fields()) for key in store.overlays.keys]
    is_own = [head.rank > 0 for head in store.overlays.heads]
    extra = [Query(gpu=host.gpu) for host in rules.hosts] + [Query(os=kernel.os, osv=kernel.osv) for kernel in rules.kernels]
    extra += [Query(k8s=text) for text in _beyond(rules)]
    queries: dict[Query, None] = {} if own else {Query(): None, **dict.fromkeys(extra)}
    for i, key in enumerate(keys):
        if own and not is_own[i]:
            continue
        queries[key] = None
        # Of two own keys both orders would be the same.
        others = [other for j, other in enumerate(keys) if j > i or (own and not is_own[j])]
        for other in (*others, *extra):
            both = intersect_keys(key, other)
            if both is not None:
                queries[both] = None
    steps: dict[tuple[str, str], list[tuple[str, Step]]] = {}

    def complete(key: Query) -> list[Query]:
        return [Query(**store.catalog.with_implied(sample.fields())) for sample in samples(key)]

    owners: dict[Query, list[Layer]] = {}
    for key, layer in zip(keys, store.overlays):
        for query in complete(key):
            owners.setdefault(query, []).append(layer)
    tried = dict.fromkeys(query for key in queries for query in complete(key))
    machines = [machine for name in dict.fromkeys(query.machine for query in tried) if (machine := store.catalog.machine(name))]
    checked = CheckedTopics((store.base, *store.overlays, *map(machine_layer, machines)), store.charts, rules)
    for query in sorted(tried, key=lambda query: (len(query.fields()), str(query))):
        service = store.catalog.entry("service", query.service)
        if service and service.systems and query.os and query.os not in service.systems:
            continue  # no such node is possible
        if store.catalog.contradicts_machine(query.fields()):
            continue  # nor such a machine
        layers = (store.base, *store.matching(query))
        parts = checked.new_parts(query, layers)
        if not parts and not every:
            continue
        try:
            recipe = resolve(query, store, check=False)
        except Contradiction as fault:
            yield LintIssue(ERROR, "contradiction", _contradicting(fault, layers), f"{fault.message} (for {query})", fault.hint or "")
        except InvalidData:
            continue  # components that are unknown or depend on one another in a circle: catalog_checks reports them
        else:
            for checked_parts, part in parts:
                checked_parts.add(part)
            names = [(layer.name, layer.key.machine) for layer in layers]
            for name, layer in zip(names, layers):
                if name not in steps:
                    steps[name] = list(layer_steps(layer))
            recipe = replace(recipe, history=merge_steps(steps[name] for name in names))
            yield MergedRecipe(recipe, layers, version_limits(recipe, rules))
            for layer in owners.get(query, ()):
                yield from _unsatisfied(layer, recipe)


def _beyond(rules: LintRules) -> list[str]:
    """For each limit that a component has, the Kubernetes release after it: whether a recipe for that one still has the component."""
    operands = {
        operand
        for need in rules.requirements
        if need.name == READING_PATHS["k8s"]
        for term in need.expression.terms
        for operand in term.operands
        if term.operator == "<="
    }
    return [_next(operand) for operand in sorted(operands)]


def _next(version: str, step: int = 1) -> str:
    numbers = parse_version(version).numbers
    return ".".join(map(str, (*numbers[:-1], max(0, numbers[-1] + step))))


def samples(key: Query) -> tuple[Query, ...]:
    """Queries that match ``key``: each word of its lists is in one, as is each version that its expressions name, or that is next to one.

    Not each word of one list with each of another: what holds for two words together has a key of its own.

    >>> [query.k8s for query in samples(Query(k8s=">= 1.33, < 1.36"))], [query.osv for query in samples(Query(osv="in (22.04, 24.04)"))]
    (['1.33', '1.34', '1.35'], ['22.04', '24.04'])
    >>> [f"{query.service} {query.gpu}" for query in samples(Query(service="in (eks, gke)", gpu="in (a100, h100, l4)"))]
    ['eks a100', 'gke h100', 'eks l4']
    """
    lists = {field: words for field, text in key.fields().items() if field in NAMES and len(words := words_of(text)) > 1}
    rows = range(max(map(len, lists.values()), default=1))
    queries = tuple(Query(**{**key.fields(), **{field: words[row % len(words)] for field, words in lists.items()}}) for row in rows)
    for field, text in key.fields().items():
        if field in VERSIONS and is_expression(text):
            expression = version_expression(text)
            named = {version: None for term in expression.terms for version in term.operands}
            near = (
                {}
                if "in" in {term.operator for term in expression.terms}
                else {_next(version, step): None for version in named for step in (1, -1)}
            )
            versions = sorted(
                (version for version in {**named, **near} if expression.holds(version)), key=lambda text: parse_version(text).key
            )
            queries = tuple(replace(query, **{field: version}) for query in queries for version in versions)
    return queries


def _contradicting(fault: Contradiction, layers: Iterable[Layer]) -> str:
    """The later one of the two layers, which is the one that the message names last."""
    name = fault.message.partition(": ")[0]
    return f"{max((layer.name for layer in layers), key=lambda layer: fault.message.rfind(f'({layer})'))}: constraints.{name}"


def version_limits(recipe: Recipe, rules: LintRules) -> dict[str, Expression | None]:
    """What limits a version, by its path: the query's field, the constraint, the oldest kernel of the system."""
    limits: dict[str, Expression | None] = {constraint.name: constraint.value for constraint in recipe.constraints}

    def add(path: str, expression: Expression) -> None:
        old = limits.get(path)
        # A query for a version that a constraint rules out has an issue of its own: the recipe is for no such node.
        limits[path] = old.intersect(expression) if old is not None else None if path in limits else expression

    fields = recipe.request.fields()
    for field in VERSIONS:
        if field in fields:
            numbers = ".".join(map(str, parse_version(fields[field]).numbers))
            add(READING_PATHS[field], Expression((Term("==", (numbers,)),)))
    for kernel in rules.kernels:
        if fields.get("os") == kernel.os and "osv" in fields and parse_version(fields["osv"]).matches(parse_version(kernel.osv)):
            add(READING_PATHS["kernel"], Expression((Term(">=", (kernel.lowest,)),)))
    return limits


def _unsatisfied(layer: Layer, recipe: Recipe) -> Iterator[LintIssue]:
    """Versions in a layer's own key that a constraint of the recipe for that very key rules out."""
    for field in VERSIONS:
        path, version = READING_PATHS[field], layer.key.fields().get(field)
        constraint = next((constraint for constraint in recipe.constraints if constraint.name == path), None)
        if version and constraint and constraint.value.intersect(version_expression(version)) is None:
            message = f"the layer is for {version}, but its recipe requires {path} {constraint.value}: no node can satisfy both"
            yield LintIssue(ERROR, "never-satisfied", f"{layer.name}: key.{field}", message, "change the key, or the constraint")


class CheckedTopics:
    """The parts of recipes that were checked, by the layers that a recipe can have."""

    def __init__(self, layers: Sequence[Layer], charts: Mapping[str, Chart], rules: LintRules) -> None:
        self._rules = rules
        self._words: dict[tuple[str, str], object] = {}
        self._bits: dict[object, int] = {}
        setters: dict[str, int] = {}
        for layer in layers:
            bit = self._bits[_name(layer)] = 1 << len(self._bits)
            for path in _paths(layer, charts):
                setters[path] = setters.get(path, 0) | bit
        distinct = set()
        for topic in _topics(setters, charts, rules):
            members = 0
            for pattern in topic:
                for path in (path for path in setters if path_matches(pattern, path)) if "*" in pattern else (pattern,):
                    members |= setters.get(path, 0)
            distinct.add((members, frozenset(_fields_of(topic))))
        # What is new in a part of a topic is new in the topic.
        self._topics = [
            (members, tuple(sorted(fields)), set[object]())
            for members, fields in distinct
            if not any(members | more == more and fields <= others and (members, fields) != (more, others) for more, others in distinct)
        ]

    def new_parts(self, query: Query, layers: Iterable[Layer]) -> list[tuple[set[object], object]]:
        """The parts of this recipe that no checked one had, each with the set that it joins once the recipe is checked."""
        bits = 0
        for layer in layers:
            bits |= self._bits[_name(layer)]
        words = {field: self._word(field, getattr(query, field)) for field in (*NAMES, *VERSIONS)}
        parts = ((checked_parts, (bits & members, *[words[field] for field in fields])) for members, fields, checked_parts in self._topics)
        return [(checked_parts, part) for checked_parts, part in parts if part not in checked_parts]

    def _word(self, field: str, word: str) -> object:
        """The same for all words that no rule tells from one another."""
        if field in VERSIONS:
            return word
        if (field, word) not in self._words:
            self._words[field, word] = str(rules_of(self._rules, field, word))
        return self._words[field, word]


def _name(layer: Layer) -> tuple[str, str]:
    """The name, which layers of machines share, with the machine."""
    return layer.name, layer.key.machine


def rules_of(rules: LintRules, field: str, word: str) -> tuple[object, ...]:
    """The rules that name ``word`` as a ``field`` of the query: words of the same layers and the same rules need one recipe for all."""
    path = f"{_QUERY}{field}"
    clashes = (i for i, row in enumerate(rules.clashes) if word in row.when.get(path, "").replace(",", " ").split())
    needs = (f"need {i}" for i, row in enumerate(rules.requirements) if word in row.when.get(path, "").replace(",", " ").split())
    hosts = ((host.architecture, host.page) for host in rules.hosts if field == "gpu" and host.gpu == word)
    floors = (row for row in rules.floors if field == "gpu" and word in row.gpu)
    kernels = (row for row in rules.kernels if field == "os" and row.os == word)
    unbuilt = (row for row in rules.unbuilt if field == "os" and row.os == word)
    return (*clashes, *needs, *hosts, *floors, *kernels, *unbuilt)


def _paths(layer: Layer, charts: Mapping[str, Chart]) -> Iterator[str]:
    """The paths that a layer sets, limits by its key, or changes by a component that comes with one of its own."""
    for path, *_ in lines(layer):
        yield path
    for field in VERSIONS:
        if field in layer.key.fields():
            yield _LIMIT + READING_PATHS[field]
    for choice in layer.choices:
        for id in with_dependencies([choice.id], charts) if choice.id in charts else ():
            yield f"components.{id}.enabled"
            for other, tree in charts[id].sets.items():
                for path, _ in leaves(f"components.{other}.values", tree):
                    yield path


def _topics(paths: Iterable[str], charts: Mapping[str, Chart], rules: LintRules) -> Iterator[tuple[str, ...]]:
    """The paths that each check of a recipe compares."""
    for path in paths:
        if not path.startswith("components."):
            name = path.removeprefix(_LIMIT)
            yield name, _LIMIT + name
        else:  # a value may lie in another one, and is that of a release
            parts = path.split(".")
            yield (path, *(".".join(parts[:count]) for count in range(4, len(parts))), *_chosen(parts[1]))
    for id, chart in charts.items():
        for field, readings in chart.readings.items():
            yield (f"components.{id}.{field}", *_chosen(id), *readings, *(_LIMIT + path for path in readings))
        if chart.kubernetes:
            yield (*_chosen(id), _LIMIT + READING_PATHS["k8s"])
    for need in rules.requirements:
        yield (*_released(need.component), need.name, _LIMIT + need.name, *need.when)
    for apart in rules.incompatible:
        yield (*_released(apart.left), *_released(apart.right))
    for pair in (*rules.equivalents, *rules.versions):
        yield pair.left, pair.right
    for order in rules.ordered:
        yield order.left, order.right
    for removed in rules.removed:
        yield removed.path, _LIMIT + READING_PATHS["kernel"]
    for floor in rules.floors:
        yield floor.name, "query.gpu"
    for clash in rules.clashes:
        components = [path.split(".")[1] for path in (clash.path, *clash.when) if path.startswith("components.")]
        yield (clash.path, *clash.when, *(path for id in components for path in _chosen(id)))
    yield (CUDA, *DRIVERS)
    operator = (*_chosen("gpu-operator"), "components.gpu-operator.values.driver.enabled")
    yield (*operator, *DRIVERS, _LIMIT + READING_PATHS["osv"], "query.os")
    pages = [f"OS.grub.{name}" for name in ("hugepages", "hugepagesz", "default_hugepagesz")]
    yield (*pages, "OS.sysctl./proc/sys/vm/nr_hugepages", "query.gpu", "query.kernel")


def _chosen(id: str) -> tuple[str, str]:
    """The paths by which a recipe has a component, and which release."""
    return f"components.{id}.enabled", f"components.{id}.version"


def _released(id: str) -> tuple[str, ...]:
    """The same, and the image that states a release where a recipe has no component."""
    return (*_chosen(id), f"K8s.image.{id}")


def _fields_of(topic: tuple[str, ...]) -> set[str]:
    """The fields of the query that matter to a topic: its own, and those that limit one of its versions."""
    fields = {path[len(_QUERY) :] for path in topic if path.startswith(_QUERY)}
    fields |= {
        FIELD_OF_READING[path[len(_LIMIT) :]] for path in topic if path[len(_LIMIT) :] in FIELD_OF_READING and path.startswith(_LIMIT)
    }
    return fields | {"os", "osv"} if "kernel" in fields else fields
