"""What runs in a cluster and on its hosts already, what that means for each component of a bundle, and what its plan and README say of it.

Knows which readings of a snapshot show a component, its version and the owner of a driver, what follows, and how that changes a plan;
must not know any component: ``recipes/installations.yaml`` does. What the snapshot does not show is reported as not known, and never taken
for absent.
"""

from __future__ import annotations

from eidos.bundle.chart_values import get_value, requested_values, set_value
from eidos.bundle.component_files import bound_names, make_component
from eidos.bundle.image_list import read_chart_images
from eidos.bundle.install_plan import plan_installation
from eidos.bundle.installation_facts import Installation, chart_contents, load_chart_contents, load_installations
from eidos.bundle.template_sets import VALUES
from eidos.errors import InvalidInput
from eidos.model import values_schema
from eidos.model.bundle_plan import INSTALL, KEEP, LEAVE_OUT, REFUSE, UNKNOWN, UPGRADE, ComponentDecision
from eidos.model.number_format import format_scalar
from eidos.model.recipe import copy_tree
from eidos.model.recipe_consistency import agrees, agrees_with_branch, upgrade_steps
from eidos.model.record import Record, replace
from eidos.semver import try_parse_version
from eidos.templates.text_template import escape_markdown
from eidos.wording import list_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from eidos.bundle.bundle_options import BundleOptions
    from eidos.bundle.component_files import BundleContext
    from eidos.bundle.install_plan import InstallPlan
    from eidos.model.chart import Chart
    from eidos.model.recipe import Component, Recipe
    from eidos.model.snapshot import Snapshot

#: The subtypes that show what runs, and the readings that show a driver.
_IMAGES, _POLICY = "K8s.image", "K8s.policy"
_MODULE, _DRIVER = "OS.kmod.nvidia", "GPU.smi.driver"

_COLLECTORS = {_IMAGES: "k8s.image"}
_REMEDY = "take the snapshot where the cluster can be reached"


class ExistingCluster(Record):
    """What a snapshot shows: readings as text by path, and the subtypes that it has.

    ``partial`` are collectors that could not read everything; ``has_modules`` says whether the kernel's modules were read, of which a host
    may have none.
    """

    label: str
    facts: dict[str, str]
    subtypes: frozenset[str]
    partial: frozenset[str] = frozenset()
    has_modules: bool = False

    @property
    def has_images(self) -> bool:
        """Whether the images of the cluster's Pods are known."""
        return _IMAGES in self.subtypes

    def tags(self, image: str) -> list[str]:
        """The tags of an image, of whichever registry, in the order of their versions; ``image`` may begin with folders of its path."""
        prefix = f"{_IMAGES}."
        tags = {self.facts[prefix + image]: None} if prefix + image in self.facts else {}
        for path in self.facts:
            reference = path[len(prefix) :] if path.startswith(prefix) and "/" in path else ""
            folder, _, last = reference.rpartition("/")
            name, colon, tag = last.partition(":")
            if colon and f"/{folder}/{name}".endswith(f"/{image}"):
                tags[tag] = None
        return sorted(tags, key=_version_key)


def read_existing(snapshot: Snapshot) -> ExistingCluster:
    """What ``snapshot`` shows of its cluster and of its host."""
    facts = snapshot.readings()
    subtypes = frozenset(f"{m.type}.{s.name}" for m in snapshot.measurements for s in m.subtypes if s.data)
    partial = frozenset(each.name for each in snapshot.collectors if each.outcome == "partial")
    label = f"of {snapshot.node or 'a cluster'}"
    modules = "OS.kmod" in subtypes or any((each.name, each.outcome) == ("os.kmod", "ok") for each in snapshot.collectors)
    return ExistingCluster(label, facts, subtypes, partial, modules)


def unknown_facts(existing: ExistingCluster) -> list[str]:
    """A sentence for each kind of facts that decisions need and the snapshot does not have."""
    sentences = []
    if not existing.has_images:
        sentences.append(f"existing releases are not known: the snapshot has no {_IMAGES}; {_REMEDY}")
    elif _COLLECTORS[_IMAGES] in existing.partial:
        sentences.append(f"existing releases are not all known: {_IMAGES} of the snapshot is partial")
    if not existing.has_modules and _DRIVER not in existing.facts:
        sentences.append("whether hosts have a driver of their own is not known: the snapshot has neither OS.kmod nor GPU.smi")
    return sentences


