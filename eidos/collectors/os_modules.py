r"""Modules of GPUs and networks, and which kernels have them.

Knows the files of /sys/module (the kernel's Documentation/ABI/stable/sysfs-module), the form of modules.dep (depmod(8)) and which modules
matter; must not know which version is right. One subtype, ``modules``. A loaded module has ``MODULE.loaded``; the file that provides it for
an installed kernel is ``kernel.RELEASE.MODULE``, as modules.dep names it::

    updates/dkms/nvidia.ko.zst:

>>> parse_dependencies(b"updates/dkms/nvidia.ko.zst:\nkernel/drivers/net/x.ko: kernel/y.ko\n", frozenset({"nvidia"}))
{'nvidia': 'updates/dkms/nvidia.ko.zst'}

A module that is built into the kernel has a folder in /sys/module as well, when it has parameters or a version.
"""

from __future__ import annotations

from eidos.collectors._sysfs import Facts, has_folder, unreadable_reason
from eidos.errors import EidosError
from eidos.files.host import FileMissing, FileUnreadable
from eidos.model.measurement import ABSENT, SECRET, UNREADABLE, WITHHELD
from eidos.nvidia import driver_files
from eidos.redact.harmless_forms import is_harmless
from eidos.redact.secret_names import has_credential_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from eidos.collectors import Sources
    from eidos.model.measurement import Part

ROOT, MODULES = "/sys/module", "/proc/modules"
DRIVER_PARAMETERS = "/proc/driver/nvidia/params"
KERNEL_RELEASE = "/proc/sys/kernel/osrelease"
KERNEL_FOLDERS = ("/lib/modules", "/usr/lib/modules")

#: Beginnings of names of modules that matter, with underscores as in /sys/module, and those that matter by their full name.
PREFIXES = ("nvidia", "mlx5", "ib_", "rdma_", "gdrdrv", "nv_peer_mem", "efa", "irdma", "bnxt_re", "knem", "xpmem")
NAMES = frozenset(
    ("nouveau", "nova_core", "vfio_pci", "iw_cm", "mlx_compat", "lustre", "lnet", "ko2iblnd", "nvme_rdma", "nvme_tcp", "gve", "idpf", "ena")
)

#: Modules whose file is looked up for every installed kernel.
PROVIDED = frozenset(
    (
        "nvidia",
        "nvidia_uvm",
        "nvidia_modeset",
        "nvidia_drm",
        "nvidia_peermem",
        "nvidia_fs",
        "gdrdrv",
        "nouveau",
        "mlx5_core",
        "mlx5_ib",
        "efa",
    )
)

#: Installed kernels that are looked at, newest names first, and the size of a list of dependencies in bytes.
KERNEL_LIMIT, _DEPENDENCIES_LIMIT = 16, 8 << 20

#: Parameters of one module that are read.
_PARAMETER_LIMIT = 128


def is_relevant(name: str) -> bool:
    """Whether a module matters, by its name.

    >>> [is_relevant(name) for name in ("nvidia_uvm", "mlx5_core", "ib_core", "nouveau", "ext4")]
    [True, True, True, True, False]
    """
    return name.startswith(PREFIXES) or name in NAMES


def parse_dependencies(data: bytes, required: Collection[str]) -> dict[str, str]:
    """Module → file that provides it, of those that are ``required``, in the text of modules.dep: ``FILE: FILE …`` in each line."""
    files: dict[str, str] = {}
    for line in data.split(b"\n"):
        path = line.partition(b":")[0]
        name = path.rpartition(b"/")[2].partition(b".ko")[0].replace(b"-", b"_").decode("utf-8", "backslashreplace")
        if name in required and name not in files:
            files[name] = path.decode("utf-8", "backslashreplace")
    return files


def parse_driver_parameters(text: str) -> dict[str, str]:
    r"""The parameters of NVIDIA's driver as they are in effect.

    >>> parse_driver_parameters('EnableMSI: 1\nRegistryDwords: "RMx=1"\n')
    {'EnableMSI': '1', 'RegistryDwords': 'RMx=1'}
    """
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip().strip('"') for name, colon, value in pairs if colon and name.strip().isidentifier()}


def collect(sources: Sources) -> Iterator[Part]:
    """Yield ``modules``. Raises NotApplicable when the host shows no modules and no kernels at all."""
    facts = Facts(sources, "modules")
    facts.note_unmounted("/proc", "/sys")
    loaded = _loaded_modules(facts)
    for name in loaded:
        _read_module(facts, name)
    text = facts.line(DRIVER_PARAMETERS, 1 << 16)
    for name, value in parse_driver_parameters(text or "").items():
        _put_value(facts, f"nvidia.driver.{name}", value)
    _read_library(facts)
    folder = next((path for path in KERNEL_FOLDERS if has_folder(facts, path)), None)
    if folder is None and not loaded and not has_folder(facts, ROOT):
        facts.require_folders(f"no modules (neither {ROOT} nor {KERNEL_FOLDERS[0]} exists)", "/sys", "/proc")
        yield from facts.gaps
        return
    running = facts.line(KERNEL_RELEASE)
    facts.put("kernel-running", running)
    if folder is None:
        is_mounted = facts.host.root == "/" or facts.exists("/lib") or facts.exists("/usr/lib")
        facts.gap(ABSENT if is_mounted else UNREADABLE, KERNEL_FOLDERS[0], "no such directory" if is_mounted else "not mounted here")
    else:
        _read_kernels(facts, folder, running)
    yield from facts.parts()


