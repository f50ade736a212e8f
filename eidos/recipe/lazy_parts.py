"""Parts of the data that are read when they are first used: entries by name, and the overlays.

Knows what must be known of a part before it is read, its name and its key; must not know the form of any part. A recipe needs one overlay
in ten, and a few of the charts.
"""

from __future__ import annotations

from eidos.model.query import LayerKey, Query, is_met

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any, TypeVar, overload

    from eidos.recipe.layer import Layer

    V = TypeVar("V")
else:
    from _collections_abc import Mapping, Sequence  # what collections.abc has; the package collections costs a tenth of an empty start


class LazyMapping(Mapping[str, "V"]):
    """A mapping whose names are known, and whose values are read once each."""

    def __init__(self, names: Iterable[str], read: Callable[[str], V]) -> None:
        self._names = dict.fromkeys(names)
        self._read = read
        self._values: dict[str, V] = {}

    def __getitem__(self, name: str) -> V:
        if name not in self._values:
            if name not in self._names:
                raise KeyError(name)
            self._values[name] = self._read(name)
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class LayerHead:
    """An overlay before it is read: its ``name``, the ``fields`` and ``releases`` of its key, what reads it, and the ``rank`` of its place.

    That is 0 for what is shipped. There are hundreds, and a recipe needs a few, so this is no record, whose constructor takes ten times as
    long.
    """

    __slots__ = ("fields", "name", "rank", "read", "releases")

    def __init__(
        self, name: str, fields: dict[str, str], releases: tuple[tuple[str, str], ...], read: Callable[[], Layer], rank: int = 0
    ) -> None:
        self.name = name
        self.fields = fields
        self.releases = releases
        self.read = read
        self.rank = rank

    @property
    def key(self) -> LayerKey:
        """When it applies."""
        fields: dict[str, Any] = self.fields
        return LayerKey(**fields, releases=self.releases)


def loaded(layer: Layer, ranks: Mapping[str, int] | None = None) -> LayerHead:
    """The head of a layer that was read already; ``ranks`` are positions of files."""
    return LayerHead(layer.name, layer.key.fields(), layer.key.releases, lambda: layer, (ranks or {}).get(file_of(layer.name), 0))


def file_of(name: str) -> str:
    """The file of the layer of that name, which has the layer's position in it behind."""
    return name.partition("[")[0]


class Overlays(Sequence["Layer"]):
    """Overlays in the order in which they are applied."""

    def __init__(self, heads: Iterable[LayerHead]) -> None:
        self.heads = tuple(heads)
        self._layers: dict[int, Layer] = {}

    def matching(self, query: Query) -> list[Layer]:
        """The overlays whose key matches, in order."""
        values = query.fields()
        return [self._at(i) for i, head in enumerate(self.heads) if is_met(head.fields, values)]

    @property
    def keys(self) -> list[LayerKey]:
        """The key of each, in order."""
        return [head.key for head in self.heads]

    def _at(self, i: int) -> Layer:
        if i not in self._layers:
            self._layers[i] = self.heads[i].read()
        return self._layers[i]

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, i: int) -> Layer: ...
        @overload
        def __getitem__(self, i: slice) -> tuple[Layer, ...]: ...

    def __getitem__(self, i: Any) -> Any:
        return tuple(map(self._at, range(*i.indices(len(self))))) if isinstance(i, slice) else self._at(range(len(self))[i])

    def __iter__(self) -> Iterator[Layer]:
        return map(self._at, range(len(self)))

    def __len__(self) -> int:
        return len(self.heads)
