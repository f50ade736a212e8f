"""A frozen data class that costs nothing to import.

Knows how to turn annotations into a constructor, equality and a representation; must not know any particular record.
``dataclasses`` and ``typing.NamedTuple`` give the same and cost 10 to 20 ms of every start (they import ``inspect`` and
``typing``), which is more than the whole start may take.

>>> class Point(Record):
...     x: int
...     y: int = 0
>>> Point(1), Point(1) == Point(1, y=0), replace(Point(1), y=5)
(Point(x=1, y=0), True, Point(x=1, y=5))
>>> Point(1).x = 2
Traceback (most recent call last):
AttributeError: Point is frozen: cannot set 'x'
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inspect import Signature
    from typing import Any, ClassVar, TypeVar

    from typing_extensions import dataclass_transform

    R = TypeVar("R", bound="Record")
else:

    def dataclass_transform(**_):
        return lambda cls: cls


class _Signature:
    """The signature of a record's constructor, for ``help()``: made on request, because it needs ``inspect``."""

    def __get__(self, record: object, cls: type[Record]) -> Signature:
        from inspect import Parameter, Signature

        types = {name: text for base in reversed(cls.__mro__) for name, text in getattr(base, "__annotations__", {}).items()}
        return Signature(
            [
                Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=getattr(cls, name, Parameter.empty), annotation=types[name])
                for name in cls._fields
            ]
        )


@dataclass_transform(frozen_default=True)
class Record:
    """Base of every record: each annotated name of a subclass is a field, in order; a class attribute is its default.

    Defaults are shared between instances, so they are immutable or treated so.
    """

    _fields: ClassVar[tuple[str, ...]] = ()
    _names: ClassVar[frozenset[str]] = frozenset()
    __signature__ = _Signature()

    def __init_subclass__(cls) -> None:
        own = tuple(name for name in cls.__dict__.get("__annotations__", None) or cls.__annotations__ if name not in cls._fields)
        cls._fields = cls._fields + tuple(name for name in own if not name.startswith("_"))
        cls._names = frozenset(cls._fields)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        fields, cls, values = self._fields, type(self), self.__dict__
        if len(args) > len(fields):
            raise TypeError(f"{cls.__name__} takes {len(fields)} values, not {len(args)}")
        values.update(zip(fields, args))
        if kwargs:
            if not self._names.issuperset(kwargs) or not values.keys().isdisjoint(kwargs):
                name = next(name for name in kwargs if name not in self._names or name in values)
                raise TypeError(f"{cls.__name__} has no field {name!r}, or has it twice")
            values.update(kwargs)
        if len(values) == len(fields):
            return
        for name in fields:
            if name not in values:
                try:
                    values[name] = getattr(cls, name)
                except AttributeError:
                    raise TypeError(f"{cls.__name__} needs {name!r}") from None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot delete {name!r}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.__dict__[name] for name in self._fields)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={self.__dict__[name]!r}' for name in self._fields)})"


def replace(record: R, **changes: object) -> R:
    """A copy of ``record`` with some fields changed; TypeError when a name is no field."""
    return type(record)(**{**record.__dict__, **changes})
