"""What the driver of a network interface says of itself, by ioctl(2) with SIOCETHTOOL.

Knows the structures of linux/ethtool.h; must not know which interfaces exist. All requests here are those that the kernel answers
without privilege (net/ethtool/ioctl.c, dev_ethtool); none changes anything. They go to the interfaces of this process's network namespace.
"""

from __future__ import annotations

import _collections_abc
import _socket  # what socket wraps: that imports selectors and enum, which take longer than all of this
import errno
import fcntl
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from types import TracebackType

    from typing_extensions import Self

_SIOCETHTOOL, _SIOCGIFCONF = 0x8946, 0x8912
_GDRVINFO, _GRINGPARAM, _GTSO, _GFLAGS, _GGSO, _GGRO, _GCHANNELS = 0x03, 0x10, 0x1E, 0x25, 0x23, 0x2B, 0x3C
_LRO = 1 << 15  # ETH_FLAG_LRO

#: Bytes of struct ifreq on 64-bit kernels, and how many entries SIOCGIFCONF may return.
_IFREQ, _IFREQ_LIMIT = 40, 4096

#: Bytes of a pointer of this process.
_POINTER = 8 if sys.maxsize > 1 << 32 else 4

#: Answers of a driver that lacks a request, and of a name that has gone meanwhile.
_NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.ENODEV, errno.EINVAL)


class InterfaceSocket:
    """A socket for requests; ``failed`` has interfaces whose driver refused one, and why. Raises OSError when none can be opened."""

    def __init__(self) -> None:
        self._socket = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        self.failed: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()

    def driver_facts(self, interface: str) -> dict[str, str | int | bool]:
        """Firmware, version of the driver, rings, channels and offloads: those that the driver reports."""
        facts: dict[str, str | int | bool] = {}
        data = self._request(interface, _GDRVINFO, 196)
        if data:
            facts.update({key: text for key, text in (("driver-version", _text(data, 36)), ("firmware", _text(data, 68))) if text})
        data = self._request(interface, _GRINGPARAM, 36)
        if data:
            values = _numbers(data)
            facts.update(zip(("rx-ring.maximum", "tx-ring.maximum", "rx-ring", "tx-ring"), (values[1], values[4], values[5], values[8])))
        data = self._request(interface, _GCHANNELS, 36)
        if data:
            values = _numbers(data)
            facts.update({"channels.maximum": values[4] or max(values[1:3]), "channels": values[8] or max(values[5:7])})
        for key, command in (("offload.tso", _GTSO), ("offload.gso", _GGSO), ("offload.gro", _GGRO)):
            data = self._request(interface, command, 8)
            if data:
                facts[key] = bool(_numbers(data)[1])
        data = self._request(interface, _GFLAGS, 8)
        if data:
            facts["offload.lro"] = bool(_numbers(data)[1] & _LRO)
        return facts

    def count_ipv4_addresses(self) -> dict[str, int]:
        """Interface → number of its IPv4 addresses (netdevice(7), SIOCGIFCONF)."""
        try:
            needed = _numbers(fcntl.ioctl(self._socket, _SIOCGIFCONF, bytes(2 * _POINTER)))[0]
            buffer = _addressable(bytes(min(needed + _IFREQ, _IFREQ * _IFREQ_LIMIT)))
            request = len(buffer).to_bytes(4, sys.byteorder).ljust(_POINTER, b"\0") + _pointer(buffer)
            size = _numbers(fcntl.ioctl(self._socket, _SIOCGIFCONF, request))[0]
        except OSError:
            return {}
        counts: dict[str, int] = {}
        data = buffer.tobytes()[:size]
        for start in range(0, len(data) - 15, _IFREQ):
            name = _text(data, start, 16).partition(":")[0]  # eth0:1 is an alias
            counts[name] = counts.get(name, 0) + 1
        return counts

    def _request(self, interface: str, command: int, size: int) -> bytes | None:
        name = interface.encode("utf-8", "surrogateescape")
        if len(name) > 15:
            return None
        buffer = _addressable(command.to_bytes(4, sys.byteorder) + bytes(size - 4))
        request = name.ljust(16, b"\0") + _pointer(buffer) + bytes(16)
        try:
            fcntl.ioctl(self._socket, _SIOCETHTOOL, request)
        except OSError as fault:
            if fault.errno not in _NOT_SUPPORTED:
                self.failed[interface] = (fault.strerror or str(fault)).lower()
            return None
        return buffer.tobytes()


def _numbers(data: bytes) -> list[int]:
    """The 32-bit numbers of a structure; ``struct`` would be one more module to load."""
    return memoryview(data).cast("I").tolist()


def _pointer(buffer: array[int]) -> bytes:
    return buffer.buffer_info()[0].to_bytes(_POINTER, sys.byteorder)


def _addressable(data: bytes) -> array[int]:
    """The bytes at an address that the kernel can be told to write to."""
    # array registers its class with collections.abc, whose package takes longer to import than all of this: the module behind it will do.
    lent = [name for name in ("collections", "collections.abc") if name not in sys.modules]
    try:
        for name in lent:
            sys.modules[name] = _collections_abc
        from array import array
    finally:
        for name in lent:
            del sys.modules[name]
    return array("B", data)


def _text(data: bytes, start: int, size: int = 32) -> str:
    return data[start : start + size].partition(b"\0")[0].decode("utf-8", "backslashreplace").strip()
