"""Replaces what identifies a node in a snapshot by pseudonyms.

Knows how identities are found and replaced, by the lists in ``templates/fleet.yaml``; must not know which readings those are, nor where a
key comes from. A pseudonym is the kind of the identity and a part of its HMAC-SHA-256 under a key: with one key the same identity has the
same pseudonym in all snapshots, and without the key it cannot be tested which identity a pseudonym stands for.

Replaced are the readings that the list ``identity`` names; their values wherever else they occur, in keys, values, contexts and the
collectors' reasons; the names of nodes; and what the patterns of ``identifiers`` match.

>>> from eidos.model.snapshot import Measurement, Snapshot, Subtype
>>> rules = {"identity": ["OS.net.*.mac"], "identifiers": [{"kind": "address", "pattern": "192[.0-9]+"}]}
>>> data = {"eth0.mac": "94:6d:ae:00:00:01", "x": "gpu-07 has 94:6D:AE:00:00:01 and 192.0.2.7"}
>>> shot = Snapshot("", "", "gpu-07.example.com", (Measurement("OS", (Subtype("net", data),)),))
>>> anonymous = Pseudonyms(b"0123456789abcdef", rules).anonymize(shot)
>>> anonymous.node == Pseudonyms(b"0123456789abcdef", rules).node_name("gpu-07")
True
>>> [anonymous.measurements[0].subtypes[0].data[key].partition("-")[0] for key in ("eth0.mac", "x")]
['mac', 'node']
"""

from __future__ import annotations

import re
from functools import partial

from eidos.model.measurement import Measurement, PathPatterns, Subtype
from eidos.model.record import replace
from eidos.model.tree_reader import QUOTED, TreeReader
from eidos.reading_selection import NAME
from eidos.redact.harmless_forms import WORDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from eidos.model.measurement import Outcome, Reading
    from eidos.model.snapshot import Snapshot

#: Bytes of an HMAC that a pseudonym shows: of a million identities two would share one with a chance of 1 : 500 000.
DIGEST_BYTES = 8

#: Characters of the shortest value that is looked for outside of its own reading.
_SHORTEST = 4

#: A word that may have the name of a node in it, and what parts it; separators are parts, too.
_NAME, _SEPARATOR = re.compile(r"[0-9A-Za-z_.-]+"), re.compile(r"([._-])")

#: Names of machines that say nothing.
_NO_NAMES = frozenset(("localhost", "localhost.localdomain", "(none)", "none", "unknown", "not specified", "to be filled by o.e.m."))


def shipped_pseudonyms(key: bytes) -> Pseudonyms:
    """Pseudonyms by the rules that eidos ships."""
    from eidos import formats
    from eidos.files import resources

    return Pseudonyms(key, formats.from_text(resources.read_bytes(NAME), NAME))


class Pseudonyms:
    """Pseudonyms under one ``key``; raises InvalidData for a tree that is not such rules."""

    def __init__(self, key: bytes, tree: Any, where: str = NAME) -> None:
        root = TreeReader(tree, where, text_types=QUOTED)
        self._key = key
        self._identity = PathPatterns(root.names("identity"))
        self._exempt = PathPatterns(root.names("not-identifying"))
        self._public = PathPatterns(root.names("public-addresses"))
        try:
            self._patterns = [(row.name("kind"), re.compile(row.name("pattern"))) for row in root.mappings("identifiers")]
        except re.error as fault:
            raise root.error(str(fault), name="identifiers") from fault
        self._nodes: dict[str, str] = {}
        self._maximum_parts = 0

    def add_nodes(self, names: Iterable[str]) -> None:
        """Replace these names of nodes in everything that follows."""
        for name in names:
            bare = name.rpartition("@")[2].strip("[]")
            for form in (bare, bare.partition(".")[0] if not bare.replace(".", "").isdigit() else bare):
                if len(form) > 1 and form.lower() not in WORDS and form.lower() not in _NO_NAMES and not form.isdigit():
                    self._nodes[form.lower()] = self.node_name(name)
        self._maximum_parts = max((len(_SEPARATOR.split(name)) for name in self._nodes), default=0)

    def node_name(self, name: str) -> str:
        """The pseudonym of a node; its name alone and with its domain are the same node."""
        bare = name.rpartition("@")[2]
        return self.pseudonym("node", bare if bare.replace(".", "").isdigit() else bare.partition(".")[0]) if name else ""

    def pseudonym(self, kind: str, identity: str) -> str:
        """The pseudonym of an identity; case and separators make no difference."""
        import hmac

        plain = "".join(c for c in identity.lower().replace("\\x2d", "").replace("_2d", "") if c not in ":-_ ") or identity
        content = f"{kind}\0{plain}".encode("utf-8", "surrogatepass")
        return f"{kind}-{hmac.new(self._key, content, 'sha256').hexdigest()[: DIGEST_BYTES * 2]}"

    def anonymize(self, snapshot: Snapshot, *names: str) -> Snapshot:
        """The snapshot without identities; ``names`` are names of its node besides the one in it."""
        self.add_nodes(filter(None, (snapshot.node, *names, *_host_names(snapshot))))
        known: dict[str, str] = {}
        for measurement in snapshot.measurements:
            for subtype in measurement.subtypes:
                for key, value in subtype.data.items():
                    if self._identity.match(f"{measurement.type}.{subtype.name.removesuffix('.volatile')}.{key}"):
                        for text, kind in _identities(key, str(value)):
                            known[text.lower()] = self._nodes.get(text.lower()) or self.pseudonym(kind, text)
        texts = _Texts(self, known)
        measurements = tuple(
            Measurement(
                measurement.type,
                tuple(self._subtype(texts, measurement.type, subtype) for subtype in measurement.subtypes),
            )
            for measurement in snapshot.measurements
        )
        outcomes = tuple(_outcome(texts, outcome) for outcome in snapshot.collectors)
        return replace(snapshot, node=self.node_name(snapshot.node), measurements=measurements, collectors=outcomes)

    def _subtype(self, texts: _Texts, kind: str, subtype: Subtype) -> Subtype:
        data: dict[str, Reading] = {}
        for key, value in subtype.data.items():
            path = f"{kind}.{subtype.name.removesuffix('.volatile')}.{key}"
            shown: Reading = value
            if self._identity.match(path) and value not in ("", 0, "0"):
                shown = self._value_pseudonym(key, str(value))
            elif isinstance(value, str):
                shown = value if self._exempt.match(path) else texts.clean(value)
            data[texts.clean(key)] = shown
        context = {texts.clean(key): texts.clean(text) for key, text in subtype.context.items()}
        return Subtype(texts.clean(subtype.name), data, context)

    def _value_pseudonym(self, key: str, value: str) -> str:
        if value.lower() in self._nodes:
            return self._nodes[value.lower()]
        scheme, separator, rest = value.partition("://")
        if separator:
            return f"{scheme}://{self.pseudonym('cloud', rest)}"
        return value if value.lower() in _NO_NAMES or value == "<withheld>" else self.pseudonym(_kind_of(key), value)

    def clean(self, text: str) -> str:
        """A text without names of nodes and identifiers."""
        if self._nodes:
            text = _NAME.sub(self._replace_nodes, text)
        for kind, pattern in self._patterns:
            text = pattern.sub(partial(self._replace, kind), text)
        return text

    def _replace_nodes(self, match: Any) -> str:
        """A word in which the names of nodes are replaced; a fleet may have thousands, so parts of the word are looked up."""
        parts = _SEPARATOR.split(match[0])
        shown: list[str] = []
        at = 0
        while at < len(parts):
            for end in range(min(len(parts), at + self._maximum_parts), at, -1):
                pseudonym = self._nodes.get("".join(parts[at:end]).lower())
                if pseudonym:
                    shown.append(pseudonym)
                    at = end
                    break
            else:
                shown.append(parts[at])
                at += 1
        return "".join(shown)

    def _replace(self, kind: str, match: Any) -> str:
        text: str = match[0]
        if kind == "address":
            import ipaddress

            try:
                address = ipaddress.ip_address(text)
            except ValueError:
                return text
            return text if self._public.match(str(address)) else self.pseudonym(kind, str(address).replace(":", "."))
        if not any(map(str.isalnum, text)) or not text.strip("0:-x\\"):
            return text  # an address or a GUID that is not set
        return self.pseudonym(kind, text)


