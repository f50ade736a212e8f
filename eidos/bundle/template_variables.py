"""The variables of templates: every name that a placeholder may have, and its value.

Knows how recipe, component and options become variables; must not know templates. A name without a value is *absent*: a reading that the
recipe does not have, a field that its query leaves open, an option that was not set.

===========================  =====================================================================
``image.X`` ``config.X`` …   the reading X of a subtype, with its type: ``image.driver``, ``config.mig``, ``smi.driver``
``driver.version``           ``image.driver``, or else ``smi.driver``
``cuda-version``             ``smi.cuda-version``
``cuda-version.tag``         the same with three numbers, as tags of images have it
``os.tag``  ``os.tag.X``     the end of a driver container's tag: ``ubuntu24.04``, ``rocky9``; X: major, full
``config.kernel-module-type``  ``open`` or ``proprietary``, as ``config.useOpenKernelModule`` says
``query.X``  ``request``     the query of the recipe, and as a sentence
``recipe.X``                 timestamp, version, digest, title
``component.X``              id, title, release, chart, chart-ref, repository, version, namespace, why, depends
``component.served-by``      what shows that others do its work; ``component.parts`` the same for parts of the chart that are on
``component.upgrades``       the releases from which the chart can be upgraded to this version; empty where it is not known to matter
``component.fetched``        the addresses of manifests that are fetched when the component is installed, a list in Markdown
``component.crds``           the chart's custom resource definitions, each with the objects of its own; ``component.crds-unknown``
``host.X``                   the settings of the host, see :mod:`eidos.bundle.node_tuning`
``unchecked``                what nothing is known of, for a README: versions of charts, images
``existing.summary``         what runs in the cluster already, and what becomes of each component, for a README
``setting.X``                the settings of the set of templates, from its index
``values.PATH``              the component's values, for its other files
``node-selector.X`` ``toleration.X``  of accelerated and system nodes, when they are set
``registry``                 the mirror, when there is one; ``charts.note`` what is said of charts that the bundle carries
``images.note``              what is said of images that it carries; ``images.pairs`` digest and path in a registry of each,
                             ``images.registry`` the mirror from which the values pull them, which may be empty
===========================  =====================================================================
"""

from __future__ import annotations

from eidos import __version__
from eidos.bundle.registry_mirror import mirror_repository
from eidos.model.number_format import format_scalar
from eidos.model.recipe import PAIR
from eidos.model.recipe_consistency import agrees_with_branch
from eidos.model.tree_reader import TreeReader
from eidos.templates.text_template import Markdown, escape_markdown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from eidos.bundle.bundle_options import BundleOptions
    from eidos.model.chart import Chart
    from eidos.model.recipe import Component, Recipe

    Variables = dict[str, Any]

#: What a recipe is generic in, in words.
_GENERIC = {"gpu": "this GPU", "service": "this service", PAIR: "this GPU on this service"}

_MODULE_TYPES = {True: "open", False: "proprietary"}


def _system_tags(os: str, osv: str) -> dict[str, str]:
    """The end of the tags of driver containers, for systems that have some.

    ``os.tag`` as GPU Operator 26.3 makes it: of Rocky Linux, and of RHEL since 10, the major version alone; ``os.tag.major`` as 26.7
    does: of every RHEL and Rocky Linux; ``os.tag.full`` as 25.x does: never. Source: controllers/state_manager.go of v25.3.3, v26.3.3 and
    v26.7.0.

    >>> _system_tags("rhel", "9.6"), _system_tags("debian", "12")
    ({'os.tag': 'rhel9.6', 'os.tag.major': 'rhel9', 'os.tag.full': 'rhel9.6'}, {})
    """
    if os not in ("ubuntu", "rhel", "rocky") or not osv:
        return {}
    major = osv.partition(".")[0]
    is_short = os == "rocky" or (os == "rhel" and len(major) > 1)
    return {
        "os.tag": f"{os}{major if is_short else osv}",
        "os.tag.major": f"{os}{osv if os == 'ubuntu' else major}",
        "os.tag.full": f"{os}{osv}",
    }


def recipe_variables(recipe: Recipe, options: BundleOptions) -> Variables:
    """The variables of all components of a bundle."""
    variables: Variables = {"eidos.version": __version__}
    for measurement in recipe.measurements:
        for subtype in measurement.subtypes:
            for key, value in subtype.data.items():
                # Tags that look like numbers come as numbers from programs that do not quote.
                tag = subtype.name == "image" and not isinstance(value, bool)
                variables[f"{subtype.name}.{key}"] = format_scalar(value) if tag else value
    for name, sources in (("driver.version", ("image.driver", "smi.driver")), ("cuda-version", ("smi.cuda-version",))):
        values = [variables[source] for source in sources if variables.get(source, "") != ""]
        if values:
            variables[name] = format_scalar(values[0])
    if "cuda-version" in variables:  # images have three numbers in their tags, drivers report two
        variables["cuda-version.tag"] = variables["cuda-version"] + (".0" if variables["cuda-version"].count(".") == 1 else "")
    variables.update(_system_tags(recipe.request.os, recipe.request.osv))
    is_open = variables.get("config.useOpenKernelModule")
    if isinstance(is_open, bool):
        variables["config.kernel-module-type"] = _MODULE_TYPES[is_open]
    query = recipe.request.fields()
    variables.update({f"query.{field}": value for field, value in query.items()})
    variables["request"] = ", ".join(f"{field} {value}" for field, value in query.items()) or "any GPU node"
    variables["recipe.title"] = _title(query)
    variables.update({f"recipe.{field}": getattr(recipe, field) for field in ("timestamp", "version", "digest")})
    if recipe.generic:
        missing = " or ".join(_GENERIC.get(name, name) for name in recipe.generic)
        variables["generic"] = f"This bundle is generic: no recipe is made for {missing}. Review its values before you install it."
    if recipe.impossible:
        impossible = f"No such node is possible: {'; '.join(recipe.impossible)}."
        variables["generic"] = f"{impossible} {variables.get('generic', '')}".strip()
    for kind, selector, tolerations in (
        ("accelerated", options.accelerated_node_selector, options.accelerated_tolerations),
        ("system", options.system_node_selector, options.system_tolerations),
    ):
        if selector:
            variables[f"node-selector.{kind}"] = dict(selector)
        if tolerations:
            variables[f"toleration.{kind}"] = [dict(toleration) for toleration in tolerations]
    if options.registry:
        variables["registry"] = options.registry
    return variables


