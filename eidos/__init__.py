"""What a GPU node is, what it should be, and how to get there.

The public API is what ``__all__`` lists. Times are in seconds (``_s``) or milliseconds, sizes in bytes. With arguments of the
annotated types, a function raises a subclass of :class:`EidosError` or nothing. Names, arguments and fields are stable within a major
version. Warnings go to standard error, as the command line writes them: ``eidos.log.configure("error")`` silences them, and
``eidos.log.divert(sink)`` calls ``sink(level, message, fields)`` instead.

>>> import eidos
>>> snapshot = eidos.take_snapshot(eidos.SnapshotOptions(collectors=("os.release", "os.kmod"), timeout_s=30.0))
>>> recipe = eidos.make_recipe({"gpu": "h100", "intent": "training"}, snapshot=snapshot)
>>> bundle = eidos.make_bundle(recipe)
>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     eidos.write_bundle(bundle, f"{folder}/bundle")
...     eidos.verify_bundle(f"{folder}/bundle")
()

Knows its own version and where each public name is defined; must not know more, because every start of the program imports it:
a name is imported when it is first used (PEP 562).
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.bundle.bundle_options import Assignment, BundleOptions, ComponentValues, parse_assignment
    from eidos.bundle.verification import BundleProblem
    from eidos.check.judge import CheckOptions
    from eidos.collectors import ClusterSelection
    from eidos.errors import (
        DBusError,
        EidosError,
        IntegrityError,
        InvalidData,
        InvalidInput,
        KubeError,
        NotFound,
        NvmlError,
        Outdated,
        RateLimited,
        Timeout,
        Unavailable,
    )
    from eidos.formats import to_json, to_yaml
    from eidos.kube.labels import parse_toleration
    from eidos.model.bundle import Bundle
    from eidos.model.bundle_plan import BundlePlan
    from eidos.model.check_report import CheckReport
    from eidos.model.constraint import Constraint
    from eidos.model.diff import Change, Diff
    from eidos.model.finding import Finding, Remedy, RemedyStep
    from eidos.model.measurement import Measurement, Outcome, Subtype
    from eidos.model.query import Query
    from eidos.model.recipe import Component, Recipe
    from eidos.model.snapshot import Snapshot
    from eidos.recipe.store import open_store
    from eidos.workflow import (
        SnapshotOptions,
        check_node,
        compare,
        make_bundle,
        make_recipe,
        pack_bundle,
        parse_recipe,
        parse_snapshot,
        plan_bundle,
        read_bundle,
        take_snapshot,
        verify_bundle,
        write_bundle,
    )

__all__ = [
    "Assignment",
    "Bundle",
    "BundleOptions",
    "BundlePlan",
    "BundleProblem",
    "Change",
    "CheckOptions",
    "CheckReport",
    "ClusterSelection",
    "Component",
    "ComponentValues",
    "Constraint",
    "DBusError",
    "Diff",
    "EidosError",
    "Finding",
    "IntegrityError",
    "InvalidData",
    "InvalidInput",
    "KubeError",
    "Measurement",
    "NotFound",
    "NvmlError",
    "Outcome",
    "Outdated",
    "Query",
    "RateLimited",
    "Recipe",
    "Remedy",
    "RemedyStep",
    "Snapshot",
    "SnapshotOptions",
    "Subtype",
    "Timeout",
    "Unavailable",
    "check_node",
    "compare",
    "make_bundle",
    "make_recipe",
    "open_store",
    "pack_bundle",
    "parse_assignment",
    "parse_recipe",
    "parse_snapshot",
    "parse_toleration",
    "plan_bundle",
    "read_bundle",
    "take_snapshot",
    "to_json",
    "to_yaml",
    "verify_bundle",
    "write_bundle",
]

#: Module → the public names that it defines.
_PUBLIC_NAMES = {
    "eidos.bundle.bundle_options": ("Assignment", "BundleOptions", "ComponentValues", "parse_assignment"),
    "eidos.bundle.verification": ("BundleProblem",),
    "eidos.check.judge": ("CheckOptions",),
    "eidos.collectors": ("ClusterSelection",),
    "eidos.errors": (
        *("DBusError", "EidosError", "IntegrityError", "InvalidData", "InvalidInput", "KubeError", "NotFound", "NvmlError"),
        *("Outdated", "RateLimited", "Timeout", "Unavailable"),
    ),
    "eidos.formats": ("to_json", "to_yaml"),
    "eidos.kube.labels": ("parse_toleration",),
    "eidos.model.bundle": ("Bundle",),
    "eidos.model.bundle_plan": ("BundlePlan",),
    "eidos.model.check_report": ("CheckReport",),
    "eidos.model.constraint": ("Constraint",),
    "eidos.model.diff": ("Change", "Diff"),
    "eidos.model.finding": ("Finding", "Remedy", "RemedyStep"),
    "eidos.model.measurement": ("Measurement", "Outcome", "Subtype"),
    "eidos.model.query": ("Query",),
    "eidos.model.recipe": ("Component", "Recipe"),
    "eidos.model.snapshot": ("Snapshot",),
    "eidos.recipe.store": ("open_store",),
    "eidos.workflow": (
        *("SnapshotOptions", "check_node", "compare", "make_bundle", "make_recipe", "pack_bundle", "parse_recipe", "parse_snapshot"),
        *("plan_bundle", "read_bundle", "take_snapshot", "verify_bundle", "write_bundle"),
    ),
}


if not TYPE_CHECKING:  # a type checker would take any name for one that exists

    def __getattr__(name: str) -> object:
        """The public name ``name``, from the module that defines it."""
        for module, names in _PUBLIC_NAMES.items():
            if name in names:
                value: object = getattr(__import__(module, fromlist=[name]), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The names of the module, public ones that are not loaded yet included."""
    return sorted({*globals(), *__all__})
