"""The one placeholder engine: templates of bundles, manifests and pages are all filled in here.

Knows how placeholders are written and how values are quoted; must not know what any name means. A template has no conditions and no loops.
:mod:`~eidos.templates.template_syntax` finds placeholders in a text, :mod:`~eidos.templates.placeholder` parses and resolves them,
:mod:`~eidos.templates.text_template` fills in scripts and pages, :mod:`~eidos.templates.tree_template` YAML that is already parsed.
"""

from __future__ import annotations
