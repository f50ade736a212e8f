"""What of a document lies in one ConfigMap or Secret, and whose that is.

Knows the names and fields of these objects, the index and the parts of a document; must not know in which order they are written or read.
"""

from __future__ import annotations

import re

from eidos.errors import InvalidData, InvalidInput, KubeError
from eidos.kube.responses import Missing
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.kube.api_client import Client

#: The largest document, in bytes: what readers of documents take.
LIMIT = 32 << 20

#: Parts of one document; random bytes of the largest size are fewer.
PARTS = 64

#: Scheme of a place → kind, resource, and the field that holds bytes.
KINDS = {"cm": ("ConfigMap", "configmaps", "binaryData"), "secret": ("Secret", "secrets", "data")}

INDEX, PART = "index.json", "part.json"
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)

MANAGED = "app.kubernetes.io/managed-by"


class Place(Record):
    """Where a document is kept: ``scheme`` is one of :data:`KINDS`."""

    scheme: str
    namespace: str
    name: str

    @property
    def kind(self) -> str:
        """ConfigMap or Secret."""
        return KINDS[self.scheme][0]

    @property
    def path(self) -> str:
        """The path of the object in the API."""
        return f"/api/v1/namespaces/{self.namespace}/{KINDS[self.scheme][1]}/{self.name}"

    def part(self, number: int) -> Place:
        """Where a part of it is kept."""
        return Place(self.scheme, self.namespace, f"{self.name}-{number}")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.namespace}/{self.name}"


def parse(text: str) -> Place:
    """The place that ``cm://namespace/name`` names; InvalidInput for what names none (RFC 1123, Kubernetes' "Object Names and IDs").

    >>> parse("cm://eidos/node-1").path, str(parse("secret://eidos/gpu-07.example.com"))
    ('/api/v1/namespaces/eidos/configmaps/node-1', 'secret://eidos/gpu-07.example.com')
    """
    scheme, _, rest = text.partition("://")
    namespace, slash, name = rest.partition("/")
    if not slash or not namespace or not name:
        raise InvalidInput(f"{text!r} names no {KINDS[scheme][0]}", f"write it like {scheme}://namespace/name")
    if not _LABEL.fullmatch(namespace):
        raise InvalidInput(f"{text!r}: {namespace!r} cannot be a namespace", "small letters, digits and dashes, at most 63 of them")
    # Ten are left for the number of a part.
    if len(name) > 243 or not _SUBDOMAIN.fullmatch(name):
        raise InvalidInput(
            f"{text!r}: {name!r} cannot be the name of a {KINDS[scheme][0]}", "small letters, digits, dashes and dots, at most 243 of them"
        )
    return Place(scheme, namespace, name)


class Index(Record):
    """What an object says of a document that it does not hold as it is; ``count`` parts begin with number ``first``."""

    key: str
    size: int
    sha256: str
    first: int = 0
    count: int = 0

    @property
    def parts(self) -> range:
        """Numbers of the parts; none when the object itself holds the document."""
        return range(self.first, self.first + self.count)

    def to_json(self) -> bytes:
        """As it is written."""
        return _json(self.__dict__)

    @classmethod
    def from_json(cls, data: bytes, place: Place) -> Index:
        """As it is read; InvalidData for what is none."""
        import json

        kinds = {"key": str, "size": int, "sha256": str, "first": int, "count": int}
        try:
            tree = json.loads(data)
            if not isinstance(tree, dict) or any(type(value) is not kinds.get(key) for key, value in tree.items()):
                raise TypeError("another form")
            found = cls(**tree)
            if not (0 <= found.size <= LIMIT and 0 <= found.count <= PARTS and 0 <= found.first <= 2 * PARTS):
                raise ValueError("beyond what is written")
        except (ValueError, TypeError, RecursionError) as fault:
            raise InvalidData(f"{place}: its {INDEX} is none of eidos", "is this the document you meant?") from fault
        return found


class Part(Record):
    """What a part says of itself: ``of`` which name, its ``number``, and the SHA-256 of the whole document."""

    of: str
    number: int
    sha256: str

    def to_json(self) -> bytes:
        """As it is written."""
        return _json(self.__dict__)


