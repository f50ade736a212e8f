"""A collector of a plug-in: its code as it was read, and its parts as they may be shown.

Knows the contract of collectors and the rules of :mod:`eidos.redact`; must not know where plug-ins come from. What a collector of eidos
does for itself is done here for those of others: a subtype has the collector's own name, a value is a scalar, and one that could be a
secret is withheld, unless its name or its form is harmless. It is called in the collector's own process.
"""

from __future__ import annotations

from eidos.errors import EidosError, InvalidData, NotApplicable, Unavailable
from eidos.files.host import Host
from eidos.model.measurement import ABSENT, REVEALED, SECRET, UNREADABLE, VOLATILE, WITHHELD, Gap, Subtype
from eidos.model.number_format import format_scalar
from eidos.model.record import replace
from eidos.redact.harmless_names import show_value
from eidos.redact.secrets_in_text import redact_text
from eidos.wording import list_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors import CollectFunction, Sources
    from eidos.model.measurement import Part
    from eidos.redact.harmless_names import NameList

#: Kinds of gaps that a collector may yield.
_GAPS = (UNREADABLE, ABSENT, SECRET)

#: What to do about a collector that does not follow the contract.
HINT = "report it to the author of the plug-in; 'eidos help plugins' has the contract"


def load_plugin_collector(name: str, path: str, source: bytes, names: NameList) -> CollectFunction:
    """The ``collect`` function of a module, whose parts are checked; InvalidData when the module has none.

    ``names`` are harmless names. Raises what the module raises.
    """
    import sys
    from types import ModuleType

    module = ModuleType(f"eidos_plugin_{name.replace('.', '_')}")
    module.__file__ = path
    sys.modules[module.__name__] = module  # where dataclasses look for names
    exec(compile(source, path, "exec"), module.__dict__)  # noqa: S102 - the user trusts it, and its file was checked
    collect = getattr(module, "collect", None)
    if not callable(collect):
        raise InvalidData(f"{path}: no function collect(sources)", HINT)

    def run(sources: Sources) -> Iterator[Part]:
        sources = _for_partial_root(sources)
        return _shown_parts(name, collect, sources, names)

    return run


def _for_partial_root(sources: Sources) -> Sources:
    """The sources, with what is missing unreadable where the root has a part of a host's files, such as the mounts of an agent in a Pod.

    Collectors of eidos know which folders must be there; others would report that a file does not exist. Every complete root has /tmp (FHS
    3.0, 3.18), and no agent mounts it.
    """
    host = sources.host
    if host.root == "/" or host.known_absent is not None:
        return sources
    try:
        is_complete = host.exists("/tmp")  # noqa: S108 - no file is made there
    except EidosError:
        is_complete = False
    return sources if is_complete else replace(sources, host=Host(host.root, frozenset(), "not mounted here"))


def _shown_parts(name: str, collect: CollectFunction, sources: Sources, names: NameList) -> Iterator[Part]:
    try:
        for part in collect(sources):  # a function without yield raises here
            if isinstance(part, Gap):
                if part.kind not in _GAPS:
                    raise InvalidData(f"yielded a Gap of the kind {part.kind!r}; expected {list_words(_GAPS)}", HINT)
                yield Gap(part.kind, redact_text(str(part.what))[0], redact_text(str(part.why))[0])
            elif isinstance(part, Subtype):
                yield from _shown_subtype(name, part, sources, names)
            else:
                raise InvalidData(f"yielded a {type(part).__name__}; expected a Subtype or a Gap", HINT)
    except NotApplicable as why:
        raise NotApplicable(redact_text(why.reason)[0], redact_text(why.hint or "")[0] or None) from None
    except InvalidData:
        raise
    except EidosError as fault:
        raise Unavailable(redact_text(fault.message)[0], redact_text(fault.hint or "")[0] or None) from None
    for revealed in names.revealed:
        yield Gap(REVEALED, revealed, "")


def _shown_subtype(name: str, part: Subtype, sources: Sources, names: NameList) -> Iterator[Part]:
    own, subtype = name.partition(".")[2], str(part.name).removesuffix(VOLATILE)
    if (subtype != own and not subtype.startswith(f"{own}-")) or "." in subtype:  # as in the name of a unit
        expected = f"{own!r}, or a name that begins with {own + '-'!r} and has no dot"
        raise InvalidData(f"yielded the subtype {part.name!r}; expected {expected}", HINT)
    shown: dict[str, str | int | float | bool] = {}
    items: tuple[tuple[object, object], ...] = tuple(part.data.items())  # of any type: others wrote it
    for key, value in items:
        if not isinstance(key, str) or not isinstance(value, (str, int, float)):
            raise InvalidData(f"{part.name}: the value of {str(key)[:60]!r} is a {type(value).__name__}; expected a scalar", HINT)
        text, count = show_value(key, value if isinstance(value, str) else format_scalar(value), names)
        shown[key] = text if count or isinstance(value, str) else value
        if count:
            yield Gap(SECRET, f"{part.name}/{key}", WITHHELD)
    yield Subtype(part.name, shown, {str(key): redact_text(str(text))[0] for key, text in part.context.items()})
    yield from sources.digests(part.name, part.data, shown)
