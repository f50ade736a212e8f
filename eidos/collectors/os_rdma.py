"""InfiniBand, RoCE and EFA adapters: type, firmware, ports.

Knows the files of /sys/class/infiniband (the kernel's Documentation/ABI/stable/sysfs-class-infiniband) and where a vendor's stack leaves
its version; must not know which state is wanted. One subtype, ``rdma``, keys by device and port; GUIDs identify a node. Real input, of a
ConnectX-7::

    /sys/class/infiniband/mlx5_0/hca_type           MT4129
    /sys/class/infiniband/mlx5_0/ports/1/state      4: ACTIVE
    /sys/class/infiniband/mlx5_0/ports/1/rate       400 Gb/sec (4X NDR)

>>> parse_state("4: ACTIVE"), parse_state("ACTIVE"), parse_rate("400 Gb/sec (4X NDR)"), parse_rate("2.5 Gb/sec (1X SDR)")
('ACTIVE', 'ACTIVE', (400, '4X NDR'), (2.5, '1X SDR'))
"""

from __future__ import annotations

import errno

from eidos.collectors._sysfs import Facts, has_folder, unreadable_reason
from eidos.errors import NotApplicable
from eidos.files.host import FileMissing, FileUnreadable
from eidos.model.measurement import UNREADABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors import Sources
    from eidos.model.measurement import Part

CLASS = "/sys/class/infiniband"

#: Key → file of a device. ``node_desc`` is left out: it is the host's name.
DEVICE_FILES = {
    "type": "hca_type",
    "board-id": "board_id",
    "firmware": "fw_ver",
    "hardware-revision": "hw_rev",
    "node-guid": "node_guid",
    "system-guid": "sys_image_guid",
}

#: Counters of a port since its driver was loaded (the same document, and Documentation/ABI/testing of mlx5's hw_counters).
PORT_COUNTERS = (
    "link_downed",
    "link_error_recovery",
    "symbol_error",
    "local_link_integrity_errors",
    "excessive_buffer_overrun_errors",
    "port_rcv_errors",
    "port_rcv_remote_physical_errors",
    "port_rcv_switch_relay_errors",
    "port_xmit_discards",
    "port_xmit_wait",
    "VL15_dropped",
)
HARDWARE_COUNTERS = (
    "duplicate_request",
    "implied_nak_seq_err",
    "local_ack_timeout_err",
    "np_cnp_sent",
    "np_ecn_marked_roce_packets",
    "out_of_buffer",
    "out_of_sequence",
    "packet_seq_err",
    "rnr_nak_retry_err",
    "roce_adp_retrans",
    "roce_slow_restart",
    "rp_cnp_handled",
    "rx_icrc_encapsulated",
    "rx_drops",
    "retrans_pkts",
    "retrans_timeout_events",
)

#: Entries of a table of GIDs that are looked at, and how many empty ones in a row end it (the table has 256 entries or more).
_GID_LIMIT, _EMPTY_GIDS = 256, 8

#: The script of MLNX_OFED and DOCA-Host whose text has the version of the stack: ``echo MLNX_OFED_LINUX-23.10-2.1.3.1:``.
OFED_INFO, _OFED_INFO_LIMIT = "/usr/bin/ofed_info", 1 << 20
_OFED_PREFIXES = ("MLNX_OFED_LINUX-", "OFED-internal-", "DOCA-")


def parse_state(text: str) -> str:
    """The word of ``number: WORD``."""
    number, colon, word = text.partition(":")
    return word.strip() if colon and number.strip().isdigit() else text.strip()


def parse_rate(text: str) -> tuple[int | float | None, str]:
    """Gigabits per second, None when the text does not begin with a number, and the width and speed in words."""
    word, _, rest = text.partition(" ")
    words = rest.partition("(")[2].rpartition(")")[0].strip()
    try:
        rate = float(word)
    except ValueError:
        return None, words
    return (int(rate) if rate == int(rate) else rate) if abs(rate) < 1e6 else None, words


