"""Which cluster is meant, and who asks: what kubectl would find in the same place.

Knows where configuration is looked for, and which wins; must not know how a server is spoken to. Compared with kubectl 1.34
(client-go ``tools/clientcmd``; Kubernetes documentation, "Organizing Cluster Access Using kubeconfig Files"):

===============================================  =============================================  =====================================
what is found                                    kubectl                                        eidos
===============================================  =============================================  =====================================
``--kubeconfig FILE``                            that file alone; missing is a failure          equal
``KUBECONFIG=a:b``                               merged; missing files count for nothing        equal
neither                                          ``$HOME/.kube/config``                         equal; nothing when HOME is not set
an old ``$HOME/.kube/.kubeconfig``               is copied to its new place                     nothing is written
one name in two files                            all of the first                               equal
``current-context``                              of the first file that says one                equal
relative paths                                   from the folder of the file they stand in      equal
a name twice in one list                         a failure                                      equal
a key twice, a second document                   the last of them, the first of them            a failure
fields that nobody knows                         ignored                                        equal
numbers where text is needed                     a failure                                      equal, for the entries that are used
no context chosen, no file                       a pod's service account if there is one,       the service account, or ``skipped``
                                                 else ``localhost:8080``
``KUBERNETES_MASTER``                            the server, when nothing else says one         not read
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
import stat

from eidos import log
from eidos.errors import EidosError, InvalidData, InvalidInput, NotApplicable, NotFound, Unavailable
from eidos.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

#: The largest kubeconfig, token or certificate file that is read, in bytes.
LIMIT = 4 << 20

#: Where a pod finds its service account (Kubernetes documentation, "Accessing the Kubernetes API from a Pod").
ACCOUNT = "var/run/secrets/kubernetes.io/serviceaccount"

#: Seconds that whoever writes a kubeconfig into a pipe may take.
PATIENCE = 5.0

IN_CLUSTER, DEFAULT = "in-cluster", "default"

#: What came out of pipes, by path.
_held: dict[str, bytes] = {}


class Exec(Record):
    """A credential plugin (client.authentication.k8s.io): ``version`` is v1 or v1beta1, ``cluster`` what it is told of the cluster."""

    command: str
    version: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    hint: str = ""
    cluster: dict[str, Any] | None = None


class User(Record):
    """Who asks. Certificate and key are PEM, in bytes or in files; ``source`` says where all that stands, for messages."""

    name: str = ""
    source: str = ""
    certificate: bytes | None = None
    key: bytes | None = None
    certificate_file: str = ""
    key_file: str = ""
    token: str = ""
    token_file: str = ""
    username: str = ""
    password: str = ""
    plugin: Exec | None = None

    def __repr__(self) -> str:
        return f"User({self.name!r})"  # the rest is secret


class Cluster(Record):
    """One cluster, and who asks it.

    ``server`` is a URL without query, maybe with a path; ``ca`` certificates in PEM, or None for those that the system trusts; ``proxy`` a
    URL that may hold a password; ``source`` says where all that stands, for messages.
    """

    server: str
    ca: bytes | None = None
    insecure: bool = False
    tls_server_name: str | None = None
    proxy: str | None = None
    user: User = User()
    namespace: str = DEFAULT
    context: str = ""
    source: str = ""

    def __repr__(self) -> str:
        return f"Cluster({self.server!r}, {self.source})"


def load(
    environ: Mapping[str, str],
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    namespace: str | None = None,
    root: str = "/",
) -> Cluster:
    """The cluster that is meant. ``root`` is where the file tree begins in which a pod finds its service account.

    Raises NotApplicable when nothing says which; NotFound for a file, context, cluster or user that is named and missing, InvalidData
    for what does not have the form it must have, Unavailable for what cannot be read, InvalidInput for what we do not support.
    """
    places = [kubeconfig] if kubeconfig else _places(environ)
    read = [(place, data) for place in places for data in (read_file(place, place),) if data is not None]
    if kubeconfig and not read:
        raise NotFound(f"--kubeconfig: {kubeconfig}: there is no such file")
    tells = None
    if read:
        from eidos.kube.kubeconfig import Merged

        merged = Merged(read)
        if context or merged.current:
            found = merged.cluster(context or merged.current, context is not None, environ)
            inside = _namespace(environ, root) if not found.namespace and _account(environ, root) else DEFAULT
            return _in_namespace(found, namespace or found.namespace or inside)
        tells = f"{' and '.join(place for place, _ in read)} chooses no context"
    elif context:
        raise NotFound(f"--kube-context: there is no context {context!r}: {_nothing(environ, places)}")
    account = _account(environ, root)
    if account:
        found = _service_account(environ, root, account)
        return _in_namespace(found, namespace or found.namespace)
    hint = "say where it is with --kubeconfig or KUBECONFIG, and which with --kube-context"
    if kubeconfig:
        raise NotFound(f"--kubeconfig: {tells}", "choose one with --kube-context")
    raise NotApplicable(f"no cluster is configured: {tells or _nothing(environ, places)}", hint)


def nothing(environ: Mapping[str, str], is_there: Callable[[str], bool]) -> str:
    """Why :func:`load` finds no cluster when no flag says which; "" when it may find one. ``is_there`` tells whether there is such a file.

    Nothing is opened: this is for whoever wants to know before there is somebody who may wait for a file.
    """
    places = _places(environ)
    pod = environ.get("KUBERNETES_SERVICE_HOST") and is_there(f"/{ACCOUNT}/token")
    return "" if pod or any(map(is_there, places)) else f"no cluster is configured: {_nothing(environ, places)}"


def hold(environ: Mapping[str, str], kubeconfig: str | None) -> None:
    """Read what comes through a pipe of a shell, or standard input, before there are processes that all need it; they say what is wrong."""
    for place in [kubeconfig] if kubeconfig else _places(environ):
        if place.startswith("/dev/"):
            try:
                read_file(place, place)
            except EidosError:
                pass


def _places(environ: Mapping[str, str]) -> list[str]:
    said = environ.get("KUBECONFIG", "")
    if said:
        return [place for place in dict.fromkeys(said.split(os.pathsep)) if place]
    home = environ.get("HOME", "")
    return [os.path.join(home, ".kube", "config")] if home else []


def _nothing(environ: Mapping[str, str], places: list[str]) -> str:
    if environ.get("KUBECONFIG"):
        return f"KUBECONFIG names {', '.join(places) or 'no file'}, and no such file is there"
    return f"there is no {places[0] if places else '$HOME/.kube/config'}, and this is no pod with a service account"


def _in_namespace(cluster: Cluster, namespace: str) -> Cluster:
    from eidos.model.record import replace

    return replace(cluster, namespace=namespace or DEFAULT)


def _account(environ: Mapping[str, str], root: str) -> str | None:
    """The folder of a pod's service account, when this is a pod that has one."""
    folder = os.path.join(root, ACCOUNT)
    if not environ.get("KUBERNETES_SERVICE_HOST") or not environ.get("KUBERNETES_SERVICE_PORT"):
        return None
    try:
        with open(os.path.join(folder, "token"), "rb"):
            return folder
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError:  # it is there, and whoever reads it says what is wrong
        return folder


