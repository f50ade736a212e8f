"""The page: what it may do, whether everybody can use it, and what it does in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from eidos.server.server_settings import Settings
from tests.support import browser as browsers
from tests.support.browser import Browser
from tests.support.in_process_server import Client, application, header, listening
from tests.support.program import eidos

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


# ---- what it is made of ----


def test_a_browser_gets_the_page_and_a_program_does_not() -> None:
    ask = Client(application())
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
    page = ask.get("/", accept=accept)
    assert header(page, "Content-Type") == "text/html; charset=utf-8"
    assert header(page, "Vary") == "Accept, Accept-Encoding"
    assert header(page, "X-Content-Type-Options") == "nosniff"
    for other in ("*/*", "application/json", ""):
        assert header(ask.get("/", accept=other), "Content-Type") == "application/json"


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


# ---- in a browser ----


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with listening(application()) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if browsers.find() is None:
        pytest.skip("no chromium here")
    with browsers.browser() as opened:
        yield opened


SHOWN = "document.getElementById('recipe').getAttribute('aria-busy') === 'false' && document.querySelectorAll('#body .card').length > 1"


def visit(browser: Browser, url: str, until: str = SHOWN) -> None:
    browser.console.clear()
    browser.call("Page.navigate", url="about:blank")
    browser.size(1280, 900)
    browser.call("Page.navigate", url=url)
    browser.wait(until)


def text(browser: Browser, id: str) -> str:
    content: str = browser.run(f"document.getElementById('{id}').textContent")
    return content


def choose(browser: Browser, **fields: str) -> None:
    for field, value in fields.items():
        browser.run(f"document.querySelector('input[name={field}][value={value}]').click()")
    browser.wait(f"{SHOWN} && location.hash.includes({'='.join(fields.popitem())!r})")


def test_a_choice_shows_the_recipe_with_its_reasons(browser: Browser, url: str) -> None:
    visit(browser, url)
    assert text(browser, "title") == "Any GPU node"
    choose(browser, gpu="h100", service="eks", os="ubuntu", intent="training")
    browser.wait("document.getElementById('title').textContent === 'H100 · EKS · Ubuntu · Training'")
    recipe = json.loads(Client(application()).get("/v1/recipe?gpu=h100&service=eks&os=ubuntu&intent=training&context=true").body)
    body = text(browser, "body")
    for measurement in recipe["measurements"]:
        for subtype in measurement["subtypes"]:
            for key, value in subtype["data"].items():
                assert key in body
                assert str(value) in body or isinstance(value, bool)
            for why in subtype["context"].values():
                assert why in body
    for constraint in recipe["constraints"]:
        assert constraint["name"] + constraint["value"] + constraint["why"] in body
    order = [body.index(component["id"]) for component in recipe["components"]]
    assert order[0] == min(order)
    assert (
        text(browser, "status")
        == f"{sum(len(s['data']) for m in recipe['measurements'] for s in m['subtypes'])} readings, 5 constraints, 6 components"
    )
    assert text(browser, "command").startswith("eidos recipe --os ubuntu --service eks --gpu h100 --intent training -o recipe.yaml\n")
    browser.run("document.getElementById('curl-tab').click()")
    assert f"'{url}/v1/recipe?os=ubuntu&service=eks&gpu=h100&intent=training'" in text(browser, "command")
    assert browser.console == []


def test_the_bundle_comes_down_as_the_command_line_packs_it(browser: Browser, url: str, tmp_path: Path) -> None:
    visit(browser, f"{url}/#gpu=l40s&intent=inference")
    session, browser._session = browser._session, ""
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser._session = session
    browser.run("document.getElementById('tar').click()")
    browser.wait("document.getElementById('status').textContent.includes('The bundle is downloaded')")
    path = tmp_path / "eidos-l40s-inference.tar.gz"
    until = time.monotonic() + 20
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    (tmp_path / "recipe.json").write_text(eidos("recipe", "--gpu", "l40s", "--intent", "inference", "-t", "json").out)
    assert eidos("bundle", "-f", "recipe.json", "--archive", "cli.tar.gz", cwd=tmp_path).status == 0
    assert path.read_bytes() == (tmp_path / "cli.tar.gz").read_bytes()
    assert browser.console == []


def test_the_keyboard_is_enough(browser: Browser, url: str) -> None:
    visit(browser, url)
    browser.key("Tab")
    assert browser.run("document.activeElement.textContent") == "Skip to the recipe"
    focused = "document.activeElement"
    for _ in range(12):
        browser.key("Tab")
        if browser.run(f"{focused}.name") == "gpu":
            break
    assert browser.run(f"{focused}.name + {focused}.value") == "gpu"
    assert browser.run(f"getComputedStyle({focused}.nextElementSibling).outlineStyle") == "solid", "what has the focus can be seen"
    browser.key("ArrowRight")
    browser.wait("document.getElementById('title').textContent === 'H100'")
    assert browser.run(f"{focused}.value") == "h100", "the focus stays where it was"
    focused_names = set()
    for _ in range(40):
        browser.key("Tab")
        name = browser.run(f"{focused}.id || {focused}.name || {focused}.textContent")
        if name in focused_names or not name:
            break
        focused_names.add(name)
    assert {"service", "os", "intent", "tar", "zip", "yaml", "cli-tab", "curl-tab", "copy", "command", "filter"} <= {
        *focused_names,
        "command",
    }
    assert browser.console == []


def test_a_screen_reader_finds_a_name_for_everything(browser: Browser, url: str) -> None:
    visit(browser, f"{url}/#gpu=h100")
    nodes: list[dict[str, Any]] = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "link", "radio", "textbox", "searchbox", "combobox", "radiogroup", "group", "form", "main", "region", "heading"}
    for node in nodes:
        role = node.get("role", {}).get("value")
        if role in roles and not node.get("ignored"):
            assert node.get("name", {}).get("value"), f"a {role} has no name"
    live = [node for node in nodes if node.get("role", {}).get("value") == "status"]
    assert len(live) == 1
    levels = [int(level) for level in re.findall(r"<h(\d)", browser.run("document.body.innerHTML"))]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:])), "no level of headings is left out"
    assert browser.run("document.documentElement.lang") == "en"


def test_a_mistake_is_shown_and_corrected(browser: Browser, url: str) -> None:
    visit(browser, f"{url}/#gpu=l40&osv=1x", "document.getElementById('fault').textContent")
    assert "osv: '1x' is no version" in text(browser, "fault")
    assert browser.run("document.getElementById('take').hidden")
    assert text(browser, "body") == ""
    browser.run("document.getElementById('osv').value = '24.04'")
    browser.run("document.getElementById('osv').dispatchEvent(new Event('input', {bubbles: true}))")
    browser.wait(f"{SHOWN} && !document.getElementById('fault').textContent")
    assert "--osv 24.04" in text(browser, "command")
    browser.run("document.querySelector('button[type=reset]').click()")
    browser.wait("document.getElementById('title').textContent === 'Any GPU node' && location.hash === ''")


def test_readings_can_be_filtered(browser: Browser, url: str) -> None:
    visit(browser, f"{url}/#gpu=h100&os=ubuntu&intent=training")
    browser.run("document.getElementById('filter').value = 'sysctl net rmem'")
    browser.run("document.getElementById('filter').dispatchEvent(new Event('input', {bubbles: true}))")
    assert re.fullmatch(r"\d+ of \d+ readings shown", text(browser, "status"))
    keys = browser.run("[...document.querySelectorAll('section[aria-label=Readings] .key')].map((key) => key.textContent)")
    assert keys
    assert all("rmem" in key for key in keys)


@pytest.mark.parametrize("width", [320, 390, 760, 1280])
def test_nothing_is_wider_than_the_window(browser: Browser, url: str, width: int) -> None:
    visit(browser, f"{url}/#gpu=gb200&service=self-managed&os=amazonlinux&intent=training")
    browser.size(width, 800, "dark")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(15, 21, 18)"
    small = browser.run(
        "[...document.querySelectorAll('button, a.button, .chip input, .fields input')].filter((each) => each.offsetParent)"
        ".map((each) => each.getBoundingClientRect()).filter((box) => box.height < 24 || box.width < 24).length"
    )
    assert small == 0, "WCAG 2.2, 2.5.8: a target is at least 24 pixels wide and high"


def test_words_of_the_data_are_never_markup(browser: Browser, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)><script>document.title='bad'</script>"
    layer = {
        "measurements": [{"type": "OS", "subtypes": [{"subtype": "sysctl", "data": {hostile: hostile}, "context": {hostile: hostile}}]}],
    }
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"base": layer["measurements"], "overlays": []}))
    with listening(application(Settings(rate=0.0, data=str(path)))) as address:
        visit(browser, address)
        assert hostile in text(browser, "body")
        assert browser.run("document.querySelectorAll('img').length") == 0
        assert browser.run("document.title") == "Any GPU node · eidos"


def test_a_server_that_is_gone_is_reported(browser: Browser, url: str) -> None:
    visit(browser, url)  # and what the browser has seen already it may keep: this must be new to it
    gone = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.call("Network.emulateNetworkConditions", offline=True, **gone)
    try:
        browser.run("document.querySelector('input[name=gpu][value=b300]').click()")
        browser.wait("document.getElementById('fault').textContent.includes('The server does not answer.')")
        assert text(browser, "body") == ""
    finally:
        browser.call("Network.emulateNetworkConditions", offline=False, **gone)


def test_without_its_script_the_page_offers_nothing_that_does_not_work(browser: Browser, url: str) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.call("Page.navigate", url="about:blank")
        browser.call("Page.navigate", url=url)
        browser.size(1280, 900)
        until = time.monotonic() + 20
        shown: set[str] = set()
        while "This page needs its script." not in shown and time.monotonic() < until:
            nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
            shown = {str(node.get("name", {}).get("value")) for node in nodes if not node.get("ignored")}
        assert "This page needs its script." in shown
        assert not {"Reading the catalog …", "Start over"} & shown
        assert "localhost" not in TEXT
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
