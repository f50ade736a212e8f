"""The table of what to write and what to edit is true: each row, done in a copy of the tree, works and passes the tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT

CONTRIBUTING = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.slow


class Edit(NamedTuple):
    """``text`` is written into ``file`` in front of ``anchor``."""

    file: str
    anchor: str
    text: str


class Addition(NamedTuple):
    """One row of the table, done.

    ``write`` are files by path; what exists already gets the text at its end. ``command`` is a command line of Python, and
    ``prints`` a regular expression for what it prints. ``tests`` are the parts of the suite that look at such a thing. Those in
    ``complaints`` fail, and ask for the edits in ``more``.
    """

    write: dict[str, str]
    edit: list[Edit]
    command: tuple[str, ...]
    prints: str
    tests: tuple[str, ...]
    complaints: tuple[str, ...] = ()
    more: tuple[Edit, ...] = ()


COLLECTOR = '''\
"""Ciphers that the kernel has, from /proc/crypto.

Knows the form of that file; must not know any cipher. It has a paragraph for each::

    name         : aes
    driver       : aes-generic
"""

from __future__ import annotations

from eidos.errors import NotApplicable
from eidos.files.host import FileMissing
from eidos.model.measurement import Subtype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors import Sources
    from eidos.model.measurement import Part

PATH = "/proc/crypto"


def collect(sources: Sources) -> Iterator[Part]:
    """Yield their number; a captured tree may have no such file."""
    try:
        text = sources.host.read_bytes(PATH).decode()
    except FileMissing as error:
        raise NotApplicable(f"no ciphers: there is no {PATH}") from error
    yield Subtype("crypto", {"ciphers": sum(line.startswith("name") for line in text.split("\\n"))})
'''

VERB = '''\
"""``eidos hello``: a greeting.

Knows one sentence; must not know anything else.
"""

from __future__ import annotations

from eidos.cli.options import FLAG_OUTPUT, HELP, LOGGING, Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values

VERB = Verb("hello", ("Print a greeting.",), (FLAG_OUTPUT, *LOGGING, HELP), examples=(("eidos hello", "print a greeting"),))


def run(values: Values) -> int:
    """Print a greeting."""
    from eidos.cli import document_locations

    document_locations.write_document(values["output"], "hello\\n")
    return 0
'''

HANDLER = '''

def get_hello(call: HandlerCall) -> HandlerResult:
    """``/hello``: a greeting."""
    return HandlerResult(make_representation("text/plain", b"hello\\n"))
'''

PRIVILEGE = "  - fact: os.crypto\n    needs: /proc, read-only\n    mounts: [proc]\n    without: the ciphers\n"

SOURCE = 'source: {document: "An example", version: "1", date: "2026-05"}'

IMAGES = """\
versions:
  "1.2.3":
    images:
      - "@{values.image.repository | registry.example.com/node-exporter}:v1.2.3"
"""

CHECK = """\
source: {{id: example, document: An example, version: "1", date: "2026-05"}}
checks:
  - id: floppy-loaded
    title: the floppy driver is loaded
    severity: info
    {judge}
    expected: not loaded
    reason: Probing a drive that is not there delays the boot.
    source: example
    remedy: {{steps: [{{run: rmmod floppy}}]}}
"""

RULE = '''\
"""Whether the floppy driver is loaded.

Knows its name; must not know what loads it.
"""

from __future__ import annotations

from eidos.check.evaluation import RuleContext, RuleResult
from eidos.model.condition_nodes import Judgement, Unread

PATH = "OS.kmod.floppy"


def judge(context: RuleContext) -> RuleResult:
    """Fails when it is."""
    try:
        return RuleResult(Judgement(context.node.read(PATH) is None, {PATH: context.node.read(PATH) or ""}))
    except Unread as fault:
        return RuleResult(Judgement(None, unread={PATH: fault.why}))
'''

DEPLOYER = """\
version: "1.0.0"
recipe: recipe.dgxc.io/v1
title: releases of an example
each:
  - {template: release.yaml, target: "example/@{component.id}.yaml", when: component.chart}
