"""The page in a real browser: what it shows, what its addresses mean, and whether everybody can use it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eidos import formats
from eidos.files import resources
from eidos.server.server_settings import Settings
from eidos.wording import count_of
from tests.server.test_page import TEXT
from tests.support import browser as browsers
from tests.support.browser import Browser
from tests.support.in_process_server import Client, application, listening
from tests.support.program import CHECKOUT, ROOT, eidos
from tests.support.tools import find_axe
from tests.support.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with listening(application()) as address:
        yield address


@functools.cache
def _shared_browser() -> Browser:
    """One browser for all tests of this process; it ends with it."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(browsers.browser())


@pytest.fixture(scope="module")
def browser() -> Browser:
    if browsers.find() is None:
        pytest.skip("no chromium here")
    return _shared_browser()


@pytest.fixture(scope="session")
def axe(pytestconfig: pytest.Config) -> str:
    """The script of axe-core."""
    return find_axe(pytestconfig)


SHOWN = "document.getElementById('recipe').getAttribute('aria-busy') === 'false' && document.querySelectorAll('#body .card').length > 1"


def visit(browser: Browser, url: str, condition: str = SHOWN) -> None:
    browser.console.clear()
    browser.call("Page.navigate", url="about:blank")
    browser.size(1280, 900)
    browser.call("Page.navigate", url=url)
    browser.wait(condition)


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
    allow_downloads(browser, tmp_path)
    browser.run("document.getElementById('tar').click()")
    browser.wait("document.getElementById('status').textContent.includes('Downloaded eidos')")
    path = tmp_path / "eidos-l40s-inference.tar.gz"
    until(path.exists)
    (tmp_path / "recipe.json").write_text(eidos("recipe", "--gpu", "l40s", "--intent", "inference", "-t", "json", program=CHECKOUT).out)
    assert eidos("bundle", "-f", "recipe.json", "--archive", "cli.tar.gz", program=CHECKOUT, cwd=tmp_path).status == 0
    assert path.read_bytes() == (tmp_path / "cli.tar.gz").read_bytes()
    assert browser.console == []


def allow_downloads(browser: Browser, folder: Path) -> None:
    session, browser._session = browser._session, ""
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    browser._session = session


def test_the_keyboard_is_enough(browser: Browser, url: str) -> None:
    visit(browser, url)
    browser.key("Tab")
    assert browser.run("document.activeElement.textContent") == "Skip to the recipe"
    browser.key("Enter", "\r")
    assert browser.run("document.activeElement.id + location.hash") == "recipe", "and the address stays"
    visit(browser, url)
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
    names: list[str] = []
    while "filter" not in names and len(names) < 80:
        browser.key("Tab")
        names.append(browser.run(f"{focused}.id || {focused}.name || {focused}.getAttribute('aria-label') || {focused}.textContent"))
    expected = {"service", "os", "intent", "compare", "tar", "zip", "yaml", "cli-tab", "curl-tab", "copy", "Command", "filter"}
    assert expected | {"component-gpu-operator", "chart repository"} <= set(names)
    browser.run("document.querySelector('input[name=component-cert-manager]').focus()")
    browser.key(" ", " ")
    assert "without=cert-manager" in browser.run("location.hash")
    assert browser.run(f"{focused}.name") == "component-cert-manager", "the focus stays where it was"
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
    assert text(browser, "fault").startswith("osv: invalid version")
    assert browser.run("document.getElementById('take').hidden"), "there is no recipe yet"
    assert text(browser, "body") == ""
    type_into(browser, "osv", "24.04")
    browser.wait(f"{SHOWN} && !document.getElementById('fault').textContent")
    assert "--osv 24.04" in text(browser, "command")
    browser.run("document.querySelector('button[type=reset]').click()")
    browser.wait("document.getElementById('title').textContent === 'Any GPU node' && location.hash === ''")


def test_on_an_error_the_last_recipe_stays(browser: Browser, url: str) -> None:
    """With what belongs to it: the bundle is that of the recipe that is seen, not of the choice that failed."""
    visit(browser, f"{url}/#gpu=h100")
    body = text(browser, "body")
    type_into(browser, "k8s", "one")
    browser.wait("document.getElementById('fault').textContent.includes('k8s: invalid version')")
    assert "The recipe below is the last one, for H100." in text(browser, "fault")
    assert text(browser, "title") == "H100"
    assert text(browser, "body") == body
    assert text(browser, "command").startswith("eidos recipe --gpu h100 -o recipe.yaml\n")
    assert browser.run("location.hash") == "#k8s=one&gpu=h100"
    browser.run("location.hash = 'gpu=h10'")
    browser.wait("document.getElementById('fault').textContent.includes('gpu: invalid value')")
    assert text(browser, "body") == body
    browser.run("location.hash = 'gpus=h100'")
    browser.wait("document.getElementById('fault').textContent.includes('gpus')")
    assert text(browser, "body") == body
    choose(browser, gpu="l40")
    assert text(browser, "fault") == ""
    assert text(browser, "title") == "L40"


