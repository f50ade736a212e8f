"""``eidos recipe list``, ``explain`` and ``new``: what the data covers, the history of one value, and a new layer to fill in.

Knows which flags belong to which action, how each is shown, and what must be filled in of a new layer; must not know how layers match or
merge, nor which values make sense.
"""

from __future__ import annotations

from eidos.cli import document_locations
from eidos.errors import InvalidInput
from eidos.formats import serialize, to_yaml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.cli.options import Values
    from eidos.model.query import Query
    from eidos.model.recipe import Recipe
    from eidos.recipe.store import Store

#: The format that only the matrix has.
MARKDOWN = "markdown"

_HEAD = """\
# A layer {of}. Save it below overlays/ in a folder of your own, such as my-recipes/overlays/{name}.yaml, then:
#   eidos recipe lint --data my-recipes
#   eidos recipe --data my-recipes{flags}
# Fields of the key may be lists (gpu: [h100, h200]), versions ranges (k8s: ">= 1.33"); gpu-operator: ">= 26.7" holds for those releases.
"""

_BODY = """\
source:
  - id: site
    document: ""  # where the values come from
    version: ""
    date: ""      # of the document: YYYY-MM-DD
measurements:
  # - type: OS
  #   subtypes:
  #     - subtype: sysctl
  #       data:
  #         /proc/sys/vm/swappiness: "1"  # null removes what layers below set
  #       context:
  #         /proc/sys/vm/swappiness: Why, in one sentence.
constraints:
  # - name: K8s.server.version
  #   value: ">= 1.33"
  #   why: Why, in one sentence.
  #   source: site
components:
  # gpu-operator:
  #   version: v1.2.3
  #   values: {}
  #   why: Why, in one sentence.
  #   source: site
"""


def check_format(fmt: str) -> None:
    """Raise InvalidInput for Markdown, which only the matrix has."""
    if fmt == MARKDOWN:
        raise InvalidInput("--format markdown is for 'eidos recipe list --matrix'", "choose yaml, json or table")


def write_list(values: Values, store: Store) -> int:
    """Write what is covered, or with ``--matrix`` the advice for each GPU on each service."""
    fmt = document_locations.choose_format(values["format"], values["output"], "table")
    if values["matrix"]:
        from eidos.recipe.coverage import advice_matrix, summary

        cells = advice_matrix(store)
        if fmt in (MARKDOWN, "table"):
            from eidos.cli.recipe_table import matrix_markdown, matrix_table

            show = matrix_markdown if fmt == MARKDOWN else matrix_table
            return _write(values, show(cells))
        return _write(values, serialize({"digest": store.digest, "summary": summary(cells), "matrix": cells}, fmt))
    check_format(fmt)
    if values["changes-since"] is not None:
        return _write_changes(values, store, fmt)
    from eidos.recipe.coverage import covered

    tree = covered(store)
    if fmt == "table":
        from eidos.cli.recipe_table import list_table

        return _write(values, document_locations.fit_table(values["output"], lambda width, colour: list_table(tree, width, colour)))
    return _write(values, serialize(tree, fmt))


def _write_changes(values: Values, store: Store, fmt: str) -> int:
    """Write what has changed in the recipes since a released version."""
    from eidos.files.resources import load_recipe_file
    from eidos.recipe.release_notes import NAME, changes, read_release

    before = read_release(load_recipe_file(NAME), values["changes-since"])
    tree = {"since": values["changes-since"], "data-then": before["data"], "data-now": store.digest, "changes": changes(before, store)}
    if fmt == "table":
        from eidos.cli.recipe_table import changes_table

        return _write(values, document_locations.fit_table(values["output"], lambda width, colour: changes_table(tree, width, colour)))
    return _write(values, serialize(tree, fmt))


def write_history(values: Values, recipe: Recipe) -> int:
    """Write the history of the lines at a path: what holds, and which layers set it, in order."""
    from eidos.recipe.provenance import find_lines, line_history

    fmt = document_locations.choose_format(values["format"], values["output"], "table")
    check_format(fmt)
    histories = [line_history(recipe, line) for line in find_lines(recipe, values["path"])]
    if fmt == "table":
        from eidos.cli.recipe_table import history_table

        return _write(values, document_locations.fit_table(values["output"], lambda width, colour: history_table(histories, width, colour)))
    tree: dict[str, Any] = {"request": recipe.request.to_tree(), "recipe-data": recipe.digest, "history": histories}
    return _write(values, serialize(tree, fmt))


def write_layer(values: Values, store: Store, words: dict[str, str]) -> int:
    """Write a layer for the query, to be filled in."""
    if values["format"] not in (None, "yaml"):
        raise InvalidInput(f"{values.origins['format']} {values['format']} cannot be used with 'eidos recipe new', which writes YAML")
    query = store.catalog.parse_query(words, values.origins)
    if not query.fields():
        raise InvalidInput("eidos recipe new needs a query", "add flags such as --gpu h100 --service eks")

    return _write(values, layer_skeleton(query))


def _write(values: Values, text: str) -> int:
    document_locations.write_document(values["output"], text, values, "recipe")
    return 0


def layer_skeleton(query: Query) -> str:
    """The text of a layer for the queries that ``query`` matches, in YAML: its key, and what is left to fill in."""
    fields = query.fields()
    head = _HEAD.format(
        of=f"for {query}",
        name="-".join(value.replace(".", "-") for value in fields.values()),
        flags="".join(f" --{field} {value}" for field, value in fields.items()),
    )
    return head + to_yaml({"key": fields}) + _BODY
