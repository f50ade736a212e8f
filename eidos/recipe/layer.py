"""One layer of knowledge, read from its tree.

Knows the form of a layer (see below) and says exactly where a tree departs from it; must not know which values make sense: that is
``lint``. A layer is a mapping::

    key:           {gpu: h100, intent: training}       what a query must say for it to apply; the base has none
    source:        [{id: …, document: …, version: …, date: …, url: …}]
    measurements:  [{type: OS, subtypes: [{subtype: grub, data: {iommu: pt}, context: {iommu: one sentence}}]}]
    constraints:   [{name: K8s.server.version, value: ">= 1.32.4", why: one sentence, source: id}]
    components:    {gpu-operator: {version: v26.3.3, values: {…}, why: one sentence}}

``types`` is read as ``measurements``: the one-file form of the Go program calls them so.
"""

from __future__ import annotations

from eidos.errors import InvalidData, InvalidInput
from eidos.model import constraint
from eidos.model.measurement import TYPES
from eidos.model.number_format import written
from eidos.model.query import ANY, FIELDS, VERSIONS, WIRE, Query
from eidos.model.recipe import copied
from eidos.model.record import Record
from eidos.semver import InvalidVersion
from eidos.semver import parse as parse_version
from eidos.suggest import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.model.constraint import Constraint
    from eidos.model.measurement import Reading

_PARTS = ("key", "source", "measurements", "types", "constraints", "components")
_COMPONENT = ("version", "values", "why", "source", "enabled")


class Source(Record):
    """A public document that a layer stands on."""

    id: str
    document: str
    version: str = ""
    date: str = ""
    url: str = ""


class Value(Record):
    """One recommended reading and the sentence that says why."""

    type: str
    subtype: str
    key: str
    reading: Reading
    why: str = ""


class Choice(Record):
    """What a layer says of a component: ``version`` and ``values`` as its chart takes them; ``enabled`` False takes it out."""

    id: str
    version: str = ""
    values: dict[str, Any] = {}
    why: str = ""
    source: str = ""
    enabled: bool = True


class Layer(Record):
    """Everything that one layer adds; ``name`` is its file, with the position in it when it is not the only one."""

    name: str
    key: Query
    sources: tuple[Source, ...]
    values: tuple[Value, ...]
    constraints: tuple[Constraint, ...]
    choices: tuple[Choice, ...]

    def dates(self) -> list[str]:
        """The dates of its sources; a source may be dated by its month or its year alone."""
        return [source.date for source in self.sources]


class _Later(Layer):
    """A layer of which all but name and key is read when it is asked for."""

    def __init__(self, tree: dict[str, Any], name: str) -> None:
        self.__dict__.update(name=name, key=_key(tree.get("key"), f"{name}: key"), _tree=tree)

    def __getattr__(self, part: str) -> Any:
        if part not in Layer._fields:
            raise AttributeError(part)
        self.__dict__.update(read(self._tree, self.name).__dict__)
        return self.__dict__[part]

    def dates(self) -> list[str]:
        """Without reading more of it than that."""
        where = f"{self.name}: source"
        return [_text(_mapping(item, where).get("date"), where) for item in _items(self._tree.get("source"))]


def later(tree: object, name: str) -> Layer:
    """The layer that ``tree`` describes, for a tree that was read before: a start needs one in five of those that eidos carries."""
    return _Later(_mapping(tree, name), name)


def read(tree: object, name: str, *, base: bool = False) -> Layer:
    """The layer that ``tree`` describes; InvalidData naming the place when it describes none. A ``base`` has no key."""
    fields = _mapping(tree, name)
    _known(fields, _PARTS, name)
    if base and "key" in fields:
        raise InvalidData(f"{name}: the base applies always, so it has no key")
    return Layer(
        name=name,
        key=_key(fields.get("key"), f"{name}: key"),
        sources=_sources(fields.get("source"), f"{name}: source"),
        values=_values(fields.get("measurements", fields.get("types")), f"{name}: measurements"),
        constraints=tuple(
            _constraint(item, f"{name}: constraints[{i}]")
            for i, item in enumerate(_list(fields.get("constraints"), f"{name}: constraints"))
        ),
        choices=tuple(
            _choice(id, item, f"{name}: components.{id}") for id, item in _mapping(fields.get("components"), f"{name}: components").items()
        ),
    )


def _key(tree: object, where: str) -> Query:
    fields = {short: value for name, value in _mapping(tree, where).items() for short in [_SHORT.get(name, name)]}
    _known(fields, FIELDS, where)
    said: dict[str, str] = {}
    for field, value in fields.items():
        text = _text(value, f"{where}.{field}").strip()
        if field in VERSIONS:
            if text.lower() == ANY:
                text = ANY
            elif text:
                try:
                    parse_version(text)
                except InvalidVersion as fault:
                    raise InvalidData(f"{where}.{field}: {fault.message}", fault.hint, fault.excerpt) from fault
        else:
            text = text.lower()
        said[field] = text
    return Query(**said)


