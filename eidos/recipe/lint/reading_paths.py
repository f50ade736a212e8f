"""Paths that no snapshot has: a misspelt type, subtype or name in a reading, a constraint or an entry of components.yaml.

Knows how a path divides and when a word is a misspelling of another; must not know which readings there are: the rules do. In a closed
subtype every other name is an error; in an open one (labels, images, boot parameters) only what a slip of the finger makes of a known name.

>>> misspelt("verison", ["version", "platform"]), misspelt("mlx4_core", ["mlx5_core"]), misspelt("Version", ["version"])
('version', None, 'version')
>>> split_path("SystemD.containerd.service.LimitNOFILE"), split_path("OS.sysctl./proc/sys/net/ipv4/conf/eth0.100/mtu")
(('SystemD', 'containerd.service', 'LimitNOFILE'), ('OS', 'sysctl', '/proc/sys/net/ipv4/conf/eth0.100/mtu'))
"""

from __future__ import annotations

from eidos.model.lint_issue import ERROR, WARNING, LintIssue
from eidos.model.measurement import TYPES, path_matches
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from eidos.recipe.lint.rule_tables import LintRules
    from eidos.recipe.store import Store

#: The type whose subtypes have dots in their names.
UNITS = TYPES["systemd"]

#: Names of units end with one of these (systemd.unit(5)).
_UNIT_SUFFIXES = (".service", ".socket", ".slice", ".timer", ".mount", ".target", ".path", ".scope", ".automount", ".swap", ".device")

_SYSCTL = "/proc/sys/"


def path_issues(store: Store, rules: LintRules) -> Iterator[LintIssue]:
    """An issue for each path of the layers and of the charts that no snapshot has."""
    layers = (store.base, *store.overlays)
    units = [value.subtype for layer in layers for value in layer.values if value.type == UNITS]
    for layer in layers:
        for value in layer.values:
            others = {unit for unit in units if units.count(unit) > units.count(value.subtype)} if value.type == UNITS else ()
            if match := misspelt_unit(value.subtype, others):
                location = f"{layer.name}: {value.type}.{value.subtype}.{value.key}"
                message = f"fewer layers set {value.subtype!r} than {match!r}"
                yield LintIssue(WARNING, "unknown-path", location, message, f"did you mean {match!r}?")
            yield from name_issues(value.type, value.subtype, value.key, f"{layer.name}: {value.type}.{value.subtype}.{value.key}", rules)
        for constraint in layer.constraints:
            yield from name_issues(*split_path(constraint.name), f"{layer.name}: constraints.{constraint.name}", rules)
    for id, chart in store.charts.items():
        fields = {"requires": chart.requires, **{f"readings.{field}": paths for field, paths in chart.readings.items()}}
        for field, paths in fields.items():
            for path in paths:
                if path.count(".") > 1:  # catalog_checks reports what is no path
                    yield from name_issues(*split_path(path), f"components.yaml: {id}.{field}", rules)


def split_path(path: str) -> tuple[str, str, str]:
    """Type, subtype and key of a path; names of units have dots, names of their properties have none."""
    kind, _, rest = path.partition(".")
    subtype, _, key = rest.rpartition(".") if kind == UNITS else rest.partition(".")
    return kind, subtype, key


def name_issues(kind: str, subtype: str, key: str, location: str, rules: LintRules) -> Iterator[LintIssue]:
    """An issue for a path that no snapshot has, by the rules about its subtype; for most of open ones there is none."""
    if not rules.readings:
        return
    if kind == "OS" and subtype == "sysctl":
        yield from _sysctl_issues(key, location, rules)
        return
    name = f"{kind}.{subtype}"
    rows = [row for row in rules.readings if path_matches(row.subtype, name)]
    if kind == UNITS and not subtype.endswith(_UNIT_SUFFIXES):
        message = f"{subtype!r} is not a unit: its name has no suffix"
        yield LintIssue(ERROR, "unknown-path", location, message, f"write {kind}.{subtype}.service.{key}")
    elif not rows:
        subtypes = [row.subtype.partition(".")[2] for row in rules.readings if row.subtype.partition(".")[0] == kind]
        message = f"{kind} has no readings of {subtype!r}"
        yield LintIssue(
            ERROR, "unknown-path", location, message, did_you_mean(subtype, subtypes, f"expected one of {', '.join(subtypes)}") or ""
        )
    elif not any(path_matches(pattern, key) for row in rows for pattern in row.names):
        names = [pattern for row in rows for pattern in row.names if "*" not in pattern]
        cite = rules.cite(rows[0].source)
        if not any(row.others for row in rows):
            yield LintIssue(ERROR, "unknown-path", location, f"{name} has no {key!r}", did_you_mean(key, names) or "", cite)
        else:
            match = misspelt(key, names)
            if match:
                yield LintIssue(ERROR, "unknown-path", location, f"unknown name {key!r} in {name}", f"did you mean {match!r}?", cite)


