"""Laws of bundles: whatever a value holds comes out as it went in, and no document breaks the program."""

from __future__ import annotations

import io
import subprocess
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eidos import formats
from eidos.bundle import checksums, tar_archive, zip_archive
from eidos.bundle.bundle_options import parse_assignment
from eidos.bundle.chart_values import assign_value, get_value
from eidos.errors import EidosError, IntegrityError, InvalidData
from eidos.model import bundle, values_schema
from eidos.model.recipe import Recipe, overlay_tree
from eidos.templates.text_template import fill_text, parse_template
from eidos.templates.tree_template import fill_tree
from tests.support.bundle_files import build
from tests.support.effort import examples

TRAPS = [
    "'",
    '"',
    "\n",
    "${HOME}",
    "$(id)",
    "`id`",
    "{{ x }}",
    "a: b",
    "# x",
    " #",
    "@{x}",
    "@@{x}",
    "@",
    "\U0001f600",
    "\\",
    "-n",
    "x" * 65536,
    "",
    " ",
]

# What YAML and a process's arguments can both hold.
texts = st.one_of(st.sampled_from(TRAPS), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
many = st.lists(texts, min_size=1, max_size=4).map("".join)


def filled(path: str, template: str, names: dict[str, Any]) -> str:
    """A template of text, filled in."""
    return fill_text(path, parse_template(template), names)


@settings(max_examples=examples(300))
@given(many)
@example("".join(TRAPS))
def test_a_value_comes_out_of_yaml_as_it_went_in(text: str) -> None:
    tree = fill_tree({"whole": "@{x}", "part": "<@{x}>", "list": ["@{x}"]}, {"x": text})
    assert tree == {"whole": text, "part": f"<{text}>", "list": [text]}
    assert yaml.safe_load(formats.to_yaml(tree)) == tree


@settings(max_examples=examples(60))
@given(st.lists(many, min_size=1, max_size=5))
@example(TRAPS)
def test_a_value_comes_out_of_bash_as_it_went_in(words: list[str]) -> None:
    template = 'one=@{one}\nmany=(@{many})\nprintf \'%s\\0\' "$one" "${many[@]}"\n'
    script = filled("a.sh", template, {"one": words[0], "many": words})
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-s"], input=script.encode(), stdout=subprocess.PIPE, env={"LC_ALL": "C.UTF-8"}, check=True
    )
    assert done.stdout.decode().split("\0")[:-1] == [words[0], *words]


@settings(max_examples=examples(300))
@given(many)
def test_a_value_in_markdown_stays_on_its_line(text: str) -> None:
    page = filled("a.md", "before @{x} after\n\n| `@{x}` | @{x} |\n```\nrun @{x}\n```\nend\n", {"x": text})
    assert len(page.splitlines()) == 7
    assert page.splitlines()[2].replace("\\|", "").count("|") >= 3


trees = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)),
    max_leaves=8,
)
mappings = st.dictionaries(st.sampled_from("abcd"), trees, max_size=4)


@given(mappings, mappings)
def test_laying_over_is_idempotent_and_shares_nothing(below: dict[str, Any], above: dict[str, Any]) -> None:
    once: dict[str, Any] = {}
    overlay_tree(once, below)
    overlay_tree(once, above)
    twice: dict[str, Any] = {}
    overlay_tree(twice, once)
    overlay_tree(twice, above)
    assert twice == once
    for path, value in values_schema.iterate_leaves(above):
        if path:
            assert get_value(once, path) == value or value == {}


keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)


@given(st.lists(keys, min_size=1, max_size=4))
def test_a_path_comes_back_from_its_text(path: list[str]) -> None:
    assert values_schema.parse_path(values_schema.format_path(path)) == tuple(path)


@given(st.text(max_size=30), st.text(max_size=20))
def test_any_assignment_is_made_or_refused(path: str, value: str) -> None:
    tree: dict[str, Any] = {"a": {"b": [1]}}
    try:
        assign_value(tree, parse_assignment(f"x:{path}={value}"), None)
    except EidosError:
        return
    formats.to_yaml(tree)


