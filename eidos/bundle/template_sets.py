"""Which templates a component has.

Knows ``bundle.yaml`` and how folders of templates extend one another; must not know what a template says. Every folder below
``templates/bundles/`` is a set: ``every`` is for any component without its own, ``fetched`` for one of them that is manifests of others,
``all`` is for the top of a bundle, any other is named after its component. A user's folder replaces single files of the shipped ones.
"""

from __future__ import annotations

from eidos.errors import InvalidData, NotFound
from eidos.model.recipe import API_VERSION
from eidos.model.record import Record
from eidos.model.tree_reader import QUOTED, TreeReader
from eidos.templates.placeholder import preload
from eidos.templates.text_template import parse_template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Union

    from eidos.model.plugin import Plugin
    from eidos.templates.placeholder import Part

    #: Text, or the documents of YAML that is already parsed.
    Content = Union[str, list[Any]]

EVERY, FETCHED, ALL, INDEX = "every", "fetched", "all", "bundle.yaml"
RESERVED = (EVERY, FETCHED, ALL)

#: The file with a component's values.
VALUES = "values.yaml"
MANIFESTS, EXAMPLES = "manifests/", "manifests/examples/"

#: Files that the engine writes, and no template may.
RESERVED_TARGETS = ("checksums.txt", "recipe.yaml", "images.txt", "images.json", "incomplete.txt")

KEYS = ("version", "recipe", "extends", "settings", "services", "versions", "files")
FILE_KEYS = ("template", "target", "kind", "when", "example", "apply")
DATA, TEXT = "data", "text"

_DATA_ENDINGS = (".yaml", ".yml", ".json")


class TemplateFile(Record):
    """One file of a set: ``template`` is its path among all templates, ``target`` its path in the component's folder.

    ``when`` is a variable that must be there and neither false nor empty, or the file is left out. Scripts apply the manifests that have
    ``is_applied``.
    """

    template: str
    target: str
    kind: str
    when: str = ""
    is_applied: bool = False


class Templates:
    """All templates: ``contents`` maps the path below ``templates/bundles/`` to text, or to documents that are parsed already.

    ``user_paths`` are where those lie that do not come with eidos.
    """

    def __init__(self, contents: Mapping[str, Content], user_paths: Mapping[str, str] | None = None) -> None:
        self.contents = contents
        self.user_paths = user_paths or {}
        self._documents: dict[str, list[Any]] = {}

    def name(self, path: str) -> str:
        """A template's name in messages."""
        return self.user_paths.get(path, f"templates/bundles/{path}")

    def source(self, path: str) -> str:
        """The text of a template."""
        content = self._content(path)
        if isinstance(content, str):
            return content
        from eidos.files import resources

        return resources.read_text(f"templates/bundles/{path}")

    def documents(self, path: str) -> list[Any]:
        """The documents of a template that is data. Raises InvalidData with its name and line."""
        content = self._content(path)
        if isinstance(content, list):
            return content
        if path not in self._documents:
            self._documents[path] = split_documents(content, self.name(path))
        return self._documents[path]

    def parts(self, path: str) -> list[Part]:
        """The parts of a template that is text. Raises InvalidData with the line."""
        return parse_template(self.source(path))

    def ids(self) -> tuple[str, ...]:
        """The names of all sets."""
        return tuple(sorted({path.partition("/")[0] for path in self.contents if "/" in path}))

    def _content(self, path: str) -> Content:
        if path not in self.contents:
            raise InvalidData(f"{self.name(path)}: no such template")
        return self.contents[path]


def split_documents(text: str, name: str) -> list[Any]:
    """The documents of YAML text, separated by lines ``---``; empty ones are left out. Raises InvalidData with the line."""
    from eidos import formats

    documents = []
    lines: list[str] = []
    skipped = 0
    for number, line in enumerate([*text.split("\n"), "---"], 1):
        if line.rstrip() != "---":
            lines.append(line)
            continue
        content = "\n".join(lines)
        try:
            document = formats.from_text(content, name)
        except InvalidData:
            # Empty lines in front give the error its line in the whole text.
            document = formats.from_text("\n" * skipped + content, name)
        skipped, lines = number, []
        if document is not None:
            documents.append(document)
    return documents


def shipped_templates() -> Templates:
    """The templates that come with eidos."""
    from eidos.files import resources

    tree = resources.load_bundle_templates()
    preload(tree["splits"])
    return Templates(tree["files"])


