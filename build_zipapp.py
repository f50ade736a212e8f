#!/usr/bin/env python3
"""Writes dist/eidos.pyz: the program, what it needs, its data and its bytecode in one file, the same bytes every time.

Knows what the archive holds and how it comes to be; must not know what the program does. Runs from any folder, with Python
3.9 or newer and nothing but the standard library and (for what WHEELS names) pip or a folder with the wheels in it.

    python3 build_zipapp.py                            for every CPython from 3.9 on that is found here
    python3 build_zipapp.py --bytecode none            slim: source only
    python3 build_zipapp.py --bytecode python3.12 -o /tmp/eidos.pyz
    python3 build_zipapp.py --wheels DIR               no network: the wheels lie in DIR

What lies where in the archive:

    __main__.py           refuses old interpreters in words they understand, then starts the bytecode, or the source
    __main__.pyc          the same for FIRST, the one interpreter that can be spared from compiling it
    packs/                all source, recipes and templates; eidos/archive/packs.py says what a pack looks like
    eidos/                what every start reads: that file, and the data as JSON
    bytecode/<cache tag>  one block for each interpreter; eidos/archive/bytecode_importer.py says what it looks like
    licenses/             of everything inside

The promise of the same bytes holds for one commit, the same interpreters and the same zlib, whatever the time zone, umask,
locale, hash seed, file times or folder: names are sorted, dates and modes fixed, and each interpreter compiles in a process
of its own, with an environment that is empty but for the hash seed.

It prints four lines, ``path:``, ``bytecode:``, ``size:`` (bytes) and ``sha256:``. Exit status 0, or 1 with the reason on stderr
and nothing written.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent

#: Where fetched wheels are kept between builds.
CACHE = ROOT / ".wheels"

#: Oldest interpreter that eidos runs on, as sys.hexversion says it.
OLDEST = 0x03090000

#: What is carried of the project itself; the commit counts as dirty when these differ from it.
CARRIED = ("eidos", "recipes", "templates", "build_zipapp.py", "LICENSE")


class Wheel(NamedTuple):
    """A package that is carried: ``modules`` is what of it, ``license`` which file of it (None: the comment that begins its module).

    ``package``, where it is not None, gets an ``__init__.py`` of ours, because its own imports modules that are not carried.
    Of modules that are not ``whole`` those definitions are carried that the program names: ``eidos/excerpt.py``.
    """

    name: str
    version: str
    file: str
    sha256: str
    tags: tuple[str, ...]
    modules: str
    package: str | None
    whole: bool
    license: str | None


# PyYAML has no pure wheel, and its sdist would run a build back-end; the Python files are the same in each platform's wheel.
# The program reads PyYAML's events and writes YAML by itself: the rest would be half of an import of yaml, of its size and its time.
WHEELS = (
    Wheel(
        name="PyYAML",
        version="6.0.3",
        file="pyyaml-6.0.3-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64.whl",
        sha256="b8bb0864c5a28024fac8a632c443c87c5aa6f215c0b126c449ae1a150412f31d",
        tags=("--platform=manylinux2014_x86_64", "--implementation=cp", "--python-version=3.11", "--abi=cp311"),
        modules=r"yaml/(error|events|parser|reader|scanner|tokens)\.py",
        package="yaml",
        whole=True,
        license="pyyaml-6.0.3.dist-info/licenses/LICENSE",
    ),
    Wheel(
        name="nvidia-ml-py",
        version="13.615.71",
        file="nvidia_ml_py-13.615.71-py3-none-any.whl",
        sha256="959bf4adf6fe1308e4bd739e722236b0d1ec8392e2cefad33ff70c311380b9b6",
        tags=("--platform=any", "--implementation=py", "--python-version=3.11", "--abi=none"),
        modules=r"pynvml\.py",
        package=None,
        whole=False,
        license=None,
    ),
)

OF_WHEEL = '''"""Of {wheel.name} {wheel.version}, the modules that eidos reads with; this file is written by build_zipapp.py."""\n'''

# In words that Python 2.7 and 3.6 can parse: they read all of it before they run the first line.
MAIN = """\
import sys

