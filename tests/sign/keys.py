"""Keys of each kind, made once for a run by the programs that people make them with."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

#: The passphrase of the keys that have one.
PASSPHRASE = "correct horse"


#: Keys in PEM → the arguments of genpkey that make them.
PEM_OPTIONS = {
    "EC": ("EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "EC384": ("EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
    "EC521": ("EC", "-pkeyopt", "ec_paramgen_curve:P-521"),
    "RSA": ("RSA",),
    "ed25519": ("ed25519",),
    "EC192": ("EC", "-pkeyopt", "ec_paramgen_curve:prime192v1"),
    "RSA1024": ("RSA", "-pkeyopt", "rsa_keygen_bits:1024"),
}


class KeyPair(NamedTuple):
    """What ``--key`` takes to sign and to verify, with the flags that signing needs besides."""

    private: str
    public: str
    flags: tuple[str, ...] = ()


class Keys(dict[str, KeyPair]):
    """A key of each kind, made when it is first used."""

    def __init__(self, folder: Path, gpg_home: Path) -> None:
        super().__init__()
        self.folder, self.gpg_home = folder, gpg_home

    def __missing__(self, name: str) -> KeyPair:
        if name in PEM_OPTIONS:
            need("openssl")
            pair = make_pem_key(self.folder, name, PASSPHRASE if name == "EC" else "")
        elif name in ("gpg", "gpg-rsa1024"):
            need("gpg")
            form = name.partition("-")[2] or "ed25519"
            fingerprint, exported = make_gpg_key(self.gpg_home, f"{form}@example.com", kind=form), self.folder / f"{name}.asc"
            exported.write_text(run("gpg", "--homedir", str(self.gpg_home), "--batch", "--armor", "--export", fingerprint))
            pair = KeyPair(fingerprint, str(exported))
        elif name == "gpg-with-passphrase":
            need("gpg")
            fingerprint, secret = make_gpg_key(self.gpg_home, "locked@example.com", PASSPHRASE), self.folder / "gpg.pass"
            secret.write_text(PASSPHRASE)
            pair = KeyPair("locked@example.com", fingerprint, ("--with", "gpg", "--passphrase-file", str(secret)))
        else:
            need("ssh-keygen")
            kind = {"ssh-ecdsa": "ecdsa", "ssh-rsa1024": "rsa"}.get(name, "ed25519")
            pair = make_ssh_key(self.folder, name, kind, bits="1024" if kind == "rsa" else "")
        self[name] = pair
        return pair


def run(*command: str, **variables: str) -> str:
    """What a program prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env={**os.environ, **variables})
    return done.stdout


def make_ssh_key(folder: Path, name: str = "ssh", kind: str = "ed25519", passphrase: str = "", bits: str = "") -> KeyPair:
    """A key of OpenSSH."""
    run("ssh-keygen", "-q", "-t", kind, *(("-b", bits) if bits else ()), "-N", passphrase, "-C", "", "-f", str(folder / name))
    return KeyPair(str(folder / name), str(folder / f"{name}.pub"))


def make_pem_key(folder: Path, name: str, passphrase: str = "") -> KeyPair:
    """A key in PEM, one of ``PEM_OPTIONS``."""
    private, public, secret = folder / f"{name}.pem", folder / f"{name}.pub", folder / f"{name}.pass"
    encryption = ["-aes256", "-pass", f"pass:{passphrase}"] if passphrase else []
    run("openssl", "genpkey", "-algorithm", *PEM_OPTIONS[name], *encryption, "-out", str(private))
    run("openssl", "pkey", "-in", str(private), "-passin", f"pass:{passphrase}", "-pubout", "-out", str(public))
    secret.write_text(f"{passphrase}\n")
    return KeyPair(str(private), str(public), ("--passphrase-file", str(secret)) if passphrase else ())


def make_gpg_key(home: Path, name: str = "release@example.com", passphrase: str = "", kind: str = "ed25519") -> str:
    """A key in the keyring at ``home``; its fingerprint."""
    home.mkdir(mode=0o700, exist_ok=True)
    words = ["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", passphrase]
    run("gpg", "--homedir", str(home), *words, "--quick-gen-key", name, kind, "sign", "never")
    lines = run("gpg", "--homedir", str(home), "--batch", "--with-colons", "--list-keys", name).splitlines()
    return next(line.split(":")[9] for line in lines if line.startswith("fpr:"))


def need(*programs: str) -> None:
    """Skip a test where a program is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
