"""The built file: what is in it, that it is the same each time, and where it runs."""

from __future__ import annotations

import ast
import glob
import hashlib
import json
import lzma
import marshal
import os
import random
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from eidos import collectors, formats
from eidos.archive.bytecode_importer import CODES
from eidos.build import source_commit, zipapp_builder
from eidos.build.bytecode_compiler import compile_module
from eidos.build.module_groups import COMPRESSED_GROUPS, UNCOMPRESSED_GROUPS, module_groups
from eidos.files import resources
from eidos.files.resources import RecipeParts
from eidos.manifest.payload import MAX_CONFIGMAP_BYTES
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

BUILD = str(ROOT / "build_zipapp.py")
#: Bytes of the file with the bytecode of six interpreters, and of the one for agents; that for servers must fit into a ConfigMap.
LIMIT, AGENT_LIMIT = 13 << 20, 900 << 10

# Runs the file as `python3 eidos.pyz --version` does, and prints at the end where the program's code came from.
PRINT_CODE_LOCATION = """
import os, runpy, sys
exit_process = os._exit
def print_and_exit(status):
    import linecache
    main = sys.modules["eidos.cli"].main
    line = linecache.getline(main.__code__.co_filename, main.__code__.co_firstlineno, main.__globals__)
    os.write(1, ("\\n" + main.__code__.co_filename + "\\n" + line).encode())
    exit_process(status)
os._exit = print_and_exit
sys.argv = [sys.argv[1], "--version"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def build(
    *arguments: str | Path, script: str = BUILD, python: str = sys.executable, env: dict[str, str] | None = None, umask: int = 0o022
) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'umask {umask:o}; exec "$@"', "sh", python, script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd="/" if env else None)


def run(
    python: str, *arguments: str | Path, env: dict[str, str] | None = None, cwd: str | Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60, env=env, cwd=cwd)


def code_location(python: str, pyz: Path) -> tuple[str, str]:
    """File name of the program's code, and the source line of ``main`` as a traceback would show it."""
    done = run(python, "-c", PRINT_CODE_LOCATION, pyz)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("eidos ")
    return done.stdout.splitlines()[-2], done.stdout.splitlines()[-1]


def rewritten(pyz: Path, target: Path, change: dict[str, bytes | None]) -> Path:
    """A copy of an archive with some entries changed, or left out where the change is None."""
    with zipfile.ZipFile(pyz) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = change.get(info.filename, old.read(info))
            if data is not None:
                new.writestr(info, data)
    return target


def archive_files(pyz: Path) -> dict[str, bytes]:
    """Every file in an archive, those in packs too, read by the description in ``eidos/archive/packs.py``, not by its code."""
    with zipfile.ZipFile(pyz) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    for pack in [name for name in files if name.startswith("packs/")]:
        data = files.pop(pack)
        head, _, rest = (lzma.decompress if data[1:4] == b"7zX" else zlib.decompress)(data).partition(b"\n\n")
        for line in head.decode().split("\n"):
            length, _, name = line.partition(" ")
            assert name not in files
            files[name], rest = rest[: int(length)], rest[int(length) :]
        assert rest == b""
    return files


TYPED = b"""
from __future__ import annotations
TYPE_CHECKING = False
if TYPE_CHECKING:
    from nowhere import Nothing
else:
    fallback = 1
class Thing:
    size: Nothing
    def grow(self, by: Nothing) -> Nothing:
        if TYPE_CHECKING:
            from nowhere import More
        return by
def make(size: Nothing) -> Thing: ...
"""


@pytest.mark.parametrize(("names", "annotations"), [((), set()), (("make",), {"size", "return"})])
def test_bytecode_is_without_what_only_a_type_checker_reads(names: tuple[str, ...], annotations: set[str]) -> None:
    module: dict[str, Any] = {"__name__": "typed"}
    exec(compile_module("typed.py", TYPED, names), module)
    assert module["fallback"] == 1
    assert set(module["make"].__annotations__) == annotations
    assert module["Thing"].__annotations__ == {"size": "Nothing"}
    assert (module["Thing"].grow.__annotations__, module["Thing"]().grow(3)) == ({}, 3)


# ---- the same bytes ----