@given(
    st.dictionaries(st.text(st.sampled_from("ab/."), min_size=1, max_size=8).filter(bundle.is_inside), st.binary(max_size=50), max_size=5)
)
def test_an_archive_gives_back_what_was_packed(files: dict[str, bytes]) -> None:
    keep = frozenset(tar_archive.ROOT + path for path in files)
    for members in (
        tar_archive.read_members(io.BytesIO(tar_archive.pack_tar_gz(files)), "x", keep),
        zip_archive.read_zip_members(io.BytesIO(zip_archive.pack_zip(files)), "x", keep),
    ):
        unpacked = {tar_archive.relative_path(member.path): member for member in members if not member.kind}
        assert {path: member.content for path, member in unpacked.items()} == files
        assert {path: member.digest for path, member in unpacked.items()} == {path: checksums.sha256(files[path]) for path in files}
    digests = {path: checksums.sha256(content) for path, content in files.items()}
    assert checksums.parse_checksums(checksums.format_checksums(files), "x") == digests


@settings(max_examples=examples(200))
@given(st.binary(max_size=2000))
def test_any_bytes_are_an_archive_or_none(data: bytes) -> None:
    for archive in (data, tar_archive.pack_tar_gz({"a": data})[: len(data)], tar_archive.pack_tar_gz({"a": b"x"})[:10] + data):
        try:
            list(tar_archive.read_members(io.BytesIO(archive), "x"))
        except IntegrityError:
            continue


@settings(max_examples=examples(200))
@given(st.binary(max_size=400), st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=4)), max_size=4))
def test_any_bytes_are_a_zip_file_or_none(data: bytes, changes: list[tuple[int, bytes]]) -> None:
    archive = bytearray(zip_archive.pack_zip({"a/b": data, "c": b""}))
    for at, piece in changes:
        archive[at : at + len(piece)] = piece
    for content in (data, bytes(archive)):
        try:
            list(zip_archive.read_zip_members(io.BytesIO(content), "x"))
        except IntegrityError:
            continue


@settings(max_examples=examples(60))
@given(
    st.dictionaries(
        st.sampled_from(["kind", "metadata", "request", "matchedRules", "measurements", "components", "constraints"]), trees, max_size=5
    )
)
def test_any_tree_is_a_recipe_or_none(tree: dict[str, Any]) -> None:
    measurements = [
        {"type": "K8s", "subtypes": [{"subtype": "image", "data": {"gpu-operator": "v1"}}, {"subtype": "config", "data": {"cdi": True}}]}
    ]
    for document in (tree, {**tree, "kind": "Recipe", "measurements": measurements}):
        try:
            bundle = build(Recipe.from_tree(document, "recipe.yaml"), parallel=False)
        except EidosError:
            continue
        assert bundle.files or bundle.errors


@settings(max_examples=examples(20))
@given(st.dictionaries(st.sampled_from(["driver", "gpu-operator", "dcgm", "container-toolkit"]), many, min_size=1))
def test_readings_come_out_of_a_bundle_as_they_went_in(images: dict[str, str]) -> None:
    data = {"gpu-operator": "v26.7.0", **images}
    subtypes = [{"subtype": "image", "data": data}, {"subtype": "config", "data": {"cdi": True}}]
    try:
        bundle = build(Recipe.from_tree({"measurements": [{"type": "K8s", "subtypes": subtypes}]}, "recipe.yaml"), parallel=False)
    except InvalidData:
        assert data["gpu-operator"] == ""
        return
    assert not bundle.errors
    values = yaml.safe_load(bundle.files["gpu-operator/values.yaml"])
    if images.get("driver"):
        assert values["driver"]["version"] == images["driver"]
    for path, content in bundle.files.items():
        if path.endswith(".sh"):
            subprocess.run(["bash", "-n"], input=content, check=True)
