"""Every function of the program that takes a text apart, as one that takes any text and fails only as it documents.

Knows names and signatures; must not know what is measured. A parser of bytes gets the text as UTF-8. ``NOT_LISTED`` in ``test_growth``
names functions that look like parsers and are none.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any, Callable, NamedTuple

from eidos import duration, formats, log, semver, timestamp, wording, workflow
from eidos.bundle import bundle_options, chart_values, checksums, registry_mirror, tar_archive, template_sets, zip_archive
from eidos.cli import arguments, judge_options, manifest_flags, options, run_telemetry, serve, watch
from eidos.cli import fleet as fleet_verb
from eidos.cli import help as cli_help
from eidos.cli import recipe as recipe_verb
from eidos.cli import snapshot as snapshot_verb
from eidos.collectors import (
    Sources,
    _boot_entries,
    _boot_loader_specification,
    _fabric_files,
    _kernel_command_line,
    _rpm_database,
    _settings,
    _systemd_boot,
    k8s_image,
    k8s_node,
    os_boot,
    os_cpu,
    os_grub,
    os_kernel,
    os_kmod,
    os_kmsg,
    os_limits,
    os_memory,
    os_modules,
    os_net,
    os_packages,
    os_rdma,
    os_release,
    os_storage,
    os_sysctl,
)
from eidos.dbus import marshalling, message, sasl, signature, unmarshalling
from eidos.diff.tree_comparison import Part, TreeComparison
from eidos.errors import EidosError, NotApplicable
from eidos.files import go_binary, host
from eidos.fleet import bootstrap, hostlist, pseudonyms, results
from eidos.formats import block_yaml, json_reader, plain_scalars, table, toml_reader, yaml_reader, yaml_writer
from eidos.formats.source_text import DocumentSyntaxError
from eidos.http_wire import presigned_upload, proxy, request_head, request_parser, retry, url
from eidos.kube import cluster_config, labels, stored_object
from eidos.manifest import kubernetes_fields
from eidos.model import bundle, condition, constraint, pattern, plugin, quantity, snapshot, systemd_unit, values_schema
from eidos.model.reading_gaps import ReadingGaps
from eidos.nvidia import driver_files, gpu_values, nvidia_smi, nvidia_smi_readings
from eidos.oci import auth_file, image_manifest, reference, registry_auth, registry_store
from eidos.recipe.lint import reading_paths
from eidos.redact import (
    command_lines,
    harmless_forms,
    harmless_names,
    random_words,
    secret_names,
    secrets_in_text,
    unit_properties,
    urls_in_text,
    xml_elements,
)
from eidos.server import negotiation, parameters, rate_limiter, representation
from eidos.server.transport import peer
from eidos.sign import file_verification, openssl_signature
from eidos.telemetry import trace_context
from eidos.templates import placeholder, template_syntax, text_template

#: Modules whose ``parse_…`` functions take the value of one flag.
FLAG_MODULES = (fleet_verb, judge_options, manifest_flags, options, recipe_verb, run_telemetry, serve, watch)


class Parser(NamedTuple):
    """``run(text)`` returns anything, or raises what is no documented error; ``atoms`` are words that mean something to it."""

    run: Callable[[str], object]
    atoms: tuple[str, ...] = ()


def _documented(parse: Callable[[str], object]) -> Callable[[str], object]:
    def run(text: str) -> object:
        try:
            return parse(text)
        except (EidosError, NotApplicable, DocumentSyntaxError) as fault:
            return str(fault)

    return run


def _of_text(parse: Callable[[str], object], *atoms: str) -> Parser:
    return Parser(_documented(parse), atoms)


def _of_bytes(parse: Callable[[bytes], object], *atoms: str) -> Parser:
    return Parser(_documented(lambda text: parse(text.encode())), atoms)


def _of_words(parse: Callable[[list[str]], object], *atoms: str) -> Parser:
    return Parser(_documented(lambda text: parse(text.split(" "))), (" ", *atoms))


class _Tree(host.Host):
    """A host with one file, in memory."""

    def __init__(self, data: bytes) -> None:
        super().__init__("/nonexistent")
        self._data = data

    def read_bytes(self, path: str, limit: int = 0) -> bytes:
        return self._data


def _boot_line(data: bytes) -> object:
    return list(os_grub.collect(Sources(host=_Tree(data))))


def _cpu_list(text: str) -> object:
    try:
        return os_cpu.format_cpu_list(os_cpu.parse_cpu_list(text))
    except ValueError:
        return None


def _grub(text: str) -> object:
    words, rest = _kernel_command_line.parse_command_line(text)
    return _kernel_command_line.parameter_readings(words, rest)


def _smi(data: bytes) -> object:
    document = nvidia_smi.parse_log(b'<nvidia_smi_log><gpu id="0">' + data + b"</gpu></nvidia_smi_log>")
    return [nvidia_smi_readings.configuration(gpu) for gpu in document.gpus]


def _smi_text(data: bytes) -> object:
    document = nvidia_smi.parse_text(b"NVSMI LOG\nAttached GPUs : 1\n" + data)
    return [nvidia_smi_readings.configuration(gpu) for gpu in document.gpus]


def _smi_value(text: str) -> object:
    paths = {path for _, _, paths in nvidia_smi_readings.CONFIGURATION for path in paths}
    return nvidia_smi_readings.configuration(dict.fromkeys(paths, text))


def _kubeconfig(data: bytes) -> object:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config"
        path.write_bytes(b"apiVersion: v1\nkind: Config\nx: " + data)
        return cluster_config.load_cluster({"KUBECONFIG": str(path), "HOME": folder})


def _logins(data: bytes) -> object:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "auth.json"
        path.write_bytes(b'{"auths": {"a": {' + data + b"}}}")
        return auth_file.find_credential("a", "b", {"REGISTRY_AUTH_FILE": str(path)}, 0.0)


def _requests(pieces: int) -> Callable[[bytes], object]:
    def parse(data: bytes) -> object:
        parser = request_parser.RequestParser(request_head.HeadCache(), 1 << 20)
        size = max(1, len(data) // pieces)
        requests = []
        for start in range(0, len(data), size):
            parser.receive(data[start : start + size])
            while (request := parser.next_request()) is not None:
                requests.append(request)
        return requests

    return parse


def _chunks(data: bytes) -> object:
    body = request_parser.ChunkedBody(1 << 20)
    return [body.feed(data[start : start + 1000]) for start in range(0, len(data), 1000)]


def _messages(data: bytes) -> object:
    parser = message.MessageParser()
    header = message.encode_message(message.Message(message.SIGNAL, 1, 0, path="/a", interface="a.b", member="c"))
    parser.feed(header * (len(data) // len(header)) + data[:20])
    messages = []
    while (one := parser.next_message()) is not None:
        messages.append(one)
    return messages


def _greeting(data: bytes) -> object:
    handshake = sasl.Handshake(0)
    for start in range(0, len(data), 100):
        handshake.feed(data[start : start + 100])
    return handshake.data_to_send()


def _dbus_values(kind: str, value: Callable[[str], Any]) -> Parser:
    def run(text: str) -> object:
        text = text.replace("\0", "")
        return unmarshalling.unmarshal(kind, marshalling.marshal(kind, [value(text)]))

    return Parser(_documented(run))


def _version(text: str) -> object:
    semver._CACHE.clear()
    return semver.parse_version(text)


def _unit_property(name: str, wrap: Callable[[str], Any]) -> Parser:
    def run(text: str) -> object:
        unit_properties._cache.clear()
        harmless_forms._harmless.clear()
        random_words._wordy.clear()
        return unit_properties.redact_unit_property(name, wrap(text), _NAMES)

    return Parser(_documented(run))


def _placeholder(text: str) -> object:
    return placeholder.parse_text(text)


def _flag_values(text: str) -> object:
    parsed: list[object] = []
    for module in FLAG_MODULES:
        for name, parse in sorted(vars(module).items()):
            if (
                name.startswith("parse_")
                and name not in ("parse_choice", "parse_integer", "parse_selector")
                and parse.__module__ == module.__name__
            ):
                try:
                    parsed.append(parse(text))
                except EidosError as fault:
                    parsed.append(str(fault))
    return parsed


#: A short list of harmless names.
_NAMES = harmless_names.NameList("console x.* [words] curl run")


def _compared_list(text: str) -> None:
    """Two lists whose items are the words of a text, which may all have one key."""
    comparison = TreeComparison(lambda *_: ("changed", ""))
    comparison.compare(Part(is_set=True), text.split(), text.split()[1:])


def _gaps_of_readings(text: str) -> None:
    """Each word of a text is a gap, and a reading that is looked up."""
    words = text.split()
    gaps = ReadingGaps({f"os.sysctl: {word}": "" for word in words})
    for word in words:
        gaps.gap(("OS", "sysctl", f"{word}/x"))


PARSERS: dict[str, Parser] = {
    # What a host says
    "boot parameters": _of_text(_grub, "a=b", " ", '"', "="),
    "boot line, collected": _of_bytes(_boot_line, "a=b", " ", '"', "=", "/", "//", "--", "password=", "cc: "),
    "kernel modules": _of_text(os_kmod.parse_modules, "nvidia 1 2 - Live 0x0\n", " "),
    "shell assignments": _of_text(os_boot.parse_shell_assignments, "GRUB_A=", "A", '"', "'", "$A", "${A}", "\\", "$(", "`", "\n"),
    "boot entry": _of_text(
        lambda text: _boot_loader_specification.parse_boot_entry("a+1.conf", text), "options a\n", "linux /a\n", "version ", "#", " "
    ),
    "name of a boot entry": _of_text(_boot_loader_specification.split_counter, "a", "+", "-", "3", ".conf"),
    "version in a boot entry": _of_text(_systemd_boot.version_key, "6.8", "~rc1", "-", "^", ".", "a", "0", "²"),
    "GRUB's environment": _of_text(_boot_entries.parse_environment, "saved_entry=", "#", "\n"),
    "name of a sysctl": _of_text(os_boot.sysctl_key, "net.", "/", "-", "."),
    "list of processors": _of_text(_cpu_list, "0-3", ",", "-", "7"),
    "/proc/cpuinfo": _of_text(os_cpu.parse_cpuinfo, "processor\t: ", "0", "\n", "microcode\t: 0x1\n", "CPU part\t: 0xd4f\n"),
    "kernel configuration": _of_bytes(os_kernel.parse_config, "CONFIG_NUMA=y\n", "# CONFIG_HZ is not set\n", "CONFIG_"),
    "settings of a fabric": _of_text(_fabric_files.parse_assignments, "A=1\n", "=", " ", "#", "a.b=\n"),
    "kernel message": _of_text(os_kmsg.parse_record, "4,1,93018130,-;", "x\n", " ", ","),
    "Xid": _of_text(os_kmsg.parse_xid, "NVRM: Xid (PCI:", "0000:3b:00", "): ", "79,"),
    "SXid": _of_text(os_kmsg.parse_sxid, "SXid (PCI:", "0000:05:00.0", "): ", "12028, ", "Fatal, "),
    "events of a message": _of_text(os_kmsg.event_keys, "AER: Corrected error", ": Link down", " blocked for more than "),
    "limits of sessions": _of_text(os_limits.parse_limits, "* soft memlock unlimited\n", "-", "#", " "),
    "/proc/meminfo": _of_text(os_memory.parse_meminfo, "MemTotal: ", "1 kB\n", ":"),
    "os-release": _of_text(os_release.parse_os_release, "A=b\n", "A='b'\n", '"', "\\"),
    "os-release value": _of_text(os_release.unquote, "\\", '"', "'", "a"),
    "sysctl": _of_text(lambda text: os_sysctl.parse_sysctl("/proc/sys/a", text), "a b\n", "\t", "\n"),
    "port state": _of_text(os_rdma.parse_state, "4: ACTIVE", ":", "1"),
    "port rate": _of_text(os_rdma.parse_rate, "400", " Gb/sec (4X NDR)", "e", "."),
    "OFED version": _of_text(os_rdma.parse_ofed_version, "MLNX_OFED_LINUX-23.10", "echo ", '"', "\n"),
    "uevent": _of_text(os_net.parse_uevent, "A=b\n", "="),
    "VLANs": _of_text(os_net.parse_vlans, "bond0.1 | 1 | bond0\n", "|", "1"),
    "IPv6 addresses": _of_text(os_net.count_ipv6_addresses, "fe80 02 40 20 80 eth0\n", " "),
    "mounts": _of_text(os_storage.parse_mountinfo, "36 35 98:0 / /a rw - ext3 /dev/x rw\n", " ", "-", "\\040"),
    "options of a mount": _of_text(os_storage.shown_options, "rw,", "password=x,", "="),
    "module dependencies": _of_bytes(lambda data: os_modules.parse_dependencies(data, {"nvidia"}), "a/nvidia.ko.zst: b\n", "/", ":"),
    "driver parameters": _of_text(os_modules.parse_driver_parameters, "A: 1\n", ":", '"'),
    "dpkg status": _of_bytes(os_packages.parse_dpkg_status, "Package: kubelet\n", "Status: hold ok installed\n", "Version: 1\n", "\n"),
    "rpm holds": _of_text(os_packages.parse_rpm_holds, "kubelet-0:1.3.*\n", "#", "!", ":", "-"),
    "rpm header": _of_bytes(_rpm_database.parse_header, "\0\0\0\1", "\0\0\3\xe8", "\0"),
    "build information of Go": _of_bytes(go_binary.parse_build_information, "\0", "a"),
    "version of a Go program": _of_text(go_binary.program_version, "mod\ta\tv1\n", "build\t-ldflags=", "-X a.Version=v1 ", '"'),
    "text without identities": _of_text(
        pseudonyms.shipped_pseudonyms(b"0123456789abcdef").clean,
        "a:",
        "::",
        "1.",
        "-",
        "00:",
        "0000:",
        "ip-1-",
        "/by-id/",
        "i-",
        "UUID=",
        "0x",
    ),
    "TOML": _of_text(toml_reader.parse_toml, "a = 1\n", "[a]\n", "[[a]]\n", "{", "[", ",", '"', "'''", ".", "a.", "#", "x = [\n"),
    "command of the kernel": _of_text(_settings.redact_kernel_command, "|", "-t ", "x=", "%p ", "/a"),
    "settings": _of_text(lambda text: list(_settings.find_settings({text: {text: text}}, ("*", "**")))),
    "text of a file": _of_bytes(host.decode_text),
    "module version": _of_text(driver_files.parse_module_version, "1.2", " "),
    "library version": _of_text(driver_files.library_version, ".so.", "."),
    "bus id": _of_text(gpu_values.normalize_bus_id, "0", ":", "."),
    "nvidia-smi": _of_bytes(
        _smi, "<a>", "</a>", "<supported_clocks>", "</supported_clocks>", "<processes>", "<gpu>", "</gpu>", "<gpu ", "\n"
    ),
    "nvidia-smi around the document": _of_bytes(
        nvidia_smi.parse_log, "<nvidia_smi_log>", "</nvidia_smi_log>", "<gpu>", "</gpu>", "\n", "<!ENTITY"
    ),
    "nvidia-smi text": _of_bytes(_smi_text, "GPU 00000000:07:00.0\n", "    ECC Mode\n", "        Current : Enabled\n", " : ", "\n", "    "),
    "nvidia-smi value": _of_text(_smi_value, "0", ".", "-", " ", "[", "A"),
    "systemd unit name": _of_text(systemd_unit.unit_name, ".service", "@", "."),
    # Redaction
    "redaction of a text": _of_text(
        secrets_in_text.redact_text, "/", "//", "=", "a=", ":", "@", "://", "token", "--token ", '"', "\\", "Bearer "
    ),
    "redaction of what a program printed": _of_bytes(
        lambda data: secrets_in_text.redact_output(data, "n1"), "n1", "token ", "-p ", ":", "is "
    ),
    "redaction of XML": _of_text(xml_elements.redact_elements, "<token>", "</token>", "<![CDATA[", "]]>", "<!--", "<", "</"),
    "redaction of URLs": _of_text(urls_in_text.redact_urls, "://", "@", ":", "/", "?", "#", " "),
    "digests behind a snapshot": _of_bytes(snapshot.split_digests, "eidos-digests ", "\n", "\t", " ", "a"),
    "redaction of a URL": _of_text(urls_in_text.redact_url, "://", "@", ":", "/", "?", "#"),
    "value of an unlisted name": _of_text(
        lambda text: harmless_names.show_value("x", text, _NAMES), "/", "=", "$", "%", ",", "a=1,", ".", "-"
    ),
    "value of a listed name": _of_text(
        lambda text: harmless_names.show_value("console", text, _NAMES), "/", "=", "://", ",", "pw=", ":", "@"
    ),
    "list of names": _of_text(harmless_names.NameList, "a ", "* ", "[names] ", "# ", "\n"),
    "redaction of words": _of_words(
        lambda words: command_lines.redact_command_line(words, _NAMES), "--token", "-p", "a=b", "/", "curl", "{", "Bearer", "--a="
    ),
    "redaction of a script": _of_text(
        lambda text: command_lines.redact_script(text, _NAMES), "'", '"', "$(", "${", "}", ")", "a ", "-p ", "a=", "\\", ";", "<withheld>"
    ),
    "redaction of a tree": _of_text(
        lambda text: command_lines.redact_tree({"a": [text, {"name": text, "value": text}]}, _NAMES), "[", "{", '"'
    ),
    "harmless form": _of_text(harmless_forms.is_harmless, "/", ".", "-", ":", "1", "a", ",", "://", "@", "$", "%"),
    "random part": _of_text(random_words.has_random_part, "a", "1", "A", "-", "/"),
    "credential word": _of_text(secret_names.has_credential_word, "token", "A", "a", "_", "-"),
    "form of a token": _of_text(secret_names.looks_like_token, "eyJ", ".", "a"),
    "unit property, text": _unit_property("Description", str),
    "unit property, assignments": _unit_property("Environment", lambda text: text.split(" ")),
    # Documents
    "document": _of_bytes(lambda data: formats.from_text(data, "x"), "a: b\n", "- a\n", "  ", "{", "[", "]", "}", ",", '"', "'", "#"),
    "JSON": _of_text(lambda text: json_reader.parse_json(text, 100, 10_000), "[", "]", "{", "}", ",", ":", '"a"', "1", "\\"),
    "block YAML": _of_text(block_yaml.parse_block_yaml, "a: b\n", "- ", "  ", "? ", "|\n", ">\n", '"', "'", "#", ": "),
    "YAML": _of_text(lambda text: yaml_reader.parse_yaml(text, 100, 100_000), "a: b\n", "- ", "&a ", "*a", "!!str ", "{", "[", "? ", "|\n"),
    "date of a header": _of_text(retry.parse_http_date, "Wed, ", "21 Oct 2015 ", "07:28:00", " GMT", "+", "-", ":"),
    "plain scalar": _of_text(plain_scalars.resolve_scalar, "0", "1", "_", ".", "e", "-", ":"),
    "YAML string": _of_text(yaml_writer.quote_string),
    "snapshot": _of_bytes(lambda data: workflow.parse_snapshot(data, "x"), "kind: Snapshot\n", "a: b\n"),
    "recipe": _of_bytes(lambda data: workflow.parse_recipe(data, "x"), "kind: Recipe\n", "a: b\n"),
    "snapshot of a node": _of_bytes(results.parse_snapshot, "kind: Snapshot\n"),
    "table": _of_text(lambda text: table.wrap(text, 40), " ", "/", ","),
    "table with all lines": _of_text(lambda text: table.wrap(text, 40, 1 << 30), " ", "/", ",", "é"),
    "table of keys": _of_text(lambda text: list(table.key_value_rows([(text, text)], 80)), " "),
    "help": _of_text(lambda text: cli_help.wrap_words(text, 80), " ", "a "),
    "line of a log": _of_text(log.printable, "\x1b", "é"),
    # Words
    "version": _of_text(_version, "1", ".", "-", "+", "v"),
    "expression": _of_text(
        constraint.parse_expression, ">= 1.2", ", ", "in (", ")", "!= 1.3", "a", " ", "not ", " or ", "matches /", "/", "(", '"'
    ),
    "condition": _of_text(
        condition.parse_condition, "OS.a.b ", "all(", "GPU.gpu-*.x", ")", " and ", "not ", "(", "matches /a", "/", '"', ">= 1 "
    ),
    "pattern": _of_text(pattern.parse_pattern, "a", "(", ")", "|", "*", "+", "[a-z]", "\\d", "[", "^"),
    "quantity": _of_text(quantity.parse_quantity, "1", ".", " ", "GiB", "s"),
    "count": _of_text(quantity.parse_count, "1", "²", ".", "-"),
    "list with keys, compared": _of_text(_compared_list, "a ", "b ", "a#2 "),
    "gaps and readings": _of_text(_gaps_of_readings, "/a ", "/", " ", "/a/b "),
    "timestamp": _of_text(timestamp.parse_timestamp, "2026-11-29T06:00:00", ".1", "Z", "+01:00"),
    "duration": _of_text(duration.parse_duration, "1h", "1", ".", "s", "m"),
    "host list": _of_text(lambda text: hostlist.parse_hostlist(text, "x"), "a,", "a[1-2],", "[", "]", ",", "1-9", "a\n", "#"),
    "host and port": _of_text(hostlist.split_port, "a", ":", "1", "[", "]"),
    "folded host list": _of_text(lambda text: hostlist.fold_hostlist(text.split(",")), "a1,", "a2,", "1", ".", ","),
    "names of files": _of_text(lambda text: hostlist.assign_file_names(text.split(","), ()), "a,", "A,", "/"),
    "natural order": _of_text(snapshot.natural_key, "1", "a"),
    "image reference": _of_text(k8s_image.parse_image_reference, "a/", ":", "@", "sha256:"),
    "image repository": _of_text(k8s_image.qualify_repository, "a/", "."),
    "mirrored image": _of_text(lambda text: registry_mirror.mirror_image(text, "mirror.example.com/x"), "a/", ":", "@"),
    "registry": _of_text(registry_mirror.parse_registry, "a/", ":", "."),
    "image of a manifest": _of_text(kubernetes_fields.check_image, "a/", ":", "@", "."),
    "provider": _of_text(lambda text: k8s_node.detect_provider(text, {}), "aws://", "/"),
    "memory": _of_text(kubernetes_fields.parse_memory, "1", "Mi"),
    "host path": _of_text(kubernetes_fields.check_host_path, "/", "a"),
    "schedule": _of_text(kubernetes_fields.check_schedule, "* ", "1-2,", "*/1", ","),
    "ingress host": _of_text(kubernetes_fields.check_ingress_host, "a.", "-"),
    "name of an object": _of_text(lambda text: kubernetes_fields.fit_name(text, 63), "a", "-"),
    "label": _of_text(lambda text: labels.parse_selector([text]), "a=b", ",", ".", "/"),
    "toleration": _of_text(labels.parse_toleration, "a=b", ":", "/"),
    "DNS subdomain": _of_text(lambda text: labels.check_dns_subdomain(text, "x"), "a.", "a", "-"),
    "document in a cluster": _of_text(lambda text: stored_object.parse_reference("cm://" + text), "a", "-", ".", "/"),
    "path of a reading": _of_text(reading_paths.split_path, "SystemD.", "OS.", ".", "/"),
    "slip of a name": _of_text(lambda text: reading_paths.misspelt(text, ["version", text[1:]]), "version", "0", "a"),
    "nearest word": _of_text(lambda text: wording.nearest(text, ["snapshot", "recipe"]), "snap"),
    # Bundles
    "checksums": _of_bytes(lambda data: checksums.parse_checksums(data, "x"), "0" * 64 + "  a/b\n", "0", "\n", "/"),
    "reference to a registry": _of_text(reference.parse_reference, "oci://", "a", "/", ":", "@", "sha256:", "0" * 64, "__", "-", "["),
    "reference to a plug-in": _of_text(plugin.split_reference, "acme", "@", "sha256:", "0" * 16, "g", "-"),
    "challenge of a registry": _of_text(registry_auth.parse_challenges, "Bearer ", 'realm="', '"', "a=b", ",", "\\", "=", " "),
    "manifest of an artifact": _of_bytes(
        lambda data: image_manifest.parse_manifest(b'{"schemaVersion": 2,' + data, "x"), '"layers": [', "]", "{", "}", '"config": {}', ","
    ),
    "manifest of an image": _of_bytes(
        lambda data: image_manifest.parse_image(b'{"schemaVersion": 2,' + data, "x"), '"layers": [', '"manifests": [', "]", "{", "}", ","
    ),
    "logins of registries": _of_bytes(_logins, '"auth": ', '"YTpi"', ",", '"identitytoken": "x"', "}", "{", "null"),
    "index of artifacts": _of_bytes(
        lambda data: image_manifest.parse_index(b'{"schemaVersion": 2,' + data, "x"), '"manifests": [', "]", "{", "}", '"digest": "a"', ","
    ),
    "URL of a server": _of_text(
        lambda text: proxy.parse_base_url(text, "x", ("http", "https")), "http://", "a", ":", "@", "/", "[", "]", "1"
    ),
    "link of a registry": _of_text(registry_store._next_link, "</v2/", ">", ";", 'rel="next"', ","),
    "path of a signature": _of_text(bundle.parse_signature_path, "attestations/", "ssh-", "gpg-", "0" * 16, "-", ".sig", ".asc"),
    "bundle of Sigstore": _of_bytes(
        lambda data: openssl_signature.parse_sigstore_bundle(b"{" + data, "x"),
        '"mediaType": ',
        '"messageSignature": ',
        "{",
        "}",
        ",",
        '"a"',
    ),
    "list of checksums": _of_bytes(
        lambda data: file_verification.parse_checksum_list(data, "x"), "0" * 64, "  a", "\n", "\\", "SHA256 (", ") = ", "SHA2-256(", ")= "
    ),
    "path in a bundle": _of_text(bundle.is_inside, "a/", "../"),
    "path in an archive": _of_text(tar_archive.relative_path, "a/", "../", "./"),
    "archive": _of_bytes(lambda data: list(tar_archive.read_members(io.BytesIO(data), "x"))),
    "zip archive": _of_bytes(lambda data: list(zip_archive.read_zip_members(io.BytesIO(data), "x"))),
    "assignment": _of_text(bundle_options.parse_assignment, "a:", "b=", ".", "[0]"),
    "path of a value": _of_text(values_schema.parse_path, "a.", "[0]", "\\.", "[", "]"),
    "value": _of_text(lambda text: chart_values.parse_value(text, "any"), "{", "[", ",", "1"),
    "documents of a template": _of_text(lambda text: template_sets.split_documents(text, "x"), "---\n", "a: b\n"),
    "placeholder": _of_text(_placeholder, "a", " | ", "1", " or ", " "),
    "line of a template": _of_text(placeholder.split_line, "@{a}", "@{", "}", "`", "a"),
    "template": _of_text(template_syntax.split_text, "@{a}", "@@{", "`", "```\n", "\n", "@{"),
    "template in parts": _of_text(text_template.parse_template, "@{a}", "@@{", "`", "```\n", "\n", "@{"),
    "shell word": _of_text(text_template.shell_word),
    "text in Markdown": _of_text(text_template.escape_markdown, "|", "`"),
    # What a network says
    "kubeconfig": _of_bytes(_kubeconfig, "a: b\n", "clusters:\n", "- name: x\n"),
    "URL": _of_text(url.parse_url, "http://", "a:", "@", "/", "["),
    "presigned URL": _of_text(
        lambda text: presigned_upload.parse_presigned_url(text, "x", allows_http=True),
        "https://a/",
        "?",
        "&",
        "x-amz-signedheaders=",
        ";",
        "%41",
    ),
    "HTTP head": _of_bytes(lambda data: request_head.parse_head(b"GET / HTTP/1.1\r\n" + data + b"\r\n\r\n"), "a: b\r\n", ":", "%", " "),
    "HTTP requests": _of_bytes(_requests(1), "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n", "a: b\r\n"),
    "HTTP requests in pieces": _of_bytes(_requests(64), "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n", "a: b\r\n", "a"),
    "HTTP chunks": _of_bytes(_chunks, "1\r\na\r\n", "0\r\n", "\r\n", "1;a\r\n"),
    "query": _of_text(lambda text: parameters.parse_parameters(text, ()), "a=b", "&", "%", "%41", "+"),
    "Accept": _of_text(negotiation.media_ranges, "a/b", ",", ";q=1", " "),
    "Accept-Encoding": _of_text(negotiation.accepts_gzip, "gzip", ",", ";q=0"),
    "If-None-Match": _of_text(lambda text: representation.is_fresh(text, '"a"'), '"b"', ",", "W/"),
    "X-Forwarded-For": _of_text(lambda text: peer.client_address("192.0.2.1", text, 2), "192.0.2.1", ",", "["),
    "limited address": _of_text(rate_limiter.counted_address, "::", "1."),
    "traceparent": _of_text(trace_context.parse_traceparent, "00-", "0"),
    "tracestate": _of_text(trace_context.parse_tracestate, "a=b", ","),
    "baggage": _of_text(trace_context.parse_baggage, "a=b", ",", ";", "%41"),
    "D-Bus messages": _of_bytes(_messages),
    "D-Bus greeting": _of_bytes(_greeting, "DATA\r\n", "REJECTED EXTERNAL\r\n", "\r\n"),
    "D-Bus signature": _of_text(signature.split_signature, "a", "(", ")", "{sv}", "i"),
    "D-Bus object path": _of_text(signature.is_valid_object_path, "/a", "/"),
    "D-Bus text": _dbus_values("s", str),
    "D-Bus list": _dbus_values("as", lambda text: text.split(" ")),
    "D-Bus numbers": _dbus_values("at", lambda text: [ord(c) for c in text]),
    "D-Bus dictionary": _dbus_values("a{ss}", lambda text: {word: word for word in text.split(" ")}),
    "D-Bus structs": _dbus_values("a(sb)", lambda text: [(word, True) for word in text.split(" ")]),
    "output of a remote program": _of_bytes(
        lambda data: bootstrap.extract_output(data, "--m"), "--m begin\n", "--m end", "\n", "--m python 2"
    ),
    "status of a remote program": _of_bytes(lambda data: bootstrap.exit_status(data, "--m"), "--m end ", "1"),
    "errors of a remote program": _of_text(bootstrap.error_line, "error: ", "hint: ", "\n", "\r"),
    # What a user writes
    "values of flags": _of_text(_flag_values, "1", "=", ":", "[", "/", "a"),
    "number of a flag": _of_text(lambda text: options.parse_integer(text, "x", 0, 9), "1", "_", "-"),
    "command line": _of_words(lambda words: arguments.parse_arguments(words, snapshot_verb.VERB.options), "--only", "-o", "--", "a"),
    "command line up to the verb": _of_words(lambda words: arguments.split_verb(words, snapshot_verb.VERB.options, ()), "--only", "-o"),
}
