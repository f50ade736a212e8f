"""Shows what the tests would not notice: changes one expression of the program at a time, and runs the tests that should fail.

``python3 -m tests.mutation [--sample N] [--seed N] [--jobs N] [FILE …]`` prints the mutants that survived, and how many there were.
Exit status 1 when tests fail without any change, or more than ``FLOOR`` of a hundred mutants survive, a sample aside.

Knows which tests belong to which module; must not know what they test. Each mutant is a copy of the tree with one changed file. Its
tests run in a fork of this process, which has imported pytest already: first quickly, and again with all their examples if
nothing was noticed. A mutant whose tests do not end is noticed as well.
"""

from __future__ import annotations

import argparse
import ast
import math
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import hypothesis
import pytest

from tests.support.effort import default_seed

ROOT = Path(__file__).resolve().parent.parent

#: Of a hundred mutants, how many may survive: some change nothing that can be observed.
FLOOR = 30

#: Seconds after which tests that do not end have noticed the change.
PATIENCE_S = 300

#: What is judged, and the tests that judge it, quick ones first.
TARGETS = {
    "eidos/semver.py": ("tests/ground/test_semver.py", "tests/property/test_semver.py", "tests/model/test_constraint.py"),
    "eidos/recipe/resolver.py": ("tests/property/test_matching.py", "tests/property/test_merge.py", "tests/recipe"),
    "eidos/server/rate_limiter.py": ("tests/property/test_ratelimit.py", "tests/server/test_app.py", "tests/server/test_limits.py"),
    "eidos/http_wire/retry.py": ("tests/property/test_retry.py", "tests/http_wire", "tests/cli/test_recipe_server.py"),
    **dict.fromkeys(
        ("eidos/http_wire/request_head.py", "eidos/http_wire/request_parser.py", "eidos/http_wire/request_parser.py"),
        ("tests/http_wire/test_request_parser.py", "tests/server/test_wire.py"),
    ),
    "eidos/server/transport/connection.py": ("tests/server/test_connection.py", "tests/server/test_wire.py", "tests/server/test_limits.py"),
    "eidos/server/transport/request_workers.py": ("tests/server/test_request_workers.py", "tests/server/test_limits.py"),
    "eidos/bundle/verification.py": (
        "tests/bundle/test_folders_and_archives.py",
        "tests/bundle/test_lessons.py",
        "tests/bundle/test_cli.py",
    ),
    **dict.fromkeys(
        [f"eidos/redact/{name}.py" for name in ("command_lines", "harmless_forms", "harmless_names", "random_words", "secret_names")],
        ("tests/redact", "tests/property/test_secrets.py"),
    ),
    "eidos/redact/secrets_in_text.py": ("tests/redact", "tests/property/test_secrets.py"),
    "eidos/redact/unit_properties.py": ("tests/redact", "tests/collectors/test_systemd.py"),
}

_OPPOSITES: dict[type[ast.AST], type[ast.AST]] = {}
for one, other in (
    *((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.In, ast.NotIn), (ast.Is, ast.IsNot)),
    *((ast.And, ast.Or), (ast.Add, ast.Sub)),
):
    _OPPOSITES.update({one: other, other: one})


class Mutant(NamedTuple):
    """A module with one expression replaced."""

    path: str
    line: int
    before: str
    after: str
    source: bytes

    def __str__(self) -> str:
        line = (ROOT / self.path).read_text().splitlines()[self.line - 1].strip()
        return f"{self.path}:{self.line}: {self.before} → {self.after}   in   {line}"


