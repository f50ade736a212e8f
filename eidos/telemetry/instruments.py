"""The metrics of recipes, bundles and collectors, with the names that the server and the one-shot commands share.

Knows the names, and which facts of a recipe, bundle or outcome are recorded; must not know who made it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eidos.model.bundle import Bundle
    from eidos.model.measurement import Outcome
    from eidos.model.recipe import Recipe
    from eidos.telemetry.metrics import MetricRegistry

#: The value of a label for everything that is not one of its declared values.
OTHER = "other"

SUCCESS, ERROR = "success", "error"


def label_values(names: Iterable[str]) -> tuple[str, ...]:
    """A label's values: each name once, and :data:`OTHER`."""
    return tuple(dict.fromkeys((*names, OTHER)))


class RecipeMetrics:
    """How long recipes took, and which rules they matched; ``rules`` are the names of all layers."""

    def __init__(self, metrics: MetricRegistry, rules: Sequence[str]) -> None:
        self._rules = frozenset(rules)
        self.seconds = metrics.histogram("eidos_recipe_built_duration_seconds", "Time to build a recipe.")
        self.matches = metrics.counter("eidos_recipe_rule_match_total", "Recipes that a rule applied to.", rule=label_values(rules))

    def record_recipe(self, recipe: Recipe, seconds: float) -> None:
        """Record a recipe that was built, not one from the cache."""
        self.seconds.observe(seconds)
        for rule in recipe.rules:
            self.matches.increment(rule if rule in self._rules else OTHER)


class BundleMetrics:
    """The result of each component of a bundle; ``bundlers`` are the names of all components."""

    def __init__(self, metrics: MetricRegistry, bundlers: Sequence[str]) -> None:
        types = label_values(bundlers)
        self._components = frozenset(types)
        self.seconds = metrics.histogram("bundler_make_duration_seconds", "Time to generate a component.", bundler_type=types)
        results = (SUCCESS, ERROR)
        self.components = metrics.counter("bundler_make_total", "Components generated.", bundler_type=types, result=results)
        self.files = metrics.counter("bundler_files_generated_total", "Files written to bundles.")
        self.bytes = metrics.counter("bundler_bytes_generated_total", "Bytes written to bundles.")
        self.failures = metrics.counter("bundler_validation_failures_total", "Bundles rejected because of an invalid request.")

    def record_bundle(self, bundle: Bundle) -> None:
        """Record a bundle and each of its components."""
        for part in bundle.components:
            kind = part.id if part.id in self._components else OTHER
            self.seconds.observe(part.milliseconds / 1000, kind)
            self.components.increment(kind, ERROR if part.error else SUCCESS)
        self.files.increment(amount=len(bundle.files) + len(bundle.blobs))
        self.bytes.increment(amount=bundle.bytes)

    def record_refusal(self) -> None:
        """Record a request for a bundle whose recipe or settings are invalid."""
        self.failures.increment()


class CollectorMetrics:
    """The result of each collector; as in node_exporter, a collector that did not run has no series."""

    def __init__(self, metrics: MetricRegistry, collectors: Sequence[str]) -> None:
        names = tuple(collectors)
        self.success = metrics.gauge("eidos_collector_success", "Whether a collector succeeded.", "max", collector=names)
        self.seconds = metrics.gauge("eidos_collector_duration_seconds", "Time that a collector took.", "max", collector=names)

    def record_outcome(self, outcome: Outcome) -> None:
        """Record an outcome. Success is ok, or skipped without a hint: a hint says that the user could change that."""
        is_success = outcome.outcome == "ok" or (outcome.outcome == "skipped" and not outcome.hint)
        self.success.set(float(is_success), outcome.name)
        self.seconds.set(outcome.milliseconds / 1000, outcome.name)
