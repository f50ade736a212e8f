"""What a build and the tests need of this machine, checked before it is used: the standard library, pip, a network.

Knows package names of distributions and how pip is configured; must not know what is built or tested. Imports only what the
smallest Python of a distribution has (Debian's python3-minimal).
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import NoReturn

#: A module of each part of the standard library that distributions package separately.
STANDARD_LIBRARY = ("concurrent.futures", "html", "json", "lzma", "shutil", "zlib")

#: Word of ID or ID_LIKE in os-release(5) → the command that installs packages, and how its packages for Python begin.
INSTALL_COMMANDS = {
    "debian": ("apt-get install", "python3"),
    "ubuntu": ("apt-get install", "python3"),
    "fedora": ("dnf install", "python3"),
    "rhel": ("dnf install", "python3"),
    "amzn": ("dnf install", "python3"),
    "suse": ("zypper install", "python3"),
    "alpine": ("apk add", "py3"),
    "arch": ("pacman -S", "python"),
}

#: Seconds that the package index has to accept a connection.
CONNECT_TIMEOUT_S = 2.0

# Runs in an interpreter that has pip: pip's own settings say where its index is. Exits with 0 when the index, or the proxy before it,
# accepts a connection, and also when that cannot be decided here; else prints the address and the reason, and exits with 1.
PROBE = """\
import os, socket, sys, threading, urllib.parse, urllib.request
try:
    from pip._internal.configuration import Configuration
    from pip._internal.models.index import PyPI
    configuration = Configuration(isolated=False)
    configuration.load()
    settings = {}
    for key, value in dict(configuration.items()).items():
        settings.update(value if isinstance(value, dict) else {key: value})
    def setting(name):
        keys = [section + name for section in (":env:.", "download.", "install.", "global.")]
        return next((settings[key] for key in keys if key in settings), "")
    if setting("no-index") or setting("find-links"):
        os._exit(0)
    url = urllib.parse.urlsplit(setting("index-url") or PyPI.simple_url)
    proxy = setting("proxy") or urllib.request.getproxies().get(url.scheme, "")
    if proxy and not urllib.request.proxy_bypass(url.hostname):
        url = urllib.parse.urlsplit(proxy if "://" in proxy else "http://" + proxy)
    host, port = url.hostname, url.port or {"https": 443}.get(url.scheme, 80)
except Exception:
    os._exit(0)
if not host:
    os._exit(0)
reasons = []
def connect():
    try:
        socket.create_connection((host, port), float(sys.argv[1])).close()
        os._exit(0)
    except OSError as error:
        reasons.append(error.strerror or str(error))
thread = threading.Thread(target=connect, daemon=True)
thread.start()
thread.join(float(sys.argv[1]))
print("%s:%d: %s" % (host, port, reasons[0] if reasons else "no answer"), flush=True)
os._exit(1)
"""


def fail(message: str, hint: str) -> NoReturn:
    """End the program with exit status 1."""
    print(f"error: {message}\nhint: {hint}", file=sys.stderr)
    raise SystemExit(1)


def require_standard_library() -> None:
    """End the program when this Python lacks a part of its standard library."""
    for module in STANDARD_LIBRARY:
        try:
            __import__(module)
        except ImportError:
            fail(f"{sys.executable} has no module '{module}': a part of Python's standard library is not installed", install_hint(""))


def require_pip(hint: str) -> None:
    """End the program when this Python has no pip; ``hint`` says what to do where no package can be named."""
    if importlib.util.find_spec("pip") is None:
        fail(f"{sys.executable} has no pip", install_hint("pip", otherwise=hint))


def require_package_index(python: str, hint: str) -> None:
    """End the program when the package index of the pip of ``python`` cannot be reached, well before pip itself would give up."""
    command = [python, "-c", PROBE, str(CONNECT_TIMEOUT_S)]
    probe = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    if probe.returncode == 1 and probe.stdout:
        fail(f"cannot reach the package index at {probe.stdout.strip()}", hint)


def install_hint(*parts: str, otherwise: str = "", os_release: str = "/etc/os-release") -> str:
    """How to install packages of Python on this distribution: ``pip``, ``venv``, or "" for Python itself.

    A Python that the distribution did not install cannot be completed with its packages: ``otherwise`` is the hint there.
    """
    own = os.path.realpath(sys.executable).startswith(("/usr/bin/", "/bin/"))
    command, prefix = install_command(os_release)
    if not own or not command:
        return otherwise or "install a complete Python 3.9 or newer, with pip"
    # Alpine's Python itself is called python3, and venv is a part of it everywhere but on Debian.
    names = [f"{prefix}-{part}" if part else "python3" for part in parts if part != "venv" or command == "apt-get install"]
    return " ".join([command, *names])


def install_command(os_release: str) -> tuple[str, str]:
    """The command that installs packages on the distribution that ``os_release`` names, and the prefix of Python's; "" when unknown."""
    words: list[str] = []
    try:
        with open(os_release, encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.partition("=")
                if name in ("ID", "ID_LIKE"):
                    words[: 0 if name == "ID" else len(words)] = value.strip().strip("\"'").split()
    except OSError:
        pass
    return next((INSTALL_COMMANDS[word] for word in words if word in INSTALL_COMMANDS), ("", ""))
