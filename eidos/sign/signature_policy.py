"""Who must have signed a bundle, and what its statement must say: a document for pipelines.

Knows the form of a policy and how results and a statement are held against it; must not know how a signature is verified. A policy names
keys and files relative to its own folder::

    kind: SignaturePolicy
    apiVersion: policy.dgxc.io/v1
    signatures:                      # each of these must hold
      - keys: [release.pub, platform.pem, 8A1F…]    # files, or fingerprints of OpenPGP keys
        threshold: 2                 # that many of them [1]
      - allowed-signers: signers
        identities: [alice@example.com, bob@example.com]
    provenance:                      # what the statement must say; each is a list of accepted values
      program: [1.2.3]
      commit: [2fbaca51…]
      recipe: [5293ec77…]            # SHA-256 of recipe.yaml
      recipe-data: [8d89e3…]
      program-data: [8d89e3…]
      builder: [https://eidos.dgxc.io/eidos]
      build-type: [https://eidos.dgxc.io/bundle/v1]
      query: {gpu: [h100, h200], service: [eks]}
      options: {registry: [mirror.example.com]}    # these must be so, and no other may be set; of a file or a folder, its SHA-256
      plugins: [acme@sha256:5fe1…]   # no other may have taken part; [] refuses every plug-in

That what a policy does not name is not accepted either, where it may change what is built, is the rule of SLSA v1.0 ("Verifying artifacts",
step 2) for parameters from outside.
"""

from __future__ import annotations

import os

from eidos.errors import EidosError, InvalidData
from eidos.files import read_named_file
from eidos.model.bundle import STATEMENT
from eidos.model.number_format import format_scalar
from eidos.model.plugin import split_reference
from eidos.model.record import Record
from eidos.model.tree_reader import ANY_SCALAR, TreeReader
from eidos.sign.key_forms import Key, read_public_key
from eidos.sign.signature_check import (
    INVALID,
    UNTRUSTED,
    UNVERIFIED,
    VALID,
    AllowedSigners,
    SignatureResult,
    check_signatures,
    read_allowed_signers,
    trusted_digest,
)
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KIND, API_VERSION = "SignaturePolicy", "policy.dgxc.io/v1"

#: Bytes of the largest policy.
MAX_POLICY_BYTES = 1 << 20

_FIELDS = ("kind", "apiVersion", "signatures", "provenance")
_SIGNATURE_FIELDS = ("keys", "allowed-signers", "identities", "threshold")

#: Field of a policy → name of the dependency in the statement whose digest it lists.
_DIGESTS = {"recipe": "recipe.yaml", "recipe-data": "recipe-data", "program-data": "program-data"}
_LISTS = ("program", "commit", *_DIGESTS, "builder", "build-type")
_MAPPINGS, _PLUGINS = ("query", "options"), "plugins"

#: Options whose file or folder the statement has as an input, by this name.
_INPUT_OPTIONS = ("templates", "data", "existing", "profile", "waivers")


class SignatureRule(Record):
    """At least ``threshold`` of these keys, or of these signers, must have signed; ``source`` is where the user says so."""

    threshold: int
    keys: tuple[Key, ...] = ()
    signers: AllowedSigners | None = None
    source: str = ""


class SignaturePolicy(Record):
    """What must hold: ``accepted`` maps a field of the provenance to the values that it may have.

    ``plugins`` are those that may have taken part, and with ``only_options`` no option may be set that is not accepted, nor a plug-in.
    """

    rules: tuple[SignatureRule, ...]
    accepted: dict[str, tuple[str, ...]] = {}
    plugins: tuple[str, ...] | None = None
    only_options: bool = False


def read_policy(path: str) -> SignaturePolicy:
    """The policy in the file at ``path``, with its keys. Raises NotFound, Unavailable, or InvalidData with the place of a mistake."""
    from eidos.formats import from_text

    data = read_named_file(path, MAX_POLICY_BYTES, f"--policy: {path}")
    return parse_policy(from_text(data, path, MAX_POLICY_BYTES), path)