def mutants_of(path: str) -> Iterator[Mutant]:
    """All mutants of a module, in the order of its lines."""
    source = (ROOT / path).read_bytes()
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    for node, changed in _replacements(ast.parse(source)):
        start, end = lines[node.lineno - 1] + node.col_offset, lines[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        after = ast.unparse(changed)
        text = f"({after})".encode()
        yield Mutant(path, node.lineno, ast.unparse(node), after, source[:start] + text + source[end:])


def _replacements(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Expressions below a node, each with one that stands in for it; what only people or type checkers read stays as it is."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns") or isinstance(value, (ast.JoinedStr, ast.expr_context)):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
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
    """Settings of hypothesis for a run of which only the outcome counts."""

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("quick", hypothesis.settings(), database=None, phases=phases)
        hypothesis.settings.load_profile("quick")


class Run(NamedTuple):
    """Tests that run in a copy of the tree, as a process of their own; ``final`` when they are all that there are."""

    tree: Path
    mutant: Mutant
    final: bool
    pid: int
    began: float


def start(tree: Path, mutant: Mutant, final: bool, cpu_s: int) -> Run:
    """Run tests of a mutant in ``tree``: the quick ones, or all. They have ``cpu_s`` seconds of computing."""
    target = tree / mutant.path
    target.write_bytes(mutant.source)
    stamp = target.stat().st_mtime_ns + random.SystemRandom().randrange(1 << 40)  # or bytecode of another mutant would be used
    os.utime(target, ns=(stamp, stamp))
    tests = (mutant.path, *TARGETS[mutant.path])  # its doctests, too
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
            status = run_tests(tree, tests if final else tests[:2], "thorough" if final else "fast")
        finally:  # nothing of this process's own must be undone
            sys.stdout.flush()
            os._exit(status)
    return Run(tree, mutant, final, pid, time.monotonic())


def run_tests(tree: Path, tests: Iterable[str], effort: str) -> int:
    """Pytest's exit status; for a process that does nothing else. What is printed goes to a log beside the tree."""
    os.setsid()
    os.chdir(tree)
    log = os.open("../log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor, target in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(target, descriptor)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("eidos", "tests")]:
        del sys.modules[name]
    sys.path[:] = [str(tree), *(entry for entry in sys.path if entry not in ("", str(ROOT)))]
    flags = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0", f"--effort={effort}"]
    return int(pytest.main([*flags, *tests], plugins=[Quick()]))


def judge(
    mutants: Iterable[Mutant], trees: list[Path], cpu_s: Mapping[str, int], again: bool = True
) -> Iterator[tuple[Mutant, bool, float]]:
    """Each mutant as soon as it is known, whether it survived, and the seconds of computing that its last tests took.

    ``cpu_s`` bounds the quick tests of a module; who survives them is judged by all tests, if ``again`` says so.
    """
    waiting, free, running = list(mutants)[::-1], list(trees), dict[int, Run]()
    while waiting or running:
        while waiting and free:
            mutant = waiting.pop()
            run = start(free.pop(), mutant, False, cpu_s.get(mutant.path, PATIENCE_S))
            running[run.pid] = run
        for run in list(running.values()):
            pid, status, usage = os.wait4(run.pid, os.WNOHANG)
            late = time.monotonic() - run.began > PATIENCE_S
            if not pid and not late:
                continue
            end_processes(run.pid, reap=not pid)
            del running[run.pid]
            survived = not late and (
                status == 0 or (not run.final and os.waitstatus_to_exitcode(status) == pytest.ExitCode.NO_TESTS_COLLECTED)
            )
            if survived and again and not run.final:
                final = start(run.tree, run.mutant, True, PATIENCE_S)
                running[final.pid] = final
                continue
            (run.tree / run.mutant.path).write_bytes((ROOT / run.mutant.path).read_bytes())
            free.append(run.tree)
            yield run.mutant, survived, usage.ru_utime + usage.ru_stime
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
    parser.add_argument("--sample", type=int, metavar="N", help="judge N mutants of four modules by quick tests [all]")
    parser.add_argument("--seed", type=int, metavar="N", help="what draws them [from the commit]")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="how many at once [one for each processor]")
    options = parser.parse_args()
    seed = default_seed(ROOT) if options.seed is None else options.seed
    paths = options.files or list(TARGETS)
    if options.sample is None:
        mutants = [mutant for path in paths for mutant in mutants_of(path)]
    else:  # of a few modules, for the tests of each run without a change first
        draw = random.Random(seed)
        mutants = [mutant for path in draw.sample(paths, min(4, len(paths))) for mutant in mutants_of(path)]
        mutants = draw.sample(mutants, min(options.sample, len(mutants)))
    print(f"{len(mutants)} mutants of {', '.join(dict.fromkeys(mutant.path for mutant in mutants))}; --seed={seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="eidos-mutants-") as folder:
        trees = [Path(folder, str(job), "tree") for job in range(options.jobs)]
        for tree in trees:
            shutil.copytree(ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "dist"))
            if (ROOT.parent / "shared").is_dir():
                (tree.parent / "shared").symlink_to(ROOT.parent / "shared")
        unchanged = [Mutant(path, 0, "", "", (ROOT / path).read_bytes()) for path in sorted({mutant.path for mutant in mutants})]
        cpu_s = {}
        for mutant, survived, seconds in judge(unchanged, trees, {}, again=False):
            cpu_s[mutant.path] = 5 + 4 * math.ceil(seconds)
            if not survived:
                print(f"error: {', '.join(TARGETS[mutant.path])}: these fail without a change of {mutant.path}", file=sys.stderr)
                return 1
        survivors = 0
        for mutant, survived, _ in judge(mutants, trees, cpu_s, again=options.sample is None):
            survivors += survived
            if survived:
                print(f"survived: {mutant}", flush=True)
    print(f"{len(mutants)} mutants, {survivors} survived")
    return 1 if options.sample is None and survivors * 100 > FLOOR * len(mutants) else 0


if __name__ == "__main__":
    sys.exit(main())
