"""What a recipe is made for, and from which data: the flags of every verb that makes one.

Knows the fields of a query as flags, and ``--data``; must not know what a verb does with the recipe.
"""

from __future__ import annotations

from eidos import log
from eidos.cli import document_locations
from eidos.cli.commands import BUILT_FOR
from eidos.cli.options import Option
from eidos.errors import InvalidInput
from eidos.model.query import FIELDS
from eidos.model.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from eidos.cli.options import Values
    from eidos.model.plugin import Plugin
    from eidos.recipe.data_stack import DataPart
    from eidos.recipe.store import Store

#: The fields of a query.
QUERY_OPTIONS = (
    Option("os", "match this operating system: ubuntu, rhel, cos and others", "NAME"),
    Option("osv", "match this version of it: 24.04", "VERSION"),
    Option("kernel", "match this kernel version: 6.8, 6.8.0-1028-aws", "VERSION"),
    Option("service", "match this cluster service: eks, gke, aks, oke, self-managed", "NAME"),
    Option("k8s", "match this Kubernetes version: 1.33, v1.33.5-eks-3025e55", "VERSION"),
    Option("gpu", "match this GPU: h100, gb200, l40s and others", "NAME"),
    Option("intent", "match this intent: training, inference", "NAME"),
    Option("platform", "match this workload platform: kubeflow, slurm, dynamo, nim, kueue, run-ai, none", "NAME"),
    Option("machine", "match this machine type, which implies GPU and service: p5.48xlarge", "NAME"),
)


def open_store(data: Sequence[str] | None, values: Values | None = None) -> Store:
    """The shipped recipe data, with that of ``--data`` laid over it in order, whose lint issues are a warning.

    ``values`` select the cluster of a place in one.
    """
    from eidos.recipe import store

    plugins = values.get("plugin", ()) if values is not None else ()
    if not data and not plugins:
        return store.shipped_store()
    from eidos.recipe.lint import ERROR, lint_path, lint_stack

    data = data or ()
    parts = document_locations.read_data(data, values) if data else ()
    if plugins:
        parts = with_plugins(plugins, parts, data)
    references = tuple(plugin.reference() for plugin in plugins)
    if not parts and not data:
        return replace(store.shipped_store(), plugins=references)
    opened = replace(store.stack_store(parts) if parts else store.open_store(data), plugins=references)
    faults = lint_stack(parts) if parts else lint_path(data[0])
    if faults:
        from eidos.wording import count_of

        worst = next((fault for fault in faults if fault.severity == ERROR), faults[0])
        flags = " ".join([*(f"--plugin {plugin.path}" for plugin in plugins), *(f"--data {location}" for location in data)])
        see_all = f"run 'eidos recipe lint {flags}' to see all" + (", with the full eidos.pyz" if BUILT_FOR else "")
        log.warn(f"{flags}: lint found {count_of(len(faults), 'issue')}, the worst: {worst}", hint=see_all)
    return opened


def with_plugins(plugins: Sequence[Plugin], parts: tuple[DataPart, ...], data: Sequence[str]) -> tuple[DataPart, ...]:
    """The data of plug-ins, below that of ``--data``; InvalidInput for a file that replaces all data."""
    from eidos.recipe.data_stack import parts_of_plugins

    added = parts_of_plugins(plugins)
    if added and data and not parts:
        raise InvalidInput(f"{data[0]}: one file replaces the built-in data and cannot be combined with plug-ins", "name a folder")
    return (*added, *parts)


def query_words(values: Values) -> dict[str, str]:
    """The words of the query, by field."""
    return {field: values[field] for field in FIELDS if values[field] is not None}
