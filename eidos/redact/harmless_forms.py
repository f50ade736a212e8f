"""Forms of values that cannot carry a secret, whatever the name of the value is.

Knows the forms (switch, number, size, duration, version, path, address, image, word of a closed list);
must not know names: :mod:`eidos.redact.harmless_names` decides when a form counts.

>>> [is_harmless(text) for text in ("on", "5128", "512M", "1h30m", "v1.2.3-rc.1", "/etc/kubernetes/pki", "10.0.0.1:8080", "0-3,8")]
[True, True, True, True, True, True, True, True]
>>> [is_harmless(text) for text in ("hunter2", "4929123412341234", "/srv/x7kQ2mZ9wL4c", "https://bob:pw@example.com/", "bob:1234")]
[False, False, False, False, False]
"""

from __future__ import annotations

from eidos.model.measurement import WITHHELD
from eidos.redact.random_words import MAXIMUM_DIGITS, cached, is_random_word, is_wordy, split_at, word_set

#: The closed list: switches, levels, formats, drivers and policies that occur as values of settings.
WORDS = word_set(
    "</s> <bos> <eos> <mask> <pad> <s> <unk> <|begin_of_text|> <|end_of_text|> <|endoftext|> <|eot_id|> <|finetune_right_pad_id|>"
    " <|im_end|> <|im_start|> [cls] [mask] [pad] [sep] [unk] aarch64 abac acpi_pm advise aes agent alert alibaba all alpha always"
    " alwaysallow alwaysdeny amd64 amzn anonymous any apparmor append arm64 ask auto auto6 automatic awq aws azure azurelinux"
    " balanced baseline basic bearer best-effort besteffort bestfit beta bf16 bfloat16 binpack bos both bottlerocket bpf bridge"
    " btrfs bzip2 c c.utf-8 cache calico capability cdi cdi-annotations cdi-cri centos cgroup cgroupfs cifs cilium client cluster"
    " clusterip compact compat32 compute confidentiality conservative console container containerd controller cos crc32 cri-o crictl"
    " crio crit critical crun csv cuda daemon de debian debug default deny dev devmapper dhcp dhcp4 dhcp6 disable disabled display"
    " dns docker doesnotexist dual dynamic eager ecdsa ed25519 edge either6 emerg emergency en_us.utf-8 enable enabled enforcing"
    " envvar eos equal err error eth ethernet exec exists ext2 ext3 ext4 external f fail false fatal fcoe fedora file flannel"
    " flatcar float float16 float32 flush force forced fp16 fp8 full fuse-overlayfs gce gcp global google gptq graphical graphics"
    " grpc gt gzip half halt headless high high-priority host hpet http https hyperv ib ibft ibm ifnotpresent ignore in index"
    " infiniband info int4 int8 integrity internal ipv4 ipv6 iscsi isolate jiffies journal json kata kexec kill kindnet kmsg kvm"
    " kvm-clock landlock latest lazy link6 linux loadbalancer local lockdown logfmt low lt lts lz4 lzo madvise main master md5"
    " medium mig mitigate mixed multi-user multus n native never nfs nfs4 ngx nightly nil no node nodeport noexecute none noop nop"
    " nopti normal noschedule notice notin nouveau null null-cni numa nvidia nvidia-cdi nvidia-container-runtime nvidia-legacy nvme"
    " nydus oauth2 oci off oidc on on-abnormal on-failure ondelete ondemand onfailure only open openstack oracle overlay overlay2"
    " overlayfs ovn pack pad pam panic partial performance permissive persistent photon plain pod posix poweroff powersave ppc64le"
    " prefernoschedule pretty private privileged prod production proprietary pti qa qemu quiet raw rbac rdma read read-only readonly"
    " reboot recreate relaxed reload remote rescue restart restricted retpoline rhel ro roce rocky rollingupdate rsa run runc runsc"
    " rw s390x scatter schedutil seccomp selinux serve server seteuid sha1 sha256 sha384 sha512 shared silent single"
    " single-numa-node slave sles smack spread squashfs sriov stable staging stargz start state static stderr stdin stdout stop"
    " strict suse syslog systemd t table talos tcp tcp4 tcp6 test testing text tls1 tls1.0 tls1.1 tls1.2 tls1.3 tmp tmpfs token"
    " tomoyo trace true tsc ubuntu udp udp4 udp6 uk unix unk us utf-8 utf8 utility uuid verbose versiontls10 versiontls11"
    " versiontls12 versiontls13 vfio vfio-pci vfs video vm-passthrough vm-vgpu vmexit vmware volatile volume-mounts vsphere warn"
    " warning weave webhook windows within_size wo worker write x86_64 xen xfs xz y yama yaml yes zfs zlib zstd"
)

