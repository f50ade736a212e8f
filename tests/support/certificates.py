"""A certificate of 127.0.0.1 that nobody trusts yet.

Knows the files that servers and clients read; must not know what is served.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


def make_certificate(folder: Path) -> Path:
    """Write ``cert.pem``, its ``key.pem`` and the authority's ``ca.pem`` into a folder, and return it."""
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    leaf.private_key_pem.write_to_path(folder / "key.pem")
    for number, part in enumerate(leaf.cert_chain_pems):
        part.write_to_path(folder / "cert.pem", append=number > 0)
    return folder


def server_context(folder: Path) -> ssl.SSLContext:
    """What a server has that presents the certificate in a folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
