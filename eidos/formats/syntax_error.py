"""What is wrong with a document, and where.

Knows lines and columns; must not know the document's name: :mod:`eidos.formats.document_reader` adds it and raises InvalidData.
"""

from __future__ import annotations


class Fault(Exception):
    """``reason`` and ``hint`` for people; ``line`` and ``column`` count from one, or are None where nobody knows."""

    def __init__(self, reason: str, hint: str | None = None, line: int | None = None, column: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.line = line
        self.column = column

    @classmethod
    def at(cls, text: str, position: int, reason: str, hint: str | None = None) -> Fault:
        """A fault at ``position`` of ``text``, which counts characters from zero."""
        position = min(max(position, 0), len(text))
        return cls(reason, hint, text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position))
