"""Runs everything that must hold before a change goes in: ``python3 -m tests``; tests/checks.py describes the flags.

Knows which Python the tests need; must not know any test. Python 2.7 and 3.6 parse all of this before they run its first line.
"""

import sys

if sys.version_info < (3, 9):
    sys.stderr.write("error: testing eidos needs Python 3.9 or newer; this is %d.%d.%d\n" % sys.version_info[:3])
    sys.exit(2)

from eidos.build.prerequisites import require_standard_library

require_standard_library()

from tests.checks import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
