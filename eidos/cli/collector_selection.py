"""Which collectors the words of a command line select.

Knows names and groups of collectors; must not know what any of them reads.
"""

from __future__ import annotations

from eidos import collectors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from eidos.cli.options import Values


def collector_choices() -> dict[str, str]:
    """What ``--only``, ``--skip`` and ``--require`` take: each collector, and each type that several collectors share."""
    names = collectors.list_collectors()
    choices: dict[str, str] = {}
    for name in names:
        group = name.partition(".")[0]
        if group not in names:
            choices.setdefault(group, f"every {group}.* collector")
        choices[name] = "one collector"
    return choices


def select_collectors(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """Those of ``names`` that ``words`` select, by name or by group, in the order of ``names``.

    >>> select_collectors(["os", "gpu"], ["gpu", "os.grub", "os.kmod", "systemd"])
    ['gpu', 'os.grub', 'os.kmod']
    """
    return [name for name in names if any(name == word or name.startswith(f"{word}.") for word in words)]


def apply_only_and_skip(values: Values, names: Sequence[str]) -> list[str]:
    """Those of ``names`` that ``--only`` and ``--skip`` leave."""
    skipped = select_collectors(values["skip"], names)
    return [name for name in (select_collectors(values["only"], names) if values["only"] else names) if name not in skipped]
