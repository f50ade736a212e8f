"""What reading a document costs: our reader against pure PyYAML on the same text, in turns.

Knows the kinds of block YAML that people and programs write; prints megabytes a second and the ratio, and asserts nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from eidos.formats import to_yaml
from eidos.formats.block_yaml import UNKNOWN, parse_block_yaml

#: What is wanted of every document, on a machine where pure PyYAML reads 0.4 MB of PODS a second.
GOAL, PODS = 5 / 0.4, "pods"

#: Bytes that PyYAML reads of each: it takes two seconds for a megabyte.
SAMPLE = 30_000

_SIGNS = "abcdefghijklmnopqrstuvwxyz0123456789"


def documents(size: int = 400_000, seed: int = 7) -> dict[str, str]:
    """Name → a document of about ``size`` characters; no scalar in it is likely to come twice."""
    draw = random.Random(seed)

    def word(length: int) -> str:
        return "".join(draw.choices(_SIGNS, k=length))

    def text(lines: int) -> str:
        return "".join(" ".join(word(draw.randint(2, 9)) for _ in range(draw.randint(1, 8))) + "\n" for _ in range(lines))

    def pod() -> Any:
        env = [{"name": word(8).upper(), "value": word(12)} for _ in range(4)]
        limits = {"cpu": f"{draw.randint(1, 900)}m", "memory": f"{draw.randint(1, 900)}Mi"}
        container = {"name": word(5), "image": f"registry.example.com/{word(8)}:v1.{draw.randint(0, 99)}.0", "env": env, "limits": limits}
        metadata = {"name": word(12), "uid": word(32), "labels": {"app": word(6), "pod-template-hash": word(10)}}
        return {"kind": "Pod", "metadata": metadata, "spec": {"containers": [container], "nodeName": word(6)}}

    def nested(depth: int) -> Any:
        return {word(6): nested(depth - 1) if depth else word(9) for _ in range(3)}

    kinds: dict[str, Callable[[], Any]] = {
        PODS: pod,
        "nested mappings": lambda: nested(4),
        "small mappings": lambda: {word(9): {word(5): draw.randint(0, 9999), word(6): word(8)}},
        "nested lists": lambda: [[word(5), draw.randint(0, 9999)], [word(3)]],
        "numbers": lambda: {"a": draw.randint(0, 99999), "b": draw.random(), "c": -draw.randint(0, 999)},
        "literals": lambda: {"script": text(300)},
        "short lines": lambda: {"data": "".join(word(3) + "\n" for _ in range(2000))},
    }
    made = {}
    for name, make in kinds.items():
        made[name] = ""
        while len(made[name]) < size:
            made[name] += yaml.safe_dump([make()], sort_keys=False, default_style="|" if name == "literals" else None)
    made["as eidos writes it"] = to_yaml(yaml.load(made[PODS], Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    return made


def speed(text: str, reference: str, runs: int) -> tuple[float, float]:
    """Megabytes a second of our reader on a text, and of pure PyYAML on another: the best of runs in turns, CPU time."""
    part = reference[: reference.index("\n- ", SAMPLE) + 1]
    ours, pure = [], []
    for _ in range(runs):
        began = time.process_time()
        assert parse_block_yaml(text) is not UNKNOWN
        ours.append(len(text) / 1e6 / (time.process_time() - began))
        began = time.process_time()
        yaml.load(part, Loader=yaml.SafeLoader)
        pure.append(len(part) / 1e6 / (time.process_time() - began))
    return max(ours), max(pure)


def report(_: Path | None, runs: int) -> None:
    """Print the speed of each kind of document."""
    texts = documents()
    for name, text in texts.items():
        ours, pure = speed(text, texts[PODS], min(runs, 9))
        print(f"{name}: {ours:.1f} MB/s, {ours / pure:.0f}x (goal {GOAL:.1f}x) the {pure:.2f} MB/s of pure PyYAML on {PODS}")