def test_a_server_that_is_gone_is_reported_and_retried(browser: Browser, url: str) -> None:
    visit(browser, f"{url}/#gpu=l40")
    body = text(browser, "body")
    gone = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.call("Network.emulateNetworkConditions", offline=True, **gone)
    try:
        browser.run("document.querySelector('input[name=gpu][value=b300]').click()")  # which the browser has not cached
        browser.wait("document.getElementById('fault').textContent.includes('Cannot reach 127.0.0.1:')")
        assert text(browser, "body") == body
        browser.run("document.getElementById('retry').click()")
        browser.wait("document.getElementById('recipe').getAttribute('aria-busy') === 'false'")
        assert "Cannot reach" in text(browser, "fault")
    finally:
        browser.call("Network.emulateNetworkConditions", offline=False, **gone)
    browser.run("document.getElementById('retry').click()")
    browser.wait("document.getElementById('title').textContent === 'B300' && !document.getElementById('fault').textContent")


def type_into(browser: Browser, id: str, value: str) -> None:
    browser.run(f"document.getElementById('{id}').value = {json.dumps(value)}")
    browser.run(f"document.getElementById('{id}').dispatchEvent(new Event('input', {{bubbles: true}}))")


# ---- addresses ----


def titled(browser: Browser, title: str) -> str:
    """Wait for a recipe; the fragment with which it is shown."""
    browser.wait(f"{SHOWN} && document.getElementById('title').textContent === {json.dumps(title)}")
    fragment: str = browser.run("location.hash")
    return fragment


def test_a_link_pasted_into_an_open_tab_works(browser: Browser, url: str) -> None:
    visit(browser, f"{url}/#gpu=b200")
    assert titled(browser, "B200") == "#gpu=b200"
    browser.call("Page.navigate", url=f"{url}/#gpu=h200&intent=training")
    assert titled(browser, "H200 · Training") == "#gpu=h200&intent=training"
    chosen = browser.run("[...document.querySelectorAll('#form input:checked')].map((each) => each.value)")
    assert chosen == ["h200", "", "", "training", ""]
    assert browser.run("history.length") >= 2
    browser.run("history.back()")
    assert titled(browser, "B200") == "#gpu=b200"
    assert browser.console == []


@pytest.mark.parametrize(
    ("address", "title", "fragment"),
    [
        ("/?gpu=b200", "B200", "#gpu=b200"),
        ("/?utm_source=example&GPU=B200&intent=Training", "B200 · Training", "#gpu=b200&intent=training"),
        ("/#gpu=H100", "H100", "#gpu=h100"),
        ("/#env=eks&gpu=GB200-NVL72&osVersion=24.04&os=Ubuntu", "GB200 · EKS · Ubuntu 24.04", "#os=ubuntu&osv=24.04&service=eks&gpu=gb200"),
        ("/?gpu=b200#gpu=h200", "H200", "#gpu=h200"),
        ("/#gpu=any&service=", "Any GPU node", ""),
        ("/#recipe", "Any GPU node", ""),
        ("/?gpu=l40#recipe", "L40", "#gpu=l40"),
    ],
)
def test_an_address_names_a_choice(browser: Browser, url: str, address: str, title: str, fragment: str) -> None:
    visit(browser, url + address)
    assert titled(browser, title) == fragment
    assert browser.run("location.pathname + location.search") == "/", "one choice has one address"
    assert browser.console == []


def test_back_goes_back_and_forward(browser: Browser, url: str) -> None:
    visit(browser, f"{url}/#gpu=b200")
    choose(browser, intent="training")
    titled(browser, "B200 · Training")
    choose(browser, gpu="h200")
    titled(browser, "H200 · Training")
    for value in ("1", "1.3", "1.33"):  # typing is one step, not one for each pause
        type_into(browser, "k8s", value)
        browser.wait(f"location.hash.includes('k8s={value}&')")
    titled(browser, "H200 · Training · Kubernetes 1.33")
    for step, title in (("back", "H200 · Training"), ("back", "B200 · Training"), ("back", "B200"), ("forward", "B200 · Training")):
        browser.run(f"history.{step}()")
        titled(browser, title)
    assert browser.run("document.querySelector('input[name=gpu]:checked').value") == "b200"
    assert browser.run("document.getElementById('k8s').value") == ""