def _namespace(environ: Mapping[str, str], root: str) -> str:
    found = environ.get("POD_NAMESPACE", "")
    if found:
        return found
    try:
        with open(os.path.join(root, ACCOUNT, "namespace"), encoding="utf-8") as file:
            return file.read(1000).strip() or DEFAULT
    except (OSError, UnicodeDecodeError):
        return DEFAULT


def _service_account(environ: Mapping[str, str], root: str, folder: str) -> Cluster:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ["KUBERNETES_SERVICE_PORT"]
    where = "the environment of this pod (KUBERNETES_SERVICE_HOST and _PORT)"
    server, proxy = address(f"https://{f'[{host}]' if ':' in host else host}:{port}", None, where, environ)
    authority = os.path.join(folder, "ca.crt")
    ca = read_file(authority, authority)
    if ca is None or b"-----BEGIN CERTIFICATE-----" not in ca:
        log.warn(f"{authority} holds no certificate: those that the system trusts are trusted")
        ca = None
    token, source = os.path.join(folder, "token"), f"the service account in {folder}"
    user = User("service account", source, token_file=token)
    return Cluster(server, ca, proxy=proxy, user=user, namespace=_namespace(environ, root), context=IN_CLUSTER, source=source)


def address(server: str, proxy: str | None, where: str, environ: Mapping[str, str]) -> tuple[str, str | None]:
    """URL of a server, and of the proxy before it: ``proxy``, or the one of the environment; InvalidData for what is no http URL.

    >>> address("api.example.com:6443", None, "it", {}), address("https://example.com/k8s/?x=1", None, "it", {})
    (('http://api.example.com:6443', None), ('https://example.com/k8s', None))
    """
    from eidos.kube.proxy_settings import from_environment

    at = _url(server if "://" in server else f"http://{server}", f"{where}: the server", ("http", "https"))
    if "@" in at.netloc:
        raise InvalidData(f"{where}: the server's URL holds a name or a password", "write username and password for the user")
    said = proxy or from_environment(at.scheme, at.hostname or "", at.port or {"http": 80, "https": 443}[at.scheme], environ)
    if said:
        what = f"{where}: proxy-url" if proxy else f"{at.scheme.upper()}_PROXY"
        via = _url(said, what, ("http", "https", "socks5", "socks5h"))
        if via.scheme.startswith("socks"):
            raise InvalidInput(f"{what}: {via.scheme} is not supported", "use a proxy that speaks http or https")
        said = f"{via.scheme}://{via.netloc}"
    return f"{at.scheme}://{at.netloc}{at.path.rstrip('/')}", said or None


