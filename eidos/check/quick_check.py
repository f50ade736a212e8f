"""The checks that a scheduler can run before each job, and their result in one line.

Knows which checks are quick, what has to be read for them, and the form of the line; must not know how one is judged. They are those after
which a node should take no jobs, and whose sources answer at once: the driver and NVML, the kernel's log, the RDMA adapters, file systems.
"""

from __future__ import annotations

from eidos.check.report_groups import node_name, unknown_reason
from eidos.model.finding import FAIL, PASS, SEVERITIES, UNKNOWN, WAIVED
from eidos.redact.random_words import word_set
from eidos.wording import count_of, shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from eidos.model.check_report import CheckReport
    from eidos.model.finding import Finding

#: What is read. Whose the driver is depends on the cluster, where there is one; what a guest does not see depends on the machine.
COLLECTORS = (
    *("gpu", "k8s.image", "k8s.policy", "os.kernel", "os.kmod", "os.kmsg", "os.machine", "os.modules", "os.packages", "os.pci", "os.rdma"),
    *("os.release", "os.storage", "systemd"),
)

CHECKS = word_set(
    "nouveau-loaded driver-library-mismatch gpu-not-in-driver driver-needs-open-modules"
    " driver-needs-proprietary-modules driver-dropped-gpu driver-not-signed gsp-firmware-version gpu-row-remap-pending"
    " gpu-row-remap-failure gpu-retired-pages-pending gpu-recovery-action gpu-hardware-slowdown gpu-uncorrected-errors"
    " gpu-compute-prohibited gpu-c2c-off gpu-ecc-pending gpu-mig-pending nvlink-count nvlink-recovery-failed"
    " fabric-not-ready fabric-without-clique fabric-unhealthy fabric-manager-version fabric-manager-not-running"
    " imex-version fabric-without-umad xid-reboot xid-reset xid-hardware xid-support sxid-fatal driver-probe-failed"
    " driver-init-failed pcie-fatal-error pcie-width rdma-port-down rdma-port-not-configured file-system-full"
)

#: Characters of the line: a reason that squeue and sinfo still show.
LINE_LENGTH = 240


def quick_line(reports: Sequence[CheckReport], fail_on: str) -> str:
    r"""One line for each node: what is wrong at or above ``fail_on``, else what could not be judged, else ``ok``.

    A line has printable characters and no quotes, for ``scontrol update … reason="…"``; with several nodes it begins with the name of its
    node.

    >>> from eidos.model.check_report import CheckReport
    >>> from eidos.model.finding import Finding
    >>> failed = Finding("pcie-width", "a GPU has fewer lanes", FAIL, "error", "pcie", "", "16", "8 (gpu-3)", "")
    >>> quick_line([CheckReport("", "", "gpu-07", findings=(failed,))], "error")
    'pcie-width: a GPU has fewer lanes, found 8 (gpu-3)\n'
    """
    lines = []
    for report in reports:
        text = _line(report.findings, fail_on)
        lines.append(f"{_plain(node_name(report))}: {text}\n" if len(reports) > 1 else f"{text}\n")
    return "".join(lines)


def _line(findings: Sequence[Finding], fail_on: str) -> str:
    limit = SEVERITIES.index(fail_on) if fail_on in SEVERITIES else -1
    failed = [finding for finding in findings if finding.status == FAIL]
    serious = [finding for finding in failed if SEVERITIES.index(finding.severity) <= limit]
    unknown = [finding for finding in findings if finding.status == UNKNOWN]
    if serious:
        first = f"{serious[0].id}: {serious[0].title}" + (f", found {serious[0].actual}" if serious[0].actual else "")
        return _plain(_with_rest(first, [finding.id for finding in serious[1:]]))
    if any(SEVERITIES.index(finding.severity) <= limit for finding in unknown):
        reason = unknown_reason(unknown[0])
        return _plain(_with_rest(f"unknown: {reason}: {unknown[0].id}", [finding.id for finding in unknown[1:]]))
    counts = [f"{sum(finding.status == PASS for finding in findings)} passed"]
    counts += [count_of(len(failed), "finding") + f" below {fail_on}: {', '.join(f.id for f in failed)}"] if failed and limit >= 0 else []
    counts += [f"{sum(finding.status == WAIVED for finding in findings)} waived"] if any(f.status == WAIVED for f in findings) else []
    counts += [f"{len(unknown)} unknown"] if unknown else []
    return _plain(f"ok: {', '.join(counts)}")


def _with_rest(first: str, others: Sequence[str]) -> str:
    """The first finding, shortened, and as many ids of the others as fit."""
    text = shorten(first, LINE_LENGTH - 60)
    for number, id in enumerate(others):
        rest = f" and {len(others) - number} more"
        if len(text) + len(id) + 2 + len(rest) > LINE_LENGTH:
            return text + rest
        text += f"; {id}"
    return text


def _plain(text: str) -> str:
    """One line, without double quotes, which end a reason."""
    return "".join(character if character.isprintable() and character != '"' else " " for character in text)