def test_a_recipe_that_comes_late_is_not_shown(browser: Browser, url: str) -> None:
    """Back before the next recipe has arrived: the address and what is shown stay the same choice."""
    visit(browser, f"{url}/#gpu=b200")
    browser.run(
        "{ const real = fetch; window.late = []; window.fetch = (...all) => new Promise((done) => late.push(() => done(real(...all)))) }"
    )
    browser.run("document.querySelector('input[name=gpu][value=gb300]').click()")
    browser.wait("late.length === 1 && location.hash === '#gpu=gb300'")
    browser.run("history.back()")
    browser.wait("location.hash === '#gpu=b200'")
    browser.run("late.forEach((release) => release()); new Promise((done) => setTimeout(done, 200))")
    assert titled(browser, "B200") == "#gpu=b200"
    assert browser.run("document.querySelector('input[name=gpu]:checked').value") == "b200"
    assert text(browser, "fault") == ""


VIEWS = st.fixed_dictionaries(
    {
        "choice": st.dictionaries(
            st.sampled_from(["os", "osv", "kernel", "service", "k8s", "gpu", "intent"]), st.text("abZ1.&=#%+ä ", min_size=1)
        ),
        "without": st.lists(st.text("ab-1", min_size=1), unique=True),
        "compare": st.none() | st.dictionaries(st.sampled_from(["gpu", "os"]), st.text("aB1&=%", min_size=1)),
    }
)


@settings(max_examples=20, deadline=None)
@given(views=st.lists(VIEWS, min_size=1, max_size=20))
def test_what_is_written_into_an_address_is_read_from_it(views: list[dict[str, Any]]) -> None:
    """For any view whose values are not blank, and the same address again."""
    if browsers.find() is None:
        pytest.skip("no chromium here")
    source = resources.read_text("templates/server/page_address.js")
    calls = "".join(f"check({json.dumps(view)});" for view in views)
    results = _shared_browser().run(
        f"""(() => {{ const location = {{pathname: "/", search: "", hash: ""}}, results = []; {source}
        function visit(view) {{ location.hash = formatAddress(view).slice(1); return parseAddress(); }}
        function check(view) {{ const read = visit(view); results.push([read, formatAddress(visit(read)) === formatAddress(read)]); }}
        {calls} return results }})()"""
    )
    for view, (read, is_stable) in zip(views, results):
        choice = {field: value.strip() for field, value in view["choice"].items() if value.strip()}
        assert read == {**view, "choice": {field: value for field, value in choice.items() if value.lower() != "any"}}
        assert is_stable


# ---- tables, sources, comparison, components ----


