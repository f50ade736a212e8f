"""``eidos bundle``: files that deploy a recipe.

Knows the flags of the verb, where the files go and the exit status; must not know how a file is made.
"""

from __future__ import annotations

import os

from eidos import log
from eidos.cli import document_locations
from eidos.cli.cluster_options import CLUSTER, OR_IN_CLUSTER
from eidos.cli.exit_status import FAILED, FINDINGS
from eidos.cli.options import FORMAT, FORMATS, HELP, LOGGING, PLUGIN, Operand, Option, Verb, parse_choice, parse_path, parse_timeout
from eidos.cli.run_telemetry import METRICS_FILE, run_with_telemetry
from eidos.errors import InvalidInput
from eidos.formats import serialize
from eidos.model.record import replace
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from eidos.cli.options import Values
    from eidos.cli.run_telemetry import RunTelemetry
    from eidos.model.bundle import Bundle
    from eidos.model.bundle_plan import BundlePlan
    from eidos.model.recipe import Recipe

LINT, PLAN, MARKDOWN, DEFAULT_FOLDER = "lint", "plan", "markdown", "./bundle"


def _parse_deployer(text: str) -> str:
    """The name of a deployer; what there is besides the default is read only if another is named."""
    if text == "helm":
        return text
    from eidos.bundle.deployers import list_deployers

    return parse_choice(text, list_deployers())


