r"""Boot parameters of the kernel, by the tool that the host's boot loader is set with.

Knows GRUB's drop-ins, grubby, kernelstub and rpm-ostree, and what each does with a value; must not know what a parameter means. The kernel
takes the last of several values of most parameters, so that a new one is put behind those that are there.

Sources: GNU GRUB Manual 2.12, Simple configuration (GRUB_CMDLINE_LINUX_DEFAULT comes after GRUB_CMDLINE_LINUX); Debian's and Ubuntu's
/etc/default/grub (files ``/etc/default/grub.d/*.cfg`` are read after it; update-grub); Red Hat, Managing, monitoring, and updating the
kernel, Configuring kernel command-line parameters (grubby for all boot entries; also Oracle Linux, Rocky and Amazon Linux 2023); pop-os/
kernelstub README (``-a``, ``-d``); Fedora CoreOS documentation, Modifying Kernel Arguments (rpm-ostree kargs); SUSE Linux Enterprise Server
15 SP6, The boot loader GRUB 2 (/etc/default/grub, then grub2-mkconfig).

>>> delivery = boot_parameter(Setting("boot", "iommu", "pt"), HostFacts("ubuntu", boot_loader="grub"))
>>> delivery.files[0]
SettingFile(path='/etc/default/grub.d/95-eidos-iommu.cfg', text='GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT iommu=pt"\n')
>>> delivery.commands, delivery.cost
(('update-grub',), 'reboot')
>>> boot_parameter(Setting("boot", "iommu", "pt"), HostFacts("rhel", boot_loader="bls")).commands
('grubby --update-kernel=ALL --args=iommu=pt',)
"""

from __future__ import annotations

from eidos.host_settings.setting import BOOT, PREFIX, Delivery, HostFacts, Setting, SettingFile, Unsettable, safe_name
from eidos.host_settings.system_files import FOLDER_FILE
from eidos.model.record import replace
from eidos.wording import SHELL_PLAIN, quote_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

REBOOT = "drain the node and reboot it"

_DROP_INS = ("ubuntu", "debian")
#: Boot loaders for which distributions have a tool that sets kernel parameters; for systemd-boot they have none.
_GRUB = ("", "grub", "bls")

_GRUBBY = ("rhel", "rocky", "oraclelinux", "amazonlinux")

#: Characters that neither a shell nor GRUB's scripts nor the kernel gives a meaning.
_PLAIN = frozenset(SHELL_PLAIN)

#: What a value may have besides, in single quotes of GRUB: separators of its scripts. Quotes, ``$`` and the like are refused.
_QUOTABLE = frozenset(";&|<>(){}[]*?!~#^")

#: Program → files that it changes, as patterns of the shell: who takes its change back restores these.
CHANGED_FILES = {
    "grubby": ("/etc/default/grub", "/etc/kernel/cmdline", "/boot/grub2/grubenv", "/boot/loader/entries/*.conf"),
    "update-grub": ("/boot/grub/grub.cfg",),
    "nvidia-ctk": ("/etc/nvidia-container-runtime/config.toml",),
    "kernelstub": ("/etc/kernelstub/configuration", "/boot/efi/loader/entries/*.conf"),
}


def parameter(setting: Setting) -> str:
    """``name=value``, or the name alone. Raises Unsettable for a character that some reader on the way gives a meaning.

    >>> parameter(Setting("boot", "pci", "config_acs=x@0:1;0:2")), parameter(Setting("boot", "quiet"))
    ('pci=config_acs=x@0:1;0:2', 'quiet')
    """
    name = safe_name(setting.name, "boot parameter")
    if not set(setting.value) <= _PLAIN | _QUOTABLE:
        raise Unsettable(f"the value of the boot parameter {name} has a character that boot loaders interpret")
    return f"{name}={setting.value}" if setting.value else name