def cells(browser: Browser, label: str) -> list[list[str]]:
    """The rows of a table, without those of groups."""
    rows: list[list[str]] = browser.run(
        f"[...document.querySelectorAll('table[aria-label={label}] tbody tr:not(.group)')]"
        ".map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    return rows


def test_readings_are_a_table_that_can_be_scanned(browser: Browser, url: str) -> None:
    visit(browser, f"{url}/#gpu=h100&service=eks&os=ubuntu&intent=training")
    assert browser.run("[...document.querySelectorAll('table[aria-label=Readings] thead th')].map((cell) => cell.textContent)") == [
        "Setting",
        "Recommended",
        "Why",
        "Sources",
    ]
    assert ["/proc/sys/net/ipv4/tcp_congestion_control", "bbr"] in [row[:2] for row in cells(browser, "Readings")]
    lefts = browser.run(
        "[...document.querySelectorAll('table[aria-label=Readings] td.value')].map((cell) => cell.getBoundingClientRect().left)"
    )
    assert len(set(lefts)) == 1, "values stand in one column"
    browser.run("document.querySelector('table[aria-label=Readings] tbody:nth-of-type(5)').scrollIntoView({behavior: 'instant'})")
    top = "(selector) => Math.round(document.querySelector(selector).getBoundingClientRect().top)"
    assert browser.run(f"({top})('table[aria-label=Readings] thead th')") == 0, "the head stays in sight"
    assert browser.run(f"({top})('#form')") == 16, "and so does the choice"


def test_each_value_links_to_its_source(browser: Browser, url: str) -> None:
    visit(browser, f"{url}/#gpu=h100&service=eks&os=ubuntu&intent=training")
    recipe = json.loads(Client(application()).get("/v1/recipe?gpu=h100&service=eks&os=ubuntu&intent=training&explain=true").body)
    urls = json.loads(Client(application()).get("/v1/catalog").body)["urls"]
    sources = {entry["path"]: entry.get("sources") for entry in recipe["explanation"]}
    links = browser.run(
        "[...document.querySelectorAll('table[aria-label=Readings] tbody tr:not(.group)')]"
        ".map((row) => [row.cells[0].textContent, [...row.querySelectorAll('a')].map((link) => link.href)])"
    )
    expected = [
        [key, [urls[source] for source in sources[f"{measurement['type']}.{subtype['subtype']}.{key}"]]]
        for measurement in recipe["measurements"]
        for subtype in measurement["subtypes"]
        for key in subtype["data"]
    ]
    assert links == expected
    assert all(addresses for _, addresses in links)
    assert browser.run("[...document.querySelectorAll('table[aria-label=Constraints] tbody tr')].every((row) => row.querySelector('a'))")
    assert browser.run("[...document.querySelectorAll('.components li')].every((item) => item.querySelector('a'))")
    numbers = browser.run("[...document.querySelectorAll('.cite')].map((link) => [link.firstChild.textContent, link.title])")
    listed = browser.run("[...document.querySelectorAll('.sources li')].map((item) => item.textContent)")
    assert all(listed[int(number) - 1] == citation for number, citation in numbers)


def test_two_choices_are_compared_side_by_side(browser: Browser, url: str) -> None:
    visit(browser, f"{url}/#gpu=h100&service=eks")
    browser.run("document.getElementById('compare').click()")
    browser.wait("document.getElementById('status').textContent.includes('Both are the same')")
    choose(browser, gpu="gb200")
    assert titled(browser, "H100 · EKS and GB200 · EKS") == "#service=eks&gpu=gb200&compare=service%3Deks%26gpu%3Dh100"
    rows = cells(browser, "Comparison")
    assert [row[0] for row in rows if row[1:] == ["not installed", row[2]]] != []
    (driver,) = [row for row in rows if row[0].startswith("GPU.smi.driver ")]
    assert driver[1].startswith(">= 525.85.12 ")
    assert driver[2].startswith(">= 580.126.20, < 595 ")
    assert all(row[0].endswith(" (differs)") for row in rows)
    ask = Client(application())
    first, second = (lines(json.loads(ask.get(f"/v1/recipe?service=eks&gpu={gpu}").body)) for gpu in ("h100", "gb200"))
    different = {path for path in first.keys() | second.keys() if first.get(path) != second.get(path)}
    assert text(browser, "status") == f"{len(different)} of {len(first.keys() | second.keys())} lines differ"
    assert len(rows) == len(different)
    browser.run("document.getElementById('show-all').click()")
    assert len(cells(browser, "Comparison")) == len(first.keys() | second.keys())
    browser.run("document.getElementById('swap').click()")
    titled(browser, "GB200 · EKS and H100 · EKS")
    assert browser.run("document.querySelector('input[name=gpu]:checked').value") == "h100"
    browser.run("document.getElementById('stop').click()")
    assert titled(browser, "H100 · EKS") == "#service=eks&gpu=h100"
    browser.run("history.go(-2)")
    titled(browser, "H100 · EKS and GB200 · EKS")
    assert browser.console == []


def lines(recipe: dict[str, Any]) -> dict[str, Any]:
    """Every line of a recipe by its path."""
    readings = {
        f"{measurement['type']}.{subtype['subtype']}.{key}": value
        for measurement in recipe["measurements"]
        for subtype in measurement["subtypes"]
        for key, value in subtype["data"].items()
    }
    limits = {f"constraints.{constraint['name']}": constraint["value"] for constraint in recipe["constraints"]}
    return {**readings, **limits, **{component["id"]: component["version"] for component in recipe["components"]}}


def switch(browser: Browser, id: str) -> None:
    browser.run(f"document.querySelector('input[name=component-{id}]').click()")


def switched_on(browser: Browser) -> list[str]:
    names: list[str] = browser.run("[...document.querySelectorAll('.components input:checked')].map((each) => each.name.slice(10))")
    return names


def test_components_can_be_switched_off_before_the_download(browser: Browser, url: str, tmp_path: Path) -> None:
    visit(browser, f"{url}/#gpu=h100&service=eks&intent=training")
    every = switched_on(browser)
    switch(browser, "cert-manager")
    rest = [id for id in every if id not in ("cert-manager", "gpu-operator", "kai-scheduler")]
    assert switched_on(browser) == rest, "what needs it is off as well"
    assert text(browser, "status") == "cert-manager is off, with what needs it: gpu-operator, kai-scheduler"
    assert f" -b {','.join(rest)} -o bundle" in text(browser, "command")
    browser.run("document.getElementById('curl-tab').click()")
    assert f"/v1/bundle?bundlers={','.join(rest)}" in text(browser, "command")
    browser.run("document.getElementById('cli-tab').click()")
    allow_downloads(browser, tmp_path)
    browser.run("document.getElementById('tar').click()")
    path = tmp_path / "eidos-eks-h100-training.tar.gz"
    until(path.exists)
    (tmp_path / "recipe.json").write_text(
        eidos("recipe", "--gpu", "h100", "--service", "eks", "--intent", "training", "-t", "json", program=CHECKOUT).out
    )
    assert eidos("bundle", "-f", "recipe.json", "-b", ",".join(rest), "--archive", "cli.tar.gz", program=CHECKOUT, cwd=tmp_path).status == 0
    assert path.read_bytes() == (tmp_path / "cli.tar.gz").read_bytes()
    switch(browser, "kai-scheduler")
    assert switched_on(browser) == every, "what it needs is on as well"
    for id in every:
        if id in switched_on(browser):
            switch(browser, id)
    assert browser.run("document.getElementById('tar').disabled && document.getElementById('zip').disabled")
    assert not browser.run("document.getElementById('none').hidden")
    browser.run("history.back()")
    browser.wait("!document.getElementById('tar').disabled")
    assert browser.console == []


def test_a_link_remembers_what_is_switched_off(browser: Browser, url: str) -> None:
    visit(browser, f"{url}/#gpu=h100&without=cert-manager")
    assert "cert-manager" not in switched_on(browser)
    choose(browser, gpu="h200")
    titled(browser, "H200")
    assert "cert-manager" not in switched_on(browser)
    assert browser.run("location.hash") == "#gpu=h200&without=cert-manager"


def test_the_order_of_installation_is_drawn(browser: Browser, url: str) -> None:
    """Steps are numbered along a line; an arrow leads from each component to every one that needs it, on every width."""
    visit(browser, f"{url}/#gpu=h100&service=eks&intent=training")
    recipe = json.loads(Client(application()).get("/v1/recipe?gpu=h100&service=eks&intent=training").body)
    ids = [component["id"] for component in recipe["components"]]
    edges = [(ids.index(need), at) for at, component in enumerate(recipe["components"]) for need in component.get("depends", ())]
    for width in (1280, 360):
        browser.size(width, 900)
        browser.wait("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
        steps = browser.run(
            "[...document.querySelectorAll('.step')].map((step) => { const box = step.getBoundingClientRect();"
            " return box.top - step.closest('.order').getBoundingClientRect().top + box.height / 2 })"
        )
        arcs = browser.run("[...document.querySelectorAll('.arc')].map((arc) => arc.getAttribute('d'))")
        drawn = []
        for arc in arcs:
            points = [float(number) for number in re.findall(r"-?[0-9.]+", arc)]
            drawn.append((nearest(steps, points[1]), nearest(steps, points[-1])))
        assert sorted(drawn) == sorted(edges)
        assert browser.run("[...document.querySelectorAll('.step')].map((step) => step.textContent)") == [
            str(n + 1) for n in range(len(ids))
        ]
        left = browser.run("Math.min(...[...document.querySelectorAll('.arc')].map((arc) => arc.getBoundingClientRect().left))")
        assert left >= browser.run("document.querySelector('.order').getBoundingClientRect().left"), "nothing is cut off"


def nearest(steps: list[float], height: float) -> int:
    at = min(range(len(steps)), key=lambda each: abs(steps[each] - height))
    assert abs(steps[at] - height) < 2
    return at


AXE_OPTIONS = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}}


