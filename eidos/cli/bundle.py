"""``eidos bundle``: files that deploy a recipe.

Knows the flags of the verb, where the files go and the exit status; must not know how a file is made.
"""

from __future__ import annotations

import os

from eidos import log
from eidos.cli import document_locations, telemetry_choice
from eidos.cli.cluster_options import CLUSTER, OR_KEPT
from eidos.cli.options import FORMAT, HELP, LOGGING, Operand, Option, Verb, duration, path
from eidos.errors import EidosError, InvalidData, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.cli.options import Values
    from eidos.cli.telemetry_choice import Watch
    from eidos.model.bundle import Bundle
    from eidos.model.recipe import Recipe

#: Lint found an error.
FINDINGS = 4

FAILED = 1

LINT, FOLDER = "lint", "./bundle"

_MAKE = "'eidos recipe -o recipe.yaml' writes a recipe"

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
        Option("file", "the recipe; - is standard input" + OR_KEPT, "FILE", "f", convert=path, completes="file"),
        Option("bundlers", "components to make, with what they depend on (default: all of the recipe)", "NAME", "b", many=True),
        Option(
            "output",
            f"the folder to write (default {FOLDER}, unless --archive is given)",
            "DIR",
            "o",
            None,
            path,
            anywhere=False,
            completes="folder",
        ),
        Option("archive", "write all of it into this tar.gz; - is standard output", "FILE", convert=path, anywhere=False, completes="file"),
        Option("force", "write into a folder that holds other files; only files of an earlier bundle are replaced", anywhere=False),
        Option("set", "set a value: component:path.to.key=value; component:enabled=false leaves it out", "WHAT", many=True, commas=False),
        Option("values", "lay a file of values over a component's: component=FILE", "WHAT", many=True, commas=False),
        Option("namespace", "install into this namespace; component=NAME for one of them", "NAME", many=True),
        Option("accelerated-node-selector", "label of the nodes with GPUs: key=value", "LABEL", many=True),
        Option("accelerated-toleration", "taint of the nodes with GPUs: key=value:effect", "TAINT", many=True),
        Option("system-node-selector", "label of the nodes for everything else: key=value", "LABEL", many=True),
        Option("system-toleration", "taint of the nodes for everything else: key=value:effect", "TAINT", many=True),
        Option("registry", "take images and charts from this mirror: mirror.example.com/x", "MIRROR"),
        Option("templates", "a folder of templates to lay over the shipped ones", "DIR", convert=path, completes="folder"),
        Option(
            "data",
            "a folder of recipe data to lay over the shipped one, for components of your own",
            "DIR",
            convert=path,
            completes="folder",
        ),
        Option("fail-fast", "stop at the first component that fails, and write nothing"),
        Option("serial", "make one component after another, even where threads run at the same time (a Python without the GIL)"),
        Option("timeout", "how long the cluster of a ConfigMap may take", "DURATION", None, "30s", duration),
        *CLUSTER,
        telemetry_choice.METRICS_FILE,
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
        return _lint(values)
    return telemetry_choice.run("bundle", values, _run)


def _run(values: Values, watching: Watch) -> int:
    folder, archive = values["output"], values["archive"]
    if folder is None and archive is None:
        folder = FOLDER
    _check_places(folder, archive, values)
    recipe = read_recipe(values["file"], values)
    from eidos.workflow import make_bundle

    with watching.step("make"):
        bundle = make_bundle(
            recipe,
            bundlers=values["bundlers"] or None,
            parallel=False if values["serial"] else None,
            fail_fast=values["fail-fast"],
            namespace=_by_component(values["namespace"]),
            sets=values["set"],
            values=[_values(said, values) for said in values["values"]],
            registry=values["registry"],
            accelerated_node_selector=_pairs(values["accelerated-node-selector"], "--accelerated-node-selector"),
            accelerated_tolerations=values["accelerated-toleration"],
            system_node_selector=_pairs(values["system-node-selector"], "--system-node-selector"),
            system_tolerations=values["system-toleration"],
            templates=values["templates"],
            data=values["data"],
        )
    watching.bundle(bundle)
    for sentence in bundle.warnings:
        log.warn(sentence)
    if bundle.files:
        with watching.step("serialise"):
            _write(bundle, folder, archive, values["force"])
    _report(bundle, folder if bundle.files else None, archive if bundle.files else None, values)
    if bundle.errors:
        log.error(f"{len(bundle.errors)} of {len(bundle.components)} components failed: {', '.join(bundle.errors)}")
        return FAILED
    return 0


def read_recipe(place: str | None, values: Values | None = None) -> Recipe:
    """The recipe in a file, on standard input or in a cluster; raises an EidosError that says what is there instead."""
    if place is None:
        raise InvalidInput("eidos bundle needs a recipe, with --file", _MAKE)
    from eidos import formats
    from eidos.model.recipe import Recipe

    name = "standard input" if place == "-" else place
    return Recipe.from_tree(formats.from_text(document_locations.read(place, missing=_MAKE, values=values), name), name)


