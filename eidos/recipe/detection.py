"""The query that a snapshot's host matches.

Knows which readings determine os, kernel, GPU, machine and the service that runs the cluster, and what to do when they disagree or are
missing; must not know any particular GPU, system, service or cloud: patterns are the catalog's. It never guesses silently: there is a
warning for whatever is undetermined.

A cloud's machines are no evidence of that cloud's service: kops, kubeadm, k3s and RKE2 run there as well. The version that the API server
was built with is the best evidence, then what only the service sets on its nodes, then the provider that the snapshot names. Evidence
that contradicts itself, and none, are never passed over in silence.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.model.quantity import parse_count
from eidos.model.query import OPENSHIFT_VERSION, READING_PATHS, Query
from eidos.model.record import Record
from eidos.recipe.catalog import built_by
from eidos.recipe.machines import match_machine
from eidos.semver import parse_version, try_parse_version
from eidos.wording import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from eidos.model.snapshot import Snapshot
    from eidos.recipe.catalog import Catalog, CatalogEntry

#: The subtype of the first GPU, and the kernel module that drives the integrated GPU of a Jetson.
FIRST_GPU, INTEGRATED_GPU = "GPU.gpu-0", "OS.kmod.nvgpu"

#: The label with a node's type (Kubernetes, "Well-Known Labels, Annotations and Taints"), as it is and as it was before 1.17, and the one
#: in which GPU Feature Discovery writes the product name of the firmware.
_LABEL = "K8s.node.label."
INSTANCE_TYPES = (f"{_LABEL}node.kubernetes.io/instance-type", f"{_LABEL}beta.kubernetes.io/instance-type")
PRODUCT_NAMES = (f"{_LABEL}nvidia.com/gpu.machine", "OS.machine.product-name")

PROVIDER, PROVIDER_ID, VERSION, IMAGE = "K8s.node.provider", "K8s.node.provider-id", "K8s.server.version", "K8s.node.os-image"

#: Where a snapshot has labels: of its node, and of all nodes of the cluster.
_LABELS = ("K8s.node.label.", "K8s.topology.label.")


class Detection(Record):
    """The query of a snapshot, and a sentence for each field that is missing, unknown or in doubt.

    ``unknown`` are the words of the snapshot, by field, that the catalog does not have: no layer is made for them.
    """

    query: Query
    warnings: tuple[str, ...] = ()
    unknown: dict[str, str] = {}


def detect(snapshot: Snapshot, catalog: Catalog, requested: Query | None = None) -> Detection:
    """The os, osv and kernel from OS, k8s and service from K8s, gpu from GPU, machine from labels; no reading shows an intent.

    There is no warning of a field that ``requested`` has. Of a node without GPU readings the machine gives the gpu; it is no evidence of
    the service.
    """
    facts = snapshot.readings()
    field_warnings: dict[str, list[str]] = {field: [] for field in (*READING_PATHS, "machine")}
    unknown: dict[str, str] = {}
    os_name = _system(facts, catalog, field_warnings["os"], unknown)
    osv = _version("osv", facts, field_warnings, OPENSHIFT_VERSION)
    kernel = _version("kernel", facts, field_warnings)
    _compare_image(os_name, osv, facts, catalog, field_warnings["os"])
    _compare_kernel(kernel, facts, field_warnings["kernel"])
    k8s = _version("k8s", facts, field_warnings)
    service = detect_service(facts, catalog.entries.get("service", ()), field_warnings["service"], unknown)
    gpu = _gpu(facts, catalog, field_warnings["gpu"], unknown)
    overridden = (requested or Query()).fields()
    fields = {
        **Query(service=service, gpu=gpu).fields(),
        **{field: word for field, word in unknown.items() if field == "gpu"},
        **overridden,
    }
    machine = "" if "machine" in overridden else _machine(facts, fields, catalog, field_warnings["machine"])
    entry = catalog.machine(machine)
    if entry and "gpu" not in fields:
        gpu = entry.gpu
        field_warnings["gpu"] = [f"the snapshot has no GPU model: gpu is {gpu}, that of the machine {machine}"]
    query = Query(os=os_name, osv=osv, kernel=kernel, service=service, k8s=k8s, gpu=gpu, machine=machine)
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


def is_virtual_gpu(model: str) -> bool:
    """Whether a model is the type of a virtual GPU: what it is a part of, its memory in GB, and the letter of its series.

    Source: NVIDIA Virtual GPU Software User Guide, "Virtual GPU Types"; a MIG-backed one also has the number of its slices.

    >>> [is_virtual_gpu(model) for model in ("NVIDIA L40S-48C", "GRID A100D-1-10C", "NVIDIA A100-SXM4-80GB", "NVIDIA H20-3e")]
    [True, True, False, False]
    """
    *board, kind = model.rpartition(" ")[2].split("-")
    kind = kind[:-2] if kind.endswith("ME") else kind[:-1] if kind.endswith("B4") else kind
    return bool(board and board[0]) and kind[-1:] in ("A", "B", "C", "Q") and kind[:-1].isdecimal()


def match_model(model: str, catalog: Catalog) -> str | None:
    """The catalog's name of a GPU by the model that its driver reports.

    A pattern matches complete words, and the longest match wins: ``NVIDIA GH200 480GB`` is no H200, ``NVIDIA L40S`` no L40, and
    a virtual GPU is none of them.
    """
    if is_virtual_gpu(model):
        return None
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
    entries = catalog.entries.get("os", ())
    name = _by_word(entries, f"{id}/{facts.get('OS.release.VARIANT_ID', '')}".lower()) or _by_word(entries, id.lower())
    if name is None:
        kin = next((relative for word in like.lower().split() if (relative := _by_word(catalog.entries.get("os", ()), word))), None)
        unknown["os"] = id
        akin = f" (ID_LIKE is {kin}; use --os {kin} to treat it as such)" if kin else ""
        warnings.append(f"OS.release.ID is {id!r}, which is not in the catalog{akin}: os stays unset")
    return name or ""


def _version(field: str, facts: dict[str, str], field_warnings: dict[str, list[str]], better: str = "") -> str:
    """The version of a field, from the reading ``better`` where there is one."""
    path = better if facts.get(better) else READING_PATHS[field]
    text = facts.get(path, "")
    if not text:
        return ""
    try:
        return parse_version(text).text
    except InvalidInput as fault:
        field_warnings[field].append(f"{path}: {fault.message}: {field} stays unset")
        return ""


def _compare_image(os_name: str, osv: str, facts: dict[str, str], catalog: Catalog, warnings: list[str]) -> None:
    image = facts.get("K8s.node.os-image", "")
    if not image or not os_name or image == facts.get("OS.release.PRETTY_NAME"):  # the kubelet writes the one as the other
        return
    titles = [(len(e.title), e.name) for e in catalog.entries.get("os", ()) if image.lower().startswith((e.name, e.title.lower()))]
    _, named = max(titles, default=(0, ""))
    if named == os_name and OPENSHIFT_VERSION in facts:  # the image has the number of a build
        return
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


def _gpu(facts: dict[str, str], catalog: Catalog, warnings: list[str], unknown: dict[str, str]) -> str:
    """The GPU of which the node has most, in whatever order they are; a warning names the others, and counts those without a model."""
    models = _gpu_models(facts)
    if not models:
        if INTEGRATED_GPU in facts:
            warnings.append(f"{INTEGRATED_GPU} is loaded: the GPU is a Jetson's, for which there are no recipes: gpu stays unset")
        return ""
    number = facts.get("GPU.smi.gpu-count", "")
    lost = (parse_count(number) or 0) - len(models)
    if lost > 0 and any(path.startswith("GPU.gpu-") for path in facts):
        warnings.append(f"GPU.smi.gpu-count is {number}, but {count_of(lost, 'GPU')} {'has' if lost == 1 else 'have'} no model")
    kinds: dict[str, list[str]] = {}  # by the catalog's name, or by the model in quotes
    reasons: dict[str, str] = {}  # by the model in quotes
    for path, model in models.items():
        is_virtual = is_virtual_gpu(model) or facts.get(f"{path}.virtualization-mode", "").upper() == "VGPU"
        name = None if is_virtual else match_model(model, catalog)
        entry = catalog.entry("gpu", name) if name else None
        if entry and entry.excluded:
            name, reasons[repr(model)] = None, f"which is not supported ({entry.excluded})"
        kinds.setdefault(name or repr(model), []).append(f"{model!r}, a virtual GPU (vGPU)" if is_virtual else repr(model))
    maximum = max(map(len, kinds.values()))
    leaders = sorted(kind for kind, each in kinds.items() if len(each) == maximum)
    # Of as many, one that the catalog has is what the node is for: the other may drive a display.
    known = [kind for kind in leaders if not kind.startswith(("'", '"'))]
    shown = sorted(text for each in kinds.values() for text in each)
    together = " and ".join(f"{shown.count(text)} x {text}" for text in dict.fromkeys(shown))
    if len(known) == 1:
        if len(kinds) > 1:
            warnings.append(f"the node has {together}: the recipe covers only {known[0]}")
        return known[0]
    if known:
        unknown["gpu"] = " or ".join(known)
        warnings.append(f"the node has {together}, as many of one as of another: gpu stays unset; choose one with --gpu")
        return ""
    text = kinds[leaders[0]][0]
    unknown["gpu"] = next(model for model in models.values() if repr(model) == leaders[0])
    subject = f"GPU.smi.gpu.model is {text}" if len(kinds) == 1 else f"the node has {together}"
    reason = reasons.get(leaders[0], "which is not in the catalog")
    reason = "for which no recipe of a complete GPU holds" if text.endswith("(vGPU)") else reason
    warnings.append(f"{subject}, {reason if len(kinds) == 1 else f'most of them {text}, {reason}'}: gpu stays unset")
    return ""


def _machine(facts: dict[str, str], fields: dict[str, str], catalog: Catalog, warnings: list[str]) -> str:
    """The machine that the node names, unless ``fields``, which are better known, contradict it.

    Without a warning stay a server that the catalog does not have, and a type that is the name of the service, as k3s writes it.
    """
    for path in (*INSTANCE_TYPES, *PRODUCT_NAMES):
        name = facts.get(path, "")
        machine = match_machine(name, catalog)
        if machine is None:
            is_service = any(entry.answers_to(name) for entry in catalog.entries.get("service", ()))
            if name and path in INSTANCE_TYPES and not is_service and "gpu" in fields:
                warnings.append(f"{path} is {name!r}, which is not in the catalog: machine stays unset")
                return ""
            continue
        contrary = catalog.contradicts_machine({**fields, "machine": machine.name})
        if contrary is None:
            return machine.name
        field, value = contrary
        warnings.append(f"{path} is {name!r}, which has {field} {value}, but {field} is {fields[field]}: machine stays unset")
        return ""
    return ""


def _gpu_models(facts: dict[str, str]) -> dict[str, str]:
    """The model of each GPU by the path of its subtype; ``smi`` has that of the first."""
    models = {}
    for path, value in facts.items():
        if path.endswith(".model"):
            subtype = path[:-6]
            if subtype.startswith("GPU.gpu-") and subtype[8:].isdecimal() and value:
                models[subtype] = value
    first = facts.get("GPU.smi.gpu.model", "")
    return {**({FIRST_GPU: first} if first else {}), **models}


def _by_word(entries: tuple[CatalogEntry, ...], word: str) -> str | None:
    return next((entry.name for entry in entries if entry.answers_to(word)), None)


def detect_service(facts: Mapping[str, str], entries: tuple[CatalogEntry, ...], warnings: list[str], unknown: dict[str, str]) -> str:
    """The name of the service among ``entries`` that ``facts`` (path → reading) show, or "".

    Adds a sentence to ``warnings`` when it stays unset although there is a provider, when evidence disagrees, and when all that is known is
    whose machines they are. What is known of a service that stays unset is added to ``unknown``.
    """
    provider, version = _provider(facts), facts.get(VERSION, "")
    evidence = list(_evidence(facts, entries, provider))
    # Machines of a provider that an entry answers to are no evidence against a distribution that runs on them.
    if evidence and not evidence[0][0].is_managed:
        evidence[1:] = [
            (entry, why) for entry, why in evidence[1:] if entry.is_managed or entry.name == provider or not why.startswith(PROVIDER)
        ]
    if evidence:
        (best, reason), *others = evidence
        other, contrary = next(((entry, why) for entry, why in others if entry is not best), (None, ""))
        if other is None:
            if best.is_managed and best.suffixes and version and built_by(version, entries) is not best:
                warnings.append(f"{reason} means {best.name}, but {VERSION} {version!r} has no {_suffixes(best)}: using the former")
            return best.name
        if best.is_managed and other.is_managed:
            unknown["service"] = f"{best.name} or {other.name}"
            warnings.append(f"{reason} means {best.name}, but {contrary} means {other.name}: service stays unset")
            return ""
        warnings.append(f"{reason} means {best.name}, but {contrary} means {other.name}: using the former")
        return best.name
    if provider:
        return _on_machines_of(provider, facts, entries, warnings, unknown)
    if facts.get(PROVIDER_ID):
        warnings.append(f"{PROVIDER_ID} is {facts[PROVIDER_ID]!r}, which names no provider: service stays unset")
    return ""


def _provider(facts: Mapping[str, str]) -> str:
    """The provider's word, in small letters; an id that names none is none."""
    word, provider_id = facts.get(PROVIDER, ""), facts.get(PROVIDER_ID, "")
    if provider_id and (not word or word == provider_id):
        from eidos.kube.labels import provider_of

        word = provider_of(provider_id)
    return word.lower()


