"""The built file: what is in it, that it is the same each time, and where it runs."""

from __future__ import annotations

import ast
import glob
import hashlib
import json
import marshal
import os
import random
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

import pytest

import build_zipapp
from eidos import blocks, collectors, formats
from eidos.archive.bytecode_importer import Importer
from eidos.files import resources
from tests.conftest import ROOT
from tests.fakes import nvml

BUILD = str(ROOT / "build_zipapp.py")
#: The slim file travels in a ConfigMap, which holds 1 MiB: at most half of that. The other travels over SSH.
LIMIT, SLIM_LIMIT = 4 << 20, 512 << 10

# Runs the file as `python3 eidos.pyz --version` does, and says at the end where the program's code came from.
WHENCE = """
import os, runpy, sys
leave = os._exit
def tell(status):
    import linecache
    main = sys.modules["eidos.cli"].main
    line = linecache.getline(main.__code__.co_filename, main.__code__.co_firstlineno, main.__globals__)
    os.write(1, ("\\n" + main.__code__.co_filename + "\\n" + line).encode())
    leave(status)
os._exit = tell
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


def whence(python: str, pyz: Path) -> tuple[str, str]:
    """File name of the program's code, and the source line of ``main`` as a traceback would show it."""
    done = run(python, "-c", WHENCE, pyz)
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


def everything(pyz: Path) -> dict[str, bytes]:
    """Every file in an archive, those in packs too, by what ``eidos/archive/packs.py`` says of them and not by its code."""
    with zipfile.ZipFile(pyz) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    for pack in [name for name in files if name.startswith("packs/")]:
        head, _, rest = zlib.decompress(files.pop(pack)).partition(b"\n\n")
        for line in head.decode().split("\n"):
            length, _, name = line.partition(" ")
            assert name not in files
            files[name], rest = rest[: int(length)], rest[int(length) :]
        assert rest == b""
    return files


# ---- the same bytes ----


def checkout(target: Path, seed: int) -> Path:
    """A copy of what is carried, its files created in a random order and with random times, in a repository of its own."""
    shuffle = random.Random(seed)
    paths = [path for name in build_zipapp.CARRIED for path in ([ROOT / name] if (ROOT / name).is_file() else (ROOT / name).rglob("*"))]
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
    wheels = build_zipapp.CACHE
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
    known = values_of(everything(tmp_path / "one.pyz")["eidos/_build.py"])
    assert len(str(known["COMMIT"])) == 40


def test_a_tree_that_differs_from_its_commit_says_so(tmp_path: Path) -> None:
    copy = checkout(tmp_path / "copy", 3)
    script = str(copy / "build_zipapp.py")

    def commit() -> str:
        done = build("--bytecode", "none", "-o", tmp_path / "x.pyz", "--wheels", build_zipapp.CACHE, script=script)
        assert done.returncode == 0, done.stderr
        return str(values_of(everything(tmp_path / "x.pyz")["eidos/_build.py"])["COMMIT"])

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


def test_sizes(pyz: Path, slim: Path, interpreters: dict[str, str]) -> None:
    assert slim.stat().st_size <= SLIM_LIMIT
    with zipfile.ZipFile(pyz) as archive:
        blocks = [info.file_size for info in archive.infolist() if info.filename.startswith("bytecode/")]
    assert len(blocks) == len(interpreters)
    assert pyz.stat().st_size + (6 - len(blocks)) * max(blocks) <= LIMIT, f"with six interpreters; {len(blocks)} are here"


def test_entries_tell_nothing_of_the_machine(pyz: Path) -> None:
    with zipfile.ZipFile(pyz) as archive:
        infos = archive.infolist()
    content = b"".join(everything(pyz).values())
    assert [info.filename for info in infos] == sorted(info.filename for info in infos)
    assert {(info.date_time, info.create_system, info.external_attr >> 16) for info in infos} == {((1980, 1, 1, 0, 0, 0), 3, 0o100644)}
    assert os.fsencode(ROOT) + b"/" not in content


