"""Many hosts that are one: a real sshd on loopback, which real ssh clients reach under many names, each with a host of its own behind it.

The client's configuration says for each name how to get there, and tells the server which name it was (SetEnv); the server runs every
command through a script that shows it the files of that host (EIDOS_ROOT) and an interpreter of its choice. ``bin`` holds an ``ssh`` that
reads this configuration in place of the user's, and is else the system's.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import AMPLE_S, until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

SSHD = "/usr/sbin/sshd"

_START = """#!/bin/sh
: > {folder}/began/$$
cd /
. "{folder}/hosts/$FLEET_HOST"
exec "${{LOGIN_SHELL:-sh}}" -c "$SSH_ORIGINAL_COMMAND"
"""

#: What Python 2.7 prints where none is installed.
_PYTHON_2 = """#!/bin/sh
echo "Unknown option: $1
usage: $0 [option] ... [-c cmd | -m mod | file | -] [arg] ...
Try \\`python -h' for more information." >&2
exit 2
"""

#: What an interpreter says that is too old, where none is installed: the real one, made to believe that it is old.
_OLD = """#!/bin/sh
exec {python} -I -S -c 'import sys; sys.version_info = (3, 6, 15); exec(sys.stdin.read())'
"""


def missing() -> str | None:
    """Why there can be no such hosts here, or None."""
    lacking = [program for program in (SSHD, "ssh", "ssh-keygen") if shutil.which(program) is None]
    if lacking or os.getuid() != 0:
        return f"needs root and {', '.join(lacking) or 'sshd'} (packages openssh-server, openssh-client)"
    return None


class Sshd:
    """Hosts behind one sshd; add them, then ask for them by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self._config: list[str] = []

    def __enter__(self) -> Self:
        folder = self.folder
        folder.chmod(0o700)
        for name in ("bin", "hosts", "old", "began"):
            (folder / name).mkdir()
        for name in ("host", "user", "stranger"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        start = folder / "start"
        start.write_text(_START.format(folder=folder))
        start.chmod(0o755)
        config = {
            "ListenAddress": "127.0.0.1",
            "HostKey": folder / "host",
            "AuthorizedKeysFile": folder / "user.pub",
            "StrictModes": "no",
            "UsePAM": "no",
            "PermitRootLogin": "yes",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "MaxStartups": "200",
            "AcceptEnv": "FLEET_HOST",
            "ForceCommand": start,
            "PidFile": "none",
        }
        (folder / "sshd").write_text("".join(f"{key} {value}\n" for key, value in config.items()))
        (folder / "known").write_text(f"known {(folder / 'host.pub').read_text()}changed {(folder / 'stranger.pub').read_text()}")
        (self.bin / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder / "client"} "$@"\n')
        (self.bin / "ssh").chmod(0o755)
        Path("/run/sshd").mkdir(exist_ok=True)
        while not self._start_server():
            pass
        return self

    def _start_server(self) -> bool:
        """Start sshd on a port that was free a moment ago; False when another program was faster, so that sshd ended."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        log = self.folder / "log"
        command = [SSHD, "-D", "-E", str(log), "-f", str(self.folder / "sshd"), "-p", str(self.port)]
        self._server = subprocess.Popen(command)
        try:
            until(lambda: self._server.poll() is not None or (log.exists() and "Server listening" in log.read_text()))
        except BaseException:
            self._stop()
            raise
        if self._server.poll() is None:
            return True
        text = log.read_text()
        log.unlink()
        if "Address already in use" not in text:
            raise RuntimeError(f"sshd has ended: {text}")
        return False

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        self._server.terminate()
        self._server.wait(AMPLE_S)
        # What hangs on a host goes on when its client has left, as it would on a real one.
        for began in (self.folder / "began").iterdir():
            try:
                if str(self.folder).encode() in Path(f"/proc/{began.name}/cmdline").read_bytes():
                    os.killpg(int(began.name), signal.SIGKILL)
            except OSError:  # it has ended
                pass

    def add(
        self,
        name: str,
        root: Path | str = "/",
        *,
        first: str = "",
        path: str = "",
        port: int | None = None,
        key: str = "user",
        known: str = "known",
        shell: str = "sh",
        jump: str = "",
        proxy_command: str = "",
    ) -> None:
        """A host whose files are at ``root``.

        ``first`` is what its login shell does before any command, ``path`` a folder to look for programs in first; ``port`` leads to
        another server, ``key`` is the user's key (``stranger`` is not let in), ``known`` the server's in the user's list (``changed`` is
        another). ``shell`` is the login shell, ``jump`` the host to go over.
        """
        python = Path(sys.executable).parent
        own_path = path or python
        if path == "/nonexistent":
            first = f"LOGIN_SHELL=$(command -v {shell}); PATH=/nonexistent; {first}"
        elif shell != "sh":
            first = f"LOGIN_SHELL={shell}; {first}"
        (self.folder / "hosts" / name).write_text(f"PATH={own_path}:$PATH\nexport PATH EIDOS_ROOT={root}\n{first}\n")
        lines = {
            "HostName": "127.0.0.1",
            "Port": port or self.port,
            "User": "root",
            "IdentityFile": self.folder / key,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": self.folder / "known",
            "GlobalKnownHostsFile": "/dev/null",
            "HostKeyAlias": known,
            "StrictHostKeyChecking": "yes",
            "SetEnv": f"FLEET_HOST={name}",
        }
        if jump or proxy_command:
            lines.update({"ProxyJump": jump} if jump else {"ProxyCommand": proxy_command})
        self._config += [f"Host {name}", *(f"  {key} {value}" for key, value in lines.items())]
        (self.folder / "client").write_text("\n".join(self._config) + "\n")

    def python_2(self) -> str:
        """A folder in which ``python3`` is Python 2.7: a real one where there is one."""
        candidates = [shutil.which("python2.7"), *map(str, (Path.home() / ".pyenv" / "versions").glob("2.7.*/bin/python2.7"))]
        interpreter = next(
            (path for path in candidates if path and subprocess.run([path, "-V"], capture_output=True, check=False).returncode == 0), None
        )
        return self._program("python2", f'#!/bin/sh\nexec {interpreter} "$@"\n' if interpreter else _PYTHON_2)

    def unusable_python(self) -> str:
        """A folder in which ``python3`` may not be executed."""
        folder = self._program("unusable", "#!/bin/sh\n")
        (self.folder / "unusable" / "python3").chmod(0o644)
        return folder

    def _program(self, folder: str, text: str) -> str:
        path = self.folder / folder / "python3"
        path.parent.mkdir()
        path.write_text(text)
        path.chmod(0o755)
        return str(path.parent)

    def old_python(self) -> str:
        """A folder in which ``python3`` is Python 3.6: a real one where there is one."""
        folder = self.folder / "old"
        candidates = [shutil.which("python3.6"), *map(str, (Path.home() / ".pyenv" / "versions").glob("3.6.*/bin/python3.6"))]
        interpreter = next(
            (path for path in candidates if path and subprocess.run([path, "-V"], capture_output=True, check=False).returncode == 0), None
        )
        python = folder / "python3"
        python.write_text(f'#!/bin/sh\nexec {interpreter} "$@"\n' if interpreter else _OLD.format(python=sys.executable))
        python.chmod(0o755)
        return str(folder)
