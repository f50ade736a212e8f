"""The laws of the house, over its source: who may import whom, how modules are named and sized, what they say of themselves."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MINORS, ROOT

#: First name below ``eidos`` → floor. A new one chooses its floor here.
FLOORS = {
    **dict.fromkeys(("_build", "duration", "errors", "log", "model", "redact", "semver", "suggest"), 0),
    **dict.fromkeys(("archive", "files", "formats", "process", "templates"), 1),
    **dict.fromkeys(("dbus", "http_wire", "kube", "nvidia", "oci", "telemetry"), 2),
    **dict.fromkeys(("bundle", "check", "collectors", "diff", "fleet", "manifest", "recipe", "server_client", "sign"), 3),
    **dict.fromkeys(("collector_runner", "workflow"), 4),
    **dict.fromkeys(("cli", "server"), 5),
    "__main__": 6,
}

#: Packages of one floor of which one stands on the other, and why.
BESIDE = {
    ("cli", "server"): "one verb opens the other door",
    ("workflow", "collector_runner"): "a snapshot is what the collectors brought",
    ("kube", "http_wire"): "names are looked up, sockets timed and their faults explained in one place",
    ("files", "formats"): "in a checkout the recipes are YAML",
    ("http_wire", "server"): "for now: what refuses a request is still defined there",
    ("templates", "formats"): "a placeholder's default is a scalar of YAML",
    ("telemetry", "http_wire"): "traces are sent over HTTP",
}

#: Where a failure of any kind is caught, so that it costs no more than its own part.
CATCH_ALL = {"eidos/collector_runner.py", "eidos/server/middleware.py"}

#: What starts another process → where that may stand, and why.
STARTS_PROCESSES = {
    "eidos/process/run.py": "every program",
    "eidos/process/child.py": "every function in a process of its own",
    "eidos/server/transport/supervisor.py": "workers, which inherit its sockets and are restarted",
}

#: What starts a thread → where that may stand, and why.
STARTS_THREADS = {
    "eidos/process/thread_pool.py": "every thread",
    **dict.fromkeys(("eidos/http_wire/client.py", "eidos/kube/list_pages.py", "eidos/telemetry/otlp_exporter.py"), "for now"),
    "eidos/server/transport/request_workers.py": "for now",
}

FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}

#: In pieces, or this file would break its own law.
WORDS = (
    "/wo" + "rk/",
    "/fa" + "rm/",
    ".libr" + "ary/",
    "pypi" + ".org",
    "python" + "hosted",
    "npmjs" + ".org",
    "deb" + ".debian",
    "sub" + "agent",
)


def python_files(*folders: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*.py"))


MODULES = python_files("eidos")
EVERYTHING = [*MODULES, *python_files("tests"), "build_zipapp.py"]


def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), file)


def imports(file: str) -> Iterator[tuple[int, str]]:
    """Line and full name of each module of eidos that a file imports, for type checkers too."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            module = node.module or ""
            yield from ((node.lineno, f"eidos.{alias.name}") for alias in node.names if module == "eidos")
            if module != "eidos":
                yield node.lineno, module


def first(name: str) -> str:
    """``eidos.model.record`` → ``model``."""
    return name.split(".")[1]


@pytest.mark.parametrize("file", MODULES)
def test_imports_go_down_a_floor_or_stay_in_their_package(file: str) -> None:
    own = file.removesuffix(".py").split("/")[1]
    if own == "__init__":
        assert not [name for _, name in imports(file) if name.startswith("eidos")], "every start imports it"
        return
    assert own in FLOORS, f"eidos/{own} has no floor yet: give it one in FLOORS"
    for line, name in imports(file):
        if not name.startswith("eidos.") or name == "eidos.__version__":
            continue
        other = first(name)
        assert other in FLOORS, f"{file}:{line}: {name} is not a module of eidos"
        ground = FLOORS[own] == FLOORS[other] == 0
        allowed = other == own or FLOORS[other] < FLOORS[own] or ground or (own, other) in BESIDE
        assert allowed, f"{file}:{line}: {own} (floor {FLOORS[own]}) must not import {other} (floor {FLOORS[other]})"


def test_no_collector_imports_another() -> None:
    for file in MODULES:
        if file.startswith("eidos/collectors/"):
            own = file.removesuffix(".py").replace("/", ".")
            others = [name for _, name in imports(file) if re.match(r"eidos\.collectors\.[a-z]", name) and name != own]
            assert not others, f"{file} imports {others}"