if sys.version_info < (3, 9):
    sys.stderr.write("eidos needs Python 3.9 or newer, this is %d.%d.%d\\n" % sys.version_info[:3])
    sys.exit(2)

from _frozen_importlib_external import MAGIC_NUMBER

try:
    root = __file__.rpartition("__main__")[0]
    try:
        block = __loader__.get_data("%sbytecode/%s" % (root, sys.implementation.cache_tag))
    except OSError:  # none for this interpreter
        block = b""
    if block[:4] == MAGIC_NUMBER:
        import marshal

        end = 8 + int.from_bytes(block[4:8], "little")
        importer = {"__name__": "eidos.archive.bytecode_importer"}
        exec(marshal.loads(block[8:end]), importer)
        importer["install"](block, end, __loader__, root)
    else:
        path = root + "eidos/archive/packs.py"
        importer = {"__name__": "eidos.archive.packs"}
        exec(compile(__loader__.get_data(path), path, "exec"), importer)
        importer["install"](__loader__, root)
    from eidos.cli import program
except KeyboardInterrupt:
    sys.exit(130)
program()
"""

#: zipimport looks for one ``__main__.pyc``; compiling the source costs a tenth of an empty start. Ubuntu 24.04 has 3.12.
FIRST = "cpython-312"

#: Files of the archive that lie in no pack: what a start reads, and what people look for.
ALONE = r"__main__\.pyc?|eidos/archive/packs\.py|eidos/_data/\w+\.json|bytecode/.+|licenses/.+"

ASK = """\
import sys
print(sys.implementation.name, "%d.%d.%d" % sys.version_info[:3], sys.hexversion, sys.implementation.cache_tag, sys.executable)
"""


class Interpreter(NamedTuple):
    """A CPython that can be compiled for: its sys.hexversion is ``number``, its sys.implementation.cache_tag ``tag``."""

    path: str
    version: str
    number: int
    tag: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the archive; the exit status is 0, any failure ends the program with a message."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    wanted = "auto (default: every CPython from 3.9 on that is found), none, or interpreters"
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "dist" / "eidos.pyz", metavar="FILE", help="default: dist/eidos.pyz")
    parser.add_argument("--bytecode", nargs="+", default=["auto"], metavar="PYTHON", help=wanted)
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="take the wheels from here and use no network")
    options = parser.parse_args(arguments)
    interpreters = chosen(options.bytecode)
    data = build(interpreters, {wheel: read_wheel(wheel, options.wheels) for wheel in WHEELS})
    write(options.output, data)
    print(f"path: {options.output}")
    print(f"bytecode: {' '.join(interpreter.version for interpreter in interpreters) or 'none'}")
    print(f"size: {len(data)}")
    print(f"sha256: {hashlib.sha256(data).hexdigest()}")
    return 0


def fail(message: str, hint: str) -> NoReturn:
    """End the program with exit status 1."""
    print(f"error: {message}\nhint: {hint}", file=sys.stderr)
    raise SystemExit(1)


def build(interpreters: Sequence[Interpreter], wheels: Mapping[Wheel, bytes]) -> bytes:
    """The archive's bytes."""
    entries = {"__main__.py": MAIN.encode(), "licenses/eidos.txt": (ROOT / "LICENSE").read_bytes()}
    for wheel, content in wheels.items():
        entries.update(carried(wheel, content))
    entries.update(project(wheels))
    from eidos import blocks, excerpt
    from eidos.archive import packs

    named = excerpt.words("".join(text.decode() for name, text in entries.items() if name.startswith("eidos/") and name.endswith(".py")))
    for wheel, content in wheels.items():
        if not wheel.whole:
            cut = {name: excerpt.excerpt(text.decode(), named) for name, text in carried(wheel, content).items() if name.endswith(".py")}
            entries.update({name: text.encode() for name, text in cut.items()})
    modules = {name: text for name, text in entries.items() if name.endswith(".py")}
    wanted = blocks.importers(modules)
    for interpreter in interpreters:
        try:
            magic, codes = blocks.compiled(interpreter.path, modules)
        except subprocess.CalledProcessError:
            fail(f"{interpreter.path} cannot compile the program", "the message above is its own; leave it out with --bytecode")
        first = codes.pop("__main__.py")
        if interpreter.tag == FIRST:
            # Unchecked: whoever asks Python to check all the same gets the source, for no hash is given.
            entries["__main__.pyc"] = magic + b"\1\0\0\0" + bytes(8) + first
        entries[f"bytecode/{interpreter.tag}"] = blocks.block(magic, codes, wanted)
    alone = {name: data for name, data in entries.items() if re.fullmatch(ALONE, name)}
    return archive({**alone, **packs.packs({name: data for name, data in entries.items() if name not in alone})})


