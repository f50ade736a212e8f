"""Charts from a folder, for bundles that carry them.

Knows the names under which helm stores charts, and the two fields of ``Chart.yaml`` that identify one; must not know components, nor what
else is in a chart. An archive is untrusted: it is copied as it is, and only its ``Chart.yaml`` is read, in bounded memory.
"""

from __future__ import annotations

import os
import stat

from eidos.bundle.tar_archive import MAX_CONTENT_BYTES, pack_tar_gz, read_members
from eidos.errors import IntegrityError, InvalidInput, NotFound, Unavailable, os_error_reason
from eidos.formats import from_text
from eidos.model.record import Record
from eidos.templates.text_template import Markdown
from eidos.wording import quote_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from eidos.model.recipe import Component

#: The folder of a bundle that holds them, and the file that says what a chart is.
FOLDER, CHART_YAML = "charts", "Chart.yaml"

#: Limits: a packed chart, all of a bundle, the files of an unpacked one and their bytes, and ``Chart.yaml``. Helm stores a release with its
#: chart in a Secret, which holds 1 MiB.
MAX_CHART_BYTES, MAX_CHARTS_BYTES, MAX_FILES, MAX_UNPACKED_BYTES, MAX_CHART_YAML_BYTES = (
    MAX_CONTENT_BYTES,
    32 << 20,
    5_000,
    64 << 20,
    1 << 20,
)


class ChartArchive(Record):
    """A packed chart: its name in the bundle, as ``helm pull`` writes it, and its bytes."""

    name: str
    content: bytes


def read_charts(folder: str, components: Iterable[Component]) -> tuple[dict[str, ChartArchive], list[str]]:
    """The charts of components, by id, and a sentence with the command that fetches it for each that the folder lacks.

    Raises NotFound or Unavailable for a folder that cannot be read, InvalidInput for a file that is not the chart that its name says.
    """
    if not os.path.isdir(folder):
        raise NotFound(f"--charts: {folder}: no such folder", "name a folder of charts, as 'helm pull --destination DIR' writes them")
    charts: dict[str, ChartArchive] = {}
    missing: list[str] = []
    size = 0
    for component in components:
        if not component.chart:
            continue
        name = component.chart.rpartition("/")[2]
        try:
            content = _read_chart(folder, name, component.version)
        except OSError as fault:
            raise Unavailable(f"--charts: {fault.filename or folder}: {os_error_reason(fault)}") from fault
        if content is None:
            missing.append(f"{component.id}: no chart {name}-{component.version}.tgz in {folder}: run '{pull_command(component, folder)}'")
            continue
        size += len(content)
        if size > MAX_CHARTS_BYTES:
            raise InvalidInput(
                f"--charts: the charts are larger than {MAX_CHARTS_BYTES >> 20} MiB", "build fewer components with --bundlers"
            )
        charts[component.id] = ChartArchive(f"{name}-{component.version}.tgz", content)
    return charts, missing


def pull_command(component: Component, folder: str = "") -> str:
    """The command that fetches the chart of a component into a folder.

    >>> from eidos.model.recipe import Component
    >>> pull_command(Component("a", "a", "https://charts.example.com", "v1.0.0", "a"), "charts")
    'helm pull a --repo https://charts.example.com --version v1.0.0 --destination charts'
    >>> pull_command(Component("a", "a", "oci://registry.example.com/charts/", "1.0.0", "a"))
    'helm pull oci://registry.example.com/charts/a --version 1.0.0'
    """
    repository = component.repository.rstrip("/")
    words = [f"{repository}/{component.chart}"] if repository.startswith("oci://") else [component.chart, "--repo", component.repository]
    words += ["--version", component.version, *(["--destination", folder] if folder else [])]
    return "helm pull " + " ".join(map(quote_word, words))


def describe(components: Iterable[Component], archives: Mapping[str, ChartArchive]) -> Markdown:
    """What a bundle says of the charts that it carries and of those that it lacks."""
    charts = [component for component in components if component.chart]
    missing = [f"$ {pull_command(component, FOLDER)}" for component in charts if component.id not in archives]
    lines = [f"`{FOLDER}/` has charts, and no chart repository is contacted for them:", ""]
    lines += [f"- `{archives[component.id].name}`" for component in charts if component.id in archives]
    if missing:
        lines += [
            "",
            "These are missing. Run this here before you take the bundle into a closed network:",
            "",
            "```console",
            *missing,
            "```",
        ]
    return Markdown("\n".join(lines))