def parse_policy(tree: object, name: str) -> SignaturePolicy:
    """The policy in a tree; ``name`` is the path of its document. Raises as :func:`read_policy`."""
    reader = TreeReader(tree, name)
    reader.expect_kind(KIND, API_VERSION, f"a policy begins with 'kind: {KIND}'")
    reader.expect_only(_FIELDS)
    rules = tuple(_rule(entry, os.path.dirname(name)) for entry in reader.mappings("signatures"))
    if not rules:
        raise reader.error("expected at least one entry", "list who must have signed", name="signatures")
    provenance = reader.mapping("provenance")
    provenance.expect_only((*_LISTS, *_MAPPINGS, _PLUGINS))
    accepted = {field: provenance.names(field) for field in _LISTS if field in provenance}
    for group in _MAPPINGS:
        fields = provenance.mapping(group)
        accepted.update({f"{group}.{field}": fields.names(field) for field in fields.tree})
    for field, values in accepted.items():
        if not values:
            raise provenance.error("expected at least one value", name=field)
    plugins = provenance.names(_PLUGINS) if _PLUGINS in provenance else None
    for number, plugin in enumerate(plugins or ()):
        if split_reference(plugin) is None:
            raise provenance.error("expected NAME@sha256:DIGEST", "a recipe has it in metadata.plugins", name=f"{_PLUGINS}[{number}]")
    return SignaturePolicy(rules, accepted, plugins, "options" in provenance)


def _rule(entry: TreeReader, folder: str) -> SignatureRule:
    entry.expect_only(_SIGNATURE_FIELDS)
    threshold = entry.number("threshold", 1)
    names, signers_name, identities = entry.names("keys"), entry.text("allowed-signers"), entry.names("identities")
    if bool(names) == bool(signers_name):
        raise entry.error("expected either keys or allowed-signers")
    for field, values in (("keys", names), ("identities", identities)):
        if field in entry and not values:
            raise entry.error("expected at least one name", name=field)
    if identities and not signers_name:
        raise entry.error("identities need allowed-signers", name="identities")
    try:
        keys = tuple(read_public_key(_beside(key, folder)) for key in names)
        digests = {trusted_digest(key) or key.name for key in keys}  # two files may hold one key
        signers = read_allowed_signers(_beside(signers_name, folder), identities) if signers_name else None
    except EidosError as fault:
        raise InvalidData(f"{entry.document}: {entry.path}: {fault.message}", fault.hint) from fault
    maximum = len(digests) or len(set(identities)) or threshold
    if threshold != int(threshold) or not 1 <= threshold <= maximum:
        raise entry.error(f"expected a whole number from 1 to {int(maximum)}", name="threshold")
    return SignatureRule(int(threshold), keys, signers, entry.path)


def _beside(name: str, folder: str) -> str:
    from eidos.sign.key_forms import is_fingerprint

    return name if is_fingerprint(name) else os.path.join(folder, name)