def _evidence(facts: Mapping[str, str], entries: tuple[CatalogEntry, ...], provider: str) -> Iterator[tuple[CatalogEntry, str]]:
    """What speaks for an entry, and where that was read; the best first.

    Vendors sell the same builds for other machines than their own, and label those, too (EKS Anywhere and Hybrid Nodes, GKE on VMware, AKS
    on Azure Local): what a managed service writes elsewhere does not show it.
    """
    named = next((entry for entry in entries if provider and entry.answers_to(provider)), None)
    written = list(_written(facts, entries))
    here = [(entry, reason) for entry, reason in written if not _is_elsewhere(entry, provider) or (named and named.is_managed)]
    yield from here
    if here:  # what is written besides contradicts it
        yield from (pair for pair in written if pair not in here)
    if named:
        yield named, f"{PROVIDER} {provider!r}"


def _written(facts: Mapping[str, str], entries: tuple[CatalogEntry, ...]) -> Iterator[tuple[CatalogEntry, str]]:
    """What a service or a distribution writes into its version, its labels and the name of its system, in that order."""
    entry = built_by(facts.get(VERSION, ""), entries)
    if entry:
        yield entry, f"{VERSION} {facts[VERSION]!r}"
    for path in facts:
        if path.startswith(_LABELS):
            label = path.partition(".label.")[2]
            yield from ((entry, f"the label {label.partition('=')[0]}") for entry in entries if label.startswith(entry.labels))
    image = facts.get(IMAGE) or facts.get("OS.release.PRETTY_NAME", "")
    yield from ((entry, f"the system {image!r}") for entry in entries if image.startswith(entry.images))


