"""Shows what the tests would not notice: changes one expression of the program at a time, and runs the tests that should fail.

``python3 -m tests.mutation [--sample N] [--seed N] [--jobs N] [FILE …]`` prints the mutants that survived, and how many there were.
Exit status 1 when tests fail without any change, or more than ``FLOOR`` of a hundred mutants survive, a sample aside.

Knows which tests belong to which module; must not know what they test. Each mutant is a copy of the tree with one changed file. Its
tests run in a fork of this process, which has imported pytest already: first those that reach the changed line, quick ones before
slow ones, and then all with all their examples if nothing was noticed. A mutant whose tests do not end is noticed as well.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import hypothesis
import pytest
from coverage import Coverage

from tests.support.effort import BUILT, default_seed

ROOT = Path(__file__).resolve().parent.parent

#: Of a hundred mutants, how many may survive: some change nothing that can be observed.
FLOOR = 25

#: Seconds after which tests that do not end have noticed the change.
PATIENCE_S = 300

#: How much of what tests printed is shown when they fail without a change.
LOG_CHARACTERS = 4000

#: Seconds that the first tests of a mutant may take.
QUICK_S = 15

#: What is judged, and the tests that judge it.
TARGETS = {
    f"eidos/{module}.py": tuple(f"tests/{test}.py" for test in tests.split())
    for modules, tests in {
        "semver": "ground/test_semver property/test_semver model/test_constraint property/test_constraint",
        "recipe/resolver": "property/test_matching property/test_merge recipe/test_contradictions recipe/test_detection recipe/test_golden "
        "recipe/test_layer_keys recipe/test_resolution recipe/test_matrix recipe/test_packed_store recipe/test_store",
        "server/rate_limiter": "property/test_ratelimit server/test_app server/test_limits",
        "http_wire/retry": "property/test_retry http_wire/test_fetch cli/test_recipe_server kube/test_faults",
        "http_wire/request_head http_wire/request_parser": "http_wire/test_request_parser server/test_wire server/test_connection",
        "server/transport/connection": "server/test_connection server/test_wire server/test_limits",
        "server/transport/request_workers": "server/test_request_workers server/test_connection server/test_limits server/test_heavy",
        "bundle/verification": "bundle/test_folders_and_archives bundle/test_verification",
        "redact/command_lines redact/harmless_forms redact/harmless_names redact/random_words redact/secret_names "
        "redact/secrets_in_text redact/unit_properties redact/urls_in_text redact/xml_elements": ""
        "redact/test_canaries redact/test_printed redact/test_redact "
        "redact/test_visible redact/test_reveal property/test_secrets collectors/test_systemd",
    }.items()
    for module in modules.split()
}

_OPPOSITES: dict[type[ast.AST], type[ast.AST]] = {}
for one, other in (
    *((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.In, ast.NotIn), (ast.Is, ast.IsNot)),
    *((ast.And, ast.Or), (ast.Add, ast.Sub)),
):
    _OPPOSITES.update({one: other, other: one})


class Mutant(NamedTuple):
    """A module with one expression replaced, which begins in the first of ``lines``, and the text of that line."""

    path: str
    lines: range
    before: str
    after: str
    source: bytes
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.lines.start}: {self.before} → {self.after}   in   {self.text.strip()}"


def mutants_of(path: str) -> Iterator[Mutant]:
    """All mutants of a module, in the order of its lines."""
    source = (ROOT / path).read_bytes()
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    for node, changed in _replacements(ast.parse(source)):
        start, end = lines[node.lineno - 1] + node.col_offset, lines[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        after = ast.unparse(changed)
        changed_source = source[:start] + f"({after})".encode() + source[end:]
        text = source.splitlines()[node.lineno - 1].decode()
        yield Mutant(path, range(node.lineno, (node.end_lineno or 0) + 1), ast.unparse(node), after, changed_source, text)


def _replacements(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Expressions below a node, each with one that stands in for it; what only people or type checkers read stays as it is."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns") or isinstance(value, (ast.JoinedStr, ast.expr_context)):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or (isinstance(child, (ast.If, ast.Assign)) and "TYPE_CHECKING" in ast.unparse(child)):
                continue
            if isinstance(child, ast.expr):
                yield from ((child, changed) for changed in _changed(child))
                if name == "test" and isinstance(tree, (ast.If, ast.IfExp, ast.While)) and not isinstance(child, ast.Constant):
                    yield child, ast.Constant(False)
                    if not isinstance(tree, ast.While):
                        yield child, ast.Constant(True)
                if isinstance(tree, ast.Return) and not isinstance(child, ast.Constant):
                    yield child, ast.Constant(None)
            yield from _replacements(child)


def _changed(node: ast.expr) -> Iterator[ast.expr]:
    """Expressions that differ from this one in an operator or a limit."""
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            ops = [_OPPOSITES[type(operator)]() if i == at else each for i, each in enumerate(node.ops)]
            yield ast.Compare(node.left, ops, node.comparators)  # type: ignore[arg-type]  # the opposite of a comparison is one
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(_OPPOSITES[type(node.op)](), node.values)  # type: ignore[arg-type]  # the same
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPPOSITES:
        yield ast.BinOp(node.left, _OPPOSITES[type(node.op)](), node.right)  # type: ignore[arg-type]  # the same
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        yield ast.Constant(node.value + 1)
        yield ast.Constant(node.value - 1)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
        yield ast.Call(ast.Name("max" if node.func.id == "min" else "min", ast.Load()), node.args, node.keywords)


class Quick:
    """A run of which only the outcome counts: no example is made smaller, and no file is built for each mutant."""

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("quick", hypothesis.settings(), database=None, phases=phases)
        hypothesis.settings.load_profile("quick")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not BUILT & set(getattr(item, "fixturenames", ()))]


class Reach(NamedTuple):
    """Which tests reach which line of a module in their own process, and the seconds that each takes."""

    lines: dict[int, list[str]]
    seconds: dict[str, float]

    def select(self, lines: range) -> list[str]:
        """The tests of a mutant, quick ones first: those that reach its lines, then the others of their files.

        What one test reaches while it is set up serves others, and so does what a cache holds. All tests where none reaches the lines:
        a module is imported once, and programs that tests start do not count.
        """
        near = {test for line in lines for test in self.lines.get(line, ())} - {""}
        files = {test.partition("::")[0] for test in near}
        tests = [test for test in self.seconds if not near or test.partition("::")[0] in files]
        return sorted(tests, key=lambda test: (test not in near, self.seconds[test]))


class Observe:
    """Writes beside the tree what a ``Reach`` of each module holds."""

    def __init__(self, paths: list[str]) -> None:
        self.coverage = Coverage(data_file=None, config_file=False, include=paths)
        self.coverage.start()
        self.paths = paths
        self.seconds = defaultdict[str, float](float)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, bool, bool]:
        self.coverage.switch_context(item.nodeid)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        self.coverage.stop()
        data = self.coverage.get_data()
        lines = {path: data.contexts_by_lineno(os.path.abspath(path)) for path in self.paths}
        Path("../reach").write_text(json.dumps([lines, self.seconds]))


class Select:
    """Runs the tests of a mutant in their order, as many as are expected to end in time."""

    def __init__(self, reach: Reach, lines: range) -> None:
        self.order: dict[str, int] = {}
        seconds = 0.0
        for test in reach.select(lines):
            seconds += reach.seconds[test]
            if seconds > QUICK_S and self.order:
                break
            self.order[test] = len(self.order)

    @property
    def files(self) -> list[str]:
        return list(dict.fromkeys(test.partition("::")[0] for test in self.order))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((item for item in items if item.nodeid in self.order), key=lambda item: self.order[item.nodeid])


class Run(NamedTuple):
    """Tests that run in a copy of the tree, as a process of their own; ``final`` when they are all that there are."""

    tree: Path
    mutant: Mutant
    final: bool
    pid: int
    began: float


def start(tree: Path, mutant: Mutant, reach: Reach | None, final: bool) -> Run:
    """Run tests of a mutant in ``tree``: those that ``reach`` selects, or all; without it, all, and observe what they reach."""
    target = tree / mutant.path
    target.write_bytes(mutant.source)
    stamp = target.stat().st_mtime_ns + random.SystemRandom().randrange(1 << 40)  # or bytecode of another mutant would be used
    os.utime(target, ns=(stamp, stamp))
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            limit = 5 + 4 * QUICK_S if reach and not final else PATIENCE_S
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
            status = run_tests(tree, mutant, reach, final)
        finally:  # nothing of this process's own must be undone
            sys.stdout.flush()
            os._exit(status)
    return Run(tree, mutant, final, pid, time.monotonic())


def run_tests(tree: Path, mutant: Mutant, reach: Reach | None, final: bool) -> int:
    """Pytest's exit status; for a process that does nothing else. What is printed goes to a log beside the tree."""
    os.setsid()
    os.chdir(tree)
    log = os.open("../log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor, target in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(target, descriptor)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("eidos", "tests")]:
        del sys.modules[name]
    sys.path[:] = [str(tree), *(entry for entry in sys.path if entry not in ("", str(ROOT)))]
    flags = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0"]
    modules = [path for path in TARGETS if TARGETS[path] == TARGETS[mutant.path]]
    tests = [*modules, *TARGETS[mutant.path]]  # their doctests, too
    plugins: list[object] = [Quick()]
    if reach is None:
        plugins.append(Observe(modules))
    elif not final:
        select = Select(reach, mutant.lines)
        plugins.append(select)
        tests = select.files
    flags.append(f"--effort={'thorough' if final else 'normal'}")
    return int(pytest.main([*flags, *tests], plugins=plugins))


def judge(mutants: Iterable[Mutant], trees: list[Path], reach: dict[str, Reach], again: bool = True) -> Iterator[tuple[Mutant, bool]]:
    """Each mutant as soon as it is known, and whether it survived.

    What tests reach in a module without an entry in ``reach``, and in others with the same tests, is added to it.
    Who survives the tests that reach the change is judged by all tests, if ``again`` says so.
    """
    waiting, free, running = list(mutants)[::-1], list(trees), dict[int, Run]()
    originals = {mutant.path: (trees[0] / mutant.path).read_bytes() for mutant in waiting}
    while waiting or running:
        while waiting and free:
            mutant = waiting.pop()
            run = start(free.pop(), mutant, reach.get(mutant.path), False)
            running[run.pid] = run
        for run in list(running.values()):
            pid, status = os.waitpid(run.pid, os.WNOHANG)
            late = time.monotonic() - run.began > PATIENCE_S
            if not pid and not late:
                continue
            end_processes(run.pid, reap=not pid)
            del running[run.pid]
            survived = not late and (status == 0 or os.waitstatus_to_exitcode(status) == pytest.ExitCode.NO_TESTS_COLLECTED)
            if survived and again and not run.final:
                final = start(run.tree, run.mutant, reach[run.mutant.path], True)
                running[final.pid] = final
                continue
            if survived and run.mutant.path not in reach:
                modules, seconds = json.loads((run.tree.parent / "reach").read_text())
                reach.update({path: Reach({int(line): tests for line, tests in lines.items()}, seconds) for path, lines in modules.items()})
            (run.tree / run.mutant.path).write_bytes(originals[run.mutant.path])
            free.append(run.tree)
            yield run.mutant, survived
        time.sleep(0.02)


def end_processes(leader: int, *, reap: bool) -> None:
    """Kill what a run has left in its session."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass
    if reap:
        os.waitpid(leader, 0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.mutation", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", metavar="FILE", help="modules to change [all that have an entry in TARGETS]")
    parser.add_argument(
        "--sample", type=int, metavar="N", help="judge N mutants, of four modules unless some are named, by quick tests alone [all]"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="what draws them [from the commit]")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="how many at once [one for each processor]")
    options = parser.parse_args()
    os.environ.pop("TESTS_PROGRAM", None)  # it was built from what is not changed
    seed = default_seed(ROOT) if options.seed is None else options.seed
    paths = options.files or list(TARGETS)
    if options.sample is None:
        mutants = [mutant for path in paths for mutant in mutants_of(path)]
    else:  # of a few modules, for the tests of each run without a change first
        draw = random.Random(seed)
        mutants = [mutant for path in options.files or draw.sample(paths, 4) for mutant in mutants_of(path)]
        mutants = draw.sample(mutants, min(options.sample, len(mutants)))
    print(f"{len(mutants)} mutants of {', '.join(dict.fromkeys(mutant.path for mutant in mutants))}; --seed={seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="eidos-mutants-") as folder:
        trees = [Path(folder, str(job), "tree") for job in range(options.jobs)]
        for tree in trees:
            shutil.copytree(ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "dist"))
            if (ROOT.parent / "shared").is_dir():
                (tree.parent / "shared").symlink_to(ROOT.parent / "shared")
        modules = {TARGETS[mutant.path]: mutant.path for mutant in mutants}
        unchanged = [Mutant(path, range(0), "", "", (ROOT / path).read_bytes(), "") for path in modules.values()]
        reach: dict[str, Reach] = {}
        for mutant, survived in judge(unchanged, trees, reach, again=False):
            if not survived:
                print(f"error: {', '.join(TARGETS[mutant.path])}: these fail without a change of {mutant.path}", file=sys.stderr)
                for log in sorted(Path(folder).glob("*/log")):
                    print(log.read_text(errors="replace")[-LOG_CHARACTERS:], file=sys.stderr)
                return 1
        survivors = 0
        for mutant, survived in judge(mutants, trees, reach, again=options.sample is None):
            survivors += survived
            if survived:
                print(f"survived: {mutant}", flush=True)
    print(f"{len(mutants)} mutants, {survivors} survived")
    return 1 if options.sample is None and survivors * 100 > FLOOR * len(mutants) else 0


if __name__ == "__main__":
    sys.exit(main())
