"""One ConfigMap or Secret that stores a document, or a part of one.

Knows the names and fields of these objects, and who owns them; must not know in which order they are written or read.
"""

from __future__ import annotations

from eidos.errors import InvalidData, InvalidInput, KubeError
from eidos.kube.labels import LOWERCASE, is_dns_subdomain, is_word
from eidos.kube.responses import ObjectNotFound
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from eidos.kube.api_client import KubeClient

#: The largest document, in bytes, as for readers of documents.
DOCUMENT_LIMIT = 32 << 20

#: Parts of one document; incompressible data of the largest size has fewer.
PART_LIMIT = 64

#: Scheme of a reference → kind, resource, and the field for binary data.
SCHEMES = {"cm": ("ConfigMap", "configmaps", "binaryData"), "secret": ("Secret", "secrets", "data")}

INDEX_KEY, PART_KEY = "index.json", "part.json"


MANAGED_BY = "app.kubernetes.io/managed-by"


class ObjectReference(Record):
    """The object that a document is stored in: ``scheme`` is one of :data:`SCHEMES`."""

    scheme: str
    namespace: str
    name: str

    @property
    def kind(self) -> str:
        """ConfigMap or Secret."""
        return SCHEMES[self.scheme][0]

    @property
    def path(self) -> str:
        """The path of the object in the API."""
        return f"/api/v1/namespaces/{self.namespace}/{SCHEMES[self.scheme][1]}/{self.name}"

    def part(self, number: int) -> ObjectReference:
        """The object of a part."""
        return ObjectReference(self.scheme, self.namespace, f"{self.name}-{number}")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.namespace}/{self.name}"


def parse_reference(text: str) -> ObjectReference:
    """Parse ``cm://namespace/name``; InvalidInput for an invalid name (RFC 1123, Kubernetes' "Object Names and IDs").

    >>> parse_reference("cm://eidos/node-1").path, str(parse_reference("secret://eidos/gpu-07.example.com"))
    ('/api/v1/namespaces/eidos/configmaps/node-1', 'secret://eidos/gpu-07.example.com')
    """
    scheme, _, rest = text.partition("://")
    namespace, slash, name = rest.partition("/")
    if not slash or not namespace or not name:
        raise InvalidInput(f"{text!r} has no {SCHEMES[scheme][0]} name", f"write it like {scheme}://namespace/name")
    if not is_word(namespace, 63, LOWERCASE, "-"):
        raise InvalidInput(f"{text!r}: invalid namespace {namespace!r}", "use lower-case letters, digits and '-', at most 63")
    # Ten characters are left for the number of a part.
    if not is_dns_subdomain(name, 243):
        hint = "use lower-case letters, digits, '-' and '.', at most 243"
        raise InvalidInput(f"{text!r}: invalid {SCHEMES[scheme][0]} name {name!r}", hint)
    return ObjectReference(scheme, namespace, name)


class DocumentIndex(Record):
    """The index of a compressed document; it has ``count`` parts, from number ``first`` on."""

    key: str
    size: int
    sha256: str
    first: int = 0
    count: int = 0

    @property
    def parts(self) -> range:
        """Numbers of the parts; none when the object itself has the document."""
        return range(self.first, self.first + self.count)

    def to_json(self) -> bytes:
        """The content of ``index.json``."""
        return _to_json(self.__dict__)

    @classmethod
    def from_json(cls, data: bytes, reference: ObjectReference) -> DocumentIndex:
        """Parse ``index.json``; InvalidData when it is invalid."""
        import json

        kinds = {"key": str, "size": int, "sha256": str, "first": int, "count": int}
        try:
            tree = json.loads(data)
            if not isinstance(tree, dict) or any(type(value) is not kinds.get(key) for key, value in tree.items()):
                raise TypeError("another form")
            index = cls(**tree)
            if not (0 <= index.size <= DOCUMENT_LIMIT and 0 <= index.count <= PART_LIMIT and 0 <= index.first <= 2 * PART_LIMIT):
                raise ValueError("beyond what is written")
        except (ValueError, TypeError, RecursionError) as fault:
            raise InvalidData(f"{reference}: its {INDEX_KEY} was not written by eidos", "check that this is the right document") from fault
        return index


class PartHeader(Record):
    """The header of a part: the name ``of`` its document, its ``number``, and the SHA-256 of the complete document."""

    of: str
    number: int
    sha256: str

    def to_json(self) -> bytes:
        """The content of ``part.json``."""
        return _to_json(self.__dict__)


