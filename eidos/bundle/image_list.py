"""Which container images a bundle needs, for those who mirror them.

Knows what components.yaml says of the images of each version of a chart; must not know any image. What is missing is listed too, in
comments: a list that looks complete and is not would be discovered in a network without a way out.
"""

from __future__ import annotations

from eidos.bundle.registry_mirror import mirror_image
from eidos.model.number_format import format_scalar
from eidos.templates.placeholder import ABSENT, MissingValue, parse_text
from eidos.templates.tree_template import fill_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from eidos.bundle.template_variables import Variables
    from eidos.model.chart import Chart
    from eidos.model.recipe import Component
    from eidos.templates.placeholder import Part

#: Begins the line of a value that cannot be a reference.
NOT_A_REFERENCE = "# not an image reference"

_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@+")


def format_image_list(made: Iterable[tuple[Component, Variables]], charts: Mapping[str, Chart], mirror: str) -> str:
    """The text of ``images.txt``: one reference a line, each once, grouped by component; lines with ``#`` are for people."""
    lines = ["# Images of this bundle. Lines without # are references."]
    if mirror:
        lines.append(f"# They are pulled from {mirror}; the original of each follows 'from'.")
    listed: set[str] = set()
    for component, variables in made:
        chart = charts[component.id]
        lines += ["", f"# {component.id}" + (f", chart {component.chart} {component.version}" if component.chart else "")]
        version = component.version if component.chart else ""
        references = chart.images.get(version, chart.images.get("", ()))
        for reference in references:
            text = _fill_reference(reference, variables)
            if text is None:
                lines.append(f"# not known: the tag of {_partial(reference, variables)}, because the recipe does not set it")
            else:
                lines += _image_lines(text, mirror, listed)
        for text in variables["images"]:  # of manifests, the examples among them
            lines += _image_lines(text, mirror, listed)
        if version in chart.images and not references:
            lines.append("# none")
        elif not references and component.chart:
            lines.append(f"# not known: the images of chart {component.chart} {component.version}")
        elif not references and not chart.images_unknown:
            lines.append("" if variables["images"] else "# not known: whether its manifests have images")
        if chart.images_unknown:
            lines.append(f"# not known: {' '.join(chart.images_unknown.split())}")
    return "\n".join(lines) + "\n"


def _image_lines(text: str, mirror: str, listed: set[str]) -> Iterator[str]:
    """The lines of one image that is not ``listed`` yet, and lists it."""
    image = mirror_image(text, mirror)
    if not _is_reference(text):
        # A value of the user's made it so; the cluster will say the same of it.
        yield f"{NOT_A_REFERENCE}: {text[:200]!a}"
    elif image not in listed:
        listed.add(image)
        if mirror:
            yield f"# from {text}"
        yield image


def _is_reference(text: str) -> bool:
    """Whether ``text`` has the characters of a reference (distribution/reference, its grammar)."""
    name, colon, tag = text.rpartition("/")[2].partition(":")
    return bool(name) and _CHARACTERS.issuperset(text) and (not colon or tag[:1].isalnum() or tag[:1] == "_")


def _fill_reference(reference: str, variables: Variables) -> str | None:
    """A reference with its tag; None when the recipe lacks a part of it."""
    try:
        value = fill_tree(reference, variables)
    except MissingValue:
        return None
    return None if value is ABSENT else format_scalar(value)


def _partial(reference: str, variables: Variables) -> str:
    """A reference as far as it is known, with the names of missing values."""
    return "".join(_part(part, variables) for part in parse_text(reference))


def _part(part: Part, variables: Variables) -> str:
    if isinstance(part, str):
        return part
    try:
        return format_scalar(part.resolve(variables))
    except MissingValue:
        return f"<{part.name}>"


def images_of_manifests(trees: Iterable[Any]) -> list[str]:
    """The images that containers of manifests run, in order, each once."""
    images: dict[str, None] = {}
    remaining = list(trees)[::-1]
    while remaining:
        tree = remaining.pop()
        if isinstance(tree, dict):
            image = tree.get("image")
            if isinstance(image, str) and "name" in tree:
                images[image] = None
            elif isinstance(image, dict) and isinstance(image.get("repository"), str) and isinstance(image.get("tag"), str):
                images[f"{image['repository']}:{image['tag']}"] = None
            remaining += list(tree.values())[::-1]
        elif isinstance(tree, list):
            remaining += tree[::-1]
    return list(images)
