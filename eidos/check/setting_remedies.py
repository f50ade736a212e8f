r"""What brings a setting of a node to the value that the recipe recommends.

Knows which form a setting has by its path; must not know any recipe, nor what a value means. A path whose thing has no owner that is
known here gets no remedy: a wrong command is worse than none.

>>> from eidos.check.node_readings import NodeReadings
>>> from eidos.model.snapshot import Snapshot
>>> remedy = setting_remedy("OS.sysctl./proc/sys/vm/swappiness", "1", NodeReadings(Snapshot("", "", "")))
>>> remedy.steps[0].to_tree() if remedy else None
{'write': '/etc/sysctl.d/95-eidos.conf', 'content': 'vm.swappiness = 1\n'}
"""

from __future__ import annotations

from eidos.model.finding import RUN, WRITE, Remedy, RemedyStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.check.node_readings import NodeReadings

#: The file of our sysctl lines: late in the order of sysctl.d(5), before 99-sysctl.conf, which is the administrator's own.
SYSCTL_FILE = "/etc/sysctl.d/95-eidos.conf"

#: Systems whose files of settings are not written by hand.
_IMMUTABLE = ("cos", "bottlerocket", "talos", "flatcar", "rhcos")

_SYSCTL, _MODULE = "OS.sysctl./proc/sys/", "OS.kmod."


def setting_remedy(path: str, value: str | None, node: NodeReadings) -> Remedy | None:
    """The remedy for a setting that should be ``value``; None without one."""
    if value is None or node.derived.get("query.os") in _IMMUTABLE:
        return None
    if path.startswith(_SYSCTL):
        # sysctl.d(5) takes both separators; dots inside a name (of an interface) make the one with slashes unambiguous.
        name = path[len(_SYSCTL) :]
        line = f"{name if '.' in name else name.replace('/', '.')} = {value}".replace("\t", " ")
        return Remedy((RemedyStep(WRITE, f"{line}\n", SYSCTL_FILE), RemedyStep(RUN, f"sysctl -p {SYSCTL_FILE}")), "reload", "host")
    if path.startswith(_MODULE):
        name = path[len(_MODULE) :]
        # modules-load.d(5): loaded at each boot.
        file = RemedyStep(WRITE, f"{name}\n", f"/etc/modules-load.d/eidos-{name}.conf")
        return Remedy((file, RemedyStep(RUN, f"modprobe {name}")), "reload", "host")
    return None
