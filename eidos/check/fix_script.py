r"""A script for a shell that brings a node to what the remedies of its findings say, and back.

Knows which remedies a script may carry out alone, and in which order their parts run; must not know any check, nor any form of a setting.
The script shows what it would do unless it is called with ``--apply``; ``--revert`` restores what that replaced. Its functions are
``templates/report/fix.sh``: all files are written first, then each command runs once, however many remedies need it.

A remedy is carried out when it is of the host, every file is absolute, each command can be taken back (``revert``) or only loads what the
files say, and what a person must do comes last, with the reboot: the script drains and reboots nothing. Any other is a
comment: a value of a chart, the settings of a service.

>>> from eidos.model.check_report import CheckReport
>>> print(fix_script(CheckReport("", "", "gpu-07"), "").splitlines()[1])
# Remedies for gpu-07. Without a flag it shows what it would change; --apply changes it, --revert takes it back.
"""

from __future__ import annotations

from eidos.host_settings.boot_parameters import CHANGED_FILES
from eidos.model.finding import DO, FAIL, RUN, WRITE
from eidos.model.record import Record, replace
from eidos.templates.text_template import shell_word
from eidos.wording import shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from eidos.model.check_report import CheckReport
    from eidos.model.finding import Finding, Remedy, RemedyStep

FUNCTIONS = "templates/report/fix.sh"

_SYSCTLS, _SYSCTL = "/etc/sysctl.d/", "sysctl -w "

#: How commands begin that only load what files say: run again after the files are restored, they take themselves back.
_LOADING = (
    *("sysctl -p ", "sysctl --system", "systemctl daemon-reload", "systemctl restart ", "systemctl reload ", "udevadm control --reload"),
    *("update-initramfs ", "update-grub", "dracut ", "grub2-mkconfig ", "modprobe "),
)

#: How commands begin that install packages: what they replaced is not known.
_INSTALLING = ("apt-get ", "dnf ", "yum ", "zypper ")

#: Programs that end the session of the script, or the node.
_NEVER = ("reboot", "shutdown", "poweroff", "systemctl reboot", "systemctl poweroff", "kexec")


_USAGE = "Without a flag it shows what it would change; --apply changes it, --revert takes it back."


class PlannedRemedy(Record):
    """A remedy that the script carries out, its number, and the findings that it mends."""

    number: int
    remedy: Remedy
    findings: tuple[Finding, ...]


def fix_script(report: CheckReport, functions: str) -> str:
    """The script for the failed findings of a report; ``functions`` is the text of :data:`FUNCTIONS`."""
    planned, others = plan_remedies(report.findings)
    body = "\n".join(_body(planned))
    head = [
        "#!/bin/sh",
        f"# Remedies for {_comment(report.node or 'a node')}. {_USAGE}",
        f"# Judged by eidos {_comment(report.version or 'unknown')} from readings of {_comment(report.timestamp or 'an unknown time')}.",
        *(line for finding, why in others for line in _by_hand(finding, why)),
        "",
    ]
    return "\n".join(head) + f'{functions}\nPLAN={shell_word(_digest(body))}\n\n{body}\n\nmain "$@"\n'


def plan_remedies(findings: Iterable[Finding]) -> tuple[list[PlannedRemedy], list[tuple[Finding, str]]]:
    """The remedies to carry out, in the order of the findings, and the failed findings without one, with the reason as a phrase."""
    planned: list[PlannedRemedy] = []
    others: list[tuple[Finding, str]] = []
    files: dict[str, str] = {}
    findings = [*findings]
    lasting: dict[str, str] = {}
    for finding in findings:
        if finding.status == FAIL and finding.remedy:
            lasting.update(_sysctls(replace(finding.remedy, steps=tuple(s for s in finding.remedy.steps if s.kind == WRITE))))
    for finding in findings:
        if finding.status != FAIL:
            continue
        why = why_by_hand(finding.remedy)
        texts = {step.file: step.text for step in finding.remedy.steps if step.kind == WRITE} if finding.remedy else {}
        if not why and any(files.get(path, text) != text for path, text in texts.items()):
            why = "it writes other text into a file of another remedy"
        if not why and finding.remedy and any(lasting.get(name, value) != value for name, value in _sysctls(finding.remedy).items()):
            why = "a file of another remedy sets another value"
        same = next((at for at, each in enumerate(planned) if each.remedy == finding.remedy), None)
        if why or finding.remedy is None:
            others.append((finding, why))
        elif same is not None:
            planned[same] = PlannedRemedy(same + 1, finding.remedy, (*planned[same].findings, finding))
        else:
            files.update(texts)
            planned.append(PlannedRemedy(len(planned) + 1, finding.remedy, (finding,)))
    return planned, others


def why_by_hand(remedy: Remedy | None) -> str:
    """Why a script does not carry a remedy out; "" when it does."""
    if remedy is None:
        return "no remedy is known"
    acting, following = split_steps(remedy)
    if remedy.owner not in ("", "host"):
        return f"it belongs to the {remedy.owner.replace('-', ' ')}"
    if not remedy.is_reversible:
        return "it cannot be reverted"
    if not acting or any(step.kind != DO and not step.text.startswith(_NEVER) for step in following):
        return "a person does a part of it"
    if any(step.kind == WRITE and not _is_file(step.file) for step in acting):
        return "its file is applied elsewhere"
    commands = [step.text for step in acting if step.kind == RUN]
    if any("\0" in step.text for step in acting):
        return "a shell cannot take its text"
    if any(command.startswith(_INSTALLING) for command in commands) or (
        not remedy.revert and not all(command.startswith(_LOADING) for command in commands)
    ):
        return "its commands have no known way back"
    if any(step.kind != RUN for step in remedy.revert) or not (remedy.revert or any(step.kind == WRITE for step in acting)):
        return "it has no known way back"
    return ""