def project(wheels: Mapping[Wheel, bytes]) -> dict[str, bytes]:
    """The project's own files. The program itself says what its modules and data are, so that it and this cannot disagree."""
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as folder:
        for wheel, content in wheels.items():  # PyYAML, to read the recipes with
            for name, text in carried(wheel, content).items():
                target = Path(folder, name)
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(text)
        before = list(sys.path)
        sys.path[:0] = [str(ROOT), folder]
        try:
            from eidos import collectors
            from eidos.bundle.prepared import for_archive
            from eidos.files import resources

            names = tuple(sorted(name.replace(".", "_") for name in collectors.names()))
            digest, prepared = resources.data_digest(), for_archive()
        finally:
            sys.path[:] = before
    entries = {f"eidos/{name}": Path(path).read_bytes() for name, path in resources.files(str(ROOT / "eidos")) if name.endswith(".py")}
    for data in ("recipes", "templates"):
        entries.update({f"eidos/_data/{data}/{name}": Path(path).read_bytes() for name, path in resources.files(str(ROOT / data))})
    for name, tree in prepared.items():
        entries[f"eidos/_data/{name}"] = json.dumps(tree, separators=(",", ":"), allow_nan=False).encode()
    entries["eidos/_build.py"] = (
        '"""What this build is; written by build_zipapp.py.\n\n'
        'Knows only that; must not know anything else."""\n\n'
        "from __future__ import annotations\n\n"
        f"COMMIT = {commit()!r}\nDATA_DIGEST = {digest!r}\nCOLLECTORS: tuple[str, ...] = {names!r}\n"
    ).encode()
    return entries


