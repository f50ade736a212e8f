"""The form in which a bundle reaches a cluster: Argo CD, Flux, helmfile, manifests; without one of these, its own scripts.

Knows how a folder of ``templates/deployers/`` is read and which variables its templates have; must not know any deployer: what is special
to one is in its folder. Its index, ``deployer.yaml``:

``title``    for the help · ``renders``: a folder for what helm renders, or none
``needs``    ``repo`` where files lie in a git repository, ``revision`` where that has no default
``wraps``    a folder for the packed chart of a component, in a chart around it: for deployers that read no packed chart
``each``     a template and its target for each component, ``when`` a variable is there; with ``collect`` its documents are items of a list
``all``      files of the bundle; with ``variable`` a paragraph of those after it

=============================  ====================================================================================
``component.X``                as for other templates, and: ``oci`` (the registry, without scheme), ``source`` (that or the repository)
``component.folder``           its folder in the repository; ``has-manifests``, ``default-namespace`` (not where they name it)
``component.values``           without what is null; if that changes them ``null-values``, the text with it, and ``values-from``
``component.wave``             its place in the order, with room for its manifests: ``next-wave``
``component.archive``          the packed chart that the bundle carries, by its path in the repository, without the above source
``component.archived``         the name of that chart; ``wrapper``: the folder of one around it, and ``wrapped-values``, below that name
``component.needs``            releases that it depends on: names; ``needs-releases``: as ``namespace/name``
``deployer.repo``              ``path`` and ``revision``; ``git-url``, and ``branch``, ``commit`` or ``ref``, whichever the revision is
``deployer.files``             what was made for components, below the first folder; ``collected.X``: the lists
=============================  ====================================================================================

A bundle of these forms is meant for a repository that many can read, so values that hold a credential are refused.
"""

from __future__ import annotations

from eidos import formats
from eidos.bundle import chart_archives, template_variables
from eidos.bundle.chart_values import without_nulls
from eidos.bundle.checksums import format_checksums
from eidos.bundle.template_sets import VALUES, read_template_set, split_documents
from eidos.errors import InvalidInput, Unavailable
from eidos.files import resources
from eidos.model.bundle import CHECKSUMS
from eidos.model.tree_reader import QUOTED, TreeReader
from eidos.oci.reference import is_registry_host
from eidos.redact.harmless_forms import is_harmless
from eidos.redact.secret_names import has_credential_word, looks_like_token
from eidos.redact.urls_in_text import redact_url
from eidos.templates.placeholder import ABSENT
from eidos.templates.text_template import Markdown, escape_markdown, fill_text, parse_template
from eidos.templates.tree_template import fill_documents, fill_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from eidos.bundle.bundle_options import BundleOptions
    from eidos.bundle.chart_archives import ChartArchive
    from eidos.bundle.component_files import BundleContext, ComponentFiles
    from eidos.bundle.template_variables import Variables
    from eidos.model.recipe import Component

#: The deployer that is the bundle's own scripts.
HELM = "helm"

FOLDER, INDEX = "templates/deployers", "deployer.yaml"

#: Files of the scripts, which another deployer takes the place of.
_SCRIPTS = ("install.sh", "uninstall.sh", "functions.sh", "component.sh", "README.md")

KUSTOMIZATION = "kustomization.yaml"
_KUSTOMIZE = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}

_HELM_TIME_S, _RENDERED_BYTES = 120, 64 << 20

#: Characters of a revision and of a path in a repository.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+/")


def list_deployers() -> dict[str, str]:
    """Name → title of each deployer, the default first."""
    return {HELM: "scripts that install charts with helm", **{name: _index(name).text("title") for name in resources.list_deployers()}}


def reads_repository(name: str) -> bool:
    """Whether a deployer reads the bundle from a git repository."""
    return "repo" in _needs(name)


