"""Differences between two documents, by meaning.

Knows where each part of comparing lies; must not know a file, a flag, nor how a table looks. Everything here is pure: two documents and the
rules of ``templates/fleet.yaml`` go in, a :class:`~eidos.model.diff.Diff` comes out of :func:`eidos.diff.documents.compare_documents`.
:func:`eidos.workflow.compare` is the face.

``documents`` says which parts of each kind of document count, ``judgement`` whether two values are the same, ``tree_comparison`` walks both
trees and writes the operations of a patch, ``sentence`` says the result in words, ``markdown`` shows it in a pull request.
"""

from __future__ import annotations
