"""The software bill of materials of the archive, as CycloneDX 1.6 and as SPDX 2.3, both in JSON.

Knows both formats, and what identifies a package (purl, SPDX licence identifiers); must not know how the archive is built. A document
depends on nothing but what it describes: its serial number or namespace is made of the digest of the archive's other entries, and its time
is that of the commit.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import NamedTuple

from eidos.files.resources import SBOM_FILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

#: Who writes the documents.
TOOL = "build_zipapp.py"


class ShippedPackage(NamedTuple):
    """A package in the archive: ``file`` is what it was taken from, with its SHA-256; ``modules`` maps a path to the digest of each module.

    ``terms`` is the text of its licence, and ``license`` the identifier of that.
    """

    name: str
    version: str
    license: str
    terms: str
    file: str
    sha256: str
    modules: Mapping[str, str]

    @property
    def purl(self) -> str:
        """Its package URL."""
        return f"pkg:pypi/{re.sub('[-_.]+', '-', self.name).lower()}@{self.version}"


class Program(NamedTuple):
    """The program: ``created`` is a time in the format of RFC 3339, ``content`` the SHA-256 of the archive's other entries."""

    version: str
    license: str
    commit: str
    recipe_data: str
    content: str
    created: str

    @property
    def purl(self) -> str:
        """Its package URL."""
        return f"pkg:generic/eidos@{self.version}"


def sbom_documents(program: Program, packages: Sequence[ShippedPackage]) -> dict[str, bytes]:
    """Path in the archive → document."""
    trees = {"cyclonedx": cyclonedx_tree(program, packages), "spdx": spdx_tree(program, packages)}
    return {SBOM_FILES[name]: f"{json.dumps(tree, indent=2)}\n".encode() for name, tree in trees.items()}


def _urn(name: str, program: Program) -> str:
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'eidos:{name}:{program.content}')}"


def cyclonedx_tree(program: Program, packages: Sequence[ShippedPackage]) -> dict[str, Any]:
    """The document in CycloneDX 1.6 (ECMA-424)."""
    properties = {"eidos:commit": program.commit, "eidos:recipe-data": program.recipe_data, "eidos:content-sha256": program.content}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": _urn("cyclonedx", program),
        "version": 1,
        "metadata": {
            "timestamp": program.created,
            "tools": {"components": [{"type": "application", "name": TOOL, "version": program.version}]},
            "component": {
                "type": "application",
                "bom-ref": program.purl,
                "name": "eidos",
                "version": program.version,
                "licenses": [{"license": {"id": program.license}}],
                "purl": program.purl,
                "properties": [{"name": name, "value": value} for name, value in properties.items()],
            },
        },
        "components": [
            {
                "type": "library",
                "bom-ref": package.purl,
                "name": package.name,
                "version": package.version,
                "licenses": [{"license": {"id": package.license}}],
                "copyright": _copyright(package.terms),
                "purl": package.purl,
                "externalReferences": [
                    {
                        "type": "distribution",
                        "url": f"{package.purl}?file_name={package.file}",
                        "hashes": [{"alg": "SHA-256", "content": package.sha256}],
                    }
                ],
                "components": [
                    {"type": "file", "name": path, "hashes": [{"alg": "SHA-256", "content": digest}]}
                    for path, digest in sorted(package.modules.items())
                ],
            }
            for package in packages
        ],
        "dependencies": [
            {"ref": program.purl, "dependsOn": [package.purl for package in packages]},
            *({"ref": package.purl} for package in packages),
        ],
    }


def spdx_tree(program: Program, packages: Sequence[ShippedPackage]) -> dict[str, Any]:
    """The document in SPDX 2.3."""
    comment = f"commit {program.commit}, recipe data sha256:{program.recipe_data}, content sha256:{program.content}"
    own = _spdx_package("eidos", program.version, program.license, program.purl, "NOASSERTION")
    own.update(primaryPackagePurpose="APPLICATION", comment=comment)
    others = []
    for package in packages:
        tree = _spdx_package(package.name, package.version, package.license, package.purl, _copyright(package.terms))
        tree.update(
            primaryPackagePurpose="LIBRARY",
            packageFileName=package.file,
            checksums=[{"algorithm": "SHA256", "checksumValue": package.sha256}],
            comment=f"of this file, the archive has {', '.join(sorted(package.modules))}",
        )
        others.append(tree)
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"eidos-{program.version}",
        "documentNamespace": _urn("spdx", program),
        "creationInfo": {"created": program.created, "creators": [f"Tool: {TOOL}-{program.version}"]},
        "packages": [own, *others],
        "relationships": [
            _relationship("SPDXRef-DOCUMENT", "DESCRIBES", own["SPDXID"]),
            *(_relationship(own["SPDXID"], "CONTAINS", each["SPDXID"]) for each in others),
        ],
    }


def _spdx_package(name: str, version: str, license_id: str, purl: str, copyright_text: str) -> dict[str, Any]:
    return {
        "name": name,
        "SPDXID": f"SPDXRef-Package-{re.sub('[^A-Za-z0-9.-]', '-', name)}",
        "versionInfo": version,
        "supplier": "NOASSERTION",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": license_id,
        "licenseDeclared": license_id,
        "copyrightText": copyright_text,
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}],
    }


def _relationship(subject: str, kind: str, related: str) -> dict[str, str]:
    return {"spdxElementId": subject, "relationshipType": kind, "relatedSpdxElement": related}


def _copyright(terms: str) -> str:
    """The lines of a licence that say whose copyright it is."""
    return "\n".join(line.strip() for line in terms.splitlines() if line.strip().startswith("Copyright"))
