"""Issues of the data of checks: ``recipes/checks/*.yaml`` and ``comparisons.yaml``.

Knows what makes an entry malformed, unsourced, without effect or impossible to judge; must not know any check, nor how a node is judged. It
never refuses: each malformed entry is an issue, and the rest is read. Readings, words of a query and values of charts that the data names
are :func:`references`, which ``eidos/recipe/lint/references.py`` looks up.

>>> trees = {"checks/x.yaml": {"checks": [{"id": "a", "title": "b", "severity": "info", "expect": "OS.kmod.x absentt"}]}}
>>> [str(issue) for issue in lint_checks(trees)]
["checks/x.yaml: checks[0].expect: error: invalid condition 'OS.kmod.x absentt': expected an operator: == != >= <= > < in matches present \
absent [form]"]
"""

from __future__ import annotations

from eidos.check.definitions import check_files, domain_of_file, read_check, read_sources
from eidos.check.derived_readings import NAMES
from eidos.check.value_comparison import NAME as COMPARISONS
from eidos.check.value_comparison import read_comparisons
from eidos.errors import EidosError
from eidos.host_settings.setting import setting_of
from eidos.model.condition_nodes import Comparison
from eidos.model.finding import OWNERS, SETTING
from eidos.model.finding import SET as SET_STEP
from eidos.model.lint_issue import ERROR, READING, SET, WARNING, WORD, DataReference, LintIssue, deduplicated
from eidos.model.measurement import path_matches
from eidos.model.query import FIELDS
from eidos.model.tree_reader import TreeReader
from eidos.wording import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from eidos.check.definitions import CheckDefinition
    from eidos.model.condition import Condition

#: The names that are derived from readings, and their words; numbers have none.
_WORDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(NAMES, ()),
    **dict.fromkeys(("node.has-gpu", "node.is-guest"), ("true", "false")),
    "node.driver-owner": OWNERS[1:],
}


def lint_checks(trees: Mapping[str, object]) -> list[LintIssue]:
    """The issues of the files among ``trees`` (path below the recipes → tree), by location."""
    return deduplicated([*_checks(trees), *_comparisons(trees.get(COMPARISONS))])


def _checks(trees: Mapping[str, object]) -> Iterator[LintIssue]:
    files: dict[str, str] = {}
    for name in check_files(trees):
        try:
            root, sources = read_sources(trees[name], name)
            entries = list(root.mappings("checks"))
        except EidosError as fault:
            yield _form(fault, name)
            continue
        used = set()
        for entry in entries:
            used.add(entry.tree.get("source"))
            location = f"{name}: {entry.path}"
            try:
                check = read_check(entry, domain_of_file(name), sources)
            except EidosError as fault:
                yield _form(fault, name)
                continue
            if check.id in files:
                yield LintIssue(ERROR, "duplicate-check", f"{location}.id", f"check {check.id!r} is in {files[check.id]} too")
            files.setdefault(check.id, name)
            yield from _check(check, location)
        for number, id in enumerate(sources):
            if id not in used:
                yield LintIssue(WARNING, "unused-source", f"{name}: source[{number}]", f"no check names the source {id!r}")


def _check(check: CheckDefinition, location: str) -> Iterator[LintIssue]:
    if not check.source.document:
        yield LintIssue(ERROR, "unsourced-check", location, f"check {check.id!r} has no source", "name a source of the file")
    if not check.reason.endswith("."):
        yield LintIssue(ERROR, "no-reason", location, f"check {check.id!r} needs one sentence that says why it matters", "add reason: …")
    if not check.remedies:
        yield LintIssue(WARNING, "no-remedy", location, f"check {check.id!r} does not say what to do", "add remedy: …")
    settings = [[(step.file, step.text) for step in each.remedy.steps if step.kind == SETTING] for each in check.remedies]
    # A setting is a condition, too: a host may have no form for it.
    if any(each.when is None and not paths for each, paths in [*zip(check.remedies, settings)][:-1]):
        yield LintIssue(ERROR, "unused-remedy", f"{location}.remedy", "a remedy without a condition must be the last one")
    for path, value in [pair for pairs in settings for pair in pairs]:
        if setting_of(path, value) is None:
            yield LintIssue(ERROR, "unknown-setting", f"{location}.remedy", f"no form sets {path} to {value!r}", "use run, write or do")
    if check.applies and not check.applies_to:
        yield LintIssue(
            WARNING, "no-words", f"{location}.applies", "people read applies-to, and it is empty", "add applies-to: hosts with …"
        )
    if check.rule:
        from eidos.check.evaluation import load_rule

        try:
            load_rule(check.rule)
        except (ImportError, AttributeError):
            module = f"eidos/check/rules/{check.rule.replace('-', '_')}.py"
            yield LintIssue(ERROR, "unknown-rule", f"{location}.rule", f"no function judge in {module}")
    for field, condition in _conditions(check):
        yield from _names(condition, f"{location}.{field}")


