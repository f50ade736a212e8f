"""Values that a kernel refuses, settings that rule each other out, and pools of huge pages whose number is set twice.

Knows whole numbers, their limits and their order, and which boot parameters reserve huge pages; must not know any setting, nor which sizes
of pages there are: the rules do. Facts of the form: kernel document admin-guide/mm/hugetlbpage.rst (``hugepagesz=`` precedes its
``hugepages=``; vm.nr_hugepages counts the default size).

>>> size("2M") == size("2048k"), size("1G") == 1 << 30, size("many")
(True, True, None)
"""

from __future__ import annotations

from eidos.model.constraint import Expression, Term
from eidos.model.lint_issue import ERROR, WARNING, LintIssue
from eidos.model.measurement import path_matches
from eidos.model.number_format import format_scalar
from eidos.model.recipe_consistency import field_of
from eidos.wording import did_you_mean, list_words, shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from eidos.recipe.layer import Layer
    from eidos.recipe.lint.combinations import MergedRecipe
    from eidos.recipe.lint.rule_tables import HugePages, LintRules, ValueRange

#: The words of a rule for a path without a value, and for one with any.
_UNSET, _SET = "unset", "set"

_SIZES = ("OS.grub.hugepagesz", "OS.grub.default_hugepagesz")
_NUMBER, _SYSCTL = "OS.grub.hugepages", "OS.sysctl./proc/sys/vm/nr_hugepages"
_UNITS = {"K": 10, "M": 20, "G": 30}


def range_issues(layer: Layer, rules: LintRules) -> Iterator[LintIssue]:
    """An issue for each value of one layer that its setting cannot have, and for each constraint that no value satisfies."""
    for value in layer.values:
        path = f"{value.type}.{value.subtype}.{value.key}"
        for row in rules.ranges:
            if path_matches(row.path, path):
                message = _out_of_range(format_scalar(value.reading), row)
                if message:
                    hint = did_you_mean(format_scalar(value.reading), row.words, "write a value that is accepted, or remove it") or ""
                    yield LintIssue(ERROR, "out-of-range", f"{layer.name}: {path}", message, hint, rules.cite(row.source))
    for constraint in layer.constraints:
        for row in rules.ranges:
            if path_matches(row.path, constraint.name) and not row.count and not row.words:
                # A version has no sign, so a limit below zero is none.
                bounds = ((">=", row.minimum), ("<=", row.maximum))
                terms = tuple(Term(operator, (text,)) for operator, text in bounds if text.isdigit())
                if terms and constraint.value.intersect(Expression(terms)) is None:
                    message = f"{constraint.value} never holds: {_limits(row)}"
                    yield LintIssue(
                        ERROR, "out-of-range", f"{layer.name}: constraints.{constraint.name}", message, source=rules.cite(row.source)
                    )


def _out_of_range(text: str, row: ValueRange) -> str:
    """Why a kernel refuses ``text``; "" when it does not."""
    numbers = [_number(word) for word in text.split()]
    count = int(row.count or "1")
    shown = shorten(text, 60)
    if row.words:
        return "" if set(text.split(",")) <= {*row.words} else f"invalid value {shown!r}; expected {list_words(row.words)}"
    if not 0 < len(numbers) <= count or None in numbers:  # a kernel leaves numbers that are not written as they are
        return f"invalid value {shown!r}; expected {'a whole number' if count == 1 else f'{count} whole numbers'}"
    values = [number for number in numbers if number is not None]
    if any((row.minimum and value < int(row.minimum)) or (row.maximum and value > int(row.maximum)) for value in values):
        return f"invalid value {shown!r}; {_limits(row)}"
    if values != sorted(values):
        return f"invalid value {shown!r}; expected ascending numbers"
    return ""


def _limits(row: ValueRange) -> str:
    if row.minimum and row.maximum:
        return f"expected {row.minimum} to {row.maximum}"
    return f"expected {row.minimum} or more" if row.minimum else f"expected {row.maximum} or less"


def _number(word: str) -> int | None:
    digits = word[1:] if word[:1] == "-" else word
    return int(word) if digits.isascii() and digits.isdigit() and len(digits) <= 20 else None


def order_issues(merged: MergedRecipe, rules: LintRules) -> Iterator[LintIssue]:
    """An issue for two settings of one recipe whose numbers are in the wrong order."""
    for pair in rules.ordered:
        left, right = _number(merged.text(pair.left) or ""), _number(merged.text(pair.right) or "")
        if left is not None and right is not None and (left > right if pair.equal else left >= right):
            path, other = sorted((pair.left, pair.right), key=merged.rank)[::-1]
            message = f"it is {merged.text(path)}, but {other} is {merged.text(other)} ({merged.owner(other)}): {pair.why}{merged.suffix()}"
            yield LintIssue(ERROR, "order", merged.location(path), message, f"change {path} or {other}", rules.cite(pair.source))


