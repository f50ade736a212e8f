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


class _Fields:
    """The names of a record's fields, in order."""

    def __get__(self, record: object, cls: type[Record]) -> tuple[str, ...]:
        return (_forms.get(cls) or _make_form(cls))[1]


@dataclass_transform(frozen_default=True)
class Record:
    """Base of every record: each annotated name of a subclass is a field, in order; a class attribute is its default.

    Defaults are shared between instances, so they are immutable or treated so.
    """

    if TYPE_CHECKING:
        _fields: ClassVar[tuple[str, ...]] = ()
    else:
        _fields = _Fields()
    __signature__ = _Signature()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        cls, values, count = type(self), self.__dict__, len(args)
        blank, names, required = _forms.get(cls) or _make_form(cls)
        if count == len(blank) and not kwargs:
            values.update(zip(blank, args))
            return
        values.update(blank)
        if args:
            if count > len(blank):
                raise TypeError(f"{cls.__name__} takes {len(blank)} values, not {count}")
            values.update(zip(blank, args))
        if kwargs:
            if not blank.keys() >= kwargs.keys() or (args and not kwargs.keys().isdisjoint(names[:count])):
                name = next(name for name in kwargs if name not in blank or name in names[:count])
                raise TypeError(f"{cls.__name__} has {'two values for' if name in blank else 'no field'} {name!r}")
            values.update(kwargs)
        if count < required:
            for name in names[count:required]:
                if values[name] is _MISSING:
                    raise TypeError(f"{cls.__name__} needs {name!r}")

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


_MISSING = object()

#: By class: every field in order with its default, their names, and how many fields there are up to the last without a default. Computed
#: with the first instance: a start makes none of most classes that it imports.
_forms: dict[type[Record], tuple[dict[str, Any], tuple[str, ...], int]] = {}


def _make_form(cls: type[Record]) -> tuple[dict[str, Any], tuple[str, ...], int]:
    names = [name for base in reversed(cls.__mro__[:-2]) for name in getattr(base, "__annotations__", ()) if name[0] != "_"]
    blank = {name: getattr(cls, name, _MISSING) for name in names}
    required = max((number for number, name in enumerate(blank, 1) if blank[name] is _MISSING), default=0)
    _forms[cls] = form = blank, tuple(blank), required
    return form


def replace(record: R, **changes: object) -> R:
    """A copy of ``record`` with some fields changed; TypeError when a name is no field."""
    values = record.__dict__
    if not values.keys() >= changes.keys():
        raise TypeError(f"{type(record).__name__} has no field {next(name for name in changes if name not in values)!r}")
    copy = object.__new__(type(record))
    copy.__dict__.update(values, **changes)
    return copy