def checkout(target: Path, seed: int) -> Path:
    """A copy of what is carried, its files created in a random order and with random times, in a repository of its own."""
    shuffle = random.Random(seed)
    paths = [path for name in source_commit.SHIPPED for path in ([ROOT / name] if (ROOT / name).is_file() else (ROOT / name).rglob("*"))]
    shuffle.shuffle(paths)
    for path in paths:
        if path.is_file() and "__pycache__" not in path.parts:
            copy = target / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            os.utime(copy, (0, shuffle.randrange(2**31)))
    git = ["git", "-C", str(target), "-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"]
    dates = {"GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z"}
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=x"]):
        subprocess.run([*git, *command], check=True, env={**os.environ, **dates})
    return target


@pytest.mark.slow
def test_the_same_bytes_whatever_surrounds_the_build(tmp_path: Path, interpreters: dict[str, str], pyz: Path) -> None:
    wheels = zipapp_builder.WHEEL_CACHE
    one = build("-o", tmp_path / "one.pyz", "--wheels", wheels, script=str(checkout(tmp_path / "a", 1) / "build_zipapp.py"))
    assert one.returncode == 0, one.stderr
    # Another interpreter may stand on another zlib, for which nothing is promised.
    say = "import zlib; print(zlib.ZLIB_RUNTIME_VERSION)"
    builders = [path for path in interpreters.values() if run(path, "-c", say).stdout.strip() == zlib.ZLIB_RUNTIME_VERSION]
    surroundings = {
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C",
        "LANG": "tr_TR.UTF-8",
        "PYTHONHASHSEED": "4242",
        "PYTHONOPTIMIZE": "2",
        "PYTHONUTF8": "0",
        "SOURCE_DATE_EPOCH": "1",
        "HOME": str(tmp_path),
        "PYENV_ROOT": os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"),
        "PATH": os.environ["PATH"],
    }
    other = build(
        *("-o", tmp_path / "other name.pyz", "--wheels", wheels),
        script=str(checkout(tmp_path / "a folder" / "b", 2) / "build_zipapp.py"),
        python=builders[0],
        env=surroundings,
        umask=0o077,
    )
    assert other.returncode == 0, other.stderr
    assert (tmp_path / "one.pyz").read_bytes() == (tmp_path / "other name.pyz").read_bytes()
    assert one.stdout.splitlines()[1:] == other.stdout.splitlines()[1:]
    known = values_of(archive_files(tmp_path / "one.pyz")["eidos/_build.py"])
    assert len(str(known["COMMIT"])) == 40


@pytest.mark.usefixtures("pyz")  # its build fetches the wheels
def test_a_tree_that_differs_from_its_commit_says_so(tmp_path: Path) -> None:
    copy = checkout(tmp_path / "copy", 3)
    script = str(copy / "build_zipapp.py")

    def commit() -> str:
        done = build("--bytecode", "none", "-o", tmp_path / "x.pyz", "--wheels", zipapp_builder.WHEEL_CACHE, script=script)
        assert done.returncode == 0, done.stderr
        return str(values_of(archive_files(tmp_path / "x.pyz")["eidos/_build.py"])["COMMIT"])

    clean = commit()
    (copy / "README.md").write_text("not carried")
    assert commit() == clean
    (copy / "templates" / "new.txt").write_text("carried")
    assert commit() == clean + "-dirty"
    shutil.rmtree(copy / ".git")
    assert commit() == "unknown"
    shutil.copytree(copy, tmp_path / "outer" / "inner")
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "outer")], check=True)
    script = str(tmp_path / "outer" / "inner" / "build_zipapp.py")
    assert commit() == "unknown", "the repository around it is another project's"


# ---- what is in it ----


def values_of(module: bytes) -> dict[str, object]:
    """The constants that a module assigns."""
    tree = ast.parse(module)
    pairs = [(s.targets[0], s.value) for s in tree.body if isinstance(s, ast.Assign)]
    pairs += [(s.target, s.value) for s in tree.body if isinstance(s, ast.AnnAssign) and s.value is not None]
    return {target.id: ast.literal_eval(value) for target, value in pairs if isinstance(target, ast.Name)}