def accessibility_violations(browser: Browser, axe: str) -> object:
    """What axe reports of the page as it is now: rule, help, and some of the elements."""
    browser.run(f"{axe}; true")
    return browser.run(
        f"axe.run(document, {json.dumps(AXE_OPTIONS)}).then((result) => result.violations.map((each) =>"
        " [each.id, each.help, each.nodes.slice(0, 3).map((node) => node.html + ' ' + node.failureSummary)]))"
    )


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")])
def test_axe_finds_nothing(browser: Browser, url: str, axe: str, width: int, scheme: str) -> None:
    """In the recipe, with components off, in a comparison, and on an error."""
    for fragment in (
        "gpu=h100&service=eks&os=ubuntu&intent=training&without=cert-manager&osv=24.04",
        "gpu=gb200&compare=gpu%3Dh100",
        "gpu=debian",
    ):
        visit(browser, f"{url}/#gpu=l40")
        browser.size(width, 900, scheme)
        browser.run(f"location.hash = {json.dumps(fragment)}")
        browser.wait("document.getElementById('title').textContent !== 'L40' || document.getElementById('fault').textContent")
        browser.run("Promise.all(document.getAnimations().map((each) => each.finished))")
        assert accessibility_violations(browser, axe) == []


def test_readings_can_be_filtered(browser: Browser, url: str) -> None:
    visit(browser, f"{url}/#gpu=h100&os=ubuntu&intent=training")
    browser.run("document.getElementById('filter').value = 'sysctl net rmem'")
    browser.run("document.getElementById('filter').dispatchEvent(new Event('input', {bubbles: true}))")
    assert re.fullmatch(r"\d+ of \d+ readings shown", text(browser, "status"))
    keys = browser.run("[...document.querySelectorAll('section[aria-label=Readings] .key')].map((key) => key.textContent)")
    assert keys
    assert all("rmem" in key for key in keys)
    choose(browser, gpu="h200")
    titled(browser, "H200 · Ubuntu · Training")
    assert browser.run("document.getElementById('filter').value") == "sysctl net rmem", "the filter stays"
    listed = "document.querySelectorAll('.sources li').length"
    filtered = browser.run(listed)
    type_into(browser, "filter", "no such word")
    assert "No reading matches 'no such word'." in text(browser, "body")
    visit(browser, f"{url}/#gpu=h200&os=ubuntu&intent=training")
    assert browser.run(listed) == filtered, "sources of hidden readings are listed as well"


