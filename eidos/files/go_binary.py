"""The version that a program written in Go was built as, read from its file without running it.

Knows ELF's section headers (elf(5)) and Go's build information (the package debug/buildinfo of Go's standard library, the format since
Go 1.18); must not know any program. Of the file the headers and one section are read, whatever its size.
"""

from __future__ import annotations

import os

from eidos.errors import InvalidData

_MAGIC, _INLINE = b"\xff Go buildinf:", 2

#: Bytes of the section that are read, and section headers of a file.
_SECTION_LIMIT, _HEADER_LIMIT = 1 << 20, 4096


def read_build_information(fd: int) -> str:
    """The lines that ``go version -m`` prints, of an open file of 64 bits. Raises InvalidData when the file has none, OSError."""
    head = os.pread(fd, 64, 0)
    if len(head) < 64 or head[:5] != b"\x7fELF\x02":
        raise InvalidData("not an ELF file of 64 bits")
    is_little = head[5] == 1
    table = _number(head, 40, 8, is_little)
    size, count, names_at = (_number(head, at, 2, is_little) for at in (58, 60, 62))
    if size != 64 or not 0 < count <= _HEADER_LIMIT or names_at >= count or table > 1 << 48:
        raise InvalidData("ELF file without sections")
    data = os.pread(fd, size * count, table)
    if len(data) < size * count:
        raise InvalidData("ELF file cut off")
    names = _read_section(fd, data[size * names_at :], is_little)
    for start in range(0, len(data), size):
        name = _number(data, start, 4, is_little)
        if names.startswith(b".go.buildinfo\0", name):
            return parse_build_information(_read_section(fd, data[start:], is_little))
    raise InvalidData("no build information of Go")


def _number(data: bytes, at: int, size: int, is_little: bool) -> int:
    """A number of a header; ``struct`` would be two more modules to load."""
    return int.from_bytes(data[at : at + size], "little" if is_little else "big")


def _read_section(fd: int, header: bytes, is_little: bool) -> bytes:
    offset, length = (_number(header, at, 8, is_little) for at in (24, 32))
    if offset > 1 << 48:
        raise InvalidData("ELF file with a section beyond its end")
    return os.pread(fd, min(length, _SECTION_LIMIT), offset)


def parse_build_information(data: bytes) -> str:
    """The text in a section ``.go.buildinfo``. Raises InvalidData."""
    if data[:14] != _MAGIC or len(data) < 34:
        raise InvalidData("no build information of Go")
    if not data[15] & _INLINE:
        raise InvalidData("build information of Go before 1.18")
    _, at = _inline_text(data, 32)
    module, _ = _inline_text(data, at)
    if len(module) >= 33 and module[-17:-16] == b"\n":  # between two marks of 16 bytes
        module = module[16:-16]
    return module.decode("utf-8", "backslashreplace")


def _inline_text(data: bytes, at: int) -> tuple[bytes, int]:
    length = shift = 0
    while True:
        if at >= len(data) or shift > 28:
            raise InvalidData("build information of Go cut off")
        byte = data[at]
        at += 1
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    if at + length > len(data):
        raise InvalidData("build information of Go cut off")
    return data[at : at + length], at + length


def program_version(information: str) -> str | None:
    r"""The version in lines of build information: that of the linker's variables, else that of the main module; None for a build without.

    >>> flags = "build\t-ldflags=\"-X 'k8s.io/component-base/version.gitVersion=v1.34.1' -X k8s.io/component-base/version.gitMinor=34 -s\""
    >>> program_version(f"path\tk8s.io/kubernetes/cmd/kubelet\n{flags}\n")
    'v1.34.1'
    >>> program_version("mod\tgithub.com/opencontainers/runc\tv1.3.3\th1:x=\n"), program_version("mod\tx\t(devel)\n")
    ('v1.3.3', None)
    """
    module = None
    for line in information.splitlines():
        fields = line.split("\t")
        if fields[0] == "mod" and len(fields) > 2 and fields[2] != "(devel)":
            module = module or fields[2]
        elif fields[0] == "build" and len(fields) > 1 and fields[1].startswith("-ldflags="):
            for word in fields[1].replace("\\", "").replace('"', " ").replace("'", " ").split():
                name, equals, value = word.partition("=")
                variable = name.rpartition("/")[2].rpartition(".")[2]
                if equals and variable in ("gitVersion", "Version", "version") and value[:1].isalnum() and any(map(str.isdigit, value)):
                    return value
    return module
