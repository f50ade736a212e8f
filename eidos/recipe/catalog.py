"""The words that queries may use, and how a host is recognised as one of them.

Knows entries, aliases and detection patterns as data; must not know any particular GPU, system or cloud.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.query import ANY, FIELDS, NAMES, VERSIONS, Query
from eidos.model.record import Record
from eidos.model.tree_reader import QUOTED, TreeReader
from eidos.recipe.layer import Source
from eidos.semver import parse_version
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: The file of the machines that clouds rent out.
MACHINES = "machines.yaml"


class CatalogEntry(Record):
    """One word: ``name``, other words for it, and the patterns by which a host shows it; ``recipes/catalog.yaml`` says what each means.

    ``architecture`` is a GPU's, ``cpu`` that of its host; ``systems`` are all that nodes of a service can run, or none when any may be,
    ``withdrawn`` those that it offered once, with what became of them.
    ``excluded`` is why no recipe is made for what is known and out of scope; ``is_undetectable`` when the data says that no host shows it.
    """

    name: str
    title: str = ""
    aliases: tuple[str, ...] = ()
    detect: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    clouds: tuple[str, ...] = ()
    architecture: str = ""
    cpu: str = ""
    systems: tuple[str, ...] = ()
    withdrawn: dict[str, str] = {}
    excluded: str = ""
    is_undetectable: bool = False

    @property
    def is_managed(self) -> bool:
        """Whether a cloud runs it: its own labels tell it from other clusters on that cloud's machines."""
        return bool(self.clouds and self.labels)

    def answers_to(self, word: str) -> bool:
        """Whether ``word`` is its name, another word for it, or a pattern."""
        return word == self.name or word in self.aliases or word in self.detect


def built_by(version: str, entries: tuple[CatalogEntry, ...]) -> CatalogEntry | None:
    """The entry whose suffix a version of Kubernetes has, the longest that matches; None for a plain one."""
    version = version.lower()
    built = [(len(suffix), entry) for entry in entries for suffix in entry.suffixes if f"-{suffix}" in version or f"+{suffix}" in version]
    return max(built, key=lambda pair: pair[0])[1] if built else None


class Machine(CatalogEntry):
    """The type of a node: ``gpu_count`` GPUs of one kind, and ``nics`` adapters of its ``fabric``; 0 and "" where that is not known.

    ``service`` is the managed Kubernetes that offers it, "" for one that is bought. ``source`` is the document with these facts.
    """

    gpu: str = ""
    gpu_count: int = 0
    service: str = ""
    fabric: str = ""
    nics: int = 0
    source: Source = Source("", "")

    def facts(self) -> str:
        """Its hardware in a few words: ``8 x h100, eks, efa (32 NICs)``."""
        gpus = f"{self.gpu_count} x {self.gpu}" if self.gpu_count else self.gpu
        adapters = f"{self.fabric} ({self.nics} {'NIC' if self.nics == 1 else 'NICs'})" if self.nics else self.fabric
        return ", ".join(filter(None, (gpus, self.service, adapters)))


#: Fields of a query that its machine determines.
IMPLIED = ("gpu", "service")

#: Field of an entry → the list of patterns in the data.
_PATTERNS = {"detect": "provider", "suffixes": "suffix", "labels": "label", "images": "image", "clouds": "cloud"}


