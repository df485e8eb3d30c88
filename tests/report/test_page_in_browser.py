"""Pages in headless Chromium: no error, no request, plots drawn, data downloaded, phone, dark, print."""

import os
import shutil

import pytest
from page_reader import PageReader

from xbarsim.report.page import pages
from xbarsim.report.page.run_record import read_run

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser():
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium on this machine")
    with driver.sync_playwright() as playwright:
        options = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        found = playwright.chromium.launch(executable_path=path, args=options)
        yield found
        found.close()


@pytest.fixture(scope="module")
def files(case_trace, decoder_trace, swept, tmp_path_factory):
    """{what: its page}"""
    place = tmp_path_factory.mktemp("pages")
    found = {
        "run": pages.page_of_runs([read_run(case_trace)]),
        "decoder": pages.page_of_runs([read_run(decoder_trace)]),
        "sweep": pages.page_of_directory(swept.path),
    }
    return {name: pages.write_page(page, place / name) for name, page in found.items()}


class Opened:
    """A page in a browser, with what it complained of and what it asked the network for."""

    def __init__(self, browser, file, viewport=DESK, scheme="light"):
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        self.page = context.new_page()
        self.said = []
        self.asked = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())

    def ask(self, script):
        return self.page.evaluate(script)

    def background(self):
        return self.ask("getComputedStyle(document.documentElement).backgroundColor")


DRAWN = "place => place.querySelector('.main-svg .trace, .main-svg .hm')"
SHOWN = "[...document.querySelectorAll('[data-plot]')].filter(place => place.offsetParent)"


@pytest.mark.parametrize("name", ["run", "decoder", "sweep"])
def test_all_plots_are_drawn_without_an_error_or_a_request(browser, files, name):
    opened = Opened(browser, files[name])
    assert opened.said == [] and opened.asked == [files[name].as_uri()]
    assert opened.ask(f"{SHOWN}.length") > 0
    assert opened.ask(f"{SHOWN}.every({DRAWN})")
    opened.ask("document.querySelectorAll('details').forEach(fold => { fold.open = true })")
    opened.page.wait_for_function(f"{SHOWN}.every({DRAWN})")
    assert opened.ask(f"{SHOWN}.length") == len(PageReader(files[name]).plots)
    assert opened.said == []
    # names of files are texts: of the tab, of headings, in plots
    assert opened.ask("document.images.length") == 0
    assert opened.page.title() == PageReader(files[name]).main.first("h1").text


def test_the_data_of_every_plot_can_be_downloaded(browser, files, tmp_path):
    opened = Opened(browser, files["run"])
    plots = PageReader(files["run"]).plots
    buttons = opened.page.locator("[data-csv]:visible")
    keys = buttons.evaluate_all("buttons => buttons.map(button => button.dataset.csv)")
    assert "metric" in keys and set(keys) <= set(plots)
    for number, key in enumerate(keys):
        with opened.page.expect_download() as download:
            buttons.nth(number).click()
        assert download.value.suggested_filename == f"{key}.csv"
        download.value.save_as(tmp_path / key)
        assert (tmp_path / key).read_text(encoding="utf-8") == plots[key]["csv"]
    assert opened.said == []


def test_a_point_shows_its_value(browser, files):
    opened = Opened(browser, files["run"])
    point = opened.page.locator("[data-plot=metric] .scatterlayer .point").first
    point.hover(force=True)
    shown = opened.page.locator("[data-plot=metric] .hoverlayer")
    assert "95 %:" in shown.text_content(timeout=2000)


@pytest.mark.parametrize("name", ["run", "sweep"])
def test_a_phone_does_not_scroll_sideways(browser, files, name):
    opened = Opened(browser, files[name], PHONE)
    opened.ask("document.querySelectorAll('details').forEach(fold => { fold.open = true })")
    assert opened.ask("document.documentElement.scrollWidth") <= PHONE["width"]
    widths = opened.ask(f"{SHOWN}.map(place => place.getBoundingClientRect().right)")
    assert max(widths) <= PHONE["width"]
    assert opened.said == []


def test_dark_and_light_and_print(browser, files):
    light = Opened(browser, files["run"])
    dark = Opened(browser, files["run"], scheme="dark")
    assert light.background() == "rgb(255, 255, 255)" != dark.background()
    ink = "document.querySelector('[data-plot=metric] .xtitle').style.fill"
    assert dark.ask(ink) != light.ask(ink)
    dark.page.emulate_media(color_scheme="light")
    dark.page.wait_for_function(f"{ink} === '{light.ask(ink)}'")
    dark.page.emulate_media(color_scheme="dark")
    dark.ask(
        "window.inks = []; addEventListener('beforeprint', () => window.inks.push(" + ink + "))"
    )
    assert dark.page.pdf(format="A4").startswith(b"%PDF")
    assert dark.ask("window.inks") == ["rgb(28, 33, 38)"]  # black on white, whatever the screen has
    dark.page.wait_for_function(f"{ink} !== 'rgb(28, 33, 38)'")
    assert dark.said == [] and light.said == []
