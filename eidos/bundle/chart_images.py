"""The images of a chart: what its version pulls, which values feed each reference, and which switch it on.

Knows the form of ``recipes/images/<component>.yaml`` and of ``images`` in components.yaml; must not know any chart. A reference is a text
with placeholders of values, ``@{values.image.repository | registry.example.com/a}:@{values.image.tag | v1}``, so that a bundle lists what
its own values pull, and knows which values to set for a mirror: those that begin a reference.

>>> tree = {
...     "versions": {
...         "1.0": {
...             "switches": {"b.enabled": False},
...             "images": ["r.example.com/a:1", {"image": "r.example.com/b:1", "when": ["b.enabled"]}],
...         }
...     }
... }
>>> images = read_chart_images("x", "1.0", {}, lambda name: tree)
>>> [image.switched_off(images.switches, {"b": {"enabled": on}}) for image in images.images for on in (True, False)]
[(), (), (), ('b.enabled=true',)]
"""

from __future__ import annotations

from eidos.model.number_format import format_scalar
from eidos.model.record import Record
from eidos.model.tree_reader import QUOTED, TreeReader
from eidos.templates.placeholder import DEFAULT, REQUIRED, parse_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from eidos.bundle.template_variables import Variables

#: Below this folder of the recipes.
FOLDER = "images/"

#: The beginning of the names of placeholders that are values of the chart.
VALUES = "values."

#: What a switch begins with that must be off.
NOT = "!"

_SHA256 = ":sha256:"


class ChartImage(Record):
    """One image: ``text`` is its reference with placeholders; ``when`` are paths of values that must be on, those with a ``!`` off."""

    text: str
    when: tuple[str, ...] = ()

    def switched_off(self, switches: Mapping[str, bool], values: Mapping[str, Any]) -> tuple[str, ...]:
        """What would have to be set for the image to be pulled, as ``path=true``; empty if it is pulled."""
        return tuple(
            f"{path.lstrip(NOT)}={str(path[0] != NOT).lower()}" for path in self.when if _is_on(path, switches, values) == (path[0] == NOT)
        )

    def fill(self, variables: Variables) -> tuple[str, tuple[str, ...]]:
        """The reference, and the names of what is missing in it, which stand in angle brackets."""
        text, missing = "", []
        for part in parse_text(self.text):
            if isinstance(part, str):
                text += part
            elif part.kind == REQUIRED and part.name not in variables:
                text += f"<{part.name}>"
                missing.append(part.name)
            else:
                text += format_scalar(part.resolve(variables))
        if _SHA256 in text:  # a digest has no system behind it
            name, _, digest = text.partition(_SHA256)
            return f"{name}@sha256:{digest.partition('-')[0]}", ()
        return text, tuple(missing)

    @property
    def registry(self) -> tuple[str, str]:
        """The path of the value that begins the reference, and the chart's own text of it; twice "" where the chart leaves no choice."""
        first = next(iter(parse_text(self.text)), "")
        if isinstance(first, str) or not first.name.startswith(VALUES):
            return "", ""
        return first.name[len(VALUES) :], format_scalar(first.default) if first.kind == DEFAULT else ""


class ChartImages(Record):
    """The images of one version of a chart, and the chart's own state of the values that switch them on."""

    images: tuple[ChartImage, ...]
    switches: dict[str, bool] = {}

    def own_text(self, path: str) -> str | None:
        """What the chart itself has where an image takes the value at ``path``; None where none does.

        >>> ChartImages((ChartImage("r.example.com/a:@{values.a.version | v1.20.0}"),)).own_text("a.version")
        'v1.20.0'
        """
        begin = f"@{{{VALUES}{path} | "
        return next((image.text.partition(begin)[2].partition("}")[0] for image in self.images if begin in image.text), None)

    @property
    def registries(self) -> dict[str, str]:
        """The paths of values that begin a reference, and the chart's own text of each."""
        return {path: default for path, default in (image.registry for image in self.images) if path}


def read_chart_images(
    id: str, version: str, own: Mapping[str, tuple[str, ...]], load_chart_data: Callable[[str], object]
) -> ChartImages | None:
    """The images of a version of a component; None when they are not known. Raises InvalidData with the place of a fault.

    ``own`` are those of the entry in components.yaml, by version: they win.
    """
    texts = own.get(version, own.get(""))
    if texts is not None:
        return ChartImages(tuple(map(ChartImage, texts)))
    tree = load_chart_data(f"{FOLDER}{id}")
    if tree is None:
        return None
    versions = TreeReader(tree, f"recipes/{FOLDER}{id}.yaml", text_types=QUOTED).mapping("versions")
    if version not in versions.tree:
        return None
    reader = versions.mapping(version)
    switches = reader.mapping("switches")
    entries = reader.tree.get("images") or ()
    if not isinstance(entries, (list, tuple)):
        raise reader.mismatch("a list", entries, "images")
    images = tuple(_read_image(entry, reader, number) for number, entry in enumerate(entries))
    for path in {path.lstrip(NOT) for image in images for path in image.when}:
        if not isinstance(switches.tree.get(path), bool):
            raise switches.error("expected true or false, the default of the chart", name=path)
    return ChartImages(images, switches.tree)


def image_names(id: str, own: Mapping[str, tuple[str, ...]], load_chart_data: Callable[[str], object]) -> set[str]:
    """The names of the images of all known versions of a component, without registry, path and tag; arguments as in read_chart_images."""
    tree = load_chart_data(f"{FOLDER}{id}")
    versions = {*own, *(TreeReader(tree, f"recipes/{FOLDER}{id}.yaml", text_types=QUOTED).mapping("versions").tree if tree else ())}
    known = (read_chart_images(id, version, own, load_chart_data) for version in versions)
    texts = (image.fill({})[0] for images in known if images for image in images.images)
    return {text.rpartition("/")[2].partition(":")[0].partition("@")[0] for text in texts}


def _read_image(entry: object, reader: TreeReader, number: int) -> ChartImage:
    if isinstance(entry, str):
        return ChartImage(entry)
    image = TreeReader(entry, reader.document, f"{reader.location('images')}[{number}]", text_types=QUOTED)
    image.expect_only(("image", "when"))
    return ChartImage(image.name("image"), image.names("when"))


def _is_on(path: str, switches: Mapping[str, bool], values: Mapping[str, Any]) -> bool:
    tree: Any = values
    for key in path.lstrip(NOT).split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return bool(switches.get(path.lstrip(NOT), True) if tree is None else tree)
