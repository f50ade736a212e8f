"""A signed, archived bundle: whatever is made of it is refused, and a table says how many of which kind were.

The chain is that of ``eidos verify --key``: the signature is of the statement, the statement names the digest of the checksums, and those
list every other file. A program is only run where the rest of the chain holds.
"""

from __future__ import annotations

import functools
import io
import random
import time
from collections import Counter
from collections.abc import Callable

import pytest

from eidos.bundle.bundle_options import BundleOptions
from eidos.bundle.checksums import sha256
from eidos.bundle.verification import inspect_archive
from eidos.errors import IntegrityError
from eidos.model.bundle import STATEMENT, signature_path
from eidos.sign.key_forms import read_public_key
from eidos.sign.openssh_signature import sign_with_ssh
from eidos.sign.openssl_signature import sign_with_openssl
from eidos.sign.signature_policy import SignaturePolicy, SignatureRule, apply_policy
from eidos.workflow import make_bundle, make_recipe
from tests.sign.keys import Keys
from tests.sign.mutants import Files, Mutant, all_mutants, pack

#: Mutants of the complete table, and of each kind in the sample.
MINIMUM, PER_KIND = 5_000, 4

Verify = Callable[[bytes], str]


@functools.cache
def unsigned(gpu: str) -> Files:
    return make_bundle(make_recipe({"gpu": gpu, "service": "eks"}), BundleOptions(components=("cert-manager",))).files


def signed(files: Files, keys: Keys) -> Files:
    """The files with signatures of two keys."""
    deadline, statement = time.monotonic() + 60, files[STATEMENT]
    by_ssh, ssh_key = sign_with_ssh(keys["ssh"].private, statement, deadline)
    by_openssl, pem_key = sign_with_openssl(keys["ed25519"].private, statement, deadline)
    more = {signature_path("ssh", ssh_key, sha256(by_ssh)): by_ssh, signature_path("key", pem_key, sha256(by_openssl)): by_openssl}
    return {**files, **more}


@pytest.fixture(scope="module")
def verify(keys: Keys) -> Verify:
    """Why an archive is refused; empty when it is not."""
    rules = tuple(SignatureRule(1, (read_public_key(keys[name].public),), source=name) for name in ("ssh", "ed25519"))

    def why(data: bytes) -> str:
        try:
            inspection = inspect_archive(io.BytesIO(data), "bundle.tar.gz")
        except IntegrityError as fault:
            return fault.message
        if inspection.problems:
            return str(inspection.problems[0])
        result = apply_policy(SignaturePolicy(rules), inspection.attestations, time.monotonic() + 60)
        return "; ".join(result.failures)

    return why


def table(refused: Counter[str], passed: list[Mutant]) -> str:
    """How many mutants of each kind there were, and those that were not refused."""
    lines = [f"{kind:40} {count:6,} refused" for kind, count in refused.items()]
    lines += [f"{mutant.kind:40} NOT REFUSED: {mutant.name}" for mutant in passed]
    return "\n".join([*lines, f"{'all':40} {refused.total() if hasattr(refused, 'total') else sum(refused.values()):6,} refused"])


def judge(mutants: list[Mutant], verify: Verify, capsys: pytest.CaptureFixture[str]) -> int:
    """Refuse all of them, and print the table; how many there were."""
    refused: Counter[str] = Counter()
    passed = []
    for mutant in mutants:
        if verify(mutant.make()):
            refused[mutant.kind] += 1
        else:
            passed.append(mutant)
    with capsys.disabled():
        print(f"\n{table(refused, passed)}")
    assert passed == []
    return sum(refused.values())


def test_the_original_is_not_refused(keys: Keys, verify: Verify) -> None:
    files = signed(unsigned("h100"), keys)
    assert verify(pack(files)) == ""
    assert verify(pack(unsigned("h100"))) != ""


def mutants_of(keys: Keys, seed: int) -> list[Mutant]:
    return list(all_mutants(signed(unsigned("h100"), keys), signed(unsigned("a100"), keys), seed))


def test_a_sample_of_mutants_is_refused(keys: Keys, verify: Verify, pytestconfig: pytest.Config) -> None:
    """Some of each kind, others with each commit."""
    seed = pytestconfig.option.seed
    mutants = [mutant for mutant in mutants_of(keys, seed) if mutant.kind != "bomb"]
    assert len(mutants) >= MINIMUM
    random.Random(seed).shuffle(mutants)
    by_kind: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        by_kind.setdefault(mutant.kind, []).append(mutant)
    sample = [mutant for of_kind in by_kind.values() for mutant in of_kind[: PER_KIND * (1 + 4 * (len(of_kind) > 1000))]]
    assert [f"{mutant.kind}: {mutant.name}" for mutant in sample if not verify(mutant.make())] == []


@pytest.mark.exhaustive(sample=0)
@pytest.mark.timeout(1500)
def test_every_mutant_is_refused(keys: Keys, verify: Verify, capsys: pytest.CaptureFixture[str], pytestconfig: pytest.Config) -> None:
    """The complete table, which prints itself."""
    assert judge(mutants_of(keys, pytestconfig.option.seed), verify, capsys) >= MINIMUM