def decide(
    components: Iterable[Component],
    recipe: Recipe,
    options: BundleOptions,
    charts: Mapping[str, Chart],
    requested: Mapping[str, tuple[dict[str, Any], dict[str, Any]]],
    load_chart_data: Callable[[str], object],
    existing: ExistingCluster,
    installations: Mapping[str, Installation],
) -> dict[str, ComponentDecision]:
    """What becomes of each component, by id.

    ``requested`` is what the recipe and the caller set of each, and what the caller alone does.
    """
    decisions = {}
    named = {each.component for each in options.assignments if (each.path, each.value) == ("enabled", "true")}
    named.update(options.components or (), options.changed_components(), options.namespaces)
    for component in components:
        installation = installations.get(component.id, Installation())
        decision = _decide_release(component, charts[component.id], installation, existing, load_chart_data, component.id in named)
        if installation.driver and decision.action not in (REFUSE, LEAVE_OUT):
            both, caller = requested.get(component.id, ({}, {}))
            decision = _with_driver(decision, component, recipe, installation.driver, both, caller, existing)
        if decision.action == UPGRADE:
            crds = _definitions_step(component, installation, requested.get(component.id, ({}, {}))[0])
            decision = replace(decision, steps=(*decision.steps, *crds))
        decisions[component.id] = decision
    return decisions


def _decide_release(
    component: Component,
    chart: Chart,
    installation: Installation,
    existing: ExistingCluster,
    load_chart_data: Callable[[str], object],
    is_named: bool,
) -> ComponentDecision:
    id = component.id
    if not existing.has_images:
        return ComponentDecision(id, UNKNOWN, reason=f"the snapshot has no {_IMAGES}")
    if not installation.images:
        return ComponentDecision(id, UNKNOWN, reason="no image is known that shows it")
    image = next((name for name in installation.images if existing.tags(name)), "")
    if not image:
        if _COLLECTORS[_IMAGES] in existing.partial:
            return ComponentDecision(
                id, UNKNOWN, reason=f"{_IMAGES} of the snapshot is partial, and has no {list_words(installation.images)}"
            )
        return ComponentDecision(id, INSTALL, reason=f"no Pod runs {list_words(installation.images)}")
    tags = existing.tags(image)
    running = ", ".join(tags)
    if installation.shared and not is_named:
        reason = (
            f"{image} {running} runs, whoever installed it: it is used, and not replaced; --set {id}:enabled=true builds it all the same"
        )
        return ComponentDecision(id, LEAVE_OUT, running, reason)
    if not component.chart or not _is_chart_version(image, component, chart, load_chart_data):
        return ComponentDecision(id, UNKNOWN, running, f"{image} {running} runs, of which version of the chart is not known")
    return _compare_versions(component, chart, image, tags)


def _compare_versions(component: Component, chart: Chart, image: str, tags: list[str]) -> ComponentDecision:
    id, target, running = component.id, component.version, ", ".join(tags)
    versions, goal = [try_parse_version(tag) for tag in tags], try_parse_version(target)
    known = [version for version in versions if version is not None]
    if goal is None or len(known) != len(versions):
        return ComponentDecision(id, UNKNOWN, running, f"{image} {running} runs, which cannot be compared with {target}")
    if any(goal < version for version in known):
        hint = f"build a bundle with {id} {tags[-1]} or newer, or leave it as it is with --set {id}:enabled=false"
        return ComponentDecision(id, REFUSE, running, f"{image} {running} runs, and this bundle has the older {target}", hint=hint)
    if all(agrees(tag, target) for tag in tags):
        return ComponentDecision(id, KEEP, running, f"{image} {running} runs already: install.sh changes what differs in its values")
    steps = upgrade_steps(tags[0], target, chart.upgrades)
    begins = next((after for to, after in chart.upgrades.items() if agrees_with_branch(target, to)), None)
    if steps is None and begins:
        reason = f"{image} {running} runs, which cannot be upgraded to {target}: that begins at {' or '.join(begins)}"
        return ComponentDecision(
            id, REFUSE, running, reason, hint=f"leave it as it is with --set {id}:enabled=false, or uninstall it first"
        )
    before = tuple(f"upgrade {id} to {step} first" for step in steps or ())
    return ComponentDecision(id, UPGRADE, running, f"{image} {running} runs", before)


def _is_chart_version(image: str, component: Component, chart: Chart, load_chart_data: Callable[[str], object]) -> bool:
    """Whether the tag of an image is the version of the chart, as it is in the version of the bundle."""
    if f"{_IMAGES}.{image}" in chart.readings.get("version", ()):
        return True
    known = read_chart_images(component.id, component.version, chart.images, load_chart_data)
    texts = (each.fill({})[0].partition("@")[0].rpartition(":") for each in (known.images if known else ()))
    return any(f"/{name}".endswith(f"/{image}") and agrees(tag, component.version) for name, _, tag in texts)


