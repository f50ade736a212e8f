"""Huge pages: sizes that a kernel cannot have, and pools whose number is set twice.

Knows which boot parameters reserve them; must not know which sizes there are: the rules do. Facts of the form: kernel document
admin-guide/mm/hugetlbpage.rst (``hugepagesz=`` precedes its ``hugepages=``; vm.nr_hugepages counts the default size).

>>> size("2M") == size("2048k"), size("1G") == 1 << 30, size("many")
(True, True, None)
"""

from __future__ import annotations

from eidos.model.lint_issue import ERROR, WARNING, LintIssue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.recipe.lint.combinations import MergedRecipe
    from eidos.recipe.lint.rule_tables import HugePages, LintRules

_SIZES = ("OS.grub.hugepagesz", "OS.grub.default_hugepagesz")
_NUMBER, _SYSCTL = "OS.grub.hugepages", "OS.sysctl./proc/sys/vm/nr_hugepages"
_UNITS = {"K": 10, "M": 20, "G": 30}


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
