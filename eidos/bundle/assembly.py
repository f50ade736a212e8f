"""All components together: what stands at the top of a bundle.

Knows which files those are, and that checksums come last; must not know any component.
"""

from __future__ import annotations

from eidos import formats
from eidos.bundle import checksums, image_list, template_sets
from eidos.bundle import variables as tables
from eidos.bundle.component_files import fill_text, wanted
from eidos.errors import InvalidData
from eidos.model.bundle import CHECKSUMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from eidos.bundle.component_files import Context, Result
    from eidos.model.recipe import Component


def whole(made: list[tuple[Component, Result]], failed: Mapping[str, str], context: Context) -> dict[str, bytes]:
    """Every file of a bundle by path, in the order of paths; ``made`` in the order in which components are installed.

    What ``failed`` is named in ``incomplete.txt``, so that nobody takes the rest for everything.
    """
    files = {f"{component.id}/{path}": content for component, result in made for path, content in result.files.items()}
    titles = [(component, context.charts[component.id].title or component.id) for component, _ in made]
    names = tables.of_bundle(context.names, titles, context.recipe)
    for file in template_sets.read(context.templates, template_sets.ALL).files:
        if file.kind != template_sets.TEXT:
            raise InvalidData(f"{context.templates.name(file.template)}: at the top of a bundle there are texts only")
        if wanted(file, names):
            files[file.target] = fill_text(file, names, context.templates).encode()
    files["recipe.yaml"] = formats.to_yaml(context.recipe.to_tree(context=True)).encode()
    known = image_list.images(((component, result.names) for component, result in made), context.charts, context.options.registry)
    files["images.txt"] = known.encode()
    if failed:
        lines = [f"{id}: {' '.join(reason.split())}\n" for id, reason in failed.items()]
        files["incomplete.txt"] = "".join(["These components could not be made and are missing here:\n", *lines]).encode()
    files = dict(sorted(files.items()))
    files[CHECKSUMS] = checksums.emit(files)
    return dict(sorted(files.items()))
