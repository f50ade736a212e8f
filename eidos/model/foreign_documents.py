"""Documents of aicr and of cnsctl, which came between the Go program of our name and aicr: what is read, and what is refused by name.

Knows their API groups, kinds and fields; must not know how ours are read. Their snapshots have the form of ours under other names of the
header; their recipes have another form. Sources: NVIDIA/aicr, pkg/header/header.go, pkg/measurement, pkg/snapshotter/snapshot.go,
pkg/collector/gpu/gpu.go and pkg/recipe/metadata.go (v0.8 to v1.3); NVIDIA/cloud-native-stack of January 2026, pkg/header/header.go.

>>> describe({"kind": "RecipeResult", "apiVersion": "aicr.run/v1"}), describe({"kind": "Recipe", "apiVersion": "recipe.dgxc.io/v1"})
('a RecipeResult of aicr (aicr.run/v1)', None)
"""

from __future__ import annotations

from eidos.model.measurement import SKIPPED, Measurement, Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eidos.errors import InvalidData
    from eidos.model.tree_reader import TreeReader

#: The program behind an API group.
_PROGRAMS = {"aicr.run": "aicr", "aicr.nvidia.com": "aicr", "eidos.nvidia.com": "aicr", "cns.nvidia.com": "cnsctl"}

#: Versions of a snapshot that have the form of ours: schema changes within them only add.
SNAPSHOT_VERSIONS = ("cns.nvidia.com/v1alpha1", "eidos.nvidia.com/v1alpha1", "aicr.nvidia.com/v1alpha1", "aicr.run/v1alpha2", "aicr.run/v1")

#: Names of metadata, theirs → ours.
METADATA = {"timestamp": "snapshot-timestamp", "version": "snapshot-version"}

#: Kinds that only they have, whatever the version; early ones began with a small letter.
_KINDS = ("RecipeResult", "RecipeMetadata", "RecipeMixin", "RecipeCriteria", "ComponentRegistry", "ValidationResult", "AICRConfig")

#: Types of measurements whose form is not ours: lists of items, and lists of nodes in one text.
_TYPES = {"NodeTopology": "k8s.topology", "NetworkTopology": "network"}

#: Fields of a recipe's criteria, and our flags.
_CRITERIA = {"accelerator": "gpu", "service": "service", "os": "os", "intent": "intent", "platform": "platform"}


def describe(tree: Mapping[str, object]) -> str | None:
    """What the document is, for people; None when it is none of theirs."""
    kind, version = (tree.get(name) if isinstance(tree.get(name), str) else "" for name in ("kind", "apiVersion"))
    program = _PROGRAMS.get(str(version).partition("/")[0]) or ("aicr" if _capitalized(str(kind)) in _KINDS else None)
    if program is None:
        return None
    name = _capitalized(str(kind))[:40] or "document"
    return f"a {name} of {program}" + (f" ({str(version)[:60]})" if version else "")


def refuse(root: TreeReader, expected: str) -> InvalidData:
    """What to raise for one of their documents where ``expected`` ("a recipe") is read, with the command that makes one."""
    words = list(_criteria(root.tree))
    if words:
        hint = f"run 'eidos recipe {' '.join(words)}' to make a recipe for the same criteria"
    else:
        hint = "run 'eidos recipe -f SNAPSHOT' to make a recipe; snapshots of aicr are read"
    return root.error(f"{describe(root.tree)}, not {expected} of eidos", hint)


def _criteria(tree: Mapping[str, object]) -> Iterable[str]:
    """The flags of ``eidos recipe`` that say what the criteria of a document say."""
    spec = tree.get("spec")
    candidates = (tree.get("criteria"), spec.get("criteria") if isinstance(spec, dict) else None, spec)
    criteria = next(
        (candidate for candidate in candidates if isinstance(candidate, dict) and any(name in candidate for name in _CRITERIA)), {}
    )
    for name, flag in _CRITERIA.items():
        word = criteria.get(name)
        if isinstance(word, str) and word != "any" and word.isascii() and word.replace("-", "").isalnum():
            yield f"--{flag} {word}"


def check_snapshot(root: TreeReader) -> None:
    """Refuse what is none of their snapshots, or one of a version that is not read."""
    if root.tree.get("kind") != "Snapshot":
        raise refuse(root, "a snapshot")
    if root.tree.get("apiVersion") not in SNAPSHOT_VERSIONS:
        hint = f"supported versions: {', '.join(SNAPSHOT_VERSIONS)}"
        raise root.error(f"{describe(root.tree)} is not supported", hint, "apiVersion")


def is_read(measurement: TreeReader) -> bool:
    """Whether a measurement has the form of ours."""
    return measurement.tree.get("type") not in _TYPES


def correct_measurements(root: TreeReader, measurements: Iterable[Measurement]) -> tuple[tuple[Measurement, ...], tuple[Outcome, ...]]:
    """The measurements without what is no reading, and an outcome for each part of the document that is not read.

    aicr writes a lone ``gpu-count: 0`` where there is no nvidia-smi or where it failed, which says nothing of GPUs.
    """
    types = [item.get("type") for item in root.items("measurements") if isinstance(item, dict)]
    outcomes = [
        Outcome(name, SKIPPED, 0.0, f"{kind} of aicr has a form that eidos does not read") for kind, name in _TYPES.items() if kind in types
    ]
    readable = []
    for measurement in measurements:
        subtypes = tuple(
            subtype
            for subtype in measurement.subtypes
            if not (measurement.type == "GPU" and subtype.name == "smi" and subtype.data == {"gpu-count": 0})
        )
        if len(subtypes) < len(measurement.subtypes):
            outcomes.append(Outcome("gpu", SKIPPED, 0.0, "nvidia-smi failed or was not found"))
        readable.append(Measurement(measurement.type, subtypes))
    return tuple(readable), tuple(outcomes)


def _capitalized(kind: str) -> str:
    return kind[:1].upper() + kind[1:]
