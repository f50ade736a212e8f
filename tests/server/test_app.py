"""What the application answers: every endpoint, every refusal, every header."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import time
import zipfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from eidos.errors import EidosError
from eidos.http_wire.messages import HttpError
from eidos.model.query import words_of
from eidos.server.app import App
from eidos.server.error_responses import CODES, STATUSES, error_response
from eidos.server.handlers import HandlerCall, HandlerResult
from eidos.server.negotiation import accepts_gzip, choose
from eidos.server.parameters import Parameter, parse_parameters
from eidos.server.recipe_data import load_recipe_data
from eidos.server.representation import RepresentationCache, make_representation
from eidos.server.routes import JSON, ROUTES, YAML, Operation, Route
from eidos.server.server_settings import Settings
from eidos.telemetry.spans import Sampler, Span, Tracer
from tests.support.in_process_server import FREE, Client, application, header, parse_error, request
from tests.support.program import CHECKOUT, eidos

QUERY = "os=ubuntu&service=eks&gpu=h100&intent=training"
FLAGS = ("--os", "ubuntu", "--service", "eks", "--gpu", "h100", "--intent", "training")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def ask() -> Client:
    return Client(application())


# ---- recipes ----


@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize(("accept", "fmt"), [("application/json", "json"), ("application/yaml", "yaml")])
def test_a_recipe_is_what_the_command_line_writes(ask: Client, accept: str, fmt: str, context: bool) -> None:
    response = ask.get(f"/v1/recipe?{QUERY}" + "&context=true" * context, accept=accept)
    written = eidos("recipe", *FLAGS, "-t", fmt, *["--context"] * context)
    assert (response.status, response.body.decode(), header(response, "Content-Type")) == (200, written.out, accept)
    assert (
        ask.post(
            f"/v1/recipe{'?context' * context}", json.dumps(dict(part.split("=") for part in QUERY.split("&"))).encode(), accept=accept
        ).body
        == response.body
    )


def test_words_are_read_like_those_of_the_command_line(ask: Client) -> None:
    plain = ask.get("/v1/recipe?service=self-managed&gpu=h100").body
    for target in (
        "env=on-prem&gpu=H100",
        "gpu=h100&env=kubeadm&os=any&intent=",
        "&gpu=%68100&&service=self%2Dmanaged",
        "gpu=+h100+&service=bare-metal",
    ):
        assert ask.get(f"/v1/recipe?{target}").body == plain


def test_a_recipe_tells_which_fields_no_layer_is_specific_to(ask: Client) -> None:
    tree = json.loads(ask.get("/v1/recipe?os=debian").body)
    assert "recipe-uncovered" not in tree["metadata"] and tree["generic"] == []
    assert json.loads(ask.get("/v1/recipe?gpu=l40&service=gke").body)["generic"] == ["gpu+service"]
    snapshot = {"kind": "Snapshot", "measurements": [{"type": "GPU", "subtypes": [{"subtype": "smi", "data": {"gpu.model": "NVIDIA Z9"}}]}]}
    tree = json.loads(ask.post("/v1/recipe", json.dumps(snapshot).encode()).body)
    assert tree["metadata"]["recipe-uncovered"] == "gpu" and tree["generic"] == ["gpu"]


def test_a_snapshot_gets_the_recipe_of_its_node(ask: Client, tmp_path: Path, shared: Path) -> None:
    path = shared / "snapshots" / "h100-eks.yaml"
    written = eidos("recipe", "-f", str(path), "--intent", "training", "-t", "json")
    for body in (path.read_bytes(), json.dumps(yaml.safe_load(path.read_text())).encode()):
        response = ask.post("/v1/recipe?intent=training", body)
        assert (response.status, response.body.decode()) == (200, written.out)
        assert header(response, "Cache-Control") == "no-store"
        assert header(response, "ETag") is None


def test_a_query_document_may_be_yaml_and_hold_numbers(ask: Client) -> None:
    response = ask.post("/v1/recipe", b"os: ubuntu\nosVersion: 24.04\nk8s: 1.30\ngpu:\n", accept="application/yaml")
    assert yaml.safe_load(response.body)["request"] == {"os": "ubuntu", "osv": "24.04", "k8s": "1.30"}


def test_an_intent_in_query_and_body_has_to_agree(ask: Client) -> None:
    assert ask.post("/v1/recipe?intent=training", b"intent: Training").status == 200
    assert json.loads(ask.post("/v1/recipe?intent=training", b"gpu: h100").body)["request"]["intent"] == "training"
    error = ask.post("/v1/recipe?intent=training", b"intent: inference")
    assert error.status == 400
    assert parse_error(error)["details"] == {"parameter": "intent", "value": "training", "body": "inference", "hint": "set it once"}


# ---- what is wrong with a request ----


@pytest.mark.parametrize(
    ("target", "words", "details"),
    [
        (
            "gpx=h100",
            "unknown parameter 'gpx'; expected one of os, osv, kernel, service, env, k8s, gpu, intent, platform, machine, context",
            {"nearest": "gpu"},
        ),
        ("gpu=h100&gpu=h100", "gpu is set twice", {"parameter": "gpu"}),
        ("env=eks&service=eks", "env and service are the same parameter, and both are set", {}),
        ("gpu=h10", "gpu: invalid value; expected one of h100, h200", {"parameter": "gpu", "nearest": "h100"}),
        ("env=ekss", "env: invalid value; expected one of", {"parameter": "env", "nearest": "eks"}),
        ("osv=24.x", "osv: invalid version", {"parameter": "osv"}),
        ("context=maybe", "context: invalid value; expected true or false", {"valid": ["true", "false"]}),
        (
            "machine=p5.48xlarge&gpu=a100",
            "machine p5.48xlarge has gpu h100, not a100",
            {"parameter": "gpu", "hint": "remove gpu, or choose another machine"},
        ),
        ("gpu=%ff", "a parameter is not UTF-8", {}),
        ("gpu=%zz", "an invalid % escape", {}),
        ("gpu=%00", "a NUL character", {}),
        ("a%0ab=1", "unknown parameter '<withheld>'", {}),
    ],
)
def test_a_parameter_that_is_wrong_is_named(ask: Client, target: str, words: str, details: dict[str, object]) -> None:
    response = ask.get(f"/v1/recipe?{target}")
    tree = parse_error(response)
    assert (response.status, tree["code"], tree["retryable"]) == (400, "INVALID_REQUEST", False)
    assert words in tree["message"]
    assert details.items() <= tree["details"].items()
    assert header(response, "Cache-Control") == "no-store"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is empty"),
        (b"[]", "expected a mapping"),
        (b"{", "the body, line 1, column 2: not valid JSON or YAML"),
        (b"gpu: h100\n\tx: [", "the body, line 2"),
        (b"\xff\xfe\xff", "the body"),
        (b"a: 1\na: 2", 'the body, line 2, column 1: the key "a" is repeated; first used on line 1'),
        (b"gpux: h100", "the body: unknown field 'gpux'"),
        (b"gpu: [h100]", "the body: gpu: expected a word or a version"),
        (b"gpu: h10", "the body: gpu: invalid value; expected one of"),
        (b"service: eks\nenv: eks", "the body: service and env are the same field"),
        (b"osv: 24\nosVersion: 24", "the body: osv and osVersion are the same field"),
        (b"kind: Snapshot", "the body: not a snapshot: it has no measurements"),
        (b"kind: Recipe\nmeasurements: []", 'the body: kind: expected Snapshot, found "Recipe"'),
        (b"measurements: [{type: OS, subtypes: [{subtype: a, data: {x: []}}]}]", "measurements[0].subtypes[0].data.x: expected a scalar"),
    ],
)
def test_a_body_that_is_wrong_is_shown_where(ask: Client, body: bytes, words: str) -> None:
    response = ask.post("/v1/recipe", body)
    assert response.status == 400
    assert words in parse_error(response)["message"]


def test_messages_hold_no_words_of_a_library(ask: Client) -> None:
    for body in (b"{", b"{'a': 1", b"a: b: c", b"- [", b"a: !!python/object:x {}", b"&a [*a]", b"%YAML 9\n---", b"\x00", b'{"a": 1e999}'):
        text = ask.post("/v1/recipe", body).body.decode()
        assert not re.search(r"Expecting|mapping values|scanner|while parsing|Traceback|File \"|/usr|\.py", text), text


def test_unknown_paths_and_methods(ask: Client) -> None:
    missing = ask.get("/v1/recipes")
    assert (missing.status, parse_error(missing)["code"], parse_error(missing)["details"]["nearest"]) == (404, "NOT_FOUND", "/v1/recipe")
    for path in ("/v1/recipe/", "/v1//recipe", "/v1%2Frecipe", "/V1/recipe", "//", "/v1/../health", "/\x00"):
        assert ask.get(path).status == 404, path
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "BREW", "get"):
        wrong = ask(method, "/v1/recipe")
        assert (wrong.status, parse_error(wrong)["code"], header(wrong, "Allow")) == (405, "METHOD_NOT_ALLOWED", "GET, HEAD, POST, OPTIONS")
    assert header(ask("POST", "/v1/catalog"), "Allow") == "GET, HEAD, OPTIONS"
    assert header(ask("HEAD", "/v1/bundle"), "Allow") == "POST, OPTIONS"
    options = ask("OPTIONS", "/v1/bundle")
    assert (options.status, options.body, header(options, "Allow")) == (200, b"", "POST, OPTIONS")
    assert ask("OPTIONS", "*").status == 200
    assert ask("OPTIONS", "/nowhere").status == 404


def test_errors_are_problems_for_whoever_accepts_them(ask: Client) -> None:
    response = ask.get("/v1/recipe?gpu=x", accept="application/problem+json, application/json;q=0.5")
    tree = json.loads(response.body)
    assert header(response, "Content-Type") == "application/problem+json"
    assert {"type": "about:blank", "title": "Bad Request", "status": 400, "code": "INVALID_REQUEST"}.items() <= tree.items()
    assert tree["instance"] == f"urn:uuid:{tree['requestId']}"
    assert tree["detail"].startswith("gpu: invalid value; expected one of")
    alone = ask.get("/v1/recipe?gpu=x", accept="application/problem+json")
    assert (alone.status, header(alone, "Content-Type")) == (400, "application/problem+json")
    assert header(ask.get("/v1/recipe", accept="application/problem+json"), "Content-Type") == "application/json"
    assert ask.get("/v1/recipe", accept="application/problem+json, application/vnd.nvidia.cns.v2+json").status == 406
    assert "message" not in tree


def test_every_status_has_a_code_that_is_listed() -> None:
    assert {code for _, code in STATUSES.values()} == set(CODES)
    tree = json.loads(error_response(400, "a\nb" + "x" * 5000, "id", "", {"n": 1, "l": [{"a": "\x1b"}], "o": object}).body)
    assert tree["message"].startswith("a\\nb")
    assert len(tree["message"]) == 2000
    assert tree["details"]["l"] == [{"a": "\\x1b"}]
    assert json.loads(error_response(418, "", "id", "").body)["code"] == "INVALID_REQUEST"
    assert json.loads(error_response(507, "", "id", "").body)["code"] == "INTERNAL_ERROR"


def test_unread_types_and_codings_are_refused(ask: Client) -> None:
    assert ask.post("/v1/recipe", b"gpu: h100", content_type="multipart/form-data; boundary=x").status == 415
    packed = ask.post("/v1/recipe", gzip.compress(b"gpu: h100"), content_encoding="gzip")
    assert (packed.status, header(packed, "Accept-Encoding")) == (415, "identity")
    assert ask.post("/v1/recipe", b"gpu: h100", content_type="application/x-www-form-urlencoded", content_encoding="identity").status == 200


# ---- headers ----


def test_a_recipe_can_be_cached_and_revalidated(ask: Client) -> None:
    target = f"/v1/recipe?{QUERY}"
    first = ask.get(target)
    tag = header(first, "ETag")
    assert tag is not None and re.fullmatch(r'"[0-9a-f]{32}"', tag)
    assert header(first, "Cache-Control") == "public, max-age=600"
    assert header(first, "Vary") == "Accept, Accept-Encoding"
    for condition in (tag, f"W/{tag}", f'"x", W/{tag}', "*", f' "a" ,{tag} '):
        again = ask.get(target, if_none_match=condition)
        assert (again.status, again.body, header(again, "ETag"), header(again, "Content-Type")) == (304, b"", tag, None)
        assert header(again, "Cache-Control") == "public, max-age=600"
        assert ask("HEAD", target, if_none_match=condition).status == 304
    for condition in ('"x"', tag.strip('"'), "", f"{tag}x", '"*"'):
        assert ask.get(target, if_none_match=condition).status == 200
    assert header(ask.get(target, accept="application/yaml"), "ETag") != tag
    assert header(ask.get(f"{target}&context"), "ETag") != tag


def test_if_match_requires_the_current_representation(ask: Client) -> None:
    target = f"/v1/recipe?{QUERY}"
    tag = header(ask.get(target), "ETag")
    assert tag is not None
    for condition in (tag, f'"x", {tag}', "*", f' "a" ,{tag} '):
        assert [ask(method, target, if_match=condition).status for method in ("GET", "HEAD")] == [200, 200]
        assert ask.get(target, if_match=condition, if_none_match=tag).status == 304
    for condition in (f"W/{tag}", '"x"', tag.strip('"'), "", f'{tag[:-1]}-gzip"'):
        for other in ({}, {"if_none_match": tag}, {"if_none_match": "*"}):
            error = ask.get(target, if_match=condition, **other)
            assert (error.status, parse_error(error)["code"], header(error, "Cache-Control")) == (412, "PRECONDITION_FAILED", "no-store")
    assert ask.get(target, if_match=f'{tag[:-1]}-gzip"', accept_encoding="gzip").status == 200
    assert ask.get(f"{target}&gpux=1", if_match='"x"').status == 400, "a condition counts only for what would succeed"
    for method, path, body in (("POST", "/v1/recipe", b"gpu: h100"), ("GET", "/health", b"")):
        assert ask(method, path, body, if_match="*").status == 200
        assert ask(method, path, body, if_match=tag).status == 412, "what has no entity tag matches none"


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        *(("POST", "/v1/recipe", None), ("POST", "/v1/bundle?archive=zip", None), ("GET", "/v1/recipe", 417), ("HEAD", "/", 417)),
        *(("POST", "/health", 405), ("PUT", "/v1/recipe", 405), ("POST", "/v1/recipes", 404), ("OPTIONS", "/v1/recipe", 200)),
    ],
)
def test_a_body_is_accepted_only_where_it_is_read(ask: Client, method: str, target: str, status: int | None) -> None:
    response = ask.app.refuse_body(request(method, target, expect="100-continue"))
    assert (response.status if response else None) == status
    if response is not None and status != 200:
        assert parse_error(response)["code"] == STATUSES[response.status][1]


def test_gzip_is_for_those_who_take_it(ask: Client) -> None:
    target = f"/v1/recipe?{QUERY}"
    plain = ask.get(target)
    packed = ask.get(target, accept_encoding="gzip, deflate, br")
    assert header(packed, "Content-Encoding") == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert packed.body[4:8] == b"\0" * 4  # no time
    tag = header(packed, "ETag")
    assert tag != header(plain, "ETag")
    assert ask.get(target, accept_encoding="gzip", if_none_match=tag).status == 304
    assert ask.get(target, if_none_match=tag).status == 200
    for refused in ("identity", "gzip;q=0", "br", "*;q=0", "gzip;q=0.5, identity"):
        assert header(ask.get(target, accept_encoding=refused), "Content-Encoding") is None
    assert header(ask.get("/health", accept_encoding="gzip"), "Content-Encoding") is None


def test_weights_are_read_as_they_are_written() -> None:
    offers = ("application/json", "application/yaml")
    assert choose("", offers) == "application/json"
    assert choose("application/yaml, */*;q=0.1", offers) == "application/yaml"
    assert choose("application/json;q=0, */*", offers) == "application/yaml"
    assert choose("application/*;q=0.3, application/yaml;q=0.2", offers) == "application/json"
    assert choose("APPLICATION/YAML ; Q=0.9", offers) == "application/yaml"
    assert choose("text/html", offers) is None
    assert choose("*/*;q=0", offers) is None
    assert choose(",,;;q=,=,", offers) in (*offers, None)
    assert accepts_gzip("*")
    assert accepts_gzip("x-gzip")
    assert not accepts_gzip("gzip;q=0.000")


def test_a_media_type_selects_the_version_of_the_interface(ask: Client) -> None:
    versioned = ask.get("/v1/recipe", accept="application/vnd.nvidia.cns.v1+json")
    assert (versioned.status, header(versioned, "X-API-Version")) == (200, "v1")
    assert header(versioned, "Content-Type") == "application/vnd.nvidia.cns.v1+json"
    for target in ("/v1/recipe", "/", "/openapi.json"):
        other = ask.get(target, accept="application/vnd.nvidia.cns.v2+json")
        assert other.status == 406
        assert "v2" in parse_error(other)["message"]
    assert ask.get("/v1/recipe", accept="application/vnd.nvidia.cns.v2+json, application/json;q=0.1").status == 200
    assert ask.get("/v1/recipe", accept="image/png").status == 406
    assert header(ask.get("/v1/recipe", accept="text/yaml"), "Content-Type") == "application/yaml"
    assert ask.get("/health", accept="image/png").status == 200


def test_head_is_get_without_what_follows(ask: Client) -> None:
    for route in ROUTES.values():
        if "GET" in route.operations:
            get, head = ask.get(route.path), ask("HEAD", route.path)
            strip = ("X-Request-Id",)
            assert head.status == get.status == 200
            assert [pair for pair in head.headers if pair[0] not in strip] == [pair for pair in get.headers if pair[0] not in strip]
            assert route.path == "/metrics" or len(head.body) == len(get.body)  # which is told


def test_a_trace_is_passed_on(ask: Client) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert header(ask.get("/health", traceparent=parent), "traceparent") == parent
    assert header(ask.get("/health", traceparent="00-0-0-0"), "traceparent") is None
    assert header(ask.get("/health"), "traceparent") is None


def test_a_request_is_a_span_and_its_work_are_parts_of_it() -> None:
    spans: list[Span] = []
    ask = Client(application(tracer=Tracer(Sampler("always_on"), spans.append)))
    answer = ask.get("/v1/recipe?gpu=h100", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    assert [span.name for span in spans] == ["build", "serialise", "GET /v1/recipe"]
    root = spans[-1]
    assert {span.parent_id for span in spans[:2]} == {root.context.span_id}
    assert root.parent_id == "b7ad6b7169203331"
    assert root.attributes == {"http.request.method": "GET", "http.route": "/v1/recipe", "http.response.status_code": 200}
    assert header(answer, "traceparent") == f"00-0af7651916cd43dd8448eb211c80319c-{root.context.span_id}-01"
    ask.get("/v1/recipe?gpu=h100")
    assert [span.name for span in spans[3:]] == ["GET /v1/recipe"]


# ---- limits ----


def test_rate_limits_hold_and_headers_show_them() -> None:
    now = [1000.0]
    ask = Client(application(Settings(rate=2.0, client_rate=0, burst=3), clock=lambda: now[0]))
    before = int(time.time())
    responses = [ask.get("/v1/catalog") for _ in range(4)]
    assert [answer.status for answer in responses] == [200, 200, 200, 429]
    assert [header(answer, "X-RateLimit-Remaining") for answer in responses] == ["2", "1", "0", "0"]
    assert {header(answer, "X-RateLimit-Limit") for answer in responses} == {"3"}
    assert {header(answer, "RateLimit-Policy") for answer in responses} == {'"default";q=3;w=2'}
    assert [header(answer, "RateLimit") for answer in responses] == [
        '"default";r=2;t=1',
        '"default";r=1;t=1',
        '"default";r=0;t=2',
        '"default";r=0;t=1',
    ]
    reset = header(responses[3], "X-RateLimit-Reset")
    assert reset is not None and before <= int(reset) <= time.time() + 4
    late = parse_error(responses[3])
    assert (late["code"], late["retryable"], header(responses[3], "Retry-After")) == ("RATE_LIMIT_EXCEEDED", True, "1")
    for path in ("/health", "/healthz", "/ready", "/readyz", "/metrics"):
        assert ask.get(path).status == 200
        assert header(ask.get(path), "RateLimit") is None
    assert ask.get("/nowhere").status == 429
    assert ask.get("/v1/recipe?gpu=h100").status == 429
    assert "eidos_rate_limit_rejects_total 3\n" in ask.get("/metrics").body.decode()
    now[0] += 0.5
    assert ask.get("/v1/recipe?gpu=h100").status == 200
    assert ask.get("/v1/recipe?gpu=h100").status == 429


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("settings", [FREE, Settings(), Settings(client_rate=0.0)])
def test_a_cached_representation_is_answered_as_it_was_at_first(method: str, settings: Settings) -> None:
    """With the same headers in the same order, whatever else the client says."""
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    more: list[dict[str, Any]] = [{}, {"accept_encoding": "identity"}, {"accept_encoding": "gzip"}, {"if_none_match": "*"}, trace]
    for headers in (*more, {"if_match": "*"}):
        ask = Client(application(settings, clock=lambda: 5.0))
        assert ask.app.answer_at_once(request(method, f"/v1/recipe?{QUERY}", **headers)) is None
        first, again = (ask(method, f"/v1/recipe?{QUERY}", **headers) for _ in range(2))
        assert (again.status, again.body, again.route) == (first.status, first.body, first.route)
        assert [name for name, _ in again.headers] == [name for name, _ in first.headers]
        varying = {"X-Request-Id", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit"}
        assert {name for name, _ in {*again.headers} ^ {*first.headers}} <= varying


def test_a_wait_is_computed() -> None:
    ask = Client(application(Settings(rate=0.1, client_rate=0, burst=1), clock=lambda: 5.0))
    assert ask.get("/v1/recipe?nothing=1").status == 400  # a refusal takes a token, too, and only one
    late = ask.get("/v1/recipe")
    assert (late.status, header(late, "Retry-After")) == (429, "10")


def test_one_client_has_its_own_limit() -> None:
    ask = Client(application(Settings(rate=100.0, burst=100, client_rate=1.0, client_burst=1), clock=lambda: 5.0))
    assert ask.get("/", client="192.0.2.1").status == 200
    late = ask.get("/", client="192.0.2.1")
    assert (late.status, header(late, "RateLimit-Policy")) == (429, '"client";q=1;w=1')
    assert ask.get("/", client="192.0.2.2").status == 200


def test_a_request_takes_one_token_however_often_it_is_looked_at() -> None:
    app = application(Settings(rate=1.0, client_rate=0, burst=2), clock=lambda: 5.0)
    context = request("GET", "/v1/recipe?gpu=h100")
    assert app.answer_at_once(context) is None
    assert header(app.answer(context), "X-RateLimit-Remaining") == "1"


def test_allow_lists() -> None:
    ask = Client(application(Settings(rate=0.0, client_rate=0, allowed_gpus=("H100", "l40"), allowed_services=("on-prem",))))
    assert ask.get("/v1/recipe?gpu=h100&service=on-prem").status == 200
    assert ask.get("/v1/recipe?os=ubuntu").status == 200
    for answer in (ask.get("/v1/recipe?gpu=gb200"), ask.post("/v1/recipe", b"gpu: gb200")):
        assert answer.status == 400
        assert "gpu: 'gb200' is not allowed on this server; expected one of h100, l40" in parse_error(answer)["message"]
    snapshot = b"kind: Snapshot\nmeasurements: [{type: GPU, subtypes: [{subtype: smi, data: {gpu.model: NVIDIA GB200}}]}]"
    assert ask.post("/v1/recipe", snapshot).status == 400
    recipe = eidos("recipe", "--gpu", "gb200").out.encode()
    assert "is not allowed on this server" in parse_error(ask.post("/v1/bundle", recipe))["message"]
    catalog = json.loads(ask.get("/v1/catalog").body)
    assert [entry["name"] for entry in catalog["catalog"]["gpu"]] == ["h100", "l40"]
    assert [entry["name"] for entry in catalog["catalog"]["service"]] == ["self-managed"]
    assert all({"h100", "l40"} & set(words_of(layer["key"].get("gpu", "h100"))) for layer in catalog["layers"])
    with pytest.raises(EidosError, match="allowed-gpus: invalid value 'h1000'; expected one of"):
        load_recipe_data(Settings(allowed_gpus=("h1000",)))


# ---- bundles ----


@pytest.fixture(scope="module")
def recipe() -> bytes:
    return eidos("recipe", *FLAGS).out.encode()


def test_a_bundle_is_what_the_command_line_packs(ask: Client, recipe: bytes, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_bytes(recipe)
    made = ("bundle", "-f", "recipe.yaml", "--archive", "b.tar.gz", "--bundlers", "gpu-operator")
    # The statement of a bundle names the program: what answers here is the checkout.
    done = eidos(*made, program=CHECKOUT, cwd=tmp_path)
    assert done.status == 0
    response = ask.post("/v1/bundle?bundlers=gpu-operator", recipe)
    assert (response.status, header(response, "Content-Type")) == (200, "application/gzip")
    assert response.body == (tmp_path / "b.tar.gz").read_bytes()
    assert header(response, "Content-Disposition") == 'attachment; filename="bundle.tar.gz"'
    assert header(response, "Cache-Control") == "no-store"


def test_a_zip_holds_the_same_files(ask: Client, recipe: bytes) -> None:
    packed = ask.post("/v1/bundle?archive=zip&bundlers=gpu-operator", recipe)
    again = ask.post("/v1/bundle?bundlers=gpu-operator", recipe, accept="application/zip")
    assert header(packed, "Content-Type") == "application/zip"
    assert packed.body == again.body
    with zipfile.ZipFile(io.BytesIO(packed.body)) as archive:
        assert archive.testzip() is None
        files = {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    with tarfile.open(fileobj=io.BytesIO(ask.post("/v1/bundle?bundlers=gpu-operator", recipe).body)) as tar:
        for member in tar:
            content = tar.extractfile(member)
            name = member.name + "/" * member.isdir()
            assert modes[name] == member.mode
            assert content is None or files.pop(name) == content.read()
    assert not files


def test_a_bundle_that_cannot_be_is_refused(ask: Client, recipe: bytes) -> None:
    unknown = ask.post("/v1/bundle?bundlers=gpu-operatr", recipe)
    assert (unknown.status, parse_error(unknown)["details"]["nearest"]) == (400, "gpu-operator")
    assert parse_error(ask.post("/v1/bundle?archive=rar", recipe))["details"]["valid"] == ["tar.gz", "zip"]
    assert "not a recipe" in parse_error(ask.post("/v1/bundle", b"gpu: h100"))["message"]
    tree = yaml.safe_load(recipe)
    for name, value in (("id", "../../etc"), ("version", "../../../x"), ("namespace", "$(id)"), ("repository", "file:///etc/passwd")):
        bad = json.loads(json.dumps(tree))
        bad["components"][0][name] = value
        assert ask.post("/v1/bundle", json.dumps(bad).encode()).status in (200, 400), name
    bad = json.loads(json.dumps(tree))
    next(part for part in bad["components"] if part["id"] == "gpu-operator")["values"] = {"drivr": {"enabled": True}}
    failed = ask.post("/v1/bundle", json.dumps(bad).encode())
    assert (failed.status, list(parse_error(failed)["details"]["components"])) == (400, ["gpu-operator"])
    assert b'bundler_make_total{bundler_type="gpu-operator",result="error"} 1' in ask.get("/metrics").body


def test_work_stops_at_the_deadline_and_when_the_client_is_gone(recipe: bytes) -> None:
    ask = Client(application())
    for target, body in (("/v1/bundle", recipe), ("/v1/recipe", b"gpu: h100")):
        late = ask.post(target, body, seconds=-1)
        assert (late.status, parse_error(late)["code"], parse_error(late)["retryable"]) == (503, "SERVICE_UNAVAILABLE", True)
        assert header(late, "Retry-After") == "1"
    flow = b"a: &anchor [" + b"1, " * 100_000 + b"1]"
    assert ask.post("/v1/recipe", flow, seconds=0.2).status == 503
    context = request("POST", "/v1/bundle", recipe)
    context.deadline.cancel()
    assert ask.app.answer(context).status == 503


# ---- the rest ----


def test_what_the_service_says_of_itself(ask: Client) -> None:
    tree = json.loads(ask.get("/").body)
    assert tree["service"] == "eidos-api-server"
    assert "POST /v1/bundle" in tree["routes"]
    listed = json.loads(eidos("recipe", "list", "-t", "json").out)
    listed["matrix"] = json.loads(eidos("recipe", "list", "--matrix", "-t", "json").out)["matrix"]
    assert json.loads(ask.get("/v1/catalog").body) == listed
    assert header(ask.get("/metrics"), "Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert [list(json.loads(ask.get(path).body)) for path in ("/healthz", "/ready")] == [["status", "timestamp"]] * 2


def test_health_tells_the_time_of_the_server(ask: Client) -> None:
    for path, word in (("/health", "healthy"), ("/healthz", "healthy"), ("/ready", "ready"), ("/readyz", "ready")):
        before = datetime.now(timezone.utc) - timedelta(milliseconds=1)  # which the time is cut to
        tree = json.loads(ask.get(path).body)
        assert tree["status"] == word
        assert before <= datetime.strptime(tree["timestamp"], "%Y-%m-%dT%H:%M:%S.%f%z") <= datetime.now(timezone.utc)


def test_readiness_ends_before_life_does() -> None:
    ready = [True]
    ask = Client(application(is_ready=lambda: ready[0]))
    assert [ask.get(path).status for path in ("/ready", "/readyz", "/health")] == [200, 200, 200]
    ready[0] = False
    assert [ask.get(path).status for path in ("/ready", "/readyz", "/health", "/v1/recipe")] == [503, 503, 200, 200]
    assert parse_error(ask.get("/ready"))["code"] == "SERVICE_UNAVAILABLE"


def test_answers_are_made_once(ask: Client) -> None:
    ask = Client(application())
    for target in ("gpu=h100&os=ubuntu", "os=ubuntu&gpu=h100", "gpu=H100&os=UBUNTU", "gpu=h100&os=ubuntu"):
        ask.get(f"/v1/recipe?{target}")
    text = ask.get("/metrics").body.decode()
    assert "eidos_recipe_cache_misses_total 1\n" in text
    assert "eidos_recipe_cache_hits_total 3\n" in text
    assert "eidos_recipe_built_duration_seconds_count 1\n" in text
    assert 'eidos_recipe_rule_match_total{rule="overlays/boot-parameters.yaml[0]: os=ubuntu, gpu=h100"} 1\n' in text
    assert ask.app.answer_at_once(request("HEAD", "/v1/recipe?gpu=h100&os=ubuntu")) is not None


def test_the_cache_is_bounded() -> None:
    cache = RepresentationCache(max_entries=3, max_bytes=100_000)
    answers = [make_representation(JSON, bytes([65 + number]) * 6000, gzip=False) for number in range(20)]
    for number, answer in enumerate(answers):
        cache.put(number, answer)
        assert len(cache) <= 3
        assert cache.used_bytes == sum(known.size for known in map(cache.get, range(20)) if known)
    cache.get(17)
    cache.put("new", answers[0])
    assert cache.get(17) is not None and cache.get(18) is None
    cache.put("huge", make_representation(JSON, b"x" * 90_000, gzip=False))
    assert cache.get("huge") is None
    small = RepresentationCache(max_entries=1000, max_bytes=50_000)
    for number, answer in enumerate(answers):
        small.put(number, answer)
    assert small.used_bytes <= 50_000 and len(small) > 1


def test_many_queries_do_not_fill_the_memory() -> None:
    ask = Client(application())
    for number in range(300):
        ask.get(f"/v1/recipe?kernel=6.{number}&gpu=h100&context=1", accept="application/yaml")
    app = ask.app
    assert app.services.cache.used_bytes <= app.services.cache.max_bytes
    assert len(app._targets.entries) <= app._targets.max_entries


def test_what_a_handler_raises_costs_that_request_only(capfd: pytest.CaptureFixture[str]) -> None:
    app = application()

    def breaks(call: HandlerCall) -> HandlerResult:
        raise RuntimeError("/secret/place: what a library says")

    from eidos.server import routes

    broken = Route("/broken", {"GET": Operation("GET", "/broken", breaks, "broken", "Breaks")})
    routes.ROUTES["/broken"] = broken
    try:
        response = Client(app).get("/broken")
    finally:
        del routes.ROUTES["/broken"]
    tree = parse_error(response)
    assert (response.status, tree["code"], tree["retryable"]) == (500, "INTERNAL_ERROR", False)
    assert b"secret" not in response.body and b"RuntimeError" not in response.body
    assert "eidos_panic_recoveries_total 1\n" in Client(app).get("/metrics").body.decode()
    assert tree["requestId"] and "internal error at test_app.py" in capfd.readouterr().err


def test_data_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "secret-place"
    (folder / "overlays").mkdir(parents=True)
    layer = (
        "key: {gpu: h100, intent: training}\nmeasurements:\n  - type: OS\n    subtypes:\n      - subtype: sysctl\n"
        '        data: {/proc/sys/vm/swappiness: {value: "7", why: Mine.}}\n'
    )
    from eidos.recipe.store import shipped_store

    own = Settings(rate=0.0, client_rate=0, data=str(folder))
    (folder / "overlays" / "mine.yaml").write_text(layer.replace('{value: "7", why: Mine.}', '"7"'))
    try:
        ask = Client(application(own))
    except EidosError as fault:  # the form of layers is not this test's matter
        pytest.fail(f"{fault.message} {fault.hint}")
    tree = json.loads(ask.get("/v1/recipe?gpu=h100&intent=training").body)
    assert any("mine.yaml" in rule for rule in tree["matchedRules"])
    assert tree["metadata"]["recipe-data"] != shipped_store().digest
    assert json.loads(ask.get("/v1/catalog").body)["digest"] == tree["metadata"]["recipe-data"]
    bundle = ask.post("/v1/bundle?bundlers=cert-manager", json.dumps(tree).encode())
    assert bundle.status == 200
    for target in ("/v1/catalog", "/openapi.json", "/", "/metrics", "/v1/recipe?gpu=x"):
        assert b"secret-place" not in ask.get(target).body


def test_one_file_of_data_and_a_contradiction_in_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    values = [{"type": "OS", "subtypes": [{"subtype": "sysctl", "data": {"/proc/sys/vm/swappiness": "1"}}]}]
    layers = [
        {"key": {"gpu": "h100"}, "types": values, "constraints": [{"name": "K8s.server.version", "value": ">= 1.33", "why": "One."}]},
        {"key": {"os": "ubuntu"}, "types": values, "constraints": [{"name": "K8s.server.version", "value": "< 1.30", "why": "Two."}]},
    ]
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"base": values, "overlays": layers}))
    ask = Client(application(Settings(rate=0.0, client_rate=0, data=str(path))))
    tree = json.loads(ask.get("/v1/recipe?gpu=h100").body)
    assert tree["matchedRules"] == ["data.json:base: any", "data.json:overlays[0]: gpu=h100"]
    response = ask.get("/v1/recipe?gpu=h100&os=ubuntu")
    assert (response.status, parse_error(response)["message"]) == (500, "the recipe data contradicts itself for this query")
    assert "contradict each other" in capfd.readouterr().err


def test_parameters_are_read_as_forms_write_them() -> None:
    known = (Parameter("a", ""), Parameter("b", "", ("c",)))
    assert parse_parameters("a=1+2%2B3&c=%C3%A9", known).values == {"a": "1 2+3", "b": "é"}
    assert parse_parameters("a", known).values == {"a": ""}
    assert parse_parameters("a=b=c", known).values == {"a": "b=c"}
    for query in ("a=%", "a=%4", "A=1", "b=1&c=2", "a;b=1", "=", "a[]=1"):
        with pytest.raises(HttpError):
            parse_parameters(query, known)


def test_settings_have_a_table_of_types() -> None:
    assert FREE.max_body == 4 << 20
    assert isinstance(application(), App)
    assert (JSON, YAML) == ("application/json", "application/yaml")
    assert UUID.fullmatch(request("GET", "/").request.id)