def _title(query: Mapping[str, str]) -> str:
    """What a bundle is for, in words.

    >>> _title({"gpu": "h100", "service": "eks", "intent": "training"})
    'h100 on eks for training'
    """
    words = [query.get("gpu") or "any GPU"]
    if query.get("service"):
        words += ["on", query["service"]]
    if query.get("intent"):
        words += ["for", query["intent"]]
    if query.get("platform", "none") != "none":
        words += ["with", query["platform"]]
    system = " ".join(filter(None, (query.get("os"), query.get("osv"))))
    return " ".join(words) + (f", {system}" if system else "")


def component_variables(
    shared: Variables, component: Component, title: str, settings: Mapping[str, Any], options: BundleOptions
) -> Variables:
    """The variables of one component: the shared ones and its own. Its values come later, see :func:`add_values`."""
    source = mirror_repository(component.repository, options.registry) if component.chart else ""
    is_oci = source.startswith("oci://")
    variables = dict(shared)
    variables.update(
        {
            "component.id": component.id,
            "component.title": title,
            "component.release": component.id,
            "component.chart": component.chart,
            "component.chart-ref": f"{source.rstrip('/')}/{component.chart}" if is_oci else component.chart,
            "component.repository": "" if is_oci else source,
            "component.version": component.version if component.chart else "",
            "component.namespace": component.namespace,
            "component.why": component.why,
            "component.depends": list(component.depends),
        }
    )
    variables.update({f"setting.{name}": value for name, value in settings.items()})
    return variables


def cluster_variables(chart: Chart, crds: object, name: str, values: Mapping[str, Any], version: str = "") -> Variables:
    """What scripts know of a cluster with this ``version`` of a component.

    Probes, the releases that can be upgraded to it, and custom resource definitions, without those of parts that are off. ``crds`` is the
    tree of the file ``name``, None if there is none. Items of ``component.parts`` are a value and a probe, those of ``component.crds`` a
    name and, behind ``=``, names of objects, ``*`` being all in the namespace of the release.
    """
    tree = TreeReader(crds, name) if crds is not None else None
    defaults = tree.scalars("parts") if tree else {}

    def is_on(part: str) -> bool:
        value: object = values
        for key in part.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return bool(defaults.get(part, True) if value is None else value)

    definitions = []
    for entry in tree.mappings("crds") if tree else ():
        if not entry.text("part") or is_on(entry.text("part")):
            made = ",".join(entry.texts("made"))
            definitions.append(f"{entry.name('name')}={made}" if made else entry.name("name"))
    return {
        "component.served-by": [probe.words for probe in chart.served_by],
        "component.parts": [f"{probe.part} {probe.words}" for probe in chart.parts if is_on(probe.part)],
        "component.upgrades": next((list(chart.upgrades[to]) for to in chart.upgrades if agrees_with_branch(version, to)), []),
        "component.crds": definitions,
        "component.crds-unknown": "yes" if chart.chart and tree is None else "",
    }


def add_values(variables: Variables, values: Mapping[str, Any]) -> Variables:
    """A copy of the variables with ``values.PATH`` for every value and every mapping of values."""
    extended = dict(variables)
    remaining: list[tuple[str, Any]] = [("values", values)]
    while remaining:
        path, tree = remaining.pop()
        if isinstance(tree, dict):
            remaining += [(f"{path}.{key}", value) for key, value in tree.items()]
        if path != "values":
            extended[path] = tree
    return extended


def bundle_variables(shared: Variables, made: Sequence[tuple[Component, str]], recipe: Recipe) -> Variables:
    """The variables of the files at the top of a bundle; ``made`` are components and their titles, in the order of their installation."""
    order = [component.id for component, _ in made]
    variables = dict(shared)
    variables.update({"order": order, "order.reverse": order[::-1]})
    variables["components-table"] = Markdown(
        _table(
            ("", "component", "chart", "version", "namespace", "why"),
            (
                (
                    str(number),
                    component.id,
                    component.chart or "manifests",
                    component.version if component.chart else "",
                    component.namespace,
                    component.why or _needed_by(component.id, made) or title,
                )
                for number, (component, title) in enumerate(made, 1)
            ),
        )
    )
    reasons = any(subtype.context for measurement in recipe.measurements for subtype in measurement.subtypes)
    variables["readings-table"] = Markdown(
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
    return variables


def _needed_by(id: str, made: Sequence[tuple[Component, str]]) -> str:
    """Why a component is there, when the recipe does not say it: those that depend on it."""
    owners = [component.id for component, _ in made if id in component.depends]
    return f"needed by {', '.join(owners)}" if owners else ""


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *(tuple(map(escape_markdown, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