class _Texts:
    """The texts of one snapshot: its own identities besides those that every snapshot may have."""

    def __init__(self, pseudonyms: Pseudonyms, known: dict[str, str]) -> None:
        self._pseudonyms, self._known = pseudonyms, known
        self._pattern = _words_pattern(known)
        self._cache: dict[str, str] = {}

    def clean(self, text: str) -> str:
        """A text without identities."""
        cleaned = self._cache.get(text)
        if cleaned is None:
            cleaned = text if self._pattern is None else self._pattern.sub(lambda match: self._known[match[0].lower()], text)
            cleaned = self._cache[text] = self._pseudonyms.clean(cleaned)
        return cleaned


def _outcome(texts: _Texts, outcome: Outcome) -> Outcome:
    def clean_all(gaps: dict[str, str]) -> dict[str, str]:
        return {texts.clean(what): texts.clean(why) for what, why in gaps.items()}

    return replace(
        outcome,
        reason=outcome.reason and texts.clean(outcome.reason),
        hint=outcome.hint and texts.clean(outcome.hint),
        unreadable=clean_all(outcome.unreadable),
        absent=clean_all(outcome.absent),
        revealed=tuple(texts.clean(name) for name in outcome.revealed),
    )


def _host_names(snapshot: Snapshot) -> list[str]:
    """The names that a snapshot's own readings give its node."""
    keys = ("/proc/sys/kernel/hostname", "source-node", "label.kubernetes.io/hostname", "systemd.hostname", "hostname")
    return [
        str(subtype.data[key])
        for measurement in snapshot.measurements
        for subtype in measurement.subtypes
        if subtype.name in ("sysctl", "node", "grub")
        for key in keys
        if key in subtype.data
    ]


def _identities(key: str, value: str) -> list[tuple[str, str]]:
    """The texts in an identifying value that are looked for elsewhere, each with its kind."""
    _, separator, rest = value.partition("://")
    parts = [(value, _kind_of(key))] if not separator else [(rest.strip("/"), "cloud"), (rest.rpartition("/")[2], "cloud")]
    return [
        (text, kind)
        for text, kind in parts
        if len(text) >= _SHORTEST
        and text.lower() not in WORDS
        and text.lower() not in _NO_NAMES
        and text.strip("0:-. ")
        and text != "<withheld>"
    ]


def _kind_of(key: str) -> str:
    """The kind of an identity, by the last word of its key."""
    word = key.lower().replace("_", "-").replace("/", ".").rpartition(".")[2].rpartition("-")[2]
    return {"hostname": "node", "node": "node", "bootif": "mac", "invocationid": "id", "controlgroupid": "id"}.get(word, word or "id")


def _words_pattern(words: dict[str, str]) -> Any:
    """A pattern for these words, the longest first, not inside of others; None when there are none."""
    if not words:
        return None
    longest = sorted(words, key=lambda word: (-len(word), word))
    return re.compile(rf"(?i)(?<![0-9a-z])(?:{'|'.join(map(re.escape, longest))})(?![0-9a-z])")