def _check_places(folder: str | None, archive: str | None, values: Values) -> None:
    """Raise an EidosError for places that cannot be written, before any work is done for them."""
    if folder is not None:
        if folder == document_locations.STDOUT or document_locations.in_cluster(folder):
            raise InvalidInput(f"--output: a bundle is a folder, and {folder!r} is none", "--archive - writes a tar.gz to standard output")
        from eidos.bundle import folder_writer

        folder_writer.check(folder, force=values["force"])
    if archive is not None:
        if archive == document_locations.STDOUT and values["format"] in ("json", "yaml"):
            raise InvalidInput("--archive - and the report of --format both want standard output", "write the archive to a file")
        if folder is not None and os.path.realpath(archive).startswith(os.path.realpath(folder) + os.sep):
            raise InvalidInput(f"--archive: {archive} lies in the folder of --output, which holds the bundle and nothing else")
        document_locations.check(archive)


def _write(bundle: Bundle, folder: str | None, archive: str | None, force: bool) -> None:
    if archive is not None:
        from eidos.bundle.tar_archive import pack
        from eidos.files import atomic_write

        packed = pack(bundle.files)
    if folder is not None:
        from eidos.bundle import folder_writer

        folder_writer.write(folder, bundle.files, force=force, checked=True)
    if archive is not None:
        if archive == document_locations.STDOUT:
            atomic_write.write_stdout(packed)
        else:
            atomic_write.write_file(archive, packed, 0o666)


def _report(bundle: Bundle, folder: str | None, archive: str | None, values: Values) -> None:
    """Say what was made: to people on standard error, to programs on standard output."""
    fmt = values["format"]
    if fmt in ("json", "yaml"):
        from eidos import formats

        places = {name: place for name, place in (("folder", folder), ("archive", archive)) if place is not None}
        tree = {**places, **bundle.to_tree()}
        document_locations.write(document_locations.STDOUT, formats.to_json(tree) if fmt == "json" else formats.to_yaml(tree))
        return
    if not log.shows("warn"):
        return
    import sys

    width = max((len(made.id) for made in bundle.components), default=0)
    lines = []
    for made in bundle.components:
        what = f"failed: {made.error}" if made.error else f"{len(made.files):3} files {made.bytes:9,} bytes {made.milliseconds:8.1f} ms"
        lines.append(f"{made.id:{width}}  {what}")
    where = " and ".join(place for place in (folder, archive) if place)
    if where:
        lines.append(f"{len(bundle.files)} files, {bundle.bytes:,} bytes, {bundle.milliseconds:.1f} ms: {where}")
    try:
        sys.stderr.write("".join(f"{log.printable(line)}\n" for line in lines))
    except (OSError, ValueError, AttributeError):  # closed or full: the bundle is written
        pass


def _by_component(words: tuple[str, ...]) -> dict[str, str]:
    """``NAME`` for all, ``component=NAME`` for one."""
    spaces: dict[str, str] = {}
    for word in words:
        id, equals, name = word.partition("=")
        spaces[id if equals else ""] = name if equals else word
    return spaces


def _pairs(words: tuple[str, ...], flag: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise InvalidInput(f"{flag}: {word!r} selects no node", "write label=value")
        pairs[key] = value
    return pairs


def _values(said: str, values: Values) -> tuple[str, Any, str]:
    """The component, the tree of its file and what to call that."""
    id, equals, place = said.partition("=")
    if not equals or not id or not place:
        raise InvalidInput(f"--values: {said!r} names no component and file", "write component=FILE")
    from eidos import formats

    try:
        tree = formats.from_text(document_locations.read(place, missing="write component=FILE", values=values), place)
    except EidosError as fault:
        raise InvalidData(f"--values: {fault.message}", fault.hint) from fault
    if not isinstance(tree, dict) and tree is not None:
        raise InvalidData(f"--values: {place}: values are a mapping")
    return id, tree or {}, place


def _lint(values: Values) -> int:
    """Check the shipped templates, or those of ``--templates`` laid over them, and print every fault."""
    said = [f"--{name}" for name in ("file", "output", "archive", "bundlers", "set", "values") if values[name]]
    if said:
        raise InvalidInput(f"eidos bundle {LINT} makes no bundle, and {', '.join(said)} {'are' if len(said) > 1 else 'is'} given")
    from eidos.bundle import template_sets
    from eidos.bundle.template_lint import lint
    from eidos.cli.lint_report import show
    from eidos.recipe.charts import component_ids
    from eidos.recipe.lint import lint_values_files

    templates = template_sets.shipped()
    if values["templates"] is not None:
        templates = template_sets.over(templates, values["templates"])
    faults = [*lint(templates, component_ids(values["data"])), *lint_values_files(values["data"])]
    return FINDINGS if show(faults, values["format"], document_locations.STDOUT) else 0
