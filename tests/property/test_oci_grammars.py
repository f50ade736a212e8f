"""Laws of what a registry and a user write: references, challenges, manifests."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.errors import EidosError, IntegrityError, InvalidInput
from eidos.oci.blob import Blob, BlobReader
from eidos.oci.image_manifest import (
    EMPTY,
    EMPTY_CONTENT,
    Descriptor,
    ImageManifest,
    index_to_bytes,
    parse_index,
    parse_manifest,
    sha256_digest,
)
from eidos.oci.reference import Reference, parse_reference
from eidos.oci.registry_auth import Challenge, parse_challenges

DIGESTS = st.binary(max_size=4).map(sha256_digest)
COMPONENTS = st.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}", fullmatch=True)
REPOSITORIES = st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join)
HOSTS = st.sampled_from(("localhost", "a", "registry.example.com", "192.0.2.1", "[2001:db8::1]", "A-b.example.com"))
PORTS = st.none() | st.integers(1, 65535)
TAGS = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", fullmatch=True)


@st.composite
def references(draw: st.DrawFn) -> Reference:
    port, digest = draw(PORTS), draw(st.just("") | DIGESTS)
    tag = draw(st.just("") | TAGS if digest else TAGS)
    return Reference(draw(HOSTS) + (f":{port}" if port else ""), draw(REPOSITORIES), tag, digest)


@given(references())
def test_a_reference_is_what_it_was_written_as(reference: Reference) -> None:
    assert parse_reference(str(reference)) == reference


@given(st.text(st.sampled_from("abZ0/:@.-_[] \n%é"), max_size=30))
def test_whatever_is_a_reference_is_one_by_the_specification(text: str) -> None:
    """The expressions of the distribution specification, as it writes them."""
    try:
        reference = parse_reference(f"oci://{text}")
    except InvalidInput:
        return
    assert re.fullmatch(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*", reference.repository)
    assert re.fullmatch(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", reference.tag) or reference.digest
    assert f"oci://{text}" in (str(reference), str(reference).removesuffix(":latest"))


@pytest.mark.parametrize(
    "text",
    [
        "oci://registry.example.com",
        "oci://registry.example.com/",
        "oci:///a",
        "oci://registry.example.com/A",
        "oci://registry.example.com/a//b",
        "oci://registry.example.com/a/",
        "oci://registry.example.com/a___b",
        "oci://registry.example.com/a:",
        "oci://registry.example.com/a:.x",
        "oci://registry.example.com/a:" + "x" * 129,
        "oci://registry.example.com/a@sha256:00",
        "oci://registry.example.com/a@sha512:" + "0" * 128,
        "oci://registry.example.com/a@",
        "oci://registry.example.com:0/a",
        "oci://registry.example.com:65536/a",
        "oci://registry.example.com:x/a",
        "oci://-a.example.com/a",
        "oci://registry.example.com/" + "a" * 255,
        "oci://registry.example.com/a?x=1",
        "oci://registry.example.com/a b",
        "docker://registry.example.com/a",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_reference(text)


def test_a_password_in_a_reference_is_not_repeated() -> None:
    with pytest.raises(InvalidInput) as fault:
        parse_reference("oci://user:hunter2@registry.example.com/a:v1")
    assert "hunter2" not in f"{fault.value.message} {fault.value.hint}"


TOKENS = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}", fullmatch=True)
CHALLENGES = st.lists(
    st.builds(
        Challenge,
        TOKENS.map(str.lower),
        st.dictionaries(
            TOKENS.map(str.lower), st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12), min_size=1, max_size=4
        ),
    ),
    min_size=1,
    max_size=4,
)


@given(CHALLENGES, st.sampled_from((", ", ",", " ,\t")))
def test_challenges_are_what_they_were_written_as(challenges: list[Challenge], comma: str) -> None:
    """Quoted, with escapes, in one header (RFC 9110, section 11.6.1)."""

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = comma.join(
        f"{challenge.scheme.title()} " + comma.join(f"{name}={quoted(text)}" for name, text in challenge.parameters.items())
        for challenge in challenges
    )
    assert list(parse_challenges(header)) == challenges


DESCRIPTORS = st.builds(
    Descriptor,
    st.sampled_from(("application/octet-stream", "text/plain")),
    DIGESTS,
    st.integers(0, 1 << 40),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)
MANIFESTS = st.builds(
    ImageManifest,
    st.sampled_from(("application/vnd.example.v1", "a/b")),
    st.lists(DESCRIPTORS, max_size=3).map(tuple),
    st.just(EMPTY),
    st.none() | st.builds(Descriptor, st.just("a/b"), DIGESTS, st.integers(0, 100)),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)


@given(MANIFESTS)
def test_a_manifest_is_what_it_was_written_as(manifest: ImageManifest) -> None:
    data = manifest.to_bytes()
    assert parse_manifest(data, "x") == manifest
    assert parse_manifest(data, "x").to_bytes() == data


@given(st.lists(DESCRIPTORS, max_size=3))
def test_an_index_is_what_it_was_written_as(manifests: list[Descriptor]) -> None:
    assert list(parse_index(index_to_bytes(manifests), "x")) == manifests


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 62) | st.text(max_size=5) | DIGESTS,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(MANIFESTS, st.data())
def test_a_field_of_another_form_is_refused_or_ignored(manifest: ImageManifest, data: st.DataObject) -> None:
    """Never anything but a manifest or the documented error."""
    tree = json.loads(manifest.to_bytes())
    where = data.draw(st.sampled_from([tree, tree["config"], *tree["layers"]]))
    where[data.draw(st.sampled_from(sorted(where)))] = data.draw(JSON)
    with contextlib.suppress(EidosError):
        assert isinstance(parse_manifest(json.dumps(tree).encode(), "x"), ImageManifest)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"kind: x", b"\xff", b'{"schemaVersion": 1}', b'{"a": 1, "a": 2}', b"{" + b" " * (5 << 20)]
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse_manifest(data, "x")


def test_the_empty_descriptor_is_that_of_the_specification() -> None:
    assert (EMPTY.digest, EMPTY.size) == (sha256_digest(EMPTY_CONTENT), 2)


@given(st.lists(st.binary(max_size=9), max_size=5), st.integers(0, 50), st.integers(0, 50), st.integers(1, 7))
def test_a_part_of_a_blob_is_that_part(pieces: list[bytes], offset: int, size: int, count: int) -> None:
    """However it is in pieces, and however much is read at once."""
    data = b"".join(pieces)
    offset = min(offset, len(data))
    size = min(size, len(data) - offset)
    reader = BlobReader(Blob("", len(data), lambda: iter(pieces)), offset, size)
    parts = list(iter(lambda: reader.read(count), b""))
    assert all(len(part) <= count for part in parts)
    assert b"".join(parts) == data[offset : offset + size]
