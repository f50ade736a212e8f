"""Issues of the names of the files below ``values/``, which describe the values of charts.

Knows how these files are named; must not know what is in them. A bundle opens such a file by the component and the version of its
chart, so one with a slip in its name is never read, and nothing that it says of a chart is checked or mirrored.
"""

from __future__ import annotations

import re

from eidos.model.lint_issue import ERROR, LintIssue
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

#: Below this folder of the recipes.
FOLDER = "values/"

#: What a file describes: the keys of a chart's values, those that name the registry of an image, the words that a value can be, or the
#: custom resource definitions.
KINDS = ("keys", "registries", "words", "crds")

NAME = re.compile(rf"{FOLDER}(?P<component>[^/]+)/(?P<version>[^/]+)\.({'|'.join(KINDS)})\.yaml")


def values_file_issues(names: Iterable[str], components: Collection[str]) -> Iterator[LintIssue]:
    """An issue for each file that no bundle reads; ``names`` are paths below the recipes, others than those below ``values/`` are ignored.

    >>> names = ["base.yaml", "values/a/v1.2.0.keys.yaml", "values/a/v1.2.0.key.yaml", "values/a/v1.2.0.keys.json", "values/b/1.keys.yaml"]
    >>> for issue in values_file_issues(names, ["a"]):
    ...     print(issue)
    values/a/v1.2.0.key.yaml: error: unknown file [unknown-file]
    values/a/v1.2.0.keys.json: error: unknown file [unknown-file]
    values/b/1.keys.yaml: error: unknown component 'b' [unknown-component]
    """
    for name in names:
        if name.startswith(FOLDER):
            match = NAME.fullmatch(name)
            if match is None:
                hint = f"name it {FOLDER}<component>/<chart version>.{KINDS[0]}.yaml, or ….{'.yaml, ….'.join(KINDS[1:])}.yaml"
                yield LintIssue(ERROR, "unknown-file", name, "unknown file", hint)
            elif match["component"] not in components:
                component = match["component"]
                yield LintIssue(
                    ERROR, "unknown-component", name, f"unknown component {component!r}", did_you_mean(component, components) or ""
                )