def _is_elsewhere(entry: CatalogEntry, provider: str) -> bool:
    """Whether a provider is another than those on whose machines a managed service runs."""
    return bool(provider and entry.clouds) and not entry.answers_to(provider) and provider not in entry.clouds


def _on_machines_of(
    cloud: str, facts: Mapping[str, str], entries: tuple[CatalogEntry, ...], warnings: list[str], unknown: dict[str, str]
) -> str:
    """The entry for machines of a cloud without evidence of the services that it runs."""
    version = facts.get(VERSION, "")
    managed = [entry for entry in entries if cloud in entry.clouds and entry.is_managed]
    others = [entry for entry in entries if cloud in entry.clouds and not entry.is_managed]
    if not managed and not others:
        unknown["service"] = cloud
        entry, reason = next(((entry, reason) for entry, reason in _written(facts, entries) if entry.is_managed), (None, ""))
        note = f" ({reason} means {entry.name}, but {entry.name} runs on {', '.join(entry.clouds)})" if entry else ""
        warnings.append(f"{PROVIDER} is {cloud!r}, which is not in the catalog{note}: service stays unset")
        return ""
    names = " or ".join(entry.name for entry in managed)
    signs = ", ".join(
        sign for entry in managed for sign in (_suffixes(entry) and f"version with {_suffixes(entry)}", f"label {entry.labels[0]}*") if sign
    )
    if not others or (not version and any(entry.suffixes for entry in managed)):
        unknown["service"] = cloud
        missing = "" if version else f"; {VERSION} is unknown"
        warnings.append(f"{PROVIDER} is {cloud!r}, but nothing shows {names} ({signs}){missing}: service stays unset")
        return ""
    if managed:
        choice = managed[0].name
        warnings.append(
            f"{PROVIDER} is {cloud!r}, but nothing shows {names} ({signs}): service is {others[0].name}; "
            f"use --service {choice} if it is {choice}"
        )
    return others[0].name


def _suffixes(entry: CatalogEntry) -> str:
    return " or ".join(f"-{suffix}" for suffix in entry.suffixes)
