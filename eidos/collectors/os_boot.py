r"""What the next boot would set: parameters of the kernel, sysctls, options and loading of modules, and by which file.

Knows GRUB's settings and the precedence in sysctl.d(5), modprobe.d(5) and modules-load.d(5); must not know what runs now: the same keys in
the subtypes ``grub`` and ``sysctl`` have that, and a difference is a change that waits for a reboot. The context of a reading names the
file that sets it, ``command-line-source`` that of the parameters; ``boot-loader`` is grub or systemd-boot, if that can be determined::

    /etc/default/grub       GRUB_CMDLINE_LINUX="iommu=pt"      boot-cmdline: iommu: pt
    /etc/sysctl.d/90.conf   vm.swappiness = 1                  boot-sysctl: /proc/sys/vm/swappiness: "1"
    /etc/modprobe.d/n.conf  options nvidia NVreg_X=1           boot-modprobe: options.nvidia.NVreg_X: "1"

A file hides one of the same name in a folder with less precedence (a link to /dev/null hides it altogether), and of two settings the one in
the file whose name sorts last wins. Other lines of these files (GRUB's passwords, commands) are not read; values are shown by the same list
of names as those of the running kernel.

>>> parse_shell_assignments('GRUB_TIMEOUT=5\nexport A="b c"\nGRUB_CMDLINE_LINUX="$A quiet"\nB=$(date)\n')
({'GRUB_TIMEOUT': '5', 'A': 'b c', 'GRUB_CMDLINE_LINUX': 'b c quiet'}, {'B': 4})
>>> sysctl_key("net.ipv4.conf.eth0/100.rp_filter"), sysctl_key("-vm/swappiness")
('/proc/sys/net/ipv4/conf/eth0.100/rp_filter', '/proc/sys/vm/swappiness')
"""

from __future__ import annotations

from eidos.collectors import harmless_names
from eidos.collectors._boot_entries import FILE_LIMIT, next_boot_entry
from eidos.collectors._kernel_command_line import command_line_readings, cut_cloud_config
from eidos.collectors._settings import COMMAND_FILES, redact_kernel_command
from eidos.collectors._sysfs import Facts
from eidos.errors import NotApplicable
from eidos.model.measurement import REVEALED, SECRET, UNREADABLE, WITHHELD, Gap, Subtype
from eidos.redact.harmless_forms import is_number, is_path
from eidos.redact.harmless_names import is_not_random, show_value
from eidos.redact.random_words import is_wordy
from eidos.redact.secret_names import has_credential_word
from eidos.redact.secrets_in_text import redact_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.collectors import Sources
    from eidos.model.measurement import Part, Readings
    from eidos.redact.harmless_names import NameList

    #: Key → value, and key → path of the file that sets it.
    Settings = tuple[Readings, dict[str, str]]

GRUB_DEFAULT = "/etc/default/grub"
GRUB_FOLDER = "/etc/default/grub.d"

#: Folders of settings, from the one with the most precedence; /lib is /usr/lib on all but old systems, so it is read where that has none.
PARENTS = ("/etc", "/run", "/usr/local/lib", "/usr/lib")
SYSCTL_CONF = "/etc/sysctl.conf"

#: Files of one folder, readings of one kind, at most.
FILES_LIMIT, READING_LIMIT = 256, 2000

#: Settings of GRUB that are read.
GRUB_NAMES = (
    "GRUB_DEFAULT",
    "GRUB_TIMEOUT",
    "GRUB_CMDLINE_LINUX",
    "GRUB_CMDLINE_LINUX_DEFAULT",
    "GRUB_ENABLE_BLSCFG",
    "GRUB_DISABLE_RECOVERY",
    "GRUB_FLAVOUR_ORDER",
)
COMMAND_LINES = ("GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT")

#: Values of sysctls that are a secret of the kernel.
SECRET_SYSCTLS = ("stable_secret", "tcp_fastopen_key", "netdev_rss_key")