def _conditions(check: CheckDefinition) -> list[tuple[str, Condition]]:
    """The conditions of a check, each with its field."""
    fields = [("applies", check.applies), ("expect", check.expect), *(("remedy", each.when) for each in check.remedies)]
    return [(field, condition) for field, condition in fields if condition]


def _names(condition: Condition, location: str) -> Iterator[LintIssue]:
    """Names below ``query.`` and ``node.`` that nothing has, and words that those below ``node.`` never are."""
    known = [*(f"query.{field}" for field in FIELDS), *NAMES]
    for path in condition.paths():
        if path.startswith(("query.", "node.")) and path not in known:
            hint = did_you_mean(path, known, f"known names: {', '.join(known)}") or ""
            yield LintIssue(ERROR, "unknown-name", location, f"unknown name {path!r}", hint)
    for path, word in compared_words(condition.root):
        words = _WORDS.get(path)
        if words and word not in words:
            hint = did_you_mean(word, words, f"valid values: {', '.join(words)}") or ""
            yield LintIssue(ERROR, "never-matches", location, f"{path} is never {word!r}", hint)


def compared_words(node: object) -> Iterator[tuple[str, str]]:
    """The paths in a condition and the words that they are compared with."""
    if isinstance(node, Comparison):
        if not node.other and not node.term.has_patterns():
            yield from ((node.path, word) for term in node.term.plain_terms() for word in term.operands)
        return
    inner = getattr(node, "inner", ())
    for each in inner if isinstance(inner, tuple) else (inner,):
        yield from compared_words(each)


def references(trees: Mapping[str, object]) -> list[DataReference]:
    """What the checks and comparisons among ``trees`` name that other data decides about; what is malformed names nothing."""
    named: list[DataReference] = []
    for name in check_files(trees):
        try:
            root, sources = read_sources(trees[name], name)
            entries = list(root.mappings("checks"))
        except EidosError:
            continue
        for entry in entries:
            try:
                check = read_check(entry, domain_of_file(name), sources)
            except EidosError:
                continue
            location = f"{name}: {entry.path}"
            named += [DataReference(f"{location}.path", READING, path) for path in ([check.path] if "path" in entry else [])]
            named += [DataReference(f"{location}.needs", READING, path) for path in check.needs]
            for field, condition in _conditions(check):
                named += _references(condition, f"{location}.{field}")
            for step in (step for each in check.remedies for step in each.remedy.steps):
                named += [DataReference(f"{location}.remedy", READING, step.file)] if step.kind == SETTING else []
                named += [DataReference(f"{location}.remedy", SET, step.text)] if step.kind == SET_STEP else []
    try:
        rules = read_comparisons(trees.get(COMPARISONS)).rules
    except EidosError:
        rules = ()
    for number, rule in enumerate(rules):
        location = f"{COMPARISONS}: comparisons[{number}]"
        named.append(DataReference(f"{location}.path", READING, rule.path))
        named += _references(rule.applies, f"{location}.applies") if rule.applies else ()
    return named


def _references(condition: Condition, location: str) -> Iterator[DataReference]:
    yield from (DataReference(location, READING, path) for path in dict.fromkeys(condition.paths()))
    yield from (DataReference(location, WORD, *pair) for pair in compared_words(condition.root))


def _comparisons(tree: object) -> Iterator[LintIssue]:
    try:
        rules = read_comparisons(tree).rules
        sources = {entry.text("id") for entry in TreeReader(tree, COMPARISONS).mappings("sources")}
    except EidosError as fault:
        yield _form(fault, COMPARISONS)
        return
    for number, rule in enumerate(rules):
        location = f"{COMPARISONS}: comparisons[{number}]"
        if rule.applies:
            yield from _names(rule.applies, f"{location}.applies")
        if rule.source and rule.source not in sources:
            yield LintIssue(ERROR, "unknown-source", f"{location}.source", f"unknown source {rule.source!r}")
        for later in rules[number + 1 :]:
            # A path with a * stands for itself here: what a later pattern has of it, that one has of all that it stands for.
            if path_matches(later.path, rule.path):
                yield LintIssue(
                    ERROR, "unused-comparison", f"{location}.path", f"a later rule, {later.path}, replaces it", "put it behind that"
                )
                break


def _form(fault: EidosError, name: str) -> LintIssue:
    """The issue of what has not the form of an entry; its location is the path that the message begins with."""
    file, _, rest = fault.message.partition(": ")
    path, colon, reason = rest.partition(": ")
    if file != name or not colon or " " in path:
        return LintIssue(ERROR, "form", name, rest if file == name else fault.message, fault.hint or "")
    return LintIssue(ERROR, "form", f"{name}: {path}", reason, fault.hint or "")