def clash_issues(merged: MergedRecipe, rules: LintRules) -> Iterator[LintIssue]:
    """An issue for a setting of one recipe that another of its settings, or its GPU, rules out."""
    for row in rules.clashes:
        reasons = conditions_met(merged, row.when)
        if reasons is None:
            continue
        text = _text(merged, row.path)
        is_present = not row.path.startswith("components.") or any(c.id == row.path.split(".")[1] for c in merged.recipe.components)
        if is_present and (text in row.values or (row.only and text not in (*row.only, _UNSET))):
            stated = [(path, word) for path, word in reasons if word != _UNSET]
            # The fault is in the layer applied last, which met the others.
            setting_paths = [row.path, *(path for path, _ in stated if not path.startswith("query."))]
            location = merged.location(max(setting_paths, key=lambda candidate: (merged.rank(candidate), candidate == row.path)))
            because = "".join(f" and {path} is {word}{_owned(merged, path)}" for path, word in stated)
            message = f"{row.path} is {text}{_owned(merged, row.path)}{because}: {row.why}{merged.suffix()}"
            valid = [word for word in row.only if word != _UNSET]
            others = [path for path, _ in stated if not path.startswith("query.")]
            hint = f"write {' or '.join(valid)}" if valid else f"remove {' or '.join([row.path, *others])}"
            yield LintIssue(ERROR, "clash", location, message, hint, rules.cite(row.source))


def conditions_met(merged: MergedRecipe, when: Mapping[str, str]) -> list[tuple[str, str]] | None:
    """What a recipe has at each path of a condition, as rules write it; None when the condition does not hold."""
    reasons = [(path, _text(merged, path)) for path in when]
    for path, text in reasons:
        words = [word.strip() for word in when[path].split(",")]
        if text not in words and not (_SET in words and text != _UNSET):
            return None
    return reasons


def _owned(merged: MergedRecipe, path: str) -> str:
    return "" if path.startswith("query.") or not merged.rank(path) else f" ({merged.owner(path)})"


def _text(merged: MergedRecipe, path: str) -> str:
    """What a recipe has at a path of a rule, or ``unset``."""
    if path.startswith("query."):
        return merged.recipe.request.fields().get(path[len("query.") :], _UNSET)
    if path.startswith("components."):
        _, id, field = path.split(".", 2)
        value = next((field_of(component, field) for component in merged.recipe.components if component.id == id), None)
        return _UNSET if value is None else format_scalar(value)
    return merged.text(path) or _UNSET


def size(text: str) -> int | None:
    """Bytes of ``2M``, ``1G``, ``65536``; None when it is no size."""
    digits = text.strip().upper()
    shift = _UNITS.get(digits[-1:], 0)
    digits = digits[:-1] if shift else digits
    return int(digits) << shift if digits.isascii() and digits.isdigit() and len(digits) < 20 else None


def huge_page_issues(merged: MergedRecipe, rules: LintRules) -> Iterator[LintIssue]:
    """Issues of the huge pages of one recipe."""
    kernels, what, cite = _kernels(merged, rules)
    if not kernels:
        return
    possible = {size(text) for pages in kernels for text in pages.huge}
    for path in _SIZES:
        for word in _words(merged.text(path)):
            if size(word) is None:
                yield LintIssue(ERROR, "huge-page-size", merged.location(path), f"invalid size {word!r}", "write a number and K, M or G")
            elif size(word) not in possible:
                names = ", ".join(dict.fromkeys(text for pages in kernels for text in pages.huge))
                message = f"{what} has huge pages of {names}, not of {word}{merged.suffix()}"
                yield LintIssue(ERROR, "huge-page-size", merged.location(path), message, f"write one of {names}", cite)
    yield from _counted_twice(merged, kernels, rules)


def _kernels(merged: MergedRecipe, rules: LintRules) -> tuple[list[HugePages], str, str]:
    """The kernels that the recipe may be for, a phrase for them, and the sources."""
    fields = merged.recipe.request.fields()
    host = next((host for host in rules.hosts if host.gpu == fields.get("gpu")), None)
    page = "64K" if "64k" in fields.get("kernel", "").lower() else host.page if host else ""
    architecture = host.architecture if host else "arm64" if page == "64K" else "x86-64" if "gpu" in fields else ""
    kernels = [pages for pages in rules.pages if architecture in ("", pages.architecture) and page in ("", pages.page)]
    what = " ".join(filter(None, ("a", architecture, "kernel", f"with pages of {page}" if page else "")))
    cites = [rules.cite(pages.source) for pages in kernels] + ([rules.cite(host.source)] if host else [])
    return kernels, what if architecture else "no kernel", "; ".join(dict.fromkeys(filter(None, cites)))


def _counted_twice(merged: MergedRecipe, kernels: list[HugePages], rules: LintRules) -> Iterator[LintIssue]:
    numbers, sysctl = _words(merged.text(_NUMBER)), merged.text(_SYSCTL)
    if not numbers or sysctl is None:
        return
    defaults = {size(word) for word in _words(merged.text(_SIZES[1]))} or {size(pages.default) for pages in kernels}
    sizes = [size(word) for word in _words(merged.text(_SIZES[0]))]
    # Without a size of its own, a number is of the default size.
    pools = dict(zip(sizes, numbers)) if sizes else dict.fromkeys(defaults, numbers[0])
    for pool, number in pools.items():
        if pool not in defaults:
            continue
        cite = next((rules.cite(pair.source) for pair in rules.equivalents if pair.left == _NUMBER), "")
        if number == sysctl:
            message = f"it is {number}, and vm.nr_hugepages sets the same pages{merged.suffix()}: a later change may miss one of the two"
            yield LintIssue(WARNING, "said-twice", merged.location(_NUMBER), message, "set it in one place only", cite)
        else:
            message = f"it is {number}, but vm.nr_hugepages sets the same pages to {sysctl}{merged.suffix()}"
            yield LintIssue(ERROR, "said-twice", merged.location(_NUMBER), message, "set it in one place only", cite)


def _words(text: str | None) -> list[str]:
    return text.replace(",", " ").split() if text else []
