"""``eidos image``: a container image of eidos, from a base image and the file of the program, without a daemon.

Knows the flags of the verb and how the image is started; must not know how images and layouts are written.
"""

from __future__ import annotations

from eidos import __version__
from eidos.cli import document_locations
from eidos.cli.options import FORMAT, HELP, LOGGING, Operand, Option, Verb, parse_path
from eidos.errors import InvalidInput
from eidos.files import resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values
    from eidos.oci.program_image import ImageResult

#: Where the program lies in the image, and what starts it.
PATH = "eidos.pyz"
ENTRYPOINT = ("python3", f"/{PATH}")

VERB = Verb(
    "image",
    (
        (
            "Build a container image of eidos from a base image that has Python 3.9 or newer: the file of eidos becomes one more layer, "
            "and 'python3 /eidos.pyz' the entrypoint. Base and image are OCI image layouts, folders or archives, as skopeo reads and "
            "writes them: neither a daemon nor a network is needed."
        ),
        "The same base and the same file give the same digest.",
    ),
    (
        Option(
            "layout", "write the image into this folder, or archive (.tar)", "PATH", convert=parse_path, flag_only=True, completion="file"
        ),
        Option("tag", "set the tag of the image", "TAG", default="latest", flag_only=True),
        Option("base-tag", "take this tag of the base (default the only one)", "TAG", flag_only=True),
        Option("program", "put this file in (default the one that runs)", "FILE", convert=parse_path, flag_only=True, completion="file"),
        FORMAT,
        *LOGGING,
        HELP,
    ),
    (Operand("base", "the OCI image layout of the base, a folder or an archive", convert=parse_path, completion="file"),),
    examples=(
        ("eidos image base --layout eidos-image", "from a folder into a folder"),
        ("eidos image base.tar --layout eidos-image.tar --tag 1.2.3", "from an archive into an archive"),
    ),
    notes=(
        (
            "Get a base with 'skopeo copy docker://docker.io/library/python:3.12-slim oci:base:latest', and push the image with "
            "'skopeo copy oci:eidos-image:latest docker://registry.example.com/gpu/eidos:latest'. Whether the base has Python is not "
            "checked."
        ),
        "Exit status: 0 written; 1 cannot be written; 2 wrong usage, not found or not an image; 5 a blob does not match its digest.",
    ),
)


def run(values: Values) -> int:
    """Build the image, and print its digest."""
    from eidos.oci import layout_archive
    from eidos.oci.program_image import ImageProgram, add_program
    from eidos.oci.reference import is_tag

    layout, tag = values["layout"], values["tag"]
    if layout is None:
        raise InvalidInput("eidos image needs a layout to write", "add --layout eidos-image")
    for name in ("tag", "base-tag"):
        if values[name] and not is_tag(values[name]):
            raise InvalidInput(f"--{name}: invalid tag {values[name]!r}", "use letters, digits, '_', '.' and '-'")
    program = ImageProgram(PATH, _read_program(values["program"]), ENTRYPOINT, {"org.opencontainers.image.title": "eidos"})
    with layout_archive.open_layout(values["base"]) as base, layout_archive.create_layout(layout) as target:
        try:
            result = add_program(base, values["base-tag"] or "", target, tag, program)
        except InvalidInput as fault:
            raise InvalidInput(fault.message, "name one with --base-tag TAG") from fault
    _report(result, f"{layout}:{tag}", values)
    return 0


def _read_program(path: str | None) -> bytes:
    """The content of the program at ``path``, or of the one that runs; InvalidInput for another file."""
    from io import BytesIO
    from zipfile import BadZipFile, ZipFile

    from eidos.archive.purposes import MARKER

    path = path or resources.program_file()
    if path is None:
        raise InvalidInput("no file for the image: eidos runs from a folder, not from one file", "pass --program dist/eidos.pyz")
    content = document_locations.read_document(path, 64 << 20)
    try:
        with ZipFile(BytesIO(content)) as archive:
            is_ours = MARKER in archive.namelist() and archive.testzip() is None
    except (BadZipFile, OSError, ValueError, EOFError, RuntimeError, NotImplementedError):
        is_ours = False
    if not is_ours:
        raise InvalidInput(f"{path} is not eidos, or it is damaged", "pass --program eidos.pyz")
    return content


def _report(result: ImageResult, where: str, values: Values) -> None:
    from eidos.cli.push import print_artifact

    tree = {"layout": where, "digest": result.digest, "base-digest": result.base_digest, "platform": result.platform, "bytes": result.size}
    print_artifact(tree, f"wrote {where}: eidos {__version__} for {result.platform}, {result.size:,} bytes", values["format"])
