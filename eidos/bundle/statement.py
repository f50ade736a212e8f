"""What a bundle says of its origin: an in-toto statement with SLSA provenance, which signatures sign.

Knows both formats (in-toto attestation framework v1, "Statement"; SLSA v1.0, "Build: Provenance"); must not know who signs, nor how. The
subject is ``checksums.txt``, which lists every other file. It names what the bundle follows from: the query and the options, the recipe and
the data by digest, and the program. It holds no time of day, no name of a machine or a path, and of values that were set only where: the
values are in the bundle itself.
"""

from __future__ import annotations

from eidos import __version__
from eidos.bundle.checksums import sha256
from eidos.files import resources
from eidos.formats import DEPTH, LIMIT, VALUES, to_json
from eidos.model.bundle import CHECKSUMS, IMAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from eidos.bundle.bundle_options import BundleOptions
    from eidos.model.recipe import Recipe

STATEMENT_TYPE, PREDICATE_TYPE = "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"

#: Identifiers, not addresses: what kind of build it is, and who did it.
BUILD_TYPE, BUILDER = "https://eidos.dgxc.io/bundle/v1", "https://eidos.dgxc.io/eidos"
EVIDENCE_BUILD_TYPE = "https://eidos.dgxc.io/evidence/v1"

#: Options that change no byte of a bundle, and those that the statement has in another form.
_OMITTED = (
    "assignments",
    "charts",
    "components",
    "data",
    "existing",
    "fail_fast",
    "images",
    "images_archive",
    "parallel",
    "plugins",
    "templates",
    "values",
)

#: The digest of the built-in recipe data, once it was worked out: a checkout reads every file for it.
_data_digest: list[str] = []


def format_statement(files: Mapping[str, bytes], recipe: Recipe, options: BundleOptions) -> bytes:
    """The statement about the files of a bundle, its checksums among them."""
    parameters = {"query": recipe.request.to_tree(), "options": _options_tree(options)}
    return _format(files, BUILD_TYPE, parameters, _dependencies(files, recipe, options))


def format_evidence_statement(files: Mapping[str, bytes], parameters: Mapping[str, Any], digests: Mapping[str, str]) -> bytes:
    """The statement about evidence of nodes: ``parameters`` is what the user chose, ``digests`` are SHA-256 of inputs by name."""
    return _format(files, EVIDENCE_BUILD_TYPE, parameters, {**digests, "program-data": _program_data_digest()})


def _format(files: Mapping[str, bytes], build_type: str, parameters: Mapping[str, Any], digests: Mapping[str, str]) -> bytes:
    definition: dict[str, Any] = {
        "buildType": build_type,
        "externalParameters": dict(parameters),
        "resolvedDependencies": [{"name": name, "digest": {"sha256": digest}} for name, digest in digests.items() if _is_sha256(digest)],
    }
    commit = resources.build_commit()
    builder: dict[str, Any] = {"id": BUILDER, "version": {"eidos": __version__, "commit": commit}}
    if len(commit) == 40:  # neither unknown nor with changes that are in no commit
        builder["builderDependencies"] = [{"name": "eidos", "digest": {"gitCommit": commit}}]
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": CHECKSUMS, "digest": {"sha256": sha256(files[CHECKSUMS])}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"buildDefinition": definition, "runDetails": {"builder": builder}},
    }
    return _serialize(statement)


def _options_tree(options: BundleOptions) -> dict[str, Any]:
    """The options that differ from their defaults, in the words of the command line."""
    tree: dict[str, Any] = {}
    if options.components is not None:
        tree["bundlers"] = list(options.components)
    if options.assignments:
        tree["set"] = [str(assignment) for assignment in options.assignments]
    if options.plugins:
        tree["plugin"] = [plugin.reference() for plugin in options.plugins]
    for name, value in options.__dict__.items():
        if value and name not in _OMITTED and value != getattr(type(options), name):
            tree[name.replace("_", "-")] = list(value) if isinstance(value, tuple) else value
    return tree


def _dependencies(files: Mapping[str, bytes], recipe: Recipe, options: BundleOptions) -> dict[str, str]:
    """What the bundle follows from besides its options: name and digest."""
    digests = {"recipe.yaml": sha256(files["recipe.yaml"]), "recipe-data": recipe.digest, "program-data": _program_data_digest()}
    for reference in (*recipe.plugins, *(plugin.reference() for plugin in options.plugins)):
        name, _, digest = reference.partition("@sha256:")
        is_other = digests.get(f"plugin/{name}", digest) != digest  # of the same name, such as a newer one than made the recipe
        digests[f"plugin/{reference if is_other else name}"] = digest
    for values in options.values:
        digests[f"values/{values.component}"] = _digest_of_tree(values.tree)
    for name, folder in (("templates", options.templates), ("data", options.data)):
        if folder is not None:
            digests[name] = resources.digest_of_folder(folder)
    if options.existing is not None:  # its readings: when they were taken, and for how long, is another matter
        readings = options.existing.to_tree()["measurements"]
        digests["existing"] = _digest_of_tree(readings)
    index = f"{IMAGES}index.json"  # which has the digest of each image
    if options.images is not None and index in files:
        digests[index] = sha256(files[index])
    if options.charts is not None:
        digests.update({path: sha256(content) for path, content in files.items() if path.endswith(".tgz")})
    return digests


def _program_data_digest() -> str:
    if not _data_digest:
        _data_digest.append(resources.data_digest())
    return _data_digest[0]


def _digest_of_tree(tree: object) -> str:
    import json

    return sha256(json.dumps(tree, sort_keys=True, default=str).encode())


def _is_sha256(text: str) -> bool:
    """Whether a digest is one in hexadecimal; that of a recipe of somebody else may be any text."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def statement_problem(data: bytes, digest: str) -> str:
    """Why ``data`` is not a statement about checksums with this SHA-256, in the form that eidos writes; empty when it is."""
    from eidos.formats.json_reader import parse_json
    from eidos.formats.source_text import DocumentSyntaxError, decode

    try:
        tree = parse_json(decode(data, LIMIT), DEPTH, VALUES)
        is_canonical = _serialize(tree) == data
    except (DocumentSyntaxError, RecursionError):
        return "not JSON"
    if not isinstance(tree, dict) or tree.get("_type") != STATEMENT_TYPE or tree.get("predicateType") != PREDICATE_TYPE:
        return f"not an in-toto statement with {PREDICATE_TYPE}"
    if tree.get("subject") != [{"name": CHECKSUMS, "digest": {"sha256": digest}}]:
        return f"it is not about this {CHECKSUMS}"
    return "" if is_canonical else "not in the form that eidos writes"


def _serialize(tree: Any) -> bytes:
    return to_json(tree).encode()
