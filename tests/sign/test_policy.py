"""Policies: what they say, where they are wrong, and what does not hold."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from eidos.bundle.bundle_options import BundleOptions, parse_assignment
from eidos.bundle.tar_archive import pack_tar_gz
from eidos.cli.schema import document_schema
from eidos.errors import InvalidData, InvalidInput
from eidos.model.bundle import STATEMENT
from eidos.sign.key_forms import KINDS, is_fingerprint, read_private_key, read_public_key
from eidos.sign.openssh_signature import public_key
from eidos.sign.openssl_signature import HASHES, MessageSignature, format_sigstore_bundle, parse_sigstore_bundle
from eidos.sign.signature_policy import _Provenance, parse_policy
from eidos.workflow import make_bundle, make_recipe
from tests.sign.keys import Keys
from tests.support.program import Run

PGP = "A1" * 20
EITHER = "signatures[0]: expected either keys or allowed-signers"

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no list": ({}, "signatures: expected at least one entry"),
    "another kind": ({"kind": "Recipe"}, "kind"),
    "a field too many": ({"signature": []}, "unknown field 'signature'"),
    "keys and signers": (
        {"signatures": [{"keys": [PGP], "allowed-signers": "x"}]},
        EITHER,
    ),
    "neither": ({"signatures": [{"threshold": 1}]}, EITHER),
    "identities that are nobody": (
        {"signatures": [{"allowed-signers": "x", "identities": []}]},
        "signatures[0].identities: expected at least one name",
    ),
    "identities left empty": (
        {"signatures": [{"allowed-signers": "x", "identities": None}]},
        "signatures[0].identities: expected at",
    ),
    "no keys beside signers": ({"signatures": [{"allowed-signers": "x", "keys": []}]}, "signatures[0].keys: expected at least one name"),
    "identities of keys": ({"signatures": [{"keys": [PGP], "identities": ["a"]}]}, "signatures[0].identities"),
    "more than there are": (
        {"signatures": [{"keys": [PGP], "threshold": 2}]},
        "threshold: expected a whole number from 1 to 1",
    ),
    "none of them": ({"signatures": [{"keys": [PGP], "threshold": 0}]}, "signatures[0].threshold"),
    "one and a half": ({"signatures": [{"keys": [PGP, "B2" * 20], "threshold": 1.5}]}, "signatures[0].threshold"),
    "a key that is none": ({"signatures": [{"keys": ["/dev/null"]}]}, "signatures[0]: --key: /dev/null is not a public key"),
    "no such key": ({"signatures": [{"keys": [PGP]}, {"keys": ["none.pub"]}]}, "signatures[1]: --key: none.pub: no such file"),
    "an empty list": ({"signatures": [{"keys": [PGP]}], "provenance": {"program": []}}, "provenance.program: expected at least one value"),
    "no such field": ({"signatures": [{"keys": [PGP]}], "provenance": {"programm": ["1"]}}, "unknown field 'programm'"),
    "a plug-in without digest": (
        {"signatures": [{"keys": [PGP]}], "provenance": {"plugins": ["acme"]}},
        "plugins[0]: expected NAME@sha256:DIGEST",
    ),
    "no list of values": ({"signatures": [{"keys": [PGP]}], "provenance": {"query": {"gpu": "h100"}}}, "provenance.query.gpu"),
}


def test_the_schema_accepts_what_the_reader_accepts() -> None:
    schema = Draft202012Validator(document_schema("policy"))
    good: dict[str, Any] = {
        "kind": "SignaturePolicy",
        "apiVersion": "policy.dgxc.io/v1",
        "signatures": [{"keys": [PGP, "B2" * 20], "threshold": 2}],
        "provenance": {
            "program": ["0.1.0"],
            "recipe": ["0" * 64],
            "query": {"gpu": ["h100"]},
            "builder": ["x"],
            "build-type": ["x"],
            "options": {"registry": ["x"]},
            "plugins": [],
        },
    }
    assert parse_policy(good, "policy.yaml").rules and not list(schema.iter_errors(good))
    outside = {"more than there are", "a key that is none", "no such key"}  # what no schema knows
    assert {name for name, (tree, _) in WRONG.items() if not list(schema.iter_errors(tree))} == outside


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_named_with_its_location(name: str) -> None:
    tree, reason = WRONG[name]
    with pytest.raises(InvalidData) as caught:
        parse_policy(tree, "policy.yaml")
    assert caught.value.message.startswith("policy.yaml: ") and reason in caught.value.message


FIELDS = st.sampled_from(["signatures", "keys", "threshold", "provenance", "query", "x"])
SCALARS = st.none() | st.text(max_size=9) | st.integers() | st.floats()


@given(st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4)))
def test_any_tree_is_a_policy_or_invalid(tree: object) -> None:
    with contextlib.suppress(InvalidData):
        assert parse_policy(tree, "policy.yaml").rules


@given(st.binary(max_size=80))
def test_any_bytes_are_a_signature_or_invalid(data: bytes) -> None:
    begin, end = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
    for content in (data, begin + data + end):
        with contextlib.suppress(ValueError):
            assert public_key(content)
    with contextlib.suppress(InvalidData):
        assert parse_sigstore_bundle(data, "x").signature


@given(
    st.binary(min_size=1, max_size=80),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    st.sampled_from(list(HASHES)),
)
def test_a_sigstore_bundle_is_read_as_it_was_written(signature: bytes, digest: bytes, key: bytes, algorithm: str) -> None:
    message = MessageSignature(signature, digest, key, algorithm)
    data = format_sigstore_bundle(message)
    assert parse_sigstore_bundle(data, "x") == message
    tree = json.loads(data)
    for absent in (dict[str, str](), None):
        text = json.dumps({**tree, "messageSignature": {**tree["messageSignature"], "messageDigest": absent}})
        assert parse_sigstore_bundle(text.encode(), "x") == MessageSignature(signature, b"", key)
    for field, change in (
        ("mediaType", {"mediaType": "application/json"}),
        ("verificationMaterial", {"verificationMaterial": {"certificate": {"rawBytes": "AA=="}}}),
        ("algorithm", {"messageSignature": {**tree["messageSignature"], "messageDigest": {"algorithm": "SHA1", "digest": "AA=="}}}),
        ("signature", {"messageSignature": {**tree["messageSignature"], "signature": "A"}}),
    ):
        with pytest.raises(InvalidData, match=field):
            parse_sigstore_bundle(json.dumps({**tree, **change}).encode(), "x")


@given(st.binary(max_size=200))
def test_any_file_is_a_key_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "key"
    for content in (data, b"-----BEGIN " + data, b"ssh-" + data):
        path.write_bytes(content)
        for read in (read_private_key, read_public_key):
            with contextlib.suppress(InvalidInput):
                assert read(str(path)).kind in KINDS


SSH_LINE = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me@example.com"
PEM = b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (SSH_LINE, SSH_LINE),
        (b"\xef\xbb\xbf# of the release\r\n\r\n" + SSH_LINE + b"\r\n", SSH_LINE),
        (PEM.replace(b"\n", b"\r\n"), PEM.replace(b"\n", b"\r\n")),
        (SSH_LINE + b"\n" + SSH_LINE + b"\n", "has 2 keys; expected one"),
        (PEM * 3, "has 3 keys; expected one"),
        (b'command="x" ' + SSH_LINE, "is not a public key"),
        (SSH_LINE.replace(b"ed25519", b"ed25519-cert-v01@openssh.com"), "is a certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is not a public key"),
    ],
)
def test_forms_of_public_keys(tmp_path: Path, content: bytes, expected: bytes | str) -> None:
    path = tmp_path / "key.pub"
    path.write_bytes(content)
    if isinstance(expected, bytes):
        assert read_public_key(str(path)).data == expected
    else:
        with pytest.raises(InvalidInput, match=expected):
            read_public_key(str(path))


def test_a_short_id_of_a_key_is_no_fingerprint() -> None:
    assert [is_fingerprint(text) for text in (PGP, f"0x{PGP}", "A1" * 32, "A1" * 8, PGP + "a", "g1" * 20, "")] == [True] * 3 + [False] * 4


def test_thresholds_signers_and_provenance(tmp_path: Path, keys: Keys, eidos: Run) -> None:
    options = BundleOptions(components=("cert-manager",))
    path, policy = tmp_path / "bundle.tar.gz", tmp_path / "policy.yaml"
    files = make_bundle(make_recipe({"gpu": "h100", "service": "eks"}), options).files
    path.write_bytes(pack_tar_gz(files))
    for name in ("ssh", "other", "third"):
        (tmp_path / f"{name}.pub").write_text(Path(keys[name].public).read_text())
    (tmp_path / "signers").write_text(f"a@example.com {(tmp_path / 'other.pub').read_text()}")

    def verify(text: str) -> tuple[int, str]:
        policy.write_text(f"kind: SignaturePolicy\napiVersion: policy.dgxc.io/v1\nsignatures:\n{text}")
        done = eidos("verify", str(path), "--policy", str(policy))
        return done.status, done.err

    assert eidos("sign", str(path), "--key", keys["ssh"].private).status == 0
    one, two = "  - keys: [ssh.pub, other.pub, third.pub]\n", "  - {keys: [ssh.pub, other.pub, third.pub], threshold: 2}\n"
    assert verify(one) == (0, "")
    assert verify(two) == (5, f"error: {path}: signatures[0]: 2 must have signed, and 1 did\n")
    signers = "  - {allowed-signers: signers, identities: [a@example.com]}\n"
    assert verify(one + signers) == (5, f"error: {path}: signatures[1]: not signed by a@example.com\n")
    (tmp_path / "copy.pub").write_text((tmp_path / "ssh.pub").read_text())
    status, err = verify("  - {keys: [ssh.pub, copy.pub], threshold: 2}\n")
    assert status == 2 and "threshold: expected a whole number from 1 to 1" in err, "one key under two names is one key"
    assert eidos("sign", str(path), "--key", keys["other"].private).status == 0
    assert verify(two + signers) == (0, "")
    assert verify("  - keys: [copy.pub]\n" + signers + one) == (0, "")
    provenance = "provenance: {program: ['0.1.0'], query: {gpu: [a100, h100], service: [eks]}}\n"
    assert verify(one + provenance)[0] == 0
    status, err = verify(one + "provenance: {query: {gpu: [a100], intent: [training]}, commit: [x]}\n")
    assert status == 5 and err.splitlines() == [
        f"error: {path}: provenance.commit: the statement has 'unknown'",
        f"error: {path}: provenance.query.gpu: the statement has 'h100'",
        f"error: {path}: provenance.query.intent: the statement has none",
    ]
    statement = json.loads(files[STATEMENT])
    digests = {entry["name"]: entry["digest"]["sha256"] for entry in statement["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert verify(one + f"provenance: {{recipe: [{digests['recipe.yaml']}], program-data: [{digests['program-data']}]}}\n")[0] == 0
    assert eidos("verify", str(path), "--policy", str(tmp_path / "none.yaml")).status == 2
    builder = "builder: ['https://eidos.dgxc.io/eidos'], build-type: ['https://eidos.dgxc.io/bundle/v1'], plugins: []"
    assert verify(one + f"provenance: {{{builder}, options: {{bundlers: [cert-manager, x]}}}}\n")[0] == 0
    shown = eidos("verify", str(path), "--policy", str(policy)).out.splitlines()
    assert "checked: what the statement says: builder, build-type, options.bundlers, plugins" in shown
    assert "not checked: what the statement says: program, commit, recipe, recipe-data, program-data, query.service, query.gpu" in shown


PLUGIN = "acme@sha256:" + 64 * "a"
STATEMENT_TREE = {
    "predicate": {
        "buildDefinition": {
            "buildType": "t",
            "externalParameters": {
                "query": {"gpu": "h100"},
                "options": {"registry": "m", "node-agent": True, "namespaces": {"": "gpu"}, "set": ["a:b", "c:d"], "plugin": [PLUGIN]},
            },
            "resolvedDependencies": [{"name": "plugin/acme", "digest": {"sha256": 64 * "a"}}],
        },
        "runDetails": {"builder": {"id": "b"}},
    }
}
OTHER_OPTIONS = {"registry": ["m"], "node-agent": ["true"], "namespaces": ["=gpu"], "set": ["a:b", "c:d"]}


@pytest.mark.parametrize(
    ("provenance", "refused"),
    [
        ({"builder": ["b"], "build-type": ["x", "t"], "options": OTHER_OPTIONS, "plugins": [PLUGIN]}, []),
        ({"builder": ["c"], "build-type": ["u"]}, ["builder: the statement has 'b'", "build-type: the statement has 't'"]),
        ({"program": ["1"]}, ["program: the statement has none"]),
        ({"options": {**OTHER_OPTIONS, "set": ["a:b"]}, "plugins": [PLUGIN]}, ["options.set: the statement has 'c:d'"]),
        ({"options": {**OTHER_OPTIONS, "deployer": ["argocd"]}, "plugins": [PLUGIN]}, ["options.deployer: the statement has none"]),
        ({"options": {}, "plugins": [PLUGIN]}, [f"options.{name}: the statement has it, and the policy has not" for name in OTHER_OPTIONS]),
        ({"options": OTHER_OPTIONS}, [f"plugins: the statement has {PLUGIN!r}"]),
        ({"plugins": []}, [f"plugins: the statement has {PLUGIN!r}"]),
        ({"plugins": ["acme@sha256:" + 64 * "b"]}, [f"plugins: the statement has {PLUGIN!r}"]),
    ],
)
def test_what_a_statement_must_say(provenance: dict[str, Any], refused: list[str]) -> None:
    policy = parse_policy({"signatures": [{"keys": [PGP]}], "provenance": provenance}, "policy.yaml")
    assert _Provenance(STATEMENT_TREE).refused(policy) == [f"provenance.{sentence}" for sentence in refused]


def test_files_and_folders_are_options() -> None:
    """Of every input that the statement has besides recipe, data and program."""
    names = ["templates", "data", "existing", "values/a", "values/b", "images/index.json", "a/charts/a-1.tgz", "profile", "waivers"]
    always = ["recipe.yaml", "recipe-data", "program-data", "plugin/acme", "snapshot.yaml", "snapshots"]
    inputs = [{"name": name, "digest": {"sha256": 64 * "a"}} for name in names + always]
    statement = _Provenance({"predicate": {"buildDefinition": {"resolvedDependencies": inputs}}})
    none = parse_policy({"signatures": [{"keys": [PGP]}], "provenance": {"options": {}}}, "policy.yaml")
    options = ["templates", "data", "existing", "values", "images", "charts", "profile", "waivers"]
    expected = [f"provenance.options.{name}: the statement has it, and the policy has not" for name in options]
    assert statement.refused(none) == [*expected, f"provenance.plugins: the statement has {PLUGIN!r}"]
    accepted = {name: [64 * "a"] for name in options}
    accepted.update({"values": [f"values/{name}={64 * 'a'}" for name in "ab"], "images": [f"images/index.json={64 * 'a'}"]})
    accepted["charts"] = [f"a/charts/a-1.tgz={64 * 'a'}"]
    all_of_them = {"signatures": [{"keys": [PGP]}], "provenance": {"options": accepted, "plugins": [PLUGIN]}}
    assert statement.refused(parse_policy(all_of_them, "policy.yaml")) == []


def test_a_policy_of_options_refuses_templates_and_values(tmp_path: Path, keys: Keys, eidos: Run) -> None:
    (tmp_path / "templates" / "cert-manager").mkdir(parents=True)
    (tmp_path / "templates" / "cert-manager" / "README.md").write_text("# Mine\n")
    (tmp_path / "values.yaml").write_text("replicaCount: 2\n")
    recipe, policy, path = (str(tmp_path / name) for name in ("recipe.json", "policy.json", "bundle.tar.gz"))
    Path(recipe).write_text(json.dumps(make_recipe({"gpu": "h100", "service": "eks"}).to_tree()))
    tree = {"signatures": [{"keys": [keys["ssh"].public]}], "provenance": {"options": {"bundlers": ["cert-manager"]}}}
    Path(policy).write_text(json.dumps(tree))
    for flag, value in (("", ""), ("templates", str(tmp_path / "templates")), ("values", f"cert-manager={tmp_path / 'values.yaml'}")):
        more = (f"--{flag}", value) if flag else ()
        assert eidos("bundle", "-f", recipe, "--archive", path, "--force", "-b", "cert-manager", *more).status == 0
        assert eidos("sign", path, "--key", keys["ssh"].private).status == 0
        done = eidos("verify", path, "--policy", policy)
        assert done.status == (5 if flag else 0), done
        if flag:
            assert f"provenance.options.{flag}: the statement has it, and the policy has not" in done.err
            assert f", options.{flag}" in eidos("verify", path, "--key", keys["ssh"].public).out, "as not checked"


def test_an_input_that_a_statement_names_twice_has_two_digests() -> None:
    good, bad = 64 * "a", 64 * "b"
    inputs = [{"name": name, "digest": {"sha256": digest}} for name in ("plugin/acme", "recipe.yaml") for digest in (bad, good)]
    tree = {"predicate": {"buildDefinition": {"resolvedDependencies": inputs}}}
    provenance = {"recipe": [good], "plugins": [PLUGIN]}
    policy = parse_policy({"signatures": [{"keys": [PGP]}], "provenance": provenance}, "policy.yaml")
    other = f"acme@sha256:{bad}"
    expected = [f"provenance.recipe: the statement has {bad!r}", f"provenance.plugins: the statement has {other!r}"]
    assert _Provenance(tree).refused(policy) == expected
    only_option = {"predicate": {"buildDefinition": {"externalParameters": {"options": {"plugin": [other]}}}}}
    assert _Provenance(only_option).refused(policy) == ["provenance.recipe: the statement has none", expected[1]]


def test_every_option_of_a_bundle_is_in_its_statement_and_no_value(tmp_path: Path) -> None:
    recipe = make_recipe({"gpu": "h100", "service": "eks"})

    def statement(**options: Any) -> bytes:
        return make_bundle(recipe, BundleOptions(components=("cert-manager",), **options)).files[STATEMENT]

    plain = statement()
    assert statement() == plain == statement(parallel=True, fail_fast=True)
    (tmp_path / "templates").mkdir()
    different = [
        statement(assignments=(parse_assignment("cert-manager:crds.enabled=false"),)),
        statement(namespaces={"": "gpu"}),
        statement(registry="mirror.example.com/x"),
        statement(accelerated_node_selector={"gpu": "h100"}),
        statement(system_tolerations=({"operator": "Exists"},)),
        statement(templates=str(tmp_path / "templates")),
        statement(deployer="argocd", repo="https://git.example.com/x.git", path="gpu"),
    ]
    trees = [json.loads(data)["predicate"]["buildDefinition"] for data in (plain, *different)]
    assert len({json.dumps([tree["externalParameters"], tree["resolvedDependencies"]]) for tree in trees}) == len(trees)
    assert trees[1]["externalParameters"]["options"] == {"bundlers": ["cert-manager"], "set": ["cert-manager:crds.enabled"]}
    assert str(tmp_path).encode() not in b"".join(different)
