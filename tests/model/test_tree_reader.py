"""The one reader of typed trees: what it gives, and the document, path, expectation and hint of each refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from eidos.errors import InvalidData, InvalidInput
from eidos.model.number_format import FloatLiteral
from eidos.model.tree_reader import ANY_SCALAR, QUOTED, TEXT_OR_NUMBER, TreeReader, read_mapping


def reader(text_types: tuple[type, ...] = TEXT_OR_NUMBER, **fields: object) -> TreeReader:
    return TreeReader({"a": [{"b": fields}]}, "x.yaml", text_types=text_types)


def inner(text_types: tuple[type, ...] = TEXT_OR_NUMBER, **fields: object) -> TreeReader:
    """The reader of a mapping below ``a[0].b``."""
    return next(iter(reader(text_types, **fields).mappings("a"))).mapping("b")


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (TreeReader.text, "t", "t"),
        (TreeReader.text, 1.5, "1.5"),
        (TreeReader.text, FloatLiteral(24.1, "24.10"), "24.10"),
        (TreeReader.name, "t", "t"),
        (TreeReader.texts, ["t", "", None, 1], ("t", "", "", "1")),
        (TreeReader.texts, ("t",), ("t",)),
        (TreeReader.names, ["t", 1], ("t", "1")),
        (TreeReader.text_map, {"k": 1, "l": None}, {"k": "1", "l": ""}),
        (TreeReader.scalars, {"k": 1, "l": True, "m": "", "n": 0.5}, {"k": 1, "l": True, "m": "", "n": 0.5}),
        (TreeReader.items, [1, None], [1, None]),
        (TreeReader.number, 0, 0),
        (TreeReader.number, 2.5, 2.5),
    ],
)
def test_values(read: Callable[[TreeReader, str], object], value: object, expected: object) -> None:
    assert read(inner(f=value), "f") == expected


@pytest.mark.parametrize("fields", [{}, {"f": None}])
def test_nothing_is_empty(fields: dict[str, Any]) -> None:
    tree = inner(**fields)
    assert (tree.text("f"), tree.texts("f"), tree.names("f"), tree.text_map("f"), tree.scalars("f")) == ("", (), (), {}, {})
    assert (list(tree.items("f")), list(tree.mappings("f")), tree.mapping("f").tree) == ([], [], {})
    assert TreeReader(None, "x.yaml").tree == {}


def test_defaults_stand_for_fields_that_are_absent() -> None:
    tree = inner()
    assert (tree.number("f"), tree.number("f", 3), tree.flag("f", True), tree.flag("f", False)) == (0, 3, True, False)


@pytest.mark.parametrize(
    ("read", "value", "reason"),
    [
        (TreeReader.mapping, [], "f: expected a mapping, found a list"),
        (TreeReader.mapping, 0, "f: expected a mapping, found a number"),
        (TreeReader.items, {}, "f: expected a list, found a mapping"),
        (TreeReader.items, "t", "f: expected a list, found text"),
        (TreeReader.text, True, "f: expected text, found true or false"),
        (TreeReader.text, {}, "f: expected text, found a mapping"),
        (TreeReader.text, object(), "f: expected text, found a object"),
        (TreeReader.name, "", "f: expected a name, found nothing"),
        (TreeReader.name, None, "f: expected a name, found nothing"),
        (TreeReader.texts, ["t", []], "f[1]: expected text, found a list"),
        (TreeReader.names, ["t", ""], "f[1]: expected a name, found nothing"),
        (TreeReader.text_map, {"k": []}, "f.k: expected text, found a list"),
        (TreeReader.text_map, {1: "t"}, "f: the key 1 is a number; keys must be text"),
        (TreeReader.scalars, {"k": None}, "f.k: expected a scalar, found nothing"),
        (TreeReader.number, -1, 'f: expected a number, found "-1"'),
        (TreeReader.number, True, 'f: expected a number, found "true"'),
        (TreeReader.number, float("nan"), 'f: expected a number, found "nan"'),
        (TreeReader.number, "9" * 50, 'f: expected a number, found "<withheld>"'),
        (TreeReader.number, None, "f: expected a number, found nothing"),
    ],
)
def test_refusals_name_document_and_path(read: Callable[[TreeReader, str], object], value: object, reason: str) -> None:
    with pytest.raises(InvalidData) as caught:
        read(inner(f=value), "f")
    assert caught.value.message == f"x.yaml: a[0].b.{reason}"


def test_the_top_of_a_document_has_no_path() -> None:
    with pytest.raises(InvalidData) as caught:
        TreeReader([], "x.yaml")
    assert caught.value.message == "x.yaml: expected a mapping, found a list"
    with pytest.raises(InvalidData) as caught:
        TreeReader({"f": []}, "x.yaml").text("f")
    assert caught.value.message == "x.yaml: f: expected text, found a list"


@pytest.mark.parametrize(
    ("text_types", "accepted"),
    [(ANY_SCALAR, ["t", 1, 0.5, True]), (TEXT_OR_NUMBER, ["t", 1, 0.5]), (QUOTED, ["t"])],
)
def test_a_document_decides_which_scalars_are_text(text_types: tuple[type, ...], accepted: list[object]) -> None:
    for value in ("t", 1, 0.5, True):
        tree = inner(text_types, f=value)
        if value in accepted and type(value) in map(type, accepted):
            assert tree.text("f") == str(value).lower()
        else:
            with pytest.raises(InvalidData) as caught:
                tree.text("f")
            assert caught.value.hint == "put it in quotes"


def test_flags_and_choices() -> None:
    assert inner(f=True).flag("f", False) is True
    with pytest.raises(InvalidData, match=r'b\.f: expected true or false, found "no"'):
        inner(f="no").flag("f", False)
    assert inner(f="a").choice("f", ("a", "b")) == inner(f="A").choice("f", ("a", "b"), ignore_case=True) == "a"
    for value in ("A", "c"):
        with pytest.raises(InvalidData) as caught:
            inner(color=value).choice("color", ("a", "b"))
        assert (caught.value.message, caught.value.hint) == (f'x.yaml: a[0].b.color: unknown color "{value}"', "valid values: a, b")
    with pytest.raises(InvalidData, match="expected a name, found nothing"):
        inner().choice("f", ("a", "b"))


def test_unknown_fields_are_answered_with_the_nearest_or_all() -> None:
    inner(version="1").expect_only(("version", "values"))
    with pytest.raises(InvalidData) as caught:
        inner(verison="1").expect_only(("version", "values"))
    assert (caught.value.message, caught.value.hint) == ("x.yaml: a[0].b: unknown field 'verison'", "did you mean 'version'?")
    for name, shown in (("Zq7kD02mWx91LpTe", "<withheld>"), ("nvidia.com/gpu", "nvidia.com/gpu"), ("a.Zq7kD02mWx91LpTe", "a.<withheld>")):
        fields: dict[str, Any] = {name: []}
        with pytest.raises(InvalidData, match=f"unknown field '{shown}'$"):
            inner(**fields).expect_only(())
        with pytest.raises(InvalidData, match=rf"x.yaml: a\[0\].b.{shown}: expected text"):
            inner(**fields).text(name)
    uuid, digits = "GPU-ab6ab95d-1a2b-3c4d-5e6f-0123456789ab", "enp1s0f0np0 ibp65s0 enx78e7d1ea46da RMForceP2PType IPv6DualStack h100x8"
    shown_names = [uuid, *digits.split(), "nvidia-driver-daemonset-7x2kq"]
    for name in (*shown_names, "enp1s0f0np0Zq7kD02mWx91LpTe", "enZq7kD02mWx91"):
        fields = {name: [1]}
        with pytest.raises(InvalidData) as caught:
            inner(**fields).text(name)
        assert caught.value.message.startswith(f"x.yaml: a[0].b.{name if name in shown_names else '<withheld>'}: expected text")
    assert [(name, error.hint) for name, error in inner(qqq="1", zzz="2").unknown(("version", "values"))] == [
        ("qqq", "valid fields: version, values"),
        ("zzz", "valid fields: version, values"),
    ]


def test_fields_under_other_names() -> None:
    def renamed(**fields: Any) -> dict[str, Any]:
        return inner(**fields).renamed({"osVersion": "osv"}).tree

    assert renamed(osVersion="1", gpu="x") == renamed(osv="1", gpu="x") == {"osv": "1", "gpu": "x"}
    assert renamed(osVersion="1", osv="2") == renamed(osv="2", osVersion="1") == {"osv": "2"}
    assert renamed(osVersion="1", osv=None) == {"osv": "1"}


def test_one_mapping_may_stand_for_a_list_of_them() -> None:
    tree = inner(f={"k": "t"})
    assert [(part.path, part.text("k")) for part in tree.mappings("f", or_one=True)] == [("a[0].b.f[0]", "t")]
    with pytest.raises(InvalidData, match=r"f: expected a list, found a mapping"):
        list(tree.mappings("f"))


def test_every_field_as_a_mapping() -> None:
    assert [(name, part.path) for name, part in inner(k={}, l=None).fields()] == [("k", "a[0].b.k"), ("l", "a[0].b.l")]
    with pytest.raises(InvalidData, match=r"a\[0\]\.b\.k: expected a mapping, found text"):
        list(inner(k="t").fields())


def test_errors_of_a_parser_get_the_path_and_keep_hint_and_excerpt() -> None:
    def parse(text: str) -> str:
        raise InvalidInput(f"{text} is wrong", "write it right", (text, 1))

    with pytest.raises(InvalidData) as caught:
        inner(f="t").parsed("f", parse)
    assert (caught.value.message, caught.value.hint, caught.value.excerpt) == ("x.yaml: a[0].b.f: t is wrong", "write it right", ("t", 1))
    assert isinstance(caught.value.__cause__, InvalidInput)
    assert inner(f=3).parsed("f", int) == 3


@pytest.mark.parametrize("tree", [None, [], "text", 0, False])
def test_the_top_of_a_document_is_a_mapping(tree: object) -> None:
    fields: dict[str, object] = {}
    assert read_mapping(fields, "x.yaml") is fields
    for more, words in (((), "a mapping"), (("a mapping of values",), "a mapping of values")):
        with pytest.raises(InvalidData) as caught:
            read_mapping(tree, "x.yaml", *more)
        assert caught.value.message == f"x.yaml: expected {words}"


def test_the_kind_of_a_document() -> None:
    for tree in ({}, {"kind": "Snapshot"}, {"kind": "Snapshot", "apiVersion": "v1"}):
        TreeReader(tree, "x.yaml").expect_kind("Snapshot", "v1", "h")
    for wrong, reason in (
        ({"kind": "Recipe"}, 'kind: expected Snapshot, found "Recipe"'),
        ({"kind": None}, "kind: expected Snapshot, found nothing"),
        ({"apiVersion": 2}, 'apiVersion: expected v1, found "2"'),
    ):
        with pytest.raises(InvalidData) as caught:
            TreeReader(wrong, "x.yaml").expect_kind("Snapshot", "v1", "h")
        assert (caught.value.message, caught.value.hint) == (f"x.yaml: {reason}", "h")