def test_the_matrix_of_advice_is_on_the_page(browser: Browser, url: str) -> None:
    visit(browser, f"{url}/#gpu=h100")
    matrix = json.loads(Client(application()).get("/v1/catalog").body)["matrix"]
    assert browser.run("document.getElementById('coverage').open") is False
    browser.run("document.getElementById('coverage').open = true")
    cells = "[...row.children].map((cell) => cell.textContent)"
    rows = browser.run(f"[...document.querySelectorAll('table[aria-label=Coverage] tbody tr')].map((row) => {cells})")
    assert len(rows) == len({cell["gpu"] for cell in matrix})
    own = {cell["gpu"] for cell in matrix if cell["advice"] == "own"}
    assert own
    assert sum(row[1] != "none" for row in rows) == len(own)
    for width in (320, 1280):
        browser.size(width, 800)
        assert browser.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [320, 360, 760, 1280])
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
    script = {"document": hostile, "url": "javascript:document.title='bad'"}
    overlay = {
        "key": {"gpu": "h100"},
        "source": [script],
        "types": [{"type": "GPU", "subtypes": [{"subtype": "smi", "data": {"driver": hostile}}]}],
    }
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"base": layer["measurements"], "overlays": [overlay]}))
    with listening(application(Settings(rate=0.0, client_rate=0, data=str(path)))) as address:
        visit(browser, f"{address}/#gpu=h100")
        assert text(browser, "body").count(hostile) >= 5
        assert browser.run("document.querySelectorAll('#body .cite').length") == 1
        assert browser.run("document.querySelectorAll('#body a').length") == 0, "a script is no source to link to"
        assert browser.run("document.querySelectorAll('img').length") == 0
        assert browser.run("document.title") == "H100 · eidos"


def test_without_its_script_the_page_offers_nothing_that_does_not_work(browser: Browser, url: str) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.call("Page.navigate", url="about:blank")
        browser.call("Page.navigate", url=url)
        browser.size(1280, 900)

        def shown() -> set[str]:
            nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
            return {str(node.get("name", {}).get("value")) for node in nodes if not node.get("ignored")}

        until(lambda: "This page needs JavaScript." in shown())
        assert not {"Loading the catalog …", "Start over"} & shown()
        assert "localhost" not in TEXT
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


# ---- snapshots ----

GPUS = {"subtype": "smi", "data": {"driver": "580.95.05", "gpu.model": "NVIDIA H100 80GB HBM3"}}
BAD = "<img src=x onerror=alert(1)>"


