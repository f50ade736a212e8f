"""The laws of the tree: who may import whom, how large a module is, and what it says of itself."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.project import identifiers
from tests.project.source_tree import (
    ALL_FILES,
    BUILD_FILES,
    MODULES,
    OLD_SYNTAX_FILES,
    PACKAGE_FILES,
    ROOT,
    circles,
    for_each,
    import_graph,
    imports,
    parse_file,
    reached,
    read_lines,
    walk_file,
)

#: First name below ``eidos`` → floor. A new one chooses its floor here.
FLOORS = {
    **dict.fromkeys(("_build", "duration", "errors", "log", "model", "redact", "semver", "terminal", "timestamp", "wording"), 0),
    **dict.fromkeys(("archive", "files", "formats", "process", "templates"), 1),
    **dict.fromkeys(("reading_selection", "dbus", "host_settings", "http_wire", "kube", "nvidia", "oci", "telemetry"), 2),
    **dict.fromkeys(("bundle", "check", "collectors", "diff", "fleet", "manifest", "recipe", "server_client", "sign"), 3),
    **dict.fromkeys(("collector_runner", "watch", "workflow"), 4),
    **dict.fromkeys(("cli", "server"), 5),
    "__main__": 6,
}

#: Packages of one floor of which one stands on the other, and why.
BESIDE = {
    ("cli", "server"): "one verb opens the other door",
    ("workflow", "collector_runner"): "a snapshot is what the collectors brought",
    ("watch", "collector_runner"): "what a cycle can use again are results of collectors",
    ("watch", "workflow"): "a cycle ends with a comparison",
    ("kube", "http_wire"): "names are looked up, sockets timed and their faults explained in one place",
    ("oci", "http_wire"): "requests to a registry are requests over HTTP",
    ("files", "formats"): "in a checkout the recipes are YAML",
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
}

#: A module has at most so many lines, and at least so many unless it is a collector, a rule, a verb or the face of a package.
MAXIMUM_LINES, MINIMUM_LINES = 400, 40

#: Where a module is as small as its one thing: collectors, rules of checks.
SMALL_FOLDERS = ("eidos/collectors/", "eidos/check/rules/")

#: Smaller modules, and why each stands alone.
SMALL = {
    "eidos/__main__.py": "python3 -m eidos runs it",
}

#: Packages whose docstring lists their modules.
LIST_THEIR_MODULES = {
    f"eidos/{name}" for name in ("bundle", "dbus", "diff", "host_settings", "nvidia", "process", "server/transport", "sign", "templates")
}

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


def first(name: str) -> str:
    """``eidos.model.record`` → ``model``."""
    return name.split(".")[1]


@for_each(PACKAGE_FILES)
def test_imports_go_down_a_floor_or_stay_in_their_package(file: str) -> None:
    if file == "eidos/__init__.py":
        return
    own = Path(file).parts[1].removesuffix(".py")
    assert own in FLOORS, f"eidos/{own} has no floor yet: give it one in FLOORS"
    for line, name in imports(walk_file(file)):
        if name == "eidos":
            continue
        other = first(name)
        ground = FLOORS[own] == FLOORS[other] == 0
        allowed = other == own or FLOORS[other] < FLOORS[own] or ground or (own, other) in BESIDE
        assert allowed, f"{file}:{line}: {own} (floor {FLOORS[own]}) must not import {other} (floor {FLOORS[other]})"


def test_every_exception_is_needed() -> None:
    used = [(Path(file).parts[1].removesuffix(".py"), name) for file in PACKAGE_FILES for _, name in imports(walk_file(file))]
    assert BESIDE.keys() <= {(own, first(name)) for own, name in used if name != "eidos"}
    assert [file for file in SMALL if len(read_lines(file)) >= MINIMUM_LINES] == []


def test_imports_are_absolute_and_of_modules_that_exist() -> None:
    for file in ALL_FILES:
        for node in walk_file(file):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}:{node.lineno}"
                if (node.module or "").startswith("eidos."):
                    assert node.module in MODULES or node.module == "eidos._build", f"{file}:{node.lineno}: there is no {node.module}"


def test_no_collector_imports_another() -> None:
    graph = import_graph()
    for name in graph:
        if name.startswith("eidos.collectors."):
            assert not {other for other in graph[name] if re.match(r"eidos\.collectors\.[a-z]", other)}, name


def test_no_modules_import_one_another() -> None:
    assert not circles(import_graph())


def test_every_module_is_part_of_the_program() -> None:
    """What only tests use does not ship; what only the build uses lies in eidos/build.

    Verbs, collectors, rules of checks and forms of reports are imported by name, the archive's modules by its start.
    """
    graph = import_graph()
    start = [name for name in graph if re.match(r"eidos($|\.__main__|\.cli|\.collectors|\.check\.(rules|\w+_report$)|\.archive)", name)]
    used = {*start, *reached(graph, start)}
    faces = {name.rpartition(".")[0] for name in used}
    built = {name for name in graph if name.startswith("eidos.build")}
    assert not graph.keys() - used - faces - built


@for_each(PACKAGE_FILES)
def test_a_module_says_what_it_holds_and_must_not(file: str) -> None:
    text = ast.get_docstring(parse_file(file)) or ""
    first_line, _, rest = text.partition("\n")
    assert first_line.endswith((".", "?")), "the first line is a sentence"
    assert re.search(r"^Knows\b", rest, re.MULTILINE), "a line begins with: Knows …"
    assert "must not know" in rest.lower()


@for_each([file for file in PACKAGE_FILES if file.endswith("/__init__.py")])
def test_a_package_that_lists_its_modules_lists_all(file: str) -> None:
    text = ast.get_docstring(parse_file(file)) or ""
    modules = [path.stem for path in (ROOT / file).parent.glob("[!_]*.py")]
    missing = {name for name in modules if not re.search(rf"\b{name}\b", text)}
    lists = str(Path(file).parent) in LIST_THEIR_MODULES
    assert not missing if lists else len(missing) > len(modules) / 3, f"{file}: {sorted(missing)}"


@for_each([*PACKAGE_FILES, *BUILD_FILES])
def test_a_module_is_neither_large_nor_tiny(file: str) -> None:
    lines = len(read_lines(file))
    assert lines <= MAXIMUM_LINES, "it wants to be two"
    is_verb = any(isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VERB" for node in parse_file(file).body)
    may_be_small = is_verb or Path(file).name == "__init__.py" or file.startswith(SMALL_FOLDERS) or file in SMALL
    assert lines >= MINIMUM_LINES or may_be_small, "it wants to be part of another"


@for_each([file for file in ALL_FILES if file not in OLD_SYNTAX_FILES and (ROOT / file).stat().st_size])
def test_annotations_are_never_evaluated(file: str) -> None:
    assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in parse_file(file).body)


def test_names_are_words_to_search_for(record_property: Callable[[str, object], None]) -> None:
    lines, faults = identifiers.count_uses()
    record_property("summary", "\n".join(lines))
    assert not faults


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {Path(file).parent for file in PACKAGE_FILES}
    assert folders == {Path(file).parent for file in PACKAGE_FILES if file.endswith("__init__.py")}


@for_each(PACKAGE_FILES)
def test_what_is_caught_is_named(file: str) -> None:
    for node in walk_file(file):
        if isinstance(node, ast.ExceptHandler):
            caught = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"everything"}
            broad = caught & {"everything", "Exception", "BaseException"}
            raises = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
            raises |= any(
                isinstance(inner, ast.Attribute) and inner.attr == "set_exception" for inner in ast.walk(node)
            )  # in another thread
            assert not broad or raises or file in CATCH_ALL, f"{file}:{node.lineno}: catches {broad.pop()}"


def uses(file: str, pattern: str) -> list[str]:
    """What a file imports or calls that matches, as ``file:line: name``."""
    matches = []
    for node in walk_file(file):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = [f"{node.value.id}.{node.attr}"]
        matches += [f"{file}:{getattr(node, 'lineno', 0)}: {name}" for name in names if re.fullmatch(pattern, name)]
    return matches


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (
            r"subprocess(\.(?!Popen\b).*)?|_posixsubprocess.*|multiprocessing.*|pty.*|os\.(fork.*|exec.*|spawn.*|posix_spawn.*|system|popen)",
            STARTS_PROCESSES,
        ),
        (r"(threading\.)(Thread|Timer)|_thread\.start_.*|concurrent.*|multiprocessing.*", STARTS_THREADS),
        (r"shutil\.which", {"eidos/process/run.py": "find_program, which skips relative folders of PATH"}),
    ],
    ids=["processes", "threads", "programs"],
)
def test_processes_and_threads_are_started_in_one_room(pattern: str, allowed: dict[str, str]) -> None:
    matches = {file: uses(file, pattern) for file in PACKAGE_FILES}
    assert not [use for file, names in matches.items() if file not in allowed for use in names]
    assert all(matches.get(file) for file in allowed), "an exception that nobody needs"


def test_only_the_transport_imports_the_standard_server() -> None:
    """It costs 20 ms and more, which no verb but ``serve`` has to pay."""
    files = {file for file in PACKAGE_FILES if uses(file, r"http\.server.*|socketserver.*")}
    assert {str(Path(file).parent) for file in files} == {"eidos/server/transport"}


@for_each(PACKAGE_FILES)
def test_an_assert_only_tells_the_type_of_a_value(file: str) -> None:
    """The bytecode in the built file has none."""
    for node in walk_file(file):
        if isinstance(node, ast.Assert):
            assert re.fullmatch(r"[\w.]+ is not None|isinstance\([\w.]+, [\w.]+\)", ast.unparse(node.test)), f"{file}:{node.lineno}"


def text_files() -> list[Path]:
    """What git tracks, or would; a folder without git is walked."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    names = done.stdout.decode().split("\0") if done.returncode == 0 else [*ALL_FILES, "README.md", "pyproject.toml"]
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_no_words_of_one_machine_or_registry() -> None:
    for path in text_files():
        text = path.read_bytes().decode(errors="replace").lower()
        assert not [word for word in WORDS if word in text], path.relative_to(ROOT)


@for_each(ALL_FILES)
def test_what_silences_a_tool_says_why(file: str) -> None:
    for number, line in enumerate((ROOT / file).read_text(encoding="utf-8").splitlines(), 1):
        for rest in re.findall(r"# (?:type: ignore|noqa)\b(.*)", line):
            assert re.match(r"(\[[a-z-]+\]|: [A-Z0-9, ]+?) +(#|-) *\w", rest), f"{file}:{number}"
