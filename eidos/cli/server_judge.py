"""The judge behind ``eidos check --server``: reports come from a server, what a site selects and accepts is applied here.

Knows which flags of the verb do not go with ``--server``, and what is sent; must not know any check, how a server is requested, nor how a
report is shown.
"""

from __future__ import annotations

import time

from eidos.check.judge import MAXIMUM_AGE_S, CheckData, known_words
from eidos.cli import document_locations
from eidos.cli.judge_options import check_words, read_options, require_quick, require_recipe_or_query
from eidos.cli.recipe_query import query_words
from eidos.errors import InvalidInput
from eidos.formats import to_json
from eidos.model.record import replace
from eidos.server_client import ServerClient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from eidos.check.judge import CheckOptions
    from eidos.cli.options import Values
    from eidos.model.check_report import CheckReport
    from eidos.model.snapshot import Snapshot


def prepare_server_judge(values: Values) -> Callable[[Snapshot], CheckReport]:
    """The function that has a snapshot judged by the server of the flags; what they name besides is read once.

    Raises InvalidInput for flags that do not go together, and what reading recipe, profile and waivers raises; the function raises what
    :meth:`eidos.server_client.ServerClient.check` raises.
    """
    _check_flags(values)
    recipe = document_locations.read_recipe(values["recipe"], values).to_tree() if values["recipe"] is not None else None
    # Quick checks have no recipe; what is detected is enough for them.
    query = {} if recipe or values["quick"] else query_words(values)
    options = read_options(values)
    client = _connect(values)

    def judge(snapshot: Snapshot) -> CheckReport:
        tree: dict[str, Any] = snapshot.to_tree()
        body = to_json({"snapshot": tree, "recipe": recipe} if recipe else tree).encode()
        report = client.check(query, body, deadline=time.monotonic() + values["timeout"])
        return apply_options(report, options, values)

    return judge


def apply_options(report: CheckReport, options: CheckOptions, values: Values) -> CheckReport:
    """The report with the selection, the severities and the waivers of ``options``, as if it had been judged with them."""
    words = (*values["only"], *values["skip"])
    if words:
        ids = (name for finding in report.findings for name in (finding.id, finding.domain))
        check_words(words, list(dict.fromkeys([*ids, *known_words(CheckData())])), values)
    findings = options.profile.apply(report.findings)
    if options.waivers:
        from eidos.check.waivers import apply_waivers

        findings = apply_waivers(findings, options.waivers, report.node, time.strftime("%Y-%m-%d", time.gmtime()))
    return replace(report, findings=tuple(sorted(findings, key=lambda finding: finding.sort_key())))


def _check_flags(values: Values) -> None:
    """Raise InvalidInput for what does not go with ``--server``."""
    server = values.origins["server"]
    if values["quick"]:
        require_quick(values)
    require_recipe_or_query(values)
    for name in ("data", "plugin"):
        if values[name]:
            raise InvalidInput(f"{values.origins[name]} cannot be used with {server}, which has its own data", f"remove {server}")
    if values["max-age"] != MAXIMUM_AGE_S:
        raise InvalidInput(f"{values.origins['max-age']} cannot be used with {server}, which judges the age", f"remove {server}")


def _connect(values: Values) -> ServerClient:
    try:
        return ServerClient(values["server"])
    except InvalidInput as fault:
        from eidos.cli.user_config import invalid_value

        raise invalid_value(fault, values.origins["server"], (values["server"],)) from None
