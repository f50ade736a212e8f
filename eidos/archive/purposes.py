"""The program's file for one purpose: small enough for a ConfigMap, with what an agent or a server runs and nothing else.

Knows the entries of the archive that each purpose leaves out; must not know manifests. Entries are copied as they are, so every host
makes the same bytes, whatever its zlib.
"""

from __future__ import annotations

from eidos.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    import zipfile
    from collections.abc import Mapping

AGENT, SERVER = "agent", "server"

#: The entry that tells this program from other zip files.
MARKER = "eidos/archive/packs.py"

#: Purpose → entries that are left out, by the beginning of their names. The packs are those of ``eidos/archive/packs.py``.
LEFT_OUT = {
    AGENT: (
        "bytecode/",
        "__main__.pyc",
        "eidos/_data/templates.json",
        "packs/eidos-full",
        "packs/eidos-server",
        "packs/templates-bundles",
        "packs/templates-deployers",
        "packs/templates-help",
        "packs/templates-mirror",
        "packs/templates-server",
        "sbom/",
    ),
    SERVER: ("bytecode/", "__main__.pyc", "packs/eidos-full", "packs/templates-help", "packs/templates-mirror", "sbom/"),
}

#: What an archive must hold for a purpose.
_NEEDED = {AGENT: MARKER, SERVER: "packs/eidos-server"}

_FULL_FILE = "use the full eidos.pyz"


def select_entries(content: bytes, purpose: str) -> bytes:
    """The archive ``content``, with the entries that ``purpose`` needs.

    Raises InvalidInput for another zip file and for a file that was built without what ``purpose`` needs; for a damaged archive it raises
    what ``zipfile`` does.
    """
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        if MARKER not in names:
            raise InvalidInput("it is a zip file, but not eidos", _FULL_FILE)
        if _NEEDED[purpose] not in names:
            raise InvalidInput(f"it was built for another purpose than {purpose}", _FULL_FILE)
        if not any(name.startswith(LEFT_OUT[purpose]) for name in names):
            return content
        infos = [info for info in archive.infolist() if not info.filename.startswith(LEFT_OUT[purpose])]
        for info in infos:
            archive.read(info)  # which compares the checksum
        return _copy_entries(content, infos)


def add_entries(content: bytes, entries: Mapping[str, bytes]) -> bytes:
    """The archive ``content`` with more entries, which have no time of day."""
    import io
    import zipfile

    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive:
        for name, data in sorted(entries.items()):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)
    return file.getvalue()


def _copy_entries(content: bytes, infos: list[zipfile.ZipInfo]) -> bytes:
    """A zip file with these entries of ``content``: APPNOTE.TXT, 4.3.7, 4.3.12 and 4.3.16, as ``zipfile`` writes them."""
    from struct import pack, unpack_from

    body, directory = bytearray(content[: content.index(b"PK\x03\x04")]), bytearray()
    for info in infos:
        start = len(body)
        name_length, extra_length = unpack_from("<HH", content, info.header_offset + 26)
        body += content[info.header_offset : info.header_offset + 30 + name_length + extra_length + info.compress_size]
        directory += b"PK\x01\x02" + bytes((info.create_version, info.create_system))
        directory += content[info.header_offset + 4 : info.header_offset + 30]  # the same fields in both headers
        directory += pack("<HHHLL", 0, 0, info.internal_attr, info.external_attr, start)
        directory += content[info.header_offset + 30 : info.header_offset + 30 + name_length + extra_length]
    end = pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, len(infos), len(infos), len(directory), len(body), 0)
    return bytes(body + directory + end)
