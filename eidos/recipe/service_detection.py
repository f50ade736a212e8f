"""Which service runs the cluster of a snapshot: a managed one, or none.

Knows which readings are evidence, and which of them is the better; must not know any particular service or cloud: patterns are the
catalog's.

A cloud's machines are no evidence of that cloud's service: kops, kubeadm, k3s and RKE2 run there as well. The version that the API server
was built with is the best evidence, then what only the service sets on its nodes, then the provider that the snapshot names. Evidence
that contradicts itself, and none, are never passed over in silence.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from eidos.recipe.catalog import CatalogEntry

PROVIDER, PROVIDER_ID, VERSION, IMAGE = "K8s.node.provider", "K8s.node.provider-id", "K8s.server.version", "K8s.node.os-image"

#: Where a snapshot has labels: of its node, and of all nodes of the cluster.
_LABELS = ("K8s.node.label.", "K8s.topology.label.")


def detect_service(facts: Mapping[str, str], entries: tuple[CatalogEntry, ...], warnings: list[str], unknown: dict[str, str]) -> str:
    """The name of the service among ``entries`` that ``facts`` (path → reading) show, or "".

    Adds a sentence to ``warnings`` when it stays unset although there is a provider, when evidence disagrees, and when all that is known is
    whose machines they are. What is known of a service that stays unset is added to ``unknown``.
    """
    provider, version = _provider(facts), facts.get(VERSION, "")
    evidence = list(_evidence(facts, entries, provider))
    if evidence:
        (best, reason), *others = evidence
        other, contrary = next(((entry, why) for entry, why in others if entry is not best), (None, ""))
        if other is None:
            if best.is_managed and best.suffixes and version and not reason.startswith(VERSION):
                warnings.append(f"{reason} means {best.name}, but {VERSION} {version!r} has no {_suffixes(best)}: using the former")
            return best.name
        if best.is_managed and other.is_managed:
            unknown["service"] = f"{best.name} or {other.name}"
            warnings.append(f"{reason} means {best.name}, but {contrary} means {other.name}: service stays unset")
            return ""
        warnings.append(f"{reason} means {best.name}, but {contrary} means {other.name}: using the former")
        return best.name
    if provider:
        return _on_machines_of(provider, version, entries, warnings, unknown)
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
    """What speaks for an entry, and where that was read; the best first."""
    named = next((entry for entry in entries if provider and entry.answers_to(provider)), None)
    version = facts.get(VERSION, "").lower()
    built = [(len(suffix), entry) for entry in entries for suffix in entry.suffixes if f"-{suffix}" in version or f"+{suffix}" in version]
    if built:
        _, entry = max(built, key=lambda pair: pair[0])
        # Vendors sell the same builds for other machines than their own (EKS Anywhere, GKE on VMware).
        is_elsewhere = provider and entry.clouds and not entry.answers_to(provider) and provider not in entry.clouds
        if not is_elsewhere or (named and named.is_managed):
            yield entry, f"{VERSION} {facts[VERSION]!r}"
    for path in facts:
        if path.startswith(_LABELS):
            label = path.partition(".label.")[2]
            yield from ((entry, f"the label {label.partition('=')[0]}") for entry in entries if label.startswith(entry.labels))
    image = facts.get(IMAGE) or facts.get("OS.release.PRETTY_NAME", "")
    yield from ((entry, f"the system {image!r}") for entry in entries if image.startswith(entry.images))
    if named:
        yield named, f"{PROVIDER} {provider!r}"


def _on_machines_of(cloud: str, version: str, entries: tuple[CatalogEntry, ...], warnings: list[str], unknown: dict[str, str]) -> str:
    """The entry for machines of a cloud without evidence of the services that it runs."""
    managed = [entry for entry in entries if cloud in entry.clouds and entry.is_managed]
    others = [entry for entry in entries if cloud in entry.clouds and not entry.is_managed]
    if not managed and not others:
        unknown["service"] = cloud
        built = [entry for entry in entries if entry.is_managed for suffix in entry.suffixes if f"-{suffix}" in version.lower()]
        note = f" ({VERSION} is {version!r}, but {built[0].name} runs on {', '.join(built[0].clouds)})" if built else ""
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
