"""Completion, asked of real shells: bash and zsh on a terminal, fish through its own ``complete -C``."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eidos.cli.commands import COMMANDS
from eidos.cli.help import TOPICS
from eidos.collectors import collector_choices
from tests.support.program import eidos, environment
from tests.support.waiting import AMPLE_S

pytestmark = pytest.mark.slow

SHELLS = ("bash", "zsh", "fish")

needs = {name: pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed") for name in (*SHELLS, "shellcheck")}

#: How each is started, without anybody's own settings.
START = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}

#: What it is told first: Control-O then prints the line as it stands after completion, and clears it.
PREPARE = {
    "bash": """
        show() { printf '<<%s>>\\n' "$READLINE_LINE"; READLINE_LINE=; }; bind -x '"\\C-o": show'
        bind 'set show-all-if-ambiguous on' 'set enable-bracketed-paste off' 'set page-completions off'
    """,
    "zsh": """
        show() { print -r -- "<<$BUFFER>>"; BUFFER=; zle reset-prompt }; zle -N show; bindkey '^O' show
        unsetopt prompt_sp prompt_cr; unset zle_bracketed_paste; autoload -Uz compinit; compinit -u -D
    """,
}


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, shell: str, folder: Path) -> None:
        env = {**environment(), "TERM": "dumb" if shell == "bash" else "xterm", "HOME": str(folder)}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(shell, START[shell], env)
        (folder / "prepare").write_text(PREPARE[shell])
        self.send("PS1='rea''dy> '; . ./prepare; . ./script\n")
        self.until("ready> ")

    def send(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def until(self, expected: str) -> str:
        """What is shown until ``expected`` is."""
        end, output = time.monotonic() + AMPLE_S, ""
        while expected not in output:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], f"no {expected!r} in {output!r}"
            output += os.read(self.fd, 1 << 16).decode(errors="replace")
        return output

    def complete(self, line: str) -> tuple[str, set[str]]:
        """The line after a press of the tab key, and the words that were offered."""
        self.send(line + "\t\x0f")
        output = self.until(">>")
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|[\x07\x08]", " ", output[: output.index("<<")])
        return output[output.index("<<") + 2 : output.index(">>")], set(shown.split())

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture(scope="module", params=[pytest.param("bash", marks=needs["bash"]), pytest.param("zsh", marks=needs["zsh"])])
def terminal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("completion")
    (folder / "script").write_text(eidos("completion", request.param).out)
    (folder / "node folder").mkdir()
    (folder / "file.yaml").touch()
    terminal = Terminal(request.param, folder)
    yield terminal
    terminal.close()


@pytest.fixture(scope="module")
def fish_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fish")
    (folder / "script").write_text(eidos("completion", "fish").out)
    (folder / "node folder").mkdir()
    (folder / "file.yaml").touch()
    return folder / "script"


def fish(script: Path, line: str) -> dict[str, str]:
    """Completions of ``line`` and their descriptions."""
    words = ["fish", "--no-config", "-c", 'source ./script; complete -C "$argv"', line]
    env = {**environment(), "HOME": str(script.parent)}
    done = subprocess.run(words, cwd=script.parent, env=env, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return {word: meaning for word, _, meaning in (line.partition("\t") for line in done.stdout.splitlines())}


@pytest.mark.parametrize("program", ["eidos", "eidos.pyz", "./eidos.pyz", "/opt/eidos.pyz"])
def test_verbs(terminal: Terminal, program: str) -> None:
    assert terminal.complete(f"{program} sna")[0] == f"{program} snapshot "
    assert terminal.complete(f"{program} ")[1] >= set(COMMANDS)
    assert terminal.complete(f"{program} -t json --debug sna")[0] == f"{program} -t json --debug snapshot "
    assert terminal.complete(f"{program} help sna")[0] == f"{program} help snapshot "


def test_flags(terminal: Terminal) -> None:
    assert terminal.complete("eidos snapshot --fo")[0] in ("eidos snapshot --format ", "eidos snapshot --format=")
    assert terminal.complete("eidos snapshot -")[1] >= {"--only", "--units", "--log-format", "-o", "-t", "-h"}
    assert terminal.complete("eidos --vers")[0] == "eidos --version "
    offered = terminal.complete("eidos help snapshot --")[1]
    assert "--quiet" in offered
    assert "--units" not in offered


def test_values(terminal: Terminal) -> None:
    assert terminal.complete("eidos snapshot -t ")[1] >= {"yaml", "json", "table"}
    assert terminal.complete("eidos snapshot -t j")[0] == "eidos snapshot -t json "
    assert terminal.complete("eidos snapshot --format=j")[0] == "eidos snapshot --format=json "
    assert terminal.complete("eidos version --format=te")[0] == "eidos version --format=text "
    assert terminal.complete("eidos --log-level=d")[0] == "eidos --log-level=debug "
    assert terminal.complete("eidos completion z")[0] == "eidos completion zsh "


def test_lists_of_collectors(terminal: Terminal) -> None:
    assert terminal.complete("eidos snapshot --only ")[1] >= set(collector_choices())
    # A comma may stand behind a name: another name may follow.
    assert terminal.complete("eidos snapshot --only sys")[0].rstrip(",") == "eidos snapshot --only systemd"
    assert terminal.complete("eidos snapshot --skip=sys")[0].rstrip(",") == "eidos snapshot --skip=systemd"
    assert terminal.complete("eidos snapshot --require k8s,gpu,sys")[0].rstrip(",") == "eidos snapshot --require k8s,gpu,systemd"


def test_values_of_the_built_in_data(terminal: Terminal) -> None:
    assert terminal.complete("eidos recipe --gpu gb")[1] >= {"gb200", "gb300"}
    assert terminal.complete("eidos recipe --gpu=rtx")[0] == "eidos recipe --gpu=rtx-pro-6000 "
    assert terminal.complete("eidos recipe --service ")[1] >= {"eks", "gke", "aks", "oke", "self-managed"}
    assert terminal.complete("eidos recipe --os ub")[0] == "eidos recipe --os ubuntu "
    assert terminal.complete("eidos recipe --intent tr")[0] == "eidos recipe --intent training "
    assert terminal.complete("eidos recipe --osv 24")[0] == "eidos recipe --osv 24.04 "
    assert terminal.complete("eidos recipe --osv=22")[0] == "eidos recipe --osv=22.04 "
    assert terminal.complete("eidos recipe --k8s 1.3")[1] >= {"1.33", "1.34", "1.35", "1.36"}
    assert terminal.complete("eidos bundle -b cert")[0].rstrip(", ") == "eidos bundle -b cert-manager"
    assert terminal.complete("eidos bundle -b cert-manager,gpu-o")[0].rstrip(", ") == "eidos bundle -b cert-manager,gpu-operator"
    assert terminal.complete("eidos serve --allowed-gpus h10")[0].rstrip(", ") == "eidos serve --allowed-gpus h100"
    assert terminal.complete("eidos manifest agent --gpu run")[0] == "eidos manifest agent --gpu runtime-class "


def test_topics_of_the_manual_and_subcommands(terminal: Terminal) -> None:
    assert terminal.complete("eidos help ")[1] >= {*TOPICS, *COMMANDS}
    assert terminal.complete("eidos help air")[0] == "eidos help air-gap "
    assert terminal.complete("eidos --debug help exit")[0] == "eidos --debug help exit-codes "
    assert terminal.complete("eidos help recipe li")[1] >= {"list", "lint"}
    assert terminal.complete("eidos help bundle l")[0] == "eidos help bundle lint "
    assert terminal.complete("eidos help manifest s")[0] == "eidos help manifest server "
    assert terminal.complete("eidos help cluster s")[0] == "eidos help cluster s", "a topic has no subcommands"
    assert terminal.complete("eidos recipe li")[1] >= {"list", "lint"}
    assert terminal.complete("eidos manifest a")[0] == "eidos manifest agent "


def test_files_and_folders(terminal: Terminal) -> None:
    assert terminal.complete("eidos snapshot -o fi")[0] == "eidos snapshot -o file.yaml "
    assert terminal.complete("eidos snapshot --output=fi")[0] == "eidos snapshot --output=file.yaml "
    assert terminal.complete("eidos snapshot --root no")[0] == "eidos snapshot --root node\\ folder/"


@needs["fish"]
def test_fish(fish_script: Path) -> None:
    def offered(line: str) -> set[str]:
        return set(fish(fish_script, line))

    for program in ("eidos", "eidos.pyz", "./eidos.pyz", "/opt/eidos.pyz"):
        assert fish(fish_script, f"{program} sna") == {"snapshot": COMMANDS["snapshot"][1]}
    assert offered("eidos ") == set(COMMANDS)
    assert offered("eidos -t json --debug sna") == {"snapshot"}
    assert offered("eidos help ") == {*COMMANDS, *TOPICS}
    assert offered("eidos completion ") == set(SHELLS)
    assert offered("eidos snapshot --fo") == {"--format"}
    assert offered("eidos snapshot --") >= {"--only", "--units", "--log-format", "--help"}
    assert "--units" not in offered("eidos help snapshot --")
    assert offered("eidos --vers") == {"--version"}
    assert offered("eidos snapshot -t ") == {"yaml", "json", "table"}
    assert offered("eidos snapshot --format=j") == {"--format=json"}
    assert offered("eidos version -t te") == {"text"}
    assert offered("eidos snapshot --only ") == set(collector_choices())
    assert offered("eidos snapshot --only k8s,sys") == {"k8s,systemd"}
    assert offered("eidos recipe --gpu gb") == {"gb200", "gb200-nvl4", "gb300"}
    assert offered("eidos recipe --service e") == {"eks"}
    assert offered("eidos recipe --os ub") == {"ubuntu"}
    assert offered("eidos recipe --intent tr") == {"training"}
    assert offered("eidos recipe --osv 24") == {"24.04"}
    assert offered("eidos recipe --k8s ") >= {"1.33", "1.34", "1.35", "1.36"}
    assert offered("eidos help recipe ") == {"list", "lint"}
    assert offered("eidos help manifest ") == {"agent", "server"}
    assert offered("eidos help cluster ") == set()
    assert offered("eidos bundle -b cert-manager,gpu-o") == {"cert-manager,gpu-operator"}
    assert offered("eidos serve --allowed-intents inf") == {"inference"}
    assert offered("eidos snapshot -o fi") == {"file.yaml"}
    assert offered("eidos snapshot --root no") == {"node folder/"}
    assert offered("eidos snapshot --root fi") == {"file.yaml"}
    assert offered("eidos serve --data no") == {"node folder/"}
    assert offered("eidos serve --data fi") == set()


@needs["bash"]
def test_bash_where_an_equals_sign_breaks_no_words() -> None:
    script = eidos("completion", "bash").out + "\nCOMP_WORDS=(eidos snapshot --only=k8s,g) COMP_CWORD=2; _eidos; echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", script], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "--only=k8s,gpu\n"


@needs["zsh"]
def test_zsh_from_a_folder_of_functions(tmp_path: Path) -> None:
    (tmp_path / "_eidos").write_text(eidos("completion", "zsh").out)
    (tmp_path / "script").write_text("fpath=($PWD $fpath); compinit -u -D")
    terminal = Terminal("zsh", tmp_path)
    assert terminal.complete("eidos.pyz sna")[0] == "eidos.pyz snapshot "
    terminal.close()


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_are_sound(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    result = eidos("completion", shell, "-o", str(tmp_path / "script"), env={"EIDOS_OUTPUT": str(tmp_path / "other")})
    assert result == (0, "", "")
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)
    assert (tmp_path / "script").read_text().isascii()


@needs["shellcheck"]
def test_the_bash_script_satisfies_shellcheck(tmp_path: Path) -> None:
    (tmp_path / "eidos").write_text(eidos("completion", "bash").out)
    subprocess.run(["shellcheck", "--shell=bash", str(tmp_path / "eidos")], check=True)
