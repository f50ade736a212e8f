"""The words of the program: no sentence that can reach a person has a phrase that a stranger would have to decode."""

from __future__ import annotations

import functools
import re

import pytest

from tests.project.prose import HOLE, Prose, package_prose, recipe_prose, template_prose

#: What messages count.
NOUNS = "constraint|component|error|warning|file|node|layer|reading|fault|problem|difference"

#: A phrase, and what to write instead.
PHRASES = {
    r"\bis (no|none)\b(?! longer\b)": "invalid …, not a …",
    r"\bare none\b": "not …",
    r"\bthere (is|are) no such\b": "no such …, unknown …",
    r"\bthere is no \{\}|\bthere is no (component|source|option|unit type|flag)\b": "unknown …",
    r"\bno \w+ can have such a name\b": "invalid name",
    r"\bstands?\b(?! for\b)": "is",
    r"\b(said|says so|is said to be)\b": "is, reports",
    r"\bcould(?: not)? be had\b": "cannot …: why",
    r"\bput up with\b": "tolerate",
    r"\bwas made as\b|\bit was made\b|\bwere made as\b": "was modified",
    r"\bmake it again\b|\bget it again\b": "rebuild, download again",
    r"\bits reader has gone\b": "broken pipe",
    r"\bnobody\b|\bsomebody\b": "no process, no user",
    r"(?<!left )(?<!leave )\balone\b(?!\.)": "only",
    r"\bthe usual ones\b": "the default",
    r"\bthe answer\b|\banswer here\b": "response, result",
    r"\bhow to get there\b|\blead there\b": "deploy, reach",
    r"\bnothing (reads|says|stands|is known|was read)\b": "unknown, no …",
    r"\bwithout a way out\b": "air-gapped",
    r"\bone's own\b": "your own",
    r"\bin vain\b|\bfor good\b|\boutright\b|\bunasked\b": "permanently, explicitly, without a request",
    r"\btaken for\b|\bgiven to\b(?=.*\?)": "detected as",
    r"\bwith all its attempts\b|\bwith all attempts\b": "including retries",
    r"\bas late as\b": "after",
    rf"(?<![-\w.])(?:1|one) (?:{NOUNS})s\b|\b\w+\(s\)": "a plural that is right",
    rf"(?<!than )(?<!no )(?<!of )(?<!first )(?<!limit is )\{{\}} (?:{NOUNS})s\b": "count_of(number, noun)",
}

#: For now: packages whose sentences are still to be written anew.
TO_DO: set[str] = set()


@functools.cache
def all_prose() -> list[Prose]:
    """Every sentence of the package, the recipes and the templates."""
    return [*package_prose(), *recipe_prose(), *template_prose()]


def room(file: str) -> str:
    """The part of the repository that a file belongs to.

    >>> room("eidos/kube/responses.py"), room("eidos/log.py"), room("templates/bundles/every/README.md"), room("recipes/base.yaml")
    ('kube', 'log', 'templates/bundles', 'recipes')
    """
    top, *rest = file.removesuffix(".py").split("/")
    return rest[0] if top == "eidos" else f"{top}/{rest[0]}" if top == "templates" else top


def findings(prose: Prose) -> list[str]:
    """Each bad phrase of a text, with where it is and what to write."""
    text = prose.text.replace("\n", " ")
    matches = [(match, better) for phrase, better in PHRASES.items() if (match := re.search(phrase, text, re.IGNORECASE))]
    return [f"{prose.file}:{prose.line}: {match[0]!r} in {prose.text!r}; write {better}" for match, better in matches]


def test_sentences_are_plain() -> None:
    matches = [finding for prose in all_prose() if room(prose.file) not in TO_DO for finding in findings(prose)]
    assert not matches, "\n".join(matches)


def test_what_is_still_to_do_shrinks() -> None:
    """A package that has become plain leaves the list."""
    clean = [name for name in sorted(TO_DO) if not any(findings(prose) for prose in all_prose() if room(prose.file) == name)]
    assert not clean, f"remove from TO_DO: {', '.join(clean)}"


def test_every_kind_of_sentence_is_looked_at() -> None:
    """Errors, hints, log lines, help, recipes and templates are all among the sentences."""
    texts = {prose.text for prose in all_prose()}
    files = {prose.file for prose in all_prose()}
    assert any(text.startswith("cannot write ") and HOLE in text for text in texts)
    assert {"recipes/base.yaml", "templates/bundles/every/install.sh", "eidos/cli/options.py", "eidos/kube/responses.py"} <= files
    assert any("CDI" in text for text in texts)


@pytest.mark.parametrize("text", ["'x' is none of a, b", "nothing is expected where 'x' stands", "the address could not be had"])
def test_a_bad_phrase_is_reported(text: str) -> None:
    assert findings(Prose("eidos/x.py", 1, text))
