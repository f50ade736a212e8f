"""What the tests of registries share: no connection of one is left for the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eidos.oci.registry_client import RegistryClient

#: Clients that a test has made; they are closed at its end.
CLIENTS: list[RegistryClient] = []


@pytest.fixture(autouse=True)
def _no_connection_is_left() -> Iterator[None]:
    yield
    while CLIENTS:
        CLIENTS.pop().close()