def _json(tree: dict[str, Any]) -> bytes:
    import json

    return json.dumps(tree, sort_keys=True).encode()


class Kept:
    """A ConfigMap or a Secret that is there."""

    def __init__(self, place: Place, tree: dict[str, Any]) -> None:
        self.place = place
        self._tree = tree

    @classmethod
    def get(cls, client: Client, place: Place) -> Kept | None:
        """What is there; None when nothing is."""
        try:
            return cls(place, client.get(place.path))
        except Missing as missing:
            if missing.name != place.name:  # an API server says what it has not
                raise
            return None

    def _mapping(self, tree: Any, key: str) -> dict[str, Any]:
        found = tree.get(key) if isinstance(tree, dict) else None
        return found if isinstance(found, dict) else {}

    def value(self, key: str) -> bytes | None:
        """The bytes under a key."""
        import base64
        import binascii

        text = self._mapping(self._tree, "data").get(key)
        if isinstance(text, str) and self.place.scheme == "cm":
            return text.encode("utf-8", "surrogatepass")
        binary = self._mapping(self._tree, KINDS[self.place.scheme][2]).get(key)
        if not isinstance(binary, str):
            return None
        try:
            return base64.b64decode(binary, validate=True)
        except (binascii.Error, ValueError) as fault:
            raise InvalidData(f"{self.place}: {key} is not base64") from fault

    def keys(self) -> list[str]:
        """What it has values for."""
        return sorted({*self._mapping(self._tree, "data"), *self._mapping(self._tree, "binaryData")})

    def plain(self) -> bytes:
        """The document that lies here as it is, whoever put it here."""
        keys = self.keys()
        likely = (
            [key for key in keys if key.startswith("document.")]
            or [key for key in keys if key.endswith((".yaml", ".yml", ".json"))]
            or keys
        )
        found = self.value(likely[0]) if len(likely) == 1 else None
        if found is None or PART in keys:
            what = "it is a part of another document" if PART in keys else f"it has {', '.join(keys[:20]) or 'nothing in it'}"
            raise InvalidData(f"{self.place} holds no document: {what}", "a document lies under document.yaml, or is all that there is")
        return found

    def index(self) -> Index | None:
        """Its index, when it has one."""
        data = self.value(INDEX)
        return None if data is None else Index.from_json(data, self.place)

    def told(self) -> Part | None:
        """What it says that it is a part of."""
        import json

        try:
            return Part(**json.loads(self.value(PART) or b"null"))
        except (ValueError, TypeError, RecursionError, InvalidData):
            return None

    def is_part_of(self, place: Place) -> bool:
        """Whether it is a part of what has that place."""
        told = self.told()
        return self._is_ours and told is not None and told.of == place.name

    @property
    def _is_ours(self) -> bool:
        return self._mapping(self._mapping(self._tree, "metadata"), "labels").get(MANAGED) == "eidos"

    def check_owner(self) -> None:
        """Raise KubeError unless eidos made it, as a document of its own."""
        metadata = self._mapping(self._tree, "metadata")
        if not self._is_ours:
            label = self._mapping(metadata, "labels").get(MANAGED)
            fields = metadata.get("managedFields")
            managers = sorted({str(item.get("manager")) for item in fields if isinstance(item, dict)}) if isinstance(fields, list) else []
            whose = f"{MANAGED} says {label}" if label else f"it was written by {', '.join(managers) or 'nobody known'}"
            raise KubeError(f"{self.place}: this {self.place.kind} is not one of eidos: {whose}", "choose another name, or delete it")
        told = self.told()
        if told is not None:
            raise KubeError(f"{self.place} is a part of {self.place.scheme}://{self.place.namespace}/{told.of}", "choose another name")

    def check_is_part_of(self, place: Place) -> None:
        """Raise KubeError unless it is a part of ``place`` already."""
        if not self.is_part_of(place):
            raise KubeError(f"{place} needs the name of {self.place}, which is another {self.place.kind}", "choose another name")
