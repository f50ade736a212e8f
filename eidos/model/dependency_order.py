"""What must come before what.

Knows names and what each depends on; must not know what they name.
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.suggest import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def ordered(wanted: Iterable[str], depends: Mapping[str, Sequence[str]], skip: Iterable[str] = ()) -> tuple[str, ...]:
    """The wanted names and all that they depend on but ``skip``, each after its dependencies.

    Among those that could come next, the one that was wanted first does, so the order is the same on every run. Raises InvalidData for
    a name that ``depends`` does not have, or for a circle, which it shows.

    >>> ordered(["app", "db"], {"app": ["db", "web"], "db": [], "web": ["db"]})
    ('db', 'web', 'app')
    """
    done: dict[str, None] = dict.fromkeys(skip)
    skipped = frozenset(done)
    path: dict[str, None] = {}
    # Depth first with a stack of its own, so that no chain is too long for Python's; False: to be entered, True: to be left.
    waiting = [(name, False) for name in reversed(list(wanted))]
    while waiting:
        name, leave = waiting.pop()
        if leave:
            del path[name]
            done[name] = None
        elif name in path:
            circle = list(path)[list(path).index(name) :]
            raise InvalidData(f"components depend on one another in a circle: {' -> '.join([*circle, name])}")
        elif name not in depends:
            needed = f", which {list(path)[-1]} depends on," if path else ""
            raise InvalidData(f"there is no component {name!r}{needed} in components.yaml", did_you_mean(name, depends))
        elif name not in done:
            path[name] = None
            waiting.append((name, True))
            waiting += [(dependency, False) for dependency in reversed(depends[name])]
    return tuple(name for name in done if name not in skipped)