VERB = Verb(
    "bundle",
    (
        (
            "Build the files that deploy a recipe: for each component chart values, manifests, install scripts and a README; "
            "for all components scripts in order of installation, a list of images, and checksums of every file."
        ),
        (
            "A bundle contains no timestamps: the same recipe gives the same bytes. Run 'eidos verify' to check later that a bundle is "
            "unchanged."
        ),
    ),
    (
        Option(
            "file", "read the recipe from FILE, - for standard input" + OR_IN_CLUSTER, "FILE", "f", convert=parse_path, completion="file"
        ),
        Option("bundlers", "build only these components and their dependencies (default all)", "NAME", "b", multiple=True),
        Option(
            "output",
            f"write to this folder, or the plan to this file (default {DEFAULT_FOLDER}, unless --archive is set)",
            "DIR",
            "o",
            None,
            parse_path,
            flag_only=True,
            completion="folder",
        ),
        Option(
            "archive",
            "write a tar.gz archive (FILE.zip: zip), - for standard output",
            "FILE",
            convert=parse_path,
            flag_only=True,
            completion="file",
        ),
        Option("force", "write to a folder that is not empty; replace only files of a bundle", flag_only=True),
        Option(
            "set",
            "set COMPONENT:path.to.key=value, or COMPONENT:enabled=false to omit it",
            "WHAT",
            multiple=True,
            split_commas=False,
        ),
        Option("values", "merge a file of values into a component's: COMPONENT=FILE", "WHAT", multiple=True, split_commas=False),
        Option("namespace", "install to this namespace, COMPONENT=NAME for one component", "NAME", multiple=True),
        Option("accelerated-node-selector", "run GPU workloads on nodes with this label: key=value", "LABEL", multiple=True),
        Option("accelerated-toleration", "tolerate this taint of GPU nodes: key=value:effect", "TAINT", multiple=True),
        Option("system-node-selector", "run all other workloads on nodes with this label: key=value", "LABEL", multiple=True),
        Option("system-toleration", "tolerate this taint of all other nodes: key=value:effect", "TAINT", multiple=True),
        Option("registry", "pull images and charts from this mirror, such as mirror.example.com/x", "MIRROR"),
        Option(
            "charts",
            "carry the charts that the bundle needs, from a folder that 'helm pull' filled",
            "DIR",
            convert=parse_path,
            completion="folder",
        ),
        Option(
            "images",
            "carry the images that the bundle needs, from an image layout or a folder that 'skopeo.sh --save' filled",
            "PATH",
            convert=parse_path,
            completion="file",
        ),
        Option("strict", "exit 4 if the recipe is generic, or --registry, --charts or --images lacks something"),
        Option("templates", "add templates from this folder; they replace built-in ones", "DIR", convert=parse_path, completion="folder"),
        Option("data", "add recipe data from this folder, for components of your own", "DIR", convert=parse_path, completion="folder"),
        replace(PLUGIN, help="add recipe data and templates of this folder, which you trust; repeatable"),
        Option("node-agent", "add a privileged DaemonSet that runs node/apply.sh on GPU nodes"),
        Option("deployer", "deploy with helm, argocd, flux, helmfile or manifests", "NAME", default="helm", convert=_parse_deployer),
        Option("repo", "name the git repository in which the bundle will be, for argocd and flux", "URL"),
        Option("path", "name the folder of the bundle in that repository (default its root)", "DIR", flag_only=True),
        Option("revision", "name the branch, refs/tags/TAG or commit of that repository (default HEAD for argocd)", "REV", flag_only=True),
        Option(
            "existing",
            "compare with this snapshot of the cluster: use, upgrade or refuse what runs",
            "FILE",
            convert=parse_path,
            flag_only=True,
            completion="file",
        ),
        Option("live", "compare with the cluster itself, which is read now", flag_only=True),
        Option("fail-fast", "stop at the first component that fails; write nothing"),
        Option("serial", "build one component at a time, also with a free-threaded Python"),
        Option("timeout", "give up reading from or writing to a cluster after this time", "DURATION", None, "30s", parse_timeout),
        *CLUSTER,
        METRICS_FILE,
        replace(FORMAT, choices={**FORMATS, MARKDOWN: "for documents, with plan"}),
        *LOGGING,
        HELP,
    ),
    (
        Operand(
            "action",
            "run another action",
            {PLAN: "show what would be installed, with which rights; write nothing else", LINT: "check the templates"},
            required=False,
        ),
    ),
    examples=(
        ("eidos bundle -f recipe.yaml -o bundle", "build all components of the recipe"),
        ("eidos bundle -f recipe.yaml --set gpu-operator:mig.strategy=mixed", "set a chart value"),
        ("eidos bundle -f recipe.yaml --archive bundle.tar.gz", "write one archive"),
        ("eidos bundle -f recipe.yaml --registry mirror.example.com/nvidia", "for air-gapped clusters"),
        ("eidos bundle -f recipe.yaml --charts charts --images images", "carry charts and images, too"),
        ("eidos bundle -f recipe.yaml --deployer argocd --repo URL --path gpu", "for Argo CD"),
        ("eidos bundle plan -f recipe.yaml", "show what a bundle would install, and what that interrupts"),
        ("eidos bundle plan -f recipe.yaml --existing node.yaml -t markdown", "for a cluster that runs something already"),
        ("eidos bundle lint --templates my-templates", "check your own templates"),
    ),
    notes=(
        (
            "Exit status: 0 written; 1 a component failed (the others are written; incomplete.txt lists it) or the output could not be "
            "written; 2 wrong usage, an invalid or incomplete recipe, or a component that cannot be installed over what runs; 4 lint "
            "found an error, plan found such a component, or --strict found a problem; 5 an image of --images is incomplete or damaged."
        ),
    ),
)


def run(values: Values) -> int:
    """Make the bundle and write it, or say what lint found."""
    if values["data"] is not None and document_locations.is_in_registry(values["data"]):
        from contextlib import ExitStack

        with ExitStack() as stack:
            values["data"] = document_locations.local_folder(values["data"], values, stack, "DATA")
            return run(values)
    if values["images"] is not None and os.path.isfile(values["images"]):
        from eidos.oci.layout_archive import unpacked_layout

        values["images-archive"] = values["images"]
        with unpacked_layout(values["images"]) as values["images"]:
            return run(values)
    if values.get("action") == LINT:
        from eidos.cli.lint_report import lint_templates

        return lint_templates(values)
    if values["format"] == MARKDOWN and values.get("action") != PLAN:
        raise InvalidInput("--format markdown is for 'eidos bundle plan'", "choose yaml, json or table")
    return run_with_telemetry("bundle", values, _write_plan if values.get("action") == PLAN else _write_bundle)


