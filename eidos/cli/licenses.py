"""``eidos licenses``: the licences of eidos and of the packages in its file.

Knows how they are shown; must not know where their texts are.
"""

from __future__ import annotations

from eidos import __version__
from eidos.cli import document_locations
from eidos.cli.options import FLAG_OUTPUT, HELP, LOGGING, Operand, Option, Verb
from eidos.errors import InvalidInput
from eidos.files import resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values

#: The licence of eidos itself, as SPDX calls it.
OWN_LICENSE = "Apache-2.0"

#: What stands between two texts.
_RULE = "-" * 79

_FORMATS = {"table": "a line for each package", "text": "the licenses themselves", "yaml": "for programs", "json": "for programs"}

VERB = Verb(
    "licenses",
    (
        "List the licenses of eidos and of the packages that its file carries, or print the text of one.",
        "In a checkout there are no other packages: what eidos imports is installed beside it, with licenses of its own.",
    ),
    (
        FLAG_OUTPUT,
        Option(
            "format",
            "set the output format (default text for one package, else table)",
            "FORMAT",
            "t",
            None,
            choices=_FORMATS,
            flag_only=True,
        ),
        *LOGGING,
        HELP,
    ),
    (Operand("package", "print the license of this package", required=False),),
    examples=(
        ("eidos licenses", "what the file carries"),
        ("eidos licenses PyYAML", "the text of one"),
        ("eidos licenses -t text", "the texts of all"),
    ),
)


def list_licenses() -> list[dict[str, str]]:
    """Name, version, licence and its text: of eidos first, and of each package in the archive."""
    packages = [("eidos", __version__, OWN_LICENSE), *resources.carried_packages()]
    return [
        {"name": name, "version": version, "license": license_id, "text": resources.license_text(name)}
        for name, version, license_id in packages
    ]


def run(values: Values) -> int:
    """Write the licences in the requested format."""
    from eidos.formats import serialize

    name = values.get("package")
    document_locations.check_writable(values["output"])
    licenses = list_licenses()
    if name is not None:
        named = [each for each in licenses if each["name"].lower() == name.lower()]
        if not named:
            from eidos.wording import did_you_mean

            names = [each["name"] for each in licenses]
            raise InvalidInput(f"no package {name!r} in this file", did_you_mean(name, names) or f"packages: {', '.join(names)}")
        licenses = named
    fmt = values["format"] or ("text" if name is not None else "table")
    if fmt == "table":
        text = _table(licenses)
    elif fmt == "text":
        text = f"\n{_RULE}\n".join(_heading(each, name) + each["text"] for each in licenses)
    else:
        text = serialize({"packages": licenses}, fmt)
    document_locations.write_document(values["output"], text)
    return 0


def _heading(entry: dict[str, str], name: str | None) -> str:
    return "" if name is not None else f"{entry['name']} {entry['version']} ({entry['license']})\n\n"


def _table(licenses: list[dict[str, str]]) -> str:
    rows = [("NAME", "VERSION", "LICENSE"), *((each["name"], each["version"], each["license"]) for each in licenses)]
    widths = [max(len(row[column]) for row in rows) + 3 for column in range(2)]
    return "".join(f"{name:<{widths[0]}}{version:<{widths[1]}}{license_id}\n" for name, version, license_id in rows)
