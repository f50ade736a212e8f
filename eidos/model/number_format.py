"""Numbers that remember how they were written.

Knows that ``24.10`` is a number to every YAML reader and a version to its author; must not know YAML or JSON. Readers of documents
give these in place of plain numbers wherever ``str(number)`` is another text.

>>> release = FloatLiteral(24.1, "24.10")
>>> release == 24.1, str(release), format_scalar(release), format_scalar(24.1), format_scalar("24.10")
(True, '24.1', '24.10', '24.1', '24.10')
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self


class FloatLiteral(float):
    """A float that a document writes as ``text``."""

    text: str

    def __new__(cls, value: float, text: str) -> Self:
        """The number ``value``, written as ``text``."""
        self = super().__new__(cls, value)
        self.text = text
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (float(self), self.text)


class IntLiteral(int):
    """An integer that a document writes as ``text``: ``0x1F``, ``0644``, ``1_000``."""

    text: str

    def __new__(cls, value: int, text: str) -> Self:
        """The number ``value``, written as ``text``."""
        self = super().__new__(cls, value)
        self.text = text
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (int(self), self.text)


def format_scalar(value: object) -> str:
    """A scalar as its document writes it: numbers with their text, ``true`` and ``false``, nothing as ""."""
    if isinstance(value, (FloatLiteral, IntLiteral)):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
