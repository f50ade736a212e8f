"""Writes dist/eidos.pyz: the program, its packages, its data and its bytecode in one file, the same bytes every time.

Knows what the archive holds and how it is written; must not know what the program does. Runs from any folder, with Python 3.9 or
newer, the standard library, and either pip or a folder with the wheels of WHEELS in it.

    python3 build_zipapp.py                            with bytecode for every CPython from 3.9 on that is installed here
    python3 build_zipapp.py --bytecode none            source only
    python3 build_zipapp.py --for agent                source only, without what an agent does not run: for a ConfigMap
    python3 build_zipapp.py --wheels DIR               without a network: read the wheels from DIR

The archive holds:

    __main__.py           refuses old interpreters in a syntax that they can parse, then runs the bytecode, or the source
    __main__.pyc          the same, compiled for MAIN_BYTECODE_TAG; eidos.py is the same for programs with the archive on sys.path
    packs/                all source, recipes and templates: eidos/archive/packs.py describes the format
    eidos/                what a start reads: packs.py itself, and the data as JSON
    bytecode/<cache tag>  one block for each interpreter: eidos/archive/bytecode_importer.py describes the format
    licenses/             of everything inside
    sbom/                 what is inside, as CycloneDX and as SPDX: eidos/build/sbom.py

One commit gives the same bytes on the same interpreters, zlib and liblzma, whatever the time zone, umask, locale, hash seed, file
times or folder: names are sorted, dates and modes fixed, and interpreters compile with nothing in their environment but a hash seed.
The bill of materials is written beside the file as well, under its name with ``.cdx.json`` and ``.spdx.json``.
It prints ``path:``, ``bytecode:``, ``size:`` (bytes) and ``sha256:``, a line each, or exits with 1, and the reason on stderr.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import io
import json
import lzma
import marshal
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from eidos import _PUBLIC_NAMES, __version__
from eidos.archive import purposes
from eidos.archive.bytecode_importer import CODES
from eidos.build.interpreters import Interpreter, select_interpreters
from eidos.build.module_groups import UNCOMPRESSED_GROUPS, all_groups, module_groups
from eidos.build.prerequisites import fail, require_package_index, require_pip
from eidos.build.sbom import Program, ShippedPackage, sbom_documents
from eidos.build.source_commit import ROOT, commit, commit_time
from eidos.files import resources

#: Where fetched wheels stay between builds.
WHEEL_CACHE = ROOT / ".wheels"


class Wheel(NamedTuple):
    """A package to ship: ``modules`` matches what of it, ``license`` is its licence in the words of SPDX.

    ``terms`` is the file with the text of that (None: the comment that begins its module). ``package`` gets an ``__init__.py`` of ours,
    because its own imports modules that are not shipped.
    """

    name: str
    version: str
    file: str
    sha256: str
    modules: str
    license: str
    package: str | None = None
    terms: str | None = None


# PyYAML has no pure wheel, and its sdist would run a build back-end; the Python files are the same in each platform's wheel.
# The program reads PyYAML's events and writes YAML by itself; the other modules would double the time of an import of yaml.
WHEELS = (
    Wheel(
        name="PyYAML",
        version="6.0.3",
        file="pyyaml-6.0.3-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64.whl",
        sha256="b8bb0864c5a28024fac8a632c443c87c5aa6f215c0b126c449ae1a150412f31d",
        modules=r"yaml/(error|events|parser|reader|scanner|tokens)\.py",
        license="MIT",
        package="yaml",
        terms="pyyaml-6.0.3.dist-info/licenses/LICENSE",
    ),
    Wheel(
        name="nvidia-ml-py",
        version="13.615.71",
        file="nvidia_ml_py-13.615.71-py3-none-any.whl",
        sha256="959bf4adf6fe1308e4bd739e722236b0d1ec8392e2cefad33ff70c311380b9b6",
        modules=r"pynvml\.py",
        license="BSD-3-Clause",
    ),
)

#: The licence of the program itself, as SPDX calls it.
OWN_LICENSE = "Apache-2.0"

#: Tags with which pip fetches the files named above, whatever interpreter and machine it runs on.
PIP_TAGS = ("--platform=manylinux2014_x86_64", "--implementation=cp", "--python-version=3.11", "--abi=cp311")

# Python 2.7 and 3.6 parse all of this before they run its first line.
MAIN = """\
import sys

