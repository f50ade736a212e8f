"""The program cosign verifies what we sign with every kind of key that it knows, and we verify what its keys sign."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from eidos.model.bundle import STATEMENT
from eidos.workflow import make_bundle, make_recipe, write_bundle
from tests.sign.keys import PASSPHRASE, KeyPair, Keys, make_pem_key
from tests.support.program import Result, Run

PASSWORD = {"COSIGN_PASSWORD": PASSPHRASE}


def cosign(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """One command, without the transparency log, which is a service of others."""
    program = shutil.which("cosign")
    if program is None:
        pytest.skip("needs cosign, which this release of the distribution does not have")
    environ, null = {**os.environ, **PASSWORD, "HOME": str(cwd)}, subprocess.DEVNULL
    command = [program, *words]
    return subprocess.run(command, cwd=cwd, env=environ, stdin=null, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "bundle"
    write_bundle(make_bundle(make_recipe({"gpu": "h100", "service": "eks"})), str(path))
    return path


def make_key(kind: str, folder: Path, keys: Keys) -> KeyPair:
    """A pair of cosign's own, one of openssl's, or one of openssl's that cosign took over."""
    if kind == "cosign":
        done = cosign("generate-key-pair", cwd=folder)
    elif kind.startswith("imported "):
        pair = make_pem_key(folder, kind.partition(" ")[2])
        done = cosign("import-key-pair", "--key", pair.private, "--output-key-prefix", "cosign", cwd=folder)
    else:
        return keys[kind]
    assert done.returncode == 0, done.stderr
    return KeyPair(str(folder / "cosign.key"), str(folder / "cosign.pub"))


#: With keys of these curves cosign 3.1.1 signs the SHA-384 or SHA-512, and verifies the SHA-256, so it refuses what it signed itself.
REFUSED_BY_COSIGN = ("imported EC384", "imported EC521")

KINDS = ("EC", "EC384", "EC521", "RSA", "ed25519")


@pytest.mark.parametrize("kind", ["cosign", *KINDS, *(f"imported {kind}" for kind in KINDS)])
def test_cosign_and_we_verify_what_we_sign(kind: str, folder: Path, keys: Keys, eidos: Run, tmp_path: Path) -> None:
    pair = make_key(kind, tmp_path, keys)
    done = eidos("sign", str(folder), "--key", pair.private, *pair.flags, **PASSWORD)
    assert (done.status, done.err) == (0, "")
    assert eidos("verify", str(folder), "--key", pair.public).status == 0
    assert eidos("verify", str(folder), "--key", keys["other"].public).status == 5
    (signature,) = (folder / "attestations").glob("*.sigstore.json")
    words = ("verify-blob", "--key", pair.public, "--bundle", str(signature), "--insecure-ignore-tlog=true")
    if kind in REFUSED_BY_COSIGN:
        return
    verified = cosign(*words, str(folder / STATEMENT), cwd=tmp_path)
    assert (verified.returncode, verified.stderr.splitlines()[-1:]) == (0, ["Verified OK"]), verified.stderr
    assert cosign(*words, str(folder / "checksums.txt"), cwd=tmp_path).returncode != 0


def test_a_wrong_password_of_cosign_is_an_error(folder: Path, keys: Keys, eidos: Run, tmp_path: Path) -> None:
    pair = make_key("cosign", tmp_path, keys)
    done: Result = eidos("sign", str(folder), "--key", pair.private, COSIGN_PASSWORD="wrong")
    assert done.status == 1 and "COSIGN_PASSWORD" in done.err and "wrong" not in done.err
    assert not list((folder / "attestations").glob("*.sigstore.json"))


@pytest.mark.parametrize("kind", ["cosign", *(f"imported {kind}" for kind in KINDS)])
def test_what_cosign_signs_verifies_a_file(kind: str, keys: Keys, eidos: Run, tmp_path: Path) -> None:
    pair = make_key(kind, tmp_path, keys)
    file, signature = tmp_path / "new.pyz", tmp_path / "new.pyz.sigstore.json"
    file.write_bytes(b"#!/usr/bin/env python3\n")
    words = ("sign-blob", "--yes", "--key", pair.private, "--use-signing-config=false", "--tlog-upload=false", "--bundle", str(signature))
    done = cosign(*words, str(file), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(signature.read_text())["mediaType"].startswith("application/vnd.dev.sigstore.bundle")
    assert eidos("self-verify", str(file), "--key", pair.public).status == 0
    file.write_bytes(b"#!/usr/bin/env python3\n#")
    assert eidos("self-verify", str(file), "--key", pair.public).status == 5
