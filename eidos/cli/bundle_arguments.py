"""What the flags of ``eidos bundle`` choose: the options of a bundle, the files that they name read.

Knows how a label, a namespace or a file of values is written on the command line; must not know how a bundle is made or written.
"""

from __future__ import annotations

from eidos.cli import document_locations
from eidos.cli.path_access import PATH_TIMEOUT_S, check_file_system
from eidos.errors import EidosError, InvalidData, InvalidInput
from eidos.formats import from_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from eidos.bundle.bundle_options import BundleOptions, ComponentValues
    from eidos.cli.options import Values
    from eidos.model.snapshot import Snapshot

#: The collectors that read what runs in a cluster.
_LIVE = ("k8s.image", "k8s.policy")


def read_bundle_options(values: Values) -> BundleOptions:
    """The options. Raises InvalidInput for what cannot be, and Unavailable for a file or a cluster that cannot be read."""
    from eidos.bundle.bundle_options import BundleOptions, parse_assignment
    from eidos.kube.labels import parse_toleration

    return BundleOptions(
        components=tuple(values["bundlers"]) or None,
        values=tuple(_component_values(argument, values) for argument in values["values"]),
        assignments=_parsed(parse_assignment, values, "set"),
        namespaces=_by_component(values["namespace"]),
        registry=values["registry"] or "",
        accelerated_node_selector=_labels(values["accelerated-node-selector"], "--accelerated-node-selector"),
        accelerated_tolerations=_parsed(parse_toleration, values, "accelerated-toleration"),
        system_node_selector=_labels(values["system-node-selector"], "--system-node-selector"),
        system_tolerations=_parsed(parse_toleration, values, "system-toleration"),
        templates=values["templates"],
        data=values["data"],
        plugins=values["plugin"],
        charts=values["charts"],
        images=values["images"],
        images_archive=values.get("images-archive", ""),
        node_agent=values["node-agent"],
        deployer=values["deployer"],
        repo=_repository(values),
        path=values["path"] or "",
        revision=values["revision"] or "",
        existing=_read_existing(values),
        fail_fast=values["fail-fast"],
        parallel=False if values["serial"] else None,
    )


def _repository(values: Values) -> str:
    """The git repository. One of the environment or of a file of settings is for those bundles whose deployer reads it."""
    if values["repo"] and not values.origins["repo"].startswith("--"):
        from eidos.bundle.deployers import reads_repository

        return values["repo"] if reads_repository(values["deployer"]) else ""
    return values["repo"] or ""


def _read_existing(values: Values) -> Snapshot | None:
    """The snapshot of what runs already, if one is asked for. Raises Unavailable for a cluster that cannot be read."""
    if values["existing"] is not None:
        if values["live"]:
            raise InvalidInput("--existing and --live cannot be used together", "omit one of the two")
        return document_locations.read_snapshot(values["existing"], values)[0]
    if not values["live"]:
        return None
    from eidos.collectors import ClusterSelection
    from eidos.errors import Unavailable
    from eidos.workflow import SnapshotOptions, take_snapshot

    cluster = ClusterSelection(values["kubeconfig"], values["kube-context"], values["kube-namespace"])
    snapshot = take_snapshot(SnapshotOptions(collectors=_LIVE, timeout_s=values["timeout"], cluster=cluster))
    images = next(outcome for outcome in snapshot.collectors if outcome.name == _LIVE[0])
    if images.outcome not in ("ok", "partial"):
        raise Unavailable(f"--live: cannot read the images of the cluster: {images.reason}", images.hint)
    return snapshot


def _parsed(parse: Callable[[str], Any], values: Values, name: str) -> tuple[Any, ...]:
    """The values of an option; InvalidInput names it."""
    try:
        return tuple(map(parse, values[name]))
    except InvalidInput as fault:
        raise InvalidInput(f"--{name}: {fault.message}", fault.hint) from fault


def _by_component(words: tuple[str, ...]) -> dict[str, str]:
    """``NAME`` for all, ``component=NAME`` for one."""
    namespaces: dict[str, str] = {}
    for word in words:
        id, equals, name = word.partition("=")
        namespaces[id if equals else ""] = name if equals else word
    return namespaces


def _labels(words: tuple[str, ...], flag: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise InvalidInput(f"{flag}: invalid label {word!r}", "write label=value")
        labels[key] = value
    return labels


def _component_values(argument: str, values: Values) -> ComponentValues:
    """The values that ``component=FILE`` names."""
    from eidos.bundle.bundle_options import ComponentValues
    from eidos.model.tree_reader import TreeReader

    id, equals, location = argument.partition("=")
    if not equals or not id or not location:
        raise InvalidInput(f"--values: invalid value {argument!r}", "write COMPONENT=FILE")
    check_file_system(values.origins.get("values", "--values"), location, min(values["timeout"], PATH_TIMEOUT_S))
    try:
        data = document_locations.read_document(location, missing_hint="write COMPONENT=FILE", values=values)
        return ComponentValues(id, TreeReader(from_text(data, location), location).tree, location)
    except EidosError as fault:
        raise InvalidData(f"--values: {fault.message}", fault.hint) from fault
