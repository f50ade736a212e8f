r"""Network cards, bonds and VLANs: driver, speed, MTU, queues.

Knows the files of /sys/class/net (the kernel's Documentation/ABI/testing/sysfs-class-net and -bonding) and which interfaces are hardware;
must not know which speed or MTU is wanted. Addresses are counted, not listed; there are no routes. One subtype, ``net``, keys by interface;
``mac`` identifies a node. Real input::

    /sys/class/net/ens1f0np0/speed      400000
    /sys/class/net/ens1f0np0/operstate  up

Virtual interfaces are left out, except for bonds and VLANs; virtual functions of SR-IOV are counted. Firmware, rings and offloads come
from the driver, by ioctl(2) on a socket in this process's network namespace, so only for the running system and in the host's namespace.

>>> parse_uevent("DEVTYPE=vlan\nINTERFACE=bond0.100\nIFINDEX=7\n")["DEVTYPE"]
'vlan'
"""

from __future__ import annotations

from eidos.collectors._sysfs import Facts, has_folder
from eidos.model.measurement import ABSENT, UNREADABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors import Sources
    from eidos.model.measurement import Part

CLASS = "/sys/class/net"
VLANS, IPV6_ADDRESSES = "/proc/net/vlan/config", "/proc/net/if_inet6"

#: Types of links (if_arp.h) that are worth a word; Ethernet and InfiniBand are what a GPU node has.
LINK_TYPES = {1: "ethernet", 32: "infiniband"}

#: Key → file of a bond (Documentation/networking/bonding.rst); "layer3+4 1" has a number behind the word.
BOND_FILES = {
    "mode": "mode",
    "transmit-hash": "xmit_hash_policy",
    "lacp-rate": "lacp_rate",
    "miimon": "miimon",
    "minimum-links": "min_links",
    "mii-status": "mii_status",
}

COUNTERS = (
    "rx_errors",
    "tx_errors",
    "rx_dropped",
    "tx_dropped",
    "rx_crc_errors",
    "rx_missed_errors",
    "rx_length_errors",
    "tx_carrier_errors",
)

#: Size limit in bytes of the tables of VLANs and of addresses.
_TABLE_LIMIT = 1 << 20

_IFF_UP = 1
_FOREIGN = "the container's network namespace, not the host's"


def parse_uevent(text: str) -> dict[str, str]:
    """The assignments of a device's ``uevent`` file."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def parse_vlans(text: str) -> dict[str, int]:
    r"""Interface → VLAN id, from /proc/net/vlan/config (net/8021q/vlanproc.c).

    >>> parse_vlans("VLAN Dev name    | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\nbond0.100      | 100  | bond0\n")
    {'bond0.100': 100}
    """
    rows = (line.split("|") for line in text.splitlines())
    return {row[0].strip(): int(row[1]) for row in rows if len(row) == 3 and row[1].strip().isdecimal() and len(row[1]) < 20}


def count_ipv6_addresses(text: str) -> dict[str, int]:
    r"""Interface → number of its addresses, from /proc/net/if_inet6, whose last column is the interface.

    >>> count_ipv6_addresses("fe800000000000000000000000000001 02 40 20 80     eth0\n")
    {'eth0': 1}
    """
    counts: dict[str, int] = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 6:
            counts[fields[5]] = counts.get(fields[5], 0) + 1
    return counts


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``net``. Raises NotApplicable when the host has no network interfaces at all."""
    host = sources.host
    facts = Facts(sources, "net")
    if not has_folder(facts, CLASS):
        facts.require_folders(f"no network interfaces ({CLASS} does not exist)", "/sys/class")
        yield from facts.gaps
        return
    foreign = host.foreign_namespaces().get("net")
    interfaces = facts.names(CLASS)
    if foreign and _is_own_namespace(facts, interfaces):
        facts.gap(UNREADABLE, CLASS, f"shows {_FOREIGN}; needs {foreign}")
        yield from facts.gaps
        return
    hardware: list[str] = []
    kinds: set[str] = set()
    is_complete = True
    for interface in interfaces:
        folder = f"{CLASS}/{interface}"
        unread = facts.unread_count
        kind = _kind(facts, folder)
        is_complete = is_complete and facts.unread_count == unread
        if kind and not facts.exists(f"{folder}/device/physfn"):
            hardware.append(interface)
            kinds.add(kind)
            _read_interface(facts, interface, kind)
    if not host.is_running_system:
        facts.gap(ABSENT, "driver", "captured tree: firmware, rings, offloads and addresses come from the running kernel's drivers")
    elif foreign:
        facts.gap(UNREADABLE, "driver", f"firmware, rings, offloads and addresses would be of {_FOREIGN}; needs {foreign}")
    elif hardware:
        _ask_drivers(facts, hardware, has_vlans="vlan" in kinds)
    facts.put("interfaces", " ".join(hardware) if is_complete else None)
    yield from facts.parts()