def test_source_data_and_licenses_are_inside(pyz: Path) -> None:
    files = everything(pyz)
    own = {str(path.relative_to(ROOT)): path.read_bytes() for path in (ROOT / "eidos").rglob("*.py")}
    for folder in ("recipes", "templates"):
        data = [path for path in (ROOT / folder).rglob("*") if path.is_file() and not path.name.startswith(".")]
        own.update({f"eidos/_data/{path.relative_to(ROOT)}": path.read_bytes() for path in data})
    made = {"eidos/_build.py", *(f"eidos/_data/{name}.json" for name in ("recipes", "templates", "values"))}
    assert {name: data for name, data in files.items() if name.startswith("eidos/") and name not in made} == own
    for wheel in build_zipapp.WHEELS:
        with zipfile.ZipFile(build_zipapp.CACHE / wheel.file) as archive:
            modules = {name: archive.read(name) for name in archive.namelist() if re.fullmatch(wheel.modules, name)}
        assert modules
        if wheel.whole:
            assert modules.items() <= files.items()
        else:
            for name, text in modules.items():
                theirs, ours = text.split(b"\n"), files[name].split(b"\n")
                assert len(theirs) == len(ours)
                assert all(line in (other, b"") for line, other in zip(ours, theirs)), f"{name} has lines that are not of {wheel.name}"
                assert files[name].startswith(text[: text.index(b"\nfrom ")]), "what says whose it is stays"
        others = {name for name in files if name.startswith(f"{wheel.package}/")} - modules.keys()
        assert others == ({f"{wheel.package}/__init__.py"} if wheel.package else set())
    values = json.loads(files["eidos/_data/values.json"])
    recipes = json.loads(files["eidos/_data/recipes.json"])
    licenses = {name: files[f"licenses/{name}.txt"].decode() for name in ("eidos", "PyYAML", "nvidia-ml-py")}
    known = ROOT / "recipes" / "values"
    assert recipes == {
        str(p.relative_to(ROOT / "recipes")): formats.from_text(p.read_bytes(), p.name)
        for p in (ROOT / "recipes").rglob("*.yaml")
        if known not in p.parents
    }
    assert values == {str(p.relative_to(known))[: -len(".yaml")]: formats.from_text(p.read_bytes(), p.name) for p in known.rglob("*.yaml")}
    assert "Apache License" in licenses["eidos"]
    assert "Permission is hereby granted" in licenses["PyYAML"]
    assert "NVIDIA" in licenses["nvidia-ml-py"]
    assert "Redistributions in binary form" in licenses["nvidia-ml-py"]
    assert not [name for name in files if name.endswith((".so", ".pyi", "example.py")) or name.startswith("_yaml") or "dist-info" in name]


def test_of_nvidias_bindings_everything_that_is_named_is_carried(pyz: Path) -> None:
    files = everything(pyz)
    with zipfile.ZipFile(build_zipapp.CACHE / build_zipapp.WHEELS[1].file) as archive:
        theirs = archive.read("pynvml.py")

    def defined(text: bytes) -> set[str]:
        targets = [target for s in ast.parse(text).body if isinstance(s, ast.Assign) for target in s.targets]
        functions = [s.name for s in ast.parse(text).body if isinstance(s, (ast.FunctionDef, ast.ClassDef))]
        return {*functions, *(target.id for target in targets if isinstance(target, ast.Name))}

    def named(text: bytes) -> set[str]:
        found = [getattr(n, "id", getattr(n, "attr", getattr(n, "value", ""))) for n in ast.walk(ast.parse(text))]
        return {name for name in found if isinstance(name, str)}

    whole, carried = defined(theirs), defined(files["pynvml.py"])
    sources = [text for name, text in files.items() if name.startswith("eidos/") and name.endswith(".py")]
    for text in [*sources, files["pynvml.py"]]:
        assert named(text) & whole <= carried
    errors = {name for name in whole if name.startswith("NVML_ERROR_")}
    assert len(errors) > 25
    assert errors <= carried, "classes are made from them when the module is imported"


