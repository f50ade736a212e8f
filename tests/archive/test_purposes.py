"""Files for one purpose: what they lack, what they answer for it, and that no host makes other bytes."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from eidos.archive.packs import PARTS, pack_of
from eidos.archive.purposes import AGENT, LEFT_OUT, SERVER, select_entries
from eidos.cli.commands import COMMANDS
from eidos.cli.help import TOPICS
from eidos.errors import InvalidInput
from tests.project.source_tree import MODULES, PACKAGE_FILES, ROOT, imports, parse_file, runtime_nodes

#: Folders and modules below ``eidos`` that are in a part.
_PATHS = " ".join(PARTS.values()).split()

#: Verbs that carry a bundle or evidence elsewhere, which neither an agent nor a server does.
CARRYING = {"evidence", "image", "mirror", "pull", "push", "self-verify", "sign", "verify"}

#: Verbs that files lack; what else they lack are templates and bytecode.
LACKING = {AGENT: {"bundle", "serve", *CARRYING}, SERVER: CARRYING}

#: What the text of a module contains that imports something which is in a part.
MAY_LACK = re.compile(r"from eidos import|import eidos|eidos\.(cli|" + "|".join({path.partition("/")[0] for path in _PATHS}) + r")\b")

#: Modules of every file that import, when a function is called, what some files lack.
LATE_IMPORTS = {
    "eidos.cli.completion": "values of flags of 'eidos bundle'",
    "eidos.cli.fleet": "--push",
    "eidos.cli.recipe": "'eidos recipe lint'",
    "eidos.cli.object_store_locations": "the results of a fleet in an object store",
    "eidos.cli.registry_locations": "oci:// as a location",
    "eidos.workflow": "make_bundle, verify_bundle and what writes bundles",
}


def is_left_out(module: str) -> bool:
    """Whether a module is in a part that a file may lack."""
    return pack_of(MODULES[module]) != "packs/eidos"


def test_the_manual_says_what_files_for_one_purpose_leave_out() -> None:
    text = (ROOT / "templates" / "help" / "performance.md").read_text().partition("`build_zipapp.py --for agent` leaves out")[2]
    agent, _, server = text.partition("\n\n")[0].partition("`--for server`")
    assert set(re.findall("`([a-z -]+)`", agent)) == {*LACKING[AGENT], "recipe lint"}
    assert "`bundle lint`" in server


def test_every_part_is_of_modules_that_exist() -> None:
    for path in _PATHS:
        assert (ROOT / "eidos" / path).is_dir() or (ROOT / "eidos" / f"{path}.py").is_file(), path
    assert {pack.removeprefix("packs/eidos-") for pack in map(pack_of, PACKAGE_FILES)} == {"packs/eidos", *PARTS}


def test_what_every_file_has_imports_nothing_that_some_lack() -> None:
    late = set()
    for file in PACKAGE_FILES:
        module = next(name for name, path in MODULES.items() if path == file)
        if is_left_out(module) or not MAY_LACK.search((ROOT / file).read_text()):
            continue
        body = [node for node in parse_file(file).body if not isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        at_once = [name for node in body for _, name in imports([node, *runtime_nodes(node)]) if not is_type_checking(node)]
        assert [name for name in at_once if is_left_out(name)] == [], file
        if any(is_left_out(name) for _, name in imports(runtime_nodes(parse_file(file)))):
            late.add(module)
    assert late == LATE_IMPORTS.keys()


def is_type_checking(node: ast.AST) -> bool:
    """Whether only type checkers run a statement."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def test_what_a_server_runs_is_in_its_file() -> None:
    """It lacks what lies in the part "full", and no module of the server or of bundles imports that, but for 'eidos bundle lint'."""
    served = [file for file in PACKAGE_FILES if pack_of(file) == "packs/eidos-server"]
    imported = {(file, name) for file in served for _, name in imports(runtime_nodes(parse_file(file)))}
    assert len(served) > 20
    assert {name for _, name in imported if pack_of(MODULES[name]) == "packs/eidos-full"} == {"eidos.cli.lint_report"}


def make_archive(*names: str, prefix: bytes = b"#!/usr/bin/env python3\n") -> bytes:
    """A zip file behind a line, each entry with its name as its content."""
    file = io.BytesIO()
    file.write(prefix)
    with zipfile.ZipFile(file, "w") as archive:
        for number, name in enumerate(names):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o100644 << 16
            archive.writestr(info, name * 50, zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED)
    return file.getvalue()


