r"""Settings of NVIDIA's fabric manager and of IMEX, from their files.

Knows where the files are and which settings matter (NVIDIA's Fabric Manager and IMEX guides); must not know which value is right. The list
of IMEX's nodes holds addresses: they are counted. Real input: ``FABRIC_MODE=0``, one such setting a line.

>>> parse_assignments("# Description: x\nFABRIC_MODE=0\nBIND_INTERFACE_IP=127.0.0.1\n")
{'FABRIC_MODE': '0', 'BIND_INTERFACE_IP': '127.0.0.1'}
"""

from __future__ import annotations

from eidos.collectors._settings import put_setting
from eidos.collectors._sysfs import Facts
from eidos.model.measurement import ABSENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors import Sources
    from eidos.model.measurement import Part

#: Subtype → its file, and the settings that are read.
FILES = {
    "fabric-manager": (
        "/usr/share/nvidia/nvswitch/fabricmanager.cfg",
        (
            "ABORT_CUDA_JOBS_ON_FM_EXIT ACCESS_LINK_FAILURE_MODE DAEMONIZE DATABASE_PATH ENABLE_TOPOLOGY_VALIDATION FABRIC_MODE"
            " FABRIC_MODE_RESTART FM_STAY_RESIDENT_ON_FAILURES FM_SM_MGMT_INTERFACE_GUIDS_COUNT GFM_WAIT_TIMEOUT LOG_LEVEL LOG_USE_SYSLOG"
            " MNNVL_TOPOLOGY NVSWITCH_FAILURE_MODE PARTITION_RAIL_POLICY STARTING_TCP_PORT TOPOLOGY_FILE_PATH TRUNK_LINK_FAILURE_MODE"
        ),
    ),
    "imex": (
        "/etc/nvidia-imex/config.cfg",
        (
            "DAEMONIZE GRPC_HANDLING_TIMEOUT IMEX_CMD_ENABLED IMEX_CMD_PORT IMEX_CONN_WAIT_TIMEOUT IMEX_ENABLE_AUTH_ENCRYPTION"
            " IMEX_NODE_DOMAIN_TIMEOUT IMEX_WAIT_FOR_QUORUM LOG_LEVEL LOG_USE_SYSLOG SERVER_PORT"
        ),
    ),
}
IMEX_NODES, IMEX_CHANNELS = "/etc/nvidia-imex/nodes_config.cfg", "/dev/nvidia-caps-imex-channels"


def parse_assignments(text: str) -> dict[str, str]:
    """The assignments of a file, one a line; other lines are comments."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, equals, value in pairs if equals and name.strip().isidentifier()}


def fabric_parts(sources: Sources) -> Iterator[Part]:
    """A subtype for each program whose file is there."""
    for subtype, (path, names) in FILES.items():
        facts = Facts(sources, subtype)
        text = facts.line(path, 1 << 18)
        values = parse_assignments(text or "")
        for name in names.split():
            put_setting(facts, name, values.get(name))
        if subtype == "imex":
            nodes = facts.line(IMEX_NODES, 1 << 20)
            if nodes is not None:
                facts.put("nodes", sum(bool(line.strip()) and not line.startswith("#") for line in nodes.splitlines()))
            facts.put("channels", len(facts.names(IMEX_CHANNELS)) or None)
        folder = "/" + path.split("/", 2)[1]
        if facts.is_partial_host and not facts.exists(f"{folder}/{'bin' if folder == '/usr' else 'passwd'}"):
            facts.gap(ABSENT, path, "not looked for: its folder is not mounted here")
        yield from facts.parts()
