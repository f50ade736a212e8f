"""The snapshot of this host, for every verb that takes one.

Knows the flags that say what is read of the host and from where, and which collectors are known to find nothing; must not know what a verb
does with the snapshot.
"""

from __future__ import annotations

import os
import stat
import sys
import time

from eidos import collectors
from eidos.cli import document_locations
from eidos.cli.options import Option, parse_path
from eidos.cli.path_access import access_path
from eidos.errors import InvalidInput, NotFound, Timeout, Unavailable, os_error_reason
from eidos.model.systemd_unit import unit_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from eidos.cli.options import Values
    from eidos.collector_runner import Result
    from eidos.collectors import CollectFunction
    from eidos.files.host_archive import HostArchive
    from eidos.model.snapshot import Snapshot

#: Bytes of what nvidia-smi printed.
SMI_LIMIT_BYTES = 16 << 20

UNITS = Option("units", "read these systemd units instead of the default ones", "UNITS", convert=unit_name, multiple=True)
ROOT = Option(
    *("root", "read the host whose file system is mounted here, or a sosreport archive or nvidia-bug-report.log.gz", "FOLDER", None, "/"),
    parse_path,
    completion="file",
)
SMI = Option(
    "smi", "read the GPUs from FILE, what 'nvidia-smi -q -x' printed on the host of --root", "FILE", convert=parse_path, completion="file"
)
ALLOWED_AGE = "allow-stale"


def refuse_host_flags(values: Values, why: str, hint: str) -> None:
    """Raise InvalidInput, which ends with ``why``, for flags that say what is read of this host; others may be set elsewhere."""
    flags = [flag for name in (ROOT.name, SMI.name, UNITS.name) if (flag := values.origins.get(name, "")).startswith("--")]
    if flags:
        raise InvalidInput(f"{', '.join(flags)} {why}", hint)


def read_host(
    verb: str,
    values: Values,
    selected: Sequence[str],
    deadline: float,
    *,
    volatile: bool,
    load_collector: Callable[[str], CollectFunction] | None = None,
    digest_key: bytes = b"",
    known: Mapping[str, Result] = {},
    meanwhile: Callable[[], object] = lambda: None,
) -> Snapshot:
    """The snapshot that the flags ask for, by ``deadline`` (on ``time.monotonic``); what is not among ``values`` has its default.

    ``known`` are results of collectors that need not run; ``meanwhile`` is called once while collectors run, and must not start a thread.

    Raises Unavailable on another system than Linux, NotFound or Unavailable when --root or --smi cannot be read, Timeout when no time is
    left, and what :func:`eidos.workflow.take_snapshot` raises.
    """
    if sys.platform != "linux":
        raise Unavailable(f"eidos {verb} needs Linux, and this is {sys.platform}", "read a node over ssh with 'eidos fleet --hosts NODE'")
    from eidos.workflow import SnapshotOptions, take_snapshot

    root = values["root"]

    def take(names: Sequence[str], archive: HostArchive | None = None) -> Snapshot:
        smi = read_smi(values, deadline) or (archive.smi if archive else b"")
        left = deadline - time.monotonic()
        if left <= 0:
            raise Timeout("timed out before anything was read", "use a longer --timeout")
        options = SnapshotOptions(
            root=archive.root if archive else root,
            collectors=tuple(names),
            units=values["units"] or collectors.DEFAULT_UNITS,
            volatile=volatile,
            timeout_s=left,
            fail_fast=values.get("fail-fast", False),
            cluster=collectors.ClusterSelection(
                values["kubeconfig"], values["kube-context"], values["kube-namespace"], values.get(ALLOWED_AGE)
            ),
            inapplicable=without_cluster(values, names),
            reveal=tuple(values.get("reveal", ())),
            digest_key=digest_key,
            smi=smi,
            known_absent=frozenset(archive.absent) if archive else None,
        )
        return take_snapshot(options, load_collector=load_collector, known=known, meanwhile=meanwhile)

    if root == "/" or not is_archive(root, deadline):
        return take(selected)
    from eidos.files.atomic_write import TemporaryFolder

    names = [name for name in selected if not name.startswith("k8s.")]
    required = [word for word in values.get("require", ()) if word.startswith("k8s")]
    if required or not names:
        raise InvalidInput(f"{root}: an archive of a host has no cluster", f"remove {required[0] if required else 'k8s'}")
    with TemporaryFolder() as folder:
        return take(names, _unpack(root, folder, deadline))


def read_smi(values: Values, deadline: float) -> bytes:
    """The bytes of --smi; empty without it. InvalidInput for an empty file: what nvidia-smi printed is never empty."""
    location = values["smi"]
    if location is None:
        return b""
    data: bytes = (
        document_locations.read_document(location, SMI_LIMIT_BYTES)
        if location == document_locations.STDOUT
        else access_path("--smi", location, lambda: document_locations.read_document(location, SMI_LIMIT_BYTES), deadline)
    )
    if not data.strip():
        raise InvalidInput(
            f"--smi: {location} is empty", "write the output of 'nvidia-smi -q -x' to it, or the line that was printed instead"
        )
    return data


def without_cluster(values: Values, selected: Sequence[str]) -> dict[str, str]:
    """The collectors that need a cluster, each with the reason why there is none; empty when there may be one.

    Most hosts have none, and a process for each of these collectors, only to find that out, would cost a quarter of the run.
    """
    names = [name for name in selected if name.startswith("k8s.")]
    if not names:
        return {}
    from eidos.cli.path_access import is_on_network_filesystem
    from eidos.kube.cluster_config import missing_cluster_reason, read_pipes

    read_pipes(os.environ, values["kubeconfig"])
    if values["kubeconfig"] or values["kube-context"]:
        return {}

    reason = missing_cluster_reason(os.environ, lambda path: is_on_network_filesystem(path) or os.path.lexists(path))
    return dict.fromkeys(names, reason) if reason else {}


def is_archive(root: str, deadline: float) -> bool:
    """Whether ``root`` is a file; raises NotFound or Unavailable when it cannot be read, rather than report a host without anything."""
    kind, reason = access_path("--root", root, lambda: _kind_of(root), deadline)
    if reason:
        raise Unavailable(f"--root: cannot read {root!r}: {reason}", "run as another user")
    if not kind:
        raise NotFound(f"--root: no such folder or archive: {root!r}", "name the folder where the host's file system is mounted")
    return bool(kind == "file")


def _kind_of(root: str) -> tuple[str, str]:
    """Whether it is a folder or a file (empty: neither, or it does not exist), and why it cannot be read (empty: it can)."""
    try:
        status = os.stat(root)
        if stat.S_ISDIR(status.st_mode):
            os.stat(os.path.join(root, "."))
    except (FileNotFoundError, NotADirectoryError):
        return "", ""
    except OSError as fault:
        return "", os_error_reason(fault)
    return ("folder" if stat.S_ISDIR(status.st_mode) else "file" if stat.S_ISREG(status.st_mode) else ""), ""


def _unpack(path: str, folder: str, deadline: float) -> HostArchive:
    """The files of an archive, unpacked in a child process, which the deadline ends."""
    from eidos.files.host_archive import HostArchive, unpack

    def work() -> tuple[str, tuple[str, ...], bytes]:
        archive = unpack(path, folder)
        return archive.root, archive.absent, archive.smi

    try:
        return HostArchive(*access_path("--root", path, work, deadline))
    except Timeout as late:
        raise Timeout(f"--root: timed out unpacking {path!r}", "use a longer --timeout") from late
