"""No request changes what another one gets: any interleaving gives the bytes that a new application gives to each alone."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from eidos.server.app import App
from eidos.server.message import Response
from tests.serve_app import application, request

WORDS = {
    "os": ("ubuntu", "rhel", "cos", "debian", "Ubuntu"),
    "osv": ("24.04", "22.04", "9.4"),
    "kernel": ("6.8", "6.8.0-1028-aws"),
    "service": ("eks", "gke", "aks", "oke", "self-managed", "k3s"),
    "k8s": ("1.33", "v1.33.5-eks-3025e55", "1.30"),
    "gpu": ("h100", "gb200", "l40s", "H100", "a100"),
    "intent": ("training", "inference"),
    "context": ("true", "false", ""),
}

ACCEPTS = ("application/json", "application/yaml", "*/*", "application/vnd.nvidia.cns.v1+json", "text/html", "application/problem+json")

Asked = tuple[str, str, bytes, str, str]


@st.composite
def asked(draw: st.DrawFn) -> Asked:
    said = draw(st.fixed_dictionaries({}, optional={field: st.sampled_from(words) for field, words in WORDS.items()}))
    accept, coding = draw(st.sampled_from(ACCEPTS)), draw(st.sampled_from(("gzip", "identity", "")))
    query = "&".join(f"{field}={word}" for field, word in draw(st.permutations(list(said.items()))))
    kind = draw(st.sampled_from(("recipe", "recipe", "recipe", "body", "bundle", "snapshot", "catalog", "wrong", "page")))
    if kind == "recipe":
        return "GET", f"/v1/recipe?{query}", b"", accept, coding
    plain = {field: word for field, word in said.items() if field != "context"}
    if kind == "body":
        return "POST", "/v1/recipe?context=true", json.dumps(plain).encode(), accept, coding
    if kind == "snapshot":
        model = {"gpu.model": f"NVIDIA {plain.get('gpu', 'H100').upper()}", "driver": "580.82.07"}
        tree = {"kind": "Snapshot", "measurements": [{"type": "GPU", "subtypes": [{"subtype": "smi", "data": model}]}]}
        return "POST", "/v1/recipe?intent=training", json.dumps(tree).encode(), accept, coding
    if kind == "bundle":
        form, parts = (
            draw(st.sampled_from(("zip", "tar.gz"))),
            draw(st.sampled_from(("cert-manager", "gpu-operator", "cert-manager,kai-scheduler"))),
        )
        return "POST", f"/v1/bundle?archive={form}&bundlers={parts}", _recipe(tuple(plain.items())), "*/*", coding
    return "GET", {"catalog": "/v1/catalog", "wrong": f"/v1/recipe?{query}&gpu=none", "page": "/"}[kind], b"", accept, coding


@cache
def _recipe(said: tuple[tuple[str, str], ...]) -> bytes:
    return application().answer(request("POST", "/v1/recipe", json.dumps(dict(said)).encode())).body


def ask(app: App, what: Asked) -> Response:
    method, target, body, accept, coding = what
    once = request(method, target, body, accept=accept, accept_encoding=coding)
    return app.quick(once) or app.answer(once)


def seen(response: Response) -> object:
    """Everything but what belongs to one request alone: its id, and the time at which it failed."""
    headers = tuple(pair for pair in response.headers if pair[0] != "X-Request-Id")
    if response.status < 400:
        return response.status, headers, response.body
    tree = json.loads(response.body)
    for name in ("requestId", "timestamp", "instance"):
        tree.pop(name, None)
    return response.status, headers, tree


@cache
def alone(what: Asked) -> object:
    return seen(ask(application(), what))


SHARED = application()


@settings(max_examples=25)
@given(st.lists(asked(), min_size=1, max_size=8))
def test_answers_do_not_depend_on_what_was_asked_before(requests: list[Asked]) -> None:
    for what in requests:
        assert seen(ask(SHARED, what)) == alone(what)


@settings(max_examples=6)
@given(st.lists(asked(), min_size=4, max_size=10))
def test_answers_do_not_depend_on_what_is_asked_meanwhile(requests: list[Asked]) -> None:
    app = application()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda what: seen(ask(app, what)), requests * 2))
    assert found == [alone(what) for what in requests * 2]