def test_sizes(pyz: Path, agent_pyz: Path, server_pyz: Path, interpreters: dict[str, str]) -> None:
    assert agent_pyz.stat().st_size <= AGENT_LIMIT
    assert server_pyz.stat().st_size <= MAX_CONFIGMAP_BYTES
    with zipfile.ZipFile(pyz) as archive:
        blocks = [info.file_size for info in archive.infolist() if info.filename.startswith("bytecode/") and info.filename.endswith(CODES)]
    assert len(blocks) == len(interpreters)
    assert pyz.stat().st_size + (6 - len(blocks)) * max(blocks) <= LIMIT, f"with six interpreters; {len(blocks)} are here"


def test_entries_reveal_nothing_of_the_machine(pyz: Path) -> None:
    with zipfile.ZipFile(pyz) as archive:
        infos = archive.infolist()
    content = b"".join(archive_files(pyz).values())
    assert [info.filename for info in infos] == sorted(info.filename for info in infos)
    assert {(info.date_time, info.create_system, info.external_attr >> 16) for info in infos} == {((1980, 1, 1, 0, 0, 0), 3, 0o100644)}
    assert os.fsencode(ROOT) + b"/" not in content


def test_source_data_and_licenses_are_inside(pyz: Path) -> None:
    files = archive_files(pyz)
    sources = [path for path in (ROOT / "eidos").rglob("*") if path.suffix in (".py", ".typed") and "build" not in path.parts]
    own = {str(path.relative_to(ROOT)): path.read_bytes() for path in sources}
    data = [path for path in (ROOT / "templates").rglob("*") if path.is_file() and not path.name.startswith(".")]
    texts = {name: content for name, content, _ in json.loads(files["eidos/_data/templates.json"]) if name and isinstance(content, str)}
    assert texts == {name: (ROOT / "templates" / "bundles" / name).read_text() for name in texts} != {}
    once = [path for path in data if path.relative_to(ROOT / "templates").as_posix() not in {f"bundles/{name}" for name in texts}]
    own.update({f"eidos/_data/{path.relative_to(ROOT)}": path.read_bytes() for path in once})
    made = {"eidos/_build.py", *(f"eidos/_data/{name}" for name in ("recipes.parts", "templates.json", "values.parts"))}
    assert {name: data for name, data in files.items() if name.startswith("eidos/") and name not in made} == own
    for wheel in zipapp_builder.WHEELS:
        with zipfile.ZipFile(zipapp_builder.WHEEL_CACHE / wheel.file) as archive:
            modules = {name: archive.read(name) for name in archive.namelist() if re.fullmatch(wheel.modules, name)}
        assert modules
        assert modules.items() <= files.items()
        others = {name for name in files if name.startswith(f"{wheel.package}/")} - modules.keys()
        assert others == ({f"{wheel.package}/__init__.py"} if wheel.package else set())
    charts = RecipeParts(files["eidos/_data/values.parts"])
    values = {path: charts.read(span) for path, span in charts.index["files"].items()}
    parts = RecipeParts(files["eidos/_data/recipes.parts"])
    recipes = {path: parts.read(span) for path, span in parts.index["files"].items()}
    licenses = {name: files[f"licenses/{name}.txt"].decode() for name in ("eidos", "PyYAML", "nvidia-ml-py")}
    known, images = ROOT / "recipes" / "values", ROOT / "recipes" / "images"
    assert recipes == {
        str(p.relative_to(ROOT / "recipes")): formats.from_text(p.read_bytes(), p.name)
        for p in (ROOT / "recipes").rglob("*.yaml")
        if known not in p.parents and images not in p.parents
    }
    trees = {str(p.relative_to(known))[: -len(".yaml")]: formats.from_text(p.read_bytes(), p.name) for p in known.rglob("*.yaml")}
    trees.update({f"images/{p.stem}": formats.from_text(p.read_bytes(), p.name) for p in images.glob("*.yaml")})
    assert values == trees
    assert "Apache License" in licenses["eidos"]
    assert "Permission is hereby granted" in licenses["PyYAML"]
    assert "NVIDIA" in licenses["nvidia-ml-py"]
    assert "Redistributions in binary form" in licenses["nvidia-ml-py"]
    assert not [name for name in files if name.endswith((".so", ".pyi", "example.py")) or name.startswith("_yaml") or "dist-info" in name]


