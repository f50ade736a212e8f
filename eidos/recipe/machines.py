"""Machines: the types of nodes that clouds and vendors sell, and what each has.

Knows the form of ``machines.yaml``, the words by which a node names its type, and the limits that a machine sets; must not know any
particular machine.
"""

from __future__ import annotations

from eidos.model.constraint import Constraint, parse_expression
from eidos.model.query import LayerKey
from eidos.model.tree_reader import QUOTED, TreeReader
from eidos.recipe.catalog import Machine
from eidos.recipe.layer import Layer, Source, read_shared_sources
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.recipe.catalog import Catalog

NAME = "machines.yaml"

#: Networks between the GPUs of several nodes that a machine can have.
FABRICS = ("efa", "tcpx", "tcpxo", "roce", "infiniband")

_FIELDS = ("name", "title", "aliases", "gpu", "gpu-count", "service", "fabric", "nics", "source")


def read_machines(tree: object, name: str) -> tuple[Machine, ...]:
    """The machines of a file, in its order; InvalidData with the path of what is wrong in it."""
    root = TreeReader(tree, name, text_types=QUOTED)
    root.expect_only(("sources", "machines"))
    sources = read_shared_sources({"sources": root.tree.get("sources")}, name)
    machines = tuple(_read_machine(row, sources) for row in root.mappings("machines"))
    words = [word for machine in machines for word in (machine.name, *machine.aliases)]
    twice = next((word for word in words if words.count(word) > 1), None)
    if twice:
        raise root.error(f"{twice!r} is used by two entries", name="machines")
    return machines


def _read_machine(tree: TreeReader, sources: dict[str, Source]) -> Machine:
    tree.expect_only(_FIELDS)
    id = tree.name("source")
    if id not in sources:
        raise tree.error(f"unknown source {id!r}", did_you_mean(id, sources), "source")
    written = tree.name("name")
    return Machine(
        written.lower(),
        tree.text("title") or written,
        tuple(alias.lower() for alias in tree.names("aliases")),
        gpu=tree.name("gpu").lower(),
        gpu_count=int(tree.number("gpu-count")),
        service=tree.text("service").lower(),
        fabric=tree.choice("fabric", FABRICS) if tree.text("fabric") else "",
        nics=int(tree.number("nics")),
        source=sources[id],
    )


def machine_layer(machine: Machine) -> Layer:
    """What a recipe for this machine has besides: all its GPUs must be there."""
    count = str(machine.gpu_count)
    why = f"{machine.title} has {count} GPU{'' if count == '1' else 's'}: one that is missing has failed, or is not passed through."
    limit = Constraint("GPU.smi.gpu-count", parse_expression(f"== {count}"), why, machine.source.id)
    return Layer(NAME, LayerKey(machine=machine.name), (machine.source,), (), (limit,) if machine.gpu_count else (), ())


def match_machine(text: str, catalog: Catalog) -> Machine | None:
    """The machine that a node's own name for its type stands for: ``p5.48xlarge``, ``DGXH100``, ``DGXH100 920-24387-2540-000``.

    Case and punctuation do not count, because firmware, labels and people write them differently.
    """
    words = {_folded(text), _folded(text.partition(" ")[0])} - {""}
    if not words:
        return None
    for entry in catalog.entries.get("machine", ()):
        if isinstance(entry, Machine) and not words.isdisjoint(map(_folded, (entry.name, *entry.aliases))):
            return entry
    return None


def _folded(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))
