"""Formats of fields in manifests: hosts, images, devices, memory, paths, schedules.

Knows the formats, each with its source; must not know flags or manifests. A ``check_`` function returns the text it was passed, or raises
InvalidInput with what is wrong and what is allowed.
"""

from __future__ import annotations

from eidos.errors import InvalidInput
from eidos.kube.labels import ALPHANUMERIC, LOWERCASE, check_dns_subdomain, is_word

#: Fields of a schedule, minimum and maximum, and the names that stand for numbers (robfig/cron v3, which Kubernetes reads schedules with).
_FIELDS = (
    ("minute", 0, 59, ""),
    ("hour", 0, 23, ""),
    ("day of the month", 1, 31, ""),
    ("month", 1, 12, " jan feb mar apr may jun jul aug sep oct nov dec"),
    ("day of the week", 0, 6, "sun mon tue wed thu fri sat"),
)

#: How many days a month may have; there is no month 0.
_DAYS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")

#: The longest uid of a dashboard (Grafana documentation, "Dashboard HTTP API").
MAX_DASHBOARD_UID = 40


def check_ingress_host(text: str) -> str:
    """The name of a host as an Ingress takes it: a DNS subdomain, whose first label may be ``*``.

    >>> check_ingress_host("eidos.example.com"), check_ingress_host("*.example.com")
    ('eidos.example.com', '*.example.com')
    """
    if text.replace(".", "").isdigit() or ":" in text:
        raise InvalidInput(f"invalid host {text!r}: an Ingress takes a name without a port", "write it like eidos.example.com")
    if text.startswith("*.") and "*" not in text[1:]:
        check_dns_subdomain(text[2:])
        return text
    return check_dns_subdomain(text, "host name")


def check_image(text: str) -> str:
    """The reference of an image (distribution/reference: [host[:port]/]path[:tag][@algorithm:digest]).

    >>> check_image("registry.example.com:5000/tools/python:3.12-slim@sha256:" + "0" * 64).count("/")
    2
    """
    hint = "write it like registry.example.com/tools/eidos:1.2.3"
    name, at, digest = text.partition("@")
    first, slash, rest = name.partition("/")
    if not (slash and ("." in first or ":" in first or first == "localhost")):
        first, rest = "", name
    path, colon, tag = rest.partition(":")
    address, _, port = first.partition(":")
    algorithm, _, digits = digest.partition(":")
    problem = ""
    if first and not (all(is_word(part, 63, ALPHANUMERIC, "-") for part in address.split(".")) and (port.isdigit() or ":" not in first)):
        problem = f"invalid registry host {first!r}"
    elif not all(is_word(part, 255, LOWERCASE, "-_.") for part in path.split("/")) or len(name) > 255:
        problem = f"invalid path {path!r}; use lower-case letters, digits, '-', '_' and '.'"
    elif colon and not (0 < len(tag) <= 128 and tag[0] not in "-." and set(tag) <= ALPHANUMERIC | set("-_.")):
        problem = f"invalid tag {tag!r}"
    elif at and not (algorithm.isalnum() and len(digits) >= 32 and set(digits) <= frozenset("0123456789abcdef")):
        problem = f"invalid digest {digest!r}"
    elif at and algorithm == "sha256" and len(digits) != 64:
        problem = f"a SHA-256 digest has 64 digits; {digits!r} has {len(digits)}"
    if problem:
        raise InvalidInput(f"invalid image {text!r}: {problem}", hint)
    return text


def check_cdi_device(text: str) -> str:
    """A device of CDI, by its qualified name: vendor/class=name (Container Device Interface, SPEC.md).

    >>> check_cdi_device("nvidia.com/gpu=all")
    'nvidia.com/gpu=all'
    """
    kind, _, name = text.partition("=")
    parts = kind.split("/")
    kinds = len(parts) == 2 and all(part[:1].isalpha() and is_word(part, 253, ALPHANUMERIC, "_-.") for part in parts)
    if not kinds or not is_word(name, 253, ALPHANUMERIC, "_-.:"):
        raise InvalidInput(f"invalid CDI device {text!r}", "write it like nvidia.com/gpu=all")
    return text


