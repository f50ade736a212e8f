#!/usr/bin/env python3
"""Writes dist/eidos.pyz: ``python3 build_zipapp.py --help`` lists the flags.

Knows which Python a build needs; must not know how the archive is built: eidos/build/zipapp_builder.py does. Python 2.7 and 3.6
parse all of this before they run its first line.
"""

import sys

if sys.version_info < (3, 9):
    sys.stderr.write("error: building eidos needs Python 3.9 or newer; this is %d.%d.%d\n" % sys.version_info[:3])
    sys.exit(2)
sys.dont_write_bytecode = True

from eidos.build.prerequisites import require_standard_library

require_standard_library()

from eidos.build.zipapp_builder import main

if __name__ == "__main__":
    main()
