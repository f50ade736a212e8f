"""OCI registries and image layouts: artifacts are pushed and pulled, whatever they hold.

Knows the OCI distribution and image specifications (1.1) and how docker and podman store logins; must not know bundles or documents.
"""

from __future__ import annotations