@pytest.mark.parametrize("which", ["pyz", "server_pyz"])
def test_it_reads_gpus_as_a_checkout_does(which: str, nvml_library: Path, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("pynvml")
    environ = {"PATH": "/nonexistent", "LD_LIBRARY_PATH": str(nvml_library.parent), "FAKE_NVML": ""}
    words = ("snapshot", "--only", "gpu", "--volatile", "-t", "json")
    from_file = run(sys.executable, request.getfixturevalue(which), *words, env=environ)
    from_checkout = run(sys.executable, "-B", "-m", "eidos", *words, env=environ, cwd=ROOT)
    assert (from_file.returncode, from_file.stderr) == (0, "")
    measurements = json.loads(from_file.stdout)["measurements"]
    assert measurements == json.loads(from_checkout.stdout)["measurements"]
    assert len(measurements[0]["subtypes"]) > 2


def test_the_build_describes_itself(pyz: Path) -> None:
    known = values_of(archive_files(pyz)["eidos/_build.py"])
    assert known["COLLECTORS"] == {name: collectors.collector_summary(name) for name in collectors.list_collectors()}
    assert known["DATA_DIGEST"] == resources.data_digest()
    documented = "cd recipes && find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
    assert documented in (resources.data_digest.__doc__ or "")
    done = subprocess.run(["sh", "-c", documented], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.split()[0] == known["DATA_DIGEST"]


def test_what_it_prints(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "x.pyz"
    done = build("--bytecode", "none", "-o", target, umask=0o077)
    data = target.read_bytes()
    expected = f"path: {target}\nbytecode: none\nsize: {len(data)}\nsha256: {hashlib.sha256(data).hexdigest()}\n"
    assert (done.returncode, done.stdout) == (0, expected)
    assert target.stat().st_mode & 0o7777 == 0o755
    assert sorted(os.listdir(target.parent)) == ["x.cdx.json", "x.pyz", "x.spdx.json"]
    ran = subprocess.run([str(target), "--version"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.split()[0]) == (0, "eidos"), ran.stderr


# ---- what it refuses ----


def wheel_folder(folder: Path) -> Path:
    folder.mkdir()
    for wheel in zipapp_builder.WHEELS:
        shutil.copy(zipapp_builder.WHEEL_CACHE / wheel.file, folder)
    return folder


@pytest.mark.parametrize("wheel", zipapp_builder.WHEELS, ids=lambda wheel: wheel.name)
@pytest.mark.usefixtures("pyz")  # its build fetches the wheels
def test_a_wheel_that_was_changed_is_refused(tmp_path: Path, wheel: zipapp_builder.Wheel) -> None:
    folder = wheel_folder(tmp_path / "wheels")
    changed = bytearray((folder / wheel.file).read_bytes())
    changed[len(changed) // 2] ^= 1
    (folder / wheel.file).write_bytes(changed)
    done = build("--bytecode", "none", "--wheels", folder, "-o", tmp_path / "x.pyz")
    assert (done.returncode, done.stdout) == (1, "")
    assert wheel.sha256 in done.stderr
    assert hashlib.sha256(changed).hexdigest() in done.stderr
    assert os.listdir(tmp_path) == ["wheels"]


def test_a_wheel_that_is_missing_is_named(tmp_path: Path) -> None:
    done = build("--bytecode", "none", "--wheels", tmp_path, "-o", tmp_path / "x.pyz")
    assert done.returncode == 1
    assert done.stderr.startswith("error: PyYAML 6.0.3: ")
    assert "hint: " in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("purpose", ["agent", "server"])
def test_wheels_need_no_network(tmp_path: Path, purpose: str, request: pytest.FixtureRequest) -> None:
    expected = request.getfixturevalue(f"{purpose}_pyz").read_bytes()
    folder = wheel_folder(tmp_path / "wheels")
    command = [sys.executable, BUILD, "--for", purpose, "--wheels", str(folder), "-o", str(tmp_path / "x.pyz")]
    unshare = ["unshare", "--net"]
    if os.geteuid() == 0 and subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        command = [*unshare, *command]
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "PIP_INDEX_URL"), "http://127.0.0.1:9")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **nowhere})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.pyz").read_bytes() == expected, "what the full file makes of itself"
    assert f"sha256: {hashlib.sha256(expected).hexdigest()}\n" in done.stdout


@pytest.mark.parametrize("word", ["python9.9", "/dev/null", "sh", ""])
def test_what_is_no_interpreter_is_refused(tmp_path: Path, word: str) -> None:
    done = build("--bytecode", word, "-o", tmp_path / "x.pyz")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: --bytecode: {word!r} does not run, or is not CPython 3.9 or newer")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("target", ["/proc/x.pyz", "/dev/null/x.pyz", "."])
def test_an_output_that_cannot_be_written_is_an_error(target: str) -> None:
    done = build("--bytecode", "none", "-o", target)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def old_interpreters() -> list[str]:
    """Pythons before 3.9 that this machine has, one of each minor version."""
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    paths = [path for name in ("python2", "python2.7", *(f"python3.{n}" for n in range(4, 9))) if (path := shutil.which(name))]
    paths += [path for pattern in ("2.*", "3.[0-8].*") for path in sorted(glob.glob(f"{pyenv}/versions/{pattern}/bin/python"))]
    say = "import sys; sys.stdout.write('%d.%d' % sys.version_info[:2])"
    by_version = {done.stdout: path for path in paths if (done := run(path, "-c", say)).returncode == 0}
    return [by_version[version] for version in sorted(by_version)]


def test_old_interpreters_print_which_python_is_needed(pyz: Path) -> None:
    old = old_interpreters()
    if not old:
        pytest.skip("no Python before 3.9 here")
    for python in old:
        version = run(python, "-c", "import sys; sys.stdout.write('%d.%d.%d' % sys.version_info[:3])").stdout
        done = run(python, pyz, "snapshot")
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"eidos needs Python 3.9 or newer, this is {version}\n")


