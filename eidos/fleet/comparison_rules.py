r"""Which readings make the configuration of a node, as ``templates/fleet.yaml`` has it.

Knows that some readings identify a node, change on their own, belong to the whole cluster, or count in part only; must not know which:
that is data. What is left of a snapshot is a mapping from place (type, subtype, key) to text, the same for nodes that are set up alike.

>>> from eidos.model.snapshot import Measurement, Snapshot, Subtype
>>> rules = Rules({"identity": ["OS.release.ID"], "masked": [{"path": "OS.grub.*", "pattern": "[0-9]+"}]}, "fleet.yaml")
>>> shot = Snapshot("", "", "gpu-07", (Measurement("OS", (Subtype("release", {"ID": "x", "NAME": "of gpu-07"}),)),))
>>> rules.counted(shot)
{('OS', 'release', 'NAME'): 'of \u2026'}
"""

from __future__ import annotations

from functools import partial

from eidos.model.measurement import VOLATILE
from eidos.model.number_format import format_scalar
from eidos.model.record import Record
from eidos.model.tree_reader import QUOTED, TreeReader
from eidos.model.volatile import UNORDERED_UNIT_PROPERTIES, VOLATILE_UNIT_PROPERTIES, is_volatile_sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable, Optional

    from eidos.model.snapshot import Snapshot

    Place = tuple[str, str, str]
    Readings = dict[Place, str]
    #: What becomes of a reading: None when it does not count, else what is done to its text, in order.
    Treatment = Optional[tuple[Callable[[str], str], ...]]

NAME = "templates/fleet.yaml"

#: Lists of paths that do not count.
LEFT_OUT = ("identity", "volatile", "cluster")

#: What stands where something does not count.
ELLIPSIS = "…"

#: Digits of an approximate number that count.
DIGITS = 2

#: Paths whose treatment is remembered; nodes of a fleet share theirs.
MOST = 50_000


class Said(Record):
    """How a difference at ``path`` is said in a sentence, and differences of which paths are said by that, too."""

    path: str
    form: str
    implied: Any


def shipped() -> Rules:
    """The rules that eidos carries."""
    from eidos import formats
    from eidos.files import resources

    return Rules(formats.from_text(resources.read_bytes(NAME), NAME), NAME)


class Rules:
    """What counts; InvalidData for a tree that does not say."""

    def __init__(self, tree: Any, where: str) -> None:
        import re

        root = TreeReader(tree, where, text_types=QUOTED)
        self._left_out = _any([path for name in LEFT_OUT for path in root.names(name)])
        self._approximate = _any(root.names("approximate"))
        try:
            self._masked = [(_any([row.name("path")]), re.compile(row.name("pattern"))) for row in root.mappings("masked")]
        except re.error as fault:
            raise root.error(str(fault), name="masked") from fault
        self.said = [Said(row.name("path"), row.name("as"), _any(row.names("with"), "[^.]*")) for row in root.mappings("said")]
        self._known: dict[Place, Treatment] = {}

    def counted(self, snapshot: Snapshot, *names: str) -> Readings:
        """Place → text of the readings that count; ``names`` are more names of the node, beside what the snapshot says."""
        own = _own_names((snapshot.node, *names))
        found: Readings = {}
        for measurement in snapshot.measurements:
            for subtype in measurement.subtypes:
                if subtype.name.endswith(VOLATILE):
                    continue
                for key, value in subtype.data.items():
                    place = (measurement.type, subtype.name, key)
                    treatment = self._known[place] if place in self._known else self._treatment(place)
                    if treatment is None:
                        continue
                    text = format_scalar(value)
                    if own is not None:
                        text = own.sub(ELLIPSIS, text)
                    for change in treatment:
                        text = change(text)
                    found[place] = text
        return found

    def _treatment(self, place: Place) -> Treatment:
        kind, _, key = place
        path = ".".join(place)
        volatile = is_volatile_sysctl(key) if key.startswith("/proc/sys/") else kind == "SystemD" and key in VOLATILE_UNIT_PROPERTIES
        treatment: Treatment = None
        if not volatile and not self._left_out.fullmatch(path):
            masks: list[Callable[[str], str]] = [partial(pattern.sub, ELLIPSIS) for paths, pattern in self._masked if paths.fullmatch(path)]
            if self._approximate.fullmatch(path):
                masks.append(_rounded)
            if kind == "SystemD" and key in UNORDERED_UNIT_PROPERTIES:  # others than eidos write them as they come
                masks.append(_sorted)
            treatment = tuple(masks)
        if len(self._known) < MOST:
            self._known[place] = treatment
        return treatment


def _any(paths: Iterable[str], star: str = ".*") -> Any:
    """One regular expression for all these paths, in which a * stands for anything, or what ``star`` matches."""
    import re

    return re.compile("|".join(star.join(map(re.escape, path.split("*"))) for path in paths) or r"(?!)", re.DOTALL)


def _own_names(names: Iterable[str]) -> Any:
    """What finds a node's own names in a text; None when none of them is surely one: a name without a digit may be any word."""
    import re

    bare = [name.rpartition("@")[2] for name in names]
    wanted = {part for name in bare for part in (name, name.partition(".")[0]) if not part.isdigit() and any(map(str.isdigit, part))}
    if not wanted:
        return None
    longest = sorted(wanted, key=lambda name: (-len(name), name))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest))})(?![\w-])")


def _rounded(text: str) -> str:
    r"""Each number of a text in its first digits, and said to be.

    >>> _rounded("16512052"), _rounded("1650\t2200\t33"), _rounded("2113451496Ki"), _rounded("33")
    ('about 16000000', 'about 1600\t2200\t33', 'about 2100000000Ki', '33')
    """
    import re

    text, found = re.subn(r"[0-9]{3,}", lambda found: found[0][:DIGITS] + "0" * (len(found[0]) - DIGITS), text)
    return f"about {text}" if found else text


def _sorted(text: str) -> str:
    """A list of words, in order.

    >>> _sorted("[network.target dbus.service]"), _sorted("[]")
    ('[dbus.service network.target]', '[]')
    """
    return f"[{' '.join(sorted(text.strip('[]').split()))}]"
