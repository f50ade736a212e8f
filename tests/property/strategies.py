"""Made-up versions, expressions, queries and recipe data for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from eidos.model.query import NAMES, VERSIONS, Query

numbers = st.lists(st.integers(0, 4) | st.integers(0, 10**6), min_size=1, max_size=3)
extras = st.sampled_from(["", "-eks-3025e55", "-1024-aws", "+k3s1", "-gke.1337000", "~rc1", "_el9"])


@st.composite
def version_texts(draw: st.DrawFn, small: bool = False) -> str:
    """Versions as people and vendors write them; ``small`` ones are alike more often."""
    parts = draw(st.lists(st.integers(0, 2), min_size=1, max_size=3) if small else numbers)
    prefix = draw(st.sampled_from(["", "", "v"]))
    return prefix + ".".join(f"{part:0{draw(st.sampled_from([1, 2]))}}" for part in parts) + draw(extras)


words = st.sampled_from(["2M", "512M", "1G", "auto", "open", "none"])


@st.composite
def term_texts(draw: st.DrawFn, with_words: bool = True) -> str:
    """One comparison."""
    plain = version_texts(small=True).map(lambda text: text.partition("-")[0].partition("+")[0])
    if draw(st.booleans()):
        return f"{draw(st.sampled_from(['>=', '>', '<=', '<']))} {draw(plain)}"
    operand = plain | words if with_words else plain
    operator = draw(st.sampled_from(["==", "!=", "", "in"]))
    if operator == "in":
        return f"in ({', '.join(draw(st.lists(operand, min_size=1, max_size=3)))})"
    return f"{operator} {draw(operand)}".strip()


def expression_texts(with_words: bool = True) -> st.SearchStrategy[str]:
    """One to three comparisons."""
    return st.lists(term_texts(with_words), min_size=1, max_size=3).map(", ".join)


#: Two or three words for each field, so that queries and keys meet often.
WORDS = {
    "os": ["ubuntu", "rhel"],
    "osv": ["22.04", "24.04", "24"],
    "kernel": ["6.8", "6.8.0-1024-aws", "6"],
    "service": ["eks", "gke"],
    "k8s": ["1.33", "1.33.5", "v1.33.5-eks-3025e55", "1.34"],
    "gpu": ["h100", "gb200"],
    "intent": ["training", "inference"],
    "platform": ["kubeflow", "none"],
    "machine": ["p5.48xlarge", "bm.gpu.h100.8"],
}


def fields(empty: bool = True) -> st.SearchStrategy[dict[str, str]]:
    """Some fields of a query; ``empty`` and ``any`` among them."""
    nothing = ["", "any"] if empty else []
    return st.fixed_dictionaries({}, optional={field: st.sampled_from(nothing + WORDS[field]) for field in (*NAMES, *VERSIONS)})


queries = fields().map(lambda values: Query(**values))

scalars = st.sampled_from(["0", "1", "pt", "24.10"]) | st.integers(0, 3) | st.booleans()
subtypes = st.sampled_from(["grub", "sysctl"])


@st.composite
def layers(draw: st.DrawFn, base: bool = False) -> dict[str, Any]:
    """The tree of a layer: a few readings, constraints that any other one can be intersected with, and values of a component.

    One that is no ``base`` may remove what others set.
    """
    tree: dict[str, Any] = {} if base else {"key": draw(fields().filter(lambda values: Query(**values).fields()))}
    data = st.dictionaries(st.sampled_from(["a", "b", "c"]), scalars if base else scalars | st.none(), max_size=3)
    tree["measurements"] = [
        {"type": kind, "subtypes": [{"subtype": draw(subtypes), "data": draw(data)}]}
        for kind in draw(st.lists(st.sampled_from(["OS", "K8s", "os"]), max_size=2))
    ]
    floor: st.SearchStrategy[str | None] = st.sampled_from([">= 1.30", ">= 1.32.4", "!= 1.33.2", "< 1.40"])
    limit = floor if base else floor | st.none()
    tree["constraints"] = [{"name": "K8s.server.version", "value": draw(limit)}] if draw(st.booleans()) else []
    if draw(st.booleans()):
        values = draw(st.dictionaries(st.sampled_from(["x", "y"]), scalars | st.lists(scalars, max_size=2), max_size=2))
        tree["components"] = {"one": {"values": {"deep": values}}}
    return tree


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """The trees of a folder of recipes."""
    components = [{"id": "one", "chart": "one", "repository": "https://charts.example.com", "version": "1.0", "namespace": "one"}]
    trees: dict[str, Any] = {"base.yaml": draw(layers(base=True)), "components.yaml": {"components": components}}
    names = draw(st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True, max_size=4))
    for name in names:
        trees[f"overlays/{name}.yaml"] = draw(layers() | st.lists(layers(), min_size=1, max_size=2))
    return trees
