"""Bundles are signed and verified with the real programs, as a user does both."""

from __future__ import annotations

import base64
import errno
import functools
import hashlib
import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.bundle.attestation_writer import add_signature
from eidos.bundle.bundle_options import BundleOptions
from eidos.bundle.bundle_reader import read_files
from eidos.bundle.checksums import sha256
from eidos.bundle.tar_archive import pack_tar_gz
from eidos.bundle.zip_archive import pack_zip
from eidos.errors import EidosError
from eidos.model.bundle import STATEMENT, Bundle, signature_path
from eidos.sign.key_strength import weakness_of_openpgp_key, weakness_of_pem_key, weakness_of_ssh_key
from eidos.sign.openssh_signature import sign_with_ssh
from eidos.sign.openssl_signature import MessageSignature, format_sigstore_bundle, pem_content
from eidos.workflow import make_bundle, make_recipe, write_bundle
from tests.sign.keys import PASSPHRASE, KeyPair, Keys, make_gpg_key, make_ssh_key, need, run
from tests.support.program import Result, Run

KINDS = ("ssh", "ssh-ecdsa", "gpg", "gpg-with-passphrase", "EC", "RSA", "ed25519")


@functools.cache
def bundle(gpu: str = "h100") -> Bundle:
    return make_bundle(make_recipe({"gpu": gpu, "service": "eks"}))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(pack_tar_gz(bundle().files))
    return path


class Signer:
    """Signs and verifies on the command line; the keyring is that of the tests unless another is named."""

    def __init__(self, eidos: Run, gpg_home: Path) -> None:
        self.eidos, self.gpg_home = eidos, gpg_home

    def sign(self, path: Path, pair: KeyPair, *more: str) -> Result:
        return self.eidos("sign", str(path), "--key", pair.private, *pair.flags, *more, GNUPGHOME=str(self.gpg_home))

    def verify(self, path: Path, *words: str, keyring: str = "") -> Result:
        return self.eidos("verify", str(path), *words, GNUPGHOME=keyring or str(self.gpg_home))


@pytest.fixture
def signer(eidos: Run, gpg_home: Path) -> Signer:
    return Signer(eidos, gpg_home)


