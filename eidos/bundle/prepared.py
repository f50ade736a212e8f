"""What the archive carries ready made, because reading YAML takes longer than making a bundle.

Knows which files those are and in which form ``resources`` looks for them; must not know how the archive is written.
"""

from __future__ import annotations

import json

from eidos import formats
from eidos.bundle.template_sets import split
from eidos.files import resources
from eidos.templates.markup import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def for_archive() -> dict[str, Any]:
    """File below ``eidos/_data`` → tree. A template that JSON cannot hold exactly stays text.

    Raises InvalidData for a file that does not parse.
    """
    values = {name: resources.values_tree(name) for name in resources.value_names()}
    templates: dict[str, Any] = {}
    for name, text in resources.template_tree().items():
        assert isinstance(text, str)
        documents = split(text, f"templates/bundles/{name}") if name.endswith(".yaml") else []
        exact = documents and formats.to_yaml(json.loads(json.dumps(documents))) == formats.to_yaml(documents)
        templates[name] = (documents if exact else text) if name.endswith(".yaml") else {"pieces": parse(name, text)}
    return {resources.RECIPES_JSON: resources.recipe_tree(), resources.TEMPLATES_JSON: templates, resources.VALUES_JSON: values}