def parse_ofed_version(text: str) -> str | None:
    r"""The name and version of the stack in the text of ``ofed_info``, or None.

    >>> parse_ofed_version("#!/bin/bash\necho MLNX_OFED_LINUX-23.10-2.1.3.1 (OFED-23.10-2.1.3):\n")
    'MLNX_OFED_LINUX-23.10-2.1.3.1'
    """
    for line in text.split("\n", 400)[:400]:
        for word in line.replace('"', " ").replace("'", " ").split():
            if word.startswith(_OFED_PREFIXES) and any(map(str.isdigit, word)):
                return word.rstrip(":")
    return None


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``rdma``. Raises NotApplicable when the host has no such adapter."""
    facts = Facts(sources, "rdma")
    if not has_folder(facts, CLASS):
        facts.require_folders(f"no InfiniBand, RoCE or EFA adapter ({CLASS} does not exist)", "/sys/class")
        yield from facts.gaps
        return
    devices = facts.names(CLASS)
    if not devices and not facts.gaps:
        raise NotApplicable(f"no InfiniBand, RoCE or EFA adapter ({CLASS} is empty)")
    facts.put("devices", len(devices) if not facts.unread_count else None)
    for device in devices:
        _read_device(facts, device)
    for key, module in (("mlx5-core-version", "mlx5_core"), ("efa-version", "efa")):
        facts.put(key, facts.line(f"/sys/module/{module}/version"))
    text = facts.line(OFED_INFO, _OFED_INFO_LIMIT)
    facts.put("ofed-version", parse_ofed_version(text) if text else None)
    yield from facts.parts()


def _read_device(facts: Facts, device: str) -> None:
    folder, prefix = f"{CLASS}/{device}", f"{device}."
    facts.put_lines(prefix, folder, DEVICE_FILES)
    facts.put(f"{prefix}driver", facts.link_name(f"{folder}/device/driver"))
    facts.put(f"{prefix}bus-id", facts.link_name(f"{folder}/device"))
    facts.put_numa_node(f"{prefix}numa-node", f"{folder}/device/numa_node")
    facts.put(f"{prefix}interfaces", " ".join(facts.names(f"{folder}/device/net")))
    for port in facts.names(f"{folder}/ports"):
        _read_port(facts, f"{folder}/ports/{port}", f"{prefix}port-{port}.")


def _read_port(facts: Facts, folder: str, prefix: str) -> None:
    facts.put(f"{prefix}link-layer", facts.line(f"{folder}/link_layer"))
    for key, name in (("state", "state"), ("physical-state", "phys_state")):
        text = facts.line(f"{folder}/{name}")
        facts.put(f"{prefix}{key}", parse_state(text) if text else None)
    text = facts.line(f"{folder}/rate")
    if text:
        rate, words = parse_rate(text)
        facts.put(f"{prefix}rate-gbps", rate)
        facts.put(f"{prefix}width-and-speed", words)
    lid = facts.number(f"{folder}/lid")
    facts.put(f"{prefix}lid", lid or None)  # RoCE has none
    _read_gid_kinds(facts, f"{folder}/gid_attrs/types", f"{prefix}gid-types")
    facts.put_counters(prefix, f"{folder}/counters", PORT_COUNTERS)
    facts.put_counters(prefix, f"{folder}/hw_counters", HARDWARE_COUNTERS)


def _read_gid_kinds(facts: Facts, folder: str, key: str) -> None:
    """The kinds of GID in a port's table; the kernel answers EINVAL for an empty entry."""
    kinds: set[str] = set()
    empty = 0
    for index in range(_GID_LIMIT):
        try:
            text = facts.host.read_text(f"{folder}/{index}", 64).strip()
        except FileMissing:
            break
        except FileUnreadable as fault:
            if fault.errno != errno.EINVAL:
                facts.gap(UNREADABLE, f"rdma/{key}", f"{fault.path}: {unreadable_reason(fault)}")  # which others there are is not known
                return
            text = ""
        empty = 0 if text else empty + 1
        if text:
            kinds.add(text)
        elif empty == _EMPTY_GIDS:
            break
    facts.put(key, ", ".join(sorted(kinds)))
