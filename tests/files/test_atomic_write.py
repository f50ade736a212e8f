"""Files are written whole or not at all, whatever happens to the disk, the permissions or the program."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eidos.bundle.folder_writer import check_folder
from eidos.cli.document_locations import check_writable
from eidos.files.atomic_write import Unwritable, write_file
from eidos.fleet.results import make_folder
from tests.support.waiting import AMPLE_S, until

ROOT = Path(__file__).parent.parent.parent
UNPRIVILEGED_ID = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def python(code: str, *words: str) -> list[str]:
    return [sys.executable, "-B", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}", *words]


@pytest.fixture(autouse=True)
def buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs buffer their output, whatever the environment of the tests says."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# ---- whole ----


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_a_new_file_has_its_content_and_mode_0600(tmp_path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        write_file(str(tmp_path / "a"), b"x" * 1_000_000)
    finally:
        os.umask(old)
    assert (tmp_path / "a").read_bytes() == b"x" * 1_000_000
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert names(tmp_path) == ["a"]


def test_an_old_file_is_replaced_and_its_mode_with_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o644)
    before = path.stat().st_ino
    write_file(str(path), b"")
    assert path.read_bytes() == b""
    assert path.stat().st_ino != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_file(str(path), b"new", mode=0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(tmp_path) == ["a"]


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/target")
    for content in (b"new", b"newer"):
        write_file(str(tmp_path / "link"), content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "folder/target").read_bytes() == content
    assert names(tmp_path / "folder") == ["target"]


def test_a_relative_path_and_the_longest_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "n" * 255, "./b", "name with\nodd \udcff letters"):
        write_file(name, b"1")
        write_file(name, b"2")
        assert Path(name).read_bytes() == b"2"


# ---- what is no regular file ----


def test_devices_are_written_directly() -> None:
    write_file("/dev/null", b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_names_of_descriptors_append_to_them(tmp_path: Path, name: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    with path.open("ab") as stdout:
        subprocess.run(
            python(f"from eidos.files.atomic_write import write_file; write_file({name!r}, b'after')"), stdout=stdout, check=True
        )
    assert path.read_bytes() == b"before\nafter"


def test_a_pipe_is_written_to_its_reader(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()), daemon=True)
    reader.start()

    def is_written() -> bool:
        try:
            write_file(str(path), b"x" * 1_000_000)
        except Unwritable:  # the reader has not opened it yet
            return False
        return True

    until(is_written)
    reader.join(AMPLE_S)
    assert got == [b"x" * 1_000_000]


# ---- or not at all ----


def refused(path: str | Path, reason: str, hint: str | None = "") -> None:
    with pytest.raises(Unwritable) as caught:
        write_file(str(path), b"new")
    assert caught.value.path == str(path)
    assert caught.value.reason == reason
    assert caught.value.message == f"cannot write {path}: {reason}"
    if hint is not None:
        assert hint in (caught.value.hint or "")


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path, "is a directory", "name a file in that folder")
    refused(f"{tmp_path}/new/", "is a directory")
    refused(tmp_path / "no/such/folder", "the folder does not exist", "create the folder first")
    refused(tmp_path / "file/below", "not a directory")
    refused(tmp_path / ("n" * 256), "file name too long", "shorter name")
    refused(tmp_path / "loop", "too many levels of symbolic links", None)
    refused(tmp_path / "pipe", "no process reads from it", "start the program that reads from it first")
    refused("/dev/full", "no space left on device", "free some space")
    refused("/dev/fd/999", "bad file descriptor", None)
    refused("a\0b", "invalid file name", None)
    refused("a\ud800b", "invalid file name", None)
    with pytest.raises(Unwritable, match="name is empty"):
        write_file("", b"")
    assert names(tmp_path) == ["file", "loop", "pipe"]
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small file system of its own, with options."""
    folder = tmp_path / "mounted"
    folder.mkdir()

    def mount(options: str) -> Path:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"cannot mount: {done.stderr.strip()}")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)


@needs_root
def test_a_full_disk_leaves_what_was_there(mounted: Callable[[str], Path]) -> None:
    folder = mounted("size=64k")
    write_file(str(folder / "a"), b"old")
    for _ in range(3):
        for name in ("a", "b"):
            with pytest.raises(Unwritable, match="no space left on device"):
                write_file(str(folder / name), b"x" * 100_000)
    assert names(folder) == ["a"]
    assert (folder / "a").read_bytes() == b"old"


@needs_root
def test_a_file_system_without_room_for_names_leaves_what_was_there(mounted: Callable[[str], Path]) -> None:
    folder = mounted("size=64k,nr_inodes=3")
    write_file(str(folder / "a"), b"old")
    (folder / "b").write_bytes(b"")
    for name in ("a", "c"):
        with pytest.raises(Unwritable, match="no space left on device"):
            write_file(str(folder / name), b"new")
    assert names(folder) == ["a", "b"]
    assert (folder / "a").read_bytes() == b"old"


@needs_root
def test_a_read_only_file_system_says_so(mounted: Callable[[str], Path]) -> None:
    folder = mounted("size=64k")
    (folder / "a").write_bytes(b"old")
    (folder / "empty").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    for name in ("a", "b"):
        refused(folder / name, "read-only file system", "another file system")
    new, old, empty = str(folder / "new"), str(folder), str(folder / "empty")
    for check in (lambda: check_folder(new), lambda: check_folder(old), lambda: make_folder(empty), lambda: check_writable(new)):
        with pytest.raises(Unwritable, match=r"^cannot write .*: read-only file system$"):
            check()