#: First components of paths that hold settings, programs and data; another first component must look like words.
_TOP_DIRECTORIES = word_set(
    "bin boot credentials data dev etc home host lib lib32 lib64 media mnt nix opt proc root run sbin secrets snap srv sys tmp usr var"
)

#: Beginnings of other paths: relative to the working or home directory, systemd's specifiers, curl's and bash's ``@file``.
_PATH_PREFIXES = ("./", "../", "~/", "%d/", "%h/", "%t/", "%S/", "%C/", "%L/", "@/", "$CREDENTIALS_DIRECTORY/", "${CREDENTIALS_DIRECTORY}/")

#: Below this path a folder is named by its digest (Nix, "store path").
_NIX_STORE, _NIX_DIGEST_LENGTH = "/nix/store/", 32

#: Prefixes of webhook URLs whose path is the secret.
WEBHOOK_PREFIXES = ("hooks.slack.com/", "discord.com/api/webhooks/", "discordapp.com/api/webhooks/")

#: The last labels of host names; any word may follow a dot in a passphrase.
_TOP_LEVEL_DOMAINS = word_set(
    "com net org edu gov mil int io ai dev app cloud co us eu uk de fr ch at nl it es se no fi pl cz jp cn kr in au ca br"
    " local localdomain internal lan home arpa svc example test invalid corp intra k8s"
)

#: Suffixes of numbers: sizes of the kernel and of Kubernetes, durations of Go and systemd, percent.
_UNITS = word_set(
    "k m g t p e ki mi gi ti pi ei kb mb gb tb kib mib gib tib b kbit mbit gbit hz khz mhz ghz"
    " ns us µs ms s sec secs second seconds min mins minute minutes h hr hour hours d day days w week weeks %"
)

#: Words after the numbers of a version: ``5.15.0-1024-aws``, ``12.4.1-base-ubuntu22.04``.
_VERSION_WORDS = word_set(
    "rc alpha beta pre dev post git ubuntu ubi el rhel rocky centos amzn fc sles debian deb bpo eks gke aks oke rke2r k3s gcp aws"
    " azure oracle nvidia lowlatency generic base devel runtime cudnn slim alpine bookworm bullseye jammy noble focal open server"
    " hwe cloud photon cos talos flatcar x86 amd arm arm64 amd64 aarch ppc64le pae k snp tdx distroless stable p r v b build dgx"
    " tegra lts final patch"
)

#: Words with digits that are names of things, not secrets.
_TECHNICAL_WORDS = word_set(
    "x509 k8s k3s rke2 ipv4 ipv6 s3 ec2 sha1 sha256 sha512 md5 oauth2 utf8 base64 http2 h2 p12 pkcs12 pkcs8 pkcs1 v1 v2 v3 v1beta1"
    " v1alpha1 v2beta1 x11 eth0 lo0 tls1 sts2 iam2 i18n l10n 1st 2nd 3rd nfs4 ext4 x86 amd64 arm64 python3 nvidia0 gpu0 mlx5 ib0"
    " nvme0n1 sda1"
)

#: What a text has around a word.
PUNCTUATION = ".:;!…-*<>~+%^=/\\@$_"

#: Characters of a word in a message.
_LONGEST_WORD = 24

#: Where the parts of a time are (RFC 3339, 5.6), and the greatest of each; digits of a fraction of a second.
_TIME_LIMITS, _FRACTION_DIGITS = ((5, "12"), (8, "31"), (11, "24"), (14, "59"), (17, "60")), 9

