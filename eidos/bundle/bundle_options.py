"""What a caller chooses of a bundle, besides its recipe.

Knows the options and which values they may have; must not know flags, recipes or charts. The command line and the server each make one
record and pass it on as it is.
"""

from __future__ import annotations

from eidos.bundle.registry_mirror import parse_registry
from eidos.errors import InvalidData, InvalidInput
from eidos.kube.labels import check_dns_label, parse_selector
from eidos.model.record import Record, replace
from eidos.model.tree_reader import read_mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.model.plugin import Plugin
    from eidos.model.snapshot import Snapshot


class Assignment(Record):
    """``component:path=value``, the value as text: the chart decides its type. Messages leave the value out: it may be a secret."""

    component: str
    path: str
    value: str

    def __str__(self) -> str:
        return f"{self.component}:{self.path}"


class ComponentValues(Record):
    """A tree to lay over the values of a component; ``source`` names it in messages, such as the path of its file."""

    component: str
    tree: dict[str, Any]
    source: str = "values"


class BundleOptions(Record):
    """Options of a bundle; the defaults make all of the recipe's components, with its values.

    ``components`` are those to make, with what they depend on, None for all of the recipe. ``assignments`` set single values, and
    ``component:enabled=false`` leaves a component out; ``values`` are laid below them. ``namespaces`` are by component, "" being all.
    ``registry`` is a mirror for images and charts. Selectors are labels of nodes, tolerations those of a Pod's spec; "accelerated" nodes
    have GPUs, "system" nodes run everything else. ``templates`` is a folder to lay over the shipped templates, ``data`` one of recipes,
    whose ``components.yaml`` adds components and whose ``values/`` describes their charts; ``plugins`` have such folders, too, which lie
    below these, in order; ``charts`` is a folder of charts that the bundle carries, ``images`` one of container images, unpacked from
    ``images_archive`` if that is not "". ``node_agent`` adds a DaemonSet that brings the settings of the host. ``deployer`` is the form in
    which the bundle reaches a cluster, a folder of ``templates/deployers`` or its own scripts with helm; ``repo``, ``path`` and
    ``revision`` are where it will be in git. ``existing`` is a snapshot of the cluster that the bundle is for: what runs there already
    decides which components are made, and how.

    With ``fail_fast`` the first failure of a component is raised; else it is reported, and the others are made. ``parallel`` makes
    components at the same time; None does so where threads of the interpreter run at the same time. Where they take turns (the GIL), they
    and the import of a pool make a bundle of five components a fifth slower. The bytes are the same either way.

    >>> options = BundleOptions(components=("gpu-operator",), assignments=(parse_assignment("gpu-operator:mig.strategy=mixed"),))
    >>> options.changed_components()
    {'gpu-operator'}
    """

    components: tuple[str, ...] | None = None
    assignments: tuple[Assignment, ...] = ()
    values: tuple[ComponentValues, ...] = ()
    namespaces: dict[str, str] = {}
    registry: str = ""
    accelerated_node_selector: dict[str, str] = {}
    accelerated_tolerations: tuple[dict[str, str], ...] = ()
    system_node_selector: dict[str, str] = {}
    system_tolerations: tuple[dict[str, str], ...] = ()
    templates: str | None = None
    data: str | None = None
    plugins: tuple[Plugin, ...] = ()
    charts: str | None = None
    images: str | None = None
    images_archive: str = ""
    node_agent: bool = False
    deployer: str = "helm"
    repo: str = ""
    path: str = ""
    revision: str = ""
    existing: Snapshot | None = None
    fail_fast: bool = False
    parallel: bool | None = None

    def changed_components(self) -> set[str]:
        """The components whose values the caller sets."""
        return {assignment.component for assignment in self.assignments} | {values.component for values in self.values}


def check_options(options: BundleOptions) -> BundleOptions:
    """The options, the registry in its normal form. Raises InvalidInput for a value that cannot be."""
    for values in options.values:
        try:
            read_mapping(values.tree, values.source)
        except InvalidData as fault:
            raise InvalidInput(fault.message, fault.hint) from fault
    if options.deployer != "helm" or options.repo or options.path or options.revision:
        from eidos.bundle.deployers import check_deployer

        check_deployer(options)
    for namespace in options.namespaces.values():
        check_dns_label(namespace, "namespace")
    for selector in (options.accelerated_node_selector, options.system_node_selector):
        parse_selector(f"{key}={value}" for key, value in selector.items())
    return replace(options, registry=parse_registry(options.registry)) if options.registry else options


def parse_assignment(text: str) -> Assignment:
    """The assignment that ``component:path=value`` writes. Raises InvalidInput.

    >>> parse_assignment("gpu-operator:driver.version=580.1=x")
    Assignment(component='gpu-operator', path='driver.version', value='580.1=x')
    """
    left, equals, value = text.partition("=")
    component, colon, path = left.partition(":")
    if not equals or not colon or not component.strip() or not path.strip():
        shown = left if equals else component  # without "=", the rest may be a value
        raise InvalidInput(f"invalid setting {shown!r}", "write component:path.to.key=value, such as gpu-operator:mig.strategy=mixed")
    return Assignment(component.strip(), path.strip(), value)