if sys.version_info < (3, 9):
    sys.stderr.write("eidos needs Python 3.9 or newer, this is %d.%d.%d\\n" % sys.version_info[:3])
    sys.exit(2)
from _frozen_importlib_external import MAGIC_NUMBER

try:
    root = __file__.rpartition(__name__)[0]
    name = "bytecode/%s" % sys.implementation.cache_tag
    try:
        block = __loader__.get_data(root + name)
    except OSError:  # none for this interpreter
        block = b""
    if block[:4] == MAGIC_NUMBER:
        import marshal

        end = 8 + int.from_bytes(block[4:8], "little")
        importer = {"__name__": "eidos.archive.bytecode_importer"}
        exec(marshal.loads(block[8:end]), importer)
        importer["install"](block, end, name, __loader__, root)
    else:
        path = root + "eidos/archive/packs.py"
        importer = {"__name__": "eidos.archive.packs"}
        exec(compile(__loader__.get_data(path), path, "exec"), importer)
        importer["install"](__loader__, root)
    sys.modules.pop("eidos", None)  # this module, when it is imported: the package takes its place
    from eidos.cli import program
except KeyboardInterrupt:
    sys.exit(130)
except ModuleNotFoundError as fault:
    sys.stderr.write("error: %s has no module %r: a part of Python's standard library is not installed\\n" % (sys.executable, fault.name))
    sys.exit("hint: install the whole of Python 3, on Debian and Ubuntu with 'apt-get install python3'")
if __name__ == "__main__":
    program()
"""

#: zipimport looks for one ``__main__.pyc``, and compiling the source costs a tenth of an empty start. Ubuntu 24.04 has 3.12.
MAIN_BYTECODE_TAG = "cpython-312"

#: Entries of the archive that lie in no pack: what a start reads, and what people look for.
UNPACKED = (
    r"__main__\.pyc?|eidos/archive/packs\.py|eidos/_data/\w+\.(json|parts)|eidos/_data/templates/(fleet\.yaml|harmless/.+)|bytecode/.+|licenses/.+|"
    r"sbom/.+"
)

#: What runs from its source under every interpreter: who writes recipes and templates runs it, and no node does.
NOT_COMPILED = r"eidos/recipe/lint/.+|eidos/check/check_lint\.py|eidos/bundle/template_lint\.py|eidos/cli/lint_report\.py"


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the archive; any failure ends the program with a message."""
    sys.path.insert(0, str(ROOT))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: dist/eidos.pyz; with --for dist/eidos-PURPOSE.pyz")
    parser.add_argument("--bytecode", nargs="+", metavar="PYTHON", help="auto (default: all found here), none, or paths")
    parser.add_argument("--for", dest="purpose", choices=purposes.LEFT_OUT, help="leave out the bytecode and what that does not run")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="take the wheels from here and use no network")
    options = parser.parse_args(arguments)
    if options.purpose and options.bytecode:
        parser.error("--bytecode cannot be used with --for, which leaves all bytecode out")
    interpreters = select_interpreters(["none"] if options.purpose else options.bytecode or ["auto"])
    data = build_archive(interpreters, {wheel: locate_wheel(wheel, options.wheels) for wheel in WHEELS})
    output = options.output or ROOT / "dist" / ("eidos.pyz" if options.purpose is None else f"eidos-{options.purpose}.pyz")
    if options.purpose:
        data = purposes.select_entries(data, options.purpose)
    write_output(output, data)
    if not options.purpose:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in resources.SBOM_FILES.values():
                write_output(output.with_name(output.stem + name[name.index(".") :]), archive.read(name), 0o644)
    versions = " ".join(interpreter.version for interpreter in interpreters) or "none"
    print(f"path: {output}\nbytecode: {versions}\nsize: {len(data)}\nsha256: {hashlib.sha256(data).hexdigest()}")


