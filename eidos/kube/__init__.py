"""The Kubernetes API: which cluster is meant, who asks, how it is asked, and documents that are kept in it.

Knows kubeconfig files, service accounts, credentials, requests, ConfigMaps and Secrets; must not know what is asked for.
Nothing is imported here: whoever has no cluster pays for the look at where one would be configured, and for no more.
"""

from __future__ import annotations