# Runs the file as above, and prints what its loader and its modules give of their source and data.
PRINT_LOADER_RESULTS = """
import inspect, json, os, runpy, sys
exit_process = os._exit
def error_of(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        return type(error).__name__
def print_and_exit(status):
    cli = sys.modules["eidos.cli"]
    from eidos.files import resources
    loader, root = cli.__loader__, os.path.dirname(os.path.dirname(os.path.dirname(cli.__file__)))
    os.write(1, ("\\n" + json.dumps({
        "source": loader.get_source("eidos.cli"),
        "main": inspect.getsource(cli.main),
        "data": resources.read_text("templates/README.md"),
        "missing": [
            error_of(resources.read_text, "recipes/none.yaml"),
            error_of(loader.get_data, os.path.join(root, "eidos", "none.py")),
            error_of(loader.get_code, "eidos.none"),
            error_of(__import__, "eidos.none"),
        ],
        "packages": {module: loader.is_package(module) for module in ("eidos", "eidos.cli", "eidos.cli.help")},
    })).encode())
    exit_process(status)
os._exit = print_and_exit
sys.argv = [sys.argv[1], "--version"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

# ---- where it runs ----


def test_bytecode_is_used_where_it_was_built_and_shows_its_source(pyz: Path, python: str) -> None:
    file, line = code_location(python, pyz)
    assert file == "eidos.pyz/eidos/cli/__init__.py"
    assert line.startswith("def main(")


# Prints what help() shows of each public name.
HELP = """
import sys
sys.path.insert(0, sys.argv[1])
import eidos, pydoc
for name in eidos.__all__:
    value = getattr(eidos, name)
    assert value.__doc__, name
    print(name, "=", pydoc.render_doc(value, renderer=pydoc.plaintext))
    members = [getattr(value, member) for member in dir(value) if isinstance(value, type) and member[0] != "_"]
    assert all(member.__doc__ for member in members if callable(member)), name