def build_archive(interpreters: Sequence[Interpreter], wheels: Mapping[Wheel, Path]) -> bytes:
    """The archive's bytes."""
    files = {"__main__.py": MAIN.encode(), "licenses/eidos.txt": (ROOT / "LICENSE").read_bytes()}
    for wheel, path in wheels.items():
        files.update(wheel_files(wheel, path))
    files.update(project_files(wheels.values()))
    modules = {name: text for name, text in files.items() if name.endswith(".py") and not re.fullmatch(NOT_COMPILED, name)}
    for interpreter in interpreters:
        magic, codes, groups = compile_modules(interpreter, modules)
        main_code = codes.pop("__main__.py")
        if interpreter.cache_tag == MAIN_BYTECODE_TAG:
            # An unchecked hash: python3 --check-hash-based-pycs=always reads the source instead, for the hash is zero.
            files["__main__.pyc"] = magic + b"\1\0\0\0" + bytes(8) + main_code
        name = f"bytecode/{interpreter.cache_tag}"
        files[name], files[name + CODES] = make_block(magic, codes, groups)
    packed = {name: files.pop(name) for name in list(files) if not re.fullmatch(UNPACKED, name)}
    entries = {**files, **make_packs(packed), "eidos.py": MAIN.encode(), "eidos/py.typed": b""}
    return zip_archive({**entries, **sbom_documents(describe_program(entries), [describe_wheel(wheel, wheels[wheel]) for wheel in wheels])})