@needs_root
def test_a_block_device_is_refused(tmp_path: Path) -> None:
    device = tmp_path / "disk"
    try:
        os.mknod(device, stat.S_IFBLK | 0o600, os.makedev(7, 200))
    except PermissionError:
        pytest.skip("cannot make a device node")
    refused(device, "it is a block device; writing would destroy its contents", None)


def test_a_size_limit_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    code = """
import resource, signal
from eidos.files.atomic_write import Unwritable, write_file
from tests.support.waiting import AMPLE_S, until
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_file(sys.argv[1], b"x" * 5000)
except Unwritable as fault:
    print(fault.reason)
"""
    done = subprocess.run(python(code, str(tmp_path / "a")), capture_output=True, text=True, check=True)
    assert done.stdout == "file too large\n"
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@needs_root
@pytest.mark.parametrize(("mode", "target"), [(0o755, "new"), (0o755, "old"), (0o777, "old"), (0o700, "new"), (0o700, "old")])
def test_a_user_without_rights_gets_the_reason(public: Path, mode: int, target: str) -> None:
    (public / "old").write_bytes(b"old")
    (public / "old").chmod(0o644)
    public.chmod(mode)
    code = f"""
from eidos.files.atomic_write import Unwritable, write_file
from tests.support.waiting import AMPLE_S, until
import os
os.setgroups([]); os.setgid({UNPRIVILEGED_ID}); os.setuid({UNPRIVILEGED_ID})
try:
    write_file(sys.argv[1], b"new")
except Unwritable as fault:
    print(fault.message); print(fault.hint)
"""
    done = subprocess.run(python(code, str(public / target)), capture_output=True, text=True, check=True)
    hint = "choose a folder that you can write to, or run as another user"
    assert done.stdout.splitlines() == [f"cannot write {public / target}: permission denied", hint]
    assert names(public) == ["old"]
    assert (public / "old").read_bytes() == b"old"


@needs_root
def test_without_proc_the_ordinary_way_works(tmp_path: Path) -> None:
    code = """
from eidos.files.atomic_write import write_file
write_file(sys.argv[1], b"one"); write_file(sys.argv[1], b"two")
"""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh", *python(code, str(tmp_path / "a"))],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"cannot unshare: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"two"


LOOP = """
import signal
from eidos.files.atomic_write import write_file
def stop(number, frame):
    raise SystemExit(128 + number)
if sys.argv[2] == "handled":
    signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
number = 0
while True:
    number += 1
    name = "a" if sys.argv[2] == "handled" else f"{number:06}"
    write_file(f"{sys.argv[1]}/{name}", b"%06d" % number * 50_000)
"""


@pytest.mark.parametrize(("how", "sent"), [("handled", signal.SIGTERM), ("default", signal.SIGTERM), ("default", signal.SIGKILL)])
def test_a_signal_leaves_no_half_file_and_no_temporary_one(tmp_path: Path, how: str, sent: signal.Signals) -> None:
    for attempt in range(8):
        with subprocess.Popen(python(LOOP, str(tmp_path), how), stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.003 + 0.007 * attempt)
            process.send_signal(sent)
        assert process.returncode in (128 + sent, -sent)
        for name in names(tmp_path):
            content = (tmp_path / name).read_bytes()
            assert len(content) == 300_000
            assert content == content[:6] * 50_000
            assert name == "a" or name.isdigit()
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()


# ---- standard output ----

SAY = """
from eidos.files.atomic_write import Unwritable, write_stdout
print("first")
try:
    write_stdout(b"x" * int(sys.argv[1]))
except Unwritable as fault:
    print("never seen")
    print(fault.message, file=sys.stderr)
    raise SystemExit(1)
"""


def test_standard_output_gets_everything_in_order() -> None:
    done = subprocess.run(python(SAY, "1000000"), capture_output=True, check=True)
    assert done.stdout == b"first\n" + b"x" * 1_000_000
    assert done.stderr == b""


def test_a_closed_pipe_is_a_message_and_nothing_else() -> None:
    with subprocess.Popen(python(SAY, "1000000"), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        stderr = process.stderr.read()
    assert stderr == b"cannot write standard output: broken pipe\n"
    assert process.returncode == 1


def test_a_full_device_is_a_message_and_nothing_else() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(python(SAY, "10"), stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.stderr == b"cannot write standard output: no space left on device\n"
    assert done.returncode == 1


def test_a_closed_standard_output_is_a_message_and_nothing_else() -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *python(SAY, "10")]
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    assert done.stderr == b"cannot write standard output: it is closed\n"
    assert done.returncode == 1


def test_a_slow_reader_of_a_pipe_that_does_not_block_gets_everything() -> None:
    code = "import os; os.set_blocking(1, False)\nfrom eidos.files.atomic_write import write_stdout\nwrite_stdout(b'x' * 1_000_000)"
    with subprocess.Popen(python(code), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        time.sleep(0.3)
        assert process.stdout.read() == b"x" * 1_000_000
    assert process.returncode == 0


def test_the_module_is_cheap() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); import eidos.files.atomic_write; print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"tempfile", "shutil", "re", "signal", "random", "select"} & set(done.stdout.split())
