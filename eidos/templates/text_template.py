r"""Templates that are text, taken apart: ``string.Template`` with placeholders of our own.

Knows where in a script or a page a placeholder stands; must not know what stands for it: :mod:`eidos.templates.markup` fills it in. The
delimiter is one that shells and Markdown leave alone. The archive carries templates taken apart already, because ``string`` imports
``re``, which takes longer than filling them all in.

>>> Text('name=@{name} "$@" @@{x}').pieces("a.sh")
['name=', ['name', 0, None, 1, ''], ' "$@" @{x}']
>>> Text("`@{a | 1}`").pieces("a.md")
['`', ['a', 2, '1', 1, 'code'], '`']
"""

from __future__ import annotations

import re
from string import Template

from eidos.errors import InvalidData
from eidos.model.number_format import format_scalar
from eidos.templates.placeholder import DEFAULT, Malformed, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, ClassVar

    from eidos.templates.markup import Piece


class Text(Template):
    """A template of ``string.Template`` whose placeholders are expressions: ``@{name}``; see :mod:`eidos.templates.placeholder`."""

    delimiter = "@"
    flags = re.ASCII
    # The groups that string.Template knows; an @ before anything but a brace is itself.
    pattern: ClassVar[Any] = r"@(?:(?P<escaped>@(?=\{))|(?P<named>(?!))|\{(?P<braced>[^{}\n]*)\}|(?P<invalid>\{))"

    def pieces(self, path: str) -> list[Piece]:
        """What stands as it is, and of each placeholder name, kind, default, line and surroundings.

        Raises InvalidData with the line of a placeholder that is none.
        """
        found: list[Piece] = []
        literal = ""
        end = 0
        for match in self.pattern.finditer(self.template):
            literal += self.template[end : match.start()]
            end = match.end()
            if match["escaped"] is not None:
                literal += "@"
                continue
            if literal:
                found.append(literal)
            literal = ""
            expression = self._expression(match)
            kind = int(expression.optional) or 2 * int(expression.default is not DEFAULT)
            default = None if expression.default is DEFAULT else format_scalar(expression.default)
            found.append([expression.name, kind, default, self._line(match), self._surroundings(match) if path.endswith(".md") else ""])
        literal += self.template[end:]
        return [*found, literal] if literal else found

    def placeholders(self, path: str) -> Iterator[tuple[str, int, str]]:
        """Name, line, and what is wrong with where it stands ("" for nothing), of each placeholder; InvalidData as for :meth:`pieces`."""
        for match in self.pattern.finditer(self.template):
            if match["escaped"] is None:
                expression = self._expression(match)
                yield expression.name, self._line(match), self._misplaced(match) if path.endswith(".sh") else ""

    def _expression(self, match: re.Match[str]) -> Any:
        try:
            if match["braced"] is None:
                raise Malformed("'@{' begins a placeholder that does not end", "write @@{ for the characters @{")
            return read(match["braced"])
        except InvalidData as fault:
            raise Malformed(f"line {self._line(match)}: {fault.message}", fault.hint) from fault

    def _line(self, match: re.Match[str]) -> int:
        return self.template.count("\n", 0, match.start()) + 1

    def _begin(self, match: re.Match[str]) -> int:
        return self.template.rfind("\n", 0, match.start()) + 1

    def _surroundings(self, match: re.Match[str]) -> str:
        begin = self._begin(match)
        if sum(line.lstrip().startswith("```") for line in self.template[:begin].split("\n")) % 2:
            return "fence"
        return "code" if self.template.count("`", begin, match.start()) % 2 else ""

    def _misplaced(self, match: re.Match[str]) -> str:
        """What is wrong with the place of a placeholder in a script: it makes words of its own, so it stands where a word can begin."""
        before = self.template[self._begin(match) : match.start()]
        if before.lstrip().startswith("#") or " # " in before:
            return "a placeholder in a comment: a value with a line break would end it"
        plain = before.replace("\\'", "").replace('\\"', "")
        if plain.count('"') % 2 or plain.count("'") % 2:
            return "a placeholder inside quotes: it brings its own"
        if before and before[-1] not in " \t=(;":
            return "a placeholder in the middle of a word: assign it to a variable first"
        return ""