print(pydoc.render_doc(eidos, renderer=pydoc.plaintext))
"""


@pytest.mark.parametrize("which", ["pyz", "server_pyz"])
def test_the_public_functions_explain_themselves(which: str, python: str, request: pytest.FixtureRequest) -> None:
    environ = {**os.environ, "SECRET_OF_THE_CALLER": "hunter2"}
    done = run(python, "-c", HELP, request.getfixturevalue(which), env=environ)
    assert done.returncode == 0, done.stderr
    assert "Read a host: a snapshot with the readings of each collector, and its outcome." in done.stdout
    assert "The public API is what ``__all__`` lists." in done.stdout
    assert "hunter2" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 1200


def test_source_runs_without_bytecode(agent_pyz: Path, python: str) -> None:
    file, line = code_location(python, agent_pyz)
    assert file == f"{agent_pyz}/eidos/cli/__init__.py"
    assert line.startswith("def main(")


def test_bytecode_of_another_interpreter_is_not_used(pyz: Path, tmp_path: Path, python: str) -> None:
    """A pre-release has the cache tag of its release, and another magic number."""
    with zipfile.ZipFile(pyz) as archive:
        names = [name for name in archive.namelist() if name.startswith("bytecode/") and not name.endswith(CODES)]
        blocks: dict[str, bytes | None] = {name: b"\0\0\r\n" + archive.read(name)[4:] for name in names}
    copy = rewritten(pyz, tmp_path / "eidos.pyz", {**blocks, "__main__.pyc": None})
    assert code_location(python, copy)[0] == f"{copy}/eidos/cli/__init__.py"


def test_it_runs_from_anywhere_and_leaves_nothing_behind(pyz: Path, tmp_path: Path, python: str) -> None:
    folder, home = tmp_path / "folder", tmp_path / "home"
    for path in (folder, home):
        path.mkdir()
    shutil.copy(pyz, folder / "renamed")
    for path in (folder, home):
        path.chmod(0o555)
    done = run(python, "-I", folder / "renamed", "--version", env={"HOME": str(home), "PATH": ""}, cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    version = run(python, "-c", "import platform; print(platform.python_version())").stdout.strip()
    assert version in done.stdout
    assert os.listdir(folder) + os.listdir(home) == ["renamed"]


# Imports a little, then what argv[2] says happens to the file, then the rest is imported.
IMPORT_LATE = """
import os, sys
path, change = sys.argv[1:]
sys.path.insert(0, path)
import eidos.cli
if change == "read ahead, then overwritten":
    eidos.cli.__loader__.read_ahead()
    open(path, "r+b").write(b"x" * os.path.getsize(path))
elif change == "replaced":
    open(path + "~", "wb").write(b"another")
    os.replace(path + "~", path)
else:
    os.truncate(path, 1000)
try:
    import eidos.collectors.os_sysctl
    print("imported")
except ImportError as fault:
    print(type(fault).__name__, "cut off" in str(fault))
"""


@pytest.mark.parametrize("change", ["replaced", "read ahead, then overwritten", "cut off"])
def test_a_file_that_changes_while_it_runs_gives_its_own_modules_or_an_error(pyz: Path, tmp_path: Path, python: str, change: str) -> None:
    shutil.copy(pyz, tmp_path / "eidos.pyz")
    done = run(python, "-I", "-S", "-c", IMPORT_LATE, tmp_path / "eidos.pyz", change)
    assert done.stdout == ("ImportError True\n" if change == "cut off" else "imported\n"), done.stderr


NODE = """\
kind: Snapshot
apiVersion: snapshot.dgxc.io/v1
measurements:
  - type: OS
    subtypes:
      - subtype: kmod
        data:
          nvidia: true
          nouveau: true
  - type: GPU
    subtypes:
      - subtype: smi
        data:
          driver: 580.82.07
          gpu.model: NVIDIA H100 80GB HBM3
