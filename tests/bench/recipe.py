"""What a recipe costs: the whole command, and the engine alone.

Knows the budgets of the design; prints figures beside them and asserts nothing.
"""

from __future__ import annotations

import statistics
import subprocess
from pathlib import Path

from tests.bench.measure import alternate, empty_zipapp, interpreters, scratch
from tests.bench.snapshot import build

#: Times an empty zipapp, and MiB.
BUDGET = (2.4, 20)

QUERY = {"os": "ubuntu", "osv": "24.04", "kernel": "6.8", "service": "eks", "k8s": "1.33.5", "gpu": "h100", "intent": "training"}

ENGINE = """
import statistics, sys, time, zipimport
archive = zipimport.zipimporter(sys.argv[1])
root = archive.archive + "/"
importer = {}
exec(archive.get_data(root + "eidos/archive/packs.py"), importer)
importer["install"](archive, root)
from eidos.recipe.resolver import resolve
from eidos.recipe.store import shipped_store
store = shipped_store()
query = store.catalog.parse_query(dict(word.split("=") for word in sys.argv[2:]))
times = []
for _ in range(300):
    began = time.perf_counter()
    resolve(query, store)
    times.append((time.perf_counter() - began) * 1000)
print(statistics.median(times))
from eidos.files import resources
from eidos.recipe.store import packed_store
parts = resources.recipe_parts()
fresh = packed_store(parts, "")
recipe = resolve(fresh.catalog.parse_query(dict(word.split("=") for word in sys.argv[2:])), fresh)
print(parts.parsed_bytes, parts.size, len(recipe.rules) - 1, len(fresh.overlays))
"""


def report(pyz: Path | None, runs: int) -> None:
    """Print the ratio per interpreter, and the milliseconds of one recipe from a loaded store."""
    with scratch() as name:
        folder = Path(name)
        built = pyz or build(folder)
        for version, python in sorted(interpreters().items(), key=lambda item: tuple(map(int, item[0].split(".")))):
            start = [python, "-I", "-S"]
            flags = [f"--{field}={value}" for field, value in QUERY.items()]
            commands = {"empty": [*start, str(empty_zipapp(python, folder))], "recipe": [*start, str(built), "recipe", *flags]}
            figures = alternate(commands, runs)
            floor, run = figures["empty"].median, figures["recipe"]
            words = [f"{field}={value}" for field, value in QUERY.items()]
            command = [*start, "-c", ENGINE, str(built), *words]
            outputs = [subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout for _ in range(3)]
            engine = [float(output.split()[0]) for output in outputs]
            parsed, size, layers, overlays = map(int, outputs[0].split()[1:])
            print(
                f"CPython {version}: recipe {run.median / floor:.2f}x (budget {BUDGET[0]}x), {run.kibibytes / 1024:.1f} MiB "
                f"(budget {BUDGET[1]} MiB), {run.median * 1000:.1f} ms; the engine alone {statistics.median(engine):.2f} ms (budget 1 ms), "
                f"{parsed:,} of {size:,} bytes and {layers} of {overlays} overlays parsed"
            )