@pytest.mark.parametrize("prefix", [b"", b"#!/usr/bin/env python3\n"])
def test_entries_are_copied_as_they_are(prefix: bytes) -> None:
    """What is left is what ``zipfile`` would have written without the others."""
    needed = ("eidos/archive/packs.py", "packs/eidos", "packs/eidos-server", "packs/templates", "packs/templates-kubernetes")
    content = make_archive("__main__.pyc", "bytecode/cpython-312", *needed, "packs/templates-help", prefix=prefix)
    for purpose in LEFT_OUT:
        rest = [name for name in needed if not name.startswith(LEFT_OUT[purpose])]
        selected = select_entries(content, purpose)
        with zipfile.ZipFile(io.BytesIO(selected)) as archive:
            assert (archive.namelist(), archive.testzip()) == (rest, None)
            assert [archive.read(name) for name in rest] == [name.encode() * 50 for name in rest]
        assert select_entries(selected, purpose) == selected
        assert selected.startswith(prefix + b"PK\3\4")


def test_a_zip_file_is_written_as_the_standard_library_does() -> None:
    names = ("__main__.pyc", "eidos/archive/packs.py", "packs/eidos", "packs/x")
    content, expected = make_archive(*names), make_archive("-", *names[1:])
    with zipfile.ZipFile(io.BytesIO(expected)) as archive:
        first = archive.infolist()[1].header_offset
    assert select_entries(content, AGENT)[23 : 23 + 200] == expected[first : first + 200]


def test_what_is_damaged_or_lacks_a_part_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not eidos"):
        select_entries(make_archive("a"), AGENT)
    with pytest.raises(InvalidInput, match="built for another purpose than server"):
        select_entries(make_archive("eidos/archive/packs.py", "packs/eidos"), SERVER)
    content = make_archive("__main__.pyc", "eidos/archive/packs.py", "packs/eidos")
    at = content.index(b"packs/eidospacks") + 20
    with pytest.raises(zipfile.BadZipFile, match="CRC"):
        select_entries(content[:at] + b"x" + content[at + 1 :], AGENT)


def run(file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The file as a user runs it."""
    return subprocess.run([sys.executable, "-I", "-S", str(file), *words], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("purpose", LEFT_OUT)
def test_a_file_for_one_purpose_offers_what_it_has(purpose: str, request: pytest.FixtureRequest) -> None:
    file = request.getfixturevalue(f"{purpose}_pyz")
    overview = run(file, "--help").stdout
    listed = {line.split()[0] for line in overview.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()}
    assert listed == COMMANDS.keys() - LACKING[purpose]
    assert "Manual" not in overview and "help cluster" not in overview
    script = run(file, "completion", "bash").stdout
    for verb in LACKING[purpose]:
        done = run(file, verb, "--help")
        message = f"error: no command {verb!r}: this file was built for {purpose}s\nhint: use the full eidos.pyz\n"
        assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
        assert verb not in script.split()
    assert all(verb in script for verb in listed)


@pytest.mark.slow
def test_every_verb_of_an_agent_is_there(agent_pyz: Path) -> None:
    script = "import sys; sys.path.insert(0, sys.argv[1]); from eidos.cli import load_verbs; print(*[v.name for v in load_verbs()])"
    command = [sys.executable, "-I", "-S", "-c", script, str(agent_pyz)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stdout.split()) == COMMANDS.keys() - LACKING[AGENT]
    for topic in ("cluster", "serve"):
        assert topic in TOPICS
        done = run(agent_pyz, "help", topic)
        assert done.stderr == f"error: no page {topic!r}: this file was built for agents\nhint: use the full eidos.pyz\n"
    done = run(agent_pyz, "bundel")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "error: unknown command 'bundel'")


@pytest.mark.slow
def test_settings_of_what_was_left_out_are_valid(agent_pyz: Path, tmp_path: Path) -> None:
    (tmp_path / "eidos").mkdir()
    (tmp_path / "eidos" / "config.yaml").write_text("bundle: {registry: mirror.example.com}\nport: 8081\n")
    command = [sys.executable, "-I", "-S", str(agent_pyz), "snapshot", "--only", "os.release", "-o", "-"]
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "EIDOS_REGISTRY": "mirror.example.com"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_missing_part_of_a_function_is_named(agent_pyz: Path) -> None:
    """What is imported late, such as a source of documents, is an error and no fault of the program."""
    script = (
        f"import sys; sys.path.insert(0, {str(agent_pyz)!r}); import eidos.cli; from eidos.cli import recipe\n"
        "def run(values): import eidos.bundle.engine\n"
        "recipe.run = run; sys.exit(eidos.cli.main(['recipe', '--gpu', 'h100']))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: eidos.bundle is missing: this file was built for agents\nhint: use the full eidos.pyz\n"