def check_deployer(options: BundleOptions) -> None:
    """Raise InvalidInput for a deployer without what it needs, or for a place in a repository that cannot be."""
    needs = _needs(options.deployer)
    if "repo" not in needs:
        for name in ("repo", "path", "revision"):
            if getattr(options, name):
                raise InvalidInput(f"--{name} is for deployers that read a git repository", "add --deployer argocd or --deployer flux")
        return
    if not options.repo:
        hint = "add --repo https://git.example.com/team/clusters.git --path gpu --revision main"
        raise InvalidInput(f"--deployer {options.deployer} needs the git repository in which the bundle will be", hint)
    scheme, separator, rest = options.repo.partition("://")
    if not separator:  # git@host:path
        scheme, rest = "ssh" if "@" in options.repo else "", options.repo.replace(":", "/", 1)
    host, _, path = rest.partition("/")
    if scheme not in ("https", "http", "ssh") or not host or not path or not options.repo.isprintable() or " " in options.repo:
        raise InvalidInput(f"invalid repository {redact_url(options.repo)[0]!r}", "write https://HOST/PATH.git or git@HOST:PATH.git")
    user, at, host = (host if separator else options.repo.partition(":")[0]).rpartition("@")
    is_login = at and (scheme != "ssh" or ":" in user)
    # A password with a slash ends what is before the path, so that no host is there; one of git:password@host:path has an @ after a colon.
    is_login = is_login or ("@" in path and not is_registry_host(host)) or (not separator and ":" in options.repo.partition("@")[0])
    if is_login or any(mark in options.repo for mark in "?#"):
        raise InvalidInput(
            "--repo: the address has a user or a credential in it, or a query", "give the deployer its credential in a Secret of its own"
        )
    if "revision" in needs and options.revision in ("", "HEAD"):
        raise InvalidInput(f"--deployer {options.deployer} needs a branch, refs/tags/TAG or a full commit", "add --revision main")
    for name, text in (("path", options.path), ("revision", options.revision)):
        if not set(text) <= _PLAIN or text.startswith(("-", "/")) or ".." in text.split("/"):
            raise InvalidInput(f"invalid {name} {text!r}", "write it relative to the repository" if name == "path" else None)


def arrange_files(
    files: Mapping[str, bytes], made: Sequence[tuple[Component, ComponentFiles]], context: BundleContext, top: Variables
) -> tuple[dict[str, bytes], list[str]]:
    """The files of the bundle in the form of its deployer, and warnings. Raises InvalidInput for a value that holds a credential."""
    options = context.options
    index = _index(options.deployer)
    warnings: list[str] = []
    arranged = {path: content for path, content in files.items() if _is_for_all(path)}
    variables = {**top, **_deployer_variables(options)}
    collected: dict[str, Any] = {}
    targets: list[str] = []
    components = [_component_variables(component, files, made, context, variables, warnings) for component, _ in made]
    variables["deployer.reads-git"] = any(each["component.has-manifests"] or "component.archive" in each for each in components)
    for each in components:
        if each["component.has-manifests"]:
            tree = {**_KUSTOMIZE, "resources": each["component.resources"]}
            arranged[f"{each['component.id']}/{KUSTOMIZATION}"] = formats.to_yaml(tree).encode()
        archive = context.archives.get(each["component.id"])
        if archive and not index.text("renders"):
            folder = str(fill_tree(index.text("wraps"), each)) if index.text("wraps") else chart_archives.FOLDER
            arranged[f"{folder}/{archive.name}"] = archive.content
        for item in index.mappings("each"):
            if item.text("when") and not each.get(item.text("when")):
                continue
            documents = _fill(options.deployer, item.name("template"), each)
            if "collect" in item:
                collected.setdefault(f"collected.{item.text('collect')}", []).extend(documents)
                continue
            target = str(fill_tree(item.text("target"), each))
            targets.append(target)
            arranged[target] = "---\n".join(map(formats.to_yaml, documents)).encode()
    if index.text("renders"):
        arranged.update(_render(index.text("renders"), components, arranged, context.archives, warnings))
        variables.pop("charts.note", None)
    shared = [item for item in index.mappings("all") if "/" in item.text("target") and not item.text("target").endswith(KUSTOMIZATION)]
    targets += [item.text("target") for item in shared if not item.text("when") or variables.get(item.text("when"))]
    variables.update({**collected, "deployer.files": [name.partition("/")[2] for name in targets]})
    variables["deployer.notes"] = Markdown("\n".join(f"- {escape_markdown(warning)}" for warning in warnings))
    for item in index.mappings("all"):
        template = item.name("template")
        if item.text("when") and not variables.get(item.text("when")):
            continue
        if template.endswith(".yaml"):
            content = "---\n".join(map(formats.to_yaml, _fill(options.deployer, template, variables)))
        else:
            content = fill_text(template, parse_template(resources.read_text(f"{FOLDER}/{options.deployer}/{template}")), variables)
        if "variable" in item:
            variables[item.text("variable")] = Markdown(content.rstrip())
        else:
            arranged[item.text("target") or template] = content.encode()
    for component, _ in made:
        prefix = f"{component.id}/"
        own = {path[len(prefix) :]: content for path, content in arranged.items() if path.startswith(prefix)}
        if own:
            arranged[prefix + CHECKSUMS] = format_checksums(own)
    return arranged, warnings


def _is_for_all(path: str) -> bool:
    """Whether a file is of use with any deployer; checksums of folders are made anew."""
    if path.startswith("node/"):
        return True
    if path.startswith(f"{chart_archives.FOLDER}/"):
        return False  # they go where the deployer looks for them
    name = path.rpartition("/")[2]
    return name not in _SCRIPTS and name != CHECKSUMS and "/scripts/" not in path


def _needs(name: str) -> tuple[str, ...]:
    return () if name == HELM else _index(name).texts("needs")


