"""Redaction of values that may hold a secret.

Knows names and forms of secrets; must not know who reads or writes the values.
"""

from __future__ import annotations