def _write_plan(values: Values, telemetry: RunTelemetry) -> int:
    """Write what a bundle would install; the exit status says whether it can be."""
    flags = [values.origins[name] for name in ("archive", "force") if name in values.origins]
    if flags:
        raise InvalidInput(f"eidos bundle plan does not take {', '.join(flags)}")
    location = values["output"] or document_locations.STDOUT
    document_locations.check_writable(location, values)
    recipe = _read_recipe(values)
    from eidos.cli.bundle_arguments import read_bundle_options
    from eidos.workflow import plan_bundle

    options = read_bundle_options(values)
    with telemetry.step("make"):
        plan = plan_bundle(recipe, options)
    fmt = document_locations.choose_format(values["format"], location, "table")
    with telemetry.step("serialise"):
        document_locations.write_document(location, _plan_text(plan, fmt, location), values, "plan")
    failed = [component.id for component in plan.components if component.error]
    for component in plan.refused:
        if component.decision:
            log.error(f"{component.id}: {component.decision.reason}", hint=component.decision.hint)
    if failed:
        log.error(f"{len(failed)} of {len(plan.components)} components failed: {', '.join(failed)}")
        return FAILED
    status = _report_strict(recipe, plan) if values["strict"] else 0
    return FINDINGS if plan.refused else status


def _plan_text(plan: BundlePlan, fmt: str, location: str) -> str:
    if fmt not in ("table", MARKDOWN):
        return serialize(plan.to_tree(), fmt)
    from eidos.cli.plan_table import plan_markdown, plan_table

    if fmt == MARKDOWN:
        return plan_markdown(plan)
    return document_locations.fit_table(location, lambda width, colour: plan_table(plan, width, colour))


def _read_recipe(values: Values) -> Recipe:
    if values["file"] is None:
        raise InvalidInput("eidos bundle needs a recipe", "use --file FILE; run 'eidos recipe -o recipe.yaml' to write one")
    return document_locations.read_recipe(values["file"], values)


def _write_bundle(values: Values, telemetry: RunTelemetry) -> int:
    folder, archive = values["output"], values["archive"]
    if folder is not None and document_locations.is_in_object_store(folder):
        if archive is not None:
            raise InvalidInput("--output in an object store and --archive cannot be used together", "run it twice")
        folder, archive = None, folder
    if folder is None and archive is None:
        folder = DEFAULT_FOLDER
    _check_outputs(folder, archive, values)
    recipe = _read_recipe(values)
    from eidos.cli.bundle_arguments import read_bundle_options
    from eidos.workflow import make_bundle

    options = read_bundle_options(values)
    with telemetry.step("make"):
        bundle = make_bundle(recipe, options)
    telemetry.record_bundle(bundle)
    for sentence in bundle.warnings:
        log.warn(sentence)
    for sentence in bundle.unmirrored:
        log.warn(f"not from the mirror: {sentence}")
    for sentence in (*bundle.missing_charts, *bundle.missing_images):
        log.warn(sentence)
    if bundle.files:
        with telemetry.step("serialise"):
            _write_files(bundle, folder, archive, values["force"])
    _report(bundle, folder if bundle.files else None, archive if bundle.files else None, values)
    if bundle.errors:
        log.error(f"{len(bundle.errors)} of {len(bundle.components)} components failed: {', '.join(bundle.errors)}")
        return FAILED
    return _report_strict(recipe, bundle) if values["strict"] else 0


def _report_strict(recipe: Recipe, made: Bundle | BundlePlan) -> int:
    """Log what ``--strict`` objects to; the exit status."""
    problems = [f"the recipe is generic: it is not made for the {name}" for name in recipe.generic or ()]
    lists = (("the mirror is incomplete", made.unmirrored), ("charts are missing", made.missing_charts))
    for problem, sentences in (*lists, ("images are missing", made.missing_images)):
        problems += [f"{problem}: {count_of(len(sentences), 'warning')} above"] if sentences else []
    for problem in problems:
        log.error(f"--strict: {problem}")
    return FINDINGS if problems else 0


