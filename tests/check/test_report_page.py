"""The page of a report in a real browser: it filters, loads nothing, and fits the screen, in light and dark."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eidos.check.report_formats import render
from tests.check.test_report_formats import fleet
from tests.support import browser
from tests.support.browser import Browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if browser.find() is None:
        pytest.skip("no Chromium here")
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render(fleet(64), "html"), encoding="utf-8")
    with browser.browser() as opened:
        opened.call("Page.navigate", url=file.as_uri())
        opened.wait("document.readyState === 'complete' && !!document.querySelector('footer')")
        yield opened


def choose(page: Browser, element: str, value: str) -> None:
    change = f"box.value = '{value}'; box.dispatchEvent(new Event('input', {{bubbles: true}}))"
    page.run(f"{{ const box = document.getElementById('{element}'); {change} }}")


def test_filters_show_what_is_selected(page: Browser) -> None:
    shown = "[...document.querySelectorAll('article:not([hidden])')].map((each) => each.querySelector('code').textContent).join()"
    page.run("document.querySelector('input[value=unknown]').click()")
    assert "gpu-ecc" not in page.run(shown)
    page.run("document.querySelector('input[value=unknown]').click()")
    choose(page, "search", "BLACKLIST")
    assert set(page.run(shown).split(",")) == {"nouveau-loaded"}
    choose(page, "search", "")
    choose(page, "node", "gpu-10")
    assert "gpu-power" not in page.run(shown)


def test_it_loads_nothing_and_fits_the_screen(page: Browser) -> None:
    for scheme in ("light", "dark"):
        page.size(1000, 800, scheme)
        assert page.run("document.documentElement.scrollWidth") <= 1000
    assert page.console == []
    requests = [event for event in page.events if event["method"] == "Network.requestWillBeSent"]
    assert all(event["params"]["request"]["url"].startswith("file:") for event in requests)


def test_printed_the_matrix_of_all_nodes_fits_a_sheet_of_paper(page: Browser) -> None:
    """A4 upright, with the margins that browsers leave; what is wider would be cut off or made too small to read."""
    page.size(718, 1000, "light")
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.run("document.querySelectorAll('.matrix').length") == 2
    assert page.run("document.documentElement.scrollWidth") <= 718
    page.call("Emulation.setEmulatedMedia", media="")