class PolicyResult(Record):
    """What came of a policy: a result for each signature, and what does not hold, a sentence each.

    ``provenance`` has the fields of the statement that were checked, ``unchecked`` the others. ``is_open`` says that it might hold: no
    signature is wrong, but one could not be verified.
    """

    results: tuple[SignatureResult, ...]
    failures: tuple[str, ...]
    is_open: bool = False
    provenance: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether all of it was verified."""
        return not self.failures and not self.is_open


def apply_policy(policy: SignaturePolicy, attestations: Mapping[str, bytes], deadline: float) -> PolicyResult:
    """Verify the signatures of a statement and hold both against a policy; ``deadline`` is of ``time.monotonic``."""
    if STATEMENT not in attestations:
        return PolicyResult((), (f"not signed: {STATEMENT} is missing",))
    results: dict[str, SignatureResult] = {}
    failures: list[str] = []
    is_open = True
    for rule in policy.rules:
        of_rule = check_signatures(attestations, rule.keys, rule.signers, deadline)
        for result in of_rule:
            if results.get(result.path, result).outcome == UNTRUSTED or result.outcome == INVALID:
                results[result.path] = result
            results.setdefault(result.path, result)
        who = {result.identity or result.key for result in of_rule if result.outcome == VALID}
        if len(who) < rule.threshold:
            unverified = sum(result.outcome == UNVERIFIED for result in of_rule)
            failures.append(_missing(rule, len(who), unverified))
            is_open &= len(who) + unverified >= rule.threshold
    wrong = [result for result in results.values() if result.outcome == INVALID]
    failures += [f"{result.path}: {result.why}" for result in wrong]
    is_open = is_open and not wrong and any(result.outcome == UNVERIFIED for result in results.values())
    in_order = tuple(results[path] for path in sorted(results))
    if failures:
        return PolicyResult(in_order, tuple(failures), is_open)
    from eidos.formats import from_text

    statement = _Provenance(from_text(attestations[STATEMENT], STATEMENT))
    refused = statement.refused(policy)
    checked = [field for field in statement.fields if field in policy.accepted or statement.is_held(field, policy)]
    unchecked = [field for field in statement.fields if field not in checked]
    return PolicyResult(in_order, tuple(refused), is_open and not refused, tuple(checked), tuple(unchecked))


def _missing(rule: SignatureRule, count: int, unverified: int) -> str:
    if rule.threshold > 1:
        more = f"; {count_of(unverified, 'signature')} could not be verified" if unverified else ""
        return f"{rule.source}: {rule.threshold} must have signed, and {count} did{more}"
    how = "not known to be signed by" if unverified else "not signed by"
    if rule.signers is None:
        return f"{rule.source}: {how} {' or '.join(key.name for key in rule.keys)}"
    return f"{rule.source}: {how} {' or '.join(rule.signers.identities) or f'anybody in {rule.signers.name}'}"


class _Provenance:
    """What a statement says, by the fields of a policy: ``fields`` has the values of each, most have one."""

    def __init__(self, statement: object) -> None:
        predicate = TreeReader(statement, "statement", text_types=ANY_SCALAR).mapping("predicate")
        definition, builder = predicate.mapping("buildDefinition"), predicate.mapping("runDetails").mapping("builder")
        version = builder.mapping("version")
        # A name that is there twice has two values.
        inputs = [(entry.text("name"), entry.mapping("digest").text("sha256")) for entry in definition.mappings("resolvedDependencies")]
        self.fields: dict[str, tuple[str, ...]] = {"program": (version.text("eidos"),), "commit": (version.text("commit"),)}
        self.fields.update({field: tuple(digest for name, digest in inputs if name == of) for field, of in _DIGESTS.items()})
        self.fields.update({"builder": (builder.text("id"),), "build-type": (definition.text("buildType"),)})
        self.fields = {field: values for field, values in self.fields.items() if any(values)}
        for group in _MAPPINGS:
            tree = definition.mapping("externalParameters").mapping(group).tree
            self.fields.update({f"{group}.{name}": tuple(_texts(value)) for name, value in tree.items()})
        for name, digest in inputs:
            if option := _option_of_input(name):
                field, text = f"options.{option}", digest if option == name else f"{name}={digest}"
                self.fields[field] = (*self.fields.get(field, ()), text)
        start = "plugin/"
        plugins = [f"{name[len(start) :].partition('@')[0]}@sha256:{digest}" for name, digest in inputs if name.startswith(start)]
        self.fields[_PLUGINS] = tuple(dict.fromkeys((*plugins, *self.fields.pop("options.plugin", ()))))

    def is_held(self, field: str, policy: SignaturePolicy) -> bool:
        """Whether a policy says something of a field that it has no list for."""
        return policy.only_options and field.startswith("options.") if field != _PLUGINS else _accepted_plugins(policy) is not None

    def refused(self, policy: SignaturePolicy) -> list[str]:
        """A sentence for each field that is not as the policy wants it."""
        refused = []
        for field, accepted in policy.accepted.items():
            values = self.fields.get(field, ())
            if not values:
                refused.append(f"provenance.{field}: the statement has none")
            refused += [f"provenance.{field}: the statement has {value!r}" for value in values if value not in accepted]
        if policy.only_options:
            others = [field for field in self.fields if field.startswith("options.") and field not in policy.accepted]
            refused += [f"provenance.{field}: the statement has it, and the policy has not" for field in others]
        plugins = _accepted_plugins(policy)
        if plugins is not None:
            others = [plugin for plugin in self.fields[_PLUGINS] if plugin not in plugins]
            refused += [f"provenance.{_PLUGINS}: the statement has {plugin!r}" for plugin in others]
        return refused


def _accepted_plugins(policy: SignaturePolicy) -> tuple[str, ...] | None:
    """The plug-ins that may have taken part; None: any."""
    return () if policy.plugins is None and policy.only_options else policy.plugins


def _option_of_input(name: str) -> str:
    """The option that an input of a bundle or of evidence is of; "" for what is always there, and for plug-ins."""
    if name in _INPUT_OPTIONS:
        return name
    parts = name.split("/")
    return parts[0] if parts[0] in ("values", "images") else "charts" if name.endswith(".tgz") else ""


def _texts(value: object) -> Iterator[str]:
    """The values of an option, as text: of a mapping those of ``key=value``."""
    if isinstance(value, dict):
        yield from (f"{key}={text}" for key, item in value.items() for text in _texts(item))
    elif isinstance(value, (list, tuple)):
        yield from (",".join(_texts(item)) for item in value)
    elif isinstance(value, (str, int, float)):
        yield format_scalar(value)