def _index(name: str) -> TreeReader:
    path = f"{FOLDER}/{name}/{INDEX}"
    return TreeReader(formats.from_text(resources.read_bytes(path), path), path, text_types=QUOTED)


def _fill(deployer: str, template: str, variables: Mapping[str, Any]) -> list[Any]:
    path = f"{FOLDER}/{deployer}/{template}"
    text = resources.read_text(path)
    return [document for document in fill_documents(split_documents(text, path), variables, path, lambda: text) if document is not ABSENT]


def _deployer_variables(options: BundleOptions) -> Variables:
    path = _repository_path(options)
    revision = options.revision or "HEAD"
    url = options.repo
    if url and "://" not in url:  # git@host:path, which only git itself takes
        host, _, rest = url.partition(":")
        url = f"ssh://{host}/{rest.lstrip('/')}"
    variables: Variables = {
        "deployer.repo": options.repo,
        "deployer.git-url": url,
        "deployer.path": path or ".",
        "deployer.revision": revision,
        "deployer.argocd-path": _repository_path(options, "argocd"),
    }
    is_commit = len(revision) == 40 and not revision.strip("0123456789abcdef")
    kind = "commit" if is_commit else "ref" if revision.startswith("refs/") else "branch"
    variables[f"deployer.{kind}"] = revision
    return variables


def _repository_path(options: BundleOptions, *below: str) -> str:
    """The folder of the bundle in the repository, or a path below it."""
    return "/".join([part for part in options.path.split("/") if part not in ("", ".")] + [*below])


def _component_variables(
    component: Component,
    files: Mapping[str, bytes],
    made: Sequence[tuple[Component, ComponentFiles]],
    context: BundleContext,
    shared: Variables,
    warnings: list[str],
) -> Variables:
    id, options = component.id, context.options
    chart = context.charts[id]
    variables = template_variables.component_variables(shared, component, chart.title or id, {}, options)
    text = files.get(f"{id}/{VALUES}", b"").decode()
    values = formats.from_text(text, f"{id}/{VALUES}") if text else {}
    for path in _credentials(values):
        message = f"{id}: the value {path} holds a credential, and a bundle for {options.deployer} is meant for a git repository"
        raise InvalidInput(message, f"name a Secret of the cluster instead, or build the bundle with --deployer {HELM}")
    template_set = read_template_set(context.templates, id, component.version, shared.get("query.service", ""))
    manifests = [file.target for file in template_set.files if file.is_applied and f"{id}/{file.target}" in files]
    for path, content in files.items():
        if path.startswith(f"{id}/manifests/") and "/examples/" not in path:
            for document in split_documents(content.decode(), path):
                for name in _credentials(document):
                    raise InvalidInput(f"{path} holds a credential at {name}", f"build the bundle with --deployer {HELM}")
    urls = [manifest.url for manifest in chart.manifests]
    if urls:
        warnings.append(f"{id}: kustomize fetches {len(urls)} manifests from their project, and compares no digest: {', '.join(urls)}")
    if template_set.settings.get("default-class"):
        mark = f"kubectl annotate storageclass {template_set.settings['default-class']} storageclass.kubernetes.io/is-default-class=true"
        warnings.append(f"{id}: {options.deployer} makes no storage class the default one; if the cluster has none, run '{mark}'")
    order = [other.id for other, _ in made]
    needed = [other for other, _ in made if other.id in (*component.depends, *chart.after) and other.chart]
    source = variables["component.chart-ref"].rpartition("/")[0].partition("://")[2] if not variables["component.repository"] else ""
    wave = 2 * order.index(id)
    if id in context.archives:
        folder = _repository_path(options, chart_archives.FOLDER)
        variables.update({"component.archive": f"./{folder}/{context.archives[id].name}", "component.repository": ""})
        variables["component.wrapper"] = f"{folder}/{id}"
        variables["component.archived"] = component.chart.rpartition("/")[2]
        variables["component.wrapped-values"] = {variables["component.archived"]: values}
        source = ""
    variables.update(
        {
            "component.oci": source if component.chart else "",
            "component.source": variables["component.repository"] or source,
            "component.folder": _repository_path(options, id),
            "component.values": without_nulls(values) or ABSENT,
            "component.has-manifests": bool(manifests or urls),
            "component.resources": [*manifests, *urls],
            "component.default-namespace": ABSENT if urls else component.namespace,
            "component.wave": str(wave),
            "component.next-wave": str(wave + 1),
            "component.needs": [{"name": other.id} for other in needed] or ABSENT,
            "component.needs-releases": [f"{other.namespace}/{other.id}" for other in needed] or ABSENT,
            "component.manifests-need": [f"{component.namespace}/{id}"] if component.chart else ABSENT,
        }
    )
    if without_nulls(values) != values:
        variables["component.null-values"] = text
        variables["component.values-from"] = [{"kind": "ConfigMap", "name": f"{id}-values"}]
    return {name: value for name, value in variables.items() if value is not ABSENT}


