# The little of pytest-xdist that the tests use; the package carries no types.
from collections.abc import Callable

import pytest

from xdist.remote import Producer

class LoadScopeScheduling:
    _split_scope: Callable[[str], str]
    def __init__(self, config: pytest.Config, log: Producer) -> None: ...