class Catalog(Record):
    """Entries by field of the query; a field without entries takes any word."""

    entries: Mapping[str, tuple[CatalogEntry, ...]]

    def names(self, field: str) -> tuple[str, ...]:
        """The valid words of one field, in the order of the data."""
        return tuple(entry.name for entry in self.entries.get(field, ()) if not entry.excluded)

    def entry(self, field: str, name: str) -> CatalogEntry | None:
        """The entry of this name."""
        return next((entry for entry in self.entries.get(field, ()) if entry.name == name), None)

    def find(self, field: str, word: str) -> str | None:
        """The name that ``word`` is, or is an alias of; None when it is neither. Case does not count."""
        folded = word.strip().lower()
        for entry in self.entries.get(field, ()):
            if folded == entry.name or folded in entry.aliases:
                return entry.name
        return None

    def machine(self, name: str) -> Machine | None:
        """The machine of this name."""
        entry = self.entry("machine", name) if name else None
        return entry if isinstance(entry, Machine) else None

    def with_implied(self, fields: Mapping[str, str]) -> dict[str, str]:
        """The fields of a query, and those that its machine determines and that are open."""
        machine = self.machine(fields.get("machine", ""))
        return {**{field: value for field in IMPLIED if machine and (value := getattr(machine, field))}, **fields}

    def contradicts_machine(self, fields: Mapping[str, str]) -> tuple[str, str] | None:
        """The field in which a query says something else than its machine, and what the machine has; None where they agree.

        Self-managed clusters run on the machines of every cloud: only a managed service excludes those of another one.
        """
        machine, service = self.machine(fields.get("machine", "")), self.entry("service", fields.get("service", ""))
        if machine and fields.get("gpu", machine.gpu) != machine.gpu:
            return "gpu", machine.gpu
        if machine and machine.service and service and service.is_managed and service.name != machine.service:
            return "service", machine.service
        return None

    def parse_query(self, words: Mapping[str, str], names: Mapping[str, str] | None = None) -> Query:
        """The query that these words make, by field; ``names`` gives for a field its name in messages (``--gpu``).

        This is where a query is validated, once: words become names of the catalog, versions parse, and a machine adds its GPU and its
        service. Raises InvalidQuery.
        """
        fields: dict[str, str] = {}
        for field, value in words.items():
            name = (names or {}).get(field, field)
            if field not in FIELDS:
                raise InvalidQuery(
                    field, value, f"unknown query field {name!r}; expected one of {', '.join(FIELDS)}", did_you_mean(field, FIELDS)
                )
            if not isinstance(value, str):  # a program may hand over what it read from YAML
                raise InvalidQuery(field, value, f"{name}: expected text, found {value!r}", "put the version in quotes")
            text = value.strip()
            if not text or text.lower() == ANY:
                continue
            if field in VERSIONS:
                try:
                    parse_version(text)
                except InvalidInput as fault:
                    if name.startswith("EIDOS_"):  # a variable, and may be a secret
                        from eidos.redact.harmless_forms import quote_value

                        raise InvalidQuery(field, value, f"{name}: invalid version {quote_value(text)}", fault.hint) from None
                    raise InvalidQuery(field, value, f"{name}: {fault.message}", fault.hint, fault.excerpt) from fault
                fields[field] = text
            elif field in NAMES and self.entries.get(field):
                match = self.find(field, text)
                if match is None:
                    from eidos.redact.harmless_forms import quote_value
                    from eidos.wording import list_words

                    shown = quote_value(text) if name.startswith("EIDOS_") else repr(text)
                    valid = list_words(self.names(field), "'eidos recipe list'")
                    hint = did_you_mean(text, [word for entry in self.entries[field] for word in (entry.name, *entry.aliases)])
                    services = [entry.name for entry in self.entries[field] if text.lower() in entry.clouds]
                    if services:
                        hint = f"name the Kubernetes service on {text}: {' or '.join(services)}"
                    raise InvalidQuery(field, value, f"{name}: invalid value {shown}; expected one of {valid}", hint)
                entry = self.entry(field, match)
                if entry and entry.excluded:
                    raise InvalidQuery(field, value, f"{name}: {entry.title} is not supported: {entry.excluded}", f"remove {name}")
                fields[field] = match
            else:
                fields[field] = text.lower()
        contrary = self.contradicts_machine(fields) if "machine" in fields else None
        if contrary:
            field, value = contrary
            flags = {each: (names or {}).get(each, each) for each in ("machine", field)}
            message = f"{flags['machine']} {fields['machine']} has {field} {value}, not {fields[field]}"
            raise ContradictingQuery(field, fields[field], message, f"remove {flags[field]}, or choose another machine")
        return Query(**self.with_implied(fields))


class InvalidQuery(InvalidInput):
    """No query: ``value`` cannot be what ``field`` is; the message has the valid words and the nearest, or shows where a version breaks."""

    def __init__(self, field: str, value: object, message: str, hint: str | None, excerpt: tuple[str, int] | None = None) -> None:
        super().__init__(message, hint, excerpt)
        self.field = field
        self.value = value


class ContradictingQuery(InvalidQuery):
    """Two fields that no node has together, each of them valid."""


def read_catalog(tree: object, name: str, machines: tuple[Machine, ...] = ()) -> Catalog:
    """The catalog that ``tree`` describes, with ``machines``; InvalidData with the path of what is wrong in it."""
    root = TreeReader(tree, name, text_types=QUOTED)
    root.expect_only([field for field in NAMES if field != "machine"])
    entries = {field: read_field(root, field) for field in root.tree}
    return Catalog({**entries, "machine": machines} if machines else entries)


def read_field(root: TreeReader, field: str) -> tuple[CatalogEntry, ...]:
    """The entries of one field; InvalidData for a word that two have."""
    entries = tuple(map(_read_entry, root.mappings(field)))
    words = [word for entry in entries for word in (entry.name, *entry.aliases)]
    twice = next((word for word in words if words.count(word) > 1), None)
    if twice:
        raise root.error(f"{twice!r} is used by two entries", name=field)
    return entries


def _read_entry(tree: TreeReader) -> CatalogEntry:
    name = tree.name("name")
    # Patterns are a list, or lists by where a host shows them.
    by_source = tree.mapping("detect") if isinstance(tree.tree.get("detect"), dict) else None
    if by_source:
        by_source.expect_only(tuple(_PATTERNS.values()))
    patterns = {field: by_source.names(key) for field, key in _PATTERNS.items()} if by_source else {"detect": tree.names("detect")}
    return CatalogEntry(
        name.lower(),
        tree.text("title") or name,
        tuple(alias.lower() for alias in tree.names("aliases")),
        versions=tree.names("versions"),
        architecture=tree.text("architecture"),
        cpu=tree.text("cpu"),
        systems=tree.names("systems"),
        withdrawn=tree.text_map("withdrawn"),
        excluded=tree.text("excluded"),
        is_undetectable=tree.tree.get("detect") == [],
        **patterns,
    )