def test_the_ground_stands_without_circles() -> None:
    """Among modules of floor 0 any order will do, as long as there is one."""
    ground = {file for file in MODULES if FLOORS.get(file.removesuffix(".py").split("/")[1]) == 0}
    edges = {file: {name.replace(".", "/") + ".py" for _, name in imports(file)} & ground for file in ground}
    while edges:
        free = {file for file, needs in edges.items() if not needs & (edges.keys() - {file})}
        assert free, f"these import one another: {sorted(edges)}"
        edges = {file: needs for file, needs in edges.items() if file not in free}


@pytest.mark.parametrize("file", MODULES)
def test_a_module_says_what_it_knows(file: str) -> None:
    text = ast.get_docstring(tree(file)) or ""
    first_line, _, rest = text.partition("\n")
    assert first_line.endswith((".", "?")), "the first line is a sentence"
    assert re.search(r"^Knows\b", rest, re.MULTILINE), "a line begins with: Knows …"
    assert "must not know" in rest.lower()


@pytest.mark.parametrize("file", EVERYTHING)
def test_sizes_and_names(file: str) -> None:
    path = Path(file)
    assert path.parts[0] == "tests" or len((ROOT / file).read_text(encoding="utf-8").splitlines()) <= 400
    names = {path.stem, *path.parent.parts} if path.stem != "__init__" else set(path.parent.parts)
    assert not names & FORBIDDEN, "named after no idea"
    standard: frozenset[str] = getattr(sys, "stdlib_module_names", frozenset())
    if path.parent == Path("eidos"):
        assert path.stem not in standard - {"http", "__main__"}, "shadows a module of the standard library"


@pytest.mark.parametrize("file", [file for file in EVERYTHING if (ROOT / file).stat().st_size])
def test_annotations_are_never_evaluated(file: str) -> None:
    assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree(file).body)


def test_every_folder_of_modules_is_a_package() -> None:
    assert {str(Path(file).parent) for file in MODULES} == {str(Path(file).parent) for file in MODULES if file.endswith("__init__.py")}


@pytest.mark.parametrize("file", MODULES)
def test_what_is_caught_is_named(file: str) -> None:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.ExceptHandler):
            caught = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"everything"}
            broad = caught & {"everything", "Exception", "BaseException"}
            raises = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
            assert not broad or raises or file in CATCH_ALL, f"{file}:{node.lineno}: catches {broad.pop()}"


def uses(file: str, pattern: str) -> list[str]:
    """What a file imports or calls that matches, as ``line: name``."""
    found = []
    for node in ast.walk(tree(file)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = [f"{node.value.id}.{node.attr}"]
        found += [f"{file}:{getattr(node, 'lineno', 0)}: {name}" for name in names if re.fullmatch(pattern, name)]
    return found


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (
            r"subprocess(\.(?!Popen\b).*)?|_posixsubprocess.*|multiprocessing.*|pty.*|os\.(fork.*|exec.*|spawn.*|posix_spawn.*|system|popen)",
            STARTS_PROCESSES,
        ),
        (r"(threading\.)(Thread|Timer)|_thread\.start_.*|concurrent.*|multiprocessing.*", STARTS_THREADS),
    ],
    ids=["processes", "threads"],
)
def test_processes_and_threads_are_started_in_one_room(pattern: str, allowed: dict[str, str]) -> None:
    found = {file: uses(file, pattern) for file in MODULES}
    assert not [use for file, names in found.items() if file not in allowed for use in names]
    assert all(found.get(file) for file in allowed), "an exception that nobody needs"


def text_files() -> list[Path]:
    """What git tracks, or would; a folder without git is walked."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    names = done.stdout.decode().split("\0") if done.returncode == 0 else [*EVERYTHING, "README.md", "pyproject.toml"]
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_no_words_of_one_machine_or_registry() -> None:
    found = []
    for path in text_files():
        text = path.read_bytes().decode(errors="replace").lower()
        found += [f"{path.relative_to(ROOT)}: {word}" for word in WORDS if word in text]
    assert not found


# ---- what runs elsewhere ----

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_may_do_little(path: Path) -> None:
    text = path.read_text()
    used = re.findall(r"^\s*-?\s*uses:\s*(.+)$", text, re.MULTILINE)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*", action), f"{action} is not pinned by its commit"
    assert re.search(r"^permissions:\n  contents: read\n\n", text, re.MULTILINE), "nothing is granted to every job but reading"


def test_every_interpreter_is_tested() -> None:
    matrix = re.search(r"python: (\[.*\])", (ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert matrix
    assert tuple(ast.literal_eval(matrix[1])) == MINORS


def test_the_ci_script_runs_the_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert '-m tests "$@"' in script
    assert "python3 -m tests" in (ROOT / "README.md").read_text()


def test_the_ci_script_is_clean_shell() -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("no shellcheck here")
    subprocess.run([shellcheck, str(ROOT / ".ci" / "run")], check=True)