_SHORT = {long: short for short, long in WIRE.items()} | {"env": "service"}


def _sources(tree: object, where: str) -> tuple[Source, ...]:
    sources = []
    for i, item in enumerate(_items(tree)):
        fields = _mapping(item, f"{where}[{i}]")
        _known(fields, Source._fields, f"{where}[{i}]")
        texts = {name: _text(value, f"{where}[{i}].{name}") for name, value in fields.items()}
        sources.append(Source(**{"id": str(i), "document": "", **texts}))
    return tuple(sources)


def _items(tree: object) -> list[object] | tuple[object, ...]:
    return tree if isinstance(tree, (list, tuple)) else [tree] if tree is not None else []


def _values(tree: object, where: str) -> tuple[Value, ...]:
    wire = {name.lower(): name for name in TYPES.values()}
    values = []
    for i, item in enumerate(_list(tree, where)):
        measurement = _mapping(item, f"{where}[{i}]")
        _known(measurement, ("type", "subtypes"), f"{where}[{i}]")
        said = _text(measurement.get("type", ""), f"{where}[{i}].type")
        kind = wire.get(said.lower())
        if kind is None:
            raise InvalidData(f"{where}[{i}].type: {said!r} is no measurement type", hint=f"types are {', '.join(TYPES.values())}")
        for j, part in enumerate(_list(measurement.get("subtypes"), f"{where}[{i}].subtypes")):
            place = f"{where}[{i}].subtypes[{j}]"
            subtype = _mapping(part, place)
            _known(subtype, ("subtype", "data", "context"), place)
            name = _text(subtype.get("subtype", ""), f"{place}.subtype")
            if not name:
                raise InvalidData(f"{place}: it has no subtype name")
            context = _mapping(subtype.get("context"), f"{place}.context")
            data = _mapping(subtype.get("data"), f"{place}.data")
            for key in context:
                if key not in data:
                    raise InvalidData(f"{place}.context.{key}: it explains a key that is not in data", did_you_mean(key, data))
            for key, reading in data.items():
                values.append(
                    Value(kind, name, key, _scalar(reading, f"{place}.data.{key}"), _text(context.get(key, ""), f"{place}.context.{key}"))
                )
    return tuple(values)


def _constraint(tree: object, where: str) -> Constraint:
    fields = _mapping(tree, where)
    _known(fields, ("name", "value", "why", "source"), where)
    texts = {name: _text(fields.get(name, ""), f"{where}.{name}") for name in ("name", "value", "why", "source")}
    if texts["name"].count(".") < 2 or texts["name"].partition(".")[0] not in TYPES.values():
        raise InvalidData(
            f"{where}.name: {texts['name']!r} is no path of a reading", hint="a path is Type.subtype.key, as in K8s.server.version"
        )
    try:
        expression = constraint.parse(texts["value"])
    except InvalidInput as fault:
        raise InvalidData(f"{where}.value: {fault.message}", fault.hint, fault.excerpt) from fault
    return constraint.Constraint(texts["name"], expression, texts["why"], texts["source"])


def _choice(id: str, tree: object, where: str) -> Choice:
    fields = _mapping(tree, where)
    _known(fields, _COMPONENT, where)
    enabled = fields.get("enabled", True)
    if not isinstance(enabled, bool):
        raise InvalidData(f"{where}.enabled: expected true or false, found {enabled!r}")
    texts = {name: _text(fields.get(name, ""), f"{where}.{name}") for name in ("version", "why", "source")}
    return Choice(id, texts["version"], copied(_mapping(fields.get("values"), f"{where}.values")), texts["why"], texts["source"], enabled)


def _mapping(tree: object, where: str) -> dict[str, Any]:
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InvalidData(f"{where}: expected a mapping, found {_kind(tree)}")
    for key in tree:
        if not isinstance(key, str):
            raise InvalidData(f"{where}: the key {key!r} is {_kind(key)}, and keys are text", hint="put it in quotes")
    return tree


def _list(tree: object, where: str) -> list[object]:
    if tree is None:
        return []
    if not isinstance(tree, list):
        raise InvalidData(f"{where}: expected a list, found {_kind(tree)}")
    return tree


def _text(value: object, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise InvalidData(f"{where}: expected text, found {_kind(value)}")
    return written(value)


def _scalar(value: object, where: str) -> Reading:
    if not isinstance(value, (str, int, float, bool)):
        raise InvalidData(f"{where}: expected a scalar, found {_kind(value)}")
    return value


def _known(fields: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in fields:
        if name not in known:
            raise InvalidData(f"{where}: there is no {name!r} here", did_you_mean(name, known, f"known are {', '.join(known)}"))


def _kind(value: object) -> str:
    names = {
        type(None): "nothing",
        dict: "a mapping",
        list: "a list",
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return next((name for kind, name in names.items() if type(value) is kind), type(value).__name__)