def split_steps(remedy: Remedy) -> tuple[list[RemedyStep], list[RemedyStep]]:
    """The steps up to the first that a person takes, or that ends the session; and those from there on."""
    stop = (at for at, step in enumerate(remedy.steps) if step.kind not in (RUN, WRITE) or step.text.startswith(_NEVER))
    at = next(stop, len(remedy.steps))
    return list(remedy.steps[:at]), list(remedy.steps[at:])


def _is_file(path: str) -> bool:
    return path.startswith("/") and path.isprintable() and not path.endswith("/") and ".." not in path.split("/")


def _body(planned: Sequence[PlannedRemedy]) -> Iterator[str]:
    yield "write_files() {"
    yield "  :"
    for each in planned:
        finding = each.findings[0]
        yield f"  # {', '.join(_comment(f.id) for f in each.findings)}: expected {_comment(finding.expected or 'otherwise')}, found " + (
            _comment(finding.actual or "not set")
        )
        if finding.reason:
            yield f"  # {_comment(finding.reason)}"
        yield f"  # Cost: {each.remedy.cost or 'none'}."
        yield f"  remedy {each.number} {shell_word('; '.join(_comment(f.title) for f in each.findings))}"
        yield from (f"  keep_live {shell_word(name)}" for name in _sysctls(each.remedy))
        yield from (f"  put {shell_word(step.file)} {shell_word(step.text)}" for step in each.remedy.steps if step.kind == WRITE)
    yield "}\n\nrun_commands() {\n  :"
    for command, numbers in _commands(planned).items():
        program, *words = command.split(" ")
        patterns = CHANGED_FILES.get(program, ())
        if program == "systemctl" and words[0] in ("enable", "disable", "mask"):
            # Links that somebody made by hand go too, and nothing but these says that they were there.
            patterns = tuple(f"/etc/systemd/system/{folder}{shell_word(words[-1])}" for folder in ("*.wants/", "*.requires/", ""))
        if patterns:
            yield f"  generated {shell_word(numbers)} {' '.join(patterns)}"
        yield f"  run {shell_word(numbers)} {shell_word(command)}"
    yield "}\n\nshow_next_steps() {\n  :"
    for each in planned:
        yield from (f"  afterwards {each.number} {shell_word(_comment(step.text))}" for step in split_steps(each.remedy)[1])
    yield "}\n\nundo_commands() {\n  :"
    for command in _undo_commands(planned):
        yield f"  undo {shell_word(command)}"
    for each in planned:
        yield from (f"  restore_live {shell_word(name)}" for name in _sysctls(each.remedy))
    yield "}"


def _commands(planned: Sequence[PlannedRemedy]) -> dict[str, str]:
    """Each command once, in order, with the numbers of the remedies that need it."""
    numbers: dict[str, list[str]] = {}
    for each in planned:
        for step in split_steps(each.remedy)[0]:
            if step.kind == RUN:
                numbers.setdefault(step.text, []).append(str(each.number))
    return {command: " ".join(dict.fromkeys(each)) for command, each in numbers.items()}


def _undo_commands(planned: Sequence[PlannedRemedy]) -> list[str]:
    """What takes the commands back once the files are restored. Sysctls have the values that were read before, so none is set here."""
    undone: dict[str, None] = {}
    for each in reversed(planned):
        own = {f"rm {step.file}" for step in each.remedy.steps if step.kind == WRITE}
        steps = each.remedy.revert or split_steps(each.remedy)[0]
        for step in steps:
            if step.kind == RUN and step.text not in own and not step.text.startswith("sysctl -"):
                command = step.text
                is_loading = not each.remedy.revert and command.startswith("modprobe ")
                undone[command.replace("modprobe ", "modprobe -r ", 1) if is_loading else command] = None
    return list(undone)


def _sysctls(remedy: Remedy) -> dict[str, str]:
    """The sysctls that a remedy sets, in a file or by a command: path below /proc/sys → value."""
    lines = [line for step in remedy.steps if step.file.startswith(_SYSCTLS) for line in step.text.splitlines()]
    lines += [step.text[len(_SYSCTL) :].strip("'") for step in remedy.steps if step.kind == RUN and step.text.startswith(_SYSCTL)]
    pairs = [line.partition("=") for line in lines if "=" in line and line[:1] not in "#;"]
    values = {name.strip().lstrip("-"): " ".join(value.split()) for name, _, value in pairs}
    paths = {name if "/" in name else name.replace(".", "/"): value for name, value in values.items()}
    return {name: value for name, value in paths.items() if "/" in name and ".." not in name and not set(name) & set("*?[ ")}


def _by_hand(finding: Finding, why: str) -> Iterator[str]:
    yield f"# By hand, since {why}: {_comment(finding.title)} [{_comment(finding.id)}]"
    if finding.remedy:
        for step in finding.remedy.steps:
            text = f"write {step.file}: {step.text}" if step.kind == WRITE else step.text
            yield f"#   {_comment(text)}"


def _comment(text: str) -> str:
    """A text on one line, in which nothing ends a comment or steers a terminal."""
    return shorten(" ".join("".join(c if c.isprintable() else " " for c in text).split()), 200)


def _digest(text: str) -> str:
    """A short name for a plan: what one script replaced, no other restores."""
    import hashlib

    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]
