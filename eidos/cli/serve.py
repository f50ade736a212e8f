"""``eidos serve``: recipes and bundles over HTTP.

Knows the flags of the verb and how the parts of the server are put together; must not know what any of them does.
"""

from __future__ import annotations

import os
import sys
import time

from eidos import log
from eidos.cli import document_locations
from eidos.cli.options import (
    HELP,
    LOGGING,
    PLUGIN,
    Option,
    Verb,
    parse_address,
    parse_integer,
    parse_path,
    parse_port,
    parse_timeout,
)
from eidos.errors import InvalidInput, Unavailable
from eidos.model.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.cli.options import Values
    from eidos.recipe.data_stack import DataPart
    from eidos.server.server_settings import Settings

#: Upper bounds of options, far above what is useful.
MAX_WORKERS, MAX_CONNECTIONS, MAX_RATE, MAX_BODY_BYTES, MAX_PROXIES = 128, 1 << 20, 1e9, 1 << 30, 16

#: Units of sizes, as people and Kubernetes write them.
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "kB": 1000, "MB": 10**6, "GB": 10**9}


def parse_workers(value: str) -> int:
    """A number of workers."""
    return parse_integer(value, "number of workers", 1, MAX_WORKERS)


def parse_connections(value: str) -> int:
    """A number of connections."""
    return parse_integer(value, "number of connections", 1, MAX_CONNECTIONS)


def parse_proxies(value: str) -> int:
    """A number of proxies."""
    return parse_integer(value, "number of proxies", 0, MAX_PROXIES)


def parse_burst(value: str) -> int:
    """A number of requests that may come at once."""
    return parse_integer(value, "number of requests", 1, int(MAX_RATE))