"""

STARTS = (
    ["--version"],
    ["snapshot", "--skip", "k8s"],
    ["recipe", "--gpu", "h100", "--service", "eks"],
    ["check", "-f", "SNAPSHOT", "--fail-on", "never"],
    ["diff", "SNAPSHOT", "SNAPSHOT"],
    ["bundle", "-q", "-f", "RECIPE", "-b", "gpu-operator", "-o", "OUT"],
)


@pytest.mark.parametrize("words", STARTS, ids=lambda words: words[0])
def test_a_start_reads_no_group_of_modules_for_the_sake_of_a_few(pyz: Path, tmp_path: Path, words: list[str]) -> None:
    snapshot, recipe = tmp_path / "node.yaml", tmp_path / "recipe.yaml"
    snapshot.write_text(NODE)
    recipe.write_bytes(subprocess.run([sys.executable, pyz, *STARTS[2]], stdout=subprocess.PIPE, check=True).stdout)
    paths = {"SNAPSHOT": str(snapshot), "RECIPE": str(recipe), "OUT": str(tmp_path / "out")}
    command = [sys.executable, "-I", "-S", "-X", "importtime", str(pyz), *(paths.get(word, word) for word in words)]
    lines = run(*command, env={"HOME": str(tmp_path)}).stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert "eidos.errors" in imported
    for group in (*module_groups(UNCOMPRESSED_GROUPS), *module_groups(COMPRESSED_GROUPS)):
        used = imported.intersection(group)
        assert not used or len(used) * 2 > len(group), (used, set(group) - used)


def test_what_every_start_a_recipe_and_a_check_import_is_not_compressed(pyz: Path) -> None:
    uncompressed = {name for group in module_groups(UNCOMPRESSED_GROUPS) for name in group}
    with zipfile.ZipFile(pyz) as archive:
        names = [name for name in archive.namelist() if name.startswith("bytecode/") and not name.endswith(CODES)]
        blocks = [archive.read(name) for name in names]
    for block in blocks:
        index = marshal.loads(block[8 + int.from_bytes(block[4:8], "little") :])
        assert {name for name, (_, _, length, size) in index.items() if length == size and size > 500} == uncompressed
        assert all(length <= size for _, _, length, size in index.values())


def test_it_runs_from_memory(pyz: Path, python: str) -> None:
    descriptor = os.memfd_create("eidos", 0)
    try:
        os.write(descriptor, pyz.read_bytes())
        path = f"/proc/self/fd/{descriptor}"
        done = subprocess.run([python, "-I", "-S", path, "--version"], capture_output=True, text=True, check=False, pass_fds=[descriptor])
    finally:
        os.close(descriptor)
    assert (done.returncode, done.stdout.split()[0]) == (0, "eidos"), done.stderr


@pytest.mark.parametrize("which", ["pyz", "server_pyz"])
def test_it_runs_unpacked(which: str, tmp_path: Path, python: str, request: pytest.FixtureRequest) -> None:
    file = request.getfixturevalue(which)
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path)
    for words in (["--version"], ["recipe", "--gpu=h100", "--service=eks"]):
        done = run(python, "-B", tmp_path, *words)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == run(python, file, *words).stdout


@pytest.mark.parametrize("which", ["pyz", "server_pyz"])
def test_files_in_packs_can_be_read(which: str, python: str, request: pytest.FixtureRequest) -> None:
    """Source for who asks a module or its loader, data for who asks the program."""
    file = request.getfixturevalue(which)
    done = run(python, "-c", PRINT_LOADER_RESULTS, file)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    source = (ROOT / "eidos" / "cli" / "__init__.py").read_text()
    assert results["source"] == source
    assert results["main"] in source
    assert results["main"].startswith("def main(")
    assert results["data"] == (ROOT / "templates" / "README.md").read_text()
    assert results["missing"] == ["NotFound", "OSError", "ImportError", "ModuleNotFoundError"]
    assert results["packages"] == {"eidos": True, "eidos.cli": True, "eidos.cli.help": False}


def test_unreadable_data_is_an_error(pyz: Path, tmp_path: Path, python: str) -> None:
    copy = rewritten(pyz, tmp_path / "eidos.pyz", {"eidos/_data/recipes.parts": None})
    done = run(python, copy, "recipe", "--gpu=h100")
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: cannot read the built-in recipes\n" in done.stderr


def test_its_own_packages_come_before_installed_ones(pyz: Path, tmp_path: Path, python: str) -> None:
    (tmp_path / "yaml.py").write_text("raise SystemExit('the wrong yaml')")
    script = "import sys, runpy; sys.path.insert(0, sys.argv[1]); sys.argv = ['x', '--version']\n"
    script += "import os; exit_process = os._exit\n"
    script += "def print_and_exit(status):\n    import yaml; os.write(1, yaml.__file__.encode()); exit_process(status)\n"
    script += "os._exit = print_and_exit\n"
    script += f"runpy.run_path({str(pyz)!r}, run_name='__main__')"
    done = run(python, "-c", script, pyz, env={"PYTHONPATH": str(tmp_path)})
    assert done.stdout.endswith(f"{pyz}/yaml/__init__.py"), done.stderr
