r"""What machine this is: vendor, product, board and firmware, from the tables of its firmware (DMI), or from the device tree.

Knows where Linux shows them (Documentation/ABI/testing/sysfs-class-dmi, sysfs-firmware-ofw); must not know any machine. A reading is the
content of one file of /sys/class/dmi/id, its key the file's name with dashes::

    sys_vendor     NVIDIA                     sys-vendor: NVIDIA
    product_name   DGXH100                    product-name: DGXH100
    bios_version   1.06.07                    bios-version: 1.06.07

Texts that firmware has before anybody fills them in ("To Be Filled By O.E.M.") are absent. Serial numbers and the UUID are readable by root
alone. Whoever runs a virtual machine writes its texts, and may put more than a name there (cloud-init reads ``ds=nocloud;s=URL`` from the
serial number), so a text with an assignment or an address is withheld. On a DGX, /etc/dgx-release says which image it was installed from.

>>> is_filled_in("DGXH100"), is_filled_in("To Be Filled By O.E.M."), is_filled_in("Not Specified"), is_filled_in(" ")
(True, False, False, False)
"""

from __future__ import annotations

from eidos.collectors._sysfs import Facts
from eidos.model.measurement import ABSENT, REVEALED, SECRET, WITHHELD, Gap, Subtype
from eidos.redact.secrets_in_text import redact_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors import Sources
    from eidos.model.measurement import Part, Readings

DMI = "/sys/class/dmi/id"

#: The files of DMI whose content is a reading; the last of them are root's and identify the machine.
DMI_FILES = (
    "sys_vendor",
    "product_name",
    "product_version",
    "product_family",
    "product_sku",
    "board_vendor",
    "board_name",
    "board_version",
    "chassis_vendor",
    "chassis_type",
    "chassis_asset_tag",
    "bios_vendor",
    "bios_version",
    "bios_date",
    "bios_release",
    "ec_firmware_release",
    "product_serial",
    "product_uuid",
    "board_serial",
    "chassis_serial",
)

#: Size limit of one of them, in bytes: a string of SMBIOS has at most 64 bytes before version 3, and no limit since.
DMI_LIMIT = 4096

#: The model on hosts without DMI, and which keys of /etc/dgx-release are read.
DEVICE_TREE_MODEL = "/sys/firmware/devicetree/base/model"
DGX_RELEASE = "/etc/dgx-release"
DGX_KEYS = (
    "DGX_NAME",
    "DGX_PRETTY_NAME",
    "DGX_SWBUILD_DATE",
    "DGX_SWBUILD_VERSION",
    "DGX_OTA_VERSION",
    "DGX_OTA_DATE",
    "DGX_SERIAL_NUMBER",
)

#: What firmware says of a text that nobody filled in, in lower case (seen in the public dumps of linuxhw/DMI).
_PLACEHOLDERS = frozenset(
    (
        "",
        "0",
        "none",
        "n/a",
        "na",
        "unknown",
        "default string",
        "not specified",
        "not available",
        "not applicable",
        "not settable",
        "system manufacturer",
        "system product name",
        "system serial number",
        "system version",
        "to be filled by o.e.m.",
        "to be filled by oem",
        "chassis serial number",
        "no asset tag",
    )
)


def is_filled_in(text: str) -> bool:
    """Whether a text of DMI says anything."""
    return text.strip(" .").lower() not in _PLACEHOLDERS and text.strip().lower() not in _PLACEHOLDERS


def collect(sources: Sources) -> Iterator[Part]:
    """Yield the texts of DMI, or the model of the device tree, and the release of a DGX."""
    facts = Facts(sources, "machine")
    texts: dict[str, str] = {}
    folder = facts.open_folder(DMI)
    if folder is not None:
        with folder:
            for name, content in folder.read_regular_files(DMI_FILES, DMI_LIMIT, is_checked=False):
                text = facts.decode(f"{DMI}/{name}", content)
                if text is not None and is_filled_in(text):
                    texts[name.replace("_", "-")] = text
                elif text is not None:
                    yield Gap(ABSENT, name.replace("_", "-"), "not filled in by the vendor")
    model = facts.line(DEVICE_TREE_MODEL, DMI_LIMIT)
    if model:
        texts["device-tree-model"] = model
    texts.update(_dgx_release(facts))
    if folder is None and not model:
        facts.has_firmware()
    if not texts and not facts.gaps:
        facts.require_folders(f"neither {DMI} nor {DEVICE_TREE_MODEL} exists", "/sys")
    yield from facts.gaps
    data: Readings = {}
    for key, text in texts.items():
        is_shown = key in sources.reveal or not ("=" in text or "://" in text or redact_text(text, lambda _: True)[1])
        data[key] = text if is_shown else WITHHELD
        if not is_shown:
            yield Gap(SECRET, key, "more than a name")
        elif key in sources.reveal:
            yield Gap(REVEALED, key, "requested")
    yield from sources.digests("machine", texts, data)
    if data:
        yield Subtype("machine", data)


def _dgx_release(facts: Facts) -> Iterator[tuple[str, str]]:
    text = facts.line(DGX_RELEASE)
    for line in (text or "").splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name in DGX_KEYS:
            yield name.lower().replace("_", "-"), value.strip("\"'")