def parse_shell_assignments(text: str, values: dict[str, str] | None = None) -> tuple[dict[str, str], dict[str, int]]:
    """Name → value of the assignments in a shell script, after ``values``, and name → line of those whose value a command prints.

    A variable in a value is replaced when its own value is known; conditions are read as if they were true. A backslash continues a line.
    """
    values = dict(values or {})
    unknown: dict[str, int] = {}
    begun = ""
    for number, line in enumerate(text.splitlines(), 1):
        line, begun = begun + line, ""
        if line.endswith("\\") and not line.endswith("\\\\") and not line.lstrip().startswith("#"):
            begun = line[:-1]
            continue
        name, equals, rest = line.strip().removeprefix("export ").partition("=")
        is_added = name.endswith("+")
        name = name.removesuffix("+")
        if not equals or not name.isidentifier() or not name.isascii():
            continue
        value = _unquote(rest, values)
        if value is None:
            unknown[name] = number
        else:
            values[name] = values.get(name, "") + value if is_added else value
    return values, unknown


def _unquote(text: str, values: dict[str, str]) -> str | None:
    """A word of the shell without its quotes; None where a command stands in it, or a quote is not closed."""
    result: list[str] = []
    quote = ""
    at = 0
    while at < len(text):
        c = text[at]
        at += 1
        if quote == "'":
            if c == "'":
                quote = ""
            else:
                result.append(c)
        elif c == "\\" and at < len(text):
            result.append(text[at] if not quote or text[at] in '"\\$`' else c + text[at])
            at += 1
        elif c in "'\"" and (not quote or c == quote):
            quote = "" if quote else c
        elif c == "`" or text.startswith("$(", at - 1):
            return None
        elif c == "$":
            braced = text.startswith("{", at)
            end = start = at + braced
            while end < len(text) and (text[end].isalnum() or text[end] == "_"):
                end += 1
            if braced and not text.startswith("}", end):
                return None
            result.append(values.get(text[start:end], "") if end > start else "$")
            at = end + braced
        elif c in " \t;#" and not quote:
            break
        else:
            result.append(c)
    return None if quote else "".join(result)


def sysctl_key(name: str) -> str:
    """The path of a sysctl as sysctl.d(5) names it: with dots, in which a slash stands for a dot, or with slashes."""
    name = name.strip().removeprefix("-")
    first = next((c for c in name if c in "./"), "/")
    if first == ".":
        name = name.translate(str.maketrans("./", "/."))
    return f"/proc/sys/{name.lstrip('/')}"


def collect(sources: Sources) -> Iterator[Part]:
    """Yield what the next boot would set, one subtype for each kind of setting."""
    facts = Facts(sources, "boot")
    facts.note_unmounted("/etc", "/usr/lib", "/boot")
    boot = _Boot(facts, sources)
    subtypes = [
        ("boot", boot.grub()),
        ("boot-cmdline", boot.command_line()),
        ("boot-sysctl", boot.sysctls()),
        ("boot-modprobe", boot.modprobe()),
        ("boot-modules", boot.modules()),
    ]
    loader_readings = {"boot-loader": boot.boot_loader, "command-line-source": boot.command_line_source}
    subtypes[0][1][0].update({key: value for key, value in loader_readings.items() if value})
    if not any(data for _, (data, _) in subtypes) and not facts.gaps:
        raise NotApplicable("no settings of a boot loader, of sysctls or of modules")
    yield from facts.gaps
    for name in boot.revealed():
        yield Gap(REVEALED, name, "requested")
    for name, (data, paths) in subtypes:
        if data:
            yield Subtype(name, data, {key: f"set in {path}" for key, path in paths.items() if key in data})


