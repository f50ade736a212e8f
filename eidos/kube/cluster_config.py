"""Selects the cluster and the user, as kubectl would in the same environment.

Knows where configuration is looked up, and its precedence; must not know how a server is reached. Compared with kubectl 1.34
(client-go ``tools/clientcmd``; Kubernetes documentation, "Organizing Cluster Access Using kubeconfig Files"):

===============================================  =============================================  =====================================
what is configured                               kubectl                                        eidos
===============================================  =============================================  =====================================
``--kubeconfig FILE``                            that file alone; missing is a failure          equal
``KUBECONFIG=a:b``                               merged; missing files count for nothing        equal
neither                                          ``$HOME/.kube/config``                         equal; nothing when HOME is not set
an old ``$HOME/.kube/.kubeconfig``               is copied to its new place                     nothing is written
one name in two files                            all of the first                               equal
``current-context``                              of the first file that has one                 equal
relative paths                                   relative to the folder of their file           equal
a name twice in one list                         a failure                                      equal
a key twice, a second document                   the last of them, the first of them            a failure
unknown fields                                   ignored                                        equal
numbers where text is needed                     a failure                                      equal, for the entries that are used
no context chosen, no file                       a pod's service account if there is one,       the service account, or ``skipped``
                                                 else ``localhost:8080``
``KUBERNETES_MASTER``                            the server, without any other                  not read
``--context`` or ``current-context`` is missing  a failure                                      equal, with the names that there are
a context's cluster is missing                   ``localhost:8080``                             a failure
a context's user is missing, or it has none      asks for a name and a password                 a failure; none is anonymous
a server without a scheme                        http                                           equal
a server with a name and a password in its URL   these are sent                                 a failure
credentials and http                             not sent                                       equal
several credentials                              token file, token, password; a certificate     equal
                                                 beside; a plugin only without any of these
two ways to say one thing, token and password    a failure                                      equal
``insecure-skip-tls-verify``                     no check; a failure together with a CA         equal, and a warning
``tls-server-name``                              for the name that is asked for and checked     equal
``proxy-url``, ``HTTPS_PROXY``, ``NO_PROXY``     http, https, socks5                            equal; socks5 is a failure
plugins (``exec``), v1 and v1beta1               with the terminal, if they want it             never with it; within the deadline
``auth-provider``                                a failure since 1.26                           equal
``as``, ``as-groups``                            impersonates                                   a failure
namespace                                        flag, context, POD_NAMESPACE or the service    equal
                                                 account's when in a pod, ``default``
a pod's service account                          its token is read again and again              equal, for each request
===============================================  =============================================  =====================================
"""

from __future__ import annotations

import os

from eidos.errors import EidosError, NotApplicable, NotFound
from eidos.kube.config_files import read_config_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eidos.kube.cluster import Cluster

#: Where a pod has its service account (Kubernetes documentation, "Accessing the Kubernetes API from a Pod").
SERVICE_ACCOUNT = "var/run/secrets/kubernetes.io/serviceaccount"


def load_cluster(
    environ: Mapping[str, str],
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    namespace: str | None = None,
    root: str = "/",
) -> Cluster:
    """The selected cluster. ``root`` is the root of the file tree with the pod's service account.

    Raises NotApplicable when no cluster is configured; NotFound for a file, context, cluster or user that is named and missing,
    InvalidData for a malformed file, Unavailable for an unreadable one, InvalidInput for what is not supported.
    """
    paths = [kubeconfig] if kubeconfig else kubeconfig_paths(environ)
    files = [(path, data) for path in paths for data in (read_config_file(path, path),) if data is not None]
    if kubeconfig and not files:
        raise NotFound(f"--kubeconfig: {kubeconfig}: no such file")
    reason = None
    if files:
        from eidos.kube.cluster import DEFAULT_NAMESPACE
        from eidos.kube.kubeconfig import MergedKubeconfig

        merged = MergedKubeconfig(files)
        if context or merged.current_context:
            cluster = merged.resolve_context(context or merged.current_context, context is not None, environ)
            in_pod = not cluster.namespace and _service_account_folder(environ, root)
            default = _pod_namespace(environ, root) if in_pod else DEFAULT_NAMESPACE
            return _with_namespace(cluster, namespace or cluster.namespace or default)
        reason = f"{' and '.join(path for path, _ in files)} sets no current-context"
    elif context:
        raise NotFound(f"--kube-context: no such context {context!r}: {_missing_reason(environ, paths)}")
    folder = _service_account_folder(environ, root)
    if folder:
        cluster = _in_cluster(environ, root, folder)
        return _with_namespace(cluster, namespace or cluster.namespace)
    hint = "set --kubeconfig or KUBECONFIG, and --kube-context to choose a context"
    if kubeconfig:
        raise NotFound(f"--kubeconfig: {reason}", "choose one with --kube-context")
    raise NotApplicable(f"no cluster is configured: {reason or _missing_reason(environ, paths)}", hint)