def write_snapshot(path: Path, node: str, **modules: bool) -> Path:
    """A snapshot as eidos writes it, in YAML or JSON."""
    kmod = {"subtype": "kmod", "data": {"nvidia": True, BAD: True, **modules}}
    tree = {
        "kind": "Snapshot",
        "apiVersion": "snapshot.dgxc.io/v1",
        "metadata": {"source-node": node, "snapshot-timestamp": "2026-11-29T06:00:00Z"},
        "measurements": [{"type": "OS", "subtypes": [kmod]}, {"type": "GPU", "subtypes": [GPUS]}],
    }
    path.write_text(formats.to_json(tree) if path.suffix == ".json" else formats.to_yaml(tree), encoding="utf-8")
    return path


def choose_files(browser: Browser, *paths: Path) -> None:
    """What the dialog of the browser does."""
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=root, selector="#snapshots")["nodeId"]
    browser.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])


def drop_file(browser: Browser, path: Path) -> None:
    content = json.dumps([path.read_text(encoding="utf-8"), path.name])
    browser.run(
        f"{{ const [text, name] = {content}, data = new DataTransfer(); data.items.add(new File([text], name));"
        " for (const kind of ['dragover', 'drop'])"
        " document.body.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true})) }"
    )


def wait_for_cards(browser: Browser, number: int) -> list[str]:
    is_idle = "!document.getElementById('checked').hasAttribute('aria-busy')"
    browser.wait(f"document.querySelectorAll('#checked > .card').length === {number} && {is_idle}")
    cards: list[str] = browser.run("[...document.querySelectorAll('#checked > .card')].map((each) => each.textContent)")
    return cards


def test_a_snapshot_is_chosen_and_its_findings_are_read(browser: Browser, url: str, tmp_path: Path) -> None:
    visit(browser, f"{url}/#intent=training")
    browser.events.clear()
    choose_files(browser, write_snapshot(tmp_path / "node.yaml", "gpu-07", nouveau=True))
    (card,) = wait_for_cards(browser, 1)
    report = json.loads(Client(application()).post("/v1/check?intent=training", (tmp_path / "node.yaml").read_bytes()).body)
    failed = [finding for finding in report["findings"] if finding["status"] == "fail"]
    assert "nouveau-loaded" in {finding["id"] for finding in failed}
    for finding in failed:
        assert all(str(finding[field]) in card for field in ("title", "id", "expected", "reason"))
        steps = finding.get("remedy", {}).get("steps", [])
        assert all(next(iter(step.values())) in card for step in steps)
    shown = browser.run("[...document.querySelectorAll('#checked .findings > li > p > code')].map((code) => code.textContent)")
    assert shown[: len(failed)] == [finding["id"] for finding in failed], "worst first, as in the report"
    assert card.startswith("gpu-07")
    assert "training and inference settings" not in card.lower()
    assert text(browser, "status") == f"node.yaml: {count_of(len(failed), 'finding')}"
    requests = [event["params"]["request"]["url"] for event in browser.events if event.get("method") == "Network.requestWillBeSent"]
    assert requests == [f"{url}/v1/check?intent=training"]
    assert browser.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("location.hash") == "#intent=training"
    assert browser.console == []


def test_a_second_snapshot_is_compared_with_the_first(browser: Browser, url: str, tmp_path: Path) -> None:
    visit(browser, url)
    drop_file(browser, write_snapshot(tmp_path / "one.yaml", "gpu-07"))
    wait_for_cards(browser, 1)
    drop_file(browser, write_snapshot(tmp_path / "two.json", "gpu-08", nouveau=True))
    first, second, differences = wait_for_cards(browser, 3)
    assert (first[:6], second[:6]) == ("gpu-07", "gpu-08")
    assert "OS.kmod.nouveau" in differences
    assert cells(browser, "Differences") == [["OS.kmod.nouveau", "not set", "true"]]
    drop_file(browser, write_snapshot(tmp_path / "three.yaml", "gpu-09"))
    (third,) = wait_for_cards(browser, 1)
    assert third.startswith("gpu-09"), "a third one begins anew"
    browser.run("document.getElementById('forget').click()")
    assert wait_for_cards(browser, 0) == []
    assert browser.run("document.activeElement.id") == "snapshots"
    assert browser.run("document.getElementById('forget').hidden")
    assert browser.console == []


