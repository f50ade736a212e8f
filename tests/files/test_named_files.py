"""Files that the user names: whatever they are, reading ends."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import eidos.files
from eidos.errors import NotFound, Timeout, Unavailable
from eidos.files import read_named_file, read_pipe

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def writing(pipe: Path, *parts: bytes) -> Iterator[None]:
    """A thread that opens the pipe, writes the parts one by one and closes it."""

    def write() -> None:
        with open(pipe, "wb", buffering=0) as file:
            file.writelines(parts)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    yield
    thread.join(60)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.parametrize("parts", [(b"",), (b"a", b"bc"), (b"x" * 200_000, b"y")])
def test_a_pipe_is_read_to_its_end(pipe: Path, parts: tuple[bytes, ...]) -> None:
    with writing(pipe, *parts):
        assert read_named_file(str(pipe), 1 << 20) == b"".join(parts)


def test_a_byte_more_than_the_limit_is_read(pipe: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abcdef")
    assert read_named_file(str(tmp_path / "file"), 3) == b"abcd"
    assert read_named_file("/dev/zero", 3) == bytes(4)
    with writing(pipe, b"abcdef"):
        assert read_named_file(str(pipe), 3) == b"abcd"


def test_a_pipe_that_its_writer_has_left(pipe: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"abc")
    os.close(writing)
    try:
        assert read_named_file(f"/dev/fd/{reading}", 100) == b"abc"
        assert read_named_file(f"/dev/fd/{reading}", 100) == b""
    finally:
        os.close(reading)


def test_a_pipe_without_a_writer_times_out(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eidos.files, "OPENING_TIMEOUT_S", 0.05)
    with pytest.raises(Timeout, match=r"^--key: pipe: no program writes to this pipe$"):
        read_named_file(str(pipe), 100, "--key: pipe")


def test_a_pipe_whose_writer_writes_nothing_times_out(pipe: Path) -> None:
    fd = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        with pytest.raises(Timeout, match=r"^pipe: no data within 0\.05 s$") as caught:
            read_pipe(fd, 100, "pipe", 0.05)
        assert caught.value.hint == "check the program that writes to this pipe, or write its output to a file first"
    finally:
        os.close(fd)


def test_a_writer_that_comes_late_and_waits_is_waited_for(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eidos.files, "OPENING_TIMEOUT_S", 0.0)  # it has passed when the program writes
    has_waited = threading.Event()
    read_file = os.read

    def read(fd: int, size: int) -> bytes:
        try:
            return read_file(fd, size)
        except BlockingIOError:
            has_waited.set()
            raise

    def write() -> None:
        with open(write_end, "wb", buffering=0) as file:
            if has_waited.wait(60):
                file.write(b"late")

    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_end = os.open(pipe, os.O_WRONLY)
    monkeypatch.setattr(os, "read", read)
    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        assert read_pipe(reading, 100, "pipe") == b"late"
    finally:
        thread.join(60)
        os.close(reading)


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        read_named_file(str(tmp_path / "missing"), 100)
    with pytest.raises(Unavailable, match="directory"):
        read_named_file(str(tmp_path), 100)
