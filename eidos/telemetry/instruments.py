"""The metrics of recipes, bundles and collectors, by the names that the server and the one-shot commands share.

Knows the names, and what counts of a recipe or a bundle; must not know who made it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eidos.model.bundle import Bundle
    from eidos.model.measurement import Outcome
    from eidos.model.recipe import Recipe
    from eidos.telemetry.metrics import Metrics

#: The value of a label for what is none of its fixed values.
OTHER = "other"

SUCCESS, ERROR = "success", "error"


def values(names: Iterable[str]) -> tuple[str, ...]:
    """A label's values: each name once, and :data:`OTHER`."""
    return tuple(dict.fromkeys((*names, OTHER)))


class RecipeMetrics:
    """How long recipes took and which rules they matched; ``rules`` are the names of all layers."""

    def __init__(self, metrics: Metrics, rules: Sequence[str]) -> None:
        self._rules = frozenset(rules)
        self.seconds = metrics.histogram("eidos_recipe_built_duration_seconds", "How long it took to build a recipe.")
        self.matches = metrics.counter("eidos_recipe_rule_match_total", "Recipes that a rule was part of.", rule=values(rules))

    def built(self, recipe: Recipe, seconds: float) -> None:
        """Count a recipe that was built, not one that was remembered."""
        self.seconds.observe(seconds)
        for rule in recipe.rules:
            self.matches.add(rule if rule in self._rules else OTHER)


class BundleMetrics:
    """What became of each component of a bundle; ``bundlers`` are the names of all components."""

    def __init__(self, metrics: Metrics, bundlers: Sequence[str]) -> None:
        types = values(bundlers)
        self._types = frozenset(types)
        self.seconds = metrics.histogram("bundler_make_duration_seconds", "How long a component took.", bundler_type=types)
        results = (SUCCESS, ERROR)
        self.makes = metrics.counter("bundler_make_total", "Components that were made.", bundler_type=types, result=results)
        self.files = metrics.counter("bundler_files_generated_total", "Files of bundles.")
        self.bytes = metrics.counter("bundler_bytes_generated_total", "Bytes of the files of bundles.")
        self.failures = metrics.counter("bundler_validation_failures_total", "Bundles refused because of what was asked for.")

    def made(self, bundle: Bundle) -> None:
        """Count a bundle and each of its components."""
        for part in bundle.components:
            kind = part.id if part.id in self._types else OTHER
            self.seconds.observe(part.milliseconds / 1000, kind)
            self.makes.add(kind, ERROR if part.error else SUCCESS)
        self.files.add(by=len(bundle.files))
        self.bytes.add(by=bundle.bytes)

    def refused(self) -> None:
        """Count one that could not be begun: its recipe or its settings cannot be."""
        self.failures.add()


class CollectorMetrics:
    """What became of each collector; as node_exporter has it, there is no series for one that was not asked."""

    def __init__(self, metrics: Metrics, collectors: Sequence[str]) -> None:
        names = tuple(collectors)
        self.success = metrics.gauge("eidos_collector_success", "Whether a collector read all that it should.", "max", collector=names)
        self.seconds = metrics.gauge("eidos_collector_duration_seconds", "How long a collector took.", "max", collector=names)

    def ran(self, outcome: Outcome) -> None:
        """Tell of one: success is what is ok, or skipped in a way that nobody could do anything about (a hint says that somebody could)."""
        good = outcome.outcome == "ok" or (outcome.outcome == "skipped" and not outcome.hint)
        self.success.set(float(good), outcome.name)
        self.seconds.set(outcome.milliseconds / 1000, outcome.name)
