"""What may be shown of a value that could carry a secret.

Knows names and forms of secrets; must not know who reads or writes the values.
"""

from __future__ import annotations
