"""``--output`` at a presigned URL: what is sent and confirmed, what is retried, and that the signature is never shown."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidos.bundle.verification import verify_bundle
from eidos.cli import main
from eidos.errors import EidosError, IntegrityError, InvalidInput
from eidos.formats import from_text, to_yaml
from eidos.http_wire.presigned_upload import parse_presigned_url, upload
from eidos.workflow import make_recipe
from tests.bench import fleet as bench
from tests.fakes.object_store import SECRET_KEY, ObjectStore, answers, cuts, digest
from tests.fakes.proxy import Proxy
from tests.support.certificates import make_certificate, server_context

SNAPSHOT = (
    "kind: Snapshot\napiVersion: snapshot.dgxc.io/v1\nmeasurements: [{type: GPU, subtypes: [{subtype: smi, data: {driver: 580.82.07}}]}]\n"
)

Run = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    with ObjectStore() as fake:
        yield fake


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in an empty folder with a snapshot; exit status, standard output and error, which never show a signature."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    for name in ("XDG_CONFIG_HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    Path("node.yaml").write_text(SNAPSHOT)

    def command(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        status = main(list(words))
        out, err = capfd.readouterr()
        for secret in ("X-Amz", "Signature=", "AKIA", *(word.partition("X-Amz-Signature=")[2] for word in words)):
            assert not secret or secret not in out + err
        return status, out, err

    return command


def address_file(url: str, mode: int = 0o600) -> str:
    Path("address").write_text(url + "\n")
    os.chmod("address", mode)
    return "@address"


def test_documents_are_stored_and_the_message_says_what_the_store_confirmed(run: Run, store: ObjectStore) -> None:
    status, out, err = run("recipe", "--gpu", "h100", "-o", store.sign("/bucket/recipe.json"))
    assert (status, out) == (0, "")
    assert json.loads(store.objects["/bucket/recipe.json"])["kind"] == "Recipe"  # the format is that of the object's name
    assert "the store confirmed the MD5\n" in err and store.host in err and "SHA-256 " in err
    run("snapshot", "--only", "os.release", "-o", store.sign("/bucket/node.yaml"))
    assert from_text(store.objects["/bucket/node.yaml"], "x")["kind"] == "Snapshot"
    assert run("check", "-f", "node.yaml", "--fail-on", "never", "-o", store.sign("/bucket/report.html"))[0] in (0, 3)
    assert store.objects["/bucket/report.html"].startswith(b"<!DOCTYPE html>")
    assert run("diff", "node.yaml", "node.yaml", "-o", store.sign("/bucket/diff.md"), "-t", "json")[0] == 0
    assert b"{" in store.objects["/bucket/diff.md"]


def test_evidence_is_stored_as_an_archive_that_is_verified(run: Run, store: ObjectStore) -> None:
    for name in ("evidence.tar.gz", "evidence.zip"):
        status, out, err = run("evidence", "node.yaml", "-o", store.sign(f"/b/{name}"))
        assert (status, out) == (0, "") and store.host in err
        Path(name).write_bytes(store.objects[f"/b/{name}"])
        assert verify_bundle(name) == ()


def test_the_address_is_read_from_a_file(run: Run, store: ObjectStore) -> None:
    status, _, err = run("recipe", "--gpu", "h100", "-o", address_file(store.sign("/b/recipe.yaml")))
    assert status == 0 and b"kind: Recipe" in store.objects["/b/recipe.yaml"], err


def test_the_address_is_read_from_a_pipe_once(run: Run, store: ObjectStore) -> None:
    reader, writer = os.pipe()
    os.write(writer, store.sign("/b/recipe.yaml").encode())
    os.close(writer)
    try:
        assert run("recipe", "--gpu", "h100", "-o", f"@/dev/fd/{reader}")[0] == 0
    finally:
        os.close(reader)
    assert "/b/recipe.yaml" in store.objects


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o602])
def test_a_file_that_others_can_access_is_refused(run: Run, store: ObjectStore, mode: int) -> None:
    status, _, err = run("recipe", "--gpu", "h100", "-o", address_file(store.sign("/b/x"), mode))
    assert status == 2 and "others can access it" in err and "chmod 600 address" in err and store.requests == []


def test_a_file_of_another_user_is_refused(run: Run, store: ObjectStore) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    location = address_file(store.sign("/b/x"))
    os.chown("address", 12345, 12345)
    status, _, err = run("recipe", "--gpu", "h100", "-o", location)
    assert status == 2 and "belongs to another user" in err


@pytest.mark.parametrize(
    "content", ["", "two lines\nhttps://example.com/a?X-Amz-Signature=x", "ftp://example.com/?Signature=s3cr3t", "https://u:p@h/"]
)
def test_a_file_without_a_url_is_refused_unseen(run: Run, content: str) -> None:
    status, _, err = run("recipe", "--gpu", "h100", "-o", address_file(content))
    assert status == 2 and "s3cr3t" not in err and "u:p" not in err


@pytest.mark.parametrize(
    ("location", "words"), [("@", "'@' without a file"), ("@missing", "missing: no such file"), ("@.", "is a directory")]
)
def test_a_file_that_cannot_be_read_is_an_error(run: Run, location: str, words: str) -> None:
    status, _, err = run("recipe", "--gpu", "h100", "-o", location)
    assert status in (1, 2) and words in err


def test_http_is_for_loopback_addresses(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://store.example.com/b/x?X-Amz-Signature=abc"
    status, _, err = run("recipe", "--gpu", "h100", "-o", url)
    assert status == 2 and "http://store.example.com is not encrypted" in err and "EIDOS_PLAIN_HTTP" in err
    assert parse_presigned_url(url, "x", allows_http=True).url.host == "store.example.com"


def test_a_bundle_is_stored_as_an_archive(run: Run, store: ObjectStore, tmp_path: Path) -> None:
    Path("recipe.yaml").write_text(to_yaml(make_recipe({"gpu": "h100", "service": "eks", "intent": "training"}).to_tree()))
    only = ("bundle", "-f", "recipe.yaml", "--set", "gpu-operator:mig.strategy=single")
    status, out, err = run(*only, "-t", "json", "-o", store.sign("/b/bundle.tar.gz"))
    assert status == 0, err
    assert json.loads(out)["archive"] == f"http://{store.host}"
    Path("b.tar.gz").write_bytes(store.objects["/b/bundle.tar.gz"])
    assert not os.path.exists("bundle")
    verify_bundle("b.tar.gz")
    assert run(*only, "--archive", store.sign("/b/bundle.zip"))[0] == 0
    assert "bundle/checksums.txt" in zipfile.ZipFile(io.BytesIO(store.objects["/b/bundle.zip"])).namelist()
    assert run(*only, "-o", store.sign("/b/x"), "--archive", "x.tar.gz")[0] == 2


def test_a_fleet_is_stored_as_an_archive_or_stays(run: Run, store: ObjectStore, tmp_path: Path) -> None:
    reach = bench.prepare(tmp_path)
    with zipfile.ZipFile("program", "w") as program:
        program.writestr("__main__.py", "")
        program.writestr("eidos/archive/packs.py", "")
    words = ("fleet", "--hosts", "n1,n2", "--via", f"{reach} {{host}}", "--program", "program", "-o")
    status, _, err = run(*words, store.sign("/b/fleet.tar.gz"))
    assert status == 0, err
    with tarfile.open(fileobj=io.BytesIO(store.objects["/b/fleet.tar.gz"])) as archive:
        assert {"fleet/n1.yaml", "fleet/n2.yaml", "fleet/summary.yaml"} <= set(archive.getnames())
    assert list(tmp_path.glob("fleet-*")) == []
    store.faults.append(answers(403, "AccessDenied", "Request has expired"))
    status, _, err = run(*words, store.sign("/b/again.tar.gz"))
    (left,) = tmp_path.glob("fleet-*")
    assert status == 1 and f"nothing was stored; the results are in {left}" in err and (left / "n1.yaml").exists()


def test_a_store_that_is_busy_or_cuts_the_connection_gets_the_request_again(run: Run, store: ObjectStore) -> None:
    store.faults += [
        answers(503, "SlowDown", "Please reduce your request rate."),
        cuts,
        answers(400, "RequestTimeout", "Idle.", Retry_After="0"),
    ]
    status, _, err = run("recipe", "--gpu", "h100", "-o", store.sign("/b/recipe.yaml"))
    assert status == 0 and err.count("retrying in") == 3, err
    assert "status 503 (SlowDown: Please reduce your request rate.)" in err
    assert len(store.requests) == 4 and b"kind: Recipe" in store.objects["/b/recipe.yaml"]


def test_retry_after_beyond_the_deadline_ends_it(store: ObjectStore) -> None:
    store.faults.append(answers(429, Retry_After="30"))
    target = parse_presigned_url(store.sign("/b/x"), "x", allows_http=False)
    with pytest.raises(EidosError, match="status 429"):
        upload(target, b"x", "text/plain", deadline=time.monotonic() + 20)
    assert len(store.requests) == 1


def test_an_expired_url_is_reported_in_the_words_of_the_store(run: Run, store: ObjectStore) -> None:
    status, _, err = run("recipe", "--gpu", "h100", "-o", store.sign("/b/x", at=time.time() - 7200))
    assert status == 1 and "upload refused: status 403 (AccessDenied: Request has expired)" in err
    assert "hint: check that the URL is signed for PUT and has not expired" in err


def test_a_secret_in_the_words_of_the_store_is_withheld(run: Run, store: ObjectStore) -> None:
    url = store.sign("/b/x")
    store.faults.append(answers(403, "Denied", f"no access with {url}"))
    assert run("recipe", "--gpu", "h100", "-o", url)[0] == 1  # run() looks for the signature
    store.faults.append(answers(403, "Denied", f"password={SECRET_KEY}"))
    assert SECRET_KEY not in run("recipe", "--gpu", "h100", "-o", url)[2]
    store.faults.append(answers(403, "Denied", "x" * (1 << 17)))  # longer than what is read: the status says enough
    assert "upload refused: status 403\n" in run("recipe", "--gpu", "h100", "-o", url)[2]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_nor_shown(run: Run, store: ObjectStore, status: int) -> None:
    url = store.sign("/b/x")
    store.faults.append(answers(status, "TemporaryRedirect", "", Location=url.replace("/b/x", "/other")))
    code, _, err = run("recipe", "--gpu", "h100", "-o", url)
    assert code == 1 and f"redirected, which is not followed: status {status}" in err and len(store.requests) == 1


def test_only_headers_that_are_signed_are_sent(store: ObjectStore) -> None:
    signed = {"content-md5": digest(b"data"), "content-type": "application/json"}
    for headers in ({}, signed):
        target = parse_presigned_url(store.sign("/b/x.json", signed=headers), "x", allows_http=False)
        receipt = upload(target, b"data", "application/json", deadline=time.monotonic() + 20)
        sent = store.requests[-1][2]
        assert {name: sent[name] for name in ("content-md5", "content-type") if name in sent} == headers
        assert receipt.confirmed == "MD5"
    with pytest.raises(InvalidInput, match="signs headers that are not sent: x-amz-acl"):
        parse_presigned_url(store.sign("/b/x", signed={"x-amz-acl": "private"}), "x", allows_http=False)


def test_an_etag_that_is_no_md5_confirms_nothing_and_a_wrong_checksum_is_an_error(run: Run, store: ObjectStore) -> None:
    store.etag = lambda data: "0" * 32
    assert "the store confirmed no checksum" in run("recipe", "--gpu", "h100", "-o", store.sign("/b/x"))[2]
    for headers in ({"x-amz-checksum-sha256": digest(b"other")}, {"x-goog-hash": f"crc32c=AAAAAA==,md5={digest(b'other')}"}):
        store.extra = headers
        status, _, err = run("recipe", "--gpu", "h100", "-o", store.sign("/b/x"))
        assert status == 5 and "the store reports another" in err
    store.extra = {"x-goog-hash": f"crc32c=AAAAAA==, md5={digest(b'data')}"}
    target = parse_presigned_url(store.sign("/b/x"), "x", allows_http=False)
    assert upload(target, b"data", "", deadline=time.monotonic() + 20).confirmed == "MD5"
    with pytest.raises(IntegrityError):
        upload(target, b"another", "", deadline=time.monotonic() + 20)


def test_azure_gets_the_type_of_blob_and_a_checksum() -> None:
    target = parse_presigned_url("https://example.com/c/b?sv=2024-11-04&sr=b&sp=cw&sig=abc%3D", "x", allows_http=False)
    from eidos.http_wire.presigned_upload import _Digests, _headers

    headers = _headers(target, _Digests(b"data"), "application/json")
    assert headers["x-ms-blob-type"] == "BlockBlob" and headers["Content-MD5"] == digest(b"data")


def test_the_authority_of_a_store_is_configured_as_that_of_a_registry(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ObjectStore(server_context(make_certificate(tmp_path))) as store:
        status, _, err = run("recipe", "--gpu", "h100", "-o", store.sign("/b/x"))
        assert status == 1 and "certificate not trusted" in err and "EIDOS_CA_FILE" in err
        monkeypatch.setenv("EIDOS_CA_FILE", str(tmp_path / "ca.pem"))
        assert run("recipe", "--gpu", "h100", "-o", store.sign("/b/x"))[0] == 0
        assert "/b/x" in store.objects
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        (tmp_path / "other").mkdir()
        monkeypatch.setenv("EIDOS_CA_FILE", str(make_certificate(tmp_path / "other") / "ca.pem"))
        assert run("recipe", "--gpu", "h100", "-o", store.sign("/b/y"))[0] == 0  # those of the system count, too


def test_a_proxy_of_the_environment_is_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy(refuses=403) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        status, _, err = run("recipe", "--gpu", "h100", "-o", "https://store.example.com/b/x?X-Amz-Signature=abc")
    assert status == 1 and proxy.requests == ["CONNECT store.example.com:443 HTTP/1.1"] and "the proxy" in err


def test_content_is_not_copied_for_an_upload(store: ObjectStore) -> None:
    data = bytes(24 << 20)
    target = parse_presigned_url(store.sign("/b/large"), "x", allows_http=False)
    store.faults.append(answers(403))  # read by the fake, which is in this process: its copy is the one that counts
    tracemalloc.start()
    try:
        with pytest.raises(EidosError):
            upload(target, data, "", deadline=time.monotonic() + 60)
        assert tracemalloc.get_traced_memory()[1] < len(data) * 5 // 2
    finally:
        tracemalloc.stop()


def test_a_large_response_is_not_read_to_its_end(store: ObjectStore) -> None:
    store.faults.append(answers(400, "Code", "x" * (1 << 20)))
    target = parse_presigned_url(store.sign("/b/x"), "x", allows_http=False)
    with pytest.raises(EidosError, match="status 400"):
        upload(target, b"", "", deadline=time.monotonic() + 20)


def test_a_document_is_not_read_from_a_url_and_the_url_is_not_shown(run: Run) -> None:
    status, _, err = run("recipe", "-f", "https://store.example.com/b/x?X-Amz-Signature=abc")
    assert status == 2 and "https://store.example.com: a document is not read from an object store" in err


@pytest.mark.parametrize(
    "words", ["verify", "push node.yaml", "pull", "mirror", "self-verify node.yaml --sums", "fleet --from", "explain", ""]
)
def test_a_url_anywhere_else_is_not_shown_either(run: Run, words: str) -> None:
    status, _, err = run(*words.split(), "https://store.example.com/b/x?X-Amz-Signature=abc")
    assert status == 2 and "https://store.example.com/b/x" in err and "Signature=" not in err


@given(st.one_of(st.text(max_size=60), st.builds("https://{}?{}".format, st.text("a.[]:0@/#", max_size=8), st.text(max_size=30))))
def test_any_text_is_a_url_or_an_error(text: str) -> None:
    message = ""
    try:
        assert parse_presigned_url(text, "FILE", allows_http=True).url.host
    except InvalidInput as fault:
        message = fault.message
    secret = text.partition("?")[2]
    assert len(secret) < 6 or secret not in message