def _definitions_step(component: Component, installation: Installation, values: Mapping[str, Any]) -> list[str]:
    """How the custom resource definitions of an upgraded chart come before the rest of it."""
    hook = installation.crd_hook
    value = get_value(values, values_schema.parse_path(hook)) if hook else None
    if hook and (value is None or format_scalar(value) != "false"):
        return [f"its definitions of resources are upgraded first, by a hook of the chart ({hook})"]
    contents = chart_contents(load_chart_contents(), component.id, component.version)
    if contents is None:
        return ["whether helm upgrades its definitions of resources is not known: read the notes of the release"]
    if not contents.definitions:
        return []
    where = f"{component.repository.rstrip('/')}/{component.chart}" if component.repository.startswith("oci://") else component.chart
    repo = "" if component.repository.startswith("oci://") else f" --repo {component.repository}"
    show = f"helm show crds {where}{repo} --version {component.version}"
    return [f"helm does not upgrade its definitions of resources; before it run: {show} | kubectl apply --server-side --filename -"]


def _with_driver(
    decision: ComponentDecision,
    component: Component,
    recipe: Recipe,
    driver: Mapping[str, str],
    both: Mapping[str, Any],
    caller: Mapping[str, Any],
    existing: ExistingCluster,
) -> ComponentDecision:
    """The decision with what a driver means that the hosts have already."""
    switch, version_path = driver["value"], driver["version"]
    owner = _driver_owner(existing, driver, bool(decision.running))
    if owner == "":
        return decision
    version = existing.facts.get(_DRIVER, "")
    shown = f"the host has an NVIDIA driver{version and f' {version}'}"
    chosen = get_value(both, values_schema.parse_path(switch))
    own_choice = get_value(caller, values_schema.parse_path(switch))
    is_off, is_forced = format_scalar(chosen) == "false" if chosen is not None else False, own_choice is not None
    if owner == UNKNOWN:
        reason = f"{shown}, and whether {component.id} installed it is not known: the snapshot has no {_IMAGES}"
        return decision if is_forced or is_off else replace(decision, reason=joined(decision.reason, reason))
    if is_off:
        return replace(decision, reason=joined(decision.reason, f"{shown}, which it uses"))
    if is_forced:
        reason = f"{shown} that {component.id} did not install, and --set {component.id}:{switch}=true installs a second one"
        hint = f"omit --set {component.id}:{switch}=true, or remove the driver of the hosts first"
        return replace(decision, action=REFUSE, reason=reason, hint=hint)
    requested = get_value(caller, values_schema.parse_path(version_path))
    if requested is not None and version and not agrees(requested, version):
        reason = f"{shown} that {component.id} did not install, and --set {component.id}:{version_path} asks for another"
        hint = f"omit --set {component.id}:{version_path}, or remove the driver of the hosts first"
        return replace(decision, action=REFUSE, reason=reason, hint=hint)
    for constraint in recipe.constraints:
        if constraint.name == _DRIVER and version and constraint.value.holds(version) is False:
            reason = f"{shown} that {component.id} did not install, and the recipe requires {_DRIVER} {constraint.value}"
            hint = f"upgrade the driver of the hosts, or remove it so that {component.id} installs one"
            return replace(decision, action=REFUSE, reason=reason, hint=hint)
    recommended = get_value(both, values_schema.parse_path(version_path)) or format_scalar(recipe.readings().get(_DRIVER))
    note = f"; the recipe recommends {recommended}" if recommended and version and not agrees(recommended, version) else ""
    reason = joined(decision.reason, f"{shown} that {component.id} did not install: it stays, with {switch}=false{note}")
    return replace(decision, reason=reason, values={switch: False})


def _driver_owner(existing: ExistingCluster, driver: Mapping[str, str], is_running: bool) -> str:
    """``host`` where a driver is loaded that no component installed, UNKNOWN where that is not known, else ""."""
    facts = existing.facts
    policy = facts.get(f"{_POLICY}.{driver['value']}")
    is_loaded = facts.get(_MODULE) == "true" or bool(facts.get(_DRIVER))
    if policy is not None:
        return "host" if policy == "false" and is_loaded else ""
    if not is_loaded or any(path.startswith(f"{_POLICY}.nvidiadriver/") for path in facts):
        return ""
    if not existing.has_images:
        return UNKNOWN
    has_container = any(path.endswith(f"/{driver['image']}") or f"/{driver['image']}:" in path for path in _image_paths(facts))
    return "" if is_running and has_container else "host"


