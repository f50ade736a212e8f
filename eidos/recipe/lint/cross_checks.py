"""What cannot stand together in one recipe.

Knows which readings, constraints and versions exclude each other, and asks the rules for the facts; must not know layers but as
names of places.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.constraint import Expression, Term
from eidos.model.lint import ERROR, WARNING, Fault
from eidos.model.query import READING_PATHS
from eidos.recipe.lint_rules import matches
from eidos.semver import parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.recipe.lint.combinations import Merged
    from eidos.recipe.lint_rules import Rules

_DRIVERS = ("GPU.smi.driver", "GPU.smi.driver-version", "K8s.image.driver")
_CUDA = "GPU.smi.cuda-version"


def together_faults(found: Merged, rules: Rules) -> Iterator[Fault]:
    """What is wrong with one recipe."""
    yield from _constraints(found)
    yield from _removed(found, rules)
    yield from _pairs(found, rules)
    yield from _cuda(found, rules)
    yield from _needs(found, rules)
    yield from _taken_out(found)


def _constraints(found: Merged) -> Iterator[Fault]:
    for constraint in found.recipe.constraints:
        text = found.text(constraint.name)
        if text is None:
            continue
        holds = constraint.value.holds(text)
        if holds is None:
            message = f"{text!r} cannot be compared with {constraint.value}, which a constraint asks for{found.to()}"
            yield Fault(WARNING, "incomparable", found.place(constraint.name), message)
        elif not holds:
            message = f"{text} is recommended, and a constraint asks for {constraint.value}{found.to()}"
            yield Fault(ERROR, "breaks-constraint", found.place(constraint.name), message)


def _removed(found: Merged, rules: Rules) -> Iterator[Fault]:
    kernels = found.known.get(READING_PATHS["kernel"])
    if kernels is None and READING_PATHS["kernel"] in found.known:
        return  # no node runs such a kernel
    for removed in rules.removed:
        before = Expression((Term("<", (removed.since,)),))
        for path in found.recipe.history:
            if not matches(removed.path, path):
                continue
            cite = rules.cite(removed.source)
            if kernels is None:
                message = f"kernels from {removed.since} on do not have it, and nothing here names an older one"
                yield Fault(WARNING, "removed", found.place(path), message, "take it out, or name the kernel in the key", cite)
            elif kernels.intersect(before) is None:
                message = f"kernels from {removed.since} on do not have it, and this is for {kernels}{found.to()}"
                yield Fault(ERROR, "removed", found.place(path), message, "take it out", cite)


def _pairs(found: Merged, rules: Rules) -> Iterator[Fault]:
    for pair in rules.same:
        left, right = found.text(pair.left), found.text(pair.right)
        if left is None or right is None or pair.left == "OS.grub.hugepages":
            continue  # huge pages are counted by size: see huge.py
        yield from _twice(found, pair.left, pair.right, pair.means.get(left, left) == right, rules.cite(pair.source))
    for pair in rules.versions:
        left, right = found.text(pair.left), found.text(pair.right)
        if left is not None and right is not None and not _same_version(left, right):
            message = f"it is {left}, and {pair.right} is {right}: they are one and the same{found.to()}"
            yield Fault(ERROR, "two-versions", found.place(pair.left), message, source=rules.cite(pair.source))


def _twice(found: Merged, left: str, right: str, agree: bool, cite: str) -> Iterator[Fault]:
    shown = f"{found.text(left)}, and {right} sets the same thing to {found.text(right)}{found.to()}"
    if agree:
        yield Fault(WARNING, "said-twice", found.place(left), f"it is {shown}: one of them will be forgotten", "set it in one place", cite)
    else:
        yield Fault(ERROR, "said-twice", found.place(left), f"it is {shown}: whichever is set last wins", "set it in one place", cite)


def _same_version(left: str, right: str) -> bool:
    try:
        one, other = parse_version(left), parse_version(right)
    except InvalidInput:
        return True  # that it is no version is said elsewhere
    return one == other


def _cuda(found: Merged, rules: Rules) -> Iterator[Fault]:
    cuda = found.text(_CUDA)
    driver = next((text for path in _DRIVERS if (text := found.text(path)) is not None), None)
    if cuda is None or driver is None:
        return
    try:
        branch, said = parse_version(driver), parse_version(cuda)
    except InvalidInput:
        return  # that it is no version is said elsewhere
    for reports in rules.cuda:
        if branch.matches(parse_version(reports.driver)) and not said.matches(parse_version(reports.cuda)):
            message = f"driver {driver} reports CUDA {reports.cuda}, not {cuda}{found.to()}"
            yield Fault(ERROR, "cuda", found.place(_CUDA), message, source=rules.cite(reports.source))


def _needs(found: Merged, rules: Rules) -> Iterator[Fault]:
    versions = {f"components.{component.id}": component.version for component in found.recipe.components}
    versions.update({path: text for path in found.recipe.history if path.startswith("K8s.image.") and (text := found.text(path))})

    def released(component: str, version: str) -> Iterator[tuple[str, str]]:
        for path in (f"components.{component}", f"K8s.image.{component}"):
            try:
                if path in versions and parse_version(versions[path]).matches(parse_version(version)):
                    yield path, versions[path]
            except InvalidInput:
                continue

    for need in rules.needs:
        for path, version in released(need.component, need.version):
            reading, known = found.text(need.name), found.known.get(need.name)
            if reading is not None and need.expression.holds(reading) is False:
                message = f"{need.component} {version} asks for {need.name} {need.value}, and {reading} is recommended{found.to()}"
            elif known is not None and known.intersect(need.expression) is None:
                message = f"{need.component} {version} asks for {need.name} {need.value}, and this is for {known}{found.to()}"
            else:
                continue
            yield Fault(ERROR, "unsupported", found.place(path), message, source=rules.cite(need.source))
    for apart in rules.apart:
        for path, version in released(apart.left, apart.version):
            for _, other in released(apart.right, apart.other):
                message = f"{apart.left} {version} does not go with {apart.right} {other}: {apart.why}{found.to()}"
                yield Fault(ERROR, "apart", found.place(path), message, source=rules.cite(apart.source))


def _taken_out(found: Merged) -> Iterator[Fault]:
    """Components that a layer takes out and another component brings back."""
    for component in found.recipe.components:
        choices = [(layer, choice) for layer in found.layers for choice in layer.choices if choice.id == component.id]
        if choices and not choices[-1][1].enabled:
            owners = ", ".join(other.id for other in found.recipe.components if component.id in other.depends)
            message = f"the layer takes {component.id} out, and {owners} depends on it{found.to()}"
            yield Fault(ERROR, "needed", f"{choices[-1][0].name}: components.{component.id}", message, f"take {owners} out too")