def _read_chart(folder: str, name: str, version: str) -> bytes | None:
    """The packed chart of a version, with or without a ``v`` before it; None if it is neither packed nor unpacked in the folder."""
    versions = dict.fromkeys((version, version[1:] if version[:1] == "v" else version))
    for each in versions:
        path = os.path.join(folder, f"{name}-{each}.tgz")
        if os.path.lexists(path):
            content = _read_file(path, MAX_CHART_BYTES)
            _check(_chart_yaml(content, path, name), path, name, version)
            return content
    for path in (os.path.join(folder, name), *(os.path.join(folder, f"{name}-{each}") for each in versions)):
        if os.path.isfile(os.path.join(path, CHART_YAML)):
            about = _identity(_read_file(os.path.join(path, CHART_YAML), MAX_CHART_YAML_BYTES), path)
            if about == (name, version) or path != os.path.join(folder, name):
                _check(about, path, name, version)
                return _pack(path, name)
    return None


def _chart_yaml(content: bytes, path: str, name: str) -> tuple[str, str]:
    """Name and version in the ``Chart.yaml`` of a packed chart. The whole archive is read, so that one that is damaged is refused."""
    import io

    chart_yaml = f"{name}/{CHART_YAML}"
    try:
        members = read_members(io.BytesIO(content), path, (chart_yaml,))
        contents = [member.content for member in members if member.path == chart_yaml and not member.kind]
    except IntegrityError as fault:
        raise InvalidInput(f"--charts: {fault.message}", "fetch it again with 'helm pull'") from fault
    if len(contents) != 1:
        raise InvalidInput(f"--charts: {path}: {'two files' if contents else 'no file'} {chart_yaml}", "fetch it again with 'helm pull'")
    return _identity(contents[0], path)


def _identity(content: bytes, path: str) -> tuple[str, str]:
    if len(content) > MAX_CHART_YAML_BYTES:
        raise InvalidInput(f"--charts: {path}: {CHART_YAML} is larger than {MAX_CHART_YAML_BYTES >> 20} MiB")
    tree = from_text(content, f"{path}: {CHART_YAML}")
    fields = tree if isinstance(tree, dict) else {}
    return str(fields.get("name")), str(fields.get("version"))


def _check(about: tuple[str, str], path: str, name: str, version: str) -> None:
    if about[0] != name or about[1].lstrip("v") != version.lstrip("v"):
        hint = "name the file as 'helm pull' does: NAME-VERSION.tgz"
        raise InvalidInput(f"--charts: {path} is chart {about[0][:80]!r} {about[1][:80]!r}, expected {name} {version}", hint)


def _read_file(path: str, limit: int) -> bytes:
    # A pipe or a device could block for ever.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise InvalidInput(f"--charts: {path}: not a regular file")
    with open(path, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise InvalidInput(f"--charts: {path}: larger than {limit >> 20} MiB", "check that this is a chart")
    return content


def _pack(folder: str, name: str) -> bytes:
    """An unpacked chart, packed; the same files give the same bytes."""
    files: dict[str, bytes] = {}
    size = 0
    for path in _walk(folder):
        files[path] = _read_file(os.path.join(folder, path), MAX_CHART_BYTES)
        size += len(files[path])
        if size > MAX_UNPACKED_BYTES or len(files) > MAX_FILES:
            raise InvalidInput(f"--charts: {folder}: too large for a chart", "pack it with 'helm package'")
    packed = pack_tar_gz(files, f"{name}/")
    if len(packed) > MAX_CHART_BYTES:
        raise InvalidInput(f"--charts: {folder}: larger than {MAX_CHART_BYTES >> 20} MiB", "check that this is a chart")
    return packed


def _walk(folder: str) -> Iterator[str]:
    """The paths of files below a folder. Links are refused: they could lead anywhere."""
    remaining = [""]
    while remaining:
        parent = remaining.pop()
        with os.scandir(os.path.join(folder, parent)) as entries:
            children = sorted(entries, key=lambda entry: entry.name)
        for entry in children:
            path = f"{parent}{entry.name}"
            if entry.is_symlink():
                raise InvalidInput(
                    f"--charts: {os.path.join(folder, path)}: a link, which a chart cannot have", "pack it with 'helm package'"
                )
            if entry.is_dir(follow_symlinks=False):
                if entry.name != ".git":
                    remaining.append(f"{path}/")
            else:
                yield path