def overlay_folder(templates: Templates, folder: str) -> Templates:
    """A user's folder of templates laid over others, file by file. Raises NotFound, or InvalidData for a file that is not UTF-8."""
    import os

    from eidos.files import resources

    if not os.path.isdir(folder):
        raise NotFound(f"{folder}: no such folder", "name a folder that has one folder with a bundle.yaml for each component")
    contents, user_paths = dict(templates.contents), dict(templates.user_paths)
    for name, path in resources.walk_files(folder):
        try:
            with open(path, encoding="utf-8", newline="") as file:
                contents[name] = file.read()
        except (OSError, UnicodeDecodeError) as fault:
            raise InvalidData(f"{path}: {getattr(fault, 'strerror', '') or 'not UTF-8'}") from fault
        user_paths[name] = os.path.join(folder, name)
    return Templates(contents, user_paths)


def overlay_plugin(templates: Templates, plugin: Plugin) -> Templates:
    """The templates of a plug-in laid over others, file by file. Raises InvalidData for a file that is not UTF-8."""
    contents, user_paths = dict(templates.contents), dict(templates.user_paths)
    for name, content in plugin.folder("templates").items():
        user_paths[name] = f"{plugin.path}/templates/{name}"
        try:
            contents[name] = content.decode("utf-8")
        except UnicodeDecodeError as fault:
            raise InvalidData(f"{user_paths[name]}: not UTF-8") from fault
    return Templates(contents, user_paths)


class TemplateSet(Record):
    """The files of one component, and its settings."""

    files: tuple[TemplateFile, ...]
    settings: dict[str, Any] = {}


def read_template_set(templates: Templates, id: str, chart_version: str = "", service: str = "", otherwise: str = EVERY) -> TemplateSet:
    """The set of a component; one without a folder has the set ``otherwise``. Raises InvalidData with file and path.

    Settings of its index under ``services`` and ``versions`` win for this service, and this version of the chart.
    """
    index_path = f"{id}/{INDEX}"
    if index_path not in templates.contents:
        if any(path.startswith(f"{id}/") for path in templates.contents):
            raise InvalidData(f"{templates.name(index_path)}: no such file", "add this index to the folder of templates")
        index_path = f"{otherwise}/{INDEX}"
    index = _index(templates, index_path)
    settings: dict[str, Any] = {}
    files: dict[str, TemplateFile] = {}
    base = index.text("extends")
    if base:
        if f"{base}/{INDEX}" not in templates.contents or base == id:
            raise index.error(f"unknown template set {base!r}", f"write extends: {EVERY}", "extends")
        base_index = _index(templates, f"{base}/{INDEX}")
        settings.update(_settings(base_index, chart_version, service))
        files.update(_files(base_index, base))
    settings.update(_settings(index, chart_version, service))
    files.update(_files(index, index_path.partition("/")[0]))
    return TemplateSet(tuple(files.values()), settings)


def _index(templates: Templates, path: str) -> TreeReader:
    documents = templates.documents(path)
    if len(documents) != 1:
        raise InvalidData(f"{templates.name(path)}: expected one document, found {len(documents)}")
    index = TreeReader(documents[0], templates.name(path), text_types=QUOTED)
    index.name("version")
    if index.text("recipe") != API_VERSION:
        raise index.error(f"these templates need {index.text('recipe')!r}, but recipes are {API_VERSION}", name="recipe")
    return index


def _settings(index: TreeReader, chart_version: str, service: str) -> dict[str, Any]:
    settings = dict(index.mapping("settings").tree)
    for key, inner in (("services", service), ("versions", chart_version)):
        settings.update(index.mapping(key).mapping(inner).tree)
    return settings


def _files(index: TreeReader, folder: str) -> dict[str, TemplateFile]:
    files: dict[str, TemplateFile] = {}
    for item in index.mappings("files"):
        template = item.name("template")
        target = _target(item, template)
        kind = item.choice("kind", (DATA, TEXT)) if "kind" in item else DATA if template.endswith(_DATA_ENDINGS) else TEXT
        if item.flag("example", False) and not target.startswith(EXAMPLES):
            raise item.error(f"an example must be below {EXAMPLES}", name="target")
        manifest = target.startswith(MANIFESTS) and not target.startswith(EXAMPLES)
        files[target] = TemplateFile(f"{folder}/{template}", target, kind, item.text("when"), manifest and item.flag("apply", True))
    return files


def _target(item: TreeReader, template: str) -> str:
    path = item.text("target") or template
    if set(path.split("/")) & {"", ".", ".."} or not path.isprintable() or "\\" in path:
        raise item.error(f"{path!r} is not a path below the component's folder", name="target")
    if path in RESERVED_TARGETS:
        raise item.error(f"{path} is reserved: eidos writes it", name="target")
    return path
