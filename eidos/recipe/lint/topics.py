"""What in a recipe can be at fault together, so that of thousands of recipes only those are checked that have something new.

Knows which paths each check of a recipe compares; must not know what it finds. A topic is a few paths of readings, constraints and
components, and fields of the query. Its part of a recipe is the layers that set one of these paths, and what the query has in these
fields: where a topic has the same part in two recipes, its checks find the same.
"""

from __future__ import annotations

from eidos.model.agreement import CUDA, DRIVERS
from eidos.model.query import NAMES, READING_PATHS, VERSIONS
from eidos.recipe.charts import with_dependencies
from eidos.recipe.lint.rule_tables import path_matches
from eidos.recipe.provenance import leaves, lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from eidos.model.chart import Chart
    from eidos.model.query import Query
    from eidos.recipe.layer import Layer
    from eidos.recipe.lint.rule_tables import LintRules

_QUERY, _LIMIT = "query.", "constraints."
_FIELDS = {path: field for field, path in READING_PATHS.items()}


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
        found = set()
        for topic in _topics(setters, charts, rules):
            members = 0
            for pattern in topic:
                for path in (path for path in setters if path_matches(pattern, path)) if "*" in pattern else (pattern,):
                    members |= setters.get(path, 0)
            found.add((members, frozenset(_fields_of(topic))))
        # What is new in a part of a topic is new in the topic.
        self._topics = [
            (members, tuple(sorted(fields)), set[object]())
            for members, fields in found
            if not any(members | more == more and fields <= others and (members, fields) != (more, others) for more, others in found)
        ]

    def new_parts(self, query: Query, layers: Iterable[Layer]) -> list[tuple[set[object], object]]:
        """The parts of this recipe that no checked one had, each with the set that it joins once the recipe is checked."""
        bits = 0
        for layer in layers:
            bits |= self._bits[_name(layer)]
        words = {field: self._word(field, getattr(query, field)) for field in (*NAMES, *VERSIONS)}
        parts = ((seen, (bits & members, *[words[field] for field in fields])) for members, fields, seen in self._topics)
        return [(seen, part) for seen, part in parts if part not in seen]

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
    fields |= {_FIELDS[path[len(_LIMIT) :]] for path in topic if path[len(_LIMIT) :] in _FIELDS and path.startswith(_LIMIT)}
    return fields | {"os", "osv"} if "kernel" in fields else fields