def boot_parameter(setting: Setting, host: HostFacts) -> Delivery:
    """The form for this host; by hand where its boot loader has no tool that adds one parameter."""
    word = parameter(setting)
    if host.os == "pop":
        return _by_command("kernelstub", f"kernelstub --add-options {quote_word(word)}", f"kernelstub --delete-options {quote_word(word)}")
    has_grub = host.boot_loader in _GRUB
    if host.os in _GRUBBY and has_grub:
        args = [f"grubby --update-kernel=ALL --{option}={quote_word(word)}" for option in ("args", "remove-args")]
        return _by_command("grubby", *args)
    if host.os in ("fedora-coreos", "fedora"):
        args = [f"rpm-ostree kargs --{option}={quote_word(word)}" for option in ("append-if-missing", "delete-if-present")]
        return _by_command("rpm-ostree", *args)
    if host.os in _DROP_INS and host.boot_loader in ("", "grub"):
        return Delivery("grub drop-in", (grub_drop_in(setting),), ("update-grub",), ("update-grub",), REBOOT, "reboot")
    if host.os == "sles" and has_grub:
        instruction = f"append {word} to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, run 'grub2-mkconfig -o /boot/grub2/grub.cfg'"
        return Delivery("grub2-mkconfig", instruction=f"{instruction}, then {REBOOT}", cost="reboot")
    instruction = f"append {word} to the kernel's parameters in the settings of the boot loader, then {REBOOT}"
    return Delivery("by hand", instruction=instruction, cost="reboot")


def grub_drop_in(setting: Setting) -> SettingFile:
    """A file that appends the parameter. A shell reads it, and GRUB reads the value that it has then."""
    word = parameter(setting)
    if not set(word) <= _PLAIN:
        word = f"'{word}'"
    text = f'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {word}"\n'
    return SettingFile(f"/etc/default/grub.d/{PREFIX}{setting.name}.cfg", text)


def in_boot_order(settings: Iterable[Setting]) -> list[Setting]:
    """Boot parameters in the order that the kernel needs: the size of huge pages before their number.

    Without it ``hugepages=`` counts pages of the default size, which is 512 MiB on kernels with 64 KiB pages
    (Documentation/admin-guide/kernel-parameters.txt).

    >>> [setting.name for setting in in_boot_order([Setting("boot", "hugepages", "8"), Setting("boot", "hugepagesz", "2M")])]
    ['hugepagesz', 'hugepages']
    """
    return sorted((setting for setting in settings if setting.kind == BOOT), key=lambda setting: not setting.name.endswith("hugepagesz"))


def grub_file(settings: Sequence[Setting]) -> SettingFile:
    """A drop-in of GRUB that appends all parameters."""
    text = "".join(grub_drop_in(setting).text for setting in in_boot_order(settings))
    return SettingFile(f"/etc/default/grub.d/{FOLDER_FILE}.cfg", text)


def boot_parameters(settings: Sequence[Setting], host: HostFacts) -> Delivery:
    """The form of all parameters for this host, with one command where each alone would have its own."""
    ordered = in_boot_order(settings)
    single = [boot_parameter(setting, host) for setting in ordered]
    if single[0].form == "grub drop-in":
        return replace(single[0], files=(grub_file(ordered),))
    if not single[0].commands:
        return single[0]
    words = [parameter(setting) for setting in ordered]
    both = []
    for commands in (single[0].commands[0], single[0].revert[0]):
        if single[0].form == "rpm-ostree":
            option = commands.split(" ")[2].partition("=")[0]
            both.append("rpm-ostree kargs " + " ".join(f"{option}={quote_word(word)}" for word in words))
        else:
            head = commands[: -len(quote_word(words[0]))]
            both.append(head + quote_word(" ".join(words)))
    return replace(single[0], commands=(both[0],), revert=(both[1],))


def _by_command(form: str, command: str, revert: str) -> Delivery:
    return Delivery(form, (), (command,), (revert,), REBOOT, "reboot")