def _sysctl_issues(path: str, location: str, rules: LintRules) -> Iterator[LintIssue]:
    """An error for a path that is none or a misspelt name, a warning for one that the documented kernel does not have.

    cross_checks reports what was removed.
    """
    path = path.removeprefix("volatile.")
    if not path.startswith(_SYSCTL):
        hint = f"write {_SYSCTL}{path.replace('.', '/')}"
        yield LintIssue(ERROR, "sysctl-path", location, "a sysctl is named by its path below /proc/sys/", hint)
        return
    folder, _, sysctl = path[len(_SYSCTL) :].rpartition("/")
    # What holds for all interfaces holds for those that come later, and for each of them.
    folder = "/".join("all" if part == "default" and "conf" in folder else part for part in folder.split("/"))
    rows = [row for row in rules.sysctls if row.folder == folder]
    known = any(sysctl in row.names for row in rows) or any(path_matches(removed.path, f"OS.sysctl.{path}") for removed in rules.removed)
    cite = rules.cite(rows[0].source) if rows else ""
    if known:
        return
    names = [name for row in rows for name in row.names]
    match = misspelt(sysctl, names)
    if rows:
        message = f"{cite or 'the list of known sysctls'} has no {sysctl!r} there"
        yield LintIssue(ERROR if match else WARNING, "unknown-sysctl", location, message, did_you_mean(match or sysctl, names) or "", cite)
    else:
        folders = {row.folder for row in rules.sysctls}
        match = misspelt(folder, folders)
        if match:
            message = f"no folder {_SYSCTL}{folder}"
            yield LintIssue(ERROR, "unknown-sysctl", location, message, f"did you mean {_SYSCTL}{match}/{sysctl}?")


def misspelt(word: str, known: Collection[str]) -> str | None:
    """The known word that ``word`` is a slip of: one letter too many, too few, wrong, or two swapped; None when there is none.

    Words that differ only in numbers (mlx4, mlx5) are not slips of each other, those that differ only in case are.
    """
    folded = word.lower()
    for name in known:
        other = name.lower()
        if folded == other or (_letters(folded) != _letters(other) and _is_one_slip(folded, other)):
            return name
    return None


def misspelt_unit(unit: str, known: Collection[str]) -> str | None:
    """The known unit that ``unit`` is a slip of; distributions name one unit with and without a final d.

    >>> misspelt_unit("ssh.service", ["sshd.service"]), misspelt_unit("contianerd.service", ["containerd.service"])
    (None, 'containerd.service')
    """
    name = unit.rpartition(".")[0].removesuffix("d")
    return misspelt(unit, [other for other in known if other.rpartition(".")[0].removesuffix("d") != name])


def _letters(word: str) -> str:
    return "".join("0" if char.isdigit() else char for char in word)


def _is_one_slip(left: str, right: str) -> bool:
    """Whether one letter was added, dropped or replaced, or two neighbours were swapped."""
    if abs(len(left) - len(right)) > 1:
        return False
    start = next((i for i, (one, other) in enumerate(zip(left, right)) if one != other), min(len(left), len(right)))
    one, other = left[start:], right[start:]
    swapped = len(one) > 1 and one[:2] == other[1::-1] and one[2:] == other[2:]
    return swapped or one[1:] == other or one == other[1:] or one[1:] == other[1:]