def commit() -> str:
    """HEAD of this folder's own repository, with ``-dirty`` when what is carried differs from it; ``unknown`` without git."""

    def git(*arguments: str) -> str:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        command = ["git", "--no-optional-locks", "-C", str(ROOT), *arguments]
        return subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()

    try:
        if not os.path.samefile(git("rev-parse", "--show-toplevel"), ROOT):
            return "unknown"
        head = git("rev-parse", "HEAD")
        return head + ("-dirty" if git("status", "--porcelain", "--", *CARRIED) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def read_wheel(wheel: Wheel, folder: Path | None) -> bytes:
    """The wheel's bytes, from ``folder``, the cache or the network; ends the program when they are not those in the table."""
    path = (folder or CACHE) / wheel.file
    if folder is None and not path.exists():
        fetch(wheel, path)
    try:
        content = path.read_bytes()
    except OSError as fault:
        fail(f"{wheel.name} {wheel.version}: {path}: {fault.strerror}", f"fetch it with {' '.join(['pip', *download(wheel)])}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != wheel.sha256:
        fail(
            f"{path} is not the wheel that is pinned: its SHA-256 is {digest}, not {wheel.sha256}", "remove it, and find out who changed it"
        )
    return content


def download(wheel: Wheel) -> list[str]:
    """Arguments of pip that fetch this one file, whatever interpreter and machine they run on."""
    return ["download", "--no-deps", "--only-binary=:all:", *wheel.tags, f"{wheel.name}=={wheel.version}"]


def fetch(wheel: Wheel, path: Path) -> None:
    """Let pip put the wheel at ``path``, whole or not at all."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *download(wheel), f"--dest={folder}"]
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        if done.returncode:
            fail(f"pip did not fetch {wheel.name} {wheel.version}", f"put {wheel.file} into a folder and name it with --wheels")
        found = os.listdir(folder)
        if found != [wheel.file]:
            fail(f"pip fetched {', '.join(found) or 'nothing'}, not {wheel.file}", "put that file into a folder and name it with --wheels")
        write(path, Path(folder, wheel.file).read_bytes(), 0o644)


def carried(wheel: Wheel, content: bytes) -> dict[str, bytes]:
    """What the archive holds of a wheel: its modules and its license."""
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        modules = {name: source.read(name) for name in source.namelist() if re.fullmatch(wheel.modules, name)}
        terms = source.read(wheel.license or next(iter(modules)))
    if wheel.license is None:
        terms = re.sub(rb"(?m)^#+ ?", b"", terms[: terms.index(b"\n\n")]).strip() + b"\n"
    if wheel.package is not None:
        modules[f"{wheel.package}/__init__.py"] = OF_WHEEL.format(wheel=wheel).encode()
    return {**modules, f"licenses/{wheel.name}.txt": terms}


def chosen(words: Sequence[str]) -> list[Interpreter]:
    """The interpreters that ``--bytecode`` names: of each minor version the newest, and of equal ones the first found."""
    if words == ["none"]:
        return []
    automatic = words == ["auto"]
    best: dict[str, Interpreter] = {}
    for word in candidates() if automatic else words:
        found = ask(word)
        if found is None and not automatic:
            fail(f"--bytecode: {word!r} is no CPython from 3.9 on that runs here", "say auto, none, or names or paths of interpreters")
        if found and (found.tag not in best or found.number > best[found.tag].number):
            best[found.tag] = found
    return sorted(best.values(), key=lambda interpreter: interpreter.number)


def find_interpreters() -> dict[str, str]:
    """Version → path of every CPython that ``--bytecode auto`` finds here, oldest first."""
    return {interpreter.version: interpreter.path for interpreter in chosen(["auto"])}


def candidates() -> list[str]:
    """Paths that may be interpreters: the running one, those on PATH, and those that pyenv installed."""
    paths = [sys.executable]
    for folder in os.get_exec_path():
        found = glob.glob(os.path.join(glob.escape(folder), "python3*"))
        paths += sorted(path for path in found if re.fullmatch(r"python3(\.\d+)?", os.path.basename(path)))
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    paths += sorted(glob.glob(os.path.join(glob.escape(pyenv), "versions", "*", "bin", "python3")))
    return list(dict.fromkeys(os.path.abspath(path) for path in paths if path))


def ask(word: str) -> Interpreter | None:
    """The interpreter at a path or of a name on PATH; None when it does not run, is too old or is no CPython."""
    path = shutil.which(word)
    if path is None:
        return None
    try:
        null, command = subprocess.DEVNULL, [path, "-I", "-S", "-c", ASK]
        done = subprocess.run(command, stdin=null, stdout=subprocess.PIPE, stderr=null, timeout=30, check=True)
        name, version, number, tag, real = os.fsdecode(done.stdout).rstrip("\n").split(" ", 4)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    if name != "cpython" or int(number) < OLDEST or not re.fullmatch(r"cpython-\d+", tag):
        return None
    return Interpreter(real, version, int(number), tag)  # what was asked may be a script that looks for it on PATH


def archive(entries: Mapping[str, bytes]) -> bytes:
    """A zip file behind a ``#!`` line, with nothing in it that depends on when or where it was made."""
    file = io.BytesIO()
    file.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(file, "w") as target:
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # Unix, wherever this runs
            info.external_attr = 0o100644 << 16
            # Blocks and packs are compressed inside; the first lines are not worth inflating.
            stored = name.startswith(("__main__.py", "bytecode/", "packs/"))
            target.writestr(info, entries[name], zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED, 9)
    return file.getvalue()


def write(path: Path, data: bytes, mode: int = 0o755) -> None:
    """Put ``data`` at ``path``, whole or not at all, with exactly this mode."""
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        os.replace(temporary, path)
    except OSError as fault:
        if temporary:
            os.unlink(temporary)
        fail(f"{path}: {(fault.strerror or str(fault)).lower()}", "name another place with -o")


if __name__ == "__main__":
    sys.exit(main())
