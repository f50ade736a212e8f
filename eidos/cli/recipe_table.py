"""A recipe, and what recipes cover, as tables for people.

Knows what people look for in a recipe and in which order; must not know where the text goes.
"""

from __future__ import annotations

from eidos.formats.table import INDENT, aligned_rows, heading, join_blocks, key_value_rows, line_width, wrap
from eidos.log import printable
from eidos.model.number_format import format_scalar
from eidos.model.query import written_fields
from eidos.recipe.provenance import is_removal
from eidos.recipe.recipe_warnings import needed_by
from eidos.terminal import BOLD, YELLOW, paint
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from eidos.model.measurement import Measurement, Subtype
    from eidos.model.recipe import Recipe, Step


def recipe_table(
    recipe: Recipe, width: int, *, colour: bool = False, explain: bool = False, context: bool = False, source: str = ""
) -> str:
    """``recipe`` as lines of at most ``width`` columns; 0 or less: as long as they need to be.

    ``source`` is where it came from, if that is not the server that was requested.
    """
    width, bold = line_width(width), BOLD if colour else ""
    blocks = [list(_header(recipe, width, source, colour))]
    for measurement in recipe.measurements:
        for subtype in measurement.subtypes:
            title = heading(f"{measurement.type} · {subtype.name}", count_of(len(subtype.data), "value"), width, bold)
            blocks.append([title, *_subtype(recipe, measurement, subtype, width, explain, context)])
    if recipe.constraints:
        lines = [heading("Constraints", str(len(recipe.constraints)), width, bold)]
        rows = aligned_rows([(constraint.name, str(constraint.value)) for constraint in recipe.constraints], width)
        for constraint, row in zip(recipe.constraints, rows):
            lines += row
            lines += _aside(constraint.why if context else "", width)
            steps = recipe.history.get(f"constraints.{constraint.name}", ())
            setters = ", ".join(f"{step.layer} ({'removes those before' if step.value is None else step.value})" for step in steps)
            lines += _aside(f"set by {setters}" if explain else "", width)
        blocks.append(lines)
    if recipe.components:
        lines = [heading("Components, in order of installation", str(len(recipe.components)), width, bold)]
        rows = aligned_rows([(component.id, component.version or "no version") for component in recipe.components], width)
        for component, row in zip(recipe.components, rows):
            lines += row
            lines += _aside(" ".join(filter(None, (component.repository, component.chart))), width)
            lines += _aside(component.why if context else "", width)
            lines += _aside(_reason_included(recipe, component.id) if explain else "", width)
        blocks.append(lines)
    if explain:
        removed = {path: steps for path, steps in recipe.history.items() if is_removal(path, steps[-1].value)}
        if removed:
            blocks.append([heading("Removed", str(len(removed)), width, bold), *_removed(removed, width)])
        documents = {step.layer: step.sources for steps in recipe.history.values() for step in steps}
        blocks.append([heading("Sources", count_of(len(documents), "layer"), width, bold), *_sources(documents, width)])
    return join_blocks(blocks)


def _removed(lines: dict[str, tuple[Step, ...]], width: int) -> Iterator[str]:
    """What layers removed and none set again, each with the layer and what it was before."""
    for path, (*before, last) in lines.items():
        yield from (f"{INDENT}{line}" for line in wrap(printable(path), width - len(INDENT)))
        replaced = "".join(f", which {step.layer} had set to {format_scalar(step.value)}" for step in before if step.value is not None)
        yield from _aside(f"removed by {last.layer}{replaced}", width)