@pytest.mark.parametrize("which", ["pyz", "slim"])
def test_it_reads_gpus_as_the_whole_bindings_do(which: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("pynvml")
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here")
    environ = {"PATH": "/nonexistent", "LD_LIBRARY_PATH": str(nvml.build(tmp_path / "driver").parent), "FAKE_NVML": ""}
    words = ("snapshot", "--only", "gpu", "--volatile", "-t", "json")
    ours = run(sys.executable, request.getfixturevalue(which), *words, env=environ)
    whole = run(sys.executable, "-B", "-m", "eidos", *words, env=environ, cwd=ROOT)
    assert (ours.returncode, ours.stderr) == (0, "")
    found = json.loads(ours.stdout)["measurements"]
    assert found == json.loads(whole.stdout)["measurements"]
    assert len(found[0]["subtypes"]) > 2


def test_the_build_knows_itself(pyz: Path) -> None:
    known = values_of(everything(pyz)["eidos/_build.py"])
    assert known["COLLECTORS"] == tuple(sorted(name.replace(".", "_") for name in collectors.names()))
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
    assert os.listdir(target.parent) == ["x.pyz"]
    ran = subprocess.run([str(target), "--version"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.split()[0]) == (0, "eidos"), ran.stderr


# ---- what it refuses ----


def wheel_folder(folder: Path) -> Path:
    folder.mkdir()
    for wheel in build_zipapp.WHEELS:
        shutil.copy(build_zipapp.CACHE / wheel.file, folder)
    return folder


@pytest.mark.parametrize("wheel", build_zipapp.WHEELS, ids=lambda wheel: wheel.name)
def test_a_wheel_that_was_changed_is_refused(tmp_path: Path, slim: Path, wheel: build_zipapp.Wheel) -> None:
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


def test_wheels_need_no_network(tmp_path: Path, slim: Path) -> None:
    folder = wheel_folder(tmp_path / "wheels")
    command = [sys.executable, BUILD, "--bytecode", "none", "--wheels", str(folder), "-o", str(tmp_path / "x.pyz")]
    unshare = ["unshare", "--net"]
    if os.geteuid() == 0 and subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        command = [*unshare, *command]
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "PIP_INDEX_URL"), "http://127.0.0.1:9")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **nowhere})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.pyz").read_bytes() == slim.read_bytes()


@pytest.mark.parametrize("word", ["python9.9", "/dev/null", "sh", ""])
def test_an_interpreter_that_is_none_is_refused(tmp_path: Path, word: str) -> None:
    done = build("--bytecode", word, "-o", tmp_path / "x.pyz")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: --bytecode: {word!r} is no CPython from 3.9 on")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("target", ["/proc/x.pyz", "/dev/null/x.pyz", "."])
def test_a_place_that_cannot_be_written_is_an_error(target: str, slim: Path) -> None:
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
    found = {done.stdout: path for path in paths if (done := run(path, "-c", say)).returncode == 0}
    return [found[version] for version in sorted(found)]


def test_old_interpreters_are_told_what_is_needed(pyz: Path) -> None:
    old = old_interpreters()
    if not old:
        pytest.skip("no Python before 3.9 here")
    for python in old:
        version = run(python, "-c", "import sys; sys.stdout.write('%d.%d.%d' % sys.version_info[:3])").stdout
        done = run(python, pyz, "snapshot")
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"eidos needs Python 3.9 or newer, this is {version}\n")


