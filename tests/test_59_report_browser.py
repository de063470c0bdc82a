"""The screening report in a real browser, Debian's Chromium: it is quiet, asks nobody, and can be used by mouse and keys."""

from __future__ import annotations

import os
import shutil

import pytest
import site_rows

playwright = pytest.importorskip("playwright.sync_api", reason="the browser's driver is not installed")
CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")
PAGES = ("index.html", "v/200000.html", "v/200000-model.html")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of a site."""
    return site_rows.write_site(tmp_path_factory.mktemp("a site"), 60).parent


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox does not work for root
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, site):
    """Opens a page of the site from its folder; at the end nothing may have been said, asked for or blocked."""
    contexts, said = [], []

    def go(name="index.html", *, folder=site, width=1280, height=900, **how):
        context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce", **how)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("console", lambda one: said.append(f"console: {one.text}"))
        page.on("pageerror", lambda one: said.append(f"error: {one}"))
        # a download, or what still loads when another page is opened, is given up, and no failure
        page.on("requestfailed", lambda one: "ABORTED" in one.failure or said.append(f"failed: {one.url}, {one.failure}"))
        page.on("dialog", lambda one: (said.append(f"dialog: {one.message}"), one.dismiss()))
        page.on("request", lambda one: None if one.url.startswith(("file:", "data:")) else said.append(f"asked: {one.url}"))
        page.goto((folder / name).as_uri())
        return page

    yield go
    for context in contexts:
        context.close()
    assert said == []


def names_in(page):
    return page.locator("#table tbody tr:not([hidden]) th a").all_inner_texts()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_rule_of_accessibility_is_broken(visit, name, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = visit(name, color_scheme=scheme)
    page.wait_for_load_state()
    found = Axe().run(page, options={"preload": False}).response["violations"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in found] == []


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [320, 1280])
def test_pages_fit_a_phone_and_a_desk(visit, name, width):
    page = visit(name, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_volcano_named_as_a_script_is_shown_as_it_is_named(visit):
    page = visit()
    assert page.locator("#table tbody th a").first.inner_text() == site_rows.EVIL
    page.locator("#table tbody th a").first.click()
    assert page.locator("h1").inner_text().startswith(site_rows.EVIL)
    page.get_by_role("link", name="All volcanoes").click()
    assert page.url.endswith("index.html")


def test_the_table_sorts_by_each_column_and_back(visit):
    page = visit()
    head = page.locator("#table thead th")
    by_name = page.get_by_role("button", name="Volcano", exact=True)
    by_name.click()
    up = names_in(page)
    assert head.nth(1).get_attribute("aria-sort") == "ascending"
    by_name.click()
    assert names_in(page) == up[::-1]
    assert head.nth(1).get_attribute("aria-sort") == "descending"
    assert head.nth(4).get_attribute("aria-sort") is None
    page.get_by_role("button", name="Return period, years").click()
    values = page.locator("#table tbody td:nth-child(5)").evaluate_all("all => all.map(one => Number(one.dataset.v))")
    assert values == sorted(values, reverse=True)


def test_the_filter_takes_words_and_states_and_the_map_follows(visit):
    page = visit()
    page.get_by_label("Filter").fill("volcano 200007")
    assert names_in(page) == ["Volcano 7"]
    assert page.locator("#count").inner_text() == "1 of 60 shown"
    assert page.locator("#map .m:visible").count() == 1
    page.get_by_label("Filter").fill("")
    flagged = page.locator("#table tbody tr[data-mark=flagged]").count()
    page.locator("#marks input[value=flagged]").uncheck()
    assert len(names_in(page)) == 60 - flagged
    page.get_by_label("Filter").fill("no such volcano")
    assert page.get_by_text("No volcano fits this filter.").is_visible()


def test_the_map_is_used_with_the_keyboard_and_the_mouse(visit):
    page = visit()
    page.locator("#map .m[tabindex='0']").focus()
    first = page.locator("#map-said").inner_text()
    for key in ("ArrowLeft", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    assert page.locator("#map-said").inner_text() not in ("", first)
    assert page.locator("#map .m[tabindex='0']").count() == 1
    before = page.locator("#map").get_attribute("viewBox")
    page.get_by_role("button", name="Zoom in").first.click()
    assert float(page.locator("#map").get_attribute("viewBox").split()[2]) < float(before.split()[2])
    page.get_by_role("button", name="fit").click()
    assert [float(n) for n in page.locator("#map").get_attribute("viewBox").split()] == pytest.approx(
        [float(n) for n in before.split()], abs=1
    )
    page.locator("#map .m[data-gvp='200000']").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/v/200000.html")


def test_a_row_shows_its_marker(visit):
    page = visit()
    page.locator("#table tbody tr").nth(3).hover()
    gvp = page.locator("#table tbody tr").nth(3).get_attribute("data-gvp")
    assert page.locator("#map .m.on").get_attribute("data-gvp") == gvp


def test_the_series_tells_a_point_by_mouse_and_by_keys(visit):
    page = visit(PAGES[1])
    chart = page.locator("#s0-series")
    said = chart.locator(".readout")
    chart.locator(".p.over").first.hover()
    assert "over the threshold" in said.inner_text()
    chart.focus()
    page.keyboard.press("Home")
    assert said.inner_text().startswith("2023-01-03 to 2023-01-15: score")
    page.keyboard.press("ArrowRight")
    assert said.inner_text().startswith("2023-01-15 to 2023-01-27")
    number = chart.locator(".p").count()
    page.keyboard.press("+")
    assert chart.locator(".p").count() < number
    page.keyboard.press("0")
    assert chart.locator(".p").count() == number
    assert "#1 volcanic" in chart.locator("svg").text_content()
    assert chart.locator(".ack title").text_content() == f"acknowledged by {site_rows.EVIL} on 2024-02-03"


def test_a_part_of_the_series_is_drawn_large_by_dragging(visit):
    page = visit(PAGES[1])
    chart = page.locator("#s0-series svg")
    number = page.locator("#s0-series .p").count()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 90)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 90, steps=3)
    page.mouse.up()
    assert 0 < page.locator("#s0-series .p").count() < number
    chart.dblclick(position={"x": 200, "y": 150})
    assert page.locator("#s0-series .p").count() == number


def test_the_slider_walks_through_the_score_maps_and_two_dates_stand_side_by_side(visit):
    page = visit(PAGES[1])
    film = page.locator("#s0-film")
    left, right = film.locator("figure").nth(0), film.locator("figure").nth(1)
    drawn = "one => one.toDataURL ? one.getContext('2d') && one.width * one.height : 0"
    assert left.locator("canvas").evaluate(drawn) > 0
    assert left.locator("figcaption").inner_text() != right.locator("figcaption").inner_text()
    slider = left.locator("input")
    slider.focus()
    page.keyboard.press("Home")
    assert left.locator("figcaption").inner_text().startswith("2023-01-03 to 2023-01-15")
    assert left.locator("canvas").get_attribute("aria-label").startswith("Score map: 2023-01-03")
    page.keyboard.press("ArrowRight")
    assert left.locator("figcaption").inner_text().startswith("2023-01-15")


def test_the_motion_of_a_chosen_place_is_drawn(visit):
    page = visit(PAGES[1])
    assert page.locator("#s0-motion-0 .line.two").count() == 0
    page.locator("#s0-map-0").click(position={"x": 20, "y": 20})
    assert page.locator("#s0-motion-0 .line.two").count() == 1
    before = page.locator("#s0-motion-0 svg").text_content()
    page.locator("#s0-map-0").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#s0-motion-0 svg").text_content() != before


def test_the_pictures_are_there_and_files_can_be_taken(visit):
    page = visit(PAGES[1])
    page.wait_for_load_state("load")
    for image in page.locator("main img").all():
        image.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    assert page.locator("main img").evaluate_all("all => all.every(one => one.naturalWidth > 0)")
    with page.expect_download() as got:
        page.get_by_role("link", name="scores, CSV").first.click()
    assert got.value.path().read_bytes() == b"a,b\r\n"


def test_a_command_can_be_copied_or_selected(visit):
    page = visit(PAGES[1])
    button = page.locator("button[data-copy]").first
    button.click()
    page.wait_for_function("one => one.textContent !== 'copy'", arg=button.element_handle())


def test_a_printed_page_has_all_of_its_words_and_no_tools(visit):
    page = visit(PAGES[1])
    page.emulate_media(media="print")
    assert not page.locator(".tools").first.is_visible()
    assert page.get_by_text("History").is_visible()


@pytest.mark.skipif("WHOLE_SUITES" not in os.environ, reason="1,500 volcanoes: `make whole`")
def test_fifteen_hundred_volcanoes_sort_and_filter(visit, tmp_path):
    """Speed is measured in benchmarks/report_site.py; here it works, and its size is bounded."""
    folder = site_rows.write_site(tmp_path, 1500).parent
    loaded = [folder / "index.html", *(folder / "assets").iterdir()]
    assert sum(file.stat().st_size for file in loaded) < 15e6
    page = visit(folder=folder)
    page.get_by_label("Filter").fill("volcano 20077")
    assert sorted(names_in(page)) == [f"Volcano 77{k}" for k in range(10)]
    assert page.locator("#count").inner_text() == "10 of 1500 shown"
    page.get_by_label("Filter").fill("")
    page.get_by_role("button", name="Volcano", exact=True).click()
    assert names_in(page)[-1] == "Volcano 1499"