def list_table(tree: dict[str, Any], width: int = 0, colour: bool = False) -> str:
    """The tree of :mod:`eidos.recipe.coverage`: words by field, then the layers with their keys and sources."""
    width, bold = line_width(width), BOLD if colour else ""
    blocks = []
    for field, entries in tree["catalog"].items():
        lines = [heading(f"--{field}", f"{len(entries)} known", width, bold)]
        lines += key_value_rows([(entry["name"], _entry(entry)) for entry in entries], width)
        blocks.append(lines)
    layers = tree["layers"]
    lines = [heading("Layers, in order of application", str(len(layers)), width, bold)]
    lines += key_value_rows([(layer["name"], _layer(layer)) for layer in layers], width)
    blocks.append(lines)
    if tree["available"]:
        lines = [heading("Components that no recipe has, for --with", str(len(tree["available"])), width, bold)]
        lines += key_value_rows([(each["id"], f"{each['title']} {each['version']}".strip()) for each in tree["available"]], width)
        blocks.append(lines)
    return join_blocks(blocks)


def history_table(histories: list[dict[str, Any]], width: int = 0, colour: bool = False) -> str:
    """The documents of :func:`eidos.recipe.provenance.line_history`: for each line what holds, then its layers, the first one first."""
    width, bold = line_width(width), BOLD if colour else ""
    blocks = []
    for entry in histories:
        lines = [heading(entry["path"], "", width, bold)]
        is_removed = entry["value"] is None and any("removes" in layer for layer in entry["layers"])
        lines += key_value_rows([("value", "none: removed" if is_removed else _scalar(entry["value"]))], width)
        for number, layer in enumerate(entry["layers"], 1):
            verb = "removed by" if "removes" in layer else f"{_scalar(layer['value'])}  set by"
            state = ", replaced" if layer["replaced"] else ""
            lines += key_value_rows([(f"{number}.", f"{verb} {layer['layer']} ({layer.get('key') or 'always'}){state}")], width)
            for text in (layer.get("why", ""), *(f"source: {source}" for source in layer["sources"])):
                lines += _aside(text, width)
        blocks.append(lines)
    return join_blocks(blocks)


def _scalar(value: Any) -> str:
    """A value on one line; a list or a mapping as JSON."""
    if isinstance(value, (dict, list)):
        import json

        return json.dumps(value, sort_keys=True)
    return format_scalar(value) or '""'


def changes_table(tree: dict[str, Any], width: int = 0, colour: bool = False) -> str:
    """What has changed in the recipes since a version: a block for each change, and below it the queries for which it is so."""
    from eidos.recipe.release_notes import queries_in_words

    width, bold = line_width(width), BOLD if colour else ""
    data = f"{tree['data-then'][:12]} -> {tree['data-now'][:12]}"
    blocks = [[heading(f"Changes since {tree['since']}", data, width, bold)]]
    for change in tree["changes"]:
        rows = [(id, f"{version} (new)") for id, version in change.get("added", {}).items()]
        rows += [(id, versions) for id, versions in change.get("changed", {}).items()]
        rows += [(id, f"{version} (removed)") for id, version in change.get("removed", {}).items()]
        rows += [(part, "changed") for part in change.get("parts", ())]
        rows += [("query", {"new": "new", "gone": "removed"}[change["is"]])] if "is" in change else []
        title = heading(count_of(len(change["queries"]), "recipe"), "", width, bold)
        words = [line for text in queries_in_words(change["queries"]) for line in _aside(text, width)]
        blocks.append([title, *key_value_rows(rows, width), *words])
    if not tree["changes"]:
        blocks.append(["No recipe has changed."])
    return join_blocks(blocks)