def test_the_choice_of_a_snapshot_needs_no_mouse(browser: Browser, url: str) -> None:
    visit(browser, url)
    browser.run("document.getElementById('copy').focus()")
    for _ in range(3):
        browser.key("Tab")
        if browser.run("document.activeElement.id") == "snapshots":
            break
    assert browser.run("document.activeElement.type") == "file"
    assert browser.run("getComputedStyle(document.querySelector('label[for=snapshots]')).outlineStyle") == "solid"
    browser.call("Page.setInterceptFileChooserDialog", enabled=True)
    browser.events.clear()
    browser.key("Enter", "\r")
    browser.wait("true")
    # An event is read with the answer to the next call.
    until(lambda: browser.run("true") and any(event.get("method") == "Page.fileChooserOpened" for event in browser.events))
    browser.call("Page.setInterceptFileChooserDialog", enabled=False)


def test_what_is_no_snapshot_is_reported_and_the_last_one_stays(browser: Browser, url: str, tmp_path: Path) -> None:
    visit(browser, url)
    choose_files(browser, write_snapshot(tmp_path / "node.yaml", "gpu-07"))
    wait_for_cards(browser, 1)
    (tmp_path / "page.json").write_text('{"kind": "Recipe"}')
    choose_files(browser, tmp_path / "page.json")
    browser.wait("document.getElementById('check-fault').textContent.startsWith('page.json: ')")
    assert wait_for_cards(browser, 1)[0].startswith("gpu-07")
    choose_files(browser, write_snapshot(tmp_path / "other.yaml", "gpu-08"))
    wait_for_cards(browser, 3)
    assert text(browser, "check-fault") == ""


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_findings_are_accessible(browser: Browser, url: str, axe: str, width: int, scheme: str, tmp_path: Path) -> None:
    visit(browser, url)
    browser.size(width, 900, scheme)
    choose_files(
        browser, *(write_snapshot(tmp_path / name, "gpu-07", **more) for name, more in (("a.yaml", {"nouveau": True}), ("b.yaml", {})))
    )
    wait_for_cards(browser, 3)
    browser.run("for (const each of document.querySelectorAll('#checked details')) each.open = true")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert accessibility_violations(browser, axe) == []


SCALARS = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text("aé: #'\"-|>\n\t\\%&*!{}[],`@", max_size=12)
TREES = st.dictionaries(
    st.text("ab-./ #:'", min_size=1, max_size=8), st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
)


@settings(max_examples=15, deadline=None)
@given(trees=st.lists(st.tuples(TREES, st.booleans()), min_size=1, max_size=20))
def test_two_documents_are_sent_as_what_each_of_them_is(trees: list[tuple[dict[str, Any], bool]]) -> None:
    """YAML below a key means what it meant at the left margin."""
    if browsers.find() is None:
        pytest.skip("no chromium here")
    source = resources.read_text("templates/server/page_check.js")
    function = source[source.index("function embedded") :].partition("\n}\n")[0] + "\n}\n"
    texts = [formats.to_yaml(tree) if is_yaml else formats.to_json(tree) for tree, is_yaml in trees]
    bodies = _shared_browser().run(
        f"(() => {{ {function} return {json.dumps(texts)}.map((text) => embedded('from', text) + embedded('to', '---\\n' + text)) }})()"
    )
    for (tree, _), body in zip(trees, bodies):
        assert formats.from_text(body, "body") == {"from": tree, "to": tree}


PICTURE = ROOT / ".github" / "page.png"

#: The choices and the components, which is what the picture shows; whatever the fonts are.
ON_SCREEN = """[...document.querySelectorAll('form, #drop, #body .card')].slice(0, 4).map(element => element.textContent).join('\\n')"""


def with_text(png: bytes, text: str) -> bytes:
    """A picture that says what was on the screen (PNG, third edition, tEXt), as its digest."""
    chunk = b"tEXt" + b"Source\0" + hashlib.sha256(text.encode()).hexdigest().encode()
    head = 8 + 25  # the signature, and the chunk IHDR
    return png[:head] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[head:]


def test_the_picture_of_the_readme_shows_the_present_page(browser: Browser, url: str, tmp_path: Path, update_golden: bool) -> None:
    visit(browser, f"{url}/#os=ubuntu&service=eks&gpu=h100&intent=training")
    browser.size(1280, 980)
    shown = browser.run(ON_SCREEN)
    assert "gpu-operator" in shown and "Self-managed" in shown
    if update_golden:
        browser.look(tmp_path / "page.png", 1280, 980)
        PICTURE.write_bytes(with_text((tmp_path / "page.png").read_bytes(), shown))
    digest = hashlib.sha256(shown.encode()).hexdigest().encode()
    assert digest in PICTURE.read_bytes(), "make it anew with --update-golden, and look at it"