def describe_program(entries: Mapping[str, bytes]) -> Program:
    """What the bill of materials says of the program in an archive with these entries."""
    created = datetime.fromtimestamp(commit_time(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Program(__version__, OWN_LICENSE, commit(), resources.data_digest(), resources.digest_of_files(entries), created)


def describe_wheel(wheel: Wheel, path: Path) -> ShippedPackage:
    """What the bill of materials says of a wheel."""
    files = wheel_files(wheel, path)
    terms = files.pop(f"licenses/{wheel.name}.txt").decode()
    modules = {name: hashlib.sha256(content).hexdigest() for name, content in files.items() if re.fullmatch(wheel.modules, name)}
    return ShippedPackage(wheel.name, wheel.version, wheel.license, terms, wheel.file, wheel.sha256, modules)


def wheel_files(wheel: Wheel, path: Path) -> dict[str, bytes]:
    """What the archive holds of a wheel: its modules and its license."""
    with zipfile.ZipFile(path) as source:
        modules = {name: source.read(name) for name in source.namelist() if re.fullmatch(wheel.modules, name)}
        terms = source.read(wheel.terms or next(iter(modules)))
    if wheel.terms is None:
        terms = re.sub(rb"(?m)^#+ ?", b"", terms[: terms.index(b"\n\n")]).strip() + b"\n"
    if wheel.package is not None:
        modules[f"{wheel.package}/__init__.py"] = f'"""Of {wheel.name} {wheel.version}, the modules that eidos reads with."""\n'.encode()
    return {**modules, f"licenses/{wheel.name}.txt": terms}


def project_files(wheel_paths: Iterable[Path]) -> dict[str, bytes]:
    """The project's own files. The program itself lists its modules and parses its data, so that it and this script cannot disagree."""
    sys_path = list(sys.path)
    sys.path[:0] = map(str, wheel_paths)  # PyYAML, which reads the recipes, is imported from its wheel
    from eidos import collectors
    from eidos.build.recipe_packer import pack_recipes, pack_trees

    sources = [
        (f"eidos/{name}", path) for name, path in resources.walk_files(str(ROOT / "eidos")) if name.endswith(".py") and name[:6] != "build/"
    ]
    sources += [(f"eidos/_data/templates/{name}", path) for name, path in resources.walk_files(str(ROOT / "templates"))]
    files = {name: Path(path).read_bytes() for name, path in sources}
    templates, values = parsed_data()
    files[f"eidos/_data/{resources.TEMPLATES_JSON}"] = json.dumps(templates, separators=(",", ":"), allow_nan=False).encode()
    for name in [name for name, content, _ in templates if name and isinstance(content, str)]:
        del files[f"eidos/_data/templates/bundles/{name}"]
    files[f"eidos/_data/{resources.VALUES_PARTS}"] = pack_trees(values)
    files[f"eidos/_data/{resources.RECIPES_PARTS}"] = pack_recipes(resources.load_recipes())
    # Parsed, and not imported: whoever runs this with -OO has no docstrings.
    trees = {name: ast.parse(files[f"eidos/collectors/{name.replace('.', '_', 1)}.py"]) for name in collectors.list_collectors()}
    summaries = {name: (ast.get_docstring(tree) or "").partition("\n")[0] for name, tree in trees.items()}
    constants = f"COMMIT = {commit()!r}\nDATA_DIGEST = {resources.data_digest()!r}\nCOLLECTORS = {summaries!r}\n"
    constants += f"DEPLOYERS = {resources.list_deployers()!r}\n"
    constants += f"PACKAGES = {[(wheel.name, wheel.version, wheel.license) for wheel in WHEELS]!r}\n"
    files["eidos/_build.py"] = f'"""What this build is; written by build_zipapp.py."""\n\n{constants}'.encode()
    sys.path[:] = sys_path
    return files


def parsed_data() -> tuple[list[Any], dict[str, object]]:
    """The bundle templates, parsed where JSON represents them exactly, and the values of charts by path: no start parses them."""
    from eidos import formats
    from eidos.bundle.template_sets import split_documents
    from eidos.templates.placeholder import split_line
    from eidos.templates.template_syntax import split_text
    from eidos.templates.tree_template import template_strings

    recipes = resources.load_recipes()
    files: dict[str, Any] = {}
    texts = [*template_strings(recipes)]
    for name, text in resources.load_bundle_templates()["files"].items():
        documents = split_documents(text, f"templates/bundles/{name}") if name.endswith(".yaml") else []
        is_exact = documents and formats.to_yaml(json.loads(json.dumps(documents))) == formats.to_yaml(documents)
        files[name] = documents if is_exact else text
        texts += template_strings(documents or text)
    charts = [path[: -len(".yaml")] for path in resources.chart_values_files() if path.endswith(".yaml")]
    names = [path.removeprefix(resources.VALUES_FOLDER) for path in charts]
    values = {name: resources.load_chart_values(name) for name in names}
    splits = {text: split_text(text) for text in texts if split_line(text) is None}
    templates = [[name, content, splits.pop(content, None) if isinstance(content, str) else None] for name, content in files.items()]
    templates += [["", text, split] for text, split in splits.items()]
    return templates, values


def locate_wheel(wheel: Wheel, folder: Path | None) -> Path:
    """The wheel's path, in ``folder`` or in the cache, fetched first if need be; ends the program when it is not the pinned file."""
    path = (folder or WHEEL_CACHE) / wheel.file
    download = ["pip", "download", "--no-deps", "--only-binary=:all:", *PIP_TAGS, f"{wheel.name}=={wheel.version}"]
    if folder is None and not path.exists():
        hint = f"download {wheel.name} {wheel.version} elsewhere, put {wheel.file} into a folder and name that with --wheels"
        require_pip(hint)
        require_package_index(sys.executable, hint)
        with tempfile.TemporaryDirectory() as target:
            command = [sys.executable, "-m", *download, "--disable-pip-version-check", "--quiet", f"--dest={target}"]
            done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=sys.stderr)
            fetched = Path(target, wheel.file)
            if done.returncode or not fetched.exists():
                fail(f"pip did not fetch {wheel.name} {wheel.version}", hint)
            write_output(path, fetched.read_bytes(), 0o644)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        fail(f"{wheel.name} {wheel.version}: {path}: {error.strerror}", f"fetch it with {' '.join(download)}")
    if digest != wheel.sha256:
        mismatch = f"{path} is not the wheel that is pinned: its SHA-256 is {digest}, not {wheel.sha256}"
        fail(mismatch, "remove it, and find out who changed it")
    return path


def compile_modules(interpreter: Interpreter, modules: Mapping[str, bytes]) -> tuple[bytes, dict[str, bytes], dict[tuple[str, ...], bytes]]:
    """The magic number of an interpreter's bytecode, file → marshalled code of each module, and files → that of each group."""
    files = {module_name(file): file for file in modules}
    groups = [[(name, files[name]) for name in group] for group in all_groups(files)]
    # Not -I or -E: they ignore the hash seed. Without columns (3.11 and later) code is a fifth smaller; tracebacks have lines.
    command = [interpreter.path, "-S", "-W", "ignore", "-X", "no_debug_ranges", str(ROOT / "eidos" / "build" / "bytecode_compiler.py")]
    public = {"eidos": ("__getattr__", "__dir__"), "eidos.model.record": ("Record",), **_PUBLIC_NAMES}
    names = {name.replace(".", "/") + end: public[name] for name in public for end in (".py", "/__init__.py")}
    texts = marshal.dumps(([(file, text, names.get(file, ())) for file, text in sorted(modules.items())], groups), 2)
    done = subprocess.run(command, input=texts, env={"PYTHONHASHSEED": "0"}, cwd="/", stdout=subprocess.PIPE, check=False)
    if done.returncode:
        fail(f"{interpreter.path} cannot compile the program", "the message above is its own; leave it out with --bytecode")
    magic, codes, together = marshal.loads(done.stdout)
    return magic, codes, {tuple(file for _, file in group): code for group, code in zip(groups, together)}


def module_name(file: str) -> str:
    """The name of the module in a file, such as eidos.cli for eidos/cli/__init__.py."""
    return re.sub(r"(/__init__)?\.py$", "", file).replace("/", ".")


def make_block(magic: bytes, codes: Mapping[str, bytes], groups: Mapping[tuple[str, ...], bytes]) -> tuple[bytes, bytes]:
    """The two files of one interpreter's block, as eidos/archive/bytecode_importer.py reads them, from code by file and by group."""
    index: dict[str, tuple[bool, int, int, int]] = {}
    bodies = b""
    grouped = {file for files in groups for file in files}
    uncompressed = {name for group in module_groups(UNCOMPRESSED_GROUPS) for name in group}
    for files, code in (*groups.items(), *(((file,), code) for file, code in codes.items() if file not in grouped)):
        compressed = zlib.compress(code, 9)
        body = code if module_name(files[0]) in uncompressed or len(compressed) >= len(code) else compressed
        for file in files:
            index[module_name(file)] = (file.endswith("/__init__.py"), len(bodies), len(body), len(code))
        bodies += body
    importer, table = codes["eidos/archive/bytecode_importer.py"], marshal.dumps(index, 2)
    return b"".join((magic, len(importer).to_bytes(4, "little"), importer, table)), bodies


def make_packs(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The packs that hold these files, as eidos/archive/packs.py reads them."""
    from eidos.archive.packs import pack_of

    heads: dict[str, str] = {}
    bodies: dict[str, bytes] = {}
    for name in sorted(files):
        pack = pack_of(name)
        heads[pack] = heads.get(pack, "") + f"{len(files[name])} {name}\n"
        bodies[pack] = bodies.get(pack, b"") + files[name]
    contents = {pack: f"{head}\n".encode() + bodies[pack] for pack, head in heads.items()}
    return {pack: _compress_code(text) if b".py\n" in text[:200] else zlib.compress(text, 9) for pack, text in contents.items()}


def _compress_code(text: bytes) -> bytes:
    """An xz stream that is read with 4 MiB of memory; the default would take 64. Text has no alignment: ``pb``."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 4 << 20, "pb": 0}]
    return lzma.compress(text, lzma.FORMAT_XZ, filters=filters)


def zip_archive(entries: Mapping[str, bytes]) -> bytes:
    """A zip file behind a ``#!`` line, with nothing in it that depends on when or where it was written."""
    file = io.BytesIO()
    file.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(file, "w") as target:
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # Unix, wherever this runs
            info.external_attr = 0o100644 << 16
            # Blocks, packs and parts are compressed inside; the first lines are not worth inflating.
            is_stored = name.startswith(("__main__.py", "bytecode/", "packs/")) or name.endswith(".parts")
            target.writestr(info, entries[name], zipfile.ZIP_STORED if is_stored else zipfile.ZIP_DEFLATED, 9)
    return file.getvalue()


def write_output(path: Path, data: bytes, mode: int = 0o755) -> None:
    """Replace ``path`` with ``data`` in one step; it has exactly this mode, whatever the umask."""
    from eidos.errors import EidosError
    from eidos.files.atomic_write import write_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(str(path), data, mode)
        path.chmod(mode)
    except (OSError, EidosError) as error:
        fail(str(error), "name another place with -o")