def _is_own_namespace(facts: Facts, interfaces: list[str]) -> bool:
    """Whether sysfs shows the interfaces of this process's own namespace: a mounted one shows those of the namespace it was mounted in."""
    import _socket

    try:
        own = {name: index for index, name in _socket.if_nameindex()}
    except OSError:
        return True
    shown = {name for name in interfaces if facts.exists(f"{CLASS}/{name}/ifindex")}
    return shown == set(own) and all(facts.number(f"{CLASS}/{name}/ifindex") == own[name] for name in sorted(shown))


def _kind(facts: Facts, folder: str) -> str:
    """``card``, ``bond`` or ``vlan``; empty for any other virtual interface."""
    if facts.exists(f"{folder}/device"):
        return "card"
    if facts.exists(f"{folder}/bonding"):
        return "bond"
    return "vlan" if parse_uevent(facts.line(f"{folder}/uevent") or "").get("DEVTYPE") == "vlan" else ""


def _read_interface(facts: Facts, interface: str, kind: str) -> None:
    folder, prefix = f"{CLASS}/{interface}", f"{interface}."
    number = facts.number(f"{folder}/type")
    facts.put(f"{prefix}kind", kind)
    facts.put(f"{prefix}link-type", LINK_TYPES.get(number, f"type {number}") if number is not None else None)
    facts.put(f"{prefix}mac", facts.line(f"{folder}/address"))
    facts.put(f"{prefix}mtu", facts.number(f"{folder}/mtu"))
    facts.put(f"{prefix}state", facts.line(f"{folder}/operstate"))
    flags = facts.number(f"{folder}/flags")
    is_up = flags is not None and bool(flags & _IFF_UP)
    facts.put(f"{prefix}enabled", is_up if flags is not None else None)
    if is_up or flags is None:  # the kernel answers EINVAL for one that is not
        speed = facts.number(f"{folder}/speed")
        facts.put(f"{prefix}speed-mbps", speed if speed is not None and speed > 0 else None)
    facts.put(f"{prefix}bond", facts.link_name(f"{folder}/master"))
    if kind == "card":
        _read_card(facts, folder, prefix)
    elif kind == "bond":
        for key, name in BOND_FILES.items():
            text = facts.line(f"{folder}/bonding/{name}")
            facts.put(f"{prefix}bond.{key}", text.partition(" ")[0] if text else None)
        facts.put(f"{prefix}bond.interfaces", " ".join(sorted((facts.line(f"{folder}/bonding/slaves") or "").split())))
    else:
        lower = [name[len("lower_") :] for name in facts.names(folder) if name.startswith("lower_")]
        facts.put(f"{prefix}vlan.parent", " ".join(lower))
    if facts.with_volatile:
        facts.put_counters(prefix, folder, ("carrier_changes",))
        facts.put_counters(prefix, f"{folder}/statistics", COUNTERS)


def _read_card(facts: Facts, folder: str, prefix: str) -> None:
    facts.put(f"{prefix}driver", facts.link_name(f"{folder}/device/driver"))
    facts.put(f"{prefix}bus-id", facts.link_name(f"{folder}/device"))
    facts.put_numa_node(f"{prefix}numa-node", f"{folder}/device/numa_node")
    queues = facts.names(f"{folder}/queues")
    for kind in ("rx", "tx"):
        facts.put(f"{prefix}{kind}-queues", sum(name.startswith(f"{kind}-") for name in queues) or None)
    facts.put(f"{prefix}sriov.configured", facts.number(f"{folder}/device/sriov_numvfs"))
    facts.put(f"{prefix}sriov.maximum", facts.number(f"{folder}/device/sriov_totalvfs"))


def _ask_drivers(facts: Facts, interfaces: list[str], has_vlans: bool) -> None:
    from eidos.collectors import Sources
    from eidos.files.ethtool import InterfaceSocket
    from eidos.files.host import Host

    running = Facts(Sources(Host()), facts.name)  # /proc/net is the reader's, whichever procfs it is read from
    vlans = parse_vlans(running.line(VLANS, _TABLE_LIMIT) or "") if has_vlans else {}
    ipv6 = count_ipv6_addresses(running.line(IPV6_ADDRESSES, _TABLE_LIMIT) or "")
    facts.gaps += running.gaps
    try:
        socket = InterfaceSocket()
    except OSError as fault:
        facts.gap(UNREADABLE, "driver", f"cannot open a socket: {(fault.strerror or str(fault)).lower()}")
        return
    with socket:
        ipv4 = socket.count_ipv4_addresses()
        for interface in interfaces:
            for key, value in socket.driver_facts(interface).items():
                facts.put(f"{interface}.{key}", value)
            facts.put(f"{interface}.vlan.id", vlans.get(interface))
            facts.put(f"{interface}.ipv4-addresses", ipv4.get(interface, 0))
            facts.put(f"{interface}.ipv6-addresses", ipv6.get(interface, 0))
        for interface, why in socket.failed.items():
            facts.gap(UNREADABLE, f"{interface}.driver", why)
