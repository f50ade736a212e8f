"""Huge pages: sizes that a kernel cannot have, and pools whose number is set in two places.

Knows how boot parameters ask for them; must not know which sizes there are: the rules do. Facts of the form: kernel document
admin-guide/mm/hugetlbpage.rst (``hugepagesz=`` precedes its ``hugepages=``; vm.nr_hugepages counts the default size).

>>> size("2M") == size("2048k"), size("1G") == 1 << 30, size("many")
(True, True, None)
"""

from __future__ import annotations

from eidos.model.lint import ERROR, WARNING, Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.recipe.lint.combinations import Merged
    from eidos.recipe.lint_rules import Pages, Rules

_SIZES = ("OS.grub.hugepagesz", "OS.grub.default_hugepagesz")
_NUMBER, _SYSCTL = "OS.grub.hugepages", "OS.sysctl./proc/sys/vm/nr_hugepages"
_UNITS = {"K": 10, "M": 20, "G": 30}


def size(text: str) -> int | None:
    """Bytes of ``2M``, ``1G``, ``65536``; None when it is no size."""
    digits = text.strip().upper()
    shift = _UNITS.get(digits[-1:], 0)
    digits = digits[:-1] if shift else digits
    return int(digits) << shift if digits.isascii() and digits.isdigit() and len(digits) < 20 else None


def huge_faults(found: Merged, rules: Rules) -> Iterator[Fault]:
    """What is wrong with the huge pages of one recipe."""
    kernels, what, cite = _kernels(found, rules)
    if not kernels:
        return
    possible = {size(text) for pages in kernels for text in pages.huge}
    for path in _SIZES:
        for word in _words(found.text(path)):
            if size(word) is None:
                yield Fault(ERROR, "huge-page-size", found.place(path), f"{word!r} is no size", "a size is a number and K, M or G")
            elif size(word) not in possible:
                names = ", ".join(dict.fromkeys(text for pages in kernels for text in pages.huge))
                message = f"{what} has huge pages of {names}, never of {word}{found.to()}"
                yield Fault(ERROR, "huge-page-size", found.place(path), message, source=cite)
    yield from _counted_twice(found, kernels, rules)


def _kernels(found: Merged, rules: Rules) -> tuple[list[Pages], str, str]:
    """The kinds of kernel that the recipe may be for, what they are together, and who says so."""
    said = found.recipe.request.fields()
    host = next((host for host in rules.hosts if host.gpu == said.get("gpu")), None)
    page = "64K" if "64k" in said.get("kernel", "").lower() else host.page if host else ""
    architecture = host.architecture if host else "arm64" if page == "64K" else "x86-64" if "gpu" in said else ""
    kernels = [pages for pages in rules.pages if architecture in ("", pages.architecture) and page in ("", pages.page)]
    what = " ".join(filter(None, ("a", architecture, "kernel", f"with pages of {page}" if page else "")))
    cites = [rules.cite(pages.source) for pages in kernels] + ([rules.cite(host.source)] if host else [])
    return kernels, what if architecture else "no kernel", "; ".join(dict.fromkeys(filter(None, cites)))


def _counted_twice(found: Merged, kernels: list[Pages], rules: Rules) -> Iterator[Fault]:
    numbers, sysctl = _words(found.text(_NUMBER)), found.text(_SYSCTL)
    if not numbers or sysctl is None:
        return
    defaults = {size(word) for word in _words(found.text(_SIZES[1]))} or {size(pages.default) for pages in kernels}
    sizes = [size(word) for word in _words(found.text(_SIZES[0]))]
    # Without a size of its own, a number is of the default size.
    pools = dict(zip(sizes, numbers)) if sizes else dict.fromkeys(defaults, numbers[0])
    for pool, number in pools.items():
        if pool not in defaults:
            continue
        cite = next((rules.cite(pair.source) for pair in rules.same if pair.left == _NUMBER), "")
        if number == sysctl:
            message = f"it is {number}, and vm.nr_hugepages counts the same pages{found.to()}: one of them will be forgotten"
            yield Fault(WARNING, "said-twice", found.place(_NUMBER), message, "set it in one place", cite)
        else:
            message = f"it is {number}, and vm.nr_hugepages wants {sysctl} of the same pages{found.to()}"
            yield Fault(ERROR, "said-twice", found.place(_NUMBER), message, "set it in one place", cite)


def _words(text: str | None) -> list[str]:
    return text.replace(",", " ").split() if text else []
