"""The query that a snapshot's host matches.

Knows which readings determine os, kernel, cluster, cloud and GPU, and what to do when they disagree or are missing; must not know any
particular GPU, system or cloud: patterns are the catalog's. It never guesses silently: there is a warning for whatever is undetermined.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.number_format import format_scalar
from eidos.model.query import READING_PATHS, Query
from eidos.model.record import Record
from eidos.semver import parse_version, try_parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from eidos.model.snapshot import Snapshot
    from eidos.recipe.catalog import Catalog, CatalogEntry


class Detection(Record):
    """The query of a snapshot, and a sentence for each field that is missing, unknown or in doubt.

    ``unknown`` are the words of the snapshot, by field, that the catalog does not have: no layer is made for them.
    """

    query: Query
    warnings: tuple[str, ...] = ()
    unknown: dict[str, str] = {}


def detect(snapshot: Snapshot, catalog: Catalog, requested: Query | None = None) -> Detection:
    """The os, osv and kernel from OS, k8s and service from K8s, gpu from GPU; no reading shows an intent.

    There is no warning of a field that ``requested`` has.
    """
    facts = {
        f"{m.type}.{s.name}.{key}": format_scalar(value) for m in snapshot.measurements for s in m.subtypes for key, value in s.data.items()
    }
    field_warnings: dict[str, list[str]] = {field: [] for field in READING_PATHS}
    unknown: dict[str, str] = {}
    os_name = _system(facts, catalog, field_warnings["os"], unknown)
    osv = _version("osv", facts, field_warnings)
    kernel = _version("kernel", facts, field_warnings)
    _compare_image(os_name, osv, facts, catalog, field_warnings["os"])
    _compare_kernel(kernel, facts, field_warnings["kernel"])
    k8s = _version("k8s", facts, field_warnings)
    service = _service(facts, catalog, field_warnings["service"], unknown)
    gpu = _gpu(facts, catalog, field_warnings["gpu"], unknown)
    query = Query(os=os_name, osv=osv, kernel=kernel, service=service, k8s=k8s, gpu=gpu)
    overridden = (requested or Query()).fields()
    warnings = list(
        _missing(snapshot, {field for field in READING_PATHS if field not in {*query.fields(), *overridden} and not field_warnings[field]})
    )
    warnings += [sentence for field, sentences in field_warnings.items() if field not in overridden for sentence in sentences]
    return Detection(query, tuple(warnings), {field: word for field, word in unknown.items() if field not in overridden})


def _missing(snapshot: Snapshot, fields: set[str]) -> Iterator[str]:
    """A sentence for each measurement, or else each reading, without which a field stays unset."""
    present = {measurement.type for measurement in snapshot.measurements if any(s.data for s in measurement.subtypes)}
    for wire in ("OS", "K8s", "GPU"):
        lost = [field for field, path in READING_PATHS.items() if field in fields and path.startswith(f"{wire}.")]
        if lost and wire not in present:
            names = " and ".join(filter(None, (", ".join(lost[:-1]), lost[-1])))
            yield f"the snapshot has no {wire} readings: {names} {'stay' if len(lost) > 1 else 'stays'} unset"
        elif lost:
            for field in lost:
                yield f"the snapshot has no {READING_PATHS[field]}: {field} stays unset"


def match_model(model: str, catalog: Catalog) -> str | None:
    """The catalog's name of a GPU by the model that its driver reports.

    A pattern matches complete words, and the longest match wins: ``NVIDIA GH200 480GB`` is no H200, ``NVIDIA L40S`` no L40.
    """
    words = f" {' '.join(model.lower().replace('-', ' ').split())} "
    best: tuple[int, str] | None = None
    for entry in catalog.entries.get("gpu", ()):
        for pattern in entry.detect:
            phrase = f" {' '.join(pattern.lower().replace('-', ' ').split())} "
            if phrase in words and (best is None or len(phrase) > best[0]):
                best = (len(phrase), entry.name)
    return best[1] if best else None


def _system(facts: dict[str, str], catalog: Catalog, warnings: list[str], unknown: dict[str, str]) -> str:
    id, like = facts.get("OS.release.ID", ""), facts.get("OS.release.ID_LIKE", "")
    if not id:
        return ""
    name = _by_word(catalog.entries.get("os", ()), id.lower())
    if name is None:
        kin = next((relative for word in like.lower().split() if (relative := _by_word(catalog.entries.get("os", ()), word))), None)
        unknown["os"] = id
        akin = f" (ID_LIKE is {kin}; use --os {kin} to treat it as such)" if kin else ""
        warnings.append(f"OS.release.ID is {id!r}, which is not in the catalog{akin}: os stays unset")
    return name or ""


def _version(field: str, facts: dict[str, str], field_warnings: dict[str, list[str]]) -> str:
    text = facts.get(READING_PATHS[field], "")
    if not text:
        return ""
    try:
        return parse_version(text).text
    except InvalidInput as fault:
        field_warnings[field].append(f"{READING_PATHS[field]}: {fault.message}: {field} stays unset")
        return ""


def _compare_image(os_name: str, osv: str, facts: dict[str, str], catalog: Catalog, warnings: list[str]) -> None:
    image = facts.get("K8s.node.os-image", "")
    if not image or not os_name:
        return
    named = next((e.name for e in catalog.entries.get("os", ()) if image.lower().startswith((e.name, e.title.lower()))), "")
    number = next((word for word in image.split() if word[:1].isdigit()), "")
    image_version, version = try_parse_version(number), try_parse_version(osv)
    same_version = not image_version or not version or image_version.matches(version)
    if (named and named != os_name) or not same_version:
        pretty = facts.get("OS.release.PRETTY_NAME", f"{os_name} {osv}")
        warnings.append(f"os-release is {pretty!r} but the node's os-image is {image!r}: using os-release")


def _compare_kernel(kernel: str, facts: dict[str, str], warnings: list[str]) -> None:
    node = facts.get("K8s.node.kernel-version", "")
    if kernel and node and node != kernel:
        warnings.append(f"{READING_PATHS['kernel']} is {kernel!r} but the node's kernel-version is {node!r}: using the former")


def _service(facts: dict[str, str], catalog: Catalog, warnings: list[str], unknown: dict[str, str]) -> str:
    entries = catalog.entries.get("service", ())
    provider = facts.get("K8s.node.provider", "").lower() or facts.get("K8s.node.provider-id", "").partition(":")[0].lower()
    by_provider = _by_word(entries, provider) if provider else None
    extra = facts.get("K8s.server.version", "").lower()
    by_suffix = next((e.name for e in entries for suffix in e.suffixes if f"-{suffix}" in extra or f"+{suffix}" in extra), None)
    if provider and by_provider is None:
        if not by_suffix:
            unknown["service"] = provider
        warnings.append(f"K8s.node.provider is {provider!r}, which is not in the catalog{'' if by_suffix else ': service stays unset'}")
    if by_provider and by_suffix and by_provider != by_suffix:
        warnings.append(f"the node's provider means {by_provider} but the server's version means {by_suffix}: using the provider")
    return by_provider or by_suffix or ""


def _gpu(facts: dict[str, str], catalog: Catalog, warnings: list[str], unknown: dict[str, str]) -> str:
    model = facts.get("GPU.smi.gpu.model", "")
    if not model:
        return ""
    name = match_model(model, catalog)
    if name is None:
        unknown["gpu"] = model
        warnings.append(f"GPU.smi.gpu.model is {model!r}, which is not in the catalog: gpu stays unset")
    return name or ""


def _by_word(entries: tuple[CatalogEntry, ...], word: str) -> str | None:
    return next((entry.name for entry in entries if word == entry.name or word in entry.aliases or word in entry.detect), None)
