"""Which templates a component has.

Knows ``bundle.yaml`` and how folders of templates extend one another; must not know what a template says. Every folder below
``templates/bundles/`` is a set: ``every`` is what any component gets, ``all`` is what stands at the top of a bundle, any other is named
after its component. Folders that a user lays over the shipped ones replace single files.
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
    from typing import Any, Union

    from eidos.templates.placeholder import Part

    #: Text, or the documents of YAML that is already parsed.
    Content = Union[str, list[Any]]

EVERY, ALL, INDEX = "every", "all", "bundle.yaml"
RESERVED = (EVERY, ALL)

#: Where a component's values are; what is laid over them goes here, too.
VALUES = "values.yaml"
MANIFESTS, EXAMPLES = "manifests/", "manifests/examples/"

#: What the engine writes itself, and no template may.
OWN = ("checksums.txt", "recipe.yaml", "images.txt", "incomplete.txt")

KEYS = ("version", "recipe", "extends", "settings", "services", "versions", "files")
FILE_KEYS = ("template", "target", "kind", "when", "example", "apply")
DATA, TEXT = "data", "text"

_DATA_ENDINGS = (".yaml", ".yml", ".json")


class File(Record):
    """One file of a set: ``template`` is its path among all templates, ``target`` its place in the component's folder.

    ``when`` is a name that must stand for something that is not empty, or the file is left out. What has ``applied`` is among the
    manifests that scripts apply.
    """

    template: str
    target: str
    kind: str
    when: str = ""
    applied: bool = False


class Templates(Record):
    """Every template there is: path below ``templates/bundles/`` → text, or documents; ``shown`` is where a user's own lie."""

    contents: dict[str, Content]
    shown: dict[str, str] = {}

    def name(self, path: str) -> str:
        """A template's name for people."""
        return self.shown.get(path, f"templates/bundles/{path}")

    def source(self, path: str) -> str:
        """A template as it was written."""
        content = self._content(path)
        if isinstance(content, str):
            return content
        from eidos.files import resources

        return resources.read_text(f"templates/bundles/{path}")

    def documents(self, path: str) -> list[Any]:
        """The documents of a template that is data; InvalidData with its name and line when it does not parse."""
        content = self._content(path)
        if isinstance(content, list):
            return content
        known: dict[str, list[Any]] = self.__dict__.setdefault("_documents", {})
        if path not in known:
            known[path] = split(self.source(path), self.name(path))
        return known[path]

    def parts(self, path: str) -> list[Part]:
        """The parts of a template that is text; InvalidData with the line of what is wrong."""
        return parse_template(self.source(path))

    def ids(self) -> tuple[str, ...]:
        """The sets that there are."""
        return tuple(sorted({path.partition("/")[0] for path in self.contents if "/" in path}))

    def _content(self, path: str) -> Content:
        if path not in self.contents:
            raise InvalidData(f"{self.name(path)}: there is no such template")
        return self.contents[path]


def split(text: str, name: str) -> list[Any]:
    """The documents of YAML text, which a line ``---`` sets apart; empty ones do not count."""
    from eidos import formats

    found = []
    lines: list[str] = []
    skipped = 0
    for number, line in enumerate([*text.split("\n"), "---"], 1):
        if line.rstrip() != "---":
            lines.append(line)
            continue
        # Empty lines in front keep the numbers of lines right.
        document = formats.from_text("\n" * skipped + "\n".join(lines), name)
        skipped, lines = number, []
        if document is not None:
            found.append(document)
    return found


def shipped() -> Templates:
    """The templates that eidos carries."""
    from eidos.files import resources

    tree = resources.load_bundle_templates()
    preload(tree["splits"])
    return Templates(tree["files"])


def over(below: Templates, folder: str) -> Templates:
    """A user's folder of templates laid over others, file by file. Raises NotFound, or InvalidData for what is no text."""
    import os

    from eidos.files import resources

    if not os.path.isdir(folder):
        raise NotFound(f"{folder}: there is no such folder", "it holds a folder for each component, with a bundle.yaml in it")
    contents = dict(below.contents)
    shown = {}
    for name, path in resources.walk_files(folder):
        try:
            with open(path, encoding="utf-8", newline="") as file:
                contents[name] = file.read()
        except (OSError, UnicodeDecodeError) as fault:
            raise InvalidData(f"{path}: {getattr(fault, 'strerror', '') or 'it is not UTF-8'}") from fault
        shown[name] = os.path.join(folder, name)
    return Templates(contents, shown)


class TemplateSet(Record):
    """The files of one component, and the settings that its set has for it."""

    id: str
    version: str
    files: tuple[File, ...]
    settings: dict[str, Any] = {}


def read(templates: Templates, id: str, chart_version: str = "", service: str = "") -> TemplateSet:
    """The set of a component; one without a folder has what ``every`` has. InvalidData naming file and place.

    ``versions`` of its index say more about one version of the chart, ``services`` about one service.
    """
    own = f"{id}/{INDEX}"
    if own not in templates.contents:
        if any(path.startswith(f"{id}/") for path in templates.contents):
            raise InvalidData(f"{templates.name(own)}: there is no such file", "a folder of templates has an index")
        own = f"{EVERY}/{INDEX}"
    index = _index(templates, own)
    settings: dict[str, Any] = {}
    files: dict[str, File] = {}
    base = index.text("extends")
    if base:
        if f"{base}/{INDEX}" not in templates.contents or base == id:
            raise index.error(f"there is no set {base!r}", f"write extends: {EVERY}", "extends")
        below = _index(templates, f"{base}/{INDEX}")
        settings.update(_settings(below, chart_version, service))
        files.update(_files(below, base))
    settings.update(_settings(index, chart_version, service))
    files.update(_files(index, own.partition("/")[0]))
    return TemplateSet(id, index.text("version"), tuple(files.values()), settings)


def _index(templates: Templates, path: str) -> TreeReader:
    documents = templates.documents(path)
    if len(documents) != 1:
        raise InvalidData(f"{templates.name(path)}: expected one document, found {len(documents)}")
    index = TreeReader(documents[0], templates.name(path), text_types=QUOTED)
    index.name("version")
    if index.text("recipe") != API_VERSION:
        raise index.error(f"these templates need {index.text('recipe')!r}, and recipes are {API_VERSION}", name="recipe")
    return index


def _settings(index: TreeReader, chart_version: str, service: str) -> dict[str, Any]:
    settings = dict(index.mapping("settings").tree)
    for key, inner in (("services", service), ("versions", chart_version)):
        settings.update(index.mapping(key).mapping(inner).tree)
    return settings


def _files(index: TreeReader, folder: str) -> dict[str, File]:
    files: dict[str, File] = {}
    for item in index.mappings("files"):
        template = item.name("template")
        target = _target(item, template)
        kind = item.choice("kind", (DATA, TEXT)) if "kind" in item else DATA if template.endswith(_DATA_ENDINGS) else TEXT
        if item.flag("example", False) and not target.startswith(EXAMPLES):
            raise item.error(f"an example lies below {EXAMPLES}", name="target")
        manifest = target.startswith(MANIFESTS) and not target.startswith(EXAMPLES)
        files[target] = File(f"{folder}/{template}", target, kind, item.text("when"), manifest and item.flag("apply", True))
    return files


def _target(item: TreeReader, template: str) -> str:
    path = item.text("target") or template
    if set(path.split("/")) & {"", ".", ".."} or not path.isprintable() or "\\" in path:
        raise item.error(f"{path!r} is no path below the component's folder", name="target")
    if path in OWN:
        raise item.error(f"{path} is written by eidos itself", name="target")
    return path
