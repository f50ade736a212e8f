"""Measures which branches of eidos tests reach in their own process: a plugin of pytest, ``-p tests.support.branch_coverage``.

Knows that a run has several processes, each of which writes a file of its own for ``coverage combine``; must not know what is measured:
pyproject.toml says it. It begins before eidos is imported, for what a module does then counts; but only as a plugin: a test that imports
every module would slow all that come after it.
"""

from __future__ import annotations

import pytest
from coverage import Coverage

_coverage = Coverage(data_suffix=True)


def pytest_addoption() -> None:
    """Begin: this hook is the first that a plugin is called by, before any conftest.py is read."""
    _coverage.start()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Write what was reached: a worker of xdist is ended without another chance."""
    _coverage.stop()
    _coverage.save()