class _Boot:
    """The files of one host, and which values may be shown."""

    def __init__(self, facts: Facts, sources: Sources) -> None:
        self._facts = facts
        self._sources = sources
        self._list: NameList | None = None
        self._grub: dict[str, str] = {}
        self._grub_paths: dict[str, str] = {}
        self._has_unread_line = False
        self.boot_loader = self.command_line_source = ""

    @property
    def _names(self) -> NameList:
        if self._list is None:  # it is long, and few hosts have a value that needs it
            self._list = harmless_names("boot-parameters", revealed=self._sources.reveal)
        return self._list

    def revealed(self) -> tuple[str, ...]:
        """Names whose values are shown because that was requested."""
        return tuple(self._list.revealed) if self._list else ()

    def grub(self) -> Settings:
        """GRUB's own settings; command lines are shown as parameters, in :meth:`command_line`."""
        unread = self._facts.unread_count
        texts = [(path, self._facts.line(path, FILE_LIMIT)) for path in (GRUB_DEFAULT, *self._files(GRUB_FOLDER, ".cfg"))]
        self._has_unread_line = self._facts.unread_count > unread
        for path, text in texts:
            if text is None:
                continue
            before = self._grub
            self._grub, unknown = parse_shell_assignments(text, before)
            for name in GRUB_NAMES:
                if name in unknown:
                    self._facts.gap(UNREADABLE, path, f"line {unknown[name]}: the value of {name} is what a command prints")
                    self._has_unread_line = self._has_unread_line or name in COMMAND_LINES
            self._grub_paths.update({name: path for name, value in self._grub.items() if before.get(name) != value})
        data: Readings = {}
        for name in GRUB_NAMES:
            if name in self._grub and name not in COMMAND_LINES:
                data[name], count = redact_text(self._grub[name], is_not_random)
                if count:
                    self._facts.gap(SECRET, name, "a secret, or a random word")
        return data, {name: self._grub_paths[name] for name in data if name in self._grub_paths}

    def command_line(self) -> Settings:
        """The parameters of the next boot: of systemd-boot's or GRUB's default entry, or as GRUB's settings would make it."""
        self.boot_loader, entry = next_boot_entry(self._facts)
        if entry is None:
            if not self.boot_loader:
                self._facts.gap(UNREADABLE, "boot/boot-loader", "cannot be determined")
            return {}, {}
        path, line = entry
        if line is None:
            parts = [self._grub[name] for name in COMMAND_LINES if self._grub.get(name)]
            is_known = self._grub and not self._has_unread_line
            path, line = self._grub_paths.get(COMMAND_LINES[0], GRUB_DEFAULT), " ".join(parts) if is_known else None
        if line is None:
            return {}, {}
        line, cloud_configs = cut_cloud_config(line)
        (data, _), withheld = command_line_readings(line, cloud_configs, self._names)
        for name in withheld:
            self._facts.gap(SECRET, name, "on the command line of the next boot")
        self.command_line_source = path
        return data, {}

    def sysctls(self) -> Settings:
        """What sysctl.d(5) and sysctl.conf(5) set."""
        data: Readings = {}
        paths: dict[str, str] = {}
        for path, line in self._lines("sysctl.d", ".conf", also=SYSCTL_CONF):
            if not line:  # it may set any of them anew
                data.clear()
            name, equals, value = line.partition("=")
            if not equals or not self._is_name(name.strip().removeprefix("-").replace("/", "."), path):
                continue
            key, value = sysctl_key(name), value.strip()
            file = key.removeprefix("/proc/sys/")
            if key.rpartition("/")[2] in SECRET_SYSCTLS or (has_credential_word(file) and not is_number(value)):
                shown, count = WITHHELD, 1
            elif file in COMMAND_FILES:
                shown, count = redact_kernel_command(value)
            else:
                shown, count = redact_text(value, is_not_random)
            if count and not self._names.is_revealed(key):
                self._facts.gap(SECRET, key, "a secret, or a random word")
                value = shown
            data.pop(key, None)
            data[key], paths[key] = value, path
        return self._limited(data, "sysctl.d"), paths

    def modprobe(self) -> Settings:
        """Options, blacklisted modules, and modules that are replaced by a command."""
        data: Readings = {}
        paths: dict[str, str] = {}
        for path, line in self._lines("modprobe.d", ".conf"):
            if not line:  # it may set any option anew
                data = {key: value for key, value in data.items() if not key.startswith("options.")}
            command, module, rest = [*line.split(None, 2), "", "", ""][:3]
            if command not in ("options", "blacklist", "install", "softdep") or not self._is_name(module, path):
                continue
            module = module.replace("-", "_")
            if command == "options":
                for word in rest.split():
                    name, _, value = word.partition("=")
                    if self._is_name(name, path):
                        key = f"options.{module}.{name}"
                        data[key], paths[key] = self._show(f"{module}.{name}", value.strip('"'), key), path
            else:
                key = f"{command}.{module}"
                is_shown = command == "blacklist" or all(
                    is_path(word) or (is_wordy(word.rstrip(":")) and not has_credential_word(word)) for word in rest.split()
                )
                data[key], paths[key] = (rest or True) if is_shown else WITHHELD, path
                if not is_shown:
                    self._facts.gap(SECRET, key, "a command")
        return self._limited(data, "modprobe.d"), paths

    def modules(self) -> Settings:
        """Modules that are loaded at boot."""
        data: Readings = {}
        paths: dict[str, str] = {}
        for path, line in self._lines("modules-load.d", ".conf", also="/etc/modules"):
            if line and self._is_name(line, path):
                data[line], paths[line] = True, path
        return self._limited(data, "modules-load.d"), paths

    def _show(self, name: str, value: str, key: str) -> str:
        shown, count = show_value(name, value, self._names)
        if count:
            self._facts.gap(SECRET, key, "may be a secret")
        return shown

    def _is_name(self, name: str, path: str) -> bool:
        """Whether a word looks like a name; else it is not shown, not even as a key."""
        if 0 < len(name) <= 128 and all(c.isalnum() or c in "._-*[]/" for c in name) and is_wordy(name.replace("*", "x").replace("/", ".")):
            return True
        self._facts.gap(UNREADABLE, path, "invalid name")
        return False

    def _limited(self, data: Readings, what: str) -> Readings:
        if len(data) <= READING_LIMIT:
            return data
        self._facts.gap(UNREADABLE, what, f"more than {READING_LIMIT} settings")
        return dict(list(data.items())[:READING_LIMIT])

    def _lines(self, folder: str, ending: str, also: str | None = None) -> Iterator[tuple[str, str]]:
        """Path and text of each line, without comments, in the order in which they apply; ``also`` is read last.

        An empty line stands for a file that could not be read, or for those of a folder.
        """
        files: dict[str, str] = {}
        gaps = len(self._facts.gaps)
        for parent in reversed(PARENTS):
            paths = self._files(f"{parent}/{folder}", ending) or (self._files(f"/lib/{folder}", ending) if parent == "/usr/lib" else [])
            files.update({path.rpartition("/")[2]: path for path in paths})
        unread_folders = [gap.what for gap in self._facts.gaps[gaps:]]
        for path in [*(files[name] for name in sorted(files)), *unread_folders, *([also] if also else ())]:
            if path in unread_folders:
                yield path, ""
                continue
            if self._facts.link_name(path) == "null":
                continue
            unread = self._facts.unread_count
            text = (self._facts.line(path, FILE_LIMIT) or "").replace("\\\n", " ")
            if self._facts.unread_count > unread:
                yield path, ""
            for line in map(str.strip, text.splitlines()):
                if line and line[0] not in "#;":
                    yield path, line

    def _files(self, folder: str, ending: str) -> list[str]:
        return [f"{folder}/{name}" for name in self._facts.names(folder) if name.endswith(ending)][:FILES_LIMIT]
