r"""Selects the readings that make the configuration of a node, by the rules in ``templates/fleet.yaml``.

Knows that some readings identify a node, change on their own, belong to the whole cluster, or count in part only; must not know which:
that is data. Two trades compare by them: ``fleet`` many nodes, ``diff`` two documents. What remains of a snapshot maps paths (type,
subtype, key) to text, and is the same for nodes that are set up alike.

>>> from eidos.model.snapshot import Measurement, Snapshot, Subtype
>>> rules = ReadingSelection({"identity": ["OS.release.ID"], "masked": [{"path": "OS.grub.*", "pattern": "[0-9]+"}]}, "fleet.yaml")
>>> shot = Snapshot("", "", "gpu-07", (Measurement("OS", (Subtype("release", {"ID": "x", "NAME": "of gpu-07"}),)),))
>>> rules.select_readings(shot)
{('OS', 'release', 'NAME'): 'of \u2026'}
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.model.measurement import VOLATILE, PathPatterns, path_matches
from eidos.model.number_format import format_scalar
from eidos.model.record import Record
from eidos.model.tree_reader import QUOTED, TreeReader
from eidos.model.volatile import UNORDERED_UNIT_PROPERTIES, VOLATILE_UNIT_PROPERTIES, is_volatile_sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Any, Callable, Optional

    from eidos.model.snapshot import Snapshot

    ReadingPath = tuple[str, str, str]
    Readings = dict[ReadingPath, str]
    #: None for a reading that does not count, else the functions through which its text goes, in order.
    Treatment = Optional[tuple[Callable[[str], str], ...]]

NAME = "templates/fleet.yaml"

IDENTITY, LOCATION, CHANGING, CLUSTER = "identity", "location", "volatile", "cluster"

#: The lists of paths that do not count.
EXCLUDED_LISTS = (IDENTITY, LOCATION, CHANGING, CLUSTER)

#: Replaces what does not count in a value.
ELLIPSIS = "…"

#: How many digits of an approximate number count.
SIGNIFICANT_DIGITS = 2

#: Paths whose treatment is cached; nodes of a fleet share them.
CACHE_LIMIT = 50_000


class Phrase(Record):
    """The words for a difference at ``path``; differences at paths that match ``implied`` need no words of their own.

    There a * stands for anything without a dot. ``form`` is for a node that differs from others, ``change`` for what changed on one node;
    ``unit`` is what a number there counts.
    """

    path: str
    form: str
    implied: tuple[str, ...]
    change: str = ""
    unit: str = ""

    def implies(self, path: str) -> bool:
        """Whether a difference at ``path`` needs no words of its own."""
        dots = path.count(".")
        return any(pattern.count(".") == dots and all(map(path_matches, pattern.split("."), path.split("."))) for pattern in self.implied)


#: The shipped rules that were read, by what they include.
_SHIPPED: dict[tuple[str, ...], ReadingSelection] = {}


def shipped_selection(include: Collection[str] = ()) -> ReadingSelection:
    """Return the rules that eidos ships; ``include`` are lists of :data:`EXCLUDED_LISTS` that count."""
    from eidos import formats
    from eidos.files import resources

    key = tuple(sorted(include))
    if key not in _SHIPPED:
        _SHIPPED[key] = ReadingSelection(formats.from_text(resources.read_bytes(NAME), NAME), NAME, include)
    return _SHIPPED[key]


class ReadingSelection:
    """Which readings count; ``include`` are those of :data:`EXCLUDED_LISTS` that do. InvalidData for a tree that is not such rules."""

    def __init__(self, tree: Any, where: str, include: Collection[str] = ()) -> None:
        root = TreeReader(tree, where, text_types=QUOTED)
        lists = [name for name in EXCLUDED_LISTS if name not in include]
        documents = root.mapping("documents")
        self._excluded = PathPatterns([path for name in lists for path in (*root.names(name), *documents.names(name))])
        self._ignores_changing, self._ignores_identity = CHANGING in lists, IDENTITY in lists
        self._approximate = PathPatterns(root.names("approximate") if self._ignores_changing else ())
        masked = [row for row in root.mappings("masked") if (row.text("of") or IDENTITY) in lists]
        self._masked = [(row.name("path"), _Mask(row.name("pattern"), where)) for row in masked]
        self.phrases = [
            Phrase(row.name("path"), row.name("as"), row.names("with"), row.text("change"), row.text("counts"))
            for row in root.mappings("phrases")
        ]
        self._repeated = [(row.name("path"), row.name("of")) for row in root.mappings("repeated")]
        self._treatments: dict[ReadingPath, Treatment] = {}

    def repeat_of(self, path: str) -> str | None:
        """The dotted path of which ``path`` repeats the reading; None when it stands for itself."""
        for pattern, original in self._repeated:
            if path_matches(pattern, path):
                prefix, _, suffix = pattern.partition("*")
                return original.replace("*", path[len(prefix) : len(path) - len(suffix)])
        return None

    def select_readings(self, snapshot: Snapshot, *names: str) -> Readings:
        """Return the readings that count, as path → text; ``names`` are names of the node besides the one in the snapshot."""
        own = _own_names((snapshot.node, *names))
        readings: Readings = {}
        for measurement in snapshot.measurements:
            for subtype in measurement.subtypes:
                if subtype.name.endswith(VOLATILE):
                    continue
                for key, value in subtype.data.items():
                    path = (measurement.type, subtype.name, key)
                    treatment = self._treatments[path] if path in self._treatments else self._treatment(path)
                    if treatment is None:
                        continue
                    readings[path] = _treated(value, treatment, own)
        return readings

    def own_names(self, *names: str) -> OwnNames | None:
        """The names of a node, for :meth:`reading_text`; None when none may be told from a word, or identities count."""
        return _own_names(names) if self._ignores_identity else None

    def reading_text(self, path: ReadingPath, value: Any, own: OwnNames | None = None) -> str | None:
        """What counts of one reading, as text; None when it does not count. ``own`` is from :meth:`own_names`."""
        if self._ignores_changing and path[1].endswith(VOLATILE):
            return None
        treatment = self._treatments[path] if path in self._treatments else self._treatment(path)
        return None if treatment is None else _treated(value, treatment, own)

    def counts(self, path: str) -> bool:
        """Whether what stands at the dotted path of a document counts."""
        return not self._excluded.match(path)

    def _treatment(self, path: ReadingPath) -> Treatment:
        kind, _, key = path
        dotted = ".".join(path)
        volatile = is_volatile_sysctl(key) if key.startswith("/proc/sys/") else kind == "SystemD" and key in VOLATILE_UNIT_PROPERTIES
        treatment: Treatment = None
        if not (volatile and self._ignores_changing) and not self._excluded.match(dotted):
            masks: list[Callable[[str], str]] = [mask for pattern, mask in self._masked if path_matches(pattern, dotted)]
            if self._approximate.match(dotted):
                masks.append(_round_numbers)
            if kind == "SystemD" and key in UNORDERED_UNIT_PROPERTIES:  # other programs write them in any order
                masks.append(_sort_words)
            if key.startswith("/proc/sys/"):  # the kernel separates numbers by tabs, and reads any blanks
                masks.append(_one_blank)
            treatment = tuple(masks)
        if len(self._treatments) < CACHE_LIMIT:
            self._treatments[path] = treatment
        return treatment


def _one_blank(text: str) -> str:
    return " ".join(text.split())


def _treated(value: Any, treatment: Iterable[Callable[[str], str]], own: OwnNames | None) -> str:
    text = format_scalar(value)
    if own is not None:
        text = own(text)
    for change in treatment:
        text = change(text)
    return text


class _Mask:
    """Replaces what does not count in a text. The pattern is compiled when it is first needed: ``re`` takes a while to import."""

    def __init__(self, pattern: str, where: str) -> None:
        self._pattern, self._where = pattern, where
        self._compiled: Any = None

    def __call__(self, text: str) -> str:
        """The text without that. Raises InvalidData for an invalid pattern."""
        if self._compiled is None:
            import re

            try:
                self._compiled = re.compile(self._pattern)
            except re.error as fault:
                raise InvalidData(f"{self._where}: masked: {fault}") from fault
        return str(self._compiled.sub(ELLIPSIS, text))


class OwnNames:
    """Replaces a node's own names in a text."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted(names, key=lambda name: (-len(name), name))
        self._compiled: Any = None

    def __call__(self, text: str) -> str:
        """The text without them."""
        if not any(name in text for name in self._names):
            return text
        if self._compiled is None:
            import re

            self._compiled = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, self._names))})(?![\w-])")
        return str(self._compiled.sub(ELLIPSIS, text))


def _own_names(names: Iterable[str]) -> OwnNames | None:
    """Return what replaces a node's own names; None when none of them has a digit, because such a name may be any word."""
    bare = [name.rpartition("@")[2] for name in names]
    parts = {part for name in bare for part in (name, name.partition(".")[0]) if not part.isdigit() and any(map(str.isdigit, part))}
    return OwnNames(parts) if parts else None


def _round_numbers(text: str) -> str:
    r"""Return a text with each number reduced to its first digits, and marked as such.

    >>> _round_numbers("16512052"), _round_numbers("1650\t2200\t33"), _round_numbers("2113451496Ki"), _round_numbers("33")
    ('about 16000000', 'about 1600\t2200\t33', 'about 2100000000Ki', '33')
    """
    import re

    text, count = re.subn(rf"([0-9]{{{SIGNIFICANT_DIGITS}}})([0-9]+)", lambda number: number[1] + "0" * len(number[2]), text)
    return f"about {text}" if count else text


def _sort_words(text: str) -> str:
    """Return a list of words, sorted.

    >>> _sort_words("[network.target dbus.service]"), _sort_words("[]")
    ('[dbus.service network.target]', '[]')
    """
    return f"[{' '.join(sorted(text.strip('[]').split()))}]"
