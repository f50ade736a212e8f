"""The Kubernetes API: configuration, credentials, a client, and documents stored in ConfigMaps and Secrets.

Knows kubeconfig files, service accounts, credentials, requests and these objects; must not know what the objects of a cluster mean.
The package imports nothing: without a cluster only the lookup of its configuration is loaded.
"""

from __future__ import annotations
