"""The page as a file: what it may do, what it is made of, and what the server gives it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from eidos.server.server_settings import Settings
from tests.support.in_process_server import Client, application, header

pytestmark = pytest.mark.slow

TEXT = Client(application()).get("/", accept="text/html").body.decode()
STYLE = TEXT.partition("<style>")[2].partition("</style>")[0]
SCRIPT = TEXT.partition("<script>")[2].partition("</script>")[0]


class Tags(HTMLParser):
    """Every tag of a page, with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"<{tag}> says something twice"
        self.tags.append((tag, dict(attrs)))


TAGS = Tags(TEXT).tags


def test_a_browser_gets_the_page_and_a_program_does_not() -> None:
    ask = Client(application())
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
    page = ask.get("/", accept=accept)
    assert header(page, "Content-Type") == "text/html; charset=utf-8"
    assert header(page, "Vary") == "Accept, Accept-Encoding"
    assert header(page, "X-Content-Type-Options") == "nosniff"
    for other in ("*/*", "application/json", ""):
        assert header(ask.get("/", accept=other), "Content-Type") == "application/json"


def test_a_link_to_the_page_may_have_any_query() -> None:
    """Its own choice, and what a mail program or a chat adds; a program that asks for nothing known is told so, as everywhere."""
    ask = Client(application())
    for query in ("gpu=b200", "gpu=b200&gpu=h100", "utm_source=example", "%"):
        page = ask.get(f"/?{query}", accept="text/html")
        assert (page.status, page.body.decode()) == (200, TEXT)
    assert ask.get("/?utm_source=example", accept="application/json").status == 400


def test_a_recipe_is_explained_on_demand() -> None:
    """With the layers and sources of each line, whose addresses are in the catalog."""
    ask = Client(application())
    plain = json.loads(ask.get("/v1/recipe?gpu=h100").body)
    explained = json.loads(ask.get("/v1/recipe?gpu=h100&explain=true").body)
    posted = json.loads(ask.post("/v1/recipe?explain=true", b'{"gpu": "h100"}', content_type="application/json").body)
    assert "explanation" not in plain
    assert explained.pop("explanation") == posted.pop("explanation") != []
    assert plain == explained == posted
    urls = json.loads(ask.get("/v1/catalog").body)["urls"]
    assert all(url.startswith("https://") for url in urls.values())
    explanation = json.loads(ask.get("/v1/recipe?gpu=h100&explain=true").body)["explanation"]
    (driver,) = [entry for entry in explanation if entry["path"] == "constraints.GPU.smi.driver"]
    assert [urls[source] for layer in driver["layers"] for source in layer["sources"]] == [
        "https://docs.nvidia.com/datacenter/tesla/mig-user-guide/620/deployment-considerations.html"
    ], "the document that the constraint names, not all of its layer"


def test_addresses_of_sources_are_allowed_with_their_layers() -> None:
    few = json.loads(Client(application(Settings(rate=0.0, client_rate=0, allowed_gpus=("l40",)))).get("/v1/catalog").body)
    every = json.loads(Client(application()).get("/v1/catalog").body)
    cited = {source for layer in few["layers"] for source in layer["sources"]}
    assert set(few["urls"]) == cited < set(every["urls"])


def test_nothing_runs_but_what_was_shipped() -> None:
    policy = header(Client(application()).get("/", accept="text/html"), "Content-Security-Policy") or ""
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == "'none'"
    assert rules == {
        "script-src": digest(SCRIPT),
        "style-src": digest(STYLE),
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_it_needs_no_network() -> None:
    without = re.sub(r"xmlns='http://www.w3.org/2000/svg'|http://localhost:8080", "", TEXT)
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", without)
    for tag, attributes in TAGS:
        assert not any(name.startswith("on") or name == "style" for name in attributes), f"<{tag}> has a script or a style of its own"
        target = attributes.get("href") or attributes.get("src") or "#"
        assert target.startswith(("/", "#", "data:image/svg+xml,"))
    assert "innerHTML" not in SCRIPT
    assert "eval" not in SCRIPT
    assert len(TEXT) < 64 << 10


def test_ids_are_unique_and_what_refers_to_them_finds_them() -> None:
    ids = [attributes["id"] for _, attributes in TAGS if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in TAGS:
        for name in ("for", "aria-labelledby", "aria-describedby", "aria-controls", "list"):
            assert attributes.get(name) is None or attributes[name] in ids
    assert set(re.findall(r'\$\("([a-z0-9-]+)"\)', SCRIPT)) <= set(ids)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_are_distinguishable(scheme: str) -> None:
    """WCAG 2.2, 1.4.3 (text: 4.5 to 1) and 1.4.11 (edges of controls: 3 to 1)."""
    light, _, rest = STYLE.partition("@media (prefers-color-scheme: dark)")
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", light.partition("}")[0]))
    if scheme == "dark":
        colours.update(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", rest.partition("}\n}")[0]))
    texts = [("ink", "paper"), ("ink", "card"), ("ink", "sunk"), ("soft", "paper"), ("soft", "card"), ("soft", "sunk"), ("faint", "card")]
    texts += [
        ("accent", "card"),
        ("accent", "paper"),
        ("accent-ink", "accent"),
        ("warn", "warn-tint"),
        ("bad", "bad-tint"),
        ("ink", "tint"),
    ]
    texts += [("code-ink", "code")]
    for front, back in texts:
        assert contrast(colours[front], colours[back]) >= 4.5, f"{front} on {back}"
    for front, back in (("edge", "card"), ("edge", "sunk"), ("accent", "card"), ("accent", "tint")):
        assert contrast(colours[front], colours[back]) >= 3, f"{front} on {back}"


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, "contrast ratio" and "relative luminance"."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return float(0.2126 * red + 0.7152 * green + 0.0722 * blue)

    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)
