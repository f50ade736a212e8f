"""``eidos bundle``: files that deploy a recipe.

Knows the flags of the verb, where the files go and the exit status; must not know how a file is made.
"""

from __future__ import annotations

import os

from eidos import log
from eidos.cli import document_locations
from eidos.cli.cluster_options import CLUSTER, OR_IN_CLUSTER
from eidos.cli.commands import FAILED
from eidos.cli.options import FORMAT, HELP, LOGGING, Operand, Option, Verb, parse_path, parse_timeout
from eidos.cli.run_telemetry import METRICS_FILE, run_with_telemetry
from eidos.errors import EidosError, InvalidData, InvalidInput
from eidos.formats import from_text, serialize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.bundle.bundle_options import BundleOptions, ComponentValues
    from eidos.cli.options import Values
    from eidos.cli.run_telemetry import RunTelemetry
    from eidos.model.bundle import Bundle

LINT, DEFAULT_FOLDER = "lint", "./bundle"

VERB = Verb(
    "bundle",
    (
        (
            "Make what deploys a recipe: for each of its components values for its chart, manifests, scripts that install and remove it, "
            "and a README; for all of them together scripts in the right order, a list of images, and checksums that cover every file."
        ),
        (
            "Nothing in a bundle tells when it was made: the same recipe gives the same bytes. 'eidos verify' says later whether it is "
            "still what it was."
        ),
    ),
    (
        Option("file", "the recipe; - is standard input" + OR_IN_CLUSTER, "FILE", "f", convert=parse_path, completion="file"),
        Option("bundlers", "components to make, with what they depend on (default: all of the recipe)", "NAME", "b", multiple=True),
        Option(
            "output",
            f"the folder to write (default {DEFAULT_FOLDER}, unless --archive is given)",
            "DIR",
            "o",
            None,
            parse_path,
            flag_only=True,
            completion="folder",
        ),
        Option(
            "archive",
            "write all of it into this tar.gz; - is standard output",
            "FILE",
            convert=parse_path,
            flag_only=True,
            completion="file",
        ),
        Option("force", "write into a folder that holds other files; only files of an earlier bundle are replaced", flag_only=True),
        Option(
            "set",
            "set a value: component:path.to.key=value; component:enabled=false leaves it out",
            "WHAT",
            multiple=True,
            split_commas=False,
        ),
        Option("values", "lay a file of values over a component's: component=FILE", "WHAT", multiple=True, split_commas=False),
        Option("namespace", "install into this namespace; component=NAME for one of them", "NAME", multiple=True),
        Option("accelerated-node-selector", "label of the nodes with GPUs: key=value", "LABEL", multiple=True),
        Option("accelerated-toleration", "taint of the nodes with GPUs: key=value:effect", "TAINT", multiple=True),
        Option("system-node-selector", "label of the nodes for everything else: key=value", "LABEL", multiple=True),
        Option("system-toleration", "taint of the nodes for everything else: key=value:effect", "TAINT", multiple=True),
        Option("registry", "take images and charts from this mirror: mirror.example.com/x", "MIRROR"),
        Option("templates", "a folder of templates to lay over the shipped ones", "DIR", convert=parse_path, completion="folder"),
        Option(
            "data",
            "a folder of recipe data to lay over the shipped one, for components of your own",
            "DIR",
            convert=parse_path,
            completion="folder",
        ),
        Option("fail-fast", "stop at the first component that fails, and write nothing"),
        Option("serial", "make one component after another, even where threads run at the same time (a Python without the GIL)"),
        Option("timeout", "how long the cluster of a ConfigMap may take", "DURATION", None, "30s", parse_timeout),
        *CLUSTER,
        METRICS_FILE,
        FORMAT,
        *LOGGING,
        HELP,
    ),
    (Operand("action", "what else to do", {LINT: "check the templates"}, required=False),),
    examples=(
        ("eidos bundle -f recipe.yaml -o bundle", "everything that the recipe names"),
        ("eidos bundle -f recipe.yaml --set gpu-operator:mig.strategy=mixed", "with a value of your own"),
        ("eidos bundle -f recipe.yaml --archive bundle.tar.gz", "as one file"),
        ("eidos bundle -f recipe.yaml --registry mirror.example.com/nvidia", "for a network without a way out"),
        ("eidos bundle lint --templates my-templates", "check templates of your own"),
    ),
    notes=(
        (
            "Exit status: 0 written, 1 a component failed (the others are written, and incomplete.txt names it) or the place could not be "
            "written, 2 wrong usage, or input that is no recipe or lacks what its components need, 4 lint found an error."
        ),
    ),
)


def run(values: Values) -> int:
    """Make the bundle and write it, or say what lint found."""
    if values.get("action") == LINT:
        from eidos.cli.lint_report import lint_templates

        return lint_templates(values)
    return run_with_telemetry("bundle", values, _write_bundle)