# Runs the file as above, and says what its loader and its modules know of their source and data.
INSIDE = """
import inspect, json, os, runpy, sys
leave = os._exit
def name(call, *arguments):
    try:
        call(*arguments)
    except Exception as fault:
        return type(fault).__name__
def tell(status):
    cli = sys.modules["eidos.cli"]
    from eidos.files import resources
    loader, root = cli.__loader__, os.path.dirname(os.path.dirname(os.path.dirname(cli.__file__)))
    os.write(1, ("\\n" + json.dumps({
        "source": loader.get_source("eidos.cli"),
        "main": inspect.getsource(cli.main),
        "data": resources.read_text("templates/README.md"),
        "missing": [
            name(resources.read_text, "recipes/none.yaml"),
            name(loader.get_data, os.path.join(root, "eidos", "none.py")),
            name(loader.get_code, "eidos.none"),
            name(__import__, "eidos.none"),
        ],
        "packages": {module: loader.is_package(module) for module in ("eidos", "eidos.cli", "eidos.cli.help")},
    })).encode())
    leave(status)
os._exit = tell
sys.argv = [sys.argv[1], "--version"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

# ---- where it runs ----


def test_bytecode_is_used_where_it_was_built_and_shows_its_source(pyz: Path, python: str) -> None:
    file, line = whence(python, pyz)
    assert file == "eidos.pyz/eidos/cli/__init__.py"
    assert line.startswith("def main(")


def test_source_runs_without_bytecode(slim: Path, python: str) -> None:
    file, line = whence(python, slim)
    assert file == f"{slim}/eidos/cli/__init__.py"
    assert line.startswith("def main(")


def test_bytecode_of_another_interpreter_is_not_used(pyz: Path, tmp_path: Path, python: str) -> None:
    """A pre-release has the cache tag of its release, and another magic number."""
    with zipfile.ZipFile(pyz) as archive:
        names = [name for name in archive.namelist() if name.startswith("bytecode/")]
        blocks: dict[str, bytes | None] = {name: b"\0\0\r\n" + archive.read(name)[4:] for name in names}
    copy = rewritten(pyz, tmp_path / "eidos.pyz", {**blocks, "__main__.pyc": None})
    assert whence(python, copy)[0] == f"{copy}/eidos/cli/__init__.py"


def test_it_runs_from_anywhere_and_leaves_nothing_behind(pyz: Path, tmp_path: Path, python: str) -> None:
    place, home = tmp_path / "place", tmp_path / "home"
    for folder in (place, home):
        folder.mkdir()
    shutil.copy(pyz, place / "renamed")
    for folder in (place, home):
        folder.chmod(0o555)
    done = run(python, "-I", place / "renamed", "--version", env={"HOME": str(home), "PATH": ""}, cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    version = run(python, "-c", "import platform; print(platform.python_version())").stdout.strip()
    assert version in done.stdout
    assert os.listdir(place) + os.listdir(home) == ["renamed"]


def test_it_runs_from_memory(pyz: Path, python: str) -> None:
    descriptor = os.memfd_create("eidos", 0)
    try:
        os.write(descriptor, pyz.read_bytes())
        path = f"/proc/self/fd/{descriptor}"
        done = subprocess.run([python, "-I", "-S", path, "--version"], capture_output=True, text=True, check=False, pass_fds=[descriptor])
    finally:
        os.close(descriptor)
    assert (done.returncode, done.stdout.split()[0]) == (0, "eidos"), done.stderr


@pytest.mark.parametrize("which", ["pyz", "slim"])
def test_it_runs_unpacked(which: str, tmp_path: Path, python: str, request: pytest.FixtureRequest) -> None:
    file = request.getfixturevalue(which)
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path)
    for words in (["--version"], ["recipe", "--gpu=h100", "--service=eks"]):
        done = run(python, "-B", tmp_path, *words)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == run(python, file, *words).stdout


@pytest.mark.parametrize("which", ["pyz", "slim"])
def test_what_lies_in_packs_is_read_there(which: str, python: str, request: pytest.FixtureRequest) -> None:
    """Source for who asks a module or its loader, data for who asks the program."""
    file = request.getfixturevalue(which)
    done = run(python, "-c", INSIDE, file)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    source = (ROOT / "eidos" / "cli" / "__init__.py").read_text()
    assert seen["source"] == source
    assert seen["main"] in source
    assert seen["main"].startswith("def main(")
    assert seen["data"] == (ROOT / "templates" / "README.md").read_text()
    assert seen["missing"] == ["NotFound", "OSError", "ImportError", "ModuleNotFoundError"]
    assert seen["packages"] == {"eidos": True, "eidos.cli": True, "eidos.cli.help": False}


def test_bytecode_is_the_source_without_what_no_run_reads() -> None:
    """The same functions at the same lines, the same asserts; of docstrings, one line of each module."""

    def functions(code: CodeType) -> Iterator[tuple[str, int, tuple[str, ...]]]:
        yield code.co_name, code.co_firstlineno, code.co_varnames
        for inner in code.co_consts:
            if isinstance(inner, CodeType):
                yield from functions(inner)

    def constants(code: CodeType) -> Iterator[object]:
        for inner in code.co_consts:
            yield from constants(inner) if isinstance(inner, CodeType) else (inner,)

    for path in (ROOT / "eidos").rglob("*.py"):
        text = path.read_bytes()
        tree = ast.parse(text)
        for types_only in [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]:
            types_only.body = [ast.copy_location(ast.Pass(), types_only)]
        lean, full = blocks.code_of(text, "x"), compile(tree, "x", "exec", dont_inherit=True)
        assert set(functions(lean)) == set(functions(full)), path
        named = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        docs = {ast.get_docstring(node, clean=False) for node in named} - {None}
        assert not docs & set(constants(lean)), path
        assert (ast.get_docstring(tree, clean=False) or "").partition("\n")[0] in set(constants(lean)), path
    with pytest.raises(AssertionError, match="still there"):
        exec(blocks.code_of(b"assert False, 'still there'", "x"), {})


def test_a_group_is_inflated_by_many_threads() -> None:
    texts = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in (ROOT / "eidos").rglob("*.py")}
    codes = {name: marshal.dumps(blocks.code_of(text, name)) for name, text in texts.items()}
    block = blocks.block(b"test", codes, blocks.importers(texts))
    head = 8 + int.from_bytes(block[4:8], "little")
    at = head + 4 + int.from_bytes(block[head : head + 4], "little")
    names = [name[:-3].replace("/", ".").replace(".__init__", "") for name in codes]
    for seed in range(20):
        importer = Importer(block, at, marshal.loads(block[head + 4 : at]), SourceFileLoader("x", __file__), "")
        order = random.Random(seed).sample(names, len(names))
        with ThreadPoolExecutor(8) as pool:
            found = dict(zip(order, pool.map(importer.get_code, order)))
        assert all(found[name] == marshal.loads(code) for name, code in zip(names, codes.values()))


def test_data_that_cannot_be_read_is_not_taken_for_none(pyz: Path, tmp_path: Path, python: str) -> None:
    copy = rewritten(pyz, tmp_path / "eidos.pyz", {"eidos/_data/recipes.json": None})
    done = run(python, copy, "recipe", "--gpu=h100")
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: the recipes that eidos carries cannot be read\n" in done.stderr


def test_its_own_packages_come_before_installed_ones(pyz: Path, tmp_path: Path, python: str) -> None:
    (tmp_path / "yaml.py").write_text("raise SystemExit('the wrong yaml')")
    tell = "import sys, runpy; sys.path.insert(0, sys.argv[1]); sys.argv = ['x', '--version']\n"
    tell += "import os; leave = os._exit\n"
    tell += "def told(status):\n    import yaml; os.write(1, yaml.__file__.encode()); leave(status)\nos._exit = told\n"
    done = run(python, "-c", tell + f"runpy.run_path({str(pyz)!r}, run_name='__main__')", pyz, env={"PYTHONPATH": str(tmp_path)})
    assert done.stdout.endswith(f"{pyz}/yaml/__init__.py"), done.stderr
