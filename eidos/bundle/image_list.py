"""Which container images a bundle needs, for those who mirror them.

Knows what components.yaml says of the images of each version of a chart; must not know any image. What is not known is said, in comments:
a list that looks whole and is not would be found out in a network without a way out.
"""

from __future__ import annotations

from eidos.bundle import registry_mirror
from eidos.model.number_format import format_scalar
from eidos.templates.placeholder import ABSENT, MissingValue, parse_text
from eidos.templates.tree_template import fill_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from eidos.bundle.variables import Names
    from eidos.model.chart import Chart
    from eidos.model.recipe import Component
    from eidos.templates.placeholder import Part


#: Begins the line of what was made of a value and can be no reference.
NONE = "# no reference of an image"

_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@+")


def _is_reference(text: str) -> bool:
    """Whether the characters of ``text`` are those of references (distribution/reference, its grammar)."""
    name, colon, tag = text.rpartition("/")[2].partition(":")
    return bool(name) and _CHARACTERS.issuperset(text) and (not colon or tag[:1].isalnum() or tag[:1] == "_")


def images(made: Iterable[tuple[Component, Names]], charts: Mapping[str, Chart], mirror: str) -> str:
    """The text of ``images.txt``: one reference a line, each once, grouped by component; lines with ``#`` are for people."""
    lines = ["# Images of this bundle. Lines without # are references."]
    if mirror:
        lines.append(f"# They are taken from {mirror}; behind 'from' stands where each came from.")
    seen: set[str] = set()
    for component, names in made:
        chart = charts[component.id]
        lines += ["", f"# {component.id}" + (f", chart {component.chart} {component.version}" if component.chart else "")]
        references = chart.images.get(component.version if component.chart else "", chart.images.get("", ()))
        said = False
        for reference in references:
            text = _filled(reference, names)
            if text is None:
                lines.append(f"# not known: the tag of {_shown(reference, names)}, because the recipe does not say it")
            elif not _is_reference(text):
                # A value of the user's has made it so; the cluster will say the same of it.
                lines.append(f"{NONE}: {text[:200]!a}")
            elif registry_mirror.image(text, mirror) not in seen:
                seen.add(registry_mirror.image(text, mirror))
                if mirror:
                    lines.append(f"# from {text}")
                lines.append(registry_mirror.image(text, mirror))
            said = True
        for text in names["images"]:  # of manifests, the examples among them
            if _is_reference(text) and registry_mirror.image(text, mirror) not in seen:
                seen.add(registry_mirror.image(text, mirror))
                lines += [f"# from {text}"] if mirror else []
                lines.append(registry_mirror.image(text, mirror))
            elif not _is_reference(text):
                lines.append(f"{NONE}: {text[:200]!a}")
            said = True
        if not references and (component.chart or not chart.images_unknown):
            what = f"the images of chart {component.chart} {component.version}" if component.chart else "whether its manifests have images"
            lines.append(f"# not known: {what}" if component.chart or not said else "")
        if chart.images_unknown:
            lines.append(f"# not known: {' '.join(chart.images_unknown.split())}")
    return "\n".join(line for line in lines) + "\n"


def _filled(reference: str, names: Names) -> str | None:
    """A reference with its tag; None when the recipe does not say what is in it."""
    try:
        value = fill_tree(reference, names)
    except MissingValue:
        return None
    return None if value is ABSENT else format_scalar(value)


def _shown(reference: str, names: Names) -> str:
    """A reference as far as it is known, with the names of what is not."""
    return "".join(_part(part, names) for part in parse_text(reference))


def _part(part: Part, names: Names) -> str:
    if isinstance(part, str):
        return part
    try:
        return format_scalar(part.resolve(names))
    except MissingValue:
        return f"<{part.name}>"


def of_manifests(trees: Iterable[Any]) -> list[str]:
    """The images that containers of manifests run, in order, each once."""
    found: dict[str, None] = {}
    waiting = list(trees)[::-1]
    while waiting:
        tree = waiting.pop()
        if isinstance(tree, dict):
            image = tree.get("image")
            if isinstance(image, str) and "name" in tree:
                found[image] = None
            elif isinstance(image, dict) and isinstance(image.get("repository"), str) and isinstance(image.get("tag"), str):
                found[f"{image['repository']}:{image['tag']}"] = None
            waiting += list(tree.values())[::-1]
        elif isinstance(tree, list):
            waiting += tree[::-1]
    return list(found)