def missing_cluster_reason(environ: Mapping[str, str], exists: Callable[[str], bool]) -> str:
    """Why :func:`load_cluster` without flags finds no cluster, or "" when it may find one. ``exists`` tells whether a file exists.

    It opens no file, and so never blocks.
    """
    paths = kubeconfig_paths(environ)
    has_account = environ.get("KUBERNETES_SERVICE_HOST") and exists(f"/{SERVICE_ACCOUNT}/token")
    return "" if has_account or any(map(exists, paths)) else f"no cluster is configured: {_missing_reason(environ, paths)}"


def read_pipes(environ: Mapping[str, str], kubeconfig: str | None) -> None:
    """Read kubeconfigs from pipes before processes are forked that all need them; errors are left to those."""
    for path in [kubeconfig] if kubeconfig else kubeconfig_paths(environ):
        if path.startswith("/dev/"):
            try:
                read_config_file(path, path)
            except EidosError:
                pass


def kubeconfig_paths(environ: Mapping[str, str]) -> list[str]:
    """The kubeconfigs of the environment, as kubectl finds them, whether they exist or not."""
    configured = environ.get("KUBECONFIG", "")
    if configured:
        return [path for path in dict.fromkeys(configured.split(os.pathsep)) if path]
    home = environ.get("HOME", "")
    return [os.path.join(home, ".kube", "config")] if home else []


def _missing_reason(environ: Mapping[str, str], paths: list[str]) -> str:
    if "://" in environ.get("KUBECONFIG", ""):
        return "KUBECONFIG: a URL is not a file"
    if environ.get("KUBECONFIG"):
        return f"KUBECONFIG: {', '.join(paths) or 'no path'}: no such file"
    return f"{paths[0] if paths else '$HOME/.kube/config'} does not exist, and this is not a pod with a service account"


def _with_namespace(cluster: Cluster, namespace: str) -> Cluster:
    from eidos.kube.cluster import DEFAULT_NAMESPACE
    from eidos.model.record import replace

    return replace(cluster, namespace=namespace or DEFAULT_NAMESPACE)


def _service_account_folder(environ: Mapping[str, str], root: str) -> str | None:
    """The folder of the pod's service account, if this is a pod that has one."""
    folder = os.path.join(root, SERVICE_ACCOUNT)
    if not environ.get("KUBERNETES_SERVICE_HOST") or not environ.get("KUBERNETES_SERVICE_PORT"):
        return None
    try:
        with open(os.path.join(folder, "token"), "rb"):
            return folder
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError:  # it exists; reading the token will report the error
        return folder


def _pod_namespace(environ: Mapping[str, str], root: str) -> str:
    from eidos.kube.cluster import DEFAULT_NAMESPACE

    namespace = environ.get("POD_NAMESPACE", "")
    if namespace:
        return namespace
    try:
        with open(os.path.join(root, SERVICE_ACCOUNT, "namespace"), encoding="utf-8") as file:
            return file.read(1000).strip() or DEFAULT_NAMESPACE
    except (OSError, UnicodeDecodeError):
        return DEFAULT_NAMESPACE


def _in_cluster(environ: Mapping[str, str], root: str, folder: str) -> Cluster:
    """The cluster that this pod runs in."""
    from eidos import log
    from eidos.kube.cluster import IN_CLUSTER, Cluster, User, server_and_proxy

    host, port = environ["KUBERNETES_SERVICE_HOST"], environ["KUBERNETES_SERVICE_PORT"]
    source = "the environment of this pod (KUBERNETES_SERVICE_HOST and _PORT)"
    server, proxy = server_and_proxy(f"https://{f'[{host}]' if ':' in host else host}:{port}", None, source, environ)
    ca_path = os.path.join(folder, "ca.crt")
    ca = read_config_file(ca_path, ca_path)
    if ca is None or b"-----BEGIN CERTIFICATE-----" not in ca:
        log.warn(f"{ca_path} contains no certificate; using the certificates that the system trusts")
        ca = None
    source = f"the service account in {folder}"
    user = User("service account", source, token_file=os.path.join(folder, "token"))
    return Cluster(server, ca, proxy=proxy, user=user, namespace=_pod_namespace(environ, root), context=IN_CLUSTER, source=source)
