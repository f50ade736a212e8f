"""From a recipe to files that deploy it.

Knows nothing itself; must not know flags or threads: ``workflow.make_bundle`` calls what is here, component by component. Every step is
a function of its arguments: ``plan`` says which components and in which order, ``names`` what templates may call by name, ``sets`` which
templates a component has, ``data`` and ``text`` fill them in, ``values`` and ``schema`` lay values over one another and hold them against
the chart, ``registry`` turns to a mirror, ``component`` and ``whole`` put it all together; ``writer``, ``archive`` and ``verify`` are the
way out and the way back.
"""

from __future__ import annotations