#: Digits of the longest hexadecimal number.
_MAXIMUM_HEX_DIGITS = 8

# Values are short and come again.
_harmless: dict[str, bool] = {}


def is_harmless(value: str) -> bool:
    """Whether the form of ``value`` cannot carry a secret: one of the forms above, or a list of them, separated by commas."""
    return cached(_harmless, _is_harmless, value)


def _is_harmless(value: str) -> bool:
    value = unquote_once(value)
    if not value or value == WITHHELD or value.lower() in WORDS:
        return True
    items = value.split(",") if "," in value else [value]
    if len(items) > 1 and sum(c.isdigit() for c in value) > MAXIMUM_DIGITS and not any(c.isalpha() or c in "/." for c in value):
        return False
    return all(_is_harmless_item(item) for item in items)


def quote_value(value: str) -> str:
    """``value`` in quotes, for a message about a variable; withheld unless it looks like a word or a harmless form.

    >>> quote_value("soon"), quote_value("h1000"), quote_value("Winter2hunter")
    ("'soon'", "'h1000'", "'<withheld>'")
    """
    return repr(value if is_speaking(value) else WITHHELD)


def is_speaking(value: str) -> bool:
    """Whether ``value`` looks like a word, or has a harmless form."""
    return is_harmless(value) or (is_wordy(value) and len(value) <= _LONGEST_WORD)


def is_plain_word(word: str) -> bool:
    """Whether a word of a text says something and hides nothing: letters, a number, a version, a path, an address.

    >>> [is_plain_word(word) for word in ("aws-iam-authenticator", "us-east-1", "x509:", "4.2.1", "hunter22", "qxzvkwpjtr", "<withheld>")]
    [True, True, True, True, False, False, True]
    """
    if WITHHELD in word:
        word = word.replace(WITHHELD + "@", "").replace(WITHHELD, "")
    if is_harmless(word):
        return True
    word = word.strip(PUNCTUATION)
    if is_harmless(word) or word.lower() in _TECHNICAL_WORDS or (word[:3] == "GPU" and is_harmless(word[3:])):
        return True
    for c in ":/.-_@=+~*<>%":
        word = word.replace(c, " ")
    digits = 0
    for chunk in word.split():
        if chunk.isdigit():
            digits += len(chunk)
        elif chunk.lower() not in _TECHNICAL_WORDS and not (chunk.isalpha() and len(chunk) <= 40 and not is_random_word(chunk)):
            return False
    return digits <= 12


