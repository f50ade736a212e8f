"""The plan of a bundle: what its files would install, with which rights, and what that interrupts.

Knows how a bundle that was made becomes a plan; must not know how one is made, nor how a plan is shown. Sizes are those of files: how large
images are is not known.
"""

from __future__ import annotations

from eidos import __version__, formats
from eidos.bundle.chart_values import get_value
from eidos.bundle.image_list import is_reference
from eidos.bundle.installation_facts import chart_contents, load_chart_contents, load_installations
from eidos.bundle.node_tuning import FOLDER, setting_label
from eidos.bundle.registry_mirror import mirror_image
from eidos.bundle.template_sets import EXAMPLES, VALUES
from eidos.model import values_schema
from eidos.model.bundle_plan import (
    DRAIN,
    REBOOT,
    RESTART,
    UNKNOWN,
    UPGRADE,
    BundlePlan,
    ClusterRights,
    Interruption,
    PlannedComponent,
    PlannedNode,
    PlannedSetting,
)
from eidos.model.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from eidos.bundle.component_files import ComponentFiles
    from eidos.bundle.engine import BundleBuild, NodeResult, Step
    from eidos.bundle.installation_facts import Installation
    from eidos.model.bundle import Bundle
    from eidos.model.bundle_plan import ComponentDecision
    from eidos.model.recipe import Component
    from eidos.model.tree_reader import TreeReader

#: Folder of the node's part → what applying it interrupts.
_NODE = {
    f"{FOLDER}/boot-parameters": Interruption(REBOOT, "boot parameters hold from the next boot on (node/apply.sh)"),
    f"{FOLDER}/modprobe.d/": Interruption(REBOOT, "options of kernel modules hold from the next boot on (node/apply.sh)"),
    f"{FOLDER}/crio.conf.d/": Interruption(RESTART, "crio and kubelet (node/apply.sh)"),
}
_UNITS = f"{FOLDER}/units/"


def build_plan(build: BundleBuild, steps: Sequence[Step], bundle: Bundle) -> BundlePlan:
    """The plan of a bundle, from the steps that made it."""
    context, comparison = build.context, build.comparison
    installations, charts = load_installations(), load_chart_contents()
    decisions = comparison.decisions if comparison else {}
    taken = context.options.existing.timestamp if context.options.existing else ""
    components = []
    for component, report, result in steps:
        decision, installation = decisions.get(component.id), installations.get(component.id)
        archive = context.archives.get(component.id)
        planned = _planned(component, result, report.error, decision, installation, charts, context.options.registry)
        components.append(replace(planned, chart_bytes=len(archive.content)) if archive else planned)
    return BundlePlan(
        version=__version__,
        recipe_data=context.recipe.digest,
        request=context.recipe.request.to_tree(),
        components=tuple(components),
        left_out=comparison.left_out if comparison else (),
        node=_planned_node(build.node) if build.node else None,
        files=len(bundle.files) + len(bundle.blobs),
        bytes=bundle.bytes,
        existing=f"{comparison.label}{taken and f' at {taken}'}" if comparison else "",
        unknown=comparison.unknown if comparison else (),
        warnings=bundle.warnings,
        unmirrored=bundle.unmirrored,
        missing_charts=bundle.missing_charts,
        missing_images=bundle.missing_images,
    )


def _planned(
    component: Component,
    result: ComponentFiles | None,
    error: str,
    decision: ComponentDecision | None,
    installation: Installation | None,
    charts: TreeReader,
    mirror: str,
) -> PlannedComponent:
    texts = (component.chart, component.version, component.repository, component.namespace, component.why)
    if result is None:
        return PlannedComponent(component.id, *texts, 0, 0, decision=decision, error=error)
    images = [image for image in result.images.images if is_reference(image.reference) and not image.missing]
    return PlannedComponent(
        component.id,
        *texts,
        files=len(result.files),
        bytes=sum(map(len, result.files.values())),
        images=tuple(mirror_image(image.reference, mirror) for image in images if not image.optional),
        optional_images=tuple(mirror_image(image.reference, mirror) for image in images if image.optional),
        unknown=(*result.images.untagged, *result.images.unknown),
        rights=_rights(component, result, charts),
        interruptions=tuple(_interruptions(result, decision, installation)),
        decision=decision,
    )


def _rights(component: Component, result: ComponentFiles, charts: TreeReader) -> ClusterRights | None:
    """The rights of the chart and of the manifests; None where those of one of them are not known."""
    count, wildcards = 0, []
    if component.chart:
        contents = chart_contents(charts, component.id, component.version)
        if contents is None:
            return None
        count, wildcards = contents.cluster_roles, list(contents.wildcards)
    if result.is_fetched:
        return None
    for path, content in result.files.items():
        if path.endswith(".yaml") and not path.startswith(EXAMPLES) and b"kind: ClusterRole" in content:
            for text in content.decode().split("---\n"):
                tree: Any = formats.from_text(text, path)
                if isinstance(tree, dict) and tree.get("kind") == "ClusterRole":
                    count += 1
                    wildcards += _with_wildcards(tree)
    return ClusterRights(count, tuple(wildcards))


def _with_wildcards(role: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for rule in role.get("rules") or ():
        if any("*" in str(word) for words in rule.values() for word in words):
            yield {"role": role["metadata"]["name"], **rule}


def _interruptions(result: ComponentFiles, decision: ComponentDecision | None, installation: Installation | None) -> Iterator[Interruption]:
    """What installing a component interrupts, as its values and files have it."""
    values = formats.from_text(result.files[VALUES], VALUES) if VALUES in result.files else {}
    applied = [content.decode() for path, content in result.files.items() if path.endswith(".yaml") and not path.startswith(EXAMPLES)]
    for each in installation.interrupts if installation else ():
        if each.value:
            value = get_value(values, values_schema.parse_path(each.value))
            if not (each.default if value is None else value):
                continue
        if each.text and not any(each.text in text for text in applied):
            continue
        if not each.at_upgrade or (decision is not None and decision.action == UPGRADE):
            yield Interruption(each.needs, each.what)
        elif decision is None or decision.action == UNKNOWN:
            yield Interruption(each.needs, f"where an older release runs: {each.what}")


def _planned_node(node: NodeResult) -> PlannedNode:
    settings = tuple(
        PlannedSetting(f"{setting_label(setting)} {setting.name}", setting.value, _path(by, node), "" if by else why)
        for setting, by, why in node.part.settings
    )
    if f"{FOLDER}/persistence-mode" in node.files:
        settings += (PlannedSetting("persistence mode", "Enabled", f"{FOLDER}/persistence-mode"),)
    interruptions = [interruption for prefix, interruption in _NODE.items() if any(path.startswith(prefix) for path in node.files)]
    units = dict.fromkeys(path[len(_UNITS) :].partition(".d/")[0] for path in node.files if path.startswith(_UNITS))
    interruptions += [Interruption(RESTART, f"{unit} (node/apply.sh)") for unit in units]
    interruptions += [
        Interruption(document.cost, f"{document.form}: {document.instruction}")
        for document in node.part.documents
        if document.cost in (REBOOT, DRAIN, RESTART)
    ]
    return PlannedNode(tuple(node.files), sum(map(len, node.files.values())), settings, tuple(interruptions))


def _path(by: str, node: NodeResult) -> str:
    path = f"{FOLDER}/{by}"
    return path if path in node.files else by
