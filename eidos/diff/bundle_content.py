"""The content of two bundles as trees, of the files that differ.

Knows which files are data and which are text; must not know how trees are compared, nor how a bundle is read.
"""

from __future__ import annotations

from eidos.errors import InvalidData
from eidos.model.bundle import CHECKSUMS, is_attestation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: Extensions of files that are compared as trees.
_DATA = (".yaml", ".yml", ".json")


def bundle_trees(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> tuple[dict[str, object], dict[str, object]]:
    """The files of both bundles that are not the same byte for byte, without checksums and attestations, which follow from them.

    >>> bundle_trees({"a.yaml": b"x: 1", "b.txt": b"same"}, {"a.yaml": b"x: 2", "b.txt": b"same"})
    ({'a.yaml': {'x': 1}}, {'a.yaml': {'x': 2}})
    """
    first, second = (
        {
            path: file_tree(path, content)
            for path, content in sorted(side.items())
            if path.rpartition("/")[2] != CHECKSUMS and not is_attestation(path) and other.get(path) != content
        }
        for side, other in ((old, new), (new, old))
    )
    return first, second


def file_tree(path: str, content: bytes) -> object:
    """A mapping where a file is one document of YAML or JSON, else its text, or the digest of what is no text."""
    from eidos.formats import from_text

    try:
        text = content.decode()
    except UnicodeDecodeError:
        import hashlib

        return f"sha256:{hashlib.sha256(content).hexdigest()}"
    if path.endswith(_DATA):
        try:
            tree = from_text(content, path)
        except InvalidData:  # several documents, or a template
            return text
        if isinstance(tree, dict):
            return tree
    return text
