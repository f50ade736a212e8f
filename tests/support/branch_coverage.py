"""Measures which branches of eidos tests reach in their own process: a plugin of pytest, ``-p tests.support.branch_coverage``.

Knows that a run has several processes, each of which writes a file of its own for ``coverage combine``; must not know what is measured:
pyproject.toml says it. It is imported before eidos is, for what a module does when it is imported counts.
"""

from __future__ import annotations

import pytest
from coverage import Coverage

_coverage = Coverage(data_suffix=True)
_coverage.start()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Write what was reached: a worker of xdist is ended without another chance."""
    _coverage.stop()
    _coverage.save()