@pytest.mark.parametrize("form", ["folder", "tar.gz", "zip"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.exhaustive(sample=4)
def test_what_is_signed_is_verified_with_the_key_and_with_no_other(
    kind: str, form: str, keys: Keys, signer: Signer, tmp_path: Path
) -> None:
    path = tmp_path / f"bundle.{form}"
    if form == "folder":
        write_bundle(bundle(), str(path))
    else:
        path.write_bytes((pack_zip if form == "zip" else pack_tar_gz)(bundle().files))
    pair = keys[kind]
    done = signer.sign(path, pair)
    assert (done.status, done.err) == (0, "")
    files = read_files(str(path))
    (added,) = files.keys() - bundle().files.keys()
    assert added.startswith("attestations/") and done.out.endswith(f": {added}\n")
    assert {name: content for name, content in files.items() if name != added} == bundle().files, "nothing else changed"
    done = signer.verify(path, "--key", pair.public)
    assert (done.status, done.err) == (0, ""), done
    assert f"checked: {added.rpartition('/')[2]}: signed by " in done.out and f"trusted by {pair.public}" in done.out
    assert "not checked: whether the statement is true" in done.out
    done = signer.verify(path, "--key", keys["other"].public)
    assert done.status == 5 and done.err == f"error: {path}: --key: not signed by {keys['other'].public}\n"
    assert f"not checked: {added.rpartition('/')[2]}: of " in done.out
    assert signer.verify(path).status == 0 and "1 signature" in signer.verify(path).out


def test_a_second_key_signs_beside_the_first_and_the_same_key_once(archive: Path, keys: Keys, signer: Signer) -> None:
    for name in ("ssh", "EC", "EC", "ssh"):  # ECDSA gives another signature each time
        assert signer.sign(archive, keys[name]).status == 0
    assert sorted(name.partition("-")[0] for name in read_files(str(archive)) if name.startswith("attestations/")) == [
        "attestations/key",
        "attestations/ssh",
        STATEMENT,
    ]
    both = ("--key", keys["ssh"].public, "--key", keys["EC"].public)
    assert signer.verify(archive, *both).status == 0
    done = signer.verify(archive, *both, "--key", keys["other"].public, "-t", "json")
    tree = json.loads(done.out)
    assert (done.status, tree["ok"], [each["outcome"] for each in tree["signatures"]]) == (5, False, ["valid", "valid"])
    assert tree["failures"] == [f"--key: not signed by {keys['other'].public}"] and tree["not-checked"]


def test_an_archive_keeps_its_mode_and_a_link_to_it(archive: Path, keys: Keys, signer: Signer, tmp_path: Path) -> None:
    archive.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(archive)
    assert signer.sign(link, keys["ssh"]).status == 0
    assert link.is_symlink() and stat.S_IMODE(archive.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["bundle.tar.gz", "link"]


def test_a_signature_of_another_bundle_is_refused(archive: Path, keys: Keys, signer: Signer, tmp_path: Path) -> None:
    key = ("--key", keys["ssh"].public)
    assert signer.verify(archive, *key).status == 5, "it is not signed"
    other = tmp_path / "other.tar.gz"
    other.write_bytes(pack_tar_gz(bundle("a100").files))
    assert signer.sign(other, keys["ssh"]).status == 0
    stolen = {name: data for name, data in read_files(str(other)).items() if name.startswith("attestations/ssh-")}
    archive.write_bytes(pack_tar_gz({**bundle().files, **stolen}))
    done = signer.verify(archive, *key)
    assert done.status == 5 and f"wrong: {next(iter(stolen)).rpartition('/')[2]}: ssh-keygen: " in done.out
    archive.write_bytes(pack_tar_gz({**bundle().files, **stolen, STATEMENT: bundle("a100").files[STATEMENT]}))
    done = signer.verify(archive, *key)
    assert done.status == 5 and f"changed: {STATEMENT}: it is not about this checksums.txt" in done.out
    without = {name: data for name, data in read_files(str(other)).items() if name != STATEMENT}
    archive.write_bytes(pack_tar_gz(without))
    assert signer.verify(archive, *key).status == 5
    done = signer.sign(archive, keys["ssh"])
    assert done.status == 2 and "build the bundle again" in done.err


def test_a_modified_bundle_is_not_signed(keys: Keys, signer: Signer, tmp_path: Path) -> None:
    write_bundle(bundle(), str(tmp_path / "bundle"))
    (tmp_path / "bundle" / "evil.sh").write_text("true")
    before = sorted(tmp_path.rglob("*"))
    done = signer.sign(tmp_path / "bundle", keys["ssh"])
    assert done.status == 5 and "was modified: added: evil.sh" in done.err
    assert sorted(tmp_path.rglob("*")) == before


def test_names_in_attestations_are_closed(keys: Keys, signer: Signer, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    write_bundle(bundle(), str(folder))
    assert signer.sign(folder, keys["ssh"]).status == 0
    for name in (
        "evil.sh",
        "statement.yaml",
        "ssh-0123456789abcdef.sig",
        "sub/statement.json",
        "ssh-" + "0" * 16 + "-" + "0" * 16 + ".sig",
    ):
        path = folder / "attestations" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
        assert signer.verify(folder, "--key", keys["ssh"].public).status == 5, name
        path.unlink()
        if path.parent.name == "sub":
            path.parent.rmdir()
    assert signer.verify(folder, "--key", keys["ssh"].public).status == 0


def test_cosign_takes_what_openssl_signs(archive: Path, keys: Keys, signer: Signer, tmp_path: Path) -> None:
    """The fields of the Sigstore bundle, read here by hand, and the signature verified by openssl over the statement alone."""
    assert signer.sign(archive, keys["EC"]).status == 0
    files = read_files(str(archive))
    tree = json.loads(next(data for name, data in files.items() if name.endswith(".sigstore.json")))
    assert tree["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    message = tree["messageSignature"]
    digest = hashlib.sha256(files[STATEMENT]).digest()
    assert message["messageDigest"] == {"algorithm": "SHA2_256", "digest": base64.b64encode(digest).decode()}
    spki = base64.b64decode("".join(Path(keys["EC"].public).read_text().splitlines()[1:-1]))
    assert tree["verificationMaterial"] == {"publicKey": {"hint": base64.b64encode(hashlib.sha256(spki).digest()).decode()}}
    (tmp_path / "s").write_bytes(base64.b64decode(message["signature"], validate=True))
    (tmp_path / "d").write_bytes(files[STATEMENT])
    verified = run("openssl", "dgst", "-sha256", "-verify", keys["EC"].public, "-signature", str(tmp_path / "s"), str(tmp_path / "d"))
    assert verified == "Verified OK\n"


COSIGN = """#!/bin/sh
test "$COSIGN_PASSWORD" = "{passphrase}" || {{ echo "Error: decrypt: encrypted: decryption failed" >&2; exit 1; }}
case "$1" in
public-key) cat {public} ;;
sign-blob)
    case "$*" in
    *--use-signing-config=false*--new-bundle-format=false*) ;;
    *) test -z "$ERROR" || {{ echo "Error: $ERROR" >&2; exit 1; }} ;;
    esac
    for file; do :; done
    openssl dgst -sha256 -sign {private} -passin pass:'{passphrase}' "$file" | base64 -w 0 ;;
esac
"""


COSIGN_ERRORS = {  # of `cosign sign-blob --key KEY --tlog-upload=false FILE` alone
    "2": "",
    "3.0": "--tlog-upload=false is not supported with --signing-config or --use-signing-config.",
    "3.1": "must specify --bundle with --new-bundle-format",
}


@pytest.mark.parametrize("version", COSIGN_ERRORS)
def test_a_key_of_cosign_is_used_by_cosign(archive: Path, keys: Keys, signer: Signer, tmp_path: Path, version: str) -> None:
    """A stand-in with the flags that cosign 2 and 3 take; its key is one of openssl's."""
    program, key = tmp_path / "bin" / "cosign", tmp_path / "cosign.key"
    program.parent.mkdir()
    program.write_text(COSIGN.format(passphrase=PASSPHRASE, public=keys["EC"].public, private=keys["EC"].private))
    program.chmod(0o755)
    key.write_text("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\neA==\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
    path = f"{program.parent}:{os.environ['PATH']}"
    done = signer.eidos("sign", str(archive), "--key", str(key), PATH=path)
    assert (done.status == 1 and "COSIGN_PASSWORD" in done.err) or "--passphrase-file" in done.err
    done = signer.eidos("sign", str(archive), "--key", str(key), PATH=path, COSIGN_PASSWORD=PASSPHRASE, ERROR=COSIGN_ERRORS[version])
    assert (done.status, done.err) == (0, "")
    assert signer.verify(archive, "--key", keys["EC"].public).status == 0


def test_a_missing_program_is_not_verified(archive: Path, keys: Keys, signer: Signer) -> None:
    for name, program in (("ssh", "ssh-keygen"), ("EC", "openssl"), ("gpg", "gpg")):
        assert signer.sign(archive, keys[name]).status == 0
        done = signer.eidos("verify", str(archive), "--key", keys[name].public, PATH="/nonexistent")
        assert done.status == 1, done
        assert f"not verified: cannot run {program}: no such file or directory; install the package " in done.err
        done = signer.eidos("sign", str(archive), "--key", keys[name].private, *keys[name].flags, PATH="/nonexistent")
        assert done.status == 1 and f"error: cannot run {program}: no such file or directory\nhint: install the package " in done.err


@pytest.mark.parametrize(
    ("name", "program", "words"),
    [
        ("ssh", "ssh-keygen", "No user exists for uid 54321"),
        ("gpg", "gpg", "gpg: Fatal: failed to create the folder"),
    ],
)
def test_a_program_that_does_not_look_at_a_signature_says_nothing_about_it(
    archive: Path, keys: Keys, signer: Signer, tmp_path: Path, name: str, program: str, words: str
) -> None:
    assert signer.sign(archive, keys[name]).status == 0
    (tmp_path / program).write_text(f"#!/bin/sh\necho >&2 '{words}'\nexit 255\n")
    (tmp_path / program).chmod(0o755)
    done = signer.eidos("verify", str(archive), "--key", keys[name].public, PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.status == 1 and f"--key: not known to be signed by {keys[name].public}\n" in done.err
    assert f"not verified: {program} does not run: {words}; " in done.err


def test_a_threshold_that_is_reached_is_not_ok_while_a_signature_is_unverified(
    archive: Path, keys: Keys, signer: Signer, tmp_path: Path
) -> None:
    for name in ("ssh", "gpg"):
        assert signer.sign(archive, keys[name]).status == 0
    (tmp_path / "ssh-keygen").symlink_to(shutil.which("ssh-keygen") or "")
    policy = tmp_path / "policy.yaml"
    policy.write_text(json.dumps({"kind": "SignaturePolicy", "signatures": [{"keys": [keys["ssh"].public, keys["gpg"].public]}]}))
    done = signer.eidos("verify", str(archive), "--policy", str(policy), PATH=str(tmp_path))
    assert done.status == 1 and "not verified: cannot run gpg" in done.err and f"{archive}: OK" not in done.out, done
    done = signer.eidos("verify", str(archive), "--policy", str(policy), "-t", "json", PATH=str(tmp_path))
    assert (done.status, json.loads(done.out)["ok"]) == (1, False)
    assert signer.verify(archive, "--policy", str(policy)).status == 0


@pytest.mark.parametrize(
    ("name", "program", "script", "words"),
    [
        ("ssh", "ssh-keygen", "echo >&2 'unknown option -- Y'; exit 1", "this ssh-keygen is too old; install OpenSSH 8.2 or newer"),
        ("ssh", "ssh-keygen", """echo >&2 'Unsupported operation for -Y: "verify"'; exit 255""", "this ssh-keygen is too old; install "),
        (
            "ed25519",
            "openssl",
            "echo >&2 'pkeyutl: Unrecognized flag rawin'; exit 1",
            "this openssl is too old; install OpenSSL 3.0 or newer",
        ),
        ("ed25519", "openssl", "echo >&2 'openssl: symbol lookup error'; exit 127", "cannot run openssl: openssl: symbol lookup error"),
        ("gpg", "gpg", "kill -SEGV $$", "cannot run gpg: exit status -11"),
    ],
)
def test_a_program_that_is_too_old_or_crashes_finds_no_signature_wrong(
    archive: Path, keys: Keys, signer: Signer, tmp_path: Path, name: str, program: str, script: str, words: str
) -> None:
    assert signer.sign(archive, keys[name]).status == 0
    (tmp_path / program).write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / program).chmod(0o755)
    (tmp_path / "signers").write_text(f"alice@example.com {Path(keys['ssh'].public).read_text()}")
    for flags in (("--key", keys[name].public), ("--allowed-signers", str(tmp_path / "signers"))):
        if name == "ssh" or flags[0] == "--key":
            done = signer.eidos("verify", str(archive), *flags, PATH=f"{tmp_path}:/usr/bin:/bin")
            assert done.status == 1 and f"not verified: {words}" in done.err, done


def test_a_missing_program_excuses_no_missing_signature(archive: Path, keys: Keys, signer: Signer) -> None:
    assert signer.sign(archive, keys["ssh"]).status == 0
    both = ("--key", keys["ssh"].public, "--key", keys["ed25519"].public)
    done = signer.eidos("verify", str(archive), *both, PATH="/nonexistent")
    assert done.status == 5 and f"not signed by {keys['ed25519'].public}" in done.err


def test_signatures_of_nothing_do_not_count(archive: Path, keys: Keys, signer: Signer) -> None:
    """Whoever signed an empty file has signed no bundle."""
    by_ssh, key = sign_with_ssh(keys["ssh"].private, b"", time.monotonic() + 60)
    files = {name: data for name, data in bundle().files.items() if name != STATEMENT}
    archive.write_bytes(pack_tar_gz({**files, signature_path("ssh", key, sha256(by_ssh)): by_ssh}))
    done = signer.verify(archive, "--key", keys["ssh"].public)
    assert done.status == 5 and done.err == f"error: {archive}: not signed: {STATEMENT} is missing\n"
    assert "checked: every file, by checksums.txt\n" in done.out and "the statement is about" not in done.out


def test_what_is_in_a_registry_is_signed_after_it_was_pulled(signer: Signer, keys: Keys) -> None:
    done = signer.eidos("sign", "oci://registry.example.com/gpu/bundle:1", "--key", keys["ssh"].private)
    assert done.status == 2 and "hint: run 'eidos pull oci://registry.example.com/gpu/bundle:1 -o bundle'" in done.err


def test_a_key_that_is_locked_or_none_is_named(archive: Path, tmp_path: Path, keys: Keys, signer: Signer) -> None:
    locked, content = make_ssh_key(tmp_path, "locked", passphrase=PASSPHRASE), archive.read_bytes()
    hint = "hint: run 'ssh-add KEY', then sign with --key KEY.pub"
    done = signer.sign(archive, locked)
    assert done.status == 1 and "ssh-keygen cannot sign: " in done.err and hint in done.err
    done = signer.sign(archive, locked, "--passphrase-file", str(tmp_path / "x"))
    assert done.status == 2 and hint in done.err
    done = signer.sign(archive, KeyPair(keys["EC"].private, ""))
    assert done.status == 1 and "hint: pass the passphrase of the key with --passphrase-file" in done.err
    assert PASSPHRASE not in done.err
    os.chmod(locked.private, 0o644)
    done = signer.sign(archive, locked)
    assert done.status == 1 and "hint: run 'chmod 600 KEY'" in done.err and "@@" not in done.err
    for name, reason in ((keys["EC"].public, "is a public key"), ("/dev/null", "is not a private key"), ("nothing", "no such file")):
        done = signer.eidos("sign", str(archive), "--key", name)
        assert done.status == 2 and reason in done.err, name
    for name, reason in ((keys["EC"].private, "is a private key"), ("/dev/null", "is not a public key"), ("nothing", "no such file")):
        done = signer.verify(archive, "--key", name)
        assert done.status == 2 and reason in done.err, name
    assert signer.eidos("sign", str(archive)).status == 2
    assert archive.read_bytes() == content


def sign_by_hand(pair: KeyPair, statement: bytes, gpg_home: Path) -> tuple[str, bytes]:
    """A signature of a statement by the program alone: its name in a bundle, and its content."""
    command: tuple[str, ...]
    if pair.private.endswith(".pem"):
        command = ("openssl", "dgst", "-sha256", "-sign", pair.private)
    elif os.path.exists(pair.private):
        command = ("ssh-keygen", "-Y", "sign", "-n", "eidos", "-f", pair.private)
    else:
        command = ("gpg", "--homedir", str(gpg_home), "--batch", "--armor", "--local-user", pair.private, "--detach-sign")
    signature = subprocess.run(command, input=statement, capture_output=True, check=True, timeout=60).stdout
    kind = {"openssl": "key", "ssh-keygen": "ssh", "gpg": "gpg"}[command[0]]
    if kind == "key":
        key = hashlib.sha256(pem_content(Path(pair.public).read_bytes())).digest()
        signature = format_sigstore_bundle(MessageSignature(signature, hashlib.sha256(statement).digest(), key))
    return signature_path(kind, "ab" * 32, sha256(signature)), signature


WEAK = {
    "ssh-rsa1024": "RSA key of 1024 bits",
    "RSA1024": "RSA key of 1024 bits",
    "EC192": "ECDSA key of 192 bits",
    "gpg-rsa1024": "RSA key of 1024 bits",
}


@pytest.mark.parametrize("kind", WEAK)
@pytest.mark.exhaustive(sample=1)
def test_a_weak_key_neither_signs_nor_verifies(kind: str, archive: Path, keys: Keys, signer: Signer, tmp_path: Path) -> None:
    pair, content = keys[kind], archive.read_bytes()
    done = signer.sign(archive, pair)
    assert done.status == 2 and f"error: --key: {pair.private}: {WEAK[kind]} is too weak" in done.err, done
    assert archive.read_bytes() == content
    name, signature = sign_by_hand(pair, bundle().files[STATEMENT], signer.gpg_home)
    add_signature(str(archive), name, signature)
    done = signer.verify(archive, "--key", pair.public)
    assert done.status == 5 and f"{WEAK[kind]} is too weak" in done.out + done.err, done
    if kind.startswith("ssh"):
        (tmp_path / "signers").write_text(f"alice@example.com {Path(pair.public).read_text()}")
        done = signer.verify(archive, "--allowed-signers", str(tmp_path / "signers"))
        assert done.status == 5 and f"{WEAK[kind]} is too weak" in done.out + done.err, done


def wire(*fields: bytes) -> bytes:
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def integer(bits: int) -> bytes:
    return b"\0" + ((1 << bits) - 1).to_bytes(bits // 8 + 1, "big")


def certificate(algorithm: bytes, *key: bytes, authority: bytes) -> bytes:
    """A certificate of OpenSSH as far as it names two keys (PROTOCOL.certkeys)."""
    return (
        wire(algorithm + b"-cert-v01@openssh.com", b"nonce", *key)
        + bytes(8)
        + b"\0\0\0\1"
        + wire(b"id", b"principals")
        + bytes(16)
        + wire(b"critical", b"extensions", b"", authority, b"signature")
    )


UNREADABLE = -2


@pytest.mark.parametrize(
    ("weakness", "bits"),
    [
        (weakness_of_ssh_key(wire(b"ssh-rsa", b"\3", integer(2048))), 0),
        (weakness_of_ssh_key(wire(b"ssh-rsa", b"\3", integer(2047))), 2047),
        (weakness_of_ssh_key(certificate(b"ssh-rsa", b"\3", integer(3072), authority=wire(b"ssh-ed25519", b"x" * 32))), 0),
        (weakness_of_ssh_key(certificate(b"ssh-ed25519", b"x" * 32, authority=wire(b"ssh-rsa", b"\3", integer(1024)))), 1024),
        (weakness_of_ssh_key(certificate(b"sk-ssh-ed25519", b"x" * 32, b"ssh:", authority=wire(b"ssh-dss", integer(1024)))), -1),
        (weakness_of_ssh_key(certificate(b"ecdsa-sha2-nistp256", b"nistp256", b"x" * 65, authority=b"")), UNREADABLE),
        (weakness_of_ssh_key(certificate(b"new", b"x", authority=wire(b"ssh-ed25519", b"x" * 32))), UNREADABLE),
        (weakness_of_ssh_key(wire(b"ssh-rsa-cert-v01@openssh.com", b"nonce", b"\3", integer(1024)) + b"\0" * 9), 1024),
        (weakness_of_ssh_key(wire(b"ssh-rsa")), UNREADABLE),
        (weakness_of_ssh_key(wire(b"ssh-rsa", b"\3", b"")), UNREADABLE),
        (weakness_of_ssh_key(wire(b"ssh-rsa", b"\3", integer(2048))[:-200]), UNREADABLE),
        (weakness_of_ssh_key(wire(b"ssh-dss", integer(1024))), -1),
        (weakness_of_ssh_key(wire(b"ssh-ed25519", b"x" * 32)), 0),
        (weakness_of_pem_key(b"\x30\x80\x00\x00", "RSA"), UNREADABLE),
        (weakness_of_pem_key(b"", "ECDSA"), UNREADABLE),
        (weakness_of_openpgp_key("pub:u:many:1:A:\nfpr:::::::::A:\n", "A"), UNREADABLE),
        (weakness_of_openpgp_key("pub:u:2048:1:A:\nfpr:::::::::A:\nsub:u:1024:17:B:\nfpr:::::::::B:\n", "A"), 0),
        (weakness_of_openpgp_key("pub:u:2048:1:A:\nfpr:::::::::A:\nsub:u:1024:17:B:\nfpr:::::::::B:\n", "B"), 1024),
        (weakness_of_openpgp_key("pub:u:255:22:A:\nfpr:::::::::A:\n", "A"), 0),
    ],
)
def test_which_keys_are_weak(weakness: str, bits: int) -> None:
    expected = {0: "", UNREADABLE: "the size of the key is not readable"}.get(bits, f" of {bits} bits " if bits > 0 else "DSA key")
    assert bool(weakness) is bool(bits) and expected in weakness, weakness


@given(st.binary(max_size=80))
def test_any_bytes_are_a_strong_or_a_weak_key(data: bytes) -> None:
    for weakness in (weakness_of_ssh_key(data), weakness_of_pem_key(data, "RSA"), weakness_of_pem_key(data, "ECDSA")):
        assert isinstance(weakness, str)


def test_an_agent_signs_with_a_public_key(archive: Path, tmp_path: Path, signer: Signer) -> None:
    need("ssh-agent", "ssh-add")
    pair = make_ssh_key(tmp_path)
    started = run("ssh-agent", "-s", "-a", str(signer.gpg_home / "s"))
    agent = dict(word.split("=", 1) for word in started.replace(";", " ").split() if word[:4] == "SSH_" and "=" in word)
    try:
        run("ssh-add", "-q", pair.private, **agent)
        os.unlink(pair.private)
        done = signer.eidos("sign", str(archive), "--key", pair.public, **agent)
        assert (done.status, done.err) == (0, "")
    finally:
        subprocess.run(["ssh-agent", "-k"], env={**os.environ, **agent}, check=False, capture_output=True)
    assert signer.verify(archive, "--key", pair.public).status == 0


def test_allowed_signers_say_whose_a_key_is(archive: Path, tmp_path: Path, keys: Keys, signer: Signer) -> None:
    assert signer.sign(archive, keys["ssh"]).status == 0
    signers = tmp_path / "signers"
    own, other = (Path(keys[name].public).read_text() for name in ("ssh", "other"))
    signers.write_text(f"alice@example.com {own}bob@example.com {other}")
    words = ("--allowed-signers", str(signers))
    done = signer.verify(archive, *words)
    assert done.status == 0 and "(alice@example.com)" in done.out
    assert signer.verify(archive, *words, "--identity", "alice@example.com,carol@example.com").status == 0
    done = signer.verify(archive, *words, "--identity", "bob@example.com")
    assert done.status == 5 and "not signed by bob@example.com" in done.err and "of the key of alice@example.com" in done.out
    signers.write_text(f"\ufeffalice@example.com {own}")
    assert "(alice@example.com)" in signer.verify(archive, *words).out, "as Windows writes it"
    for content, reason in (("", "has no entries"), (f"\n# alice@example.com {own}", "has no entries"), (own, "is a public key")):
        signers.write_text(content)
        done = signer.verify(archive, *words)
        assert done.status == 2 and done.err.startswith(f"error: --allowed-signers: {signers} {reason}\nhint: write lines such as "), done
    signers.write_text(f"*@example.com,!bob@example.com {own}")
    assert signer.verify(archive, *words, "--identity", "alice@example.com").status == 0, "a pattern"
    assert signer.verify(archive, *words, "--identity", "bob@example.com").status == 5, "which does not mean him"
    done = signer.verify(archive, *words)
    assert done.status == 0 and "(*@example.com)" in done.out
    signers.write_text(f"!bob@example.com,*@example.com {own}")
    assert "(*@example.com)" in signer.verify(archive, *words).out, "and not by whom it does not mean"
    signers.write_text(f'alice@example.com namespaces="git" {own}')
    done = signer.verify(archive, *words)
    assert done.status == 5 and "do not permit the key in the namespace 'eidos'" in done.out, "her key counts for commits only"
    signers.write_text(f'alice@example.com valid-before="20000101" {own}')
    done = signer.verify(archive, *words)
    assert done.status == 5 and f" ({signers}: entry has expired), which" in done.out
    signers.write_text(f'alice@example.com valid-befor="20000101" {own}')
    done = signer.verify(archive, *words)
    assert done.status == 5 and f" ({signers}: line 1: bad options: unknown key option), which is not required" in done.out, done
    assert signer.verify(archive, "--identity", "x").status == 2
    assert signer.verify(archive, "--allowed-signers", str(tmp_path / "none")).status == 2


def test_the_authority_of_a_certificate_is_not_weak(archive: Path, tmp_path: Path, signer: Signer) -> None:
    need("ssh-keygen")
    for name, bits, status in (("strong", "2048", 0), ("weak", "1024", 5)):
        authority, pair = make_ssh_key(tmp_path, name, "rsa", bits=bits), make_ssh_key(tmp_path, f"of-{name}")
        run("ssh-keygen", "-q", "-s", authority.private, "-I", "id", "-n", "alice@example.com", pair.public)
        name_of_signature, signature = sign_by_hand(
            KeyPair(pair.public.replace(".pub", "-cert.pub"), ""), bundle().files[STATEMENT], signer.gpg_home
        )
        archive.write_bytes(pack_tar_gz({**bundle().files, name_of_signature: signature}))
        (tmp_path / "signers").write_text(f"*@example.com cert-authority {Path(authority.public).read_text()}")
        done = signer.verify(archive, "--allowed-signers", str(tmp_path / "signers"))
        assert done.status == status, done
        assert status == 0 or "of the certificate's authority: RSA key of 1024 bits is too weak" in done.err


def test_a_key_of_gpg_that_is_not_in_the_keyring(archive: Path, keys: Keys, signer: Signer) -> None:
    fingerprint = make_gpg_key(signer.gpg_home, "old@example.com")
    assert signer.sign(archive, KeyPair(fingerprint, fingerprint)).status == 0
    assert signer.verify(archive, "--key", f"0x{fingerprint.lower()}").status == 0
    assert signer.verify(archive, "--key", keys["gpg"].public).status == 5
    assert signer.verify(archive, "--key", fingerprint, keyring="/nonexistent").status == 5, "another keyring"


def test_a_key_that_was_revoked_matters_only_where_it_is_required(archive: Path, keys: Keys, signer: Signer) -> None:
    """Both are in the user's keyring, which a fingerprint means."""
    revoked = make_gpg_key(signer.gpg_home, "revoked@example.com")
    for pair in (KeyPair(revoked, ""), keys["gpg"]):
        assert signer.sign(archive, pair).status == 0
    certificate = (signer.gpg_home / "openpgp-revocs.d" / f"{revoked}.rev").read_text().replace(":-----BEGIN", "-----BEGIN")
    gpg = ("gpg", "--homedir", str(signer.gpg_home), "--batch", "--import")
    subprocess.run(gpg, input=certificate, text=True, check=True, capture_output=True, timeout=60)
    done = signer.verify(archive, "--key", revoked)
    assert done.status == 5 and "gpg: the key was revoked" in done.err
    done = signer.verify(archive, "--key", keys["gpg"].private)
    assert done.status == 0 and f"of {revoked}, which is not required" in done.out, done


def test_a_file_of_openpgp_has_one_key(archive: Path, keys: Keys, signer: Signer, tmp_path: Path) -> None:
    assert signer.sign(archive, keys["gpg"]).status == 0
    own, other = Path(keys["gpg"].public).read_text(), Path(keys["gpg-rsa1024"].public).read_text()
    path = tmp_path / "key.asc"
    for content, reason in ((own + other, "2 keys in one file; expected one"), (own[:200], "gpg cannot read this public key")):
        path.write_text(content)
        done = signer.verify(archive, "--key", str(path))
        assert done.status == 2 and done.err.startswith(f"error: --key: {path}: {reason}\nhint: export "), done
        done = signer.eidos("self-verify", str(archive), "--key", str(path), "--signature", str(path))
        assert done.status == 2 and reason in done.err, done
    path.write_text(own + own)
    assert signer.verify(archive, "--key", str(path)).status == 0, "one key, twice"


def test_no_agent_of_gpg_is_left_behind(archive: Path, keys: Keys, signer: Signer, tmp_path: Path) -> None:
    assert signer.sign(archive, keys["gpg"]).status == 0
    (tmp_path / "gpg").write_text(
        f'#!/bin/sh\n{shutil.which("gpg")} "$@"\nstatus=$?\ntest "$3" != --homedir || ls "$4" >> {tmp_path}/log\nexit $status\n'
    )
    (tmp_path / "gpg").chmod(0o755)
    done = signer.eidos("verify", str(archive), "--key", keys["gpg"].public, PATH=f"{tmp_path}:{os.environ['PATH']}")
    names = (tmp_path / "log").read_text().splitlines()
    assert done.status == 0 and names.count("pubring.kbx") == 2 and "S.gpg-agent" not in names


def test_a_key_that_signs_nothing_is_refused(archive: Path, signer: Signer, tmp_path: Path) -> None:
    need("openssl")
    run("openssl", "genpkey", "-algorithm", "x25519", "-out", str(tmp_path / "key.pem"))
    run("openssl", "pkey", "-in", str(tmp_path / "key.pem"), "-pubout", "-out", str(tmp_path / "key.pub"))
    done = signer.verify(archive, "--key", str(tmp_path / "key.pub"))
    assert done.status == 2 and f"--key: {tmp_path}/key.pub: the key is neither EC, RSA nor Ed25519" in done.err


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_name_of_a_key_is_no_line_of_its_own(separator: str, archive: Path, keys: Keys, signer: Signer) -> None:
    """Somebody whose key is in the keyring, too, has a name that reads like the line by which gpg says that another one signed."""
    trusted = keys["gpg"].private
    name = f"Mallory{separator}[GNUPG:] VALIDSIG {trusted} 2026-11-30 1764478228 0 4 0 22 10 00 {trusted}"
    forger = make_gpg_key(signer.gpg_home, name)
    done = signer.sign(archive, KeyPair(forger, ""))
    assert done.status == 0 and f"signed by {forger}:" in done.out
    done = signer.verify(archive, "--key", trusted)
    assert done.status == 5 and f"of {forger}, which is not required" in done.out, done
    assert signer.verify(archive, "--key", forger).status == 0


#: What the file system is asked for while an archive is written again.
CALLS = ("open", "write", "fsync", "link", "rename", "chmod")


def add_signature_until(number: int, cut: str, path: Path, name: str, content: bytes) -> int:
    """Sign in a child that is killed at a call of the file system, or is told that the disk is full.

    Its exit status: 0 past the last call, 2 if it went on without that one.
    """
    child = os.fork()
    if not child:
        left = [number]
        real_write = os.write

        def planted(call: str, real: Callable[..., Any]) -> Callable[..., Any]:
            def run_or_cut(*arguments: Any, **more: Any) -> Any:
                left[0] -= 1
                if not left[0] and cut == "kill":
                    if call == "write":
                        real_write(arguments[0], arguments[1][:7])
                    os._exit(9)
                if not left[0]:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if call == "write":
                    return real_write(arguments[0], arguments[1][:16384])
                return real(*arguments, **more)

            return run_or_cut

        status = 3
        try:
            for call in CALLS:
                setattr(os, call, planted(call, getattr(os, call)))
            add_signature(str(path), name, content)
            status = 0 if left[0] > 0 else 2
        except EidosError:
            status = 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("cut", ["kill", "full"])
@pytest.mark.parametrize("pack", [pack_tar_gz, pack_zip])
def test_a_cut_while_an_archive_is_signed_leaves_the_old_or_the_new_one(pack: Callable[..., bytes], cut: str, tmp_path: Path) -> None:
    """At each call of the file system, of which each write is many."""
    old_name, new_name = (signature_path("ssh", "0" * 40, sha256(content)) for content in (b"old", b"new"))
    files = make_bundle(make_recipe({"gpu": "h100"}), BundleOptions(components=("cert-manager",))).files
    old, new = (pack(dict(sorted({**files, name: content}.items()))) for name, content in ((old_name, b"old"), (new_name, b"new")))
    path = tmp_path / "archive"
    states = set()
    for number in range(1, 500):
        path.write_bytes(old)
        status = add_signature_until(number, cut, path, new_name, b"new")
        content = path.read_bytes()
        assert content in (old, new), (number, status)
        states.add((status, content == new))
        assert status in ((0, 9) if cut == "kill" else (0, 1, 2)) and (content == new or status in (1, 9)), number
        if status == 0:
            break
        left = [entry.name for entry in tmp_path.iterdir() if entry != path]
        assert cut == "kill" or not left, (number, left)
        for name in left:
            (tmp_path / name).unlink()
    assert number > 6 and {done for _, done in states} == {True, False}
