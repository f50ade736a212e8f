r"""Templates that are text: scripts for bash, and READMEs in Markdown.

Knows how a value is quoted where it will be read; must not know what the values are. Templates are those of ``string.Template`` with a
delimiter that shells and Markdown leave alone. In a script every placeholder becomes one word, whatever is in it: write
``version=@{component.version}``, without quotes around it. In Markdown it becomes text in which nothing is markup; in code it stays
code, on one line.

>>> Script("name=@{name}; set -- @{words}").fill({"name": "it's $HOME", "words": ["a b", "c"]})
'name=\'it\'"\'"\'s $HOME\'; set -- \'a b\' \'c\''
>>> Markdown("is **@{name}**, `@{name}`").fill({"name": "a*b|c"})
'is **a\\*b\\|c**, `a*b|c`'
"""

from __future__ import annotations

import re
from string import Template

from eidos.bundle.expression import ABSENT, Malformed, read
from eidos.errors import InvalidData
from eidos.model.written import written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, ClassVar

_MARKUP = {ord(char): "\\" + char for char in "\\`*_[]<>|&~#!$"}
_BREAKS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029), " ")


class Markup(str):
    """Text that is Markdown already."""

    __slots__ = ()


#: The groups that string.Template knows; an @ before anything but a brace is itself. Each class names it, or gets the usual one.
_PATTERN = r"@(?:(?P<escaped>@(?=\{))|(?P<named>(?!))|\{(?P<braced>[^{}\n]*)\}|(?P<invalid>\{))"


class Text(Template):
    """A template of ``string.Template`` whose placeholders are expressions: ``@{name}``; see :mod:`eidos.bundle.expression`."""

    delimiter = "@"
    flags = re.ASCII
    pattern: ClassVar[Any] = _PATTERN

    def fill(self, names: Mapping[str, Any]) -> str:
        """The text with values in place of its placeholders; InvalidData with the line of what is wrong."""

        def value(match: re.Match[str]) -> str:
            inner = match["braced"]
            if inner is None:
                if match["escaped"] is None:
                    raise Malformed(
                        f"line {self.line(match)}: '@{{' begins a placeholder that does not end", "write @@{ for the characters @{"
                    )
                return "@"
            try:
                return self.written(read(inner).value(names), match)
            except InvalidData as fault:
                raise type(fault)(f"line {self.line(match)}: {fault.message}", fault.hint) from fault

        filled: str = self.pattern.sub(value, self.template)
        return filled

    def line(self, match: re.Match[str]) -> int:
        """The line of a placeholder, from one."""
        return self.template.count("\n", 0, match.start()) + 1

    def written(self, value: Any, match: re.Match[str]) -> str:
        """A value as it stands in plain text."""
        return "" if value is ABSENT else ", ".join(map(written, value)) if isinstance(value, (list, tuple)) else written(value)

    def names(self) -> list[tuple[str, int, str]]:
        """Name, line, and what is wrong with where it stands ("" for nothing), of each placeholder.

        Raises InvalidData with the line of one that is none.
        """
        found: list[tuple[str, int, str]] = []
        for match in self.pattern.finditer(self.template):
            if match["escaped"] is not None:
                continue
            try:
                expression = read(match["braced"]) if match["braced"] is not None else None
            except InvalidData as fault:
                raise Malformed(f"line {self.line(match)}: {fault.message}", fault.hint) from fault
            if expression is None:
                raise Malformed(f"line {self.line(match)}: '@{{' begins a placeholder that does not end", "write @@{ for the characters @{")
            found.append((expression.name, self.line(match), self.misplaced(match)))
        return found

    def misplaced(self, match: re.Match[str]) -> str:
        """What is wrong with the place of a placeholder; "" when nothing is."""
        return ""


class Script(Text):
    """A script for bash: a value is one word, a list is one word for each item."""

    pattern: ClassVar[Any] = _PATTERN

    def written(self, value: Any, match: re.Match[str]) -> str:
        """A value in single quotes; InvalidData for what no argument of a program can hold."""
        words = [written(item) for item in value] if isinstance(value, (list, tuple)) else ["" if value is ABSENT else written(value)]
        if any("\0" in word for word in words):
            raise InvalidData("the value holds a NUL, which no shell can take")
        return " ".join(map(quoted, words))

    def misplaced(self, match: re.Match[str]) -> str:
        """Placeholders make words of their own, so they stand where a word can begin."""
        begin = self.template.rfind("\n", 0, match.start()) + 1
        before = self.template[begin : match.start()]
        if before.lstrip().startswith("#") or " # " in before:
            return "a placeholder in a comment: a value with a line break would end it"
        plain = before.replace("\\'", "").replace('\\"', "")
        if plain.count('"') % 2 or plain.count("'") % 2:
            return "a placeholder inside quotes: it brings its own"
        if before and before[-1] not in " \t=(;":
            return "a placeholder in the middle of a word: assign it to a variable first"
        return ""


class Markdown(Text):
    """A page of Markdown (CommonMark): values are text, never markup."""

    pattern: ClassVar[Any] = _PATTERN

    def written(self, value: Any, match: re.Match[str]) -> str:
        """A value on one line, escaped for where it stands."""
        if isinstance(value, Markup):
            return str(value)
        text = super().written(value, match).translate(_BREAKS)
        begin = self.template.rfind("\n", 0, match.start()) + 1
        fences = sum(line.lstrip().startswith("```") for line in self.template[:begin].split("\n"))
        if fences % 2:
            return text if text and all(char.isalnum() or char in "-_./:=+@,%" for char in text) else quoted(text)
        if self.template.count("`", begin, match.start()) % 2:
            return text.replace("`", "'")
        return text.translate(_MARKUP)


def quoted(word: str) -> str:
    """A word for a shell, always in single quotes, in which nothing means anything (POSIX.1-2017, Shell Command Language 2.2.2)."""
    return "'" + word.replace("'", "'\"'\"'") + "'"


def template(path: str, text: str) -> Text:
    """The kind of template that the name of a file asks for."""
    return (Script if path.endswith(".sh") else Markdown if path.endswith(".md") else Text)(text)


def cell(text: str) -> str:
    r"""Text as it stands in a cell of a table.

    >>> cell("a|b\nc")
    'a\\|b c'
    """
    return text.translate(_BREAKS).translate(_MARKUP)
