"""``eidos manifest`` as people run it: what is refused, and how it is said."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos import formats
from eidos.errors import InvalidInput
from eidos.manifest import AgentOptions, ServerOptions, agent_manifests, server_manifests
from tests.support.effort import examples
from tests.support.manifests import PROGRAM, archive
from tests.support.program import command_line, eidos

HOSTPATH = "--delivery=hostpath"

#: What is logged about the agent's view of a node.
SHARE = [
    (
        "warning: the agent reads 29 % of a node's operating system (measured on Linux 6.18 without modules), "
        "because it has namespaces of its own"
    ),
    "hint: add --host-network --host-ipc --host-pid to read 99.6 %, without a privileged container",
]

#: Arguments → what the message names, and what the hint does.
REFUSED: dict[str, tuple[str, str]] = {
    "manifest": ("needs a kind: agent, server", ""),
    "manifest agnet": ("invalid kind 'agnet'; expected one of agent, server", "did you mean 'agent'?"),
    f"manifest agent {HOSTPATH} --mesh istio": ("--mesh is a flag of 'eidos manifest server'", ""),
    "manifest server --delivery=image=x --per node": ("--per is a flag of 'eidos manifest agent'", ""),
    "manifest agent": ("eidos runs from a folder", "python3 build_zipapp.py"),
    "manifest agent --program /nonexistent": ("/nonexistent: no such file", "--program"),
    "manifest agent --delivery hostpth": (
        "invalid value 'hostpth'; expected one of configmap, hostpath, image",
        "did you mean 'hostpath'?",
    ),
    "manifest agent --delivery hostpath relative.pyz": ("--delivery: 'relative.pyz' is not an absolute path", "/opt/eidos/eidos.pyz"),
    "manifest agent --delivery image": ("needs an image", "--delivery image=registry.example.com/eidos:1.2.3"),
    "manifest agent --delivery image Registry/X": ("--delivery: invalid image 'Registry/X'", ""),
    "manifest agent --delivery image=a b": ("both 'a' and 'b' are given", ""),
    f"manifest agent {HOSTPATH} --program x": ("--program cannot be used with --delivery hostpath", ""),
    "manifest agent --delivery image=a --image b": ("--image cannot be used with --delivery image", ""),
    f"manifest agent {HOSTPATH} --image a:b:c": ("--image: invalid image 'a:b:c': invalid tag 'b:c'", ""),
    f"manifest agent {HOSTPATH} --namespace Eidos": ("--namespace: invalid namespace 'Eidos'", "lower-case letters"),
    f"manifest agent {HOSTPATH} --memory 1TB": ("--memory: invalid memory quantity '1TB'", "256Mi"),
    f"manifest agent {HOSTPATH} --memory 1Mi": ("--memory: 1Mi is less than the container's request", "--memory to 64Mi or more"),
    f"manifest agent {HOSTPATH} --schedule 61": ("--schedule: invalid schedule '61': expected 5 fields, got 1", "0 3 * * *"),
    f"manifest agent {HOSTPATH} --schedule @dayly": ("--schedule: invalid schedule '@dayly'", "did you mean '@daily'?"),
    f"manifest agent {HOSTPATH} --nodes a": ("--nodes needs --per node", ""),
    f"manifest agent {HOSTPATH} --groups a": ("--groups needs --per group=LABEL", ""),
    f"manifest agent {HOSTPATH} --per node --nodes A_b": ("--nodes: invalid node name 'A_b'", ""),
    f"manifest agent {HOSTPATH} --per group": ("--per: invalid value 'group'; expected node or group=LABEL", ""),
    f"manifest agent {HOSTPATH} --per group=a/b/c": ("--per: 'a/b/c=': invalid label key 'a/b/c'", ""),
    f"manifest agent {HOSTPATH} --per group=a --groups x/y": ("--groups: 'a=x/y': invalid label value 'x/y'", ""),
    f"manifest agent {HOSTPATH} --per group=a --groups b --node-selector a=c": (
        "--groups: 'a=c': 'a' is already 'b'",
        "remove one of them",
    ),
    f"manifest agent {HOSTPATH} --node-selector a=b,a=c": ("--node-selector: 'a=c': 'a' is already 'b'; a label has one value", ""),
    f"manifest agent {HOSTPATH} --node-selector pool": ("--node-selector: invalid label selector 'pool'", "label=value"),
    f"manifest agent {HOSTPATH} --toleration a:NoShedule": (
        "--toleration: 'a:NoShedule': invalid effect 'NoShedule'; expected",
        "did you mean 'NoSchedule'?",
    ),
    f"manifest agent {HOSTPATH} --gpu cdy": ("--gpu: invalid value 'cdy'; expected one of", "did you mean 'cdi'?"),
    f"manifest agent {HOSTPATH} --gpu none=1": ("none takes no value", ""),
    f"manifest agent {HOSTPATH} --gpu cdi=all": ("invalid CDI device 'all'", "nvidia.com/gpu=all"),
    f"manifest agent {HOSTPATH} --gpu cdi==x": ("--gpu: invalid CDI device '=x'", "nvidia.com/gpu=all"),
    f"manifest agent {HOSTPATH} --gpu driver-root=/proc --privileged": (
        "/proc is a host path that the agent mounts already",
        "/run/nvidia/driver",
    ),
    f"manifest agent {HOSTPATH} --gpu runtime-class=N": ("invalid runtime class 'N'", ""),
    f"manifest agent {HOSTPATH} --gpu driver-root": ("only a privileged container", "--privileged"),
    f"manifest agent {HOSTPATH} --without systend": ("--without: invalid value 'systend'; expected one of", "did you mean 'systemd'?"),
    f"manifest agent {HOSTPATH} -t table": ("--format table needs --explain-privileges", ""),
    f"manifest agent {HOSTPATH} -t xml": ("--format: invalid value 'xml'; expected one of", ""),
    f"manifest agent {HOSTPATH} -o a.yaml -o b.yaml": ("'a.yaml' and 'b.yaml' are the same kind of output", ""),
    f"manifest agent {HOSTPATH} -o secrets://a/b": ("invalid location 'secrets://a/b'", "did you mean 'secret'?"),
    f"manifest agent {HOSTPATH} -o secret://eidos": (
        "--output: invalid location 'secret://eidos'",
        "secret://eidos/eidos-{node}",
    ),
    f"manifest agent {HOSTPATH} -o cm://Eidos/x": ("--output: 'cm://Eidos/x': invalid namespace 'Eidos'", ""),
    f"manifest agent {HOSTPATH} -o cm://eidos/X": ("--output: 'cm://eidos/X': invalid ConfigMap name 'X'", ""),
    f"manifest agent {HOSTPATH} --per node --nodes {'n' * 249}": ("--output: 'cm://eidos/eidos-{node}': ", "at most 253"),
    f"manifest agent {HOSTPATH} -o cm://eidos/x --per node --nodes a,b": ("2 Jobs would overwrite the same document", "{node}"),
    f"manifest agent {HOSTPATH} -o /nonexistent/x.yaml": ("folder does not exist", ""),
    f"manifest agent {HOSTPATH} --kubernetes-version 2": ("--kubernetes-version: invalid Kubernetes version '2'", "1.31"),
    f"manifest agent {HOSTPATH} --kubernetes-version v1.26.3": ("--kubernetes-version: 'v1.26.3': the manifests need Kubernetes", "1.27"),
    f"manifest server {HOSTPATH}": ("the restricted Pod Security Standard", "--delivery configmap"),
    "manifest server --delivery=image=x --memory 127Mi": (
        "--memory: 127Mi is less than the container's request",
        "--memory to 128Mi or more",
    ),
    "manifest server --delivery=image=x -o cm://a/b": ("is not a file", ""),
    "manifest server --delivery=image=x --ingress Example.com": ("--ingress: invalid host name 'Example.com'", ""),
    "manifest server --delivery=image=x --ingress 192.0.2.1": ("an Ingress takes a name", ""),
    "manifest server --delivery=image=x --ingress-class a": ("--ingress-class needs --ingress", "--ingress"),
    "manifest server --delivery=image=x --monitoring-label a=b": ("--monitoring-label needs --monitoring", "--monitoring"),
    "manifest server --delivery=image=x --otlp nowhere": ("--otlp: 'nowhere' is not an http or https URL", ""),
    "manifest server --delivery=image=x --otlp http://a:b@example.com": ("--otlp: ", ""),
    "manifest server --delivery=image=x --tls-issuer Isuer/x": (
        "invalid value 'Isuer'; expected one of ClusterIssuer, Issuer",
        "did you mean 'Issuer'?",
    ),
    "manifest server --delivery=image=x --mesh isto": (
        "--mesh: invalid value 'isto'; expected one of istio, linkerd",
        "did you mean 'istio'?",
    ),
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_is_refused_is_named(arguments: str, capfd: pytest.CaptureFixture[str]) -> None:
    done = command_line(capfd)(*arguments.split(" "))
    message, hint = REFUSED[arguments]
    assert done.status == (1 if "/nonexistent/x.yaml" in arguments else 2) and done.out == "", done.err
    first, *rest = done.err.splitlines()
    assert first.startswith("error: ") and message in first, first
    assert not hint or any(line.startswith("hint: ") and hint in line for line in rest), rest
    assert "b@example" not in done.err, "a password is not repeated"


def test_the_built_file_prints_itself(pyz: Path, agent_pyz: Path, server_pyz: Path, tmp_path: Path) -> None:
    for file in (pyz, agent_pyz):
        done = eidos("manifest", "agent", program=[sys.executable, str(file)])
        assert (done.status, done.err.splitlines()) == (0, SHARE)
        trees = [tree for tree in yaml.load_all(done.out, Loader=yaml.CSafeLoader) if tree]
        assert [tree["kind"] for tree in trees][:2] == ["ConfigMap", "ServiceAccount"]
        assert trees[0]["metadata"]["name"].startswith("eidos-agent-")
        assert base64.b64decode(trees[0]["binaryData"]["eidos.pyz"]) == agent_pyz.read_bytes()
        assert trees[-1]["spec"]["template"]["spec"]["volumes"][-1]["configMap"]["name"] == trees[0]["metadata"]["name"]
    done = eidos("manifest", "server", "-o", str(tmp_path / "server.json"), program=[sys.executable, str(pyz)])
    assert (done.status, done.out, done.err) == (0, "", "")
    items = {item["kind"]: item for item in json.loads((tmp_path / "server.json").read_text())["items"]}
    assert items.keys() >= {"Deployment", "Service"}
    assert base64.b64decode(items["ConfigMap"]["binaryData"]["eidos.pyz"]) == server_pyz.read_bytes()
    done = eidos("manifest", "server", program=[sys.executable, str(agent_pyz)])
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: {agent_pyz}: it was built for another purpose than server\nhint: build it with ")


def test_nothing_of_a_cluster_is_imported_to_print(tmp_path: Path) -> None:
    code = (
        "import sys; from eidos.cli import main; main(sys.argv[1:]); "
        "print([n for n in sys.modules if n.startswith('eidos.kube.api') or n in ('ssl', 'http.client')], file=sys.stderr)"
    )
    line = [sys.executable, "-c", code, "manifest", "server", "--program", str(archive(tmp_path / "x.pyz"))]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.strip().endswith("[]")


def test_explained_as_a_table_or_a_tree() -> None:
    table = eidos("manifest", "agent", "--explain-privileges", "--host-pid")
    rows = json.loads(eidos("manifest", "agent", "--explain-privileges", "--host-pid", "-t", "json").out)
    assert table.status == 0 and table.out.splitlines()[0].split() == ["FACT", "NEEDS", "GIVEN", "LOST", "WITHOUT"]
    assert all(row["fact"] in table.out for row in rows)
    assert {row["given"] for row in rows if row["flag"] == "--host-pid"} == {True}


#: What somebody might put where a text is taken, to get out of it.
HOSTILE = st.text(min_size=1, max_size=40) | st.sampled_from(
    ['a"\nkind: Pod', "a: b", "{{x}}", "@{name}", "$(NODE_NAME)", "- x", "#", "'", "\\", "a\u2028b", "\x00", "*a", "&a", "!!python/object"]
)


@given(HOSTILE)
@settings(max_examples=examples(60))
def test_no_value_leaves_its_field(word: str) -> None:
    """Whatever text a caller of the functions says, what is printed has the same shape as with any other text."""

    def shape(tree: object) -> object:
        if isinstance(tree, dict):
            return {key: shape(value) for key, value in tree.items()}
        return [shape(item) for item in tree] if isinstance(tree, list) else type(tree).__name__

    def printed(text: str) -> list[object]:
        trees = agent_manifests(AgentOptions(program=PROGRAM, image=text, gpu=("runtime-class", text), tolerations=({"operator": text},)))
        trees += server_manifests(ServerOptions(program=PROGRAM, image=text, ingress=text, ingress_class=text, issuer=("Issuer", text)))
        out = "".join(f"---\n{formats.to_yaml(tree)}" for tree in trees)
        assert yaml.safe_load(formats.to_yaml({"x": text}))
        return [shape(tree) for tree in yaml.load_all(out, Loader=yaml.CSafeLoader)]

    assert printed(word) == printed("plain")


@given(HOSTILE)
@settings(max_examples=examples(100))
def test_an_output_is_valid_or_refused(word: str) -> None:
    try:
        trees = agent_manifests(AgentOptions(program=PROGRAM, output=f"cm://eidos/{word}"))
    except InvalidInput:
        return
    (word,) = [word for word in trees[-1]["spec"]["template"]["spec"]["containers"][0]["args"] if word.startswith("--output=")]
    assert (
        word.replace("$(NODE_NAME)", "").replace("--output=cm://eidos/", "").replace("-", "").replace(".", "").isalnum() or "{node}" in word
    )