def parse_rate(value: str) -> float:
    """Requests a second; 0 is no limit."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not (number == 0 or 1e-3 <= number <= MAX_RATE) or "_" in value:
        raise InvalidInput(f"invalid rate {value!r}: expected requests per second from 0.001 to {MAX_RATE:g}, or 0 for no limit")
    return number


def parse_size(value: str) -> int:
    """A number of bytes.

    >>> parse_size("4MiB"), parse_size("65536")
    (4194304, 65536)
    """
    unit = next((unit for unit in UNITS if value.endswith(unit)), "")
    number, factor = value[: len(value) - len(unit)].rstrip(" "), UNITS.get(unit, 1)
    if not (number.isascii() and number.isdigit()) or len(number) > 12 or not 1000 <= int(number) * factor <= MAX_BODY_BYTES:
        units = ", ".join(UNITS)
        raise InvalidInput(f"invalid size {value!r}: expected a whole number of bytes from 1kB to 1GiB; units are {units}")
    return int(number) * factor


def parse_delay(value: str) -> float:
    """A duration in seconds that may be 0."""
    return 0.0 if value in ("0", "0s") else parse_timeout(value)


def parse_header_name(value: str) -> str:
    """The name of a header field (RFC 9110, section 5.1)."""
    if not value or not value.isascii() or any(not (char.isalnum() or char in "!#$%&'*+-.^_`|~") for char in value):
        raise InvalidInput(f"invalid header name {value!r}")
    return value


VERB = Verb(
    "serve",
    (
        "Serve over HTTP what 'eidos recipe' and 'eidos bundle' print: the same query gives the same bytes.",
        (
            "Workers share one socket; a worker that exits is replaced. After SIGTERM, SIGINT or SIGHUP, /ready returns 503, no more "
            "connections are accepted, and requests in flight are finished; a second signal stops at once. A socket passed by systemd "
            "(LISTEN_FDS) is used instead of --host and --port."
        ),
    ),
    (
        replace(PLUGIN, help="add recipe data, checks and templates of this folder, which you trust; repeatable"),
        Option("host", "listen on this address, :: for all", "ADDRESS", default="127.0.0.1", convert=parse_address),
        Option(
            "port",
            "listen on this port, 0 for any free port; also set by PORT",
            "PORT",
            None,
            "8080",
            parse_port,
            fallback_variable="PORT",
        ),
        Option("workers", "run this many worker processes (default one per CPU, at most 4)", "N", convert=parse_workers),
        Option("rate", "limit requests per second of all clients together, 0 for no limit", "RATE", default="100", convert=parse_rate),
        Option("burst", "allow bursts of this many requests", "N", default="200", convert=parse_burst),
        Option("client-rate", "limit requests per second of each client address, 0 for no limit", "RATE", default="10", convert=parse_rate),
        Option("client-burst", "allow bursts of this many requests per client (default twice the rate)", "N", convert=parse_burst),
        Option("max-connections", "limit connections of all workers together", "N", default="8192", convert=parse_connections),
        Option("max-body", "limit the size of a request body", "SIZE", default="4MiB", convert=parse_size),
        Option("request-timeout", "limit the time of a request", "DURATION", default="30s", convert=parse_timeout),
        Option("drain-delay", "continue to serve for this time after a stop signal", "DURATION", default="0s", convert=parse_delay),
        Option("trust-proxy", "trust X-Forwarded-For of this many proxies", "N", default="0", convert=parse_proxies),
        Option("user-header", "log the user from this header of a trusted proxy", "NAME", convert=parse_header_name),
        Option("allowed-gpus", "serve only these GPUs (default all)", "NAME", multiple=True),
        Option("allowed-services", "serve only these services (default all)", "NAME", multiple=True),
        Option("allowed-intents", "serve only these intents (default all)", "NAME", multiple=True),
        Option("allowed-os", "serve only these operating systems (default all)", "NAME", multiple=True),
        Option("data", "add recipe data from this folder, or oci://...", "DIR", convert=parse_path, completion="folder"),
        *LOGGING,
        HELP,
    ),
    examples=(
        ("eidos serve", "listen on 127.0.0.1:8080"),
        ("eidos serve --host :: --trust-proxy 1", "listen on all addresses, behind a proxy"),
        ("eidos serve --rate 0 --client-rate 0 --workers 8", "8 workers without rate limits"),
    ),
    notes=(
        "The default log level of this command is info, with a line per request.",
        "Exit status: 0 stopped by a signal; 1 cannot bind the address; 2 wrong usage.",
    ),
)


def run(values: Values) -> int:
    """Serve until a signal ends it; the exit status."""
    if sys.platform != "linux":
        raise Unavailable(
            f"eidos serve needs Linux, and this is {sys.platform}", "run it in a Linux container, or see 'eidos manifest server'"
        )
    if "log-level" not in values.origins:
        log.configure("info", values["log-format"])
    settings = settings_of(values)
    _hold_standard_streams()
    log.never_block()
    from eidos.files import resources
    from eidos.server.access_log import AccessLog
    from eidos.server.app import PATHS, App
    from eidos.server.instrumentation import Instrumentation
    from eidos.server.rate_limiter import RateLimiter
    from eidos.server.recipe_data import load_recipe_data
    from eidos.server.request_metrics import ServerMetrics
    from eidos.server.server_settings import SERVICE_NAME
    from eidos.server.static_content import static_representations
    from eidos.server.transport.event_loop import Service
    from eidos.server.transport.listening_sockets import listen, raise_fd_limit
    from eidos.server.transport.shared_state import SharedState
    from eidos.server.transport.supervisor import Supervisor
    from eidos.telemetry.spans import open_tracer

    raise_fd_limit(settings)
    shared_state = SharedState(settings.workers)
    rate_limiter = RateLimiter(settings, settings.workers)
    access_log = AccessLog(user_header=settings.user_header, trust_proxy=settings.trust_proxy)
    recipe_data = load_recipe_data(settings, values.origins, _read_remote_data(values), values["plugin"])
    metrics = ServerMetrics(
        PATHS,
        workers=shared_state.slots,
        rules=recipe_data.layer_names(),
        bundlers=tuple(recipe_data.charts),
        tokens=lambda: rate_limiter.tokens(time.monotonic()),
        access_log=access_log,
        commit=resources.build_commit(),
    )
    tracer = open_tracer(os.environ, SERVICE_NAME, lambda count: metrics.lost_spans.increment(amount=count))
    static = static_representations(recipe_data, settings.max_body)
    app = App(settings, metrics, rate_limiter, recipe_data, static, is_ready=lambda: not shared_state.is_stopping, tracer=tracer)
    server = listen(settings, os.environ)
    plugins = {"plugins": " ".join(recipe_data.store.plugins)} if recipe_data.store.plugins else {}
    log.info(f"listening on {server.url}", workers=settings.workers, **plugins)
    return Supervisor(Service(server, settings, app, Instrumentation(metrics, tracer, access_log), shared_state)).run()


def _read_remote_data(values: Values) -> tuple[DataPart, ...] | None:
    """The recipe data of --data where that is not on this machine, read once; None for a path."""
    location = values["data"]
    if location is None or not document_locations.is_remote(location):
        return None
    return document_locations.read_data([location], values)


def _hold_standard_streams() -> None:
    """Open the standard descriptors that are closed: a socket would get one of them, and lines of the log with it."""
    while True:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > 2:
            os.close(fd)
            return


def settings_of(values: Values) -> Settings:
    """The server's settings; InvalidInput for options that do not go together."""
    from eidos.server.server_settings import Settings, default_workers

    fields = {name.replace("-", "_"): values[name] for name in values if name.replace("-", "_") in Settings._fields}
    fields["workers"] = fields["workers"] or default_workers()
    if fields["client_burst"] is None:
        fields["client_burst"] = max(1, min(int(MAX_RATE), round(2 * fields["client_rate"])))
    if fields["user_header"] and not fields["trust_proxy"]:
        raise InvalidInput(f"{values.origins['user-header']} needs --trust-proxy: only a trusted proxy can set this header")
    return Settings(**fields)
