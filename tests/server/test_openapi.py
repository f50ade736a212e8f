"""The document of the interface says what the application does: each route, parameter and answer of it is tried."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from eidos.errors import InvalidInput
from eidos.http_wire.messages import Response
from eidos.semver import parse_version
from eidos.server.error_responses import STATUSES
from eidos.server.openapi import VERSION_PATTERN
from eidos.server.routes import ROUTES
from eidos.server.server_settings import Settings
from tests.support.in_process_server import Client, application, header, listening, request
from tests.support.program import ROOT

APP = application()

DOCUMENT: dict[str, Any] = json.loads(Client(APP).get("/openapi.json").body)

RECIPE = Client(APP).get("/v1/recipe?gpu=h100&service=eks&os=ubuntu&intent=training").body
SNAPSHOT = b"kind: Snapshot\nmeasurements: [{type: GPU, subtypes: [{subtype: smi, data: {gpu.model: NVIDIA H100}}]}]"
COMPARISON = json.dumps(DOCUMENT["components"]["schemas"]["Comparison"]["examples"][0]).encode()
CHECK_REQUEST = json.dumps({"snapshot": yaml.safe_load(SNAPSHOT), "recipe": json.loads(RECIPE)}).encode()
BODIES = {"Query": b"gpu: h100", "Snapshot": SNAPSHOT, "Recipe": RECIPE, "Comparison": COMPARISON, "CheckRequest": CHECK_REQUEST}

OPERATIONS = [(path, method) for path, item in DOCUMENT["paths"].items() for method in item]


def resolved(node: Any) -> Any:
    """What a reference stands for."""
    while "$ref" in node:
        at: Any = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            at = at[part]
        node = at
    return node


def check(response: Response, path: str, method: str) -> None:
    """An answer is one that the document has: its status, its type, its headers and its body."""
    operation = DOCUMENT["paths"][path][method]
    assert str(response.status) in operation["responses"], f"{method} {path} answered {response.status}"
    described = resolved(operation["responses"][str(response.status)])
    for name, reference in described.get("headers", {}).items():
        value = header(response, name)
        schema = resolved(reference)["schema"]
        if value is not None:
            validate(int(value) if schema.get("type") == "integer" else value, schema)
    missing = {"X-Request-Id", "X-API-Version"} - {name for name, _ in response.headers}
    assert not missing
    if method == "head" or response.status == 304:
        return
    kind = (header(response, "Content-Type") or "").partition(";")[0]
    assert kind in described["content"], f"{method} {path} answered {kind}"
    schema = described["content"][kind].get("schema")
    if schema and kind.endswith(("json", "yaml")):
        validate(json.loads(response.body) if kind.endswith("json") else yaml.safe_load(response.body), schema)


def validate(value: object, schema: dict[str, Any]) -> None:
    errors = [f"{list(error.absolute_path)}: {error.message}" for error in validator(json.dumps(schema)).iter_errors(value)]
    assert not errors


@functools.cache
def validator(schema: str) -> Draft202012Validator:
    """Of one schema as JSON, whose references lead into the document."""
    return Draft202012Validator({**json.loads(schema), "components": DOCUMENT["components"]})


@pytest.fixture(scope="module")
def ask() -> Client:
    return Client(application())


def test_both_forms_are_one_document(ask: Client) -> None:
    assert yaml.safe_load(ask.get("/openapi.yaml").body) == DOCUMENT
    assert DOCUMENT["openapi"] == "3.1.0"


def validate_schema(schema: dict[str, Any]) -> None:
    """A schema is one when the validator does not stumble over it, whatever the value is."""
    list(validator(json.dumps(schema)).iter_errors({}))


def test_it_is_openapi() -> None:
    """What the specification asks for, as far as we use it: unique ids, references that lead somewhere, schemas that are schemas."""
    ids = [operation["operationId"] for item in DOCUMENT["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))
    for schema in DOCUMENT["components"]["schemas"].values():
        validate_schema(schema)

    def references(node: Any) -> Iterator[Any]:
        if isinstance(node, dict):
            if "$ref" in node:
                yield node
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    used = set()
    for reference in references(DOCUMENT):
        resolved(reference)
        used.add(reference["$ref"])
    named = {f"#/components/{kind}/{name}" for kind, part in DOCUMENT["components"].items() for name in part}
    spare = {name for name in named - used if "/responses/" not in name}
    assert not spare, "nothing in the document is for nobody"


def test_it_has_every_route_and_no_other() -> None:
    rows = {(route.path, method.lower()) for route in ROUTES.values() for method in route.operations}
    rows |= {(path, "head") for path, method in rows if method == "get"}
    assert rows == set(OPERATIONS)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_operation_answers_as_it_says(ask: Client, path: str, method: str) -> None:
    operation = DOCUMENT["paths"][path][method]
    schemas = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    names = [each["$ref"].rpartition("/")[2] for each in schemas.get("oneOf", [schemas] if schemas else [])]
    kinds = list(operation["responses"]["200"].get("content", {})) or ["*/*"]
    for body in [BODIES[name] for name in names] or [b""]:
        for kind in kinds:
            answer = ask(method.upper(), path, body, accept=kind)
            assert answer.status == 200
            check(answer, path, method)
            assert method == "head" or (header(answer, "Content-Type") or "").startswith(kind)
            for name in operation["responses"]["200"]["headers"]:
                assert header(answer, name) or "RateLimit" in name, f"{name} is missing"
    for name in names:
        validate(yaml.safe_load(BODIES[name]), schemas)
    if "304" in operation["responses"]:
        again = ask(method.upper(), path, if_none_match="*")
        assert again.status == 304
        check(again, path, method)


def request_body(path: str, method: str) -> bytes:
    """What the operation takes."""
    bodies = {"/v1/bundle": RECIPE, "/v1/check": SNAPSHOT, "/v1/diff": COMPARISON}
    return bodies.get(path, b"gpu: h100") if method == "post" else b""


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
@pytest.mark.slow
def test_every_parameter_is_taken_and_no_other(ask: Client, path: str, method: str) -> None:
    operation = DOCUMENT["paths"][path][method]
    body = request_body(path, method)
    taken = operation.get("parameters", [])
    for parameter in taken:
        schema, name = parameter["schema"], parameter["name"]
        words = schema["items"]["enum"] if schema["type"] == "array" else []
        values = schema.get("enum") or [*words[:1], ",".join(words[:2])] * bool(words)
        for number, value in enumerate(values or [str(parameter["example"])]):
            answer = ask(method.upper(), f"{path}?{name}={value}", body)
            assert answer.status == 200, f"{name}={value}: {answer.body.decode()}"
            if number == 0:  # the others give the same document of something else
                check(answer, path, method)
        for wrong in (f"{name}=~wrong~", f"{name}=a&{name}=a"):
            answer = ask(method.upper(), f"{path}?{wrong}", body)
            assert answer.status == 400
            check(answer, path, method)
            assert json.loads(answer.body)["details"]["parameter"] == name
    answer = ask(method.upper(), f"{path}?nothing=1", body)
    assert answer.status == 400
    check(answer, path, method)
    assert [name for name in json.loads(answer.body)["details"]["valid"] if name != "env"] == [parameter["name"] for parameter in taken]


def test_a_request_with_all_examples_is_answered(ask: Client) -> None:
    for path, method in OPERATIONS:
        parameters = DOCUMENT["paths"][path][method].get("parameters", [])
        examples = ((each["name"], each["example"]) for each in parameters)
        query = "&".join(f"{name}={','.join(value) if isinstance(value, list) else value}" for name, value in examples)
        body = request_body(path, method)
        assert ask(method.upper(), f"{path}?{query}", body).status == 200


@pytest.mark.parametrize(
    "body",
    [
        *("gpu: h10", "osv: 24.x", "service: eks\nenv: eks", "osv: '24.04'\nosVersion: '24.04'", "gpux: h100", "gpu: [h100]"),
        *("os: 5", "osv: -1", "k8s: true", "measurements: [{type: X}]", "measurements: [{type: OS, subtypes: [{subtype: ''}]}]"),
        *("measurements: {}", "measurements: []\ncollectors: [{name: a, outcome: b}]", "measurements: []\nintent: x", "kind: Recipe"),
    ],
)
def test_the_schemas_refuse_what_is_refused(ask: Client, body: str) -> None:
    assert ask.post("/v1/recipe", body.encode()).status == 400
    schema = DOCUMENT["paths"]["/v1/recipe"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    with pytest.raises(AssertionError):
        validate(yaml.safe_load(body), schema)


def test_links_lead_from_the_catalog_to_a_bundle(ask: Client) -> None:
    """Each names an operation, and what it takes from a response is there."""
    names = {operation["operationId"]: operation for item in DOCUMENT["paths"].values() for operation in item.values()}
    links = {(name, link["operationId"]) for name, each in names.items() for link in each["responses"]["200"].get("links", {}).values()}
    assert links == {("getCatalog", "getRecipe"), ("getRecipe", "postBundle"), ("postRecipe", "postBundle")}
    gpu = json.loads(ask.get("/v1/catalog").body)["catalog"]["gpu"][0]["name"]
    recipe = ask.get(f"/v1/recipe?gpu={gpu}")
    assert ask.post("/v1/bundle", recipe.body).status == 200


def test_every_status_that_is_sent_is_described_and_no_other() -> None:
    """The words of the source that make an answer, and what the transport says of any request."""
    source = "".join(file.read_text() for folder in ("server", "http_wire") for file in (ROOT / "eidos" / folder).rglob("*.py"))
    sent = {int(status) for status in re.findall(r"(?:HttpError|error_response|failure_response)\(\s*(\d{3})\b", source)}
    assert sent == set(STATUSES)
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            assert {"408", "413", "417", "431", "500", "503"} <= set(operation["responses"])


@functools.cache
def leaving_client() -> Client:
    """Asks an application that is about to end."""
    return Client(application(is_ready=lambda: False))


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_refusals_are_described(path: str, method: str) -> None:
    busy = Client(application(Settings(rate=0.001, client_rate=0, burst=1)))
    leaving = leaving_client()
    refused = [
        ask(method.upper(), path, body, accept=accept, seconds=seconds)
        for ask, body, accept, seconds in (
            (busy, b"[", "application/json", 60.0),
            (busy, b"", "application/problem+json", 60.0),
            (leaving, b"gpu: h100", "*/*", -1.0),
            (leaving, b"", "application/vnd.nvidia.cns.v9+json", 60.0),
            (leaving, b"x" * 100, "image/png", 60.0),
        )
    ]
    for answer in refused:
        check(answer, path, method)
    codes = {answer.status for answer in refused}
    limited = "429" in DOCUMENT["paths"][path][method]["responses"]
    assert (429 in codes) == limited
    assert (406 in codes) == limited
    assert (503 in codes) == path.startswith(("/ready", "/v1/recipe", "/v1/check", "/v1/diff"))


def test_the_words_are_those_that_are_answered_for() -> None:
    ask = Client(application(Settings(rate=0.0, client_rate=0, allowed_gpus=("l40s", "h100"))))
    document = json.loads(ask.get("/openapi.json").body)
    words = next(each["schema"]["enum"] for each in document["paths"]["/v1/recipe"]["get"]["parameters"] if each["name"] == "gpu")
    assert words == ["h100", "l40s", "any", ""]


@given(st.from_regex(VERSION_PATTERN, fullmatch=True))
def test_every_version_of_the_pattern_is_a_version(text: str) -> None:
    if text in ("", "any"):
        return
    try:
        parse_version(text)
    except InvalidInput as fault:
        raise AssertionError(f"{text!r}: {fault.message}") from fault


@given(st.binary(max_size=60), st.sampled_from(OPERATIONS), st.text(max_size=30))
def test_whatever_is_sent_gets_an_answer_of_the_document(body: bytes, operation: tuple[str, str], query: str) -> None:
    path, method = operation
    context = request(method.upper(), f"{path}?{query}", body)
    answer = APP.answer_at_once(context) or APP.answer(context)
    assert answer.status < 500
    check(answer, path, method)


#: Which readings a recipe needs depends on its components, and what a compared document must hold on its kind; and a body that comes from a
#: link is not made invalid.
SCHEMATHESIS = """
[[operations]]
include-name = "POST /v1/bundle"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-name = "POST /v1/diff"
checks.positive_data_acceptance.enabled = false

[phases.stateful.generation]
mode = "positive"
"""


@pytest.mark.slow
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    program = shutil.which("st", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if program is None:
        pytest.skip("no schemathesis here")
    with listening(application()) as url:
        spare = ("--phases", "examples,coverage,fuzzing,stateful", "--suppress-health-check", "too_slow")
        (tmp_path / "schemathesis.toml").write_text(SCHEMATHESIS)
        command = [program, "run", f"{url}/openapi.json", "--max-examples", "20", "--seed", "5", "--no-color", "--workers", "1", *spare]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks", "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stdout.decode()[-6000:]