def _write_bundle(values: Values, telemetry: RunTelemetry) -> int:
    folder, archive = values["output"], values["archive"]
    if folder is None and archive is None:
        folder = DEFAULT_FOLDER
    _check_outputs(folder, archive, values)
    if values["file"] is None:
        raise InvalidInput("eidos bundle needs a recipe, with --file", "'eidos recipe -o recipe.yaml' writes a recipe")
    recipe = document_locations.read_recipe(values["file"], values)
    from eidos.workflow import make_bundle

    with telemetry.step("make"):
        bundle = make_bundle(recipe, _options(values))
    telemetry.record_bundle(bundle)
    for sentence in bundle.warnings:
        log.warn(sentence)
    if bundle.files:
        with telemetry.step("serialise"):
            _write_files(bundle, folder, archive, values["force"])
    _report(bundle, folder if bundle.files else None, archive if bundle.files else None, values)
    if bundle.errors:
        log.error(f"{len(bundle.errors)} of {len(bundle.components)} components failed: {', '.join(bundle.errors)}")
        return FAILED
    return 0


def _options(values: Values) -> BundleOptions:
    from eidos.bundle.bundle_options import BundleOptions, parse_assignment
    from eidos.kube.labels import parse_toleration

    return BundleOptions(
        components=tuple(values["bundlers"]) or None,
        values=tuple(_component_values(argument, values) for argument in values["values"]),
        assignments=tuple(map(parse_assignment, values["set"])),
        namespaces=_by_component(values["namespace"]),
        registry=values["registry"] or "",
        accelerated_node_selector=_labels(values["accelerated-node-selector"], "--accelerated-node-selector"),
        accelerated_tolerations=tuple(map(parse_toleration, values["accelerated-toleration"])),
        system_node_selector=_labels(values["system-node-selector"], "--system-node-selector"),
        system_tolerations=tuple(map(parse_toleration, values["system-toleration"])),
        templates=values["templates"],
        data=values["data"],
        fail_fast=values["fail-fast"],
        parallel=False if values["serial"] else None,
    )


def _check_outputs(folder: str | None, archive: str | None, values: Values) -> None:
    """Raise an EidosError for outputs that cannot be written, before any work is done for them."""
    if folder is not None:
        if folder == document_locations.STDOUT or document_locations.is_in_cluster(folder):
            raise InvalidInput(f"--output: a bundle is a folder, and {folder!r} is none", "--archive - writes a tar.gz to standard output")
        from eidos.bundle import folder_writer

        folder_writer.check_folder(folder, force=values["force"])
    if archive is not None:
        if archive == document_locations.STDOUT and values["format"] in ("json", "yaml"):
            raise InvalidInput("--archive - and the report of --format both want standard output", "write the archive to a file")
        if folder is not None and os.path.realpath(archive).startswith(os.path.realpath(folder) + os.sep):
            raise InvalidInput(f"--archive: {archive} lies in the folder of --output, which holds the bundle and nothing else")
        document_locations.check_writable(archive)


def _write_files(bundle: Bundle, folder: str | None, archive: str | None, force: bool) -> None:
    if archive is not None:
        from eidos.bundle.tar_archive import pack_tar_gz
        from eidos.files import atomic_write

        packed = pack_tar_gz(bundle.files)
    if folder is not None:
        from eidos.bundle import folder_writer

        folder_writer.write_folder(folder, bundle.files, force=force, is_checked=True)
    if archive is not None:
        if archive == document_locations.STDOUT:
            atomic_write.write_stdout(packed)
        else:
            atomic_write.write_file(archive, packed, 0o666)


def _report(bundle: Bundle, folder: str | None, archive: str | None, values: Values) -> None:
    """Report what was made: to people on standard error, to programs on standard output."""
    fmt = values["format"]
    if fmt in ("json", "yaml"):
        outputs = {name: path for name, path in (("folder", folder), ("archive", archive)) if path is not None}
        document_locations.write_document(document_locations.STDOUT, serialize({**outputs, **bundle.to_tree()}, fmt))
        return
    if not log.shows("warn"):
        return
    import sys

    width = max((len(component.id) for component in bundle.components), default=0)
    lines = []
    for component in bundle.components:
        size = f"{len(component.files):3} files {component.bytes:9,} bytes {component.milliseconds:8.1f} ms"
        lines.append(f"{component.id:{width}}  {f'failed: {component.error}' if component.error else size}")
    outputs_text = " and ".join(path for path in (folder, archive) if path)
    if outputs_text:
        lines.append(f"{len(bundle.files)} files, {bundle.bytes:,} bytes, {bundle.milliseconds:.1f} ms: {outputs_text}")
    try:
        sys.stderr.write("".join(f"{log.printable(line)}\n" for line in lines))
    except (OSError, ValueError, AttributeError):  # closed or full: the bundle is written
        pass


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
            raise InvalidInput(f"{flag}: {word!r} selects no node", "write label=value")
        labels[key] = value
    return labels


def _component_values(argument: str, values: Values) -> ComponentValues:
    """The values that ``component=FILE`` names."""
    from eidos.bundle.bundle_options import ComponentValues

    id, equals, location = argument.partition("=")
    if not equals or not id or not location:
        raise InvalidInput(f"--values: {argument!r} names no component and file", "write component=FILE")
    try:
        tree = from_text(document_locations.read_document(location, missing_hint="write component=FILE", values=values), location)
    except EidosError as fault:
        raise InvalidData(f"--values: {fault.message}", fault.hint) from fault
    if not isinstance(tree, dict) and tree is not None:
        raise InvalidData(f"--values: {location}: values are a mapping")
    return ComponentValues(id, tree or {}, location)