def _image_paths(facts: Mapping[str, str]) -> list[str]:
    prefix = f"{_IMAGES}."
    return [f"/{path[len(prefix) :]}" for path in facts if path.startswith(prefix)]


def joined(*sentences: str) -> str:
    """Those that are not empty, as one."""
    return "; ".join(filter(None, sentences))


def _version_key(tag: str) -> tuple[bool, Any, str]:
    version = try_parse_version(tag)
    return version is None, version.key if version is not None else (), tag


class ClusterComparison(Record):
    """What became of each component: ``decisions`` by id, those ``left_out`` among them, and a sentence for what the snapshot lacks."""

    label: str
    decisions: dict[str, ComponentDecision]
    left_out: tuple[ComponentDecision, ...]
    unknown: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[ComponentDecision, ...]:
        """Those that cannot be installed over what runs."""
        return tuple(each for each in self.decisions.values() if each.action == REFUSE)

    def leave_out(self, id: str, reason: str) -> ClusterComparison:
        """The same with one more component left out."""
        decision = replace(self.decisions[id], action=LEAVE_OUT, reason=reason, steps=())
        return replace(self, decisions={**self.decisions, id: decision}, left_out=(*self.left_out, decision))

    def warnings(self) -> Iterator[str]:
        """What a person has to know of it."""
        yield from self.unknown
        for each in self.decisions.values():
            if each.action == LEAVE_OUT:
                yield f"{each.id} is left out: {each.reason}"
            elif each.action == UPGRADE and each.steps:
                yield f"{each.id} is an upgrade from {each.running}: {'; '.join(each.steps)}"
            if each.values or (each.action == UNKNOWN and each.reason.count("; ")):
                yield f"{each.id}: {each.reason}"

    def summary(self) -> str:
        """The section of a README, in Markdown."""
        rows = [
            f"| {each.id} | {each.running or '-'} | {each.action} | {escape_markdown(_full_reason(each))} |"
            for each in self.decisions.values()
        ]
        table = "\n".join(["| component | runs | decision | why |", "|---|---|---|---|", *rows])
        unknown = "".join(f"\n\n{sentence[0].upper()}{sentence[1:]}." for sentence in self.unknown)
        return f"## What runs in the cluster already\n\nCompared with the snapshot {escape_markdown(self.label)}.\n\n{table}{unknown}"


def _full_reason(decision: ComponentDecision) -> str:
    return joined(decision.reason, *decision.steps)


def compare_cluster(
    plan: InstallPlan, recipe: Recipe, options: BundleOptions, charts: Mapping[str, Chart], load_chart_data: Callable[[str], object]
) -> tuple[InstallPlan, ClusterComparison]:
    """The plan without what runs already and is used, with the values that follow, and what became of each component.

    ``options`` are those of the caller, with a snapshot. Raises InvalidInput where nothing is left to build.
    """
    assert options.existing is not None
    existing = read_existing(options.existing)
    requested = {component.id: requested_values(component, plan.options) for component in plan.components}
    decisions = decide(plan.components, recipe, options, charts, requested, load_chart_data, existing, load_installations())
    left_out = tuple(each for each in decisions.values() if each.action == LEAVE_OUT)
    if left_out:
        ids = [each.id for each in left_out]
        if len(ids) == len(plan.components) and not plan.has_node:
            raise InvalidInput(
                f"nothing to build: {list_words(ids)} runs already", f"add --set {ids[0]}:enabled=true to build it all the same"
            )
        plan = plan_installation(recipe, charts, options, load_chart_data, ids)
    components = tuple(_with_values(component, decisions[component.id].values) for component in plan.components)
    comparison = ClusterComparison(existing.label, decisions, left_out, tuple(unknown_facts(existing)))
    return replace(plan, components=components), comparison


def without_unbound(
    components: tuple[Component, ...], comparison: ClusterComparison, context: BundleContext
) -> tuple[tuple[Component, ...], ClusterComparison]:
    """The components without those whose values name one that is left out: they would look for what is not there."""
    left_out = {each.id for each in comparison.left_out}
    for component in components:
        for id, name in bound_names(component, context):
            if id in left_out and name in make_component(component, context).files.get(VALUES, b"").decode():
                reason = (
                    f"its values name {name} of {id}, which is left out: set them to what runs (--values {component.id}=FILE) to build it"
                )
                comparison = comparison.leave_out(component.id, reason)
                components = tuple(each for each in components if each.id != component.id)
                break
    return components, comparison


def _with_values(component: Component, values: Mapping[str, Any]) -> Component:
    tree = copy_tree(component.values)
    for path, value in values.items():
        set_value(tree, values_schema.parse_path(path), value)
    return replace(component, values=tree) if values else component
