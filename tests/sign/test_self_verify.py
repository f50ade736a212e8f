"""``eidos self-verify``: lists of checksums, detached signatures of each kind of key, and what is not verified."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.errors import IntegrityError, InvalidData
from eidos.sign.file_verification import ENDINGS, find_listed, parse_checksum_list
from eidos.sign.openpgp_signature import read_signer
from tests.sign.keys import PASSPHRASE, Keys, need
from tests.sign.keys import run as run_program
from tests.support.program import Run

CONTENT = b"#!/usr/bin/env python3\nPK\3\4" + bytes(range(256)) * 20
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = "0" * 64


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to verify, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "eidos.pyz").write_bytes(CONTENT)
    return tmp_path / "eidos.pyz"


# ---- lists ----


@pytest.mark.parametrize(
    "command", ["sha256sum", "sha256sum --tag", "sha256sum --binary", "openssl dgst -sha256", "openssl dgst -r -sha256"]
)
def test_what_programs_print_is_read(tmp_path: Path, command: str) -> None:
    need(command.partition(" ")[0])
    names = ["eidos.pyz", "with blank.pyz", "ü", "a)= b", *(["back\\slash", "new\nline"] if command.startswith("sha256sum") else [])]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    done = subprocess.run([*command.split(), *names], cwd=tmp_path, capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert parse_checksum_list(done.stdout, "sums") == [(name, hashlib.sha256(name.encode()).hexdigest()) for name in names]


@pytest.mark.parametrize(
    "data",
    [
        f"{DIGEST}  ./eidos.pyz\r\n{OTHER} *a\r\n".encode(),
        b"\xef\xbb\xbf" + f"{DIGEST.upper()} */dist/eidos.pyz\n{OTHER}  a".encode(),
        f"SHA256(C:\\dist\\eidos.pyz)= {DIGEST}\r\nSHA2-256(a)= {OTHER}\r\n".encode("utf-16"),  # as PowerShell writes it
        f"SHA256 (eidos.pyz) = {DIGEST}\n# comment\n\nSHA256 (eidos.pyz) = {DIGEST}\n{OTHER}  a\n".encode(),
    ],
)
def test_forms_of_lists(data: bytes) -> None:
    entries = parse_checksum_list(data, "sums")
    assert [digest for _, digest in entries] == [DIGEST, OTHER]
    assert find_listed(entries, "eidos.pyz", DIGEST, "sums") == entries[0][0]


@pytest.mark.parametrize(
    "line",
    [
        "x",
        f"{OTHER} eidos.pyz",
        f"{OTHER[1:]}  eidos.pyz",
        f"{'g' * 64}  eidos.pyz",
        f"{OTHER}  ",
        "SHA256 (x) = 0",
        f"{DIGEST}  a",
        f"SHA512 (a) = {OTHER * 2}",
    ],
)
def test_what_no_program_prints_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(InvalidData, match=r"^sums, line 3: "):
        parse_checksum_list(f"# a comment\n{OTHER}  a\n{line}\n".encode(), "sums")


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: f"{OTHER}  {text}".encode("utf-8", "surrogatepass")))
def test_any_list_is_read_or_refused(data: bytes) -> None:
    try:
        entries = parse_checksum_list(data, "sums")
    except InvalidData:
        return
    assert all(len(digest) == 64 and path for path, digest in entries)
    with contextlib.suppress(IntegrityError):
        assert find_listed(entries, "eidos.pyz", DIGEST, "sums") in dict(entries)


@pytest.mark.parametrize(
    ("entries", "listed_path"),
    [
        ([("eidos.pyz", DIGEST)], "eidos.pyz"),
        ([("a", OTHER), ("dist/eidos.pyz", DIGEST)], "dist/eidos.pyz"),
        ([("eidos-1.0.pyz", DIGEST)], "eidos-1.0.pyz"),  # renamed since
        ([("eidos.pyz", OTHER)], None),
        ([("eidos.pyz", OTHER), ("renamed.pyz", DIGEST)], None),  # the list has another file by this name
        ([("a", OTHER)], None),
        ([], None),
    ],
)
def test_a_file_is_looked_up_in_a_list_by_its_name_or_else_by_its_digest(entries: list[tuple[str, str]], listed_path: str | None) -> None:
    if listed_path:
        assert find_listed(entries, "eidos.pyz", DIGEST, "sums") == listed_path
    else:
        with pytest.raises(IntegrityError, match=DIGEST):
            find_listed(entries, "eidos.pyz", DIGEST, "sums")


def test_a_list_with_two_files_of_one_name_is_ambiguous() -> None:
    with pytest.raises(IntegrityError, match=r"ambiguous in sums: a/eidos\.pyz and b/eidos\.pyz have different digests"):
        find_listed([("a/eidos.pyz", DIGEST), ("b/eidos.pyz", OTHER)], "eidos.pyz", DIGEST, "sums")


def test_a_list_verifies_and_refuses(eidos: Run, program: Path) -> None:
    (program.parent / "SHA256SUMS").write_text(f"{DIGEST}  eidos.pyz\n")
    done = eidos("self-verify", "eidos.pyz", "--sums", "SHA256SUMS")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(
        f"eidos.pyz: OK\nsha256: {DIGEST}\nchecked: the SHA-256, by SHA256SUMS, which lists it as eidos.pyz\nnot checked: "
    )
    for at in (0, 300, len(CONTENT) - 1):
        program.write_bytes(CONTENT[:at] + bytes([CONTENT[at] ^ 1]) + CONTENT[at + 1 :])
        done = eidos("self-verify", "eidos.pyz", "--sums", "SHA256SUMS")
        assert done.status == 5 and "OK" not in done.out
        assert done.err.startswith("error: eidos.pyz was modified: its SHA-256 is ")


def test_a_signature_in_another_namespace_says_how_to_sign(eidos: Run, program: Path, keys: Keys) -> None:
    run_program("ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", keys["ssh"].private, "eidos.pyz")
    done = eidos("self-verify", "eidos.pyz", "--key", keys["ssh"].public)
    expected = "error: eidos.pyz.sig: it is not for the namespace 'eidos': sign with 'ssh-keygen -Y sign -n eidos'\n"
    assert (done.status, done.err) == (5, expected)


# ---- nothing, and what cannot be done ----


def test_without_a_list_or_a_key_nothing_is_verified(eidos: Run, program: Path) -> None:
    done = eidos("self-verify", "eidos.pyz")
    assert (done.status, done.out) == (1, f"sha256: {DIGEST}\n")
    assert done.err == "error: eidos.pyz: nothing was verified\nhint: pass --sums SHA256SUMS, --key KEY or both\n"
    done = eidos("self-verify", "eidos.pyz", "-t", "json")
    tree = json.loads(done.out)
    assert (done.status, tree["ok"], tree["sha256"], tree["checked"]) == (1, False, DIGEST, [])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no file to verify: eidos runs from a folder, not from one file"),
        (["missing.pyz"], "missing.pyz: no such file"),
        (["eidos.pyz", "--sums", "missing"], "missing: no such file"),
        (["eidos.pyz", "--sums", "eidos.pyz"], "eidos.pyz, line 2: expected a SHA-256, two spaces and a path"),
        (["eidos.pyz", "--key", "missing"], "--key: missing: no such file"),
        (["eidos.pyz", "--signature", "x"], "--signature needs --key"),
    ],
)
def test_wrong_usage(eidos: Run, program: Path, words: list[str], message: str) -> None:
    done = eidos("self-verify", *words)
    assert (done.status, done.out, done.err.splitlines()[0]) == (2, "", f"error: {message}")


# ---- signatures ----


def sign(kind: str, keys: Keys, gpg_home: Path) -> str:
    """Sign eidos.pyz as the help says; the public key."""
    pair = keys[kind]
    if kind == "ssh":
        run_program("ssh-keygen", "-q", "-Y", "sign", "-n", "eidos", "-f", pair.private, "eidos.pyz")
    elif kind == "gpg":
        run_program("gpg", "--homedir", str(gpg_home), "--batch", "--armor", "--local-user", pair.private, "--detach-sign", "eidos.pyz")
    elif kind == "ed25519":
        run_program("openssl", "pkeyutl", "-sign", "-inkey", pair.private, "-rawin", "-in", "eidos.pyz", "-out", "eidos.pyz.sigstore.json")
    else:
        secret = f"pass:{PASSPHRASE}"
        flags = ("-sha256", "-passin", secret, "-sign", pair.private, "-out", "eidos.pyz.sigstore.json")
        run_program("openssl", "dgst", *flags, "eidos.pyz")
    return pair.public


@pytest.mark.parametrize("kind", ["ssh", "gpg", "EC", "RSA", "ed25519"])
def test_a_signature_of_each_kind_of_key(eidos: Run, program: Path, keys: Keys, gpg_home: Path, kind: str) -> None:
    public = sign(kind, keys, gpg_home)
    done = eidos("self-verify", "eidos.pyz", "--key", public)
    assert (done.status, done.err) == (0, ""), done
    assert f", trusted by {public}\n" in done.out
    other = keys["ssh-other" if kind == "ssh" else "ed25519" if kind in ("EC", "RSA") else "EC"].public
    ending = next(path.name for path in program.parent.iterdir() if path.name.startswith("eidos.pyz."))
    if kind != "gpg":
        done = eidos("self-verify", "eidos.pyz", "--key", other, "--signature", ending)
        assert done.status == 5 and "OK" not in done.out
    program.write_bytes(CONTENT[:-1])
    done = eidos("self-verify", "eidos.pyz", "--key", public)
    assert done.status == 5 and done.err.startswith(f"error: {ending}: ") and "OK" not in done.out
    program.write_bytes(CONTENT)
    (program.parent / ending).write_bytes(b"not a signature\n")
    assert eidos("self-verify", "eidos.pyz", "--key", public).status == 5
    (program.parent / ending).unlink()
    done = eidos("self-verify", "eidos.pyz", "--key", public)
    assert done.status == 5
    assert done.err == f"error: eidos.pyz has no signature: {ending} does not exist\n"


def test_the_format_of_cosign_is_read(eidos: Run, program: Path, keys: Keys) -> None:
    from eidos.sign.openssl_signature import sign_with_openssl
    from eidos.sign.signing_tools import deadline_after

    pair = keys["ed25519"]
    (program.parent / "eidos.pyz.sigstore.json").write_bytes(sign_with_openssl(pair.private, CONTENT, deadline_after(60))[0])
    assert eidos("self-verify", "eidos.pyz", "--key", pair.public).status == 0
    (program.parent / "eidos.pyz.sigstore.json").write_bytes(sign_with_openssl(pair.private, CONTENT + b"x", deadline_after(60))[0])
    assert eidos("self-verify", "eidos.pyz", "--key", pair.public).status == 5


def test_a_list_and_a_key_must_both_hold(eidos: Run, program: Path, keys: Keys, gpg_home: Path) -> None:
    public = sign("ssh", keys, gpg_home)
    sums = program.parent / "SHA256SUMS"
    for digest, status in ((DIGEST, 0), (OTHER, 5)):
        sums.write_text(f"{digest}  eidos.pyz\n")
        done = eidos("self-verify", "eidos.pyz", "--sums", str(sums), "--key", public, "-t", "json")
        tree = json.loads(done.out)
        assert (done.status, tree["ok"], len(tree["checked"])) == (status, not status, 1 + (not status))
        assert tree["signature"]["outcome"] == "valid"


def test_a_program_that_is_missing_verifies_nothing(eidos: Run, program: Path, keys: Keys, gpg_home: Path) -> None:
    public = sign("ssh", keys, gpg_home)
    done = eidos("self-verify", "eidos.pyz", "--key", public, PATH="/nonexistent")
    assert done.status == 1 and "OK" not in done.out
    assert done.err.startswith("error: eidos.pyz: not verified: cannot run ssh-keygen: ")


def _status(*lines: str) -> bytes:
    return "".join(f"[GNUPG:] {line}\n" for line in ("NEWSIG", *lines)).encode()


SIGNER, OTHER_SIGNER, UNKNOWN = "A1" * 20, "B2" * 20, "C3" * 8


def _good(key: str, digest: int = 10, kind: str = "00") -> tuple[str, str]:
    return f"GOODSIG {key[-16:]} Release", f"VALIDSIG {key} 2026-11-29 1795910400 0 4 0 22 {digest} {kind} {key}"


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (_status(*_good(SIGNER)), SIGNER),
        (_status(*_good(OTHER_SIGNER)), f"signed by another key, {OTHER_SIGNER}"),
        (_status(*_good(OTHER_SIGNER), *_good(SIGNER)), SIGNER),
        (_status(f"ERRSIG {UNKNOWN} 1 10 00 1795910400 9", f"NO_PUBKEY {UNKNOWN}"), f"signed by another key, {UNKNOWN}"),
        (_status(f"ERRSIG {UNKNOWN} 1 10 00 1795910400 9", f"NO_PUBKEY {UNKNOWN}", *_good(SIGNER)), SIGNER),
        (_status(*_good(SIGNER), f"ERRSIG {UNKNOWN} 1 10 00 1795910400 4"), "gpg: the signature cannot be verified with this key"),
        (_status(*_good(SIGNER), f"BADSIG {OTHER_SIGNER[-16:]} Other"), "gpg: the signature does not match"),
        (_status(*_good(SIGNER), f"BADSIG {OTHER_SIGNER[-16:]} Other", f"NO_PUBKEY {UNKNOWN}"), "gpg: the signature does not match"),
        (_status(_good(SIGNER)[1]), "gpg: no valid signature"),
        (_status(_good(SIGNER)[1], "EXPKEYSIG 1 Release"), "gpg: the key has expired"),
        (_status(_good(SIGNER)[1], "REVKEYSIG 1 Release"), "gpg: the key was revoked"),
        (_status(*_good(SIGNER, digest=2)), "gpg: the signature uses SHA-1, which is broken"),
        (_status(*_good(SIGNER, kind="01")), "gpg: the signature is one of text, which does not cover the ends of lines"),
        (_status("GOODSIG"), "gpg: no valid signature"),
        (b"", "gpg: no valid signature"),
    ],
)
def test_which_signer_counts_by_the_status_of_gpg(status: bytes, result: str) -> None:
    try:
        signer = read_signer(status, SIGNER, "exit status 2" if b"ERRSIG" in status else "")
    except IntegrityError as fault:
        signer = fault.message.partition(";")[0]
    assert signer == result


def test_what_gpg_fails_with_is_the_reason() -> None:
    with pytest.raises(IntegrityError, match="gpg: out of memory"):
        read_signer(_status(*_good(SIGNER)), SIGNER, "out of memory")


def test_endings_are_those_that_the_programs_write() -> None:
    assert ENDINGS == {"ssh": ".sig", "gpg": ".asc", "openssl": ".sigstore.json"}


@pytest.mark.slow
def test_the_built_file_verifies_itself(pyz: Path, tmp_path: Path, keys: Keys) -> None:
    copy, pair = tmp_path / "eidos.pyz", keys["ssh"]
    shutil.copy(pyz, copy)
    digest = hashlib.sha256(copy.read_bytes()).hexdigest()
    (tmp_path / "SHA256SUMS").write_text(f"{digest}  eidos.pyz\n")
    run_program("ssh-keygen", "-q", "-Y", "sign", "-n", "eidos", "-f", pair.private, str(copy))
    command = [sys.executable, "-I", "-S", "eidos.pyz", "self-verify", "--sums", "SHA256SUMS", "--key", pair.public]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"sha256: {digest}\n" in done.stdout
    with open(copy, "ab") as file:
        file.write(b"\n")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 5