def _url(text: str, what: str, schemes: tuple[str, ...]) -> Any:
    """A URL taken apart; what it is does not show in messages, because it may hold a password."""
    from urllib.parse import urlsplit

    try:
        url = urlsplit(text)
        if url.scheme not in schemes:
            raise InvalidData(f"{what} must be {' or '.join(schemes[:2])}, not {url.scheme!r}")
        # The port is converted when it is asked for.
        is_whole = bool(url.hostname) and url.port != 0
    except ValueError:
        is_whole = False
    if not is_whole or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidData(f"{what} is no URL", "write it like https://api.example.com:6443")
    return url


def read_file(path: str, what: str) -> bytes | None:
    """The bytes of a file, None when there is none; Unavailable or InvalidData, about ``what``, when it cannot be read.

    A pipe is read too (a shell's ``<(command)`` is one), and waited for no longer than :data:`PATIENCE`; what came out of it is held, for
    it comes only once.
    """
    if path in _held:
        data = _held[path]
    else:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as fault:  # ValueError: a NUL in the path
            raise Unavailable(f"{what}: {_reason(fault)}", "run as a user who may read it") from fault
        try:
            data = _read_all(fd, what)
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                _held[path] = data
        except OSError as fault:
            raise Unavailable(f"{what}: {_reason(fault)}") from fault
        finally:
            os.close(fd)
    if len(data) > LIMIT:
        raise InvalidData(f"{what}: it has more than {LIMIT >> 20} MiB", "is this the file you meant?")
    if not data and path in _held:
        raise Unavailable(f"{what}: it is a pipe, and nothing came out of it", "write it to a file")
    return data


def _reason(fault: OSError | ValueError) -> str:
    return (getattr(fault, "strerror", None) or str(fault)).lower()


def _read_all(fd: int, what: str) -> bytes:
    import select
    import time

    poll = select.poll()
    poll.register(fd, select.POLLIN)
    until, data = time.monotonic() + PATIENCE, b""
    while len(data) <= LIMIT:
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise Unavailable(f"{what}: nobody wrote to it within {PATIENCE:g} s")
        try:
            part = os.read(fd, 1 << 16)
        except BlockingIOError:
            continue
        if not part:
            break
        data += part
    return data