def check_memory(text: str) -> str:
    """A quantity of memory, as :func:`parse_memory` takes it.

    >>> check_memory("256Mi")
    '256Mi'
    """
    parse_memory(text)
    return text


def parse_memory(text: str) -> int:
    """The bytes of a quantity of memory (Kubernetes documentation, "Quantity"): a whole number, and Ki, Mi, Gi, k, M or G.

    >>> parse_memory("256Mi")
    268435456
    """
    digits = text.rstrip("KkMGi")
    factor = {"": 1, "k": 1000, "M": 10**6, "G": 10**9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}.get(text[len(digits) :], 0)
    size_bytes = int(digits) * factor if digits.isascii() and digits.isdigit() and len(digits) <= 15 else 0
    if not 0 < size_bytes <= 1 << 40:
        raise InvalidInput(f"invalid memory quantity {text!r}; expected more than 0 and at most 1024Gi", "write it like 256Mi or 1Gi")
    return size_bytes


def check_host_path(text: str) -> str:
    """The path of a file on a node: absolute, and without ``..``, which the API refuses (``hostPath``)."""
    if not text.startswith("/") or ".." in text.split("/") or text.endswith("/") or not text.isprintable() or ":" in text:
        raise InvalidInput(f"{text!r} is not an absolute path to a file", "write it like /opt/eidos/eidos.pyz")
    return text


def check_schedule(text: str) -> str:
    """When a CronJob runs: five fields, or one of ``@hourly``, ``@daily`` and the like.

    >>> check_schedule("*/15 2-4 * * mon,fri")
    '*/15 2-4 * * mon,fri'
    """
    text = " ".join(text.split())
    hint = "write minute, hour, day of the month, month, day of the week: '0 3 * * *' is every day at 03:00"
    if text.startswith("@"):
        if text not in _DESCRIPTORS:
            from eidos.wording import did_you_mean

            valid = ", ".join(_DESCRIPTORS)
            raise InvalidInput(f"invalid schedule {text!r}; expected five fields or one of {valid}", did_you_mean(text, _DESCRIPTORS, hint))
        return text
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise InvalidInput(f"invalid schedule {text!r}: expected 5 fields, got {len(fields)}", hint)
    runs: list[set[int]] = []
    for field, (what, minimum, maximum, names) in zip(fields, _FIELDS):
        runs.append(set())
        for item in field.split(","):
            span, slash, step = item.partition("/")
            begin, dash, end = span.partition("-")
            low, high = _number(begin, names.split(" ")), _number(end, names.split(" "))
            every = begin in ("*", "?")
            is_valid = not dash if every else minimum <= low <= maximum and (not dash or low <= high <= maximum)
            if not is_valid or (slash and not (step.isascii() and step.isdigit() and int(step[:4]) > 0 and len(step) < 4)):
                raise InvalidInput(f"invalid schedule {text!r}: invalid {what} {item!r}; expected {minimum} to {maximum}", hint)
            runs[-1].update(range(minimum if every else low, (high if dash else maximum if slash or every else low) + 1, int(step or 1)))
    # Where a day of the week is named, too, either is enough.
    if fields[4] in ("*", "?") and min(runs[2]) > max(_DAYS[month] for month in runs[3]):
        raise InvalidInput(f"schedule {text!r} never runs: its months have no day {min(runs[2])}", hint)
    return text


def _number(text: str, names: list[str]) -> int:
    if text.lower() in names and text:
        return names.index(text.lower())
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else -1


def fit_name(text: str, limit: int) -> str:
    """A name of at most ``limit`` characters that is one label, and no other text's: what does not fit is replaced by a digest.

    >>> fit_name("eidos-agent-gpu-07", 63), fit_name("eidos-agent-gpu-07.example.com", 63)
    ('eidos-agent-gpu-07', 'eidos-agent-gpu-07-example-com-c3f4c6bc')
    """
    plain = "".join(char if char in LOWERCASE else "-" for char in text.lower())
    if plain == text and len(text) <= limit:
        return text
    import hashlib

    return f"{plain[: limit - 9].rstrip('-')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