def _loaded_modules(facts: Facts) -> list[str]:
    """Relevant modules: those with a folder in sysfs, else those in the table of modules."""
    names = {name for name in facts.names(ROOT) if is_relevant(name)}
    try:
        table = facts.host.read_text(MODULES)
    except FileMissing:
        table = ""
    except FileUnreadable as fault:
        facts.unreadable(fault)
        table = ""
    names.update(name for name in (line.partition(" ")[0] for line in table.splitlines()) if is_relevant(name))
    return sorted(names)


def _read_module(facts: Facts, name: str) -> None:
    folder = f"{ROOT}/{name}"
    facts.put(f"{name}.loaded", True)
    facts.put_lines(f"{name}.", folder, {"version": "version", "source-version": "srcversion", "taint": "taint"})
    parameters = facts.names(f"{folder}/parameters")
    for parameter in parameters[:_PARAMETER_LIMIT]:
        path = f"{folder}/parameters/{parameter}"
        try:
            value = facts.host.read_text(path, 4096).strip()
        except FileMissing:
            continue
        except FileUnreadable as fault:
            facts.gap(UNREADABLE, path, unreadable_reason(fault))
            continue
        if value and value != "(null)":
            _put_value(facts, f"{name}.parameter.{parameter}", value)


def _put_value(facts: Facts, key: str, value: str) -> None:
    """A parameter of a module is a text of the administrator: shown when its name has no credential word and its form is harmless."""
    parameter = key.rpartition(".")[2]
    pairs = (part for part in value.replace(";", ",").split(",") if part)
    is_shown = not has_credential_word(parameter) and all(
        is_harmless(part) or (is_harmless(part.partition("=")[2]) and not has_credential_word(part.partition("=")[0])) for part in pairs
    )
    facts.put(key, value if is_shown else WITHHELD)
    if not is_shown:
        facts.gap(SECRET, key, "a text of the administrator")


def _read_library(facts: Facts) -> None:
    """The version of the driver's library, by the name of its file, which must be that of the kernel module."""
    installed = driver_files.find_driver(facts.host, {})
    versions = set()
    unreadable: FileUnreadable | None = None
    for path in installed.libraries:
        if "/" not in path:  # only the dynamic linker finds it, and a library need not be loaded to read other files
            continue
        try:
            version = driver_files.library_version(facts.host.real_path(path))
        except FileUnreadable as fault:
            unreadable = unreadable or fault
            continue
        except EidosError:
            continue
        versions.update([version] if version else [])
    facts.put("driver-library-version", " ".join(sorted(versions)))
    if unreadable and installed.version and not versions:
        facts.gap(UNREADABLE, "driver-library-version", f"{unreadable.path}: {unreadable_reason(unreadable)}")
    elif unreadable:
        facts.unreadable(unreadable)
    facts.put("driver-module-version", installed.version)
    if installed.version is None:
        facts.line(driver_files.MODULE_VERSION)  # a file that cannot be read becomes a gap


def _read_kernels(facts: Facts, folder: str, running: str | None) -> None:
    unread = facts.unread_count
    kernels = [name for name in facts.names(folder) if _may_exist(facts, f"{folder}/{name}/modules.dep")]
    if len(kernels) > KERNEL_LIMIT:
        facts.gap(UNREADABLE, folder, f"more than {KERNEL_LIMIT} kernels")
        kernels = sorted(set(kernels[-KERNEL_LIMIT:]) | {name for name in kernels if name == running})
    facts.put("kernels-installed", " ".join(kernels))
    if running and running not in kernels and facts.unread_count == unread:
        facts.gap(ABSENT, f"{folder}/{running}", "the running kernel has no folder of modules")
    for kernel in kernels:
        path = f"{folder}/{kernel}/modules.dep"
        try:
            files = parse_dependencies(facts.host.read_bytes(path, _DEPENDENCIES_LIMIT), PROVIDED)
        except FileMissing:
            continue
        except FileUnreadable as fault:
            facts.unreadable(fault)
            continue
        for name, file in sorted(files.items()):
            facts.put(f"kernel.{kernel}.{name}", file)


def _may_exist(facts: Facts, path: str) -> bool:
    """False only where a file is known to be missing: a kernel whose modules cannot be read is installed."""
    try:
        return facts.host.exists(path)
    except FileUnreadable:
        return True