def unquote_once(value: str) -> str:
    """``value`` without the pair of quotes around it."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _is_harmless_item(item: str) -> bool:
    if item in ("", WITHHELD) or item.lower() in WORDS:
        return True
    return is_number(item) or is_version(item) or is_path(item) or is_reference(item) or is_address(item) or is_image(item)


def is_number(text: str) -> bool:
    """Whether ``text`` is a number of at most 12 digits, a range of such, a size, a duration, a percentage or a time.

    >>> [is_number(text) for text in ("-1", "2-95", "512M", "25%", "2m0s", "0x1f", "2026-11-30T06:00:00.5Z", "1234567890123", "12x")]
    [True, True, True, True, True, True, True, False, False]
    """
    if text[:2] in ("0x", "0X"):
        return 2 < len(text) <= 2 + _MAXIMUM_HEX_DIGITS and all(c in "0123456789abcdefABCDEF" for c in text[2:])
    if not text.strip("0-:"):
        return "0" in text  # a key that is not set: 00000000-00000000-00000000-00000000
    if text[:2] in ("19", "20") and text[10:11] == "T":
        return _is_time(text)
    digits, run, unit = 0, 0, ""
    for c in text[1:] if text[:1] in "+-" else text:
        if c.isdigit() and c.isascii():
            if unit and unit.lower() not in _UNITS:
                return False
            digits, run, unit = digits + 1, run + 1, ""
        elif c in ".-:/" and run and not (unit and unit.lower() not in _UNITS):
            run, unit = 0, ""
        else:
            unit += c
    return run > 0 and digits <= MAXIMUM_DIGITS and (not unit or unit.lower() in _UNITS)


def _is_time(text: str) -> bool:
    form = "".join("0" if c in "0123456789" else c for c in text)
    zone = form[20:].lstrip("0") if form[19:20] == "." else form[19:]
    return (
        form.startswith("0000-00-00T00:00:00")
        and all(text[at : at + 2] <= limit for at, limit in _TIME_LIMITS)
        and zone in ("", "Z", "+00:00", "-00:00", "+0000", "-0000")
        and len(form) - len(zone) <= len("0000-00-00T00:00:00.") + _FRACTION_DIGITS
    )


def is_version(text: str) -> bool:
    """Whether ``text`` is a version: numbers with dots, then words that versions have.

    >>> [
    ...     is_version(text)
    ...     for text in ("v1.30.2-eks-1552ad0", "5.15.0-1024-aws", "570.86.15", "1.2.3-hunter2", "1", "12.4.1-base-ubuntu22.04")
    ... ]
    [False, True, True, False, False, True]
    """
    rest = text[1:] if text[:1] in ("v", "V") else text
    if not rest[:1].isdigit() or "." not in rest or len(text) > 80:
        return False
    digits = 0
    for part in split_at(rest, ".-+~_"):
        letters = part.rstrip("0123456789")
        head = letters.lstrip("0123456789")
        digits += len(part) - len(head)
        if head.lower() not in _VERSION_WORDS and head:
            return False
    return digits <= 24


def is_path(text: str) -> bool:
    """Whether ``text`` is an absolute path, or one of the usual relative ones, each part of which looks like words.

    >>> [is_path(text) for text in ("/etc/kubernetes/pki/ca.crt", "/kZ8+base64/a", "/var/lib/x/aB3x9Zq0LmN7", "~/.kube", "etc/x")]
    [True, False, False, True, False]
    """
    if text.startswith(_NIX_STORE):
        digest, dash, rest = text[len(_NIX_STORE) :].partition("-")
        text = f"/{rest}" if dash and len(digest) == _NIX_DIGEST_LENGTH else text
    for prefix in _PATH_PREFIXES:
        if text.startswith(prefix):
            text = text[len(prefix) :]
            break
    else:
        if not text.startswith("/") or (text.startswith("//") and "@" in text):  # a share, with a password perhaps
            return False
        text = text.lstrip("/")
        first = text.partition("/")[0]
        if first not in _TOP_DIRECTORIES and not (is_wordy(first) and first == first.lower() and "+" not in first):
            return False
    return all(is_wordy(part) or part in ("", ".", "..", "*") or is_reference(part) or _is_device(part) for part in text.split("/"))


def _is_device(part: str) -> bool:
    """Whether a part of a path is an address of a bus: ``0000:3b:00.0``."""
    return len(part) <= 12 and part.count(":") in (1, 2) and part.count(".") == 1 and all(c in "0123456789abcdefABCDEF:." for c in part)


def is_reference(text: str) -> bool:
    """Whether ``text`` is a variable or a specifier, expanded elsewhere: ``$NAME``, ``${NAME}``, ``$(cat /run/x)``, ``%i``."""
    if text.startswith("$"):
        inner = text[2:-1] if (text[1:2], text[-1:]) in (("{", "}"), ("(", ")")) else text[1:]
        if text[1:2] == "(" and " " in inner:
            program, *arguments = inner.split() or [""]
            is_shown = is_wordy(program) and all(is_path(word) or (word[0] == "-" and len(word) < 4) for word in arguments)
            return is_shown and text.find(")") == len(text) - 1
        return inner.replace("_", "a").isalnum() and inner.isascii() and is_wordy(inner) and not inner[:1].isdigit()
    return len(text) == 2 and text[0] == "%" and text[1].isalpha()


def is_address(text: str) -> bool:
    """Whether ``text`` is an IP address, a network, a PCI address, a host with its port or a path, or a URL without userinfo and query.

    >>> [
    ...     is_address(text)
    ...     for text in ("192.0.2.1/24", "[::1]:8080", "registry.example.com:5000", "https://example.com/a/b", "192.0.2.1:/a")
    ... ]
    [True, True, True, True, True]
    >>> [is_address(text) for text in ("0000:C1:00.0", "00000000:3b:00.0", "0000:C1:00:0", "c1fe:C1:00.9")]
    [True, True, False, False]
    >>> [is_address(text) for text in ("https://a@example.com", "https://example.com/?x=1", "correct.horse", "bob:1234", "x")]
    [False, False, False, False, False]
    """
    scheme, separator, rest = text.partition("://")
    if separator:
        if not (scheme.replace("+", "a").replace("-", "a").isalnum() and scheme.isascii() and len(scheme) <= 16 and is_wordy(scheme)):
            return False
        if rest.startswith(WEBHOOK_PREFIXES) or any(c in "@?#&=;, \"'" for c in rest):
            return False
        host, slash, path = rest.partition("/")
        return (not host or _is_host(host, in_url=True) or is_version(host)) and (not slash or is_path(f"/{path}"))
    host, colon, path = text.partition(":/")
    if colon:  # of a share of NFS
        return _is_host(host, in_url=False) and is_path(f"/{path}")
    return _is_host(text, in_url=False) or (text.count("/") == 1 and text.partition("/")[2].isdigit() and _is_ip(text.partition("/")[0]))


def _is_host(text: str, in_url: bool) -> bool:
    if text.startswith("["):
        address, bracket, port = text[1:].partition("]")
        return bool(bracket) and _is_ip(address) and (not port or (port[0] == ":" and _is_port(port[1:])))
    if text.count(":") > 1:
        return _is_ip(text) or _is_pci_address(text)
    host, colon, port = text.partition(":")
    if colon and not _is_port(port):
        return False
    if host in ("", "*"):
        return bool(colon)
    if host == "localhost" or _is_ip(host):
        return True
    if not is_wordy(host) or not all(c.isalnum() or c in "-." for c in host):
        return False
    return in_url or (host.rpartition(".")[2].lower() in _TOP_LEVEL_DOMAINS and "." in host)


def _is_pci_address(text: str) -> bool:
    """Whether ``text`` is domain, bus, device and function, as the kernel and nvidia-smi write it: ``0000:3b:00.0``."""
    domain, bus, device = text.split(":", 2)
    lengths = len(domain) in (4, 8) and len(bus) == 2 and len(device) == 4 and device[2] == "."
    return lengths and device[3] in "01234567" and all(c in "0123456789abcdefABCDEF" for c in domain + bus + device[:2])


def _is_port(text: str) -> bool:
    return text.isdigit() and text.isascii() and len(text) <= 5


def _is_ip(text: str) -> bool:
    if ":" in text:
        text = text.partition("%")[0]
        groups = text.split(":")
        return (
            len(groups) <= 8
            and ("::" in text or len(groups) == 8)
            and all(len(group) <= 4 and all(c in "0123456789abcdefABCDEF" for c in group) for group in groups)
        )
    parts = text.split(".")
    return len(parts) == 4 and all(part.isdigit() and part.isascii() and len(part) <= 3 for part in parts)


def is_image(text: str) -> bool:
    """Whether ``text`` is a container image of a registry, or of Docker's with a version.

    >>> [is_image(text) for text in ("registry.k8s.io/pause:3.9", "nvcr.io/nvidia/cuda@sha256:" + "0f" * 32, "ubuntu:22.04", "bob:hunter2")]
    [True, True, True, False]
    """
    name, at, digest = text.partition("@")
    if at and not (digest.startswith("sha256:") and len(digest) == 71 and all(c in "0123456789abcdef" for c in digest[7:])):
        return False
    host, slash, path = name.partition("/")
    path, colon, tag = (path if slash else name).partition(":")
    if tag and not (is_version(tag) or tag in ("latest", "stable") or (slash and is_wordy(tag))):
        return False
    if not all(is_wordy(part) and part == part.lower() for part in path.split("/")):
        return False
    if not slash:
        return bool(colon and tag)
    return _is_host(host, in_url=False) or (bool(colon) and is_wordy(host) and host == host.lower())
