"""What templates may call by name, and what it stands for.

Knows the table of names, in which everything that a recipe, a component and the flags say has one; must not know templates. A name that is
not in the table is *absent*: a reading that the recipe does not have, a field that was not asked for, a flag that was not given.

===========================  =====================================================================
``image.X`` ``config.X`` …   the reading X of a subtype, with its type: ``image.driver``, ``config.mig``, ``smi.driver``
``driver.version``           ``image.driver``, or else ``smi.driver``
``cuda-version``             ``smi.cuda-version``
``cuda-version.tag``         the same with three numbers, as tags of images have it
``config.kernel-module-type``  ``open`` or ``proprietary``, as ``config.useOpenKernelModule`` says
``query.X``  ``request``     what the recipe was asked for, and as a sentence
``recipe.X``                 timestamp, version, digest, title
``component.X``              id, title, release, chart, chart-ref, repository, version, namespace, why, depends
``setting.X``                what the set of templates says in its index
``values.PATH``              the component's values, for what is made after them
``node-selector.X`` ``toleration.X``  of accelerated and system nodes, when the flags say
``registry``                 the mirror, when there is one
===========================  =====================================================================
"""

from __future__ import annotations

from eidos import __version__
from eidos.bundle import registry_mirror
from eidos.model.number_format import format_scalar
from eidos.templates.text_template import Markdown, markdown_cell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from eidos.bundle.bundle_options import Options
    from eidos.model.recipe import Component, Recipe

    Names = dict[str, Any]

_MODULE_TYPES = {True: "open", False: "proprietary"}


def of_recipe(recipe: Recipe, options: Options) -> Names:
    """What holds for all components of a bundle."""
    names: Names = {"eidos.version": __version__}
    for measurement in recipe.measurements:
        for subtype in measurement.subtypes:
            for key, value in subtype.data.items():
                # Tags that look like numbers come as numbers from programs that do not quote.
                tag = subtype.name == "image" and not isinstance(value, bool)
                names[f"{subtype.name}.{key}"] = format_scalar(value) if tag else value
    for name, sources in (("driver.version", ("image.driver", "smi.driver")), ("cuda-version", ("smi.cuda-version",))):
        found = [names[source] for source in sources if names.get(source, "") != ""]
        if found:
            names[name] = format_scalar(found[0])
    if "cuda-version" in names:  # images have three numbers in their tags, drivers tell two
        names["cuda-version.tag"] = names["cuda-version"] + (".0" if names["cuda-version"].count(".") == 1 else "")
    opened = names.get("config.useOpenKernelModule")
    if isinstance(opened, bool):
        names["config.kernel-module-type"] = _MODULE_TYPES[opened]
    said = recipe.request.fields()
    names.update({f"query.{field}": value for field, value in said.items()})
    names["request"] = ", ".join(f"{field} {value}" for field, value in said.items()) or "any GPU node"
    names["recipe.title"] = _title(said)
    names.update({f"recipe.{field}": getattr(recipe, field) for field in ("timestamp", "version", "digest")})
    if recipe.uncovered:
        names["uncovered"] = " and ".join(recipe.uncovered)
    for kind, selector, tolerations in (
        ("accelerated", options.accelerated_node_selector, options.accelerated_tolerations),
        ("system", options.system_node_selector, options.system_tolerations),
    ):
        if selector:
            names[f"node-selector.{kind}"] = dict(selector)
        if tolerations:
            names[f"toleration.{kind}"] = [dict(toleration) for toleration in tolerations]
    if options.registry:
        names["registry"] = options.registry
    return names


def _title(said: Mapping[str, str]) -> str:
    """What a bundle is for, in words.

    >>> _title({"gpu": "h100", "service": "eks", "intent": "training"})
    'h100 on eks for training'
    """
    words = [said.get("gpu") or "any GPU"]
    if said.get("service"):
        words += ["on", said["service"]]
    if said.get("intent"):
        words += ["for", said["intent"]]
    system = " ".join(filter(None, (said.get("os"), said.get("osv"))))
    return " ".join(words) + (f", {system}" if system else "")


def of_component(shared: Names, component: Component, title: str, settings: Mapping[str, Any], options: Options) -> Names:
    """What holds for one component: the shared names and its own. Its values come later, see :func:`with_values`."""
    source = registry_mirror.repository(component.repository, options.registry) if component.chart else ""
    remote = source.startswith("oci://")
    names = dict(shared)
    names.update(
        {
            "component.id": component.id,
            "component.title": title,
            "component.release": component.id,
            "component.chart": component.chart,
            "component.chart-ref": f"{source.rstrip('/')}/{component.chart}" if remote else component.chart,
            "component.repository": "" if remote else source,
            "component.version": component.version if component.chart else "",
            "component.namespace": component.namespace,
            "component.why": component.why,
            "component.depends": list(component.depends),
        }
    )
    names.update({f"setting.{name}": value for name, value in settings.items()})
    return names


def with_values(names: Names, values: Mapping[str, Any]) -> Names:
    """The names, and ``values.PATH`` for every value and every part of values."""
    more = dict(names)
    waiting: list[tuple[str, Any]] = [("values", values)]
    while waiting:
        path, tree = waiting.pop()
        if isinstance(tree, dict):
            waiting += [(f"{path}.{key}", value) for key, value in tree.items()]
        if path != "values":
            more[path] = tree
    return more


def of_bundle(shared: Names, components: Iterable[tuple[Component, str]], recipe: Recipe) -> Names:
    """What holds for the files at the top of a bundle; ``components`` come with their titles, in the order in which they are installed."""
    made = list(components)
    order = [component.id for component, _ in made]
    names = dict(shared)
    names.update({"order": order, "order.reverse": order[::-1]})
    names["components-table"] = Markdown(
        _table(
            ("", "component", "chart", "version", "namespace", "why"),
            (
                (
                    str(number),
                    component.id,
                    component.chart or "manifests",
                    component.version if component.chart else "",
                    component.namespace,
                    component.why or _needed(component.id, made) or title,
                )
                for number, (component, title) in enumerate(made, 1)
            ),
        )
    )
    reasons = any(subtype.context for measurement in recipe.measurements for subtype in measurement.subtypes)
    names["readings-table"] = Markdown(
        _table(
            ("reading", "value", "why") if reasons else ("reading", "value"),
            (
                (f"{measurement.type}.{subtype.name}.{key}", format_scalar(value), *([subtype.context.get(key, "")] if reasons else []))
                for measurement in recipe.measurements
                for subtype in measurement.subtypes
                for key, value in subtype.data.items()
            ),
        )
    )
    return names


def _needed(id: str, made: Iterable[tuple[Component, str]]) -> str:
    """What a component is there for, when the recipe does not say it: those that depend on it."""
    owners = [component.id for component, _ in made if id in component.depends]
    return f"needed by {', '.join(owners)}" if owners else ""


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *(tuple(map(markdown_cell, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