all: [{template: README.md}]
"""

RELEASE = """\
apiVersion: example.com/v1
kind: Release
metadata: {name: "@{component.release}"}
spec: {version: "@{component.version}"}
"""

PRINT_RELEASE = """\
import eidos
bundle = eidos.make_bundle(eidos.make_recipe({"gpu": "h100"}), eidos.BundleOptions(deployer="example"))
print(bundle.files["example/gpu-operator.yaml"].decode())
"""

REGISTER_METRIC = '        self._complete = metrics.counter("eidos_watch_complete_total", "Cycles in which each collector was ok.")\n'

#: Laws that code is held to, and the tests that look at all of the recipe data.
LAWS = ("tests/project/test_architecture.py", "tests/project/test_names.py")
README_ROWS = "tests/project/test_readme.py::test_the_tables_are_those_of_the_program_and_its_data"
EXIT_CODES = "tests/project/test_manual.py::test_the_table_of_exit_codes_is_that_of_the_program"
COVERAGE = "tests/project/test_manual.py::test_the_table_of_coverage_is_printed_from_the_data"
TABLE_OF_METRICS = "tests/project/test_manual.py::test_the_table_of_metrics_of_a_watch_has_each_of_them"
DEPLOYER_HELP = "tests/bundle/test_deployers.py::test_the_help_names_each_deployer"
DEPLOYER_SCHEMAS = "tests/bundle/test_deployers.py::test_every_object_is_what_its_definition_accepts"
COMPATIBILITY = "tests/workflow/test_compatibility.py"
INVENTORY = f"{COMPATIBILITY}::test_nothing_that_is_promised_disappears"
#: What the table calls them.
NAMES = {COVERAGE: "the tables of coverage", INVENTORY: "the inventory"}

CHECK_TESTS = ("tests/check/test_judge.py::test_the_shipped_checks_have_no_issue",)
GOLDEN_RECIPES = "tests/recipe/test_golden.py::test_a_recipe_is_what_it_was"

RECIPE_TESTS = (
    COMPATIBILITY,
    "tests/project/test_manual.py",
    "tests/recipe/test_golden.py",
    "tests/recipe/test_lint.py",
)


def golden_question(name: str, query: str) -> Edit:
    return Edit("tests/recipe/test_golden.py", '    "base": {},\n', f'    "{name}": {query},\n')


ADDITIONS = {
    "a collector": Addition(
        write={
            "eidos/collectors/os_crypto.py": COLLECTOR,
            "tests/cases/os.crypto/two.in": "name : aes\n\nname : sha1\n",
            "tests/cases/os.crypto/two.out": '{"subtypes": {"crypto": {"ciphers": 2}}, "gaps": {}}\n',
        },
        edit=[],
        command=("-m", "eidos", "snapshot", "--list"),
        prints=r"os\.crypto +Ciphers that the kernel has",
        tests=(*LAWS, "tests/collectors/test_cases.py", "tests/cli/test_cli.py", "tests/manifest/test_manifest.py", COMPATIBILITY),
        complaints=("tests/manifest/test_manifest.py::test_facts_are_the_collectors", INVENTORY),
        more=(
            Edit("templates/kubernetes/agent.yaml", "  os.kmod: {", "  os.crypto: {mounts: [proc]}\n"),
            Edit("templates/kubernetes/agent.yaml", "  - fact: os.kmod\n", PRIVILEGE),
        ),
    ),
    "an accelerator, OS or cloud": Addition(
        write={},
        edit=[
            Edit(
                "recipes/catalog.yaml",
                "  - name: l40\n",
                f"  - name: rtx-6000-ada\n    title: RTX 6000\n    architecture: Ada\n    detect: [RTX 6000 Ada]\n    {SOURCE}\n",
            )
        ],
        command=("-m", "eidos", "recipe", "--gpu", "rtx-6000-ada"),
        prints=r"\n  gpu: rtx-6000-ada\n",
        tests=RECIPE_TESTS,
        complaints=("tests/recipe/test_golden.py::test_each_word_of_the_catalog_has_a_golden", COVERAGE, INVENTORY),
        more=(golden_question("gpu-rtx-6000-ada", '{"gpu": "rtx-6000-ada"}'),),
    ),
    "an overlay": Addition(
        write={
            "recipes/overlays/a10-oke-inference.yaml": (
                f"key: {{gpu: a10, service: oke, intent: inference}}\n{SOURCE}\n"
                'constraints:\n  - {name: GPU.smi.driver, value: ">= 999.1", why: "An example."}\n'
            )
        },
        edit=[],
        command=("-m", "eidos", "recipe", "--gpu", "a10", "--service", "oke", "--intent", "inference"),
        prints=r"999\.1",
        tests=RECIPE_TESTS,
        complaints=(
            "tests/recipe/test_golden.py::test_each_layer_is_reached_by_a_golden_recipe",
            COVERAGE,
        ),
        more=(golden_question("oke-a10-inference", '{"gpu": "a10", "service": "oke", "intent": "inference"}'),),
    ),
    "a component": Addition(
        write={
            "recipes/values/node-exporter/1.2.3.registries.yaml": "image.repository: registry.example.com/node-exporter\n",
            "recipes/images/node-exporter.yaml": IMAGES,
            "templates/bundles/node-exporter/bundle.yaml": 'version: "1.0.0"\nrecipe: recipe.dgxc.io/v1\nextends: every\n',
        },
        edit=[
            Edit(
                "recipes/components.yaml",
                "  - id: nsight-operator\n",
                "  - id: node-exporter\n    title: Node exporter\n    chart: node-exporter\n    repository: https://charts.example.com\n"
                f"    version: 1.2.3\n    namespace: monitoring\n    {SOURCE}\n",
            )
        ],
        command=("-m", "eidos", "bundle", "lint"),
        prints="0 errors",
        tests=(*RECIPE_TESTS, "tests/bundle/test_engine.py", "tests/bundle/test_lint.py", "tests/bundle/test_charts.py"),
        complaints=(INVENTORY,),
    ),
    "a check that an expression can say": Addition(
        write={"recipes/checks/example.yaml": CHECK.format(judge="expect: OS.kmod.floppy absent")},
        edit=[],
        command=("-m", "eidos", "check", "--list"),
        prints=r"floppy-loaded +info +the floppy driver is loaded",
        tests=CHECK_TESTS,
    ),
    "a check that needs code": Addition(
        write={"eidos/check/rules/floppy.py": RULE, "recipes/checks/example.yaml": CHECK.format(judge="rule: floppy")},
        edit=[],
        command=("-m", "eidos", "explain", "floppy-loaded"),
        prints=r"code: eidos/check/rules/floppy\.py",
        tests=(*LAWS, *CHECK_TESTS),
    ),
    "a deployer": Addition(
        write={
            "templates/deployers/example/deployer.yaml": DEPLOYER,
            "templates/deployers/example/release.yaml": RELEASE,
            "templates/deployers/example/README.md": "# @{recipe.title}\n\n@{deployer.notes?}\n\n"
            "## What the recipe says\n\n@{readings-table}\n",
        },
        edit=[],
        command=("-c", PRINT_RELEASE),
        prints="^  version: v26",
        tests=("tests/bundle/test_deployers.py",),
        complaints=(DEPLOYER_SCHEMAS, DEPLOYER_HELP),
        more=(
            Edit("eidos/cli/bundle.py", "helmfile or manifests", "example, "),
            Edit("tests/schemas/deployers.json", ' "helm.toolkit.fluxcd.io', ' "example.com/v1/Release": {"required": ["version"]},\n'),
        ),
    ),
    "a metric of a watch": Addition(
        write={},
        edit=[
            Edit("eidos/watch/watch_metrics.py", "        self._collectors = CollectorMetrics(", REGISTER_METRIC),
            Edit("eidos/watch/watch_metrics.py", "        self._stuck.set(cycle.stuck)\n", "        self._complete.increment()\n"),
        ],
        command=("-c", "from eidos.watch.watch_metrics import *; print(WatchMetrics((), 60.0, 60.0).metrics.render_text())"),
        prints="^# TYPE eidos_watch_complete_total counter$",
        tests=("tests/watch/test_watch_parts.py", "tests/project/test_manual.py"),
        complaints=(TABLE_OF_METRICS,),
        more=(Edit("templates/help/watch.md", "| `eidos_watch_stuck_processes`", "| `eidos_watch_complete_total` | complete cycles |\n"),),
    ),
    "a command": Addition(
        write={"eidos/cli/hello.py": VERB},
        edit=[Edit("eidos/cli/commands.py", '    "version": (', '    "hello": ("eidos.cli.hello", "print a greeting"),\n')],
        command=("-m", "eidos", "hello"),
        prints="^hello$",
        tests=(*LAWS, "tests/cli/test_cli.py", "tests/cli/test_completion.py", README_ROWS, "tests/project/test_manual.py", COMPATIBILITY),
        complaints=(README_ROWS, EXIT_CODES, INVENTORY),
        more=(
            Edit("README.md", "| `version` |", "| `hello` | print a greeting |\n"),
            Edit("templates/help/exit-codes.md", "| `serve` |", "| `hello` | 0 always |\n"),
        ),
    ),
    "an endpoint": Addition(
        write={"eidos/server/handlers/system.py": HANDLER},
        edit=[
            Edit(
                "eidos/server/routes.py",
                '    _probe("/health", ',
                '    Operation("GET", "/v1/hello", system.get_hello, "getHello", "A greeting", (TEXT,)),\n',
            )
        ],
        command=("-c", "from tests.support.in_process_server import *; print(Client(application()).get('/v1/hello').body.decode())"),
        prints="hello",
        tests=(*LAWS, "tests/server/test_app.py", "tests/server/test_openapi.py", "tests/manifest/test_manifest.py"),
    ),
}


def rows() -> dict[str, list[str]]:
    """First cell → the other cells, of the table."""
    table = CONTRIBUTING.partition("\n| to add |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {first: rest for first, *rest in cells}


def paths(cell: str) -> list[str]:
    """Regular expressions for the paths that a cell names; a folder stands for the files in it."""
    names = re.findall(r"`([^`]*/[^`]*)`", cell)
    return [re.sub(r"<\w+>|<[\w ]+>", "[^/]+", name.replace(".", r"\.")) + (".+" if name.endswith("/") else "") for name in names]


def test_every_row_is_tested() -> None:
    assert ADDITIONS.keys() == rows().keys()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the tree, in a repository of its own."""
    target = tmp_path / "eidos"
    ignored = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "dist", ".hypothesis")
    shutil.copytree(ROOT, target, ignore=ignored, symlinks=True)
    git = ["git", "-C", str(target), "-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=x"]):
        subprocess.run([*git, *command], check=True)
    return target


