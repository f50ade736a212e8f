"""``--anonymous`` and ``--anonymous-key``: snapshots without what identifies a node.

Knows the flags and what a key file must be; must not know what identifies a node.
"""

from __future__ import annotations

import os

from eidos.cli.options import Option, parse_path
from eidos.errors import InvalidInput, NotFound, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from eidos.cli.options import Values
    from eidos.fleet.pseudonyms import Pseudonyms
    from eidos.fleet.results import NodeAnswer

    Answers = Generator[tuple[str, NodeAnswer], None, None]

#: Bytes of a random key, and those that a file must and may have.
KEY_BYTES, MINIMUM_BYTES, LIMIT_BYTES = 32, 16, 4096

ANONYMOUS = (
    Option("anonymous", "replace names, addresses, serial numbers and other identifiers by pseudonyms", flag_only=True),
    Option(
        "anonymous-key",
        "make the same pseudonyms in every run with this file (16 bytes or more)",
        "FILE",
        convert=parse_path,
        completion="file",
    ),
)


def make_pseudonyms(values: Values) -> Pseudonyms | None:
    """What replaces identities, by a random key or that of the file; None when nobody asked for it. Raises InvalidInput."""
    path = values["anonymous-key"]
    if not values["anonymous"]:
        if path is not None:
            raise InvalidInput("--anonymous-key needs --anonymous", "add --anonymous")
        return None
    key = os.urandom(KEY_BYTES) if path is None else _read_key(path)
    from eidos.fleet.pseudonyms import shipped_pseudonyms

    return shipped_pseudonyms(key)


def _read_key(path: str) -> bytes:
    from eidos.files.host import FileUnreadable, Host

    try:
        key = Host().read_bytes(os.path.abspath(path), LIMIT_BYTES)
    except NotFound as fault:
        hint = f"create it: head -c {KEY_BYTES} /dev/urandom > {path}"
        raise InvalidInput(f"--anonymous-key: {path}: no such file", hint) from fault
    except FileUnreadable as fault:
        raise Unavailable(f"--anonymous-key: {path}: {fault.reason}") from fault
    if len(key) < MINIMUM_BYTES:
        raise InvalidInput(
            f"--anonymous-key: {path} has {len(key)} bytes; expected {MINIMUM_BYTES} or more",
            f"create it: head -c {KEY_BYTES} /dev/urandom > {path}",
        )
    return key


def anonymize_answers(pseudonyms: Pseudonyms, answers: Answers) -> Answers:
    """The answers with pseudonyms in the place of nodes' names and other identities."""
    from eidos.fleet.summary import NoAnswer

    try:
        for node, answer in answers:
            if isinstance(answer, NoAnswer):
                hint = answer.hint and pseudonyms.clean(answer.hint)
                yield pseudonyms.node_name(node), NoAnswer(pseudonyms.clean(answer.why), hint, answer.reason)
            else:
                yield pseudonyms.node_name(node), pseudonyms.anonymize(answer, node)
    finally:
        answers.close()