#: Ends of names whose value is the name of a Secret, or says where a credential is, and beginnings of such names.
_REFERENCES = ("name", "ref", "refs", "enabled", "path", "file", "mount", "mountpath", "policy", "type", "ttl", "size")
_REFERENCE_STARTS = ("existing", "imagepull", "image_pull", "automount")


def _credentials(tree: Any, path: str = "", key: str = "") -> Iterator[str]:
    """The paths of values whose names say that they hold a credential, except those that name a Secret."""
    if isinstance(tree, dict):
        name = tree.get("name")
        value = tree.get("value")
        if isinstance(name, str) and isinstance(value, str) and has_credential_word(name) and not is_harmless(value):
            yield f"{path}.{name}".lstrip(".")
        for name, value in tree.items():
            yield from _credentials(value, f"{path}.{name}".lstrip("."), str(name))
    elif isinstance(tree, list):
        for number, item in enumerate(tree):
            yield from _credentials(item, f"{path}[{number}]", key)
    elif isinstance(tree, str) and tree:
        lowered = key.lower()
        is_reference = lowered.endswith(_REFERENCES) or lowered.startswith(_REFERENCE_STARTS) or key == "key"
        is_secret = "PRIVATE KEY-----" in tree or any(map(looks_like_token, tree.split()))
        if is_secret or (has_credential_word(key) and not is_reference) or ("://" in tree and redact_url(tree)[1]):
            yield path


def _render(
    folder: str,
    components: Sequence[Variables],
    arranged: Mapping[str, bytes],
    archives: Mapping[str, ChartArchive],
    warnings: list[str],
) -> dict[str, bytes]:
    """What helm makes of each chart, with its manifests after it: a file for each component."""
    import os

    from eidos.process.run import find_program

    helm = find_program("helm", os.environ)
    if helm is None:
        raise Unavailable("helm was not found, which renders the charts", "install helm 3.17 or newer, or use another --deployer")
    rendered = {}
    for number, variables in enumerate(components, 1):
        id, namespace = variables["component.id"], variables["component.namespace"]
        texts = [formats.to_yaml({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})]
        if variables["component.chart"]:
            texts += _without_secrets(id, _helm_template(helm, variables, arranged[f"{id}/{VALUES}"], archives.get(id)), warnings)
        for path in variables.get("component.resources", ()):
            if f"{id}/{path}" in arranged:
                texts.append(arranged[f"{id}/{path}"].decode())
            else:
                warnings.append(f"{id}: apply {path} too")
        rendered[f"{folder}/{number:02}-{id}.yaml"] = "---\n".join(texts).encode()
    return rendered


def _helm_template(helm: str, variables: Variables, values: bytes, archive: ChartArchive | None) -> str:
    """The manifests of a chart. It is the one that the bundle carries, or it is fetched, or found in helm's cache."""
    import tempfile
    import time

    from eidos.process.run import EXITED, Command, run_program
    from eidos.redact.secrets_in_text import redact_output

    id = variables["component.id"]
    with tempfile.NamedTemporaryFile(suffix=".tgz") as file:
        if archive:
            file.write(archive.content)
            file.flush()
        words = [helm, "template", variables["component.release"], file.name if archive else variables["component.chart-ref"]]
        if variables["component.repository"]:
            words += ["--repo", variables["component.repository"]]
        words += ["--version", variables["component.version"], "--namespace", variables["component.namespace"]]
        words += ["--include-crds", "--values", "-"]
        done = run_program(Command(tuple(words), stdin=values), time.monotonic() + _HELM_TIME_S, _RENDERED_BYTES)
    if done.outcome != EXITED or done.status != 0:
        reason = " ".join(redact_output(done.errors).split()) or done.outcome
        raise Unavailable(f"{id}: helm cannot render the chart: {reason}", "check that the repository of the chart can be reached")
    return done.output.decode(errors="replace")


def _without_secrets(id: str, text: str, warnings: list[str]) -> list[str]:
    """The documents of helm's output but Secrets with content, which are named in a warning."""
    documents, left_out = [], []
    for document in f"\n{text}".split("\n---\n"):
        lines = document.strip("\n").split("\n")
        heads = {line.partition(":")[0] for line in lines if line[:1].isalpha()}
        if any(line.split() == ["kind:", "Secret"] for line in lines if line[:1] == "k") and heads & {"data", "stringData"}:
            name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("  name:")), "?")
            left_out.append(name)
        elif heads:
            documents.append("\n".join(lines) + "\n")
    if left_out:
        warnings.append(f"{id}: the Secrets {', '.join(left_out)} are left out: create them before you apply its file")
    return documents