def _check_outputs(folder: str | None, archive: str | None, values: Values) -> None:
    """Raise an EidosError for outputs that cannot be written, before any work is done for them."""
    if folder is not None:
        if folder == document_locations.STDOUT or document_locations.is_remote(folder):
            raise InvalidInput(f"--output: {folder!r} is not a folder", "use --archive - to write a tar.gz to standard output")
        if folder.lower().endswith((".tar.gz", ".tgz", ".zip")) and not os.path.isdir(folder):
            raise InvalidInput(f"--output: {folder!r} is an archive; expected a folder", f"use --archive {folder}")
        from eidos.bundle import folder_writer

        folder_writer.check_folder(folder, force=values["force"])
    if archive is not None:
        if archive == document_locations.STDOUT and values["format"] in ("json", "yaml"):
            raise InvalidInput("--archive - and --format both write to standard output", "write the archive to a file")
        if folder is not None and os.path.realpath(archive).startswith(os.path.realpath(folder) + os.sep):
            raise InvalidInput(f"--archive: {archive} is inside the folder of --output, which can hold only the bundle")
        document_locations.check_archive(archive, "--archive" if archive is values["archive"] else "--output")
        is_in_store = document_locations.is_in_object_store(archive)
        if values["images"] is not None and (is_in_store or archive.lower().endswith(".zip")):
            what = "an object store" if is_in_store else "a zip file"
            push = ", then run 'eidos push bundle.tar.gz oci://HOST/REPOSITORY:TAG'" if is_in_store else ""
            hint = f"use --archive bundle.tar.gz{push}"
            raise InvalidInput(f"--images: {what} cannot take a bundle with images", hint)
        document_locations.check_writable(archive)


def _write_files(bundle: Bundle, folder: str | None, archive: str | None, force: bool) -> None:
    pieces: Iterable[bytes] = ()
    if archive is not None:
        from eidos.bundle.zip_archive import archive_pieces

        pieces = archive_pieces(bundle.files, bundle.blobs, document_locations.location_extension(archive))
        if not bundle.blobs:
            pieces = (b"".join(pieces),)
    if folder is not None:
        from eidos.bundle import folder_writer

        folder_writer.write_folder(folder, bundle.files, bundle.blobs, force=force, is_checked=True)
    if archive is not None and bundle.blobs:
        document_locations.write_pieces(archive, pieces)
    elif archive is not None:
        document_locations.write_bytes(archive, b"".join(pieces))


def _report(bundle: Bundle, folder: str | None, archive: str | None, values: Values) -> None:
    """Report what was made: to people on standard error, to programs on standard output."""
    fmt = values["format"]
    archive = None if archive is None else document_locations.display_location(archive)
    if fmt in ("json", "yaml"):
        outputs = {name: path for name, path in (("folder", folder), ("archive", archive)) if path is not None}
        document_locations.write_document(document_locations.STDOUT, serialize({**outputs, **bundle.to_tree()}, fmt))
        return
    if not log.shows("warn"):
        return

    width = max((len(component.id) for component in bundle.components), default=0)
    lines = []
    for component in bundle.components:
        size = f"{count_of(len(component.files), 'file'):>9} {component.bytes:9,} bytes {component.milliseconds:8.1f} ms"
        lines.append(f"{component.id:{width}}  {f'failed: {component.error}' if component.error else size}")
    outputs_text = " and ".join(path for path in (folder, archive) if path)
    if outputs_text:
        files = count_of(len(bundle.files) + len(bundle.blobs), "file")
        lines.append(f"{files}, {bundle.bytes:,} bytes, {bundle.milliseconds:.1f} ms: {outputs_text}")
    log.print_summary(lines)
