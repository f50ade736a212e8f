"""Numbers that remember how they were written.

Knows that ``24.10`` is a number to every YAML reader and a version to its author; must not know YAML or JSON. A reader of
documents gives these in place of plain numbers wherever ``str(number)`` would not be what stood there.

>>> release = WrittenFloat(24.1, "24.10")
>>> release == 24.1, str(release), written(release), written(24.1), written("24.10")
(True, '24.1', '24.10', '24.1', '24.10')
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self


class WrittenFloat(float):
    """A float whose document said ``text``."""

    text: str

    def __new__(cls, value: float, text: str) -> Self:
        """The number ``value``, written as ``text``."""
        self = super().__new__(cls, value)
        self.text = text
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (float(self), self.text)


class WrittenInt(int):
    """An integer whose document said ``text``: ``0x1F``, ``0644``, ``1_000``."""

    text: str

    def __new__(cls, value: int, text: str) -> Self:
        """The number ``value``, written as ``text``."""
        self = super().__new__(cls, value)
        self.text = text
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (int(self), self.text)


def written(value: object) -> str:
    """``value`` the way its document said it; true and false as documents spell them."""
    if isinstance(value, (WrittenFloat, WrittenInt)):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