def matrix_table(cells: list[dict[str, str]]) -> str:
    """The advice for each GPU on each service, a letter for each intent, then what the letters mean and how many there are of each."""
    from eidos.recipe.coverage import legend, summary, table_rows

    rows = list(table_rows(cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
    counts = ", ".join(f"{number} {kind}" for kind, number in summary(cells).items() if number)
    return "".join(f"{line}\n" for line in (*lines, "", *wrap(legend(cells), 80), *wrap(f"{len(cells)} combinations: {counts}", 80)))


def matrix_markdown(cells: list[dict[str, str]]) -> str:
    """The same as a table of Markdown."""
    from eidos.recipe.coverage import legend, table_rows

    head, *rows = table_rows(cells)
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n" + "".join(f"{line}\n" for line in wrap(legend(cells), 80))


def _header(recipe: Recipe, width: int, source: str, colour: bool) -> Iterator[str]:
    data = f"{recipe.timestamp or 'undated'} {recipe.digest[:12]}".strip()
    facts = [("Query", str(recipe.request)), ("Recipe data", f"{source} {data}".strip())]
    facts += [("Layers" if number == 0 else "", rule) for number, rule in enumerate(recipe.rules)]
    facts += [("Generic", ", ".join(recipe.generic))] if recipe.generic else []
    facts += [("Impossible", "; ".join(recipe.impossible))] if recipe.impossible else []
    facts += [("Warning", warning) for warning in recipe.warnings]
    for (name, _), lines in zip(facts, aligned_rows(facts, width, "")):
        yield from (paint(line.rstrip(), YELLOW, colour and name == "Warning") for line in lines)


def _subtype(recipe: Recipe, measurement: Measurement, subtype: Subtype, width: int, explain: bool, context: bool) -> Iterator[str]:
    if not explain and not context:
        yield from key_value_rows([(key, format_scalar(value) or '""') for key, value in subtype.data.items()], width)
        return
    rows = aligned_rows([(key, format_scalar(value) or '""') for key, value in subtype.data.items()], width)
    for key, row in zip(subtype.data, rows):
        yield from row
        yield from _aside(subtype.context.get(key, "") if context else "", width)
        if explain:
            last, *before = reversed(recipe.history[f"{measurement.type}.{subtype.name}.{key}"])
            replaced = "".join(
                f", removed by {step.layer}" if step.value is None else f", which replaced {format_scalar(step.value)} of {step.layer}"
                for step in before
            )
            yield from _aside(f"set by {last.layer}{replaced}", width)


def _reason_included(recipe: Recipe, id: str) -> str:
    """Why a component is included: layers enable it, or another one needs it."""
    choices = recipe.history.get(f"components.{id}.enabled", ())
    if choices and choices[-1].value:
        prefix = f"components.{id}."
        setters = dict.fromkeys(step.layer for path, steps in recipe.history.items() if path.startswith(prefix) for step in steps)
        return f"set by {', '.join(setters)}"
    needed = f"needed by {needed_by(id, recipe.components)}"
    return f"disabled by {choices[-1].layer}, but {needed}" if choices else needed


def _sources(documents: dict[str, tuple[str, ...]], width: int) -> Iterator[str]:
    """The public documents behind each layer that set something, once."""
    for layer in sorted(documents):
        yield from (f"{INDENT}{line}" for line in wrap(printable(layer), width - len(INDENT)))
        for document in documents[layer] or ("no source",):
            yield from _aside(document, width)


def _aside(text: str, width: int) -> list[str]:
    """A sentence below a row, never truncated: half of a reason explains nothing."""
    return [INDENT * 3 + line for line in wrap(printable(text), width - len(INDENT) * 3, max_lines=len(text))] if text else []


def _entry(entry: dict[str, Any]) -> str:
    layers = entry.get("hardware") or (f"{count_of(entry['layers'], 'layer')} of its own" if entry["layers"] else "no layer of its own")
    also = f"also {', '.join(entry['aliases'])}" if entry["aliases"] else ""
    return "; ".join(filter(None, (layers, ", ".join(entry.get("versions", [])), also)))


def _layer(layer: dict[str, Any]) -> str:
    key = written_fields(layer["key"]) or "always"
    counts = {"reading": layer["readings"], "constraint": layer["constraints"], "component": len(layer["components"])}
    if "removed" in layer:
        counts["removal"] = len(layer["removed"])
    return f"{key}: {', '.join(count_of(number, noun) for noun, number in counts.items())}"