def run_tests(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "--effort=normal", "-k", "not built_file", *arguments]
    own = {name: value for name, value in os.environ.items() if name != "TESTS_PROGRAM"}  # which was built from another tree
    return subprocess.run(command, cwd=tree, env=own, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False)


def apply(tree: Path, edits: tuple[Edit, ...] | list[Edit]) -> None:
    for edit in edits:
        text = (tree / edit.file).read_text(encoding="utf-8")
        assert text.count(edit.anchor) == 1, edit
        (tree / edit.file).write_text(text.replace(edit.anchor, edit.text + edit.anchor), encoding="utf-8")


@pytest.mark.timeout(1200)
@pytest.mark.exhaustive(sample=2)
@pytest.mark.parametrize("what", ADDITIONS)
def test_what_the_table_says_is_all_there_is_to_do(what: str, tree: Path) -> None:
    addition = ADDITIONS[what]
    to_write, to_edit, check = rows()[what]
    for files, cell in ((addition.write, to_write), ([edit.file for edit in addition.edit], to_edit)):
        patterns = paths(cell)
        assert all(any(re.fullmatch(pattern, file) for pattern in patterns) for file in files), cell
        assert all(any(re.fullmatch(pattern, file) for file in files) for pattern in patterns), cell
    for complaint in addition.complaints:
        assert NAMES.get(complaint, f"`{complaint.partition('::')[0]}`") in check
    assert all(f"`{edit.file}`" in check for edit in addition.more)

    for file, text in addition.write.items():
        path = tree / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((path.read_text(encoding="utf-8") if path.exists() else "") + text, encoding="utf-8")
    apply(tree, addition.edit)
    done = subprocess.run([sys.executable, *addition.command], cwd=tree, capture_output=True, text=True, timeout=300, check=False)
    assert re.search(addition.prints, done.stdout, re.MULTILINE), done.stdout + done.stderr

    first = run_tests(tree, *addition.tests)
    failed = set(re.findall(r"^FAILED ([^\s\[]+)", first.stdout, re.MULTILINE))
    assert failed == set(addition.complaints), first.stdout[-3000:]
    if addition.complaints:
        apply(tree, addition.more)
        affected = {*addition.complaints, *(GOLDEN_RECIPES for _ in addition.more)}
        run_tests(tree, "--update-golden", *affected)
        again = run_tests(tree, *affected)
        assert again.returncode == 0, again.stdout[-3000:]