def _to_json(tree: dict[str, Any]) -> bytes:
    import json

    return json.dumps(tree, sort_keys=True).encode()


class StoredObject:
    """A ConfigMap or Secret as it is in the cluster."""

    def __init__(self, reference: ObjectReference, tree: dict[str, Any]) -> None:
        self.reference = reference
        self._object = tree

    @classmethod
    def get(cls, client: KubeClient, reference: ObjectReference) -> StoredObject | None:
        """The object; None when it does not exist."""
        try:
            return cls(reference, client.get(reference.path))
        except ObjectNotFound as missing:
            if missing.name != reference.name:  # a 404 from an API server names the object
                raise
            return None

    def _mapping(self, tree: Any, key: str) -> dict[str, Any]:
        mapping = tree.get(key) if isinstance(tree, dict) else None
        return mapping if isinstance(mapping, dict) else {}

    def value(self, key: str) -> bytes | None:
        """The bytes under a key."""
        import base64
        import binascii

        text = self._mapping(self._object, "data").get(key)
        if isinstance(text, str) and self.reference.scheme == "cm":
            return text.encode("utf-8", "surrogatepass")
        binary = self._mapping(self._object, SCHEMES[self.reference.scheme][2]).get(key)
        if not isinstance(binary, str):
            return None
        try:
            return base64.b64decode(binary, validate=True)
        except (binascii.Error, ValueError) as fault:
            raise InvalidData(f"{self.reference}: {key} is not base64") from fault

    def keys(self) -> list[str]:
        """The keys of its values, sorted."""
        return sorted({*self._mapping(self._object, "data"), *self._mapping(self._object, "binaryData")})

    def plain_document(self) -> bytes:
        """The document of an object without an index, whoever wrote it."""
        keys = self.keys()
        likely = (
            [key for key in keys if key.startswith("document.")]
            or [key for key in keys if key.endswith((".yaml", ".yml", ".json"))]
            or keys
        )
        document = self.value(likely[0]) if len(likely) == 1 else None
        if document is None or PART_KEY in keys:
            what = "part of another document" if PART_KEY in keys else f"its keys: {', '.join(keys[:20]) or 'none'}"
            raise InvalidData(
                f"{self.reference} contains no document: {what}", "store the document under the key document.yaml, or as the only key"
            )
        return document

    def index(self) -> DocumentIndex | None:
        """Its index, if it has one."""
        data = self.value(INDEX_KEY)
        return None if data is None else DocumentIndex.from_json(data, self.reference)

    def part_header(self) -> PartHeader | None:
        """Its header, if it is a part."""
        import json

        try:
            return PartHeader(**json.loads(self.value(PART_KEY) or b"null"))
        except (ValueError, TypeError, RecursionError, InvalidData):
            return None

    def is_part_of(self, reference: ObjectReference) -> bool:
        """Whether it is a part of that document."""
        header = self.part_header()
        return self._is_ours and header is not None and header.of == reference.name

    @property
    def _is_ours(self) -> bool:
        return self._mapping(self._mapping(self._object, "metadata"), "labels").get(MANAGED_BY) == "eidos"

    def check_owner(self) -> None:
        """Raise KubeError unless eidos wrote it, and as a document, not as a part of one."""
        metadata = self._mapping(self._object, "metadata")
        if not self._is_ours:
            label = self._mapping(metadata, "labels").get(MANAGED_BY)
            fields = metadata.get("managedFields")
            managers = sorted({str(item.get("manager")) for item in fields if isinstance(item, dict)}) if isinstance(fields, list) else []
            whose = f"{MANAGED_BY} is {label}" if label else f"written by {', '.join(managers) or 'an unknown client'}"
            message = f"{self.reference}: this {self.reference.kind} was not created by eidos: {whose}"
            raise KubeError(message, "choose another name, or delete it")
        header = self.part_header()
        if header is not None:
            document = f"{self.reference.scheme}://{self.reference.namespace}/{header.of}"
            raise KubeError(f"{self.reference} is part of {document}", "choose another name")

    def check_is_part_of(self, reference: ObjectReference) -> None:
        """Raise KubeError unless it is a part of that document already."""
        if not self.is_part_of(reference):
            message = f"{reference} needs the name {self.reference}, which is in use by another {self.reference.kind}"
            raise KubeError(message, "choose another name")
