"""Which modules are imported together, so that their bytecode is stored together.

Knows names of modules and the starts that import them; must not know how bytecode is stored. A group is decompressed and unmarshalled
as a whole when the first of its modules is imported: what its modules have in common is there once, which saves a quarter of the time and a
sixth of the bytes. A start that needs only some of a group pays for the rest, so what is not imported together is in no group. What every
start, a recipe and a check import is not compressed: decompressing takes half as long as unmarshalling, a sixteenth of the time of a check,
for 0.4 MB of each interpreter.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: Starts, and the modules below ``eidos`` that they import together.
UNCOMPRESSED_GROUPS = """
every start:
    eidos _build cli cli.commands cli.exit_status errors files files.atomic_write files.resources log

every verb:
    cli.arguments cli.cluster_options cli.document_locations cli.options cli.path_access cli.user_config collectors duration formats
    model model.measurement model.number_format model.record terminal wording workflow

recipes and what is compared with them:
    model.constraint model.expression model.pattern model.quantity model.query model.recipe model.tree_reader semver
    timestamp

YAML:
    formats.block_yaml formats.plain_scalars formats.source_text formats.yaml_scalars

charts:
    model.chart model.recipe_consistency recipe recipe.charts recipe.lazy_parts

a recipe:
    cli.recipe_query recipe.catalog recipe.layer recipe.provenance recipe.recipe_warnings recipe.resolver recipe.store

reports:
    formats.table model.check_report model.finding

a check:
    check check.definitions check.derived_readings check.evaluation check.judge check.node_readings check.profile check.recipe_findings
    check.report_formats check.report_groups check.rules check.rules.booted_huge_pages check.rules.bus_width check.rules.corrupted_inforom
    check.rules.cuda_of_driver
    check.rules.driver_library_mismatch check.rules.driver_parameters check.rules.end_of_life check.rules.full_file_systems
    check.rules.gpu_not_in_driver check.rules.gpu_product_label check.rules.kernel_driver_module check.rules.kernel_label
    check.rules.kubelet_skew check.rules.next_boot check.rules.nvlink_count check.rules.package_of_driver check.rules.rdma_ports
    check.rules.second_driver check.snapshot_checks check.value_comparison cli.check cli.check_table cli.judge_options
    model.condition_nodes recipe.detection recipe.machines
"""
COMPRESSED_GROUPS = """
a snapshot:
    cli.host_snapshot model.snapshot model.systemd_unit

documents that are made:
    cli.run_telemetry formats.yaml_writer

flags of a snapshot:
    cli.anonymous cli.snapshot

a snapshot of this host:
    collector_runner files.container_root files.host files.namespaces files.node_name process process.child process.process_tree

most collectors:
    collectors._sysfs redact redact.harmless_forms redact.harmless_names redact.random_words redact.secret_names redact.secrets_in_text
    redact.urls_in_text

kernel parameters:
    collectors.os_kmod collectors.os_sysctl

the other collectors of the kernel's files:
    collectors.os_cpu collectors.os_memory collectors.os_net collectors.os_pci files.ethtool

the first collectors of disks:
    collectors._boot_entries collectors._boot_loader_specification collectors._kernel_command_line collectors.gpu collectors.os_boot
    collectors.os_grub collectors.os_release collectors.systemd
    nvidia nvidia.driver_files nvidia.gpu_values nvidia.pci_bus redact.command_lines

the other collectors of disks:
    collectors._settings collectors.os_kernel collectors.os_kmsg collectors.os_kubelet collectors.os_limits collectors.os_machine
    collectors.os_modules collectors.os_packages collectors.os_rdma collectors.os_runtime collectors.os_storage files.go_binary
    formats.toml_reader

remedies:
    check.setting_remedies host_settings host_settings.boot_parameters host_settings.delivery host_settings.setting
    host_settings.system_files

bundles:
    bundle bundle.checksums bundle.statement bundle.tar_archive bundle.verification bundle.zip_archive

a bundle:
    bundle.bundle_options bundle.chart_values bundle.component_files bundle.engine bundle.folder_writer bundle.image_list
    bundle.install_plan bundle.registry_mirror bundle.template_sets bundle.template_variables cli.bundle model.values_schema
    templates templates.placeholder templates.text_template templates.tree_template

a difference:
    cli.diff reading_selection diff diff.documents diff.judgement diff.markdown diff.sentence diff.tree_comparison
    model.diff model.reading_gaps
"""

#: Packages whose other modules are imported together, if any of them is: each is a compressed group, too.
PACKAGES = (
    *("eidos.dbus", "eidos.fleet", "eidos.http_wire", "eidos.kube", "eidos.manifest", "eidos.nvidia", "eidos.oci", "eidos.server"),
    *("eidos.sign", "eidos.telemetry", "eidos.watch", "yaml"),
)


def all_groups(names: Iterable[str]) -> list[list[str]]:
    """The groups of modules, of those with these names."""
    left = dict.fromkeys(sorted(names))
    groups = []
    for group in module_groups(UNCOMPRESSED_GROUPS) + module_groups(COMPRESSED_GROUPS):
        groups.append([name for name in group if name in left])
        for name in groups[-1]:
            del left[name]
    groups += [[name for name in left if name == package or name.startswith(f"{package}.")] for package in PACKAGES]
    return [group for group in groups if len(group) > 1]


def module_groups(text: str) -> tuple[tuple[str, ...], ...]:
    """The full names of the modules of each group."""
    paragraphs = [paragraph.partition(":\n")[2].split() for paragraph in text.strip().split("\n\n")]
    return tuple(tuple("eidos" if name == "eidos" else f"eidos.{name}" for name in names) for names in paragraphs)
